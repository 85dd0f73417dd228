-- Ingest at speed: one round trip a commit, no spatial index on the day that is being written.

-- The first statement of a lane's transaction locks its row, checks the fence and renews the lease. Both
-- functions fail instead of answering, so that everything sent behind them in the same breath fails, too.
CREATE FUNCTION lane_renew(p_lane smallint, p_fence bigint, p_lease_s double precision) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lane SET lease_until = now() + make_interval(secs => p_lease_s) WHERE lane = p_lane AND fence = p_fence;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lane % is held by another worker now', p_lane USING ERRCODE = 'P0410';
    END IF;
END $$;

-- The same with the watermark of commit 2 and its counters: each batch exactly once, in order.
CREATE FUNCTION lane_advance(p_lane smallint, p_fence bigint, p_lease_s double precision, p_n bigint,
    p_stored bigint, p_duplicate bigint, p_quarantined bigint) RETURNS void LANGUAGE plpgsql AS $$
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
END $$;

-- A GiST entry costs more than the rest of a fix together (docs/performance.md). The day that is
-- being written is searched by time (BRIN); a day that is over gets its GiST from the partition job.
CREATE OR REPLACE FUNCTION make_fix_partitions(p_from date, p_to date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    day  date := p_from;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7241002);
    WHILE day <= p_to LOOP
        name := 'fix_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF fix FOR VALUES FROM (%L) TO (%L)', name,
                day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
            EXECUTE format('CREATE INDEX ON %I USING brin (fixed_at) WITH (autosummarize = on, pages_per_range = 32)', name);
            made := made + 1;
        END IF;
        day := day + 1;
    END LOOP;
    RETURN made;
END $$;

-- Gives the days that are over their spatial index: those before yesterday, because late fixes of
-- yesterday still come. Writers of the day wait meanwhile; there are few.
CREATE FUNCTION index_closed_fix_partitions() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    name text;
    made integer := 0;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'fix'::regclass AND c.relname < 'fix_' || to_char((now() AT TIME ZONE 'UTC')::date - 1, 'YYYYMMDD')
            AND NOT EXISTS (SELECT FROM pg_index x JOIN pg_class k ON k.oid = x.indexrelid JOIN pg_am m ON m.oid = k.relam
                            WHERE x.indrelid = c.oid AND m.amname = 'gist')
    LOOP
        EXECUTE format('CREATE INDEX ON %I USING gist (position)', name);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Today's partition may have its GiST from before this migration.
DO $$
DECLARE index_name text;
BEGIN
    FOR index_name IN
        SELECT k.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_index x ON x.indrelid = c.oid
            JOIN pg_class k ON k.oid = x.indexrelid JOIN pg_am m ON m.oid = k.relam
        WHERE i.inhparent = 'fix'::regclass AND m.amname = 'gist'
            AND c.relname >= 'fix_' || to_char((now() AT TIME ZONE 'UTC')::date - 1, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP INDEX %I', index_name);
    END LOOP;
END $$;
