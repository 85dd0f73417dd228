-- The index of fixes by time is summarised by the rollup before it reads a slice. PostgreSQL's own requests for that
-- find no room in their queue where many fixes come, and each is a line in its log.
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
    FOR name IN SELECT x.indexrelid FROM pg_inherits h JOIN pg_index x ON x.indrelid = h.inhrelid
        JOIN pg_class c ON c.oid = x.indexrelid WHERE h.inhparent = 'fix'::regclass AND 'autosummarize=on' = ANY (c.reloptions)
    LOOP
        EXECUTE format('ALTER INDEX %s SET (autosummarize = off)', name);
    END LOOP;
END $$;
