-- Whether we are in contact with a tracker is judged by its own interval, not by a fixed quarter of an hour; and a vehicle
-- that is armed says whether anybody watches over it.

ALTER TABLE tracker_status ADD COLUMN report_interval_s integer CHECK (report_interval_s > 0);

-- `online`, `late` (one report is missing), `silent` (three are) or `never`. An interval that is not known yet counts as five
-- minutes. docs/operations.md has the table.
CREATE FUNCTION contact_of(p_last_heard_at timestamptz, p_report_interval_s integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN p_last_heard_at IS NULL THEN 'never'
        WHEN now() - p_last_heard_at <= make_interval(secs => greatest(60, 1.5 * coalesce(p_report_interval_s, 300) + 30)) THEN 'online'
        WHEN now() - p_last_heard_at <= make_interval(secs => greatest(300, 3.0 * coalesce(p_report_interval_s, 300) + 30)) THEN 'late'
        ELSE 'silent' END
$$;

CREATE OR REPLACE VIEW tracker_health AS
    SELECT t.tracker_id, t.ident, t.profile ->> 'protocol' AS protocol, v.plate, o.name AS organisation, s.last_heard_at,
        contact_of(s.last_heard_at, s.report_interval_s) AS state,
        s.battery_percent, s.signal_percent, s.satellites, s.firmware, s.report_interval_s
    FROM tracker t LEFT JOIN tracker_status s USING (tracker_id)
    LEFT JOIN installation n ON n.tracker_id = t.tracker_id AND n.valid_to IS NULL LEFT JOIN vehicle v ON v.vehicle_id = n.vehicle_id
    LEFT JOIN unit u ON u.unit_id = t.unit_id LEFT JOIN organisation o USING (organisation_id);

CREATE OR REPLACE FUNCTION api_tracker_counts() RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object('online', count(*) FILTER (WHERE state = 'online'), 'late', count(*) FILTER (WHERE state = 'late'),
        'silent', count(*) FILTER (WHERE state = 'silent'), 'never', count(*) FILTER (WHERE state = 'never')) FROM tracker_health
$$;

CREATE OR REPLACE FUNCTION api_trackers(p_state text, p_text text, p_after bigint, p_limit integer) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object('id', h.tracker_id::text, 'ident', h.ident, 'protocol', h.protocol, 'plate', h.plate, 'organisation', h.organisation,
        'state', h.state, 'last_heard_at', h.last_heard_at, 'report_interval_s', h.report_interval_s,
        'battery_percent', h.battery_percent, 'signal_percent', h.signal_percent, 'satellites', h.satellites, 'firmware', h.firmware,
        'quarantined_packets', (SELECT count(*) FROM quarantine q WHERE q.tracker_id = h.tracker_id),
        'last_error', (SELECT q.detail FROM quarantine q WHERE q.tracker_id = h.tracker_id ORDER BY q.received_at DESC LIMIT 1))
    FROM tracker_health h
    WHERE h.tracker_id > p_after AND (p_state = 'all' OR h.state = p_state)
      AND (p_text = '' OR strpos(lower(h.ident), lower(p_text)) > 0 OR strpos(lower(coalesce(h.plate, '')), lower(p_text)) > 0)
    ORDER BY h.tracker_id LIMIT p_limit
$$;

-- A vehicle as before, with how its tracker is reached and whether anybody watches: `off`, `protected`, or `no_contact` (armed, but its
-- tracker is silent or never spoke).
CREATE OR REPLACE FUNCTION vehicle_as_json(p_vehicle bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
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
END $$;
