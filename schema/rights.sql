-- What a migration adds is closed to everybody but its owner (PostgreSQL opens functions to all) and to whom the migration grants
-- it, and the functions api_* are open to the API. Runs at the end of every migration, in its transaction.
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS called, p.proname LIKE 'api\_%' AS is_for_api
             FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
                AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0))
                AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') LOOP
        EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', f.called);
        IF f.is_for_api THEN
            EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO rideguard_api_rights', f.called);
        END IF;
    END LOOP;
END $$;
