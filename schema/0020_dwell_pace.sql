-- The times of a dwell as steps that keep a pace, up to three of them in a byte (src/tracks/pace.rs): a heartbeat took a byte
-- for its time alone. Pieces of before say so by the first of their numbers, and are read as before.

-- From each time of a dwell to the next, in its units. p_more: the numbers of a dwell.
CREATE FUNCTION dwell_steps(p_more bigint[]) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    steps  bigint[] := '{}';
    later  integer := p_more[5] - 1;
    step   bigint := 0;
    pace   bigint;
    at     integer := 7;
    number bigint;
BEGIN
    IF p_more[1] < 16 THEN
        FOR n IN 1 .. later LOOP
            step := step + unzigzag(p_more[5 + n]);
            steps := steps || step;
        END LOOP;
        RETURN steps;
    END IF;
    pace := unzigzag(p_more[6]);
    WHILE cardinality(steps) < later LOOP
        number := p_more[at];
        at := at + 1;
        IF number < 125 THEN
            steps := steps || ARRAY[pace + number / 25 - 2, pace + number / 5 % 5 - 2, pace + number % 5 - 2];
        ELSIF number < 128 THEN
            steps := steps || pace + unzigzag(number - 125);
        ELSIF number % 2 = 0 THEN
            steps := steps || pace + unzigzag((number - 128) >> 1);
        ELSIF number % 2 = 1 THEN
            pace := pace + unzigzag((number - 128) >> 1);
        ELSE
            RAISE EXCEPTION 'the times of a dwell end early';
        END IF;
    END LOOP;
    RETURN steps[:later];
END $$;

-- The fixes of a piece, as before.
CREATE OR REPLACE FUNCTION piece_fixes(p_from timestamptz, p_kind smallint, p_path bytea, p_more bytea)
RETURNS TABLE (fixed_at timestamptz, "position" geometry, speed_kmh real) LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 60 AS $$
    SELECT p_from + make_interval(secs => ST_M(d.geom)), ST_SetSRID(ST_Force2D(d.geom), 4326), nullif(ST_Z(d.geom), -1)::real
    FROM ST_DumpPoints(ST_GeomFromTWKB(p_path)) d WHERE p_kind = 1 OR d.path[1] > 2
    UNION ALL
    SELECT p_from + (first + unit * sum(step) OVER (ORDER BY n)) * interval '1 microsecond', centre, NULL
    FROM (
        SELECT unzigzag(v[4]) AS first, (10 ^ (6 - v[1] % 16))::bigint AS unit, v,
            ST_SetSRID(ST_MakePoint(ST_X(low) + unzigzag(v[2]) / 1e6, ST_Y(low) + unzigzag(v[3]) / 1e6), 4326) AS centre
        FROM (SELECT varints(p_more) AS v, ST_GeometryN(ST_GeomFromTWKB(p_path), 1) AS low WHERE p_kind = 2 OFFSET 0) read OFFSET 0) head,
        LATERAL unnest(0::bigint || dwell_steps(v)) WITH ORDINALITY u (step, n)
$$;
