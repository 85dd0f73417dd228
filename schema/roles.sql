-- What no migration can make: roles, PostGIS, and what PostgreSQL opens to everybody. A superuser runs it in the deployment's
-- database; it may be run again at any time. `rideguard up` runs it at each start, and so does `rideguard migrate` where
-- database.superuser_password_file is set. On a server of one's own: psql -1 -f schema/roles.sql (docs/deploy.md).
SELECT pg_advisory_xact_lock(7241000);
SET LOCAL client_min_messages = warning;

-- Nobody logs in as these. rideguard_owner has the schema; each *_rights has what one process needs (0041_roles.sql);
-- rideguard_geometry may call PostGIS.
DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY '{rideguard_owner,rideguard_geometry,rideguard_api_rights,rideguard_ingest_rights,rideguard_notify_rights,rideguard_rollup_rights,rideguard_seal_rights,rideguard_door_rights}'::text[] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN EXECUTE format('CREATE ROLE %I NOLOGIN', role); END IF;
    END LOOP;
END $$;
ALTER ROLE rideguard_owner NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB;
GRANT rideguard_geometry TO rideguard_owner, rideguard_ingest_rights, rideguard_notify_rights, rideguard_rollup_rights;

-- Everything of the schema public is the owner's, but for what extensions brought.
CREATE EXTENSION IF NOT EXISTS postgis;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
ALTER SCHEMA public OWNER TO rideguard_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO rideguard_geometry, rideguard_api_rights, rideguard_seal_rights, rideguard_door_rights;
DO $$
DECLARE change text;
BEGIN
    FOR change IN
        SELECT format('ALTER %s %s OWNER TO rideguard_owner', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
            WHEN 'S' THEN 'SEQUENCE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, c.oid::regclass)
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'c')
            AND c.relowner <> 'rideguard_owner'::regrole
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i')))
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO rideguard_owner', p.oid::regprocedure)
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proowner <> 'rideguard_owner'::regrole
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO rideguard_owner', t.oid::regtype)
        FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace AND t.typowner <> 'rideguard_owner'::regrole AND t.typtype IN ('d', 'e')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
    LOOP
        EXECUTE change;
    END LOOP;
END $$;

-- PostGIS is for who has rideguard_geometry; the API calls it through functions of the owner's.
DO $$
DECLARE thing text;
BEGIN
    FOR thing IN
        SELECT 'ROUTINE ' || p.oid::regprocedure FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        WHERE p.pronamespace = 'public'::regnamespace
            AND (p.proacl IS NULL OR NOT has_function_privilege('rideguard_geometry', p.oid, 'EXECUTE')
                OR NOT has_function_privilege('rideguard_owner', p.oid, 'EXECUTE WITH GRANT OPTION'))
    LOOP
        -- With the right to grant it: an early migration revokes it again, which would be a warning a function otherwise.
        EXECUTE format('REVOKE EXECUTE ON %s FROM PUBLIC; GRANT EXECUTE ON %1$s TO rideguard_geometry; GRANT EXECUTE ON %1$s TO rideguard_owner WITH GRANT OPTION', thing);
    END LOOP;
    FOR thing IN
        SELECT c.oid::regclass FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM PUBLIC; GRANT SELECT ON %1$s TO rideguard_geometry', thing);
    END LOOP;
END $$;

-- Advisory locks, large objects and temporary tables are open to everybody by default: a role of ours that was taken over could
-- hold our locks and fill the disk.
DO $$
DECLARE f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS called, p.proname ~ 'advisory' AS is_lock FROM pg_proc p
             WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^(pg_(try_)?advisory_|lo_|loread$|lowrite$)'
                AND p.prorettype <> 'trigger'::regtype
                AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0)
                    OR p.proname ~ 'advisory' AND NOT has_function_privilege('rideguard_owner', p.oid, 'EXECUTE'))
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f.called);
        IF f.is_lock THEN EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO rideguard_owner', f.called); END IF;
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO rideguard_owner', current_database());
    -- The private cluster of `rideguard up` is ours alone: there is no other database to do the same in.
    IF current_database() = 'postgres' THEN REVOKE CONNECT, TEMPORARY ON DATABASE template1 FROM PUBLIC; END IF;
END $$;
GRANT EXECUTE ON FUNCTION pg_try_advisory_lock(bigint), pg_advisory_unlock(bigint), pg_advisory_xact_lock(integer, integer) TO rideguard_rollup_rights;
