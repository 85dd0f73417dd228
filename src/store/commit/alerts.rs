//! Incidents, alerts, and the outbox rows that are born with them.

use crate::domain::incident::severity;
use crate::domain::{Alert, Cause, Finding, IncidentId, Lane, Note};
use crate::store::commit::statements::Statements;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, GenericClient};

/// An alert as it was written: what live streams and people get.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its row.
    pub alert_id: i64,
    /// The alert.
    pub alert: Alert,
}

/// Writes what the guard of a lane found. An alert that is stored already is not raised again.
pub(in crate::store) async fn write(
    client: &impl GenericClient,
    statements: &Statements,
    lane: Lane,
    finding: &Finding,
) -> Result<Option<Written>, Error> {
    match finding {
        Finding::Alert(alert) => return raise(client, statements, alert).await,
        Finding::IncidentOpened { incident, vehicle, at, fixes_from, score } => {
            client.execute(&statements.close_others, &[&vehicle.0, at, &incident.as_i64()]).await?;
            let parameters: [&(dyn ToSql + Sync); 6] =
                [&incident.as_i64(), &vehicle.0, at, fixes_from, score, &severity(*score)];
            client.execute(&statements.open_incident, &parameters).await?;
        }
        Finding::IncidentChanged { incident, state, score, .. } => {
            let parameters: [&(dyn ToSql + Sync); 4] = [&incident.as_i64(), &state.name(), score, &severity(*score)];
            client.execute(&statements.change_incident, &parameters).await?;
        }
        Finding::IncidentNoted { incident, at, note } => {
            let detail = tokio_postgres::types::Json(note);
            client.execute(&statements.note, &[&incident.as_i64(), at, &note.name(), &detail]).await?;
            if let Note::Answered { answer } = note {
                client.execute(&statements.answer, &[&incident.as_i64(), &answer.name(), at]).await?;
            }
        }
        Finding::IncidentAnsweredAfterEnd { incident, at, answer, .. } => {
            let note = Note::Answered { answer: *answer };
            let parameters: [&(dyn ToSql + Sync); 3] = [&incident.as_i64(), &answer.name(), at];
            if client.execute(&statements.answer_after_end, &parameters).await? == 1 {
                let detail = tokio_postgres::types::Json(&note);
                client.execute(&statements.note, &[&incident.as_i64(), at, &note.name(), &detail]).await?;
            }
        }
        Finding::IncidentReopened { incident, vehicle, at, score } => {
            client.execute(&statements.close_others, &[&vehicle.0, at, &incident.as_i64()]).await?;
            let parameters: [&(dyn ToSql + Sync); 3] = [&incident.as_i64(), score, &severity(*score)];
            client.execute(&statements.reopen_incident, &parameters).await?;
        }
        Finding::IncidentClosed { incident, at, end, .. } => {
            let parameters: [&(dyn ToSql + Sync); 4] = [&incident.as_i64(), at, &end.name(), &end.state().name()];
            client.execute(&statements.close_incident, &parameters).await?;
        }
        Finding::OutageBegan { at, outage } => {
            let (kind, lost, members) = (outage.kind.name(), outage.lost as i32, outage.members as i32);
            let vehicles: Vec<i64> = outage.vehicles.iter().map(|vehicle| vehicle.0).collect();
            let parameters: [&(dyn ToSql + Sync); 8] =
                [&(lane.0 as i16), &kind, &outage.name, &outage.began_at, at, &lost, &members, &vehicles];
            client.execute(&statements.begin_outage, &parameters).await?;
        }
        Finding::OutageEnded { at, outage } => {
            let parameters: [&(dyn ToSql + Sync); 5] =
                [&(lane.0 as i16), &outage.kind.name(), &outage.name, &outage.began_at, at];
            client.execute(&statements.end_outage, &parameters).await?;
        }
        Finding::CoverageGap { from, to, cause } => {
            client.execute(&statements.note_gap, &[&(lane.0 as i16), &cause.name(), from, to]).await?;
        }
        Finding::Session { .. } => {} // its guard's row says it
    }
    Ok(None)
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
                &alert.held_back,
                &evidence,
            ],
        )
        .await?;
    Ok(row.map(|row| Written { alert_id: row.get(0), alert: alert.clone() }))
}
