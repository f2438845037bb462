import { backend, logFailure } from '@/lib/backend';
import { backToPage, isFromOurPage, isId } from '@/lib/form-post';

type Context = { params: Promise<{ id: string }> };

/** Has the document produced. */
export async function POST(request: Request, { params }: Context): Promise<Response> {
  if (!isFromOurPage(request)) return new Response('Forbidden\n', { status: 403 });
  const { id } = await params;
  if (!isId(id)) return new Response('Not Found\n', { status: 404 });
  try {
    const answer = await backend(`/mandates/${id}/pdf`, { method: 'POST' });
    const body = await answer.json();
    if (answer.status === 201) return backToPage({ issued: body.reference });
    if (answer.status === 404) return backToPage({ error: 'missing' });
    if (answer.status === 429) return backToPage({ error: 'busy' });
    throw new Error(`the backend answered ${answer.status}`);
  } catch (error) {
    logFailure('pdf_not_issued', error);
    return backToPage({ error: 'unavailable' });
  }
}

/** Passes the document on to the browser. */
export async function GET(_request: Request, { params }: Context): Promise<Response> {
  const { id } = await params;
  if (!isId(id)) return new Response('Not Found\n', { status: 404 });
  try {
    const answer = await backend(`/mandates/${id}/pdf`);
    if (answer.status !== 200) {
      await answer.body?.cancel();
      const status = answer.status === 404 || answer.status === 429 ? answer.status : 502;
      return new Response('The document is not available\n', { status });
    }
    const headers = new Headers({ 'Cache-Control': 'no-store' });
    for (const name of ['Content-Type', 'Content-Length', 'Content-Disposition']) {
      const value = answer.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    return new Response(answer.body, { headers });
  } catch (error) {
    logFailure('pdf_not_read', error);
    return new Response('The document is not available\n', { status: 502 });
  }
}
