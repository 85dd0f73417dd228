-- Legal holds through the API: police within a grant see and release those of its case, administrators all.

CREATE FUNCTION hold_as_json(p_hold bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', h.hold_id::text, 'case_number', h.case_number, 'vehicle_id', h.vehicle_id::text, 'plate', v.plate,
        'from', h.from_at, 'to', h.to_at, 'reason', h.reason, 'placed_by', p.login, 'placed_at', h.placed_at, 'ends_at', h.ends_at,
        'in_force', h.released_at IS NULL AND h.ends_at > now(), 'released_by', r.login, 'released_at', h.released_at,
        'release_reason', h.release_reason)
    FROM legal_hold h JOIN vehicle v USING (vehicle_id) JOIN account p ON p.account_id = h.placed_by
        LEFT JOIN account r ON r.account_id = h.released_by
    WHERE h.hold_id = p_hold
$$;

-- The case whose holds somebody may see; NULL: every case.
CREATE FUNCTION holds_seen(p_account bigint, p_grant bigint) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM account WHERE account_id = p_account AND role = 'admin' AND NOT disabled) THEN RETURN NULL; END IF;
    RETURN (check_grant(p_account, p_grant)).case_number;
END $$;

CREATE FUNCTION api_holds(p_account bigint, p_grant bigint, p_before bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    the_case text := holds_seen(p_account, p_grant);
    returned integer;
BEGIN
    RETURN QUERY SELECT hold_as_json(h.hold_id) FROM legal_hold h
        WHERE (the_case IS NULL OR h.case_number = the_case) AND (p_before IS NULL OR h.hold_id < p_before)
        ORDER BY h.hold_id DESC LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'holds', jsonb_build_object('case', the_case), returned);
END $$;

CREATE FUNCTION api_place_hold(p_account bigint, p_grant bigint, p_case text, p_plate text, p_from timestamptz, p_to timestamptz,
    p_ends timestamptz, p_reason text) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE id bigint := place_hold(p_account, p_grant, p_case, p_plate, p_from, p_to, p_ends, p_reason);
BEGIN
    RETURN hold_as_json(id);    -- a statement of its own: it sees what the one before has written
END $$;

-- A hold of another case is as if it were not there.
CREATE FUNCTION api_release_hold(p_account bigint, p_grant bigint, p_hold bigint, p_reason text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE the_case text := holds_seen(p_account, p_grant);
BEGIN
    IF NOT EXISTS (SELECT FROM legal_hold WHERE hold_id = p_hold AND (the_case IS NULL OR case_number = the_case)) THEN
        RAISE EXCEPTION 'there is no hold %', p_hold USING ERRCODE = 'P0404';
    END IF;
    PERFORM release_hold(p_account, p_grant, p_hold, p_reason);
    RETURN hold_as_json(p_hold);
END $$;
