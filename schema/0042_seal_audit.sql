-- The audit is chained: each row is hashed onto those before it, and the heads are signed (docs/audit.md).

-- The transaction that a row came by; 0: it came before this migration. What is decided about transactions below the oldest
-- one that still runs stays so: a row of such a one that no seal holds did not come by the program.
ALTER TABLE audit ADD COLUMN xact xid8 NOT NULL DEFAULT '0';
ALTER TABLE audit ALTER COLUMN xact SET DEFAULT pg_current_xact_id();
CREATE INDEX audit_xact ON audit (xact);

-- A seal names its rows, so the order of the chain needs neither a clock nor transaction numbers, which begin again
-- where a dump comes into another server.
CREATE TABLE audit_seal (
    number      bigint PRIMARY KEY CHECK (number > 0),
    ids         int8multirange NOT NULL,        -- its rows by audit_id; the chain has them in this order
    rows        bigint NOT NULL CHECK (rows > 0), -- of this seal and of all before it
    head        bytea NOT NULL CHECK (octet_length(head) = 32),
    sealed_at   timestamptz NOT NULL,
    signature   bytea NOT NULL CHECK (octet_length(signature) = 64),
    cluster     bigint NOT NULL,                -- system identifier of the server that it was made on
    decided     xid8 NOT NULL,                  -- what rows of lower transactions there are, seals up to this one hold
    before      xid8 NOT NULL                   -- each of its rows has a lower transaction
);
CREATE INDEX audit_seal_before ON audit_seal (before);

CREATE OR REPLACE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse('P0403', 'refused', format('rows of %s are only added', TG_TABLE_NAME));
    RETURN NULL;
END $$;
CREATE TRIGGER audit_seal_is_only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();

-- Whoever seals reads the audit and adds seals, nothing else. Roles belong to the server: another database of it, or
-- another migration, may have made this one.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rideguard_seal_rights') THEN
        CREATE ROLE rideguard_seal_rights NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
GRANT USAGE ON SCHEMA public TO rideguard_seal_rights;
GRANT SELECT ON audit, audit_seal TO rideguard_seal_rights;
GRANT INSERT ON audit_seal TO rideguard_seal_rights;
