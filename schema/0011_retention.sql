-- How long what is kept, by purpose; legal holds; erasure of a person. docs/retention.md has the picture.

-- What the last run of the retention job went by, and what it has let go.
CREATE TABLE retention_mark (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    tracks_to       timestamptz NOT NULL DEFAULT '-infinity',  -- positions from before are gone, but for those of a longer purpose
    incident_days   integer NOT NULL DEFAULT 36500,            -- in force since the last run; before the first, for ever
    case_days       integer NOT NULL DEFAULT 36500,
    ran_at          timestamptz NOT NULL DEFAULT now()
);
INSERT INTO retention_mark DEFAULT VALUES;

CREATE TABLE retention_run (                                    -- the proof of each run
    ran_at          timestamptz PRIMARY KEY DEFAULT now(),
    report          jsonb NOT NULL
);

-- Where each lane's journal begins: rows up to n are gone, but for packets under a hold. The state after row n is
-- the seam of that number, so the rest can be folded again.
CREATE TABLE journal_base (
    lane            smallint PRIMARY KEY,
    n               bigint NOT NULL DEFAULT 0,
    at              timestamptz NOT NULL DEFAULT '-infinity',
    quarantined     bigint NOT NULL DEFAULT 0                   -- rows of quarantine that were let go
);
INSERT INTO journal_base (lane) SELECT generate_series(0, 15);

CREATE TABLE journal_seam (                                     -- a checkpoint kept each night
    lane            smallint NOT NULL,
    n               bigint NOT NULL,
    at              timestamptz NOT NULL,                       -- last receive time of row n
    state           bytea NOT NULL,
    PRIMARY KEY (lane, n)
);
ALTER TABLE journal_seam ALTER COLUMN state SET STORAGE EXTERNAL;

-- ── legal holds ─────────────────────────────────────────────────────────────────────────────
CREATE TABLE legal_hold (
    hold_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_number     text NOT NULL CHECK (case_number <> ''),
    vehicle_id      bigint NOT NULL REFERENCES vehicle,
    from_at         timestamptz NOT NULL,
    to_at           timestamptz NOT NULL,
    reason          text NOT NULL,
    placed_by       bigint NOT NULL REFERENCES account,
    placed_at       timestamptz NOT NULL DEFAULT now(),
    ends_at         timestamptz NOT NULL,                       -- in force until then, or until it is released
    released_by     bigint REFERENCES account,
    released_at     timestamptz,
    release_reason  text,
    CHECK (to_at > from_at),
    CHECK ((released_at IS NULL) = (released_by IS NULL))
);
CREATE INDEX legal_hold_vehicle ON legal_hold (vehicle_id);

CREATE VIEW hold_in_force AS SELECT * FROM legal_hold WHERE released_at IS NULL AND ends_at > now();

CREATE FUNCTION is_held(p_vehicle bigint, p_from timestamptz, p_until timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM hold_in_force h WHERE h.vehicle_id = p_vehicle AND p_from < h.to_at AND p_until >= h.from_at)
$$;

