//! What a clock that is off teaches, how long it is remembered, and what becomes of what came late.

mod announced;
mod at_random;
mod changes;

use super::*;
use crate::domain::Shard;

const START_S: i64 = 1_795_000_000;
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };
const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 3600;
const DAY_S: i64 = 86_400;
const ROLLOVER_S: i64 = 1024 * 7 * DAY_S;
/// Kept in the tracker, by its own word or not.
const KEPT: bool = true;
const LIVE: bool = false;

/// A tracker whose clock can be set, and the time on the wall.
struct Bike {
    lane: LaneState,
    profile: Profile,
    now_s: i64,
    sequence: u32,
}

/// What became of a fix: how far from its true time it is stored, seconds, and the flags of its clock; none: set aside.
type Stored = Option<(i64, i16)>;
const TRUE: Stored = Some((0, 0));
const REPAIRED: Stored = Some((0, FixFlags::CLOCK_REPAIRED));

impl Bike {
    fn new() -> Self {
        Self::of(Profile::of("json"))
    }

    fn of(profile: Profile) -> Self {
        let mut bike = Self { lane: LaneState::default(), profile, now_s: START_S, sequence: 0 };
        bike.register();
        bike
    }

    fn register(&mut self) {
        self.set(Setting::Tracker {
            tracker: TrackerKey(1),
            ident: TrackerIdent::parse("860000000000017").unwrap(),
            profile: self.profile.clone(),
            vehicle: Some(VehicleId(7)),
            vehicle_kind: None,
        });
    }

    fn set(&mut self, setting: Setting) {
        self.lane.apply(&Entry::Setting { at: Timestamp::from_secs(self.now_s), setting }, &SETTINGS);
    }

    /// The lane goes on from what a checkpoint kept.
    fn restart(&mut self) {
        let bytes = crate::store::journal::pack_any(&self.lane).unwrap();
        self.lane = crate::store::journal::unpack_any(&bytes).unwrap();
    }

    /// What a checkpoint keeps of it.
    fn kept(&self) -> serde_json::Value {
        serde_json::to_value(self.lane.table.kept()).unwrap()[0].clone()
    }

    fn hears(&mut self, payload: Vec<u8>) -> Effects {
        let topic = format!("v1/{}/860000000000017/up", Shard::of("860000000000017").0);
        let packet = Packet { topic, received_at: Timestamp::from_secs(self.now_s), payload, way: Way::Broker };
        self.lane.apply(&Entry::Packet(packet), &SETTINGS)
    }

