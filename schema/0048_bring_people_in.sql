-- People come in by a code that is used once; they log in by login or phone, with a second factor; sessions are seen and ended.

-- A machine's or a test's account, which is not asked for a second factor although its role is.
ALTER TABLE account ADD COLUMN without_second_factor boolean NOT NULL DEFAULT false,
    ADD COLUMN version integer NOT NULL DEFAULT 1;    -- of the ETag; 0049 counts it

ALTER TABLE session
    ADD COLUMN session_id bigint NOT NULL DEFAULT random_id() UNIQUE,
    ADD COLUMN last_used_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN user_agent text NOT NULL DEFAULT '' CHECK (length(user_agent) <= 200);

-- The secret of an account's TOTP (RFC 6238), sealed under a key that the API's process has. A step is used once.
CREATE TABLE second_factor (
    account_id bigint PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    sealed     bytea NOT NULL CHECK (octet_length(sealed) BETWEEN 29 AND 128),
    last_step  bigint NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT now()
);
-- SHA-256 of 80 random bits each; a row goes when its code is used.
CREATE TABLE recovery_code (
    account_id  bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    code_sha256 bytea NOT NULL CHECK (octet_length(code_sha256) = 32),
    PRIMARY KEY (account_id, code_sha256)
);
-- One table for each kind of code: what opens one door is not looked for at another.
CREATE TABLE setup_code (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    code_sha256 bytea NOT NULL CHECK (octet_length(code_sha256) = 32),
    made_at     timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE invitation (
    account_id  bigint PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    code_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(code_sha256) = 32),
    made_by     bigint REFERENCES account,
    made_at     timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);
CREATE TABLE password_reset (LIKE invitation INCLUDING ALL);
ALTER TABLE password_reset ADD FOREIGN KEY (account_id) REFERENCES account ON DELETE CASCADE,
    ADD FOREIGN KEY (made_by) REFERENCES account;

-- What is kept of a person who is erased goes, too.
CREATE FUNCTION forget_erased_person() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM second_factor WHERE account_id = NEW.account_id;
    DELETE FROM recovery_code WHERE account_id = NEW.account_id;
    DELETE FROM invitation WHERE account_id = NEW.account_id;
    DELETE FROM password_reset WHERE account_id = NEW.account_id;
    NEW.phone := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER forget_erased_person BEFORE UPDATE OF login ON account
    FOR EACH ROW WHEN (NEW.login = 'erased-' || NEW.account_id) EXECUTE FUNCTION forget_erased_person();

-- Whether a person of this role logs in with a second factor.
CREATE FUNCTION must_have_second_factor(p account) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p.role NOT IN ('owner', 'family') AND NOT p.without_second_factor
$$;

