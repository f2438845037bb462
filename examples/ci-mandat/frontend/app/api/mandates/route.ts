import { backend, logFailure } from '@/lib/backend';
import { FIELDS } from '@/lib/fields';
import { backToPage, isFromOurPage } from '@/lib/form-post';

/** The form of the page posts here. */
export async function POST(request: Request): Promise<Response> {
  if (!isFromOurPage(request)) return new Response('Forbidden\n', { status: 403 });
  let form: FormData;
  try {
    form = await request.formData();
  } catch {
    return new Response('Bad Request\n', { status: 400 });
  }
  const mandate = Object.fromEntries(FIELDS.map(({ name }) => [name, String(form.get(name) ?? '')]));

  try {
    const answer = await backend('/mandates', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(mandate),
    });
    const body = await answer.json();
    if (answer.status === 201) return backToPage({ created: body.reference });
    if (answer.status === 409) return backToPage({ error: 'duplicate' });
    if (answer.status === 429) return backToPage({ error: 'busy' });
    if (answer.status === 400) return backToPage({ error: 'invalid', fields: [body.fields ?? []].flat().join(' ') });
    throw new Error(`the backend answered ${answer.status}`);
  } catch (error) {
    logFailure('mandate_not_created', error);
    return backToPage({ error: 'unavailable' });
  }
}
