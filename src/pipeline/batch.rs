//! A batch on its way.

use crate::domain::{Entry, Packet};
use crate::ingest::{Delivery, Receipt};
use crate::telemetry::Metrics;
use std::time::Duration;

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
#[derive(Clone, Default)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    pub receipts: Vec<Receipt>,
    pub setting_cursor: i64,
    /// Batches of another worker's spool that are among the entries.
    pub handed_over: Vec<i64>,
}

impl Batch {
    /// Takes a delivery in. What only shows retained messages is acknowledged in its turn, counted, and no input.
    pub fn take(&mut self, delivery: Delivery, metrics: &Metrics) {
        match delivery.of_retained() {
            Some(kind) => metrics.retained_messages.with_label_values(&[kind.name()]).inc(),
            None => self.entries.push(Entry::Packet(delivery.packet)),
        }
        self.receipts.push(delivery.receipt);
    }

    /// What has to be kept of it when it was not journaled. Settings are not: the database gives them again.
    pub fn owed(mut self) -> Self {
        self.entries.retain(|entry| !matches!(entry, Entry::Setting { .. }));
        self.handed_over.clear();
        self
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

    /// So many packets came.
    pub fn learn(&mut self, packets: usize) {
        self.0 = u32::try_from(packets).unwrap_or(u32::MAX);
    }
}

pub(super) fn as_packet(entry: &Entry) -> Option<&Packet> {
    match entry {
        Entry::Packet(packet) => Some(packet),
        _ => None,
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
            linger.learn((gathered.as_secs_f64() * packets_per_s) as usize);
        }
        linger.wait(usual).as_millis()
    }

    #[test]
    fn a_lane_waits_as_usual_with_few_packets_50_ms_with_some_and_300_ms_with_many() {
        for (packets_per_s, ms) in [(0.0, 10), (60.0, 10), (150.0, 10), (375.0, 50), (625.0, 50), (2000.0, 300)] {
            assert_eq!(settled_ms(packets_per_s), ms, "{packets_per_s}/s");
        }
        assert!((51..300).contains(&settled_ms(900.0)), "{}", settled_ms(900.0));
        let mut linger = Linger::default();
        linger.learn(usize::MAX);
        for (usual_ms, ms) in [(1, 300), (1000, 1000)] {
            let wait = linger.wait(Duration::from_millis(usual_ms));
            assert_eq!(wait, Duration::from_millis(ms), "no longer than either says");
        }
    }
}
