//! Dialects of the languages as data: `profiles/*.toml`, and the files of a folder that the deployment names.
//!
//! A file says for some languages and models which clock they show and what their alarm codes mean; a
//! tracker's [`Profile`] names the model. The embedded files are always there; those of the folder are put
//! before them once, at start, so that they win.

use crate::domain::{AlarmKind, ClockZone, Datum, Profile};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Most bytes of a file; the longest of ours has 1.5 KB.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// Offsets of clocks on Earth lie within a day.
const OFFSET_S_MAX: i32 = 18 * 3600;
/// The embedded files; the plain dialect of a language before its variants.
const EMBEDDED: &[(&str, &str)] = &[
    ("jt808", include_str!("../../profiles/jt808.toml")),
    ("json", include_str!("../../profiles/json.toml")),
    ("gt06", include_str!("../../profiles/gt06.toml")),
    ("h02", include_str!("../../profiles/h02.toml")),
    ("teltonika", include_str!("../../profiles/teltonika.toml")),
    ("teltonika-16-byte", include_str!("../../profiles/teltonika-16-byte.toml")),
    ("osmand-app", include_str!("../../profiles/osmand-app.toml")),
    ("traccar-client", include_str!("../../profiles/traccar-client.toml")),
    ("jt808-standard2019", include_str!("../../profiles/jt808-standard2019.toml")),
    ("jt808-g10ls", include_str!("../../profiles/jt808-g10ls.toml")),
    ("jt808-utc-removal15", include_str!("../../profiles/jt808-utc-removal15.toml")),
    ("jt808-g1c", include_str!("../../profiles/jt808-g1c.toml")),
    ("jt808-padlock", include_str!("../../profiles/jt808-padlock.toml")),
    ("jt808-aovx", include_str!("../../profiles/jt808-aovx.toml")),
    ("jt808-vl300", include_str!("../../profiles/jt808-vl300.toml")),
    ("jt808-jimi-camera", include_str!("../../profiles/jt808-jimi-camera.toml")),
    ("jt808-door-switch", include_str!("../../profiles/jt808-door-switch.toml")),
    ("gt06-vl", include_str!("../../profiles/gt06-vl.toml")),
    ("gt06-lw4g", include_str!("../../profiles/gt06-lw4g.toml")),
];

static DIALECTS: OnceLock<Vec<Dialect>> = OnceLock::new();

/// Which meaning the ambiguous additional items of JT/T 808 have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Items {
    /// What most makers mean.
    #[default]
    Common,
    /// AOVX: tags, sensors and the SIM card in 0xf3, 0xf6, 0xf8.
    Aovx,
    /// Jimi's cameras: events in 0xe8.
    Jimi,
    /// Bit 16 of 0x57 is a door.
    DoorSwitch,
}

/// The unit of a speed in a query of OsmAnd's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeedUnit {
    /// Traccar's clients.
    Knots,
    /// The OsmAnd app and GPSLogger.
    MetresPerSecond,
    /// Some who write their own.
    KilometresPerHour,
}

impl SpeedUnit {
    /// km/h per unit; a nautical mile is 1,852 m.
    pub fn kmh(self) -> f64 {
        match self {
            Self::Knots => 1.852,
            Self::MetresPerSecond => 3.6,
            Self::KilometresPerHour => 1.0,
        }
    }
}

/// What the devices of some models have in common.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// Name of its file.
    name: String,
    protocols: Vec<String>,
    /// Empty: every model of these languages that no other file names.
    models: Vec<String>,
    /// Offset of the clock, seconds east of UTC.
    pub clock_offset_s: i32,
    /// Datum of the positions.
    pub datum: Datum,
    /// Whether a packet with a wrong check sum is read all the same.
    pub tolerate_checksum: bool,
    /// Whether a length that is wrong is overlooked where the check sum is right.
    pub tolerate_length: bool,
    /// Teltonika: whether records carry a group of 16-byte values.
    pub has_16_byte_values: bool,
    /// JT/T 808: what ambiguous items mean.
    pub items: Items,
    /// JT/T 808: the status bit that says armed, where a maker has one.
    pub armed_bit: Option<u8>,
    /// JT/T 808: the status bit that says moving, where a maker has one.
    pub moving_bit: Option<u8>,
    /// OsmAnd: the unit of a query's speed, where it is known.
    pub speed_unit: Option<SpeedUnit>,
    /// GT06: whether byte 4 of a heartbeat is an alarm code. Most models put their language or nothing there.
    pub has_alarm_in_heartbeat: bool,
    /// GT06: whether 0x16 of length 0x24 has the supply in 0.01 V; without a word, what fits.
    pub has_supply_in_alarm: Option<bool>,
    /// Alarm codes.
    pub alarms: AlarmTable,
}

/// Alarm code to word: bit numbers of JT/T 808 and H02, the alarm byte of GT06.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmTable([Option<AlarmKind>; 256]);

