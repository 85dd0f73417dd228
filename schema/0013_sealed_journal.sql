-- The old journal: ranges of a lane's rows, taken apart by tracker and sealed under keys. docs/retention.md has the picture.

-- Says which master key file belongs to this database: known words, sealed under it.
CREATE TABLE journal_master (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    sealed          bytea NOT NULL
);

-- The key of a holder's day in a lane. Deleting the row erases what is sealed under it.
CREATE TABLE journal_key (
    lane            smallint NOT NULL,
    key_id          bigint GENERATED ALWAYS AS IDENTITY,
    holder          text NOT NULL,              -- tracker IDENT, vehicle NUMBER, lane NUMBER; src/store/blocks.rs, Holder
    day             date NOT NULL,              -- of the ranges, UTC
    wrapped         bytea NOT NULL,             -- the key, sealed under the master key
    PRIMARY KEY (lane, key_id)
);
CREATE INDEX journal_key_holder ON journal_key (holder, day);

-- Consecutive rows of a lane that went into blocks: at most an hour of them.
CREATE TABLE journal_range (
    lane            smallint NOT NULL,
    from_n          bigint NOT NULL,
    to_n            bigint NOT NULL,
    first_at        timestamptz NOT NULL,       -- receive times inside
    last_at         timestamptz NOT NULL,
    entries         integer NOT NULL,
    let_go          integer NOT NULL DEFAULT 0, -- of them, in no block any more
    key_id          bigint NOT NULL,            -- the lane's key of the day
    frame           bytea NOT NULL,             -- sealed: how long each row was, times, outcomes; src/store/blocks.rs, Frame
    PRIMARY KEY (lane, from_n),
    CHECK (to_n >= from_n AND let_go BETWEEN 0 AND entries)
);

-- What one holder had in a range. No foreign keys: the tables are ready to be sharded (docs/scale.md).
CREATE TABLE journal_block (
    lane            smallint NOT NULL,
    from_n          bigint NOT NULL,            -- of the range
    key_id          bigint NOT NULL,
    entries         integer NOT NULL,
    content         bytea NOT NULL,             -- sealed; src/store/blocks.rs, Block
    PRIMARY KEY (lane, from_n, key_id)
);
CREATE INDEX journal_block_key ON journal_block (lane, key_id);

-- What is sealed cannot be compressed again.
ALTER TABLE journal_range ALTER COLUMN frame SET STORAGE EXTERNAL;
ALTER TABLE journal_block ALTER COLUMN content SET STORAGE EXTERNAL;

-- Deletes a key with everything under it, and what was set aside of it; how many entries and packets set aside that were.
CREATE FUNCTION delete_journal_key(p_lane smallint, p_key bigint, OUT gone bigint, OUT set_aside bigint) LANGUAGE plpgsql AS $$
DECLARE of_tracker text := (SELECT substr(holder, 9) FROM journal_key WHERE lane = p_lane AND key_id = p_key AND holder LIKE 'tracker %');
BEGIN
    WITH q AS (DELETE FROM quarantine q USING journal_block b JOIN journal_range r USING (lane, from_n)
        WHERE b.lane = p_lane AND b.key_id = p_key AND q.lane = p_lane AND q.n BETWEEN r.from_n AND r.to_n AND split_part(q.topic, '/', 3) = of_tracker RETURNING 1)
    SELECT count(*) FROM q INTO set_aside;
    UPDATE journal_base SET quarantined = quarantined + set_aside WHERE lane = p_lane;
    UPDATE journal_range r SET let_go = r.let_go + b.entries FROM journal_block b
    WHERE b.lane = p_lane AND b.key_id = p_key AND r.lane = p_lane AND r.from_n = b.from_n;
    WITH b AS (DELETE FROM journal_block WHERE lane = p_lane AND key_id = p_key RETURNING entries)
    SELECT coalesce(sum(entries), 0) FROM b INTO gone;
    DELETE FROM journal_key WHERE lane = p_lane AND key_id = p_key;
END $$;
