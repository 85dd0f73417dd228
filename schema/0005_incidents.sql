-- Zones with rules of time and kind; incidents that are followed and answered; sessions that begin by
-- themselves; outages that are the network's; storms held back.

-- ── settings that name a vehicle go to the lane of its tracker ──────────────────────────────
CREATE FUNCTION carrier_lane(p_vehicle bigint) RETURNS smallint LANGUAGE sql STABLE AS $$
    SELECT lane_of(t.ident) FROM installation n JOIN tracker t USING (tracker_id) WHERE n.vehicle_id = p_vehicle AND n.valid_to IS NULL
$$;

CREATE OR REPLACE FUNCTION tell_tracker(p_tracker bigint) RETURNS void LANGUAGE sql AS $$
    SELECT add_setting(lane_of(t.ident), jsonb_build_object('kind', 'tracker', 'tracker', t.tracker_id,
        'ident', t.ident, 'profile', t.profile, 'vehicle', i.vehicle_id, 'vehicle_kind', v.kind))
    FROM tracker t LEFT JOIN installation i ON i.tracker_id = t.tracker_id AND i.valid_to IS NULL LEFT JOIN vehicle v USING (vehicle_id)
    WHERE t.tracker_id = p_tracker
$$;

-- ── zones ───────────────────────────────────────────────────────────────────────────────────
ALTER TABLE zone DROP CONSTRAINT zone_rule_check;
ALTER TABLE zone ADD CHECK (rule IN ('enter', 'exit', 'both', 'dwell', 'forbidden'));
ALTER TABLE zone ADD COLUMN dwell_s integer NOT NULL DEFAULT 0,          -- the stay a dwell rule asks for
    ADD COLUMN schedule jsonb,                                           -- src/domain/schedule.rs; NULL: always
    ADD COLUMN vehicle_kind text CHECK (vehicle_kind IN ('ebike', 'motorcycle')),  -- NULL: every kind
    ADD COLUMN drawn_crs text NOT NULL DEFAULT 'wgs84' CHECK (drawn_crs IN ('wgs84', 'gcj02'));  -- of the shape as given; it is kept in `crs`
CREATE INDEX zone_vehicle ON zone (vehicle_id) WHERE vehicle_id IS NOT NULL;
CREATE INDEX zone_account ON zone (account_id);

-- A city's zone concerns every lane, a vehicle's the lane of its tracker.
CREATE FUNCTION tell_zone(z zone) RETURNS void LANGUAGE plpgsql AS $$
DECLARE lane smallint := CASE WHEN z.vehicle_id IS NOT NULL THEN carrier_lane(z.vehicle_id) END;
BEGIN
    IF z.vehicle_id IS NULL OR lane IS NOT NULL THEN
        PERFORM add_setting(lane, jsonb_build_object('kind', 'zone', 'id', z.zone_id, 'name', z.name, 'shape', z.shape,
            'rule', z.rule, 'vehicle', z.vehicle_id, 'dwell_s', z.dwell_s, 'schedule', z.schedule, 'vehicle_kind', z.vehicle_kind));
    END IF;
END $$;

CREATE OR REPLACE FUNCTION zone_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN    -- to every lane: the vehicle may have changed its tracker
        PERFORM add_setting(NULL, jsonb_build_object('kind', 'zone_removed', 'zone', OLD.zone_id));
    ELSE
        PERFORM tell_zone(NEW);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION zone_ring(p_corners jsonb) RETURNS geometry LANGUAGE sql IMMUTABLE AS $$
    SELECT ST_AddPoint(line, ST_StartPoint(line)) FROM (
        SELECT ST_SetSRID(ST_MakeLine(ST_MakePoint((c ->> 'lon_deg')::float8, (c ->> 'lat_deg')::float8) ORDER BY n), 4326) AS line
        FROM jsonb_array_elements(p_corners) WITH ORDINALITY AS e (c, n)) l
$$;