-- Police within a grant, whose case it then is; administrators for a case that they name.
CREATE FUNCTION hold_case(p_account bigint, p_grant bigint, p_case text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE their_role text := (SELECT role FROM account WHERE account_id = p_account AND NOT disabled);
BEGIN
    IF their_role = 'police' THEN RETURN (check_grant(p_account, p_grant)).case_number; END IF;
    IF their_role IS DISTINCT FROM 'admin' THEN
        RAISE EXCEPTION 'holds are placed and released by police or administrators' USING ERRCODE = 'P0403';
    END IF;
    IF coalesce(p_case, '') = '' THEN RAISE EXCEPTION 'a hold needs the number of its case' USING ERRCODE = 'P0400'; END IF;
    RETURN p_case;
END $$;

CREATE FUNCTION place_hold(p_account bigint, p_grant bigint, p_case text, p_plate text, p_from timestamptz, p_to timestamptz,
    p_ends timestamptz, p_reason text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    the_case text := hold_case(p_account, p_grant, p_case);
    vehicle  bigint := (SELECT vehicle_id FROM vehicle WHERE plate = p_plate);
    id       bigint;
BEGIN
    IF vehicle IS NULL THEN RAISE EXCEPTION 'no vehicle has this plate' USING ERRCODE = 'P0404'; END IF;
    IF p_to <= p_from THEN RAISE EXCEPTION 'the window ends at %, before it begins', p_to USING ERRCODE = 'P0400'; END IF;
    IF p_ends <= now() OR p_ends > now() + interval '5 years' THEN
        RAISE EXCEPTION 'the hold ends at %; it must end within 5 years from now', p_ends USING ERRCODE = 'P0400';
    END IF;
    INSERT INTO legal_hold (case_number, vehicle_id, from_at, to_at, reason, placed_by, ends_at)
    VALUES (the_case, vehicle, p_from, p_to, p_reason, p_account, p_ends) RETURNING hold_id INTO id;
    PERFORM write_audit(p_account, p_grant, 'hold', jsonb_build_object('hold', id, 'case', the_case, 'vehicle', vehicle,
        'from', p_from, 'to', p_to, 'ends', p_ends, 'reason', p_reason), NULL);
    RETURN id;
END $$;

CREATE FUNCTION release_hold(p_account bigint, p_grant bigint, p_hold bigint, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE h legal_hold;
BEGIN
    SELECT * INTO h FROM legal_hold WHERE hold_id = p_hold FOR UPDATE;
    IF NOT FOUND THEN RAISE EXCEPTION 'there is no hold %', p_hold USING ERRCODE = 'P0404'; END IF;
    IF hold_case(p_account, p_grant, h.case_number) <> h.case_number THEN
        RAISE EXCEPTION 'hold % is of another case than grant %', p_hold, p_grant USING ERRCODE = 'P0403';
    END IF;
    IF h.released_at IS NOT NULL THEN RAISE EXCEPTION 'hold % was released already', p_hold USING ERRCODE = 'P0409'; END IF;
    UPDATE legal_hold SET released_by = p_account, released_at = now(), release_reason = p_reason WHERE hold_id = p_hold;
    PERFORM write_audit(p_account, p_grant, 'hold_released', jsonb_build_object('hold', p_hold, 'reason', p_reason), NULL);
END $$;

-- ── erasure ─────────────────────────────────────────────────────────────────────────────────
CREATE TABLE erasure (
    erasure_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id      bigint NOT NULL REFERENCES account,
    asked_by        bigint NOT NULL REFERENCES account,         -- who carried it out
    request         text NOT NULL,                              -- the number of the person's request
    at              timestamptz NOT NULL DEFAULT now(),
    report          jsonb                                       -- the proof; of the last time it was gone through
);

CREATE TABLE erased_window (                                    -- when which vehicle was theirs, and carried which tracker
    erasure_id      bigint NOT NULL REFERENCES erasure,
    vehicle_id      bigint NOT NULL,
    tracker_id      bigint,                                     -- NULL: none
    from_at         timestamptz NOT NULL,
    to_at           timestamptz NOT NULL
);
CREATE INDEX erased_window_vehicle ON erased_window (vehicle_id);

-- Ends everything of a person that goes on, and notes what was theirs; no row that is left names them. The trackers
-- are in no vehicle afterwards, and every lane is told to forget.
CREATE FUNCTION close_account(p_account bigint, p_by bigint, p_request text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id  bigint;
    own bigint;
BEGIN
    INSERT INTO erasure (account_id, asked_by, request) VALUES (p_account, p_by, p_request) RETURNING erasure_id INTO id;
    -- Trackers' clocks may run ahead by some minutes.
    INSERT INTO erased_window SELECT id, vehicle_id, NULL, valid_from, coalesce(valid_to, now() + interval '10 minutes')
        FROM ownership WHERE account_id = p_account;
    INSERT INTO erased_window
        SELECT id, w.vehicle_id, i.tracker_id, greatest(w.from_at, i.valid_from), least(w.to_at, coalesce(i.valid_to, 'infinity'))
        FROM erased_window w JOIN installation i USING (vehicle_id)
        WHERE w.erasure_id = id AND i.valid_from < w.to_at AND coalesce(i.valid_to, 'infinity') > w.from_at;
    DELETE FROM zone WHERE account_id = p_account;
    FOR own IN SELECT vehicle_id FROM ownership WHERE account_id = p_account AND valid_to IS NULL LOOP
        PERFORM add_setting(NULL, jsonb_build_object('kind', 'forget', 'vehicle', own, 'trackers',
            coalesce((SELECT jsonb_agg(DISTINCT tracker_id) FROM erased_window WHERE erasure_id = id AND vehicle_id = own AND tracker_id IS NOT NULL), '[]')));
        UPDATE installation SET valid_to = greatest(now(), valid_from + interval '1 microsecond') WHERE vehicle_id = own AND valid_to IS NULL;
        DELETE FROM guarding WHERE vehicle_id = own;
        UPDATE vehicle v SET plate = 'erased-' || v.vehicle_id, model = '', frame_number = NULL WHERE v.vehicle_id = own
            AND NOT EXISTS (SELECT FROM ownership o WHERE o.vehicle_id = own AND o.account_id <> p_account)
            AND NOT EXISTS (SELECT FROM hold_in_force h WHERE h.vehicle_id = own);
    END LOOP;
    DELETE FROM phone_token WHERE account_id = p_account;
    DELETE FROM session WHERE account_id = p_account;
    DELETE FROM bucket WHERE scope = 'owner' AND key = p_account;
    UPDATE ownership SET valid_to = greatest(now(), valid_from + interval '1 microsecond') WHERE account_id = p_account AND valid_to IS NULL;
    UPDATE account SET login = 'erased-' || account_id, name = '', password_hash = '!', webhook_url = NULL, webhook_secret = NULL, disabled = true
        WHERE account_id = p_account;
    PERFORM write_audit(p_by, NULL, 'erase', jsonb_build_object('account', p_account, 'erasure', id, 'request', p_request), NULL);
    RETURN id;
END $$;

-- ── purposes ────────────────────────────────────────────────────────────────────────────────
-- Windows of vehicles that are kept for longer than the normal days: those of incidents, an hour about, and of cases.
CREATE FUNCTION kept_windows() RETURNS TABLE (vehicle_id bigint, from_at timestamptz, to_at timestamptz, purpose text) LANGUAGE sql STABLE AS $$
    SELECT i.vehicle_id, least(i.fixes_from, i.opened_at) - interval '1 hour', coalesce(i.closed_at, 'infinity') + interval '1 hour', 'incident'
    FROM incident i, retention_mark m
    WHERE (i.closed_at IS NULL OR i.closed_at > now() - make_interval(days => m.incident_days))
        AND NOT EXISTS (SELECT FROM erased_window e WHERE e.vehicle_id = i.vehicle_id AND i.opened_at >= e.from_at AND i.opened_at < e.to_at)
    UNION ALL
    SELECT h.vehicle_id, h.from_at, h.to_at, 'case' FROM legal_hold h, retention_mark m
    WHERE (h.released_at IS NULL AND h.ends_at > now()) OR h.to_at > now() - make_interval(days => m.case_days)
$$;

CREATE FUNCTION is_kept(p_vehicle bigint, p_from timestamptz, p_until timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM kept_windows() k WHERE k.vehicle_id = p_vehicle AND p_from < k.to_at AND p_until >= k.from_at)
$$;

-- The packets that holds keep: of which tracker, received when (up to a day late).
CREATE VIEW held_packets AS
    SELECT t.ident, lane_of(t.ident) AS lane, greatest(h.from_at, i.valid_from) AS from_at,
        least(h.to_at + interval '1 day', coalesce(i.valid_to, 'infinity')) AS to_at
    FROM hold_in_force h JOIN installation i USING (vehicle_id) JOIN tracker t USING (tracker_id)
    WHERE i.valid_from < h.to_at + interval '1 day' AND coalesce(i.valid_to, 'infinity') > h.from_at;

-- Closed incidents and alerts whose days are over, with what hangs on them; not those within a case.
CREATE FUNCTION let_go_incidents(p_normal_days integer, OUT incidents bigint, OUT alerts bigint) LANGUAGE plpgsql AS $$
DECLARE
    old_incidents bigint[] := ARRAY(
        SELECT i.incident_id FROM incident i, retention_mark m
        WHERE i.closed_at < now() - make_interval(days => m.incident_days)
            AND NOT EXISTS (SELECT FROM kept_windows() k WHERE k.vehicle_id = i.vehicle_id AND k.purpose = 'case'
                AND i.opened_at < k.to_at AND i.closed_at >= k.from_at));
    old_alerts bigint[] := ARRAY(
        SELECT alert_id FROM alert WHERE incident_id = ANY (old_incidents)
        UNION ALL
        SELECT alert_id FROM alert WHERE incident_id IS NULL AND raised_at < now() - make_interval(days => p_normal_days)
            AND NOT is_kept(vehicle_id, raised_at, raised_at));
BEGIN
    DELETE FROM notification WHERE outbox_id IN (SELECT outbox_id FROM outbox WHERE alert_id = ANY (old_alerts));
    DELETE FROM outbox WHERE alert_id = ANY (old_alerts);
    DELETE FROM alert WHERE alert_id = ANY (old_alerts);
    DELETE FROM incident_note WHERE incident_id = ANY (old_incidents);
    DELETE FROM incident WHERE incident_id = ANY (old_incidents);
    incidents := cardinality(old_incidents);
    alerts := cardinality(old_alerts);
END $$;

-- The leader of the rollup keeps open dwells in memory; whoever changes them behind its back raises this.
ALTER TABLE rollup_mark ADD COLUMN open_version bigint NOT NULL DEFAULT 0;
