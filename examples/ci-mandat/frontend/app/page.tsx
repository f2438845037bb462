import { backend, logFailure, type MandateSummary } from '@/lib/backend';
import { FIELDS } from '@/lib/fields';

// Made anew for each request: it shows data, and its scripts carry a nonce.
export const dynamic = 'force-dynamic';

const ERRORS: Record<string, string> = {
  invalid: 'La demande est incomplète ou contient une erreur',
  duplicate: 'Une demande existe déjà pour cette adresse électronique.',
  missing: "Ce mandat n'existe pas.",
  busy: 'Trop de demandes. Réessayez dans une minute.',
  unavailable: 'Le service est momentanément indisponible. Réessayez plus tard.',
};

type Query = Record<string, string | string[] | undefined>;

export default async function Page({ searchParams }: { searchParams: Promise<Query> }) {
  const query = await searchParams;
  const mandates = await list();

  return (
    <main>
      <h1>CI-Mandat</h1>
      <p>Demande de mandat de représentation pour la campagne électorale.</p>
      <Notice query={query} />

      <section aria-labelledby="new">
        <h2 id="new">Nouvelle demande</h2>
        <form id="mandate" action="/api/mandates" method="post">
          {FIELDS.map(({ label, ...field }) => (
            <label key={field.name}>
              {label}
              <input {...field} required />
            </label>
          ))}
          <button id="create" type="submit">
            Demander un mandat
          </button>
        </form>
      </section>

      <section aria-labelledby="list">
        <h2 id="list">Mandats</h2>
        {mandates === undefined ? (
          <p role="alert" id="unavailable">
            {ERRORS.unavailable}
          </p>
        ) : (
          <ul id="mandates">
            {mandates.map((mandate) => (
              <Entry key={mandate.id} mandate={mandate} />
            ))}
          </ul>
        )}
        {mandates?.length === 0 && <p>Aucune demande pour le moment.</p>}
      </section>
    </main>
  );
}

async function list(): Promise<MandateSummary[] | undefined> {
  try {
    const answer = await backend('/mandates');
    if (!answer.ok) throw new Error(`the backend answered ${answer.status}`);
    return await answer.json();
  } catch (error) {
    logFailure('mandates_not_listed', error);
    return undefined;
  }
}

function Notice({ query }: { query: Query }) {
  const value = (name: string) => (typeof query[name] === 'string' ? query[name] : undefined);
  const error = value('error');
  if (error !== undefined && Object.hasOwn(ERRORS, error)) {
    const fields = value('fields')?.split(' ') ?? [];
    const labels = FIELDS.filter(({ name }) => fields.includes(name)).map(({ label }) => label);
    return (
      <p role="alert" id="error" data-error={error}>
        {ERRORS[error]}
        {labels.length > 0 && ` : ${labels.join(', ')}`}
      </p>
    );
  }
  // Only what looks like a reference is repeated on the page: anyone can write a link to it.
  const reference = (name: string) => /^MND-[0-9A-Z]{8}-[0-9A-Z]{4}$/.exec(value(name) ?? '')?.[0];
  const created = reference('created');
  if (created) return <Success text={`Demande enregistrée sous la référence ${created}.`} />;
  const issued = reference('issued');
  if (issued) return <Success text={`Le document ${issued} est prêt.`} />;
  return null;
}

function Success({ text }: { text: string }) {
  return (
    <p role="status" id="success">
      {text}
    </p>
  );
}

function Entry({ mandate }: { mandate: MandateSummary }) {
  const path = `/api/mandates/${mandate.id}/pdf`;
  return (
    <li data-mandate-id={mandate.id} data-reference={mandate.reference} data-status={mandate.status}>
      <span>
        <strong>
          {mandate.prenom} {mandate.nom}
        </strong>
        , {mandate.fonction}, {mandate.circonscription}
        <br />
        <small>{mandate.reference}</small>
      </span>
      {mandate.pdf ? (
        <a className="download" href={path} download>
          Télécharger le PDF
        </a>
      ) : (
        <form className="issue" action={path} method="post">
          <button type="submit">Produire le PDF</button>
        </form>
      )}
    </li>
  );
}
