//! The schema is laid out as docs/scale.md says.

use crate::harness::Database;
use std::collections::BTreeSet;

/// The tables of a row of the document.
fn listed(document: &str, row: &str) -> BTreeSet<String> {
    let line = document.lines().find(|l| l.starts_with(&format!("| {row}"))).unwrap();
    let tables = line.split('|').nth(2).unwrap();
    tables.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_schema_can_be_sharded_as_the_document_says() {
    let document = include_str!("../../docs/scale.md");
    let by_tracker = listed(document, "distributed by `tracker_id`");
    let by_lane = listed(document, "distributed by `lane`");
    let reference = listed(document, "reference");
    assert!(by_tracker.len() >= 5 && by_lane.len() >= 4 && reference.len() >= 8);
    let database = Database::start().await;
    let client = database.connect().await;
    let tables = client
        .query(
            "SELECT c.relname, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tracker_id')
             FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
            &[],
        )
        .await
        .unwrap();
    let mut known = BTreeSet::new();
    for row in &tables {
        let (table, of_a_tracker): (String, bool) = (row.get(0), row.get(1));
        // Packets that were set aside are few, and told apart by their place in the journal.
        if of_a_tracker && table != "quarantine" {
            assert!(
                by_tracker.contains(&table) || reference.contains(&table),
                "{table} is of trackers: docs/scale.md must say where it goes"
            );
        }
        known.insert(table);
    }
    for (tables, column) in [(&by_tracker, "tracker_id"), (&by_lane, "lane")] {
        for table in tables {
            assert!(known.contains(table), "docs/scale.md names {table}, which does not exist");
            let keys = client
                .query(
                    "SELECT x.indexrelid::regclass::text, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = x.indrelid
                        AND a.attnum = ANY (x.indkey) AND a.attname = $2)
                     FROM pg_index x WHERE x.indrelid = $1::text::regclass AND (x.indisunique OR x.indisexclusion)",
                    &[table, &column],
                )
                .await
                .unwrap();
            for key in keys {
                assert!(key.get::<_, bool>(1), "{} of {table} lacks {column}", key.get::<_, String>(0));
            }
            let nullable =
                "SELECT NOT attnotnull FROM pg_attribute WHERE attrelid = $1::text::regclass AND attname = $2";
            assert!(
                !client.query_one(nullable, &[table, &column]).await.unwrap().get::<_, bool>(0),
                "{table}.{column}"
            );
        }
    }
    let foreign = client
        .query("SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'", &[])
        .await
        .unwrap();
    let is_sharded = |table: &String| by_tracker.contains(table) || by_lane.contains(table);
    for row in foreign {
        let (from, to): (String, String) = (row.get(0), row.get(1));
        assert!(!is_sharded(&to), "{from} refers to {to}, whose rows are on many servers");
        assert!(!is_sharded(&from) || reference.contains(&to), "{from} refers to {to}, which is not on every server");
        assert!(!reference.contains(&from) || reference.contains(&to), "{from} is on every server, {to} is not");
    }
}
