//! How packets come from the door to their lanes.
//!
//! A lane that nobody here works on takes none: what waited for it is given up, and the door refuses its trackers.

use crate::domain::{Lane, shard::LANES};
use crate::ingest::Delivery;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// Bytes of packets that wait for a lane; beyond that its trackers' sockets are not read. Four batches of the largest kind.
pub const LANE_BYTES_MAX: usize = 4 << 20;
/// What a packet takes beside its topic and payload, about.
const OVERHEAD_BYTES: usize = 160;

/// What both ends of a queue see.
#[derive(Default)]
struct State {
    bytes: AtomicUsize,
    is_held: AtomicBool,
}

/// The door's end of all queues.
#[derive(Clone)]
pub struct LaneQueues(Arc<[(UnboundedSender<Delivery>, Arc<State>)]>);

/// A lane's end of one.
pub struct Inbox {
    deliveries: UnboundedReceiver<Delivery>,
    state: Arc<State>,
}

fn bytes_of(delivery: &Delivery) -> usize {
    delivery.packet.topic.len() + delivery.packet.payload.len() + OVERHEAD_BYTES
}

impl LaneQueues {
    /// A queue for each lane, in order of the lanes.
    pub fn new() -> (Self, Vec<Inbox>) {
        let pair = |_| {
            let ((sender, deliveries), state) = (mpsc::unbounded_channel(), Arc::<State>::default());
            ((sender, state.clone()), Inbox { deliveries, state })
        };
        let (queues, inboxes): (Vec<_>, Vec<_>) = (0..LANES).map(pair).unzip();
        (Self(queues.into()), inboxes)
    }

    /// Whether somebody here works on the lane.
    pub fn is_held(&self, lane: Lane) -> bool {
        self.0.get(usize::from(lane.0)).is_some_and(|(_, state)| state.is_held.load(Ordering::Relaxed))
    }

    /// Whether more may be read for the lane.
    pub fn has_room(&self, lane: Lane) -> bool {
        self.0.get(usize::from(lane.0)).is_some_and(|(_, state)| state.bytes.load(Ordering::Relaxed) < LANE_BYTES_MAX)
    }

    /// Gives a packet to its lane; one that nobody takes is dropped, which gives it up.
    pub fn put(&self, lane: Lane, delivery: Delivery) {
        let Some((sender, state)) = self.0.get(usize::from(lane.0)) else { return };
        if state.is_held.load(Ordering::Relaxed) {
            state.bytes.fetch_add(bytes_of(&delivery), Ordering::Relaxed);
            drop(sender.send(delivery)); // a lane that is gone takes nothing
        }
    }
}

impl Inbox {
    /// The next packet, in order; nothing that is cancelled takes one away.
    pub async fn next(&mut self) -> Delivery {
        match self.deliveries.recv().await {
            Some(delivery) => self.taken(delivery),
            None => std::future::pending().await, // there is no door any more
        }
    }

    fn taken(&self, delivery: Delivery) -> Delivery {
        self.state.bytes.fetch_sub(bytes_of(&delivery), Ordering::Relaxed);
        delivery
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// From now on packets are taken.
    pub fn open(&self) {
        self.state.is_held.store(true, Ordering::Relaxed);
    }

    /// Whether packets are taken.
    pub fn is_open(&self) -> bool {
        self.state.is_held.load(Ordering::Relaxed)
    }

    /// Takes no more, and gives up what waits.
    pub fn close(&mut self) {
        self.state.is_held.store(false, Ordering::Relaxed);
        while let Ok(delivery) = self.deliveries.try_recv() {
            drop(self.taken(delivery));
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Packet, Timestamp, Way};
    use crate::ingest::receipt::{DoorReceipt, Mailbox, Owed, Place, Receipt, Word};

    fn delivery(mailbox: &Arc<Mailbox>, bytes: usize) -> Delivery {
        let packet = Packet {
            topic: "v1/1/x/up".into(),
            received_at: Timestamp::from_secs(1),
            payload: vec![0; bytes],
            way: Way::Door,
        };
        let place = Place { slot: 0, generation: 0 };
        Delivery { packet, receipt: Receipt::Door(DoorReceipt::new(mailbox.clone(), place, Owed::PubAck(1))) }
    }

    #[tokio::test]
    async fn a_lane_takes_packets_while_it_is_held_and_gives_up_what_waits_when_it_goes() {
        let mailbox = Mailbox::new(|| {});
        let given_up = || mailbox.take(Vec::new()).iter().filter(|(_, word)| *word == Word::GivenUp).count();
        let (queues, mut inboxes) = LaneQueues::new();
        queues.put(Lane(3), delivery(&mailbox, 10));
        assert_eq!(given_up(), 1, "nobody holds the lane");
        inboxes[3].open();
        queues.put(Lane(3), delivery(&mailbox, LANE_BYTES_MAX));
        assert!(!queues.has_room(Lane(3)) && queues.has_room(Lane(4)));
        let taken = inboxes[3].next().await;
        assert!(queues.has_room(Lane(3)));
        queues.put(Lane(3), delivery(&mailbox, 10));
        assert_eq!(given_up(), 0);
        drop(inboxes);
        assert_eq!(given_up(), 1, "what waited; what the lane has is the lane's");
        drop(taken);
        assert_eq!(given_up(), 1);
        assert!(!queues.is_held(Lane(3)));
    }
}
