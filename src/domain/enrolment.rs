//! Facts of people, vehicles and trackers as files and forms bring them: their names, forms and limits.

use crate::domain::credential::is_reserved;
use crate::domain::phone::Phone;
use crate::domain::plate::{self, Plate};
use crate::domain::{Profile, TrackerIdent};
use serde_json::{Map, Value, json};

/// Most columns of a file; the seventeen of ours, and some that are left out.
pub const COLUMNS_MAX: usize = 64;
/// Most characters of a cell; the longest of our facts has 64.
pub const CELL_CHARS_MAX: usize = 256;
/// Most characters of a value that a report repeats.
const SAID_CHARS_MAX: usize = 64;

/// A fact that a column may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // docs/enrolment.md says what each is
pub enum Field {
    Name,
    Phone,
    IdNumber,
    Plate,
    Kind,
    Make,
    Model,
    Colour,
    FrameNumber,
    MotorNumber,
    Ident,
    Protocol,
    TrackerModel,
    Iccid,
    SimNumber,
    Batch,
    Transport,
}

/// Each fact with its name and how people head its column, in lower case without blanks.
const FIELDS: [(Field, &str, &[&str]); 17] = [
    (Field::Name, "name", &["owner", "ownername", "姓名", "车主", "车主姓名", "所有人"]),
    (
        Field::Phone,
        "phone",
        &["mobile", "ownerphone", "phonenumber", "手机", "手机号", "手机号码", "电话", "联系电话", "车主电话"],
    ),
    (Field::IdNumber, "id_number", &["idcard", "idnumber", "身份证", "身份证号", "身份证号码", "证件号码"]),
    (
        Field::Plate,
        "plate",
        &["platenumber", "licenceplate", "licenseplate", "车牌", "车牌号", "车牌号码", "号牌", "号牌号码"],
    ),
    (Field::Kind, "kind", &["vehiclekind", "vehicletype", "type", "车型", "车辆类型", "类型"]),
    (Field::Make, "make", &["brand", "manufacturer", "品牌", "厂牌", "车辆品牌"]),
    (Field::Model, "model", &["vehiclemodel", "型号", "车辆型号"]),
    (Field::Colour, "colour", &["color", "颜色", "车身颜色", "车辆颜色"]),
    (Field::FrameNumber, "frame_number", &["frame", "framenumber", "vin", "车架号", "车架号码", "整车编码"]),
    (Field::MotorNumber, "motor_number", &["motor", "motornumber", "enginenumber", "电机号", "电机号码", "发动机号"]),
    (
        Field::Ident,
        "ident",
        &[
            "tracker",
            "trackerident",
            "imei",
            "deviceid",
            "terminalid",
            "终端号",
            "设备号",
            "定位器",
            "定位器编号",
            "终端编号",
        ],
    ),
    (Field::Protocol, "protocol", &["trackerprotocol", "协议", "通信协议"]),
    (Field::TrackerModel, "tracker_model", &["trackermodel", "devicemodel", "终端型号", "设备型号", "定位器型号"]),
    (Field::Iccid, "iccid", &["simiccid", "卡号iccid"]),
    (Field::SimNumber, "sim_number", &["sim", "simnumber", "msisdn", "sim卡号", "物联网卡号"]),
    (Field::Batch, "batch", &["batchnumber", "lot", "批次", "批次号"]),
    (Field::Transport, "transport", &["trackertransport", "connectsby", "传输方式", "接入方式", "连接方式"]),
];

/// What is wrong with a value: the word of it, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value:?}; it must be {allowed}")]
pub struct Fault {
    /// Name of the fact.
    pub field: &'static str,
    /// What was given, its beginning; of an id number only its end.
    pub value: String,
    /// A word for programs.
    pub code: &'static str,
    /// What may stand there.
    pub allowed: String,
}

impl Field {
    /// All of them, in the order of an export.
    pub fn all() -> impl Iterator<Item = Self> {
        FIELDS.iter().map(|(field, ..)| *field)
    }

