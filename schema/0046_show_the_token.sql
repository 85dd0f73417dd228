-- Every function for the API takes what a person showed: the SHA-256 of a session's token, of a ticket or of a phone's token.
-- Account, role and organisation are derived from it here, so that the API's password alone opens nobody's things.

CREATE FUNCTION every_role() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['owner', 'family', 'installer', 'operator', 'police', 'approver', 'auditor', 'admin']
$$;

DROP FUNCTION api_add_zone(bigint, text, jsonb);
DROP FUNCTION api_change_zone(bigint, bigint, jsonb);
DROP FUNCTION api_delete_zone(bigint, bigint);
DROP FUNCTION api_zones(bigint, bigint, integer);
DROP FUNCTION api_answer(bigint, bigint, text, integer, boolean);
DROP FUNCTION api_guarding(bigint, bigint);
DROP FUNCTION api_make_phone(bigint, bigint, bytea);
DROP FUNCTION api_remove_phones(bigint, bigint);
DROP FUNCTION api_set_guarding(bigint, bigint, jsonb, integer);
DROP FUNCTION api_switch(bigint, bigint, boolean, boolean);
DROP FUNCTION api_coverage_gaps(integer);
DROP FUNCTION api_outages(integer);
DROP FUNCTION api_trackers(bigint, text, text, bigint, integer, text);
DROP FUNCTION api_tracker_counts();
DROP FUNCTION api_history_tile(bigint, text, bigint, integer, integer, integer, timestamptz, timestamptz);
DROP FUNCTION api_holds(bigint, bigint, bigint, integer);
DROP FUNCTION api_place_hold(bigint, bigint, text, text, timestamptz, timestamptz, timestamptz, text);
DROP FUNCTION api_release_hold(bigint, bigint, bigint, text);
DROP FUNCTION api_my_alerts(bigint, bigint, integer);
DROP FUNCTION api_my_incident(bigint, bigint);
DROP FUNCTION api_my_incidents(bigint, timestamptz, integer);
DROP FUNCTION api_my_pieces(bigint, bigint, timestamptz, timestamptz);
DROP FUNCTION api_my_vehicle(bigint, bigint);
DROP FUNCTION api_my_vehicles(bigint);
DROP FUNCTION api_my_grants(bigint);
DROP FUNCTION api_police_company(bigint, bigint, bigint, timestamptz, timestamptz, float8, float8, integer);
DROP FUNCTION api_police_names(bigint, bigint, bigint[]);
DROP FUNCTION api_police_near(bigint, bigint, text, timestamptz, timestamptz, interval, integer);
DROP FUNCTION api_police_newest(bigint, bigint, bigint[]);
DROP FUNCTION api_police_newest_in(bigint, bigint, float8, float8, float8, float8, integer);
DROP FUNCTION api_police_pieces(bigint, bigint, bigint, timestamptz, timestamptz);
DROP FUNCTION api_police_vehicles(bigint, bigint, text);
DROP FUNCTION api_audit_event(bigint, text, jsonb);
DROP FUNCTION api_audit_live(bigint, bigint, jsonb, integer);
DROP FUNCTION api_live_right(bytea, bigint);
DROP FUNCTION api_open_live(bigint, text, bigint, bytea, bytea);
DROP FUNCTION api_setting_applied(bigint);
DROP FUNCTION api_use_ticket(bytea);

-- Of the commands on the server, too.
ALTER FUNCTION api_arm(bigint, bigint, boolean) RENAME TO arm_vehicle;
REVOKE EXECUTE ON FUNCTION arm_vehicle(bigint, bigint, boolean) FROM rideguard_api_rights;

