-- What operators see of the door: its listeners, and how each tracker is or was connected last. Processes that run a door write it
-- now and then; whoever is silent is not there.

-- A process that runs a door.
CREATE TABLE door_worker (
    worker       text PRIMARY KEY CHECK (length(worker) BETWEEN 1 AND 64),
    began_at     timestamptz NOT NULL,
    beat_at      timestamptz NOT NULL,
    -- It said that it stops, or others saw that it was silent.
    ended_at     timestamptz,
    -- Whether it has read whom it lets in: before, it lets nobody in.
    is_list_read boolean NOT NULL
);

-- Its listeners, in the order of the settings. What ended is counted since the process began: connections by why they ended,
-- datagrams by what became of them.
CREATE TABLE door_listener (
    worker    text NOT NULL REFERENCES door_worker ON DELETE CASCADE,
    listener  smallint NOT NULL,
    language  text NOT NULL,
    address   text NOT NULL,
    is_udp    boolean NOT NULL,
    is_tls    boolean NOT NULL,
    connected integer NOT NULL,
    strangers integer NOT NULL,
    ended     jsonb NOT NULL,
    PRIMARY KEY (worker, listener)
);

-- A tracker's connection to the door, or its last one. The network is coarse: /24 of IPv4 and /48 of IPv6 say which mobile network it
-- is, and not which device.
CREATE TABLE tracker_connection (
    tracker_id bigint PRIMARY KEY,
    began_at   timestamptz NOT NULL,
    ended_at   timestamptz,
    reason     text,
    language   text NOT NULL,
    is_udp     boolean NOT NULL,
    is_tls     boolean NOT NULL,
    mqtt       text CHECK (mqtt IN ('3.1.1', '5')),
    network    cidr NOT NULL CHECK (masklen(network) <= CASE family(network) WHEN 4 THEN 24 ELSE 48 END),
    worker     text NOT NULL,
    listener   smallint NOT NULL,
    CHECK ((ended_at IS NULL) = (reason IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX tracker_connection_open ON tracker_connection (worker) WHERE ended_at IS NULL;

-- Processes that have been silent for a minute ended when they were last heard, and so did their connections, so many rows at a time: a
-- city's would hold up whoever writes them. Of processes that are gone, four are kept for a day. Also of the nightly work, for whoever
-- runs no door any more.
CREATE FUNCTION door_end_silent(p_rows integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- Notes of a process that it is there, with its listeners as [language, address, is_udp, is_tls, connected, strangers, ended]. Says
-- whether it was not known, or was taken for gone: then it tells every connection again.
CREATE FUNCTION door_beat(p_worker text, p_began_at timestamptz, p_is_list_read boolean, p_listeners jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- A process stops: whoever was connected to it is not any more.
CREATE FUNCTION door_leave(p_worker text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE door_worker SET ended_at = now() WHERE worker = p_worker;
    WITH open AS (SELECT tracker_id FROM tracker_connection WHERE worker = p_worker AND ended_at IS NULL ORDER BY tracker_id FOR UPDATE SKIP LOCKED)
    UPDATE tracker_connection c SET ended_at = greatest(now(), c.began_at), reason = 'stopped' FROM open WHERE c.tracker_id = open.tracker_id;
END $$;

-- Notes connections as they are now, or how they ended. One that is there goes before one that ended, and a later one before an
-- earlier. What lies in a time of somebody who was erased is not kept, and begins behind it.
CREATE FUNCTION door_note(p_worker text, p_idents text[], p_began_at timestamptz[], p_ended_at timestamptz[], p_reasons text[],
    p_listeners smallint[], p_mqtt text[], p_networks text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
$$;
REVOKE ALL ON FUNCTION door_end_silent(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION door_end_silent(integer) TO rideguard_rollup_rights;
REVOKE ALL ON FUNCTION door_beat(text, timestamptz, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION door_beat(text, timestamptz, boolean, jsonb) TO rideguard_ingest_rights, rideguard_door_rights;
REVOKE ALL ON FUNCTION door_leave(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION door_leave(text) TO rideguard_ingest_rights, rideguard_door_rights;
REVOKE ALL ON FUNCTION door_note(text, text[], timestamptz[], timestamptz[], text[], smallint[], text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION door_note(text, text[], timestamptz[], timestamptz[], text[], smallint[], text[], text[]) TO rideguard_ingest_rights, rideguard_door_rights;
GRANT SELECT, DELETE ON tracker_connection TO rideguard_rollup_rights;

-- When a process that runs a door was there last, if it is not there now: it says so every two seconds.
CREATE FUNCTION door_gone_at(w door_worker) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce(w.ended_at, CASE WHEN w.beat_at < now() - interval '15 seconds' THEN w.beat_at END)
$$;

-- How a tracker is connected, or was; `p_with_network` where whoever asks leaves a row of audit.
CREATE FUNCTION connection_as_json(p_tracker bigint, p_with_network boolean) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('began_at', c.began_at, 'ended_at', e.ended_at, 'reason', CASE WHEN e.ended_at IS NOT NULL THEN coalesce(c.reason, 'lost') END,
        'language', c.language, 'transport', CASE WHEN c.is_udp THEN 'udp' ELSE 'tcp' END, 'is_tls', c.is_tls, 'mqtt_version', c.mqtt)
        || CASE WHEN p_with_network THEN jsonb_build_object('network', c.network::text) ELSE '{}' END
    FROM tracker_connection c LEFT JOIN door_worker w USING (worker),
        LATERAL (SELECT CASE WHEN w.worker IS NULL THEN c.began_at ELSE door_gone_at(w) END) g (gone_at),
        -- The greatest of a time and nothing is that time.
        LATERAL (SELECT coalesce(c.ended_at, CASE WHEN g.gone_at IS NOT NULL THEN greatest(c.began_at, g.gone_at) END)) e (ended_at)
    WHERE c.tracker_id = p_tracker
$$;

-- The doors and their listeners. Who sees every tracker sees every number; others how many of their own trackers are connected.
CREATE FUNCTION api_listeners(p_token bytea) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- As before; and how each is connected to the door, or was.
CREATE OR REPLACE FUNCTION api_trackers(p_token bytea, p_state text, p_text text, p_after bigint, p_limit integer, p_reason text) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- How a tracker comes, as its profile says.
CREATE FUNCTION transport_of(p_profile jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(p_profile ->> 'transport', 'mqtt') $$;

-- As before; and how a tracker comes, and how it is connected.
CREATE OR REPLACE FUNCTION registry_record(who asker, p_kind text, p_id bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
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
END $$;

-- As before; and how a tracker comes.
CREATE OR REPLACE FUNCTION api_registry_trackers(p_token bytea, p_text text, p_after bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- A profile with other facts. `mqtt` is what a profile says by saying nothing.
CREATE FUNCTION profile_with(p_profile jsonb, p_change jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN n.profile ->> 'transport' = 'mqtt' THEN n.profile - 'transport' ELSE n.profile END
    FROM (SELECT p_profile || coalesce(p_change, '{}')) n (profile)
$$;

-- As before; and how it comes.
CREATE OR REPLACE FUNCTION api_registry_put(p_token bytea, p_kind text, p_id bigint, p_version integer, p_fields jsonb, p_reason text, p_key text, p_asked bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;

-- As before; and how trackers come.
CREATE OR REPLACE FUNCTION import_enter(j import_job, p_found import_found[]) RETURNS import_found[] LANGUAGE plpgsql AS $$
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
END $$;

CREATE OR REPLACE FUNCTION import_change(p_found import_found[]) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
END $$;

CREATE OR REPLACE FUNCTION import_lines(j import_job, p_after integer, p_to integer) RETURNS import_found[] LANGUAGE plpgsql AS $$
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
END $$;

CREATE OR REPLACE FUNCTION registry_export(p_who asker, p_kind text, p_after bigint, p_limit integer) RETURNS TABLE (id bigint, cells text[]) LANGUAGE plpgsql STABLE AS $$
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
END $$;
