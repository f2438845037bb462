import { ArgumentsHost, Catch, HttpException, ServiceUnavailableException } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import type { Response } from 'express';
import { log, reason } from './log';

// What the system and PostgreSQL say when the server is away, going away or not there yet.
const AWAY = /^(ECONNREFUSED|ECONNRESET|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|08...|57P0[123]|53300)$/;
const AWAY_WITHOUT_CODE = /^(Connection terminated|timeout exceeded when trying to connect)/;

function isAway(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isAway);
  if (!(error instanceof Error)) return false;
  const code = (error as NodeJS.ErrnoException).code;
  return code === undefined ? AWAY_WITHOUT_CODE.test(error.message) : AWAY.test(code);
}

/** A database that is away is not a fault of this program: 503 tells the client that it is worth asking again. */
@Catch()
export class UnavailableFilter extends BaseExceptionFilter {
  override catch(error: unknown, host: ArgumentsHost): void {
    if (error instanceof HttpException || !isAway(error)) return super.catch(error, host);
    log('warn', 'database_unavailable', { reason: reason(error) });
    host.switchToHttp().getResponse<Response>().setHeader('Retry-After', '1');
    super.catch(new ServiceUnavailableException(), host);
  }
}
