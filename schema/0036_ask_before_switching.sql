-- Arming and disarming end the incident that is open. One that its owner has confirmed as a theft ends so only if that is meant.
CREATE FUNCTION api_switch(p_account bigint, p_vehicle bigint, p_armed boolean, p_withdraw boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT p_withdraw AND owns(p_account, p_vehicle)
        AND EXISTS (SELECT FROM incident WHERE vehicle_id = p_vehicle AND closed_at IS NULL AND answer = 'stolen') THEN
        PERFORM refuse('P0409', 'confirm_withdrawal', 'the incident is answered "stolen"; taking that back needs "withdraw": true');
    END IF;
    RETURN api_arm(p_account, p_vehicle, p_armed);
END $$;
