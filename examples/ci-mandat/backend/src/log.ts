/** One JSON object on a line of standard output. Never pass personal data or a request body in here. */
export function log(level: 'info' | 'warn' | 'error', event: string, fields: Record<string, unknown> = {}): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, event, ...fields })}\n`);
}

/** An event that whoever watches for attacks wants to see. */
export function securityLog(event: string, fields: Record<string, unknown>): void {
  log('warn', event, { category: 'security', ...fields });
}

export function reason(error: unknown): string {
  // Node reports a failed connection to a name with several addresses as one error with an empty message.
  if (error instanceof AggregateError && error.errors.length > 0) return reason(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
