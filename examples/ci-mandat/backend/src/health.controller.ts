import { Controller, Get, Header, Res } from '@nestjs/common';
import type { Response } from 'express';
import { Database } from './database';
import { log, reason } from './log';
import { Redis } from './redis';

interface Check {
  up: boolean;
  [detail: string]: unknown;
}

// Below the one second that a typical probe waits, so that the answer says what is wrong instead of being cut off.
const TIMEOUT_MS = 900;

async function check(name: string, probe: () => Promise<Record<string, unknown>>): Promise<Check> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), TIMEOUT_MS);
  });
  try {
    return { up: true, ...(await Promise.race([probe(), timeout])) };
  } catch (error) {
    // The cause may name hosts and users, so it goes to the log and not to whoever asks.
    log('warn', 'health_check_failed', { dependency: name, reason: reason(error) });
    return { up: false };
  } finally {
    clearTimeout(timer);
  }
}

/** Ready means: a query came back from PostgreSQL over TLS, and Redis answered a PING. */
@Controller('health')
export class HealthController {
  constructor(
    private readonly database: Database,
    private readonly redis: Redis,
  ) {}

  @Get()
  @Header('Cache-Control', 'no-store')
  async health(@Res({ passthrough: true }) response: Response) {
    const [postgres, redis] = await Promise.all([
      check('postgres', async () => {
        const { rows } = await this.database.query<{ ssl: boolean; tls: string | null }>(
          'SELECT ssl, version AS tls FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
        );
        if (!rows[0]?.ssl) throw new Error('the connection is not encrypted');
        return { tls: rows[0].tls };
      }),
      check('redis', async () => {
        await this.redis.ping();
        return {};
      }),
    ]);
    const up = postgres.up && redis.up;
    response.status(up ? 200 : 503);
    return { status: up ? 'ok' : 'unavailable', postgres, redis };
  }
}
