-- Lawful access: the API's role reads people and things, and tracks only through these functions.
-- Each takes who asks, checks the right, writes the audit row and returns rows, in one transaction.

DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'rideguard_api_rights') THEN
        CREATE ROLE rideguard_api_rights NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this cluster made it
END $$;

-- ── how things are shown ────────────────────────────────────────────────────────────────────
CREATE FUNCTION alert_as_json(p_alert bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', a.alert_id::text, 'vehicle_id', a.vehicle_id::text, 'plate', v.plate, 'kind', a.kind,
        'raised_at', a.raised_at, 'late', a.late, 'wakes_owner', a.wakes_owner,
        'incident_id', a.incident_id::text, 'lat', a.lat, 'lon', a.lon)
    FROM alert a LEFT JOIN vehicle v USING (vehicle_id) WHERE a.alert_id = p_alert
$$;

CREATE FUNCTION vehicle_as_json(p_vehicle bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', v.vehicle_id::text, 'plate', v.plate, 'kind', v.kind, 'model', v.model, 'tracker', t.ident,
        'armed', coalesce(g.armed, false), 'armed_at', CASE WHEN g.armed THEN g.since END,
        'guard_point', CASE WHEN g.armed AND g.guard_lat IS NOT NULL THEN jsonb_build_object('lat', g.guard_lat, 'lon', g.guard_lon) END,
        'last_fix', CASE WHEN s.position IS NOT NULL THEN jsonb_build_object('fixed_at', s.fixed_at, 'received_at', s.received_at,
            'lat', ST_Y(s.position), 'lon', ST_X(s.position), 'speed_kmh', s.speed_kmh, 'course_deg', s.course_deg,
            'satellites', s.satellites, 'accuracy_m', s.accuracy_m,
            'source', (ARRAY['gnss', 'cell', 'wifi'])[s.source + 1]) END,
        'last_heard_at', s.last_heard_at, 'battery_percent', s.battery_percent, 'external_power', s.external_power,
        'ignition', s.ignition, 'open_incident', i.incident_id::text)
    FROM vehicle v
    LEFT JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL
    LEFT JOIN tracker t USING (tracker_id)
    LEFT JOIN tracker_status s USING (tracker_id)
    LEFT JOIN guard_status g ON g.vehicle_id = v.vehicle_id
    LEFT JOIN incident i ON i.vehicle_id = v.vehicle_id AND i.closed_at IS NULL
    WHERE v.vehicle_id = p_vehicle
$$;

-- ── rights ──────────────────────────────────────────────────────────────────────────────────
CREATE FUNCTION owns(p_account bigint, p_vehicle bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM ownership WHERE account_id = p_account AND vehicle_id = p_vehicle AND valid_to IS NULL)
$$;

-- The grant, if it is this officer's and in force; an error otherwise. P0403 is our code for "forbidden".
CREATE FUNCTION check_grant(p_account bigint, p_grant bigint) RETURNS access_grant LANGUAGE plpgsql STABLE AS $$
DECLARE g access_grant;
BEGIN
    SELECT a.* INTO g FROM access_grant a JOIN account p USING (account_id)
    WHERE a.grant_id = p_grant AND a.account_id = p_account AND p.role = 'police' AND NOT p.disabled
      AND now() BETWEEN a.valid_from AND a.valid_to;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no grant % of yours is in force', coalesce(p_grant::text, '(none)') USING ERRCODE = 'P0403';
    END IF;
    RETURN g;
END $$;

CREATE FUNCTION write_audit(p_account bigint, p_grant bigint, p_action text, p_question jsonb, p_rows integer) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO audit (account_id, grant_id, action, question, rows_returned) VALUES (p_account, p_grant, p_action, p_question, p_rows)
$$;

-- ── owners ──────────────────────────────────────────────────────────────────────────────────
CREATE FUNCTION api_my_vehicles(p_account bigint) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT vehicle_as_json(w.vehicle_id) FROM ownership w JOIN vehicle v USING (vehicle_id)
    WHERE w.account_id = p_account AND w.valid_to IS NULL ORDER BY v.plate
