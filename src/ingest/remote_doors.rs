//! Doors of other processes, and how answers and commands get to the trackers there.

use crate::domain::{Lane, Shard, TrackerIdent};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Answers that may wait for a link; beyond that a tracker asks again.
const WAITING_MAX: usize = 4096;

/// A tracker and what it is to hear.
pub type Word = (TrackerIdent, Vec<u8>);

/// Lane and number of a link → its way out, and whether what it says is of now.
type Links = BTreeMap<(Lane, u64), (Sender<Word>, bool)>;

/// Which doors are linked, by lane. Usually there is one.
#[derive(Clone, Default)]
pub struct RemoteDoors(Arc<Mutex<(u64, Links)>>);

/// A link that is there until this is dropped.
pub struct Linked {
    doors: RemoteDoors,
    key: (Lane, u64),
    /// What is to be sent.
    pub words: Receiver<Word>,
}

impl RemoteDoors {
    fn lock(&self) -> MutexGuard<'_, (u64, Links)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A door is there for a lane.
    pub fn enter(&self, lane: Lane) -> Linked {
        let (sender, words) = mpsc::channel(WAITING_MAX);
        let mut links = self.lock();
        links.0 += 1;
        let key = (lane, links.0);
        links.1.insert(key, (sender, false));
        drop(links);
        Linked { doors: self.clone(), key, words }
    }

    /// Whether a door is there for a lane, and tells of now: while it empties its spool, nobody's silence says anything.
    pub fn has(&self, lane: Lane) -> bool {
        self.of(&self.lock(), lane).any(|(_, is_of_now)| *is_of_now)
    }

    fn of<'a>(&self, links: &'a (u64, Links), lane: Lane) -> impl Iterator<Item = &'a (Sender<Word>, bool)> {
        links.1.range((lane, 0)..=(lane, u64::MAX)).map(|(_, link)| link)
    }

    /// Sends bytes to a tracker, wherever it is connected; where it is not, nobody hears it.
    pub fn send(&self, ident: &TrackerIdent, payload: &[u8]) {
        let lane = Shard::of(ident.as_str()).lane();
        for (sender, _) in self.of(&self.lock(), lane) {
            drop(sender.try_send((ident.clone(), payload.to_vec())));
        }
    }
}

impl Linked {
    /// Its lane.
    pub fn lane(&self) -> Lane {
        self.key.0
    }

    /// What it says is of now.
    pub fn catch_up(&self) {
        if let Some((_, is_of_now)) = self.doors.lock().1.get_mut(&self.key) {
            *is_of_now = true;
        }
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.doors.lock().1.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_is_reached_by_every_door_of_its_lane_while_that_is_linked() {
        let (doors, ident) = (RemoteDoors::default(), TrackerIdent::parse("yy1").unwrap());
        let lane = Shard::of("yy1").lane();
        let other = Lane((lane.0 + 1) % crate::domain::shard::LANES);
        assert!(!doors.has(lane));
        let (mut first, mut second, mut elsewhere) = (doors.enter(lane), doors.enter(lane), doors.enter(other));
        doors.send(&ident, b"x");
        for linked in [&mut first, &mut second] {
            assert_eq!(linked.words.try_recv().unwrap(), (ident.clone(), b"x".to_vec()));
        }
        assert!(elsewhere.words.try_recv().is_err());
        assert!(!doors.has(lane), "they may be emptying their spools");
        [&first, &second, &elsewhere].into_iter().for_each(Linked::catch_up);
        drop(first);
        assert!(doors.has(lane));
        drop(second);
        assert!(!doors.has(lane) && doors.has(other));
    }
}
