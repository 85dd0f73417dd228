//! What a live message teaches of a clock.

use crate::domain::Timestamp;
use crate::engine::clock::{
    Arrival, BEIJING_S, Clock, EXACT_S, FUTURE_S_MAX, LIVE_S, Note, PERIODS_MAX, Period, QUARTER_S, ROLLOVER_FIT_S,
    ZONES_S, before,
};
use serde::{Deserialize, Serialize};

/// Messages that must show the same offset before it is believed against another explanation ...
const AGREEING_MIN: u32 = 3;
/// ... over so long, seconds: what is read out of a memory does not stay equally old for half a minute.
const AGREEING_S_MIN: f64 = 30.0;
/// Stretches of one offset that may be remembered before the clock is called unsteady: it was right, went wrong, was mended.
const RETURNS_MAX: usize = 2;
/// What summer time adds, seconds.
const SUMMER_S: i32 = 3600;

/// An offset that live messages would explain, and how many have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Rumour {
    /// The offset.
    pub offset_s: i32,
    /// How far ahead the first message was, seconds.
    ahead_s: i32,
    /// When that came, and what time it reported.
    since: Timestamp,
    first_told: Timestamp,
    /// The newest time that was reported.
    last_told: Timestamp,
    /// Messages that agree.
    times: u32,
}

impl Rumour {
    /// Whether a message is one more of its kind.
    pub fn covers(&self, told: Timestamp, arrival: &Arrival<'_>) -> bool {
        (-arrival.age_s(told) - f64::from(self.ahead_s)).abs() <= EXACT_S
    }

    /// Whether what it covers may well be live: it was seen again and again, or it is what the tracker announces.
    pub fn is_grave(&self, arrival: &Arrival<'_>, note: Note) -> bool {
        self.times >= AGREEING_MIN || arrival.announced_s(note) == Some(self.offset_s)
    }
}

/// How an offset comes to be believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// At once: nothing else explains the message.
    Proof,
    /// When others agree.
    Hint,
    /// Never: a backlog explains it as well, and nothing speaks for the clock.
    Doubt,
}

impl Clock {
    /// Learns from the newest time that a packet reports as live.
    pub fn observe(&mut self, told: Timestamp, arrival: &Arrival<'_>, note: &mut Note) {
        let (told, rollovers) = self.unrolled(told, arrival);
        if rollovers > 0 && arrival.age_s(told) <= ROLLOVER_FIT_S {
            self.rollovers = Some((rollovers, arrival.received_at));
        }
        self.forget_old(arrival, note);
        let present_s = self.present_s();
        if arrival.is_live(before(told, present_s)) {
            self.confirm(before(told, present_s), arrival, note);
            return;
        }
        let is_drained = !self.periods.is_empty() && (!arrival.is_live(told) || self.is_drained(told, arrival));
        self.drained = is_drained.then_some((arrival.received_at, told));
        let Some((offset_s, weight)) = self.suspect(told, arrival, *note) else { return };
        let rumour = match self.rumour {
            Some(r) if r.offset_s == offset_s && r.covers(told, arrival) => {
                let is_new = told > r.last_told;
                Rumour { times: r.times.saturating_add(is_new.into()), last_told: r.last_told.max(told), ..r }
            }
            _ => {
                let (since, ahead_s) = (arrival.received_at, -arrival.age_s(told).round() as i32);
                Rumour { offset_s, ahead_s, since, first_told: told, last_told: told, times: 1 }
            }
        };
        let is_agreed = rumour.times >= AGREEING_MIN && arrival.age_s(rumour.since) >= AGREEING_S_MIN;
        if weight == Weight::Proof || (weight == Weight::Hint && is_agreed) {
            self.begin(&rumour, arrival, note);
        } else {
            self.rumour = Some(rumour);
        }
    }

    /// The clock is as it was.
    fn confirm(&mut self, at: Timestamp, arrival: &Arrival<'_>, note: &mut Note) {
        let present_s = self.present_s();
        let is_known = |r: &Rumour| r.offset_s == 0 || self.periods.iter().any(|p| p.offset_s == r.offset_s);
        if self.rumour.as_ref().is_some_and(|r| r.offset_s != present_s && is_known(r)) {
            self.unsteady_at = Some(arrival.received_at); // an offset that came and went
        }
        (self.rumour, self.is_set_anew) = (None, false);
        match self.periods.last_mut() {
            Some(present) => {
                present.last_at = present.last_at.max(at);
                present.times = present.times.saturating_add(1);
            }
            None => note.set_right(),
        }
    }

