//! Rows of audit for what was refused, and for log-ins: written by themselves, whatever became of the question.

use crate::api::Api;
use crate::api::error::Problem;
use crate::api::session::Person;
use crate::store::proof::Proof;
use axum::http::{Method, StatusCode};
use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

/// Rows of refusals of one account and minute; more tell nothing new, and would bury the rest.
const REFUSED_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("60 is not 0");

/// Longest path in a row, characters.
const PATH_CHARS_MAX: usize = 256;

/// Who asked: empty in a request until a session is found for it.
pub(super) type Asker = Arc<OnceLock<Person>>;

/// See `REFUSED_PER_MINUTE`.
pub(super) struct RefusedRows(RateLimiter<i64, DefaultKeyedStateStore<i64>, DefaultClock>);

impl Default for RefusedRows {
    fn default() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(REFUSED_PER_MINUTE)))
    }
}

impl Api {
    /// Leaves a row of an event; one that cannot be written is said in the log.
    pub(super) async fn note(&self, asker: &Proof, event: &str, question: Value) {
        let written = async {
            let client = self.pool.get().await?;
            client.execute("SELECT api_audit_event($1, $2, $3)", &[asker, &event, &question]).await?;
            Ok::<(), Problem>(())
        };
        if let Err(problem) = written.await {
            tracing::error!(?problem, event, "A row of audit could not be written");
        }
    }

    /// The same for a log-in that failed, of a login that is there.
    pub(super) async fn note_failed_log_in(&self, login: &str) {
        let written = async {
            self.pool.get().await?.execute("SELECT api_log_in_failed($1)", &[&login]).await?;
            Ok::<(), Problem>(())
        };
        if let Err(problem) = written.await {
            tracing::error!(?problem, "A row of audit of a failed log-in could not be written");
        }
    }

    /// Leaves a row where somebody who may see others' things was refused. Owners ask for their own, and mistype.
    pub(super) async fn note_refused(&self, asker: &Asker, method: &Method, path: &str, status: StatusCode) {
        let Some(person) = asker.get().filter(|p| !p.role.sees_own()) else { return };
        let is_refused = status.is_client_error() && status != StatusCode::UNAUTHORIZED;
        if is_refused && self.refused_rows.0.check_key(&person.account).is_ok() {
            let path: String = path.chars().take(PATH_CHARS_MAX).collect();
            let question = json!({ "method": method.as_str(), "path": path, "status": status.as_u16() });
            self.note(&person.session, "refused", question).await;
        }
    }
}