-- Streams of those who leave rows of audit: whose row each is stays known after the session and the grant have ended.
CREATE TABLE live_stream (
    ticket_sha256  bytea PRIMARY KEY,
    account_id     bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    session_sha256 bytea NOT NULL,
    grant_id       bigint REFERENCES access_grant,
    opened_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX live_stream_opened ON live_stream (opened_at);

CREATE FUNCTION api_open_live(p_token bytea, p_grant bigint, p_ticket bytea) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who   asker := asker_of(p_token, 'owner', 'police', 'operator');
    until timestamptz := now() + interval '30 seconds';
BEGIN
    IF who.role = 'police' THEN PERFORM check_grant(who.account_id, p_grant); END IF;
    DELETE FROM live_ticket WHERE expires_at < now();
    INSERT INTO live_ticket (ticket_sha256, account_id, session_sha256, grant_id, expires_at)
        VALUES (p_ticket, who.account_id, p_token, CASE WHEN who.role = 'police' THEN p_grant END, until);
    RETURN until;
END $$;

-- A session lives for hours: a stream that began two days ago is over, though nobody said so.
CREATE FUNCTION api_use_ticket(p_ticket bytea) RETURNS TABLE (account_id bigint, role text, grant_id bigint, session_sha256 bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- The right to a stream: no row when its session or account has ended; whether the police still have their grant; what the
-- account owns, and since when.
CREATE FUNCTION api_live_right(p_token bytea, p_grant bigint)
RETURNS TABLE (goes_on boolean, owned bigint[], owned_since timestamptz[], area_km2_max float8)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.role <> 'police' OR g.grant_id IS NOT NULL,
           ARRAY(SELECT w.vehicle_id FROM ownership w WHERE w.account_id = p.account_id AND w.valid_to IS NULL ORDER BY 1),
           ARRAY(SELECT w.valid_from FROM ownership w WHERE w.account_id = p.account_id AND w.valid_to IS NULL ORDER BY w.vehicle_id),
           g.area_km2_max
    FROM session s JOIN account p USING (account_id)
    LEFT JOIN access_grant g ON p.role = 'police' AND g.grant_id = p_grant AND g.account_id = p.account_id AND now() BETWEEN g.valid_from AND g.valid_to
    WHERE s.token_sha256 = p_token AND s.expires_at > now() AND NOT p.disabled
$$;

-- A row of audit of a stream, by the ticket that opened it. The last one counts what was told while session and grant were in
-- force, and may come after them.
CREATE FUNCTION api_audit_live(p_ticket bytea, p_view jsonb, p_rows integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- What somebody did or was refused, as a row of its own, whatever became of the transaction asked in.
CREATE FUNCTION api_audit_event(p_token bytea, p_event text, p_question jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, VARIADIC every_role());
BEGIN
    IF p_event NOT IN ('refused', 'log_in', 'log_out') THEN
        PERFORM refuse('P0400', 'refused', format('no event is called %s', p_event));
    END IF;
    PERFORM write_audit(who.account_id, NULL, p_event, p_question, NULL);
END $$;

-- Somebody typed a login that is there and not its password. Of a name that nobody has there is no row.
CREATE FUNCTION api_log_in_failed(p_login text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO audit (account_id, action, question) SELECT account_id, 'log_in_failed', '{}' FROM account WHERE login = p_login AND NOT disabled
$$;

-- Whether the guard has taken a change: for who may change that vehicle, by the token of a session or of the vehicle's phone.
CREATE FUNCTION api_setting_applied(p_token bytea, p_setting bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who        asker;
    of_vehicle bigint := (SELECT (content ->> 'vehicle')::bigint FROM setting WHERE setting_id = p_setting);
BEGIN
    IF NOT EXISTS (SELECT FROM phone_token WHERE token_sha256 = p_token AND vehicle_id = of_vehicle) THEN
        who := asker_of(p_token, VARIADIC every_role());
        IF who.role = 'owner' AND NOT owns(who.account_id, of_vehicle) THEN
            RAISE EXCEPTION 'no vehicle % of yours', of_vehicle USING ERRCODE = 'P0404';
        END IF;
    END IF;
    RETURN (SELECT bool_and(l.setting_cursor >= s.setting_id AND l.applied >= l.journaled)
        FROM setting s JOIN lane l ON s.lane IS NULL OR l.lane = s.lane WHERE s.setting_id = p_setting);
END $$;

CREATE FUNCTION api_add_zone(p_token bytea, p_zone jsonb) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

CREATE FUNCTION api_change_zone(p_token bytea, p_id bigint, p_zone jsonb) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

CREATE FUNCTION api_delete_zone(p_token bytea, p_zone bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner', 'operator', 'admin');
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    DELETE FROM zone WHERE zone_id = p_zone AND account_id = who.account_id;
    RETURN FOUND;
END $$;

CREATE FUNCTION api_zones(p_token bytea, p_after bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner', 'operator', 'admin');
    since timestamptz := '-infinity';
BEGIN
    IF p_after <> 0 THEN
        SELECT z.created_at INTO since FROM zone z WHERE z.zone_id = p_after AND (z.vehicle_id IS NULL OR owns(who.account_id, z.vehicle_id));
        IF NOT FOUND THEN PERFORM refuse('P0400', 'bad_cursor', 'the zone of this cursor is there no more; begin again'); END IF;
    END IF;
    RETURN QUERY SELECT zone_as_json(z) || jsonb_build_object('mine', z.account_id = who.account_id) FROM (
            SELECT zone_id FROM zone WHERE vehicle_id IS NULL
            UNION SELECT o.zone_id FROM ownership w JOIN zone o USING (vehicle_id) WHERE w.account_id = who.account_id AND w.valid_to IS NULL) seen
        JOIN zone z USING (zone_id) WHERE (z.created_at, z.zone_id) > (since, p_after) ORDER BY z.created_at, z.zone_id LIMIT p_limit;
END $$;

CREATE FUNCTION api_answer(p_token bytea, p_incident bigint, p_answer text, p_version integer, p_withdraw boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner');
    i       incident := incident_of(who.account_id, p_incident);
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
    PERFORM write_audit(who.account_id, NULL, 'answer', jsonb_build_object('incident', p_incident::text, 'answer', p_answer), NULL);
    RETURN add_setting(lane, jsonb_build_object('kind', 'answer', 'vehicle', i.vehicle_id, 'incident', p_incident, 'answer', p_answer,
        'seen', jsonb_build_object('answer', i.answer)));
END $$;

CREATE FUNCTION api_guarding(p_token bytea, p_vehicle bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN QUERY SELECT jsonb_build_object('armed', coalesce(s.armed, false), 'by', s.by, 'since', s.since, 'schedule', g.schedule, 'auto_after_s', g.auto_after_s,
        'phones', (SELECT count(*) FROM phone_token p WHERE p.vehicle_id = p_vehicle AND p.account_id = who.account_id))
    FROM vehicle v LEFT JOIN guarding g USING (vehicle_id) LEFT JOIN guard_status s USING (vehicle_id)
    WHERE v.vehicle_id = p_vehicle AND owns(who.account_id, p_vehicle);
END $$;

CREATE FUNCTION api_make_phone(p_token bytea, p_vehicle bigint, p_phone bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

CREATE FUNCTION api_remove_phones(p_token bytea, p_vehicle bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT owns(who.account_id, p_vehicle) THEN RETURN false; END IF;
    PERFORM write_audit(who.account_id, NULL, 'phones_removed', jsonb_build_object('vehicle', p_vehicle), NULL);
    DELETE FROM phone_token WHERE vehicle_id = p_vehicle AND account_id = who.account_id;
    RETURN true;
END $$;

CREATE FUNCTION api_set_guarding(p_token bytea, p_vehicle bigint, p_schedule jsonb, p_auto_after_s integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

CREATE FUNCTION api_switch(p_token bytea, p_vehicle bigint, p_armed boolean, p_withdraw boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    IF NOT p_withdraw AND owns(who.account_id, p_vehicle)
        AND EXISTS (SELECT FROM incident WHERE vehicle_id = p_vehicle AND closed_at IS NULL AND answer = 'stolen') THEN
        PERFORM refuse('P0409', 'confirm_withdrawal', 'the incident is answered "stolen"; taking that back needs "withdraw": true');
    END IF;
    RETURN arm_vehicle(who.account_id, p_vehicle, p_armed);
END $$;

CREATE FUNCTION api_coverage_gaps(p_token bytea, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN QUERY WITH marked AS (
        SELECT *, from_at > max(until_at) OVER (same ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + interval '10 seconds' AS is_another
        FROM coverage_gap WHERE until_at > now() - interval '7 days'
        WINDOW same AS (PARTITION BY cause ORDER BY from_at)),
    numbered AS (SELECT *, count(*) FILTER (WHERE is_another) OVER (PARTITION BY cause ORDER BY from_at) AS n FROM marked)
    SELECT jsonb_build_object('cause', cause, 'from', min(from_at), 'to', max(until_at), 'lanes', count(DISTINCT lane))
    FROM numbered GROUP BY cause, n ORDER BY max(until_at) DESC LIMIT p_limit;
END $$;

CREATE FUNCTION api_outages(p_token bytea, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN QUERY WITH marked AS (
        SELECT *, began_at - lag(began_at) OVER same > interval '20 minutes' AS is_another
        FROM outage_part WHERE noticed_at > now() - interval '7 days'
        WINDOW same AS (PARTITION BY kind, name ORDER BY began_at)),
    numbered AS (SELECT *, count(*) FILTER (WHERE is_another) OVER (PARTITION BY kind, name ORDER BY began_at) AS n FROM marked)
    SELECT jsonb_build_object('kind', kind, 'name', name, 'began_at', min(began_at), 'noticed_at', min(noticed_at),
        'ended_at', CASE WHEN bool_and(ended_at IS NOT NULL) THEN max(ended_at) END, 'lost', sum(lost), 'members', sum(members), 'lanes', count(*))
    FROM numbered GROUP BY kind, name, n ORDER BY min(noticed_at) DESC LIMIT p_limit;
END $$;

CREATE FUNCTION api_trackers(p_token bytea, p_state text, p_text text, p_after bigint, p_limit integer, p_reason text) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    returned integer;
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
        PERFORM write_audit(who.account_id, NULL, 'trackers', jsonb_build_object('reason', p_reason, 'text', p_text, 'state', p_state, 'after', p_after::text), returned);
    END IF;
END $$;

CREATE FUNCTION api_tracker_counts(p_token bytea) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN (SELECT jsonb_build_object('online', count(*) FILTER (WHERE state = 'online'), 'late', count(*) FILTER (WHERE state = 'late'),
        'silent', count(*) FILTER (WHERE state = 'silent'), 'never', count(*) FILTER (WHERE state = 'never')) FROM tracker_health);
END $$;

CREATE FUNCTION api_history_tile(p_token bytea, p_grant bigint, p_z integer, p_x integer, p_y integer, p_from timestamptz, p_to timestamptz) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'police', 'operator');
BEGIN
    IF who.role = 'police' THEN
        PERFORM check_window(check_grant(who.account_id, p_grant), p_from, p_to);
    ELSE
        p_grant := NULL;
    END IF;
    PERFORM write_audit(who.account_id, p_grant, 'history', jsonb_build_object('tile', jsonb_build_array(p_z, p_x, p_y), 'from', p_from, 'to', p_to), NULL);
    RETURN history_tile(p_z, p_x, p_y, p_from, p_to);
END $$;

CREATE FUNCTION api_holds(p_token bytea, p_grant bigint, p_before bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'police', 'admin');
    the_case text := holds_seen(who.account_id, p_grant);
    returned integer;
BEGIN
    RETURN QUERY SELECT hold_as_json(h.hold_id) FROM legal_hold h
        WHERE (the_case IS NULL OR h.case_number = the_case) AND (p_before IS NULL OR h.hold_id < p_before)
        ORDER BY h.hold_id DESC LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, p_grant, 'holds', jsonb_build_object('case', the_case), returned);
END $$;

CREATE FUNCTION api_place_hold(p_token bytea, p_grant bigint, p_case text, p_plate text, p_from timestamptz, p_to timestamptz, p_ends timestamptz, p_reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'police', 'admin');
    id bigint := place_hold(who.account_id, p_grant, p_case, p_plate, p_from, p_to, p_ends, p_reason);
BEGIN
    IF p_grant IS NOT NULL THEN
        PERFORM note_found(p_grant, ARRAY(SELECT vehicle_id FROM legal_hold WHERE hold_id = id));
    END IF;
    RETURN hold_as_json(id);    -- a statement of its own: it sees what the one before has written
END $$;

CREATE FUNCTION api_release_hold(p_token bytea, p_grant bigint, p_hold bigint, p_reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'police', 'admin');
    the_case text := holds_seen(who.account_id, p_grant);
BEGIN
    IF NOT EXISTS (SELECT FROM legal_hold WHERE hold_id = p_hold AND (the_case IS NULL OR case_number = the_case)) THEN
        RAISE EXCEPTION 'there is no hold %', p_hold USING ERRCODE = 'P0404';
    END IF;
    PERFORM release_hold(who.account_id, p_grant, p_hold, p_reason);
    RETURN hold_as_json(p_hold);
END $$;

CREATE FUNCTION api_my_alerts(p_token bytea, p_before bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN QUERY SELECT alert_as_json(a.alert_id) FROM alert a JOIN ownership w USING (vehicle_id)
    WHERE w.account_id = who.account_id AND w.valid_to IS NULL AND a.raised_at >= w.valid_from
      AND (p_before IS NULL OR a.alert_id < p_before)
    ORDER BY a.alert_id DESC LIMIT p_limit;
END $$;

CREATE FUNCTION api_my_incident(p_token bytea, p_incident bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
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
END $$;

CREATE FUNCTION api_my_incidents(p_token bytea, p_before timestamptz, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN QUERY SELECT incident_as_json(i) FROM incident i JOIN ownership w USING (vehicle_id)
    WHERE w.account_id = who.account_id AND w.valid_to IS NULL AND i.opened_at >= w.valid_from AND (p_before IS NULL OR i.opened_at < p_before)
    ORDER BY i.opened_at DESC LIMIT p_limit;
END $$;

CREATE FUNCTION api_my_pieces(p_token bytea, p_vehicle bigint, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    who asker := asker_of(p_token, 'owner');
    since timestamptz;
BEGIN
    SELECT valid_from INTO since FROM ownership WHERE account_id = who.account_id AND vehicle_id = p_vehicle AND valid_to IS NULL;
    IF since IS NULL THEN RAISE EXCEPTION 'no vehicle % of yours', p_vehicle USING ERRCODE = 'P0404'; END IF;
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, greatest(p_from, since), p_to);
END $$;

CREATE FUNCTION api_my_vehicle(p_token bytea, p_vehicle bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN QUERY SELECT owned_vehicle_as_json(w.vehicle_id, w.valid_from) FROM ownership w
    WHERE w.account_id = who.account_id AND w.vehicle_id = p_vehicle AND w.valid_to IS NULL;
END $$;

CREATE FUNCTION api_my_vehicles(p_token bytea) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN QUERY SELECT owned_vehicle_as_json(w.vehicle_id, w.valid_from) FROM ownership w JOIN vehicle v USING (vehicle_id)
    WHERE w.account_id = who.account_id AND w.valid_to IS NULL ORDER BY v.plate;
END $$;

CREATE FUNCTION api_my_grants(p_token bytea) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'police');
BEGIN
    RETURN QUERY SELECT jsonb_build_object('id', grant_id::text, 'case_number', case_number, 'purpose', purpose, 'valid_to', valid_to,
        'area_km2_max', area_km2_max, 'hours_max', hours_max)
    FROM access_grant WHERE account_id = who.account_id AND now() BETWEEN valid_from AND valid_to ORDER BY valid_from, grant_id;
END $$;

CREATE FUNCTION api_police_company(p_token bytea, p_grant bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz, p_within_m float8, p_within_s float8, p_most integer) RETURNS SETOF found
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan SET work_mem = '32MB' AS $$
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
END $$;

CREATE FUNCTION api_police_names(p_token bytea, p_grant bigint, p_vehicles bigint[]) RETURNS TABLE(vehicle_id bigint, plate text, tracker text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE who asker := asker_of(p_token, 'police');
BEGIN
    PERFORM check_grant(who.account_id, p_grant);
    PERFORM note_found(p_grant, ARRAY(SELECT f.vehicle_id FROM grant_vehicle f WHERE f.grant_id = p_grant AND f.vehicle_id = ANY (p_vehicles)));
    RETURN QUERY SELECT v.vehicle_id, v.plate, (SELECT t.ident FROM installation n JOIN tracker t USING (tracker_id)
            WHERE n.vehicle_id = v.vehicle_id ORDER BY n.valid_from DESC LIMIT 1)
        FROM grant_vehicle f JOIN vehicle v USING (vehicle_id) WHERE f.grant_id = p_grant AND f.vehicle_id = ANY (p_vehicles);
END $$;

CREATE FUNCTION api_police_near(p_token bytea, p_grant bigint, p_area text, p_from timestamptz, p_to timestamptz, p_beyond interval, p_most integer) RETURNS SETOF found
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan SET work_mem = '32MB' AS $$
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
END $$;

CREATE FUNCTION api_police_newest(p_token bytea, p_grant bigint, p_vehicles bigint[]) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'police');
    returned integer;
BEGIN
    PERFORM check_grant(who.account_id, p_grant);
    RETURN QUERY SELECT vehicle_as_json(v) FROM unnest(p_vehicles) v
        WHERE EXISTS (SELECT FROM grant_vehicle f WHERE f.grant_id = p_grant AND f.vehicle_id = v AND f.is_told) AND EXISTS (SELECT FROM vehicle k WHERE k.vehicle_id = v);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, p_grant, 'newest', jsonb_build_object('vehicles', p_vehicles), returned);
END $$;

CREATE FUNCTION api_police_newest_in(p_token bytea, p_grant bigint, p_west float8, p_south float8, p_east float8, p_north float8, p_limit integer) RETURNS TABLE(vehicle_id bigint, plate text, fixed_at timestamptz, lon float8, lat float8, speed_kmh real)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

CREATE FUNCTION api_police_pieces(p_token bytea, p_grant bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    who asker := asker_of(p_token, 'police');
    returned integer;
BEGIN
    PERFORM check_window(check_grant(who.account_id, p_grant), p_from, p_to);
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, p_from, p_to);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM note_found(p_grant, ARRAY[p_vehicle]);
    PERFORM write_audit(who.account_id, p_grant, 'track', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to), least(returned, 1));
END $$;

CREATE FUNCTION api_police_vehicles(p_token bytea, p_grant bigint, p_text text) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;
