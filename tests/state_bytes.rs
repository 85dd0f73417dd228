//! Bytes at rest and between processes, as earlier programs wrote them: read, and written with the same meaning.
//!
//! `tests/golden/state` was written by commit 56bfafe, by this file with `RIDEGUARD_WRITE_STATE=1`. It is not written again.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic

use rideguard::domain::{Entry, Shard};
use rideguard::engine::{FoldSettings, LaneState};
use rideguard::live::LiveUpdate;
use rideguard::store::journal::{pack, pack_any, unpack_any};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

const START_S: i64 = 1_790_000_000;
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state").join(name)
}

fn micros(seconds: i64) -> i64 {
    (START_S + seconds) * 1_000_000
}

/// Inputs of every kind, as their names stand in journals.
fn entries() -> Vec<Entry> {
    let setting = |at_s: i64, setting: Value| json!({ "Setting": { "at": micros(at_s), "setting": setting } });
    let tracker = |n: i64, protocol: &str| json!({ "kind": "tracker", "tracker": n, "ident": format!("yy{n}"), "profile": { "protocol": protocol }, "vehicle": n, "vehicle_kind": "ebike" });
    let packet = |n: i64, at_s: i64, payload: String| {
        let topic = format!("v1/{}/yy{n}/up", Shard::of(&format!("yy{n}")).0);
        json!({ "Packet": { "topic": topic, "received_at": micros(at_s), "payload": payload.into_bytes(), "retained": false } })
    };
    let fix = |n: i64, at_s: i64, metres: f64, kmh: f64| {
        let (lat, t) = (28.5 + metres / 111_195.0, (START_S + at_s) * 1000);
        let text = format!(
            r#"{{"v":1,"id":"yy{n}","seq":{at_s},"fixes":[{{"t":{t},"lat":{lat:.6},"lon":112.35,"kmh":{kmh:.1},"course":0,"sats":11,"acc":5}}],"status":{{"battery":80,"external_power":true,"moving":{},"ignition":false}}}}"#,
            kmh > 1.0
        );
        packet(n, at_s, text)
    };
    let square: Vec<Value> = [(28.0, 112.0), (28.0, 113.0), (29.0, 113.0)]
        .map(|(lat, lon)| json!({ "lat_deg": lat, "lon_deg": lon }))
        .into();
    let mut all = vec![
        setting(-9, tracker(1, "json")),
        setting(-8, tracker(2, "json")),
        setting(-7, json!({ "kind": "arm", "vehicle": 1 })),
        setting(
            -6,
            json!({ "kind": "zone", "id": 5, "name": "城区", "shape": { "type": "polygon", "outer": square }, "rule": "both", "vehicle": null }),
        ),
        setting(
            -5,
            json!({ "kind": "guarding", "vehicle": 2, "policy": { "auto_after_s": 300, "schedule": { "time_zone": "Asia/Shanghai", "windows": [{ "days": [1, 7], "from_min": 1320, "to_min": 360 }] } } }),
        ),
        json!({ "Gap": { "from": micros(-60), "to": micros(-4), "cause": "session_lost" } }),
        json!({ "LetGo": { "at": micros(-3) } }),
    ];
    all.extend((0..30).map(|i| fix(1, i * 10, f64::from(i as i32 % 3), 0.0)));
    all.extend((0..4).map(|i| fix(2, 5 + i * 60, 2000.0, 0.0)));
    all.push(packet(1, 299, "no message at all".into()));
    all.extend((1..20).map(|i| fix(1, 300 + i * 10, 60.0 * i as f64, 21.6)));
    all.push(json!({ "Tick": { "at": micros(600) } }));
    all.push(setting(601, json!({ "kind": "disarm", "vehicle": 1 })));
    all.push(setting(602, json!({ "kind": "arm", "vehicle": 1 })));
    all.push(setting(603, json!({ "kind": "phone", "vehicle": 2 })));
    serde_json::from_value(Value::Array(all)).unwrap()
}

fn live() -> Value {
    json!({ "fixes": [{ "vehicle": 1, "fixed_at": micros(0), "lat": 28.5, "lon": 112.35, "speed_kmh": 21.5 }],
        "guards": [[1, true]], "incidents": [[1, false]], "alerts": [[7, 1]] })
}

