//! Settings on their way from people to the journal.

use crate::domain::{Lane, Setting, Timestamp, VehicleId};
use crate::engine::Switched;
use anyhow::Context;
use tokio_postgres::GenericClient;

/// Most settings taken into one batch; a city's registration of a million trackers goes in slices.
pub const SETTINGS_BATCH_MAX: i64 = 2000;

/// A setting as read.
pub struct Waiting {
    /// Its number.
    pub id: i64,
    /// When it was made.
    pub at: Timestamp,
    /// What.
    pub setting: Setting,
}

/// The settings of a lane (and of every lane) after number `after`, in order.
///
/// # Errors
/// The database's own word, or a setting this program cannot read, named.
pub async fn after(client: &impl GenericClient, lane: Lane, after: i64) -> anyhow::Result<Vec<Waiting>> {
    let rows = client
        .query(
            "SELECT setting_id, made_at, content FROM setting WHERE (lane = $1 OR lane IS NULL) AND setting_id > $2
             ORDER BY setting_id LIMIT $3",
            &[&(lane.0 as i16), &after, &SETTINGS_BATCH_MAX],
        )
        .await?;
    rows.into_iter()
        .map(|row| {
            let id: i64 = row.get(0);
            let setting = serde_json::from_value(row.get(2)).with_context(|| format!("setting {id} cannot be read"))?;
            Ok(Waiting { id, at: row.get(1), setting })
        })
        .collect()
}

/// What settings after number `after` say of vehicles' positioning: the last word on each.
///
/// # Errors
/// The database's own word.
pub async fn switched_after(client: &impl GenericClient, lane: Lane, after: i64) -> anyhow::Result<Switched> {
    let rows = client
        .query(
            "SELECT DISTINCT ON (1) (content ->> 'vehicle')::bigint, (content ->> 'off')::boolean FROM setting
             WHERE (lane = $1 OR lane IS NULL) AND setting_id > $2 AND content ->> 'kind' = 'positioning'
             ORDER BY 1, setting_id DESC",
            &[&(lane.0 as i16), &after],
        )
        .await?;
    Ok(rows.iter().map(|row| (VehicleId(row.get(0)), row.get(1))).collect())
}
