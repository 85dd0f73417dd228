//! The right to acknowledge one packet, and the way back to whoever sent it.
//!
//! Behind a broker, a packet that nobody acknowledges is the broker's to keep. Behind the door only the tracker keeps it, and
//! MQTT 3.1.1 repeats it at the next connection only (4.4). So a receipt of the door that is dropped ends its connection.

use crate::ingest::acks::BrokerReceipt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Names one packet on one connection.
#[derive(Debug)]
pub enum Receipt {
    /// Of the lane's session at the broker.
    Broker(BrokerReceipt),
    /// Of a tracker's own connection.
    Door(DoorReceipt),
}

impl Receipt {
    /// The packet is counted and not kept: whoever is answered on a socket is not told otherwise, and sends it again. An
    /// acknowledgement of MQTT leaves, for a packet without one would be all that its tracker ever sends.
    pub fn owe_no_answer(&mut self) {
        if let Self::Door(DoorReceipt { owed: Owed::Answer(answer) | Owed::Datagram { answer, .. }, .. }) = self {
            *answer = Box::default();
        }
    }
}

/// Where a connection is in its thread of the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its row.
    pub slot: u32,
    /// How many connections had the row before: who comes later gets nothing of an earlier one's.
    pub generation: u32,
}

/// What a tracker hears of a packet that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
    /// Nothing (QoS 0), or an answer of its language that the engine makes.
    Nothing,
    /// These bytes: the answer of a language on a socket of its own. Empty: the frame was counted only.
    Answer(Box<[u8]>),
    /// The same to a datagram.
    Datagram {
        /// Who sent it.
        to: SocketAddr,
        /// The answer.
        answer: Box<[u8]>,
    },
    /// PUBACK of this packet id.
    PubAck(u16),
    /// PUBREC of this packet id.
    PubRec(u16),
}

/// Word to a connection of the door.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    /// The journal, or the spool, has a packet.
    Kept(Owed),
    /// Nobody will keep a packet: the tracker must connect again and repeat it.
    GivenUp,
    /// An answer or a command.
    Message(Vec<u8>),
    /// Whether what a terminal registered with is kept; none: nobody knows, for the database is away.
    Registered(Option<bool>),
    /// A newer connection of the same tracker is there.
    Replaced,
    /// The newer one is gone: the place is its again.
    Restored,
    /// A newer one than that is there, too.
    Outlived,
    /// The tracker was removed, or has another password.
    NotAdmitted,
}

/// A word and whom it is for.
pub type Letter = (Place, Word);

/// Where a thread of the door gets its words.
pub struct Mailbox {
    waiting: Mutex<Vec<Letter>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl Mailbox {
    /// An empty one; `wake` is called when it no longer is.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), wake: Box::new(wake) })
    }

    /// Adds words.
    pub fn put(&self, words: impl IntoIterator<Item = Letter>) {
        let was_empty = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let was_empty = waiting.is_empty();
            waiting.extend(words);
            was_empty && !waiting.is_empty()
        };
        if was_empty {
            (self.wake)();
        }
    }

    /// Wakes whoever reads it.
    pub fn wake(&self) {
        (self.wake)();
    }

    /// Takes what is there; `room` is left in its place.
    pub fn take(&self, room: Vec<Letter>) -> Vec<Letter> {
        std::mem::replace(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner), room)
    }
}

/// Of a packet that came by a connection of the door.
#[derive(Debug)]
pub struct DoorReceipt {
    /// None: it was released.
    mailbox: Option<Arc<Mailbox>>,
    place: Place,
    owed: Owed,
}

impl DoorReceipt {
    /// Of a packet of the connection at this place.
    pub fn new(mailbox: Arc<Mailbox>, place: Place, owed: Owed) -> Self {
        Self { mailbox: Some(mailbox), place, owed }
    }
}

impl Drop for DoorReceipt {
    fn drop(&mut self) {
        if let Some(mailbox) = self.mailbox.take() {
            mailbox.put([(self.place, Word::GivenUp)]);
        }
    }
}

/// Tells connections of the door that their packets are kept, a letter for each thread.
pub fn release(receipts: impl IntoIterator<Item = DoorReceipt>) {
    let mut letters: Vec<(Arc<Mailbox>, Vec<Letter>)> = Vec::new();
    for mut receipt in receipts {
        let Some(mailbox) = receipt.mailbox.take() else { continue };
        let word = (receipt.place, Word::Kept(std::mem::replace(&mut receipt.owed, Owed::Nothing)));
        match letters.iter_mut().find(|(to, _)| Arc::ptr_eq(to, &mailbox)) {
            Some((_, words)) => words.push(word),
            None => letters.push((mailbox, vec![word])),
        }
    }
    letters.into_iter().for_each(|(mailbox, words)| mailbox.put(words));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_receipt_that_is_released_acknowledges_and_one_that_is_dropped_gives_up() {
        let woken = Arc::<AtomicU32>::default();
        let count = woken.clone();
        let mailbox = Mailbox::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let place = |slot| Place { slot, generation: 7 };
        let of = |slot, owed| DoorReceipt::new(mailbox.clone(), place(slot), owed);
        release([of(1, Owed::PubAck(5)), of(2, Owed::Nothing)]);
        drop(of(3, Owed::PubRec(9)));
        let words = mailbox.take(Vec::new());
        assert_eq!(
            words,
            [(place(1), Word::Kept(Owed::PubAck(5))), (place(2), Word::Kept(Owed::Nothing)), (place(3), Word::GivenUp)]
        );
        assert_eq!(woken.load(Ordering::Relaxed), 1, "whoever has letters is awake");
        assert!(mailbox.take(Vec::new()).is_empty());
    }

    #[test]
    fn who_is_beyond_the_quota_gets_acknowledgements_of_mqtt_and_no_answers() {
        let mailbox = Mailbox::new(|| {});
        let (place, to) = (Place { slot: 1, generation: 0 }, ([127, 0, 0, 1], 1).into());
        for (owed, told) in [
            (Owed::PubAck(5), Owed::PubAck(5)),
            (Owed::Answer([1].into()), Owed::Answer(Box::default())),
            (Owed::Datagram { to, answer: [1].into() }, Owed::Datagram { to, answer: Box::default() }),
        ] {
            let mut receipt = Receipt::Door(DoorReceipt::new(mailbox.clone(), place, owed));
            receipt.owe_no_answer();
            let Receipt::Door(receipt) = receipt else { panic!("of the door") };
            release([receipt]);
            assert_eq!(mailbox.take(Vec::new()), [(place, Word::Kept(told))]);
        }
    }
}
