//! When PostgreSQL refuses a row: the batch is written in halves, down to the packet whose effects it
//! refuses; that one is set aside, and the others count.

use crate::domain::{Lane, Outcome};
use crate::engine::{Effects, Quarantined};
use crate::store::commit;
use crate::store::commit::alerts;
use crate::store::commit::alerts::Written;
use crate::store::commit::statements::Statements;
use crate::store::commit::{Applied, Part};
use crate::store::lane::{LEASE_S, Lease};
use tokio_postgres::{Client, Error, GenericClient};

/// The word in quarantine.
const REASON: &str = "store";

/// Whether the rows are the reason, and not the server, the connection or the lease (PostgreSQL, appendix
/// A: 22 data exception, 23 integrity constraint violation, 54 program limit exceeded).
pub(in crate::store) fn is_about_rows(error: &Error) -> bool {
    error.code().is_some_and(|code| ["22", "23", "54"].contains(&&code.code()[..2]))
}

/// Commit 2 of a batch that was refused as a whole.
pub(in crate::store) async fn commit(
    client: &Client,
    statements: &Statements,
    lease: Lease,
    applied: &mut Applied<'_>,
) -> Result<Vec<Written>, Error> {
    let lane = lease.lane.0 as i16;
    client.batch_execute("BEGIN").await?;
    client.execute("SELECT lane_renew($1, $2, $3)", &[&lane, &lease.fence, &LEASE_S]).await?;
    let written = write(client, statements, lease.lane, applied).await?;
    commit::advance(client, statements, lease, applied, None).await?;
    client.batch_execute("NOTIFY outbox; COMMIT").await?;
    Ok(written)
}

/// Writes the rows of a batch inside a transaction, in as few parts as its rows allow, in order.
pub(in crate::store) async fn write(
    client: &impl GenericClient,
    statements: &Statements,
    lane: Lane,
    applied: &mut Applied<'_>,
) -> Result<Vec<Written>, Error> {
    let mut written = Vec::new();
    let whole = 0..applied.entries.len();
    let mut parts = Vec::from([whole]); // the earliest on top
    while let Some(part) = parts.pop() {
        client.batch_execute("SAVEPOINT part").await?;
        let error = match write_part(client, statements, lane, applied.part(part.clone())).await {
            Ok(more) => {
                written.extend(more);
                client.batch_execute("RELEASE part").await?;
                continue;
            }
            Err(error) => error,
        };
        if !is_about_rows(&error) {
            return Err(error);
        }
        client.batch_execute("ROLLBACK TO part; RELEASE part").await?;
        if part.len() > 1 {
            let middle = part.start + part.len() / 2;
            parts.push(middle..part.end);
            parts.push(part.start..middle);
        } else if set_aside(applied, part.start, &error) {
            parts.push(part);
        } else {
            return Err(error);
        }
    }
    Ok(written)
}

async fn write_part(
    client: &impl GenericClient,
    statements: &Statements,
    lane: Lane,
    part: Part<'_, '_>,
) -> Result<Vec<Written>, Error> {
    commit::write_rows(client, statements, lane, part).await?;
    let mut written = Vec::new();
    for finding in part.findings() {
        written.extend(alerts::write(client, statements, lane, finding).await?);
    }
    Ok(written)
}

/// Replaces what would follow from a packet by its quarantine. `false`: it is no packet, or set aside
/// already; then the lane must not go on as if nothing had happened.
fn set_aside(applied: &mut Applied<'_>, entry: usize, error: &Error) -> bool {
    let Some((of, effects)) = applied.entries.get_mut(entry) else { return false };
    if of.packets() == 0 || effects.quarantined.as_ref().is_some_and(|q| q.reason == REASON) {
        return false;
    }
    // The server's own message may show the row, and with it a position.
    let place = error.as_db_error().and_then(|e| e.constraint().or(e.column()).or(e.table())).unwrap_or("a row");
    let code = error.code().map_or("", |code| code.code());
    let tracker = effects.fixes.first().map(|fix| fix.tracker).or(effects.status.as_ref().map(|(key, _, _)| *key));
    let quarantined = Quarantined {
        tracker,
        ident: None,
        reason: REASON,
        detail: format!("PostgreSQL refuses the rows of the packet: {code} at {place}"),
        security: false,
    };
    tracing::error!(code, place, "PostgreSQL refused a packet's rows; packet quarantined");
    *effects = Effects { outcome: Some(Outcome::Quarantined), quarantined: Some(quarantined), ..Effects::default() };
    true
}
