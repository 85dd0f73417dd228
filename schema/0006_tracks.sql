-- Tracks: closed slices of hot fixes become pieces (rides and dwells, src/tracks), late fixes are merged
-- into them, and hot partitions go. docs/tracks.md has the picture.

-- How far everything is. closing_to is moved while every lane is held for a moment, so no transaction
-- that began before can still bring a fix from before it.
CREATE TABLE rollup_mark (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    closing_to      timestamptz NOT NULL DEFAULT '-infinity',   -- fixes from before go to fix_late
    rolled_to       timestamptz NOT NULL DEFAULT '-infinity',   -- fixes from before are pieces; <= closing_to
    released_to     timestamptz NOT NULL DEFAULT '-infinity'    -- days before are no longer hot; <= rolled_to
);
INSERT INTO rollup_mark DEFAULT VALUES;

-- A piece of a track. Its geometry stands in `path` only (TWKB with SRID 0: X, Y, Z km/h or -1,
-- M seconds since from_at), and the index is over what that decodes to: a box of its own would cost 56 bytes a row.
CREATE TABLE track (
    tracker_id      bigint NOT NULL,
    vehicle_id      bigint,
    from_at         timestamptz NOT NULL,
    until_at        timestamptz NOT NULL,
    kind            smallint NOT NULL,          -- 1 ride: every fix; 2 dwell: box, what lay off, times
    fixes           smallint NOT NULL,
    path            bytea NOT NULL,
    more            bytea NOT NULL
) PARTITION BY RANGE (from_at);
CREATE INDEX track_place ON track USING gist (ST_GeomFromTWKB(path), tstzrange(from_at, until_at, '[]'));
CREATE INDEX track_tracker ON track (tracker_id, from_at);

-- Dwells that go on: one row a tracker at most. A heartbeat changes no indexed column.
CREATE TABLE track_open (LIKE track INCLUDING DEFAULTS, PRIMARY KEY (tracker_id)) WITH (fillfactor = 60);
CREATE INDEX track_open_place ON track_open USING gist (ST_GeomFromTWKB(path));

-- Where traffic was, hour by hour, in cells of the web map's grid at zoom 17 (about 270 m in Hunan).
CREATE TABLE traffic (
    hour            timestamptz NOT NULL,
    x               integer NOT NULL,
    y               integer NOT NULL,
    fixes           integer NOT NULL,           -- of moving vehicles
    vehicles        integer NOT NULL,           -- the most of any slice of the hour
    PRIMARY KEY (hour, x, y)
);

-- ── ingest ──────────────────────────────────────────────────────────────────────────────────
-- As before, and it refuses a batch that would copy fixes from before closing_to into the hot table.
DROP FUNCTION lane_advance(smallint, bigint, double precision, bigint, bigint, bigint, bigint);
CREATE FUNCTION lane_advance(p_lane smallint, p_fence bigint, p_lease_s double precision, p_n bigint,
    p_stored bigint, p_duplicate bigint, p_quarantined bigint, p_oldest timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lane SET lease_until = now() + make_interval(secs => p_lease_s), applied = p_n,
        received = received + p_stored + p_duplicate + p_quarantined, stored = stored + p_stored,
        duplicate = duplicate + p_duplicate, quarantined = quarantined + p_quarantined
    WHERE lane = p_lane AND fence = p_fence AND applied = p_n - 1;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM lane WHERE lane = p_lane AND fence = p_fence) THEN
            RAISE EXCEPTION 'lane % is not at batch %', p_lane, p_n - 1;
        END IF;
        RAISE EXCEPTION 'lane % is held by another worker now', p_lane USING ERRCODE = 'P0410';
    END IF;
    IF p_oldest < (SELECT closing_to FROM rollup_mark) THEN
        RAISE EXCEPTION 'the batch has fixes of slices that are closed' USING ERRCODE = 'P0411';
    END IF;
END $$;

-- ── partitions ──────────────────────────────────────────────────────────────────────────────
-- Hot rows are never searched by place once they are pieces.
DROP FUNCTION index_closed_fix_partitions();