-- What no limit of numbers can tell: rings that cross themselves, holes outside, no area at all.
CREATE FUNCTION check_zone(p_shape jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    area geometry;
    m2   double precision;
BEGIN
    IF p_shape ->> 'type' <> 'polygon' THEN RETURN; END IF;
    area := ST_MakePolygon(zone_ring(p_shape -> 'outer'),
        ARRAY(SELECT zone_ring(h) FROM jsonb_array_elements(coalesce(p_shape -> 'holes', '[]')) h));
    IF NOT ST_IsValid(area) THEN
        RAISE EXCEPTION 'the polygon is none: %', ST_IsValidReason(area) USING ERRCODE = 'P0422';
    END IF;
    m2 := ST_Area(area::geography);
    IF m2 < 100 OR m2 > 2.5e11 THEN
        RAISE EXCEPTION 'the polygon has an area of % m²; it must be 100 m² to 250,000 km²', round(m2::numeric) USING ERRCODE = 'P0422';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION zone_as_json(z zone) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', z.zone_id::text, 'name', z.name, 'rule', z.rule, 'shape', z.shape, 'crs', z.crs, 'drawn_crs', z.drawn_crs,
        'vehicle_id', z.vehicle_id::text, 'dwell_s', z.dwell_s, 'schedule', z.schedule, 'vehicle_kind', z.vehicle_kind, 'created_at', z.created_at)
$$;

DROP FUNCTION api_zones(bigint);
CREATE FUNCTION api_zones(p_account bigint, p_after bigint, p_limit integer) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT zone_as_json(z) || jsonb_build_object('mine', z.account_id = p_account) FROM (
        SELECT zone_id FROM zone WHERE vehicle_id IS NULL
        UNION SELECT o.zone_id FROM ownership w JOIN zone o USING (vehicle_id) WHERE w.account_id = p_account AND w.valid_to IS NULL) seen
    JOIN zone z USING (zone_id) WHERE z.zone_id > p_after ORDER BY z.zone_id LIMIT p_limit
$$;

DROP FUNCTION api_add_zone(bigint, text, text, text, jsonb, bigint);
CREATE FUNCTION api_add_zone(p_account bigint, p_role text, p_zone jsonb) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    z          zone;
    of_vehicle bigint := (p_zone ->> 'vehicle_id')::bigint;
    most       integer := CASE WHEN p_role = 'owner' THEN 100 ELSE 100000 END;
BEGIN
    IF p_role = 'owner' AND (of_vehicle IS NULL OR NOT owns(p_account, of_vehicle)) THEN
        RAISE EXCEPTION 'no vehicle % of yours', coalesce(of_vehicle::text, '(none)') USING ERRCODE = 'P0404';
    END IF;
    IF p_role <> 'owner' AND of_vehicle IS NOT NULL THEN
        RAISE EXCEPTION 'only the owner makes zones for a vehicle' USING ERRCODE = 'P0403';
    END IF;
    IF (SELECT count(*) FROM zone WHERE account_id = p_account) >= most THEN
        RAISE EXCEPTION 'an account of this role has at most % zones', most USING ERRCODE = 'P0409';
    END IF;
    PERFORM check_zone(p_zone -> 'shape');
    INSERT INTO zone (name, rule, shape, vehicle_id, account_id, dwell_s, schedule, vehicle_kind, drawn_crs)
    VALUES (p_zone ->> 'name', p_zone ->> 'rule', p_zone -> 'shape', of_vehicle, p_account, (p_zone ->> 'dwell_s')::integer,
        nullif(p_zone -> 'schedule', 'null'), p_zone ->> 'vehicle_kind', p_zone ->> 'drawn_crs') RETURNING * INTO z;
    RETURN NEXT zone_as_json(z) || jsonb_build_object('mine', true);
END $$;

-- The vehicle stays; everything else may change.
CREATE FUNCTION api_change_zone(p_account bigint, p_id bigint, p_zone jsonb) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE z zone;
BEGIN
    PERFORM check_zone(p_zone -> 'shape');
    UPDATE zone SET name = p_zone ->> 'name', rule = p_zone ->> 'rule', shape = p_zone -> 'shape', dwell_s = (p_zone ->> 'dwell_s')::integer,
        schedule = nullif(p_zone -> 'schedule', 'null'), vehicle_kind = p_zone ->> 'vehicle_kind', drawn_crs = p_zone ->> 'drawn_crs'
    WHERE zone_id = p_id AND account_id = p_account RETURNING * INTO z;
    IF FOUND THEN RETURN NEXT zone_as_json(z) || jsonb_build_object('mine', true); END IF;
END $$;

-- ── incidents: state, score, timeline, the owner's answer ───────────────────────────────────
ALTER TABLE incident ADD COLUMN state text NOT NULL DEFAULT 'suspected'
        CHECK (state IN ('suspected', 'confirmed', 'followed', 'recovered', 'closed', 'false_alarm')),
    ADD COLUMN score real NOT NULL DEFAULT 0,            -- how sure, 0..1
    ADD COLUMN severity text NOT NULL DEFAULT 'low' CHECK (severity IN ('low', 'high', 'critical')),
    ADD COLUMN fixes_from timestamptz,                   -- its fixes are the vehicle's from here to closed_at
    ADD COLUMN answer text CHECK (answer IN ('me', 'stolen', 'recovered')),
    ADD COLUMN answered_at timestamptz;
