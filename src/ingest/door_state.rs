//! Whether the door of this process lets trackers in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// 0: this process has no door.
const LIST_UNREAD: u8 = 1;
const OPEN: u8 = 2;

/// Whether the door of this process lets trackers in: its listeners are open, and its list of trackers was read.
#[derive(Clone, Default)]
pub struct DoorState(Arc<AtomicU8>);

impl DoorState {
    /// Its listeners are open; whoever logs in is told to wait.
    pub fn note_listening(&self) {
        self.0.store(LIST_UNREAD, Ordering::Relaxed);
    }

    /// It knows whom to let in. A database that is away later changes nothing: whoever may come in, still may.
    pub fn note_list_read(&self) {
        self.0.store(OPEN, Ordering::Relaxed);
    }

    /// Whether trackers wait for it.
    pub fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == LIST_UNREAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trackers_wait_for_a_door_whose_list_was_not_read_and_for_no_door_nobody_does() {
        let state = DoorState::default();
        assert!(!state.is_waiting());
        state.note_listening();
        assert!(state.is_waiting());
        state.note_list_read();
        assert!(!state.is_waiting());
    }
}
