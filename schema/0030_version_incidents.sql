-- Answers carry the version of the incident that they saw: a stale card undoes nothing.
ALTER TABLE incident ADD COLUMN version integer NOT NULL DEFAULT 1;      -- grows with each answer, end and new beginning

-- Not with what the guard finds out by itself (confirmed, followed): a theft that moves on must not refuse its owner's word.
CREATE FUNCTION incident_versioned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER incident_versioned BEFORE UPDATE ON incident FOR EACH ROW
    WHEN ((OLD.answer, OLD.answered_at, OLD.closed_at, OLD.ended_by) IS DISTINCT FROM (NEW.answer, NEW.answered_at, NEW.closed_at, NEW.ended_by))
    EXECUTE FUNCTION incident_versioned();

CREATE OR REPLACE FUNCTION incident_as_json(i incident) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', i.incident_id::text, 'vehicle_id', i.vehicle_id::text, 'plate', v.plate, 'opened_at', i.opened_at,
        'closed_at', i.closed_at, 'end', i.ended_by, 'state', i.state, 'score', round(i.score::numeric, 2), 'severity', i.severity,
        'answer', i.answer, 'answered_at', i.answered_at, 'fixes_from', i.fixes_from, 'fixes_to', i.closed_at, 'version', i.version,
        'answers', coalesce((SELECT jsonb_agg(jsonb_build_object('answer', n.detail ->> 'answer', 'at', n.at) ORDER BY n.at)
            FROM incident_note n WHERE n.incident_id = i.incident_id AND n.kind = 'answered'), '[]'))
    FROM vehicle v WHERE v.vehicle_id = i.vehicle_id
$$;

-- An incident as the live stream tells it, and to whom: the owner of now, if the vehicle was theirs when it began.
CREATE FUNCTION api_incident_news(p_incident bigint) RETURNS TABLE (account_id bigint, incident jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.account_id, jsonb_build_object('id', i.incident_id::text, 'vehicle_id', i.vehicle_id::text, 'state', i.state, 'answer', i.answer,
        'version', i.version, 'opened_at', i.opened_at, 'closed_at', i.closed_at)
    FROM incident i JOIN ownership w USING (vehicle_id)
    WHERE i.incident_id = p_incident AND w.valid_to IS NULL AND i.opened_at >= w.valid_from
$$;

-- How long after "it is me" the same incident may still be called a theft: as long as the claimed ride may last
-- (ride_s of src/guard/params.rs). Later the guard has begun anew, and a theft is another incident.
CREATE FUNCTION incident_reopen_max() RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT interval '2 hours' $$;

-- A refusal with a machine word and values: the page says it in the reader's language.
CREATE FUNCTION refuse(p_state text, p_code text, p_message text, p_values jsonb DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', p_message USING ERRCODE = p_state, DETAIL = jsonb_build_object('code', p_code, 'values', p_values)::text;
END $$;

-- The owner's word on an incident, as a setting for the guard. Two taps may race: the guard looks again.
DROP FUNCTION api_answer(bigint, bigint, text);
CREATE FUNCTION api_answer(p_account bigint, p_incident bigint, p_answer text, p_version integer, p_withdraw boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- A vehicle as before, with what its owner said of the open incident.
CREATE OR REPLACE FUNCTION vehicle_as_json(p_vehicle bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object('id', v.vehicle_id::text, 'plate', v.plate, 'kind', v.kind, 'model', v.model, 'tracker', t.ident,
            'armed', coalesce(g.armed, false), 'armed_at', CASE WHEN g.armed THEN g.since END,
            'guard_point', CASE WHEN g.armed AND g.guard_lat IS NOT NULL THEN jsonb_build_object('lat', g.guard_lat, 'lon', g.guard_lon) END,
            'last_fix', CASE WHEN s.position IS NOT NULL THEN jsonb_build_object('fixed_at', s.fixed_at, 'received_at', s.received_at,
                'lat', ST_Y(s.position), 'lon', ST_X(s.position), 'speed_kmh', s.speed_kmh, 'course_deg', s.course_deg,
                'satellites', s.satellites, 'accuracy_m', s.accuracy_m,
                'source', (ARRAY['gnss', 'cell', 'wifi'])[s.source + 1]) END,
            'last_heard_at', s.last_heard_at, 'battery_percent', s.battery_percent, 'external_power', s.external_power,
            'ignition', s.ignition, 'open_incident', i.incident_id::text, 'open_incident_answer', i.answer)
        FROM vehicle v
        LEFT JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL
        LEFT JOIN tracker t USING (tracker_id)
        LEFT JOIN tracker_status s USING (tracker_id)
        LEFT JOIN guard_status g ON g.vehicle_id = v.vehicle_id
        LEFT JOIN incident i ON i.vehicle_id = v.vehicle_id AND i.closed_at IS NULL
        WHERE v.vehicle_id = p_vehicle);
END $$;
