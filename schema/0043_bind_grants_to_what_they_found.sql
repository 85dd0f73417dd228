-- A grant's limits bind the newest positions and the live map, ids cannot be guessed, rows of audit count vehicles,
-- zones that can never tell anything are refused, and what changes settings waits for its turn before it locks a row.

-- 53 bits at random: as a number of JSON it stays exact.
CREATE FUNCTION random_id() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT greatest(1, ('x' || encode(substring(b FROM 1 FOR 6) || substring(b FROM 10 FOR 1), 'hex'))::bit(56)::bigint & 9007199254740991)
    FROM uuid_send(gen_random_uuid()) AS b
$$;

-- Rows that are there keep their ids. Trackers keep counting: their numbers say nothing of places.
ALTER TABLE vehicle ALTER COLUMN vehicle_id DROP IDENTITY;
ALTER TABLE vehicle ALTER COLUMN vehicle_id SET DEFAULT random_id();
ALTER TABLE account ALTER COLUMN account_id DROP IDENTITY;
ALTER TABLE account ALTER COLUMN account_id SET DEFAULT random_id();
ALTER TABLE access_grant ALTER COLUMN grant_id DROP IDENTITY;
ALTER TABLE access_grant ALTER COLUMN grant_id SET DEFAULT random_id();
ALTER TABLE zone ALTER COLUMN zone_id DROP IDENTITY;
ALTER TABLE zone ALTER COLUMN zone_id SET DEFAULT random_id();

CREATE OR REPLACE FUNCTION api_my_grants(p_account bigint) RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object('id', grant_id::text, 'case_number', case_number, 'purpose', purpose, 'valid_to', valid_to,
        'area_km2_max', area_km2_max, 'hours_max', hours_max)
    FROM access_grant WHERE account_id = p_account AND now() BETWEEN valid_from AND valid_to ORDER BY valid_from, grant_id
$$;

