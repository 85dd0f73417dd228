-- Company, with fewer looks into the index of boxes: stretches of twelve minutes instead of eight (rides end with their quarter of an hour, so
-- most that touch one touched its neighbour), and no runs of sizes that no piece of these days has.
CREATE OR REPLACE FUNCTION rides_beside(p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_within_m double precision, p_within_s double precision)
RETURNS SETOF found LANGUAGE sql STABLE ROWS 1000 AS $$
    WITH minute AS MATERIALIZED (
        SELECT m.*, ST_Expand(m."position", p_within_m / 95000, p_within_m / 111000) AS box,
            m.fixed_at - make_interval(secs => p_within_s) AS since, m.fixed_at + make_interval(secs => p_within_s) AS until
        FROM ride_minutes(p_vehicle, p_from, p_to) m),
    stretch AS MATERIALIZED (
        SELECT box, since, until, floor(ST_XMin(box) * 1e6)::integer AS west, floor(ST_YMin(box) * 1e6)::integer AS south
        FROM (SELECT ST_Extent(box)::geometry AS box, min(since) AS since, max(until) AS until
            FROM minute GROUP BY date_bin('12 minutes', fixed_at, 'epoch')) s),
    -- Pieces as large as some sizes are not there as a rule: their runs, a quarter of all, need not be looked into.
    size AS MATERIALIZED (
        SELECT n FROM generate_series(0, 12) n WHERE (
            -- one look into the index of each day, and not a join
            SELECT true FROM track p WHERE p.cell >= n::bigint << 42 AND p.cell < (n + 1)::bigint << 42
                AND p.from_at >= date_trunc('day', p_from - make_interval(secs => p_within_s), 'UTC') - interval '1 day'
                AND p.from_at < date_trunc('day', p_to + make_interval(secs => p_within_s), 'UTC') + interval '1 day' LIMIT 1)),
    ride AS MATERIALIZED (
        SELECT DISTINCT ON (t.tracker_id, t.from_at) t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path
        FROM stretch s, LATERAL cells_of(s.box) c, LATERAL (
            SELECT * FROM track p WHERE p.cell BETWEEN c.low AND c.high AND p.from_at >= s.since - interval '1 day' AND p.from_at <= s.until
                AND p.until_at >= s.since AND p.east >= s.west AND p.north >= s.south AND p.kind = 1 AND p.vehicle_id <> p_vehicle
            OFFSET 0) t
        WHERE c.low >> 42 IN (SELECT n FROM size)),
    fresh AS MATERIALIZED (
        -- by cell: a stretch of twelve minutes has most of a town in its box
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
