//! The schema as all migrations leave it stands in one file, for people to read.

use crate::harness::{Database, use_ring};
use std::fs;
use std::path::Path;

/// Each object as one text, in the order of their kinds and names. Objects of extensions and partitions are left out.
const OBJECTS: &str = "WITH ours AS (
    SELECT c.oid, c.relname, c.relkind FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
SELECT text FROM (
    SELECT 1 AS kind, relname::text AS name, 'CREATE TABLE ' || relname || E' (\n' || (
        SELECT string_agg('    ' || line, E',\n' ORDER BY part, place, line) FROM (
            SELECT 1 AS part, a.attnum AS place, a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                || CASE WHEN a.attidentity <> '' THEN ' GENERATED ' || CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END || ' AS IDENTITY' ELSE '' END
                || CASE WHEN a.attgenerated <> '' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') STORED' ELSE coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') END
                || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END AS line
            FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL
            SELECT 2, 0, pg_get_constraintdef(c.oid) FROM pg_constraint c WHERE c.conrelid = o.oid AND c.contype IN ('p', 'u', 'f', 'c', 'x')) AS lines
        ) || E'\n)' || coalesce(' PARTITION BY ' || (SELECT pg_get_partkeydef(o.oid)), '') || ';' AS text
    FROM ours o WHERE relkind IN ('r', 'p')
    UNION ALL
    SELECT 2, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) || ';' FROM pg_index i JOIN ours o ON o.oid = i.indrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 3, relname::text, 'CREATE VIEW ' || relname || E' AS\n' || pg_get_viewdef(oid) FROM ours WHERE relkind = 'v'
    UNION ALL
    SELECT 4, p.oid::regprocedure::text, rtrim(pg_get_functiondef(p.oid), E'\n') || ';' FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 5, o.relname || t.tgname, pg_get_triggerdef(t.oid) || ';' FROM pg_trigger t JOIN ours o ON o.oid = t.tgrelid WHERE NOT t.tgisinternal
) AS objects ORDER BY kind, name COLLATE \"C\"";

/// PostgreSQL whose own words the file holds; others write the same expressions otherwise.
const MAJOR: i32 = 15;

/// The beginning of each object: its kind and name.
fn names(schema: &str) -> Vec<&str> {
    let objects = schema.split("\n\n").filter(|part| part.starts_with("CREATE "));
    objects.filter_map(|part| part.lines().next()?.split(" USING ").next()).collect()
}

#[tokio::test]
async fn the_schema_of_now_stands_in_one_file() {
    use_ring();
    let database = Database::start().await;
    let client = database.connect().await;
    let rows = client.query(OBJECTS, &[]).await.unwrap();
    let major: i32 =
        client.query_one("SELECT current_setting('server_version_num')::int / 10000", &[]).await.unwrap().get(0);
    let objects: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(objects.len() > 150, "{} objects", objects.len());
    let head = format!(
        "-- The schema as all numbered files leave it: tables, indexes, views, functions, triggers, in the words of
-- PostgreSQL {MAJOR}. Made by the test `the_schema_of_now_stands_in_one_file` with RIDEGUARD_UPDATE_SCHEMA=1; not applied
-- by anything.\n"
    );
    let now = format!("{head}\n{}\n", objects.join("\n\n"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/current.sql");
    if std::env::var_os("RIDEGUARD_UPDATE_SCHEMA").is_some() && major == MAJOR {
        fs::write(&file, &now).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap();
    if major != MAJOR {
        println!("PostgreSQL {major}: names are compared, not the text of expressions, which is that of {MAJOR}");
        assert_eq!(names(&now), names(&written), "schema/current.sql is not the schema of now");
        return;
    }
    let differs = written.lines().zip(now.lines()).enumerate().find(|(_, (a, b))| a != b);
    assert!(written == now, "schema/current.sql is not the schema of now, from line {differs:?} on");
}