-- Zones come in the order in which they were made, which their ids no longer tell.
CREATE OR REPLACE FUNCTION api_zones(p_account bigint, p_after bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE since timestamptz := '-infinity';
BEGIN
    IF p_after <> 0 THEN
        SELECT z.created_at INTO since FROM zone z WHERE z.zone_id = p_after AND (z.vehicle_id IS NULL OR owns(p_account, z.vehicle_id));
        IF NOT FOUND THEN PERFORM refuse('P0400', 'bad_cursor', 'the zone of this cursor is there no more; begin again'); END IF;
    END IF;
    RETURN QUERY SELECT zone_as_json(z) || jsonb_build_object('mine', z.account_id = p_account) FROM (
            SELECT zone_id FROM zone WHERE vehicle_id IS NULL
            UNION SELECT o.zone_id FROM ownership w JOIN zone o USING (vehicle_id) WHERE w.account_id = p_account AND w.valid_to IS NULL) seen
        JOIN zone z USING (zone_id) WHERE (z.created_at, z.zone_id) > (since, p_after) ORDER BY z.created_at, z.zone_id LIMIT p_limit;
END $$;

-- Vehicles that a grant has found, or that were named under it: only these may be asked for by id alone. What a search looked
-- at and did not tell, as it was beside the area and not in it, may be named by the answer to that search, no more.
CREATE TABLE grant_vehicle (
    grant_id   bigint NOT NULL REFERENCES access_grant ON DELETE CASCADE,
    vehicle_id bigint NOT NULL,
    is_told    boolean NOT NULL,
    PRIMARY KEY (grant_id, vehicle_id)
);

-- In the order of ids, so that two searches of one grant do not wait for each other in a circle.
CREATE FUNCTION note_found(p_grant bigint, p_vehicles bigint[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO grant_vehicle (grant_id, vehicle_id, is_told)
    SELECT DISTINCT p_grant, vehicle_id, true FROM vehicle WHERE vehicle_id = ANY (p_vehicles) ORDER BY vehicle_id
    ON CONFLICT (grant_id, vehicle_id) DO UPDATE SET is_told = true WHERE NOT grant_vehicle.is_told
$$;

-- What grants have found is of use until they end; each new grant clears away what ended ones left. `audit` stays.
CREATE FUNCTION grant_given() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM grant_vehicle f USING access_grant g WHERE g.grant_id = f.grant_id AND g.valid_to < now();
    RETURN NULL;
END $$;
CREATE TRIGGER grant_given AFTER INSERT ON access_grant FOR EACH STATEMENT EXECUTE FUNCTION grant_given();

-- The pieces are read once; what they are of is noted and counted in the same statement. Which of them were inside is judged
-- outside the database, and those are named next.
CREATE OR REPLACE FUNCTION api_police_near(p_account bigint, p_grant bigint, p_area text, p_from timestamptz, p_to timestamptz, p_beyond interval, p_most integer)
RETURNS SETOF found LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan SET work_mem = '32MB' AS $$
DECLARE
    g        access_grant := check_grant(p_account, p_grant);
    area     geometry := ST_GeomFromText(p_area);
    returned integer;
BEGIN
    PERFORM check_area(g, ST_SetSRID(area, 4326));
    PERFORM check_window(g, p_from, p_to);
    RETURN QUERY WITH hit AS MATERIALIZED (
            SELECT * FROM pieces_near(ST_Envelope(area), p_from - p_beyond, p_to + p_beyond) LIMIT p_most + 1),
        noted AS (
            INSERT INTO grant_vehicle (grant_id, vehicle_id, is_told)
            SELECT DISTINCT p_grant, h.vehicle_id, false FROM hit h WHERE h.vehicle_id IS NOT NULL ORDER BY 2 ON CONFLICT DO NOTHING),
        audited AS (
            INSERT INTO audit (account_id, grant_id, action, question, rows_returned)
            SELECT p_account, p_grant, 'area', jsonb_build_object('area', ST_AsGeoJSON(area)::jsonb, 'from', p_from, 'to', p_to), count(DISTINCT h.vehicle_id)
            FROM hit h)
        SELECT * FROM hit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF returned > p_most THEN
        PERFORM refuse('P0400', 'too_many_pieces', format('more than %s pieces of tracks touch this area in this time; ask for less than the %s hours, or for a smaller area',
            p_most, round(extract(epoch FROM p_to - p_from) / 3600, 1)), jsonb_build_object('max', p_most, 'hours', round(extract(epoch FROM p_to - p_from) / 3600, 1)));
    END IF;
END $$;

CREATE OR REPLACE FUNCTION api_police_company(p_account bigint, p_grant bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_within_m double precision, p_within_s double precision, p_most integer)
RETURNS SETOF found LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan SET work_mem = '32MB' AS $$
DECLARE
    g        access_grant := check_grant(p_account, p_grant);
    returned integer;
BEGIN
    PERFORM check_window(g, p_from, p_to);
    PERFORM note_found(p_grant, ARRAY[p_vehicle]);
    RETURN QUERY WITH hit AS MATERIALIZED (
            SELECT * FROM rides_beside(p_vehicle, p_from, p_to, p_within_m, p_within_s) LIMIT p_most + 1),
        noted AS (
            INSERT INTO grant_vehicle (grant_id, vehicle_id, is_told)
            SELECT DISTINCT p_grant, h.vehicle_id, false FROM hit h WHERE h.vehicle_id IS NOT NULL ORDER BY 2 ON CONFLICT DO NOTHING),
        audited AS (
            INSERT INTO audit (account_id, grant_id, action, question, rows_returned)
            SELECT p_account, p_grant, 'company', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to, 'within_m', p_within_m, 'within_s', p_within_s),
                count(DISTINCT h.vehicle_id) FILTER (WHERE h.vehicle_id <> p_vehicle)
            FROM hit h)
        SELECT * FROM hit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF returned > p_most THEN
        PERFORM refuse('P0400', 'too_many_rides', format('more than %s rides were near this vehicle; ask for less than the %s hours', p_most,
            round(extract(epoch FROM p_to - p_from) / 3600, 1)), jsonb_build_object('max', p_most, 'hours', round(extract(epoch FROM p_to - p_from) / 3600, 1)));
    END IF;
END $$;

CREATE OR REPLACE FUNCTION api_police_pieces(p_account bigint, p_grant bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE returned integer;
BEGIN
    PERFORM check_window(check_grant(p_account, p_grant), p_from, p_to);
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, p_from, p_to);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM note_found(p_grant, ARRAY[p_vehicle]);
    PERFORM write_audit(p_account, p_grant, 'track', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to), least(returned, 1));
END $$;

-- Names are for what was found, no others; what is named is told.
DROP FUNCTION api_police_names(bigint, bigint, bigint[]);
CREATE FUNCTION api_police_names(p_account bigint, p_grant bigint, p_vehicles bigint[]) RETURNS TABLE (vehicle_id bigint, plate text, tracker text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_grant(p_account, p_grant);
    PERFORM note_found(p_grant, ARRAY(SELECT f.vehicle_id FROM grant_vehicle f WHERE f.grant_id = p_grant AND f.vehicle_id = ANY (p_vehicles)));
    RETURN QUERY SELECT v.vehicle_id, v.plate, (SELECT t.ident FROM installation n JOIN tracker t USING (tracker_id)
            WHERE n.vehicle_id = v.vehicle_id ORDER BY n.valid_from DESC LIMIT 1)
        FROM grant_vehicle f JOIN vehicle v USING (vehicle_id) WHERE f.grant_id = p_grant AND f.vehicle_id = ANY (p_vehicles);
END $$;

-- A vehicle that this grant has not found is like one that is not there.
CREATE OR REPLACE FUNCTION api_police_newest(p_account bigint, p_grant bigint, p_vehicles bigint[]) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE returned integer;
BEGIN
    PERFORM check_grant(p_account, p_grant);
    RETURN QUERY SELECT vehicle_as_json(v) FROM unnest(p_vehicles) v
        WHERE EXISTS (SELECT FROM grant_vehicle f WHERE f.grant_id = p_grant AND f.vehicle_id = v AND f.is_told) AND EXISTS (SELECT FROM vehicle k WHERE k.vehicle_id = v);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'newest', jsonb_build_object('vehicles', p_vehicles), returned);
END $$;

CREATE OR REPLACE FUNCTION api_police_newest_in(p_account bigint, p_grant bigint, p_west double precision, p_south double precision, p_east double precision, p_north double precision, p_limit integer)
RETURNS TABLE (vehicle_id bigint, plate text, fixed_at timestamptz, lon double precision, lat double precision, speed_kmh real)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    g        access_grant := check_grant(p_account, p_grant);
    box      geometry := ST_MakeEnvelope(p_west, p_south, p_east, p_north, 4326);
    returned integer;
BEGIN
    PERFORM check_area(g, box);
    RETURN QUERY WITH hit AS MATERIALIZED (
            SELECT n.vehicle_id, v.plate, n.fixed_at, n.lon, n.lat, n.speed_kmh FROM newest_in(box, p_limit) n JOIN vehicle v USING (vehicle_id)),
        noted AS (
            INSERT INTO grant_vehicle (grant_id, vehicle_id, is_told) SELECT DISTINCT p_grant, h.vehicle_id, true FROM hit h ORDER BY 2
            ON CONFLICT (grant_id, vehicle_id) DO UPDATE SET is_told = true WHERE NOT grant_vehicle.is_told)
        SELECT * FROM hit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'newest', jsonb_build_object('box', jsonb_build_array(p_west, p_south, p_east, p_north)), returned);
