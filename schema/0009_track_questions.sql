-- Questions about tracks, each with its right, its cap and its audit row. They answer with pieces;
-- src/tracks reads them (docs/decisions/0006-pieces-are-read-in-rust.md).

-- Their plans are kept: planning over all partitions took four times as long as finding (1.6 against 0.4 ms), and
-- partitions that are not needed are left out when a kept plan starts.

-- Rows that are rewritten slice after slice find room on their page.
ALTER TABLE track_open SET (fillfactor = 40);
ALTER TABLE traffic SET (fillfactor = 50);

DROP FUNCTION api_my_track(bigint, bigint, timestamptz, timestamptz, integer);
DROP FUNCTION api_police_track(bigint, bigint, bigint, timestamptz, timestamptz, integer);
DROP FUNCTION api_police_area(bigint, bigint, text, timestamptz, timestamptz, integer);

CREATE FUNCTION api_my_pieces(p_account bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE since timestamptz;
BEGIN
    SELECT valid_from INTO since FROM ownership WHERE account_id = p_account AND vehicle_id = p_vehicle AND valid_to IS NULL;
    IF since IS NULL THEN RAISE EXCEPTION 'no vehicle % of yours', p_vehicle USING ERRCODE = 'P0404'; END IF;
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, greatest(p_from, since), p_to);
END $$;

CREATE FUNCTION api_police_pieces(p_account bigint, p_grant bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE returned integer;
BEGIN
    PERFORM check_grant(p_account, p_grant);
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, p_from, p_to);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'track', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to), returned);
END $$;

CREATE FUNCTION check_window(g access_grant, p_from timestamptz, p_to timestamptz) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_to - p_from > make_interval(secs => g.hours_max * 3600) THEN
        RAISE EXCEPTION 'the window is longer than the % hours that grant % allows', g.hours_max, g.grant_id USING ERRCODE = 'P0400';
    END IF;
END $$;

CREATE FUNCTION check_area(g access_grant, p_area geometry) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE km2 double precision;
BEGIN
    IF NOT ST_IsValid(p_area) OR ST_IsEmpty(p_area) THEN
        RAISE EXCEPTION 'the polygon crosses itself or has no area' USING ERRCODE = 'P0400';
    END IF;
    km2 := ST_Area(p_area::geography) / 1e6;
    IF km2 > g.area_km2_max THEN
        RAISE EXCEPTION 'the area is % km²; grant % allows %', round(km2::numeric, 1), g.grant_id, g.area_km2_max USING ERRCODE = 'P0400';
    END IF;
END $$;

-- Pieces that touch an area (WKT) within a window, and p_beyond before and after it: whether a vehicle
-- came or left is told by what it did then.
CREATE FUNCTION api_police_near(p_account bigint, p_grant bigint, p_area text, p_from timestamptz, p_to timestamptz, p_beyond interval, p_most integer)
RETURNS SETOF found LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    g        access_grant := check_grant(p_account, p_grant);
    area     geometry := ST_GeomFromText(p_area);
    returned integer;
BEGIN
    PERFORM check_area(g, ST_SetSRID(area, 4326));
    PERFORM check_window(g, p_from, p_to);
    RETURN QUERY SELECT * FROM pieces_near(ST_Envelope(area), p_from - p_beyond, p_to + p_beyond) LIMIT p_most + 1;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF returned > p_most THEN
        RAISE EXCEPTION 'more than % pieces of tracks touch this area in this time; ask for less than the % hours, or for a smaller area',
            p_most, round(extract(epoch FROM p_to - p_from) / 3600, 1) USING ERRCODE = 'P0400';
    END IF;
    PERFORM write_audit(p_account, p_grant, 'area', jsonb_build_object('area', ST_AsGeoJSON(area)::jsonb, 'from', p_from, 'to', p_to), returned);
END $$;

