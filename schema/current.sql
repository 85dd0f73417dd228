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
    tell_owner_after_days integer DEFAULT 30 NOT NULL,
    CHECK (((tell_owner_after_days >= 0) AND (tell_owner_after_days <= 3650))),
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
    password_hash text,
    webhook_url text,
    webhook_secret text,
    disabled boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    phone text,
    without_second_factor boolean DEFAULT false NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    id_number_hmac bytea,
    id_number_last4 text,
    searched text GENERATED ALWAYS AS (((' '::text || lower(name)) || COALESCE((((' '::text || "left"(phone, GREATEST((length(phone) - 8), 1))) || ' '::text) || "right"(phone, 4)), ''::text))) STORED,
    CHECK ((id_number_last4 ~ '^[0-9]{3}[0-9X]$'::text)),
    CHECK ((login ~ '^[A-Za-z0-9._@-]{1,64}$'::text)),
    CHECK ((octet_length(id_number_hmac) = 32)),
    CHECK ((phone ~ '^\+[1-9][0-9]{6,14}$'::text)),
    CHECK ((role = ANY (ARRAY['owner'::text, 'family'::text, 'installer'::text, 'operator'::text, 'police'::text, 'approver'::text, 'auditor'::text, 'admin'::text]))),
    FOREIGN KEY (unit_id) REFERENCES unit(unit_id),
    PRIMARY KEY (account_id),
    UNIQUE (login),
    UNIQUE (phone)
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

CREATE TABLE consent (
    consent_id bigint DEFAULT random_id() NOT NULL,
    account_id bigint NOT NULL,
    version text NOT NULL,
    given_at timestamp with time zone DEFAULT now() NOT NULL,
    channel text NOT NULL,
    taken_by bigint,
    withdrawn_at timestamp with time zone,
    withdrawn_channel text,
    CHECK (((length(version) >= 1) AND (length(version) <= 32))),
    CHECK ((channel = ANY (ARRAY['door'::text, 'page'::text, 'paper'::text, 'import'::text]))),
    CHECK ((withdrawn_at >= given_at)),
    CHECK ((withdrawn_channel = ANY (ARRAY['door'::text, 'page'::text, 'paper'::text]))),
    FOREIGN KEY (account_id) REFERENCES account(account_id),
    FOREIGN KEY (taken_by) REFERENCES account(account_id),
    PRIMARY KEY (consent_id)
);

CREATE TABLE coverage_gap (
    lane smallint NOT NULL,
    cause text NOT NULL,
    from_at timestamp with time zone NOT NULL,
    until_at timestamp with time zone NOT NULL,
    CHECK ((cause = ANY (ARRAY['connection'::text, 'session_lost'::text, 'away'::text, 'door_away'::text]))),
    PRIMARY KEY (lane, from_at, until_at, cause)
);

CREATE TABLE door_job (
    job_id bigint DEFAULT random_id() NOT NULL,
    unit_id bigint,
    day date NOT NULL,
    work text NOT NULL,
    place text NOT NULL,
    plate text,
    made_by bigint NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    done_at timestamp with time zone,
    reason text,
    CHECK (((length(reason) >= 1) AND (length(reason) <= 200))),
    CHECK ((length(place) <= 200)),
    CHECK ((work = ANY (ARRAY['install'::text, 'refit'::text, 'replace'::text, 'remove'::text]))),
    FOREIGN KEY (made_by) REFERENCES account(account_id),
    FOREIGN KEY (unit_id) REFERENCES unit(unit_id),
    PRIMARY KEY (job_id)
);

CREATE TABLE door_listener (
    worker text NOT NULL,
    listener smallint NOT NULL,
    language text NOT NULL,
    address text NOT NULL,
    is_udp boolean NOT NULL,
    is_tls boolean NOT NULL,
    connected integer NOT NULL,
    strangers integer NOT NULL,
    ended jsonb NOT NULL,
    FOREIGN KEY (worker) REFERENCES door_worker(worker) ON DELETE CASCADE,
    PRIMARY KEY (worker, listener)
);

CREATE TABLE door_photo (
    visit_id bigint NOT NULL,
    media text NOT NULL,
    content bytea NOT NULL,
    put_at timestamp with time zone DEFAULT now() NOT NULL,
    CHECK (((octet_length(content) >= 1) AND (octet_length(content) <= 307200))),
    CHECK ((media = ANY (ARRAY['image/jpeg'::text, 'image/png'::text, 'image/webp'::text]))),
    FOREIGN KEY (visit_id) REFERENCES door_visit(visit_id),
    PRIMARY KEY (visit_id)
);

