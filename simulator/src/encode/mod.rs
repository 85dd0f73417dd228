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

/// What a server says on a tracker's own socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The tracker is in.
    In,
    /// It is not, or has to register again.
    NotIn,
    /// JT/T 808: the code to show.
    Code(Vec<u8>),
    /// The message with this number is kept, or the oldest, where an answer has none.
    Kept(Option<u32>),
    /// Something else.
    Other,
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

    /// What a tracker says first on a socket of its own; nothing where each message names it. JT/T 808: without a code it
    /// registers, and then shows the code that it got. `sequence` counts log-ins.
    pub fn log_in(self, ident: &str, code: Option<&[u8]>, sequence: u16) -> Option<Vec<u8>> {
        match (self, code) {
            (Self::Jt808, None) => Some(jt808::registration(ident)),
            (Self::Jt808, Some(code)) => Some(jt808::authentication(ident, code)),
            (Self::Gt06, _) => Some(gt06::log_in(ident, sequence)),
            (Self::Teltonika, _) => Some(teltonika::log_in(ident)),
            (Self::Json | Self::H02, _) => None,
        }
    }

    /// Messages on their way on such a socket; one where an answer names none.
    pub fn in_flight_max(self) -> usize {
        match self {
            Self::Jt808 | Self::Gt06 => 20,
            Self::Json | Self::H02 | Self::Teltonika => 1,
        }
    }

    /// Takes the first whole answer out of what came on such a socket.
    pub fn take_answer(self, heard: &mut Vec<u8>, is_in: bool) -> Option<Answer> {
        match self {
            Self::Jt808 => jt808::take_answer(heard),
            Self::Gt06 => gt06::take_answer(heard),
            Self::H02 => h02::take_answer(heard),
            Self::Teltonika => teltonika::take_answer(heard, is_in),
            Self::Json => None,
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
    fn answers_of_each_language_are_taken_one_after_another_and_only_whole() {
        use Answer::{Code, In, Kept, NotIn};
        let all = |language: Language, is_in, wire: &str| {
            let wire = hex::decode(wire).unwrap_or_else(|_| wire.as_bytes().to_vec());
            let (mut heard, mut answers) = (Vec::new(), Vec::new());
            for byte in wire {
                heard.push(byte);
                answers.extend(language.take_answer(&mut heard, is_in));
            }
            assert!(heard.is_empty(), "{heard:02x?}");
            answers
        };
        let said = |message, body: &[u8]| hex::encode(jt808::frame(message, "13800138000", 0, body));
        let of_jt808 = [
            said(0x8100, &[&[0, 0, 0][..], b"c0de"].concat()),
            said(0x8100, &[0, 0, 3]),
            said(0x8001, &[0, 0, 1, 2, 0]),
            said(0x8001, &[0, 0, 1, 2, 1]),
            said(0x8001, &[0x7e, 0x7d, 2, 0, 0]),
        ];
        assert_eq!(
            all(Language::Jt808, true, &of_jt808.concat()),
            [Code(b"c0de".to_vec()), NotIn, In, NotIn, Kept(Some(0x7e7d))]
        );
        // Concox' own example of an answer to a log-in.
        let of_gt06 = ["787805010001d9dc0d0a", "787805220d0a00000d0a"].concat();
        assert_eq!(all(Language::Gt06, true, &of_gt06), [In, Kept(Some(0x0d0a))]);
        assert_eq!(all(Language::H02, true, "*HQ,1234567890,V4,V1,20261123212258#"), [Kept(None)]);
        assert_eq!(all(Language::Teltonika, false, "01"), [In]);
        assert_eq!(all(Language::Teltonika, true, "00000001"), [Kept(None)]);
        assert_eq!(gt06::log_in("123456789012345", 1), hex::decode("78780d01012345678901234500018cdd0d0a").unwrap());
    }

    #[test]
    fn the_calendar_is_right_at_its_corners() {
        assert_eq!(civil(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(civil(1_709_251_199_000), (2024, 2, 29, 23, 59, 59));
        assert_eq!(civil(1_781_492_245_000), (2026, 6, 15, 2, 57, 25));
    }
}
