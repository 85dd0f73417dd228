//! What a lane keeps of a tracker's status row, in half of the row's bytes.

use crate::domain::{Fix, FixSource, LatLon, Status, Timestamp};
use crate::engine::effects::{NewestFix, StatusRow};
use crate::engine::interval::ReportInterval;
use compact_str::CompactString;
use std::num::{NonZeroU8, NonZeroU16};

/// What a tracker last said of itself. Its bytes are few enough to fill what others leave.
#[derive(Clone, Debug, Default)]
pub(super) struct LastStatus {
    battery_percent: Small,
    pub external_power: Option<bool>,
    pub ignition: Option<bool>,
    signal_percent: Small,
    satellites: Small,
    long_gap: u8,
    interval_s: u16,
    /// The firmware's number in the lane's table, plus one.
    pub firmware: Option<NonZeroU16>,
}

/// A small number that may not be known, in one byte: up to 254.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Small(Option<NonZeroU8>);

impl Small {
    fn of(percent: Option<u8>) -> Self {
        Self(percent.map(|p| NonZeroU8::MIN.saturating_add(p)))
    }

    fn get(self) -> Option<u8> {
        self.0.map(|p| p.get() - 1)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }
}

impl LastStatus {
    /// Of a row; its firmware is numbered by who has the table.
    pub fn of(row: &StatusRow) -> Self {
        Self {
            battery_percent: Small::of(row.battery_percent),
            external_power: row.external_power,
            ignition: row.ignition,
            signal_percent: Small::of(row.signal_percent),
            satellites: Small::of(row.satellites),
            interval_s: 0,
            long_gap: 0,
            firmware: None,
        }
    }

    /// The row, with what else it shows.
    pub fn row(
        &self,
        last_heard_at: Timestamp,
        newest: Option<&Newest>,
        firmware: Option<&CompactString>,
    ) -> StatusRow {
        StatusRow {
            last_heard_at,
            newest: newest.map(Newest::row),
            battery_percent: self.battery_percent.get(),
            external_power: self.external_power,
            ignition: self.ignition,
            signal_percent: self.signal_percent.get(),
            satellites: self.satellites.get(),
            firmware: firmware.cloned(),
            report_interval_s: self.interval().usual_s(),
        }
    }

    /// How often it reports.
    pub fn interval(&self) -> ReportInterval {
        ReportInterval { usual_s: self.interval_s, long: self.long_gap }
    }

    /// See [`Self::interval`]; two fields, as one would take a byte more.
    pub fn set_interval(&mut self, interval: ReportInterval) {
        (self.interval_s, self.long_gap) = (interval.usual_s, interval.long);
    }

    /// Takes over every value that `said` has, but for the firmware; of history only what was not known.
    pub fn merge(&mut self, said: &Status, is_history: bool) {
        macro_rules! take {
            ($($field:ident = $said:expr;)*) => { $(
                self.$field = if is_history { self.$field.or($said) } else { $said.or(self.$field) };
            )* };
        }
        take! {
            battery_percent = Small::of(said.battery_percent);
            external_power = said.external_power;
            ignition = said.ignition;
            signal_percent = Small::of(said.signal_percent);
            satellites = Small::of(said.satellites);
        }
    }
}

/// See [`NewestFix`]. No value that was kept is NaN, so NaN says that there is none.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub fixed_at: Timestamp,
    received_at: Timestamp,
    pub position: LatLon,
    speed_kmh: f32,
    course_deg: f32,
    accuracy_m: f32,
    satellites: Option<u8>,
    pub source: FixSource,
    /// Whether a wide cell entry represents it: see [`crate::engine::Parked`].
    pub is_wide: bool,
}

impl Newest {
    /// Of a fix that was judged.
    pub fn of(fix: &Fix, fixed_at: Timestamp, received_at: Timestamp, is_wide: bool) -> Self {
        Self {
            fixed_at,
            received_at,
            position: fix.position,
            speed_kmh: fix.speed_kmh.unwrap_or(f32::NAN),
            course_deg: fix.course_deg.unwrap_or(f32::NAN),
            accuracy_m: fix.accuracy_m.unwrap_or(f32::NAN),
            satellites: fix.satellites,
            source: fix.source,
            is_wide,
        }
    }

    /// Of a row.
    pub fn of_row(row: &NewestFix, is_wide: bool) -> Self {
        Self {
            fixed_at: row.fixed_at,
            received_at: row.received_at,
            position: row.position,
            speed_kmh: row.speed_kmh.unwrap_or(f32::NAN),
            course_deg: row.course_deg.unwrap_or(f32::NAN),
            accuracy_m: row.accuracy_m.unwrap_or(f32::NAN),
            satellites: row.satellites,
            source: row.source,
            is_wide,
        }
    }

    /// When its tracker's clock was seen right, if the fix came live and `live_s` says within how many seconds that is.
    pub fn right_at(&self, live_s: f64) -> Option<Timestamp> {
        (self.received_at.seconds_since(self.fixed_at) <= live_s).then_some(self.fixed_at)
    }

    /// As its row shows it.
    pub fn row(&self) -> NewestFix {
        let told = |value: f32| Some(value).filter(|v| !v.is_nan());
        NewestFix {
            fixed_at: self.fixed_at,
            received_at: self.received_at,
            position: self.position,
            speed_kmh: told(self.speed_kmh),
            course_deg: told(self.course_deg),
            accuracy_m: told(self.accuracy_m),
            satellites: self.satellites,
            source: self.source,
        }
    }
}