impl AlarmTable {
    /// The word of a code.
    pub fn kind(&self, code: u8) -> Option<AlarmKind> {
        self.0[usize::from(code)]
    }
}

/// What is wrong with a file of dialects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile {file}: {problem}")]
pub struct DialectError {
    /// Which file.
    pub file: String,
    /// What, with the value and the limit.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    protocols: Vec<String>,
    based_on: Option<String>,
    #[serde(default)]
    models: Vec<String>,
    clock: Option<String>,
    datum: Option<Datum>,
    tolerate_checksum: Option<bool>,
    tolerate_length: Option<bool>,
    has_16_byte_values: Option<bool>,
    items: Option<Items>,
    armed_bit: Option<u8>,
    moving_bit: Option<u8>,
    speed_unit: Option<SpeedUnit>,
    has_alarm_in_heartbeat: Option<bool>,
    has_supply_in_alarm: Option<bool>,
    #[serde(default)]
    alarms: BTreeMap<String, String>,
}

/// The dialect of a tracker: of its model where a file names it, of its language otherwise.
pub fn of(profile: &Profile) -> &'static Dialect {
    let all = DIALECTS.get_or_init(|| read_all(EMBEDDED.iter().copied()).unwrap_or_default());
    let protocol = profile.protocol.0.as_str();
    let speaks = |d: &&Dialect| d.protocols.iter().any(|p| p == protocol);
    let of_model = profile.model.as_deref().and_then(|model| all.iter().filter(speaks).find(|d| d.covers(model)));
    static PLAIN: Dialect = Dialect::plain();
    of_model.or_else(|| all.iter().find(|d| d.models.is_empty() && speaks(d))).unwrap_or(&PLAIN)
}

/// Puts files before the embedded ones; once, before anything is decoded.
///
/// # Errors
/// The first file that is wrong, or that something was decoded already.
pub fn install(files: &[(String, String)]) -> Result<(), DialectError> {
    let own = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    // Embedded first, so that files can be based on them; then the folder's to the front.
    let mut all = read_all(EMBEDDED.iter().copied().chain(own))?;
    all.rotate_left(EMBEDDED.len());
    let late = |_| DialectError { file: "folder".into(), problem: "the dialects are in use already".into() };
    DIALECTS.set(all).map_err(late)
}

fn read_all<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Vec<Dialect>, DialectError> {
    let mut all: Vec<Dialect> = Vec::new();
    for (name, text) in files {
        let read = Dialect::read(name, text, &all);
        all.push(read.map_err(|problem| DialectError { file: name.to_owned(), problem })?);
    }
    Ok(all)
}

impl Dialect {
    const fn plain() -> Self {
        Self {
            name: String::new(),
            protocols: Vec::new(),
            models: Vec::new(),
            clock_offset_s: 0,
            datum: Datum::Wgs84,
            tolerate_checksum: false,
            tolerate_length: false,
            has_16_byte_values: false,
            items: Items::Common,
            armed_bit: None,
            moving_bit: None,
            speed_unit: None,
            has_alarm_in_heartbeat: false,
            has_supply_in_alarm: None,
            alarms: AlarmTable([None; 256]),
        }
    }

    /// The offset of a tracker's clock: its profile's word, or the dialect's.
    pub fn offset_s(&self, profile: &Profile) -> i32 {
        match profile.clock {
            ClockZone::Standard => self.clock_offset_s,
            ClockZone::Utc => 0,
            ClockZone::OffsetS(s) => s,
        }
    }

    fn covers(&self, model: &str) -> bool {
        self.models.iter().any(|m| match m.strip_suffix('*') {
            Some(start) => model.get(..start.len()).is_some_and(|s| s.eq_ignore_ascii_case(start)),
            None => model.eq_ignore_ascii_case(m),
        })
    }

