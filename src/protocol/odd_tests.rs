//! A table of every language of JSON × each element it reads × each type that JSON has.
//!
//! The elements come from the readers themselves, so that one without a row here fails.

use crate::domain::{Profile, Report};
use crate::protocol::{PROTOCOLS, jt808_json, osmand, owntracks};
use crate::protocol::{decode, json as own};
use serde_json::{Value, json};
use std::mem::discriminant;

/// A message of one language in which every element stands.
struct Table {
    language: &'static str,
    message: Value,
    /// Where elements may stand, and their names.
    read: Vec<(&'static str, &'static [&'static str])>,
    /// Without these there is no report.
    mandatory: &'static [&'static str],
    /// The same, but for null: they may be missing.
    never_odd: &'static [&'static str],
    /// Other names of an element that is there.
    aliases: &'static [&'static str],
    /// Elements that may be a number where the message has text.
    numbers_too: &'static [&'static str],
}

fn tables() -> Vec<Table> {
    vec![
        Table {
            language: "json",
            message: json!({
                "v": 1, "id": "yy000001", "seq": 42, "t": 1_790_000_000_000_i64,
                "fixes": [{
                    "t": 1_790_000_000_000_i64, "lat": 28.55, "lon": 112.35, "alt": 41, "kmh": 23.4, "deg": 181,
                    "sats": 11, "hdop": 0.9, "acc": 4.5, "valid": false, "src": "wifi", "buffered": true,
                }],
                "status": {
                    "battery": 87, "battery_v": 3.98, "external_v": 48.2, "external_power": true, "charging": false,
                    "ignition": true, "moving": true, "armed": false, "odometer": 120_345, "signal": 71,
                    "satellites": 11, "firmware": "2.1.0", "iccid": "89860000000000000001",
                },
                "alarms": ["vibration"],
            }),
            read: own::elements_read(),
            mandatory: &["/v", "/id", "/fixes/0/t", "/fixes/0/lat", "/fixes/0/lon"],
            never_odd: &[],
            aliases: &[],
            numbers_too: &[],
        },
        Table {
            language: "owntracks",
            message: json!({
                "_type": "location", "tid": "q8", "topic": "owntracks/li/moped", "tst": 1_781_492_245, "lat": 28.55,
                "lon": 112.35, "alt": 40, "vac": 3, "acc": 8, "vel": 12, "cog": 90, "batt": 46, "bs": 2, "t": "h",
                "rty": 4, "event": "enter", "uext": 12.1, "ubatt": 3.9, "ign": true, "motion": true, "odometer": 7,
            }),
            read: owntracks::elements_read(),
            mandatory: &["/_type", "/lat", "/lon"],
            never_odd: &["/tst"],
            aliases: &[],
            numbers_too: &[],
        },
        Table {
            language: "osmand",
            message: json!({
                "device_id": "7", "alarm": "sos",
                "location": {
                    "timestamp": "2026-06-15T02:57:25Z", "is_moving": true, "odometer": 7, "event": "motionchange",
                    "alarm": "powerCut",
                    "coords": {
                        "latitude": 28.55, "longitude": 112.35, "accuracy": 5, "speed": 3, "heading": 90, "altitude": 40,
                    },
                    "battery": { "level": 0.5, "is_charging": true },
                    "geofence": { "action": "EXIT" },
                    "extras": {
                        "alarm": "tow", "ignition": true, "charge": true, "motion": true, "armed": true, "power": 12,
                    },
                },
            }),
            read: osmand::elements_read(),
            mandatory: &[
                "/device_id",
                "/location",
                "/location/timestamp",
                "/location/coords",
                "/location/coords/latitude",
                "/location/coords/longitude",
            ],
            never_odd: &[],
            aliases: &["/deviceId", "/id"],
            numbers_too: &["/device_id", "/location/timestamp"],
        },
        Table {
            language: "jt808_json",
            message: json!({
                "header": { "msg_id": 512, "phone": "013800138000", "msg_sn": 7, "proto_ver": 1, "frag_total": 1 },
                "body": {
                    "alarm": 1, "status": 3, "latitude": 28_550_000, "longitude": 112_350_000, "altitude": 41,
                    "speed": 234, "direction": 181, "time": "260615105725",
                    "extra": {
                        "mileage": 100, "rssi": 31, "gnss_sat_num": 12, "fuel_meter": 5, "custome": { "225": "AAA=" },
                        "custom": "AAA=",
                    },
                },
            }),
            read: jt808_json::elements_read(),
            mandatory: &[
                "/header",
                "/header/msg_id",
                "/header/phone",
                "/body",
                "/body/status",
                "/body/latitude",
                "/body/longitude",
                "/body/time",
            ],
            never_odd: &[],
            aliases: &[],
            numbers_too: &["/header/phone"],
        },
    ]
}