    /// Its name in files, in the API and in errors.
    pub fn name(self) -> &'static str {
        FIELDS.iter().find(|(field, ..)| *field == self).map_or("", |(_, name, _)| name)
    }

    /// The fact of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        FIELDS.iter().find(|(_, own, _)| *own == name).map(|(field, ..)| *field)
    }

    /// The fact that a column with this heading holds, in Chinese or English.
    pub fn of_heading(heading: &str) -> Option<Self> {
        let plain: String = heading.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        let is_it = |(_, name, words): &&(Field, &str, &[&str])| {
            name.replace('_', "") == plain || words.contains(&plain.as_str())
        };
        FIELDS.iter().find(is_it).map(|(field, ..)| *field)
    }

    fn fault(self, value: &str, code: &'static str, allowed: impl Into<String>) -> Fault {
        let said = match self {
            Self::IdNumber => format!("…{}", last4(value)),
            _ => value.chars().take(SAID_CHARS_MAX).collect(),
        };
        Fault { field: self.name(), value: said, code, allowed: allowed.into() }
    }

    /// A value in the form that is kept.
    ///
    /// # Errors
    /// Says what may stand there.
    pub fn understand(self, given: &str, protocols: &[&str]) -> Result<String, Fault> {
        let text = given.trim();
        // As exports write what a spreadsheet would take for a formula.
        let text = text.strip_prefix('\'').filter(|t| acts(t)).unwrap_or(text);
        let wrong = |code, allowed: &str| Err(self.fault(text, code, allowed));
        if is_spoilt(text) {
            return wrong(
                "spoilt",
                "the whole value: a spreadsheet shortened it, or its formula failed; make the column text",
            );
        }
        if text.chars().count() > CELL_CHARS_MAX || text.contains('\0') {
            return wrong("text_length", "at most 256 characters, no NUL");
        }
        let within = |max: usize| match text.chars().count() {
            n if (1..=max).contains(&n) && !text.chars().any(char::is_control) => Ok(text.to_owned()),
            _ => Err(self.fault(text, "text_length", format!("1 to {max} characters"))),
        };
        match self {
            Self::Name | Self::Make | Self::Model | Self::TrackerModel | Self::Batch => within(64),
            Self::Colour => within(32),
            Self::Phone => Phone::parse(text).map(|p| p.as_str().to_owned()).map_or_else(
                || {
                    wrong(
                        "phone_form",
                        "a mobile number of China (11 digits), or + with country and number, 7 to 15 digits",
                    )
                },
                Ok,
            ),
            Self::IdNumber => {
                let number = text.to_uppercase();
                if is_id_number(&number) {
                    Ok(number)
                } else {
                    wrong("id_number_form", "18 characters with a right check digit (GB 11643)")
                }
            }
            Self::Plate => Plate::parse(text)
                .map(|p| p.to_string())
                .or_else(|_| wrong("plate_form", "2 to 16 letters and digits, one digit at least")),
            Self::Kind => match text.to_lowercase().as_str() {
                "ebike" | "e-bike" | "电动自行车" | "电动车" => Ok("ebike".to_owned()),
                "motorcycle" | "摩托车" | "电动摩托车" | "电动轻便摩托车" => Ok("motorcycle".to_owned()),
                _ => wrong("unknown_word", "ebike (电动自行车) or motorcycle (摩托车)"),
            },
            Self::FrameNumber | Self::MotorNumber => {
                let number = text.to_uppercase();
                let is_good =
                    (4..=32).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                if is_good { Ok(number) } else { wrong("number_form", "4 to 32 of A-Z 0-9 -") }
            }
            Self::Ident => match TrackerIdent::parse(text) {
                Ok(ident) if !is_reserved(ident.as_str()) => Ok(ident.as_str().to_owned()),
                _ => wrong("ident_form", "1 to 32 of A-Z a-z 0-9 _ -, not beginning with rideguard"),
            },
            Self::Protocol => {
                let name = text.to_lowercase();
                if protocols.contains(&name.as_str()) { Ok(name) } else { wrong("unknown_word", &protocols.join(", ")) }
            }
            // By which port of the door a language comes is told by the language.
            Self::Transport => match text.to_lowercase().as_str() {
                "mqtt" => Ok("mqtt".to_owned()),
                "socket" | "tcp" | "udp" => Ok("socket".to_owned()),
                _ => wrong("unknown_word", "mqtt or socket"),
            },
            Self::Iccid => {
                let number: String = text.to_uppercase().chars().filter(|c| !c.is_whitespace()).collect();
                let (body, last) = number.split_at_checked(number.len().saturating_sub(1)).unwrap_or_default();
                let is_good =
                    (17..=19).contains(&body.len()) && is_digits(body) && last.bytes().all(|b| b.is_ascii_hexdigit());
                if is_good { Ok(number) } else { wrong("iccid_form", "18 to 20 digits (ITU-T E.118)") }
            }
            Self::SimNumber => {
                let number: String = text.chars().filter(|c| !(c.is_whitespace() || *c == '-')).collect();
                let digits = number.strip_prefix('+').unwrap_or(&number);
                if (5..=15).contains(&digits.len()) && is_digits(digits) {
                    Ok(number)
                } else {
                    wrong("number_form", "5 to 15 digits")
                }
            }
        }
    }
}

