import 'server-only';

/**
 * Did this form post come from a page of ours? A browser tells where a post comes from; one that another site has sent
 * on a visitor's behalf is turned away. A client that is no browser sends neither header.
 */
export function isFromOurPage(request: Request): boolean {
  const site = request.headers.get('sec-fetch-site');
  if (site !== null) return site === 'same-origin' || site === 'none';
  const origin = request.headers.get('origin');
  if (origin === null) return true;
  return URL.canParse(origin) && new URL(origin).host === request.headers.get('host');
}

/** Back to the page with a word on how it went. Relative, because the outside name of this server is not known here. */
export function backToPage(result: Record<string, string>): Response {
  return new Response(null, { status: 303, headers: { Location: `/?${new URLSearchParams(result)}` } });
}

export const isId = (id: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id);
