-- The schema of CI-Mandat as a whole, to read or to load into a scratch database.
--
-- No deployment runs this file. The backend's migrations (../backend/migrations) build the same schema step by step, so
-- that a database with data in it can follow too; what stands below is those files, one after the other.

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

-- The PDF that was issued for a mandate. The file lies on a volume; its hash here shows that it is still the same one.
CREATE TABLE documents (
    mandate_id  uuid PRIMARY KEY REFERENCES mandates (id) ON DELETE CASCADE,
    sha256      bytea NOT NULL CHECK (octet_length(sha256) = 32),
    bytes       integer NOT NULL CHECK (bytes > 0),
    created_at  timestamptz NOT NULL DEFAULT now()
);
