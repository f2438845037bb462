import type { ClientConfig } from 'pg';
import type { DatabaseConfig } from './config';

/** TLS is not optional, and the certificate must be signed by our authority for the name we connect to. */
export function connectionOptions(database: DatabaseConfig): ClientConfig {
  return {
    host: database.host,
    port: database.port,
    user: database.user,
    database: database.database,
    password: database.password,
    ssl: { ca: database.authority, rejectUnauthorized: true, minVersion: 'TLSv1.2', servername: database.host },
    connectionTimeoutMillis: 3_000,
    application_name: 'ci-mandat-backend',
  };
}
