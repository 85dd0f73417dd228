-- A vehicle changes hands: what was the seller's ends with the ownership, however that was ended.

CREATE FUNCTION ownership_ended() RETURNS trigger LANGUAGE plpgsql AS $$
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
END $$;
CREATE TRIGGER ownership_ended AFTER UPDATE OF valid_to ON ownership FOR EACH ROW
    WHEN (OLD.valid_to IS NULL AND NEW.valid_to IS NOT NULL) EXECUTE FUNCTION ownership_ended();

-- Gives a vehicle to another owner.
CREATE FUNCTION transfer_vehicle(p_vehicle bigint, p_to bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE at timestamptz := clock_timestamp();
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    UPDATE ownership SET valid_to = greatest(at, valid_from + interval '1 microsecond')
        WHERE vehicle_id = p_vehicle AND valid_to IS NULL AND account_id <> p_to RETURNING valid_to INTO at;
    IF NOT FOUND THEN PERFORM refuse('P0409', 'refused', format('vehicle %s has no other owner than this one', p_vehicle)); END IF;
    INSERT INTO ownership (vehicle_id, account_id, valid_from) VALUES (p_vehicle, p_to, at);
END $$;

-- A vehicle as its owner sees it: nothing from before it was theirs.
CREATE FUNCTION owned_vehicle_as_json(p_vehicle bigint, p_since timestamptz) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT v || CASE WHEN (v -> 'last_fix' ->> 'fixed_at')::timestamptz < p_since THEN '{"last_fix": null}' ELSE '{}' END::jsonb
             || CASE WHEN i.incident_id IS NOT NULL THEN '{"open_incident": null, "open_incident_answer": null}' ELSE '{}' END::jsonb
    FROM vehicle_as_json(p_vehicle) v
    LEFT JOIN incident i ON i.incident_id = (v ->> 'open_incident')::bigint AND i.opened_at < p_since
$$;

CREATE OR REPLACE FUNCTION api_my_vehicle(p_account bigint, p_vehicle bigint) RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT owned_vehicle_as_json(w.vehicle_id, w.valid_from) FROM ownership w
    WHERE w.account_id = p_account AND w.vehicle_id = p_vehicle AND w.valid_to IS NULL
$$;

CREATE OR REPLACE FUNCTION api_my_vehicles(p_account bigint) RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT owned_vehicle_as_json(w.vehicle_id, w.valid_from) FROM ownership w JOIN vehicle v USING (vehicle_id)
    WHERE w.account_id = p_account AND w.valid_to IS NULL ORDER BY v.plate
$$;

-- Each change of a zone leaves a row; its shape is in the zone, not there.
CREATE FUNCTION zone_audited() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE z zone := coalesce(NEW, OLD);
BEGIN
    PERFORM write_audit(z.account_id, NULL, 'zone', jsonb_build_object('zone', z.zone_id, 'change', lower(TG_OP), 'rule', z.rule, 'vehicle', z.vehicle_id), NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER zone_audited AFTER INSERT OR DELETE OR UPDATE ON zone FOR EACH ROW EXECUTE FUNCTION zone_audited();