-- Where a vehicle was, minute by minute, while it rode.
CREATE FUNCTION ride_minutes(p_vehicle bigint, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (tracker_id bigint, fixed_at timestamptz, "position" geometry, speed_kmh real) LANGUAGE sql STABLE ROWS 120 AS $$
    SELECT DISTINCT ON (date_trunc('minute', f.fixed_at)) t.tracker_id, f.fixed_at, f."position", f.speed_kmh
    FROM (SELECT DISTINCT i.tracker_id FROM installation i WHERE i.vehicle_id = p_vehicle) c JOIN track t USING (tracker_id)
        CROSS JOIN LATERAL piece_fixes(t.from_at, t.kind, t.path, t.more) f
    WHERE t.vehicle_id = p_vehicle AND t.kind = 1 AND t.from_at >= p_from - interval '1 day' AND t.from_at < p_to AND t.until_at >= p_from
        AND f.fixed_at >= p_from AND f.fixed_at < p_to
    ORDER BY date_trunc('minute', f.fixed_at), f.fixed_at
$$;

-- Rides whose box holds the place of one of these minutes at that time. A ride that was within p_within_m has
-- a fix there, and its box holds that fix.
CREATE FUNCTION rides_beside(p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_within_m double precision, p_within_s double precision)
RETURNS SETOF found LANGUAGE sql STABLE ROWS 1000 AS $$
    WITH minute AS MATERIALIZED (SELECT * FROM ride_minutes(p_vehicle, p_from, p_to))
    SELECT tracker_id, p_vehicle, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL::bytea, NULL::bytea, ST_X("position"), ST_Y("position"), speed_kmh FROM minute
    UNION ALL
    (SELECT DISTINCT ON (t.tracker_id, t.from_at) t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more, NULL::float8, NULL::float8, NULL::real
     FROM minute m JOIN track t ON ST_GeomFromTWKB(t.path) && ST_Expand(ST_SetSRID(m."position", 0), p_within_m / 95000, p_within_m / 111000)
        AND tstzrange(t.from_at, t.until_at, '[]') && tstzrange(m.fixed_at - make_interval(secs => p_within_s), m.fixed_at + make_interval(secs => p_within_s), '[]')
     WHERE t.kind = 1 AND t.vehicle_id <> p_vehicle AND t.from_at >= p_from - interval '1 day' AND t.from_at < p_to + make_interval(secs => p_within_s))
$$;

CREATE FUNCTION api_police_company(p_account bigint, p_grant bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz,
    p_within_m double precision, p_within_s double precision, p_most integer)
RETURNS SETOF found LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    g        access_grant := check_grant(p_account, p_grant);
    returned integer;
BEGIN
    PERFORM check_window(g, p_from, p_to);
    RETURN QUERY SELECT * FROM rides_beside(p_vehicle, p_from, p_to, p_within_m, p_within_s) LIMIT p_most + 1;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF returned > p_most THEN
        RAISE EXCEPTION 'more than % rides were near this vehicle; ask for less than the % hours', p_most,
            round(extract(epoch FROM p_to - p_from) / 3600, 1) USING ERRCODE = 'P0400';
    END IF;
    PERFORM write_audit(p_account, p_grant, 'company', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to,
        'within_m', p_within_m, 'within_s', p_within_s), returned);
END $$;

-- Plates and trackers of vehicles that a search has found; the search has been audited.
CREATE FUNCTION api_police_names(p_account bigint, p_grant bigint, p_vehicles bigint[]) RETURNS TABLE (vehicle_id bigint, plate text, tracker text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_grant(p_account, p_grant);
    RETURN QUERY SELECT v.vehicle_id, v.plate, (SELECT t.ident FROM installation n JOIN tracker t USING (tracker_id)
            WHERE n.vehicle_id = v.vehicle_id ORDER BY n.valid_from DESC LIMIT 1)
        FROM vehicle v WHERE v.vehicle_id = ANY(p_vehicles);
END $$;

-- Where vehicles of a list were last.
CREATE FUNCTION api_police_newest(p_account bigint, p_grant bigint, p_vehicles bigint[]) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE returned integer;
BEGIN
    PERFORM check_grant(p_account, p_grant);
    RETURN QUERY SELECT vehicle_as_json(v) FROM unnest(p_vehicles) v WHERE EXISTS (SELECT FROM vehicle k WHERE k.vehicle_id = v);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'newest', jsonb_build_object('vehicles', p_vehicles), returned);
