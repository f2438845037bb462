import 'reflect-metadata';
import { ConsoleLogger } from '@nestjs/common';
import { HttpAdapterHost, NestFactory } from '@nestjs/core';
import { NestExpressApplication } from '@nestjs/platform-express';
import helmet from 'helmet';
import { AppModule } from './app.module';
import { loadConfig } from './config';
import { log, reason } from './log';
import { Redis } from './redis';
import { originGuard, rateLimit, validation } from './security';
import { UnavailableFilter } from './unavailable.filter';

const PREFIX = 'api/v1';
// What a request in progress gets to finish once the process is told to stop.
const GRACE_MS = 5_000;

async function main(): Promise<void> {
  const config = loadConfig();
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(config), {
    logger: new ConsoleLogger({ json: true, logLevels: ['warn', 'error', 'fatal'] }),
    bodyParser: false,
  });
  app.setGlobalPrefix(PREFIX);
  app.disable('x-powered-by');
  app.use(helmet());
  app.use(originGuard(config.allowedOrigins));
  // Before the body is read, so that a client over its limit costs next to nothing.
  app.use(rateLimit(app.get(Redis), config.rateLimit, `/${PREFIX}/health`));
  app.useBodyParser('json', { limit: '16kb' });
  app.useGlobalPipes(validation());
  app.useGlobalFilters(new UnavailableFilter(app.get(HttpAdapterHost).httpAdapter));

  stopOnSignal(app);
  await app.listen(config.port, '0.0.0.0');
  log('info', 'listening', { port: config.port, sinceStartMs: Math.round(process.uptime() * 1_000) });
}

/** Takes no new connections, lets requests in progress finish, then closes what is behind them. */
function stopOnSignal(app: NestExpressApplication): void {
  let stopping = false;
  const stop = async (signal: NodeJS.Signals) => {
    if (stopping) return;
    stopping = true;
    log('info', 'stopping', { signal });
    setTimeout(() => app.getHttpServer().closeAllConnections(), GRACE_MS).unref();
    // Idle keep-alive connections are closed at once; this waits for the busy ones.
    await app.close();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
}

main().catch((error: unknown) => {
  log('error', 'start_failed', { reason: reason(error) });
  process.exit(1);
});
