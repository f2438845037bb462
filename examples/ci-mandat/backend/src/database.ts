import { Inject, Injectable, OnApplicationShutdown } from '@nestjs/common';
import { Pool, PoolClient, QueryResult, QueryResultRow } from 'pg';
import { CONFIG, Config } from './config';
import { connectionOptions } from './connection';
import { log, reason } from './log';

@Injectable()
export class Database implements OnApplicationShutdown {
  private readonly pool: Pool;

  constructor(@Inject(CONFIG) config: Config) {
    this.pool = new Pool({
      ...connectionOptions(config.database),
      max: 10,
      idleTimeoutMillis: 60_000,
      statement_timeout: 10_000,
    });
    // An idle connection that breaks (a restarted server) is reported here; unhandled it would end the process.
    this.pool.on('error', (error) => log('warn', 'database_connection_lost', { reason: reason(error) }));
  }

  query<R extends QueryResultRow>(sql: string, values: unknown[] = []): Promise<QueryResult<R>> {
    return this.pool.query<R>(sql, values);
  }

  async transaction<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    let broken: Error | undefined;
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((failure: Error) => (broken = failure));
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.pool.end();
  }
}
