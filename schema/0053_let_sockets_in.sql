-- Trackers that speak their language on a socket of their own, without MQTT: who is let in, and what a terminal of JT/T 808
-- registered with. Codes are kept as digests only.

CREATE TABLE tracker_socket (
    tracker_id      bigint PRIMARY KEY REFERENCES tracker,
    -- Its profile says so, and its credential was not revoked.
    is_admitted     boolean NOT NULL,
    -- SHA-256 of the authentication code of its last registration, of the one before, which stays good because the answer may not
    -- have reached the terminal, and of the maker, model and terminal id that it told.
    code_sha256        bytea CHECK (length(code_sha256) = 32),
    code_before_sha256 bytea CHECK (length(code_before_sha256) = 32),
    terminal_sha256    bytea CHECK (length(terminal_sha256) = 32),
    registered_at   timestamptz,
    changed_by      xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CHECK ((code_sha256 IS NULL) = (terminal_sha256 IS NULL) AND (code_sha256 IS NULL) = (registered_at IS NULL))
);
CREATE INDEX tracker_socket_changed ON tracker_socket (changed_by);

-- Brings those rows up to date. Only trackers whose profile says so ever have one.
CREATE FUNCTION renew_tracker_sockets(p_trackers bigint[], p_forgets boolean) RETURNS void LANGUAGE sql AS $$
    INSERT INTO tracker_socket (tracker_id, is_admitted)
    SELECT t.tracker_id, t.profile ->> 'transport' IS NOT DISTINCT FROM 'socket' AND c.revoked_at IS NULL
    FROM tracker t LEFT JOIN tracker_credential c USING (tracker_id)
    WHERE t.tracker_id = ANY (p_trackers)
        AND (t.profile ->> 'transport' = 'socket' OR EXISTS (SELECT FROM tracker_socket s WHERE s.tracker_id = t.tracker_id))
    ON CONFLICT (tracker_id) DO UPDATE SET is_admitted = EXCLUDED.is_admitted, changed_by = pg_current_xact_id(),
        code_sha256     = CASE WHEN NOT p_forgets THEN tracker_socket.code_sha256 END,
        code_before_sha256 = CASE WHEN NOT p_forgets THEN tracker_socket.code_before_sha256 END,
        terminal_sha256 = CASE WHEN NOT p_forgets THEN tracker_socket.terminal_sha256 END,
        registered_at   = CASE WHEN NOT p_forgets THEN tracker_socket.registered_at END
$$;

CREATE FUNCTION tracker_speaks_otherwise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM renew_tracker_sockets(ARRAY[NEW.tracker_id], false);
    RETURN NULL;
END $$;
CREATE TRIGGER tracker_speaks_on_a_socket AFTER INSERT ON tracker
    FOR EACH ROW WHEN (NEW.profile ->> 'transport' = 'socket') EXECUTE FUNCTION tracker_speaks_otherwise();
CREATE TRIGGER tracker_speaks_otherwise AFTER UPDATE OF ident, profile ON tracker
    FOR EACH ROW WHEN ('socket' IN (NEW.profile ->> 'transport', OLD.profile ->> 'transport') AND (OLD.ident, OLD.profile) <> (NEW.ident, NEW.profile))
    EXECUTE FUNCTION tracker_speaks_otherwise();

-- A credential that is revoked closes the socket, too; one that is given opens it again and forgets what registered before.
CREATE FUNCTION tracker_socket_follows_credential() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM renew_tracker_sockets(ARRAY(SELECT n.tracker_id FROM new_rows n JOIN tracker_socket USING (tracker_id)), true);
    ELSE
        PERFORM renew_tracker_sockets(ARRAY(SELECT n.tracker_id FROM new_rows n JOIN old_rows o USING (tracker_id) JOIN tracker_socket USING (tracker_id)
            WHERE n.password_hash IS DISTINCT FROM o.password_hash), true);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tracker_socket_follows_given AFTER INSERT ON tracker_credential REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tracker_socket_follows_credential();
CREATE TRIGGER tracker_socket_follows_changed AFTER UPDATE ON tracker_credential REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tracker_socket_follows_credential();

CREATE TRIGGER tracker_socket_changed AFTER INSERT OR UPDATE ON tracker_socket
    FOR EACH STATEMENT EXECUTE FUNCTION tracker_credential_changed();

INSERT INTO tracker_socket (tracker_id, is_admitted)
SELECT t.tracker_id, c.revoked_at IS NULL FROM tracker t LEFT JOIN tracker_credential c USING (tracker_id) WHERE t.profile ->> 'transport' = 'socket';

-- Whom the door lets in on a socket: what changed since a mark, or everything.
CREATE FUNCTION door_sockets(p_since text)
RETURNS TABLE (tracker_id bigint, ident text, profile jsonb, is_admitted boolean, code_sha256 bytea, code_before_sha256 bytea, terminal_sha256 bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.tracker_id, t.ident, t.profile, s.is_admitted, s.code_sha256, s.code_before_sha256, s.terminal_sha256 FROM tracker_socket s JOIN tracker t USING (tracker_id)
    WHERE p_since IS NULL OR s.changed_by >= p_since::xid8
$$;

-- A terminal registered: its code is good from now on. Returns the code before it; no row: the tracker is not let in, or another
-- terminal registered before.
CREATE FUNCTION door_register(p_tracker bigint, p_code_sha256 bytea, p_terminal_sha256 bytea) RETURNS TABLE (code_before_sha256 bytea)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE tracker_socket s SET code_before_sha256 = s.code_sha256, code_sha256 = p_code_sha256, terminal_sha256 = p_terminal_sha256,
        registered_at = now(), changed_by = pg_current_xact_id()
    WHERE s.tracker_id = p_tracker AND s.is_admitted AND coalesce(s.terminal_sha256, p_terminal_sha256) = p_terminal_sha256
    RETURNING s.code_before_sha256
$$;
REVOKE ALL ON FUNCTION door_sockets(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION door_sockets(text) TO rideguard_ingest_rights;
REVOKE ALL ON FUNCTION door_register(bigint, bytea, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION door_register(bigint, bytea, bytea) TO rideguard_ingest_rights;
