-- Who was in a street a minute ago: in a dense town a footprint's cell of a square kilometre holds tens of thousands that stand, and
-- all of their fixes were read for a circle of a hundred metres. Who stands leaves narrow footprints now (flag 8192 beside 4096, a
-- cell of a five-hundredth of a degree), who rides wide ones (a 250th of a degree), at each entry, so a fix has one that is not younger
-- (src/fold/footprint.rs). What is there already are footprints all; the fold marks them from now on.
UPDATE fix SET flags = flags & ~8192 | 4096 WHERE fixed_at >= (SELECT rolled_to FROM rollup_mark) AND flags & 140 = 0;
DROP INDEX fix_anchor;
-- It begins with the quarter of an hour: what is written goes to few of its pages, and a row of cells is one range of it.
-- Narrow cells lie below zero, wide ones above; both in rows from the south-west corner of the world.
CREATE INDEX fix_footprint ON fix (date_bin('15 minutes', fixed_at, 'epoch'), (
    CASE WHEN flags & 8192 <> 0 THEN -1 - (floor((ST_Y("position") + 90) * 500)::bigint * 180000 + floor((ST_X("position") + 180) * 500)::bigint)
    ELSE floor((ST_Y("position") + 90) * 250)::bigint * 90000 + floor((ST_X("position") + 180) * 250)::bigint END))
    WHERE flags & 4096 <> 0;

-- Trackers with a footprint in one of a box's cells in one of the window's quarters, and when to look at them.
CREATE FUNCTION trackers_near(p_box geometry, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (tracker_id bigint, since timestamptz, until timestamptz) LANGUAGE sql STABLE ROWS 1000 AS $$
    WITH run AS MATERIALIZED (
        SELECT y::bigint * 90000 + floor((ST_XMin(p_box) + 180) * 250)::bigint AS low, y::bigint * 90000 + floor((ST_XMax(p_box) + 180) * 250)::bigint AS high
        FROM generate_series(floor((ST_YMin(p_box) + 90) * 250)::integer, floor((ST_YMax(p_box) + 90) * 250)::integer) y
        UNION ALL
        SELECT -1 - (y::bigint * 180000 + floor((ST_XMax(p_box) + 180) * 500)::bigint), -1 - (y::bigint * 180000 + floor((ST_XMin(p_box) + 180) * 500)::bigint)
        FROM generate_series(floor((ST_YMin(p_box) + 90) * 500)::integer, floor((ST_YMax(p_box) + 90) * 500)::integer) y)
    SELECT a.tracker_id, min(a.fixed_at), max(quarter) + interval '15 minutes'
    FROM generate_series(date_bin('15 minutes', p_from, 'epoch'), p_to, '15 minutes') quarter, run r,
        LATERAL (
            -- the quarter alone, as the index has it: beside a range of times the planner reads the index by time as well
            SELECT h.tracker_id, h.fixed_at FROM fix h
            WHERE date_bin('15 minutes', h.fixed_at, 'epoch') = quarter AND h.flags & 4096 <> 0
                AND CASE WHEN flags & 8192 <> 0 THEN -1 - (floor((ST_Y("position") + 90) * 500)::bigint * 180000 + floor((ST_X("position") + 180) * 500)::bigint)
                    ELSE floor((ST_Y("position") + 90) * 250)::bigint * 90000 + floor((ST_X("position") + 180) * 250)::bigint END BETWEEN r.low AND r.high
            OFFSET 0) a     -- the planner must not turn this round
    GROUP BY a.tracker_id
$$;

-- As before, by it.
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
    SELECT f.tracker_id, f.vehicle_id, f.fixed_at, f.fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X(f."position"), ST_Y(f."position"), f.speed_kmh
    FROM rollup_mark m, LATERAL trackers_near(p_box, greatest(p_from, m.rolled_to), p_to) n, LATERAL (
        SELECT * FROM fix h WHERE h.tracker_id = n.tracker_id AND h.fixed_at >= greatest(p_from, m.rolled_to, n.since) AND h.fixed_at < least(p_to, n.until)
            AND h.flags & 140 = 0 AND h."position" && ST_SetSRID(p_box, 4326)
        OFFSET 0) f
    WHERE p_to > m.rolled_to
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix_late
    WHERE fixed_at >= p_from AND fixed_at < p_to AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
$$;

-- As before, by it.
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
        SELECT s.box, greatest(s.since, n.since) AS since, least(s.until, n.until) AS until, n.tracker_id FROM fresh s, LATERAL trackers_near(s.box, s.since, s.until) n)
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
