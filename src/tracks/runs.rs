//! A vehicle's time as seen from an area, in runs: fixes in a row that lie all inside or all outside. A dwell of hundreds
//! of heartbeats is one, unless something else was heard in its midst.

use crate::domain::Timestamp;
use crate::tracks::area::{PreparedArea, Window};
use crate::tracks::{CorruptSegment, Hit, Segment, SegmentBody, SegmentKind};

/// Fixes in a row, all inside or all outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    pub is_inside: bool,
    /// Its first fix.
    pub first: Timestamp,
    /// Its last.
    pub last: Timestamp,
    /// First and last of those within the window.
    pub counted: Option<(Timestamp, Timestamp)>,
    /// How many of them there are.
    pub fixes: u32,
}

impl Run {
    fn of(at: Timestamp, is_inside: bool, window: Window) -> Self {
        let counted = window.holds(at).then_some((at, at));
        Self { is_inside, first: at, last: at, counted, fixes: counted.is_some().into() }
    }

    /// Appends a fix of the same side, not older than the last.
    fn push(&mut self, at: Timestamp, window: Window) {
        self.last = at;
        if window.holds(at) {
            self.counted = Some((self.counted.map_or(at, |c| c.0), at));
            self.fixes += 1;
        }
    }

    /// Of a dwell whose times need not be read: all of them lie in the window, or none does.
    fn of_whole(segment: &Segment, is_inside: bool, window: Window) -> Option<Self> {
        let (first, last) = (segment.from, segment.until);
        let (counted, fixes) = if window.holds(first) && window.holds(last) {
            (Some((first, last)), segment.fixes as u32)
        } else if last < window.from || first >= window.to {
            (None, 0)
        } else {
            return None;
        };
        Some(Self { is_inside, first, last, counted, fixes })
    }
}

/// The runs of one vehicle's rows, in order of time.
///
/// # Errors
/// [`CorruptSegment`].
pub(super) fn runs_of<'a>(
    area: &PreparedArea<'_>,
    window: Window,
    rows: impl Iterator<Item = &'a Hit> + Clone,
) -> Result<Vec<Run>, CorruptSegment> {
    let mut all = Vec::with_capacity(2 * rows.size_hint().0);
    for row in rows.clone() {
        match row {
            Hit::Fix { at, spot, .. } => all.push(Run::of(*at, area.holds(*spot), window)),
            Hit::Segment(segment) => {
                let whole = segment
                    .dwell_alone()
                    .and_then(|(low, high)| Run::of_whole(segment, area.touches(low, high), window));
                match whole {
                    Some(run) => all.push(run),
                    None => open(area, segment, window, &mut all)?,
                }
            }
        }
    }
    all.sort_by_key(|s| (s.first, s.is_inside));
    let is_in_turn = |a: &Run, b: &Run| a.last < b.first || a.last == b.first && a.is_inside == b.is_inside;
    if all.is_sorted_by(is_in_turn) { Ok(all) } else { fix_by_fix(area, window, rows) }
}

/// Appends a segment's runs. What is being looked at is kept apart from those that are done: nearly every fix goes into it.
fn open(area: &PreparedArea<'_>, segment: &Segment, window: Window, all: &mut Vec<Run>) -> Result<(), CorruptSegment> {
    let mut current: Option<Run> = None;
    look(area, segment, |at, is_inside| match &mut current {
        Some(run) if run.is_inside == is_inside && run.last <= at => run.push(at, window),
        _ => all.extend(current.replace(Run::of(at, is_inside, window))),
    })?;
    all.extend(current);
    Ok(())
}

/// As [`runs_of`], where they lie within each other: each fix by itself.
pub(super) fn fix_by_fix<'a>(
    area: &PreparedArea<'_>,
    window: Window,
    rows: impl Iterator<Item = &'a Hit>,
) -> Result<Vec<Run>, CorruptSegment> {
    let mut all = Vec::new();
    for row in rows {
        match row {
            Hit::Fix { at, spot, .. } => all.push(Run::of(*at, area.holds(*spot), window)),
            Hit::Segment(segment) => look(area, segment, |at, is_inside| all.push(Run::of(at, is_inside, window)))?,
        }
    }
    all.sort_by_key(|s| (s.first, s.is_inside));
    Ok(all)
}

/// A segment's fixes as seen from the area.
fn look(
    area: &PreparedArea<'_>,
    segment: &Segment,
    mut see: impl FnMut(Timestamp, bool),
) -> Result<(), CorruptSegment> {
    if segment.kind == SegmentKind::Ride {
        segment.places(|at, spot| see(at, area.holds(spot)))?;
    } else if let SegmentBody::Dwell(dwell) = segment.read()? {
        let is_inside = area.touches(dwell.low, dwell.high);
        dwell.times().for_each(|at| see(at, is_inside));
        dwell.outliers.iter().for_each(|o| see(o.at, area.holds(o.spot)));
    }
    Ok(())
}
