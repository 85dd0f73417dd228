-- Searches over everybody's tracks look at times and places alone: what else a ride has (course, altitude, accuracy, two fifths
-- of its bytes) stays where it is. A dwell's `more` has its times. Their answers stay in memory, too: they are larger than
-- what PostgreSQL grants a sort, but bounded by the questions' caps.
ALTER FUNCTION api_police_near(bigint, bigint, text, timestamptz, timestamptz, interval, integer) SET work_mem = '32MB';
ALTER FUNCTION api_police_company(bigint, bigint, bigint, timestamptz, timestamptz, double precision, double precision, integer) SET work_mem = '32MB';

-- As before, without that.
CREATE OR REPLACE FUNCTION pieces_near(p_box geometry, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE sql STABLE ROWS 1000 AS $$
    WITH run AS MATERIALIZED (
        SELECT low, high, floor(ST_XMin(p_box) * 1e6)::integer AS west, floor(ST_YMin(p_box) * 1e6)::integer AS south FROM cells_of(p_box))
    SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, CASE WHEN t.kind = 2 THEN t.more ELSE '' END, NULL::float8, NULL::float8, NULL::real
    FROM run r, LATERAL (
        SELECT * FROM track p WHERE p.cell BETWEEN r.low AND r.high AND p.from_at >= p_from - interval '1 day' AND p.from_at < p_to
            AND p.until_at >= p_from AND p.east >= r.west AND p.north >= r.south
        OFFSET 0) t     -- the planner must not turn this round
    UNION ALL
    SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more, NULL, NULL, NULL
    FROM run r, LATERAL (
        SELECT * FROM track_open p WHERE p.cell BETWEEN r.low AND r.high AND p.from_at < p_to AND p.until_at >= p_from OFFSET 0) t
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix
    WHERE p_to > (SELECT rolled_to FROM rollup_mark) AND fixed_at >= greatest(p_from, (SELECT rolled_to FROM rollup_mark)) AND fixed_at < p_to
        AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
        AND tracker_id = ANY (ARRAY(
            SELECT DISTINCT a.tracker_id
            FROM generate_series(floor((ST_YMin(p_box) + 90) * 100)::integer, floor((ST_YMax(p_box) + 90) * 100)::integer) y,
                generate_series(floor((ST_XMin(p_box) + 180) * 100)::integer, floor((ST_XMax(p_box) + 180) * 100)::integer) x,
                LATERAL (
                    SELECT h.tracker_id FROM fix h
                    WHERE floor((ST_Y(h."position") + 90) * 100)::integer * 36000 + floor((ST_X(h."position") + 180) * 100)::integer = y * 36000 + x
                        AND h.fixed_at >= date_bin('15 minutes', greatest(p_from, (SELECT rolled_to FROM rollup_mark)), 'epoch')
                        AND h.fixed_at < date_bin('15 minutes', p_to, 'epoch') + interval '15 minutes' AND h.flags & 4096 <> 0
                    OFFSET 0) a))   -- the planner must not turn this round
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix_late
    WHERE fixed_at >= p_from AND fixed_at < p_to AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
$$;

CREATE OR REPLACE FUNCTION rides_beside(p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_within_m double precision, p_within_s double precision)
RETURNS SETOF found LANGUAGE sql STABLE ROWS 1000 AS $$
    WITH minute AS MATERIALIZED (
        SELECT m.*, ST_Expand(ST_SetSRID(m."position", 0), p_within_m / 95000, p_within_m / 111000) AS box,
            m.fixed_at - make_interval(secs => p_within_s) AS since, m.fixed_at + make_interval(secs => p_within_s) AS until
        FROM ride_minutes(p_vehicle, p_from, p_to) m),
    stretch AS MATERIALIZED (
        SELECT box, since, until, floor(ST_XMin(box) * 1e6)::integer AS west, floor(ST_YMin(box) * 1e6)::integer AS south
        FROM (SELECT ST_Extent(box)::geometry AS box, min(since) AS since, max(until) AS until
            FROM minute GROUP BY date_bin('8 minutes', fixed_at, 'epoch')) s),
    ride AS MATERIALIZED (
        SELECT DISTINCT ON (t.tracker_id, t.from_at) t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more
        FROM stretch s, LATERAL cells_of(s.box) c, LATERAL (
            SELECT * FROM track p WHERE p.cell BETWEEN c.low AND c.high AND p.from_at >= s.since - interval '1 day' AND p.from_at <= s.until
                AND p.until_at >= s.since AND p.east >= s.west AND p.north >= s.south AND p.kind = 1 AND p.vehicle_id <> p_vehicle
            OFFSET 0) t)
    SELECT tracker_id, p_vehicle, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL::bytea, NULL::bytea, ST_X("position"), ST_Y("position"), speed_kmh FROM minute
    UNION ALL
    SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, ''::bytea, NULL::float8, NULL::float8, NULL::real FROM ride
$$;
