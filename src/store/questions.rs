//! Questions about tracks: the audited functions, answered with pieces.

use super::pieces;
use crate::domain::{Timestamp, VehicleId};
use crate::tracks::Found;
use std::collections::HashMap;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

/// Most pieces that one search by area brings: some megabytes, read in some hundredths of a second.
pub const AREA_PIECES_MAX: i32 = 20_000;
/// Most rides that one search for company brings.
pub const COMPANY_RIDES_MAX: i32 = 20_000;

/// Who asks, by which grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Officer {
    /// The account.
    pub account: i64,
    /// The grant.
    pub grant: i64,
}

/// A span of time: first instant, first instant after.
pub type Span = (Timestamp, Timestamp);

async fn ask(client: &Client, sql: &str, values: &[&(dyn ToSql + Sync)]) -> anyhow::Result<Vec<Found>> {
    client.query(sql, values).await?.iter().map(pieces::found).collect()
}

/// The track of an owner's vehicle, from when it became theirs.
///
/// # Errors
/// The database's own word, with the schema's codes; a piece of an unknown kind.
pub async fn mine(client: &Client, account: i64, vehicle: i64, (from, to): Span) -> anyhow::Result<Vec<Found>> {
    ask(client, "SELECT * FROM api_my_pieces($1, $2, $3, $4)", &[&account, &vehicle, &from, &to]).await
}

/// The track of a vehicle, for the police.
///
/// # Errors
/// As [`mine`].
pub async fn of_vehicle(
    client: &Client,
    officer: Officer,
    vehicle: i64,
    (from, to): Span,
) -> anyhow::Result<Vec<Found>> {
    let values: [&(dyn ToSql + Sync); 5] = [&officer.account, &officer.grant, &vehicle, &from, &to];
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
) -> anyhow::Result<Vec<Found>> {
    ask(
        client,
        "SELECT * FROM api_police_near($1, $2, $3, $4, $5, make_interval(secs => $6), $7)",
        &[&officer.account, &officer.grant, &area, &from, &to, &beyond_s, &AREA_PIECES_MAX],
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
) -> anyhow::Result<Vec<Found>> {
    ask(
        client,
        "SELECT * FROM api_police_company($1, $2, $3, $4, $5, $6, $7, $8)",
        &[&officer.account, &officer.grant, &vehicle, &from, &to, &within.0, &within.1, &COMPANY_RIDES_MAX],
    )
    .await
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
    let rows =
        client.query("SELECT * FROM api_police_names($1, $2, $3)", &[&officer.account, &officer.grant, &ids]).await?;
    Ok(rows.iter().map(|r| (VehicleId(r.get(0)), (r.get(1), r.get(2)))).collect())
}