/// Whether a spreadsheet takes a cell for a formula, whatever apostrophes stand before it (OWASP, "CSV Injection").
pub fn acts(cell: &str) -> bool {
    cell.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// Whether a spreadsheet has lost the value: 8.986E+19 had twenty digits once, #N/A is a formula's fault (ECMA-376-1, 18.17.3).
fn is_spoilt(text: &str) -> bool {
    let is_number =
        |t: &str| t.starts_with(|c: char| c.is_ascii_digit()) && t.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_short = text.split_once(['E', 'e']).is_some_and(|(n, power)| {
        is_number(n) && power.strip_prefix('+').is_some_and(|p| !p.is_empty() && is_digits(p))
    });
    is_short || ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"].contains(&text)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// The last four characters.
pub fn last4(text: &str) -> String {
    let count = text.chars().count();
    text.chars().skip(count.saturating_sub(4)).collect()
}

/// GB 11643-1999: 17 digits and a check character by ISO 7064 MOD 11-2.
pub fn is_id_number(text: &str) -> bool {
    let Some((digits, &[check])) = text.as_bytes().split_at_checked(17) else { return false };
    if !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: usize = digits.iter().zip(weights).map(|(b, weight)| usize::from(b - b'0') * weight).sum();
    check == b"10X98765432"[sum % 11]
}

/// Begins an id number that is kept as its hash.
const SEALED: &str = "sealed:";

/// Hash and last four of such a cell.
fn sealed(cell: &str) -> Option<(&str, &str)> {
    let (hash, end) = cell.strip_prefix(SEALED)?.split_once(':')?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let is_end = end.len() == 4 && end.bytes().all(|b| b.is_ascii_digit() || b == b'X');
    (is_hash && is_end).then_some((hash, end))
}

/// What a deployment brings to the reading of a line.
pub struct Reader<'a> {
    /// The names of the languages that trackers may speak.
    pub protocols: &'a [&'a str],
    /// Those of them that trackers speak on a socket of their own.
    pub sockets: &'a [&'a str],
    /// The keyed hash of an id number, hex.
    pub id_hash: &'a (dyn Fn(&str) -> String + Sync),
}

