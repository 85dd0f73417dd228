-- A hot day only grows and is dropped after some days: PostgreSQL's vacuum of tables that grow took a fifth of its time there and
-- gave nothing. Statistics (ANALYZE) go on; so does the vacuum against wraparound, which no such day lives to see.
CREATE OR REPLACE FUNCTION make_partitions(p_table text, p_days date[]) RETURNS integer LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
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
            EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_insert_threshold = -1)', name);
            EXECUTE format('CREATE INDEX ON %I USING brin (fixed_at) WITH (pages_per_range = 32)', name);
        END IF;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p_table, name,
            day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

DO $$
DECLARE
    name regclass;
BEGIN
    FOR name IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'fix'::regclass LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_vacuum_insert_threshold = -1)', name);
    END LOOP;
END $$;
