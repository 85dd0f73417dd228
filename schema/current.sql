-- The schema as all numbered files leave it: tables, indexes, views, functions, triggers, in the words of
-- PostgreSQL 15. Made by the test `the_schema_of_now_stands_in_one_file` with RIDEGUARD_UPDATE_SCHEMA=1; not applied
-- by anything.

CREATE TABLE access_grant (
    grant_id bigint DEFAULT random_id() NOT NULL,
    account_id bigint NOT NULL,
    case_number text NOT NULL,
    document text NOT NULL,
    purpose text NOT NULL,
    approved_by bigint NOT NULL,
    valid_from timestamp with time zone DEFAULT now() NOT NULL,
    valid_to timestamp with time zone NOT NULL,
    area_km2_max double precision DEFAULT 100 NOT NULL,
    hours_max double precision DEFAULT 24 NOT NULL,
    CHECK ((approved_by <> account_id)),
    CHECK ((valid_to > valid_from)),
    FOREIGN KEY (account_id) REFERENCES account(account_id),
    FOREIGN KEY (approved_by) REFERENCES account(account_id),
    PRIMARY KEY (grant_id)
);

CREATE TABLE account (
    account_id bigint DEFAULT random_id() NOT NULL,
    login text NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    unit_id bigint,
    password_hash text NOT NULL,
    webhook_url text,
    webhook_secret text,
    disabled boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CHECK ((login ~ '^[A-Za-z0-9._@-]{1,64}$'::text)),
    CHECK ((role = ANY (ARRAY['owner'::text, 'police'::text, 'operator'::text, 'admin'::text]))),
    FOREIGN KEY (unit_id) REFERENCES unit(unit_id),
    PRIMARY KEY (account_id),
    UNIQUE (login)
);

CREATE TABLE alert (
    alert_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    incident_id bigint,
    vehicle_id bigint NOT NULL,
    kind text NOT NULL,
    wakes_owner boolean NOT NULL,
    raised_at timestamp with time zone NOT NULL,
    written_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    cause bigint,
    late boolean NOT NULL,
    lat double precision,
    lon double precision,
    evidence jsonb NOT NULL,
    held_back boolean DEFAULT false NOT NULL,
    FOREIGN KEY (incident_id) REFERENCES incident(incident_id),
    PRIMARY KEY (alert_id),
    UNIQUE NULLS NOT DISTINCT (vehicle_id, incident_id, kind, cause, raised_at)
);

CREATE TABLE audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    account_id bigint,
    grant_id bigint,
    action text NOT NULL,
    question jsonb NOT NULL,
    rows_returned integer,
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    PRIMARY KEY (audit_id)
);

CREATE TABLE audit_seal (
    number bigint NOT NULL,
    ids int8multirange NOT NULL,
    rows bigint NOT NULL,
    head bytea NOT NULL,
    sealed_at timestamp with time zone NOT NULL,
    signature bytea NOT NULL,
    cluster bigint NOT NULL,
    decided xid8 NOT NULL,
    before xid8 NOT NULL,
    CHECK ((number > 0)),
    CHECK ((octet_length(head) = 32)),
    CHECK ((octet_length(signature) = 64)),
    CHECK ((rows > 0)),
    PRIMARY KEY (number)
);

CREATE TABLE bucket (
    scope text NOT NULL,
    key bigint NOT NULL,
    tokens double precision NOT NULL,
    at timestamp with time zone NOT NULL,
    CHECK ((scope = ANY (ARRAY['vehicle'::text, 'owner'::text]))),
    PRIMARY KEY (scope, key)
);

CREATE TABLE checkpoint (
    lane smallint NOT NULL,
    n bigint NOT NULL,
    written_at timestamp with time zone DEFAULT now() NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (lane, n)
);

CREATE TABLE coverage_gap (
    lane smallint NOT NULL,
    cause text NOT NULL,
    from_at timestamp with time zone NOT NULL,
    until_at timestamp with time zone NOT NULL,
    CHECK ((cause = ANY (ARRAY['connection'::text, 'session_lost'::text, 'away'::text]))),
    PRIMARY KEY (lane, from_at, until_at, cause)
);

CREATE TABLE erased_window (
    erasure_id bigint NOT NULL,
    vehicle_id bigint NOT NULL,
    tracker_id bigint,
    from_at timestamp with time zone NOT NULL,
    to_at timestamp with time zone NOT NULL,
    FOREIGN KEY (erasure_id) REFERENCES erasure(erasure_id)
);

CREATE TABLE erasure (
    erasure_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    account_id bigint NOT NULL,
    asked_by bigint NOT NULL,
    request text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    report jsonb,
    FOREIGN KEY (account_id) REFERENCES account(account_id),
    FOREIGN KEY (asked_by) REFERENCES account(account_id),
    PRIMARY KEY (erasure_id)
);

CREATE TABLE fix (
    tracker_id bigint NOT NULL,
    fixed_at timestamp with time zone NOT NULL,
    digest integer NOT NULL,
    received_at timestamp with time zone NOT NULL,
    vehicle_id bigint,
    speed_kmh real,
    course_deg real,
    altitude_m real,
    accuracy_m real,
    satellites smallint,
    source smallint NOT NULL,
    flags smallint NOT NULL,
    position geometry(Point,4326) NOT NULL,
    PRIMARY KEY (tracker_id, fixed_at, digest)
) PARTITION BY RANGE (fixed_at);

CREATE TABLE fix_late (
    tracker_id bigint NOT NULL,
    fixed_at timestamp with time zone NOT NULL,
    digest integer NOT NULL,
    received_at timestamp with time zone NOT NULL,
    vehicle_id bigint,
    speed_kmh real,
    course_deg real,
    altitude_m real,
    accuracy_m real,
    satellites smallint,
    source smallint NOT NULL,
    flags smallint NOT NULL,
    position geometry(Point,4326) NOT NULL,
    PRIMARY KEY (tracker_id, fixed_at, digest)
);

CREATE TABLE grant_vehicle (
    grant_id bigint NOT NULL,
    vehicle_id bigint NOT NULL,
    is_told boolean NOT NULL,
    FOREIGN KEY (grant_id) REFERENCES access_grant(grant_id) ON DELETE CASCADE,
    PRIMARY KEY (grant_id, vehicle_id)
);

CREATE TABLE guard_status (
    vehicle_id bigint NOT NULL,
    armed boolean NOT NULL,
    since timestamp with time zone NOT NULL,
    guard_lat double precision,
    guard_lon double precision,
    by text DEFAULT 'owner'::text NOT NULL,
    told_at timestamp with time zone,
    lane smallint,
    CHECK ((by = ANY (ARRAY['owner'::text, 'schedule'::text, 'parked'::text, 'phone'::text]))),
    PRIMARY KEY (vehicle_id)
);

CREATE TABLE guarding (
    vehicle_id bigint NOT NULL,
    schedule jsonb,
    auto_after_s integer,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    CHECK (((auto_after_s >= 60) AND (auto_after_s <= 3600))),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (vehicle_id)
);

CREATE TABLE handed_over (
    handed_over_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    lane smallint NOT NULL,
    content bytea NOT NULL,
    given_at timestamp with time zone DEFAULT now() NOT NULL,
    PRIMARY KEY (handed_over_id)
);

CREATE TABLE incident (
    incident_id bigint NOT NULL,
    vehicle_id bigint NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    ended_by text,
    state text DEFAULT 'suspected'::text NOT NULL,
    score real DEFAULT 0 NOT NULL,
    severity text DEFAULT 'low'::text NOT NULL,
    fixes_from timestamp with time zone NOT NULL,
    answer text,
    answered_at timestamp with time zone,
    version integer DEFAULT 1 NOT NULL,
    CHECK ((answer = ANY (ARRAY['me'::text, 'stolen'::text, 'recovered'::text]))),
    CHECK ((severity = ANY (ARRAY['low'::text, 'high'::text, 'critical'::text]))),
    CHECK ((state = ANY (ARRAY['suspected'::text, 'confirmed'::text, 'followed'::text, 'recovered'::text, 'closed'::text, 'false_alarm'::text]))),
    PRIMARY KEY (incident_id)
);

CREATE TABLE incident_note (
    incident_id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    kind text NOT NULL,
    detail jsonb NOT NULL,
    UNIQUE (incident_id, at, kind, detail)
);

