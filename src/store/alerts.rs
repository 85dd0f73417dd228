//! Incidents, alerts, and the outbox rows that are born with them.

use crate::domain::{Alert, Cause, Finding, IncidentId};
use crate::store::statements::Statements;
use tokio_postgres::{Error, GenericClient};

pub(super) const OPEN_INCIDENT: &str =
    "INSERT INTO incident (incident_id, vehicle_id, opened_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

pub(super) const CLOSE_INCIDENT: &str =
    "UPDATE incident SET closed_at = $2, ended_by = $3 WHERE incident_id = $1 AND closed_at IS NULL";

// Born in one statement: the alert, and a row for each owner who wants to be told by a channel.
pub(super) const RAISE: &str = "WITH a AS (
    INSERT INTO alert (incident_id, vehicle_id, kind, wakes_owner, raised_at, cause, late, lat, lon, evidence)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING alert_id
 ), o AS (
    INSERT INTO outbox (alert_id, account_id, channel)
    SELECT a.alert_id, p.account_id, 'webhook' FROM a, ownership w JOIN account p USING (account_id)
    WHERE w.vehicle_id = $2 AND w.valid_to IS NULL AND $4 AND p.webhook_url IS NOT NULL AND NOT p.disabled
 )
 SELECT alert_id FROM a";

/// An alert as it was written: what live streams and people are told.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its row.
    pub alert_id: i64,
    /// The alert.
    pub alert: Alert,
}

/// Writes what the guard found. An alert that stands there already is not told again.
pub(super) async fn write(
    client: &impl GenericClient,
    statements: &Statements,
    finding: &Finding,
) -> Result<Option<Written>, Error> {
    match finding {
        Finding::IncidentOpened { incident, vehicle, at } => {
            client.execute(&statements.open_incident, &[&incident.as_i64(), &vehicle.0, at]).await?;
            Ok(None)
        }
        Finding::IncidentClosed { incident, at, end, .. } => {
            client.execute(&statements.close_incident, &[&incident.as_i64(), at, &end.name()]).await?;
            Ok(None)
        }
        Finding::Alert(alert) => raise(client, statements, alert).await,
    }
}

async fn raise(client: &impl GenericClient, statements: &Statements, alert: &Alert) -> Result<Option<Written>, Error> {
    let cause = match alert.cause {
        Cause::Packet(digest) => Some(digest.0 as i64),
        Cause::Deadline => None,
    };
    let evidence = tokio_postgres::types::Json(&alert.evidence);
    let row = client
        .query_opt(
            &statements.raise_alert,
            &[
                &alert.incident.map(IncidentId::as_i64),
                &alert.vehicle.0,
                &alert.kind.name(),
                &alert.kind.wakes_owner(),
                &alert.raised_at,
                &cause,
                &alert.late,
                &alert.position.map(|p| p.lat_deg),
                &alert.position.map(|p| p.lon_deg),
                &evidence,
            ],
        )
        .await?;
    Ok(row.map(|row| Written { alert_id: row.get(0), alert: alert.clone() }))
}
