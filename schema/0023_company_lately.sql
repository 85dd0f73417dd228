-- Who travels with a vehicle now: company was looked for among pieces only, so up to the last closed slice, a quarter to half an
-- hour ago. Fixes of the slices since then are looked at, too.

-- As before, and a vehicle's minutes of the slices that are not closed: those whose place is off the one of the minute before or
-- after by more than a dwell is wide (25 m).
CREATE OR REPLACE FUNCTION ride_minutes(p_vehicle bigint, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (tracker_id bigint, fixed_at timestamptz, "position" geometry, speed_kmh real) LANGUAGE sql STABLE ROWS 120 AS $$
    WITH carried AS MATERIALIZED (SELECT DISTINCT i.tracker_id FROM installation i WHERE i.vehicle_id = p_vehicle),
    fresh AS (
        SELECT DISTINCT ON (date_trunc('minute', f.fixed_at)) f.tracker_id, f.fixed_at, f."position", f.speed_kmh
        FROM carried c, LATERAL (
            SELECT * FROM fix h WHERE h.tracker_id = c.tracker_id AND h.fixed_at >= greatest(p_from, (SELECT rolled_to FROM rollup_mark))
                AND h.fixed_at < p_to AND h.vehicle_id = p_vehicle AND h.flags & 140 = 0 OFFSET 0) f
        ORDER BY date_trunc('minute', f.fixed_at), f.fixed_at),
    beside AS (
        SELECT *, lag(f."position") OVER in_time AS before, lead(f."position") OVER in_time AS after FROM fresh f WINDOW in_time AS (ORDER BY f.fixed_at))
    SELECT DISTINCT ON (date_trunc('minute', m.fixed_at)) m.tracker_id, m.fixed_at, m."position", m.speed_kmh
    FROM (
        SELECT t.tracker_id, f.fixed_at, ST_SetSRID(f."position", 0) AS "position", f.speed_kmh
        FROM carried c JOIN track t USING (tracker_id) CROSS JOIN LATERAL piece_fixes(t.from_at, t.kind, t.path, t.more) f
        WHERE t.vehicle_id = p_vehicle AND t.kind = 1 AND t.from_at >= p_from - interval '1 day' AND t.from_at < p_to AND t.until_at >= p_from
            AND f.fixed_at >= p_from AND f.fixed_at < p_to
        UNION ALL
        SELECT b.tracker_id, b.fixed_at, ST_SetSRID(b."position", 0), b.speed_kmh FROM beside b
        WHERE ST_DistanceSphere(b."position", b.before) > 25 OR ST_DistanceSphere(b."position", b.after) > 25) m
    ORDER BY date_trunc('minute', m.fixed_at), m.fixed_at
$$;

-- As before; what a ride says beside its path is not carried through the sort that keeps each once. And of others the hot fixes
-- beside one of the minutes: trackers with a footprint in its cells (as pieces_near finds them), then their fixes by
-- the key.
CREATE OR REPLACE FUNCTION rides_beside(p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_within_m double precision, p_within_s double precision)
RETURNS SETOF found LANGUAGE sql STABLE ROWS 1000 AS $$
    WITH minute AS MATERIALIZED (
        SELECT m.*, ST_Expand(m."position", p_within_m / 95000, p_within_m / 111000) AS box,
            m.fixed_at - make_interval(secs => p_within_s) AS since, m.fixed_at + make_interval(secs => p_within_s) AS until
        FROM ride_minutes(p_vehicle, p_from, p_to) m),
    stretch AS MATERIALIZED (
        SELECT box, since, until, floor(ST_XMin(box) * 1e6)::integer AS west, floor(ST_YMin(box) * 1e6)::integer AS south
        FROM (SELECT ST_Extent(box)::geometry AS box, min(since) AS since, max(until) AS until
            FROM minute GROUP BY date_bin('8 minutes', fixed_at, 'epoch')) s),
    ride AS MATERIALIZED (
        SELECT DISTINCT ON (t.tracker_id, t.from_at) t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path
        FROM stretch s, LATERAL cells_of(s.box) c, LATERAL (
            SELECT * FROM track p WHERE p.cell BETWEEN c.low AND c.high AND p.from_at >= s.since - interval '1 day' AND p.from_at <= s.until
                AND p.until_at >= s.since AND p.east >= s.west AND p.north >= s.south AND p.kind = 1 AND p.vehicle_id <> p_vehicle
            OFFSET 0) t),
    fresh AS MATERIALIZED (
        -- by cell: a stretch of eight minutes has most of a town in its box
        SELECT ST_SetSRID(ST_Extent(m.box)::geometry, 4326) AS box, greatest(min(m.since), max(r.rolled_to)) AS since, max(m.until) AS until
        FROM minute m, rollup_mark r WHERE m.until >= r.rolled_to
        GROUP BY floor(ST_X(m."position") * 100), floor(ST_Y(m."position") * 100), date_bin('15 minutes', m.fixed_at, 'epoch')),
    fresh_minute AS MATERIALIZED (
        SELECT ST_SetSRID(m.box, 4326) AS box, m.since, m.until FROM minute m, rollup_mark r WHERE m.until >= r.rolled_to),
    near AS MATERIALIZED (
        SELECT DISTINCT s.box, s.since, s.until, a.tracker_id
        FROM fresh s,
            LATERAL generate_series(floor((ST_YMin(s.box) + 90) * 100)::integer, floor((ST_YMax(s.box) + 90) * 100)::integer) y,
            LATERAL generate_series(floor((ST_XMin(s.box) + 180) * 100)::integer, floor((ST_XMax(s.box) + 180) * 100)::integer) x,
            LATERAL (
                SELECT h.tracker_id FROM fix h
                WHERE floor((ST_Y(h."position") + 90) * 100)::integer * 36000 + floor((ST_X(h."position") + 180) * 100)::integer = y * 36000 + x
                    AND h.fixed_at >= date_bin('15 minutes', s.since, 'epoch')
                    AND h.fixed_at < date_bin('15 minutes', s.until, 'epoch') + interval '15 minutes' AND h.flags & 4096 <> 0
                OFFSET 0) a)    -- the planner must not turn this round
    SELECT tracker_id, p_vehicle, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL::bytea, NULL::bytea, ST_X("position"), ST_Y("position"), speed_kmh FROM minute
    UNION ALL
    SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, ''::bytea, NULL::float8, NULL::float8, NULL::real FROM ride
    UNION ALL
    SELECT f.tracker_id, f.vehicle_id, f.fixed_at, f.fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X(f."position"), ST_Y(f."position"), f.speed_kmh
    FROM near n, LATERAL (
        SELECT * FROM fix h WHERE h.tracker_id = n.tracker_id AND h.fixed_at >= n.since AND h.fixed_at <= n.until AND h.flags & 140 = 0
            AND h.vehicle_id <> p_vehicle AND h."position" && n.box
        OFFSET 0) f
    WHERE EXISTS (SELECT 1 FROM fresh_minute m WHERE f.fixed_at >= m.since AND f.fixed_at <= m.until AND f."position" && m.box)
$$;