UPDATE incident SET fixes_from = opened_at, state = CASE WHEN closed_at IS NULL THEN 'suspected' ELSE 'closed' END;
ALTER TABLE incident ALTER COLUMN fixes_from SET NOT NULL;

CREATE TABLE incident_note (                             -- what the timeline holds beside the alerts
    incident_id     bigint NOT NULL,
    at              timestamptz NOT NULL,
    kind            text NOT NULL,
    detail          jsonb NOT NULL,                      -- src/domain/incident.rs, Note
    UNIQUE (incident_id, at, kind, detail)
);

ALTER TABLE alert ADD COLUMN held_back boolean NOT NULL DEFAULT false;   -- one too many of a zone's storm: pushed to nobody

-- An owner's incidents of the vehicles that are theirs since before.
CREATE FUNCTION incident_of(p_account bigint, p_incident bigint) RETURNS incident LANGUAGE sql STABLE AS $$
    SELECT i.* FROM incident i JOIN ownership w USING (vehicle_id)
    WHERE i.incident_id = p_incident AND w.account_id = p_account AND w.valid_to IS NULL AND i.opened_at >= w.valid_from
$$;

CREATE FUNCTION incident_as_json(i incident) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', i.incident_id::text, 'vehicle_id', i.vehicle_id::text, 'plate', v.plate, 'opened_at', i.opened_at,
        'closed_at', i.closed_at, 'end', i.ended_by, 'state', i.state, 'score', round(i.score::numeric, 2), 'severity', i.severity,
        'answer', i.answer, 'answered_at', i.answered_at, 'fixes_from', i.fixes_from, 'fixes_to', i.closed_at)
    FROM vehicle v WHERE v.vehicle_id = i.vehicle_id
$$;

CREATE FUNCTION api_my_incidents(p_account bigint, p_before timestamptz, p_limit integer) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT incident_as_json(i) FROM incident i JOIN ownership w USING (vehicle_id)
    WHERE w.account_id = p_account AND w.valid_to IS NULL AND i.opened_at >= w.valid_from AND (p_before IS NULL OR i.opened_at < p_before)
    ORDER BY i.opened_at DESC LIMIT p_limit
$$;

-- The timeline: alerts, what the owner answered, states, what explained an alert later; in order.
CREATE OR REPLACE FUNCTION api_my_incident(p_account bigint, p_incident bigint) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
$$;

