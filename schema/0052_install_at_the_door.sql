-- The installer at the door: the day's jobs, and a visit in which a tracker is fitted, tried and handed over. Until it is handed
-- over the vehicle is in trial: it belongs to nobody yet, or its owner is sent nothing.

CREATE TABLE door_job (
    job_id  bigint PRIMARY KEY DEFAULT random_id(),
    unit_id bigint REFERENCES unit,
    day     date NOT NULL,
    work    text NOT NULL CHECK (work IN ('install', 'refit', 'replace', 'remove')),
    -- Where to go, and of which vehicle if it has a plate: gone 30 days after it was done.
    place   text NOT NULL CHECK (length(place) <= 200),
    plate   text,
    made_by bigint NOT NULL REFERENCES account,
    made_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    -- Why it could not be done.
    reason  text CHECK (length(reason) BETWEEN 1 AND 200)
);
CREATE INDEX door_job_day ON door_job (day, job_id);
CREATE INDEX door_job_done ON door_job (done_at) WHERE done_at IS NOT NULL;

CREATE TABLE door_visit (
    visit_id     bigint PRIMARY KEY DEFAULT random_id(),
    installer_id bigint NOT NULL REFERENCES account,
    -- Of the phone's own making: a visit that is sent twice is one.
    key          text NOT NULL CHECK (key ~ '^[A-Za-z0-9-]{8,64}$'),
    unit_id      bigint REFERENCES unit,
    job_id       bigint REFERENCES door_job,
    work         text NOT NULL CHECK (work IN ('install', 'refit', 'replace')),
    vehicle_id   bigint NOT NULL REFERENCES vehicle,
    tracker_id   bigint NOT NULL REFERENCES tracker,
    -- NULL: erased.
    owner_id     bigint REFERENCES account,
    -- Which text the owner agreed to, and when, on the clock of the installer's phone.
    consent      text NOT NULL CHECK (consent ~ '^[A-Za-z0-9._-]{1,32}$'),
    consented_at timestamptz NOT NULL,
    reason       text CHECK (length(reason) BETWEEN 1 AND 200),
    began_at     timestamptz NOT NULL DEFAULT now(),
    -- When its tracker first said, during the visit, that it is shaken, and that its supply is gone.
    shaken_at    timestamptz,
    unplugged_at timestamptz,
    drill_at     timestamptz,
    ended_at     timestamptz,
    outcome      text CHECK (outcome IN ('handed_over', 'given_up')),
    -- What could not be seen when it was handed over, and why.
    without      text[] NOT NULL DEFAULT '{}',
    without_why  text CHECK (length(without_why) BETWEEN 1 AND 200),
    CHECK (without = '{}' OR without_why IS NOT NULL OR owner_id IS NULL),
    CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    UNIQUE (installer_id, key)
);
CREATE UNIQUE INDEX door_visit_open ON door_visit (vehicle_id) WHERE ended_at IS NULL;
CREATE INDEX door_visit_vehicle ON door_visit (vehicle_id, began_at);
CREATE INDEX door_visit_owner ON door_visit (owner_id);
CREATE INDEX door_visit_tried ON door_visit (tracker_id) WHERE ended_at IS NULL;

-- A picture of what was fitted. It has neither place nor time in it: the page draws it anew, and the API refuses what says more.
CREATE TABLE door_photo (
    visit_id bigint PRIMARY KEY REFERENCES door_visit,
    media    text NOT NULL CHECK (media IN ('image/jpeg', 'image/png', 'image/webp')),
    content  bytea NOT NULL CHECK (octet_length(content) BETWEEN 1 AND 307200),
    put_at   timestamptz NOT NULL DEFAULT now()
);

-- What is kept of somebody who is erased goes: whom a visit was for, where, and what it looked like.
CREATE FUNCTION forget_erased_at_the_door() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM door_photo p USING door_visit d WHERE d.visit_id = p.visit_id AND d.owner_id = NEW.account_id;
    UPDATE door_job SET place = '', plate = NULL WHERE job_id IN (SELECT job_id FROM door_visit WHERE owner_id = NEW.account_id);
    UPDATE door_visit SET owner_id = NULL, reason = NULL, without_why = NULL WHERE owner_id = NEW.account_id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_erased_at_the_door AFTER UPDATE OF login ON account
    FOR EACH ROW WHEN (NEW.login = 'erased-' || NEW.account_id) EXECUTE FUNCTION forget_erased_at_the_door();