    fn read(name: &str, text: &str, known: &[Dialect]) -> Result<Self, String> {
        if text.len() > FILE_BYTES_MAX {
            return Err(format!("has {} bytes; at most {FILE_BYTES_MAX} are read", text.len()));
        }
        let file: File = toml::from_str(text).map_err(|e| e.to_string().replace('\n', " "))?;
        if file.protocols.is_empty() {
            return Err("protocols is empty; it must name at least one language".into());
        }
        if let Some(unknown) = file.protocols.iter().find(|p| !crate::protocol::PROTOCOLS.iter().any(|k| k.name == *p))
        {
            return Err(format!("no protocol is called {unknown:?}"));
        }
        let mut dialect = match &file.based_on {
            None => Self::plain(),
            Some(base) => known
                .iter()
                .find(|d| d.name == *base)
                .cloned()
                .ok_or_else(|| format!("based_on names {base:?}, which no earlier file is"))?,
        };
        for (code, word) in &file.alarms {
            let number = code.strip_prefix("0x").map_or_else(|| code.parse(), |hex| u8::from_str_radix(hex, 16));
            let number =
                number.map_err(|_| format!("alarm code {code:?} is not valid; expected 0 to 255 or 0x00 to 0xff"))?;
            let kind = match word.as_str() {
                "none" => None,
                word => Some(
                    AlarmKind::of_name(word)
                        .ok_or_else(|| format!("alarm {code} is {word:?}, which is not a known word"))?,
                ),
            };
            dialect.alarms.0[usize::from(number)] = kind;
        }
        if let Some(bit) = [file.armed_bit, file.moving_bit].into_iter().flatten().find(|bit| *bit > 31) {
            return Err(format!("status bit {bit} is not valid; expected 0 to 31"));
        }
        if let Some(clock) = &file.clock {
            dialect.clock_offset_s = offset_s(clock)?;
        }
        Ok(Self {
            name: name.to_owned(),
            protocols: file.protocols,
            models: file.models,
            datum: file.datum.unwrap_or(dialect.datum),
            tolerate_checksum: file.tolerate_checksum.unwrap_or(dialect.tolerate_checksum),
            tolerate_length: file.tolerate_length.unwrap_or(dialect.tolerate_length),
            has_16_byte_values: file.has_16_byte_values.unwrap_or(dialect.has_16_byte_values),
            items: file.items.unwrap_or(dialect.items),
            armed_bit: file.armed_bit.or(dialect.armed_bit),
            moving_bit: file.moving_bit.or(dialect.moving_bit),
            speed_unit: file.speed_unit.or(dialect.speed_unit),
            has_alarm_in_heartbeat: file.has_alarm_in_heartbeat.unwrap_or(dialect.has_alarm_in_heartbeat),
            has_supply_in_alarm: file.has_supply_in_alarm.or(dialect.has_supply_in_alarm),
            ..dialect
        })
    }
}

/// `utc`, or hours and minutes east of it: `+08:00`.
fn offset_s(text: &str) -> Result<i32, String> {
    let parse = || -> Option<i32> {
        if text == "utc" {
            return Some(0);
        }
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let (hours, minutes) = text.strip_prefix(['+', '-'])?.split_once(':')?;
        Some(sign * (hours.parse::<u8>().ok()? as i32 * 3600 + minutes.parse::<u8>().ok()? as i32 * 60))
    };
    parse()
        .filter(|s| s.abs() <= OFFSET_S_MAX)
        .ok_or_else(|| format!("clock is {text:?}; it must be \"utc\" or like \"+08:00\", at most 18 hours"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Dialect, String> {
        let known = read_all(EMBEDDED.iter().copied()).unwrap();
        Dialect::read("test", text, &known)
    }

    #[test]
    fn every_embedded_file_is_right_and_every_language_has_its_plain_dialect() {
        let all = read_all(EMBEDDED.iter().copied()).unwrap();
        for protocol in crate::protocol::PROTOCOLS {
            let plain = |d: &&Dialect| d.models.is_empty() && d.protocols.iter().any(|p| p == protocol.name);
            assert_eq!(all.iter().filter(plain).count(), 1, "{}", protocol.name);
        }
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), EMBEDDED.len(), "a file is not embedded");
    }

    #[test]
    fn a_model_has_its_own_meaning_of_a_code_and_the_rest_of_its_base() {
        let kind = |model: Option<&str>, code| {
            of(&Profile { model: model.map(Into::into), ..Profile::of("jt808") }).alarms.kind(code)
        };
        assert_eq!(kind(None, 15), Some(AlarmKind::Vibration));
        assert_eq!(kind(Some("g10ls-e"), 15), Some(AlarmKind::LowBattery));
        assert_eq!(kind(Some("G10LS"), 8), Some(AlarmKind::PowerCut));
        assert_eq!(kind(Some("never heard of"), 15), Some(AlarmKind::Vibration));
        assert_eq!(kind(Some("GL100"), 0), None);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_the_value() {
        for (text, said) in [
            ("protocols = [\"klingon\"]", "\"klingon\""),
            ("protocols = []", "protocols is empty"),
            ("protocols = [\"gt06\"]\nclock = \"noon\"", "\"noon\""),
            ("protocols = [\"gt06\"]\nclock = \"+99:00\"", "\"+99:00\""),
            ("protocols = [\"gt06\"]\nbased_on = \"nothing\"", "\"nothing\""),
            ("protocols = [\"gt06\"]\n[alarms]\n256 = \"sos\"", "\"256\""),
            ("protocols = [\"gt06\"]\n[alarms]\n1 = \"bang\"", "\"bang\""),
            ("protocols = [\"jt808\"]\narmed_bit = 32", "bit 32"),
            ("protocols = [\"gt06\"]\nlength = 4", "length"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(said), "{text}: {problem}");
        }
    }
}
