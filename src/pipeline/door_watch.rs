//! Notices that no door is linked: trackers there cannot be heard, and their silence says nothing.

use crate::domain::{Entry, GapCause, Timestamp};

/// For the lanes of a worker whose door is a process of its own.
#[derive(Default)]
pub(super) struct DoorWatch {
    away_since: Option<Timestamp>,
}

impl DoorWatch {
    /// With each tick of the clock: what the journal gets, if a door is away or came back. `from`: the tick before.
    pub fn look(&mut self, is_linked: bool, from: Timestamp, to: Timestamp) -> Option<Entry> {
        if is_linked {
            let from = self.away_since.take()?;
            return Some(Entry::Gap { from, to, cause: GapCause::Away });
        }
        self.away_since.get_or_insert(from);
        Some(Entry::Gap { from, to, cause: GapCause::WithoutDoor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_that_is_away_is_noted_with_each_tick_and_as_one_when_it_is_back() {
        let (mut watch, at) = (DoorWatch::default(), Timestamp::from_secs);
        let gap = |from, to, cause| Some(Entry::Gap { from: at(from), to: at(to), cause });
        assert_eq!(watch.look(true, at(0), at(5)), None);
        assert_eq!(watch.look(false, at(5), at(10)), gap(5, 10, GapCause::WithoutDoor));
        assert_eq!(watch.look(false, at(10), at(15)), gap(10, 15, GapCause::WithoutDoor));
        assert_eq!(watch.look(true, at(15), at(20)), gap(5, 20, GapCause::Away));
        assert_eq!(watch.look(true, at(20), at(25)), None);
    }
}
