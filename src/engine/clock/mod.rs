//! The clock doctor: what a tracker's clock shows, learnt from what it says live, kept, and used for what comes late.
//!
//! In: the times of a packet and its arrival. Out: a [`Reading`] for each. Never: the clock of this machine. A clock is
//! off by whole weeks of GPS, by a zone (a multiple of a quarter of an hour), or not in a way that can be repaired.
//! The table of rules is in `docs/protocols.md`, "Clocks".

mod learn;
mod note;

use crate::domain::{Profile, Timestamp};
use crate::engine::fix_flags::FixFlags;
use crate::protocol::dialect;
use learn::Rumour;
pub(super) use note::Note;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::ops::RangeInclusive;

/// How far in the future a tracker's clock may be, seconds.
pub const FUTURE_S_MAX: f64 = 120.0;
/// GPS counts 1024 weeks and begins again (IS-GPS-200, 20.3.3.3.1.1); receivers that do not know fall back so far, seconds.
const ROLLOVER_S: f64 = 1024.0 * 7.0 * 86_400.0;
/// Rollovers since 1980 that a receiver may have missed.
const ROLLOVERS_MAX: u8 = 2;
/// A repaired rollover lands this close to the arrival, seconds, where the tracker has not shown one live.
const ROLLOVER_FIT_S: f64 = 86_400.0;
/// What comes within so many seconds is live; trackers send their batches every few minutes.
pub(super) const LIVE_S: f64 = 600.0;
/// What is to agree to the minute agrees within so many seconds.
const EXACT_S: f64 = 60.0;
/// A clock that shows Beijing's time and calls it UTC is ahead by so many seconds: the fault of every day here.
const BEIJING_S: i32 = 8 * 3600;
/// A live report arrives within so many seconds; one that is older by eight hours as well is doubted.
const BEIJING_DOUBT_S: f64 = 120.0;
/// Zones lie a multiple of a quarter of an hour apart, seconds.
const QUARTER_S: i32 = 900;
/// Civil zones lie from UTC-12 to UTC+14, seconds.
const ZONES_S: RangeInclusive<i32> = -12 * 3600..=14 * 3600;
/// A clock that went to and fro is unsteady for so long, seconds.
const UNSTEADY_S: f64 = 86_400.0;
/// What a tracker reads out of its memory comes without a longer pause, seconds.
const DRAIN_PAUSE_S: f64 = 60.0;
/// Offsets that are remembered of a tracker: the present one, and those of what it may still have kept.
const PERIODS_MAX: usize = 4;

/// A stretch of time in which a clock was seen to be off by the same offset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Period {
    /// Ahead of UTC, as the profile reads it, seconds.
    offset_s: i32,
    /// The first live message of it, in true time.
    first_at: Timestamp,
    /// The last one.
    last_at: Timestamp,
    /// How often it was seen live.
    times: u32,
}

impl Period {
    /// Whether the clock was seen off by this offset before and after a point in time.
    fn covers(&self, at: Timestamp) -> bool {
        (self.first_at..=self.last_at).contains(&at)
    }
}

/// What is known of a clock that is not simply right. Few trackers have one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Clock {
    /// Oldest first; the last is the present one. None: the clock is taken to be right.
    #[serde(default)]
    periods: SmallVec<[Period; 1]>,
    /// An offset that was seen and is not believed yet.
    #[serde(default)]
    rumour: Option<Rumour>,
    /// When it was last seen to go to and fro.
    #[serde(default)]
    unsteady_at: Option<Timestamp>,
    /// Whether the tracker announces another zone since it was last seen live.
    #[serde(default)]
    is_set_anew: bool,
    /// The last message out of the tracker's memory that did not say so: when it came, and what time it reported.
    #[serde(default)]
    drained: Option<(Timestamp, Timestamp)>,
    /// Rollovers that it misses, and when that was last seen.
    #[serde(default)]
    rollovers: Option<(u8, Timestamp)>,
}

/// How a packet came, and what is known of its tracker besides.
pub(super) struct Arrival<'p> {
    /// When.
    pub received_at: Timestamp,
    /// Oldest plausible fix, seconds.
    pub max_fix_age_s: f64,
    /// How the tracker is read.
    pub profile: &'p Profile,
    /// When its clock was last seen right, where the newest fix shows that.
    pub right_at: Option<Timestamp>,
}

