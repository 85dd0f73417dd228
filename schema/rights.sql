-- What a migration adds is closed to everybody but its owner (PostgreSQL opens functions to all), and
-- the functions api_* are open to the API. Runs at the end of every migration, in its transaction.
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS called, p.proname LIKE 'api\_%' AS is_for_api
             FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proacl IS NULL LOOP
        EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', f.called);
        IF f.is_for_api THEN
            EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO rideguard_api_rights', f.called);
        END IF;
    END LOOP;
END $$;
