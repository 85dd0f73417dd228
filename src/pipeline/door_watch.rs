//! Notices that no door is linked: trackers there cannot be heard, and their silence says nothing.

use crate::domain::{Entry, GapCause, Timestamp};
use prometheus::IntGauge;

/// For the lanes of a worker whose door is a process of its own.
#[derive(Default)]
pub(super) struct DoorWatch {
    away_since: Option<Timestamp>,
}

/// Counted in a gauge until this is dropped.
pub(super) struct Counted(IntGauge);

impl Counted {
    pub fn by(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What changed for people who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Went,
    Came,
}

impl DoorWatch {
    /// With each tick of the clock: what the journal gets, if a door is away or came back. `from`: the tick before.
    pub fn look(&mut self, is_linked: bool, from: Timestamp, to: Timestamp) -> (Option<Entry>, Option<Change>) {
        if is_linked {
            let gap = self.away_since.take().map(|from| Entry::Gap { from, to, cause: GapCause::DoorAway });
            let change = gap.as_ref().map(|_| Change::Came);
            return (gap, change);
        }
        let change = self.away_since.is_none().then_some(Change::Went);
        self.away_since.get_or_insert(from);
        (Some(Entry::Gap { from, to, cause: GapCause::WithoutDoor }), change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_that_is_away_is_noted_with_each_tick_and_as_one_when_it_is_back() {
        let (mut watch, at) = (DoorWatch::default(), Timestamp::from_secs);
        let gap = |from, to, cause| Some(Entry::Gap { from: at(from), to: at(to), cause });
        assert_eq!(watch.look(true, at(0), at(5)), (None, None));
        assert_eq!(watch.look(false, at(5), at(10)), (gap(5, 10, GapCause::WithoutDoor), Some(Change::Went)));
        assert_eq!(watch.look(false, at(10), at(15)), (gap(10, 15, GapCause::WithoutDoor), None));
        assert_eq!(watch.look(true, at(15), at(20)), (gap(5, 20, GapCause::DoorAway), Some(Change::Came)));
        assert_eq!(watch.look(true, at(20), at(25)), (None, None));
    }
}
