//! Our own encoders, written from the descriptions of the languages, not from RideGuard's decoders.

pub mod gt06;
pub mod h02;
pub mod json;
pub mod jt808;
pub mod teltonika;

use std::ops::RangeInclusive;

/// What a tracker says at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Milliseconds since 1970, UTC.
    pub at_ms: i64,
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
    /// km/h.
    pub speed_kmh: f64,
    /// Degrees from north.
    pub course_deg: f64,
    /// Satellites.
    pub satellites: u8,
    /// Metres.
    pub accuracy_m: f64,
    /// Percent.
    pub battery_percent: u8,
    /// Main power there.
    pub external_power: bool,
    /// Ignition on.
    pub ignition: bool,
    /// Accelerometer; `None` without one.
    pub moving: Option<bool>,
    /// A shake just began.
    pub vibration: bool,
    /// What the place comes from.
    pub source: Source,
}

/// What a place comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Satellites.
    Gnss,
    /// A mast; said in languages that have a word for it, else as no fix.
    Cell,
    /// Nothing: the last one again, called not valid.
    Nothing,
}

/// A language the simulator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// RideGuard's own JSON.
    Json,
    /// JT/T 808-2013.
    Jt808,
    /// GT06.
    Gt06,
    /// H02, text.
    H02,
    /// Teltonika codec 8.
    Teltonika,
}

impl Language {
    /// From its name in the credentials file.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "jt808" => Some(Self::Jt808),
            "gt06" => Some(Self::Gt06),
            "h02" => Some(Self::H02),
            "teltonika" => Some(Self::Teltonika),
            _ => None,
        }
    }

    /// The numbers of the messages that an answer of the server is for.
    pub fn answered(self, answer: &[u8]) -> Option<RangeInclusive<u32>> {
        match self {
            Self::Json => json::answered(answer),
            Self::Jt808 => jt808::answered(answer),
            Self::Gt06 | Self::H02 | Self::Teltonika => None, // their answers are not read
        }
    }

    /// One message.
    pub fn message(self, ident: &str, sequence: u32, said: &Said) -> Vec<u8> {
        match self {
            Self::Json => json::message(ident, sequence, said),
            Self::Jt808 => jt808::location(ident, sequence as u16, said),
            Self::Gt06 => gt06::location(sequence as u16, said),
            Self::H02 => h02::location(ident, said),
            Self::Teltonika => teltonika::location(said),
        }
    }
}

/// Year, month, day, hour, minute, second of a time, UTC (days from civil, H. Hinnant).
pub fn civil(at_ms: i64) -> (i64, u8, u8, u8, u8, u8) {
    let seconds = at_ms.div_euclid(1000);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let day = doy - (153 * mp + 2) / 5 + 1;
    (year, month as u8, day as u8, (rest / 3600) as u8, (rest / 60 % 60) as u8, (rest % 60) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_right_at_its_corners() {
        assert_eq!(civil(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(civil(1_709_251_199_000), (2024, 2, 29, 23, 59, 59));
        assert_eq!(civil(1_781_492_245_000), (2026, 6, 15, 2, 57, 25));
    }
}
