//! A batch on its way.

use crate::domain::{Entry, Flood, Packet};
use crate::engine::{LaneState, Reply, Switched};
use crate::ingest::{Delivery, Receipt};
use crate::pipeline::packet_quota::{PacketQuota, Sender};
use crate::telemetry::Metrics;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Most bytes of payloads in a batch, but for one packet's. What a lane writes at once keeps all its trackers waiting, and only
/// afterwards it learns whether anybody can read it. A thousand usual packets have 300 KB.
const BYTES_MAX: usize = 1 << 20;
/// Most packets that a batch acknowledges, if most of them are beyond a quota: half of what the broker sends ahead, so that
/// it goes on sending while they are counted.
const RECEIPTS_MAX: usize = 2_000;

/// What a packet of the last batch lets the next one wait for: a lane of more than a thousand packets a second soon waits
/// longest.
const WAIT_PER_PACKET: Duration = Duration::from_millis(1);
/// The longest wait, unless the usual one is longer. A batch costs PostgreSQL as much as some hundred packets of it do, so a
/// busy lane makes fewer: with 300 ms instead of 100 a fix costs it half (docs/performance.md), and an alert is still sent
/// within the half second.
const LONGEST_WAIT: Duration = Duration::from_millis(300);
/// The same for a lane of some hundred packets a second, which comes to its longest wait earlier: six thousand fixes a second
/// in batches of seven took more than half a processor of PostgreSQL's.
const SOME_PER_PACKET: Duration = Duration::from_millis(3);
const SOME_LONGEST_WAIT: Duration = Duration::from_millis(50);

/// Inputs in the order in which they will be journaled, and what is owed for them.
#[derive(Default)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    pub receipts: Vec<Receipt>,
    pub setting_cursor: i64,
    /// Batches of another worker's spool that are among the entries.
    pub handed_over: Vec<i64>,
    /// Packets among the entries.
    pub packets: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
    /// Where among the entries the packets of a sender beyond its quota are counted.
    pub floods: HashMap<Sender, usize>,
    /// Owed to trackers for packets that are not kept.
    pub replies: Vec<Reply>,
    /// Who sent them.
    pub senders: Senders,
}

impl Batch {
    /// Takes a delivery in. What only shows retained messages is acknowledged in its turn, counted, and no input. Of what is
    /// beyond the sender's quota only the count is.
    pub fn take(&mut self, delivery: Delivery, quota: &mut PacketQuota, metrics: &Metrics) {
        let (packet, retained) = (&delivery.packet, delivery.of_retained());
        let mut receipt = delivery.receipt;
        if let Some(kind) = retained {
            self.receipts.push(receipt);
            return metrics.retained_messages.with_label_values(&[kind.name()]).inc();
        }
        let sender = quota.sender(&packet.topic);
        self.senders.count(sender);
        if quota.admits(sender, packet.payload.len(), Instant::now()) {
            self.packets += 1;
            self.bytes += packet.payload.len();
            self.entries.push(Entry::Packet(delivery.packet));
        } else {
            metrics.packets_over_quota.inc();
            self.cut(sender, packet);
            receipt.owe_no_answer();
        }
        self.receipts.push(receipt);
    }

    fn cut(&mut self, sender: Sender, packet: &Packet) {
        let (bytes, at) = (packet.payload.len() as u64, packet.received_at);
        let place = self.floods.get(&sender).and_then(|place| self.entries.get_mut(*place));
        if let Some(Entry::Flood(flood)) = place {
            (flood.packets, flood.bytes) = (flood.packets + 1, flood.bytes + bytes);
            (flood.from, flood.to) = (flood.from.min(at), flood.to.max(at));
        } else {
            self.floods.insert(sender, self.entries.len());
            let topic = packet.topic.clone();
            self.entries.push(Entry::Flood(Flood { topic, packets: 1, bytes, from: at, to: at }));
        }
    }

    /// Before anything of it is written: packets of vehicles whose positioning is off give way to counts.
    pub fn withhold(&mut self, state: &LaneState, switched: &Switched) {
        let replies = state.withhold(&mut self.entries, switched);
        self.replies.extend(replies);
        self.floods.clear(); // the places have moved
    }

