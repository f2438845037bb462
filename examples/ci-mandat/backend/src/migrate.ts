import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { databaseConfig } from './config';
import { connectionOptions } from './connection';
import { log, reason } from './log';

// Brings the database to the schema of this version: applies each file of migrations/ that it has not seen, in the order
// of their names, each in a transaction of its own. Running it again does nothing; two runs at once take turns.

const DIRECTORY = join(__dirname, '..', 'migrations');
// Any number will do as long as it stays the same.
const LOCK = 7_294_013_551;

async function migrate(): Promise<void> {
  const client = new Client(connectionOptions(databaseConfig()));
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    await client.query(`
      CREATE TABLE IF NOT EXISTS schema_migrations (
        name        text PRIMARY KEY,
        sha256      text NOT NULL,
        applied_at  timestamptz NOT NULL DEFAULT now()
      )`);
    const { rows } = await client.query<{ name: string; sha256: string }>('SELECT name, sha256 FROM schema_migrations');
    const applied = new Map(rows.map((row) => [row.name, row.sha256]));

    let count = 0;
    for (const name of readdirSync(DIRECTORY).filter((entry) => entry.endsWith('.sql')).sort()) {
      const sql = readFileSync(join(DIRECTORY, name), 'utf8');
      const sha256 = createHash('sha256').update(sql).digest('hex');
      const known = applied.get(name);
      if (known === sha256) continue;
      // The database has the old content, other databases would get the new one: they would drift apart unnoticed.
      if (known !== undefined) throw new Error(`${name} was changed after it had been applied; add a new file instead`);
      await apply(client, name, sql, sha256);
      count += 1;
    }
    log('info', 'migrations_done', { applied: count });
  } finally {
    // Ending the session releases the lock.
    await client.end();
  }
}

async function apply(client: Client, name: string, sql: string, sha256: string): Promise<void> {
  try {
    await client.query('BEGIN');
    await client.query(sql);
    await client.query('INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)', [name, sha256]);
    await client.query('COMMIT');
    log('info', 'migration_applied', { name });
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw new Error(`${name}: ${reason(error)}`);
  }
}

migrate().catch((error: unknown) => {
  log('error', 'migration_failed', { reason: reason(error) });
  process.exitCode = 1;
});
