-- What a worker acknowledged from its spool while it could not reach the database, for a lane that
-- another worker holds now. That one journals it and removes it in the same statement.
CREATE TABLE handed_over (
    handed_over_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane            smallint NOT NULL,
    content         bytea NOT NULL,             -- as in journal
    given_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON handed_over (lane, handed_over_id);
REVOKE ALL ON handed_over FROM PUBLIC;

-- The content is compressed already; a second attempt costs time and gains nothing.
ALTER TABLE journal ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE checkpoint ALTER COLUMN state SET STORAGE EXTERNAL;
