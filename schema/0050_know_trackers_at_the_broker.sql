-- Trackers' credentials at the broker: hashes only, in the form that Mosquitto's password file takes. What changed last is found by
-- its transaction, so that whoever tells the broker reads the changes of 100,000 trackers and not all of them.

ALTER TABLE tracker ADD COLUMN IF NOT EXISTS batch text NOT NULL DEFAULT '';
-- Our own users at the broker begin so; a tracker of such a name would be one of them.
ALTER TABLE tracker ADD CONSTRAINT tracker_ident_reserved CHECK (ident !~* '^rideguard') NOT VALID;

CREATE TABLE tracker_credential (
    tracker_id    bigint PRIMARY KEY REFERENCES tracker,
    -- $7$ITERATIONS$SALT$HASH, PBKDF2 with SHA-512 (docs/decisions/0032-one-iteration-for-random-passwords.md); NULL: revoked.
    password_hash text CHECK (password_hash ~ '^\$7\$[1-9][0-9]{0,5}\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==$'),
    -- SHA-256 of the code on the label, by which an installer shows that the tracker is in their hand.
    claim_sha256  bytea CHECK (length(claim_sha256) = 32),
    made_at       timestamptz NOT NULL DEFAULT now(),
    revoked_at    timestamptz,
    changed_by    xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CHECK ((password_hash IS NULL) = (revoked_at IS NOT NULL))
);
CREATE INDEX tracker_credential_changed ON tracker_credential (changed_by);

CREATE FUNCTION tracker_credential_stamped() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_by := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER tracker_credential_stamped BEFORE INSERT OR UPDATE ON tracker_credential
    FOR EACH ROW EXECUTE FUNCTION tracker_credential_stamped();

CREATE FUNCTION tracker_credential_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tracker_credential', '');
    RETURN NULL;
END $$;
CREATE TRIGGER tracker_credential_changed AFTER INSERT OR UPDATE ON tracker_credential
    FOR EACH STATEMENT EXECUTE FUNCTION tracker_credential_changed();

-- A tracker that is called otherwise from now on comes in by that name.
CREATE FUNCTION tracker_renamed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tracker_credential SET made_at = made_at WHERE tracker_id = NEW.tracker_id;
    RETURN NULL;
END $$;
CREATE TRIGGER tracker_renamed AFTER UPDATE OF ident ON tracker
    FOR EACH ROW WHEN (OLD.ident <> NEW.ident) EXECUTE FUNCTION tracker_renamed();

