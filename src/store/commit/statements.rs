//! The statements of a lane, prepared once for its connection: parsing and planning them anew for
//! every batch cost PostgreSQL more than the rows.

use crate::store::commit;
use crate::store::commit::alerts;
use crate::store::commit::fixes;
use crate::store::commit::status;
use crate::store::lane;
use tokio_postgres::{Error, GenericClient, Statement};

/// Every statement that a batch may need.
pub struct Statements {
    pub(in crate::store) journal: Statement,
    pub(in crate::store) advance: Statement,
    pub(in crate::store) outcomes: Statement,
    pub(in crate::store) copy_fixes: Statement,
    pub(in crate::store) insert_fixes: Statement,
    pub(in crate::store) put_statuses: Statement,
    pub(in crate::store) put_guards: Statement,
    pub(in crate::store) set_aside: Statement,
    pub(in crate::store) close_others: Statement,
    pub(in crate::store) open_incident: Statement,
    pub(in crate::store) change_incident: Statement,
    pub(in crate::store) note: Statement,
    pub(in crate::store) answer: Statement,
    pub(in crate::store) answer_after_end: Statement,
    pub(in crate::store) reopen_incident: Statement,
    pub(in crate::store) close_incident: Statement,
    pub(in crate::store) begin_outage: Statement,
    pub(in crate::store) end_outage: Statement,
    pub(in crate::store) note_gap: Statement,
    pub(in crate::store) raise_alert: Statement,
}

impl Statements {
    /// Prepares them; table names are looked up now, in the connection's search path.
    ///
    /// # Errors
    /// The database's own word.
    pub async fn prepare(client: &impl GenericClient) -> Result<Self, Error> {
        Ok(Self {
            journal: client.prepare(lane::JOURNAL).await?,
            advance: client.prepare(commit::ADVANCE).await?,
            outcomes: client.prepare(commit::OUTCOMES).await?,
            copy_fixes: client.prepare(fixes::COPY).await?,
            insert_fixes: client.prepare(fixes::INSERT).await?,
            put_statuses: client.prepare(status::PUT).await?,
            put_guards: client.prepare(status::PUT_GUARDS).await?,
            set_aside: client.prepare(status::SET_ASIDE).await?,
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
