//! Every language × every alarm that a rule listens to: an encoded packet in, the alert out.
//!
//! A language that cannot say an alarm is listed with the reason. The matrix fails where a language or an alarm
//! has no cell, and where `docs/protocols.md` shows another table.

use rideguard::domain::{
    AlarmKind, AlertKind, Entry, Finding, Packet, Profile, Setting, Shard, Timestamp, TrackerIdent, TrackerKey,
    VehicleId, Way,
};
use rideguard::engine::{FoldSettings, LaneState};
use rideguard::guard::listened_alarms;
use rideguard::protocol::PROTOCOLS;
use serde_json::json;

const IDENT: &str = "013800138000";
const V: VehicleId = VehicleId(7);
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };
const START_S: i64 = 1_790_000_000;
const LAT: f64 = 28.55;
const LON: f64 = 112.35;

/// How a language says an alarm.
enum Cell {
    /// A bit or a code of the plain profile.
    Code(u32),
    /// The same, with the profile of this model.
    Of(&'static str, u32),
    /// An item behind a JT/T 808 location, of Jimi's cameras: id and value.
    Item(u8, &'static [u8]),
    /// A word of the language.
    Word(&'static str),
    /// It cannot be said, for this reason.
    None(&'static str),
}

use AlarmKind as A;
use Cell::{Code, Item, None as Cannot, Of, Word};

const NO_GT06: &str = "The alarm byte of the GT06 manual (section 5.3.1.17) has no code for it.";
const NO_H02: &str = "The status word of the H02 paper has no bit for it.";
const NO_TELTONIKA: &str = "The AVL list of the FMB family has no value for it.";
const NO_OWNTRACKS: &str = "The triggers of OwnTracks (`t` in the JSON booklet) have no letter for it.";
const NO_JT808: &str = "Table 24 of JT/T 808 has no bit for it, nor has an item that we know.";
const NO_GATEWAY: &str = "Table 24 has no bit for it, and the gateway's JSON names no field for a maker's item.";
const NO_OSMAND: &str = "Traccar's alarm words, which its client sends, have none for it.";

/// The cell of a language and an alarm; a missing one is none.
fn cell(language: &str, alarm: AlarmKind) -> Option<Cell> {
    Some(match (language, alarm) {
        ("json", kind) => Word(kind.name()),
        ("gt06", A::Sos) => Code(0x01),
        ("gt06", A::PowerCut) => Code(0x02),
        ("gt06", A::Vibration) => Code(0x03),
        ("gt06", A::GeofenceExit) => Code(0x05),
        ("gt06", A::Tow) => Of("VL103", 0x09),
        ("gt06", A::LowBattery) => Code(0x0e),
        ("gt06", A::PowerOff) => Code(0x11),
        ("gt06", A::Tamper) => Code(0x13),
        ("gt06", A::Door) => Code(0x14),
        ("gt06", A::Removal) => Code(0x18),
        ("gt06", A::Fall) => Code(0x23),
        ("gt06", A::Displacement | A::Jamming | A::Stolen | A::IllegalIgnition | A::AntennaCut) => Cannot(NO_GT06),
        ("h02", A::Vibration) => Code(0),
        ("h02", A::Sos) => Code(1),
        ("h02", A::PowerCut) => Code(19),
        (
            "h02",
            A::LowBattery
            | A::Tamper
            | A::Removal
            | A::Tow
            | A::Stolen
            | A::IllegalIgnition
            | A::AntennaCut
            | A::PowerOff
            | A::Displacement
            | A::Jamming
            | A::GeofenceExit
            | A::Door
            | A::Fall,
        ) => Cannot(NO_H02),
        ("jt808" | "jt808_json", A::Sos) => Code(0),
        ("jt808" | "jt808_json", A::AntennaCut) => Code(5),
        ("jt808" | "jt808_json", A::PowerCut) => Code(8),
        ("jt808" | "jt808_json", A::Vibration) => Code(15),
        ("jt808" | "jt808_json", A::Tamper) => Code(16),
        ("jt808" | "jt808_json", A::Stolen) => Code(26),
        ("jt808" | "jt808_json", A::IllegalIgnition) => Code(27),
        ("jt808" | "jt808_json", A::Displacement) => Code(28),
        ("jt808" | "jt808_json", A::Door) => Code(31),
        ("jt808" | "jt808_json", A::Removal) => Of("removal15", 15),
        ("jt808" | "jt808_json", A::LowBattery) => Of("G10LS", 15),
        ("jt808", A::Tow) => Item(0xe8, &[0x04, 0x07]),
        ("jt808", A::GeofenceExit) => Item(0xe8, &[0x04, 0x09]),
        ("jt808", A::PowerOff) => Item(0xe8, &[0x0c, 0x10]),
        ("jt808", A::Jamming | A::Fall) => Cannot(NO_JT808),
        ("jt808_json", A::Tow | A::GeofenceExit | A::PowerOff | A::Jamming | A::Fall) => Cannot(NO_GATEWAY),
        ("osmand", A::Sos) => Word("sos"),
        ("osmand", A::PowerCut) => Word("powerCut"),
        ("osmand", A::LowBattery) => Word("lowBattery"),
        ("osmand", A::Vibration) => Word("vibration"),
        ("osmand", A::Tamper) => Word("tampering"),
        ("osmand", A::Removal) => Word("removing"),
        ("osmand", A::Tow) => Word("tow"),
        ("osmand", A::Displacement) => Word("movement"),
        ("osmand", A::Jamming) => Word("jamming"),
        ("osmand", A::PowerOff) => Word("powerOff"),
        ("osmand", A::GeofenceExit) => Word("geofenceExit"),
        ("osmand", A::Door) => Word("door"),
        ("osmand", A::Fall) => Word("fallDown"),
        ("osmand", A::AntennaCut) => Word("gpsAntennaCut"),
        ("osmand", A::Stolen | A::IllegalIgnition) => Cannot(NO_OSMAND),
        ("owntracks", A::LowBattery) => Word("9"),
        ("owntracks", A::PowerCut) => Word("e"),
        ("owntracks", A::Tow) => Word("!"),
        ("owntracks", A::GeofenceExit) => Word("leave"),
        (
            "owntracks",
            A::Sos
            | A::Tamper
            | A::Removal
            | A::Stolen
            | A::IllegalIgnition
            | A::AntennaCut
            | A::PowerOff
            | A::Displacement
            | A::Jamming
            | A::Door
            | A::Fall
            | A::Vibration,
        ) => Cannot(NO_OWNTRACKS),
        ("teltonika", A::Sos) => Code(236),
        ("teltonika", A::Tow) => Code(246),
        ("teltonika", A::Jamming) => Code(249),
        ("teltonika", A::PowerCut) => Code(252),
        ("teltonika", A::GeofenceExit) => Code(155),
        (
            "teltonika",
            A::LowBattery
            | A::Tamper
            | A::Removal
            | A::Stolen
            | A::IllegalIgnition
            | A::AntennaCut
            | A::PowerOff
            | A::Displacement
            | A::Door
            | A::Fall
            | A::Vibration,
        ) => Cannot(NO_TELTONIKA),
        _ => return None,
    })
}

/// What the guard makes of an alarm of a guarded vehicle.
fn expected(alarm: AlarmKind) -> AlertKind {
    match alarm {
        A::Sos => AlertKind::Sos,
        A::PowerCut => AlertKind::PowerCut,
        A::LowBattery => AlertKind::LowBattery,
        A::Displacement | A::Jamming | A::GeofenceExit | A::Door | A::Fall => AlertKind::Suspicion,
        // Shaken for hours at one and the same place.
        A::Vibration => AlertKind::StalePosition,
        _ => AlertKind::Tampered,
    }
}

/// A location at home, at this time, that says an alarm or none.
fn packet(language: &str, at_s: i64, serial: u16, said: Option<&Cell>) -> Vec<u8> {
    let code = match said {
        Some(Code(code) | Of(_, code)) => Some(*code),
        _ => None,
    };
    let word = match said {
        Some(Word(word)) => Some(*word),
        _ => None,
    };
    match language {
        "json" => json!({
            "v": 1, "id": IDENT, "seq": serial, "fixes": [{ "t": at_s * 1000, "lat": LAT, "lon": LON, "sats": 9 }],
            "alarms": word.into_iter().collect::<Vec<_>>(),
        })
        .to_string()
        .into_bytes(),
        "jt808" => {
            let bits = code.map_or(0, |bit| 1u32 << bit);
            let mut body = [bits.to_be_bytes(), 2u32.to_be_bytes()].concat();
            body.extend(((LAT * 1e6) as u32).to_be_bytes());
            body.extend(((LON * 1e6) as u32).to_be_bytes());
            body.extend([0; 6]);
            body.extend(hex::decode(bcd(at_s + zone_s(said))).expect("digits"));
            if let Some(Item(id, value)) = said {
                body.extend([*id, value.len() as u8]);
                body.extend(*value);
            }
            let mut plain = [0x0200u16.to_be_bytes(), (body.len() as u16).to_be_bytes()].concat();
            plain.extend(hex::decode(IDENT).expect("digits"));
            plain.extend(serial.to_be_bytes());
            plain.extend(body);
            plain.push(plain.iter().fold(0, |x, b| x ^ b));
            let mut wire = vec![0x7e];
            for byte in plain {
                match byte {
                    0x7e => wire.extend([0x7d, 2]),
                    0x7d => wire.extend([0x7d, 1]),
                    byte => wire.push(byte),
                }
            }
            wire.push(0x7e);
            wire
        }
        "jt808_json" => json!({
            "header": { "msg_id": 0x0200, "phone": IDENT, "msg_sn": serial },
            "body": {
                "alarm": code.map_or(0, |bit| 1u32 << bit), "status": 2, "latitude": (LAT * 1e6) as u32,
                "longitude": (LON * 1e6) as u32, "altitude": 40, "speed": 0, "direction": 0,
                "time": bcd(at_s + zone_s(said)), "extra": {},
            },
        })
        .to_string()
        .into_bytes(),
        "gt06" => {
            let number = if said.is_some() { 0x26 } else { 0x22 };
            let mut body = vec![number];
            body.extend(civil(at_s).map(|n| n as u8));
            body.push(0xc9);
            body.extend(((LAT * 1_800_000.0) as u32).to_be_bytes());
            body.extend(((LON * 1_800_000.0) as u32).to_be_bytes());
            body.extend([0, 0x14, 0]);
            if said.is_some() {
                body.extend([9, 0x01, 0xcc, 0, 0x28, 0x7d, 0, 0x1f, 0x71]); // length and cell
                body.extend([0, 1, 4, code.unwrap_or(0) as u8, 2]); // information, battery (16 %), signal, alarm, language
            } else {
                body.extend([0x01, 0xcc, 0, 0x28, 0x7d, 0, 0x1f, 0x71, 0, 0, 0]);
            }
            let mut inner = vec![body.len() as u8 + 4];
            inner.extend(body);
            inner.extend(serial.to_be_bytes());
            let mut crc = 0xffffu16;
            for byte in &inner {
                crc ^= u16::from(*byte);
                for _ in 0..8 {
                    crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x8408 };
                }
            }
            [&[0x78, 0x78][..], &inner, &(!crc).to_be_bytes(), &[0x0d, 0x0a]].concat()
        }
        "h02" => {
            let [year, month, day, hour, minute, second] = civil(at_s);
            let word = !code.map_or(0, |bit| 1 << bit);
            format!(
                "*HQ,{IDENT},V1,{hour:02}{minute:02}{second:02},A,2833.0000,N,11221.0000,E,000.00,000,\
                 {day:02}{month:02}{year:02},{word:08X}#"
            )
            .into_bytes()
        }
        "teltonika" => {
            let mut data = vec![0x08, 1];
            data.extend((at_s as u64 * 1000).to_be_bytes());
            data.push(0);
            data.extend(((LON * 1e7) as i32).to_be_bytes());
            data.extend(((LAT * 1e7) as i32).to_be_bytes());
            data.extend([0, 40, 0, 0, 9, 0, 0]);
            let id = code.unwrap_or(239) as u8;
            // A fence's value 0 says "left"; ignition off; every alarm's value is 1.
            let value = u8::from(!matches!(id, 155 | 239));
            data.extend([if code.is_some() { id } else { 0 }, 1, 1, id, value, 0, 0, 0, 1]);
            let mut crc = 0u16;
            for byte in &data {
                crc ^= u16::from(*byte);
                for _ in 0..8 {
                    crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xa001 };
                }
            }
            let length = (data.len() as u32).to_be_bytes();
            [&[0; 4][..], &length, &data, &[0, 0], &crc.to_be_bytes()].concat()
        }
        "osmand" => {
            let alarm = word.map_or(String::new(), |word| format!("&alarm={word}"));
            format!("id={IDENT}&timestamp={at_s}&lat={LAT}&lon={LON}&speed=0{alarm}").into_bytes()
        }
        "owntracks" => {
            let topic = format!("owntracks/rider/{IDENT}");
            let mut message = json!({ "_type": "location", "tst": at_s, "lat": LAT, "lon": LON, "topic": topic });
            match word {
                Some("leave") => (message["_type"], message["event"]) = ("transition".into(), "leave".into()),
                Some(letter) => message["t"] = letter.into(),
                None => {}
            }
            message.to_string().into_bytes()
        }
        other => panic!("{other}: the matrix has no encoder for it"),
    }
}

/// The clock of JT/T 808 shows Beijing's time, that of the profile "removal15" UTC.
fn zone_s(said: Option<&Cell>) -> i64 {
    if matches!(said, Some(Of("removal15", _))) { 0 } else { 8 * 3600 }
}

/// Year of the century, month, day, hour, minute, second of a time in UTC.
fn civil(at_s: i64) -> [u32; 6] {
    let text = Timestamp::from_secs(at_s).to_string();
    let number = |from: usize| text[from..from + 2].parse().expect("two digits");
    [number(2), number(5), number(8), number(11), number(14), number(17)]
}

fn bcd(at_s: i64) -> String {
    civil(at_s).map(|n| format!("{n:02}")).concat()
}

/// Everything the guard tells of a vehicle that is guarded at home and whose tracker says this.
fn told(language: &str, alarm: AlarmKind, said: &Cell) -> Vec<AlertKind> {
    let mut lane = LaneState::default();
    let mut profile = Profile::of(language);
    profile.model = match said {
        Of(model, _) => Some((*model).to_owned()),
        Item(..) => Some("JC100".to_owned()),
        _ => None,
    };
    let ident = TrackerIdent::parse(IDENT).expect("an identifier");
    let at = Timestamp::from_secs(START_S);
    for setting in [
        Setting::Tracker { tracker: TrackerKey(1), ident, profile, vehicle: Some(V), vehicle_kind: None },
        Setting::Arm { vehicle: V },
    ] {
        lane.apply(&Entry::Setting { at, setting }, &SETTINGS);
    }
    // The plain reports have the alarm's profile, and so its clock.
    let plain = match said {
        Of(model, _) => Some(Of(model, 30)), // bit 30 is no alarm of a rule
        _ => None,
    };
    let mut findings = Vec::new();
    let mut send = |lane: &mut LaneState, at_s: i64, serial: u16, cell: Option<&Cell>| {
        let received_at = Timestamp::from_secs(at_s + 1);
        lane_tick(lane, received_at, &mut findings);
        let topic = format!("v1/{}/{IDENT}/up", Shard::of(IDENT).0);
        let payload = packet(language, at_s, serial, cell);
        let effects = lane.apply(&Entry::Packet(Packet { topic, received_at, payload, way: Way::Broker }), &SETTINGS);
        assert!(effects.quarantined.is_none(), "{language}, {}: {:?}", alarm.name(), effects.quarantined);
        findings.extend(effects.findings);
    };
    let is_bits = language.starts_with("jt808");
    for n in 1..=12 {
        send(&mut lane, START_S + 300 * n, n as u16, plain.as_ref().filter(|_| is_bits));
    }
    let times = if alarm == A::Vibration { 60 } else { 1 };
    for n in 1..=times {
        send(&mut lane, START_S + 3600 + 150 * n, 100 + n as u16, Some(said));
    }
    lane_tick(&mut lane, Timestamp::from_secs(START_S + 3600 + 150 * times + 90), &mut findings);
    let alert = |finding: Finding| match finding {
        Finding::Alert(alert) => Some(alert.kind),
        _ => None,
    };
    findings.into_iter().filter_map(alert).collect()
}

fn lane_tick(lane: &mut LaneState, at: Timestamp, findings: &mut Vec<Finding>) {
    findings.extend(lane.apply(&Entry::Tick { at }, &SETTINGS).findings);
}

#[test]
fn every_language_that_can_say_an_alarm_wakes_its_owner_with_it() {
    let (mut right, mut cells, mut wrong) = (0, 0, Vec::new());
    for language in PROTOCOLS.iter().map(|p| p.name) {
        for alarm in listened_alarms() {
            match cell(language, alarm) {
                None => wrong.push(format!("{language} × {}: no cell", alarm.name())),
                Some(Cannot(reason)) => assert!(reason.ends_with('.'), "{language} × {}: no reason", alarm.name()),
                Some(said) => {
                    cells += 1;
                    let told = told(language, alarm, &said);
                    if told.contains(&expected(alarm)) {
                        right += 1;
                    } else {
                        wrong.push(format!("{language} × {}: told {told:?}", alarm.name()));
                    }
                }
            }
        }
    }
    println!("field.matrix_cells: {right} of {cells} cells");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The table of `docs/protocols.md`.
fn table() -> String {
    let languages: Vec<_> = PROTOCOLS.iter().map(|p| p.name).collect();
    let mut table = format!("| alarm | {} |\n|---{}|\n", languages.join(" | "), "|---".repeat(languages.len()));
    for alarm in listened_alarms() {
        let says = |language: &&str| match cell(language, alarm) {
            Some(Code(code)) if *language == "gt06" => format!("{code:#04x}"),
            Some(Code(code)) => code.to_string(),
            Some(Of(model, code)) if *language == "gt06" => format!("{code:#04x} ({model})"),
            Some(Of(model, code)) => format!("{code} ({model})"),
            Some(Item(id, value)) => format!("item {id:#04x}: {}", hex::encode(value)),
            Some(Word(word)) => format!("`{word}`"),
            Some(Cannot(_)) | None => "–".to_owned(),
        };
        table += &format!("| {} | {} |\n", alarm.name(), languages.iter().map(says).collect::<Vec<_>>().join(" | "));
    }
    table
}

#[test]
fn the_docs_show_the_matrix_and_the_reasons() {
    let page = include_str!("../docs/protocols.md");
    assert!(page.contains(&table()), "docs/protocols.md should show:\n{}", table());
    for reason in [NO_GT06, NO_H02, NO_TELTONIKA, NO_OWNTRACKS, NO_JT808, NO_GATEWAY, NO_OSMAND] {
        assert!(page.contains(reason), "docs/protocols.md does not say: {reason}");
    }
}