CREATE TABLE installation (
    tracker_id bigint NOT NULL,
    vehicle_id bigint NOT NULL,
    valid_from timestamp with time zone DEFAULT now() NOT NULL,
    valid_to timestamp with time zone,
    CHECK (((valid_to IS NULL) OR (valid_to > valid_from))),
    FOREIGN KEY (tracker_id) REFERENCES tracker(tracker_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (tracker_id, valid_from)
);

CREATE TABLE journal (
    lane smallint NOT NULL,
    n bigint NOT NULL,
    written_at timestamp with time zone DEFAULT now() NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    entries integer NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (lane, n)
);

CREATE TABLE journal_base (
    lane smallint NOT NULL,
    n bigint DEFAULT 0 NOT NULL,
    at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    quarantined bigint DEFAULT 0 NOT NULL,
    PRIMARY KEY (lane)
);

CREATE TABLE journal_block (
    lane smallint NOT NULL,
    from_n bigint NOT NULL,
    key_id bigint NOT NULL,
    entries integer NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (lane, from_n, key_id)
);

CREATE TABLE journal_key (
    lane smallint NOT NULL,
    key_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    holder text NOT NULL,
    day date NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (lane, key_id)
);

CREATE TABLE journal_master (
    one boolean DEFAULT true NOT NULL,
    sealed bytea NOT NULL,
    CHECK (one),
    PRIMARY KEY (one)
);

CREATE TABLE journal_outcome (
    lane smallint NOT NULL,
    n bigint NOT NULL,
    outcomes bytea NOT NULL,
    PRIMARY KEY (lane, n)
);

CREATE TABLE journal_range (
    lane smallint NOT NULL,
    from_n bigint NOT NULL,
    to_n bigint NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    entries integer NOT NULL,
    let_go integer DEFAULT 0 NOT NULL,
    key_id bigint NOT NULL,
    frame bytea NOT NULL,
    CHECK (((to_n >= from_n) AND ((let_go >= 0) AND (let_go <= entries)))),
    PRIMARY KEY (lane, from_n)
);

CREATE TABLE journal_seam (
    lane smallint NOT NULL,
    n bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (lane, n)
);

CREATE TABLE lane (
    lane smallint NOT NULL,
    owner text,
    fence bigint DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    backend_pid integer,
    backend_start timestamp with time zone,
    journaled bigint DEFAULT 0 NOT NULL,
    applied bigint DEFAULT 0 NOT NULL,
    setting_cursor bigint DEFAULT 0 NOT NULL,
    received bigint DEFAULT 0 NOT NULL,
    stored bigint DEFAULT 0 NOT NULL,
    duplicate bigint DEFAULT 0 NOT NULL,
    quarantined bigint DEFAULT 0 NOT NULL,
    PRIMARY KEY (lane)
);

CREATE TABLE legal_hold (
    hold_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    case_number text NOT NULL,
    vehicle_id bigint NOT NULL,
    from_at timestamp with time zone NOT NULL,
    to_at timestamp with time zone NOT NULL,
    reason text NOT NULL,
    placed_by bigint NOT NULL,
    placed_at timestamp with time zone DEFAULT now() NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    released_by bigint,
    released_at timestamp with time zone,
    release_reason text,
    CHECK (((released_at IS NULL) = (released_by IS NULL))),
    CHECK ((case_number <> ''::text)),
    CHECK ((to_at > from_at)),
    FOREIGN KEY (placed_by) REFERENCES account(account_id),
    FOREIGN KEY (released_by) REFERENCES account(account_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (hold_id)
);

CREATE TABLE live_ticket (
    ticket_sha256 bytea NOT NULL,
    account_id bigint NOT NULL,
    session_sha256 bytea NOT NULL,
    grant_id bigint,
    expires_at timestamp with time zone NOT NULL,
    FOREIGN KEY (account_id) REFERENCES account(account_id) ON DELETE CASCADE,
    FOREIGN KEY (session_sha256) REFERENCES session(token_sha256) ON DELETE CASCADE,
    PRIMARY KEY (ticket_sha256)
);

CREATE TABLE migration (
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE notification (
    outbox_id bigint NOT NULL,
    attempt integer NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    took_ms integer NOT NULL,
    result text NOT NULL,
    FOREIGN KEY (outbox_id) REFERENCES outbox(outbox_id),
    PRIMARY KEY (outbox_id, attempt)
);

CREATE TABLE organisation (
    organisation_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    CHECK ((kind = ANY (ARRAY['owner'::text, 'police'::text, 'operator'::text]))),
    PRIMARY KEY (organisation_id),
    UNIQUE (name)
);

CREATE TABLE outage_part (
    lane smallint NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    began_at timestamp with time zone NOT NULL,
    noticed_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    lost integer NOT NULL,
    members integer NOT NULL,
    CHECK ((kind = ANY (ARRAY['lane'::text, 'firmware'::text, 'area'::text, 'cell'::text]))),
    PRIMARY KEY (lane, kind, name, began_at)
);

CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    alert_id bigint NOT NULL,
    account_id bigint NOT NULL,
    channel text NOT NULL,
    state text DEFAULT 'due'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    claimed_until timestamp with time zone,
    done_at timestamp with time zone,
    admitted boolean DEFAULT false NOT NULL,
    CHECK ((state = ANY (ARRAY['due'::text, 'done'::text, 'failed'::text, 'held_back'::text]))),
    FOREIGN KEY (account_id) REFERENCES account(account_id),
    FOREIGN KEY (alert_id) REFERENCES alert(alert_id),
    PRIMARY KEY (outbox_id),
    UNIQUE (alert_id, account_id, channel)
);

CREATE TABLE ownership (
    vehicle_id bigint NOT NULL,
    account_id bigint NOT NULL,
    valid_from timestamp with time zone DEFAULT now() NOT NULL,
    valid_to timestamp with time zone,
    CHECK (((valid_to IS NULL) OR (valid_to > valid_from))),
    FOREIGN KEY (account_id) REFERENCES account(account_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (vehicle_id, valid_from)
);

CREATE TABLE phone_token (
    token_sha256 bytea NOT NULL,
    vehicle_id bigint NOT NULL,
    account_id bigint NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    used_at timestamp with time zone,
    FOREIGN KEY (account_id) REFERENCES account(account_id) ON DELETE CASCADE,
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (token_sha256)
);

CREATE TABLE plate_unclear (
    vehicle_id bigint NOT NULL,
    was text NOT NULL,
    reason text NOT NULL,
    noted_at timestamp with time zone DEFAULT now() NOT NULL,
    CHECK ((reason = ANY (ARRAY['shared'::text, 'none'::text]))),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (vehicle_id)
);

CREATE TABLE quarantine (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    lane smallint NOT NULL,
    n bigint NOT NULL,
    entry integer NOT NULL,
    topic text NOT NULL,
    ident text,
    tracker_id bigint,
    reason text NOT NULL,
    detail text NOT NULL,
    security boolean NOT NULL,
    received_at timestamp with time zone NOT NULL,
    payload bytea NOT NULL,
    packets bigint DEFAULT 1 NOT NULL,
    payload_bytes bigint,
    PRIMARY KEY (quarantine_id),
    UNIQUE (lane, n, entry)
);

CREATE TABLE retention_mark (
    one boolean DEFAULT true NOT NULL,
    tracks_to timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    incident_days integer DEFAULT 36500 NOT NULL,
    case_days integer DEFAULT 36500 NOT NULL,
    ran_at timestamp with time zone DEFAULT now() NOT NULL,
    CHECK (one),
    PRIMARY KEY (one)
);

CREATE TABLE retention_run (
    ran_at timestamp with time zone DEFAULT now() NOT NULL,
    report jsonb NOT NULL,
    PRIMARY KEY (ran_at)
);

CREATE TABLE rollup_mark (
    one boolean DEFAULT true NOT NULL,
    closing_to timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    rolled_to timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    released_to timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    open_version bigint DEFAULT 0 NOT NULL,
    CHECK (one),
    PRIMARY KEY (one)
);

CREATE TABLE session (
    token_sha256 bytea NOT NULL,
    account_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    FOREIGN KEY (account_id) REFERENCES account(account_id) ON DELETE CASCADE,
    PRIMARY KEY (token_sha256)
);

CREATE TABLE setting (
    setting_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    lane smallint,
    content jsonb NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    PRIMARY KEY (setting_id)
);

CREATE TABLE track (
    tracker_id bigint NOT NULL,
    vehicle_id bigint,
    from_at timestamp with time zone NOT NULL,
    until_at timestamp with time zone NOT NULL,
    kind smallint NOT NULL,
    fixes smallint NOT NULL,
    path bytea NOT NULL,
    more bytea NOT NULL,
    cell bigint NOT NULL,
    east integer NOT NULL,
    north integer NOT NULL
) PARTITION BY RANGE (from_at);

CREATE TABLE track_open (
    tracker_id bigint NOT NULL,
    vehicle_id bigint,
    from_at timestamp with time zone NOT NULL,
    until_at timestamp with time zone NOT NULL,
    kind smallint NOT NULL,
    fixes smallint NOT NULL,
    path bytea NOT NULL,
    more bytea NOT NULL,
    cell bigint NOT NULL,
    PRIMARY KEY (tracker_id)
);

CREATE TABLE tracker (
    tracker_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    ident text NOT NULL,
    profile jsonb NOT NULL,
    unit_id bigint,
    CHECK ((ident ~ '^[A-Za-z0-9_-]{1,32}$'::text)),
    FOREIGN KEY (unit_id) REFERENCES unit(unit_id),
    PRIMARY KEY (tracker_id),
    UNIQUE (ident)
);

CREATE TABLE tracker_status (
    tracker_id bigint NOT NULL,
    vehicle_id bigint,
    last_heard_at timestamp with time zone NOT NULL,
    fixed_at timestamp with time zone,
    received_at timestamp with time zone,
    position geometry(Point,4326),
    speed_kmh real,
    course_deg real,
    accuracy_m real,
    satellites smallint,
    source smallint,
    battery_percent smallint,
    external_power boolean,
    ignition boolean,
    signal_percent smallint,
    firmware text,
    report_interval_s integer,
    CHECK ((report_interval_s > 0)),
    PRIMARY KEY (tracker_id)
);

CREATE TABLE traffic (
    hour timestamp with time zone NOT NULL,
    x integer NOT NULL,
    y integer NOT NULL,
    fixes integer NOT NULL,
    vehicles integer NOT NULL,
    PRIMARY KEY (hour, x, y)
);

CREATE TABLE unit (
    unit_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    organisation_id bigint NOT NULL,
    name text NOT NULL,
    FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id),
    PRIMARY KEY (unit_id),
    UNIQUE (organisation_id, name)
);

CREATE TABLE vehicle (
    vehicle_id bigint DEFAULT random_id() NOT NULL,
    plate text NOT NULL,
    kind text NOT NULL,
    model text DEFAULT ''::text NOT NULL,
    frame_number text,
    plate_key text GENERATED ALWAYS AS (
CASE
    WHEN (plate ~ '^erased-'::text) THEN ''::text
    ELSE plate_key(split_part(plate, '#'::text, 1))
END) STORED,
    CHECK (((plate = ('erased-'::text || vehicle_id)) OR COALESCE((plate = plate_canonical(plate)), false) OR (plate = ((COALESCE(plate_canonical(split_part(plate, '#'::text, 1)), ''::text) || '#'::text) || vehicle_id)))),
    CHECK ((kind = ANY (ARRAY['ebike'::text, 'motorcycle'::text]))),
    PRIMARY KEY (vehicle_id),
    UNIQUE (plate)
);

CREATE TABLE zone (
    zone_id bigint DEFAULT random_id() NOT NULL,
    name text NOT NULL,
    crs text DEFAULT 'wgs84'::text NOT NULL,
    shape jsonb NOT NULL,
    rule text NOT NULL,
    vehicle_id bigint,
    account_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    dwell_s integer DEFAULT 0 NOT NULL,
    schedule jsonb,
    vehicle_kind text,
    drawn_crs text DEFAULT 'wgs84'::text NOT NULL,
    CHECK ((crs = 'wgs84'::text)),
    CHECK ((drawn_crs = ANY (ARRAY['wgs84'::text, 'gcj02'::text]))),
    CHECK ((rule = ANY (ARRAY['enter'::text, 'exit'::text, 'both'::text, 'dwell'::text, 'forbidden'::text]))),
    CHECK ((vehicle_kind = ANY (ARRAY['ebike'::text, 'motorcycle'::text]))),
    FOREIGN KEY (account_id) REFERENCES account(account_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (zone_id)
);

CREATE INDEX alert_vehicle ON public.alert USING btree (vehicle_id, alert_id DESC);

CREATE INDEX audit_log_in ON public.audit USING btree (account_id) WHERE (action = 'log_in'::text);

CREATE INDEX audit_seal_before ON public.audit_seal USING btree (before);

CREATE INDEX audit_xact ON public.audit USING btree (xact);

CREATE INDEX coverage_gap_time ON public.coverage_gap USING btree (until_at DESC);

CREATE INDEX erased_window_vehicle ON public.erased_window USING btree (vehicle_id);

CREATE INDEX fix_footprint ON ONLY public.fix USING btree (date_bin('00:15:00'::interval, fixed_at, '1970-01-01 00:00:00+00'::timestamp with time zone), (
CASE
    WHEN (((flags)::integer & 8192) <> 0) THEN ('-1'::integer - (((floor(((st_y("position") + (90)::double precision) * (500)::double precision)))::bigint * 180000) + (floor(((st_x("position") + (180)::double precision) * (500)::double precision)))::bigint))
    ELSE (((floor(((st_y("position") + (90)::double precision) * (250)::double precision)))::bigint * 90000) + (floor(((st_x("position") + (180)::double precision) * (250)::double precision)))::bigint)
END)) WHERE (((flags)::integer & 4096) <> 0);

CREATE INDEX handed_over_lane_handed_over_id_idx ON public.handed_over USING btree (lane, handed_over_id);

CREATE UNIQUE INDEX incident_open ON public.incident USING btree (vehicle_id) WHERE (closed_at IS NULL);

CREATE INDEX incident_vehicle ON public.incident USING btree (vehicle_id, opened_at);

CREATE INDEX installation_history ON public.installation USING btree (vehicle_id, valid_from);

CREATE UNIQUE INDEX installation_tracker ON public.installation USING btree (tracker_id) WHERE (valid_to IS NULL);

CREATE UNIQUE INDEX installation_vehicle ON public.installation USING btree (vehicle_id) WHERE (valid_to IS NULL);

CREATE INDEX journal_block_key ON public.journal_block USING btree (lane, key_id);

CREATE INDEX journal_key_holder ON public.journal_key USING btree (holder, day);

CREATE INDEX journal_time ON public.journal USING brin (first_at);

CREATE INDEX legal_hold_vehicle ON public.legal_hold USING btree (vehicle_id);

CREATE INDEX outage_part_time ON public.outage_part USING btree (noticed_at DESC);

CREATE INDEX outbox_due ON public.outbox USING btree (due_at) WHERE (state = 'due'::text);

CREATE INDEX outbox_new ON public.outbox USING btree (outbox_id) WHERE ((state = 'due'::text) AND (NOT admitted));

CREATE INDEX ownership_account ON public.ownership USING btree (account_id);

CREATE UNIQUE INDEX ownership_current ON public.ownership USING btree (vehicle_id) WHERE (valid_to IS NULL);

CREATE INDEX phone_token_vehicle ON public.phone_token USING btree (vehicle_id);

CREATE INDEX quarantine_tracker ON public.quarantine USING btree (tracker_id, received_at DESC);

CREATE INDEX session_account ON public.session USING btree (account_id);

CREATE INDEX setting_by_lane ON public.setting USING btree (lane, setting_id);

CREATE INDEX track_box ON ONLY public.track USING btree (cell, from_at, until_at, east, north);

CREATE INDEX track_open_cell ON public.track_open USING btree (cell, from_at);

CREATE INDEX track_tracker ON ONLY public.track USING btree (tracker_id, from_at);

CREATE INDEX tracker_status_position ON public.tracker_status USING gist ("position");

CREATE UNIQUE INDEX vehicle_one_plate_each ON public.vehicle USING btree (plate_key) WHERE ((plate_key <> ''::text) AND (strpos(plate, '#'::text) = 0));

CREATE INDEX vehicle_plate_key_all ON public.vehicle USING btree (plate_key) WHERE (plate_key <> ''::text);

CREATE INDEX zone_account ON public.zone USING btree (account_id);

CREATE INDEX zone_vehicle ON public.zone USING btree (vehicle_id) WHERE (vehicle_id IS NOT NULL);

CREATE VIEW account_channel AS
 SELECT account.account_id,
    'webhook'::text AS channel,
    account.webhook_url AS address,
    account.webhook_secret AS secret,
    (NOT account.disabled) AS is_enabled
   FROM account
  WHERE (account.webhook_url IS NOT NULL);

CREATE VIEW fix_all AS
 SELECT fix.tracker_id,
    fix.vehicle_id,
    fix.fixed_at,
    fix."position",
    fix.speed_kmh
   FROM fix
  WHERE ((fix.fixed_at >= ( SELECT rollup_mark.rolled_to
           FROM rollup_mark)) AND (((fix.flags)::integer & 140) = 0))
UNION ALL
 SELECT fix_late.tracker_id,
    fix_late.vehicle_id,
    fix_late.fixed_at,
    fix_late."position",
    fix_late.speed_kmh
   FROM fix_late
  WHERE (((fix_late.flags)::integer & 140) = 0)
UNION ALL
 SELECT p.tracker_id,
    p.vehicle_id,
    f.fixed_at,
    f."position",
    f.speed_kmh
   FROM (piece_all p
     CROSS JOIN LATERAL piece_fixes(p.from_at, p.kind, p.path, p.more) f(fixed_at, "position", speed_kmh));

CREATE VIEW fix_known AS
 SELECT fix.tracker_id,
    fix.fixed_at,
    fix.digest,
    fix.received_at,
    fix.vehicle_id,
    fix.speed_kmh,
    fix.course_deg,
    fix.altitude_m,
    fix.accuracy_m,
    fix.satellites,
    fix.source,
    fix.flags,
    fix."position"
   FROM fix
  WHERE is_hot(fix.fixed_at)
UNION
 SELECT fix_late.tracker_id,
    fix_late.fixed_at,
    fix_late.digest,
    fix_late.received_at,
    fix_late.vehicle_id,
    fix_late.speed_kmh,
    fix_late.course_deg,
    fix_late.altitude_m,
    fix_late.accuracy_m,
    fix_late.satellites,
    fix_late.source,
    fix_late.flags,
    fix_late."position"
   FROM fix_late
  WHERE is_hot(fix_late.fixed_at);

CREATE VIEW held_packets AS
 SELECT t.ident,
    lane_of(t.ident) AS lane,
    GREATEST(h.from_at, i.valid_from) AS from_at,
    LEAST((h.to_at + '1 day'::interval), COALESCE(i.valid_to, 'infinity'::timestamp with time zone)) AS to_at
   FROM ((hold_in_force h
     JOIN installation i USING (vehicle_id))
     JOIN tracker t USING (tracker_id))
  WHERE ((i.valid_from < (h.to_at + '1 day'::interval)) AND (COALESCE(i.valid_to, 'infinity'::timestamp with time zone) > h.from_at));

CREATE VIEW hold_in_force AS
 SELECT legal_hold.hold_id,
    legal_hold.case_number,
    legal_hold.vehicle_id,
    legal_hold.from_at,
    legal_hold.to_at,
    legal_hold.reason,
    legal_hold.placed_by,
    legal_hold.placed_at,
    legal_hold.ends_at,
    legal_hold.released_by,
    legal_hold.released_at,
    legal_hold.release_reason
   FROM legal_hold
  WHERE ((legal_hold.released_at IS NULL) AND (legal_hold.ends_at > now()));

CREATE VIEW piece_all AS
 SELECT track.tracker_id,
    track.vehicle_id,
    track.from_at,
    track.until_at,
    track.kind,
    track.fixes,
    track.path,
    track.more
   FROM track
UNION ALL
 SELECT track_open.tracker_id,
    track_open.vehicle_id,
    track_open.from_at,
    track_open.until_at,
    track_open.kind,
    track_open.fixes,
    track_open.path,
    track_open.more
   FROM track_open;

CREATE VIEW track_shape AS
 SELECT piece_all.tracker_id,
    piece_all.vehicle_id,
    piece_all.from_at,
    piece_all.until_at,
        CASE piece_all.kind
            WHEN 1 THEN 'ride'::text
            ELSE 'dwell'::text
        END AS kind,
    piece_all.fixes,
    st_force2d(st_setsrid(st_geomfromtwkb(piece_all.path), 4326)) AS shape
   FROM piece_all;

CREATE VIEW tracker_health AS
 SELECT t.tracker_id,
    t.ident,
    (t.profile ->> 'protocol'::text) AS protocol,
    v.plate,
    o.name AS organisation,
    s.last_heard_at,
    contact_of(s.last_heard_at, s.report_interval_s) AS state,
    s.battery_percent,
    s.signal_percent,
    s.satellites,
    s.firmware,
    s.report_interval_s
   FROM (((((tracker t
     LEFT JOIN tracker_status s USING (tracker_id))
     LEFT JOIN installation n ON (((n.tracker_id = t.tracker_id) AND (n.valid_to IS NULL))))
     LEFT JOIN vehicle v ON ((v.vehicle_id = n.vehicle_id)))
     LEFT JOIN unit u ON ((u.unit_id = t.unit_id)))
     LEFT JOIN organisation o USING (organisation_id));

CREATE OR REPLACE FUNCTION public.add_setting(p_lane smallint, p_content jsonb)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE id bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    INSERT INTO setting (lane, content) VALUES (p_lane, p_content) RETURNING setting_id INTO id;
    PERFORM pg_notify('setting', coalesce(p_lane::text, '*'));
    RETURN id;
END $function$;

CREATE OR REPLACE FUNCTION public.admit_notifications(p_limit integer, p_vehicle_burst double precision, p_vehicle_every_s double precision, p_owner_burst double precision, p_owner_every_s double precision)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    o        record;
    passes   boolean;
    held     integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7241003);
    FOR o IN
        SELECT b.outbox_id, b.account_id, a.vehicle_id, a.raised_at, NOT EXISTS (
            SELECT FROM alert e WHERE e.vehicle_id = a.vehicle_id AND e.incident_id = a.incident_id AND e.alert_id < a.alert_id) AS is_first
        FROM outbox b JOIN alert a USING (alert_id) WHERE b.state = 'due' AND NOT b.admitted ORDER BY b.outbox_id LIMIT p_limit
    LOOP
        passes := take_token('vehicle', o.vehicle_id, o.raised_at, p_vehicle_burst, p_vehicle_every_s)
            AND take_token('owner', o.account_id, o.raised_at, p_owner_burst, p_owner_every_s);
        IF passes OR o.is_first THEN
            UPDATE outbox SET admitted = true WHERE outbox_id = o.outbox_id;
        ELSE
            UPDATE outbox SET state = 'held_back' WHERE outbox_id = o.outbox_id;
            held := held + 1;
        END IF;
    END LOOP;
    RETURN held;
END $function$;

CREATE OR REPLACE FUNCTION public.alert_as_json(p_alert bigint)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('id', a.alert_id::text, 'vehicle_id', a.vehicle_id::text, 'plate', v.plate, 'kind', a.kind,
        'raised_at', a.raised_at, 'late', a.late, 'wakes_owner', a.wakes_owner,
        'held_back', a.held_back OR EXISTS (SELECT FROM outbox o WHERE o.alert_id = a.alert_id AND o.state = 'held_back'),
        'incident_id', a.incident_id::text, 'lat', a.lat, 'lon', a.lon)
    FROM alert a LEFT JOIN vehicle v USING (vehicle_id) WHERE a.alert_id = p_alert
$function$;

CREATE OR REPLACE FUNCTION public.api_account(p_login text)
 RETURNS TABLE(account_id bigint, name text, role text, password_hash text)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT account_id, name, role, password_hash FROM account WHERE login = p_login AND NOT disabled
$function$;

CREATE OR REPLACE FUNCTION public.api_add_zone(p_account bigint, p_role text, p_zone jsonb)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    z          zone;
    of_vehicle bigint := (p_zone ->> 'vehicle_id')::bigint;
    most       integer := CASE WHEN p_role = 'owner' THEN 100 ELSE 100000 END;
BEGIN
    PERFORM check_zone(p_zone -> 'shape');
    PERFORM pg_advisory_xact_lock(7241001);
    IF p_role = 'owner' AND (of_vehicle IS NULL OR NOT owns(p_account, of_vehicle)) THEN
        RAISE EXCEPTION 'no vehicle % of yours', coalesce(of_vehicle::text, '(none)') USING ERRCODE = 'P0404';
    END IF;
    IF p_role <> 'owner' AND of_vehicle IS NOT NULL THEN
        PERFORM refuse('P0403', 'zone_of_owner', 'only the owner makes zones for a vehicle');
    END IF;
    IF (SELECT count(*) FROM zone WHERE account_id = p_account) >= most THEN
        PERFORM refuse('P0409', 'zones_full', format('an account of this role has at most %s zones', most), jsonb_build_object('max', most));
    END IF;
    INSERT INTO zone (name, rule, shape, vehicle_id, account_id, dwell_s, schedule, vehicle_kind, drawn_crs)
    VALUES (p_zone ->> 'name', p_zone ->> 'rule', p_zone -> 'shape', of_vehicle, p_account, (p_zone ->> 'dwell_s')::integer,
        nullif(p_zone -> 'schedule', 'null'), p_zone ->> 'vehicle_kind', p_zone ->> 'drawn_crs') RETURNING * INTO z;
    RETURN NEXT zone_as_json(z) || jsonb_build_object('mine', true);
END $function$;

CREATE OR REPLACE FUNCTION public.api_alert_news(p_alert bigint)
 RETURNS TABLE(account_id bigint, alert jsonb)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT w.account_id, alert_as_json(a.alert_id) FROM alert a JOIN ownership w USING (vehicle_id)
    WHERE a.alert_id = p_alert AND w.valid_to IS NULL AND a.raised_at >= w.valid_from
$function$;

CREATE OR REPLACE FUNCTION public.api_answer(p_account bigint, p_incident bigint, p_answer text, p_version integer, p_withdraw boolean)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    i       incident := incident_of(p_account, p_incident);
    lane    smallint := carrier_lane(i.vehicle_id);
    changes boolean := i.answer IS NOT NULL AND i.answer <> p_answer;
BEGIN
    IF i.incident_id IS NULL THEN RETURN NULL; END IF;
    IF lane IS NULL THEN
        PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');
    END IF;
    IF coalesce(p_version <> i.version, changes) THEN
        PERFORM refuse('P0409', 'incident_changed', format('the incident is at version %s by now; look at it and answer again', i.version),
            jsonb_build_object('version', i.version, 'given', p_version));
    END IF;
    IF i.answer = p_answer AND (p_answer <> 'stolen' OR i.closed_at IS NULL) THEN
        PERFORM refuse('P0409', 'already_answered', 'the incident has this answer already', jsonb_build_object('answer', p_answer));
    END IF;
    IF i.closed_at IS NOT NULL AND (changes OR p_answer = 'stolen') AND NOT (
        p_answer = 'stolen' AND i.state = 'false_alarm' AND i.answer = 'me' AND i.closed_at > now() - incident_reopen_max()
        AND NOT EXISTS (SELECT FROM incident o WHERE o.vehicle_id = i.vehicle_id AND o.closed_at IS NULL)) THEN
        PERFORM refuse('P0409', 'incident_closed', 'the incident is over; its answer stands', jsonb_build_object('state', i.state));
    END IF;
    IF i.answer = 'stolen' AND p_answer = 'me' AND NOT p_withdraw THEN
        PERFORM refuse('P0409', 'confirm_withdrawal', 'the incident is answered "stolen"; taking that back needs "withdraw": true');
    END IF;
    PERFORM write_audit(p_account, NULL, 'answer', jsonb_build_object('incident', p_incident::text, 'answer', p_answer), NULL);
    RETURN add_setting(lane, jsonb_build_object('kind', 'answer', 'vehicle', i.vehicle_id, 'incident', p_incident, 'answer', p_answer,
        'seen', jsonb_build_object('answer', i.answer)));
END $function$;

CREATE OR REPLACE FUNCTION public.api_arm(p_account bigint, p_vehicle bigint, p_armed boolean)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE carrier text;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(p_account, p_vehicle) THEN RETURN NULL; END IF;
    SELECT t.ident INTO carrier FROM installation n JOIN tracker t USING (tracker_id) WHERE n.vehicle_id = p_vehicle AND n.valid_to IS NULL;
    IF carrier IS NULL THEN
        PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');
    END IF;
    PERFORM write_audit(p_account, NULL, CASE WHEN p_armed THEN 'arm' ELSE 'disarm' END, jsonb_build_object('vehicle', p_vehicle), NULL);
    RETURN add_setting(lane_of(carrier), jsonb_build_object('kind', CASE WHEN p_armed THEN 'arm' ELSE 'disarm' END, 'vehicle', p_vehicle));
END $function$;

CREATE OR REPLACE FUNCTION public.api_audit_event(p_account bigint, p_event text, p_question jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    IF p_event NOT IN ('refused', 'log_in', 'log_in_failed', 'log_out') THEN
        PERFORM refuse('P0400', 'refused', format('no event is called %s', p_event));
    END IF;
    PERFORM write_audit(p_account, NULL, p_event, p_question, NULL);
END $function$;

CREATE OR REPLACE FUNCTION public.api_audit_live(p_account bigint, p_grant bigint, p_view jsonb, p_rows integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    -- The last row of a stream counts what was told while its grant was in force.
    IF p_grant IS NOT NULL AND p_view ->> 'why' IS DISTINCT FROM 'end' THEN PERFORM check_grant(p_account, p_grant); END IF;
    PERFORM write_audit(p_account, p_grant, 'live', p_view, p_rows);
END $function$;

CREATE OR REPLACE FUNCTION public.api_change_zone(p_account bigint, p_id bigint, p_zone jsonb)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE z zone;
BEGIN
    PERFORM check_zone(p_zone -> 'shape');
    PERFORM pg_advisory_xact_lock(7241001);
    UPDATE zone SET name = p_zone ->> 'name', rule = p_zone ->> 'rule', shape = p_zone -> 'shape', dwell_s = (p_zone ->> 'dwell_s')::integer,
        schedule = nullif(p_zone -> 'schedule', 'null'), vehicle_kind = p_zone ->> 'vehicle_kind', drawn_crs = p_zone ->> 'drawn_crs'
    WHERE zone_id = p_id AND account_id = p_account RETURNING * INTO z;
    IF FOUND THEN RETURN NEXT zone_as_json(z) || jsonb_build_object('mine', true); END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.api_close_session(p_token bytea)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    DELETE FROM session WHERE token_sha256 = p_token
$function$;

CREATE OR REPLACE FUNCTION public.api_coverage_gaps(p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    WITH marked AS (
        SELECT *, from_at > max(until_at) OVER (same ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + interval '10 seconds' AS is_another
        FROM coverage_gap WHERE until_at > now() - interval '7 days'
        WINDOW same AS (PARTITION BY cause ORDER BY from_at)),
    numbered AS (SELECT *, count(*) FILTER (WHERE is_another) OVER (PARTITION BY cause ORDER BY from_at) AS n FROM marked)
    SELECT jsonb_build_object('cause', cause, 'from', min(from_at), 'to', max(until_at), 'lanes', count(DISTINCT lane))
    FROM numbered GROUP BY cause, n ORDER BY max(until_at) DESC LIMIT p_limit
$function$;

CREATE OR REPLACE FUNCTION public.api_delete_zone(p_account bigint, p_zone bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    DELETE FROM zone WHERE zone_id = p_zone AND account_id = p_account;
    RETURN FOUND;
END $function$;

CREATE OR REPLACE FUNCTION public.api_guarding(p_account bigint, p_vehicle bigint)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT jsonb_build_object('armed', coalesce(s.armed, false), 'by', s.by, 'since', s.since, 'schedule', g.schedule, 'auto_after_s', g.auto_after_s,
        'phones', (SELECT count(*) FROM phone_token p WHERE p.vehicle_id = p_vehicle AND p.account_id = p_account))
    FROM vehicle v LEFT JOIN guarding g USING (vehicle_id) LEFT JOIN guard_status s USING (vehicle_id)
    WHERE v.vehicle_id = p_vehicle AND owns(p_account, p_vehicle)
$function$;

CREATE OR REPLACE FUNCTION public.api_history_tile(p_account bigint, p_role text, p_grant bigint, p_z integer, p_x integer, p_y integer, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS bytea
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    IF p_role = 'police' THEN
        PERFORM check_window(check_grant(p_account, p_grant), p_from, p_to);
    ELSE
        p_grant := NULL;
    END IF;
    PERFORM write_audit(p_account, p_grant, 'history', jsonb_build_object('tile', jsonb_build_array(p_z, p_x, p_y), 'from', p_from, 'to', p_to), NULL);
    RETURN history_tile(p_z, p_x, p_y, p_from, p_to);
END $function$;

CREATE OR REPLACE FUNCTION public.api_holds(p_account bigint, p_grant bigint, p_before bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    the_case text := holds_seen(p_account, p_grant);
    returned integer;
BEGIN
    RETURN QUERY SELECT hold_as_json(h.hold_id) FROM legal_hold h
        WHERE (the_case IS NULL OR h.case_number = the_case) AND (p_before IS NULL OR h.hold_id < p_before)
        ORDER BY h.hold_id DESC LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'holds', jsonb_build_object('case', the_case), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_incident_news(p_incident bigint)
 RETURNS TABLE(account_id bigint, incident jsonb)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT w.account_id, jsonb_build_object('id', i.incident_id::text, 'vehicle_id', i.vehicle_id::text, 'state', i.state, 'answer', i.answer,
        'version', i.version, 'opened_at', i.opened_at, 'closed_at', i.closed_at)
    FROM incident i JOIN ownership w USING (vehicle_id)
    WHERE i.incident_id = p_incident AND w.valid_to IS NULL AND i.opened_at >= w.valid_from
$function$;

CREATE OR REPLACE FUNCTION public.api_known_logins(p_limit integer)
 RETURNS SETOF text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT p.login FROM account p WHERE NOT p.disabled
        AND EXISTS (SELECT FROM audit a WHERE a.account_id = p.account_id AND a.action = 'log_in') LIMIT p_limit
$function$;

CREATE OR REPLACE FUNCTION public.api_live_positions()
 RETURNS TABLE(vehicle_id bigint, plate text, lat double precision, lon double precision, fixed_at timestamp with time zone, speed_kmh real, armed boolean, incident boolean, account_id bigint)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT v.vehicle_id, v.plate, ST_Y(s.position), ST_X(s.position), s.fixed_at, s.speed_kmh, coalesce(g.armed, false), i.incident_id IS NOT NULL, w.account_id
    FROM vehicle v JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL
    LEFT JOIN tracker_status s ON s.tracker_id = n.tracker_id LEFT JOIN guard_status g ON g.vehicle_id = v.vehicle_id
    LEFT JOIN incident i ON i.vehicle_id = v.vehicle_id AND i.closed_at IS NULL
    LEFT JOIN ownership w ON w.vehicle_id = v.vehicle_id AND w.valid_to IS NULL
$function$;

CREATE OR REPLACE FUNCTION public.api_live_right(p_session bytea, p_grant bigint)
 RETURNS TABLE(goes_on boolean, owned bigint[], owned_since timestamp with time zone[], area_km2_max double precision)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT p.role <> 'police' OR g.grant_id IS NOT NULL,
           ARRAY(SELECT w.vehicle_id FROM ownership w WHERE w.account_id = p.account_id AND w.valid_to IS NULL ORDER BY 1),
           ARRAY(SELECT w.valid_from FROM ownership w WHERE w.account_id = p.account_id AND w.valid_to IS NULL ORDER BY w.vehicle_id),
           g.area_km2_max
    FROM session s JOIN account p USING (account_id)
    LEFT JOIN access_grant g ON p.role = 'police' AND g.grant_id = p_grant AND g.account_id = p.account_id AND now() BETWEEN g.valid_from AND g.valid_to
    WHERE s.token_sha256 = p_session AND s.expires_at > now() AND NOT p.disabled
$function$;

CREATE OR REPLACE FUNCTION public.api_make_phone(p_account bigint, p_vehicle bigint, p_token bytea)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(p_account, p_vehicle) THEN RETURN false; END IF;
    IF (SELECT count(*) FROM phone_token WHERE vehicle_id = p_vehicle AND account_id = p_account) >= 5 THEN
        PERFORM refuse('P0409', 'phones_full', 'a vehicle has at most 5 phones; remove them first', '{"max": 5}');
    END IF;
    PERFORM write_audit(p_account, NULL, 'phone', jsonb_build_object('vehicle', p_vehicle), NULL);
    INSERT INTO phone_token (token_sha256, vehicle_id, account_id) VALUES (p_token, p_vehicle, p_account);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_alerts(p_account bigint, p_before bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT alert_as_json(a.alert_id) FROM alert a JOIN ownership w USING (vehicle_id)
    WHERE w.account_id = p_account AND w.valid_to IS NULL AND a.raised_at >= w.valid_from
      AND (p_before IS NULL OR a.alert_id < p_before)
    ORDER BY a.alert_id DESC LIMIT p_limit
$function$;

CREATE OR REPLACE FUNCTION public.api_my_grants(p_account bigint)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT jsonb_build_object('id', grant_id::text, 'case_number', case_number, 'purpose', purpose, 'valid_to', valid_to,
        'area_km2_max', area_km2_max, 'hours_max', hours_max)
    FROM access_grant WHERE account_id = p_account AND now() BETWEEN valid_from AND valid_to ORDER BY valid_from, grant_id
$function$;

CREATE OR REPLACE FUNCTION public.api_my_incident(p_account bigint, p_incident bigint)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT incident_as_json(i) || jsonb_build_object(
        'alerts', coalesce((SELECT jsonb_agg(alert_as_json(a.alert_id) || jsonb_build_object('evidence', a.evidence) ORDER BY a.alert_id)
                   FROM alert a WHERE a.vehicle_id = i.vehicle_id AND a.incident_id = i.incident_id), '[]'),
        'timeline', coalesce((SELECT jsonb_agg(line ORDER BY at, is_note) FROM (
                SELECT a.raised_at AS at, false AS is_note, jsonb_build_object('at', a.raised_at, 'kind', 'alert', 'alert', a.kind) AS line
                FROM alert a WHERE a.vehicle_id = i.vehicle_id AND a.incident_id = i.incident_id
                UNION ALL
                SELECT n.at, true, jsonb_build_object('kind', n.kind) || n.detail - 'note' - 'at' || jsonb_build_object('at', n.at)
                    || CASE WHEN n.detail ? 'at' THEN jsonb_build_object('happened_at', to_timestamp((n.detail ->> 'at')::float8 / 1e6)) ELSE '{}' END
                FROM incident_note n WHERE n.incident_id = i.incident_id) lines), '[]'))
    FROM incident_of(p_account, p_incident) i WHERE i.incident_id IS NOT NULL
$function$;

CREATE OR REPLACE FUNCTION public.api_my_incidents(p_account bigint, p_before timestamp with time zone, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT incident_as_json(i) FROM incident i JOIN ownership w USING (vehicle_id)
    WHERE w.account_id = p_account AND w.valid_to IS NULL AND i.opened_at >= w.valid_from AND (p_before IS NULL OR i.opened_at < p_before)
    ORDER BY i.opened_at DESC LIMIT p_limit
$function$;

CREATE OR REPLACE FUNCTION public.api_my_pieces(p_account bigint, p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS SETOF found
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE since timestamptz;
BEGIN
    SELECT valid_from INTO since FROM ownership WHERE account_id = p_account AND vehicle_id = p_vehicle AND valid_to IS NULL;
    IF since IS NULL THEN RAISE EXCEPTION 'no vehicle % of yours', p_vehicle USING ERRCODE = 'P0404'; END IF;
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, greatest(p_from, since), p_to);
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_vehicle(p_account bigint, p_vehicle bigint)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT owned_vehicle_as_json(w.vehicle_id, w.valid_from) FROM ownership w
    WHERE w.account_id = p_account AND w.vehicle_id = p_vehicle AND w.valid_to IS NULL
$function$;

CREATE OR REPLACE FUNCTION public.api_my_vehicles(p_account bigint)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT owned_vehicle_as_json(w.vehicle_id, w.valid_from) FROM ownership w JOIN vehicle v USING (vehicle_id)
    WHERE w.account_id = p_account AND w.valid_to IS NULL ORDER BY v.plate
$function$;

CREATE OR REPLACE FUNCTION public.api_open_live(p_account bigint, p_role text, p_grant bigint, p_ticket bytea, p_session bytea)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE until timestamptz := now() + interval '30 seconds';
BEGIN
    IF p_role = 'police' THEN PERFORM check_grant(p_account, p_grant); END IF;
    DELETE FROM live_ticket WHERE expires_at < now();
    INSERT INTO live_ticket VALUES (p_ticket, p_account, p_session, CASE WHEN p_role = 'police' THEN p_grant END, until);
    RETURN until;
END $function$;

CREATE OR REPLACE FUNCTION public.api_open_session(p_token bytea, p_account bigint, p_seconds double precision)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE until timestamptz := now() + make_interval(secs => p_seconds);
BEGIN
    DELETE FROM session WHERE expires_at < now();
    INSERT INTO session (token_sha256, account_id, expires_at) VALUES (p_token, p_account, until);
    RETURN until;
END $function$;

CREATE OR REPLACE FUNCTION public.api_outages(p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    WITH marked AS (
        SELECT *, began_at - lag(began_at) OVER same > interval '20 minutes' AS is_another
        FROM outage_part WHERE noticed_at > now() - interval '7 days'
        WINDOW same AS (PARTITION BY kind, name ORDER BY began_at)),
    numbered AS (SELECT *, count(*) FILTER (WHERE is_another) OVER (PARTITION BY kind, name ORDER BY began_at) AS n FROM marked)
    SELECT jsonb_build_object('kind', kind, 'name', name, 'began_at', min(began_at), 'noticed_at', min(noticed_at),
        'ended_at', CASE WHEN bool_and(ended_at IS NOT NULL) THEN max(ended_at) END, 'lost', sum(lost), 'members', sum(members), 'lanes', count(*))
    FROM numbered GROUP BY kind, name, n ORDER BY min(noticed_at) DESC LIMIT p_limit
$function$;

CREATE OR REPLACE FUNCTION public.api_phone(p_token bytea)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE t phone_token;
BEGIN
    UPDATE phone_token SET used_at = now() WHERE token_sha256 = p_token RETURNING * INTO t;
    IF t.vehicle_id IS NULL OR NOT owns(t.account_id, t.vehicle_id) OR carrier_lane(t.vehicle_id) IS NULL THEN RETURN NULL; END IF;
    PERFORM write_audit(t.account_id, NULL, 'phone_is_with', jsonb_build_object('vehicle', t.vehicle_id), NULL);
    RETURN add_setting(carrier_lane(t.vehicle_id), jsonb_build_object('kind', 'phone', 'vehicle', t.vehicle_id));
END $function$;

CREATE OR REPLACE FUNCTION public.api_place_hold(p_account bigint, p_grant bigint, p_case text, p_plate text, p_from timestamp with time zone, p_to timestamp with time zone, p_ends timestamp with time zone, p_reason text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE id bigint := place_hold(p_account, p_grant, p_case, p_plate, p_from, p_to, p_ends, p_reason);
BEGIN
    IF p_grant IS NOT NULL THEN
        PERFORM note_found(p_grant, ARRAY(SELECT vehicle_id FROM legal_hold WHERE hold_id = id));
    END IF;
    RETURN hold_as_json(id);    -- a statement of its own: it sees what the one before has written
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_company(p_account bigint, p_grant bigint, p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone, p_within_m double precision, p_within_s double precision, p_most integer)
 RETURNS SETOF found
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET work_mem TO '32MB'
AS $function$
DECLARE
    g        access_grant := check_grant(p_account, p_grant);
    returned integer;
BEGIN
    PERFORM check_window(g, p_from, p_to);
    PERFORM note_found(p_grant, ARRAY[p_vehicle]);
    RETURN QUERY WITH hit AS MATERIALIZED (
            SELECT * FROM rides_beside(p_vehicle, p_from, p_to, p_within_m, p_within_s) LIMIT p_most + 1),
        noted AS (
            INSERT INTO grant_vehicle (grant_id, vehicle_id, is_told)
            SELECT DISTINCT p_grant, h.vehicle_id, false FROM hit h WHERE h.vehicle_id IS NOT NULL ORDER BY 2 ON CONFLICT DO NOTHING),
        audited AS (
            INSERT INTO audit (account_id, grant_id, action, question, rows_returned)
            SELECT p_account, p_grant, 'company', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to, 'within_m', p_within_m, 'within_s', p_within_s),
                count(DISTINCT h.vehicle_id) FILTER (WHERE h.vehicle_id <> p_vehicle)
            FROM hit h)
        SELECT * FROM hit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF returned > p_most THEN
        PERFORM refuse('P0400', 'too_many_rides', format('more than %s rides were near this vehicle; ask for less than the %s hours', p_most,
            round(extract(epoch FROM p_to - p_from) / 3600, 1)), jsonb_build_object('max', p_most, 'hours', round(extract(epoch FROM p_to - p_from) / 3600, 1)));
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_names(p_account bigint, p_grant bigint, p_vehicles bigint[])
 RETURNS TABLE(vehicle_id bigint, plate text, tracker text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
BEGIN
    PERFORM check_grant(p_account, p_grant);
    PERFORM note_found(p_grant, ARRAY(SELECT f.vehicle_id FROM grant_vehicle f WHERE f.grant_id = p_grant AND f.vehicle_id = ANY (p_vehicles)));
    RETURN QUERY SELECT v.vehicle_id, v.plate, (SELECT t.ident FROM installation n JOIN tracker t USING (tracker_id)
            WHERE n.vehicle_id = v.vehicle_id ORDER BY n.valid_from DESC LIMIT 1)
        FROM grant_vehicle f JOIN vehicle v USING (vehicle_id) WHERE f.grant_id = p_grant AND f.vehicle_id = ANY (p_vehicles);
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_near(p_account bigint, p_grant bigint, p_area text, p_from timestamp with time zone, p_to timestamp with time zone, p_beyond interval, p_most integer)
 RETURNS SETOF found
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET work_mem TO '32MB'
AS $function$
DECLARE
    g        access_grant := check_grant(p_account, p_grant);
    area     geometry := ST_GeomFromText(p_area);
    returned integer;
BEGIN
    PERFORM check_area(g, ST_SetSRID(area, 4326));
    PERFORM check_window(g, p_from, p_to);
    RETURN QUERY WITH hit AS MATERIALIZED (
            SELECT * FROM pieces_near(ST_Envelope(area), p_from - p_beyond, p_to + p_beyond) LIMIT p_most + 1),
        noted AS (
            INSERT INTO grant_vehicle (grant_id, vehicle_id, is_told)
            SELECT DISTINCT p_grant, h.vehicle_id, false FROM hit h WHERE h.vehicle_id IS NOT NULL ORDER BY 2 ON CONFLICT DO NOTHING),
        audited AS (
            INSERT INTO audit (account_id, grant_id, action, question, rows_returned)
            SELECT p_account, p_grant, 'area', jsonb_build_object('area', ST_AsGeoJSON(area)::jsonb, 'from', p_from, 'to', p_to), count(DISTINCT h.vehicle_id)
            FROM hit h)
        SELECT * FROM hit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF returned > p_most THEN
        PERFORM refuse('P0400', 'too_many_pieces', format('more than %s pieces of tracks touch this area in this time; ask for less than the %s hours, or for a smaller area',
            p_most, round(extract(epoch FROM p_to - p_from) / 3600, 1)), jsonb_build_object('max', p_most, 'hours', round(extract(epoch FROM p_to - p_from) / 3600, 1)));
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_newest(p_account bigint, p_grant bigint, p_vehicles bigint[])
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE returned integer;
BEGIN
    PERFORM check_grant(p_account, p_grant);
    RETURN QUERY SELECT vehicle_as_json(v) FROM unnest(p_vehicles) v
        WHERE EXISTS (SELECT FROM grant_vehicle f WHERE f.grant_id = p_grant AND f.vehicle_id = v AND f.is_told) AND EXISTS (SELECT FROM vehicle k WHERE k.vehicle_id = v);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'newest', jsonb_build_object('vehicles', p_vehicles), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_newest_in(p_account bigint, p_grant bigint, p_west double precision, p_south double precision, p_east double precision, p_north double precision, p_limit integer)
 RETURNS TABLE(vehicle_id bigint, plate text, fixed_at timestamp with time zone, lon double precision, lat double precision, speed_kmh real)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    g        access_grant := check_grant(p_account, p_grant);
    box      geometry := ST_MakeEnvelope(p_west, p_south, p_east, p_north, 4326);
    returned integer;
BEGIN
    PERFORM check_area(g, box);
    RETURN QUERY WITH hit AS MATERIALIZED (
            SELECT n.vehicle_id, v.plate, n.fixed_at, n.lon, n.lat, n.speed_kmh FROM newest_in(box, p_limit) n JOIN vehicle v USING (vehicle_id)),
        noted AS (
            INSERT INTO grant_vehicle (grant_id, vehicle_id, is_told) SELECT DISTINCT p_grant, h.vehicle_id, true FROM hit h ORDER BY 2
            ON CONFLICT (grant_id, vehicle_id) DO UPDATE SET is_told = true WHERE NOT grant_vehicle.is_told)
        SELECT * FROM hit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'newest', jsonb_build_object('box', jsonb_build_array(p_west, p_south, p_east, p_north)), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_pieces(p_account bigint, p_grant bigint, p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS SETOF found
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE returned integer;
BEGIN
    PERFORM check_window(check_grant(p_account, p_grant), p_from, p_to);
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, p_from, p_to);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM note_found(p_grant, ARRAY[p_vehicle]);
    PERFORM write_audit(p_account, p_grant, 'track', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to), least(returned, 1));
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_vehicles(p_account bigint, p_grant bigint, p_text text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    sought_key   text := plate_key(split_part(normalize(p_text, NFKC), '#', 1));
    sought_ident text := lower(btrim(normalize(p_text, NFKC)));
    hits         bigint[];
    named        bigint[];
BEGIN
    PERFORM check_grant(p_account, p_grant);
    -- The plate itself comes first, whatever else holds it.
    hits := ARRAY(SELECT v.vehicle_id FROM vehicle v
        LEFT JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL LEFT JOIN tracker t USING (tracker_id)
        WHERE (sought_key <> '' AND strpos(v.plate_key, sought_key) > 0) OR (sought_ident <> '' AND strpos(lower(t.ident), sought_ident) > 0)
        ORDER BY v.plate_key <> sought_key, v.plate LIMIT 50);
    named := CASE WHEN cardinality(hits) <= 5 THEN hits
        ELSE ARRAY(SELECT v.vehicle_id FROM vehicle v WHERE v.vehicle_id = ANY (hits) AND v.plate_key = sought_key) END;
    PERFORM note_found(p_grant, named);
    PERFORM write_audit(p_account, p_grant, 'vehicles', jsonb_build_object('text', p_text), cardinality(hits));
    RETURN QUERY SELECT vehicle_as_json(h.id) || CASE WHEN h.id = ANY (named) THEN '{}' ELSE '{"last_fix": null, "guard_point": null}' END::jsonb
        FROM unnest(hits) WITH ORDINALITY AS h (id, n) ORDER BY h.n;
END $function$;

CREATE OR REPLACE FUNCTION public.api_release_hold(p_account bigint, p_grant bigint, p_hold bigint, p_reason text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE the_case text := holds_seen(p_account, p_grant);
BEGIN
    IF NOT EXISTS (SELECT FROM legal_hold WHERE hold_id = p_hold AND (the_case IS NULL OR case_number = the_case)) THEN
        RAISE EXCEPTION 'there is no hold %', p_hold USING ERRCODE = 'P0404';
    END IF;
    PERFORM release_hold(p_account, p_grant, p_hold, p_reason);
    RETURN hold_as_json(p_hold);
END $function$;

CREATE OR REPLACE FUNCTION public.api_remove_phones(p_account bigint, p_vehicle bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(p_account, p_vehicle) THEN RETURN false; END IF;
    PERFORM write_audit(p_account, NULL, 'phones_removed', jsonb_build_object('vehicle', p_vehicle), NULL);
    DELETE FROM phone_token WHERE vehicle_id = p_vehicle AND account_id = p_account;
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.api_session(p_token bytea)
 RETURNS TABLE(account_id bigint, login text, name text, role text, organisation text)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT p.account_id, p.login, p.name, p.role, o.name FROM session s JOIN account p USING (account_id)
    LEFT JOIN unit u USING (unit_id) LEFT JOIN organisation o USING (organisation_id)
    WHERE s.token_sha256 = p_token AND s.expires_at > now() AND NOT p.disabled
$function$;

CREATE OR REPLACE FUNCTION public.api_set_guarding(p_account bigint, p_vehicle bigint, p_schedule jsonb, p_auto_after_s integer)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(p_account, p_vehicle) THEN RETURN NULL; END IF;
    IF carrier_lane(p_vehicle) IS NULL THEN
        PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');
    END IF;
    INSERT INTO guarding (vehicle_id, schedule, auto_after_s) VALUES (p_vehicle, nullif(p_schedule, 'null'), p_auto_after_s)
    ON CONFLICT (vehicle_id) DO UPDATE SET schedule = EXCLUDED.schedule, auto_after_s = EXCLUDED.auto_after_s, changed_at = now();
    PERFORM write_audit(p_account, NULL, 'guarding', jsonb_build_object('vehicle', p_vehicle, 'schedule', p_schedule, 'auto_after_s', p_auto_after_s), NULL);
    RETURN tell_guarding(p_vehicle);
END $function$;

CREATE OR REPLACE FUNCTION public.api_setting_applied(p_setting bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT bool_and(l.setting_cursor >= s.setting_id AND l.applied >= l.journaled)
    FROM setting s JOIN lane l ON s.lane IS NULL OR l.lane = s.lane WHERE s.setting_id = p_setting
$function$;

CREATE OR REPLACE FUNCTION public.api_switch(p_account bigint, p_vehicle bigint, p_armed boolean, p_withdraw boolean)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    IF NOT p_withdraw AND owns(p_account, p_vehicle)
        AND EXISTS (SELECT FROM incident WHERE vehicle_id = p_vehicle AND closed_at IS NULL AND answer = 'stolen') THEN
        PERFORM refuse('P0409', 'confirm_withdrawal', 'the incident is answered "stolen"; taking that back needs "withdraw": true');
    END IF;
    RETURN api_arm(p_account, p_vehicle, p_armed);
END $function$;

CREATE OR REPLACE FUNCTION public.api_tracker_counts()
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT jsonb_build_object('online', count(*) FILTER (WHERE state = 'online'), 'late', count(*) FILTER (WHERE state = 'late'),
        'silent', count(*) FILTER (WHERE state = 'silent'), 'never', count(*) FILTER (WHERE state = 'never')) FROM tracker_health
$function$;

CREATE OR REPLACE FUNCTION public.api_trackers(p_account bigint, p_state text, p_text text, p_after bigint, p_limit integer, p_reason text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE returned integer;
BEGIN
    RETURN QUERY SELECT jsonb_build_object('id', h.tracker_id::text, 'ident', h.ident, 'protocol', h.protocol,
        'plate', CASE WHEN p_reason IS NOT NULL THEN h.plate END, 'organisation', h.organisation,
        'state', h.state, 'last_heard_at', date_trunc('minute', h.last_heard_at), 'report_interval_s', h.report_interval_s,
        'battery_percent', h.battery_percent, 'signal_percent', h.signal_percent, 'satellites', h.satellites, 'firmware', h.firmware,
        'quarantined_packets', (SELECT coalesce(sum(q.packets), 0)::bigint FROM quarantine q WHERE q.tracker_id = h.tracker_id),
        'last_error_code', (SELECT q.reason FROM quarantine q WHERE q.tracker_id = h.tracker_id ORDER BY q.received_at DESC LIMIT 1),
        'last_error', (SELECT regexp_replace(q.detail, '-?\d+\.\d{2,}', '…', 'g') FROM quarantine q WHERE q.tracker_id = h.tracker_id ORDER BY q.received_at DESC LIMIT 1))
    FROM tracker_health h
    WHERE h.tracker_id > p_after AND (p_state = 'all' OR h.state = p_state)
      AND (p_text = '' OR strpos(lower(h.ident), lower(p_text)) > 0
           OR p_reason IS NOT NULL AND h.plate IN (SELECT w.plate FROM vehicle w WHERE strpos(w.plate_key, (SELECT nullif(plate_key(p_text), ''))) > 0))
    ORDER BY h.tracker_id LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF p_reason IS NOT NULL THEN
        PERFORM write_audit(p_account, NULL, 'trackers', jsonb_build_object('reason', p_reason, 'text', p_text, 'state', p_state, 'after', p_after::text), returned);
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.api_use_ticket(p_ticket bytea)
 RETURNS TABLE(account_id bigint, role text, grant_id bigint, session_sha256 bytea)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        WITH used AS (DELETE FROM live_ticket WHERE ticket_sha256 = p_ticket RETURNING *)
        SELECT u.account_id, p.role, u.grant_id, u.session_sha256 FROM used u JOIN account p USING (account_id) JOIN session s ON s.token_sha256 = u.session_sha256
        WHERE u.expires_at > now() AND s.expires_at > now() AND NOT p.disabled;
END $function$;

CREATE OR REPLACE FUNCTION public.api_zones(p_account bigint, p_after bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE since timestamptz := '-infinity';
BEGIN
    IF p_after <> 0 THEN
        SELECT z.created_at INTO since FROM zone z WHERE z.zone_id = p_after AND (z.vehicle_id IS NULL OR owns(p_account, z.vehicle_id));
        IF NOT FOUND THEN PERFORM refuse('P0400', 'bad_cursor', 'the zone of this cursor is there no more; begin again'); END IF;
    END IF;
    RETURN QUERY SELECT zone_as_json(z) || jsonb_build_object('mine', z.account_id = p_account) FROM (
            SELECT zone_id FROM zone WHERE vehicle_id IS NULL
            UNION SELECT o.zone_id FROM ownership w JOIN zone o USING (vehicle_id) WHERE w.account_id = p_account AND w.valid_to IS NULL) seen
        JOIN zone z USING (zone_id) WHERE (z.created_at, z.zone_id) > (since, p_after) ORDER BY z.created_at, z.zone_id LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.audit_is_only_added_to()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM refuse('P0403', 'refused', format('rows of %s are only added', TG_TABLE_NAME));
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.begin_exchange(p_day text)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET lock_timeout TO '1s'
AS $function$
DECLARE fresh text := p_day || '_fresh';
BEGIN
    IF p_day !~ '^track_[0-9]{8}$' THEN RAISE EXCEPTION '% is no day of track', p_day; END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', p_day);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING INDEXES)', fresh, p_day);
    EXECUTE format('GRANT INSERT ON %I TO rideguard_rollup_rights', fresh);
    RETURN fresh;
END $function$;

CREATE OR REPLACE FUNCTION public.box_cell(p_box geometry)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
    SELECT CASE WHEN size IS NULL THEN 12::bigint << 42 ELSE
        (size::bigint << 42) | (greatest(y + 90000000, 0) / (256::bigint << size) << 21) | (greatest(x + 180000000, 0) / (256::bigint << size)) END
    FROM (SELECT x, y, (SELECT n FROM generate_series(0, 11) n WHERE side <= 1024::bigint << n ORDER BY n LIMIT 1) AS size
        FROM (SELECT x, y, greatest(round(ST_XMax(p_box) * 1e6)::bigint - x, round(ST_YMax(p_box) * 1e6)::bigint - y) AS side
            FROM (SELECT round(ST_XMin(p_box) * 1e6)::bigint AS x, round(ST_YMin(p_box) * 1e6)::bigint AS y) corner) extent) sized
$function$;

CREATE OR REPLACE FUNCTION public.carrier_lane(p_vehicle bigint)
 RETURNS smallint
 LANGUAGE sql
 STABLE
AS $function$
    SELECT lane_of(t.ident) FROM installation n JOIN tracker t USING (tracker_id) WHERE n.vehicle_id = p_vehicle AND n.valid_to IS NULL
$function$;

CREATE OR REPLACE FUNCTION public.cells_of(p_box geometry)
 RETURNS TABLE(low bigint, high bigint)
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE STRICT ROWS 120
AS $function$
DECLARE
    west  double precision := ST_XMin(p_box) * 1e6 + 179999999;
    east  double precision := ST_XMax(p_box) * 1e6 + 180000001;
    south double precision := ST_YMin(p_box) * 1e6 + 89999999;
    north double precision := ST_YMax(p_box) * 1e6 + 90000001;
    side  bigint := 256;
BEGIN
    FOR size IN 0 .. 11 LOOP
        FOR y IN greatest(floor(south / side) - 4, 0)::bigint .. greatest(floor(north / side), 0)::bigint LOOP
            low := (size::bigint << 42) | (y::bigint << 21) | greatest(floor(west / side) - 4, 0)::bigint;
            high := (size::bigint << 42) | (y::bigint << 21) | greatest(floor(east / side), 0)::bigint;
            RETURN NEXT;
        END LOOP;
        side := side * 2;
    END LOOP;
    low := 12::bigint << 42;
    high := low;
    RETURN NEXT;
END $function$;

CREATE OR REPLACE FUNCTION public.check_area(g access_grant, p_area geometry)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE km2 double precision;
BEGIN
    IF NOT ST_IsValid(p_area) OR ST_IsEmpty(p_area) THEN
        PERFORM refuse('P0400', 'polygon_invalid', 'the polygon crosses itself or has no area', jsonb_build_object('reason', ST_IsValidReason(p_area)));
    END IF;
    km2 := ST_Area(p_area::geography) / 1e6;
    IF km2 > g.area_km2_max THEN
        PERFORM refuse('P0400', 'area_too_large', format('the area is %s km²; grant %s allows %s', round(km2::numeric, 1), g.grant_id, g.area_km2_max), jsonb_build_object('km2', round(km2::numeric, 1), 'km2_max', g.area_km2_max, 'grant', g.grant_id::text));
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.check_grant(p_account bigint, p_grant bigint)
 RETURNS access_grant
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE g access_grant;
BEGIN
    SELECT a.* INTO g FROM access_grant a JOIN account p USING (account_id)
    WHERE a.grant_id = p_grant AND a.account_id = p_account AND p.role = 'police' AND NOT p.disabled
      AND now() BETWEEN a.valid_from AND a.valid_to;
    IF NOT FOUND THEN
        PERFORM refuse('P0403', 'no_grant', format('no grant %s of yours is in force', coalesce(p_grant::text, '(none)')), jsonb_build_object('grant', coalesce(p_grant::text, '–')));
    END IF;
    RETURN g;
END $function$;

CREATE OR REPLACE FUNCTION public.check_window(g access_grant, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
    IF p_to - p_from > make_interval(secs => g.hours_max * 3600) THEN
        PERFORM refuse('P0400', 'window_too_long', format('the window is longer than the %s hours that grant %s allows', g.hours_max, g.grant_id), jsonb_build_object('hours_max', g.hours_max, 'grant', g.grant_id::text));
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.check_zone(p_shape jsonb)
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
DECLARE
    area   geometry;
    m2     double precision;
    reason text;
BEGIN
    IF p_shape ->> 'type' <> 'polygon' THEN RETURN; END IF;
    area := ST_MakePolygon(zone_ring(p_shape -> 'outer'),
        ARRAY(SELECT zone_ring(h) FROM jsonb_array_elements(coalesce(p_shape -> 'holes', '[]')) h));
    IF NOT ST_IsValid(area) THEN
        reason := ST_IsValidReason(area);
        PERFORM refuse('P0422', 'polygon_invalid', format('the polygon is none: %s', split_part(reason, '[', 1)), jsonb_build_object('reason', reason));
    END IF;
    m2 := ST_Area(area::geography);
    IF m2 < 100 OR m2 > 2.5e11 THEN
        PERFORM refuse('P0422', 'polygon_area', format('the polygon has an area of %s m²; it must be 100 m² to 250,000 km²', round(m2::numeric)), jsonb_build_object('m2', round(m2::numeric), 'm2_min', 100, 'km2_max', 250000));
    END IF;
    IF ST_IsEmpty(ST_Buffer(area::geography, -15)::geometry) THEN
        PERFORM refuse('P0422', 'zone_too_narrow', 'no place of the polygon lies 15 m inside of it, so it could never be entered', '{"m_min": 15}');
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.close_account(p_account bigint, p_by bigint, p_request text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    id  bigint;
    own bigint;
BEGIN
    INSERT INTO erasure (account_id, asked_by, request) VALUES (p_account, p_by, p_request) RETURNING erasure_id INTO id;
    -- Trackers' clocks may run ahead by some minutes.
    INSERT INTO erased_window SELECT id, vehicle_id, NULL, valid_from, coalesce(valid_to, now() + interval '10 minutes')
        FROM ownership WHERE account_id = p_account;
    INSERT INTO erased_window
        SELECT id, w.vehicle_id, i.tracker_id, greatest(w.from_at, i.valid_from), least(w.to_at, coalesce(i.valid_to, 'infinity'))
        FROM erased_window w JOIN installation i USING (vehicle_id)
        WHERE w.erasure_id = id AND i.valid_from < w.to_at AND coalesce(i.valid_to, 'infinity') > w.from_at;
    DELETE FROM zone WHERE account_id = p_account;
    FOR own IN SELECT vehicle_id FROM ownership WHERE account_id = p_account AND valid_to IS NULL LOOP
        PERFORM add_setting(NULL, jsonb_build_object('kind', 'forget', 'vehicle', own, 'trackers',
            coalesce((SELECT jsonb_agg(DISTINCT tracker_id) FROM erased_window WHERE erasure_id = id AND vehicle_id = own AND tracker_id IS NOT NULL), '[]')));
        UPDATE installation SET valid_to = greatest(now(), valid_from + interval '1 microsecond') WHERE vehicle_id = own AND valid_to IS NULL;
        DELETE FROM guarding WHERE vehicle_id = own;
        UPDATE vehicle v SET plate = 'erased-' || v.vehicle_id, model = '', frame_number = NULL WHERE v.vehicle_id = own
            AND NOT EXISTS (SELECT FROM ownership o WHERE o.vehicle_id = own AND o.account_id <> p_account)
            AND NOT EXISTS (SELECT FROM hold_in_force h WHERE h.vehicle_id = own);
    END LOOP;
    DELETE FROM phone_token WHERE account_id = p_account;
    DELETE FROM session WHERE account_id = p_account;
    DELETE FROM bucket WHERE scope = 'owner' AND key = p_account;
    UPDATE ownership SET valid_to = greatest(now(), valid_from + interval '1 microsecond') WHERE account_id = p_account AND valid_to IS NULL;
    UPDATE account SET login = 'erased-' || account_id, name = '', password_hash = '!', webhook_url = NULL, webhook_secret = NULL, disabled = true
        WHERE account_id = p_account;
    PERFORM write_audit(p_by, NULL, 'erase', jsonb_build_object('account', p_account, 'erasure', id, 'request', p_request), NULL);
    RETURN id;
END $function$;

CREATE OR REPLACE FUNCTION public.contact_of(p_last_heard_at timestamp with time zone, p_report_interval_s integer)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
    SELECT CASE
        WHEN p_last_heard_at IS NULL THEN 'never'
        WHEN now() - p_last_heard_at <= make_interval(secs => greatest(60, 1.5 * coalesce(p_report_interval_s, 300) + 30)) THEN 'online'
        WHEN now() - p_last_heard_at <= make_interval(secs => greatest(300, 3.0 * coalesce(p_report_interval_s, 300) + 30)) THEN 'late'
        ELSE 'silent' END
$function$;

CREATE OR REPLACE FUNCTION public.crc32(input text)
 RETURNS bigint
 LANGUAGE plpgsql
 IMMUTABLE STRICT
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.day_to_order()
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
    SELECT max(c.relname::text) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, rollup_mark m
    WHERE i.inhparent = 'track'::regclass AND NOT i.inhdetachpending AND pg_relation_size(c.oid) > 0
        AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= m.rolled_to - interval '3 hours'
        AND NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisclustered)
$function$;

CREATE OR REPLACE FUNCTION public.delete_journal_key(p_lane smallint, p_key bigint, OUT gone bigint, OUT set_aside bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE of_tracker text := (SELECT substr(holder, 9) FROM journal_key WHERE lane = p_lane AND key_id = p_key AND holder LIKE 'tracker %');
BEGIN
    WITH q AS (DELETE FROM quarantine q USING journal_block b JOIN journal_range r USING (lane, from_n)
        WHERE b.lane = p_lane AND b.key_id = p_key AND q.lane = p_lane AND q.n BETWEEN r.from_n AND r.to_n AND split_part(q.topic, '/', 3) = of_tracker RETURNING q.reason, q.packets)
    SELECT coalesce(sum(packets), 0)::bigint FROM q WHERE reason <> 'left_over' INTO set_aside;
    UPDATE journal_base SET quarantined = quarantined + set_aside WHERE lane = p_lane;
    UPDATE journal_range r SET let_go = r.let_go + b.entries FROM journal_block b
    WHERE b.lane = p_lane AND b.key_id = p_key AND r.lane = p_lane AND r.from_n = b.from_n;
    WITH b AS (DELETE FROM journal_block WHERE lane = p_lane AND key_id = p_key RETURNING entries)
    SELECT coalesce(sum(entries), 0) FROM b INTO gone;
    DELETE FROM journal_key WHERE lane = p_lane AND key_id = p_key;
END $function$;

CREATE OR REPLACE FUNCTION public.drop_day(p_table text, p_day text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET lock_timeout TO '200ms'
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.dwell_steps(p_more bigint[])
 RETURNS bigint[]
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
DECLARE
    steps  bigint[] := '{}';
    later  integer := p_more[5] - 1;
    step   bigint := 0;
    pace   bigint;
    at     integer := 7;
    number bigint;
BEGIN
    IF p_more[1] < 16 THEN
        FOR n IN 1 .. later LOOP
            step := step + unzigzag(p_more[5 + n]);
            steps := steps || step;
        END LOOP;
        RETURN steps;
    END IF;
    pace := unzigzag(p_more[6]);
    WHILE cardinality(steps) < later LOOP
        number := p_more[at];
        at := at + 1;
        IF number < 125 THEN
            steps := steps || ARRAY[pace + number / 25 - 2, pace + number / 5 % 5 - 2, pace + number % 5 - 2];
        ELSIF number < 128 THEN
            steps := steps || pace + unzigzag(number - 125);
        ELSIF number % 2 = 0 THEN
            steps := steps || pace + unzigzag((number - 128) >> 1);
        ELSIF number % 2 = 1 THEN
            pace := pace + unzigzag((number - 128) >> 1);
        ELSE
            RAISE EXCEPTION 'the times of a dwell end early';
        END IF;
    END LOOP;
    RETURN steps[:later];
END $function$;

CREATE OR REPLACE FUNCTION public.exchange_day(p_day text, p_fresh text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    IF p_day !~ '^track_[0-9]{8}$' OR p_fresh <> p_day || '_fresh' THEN RAISE EXCEPTION '% is no day of track', p_day; END IF;
    PERFORM put_day_in(p_day, p_fresh);
    EXECUTE format('REVOKE INSERT ON %I FROM rideguard_rollup_rights', p_day);
    EXECUTE format('GRANT SELECT, DELETE ON %I TO rideguard_rollup_rights', p_day);
END $function$;

CREATE OR REPLACE FUNCTION public.first_hot_day(p_filled boolean)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    name   text;
    filled boolean;
BEGIN
    FOR name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'fix'::regclass ORDER BY 1 LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO filled;
        IF filled OR NOT p_filled THEN
            RETURN to_date(right(name, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC';
        END IF;
    END LOOP;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.grant_given()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    DELETE FROM grant_vehicle f USING access_grant g WHERE g.grant_id = f.grant_id AND g.valid_to < now();
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.hand_over(p_vehicle bigint, p_to smallint, p_from smallint[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    before smallint;
BEGIN
    FOREACH before IN ARRAY p_from LOOP
        IF before <> p_to THEN
            PERFORM add_setting(before, jsonb_build_object('kind', 'handed_over', 'vehicle', p_vehicle));
        END IF;
    END LOOP;
    -- The first is the lane that guarded it last. What its owner of today switched on goes on; schedules and parking begin by themselves.
    IF p_from[1] <> p_to AND EXISTS (
        SELECT FROM guard_status g JOIN ownership w USING (vehicle_id)
        WHERE g.vehicle_id = p_vehicle AND g.armed AND g.by = 'owner' AND w.valid_to IS NULL AND w.valid_from <= g.since) THEN
        PERFORM add_setting(p_to, jsonb_build_object('kind', 'arm', 'vehicle', p_vehicle));
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.history_tile(p_z integer, p_x integer, p_y integer, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS bytea
 LANGUAGE sql
 STABLE
AS $function$
    WITH cell AS (
        SELECT x >> s AS x, y >> s AS y, sum(round(fixes / 10.0) * 10)::bigint AS fixes, max(vehicles) AS vehicles
        FROM (SELECT greatest(0, least(17, 10 - p_z)) AS s) scale, traffic
        WHERE hour >= p_from AND hour < p_to AND x >= p_x << (17 - p_z) AND x < (p_x + 1) << (17 - p_z)
            AND y >= p_y << (17 - p_z) AND y < (p_y + 1) << (17 - p_z) AND vehicles >= 3
        GROUP BY 1, 2
    )
    SELECT ST_AsMVT(t, 'traffic') FROM (
        SELECT ST_AsMVTGeom(ST_TileEnvelope(17 - greatest(0, least(17, 10 - p_z)), x, y), ST_TileEnvelope(p_z, p_x, p_y)) AS shape, fixes, vehicles
        FROM cell) t
$function$;

CREATE OR REPLACE FUNCTION public.hold_as_json(p_hold bigint)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('id', h.hold_id::text, 'case_number', h.case_number, 'vehicle_id', h.vehicle_id::text, 'plate', v.plate,
        'from', h.from_at, 'to', h.to_at, 'reason', h.reason, 'placed_by', p.login, 'placed_at', h.placed_at, 'ends_at', h.ends_at,
        'in_force', h.released_at IS NULL AND h.ends_at > now(), 'released_by', r.login, 'released_at', h.released_at,
        'release_reason', h.release_reason)
    FROM legal_hold h JOIN vehicle v USING (vehicle_id) JOIN account p ON p.account_id = h.placed_by
        LEFT JOIN account r ON r.account_id = h.released_by
    WHERE h.hold_id = p_hold
$function$;

CREATE OR REPLACE FUNCTION public.hold_case(p_account bigint, p_grant bigint, p_case text)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE their_role text := (SELECT role FROM account WHERE account_id = p_account AND NOT disabled);
BEGIN
    IF their_role = 'police' THEN RETURN (check_grant(p_account, p_grant)).case_number; END IF;
    IF their_role IS DISTINCT FROM 'admin' THEN
        PERFORM refuse('P0403', 'hold_role', 'holds are placed and released by police or administrators');
    END IF;
    IF coalesce(p_case, '') = '' THEN PERFORM refuse('P0400', 'case_missing', 'a hold needs the number of its case'); END IF;
    RETURN p_case;
END $function$;

CREATE OR REPLACE FUNCTION public.holds_seen(p_account bigint, p_grant bigint)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
    IF EXISTS (SELECT FROM account WHERE account_id = p_account AND role = 'admin' AND NOT disabled) THEN RETURN NULL; END IF;
    RETURN (check_grant(p_account, p_grant)).case_number;
END $function$;

CREATE OR REPLACE FUNCTION public.incident_as_json(i incident)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('id', i.incident_id::text, 'vehicle_id', i.vehicle_id::text, 'plate', v.plate, 'opened_at', i.opened_at,
        'closed_at', i.closed_at, 'end', i.ended_by, 'state', i.state, 'score', round(i.score::numeric, 2), 'severity', i.severity,
        'answer', i.answer, 'answered_at', i.answered_at, 'fixes_from', i.fixes_from, 'fixes_to', i.closed_at, 'version', i.version,
        'answers', coalesce((SELECT jsonb_agg(jsonb_build_object('answer', n.detail ->> 'answer', 'at', n.at) ORDER BY n.at)
            FROM incident_note n WHERE n.incident_id = i.incident_id AND n.kind = 'answered'), '[]'))
    FROM vehicle v WHERE v.vehicle_id = i.vehicle_id
$function$;

CREATE OR REPLACE FUNCTION public.incident_of(p_account bigint, p_incident bigint)
 RETURNS incident
 LANGUAGE sql
 STABLE
AS $function$
    SELECT i.* FROM incident i JOIN ownership w USING (vehicle_id)
    WHERE i.incident_id = p_incident AND w.account_id = p_account AND w.valid_to IS NULL AND i.opened_at >= w.valid_from
$function$;

CREATE OR REPLACE FUNCTION public.incident_reopen_max()
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE
AS $function$ SELECT interval '2 hours' $function$;

CREATE OR REPLACE FUNCTION public.incident_versioned()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.installation_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    other  bigint := CASE WHEN TG_OP = 'UPDATE' AND OLD.vehicle_id = NEW.vehicle_id THEN OLD.tracker_id END;
    is_open boolean := TG_OP <> 'DELETE' AND NEW.valid_to IS NULL;
    is_new boolean := is_open AND (TG_OP = 'INSERT' OR OLD.valid_to IS NOT NULL OR (OLD.vehicle_id, OLD.tracker_id) <> (NEW.vehicle_id, NEW.tracker_id));
BEGIN
    PERFORM tell_tracker(coalesce(NEW.tracker_id, OLD.tracker_id));
    IF TG_OP = 'UPDATE' AND OLD.tracker_id <> NEW.tracker_id THEN
        PERFORM tell_tracker(OLD.tracker_id);
    END IF;
    IF is_new THEN
        PERFORM hand_over(NEW.vehicle_id, lane_of(t.ident), ARRAY(
            SELECT lane_of(b.ident) FROM (
                SELECT i.tracker_id, i.valid_to FROM installation i
                WHERE i.vehicle_id = NEW.vehicle_id AND i.valid_to IS NOT NULL AND i.tracker_id <> NEW.tracker_id
                UNION ALL SELECT other, 'infinity' WHERE other <> NEW.tracker_id) e JOIN tracker b USING (tracker_id)
            GROUP BY 1 ORDER BY max(e.valid_to) DESC))
        FROM tracker t WHERE t.tracker_id = NEW.tracker_id;
    END IF;
    IF is_open THEN
        PERFORM tell_zone(z) FROM zone z WHERE z.vehicle_id = NEW.vehicle_id;
        PERFORM tell_guarding(NEW.vehicle_id);
    END IF;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.is_held(p_vehicle bigint, p_from timestamp with time zone, p_until timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT FROM hold_in_force h WHERE h.vehicle_id = p_vehicle AND p_from < h.to_at AND p_until >= h.from_at)
$function$;

CREATE OR REPLACE FUNCTION public.is_hot(p_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT p_at >= (SELECT released_to FROM rollup_mark)
        AND to_regclass('public.fix_' || to_char(p_at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
$function$;

CREATE OR REPLACE FUNCTION public.is_kept(p_vehicle bigint, p_from timestamp with time zone, p_until timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT FROM kept_windows() k WHERE k.vehicle_id = p_vehicle AND p_from < k.to_at AND p_until >= k.from_at)
$function$;

CREATE OR REPLACE FUNCTION public.kept_windows()
 RETURNS TABLE(vehicle_id bigint, from_at timestamp with time zone, to_at timestamp with time zone, purpose text)
 LANGUAGE sql
 STABLE
AS $function$
    SELECT i.vehicle_id, least(i.fixes_from, i.opened_at) - interval '1 hour', coalesce(i.closed_at, 'infinity') + interval '1 hour', 'incident'
    FROM incident i, retention_mark m
    WHERE (i.closed_at IS NULL OR i.closed_at > now() - make_interval(days => m.incident_days))
        AND NOT EXISTS (SELECT FROM erased_window e WHERE e.vehicle_id = i.vehicle_id AND i.opened_at >= e.from_at AND i.opened_at < e.to_at)
    UNION ALL
    SELECT h.vehicle_id, h.from_at, h.to_at, 'case' FROM legal_hold h, retention_mark m
    WHERE (h.released_at IS NULL AND h.ends_at > now()) OR h.to_at > now() - make_interval(days => m.case_days)
$function$;

CREATE OR REPLACE FUNCTION public.lane_advance(p_lane smallint, p_fence bigint, p_lease_s double precision, p_n bigint, p_stored bigint, p_duplicate bigint, p_quarantined bigint, p_oldest timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE lane SET lease_until = now() + make_interval(secs => p_lease_s), applied = p_n,
        received = received + p_stored + p_duplicate + p_quarantined, stored = stored + p_stored,
        duplicate = duplicate + p_duplicate, quarantined = quarantined + p_quarantined
    WHERE lane = p_lane AND fence = p_fence AND applied = p_n - 1;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM lane WHERE lane = p_lane AND fence = p_fence) THEN
            RAISE EXCEPTION 'lane % is not at batch %', p_lane, p_n - 1;
        END IF;
        RAISE EXCEPTION 'lane % is held by another worker now', p_lane USING ERRCODE = 'P0410';
    END IF;
    IF p_oldest < (SELECT closing_to FROM rollup_mark) THEN
        RAISE EXCEPTION 'the batch has fixes of slices that are closed' USING ERRCODE = 'P0411';
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.lane_of(ident text)
 RETURNS smallint
 LANGUAGE sql
 IMMUTABLE STRICT
AS $function$ SELECT (crc32(ident) % 64 % 16)::smallint $function$;

CREATE OR REPLACE FUNCTION public.lane_renew(p_lane smallint, p_fence bigint, p_lease_s double precision)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE lane SET lease_until = now() + make_interval(secs => p_lease_s) WHERE lane = p_lane AND fence = p_fence;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lane % is held by another worker now', p_lane USING ERRCODE = 'P0410';
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.let_go_incidents(p_normal_days integer, OUT incidents bigint, OUT alerts bigint)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    old_incidents bigint[] := ARRAY(
        SELECT i.incident_id FROM incident i, retention_mark m
        WHERE i.closed_at < now() - make_interval(days => m.incident_days)
            AND NOT EXISTS (SELECT FROM kept_windows() k WHERE k.vehicle_id = i.vehicle_id AND k.purpose = 'case'
                AND i.opened_at < k.to_at AND i.closed_at >= k.from_at));
    old_alerts bigint[] := ARRAY(
        SELECT alert_id FROM alert WHERE incident_id = ANY (old_incidents)
        UNION ALL
        SELECT alert_id FROM alert WHERE incident_id IS NULL AND raised_at < now() - make_interval(days => p_normal_days)
            AND NOT is_kept(vehicle_id, raised_at, raised_at));
BEGIN
    DELETE FROM notification WHERE outbox_id IN (SELECT outbox_id FROM outbox WHERE alert_id = ANY (old_alerts));
    DELETE FROM outbox WHERE alert_id = ANY (old_alerts);
    DELETE FROM alert WHERE alert_id = ANY (old_alerts);
    DELETE FROM incident_note WHERE incident_id = ANY (old_incidents);
    DELETE FROM incident WHERE incident_id = ANY (old_incidents);
    incidents := cardinality(old_incidents);
    alerts := cardinality(old_alerts);
END $function$;

CREATE OR REPLACE FUNCTION public.make_partitions(p_table text, p_days date[])
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET lock_timeout TO '2s'
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.newest_in(p_box geometry, p_limit integer)
 RETURNS TABLE(vehicle_id bigint, fixed_at timestamp with time zone, lon double precision, lat double precision, speed_kmh real)
 LANGUAGE sql
 STABLE ROWS 500
AS $function$
    SELECT s.vehicle_id, s.fixed_at, ST_X(s."position"), ST_Y(s."position"), s.speed_kmh FROM tracker_status s
    WHERE s."position" && p_box AND s.vehicle_id IS NOT NULL LIMIT p_limit
$function$;

CREATE OR REPLACE FUNCTION public.note_found(p_grant bigint, p_vehicles bigint[])
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO grant_vehicle (grant_id, vehicle_id, is_told)
    SELECT DISTINCT p_grant, vehicle_id, true FROM vehicle WHERE vehicle_id = ANY (p_vehicles) ORDER BY vehicle_id
    ON CONFLICT (grant_id, vehicle_id) DO UPDATE SET is_told = true WHERE NOT grant_vehicle.is_told
$function$;

CREATE OR REPLACE FUNCTION public.owned_vehicle_as_json(p_vehicle bigint, p_since timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT v || CASE WHEN (v -> 'last_fix' ->> 'fixed_at')::timestamptz < p_since THEN '{"last_fix": null}' ELSE '{}' END::jsonb
             || CASE WHEN i.incident_id IS NOT NULL THEN '{"open_incident": null, "open_incident_answer": null}' ELSE '{}' END::jsonb
    FROM vehicle_as_json(p_vehicle) v
    LEFT JOIN incident i ON i.incident_id = (v ->> 'open_incident')::bigint AND i.opened_at < p_since
$function$;

CREATE OR REPLACE FUNCTION public.ownership_ended()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE lane smallint := carrier_lane(OLD.vehicle_id);
BEGIN
    DELETE FROM zone WHERE vehicle_id = OLD.vehicle_id;
    DELETE FROM phone_token WHERE vehicle_id = OLD.vehicle_id;
    DELETE FROM guarding WHERE vehicle_id = OLD.vehicle_id;
    IF lane IS NOT NULL THEN
        PERFORM add_setting(lane, jsonb_build_object('kind', 'guarding', 'vehicle', OLD.vehicle_id,
            'policy', jsonb_build_object('schedule', NULL, 'auto_after_s', NULL)));
        PERFORM add_setting(lane, jsonb_build_object('kind', 'disarm', 'vehicle', OLD.vehicle_id));
    END IF;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.owns(p_account bigint, p_vehicle bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT 1 FROM ownership WHERE account_id = p_account AND vehicle_id = p_vehicle AND valid_to IS NULL)
$function$;

CREATE OR REPLACE FUNCTION public.piece_fixes(p_from timestamp with time zone, p_kind smallint, p_path bytea, p_more bytea)
 RETURNS TABLE(fixed_at timestamp with time zone, "position" geometry, speed_kmh real)
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE ROWS 60
AS $function$
    SELECT p_from + make_interval(secs => ST_M(d.geom)), ST_SetSRID(ST_Force2D(d.geom), 4326), nullif(ST_Z(d.geom), -1)::real
    FROM ST_DumpPoints(ST_GeomFromTWKB(p_path)) d WHERE p_kind = 1 OR d.path[1] > 2
    UNION ALL
    SELECT p_from + (first + unit * sum(step) OVER (ORDER BY n)) * interval '1 microsecond', centre, NULL
    FROM (
        SELECT unzigzag(v[4]) AS first, (10 ^ (6 - v[1] % 16))::bigint AS unit, v,
            ST_SetSRID(ST_MakePoint(ST_X(low) + unzigzag(v[2]) / 1e6, ST_Y(low) + unzigzag(v[3]) / 1e6), 4326) AS centre
        FROM (SELECT varints(p_more) AS v, ST_GeometryN(ST_GeomFromTWKB(p_path), 1) AS low WHERE p_kind = 2 OFFSET 0) read OFFSET 0) head,
        LATERAL unnest(0::bigint || dwell_steps(v)) WITH ORDINALITY u (step, n)
$function$;

CREATE OR REPLACE FUNCTION public.pieces_near(p_box geometry, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS SETOF found
 LANGUAGE sql
 STABLE
AS $function$
    WITH run AS MATERIALIZED (
        SELECT low, high, floor(ST_XMin(p_box) * 1e6)::integer AS west, floor(ST_YMin(p_box) * 1e6)::integer AS south FROM cells_of(p_box))
    SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, CASE WHEN t.kind = 2 THEN t.more ELSE '' END, NULL::float8, NULL::float8, NULL::real
    FROM run r, LATERAL (
        SELECT * FROM track p WHERE p.cell BETWEEN r.low AND r.high AND p.from_at >= p_from - interval '1 day' AND p.from_at < p_to
            AND p.until_at >= p_from AND p.east >= r.west AND p.north >= r.south
        OFFSET 0) t     -- the planner must not turn this round
    UNION ALL
    SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more, NULL, NULL, NULL
    FROM run r, LATERAL (
        SELECT * FROM track_open p WHERE p.cell BETWEEN r.low AND r.high AND p.from_at < p_to AND p.until_at >= p_from OFFSET 0) t
    UNION ALL
    SELECT f.tracker_id, f.vehicle_id, f.fixed_at, f.fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X(f."position"), ST_Y(f."position"), f.speed_kmh
    FROM rollup_mark m, LATERAL trackers_near(p_box, greatest(p_from, m.rolled_to), p_to) n, LATERAL (
        SELECT * FROM fix h WHERE h.tracker_id = n.tracker_id AND h.fixed_at >= greatest(p_from, m.rolled_to, n.since) AND h.fixed_at < least(p_to, n.until)
            AND h.flags & 140 = 0 AND h."position" && ST_SetSRID(p_box, 4326)
        OFFSET 0) f
    WHERE p_to > m.rolled_to
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix_late
    WHERE fixed_at >= p_from AND fixed_at < p_to AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
$function$;

CREATE OR REPLACE FUNCTION public.pieces_of(p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS SETOF found
 LANGUAGE sql
 STABLE ROWS 100
AS $function$
    WITH carried AS MATERIALIZED (SELECT DISTINCT tracker_id FROM installation WHERE vehicle_id = p_vehicle),
    piece AS (
        SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more FROM carried JOIN track t USING (tracker_id)
        WHERE t.from_at >= p_from - interval '1 day' AND t.from_at < p_to AND t.until_at >= p_from AND t.vehicle_id = p_vehicle
        UNION ALL
        SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more FROM carried JOIN track_open t USING (tracker_id)
        WHERE t.from_at < p_to AND t.until_at >= p_from AND t.vehicle_id = p_vehicle
    )
    SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more, NULL::float8, NULL::float8, NULL::real
    FROM piece WHERE from_at >= p_from AND until_at < p_to
    -- Pieces over the edge are opened here: what lies outside is nobody's business (a seller's last ride).
    UNION ALL
    SELECT p.tracker_id, p.vehicle_id, f.fixed_at, f.fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X(f."position"), ST_Y(f."position"), f.speed_kmh
    FROM piece p CROSS JOIN LATERAL piece_fixes(p.from_at, p.kind, p.path, p.more) f
    WHERE NOT (p.from_at >= p_from AND p.until_at < p_to) AND f.fixed_at >= p_from AND f.fixed_at < p_to
    UNION ALL
    SELECT f.tracker_id, f.vehicle_id, f.fixed_at, f.fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X(f."position"), ST_Y(f."position"), f.speed_kmh
    FROM carried JOIN fix f USING (tracker_id)
    WHERE f.fixed_at >= greatest(p_from, (SELECT rolled_to FROM rollup_mark)) AND f.fixed_at < p_to AND f.vehicle_id = p_vehicle AND f.flags & 140 = 0
    UNION ALL
    SELECT f.tracker_id, f.vehicle_id, f.fixed_at, f.fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X(f."position"), ST_Y(f."position"), f.speed_kmh
    FROM carried JOIN fix_late f USING (tracker_id)
    WHERE f.fixed_at >= p_from AND f.fixed_at < p_to AND f.vehicle_id = p_vehicle AND f.flags & 140 = 0
$function$;

CREATE OR REPLACE FUNCTION public.place_hold(p_account bigint, p_grant bigint, p_case text, p_plate text, p_from timestamp with time zone, p_to timestamp with time zone, p_ends timestamp with time zone, p_reason text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    the_case text := hold_case(p_account, p_grant, p_case);
    vehicle  bigint := vehicle_of_plate(p_plate);
    id       bigint;
BEGIN
    IF vehicle IS NULL THEN
        PERFORM refuse('P0404', 'no_such_plate', format('no vehicle has the plate %s', left(p_plate, 40)), jsonb_build_object('plate', left(p_plate, 40)));
    END IF;
    IF p_to <= p_from THEN
        PERFORM refuse('P0400', 'window_backwards', format('the window ends at %s, before it begins', p_to), jsonb_build_object('from', p_from, 'to', p_to));
    END IF;
    IF p_ends <= now() OR p_ends > now() + interval '5 years' THEN
        PERFORM refuse('P0400', 'hold_end', format('the hold ends at %s; it must end within 5 years from now', p_ends), jsonb_build_object('ends_at', p_ends, 'years_max', 5));
    END IF;
    INSERT INTO legal_hold (case_number, vehicle_id, from_at, to_at, reason, placed_by, ends_at)
    VALUES (the_case, vehicle, p_from, p_to, p_reason, p_account, p_ends) RETURNING hold_id INTO id;
    PERFORM write_audit(p_account, p_grant, 'hold', jsonb_build_object('hold', id, 'case', the_case, 'vehicle', vehicle,
        'from', p_from, 'to', p_to, 'ends', p_ends, 'reason', p_reason), NULL);
    RETURN id;
END $function$;

CREATE OR REPLACE FUNCTION public.plate_canonical(p_text text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
    SELECT CASE WHEN k.key ~ '^[0-9A-ZÀ-ÖØ-ÞĐΑ-ΡΣ-ΩЀ-Я\u0621-\u063a\u0641-\u064a\u0e01-\u0e2e\u3007\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]{2,16}$'
            AND k.key ~ '[0-9]'
        THEN regexp_replace(k.key, '^([\u3007\u3400-\u4dbf\u4e00-\u9fff][A-Z]|[\u3007\u3400-\u4dbf\u4e00-\u9fff]{2,})(.+)$', '\1·\2') END
    FROM (SELECT plate_key(p_text)) AS k (key)
$function$;

CREATE OR REPLACE FUNCTION public.plate_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    DELETE FROM plate_unclear WHERE vehicle_id = NEW.vehicle_id;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.plate_key(p_text text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
    SELECT translate(normalize(regexp_replace(p_text, '[\u02b0-\u02ff\u1d00-\u1dbf\u2070-\u209f\ua640-\ua69f\ua700-\ua78e\ua790-\ua7ff\uab30-\uab6f\U00010000-\U0010ffff]', E'\ufffd', 'g'), NFKC),
        'abcdefghijklmnopqrstuvwxyzàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþđαβγδεζηθικλμνξοπρστυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюяѐёђѓєѕіїјљњћќѝўџ'
            || E'\t\n\u000b\f\r \u00ad\u00b7\u2022\u2027\u2219\u22c5\u25cf\u25e6\u2e31\u2e33\u30fb\u3002\ua78f.-_/'
            || E'\u2010\u2012\u2013\u2014\u2015\u2212\u200b\u200c\u200d\u200e\u200f\u2060\ufeff',
        'ABCDEFGHIJKLMNOPQRSTUVWXYZÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞĐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏ')
$function$;

CREATE OR REPLACE FUNCTION public.put_day_in(p_day text, p_fresh text)
 RETURNS void
 LANGUAGE plpgsql
 SET lock_timeout TO '1s'
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.random_id()
 RETURNS bigint
 LANGUAGE sql
AS $function$
    SELECT greatest(1, ('x' || encode(substring(b FROM 1 FOR 6) || substring(b FROM 10 FOR 1), 'hex'))::bit(56)::bigint & 9007199254740991)
    FROM uuid_send(gen_random_uuid()) AS b
$function$;

CREATE OR REPLACE FUNCTION public.refuse(p_state text, p_code text, p_message text, p_values jsonb DEFAULT '{}'::jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION '%', p_message USING ERRCODE = p_state, DETAIL = jsonb_build_object('code', p_code, 'values', p_values)::text;
END $function$;

CREATE OR REPLACE FUNCTION public.release_hold(p_account bigint, p_grant bigint, p_hold bigint, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE h legal_hold;
BEGIN
    SELECT * INTO h FROM legal_hold WHERE hold_id = p_hold FOR UPDATE;
    IF NOT FOUND THEN RAISE EXCEPTION 'there is no hold %', p_hold USING ERRCODE = 'P0404'; END IF;
    IF hold_case(p_account, p_grant, h.case_number) <> h.case_number THEN
        PERFORM refuse('P0403', 'hold_of_other_case', format('hold %s is of another case than grant %s', p_hold, p_grant), jsonb_build_object('hold', p_hold::text, 'grant', p_grant::text));
    END IF;
    IF h.released_at IS NOT NULL THEN PERFORM refuse('P0409', 'hold_released', format('hold %s was released already', p_hold), jsonb_build_object('hold', p_hold::text)); END IF;
    UPDATE legal_hold SET released_by = p_account, released_at = now(), release_reason = p_reason WHERE hold_id = p_hold;
    PERFORM write_audit(p_account, p_grant, 'hold_released', jsonb_build_object('hold', p_hold, 'reason', p_reason), NULL);
END $function$;

CREATE OR REPLACE FUNCTION public.ride_minutes(p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS TABLE(tracker_id bigint, fixed_at timestamp with time zone, "position" geometry, speed_kmh real)
 LANGUAGE sql
 STABLE ROWS 120
AS $function$
    WITH carried AS MATERIALIZED (SELECT DISTINCT i.tracker_id FROM installation i WHERE i.vehicle_id = p_vehicle),
    fresh AS (
        SELECT DISTINCT ON (date_trunc('minute', f.fixed_at)) f.tracker_id, f.fixed_at, f."position", f.speed_kmh
        FROM carried c, LATERAL (
            SELECT * FROM fix h WHERE h.tracker_id = c.tracker_id AND h.fixed_at >= greatest(p_from, (SELECT rolled_to FROM rollup_mark))
                AND h.fixed_at < p_to AND h.vehicle_id = p_vehicle AND h.flags & 140 = 0 OFFSET 0) f
        ORDER BY date_trunc('minute', f.fixed_at), f.fixed_at),
    beside AS (
        SELECT *, lag(f."position") OVER in_time AS before, lead(f."position") OVER in_time AS after FROM fresh f WINDOW in_time AS (ORDER BY f.fixed_at))
    SELECT DISTINCT ON (date_trunc('minute', m.fixed_at)) m.tracker_id, m.fixed_at, m."position", m.speed_kmh
    FROM (
        SELECT t.tracker_id, f.fixed_at, ST_SetSRID(f."position", 0) AS "position", f.speed_kmh
        FROM carried c JOIN track t USING (tracker_id) CROSS JOIN LATERAL piece_fixes(t.from_at, t.kind, t.path, t.more) f
        WHERE t.vehicle_id = p_vehicle AND t.kind = 1 AND t.from_at >= p_from - interval '1 day' AND t.from_at < p_to AND t.until_at >= p_from
            AND f.fixed_at >= p_from AND f.fixed_at < p_to
        UNION ALL
        SELECT b.tracker_id, b.fixed_at, ST_SetSRID(b."position", 0), b.speed_kmh FROM beside b
        WHERE ST_DistanceSphere(b."position", b.before) > 25 OR ST_DistanceSphere(b."position", b.after) > 25) m
    ORDER BY date_trunc('minute', m.fixed_at), m.fixed_at
$function$;

CREATE OR REPLACE FUNCTION public.rides_beside(p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone, p_within_m double precision, p_within_s double precision)
 RETURNS SETOF found
 LANGUAGE sql
 STABLE
AS $function$
    WITH minute AS MATERIALIZED (
        SELECT m.*, ST_Expand(m."position", p_within_m / 95000, p_within_m / 111000) AS box,
            m.fixed_at - make_interval(secs => p_within_s) AS since, m.fixed_at + make_interval(secs => p_within_s) AS until
        FROM ride_minutes(p_vehicle, p_from, p_to) m),
    stretch AS MATERIALIZED (
        SELECT box, since, until, floor(ST_XMin(box) * 1e6)::integer AS west, floor(ST_YMin(box) * 1e6)::integer AS south
        FROM (SELECT ST_Extent(box)::geometry AS box, min(since) AS since, max(until) AS until
            FROM minute GROUP BY date_bin('12 minutes', fixed_at, 'epoch')) s),
    -- Pieces as large as some sizes are not there as a rule: their runs, a quarter of all, need not be looked into.
    size AS MATERIALIZED (
        SELECT n FROM generate_series(0, 12) n WHERE (
            -- one look into the index of each day, and not a join
            SELECT true FROM track p WHERE p.cell >= n::bigint << 42 AND p.cell < (n + 1)::bigint << 42
                AND p.from_at >= date_trunc('day', p_from - make_interval(secs => p_within_s), 'UTC') - interval '1 day'
                AND p.from_at < date_trunc('day', p_to + make_interval(secs => p_within_s), 'UTC') + interval '1 day' LIMIT 1)),
    ride AS MATERIALIZED (
        SELECT DISTINCT ON (t.tracker_id, t.from_at) t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path
        FROM stretch s, LATERAL cells_of(s.box) c, LATERAL (
            SELECT * FROM track p WHERE p.cell BETWEEN c.low AND c.high AND p.from_at >= s.since - interval '1 day' AND p.from_at <= s.until
                AND p.until_at >= s.since AND p.east >= s.west AND p.north >= s.south AND p.kind = 1 AND p.vehicle_id <> p_vehicle
            OFFSET 0) t
        WHERE c.low >> 42 IN (SELECT n FROM size)),
    fresh AS MATERIALIZED (
        -- by cell: a stretch of twelve minutes has most of a town in its box
        SELECT ST_SetSRID(ST_Extent(m.box)::geometry, 4326) AS box, greatest(min(m.since), max(r.rolled_to)) AS since, max(m.until) AS until
        FROM minute m, rollup_mark r WHERE m.until >= r.rolled_to
        GROUP BY floor(ST_X(m."position") * 100), floor(ST_Y(m."position") * 100), date_bin('15 minutes', m.fixed_at, 'epoch')),
    fresh_minute AS MATERIALIZED (
        SELECT ST_SetSRID(m.box, 4326) AS box, m.since, m.until FROM minute m, rollup_mark r WHERE m.until >= r.rolled_to),
    near AS MATERIALIZED (
        SELECT s.box, greatest(s.since, n.since) AS since, least(s.until, n.until) AS until, n.tracker_id FROM fresh s, LATERAL trackers_near(s.box, s.since, s.until) n)
    SELECT tracker_id, p_vehicle, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL::bytea, NULL::bytea, ST_X("position"), ST_Y("position"), speed_kmh FROM minute
    UNION ALL
    SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, ''::bytea, NULL::float8, NULL::float8, NULL::real FROM ride
    UNION ALL
    SELECT f.tracker_id, f.vehicle_id, f.fixed_at, f.fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X(f."position"), ST_Y(f."position"), f.speed_kmh
    FROM near n, LATERAL (
        SELECT * FROM fix h WHERE h.tracker_id = n.tracker_id AND h.fixed_at >= n.since AND h.fixed_at <= n.until AND h.flags & 140 = 0
            AND h.vehicle_id <> p_vehicle AND h."position" && n.box
        OFFSET 0) f
    WHERE EXISTS (SELECT 1 FROM fresh_minute m WHERE f.fixed_at >= m.since AND f.fixed_at <= m.until AND f."position" && m.box)
$function$;

CREATE OR REPLACE FUNCTION public.set_plate(p_vehicle bigint, p_plate text)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE
    old_key text;
    new_plate text := coalesce(plate_canonical(p_plate), '#' || p_vehicle);
    holder bigint := (SELECT vehicle_id FROM vehicle WHERE plate_key = plate_key(p_plate) AND vehicle_id <> p_vehicle ORDER BY vehicle_id LIMIT 1);
BEGIN
    SELECT plate_key INTO old_key FROM vehicle WHERE vehicle_id = p_vehicle FOR UPDATE;
    IF NOT FOUND THEN RETURN NULL; END IF;
    IF holder IS NOT NULL THEN
        RAISE EXCEPTION 'the plate % is that of vehicle %', new_plate, holder USING ERRCODE = 'P0409';
    END IF;
    UPDATE vehicle SET plate = new_plate WHERE vehicle_id = p_vehicle;
    DELETE FROM plate_unclear WHERE vehicle_id = p_vehicle;
    UPDATE vehicle SET plate = split_part(plate, '#', 1) WHERE plate_key = old_key AND old_key <> '' AND strpos(plate, '#') > 0
        AND 1 = (SELECT count(*) FROM vehicle WHERE plate_key = old_key);
    RETURN new_plate;
END $function$;

CREATE OR REPLACE FUNCTION public.summarize_hot_day(p_at timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT coalesce(sum(brin_summarize_new_values(x.indexrelid)), 0)::bigint
    FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam
    WHERE a.amname = 'brin' AND x.indrelid = to_regclass('public.fix_' || to_char(p_at AT TIME ZONE 'UTC', 'YYYYMMDD'))
$function$;

CREATE OR REPLACE FUNCTION public.take_token(p_scope text, p_key bigint, p_at timestamp with time zone, p_burst double precision, p_every_s double precision)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE left_over double precision;
BEGIN
    SELECT least(p_burst, tokens + greatest(0, extract(epoch FROM p_at - at)) / p_every_s) INTO left_over
    FROM bucket WHERE scope = p_scope AND key = p_key;
    left_over := coalesce(left_over, p_burst);
    IF left_over < 1 THEN RETURN false; END IF;
    INSERT INTO bucket VALUES (p_scope, p_key, left_over - 1, p_at)
    ON CONFLICT (scope, key) DO UPDATE SET tokens = EXCLUDED.tokens, at = greatest(bucket.at, EXCLUDED.at);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.tell_guarding(p_vehicle bigint)
 RETURNS bigint
 LANGUAGE sql
AS $function$
    SELECT add_setting(carrier_lane(g.vehicle_id), jsonb_build_object('kind', 'guarding', 'vehicle', g.vehicle_id,
        'policy', jsonb_build_object('schedule', g.schedule, 'auto_after_s', g.auto_after_s)))
    FROM guarding g WHERE g.vehicle_id = p_vehicle AND carrier_lane(g.vehicle_id) IS NOT NULL
$function$;

CREATE OR REPLACE FUNCTION public.tell_tracker(p_tracker bigint)
 RETURNS void
 LANGUAGE sql
AS $function$
    SELECT add_setting(lane_of(t.ident), jsonb_build_object('kind', 'tracker', 'tracker', t.tracker_id,
        'ident', t.ident, 'profile', t.profile, 'vehicle', i.vehicle_id, 'vehicle_kind', v.kind))
    FROM tracker t LEFT JOIN installation i ON i.tracker_id = t.tracker_id AND i.valid_to IS NULL LEFT JOIN vehicle v USING (vehicle_id)
    WHERE t.tracker_id = p_tracker
$function$;

CREATE OR REPLACE FUNCTION public.tell_zone(z zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE lane smallint := CASE WHEN z.vehicle_id IS NOT NULL THEN carrier_lane(z.vehicle_id) END;
BEGIN
    IF z.vehicle_id IS NULL OR lane IS NOT NULL THEN
        PERFORM add_setting(lane, jsonb_build_object('kind', 'zone', 'id', z.zone_id, 'name', z.name, 'shape', z.shape,
            'rule', z.rule, 'vehicle', z.vehicle_id, 'dwell_s', z.dwell_s, 'schedule', z.schedule, 'vehicle_kind', z.vehicle_kind));
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.track_of(p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone, p_limit integer)
 RETURNS TABLE(fixed_at timestamp with time zone, lon double precision, lat double precision, speed_kmh real)
 LANGUAGE sql
 STABLE
AS $function$
    SELECT DISTINCT t, x, y, v FROM (
        SELECT f.from_at AS t, f.lon AS x, f.lat AS y, f.speed_kmh AS v FROM pieces_of(p_vehicle, p_from, p_to) f WHERE f.kind = 0
        UNION ALL
        SELECT o.fixed_at, ST_X(o."position"), ST_Y(o."position"), o.speed_kmh
        FROM pieces_of(p_vehicle, p_from, p_to) f CROSS JOIN LATERAL piece_fixes(f.from_at, f.kind, f.path, f.more) o WHERE f.kind > 0
    ) every ORDER BY t LIMIT p_limit
$function$;

CREATE OR REPLACE FUNCTION public.tracker_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM add_setting(lane_of(OLD.ident), jsonb_build_object('kind', 'tracker_removed', 'ident', OLD.ident));
    ELSE
        PERFORM tell_tracker(NEW.tracker_id);
    END IF;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.trackers_near(p_box geometry, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS TABLE(tracker_id bigint, since timestamp with time zone, until timestamp with time zone)
 LANGUAGE sql
 STABLE
AS $function$
    WITH run AS MATERIALIZED (
        SELECT y::bigint * 90000 + floor((ST_XMin(p_box) + 180) * 250)::bigint AS low, y::bigint * 90000 + floor((ST_XMax(p_box) + 180) * 250)::bigint AS high
        FROM generate_series(floor((ST_YMin(p_box) + 90) * 250)::integer, floor((ST_YMax(p_box) + 90) * 250)::integer) y
        UNION ALL
        SELECT -1 - (y::bigint * 180000 + floor((ST_XMax(p_box) + 180) * 500)::bigint), -1 - (y::bigint * 180000 + floor((ST_XMin(p_box) + 180) * 500)::bigint)
        FROM generate_series(floor((ST_YMin(p_box) + 90) * 500)::integer, floor((ST_YMax(p_box) + 90) * 500)::integer) y)
    SELECT a.tracker_id, min(a.fixed_at), max(quarter) + interval '15 minutes'
    FROM generate_series(date_bin('15 minutes', p_from, 'epoch'), p_to, '15 minutes') quarter, run r,
        LATERAL (
            -- the quarter alone, as the index has it: beside a range of times the planner reads the index by time as well
            SELECT h.tracker_id, h.fixed_at FROM fix h
            WHERE date_bin('15 minutes', h.fixed_at, 'epoch') = quarter AND h.flags & 4096 <> 0
                AND CASE WHEN flags & 8192 <> 0 THEN -1 - (floor((ST_Y("position") + 90) * 500)::bigint * 180000 + floor((ST_X("position") + 180) * 500)::bigint)
                    ELSE floor((ST_Y("position") + 90) * 250)::bigint * 90000 + floor((ST_X("position") + 180) * 250)::bigint END BETWEEN r.low AND r.high
            OFFSET 0) a     -- the planner must not turn this round
    GROUP BY a.tracker_id
$function$;

CREATE OR REPLACE FUNCTION public.transfer_vehicle(p_vehicle bigint, p_to bigint)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE at timestamptz := clock_timestamp();
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    UPDATE ownership SET valid_to = greatest(at, valid_from + interval '1 microsecond')
        WHERE vehicle_id = p_vehicle AND valid_to IS NULL AND account_id <> p_to RETURNING valid_to INTO at;
    IF NOT FOUND THEN PERFORM refuse('P0409', 'refused', format('vehicle %s has no other owner than this one', p_vehicle)); END IF;
    INSERT INTO ownership (vehicle_id, account_id, valid_from) VALUES (p_vehicle, p_to, at);
END $function$;

CREATE OR REPLACE FUNCTION public.unzigzag(v bigint)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$ SELECT (v >> 1) # -(v & 1) $function$;

CREATE OR REPLACE FUNCTION public.varints(p_bytes bytea)
 RETURNS bigint[]
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
DECLARE
    numbers bigint[] := '{}';
    number  bigint := 0;
    shift   integer := 0;
    byte    integer;
BEGIN
    FOR i IN 0 .. length(p_bytes) - 1 LOOP
        byte := get_byte(p_bytes, i);
        number := number | ((byte & 127)::bigint << shift);
        IF byte < 128 THEN
            numbers := numbers || number;
            number := 0;
            shift := 0;
        ELSE
            shift := shift + 7;
        END IF;
    END LOOP;
    RETURN numbers;
END $function$;

CREATE OR REPLACE FUNCTION public.vehicle_as_json(p_vehicle bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
    RETURN (
        SELECT jsonb_build_object('id', v.vehicle_id::text, 'plate', v.plate, 'kind', v.kind, 'model', v.model, 'tracker', t.ident,
            'armed', coalesce(g.armed, false), 'armed_at', CASE WHEN g.armed THEN g.since END,
            'protection', CASE WHEN g.armed IS NOT TRUE THEN 'off' WHEN c.contact IN ('online', 'late') THEN 'protected' ELSE 'no_contact' END,
            'guard_point', CASE WHEN g.armed AND g.guard_lat IS NOT NULL THEN jsonb_build_object('lat', g.guard_lat, 'lon', g.guard_lon) END,
            'last_fix', CASE WHEN s.position IS NOT NULL THEN jsonb_build_object('fixed_at', s.fixed_at, 'received_at', s.received_at,
                'lat', ST_Y(s.position), 'lon', ST_X(s.position), 'speed_kmh', s.speed_kmh, 'course_deg', s.course_deg,
                'satellites', s.satellites, 'accuracy_m', s.accuracy_m,
                'source', (ARRAY['gnss', 'cell', 'wifi'])[s.source + 1]) END,
            'last_heard_at', s.last_heard_at, 'contact', c.contact, 'report_interval_s', s.report_interval_s,
            'battery_percent', s.battery_percent, 'external_power', s.external_power,
            'ignition', s.ignition, 'open_incident', i.incident_id::text, 'open_incident_answer', i.answer)
        FROM vehicle v
        LEFT JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL
        LEFT JOIN tracker t USING (tracker_id)
        LEFT JOIN tracker_status s USING (tracker_id)
        CROSS JOIN LATERAL (SELECT contact_of(s.last_heard_at, s.report_interval_s)) AS c (contact)
        LEFT JOIN guard_status g ON g.vehicle_id = v.vehicle_id
        LEFT JOIN incident i ON i.vehicle_id = v.vehicle_id AND i.closed_at IS NULL
        WHERE v.vehicle_id = p_vehicle);
END $function$;

CREATE OR REPLACE FUNCTION public.vehicle_of_plate(p_text text)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    said   text := normalize(coalesce(p_text, ''), NFKC);
    number bigint := substring(said FROM '#([0-9]{1,18})\s*$')::bigint;
    key    text := plate_key(CASE WHEN number IS NULL THEN said ELSE split_part(said, '#', 1) END);
    found_ids bigint[] := ARRAY(SELECT vehicle_id FROM vehicle WHERE plate_key = key AND (number IS NOT NULL OR key <> '')
        AND (number IS NULL OR vehicle_id = number) ORDER BY vehicle_id LIMIT 10);
    names  text;
BEGIN
    IF cardinality(found_ids) > 1 THEN
        SELECT string_agg(plate_canonical(split_part(plate, '#', 1)) || '#' || vehicle_id, ', ' ORDER BY vehicle_id) INTO names
        FROM vehicle WHERE vehicle_id = ANY (found_ids);
        PERFORM refuse('P0409', 'plate_shared', format('vehicles share this plate; name one of them: %s', names), jsonb_build_object('plates', names));
    END IF;
    RETURN found_ids[1];
END $function$;

CREATE OR REPLACE FUNCTION public.write_audit(p_account bigint, p_grant bigint, p_action text, p_question jsonb, p_rows integer)
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO audit (account_id, grant_id, action, question, rows_returned) VALUES (p_account, p_grant, p_action, p_question, p_rows)
$function$;

CREATE OR REPLACE FUNCTION public.zone_as_json(z zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('id', z.zone_id::text, 'name', z.name, 'rule', z.rule, 'shape', z.shape, 'crs', z.crs, 'drawn_crs', z.drawn_crs,
        'vehicle_id', z.vehicle_id::text, 'dwell_s', z.dwell_s, 'schedule', z.schedule, 'vehicle_kind', z.vehicle_kind, 'created_at', z.created_at)
$function$;

CREATE OR REPLACE FUNCTION public.zone_audited()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE z zone := coalesce(NEW, OLD);
BEGIN
    PERFORM write_audit(z.account_id, NULL, 'zone', jsonb_build_object('zone', z.zone_id, 'change', lower(TG_OP), 'rule', z.rule, 'vehicle', z.vehicle_id), NULL);
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.zone_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'DELETE' THEN    -- to every lane: the vehicle may have changed its tracker
        PERFORM add_setting(NULL, jsonb_build_object('kind', 'zone_removed', 'zone', OLD.zone_id));
    ELSE
        PERFORM tell_zone(NEW);
    END IF;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.zone_ring(p_corners jsonb)
 RETURNS geometry
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT ST_AddPoint(line, ST_StartPoint(line)) FROM (
        SELECT ST_SetSRID(ST_MakeLine(ST_MakePoint((c ->> 'lon_deg')::float8, (c ->> 'lat_deg')::float8) ORDER BY n), 4326) AS line
        FROM jsonb_array_elements(p_corners) WITH ORDINALITY AS e (c, n)) l
$function$;

CREATE TRIGGER grant_given AFTER INSERT ON public.access_grant FOR EACH STATEMENT EXECUTE FUNCTION grant_given();

CREATE TRIGGER audit_seal_is_only_added_to BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_seal FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();

CREATE TRIGGER audit_is_only_added_to BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();

CREATE TRIGGER incident_versioned BEFORE UPDATE ON public.incident FOR EACH ROW WHEN (((((old.answer IS DISTINCT FROM new.answer) OR (old.answered_at IS DISTINCT FROM new.answered_at)) OR (old.closed_at IS DISTINCT FROM new.closed_at)) OR (old.ended_by IS DISTINCT FROM new.ended_by))) EXECUTE FUNCTION incident_versioned();

CREATE TRIGGER installation_changed AFTER INSERT OR DELETE OR UPDATE ON public.installation FOR EACH ROW EXECUTE FUNCTION installation_changed();

CREATE TRIGGER ownership_ended AFTER UPDATE OF valid_to ON public.ownership FOR EACH ROW WHEN (((old.valid_to IS NULL) AND (new.valid_to IS NOT NULL))) EXECUTE FUNCTION ownership_ended();

CREATE TRIGGER tracker_changed AFTER INSERT OR DELETE OR UPDATE ON public.tracker FOR EACH ROW EXECUTE FUNCTION tracker_changed();

CREATE TRIGGER plate_changed AFTER UPDATE OF plate ON public.vehicle FOR EACH ROW WHEN ((old.plate <> new.plate)) EXECUTE FUNCTION plate_changed();

CREATE TRIGGER zone_audited AFTER INSERT OR DELETE OR UPDATE ON public.zone FOR EACH ROW EXECUTE FUNCTION zone_audited();

CREATE TRIGGER zone_changed AFTER INSERT OR DELETE OR UPDATE ON public.zone FOR EACH ROW EXECUTE FUNCTION zone_changed();
