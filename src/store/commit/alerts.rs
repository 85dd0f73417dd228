//! Incidents, alerts, and the outbox rows that are born with them.

use crate::domain::incident::severity;
use crate::domain::{Alert, Cause, Finding, IncidentId, Lane, Note};
use crate::store::commit::statements::Statements;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, GenericClient};

// The lane of the tracker before may not have read yet that another's tracker carries the vehicle. Clocks of servers
// may differ by minutes; a later incident than that is none of its past (a journal folded again, lane after lane).
pub(in crate::store) const CLOSE_OTHERS: &str =
    "UPDATE incident SET closed_at = greatest($2, opened_at), ended_by = 'tracker_changed', state = 'closed'
 WHERE vehicle_id = $1 AND closed_at IS NULL AND incident_id <> $3 AND opened_at < $2::timestamptz + interval '5 minutes'";

pub(in crate::store) const OPEN_INCIDENT: &str =
    "INSERT INTO incident (incident_id, vehicle_id, opened_at, fixes_from, score, severity)
 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

pub(in crate::store) const CHANGE_INCIDENT: &str =
    "UPDATE incident SET state = $2, score = $3, severity = $4 WHERE incident_id = $1 AND closed_at IS NULL";

pub(in crate::store) const NOTE: &str =
    "INSERT INTO incident_note (incident_id, at, kind, detail) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

pub(in crate::store) const ANSWER: &str = "UPDATE incident SET answer = $2, answered_at = $3 WHERE incident_id = $1";

// Of an incident that is over the first answer stands.
pub(in crate::store) const ANSWER_AFTER_END: &str =
    "UPDATE incident SET answer = $2, answered_at = $3 WHERE incident_id = $1 AND answer IS NULL";

pub(in crate::store) const CLOSE_INCIDENT: &str =
    "UPDATE incident SET closed_at = $2, ended_by = $3, state = $4 WHERE incident_id = $1 AND closed_at IS NULL";

// A vehicle has one open incident: a later one that stands there already stays.
pub(in crate::store) const REOPEN_INCIDENT: &str =
    "UPDATE incident SET closed_at = NULL, ended_by = NULL, state = 'confirmed', score = $2, severity = $3
 WHERE incident_id = $1 AND NOT EXISTS (SELECT FROM incident o WHERE o.vehicle_id = incident.vehicle_id AND o.closed_at IS NULL)";

pub(in crate::store) const BEGIN_OUTAGE: &str =
    "INSERT INTO outage_part (lane, kind, name, began_at, noticed_at, lost, members)
 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";

pub(in crate::store) const END_OUTAGE: &str =
    "UPDATE outage_part SET ended_at = $5 WHERE lane = $1 AND kind = $2 AND name = $3 AND began_at = $4";

pub(in crate::store) const NOTE_GAP: &str =
    "INSERT INTO coverage_gap (lane, cause, from_at, until_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

// Born in one statement: the alert, and a row for each owner who wants to be told by a channel.
pub(in crate::store) const RAISE: &str = "WITH a AS (
    INSERT INTO alert (incident_id, vehicle_id, kind, wakes_owner, raised_at, cause, late, lat, lon, held_back, evidence)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING RETURNING alert_id
 ), o AS (
    INSERT INTO outbox (alert_id, account_id, channel)
    SELECT a.alert_id, c.account_id, c.channel FROM a, ownership w JOIN account_channel c USING (account_id)
    WHERE w.vehicle_id = $2 AND w.valid_to IS NULL AND $4 AND c.is_enabled
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

/// Writes what the guard of a lane found. An alert that stands there already is not told again.
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
            let parameters: [&(dyn ToSql + Sync); 7] =
                [&(lane.0 as i16), &kind, &outage.name, &outage.began_at, at, &lost, &members];
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