impl Arrival<'_> {
    /// How long before the arrival a time lies, seconds.
    fn age_s(&self, at: Timestamp) -> f64 {
        self.received_at.seconds_since(at)
    }

    fn is_live(&self, at: Timestamp) -> bool {
        (-FUTURE_S_MAX..=LIVE_S).contains(&self.age_s(at))
    }

    fn is_plausible(&self, at: Timestamp) -> bool {
        (-FUTURE_S_MAX..=self.max_fix_age_s).contains(&self.age_s(at))
    }

    /// What the profile has taken off already, seconds.
    fn profile_offset_s(&self) -> i32 {
        dialect::of(self.profile).offset_s(self.profile)
    }

    /// How far ahead the clock is if the zone that the tracker announces is the one that it shows.
    fn announced_s(&self, note: Note) -> Option<i32> {
        note.announced_s().map(|zone_s| zone_s - self.profile_offset_s()).filter(|s| *s != 0)
    }
}

/// A time as it is understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    /// When, as far as we believe.
    pub at: Timestamp,
    /// [`FixFlags::CLOCK_REPAIRED`], [`FixFlags::ZONE_DOUBTED`], [`FixFlags::TIME_OF_ARRIVAL`] or none.
    pub flags: i16,
    /// Whether it may be live although it looks old.
    pub may_be_live: bool,
}

impl Reading {
    /// Of a packet without a time.
    pub fn of_arrival(received_at: Timestamp) -> Self {
        Self { at: received_at, flags: FixFlags::TIME_OF_ARRIVAL, may_be_live: false }
    }

    fn told(at: Timestamp) -> Self {
        Self { at, flags: 0, may_be_live: false }
    }

    fn repaired(at: Timestamp, offset_s: i32) -> Self {
        let flags = if offset_s == 0 { 0 } else { FixFlags::CLOCK_REPAIRED };
        Self { flags, ..Self::told(before(at, offset_s)) }
    }

    fn doubted(self, is_doubted: bool) -> Self {
        let doubt = if is_doubted { FixFlags::ZONE_DOUBTED } else { 0 };
        Self { flags: self.flags | doubt, ..self }
    }
}

fn before(at: Timestamp, offset_s: i32) -> Timestamp {
    at.plus_secs_f64(-f64::from(offset_s))
}

impl Clock {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// By how much it is ahead now.
    fn present_s(&self) -> i32 {
        self.periods.last().map_or(0, |p| p.offset_s)
    }

    /// A time without the rollovers that the receiver missed, and how many these were. What a tracker has kept for
    /// more than a day is only repaired once it has shown its rollover live.
    fn unrolled(&self, told: Timestamp, arrival: &Arrival<'_>) -> (Timestamp, u8) {
        let ahead_s_max = f64::from(*ZONES_S.end()) + FUTURE_S_MAX;
        let lands = |n: &u8| {
            let is_known = self.rollovers.is_some_and(|(known, _)| known == *n);
            let fit_s = if is_known { arrival.max_fix_age_s.max(ROLLOVER_FIT_S) } else { ROLLOVER_FIT_S };
            (-ahead_s_max..=fit_s).contains(&arrival.age_s(told.plus_secs_f64(f64::from(*n) * ROLLOVER_S)))
        };
        match (1..=ROLLOVERS_MAX).find(lands) {
            Some(n) => (told.plus_secs_f64(f64::from(n) * ROLLOVER_S), n),
            None => (told, 0),
        }
    }

    /// What a time means; `is_kept`: its message says that it was kept in the tracker.
    pub fn read(&self, told: Timestamp, is_kept: bool, arrival: &Arrival<'_>, note: Note) -> Reading {
        let (told, rollovers) = self.unrolled(told, arrival);
        let mut reading = self.read_zone(told, is_kept, arrival, note);
        if rollovers > 0 {
            reading.flags |= FixFlags::CLOCK_REPAIRED;
        }
        reading
    }