fn read(language: &str, message: &Value) -> Result<Report, String> {
    decode(&Profile::of(language), message.to_string().as_bytes()).map_err(|e| e.to_string())
}

/// A message with another value, or none, at a place.
fn with(message: &Value, parent: &str, name: &str, value: Option<&Value>) -> Value {
    let mut changed = message.clone();
    let object = changed.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
    match value {
        Some(value) => object.insert(name.into(), value.clone()),
        None => object.remove(name),
    };
    changed
}

#[test]
fn every_element_of_every_json_language_may_have_another_type_and_the_rest_is_read() {
    let odd = [Value::Null, json!(true), json!(7.5), json!("odd"), json!([7]), json!({ "odd": 7 })];
    let (mut asked, mut wrong) = (0, Vec::new());
    for Table { language, message, read: places, mandatory, never_odd, aliases, numbers_too } in tables() {
        let whole = read(language, &message).unwrap();
        assert_eq!(whole.fixes().count(), 1, "{language}");
        for (parent, names) in places {
            let object = message.pointer(parent).and_then(Value::as_object).unwrap();
            let pointer = |name: &str| format!("{parent}/{name}");
            assert!(!names.is_empty(), "{language} {parent}: no names were found");
            for name in names.iter().filter(|n| !aliases.contains(&pointer(n).as_str())) {
                let Some(usual) = object.get(*name) else {
                    wrong.push(format!("{language}: {} has no row", pointer(name)));
                    continue;
                };
                let pointer = pointer(name);
                for odd in odd.iter().filter(|o| discriminant(*o) != discriminant(usual)) {
                    if odd.is_number() && numbers_too.contains(&pointer.as_str()) {
                        continue;
                    }
                    let is_mandatory = mandatory.contains(&pointer.as_str())
                        || !odd.is_null() && never_odd.contains(&pointer.as_str());
                    asked += 1;
                    let said = read(language, &with(&message, parent, name, Some(odd)));
                    let case = format!("{language} {pointer} = {odd}");
                    if is_mandatory {
                        match said {
                            Err(error) if error.contains(name) => {}
                            other => wrong.push(format!("{case}: an error that names it was wanted: {other:?}")),
                        }
                        continue;
                    }
                    let absent = read(language, &with(&message, parent, name, None));
                    let (Ok(mut said), Ok(mut absent)) = (said.clone(), absent) else {
                        wrong.push(format!("{case}: {said:?}"));
                        continue;
                    };
                    let (kept, before) = (std::mem::take(&mut said.unknown), std::mem::take(&mut absent.unknown));
                    if said != absent {
                        wrong.push(format!("{case}: another report than without it: {said:?}"));
                    }
                    let is_reported = kept.iter().any(|(key, value)| {
                        before.get(key) != Some(value) && (key.contains(name) || key.contains("odd"))
                    });
                    if is_reported == odd.is_null() {
                        wrong.push(format!("{case}: kept {kept:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 300, "only {asked} cases");
}

#[test]
fn every_language_that_reads_json_has_a_table() {
    let tables = tables();
    for protocol in PROTOCOLS {
        let read = |text: &str| (protocol.decode)(&Profile::of(protocol.name), text.as_bytes());
        // Whoever reads JSON says of an empty object what is missing, and of half a one that it is none.
        let [empty, half] = ["{}", "{"].map(|text| read(text).err().map(|e| e.to_string()));
        let reads_json = half.is_some_and(|e| e.contains("EOF")) && empty.is_some_and(|e| !e.contains("EOF"));
        let has_table = tables.iter().any(|t| t.language == protocol.name);
        assert_eq!(reads_json, has_table, "{}", protocol.name);
    }
}
