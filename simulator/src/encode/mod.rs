//! Our own encoders, written from the descriptions of the languages, not from RideGuard's decoders.

pub mod json;
pub mod jt808;

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
    /// Accelerometer.
    pub moving: bool,
    /// A shake just began.
    pub vibration: bool,
}

/// A language the simulator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// RideGuard's own JSON.
    Json,
    /// JT/T 808-2013.
    Jt808,
}

impl Language {
    /// From its name in the credentials file.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "jt808" => Some(Self::Jt808),
            _ => None,
        }
    }

    /// One message.
    pub fn message(self, ident: &str, sequence: u32, said: &Said) -> Vec<u8> {
        match self {
            Self::Json => json::message(ident, sequence, said),
            Self::Jt808 => jt808::location(ident, sequence as u16, said),
        }
    }
}