    /// Another offset is the present one from now on.
    fn begin(&mut self, rumour: &Rumour, arrival: &Arrival<'_>, note: &mut Note) {
        if let (true, Some(at)) = (self.periods.is_empty() && note.is_right(), arrival.right_at) {
            self.periods.push(Period { offset_s: 0, first_at: at, last_at: at, times: 1 });
        }
        let same = self.periods.iter().filter(|p| p.offset_s == rumour.offset_s);
        if same.count() >= RETURNS_MAX {
            self.unsteady_at = Some(arrival.received_at);
        }
        let at = |told| before(told, rumour.offset_s);
        let (first_at, last_at) = (at(rumour.first_told), at(rumour.last_told));
        self.periods.push(Period { offset_s: rumour.offset_s, first_at, last_at, times: rumour.times });
        if self.periods.len() > PERIODS_MAX {
            self.periods.remove(0);
        }
        (self.rumour, self.is_set_anew) = (None, false);
    }

    /// The tracker announces another zone than before: what was seen says nothing against it.
    pub fn set_anew(&mut self) {
        (self.rumour, self.is_set_anew) = (None, true);
    }

    /// What no message can be of any more is forgotten; a clock that is right again is like any other.
    fn forget_old(&mut self, arrival: &Arrival<'_>, note: &mut Note) {
        let is_over = |at: Timestamp| arrival.age_s(at) > arrival.max_fix_age_s;
        while self.periods.get(1).is_some_and(|next| is_over(next.first_at)) {
            self.periods.remove(0);
        }
        if matches!(self.periods[..], [Period { offset_s: 0, .. }]) {
            self.periods.clear();
            note.set_right();
        }
        self.drained =
            self.drained.filter(|(received_at, _)| arrival.age_s(*received_at) <= crate::engine::clock::DRAIN_PAUSE_S);
        self.unsteady_at = self.unsteady_at.filter(|at| arrival.age_s(*at) <= crate::engine::clock::UNSTEADY_S);
        self.rollovers = self.rollovers.filter(|(_, at)| !is_over(*at));
    }

    /// Another offset by which a message would be live, and what that weighs.
    fn suspect(&self, told: Timestamp, arrival: &Arrival<'_>, note: Note) -> Option<(i32, Weight)> {
        let (present_s, ahead_s) = (self.present_s(), -arrival.age_s(told));
        // A message of the future is no backlog.
        let is_impossible = ahead_s - f64::from(present_s) > FUTURE_S_MAX;
        let weight = if is_impossible { Weight::Proof } else { Weight::Hint };
        let is_live_by = |offset_s: i32| arrival.is_live(before(told, offset_s));
        let is_exact = |offset_s: i32| (ahead_s - f64::from(offset_s)).abs() <= EXACT_S;
        if present_s != 0 && is_live_by(0) {
            return Some((0, weight));
        }
        if let Some(announced_s) = arrival.announced_s(note).filter(|s| is_exact(*s) && *s != present_s) {
            // Two words that agree, unless the clock was seen to be another.
            let is_unseen = self.is_set_anew || (self.periods.is_empty() && !note.is_right());
            return Some((announced_s, if is_unseen { Weight::Proof } else { weight }));
        }
        if is_impossible && is_live_by(BEIJING_S) {
            return Some((BEIJING_S, Weight::Proof));
        }
        if is_impossible && present_s != 0 && is_exact(present_s + SUMMER_S) {
            return Some((present_s + SUMMER_S, Weight::Proof));
        }
        if let Some(known) = self.periods.iter().rev().find(|p| p.offset_s != present_s && is_live_by(p.offset_s)) {
            return Some((known.offset_s, weight));
        }
        if ahead_s.abs() > LIVE_S + f64::from(*ZONES_S.end()) {
            return None;
        }
        let offset_s = (ahead_s / f64::from(QUARTER_S)).round() as i32 * QUARTER_S;
        if ZONES_S.contains(&offset_s) && offset_s != 0 && offset_s != present_s && is_exact(offset_s) {
            let shows_utc = offset_s == -arrival.profile_offset_s();
            return Some((offset_s, if offset_s > 0 || shows_utc { Weight::Hint } else { Weight::Doubt }));
        }
        // Ahead by no zone: it is wrong now, and nobody knows by how much it was.
        is_impossible.then_some((ahead_s.round() as i32, Weight::Doubt))
    }
}