-- The hash of a password leaves the database for nobody. The API is told how to compute it: algorithm, version, parameters and
-- salt of the PHC string. It computes, and hands the whole string back, which is compared here.
CREATE FUNCTION password_recipe(p_hash text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT substring(p_hash FROM '^([$]argon2id[$]v=[0-9]+[$][a-z]=[a-z0-9=,]+[$][A-Za-z0-9+/]+)[$][A-Za-z0-9+/]+$')
$$;
-- Digests are compared: how far two strings agree takes no time that tells.
CREATE FUNCTION is_password_of(p account, p_hash text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(sha256(convert_to(p.password_hash, 'UTF8')) = sha256(convert_to(p_hash, 'UTF8')), false)
$$;
-- The account that somebody names by login, or by phone in E.164. A login goes before a phone.
CREATE FUNCTION account_named(p_login text, p_phone text) RETURNS SETOF account LANGUAGE sql STABLE AS $$
    SELECT p FROM account p WHERE (p.login = p_login OR p.phone = p_phone) AND NOT p.disabled AND p.password_hash IS NOT NULL
    ORDER BY p.login = p_login DESC LIMIT 1
$$;
DROP FUNCTION api_account(text);
CREATE FUNCTION api_password_recipe(p_login text, p_phone text) RETURNS TABLE (login text, recipe text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.login, password_recipe(p.password_hash) FROM account_named(p_login, p_phone) p
$$;
-- Of whom this is the password, and nobody otherwise.
CREATE FUNCTION api_account(p_login text, p_phone text, p_hash text)
RETURNS TABLE (account_id bigint, login text, name text, role text, sealed bytea, must_have_factor boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.account_id, p.login, p.name, p.role, f.sealed, must_have_second_factor(p)
    FROM account_named(p_login, p_phone) p LEFT JOIN second_factor f USING (account_id) WHERE is_password_of(p, p_hash)
$$;

CREATE OR REPLACE FUNCTION api_known_logins(p_limit integer) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT n.name FROM account p, LATERAL (VALUES (p.login), (p.phone)) AS n (name) WHERE NOT p.disabled AND n.name IS NOT NULL
        AND EXISTS (SELECT FROM audit a WHERE a.account_id = p.account_id AND a.action = 'log_in') LIMIT p_limit
$$;

-- Whose session this is. `is_stale`: its last use was noted more than a minute ago.
DROP FUNCTION api_session(bytea);
CREATE FUNCTION api_session(p_token bytea)
RETURNS TABLE (account_id bigint, login text, name text, role text, organisation text, is_stale boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.account_id, p.login, p.name, p.role, o.name, s.last_used_at < now() - interval '1 minute'
    FROM session s JOIN account p USING (account_id)
    LEFT JOIN unit u USING (unit_id) LEFT JOIN organisation o USING (organisation_id)
    WHERE s.token_sha256 = p_token AND s.expires_at > now() AND NOT p.disabled
$$;
CREATE FUNCTION api_touch_session(p_token bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE session SET last_used_at = now() WHERE token_sha256 = p_token AND last_used_at < now() - interval '1 minute'
$$;

-- Opens a session for whoever showed the password: it is compared in the same call.
DROP FUNCTION api_open_session(bytea, bigint, double precision);
CREATE FUNCTION api_open_session(p_token bytea, p_account bigint, p_hash text, p_seconds double precision, p_user_agent text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE until timestamptz := now() + make_interval(secs => p_seconds);
BEGIN
    PERFORM FROM account p WHERE p.account_id = p_account AND is_password_of(p, p_hash) AND NOT p.disabled
        AND (NOT must_have_second_factor(p) OR EXISTS (SELECT FROM second_factor f WHERE f.account_id = p_account)) FOR SHARE OF p;
    IF NOT FOUND THEN PERFORM refuse('P0401', 'session_ended', 'the session has ended; log in again'); END IF;
    DELETE FROM session WHERE expires_at < now();
    INSERT INTO session (token_sha256, account_id, expires_at, user_agent) VALUES (p_token, p_account, until, left(p_user_agent, 200));
    RETURN until;
END $$;

-- Uses a step of the clock, which is used once; or a recovery code, which is, too: of whoever showed the password.
CREATE FUNCTION api_use_step(p_account bigint, p_hash text, p_step bigint) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH used AS (UPDATE second_factor f SET last_step = p_step FROM account p
        WHERE f.account_id = p_account AND f.last_step < p_step AND p.account_id = p_account AND is_password_of(p, p_hash) RETURNING 1)
    SELECT EXISTS (SELECT FROM used)
$$;
CREATE FUNCTION api_use_recovery_code(p_account bigint, p_hash text, p_code bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM recovery_code c USING account p
        WHERE c.account_id = p_account AND c.code_sha256 = p_code AND p.account_id = p_account AND is_password_of(p, p_hash);
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM write_audit(p_account, NULL, 'recovery_code_used',
        jsonb_build_object('left', (SELECT count(*) FROM recovery_code WHERE account_id = p_account)), NULL);
    RETURN true;
END $$;

-- Puts a second factor and its recovery codes in the place of those there were.
CREATE FUNCTION put_second_factor(p_account bigint, p_sealed bytea, p_step bigint, p_codes bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO second_factor (account_id, sealed, last_step) VALUES (p_account, p_sealed, p_step)
        ON CONFLICT (account_id) DO UPDATE SET sealed = EXCLUDED.sealed, last_step = EXCLUDED.last_step, made_at = now();
    PERFORM put_recovery_codes(p_account, p_codes);
    PERFORM write_audit(p_account, NULL, 'second_factor', '{"change": "enrolled"}', NULL);
END $$;
CREATE FUNCTION put_recovery_codes(p_account bigint, p_codes bytea[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM recovery_code WHERE account_id = p_account;
    INSERT INTO recovery_code SELECT p_account, unnest(p_codes);
$$;
-- The first second factor of somebody who showed the password.
CREATE FUNCTION api_enrol(p_account bigint, p_hash text, p_sealed bytea, p_step bigint, p_codes bytea[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM account p WHERE p.account_id = p_account AND is_password_of(p, p_hash) AND NOT p.disabled FOR UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM second_factor WHERE account_id = p_account) THEN RETURN false; END IF;
    PERFORM put_second_factor(p_account, p_sealed, p_step, p_codes);
    RETURN true;
END $$;

-- First start.
CREATE FUNCTION has_administrator() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM account WHERE role = 'admin' AND NOT disabled AND password_hash IS NOT NULL)
$$;
CREATE FUNCTION refuse_code() RETURNS void LANGUAGE sql AS $$
    SELECT refuse('P0404', 'code_ended', 'the link was used, replaced or withdrawn, or its time is over; ask for a new one')
$$;
-- The unit of this name, made where it is missing.
CREATE FUNCTION put_unit(p_organisation text, p_kind text, p_unit text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE id bigint;
BEGIN
    INSERT INTO organisation (name, kind) VALUES (p_organisation, p_kind) ON CONFLICT DO NOTHING;
    INSERT INTO unit (organisation_id, name) SELECT organisation_id, p_unit FROM organisation WHERE name = p_organisation ON CONFLICT DO NOTHING;
    SELECT u.unit_id INTO id FROM unit u JOIN organisation o USING (organisation_id) WHERE o.name = p_organisation AND u.name = p_unit;
    RETURN id;
END $$;
-- A login that nobody else has, and that is no phone number of somebody else.
CREATE FUNCTION check_login(p_login text, p_account bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_login !~ '^[A-Za-z0-9._@-]{1,64}$' OR p_login !~ '[A-Za-z]' OR p_login ~ '^erased-' THEN
        PERFORM refuse('P0400', 'login_form', 'login has a letter and 1 to 64 of A-Z a-z 0-9 . _ @ -', '{"field": "login", "max": 64}');
    END IF;
    IF EXISTS (SELECT FROM account WHERE login = p_login AND account_id IS DISTINCT FROM p_account) THEN
        PERFORM refuse('P0409', 'login_taken', 'somebody has this login already; choose another', '{"field": "login"}');
    END IF;
END $$;
CREATE FUNCTION check_phone_free(p_phone text, p_account bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM account WHERE phone = p_phone AND account_id IS DISTINCT FROM p_account) THEN
        PERFORM refuse('P0409', 'phone_taken', 'an account with this phone number is there already', '{"field": "phone"}');
    END IF;
END $$;
CREATE FUNCTION api_check_setup(p_code bytea) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF has_administrator() OR NOT EXISTS (SELECT FROM setup_code WHERE code_sha256 = p_code) THEN PERFORM refuse_code(); END IF;
END $$;
CREATE FUNCTION api_set_up(p_code bytea, p_login text, p_name text, p_phone text, p_hash text, p_organisation text, p_unit text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE id bigint;
BEGIN
    DELETE FROM setup_code WHERE code_sha256 = p_code;
    IF NOT FOUND OR has_administrator() THEN PERFORM refuse_code(); END IF;
    PERFORM check_login(p_login, NULL);
    PERFORM check_phone_free(p_phone, NULL);
    INSERT INTO account (login, name, role, phone, password_hash, unit_id) VALUES (p_login, p_name, 'admin', p_phone, p_hash,
        CASE WHEN p_organisation IS NOT NULL THEN put_unit(p_organisation, 'operator', p_unit) END) RETURNING account_id INTO id;
    PERFORM write_audit(id, NULL, 'set_up', '{}', NULL);
    RETURN id;
END $$;

-- What people see of an account that they look after.
CREATE FUNCTION account_as_json(p account) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', p.account_id::text, 'login', p.login, 'name', p.name, 'role', p.role, 'phone', p.phone,
        'organisation', o.name, 'unit', u.name, 'created_at', p.created_at,
        'state', CASE WHEN p.disabled THEN 'disabled' WHEN p.password_hash IS NOT NULL THEN 'active'
            WHEN r.expires_at > now() THEN 'reset' WHEN i.expires_at > now() THEN 'invited' ELSE 'not_invited' END,
        'code_expires_at', CASE WHEN p.password_hash IS NULL AND NOT p.disabled THEN coalesce(r.expires_at, i.expires_at) END,
        'has_second_factor', EXISTS (SELECT FROM second_factor f WHERE f.account_id = p.account_id),
        'last_log_in_at', (SELECT max(s.created_at) FROM session s WHERE s.account_id = p.account_id), 'version', p.version)
    FROM (SELECT 1) one LEFT JOIN unit u ON u.unit_id = p.unit_id LEFT JOIN organisation o USING (organisation_id)
    LEFT JOIN invitation i ON i.account_id = p.account_id LEFT JOIN password_reset r ON r.account_id = p.account_id
$$;
-- Whether somebody looks after accounts of this role.
CREATE FUNCTION looks_after(p_who asker, p_role text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p_who.role = 'admin' OR (p_who.role = 'operator' AND p_role IN ('owner', 'family', 'installer'))
$$;
-- An account that somebody looks after, locked; what is another organisation's is missing.
CREATE FUNCTION account_of(p_who asker, p_account bigint) RETURNS account LANGUAGE plpgsql AS $$
DECLARE p account;
BEGIN
    SELECT * INTO p FROM account WHERE account_id = p_account FOR UPDATE;
    IF p.account_id IS NULL OR NOT is_within(p_who, p.unit_id) OR NOT looks_after(p_who, p.role) OR p.login ~ '^erased-' THEN
        RAISE EXCEPTION 'no such account' USING ERRCODE = 'P0404';
    END IF;
    RETURN p;
END $$;

CREATE FUNCTION api_accounts(p_token bytea, p_text text, p_role text, p_organisation text, p_after bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who      asker := asker_of(p_token, 'operator', 'admin');
    returned integer;
BEGIN
    RETURN QUERY SELECT account_as_json(p) FROM account p LEFT JOIN unit u USING (unit_id) LEFT JOIN organisation o USING (organisation_id)
        WHERE is_within(who, p.unit_id) AND looks_after(who, p.role) AND p.login !~ '^erased-' AND (p_role IS NULL OR p.role = p_role)
            AND (p_organisation IS NULL OR o.name = p_organisation) AND (p_after IS NULL OR p.account_id > p_after)
            AND (p_text = '' OR strpos(lower(p.name), lower(p_text)) > 0 OR strpos(lower(p.login), lower(p_text)) > 0
                OR strpos(p.phone, regexp_replace(p_text, '[ -]', '', 'g')) > 0)
        ORDER BY p.account_id LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'accounts', jsonb_build_object('role', p_role, 'organisation', p_organisation), returned);
END $$;
CREATE FUNCTION api_organisations(p_token bytea) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN QUERY SELECT jsonb_build_object('name', o.name, 'kind', o.kind,
            'units', ARRAY(SELECT u.name FROM unit u WHERE u.organisation_id = o.organisation_id ORDER BY 1))
        FROM organisation o WHERE o.organisation_id = who.organisation_id OR (who.role = 'admin' AND who.organisation_id IS NULL) ORDER BY o.name;
END $$;

-- What two asked for at once, as a refusal with a word.
CREATE FUNCTION refuse_account_taken(p_constraint text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_constraint = 'account_phone_key' THEN
        PERFORM refuse('P0409', 'phone_taken', 'an account with this phone number is there already', '{"field": "phone"}');
    END IF;
    PERFORM refuse('P0409', 'login_taken', 'somebody has this login already; choose another', '{"field": "login"}');
END $$;
-- Makes an account that comes in by an invitation. An organisation is made by an administrator in none only.
CREATE FUNCTION api_invite(p_token bytea, p_login text, p_name text, p_role text, p_phone text, p_organisation text, p_kind text, p_unit text, p_code bytea)
RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    own text := (SELECT name FROM organisation WHERE organisation_id = who.organisation_id);
    at  bigint := who.unit_id;
    p   account;
    broken text;
BEGIN
    IF NOT looks_after(who, p_role) THEN
        PERFORM refuse('P0403', 'not_your_role', format('an operator invites owners, family and installers, not %s', p_role), jsonb_build_object('role', p_role));
    END IF;
    IF who.organisation_id IS NULL AND who.role <> 'admin' THEN
        at := NULL;
        IF p_organisation IS NOT NULL THEN PERFORM refuse('P0404', 'no_such_organisation', 'no organisation of yours has this name'); END IF;
    ELSIF p_organisation IS NOT NULL THEN
        IF who.organisation_id IS NOT NULL AND p_organisation IS DISTINCT FROM own THEN
            PERFORM refuse('P0404', 'no_such_organisation', 'no organisation of yours has this name');
        END IF;
        at := put_unit(p_organisation, p_kind, coalesce(p_unit, p_organisation));
    ELSIF p_unit IS NOT NULL AND own IS NOT NULL THEN
        at := put_unit(own, 'operator', p_unit);
    END IF;
    IF p_login IS NOT NULL THEN PERFORM check_login(p_login, NULL); END IF;
    PERFORM check_phone_free(p_phone, NULL);
    INSERT INTO account (login, name, role, phone, unit_id) VALUES (coalesce(p_login, 'u' || substr(md5(gen_random_uuid()::text), 1, 15)), p_name, p_role, p_phone, at)
        RETURNING * INTO p;
    INSERT INTO invitation VALUES (p.account_id, p_code, who.account_id, now(), now() + interval '72 hours');
    PERFORM write_audit(who.account_id, NULL, 'invite', jsonb_build_object('account', p.account_id, 'role', p_role), NULL);
    RETURN account_as_json(p);
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
    PERFORM refuse_account_taken(broken);
END $$;
CREATE FUNCTION api_renew_invitation(p_token bytea, p_account bigint, p_code bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    p   account := account_of(who, p_account);
BEGIN
    IF p.disabled THEN PERFORM refuse('P0409', 'account_disabled', 'the account is disabled; enable it first'); END IF;
    IF p.password_hash IS NOT NULL OR EXISTS (SELECT FROM password_reset WHERE account_id = p_account) THEN
        PERFORM refuse('P0409', 'already_in', 'the account has a password already; reset it instead');
    END IF;
    INSERT INTO invitation VALUES (p_account, p_code, who.account_id, now(), now() + interval '72 hours')
        ON CONFLICT (account_id) DO UPDATE SET code_sha256 = p_code, made_by = who.account_id, made_at = now(), expires_at = EXCLUDED.expires_at;
    PERFORM write_audit(who.account_id, NULL, 'invite', jsonb_build_object('account', p_account, 'again', true), NULL);
    RETURN account_as_json(p);
END $$;
CREATE FUNCTION api_revoke_invitation(p_token bytea, p_account bigint) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    p   account := account_of(who, p_account);
BEGIN
    DELETE FROM invitation WHERE account_id = p_account;
    PERFORM write_audit(who.account_id, NULL, 'invitation_revoked', jsonb_build_object('account', p_account), NULL);
    RETURN account_as_json(p);
END $$;
-- What whoever has the code is shown. A link is dead as soon as there is a password, whoever has set it: the command may, too.
CREATE FUNCTION api_invitation(p_code bytea) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE said jsonb;
BEGIN
    SELECT jsonb_build_object('name', p.name, 'role', p.role, 'organisation', o.name, 'login', p.login, 'has_phone', p.phone IS NOT NULL,
            'second_factor', must_have_second_factor(p), 'expires_at', i.expires_at) INTO said
        FROM invitation i JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id) LEFT JOIN organisation o USING (organisation_id)
        WHERE i.code_sha256 = p_code AND i.expires_at > now() AND NOT p.disabled AND p.password_hash IS NULL;
    IF said IS NULL THEN PERFORM refuse_code(); END IF;
    RETURN said;
END $$;
CREATE FUNCTION api_accept_invitation(p_code bytea, p_login text, p_hash text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE id bigint;
    now_login text;
BEGIN
    DELETE FROM invitation i USING account p
        WHERE p.account_id = i.account_id AND i.code_sha256 = p_code AND i.expires_at > now() AND NOT p.disabled AND p.password_hash IS NULL
        RETURNING i.account_id INTO id;
    IF id IS NULL THEN PERFORM refuse_code(); END IF;
    IF p_login IS NOT NULL THEN PERFORM check_login(p_login, id); END IF;
    UPDATE account SET password_hash = p_hash, login = coalesce(p_login, login) WHERE account_id = id RETURNING login INTO now_login;
    PERFORM write_audit(id, NULL, 'invitation_accepted', '{}', NULL);
    RETURN now_login;
END $$;

-- The old password, every session and, if asked for, the second factor are dead at once; a code lets the person set a new one.
CREATE FUNCTION api_reset_account(p_token bytea, p_account bigint, p_code bytea, p_second_factor boolean, p_reason text) RETURNS TABLE (account jsonb, ended bytea[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who  asker := asker_of(p_token, 'operator', 'admin');
    p    account := account_of(who, p_account);
    gone bytea[];
BEGIN
    IF p.disabled THEN PERFORM refuse('P0409', 'account_disabled', 'the account is disabled; enable it first'); END IF;
    IF p.password_hash IS NULL AND NOT EXISTS (SELECT FROM password_reset r WHERE r.account_id = p_account) THEN
        PERFORM refuse('P0409', 'not_in_yet', 'the account has no password yet; renew its invitation instead');
    END IF;
    IF p_account = who.account_id THEN PERFORM refuse('P0409', 'yourself', 'this cannot be done to your own account; ask another administrator'); END IF;
    UPDATE account a SET password_hash = NULL WHERE a.account_id = p_account RETURNING * INTO p;
    IF p_second_factor THEN
        DELETE FROM second_factor f WHERE f.account_id = p_account;
        DELETE FROM recovery_code c WHERE c.account_id = p_account;
    END IF;
    gone := end_sessions_of(p_account, NULL);
    INSERT INTO password_reset VALUES (p_account, p_code, who.account_id, now(), now() + interval '72 hours')
        ON CONFLICT (account_id) DO UPDATE SET code_sha256 = p_code, made_by = who.account_id, made_at = now(), expires_at = EXCLUDED.expires_at;
    PERFORM write_audit(who.account_id, NULL, 'reset', jsonb_build_object('account', p_account, 'second_factor', p_second_factor, 'reason', p_reason), NULL);
    RETURN QUERY SELECT account_as_json(p), gone;
END $$;
CREATE FUNCTION end_sessions_of(p_account bigint, p_but bytea) RETURNS bytea[] LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM session WHERE account_id = p_account AND token_sha256 IS DISTINCT FROM p_but RETURNING token_sha256)
    SELECT coalesce(array_agg(token_sha256), '{}') FROM gone
$$;
CREATE FUNCTION api_reset(p_code bytea) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE said jsonb;
BEGIN
    SELECT jsonb_build_object('name', p.name, 'role', p.role, 'organisation', o.name, 'login', p.login, 'has_phone', p.phone IS NOT NULL,
            'second_factor', must_have_second_factor(p), 'expires_at', r.expires_at) INTO said
        FROM password_reset r JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id) LEFT JOIN organisation o USING (organisation_id)
        WHERE r.code_sha256 = p_code AND r.expires_at > now() AND NOT p.disabled AND p.password_hash IS NULL;
    IF said IS NULL THEN PERFORM refuse_code(); END IF;
    RETURN said;
END $$;
CREATE FUNCTION api_accept_reset(p_code bytea, p_hash text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE id bigint;
    now_login text;
BEGIN
    DELETE FROM password_reset r USING account p
        WHERE p.account_id = r.account_id AND r.code_sha256 = p_code AND r.expires_at > now() AND NOT p.disabled AND p.password_hash IS NULL
        RETURNING r.account_id INTO id;
    IF id IS NULL THEN PERFORM refuse_code(); END IF;
    UPDATE account SET password_hash = p_hash WHERE account_id = id RETURNING login INTO now_login;
    PERFORM end_sessions_of(id, NULL);
    PERFORM write_audit(id, NULL, 'reset_accepted', '{}', NULL);
    RETURN now_login;
END $$;
-- Lets somebody in no more, or again. Nobody shuts out themselves, so that one administrator is always left.
CREATE FUNCTION api_set_disabled(p_token bytea, p_account bigint, p_disabled boolean, p_reason text) RETURNS TABLE (account jsonb, ended bytea[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who  asker := asker_of(p_token, 'operator', 'admin');
    p    account := account_of(who, p_account);
    gone bytea[] := '{}';
BEGIN
    IF p_account = who.account_id THEN PERFORM refuse('P0409', 'yourself', 'this cannot be done to your own account; ask another administrator'); END IF;
    UPDATE account a SET disabled = p_disabled WHERE a.account_id = p_account RETURNING * INTO p;
    gone := end_sessions_of(p_account, NULL);
    PERFORM write_audit(who.account_id, NULL, CASE WHEN p_disabled THEN 'disable' ELSE 'enable' END,
        jsonb_build_object('account', p_account, 'reason', p_reason), NULL);
    RETURN QUERY SELECT account_as_json(p), gone;
END $$;

-- One account, whose version a change needs; and the change of the fields given: `name`, `login`, `phone` (null takes it away),
-- `unit`, and `organisation` by an administrator in none. What is my own I change by my password.
CREATE FUNCTION api_managed_account(p_token bytea, p_account bigint) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    p   account := account_of(who, p_account);
BEGIN
    PERFORM write_audit(who.account_id, NULL, 'accounts', jsonb_build_object('account', p_account), 1);
    RETURN account_as_json(p);
END $$;
CREATE FUNCTION api_change_account(p_token bytea, p_account bigint, p_version integer, p_fields jsonb, p_reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who    asker := asker_of(p_token, 'operator', 'admin');
    p      account := account_of(who, p_account);
    its    text := (SELECT o.name FROM unit u JOIN organisation o USING (organisation_id) WHERE u.unit_id = p.unit_id);
    there  text := coalesce(p_fields ->> 'organisation', its);
    at     bigint := p.unit_id;
    broken text;
BEGIN
    IF p_account = who.account_id THEN PERFORM refuse('P0409', 'yourself', 'this cannot be done to your own account; ask another administrator'); END IF;
    IF p.version <> p_version THEN
        PERFORM refuse('P0409', 'version_changed', 'somebody has changed it since it was read; read it again', jsonb_build_object('version', p.version));
    END IF;
    IF p_fields ?| '{organisation,unit}' THEN
        IF there IS NULL OR there IS DISTINCT FROM its AND (who.role <> 'admin' OR who.organisation_id IS NOT NULL) THEN
            PERFORM refuse('P0404', 'no_such_organisation', 'no organisation of yours has this name');
        END IF;
        at := put_unit(there, 'operator', coalesce(p_fields ->> 'unit', there));
    END IF;
    IF p_fields ? 'login' THEN PERFORM check_login(p_fields ->> 'login', p_account); END IF;
    PERFORM check_phone_free(p_fields ->> 'phone', p_account);
    PERFORM changes_are_of(who.account_id, p_reason);
    UPDATE account a SET name = coalesce(p_fields ->> 'name', a.name), login = coalesce(p_fields ->> 'login', a.login), unit_id = at,
            phone = CASE WHEN p_fields ? 'phone' THEN p_fields ->> 'phone' ELSE a.phone END
        WHERE a.account_id = p_account RETURNING * INTO p;
    PERFORM write_audit(who.account_id, NULL, 'account_changed', jsonb_build_object('account', p_account, 'reason', p_reason,
        'fields', (SELECT jsonb_agg(k) FROM jsonb_object_keys(p_fields) k)), NULL);
    RETURN account_as_json(p);
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
    PERFORM refuse_account_taken(broken);
END $$;

-- Mine. What changes how I log in asks for the password again, which is compared in the same call.
CREATE FUNCTION api_own_account(p_token bytea) RETURNS TABLE (login text, phone text, has_factor boolean, must_have_factor boolean, codes_left integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, VARIADIC every_role());
BEGIN
    RETURN QUERY SELECT p.login, p.phone, f.account_id IS NOT NULL, must_have_second_factor(p),
        (SELECT count(*)::integer FROM recovery_code c WHERE c.account_id = p.account_id)
        FROM account p LEFT JOIN second_factor f USING (account_id) WHERE p.account_id = who.account_id;
END $$;
CREATE FUNCTION api_own_recipe(p_token bytea) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, VARIADIC every_role());
BEGIN
    RETURN (SELECT password_recipe(password_hash) FROM account WHERE account_id = who.account_id);
END $$;
CREATE FUNCTION account_with(p_who asker, p_hash text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM account p WHERE p.account_id = p_who.account_id AND is_password_of(p, p_hash) FOR UPDATE;
    IF NOT FOUND THEN PERFORM refuse('P0403', 'wrong_password', 'the password is wrong'); END IF;
    RETURN p_who.account_id;
END $$;
-- What the second factor is asked with, of whoever showed the password.
CREATE FUNCTION api_own_factor(p_token bytea, p_hash text) RETURNS TABLE (account_id bigint, login text, sealed bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    RETURN QUERY SELECT p.account_id, p.login, f.sealed FROM account p LEFT JOIN second_factor f USING (account_id) WHERE p.account_id = id;
END $$;
CREATE FUNCTION api_change_password(p_token bytea, p_hash text, p_new_hash text) RETURNS bytea[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    UPDATE account SET password_hash = p_new_hash WHERE account_id = id;
    PERFORM write_audit(id, NULL, 'password_changed', '{}', NULL);
    RETURN end_sessions_of(id, p_token);
END $$;
CREATE FUNCTION api_change_phone(p_token bytea, p_hash text, p_phone text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    PERFORM check_phone_free(p_phone, id);
    UPDATE account SET phone = p_phone WHERE account_id = id;
    PERFORM write_audit(id, NULL, 'phone_changed', '{}', NULL);
END $$;
CREATE FUNCTION api_change_second_factor(p_token bytea, p_hash text, p_sealed bytea, p_step bigint, p_codes bytea[]) RETURNS bytea[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    PERFORM put_second_factor(id, p_sealed, p_step, p_codes);
    RETURN end_sessions_of(id, p_token);
END $$;
CREATE FUNCTION api_remove_second_factor(p_token bytea, p_hash text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    IF (SELECT must_have_second_factor(p) FROM account p WHERE account_id = id) THEN
        PERFORM refuse('P0409', 'factor_compulsory', 'your role needs a second factor; replace it instead');
    END IF;
    DELETE FROM second_factor WHERE account_id = id;
    DELETE FROM recovery_code WHERE account_id = id;
    PERFORM write_audit(id, NULL, 'second_factor', '{"change": "removed"}', NULL);
END $$;
CREATE FUNCTION api_change_recovery_codes(p_token bytea, p_hash text, p_codes bytea[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    PERFORM put_recovery_codes(id, p_codes);
    PERFORM write_audit(id, NULL, 'second_factor', '{"change": "recovery_codes"}', NULL);
END $$;
CREATE FUNCTION api_my_sessions(p_token bytea) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, VARIADIC every_role());
BEGIN
    RETURN QUERY SELECT jsonb_build_object('id', s.session_id::text, 'created_at', s.created_at, 'last_used_at', s.last_used_at,
            'expires_at', s.expires_at, 'user_agent', s.user_agent, 'is_this', s.token_sha256 = p_token)
        FROM session s WHERE s.account_id = who.account_id AND s.expires_at > now() ORDER BY s.last_used_at DESC, s.session_id LIMIT 200;
END $$;
-- Ends one session of mine, or (without a number) all but this one.
CREATE FUNCTION api_end_sessions(p_token bytea, p_session bigint) RETURNS bytea[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who  asker := asker_of(p_token, VARIADIC every_role());
    gone bytea[];
BEGIN
    IF p_session IS NULL THEN
        gone := end_sessions_of(who.account_id, p_token);
    ELSE
        WITH ended AS (DELETE FROM session WHERE session_id = p_session AND account_id = who.account_id RETURNING token_sha256)
        SELECT coalesce(array_agg(token_sha256), '{}') INTO gone FROM ended;
        IF gone = '{}' THEN RAISE EXCEPTION 'no such session' USING ERRCODE = 'P0404'; END IF;
    END IF;
    PERFORM write_audit(who.account_id, NULL, 'sessions_ended', jsonb_build_object('sessions', cardinality(gone)), NULL);
    RETURN gone;
END $$;