/// What is packed: the format byte, and the rest unpacked.
fn plain(packed: &[u8]) -> (u8, Vec<u8>) {
    (packed[0], zstd::decode_all(&packed[1..]).unwrap())
}

/// A checkpoint with its trackers in the order of their keys: they stand in the order of a hash map.
fn in_order(checkpoint: &[u8]) -> Value {
    let mut state: Value = serde_json::from_slice(checkpoint).unwrap();
    let trackers = state["trackers"].as_array().unwrap().clone();
    let key = |tracker: &Value| tracker["key"].as_i64().unwrap();
    for place in state["places"].as_object_mut().unwrap().values_mut() {
        *place = trackers[place.as_u64().unwrap() as usize]["key"].clone();
    }
    state["trackers"].as_array_mut().unwrap().sort_by_key(key);
    state
}

/// Everything that `before` has is in `now` with the same value; `now` may have more fields.
fn keeps(before: &Value, now: &Value, path: &str) {
    match (before, now) {
        (Value::Object(b), Value::Object(n)) => {
            for (name, value) in b {
                keeps(value, n.get(name).unwrap_or_else(|| panic!("{path}.{name} is gone")), &format!("{path}.{name}"));
            }
        }
        (Value::Array(b), Value::Array(n)) => {
            assert_eq!(b.len(), n.len(), "{path}");
            b.iter().zip(n).enumerate().for_each(|(i, (b, n))| keeps(b, n, &format!("{path}[{i}]")));
        }
        _ => assert_eq!(before, now, "{path}"),
    }
}

#[test]
fn journal_rows_checkpoints_and_live_messages_of_before_are_read_and_written_the_same() {
    let written = std::env::var_os("RIDEGUARD_WRITE_STATE").is_some();
    let mut lane = LaneState::default();
    if written {
        let entries = entries();
        let alerts: usize = entries.iter().map(|entry| lane.apply(entry, &SETTINGS).findings.len()).sum();
        assert!(alerts > 2, "the theft is in the checkpoint: {alerts}");
        fs::create_dir_all(file("")).unwrap();
        fs::write(file("row.compact"), pack(&entries).unwrap()).unwrap();
        fs::write(file("row.named"), pack_any(&entries).unwrap()).unwrap();
        fs::write(file("checkpoint"), pack_any(&lane).unwrap()).unwrap();
        fs::write(file("checkpoint.json"), serde_json::to_vec(&lane).unwrap()).unwrap();
        let news: LiveUpdate = serde_json::from_value(live()).unwrap();
        fs::write(file("live"), news.to_messages().concat()).unwrap();
    }
    let read = |name: &str| fs::read(file(name)).unwrap();

    // Rows: the same entries, and packed again the same value; their names are those of before.
    let compact: Vec<Entry> = unpack_any(&read("row.compact")).unwrap();
    let named: Vec<Entry> = unpack_any(&read("row.named")).unwrap();
    assert_eq!((&compact, &named), (&entries(), &entries()));
    for (name, packed) in [("row.compact", pack(&compact).unwrap()), ("row.named", pack_any(&named).unwrap())] {
        assert_eq!(plain(&packed), plain(&read(name)), "{name}");
    }

    // The checkpoint goes on where it stood, and says all that it said.
    let json = |state: &LaneState| in_order(&serde_json::to_vec(state).unwrap());
    let before = in_order(&read("checkpoint.json"));
    let state: LaneState = unpack_any(&read("checkpoint")).unwrap();
    keeps(&before, &json(&state), "checkpoint");
    let again: LaneState = unpack_any(&pack_any(&state).unwrap()).unwrap();
    assert_eq!(json(&again), json(&state));
    assert_eq!(state.trackers(), 2);

    let live_now: Value = serde_json::from_slice(&read("live")).unwrap();
    let news: LiveUpdate = serde_json::from_value(live_now.clone()).unwrap();
    keeps(&live_now, &serde_json::from_slice(&news.to_messages().concat()).unwrap(), "live");
    keeps(&live(), &live_now, "live");
}