    /// Whether it takes no more; `packets_max` is the setting.
    pub fn is_full(&self, packets_max: usize) -> bool {
        self.packets >= packets_max || self.bytes >= BYTES_MAX || self.receipts.len() >= packets_max.max(RECEIPTS_MAX)
    }

    /// What has to be kept of it when it was not journaled. Settings are not: the database gives them again.
    pub fn owed(mut self) -> Self {
        self.entries.retain(|entry| !matches!(entry, Entry::Setting { .. }));
        self.handed_over.clear();
        self.floods.clear(); // the places have moved
        self
    }
}

/// A sender with more than one in so many of a batch's packets is no sign of a busy lane: it floods, or brings a backlog.
const FEW: u32 = 8;

/// How many packets came of whom.
#[derive(Default)]
pub(super) struct Senders {
    packets: u32,
    by_sender: HashMap<Sender, u32>,
}

impl Senders {
    fn count(&mut self, sender: Sender) {
        self.packets += 1;
        *self.by_sender.entry(sender).or_default() += 1;
    }

    /// The packets without those of senders that have more than an eighth each.
    fn of_many(&self) -> u32 {
        self.by_sender.values().filter(|count| **count * FEW <= self.packets).sum()
    }
}

/// How long a batch waits for more packets, by how many the last one had.
#[derive(Default)]
pub(super) struct Linger(u32);

impl Linger {
    /// The next batch's wait; `usual` is that of a lane with little to do.
    pub fn wait(&self, usual: Duration) -> Duration {
        let some = SOME_PER_PACKET.saturating_mul(self.0).min(SOME_LONGEST_WAIT);
        let many = WAIT_PER_PACKET.saturating_mul(self.0).min(LONGEST_WAIT);
        usual.max(some).max(many)
    }

    /// What came. A flood or a backlog of one tracker makes no lane busy: all others would wait for it.
    pub fn learn(&mut self, batch: &Batch) {
        self.0 = batch.senders.of_many();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wait that a lane with so many packets a second comes to, if a batch takes 8 ms to be written.
    fn settled_ms(packets_per_s: f64) -> u128 {
        let (usual, mut linger) = (Duration::from_millis(10), Linger::default());
        for _ in 0..200 {
            let gathered = linger.wait(usual) + Duration::from_millis(8);
            linger.0 = (gathered.as_secs_f64() * packets_per_s) as u32;
        }
        linger.wait(usual).as_millis()
    }

    #[test]
    fn a_flood_of_one_tracker_makes_no_lane_busy_and_packets_of_many_do() {
        let quota = PacketQuota::default();
        let [flooder, other] = ["v1/1/yy1/up", "v1/1/yy2/up"].map(|topic| quota.sender(topic));
        let of_many = |sender: &dyn Fn(u32) -> Sender| {
            let mut senders = Senders::default();
            (0..1000).for_each(|n| senders.count(sender(n)));
            senders.of_many()
        };
        assert_eq!(of_many(&|_| flooder), 0);
        assert_eq!(of_many(&|n| if n % 2 == 0 { other } else { flooder }), 0, "two of them do not either");
        assert_eq!(of_many(&|n| if n % 10 == 0 { other } else { flooder }), 100);
        assert_eq!(of_many(&|n| quota.sender(&format!("v1/1/yy{}/up", n % 12))), 1000, "a dozen are many");
        assert!(of_many(&|n| quota.sender(&format!("v1/1/yy{}/up", n % 100))) > 990);
    }

    #[test]
    fn a_lane_waits_as_usual_with_few_packets_50_ms_with_some_and_300_ms_with_many() {
        for (packets_per_s, ms) in [(0.0, 10), (60.0, 10), (150.0, 10), (375.0, 50), (625.0, 50), (2000.0, 300)] {
            assert_eq!(settled_ms(packets_per_s), ms, "{packets_per_s}/s");
        }
        assert!((51..300).contains(&settled_ms(900.0)), "{}", settled_ms(900.0));
        let linger = Linger(u32::MAX);
        for (usual_ms, ms) in [(1, 300), (1000, 1000)] {
            let wait = linger.wait(Duration::from_millis(usual_ms));
            assert_eq!(wait, Duration::from_millis(ms), "no longer than either says");
        }
    }
}