-- The owner's word on an incident, as a setting for the guard.
CREATE FUNCTION api_answer(p_account bigint, p_incident bigint, p_answer text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    i    incident := incident_of(p_account, p_incident);
    lane smallint := carrier_lane(i.vehicle_id);
BEGIN
    IF i.incident_id IS NULL THEN RETURN NULL; END IF;
    IF lane IS NULL THEN
        RAISE EXCEPTION 'the vehicle carries no tracker' USING ERRCODE = 'P0409';
    END IF;
    IF i.answer = p_answer THEN
        RAISE EXCEPTION 'the incident has this answer already' USING ERRCODE = 'P0409';
    END IF;
    PERFORM write_audit(p_account, NULL, 'answer', jsonb_build_object('incident', p_incident::text, 'answer', p_answer), NULL);
    RETURN add_setting(lane, jsonb_build_object('kind', 'answer', 'vehicle', i.vehicle_id, 'incident', p_incident, 'answer', p_answer));
END $$;

-- ── guard sessions that begin by themselves, and the owner's phone ──────────────────────────
ALTER TABLE guard_status ADD COLUMN by text NOT NULL DEFAULT 'owner' CHECK (by IN ('owner', 'schedule', 'parked', 'phone'));

CREATE TABLE guarding (
    vehicle_id      bigint PRIMARY KEY REFERENCES vehicle,
    schedule        jsonb,                               -- src/domain/schedule.rs; NULL: by no schedule
    auto_after_s    integer CHECK (auto_after_s BETWEEN 60 AND 3600),   -- NULL: not by parking
    changed_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE phone_token (
    token_sha256    bytea PRIMARY KEY,                   -- the token itself is never kept
    vehicle_id      bigint NOT NULL REFERENCES vehicle,
    account_id      bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    made_at         timestamptz NOT NULL DEFAULT now(),
    used_at         timestamptz
);
CREATE INDEX phone_token_vehicle ON phone_token (vehicle_id);

CREATE FUNCTION tell_guarding(p_vehicle bigint) RETURNS bigint LANGUAGE sql AS $$
    SELECT add_setting(carrier_lane(g.vehicle_id), jsonb_build_object('kind', 'guarding', 'vehicle', g.vehicle_id,
        'policy', jsonb_build_object('schedule', g.schedule, 'auto_after_s', g.auto_after_s)))
    FROM guarding g WHERE g.vehicle_id = p_vehicle AND carrier_lane(g.vehicle_id) IS NOT NULL
$$;

-- A tracker that comes into a vehicle brings along what is set for the vehicle.
CREATE OR REPLACE FUNCTION installation_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_tracker(coalesce(NEW.tracker_id, OLD.tracker_id));
    IF TG_OP <> 'DELETE' AND NEW.valid_to IS NULL THEN
        PERFORM tell_zone(z) FROM zone z WHERE z.vehicle_id = NEW.vehicle_id;
        PERFORM tell_guarding(NEW.vehicle_id);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION api_guarding(p_account bigint, p_vehicle bigint) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object('armed', coalesce(s.armed, false), 'by', s.by, 'since', s.since, 'schedule', g.schedule, 'auto_after_s', g.auto_after_s,
        'phones', (SELECT count(*) FROM phone_token p WHERE p.vehicle_id = p_vehicle AND p.account_id = p_account))
    FROM vehicle v LEFT JOIN guarding g USING (vehicle_id) LEFT JOIN guard_status s USING (vehicle_id)
    WHERE v.vehicle_id = p_vehicle AND owns(p_account, p_vehicle)
$$;

CREATE FUNCTION api_set_guarding(p_account bigint, p_vehicle bigint, p_schedule jsonb, p_auto_after_s integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT owns(p_account, p_vehicle) THEN RETURN NULL; END IF;
    IF carrier_lane(p_vehicle) IS NULL THEN
        RAISE EXCEPTION 'the vehicle carries no tracker' USING ERRCODE = 'P0409';
    END IF;
    INSERT INTO guarding (vehicle_id, schedule, auto_after_s) VALUES (p_vehicle, nullif(p_schedule, 'null'), p_auto_after_s)
    ON CONFLICT (vehicle_id) DO UPDATE SET schedule = EXCLUDED.schedule, auto_after_s = EXCLUDED.auto_after_s, changed_at = now();
    PERFORM write_audit(p_account, NULL, 'guarding', jsonb_build_object('vehicle', p_vehicle, 'schedule', p_schedule, 'auto_after_s', p_auto_after_s), NULL);
    RETURN tell_guarding(p_vehicle);
END $$;

CREATE FUNCTION api_make_phone(p_account bigint, p_vehicle bigint, p_token bytea) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT owns(p_account, p_vehicle) THEN RETURN false; END IF;
    IF (SELECT count(*) FROM phone_token WHERE vehicle_id = p_vehicle AND account_id = p_account) >= 5 THEN
        RAISE EXCEPTION 'a vehicle has at most 5 phones; remove them first' USING ERRCODE = 'P0409';
    END IF;
    PERFORM write_audit(p_account, NULL, 'phone', jsonb_build_object('vehicle', p_vehicle), NULL);
    INSERT INTO phone_token (token_sha256, vehicle_id, account_id) VALUES (p_token, p_vehicle, p_account);
    RETURN true;
END $$;

CREATE FUNCTION api_remove_phones(p_account bigint, p_vehicle bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT owns(p_account, p_vehicle) THEN RETURN false; END IF;
    PERFORM write_audit(p_account, NULL, 'phones_removed', jsonb_build_object('vehicle', p_vehicle), NULL);
    DELETE FROM phone_token WHERE vehicle_id = p_vehicle AND account_id = p_account;
    RETURN true;
END $$;

-- "My phone is with the bike": the token names the vehicle, and counts while its maker owns it.
CREATE FUNCTION api_phone(p_token bytea) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE t phone_token;
BEGIN
    UPDATE phone_token SET used_at = now() WHERE token_sha256 = p_token RETURNING * INTO t;
    IF t.vehicle_id IS NULL OR NOT owns(t.account_id, t.vehicle_id) OR carrier_lane(t.vehicle_id) IS NULL THEN RETURN NULL; END IF;
    PERFORM write_audit(t.account_id, NULL, 'phone_is_with', jsonb_build_object('vehicle', t.vehicle_id), NULL);
    RETURN add_setting(carrier_lane(t.vehicle_id), jsonb_build_object('kind', 'phone', 'vehicle', t.vehicle_id));
END $$;

-- ── outages: what each lane saw of them ─────────────────────────────────────────────────────
CREATE TABLE outage_part (
    lane            smallint NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('lane', 'firmware', 'area', 'cell')),
    name            text NOT NULL,                       -- which cell, square, firmware
    began_at        timestamptz NOT NULL,
    noticed_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    lost            integer NOT NULL,                    -- when it was noticed
    members         integer NOT NULL,
    PRIMARY KEY (lane, kind, name, began_at)
);
CREATE INDEX outage_part_time ON outage_part (noticed_at DESC);

-- One outage for operators, however many lanes saw it: parts of one kind and name whose beginnings
-- lie within the same 20 minutes.
CREATE FUNCTION api_outages(p_limit integer) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH marked AS (
        SELECT *, began_at - lag(began_at) OVER same > interval '20 minutes' AS is_another
        FROM outage_part WHERE noticed_at > now() - interval '7 days'
        WINDOW same AS (PARTITION BY kind, name ORDER BY began_at)),
    numbered AS (SELECT *, count(*) FILTER (WHERE is_another) OVER (PARTITION BY kind, name ORDER BY began_at) AS n FROM marked)
    SELECT jsonb_build_object('kind', kind, 'name', name, 'began_at', min(began_at), 'noticed_at', min(noticed_at),
        'ended_at', CASE WHEN bool_and(ended_at IS NOT NULL) THEN max(ended_at) END, 'lost', sum(lost), 'members', sum(members), 'lanes', count(*))
    FROM numbered GROUP BY kind, name, n ORDER BY min(noticed_at) DESC LIMIT p_limit
$$;

-- ── storms: token buckets of the outbox ─────────────────────────────────────────────────────
CREATE TABLE bucket (
    scope           text NOT NULL CHECK (scope IN ('vehicle', 'owner')),
    key             bigint NOT NULL,
    tokens          double precision NOT NULL,
    at              timestamptz NOT NULL,                -- server time of the newest alert it counted
    PRIMARY KEY (scope, key)
);

ALTER TABLE outbox DROP CONSTRAINT outbox_state_check;
ALTER TABLE outbox ADD CHECK (state IN ('due', 'done', 'failed', 'held_back'));
ALTER TABLE outbox ADD COLUMN admitted boolean NOT NULL DEFAULT false;   -- the buckets have let it through
UPDATE outbox SET admitted = true;
CREATE INDEX outbox_new ON outbox (outbox_id) WHERE state = 'due' AND NOT admitted;

CREATE FUNCTION take_token(p_scope text, p_key bigint, p_at timestamptz, p_burst double precision, p_every_s double precision) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE left_over double precision;
BEGIN
    SELECT least(p_burst, tokens + greatest(0, extract(epoch FROM p_at - at)) / p_every_s) INTO left_over
    FROM bucket WHERE scope = p_scope AND key = p_key;
    left_over := coalesce(left_over, p_burst);
    IF left_over < 1 THEN RETURN false; END IF;
    INSERT INTO bucket VALUES (p_scope, p_key, left_over - 1, p_at)
    ON CONFLICT (scope, key) DO UPDATE SET tokens = EXCLUDED.tokens, at = greatest(bucket.at, EXCLUDED.at);
    RETURN true;
END $$;

-- Lets notifications through in order, by the time of their alerts, one caller at a time. The first alert of
-- an incident always passes, and takes tokens if there are some.
CREATE FUNCTION admit_notifications(p_limit integer, p_vehicle_burst double precision, p_vehicle_every_s double precision,
    p_owner_burst double precision, p_owner_every_s double precision) RETURNS integer LANGUAGE plpgsql AS $$
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
END $$;

CREATE OR REPLACE FUNCTION alert_as_json(p_alert bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', a.alert_id::text, 'vehicle_id', a.vehicle_id::text, 'plate', v.plate, 'kind', a.kind,
        'raised_at', a.raised_at, 'late', a.late, 'wakes_owner', a.wakes_owner,
        'held_back', a.held_back OR EXISTS (SELECT FROM outbox o WHERE o.alert_id = a.alert_id AND o.state = 'held_back'),
        'incident_id', a.incident_id::text, 'lat', a.lat, 'lon', a.lon)
    FROM alert a LEFT JOIN vehicle v USING (vehicle_id) WHERE a.alert_id = p_alert
$$;

-- Lanes learn which vehicles are motorcycles.
SELECT tell_tracker(i.tracker_id) FROM installation i JOIN vehicle v USING (vehicle_id) WHERE i.valid_to IS NULL AND v.kind = 'motorcycle';
