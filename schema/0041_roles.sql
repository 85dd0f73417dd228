-- Each process has a role of its own with what it needs, and no more: docs/security.md has the table, and a test compares.
-- The roles themselves are made before (roles.sql). What a later migration adds is closed to all of them until it grants it.

-- ── changes of the schema that a process needs are functions of the owner's ─────────────────
CREATE OR REPLACE FUNCTION make_partitions(p_table text, p_days date[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    day  date;
    name text;
    made integer := 0;
    mark rollup_mark;
BEGIN
    IF p_table NOT IN ('fix', 'track') THEN RAISE EXCEPTION '% has no days', p_table; END IF;
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
        ELSE
            EXECUTE format('GRANT SELECT, DELETE ON %I TO rideguard_rollup_rights', name);
        END IF;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p_table, name,
            day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Drops a day of `fix` or `track`. Everybody who writes waits for the lock, so it is asked for a fifth of a second at a time.
CREATE FUNCTION drop_day(p_table text, p_day text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE is_pending boolean;
BEGIN
    IF p_table NOT IN ('fix', 'track') OR p_day !~ ('^' || p_table || '_[0-9]{8}$') THEN RAISE EXCEPTION '% is no day of %', p_day, p_table; END IF;
    FOR attempt IN 1 .. 10 LOOP
        BEGIN
            SELECT i.inhdetachpending INTO is_pending FROM pg_inherits i WHERE i.inhparent = p_table::regclass AND i.inhrelid = to_regclass(quote_ident(p_day));
            IF FOUND THEN
                -- Pending: a program of before 0041 was ended while it detached it.
                EXECUTE format('ALTER TABLE %I DETACH PARTITION %I %s', p_table, p_day, CASE WHEN is_pending THEN 'FINALIZE' ELSE '' END);
            END IF;
            EXECUTE format('DROP TABLE IF EXISTS %I', p_day);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            -- A long question: it is let through with all that wait behind this.
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RAISE EXCEPTION '% is asked without a pause, so it could not be dropped', p_day USING ERRCODE = 'lock_not_available';
END $$;

-- Notes in the index where the newest rows of a hot day lie in time.
CREATE FUNCTION summarize_hot_day(p_at timestamptz) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(sum(brin_summarize_new_values(x.indexrelid)), 0)::bigint
    FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam
    WHERE a.amname = 'brin' AND x.indrelid = to_regclass('public.fix_' || to_char(p_at AT TIME ZONE 'UTC', 'YYYYMMDD'))
$$;

-- Makes the table that takes a day's rows in order; who writes to the day waits until the transaction is over.
CREATE FUNCTION begin_exchange(p_day text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE fresh text := p_day || '_fresh';
BEGIN
    IF p_day !~ '^track_[0-9]{8}$' THEN RAISE EXCEPTION '% is no day of track', p_day; END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', p_day);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING INDEXES)', fresh, p_day);
    EXECUTE format('GRANT INSERT ON %I TO rideguard_rollup_rights', fresh);
    RETURN fresh;
END $$;

ALTER FUNCTION exchange_day(text, text) RENAME TO put_day_in;
CREATE FUNCTION exchange_day(p_day text, p_fresh text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF p_day !~ '^track_[0-9]{8}$' OR p_fresh <> p_day || '_fresh' THEN RAISE EXCEPTION '% is no day of track', p_day; END IF;
    PERFORM put_day_in(p_day, p_fresh);
    EXECUTE format('REVOKE INSERT ON %I FROM rideguard_rollup_rights', p_day);
    EXECUTE format('GRANT SELECT, DELETE ON %I TO rideguard_rollup_rights', p_day);
END $$;

ALTER FUNCTION first_hot_day(boolean) SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION let_go_incidents(integer) SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION admit_notifications(integer, double precision, double precision, double precision, double precision) SECURITY DEFINER SET search_path = public, pg_temp;

-- ── ingest: the journal and what follows from it ────────────────────────────────────────────
GRANT SELECT ON migration, lane, journal, checkpoint, setting, handed_over, rollup_mark, journal_range, journal_block, journal_key, journal_master,
    tracker_status, guard_status, incident, outage_part TO rideguard_ingest_rights;
GRANT INSERT ON journal, journal_outcome, checkpoint, handed_over, quarantine, fix, fix_late, tracker_status, guard_status, incident, incident_note,
    alert, outbox, outage_part, coverage_gap TO rideguard_ingest_rights;
GRANT UPDATE ON lane, tracker_status, guard_status, incident, outage_part TO rideguard_ingest_rights;
GRANT DELETE ON checkpoint, handed_over TO rideguard_ingest_rights;
GRANT SELECT (alert_id) ON alert TO rideguard_ingest_rights;
-- Whom an alert is for: never an address.
GRANT SELECT (vehicle_id, account_id, valid_to) ON ownership TO rideguard_ingest_rights;
GRANT SELECT (account_id, channel, is_enabled) ON account_channel TO rideguard_ingest_rights;
GRANT EXECUTE ON FUNCTION lane_renew(smallint, bigint, double precision),
    lane_advance(smallint, bigint, double precision, bigint, bigint, bigint, bigint, timestamptz), make_partitions(text, date[]) TO rideguard_ingest_rights;

-- ── notify: the outbox, the alert behind a row, and where to ────────────────────────────────
GRANT SELECT ON migration, alert, outbox TO rideguard_notify_rights;
GRANT UPDATE ON outbox TO rideguard_notify_rights;
GRANT INSERT ON notification TO rideguard_notify_rights;
GRANT SELECT (vehicle_id, plate) ON vehicle TO rideguard_notify_rights;
GRANT SELECT (account_id, channel, address, secret) ON account_channel TO rideguard_notify_rights;
GRANT EXECUTE ON FUNCTION alert_as_json(bigint),
    admit_notifications(integer, double precision, double precision, double precision, double precision) TO rideguard_notify_rights;

-- ── seal: what it seals comes with the migration that makes it ─────────────────────────────
GRANT SELECT ON migration TO rideguard_seal_rights;

-- ── rollup: tracks, and what retention and erasures take away ───────────────────────────────
GRANT SELECT ON migration, rollup_mark, lane, fix, fix_late, track, track_open, traffic, retention_mark, legal_hold, hold_in_force, held_packets,
    erasure, erased_window, incident, alert, tracker, tracker_status, guard_status, setting, checkpoint, journal, journal_base, journal_seam, journal_outcome,
    quarantine, journal_range, journal_block, journal_key, journal_master TO rideguard_rollup_rights;
GRANT INSERT ON fix, track, track_open, traffic, retention_run, journal_seam, journal_range, journal_block, journal_key, journal_master TO rideguard_rollup_rights;
GRANT UPDATE ON rollup_mark, track_open, traffic, retention_mark, journal_base, journal_range TO rideguard_rollup_rights;
GRANT DELETE ON fix, fix_late, track, track_open, traffic, tracker_status, guard_status, setting, journal, journal_outcome, journal_seam, quarantine,
    journal_range, journal_block, journal_key TO rideguard_rollup_rights;
GRANT UPDATE (lease_until) ON lane TO rideguard_rollup_rights;      -- to hold all lanes while a slice is closed
GRANT UPDATE (content) ON journal TO rideguard_rollup_rights;       -- erased packets give way to tombstones
GRANT UPDATE (state) ON checkpoint, journal_seam TO rideguard_rollup_rights;
GRANT UPDATE (lat, lon, evidence) ON alert TO rideguard_rollup_rights;
GRANT UPDATE (closed_at, ended_by, state) ON incident TO rideguard_rollup_rights;
GRANT SELECT (vehicle_id, valid_from) ON ownership TO rideguard_rollup_rights;
GRANT EXECUTE ON FUNCTION make_partitions(text, date[]), drop_day(text, text), summarize_hot_day(timestamptz), begin_exchange(text), exchange_day(text, text),
    day_to_order(), first_hot_day(boolean), is_hot(timestamptz), is_kept(bigint, timestamptz, timestamptz), kept_windows(),
    is_held(bigint, timestamptz, timestamptz), let_go_incidents(integer), delete_journal_key(smallint, bigint), lane_of(text), crc32(text)
    TO rideguard_rollup_rights;
DO $$
DECLARE day regclass;
BEGIN
    FOR day IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'track'::regclass LOOP
        EXECUTE format('GRANT SELECT, DELETE ON %s TO rideguard_rollup_rights', day);
    END LOOP;
END $$;
