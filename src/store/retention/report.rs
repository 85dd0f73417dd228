//! What a run of retention did.

use crate::store::archive::write;
use serde::Serialize;

/// What a run has purged, or would.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether it only counted.
    pub dry_run: bool,
    /// Positions from before this day are gone, but for what a longer purpose keeps.
    pub tracks_before: Option<String>,
    /// Whole days of segments dropped.
    pub days_dropped: usize,
    /// Segments in them.
    pub pieces_dropped: i64,
    /// Segments that went from days of which something is kept.
    pub pieces_deleted: i64,
    /// Older segments that stay for an incident or a case.
    pub pieces_kept: i64,
    /// Late fixes of days that are gone.
    pub late_fixes: i64,
    /// Hours × cells of the history map.
    pub traffic_cells: i64,
    /// Incidents with their alerts.
    pub incidents: i64,
    /// Alerts, those of the incidents among them.
    pub alerts: i64,
    /// Last connections of trackers to the door.
    pub connections: i64,
    /// Journal rows that went.
    pub journal_rows: i64,
    /// Journal rows of which the packets under a hold stay.
    pub journal_rows_kept: i64,
    /// What was sealed of the journal.
    pub sealed: write::Sealed,
    /// Why not all of what is old enough was sealed.
    pub not_sealed: Option<String>,
    /// Packets set aside.
    pub quarantined: i64,
    /// Holds in force.
    pub holds: i64,
    /// Erased windows that were gone through again, for what came late.
    pub erasures_repeated: usize,
}