-- Whether a vehicle was in trial at a time: what it raised then is a drill. A visit that nobody ends mutes a vehicle for two hours at
-- most, and half a minute after the end the last lane has heard of it.
CREATE FUNCTION was_in_trial(p_vehicle bigint, p_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM door_visit d WHERE d.vehicle_id = p_vehicle AND d.began_at <= p_at
        AND p_at < least(greatest(d.began_at, d.drill_at) + interval '2 hours', d.ended_at + interval '30 seconds'))
$$;
GRANT EXECUTE ON FUNCTION was_in_trial(bigint, timestamptz) TO rideguard_notify_rights;

-- What the packets of a batch say of trackers that are tried just now: shaken, or without supply. Of others nothing is kept.
CREATE FUNCTION note_trial(p_trackers bigint[], p_at timestamptz[], p_shaken boolean[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE door_visit d SET shaken_at = coalesce(d.shaken_at, s.shaken_at), unplugged_at = coalesce(d.unplugged_at, s.unplugged_at)
    FROM (SELECT v.visit_id, min(u.at) FILTER (WHERE u.is_shaken) AS shaken_at, min(u.at) FILTER (WHERE NOT u.is_shaken) AS unplugged_at
        FROM unnest(p_trackers, p_at, p_shaken) AS u (tracker_id, at, is_shaken)
            JOIN door_visit v ON v.tracker_id = u.tracker_id AND v.ended_at IS NULL AND u.at >= v.began_at GROUP BY v.visit_id) s
    WHERE d.visit_id = s.visit_id
        AND (d.shaken_at IS NULL AND s.shaken_at IS NOT NULL OR d.unplugged_at IS NULL AND s.unplugged_at IS NOT NULL)
$$;
GRANT EXECUTE ON FUNCTION note_trial(bigint[], timestamptz[], boolean[]) TO rideguard_ingest_rights;

-- As before; and whether it was raised in a drill.
CREATE OR REPLACE FUNCTION alert_as_json(p_alert bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', a.alert_id::text, 'vehicle_id', a.vehicle_id::text, 'plate', v.plate, 'kind', a.kind,
        'raised_at', a.raised_at, 'late', a.late, 'wakes_owner', a.wakes_owner,
        'held_back', a.held_back OR EXISTS (SELECT FROM outbox o WHERE o.alert_id = a.alert_id AND o.state = 'held_back'),
        'incident_id', a.incident_id::text, 'lat', a.lat, 'lon', a.lon, 'is_drill', was_in_trial(a.vehicle_id, a.raised_at))
    FROM alert a LEFT JOIN vehicle v USING (vehicle_id) WHERE a.alert_id = p_alert
$$;
CREATE OR REPLACE FUNCTION incident_as_json(i incident) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', i.incident_id::text, 'vehicle_id', i.vehicle_id::text, 'plate', v.plate, 'opened_at', i.opened_at,
        'closed_at', i.closed_at, 'end', i.ended_by, 'state', i.state, 'score', round(i.score::numeric, 2), 'severity', i.severity,
        'answer', i.answer, 'answered_at', i.answered_at, 'fixes_from', i.fixes_from, 'fixes_to', i.closed_at, 'version', i.version,
        'answers', coalesce((SELECT jsonb_agg(jsonb_build_object('answer', n.detail ->> 'answer', 'at', n.at) ORDER BY n.at)
            FROM incident_note n WHERE n.incident_id = i.incident_id AND n.kind = 'answered'), '[]'),
        'is_drill', was_in_trial(i.vehicle_id, i.opened_at))
    FROM vehicle v WHERE v.vehicle_id = i.vehicle_id
$$;

-- As before; and what a trial raises is sent to nobody.
CREATE OR REPLACE FUNCTION admit_notifications(p_limit integer, p_vehicle_burst double precision, p_vehicle_every_s double precision,
    p_owner_burst double precision, p_owner_every_s double precision) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- A day's jobs of the asker's organisation.
CREATE FUNCTION api_door_jobs(p_token bytea, p_day date, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'installer', 'operator', 'admin');
BEGIN
    RETURN QUERY SELECT jsonb_build_object('id', j.job_id::text, 'day', j.day, 'work', j.work, 'place', j.place, 'plate', j.plate,
            'done_at', j.done_at, 'reason', j.reason)
        FROM door_job j WHERE j.day = p_day AND is_within(who, j.unit_id) ORDER BY j.done_at IS NOT NULL, j.job_id LIMIT p_limit;
END $$;

CREATE FUNCTION api_door_add_job(p_token bytea, p_day date, p_work text, p_place text, p_plate text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    j   door_job;
BEGIN
    UPDATE door_job SET place = '', plate = NULL WHERE done_at < now() - interval '30 days' AND place <> '';
    INSERT INTO door_job (unit_id, day, work, place, plate, made_by) VALUES (who.unit_id, p_day, p_work, p_place, plate_canonical(p_plate), who.account_id)
        RETURNING * INTO j;
    RETURN jsonb_build_object('id', j.job_id::text, 'day', j.day, 'work', j.work, 'place', j.place, 'plate', j.plate, 'done_at', j.done_at, 'reason', j.reason);
END $$;

-- What the installer sees of a visit; no phone, no name.
CREATE FUNCTION door_visit_as_json(d door_visit) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', d.visit_id::text, 'work', d.work, 'plate', v.plate, 'ident', t.ident, 'began_at', d.began_at,
        'drill_at', d.drill_at, 'ended_at', d.ended_at, 'outcome', d.outcome, 'without', d.without, 'without_why', d.without_why,
        'job_id', d.job_id::text, 'has_photo', EXISTS (SELECT FROM door_photo p WHERE p.visit_id = d.visit_id))
    FROM vehicle v, tracker t WHERE v.vehicle_id = d.vehicle_id AND t.tracker_id = d.tracker_id
$$;

-- A visit of the asker's organisation, locked where it is changed; what is foreign is missing.
CREATE FUNCTION door_visit_of(p_who asker, p_visit bigint, p_must_be_open boolean) RETURNS door_visit LANGUAGE plpgsql AS $$
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
END $$;

-- The tracker whose label was shown. An installer shows by the claim code that it is in their hand;
-- operators and administrators could give it another anyway.
CREATE FUNCTION door_tracker(p_who asker, p_ident text, p_claim_sha256 bytea) RETURNS bigint LANGUAGE plpgsql AS $$
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
END $$;

-- The owner with this phone, made where there is none.
CREATE FUNCTION door_owner(p_who asker, p_name text, p_phone text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE p account;
BEGIN
    SELECT * INTO p FROM account WHERE phone = p_phone FOR UPDATE;
    IF p.account_id IS NULL THEN
        INSERT INTO account (login, name, role, phone, unit_id) VALUES ('u' || random_id(), p_name, 'owner', p_phone, p_who.unit_id) RETURNING * INTO p;
    ELSIF p.role <> 'owner' OR p.disabled OR NOT is_within(p_who, p.unit_id) THEN
        PERFORM refuse('P0409', 'phone_of_other', 'somebody has this phone number who cannot own a vehicle here', '{"field": "phone"}');
    END IF;
    RETURN p.account_id;
END $$;

-- The vehicle with this plate, made where there is none. One that somebody else owns has to be handed over first.
CREATE FUNCTION door_vehicle(p_who asker, p_plate text, p_kind text, p_owner bigint) RETURNS bigint LANGUAGE plpgsql AS $$
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
END $$;

-- Fits a tracker: owner by phone, vehicle by plate, tracker by label, in one step that can be sent again.
CREATE FUNCTION api_door_enrol(p_token bytea, p_key text, p_asked jsonb, p_claim_sha256 bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- A check: seen, not seen yet, or wrong. What cannot be seen may be left out with a reason; what is seen to be wrong has to be mended.
CREATE FUNCTION door_one_check(p_name text, p_state text, p_is_skippable boolean) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('name', p_name, 'state', p_state, 'is_skippable', p_is_skippable AND p_state = 'not_seen')
$$;

-- What has been seen since the visit began, and what that says of each check. The phone's own place is compared and not kept.
CREATE FUNCTION door_check(d door_visit, p_lat double precision, p_lon double precision) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
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
END $$;

CREATE FUNCTION api_door_visit(p_token bytea, p_visit bigint, p_lat double precision, p_lon double precision) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'installer', 'operator', 'admin');
    d   door_visit := door_visit_of(who, p_visit, false);
BEGIN
    RETURN jsonb_build_object('visit', door_visit_as_json(d), 'check', door_check(d, p_lat, p_lon));
END $$;
CREATE FUNCTION api_door_visits(p_token bytea) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'installer', 'operator', 'admin');
BEGIN
    RETURN QUERY SELECT door_visit_as_json(d) FROM door_visit d WHERE d.installer_id = who.account_id AND d.ended_at IS NULL ORDER BY d.began_at;
END $$;

-- The visits of a vehicle, the newest first, for those who look after it.
CREATE FUNCTION api_door_visits_of(p_token bytea, p_vehicle bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    IF NOT EXISTS (SELECT FROM vehicle v WHERE v.vehicle_id = p_vehicle AND is_within(who, v.unit_id)) THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    RETURN QUERY SELECT door_visit_as_json(d) FROM door_visit d WHERE d.vehicle_id = p_vehicle AND is_within(who, d.unit_id)
        ORDER BY d.began_at DESC LIMIT p_limit;
END $$;

-- Puts the photo of a visit, or another in its place: also a day after the end, as it may have waited on a phone for the network.
CREATE FUNCTION api_door_put_photo(p_token bytea, p_visit bigint, p_media text, p_content bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- The photo of a visit; who looks at another's leaves a row.
CREATE FUNCTION api_door_photo(p_token bytea, p_visit bigint) RETURNS TABLE (media text, content bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- What an owner's own export has of their visits, and the photos.
CREATE FUNCTION door_visits_of_owner(p_owner bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(door_visit_as_json(d) - 'plate' - 'job_id' || jsonb_build_object('consent', d.consent, 'consented_at', d.consented_at,
        'reason', d.reason) ORDER BY d.began_at), '[]') FROM door_visit d WHERE d.owner_id = p_owner
$$;
CREATE FUNCTION api_my_door_photos(p_token bytea) RETURNS TABLE (visit_id bigint, media text, content bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT p.visit_id, p.media, p.content FROM door_photo p JOIN door_visit d USING (visit_id) WHERE d.owner_id = who.account_id
        ORDER BY d.began_at;
END $$;

-- Guards the vehicle, so that moving it has to raise an alert.
CREATE FUNCTION api_door_drill(p_token bytea, p_visit bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'installer', 'operator', 'admin');
    d   door_visit := door_visit_of(who, p_visit, true);
BEGIN
    UPDATE door_visit SET drill_at = now() WHERE visit_id = d.visit_id;
    PERFORM add_setting(lane_of(t.ident), jsonb_build_object('kind', 'arm', 'vehicle', d.vehicle_id)) FROM tracker t WHERE t.tracker_id = d.tracker_id;
    PERFORM write_audit(who.account_id, NULL, 'door_drill', jsonb_build_object('visit', d.visit_id, 'vehicle', d.vehicle_id), NULL);
END $$;

-- The guard of the drill ends: whatever it raised is over.
CREATE FUNCTION end_drill(d door_visit) RETURNS void LANGUAGE sql AS $$
    SELECT add_setting(lane_of(t.ident), jsonb_build_object('kind', 'disarm', 'vehicle', d.vehicle_id))
    FROM tracker t WHERE t.tracker_id = d.tracker_id AND d.drill_at IS NOT NULL
$$;

-- The vehicle is its owner's. What cannot be seen has to be named, with a reason. Answers until when the owner's invitation lives, if they are not in yet.
CREATE FUNCTION api_door_hand_over(p_token bytea, p_visit bigint, p_lat double precision, p_lon double precision, p_without text[], p_reason text,
    p_invitation_sha256 bytea, p_invitation_s double precision) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- The visit ends without a hand-over; a tracker that it fitted is out again.
CREATE FUNCTION api_door_give_up(p_token bytea, p_visit bigint, p_reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- Takes a tracker out of its vehicle. Whoever removes one has it in their hand: the label is shown.
CREATE FUNCTION api_door_remove(p_token bytea, p_ident text, p_claim_sha256 bytea, p_reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;
