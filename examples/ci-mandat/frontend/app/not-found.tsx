import { connection } from 'next/server';

export default async function NotFound() {
  // Made for each request, as the page is: one that was made at build time could not carry the nonce for its scripts.
  await connection();
  return (
    <main>
      <h1>CI-Mandat</h1>
      <p role="alert">
        Cette page n&apos;existe pas. <a href="/">Retour à l&apos;accueil</a>
      </p>
    </main>
  );
}
