-- A mandate: the request of one person to represent the campaign in a constituency.
--
-- Name, e-mail and telephone are personal data. They reach the database as one encrypted value only, together with a
-- keyed hash of the e-mail address, so that "one mandate for each address" holds without the address being readable.
CREATE TABLE mandates (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    reference        text NOT NULL UNIQUE CHECK (reference ~ '^MND-[0-9A-HJKMNP-TV-Z]{8}-[0-9A-HJKMNP-TV-Z]{4}$'),
    status           text NOT NULL DEFAULT 'pending_validation'
                     CHECK (status IN ('pending_validation', 'completed', 'cancelled')),
    fonction         text NOT NULL CHECK (length(fonction) BETWEEN 1 AND 100),
    circonscription  text NOT NULL CHECK (length(circonscription) BETWEEN 1 AND 100),
    personal_data    text NOT NULL CHECK (personal_data LIKE 'v1.%'),
    email_index      bytea NOT NULL UNIQUE CHECK (octet_length(email_index) = 32),
    created_at       timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX mandates_newest_first ON mandates (created_at DESC, id);
