-- The PDF that was issued for a mandate. The file lies on a volume; its hash here shows that it is still the same one.
CREATE TABLE documents (
    mandate_id  uuid PRIMARY KEY REFERENCES mandates (id) ON DELETE CASCADE,
    sha256      bytea NOT NULL CHECK (octet_length(sha256) = 32),
    bytes       integer NOT NULL CHECK (bytes > 0),
    created_at  timestamptz NOT NULL DEFAULT now()
);