$$;

CREATE FUNCTION api_my_vehicle(p_account bigint, p_vehicle bigint) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT vehicle_as_json(p_vehicle) WHERE owns(p_account, p_vehicle)
$$;

CREATE FUNCTION api_my_alerts(p_account bigint, p_before bigint, p_limit integer) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT alert_as_json(a.alert_id) FROM alert a JOIN ownership w USING (vehicle_id)
    WHERE w.account_id = p_account AND w.valid_to IS NULL AND a.raised_at >= w.valid_from
      AND (p_before IS NULL OR a.alert_id < p_before)
    ORDER BY a.alert_id DESC LIMIT p_limit
$$;

CREATE FUNCTION api_my_incident(p_account bigint, p_incident bigint) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object('id', i.incident_id::text, 'vehicle_id', i.vehicle_id::text, 'plate', v.plate, 'opened_at', i.opened_at,
        'closed_at', i.closed_at, 'end', i.ended_by,
        'alerts', (SELECT jsonb_agg(alert_as_json(a.alert_id) || jsonb_build_object('evidence', a.evidence) ORDER BY a.alert_id)
                   FROM alert a WHERE a.incident_id = i.incident_id))
    FROM incident i JOIN vehicle v USING (vehicle_id) JOIN ownership w USING (vehicle_id)
    WHERE i.incident_id = p_incident AND w.account_id = p_account AND w.valid_to IS NULL AND i.opened_at >= w.valid_from
$$;

CREATE FUNCTION api_arm(p_account bigint, p_vehicle bigint, p_armed boolean) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE carrier text;
BEGIN
    IF NOT owns(p_account, p_vehicle) THEN RETURN NULL; END IF;
    SELECT t.ident INTO carrier FROM installation n JOIN tracker t USING (tracker_id) WHERE n.vehicle_id = p_vehicle AND n.valid_to IS NULL;
    IF carrier IS NULL THEN
        RAISE EXCEPTION 'the vehicle carries no tracker' USING ERRCODE = 'P0409';
    END IF;
    PERFORM write_audit(p_account, NULL, CASE WHEN p_armed THEN 'arm' ELSE 'disarm' END, jsonb_build_object('vehicle', p_vehicle), NULL);
    RETURN add_setting(lane_of(carrier), jsonb_build_object('kind', CASE WHEN p_armed THEN 'arm' ELSE 'disarm' END, 'vehicle', p_vehicle));
END $$;

-- Whether a setting is in force: its lane has journaled it and counted what followed.
CREATE FUNCTION api_setting_applied(p_setting bigint) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT bool_and(l.setting_cursor >= s.setting_id AND l.applied >= l.journaled)
    FROM setting s JOIN lane l ON s.lane IS NULL OR l.lane = s.lane WHERE s.setting_id = p_setting
$$;

-- ── tracks ──────────────────────────────────────────────────────────────────────────────────
-- Every fix kept, hot or late. Fixes without a position of their own are left out (flags 4, 8).
CREATE VIEW fix_all AS
    SELECT * FROM fix WHERE flags & 12 = 0 UNION ALL SELECT * FROM fix_late WHERE flags & 12 = 0;

CREATE FUNCTION track_of(p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_limit integer)
RETURNS TABLE (fixed_at timestamptz, lon double precision, lat double precision, speed_kmh real) LANGUAGE sql STABLE AS $$
    SELECT f.fixed_at, ST_X(f.position), ST_Y(f.position), f.speed_kmh
    FROM installation n JOIN fix_all f ON f.tracker_id = n.tracker_id AND f.vehicle_id = p_vehicle
    WHERE n.vehicle_id = p_vehicle AND f.fixed_at >= p_from AND f.fixed_at < p_to
    GROUP BY f.tracker_id, f.fixed_at, f.position, f.speed_kmh ORDER BY f.fixed_at LIMIT p_limit
$$;