END $$;

CREATE FUNCTION newest_in(p_box geometry, p_limit integer)
RETURNS TABLE (vehicle_id bigint, fixed_at timestamptz, lon double precision, lat double precision, speed_kmh real) LANGUAGE sql STABLE ROWS 500 AS $$
    SELECT s.vehicle_id, s.fixed_at, ST_X(s."position"), ST_Y(s."position"), s.speed_kmh FROM tracker_status s
    WHERE s."position" && p_box AND s.vehicle_id IS NOT NULL LIMIT p_limit
$$;

-- Which vehicles are in a box now.
CREATE FUNCTION api_police_newest_in(p_account bigint, p_grant bigint, p_west double precision, p_south double precision,
    p_east double precision, p_north double precision, p_limit integer)
RETURNS TABLE (vehicle_id bigint, plate text, fixed_at timestamptz, lon double precision, lat double precision, speed_kmh real)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    g        access_grant := check_grant(p_account, p_grant);
    box      geometry := ST_MakeEnvelope(p_west, p_south, p_east, p_north, 4326);
    returned integer;
BEGIN
    PERFORM check_area(g, box);
    RETURN QUERY SELECT n.vehicle_id, v.plate, n.fixed_at, n.lon, n.lat, n.speed_kmh FROM newest_in(box, p_limit) n JOIN vehicle v USING (vehicle_id);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'newest', jsonb_build_object('box', jsonb_build_array(p_west, p_south, p_east, p_north)), returned);
END $$;

-- A tile of the history map (Mapbox vector tile, layer "traffic"). Cells with fewer than three vehicles are
-- left out: a lonely one would be somebody's track.
CREATE FUNCTION history_tile(p_z integer, p_x integer, p_y integer, p_from timestamptz, p_to timestamptz) RETURNS bytea LANGUAGE sql STABLE AS $$
    WITH cell AS (
        SELECT x >> s AS x, y >> s AS y, sum(fixes) AS fixes, max(vehicles) AS vehicles
        FROM (SELECT greatest(0, least(17, 10 - p_z)) AS s) scale, traffic
        WHERE hour >= p_from AND hour < p_to AND x >= p_x << (17 - p_z) AND x < (p_x + 1) << (17 - p_z)
            AND y >= p_y << (17 - p_z) AND y < (p_y + 1) << (17 - p_z)
        GROUP BY 1, 2 HAVING max(vehicles) >= 3
    )
    SELECT ST_AsMVT(t, 'traffic') FROM (
        SELECT ST_AsMVTGeom(ST_TileEnvelope(17 - greatest(0, least(17, 10 - p_z)), x, y), ST_TileEnvelope(p_z, p_x, p_y)) AS shape, fixes, vehicles
        FROM cell) t
$$;

CREATE FUNCTION api_history_tile(p_account bigint, p_role text, p_grant bigint, p_z integer, p_x integer, p_y integer, p_from timestamptz, p_to timestamptz)
RETURNS bytea LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF p_role = 'police' THEN
        PERFORM check_window(check_grant(p_account, p_grant), p_from, p_to);
    END IF;
    PERFORM write_audit(p_account, p_grant, 'history', jsonb_build_object('tile', jsonb_build_array(p_z, p_x, p_y), 'from', p_from, 'to', p_to), NULL);
    RETURN history_tile(p_z, p_x, p_y, p_from, p_to);
END $$;