-- Whom the broker is to know: what changed since a mark, or everything. Without a hash: revoked.
CREATE FUNCTION broker_users(p_since text) RETURNS TABLE (tracker_id bigint, ident text, password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.tracker_id, t.ident, c.password_hash FROM tracker_credential c JOIN tracker t USING (tracker_id)
    WHERE p_since IS NULL OR c.changed_by >= p_since::xid8
$$;
-- Of one of them; no row where none was ever made.
CREATE FUNCTION api_broker_user(p_ident text) RETURNS TABLE (password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.password_hash FROM tracker_credential c JOIN tracker t USING (tracker_id) WHERE t.ident = p_ident
$$;
REVOKE ALL ON FUNCTION broker_users(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION broker_users(text) TO rideguard_ingest_rights;

-- The tracker with this label, if whoever asks may know of it.
CREATE FUNCTION claimed_tracker(p_who asker, p_ident text, p_claim_sha256 bytea) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT t.tracker_id FROM tracker t JOIN tracker_credential c USING (tracker_id)
    WHERE t.ident = p_ident AND c.claim_sha256 = p_claim_sha256 AND c.password_hash IS NOT NULL AND is_within(p_who, t.unit_id)
$$;

-- A tracker of the asker's organisation, locked; a refusal otherwise, which is the same for what is foreign and what is missing.
CREATE FUNCTION tracker_within(p_who asker, p_tracker bigint) RETURNS tracker LANGUAGE plpgsql AS $$
DECLARE found_one tracker;
BEGIN
    SELECT * INTO found_one FROM tracker WHERE tracker_id = p_tracker FOR NO KEY UPDATE;
    IF found_one.tracker_id IS NULL OR NOT is_within(p_who, found_one.unit_id) THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    RETURN found_one;
END $$;

-- What is known of a tracker's credential; never itself.
CREATE FUNCTION api_credential(p_token bytea, p_tracker bigint) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    t   tracker := tracker_within(who, p_tracker);
BEGIN
    RETURN (SELECT jsonb_build_object('ident', t.ident, 'made_at', CASE WHEN c.password_hash IS NOT NULL THEN c.made_at END, 'revoked_at', c.revoked_at)
        FROM (SELECT 1) one LEFT JOIN tracker_credential c ON c.tracker_id = t.tracker_id);
END $$;

-- Gives a tracker a credential; the one that it has is dead then, which needs a reason.
CREATE FUNCTION api_issue_credential(p_token bytea, p_tracker bigint, p_hash text, p_claim_sha256 bytea, p_reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    t   tracker := tracker_within(who, p_tracker);
    has boolean := EXISTS (SELECT FROM tracker_credential WHERE tracker_id = p_tracker AND password_hash IS NOT NULL);
BEGIN
    IF has AND p_reason IS NULL THEN
        PERFORM refuse('P0409', 'credential_exists', 'the tracker has a credential; say why it is to be replaced', jsonb_build_object('field', 'reason'));
    END IF;
    INSERT INTO tracker_credential (tracker_id, password_hash, claim_sha256) VALUES (p_tracker, p_hash, p_claim_sha256)
    ON CONFLICT (tracker_id) DO UPDATE SET password_hash = EXCLUDED.password_hash, claim_sha256 = EXCLUDED.claim_sha256,
        made_at = now(), revoked_at = NULL;
    PERFORM write_audit(who.account_id, NULL, CASE WHEN has THEN 'credential_replaced' ELSE 'credential_issued' END,
        jsonb_build_object('tracker', t.ident, 'reason', p_reason), 1);
    RETURN t.ident;
END $$;

-- Lets a tracker in no more, also one that stands in the file of an earlier release.
CREATE FUNCTION api_revoke_credential(p_token bytea, p_tracker bigint, p_reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    t   tracker := tracker_within(who, p_tracker);
BEGIN
    INSERT INTO tracker_credential (tracker_id, revoked_at) VALUES (p_tracker, now())
    ON CONFLICT (tracker_id) DO UPDATE SET password_hash = NULL, claim_sha256 = NULL, revoked_at = coalesce(tracker_credential.revoked_at, now());
    PERFORM write_audit(who.account_id, NULL, 'credential_revoked', jsonb_build_object('tracker', t.ident, 'reason', p_reason), 1);
END $$;

-- Registers trackers with their credentials: all or none of them. Called again with the same key it makes nothing, and returns
-- what it made, with the hashes of now: whoever called can make the same credentials again, and sees whether they still fit.
CREATE FUNCTION api_make_trackers(p_token bytea, p_idents text[], p_profile jsonb, p_batch text, p_hashes text[], p_claims bytea[], p_key text, p_asked bytea)
RETURNS TABLE (tracker_id bigint, ident text, made_before boolean, password_hash text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    who   asker := asker_of(p_token, 'operator', 'admin');
    taken text;
    first bigint;
BEGIN
    IF made_before(who.account_id, p_key, p_asked) IS NOT NULL THEN
        PERFORM write_audit(who.account_id, NULL, 'credentials_shown_again', jsonb_build_object('batch', p_batch, 'first', p_idents[1],
            'last', p_idents[cardinality(p_idents)]), cardinality(p_idents));
        RETURN QUERY SELECT t.tracker_id, t.ident, true, c.password_hash FROM tracker t LEFT JOIN tracker_credential c USING (tracker_id)
            WHERE t.ident = ANY (p_idents) AND is_within(who, t.unit_id);
        RETURN;
    END IF;
    taken := (SELECT t.ident FROM tracker t WHERE t.ident = ANY (p_idents) ORDER BY 1 LIMIT 1);
    IF taken IS NOT NULL THEN
        PERFORM refuse('P0409', 'tracker_exists', format('the tracker %s is registered already; none of these was', taken), jsonb_build_object('ident', taken));
    END IF;
    PERFORM set_config('rideguard.by_account', who.account_id::text, true); -- for the registry's history
    RETURN QUERY
    WITH made AS (
        INSERT INTO tracker (ident, profile, unit_id, batch) SELECT g, p_profile, who.unit_id, coalesce(p_batch, '') FROM unnest(p_idents) g
        RETURNING tracker.tracker_id, tracker.ident
    ), given AS (
        INSERT INTO tracker_credential (tracker_id, password_hash, claim_sha256)
        SELECT m.tracker_id, g.hash, g.claim FROM made m JOIN unnest(p_idents, p_hashes, p_claims) g (ident, hash, claim) ON g.ident = m.ident
    )
    SELECT m.tracker_id, m.ident, false, NULL::text FROM made m;
    first := (SELECT t.tracker_id FROM tracker t WHERE t.ident = p_idents[1]);
    PERFORM remember_made(who.account_id, p_key, p_asked, first);
    PERFORM write_audit(who.account_id, NULL, 'trackers_registered', jsonb_build_object('batch', p_batch, 'first', p_idents[1],
        'last', p_idents[cardinality(p_idents)], 'profile', p_profile), cardinality(p_idents));
EXCEPTION WHEN unique_violation THEN
    PERFORM refuse('P0409', 'tracker_exists', 'one of the trackers was registered meanwhile; none of these was', '{}');
END $$;

-- Trackers of a batch that never had a credential, and how many there are.
CREATE FUNCTION api_trackers_without_credential(p_token bytea, p_batch text, p_limit integer) RETURNS TABLE (tracker_id bigint, ident text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN QUERY SELECT t.tracker_id, t.ident FROM tracker t
    WHERE t.batch = p_batch AND is_within(who, t.unit_id) AND t.ident !~* '^rideguard'
        AND NOT EXISTS (SELECT FROM tracker_credential c WHERE c.tracker_id = t.tracker_id)
    ORDER BY t.ident LIMIT p_limit;
END $$;
CREATE INDEX tracker_batch ON tracker (batch, ident);

-- What a call with this key has given already, with the hashes of now; NULL for a new one. Its moment is that of the credentials.
CREATE FUNCTION api_credentials_of_call(p_token bytea, p_batch text, p_key text, p_asked bytea) RETURNS TABLE (tracker_id bigint, ident text, password_hash text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); shown integer;
BEGIN
    IF made_before(who.account_id, p_key, p_asked) IS NULL THEN RETURN; END IF;
    RETURN QUERY SELECT t.tracker_id, t.ident, c.password_hash FROM idempotent_call i
        JOIN tracker_credential c ON c.made_at = i.at JOIN tracker t ON t.tracker_id = c.tracker_id
        WHERE i.account_id = who.account_id AND i.key = p_key AND t.batch = p_batch AND is_within(who, t.unit_id) ORDER BY t.ident;
    GET DIAGNOSTICS shown = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'credentials_shown_again', jsonb_build_object('batch', p_batch), shown);
END $$;

-- Gives those trackers credentials who have none; returns which were given.
CREATE FUNCTION api_issue_credentials(p_token bytea, p_batch text, p_trackers bigint[], p_hashes text[], p_claims bytea[], p_key text, p_asked bytea) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who   asker := asker_of(p_token, 'operator', 'admin');
    given integer;
BEGIN
    IF made_before(who.account_id, p_key, p_asked) IS NOT NULL THEN
        RETURN; -- the same call was answered meanwhile
    END IF;
    RETURN QUERY INSERT INTO tracker_credential (tracker_id, password_hash, claim_sha256)
    SELECT t.tracker_id, g.hash, g.claim FROM unnest(p_trackers, p_hashes, p_claims) g (tracker_id, hash, claim)
    JOIN tracker t ON t.tracker_id = g.tracker_id WHERE t.batch = p_batch AND is_within(who, t.unit_id)
    ON CONFLICT DO NOTHING RETURNING tracker_credential.tracker_id;
    GET DIAGNOSTICS given = ROW_COUNT;
    IF given > 0 THEN
        PERFORM remember_made(who.account_id, p_key, p_asked, p_trackers[1]);
    END IF;
    PERFORM write_audit(who.account_id, NULL, 'credentials_issued', jsonb_build_object('batch', p_batch), given);
END $$;
