-- Pieces are found by the number of their cell and their time in a B-tree (src/tracks/cell.rs): an entry is 36 bytes,
-- where one of the GiST over box and time took 165, and costs a fraction of the processor time.
-- docs/decisions/0012-cells-instead-of-gist.md has the figures.

-- The number of a box: its size (1024 millionths of a degree, doubled up to 11 times), and the cell of its south-west
-- corner in a grid of quarters of that.
CREATE FUNCTION box_cell(p_box geometry) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN size IS NULL THEN 12::bigint << 42 ELSE
        (size::bigint << 42) | (greatest(y + 90000000, 0) / (256::bigint << size) << 21) | (greatest(x + 180000000, 0) / (256::bigint << size)) END
    FROM (SELECT x, y, (SELECT n FROM generate_series(0, 11) n WHERE side <= 1024::bigint << n ORDER BY n LIMIT 1) AS size
        FROM (SELECT x, y, greatest(round(ST_XMax(p_box) * 1e6)::bigint - x, round(ST_YMax(p_box) * 1e6)::bigint - y) AS side
            FROM (SELECT round(ST_XMin(p_box) * 1e6)::bigint AS x, round(ST_YMin(p_box) * 1e6)::bigint AS y) corner) extent) sized
$$;

-- Runs of numbers in which every piece that reaches into a box is: for each size, row by row, the corners in the box, or
-- four cells west or south of it. A millionth of a degree more: the box is in floating point.
CREATE FUNCTION cells_of(p_box geometry) RETURNS TABLE (low bigint, high bigint) LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 120 AS $$
    SELECT (size::bigint << 42) | (y << 21) | x1, (size::bigint << 42) | (y << 21) | x2
    FROM (SELECT size, greatest(floor(west / side) - 4, 0)::bigint AS x1, greatest(floor(east / side), 0)::bigint AS x2,
            greatest(floor(south / side) - 4, 0)::bigint AS y1, greatest(floor(north / side), 0)::bigint AS y2
        FROM (SELECT ST_XMin(p_box) * 1e6 + 179999999 AS west, ST_XMax(p_box) * 1e6 + 180000001 AS east,
                ST_YMin(p_box) * 1e6 + 89999999 AS south, ST_YMax(p_box) * 1e6 + 90000001 AS north) world,
            (SELECT size, 256::bigint << size AS side FROM generate_series(0, 11) size) sizes) grid,
        LATERAL generate_series(y1, y2) y
    UNION ALL SELECT 12::bigint << 42, 12::bigint << 42
$$;

ALTER TABLE track ADD COLUMN cell bigint;
UPDATE track SET cell = box_cell(ST_GeomFromTWKB(path));
ALTER TABLE track ALTER COLUMN cell SET NOT NULL;
DROP INDEX track_place;
CREATE INDEX track_cell ON track (cell, from_at, until_at);

-- An open dwell's box widens often, its cell seldom changes: its row is rewritten in place.
ALTER TABLE track_open ADD COLUMN cell bigint;
UPDATE track_open SET cell = box_cell(ST_GeomFromTWKB(path));
ALTER TABLE track_open ALTER COLUMN cell SET NOT NULL;
DROP INDEX track_open_place;
CREATE INDEX track_open_cell ON track_open (cell);

-- The fixes of a piece, as before; the numbers of a dwell are read once, not once for each of its times (OFFSET 0): a dwell
-- over the edge of a day took up to 0.4 s.
CREATE OR REPLACE FUNCTION piece_fixes(p_from timestamptz, p_kind smallint, p_path bytea, p_more bytea)
RETURNS TABLE (fixed_at timestamptz, "position" geometry, speed_kmh real) LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 60 AS $$
    SELECT p_from + make_interval(secs => ST_M(d.geom)), ST_SetSRID(ST_Force2D(d.geom), 4326), nullif(ST_Z(d.geom), -1)::real
    FROM ST_DumpPoints(ST_GeomFromTWKB(p_path)) d WHERE p_kind = 1 OR d.path[1] > 2
    UNION ALL
    SELECT p_from + (first + unit * coalesce(sum(step) OVER (ORDER BY n), 0)) * interval '1 microsecond', centre, NULL
    FROM (
        SELECT n, unzigzag(v[4]) AS first, (10 ^ (6 - v[1]))::bigint AS unit,
            coalesce(sum(CASE WHEN n > 1 THEN unzigzag(v[4 + n]) END) OVER (ORDER BY n), 0) AS step,
            ST_SetSRID(ST_MakePoint(ST_X(low) + unzigzag(v[2]) / 1e6, ST_Y(low) + unzigzag(v[3]) / 1e6), 4326) AS centre
        FROM (SELECT varints(p_more) AS v, ST_GeometryN(ST_GeomFromTWKB(p_path), 1) AS low OFFSET 0) head,
            LATERAL generate_series(1, v[5]::integer) n
    ) steps
    WHERE p_kind = 2
$$;

