-- The whole chain: people and things, journal, tracks, alerts, outbox, audit.
-- Times are timestamptz; positions WGS-84 (SRID 4326). Words as in docs/glossary.md.

CREATE EXTENSION IF NOT EXISTS postgis;

-- ── people and things ───────────────────────────────────────────────────────────────────────
CREATE TABLE organisation (
    organisation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    kind            text NOT NULL CHECK (kind IN ('owner', 'police', 'operator'))
);

CREATE TABLE unit (
    unit_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES organisation,
    name            text NOT NULL,
    UNIQUE (organisation_id, name)
);

CREATE TABLE account (
    account_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login           text NOT NULL UNIQUE CHECK (login ~ '^[A-Za-z0-9._@-]{1,64}$'),
    name            text NOT NULL,
    role            text NOT NULL CHECK (role IN ('owner', 'police', 'operator', 'admin')),
    unit_id         bigint REFERENCES unit,
    password_hash   text NOT NULL,          -- Argon2id, PHC string
    webhook_url     text,                   -- where alerts for this person go
    webhook_secret  text,                   -- key of the HMAC-SHA-256 signature
    disabled        boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE session (
    token_sha256    bytea PRIMARY KEY,      -- the token itself is never kept
    account_id      bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL
);
CREATE INDEX session_account ON session (account_id);

CREATE TABLE live_ticket (
    ticket_sha256   bytea PRIMARY KEY,
    account_id      bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    session_sha256  bytea NOT NULL REFERENCES session ON DELETE CASCADE,
    grant_id        bigint,
    expires_at      timestamptz NOT NULL
);

CREATE TABLE vehicle (
    vehicle_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plate           text NOT NULL UNIQUE,
    kind            text NOT NULL CHECK (kind IN ('ebike', 'motorcycle')),
    model           text NOT NULL DEFAULT '',
    frame_number    text
);

CREATE TABLE ownership (
    vehicle_id      bigint NOT NULL REFERENCES vehicle,
    account_id      bigint NOT NULL REFERENCES account,
    valid_from      timestamptz NOT NULL DEFAULT now(),
    valid_to        timestamptz,            -- a buyer never sees the seller's track
    PRIMARY KEY (vehicle_id, valid_from),
    CHECK (valid_to IS NULL OR valid_to > valid_from)
);
CREATE UNIQUE INDEX ownership_current ON ownership (vehicle_id) WHERE valid_to IS NULL;
CREATE INDEX ownership_account ON ownership (account_id);

CREATE TABLE tracker (
    tracker_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ident           text NOT NULL UNIQUE CHECK (ident ~ '^[A-Za-z0-9_-]{1,32}$'),
    profile         jsonb NOT NULL,         -- src/domain/tracker.rs, Profile
    unit_id         bigint REFERENCES unit  -- the operator's unit that looks after it
);

CREATE TABLE installation (
    tracker_id      bigint NOT NULL REFERENCES tracker,
    vehicle_id      bigint NOT NULL REFERENCES vehicle,
    valid_from      timestamptz NOT NULL DEFAULT now(),
    valid_to        timestamptz,
    PRIMARY KEY (tracker_id, valid_from),
    CHECK (valid_to IS NULL OR valid_to > valid_from)
);
CREATE UNIQUE INDEX installation_tracker ON installation (tracker_id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX installation_vehicle ON installation (vehicle_id) WHERE valid_to IS NULL;
CREATE INDEX installation_history ON installation (vehicle_id, valid_from);

CREATE TABLE zone (
    zone_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL,
    crs             text NOT NULL DEFAULT 'wgs84' CHECK (crs = 'wgs84'),
    shape           jsonb NOT NULL,         -- src/domain/zone.rs, ZoneShape
    rule            text NOT NULL CHECK (rule IN ('enter', 'exit', 'both')),
    vehicle_id      bigint REFERENCES vehicle,   -- NULL: the whole city
    account_id      bigint NOT NULL REFERENCES account,
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- ── settings: what people change reaches the guard through the journal ──────────────────────
CREATE TABLE setting (
    setting_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane            smallint,               -- NULL: every lane (zones)
    content         jsonb NOT NULL,         -- src/domain/setting.rs, Setting
    made_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX setting_by_lane ON setting (lane, setting_id);

-- CRC-32/ISO-HDLC, so that SQL can tell a tracker's lane as the topic does.
CREATE FUNCTION crc32(input text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    bytes bytea := convert_to(input, 'UTF8');
    crc   bigint := 4294967295;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        crc := crc # get_byte(bytes, i);
        FOR k IN 1 .. 8 LOOP
            crc := CASE WHEN crc & 1 = 1 THEN (crc >> 1) # 3988292384 ELSE crc >> 1 END;
        END LOOP;
    END LOOP;
    RETURN crc # 4294967295;
END $$;

CREATE FUNCTION lane_of(ident text) RETURNS smallint LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT (crc32(ident) % 64 % 16)::smallint $$;

-- One writer at a time: then ids become visible in order, and a lane that has read up to an id
-- has missed none below it.
CREATE FUNCTION add_setting(p_lane smallint, p_content jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE id bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    INSERT INTO setting (lane, content) VALUES (p_lane, p_content) RETURNING setting_id INTO id;
    PERFORM pg_notify('setting', coalesce(p_lane::text, '*'));
    RETURN id;
END $$;

CREATE FUNCTION tell_tracker(p_tracker bigint) RETURNS void LANGUAGE sql AS $$
    SELECT add_setting(lane_of(t.ident), jsonb_build_object('kind', 'tracker', 'tracker', t.tracker_id,
        'ident', t.ident, 'profile', t.profile, 'vehicle', i.vehicle_id))
    FROM tracker t LEFT JOIN installation i ON i.tracker_id = t.tracker_id AND i.valid_to IS NULL
    WHERE t.tracker_id = p_tracker
$$;

CREATE FUNCTION tracker_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM add_setting(lane_of(OLD.ident), jsonb_build_object('kind', 'tracker_removed', 'ident', OLD.ident));
    ELSE
        PERFORM tell_tracker(NEW.tracker_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tracker_changed AFTER INSERT OR UPDATE OR DELETE ON tracker
    FOR EACH ROW EXECUTE FUNCTION tracker_changed();

CREATE FUNCTION installation_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_tracker(coalesce(NEW.tracker_id, OLD.tracker_id));
    RETURN NULL;
END $$;
CREATE TRIGGER installation_changed AFTER INSERT OR UPDATE OR DELETE ON installation
    FOR EACH ROW EXECUTE FUNCTION installation_changed();

CREATE FUNCTION zone_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM add_setting(NULL, jsonb_build_object('kind', 'zone_removed', 'zone', OLD.zone_id));
    ELSE
        PERFORM add_setting(NULL, jsonb_build_object('kind', 'zone', 'id', NEW.zone_id, 'name', NEW.name,
            'shape', NEW.shape, 'rule', NEW.rule, 'vehicle', NEW.vehicle_id));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER zone_changed AFTER INSERT OR UPDATE OR DELETE ON zone
    FOR EACH ROW EXECUTE FUNCTION zone_changed();

-- ── lanes, journal, checkpoints ─────────────────────────────────────────────────────────────
CREATE TABLE lane (
    lane            smallint PRIMARY KEY,
    owner           text,
    fence           bigint NOT NULL DEFAULT 0,   -- raised by every takeover
    lease_until     timestamptz NOT NULL DEFAULT '-infinity',
    backend_pid     integer,
    backend_start   timestamptz,
    journaled       bigint NOT NULL DEFAULT 0,   -- commit 1: the journal reaches to here
    applied         bigint NOT NULL DEFAULT 0,   -- commit 2: effects reach to here
    setting_cursor  bigint NOT NULL DEFAULT 0,   -- settings up to here are in the journal
    received        bigint NOT NULL DEFAULT 0,   -- packets; = stored + duplicate + quarantined
    stored          bigint NOT NULL DEFAULT 0,
    duplicate       bigint NOT NULL DEFAULT 0,
    quarantined     bigint NOT NULL DEFAULT 0
);
INSERT INTO lane (lane) SELECT generate_series(0, 15);

CREATE TABLE journal (
    lane            smallint NOT NULL,
    n               bigint NOT NULL,
    written_at      timestamptz NOT NULL DEFAULT now(),
    first_at        timestamptz NOT NULL,       -- receive times inside
    last_at         timestamptz NOT NULL,
    entries         integer NOT NULL,
    content         bytea NOT NULL,             -- version byte, zstd(MessagePack(entries)); src/domain/journal.rs
    PRIMARY KEY (lane, n)
);
CREATE INDEX journal_time ON journal USING brin (first_at);

CREATE TABLE journal_outcome (                  -- one byte an entry, written with the effects
    lane            smallint NOT NULL,
    n               bigint NOT NULL,
    outcomes        bytea NOT NULL,
    PRIMARY KEY (lane, n)
);

CREATE TABLE checkpoint (
    lane            smallint NOT NULL,
    n               bigint NOT NULL,            -- the state after this journal row
    written_at      timestamptz NOT NULL DEFAULT now(),
    state           bytea NOT NULL,             -- version byte, zstd(MessagePack(state))
    PRIMARY KEY (lane, n)
);

CREATE TABLE quarantine (
    quarantine_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane            smallint NOT NULL,
    n               bigint NOT NULL,
    entry           integer NOT NULL,
    topic           text NOT NULL,
    ident           text,
    tracker_id      bigint,
    reason          text NOT NULL,              -- a word: identity, unknown_tracker, decode, time, …
    detail          text NOT NULL,              -- a sentence, without positions
    security        boolean NOT NULL,
    received_at     timestamptz NOT NULL,
    payload         bytea NOT NULL,
    UNIQUE (lane, n, entry)
);
CREATE INDEX quarantine_tracker ON quarantine (tracker_id, received_at DESC);

-- ── tracks ──────────────────────────────────────────────────────────────────────────────────
CREATE TABLE fix (
    tracker_id      bigint NOT NULL,
    fixed_at        timestamptz NOT NULL,
    digest          integer NOT NULL,           -- of the position: two of one second are both kept
    received_at     timestamptz NOT NULL,
    vehicle_id      bigint,
    speed_kmh       real,
    course_deg      real,
    altitude_m      real,
    accuracy_m      real,
    satellites      smallint,
    source          smallint NOT NULL,          -- 0 GNSS, 1 cell, 2 Wi-Fi
    flags           smallint NOT NULL,          -- 1 late, 2 buffered, 4 tracker says not valid
    position        geometry(Point, 4326) NOT NULL,
    PRIMARY KEY (tracker_id, fixed_at, digest)
) PARTITION BY RANGE (fixed_at);

CREATE TABLE fix_late (LIKE fix INCLUDING ALL); -- plausible, but no hot partition for its time

CREATE FUNCTION make_fix_partitions(p_from date, p_to date) RETURNS integer LANGUAGE plpgsql AS $$
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
            EXECUTE format('CREATE INDEX ON %I USING gist (position)', name);
            EXECUTE format('CREATE INDEX ON %I USING brin (fixed_at)', name);
            made := made + 1;
        END IF;
        day := day + 1;
    END LOOP;
    RETURN made;
END $$;

CREATE TABLE tracker_status (
    tracker_id      bigint PRIMARY KEY,
    vehicle_id      bigint,
    last_heard_at   timestamptz NOT NULL,
    fixed_at        timestamptz,                -- newest valid fix, by event time
    received_at     timestamptz,
    position        geometry(Point, 4326),
    speed_kmh       real,
    course_deg      real,
    accuracy_m      real,
    satellites      smallint,
    source          smallint,
    battery_percent smallint,
    external_power  boolean,
    ignition        boolean,
    signal_percent  smallint,
    firmware        text
) WITH (fillfactor = 70);
CREATE INDEX tracker_status_position ON tracker_status USING gist (position);

-- ── guard, alerts, incidents ────────────────────────────────────────────────────────────────
CREATE TABLE guard_status (
    vehicle_id      bigint PRIMARY KEY,
    armed           boolean NOT NULL,
    since           timestamptz NOT NULL,
    guard_lat       double precision,
    guard_lon       double precision
);

CREATE TABLE incident (
    incident_id     bigint PRIMARY KEY,
    vehicle_id      bigint NOT NULL,
    opened_at       timestamptz NOT NULL,
    closed_at       timestamptz,
    ended_by        text
);
CREATE UNIQUE INDEX incident_open ON incident (vehicle_id) WHERE closed_at IS NULL;
CREATE INDEX incident_vehicle ON incident (vehicle_id, opened_at);

CREATE TABLE alert (
    alert_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id     bigint REFERENCES incident,
    vehicle_id      bigint NOT NULL,
    kind            text NOT NULL,
    wakes_owner     boolean NOT NULL,
    raised_at       timestamptz NOT NULL,
    written_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    cause           bigint,                     -- digest of the packet; NULL: a deadline
    late            boolean NOT NULL,
    lat             double precision,
    lon             double precision,
    evidence        jsonb NOT NULL,
    UNIQUE NULLS NOT DISTINCT (vehicle_id, incident_id, kind, cause, raised_at)
);
CREATE INDEX alert_vehicle ON alert (vehicle_id, alert_id DESC);

CREATE TABLE outbox (
    outbox_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id        bigint NOT NULL REFERENCES alert,
    account_id      bigint NOT NULL REFERENCES account,
    channel         text NOT NULL,
    state           text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'done', 'failed')),
    attempts        integer NOT NULL DEFAULT 0,
    due_at          timestamptz NOT NULL DEFAULT now(),
    claimed_until   timestamptz,
    done_at         timestamptz,
    UNIQUE (alert_id, account_id, channel)
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 'due';

CREATE TABLE notification (                     -- one attempt
    outbox_id       bigint NOT NULL REFERENCES outbox,
    attempt         integer NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    took_ms         integer NOT NULL,
    result          text NOT NULL,              -- a status code or a reason; never a body
    PRIMARY KEY (outbox_id, attempt)
);

-- ── lawful access ───────────────────────────────────────────────────────────────────────────
CREATE TABLE access_grant (
    grant_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id      bigint NOT NULL REFERENCES account,
    case_number     text NOT NULL,
    document        text NOT NULL,
    purpose         text NOT NULL,
    approved_by     bigint NOT NULL REFERENCES account,
    valid_from      timestamptz NOT NULL DEFAULT now(),
    valid_to        timestamptz NOT NULL,
    area_km2_max    double precision NOT NULL DEFAULT 100,
    hours_max       double precision NOT NULL DEFAULT 24,
    CHECK (approved_by <> account_id),
    CHECK (valid_to > valid_from)
);

CREATE TABLE audit (
    audit_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    account_id      bigint NOT NULL,
    grant_id        bigint,
    action          text NOT NULL,
    question        jsonb NOT NULL,             -- what was asked, never what was answered
    rows_returned   integer
);
