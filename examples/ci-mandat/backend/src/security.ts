import { BadRequestException, ValidationError, ValidationPipe } from '@nestjs/common';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { Config } from './config';
import { log, reason, securityLog } from './log';
import { Redis } from './redis';

/** The address of the connection. No forwarding header is trusted: anyone can write one. */
export function clientAddress(request: Request): string {
  return (request.socket.remoteAddress ?? 'unknown').replace(/^::ffff:/, '');
}

/** Serves browsers of the allowed origins and turns all others away, also for requests that need no preflight. */
export function originGuard(allowedOrigins: string[]): RequestHandler {
  const allowed = new Set(allowedOrigins);
  return (request: Request, response: Response, next: NextFunction) => {
    const origin = request.headers.origin;
    if (origin === undefined) return next();
    response.vary('Origin');
    if (!allowed.has(origin)) {
      securityLog('origin_rejected', { client: clientAddress(request), origin: origin.slice(0, 200), path: request.path });
      response.status(403).json({ statusCode: 403, message: 'Origin not allowed', error: 'Forbidden' });
      return;
    }
    response.setHeader('Access-Control-Allow-Origin', origin);
    if (request.method !== 'OPTIONS') return next();
    response.setHeader('Access-Control-Allow-Methods', 'GET, POST');
    response.setHeader('Access-Control-Allow-Headers', 'Content-Type');
    response.setHeader('Access-Control-Max-Age', '600');
    response.status(204).end();
  };
}

/**
 * Counts requests of each client address in Redis, so that the limit holds across restarts and replicas. Health checks
 * are not counted. Without Redis requests pass: an outage of the counter must not take the service down with it.
 */
export function rateLimit(redis: Redis, limit: Config['rateLimit'], uncounted: string): RequestHandler {
  return async (request: Request, response: Response, next: NextFunction) => {
    if (request.path === uncounted) return next();
    const client = clientAddress(request);
    let hits: number;
    let remainingMs: number;
    try {
      ({ hits, remainingMs } = await redis.count(`rate:${client}`, limit.windowSeconds));
    } catch (error) {
      log('warn', 'rate_limit_unavailable', { reason: reason(error) });
      return next();
    }
    const seconds = Math.max(1, Math.ceil(remainingMs / 1_000));
    response.setHeader('RateLimit-Limit', limit.max);
    response.setHeader('RateLimit-Remaining', Math.max(0, limit.max - hits));
    response.setHeader('RateLimit-Reset', seconds);
    if (hits <= limit.max) return next();
    response.setHeader('Retry-After', seconds);
    // Once for each time the limit is used up, so that a flood of requests does not become a flood of log lines.
    if (hits % limit.max === 1 || limit.max === 1) {
      securityLog('rate_limit_exceeded', { client, hits, limit: limit.max, path: request.path });
    }
    response.status(429).json({ statusCode: 429, message: 'Too many requests', error: 'Too Many Requests' });
  };
}

/** Rejects bodies with missing, malformed or unknown fields, and logs which fields those were but not their values. */
export function validation(): ValidationPipe {
  return new ValidationPipe({
    whitelist: true,
    forbidNonWhitelisted: true,
    transform: true,
    validationError: { target: false, value: false },
    exceptionFactory: (errors: ValidationError[]) => {
      const fields = errors.map((error) => error.property.slice(0, 50));
      securityLog('validation_failed', { fields: fields.slice(0, 20) });
      const message = errors.flatMap((error) => Object.values(error.constraints ?? {}));
      return new BadRequestException({ statusCode: 400, message, error: 'Bad Request', fields });
    },
  });
}
