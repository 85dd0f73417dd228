-- The north-east corner of a piece's box stands in its row and in the index, in millionths of a degree, so that a search
-- compares boxes there. To open every path for its box took 2.9 us of the 4.6 that a candidate cost, and a visit to the
-- table for each that lay beside the area. The south-west corner is in the number of the cell, to a quarter of its size;
-- what only seems to reach into the area is left out by who reads the pieces (src/tracks).
ALTER TABLE track ADD COLUMN east integer, ADD COLUMN north integer;
UPDATE track SET east = round(ST_XMax(ST_GeomFromTWKB(path)) * 1e6), north = round(ST_YMax(ST_GeomFromTWKB(path)) * 1e6);
ALTER TABLE track ALTER COLUMN east SET NOT NULL, ALTER COLUMN north SET NOT NULL;
DROP INDEX track_cell;
CREATE INDEX track_box ON track (cell, from_at, until_at, east, north);

-- When a dwell began changes no more often than its cell; who asks about last week then passes by what began since.
DROP INDEX track_open_cell;
CREATE INDEX track_open_cell ON track_open (cell, from_at);

-- The runs as before, in a language whose plans are kept: as a function in SQL they were parsed and planned in each search, four
-- fifths of the millisecond that they took.
CREATE OR REPLACE FUNCTION cells_of(p_box geometry) RETURNS TABLE (low bigint, high bigint) LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE ROWS 120 AS $$
DECLARE
    west  double precision := ST_XMin(p_box) * 1e6 + 179999999;
    east  double precision := ST_XMax(p_box) * 1e6 + 180000001;
    south double precision := ST_YMin(p_box) * 1e6 + 89999999;
    north double precision := ST_YMax(p_box) * 1e6 + 90000001;
    side  bigint := 256;
BEGIN
    FOR size IN 0 .. 11 LOOP
        FOR y IN greatest(floor(south / side) - 4, 0)::bigint .. greatest(floor(north / side), 0)::bigint LOOP
            low := (size::bigint << 42) | (y::bigint << 21) | greatest(floor(west / side) - 4, 0)::bigint;
            high := (size::bigint << 42) | (y::bigint << 21) | greatest(floor(east / side), 0)::bigint;
            RETURN NEXT;
        END LOOP;
        side := side * 2;
    END LOOP;
    low := 12::bigint << 42;
    high := low;
    RETURN NEXT;
END $$;

-- As before, by corners; nothing is opened. Runs are counted once for all tables. The hot table is not looked at for a window
-- that is all pieces: with a plan of before its first ANALYZE it was read as a whole.
CREATE OR REPLACE FUNCTION pieces_near(p_box geometry, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE sql STABLE ROWS 1000 AS $$
    WITH run AS MATERIALIZED (
        SELECT low, high, floor(ST_XMin(p_box) * 1e6)::integer AS west, floor(ST_YMin(p_box) * 1e6)::integer AS south FROM cells_of(p_box))
    SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more, NULL::float8, NULL::float8, NULL::real
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
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix_late
    WHERE fixed_at >= p_from AND fixed_at < p_to AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
$$;

-- Rides that may have been beside the vehicle in some minutes of its rides, eight minutes at a time: fewer would ask for the
-- same rides more often, more would bring too many that were elsewhere. Who was beside it, and when, is for src/tracks.
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
    SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more, NULL::float8, NULL::float8, NULL::real FROM ride
$$;
