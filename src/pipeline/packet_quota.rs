//! How much one tracker may send: a bucket for each identifier, asked before a packet comes into a batch. Pure; the time is given.
//!
//! A bucket holds units. A packet costs one for each [`BYTES_PER_UNIT`] of its payload that it begins, and at least one. What was
//! spent comes back by and by. Without it one tracker's password holds up a sixteenth of the city
//! (`docs/decisions/0025-a-quota-for-each-tracker.md`).
//!
//! Two limits hold at a time. The short one keeps a lane free; the long one keeps the disk free.

use crate::domain::{Entry, Outcome};
use crate::engine::Effects;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

/// Bytes of payload that one unit pays for: a message of one fix in JSON has 200 to 300.
const BYTES_PER_UNIT: usize = 320;

/// What may be spent at once, and what comes back a second.
struct Limit {
    burst: f64,
    per_s: f64,
}

/// For minutes: keeps a lane free.
///
/// - Burst: what comes at once from a broker's queue after a day of our own outage is 8,640 packets at 10 s and 86,400 at 1 s.
///   A tracker of 10 s that was away for 7 days sends 60,480. In bytes it is 32 MB.
/// - Rate: a GPRS module sends a few hundred packets a second at most, so a backlog of any length that comes over
///   the air is never cut by this. In bytes it is 96 KB/s; GPRS carries 10.
const SHORT: Limit = Limit { burst: 100_000.0, per_s: 300.0 };
/// For days: keeps the disk free.
///
/// - Burst: 7 days of a packet a second are 604,800. In bytes it is 194 MB.
/// - Rate: eight packets a second, or 2.5 KB/s, for ever. That is 220 MB a day.
const LONG: Limit = Limit { burst: 604_800.0, per_s: 8.0 };
const LIMITS: [Limit; 2] = [SHORT, LONG];

/// What a packet that nobody can read costs more, of the short limit: 1,750 small ones are the whole burst, and five come back
/// a second. A tracker that nobody has registered yet, or with the wrong language, is kept whole at its usual rate.
const UNREADABLE_UNITS: f64 = 40.0;
/// And how many times its own cost: 28 of 64 KB, or 380 of 4 KB, are the whole burst.
const UNREADABLE_TIMES: f64 = 16.0;
/// Longest such packets shut their tracker out after they have ended.
const SHUT_OUT_MAX: Duration = Duration::from_secs(60);
/// Readable packets that are remembered of a tracker: each pays for an unreadable one. Some trackers send a message of
/// their maker's beside each fix; their backlog is none of a flood.
const READ_MAX: u16 = 60_000;

/// Trackers whose buckets are not full. A lane of a city of a million trackers has 62,500, and after our own outage all of
/// them have a backlog. Beyond that, those who have spent least are forgotten. A bucket takes 50 bytes.
const BUCKETS_MAX: usize = 65_536;
/// Buckets below which nobody looks for full ones.
const SWEEP_FROM: usize = 1024;

/// Stands for an identifier: its hash by a key of this process, so that nobody finds two that fall together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sender(u64);

/// What a tracker has spent, and when that was so.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Units, for each of [`LIMITS`].
    spent: [f64; 2],
    at: Instant,
    /// Readable packets that no unreadable one was set against.
    read: u16,
}

/// The buckets of a lane.
pub(super) struct PacketQuota {
    hasher: RandomState,
    buckets: HashMap<Sender, Bucket>,
    sweep_at: usize,
}

impl Default for PacketQuota {
    fn default() -> Self {
        Self { hasher: RandomState::new(), buckets: HashMap::new(), sweep_at: SWEEP_FROM }
    }
}

/// What a payload costs.
fn units(payload_bytes: usize) -> f64 {
    payload_bytes.div_ceil(BYTES_PER_UNIT).max(1) as f64
}

impl Bucket {
    fn full(at: Instant) -> Self {
        Self { spent: [0.0; 2], at, read: 0 }
    }

    /// The same later.
    fn refill(&mut self, now: Instant) {
        let passed_s = now.saturating_duration_since(self.at).as_secs_f64();
        for (spent, limit) in self.spent.iter_mut().zip(&LIMITS) {
            *spent = (*spent - passed_s * limit.per_s).max(0.0);
        }
        self.at = self.at.max(now);
    }

    fn is_full(&self) -> bool {
        self.spent.iter().all(|spent| *spent <= 0.0)
    }

    /// How much of its burst is gone, of the limit that is nearer.
    fn used(&self) -> f64 {
        self.spent.iter().zip(&LIMITS).map(|(spent, limit)| spent / limit.burst).fold(0.0, f64::max)
    }

    fn spend(&mut self, units: f64) -> bool {
        let has_room = self.spent.iter().zip(&LIMITS).all(|(spent, limit)| spent + units <= limit.burst);
        if has_room {
            self.spent.iter_mut().for_each(|spent| *spent += units);
        }
        has_room
    }