CREATE FUNCTION api_my_track(p_account bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_limit integer)
RETURNS TABLE (fixed_at timestamptz, lon double precision, lat double precision, speed_kmh real)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE since timestamptz;
BEGIN
    SELECT valid_from INTO since FROM ownership WHERE account_id = p_account AND vehicle_id = p_vehicle AND valid_to IS NULL;
    IF since IS NULL THEN RAISE EXCEPTION 'no vehicle % of yours', p_vehicle USING ERRCODE = 'P0404'; END IF;
    RETURN QUERY SELECT * FROM track_of(p_vehicle, greatest(p_from, since), p_to, p_limit);
END $$;

CREATE FUNCTION api_police_track(p_account bigint, p_grant bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_limit integer)
RETURNS TABLE (fixed_at timestamptz, lon double precision, lat double precision, speed_kmh real)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE returned integer;
BEGIN
    PERFORM check_grant(p_account, p_grant);
    RETURN QUERY SELECT * FROM track_of(p_vehicle, p_from, p_to, p_limit);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'track', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to), returned);
END $$;

CREATE FUNCTION api_police_vehicles(p_account bigint, p_grant bigint, p_text text) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE returned integer; pattern text := '%' || replace(replace(replace(p_text, '\', '\\'), '%', '\%'), '_', '\_') || '%';
BEGIN
    PERFORM check_grant(p_account, p_grant);
    RETURN QUERY SELECT vehicle_as_json(v.vehicle_id) FROM vehicle v
        LEFT JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL LEFT JOIN tracker t USING (tracker_id)
        WHERE v.plate ILIKE pattern OR t.ident ILIKE pattern ORDER BY v.plate LIMIT 50;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'vehicles', jsonb_build_object('text', p_text), returned);
END $$;

CREATE FUNCTION api_police_area(p_account bigint, p_grant bigint, p_polygon text, p_from timestamptz, p_to timestamptz, p_limit integer)
RETURNS TABLE (vehicle_id bigint, plate text, tracker text, first_at timestamptz, last_at timestamptz, fixes bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    g        access_grant := check_grant(p_account, p_grant);
    area     geometry := ST_SetSRID(ST_GeomFromText(p_polygon), 4326);
    km2      double precision;
    returned integer;
BEGIN
    IF NOT ST_IsValid(area) THEN
        RAISE EXCEPTION 'the polygon crosses itself or has no area' USING ERRCODE = 'P0400';
    END IF;
    km2 := ST_Area(area::geography) / 1e6;
    IF km2 > g.area_km2_max THEN
        RAISE EXCEPTION 'the area is % km²; grant % allows %', round(km2::numeric, 1), p_grant, g.area_km2_max USING ERRCODE = 'P0400';
    END IF;
    IF p_to - p_from > make_interval(secs => g.hours_max * 3600) THEN
        RAISE EXCEPTION 'the window is longer than the % hours that grant % allows', g.hours_max, p_grant USING ERRCODE = 'P0400';
    END IF;
    RETURN QUERY
        SELECT f.vehicle_id, v.plate, min(t.ident), min(f.fixed_at), max(f.fixed_at), count(*)
        FROM fix_all f JOIN vehicle v ON v.vehicle_id = f.vehicle_id JOIN tracker t ON t.tracker_id = f.tracker_id
        WHERE f.fixed_at >= p_from AND f.fixed_at < p_to AND f.position && area AND ST_Intersects(f.position, area)
        GROUP BY f.vehicle_id, v.plate ORDER BY min(f.fixed_at), f.vehicle_id LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'area',
        jsonb_build_object('polygon', ST_AsGeoJSON(area)::jsonb, 'from', p_from, 'to', p_to), returned);
END $$;

CREATE FUNCTION api_my_grants(p_account bigint) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object('id', grant_id::text, 'case_number', case_number, 'purpose', purpose, 'valid_to', valid_to,
        'area_km2_max', area_km2_max, 'hours_max', hours_max)
    FROM access_grant WHERE account_id = p_account AND now() BETWEEN valid_from AND valid_to ORDER BY grant_id
$$;

-- ── operators ───────────────────────────────────────────────────────────────────────────────
CREATE VIEW tracker_health AS
    SELECT t.tracker_id, t.ident, t.profile ->> 'protocol' AS protocol, v.plate, o.name AS organisation, s.last_heard_at,
        CASE WHEN s.last_heard_at IS NULL THEN 'never' WHEN s.last_heard_at > now() - interval '15 minutes' THEN 'online' ELSE 'silent' END AS state,
        s.battery_percent, s.signal_percent, s.satellites, s.firmware
    FROM tracker t LEFT JOIN tracker_status s USING (tracker_id)
    LEFT JOIN installation n ON n.tracker_id = t.tracker_id AND n.valid_to IS NULL LEFT JOIN vehicle v ON v.vehicle_id = n.vehicle_id
    LEFT JOIN unit u ON u.unit_id = t.unit_id LEFT JOIN organisation o USING (organisation_id);

CREATE FUNCTION api_trackers(p_state text, p_text text, p_after bigint, p_limit integer) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object('id', h.tracker_id::text, 'ident', h.ident, 'protocol', h.protocol, 'plate', h.plate, 'organisation', h.organisation,
        'state', h.state, 'last_heard_at', h.last_heard_at, 'battery_percent', h.battery_percent, 'signal_percent', h.signal_percent,
        'satellites', h.satellites, 'firmware', h.firmware,
        'quarantined_packets', (SELECT count(*) FROM quarantine q WHERE q.tracker_id = h.tracker_id),
        'last_error', (SELECT q.detail FROM quarantine q WHERE q.tracker_id = h.tracker_id ORDER BY q.received_at DESC LIMIT 1))
    FROM tracker_health h
    WHERE h.tracker_id > p_after AND (p_state = 'all' OR h.state = p_state)
      AND (p_text = '' OR strpos(lower(h.ident), lower(p_text)) > 0 OR strpos(lower(coalesce(h.plate, '')), lower(p_text)) > 0)
    ORDER BY h.tracker_id LIMIT p_limit
$$;

CREATE FUNCTION api_tracker_counts() RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object('online', count(*) FILTER (WHERE state = 'online'), 'silent', count(*) FILTER (WHERE state = 'silent'),
        'never', count(*) FILTER (WHERE state = 'never')) FROM tracker_health
$$;

-- ── zones ───────────────────────────────────────────────────────────────────────────────────
CREATE FUNCTION zone_as_json(z zone) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', z.zone_id::text, 'name', z.name, 'rule', z.rule, 'shape', z.shape, 'vehicle_id', z.vehicle_id::text,
        'created_at', z.created_at)
$$;

CREATE FUNCTION api_zones(p_account bigint) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT zone_as_json(z) || jsonb_build_object('mine', z.account_id = p_account)
    FROM zone z WHERE z.vehicle_id IS NULL OR owns(p_account, z.vehicle_id) ORDER BY z.zone_id
$$;

CREATE FUNCTION api_add_zone(p_account bigint, p_role text, p_name text, p_rule text, p_shape jsonb, p_vehicle bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE z zone;
BEGIN
    IF p_role = 'owner' AND (p_vehicle IS NULL OR NOT owns(p_account, p_vehicle)) THEN
        RAISE EXCEPTION 'no vehicle % of yours', coalesce(p_vehicle::text, '(none)') USING ERRCODE = 'P0404';
    END IF;
    IF p_role <> 'owner' AND p_vehicle IS NOT NULL THEN
        RAISE EXCEPTION 'only the owner makes zones for a vehicle' USING ERRCODE = 'P0403';
    END IF;
    IF (SELECT count(*) FROM zone WHERE account_id = p_account) >= 100 THEN
        RAISE EXCEPTION 'an account has at most 100 zones' USING ERRCODE = 'P0409';
    END IF;
    INSERT INTO zone (name, rule, shape, vehicle_id, account_id) VALUES (p_name, p_rule, p_shape, p_vehicle, p_account) RETURNING * INTO z;
    RETURN NEXT zone_as_json(z) || jsonb_build_object('mine', true);
END $$;

CREATE FUNCTION api_delete_zone(p_account bigint, p_zone bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM zone WHERE zone_id = p_zone AND account_id = p_account;
    RETURN FOUND;
END $$;

-- ── sessions and live streams ───────────────────────────────────────────────────────────────
-- One account by its login, for checking a password; the API cannot read the others.
CREATE FUNCTION api_account(p_login text) RETURNS TABLE (account_id bigint, name text, role text, password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT account_id, name, role, password_hash FROM account WHERE login = p_login AND NOT disabled
$$;

-- Keeps a session, and forgets those that have ended.
CREATE FUNCTION api_open_session(p_token bytea, p_account bigint, p_seconds double precision) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE until timestamptz := now() + make_interval(secs => p_seconds);
BEGIN
    DELETE FROM session WHERE expires_at < now();
    INSERT INTO session (token_sha256, account_id, expires_at) VALUES (p_token, p_account, until);
    RETURN until;
END $$;

-- Whose session this is, if it lives.
CREATE FUNCTION api_session(p_token bytea) RETURNS TABLE (account_id bigint, login text, name text, role text, organisation text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.account_id, p.login, p.name, p.role, o.name FROM session s JOIN account p USING (account_id)
    LEFT JOIN unit u USING (unit_id) LEFT JOIN organisation o USING (organisation_id)
    WHERE s.token_sha256 = p_token AND s.expires_at > now() AND NOT p.disabled
$$;

CREATE FUNCTION api_close_session(p_token bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM session WHERE token_sha256 = p_token
$$;

CREATE FUNCTION api_open_live(p_account bigint, p_role text, p_grant bigint, p_ticket bytea, p_session bytea) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE until timestamptz := now() + interval '30 seconds';
BEGIN
    IF p_role = 'police' THEN PERFORM check_grant(p_account, p_grant); END IF;
    DELETE FROM live_ticket WHERE expires_at < now();
    INSERT INTO live_ticket VALUES (p_ticket, p_account, p_session, CASE WHEN p_role = 'police' THEN p_grant END, until);
    RETURN until;
END $$;

-- Uses a ticket up, and accounts for the stream that it opens.
CREATE FUNCTION api_use_ticket(p_ticket bytea) RETURNS TABLE (account_id bigint, role text, grant_id bigint, session_sha256 bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        WITH used AS (DELETE FROM live_ticket WHERE ticket_sha256 = p_ticket RETURNING *)
        SELECT u.account_id, p.role, u.grant_id, u.session_sha256 FROM used u JOIN account p USING (account_id) JOIN session s ON s.token_sha256 = u.session_sha256
        WHERE u.expires_at > now() AND s.expires_at > now() AND NOT p.disabled;
END $$;

CREATE FUNCTION api_audit_live(p_account bigint, p_grant bigint, p_view jsonb, p_rows integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT write_audit(p_account, p_grant, 'live', p_view, p_rows)
$$;

-- Where every vehicle was last, for the live map's memory after a start; plates go on to owners only.
CREATE FUNCTION api_live_positions() RETURNS TABLE (vehicle_id bigint, plate text, lat double precision, lon double precision, fixed_at timestamptz,
    speed_kmh real, armed boolean, incident boolean, account_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT v.vehicle_id, v.plate, ST_Y(s.position), ST_X(s.position), s.fixed_at, s.speed_kmh, coalesce(g.armed, false), i.incident_id IS NOT NULL, w.account_id
    FROM vehicle v JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL
    LEFT JOIN tracker_status s ON s.tracker_id = n.tracker_id LEFT JOIN guard_status g ON g.vehicle_id = v.vehicle_id
    LEFT JOIN incident i ON i.vehicle_id = v.vehicle_id AND i.closed_at IS NULL
    LEFT JOIN ownership w ON w.vehicle_id = v.vehicle_id AND w.valid_to IS NULL
$$;

-- ── what the API's role may touch ───────────────────────────────────────────────────────────
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO rideguard_api_rights;
GRANT SELECT ON migration TO rideguard_api_rights;
DO $$
DECLARE f regprocedure;
BEGIN
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname = 'public' AND p.proname LIKE 'api\_%' LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO rideguard_api_rights', f);
    END LOOP;
END $$;