-- As before, with its columns by name.
CREATE OR REPLACE FUNCTION pieces_of(p_vehicle bigint, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE sql STABLE ROWS 100 AS $$
    WITH carried AS MATERIALIZED (SELECT DISTINCT tracker_id FROM installation WHERE vehicle_id = p_vehicle),
    piece AS (
        SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more FROM carried JOIN track t USING (tracker_id)
        WHERE t.from_at >= p_from - interval '1 day' AND t.from_at < p_to AND t.until_at >= p_from AND t.vehicle_id = p_vehicle
        UNION ALL
        SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more FROM carried JOIN track_open t USING (tracker_id)
        WHERE t.from_at < p_to AND t.until_at >= p_from AND t.vehicle_id = p_vehicle
    )
    SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more, NULL::float8, NULL::float8, NULL::real
    FROM piece WHERE from_at >= p_from AND until_at < p_to
    -- Pieces over the edge are opened here: what lies outside is nobody's business (a seller's last ride).
    UNION ALL
    SELECT p.tracker_id, p.vehicle_id, f.fixed_at, f.fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X(f."position"), ST_Y(f."position"), f.speed_kmh
    FROM piece p CROSS JOIN LATERAL piece_fixes(p.from_at, p.kind, p.path, p.more) f
    WHERE NOT (p.from_at >= p_from AND p.until_at < p_to) AND f.fixed_at >= p_from AND f.fixed_at < p_to
    UNION ALL
    SELECT f.tracker_id, f.vehicle_id, f.fixed_at, f.fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X(f."position"), ST_Y(f."position"), f.speed_kmh
    FROM carried JOIN fix f USING (tracker_id)
    WHERE f.fixed_at >= greatest(p_from, (SELECT rolled_to FROM rollup_mark)) AND f.fixed_at < p_to AND f.vehicle_id = p_vehicle AND f.flags & 140 = 0
    UNION ALL
    SELECT f.tracker_id, f.vehicle_id, f.fixed_at, f.fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X(f."position"), ST_Y(f."position"), f.speed_kmh
    FROM carried JOIN fix_late f USING (tracker_id)
    WHERE f.fixed_at >= p_from AND f.fixed_at < p_to AND f.vehicle_id = p_vehicle AND f.flags & 140 = 0
$$;

-- As before, by cells. The box is compared last: who is in the cells may still lie beside it.
CREATE OR REPLACE FUNCTION pieces_near(p_box geometry, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE sql STABLE ROWS 1000 AS $$
    SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more, NULL::float8, NULL::float8, NULL::real
    FROM cells_of(p_box) c, LATERAL (
        SELECT * FROM track p WHERE p.cell BETWEEN c.low AND c.high AND p.from_at >= p_from - interval '1 day' AND p.from_at < p_to AND p.until_at >= p_from
        OFFSET 0) t     -- the planner must not turn this round: boxes are compared last
    WHERE ST_GeomFromTWKB(t.path) && p_box
    UNION ALL
    SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more, NULL, NULL, NULL
    FROM cells_of(p_box) c, LATERAL (
        SELECT * FROM track_open p WHERE p.cell BETWEEN c.low AND c.high AND p.from_at < p_to AND p.until_at >= p_from OFFSET 0) t
    WHERE ST_GeomFromTWKB(t.path) && p_box
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix
    WHERE fixed_at >= greatest(p_from, (SELECT rolled_to FROM rollup_mark)) AND fixed_at < p_to AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix_late
    WHERE fixed_at >= p_from AND fixed_at < p_to AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
$$;

-- Rides whose box holds the place of one of these minutes at that time. A ride that was within p_within_m has
-- a fix there, and its box holds that fix. Five minutes at a time are looked for together, then compared minute by minute.
CREATE OR REPLACE FUNCTION rides_beside(p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_within_m double precision, p_within_s double precision)
RETURNS SETOF found LANGUAGE sql STABLE ROWS 1000 AS $$
    WITH minute AS MATERIALIZED (
        SELECT m.*, ST_Expand(ST_SetSRID(m."position", 0), p_within_m / 95000, p_within_m / 111000) AS box,
            m.fixed_at - make_interval(secs => p_within_s) AS since, m.fixed_at + make_interval(secs => p_within_s) AS until
        FROM ride_minutes(p_vehicle, p_from, p_to) m),
    stretch AS MATERIALIZED (
        SELECT ST_Extent(box)::geometry AS box, min(since) AS since, max(until) AS until,
            array_agg(box) AS boxes, array_agg(since) AS sinces, array_agg(until) AS untils
        FROM minute GROUP BY date_bin('5 minutes', fixed_at, 'epoch')),
    ride AS MATERIALIZED (
        SELECT DISTINCT ON (t.tracker_id, t.from_at) t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more
        FROM stretch s, LATERAL cells_of(s.box) c, LATERAL (
            SELECT * FROM track p WHERE p.cell BETWEEN c.low AND c.high AND p.from_at >= s.since - interval '1 day' AND p.from_at <= s.until
                AND p.until_at >= s.since AND p.kind = 1 AND p.vehicle_id <> p_vehicle
            OFFSET 0) t, LATERAL (SELECT ST_Envelope(ST_GeomFromTWKB(t.path)) AS box OFFSET 0) g
        WHERE EXISTS (SELECT FROM unnest(s.boxes, s.sinces, s.untils) m (box, since, until)
            WHERE g.box && m.box AND t.from_at <= m.until AND t.until_at >= m.since))
    SELECT tracker_id, p_vehicle, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL::bytea, NULL::bytea, ST_X("position"), ST_Y("position"), speed_kmh FROM minute
    UNION ALL
    SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more, NULL::float8, NULL::float8, NULL::real FROM ride
$$;
