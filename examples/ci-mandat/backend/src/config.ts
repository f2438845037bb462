import { readFileSync } from 'node:fs';

// Everything the process is told from outside, read once at the start so that a mistake stops it there and then.
// Secrets come from files only: the environment of a container can be read by whoever may inspect it.

function text(name: string, fallback?: string): string {
  const value = process.env[name] ?? fallback;
  if (value === undefined || value === '') throw new Error(`${name} is not set`);
  return value;
}

function integer(name: string, fallback: number, minimum: number, maximum: number): number {
  const value = Number(process.env[name] || fallback);
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new Error(`${name} must be a whole number from ${minimum} to ${maximum}`);
  }
  return value;
}

function file(name: string): string {
  const path = text(name);
  const content = readFileSync(path, 'utf8').trim();
  if (content === '') throw new Error(`${name}: ${path} is empty`);
  return content;
}

export interface DatabaseConfig {
  host: string;
  port: number;
  user: string;
  database: string;
  password: string;
  authority: string;
}

export function databaseConfig(): DatabaseConfig {
  return {
    host: text('DB_HOST', 'localhost'),
    port: integer('DB_PORT', 5432, 1, 65535),
    user: text('DB_USER'),
    database: text('DB_NAME'),
    password: file('DB_PASSWORD_FILE'),
    authority: file('DB_SSL_CA'),
  };
}

export interface Config {
  port: number;
  database: DatabaseConfig;
  redis: { host: string; port: number; password: string };
  encryptionKey: Buffer;
  allowedOrigins: string[];
  rateLimit: { max: number; windowSeconds: number };
  pdfDirectory: string;
}

export function loadConfig(): Config {
  const key = file('ENCRYPTION_KEY_FILE');
  if (!/^[0-9a-f]{64}$/i.test(key)) throw new Error('ENCRYPTION_KEY_FILE must hold 64 hexadecimal digits');
  return {
    port: integer('PORT', 3001, 1, 65535),
    database: databaseConfig(),
    redis: {
      host: text('REDIS_HOST', 'localhost'),
      port: integer('REDIS_PORT', 6379, 1, 65535),
      password: file('REDIS_PASSWORD_FILE'),
    },
    encryptionKey: Buffer.from(key, 'hex'),
    allowedOrigins: (process.env.ALLOWED_ORIGINS ?? '').split(',').map((origin) => origin.trim()).filter(Boolean),
    rateLimit: {
      max: integer('RATE_LIMIT_MAX', 100, 1, 1_000_000),
      windowSeconds: integer('RATE_LIMIT_WINDOW_SECONDS', 60, 1, 86_400),
    },
    pdfDirectory: text('PDF_DIR', '/app/storage/pdfs'),
  };
}

/** The token under which modules ask for the configuration. */
export const CONFIG = Symbol('config');
