import 'server-only';

export interface MandateSummary {
  id: string;
  reference: string;
  status: string;
  nom: string;
  prenom: string;
  fonction: string;
  circonscription: string;
  createdAt: string;
  pdf: boolean;
}

// Read when a request comes in, not when the image is built: one image then serves every deployment.
function backendUrl(): string {
  return (process.env.BACKEND_URL ?? 'http://localhost:3001').replace(/\/+$/, '');
}

/** Asks the API. The browser never does: it knows this server only. */
export function backend(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${backendUrl()}/api/v1${path}`, { ...init, cache: 'no-store', signal: AbortSignal.timeout(10_000) });
}

export function logFailure(event: string, error: unknown): void {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const reason = cause instanceof Error ? cause.message : String(cause);
  console.error(JSON.stringify({ time: new Date().toISOString(), level: 'error', event, reason }));
}
