//! Settings take effect when a lane has taken them into its journal: how a request waits for that.

use crate::api::error::Problem;
use crate::store::proof::Proof;
use deadpool_postgres::Object;
use std::time::Duration;

/// How long to wait for the guard to take a change.
const GUARD_ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until a setting of who showed this is in force; `false`: the guard has not answered within 5 s.
pub(super) async fn is_in_force(client: &Object, proof: &Proof, setting: i64) -> Result<bool, Problem> {
    let until = tokio::time::Instant::now() + GUARD_ANSWER_MAX;
    while tokio::time::Instant::now() < until {
        let applied: Option<bool> =
            client.query_one("SELECT api_setting_applied($1, $2)", &[proof, &setting]).await?.get(0);
        if applied == Some(true) {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(false)
}