END $$;

-- A part of a plate that many have names no vehicle of a case: of those the plates are told, and no place.
CREATE OR REPLACE FUNCTION api_police_vehicles(p_account bigint, p_grant bigint, p_text text) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    sought_key   text := plate_key(split_part(normalize(p_text, NFKC), '#', 1));
    sought_ident text := lower(btrim(normalize(p_text, NFKC)));
    hits         bigint[];
    named        bigint[];
BEGIN
    PERFORM check_grant(p_account, p_grant);
    -- The plate itself comes first, whatever else holds it.
    hits := ARRAY(SELECT v.vehicle_id FROM vehicle v
        LEFT JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL LEFT JOIN tracker t USING (tracker_id)
        WHERE (sought_key <> '' AND strpos(v.plate_key, sought_key) > 0) OR (sought_ident <> '' AND strpos(lower(t.ident), sought_ident) > 0)
        ORDER BY v.plate_key <> sought_key, v.plate LIMIT 50);
    named := CASE WHEN cardinality(hits) <= 5 THEN hits
        ELSE ARRAY(SELECT v.vehicle_id FROM vehicle v WHERE v.vehicle_id = ANY (hits) AND v.plate_key = sought_key) END;
    PERFORM note_found(p_grant, named);
    PERFORM write_audit(p_account, p_grant, 'vehicles', jsonb_build_object('text', p_text), cardinality(hits));
    RETURN QUERY SELECT vehicle_as_json(h.id) || CASE WHEN h.id = ANY (named) THEN '{}' ELSE '{"last_fix": null, "guard_point": null}' END::jsonb
        FROM unnest(hits) WITH ORDINALITY AS h (id, n) ORDER BY h.n;
