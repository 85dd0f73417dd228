-- Packets beyond a tracker's quota are counted and not kept: one row of quarantine for many. Of the others quarantine keeps the head;
-- the journal has the whole under the same lane, number and entry.

ALTER TABLE quarantine
    ADD COLUMN packets bigint NOT NULL DEFAULT 1,  -- for which the row stands
    ADD COLUMN payload_bytes bigint;               -- of them all; NULL where the payload beside it is whole, as it was once

-- The functions stay as they are, whatever else they do by now: only what counts rows counts packets.
DO $$
DECLARE
    r      record;
    before text;
    after  text;
BEGIN
    FOR r IN SELECT * FROM (VALUES
        ('api_trackers',
            '(SELECT count(*) FROM quarantine q WHERE',
            '(SELECT coalesce(sum(q.packets), 0)::bigint FROM quarantine q WHERE'),
        ('delete_journal_key', 'RETURNING q.reason)', 'RETURNING q.reason, q.packets)'),
        ('delete_journal_key',
            $s$SELECT count(*) FROM q WHERE reason <> 'left_over'$s$,
            $s$SELECT coalesce(sum(packets), 0)::bigint FROM q WHERE reason <> 'left_over'$s$)
    ) AS changes (function, counted_rows, counts_packets) LOOP
        before := pg_get_functiondef(r.function::regproc);
        after := replace(before, r.counted_rows, r.counts_packets);
        IF after = before THEN RAISE EXCEPTION '% does not say "%"', r.function, r.counted_rows; END IF;
        EXECUTE after;
    END LOOP;
END $$;
