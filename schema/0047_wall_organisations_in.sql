-- Organisations are a wall: operators and administrators see what their own organisation looks after. Police are bound by their
-- grants instead, owners by what they own.

-- Where the operators are all of one organisation, it looks after whatever is not said to be somebody else's.
CREATE INDEX account_operator ON account (unit_id) WHERE role = 'operator';
CREATE FUNCTION home_unit() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT min(a.unit_id) FROM account a LEFT JOIN unit u USING (unit_id) WHERE a.role = 'operator' AND NOT a.disabled
    HAVING count(DISTINCT u.organisation_id) = 1 AND count(*) = count(u.organisation_id)
$$;
CREATE FUNCTION looked_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.unit_id := home_unit();
    RETURN NEW;
END $$;
-- An import asks once for all of its lines; see import_enter.
CREATE TRIGGER looked_after BEFORE INSERT ON vehicle FOR EACH ROW
    WHEN (NEW.unit_id IS NULL AND current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION looked_after();
CREATE TRIGGER looked_after BEFORE INSERT ON tracker FOR EACH ROW
    WHEN (NEW.unit_id IS NULL AND current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION looked_after();
-- People whom operators look after; whoever works for an organisation is said to.
CREATE TRIGGER looked_after BEFORE INSERT ON account FOR EACH ROW
    WHEN (NEW.unit_id IS NULL AND NEW.role IN ('owner', 'family', 'installer')
        AND current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION looked_after();

-- Lanes need not hear who looks after a tracker: what is there already is given its unit without a word to them.
DROP TRIGGER tracker_changed ON tracker;
UPDATE tracker SET unit_id = home_unit() WHERE unit_id IS NULL AND home_unit() IS NOT NULL;
UPDATE vehicle SET unit_id = home_unit() WHERE unit_id IS NULL AND home_unit() IS NOT NULL;
UPDATE account SET unit_id = home_unit() WHERE unit_id IS NULL AND role IN ('owner', 'family', 'installer') AND home_unit() IS NOT NULL;
CREATE TRIGGER tracker_changed AFTER INSERT OR DELETE OR UPDATE OF ident, profile ON tracker FOR EACH ROW EXECUTE FUNCTION tracker_changed();
CREATE INDEX tracker_unit ON tracker (unit_id);

-- What was entered before anybody looked after it is the first organisation's that has operators: some rows at a time, so that
-- a whole city may wait. Says how many.
CREATE INDEX tracker_of_nobody ON tracker (tracker_id) WHERE unit_id IS NULL;
CREATE INDEX vehicle_of_nobody ON vehicle (vehicle_id) WHERE unit_id IS NULL;
CREATE INDEX account_of_nobody ON account (account_id) WHERE unit_id IS NULL AND role IN ('owner', 'family', 'installer');
CREATE FUNCTION take_in(p_rows integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    home bigint := home_unit();
    n    integer;
    done integer := 0;
BEGIN
    IF home IS NULL THEN RETURN 0; END IF;
    PERFORM set_config('rideguard.in_bulk', 'on', true);
    UPDATE tracker SET unit_id = home WHERE tracker_id IN (SELECT tracker_id FROM tracker WHERE unit_id IS NULL LIMIT p_rows FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    done := done + n;
    UPDATE vehicle SET unit_id = home WHERE vehicle_id IN (SELECT vehicle_id FROM vehicle WHERE unit_id IS NULL LIMIT p_rows FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    done := done + n;
    UPDATE account SET unit_id = home WHERE account_id IN (
        SELECT account_id FROM account WHERE unit_id IS NULL AND role IN ('owner', 'family', 'installer') LIMIT p_rows FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    PERFORM set_config('rideguard.in_bulk', '', true);
    RETURN done + n;
END $$;
REVOKE ALL ON FUNCTION take_in(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_in(integer) TO rideguard_rollup_rights;

-- Whether everything is within: then what was counted without a word of whose it is may be told, too.
CREATE FUNCTION sees_all(p_who asker) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (p_who.role = 'admin' AND p_who.organisation_id IS NULL) OR NOT (
        EXISTS (SELECT FROM unit u WHERE u.organisation_id IS DISTINCT FROM p_who.organisation_id AND EXISTS (SELECT FROM tracker t WHERE t.unit_id = u.unit_id))
        OR p_who.organisation_id IS NOT NULL AND EXISTS (SELECT FROM tracker t WHERE t.unit_id IS NULL))
$$;

-- Times in which a vehicle's owner wants no positions: nothing is collected then. Without an end: now. Whose choice it was is
-- theirs; an erasure takes it away.
CREATE TABLE positioning_off (
    vehicle_id bigint NOT NULL REFERENCES vehicle,
    off_at     timestamptz NOT NULL DEFAULT now(),
    on_at      timestamptz CHECK (on_at > off_at),
    by_account bigint REFERENCES account,
    reason     text NOT NULL CHECK (reason IN ('choice', 'consent')),
    PRIMARY KEY (vehicle_id, off_at)
);
CREATE UNIQUE INDEX positioning_off_now ON positioning_off (vehicle_id) WHERE on_at IS NULL;
CREATE INDEX positioning_off_by ON positioning_off (by_account);

CREATE OR REPLACE VIEW tracker_health AS
    SELECT t.tracker_id, t.ident, t.profile ->> 'protocol' AS protocol, v.plate, o.name AS organisation, s.last_heard_at,
        CASE WHEN p.vehicle_id IS NOT NULL THEN 'off' ELSE contact_of(s.last_heard_at, s.report_interval_s) END AS state, s.battery_percent, s.signal_percent, s.satellites, s.firmware,
        s.report_interval_s, t.unit_id, v.unit_id AS vehicle_unit_id
    FROM tracker t LEFT JOIN tracker_status s USING (tracker_id)
    LEFT JOIN installation n ON n.tracker_id = t.tracker_id AND n.valid_to IS NULL
    LEFT JOIN vehicle v ON v.vehicle_id = n.vehicle_id
    LEFT JOIN positioning_off p ON p.vehicle_id = n.vehicle_id AND p.on_at IS NULL
    LEFT JOIN unit u ON u.unit_id = t.unit_id LEFT JOIN organisation o USING (organisation_id);

CREATE OR REPLACE FUNCTION api_trackers(p_token bytea, p_state text, p_text text, p_after bigint, p_limit integer, p_reason text) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    returned integer;
BEGIN
    RETURN QUERY SELECT jsonb_build_object('id', h.tracker_id::text, 'ident', h.ident, 'protocol', h.protocol,
        'plate', CASE WHEN p_reason IS NOT NULL AND is_within(who, h.vehicle_unit_id) THEN h.plate END, 'organisation', h.organisation,
        'state', h.state, 'last_heard_at', date_trunc('minute', h.last_heard_at), 'report_interval_s', h.report_interval_s,
        'battery_percent', h.battery_percent, 'signal_percent', h.signal_percent, 'satellites', h.satellites, 'firmware', h.firmware,
        'quarantined_packets', (SELECT coalesce(sum(q.packets), 0)::bigint FROM quarantine q WHERE q.tracker_id = h.tracker_id),
        'last_error_code', (SELECT q.reason FROM quarantine q WHERE q.tracker_id = h.tracker_id ORDER BY q.received_at DESC LIMIT 1),
        'last_error', (SELECT regexp_replace(q.detail, '-?\d+\.\d{2,}', '…', 'g') FROM quarantine q WHERE q.tracker_id = h.tracker_id ORDER BY q.received_at DESC LIMIT 1))
    FROM tracker_health h
    WHERE is_within(who, h.unit_id) AND h.tracker_id > p_after AND (p_state = 'all' OR h.state = p_state)
      AND (p_text = '' OR strpos(lower(h.ident), lower(p_text)) > 0
           OR p_reason IS NOT NULL AND is_within(who, h.vehicle_unit_id) AND h.plate IN (SELECT w.plate FROM vehicle w WHERE strpos(w.plate_key, (SELECT nullif(plate_key(p_text), ''))) > 0))
    ORDER BY h.tracker_id LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF p_reason IS NOT NULL THEN
        PERFORM write_audit(who.account_id, NULL, 'trackers', jsonb_build_object('reason', p_reason, 'text', p_text, 'state', p_state, 'after', p_after::text), returned);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION api_tracker_counts(p_token bytea) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN (SELECT jsonb_build_object('online', count(*) FILTER (WHERE state = 'online'), 'late', count(*) FILTER (WHERE state = 'late'),
        'silent', count(*) FILTER (WHERE state = 'silent'), 'never', count(*) FILTER (WHERE state = 'never'), 'off', count(*) FILTER (WHERE state = 'off')) FROM tracker_health h WHERE is_within(who, h.unit_id));
END $$;

-- An outage is told to whose vehicles it took, with the number of their own. How many are guarded there is counted for all
-- together: that is told to who sees them all. 0 is no organisation. What was noticed before is told to who sees all.
ALTER TABLE outage_part ADD COLUMN lost_of jsonb NOT NULL DEFAULT '{}';
CREATE FUNCTION lost_by_organisation(p_vehicles bigint[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(organisation, vehicles), '{}') FROM (
        SELECT coalesce(u.organisation_id, 0)::text AS organisation, count(*) AS vehicles
        FROM vehicle v LEFT JOIN unit u USING (unit_id) WHERE v.vehicle_id = ANY (p_vehicles) GROUP BY 1) counted
$$;
GRANT EXECUTE ON FUNCTION lost_by_organisation(bigint[]) TO rideguard_ingest_rights;

CREATE OR REPLACE FUNCTION api_outages(p_token bytea, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who  asker := asker_of(p_token, 'operator', 'admin');
    is_all boolean := sees_all(who);
    own  text := coalesce(who.organisation_id, 0)::text;
BEGIN
    RETURN QUERY WITH seen AS (
        SELECT kind, name, began_at, noticed_at, ended_at, CASE WHEN is_all THEN lost ELSE (lost_of ->> own)::integer END AS lost,
            CASE WHEN is_all THEN members END AS members
        FROM outage_part WHERE (is_all OR lost_of ? own) AND noticed_at > now() - interval '7 days'),
    marked AS (
        SELECT *, began_at - lag(began_at) OVER same > interval '20 minutes' AS is_another
        FROM seen WINDOW same AS (PARTITION BY kind, name ORDER BY began_at)),
    numbered AS (SELECT *, count(*) FILTER (WHERE is_another) OVER (PARTITION BY kind, name ORDER BY began_at) AS n FROM marked)
    SELECT jsonb_build_object('kind', kind, 'name', name, 'began_at', min(began_at), 'noticed_at', min(noticed_at),
        'ended_at', CASE WHEN bool_and(ended_at IS NOT NULL) THEN max(ended_at) END, 'lost', sum(lost), 'members', sum(members), 'lanes', count(*))
    FROM numbered GROUP BY kind, name, n ORDER BY min(noticed_at) DESC LIMIT p_limit;
END $$;

-- A gap is of a lane, and concerns who has a tracker in that lane. A search for one ends at the first.
CREATE FUNCTION has_tracker_in(p_who asker, p_lane smallint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM tracker t LEFT JOIN unit u USING (unit_id)
        WHERE u.organisation_id IS NOT DISTINCT FROM p_who.organisation_id AND lane_of(t.ident) = p_lane)
$$;
CREATE OR REPLACE FUNCTION api_coverage_gaps(p_token bytea, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    lately smallint[] := ARRAY(SELECT DISTINCT g.lane FROM coverage_gap g WHERE g.until_at > now() - interval '7 days');
    own smallint[] := CASE WHEN sees_all(who) THEN lately ELSE ARRAY(SELECT l FROM unnest(lately) l WHERE has_tracker_in(who, l)) END;
BEGIN
    RETURN QUERY WITH marked AS (
        SELECT *, from_at > max(until_at) OVER (same ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + interval '10 seconds' AS is_another
        FROM coverage_gap WHERE lane = ANY (own) AND until_at > now() - interval '7 days'
        WINDOW same AS (PARTITION BY cause ORDER BY from_at)),
    numbered AS (SELECT *, count(*) FILTER (WHERE is_another) OVER (PARTITION BY cause ORDER BY from_at) AS n FROM marked)
    SELECT jsonb_build_object('cause', cause, 'from', min(from_at), 'to', max(until_at), 'lanes', count(DISTINCT lane))
    FROM numbered GROUP BY cause, n ORDER BY max(until_at) DESC LIMIT p_limit;
END $$;

-- The city's zones are of the organisation whose account made them. They hold for every vehicle, so owners see them all.
CREATE OR REPLACE FUNCTION api_zones(p_token bytea, p_after bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner', 'operator', 'admin');
    since timestamptz := '-infinity';
BEGIN
    IF p_after <> 0 THEN
        SELECT z.created_at INTO since FROM zone z JOIN account a USING (account_id) WHERE z.zone_id = p_after
            AND (z.vehicle_id IS NULL AND (who.role = 'owner' OR is_within(who, a.unit_id)) OR owns(who.account_id, z.vehicle_id));
        IF NOT FOUND THEN PERFORM refuse('P0400', 'bad_cursor', 'the zone of this cursor is there no more; begin again'); END IF;
    END IF;
    RETURN QUERY SELECT zone_as_json(z) || jsonb_build_object('mine', z.account_id = who.account_id) FROM (
            SELECT c.zone_id FROM zone c JOIN account a USING (account_id)
                WHERE c.vehicle_id IS NULL AND (who.role = 'owner' OR is_within(who, a.unit_id))
            UNION SELECT o.zone_id FROM ownership w JOIN zone o USING (vehicle_id) WHERE w.account_id = who.account_id AND w.valid_to IS NULL) seen
        JOIN zone z USING (zone_id) WHERE (z.created_at, z.zone_id) > (since, p_after) ORDER BY z.created_at, z.zone_id LIMIT p_limit;
END $$;

CREATE OR REPLACE FUNCTION api_holds(p_token bytea, p_grant bigint, p_before bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'police', 'admin');
    the_case text := holds_seen(who.account_id, p_grant);
    returned integer;
BEGIN
    RETURN QUERY SELECT hold_as_json(h.hold_id) FROM legal_hold h JOIN vehicle v USING (vehicle_id)
        WHERE (who.role = 'police' OR is_within(who, v.unit_id)) AND (the_case IS NULL OR h.case_number = the_case) AND (p_before IS NULL OR h.hold_id < p_before)
        ORDER BY h.hold_id DESC LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, p_grant, 'holds', jsonb_build_object('case', the_case), returned);
END $$;

CREATE OR REPLACE FUNCTION api_place_hold(p_token bytea, p_grant bigint, p_case text, p_plate text, p_from timestamptz, p_to timestamptz, p_ends timestamptz, p_reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'police', 'admin');
    id  bigint;
BEGIN
    -- A plate of another organisation is like one that is not there.
    IF who.role = 'admin' AND NOT EXISTS (SELECT FROM vehicle v
            WHERE v.plate_key = plate_key(split_part(normalize(p_plate, NFKC), '#', 1)) AND is_within(who, v.unit_id)) THEN
        PERFORM refuse('P0404', 'no_such_plate', format('no vehicle has the plate %s', left(p_plate, 40)), jsonb_build_object('plate', left(p_plate, 40)));
    END IF;
    id := place_hold(who.account_id, p_grant, p_case, p_plate, p_from, p_to, p_ends, p_reason);
    IF who.role = 'admin' AND NOT EXISTS (SELECT FROM legal_hold h JOIN vehicle v USING (vehicle_id) WHERE h.hold_id = id AND is_within(who, v.unit_id)) THEN
        PERFORM refuse('P0404', 'no_such_plate', format('no vehicle has the plate %s', left(p_plate, 40)), jsonb_build_object('plate', left(p_plate, 40)));
    END IF;
    IF p_grant IS NOT NULL THEN
        PERFORM note_found(p_grant, ARRAY(SELECT vehicle_id FROM legal_hold WHERE hold_id = id));
    END IF;
    RETURN hold_as_json(id);    -- a statement of its own: it sees what the one before has written
END $$;

CREATE OR REPLACE FUNCTION api_release_hold(p_token bytea, p_grant bigint, p_hold bigint, p_reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'police', 'admin');
    the_case text := holds_seen(who.account_id, p_grant);
BEGIN
    IF NOT EXISTS (SELECT FROM legal_hold h JOIN vehicle v USING (vehicle_id) WHERE h.hold_id = p_hold
        AND (the_case IS NULL OR h.case_number = the_case) AND (who.role = 'police' OR is_within(who, v.unit_id))) THEN
        RAISE EXCEPTION 'there is no hold %', p_hold USING ERRCODE = 'P0404';
    END IF;
    PERFORM release_hold(who.account_id, p_grant, p_hold, p_reason);
    RETURN hold_as_json(p_hold);
END $$;

-- The history map counts by organisation; 0 is none. What was counted before is of the one organisation that there was.
DO $$
DECLARE home bigint := coalesce((SELECT organisation_id FROM unit WHERE unit_id = home_unit()), 0);
BEGIN
    EXECUTE format('ALTER TABLE traffic ADD COLUMN organisation_id bigint NOT NULL DEFAULT %s', home);
END $$;
ALTER TABLE traffic ALTER COLUMN organisation_id SET DEFAULT 0;
ALTER TABLE traffic DROP CONSTRAINT traffic_pkey;
ALTER TABLE traffic ADD PRIMARY KEY (hour, x, y, organisation_id);

CREATE FUNCTION organisations_of_vehicles(p_vehicles bigint[]) RETURNS TABLE (vehicle_id bigint, organisation_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT v.vehicle_id, u.organisation_id FROM vehicle v JOIN unit u USING (unit_id) WHERE v.vehicle_id = ANY (p_vehicles)
$$;
GRANT EXECUTE ON FUNCTION organisations_of_vehicles(bigint[]) TO rideguard_rollup_rights;

-- Of one organisation, or of all (NULL).
DROP FUNCTION history_tile(integer, integer, integer, timestamptz, timestamptz);
CREATE FUNCTION history_tile(p_z integer, p_x integer, p_y integer, p_from timestamptz, p_to timestamptz, p_organisation bigint DEFAULT NULL) RETURNS bytea
LANGUAGE sql STABLE AS $$
    WITH crowd AS (
        SELECT hour, x, y, sum(fixes) AS fixes, sum(vehicles)::integer AS vehicles FROM traffic
        WHERE hour >= p_from AND hour < p_to AND x >= p_x << (17 - p_z) AND x < (p_x + 1) << (17 - p_z)
            AND y >= p_y << (17 - p_z) AND y < (p_y + 1) << (17 - p_z) AND (p_organisation IS NULL OR organisation_id = p_organisation)
        GROUP BY hour, x, y HAVING sum(vehicles) >= 3
    ),
    cell AS (
        SELECT x >> s AS x, y >> s AS y, sum(round(fixes / 10.0) * 10)::bigint AS fixes, max(vehicles) AS vehicles
        FROM (SELECT greatest(0, least(17, 10 - p_z)) AS s) scale, crowd GROUP BY 1, 2
    )
    SELECT ST_AsMVT(t, 'traffic') FROM (
        SELECT ST_AsMVTGeom(ST_TileEnvelope(17 - greatest(0, least(17, 10 - p_z)), x, y), ST_TileEnvelope(p_z, p_x, p_y)) AS shape, fixes, vehicles
        FROM cell) t
$$;

CREATE OR REPLACE FUNCTION api_history_tile(p_token bytea, p_grant bigint, p_z integer, p_x integer, p_y integer, p_from timestamptz, p_to timestamptz) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'police', 'operator');
BEGIN
    IF who.role = 'police' THEN
        PERFORM check_window(check_grant(who.account_id, p_grant), p_from, p_to);
    ELSE
        p_grant := NULL;
    END IF;
    PERFORM write_audit(who.account_id, p_grant, 'history', jsonb_build_object('tile', jsonb_build_array(p_z, p_x, p_y), 'from', p_from, 'to', p_to), NULL);
    RETURN history_tile(p_z, p_x, p_y, p_from, p_to, CASE WHEN who.role <> 'police' THEN coalesce(who.organisation_id, 0) END);
END $$;

-- The live map: what the streams of these sessions may see, and no more. Operators see their organisation's, or what is in none;
-- police what they ask for while a grant of theirs is in force; owners what is theirs.
DROP FUNCTION api_live_positions();
CREATE VIEW live_position AS
    SELECT v.vehicle_id, v.plate, CASE WHEN p.vehicle_id IS NULL THEN ST_Y(s.position) END AS lat,
        CASE WHEN p.vehicle_id IS NULL THEN ST_X(s.position) END AS lon, s.fixed_at, s.speed_kmh, coalesce(g.armed, false) AS armed,
        i.incident_id IS NOT NULL AS incident, u.organisation_id, p.vehicle_id IS NOT NULL AS is_off
    FROM vehicle v JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL
    LEFT JOIN tracker_status s ON s.tracker_id = n.tracker_id LEFT JOIN guard_status g ON g.vehicle_id = v.vehicle_id
    LEFT JOIN incident i ON i.vehicle_id = v.vehicle_id AND i.closed_at IS NULL
    LEFT JOIN positioning_off p ON p.vehicle_id = v.vehicle_id AND p.on_at IS NULL
    LEFT JOIN unit u ON u.unit_id = v.unit_id;
CREATE FUNCTION api_live_positions(p_tokens bytea[])
RETURNS TABLE (vehicle_id bigint, plate text, lat float8, lon float8, fixed_at timestamptz, speed_kmh real, armed boolean, incident boolean, organisation_id bigint, is_off boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    is_all        boolean;
    organisations bigint[];    -- 0 is none
    own           bigint[];
BEGIN
    WITH watcher AS (
        SELECT DISTINCT p.account_id, p.role, coalesce(u.organisation_id, 0) AS organisation
        FROM session s JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id)
        WHERE s.token_sha256 = ANY (p_tokens) AND s.expires_at > now() AND NOT p.disabled)
    SELECT EXISTS (SELECT FROM watcher w JOIN access_grant g USING (account_id) WHERE w.role = 'police' AND now() BETWEEN g.valid_from AND g.valid_to),
        ARRAY(SELECT DISTINCT w.organisation FROM watcher w WHERE w.role = 'operator'),
        ARRAY(SELECT r.vehicle_id FROM vehicle_right r JOIN watcher w USING (account_id) WHERE w.role IN ('owner', 'family'))
    INTO is_all, organisations, own;
    RETURN QUERY SELECT * FROM live_position l WHERE l.vehicle_id = ANY (own)
        UNION ALL SELECT * FROM live_position l WHERE (is_all OR cardinality(organisations) > 0)
            AND (is_all OR coalesce(l.organisation_id, 0) = ANY (organisations)) AND l.vehicle_id <> ALL (own);
END $$;

DROP FUNCTION api_live_right(bytea, bigint);
CREATE FUNCTION api_live_right(p_token bytea, p_grant bigint)
RETURNS TABLE (goes_on boolean, owned bigint[], owned_since timestamptz[], area_km2_max float8, organisation_id bigint, is_shared boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.role <> 'police' OR g.grant_id IS NOT NULL,
           ARRAY(SELECT w.vehicle_id FROM ownership w WHERE w.account_id = p.account_id AND w.valid_to IS NULL ORDER BY 1),
           ARRAY(SELECT w.valid_from FROM ownership w WHERE w.account_id = p.account_id AND w.valid_to IS NULL ORDER BY w.vehicle_id),
           g.area_km2_max, u.organisation_id, false
    FROM session s JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id)
    LEFT JOIN access_grant g ON p.role = 'police' AND g.grant_id = p_grant AND g.account_id = p.account_id AND now() BETWEEN g.valid_from AND g.valid_to
    WHERE s.token_sha256 = p_token AND s.expires_at > now() AND NOT p.disabled
$$;
