//! Alerts against the truth, as the benchmark's own referee counts (`score.py`).
//!
//! A theft counts if the owner is woken between the first sign and 15 minutes after it began to
//! move; everything else that wakes is false, merged into episodes of half an hour.

use crate::cli::recording;
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Alerts this long after a theft began still count, seconds.
const WINDOW_S: f64 = 900.0;
/// The same for silence, seconds.
const SILENCE_WINDOW_S: f64 = 7_200.0;
/// Alerts within this of an episode's first belong to it, seconds.
const EPISODE_S: f64 = 1_800.0;
/// "Within a minute", seconds.
const MINUTE_S: f64 = 60.0;
/// Commands and clocks may differ by this much, seconds.
const SLACK_S: f64 = 2.0;

/// What really happened, row by row.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Row {
    Armed {
        vehicle: String,
        t0: f64,
        t1: f64,
    },
    Incident {
        vehicle: String,
        sub: String,
        t0: f64,
        t_first: f64,
        floor_rx: Option<f64>,
    },
    Nontheft {
        #[serde(flatten)]
        played: Option<Played>,
    },
}

/// How a city was played to a deployment: its time from `t0` on passed from `began` (ours) on, `speed` times as fast.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Played {
    /// Its first second, since 1970.
    pub t0: f64,
    /// Our time then, seconds since 1970.
    pub began: f64,
    /// Times faster than life.
    pub speed: f64,
}

/// What really happened to one vehicle.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    armed: Vec<(f64, f64)>,
    incident: Option<Incident>,
}

#[derive(Clone, Debug)]
struct Incident {
    sub: String,
    t0: f64,
    t_first: f64,
    floor_rx: Option<f64>,
}

/// Reads a truth file; and how it was played, if it was played to a deployment.
///
/// # Errors
/// Names the file, and the line and the problem of a row that cannot be read.
pub fn truths(path: &Path) -> anyhow::Result<(BTreeMap<String, Truth>, Option<Played>)> {
    let (mut truths, mut how) = (BTreeMap::<String, Truth>::new(), None);
    for (n, line) in std::io::BufRead::lines(recording::open(path)?).enumerate() {
        let context = || format!("{}: line {}", path.display(), n + 1);
        match serde_json::from_str(&line.with_context(context)?).with_context(context)? {
            Row::Armed { vehicle, t0, t1 } => truths.entry(vehicle).or_default().armed.push((t0, t1)),
            Row::Incident { vehicle, sub, t0, t_first, floor_rx } => {
                truths.entry(vehicle).or_default().incident = Some(Incident { sub, t0, t_first, floor_rx });
            }
            Row::Nontheft { played } => how = how.or(played),
        }
    }
    Ok((truths, how))
}

/// What kind of incident an outcome belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The vehicle moves away.
    Theft,
    /// Its power is cut and it stays.
    PowerCut,
    /// It falls silent.
    Silent,
}

/// How one incident was noticed.
#[derive(Clone, Debug, PartialEq)]
pub struct Noticed {
    /// Its class.
    pub class: Class,
    /// Its subclass in the truth (`walk_push`, `van_lbs` …).
    pub sub: String,
    /// Seconds from the beginning to the alert; `None`: not noticed.
    pub delay_s: Option<f64>,
    /// Whether one who knows the truth and waits for the first fix 30 m away is in time.
    pub oracle_in_a_minute: bool,
}

impl Noticed {
    /// Whether it was noticed within a minute.
    pub fn in_a_minute(&self) -> bool {
        self.delay_s.is_some_and(|d| d <= MINUTE_S)
    }
}

/// The score of one vehicle.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// Days it was guarded.
    pub armed_days: f64,
    /// Episodes of false alarms while guarded: when each began.
    pub false_alarms: Vec<f64>,
    /// Episodes of alarms while it was not guarded.
    pub unguarded: usize,
    /// Its incident, if it had one.
    pub noticed: Option<Noticed>,
}

impl Truth {
    /// Scores the times at which the vehicle's owner was woken.
    pub fn score(&self, woken: &[f64]) -> Score {
        let mut woken = woken.to_vec();
        woken.sort_by(f64::total_cmp);
        let mut score =
            Score { armed_days: self.armed.iter().map(|(t0, t1)| (t1 - t0) / 86_400.0).sum(), ..Score::default() };
        let began = self.incident.as_ref().map_or(f64::INFINITY, |i| i.t_first);
        let mut episode = f64::NEG_INFINITY;
        for t in woken.iter().copied().filter(|t| *t < began) {
            if t - episode < EPISODE_S {
                continue;
            }
            episode = t;
            if self.armed.iter().any(|(t0, t1)| (t0 - SLACK_S..=t1 + SLACK_S).contains(&t)) {
                score.false_alarms.push(t);
            } else {
                score.unguarded += 1;
            }
        }
        score.noticed = self.incident.as_ref().map(|i| {
            let class = match i.sub.as_str() {
                "power_cut" => Class::PowerCut,
                "silent" => Class::Silent,
                _ => Class::Theft,
            };
            let window_s = if class == Class::Silent { SILENCE_WINDOW_S } else { WINDOW_S };
            let first = woken.iter().copied().find(|t| (i.t_first..=i.t0 + window_s).contains(t));
            Noticed {
                class,
                sub: i.sub.clone(),
                delay_s: first.map(|t| (t - i.t0).max(0.0)),
                oracle_in_a_minute: i.floor_rx.is_some_and(|t| t - i.t0 <= MINUTE_S),
            }
        });
        score
    }
}

