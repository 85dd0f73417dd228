-- Who asks is derived inside the database, from the digest of the session's token; more roles; people without a password.

ALTER TABLE account DROP CONSTRAINT account_role_check;
ALTER TABLE account ADD CONSTRAINT account_role_check
    CHECK (role IN ('owner', 'family', 'installer', 'operator', 'police', 'approver', 'auditor', 'admin'));
-- Somebody who was enrolled and has not accepted an invitation has no password, and cannot log in.
ALTER TABLE account ALTER COLUMN password_hash DROP NOT NULL;
-- E.164; ITU-T E.164 allows 15 digits.
ALTER TABLE account ADD COLUMN phone text UNIQUE CONSTRAINT account_phone_check CHECK (phone ~ '^\+[1-9][0-9]{6,14}$');
-- The unit of the organisation that looks after the vehicle; an account and a tracker have theirs.
ALTER TABLE vehicle ADD COLUMN unit_id bigint REFERENCES unit;
CREATE INDEX vehicle_unit ON vehicle (unit_id) WHERE unit_id IS NOT NULL;

-- Who asks, as far as rights go. Of somebody in no organisation `unit_id` and `organisation_id` are NULL.
CREATE TYPE asker AS (account_id bigint, role text, unit_id bigint, organisation_id bigint);

-- Who has the session with this token's SHA-256, if it lives and the role is one of these; a refusal otherwise. Every
-- function for the API begins with it: the API's process cannot name an account, it can only pass on what a person showed.
CREATE FUNCTION asker_of(p_token bytea, VARIADIC p_roles text[]) RETURNS asker
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker;
BEGIN
    SELECT p.account_id, p.role, p.unit_id, u.organisation_id INTO who
    FROM session s JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id)
    WHERE s.token_sha256 = p_token AND s.expires_at > now() AND NOT p.disabled;
    IF NOT FOUND THEN PERFORM refuse('P0401', 'session_ended', 'the session has ended; log in again'); END IF;
    IF NOT who.role = ANY (p_roles) THEN
        PERFORM refuse('P0403', 'wrong_role', format('this is for %s; you are %s', array_to_string(p_roles, ' or '), who.role),
            jsonb_build_object('roles', p_roles, 'role', who.role));
    END IF;
    RETURN who;
END $$;

-- Whether somebody may know of a thing that this unit looks after. Organisations are a wall: each sees its own, who is in
-- none sees what is in none, and an administrator in none sees everything.
CREATE FUNCTION is_within(p_who asker, p_unit bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (p_who.role = 'admin' AND p_who.organisation_id IS NULL)
        OR p_who.organisation_id IS NOT DISTINCT FROM (SELECT u.organisation_id FROM unit u WHERE u.unit_id = p_unit)
$$;

-- A person without a password looks like nobody.
CREATE OR REPLACE FUNCTION api_account(p_login text) RETURNS TABLE (account_id bigint, name text, role text, password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT account_id, name, role, password_hash FROM account WHERE login = p_login AND NOT disabled AND password_hash IS NOT NULL
$$;