    /// Fixes so many seconds old, in one message, by a clock that is off.
    fn batch(&mut self, ages_s: &[i64], off_s: i64, is_kept: bool) -> Vec<Stored> {
        self.sequence += 1;
        // Each has a place of its own, by which it is found again.
        let lat = |n: usize| 28.55 + n as f64 * 1e-5;
        let fixes = ages_s.iter().enumerate().map(|(n, age_s)| {
            let t_ms = (self.now_s - age_s + off_s) * 1000;
            format!(r#"{{"t":{t_ms},"lat":{},"lon":112.35,"buffered":{is_kept}}}"#, lat(n))
        });
        let fixes: Vec<_> = fixes.collect();
        let payload =
            format!(r#"{{"v":1,"id":"860000000000017","seq":{},"fixes":[{}]}}"#, self.sequence, fixes.join(","));
        let rows = self.hears(payload.into_bytes()).fixes;
        let of = |(n, age_s): (usize, &i64)| {
            let row = rows.iter().find(|r| r.fix.position.lat_deg == lat(n))?;
            Some((error_s(row, self.now_s - age_s), clock_flags(row)))
        };
        ages_s.iter().enumerate().map(of).collect()
    }

    fn says(&mut self, age_s: i64, off_s: i64, is_kept: bool) -> Stored {
        self.batch(&[age_s], off_s, is_kept)[0]
    }

    /// Live messages, ten seconds apart; what became of the last.
    fn lives(&mut self, count: u32, off_s: i64) -> Stored {
        let stored: Vec<_> = (0..count)
            .map(|_| {
                self.now_s += 10;
                self.says(2, off_s, LIVE)
            })
            .collect();
        stored.last().copied().flatten()
    }
}

/// How far from its true time a fix is stored, seconds.
fn error_s(row: &FixRow, true_s: i64) -> i64 {
    row.fixed_at.seconds_since(Timestamp::from_secs(true_s)) as i64
}

fn clock_flags(row: &FixRow) -> i16 {
    row.flags.0 & (FixFlags::CLOCK_REPAIRED | FixFlags::ZONE_DOUBTED)
}

fn is_doubted(stored: Stored) -> bool {
    stored.is_some_and(|(_, flags)| flags & FixFlags::ZONE_DOUBTED != 0)
}

/// At its true time, or doubted, or set aside: nothing is wrong in silence.
fn is_honest(stored: Stored) -> bool {
    stored.is_none_or(|(error_s, _)| error_s == 0) || is_doubted(stored)
}

const BACKLOG_S: [i64; 7] = [5 * MINUTE_S, 30 * MINUTE_S, HOUR_S, 5 * HOUR_S, 9 * HOUR_S, 3 * DAY_S, 29 * DAY_S];

#[test]
fn what_a_clock_eight_hours_ahead_has_kept_is_put_right_after_one_live_fix() {
    for (is_kept, restarts) in [(KEPT, false), (LIVE, false), (KEPT, true)] {
        let mut bike = Bike::new();
        assert_eq!(bike.says(3, 8 * HOUR_S, LIVE), REPAIRED);
        for age_s in BACKLOG_S {
            if restarts {
                bike.restart();
            }
            // To the minute a quarter of an hour old and not marked: another zone would explain it.
            let age_s = if is_kept { age_s } else { age_s + 433 };
            bike.now_s += 2;
            assert_eq!(bike.says(age_s, 8 * HOUR_S, is_kept), REPAIRED, "{age_s} s old, {is_kept}");
        }
    }
}

#[test]
fn what_is_kept_for_eight_hours_by_a_clock_eight_hours_ahead_looks_live_and_is_put_right_or_doubted() {
    let mut bike = Bike::new();
    bike.lives(5, 8 * HOUR_S);
    for age_s in [8 * HOUR_S - 90, 8 * HOUR_S, 8 * HOUR_S + 500] {
        assert_eq!(bike.says(age_s, 8 * HOUR_S, KEPT), REPAIRED);
    }
    for age_s in [8 * HOUR_S - 90, 8 * HOUR_S, 8 * HOUR_S + 500] {
        assert!(is_doubted(bike.says(age_s, 8 * HOUR_S, LIVE)), "{age_s}");
    }
    assert_eq!(bike.lives(1, 8 * HOUR_S), REPAIRED, "it is as it was");
}

#[test]
fn in_a_batch_the_newest_teaches_what_the_others_mean() {
    let mut bike = Bike::new();
    let stored = bike.batch(&[9 * HOUR_S, 5 * HOUR_S, 30 * MINUTE_S, 4], 8 * HOUR_S, LIVE);
    assert_eq!(stored, [REPAIRED; 4]);
}

#[test]
fn every_zone_ahead_is_learnt_from_three_live_messages() {
    for off_s in (900..=14 * HOUR_S).step_by(900).filter(|off_s| *off_s != 8 * HOUR_S) {
        let mut bike = Bike::new();
        bike.lives(3, 0);
        assert_eq!(bike.lives(3, off_s), None, "{off_s}: not before it is sure");
        assert_eq!(bike.lives(1, off_s), REPAIRED, "{off_s}");
        let kept: Vec<_> = BACKLOG_S.iter().map(|age_s| bike.says(*age_s, off_s, KEPT)).collect();
        assert!(kept.iter().all(|s| is_honest(*s)), "{off_s}: {kept:?}");
    }
}

#[test]
fn a_clock_ahead_by_no_zone_teaches_nothing() {
    for off_s in [130, 400, 1300, 8 * HOUR_S + 700, 15 * HOUR_S, 40 * DAY_S] {
        let mut bike = Bike::new();
        assert_eq!(bike.lives(20, off_s), None, "{off_s}");
        assert_eq!(bike.lives(1, 0), TRUE);
    }
}

#[test]
fn seconds_of_drift_change_nothing() {
    for drift_s in [-18, -3, 3, 18, 55] {
        let mut bike = Bike::new();
        assert_eq!(bike.lives(5, drift_s), Some((drift_s, 0)));
        assert_eq!(bike.lives(5, 8 * HOUR_S + drift_s), Some((drift_s, FixFlags::CLOCK_REPAIRED)));
        assert_eq!(bike.says(30, 8 * HOUR_S + drift_s, KEPT), Some((drift_s, FixFlags::CLOCK_REPAIRED)));
    }
}

#[test]
fn a_clock_behind_is_doubted_and_never_repaired_without_a_word_for_it() {
    for hours in [-8, -4] {
        let mut bike = Bike::new();
        bike.lives(3, 0);
        let off_s = hours * HOUR_S;
        let stored = bike.lives(8, off_s);
        assert_eq!(stored, Some((off_s, FixFlags::ZONE_DOUBTED)), "{hours} h");
        assert_eq!(bike.lives(1, 0), TRUE);
        assert_eq!(bike.says(2 * HOUR_S, 0, KEPT), TRUE);
    }
}

#[test]
fn the_backlog_of_a_week_rollover_is_put_right_once_it_was_seen_live() {
    for (weeks, zone_s) in [(1, 0), (2, 0), (1, 8 * HOUR_S)] {
        let mut bike = Bike::new();
        let off_s = zone_s - weeks * ROLLOVER_S;
        assert_eq!(bike.says(3 * DAY_S, off_s, KEPT), None, "not known yet");
        assert_eq!(bike.lives(1, off_s), REPAIRED);
        bike.restart();
        for age_s in BACKLOG_S {
            assert_eq!(bike.says(age_s, off_s, KEPT), REPAIRED, "{weeks} {age_s}");
        }
    }
}

#[test]
fn what_a_tracker_sends_before_it_was_ever_heard_live_is_doubted() {
    let mut bike = Bike::new();
    assert!(is_doubted(bike.says(9 * HOUR_S, 8 * HOUR_S, KEPT)), "told one hour old");
    assert!(is_doubted(bike.says(3 * HOUR_S, 0, KEPT)));
    assert_eq!(bike.lives(1, 0), TRUE);
    assert_eq!(bike.says(3 * HOUR_S, 0, KEPT), TRUE);
}

#[test]
fn a_ride_kept_by_a_clock_that_is_ahead_is_no_theft_after_it() {
    let mut bike = Bike::new();
    bike.lives(30, 8 * HOUR_S);
    bike.now_s += HOUR_S;
    bike.set(Setting::Arm { vehicle: VehicleId(7) });
    let mut findings = Vec::new();
    for n in 0..40 {
        // Ridden nine hours ago, reported as one hour ago, which is after it was armed where the clock is believed.
        bike.now_s += 1;
        let told_s = bike.now_s - 9 * HOUR_S + 8 * HOUR_S + n * 10 + 3 * HOUR_S;
        let payload = format!(
            r#"{{"v":1,"id":"860000000000017","seq":{},"fixes":[{{"t":{},"lat":{:.5},"lon":112.35,"kmh":25,"sats":11,"buffered":true}}]}}"#,
            1000 + n,
            told_s * 1000,
            28.55 + f64::from(n as i32) * 0.0006,
        );
        findings.extend(bike.hears(payload.into_bytes()).findings);
    }
    assert!(!findings.iter().any(|f| matches!(f, Finding::IncidentOpened { .. })), "{findings:?}");
}
