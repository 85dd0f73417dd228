//! Recorded tracks in bulk: trackers in vehicles, and their fixes into the hot table.

use crate::domain::{Profile, Timestamp, TrackerKey, VehicleId};
use crate::engine::FixRow;
use crate::store::commit::{fixes, statements};
use tokio_postgres::{Client, Error, Statement};

/// Registers trackers `sim1`, `sim2`, … in vehicles of their own, where they are not yet; their
/// numbers in that order.
///
/// # Errors
/// The database's own word.
pub async fn register(client: &Client, count: u32) -> Result<Vec<(TrackerKey, VehicleId)>, Error> {
    let profile = serde_json::to_value(Profile::of("json")).unwrap_or_default();
    let count = i64::from(count);
    client
        .execute(
            "INSERT INTO vehicle (plate, kind, model) SELECT '湘H·S' || n, 'ebike', 'recorded' FROM generate_series(1, $1::bigint) n ON CONFLICT DO NOTHING",
            &[&count],
        )
        .await?;
    client
        .execute(
            "INSERT INTO tracker (ident, profile) SELECT 'sim' || n, $2::jsonb FROM generate_series(1, $1::bigint) n ON CONFLICT DO NOTHING",
            &[&count, &profile],
        )
        .await?;
    let pairs = "FROM generate_series(1, $1::bigint) n JOIN tracker t ON t.ident = 'sim' || n JOIN vehicle v ON v.plate = '湘H·S' || n";
    let install = format!(
        "INSERT INTO installation (tracker_id, vehicle_id, valid_from) SELECT t.tracker_id, v.vehicle_id, '2015-01-01' {pairs}
            WHERE NOT EXISTS (SELECT FROM installation i WHERE i.tracker_id = t.tracker_id OR i.vehicle_id = v.vehicle_id) ON CONFLICT DO NOTHING"
    );
    client.execute(&install, &[&count]).await?;
    let rows = client.query(&format!("SELECT t.tracker_id, v.vehicle_id {pairs} ORDER BY n"), &[&count]).await?;
    Ok(rows.iter().map(|r| (TrackerKey(r.get(0)), VehicleId(r.get(1)))).collect())
}

/// The latest time before which fixes are segments or late: nothing older can be loaded as hot.
///
/// # Errors
/// The database's own word.
pub async fn closed_to(client: &Client) -> Result<Timestamp, Error> {
    Ok(client.query_one("SELECT closing_to FROM rollup_mark", &[]).await?.get(0))
}

/// How the hot table takes rows, as ingest does; prepared once for a connection.
pub struct Hot {
    copy: Statement,
    insert: Statement,
}

impl Hot {
    /// Prepares both ways.
    ///
    /// # Errors
    /// The database's own word.
    pub async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            copy: client.prepare(statements::COPY_FIXES).await?,
            insert: client.prepare(statements::INSERT_FIXES).await?,
        })
    }

    /// Writes fixes, those that stand there already left out; says whether COPY was enough.
    ///
    /// # Errors
    /// The database's own word.
    pub async fn put(&self, client: &Client, rows: &[FixRow]) -> Result<bool, Error> {
        let rows: Vec<_> = rows.iter().collect();
        match fixes::copy(client, &self.copy, &rows).await {
            Err(error) if fixes::is_conflict(&error) => fixes::insert(client, &self.insert, &rows).await.map(|_| false),
            copied => copied.map(|_| true),
        }
    }
}

/// The baseline of benches: a COPY into another table of the hot table's form, and nothing else.
///
/// # Errors
/// The database's own word.
pub async fn copy_bare(client: &Client, table: &str, rows: &[FixRow]) -> Result<(), Error> {
    let statement = client.prepare(&statements::COPY_FIXES.replacen("fix", table, 1)).await?;
    fixes::copy(client, &statement, &rows.iter().collect::<Vec<_>>()).await.map(drop)
}

/// Puts the newest of these fixes into the trackers' status, where it is newer than what is there.
///
/// # Errors
/// The database's own word.
pub async fn note_newest(client: &Client, rows: &[&FixRow]) -> Result<(), Error> {
    let trackers: Vec<i64> = rows.iter().map(|r| r.tracker.0).collect();
    let vehicles: Vec<Option<i64>> = rows.iter().map(|r| r.vehicle.map(|v| v.0)).collect();
    let (fixed, received): (Vec<Timestamp>, Vec<Timestamp>) = rows.iter().map(|r| (r.fixed_at, r.received_at)).unzip();
    let lons: Vec<f64> = rows.iter().map(|r| r.fix.position.lon_deg).collect();
    let lats: Vec<f64> = rows.iter().map(|r| r.fix.position.lat_deg).collect();
    let speeds: Vec<Option<f32>> = rows.iter().map(|r| r.fix.speed_kmh).collect();
    client
        .execute(
            "INSERT INTO tracker_status AS s (tracker_id, vehicle_id, last_heard_at, fixed_at, received_at, position, speed_kmh, source)
             SELECT t, v, r, f, r, ST_SetSRID(ST_MakePoint(x, y), 4326), k, 0
             FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::float8[], $6::float8[], $7::real[]) AS u (t, v, f, r, x, y, k)
             ON CONFLICT (tracker_id) DO UPDATE SET vehicle_id = EXCLUDED.vehicle_id, last_heard_at = EXCLUDED.last_heard_at,
                fixed_at = EXCLUDED.fixed_at, received_at = EXCLUDED.received_at, position = EXCLUDED.position, speed_kmh = EXCLUDED.speed_kmh
             WHERE s.fixed_at IS NULL OR s.fixed_at < EXCLUDED.fixed_at",
            &[&trackers, &vehicles, &fixed, &received, &lons, &lats, &speeds],
        )
        .await
        .map(drop)
}