/// Many scores together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pooled {
    /// Days under guard.
    pub armed_days: f64,
    /// Episodes of false alarms while guarded.
    pub false_alarms: usize,
    /// Episodes of alarms while not guarded.
    pub unguarded: usize,
    /// Thefts: all, noticed, noticed within a minute, and by the oracle within a minute.
    pub thefts: [usize; 4],
    /// Delays of the thefts noticed, seconds, sorted.
    pub theft_delays_s: Vec<f64>,
    /// Power cuts, and the delays of those noticed, sorted.
    pub power_cuts: (usize, Vec<f64>),
    /// Silences, and the delays of those noticed, sorted.
    pub silences: (usize, Vec<f64>),
}

impl Pooled {
    /// Pools scores.
    pub fn of<'a>(scores: impl IntoIterator<Item = &'a Score>) -> Self {
        let mut pooled = Self::default();
        for score in scores {
            pooled.armed_days += score.armed_days;
            pooled.false_alarms += score.false_alarms.len();
            pooled.unguarded += score.unguarded;
            let Some(n) = &score.noticed else { continue };
            match n.class {
                Class::Theft => {
                    let in_a_minute = usize::from(n.in_a_minute());
                    let counts = [1, usize::from(n.delay_s.is_some()), in_a_minute, usize::from(n.oracle_in_a_minute)];
                    std::iter::zip(&mut pooled.thefts, counts).for_each(|(sum, count)| *sum += count);
                    pooled.theft_delays_s.extend(n.delay_s);
                }
                Class::PowerCut => {
                    pooled.power_cuts.0 += 1;
                    pooled.power_cuts.1.extend(n.delay_s);
                }
                Class::Silent => {
                    pooled.silences.0 += 1;
                    pooled.silences.1.extend(n.delay_s);
                }
            }
        }
        pooled.theft_delays_s.sort_by(f64::total_cmp);
        pooled.power_cuts.1.sort_by(f64::total_cmp);
        pooled.silences.1.sort_by(f64::total_cmp);
        pooled
    }

    /// False alarms per 1,000 vehicle-days under guard.
    pub fn per_1000_days(&self) -> f64 {
        1_000.0 * self.false_alarms as f64 / self.armed_days
    }

    /// Thefts noticed within a minute as a share of the oracle's.
    pub fn share_of_oracle(&self) -> f64 {
        let [_, _, in_a_minute, oracle] = self.thefts;
        in_a_minute as f64 / oracle as f64
    }

    /// Thefts noticed within the window, as a share of all.
    pub fn recall(&self) -> f64 {
        self.thefts[1] as f64 / self.thefts[0] as f64
    }
}

/// The value below which the share `q` of sorted values lies, interpolated.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let x = (sorted.len().checked_sub(1)?) as f64 * q;
    let (low, part) = (x.floor() as usize, x.fract());
    let above = sorted.get(low + 1).copied().unwrap_or(sorted[low]);
    Some(sorted[low] * (1.0 - part) + above * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stolen_at_1000() -> Truth {
        let incident = Incident { sub: "ride".into(), t0: 1_000.0, t_first: 990.0, floor_rx: Some(1_030.0) };
        Truth { armed: vec![(0.0, 1_000.0)], incident: Some(incident) }
    }

    #[test]
    fn an_alert_before_the_theft_is_false_and_one_in_its_window_notices_it() {
        let score = stolen_at_1000().score(&[100.0, 1_050.0]);
        assert_eq!(score.false_alarms, [100.0]);
        assert_eq!(score.noticed.and_then(|n| n.delay_s), Some(50.0));
    }

    #[test]
    fn an_alert_after_the_window_is_no_notice_and_no_false_alarm() {
        let score = stolen_at_1000().score(&[2_000.0]);
        assert_eq!((score.false_alarms.len(), score.unguarded), (0, 0));
        assert_eq!(score.noticed.and_then(|n| n.delay_s), None);
    }

    #[test]
    fn an_alarm_repeated_for_hours_counts_every_half_hour() {
        let truth = Truth { armed: vec![(0.0, 1e6)], incident: None };
        let score = truth.score(&[0.0, 600.0, 1_700.0, 1_900.0, 2_000_000.0]);
        assert_eq!(score.false_alarms, [0.0, 1_900.0]);
        assert_eq!(score.unguarded, 1);
    }
}
