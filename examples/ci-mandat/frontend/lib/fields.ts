/** The fields of the form, in the order in which they are shown. */
export const FIELDS = [
  { name: 'nom', label: 'Nom', type: 'text', autoComplete: 'family-name', maxLength: 100 },
  { name: 'prenom', label: 'Prénom', type: 'text', autoComplete: 'given-name', maxLength: 100 },
  { name: 'fonction', label: 'Fonction', type: 'text', autoComplete: 'organization-title', maxLength: 100 },
  { name: 'email', label: 'Adresse électronique', type: 'email', autoComplete: 'email', maxLength: 254 },
  { name: 'telephone', label: 'Téléphone', type: 'tel', autoComplete: 'tel', maxLength: 20 },
  { name: 'circonscription', label: 'Circonscription', type: 'text', autoComplete: 'off', maxLength: 100 },
] as const;
