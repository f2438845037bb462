import { Inject, Injectable, OnApplicationShutdown } from '@nestjs/common';
import IORedis from 'ioredis';
import { CONFIG, Config } from './config';
import { log, reason } from './log';

// Counts a hit in a window that starts with the first one. One script, so that no counter can be left without an end.
const COUNT = `
local hits = redis.call('INCR', KEYS[1])
if hits == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return { hits, redis.call('PTTL', KEYS[1]) }`;

@Injectable()
export class Redis implements OnApplicationShutdown {
  private readonly client: IORedis;

  constructor(@Inject(CONFIG) config: Config) {
    this.client = new IORedis({
      ...config.redis,
      // While Redis is away a command fails at once instead of keeping its request waiting.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 2_000,
      commandTimeout: 1_000,
      retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
    });
    this.client.on('error', (error) => log('warn', 'redis_connection_lost', { reason: reason(error) }));
  }

  async ping(): Promise<void> {
    const answer = await this.client.ping();
    if (answer !== 'PONG') throw new Error(`unexpected answer to PING: ${answer}`);
  }

  async count(key: string, windowSeconds: number): Promise<{ hits: number; remainingMs: number }> {
    const [hits, remainingMs] = (await this.client.eval(COUNT, 1, key, windowSeconds * 1_000)) as [number, number];
    return { hits, remainingMs };
  }

  onApplicationShutdown(): void {
    this.client.disconnect();
  }
}
