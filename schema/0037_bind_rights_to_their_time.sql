-- A right is checked while it lasts, not only when a thing opens; what is refused leaves a row; a look that leaves
-- no row does not happen.

-- A row without an account is of a command on the server itself.
ALTER TABLE audit ALTER COLUMN account_id DROP NOT NULL;

-- Whoever holds the schema owner's password could still drop the trigger; no program of ours holds a reason to.
CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse('P0403', 'refused', 'rows of audit are only added');
    RETURN NULL;
END $$;
CREATE TRIGGER audit_is_only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();

-- The right to a stream: no row when its session or account has ended; whether the police still have their grant;
-- what the account owns, and since when.
CREATE FUNCTION api_live_right(p_session bytea, p_grant bigint) RETURNS TABLE (goes_on boolean, owned bigint[], owned_since timestamptz[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.role <> 'police' OR EXISTS (SELECT FROM access_grant g
               WHERE g.grant_id = p_grant AND g.account_id = p.account_id AND now() BETWEEN g.valid_from AND g.valid_to),
           ARRAY(SELECT w.vehicle_id FROM ownership w WHERE w.account_id = p.account_id AND w.valid_to IS NULL ORDER BY 1),
           ARRAY(SELECT w.valid_from FROM ownership w WHERE w.account_id = p.account_id AND w.valid_to IS NULL ORDER BY w.vehicle_id)
    FROM session s JOIN account p USING (account_id)
    WHERE s.token_sha256 = p_session AND s.expires_at > now() AND NOT p.disabled
$$;

CREATE OR REPLACE FUNCTION api_audit_live(p_account bigint, p_grant bigint, p_view jsonb, p_rows integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- The last row of a stream counts what was told while its grant was in force.
    IF p_grant IS NOT NULL AND p_view ->> 'why' IS DISTINCT FROM 'end' THEN PERFORM check_grant(p_account, p_grant); END IF;
    PERFORM write_audit(p_account, p_grant, 'live', p_view, p_rows);
END $$;

-- A look or a change that was refused, and log-ins: rows of their own, whatever became of the transaction asked in.
CREATE FUNCTION api_audit_event(p_account bigint, p_event text, p_question jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF p_event NOT IN ('refused', 'log_in', 'log_in_failed', 'log_out') THEN
        PERFORM refuse('P0400', 'refused', format('no event is called %s', p_event));
    END IF;
    PERFORM write_audit(p_account, NULL, p_event, p_question, NULL);
END $$;

-- The rule of three holds for each cell and hour before anything is summed, so that no difference of two answers
-- shows an hour of fewer. Fixes are rounded to tens in each cell and hour.
CREATE OR REPLACE FUNCTION history_tile(p_z integer, p_x integer, p_y integer, p_from timestamptz, p_to timestamptz) RETURNS bytea
LANGUAGE sql STABLE AS $$
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
$$;

-- A grant stands in the rows of its officer only.
CREATE OR REPLACE FUNCTION api_history_tile(p_account bigint, p_role text, p_grant bigint, p_z integer, p_x integer, p_y integer, p_from timestamptz, p_to timestamptz)
RETURNS bytea LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF p_role = 'police' THEN
        PERFORM check_window(check_grant(p_account, p_grant), p_from, p_to);
    ELSE
        p_grant := NULL;
    END IF;
    PERFORM write_audit(p_account, p_grant, 'history', jsonb_build_object('tile', jsonb_build_array(p_z, p_x, p_y), 'from', p_from, 'to', p_to), NULL);
    RETURN history_tile(p_z, p_x, p_y, p_from, p_to);
END $$;

-- A grant's hours bind the track of one vehicle, too.
CREATE OR REPLACE FUNCTION api_police_pieces(p_account bigint, p_grant bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE returned integer;
BEGIN
    PERFORM check_window(check_grant(p_account, p_grant), p_from, p_to);
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, p_from, p_to);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'track', jsonb_build_object('vehicle', p_vehicle, 'from', p_from, 'to', p_to), returned);
END $$;
