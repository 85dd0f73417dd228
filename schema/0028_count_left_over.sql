-- What is left over behind the messages of a packet has a row in quarantine, though its packet counts as stored.

CREATE OR REPLACE FUNCTION delete_journal_key(p_lane smallint, p_key bigint, OUT gone bigint, OUT set_aside bigint) LANGUAGE plpgsql AS $$
DECLARE of_tracker text := (SELECT substr(holder, 9) FROM journal_key WHERE lane = p_lane AND key_id = p_key AND holder LIKE 'tracker %');
BEGIN
    WITH q AS (DELETE FROM quarantine q USING journal_block b JOIN journal_range r USING (lane, from_n)
        WHERE b.lane = p_lane AND b.key_id = p_key AND q.lane = p_lane AND q.n BETWEEN r.from_n AND r.to_n AND split_part(q.topic, '/', 3) = of_tracker RETURNING q.reason)
    SELECT count(*) FROM q WHERE reason <> 'left_over' INTO set_aside;
    UPDATE journal_base SET quarantined = quarantined + set_aside WHERE lane = p_lane;
    UPDATE journal_range r SET let_go = r.let_go + b.entries FROM journal_block b
    WHERE b.lane = p_lane AND b.key_id = p_key AND r.lane = p_lane AND r.from_n = b.from_n;
    WITH b AS (DELETE FROM journal_block WHERE lane = p_lane AND key_id = p_key RETURNING entries)
    SELECT coalesce(sum(entries), 0) FROM b INTO gone;
    DELETE FROM journal_key WHERE lane = p_lane AND key_id = p_key;
END $$;
