//! What is behind an incident.

use serde_json::Value;
use tokio_postgres::{Client, Error};

/// An incident with its alerts and their evidence, as one JSON value.
///
/// # Errors
/// The database's.
pub async fn incident(client: &Client, incident: i64) -> Result<Option<Value>, Error> {
    let row = client
        .query_opt(
            "SELECT jsonb_build_object('incident', i.incident_id::text, 'vehicle', i.vehicle_id::text, 'plate', v.plate,
                'opened_at', i.opened_at, 'closed_at', i.closed_at, 'end', i.ended_by, 'alerts',
                (SELECT jsonb_agg(jsonb_build_object('kind', a.kind, 'raised_at', a.raised_at, 'cause', to_hex(a.cause),
                    'late', a.late, 'evidence', a.evidence) ORDER BY a.alert_id)
                 FROM alert a WHERE a.incident_id = i.incident_id))
             FROM incident i LEFT JOIN vehicle v USING (vehicle_id) WHERE i.incident_id = $1",
            &[&incident],
        )
        .await?;
    Ok(row.map(|r| r.get(0)))
}