-- Whether rows of this time are (or would be) in the hot table.
CREATE FUNCTION is_hot(p_at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT p_at >= (SELECT released_to FROM rollup_mark)
        AND to_regclass('public.fix_' || to_char(p_at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
$$;

-- The first hot day that holds anything, or else the first there is.
CREATE FUNCTION first_hot_day(p_filled boolean) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
    name   text;
    filled boolean;
BEGIN
    FOR name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'fix'::regclass ORDER BY 1 LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO filled;
        IF filled OR NOT p_filled THEN
            RETURN to_date(right(name, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC';
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- A table made beside and attached: a new partition of a table in use would lock everybody out of it.
DROP FUNCTION make_fix_partitions(date, date);
CREATE FUNCTION make_partitions(p_table text, p_days date[]) RETURNS integer LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    day  date;
    name text;
    made integer := 0;
    mark rollup_mark;
BEGIN
    PERFORM pg_advisory_xact_lock(7241002);
    SELECT * INTO mark FROM rollup_mark;
    FOREACH day IN ARRAY p_days LOOP
        name := p_table || '_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                              WHERE i.inhparent = p_table::regclass AND c.relname = name);
        -- Fixes of a closed day go to fix_late, hot partition or not.
        CONTINUE WHEN p_table = 'fix' AND (day + 1)::timestamp AT TIME ZONE 'UTC' <= mark.closing_to;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, p_table);
        IF p_table = 'fix' THEN
            EXECUTE format('CREATE INDEX ON %I USING brin (fixed_at) WITH (autosummarize = on, pages_per_range = 32)', name);
        END IF;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p_table, name,
            day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- ── hot and rolled-up as one, for administrators (psql, QGIS) ───────────────────────────────
CREATE FUNCTION varints(p_bytes bytea) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    numbers bigint[] := '{}';
    number  bigint := 0;
    shift   integer := 0;
    byte    integer;
BEGIN
    FOR i IN 0 .. length(p_bytes) - 1 LOOP
        byte := get_byte(p_bytes, i);
        number := number | ((byte & 127)::bigint << shift);
        IF byte < 128 THEN
            numbers := numbers || number;
            number := 0;
            shift := 0;
        ELSE
            shift := shift + 7;
        END IF;
    END LOOP;
    RETURN numbers;
END $$;

CREATE FUNCTION unzigzag(v bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT (v >> 1) # -(v & 1) $$;

-- The fixes of a piece. Those within a dwell's radius stand at its centre.
CREATE FUNCTION piece_fixes(p_from timestamptz, p_kind smallint, p_path bytea, p_more bytea)
RETURNS TABLE (fixed_at timestamptz, "position" geometry, speed_kmh real) LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 60 AS $$
    SELECT p_from + make_interval(secs => ST_M(d.geom)), ST_SetSRID(ST_Force2D(d.geom), 4326), nullif(ST_Z(d.geom), -1)::real
    FROM ST_DumpPoints(ST_GeomFromTWKB(p_path)) d WHERE p_kind = 1 OR d.path[1] > 2
    UNION ALL
    SELECT p_from + (first + unit * coalesce(sum(step) OVER (ORDER BY n), 0)) * interval '1 microsecond', centre, NULL
    FROM (
        SELECT n, unzigzag(v[4]) AS first, (10 ^ (6 - v[1]))::bigint AS unit,
            coalesce(sum(CASE WHEN n > 1 THEN unzigzag(v[4 + n]) END) OVER (ORDER BY n), 0) AS step,
            ST_SetSRID(ST_MakePoint(ST_X(low) + unzigzag(v[2]) / 1e6, ST_Y(low) + unzigzag(v[3]) / 1e6), 4326) AS centre
        FROM (SELECT varints(p_more) AS v, ST_GeometryN(ST_GeomFromTWKB(p_path), 1) AS low) head,
            LATERAL generate_series(1, v[5]::integer) n
    ) steps
    WHERE p_kind = 2
$$;

CREATE VIEW piece_all AS SELECT * FROM track UNION ALL SELECT * FROM track_open;

-- Pieces as lines and points: what a map program shows.
CREATE VIEW track_shape AS
    SELECT tracker_id, vehicle_id, from_at, until_at, CASE kind WHEN 1 THEN 'ride' ELSE 'dwell' END AS kind, fixes,
        ST_SetSRID(ST_GeomFromTWKB(path), 4326) AS shape
    FROM piece_all;

-- What the journal must lead to: every row of the hot days.
CREATE VIEW fix_known AS
    SELECT * FROM fix WHERE is_hot(fixed_at) UNION SELECT * FROM fix_late WHERE is_hot(fixed_at);

-- Every fix there is. Fixes without a position of their own are left out (flags 4, 8).
DROP VIEW fix_all;
CREATE VIEW fix_all AS
    SELECT tracker_id, vehicle_id, fixed_at, "position", speed_kmh FROM fix
    WHERE fixed_at >= (SELECT rolled_to FROM rollup_mark) AND flags & 140 = 0
    UNION ALL SELECT tracker_id, vehicle_id, fixed_at, "position", speed_kmh FROM fix_late WHERE flags & 140 = 0
    UNION ALL SELECT p.tracker_id, p.vehicle_id, f.fixed_at, f."position", f.speed_kmh
    FROM piece_all p CROSS JOIN LATERAL piece_fixes(p.from_at, p.kind, p.path, p.more) f;

-- ── questions: pieces are found here and read in src/tracks (docs/decisions/0006-pieces-are-read-in-rust.md) ──
-- A piece, or one fix (kind 0: from_at, lon, lat, speed_kmh).
CREATE TYPE found AS (tracker_id bigint, vehicle_id bigint, from_at timestamptz, until_at timestamptz, kind smallint, fixes smallint,
    path bytea, more bytea, lon double precision, lat double precision, speed_kmh real);

-- No piece is longer than a day (PIECE_S_MAX), which is how the first partitions are left out.
CREATE FUNCTION pieces_of(p_vehicle bigint, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE sql STABLE ROWS 100 AS $$
    WITH carried AS MATERIALIZED (SELECT DISTINCT tracker_id FROM installation WHERE vehicle_id = p_vehicle),
    piece AS (
        SELECT t.* FROM carried JOIN track t USING (tracker_id)
        WHERE t.from_at >= p_from - interval '1 day' AND t.from_at < p_to AND t.until_at >= p_from AND t.vehicle_id = p_vehicle
        UNION ALL
        SELECT t.* FROM carried JOIN track_open t USING (tracker_id)
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

-- Pieces whose box and time touch an area's; p_box has SRID 0.
CREATE FUNCTION pieces_near(p_box geometry, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE sql STABLE ROWS 1000 AS $$
    SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more, NULL::float8, NULL::float8, NULL::real FROM track
    WHERE ST_GeomFromTWKB(path) && p_box AND tstzrange(from_at, until_at, '[]') && tstzrange(p_from, p_to)
        AND from_at >= p_from - interval '1 day' AND from_at < p_to
    UNION ALL
    SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more, NULL, NULL, NULL FROM track_open
    WHERE ST_GeomFromTWKB(path) && p_box AND from_at < p_to AND until_at >= p_from
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix
    WHERE fixed_at >= greatest(p_from, (SELECT rolled_to FROM rollup_mark)) AND fixed_at < p_to AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix_late
    WHERE fixed_at >= p_from AND fixed_at < p_to AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
$$;

-- The track of a vehicle as fixes; pieces are opened here.
CREATE OR REPLACE FUNCTION track_of(p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_limit integer)
RETURNS TABLE (fixed_at timestamptz, lon double precision, lat double precision, speed_kmh real) LANGUAGE sql STABLE AS $$
    SELECT DISTINCT t, x, y, v FROM (
        SELECT f.from_at AS t, f.lon AS x, f.lat AS y, f.speed_kmh AS v FROM pieces_of(p_vehicle, p_from, p_to) f WHERE f.kind = 0
        UNION ALL
        SELECT o.fixed_at, ST_X(o."position"), ST_Y(o."position"), o.speed_kmh
        FROM pieces_of(p_vehicle, p_from, p_to) f CROSS JOIN LATERAL piece_fixes(f.from_at, f.kind, f.path, f.more) o WHERE f.kind > 0
    ) every ORDER BY t LIMIT p_limit
$$;
