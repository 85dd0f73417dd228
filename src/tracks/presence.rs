//! Who was in an area within a window.

use crate::domain::{Timestamp, TrackerKey, VehicleId};
use crate::tracks::area::{Area, PreparedArea, Window};
use crate::tracks::runs::{Run, runs_of};
use crate::tracks::{CorruptSegment, Hit};

/// A vehicle's time in the area.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// The vehicle.
    pub vehicle: VehicleId,
    /// A tracker it carried.
    pub tracker: TrackerKey,
    /// First fix inside within the window.
    pub first: Timestamp,
    /// Last fix inside within the window.
    pub last: Timestamp,
    /// Fixes inside within the window.
    pub fixes: u32,
    /// Whether it came in within the window.
    pub entered: bool,
    /// Whether it went out within the window.
    pub left: bool,
    /// Longest time between fixes inside without one outside, seconds.
    pub stayed_s: f64,
}

/// A tracker that was silent for so long after a fix inside is not inside any more, seconds.
pub const SILENT_S: f64 = 900.0;

/// Who was inside within a window, by first fix inside. For `entered` and `left` to be true to life,
/// `found` must reach [`SILENT_S`] beyond the window on both sides.
///
/// # Errors
/// [`CorruptSegment`].
pub fn presences(area: &Area, window: Window, found: &[Hit]) -> Result<Vec<Presence>, CorruptSegment> {
    let Some(area) = PreparedArea::of(area) else { return Ok(Vec::new()) };
    let mut rows: Vec<_> = found.iter().filter_map(|row| Some((row.vehicle()?, row))).collect();
    rows.sort_by_key(|(vehicle, _)| *vehicle);
    let mut present = Vec::new();
    for rows in rows.chunk_by(|a, b| a.0 == b.0) {
        let (vehicle, first) = rows[0];
        let runs = runs_of(&area, window, rows.iter().map(|(_, row)| *row))?;
        present.extend(presence(vehicle, first.tracker(), &runs, window));
    }
    present.sort_by_key(|p| (p.first, p.vehicle));
    Ok(present)
}

/// What a vehicle's runs, in order, say of it; `None` if it was not inside within the window.
pub(super) fn presence(vehicle: VehicleId, tracker: TrackerKey, runs: &[Run], window: Window) -> Option<Presence> {
    let counted = || runs.iter().filter(|s| s.is_inside).filter_map(|s| s.counted);
    let mut presence = Presence {
        vehicle,
        tracker,
        first: counted().next()?.0,
        last: counted().next_back()?.1,
        fixes: runs.iter().filter(|s| s.is_inside).map(|s| s.fixes).sum(),
        entered: false,
        left: false,
        stayed_s: 0.0,
    };
    for stay in runs.chunk_by(|a, b| a.is_inside == b.is_inside).filter(|stay| stay[0].is_inside) {
        let inside = || stay.iter().filter_map(|s| s.counted);
        let (Some((first, _)), Some((_, last))) = (inside().next(), inside().next_back()) else { continue };
        presence.stayed_s = presence.stayed_s.max(last.seconds_since(first));
        // What was not brought does not touch the area's box: before and after the stay it was outside.
        presence.entered |= first == stay[0].first;
        let is_over =
            stay.as_ptr_range().end < runs.as_ptr_range().end || window.known_to.seconds_since(last) > SILENT_S;
        presence.left |= last == stay[stay.len() - 1].last && is_over;
    }
    Some(presence)
}
