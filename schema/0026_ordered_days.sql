-- A day of pieces grows slice by slice, so most pieces that a search finds in it lie on pages of their own. Three hours after its end, when most
-- dwells of its night are complete, it is written anew in the order of its index: by cell, then by time. PostgreSQL's CLUSTER does that
-- too, but keeps everybody out meanwhile. Here who writes (late fixes, an erasure) waits until it is done, who reads for the exchange
-- at its end alone. The index is marked as CLUSTER marks it, which says what is in order. docs/decisions/0019 has the figures.
CREATE FUNCTION order_next_day() RETURNS text LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
DECLARE
    day        text;
    fresh      text;
    bounds     text;
    definition text;
BEGIN
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) INTO day, bounds
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, rollup_mark m
    WHERE i.inhparent = 'track'::regclass AND NOT i.inhdetachpending
        AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= m.rolled_to - interval '3 hours'
        AND NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisclustered)
    ORDER BY 1 DESC LIMIT 1;
    IF day IS NULL THEN
        RETURN NULL;
    END IF;
    fresh := day || '_fresh';
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', day);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING INDEXES)', fresh, day);
    EXECUTE format('INSERT INTO %I SELECT * FROM %I ORDER BY cell, from_at', fresh, day);
    FOR definition IN SELECT pg_get_indexdef(x.indexrelid) FROM pg_index x WHERE x.indrelid = day::regclass LOOP
        EXECUTE regexp_replace(definition, ' INDEX .* ON .* USING ', format(' INDEX ON %I USING ', fresh));
    END LOOP;
    -- It is known by then that its rows keep the bounds: they are not read again while everybody waits.
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT bounds CHECK (%s)', fresh, pg_get_partition_constraintdef(day::regclass));
    SELECT format('ALTER TABLE %I CLUSTER ON %I', fresh, c.relname) INTO STRICT definition
    FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE x.indrelid = fresh::regclass AND pg_get_indexdef(x.indexrelid, 1, false) = 'cell';
    EXECUTE definition;
    EXECUTE format('ANALYZE %I', fresh);
    FOR attempt IN 1 .. 10 LOOP
        BEGIN
            EXECUTE format('ALTER TABLE track DETACH PARTITION %I', day);
            EXECUTE format('DROP TABLE %I', day);
            EXECUTE format('ALTER TABLE %I RENAME TO %I', fresh, day);
            EXECUTE format('ALTER TABLE track ATTACH PARTITION %I %s', day, bounds);
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT bounds', day);
            RETURN day;
        EXCEPTION WHEN lock_not_available THEN
            -- A long question: it is let through with all that wait behind this.
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RAISE EXCEPTION '% is asked without a pause, so it could not be exchanged for what is in order', day USING ERRCODE = 'lock_not_available';
END $$;
