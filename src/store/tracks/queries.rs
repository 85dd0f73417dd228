//! Questions about tracks: the audited functions, answered with segments.

use crate::domain::{Timestamp, VehicleId};
use crate::store::proof::Proof;
use crate::store::tracks::segments;
use crate::tracks::Hit;
use futures_util::{StreamExt, pin_mut};
use std::collections::HashMap;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

/// Most segments that one search by area brings: some megabytes, read in some hundredths of a second. A fifth of them may
/// only seem to touch it.
pub const AREA_PIECES_MAX: i32 = 25_000;
/// Most rides that one search for company brings.
pub const COMPANY_RIDES_MAX: i32 = 20_000;

/// Who asks, by which grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Officer {
    /// The token of the session.
    pub session: Proof,
    /// The grant.
    pub grant: i64,
}

/// A span of time: first instant, first instant after.
pub type Span = (Timestamp, Timestamp);

/// The types are said, so that one round trip is enough: a statement is not described first.
async fn ask(client: &Client, sql: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> anyhow::Result<Vec<Hit>> {
    let rows = client.query_typed_raw(sql, values.iter().map(|(value, of)| (*value, of.clone()))).await?;
    pin_mut!(rows);
    let mut found = Vec::new();
    // One by one: kept until the last has come, rows would take as much room again.
    while let Some(row) = rows.next().await {
        found.push(segments::found(&row?)?);
    }
    Ok(found)
}

/// The track of an owner's vehicle, from when it became theirs.
///
/// # Errors
/// The database's own word, with the schema's codes; a segment of an unknown kind.
pub async fn mine(client: &Client, session: Proof, vehicle: i64, (from, to): Span) -> anyhow::Result<Vec<Hit>> {
    let values: [(&(dyn ToSql + Sync), Type); 4] =
        [(&session, Type::BYTEA), (&vehicle, Type::INT8), (&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)];
    ask(client, "SELECT * FROM api_my_pieces($1, $2, $3, $4)", &values).await
}

/// The track of a vehicle in the times in which it is or was the person's of this session.
///
/// # Errors
/// As [`mine`].
pub async fn exported(client: &Client, session: Proof, vehicle: i64, (from, to): Span) -> anyhow::Result<Vec<Hit>> {
    let values: [(&(dyn ToSql + Sync), Type); 4] =
        [(&session, Type::BYTEA), (&vehicle, Type::INT8), (&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)];
    ask(client, "SELECT * FROM api_export_pieces($1, $2, $3, $4)", &values).await
}

/// The track of a vehicle, for the police.
///
/// # Errors
/// As [`mine`].
pub async fn of_vehicle(client: &Client, officer: Officer, vehicle: i64, (from, to): Span) -> anyhow::Result<Vec<Hit>> {
    let values: [(&(dyn ToSql + Sync), Type); 5] = [
        (&officer.session, Type::BYTEA),
        (&officer.grant, Type::INT8),
        (&vehicle, Type::INT8),
        (&from, Type::TIMESTAMPTZ),
        (&to, Type::TIMESTAMPTZ),
    ];
    ask(client, "SELECT * FROM api_police_pieces($1, $2, $3, $4, $5)", &values).await
}

/// What touches an area (WKT) within a span and `beyond_s` around it.
///
/// # Errors
/// As [`mine`]; more than [`AREA_PIECES_MAX`] is refused with what to narrow.
pub async fn near(
    client: &Client,
    officer: Officer,
    area: &str,
    (from, to): Span,
    beyond_s: f64,
) -> anyhow::Result<Vec<Hit>> {
    ask(
        client,
        "SELECT * FROM api_police_near($1, $2, $3, $4, $5, make_interval(secs => $6), $7)",
        &[
            (&officer.session, Type::BYTEA),
            (&officer.grant, Type::INT8),
            (&area, Type::TEXT),
            (&from, Type::TIMESTAMPTZ),
            (&to, Type::TIMESTAMPTZ),
            (&beyond_s, Type::FLOAT8),
            (&AREA_PIECES_MAX, Type::INT4),
        ],
    )
    .await
}

/// A vehicle's minutes on the way (as single fixes) and the rides of others whose boxes hold them.
///
/// # Errors
/// As [`near`].
pub async fn beside(
    client: &Client,
    officer: Officer,
    vehicle: i64,
    (from, to): Span,
    within: (f64, f64),
) -> anyhow::Result<Vec<Hit>> {
    ask(
        client,
        "SELECT * FROM api_police_company($1, $2, $3, $4, $5, $6, $7, $8)",
        &[
            (&officer.session, Type::BYTEA),
            (&officer.grant, Type::INT8),
            (&vehicle, Type::INT8),
            (&from, Type::TIMESTAMPTZ),
            (&to, Type::TIMESTAMPTZ),
            (&within.0, Type::FLOAT8),
            (&within.1, Type::FLOAT8),
            (&COMPANY_RIDES_MAX, Type::INT4),
        ],
    )
    .await
}

/// Where vehicles of a list were last, each as the API shows it.
///
/// # Errors
/// As [`mine`].
pub async fn newest(client: &Client, officer: Officer, vehicles: &[i64]) -> Result<Vec<serde_json::Value>, Error> {
    let values: [(&(dyn ToSql + Sync), Type); 3] =
        [(&officer.session, Type::BYTEA), (&officer.grant, Type::INT8), (&vehicles, Type::INT8_ARRAY)];
    let rows = client.query_typed("SELECT * FROM api_police_newest($1, $2, $3)", &values).await?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

/// Plates and trackers of vehicles that a search has found.
///
/// # Errors
/// The database's own word.
pub async fn names(
    client: &Client,
    officer: Officer,
    vehicles: &[VehicleId],
) -> anyhow::Result<HashMap<VehicleId, (String, Option<String>)>> {
    let ids: Vec<i64> = vehicles.iter().map(|v| v.0).collect();
    let values: [(&(dyn ToSql + Sync), Type); 3] =
        [(&officer.session, Type::BYTEA), (&officer.grant, Type::INT8), (&ids, Type::INT8_ARRAY)];
    let rows = client.query_typed("SELECT * FROM api_police_names($1, $2, $3)", &values).await?;
    Ok(rows.iter().map(|r| (VehicleId(r.get(0)), (r.get(1), r.get(2)))).collect())
}