    fn charge_unreadable(&mut self, units: f64) {
        if self.read > 0 {
            self.read -= 1;
            return;
        }
        let most = SHORT.burst + SHORT.per_s * SHUT_OUT_MAX.as_secs_f64();
        self.spent[0] = (self.spent[0] + UNREADABLE_UNITS + UNREADABLE_TIMES * units).min(most);
    }
}

impl PacketQuota {
    /// Who speaks on a topic. Topics that name no tracker share one bucket.
    pub fn sender(&self, topic: &str) -> Sender {
        let mut parts = topic.split('/');
        let ident = (parts.next() == Some("v1")).then(|| parts.nth(1)).flatten().unwrap_or_default();
        Sender(self.hasher.hash_one(ident))
    }

    /// Whether a packet may be journaled; if so, it is paid for.
    pub fn admits(&mut self, sender: Sender, payload_bytes: usize, now: Instant) -> bool {
        if self.buckets.len() >= self.sweep_at && !self.buckets.contains_key(&sender) {
            self.sweep(now);
        }
        let bucket = self.buckets.entry(sender).or_insert_with(|| Bucket::full(now));
        bucket.refill(now);
        bucket.spend(units(payload_bytes))
    }

    /// Learns what became of packets that were journaled.
    pub fn learn<'a>(&mut self, applied: impl Iterator<Item = (&'a Entry, &'a Effects)>) {
        for (entry, effects) in applied {
            let Entry::Packet(packet) = entry else { continue };
            let is_readable = is_readable(effects);
            self.learn_one(&packet.topic, packet.payload.len(), is_readable);
        }
    }

    /// Learns whether a packet could be read. A bucket that is full by now has no more to learn.
    pub fn learn_one(&mut self, topic: &str, payload_bytes: usize, is_readable: bool) {
        let sender = self.sender(topic);
        let Some(bucket) = self.buckets.get_mut(&sender) else { return };
        if is_readable {
            bucket.read = bucket.read.saturating_add(1).min(READ_MAX);
        } else {
            bucket.charge_unreadable(units(payload_bytes));
        }
    }

    /// Forgets full buckets, and where that is not enough, the half that have spent least.
    fn sweep(&mut self, now: Instant) {
        self.buckets.retain(|_, bucket| {
            bucket.refill(now);
            !bucket.is_full()
        });
        if self.buckets.len() >= BUCKETS_MAX {
            let mut used: Vec<f64> = self.buckets.values().map(Bucket::used).collect();
            let middle = used.len() / 2;
            let (_, median, _) = used.select_nth_unstable_by(middle, f64::total_cmp);
            let median = *median;
            self.buckets.retain(|_, bucket| bucket.used() > median);
        }
        self.sweep_at = (self.buckets.len() * 2).clamp(SWEEP_FROM, BUCKETS_MAX);
    }
}

