//! Units of organisations: who looks after an account, a tracker or a vehicle.

use anyhow::Context;
use tokio_postgres::GenericClient;

/// What is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// Somebody with a login.
    Account,
    /// A tracker.
    Tracker,
    /// A vehicle.
    Vehicle,
}

/// Puts a thing into a unit; without a name of one into the organisation's first.
///
/// # Errors
/// There is no such unit, or the database's own word.
pub async fn put_into(
    client: &impl GenericClient,
    what: Thing,
    number: i64,
    organisation: &str,
    unit: Option<&str>,
) -> anyhow::Result<()> {
    let sql = "SELECT unit_id FROM unit u JOIN organisation o USING (organisation_id)
        WHERE o.name = $1 AND ($2::text IS NULL OR u.name = $2) ORDER BY unit_id LIMIT 1";
    let row = client.query_opt(sql, &[&organisation, &unit]).await?;
    let named = unit.map(|u| format!(" with a unit {u:?}")).unwrap_or_default();
    let row = row.with_context(|| {
        format!("no organisation is called {organisation:?}{named}; `admin account --organisation` makes one")
    })?;
    let unit: i64 = row.get(0);
    let sql = match what {
        Thing::Account => "UPDATE account SET unit_id = $2 WHERE account_id = $1",
        Thing::Tracker => "UPDATE tracker SET unit_id = $2 WHERE tracker_id = $1",
        Thing::Vehicle => "UPDATE vehicle SET unit_id = $2 WHERE vehicle_id = $1",
    };
    client.execute(sql, &[&number, &unit]).await?;
    Ok(())
}

/// Makes an organisation with a unit, where either is missing.
///
/// # Errors
/// The database's own word: a name that it does not allow.
pub async fn make(client: &impl GenericClient, organisation: &str, kind: &str, unit: &str) -> anyhow::Result<()> {
    let sql = "INSERT INTO organisation (name, kind) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    client.execute(sql, &[&organisation, &kind]).await?;
    let sql = "INSERT INTO unit (organisation_id, name) SELECT organisation_id, $2 FROM organisation WHERE name = $1 ON CONFLICT DO NOTHING";
    client.execute(sql, &[&organisation, &unit]).await?;
    Ok(())
}