END $$;

-- A hold names its vehicle by plate.
CREATE OR REPLACE FUNCTION api_place_hold(p_account bigint, p_grant bigint, p_case text, p_plate text, p_from timestamptz, p_to timestamptz, p_ends timestamptz, p_reason text)
RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE id bigint := place_hold(p_account, p_grant, p_case, p_plate, p_from, p_to, p_ends, p_reason);
BEGIN
    IF p_grant IS NOT NULL THEN
        PERFORM note_found(p_grant, ARRAY(SELECT vehicle_id FROM legal_hold WHERE hold_id = id));
    END IF;
    RETURN hold_as_json(id);    -- a statement of its own: it sees what the one before has written
END $$;

-- The right to a stream says how large a view may be.
DROP FUNCTION api_live_right(bytea, bigint);
CREATE FUNCTION api_live_right(p_session bytea, p_grant bigint) RETURNS TABLE (goes_on boolean, owned bigint[], owned_since timestamptz[], area_km2_max double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.role <> 'police' OR g.grant_id IS NOT NULL,
           ARRAY(SELECT w.vehicle_id FROM ownership w WHERE w.account_id = p.account_id AND w.valid_to IS NULL ORDER BY 1),
           ARRAY(SELECT w.valid_from FROM ownership w WHERE w.account_id = p.account_id AND w.valid_to IS NULL ORDER BY w.vehicle_id),
           g.area_km2_max
    FROM session s JOIN account p USING (account_id)
    LEFT JOIN access_grant g ON p.role = 'police' AND g.grant_id = p_grant AND g.account_id = p.account_id AND now() BETWEEN g.valid_from AND g.valid_to
    WHERE s.token_sha256 = p_session AND s.expires_at > now() AND NOT p.disabled
$$;

-- An alert for who owns the vehicle now: a buyer is told at once, a seller no more.
CREATE FUNCTION api_alert_news(p_alert bigint) RETURNS TABLE (account_id bigint, alert jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.account_id, alert_as_json(a.alert_id) FROM alert a JOIN ownership w USING (vehicle_id)
    WHERE a.alert_id = p_alert AND w.valid_to IS NULL AND a.raised_at >= w.valid_from
$$;

-- A polygon no place of which lies 15 m inside can never be entered: a change of side needs as much.
CREATE OR REPLACE FUNCTION check_zone(p_shape jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    area   geometry;
    m2     double precision;
    reason text;
BEGIN
    IF p_shape ->> 'type' <> 'polygon' THEN RETURN; END IF;
    area := ST_MakePolygon(zone_ring(p_shape -> 'outer'),
        ARRAY(SELECT zone_ring(h) FROM jsonb_array_elements(coalesce(p_shape -> 'holes', '[]')) h));
    IF NOT ST_IsValid(area) THEN
        reason := ST_IsValidReason(area);
        PERFORM refuse('P0422', 'polygon_invalid', format('the polygon is none: %s', split_part(reason, '[', 1)), jsonb_build_object('reason', reason));
    END IF;
    m2 := ST_Area(area::geography);
    IF m2 < 100 OR m2 > 2.5e11 THEN
        PERFORM refuse('P0422', 'polygon_area', format('the polygon has an area of %s m²; it must be 100 m² to 250,000 km²', round(m2::numeric)), jsonb_build_object('m2', round(m2::numeric), 'm2_min', 100, 'km2_max', 250000));
    END IF;
    IF ST_IsEmpty(ST_Buffer(area::geography, -15)::geometry) THEN
        PERFORM refuse('P0422', 'zone_too_narrow', 'no place of the polygon lies 15 m inside of it, so it could never be entered', '{"m_min": 15}');
    END IF;
END $$;

-- Whoever changes settings takes their lock first and looks then: one that held a row and waited for the lock could stand
-- against a sale, which holds the lock and waits for the row. What was sold meanwhile is not the seller's any more.
CREATE OR REPLACE FUNCTION api_add_zone(p_account bigint, p_role text, p_zone jsonb) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    z          zone;
    of_vehicle bigint := (p_zone ->> 'vehicle_id')::bigint;
    most       integer := CASE WHEN p_role = 'owner' THEN 100 ELSE 100000 END;
BEGIN
    PERFORM check_zone(p_zone -> 'shape');
    PERFORM pg_advisory_xact_lock(7241001);
    IF p_role = 'owner' AND (of_vehicle IS NULL OR NOT owns(p_account, of_vehicle)) THEN
        RAISE EXCEPTION 'no vehicle % of yours', coalesce(of_vehicle::text, '(none)') USING ERRCODE = 'P0404';
    END IF;
    IF p_role <> 'owner' AND of_vehicle IS NOT NULL THEN
        PERFORM refuse('P0403', 'zone_of_owner', 'only the owner makes zones for a vehicle');
    END IF;
    IF (SELECT count(*) FROM zone WHERE account_id = p_account) >= most THEN
        PERFORM refuse('P0409', 'zones_full', format('an account of this role has at most %s zones', most), jsonb_build_object('max', most));
    END IF;
    INSERT INTO zone (name, rule, shape, vehicle_id, account_id, dwell_s, schedule, vehicle_kind, drawn_crs)
    VALUES (p_zone ->> 'name', p_zone ->> 'rule', p_zone -> 'shape', of_vehicle, p_account, (p_zone ->> 'dwell_s')::integer,
        nullif(p_zone -> 'schedule', 'null'), p_zone ->> 'vehicle_kind', p_zone ->> 'drawn_crs') RETURNING * INTO z;
    RETURN NEXT zone_as_json(z) || jsonb_build_object('mine', true);
END $$;

CREATE OR REPLACE FUNCTION api_change_zone(p_account bigint, p_id bigint, p_zone jsonb) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE z zone;
BEGIN
    PERFORM check_zone(p_zone -> 'shape');
    PERFORM pg_advisory_xact_lock(7241001);
    UPDATE zone SET name = p_zone ->> 'name', rule = p_zone ->> 'rule', shape = p_zone -> 'shape', dwell_s = (p_zone ->> 'dwell_s')::integer,
        schedule = nullif(p_zone -> 'schedule', 'null'), vehicle_kind = p_zone ->> 'vehicle_kind', drawn_crs = p_zone ->> 'drawn_crs'
    WHERE zone_id = p_id AND account_id = p_account RETURNING * INTO z;
    IF FOUND THEN RETURN NEXT zone_as_json(z) || jsonb_build_object('mine', true); END IF;
END $$;

CREATE OR REPLACE FUNCTION api_delete_zone(p_account bigint, p_zone bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    DELETE FROM zone WHERE zone_id = p_zone AND account_id = p_account;
    RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION api_make_phone(p_account bigint, p_vehicle bigint, p_token bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(p_account, p_vehicle) THEN RETURN false; END IF;
    IF (SELECT count(*) FROM phone_token WHERE vehicle_id = p_vehicle AND account_id = p_account) >= 5 THEN
        PERFORM refuse('P0409', 'phones_full', 'a vehicle has at most 5 phones; remove them first', '{"max": 5}');
    END IF;
    PERFORM write_audit(p_account, NULL, 'phone', jsonb_build_object('vehicle', p_vehicle), NULL);
    INSERT INTO phone_token (token_sha256, vehicle_id, account_id) VALUES (p_token, p_vehicle, p_account);
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION api_remove_phones(p_account bigint, p_vehicle bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(p_account, p_vehicle) THEN RETURN false; END IF;
    PERFORM write_audit(p_account, NULL, 'phones_removed', jsonb_build_object('vehicle', p_vehicle), NULL);
    DELETE FROM phone_token WHERE vehicle_id = p_vehicle AND account_id = p_account;
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION api_set_guarding(p_account bigint, p_vehicle bigint, p_schedule jsonb, p_auto_after_s integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(p_account, p_vehicle) THEN RETURN NULL; END IF;
    IF carrier_lane(p_vehicle) IS NULL THEN
        PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');
    END IF;
    INSERT INTO guarding (vehicle_id, schedule, auto_after_s) VALUES (p_vehicle, nullif(p_schedule, 'null'), p_auto_after_s)
    ON CONFLICT (vehicle_id) DO UPDATE SET schedule = EXCLUDED.schedule, auto_after_s = EXCLUDED.auto_after_s, changed_at = now();
    PERFORM write_audit(p_account, NULL, 'guarding', jsonb_build_object('vehicle', p_vehicle, 'schedule', p_schedule, 'auto_after_s', p_auto_after_s), NULL);
    RETURN tell_guarding(p_vehicle);
END $$;

-- The same for arming, which a sale must not find between the look and the setting.
CREATE OR REPLACE FUNCTION api_arm(p_account bigint, p_vehicle bigint, p_armed boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE carrier text;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(p_account, p_vehicle) THEN RETURN NULL; END IF;
    SELECT t.ident INTO carrier FROM installation n JOIN tracker t USING (tracker_id) WHERE n.vehicle_id = p_vehicle AND n.valid_to IS NULL;
    IF carrier IS NULL THEN
        PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');
    END IF;
    PERFORM write_audit(p_account, NULL, CASE WHEN p_armed THEN 'arm' ELSE 'disarm' END, jsonb_build_object('vehicle', p_vehicle), NULL);
    RETURN add_setting(lane_of(carrier), jsonb_build_object('kind', CASE WHEN p_armed THEN 'arm' ELSE 'disarm' END, 'vehicle', p_vehicle));
END $$;

-- Who has logged in before is let in while strangers use up what all may try, also after a start of the API.
CREATE INDEX audit_log_in ON audit (account_id) WHERE action = 'log_in';
CREATE FUNCTION api_known_logins(p_limit integer) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.login FROM account p WHERE NOT p.disabled
        AND EXISTS (SELECT FROM audit a WHERE a.account_id = p.account_id AND a.action = 'log_in') LIMIT p_limit
$$;
