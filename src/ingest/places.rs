//! Which trackers are connected to the door of this process, and how words get to them.

use crate::domain::{TrackerIdent, topic};
use crate::ingest::publisher::Publisher;
use crate::ingest::receipt::{Mailbox, Place, Word};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A connection of a tracker.
struct Entered {
    mailbox: Arc<Mailbox>,
    place: Place,
    /// Whether it hears answers and commands.
    is_subscribed: bool,
    /// The connection before, which may stay for a while; one only.
    before: Option<(Arc<Mailbox>, Place)>,
}

/// Tracker → its connection; one each.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<HashMap<TrackerIdent, Entered>>>);

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<TrackerIdent, Entered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tracker is there; an older connection of it is told to end (MQTT 3.1.1, 3.1.4-2). Says whether there was one.
    pub fn enter(&self, ident: TrackerIdent, mailbox: Arc<Mailbox>, place: Place, is_subscribed: bool) -> bool {
        let mut places = self.lock();
        let earlier = places.remove(&ident);
        let before = earlier.as_ref().map(|earlier| (earlier.mailbox.clone(), earlier.place));
        places.insert(ident, Entered { mailbox, place, is_subscribed, before });
        let Some(Entered { mailbox, place, before, .. }) = earlier else { return false };
        mailbox.put([(place, Word::Replaced)]);
        if let Some((mailbox, place)) = before {
            mailbox.put([(place, Word::Outlived)]);
        }
        true
    }

    /// Whether the connection of a tracker is gone, so that an older one may take the place again.
    pub fn is_free(&self, ident: &TrackerIdent) -> bool {
        !self.lock().contains_key(ident)
    }

    /// A connection ended; that of a newer one stays. Says whether there is none any more.
    pub fn leave(&self, ident: &TrackerIdent, mailbox: &Arc<Mailbox>, place: Place) -> bool {
        let mut places = self.lock();
        let is_own = places.get(ident).is_some_and(|e| e.place == place && Arc::ptr_eq(&e.mailbox, mailbox));
        if is_own {
            places.remove(ident);
        }
        is_own
    }

    /// From now on a tracker hears answers and commands by its connection, or not.
    pub fn subscribe(&self, ident: &TrackerIdent, is_subscribed: bool) {
        if let Some(entered) = self.lock().get_mut(ident) {
            entered.is_subscribed = is_subscribed;
        }
    }

    /// Sends bytes to a tracker; says whether its connection hears them.
    pub fn send(&self, ident: &TrackerIdent, payload: &[u8]) -> bool {
        let places = self.lock();
        let Some(entered) = places.get(ident).filter(|entered| entered.is_subscribed) else { return false };
        entered.mailbox.put([(entered.place, Word::Message(payload.to_vec()))]);
        true
    }

    /// Sends a word to a tracker; says whether it is connected.
    pub fn tell(&self, ident: &TrackerIdent, word: Word) -> bool {
        let places = self.lock();
        let Some(Entered { mailbox, place, .. }) = places.get(ident) else { return false };
        mailbox.put([(*place, word)]);
        true
    }
}

/// How answers and commands get to trackers: by their connection at the door, else by the broker.
pub struct Outlet {
    /// Trackers at the door.
    pub places: Places,
    /// The broker's way.
    pub publisher: Publisher,
}

impl Outlet {
    /// Sends bytes to a tracker, or to nobody: it asks again.
    pub fn send(&self, ident: &TrackerIdent, payload: &[u8]) {
        if !self.places.send(ident, payload) {
            self.publisher.send(topic::down_topic(ident), payload.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_connection_takes_the_place_and_the_older_ones_end_does_not_take_it_away() {
        let (places, mailbox) = (Places::default(), Mailbox::new(|| {}));
        let ident = TrackerIdent::parse("yy1").unwrap();
        let place = |slot| Place { slot, generation: 0 };
        assert!(!places.enter(ident.clone(), mailbox.clone(), place(1), true));
        assert!(places.enter(ident.clone(), mailbox.clone(), place(2), false));
        assert!(!places.leave(&ident, &mailbox, place(1)));
        assert!(!places.send(&ident, &[1]), "it has not subscribed: the broker's way may know it");
        places.subscribe(&ident, true);
        assert!(places.send(&ident, &[1]));
        let words = mailbox.take(Vec::new());
        assert_eq!(words, [(place(1), Word::Replaced), (place(2), Word::Message(vec![1]))]);
        assert!(places.leave(&ident, &mailbox, place(2)));
        assert!(!places.tell(&ident, Word::NotAdmitted));
    }
}
