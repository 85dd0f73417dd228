//! Which trackers are connected to the door of this process, and how words get to them.

use crate::domain::{Timestamp, TrackerIdent, topic};
use crate::ingest::publisher::Publisher;
use crate::ingest::receipt::{Mailbox, Place, Word};
use crate::ingest::remote_doors::RemoteDoors;
use crate::ingest::visits::{News, Told, Visit};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A connection of a tracker.
struct Entered {
    mailbox: Arc<Mailbox>,
    place: Place,
    /// Whether it hears answers and commands.
    is_subscribed: bool,
    visit: Visit,
    /// The connection before, which may stay for a while; one only.
    before: Option<Box<Entered>>,
}

/// Tracker → its connection, and what operators have not been told yet.
#[derive(Default)]
struct Known {
    here: HashMap<TrackerIdent, Entered>,
    news: News,
}

/// Tracker → its connection; one each.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<Known>>);

impl Places {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tracker is there; an older connection of it is told (MQTT 3.1.1, 3.1.4-2). Says whether there was one.
    pub fn enter(
        &self,
        ident: TrackerIdent,
        (mailbox, place): (Arc<Mailbox>, Place),
        is_subscribed: bool,
        visit: Visit,
    ) -> bool {
        let mut known = self.lock();
        known.news.came(&ident);
        let Some(earlier) = known.here.remove(&ident) else {
            known.here.insert(ident, Entered { mailbox, place, is_subscribed, visit, before: None });
            return false;
        };
        earlier.mailbox.put([(earlier.place, Word::Replaced)]);
        if let Some(oldest) = &earlier.before {
            oldest.mailbox.put([(oldest.place, Word::Outlived)]);
        }
        let before = Some(Box::new(Entered { before: None, ..earlier }));
        known.here.insert(ident, Entered { mailbox, place, is_subscribed, visit, before });
        true
    }

