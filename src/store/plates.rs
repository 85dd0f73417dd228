//! Plates of vehicles: found in every spelling, assigned again, and those that are not clear yet.

use crate::domain::Plate;
use anyhow::{Context, bail};
use tokio_postgres::{Client, Error, GenericClient};

/// Most unclear plates in one list.
const UNCLEAR_MAX: i64 = 1000;

/// The vehicle that a plate names, in any spelling; where vehicles share it, with the number of one behind `#`.
///
/// # Errors
/// The text is no plate, or vehicles share it.
pub async fn vehicle(client: &impl GenericClient, said: &str) -> anyhow::Result<Option<i64>> {
    Plate::check_asked(said)?;
    let row = client.query_one("SELECT vehicle_of_plate($1)", &[&said]).await.map_err(crate::store::said)?;
    Ok(row.get(0))
}

/// Gives a vehicle another plate, or none; the plate as it is then.
///
/// # Errors
/// The text is no plate, another vehicle has it, or there is no such vehicle.
pub async fn set(client: &impl GenericClient, vehicle: i64, plate: Option<&str>) -> anyhow::Result<String> {
    let plate = plate.map(Plate::parse).transpose()?;
    let row = client
        .query_one("SELECT set_plate($1, $2)", &[&vehicle, &plate.as_ref().map(Plate::as_str)])
        .await
        .map_err(crate::store::said)?;
    row.get::<_, Option<String>>(0).with_context(|| format!("there is no vehicle {vehicle}"))
}

/// The number of a new vehicle, or of the one with this plate.
///
/// # Errors
/// The text is no plate, vehicles share it, or it names a vehicle that is not there.
pub async fn put(client: &impl GenericClient, said: &str, kind: &str, model: &str) -> anyhow::Result<(i64, String)> {
    let row = match vehicle(client, said).await? {
        Some(known) => {
            let sql = "UPDATE vehicle SET kind = $2, model = coalesce(nullif($3, ''), model) WHERE vehicle_id = $1 RETURNING vehicle_id, plate";
            client.query_one(sql, &[&known, &kind, &model]).await?
        }
        None => {
            let Ok(plate) = Plate::parse(said) else { bail!("no vehicle has the plate {said}") };
            let sql = "INSERT INTO vehicle (plate, kind, model) VALUES ($1, $2, $3) ON CONFLICT (plate) DO UPDATE SET kind = EXCLUDED.kind RETURNING vehicle_id, plate";
            client.query_one(sql, &[&plate.as_str(), &kind, &model]).await?
        }
    };
    Ok((row.get(0), row.get(1)))
}

/// Makes a vehicle with a number of the caller's choice; where the plate or the number is known, nothing changes.
///
/// # Errors
/// The database's own word.
pub async fn put_with_id(client: &impl GenericClient, id: i64, plate: &Plate, kind: &str) -> Result<(), Error> {
    let sql = "INSERT INTO vehicle (vehicle_id, plate, kind) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    client.execute(sql, &[&id, &plate.as_str(), &kind]).await?;
    Ok(())
}

/// How many vehicles have a plate that an administrator must look at.
///
/// # Errors
/// The database's own word.
pub async fn count_unclear(client: &impl GenericClient) -> Result<i64, Error> {
    Ok(client.query_one("SELECT count(*) FROM plate_unclear", &[]).await?.get(0))
}

/// Vehicles whose plate must be looked at, each with what stood there, who shares it, its owner and its tracker.
///
/// # Errors
/// The database's own word.
pub async fn unclear(client: &Client) -> Result<Vec<serde_json::Value>, Error> {
    let sql = "SELECT jsonb_build_object('vehicle', u.vehicle_id, 'plate', v.plate, 'was', u.was, 'reason', u.reason,
            'shared_with', coalesce((SELECT jsonb_agg(o.vehicle_id ORDER BY o.vehicle_id) FROM vehicle o
                WHERE o.plate_key = v.plate_key AND v.plate_key <> '' AND o.vehicle_id <> v.vehicle_id), '[]'),
            'owner', a.login, 'tracker', t.ident)
        FROM plate_unclear u JOIN vehicle v USING (vehicle_id)
        LEFT JOIN ownership w ON w.vehicle_id = v.vehicle_id AND w.valid_to IS NULL LEFT JOIN account a USING (account_id)
        LEFT JOIN installation i ON i.vehicle_id = v.vehicle_id AND i.valid_to IS NULL LEFT JOIN tracker t USING (tracker_id)
        ORDER BY u.vehicle_id LIMIT $1";
    Ok(client.query(sql, &[&UNCLEAR_MAX]).await?.iter().map(|row| row.get(0)).collect())
}
