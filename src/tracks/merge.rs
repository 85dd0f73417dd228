//! Late fixes: into the segments they fall into, or segments of their own.

use crate::domain::{TrackerKey, VehicleId};
use crate::tracks::segmenter::{cut, rides};
use crate::tracks::{CorruptSegment, Dwell, ReceivedFix, Segment, SegmentBody, TrackFix};

/// What becomes of the segments that late fixes touched.
#[derive(Debug, Default, PartialEq)]
pub struct Merged {
    /// Which segments are replaced, and by what.
    pub replaced: Vec<(usize, Vec<Segment>)>,
    /// Segments that were not there before.
    pub added: Vec<Segment>,
    /// Fixes that were not there before.
    pub new_fixes: Vec<ReceivedFix>,
}

struct Touched {
    vehicle: Option<VehicleId>,
    body: SegmentBody,
    is_changed: bool,
}

impl Touched {
    /// Takes a fix; says whether it was new.
    fn insert(&mut self, fix: &TrackFix) -> bool {
        let is_new = match &mut self.body {
            SegmentBody::Dwell(dwell) => dwell.insert(fix),
            SegmentBody::Ride(fixes) => insert(fixes, fix),
        };
        self.is_changed |= is_new;
        is_new
    }
}

fn insert(fixes: &mut Vec<TrackFix>, fix: &TrackFix) -> bool {
    let place = fixes.partition_point(|f| f.at <= fix.at);
    if fixes[..place].iter().rev().take_while(|f| f.at == fix.at).any(|f| f.is_same_as(fix)) {
        return false;
    }
    fixes.insert(place, *fix);
    true
}

/// Merges late fixes of one tracker, in time order, into its segments of that time (which may be none).
/// The same fix again changes nothing.
///
/// # Errors
/// A segment that cannot be read, named.
pub fn merge(tracker: TrackerKey, segments: &[Segment], late: &[ReceivedFix]) -> Result<Merged, CorruptSegment> {
    let mut touched = segments
        .iter()
        .map(|p| Ok(Touched { vehicle: p.vehicle, body: p.read()?, is_changed: false }))
        .collect::<Result<Vec<_>, CorruptSegment>>()?;
    let (mut merged, mut left) = (Merged::default(), Vec::new());
    for heard in late {
        let around = touched
            .iter_mut()
            .zip(segments)
            .filter(|(t, p)| t.vehicle == heard.vehicle && (p.from..=p.until).contains(&heard.fix.at));
        // A ride knows its fixes exactly, so it is asked before a dwell.
        let mut around: Vec<_> = around.map(|(t, _)| t).collect();
        around.sort_by_key(|t| matches!(t.body, SegmentBody::Dwell(_)));
        let is_known = around.iter().any(|t| match &t.body {
            SegmentBody::Ride(fixes) => fixes.iter().any(|f| f.is_same_as(&heard.fix)),
            SegmentBody::Dwell(dwell) => knows(dwell, &heard.fix),
        });
        match around.first_mut() {
            _ if is_known => {}
            Some(segment) => {
                if segment.insert(&heard.fix) {
                    merged.new_fixes.push(*heard);
                }
            }
            None => left.push(*heard),
        }
    }
    for (index, segment) in touched.into_iter().enumerate().filter(|(_, t)| t.is_changed) {
        let instead = match segment.body {
            SegmentBody::Dwell(dwell) => vec![Segment::dwell(tracker, &dwell)],
            SegmentBody::Ride(fixes) => rides(tracker, segment.vehicle, &fixes),
        };
        merged.replaced.push((index, instead));
    }
    left.dedup_by(|a, b| a.fix.is_same_as(&b.fix));
    merged.added = cut(tracker, None, &left, None).closed;
    merged.new_fixes.extend(left);
    Ok(merged)
}

fn knows(dwell: &Dwell, fix: &TrackFix) -> bool {
    if dwell.holds(fix) { dwell.times().any(|t| t == fix.at) } else { dwell.outliers.iter().any(|o| o.is_same_as(fix)) }
}