CREATE TABLE door_visit (
    visit_id bigint DEFAULT random_id() NOT NULL,
    installer_id bigint NOT NULL,
    key text NOT NULL,
    unit_id bigint,
    job_id bigint,
    work text NOT NULL,
    vehicle_id bigint NOT NULL,
    tracker_id bigint NOT NULL,
    owner_id bigint,
    consent text NOT NULL,
    consented_at timestamp with time zone NOT NULL,
    reason text,
    began_at timestamp with time zone DEFAULT now() NOT NULL,
    shaken_at timestamp with time zone,
    unplugged_at timestamp with time zone,
    drill_at timestamp with time zone,
    ended_at timestamp with time zone,
    outcome text,
    without text[] DEFAULT '{}'::text[] NOT NULL,
    without_why text,
    CHECK (((ended_at IS NULL) = (outcome IS NULL))),
    CHECK (((length(reason) >= 1) AND (length(reason) <= 200))),
    CHECK (((length(without_why) >= 1) AND (length(without_why) <= 200))),
    CHECK (((without = '{}'::text[]) OR (without_why IS NOT NULL) OR (owner_id IS NULL))),
    CHECK ((consent ~ '^[A-Za-z0-9._-]{1,32}$'::text)),
    CHECK ((key ~ '^[A-Za-z0-9-]{8,64}$'::text)),
    CHECK ((outcome = ANY (ARRAY['handed_over'::text, 'given_up'::text]))),
    CHECK ((work = ANY (ARRAY['install'::text, 'refit'::text, 'replace'::text]))),
    FOREIGN KEY (installer_id) REFERENCES account(account_id),
    FOREIGN KEY (job_id) REFERENCES door_job(job_id),
    FOREIGN KEY (owner_id) REFERENCES account(account_id),
    FOREIGN KEY (tracker_id) REFERENCES tracker(tracker_id),
    FOREIGN KEY (unit_id) REFERENCES unit(unit_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (visit_id),
    UNIQUE (installer_id, key)
);

CREATE TABLE door_worker (
    worker text NOT NULL,
    began_at timestamp with time zone NOT NULL,
    beat_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    is_list_read boolean NOT NULL,
    CHECK (((length(worker) >= 1) AND (length(worker) <= 64))),
    PRIMARY KEY (worker)
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

CREATE TABLE erasure_request (
    receipt_sha256 bytea NOT NULL,
    account_id bigint NOT NULL,
    asked_at timestamp with time zone DEFAULT now() NOT NULL,
    erasure_id bigint,
    FOREIGN KEY (account_id) REFERENCES account(account_id),
    FOREIGN KEY (erasure_id) REFERENCES erasure(erasure_id),
    PRIMARY KEY (receipt_sha256),
    UNIQUE (account_id)
);

CREATE TABLE family_member (
    family_member_id bigint DEFAULT random_id() NOT NULL,
    vehicle_id bigint NOT NULL,
    invited_by bigint NOT NULL,
    account_id bigint,
    name text NOT NULL,
    may text NOT NULL,
    code_sha256 bytea NOT NULL,
    invited_at timestamp with time zone DEFAULT now() NOT NULL,
    code_ends_at timestamp with time zone NOT NULL,
    accepted_at timestamp with time zone,
    ends_at timestamp with time zone,
    ended_at timestamp with time zone,
    CHECK ((may = ANY (ARRAY['see'::text, 'arm'::text, 'answer'::text]))),
    FOREIGN KEY (account_id) REFERENCES account(account_id),
    FOREIGN KEY (invited_by) REFERENCES account(account_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (family_member_id),
    UNIQUE (code_sha256)
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
    found_at timestamp with time zone DEFAULT now(),
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

CREATE TABLE idempotent_call (
    account_id bigint NOT NULL,
    key text NOT NULL,
    asked_sha256 bytea NOT NULL,
    thing_id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CHECK (((length(key) >= 1) AND (length(key) <= 64))),
    CHECK ((octet_length(asked_sha256) = 32)),
    FOREIGN KEY (account_id) REFERENCES account(account_id) ON DELETE CASCADE,
    PRIMARY KEY (account_id, key)
);

CREATE TABLE import_job (
    import_id bigint DEFAULT random_id() NOT NULL,
    who asker NOT NULL,
    file_name text NOT NULL,
    state text DEFAULT 'new'::text NOT NULL,
    headers jsonb DEFAULT '[]'::jsonb NOT NULL,
    mapping jsonb DEFAULT '[]'::jsonb NOT NULL,
    only_good boolean,
    reason text NOT NULL,
    rows integer DEFAULT 0 NOT NULL,
    bad integer DEFAULT 0 NOT NULL,
    position integer DEFAULT 0 NOT NULL,
    gone_through integer DEFAULT 0 NOT NULL,
    refused integer DEFAULT 0 NOT NULL,
    people_made integer DEFAULT 0 NOT NULL,
    vehicles_made integer DEFAULT 0 NOT NULL,
    trackers_made integer DEFAULT 0 NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    CHECK (((length(file_name) >= 1) AND (length(file_name) <= 128))),
    CHECK ((state = ANY (ARRAY['new'::text, 'filling'::text, 'checked'::text, 'running'::text, 'done'::text, 'cancelled'::text]))),
    PRIMARY KEY (import_id)
);

CREATE TABLE import_problem (
    import_id bigint NOT NULL,
    line integer NOT NULL,
    field text NOT NULL,
    value text NOT NULL,
    code text NOT NULL,
    allowed text NOT NULL,
    FOREIGN KEY (import_id) REFERENCES import_job(import_id) ON DELETE CASCADE,
    PRIMARY KEY (import_id, line, field)
);

CREATE TABLE import_row (
    import_id bigint NOT NULL,
    line integer NOT NULL,
    cells jsonb NOT NULL,
    content jsonb,
    FOREIGN KEY (import_id) REFERENCES import_job(import_id) ON DELETE CASCADE,
    PRIMARY KEY (import_id, line)
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
    EXCLUDE USING gist (tracker_id WITH =, tstzrange(valid_from, valid_to) WITH &&) WHERE ((valid_to IS NOT NULL)),
    EXCLUDE USING gist (vehicle_id WITH =, tstzrange(valid_from, valid_to) WITH &&) WHERE ((valid_to IS NOT NULL)),
    FOREIGN KEY (tracker_id) REFERENCES tracker(tracker_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (tracker_id, valid_from)
);

CREATE TABLE invitation (
    account_id bigint NOT NULL,
    code_sha256 bytea NOT NULL,
    made_by bigint,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CHECK ((octet_length(code_sha256) = 32)),
    FOREIGN KEY (account_id) REFERENCES account(account_id) ON DELETE CASCADE,
    FOREIGN KEY (made_by) REFERENCES account(account_id),
    PRIMARY KEY (account_id),
    UNIQUE (code_sha256)
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

CREATE TABLE live_stream (
    ticket_sha256 bytea NOT NULL,
    account_id bigint NOT NULL,
    session_sha256 bytea NOT NULL,
    grant_id bigint,
    opened_at timestamp with time zone DEFAULT now() NOT NULL,
    FOREIGN KEY (account_id) REFERENCES account(account_id) ON DELETE CASCADE,
    FOREIGN KEY (grant_id) REFERENCES access_grant(grant_id),
    PRIMARY KEY (ticket_sha256)
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
    lost_of jsonb DEFAULT '{}'::jsonb NOT NULL,
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
    EXCLUDE USING gist (vehicle_id WITH =, tstzrange(valid_from, valid_to) WITH &&) WHERE ((valid_to IS NOT NULL)),
    FOREIGN KEY (account_id) REFERENCES account(account_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (vehicle_id, valid_from)
);

CREATE TABLE password_reset (
    account_id bigint NOT NULL,
    code_sha256 bytea NOT NULL,
    made_by bigint,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CHECK ((octet_length(code_sha256) = 32)),
    FOREIGN KEY (account_id) REFERENCES account(account_id) ON DELETE CASCADE,
    FOREIGN KEY (made_by) REFERENCES account(account_id),
    PRIMARY KEY (account_id),
    UNIQUE (code_sha256)
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

CREATE TABLE positioning_off (
    vehicle_id bigint NOT NULL,
    off_at timestamp with time zone DEFAULT now() NOT NULL,
    on_at timestamp with time zone,
    by_account bigint,
    reason text NOT NULL,
    CHECK ((on_at > off_at)),
    CHECK ((reason = ANY (ARRAY['choice'::text, 'consent'::text]))),
    FOREIGN KEY (by_account) REFERENCES account(account_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (vehicle_id, off_at)
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

CREATE TABLE recovery_code (
    account_id bigint NOT NULL,
    code_sha256 bytea NOT NULL,
    CHECK ((octet_length(code_sha256) = 32)),
    FOREIGN KEY (account_id) REFERENCES account(account_id) ON DELETE CASCADE,
    PRIMARY KEY (account_id, code_sha256)
);

CREATE TABLE registry_change (
    change_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    kind text NOT NULL,
    person_id bigint,
    vehicle_id bigint,
    tracker_id bigint,
    by_account bigint,
    reason text,
    import_id bigint,
    was jsonb,
    becomes jsonb,
    CHECK ((kind = ANY (ARRAY['person'::text, 'vehicle'::text, 'tracker'::text, 'installation'::text, 'ownership'::text, 'enrolled'::text]))),
    PRIMARY KEY (change_id)
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

CREATE TABLE second_factor (
    account_id bigint NOT NULL,
    sealed bytea NOT NULL,
    last_step bigint NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    CHECK (((octet_length(sealed) >= 29) AND (octet_length(sealed) <= 128))),
    FOREIGN KEY (account_id) REFERENCES account(account_id) ON DELETE CASCADE,
    PRIMARY KEY (account_id)
);

CREATE TABLE session (
    token_sha256 bytea NOT NULL,
    account_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    session_id bigint DEFAULT random_id() NOT NULL,
    last_used_at timestamp with time zone DEFAULT now() NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL,
    CHECK ((length(user_agent) <= 200)),
    FOREIGN KEY (account_id) REFERENCES account(account_id) ON DELETE CASCADE,
    PRIMARY KEY (token_sha256),
    UNIQUE (session_id)
);

CREATE TABLE setting (
    setting_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    lane smallint,
    content jsonb NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    PRIMARY KEY (setting_id)
);

CREATE TABLE setup_code (
    one boolean DEFAULT true NOT NULL,
    code_sha256 bytea NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    CHECK ((octet_length(code_sha256) = 32)),
    CHECK (one),
    PRIMARY KEY (one)
);

CREATE TABLE share_link (
    share_link_id bigint DEFAULT random_id() NOT NULL,
    vehicle_id bigint NOT NULL,
    account_id bigint NOT NULL,
    incident_id bigint NOT NULL,
    token_sha256 bytea NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    openings_max integer NOT NULL,
    revoked_at timestamp with time zone,
    CHECK (((openings_max >= 1) AND (openings_max <= 1000))),
    FOREIGN KEY (account_id) REFERENCES account(account_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (share_link_id),
    UNIQUE (token_sha256)
);

CREATE TABLE share_opening (
    share_link_id bigint NOT NULL,
    visit_sha256 bytea NOT NULL,
    opened_at timestamp with time zone DEFAULT now() NOT NULL,
    FOREIGN KEY (share_link_id) REFERENCES share_link(share_link_id) ON DELETE CASCADE,
    PRIMARY KEY (share_link_id, visit_sha256)
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
    model text DEFAULT ''::text NOT NULL,
    iccid text,
    sim_number text,
    batch text DEFAULT ''::text NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    searched text GENERATED ALWAYS AS ((((((((' '::text || lower(ident)) || ' '::text) || COALESCE(iccid, ''::text)) || ' '::text) || COALESCE(sim_number, ''::text)) || ' '::text) || lower(batch))) STORED,
    CHECK ((iccid ~ '^[0-9]{17,19}[0-9A-F]$'::text)),
    CHECK ((ident !~* '^rideguard'::text)) NOT VALID,
    CHECK ((ident ~ '^[A-Za-z0-9_-]{1,32}$'::text)),
    CHECK ((length(batch) <= 64)),
    CHECK ((length(model) <= 64)),
    CHECK ((sim_number ~ '^\+?[0-9]{5,15}$'::text)),
    FOREIGN KEY (unit_id) REFERENCES unit(unit_id),
    PRIMARY KEY (tracker_id),
    UNIQUE (ident)
);

CREATE TABLE tracker_connection (
    tracker_id bigint NOT NULL,
    began_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    reason text,
    language text NOT NULL,
    is_udp boolean NOT NULL,
    is_tls boolean NOT NULL,
    mqtt text,
    network cidr NOT NULL,
    worker text NOT NULL,
    listener smallint NOT NULL,
    CHECK (((ended_at IS NULL) = (reason IS NULL))),
    CHECK ((masklen((network)::inet) <=
CASE family((network)::inet)
    WHEN 4 THEN 24
    ELSE 48
END)),
    CHECK ((mqtt = ANY (ARRAY['3.1.1'::text, '5'::text]))),
    PRIMARY KEY (tracker_id)
);

CREATE TABLE tracker_credential (
    tracker_id bigint NOT NULL,
    password_hash text,
    claim_sha256 bytea,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    revoked_at timestamp with time zone,
    changed_by xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CHECK (((password_hash IS NULL) = (revoked_at IS NOT NULL))),
    CHECK ((length(claim_sha256) = 32)),
    CHECK ((password_hash ~ '^\$7\$[1-9][0-9]{0,5}\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==$'::text)),
    FOREIGN KEY (tracker_id) REFERENCES tracker(tracker_id),
    PRIMARY KEY (tracker_id)
);

CREATE TABLE tracker_socket (
    tracker_id bigint NOT NULL,
    is_admitted boolean NOT NULL,
    code_sha256 bytea,
    code_before_sha256 bytea,
    terminal_sha256 bytea,
    registered_at timestamp with time zone,
    changed_by xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CHECK ((((code_sha256 IS NULL) = (terminal_sha256 IS NULL)) AND ((code_sha256 IS NULL) = (registered_at IS NULL)))),
    CHECK ((length(code_before_sha256) = 32)),
    CHECK ((length(code_sha256) = 32)),
    CHECK ((length(terminal_sha256) = 32)),
    FOREIGN KEY (tracker_id) REFERENCES tracker(tracker_id),
    PRIMARY KEY (tracker_id)
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
    organisation_id bigint DEFAULT 0 NOT NULL,
    PRIMARY KEY (hour, x, y, organisation_id)
);

CREATE TABLE transfer (
    transfer_id bigint DEFAULT random_id() NOT NULL,
    vehicle_id bigint NOT NULL,
    reason text NOT NULL,
    document text DEFAULT ''::text NOT NULL,
    made_by bigint NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    takes_place_at timestamp with time zone,
    code_sha256 bytea,
    code_ends_at timestamp with time zone,
    to_account bigint,
    accepted_at timestamp with time zone,
    done_at timestamp with time zone,
    cancelled_at timestamp with time zone,
    CHECK ((reason = ANY (ARRAY['offer'::text, 'sale'::text, 'death'::text, 'repossession'::text, 'insurer_recovery'::text]))),
    FOREIGN KEY (made_by) REFERENCES account(account_id),
    FOREIGN KEY (to_account) REFERENCES account(account_id),
    FOREIGN KEY (vehicle_id) REFERENCES vehicle(vehicle_id),
    PRIMARY KEY (transfer_id),
    UNIQUE (code_sha256)
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
    unit_id bigint,
    make text DEFAULT ''::text NOT NULL,
    colour text DEFAULT ''::text NOT NULL,
    motor_number text,
    version integer DEFAULT 1 NOT NULL,
    searched text GENERATED ALWAYS AS ((((((' '::text || lower(
CASE
    WHEN (plate ~ '^erased-'::text) THEN ''::text
    ELSE replace(plate, '·'::text, ''::text)
END)) || ' '::text) || lower(COALESCE(frame_number, ''::text))) || ' '::text) || lower(COALESCE(motor_number, ''::text)))) STORED,
    CHECK ((((length(plate) <= 17) AND (plate ~ '^([\u4e00-\u9fff][A-Z]|[\u4e00-\u9fff]{2,})\u00b7[A-Z]*[0-9][0-9A-Z]*$'::text)) OR (plate = ('erased-'::text || vehicle_id)) OR COALESCE((plate = plate_canonical(plate)), false) OR (plate = ((COALESCE(plate_canonical(split_part(plate, '#'::text, 1)), ''::text) || '#'::text) || vehicle_id)))),
    CHECK ((kind = ANY (ARRAY['ebike'::text, 'motorcycle'::text]))),
    CHECK ((length(colour) <= 32)),
    CHECK ((length(make) <= 64)),
    CHECK ((motor_number ~ '^[A-Z0-9-]{4,32}$'::text)),
    FOREIGN KEY (unit_id) REFERENCES unit(unit_id),
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

CREATE INDEX account_characters ON public.account USING gin (string_to_array((searched COLLATE "C"), NULL::text)) WHERE (role = ANY (ARRAY['owner'::text, 'family'::text]));

CREATE INDEX account_of_nobody ON public.account USING btree (account_id) WHERE ((unit_id IS NULL) AND (role = ANY (ARRAY['owner'::text, 'family'::text, 'installer'::text])));

CREATE INDEX account_operator ON public.account USING btree (unit_id) WHERE (role = 'operator'::text);

CREATE INDEX account_searched ON public.account USING gin (searched gin_trgm_ops) WHERE (role = ANY (ARRAY['owner'::text, 'family'::text]));

CREATE INDEX alert_vehicle ON public.alert USING btree (vehicle_id, alert_id DESC);

CREATE INDEX audit_log_in ON public.audit USING btree (account_id) WHERE (action = 'log_in'::text);

CREATE INDEX audit_newest ON public.audit USING gin (((question -> 'vehicles'::text))) WHERE (action = 'newest'::text);

CREATE INDEX audit_seal_before ON public.audit_seal USING btree (before);

CREATE INDEX audit_vehicle ON public.audit USING btree (((question ->> 'vehicle'::text))) WHERE ((grant_id IS NOT NULL) AND (question ? 'vehicle'::text));

CREATE INDEX audit_xact ON public.audit USING btree (xact);

CREATE INDEX consent_account ON public.consent USING btree (account_id, given_at);

CREATE INDEX coverage_gap_time ON public.coverage_gap USING btree (until_at DESC);

CREATE INDEX door_job_day ON public.door_job USING btree (day, job_id);

CREATE INDEX door_job_done ON public.door_job USING btree (done_at) WHERE (done_at IS NOT NULL);

CREATE UNIQUE INDEX door_visit_open ON public.door_visit USING btree (vehicle_id) WHERE (ended_at IS NULL);

CREATE INDEX door_visit_owner ON public.door_visit USING btree (owner_id);

CREATE INDEX door_visit_tried ON public.door_visit USING btree (tracker_id) WHERE (ended_at IS NULL);

CREATE INDEX door_visit_vehicle ON public.door_visit USING btree (vehicle_id, began_at);

CREATE INDEX erased_window_vehicle ON public.erased_window USING btree (vehicle_id);

CREATE INDEX family_member_account ON public.family_member USING btree (account_id) WHERE (ended_at IS NULL);

CREATE INDEX family_member_vehicle ON public.family_member USING btree (vehicle_id) WHERE (ended_at IS NULL);

CREATE INDEX fix_footprint ON ONLY public.fix USING btree (date_bin('00:15:00'::interval, fixed_at, '1970-01-01 00:00:00+00'::timestamp with time zone), (
CASE
    WHEN (((flags)::integer & 8192) <> 0) THEN ('-1'::integer - (((floor(((st_y("position") + (90)::double precision) * (500)::double precision)))::bigint * 180000) + (floor(((st_x("position") + (180)::double precision) * (500)::double precision)))::bigint))
    ELSE (((floor(((st_y("position") + (90)::double precision) * (250)::double precision)))::bigint * 90000) + (floor(((st_x("position") + (180)::double precision) * (250)::double precision)))::bigint)
END)) WHERE (((flags)::integer & 4096) <> 0);

CREATE INDEX grant_vehicle_vehicle ON public.grant_vehicle USING btree (vehicle_id);

CREATE INDEX handed_over_lane_handed_over_id_idx ON public.handed_over USING btree (lane, handed_over_id);

CREATE INDEX import_running ON public.import_job USING btree (started_at) WHERE (state = 'running'::text);

CREATE UNIQUE INDEX incident_open ON public.incident USING btree (vehicle_id) WHERE (closed_at IS NULL);

CREATE INDEX incident_vehicle ON public.incident USING btree (vehicle_id, opened_at);

CREATE INDEX installation_history ON public.installation USING btree (vehicle_id, valid_from);

CREATE UNIQUE INDEX installation_tracker ON public.installation USING btree (tracker_id) WHERE (valid_to IS NULL);

CREATE UNIQUE INDEX installation_vehicle ON public.installation USING btree (vehicle_id) WHERE (valid_to IS NULL);

CREATE INDEX journal_block_key ON public.journal_block USING btree (lane, key_id);

CREATE INDEX journal_key_holder ON public.journal_key USING btree (holder, day);

CREATE INDEX journal_time ON public.journal USING brin (first_at);

CREATE INDEX legal_hold_vehicle ON public.legal_hold USING btree (vehicle_id);

CREATE INDEX live_stream_opened ON public.live_stream USING btree (opened_at);

CREATE INDEX outage_part_time ON public.outage_part USING btree (noticed_at DESC);

CREATE INDEX outbox_due ON public.outbox USING btree (due_at) WHERE (state = 'due'::text);

CREATE INDEX outbox_new ON public.outbox USING btree (outbox_id) WHERE ((state = 'due'::text) AND (NOT admitted));

CREATE INDEX ownership_account ON public.ownership USING btree (account_id);

CREATE UNIQUE INDEX ownership_current ON public.ownership USING btree (vehicle_id) WHERE (valid_to IS NULL);

CREATE INDEX phone_token_vehicle ON public.phone_token USING btree (vehicle_id);

CREATE INDEX positioning_off_by ON public.positioning_off USING btree (by_account);

CREATE UNIQUE INDEX positioning_off_now ON public.positioning_off USING btree (vehicle_id) WHERE (on_at IS NULL);

CREATE INDEX quarantine_tracker ON public.quarantine USING btree (tracker_id, received_at DESC);

CREATE INDEX registry_change_person ON public.registry_change USING btree (person_id, change_id) WHERE (person_id IS NOT NULL);

CREATE INDEX registry_change_tracker ON public.registry_change USING btree (tracker_id, change_id) WHERE (tracker_id IS NOT NULL);

CREATE INDEX registry_change_vehicle ON public.registry_change USING btree (vehicle_id, change_id) WHERE (vehicle_id IS NOT NULL);

CREATE INDEX session_account ON public.session USING btree (account_id);

CREATE INDEX setting_by_lane ON public.setting USING btree (lane, setting_id);

CREATE INDEX share_link_incident ON public.share_link USING btree (incident_id);

CREATE INDEX share_link_vehicle ON public.share_link USING btree (vehicle_id);

CREATE INDEX track_box ON ONLY public.track USING btree (cell, from_at, until_at, east, north);

CREATE INDEX track_open_cell ON public.track_open USING btree (cell, from_at);

CREATE INDEX track_tracker ON ONLY public.track USING btree (tracker_id, from_at);

CREATE INDEX tracker_batch ON public.tracker USING btree (batch, ident);

CREATE INDEX tracker_connection_open ON public.tracker_connection USING btree (worker) WHERE (ended_at IS NULL);

CREATE INDEX tracker_credential_changed ON public.tracker_credential USING btree (changed_by);

CREATE INDEX tracker_of_nobody ON public.tracker USING btree (tracker_id) WHERE (unit_id IS NULL);

CREATE INDEX tracker_searched ON public.tracker USING gin (searched gin_trgm_ops);

CREATE INDEX tracker_socket_changed ON public.tracker_socket USING btree (changed_by);

CREATE INDEX tracker_status_position ON public.tracker_status USING gist ("position");

CREATE INDEX tracker_unit ON public.tracker USING btree (unit_id);

CREATE INDEX transfer_buyer ON public.transfer USING btree (to_account) WHERE ((done_at IS NULL) AND (cancelled_at IS NULL));

CREATE INDEX transfer_due ON public.transfer USING btree (takes_place_at) WHERE ((accepted_at IS NOT NULL) AND (done_at IS NULL) AND (cancelled_at IS NULL));

CREATE UNIQUE INDEX transfer_open ON public.transfer USING btree (vehicle_id) WHERE ((done_at IS NULL) AND (cancelled_at IS NULL));

CREATE INDEX vehicle_of_nobody ON public.vehicle USING btree (vehicle_id) WHERE (unit_id IS NULL);

CREATE UNIQUE INDEX vehicle_one_plate_each ON public.vehicle USING btree (plate_key) WHERE ((plate_key <> ''::text) AND (strpos(plate, '#'::text) = 0));

CREATE INDEX vehicle_plate_key_all ON public.vehicle USING btree (plate_key) WHERE (plate_key <> ''::text);

CREATE INDEX vehicle_searched ON public.vehicle USING gin (searched gin_trgm_ops);

CREATE INDEX vehicle_unit ON public.vehicle USING btree (unit_id) WHERE (unit_id IS NOT NULL);

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

CREATE VIEW import_line AS
 SELECT r.import_id,
    r.line,
    c.name,
    c.phone,
    c.id_number_hmac,
    c.id_number_last4,
    c.plate,
    c.plate_key,
    c.kind,
    c.make,
    c.model,
    c.colour,
    c.frame_number,
    c.motor_number,
    c.ident,
    c.profile,
    c.tracker_model,
    c.iccid,
    c.sim_number,
    c.batch
   FROM import_row r,
    LATERAL jsonb_to_record(r.content) c(name text, phone text, id_number_hmac text, id_number_last4 text, plate text, plate_key text, kind text, make text, model text, colour text, frame_number text, motor_number text, ident text, profile jsonb, tracker_model text, iccid text, sim_number text, batch text)
  WHERE (r.content IS NOT NULL);

CREATE VIEW live_position AS
 SELECT v.vehicle_id,
    v.plate,
        CASE
            WHEN (p.vehicle_id IS NULL) THEN st_y(s."position")
            ELSE NULL::double precision
        END AS lat,
        CASE
            WHEN (p.vehicle_id IS NULL) THEN st_x(s."position")
            ELSE NULL::double precision
        END AS lon,
    s.fixed_at,
    s.speed_kmh,
    COALESCE(g.armed, false) AS armed,
    (i.incident_id IS NOT NULL) AS incident,
    u.organisation_id,
    (p.vehicle_id IS NOT NULL) AS is_off
   FROM ((((((vehicle v
     JOIN installation n ON (((n.vehicle_id = v.vehicle_id) AND (n.valid_to IS NULL))))
     LEFT JOIN tracker_status s ON ((s.tracker_id = n.tracker_id)))
     LEFT JOIN guard_status g ON ((g.vehicle_id = v.vehicle_id)))
     LEFT JOIN incident i ON (((i.vehicle_id = v.vehicle_id) AND (i.closed_at IS NULL))))
     LEFT JOIN positioning_off p ON (((p.vehicle_id = v.vehicle_id) AND (p.on_at IS NULL))))
     LEFT JOIN unit u ON ((u.unit_id = v.unit_id)));

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
        CASE
            WHEN (p.vehicle_id IS NOT NULL) THEN 'off'::text
            ELSE contact_of(s.last_heard_at, s.report_interval_s)
        END AS state,
    s.battery_percent,
    s.signal_percent,
    s.satellites,
    s.firmware,
    s.report_interval_s,
    t.unit_id,
    v.unit_id AS vehicle_unit_id
   FROM ((((((tracker t
     LEFT JOIN tracker_status s USING (tracker_id))
     LEFT JOIN installation n ON (((n.tracker_id = t.tracker_id) AND (n.valid_to IS NULL))))
     LEFT JOIN vehicle v ON ((v.vehicle_id = n.vehicle_id)))
     LEFT JOIN positioning_off p ON (((p.vehicle_id = n.vehicle_id) AND (p.on_at IS NULL))))
     LEFT JOIN unit u ON ((u.unit_id = t.unit_id)))
     LEFT JOIN organisation o USING (organisation_id));

CREATE VIEW vehicle_right AS
 SELECT ownership.account_id,
    ownership.vehicle_id,
    'own'::text AS may,
    ownership.valid_from AS owned_since,
    ownership.valid_from AS since,
    3 AS rank
   FROM ownership
  WHERE (ownership.valid_to IS NULL)
UNION ALL
 SELECT f.account_id,
    f.vehicle_id,
    f.may,
    w.valid_from AS owned_since,
    f.accepted_at AS since,
        CASE f.may
            WHEN 'see'::text THEN 0
            WHEN 'arm'::text THEN 1
            ELSE 2
        END AS rank
   FROM (family_member f
     JOIN ownership w ON (((w.vehicle_id = f.vehicle_id) AND (w.valid_to IS NULL) AND (w.account_id = f.invited_by))))
  WHERE ((f.accepted_at IS NOT NULL) AND (f.ended_at IS NULL) AND ((f.ends_at IS NULL) OR (f.ends_at > now())));

CREATE OR REPLACE FUNCTION public.account_as_json(p account)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('id', p.account_id::text, 'login', p.login, 'name', p.name, 'role', p.role, 'phone', p.phone,
        'organisation', o.name, 'unit', u.name, 'created_at', p.created_at,
        'state', CASE WHEN p.disabled THEN 'disabled' WHEN p.password_hash IS NOT NULL THEN 'active'
            WHEN r.expires_at > now() THEN 'reset' WHEN i.expires_at > now() THEN 'invited' ELSE 'not_invited' END,
        'code_expires_at', CASE WHEN p.password_hash IS NULL AND NOT p.disabled THEN coalesce(r.expires_at, i.expires_at) END,
        'has_second_factor', EXISTS (SELECT FROM second_factor f WHERE f.account_id = p.account_id),
        'last_log_in_at', (SELECT max(s.created_at) FROM session s WHERE s.account_id = p.account_id), 'version', p.version)
    FROM (SELECT 1) one LEFT JOIN unit u ON u.unit_id = p.unit_id LEFT JOIN organisation o USING (organisation_id)
    LEFT JOIN invitation i ON i.account_id = p.account_id LEFT JOIN password_reset r ON r.account_id = p.account_id
$function$;

CREATE OR REPLACE FUNCTION public.account_erased()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM set_config('rideguard.erases', 'on', true);
    UPDATE registry_change SET was = NULL, becomes = NULL, reason = NULL WHERE person_id = OLD.account_id;
    PERFORM set_config('rideguard.erases', '', true);
    DELETE FROM import_problem WHERE value IN (OLD.phone, OLD.name);
    DELETE FROM import_row WHERE content ->> 'phone' = OLD.phone;
    DELETE FROM idempotent_call WHERE thing_id = OLD.account_id;
    NEW.phone := NULL;
    NEW.id_number_hmac := NULL;
    NEW.id_number_last4 := NULL;
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.account_named(p_login text, p_phone text)
 RETURNS SETOF account
 LANGUAGE sql
 STABLE
AS $function$
    SELECT p FROM account p WHERE (p.login = p_login OR p.phone = p_phone) AND NOT p.disabled AND p.password_hash IS NOT NULL
    ORDER BY p.login = p_login DESC LIMIT 1
$function$;

CREATE OR REPLACE FUNCTION public.account_of(p_who asker, p_account bigint)
 RETURNS account
 LANGUAGE plpgsql
AS $function$
DECLARE p account;
BEGIN
    SELECT * INTO p FROM account WHERE account_id = p_account FOR UPDATE;
    IF p.account_id IS NULL OR NOT is_within(p_who, p.unit_id) OR NOT looks_after(p_who, p.role) OR p.login ~ '^erased-' THEN
        RAISE EXCEPTION 'no such account' USING ERRCODE = 'P0404';
    END IF;
    RETURN p;
END $function$;

CREATE OR REPLACE FUNCTION public.account_with(p_who asker, p_hash text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM FROM account p WHERE p.account_id = p_who.account_id AND is_password_of(p, p_hash) FOR UPDATE;
    IF NOT FOUND THEN PERFORM refuse('P0403', 'wrong_password', 'the password is wrong'); END IF;
    RETURN p_who.account_id;
END $function$;

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
    o      record;
    passes boolean;
    held   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7241003);
    FOR o IN
        SELECT b.outbox_id, b.account_id, a.vehicle_id, a.raised_at, was_in_trial(a.vehicle_id, a.raised_at) AS is_trial, NOT EXISTS (
            SELECT FROM alert e WHERE e.vehicle_id = a.vehicle_id AND e.incident_id = a.incident_id AND e.alert_id < a.alert_id) AS is_first
        FROM outbox b JOIN alert a USING (alert_id) WHERE b.state = 'due' AND NOT b.admitted ORDER BY b.outbox_id LIMIT p_limit
    LOOP
        passes := NOT o.is_trial AND take_token('vehicle', o.vehicle_id, o.raised_at, p_vehicle_burst, p_vehicle_every_s)
            AND take_token('owner', o.account_id, o.raised_at, p_owner_burst, p_owner_every_s);
        IF passes OR (o.is_first AND NOT o.is_trial) THEN
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
        'incident_id', a.incident_id::text, 'lat', a.lat, 'lon', a.lon, 'is_drill', was_in_trial(a.vehicle_id, a.raised_at))
    FROM alert a LEFT JOIN vehicle v USING (vehicle_id) WHERE a.alert_id = p_alert
$function$;

CREATE OR REPLACE FUNCTION public.api_accept_family(p_token bytea, p_code bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner', 'family');
    f   family_member;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    SELECT * INTO f FROM family_member WHERE code_sha256 = p_code AND accepted_at IS NULL AND ended_at IS NULL AND code_ends_at > now()
        AND (ends_at IS NULL OR ends_at > now()) FOR UPDATE;
    IF NOT FOUND THEN PERFORM refuse('P0404', 'unknown_code', 'no invitation has this code, or it is over'); END IF;
    IF owns(who.account_id, f.vehicle_id) THEN PERFORM refuse('P0409', 'own_vehicle', 'the vehicle is yours already'); END IF;
    -- The newest invitation counts.
    UPDATE family_member SET ended_at = now() WHERE vehicle_id = f.vehicle_id AND account_id = who.account_id AND ended_at IS NULL;
    UPDATE family_member SET account_id = who.account_id, accepted_at = now() WHERE family_member_id = f.family_member_id RETURNING * INTO f;
    PERFORM write_audit(who.account_id, NULL, 'family_accepted', jsonb_build_object('vehicle', f.vehicle_id, 'member', f.family_member_id::text), NULL);
    RETURN family_member_as_json(f);
END $function$;

CREATE OR REPLACE FUNCTION public.api_accept_hand_over(p_token bytea, p_code bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner');
    t   transfer;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    SELECT * INTO t FROM transfer WHERE code_sha256 = p_code AND accepted_at IS NULL AND done_at IS NULL AND cancelled_at IS NULL
        AND code_ends_at > now() FOR UPDATE;
    IF NOT FOUND THEN PERFORM refuse('P0404', 'unknown_code', 'no invitation has this code, or it is over'); END IF;
    IF owns(who.account_id, t.vehicle_id) THEN PERFORM refuse('P0409', 'own_vehicle', 'the vehicle is yours already'); END IF;
    UPDATE transfer SET to_account = who.account_id, accepted_at = now() WHERE transfer_id = t.transfer_id;
    PERFORM write_audit(who.account_id, NULL, 'hand_over_accepted', jsonb_build_object('vehicle', t.vehicle_id, 'transfer', t.transfer_id::text), NULL);
    IF coalesce(t.takes_place_at, now()) <= now() THEN PERFORM carry_out_transfer(t.transfer_id); END IF;
    RETURN (SELECT transfer_as_json(n) || jsonb_build_object('plate', v.plate) FROM transfer n JOIN vehicle v USING (vehicle_id) WHERE n.transfer_id = t.transfer_id);
END $function$;

CREATE OR REPLACE FUNCTION public.api_accept_invitation(p_code bytea, p_login text, p_hash text)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE id bigint;
    now_login text;
BEGIN
    DELETE FROM invitation i USING account p
        WHERE p.account_id = i.account_id AND i.code_sha256 = p_code AND i.expires_at > now() AND NOT p.disabled AND p.password_hash IS NULL
        RETURNING i.account_id INTO id;
    IF id IS NULL THEN PERFORM refuse_code(); END IF;
    IF p_login IS NOT NULL THEN PERFORM check_login(p_login, id); END IF;
    UPDATE account SET password_hash = p_hash, login = coalesce(p_login, login) WHERE account_id = id RETURNING login INTO now_login;
    PERFORM write_audit(id, NULL, 'invitation_accepted', '{}', NULL);
    RETURN now_login;
END $function$;

CREATE OR REPLACE FUNCTION public.api_accept_reset(p_code bytea, p_hash text)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE id bigint;
    now_login text;
BEGIN
    DELETE FROM password_reset r USING account p
        WHERE p.account_id = r.account_id AND r.code_sha256 = p_code AND r.expires_at > now() AND NOT p.disabled AND p.password_hash IS NULL
        RETURNING r.account_id INTO id;
    IF id IS NULL THEN PERFORM refuse_code(); END IF;
    UPDATE account SET password_hash = p_hash WHERE account_id = id RETURNING login INTO now_login;
    PERFORM end_sessions_of(id, NULL);
    PERFORM write_audit(id, NULL, 'reset_accepted', '{}', NULL);
    RETURN now_login;
END $function$;

CREATE OR REPLACE FUNCTION public.api_account(p_login text, p_phone text, p_hash text)
 RETURNS TABLE(account_id bigint, login text, name text, role text, sealed bytea, must_have_factor boolean)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT p.account_id, p.login, p.name, p.role, f.sealed, must_have_second_factor(p)
    FROM account_named(p_login, p_phone) p LEFT JOIN second_factor f USING (account_id) WHERE is_password_of(p, p_hash)
$function$;

CREATE OR REPLACE FUNCTION public.api_accounts(p_token bytea, p_text text, p_role text, p_organisation text, p_after bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who      asker := asker_of(p_token, 'operator', 'admin');
    returned integer;
BEGIN
    RETURN QUERY SELECT account_as_json(p) FROM account p LEFT JOIN unit u USING (unit_id) LEFT JOIN organisation o USING (organisation_id)
        WHERE is_within(who, p.unit_id) AND looks_after(who, p.role) AND p.login !~ '^erased-' AND (p_role IS NULL OR p.role = p_role)
            AND (p_organisation IS NULL OR o.name = p_organisation) AND (p_after IS NULL OR p.account_id > p_after)
            AND (p_text = '' OR strpos(lower(p.name), lower(p_text)) > 0 OR strpos(lower(p.login), lower(p_text)) > 0
                OR strpos(p.phone, regexp_replace(p_text, '[ -]', '', 'g')) > 0)
        ORDER BY p.account_id LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'accounts', jsonb_build_object('role', p_role, 'organisation', p_organisation), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_add_zone(p_token bytea, p_zone jsonb)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner', 'operator', 'admin');
    z          zone;
    of_vehicle bigint := (p_zone ->> 'vehicle_id')::bigint;
    most       integer := CASE WHEN who.role = 'owner' THEN 100 ELSE 100000 END;
BEGIN
    PERFORM check_zone(p_zone -> 'shape');
    PERFORM pg_advisory_xact_lock(7241001);
    IF who.role = 'owner' AND (of_vehicle IS NULL OR NOT owns(who.account_id, of_vehicle)) THEN
        RAISE EXCEPTION 'no vehicle % of yours', coalesce(of_vehicle::text, '(none)') USING ERRCODE = 'P0404';
    END IF;
    IF who.role <> 'owner' AND of_vehicle IS NOT NULL THEN
        PERFORM refuse('P0403', 'zone_of_owner', 'only the owner makes zones for a vehicle');
    END IF;
    IF (SELECT count(*) FROM zone WHERE account_id = who.account_id) >= most THEN
        PERFORM refuse('P0409', 'zones_full', format('an account of this role has at most %s zones', most), jsonb_build_object('max', most));
    END IF;
    INSERT INTO zone (name, rule, shape, vehicle_id, account_id, dwell_s, schedule, vehicle_kind, drawn_crs)
    VALUES (p_zone ->> 'name', p_zone ->> 'rule', p_zone -> 'shape', of_vehicle, who.account_id, (p_zone ->> 'dwell_s')::integer,
        nullif(p_zone -> 'schedule', 'null'), p_zone ->> 'vehicle_kind', p_zone ->> 'drawn_crs') RETURNING * INTO z;
    RETURN NEXT zone_as_json(z) || jsonb_build_object('mine', true);
END $function$;

CREATE OR REPLACE FUNCTION public.api_alert_news(p_tokens bytea[], p_alert bigint)
 RETURNS TABLE(account_id bigint, alert jsonb)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT r.account_id, alert_as_json(a.alert_id) FROM alert a JOIN vehicle_right r USING (vehicle_id)
    WHERE a.alert_id = p_alert AND a.raised_at >= r.since AND is_watched_by(r.account_id, p_tokens)
$function$;

CREATE OR REPLACE FUNCTION public.api_answer(p_token bytea, p_incident bigint, p_answer text, p_version integer, p_withdraw boolean)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner', 'family');
    i       incident := incident_of(who.account_id, p_incident);
    lane    smallint := carrier_lane(i.vehicle_id);
    changes boolean := i.answer IS NOT NULL AND i.answer <> p_answer;
BEGIN
    IF i.incident_id IS NULL THEN RETURN NULL; END IF;
    PERFORM must_be_let(who.account_id, i.vehicle_id, 2);
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
    PERFORM write_audit(who.account_id, NULL, 'answer', jsonb_build_object('incident', p_incident::text, 'answer', p_answer), NULL);
    RETURN add_setting(lane, jsonb_build_object('kind', 'answer', 'vehicle', i.vehicle_id, 'incident', p_incident, 'answer', p_answer,
        'seen', jsonb_build_object('answer', i.answer)));
END $function$;

CREATE OR REPLACE FUNCTION public.api_ask_erasure(p_token bytea, p_hash text, p_receipt bytea)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    PERFORM account_with(who, p_hash);
    INSERT INTO erasure_request (receipt_sha256, account_id) VALUES (p_receipt, who.account_id);
    PERFORM write_audit(who.account_id, NULL, 'erase_asked', '{}', NULL);
    UPDATE account SET disabled = true WHERE account_id = who.account_id;
    DELETE FROM session WHERE account_id = who.account_id;
    RETURN now();
END $function$;

CREATE OR REPLACE FUNCTION public.api_audit_event(p_token bytea, p_event text, p_question jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, VARIADIC every_role());
BEGIN
    IF p_event NOT IN ('refused', 'log_in', 'log_out') THEN
        PERFORM refuse('P0400', 'refused', format('no event is called %s', p_event));
    END IF;
    PERFORM write_audit(who.account_id, NULL, p_event, p_question, NULL);
END $function$;

CREATE OR REPLACE FUNCTION public.api_audit_live(p_ticket bytea, p_view jsonb, p_rows integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    s     live_stream;
    who   asker;
    is_last boolean := p_view ->> 'why' IS NOT DISTINCT FROM 'end';
BEGIN
    SELECT * INTO s FROM live_stream WHERE ticket_sha256 = p_ticket;
    IF NOT FOUND THEN PERFORM refuse('P0401', 'session_ended', 'no stream is open by this ticket'); END IF;
    IF is_last THEN
        DELETE FROM live_stream WHERE ticket_sha256 = p_ticket;
        IF p_rows = 0 THEN RETURN; END IF;
    ELSE
        who := asker_of(s.session_sha256, VARIADIC every_role());
        IF s.grant_id IS NOT NULL THEN PERFORM check_grant(who.account_id, s.grant_id); END IF;
    END IF;
    PERFORM write_audit(s.account_id, s.grant_id, 'live', p_view, p_rows);
END $function$;

CREATE OR REPLACE FUNCTION public.api_begin_export(p_token bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    PERFORM write_audit(who.account_id, NULL, 'export', '{}', NULL);
    RETURN (SELECT jsonb_build_object(
        'account', (SELECT jsonb_build_object('login', p.login, 'name', p.name, 'role', p.role, 'phone', p.phone, 'created_at', p.created_at, 'webhook_url', p.webhook_url)
            FROM account p WHERE p.account_id = who.account_id),
        'vehicles', coalesce((SELECT jsonb_agg(jsonb_build_object('vehicle_id', w.vehicle_id::text, 'kind', v.kind, 'from', w.valid_from, 'to', w.valid_to)
                || CASE WHEN w.valid_to IS NULL THEN jsonb_build_object('plate', v.plate, 'model', v.model, 'frame_number', v.frame_number) ELSE '{}' END
                ORDER BY w.valid_from, w.vehicle_id) FROM ownership w JOIN vehicle v USING (vehicle_id) WHERE w.account_id = who.account_id), '[]'),
        'incidents', coalesce((SELECT jsonb_agg(incident_as_json(i) - 'plate' ORDER BY i.opened_at) FROM ownership w JOIN incident i
            ON i.vehicle_id = w.vehicle_id AND i.opened_at >= w.valid_from AND i.opened_at < coalesce(w.valid_to, 'infinity') WHERE w.account_id = who.account_id), '[]'),
        'alerts', coalesce((SELECT jsonb_agg(a.line ORDER BY a.alert_id) FROM (
            SELECT n.alert_id, alert_as_json(n.alert_id) - 'plate' AS line FROM ownership w JOIN alert n
            ON n.vehicle_id = w.vehicle_id AND n.raised_at >= w.valid_from AND n.raised_at < coalesce(w.valid_to, 'infinity')
            WHERE w.account_id = who.account_id ORDER BY n.alert_id DESC LIMIT 50000) a), '[]'),
        'zones', coalesce((SELECT jsonb_agg(zone_as_json(z) ORDER BY z.created_at) FROM zone z WHERE z.account_id = who.account_id), '[]'),
        'guarding', coalesce((SELECT jsonb_agg(jsonb_build_object('vehicle_id', g.vehicle_id::text, 'schedule', g.schedule, 'auto_after_s', g.auto_after_s))
            FROM guarding g JOIN ownership w USING (vehicle_id) WHERE w.account_id = who.account_id AND w.valid_to IS NULL), '[]'),
        'family', coalesce((SELECT jsonb_agg(family_member_as_json(f) ORDER BY f.invited_at) FROM family_member f
            WHERE f.invited_by = who.account_id OR f.account_id = who.account_id), '[]'),
        'shares', coalesce((SELECT jsonb_agg(share_as_json(s) ORDER BY s.made_at) FROM share_link s WHERE s.account_id = who.account_id), '[]'),
        'hand_overs', coalesce((SELECT jsonb_agg(transfer_as_json(t) || jsonb_build_object('reason', t.reason) ORDER BY t.made_at) FROM transfer t
            WHERE t.to_account = who.account_id OR t.made_by = who.account_id), '[]'),
        'fittings', door_visits_of_owner(who.account_id),
        'consents', coalesce((SELECT jsonb_agg(jsonb_build_object('version', c.version, 'given_at', c.given_at, 'channel', c.channel, 'withdrawn_at', c.withdrawn_at) ORDER BY c.given_at)
            FROM consent c WHERE c.account_id = who.account_id), '[]'),
        'positioning_off', coalesce((SELECT jsonb_agg(jsonb_build_object('vehicle_id', p.vehicle_id::text, 'from', p.off_at, 'to', p.on_at, 'reason', p.reason) ORDER BY p.off_at)
            FROM positioning_off p WHERE p.by_account = who.account_id), '[]'),
        'looks', coalesce((SELECT jsonb_agg(l) FROM looks_at(who.account_id, NULL, 10000) l), '[]'),
        'done_by_me', coalesce((SELECT jsonb_agg(d.line ORDER BY d.audit_id) FROM (
            SELECT a.audit_id, jsonb_build_object('at', a.at, 'action', a.action) AS line FROM audit a
            WHERE a.account_id = who.account_id AND a.action = 'log_in' ORDER BY a.audit_id DESC LIMIT 1000) d), '[]')));
END $function$;

CREATE OR REPLACE FUNCTION public.api_broker_user(p_ident text)
 RETURNS TABLE(password_hash text)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT c.password_hash FROM tracker_credential c JOIN tracker t USING (tracker_id) WHERE t.ident = p_ident
$function$;

CREATE OR REPLACE FUNCTION public.api_cancel_hand_over(p_token bytea, p_vehicle bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner');
    id  bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    PERFORM must_own(who, p_vehicle);
    UPDATE transfer SET cancelled_at = now() WHERE vehicle_id = p_vehicle AND done_at IS NULL AND cancelled_at IS NULL RETURNING transfer_id INTO id;
    IF id IS NULL THEN RETURN false; END IF;
    PERFORM write_audit(who.account_id, NULL, 'hand_over_cancelled', jsonb_build_object('vehicle', p_vehicle, 'transfer', id::text), NULL);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.api_change_account(p_token bytea, p_account bigint, p_version integer, p_fields jsonb, p_reason text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who    asker := asker_of(p_token, 'operator', 'admin');
    p      account := account_of(who, p_account);
    its    text := (SELECT o.name FROM unit u JOIN organisation o USING (organisation_id) WHERE u.unit_id = p.unit_id);
    there  text := coalesce(p_fields ->> 'organisation', its);
    at     bigint := p.unit_id;
    broken text;
BEGIN
    IF p_account = who.account_id THEN PERFORM refuse('P0409', 'yourself', 'this cannot be done to your own account; ask another administrator'); END IF;
    IF p.version <> p_version THEN
        PERFORM refuse('P0409', 'version_changed', 'somebody has changed it since it was read; read it again', jsonb_build_object('version', p.version));
    END IF;
    IF p_fields ?| '{organisation,unit}' THEN
        IF there IS NULL OR there IS DISTINCT FROM its AND (who.role <> 'admin' OR who.organisation_id IS NOT NULL) THEN
            PERFORM refuse('P0404', 'no_such_organisation', 'no organisation of yours has this name');
        END IF;
        at := put_unit(there, 'operator', coalesce(p_fields ->> 'unit', there));
    END IF;
    IF p_fields ? 'login' THEN PERFORM check_login(p_fields ->> 'login', p_account); END IF;
    PERFORM check_phone_free(p_fields ->> 'phone', p_account);
    PERFORM changes_are_of(who.account_id, p_reason);
    UPDATE account a SET name = coalesce(p_fields ->> 'name', a.name), login = coalesce(p_fields ->> 'login', a.login), unit_id = at,
            phone = CASE WHEN p_fields ? 'phone' THEN p_fields ->> 'phone' ELSE a.phone END
        WHERE a.account_id = p_account RETURNING * INTO p;
    PERFORM write_audit(who.account_id, NULL, 'account_changed', jsonb_build_object('account', p_account, 'reason', p_reason,
        'fields', (SELECT jsonb_agg(k) FROM jsonb_object_keys(p_fields) k)), NULL);
    RETURN account_as_json(p);
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
    PERFORM refuse_account_taken(broken);
END $function$;

CREATE OR REPLACE FUNCTION public.api_change_password(p_token bytea, p_hash text, p_new_hash text)
 RETURNS bytea[]
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    UPDATE account SET password_hash = p_new_hash WHERE account_id = id;
    PERFORM write_audit(id, NULL, 'password_changed', '{}', NULL);
    RETURN end_sessions_of(id, p_token);
END $function$;

CREATE OR REPLACE FUNCTION public.api_change_phone(p_token bytea, p_hash text, p_phone text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    PERFORM check_phone_free(p_phone, id);
    UPDATE account SET phone = p_phone WHERE account_id = id;
    PERFORM write_audit(id, NULL, 'phone_changed', '{}', NULL);
END $function$;

CREATE OR REPLACE FUNCTION public.api_change_recovery_codes(p_token bytea, p_hash text, p_codes bytea[])
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    PERFORM put_recovery_codes(id, p_codes);
    PERFORM write_audit(id, NULL, 'second_factor', '{"change": "recovery_codes"}', NULL);
END $function$;

CREATE OR REPLACE FUNCTION public.api_change_second_factor(p_token bytea, p_hash text, p_sealed bytea, p_step bigint, p_codes bytea[])
 RETURNS bytea[]
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    PERFORM put_second_factor(id, p_sealed, p_step, p_codes);
    RETURN end_sessions_of(id, p_token);
END $function$;

CREATE OR REPLACE FUNCTION public.api_change_zone(p_token bytea, p_id bigint, p_zone jsonb)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner', 'operator', 'admin');
    z zone;
BEGIN
    PERFORM check_zone(p_zone -> 'shape');
    PERFORM pg_advisory_xact_lock(7241001);
    UPDATE zone SET name = p_zone ->> 'name', rule = p_zone ->> 'rule', shape = p_zone -> 'shape', dwell_s = (p_zone ->> 'dwell_s')::integer,
        schedule = nullif(p_zone -> 'schedule', 'null'), vehicle_kind = p_zone ->> 'vehicle_kind', drawn_crs = p_zone ->> 'drawn_crs'
    WHERE zone_id = p_id AND account_id = who.account_id RETURNING * INTO z;
    IF FOUND THEN RETURN NEXT zone_as_json(z) || jsonb_build_object('mine', true); END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.api_check_setup(p_code bytea)
 RETURNS void
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    IF has_administrator() OR NOT EXISTS (SELECT FROM setup_code WHERE code_sha256 = p_code) THEN PERFORM refuse_code(); END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.api_close_session(p_token bytea)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    DELETE FROM session WHERE token_sha256 = p_token
$function$;

CREATE OR REPLACE FUNCTION public.api_coverage_gaps(p_token bytea, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    lately smallint[] := ARRAY(SELECT DISTINCT g.lane FROM coverage_gap g WHERE g.until_at > now() - interval '7 days');
    own smallint[] := CASE WHEN sees_all(who) THEN lately ELSE ARRAY(SELECT l FROM unnest(lately) l WHERE has_tracker_in(who, l)) END;
BEGIN
    RETURN QUERY WITH marked AS (
        SELECT *, from_at > max(until_at) OVER (same ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + interval '10 seconds' AS is_another
        FROM coverage_gap WHERE lane = ANY (own) AND until_at > now() - interval '7 days'
        WINDOW same AS (PARTITION BY cause ORDER BY from_at)),
    numbered AS (SELECT *, count(*) FILTER (WHERE is_another) OVER (PARTITION BY cause ORDER BY from_at) AS n FROM marked)
    SELECT jsonb_build_object('cause', cause, 'from', min(from_at), 'to', max(until_at), 'lanes', count(DISTINCT lane))
    FROM numbered GROUP BY cause, n ORDER BY max(until_at) DESC LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.api_credential(p_token bytea, p_tracker bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    t   tracker := tracker_within(who, p_tracker);
BEGIN
    RETURN (SELECT jsonb_build_object('ident', t.ident, 'made_at', CASE WHEN c.password_hash IS NOT NULL THEN c.made_at END, 'revoked_at', c.revoked_at)
        FROM (SELECT 1) one LEFT JOIN tracker_credential c ON c.tracker_id = t.tracker_id);
END $function$;

CREATE OR REPLACE FUNCTION public.api_credentials_of_call(p_token bytea, p_batch text, p_key text, p_asked bytea)
 RETURNS TABLE(tracker_id bigint, ident text, password_hash text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); shown integer;
BEGIN
    IF made_before(who.account_id, p_key, p_asked) IS NULL THEN RETURN; END IF;
    RETURN QUERY SELECT t.tracker_id, t.ident, c.password_hash FROM idempotent_call i
        JOIN tracker_credential c ON c.made_at = i.at JOIN tracker t ON t.tracker_id = c.tracker_id
        WHERE i.account_id = who.account_id AND i.key = p_key AND t.batch = p_batch AND is_within(who, t.unit_id) ORDER BY t.ident;
    GET DIAGNOSTICS shown = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'credentials_shown_again', jsonb_build_object('batch', p_batch), shown);
END $function$;

CREATE OR REPLACE FUNCTION public.api_decline_hand_over(p_token bytea, p_transfer bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner');
    t   transfer;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    UPDATE transfer n SET cancelled_at = now() WHERE n.transfer_id = p_transfer AND n.done_at IS NULL AND n.cancelled_at IS NULL
        AND (n.to_account = who.account_id OR owns(who.account_id, n.vehicle_id)) RETURNING * INTO t;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM write_audit(who.account_id, NULL, CASE WHEN t.to_account = who.account_id THEN 'hand_over_declined' ELSE 'hand_over_cancelled' END,
        jsonb_build_object('vehicle', t.vehicle_id, 'transfer', p_transfer::text), NULL);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.api_delete_zone(p_token bytea, p_zone bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner', 'operator', 'admin');
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    DELETE FROM zone WHERE zone_id = p_zone AND account_id = who.account_id;
    RETURN FOUND;
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_add_job(p_token bytea, p_day date, p_work text, p_place text, p_plate text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    j   door_job;
BEGIN
    UPDATE door_job SET place = '', plate = NULL WHERE done_at < now() - interval '30 days' AND place <> '';
    INSERT INTO door_job (unit_id, day, work, place, plate, made_by) VALUES (who.unit_id, p_day, p_work, p_place, plate_canonical(p_plate), who.account_id)
        RETURNING * INTO j;
    RETURN jsonb_build_object('id', j.job_id::text, 'day', j.day, 'work', j.work, 'place', j.place, 'plate', j.plate, 'done_at', j.done_at, 'reason', j.reason);
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_drill(p_token bytea, p_visit bigint)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'installer', 'operator', 'admin');
    d   door_visit := door_visit_of(who, p_visit, true);
BEGIN
    UPDATE door_visit SET drill_at = now() WHERE visit_id = d.visit_id;
    PERFORM add_setting(lane_of(t.ident), jsonb_build_object('kind', 'arm', 'vehicle', d.vehicle_id)) FROM tracker t WHERE t.tracker_id = d.tracker_id;
    PERFORM write_audit(who.account_id, NULL, 'door_drill', jsonb_build_object('visit', d.visit_id, 'vehicle', d.vehicle_id), NULL);
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_enrol(p_token bytea, p_key text, p_asked jsonb, p_claim_sha256 bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who     asker := asker_of(p_token, 'installer', 'operator', 'admin');
    d       door_visit;
    owner   bigint;
    bike    bigint;
    fitted  bigint;
    earlier bigint;
    job     bigint := (p_asked ->> 'job_id')::bigint;
    why     text := p_asked ->> 'reason';
    kind_of text := 'install';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(who.account_id || ' ' || p_key, 52));
    SELECT * INTO d FROM door_visit WHERE installer_id = who.account_id AND key = p_key;
    IF FOUND THEN
        IF (door_visit_as_json(d) ->> 'ident') IS DISTINCT FROM p_asked ->> 'ident' THEN
            PERFORM refuse('P0409', 'key_reused', 'this key stands for another visit; each visit has one of its own', '{"field": "Idempotency-Key"}');
        END IF;
        RETURN door_visit_as_json(d);
    END IF;
    IF job IS NOT NULL AND NOT EXISTS (SELECT FROM door_job j WHERE j.job_id = job AND is_within(who, j.unit_id)) THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    PERFORM changes_are_of(who.account_id, coalesce(why, 'door'));
    fitted := door_tracker(who, p_asked ->> 'ident', p_claim_sha256);
    owner := door_owner(who, p_asked ->> 'name', p_asked ->> 'phone');
    bike := door_vehicle(who, p_asked ->> 'plate', p_asked ->> 'kind', owner);
    IF EXISTS (SELECT FROM installation WHERE tracker_id = fitted AND valid_to IS NULL AND vehicle_id <> bike) THEN
        PERFORM refuse('P0409', 'tracker_elsewhere', 'the tracker is in another vehicle; remove it there first', '{"field": "ident"}');
    END IF;
    IF EXISTS (SELECT FROM door_visit WHERE vehicle_id = bike AND ended_at IS NULL) THEN
        PERFORM refuse('P0409', 'visit_open', 'somebody is working on this vehicle; end that visit first', '{"field": "plate"}');
    END IF;
    SELECT tracker_id INTO earlier FROM installation WHERE vehicle_id = bike AND valid_to IS NULL;
    IF earlier IS NOT NULL THEN
        kind_of := CASE WHEN earlier = fitted THEN 'refit' ELSE 'replace' END;
        IF why IS NULL THEN
            PERFORM refuse('P0409', 'vehicle_has_tracker', 'the vehicle has a tracker; say why it is fitted again or replaced', '{"field": "reason"}');
        END IF;
    END IF;
    IF kind_of = 'replace' THEN
        UPDATE installation SET valid_to = greatest(now(), valid_from + interval '1 microsecond') WHERE vehicle_id = bike AND valid_to IS NULL;
    END IF;
    IF kind_of <> 'refit' THEN INSERT INTO installation (tracker_id, vehicle_id) VALUES (fitted, bike); END IF;
    INSERT INTO door_visit (installer_id, key, unit_id, job_id, work, vehicle_id, tracker_id, owner_id, consent, consented_at, reason)
        VALUES (who.account_id, p_key, who.unit_id, job, kind_of, bike, fitted, owner, p_asked ->> 'consent', (p_asked ->> 'consented_at')::timestamptz, why)
        RETURNING * INTO d;
    INSERT INTO consent (account_id, version, given_at, channel, taken_by) VALUES (owner, d.consent, d.consented_at, 'door', who.account_id);
    PERFORM write_audit(who.account_id, NULL, 'door_enrolled', jsonb_build_object('visit', d.visit_id, 'work', kind_of, 'vehicle', bike,
        'tracker', p_asked ->> 'ident', 'owner', owner, 'consent', d.consent, 'reason', why), 1);
    RETURN door_visit_as_json(d);
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_give_up(p_token bytea, p_visit bigint, p_reason text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'installer', 'operator', 'admin');
    d   door_visit := door_visit_of(who, p_visit, true);
BEGIN
    PERFORM changes_are_of(who.account_id, p_reason);
    PERFORM end_drill(d);
    IF d.work <> 'refit' THEN
        UPDATE installation SET valid_to = greatest(now(), valid_from + interval '1 microsecond')
            WHERE vehicle_id = d.vehicle_id AND tracker_id = d.tracker_id AND valid_to IS NULL;
    END IF;
    -- Nothing was fitted that a picture could show.
    DELETE FROM door_photo WHERE visit_id = d.visit_id;
    UPDATE door_visit SET ended_at = now(), outcome = 'given_up', reason = p_reason WHERE visit_id = d.visit_id RETURNING * INTO d;
    UPDATE door_job SET reason = p_reason WHERE job_id = d.job_id;
    PERFORM write_audit(who.account_id, NULL, 'door_given_up', jsonb_build_object('visit', d.visit_id, 'vehicle', d.vehicle_id, 'reason', p_reason), 1);
    RETURN door_visit_as_json(d);
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_hand_over(p_token bytea, p_visit bigint, p_lat double precision, p_lon double precision, p_without text[], p_reason text, p_invitation_sha256 bytea, p_invitation_s double precision)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who     asker := asker_of(p_token, 'installer', 'operator', 'admin');
    d       door_visit := door_visit_of(who, p_visit, true);
    skipped text[];
    missing text[];
    until   timestamptz;
BEGIN
    SELECT coalesce(array_agg(c ->> 'name') FILTER (WHERE is_left_out), '{}'), coalesce(array_agg(c ->> 'name') FILTER (WHERE NOT is_left_out), '{}')
        INTO skipped, missing
        FROM jsonb_array_elements(door_check(d, p_lat, p_lon) -> 'checks') c,
            LATERAL (SELECT (c ->> 'is_skippable')::boolean AND c ->> 'name' = ANY (p_without) AND p_reason IS NOT NULL AS is_left_out) l
        WHERE c ->> 'state' IN ('not_seen', 'wrong');
    IF missing <> '{}' THEN
        PERFORM refuse('P0409', 'checks_missing', format('not seen yet: %s', array_to_string(missing, ', ')), jsonb_build_object('missing', missing));
    END IF;
    PERFORM changes_are_of(who.account_id, coalesce(p_reason, 'door'));
    PERFORM end_drill(d);
    IF NOT EXISTS (SELECT FROM ownership WHERE vehicle_id = d.vehicle_id AND valid_to IS NULL) THEN
        INSERT INTO ownership (vehicle_id, account_id) VALUES (d.vehicle_id, d.owner_id);
    END IF;
    IF EXISTS (SELECT FROM account WHERE account_id = d.owner_id AND password_hash IS NULL) THEN
        INSERT INTO invitation (account_id, code_sha256, made_by, expires_at)
            VALUES (d.owner_id, p_invitation_sha256, who.account_id, now() + make_interval(secs => p_invitation_s))
            ON CONFLICT (account_id) DO UPDATE SET code_sha256 = EXCLUDED.code_sha256, made_by = EXCLUDED.made_by, made_at = now(), expires_at = EXCLUDED.expires_at
            RETURNING expires_at INTO until;
    END IF;
    UPDATE door_visit SET ended_at = now(), outcome = 'handed_over', without = skipped, without_why = CASE WHEN skipped <> '{}' THEN p_reason END
        WHERE visit_id = d.visit_id RETURNING * INTO d;
    UPDATE door_job SET done_at = now() WHERE job_id = d.job_id;
    PERFORM write_audit(who.account_id, NULL, 'door_handed_over', jsonb_build_object('visit', d.visit_id, 'vehicle', d.vehicle_id,
        'owner', d.owner_id, 'without', skipped, 'reason', d.without_why), 1);
    RETURN jsonb_build_object('visit', door_visit_as_json(d), 'invited_until', until);
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_jobs(p_token bytea, p_day date, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'installer', 'operator', 'admin');
BEGIN
    RETURN QUERY SELECT jsonb_build_object('id', j.job_id::text, 'day', j.day, 'work', j.work, 'place', j.place, 'plate', j.plate,
            'done_at', j.done_at, 'reason', j.reason)
        FROM door_job j WHERE j.day = p_day AND is_within(who, j.unit_id) ORDER BY j.done_at IS NOT NULL, j.job_id LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_photo(p_token bytea, p_visit bigint)
 RETURNS TABLE(media text, content bytea)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'installer', 'operator', 'admin');
    d   door_visit := door_visit_of(who, p_visit, false);
BEGIN
    IF NOT EXISTS (SELECT FROM door_photo p WHERE p.visit_id = d.visit_id) THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    IF d.installer_id <> who.account_id THEN
        PERFORM write_audit(who.account_id, NULL, 'door_photo_seen', jsonb_build_object('visit', d.visit_id, 'vehicle', d.vehicle_id), 1);
    END IF;
    RETURN QUERY SELECT p.media, p.content FROM door_photo p WHERE p.visit_id = d.visit_id;
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_put_photo(p_token bytea, p_visit bigint, p_media text, p_content bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'installer', 'operator', 'admin');
    d   door_visit := door_visit_of(who, p_visit, false);
BEGIN
    -- An erasure and a photo come one after the other.
    SELECT * INTO d FROM door_visit WHERE visit_id = d.visit_id FOR UPDATE;
    IF d.owner_id IS NULL OR d.outcome = 'given_up' OR d.ended_at < now() - interval '1 day' THEN
        PERFORM refuse('P0409', 'visit_over', 'this visit is over', jsonb_build_object('outcome', d.outcome));
    END IF;
    INSERT INTO door_photo (visit_id, media, content) VALUES (d.visit_id, p_media, p_content)
        ON CONFLICT (visit_id) DO UPDATE SET media = EXCLUDED.media, content = EXCLUDED.content, put_at = now();
    PERFORM write_audit(who.account_id, NULL, 'door_photo_put', jsonb_build_object('visit', d.visit_id, 'vehicle', d.vehicle_id), 1);
    RETURN door_visit_as_json(d);
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_remove(p_token bytea, p_ident text, p_claim_sha256 bytea, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who    asker := asker_of(p_token, 'installer', 'operator', 'admin');
    fitted bigint := door_tracker(who, p_ident, p_claim_sha256);
    bike   bigint;
BEGIN
    PERFORM changes_are_of(who.account_id, p_reason);
    UPDATE installation SET valid_to = greatest(now(), valid_from + interval '1 microsecond') WHERE tracker_id = fitted AND valid_to IS NULL
        RETURNING vehicle_id INTO bike;
    IF bike IS NULL THEN PERFORM refuse('P0404', 'not_found', 'nothing of yours is there'); END IF;
    DELETE FROM door_photo p USING door_visit d WHERE d.visit_id = p.visit_id AND d.vehicle_id = bike AND d.ended_at IS NULL;
    UPDATE door_visit SET ended_at = now(), outcome = 'given_up', reason = p_reason WHERE vehicle_id = bike AND ended_at IS NULL;
    PERFORM write_audit(who.account_id, NULL, 'door_removed', jsonb_build_object('vehicle', bike, 'tracker', p_ident, 'reason', p_reason), 1);
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_visit(p_token bytea, p_visit bigint, p_lat double precision, p_lon double precision)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'installer', 'operator', 'admin');
    d   door_visit := door_visit_of(who, p_visit, false);
BEGIN
    RETURN jsonb_build_object('visit', door_visit_as_json(d), 'check', door_check(d, p_lat, p_lon));
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_visits(p_token bytea)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'installer', 'operator', 'admin');
BEGIN
    RETURN QUERY SELECT door_visit_as_json(d) FROM door_visit d WHERE d.installer_id = who.account_id AND d.ended_at IS NULL ORDER BY d.began_at;
END $function$;

CREATE OR REPLACE FUNCTION public.api_door_visits_of(p_token bytea, p_vehicle bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    IF NOT EXISTS (SELECT FROM vehicle v WHERE v.vehicle_id = p_vehicle AND is_within(who, v.unit_id)) THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    RETURN QUERY SELECT door_visit_as_json(d) FROM door_visit d WHERE d.vehicle_id = p_vehicle AND is_within(who, d.unit_id)
        ORDER BY d.began_at DESC LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.api_end_family(p_token bytea, p_member bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner', 'family');
    f   family_member;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    UPDATE family_member SET ended_at = now() WHERE family_member_id = p_member AND ended_at IS NULL
        AND (account_id = who.account_id OR owns(who.account_id, vehicle_id)) RETURNING * INTO f;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM write_audit(who.account_id, NULL, 'family_ended', jsonb_build_object('vehicle', f.vehicle_id, 'member', p_member::text), NULL);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.api_end_sessions(p_token bytea, p_session bigint)
 RETURNS bytea[]
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who  asker := asker_of(p_token, VARIADIC every_role());
    gone bytea[];
BEGIN
    IF p_session IS NULL THEN
        gone := end_sessions_of(who.account_id, p_token);
    ELSE
        WITH ended AS (DELETE FROM session WHERE session_id = p_session AND account_id = who.account_id RETURNING token_sha256)
        SELECT coalesce(array_agg(token_sha256), '{}') INTO gone FROM ended;
        IF gone = '{}' THEN RAISE EXCEPTION 'no such session' USING ERRCODE = 'P0404'; END IF;
    END IF;
    PERFORM write_audit(who.account_id, NULL, 'sessions_ended', jsonb_build_object('sessions', cardinality(gone)), NULL);
    RETURN gone;
END $function$;

CREATE OR REPLACE FUNCTION public.api_enrol(p_account bigint, p_hash text, p_sealed bytea, p_step bigint, p_codes bytea[])
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM FROM account p WHERE p.account_id = p_account AND is_password_of(p, p_hash) AND NOT p.disabled FOR UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM second_factor WHERE account_id = p_account) THEN RETURN false; END IF;
    PERFORM put_second_factor(p_account, p_sealed, p_step, p_codes);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.api_erasure(p_receipt bytea)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT jsonb_build_object('asked_at', r.asked_at, 'done', e.report IS NOT NULL, 'report', e.report)
    FROM erasure_request r LEFT JOIN erasure e USING (erasure_id) WHERE r.receipt_sha256 = p_receipt
$function$;

CREATE OR REPLACE FUNCTION public.api_export_pieces(p_token bytea, p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS SETOF found
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner');
    w   ownership;
BEGIN
    FOR w IN SELECT * FROM ownership o WHERE o.account_id = who.account_id AND o.vehicle_id = p_vehicle
            AND o.valid_from < p_to AND coalesce(o.valid_to, 'infinity') > p_from ORDER BY o.valid_from LOOP
        RETURN QUERY SELECT * FROM pieces_of(p_vehicle, greatest(p_from, w.valid_from), least(p_to, coalesce(w.valid_to, 'infinity')));
    END LOOP;
END $function$;

CREATE OR REPLACE FUNCTION public.api_family(p_token bytea, p_vehicle bigint)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM must_own(who, p_vehicle);
    RETURN QUERY SELECT family_member_as_json(f) FROM family_member f WHERE f.vehicle_id = p_vehicle AND f.ended_at IS NULL
        AND (f.ends_at IS NULL OR f.ends_at > now()) AND (f.accepted_at IS NOT NULL OR f.code_ends_at > now()) ORDER BY f.invited_at LIMIT 10;
END $function$;

CREATE OR REPLACE FUNCTION public.api_give_consent(p_token bytea, p_version text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who    asker := asker_of(p_token, 'owner');
    before bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF EXISTS (SELECT FROM consent WHERE account_id = who.account_id AND version = p_version AND withdrawn_at IS NULL) THEN RETURN NULL; END IF;
    SELECT max(setting_id) INTO before FROM setting;
    INSERT INTO consent (account_id, version, channel) VALUES (who.account_id, p_version, 'page');
    PERFORM write_audit(who.account_id, NULL, 'consent_given', jsonb_build_object('version', p_version), NULL);
    RETURN (SELECT max(setting_id) FROM setting WHERE setting_id > coalesce(before, 0));
END $function$;

CREATE OR REPLACE FUNCTION public.api_guarding(p_token bytea, p_vehicle bigint)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN QUERY SELECT jsonb_build_object('armed', coalesce(s.armed, false), 'by', s.by, 'since', s.since, 'schedule', g.schedule, 'auto_after_s', g.auto_after_s,
        'phones', (SELECT count(*) FROM phone_token p WHERE p.vehicle_id = p_vehicle AND p.account_id = who.account_id))
    FROM vehicle v LEFT JOIN guarding g USING (vehicle_id) LEFT JOIN guard_status s USING (vehicle_id)
    WHERE v.vehicle_id = p_vehicle AND owns(who.account_id, p_vehicle);
END $function$;

CREATE OR REPLACE FUNCTION public.api_hand_over(p_token bytea, p_vehicle bigint, p_reason text, p_document text, p_phone text, p_login text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who   asker := asker_of(p_token, 'operator', 'admin');
    buyer bigint;
    t     transfer;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT EXISTS (SELECT FROM vehicle v WHERE v.vehicle_id = p_vehicle AND is_within(who, v.unit_id)) THEN
        RAISE EXCEPTION 'no vehicle %', p_vehicle USING ERRCODE = 'P0404';
    END IF;
    SELECT account_id INTO buyer FROM account p WHERE (p.phone = p_phone OR p.login = p_login) AND p.role = 'owner' AND NOT p.disabled AND is_within(who, p.unit_id);
    IF buyer IS NULL THEN PERFORM refuse('P0404', 'no_such_person', 'no owner has this phone number or login'); END IF;
    IF owns(buyer, p_vehicle) THEN PERFORM refuse('P0409', 'own_vehicle', 'the vehicle is theirs already'); END IF;
    UPDATE transfer SET cancelled_at = now() WHERE vehicle_id = p_vehicle AND done_at IS NULL AND cancelled_at IS NULL;
    INSERT INTO transfer (vehicle_id, reason, document, made_by, to_account, accepted_at)
    VALUES (p_vehicle, p_reason, p_document, who.account_id, buyer, now()) RETURNING * INTO t;
    IF NOT carry_out_transfer(t.transfer_id) THEN
        PERFORM refuse('P0409', 'no_owner', 'the vehicle has no owner; enter its first one in the registry');
    END IF;
    RETURN (SELECT transfer_as_json(n) FROM transfer n WHERE n.transfer_id = t.transfer_id);
END $function$;

CREATE OR REPLACE FUNCTION public.api_hand_over_of(p_token bytea, p_vehicle bigint)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM must_own(who, p_vehicle);
    RETURN QUERY SELECT transfer_as_json(t) FROM transfer t WHERE vehicle_id = p_vehicle AND done_at IS NULL AND cancelled_at IS NULL
        AND (accepted_at IS NOT NULL OR code_ends_at > now());
END $function$;

CREATE OR REPLACE FUNCTION public.api_history_tile(p_token bytea, p_grant bigint, p_z integer, p_x integer, p_y integer, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS bytea
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'police', 'operator');
BEGIN
    IF who.role = 'police' THEN
        PERFORM check_window(check_grant(who.account_id, p_grant), p_from, p_to);
    ELSE
        p_grant := NULL;
    END IF;
    PERFORM write_audit(who.account_id, p_grant, 'history', jsonb_build_object('tile', jsonb_build_array(p_z, p_x, p_y), 'from', p_from, 'to', p_to), NULL);
    RETURN history_tile(p_z, p_x, p_y, p_from, p_to, CASE WHEN who.role <> 'police' THEN coalesce(who.organisation_id, 0) END);
END $function$;

CREATE OR REPLACE FUNCTION public.api_holds(p_token bytea, p_grant bigint, p_before bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'police', 'admin');
    the_case text := holds_seen(who.account_id, p_grant);
    returned integer;
BEGIN
    RETURN QUERY SELECT hold_as_json(h.hold_id) FROM legal_hold h JOIN vehicle v USING (vehicle_id)
        WHERE (who.role = 'police' OR is_within(who, v.unit_id)) AND (the_case IS NULL OR h.case_number = the_case) AND (p_before IS NULL OR h.hold_id < p_before)
        ORDER BY h.hold_id DESC LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, p_grant, 'holds', jsonb_build_object('case', the_case), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_import(p_token bytea, p_import bigint)
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT import_as_json(own_import(p_token, p_import))
$function$;

CREATE OR REPLACE FUNCTION public.api_import_begin(p_token bytea, p_import bigint, p_headers jsonb, p_mapping jsonb, p_keeps_rows boolean)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM import_begin((own_import(p_token, p_import)).import_id, p_headers, p_mapping, p_keeps_rows);
END $function$;

CREATE OR REPLACE FUNCTION public.api_import_cancel(p_token bytea, p_import bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE me asker := asker_of(p_token, 'operator', 'admin'); j import_job;
BEGIN
    IF NOT EXISTS (SELECT FROM import_job i WHERE i.import_id = p_import AND is_within(me, (i.who).unit_id)) THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    UPDATE import_job SET state = 'cancelled', ended_at = now() WHERE import_id = p_import AND state NOT IN ('done', 'cancelled') RETURNING * INTO j;
    IF FOUND THEN
        DELETE FROM import_row WHERE import_id = p_import;
        PERFORM write_audit(me.account_id, NULL, 'import_cancel', jsonb_build_object('import', p_import::text), NULL);
    ELSE
        SELECT * INTO j FROM import_job WHERE import_id = p_import;
    END IF;
    RETURN import_as_json(j);
END $function$;

CREATE OR REPLACE FUNCTION public.api_import_checked(p_token bytea, p_import bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    RETURN import_checked((own_import(p_token, p_import)).import_id);
END $function$;

CREATE OR REPLACE FUNCTION public.api_import_fill(p_token bytea, p_import bigint, p_rows jsonb, p_problems jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM import_fill((own_import(p_token, p_import)).import_id, p_rows, p_problems);
END $function$;

CREATE OR REPLACE FUNCTION public.api_import_make(p_token bytea, p_file_name text, p_reason text, p_key text, p_asked bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); id bigint := made_before(who.account_id, p_key, p_asked);
BEGIN
    IF id IS NULL THEN
        IF (SELECT count(*) FROM import_job i WHERE (i.who).account_id = who.account_id AND i.state IN ('new', 'filling', 'checked', 'running')) >= 10 THEN
            PERFORM refuse('P0409', 'imports_full', 'there are 10 imports that have not ended; cancel some', jsonb_build_object('max', 10));
        END IF;
        id := import_make(who, p_file_name, p_reason);
        PERFORM remember_made(who.account_id, p_key, p_asked, id);
    END IF;
    RETURN (SELECT import_as_json(i) FROM import_job i WHERE import_id = id);
END $function$;

CREATE OR REPLACE FUNCTION public.api_import_problems(p_token bytea, p_import bigint, p_after integer, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE j import_job := own_import(p_token, p_import);
BEGIN
    -- Whole lines: a page ends where a line does.
    RETURN QUERY SELECT jsonb_build_object('line', p.line, 'field', p.field, 'value', p.value, 'code', p.code, 'allowed', p.allowed) FROM import_problem p
    WHERE p.import_id = j.import_id AND p.line > p_after
        AND p.line IN (SELECT DISTINCT q.line FROM import_problem q WHERE q.import_id = j.import_id AND q.line > p_after ORDER BY q.line LIMIT p_limit)
    ORDER BY p.line, p.field;
END $function$;

CREATE OR REPLACE FUNCTION public.api_import_rows(p_token bytea, p_import bigint, p_after integer, p_limit integer)
 RETURNS TABLE(line integer, cells jsonb)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    RETURN QUERY SELECT r.line, r.cells FROM import_row r WHERE r.import_id = (own_import(p_token, p_import)).import_id AND r.line > p_after ORDER BY r.line LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.api_import_start(p_token bytea, p_import bigint, p_only_good boolean)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    RETURN import_start((own_import(p_token, p_import)).import_id, p_only_good);
END $function$;

CREATE OR REPLACE FUNCTION public.api_import_step(p_lines integer)
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT import_step(NULL, least(p_lines, 2000))
$function$;

CREATE OR REPLACE FUNCTION public.api_imports(p_token bytea, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE me asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN QUERY SELECT import_as_json(i) FROM import_job i WHERE is_within(me, (i.who).unit_id) ORDER BY made_at DESC LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.api_incident_news(p_tokens bytea[], p_incident bigint)
 RETURNS TABLE(account_id bigint, incident jsonb)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    RETURN QUERY SELECT r.account_id, jsonb_build_object('id', i.incident_id::text, 'vehicle_id', i.vehicle_id::text, 'state', i.state, 'answer', i.answer,
        'version', i.version, 'opened_at', i.opened_at, 'closed_at', i.closed_at, 'is_drill', was_in_trial(i.vehicle_id, i.opened_at))
    FROM incident i JOIN vehicle_right r USING (vehicle_id)
    WHERE i.incident_id = p_incident AND i.opened_at >= r.owned_since AND is_watched_by(r.account_id, p_tokens);
END $function$;

CREATE OR REPLACE FUNCTION public.api_invitation(p_code bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE said jsonb;
BEGIN
    SELECT jsonb_build_object('name', p.name, 'role', p.role, 'organisation', o.name, 'login', p.login, 'has_phone', p.phone IS NOT NULL,
            'second_factor', must_have_second_factor(p), 'expires_at', i.expires_at) INTO said
        FROM invitation i JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id) LEFT JOIN organisation o USING (organisation_id)
        WHERE i.code_sha256 = p_code AND i.expires_at > now() AND NOT p.disabled AND p.password_hash IS NULL;
    IF said IS NULL THEN PERFORM refuse_code(); END IF;
    RETURN said;
END $function$;

CREATE OR REPLACE FUNCTION public.api_invite(p_token bytea, p_login text, p_name text, p_role text, p_phone text, p_organisation text, p_kind text, p_unit text, p_code bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    own text := (SELECT name FROM organisation WHERE organisation_id = who.organisation_id);
    at  bigint := who.unit_id;
    p   account;
    broken text;
BEGIN
    IF NOT looks_after(who, p_role) THEN
        PERFORM refuse('P0403', 'not_your_role', format('an operator invites owners, family and installers, not %s', p_role), jsonb_build_object('role', p_role));
    END IF;
    IF who.organisation_id IS NULL AND who.role <> 'admin' THEN
        at := NULL;
        IF p_organisation IS NOT NULL THEN PERFORM refuse('P0404', 'no_such_organisation', 'no organisation of yours has this name'); END IF;
    ELSIF p_organisation IS NOT NULL THEN
        IF who.organisation_id IS NOT NULL AND p_organisation IS DISTINCT FROM own THEN
            PERFORM refuse('P0404', 'no_such_organisation', 'no organisation of yours has this name');
        END IF;
        at := put_unit(p_organisation, p_kind, coalesce(p_unit, p_organisation));
    ELSIF p_unit IS NOT NULL AND own IS NOT NULL THEN
        at := put_unit(own, 'operator', p_unit);
    END IF;
    IF p_login IS NOT NULL THEN PERFORM check_login(p_login, NULL); END IF;
    PERFORM check_phone_free(p_phone, NULL);
    INSERT INTO account (login, name, role, phone, unit_id) VALUES (coalesce(p_login, 'u' || substr(md5(gen_random_uuid()::text), 1, 15)), p_name, p_role, p_phone, at)
        RETURNING * INTO p;
    INSERT INTO invitation VALUES (p.account_id, p_code, who.account_id, now(), now() + interval '72 hours');
    PERFORM write_audit(who.account_id, NULL, 'invite', jsonb_build_object('account', p.account_id, 'role', p_role), NULL);
    RETURN account_as_json(p);
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
    PERFORM refuse_account_taken(broken);
END $function$;

CREATE OR REPLACE FUNCTION public.api_invite_family(p_token bytea, p_vehicle bigint, p_code bytea, p_name text, p_may text, p_ends timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner');
    f   family_member;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    PERFORM must_own(who, p_vehicle);
    IF (SELECT count(*) FROM family_member WHERE vehicle_id = p_vehicle AND ended_at IS NULL AND (ends_at IS NULL OR ends_at > now())
            AND (accepted_at IS NOT NULL OR code_ends_at > now())) >= 10 THEN
        PERFORM refuse('P0409', 'family_full', 'a vehicle has at most 10 members of the family; end one first', '{"max": 10}');
    END IF;
    INSERT INTO family_member (vehicle_id, invited_by, name, may, code_sha256, code_ends_at, ends_at)
    VALUES (p_vehicle, who.account_id, p_name, p_may, p_code, now() + interval '72 hours', p_ends) RETURNING * INTO f;
    PERFORM write_audit(who.account_id, NULL, 'family_invited', jsonb_build_object('vehicle', p_vehicle, 'member', f.family_member_id::text, 'may', p_may, 'ends', p_ends), NULL);
    RETURN family_member_as_json(f);
END $function$;

CREATE OR REPLACE FUNCTION public.api_issue_credential(p_token bytea, p_tracker bigint, p_hash text, p_claim_sha256 bytea, p_reason text)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    t   tracker := tracker_within(who, p_tracker);
    has boolean := EXISTS (SELECT FROM tracker_credential WHERE tracker_id = p_tracker AND password_hash IS NOT NULL);
BEGIN
    IF has AND p_reason IS NULL THEN
        PERFORM refuse('P0409', 'credential_exists', 'the tracker has a credential; say why it is to be replaced', jsonb_build_object('field', 'reason'));
    END IF;
    INSERT INTO tracker_credential (tracker_id, password_hash, claim_sha256) VALUES (p_tracker, p_hash, p_claim_sha256)
    ON CONFLICT (tracker_id) DO UPDATE SET password_hash = EXCLUDED.password_hash, claim_sha256 = EXCLUDED.claim_sha256,
        made_at = now(), revoked_at = NULL;
    PERFORM write_audit(who.account_id, NULL, CASE WHEN has THEN 'credential_replaced' ELSE 'credential_issued' END,
        jsonb_build_object('tracker', t.ident, 'reason', p_reason), 1);
    RETURN t.ident;
END $function$;

CREATE OR REPLACE FUNCTION public.api_issue_credentials(p_token bytea, p_batch text, p_trackers bigint[], p_hashes text[], p_claims bytea[], p_key text, p_asked bytea)
 RETURNS SETOF bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who   asker := asker_of(p_token, 'operator', 'admin');
    given integer;
BEGIN
    IF made_before(who.account_id, p_key, p_asked) IS NOT NULL THEN
        RETURN; -- the same call was answered meanwhile
    END IF;
    RETURN QUERY INSERT INTO tracker_credential (tracker_id, password_hash, claim_sha256)
    SELECT t.tracker_id, g.hash, g.claim FROM unnest(p_trackers, p_hashes, p_claims) g (tracker_id, hash, claim)
    JOIN tracker t ON t.tracker_id = g.tracker_id WHERE t.batch = p_batch AND is_within(who, t.unit_id)
    ON CONFLICT DO NOTHING RETURNING tracker_credential.tracker_id;
    GET DIAGNOSTICS given = ROW_COUNT;
    IF given > 0 THEN
        PERFORM remember_made(who.account_id, p_key, p_asked, p_trackers[1]);
    END IF;
    PERFORM write_audit(who.account_id, NULL, 'credentials_issued', jsonb_build_object('batch', p_batch), given);
END $function$;

CREATE OR REPLACE FUNCTION public.api_known_logins(p_limit integer)
 RETURNS SETOF text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT n.name FROM account p, LATERAL (VALUES (p.login), (p.phone)) AS n (name) WHERE NOT p.disabled AND n.name IS NOT NULL
        AND EXISTS (SELECT FROM audit a WHERE a.account_id = p.account_id AND a.action = 'log_in') LIMIT p_limit
$function$;

CREATE OR REPLACE FUNCTION public.api_listeners(p_token bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who    asker := asker_of(p_token, 'operator', 'admin');
    is_all boolean := sees_all(who);
BEGIN
    RETURN (
        WITH by_unit AS (SELECT c.worker, c.listener, t.unit_id, count(*) AS trackers
            FROM tracker_connection c JOIN tracker t USING (tracker_id) WHERE c.ended_at IS NULL AND NOT is_all GROUP BY 1, 2, 3),
        own AS (SELECT worker, listener, sum(trackers)::integer AS trackers FROM by_unit WHERE is_within(who, unit_id) GROUP BY 1, 2)
        SELECT coalesce(jsonb_agg(jsonb_build_object('began_at', w.began_at, 'seen_at', w.beat_at, 'ended_at', g.gone_at, 'is_list_read', w.is_list_read,
            'listeners', (SELECT coalesce(jsonb_agg(jsonb_build_object('language', l.language, 'address', l.address,
                    'transport', CASE WHEN l.is_udp THEN 'udp' ELSE 'tcp' END, 'is_tls', l.is_tls,
                    'connected', CASE WHEN g.gone_at IS NOT NULL THEN 0 WHEN is_all THEN l.connected ELSE coalesce(o.trackers, 0) END,
                    'connected_in_all', CASE WHEN is_all THEN CASE WHEN g.gone_at IS NOT NULL THEN 0 ELSE l.connected END END,
                    'strangers', CASE WHEN is_all THEN CASE WHEN g.gone_at IS NOT NULL THEN 0 ELSE l.strangers END END,
                    'ended', CASE WHEN is_all THEN l.ended END) ORDER BY l.listener), '[]')
                FROM door_listener l LEFT JOIN own o USING (worker, listener) WHERE l.worker = w.worker))
            ORDER BY g.gone_at DESC NULLS FIRST, w.began_at DESC), '[]')
        FROM door_worker w CROSS JOIN LATERAL (SELECT door_gone_at(w)) g (gone_at));
END $function$;

CREATE OR REPLACE FUNCTION public.api_live_positions(p_tokens bytea[])
 RETURNS TABLE(vehicle_id bigint, plate text, lat double precision, lon double precision, fixed_at timestamp with time zone, speed_kmh real, armed boolean, incident boolean, organisation_id bigint, is_off boolean)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    is_all        boolean;
    organisations bigint[];    -- 0 is none
    own           bigint[];
BEGIN
    WITH watcher AS (
        SELECT DISTINCT p.account_id, p.role, coalesce(u.organisation_id, 0) AS organisation
        FROM session s JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id)
        WHERE s.token_sha256 = ANY (p_tokens) AND s.expires_at > now() AND NOT p.disabled)
    SELECT EXISTS (SELECT FROM watcher w JOIN access_grant g USING (account_id) WHERE w.role = 'police' AND now() BETWEEN g.valid_from AND g.valid_to),
        ARRAY(SELECT DISTINCT w.organisation FROM watcher w WHERE w.role = 'operator'),
        ARRAY(SELECT r.vehicle_id FROM vehicle_right r JOIN watcher w USING (account_id) WHERE w.role IN ('owner', 'family'))
    INTO is_all, organisations, own;
    RETURN QUERY SELECT * FROM live_position l WHERE l.vehicle_id = ANY (own)
        UNION ALL SELECT * FROM live_position l WHERE (is_all OR cardinality(organisations) > 0)
            AND (is_all OR coalesce(l.organisation_id, 0) = ANY (organisations)) AND l.vehicle_id <> ALL (own);
END $function$;

CREATE OR REPLACE FUNCTION public.api_live_right(p_token bytea, p_grant bigint)
 RETURNS TABLE(goes_on boolean, owned bigint[], owned_since timestamp with time zone[], area_km2_max double precision, organisation_id bigint, is_shared boolean)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT p.role <> 'police' OR g.grant_id IS NOT NULL,
           ARRAY(SELECT r.vehicle_id FROM vehicle_right r WHERE r.account_id = p.account_id AND NOT is_off(r.vehicle_id) ORDER BY r.vehicle_id),
           ARRAY(SELECT r.owned_since FROM vehicle_right r WHERE r.account_id = p.account_id AND NOT is_off(r.vehicle_id) ORDER BY r.vehicle_id),
           g.area_km2_max, u.organisation_id, EXISTS (SELECT FROM vehicle_right r WHERE r.account_id = p.account_id AND r.may <> 'own')
    FROM session s JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id)
    LEFT JOIN access_grant g ON p.role = 'police' AND g.grant_id = p_grant AND g.account_id = p.account_id AND now() BETWEEN g.valid_from AND g.valid_to
    WHERE s.token_sha256 = p_token AND s.expires_at > now() AND NOT p.disabled
$function$;

CREATE OR REPLACE FUNCTION public.api_log_in_failed(p_login text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    INSERT INTO audit (account_id, action, question) SELECT account_id, 'log_in_failed', '{}' FROM account WHERE login = p_login AND NOT disabled
$function$;

CREATE OR REPLACE FUNCTION public.api_make_phone(p_token bytea, p_vehicle bigint, p_phone bytea)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(who.account_id, p_vehicle) THEN RETURN false; END IF;
    IF (SELECT count(*) FROM phone_token WHERE vehicle_id = p_vehicle AND account_id = who.account_id) >= 5 THEN
        PERFORM refuse('P0409', 'phones_full', 'a vehicle has at most 5 phones; remove them first', '{"max": 5}');
    END IF;
    PERFORM write_audit(who.account_id, NULL, 'phone', jsonb_build_object('vehicle', p_vehicle), NULL);
    INSERT INTO phone_token (token_sha256, vehicle_id, account_id) VALUES (p_phone, p_vehicle, who.account_id);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.api_make_share(p_token bytea, p_vehicle bigint, p_share bytea, p_seconds double precision, p_openings integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who  asker := asker_of(p_token, 'owner');
    open bigint;
    s    share_link;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    PERFORM must_own(who, p_vehicle);
    SELECT i.incident_id INTO open FROM incident i JOIN ownership w USING (vehicle_id)
        WHERE i.vehicle_id = p_vehicle AND i.closed_at IS NULL AND w.valid_to IS NULL AND i.opened_at >= w.valid_from;
    IF open IS NULL THEN PERFORM refuse('P0409', 'no_incident', 'a place is shared while an incident is open'); END IF;
    IF (SELECT count(*) FROM share_link WHERE incident_id = open AND revoked_at IS NULL AND expires_at > now()) >= 5 THEN
        PERFORM refuse('P0409', 'shares_full', 'an incident has at most 5 links; revoke one first', '{"max": 5}');
    END IF;
    INSERT INTO share_link (vehicle_id, account_id, incident_id, token_sha256, expires_at, openings_max)
    VALUES (p_vehicle, who.account_id, open, p_share, now() + make_interval(secs => least(p_seconds, 86400)), p_openings) RETURNING * INTO s;
    PERFORM write_audit(who.account_id, NULL, 'share', jsonb_build_object('vehicle', p_vehicle, 'share', s.share_link_id::text, 'incident', open::text,
        'seconds', p_seconds, 'openings', p_openings), NULL);
    RETURN share_as_json(s);
END $function$;

CREATE OR REPLACE FUNCTION public.api_make_trackers(p_token bytea, p_idents text[], p_profile jsonb, p_batch text, p_hashes text[], p_claims bytea[], p_key text, p_asked bytea)
 RETURNS TABLE(tracker_id bigint, ident text, made_before boolean, password_hash text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    who   asker := asker_of(p_token, 'operator', 'admin');
    taken text;
    first bigint;
BEGIN
    IF made_before(who.account_id, p_key, p_asked) IS NOT NULL THEN
        PERFORM write_audit(who.account_id, NULL, 'credentials_shown_again', jsonb_build_object('batch', p_batch, 'first', p_idents[1],
            'last', p_idents[cardinality(p_idents)]), cardinality(p_idents));
        RETURN QUERY SELECT t.tracker_id, t.ident, true, c.password_hash FROM tracker t LEFT JOIN tracker_credential c USING (tracker_id)
            WHERE t.ident = ANY (p_idents) AND is_within(who, t.unit_id);
        RETURN;
    END IF;
    taken := (SELECT t.ident FROM tracker t WHERE t.ident = ANY (p_idents) ORDER BY 1 LIMIT 1);
    IF taken IS NOT NULL THEN
        PERFORM refuse('P0409', 'tracker_exists', format('the tracker %s is registered already; none of these was', taken), jsonb_build_object('ident', taken));
    END IF;
    PERFORM set_config('rideguard.by_account', who.account_id::text, true); -- for the registry's history
    RETURN QUERY
    WITH made AS (
        INSERT INTO tracker (ident, profile, unit_id, batch) SELECT g, p_profile, who.unit_id, coalesce(p_batch, '') FROM unnest(p_idents) g
        RETURNING tracker.tracker_id, tracker.ident
    ), given AS (
        INSERT INTO tracker_credential (tracker_id, password_hash, claim_sha256)
        SELECT m.tracker_id, g.hash, g.claim FROM made m JOIN unnest(p_idents, p_hashes, p_claims) g (ident, hash, claim) ON g.ident = m.ident
    )
    SELECT m.tracker_id, m.ident, false, NULL::text FROM made m;
    first := (SELECT t.tracker_id FROM tracker t WHERE t.ident = p_idents[1]);
    PERFORM remember_made(who.account_id, p_key, p_asked, first);
    PERFORM write_audit(who.account_id, NULL, 'trackers_registered', jsonb_build_object('batch', p_batch, 'first', p_idents[1],
        'last', p_idents[cardinality(p_idents)], 'profile', p_profile), cardinality(p_idents));
EXCEPTION WHEN unique_violation THEN
    PERFORM refuse('P0409', 'tracker_exists', 'one of the trackers was registered meanwhile; none of these was', '{}');
END $function$;

CREATE OR REPLACE FUNCTION public.api_managed_account(p_token bytea, p_account bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    p   account := account_of(who, p_account);
BEGIN
    PERFORM write_audit(who.account_id, NULL, 'accounts', jsonb_build_object('account', p_account), 1);
    RETURN account_as_json(p);
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_alerts(p_token bytea, p_before bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT alert_as_json(a.alert_id) FROM alert a JOIN vehicle_right r USING (vehicle_id)
    WHERE r.account_id = who.account_id AND a.raised_at >= r.since AND (p_before IS NULL OR a.alert_id < p_before)
    ORDER BY a.alert_id DESC LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_consents(p_token bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN jsonb_build_object('is_withdrawn', consent_is_withdrawn(who.account_id), 'consents', coalesce((
        SELECT jsonb_agg(jsonb_build_object('version', c.version, 'given_at', c.given_at, 'channel', c.channel, 'withdrawn_at', c.withdrawn_at,
            'withdrawn_channel', c.withdrawn_channel) ORDER BY c.given_at, c.consent_id)
        FROM (SELECT * FROM consent n WHERE n.account_id = who.account_id ORDER BY n.given_at DESC LIMIT 100) c), '[]'));
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_door_photos(p_token bytea)
 RETURNS TABLE(visit_id bigint, media text, content bytea)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT p.visit_id, p.media, p.content FROM door_photo p JOIN door_visit d USING (visit_id) WHERE d.owner_id = who.account_id
        ORDER BY d.began_at;
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_grants(p_token bytea)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'police');
BEGIN
    RETURN QUERY SELECT jsonb_build_object('id', grant_id::text, 'case_number', case_number, 'purpose', purpose, 'valid_to', valid_to,
        'area_km2_max', area_km2_max, 'hours_max', hours_max)
    FROM access_grant WHERE account_id = who.account_id AND now() BETWEEN valid_from AND valid_to ORDER BY valid_from, grant_id;
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_hand_overs(p_token bytea)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN QUERY SELECT jsonb_build_object('plate', v.plate, 'side', CASE WHEN t.to_account = who.account_id THEN 'buyer' ELSE 'seller' END,
        'hand_over', transfer_as_json(t))
    FROM transfer t JOIN vehicle v USING (vehicle_id)
    WHERE t.done_at IS NULL AND t.cancelled_at IS NULL AND (t.accepted_at IS NOT NULL OR t.code_ends_at > now())
        AND (t.to_account = who.account_id OR owns(who.account_id, t.vehicle_id))
    ORDER BY t.takes_place_at NULLS FIRST, t.made_at LIMIT 100;
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_incident(p_token bytea, p_incident bigint)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT incident_as_json(i) || jsonb_build_object(
        'alerts', coalesce((SELECT jsonb_agg(alert_as_json(a.alert_id) || jsonb_build_object('evidence', a.evidence) ORDER BY a.alert_id)
                   FROM alert a WHERE a.vehicle_id = i.vehicle_id AND a.incident_id = i.incident_id), '[]'),
        'timeline', coalesce((SELECT jsonb_agg(line ORDER BY at, is_note) FROM (
                SELECT a.raised_at AS at, false AS is_note, jsonb_build_object('at', a.raised_at, 'kind', 'alert', 'alert', a.kind) AS line
                FROM alert a WHERE a.vehicle_id = i.vehicle_id AND a.incident_id = i.incident_id
                UNION ALL
                SELECT n.at, true, jsonb_build_object('kind', n.kind) || n.detail - 'note' - 'at' || jsonb_build_object('at', n.at)
                    || CASE WHEN n.detail ? 'at' THEN jsonb_build_object('happened_at', to_timestamp((n.detail ->> 'at')::float8 / 1e6)) ELSE '{}' END
                FROM incident_note n WHERE n.incident_id = i.incident_id) lines), '[]'))
    FROM incident_of(who.account_id, p_incident) i WHERE i.incident_id IS NOT NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_incidents(p_token bytea, p_before timestamp with time zone, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT incident_as_json(i) FROM incident i JOIN vehicle_right r USING (vehicle_id)
    WHERE r.account_id = who.account_id AND i.opened_at >= r.owned_since AND (i.opened_at >= r.since OR i.closed_at IS NULL)
        AND (p_before IS NULL OR i.opened_at < p_before)
    ORDER BY i.opened_at DESC LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_looks(p_token bytea, p_before timestamp with time zone, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN QUERY SELECT * FROM looks_at(who.account_id, p_before, p_limit);
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_pieces(p_token bytea, p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS SETOF found
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner', 'family');
    since timestamptz;
    rank  integer;
BEGIN
    SELECT r.since, r.rank INTO since, rank FROM vehicle_right r WHERE r.account_id = who.account_id AND r.vehicle_id = p_vehicle;
    IF since IS NULL THEN RAISE EXCEPTION 'no vehicle % of yours', p_vehicle USING ERRCODE = 'P0404'; END IF;
    -- The owner's own past is theirs; the family's view of it ends with the positioning.
    IF rank < 3 AND is_off(p_vehicle) THEN RETURN; END IF;
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, greatest(p_from, since), p_to);
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_sessions(p_token bytea)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, VARIADIC every_role());
BEGIN
    RETURN QUERY SELECT jsonb_build_object('id', s.session_id::text, 'created_at', s.created_at, 'last_used_at', s.last_used_at,
            'expires_at', s.expires_at, 'user_agent', s.user_agent, 'is_this', s.token_sha256 = p_token)
        FROM session s WHERE s.account_id = who.account_id AND s.expires_at > now() ORDER BY s.last_used_at DESC, s.session_id LIMIT 200;
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_vehicle(p_token bytea, p_vehicle bigint)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT shown_vehicle_as_json(r.vehicle_id, r.owned_since) || jsonb_build_object('may', r.may) FROM vehicle_right r
    WHERE r.account_id = who.account_id AND r.vehicle_id = p_vehicle;
END $function$;

CREATE OR REPLACE FUNCTION public.api_my_vehicles(p_token bytea)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT shown_vehicle_as_json(r.vehicle_id, r.owned_since) || jsonb_build_object('may', r.may)
    FROM vehicle_right r JOIN vehicle v USING (vehicle_id) WHERE r.account_id = who.account_id ORDER BY r.rank DESC, v.plate;
END $function$;

CREATE OR REPLACE FUNCTION public.api_offer_hand_over(p_token bytea, p_vehicle bigint, p_code bytea, p_at timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner');
    t   transfer;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    PERFORM must_own(who, p_vehicle);
    UPDATE transfer SET cancelled_at = now() WHERE vehicle_id = p_vehicle AND done_at IS NULL AND cancelled_at IS NULL
        AND accepted_at IS NULL AND code_ends_at <= now();
    IF EXISTS (SELECT FROM transfer WHERE vehicle_id = p_vehicle AND done_at IS NULL AND cancelled_at IS NULL) THEN
        PERFORM refuse('P0409', 'hand_over_open', 'a hand-over of this vehicle is open; cancel it first');
    END IF;
    INSERT INTO transfer (vehicle_id, reason, made_by, takes_place_at, code_sha256, code_ends_at)
    VALUES (p_vehicle, 'offer', who.account_id, p_at, p_code, now() + interval '72 hours') RETURNING * INTO t;
    PERFORM write_audit(who.account_id, NULL, 'hand_over_offered', jsonb_build_object('vehicle', p_vehicle, 'transfer', t.transfer_id::text, 'at', p_at), NULL);
    RETURN transfer_as_json(t);
END $function$;

CREATE OR REPLACE FUNCTION public.api_open_live(p_token bytea, p_grant bigint, p_ticket bytea)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who   asker := asker_of(p_token, 'owner', 'family', 'police', 'operator');
    until timestamptz := now() + interval '30 seconds';
BEGIN
    IF who.role = 'police' THEN PERFORM check_grant(who.account_id, p_grant); END IF;
    DELETE FROM live_ticket WHERE expires_at < now();
    INSERT INTO live_ticket (ticket_sha256, account_id, session_sha256, grant_id, expires_at)
        VALUES (p_ticket, who.account_id, p_token, CASE WHEN who.role = 'police' THEN p_grant END, until);
    RETURN until;
END $function$;

CREATE OR REPLACE FUNCTION public.api_open_session(p_token bytea, p_account bigint, p_hash text, p_seconds double precision, p_user_agent text)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE until timestamptz := now() + make_interval(secs => p_seconds);
BEGIN
    PERFORM FROM account p WHERE p.account_id = p_account AND is_password_of(p, p_hash) AND NOT p.disabled
        AND (NOT must_have_second_factor(p) OR EXISTS (SELECT FROM second_factor f WHERE f.account_id = p_account)) FOR SHARE OF p;
    IF NOT FOUND THEN PERFORM refuse('P0401', 'session_ended', 'the session has ended; log in again'); END IF;
    DELETE FROM session WHERE expires_at < now();
    INSERT INTO session (token_sha256, account_id, expires_at, user_agent) VALUES (p_token, p_account, until, left(p_user_agent, 200));
    RETURN until;
END $function$;

CREATE OR REPLACE FUNCTION public.api_open_share(p_share bytea, p_visit bytea, p_is_new boolean)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    s share_link;
    i incident;
BEGIN
    SELECT l.* INTO s FROM share_link l WHERE l.token_sha256 = p_share AND l.revoked_at IS NULL AND l.expires_at > now() FOR UPDATE;
    IF NOT FOUND THEN RETURN NULL; END IF;
    SELECT c.* INTO i FROM incident c WHERE c.incident_id = s.incident_id AND c.closed_at IS NULL;
    IF NOT FOUND OR NOT owns(s.account_id, s.vehicle_id) OR is_off(s.vehicle_id) THEN RETURN NULL; END IF;
    IF NOT EXISTS (SELECT FROM share_opening o WHERE o.share_link_id = s.share_link_id AND o.visit_sha256 = p_visit) THEN
        IF NOT p_is_new OR (SELECT count(*) FROM share_opening o WHERE o.share_link_id = s.share_link_id) >= s.openings_max THEN RETURN NULL; END IF;
        INSERT INTO share_opening (share_link_id, visit_sha256) VALUES (s.share_link_id, p_visit);
    END IF;
    RETURN (SELECT jsonb_build_object('expires_at', s.expires_at, 'place', (
        SELECT jsonb_build_object('lat', ST_Y(t.position), 'lon', ST_X(t.position), 'fixed_at', t.fixed_at, 'speed_kmh', t.speed_kmh)
        FROM installation n JOIN tracker_status t USING (tracker_id)
        WHERE n.vehicle_id = s.vehicle_id AND n.valid_to IS NULL AND t.vehicle_id = s.vehicle_id AND t.position IS NOT NULL AND t.fixed_at >= i.fixes_from)));
END $function$;

CREATE OR REPLACE FUNCTION public.api_organisations(p_token bytea)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN QUERY SELECT jsonb_build_object('name', o.name, 'kind', o.kind,
            'units', ARRAY(SELECT u.name FROM unit u WHERE u.organisation_id = o.organisation_id ORDER BY 1))
        FROM organisation o WHERE o.organisation_id = who.organisation_id OR (who.role = 'admin' AND who.organisation_id IS NULL) ORDER BY o.name;
END $function$;

CREATE OR REPLACE FUNCTION public.api_outages(p_token bytea, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who  asker := asker_of(p_token, 'operator', 'admin');
    is_all boolean := sees_all(who);
    own  text := coalesce(who.organisation_id, 0)::text;
BEGIN
    RETURN QUERY WITH seen AS (
        SELECT kind, name, began_at, noticed_at, ended_at, CASE WHEN is_all THEN lost ELSE (lost_of ->> own)::integer END AS lost,
            CASE WHEN is_all THEN members END AS members
        FROM outage_part WHERE (is_all OR lost_of ? own) AND noticed_at > now() - interval '7 days'),
    marked AS (
        SELECT *, began_at - lag(began_at) OVER same > interval '20 minutes' AS is_another
        FROM seen WINDOW same AS (PARTITION BY kind, name ORDER BY began_at)),
    numbered AS (SELECT *, count(*) FILTER (WHERE is_another) OVER (PARTITION BY kind, name ORDER BY began_at) AS n FROM marked)
    SELECT jsonb_build_object('kind', kind, 'name', name, 'began_at', min(began_at), 'noticed_at', min(noticed_at),
        'ended_at', CASE WHEN bool_and(ended_at IS NOT NULL) THEN max(ended_at) END, 'lost', sum(lost), 'members', sum(members), 'lanes', count(*))
    FROM numbered GROUP BY kind, name, n ORDER BY min(noticed_at) DESC LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.api_own_account(p_token bytea)
 RETURNS TABLE(login text, phone text, has_factor boolean, must_have_factor boolean, codes_left integer)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, VARIADIC every_role());
BEGIN
    RETURN QUERY SELECT p.login, p.phone, f.account_id IS NOT NULL, must_have_second_factor(p),
        (SELECT count(*)::integer FROM recovery_code c WHERE c.account_id = p.account_id)
        FROM account p LEFT JOIN second_factor f USING (account_id) WHERE p.account_id = who.account_id;
END $function$;

CREATE OR REPLACE FUNCTION public.api_own_factor(p_token bytea, p_hash text)
 RETURNS TABLE(account_id bigint, login text, sealed bytea)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    RETURN QUERY SELECT p.account_id, p.login, f.sealed FROM account p LEFT JOIN second_factor f USING (account_id) WHERE p.account_id = id;
END $function$;

CREATE OR REPLACE FUNCTION public.api_own_recipe(p_token bytea)
 RETURNS text
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, VARIADIC every_role());
BEGIN
    RETURN (SELECT password_recipe(password_hash) FROM account WHERE account_id = who.account_id);
END $function$;

CREATE OR REPLACE FUNCTION public.api_password_recipe(p_login text, p_phone text)
 RETURNS TABLE(login text, recipe text)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT p.login, password_recipe(p.password_hash) FROM account_named(p_login, p_phone) p
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

CREATE OR REPLACE FUNCTION public.api_place_hold(p_token bytea, p_grant bigint, p_case text, p_plate text, p_from timestamp with time zone, p_to timestamp with time zone, p_ends timestamp with time zone, p_reason text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'police', 'admin');
    id  bigint;
BEGIN
    -- A plate of another organisation is like one that is not there.
    IF who.role = 'admin' AND NOT EXISTS (SELECT FROM vehicle v
            WHERE v.plate_key = plate_key(split_part(normalize(p_plate, NFKC), '#', 1)) AND is_within(who, v.unit_id)) THEN
        PERFORM refuse('P0404', 'no_such_plate', format('no vehicle has the plate %s', left(p_plate, 40)), jsonb_build_object('plate', left(p_plate, 40)));
    END IF;
    id := place_hold(who.account_id, p_grant, p_case, p_plate, p_from, p_to, p_ends, p_reason);
    IF who.role = 'admin' AND NOT EXISTS (SELECT FROM legal_hold h JOIN vehicle v USING (vehicle_id) WHERE h.hold_id = id AND is_within(who, v.unit_id)) THEN
        PERFORM refuse('P0404', 'no_such_plate', format('no vehicle has the plate %s', left(p_plate, 40)), jsonb_build_object('plate', left(p_plate, 40)));
    END IF;
    IF p_grant IS NOT NULL THEN
        PERFORM note_found(p_grant, ARRAY(SELECT vehicle_id FROM legal_hold WHERE hold_id = id));
    END IF;
    RETURN hold_as_json(id);    -- a statement of its own: it sees what the one before has written
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_company(p_token bytea, p_grant bigint, p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone, p_within_m double precision, p_within_s double precision, p_most integer)
 RETURNS SETOF found
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET work_mem TO '32MB'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'police');
    g        access_grant := check_grant(who.account_id, p_grant);
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
            SELECT who.account_id, p_grant, 'company', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to, 'within_m', p_within_m, 'within_s', p_within_s),
                count(DISTINCT h.vehicle_id) FILTER (WHERE h.vehicle_id <> p_vehicle)
            FROM hit h)
        SELECT * FROM hit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF returned > p_most THEN
        PERFORM refuse('P0400', 'too_many_rides', format('more than %s rides were near this vehicle; ask for less than the %s hours', p_most,
            round(extract(epoch FROM p_to - p_from) / 3600, 1)), jsonb_build_object('max', p_most, 'hours', round(extract(epoch FROM p_to - p_from) / 3600, 1)));
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_names(p_token bytea, p_grant bigint, p_vehicles bigint[])
 RETURNS TABLE(vehicle_id bigint, plate text, tracker text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE who asker := asker_of(p_token, 'police');
BEGIN
    PERFORM check_grant(who.account_id, p_grant);
    PERFORM note_found(p_grant, ARRAY(SELECT f.vehicle_id FROM grant_vehicle f WHERE f.grant_id = p_grant AND f.vehicle_id = ANY (p_vehicles)));
    RETURN QUERY SELECT v.vehicle_id, v.plate, (SELECT t.ident FROM installation n JOIN tracker t USING (tracker_id)
            WHERE n.vehicle_id = v.vehicle_id ORDER BY n.valid_from DESC LIMIT 1)
        FROM grant_vehicle f JOIN vehicle v USING (vehicle_id) WHERE f.grant_id = p_grant AND f.vehicle_id = ANY (p_vehicles);
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_near(p_token bytea, p_grant bigint, p_area text, p_from timestamp with time zone, p_to timestamp with time zone, p_beyond interval, p_most integer)
 RETURNS SETOF found
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET work_mem TO '32MB'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'police');
    g        access_grant := check_grant(who.account_id, p_grant);
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
            SELECT who.account_id, p_grant, 'area', jsonb_build_object('area', ST_AsGeoJSON(area)::jsonb, 'from', p_from, 'to', p_to), count(DISTINCT h.vehicle_id)
            FROM hit h)
        SELECT * FROM hit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF returned > p_most THEN
        PERFORM refuse('P0400', 'too_many_pieces', format('more than %s pieces of tracks touch this area in this time; ask for less than the %s hours, or for a smaller area',
            p_most, round(extract(epoch FROM p_to - p_from) / 3600, 1)), jsonb_build_object('max', p_most, 'hours', round(extract(epoch FROM p_to - p_from) / 3600, 1)));
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_newest(p_token bytea, p_grant bigint, p_vehicles bigint[])
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'police');
    returned integer;
BEGIN
    PERFORM check_grant(who.account_id, p_grant);
    RETURN QUERY SELECT vehicle_as_json(v) FROM unnest(p_vehicles) v
        WHERE EXISTS (SELECT FROM grant_vehicle f WHERE f.grant_id = p_grant AND f.vehicle_id = v AND f.is_told) AND EXISTS (SELECT FROM vehicle k WHERE k.vehicle_id = v);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, p_grant, 'newest', jsonb_build_object('vehicles', p_vehicles), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_newest_in(p_token bytea, p_grant bigint, p_west double precision, p_south double precision, p_east double precision, p_north double precision, p_limit integer)
 RETURNS TABLE(vehicle_id bigint, plate text, fixed_at timestamp with time zone, lon double precision, lat double precision, speed_kmh real)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    who asker := asker_of(p_token, 'police');
    g        access_grant := check_grant(who.account_id, p_grant);
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
    PERFORM write_audit(who.account_id, p_grant, 'newest', jsonb_build_object('box', jsonb_build_array(p_west, p_south, p_east, p_north)), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_pieces(p_token bytea, p_grant bigint, p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS SETOF found
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'police');
    returned integer;
BEGIN
    PERFORM check_window(check_grant(who.account_id, p_grant), p_from, p_to);
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, p_from, p_to);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM note_found(p_grant, ARRAY[p_vehicle]);
    PERFORM write_audit(who.account_id, p_grant, 'track', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to), least(returned, 1));
END $function$;

CREATE OR REPLACE FUNCTION public.api_police_vehicles(p_token bytea, p_grant bigint, p_text text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'police');
    sought_key   text := plate_key(split_part(normalize(p_text, NFKC), '#', 1));
    sought_ident text := lower(btrim(normalize(p_text, NFKC)));
    hits         bigint[];
    named        bigint[];
BEGIN
    PERFORM check_grant(who.account_id, p_grant);
    -- The plate itself comes first, whatever else holds it.
    hits := ARRAY(SELECT v.vehicle_id FROM vehicle v
        LEFT JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL LEFT JOIN tracker t USING (tracker_id)
        WHERE (sought_key <> '' AND strpos(v.plate_key, sought_key) > 0) OR (sought_ident <> '' AND strpos(lower(t.ident), sought_ident) > 0)
        ORDER BY v.plate_key <> sought_key, v.plate LIMIT 50);
    named := CASE WHEN cardinality(hits) <= 5 THEN hits
        ELSE ARRAY(SELECT v.vehicle_id FROM vehicle v WHERE v.vehicle_id = ANY (hits) AND v.plate_key = sought_key) END;
    PERFORM note_found(p_grant, named);
    PERFORM write_audit(who.account_id, p_grant, 'vehicles', jsonb_build_object('text', p_text), cardinality(hits));
    RETURN QUERY SELECT vehicle_as_json(h.id) || CASE WHEN h.id = ANY (named) THEN '{}' ELSE '{"last_fix": null, "guard_point": null}' END::jsonb
        FROM unnest(hits) WITH ORDINALITY AS h (id, n) ORDER BY h.n;
END $function$;

CREATE OR REPLACE FUNCTION public.api_positioning_off(p_token bytea, p_grant bigint, p_vehicle bigint, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS TABLE(off_at timestamp with time zone, on_at timestamp with time zone)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who   asker := asker_of(p_token, 'owner', 'family', 'police');
    since timestamptz := '-infinity';
BEGIN
    IF who.role = 'police' THEN
        PERFORM check_window(check_grant(who.account_id, p_grant), p_from, p_to);
    ELSE
        SELECT r.since INTO since FROM vehicle_right r WHERE r.account_id = who.account_id AND r.vehicle_id = p_vehicle;
        IF since IS NULL THEN RAISE EXCEPTION 'no vehicle % of yours', p_vehicle USING ERRCODE = 'P0404'; END IF;
    END IF;
    RETURN QUERY SELECT greatest(p.off_at, p_from, since), least(coalesce(p.on_at, now()), p_to) FROM positioning_off p
        WHERE p.vehicle_id = p_vehicle AND p.off_at < least(p_to, now()) AND coalesce(p.on_at, 'infinity') > greatest(p_from, since)
        ORDER BY p.off_at LIMIT 1000;
END $function$;

CREATE OR REPLACE FUNCTION public.api_registry_export(p_token bytea, p_kind text, p_after bigint, p_limit integer, p_reason text)
 RETURNS TABLE(id bigint, cells text[])
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); returned integer;
BEGIN
    RETURN QUERY SELECT * FROM registry_export(who, p_kind, p_after, p_limit);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'registry_export', jsonb_build_object('reason', p_reason, 'kind', p_kind, 'after', p_after::text), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_registry_history(p_token bytea, p_kind text, p_id bigint, p_before bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); returned integer;
BEGIN
    IF registry_record(who, p_kind, p_id) IS NULL THEN PERFORM refuse('P0404', 'not_found', 'nothing of yours is there'); END IF;
    RETURN QUERY SELECT jsonb_build_object('id', c.change_id::text, 'at', c.at, 'kind', c.kind, 'by', a.name, 'reason', c.reason, 'import_id', c.import_id::text,
        'person_id', c.person_id::text, 'vehicle_id', c.vehicle_id::text, 'tracker_id', c.tracker_id::text,
        'was', coalesce(c.was, '{}') || CASE WHEN c.was ? 'phone' THEN jsonb_build_object('phone', masked_phone(c.was ->> 'phone')) ELSE '{}' END,
        'becomes', coalesce(c.becomes, '{}') || CASE WHEN c.becomes ? 'phone' THEN jsonb_build_object('phone', masked_phone(c.becomes ->> 'phone')) ELSE '{}' END)
    FROM registry_change c LEFT JOIN account a ON a.account_id = c.by_account
    WHERE (p_kind = 'people' AND c.person_id = p_id OR p_kind = 'vehicles' AND c.vehicle_id = p_id OR p_kind = 'trackers' AND c.tracker_id = p_id)
        AND (p_before IS NULL OR c.change_id < p_before) ORDER BY c.change_id DESC LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'registry_history', jsonb_build_object('kind', p_kind, 'id', p_id::text), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_registry_install(p_token bytea, p_vehicle bigint, p_tracker bigint, p_replace boolean, p_reason text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); at timestamptz; broken text; carried bigint;
BEGIN
    PERFORM FROM vehicle WHERE vehicle_id = p_vehicle FOR UPDATE;
    IF registry_record(who, 'vehicles', p_vehicle) IS NULL OR p_tracker IS NOT NULL AND registry_record(who, 'trackers', p_tracker) IS NULL THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    PERFORM changes_are_of(who.account_id, p_reason);
    at := clock_timestamp();
    SELECT tracker_id INTO carried FROM installation WHERE vehicle_id = p_vehicle AND valid_to IS NULL;
    IF carried IS DISTINCT FROM p_tracker THEN
        IF carried IS NOT NULL AND (p_replace OR p_tracker IS NULL) THEN
            UPDATE installation SET valid_to = greatest(at, valid_from + interval '1 microsecond') WHERE vehicle_id = p_vehicle AND valid_to IS NULL RETURNING valid_to INTO at;
        END IF;
        IF p_tracker IS NOT NULL THEN INSERT INTO installation (tracker_id, vehicle_id, valid_from) VALUES (p_tracker, p_vehicle, at); END IF;
    END IF;
    PERFORM write_audit(who.account_id, NULL, 'registry_install', jsonb_build_object('vehicle', p_vehicle::text, 'tracker', p_tracker::text, 'was', carried::text, 'reason', p_reason), 1);
    RETURN registry_record(who, 'vehicles', p_vehicle);
EXCEPTION WHEN unique_violation OR exclusion_violation THEN
    GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
    PERFORM refuse_taken(broken);
END $function$;

CREATE OR REPLACE FUNCTION public.api_registry_people(p_token bytea, p_text text, p_after bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); asked text := nullif(btrim(p_text), ''); found_ids bigint[]; returned integer;
BEGIN
    IF asked IS NOT NULL THEN found_ids := people_found(asked); END IF;
    IF asked IS NULL OR cardinality(found_ids) > few() THEN found_ids := people_page(who, asked, p_after, p_limit); END IF;
    RETURN QUERY SELECT jsonb_build_object('id', a.account_id::text, 'name', a.name, 'phone', masked_phone(a.phone), 'id_number_last4', a.id_number_last4,
        'is_invited', a.password_hash IS NOT NULL, 'vehicles', (SELECT count(*) FROM ownership o WHERE o.account_id = a.account_id AND o.valid_to IS NULL))
    FROM (SELECT * FROM account a WHERE a.account_id = ANY (found_ids) AND a.account_id > p_after AND a.login NOT LIKE 'erased-%'
            AND is_within(who, a.unit_id) ORDER BY a.account_id LIMIT p_limit) a
    ORDER BY a.account_id;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'registry_search', jsonb_build_object('kind', 'people', 'text', p_text), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_registry_put(p_token bytea, p_kind text, p_id bigint, p_version integer, p_fields jsonb, p_reason text, p_key text, p_asked bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    id bigint := coalesce(p_id, made_before(who.account_id, p_key, p_asked));
    before jsonb;
    broken text;
BEGIN
    IF p_id IS NULL AND id IS NOT NULL THEN RETURN registry_record(who, p_kind, id); END IF;
    PERFORM changes_are_of(who.account_id, p_reason);
    IF id IS NOT NULL THEN
        -- Who waits here for another's change sees the version that it made.
        PERFORM FROM account WHERE p_kind = 'people' AND account_id = id FOR UPDATE;
        PERFORM FROM vehicle WHERE p_kind = 'vehicles' AND vehicle_id = id FOR UPDATE;
        PERFORM FROM tracker WHERE p_kind = 'trackers' AND tracker_id = id FOR UPDATE;
        before := registry_record(who, p_kind, id);
        IF before IS NULL THEN PERFORM refuse('P0404', 'not_found', 'nothing of yours is there'); END IF;
        IF (before ->> 'version')::integer <> p_version THEN
            PERFORM refuse('P0409', 'version_changed', 'somebody has changed it since it was read; read it again', jsonb_build_object('version', before -> 'version'));
        END IF;
    END IF;
    IF p_kind = 'people' AND id IS NULL THEN
        INSERT INTO account (login, name, role, phone, unit_id, id_number_hmac, id_number_last4)
        VALUES ('u' || to_hex(random_id()), p_fields ->> 'name', 'owner', p_fields ->> 'phone', who.unit_id, decode(p_fields ->> 'id_number_hmac', 'hex'), p_fields ->> 'id_number_last4')
        RETURNING account_id INTO id;
    ELSIF p_kind = 'people' THEN
        UPDATE account SET name = coalesce(p_fields ->> 'name', name), phone = CASE WHEN p_fields ? 'phone' THEN p_fields ->> 'phone' ELSE phone END,
            id_number_hmac = CASE WHEN p_fields ? 'id_number_hmac' THEN decode(p_fields ->> 'id_number_hmac', 'hex') ELSE id_number_hmac END,
            id_number_last4 = CASE WHEN p_fields ? 'id_number_hmac' THEN p_fields ->> 'id_number_last4' ELSE id_number_last4 END
        WHERE account_id = id;
    ELSIF p_kind = 'vehicles' AND id IS NULL THEN
        INSERT INTO vehicle (plate, kind, make, model, colour, frame_number, motor_number, unit_id)
        VALUES (p_fields ->> 'plate', p_fields ->> 'kind', coalesce(p_fields ->> 'make', ''), coalesce(p_fields ->> 'model', ''), coalesce(p_fields ->> 'colour', ''),
            p_fields ->> 'frame_number', p_fields ->> 'motor_number', who.unit_id) RETURNING vehicle_id INTO id;
        IF p_fields ? 'owner_id' THEN
            IF registry_record(who, 'people', (p_fields ->> 'owner_id')::bigint) IS NULL THEN PERFORM refuse('P0404', 'not_found', 'nothing of yours is there'); END IF;
            INSERT INTO ownership (vehicle_id, account_id) VALUES (id, (p_fields ->> 'owner_id')::bigint);
        END IF;
    ELSIF p_kind = 'vehicles' THEN
        UPDATE vehicle SET plate = coalesce(p_fields ->> 'plate', plate), kind = coalesce(p_fields ->> 'kind', kind), make = coalesce(p_fields ->> 'make', make),
            model = coalesce(p_fields ->> 'model', model), colour = coalesce(p_fields ->> 'colour', colour),
            frame_number = CASE WHEN p_fields ? 'frame_number' THEN p_fields ->> 'frame_number' ELSE frame_number END,
            motor_number = CASE WHEN p_fields ? 'motor_number' THEN p_fields ->> 'motor_number' ELSE motor_number END
        WHERE vehicle_id = id;
    ELSIF id IS NULL THEN
        INSERT INTO tracker (ident, profile, model, iccid, sim_number, batch, unit_id)
        VALUES (p_fields ->> 'ident', profile_with('{}', p_fields -> 'profile'), coalesce(p_fields ->> 'model', ''), p_fields ->> 'iccid', p_fields ->> 'sim_number', coalesce(p_fields ->> 'batch', ''), who.unit_id)
        RETURNING tracker_id INTO id;
    ELSE
        UPDATE tracker SET profile = profile_with(profile, p_fields -> 'profile_change'), model = coalesce(p_fields ->> 'model', model), batch = coalesce(p_fields ->> 'batch', batch),
            iccid = CASE WHEN p_fields ? 'iccid' THEN p_fields ->> 'iccid' ELSE iccid END,
            sim_number = CASE WHEN p_fields ? 'sim_number' THEN p_fields ->> 'sim_number' ELSE sim_number END
        WHERE tracker_id = id;
    END IF;
    IF p_id IS NULL THEN PERFORM remember_made(who.account_id, p_key, p_asked, id); END IF;
    PERFORM write_audit(who.account_id, NULL, CASE WHEN p_id IS NULL THEN 'registry_add' ELSE 'registry_change' END,
        jsonb_build_object('kind', p_kind, 'id', id::text, 'reason', p_reason, 'fields', (SELECT jsonb_agg(k) FROM jsonb_object_keys(p_fields) k)), 1);
    RETURN registry_record(who, p_kind, id);
EXCEPTION WHEN unique_violation OR exclusion_violation THEN
    GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
    PERFORM refuse_taken(broken);
END $function$;

CREATE OR REPLACE FUNCTION public.api_registry_record(p_token bytea, p_kind text, p_id bigint, p_reason text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); record jsonb := registry_record(who, p_kind, p_id);
BEGIN
    IF record IS NOT NULL THEN
        PERFORM write_audit(who.account_id, NULL, 'registry_record', jsonb_build_object('kind', p_kind, 'id', p_id::text, 'reason', p_reason), 1);
    END IF;
    RETURN record;
END $function$;

CREATE OR REPLACE FUNCTION public.api_registry_trackers(p_token bytea, p_text text, p_after bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); asked text := nullif(btrim(p_text), ''); found_ids bigint[]; returned integer;
BEGIN
    IF asked IS NOT NULL THEN found_ids := trackers_found(asked); END IF;
    IF asked IS NULL OR cardinality(found_ids) > few() THEN found_ids := trackers_page(who, asked, p_after, p_limit); END IF;
    RETURN QUERY SELECT jsonb_build_object('id', t.tracker_id::text, 'ident', t.ident, 'protocol', t.profile ->> 'protocol', 'transport', transport_of(t.profile), 'model', t.model,
        'iccid', t.iccid, 'batch', t.batch, 'plate', v.plate)
    FROM (SELECT * FROM tracker t WHERE t.tracker_id > p_after AND t.tracker_id = ANY (found_ids) AND is_within(who, t.unit_id) ORDER BY t.tracker_id LIMIT p_limit) t
    LEFT JOIN installation i ON i.tracker_id = t.tracker_id AND i.valid_to IS NULL LEFT JOIN vehicle v ON v.vehicle_id = i.vehicle_id AND is_within(who, v.unit_id)
    ORDER BY t.tracker_id;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'registry_search', jsonb_build_object('kind', 'trackers', 'text', p_text), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_registry_vehicles(p_token bytea, p_text text, p_after bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); asked text := nullif(btrim(p_text), ''); found_ids bigint[]; things bigint[]; returned integer;
BEGIN
    -- The first of all are among the first of each.
    found_ids := CASE WHEN asked IS NOT NULL THEN vehicles_found(asked) END;
    IF asked IS NULL OR cardinality(found_ids) > few() THEN found_ids := vehicles_page(who, 'vehicle', asked, p_after, p_limit); END IF;
    IF asked IS NOT NULL THEN
        things := people_found(asked);
        found_ids := found_ids || CASE WHEN cardinality(things) > few() THEN vehicles_page(who, 'owner', asked, p_after, p_limit)
            ELSE ARRAY(SELECT o.vehicle_id FROM ownership o WHERE o.account_id = ANY (things) AND o.valid_to IS NULL) END;
        things := trackers_found(asked);
        found_ids := found_ids || CASE WHEN cardinality(things) > few() THEN vehicles_page(who, 'tracker', asked, p_after, p_limit)
            ELSE ARRAY(SELECT i.vehicle_id FROM installation i WHERE i.tracker_id = ANY (things) AND i.valid_to IS NULL) END;
    END IF;
    RETURN QUERY SELECT jsonb_build_object('id', v.vehicle_id::text, 'plate', v.plate, 'kind', v.kind, 'make', v.make, 'model', v.model, 'colour', v.colour,
        'owner', a.name, 'owner_phone', masked_phone(a.phone), 'tracker', t.ident)
    FROM (SELECT * FROM vehicle v WHERE v.vehicle_id > p_after AND v.plate NOT LIKE 'erased-%' AND v.vehicle_id = ANY (found_ids)
            AND is_within(who, v.unit_id) ORDER BY v.vehicle_id LIMIT p_limit) v
    LEFT JOIN ownership o ON o.vehicle_id = v.vehicle_id AND o.valid_to IS NULL LEFT JOIN account a ON a.account_id = o.account_id AND is_within(who, a.unit_id)
    LEFT JOIN installation i ON i.vehicle_id = v.vehicle_id AND i.valid_to IS NULL LEFT JOIN tracker t ON t.tracker_id = i.tracker_id AND is_within(who, t.unit_id)
    ORDER BY v.vehicle_id;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'registry_search', jsonb_build_object('kind', 'vehicles', 'text', p_text), returned);
END $function$;

CREATE OR REPLACE FUNCTION public.api_release_hold(p_token bytea, p_grant bigint, p_hold bigint, p_reason text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'police', 'admin');
    the_case text := holds_seen(who.account_id, p_grant);
BEGIN
    IF NOT EXISTS (SELECT FROM legal_hold h JOIN vehicle v USING (vehicle_id) WHERE h.hold_id = p_hold
        AND (the_case IS NULL OR h.case_number = the_case) AND (who.role = 'police' OR is_within(who, v.unit_id))) THEN
        RAISE EXCEPTION 'there is no hold %', p_hold USING ERRCODE = 'P0404';
    END IF;
    PERFORM release_hold(who.account_id, p_grant, p_hold, p_reason);
    RETURN hold_as_json(p_hold);
END $function$;

CREATE OR REPLACE FUNCTION public.api_remove_phones(p_token bytea, p_vehicle bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(who.account_id, p_vehicle) THEN RETURN false; END IF;
    PERFORM write_audit(who.account_id, NULL, 'phones_removed', jsonb_build_object('vehicle', p_vehicle), NULL);
    DELETE FROM phone_token WHERE vehicle_id = p_vehicle AND account_id = who.account_id;
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.api_remove_second_factor(p_token bytea, p_hash text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, VARIADIC every_role());
    id  bigint := account_with(who, p_hash);
BEGIN
    IF (SELECT must_have_second_factor(p) FROM account p WHERE account_id = id) THEN
        PERFORM refuse('P0409', 'factor_compulsory', 'your role needs a second factor; replace it instead');
    END IF;
    DELETE FROM second_factor WHERE account_id = id;
    DELETE FROM recovery_code WHERE account_id = id;
    PERFORM write_audit(id, NULL, 'second_factor', '{"change": "removed"}', NULL);
END $function$;

CREATE OR REPLACE FUNCTION public.api_renew_invitation(p_token bytea, p_account bigint, p_code bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    p   account := account_of(who, p_account);
BEGIN
    IF p.disabled THEN PERFORM refuse('P0409', 'account_disabled', 'the account is disabled; enable it first'); END IF;
    IF p.password_hash IS NOT NULL OR EXISTS (SELECT FROM password_reset WHERE account_id = p_account) THEN
        PERFORM refuse('P0409', 'already_in', 'the account has a password already; reset it instead');
    END IF;
    INSERT INTO invitation VALUES (p_account, p_code, who.account_id, now(), now() + interval '72 hours')
        ON CONFLICT (account_id) DO UPDATE SET code_sha256 = p_code, made_by = who.account_id, made_at = now(), expires_at = EXCLUDED.expires_at;
    PERFORM write_audit(who.account_id, NULL, 'invite', jsonb_build_object('account', p_account, 'again', true), NULL);
    RETURN account_as_json(p);
END $function$;

CREATE OR REPLACE FUNCTION public.api_reset(p_code bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE said jsonb;
BEGIN
    SELECT jsonb_build_object('name', p.name, 'role', p.role, 'organisation', o.name, 'login', p.login, 'has_phone', p.phone IS NOT NULL,
            'second_factor', must_have_second_factor(p), 'expires_at', r.expires_at) INTO said
        FROM password_reset r JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id) LEFT JOIN organisation o USING (organisation_id)
        WHERE r.code_sha256 = p_code AND r.expires_at > now() AND NOT p.disabled AND p.password_hash IS NULL;
    IF said IS NULL THEN PERFORM refuse_code(); END IF;
    RETURN said;
END $function$;

CREATE OR REPLACE FUNCTION public.api_reset_account(p_token bytea, p_account bigint, p_code bytea, p_second_factor boolean, p_reason text)
 RETURNS TABLE(account jsonb, ended bytea[])
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who  asker := asker_of(p_token, 'operator', 'admin');
    p    account := account_of(who, p_account);
    gone bytea[];
BEGIN
    IF p.disabled THEN PERFORM refuse('P0409', 'account_disabled', 'the account is disabled; enable it first'); END IF;
    IF p.password_hash IS NULL AND NOT EXISTS (SELECT FROM password_reset r WHERE r.account_id = p_account) THEN
        PERFORM refuse('P0409', 'not_in_yet', 'the account has no password yet; renew its invitation instead');
    END IF;
    IF p_account = who.account_id THEN PERFORM refuse('P0409', 'yourself', 'this cannot be done to your own account; ask another administrator'); END IF;
    UPDATE account a SET password_hash = NULL WHERE a.account_id = p_account RETURNING * INTO p;
    IF p_second_factor THEN
        DELETE FROM second_factor f WHERE f.account_id = p_account;
        DELETE FROM recovery_code c WHERE c.account_id = p_account;
    END IF;
    gone := end_sessions_of(p_account, NULL);
    INSERT INTO password_reset VALUES (p_account, p_code, who.account_id, now(), now() + interval '72 hours')
        ON CONFLICT (account_id) DO UPDATE SET code_sha256 = p_code, made_by = who.account_id, made_at = now(), expires_at = EXCLUDED.expires_at;
    PERFORM write_audit(who.account_id, NULL, 'reset', jsonb_build_object('account', p_account, 'second_factor', p_second_factor, 'reason', p_reason), NULL);
    RETURN QUERY SELECT account_as_json(p), gone;
END $function$;

CREATE OR REPLACE FUNCTION public.api_revoke_credential(p_token bytea, p_tracker bigint, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    t   tracker := tracker_within(who, p_tracker);
BEGIN
    INSERT INTO tracker_credential (tracker_id, revoked_at) VALUES (p_tracker, now())
    ON CONFLICT (tracker_id) DO UPDATE SET password_hash = NULL, claim_sha256 = NULL, revoked_at = coalesce(tracker_credential.revoked_at, now());
    PERFORM write_audit(who.account_id, NULL, 'credential_revoked', jsonb_build_object('tracker', t.ident, 'reason', p_reason), 1);
END $function$;

CREATE OR REPLACE FUNCTION public.api_revoke_invitation(p_token bytea, p_account bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    p   account := account_of(who, p_account);
BEGIN
    DELETE FROM invitation WHERE account_id = p_account;
    PERFORM write_audit(who.account_id, NULL, 'invitation_revoked', jsonb_build_object('account', p_account), NULL);
    RETURN account_as_json(p);
END $function$;

CREATE OR REPLACE FUNCTION public.api_revoke_share(p_token bytea, p_share bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner');
    s   share_link;
BEGIN
    UPDATE share_link SET revoked_at = coalesce(revoked_at, now()) WHERE share_link_id = p_share AND account_id = who.account_id RETURNING * INTO s;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM write_audit(who.account_id, NULL, 'share_revoked', jsonb_build_object('vehicle', s.vehicle_id, 'share', p_share::text), NULL);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.api_session(p_token bytea)
 RETURNS TABLE(account_id bigint, login text, name text, role text, organisation text, is_stale boolean)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT p.account_id, p.login, p.name, p.role, o.name, s.last_used_at < now() - interval '1 minute'
    FROM session s JOIN account p USING (account_id)
    LEFT JOIN unit u USING (unit_id) LEFT JOIN organisation o USING (organisation_id)
    WHERE s.token_sha256 = p_token AND s.expires_at > now() AND NOT p.disabled
$function$;

CREATE OR REPLACE FUNCTION public.api_set_disabled(p_token bytea, p_account bigint, p_disabled boolean, p_reason text)
 RETURNS TABLE(account jsonb, ended bytea[])
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who  asker := asker_of(p_token, 'operator', 'admin');
    p    account := account_of(who, p_account);
    gone bytea[] := '{}';
BEGIN
    IF p_account = who.account_id THEN PERFORM refuse('P0409', 'yourself', 'this cannot be done to your own account; ask another administrator'); END IF;
    UPDATE account a SET disabled = p_disabled WHERE a.account_id = p_account RETURNING * INTO p;
    gone := end_sessions_of(p_account, NULL);
    PERFORM write_audit(who.account_id, NULL, CASE WHEN p_disabled THEN 'disable' ELSE 'enable' END,
        jsonb_build_object('account', p_account, 'reason', p_reason), NULL);
    RETURN QUERY SELECT account_as_json(p), gone;
END $function$;

CREATE OR REPLACE FUNCTION public.api_set_guarding(p_token bytea, p_vehicle bigint, p_schedule jsonb, p_auto_after_s integer)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(who.account_id, p_vehicle) THEN RETURN NULL; END IF;
    IF carrier_lane(p_vehicle) IS NULL THEN
        PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');
    END IF;
    INSERT INTO guarding (vehicle_id, schedule, auto_after_s) VALUES (p_vehicle, nullif(p_schedule, 'null'), p_auto_after_s)
    ON CONFLICT (vehicle_id) DO UPDATE SET schedule = EXCLUDED.schedule, auto_after_s = EXCLUDED.auto_after_s, changed_at = now();
    PERFORM write_audit(who.account_id, NULL, 'guarding', jsonb_build_object('vehicle', p_vehicle, 'schedule', p_schedule, 'auto_after_s', p_auto_after_s), NULL);
    RETURN tell_guarding(p_vehicle);
END $function$;

CREATE OR REPLACE FUNCTION public.api_set_up(p_code bytea, p_login text, p_name text, p_phone text, p_hash text, p_organisation text, p_unit text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE id bigint;
BEGIN
    DELETE FROM setup_code WHERE code_sha256 = p_code;
    IF NOT FOUND OR has_administrator() THEN PERFORM refuse_code(); END IF;
    PERFORM check_login(p_login, NULL);
    PERFORM check_phone_free(p_phone, NULL);
    INSERT INTO account (login, name, role, phone, password_hash, unit_id) VALUES (p_login, p_name, 'admin', p_phone, p_hash,
        CASE WHEN p_organisation IS NOT NULL THEN put_unit(p_organisation, 'operator', p_unit) END) RETURNING account_id INTO id;
    PERFORM write_audit(id, NULL, 'set_up', '{}', NULL);
    RETURN id;
END $function$;

CREATE OR REPLACE FUNCTION public.api_setting_applied(p_token bytea, p_setting bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who        asker;
    of_vehicle bigint := (SELECT (content ->> 'vehicle')::bigint FROM setting WHERE setting_id = p_setting);
BEGIN
    IF NOT EXISTS (SELECT FROM phone_token WHERE token_sha256 = p_token AND vehicle_id = of_vehicle) THEN
        who := asker_of(p_token, VARIADIC every_role());
        IF who.role IN ('owner', 'family') AND NOT may_do(who.account_id, of_vehicle, 1) THEN
            RAISE EXCEPTION 'no vehicle % of yours', of_vehicle USING ERRCODE = 'P0404';
        END IF;
    END IF;
    RETURN (SELECT bool_and(l.setting_cursor >= s.setting_id AND l.applied >= l.journaled)
        FROM setting s JOIN lane l ON s.lane IS NULL OR l.lane = s.lane WHERE s.setting_id = p_setting);
END $function$;

CREATE OR REPLACE FUNCTION public.api_shares(p_token bytea, p_vehicle bigint)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM must_own(who, p_vehicle);
    RETURN QUERY SELECT share_as_json(s) FROM share_link s WHERE s.vehicle_id = p_vehicle AND s.account_id = who.account_id
        ORDER BY s.made_at DESC, s.share_link_id LIMIT 20;
END $function$;

CREATE OR REPLACE FUNCTION public.api_switch(p_token bytea, p_vehicle bigint, p_armed boolean, p_withdraw boolean)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    PERFORM must_be_let(who.account_id, p_vehicle, 1);
    IF may_do(who.account_id, p_vehicle, 1) AND EXISTS (SELECT FROM incident WHERE vehicle_id = p_vehicle AND closed_at IS NULL AND answer = 'stolen') THEN
        -- That a theft is none is an answer.
        PERFORM must_be_let(who.account_id, p_vehicle, 2);
        IF NOT p_withdraw THEN
            PERFORM refuse('P0409', 'confirm_withdrawal', 'the incident is answered "stolen"; taking that back needs "withdraw": true');
        END IF;
    END IF;
    RETURN arm_vehicle(who.account_id, p_vehicle, p_armed);
END $function$;

CREATE OR REPLACE FUNCTION public.api_switch_positioning(p_token bytea, p_vehicle bigint, p_off boolean)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM must_own(who, p_vehicle);
    IF NOT p_off AND consent_is_withdrawn(who.account_id) THEN
        PERFORM refuse('P0409', 'consent_withdrawn', 'the consent is withdrawn; give it again first');
    END IF;
    RETURN switch_positioning(p_vehicle, p_off, who.account_id, 'choice');
END $function$;

CREATE OR REPLACE FUNCTION public.api_touch_session(p_token bytea)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    UPDATE session SET last_used_at = now() WHERE token_sha256 = p_token AND last_used_at < now() - interval '1 minute'
$function$;

CREATE OR REPLACE FUNCTION public.api_tracker_counts(p_token bytea)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN (SELECT jsonb_build_object('online', count(*) FILTER (WHERE state = 'online'), 'late', count(*) FILTER (WHERE state = 'late'),
        'silent', count(*) FILTER (WHERE state = 'silent'), 'never', count(*) FILTER (WHERE state = 'never'), 'off', count(*) FILTER (WHERE state = 'off')) FROM tracker_health h WHERE is_within(who, h.unit_id));
END $function$;

CREATE OR REPLACE FUNCTION public.api_trackers(p_token bytea, p_state text, p_text text, p_after bigint, p_limit integer, p_reason text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    returned integer;
BEGIN
    RETURN QUERY SELECT jsonb_build_object('id', h.tracker_id::text, 'ident', h.ident, 'protocol', h.protocol,
        'plate', CASE WHEN p_reason IS NOT NULL AND is_within(who, h.vehicle_unit_id) THEN h.plate END, 'organisation', h.organisation,
        'state', h.state, 'last_heard_at', date_trunc('minute', h.last_heard_at), 'report_interval_s', h.report_interval_s,
        'battery_percent', h.battery_percent, 'signal_percent', h.signal_percent, 'satellites', h.satellites, 'firmware', h.firmware, 'connection', connection_as_json(h.tracker_id, false),
        'quarantined_packets', (SELECT coalesce(sum(q.packets), 0)::bigint FROM quarantine q WHERE q.tracker_id = h.tracker_id),
        'last_error_code', (SELECT q.reason FROM quarantine q WHERE q.tracker_id = h.tracker_id ORDER BY q.received_at DESC LIMIT 1),
        'last_error', (SELECT regexp_replace(q.detail, '-?\d+\.\d{2,}', '…', 'g') FROM quarantine q WHERE q.tracker_id = h.tracker_id ORDER BY q.received_at DESC LIMIT 1))
    FROM tracker_health h
    WHERE is_within(who, h.unit_id) AND h.tracker_id > p_after AND (p_state = 'all' OR h.state = p_state)
      AND (p_text = '' OR strpos(lower(h.ident), lower(p_text)) > 0
           OR p_reason IS NOT NULL AND is_within(who, h.vehicle_unit_id) AND h.plate IN (SELECT w.plate FROM vehicle w WHERE strpos(w.plate_key, (SELECT nullif(plate_key(p_text), ''))) > 0))
    ORDER BY h.tracker_id LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF p_reason IS NOT NULL THEN
        PERFORM write_audit(who.account_id, NULL, 'trackers', jsonb_build_object('reason', p_reason, 'text', p_text, 'state', p_state, 'after', p_after::text), returned);
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.api_trackers_without_credential(p_token bytea, p_batch text, p_limit integer)
 RETURNS TABLE(tracker_id bigint, ident text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN QUERY SELECT t.tracker_id, t.ident FROM tracker t
    WHERE t.batch = p_batch AND is_within(who, t.unit_id) AND t.ident !~* '^rideguard'
        AND NOT EXISTS (SELECT FROM tracker_credential c WHERE c.tracker_id = t.tracker_id)
    ORDER BY t.ident LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.api_use_recovery_code(p_account bigint, p_hash text, p_code bytea)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    DELETE FROM recovery_code c USING account p
        WHERE c.account_id = p_account AND c.code_sha256 = p_code AND p.account_id = p_account AND is_password_of(p, p_hash);
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM write_audit(p_account, NULL, 'recovery_code_used',
        jsonb_build_object('left', (SELECT count(*) FROM recovery_code WHERE account_id = p_account)), NULL);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.api_use_step(p_account bigint, p_hash text, p_step bigint)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    WITH used AS (UPDATE second_factor f SET last_step = p_step FROM account p
        WHERE f.account_id = p_account AND f.last_step < p_step AND p.account_id = p_account AND is_password_of(p, p_hash) RETURNING 1)
    SELECT EXISTS (SELECT FROM used)
$function$;

CREATE OR REPLACE FUNCTION public.api_use_ticket(p_ticket bytea)
 RETURNS TABLE(account_id bigint, role text, grant_id bigint, session_sha256 bytea)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
BEGIN
    DELETE FROM live_stream WHERE opened_at < now() - interval '2 days';
    RETURN QUERY
        WITH used AS (DELETE FROM live_ticket WHERE ticket_sha256 = p_ticket RETURNING *),
        opened AS (
            SELECT u.account_id, p.role, u.grant_id, u.session_sha256
            FROM used u JOIN account p USING (account_id) JOIN session s ON s.token_sha256 = u.session_sha256
            WHERE u.expires_at > now() AND s.expires_at > now() AND NOT p.disabled),
        noted AS (
            INSERT INTO live_stream (ticket_sha256, account_id, session_sha256, grant_id)
            SELECT p_ticket, o.account_id, o.session_sha256, o.grant_id FROM opened o WHERE o.role NOT IN ('owner', 'family'))
        SELECT * FROM opened;
END $function$;

CREATE OR REPLACE FUNCTION public.api_withdraw_consent(p_token bytea)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who  asker := asker_of(p_token, 'owner');
    last bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF consent_is_withdrawn(who.account_id) THEN RETURN NULL; END IF;
    UPDATE consent SET withdrawn_at = greatest(now(), given_at), withdrawn_channel = 'page' WHERE account_id = who.account_id AND withdrawn_at IS NULL;
    IF NOT FOUND THEN
        INSERT INTO consent (account_id, version, channel, withdrawn_at, withdrawn_channel) VALUES (who.account_id, 'unrecorded', 'paper', now(), 'page');
    END IF;
    PERFORM write_audit(who.account_id, NULL, 'consent_withdrawn', '{}', NULL);
    SELECT max(switch_positioning(w.vehicle_id, true, who.account_id, 'consent')) INTO last FROM ownership w WHERE w.account_id = who.account_id AND w.valid_to IS NULL;
    RETURN last;
END $function$;

CREATE OR REPLACE FUNCTION public.api_zones(p_token bytea, p_after bigint, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    who asker := asker_of(p_token, 'owner', 'operator', 'admin');
    since timestamptz := '-infinity';
BEGIN
    IF p_after <> 0 THEN
        SELECT z.created_at INTO since FROM zone z JOIN account a USING (account_id) WHERE z.zone_id = p_after
            AND (z.vehicle_id IS NULL AND (who.role = 'owner' OR is_within(who, a.unit_id)) OR owns(who.account_id, z.vehicle_id));
        IF NOT FOUND THEN PERFORM refuse('P0400', 'bad_cursor', 'the zone of this cursor is there no more; begin again'); END IF;
    END IF;
    RETURN QUERY SELECT zone_as_json(z) || jsonb_build_object('mine', z.account_id = who.account_id) FROM (
            SELECT c.zone_id FROM zone c JOIN account a USING (account_id)
                WHERE c.vehicle_id IS NULL AND (who.role = 'owner' OR is_within(who, a.unit_id))
            UNION SELECT o.zone_id FROM ownership w JOIN zone o USING (vehicle_id) WHERE w.account_id = who.account_id AND w.valid_to IS NULL) seen
        JOIN zone z USING (zone_id) WHERE (z.created_at, z.zone_id) > (since, p_after) ORDER BY z.created_at, z.zone_id LIMIT p_limit;
END $function$;

CREATE OR REPLACE FUNCTION public.arm_vehicle(p_account bigint, p_vehicle bigint, p_armed boolean)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE carrier text;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    PERFORM must_be_let(p_account, p_vehicle, 1);
    IF NOT may_do(p_account, p_vehicle, 1) THEN RETURN NULL; END IF;
    SELECT t.ident INTO carrier FROM installation n JOIN tracker t USING (tracker_id) WHERE n.vehicle_id = p_vehicle AND n.valid_to IS NULL;
    IF carrier IS NULL THEN
        PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');
    END IF;
    IF p_armed AND is_off(p_vehicle) THEN
        PERFORM refuse('P0409', 'positioning_off', 'positioning of this vehicle is off; its owner can switch it on');
    END IF;
    PERFORM write_audit(p_account, NULL, CASE WHEN p_armed THEN 'arm' ELSE 'disarm' END, jsonb_build_object('vehicle', p_vehicle), NULL);
    RETURN add_setting(lane_of(carrier), jsonb_build_object('kind', CASE WHEN p_armed THEN 'arm' ELSE 'disarm' END, 'vehicle', p_vehicle));
END $function$;

CREATE OR REPLACE FUNCTION public.asker_of(p_token bytea, VARIADIC p_roles text[])
 RETURNS asker
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE who asker;
BEGIN
    SELECT p.account_id, p.role, p.unit_id, u.organisation_id INTO who
    FROM session s JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id)
    WHERE s.token_sha256 = p_token AND s.expires_at > now() AND NOT p.disabled;
    IF NOT FOUND THEN PERFORM refuse('P0401', 'session_ended', 'the session has ended; log in again'); END IF;
    IF NOT who.role = ANY (p_roles) THEN
        PERFORM refuse('P0403', 'wrong_role', format('this is for %s; you are %s', array_to_string(p_roles, ' or '), who.role),
            jsonb_build_object('roles', p_roles, 'role', who.role));
    END IF;
    RETURN who;
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

CREATE OR REPLACE FUNCTION public.belongings_end()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE transfer SET cancelled_at = now() WHERE vehicle_id = OLD.vehicle_id AND done_at IS NULL AND cancelled_at IS NULL;
    UPDATE family_member SET ended_at = now() WHERE vehicle_id = OLD.vehicle_id AND ended_at IS NULL;
    UPDATE share_link SET revoked_at = now() WHERE vehicle_id = OLD.vehicle_id AND revoked_at IS NULL;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.belongings_erased()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    DELETE FROM share_link WHERE account_id = NEW.account_id;
    DELETE FROM family_member WHERE account_id = NEW.account_id OR invited_by = NEW.account_id;
    UPDATE transfer SET document = '', code_sha256 = NULL, cancelled_at = CASE WHEN done_at IS NULL THEN coalesce(cancelled_at, now()) END
        WHERE made_by = NEW.account_id OR to_account = NEW.account_id;
    -- What a tracker still has in its memory of their time is not kept when it comes (`erased_window` is there by now).
    PERFORM add_setting(lane_of(t.ident), jsonb_build_object('kind', 'erased', 'tracker', w.tracker_id,
            'from', (extract(epoch FROM greatest(w.from_at, 'epoch')) * 1000000)::bigint, 'to', (extract(epoch FROM least(w.to_at, now())) * 1000000)::bigint))
        FROM erasure e JOIN erased_window w USING (erasure_id) JOIN tracker t USING (tracker_id)
        WHERE e.account_id = NEW.account_id AND w.from_at < now();
    DELETE FROM positioning_off WHERE by_account = NEW.account_id AND on_at IS NOT NULL;
    UPDATE positioning_off SET by_account = NULL WHERE by_account = NEW.account_id;
    UPDATE account SET phone = NULL WHERE account_id = NEW.account_id AND phone IS NOT NULL;
    RETURN NULL;
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

CREATE OR REPLACE FUNCTION public.broker_users(p_since text)
 RETURNS TABLE(tracker_id bigint, ident text, password_hash text)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT c.tracker_id, t.ident, c.password_hash FROM tracker_credential c JOIN tracker t USING (tracker_id)
    WHERE p_since IS NULL OR c.changed_by >= p_since::xid8
$function$;

CREATE OR REPLACE FUNCTION public.carrier_lane(p_vehicle bigint)
 RETURNS smallint
 LANGUAGE sql
 STABLE
AS $function$
    SELECT lane_of(t.ident) FROM installation n JOIN tracker t USING (tracker_id) WHERE n.vehicle_id = p_vehicle AND n.valid_to IS NULL
$function$;

CREATE OR REPLACE FUNCTION public.carry_out_transfer(p_transfer bigint)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    t  transfer;
    at timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    SELECT * INTO t FROM transfer WHERE transfer_id = p_transfer AND accepted_at IS NOT NULL AND done_at IS NULL AND cancelled_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    IF NOT EXISTS (SELECT FROM account WHERE account_id = t.to_account AND role = 'owner' AND NOT disabled)
        OR NOT EXISTS (SELECT FROM ownership WHERE vehicle_id = t.vehicle_id AND valid_to IS NULL AND account_id <> t.to_account) THEN
        UPDATE transfer SET cancelled_at = now() WHERE transfer_id = p_transfer;
        RETURN false;
    END IF;
    -- First: what ends with the ownership ends every other promise.
    UPDATE transfer SET done_at = now() WHERE transfer_id = p_transfer;
    -- It begins when it was agreed, however late this runs; never before it was accepted. A future one is not done here.
    at := least(greatest(t.takes_place_at, t.accepted_at), clock_timestamp());
    UPDATE ownership SET valid_to = greatest(at, valid_from + interval '1 microsecond') WHERE vehicle_id = t.vehicle_id AND valid_to IS NULL RETURNING valid_to INTO at;
    INSERT INTO ownership (vehicle_id, account_id, valid_from) VALUES (t.vehicle_id, t.to_account, at);
    PERFORM write_audit(t.made_by, NULL, 'hand_over', jsonb_build_object('vehicle', t.vehicle_id, 'transfer', t.transfer_id::text,
        'to', t.to_account::text, 'reason', t.reason, 'document', t.document, 'at', at), NULL);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.carry_out_transfers(p_limit integer)
 RETURNS integer
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT count(*) FILTER (WHERE carry_out_transfer(d.transfer_id))::integer FROM (
        SELECT transfer_id FROM transfer WHERE accepted_at IS NOT NULL AND done_at IS NULL AND cancelled_at IS NULL
            AND coalesce(takes_place_at, now()) <= now() ORDER BY takes_place_at LIMIT p_limit) d
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

CREATE OR REPLACE FUNCTION public.changes_are_of(p_account bigint, p_reason text, p_import bigint DEFAULT NULL::bigint)
 RETURNS void
 LANGUAGE sql
AS $function$
    SELECT set_config('rideguard.by_account', coalesce(p_account::text, ''), true), set_config('rideguard.reason', coalesce(p_reason, ''), true),
        set_config('rideguard.import', coalesce(p_import::text, ''), true)
$function$;

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

CREATE OR REPLACE FUNCTION public.check_login(p_login text, p_account bigint)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_login !~ '^[A-Za-z0-9._@-]{1,64}$' OR p_login !~ '[A-Za-z]' OR p_login ~ '^erased-' THEN
        PERFORM refuse('P0400', 'login_form', 'login has a letter and 1 to 64 of A-Z a-z 0-9 . _ @ -', '{"field": "login", "max": 64}');
    END IF;
    IF EXISTS (SELECT FROM account WHERE login = p_login AND account_id IS DISTINCT FROM p_account) THEN
        PERFORM refuse('P0409', 'login_taken', 'somebody has this login already; choose another', '{"field": "login"}');
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.check_phone_free(p_phone text, p_account bigint)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF EXISTS (SELECT FROM account WHERE phone = p_phone AND account_id IS DISTINCT FROM p_account) THEN
        PERFORM refuse('P0409', 'phone_taken', 'an account with this phone number is there already', '{"field": "phone"}');
    END IF;
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

CREATE OR REPLACE FUNCTION public.claimed_tracker(p_who asker, p_ident text, p_claim_sha256 bytea)
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$
    SELECT t.tracker_id FROM tracker t JOIN tracker_credential c USING (tracker_id)
    WHERE t.ident = p_ident AND c.claim_sha256 = p_claim_sha256 AND c.password_hash IS NOT NULL AND is_within(p_who, t.unit_id)
$function$;

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

CREATE OR REPLACE FUNCTION public.connection_as_json(p_tracker bigint, p_with_network boolean)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('began_at', c.began_at, 'ended_at', e.ended_at, 'reason', CASE WHEN e.ended_at IS NOT NULL THEN coalesce(c.reason, 'lost') END,
        'language', c.language, 'transport', CASE WHEN c.is_udp THEN 'udp' ELSE 'tcp' END, 'is_tls', c.is_tls, 'mqtt_version', c.mqtt)
        || CASE WHEN p_with_network THEN jsonb_build_object('network', c.network::text) ELSE '{}' END
    FROM tracker_connection c LEFT JOIN door_worker w USING (worker),
        LATERAL (SELECT CASE WHEN w.worker IS NULL THEN c.began_at ELSE door_gone_at(w) END) g (gone_at),
        -- The greatest of a time and nothing is that time.
        LATERAL (SELECT coalesce(c.ended_at, CASE WHEN g.gone_at IS NOT NULL THEN greatest(c.began_at, g.gone_at) END)) e (ended_at)
    WHERE c.tracker_id = p_tracker
$function$;

CREATE OR REPLACE FUNCTION public.consent_given()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM switch_positioning(p.vehicle_id, false, NEW.account_id, 'consent') FROM positioning_off p JOIN ownership w USING (vehicle_id)
        WHERE p.on_at IS NULL AND p.reason = 'consent' AND w.valid_to IS NULL AND w.account_id = NEW.account_id;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.consent_is_withdrawn(p_account bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT count(*) > 0 AND count(*) = count(withdrawn_at) FROM consent WHERE account_id = p_account
$function$;

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
    of_four constant bigint[] := '{0,498536548,997073096,651767980,1994146192,1802195444,1303535960,1342533948,3988292384,4027552580,3604390888,3412177804,2607071920,2262029012,2685067896,3183342108}';
    bytes bytea := convert_to(input, 'UTF8');
    crc   bigint := 4294967295;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        crc := crc # get_byte(bytes, i);
        crc := (crc >> 4) # of_four[(crc & 15) + 1];
        crc := (crc >> 4) # of_four[(crc & 15) + 1];
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

CREATE OR REPLACE FUNCTION public.door_beat(p_worker text, p_began_at timestamp with time zone, p_is_list_read boolean, p_listeners jsonb)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    is_new boolean;
BEGIN
    is_new := NOT EXISTS (SELECT FROM door_worker WHERE worker = p_worker AND ended_at IS NULL);
    INSERT INTO door_worker (worker, began_at, beat_at, is_list_read) VALUES (p_worker, p_began_at, now(), p_is_list_read)
        ON CONFLICT (worker) DO UPDATE SET beat_at = now(), ended_at = NULL, is_list_read = EXCLUDED.is_list_read;
    INSERT INTO door_listener (worker, listener, language, address, is_udp, is_tls, connected, strangers, ended)
        SELECT p_worker, n - 1, l ->> 0, l ->> 1, (l ->> 2)::boolean, (l ->> 3)::boolean, (l ->> 4)::integer, (l ->> 5)::integer, l -> 6
        FROM jsonb_array_elements(p_listeners) WITH ORDINALITY AS t (l, n)
        ON CONFLICT (worker, listener) DO UPDATE SET connected = EXCLUDED.connected, strangers = EXCLUDED.strangers, ended = EXCLUDED.ended;
    PERFORM door_end_silent(5000);
    RETURN is_new;
END $function$;

CREATE OR REPLACE FUNCTION public.door_check(d door_visit, p_lat double precision, p_lon double precision)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    -- Two receivers between houses are wrong by tens of metres each.
    near_m      constant double precision := 100;
    -- Above the 15 % at which owners are warned of a battery; below it a network is lost in the next garage.
    percent_min constant smallint := 20;
    -- Clocks of trackers run behind by so much at most.
    behind_max  constant interval := interval '2 minutes';
    s           tracker_status;
    told        alert;
    is_heard    boolean;
    distance_m  double precision;
    battery     smallint;
    signal      smallint;
BEGIN
    SELECT * INTO s FROM tracker_status WHERE tracker_id = d.tracker_id;
    SELECT * INTO told FROM alert a WHERE a.vehicle_id = d.vehicle_id AND a.raised_at >= d.drill_at AND a.wakes_owner ORDER BY a.raised_at LIMIT 1;
    is_heard := coalesce(s.last_heard_at >= d.began_at, false);
    IF s.received_at >= d.began_at AND s.fixed_at >= d.began_at - behind_max THEN
        distance_m := ST_DistanceSphere(s.position, ST_SetSRID(ST_MakePoint(p_lon, p_lat), 4326));
    END IF;
    IF is_heard THEN
        battery := s.battery_percent;
        signal := s.signal_percent;
    END IF;
    RETURN jsonb_build_object(
        'heard_at', s.last_heard_at, 'is_heard', is_heard, 'fixed_at', s.fixed_at, 'accuracy_m', s.accuracy_m, 'satellites', s.satellites,
        'distance_m', distance_m, 'battery_percent', s.battery_percent, 'signal_percent', s.signal_percent, 'external_power', s.external_power,
        'armed', EXISTS (SELECT FROM guard_status g WHERE g.vehicle_id = d.vehicle_id AND g.armed),
        'shaken_at', d.shaken_at, 'unplugged_at', d.unplugged_at, 'drill_alert_at', told.raised_at, 'drill_kind', told.kind,
        'checks', jsonb_build_array(
            door_one_check('heard', CASE WHEN is_heard THEN 'seen' ELSE 'not_seen' END, false),
            -- A cell tower's word is no place; one of satellites that is elsewhere is of another tracker.
            door_one_check('place', CASE WHEN distance_m <= near_m THEN 'seen' WHEN distance_m > near_m AND s.source = 0 THEN 'wrong' ELSE 'not_seen' END, true),
            door_one_check('battery', CASE WHEN battery >= percent_min THEN 'seen' WHEN battery < percent_min THEN 'wrong' ELSE 'not_seen' END, true),
            door_one_check('signal', CASE WHEN signal >= percent_min THEN 'seen' WHEN signal < percent_min THEN 'wrong' ELSE 'not_seen' END, true),
            door_one_check('shake', CASE WHEN d.shaken_at IS NOT NULL THEN 'seen' ELSE 'not_seen' END, true),
            -- A tracker that is heard and says nothing of a supply has none.
            door_one_check('supply', CASE WHEN d.unplugged_at IS NOT NULL THEN CASE WHEN s.external_power THEN 'seen' ELSE 'wrong' END
                WHEN is_heard AND s.external_power IS NULL THEN 'not_needed' ELSE 'not_seen' END, true),
            door_one_check('drill', CASE WHEN told.raised_at IS NOT NULL THEN 'seen' ELSE 'not_seen' END, false)));
END $function$;

CREATE OR REPLACE FUNCTION public.door_end_silent(p_rows integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    UPDATE door_worker SET ended_at = beat_at WHERE worker IN (SELECT worker FROM door_worker
        WHERE ended_at IS NULL AND beat_at < now() - interval '1 minute' ORDER BY worker FOR UPDATE SKIP LOCKED);
    -- In the order in which others lock them; what they have locked is theirs.
    WITH open AS (SELECT c.tracker_id, coalesce(w.ended_at, c.began_at) AS gone_at FROM tracker_connection c LEFT JOIN door_worker w USING (worker)
        WHERE c.ended_at IS NULL AND (w.worker IS NULL OR w.ended_at IS NOT NULL) ORDER BY c.tracker_id LIMIT p_rows FOR UPDATE OF c SKIP LOCKED)
    UPDATE tracker_connection c SET ended_at = greatest(open.gone_at, c.began_at), reason = 'lost' FROM open WHERE c.tracker_id = open.tracker_id;
    DELETE FROM door_worker w WHERE (ended_at < now() - interval '1 day'
            OR worker IN (SELECT worker FROM door_worker WHERE ended_at IS NOT NULL ORDER BY ended_at DESC OFFSET 4))
        AND NOT EXISTS (SELECT FROM tracker_connection c WHERE c.worker = w.worker AND c.ended_at IS NULL);
END $function$;

CREATE OR REPLACE FUNCTION public.door_gone_at(w door_worker)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
AS $function$
    SELECT coalesce(w.ended_at, CASE WHEN w.beat_at < now() - interval '15 seconds' THEN w.beat_at END)
$function$;

CREATE OR REPLACE FUNCTION public.door_leave(p_worker text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    UPDATE door_worker SET ended_at = now() WHERE worker = p_worker;
    WITH open AS (SELECT tracker_id FROM tracker_connection WHERE worker = p_worker AND ended_at IS NULL ORDER BY tracker_id FOR UPDATE SKIP LOCKED)
    UPDATE tracker_connection c SET ended_at = greatest(now(), c.began_at), reason = 'stopped' FROM open WHERE c.tracker_id = open.tracker_id;
END $function$;

CREATE OR REPLACE FUNCTION public.door_note(p_worker text, p_idents text[], p_began_at timestamp with time zone[], p_ended_at timestamp with time zone[], p_reasons text[], p_listeners smallint[], p_mqtt text[], p_networks text[])
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    INSERT INTO tracker_connection AS c (tracker_id, began_at, ended_at, reason, language, is_udp, is_tls, mqtt, network, worker, listener)
    SELECT t.tracker_id, coalesce(e.to_at, n.began_at), n.ended_at, n.reason, l.language, l.is_udp, l.is_tls, n.mqtt, n.network::cidr, p_worker, n.listener
    FROM unnest(p_idents, p_began_at, p_ended_at, p_reasons, p_listeners, p_mqtt, p_networks)
            AS n (ident, began_at, ended_at, reason, listener, mqtt, network)
        JOIN tracker t ON t.ident = n.ident
        JOIN door_listener l ON l.worker = p_worker AND l.listener = n.listener
        CROSS JOIN LATERAL (SELECT max(w.to_at) AS to_at FROM erased_window w
            WHERE w.tracker_id = t.tracker_id AND n.began_at < w.to_at AND coalesce(n.ended_at, now()) >= w.from_at) e
    WHERE e.to_at IS NULL OR e.to_at < coalesce(n.ended_at, now())
    ORDER BY t.tracker_id
    ON CONFLICT (tracker_id) DO UPDATE SET began_at = EXCLUDED.began_at, ended_at = EXCLUDED.ended_at, reason = EXCLUDED.reason,
        language = EXCLUDED.language, is_udp = EXCLUDED.is_udp, is_tls = EXCLUDED.is_tls, mqtt = EXCLUDED.mqtt, network = EXCLUDED.network,
        worker = EXCLUDED.worker, listener = EXCLUDED.listener
    WHERE (c.worker = EXCLUDED.worker OR EXCLUDED.began_at >= c.began_at OR EXCLUDED.ended_at IS NULL AND c.ended_at IS NOT NULL)
        AND (c.began_at, c.ended_at, c.worker, c.listener, c.network, c.mqtt)
            IS DISTINCT FROM (EXCLUDED.began_at, EXCLUDED.ended_at, EXCLUDED.worker, EXCLUDED.listener, EXCLUDED.network, EXCLUDED.mqtt)
$function$;

CREATE OR REPLACE FUNCTION public.door_one_check(p_name text, p_state text, p_is_skippable boolean)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT jsonb_build_object('name', p_name, 'state', p_state, 'is_skippable', p_is_skippable AND p_state = 'not_seen')
$function$;

CREATE OR REPLACE FUNCTION public.door_owner(p_who asker, p_name text, p_phone text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE p account;
BEGIN
    SELECT * INTO p FROM account WHERE phone = p_phone FOR UPDATE;
    IF p.account_id IS NULL THEN
        INSERT INTO account (login, name, role, phone, unit_id) VALUES ('u' || random_id(), p_name, 'owner', p_phone, p_who.unit_id) RETURNING * INTO p;
    ELSIF p.role <> 'owner' OR p.disabled OR NOT is_within(p_who, p.unit_id) THEN
        PERFORM refuse('P0409', 'phone_of_other', 'somebody has this phone number who cannot own a vehicle here', '{"field": "phone"}');
    END IF;
    RETURN p.account_id;
END $function$;

CREATE OR REPLACE FUNCTION public.door_register(p_tracker bigint, p_code_sha256 bytea, p_terminal_sha256 bytea)
 RETURNS TABLE(code_before_sha256 bytea)
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    UPDATE tracker_socket s SET code_before_sha256 = s.code_sha256, code_sha256 = p_code_sha256, terminal_sha256 = p_terminal_sha256,
        registered_at = now(), changed_by = pg_current_xact_id()
    WHERE s.tracker_id = p_tracker AND s.is_admitted AND coalesce(s.terminal_sha256, p_terminal_sha256) = p_terminal_sha256
    RETURNING s.code_before_sha256
$function$;

CREATE OR REPLACE FUNCTION public.door_sockets(p_since text)
 RETURNS TABLE(tracker_id bigint, ident text, profile jsonb, is_admitted boolean, code_sha256 bytea, code_before_sha256 bytea, terminal_sha256 bytea)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT s.tracker_id, t.ident, t.profile, s.is_admitted, s.code_sha256, s.code_before_sha256, s.terminal_sha256 FROM tracker_socket s JOIN tracker t USING (tracker_id)
    WHERE p_since IS NULL OR s.changed_by >= p_since::xid8
$function$;

CREATE OR REPLACE FUNCTION public.door_tracker(p_who asker, p_ident text, p_claim_sha256 bytea)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE id bigint;
BEGIN
    IF p_who.role = 'installer' THEN
        id := claimed_tracker(p_who, p_ident, p_claim_sha256);
    ELSE
        SELECT tracker_id INTO id FROM tracker WHERE ident = p_ident AND is_within(p_who, unit_id);
    END IF;
    IF id IS NULL THEN
        PERFORM refuse('P0404', 'unknown_label', 'no tracker of yours has this label; type it again', '{"field": "ident"}');
    END IF;
    PERFORM FROM tracker WHERE tracker_id = id FOR NO KEY UPDATE;
    RETURN id;
END $function$;

CREATE OR REPLACE FUNCTION public.door_vehicle(p_who asker, p_plate text, p_kind text, p_owner bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    id     bigint;
    unit   bigint;
    whose  bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(plate_key(p_plate), 52));
    SELECT v.vehicle_id, v.unit_id, w.account_id INTO id, unit, whose
        FROM vehicle v LEFT JOIN ownership w ON w.vehicle_id = v.vehicle_id AND w.valid_to IS NULL
        WHERE v.plate_key = plate_key(p_plate) ORDER BY w.account_id = p_owner DESC NULLS LAST, v.vehicle_id LIMIT 1;
    IF id IS NULL THEN
        INSERT INTO vehicle (plate, kind, unit_id) VALUES (plate_canonical(p_plate), p_kind, p_who.unit_id) RETURNING vehicle_id INTO id;
    ELSIF whose <> p_owner OR NOT is_within(p_who, unit) THEN
        PERFORM refuse('P0409', 'vehicle_of_other', 'another person owns the vehicle with this plate; it has to be handed over first', '{"field": "plate"}');
    END IF;
    RETURN id;
END $function$;

CREATE OR REPLACE FUNCTION public.door_visit_as_json(d door_visit)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('id', d.visit_id::text, 'work', d.work, 'plate', v.plate, 'ident', t.ident, 'began_at', d.began_at,
        'drill_at', d.drill_at, 'ended_at', d.ended_at, 'outcome', d.outcome, 'without', d.without, 'without_why', d.without_why,
        'job_id', d.job_id::text, 'has_photo', EXISTS (SELECT FROM door_photo p WHERE p.visit_id = d.visit_id))
    FROM vehicle v, tracker t WHERE v.vehicle_id = d.vehicle_id AND t.tracker_id = d.tracker_id
$function$;

CREATE OR REPLACE FUNCTION public.door_visit_of(p_who asker, p_visit bigint, p_must_be_open boolean)
 RETURNS door_visit
 LANGUAGE plpgsql
AS $function$
DECLARE d door_visit;
BEGIN
    SELECT * INTO d FROM door_visit WHERE visit_id = p_visit;
    IF p_must_be_open THEN
        SELECT * INTO d FROM door_visit WHERE visit_id = p_visit FOR UPDATE;
    END IF;
    IF d.visit_id IS NULL OR NOT is_within(p_who, d.unit_id) OR (p_who.role = 'installer' AND d.installer_id <> p_who.account_id) THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    IF p_must_be_open AND d.ended_at IS NOT NULL THEN
        PERFORM refuse('P0409', 'visit_over', 'this visit is over', jsonb_build_object('outcome', d.outcome));
    END IF;
    RETURN d;
END $function$;

CREATE OR REPLACE FUNCTION public.door_visits_of_owner(p_owner bigint)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT coalesce(jsonb_agg(door_visit_as_json(d) - 'plate' - 'job_id' || jsonb_build_object('consent', d.consent, 'consented_at', d.consented_at,
        'reason', d.reason) ORDER BY d.began_at), '[]') FROM door_visit d WHERE d.owner_id = p_owner
$function$;

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

CREATE OR REPLACE FUNCTION public.end_drill(d door_visit)
 RETURNS void
 LANGUAGE sql
AS $function$
    SELECT add_setting(lane_of(t.ident), jsonb_build_object('kind', 'disarm', 'vehicle', d.vehicle_id))
    FROM tracker t WHERE t.tracker_id = d.tracker_id AND d.drill_at IS NOT NULL
$function$;

CREATE OR REPLACE FUNCTION public.end_sessions_of(p_account bigint, p_but bytea)
 RETURNS bytea[]
 LANGUAGE sql
AS $function$
    WITH gone AS (DELETE FROM session WHERE account_id = p_account AND token_sha256 IS DISTINCT FROM p_but RETURNING token_sha256)
    SELECT coalesce(array_agg(token_sha256), '{}') FROM gone
$function$;

CREATE OR REPLACE FUNCTION public.every_role()
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT ARRAY['owner', 'family', 'installer', 'operator', 'police', 'approver', 'auditor', 'admin']
$function$;

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

CREATE OR REPLACE FUNCTION public.family_member_as_json(f family_member)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('id', f.family_member_id::text, 'vehicle_id', f.vehicle_id::text, 'name', f.name, 'may', f.may,
        'code_ends_at', CASE WHEN f.accepted_at IS NULL THEN f.code_ends_at END, 'accepted_at', f.accepted_at, 'ends_at', f.ends_at)
$function$;

CREATE OR REPLACE FUNCTION public.few()
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
AS $function$ SELECT 2000 $function$;

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

CREATE OR REPLACE FUNCTION public.forget_erased_at_the_door()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    DELETE FROM door_photo p USING door_visit d WHERE d.visit_id = p.visit_id AND d.owner_id = NEW.account_id;
    UPDATE door_job SET place = '', plate = NULL WHERE job_id IN (SELECT job_id FROM door_visit WHERE owner_id = NEW.account_id);
    UPDATE door_visit SET owner_id = NULL, reason = NULL, without_why = NULL WHERE owner_id = NEW.account_id;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.forget_erased_person()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
    DELETE FROM second_factor WHERE account_id = NEW.account_id;
    DELETE FROM recovery_code WHERE account_id = NEW.account_id;
    DELETE FROM invitation WHERE account_id = NEW.account_id;
    DELETE FROM password_reset WHERE account_id = NEW.account_id;
    NEW.phone := NULL;
    RETURN NEW;
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

CREATE OR REPLACE FUNCTION public.has_administrator()
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT FROM account WHERE role = 'admin' AND NOT disabled AND password_hash IS NOT NULL)
$function$;

CREATE OR REPLACE FUNCTION public.has_tracker_in(p_who asker, p_lane smallint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT FROM tracker t LEFT JOIN unit u USING (unit_id)
        WHERE u.organisation_id IS NOT DISTINCT FROM p_who.organisation_id AND lane_of(t.ident) = p_lane)
$function$;

CREATE OR REPLACE FUNCTION public.history_tile(p_z integer, p_x integer, p_y integer, p_from timestamp with time zone, p_to timestamp with time zone, p_organisation bigint DEFAULT NULL::bigint)
 RETURNS bytea
 LANGUAGE sql
 STABLE
AS $function$
    WITH crowd AS (
        SELECT hour, x, y, sum(fixes) AS fixes, sum(vehicles)::integer AS vehicles FROM traffic
        WHERE hour >= p_from AND hour < p_to AND x >= p_x << (17 - p_z) AND x < (p_x + 1) << (17 - p_z)
            AND y >= p_y << (17 - p_z) AND y < (p_y + 1) << (17 - p_z) AND (p_organisation IS NULL OR organisation_id = p_organisation)
        GROUP BY hour, x, y HAVING sum(vehicles) >= 3
    ),
    cell AS (
        SELECT x >> s AS x, y >> s AS y, sum(round(fixes / 10.0) * 10)::bigint AS fixes, max(vehicles) AS vehicles
        FROM (SELECT greatest(0, least(17, 10 - p_z)) AS s) scale, crowd GROUP BY 1, 2
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

CREATE OR REPLACE FUNCTION public.home_unit()
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$
    SELECT min(a.unit_id) FROM account a LEFT JOIN unit u USING (unit_id) WHERE a.role = 'operator' AND NOT a.disabled
    HAVING count(DISTINCT u.organisation_id) = 1 AND count(*) = count(u.organisation_id)
$function$;

CREATE OR REPLACE FUNCTION public.import_as_json(j import_job)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('id', j.import_id::text, 'file_name', j.file_name, 'state', j.state, 'headers', j.headers, 'mapping', j.mapping, 'only_good', j.only_good,
        'reason', j.reason, 'rows', j.rows, 'bad', j.bad, 'gone_through', j.gone_through, 'refused', j.refused, 'people_made', j.people_made,
        'vehicles_made', j.vehicles_made, 'trackers_made', j.trackers_made, 'made_at', j.made_at, 'started_at', j.started_at, 'ended_at', j.ended_at)
$function$;

CREATE OR REPLACE FUNCTION public.import_begin(p_import bigint, p_headers jsonb, p_mapping jsonb, p_keeps_rows boolean)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE import_job SET state = 'filling', headers = coalesce(p_headers, headers), mapping = p_mapping, rows = 0, bad = 0 WHERE import_id = p_import AND state IN ('new', 'filling', 'checked');
    IF NOT FOUND THEN PERFORM refuse('P0409', 'import_begun', 'this import has begun; make another one'); END IF;
    DELETE FROM import_problem WHERE import_id = p_import;
    IF NOT p_keeps_rows THEN DELETE FROM import_row WHERE import_id = p_import; END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.import_change(p_found import_found[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    UPDATE vehicle v SET kind = l.kind, make = coalesce(l.make, v.make), model = coalesce(l.model, v.model), colour = coalesce(l.colour, v.colour),
        frame_number = coalesce(l.frame_number, v.frame_number), motor_number = coalesce(l.motor_number, v.motor_number)
    FROM unnest(p_found) f, LATERAL (SELECT (f.line).*) l WHERE v.vehicle_id = f.vehicle_id AND NOT f.is_new_vehicle AND f.own_vehicle
        AND (v.kind, v.make, v.model, v.colour, v.frame_number, v.motor_number) IS DISTINCT FROM
            (l.kind, coalesce(l.make, v.make), coalesce(l.model, v.model), coalesce(l.colour, v.colour), coalesce(l.frame_number, v.frame_number), coalesce(l.motor_number, v.motor_number));
    UPDATE tracker t SET profile = profile_with(t.profile, changed.facts), model = coalesce(l.tracker_model, t.model), iccid = coalesce(l.iccid, t.iccid),
        sim_number = coalesce(l.sim_number, t.sim_number), batch = coalesce(l.batch, t.batch)
    FROM unnest(p_found) f, LATERAL (SELECT (f.line).*) l,
        LATERAL (SELECT jsonb_strip_nulls(jsonb_build_object('protocol', l.profile -> 'protocol', 'transport', l.profile -> 'transport'))) changed (facts)
    WHERE t.tracker_id = f.tracker_id AND NOT f.is_new_tracker AND f.own_tracker
        AND (t.profile, t.model, t.iccid, t.sim_number, t.batch) IS DISTINCT FROM
            (profile_with(t.profile, changed.facts), coalesce(l.tracker_model, t.model), coalesce(l.iccid, t.iccid), coalesce(l.sim_number, t.sim_number), coalesce(l.batch, t.batch));
    UPDATE account a SET id_number_hmac = decode(l.id_number_hmac, 'hex'), id_number_last4 = l.id_number_last4
    FROM unnest(p_found) f, LATERAL (SELECT (f.line).*) l WHERE a.account_id = f.account_id AND NOT f.is_new_person AND f.own_person AND l.id_number_hmac IS NOT NULL
        AND a.role IN ('owner', 'family') AND a.id_number_hmac IS DISTINCT FROM decode(l.id_number_hmac, 'hex');
    INSERT INTO installation (tracker_id, vehicle_id) SELECT tracker_id, vehicle_id FROM unnest(p_found) f
    WHERE vehicle_id IS NOT NULL AND tracker_id IS NOT NULL AND NOT (is_new_vehicle AND is_new_tracker) AND carried IS NULL AND carrier IS NULL AND own_vehicle AND own_tracker;
END $function$;

CREATE OR REPLACE FUNCTION public.import_checked(p_import bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
DECLARE j import_job; first integer; last integer;
BEGIN
    INSERT INTO import_problem (import_id, line, field, value, code, allowed)
    SELECT p_import, r.line, field, value, 'repeated', r.first::text FROM (
        WITH of AS (SELECT line, content ->> 'plate' AS plate, content ->> 'plate_key' AS plate_key, content ->> 'ident' AS ident, content ->> 'name' AS name, content ->> 'phone' AS phone
            FROM import_row WHERE import_id = p_import AND content IS NOT NULL)
        SELECT line, 'plate' AS field, plate AS value, min(line) OVER (PARTITION BY plate_key) AS first FROM of WHERE plate IS NOT NULL
        UNION ALL SELECT line, 'ident', ident, min(line) OVER (PARTITION BY ident) FROM of WHERE ident IS NOT NULL
        UNION ALL SELECT line, 'name', name, CASE WHEN first_value(name) OVER w = name THEN line ELSE first_value(line) OVER w END FROM of
            WHERE phone IS NOT NULL WINDOW w AS (PARTITION BY phone ORDER BY line)) r
    WHERE r.line <> r.first ON CONFLICT DO NOTHING;
    UPDATE import_row r SET content = NULL FROM import_problem p WHERE p.import_id = p_import AND r.import_id = p_import AND r.line = p.line AND r.content IS NOT NULL;
    SELECT * INTO j FROM import_job WHERE import_id = p_import;
    FOR first, last IN SELECT min(line), max(line) FROM import_row WHERE import_id = p_import GROUP BY line / 1000 ORDER BY 1 LOOP
        PERFORM import_judge(p_import, import_find(j, first - 1, last));
    END LOOP;
    UPDATE import_job SET state = 'checked', rows = n.all_rows, bad = n.bad
    FROM (SELECT count(*) AS all_rows, count(*) FILTER (WHERE content IS NULL) AS bad FROM import_row WHERE import_id = p_import) n
    WHERE import_id = p_import AND state = 'filling' RETURNING import_job.* INTO j;
    IF NOT FOUND THEN PERFORM refuse('P0409', 'import_begun', 'this import has begun; make another one'); END IF;
    RETURN import_as_json(j);
END $function$;

CREATE OR REPLACE FUNCTION public.import_enter(j import_job, p_found import_found[])
 RETURNS import_found[]
 LANGUAGE plpgsql
AS $function$
DECLARE
    things import_found[];
    made integer;
    -- What is in no unit is looked after as ever, but that is asked once.
    unit bigint := coalesce((j.who).unit_id, home_unit());
BEGIN
    things := ARRAY(SELECT ROW(f.line,
            coalesce(f.account_id, CASE WHEN (f.line).phone IS NOT NULL THEN first_value(random_id()) OVER (PARTITION BY (f.line).phone ORDER BY (f.line).line) END),
            f.account_id IS NULL AND (f.line).phone IS NOT NULL, f.account_id IS NULL OR f.own_person, f.role, f.has_name,
            coalesce(f.vehicle_id, CASE WHEN (f.line).plate IS NOT NULL THEN random_id() END), f.vehicle_id IS NULL AND (f.line).plate IS NOT NULL, f.vehicle_id IS NULL OR f.own_vehicle, false, f.owner,
            coalesce(f.tracker_id, CASE WHEN (f.line).ident IS NOT NULL THEN nextval('tracker_tracker_id_seq') END), f.tracker_id IS NULL AND (f.line).ident IS NOT NULL, f.tracker_id IS NULL OR f.own_tracker, f.carried, f.carrier)::import_found
        FROM unnest(p_found) f);
    INSERT INTO account (account_id, login, name, role, phone, unit_id, id_number_hmac, id_number_last4)
    SELECT DISTINCT ON ((f.line).phone) account_id, 'u' || right(replace(gen_random_uuid()::text, '-', ''), 14), (f.line).name, 'owner', (f.line).phone, unit, decode((f.line).id_number_hmac, 'hex'), (f.line).id_number_last4
    FROM unnest(things) f WHERE is_new_person ORDER BY (f.line).phone, (f.line).id_number_hmac IS NULL, (f.line).line;
    INSERT INTO vehicle (vehicle_id, plate, kind, make, model, colour, frame_number, motor_number, unit_id)
    SELECT vehicle_id, (f.line).plate, (f.line).kind, coalesce((f.line).make, ''), coalesce((f.line).model, ''), coalesce((f.line).colour, ''), (f.line).frame_number, (f.line).motor_number, unit
    FROM unnest(things) f WHERE is_new_vehicle ORDER BY (f.line).plate_key;
    INSERT INTO tracker (tracker_id, ident, profile, model, iccid, sim_number, batch, unit_id) OVERRIDING SYSTEM VALUE
    SELECT tracker_id, (f.line).ident, profile_with('{}', (f.line).profile), coalesce((f.line).tracker_model, ''), (f.line).iccid, (f.line).sim_number, coalesce((f.line).batch, ''), unit
    FROM unnest(things) f WHERE is_new_tracker ORDER BY (f.line).ident;
    INSERT INTO ownership (vehicle_id, account_id)
    SELECT vehicle_id, account_id FROM unnest(things) f WHERE vehicle_id IS NOT NULL AND account_id IS NOT NULL AND owner IS NULL AND own_vehicle AND own_person;
    -- As the trigger on ownerships does, for those who can have withdrawn a consent.
    PERFORM switch_positioning(f.vehicle_id, true, f.account_id, 'consent') FROM unnest(things) f
    WHERE vehicle_id IS NOT NULL AND owner IS NULL AND own_vehicle AND own_person AND NOT is_new_person AND account_id IS NOT NULL AND consent_is_withdrawn(account_id);
    -- A new tracker in a new vehicle has no lane before it: one setting tells everything of it.
    INSERT INTO installation (tracker_id, vehicle_id) SELECT tracker_id, vehicle_id FROM unnest(things) f WHERE is_new_vehicle AND is_new_tracker;
    INSERT INTO registry_change (kind, person_id, vehicle_id, tracker_id, by_account, reason, import_id)
    SELECT 'enrolled', account_id, vehicle_id, tracker_id, (j.who).account_id, j.reason, j.import_id
    FROM unnest(things) f WHERE is_new_person OR is_new_vehicle OR is_new_tracker;
    RETURN things;
END $function$;

CREATE OR REPLACE FUNCTION public.import_fill(p_import bigint, p_rows jsonb, p_problems jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM FROM import_job WHERE import_id = p_import AND state = 'filling' FOR UPDATE;
    IF NOT FOUND THEN PERFORM refuse('P0409', 'import_begun', 'this import has begun; make another one'); END IF;
    INSERT INTO import_row (import_id, line, cells, content) SELECT p_import, (r ->> 0)::integer, r -> 1, CASE WHEN jsonb_typeof(r -> 2) = 'object' THEN r -> 2 END
    FROM jsonb_array_elements(p_rows) r ON CONFLICT (import_id, line) DO UPDATE SET content = EXCLUDED.content;
    INSERT INTO import_problem (import_id, line, field, value, code, allowed) SELECT p_import, (r ->> 0)::integer, r ->> 1, r ->> 2, r ->> 3, r ->> 4
    FROM jsonb_array_elements(p_problems) r ON CONFLICT DO NOTHING;
END $function$;

CREATE OR REPLACE FUNCTION public.import_find(j import_job, p_after integer, p_to integer)
 RETURNS import_found[]
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    chunk import_line[] := ARRAY(SELECT l FROM import_line l WHERE import_id = j.import_id AND line > p_after AND line <= p_to ORDER BY line);
    -- The wall, as `is_within` has it, without a question for each row.
    units bigint[] := ARRAY(SELECT unit_id FROM unit WHERE is_within(j.who, unit_id));
    unowned boolean := is_within(j.who, NULL);
BEGIN
    RETURN ARRAY(SELECT ROW(l, a.account_id, false, CASE WHEN a.unit_id IS NULL THEN unowned ELSE a.unit_id = ANY (units) END, a.role, a.name,
            v.vehicle_id, false, CASE WHEN v.unit_id IS NULL THEN unowned ELSE v.unit_id = ANY (units) END, strpos(v.plate, '#') > 0, o.account_id,
            t.tracker_id, false, CASE WHEN t.unit_id IS NULL THEN unowned ELSE t.unit_id = ANY (units) END, iv.tracker_id, it.vehicle_id)::import_found
        FROM unnest(chunk) l LEFT JOIN account a ON a.phone = l.phone LEFT JOIN vehicle v ON v.plate_key = l.plate_key AND v.plate_key <> ''
        LEFT JOIN tracker t ON t.ident = l.ident LEFT JOIN ownership o ON o.vehicle_id = v.vehicle_id AND o.valid_to IS NULL
        LEFT JOIN installation iv ON iv.vehicle_id = v.vehicle_id AND iv.valid_to IS NULL LEFT JOIN installation it ON it.tracker_id = t.tracker_id AND it.valid_to IS NULL);
END $function$;

CREATE OR REPLACE FUNCTION public.import_judge(p_import bigint, p_found import_found[])
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO import_problem (import_id, line, field, value, code, allowed)
    SELECT p_import, (f.line).line, p.field, p.value, p.code, '' FROM unnest(p_found) f, LATERAL (VALUES
        ('phone', (f.line).phone, CASE WHEN f.account_id IS NOT NULL AND (NOT f.own_person OR f.role NOT IN ('owner', 'family')) THEN 'phone_taken' END),
        ('name', (f.line).name, CASE WHEN f.account_id IS NOT NULL AND f.own_person AND f.role IN ('owner', 'family') AND (f.line).name <> f.has_name THEN 'phone_of_other_name' END),
        ('plate', (f.line).plate, CASE WHEN f.vehicle_id IS NULL THEN NULL WHEN f.is_shared THEN 'plate_shared' WHEN NOT f.own_vehicle THEN 'plate_taken'
            WHEN (f.line).phone IS NOT NULL AND f.owner IS NOT NULL AND f.owner IS DISTINCT FROM f.account_id THEN 'plate_of_other_owner' END),
        ('ident', (f.line).ident, CASE WHEN f.tracker_id IS NOT NULL AND NOT f.own_tracker THEN 'ident_taken'
            WHEN f.own_tracker AND (f.line).plate IS NOT NULL AND f.carrier IS NOT NULL AND f.carrier IS DISTINCT FROM f.vehicle_id THEN 'tracker_elsewhere'
            WHEN f.own_vehicle AND (f.line).ident IS NOT NULL AND f.carried IS NOT NULL AND f.carried IS DISTINCT FROM f.tracker_id THEN 'vehicle_has_tracker' END)
    ) p (field, value, code) WHERE p.code IS NOT NULL ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN false; END IF;
    UPDATE import_row r SET content = NULL FROM unnest(p_found) f WHERE r.import_id = p_import AND r.line = (f.line).line
        AND EXISTS (SELECT FROM import_problem p WHERE p.import_id = p_import AND p.line = r.line);
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION public.import_lines(j import_job, p_after integer, p_to integer)
 RETURNS import_found[]
 LANGUAGE plpgsql
AS $function$
DECLARE things import_found[] := import_find(j, p_after, p_to); lanes smallint[];
BEGIN
    -- The registry may have changed since the file was checked.
    IF import_judge(j.import_id, things) THEN things := import_find(j, p_after, p_to); END IF;
    PERFORM changes_are_of((j.who).account_id, j.reason, j.import_id), set_config('rideguard.in_bulk', 'on', true);
    things := import_enter(j, things);
    PERFORM set_config('rideguard.in_bulk', '', true);
    PERFORM import_change(things);
    -- The order of settings is the order of commits: the lock is taken last, and kept for as short as can be.
    IF EXISTS (SELECT FROM unnest(things) f WHERE is_new_tracker) THEN
        PERFORM pg_advisory_xact_lock(7241001);
        WITH told AS (INSERT INTO setting (lane, content) SELECT lane_of((f.line).ident), jsonb_build_object('kind', 'tracker', 'tracker', tracker_id, 'ident', (f.line).ident,
                'profile', profile_with('{}', (f.line).profile), 'vehicle', i.vehicle_id, 'vehicle_kind', CASE WHEN i.vehicle_id IS NOT NULL THEN (f.line).kind END)
            FROM unnest(things) f, LATERAL (SELECT CASE WHEN carried IS NULL AND own_vehicle THEN f.vehicle_id END) i (vehicle_id) WHERE is_new_tracker RETURNING lane)
        SELECT array_agg(DISTINCT lane) INTO lanes FROM told;
        PERFORM pg_notify('setting', lane::text) FROM unnest(lanes) lane;
    END IF;
    RETURN things;
END $function$;

CREATE OR REPLACE FUNCTION public.import_make(p_who asker, p_file_name text, p_reason text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE id bigint;
BEGIN
    INSERT INTO import_job (who, file_name, reason) VALUES (p_who, p_file_name, p_reason) RETURNING import_id INTO id;
    PERFORM write_audit(p_who.account_id, NULL, 'import', jsonb_build_object('import', id::text, 'file', p_file_name, 'reason', p_reason), NULL);
    RETURN id;
END $function$;

CREATE OR REPLACE FUNCTION public.import_start(p_import bigint, p_only_good boolean)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
DECLARE j import_job;
BEGIN
    SELECT * INTO j FROM import_job WHERE import_id = p_import FOR UPDATE;
    IF j.state = 'running' OR j.state = 'done' THEN RETURN import_as_json(j); END IF;
    IF j.state <> 'checked' THEN PERFORM refuse('P0409', 'import_not_checked', 'the file has not been read yet'); END IF;
    IF j.bad > 0 AND NOT p_only_good THEN
        PERFORM refuse('P0409', 'import_has_bad_rows', format('%s of %s rows are bad; mend them, or import the good ones only', j.bad, j.rows), jsonb_build_object('bad', j.bad, 'rows', j.rows));
    END IF;
    UPDATE import_job SET state = 'running', only_good = p_only_good, started_at = now() WHERE import_id = p_import RETURNING * INTO j;
    PERFORM write_audit((j.who).account_id, NULL, 'import_start', jsonb_build_object('import', p_import::text, 'rows', j.rows, 'bad', j.bad, 'only_good', p_only_good), NULL);
    RETURN import_as_json(j);
END $function$;

CREATE OR REPLACE FUNCTION public.import_step(p_import bigint, p_lines integer)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
DECLARE
    j import_job;
    last integer;
    one integer;
    broken text;
    things import_found[];
BEGIN
    SELECT * INTO j FROM import_job WHERE state = 'running' AND (p_import IS NULL OR import_id = p_import) ORDER BY started_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- Nothing of people stays that is not wanted any more.
        DELETE FROM import_job WHERE made_at < now() - interval '30 days' AND state <> 'running';
        DELETE FROM import_row WHERE import_id IN (SELECT import_id FROM import_job WHERE state IN ('new', 'filling', 'checked') AND made_at < now() - interval '2 days');
        UPDATE import_job SET state = 'cancelled', ended_at = now() WHERE state IN ('new', 'filling', 'checked') AND made_at < now() - interval '2 days';
        DELETE FROM idempotent_call WHERE at < now() - interval '1 day';
        RETURN NULL;
    END IF;
    SELECT max(line) INTO last FROM (SELECT line FROM import_row WHERE import_id = j.import_id AND line > j.position ORDER BY line LIMIT p_lines) l;
    -- Whoever lost their right to import in the meantime imports no more.
    IF (j.who).account_id IS NOT NULL AND NOT EXISTS (SELECT FROM account a WHERE a.account_id = (j.who).account_id AND NOT a.disabled
            AND a.role = (j.who).role AND a.unit_id IS NOT DISTINCT FROM (j.who).unit_id) THEN
        UPDATE import_job SET state = 'cancelled', ended_at = now() WHERE import_id = j.import_id RETURNING * INTO j;
        DELETE FROM import_row WHERE import_id = j.import_id;
        RETURN import_as_json(j);
    END IF;
    IF last IS NULL THEN
        UPDATE import_job SET state = 'done', ended_at = now() WHERE import_id = j.import_id RETURNING * INTO j;
        DELETE FROM import_row WHERE import_id = j.import_id;
        PERFORM write_audit((j.who).account_id, NULL, 'import_done', jsonb_build_object('import', j.import_id::text, 'refused', j.refused), j.gone_through);
        RETURN import_as_json(j);
    END IF;
    BEGIN
        things := import_lines(j, j.position, last);
    EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
        -- Somebody entered the same in this moment, or a table refuses a line: each by itself then, so that one keeps no other one out.
        things := '{}';
        FOR one IN SELECT line FROM import_row WHERE import_id = j.import_id AND line > j.position AND line <= last AND content IS NOT NULL ORDER BY line LOOP
            BEGIN
                things := things || import_lines(j, one - 1, one);
            EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
                GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
                INSERT INTO import_problem (import_id, line, field, value, code, allowed) VALUES (j.import_id, one, 'line', '', 'refused', broken) ON CONFLICT DO NOTHING;
                UPDATE import_row SET content = NULL WHERE import_id = j.import_id AND line = one;
            END;
        END LOOP;
    END;
    UPDATE import_job SET position = last, gone_through = gone_through + n.all_lines, refused = refused + n.bad,
        people_made = people_made + m.people, vehicles_made = vehicles_made + m.vehicles, trackers_made = trackers_made + m.trackers
    FROM (SELECT count(*) AS all_lines, count(*) FILTER (WHERE content IS NULL) AS bad FROM import_row WHERE import_id = j.import_id AND line > j.position AND line <= last) n,
        (SELECT count(DISTINCT account_id) FILTER (WHERE is_new_person) AS people, count(*) FILTER (WHERE is_new_vehicle) AS vehicles, count(*) FILTER (WHERE is_new_tracker) AS trackers FROM unnest(things) f) m
    WHERE import_id = j.import_id RETURNING import_job.* INTO j;
    RETURN import_as_json(j);
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
            FROM incident_note n WHERE n.incident_id = i.incident_id AND n.kind = 'answered'), '[]'),
        'is_drill', was_in_trial(i.vehicle_id, i.opened_at))
    FROM vehicle v WHERE v.vehicle_id = i.vehicle_id
$function$;

CREATE OR REPLACE FUNCTION public.incident_of(p_account bigint, p_incident bigint)
 RETURNS incident
 LANGUAGE sql
 STABLE
AS $function$
    SELECT i.* FROM incident i JOIN vehicle_right r USING (vehicle_id)
    WHERE i.incident_id = p_incident AND r.account_id = p_account AND i.opened_at >= r.owned_since AND (i.opened_at >= r.since OR i.closed_at IS NULL)
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

CREATE OR REPLACE FUNCTION public.is_off(p_vehicle bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT FROM positioning_off WHERE vehicle_id = p_vehicle AND on_at IS NULL)
$function$;

CREATE OR REPLACE FUNCTION public.is_password_of(p account, p_hash text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT coalesce(sha256(convert_to(p.password_hash, 'UTF8')) = sha256(convert_to(p_hash, 'UTF8')), false)
$function$;

CREATE OR REPLACE FUNCTION public.is_watched_by(p_account bigint, p_tokens bytea[])
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT FROM session s JOIN account p USING (account_id)
        WHERE s.account_id = p_account AND s.token_sha256 = ANY (p_tokens) AND s.expires_at > now() AND NOT p.disabled)
$function$;

CREATE OR REPLACE FUNCTION public.is_within(p_who asker, p_unit bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT (p_who.role = 'admin' AND p_who.organisation_id IS NULL)
        OR p_who.organisation_id IS NOT DISTINCT FROM (SELECT u.organisation_id FROM unit u WHERE u.unit_id = p_unit)
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

CREATE OR REPLACE FUNCTION public.like_pattern(p_text text, p_anywhere_from integer DEFAULT 3)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT CASE WHEN t = '' THEN NULL WHEN length(t) < p_anywhere_from THEN '% ' || e || '%' ELSE '%' || e || '%' END
    FROM (SELECT lower(btrim(p_text)) AS t) a, LATERAL (SELECT regexp_replace(t, '([\\%_])', '\\\1', 'g') AS e) b
$function$;

CREATE OR REPLACE FUNCTION public.looked_after()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    NEW.unit_id := home_unit();
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.looks_after(p_who asker, p_role text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT p_who.role = 'admin' OR (p_who.role = 'operator' AND p_role IN ('owner', 'family', 'installer'))
$function$;

CREATE OR REPLACE FUNCTION public.looks_at(p_account bigint, p_before timestamp with time zone, p_limit integer)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE
AS $function$
    WITH mine AS (SELECT vehicle_id, valid_from, coalesce(valid_to, 'infinity') AS valid_to FROM ownership WHERE account_id = p_account),
    look AS (
        SELECT a.at, a.action AS what, a.grant_id, m.vehicle_id FROM mine m JOIN audit a
            ON a.question ->> 'vehicle' = m.vehicle_id::text AND a.question ? 'vehicle' AND a.grant_id IS NOT NULL AND a.action IN ('track', 'company', 'hold')
        WHERE coalesce((a.question ->> 'from')::timestamptz, a.at) < m.valid_to AND coalesce((a.question ->> 'to')::timestamptz, a.at) > m.valid_from
        UNION
        SELECT a.at, 'newest', a.grant_id, m.vehicle_id FROM mine m JOIN audit a
            ON a.action = 'newest' AND a.question -> 'vehicles' @> to_jsonb(ARRAY[m.vehicle_id]) AND a.at >= m.valid_from AND a.at < m.valid_to
        UNION
        SELECT f.found_at, 'found', f.grant_id, m.vehicle_id FROM mine m JOIN grant_vehicle f USING (vehicle_id)
        WHERE f.found_at >= m.valid_from AND f.found_at < m.valid_to)
    SELECT jsonb_build_object('at', l.at, 'what', l.what, 'vehicle_id', l.vehicle_id::text, 'plate', v.plate, 'organisation', o.name,
        'case_number', g.case_number, 'purpose', g.purpose)
    FROM look l JOIN access_grant g USING (grant_id) JOIN account p ON p.account_id = g.account_id JOIN vehicle v ON v.vehicle_id = l.vehicle_id
    LEFT JOIN unit u ON u.unit_id = p.unit_id LEFT JOIN organisation o USING (organisation_id)
    WHERE l.at + make_interval(days => g.tell_owner_after_days) <= now() AND (p_before IS NULL OR l.at < p_before)
    ORDER BY l.at DESC, l.vehicle_id, l.what LIMIT p_limit
$function$;

CREATE OR REPLACE FUNCTION public.lost_by_organisation(p_vehicles bigint[])
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT coalesce(jsonb_object_agg(organisation, vehicles), '{}') FROM (
        SELECT coalesce(u.organisation_id, 0)::text AS organisation, count(*) AS vehicles
        FROM vehicle v LEFT JOIN unit u USING (unit_id) WHERE v.vehicle_id = ANY (p_vehicles) GROUP BY 1) counted
$function$;

CREATE OR REPLACE FUNCTION public.made_before(p_account bigint, p_key text, p_asked bytea)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE before idempotent_call;
BEGIN
    IF p_key IS NULL THEN RETURN NULL; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(p_account || ' ' || p_key, 7241049));
    SELECT * INTO before FROM idempotent_call WHERE account_id = p_account AND key = p_key AND at > now() - interval '1 day';
    IF before.asked_sha256 <> p_asked THEN
        PERFORM refuse('P0409', 'key_used', 'this Idempotency-Key was used for another request; take a new one');
    END IF;
    RETURN before.thing_id;
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

CREATE OR REPLACE FUNCTION public.masked_phone(p_phone text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT left(p_phone, greatest(length(p_phone) - 8, 1)) || '****' || right(p_phone, 4)
$function$;

CREATE OR REPLACE FUNCTION public.may_do(p_account bigint, p_vehicle bigint, p_rank integer)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT FROM vehicle_right WHERE account_id = p_account AND vehicle_id = p_vehicle AND rank >= p_rank)
$function$;

CREATE OR REPLACE FUNCTION public.must_be_let(p_account bigint, p_vehicle bigint, p_rank integer)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE mine text := (SELECT may FROM vehicle_right WHERE account_id = p_account AND vehicle_id = p_vehicle);
BEGIN
    IF mine IS NOT NULL AND NOT may_do(p_account, p_vehicle, p_rank) THEN
        PERFORM refuse('P0403', 'family_right', format('the owner lets you %s; this needs another right', mine),
            jsonb_build_object('may', mine, 'needs', (ARRAY['see', 'arm', 'answer', 'own'])[p_rank + 1]));
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.must_have_second_factor(p account)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT p.role NOT IN ('owner', 'family') AND NOT p.without_second_factor
$function$;

CREATE OR REPLACE FUNCTION public.must_own(p_who asker, p_vehicle bigint)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
    IF NOT owns(p_who.account_id, p_vehicle) THEN RAISE EXCEPTION 'no vehicle % of yours', p_vehicle USING ERRCODE = 'P0404'; END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.newest_in(p_box geometry, p_limit integer)
 RETURNS TABLE(vehicle_id bigint, fixed_at timestamp with time zone, lon double precision, lat double precision, speed_kmh real)
 LANGUAGE sql
 STABLE ROWS 500
AS $function$
    SELECT s.vehicle_id, s.fixed_at, ST_X(s."position"), ST_Y(s."position"), s.speed_kmh FROM tracker_status s
    WHERE s."position" && p_box AND s.vehicle_id IS NOT NULL LIMIT p_limit
$function$;

CREATE OR REPLACE FUNCTION public.next_asked_erasure()
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE r erasure_request;
BEGIN
    SELECT q.* INTO r FROM erasure_request q LEFT JOIN erasure e USING (erasure_id) WHERE e.report IS NULL ORDER BY q.asked_at LIMIT 1 FOR UPDATE OF q;
    IF NOT FOUND THEN RETURN NULL; END IF;
    IF r.erasure_id IS NULL THEN
        r.erasure_id := close_account(r.account_id, r.account_id, 'asked for by the person');
        UPDATE erasure_request SET erasure_id = r.erasure_id WHERE account_id = r.account_id;
    END IF;
    RETURN r.erasure_id;
END $function$;

CREATE OR REPLACE FUNCTION public.note_change(p_kind text, p_person bigint, p_vehicle bigint, p_tracker bigint, p_was jsonb, p_becomes jsonb)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    INSERT INTO registry_change (kind, person_id, vehicle_id, tracker_id, by_account, reason, import_id, was, becomes)
    VALUES (p_kind, p_person, p_vehicle, p_tracker, nullif(current_setting('rideguard.by_account', true), '')::bigint,
        nullif(current_setting('rideguard.reason', true), ''), nullif(current_setting('rideguard.import', true), '')::bigint, p_was, p_becomes)
$function$;

CREATE OR REPLACE FUNCTION public.note_found(p_grant bigint, p_vehicles bigint[])
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO grant_vehicle (grant_id, vehicle_id, is_told)
    SELECT DISTINCT p_grant, vehicle_id, true FROM vehicle WHERE vehicle_id = ANY (p_vehicles) ORDER BY vehicle_id
    ON CONFLICT (grant_id, vehicle_id) DO UPDATE SET is_told = true WHERE NOT grant_vehicle.is_told
$function$;

CREATE OR REPLACE FUNCTION public.note_trial(p_trackers bigint[], p_at timestamp with time zone[], p_shaken boolean[])
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    UPDATE door_visit d SET shaken_at = coalesce(d.shaken_at, s.shaken_at), unplugged_at = coalesce(d.unplugged_at, s.unplugged_at)
    FROM (SELECT v.visit_id, min(u.at) FILTER (WHERE u.is_shaken) AS shaken_at, min(u.at) FILTER (WHERE NOT u.is_shaken) AS unplugged_at
        FROM unnest(p_trackers, p_at, p_shaken) AS u (tracker_id, at, is_shaken)
            JOIN door_visit v ON v.tracker_id = u.tracker_id AND v.ended_at IS NULL AND u.at >= v.began_at GROUP BY v.visit_id) s
    WHERE d.visit_id = s.visit_id
        AND (d.shaken_at IS NULL AND s.shaken_at IS NOT NULL OR d.unplugged_at IS NULL AND s.unplugged_at IS NOT NULL)
$function$;

CREATE OR REPLACE FUNCTION public.organisations_of_vehicles(p_vehicles bigint[])
 RETURNS TABLE(vehicle_id bigint, organisation_id bigint)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT v.vehicle_id, u.organisation_id FROM vehicle v JOIN unit u USING (unit_id) WHERE v.vehicle_id = ANY (p_vehicles)
$function$;

CREATE OR REPLACE FUNCTION public.own_import(p_token bytea, p_import bigint)
 RETURNS import_job
 LANGUAGE plpgsql
AS $function$
DECLARE me asker := asker_of(p_token, 'operator', 'admin'); j import_job;
BEGIN
    SELECT * INTO j FROM import_job WHERE import_id = p_import AND is_within(me, (import_job.who).unit_id);
    IF NOT FOUND THEN PERFORM refuse('P0404', 'not_found', 'nothing of yours is there'); END IF;
    RETURN j;
END $function$;

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

CREATE OR REPLACE FUNCTION public.ownership_without_consent()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF consent_is_withdrawn(NEW.account_id) THEN PERFORM switch_positioning(NEW.vehicle_id, true, NEW.account_id, 'consent'); END IF;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.owns(p_account bigint, p_vehicle bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT 1 FROM ownership WHERE account_id = p_account AND vehicle_id = p_vehicle AND valid_to IS NULL)
$function$;

CREATE OR REPLACE FUNCTION public.password_recipe(p_hash text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT substring(p_hash FROM '^([$]argon2id[$]v=[0-9]+[$][a-z]=[a-z0-9=,]+[$][A-Za-z0-9+/]+)[$][A-Za-z0-9+/]+$')
$function$;

CREATE OR REPLACE FUNCTION public.people_found(p_text text)
 RETURNS bigint[]
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
DECLARE number text := whole_phone(p_text); pattern text := like_pattern(p_text, 2); characters text[] := string_to_array(lower(btrim(p_text)), NULL);
BEGIN
    IF number IS NOT NULL THEN
        RETURN ARRAY(SELECT account_id FROM account WHERE phone = number AND role IN ('owner', 'family'));
    ELSIF cardinality(characters) = 2 THEN
        RETURN ARRAY(SELECT account_id FROM account WHERE string_to_array(searched COLLATE "C", NULL) @> characters AND searched LIKE pattern AND role IN ('owner', 'family') LIMIT few() + 1);
    END IF;
    RETURN ARRAY(SELECT account_id FROM account WHERE searched LIKE pattern AND role IN ('owner', 'family') LIMIT few() + 1);
END $function$;

CREATE OR REPLACE FUNCTION public.people_page(p_who asker, p_text text, p_after bigint, p_limit integer)
 RETURNS bigint[]
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
AS $function$
DECLARE pattern text := like_pattern(p_text, 2); units bigint[] := ARRAY(SELECT unit_id FROM unit WHERE is_within(p_who, unit_id)); unowned boolean := is_within(p_who, NULL);
BEGIN
    RETURN ARRAY(SELECT account_id FROM account WHERE account_id > p_after AND role IN ('owner', 'family') AND login NOT LIKE 'erased-%'
        AND (pattern IS NULL OR searched LIKE pattern) AND CASE WHEN unit_id IS NULL THEN unowned ELSE unit_id = ANY (units) END ORDER BY account_id LIMIT p_limit);
END $function$;

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
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN p_text ~ '^[0-9A-Z\u00b7\u4e00-\u9fff]*$' THEN replace(p_text, E'\u00b7', '') ELSE
        translate(normalize(regexp_replace(p_text, '[\u02b0-\u02ff\u1d00-\u1dbf\u2070-\u209f\ua640-\ua69f\ua700-\ua78e\ua790-\ua7ff\uab30-\uab6f\U00010000-\U0010ffff]', E'\ufffd', 'g'), NFKC),
        'abcdefghijklmnopqrstuvwxyzàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþđαβγδεζηθικλμνξοπρστυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюяѐёђѓєѕіїјљњћќѝўџ'
            || E'\t\n\u000b\f\r \u00ad\u00b7\u2022\u2027\u2219\u22c5\u25cf\u25e6\u2e31\u2e33\u30fb\u3002\ua78f.-_/'
            || E'\u2010\u2012\u2013\u2014\u2015\u2212\u200b\u200c\u200d\u200e\u200f\u2060\ufeff',
        'ABCDEFGHIJKLMNOPQRSTUVWXYZÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞĐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏ') END
$function$;

CREATE OR REPLACE FUNCTION public.profile_with(p_profile jsonb, p_change jsonb)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT CASE WHEN n.profile ->> 'transport' = 'mqtt' THEN n.profile - 'transport' ELSE n.profile END
    FROM (SELECT p_profile || coalesce(p_change, '{}')) n (profile)
$function$;

CREATE OR REPLACE FUNCTION public.purge_belongings()
 RETURNS bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    WITH shares AS (DELETE FROM share_link WHERE least(expires_at, revoked_at) < now() - interval '90 days' RETURNING 1),
    members AS (DELETE FROM family_member WHERE least(ended_at, ends_at, CASE WHEN accepted_at IS NULL THEN code_ends_at END) < now() - interval '90 days' RETURNING 1),
    offers AS (DELETE FROM transfer WHERE done_at IS NULL AND least(cancelled_at, CASE WHEN accepted_at IS NULL THEN code_ends_at END) < now() - interval '90 days' RETURNING 1)
    SELECT (SELECT count(*) FROM shares) + (SELECT count(*) FROM members) + (SELECT count(*) FROM offers)
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

CREATE OR REPLACE FUNCTION public.put_recovery_codes(p_account bigint, p_codes bytea[])
 RETURNS void
 LANGUAGE sql
AS $function$
    DELETE FROM recovery_code WHERE account_id = p_account;
    INSERT INTO recovery_code SELECT p_account, unnest(p_codes);
$function$;

CREATE OR REPLACE FUNCTION public.put_second_factor(p_account bigint, p_sealed bytea, p_step bigint, p_codes bytea[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO second_factor (account_id, sealed, last_step) VALUES (p_account, p_sealed, p_step)
        ON CONFLICT (account_id) DO UPDATE SET sealed = EXCLUDED.sealed, last_step = EXCLUDED.last_step, made_at = now();
    PERFORM put_recovery_codes(p_account, p_codes);
    PERFORM write_audit(p_account, NULL, 'second_factor', '{"change": "enrolled"}', NULL);
END $function$;

CREATE OR REPLACE FUNCTION public.put_unit(p_organisation text, p_kind text, p_unit text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE id bigint;
BEGIN
    INSERT INTO organisation (name, kind) VALUES (p_organisation, p_kind) ON CONFLICT DO NOTHING;
    INSERT INTO unit (organisation_id, name) SELECT organisation_id, p_unit FROM organisation WHERE name = p_organisation ON CONFLICT DO NOTHING;
    SELECT u.unit_id INTO id FROM unit u JOIN organisation o USING (organisation_id) WHERE o.name = p_organisation AND u.name = p_unit;
    RETURN id;
END $function$;

CREATE OR REPLACE FUNCTION public.random_id()
 RETURNS bigint
 LANGUAGE sql
AS $function$
    SELECT greatest(1, ('x' || left(overlay(replace(gen_random_uuid()::text, '-', '') PLACING '' FROM 13 FOR 5), 14))::bit(56)::bigint & 9007199254740991)
$function$;

CREATE OR REPLACE FUNCTION public.refuse(p_state text, p_code text, p_message text, p_values jsonb DEFAULT '{}'::jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION '%', p_message USING ERRCODE = p_state, DETAIL = jsonb_build_object('code', p_code, 'values', p_values)::text;
END $function$;

CREATE OR REPLACE FUNCTION public.refuse_account_taken(p_constraint text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_constraint = 'account_phone_key' THEN
        PERFORM refuse('P0409', 'phone_taken', 'an account with this phone number is there already', '{"field": "phone"}');
    END IF;
    PERFORM refuse('P0409', 'login_taken', 'somebody has this login already; choose another', '{"field": "login"}');
END $function$;

CREATE OR REPLACE FUNCTION public.refuse_code()
 RETURNS void
 LANGUAGE sql
AS $function$
    SELECT refuse('P0404', 'code_ended', 'the link was used, replaced or withdrawn, or its time is over; ask for a new one')
$function$;

CREATE OR REPLACE FUNCTION public.refuse_taken(p_constraint text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM CASE
        WHEN p_constraint = 'account_phone_key' THEN refuse('P0409', 'phone_taken', 'the phone number is somebody else''s')
        WHEN p_constraint LIKE 'vehicle%' THEN refuse('P0409', 'plate_taken', 'another vehicle has this plate')
        WHEN p_constraint = 'tracker_ident_key' THEN refuse('P0409', 'ident_taken', 'another tracker has this identifier')
        WHEN p_constraint IN ('installation_tracker', 'installation_one_vehicle', 'installation_pkey') THEN refuse('P0409', 'tracker_elsewhere', 'the tracker is in another vehicle')
        WHEN p_constraint IN ('installation_vehicle', 'installation_one_tracker') THEN refuse('P0409', 'vehicle_has_tracker', 'the vehicle carries another tracker; replace it')
        ELSE refuse('P0409', 'refused', 'it is there already') END;
END $function$;

CREATE OR REPLACE FUNCTION public.registry_change_is_only_added_to()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('rideguard.erases', true) = 'on' THEN RETURN NULL; END IF;
    RAISE EXCEPTION 'the history of the registry is only added to' USING ERRCODE = 'P0403';
END $function$;

CREATE OR REPLACE FUNCTION public.registry_changed()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE o jsonb := '{}'; n jsonb := '{}'; was jsonb; becomes jsonb; kept text[];
BEGIN
    IF TG_OP <> 'INSERT' THEN o := to_jsonb(OLD); END IF;
    IF TG_OP <> 'DELETE' THEN n := to_jsonb(NEW); END IF;
    -- Named one by one: a secret that a table gets later does not go into the history.
    kept := CASE TG_TABLE_NAME
        WHEN 'account' THEN '{name,phone,role,unit_id,disabled,id_number_last4}'
        WHEN 'vehicle' THEN '{plate,kind,make,model,colour,frame_number,motor_number,unit_id}'
        WHEN 'tracker' THEN '{ident,profile,model,iccid,sim_number,batch,unit_id}'
        ELSE '{valid_from,valid_to}' END;
    SELECT jsonb_object_agg(k, o -> k) FILTER (WHERE o ? k), jsonb_object_agg(k, n -> k) FILTER (WHERE n ? k) INTO was, becomes
    FROM unnest(kept) k WHERE (o -> k) IS DISTINCT FROM (n -> k);
    IF was IS NULL AND becomes IS NULL OR coalesce(n ->> 'login', '') LIKE 'erased-%' THEN RETURN NULL; END IF;
    IF coalesce(n ->> 'plate', '') LIKE 'erased-%' THEN RETURN NULL; END IF;
    PERFORM note_change(CASE TG_TABLE_NAME WHEN 'account' THEN 'person' ELSE TG_TABLE_NAME END,
        coalesce(n ->> 'account_id', o ->> 'account_id')::bigint, coalesce(n ->> 'vehicle_id', o ->> 'vehicle_id')::bigint,
        coalesce(n ->> 'tracker_id', o ->> 'tracker_id')::bigint, was, becomes);
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.registry_export(p_who asker, p_kind text, p_after bigint, p_limit integer)
 RETURNS TABLE(id bigint, cells text[])
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE units bigint[] := ARRAY(SELECT unit_id FROM unit WHERE is_within(p_who, unit_id)); unowned boolean := is_within(p_who, NULL);
BEGIN
    IF p_kind = 'vehicles' THEN
        RETURN QUERY SELECT v.vehicle_id, ARRAY[a.name, a.phone, a.id_number_last4, v.plate, v.kind, v.make, v.model, v.colour, v.frame_number, v.motor_number,
            t.ident, t.profile ->> 'protocol', t.model, t.iccid, t.sim_number, t.batch, CASE WHEN t.tracker_id IS NOT NULL THEN transport_of(t.profile) END]
        FROM (SELECT * FROM vehicle v WHERE v.vehicle_id > p_after AND v.plate NOT LIKE 'erased-%' AND CASE WHEN v.unit_id IS NULL THEN unowned ELSE v.unit_id = ANY (units) END
                ORDER BY v.vehicle_id LIMIT p_limit) v
        LEFT JOIN ownership o ON o.vehicle_id = v.vehicle_id AND o.valid_to IS NULL
        LEFT JOIN account a ON a.account_id = o.account_id AND CASE WHEN a.unit_id IS NULL THEN unowned ELSE a.unit_id = ANY (units) END
        LEFT JOIN installation i ON i.vehicle_id = v.vehicle_id AND i.valid_to IS NULL
        LEFT JOIN tracker t ON t.tracker_id = i.tracker_id AND CASE WHEN t.unit_id IS NULL THEN unowned ELSE t.unit_id = ANY (units) END
        ORDER BY v.vehicle_id;
    ELSIF p_kind = 'people' THEN
        RETURN QUERY SELECT a.account_id, ARRAY[a.name, a.phone, a.id_number_last4] || array_fill(NULL::text, ARRAY[14])
        FROM account a WHERE a.account_id > p_after AND a.role IN ('owner', 'family') AND a.phone IS NOT NULL AND a.login NOT LIKE 'erased-%'
            AND CASE WHEN a.unit_id IS NULL THEN unowned ELSE a.unit_id = ANY (units) END
            AND NOT EXISTS (SELECT FROM ownership o WHERE o.account_id = a.account_id AND o.valid_to IS NULL)
        ORDER BY a.account_id LIMIT p_limit;
    ELSE
        RETURN QUERY SELECT t.tracker_id, array_fill(NULL::text, ARRAY[10]) || ARRAY[t.ident, t.profile ->> 'protocol', t.model, t.iccid, t.sim_number, t.batch, transport_of(t.profile)]
        FROM tracker t WHERE t.tracker_id > p_after AND CASE WHEN t.unit_id IS NULL THEN unowned ELSE t.unit_id = ANY (units) END
            AND NOT EXISTS (SELECT FROM installation i WHERE i.tracker_id = t.tracker_id AND i.valid_to IS NULL)
        ORDER BY t.tracker_id LIMIT p_limit;
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.registry_record(who asker, p_kind text, p_id bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE record jsonb;
BEGIN
    IF p_kind = 'people' THEN
        SELECT jsonb_build_object('id', a.account_id::text, 'version', a.version, 'name', a.name, 'phone', a.phone, 'id_number_last4', a.id_number_last4,
            'is_invited', a.password_hash IS NOT NULL, 'created_at', a.created_at,
            'vehicles', coalesce((SELECT jsonb_agg(jsonb_build_object('id', v.vehicle_id::text, 'plate', v.plate, 'from', o.valid_from, 'to', o.valid_to) ORDER BY o.valid_from)
                FROM ownership o JOIN vehicle v USING (vehicle_id) WHERE o.account_id = a.account_id AND is_within(who, v.unit_id)), '[]'),
            'consents', coalesce((SELECT jsonb_agg(jsonb_build_object('version', c.version, 'given_at', c.given_at, 'channel', c.channel, 'withdrawn_at', c.withdrawn_at,
                    'withdrawn_channel', c.withdrawn_channel) ORDER BY c.given_at)
                FROM consent c WHERE c.account_id = a.account_id), '[]'))
        INTO record FROM account a WHERE a.account_id = p_id AND a.role IN ('owner', 'family') AND a.login NOT LIKE 'erased-%' AND is_within(who, a.unit_id);
    ELSIF p_kind = 'vehicles' THEN
        SELECT jsonb_build_object('id', v.vehicle_id::text, 'version', v.version, 'plate', v.plate, 'kind', v.kind, 'make', v.make, 'model', v.model, 'colour', v.colour,
            'frame_number', v.frame_number, 'motor_number', v.motor_number,
            'positioning_off_since', (SELECT p.off_at FROM positioning_off p WHERE p.vehicle_id = v.vehicle_id AND p.on_at IS NULL),
            'owners', coalesce((SELECT jsonb_agg(jsonb_build_object('id', a.account_id::text, 'name', a.name, 'phone', masked_phone(a.phone), 'from', o.valid_from, 'to', o.valid_to) ORDER BY o.valid_from)
                FROM ownership o JOIN account a USING (account_id) WHERE o.vehicle_id = v.vehicle_id AND is_within(who, a.unit_id)), '[]'),
            'trackers', coalesce((SELECT jsonb_agg(jsonb_build_object('id', t.tracker_id::text, 'ident', t.ident, 'from', i.valid_from, 'to', i.valid_to) ORDER BY i.valid_from)
                FROM installation i JOIN tracker t USING (tracker_id) WHERE i.vehicle_id = v.vehicle_id AND is_within(who, t.unit_id)), '[]'))
        INTO record FROM vehicle v WHERE v.vehicle_id = p_id AND v.plate NOT LIKE 'erased-%' AND is_within(who, v.unit_id);
    ELSE
        SELECT jsonb_build_object('id', t.tracker_id::text, 'version', t.version, 'ident', t.ident, 'protocol', t.profile ->> 'protocol', 'model', t.model, 'iccid', t.iccid,
            'sim_number', t.sim_number, 'batch', t.batch, 'transport', transport_of(t.profile), 'connection', connection_as_json(t.tracker_id, true),
            'vehicles', coalesce((SELECT jsonb_agg(jsonb_build_object('id', v.vehicle_id::text, 'plate', v.plate, 'from', i.valid_from, 'to', i.valid_to) ORDER BY i.valid_from)
                FROM installation i JOIN vehicle v USING (vehicle_id) WHERE i.tracker_id = t.tracker_id AND is_within(who, v.unit_id)), '[]'))
        INTO record FROM tracker t WHERE t.tracker_id = p_id AND is_within(who, t.unit_id);
    END IF;
    RETURN record;
END $function$;

CREATE OR REPLACE FUNCTION public.registry_versioned()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
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

CREATE OR REPLACE FUNCTION public.remember_made(p_account bigint, p_key text, p_asked bytea, p_thing bigint)
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO idempotent_call (account_id, key, asked_sha256, thing_id) SELECT p_account, p_key, p_asked, p_thing WHERE p_key IS NOT NULL
    ON CONFLICT (account_id, key) DO UPDATE SET asked_sha256 = EXCLUDED.asked_sha256, thing_id = EXCLUDED.thing_id, at = now()
$function$;

CREATE OR REPLACE FUNCTION public.renew_tracker_sockets(p_trackers bigint[], p_forgets boolean)
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO tracker_socket (tracker_id, is_admitted)
    SELECT t.tracker_id, t.profile ->> 'transport' IS NOT DISTINCT FROM 'socket' AND c.revoked_at IS NULL
    FROM tracker t LEFT JOIN tracker_credential c USING (tracker_id)
    WHERE t.tracker_id = ANY (p_trackers)
        AND (t.profile ->> 'transport' = 'socket' OR EXISTS (SELECT FROM tracker_socket s WHERE s.tracker_id = t.tracker_id))
    ON CONFLICT (tracker_id) DO UPDATE SET is_admitted = EXCLUDED.is_admitted, changed_by = pg_current_xact_id(),
        code_sha256     = CASE WHEN NOT p_forgets THEN tracker_socket.code_sha256 END,
        code_before_sha256 = CASE WHEN NOT p_forgets THEN tracker_socket.code_before_sha256 END,
        terminal_sha256 = CASE WHEN NOT p_forgets THEN tracker_socket.terminal_sha256 END,
        registered_at   = CASE WHEN NOT p_forgets THEN tracker_socket.registered_at END
$function$;

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

CREATE OR REPLACE FUNCTION public.sees_all(p_who asker)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT (p_who.role = 'admin' AND p_who.organisation_id IS NULL) OR NOT (
        EXISTS (SELECT FROM unit u WHERE u.organisation_id IS DISTINCT FROM p_who.organisation_id AND EXISTS (SELECT FROM tracker t WHERE t.unit_id = u.unit_id))
        OR p_who.organisation_id IS NOT NULL AND EXISTS (SELECT FROM tracker t WHERE t.unit_id IS NULL))
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

CREATE OR REPLACE FUNCTION public.share_as_json(s share_link)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('id', s.share_link_id::text, 'vehicle_id', s.vehicle_id::text, 'made_at', s.made_at, 'expires_at', s.expires_at,
        'openings_max', s.openings_max, 'revoked_at', s.revoked_at,
        'live', s.revoked_at IS NULL AND s.expires_at > now() AND EXISTS (SELECT FROM incident i WHERE i.incident_id = s.incident_id AND i.closed_at IS NULL),
        'openings', coalesce((SELECT jsonb_agg(o.opened_at ORDER BY o.opened_at) FROM share_opening o WHERE o.share_link_id = s.share_link_id), '[]'))
$function$;

CREATE OR REPLACE FUNCTION public.shown_vehicle_as_json(p_vehicle bigint, p_since timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT v || CASE WHEN (v ->> 'positioning_off_since')::timestamptz < p_since THEN jsonb_build_object('positioning_off_since', p_since) ELSE '{}' END
             || CASE WHEN v ->> 'contact' = 'off' THEN '{"last_fix": null}' ELSE '{}' END::jsonb
             || CASE WHEN (v ->> 'armed_at')::timestamptz < p_since THEN '{"guard_point": null, "armed": false, "armed_at": null, "protection": "off"}' ELSE '{}' END::jsonb
             || CASE WHEN (v ->> 'last_heard_at')::timestamptz < p_since THEN
                    '{"last_heard_at": null, "battery_percent": null, "external_power": null, "ignition": null}' ELSE '{}' END::jsonb
    FROM owned_vehicle_as_json(p_vehicle, p_since) v
$function$;

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

CREATE OR REPLACE FUNCTION public.switch_positioning(p_vehicle bigint, p_off boolean, p_by bigint, p_reason text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE id bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF p_off THEN
        INSERT INTO positioning_off (vehicle_id, by_account, reason) VALUES (p_vehicle, p_by, p_reason) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            UPDATE positioning_off SET reason = p_reason, by_account = p_by WHERE vehicle_id = p_vehicle AND on_at IS NULL AND p_reason = 'consent';
            RETURN NULL;
        END IF;
        UPDATE share_link SET revoked_at = now() WHERE vehicle_id = p_vehicle AND revoked_at IS NULL;
    ELSE
        UPDATE positioning_off SET on_at = greatest(now(), off_at + interval '1 microsecond') WHERE vehicle_id = p_vehicle AND on_at IS NULL;
        IF NOT FOUND THEN RETURN NULL; END IF;
    END IF;
    id := add_setting(NULL, jsonb_build_object('kind', 'positioning', 'vehicle', p_vehicle, 'off', p_off));
    IF NOT p_off THEN
        -- The guard knows nothing of it by now: neither what it is nor when it is to be guarded.
        PERFORM tell_tracker(i.tracker_id) FROM installation i WHERE i.vehicle_id = p_vehicle AND i.valid_to IS NULL;
        id := coalesce(tell_guarding(p_vehicle), id);
    END IF;
    PERFORM write_audit(p_by, NULL, CASE WHEN p_off THEN 'positioning_off' ELSE 'positioning_on' END,
        jsonb_build_object('vehicle', p_vehicle, 'reason', p_reason), NULL);
    RETURN id;
END $function$;

CREATE OR REPLACE FUNCTION public.take_in(p_rows integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    home bigint := home_unit();
    n    integer;
    done integer := 0;
BEGIN
    IF home IS NULL THEN RETURN 0; END IF;
    PERFORM set_config('rideguard.in_bulk', 'on', true);
    UPDATE tracker SET unit_id = home WHERE tracker_id IN (SELECT tracker_id FROM tracker WHERE unit_id IS NULL LIMIT p_rows FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    done := done + n;
    UPDATE vehicle SET unit_id = home WHERE vehicle_id IN (SELECT vehicle_id FROM vehicle WHERE unit_id IS NULL LIMIT p_rows FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    done := done + n;
    UPDATE account SET unit_id = home WHERE account_id IN (
        SELECT account_id FROM account WHERE unit_id IS NULL AND role IN ('owner', 'family', 'installer') LIMIT p_rows FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    PERFORM set_config('rideguard.in_bulk', '', true);
    RETURN done + n;
END $function$;

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

CREATE OR REPLACE FUNCTION public.times_are_apart()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
DECLARE broken text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'times of things are written at READ COMMITTED only' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF TG_TABLE_NAME = 'installation' THEN
        PERFORM FROM tracker WHERE tracker_id IN (SELECT w.tracker_id FROM written w) ORDER BY tracker_id FOR NO KEY UPDATE;
    END IF;
    PERFORM FROM vehicle WHERE vehicle_id IN (SELECT w.vehicle_id FROM written w) ORDER BY vehicle_id FOR NO KEY UPDATE;
    IF TG_TABLE_NAME = 'ownership' THEN
        SELECT 'ownership_one_owner' INTO broken FROM written w JOIN ownership t USING (vehicle_id)
        WHERE (t.valid_to IS NULL) <> (w.valid_to IS NULL) AND tstzrange(t.valid_from, t.valid_to) && tstzrange(w.valid_from, w.valid_to) LIMIT 1;
    ELSE
        SELECT 'installation_one_vehicle' INTO broken FROM written w JOIN installation t USING (tracker_id)
        WHERE (t.valid_to IS NULL) <> (w.valid_to IS NULL) AND tstzrange(t.valid_from, t.valid_to) && tstzrange(w.valid_from, w.valid_to) LIMIT 1;
        IF broken IS NULL THEN
            SELECT 'installation_one_tracker' INTO broken FROM written w JOIN installation t USING (vehicle_id)
            WHERE (t.valid_to IS NULL) <> (w.valid_to IS NULL) AND tstzrange(t.valid_from, t.valid_to) && tstzrange(w.valid_from, w.valid_to) LIMIT 1;
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'times of one thing overlap' USING ERRCODE = 'exclusion_violation', CONSTRAINT = broken, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
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

CREATE OR REPLACE FUNCTION public.tracker_credential_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM pg_notify('tracker_credential', '');
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.tracker_credential_stamped()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    NEW.changed_by := pg_current_xact_id();
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.tracker_renamed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE tracker_credential SET made_at = made_at WHERE tracker_id = NEW.tracker_id;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.tracker_socket_follows_credential()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM renew_tracker_sockets(ARRAY(SELECT n.tracker_id FROM new_rows n JOIN tracker_socket USING (tracker_id)), true);
    ELSE
        PERFORM renew_tracker_sockets(ARRAY(SELECT n.tracker_id FROM new_rows n JOIN old_rows o USING (tracker_id) JOIN tracker_socket USING (tracker_id)
            WHERE n.password_hash IS DISTINCT FROM o.password_hash), true);
    END IF;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.tracker_speaks_otherwise()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM renew_tracker_sockets(ARRAY[NEW.tracker_id], false);
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.tracker_within(p_who asker, p_tracker bigint)
 RETURNS tracker
 LANGUAGE plpgsql
AS $function$
DECLARE found_one tracker;
BEGIN
    SELECT * INTO found_one FROM tracker WHERE tracker_id = p_tracker FOR NO KEY UPDATE;
    IF found_one.tracker_id IS NULL OR NOT is_within(p_who, found_one.unit_id) THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    RETURN found_one;
END $function$;

CREATE OR REPLACE FUNCTION public.trackers_found(p_text text)
 RETURNS bigint[]
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
DECLARE pattern text := like_pattern(p_text);
BEGIN
    RETURN ARRAY(SELECT tracker_id FROM tracker WHERE searched LIKE pattern LIMIT few() + 1);
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

CREATE OR REPLACE FUNCTION public.trackers_page(p_who asker, p_text text, p_after bigint, p_limit integer)
 RETURNS bigint[]
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
AS $function$
DECLARE pattern text := like_pattern(p_text); units bigint[] := ARRAY(SELECT unit_id FROM unit WHERE is_within(p_who, unit_id)); unowned boolean := is_within(p_who, NULL);
BEGIN
    RETURN ARRAY(SELECT tracker_id FROM tracker WHERE tracker_id > p_after AND (pattern IS NULL OR searched LIKE pattern)
        AND CASE WHEN unit_id IS NULL THEN unowned ELSE unit_id = ANY (units) END ORDER BY tracker_id LIMIT p_limit);
END $function$;

CREATE OR REPLACE FUNCTION public.transfer_as_json(t transfer)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object('id', t.transfer_id::text, 'vehicle_id', t.vehicle_id::text, 'takes_place_at', t.takes_place_at,
        'code_ends_at', t.code_ends_at, 'accepted_at', t.accepted_at, 'done_at', t.done_at)
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

CREATE OR REPLACE FUNCTION public.transport_of(p_profile jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$ SELECT coalesce(p_profile ->> 'transport', 'mqtt') $function$;

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
            'ignition', s.ignition, 'open_incident', i.incident_id::text, 'open_incident_answer', i.answer, 'positioning_off_since', p.off_at)
        FROM vehicle v
        LEFT JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL
        LEFT JOIN tracker t USING (tracker_id)
        LEFT JOIN tracker_status s USING (tracker_id)
        LEFT JOIN positioning_off p ON p.vehicle_id = v.vehicle_id AND p.on_at IS NULL
        CROSS JOIN LATERAL (SELECT CASE WHEN p.vehicle_id IS NOT NULL THEN 'off' ELSE contact_of(s.last_heard_at, s.report_interval_s) END) AS c (contact)
        LEFT JOIN guard_status g ON g.vehicle_id = v.vehicle_id
        LEFT JOIN incident i ON i.vehicle_id = v.vehicle_id AND i.closed_at IS NULL
        WHERE v.vehicle_id = p_vehicle);
END $function$;

CREATE OR REPLACE FUNCTION public.vehicle_erased()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM set_config('rideguard.erases', 'on', true);
    UPDATE registry_change SET was = NULL, becomes = NULL, reason = NULL WHERE vehicle_id = OLD.vehicle_id;
    PERFORM set_config('rideguard.erases', '', true);
    DELETE FROM import_problem WHERE value = OLD.plate;
    DELETE FROM import_row WHERE content ->> 'plate' = OLD.plate;
    NEW.make := '';
    NEW.colour := '';
    NEW.motor_number := NULL;
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.vehicle_kind_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM tell_tracker(i.tracker_id) FROM installation i WHERE i.vehicle_id = NEW.vehicle_id AND i.valid_to IS NULL;
    RETURN NULL;
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

CREATE OR REPLACE FUNCTION public.vehicles_found(p_text text)
 RETURNS bigint[]
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
DECLARE pattern text := like_pattern(replace(p_text, '·', ''));
BEGIN
    RETURN ARRAY(SELECT vehicle_id FROM vehicle WHERE searched LIKE pattern LIMIT few() + 1);
END $function$;

CREATE OR REPLACE FUNCTION public.vehicles_page(p_who asker, p_by text, p_text text, p_after bigint, p_limit integer)
 RETURNS bigint[]
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_sort TO 'off'
AS $function$
DECLARE
    pattern text := CASE p_by WHEN 'vehicle' THEN like_pattern(replace(p_text, '·', '')) WHEN 'owner' THEN like_pattern(p_text, 2) ELSE like_pattern(p_text) END;
    units bigint[] := ARRAY(SELECT unit_id FROM unit WHERE is_within(p_who, unit_id));
    unowned boolean := is_within(p_who, NULL);
BEGIN
    IF p_by = 'vehicle' THEN
        RETURN ARRAY(SELECT vehicle_id FROM vehicle WHERE vehicle_id > p_after AND (pattern IS NULL OR searched LIKE pattern) AND plate NOT LIKE 'erased-%'
            AND CASE WHEN unit_id IS NULL THEN unowned ELSE unit_id = ANY (units) END ORDER BY vehicle_id LIMIT p_limit);
    ELSIF p_by = 'owner' THEN
        RETURN ARRAY(SELECT o.vehicle_id FROM ownership o JOIN account a USING (account_id) JOIN vehicle v USING (vehicle_id)
            WHERE o.vehicle_id > p_after AND o.valid_to IS NULL AND a.role IN ('owner', 'family') AND a.searched LIKE pattern AND v.plate NOT LIKE 'erased-%'
            AND CASE WHEN v.unit_id IS NULL THEN unowned ELSE v.unit_id = ANY (units) END ORDER BY o.vehicle_id LIMIT p_limit);
    END IF;
    RETURN ARRAY(SELECT i.vehicle_id FROM installation i JOIN tracker t USING (tracker_id) JOIN vehicle v USING (vehicle_id)
        WHERE i.vehicle_id > p_after AND i.valid_to IS NULL AND t.searched LIKE pattern AND v.plate NOT LIKE 'erased-%'
        AND CASE WHEN v.unit_id IS NULL THEN unowned ELSE v.unit_id = ANY (units) END ORDER BY i.vehicle_id LIMIT p_limit);
END $function$;

CREATE OR REPLACE FUNCTION public.was_in_trial(p_vehicle bigint, p_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
    SELECT EXISTS (SELECT FROM door_visit d WHERE d.vehicle_id = p_vehicle AND d.began_at <= p_at
        AND p_at < least(greatest(d.began_at, d.drill_at) + interval '2 hours', d.ended_at + interval '30 seconds'))
$function$;

CREATE OR REPLACE FUNCTION public.whole_phone(p_text text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT CASE WHEN t ~ '^((\+|00)?86)?1[0-9]{10}$' THEN '+86' || right(t, 11) WHEN t ~ '^(\+|00)[1-9][0-9]{6,14}$' THEN '+' || regexp_replace(t, '^(\+|00)', '') END
    FROM (SELECT regexp_replace(p_text, '[ ()-]', '', 'g') AS t) a
$function$;

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

CREATE TRIGGER account_erased BEFORE UPDATE OF login ON public.account FOR EACH ROW WHEN (((new.login ~~ 'erased-%'::text) AND (old.login !~~ 'erased-%'::text))) EXECUTE FUNCTION account_erased();

CREATE TRIGGER belongings_erased AFTER UPDATE OF login ON public.account FOR EACH ROW WHEN (((new.login = ('erased-'::text || new.account_id)) AND (old.login <> new.login))) EXECUTE FUNCTION belongings_erased();

CREATE TRIGGER forget_erased_at_the_door AFTER UPDATE OF login ON public.account FOR EACH ROW WHEN ((new.login = ('erased-'::text || new.account_id))) EXECUTE FUNCTION forget_erased_at_the_door();

CREATE TRIGGER forget_erased_person BEFORE UPDATE OF login ON public.account FOR EACH ROW WHEN ((new.login = ('erased-'::text || new.account_id))) EXECUTE FUNCTION forget_erased_person();

CREATE TRIGGER looked_after BEFORE INSERT ON public.account FOR EACH ROW WHEN (((new.unit_id IS NULL) AND (new.role = ANY (ARRAY['owner'::text, 'family'::text, 'installer'::text])) AND (current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text))) EXECUTE FUNCTION looked_after();

CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR UPDATE ON public.account FOR EACH ROW WHEN ((current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION registry_changed();

CREATE TRIGGER registry_versioned BEFORE UPDATE OF name, login, phone, unit_id, id_number_hmac ON public.account FOR EACH ROW WHEN ((((((old.name IS DISTINCT FROM new.name) OR (old.login IS DISTINCT FROM new.login)) OR (old.phone IS DISTINCT FROM new.phone)) OR (old.unit_id IS DISTINCT FROM new.unit_id)) OR (old.id_number_hmac IS DISTINCT FROM new.id_number_hmac))) EXECUTE FUNCTION registry_versioned();

CREATE TRIGGER audit_seal_is_only_added_to BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_seal FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();

CREATE TRIGGER audit_is_only_added_to BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();

CREATE TRIGGER consent_given AFTER INSERT ON public.consent FOR EACH ROW WHEN ((new.withdrawn_at IS NULL)) EXECUTE FUNCTION consent_given();

CREATE TRIGGER incident_versioned BEFORE UPDATE ON public.incident FOR EACH ROW WHEN (((((old.answer IS DISTINCT FROM new.answer) OR (old.answered_at IS DISTINCT FROM new.answered_at)) OR (old.closed_at IS DISTINCT FROM new.closed_at)) OR (old.ended_by IS DISTINCT FROM new.ended_by))) EXECUTE FUNCTION incident_versioned();

CREATE TRIGGER installation_changed AFTER INSERT OR DELETE OR UPDATE ON public.installation FOR EACH ROW WHEN ((current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION installation_changed();

CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR UPDATE ON public.installation FOR EACH ROW WHEN ((current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION registry_changed();

CREATE TRIGGER times_are_apart AFTER INSERT ON public.installation REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION times_are_apart();

CREATE TRIGGER times_stay_apart AFTER UPDATE ON public.installation REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION times_are_apart();

CREATE TRIGGER belongings_end AFTER UPDATE OF valid_to ON public.ownership FOR EACH ROW WHEN (((old.valid_to IS NULL) AND (new.valid_to IS NOT NULL))) EXECUTE FUNCTION belongings_end();

CREATE TRIGGER ownership_ended AFTER UPDATE OF valid_to ON public.ownership FOR EACH ROW WHEN (((old.valid_to IS NULL) AND (new.valid_to IS NOT NULL))) EXECUTE FUNCTION ownership_ended();

CREATE TRIGGER ownership_without_consent AFTER INSERT ON public.ownership FOR EACH ROW WHEN (((new.valid_to IS NULL) AND (current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text))) EXECUTE FUNCTION ownership_without_consent();

CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR UPDATE ON public.ownership FOR EACH ROW WHEN ((current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION registry_changed();

CREATE TRIGGER times_are_apart AFTER INSERT ON public.ownership REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION times_are_apart();

CREATE TRIGGER times_stay_apart AFTER UPDATE ON public.ownership REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION times_are_apart();

CREATE TRIGGER registry_change_is_only_added_to BEFORE DELETE OR UPDATE OR TRUNCATE ON public.registry_change FOR EACH STATEMENT EXECUTE FUNCTION registry_change_is_only_added_to();

CREATE TRIGGER tracker_credential_changed AFTER INSERT OR UPDATE ON public.tracker_credential FOR EACH STATEMENT EXECUTE FUNCTION tracker_credential_changed();

CREATE TRIGGER tracker_credential_stamped BEFORE INSERT OR UPDATE ON public.tracker_credential FOR EACH ROW EXECUTE FUNCTION tracker_credential_stamped();

CREATE TRIGGER tracker_socket_follows_changed AFTER UPDATE ON public.tracker_credential REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tracker_socket_follows_credential();

CREATE TRIGGER tracker_socket_follows_given AFTER INSERT ON public.tracker_credential REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tracker_socket_follows_credential();

CREATE TRIGGER tracker_socket_changed AFTER INSERT OR UPDATE ON public.tracker_socket FOR EACH STATEMENT EXECUTE FUNCTION tracker_credential_changed();

CREATE TRIGGER looked_after BEFORE INSERT ON public.tracker FOR EACH ROW WHEN (((new.unit_id IS NULL) AND (current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text))) EXECUTE FUNCTION looked_after();

CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR UPDATE ON public.tracker FOR EACH ROW WHEN ((current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION registry_changed();

CREATE TRIGGER registry_versioned BEFORE UPDATE OF profile, model, iccid, sim_number, batch, unit_id ON public.tracker FOR EACH ROW WHEN (((((((old.profile IS DISTINCT FROM new.profile) OR (old.model IS DISTINCT FROM new.model)) OR (old.iccid IS DISTINCT FROM new.iccid)) OR (old.sim_number IS DISTINCT FROM new.sim_number)) OR (old.batch IS DISTINCT FROM new.batch)) OR (old.unit_id IS DISTINCT FROM new.unit_id))) EXECUTE FUNCTION registry_versioned();

CREATE TRIGGER tracker_changed AFTER INSERT OR DELETE OR UPDATE OF ident, profile ON public.tracker FOR EACH ROW WHEN ((current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION tracker_changed();

CREATE TRIGGER tracker_renamed AFTER UPDATE OF ident ON public.tracker FOR EACH ROW WHEN ((old.ident <> new.ident)) EXECUTE FUNCTION tracker_renamed();

CREATE TRIGGER tracker_speaks_on_a_socket AFTER INSERT ON public.tracker FOR EACH ROW WHEN (((new.profile ->> 'transport'::text) = 'socket'::text)) EXECUTE FUNCTION tracker_speaks_otherwise();

CREATE TRIGGER tracker_speaks_otherwise AFTER UPDATE OF ident, profile ON public.tracker FOR EACH ROW WHEN (((('socket'::text = (new.profile ->> 'transport'::text)) OR ('socket'::text = (old.profile ->> 'transport'::text))) AND ((old.ident <> new.ident) OR (old.profile <> new.profile)))) EXECUTE FUNCTION tracker_speaks_otherwise();

CREATE TRIGGER looked_after BEFORE INSERT ON public.vehicle FOR EACH ROW WHEN (((new.unit_id IS NULL) AND (current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text))) EXECUTE FUNCTION looked_after();

CREATE TRIGGER plate_changed AFTER UPDATE OF plate ON public.vehicle FOR EACH ROW WHEN ((old.plate <> new.plate)) EXECUTE FUNCTION plate_changed();

CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR UPDATE ON public.vehicle FOR EACH ROW WHEN ((current_setting('rideguard.in_bulk'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION registry_changed();

CREATE TRIGGER registry_versioned BEFORE UPDATE OF plate, kind, make, model, colour, frame_number, motor_number, unit_id ON public.vehicle FOR EACH ROW WHEN (((((((((old.plate IS DISTINCT FROM new.plate) OR (old.kind IS DISTINCT FROM new.kind)) OR (old.make IS DISTINCT FROM new.make)) OR (old.model IS DISTINCT FROM new.model)) OR (old.colour IS DISTINCT FROM new.colour)) OR (old.frame_number IS DISTINCT FROM new.frame_number)) OR (old.motor_number IS DISTINCT FROM new.motor_number)) OR (old.unit_id IS DISTINCT FROM new.unit_id))) EXECUTE FUNCTION registry_versioned();

CREATE TRIGGER vehicle_erased BEFORE UPDATE OF plate ON public.vehicle FOR EACH ROW WHEN (((new.plate ~~ 'erased-%'::text) AND (old.plate !~~ 'erased-%'::text))) EXECUTE FUNCTION vehicle_erased();

CREATE TRIGGER vehicle_kind_changed AFTER UPDATE OF kind ON public.vehicle FOR EACH ROW WHEN ((old.kind <> new.kind)) EXECUTE FUNCTION vehicle_kind_changed();

CREATE TRIGGER zone_audited AFTER INSERT OR DELETE OR UPDATE ON public.zone FOR EACH ROW EXECUTE FUNCTION zone_audited();

CREATE TRIGGER zone_changed AFTER INSERT OR DELETE OR UPDATE ON public.zone FOR EACH ROW EXECUTE FUNCTION zone_changed();
