//! The items behind a location as the gateway names them, given to the readers of the raw items.

use crate::domain::Moment;
use crate::protocol::dialect::Dialect;
use crate::protocol::jt808::items;
use crate::protocol::jt808_json::{base64, keep};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Items with a name: their id and the bytes of their number.
const NAMED: [(&str, u8, usize); 4] =
    [("mileage", 0x01, 4), ("rssi", 0x30, 1), ("gnss_sat_num", 0x31, 1), ("fuel_meter", 0x02, 2)];
/// The item that the gateway calls custom when it stands alone.
const CUSTOM: u8 = 0xe0;
/// How it is called: EMQX 5 has the spelling with an e.
const CUSTOM_NAMES: [&str; 2] = ["custome", "custom"];

/// Every name that is read beside ids.
#[cfg(test)]
pub const NAMES: &[&str] = &[NAMED[0].0, NAMED[1].0, NAMED[2].0, NAMED[3].0, CUSTOM_NAMES[0], CUSTOM_NAMES[1]];

/// Reads every item: numbers by their name, others by their decimal id in base64, those from 0xe1 on apart.
pub fn read(all: &Map<String, Value>, dialect: &Dialect, moment: &mut Moment, unknown: &mut BTreeMap<String, String>) {
    for (name, value) in all {
        match (name.as_str(), value) {
            (name, Value::Object(more)) if CUSTOM_NAMES.contains(&name) => {
                for (id, value) in more {
                    by_id(id, value, dialect, moment, unknown);
                }
            }
            (name, value) if CUSTOM_NAMES.contains(&name) => match base64(value) {
                Some(bytes) => items::one(CUSTOM, &bytes, dialect, moment, unknown),
                None => keep(name, value, unknown),
            },
            (name, value) => match NAMED.iter().find(|(n, ..)| *n == name) {
                Some((_, id, length)) => match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
                    Some(n) if *length == 4 || n >> (8 * length) == 0 => {
                        items::one(*id, &n.to_be_bytes()[4 - length..], dialect, moment, unknown);
                    }
                    _ => keep(name, value, unknown),
                },
                None => by_id(name, value, dialect, moment, unknown),
            },
        }
    }
}

fn by_id(id: &str, value: &Value, dialect: &Dialect, moment: &mut Moment, unknown: &mut BTreeMap<String, String>) {
    match (id.parse::<u8>(), base64(value)) {
        (Ok(id), Some(bytes)) => items::one(id, &bytes, dialect, moment, unknown),
        _ => keep(id, value, unknown),
    }
}
