//! The statements of a lane, prepared once for its connection: parsing and planning them anew for
//! every batch cost PostgreSQL more than the rows.

use super::{alerts, effects, fixes, lane, statuses};
use tokio_postgres::{Error, GenericClient, Statement};

/// Every statement that a batch may need.
pub struct Statements {
    pub(super) journal: Statement,
    pub(super) advance: Statement,
    pub(super) outcomes: Statement,
    pub(super) copy_fixes: Statement,
    pub(super) insert_fixes: Statement,
    pub(super) put_statuses: Statement,
    pub(super) put_guards: Statement,
    pub(super) set_aside: Statement,
    pub(super) close_others: Statement,
    pub(super) open_incident: Statement,
    pub(super) change_incident: Statement,
    pub(super) note: Statement,
    pub(super) answer: Statement,
    pub(super) answer_after_end: Statement,
    pub(super) reopen_incident: Statement,
    pub(super) close_incident: Statement,
    pub(super) begin_outage: Statement,
    pub(super) end_outage: Statement,
    pub(super) note_gap: Statement,
    pub(super) raise_alert: Statement,
}

impl Statements {
    /// Prepares them; table names are looked up now, in the connection's search path.
    ///
    /// # Errors
    /// The database's own word.
    pub async fn prepare(client: &impl GenericClient) -> Result<Self, Error> {
        Ok(Self {
            journal: client.prepare(lane::JOURNAL).await?,
            advance: client.prepare(effects::ADVANCE).await?,
            outcomes: client.prepare(effects::OUTCOMES).await?,
            copy_fixes: client.prepare(fixes::COPY).await?,
            insert_fixes: client.prepare(fixes::INSERT).await?,
            put_statuses: client.prepare(statuses::PUT).await?,
            put_guards: client.prepare(statuses::PUT_GUARDS).await?,
            set_aside: client.prepare(statuses::SET_ASIDE).await?,
            close_others: client.prepare(alerts::CLOSE_OTHERS).await?,
            open_incident: client.prepare(alerts::OPEN_INCIDENT).await?,
            change_incident: client.prepare(alerts::CHANGE_INCIDENT).await?,
            note: client.prepare(alerts::NOTE).await?,
            answer: client.prepare(alerts::ANSWER).await?,
            answer_after_end: client.prepare(alerts::ANSWER_AFTER_END).await?,
            reopen_incident: client.prepare(alerts::REOPEN_INCIDENT).await?,
            close_incident: client.prepare(alerts::CLOSE_INCIDENT).await?,
            begin_outage: client.prepare(alerts::BEGIN_OUTAGE).await?,
            end_outage: client.prepare(alerts::END_OUTAGE).await?,
            note_gap: client.prepare(alerts::NOTE_GAP).await?,
            raise_alert: client.prepare(alerts::RAISE).await?,
        })
    }
}
