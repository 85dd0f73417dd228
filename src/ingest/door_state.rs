//! Whether the door of this process lets trackers in.

use crate::domain::Lane;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A bit for each lane, and two more.
const LANES: u32 = 0xffff;
const LISTENING: u32 = 1 << 16;
const LIST_READ: u32 = 1 << 17;

/// Whether the door of this process lets trackers in: its listeners are open, its list of trackers was read, and every lane has
/// taken up its work. 0: this process has no door.
#[derive(Clone, Default)]
pub struct DoorState(Arc<AtomicU32>);

impl DoorState {
    /// Its listeners are open; whoever logs in is told to wait.
    pub fn note_listening(&self) {
        self.0.fetch_or(LISTENING, Ordering::Relaxed);
    }

    /// It knows whom to let in. A database that is away later changes nothing: whoever may come in, still may.
    pub fn note_list_read(&self) {
        self.0.fetch_or(LIST_READ, Ordering::Relaxed);
    }

    /// A lane takes packets of the door.
    pub fn note_lane(&self, lane: Lane) {
        self.0.fetch_or(1 << lane.0, Ordering::Relaxed);
    }

    /// What trackers wait for, if they do.
    pub fn waits_for(&self) -> Option<&'static str> {
        let state = self.0.load(Ordering::Relaxed);
        match state & LISTENING != 0 {
            true if state & LIST_READ == 0 => Some("the door has not read its list of trackers yet"),
            true if state & LANES != LANES => Some("the lanes do not take packets of the door yet"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trackers_wait_for_a_door_until_its_list_was_read_and_every_lane_works_and_for_no_door_nobody_does() {
        let state = DoorState::default();
        assert_eq!(state.waits_for(), None);
        state.note_listening();
        assert!(state.waits_for().is_some_and(|what| what.contains("list of trackers")));
        state.note_list_read();
        for lane in Lane::all() {
            assert!(state.waits_for().is_some_and(|what| what.contains("lanes")), "{lane:?}");
            state.note_lane(lane);
        }
        assert_eq!(state.waits_for(), None);
    }
}