    /// A connection ended; that of a newer one stays, and an older one that is still there has the place again. Says whether
    /// there is none any more.
    pub fn leave(
        &self,
        ident: &TrackerIdent,
        (mailbox, place): (&Arc<Mailbox>, Place),
        (at, why): (Timestamp, &'static str),
    ) -> bool {
        let mut known = self.lock();
        let Known { here, news } = &mut *known;
        let is_it = |entered: &Entered| entered.place == place && Arc::ptr_eq(&entered.mailbox, mailbox);
        let Some(holder) = here.get_mut(ident) else { return false };
        if !is_it(holder) {
            holder.before = holder.before.take().filter(|before| !is_it(before));
            return false;
        }
        match holder.before.take() {
            Some(before) => {
                before.mailbox.put([(before.place, Word::Restored)]);
                *holder = *before;
                news.came(ident);
                false
            }
            None => {
                news.went(ident, holder.visit, at, why);
                here.remove(ident).is_some()
            }
        }
    }

    /// From now on a tracker hears answers and commands by its connection, or not.
    pub fn subscribe(&self, ident: &TrackerIdent, is_subscribed: bool) {
        if let Some(entered) = self.lock().here.get_mut(ident) {
            entered.is_subscribed = is_subscribed;
        }
    }

    /// Sends bytes to a tracker; says whether its connection hears them.
    pub fn send(&self, ident: &TrackerIdent, payload: &[u8]) -> bool {
        let known = self.lock();
        let Some(entered) = known.here.get(ident).filter(|entered| entered.is_subscribed) else { return false };
        entered.mailbox.put([(entered.place, Word::Message(payload.to_vec()))]);
        true
    }

    /// A tracker is not admitted any more: whoever is connected as it goes. Says whether somebody was.
    pub fn shut_out(&self, ident: &TrackerIdent, at: Timestamp) -> bool {
        let mut known = self.lock();
        known.news.shut_out(ident, at);
        let Some(holder) = known.here.get(ident) else { return false };
        for Entered { mailbox, place, .. } in [Some(holder), holder.before.as_deref()].into_iter().flatten() {
            mailbox.put([(*place, Word::NotAdmitted)]);
        }
        true
    }

    /// A datagram of a tracker came.
    pub fn heard(&self, ident: &TrackerIdent, visit: Visit) {
        self.lock().news.heard(ident, visit);
    }

    /// Whoever sent no datagram since then is not there any more; the others are counted by listener.
    pub fn count_datagrams(&self, since: Timestamp, counts: &mut [u64]) {
        let mut known = self.lock();
        known.news.forget_silent(since);
        known.news.count_datagrams(counts);
    }

    /// Takes what operators have not been told yet, so much at most.
    pub fn take_news(&self, most: usize) -> Vec<Told> {
        let mut known = self.lock();
        let Known { here, news } = &mut *known;
        news.take(most, |ident| here.get(ident).map(|entered| entered.visit))
    }

    /// What was taken could not be told.
    pub fn put_back(&self, taken: Vec<Told>) {
        let mut known = self.lock();
        let Known { here, news } = &mut *known;
        news.put_back(taken, |ident| here.contains_key(ident));
    }

    /// Everybody who is there is told of again.
    pub fn tell_all(&self) {
        let mut known = self.lock();
        let Known { here, news } = &mut *known;
        news.tell_all(here.keys().cloned());
    }
}

/// How answers and commands get to trackers: by their connection at the door, else by the broker.
pub struct Outlet {
    /// Trackers at the door.
    pub places: Places,
    /// Doors of other processes.
    pub remote: RemoteDoors,
    /// The broker's way.
    pub publisher: Publisher,
}

impl Outlet {
    /// Sends bytes to a tracker, or to nobody: it asks again.
    pub fn send(&self, ident: &TrackerIdent, payload: &[u8]) {
        if !self.places.send(ident, payload) {
            self.remote.send(ident, payload);
            self.publisher.send(topic::down_topic(ident), payload.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::visits::Network;
    use std::net::IpAddr;

    fn visit(second: i64) -> Visit {
        let network = Network::of(IpAddr::from([192, 0, 2, 1]));
        Visit { began_at: Timestamp::from_secs(second), listener: 0, mqtt: None, network }
    }

    const END: (Timestamp, &str) = (Timestamp::from_secs(99), "closed");

    #[test]
    fn a_newer_connection_takes_the_place_and_the_older_ones_end_does_not_take_it_away() {
        let (places, mailbox) = (Places::default(), Mailbox::new(|| {}));
        let ident = TrackerIdent::parse("yy1").unwrap();
        let place = |slot| Place { slot, generation: 0 };
        let said = || mailbox.take(Vec::new());
        assert!(!places.enter(ident.clone(), (mailbox.clone(), place(1)), true, visit(i64::from(1_u32))));
        assert!(places.enter(ident.clone(), (mailbox.clone(), place(2)), false, visit(i64::from(2_u32))));
        assert!(!places.leave(&ident, (&mailbox, place(1)), END));
        assert!(!places.send(&ident, &[1]), "it has not subscribed: the broker's way may know it");
        places.subscribe(&ident, true);
        assert!(places.send(&ident, &[1]));
        assert_eq!(said(), [(place(1), Word::Replaced), (place(2), Word::Message(vec![1]))]);
        assert!(places.leave(&ident, (&mailbox, place(2)), END), "the older one is not there any more");
        assert!(!places.shut_out(&ident, END.0));
        assert_eq!(places.take_news(9), [Told { ident, visit: visit(2), ended: Some(END) }]);
    }

    #[test]
    fn an_older_connection_that_stayed_has_the_place_again_and_goes_with_its_tracker() {
        let (places, mailbox) = (Places::default(), Mailbox::new(|| {}));
        let ident = TrackerIdent::parse("yy1").unwrap();
        let place = |slot| Place { slot, generation: 0 };
        let said = || mailbox.take(Vec::new());
        for slot in 1..=3 {
            places.enter(ident.clone(), (mailbox.clone(), place(slot)), true, visit(i64::from(slot)));
        }
        assert_eq!(
            said(),
            [(place(1), Word::Replaced), (place(2), Word::Replaced), (place(1), Word::Outlived)],
            "one older connection stays"
        );
        assert!(!places.leave(&ident, (&mailbox, place(1)), END) && !places.leave(&ident, (&mailbox, place(3)), END));
        assert_eq!(said(), [(place(2), Word::Restored)]);
        assert_eq!(places.take_news(9), [Told { ident: ident.clone(), visit: visit(2), ended: None }]);
        places.tell_all();
        assert_eq!(places.take_news(9).len(), 1);
        places.enter(ident.clone(), (mailbox.clone(), place(4)), true, visit(i64::from(4_u32)));
        assert!(places.shut_out(&ident, END.0));
        assert_eq!(said()[1..], [(place(4), Word::NotAdmitted), (place(2), Word::NotAdmitted)]);
    }
}