    fn read_zone(&self, told: Timestamp, is_kept: bool, arrival: &Arrival<'_>, note: Note) -> Reading {
        let present_s = self.present_s();
        if !is_kept && arrival.is_live(before(told, present_s)) {
            return Reading::repaired(told, present_s);
        }
        let rumour = self.rumour.as_ref().filter(|_| !is_kept);
        if rumour.is_some_and(|r| r.offset_s == 0) && arrival.is_live(told) && !self.is_drained(told, arrival) {
            return Reading { may_be_live: true, ..Reading::told(told).doubted(true) };
        }
        let reading = if self.periods.is_empty() {
            self.read_unlearnt(told, is_kept, arrival, note)
        } else {
            self.read_learnt(told, arrival)
        };
        let rumour = rumour.filter(|r| r.covers(told, arrival));
        let is_as_told = reading.flags & FixFlags::CLOCK_REPAIRED == 0;
        let may_be_live = rumour.is_some_and(|r| r.is_grave(arrival, note))
            || (!is_kept && is_as_told && is_old_by_beijing(arrival.age_s(told)));
        // A clock that was off once is sooner off by another zone than one that never was.
        let is_doubted = may_be_live || (rumour.is_some() && !self.periods.is_empty());
        Reading { may_be_live, ..reading.doubted(is_doubted) }
    }

    /// Whether a time follows close on one that was read out of the tracker's memory just now.
    fn is_drained(&self, told: Timestamp, arrival: &Arrival<'_>) -> bool {
        self.drained.is_some_and(|(received_at, before)| {
            arrival.age_s(received_at) <= DRAIN_PAUSE_S && told.seconds_since(before).abs() <= f64::from(QUARTER_S)
        })
    }

    /// Whether a clock that was never off was just seen ahead, or eight hours behind.
    fn is_off_by_rumour(&self) -> bool {
        self.rumour.as_ref().is_some_and(|r| r.offset_s > 0 || r.offset_s == -BEIJING_S)
    }

    /// No offset was ever seen live: as reported, where that can be.
    fn read_unlearnt(&self, told: Timestamp, is_kept: bool, arrival: &Arrival<'_>, note: Note) -> Reading {
        if arrival.age_s(told) >= -FUTURE_S_MAX {
            // What a tracker sends before we have ever heard it live says nothing of its clock.
            return Reading::told(told).doubted(!note.is_right() || self.is_off_by_rumour());
        }
        if arrival.is_live(before(told, BEIJING_S)) {
            return Reading::repaired(told, BEIJING_S).doubted(is_kept);
        }
        let announced = arrival.announced_s(note).filter(|s| is_kept && arrival.is_plausible(before(told, *s)));
        announced.map_or(Reading::told(told), |offset_s| Reading::repaired(told, offset_s).doubted(true))
    }

    /// By the offset of its time. What two offsets explain is that of the order in time, and doubted; what none does
    /// stays as reported.
    fn read_learnt(&self, told: Timestamp, arrival: &Arrival<'_>) -> Reading {
        let at = |p: &Period| before(told, p.offset_s);
        let is_possible = |p: &&Period| {
            let is_of_another = |other: &Period| other.offset_s != p.offset_s && other.covers(at(p));
            arrival.is_plausible(at(p)) && !self.periods.iter().any(is_of_another)
        };
        let is_in_order = |(k, p): &(usize, &Period)| {
            let begins = k.checked_sub(1).and_then(|b| self.periods.get(b)).map(|p| p.last_at);
            let ends = self.periods.get(k + 1).map(|p| p.first_at);
            begins.is_none_or(|b| at(p) >= b) && ends.is_none_or(|e| at(p) <= e)
        };
        let possible = || self.periods.iter().enumerate().rev().filter(|(_, p)| is_possible(p));
        let in_order = possible().find(is_in_order);
        let Some((_, likeliest)) = in_order.or_else(|| possible().next()) else {
            return Reading::told(told).doubted(true);
        };
        let has_another = in_order.is_none() || possible().any(|(_, p)| p.offset_s != likeliest.offset_s);
        let is_unsteady = self.unsteady_at.is_some_and(|at| arrival.age_s(at) <= UNSTEADY_S);
        Reading::repaired(told, likeliest.offset_s).doubted(has_another || is_unsteady || self.rumour.is_some())
    }
}

/// Eight hours old to a minute or two: a backlog, or a clock that shows UTC and calls it Beijing's time.
fn is_old_by_beijing(age_s: f64) -> bool {
    (age_s - f64::from(BEIJING_S)).abs() <= BEIJING_DOUBT_S
}
