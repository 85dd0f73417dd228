//! The outbox: what is still owed to people.

use crate::domain::alert_level;
use serde_json::{Value, json};
use tokio_postgres::Client;

/// A claimed notification.
pub struct Due {
    /// Its row, and the idempotency key for the receiver.
    pub outbox_id: i64,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// By which channel.
    pub channel: String,
    /// Where to, as the channel understands it; empty: its account has none any more.
    pub address: String,
    /// Its secret, if the channel has one.
    pub secret: String,
    /// What to say: the alert as the API shows it.
    pub alert: Value,
}

/// How many notifications at once, and how long until one more: of a vehicle, and of an owner. A theft
/// has half a dozen kinds of alert; an owner of a fleet has several.
const BUCKETS: [f64; 4] = [6.0, 600.0, 20.0, 60.0];
/// Notifications looked at in one go.
const ADMITTED_MAX: i32 = 500;

/// Lets new notifications through or holds them back, so that no storm reaches people; returns how many
/// were held back. The first alert of an incident always passes.
///
/// # Errors
/// The database's own word.
pub async fn admit(client: &Client) -> anyhow::Result<i32> {
    let [vehicle, vehicle_s, owner, owner_s] = BUCKETS;
    let row = client
        .query_one(
            "SELECT admit_notifications($1, $2, $3, $4, $5)",
            &[&ADMITTED_MAX, &vehicle, &vehicle_s, &owner, &owner_s],
        )
        .await?;
    Ok(row.get(0))
}

/// Claims what is due, for `lease_s` seconds; another worker passes over it meanwhile.
///
/// # Errors
/// The database's own word.
pub async fn claim(client: &Client, limit: i64, lease_s: f64) -> anyhow::Result<Vec<Due>> {
    let rows = client
        .query(
            "WITH claimed AS (
                UPDATE outbox SET claimed_until = now() + make_interval(secs => $2), attempts = attempts + 1
                WHERE outbox_id IN (
                    SELECT outbox_id FROM outbox WHERE state = 'due' AND admitted AND due_at <= now() AND (claimed_until IS NULL OR claimed_until < now())
                    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
                RETURNING outbox_id, attempts, alert_id, account_id, channel)
             SELECT c.outbox_id, c.attempts, c.channel, coalesce(p.address, ''), coalesce(p.secret, ''),
                    alert_as_json(a.alert_id) || jsonb_build_object('evidence', a.evidence)
             FROM claimed c JOIN alert a USING (alert_id) LEFT JOIN account_channel p USING (account_id, channel) ORDER BY c.outbox_id",
            &[&limit, &lease_s],
        )
        .await?;
    Ok(rows
        .into_iter()
        .map(|r| Due {
            outbox_id: r.get(0),
            attempt: r.get(1),
            channel: r.get(2),
            address: r.get(3),
            secret: r.get(4),
            alert: notified(r.get(5)),
        })
        .collect())
}

/// The alert as channels send it: the fields of the API beside those that receivers know from before.
fn notified(mut alert: Value) -> Value {
    alert["level"] = json!(alert_level(alert["wakes_owner"] == true));
    alert["suppressed"] = alert["held_back"].clone();
    alert
}

/// What came of an attempt.
pub enum Attempted {
    /// Told.
    Done,
    /// Not now: again after so many seconds.
    Again {
        /// Seconds to wait.
        after_s: f64,
    },
    /// Given up.
    Failed,
}

/// Notes an attempt in the ledger and moves the row on.
///
/// # Errors
/// The database's own word.
pub async fn record(
    client: &mut Client,
    due: &Due,
    took_ms: i32,
    result: &str,
    came: &Attempted,
) -> anyhow::Result<()> {
    let transaction = client.transaction().await?;
    transaction
        .execute(
            "INSERT INTO notification (outbox_id, attempt, took_ms, result) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            &[&due.outbox_id, &due.attempt, &took_ms, &result],
        )
        .await?;
    let (state, after_s) = match came {
        Attempted::Done => ("done", 0.0),
        Attempted::Again { after_s } => ("due", *after_s),
        Attempted::Failed => ("failed", 0.0),
    };
    transaction
        .execute(
            "UPDATE outbox SET state = $2, due_at = now() + make_interval(secs => $3), claimed_until = NULL,
                    done_at = CASE WHEN $2 = 'done' THEN now() END WHERE outbox_id = $1",
            &[&due.outbox_id, &state, &after_s],
        )
        .await?;
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_keep_the_fields_they_know_and_get_those_of_the_api() {
        let alert = notified(json!({ "id": "7", "wakes_owner": true, "held_back": false }));
        let sent = json!({ "id": "7", "wakes_owner": true, "held_back": false, "level": "alarm", "suppressed": false });
        assert_eq!(alert, sent);
        assert_eq!(notified(json!({ "wakes_owner": false }))["level"], "notice");
    }
}
