//! Migrations: numbered files in `schema/`, each applied once, in order, in its own transaction.

use crate::store::roles::OWNER;
use anyhow::bail;
use sha2::{Digest, Sha256};
use tokio_postgres::Client;

/// Every migration: name and text. Order is meaning; a line is only ever added.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_chain", include_str!("../../schema/0001_chain.sql")),
    ("0002_access", include_str!("../../schema/0002_access.sql")),
    ("0003_ingest", include_str!("../../schema/0003_ingest.sql")),
    ("0004_spool", include_str!("../../schema/0004_spool.sql")),
    ("0005_incidents", include_str!("../../schema/0005_incidents.sql")),
    ("0006_tracks", include_str!("../../schema/0006_tracks.sql")),
    ("0009_track_questions", include_str!("../../schema/0009_track_questions.sql")),
    ("0011_retention", include_str!("../../schema/0011_retention.sql")),
    ("0012_track_cells", include_str!("../../schema/0012_track_cells.sql")),
    ("0013_sealed_journal", include_str!("../../schema/0013_sealed_journal.sql")),
    ("0014_coverage_gaps", include_str!("../../schema/0014_coverage_gaps.sql")),
    ("0015_holds", include_str!("../../schema/0015_holds.sql")),
    ("0016_newest", include_str!("../../schema/0016_newest.sql")),
    ("0017_quiet_index", include_str!("../../schema/0017_quiet_index.sql")),
    ("0018_track_boxes", include_str!("../../schema/0018_track_boxes.sql")),
    ("0019_hot_places", include_str!("../../schema/0019_hot_places.sql")),
    ("0020_dwell_pace", include_str!("../../schema/0020_dwell_pace.sql")),
    ("0021_rides_without_attributes", include_str!("../../schema/0021_rides_without_attributes.sql")),
    ("0022_handed_over", include_str!("../../schema/0022_handed_over.sql")),
    ("0023_company_lately", include_str!("../../schema/0023_company_lately.sql")),
    ("0024_unvacuumed_days", include_str!("../../schema/0024_unvacuumed_days.sql")),
    ("0025_narrow_footprints", include_str!("../../schema/0025_narrow_footprints.sql")),
    ("0026_ordered_days", include_str!("../../schema/0026_ordered_days.sql")),
    ("0027_company_looks", include_str!("../../schema/0027_company_looks.sql")),
    ("0028_count_left_over", include_str!("../../schema/0028_count_left_over.sql")),
    ("0030_version_incidents", include_str!("../../schema/0030_version_incidents.sql")),
    ("0031_flatten_track_shape", include_str!("../../schema/0031_flatten_track_shape.sql")),
    ("0032_judge_contact", include_str!("../../schema/0032_judge_contact.sql")),
    ("0033_make_plates_canonical", include_str!("../../schema/0033_make_plates_canonical.sql")),
    ("0034_give_refusals_codes", include_str!("../../schema/0034_give_refusals_codes.sql")),
    ("0035_list_channels", include_str!("../../schema/0035_list_channels.sql")),
    ("0036_ask_before_switching", include_str!("../../schema/0036_ask_before_switching.sql")),
    ("0037_bind_rights_to_their_time", include_str!("../../schema/0037_bind_rights_to_their_time.sql")),
    ("0038_end_what_was_the_sellers", include_str!("../../schema/0038_end_what_was_the_sellers.sql")),
    ("0039_keep_places_out_of_logs", include_str!("../../schema/0039_keep_places_out_of_logs.sql")),
    ("0040_name_plates_with_a_reason", include_str!("../../schema/0040_name_plates_with_a_reason.sql")),
    ("0041_roles", include_str!("../../schema/0041_roles.sql")),
    ("0042_seal_audit", include_str!("../../schema/0042_seal_audit.sql")),
    ("0043_bind_grants_to_what_they_found", include_str!("../../schema/0043_bind_grants_to_what_they_found.sql")),
    ("0044_count_floods", include_str!("../../schema/0044_count_floods.sql")),
    ("0045_know_the_asker", include_str!("../../schema/0045_know_the_asker.sql")),
    ("0046_show_the_token", include_str!("../../schema/0046_show_the_token.sql")),
    ("0047_wall_organisations_in", include_str!("../../schema/0047_wall_organisations_in.sql")),
    ("0048_bring_people_in", include_str!("../../schema/0048_bring_people_in.sql")),
    ("0049_registry", include_str!("../../schema/0049_registry.sql")),
    ("0050_know_trackers_at_the_broker", include_str!("../../schema/0050_know_trackers_at_the_broker.sql")),
    ("0051_hand_over_and_share", include_str!("../../schema/0051_hand_over_and_share.sql")),
    ("0052_install_at_the_door", include_str!("../../schema/0052_install_at_the_door.sql")),
    ("0053_let_sockets_in", include_str!("../../schema/0053_let_sockets_in.sql")),
    ("0054_give_the_door_a_role", include_str!("../../schema/0054_give_the_door_a_role.sql")),
    ("0055_see_the_door", include_str!("../../schema/0055_see_the_door.sql")),
];

/// Closes what a migration has opened; ends every one of them.
const RIGHTS: &str = include_str!("../../schema/rights.sql");

/// Key of the advisory lock that lets one process at a time change the schema and its roles.
const MIGRATE_LOCK: i64 = 7_241_000;

/// Applies what is missing, as the owner of the schema; returns how many were applied.
///
/// # Errors
/// We are no member of the owner, a migration that was changed after it was applied, or the database's own word.
pub async fn migrate(client: &mut Client) -> anyhow::Result<usize> {
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATE_LOCK]).await?;
    client.batch_execute(&format!("SET ROLE {OWNER}")).await?;
    let applied = apply_missing(client).await;
    client.batch_execute("RESET ROLE").await?;
    client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATE_LOCK]).await?;
    applied
}

async fn apply_missing(client: &mut Client) -> anyhow::Result<usize> {
    client
        .batch_execute(
            "SET client_min_messages = error;
             CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, sha256 text NOT NULL,
             applied_at timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    let mut count = 0;
    for (name, text) in MIGRATIONS {
        let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
        if let Some(row) = client.query_opt("SELECT sha256 FROM migration WHERE name = $1", &[name]).await? {
            if row.get::<_, String>(0) != sha256 {
                bail!(
                    "migration {name} was changed after it was applied to this database; migrations are only ever added"
                );
            }
            continue;
        }
        let transaction = client.transaction().await?;
        transaction.batch_execute(text).await?;
        transaction.batch_execute(RIGHTS).await?;
        transaction.execute("INSERT INTO migration (name, sha256) VALUES ($1, $2)", &[name, &sha256]).await?;
        transaction.commit().await?;
        count += 1;
    }
    Ok(count)
}

/// How many migrations of this program the database lacks.
///
/// # Errors
/// The database's own word.
pub async fn count_missing(client: &Client) -> anyhow::Result<usize> {
    // A role of ours may read it only when the schema knows the role.
    let sql = "SELECT CASE WHEN to_regclass('public.migration') IS NULL THEN false ELSE has_table_privilege('public.migration', 'SELECT') END";
    if !client.query_one(sql, &[]).await?.get::<_, bool>(0) {
        return Ok(MIGRATIONS.len());
    }
    let names: Vec<&str> = MIGRATIONS.iter().map(|(name, _)| *name).collect();
    let sql = "SELECT count(*) FROM migration WHERE name = ANY ($1)";
    let there: i64 = client.query_one(sql, &[&names]).await?.get(0);
    Ok(MIGRATIONS.len().saturating_sub(usize::try_from(there)?))
}