impl Reader<'_> {
    /// A line as it is understood, or everything that is wrong in it.
    ///
    /// # Errors
    /// One fault for each fact that is wrong or missing.
    pub fn understand(&self, cells: &[String], mapping: &[Option<Field>]) -> Result<Value, Vec<Fault>> {
        let (mut known, mut faults) = (Map::new(), Vec::new());
        for (cell, field) in cells.iter().zip(mapping) {
            let Some(field) = field.filter(|_| !cell.trim().is_empty()) else { continue };
            if let Some((hash, end)) = sealed(cell).filter(|_| field == Field::IdNumber) {
                known.insert("id_number_hmac".into(), json!(hash));
                known.insert("id_number_last4".into(), json!(end));
                continue;
            }
            match field.understand(cell, self.protocols) {
                Ok(value) => self.keep(field, value, &mut known),
                Err(fault) => faults.push(fault),
            }
        }
        let is_wrong = |field: Field, faults: &[Fault]| faults.iter().any(|f| f.field == field.name());
        let mut needs = |given: &[&str], needed: Field| {
            let has = |name: &str| known.contains_key(name);
            if given.iter().any(|name| has(name)) && !has(needed.name()) && !is_wrong(needed, &faults) {
                faults.push(needed.fault("", "missing", format!("needed beside {}", given.join(", "))));
            }
        };
        needs(&["name", "id_number_last4"], Field::Phone);
        needs(&["phone"], Field::Name);
        needs(&["kind", "make", "model", "colour", "frame_number", "motor_number"], Field::Plate);
        needs(&["plate"], Field::Kind);
        needs(&["profile", "tracker_model", "iccid", "sim_number", "batch", "transport"], Field::Ident);
        if known.contains_key("ident") && !known.contains_key("profile") && !is_wrong(Field::Protocol, &faults) {
            faults.push(Field::Protocol.fault("", "missing", self.protocols.join(", ")));
        }
        if known.contains_key("profile") {
            faults.extend(self.settle_transport(&mut known).err());
        }
        if known.is_empty() && faults.is_empty() {
            faults.push(Field::Plate.fault("", "missing", "a person's phone, a plate or a tracker"));
        }
        if faults.is_empty() { Ok(Value::Object(known)) } else { Err(faults) }
    }

    /// Puts how a tracker comes into its profile. A language that no socket takes comes by MQTT; where nothing is said of
    /// another, it comes as before.
    ///
    /// # Errors
    /// Names what is missing, or how the language may come.
    pub fn settle_transport(&self, known: &mut Map<String, Value>) -> Result<(), Fault> {
        let transport = known.remove("transport");
        let is_by_socket = transport == Some(json!("socket"));
        let Some(profile) = known.get_mut("profile") else {
            let needed = || Field::Protocol.fault("", "missing", "needed beside transport");
            return if transport.is_none() { Ok(()) } else { Err(needed()) };
        };
        let has_socket = self.sockets.iter().any(|name| profile["protocol"] == *name);
        if is_by_socket && !has_socket {
            let allowed = format!("mqtt, or socket with {}", self.sockets.join(", "));
            return Err(Field::Transport.fault("socket", "unknown_word", allowed));
        }
        if let Some(transport) = transport.or((!has_socket).then(|| json!("mqtt"))) {
            profile["transport"] = transport;
        }
        Ok(())
    }

    /// The cells as they may be kept until the import: an id number is its hash and its last four, wherever it stands.
    pub fn seal(&self, cells: &mut [String], mapping: &[Option<Field>]) {
        for (at, cell) in cells.iter_mut().enumerate() {
            let field = mapping.get(at).copied().flatten();
            let number = cell.trim().to_uppercase();
            if is_id_number(&number) && field.is_none_or(|f| f == Field::IdNumber) {
                *cell = format!("{SEALED}{}:{}", (self.id_hash)(&number), last4(&number));
            } else if field == Some(Field::IdNumber) && sealed(cell).is_none() && !number.is_empty() {
                *cell = format!("…{}", last4(&number));
            }
        }
    }

    /// Puts a fact to the others, in the form of the database.
    pub fn keep(&self, field: Field, value: String, known: &mut Map<String, Value>) {
        match field {
            Field::IdNumber => {
                known.insert("id_number_hmac".into(), json!((self.id_hash)(&value)));
                known.insert("id_number_last4".into(), json!(last4(&value)));
            }
            Field::Protocol => drop(known.insert("profile".into(), json!(Profile::of(&value)))),
            Field::Plate => {
                known.insert("plate_key".into(), json!(plate::key(&value)));
                known.insert("plate".into(), json!(value));
            }
            _ => drop(known.insert(field.name().into(), json!(value))),
        }
    }
}

/// Whether a line that should have headings holds values: a phone number or a plate, and no heading that we know.
pub fn holds_values(cells: &[String]) -> bool {
    // A heading may have a digit, and the form of a plate: 列1. A plate of China begins with its province and a letter.
    let is_plate = |cell: &str| {
        let mut chars = cell.chars();
        let begins =
            chars.next().is_some_and(|c| !c.is_ascii()) && chars.next().is_some_and(|c| c.is_ascii_alphabetic());
        begins && Plate::parse(cell).is_ok()
    };
    let is_value = |cell: &String| Phone::parse(cell).is_some() || is_plate(cell.trim()) || is_id_number(cell.trim());
    mapping_of(cells).iter().all(Option::is_none) && cells.iter().any(is_value)
}

/// The facts of columns by their headings; a fact stands in the first column that seems to hold it.
pub fn mapping_of(headings: &[String]) -> Vec<Option<Field>> {
    let mut taken = Vec::new();
    headings
        .iter()
        .map(|heading| {
            let field = Field::of_heading(heading).filter(|f| !taken.contains(f));
            taken.extend(field);
            field
        })
        .collect()
}

#[cfg(test)]
mod tests;
