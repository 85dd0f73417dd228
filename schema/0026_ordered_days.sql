-- A day of pieces grows slice by slice, so most pieces that a search finds in it lie on pages of their own. Three hours after its end, when most
-- dwells of its night are complete, it is written anew in the order of its index: by cell, then by time (src/store/order.rs). PostgreSQL's
-- CLUSTER does that too, but keeps everybody out meanwhile. Here who writes (late fixes, an erasure) waits until it is done, who reads for the
-- exchange at its end alone. The index is marked as CLUSTER marks it, which says what is in order. docs/decisions/0019 has the figures.

-- The newest day that is over, has pieces and is not in order; NULL if there is none.
CREATE FUNCTION day_to_order() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT max(c.relname::text) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, rollup_mark m
    WHERE i.inhparent = 'track'::regclass AND NOT i.inhdetachpending AND pg_relation_size(c.oid) > 0
        AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= m.rolled_to - interval '3 hours'
        AND NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisclustered)
$$;

-- Puts a day's table (locked against writers by then) out and the one with its rows in order in, under its name.
CREATE FUNCTION exchange_day(p_day text, p_fresh text) RETURNS void LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
DECLARE
    bounds     text;
    definition text;
BEGIN
    SELECT pg_get_expr(relpartbound, oid) INTO STRICT bounds FROM pg_class WHERE oid = p_day::regclass;
    FOR definition IN SELECT pg_get_indexdef(x.indexrelid) FROM pg_index x WHERE x.indrelid = p_day::regclass LOOP
        EXECUTE regexp_replace(definition, ' INDEX .* ON .* USING ', format(' INDEX ON %I USING ', p_fresh));
    END LOOP;
    -- It is known by then that its rows keep the bounds: they are not read again while everybody waits.
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT bounds CHECK (%s)', p_fresh, pg_get_partition_constraintdef(p_day::regclass));
    SELECT format('ALTER TABLE %I CLUSTER ON %I', p_fresh, c.relname) INTO STRICT definition
    FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE x.indrelid = p_fresh::regclass AND pg_get_indexdef(x.indexrelid, 1, false) = 'cell';
    EXECUTE definition;
    EXECUTE format('ANALYZE %I', p_fresh);
    FOR attempt IN 1 .. 10 LOOP
        BEGIN
            EXECUTE format('ALTER TABLE track DETACH PARTITION %I', p_day);
            EXECUTE format('DROP TABLE %I', p_day);
            EXECUTE format('ALTER TABLE %I RENAME TO %I', p_fresh, p_day);
            EXECUTE format('ALTER TABLE track ATTACH PARTITION %I %s', p_day, bounds);
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT bounds', p_day);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            -- A long question: it is let through with all that wait behind this.
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RAISE EXCEPTION '% is asked without a pause, so it could not be exchanged for what is in order', p_day USING ERRCODE = 'lock_not_available';
END $$;