/// Whether somebody could read the packet. A wrong time or place was read, and a row that PostgreSQL refuses is no fault of its.
fn is_readable(effects: &Effects) -> bool {
    effects.outcome != Some(Outcome::Quarantined)
        || effects.quarantined.as_ref().is_some_and(|q| ["time", "position", "store"].contains(&q.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOPIC: &str = "v1/7/yy000001/up";

    /// Sends packets of one tracker, a time apart; says how many were admitted.
    fn send(quota: &mut PacketQuota, count: u32, bytes: usize, apart: Duration, is_readable: bool) -> u32 {
        let (start, sender) = (Instant::now(), quota.sender(TOPIC));
        let mut admitted = 0;
        for n in 0..count {
            if quota.admits(sender, bytes, start + apart * n) {
                admitted += 1;
                quota.learn_one(TOPIC, bytes, is_readable);
            }
        }
        admitted
    }

    #[test]
    fn backlogs_are_never_cut() {
        let at_once = Duration::ZERO;
        let by_air = Duration::from_secs(1) / 300;
        for (count, bytes, apart, case) in [
            (60_480, 300, at_once, "7 days at 10 s, from the broker's queue"),
            (86_400, 300, at_once, "a day of our outage at 1 s"),
            (8_640, 3_500, at_once, "a day of our outage at 10 s, in large packets"),
            (604_800, 300, by_air, "7 days at 1 s, by GPRS"),
            (60_480, 300, by_air, "7 days at 10 s, by GPRS"),
            (40_000, 200, Duration::from_micros(400), "40,000 in 16 s"),
            (20_000, 300, Duration::from_secs(1), "a packet a second"),
            (20_000, 2_400, Duration::from_secs(1), "the same in large packets"),
        ] {
            assert_eq!(send(&mut PacketQuota::default(), count, bytes, apart, true), count, "{case}");
        }
    }

    #[test]
    fn a_flood_that_nobody_can_read_is_cut_after_some_dozen_large_packets_or_some_thousand_small_ones() {
        let flood = |bytes| send(&mut PacketQuota::default(), 30_000, bytes, Duration::from_micros(300), false);
        let cut = [flood(65_000), flood(4_000), flood(20)];
        println!(
            "unreadable packets admitted of 30,000 in 9 s: 65,000 bytes {}, 4,000 {}, 20 {}",
            cut[0], cut[1], cut[2]
        );
        assert!(
            (20..40).contains(&cut[0]) && (350..450).contains(&cut[1]) && (1_700..1_900).contains(&cut[2]),
            "{cut:?}"
        );
    }

    #[test]
    fn a_flood_that_can_be_read_is_cut_at_the_burst() {
        let cut = send(&mut PacketQuota::default(), 2_000, 64_000, Duration::ZERO, true);
        assert_eq!(cut, 500, "32 MB");
    }

    #[test]
    fn who_sends_an_unreadable_message_beside_each_fix_is_not_cut() {
        let (mut quota, now) = (PacketQuota::default(), Instant::now());
        let sender = quota.sender(TOPIC);
        for n in 0..30_000 {
            for is_readable in [true, false] {
                assert!(quota.admits(sender, 100, now), "{n}");
                quota.learn_one(TOPIC, 100, is_readable);
            }
        }
    }

    #[test]
    fn a_flood_that_has_ended_shuts_its_tracker_out_for_a_minute_at_most() {
        let (mut quota, now) = (PacketQuota::default(), Instant::now());
        let sender = quota.sender(TOPIC);
        let admitted = (0..100).filter(|_| quota.admits(sender, 300, now)).count();
        (0..100_000).for_each(|_| quota.learn_one(TOPIC, 65_000, false));
        assert!(admitted == 100 && !quota.admits(sender, 1, now + SHUT_OUT_MAX - Duration::from_secs(1)));
        assert!(quota.admits(sender, 1, now + SHUT_OUT_MAX + Duration::from_secs(1)));
    }

    #[test]
    fn who_is_full_is_forgotten_and_of_too_many_the_flood_is_not() {
        let (mut quota, now) = (PacketQuota::default(), Instant::now());
        let flood = quota.sender(TOPIC);
        while quota.admits(flood, 64_000, now) {}
        for n in 0..200_000 {
            let other = quota.sender(&format!("v1/7/t{n}/up"));
            assert!(quota.admits(other, 300, now), "{n}");
            assert!(quota.buckets.len() <= BUCKETS_MAX, "{}", quota.buckets.len());
        }
        assert!(!quota.admits(flood, 64_000, now), "who has spent most is remembered");
        quota.sweep(now + Duration::from_secs(1));
        assert_eq!(quota.buckets.len(), 1, "one packet each is paid back within the second");
        quota.sweep(now + Duration::from_secs(86_400 * 2));
        assert!(quota.buckets.is_empty());
    }

    #[test]
    fn topics_of_a_tracker_share_its_bucket_whatever_their_shard_and_form() {
        let quota = PacketQuota::default();
        let own = quota.sender(TOPIC);
        for same in ["v1/7/yy000001/gw/g1/up", "v1/8/yy000001/up", "v1/7/yy000001"] {
            assert_eq!(quota.sender(same), own, "{same}");
        }
        assert_ne!(quota.sender("v1/7/yy000002/up"), own);
        assert_eq!(quota.sender("v2/7/yy000001/up"), quota.sender("elsewhere"));
    }

    proptest! {
        /// Whatever is sent: in no span is more admitted than the burst and what came back, and nobody pays for others.
        #[test]
        fn nobody_gets_more_than_burst_and_rate_and_nobody_pays_for_others(
            sent in proptest::collection::vec((0..5_000_u64, 0..70_000_usize, 0..3_usize, any::<bool>(), 1..400_u32), 1..60),
        ) {
            let (mut together, start) = (PacketQuota::default(), Instant::now());
            let mut alone: [PacketQuota; 3] = std::array::from_fn(|_| PacketQuota::default());
            let topics = ["v1/1/a/up", "v1/1/b/up", "v1/1/c/up"];
            let (mut at_ms, mut admitted) = (0, [0.0; 3]);
            for (step_ms, bytes, who, is_readable, times) in sent {
                at_ms += step_ms;
                let now = start + Duration::from_millis(at_ms);
                for _ in 0..times {
                    let sender = together.sender(topics[who]);
                    let is_admitted = together.admits(sender, bytes, now);
                    let sender = alone[who].sender(topics[who]);
                    prop_assert_eq!(is_admitted, alone[who].admits(sender, bytes, now));
                    if is_admitted {
                        admitted[who] += units(bytes);
                        together.learn_one(topics[who], bytes, is_readable);
                        alone[who].learn_one(topics[who], bytes, is_readable);
                    }
                }
                for limit in &LIMITS {
                    prop_assert!(admitted[who] <= limit.burst + limit.per_s * at_ms as f64 / 1000.0 + 1e-6);
                }
            }
        }
    }
}
