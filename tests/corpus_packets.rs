//! Real packets of many vendors against independent decodings. They may not be copied into the
//! repository (their licences), so these tests need `RIDEGUARD_CORPUS`.

use rideguard::protocol::connected::Kind;
use rideguard::protocol::{FrameStep, gt06, h02, jt808, teltonika};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Languages, with the least share of packets that must be read as the oracle reads them.
const RIGHT_MIN: &[(&str, f64)] =
    &[("jt808", 0.98), ("gt06", 0.98), ("h02", 0.98), ("teltonika", 0.95), ("owntracks", 1.0), ("osmand", 1.0)];

fn corpus(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RIDEGUARD_CORPUS").map(|c| PathBuf::from(c).join("packets"));
    if folder.is_none() {
        println!("skipped: {test}: RIDEGUARD_CORPUS is not set");
    }
    folder
}

fn rows(folder: &std::path::Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).expect("the corpus holds it");
    text.lines().map(|l| serde_json::from_str(l).expect("a row")).collect()
}

fn answers(rows: &[Value]) -> Vec<Value> {
    let passed_on = ["id", "protocol", "encoding", "payload", "wire", "http", "model_hint", "decoder_option"];
    let question = |r: &Value| {
        let kept = passed_on.iter().filter_map(|k| r.get(k).map(|v| ((*k).to_owned(), v.clone())));
        Value::Object(kept.collect()).to_string()
    };
    let questions: Vec<String> = rows.iter().map(question).collect();
    let mut out = Vec::new();
    rideguard::cli::decode::run(questions.join("\n").as_bytes(), &mut out).expect("answered");
    String::from_utf8(out).expect("text").lines().map(|l| serde_json::from_str(l).expect("an answer")).collect()
}

/// Whether ours has the oracle's fixes, in order.
fn agrees(row: &Value, ours: &Value, tolerance_deg: f64) -> bool {
    let empty = Vec::new();
    let theirs: Vec<&Value> = row["oracle"]["positions"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .filter(|p| p["kind"] == "location" && p["has_fix"] != json!(false))
        .collect();
    let fixes = ours["fixes"].as_array().unwrap_or(&empty);
    ours["result"] == "ok"
        && fixes.len() == theirs.len()
        && theirs.iter().zip(fixes).all(|(t, f)| {
            let near = |key: &str| (f[key].as_f64().unwrap_or(0.0) - t[key].as_f64().unwrap_or(0.0)).abs();
            let second = |v: &Value| v.as_str().map(|s| s[..19].to_owned());
            t["valid"] == f["valid"]
                && second(&t["fix_time"]) == second(&f["fixed_at"])
                && (t["valid"] == json!(false)
                    || near("lat") <= tolerance_deg && near("lon") <= tolerance_deg && near("speed_kmh") <= 0.06)
        })
}

#[test]
fn real_packets_are_read_as_an_independent_decoder_reads_them() {
    let Some(folder) = corpus("real_packets_are_read_as_an_independent_decoder_reads_them") else { return };
    for (protocol, right_min) in RIGHT_MIN {
        let all = rows(&folder, protocol);
        let answers = answers(&all);
        assert_eq!(answers.len(), all.len(), "{protocol}: every row is answered");
        let judged: Vec<_> = all
            .iter()
            .zip(&answers)
            .filter(|(r, _)| r["frame"]["checksum_ok"] != json!(false))
            .filter(|(r, _)| {
                r["oracle"]["positions_depend_on_clock"] != json!(true) && r["oracle"]["exception"].is_null()
            })
            .collect();
        let wrong: Vec<_> =
            judged.iter().filter(|(r, a)| !agrees(r, a, 2e-5)).map(|(r, _)| r["id"].as_str().unwrap_or("?")).collect();
        let share = 1.0 - wrong.len() as f64 / judged.len() as f64;
        println!("{protocol}: {share:.3} of {} right; not {wrong:?}", judged.len());
        assert!(share >= *right_min, "{protocol}: {share:.3}, not {wrong:?}");
    }
}

#[test]
fn streams_are_cut_into_frames_wherever_they_are_cut() {
    let Some(folder) = corpus("streams_are_cut_into_frames_wherever_they_are_cut") else { return };
    for row in rows(&folder, "frames") {
        let frame: fn(&[u8]) -> FrameStep = match row["protocol"].as_str() {
            Some("jt808") => jt808::frame,
            Some("gt06") => gt06::frame,
            Some("h02") => h02::frame,
            Some("teltonika") => teltonika::frame,
            _ => continue,
        };
        // The next frame stands behind: one that is shorter than it says is told by that.
        let stream = hex::decode(row["stream"].as_str().expect("hex")).expect("hex").repeat(2);
        let id = &row["id"];
        let mut rest = stream.as_slice();
        let first = loop {
            match frame(rest) {
                FrameStep::Skip(n) => rest = &rest[n..],
                FrameStep::Frame(n) => break &rest[..n],
                FrameStep::More => panic!("{id}: no frame is found"),
            }
        };
        let unescaped = hex::encode(first).replace("7d02", "7e").replace("7d01", "7d");
        let wanted = row["first_frame"].as_str().expect("hex");
        assert!(hex::encode(first) == wanted || unescaped == wanted, "{id}: {}", hex::encode(first));
    }
}

#[test]
fn real_packets_cut_or_changed_anywhere_never_panic() {
    let Some(folder) = corpus("real_packets_cut_or_changed_anywhere_never_panic") else { return };
    for (protocol, _) in RIGHT_MIN {
        let mut profile = rideguard::domain::Profile::of(protocol);
        profile.tolerate_checksum = true;
        for row in rows(&folder, protocol) {
            let payload = row["payload"].as_str().unwrap_or_default();
            let Ok(bytes) = (if row["encoding"] == "hex" { hex::decode(payload) } else { Ok(payload.into()) }) else {
                continue;
            };
            for at in 0..bytes.len() {
                let read = |bytes: &[u8]| {
                    drop(rideguard::protocol::decode(&profile, bytes));
                    let Some(spoken) = rideguard::protocol::connected::spoken(protocol) else { return };
                    let _ = (spoken.name_of)(bytes);
                    drop((spoken.hear)(&profile, bytes, rideguard::domain::Timestamp::default()));
                };
                read(&bytes[..at]);
                let mut changed = bytes.clone();
                changed[at] = changed[at].wrapping_add(0x5b);
                read(&changed);
            }
        }
    }
}

/// What the answer of an independent server says, without what the time decides.
fn said(language: &str, answer: &[u8]) -> Vec<u8> {
    match (language, String::from_utf8_lossy(answer).rfind(',')) {
        ("h02", Some(comma)) => answer[..comma].to_vec(),
        _ => answer.to_vec(),
    }
}

#[test]
fn real_packets_are_answered_on_a_socket_as_an_independent_server_answers_them() {
    let Some(folder) = corpus("real_packets_are_answered_on_a_socket_as_an_independent_server_answers_them") else {
        return;
    };
    let at = rideguard::domain::Timestamp::parse_rfc3339("2026-11-23T21:22:58Z").expect("a time");
    for spoken in rideguard::protocol::connected::SPOKEN {
        let (mut judged, mut other) = (0, Vec::new());
        for row in rows(&folder, spoken.name) {
            let bytes = |v: &Value| {
                let text = v["wire"].as_str().or(v["payload"].as_str()).unwrap_or_default();
                if v["encoding"] == "hex" { hex::decode(text).expect("hex") } else { text.as_bytes().to_vec() }
            };
            let theirs = row["oracle"]["replies"].as_array().filter(|replies| replies.len() == 1);
            let (Some(theirs), true) = (theirs, row["frame"]["checksum_ok"] != json!(false)) else { continue };
            let extended = row["decoder_option"].as_str().is_some_and(|option| option.starts_with("extended"));
            let profile = rideguard::domain::Profile {
                model: row["model_hint"].as_str().map(str::to_owned),
                has_16_byte_values: extended,
                ..rideguard::domain::Profile::of(spoken.name)
            };
            let id = row["id"].as_str().unwrap_or("?").to_owned();
            let Ok(heard) = (spoken.hear)(&profile, &bytes(&row), at) else {
                other.push(id);
                continue;
            };
            judged += 1;
            let is_same = said(spoken.name, &heard.answer) == said(spoken.name, &bytes(&theirs[0]));
            let is_session = matches!(heard.kind, Kind::Register | Kind::Authenticate);
            if !is_same && !is_session {
                other.push(id);
            }
        }
        println!("{}: {judged} answers, otherwise {other:?}", spoken.name);
        let known: &[&str] = match spoken.name {
            "gt06" => &["gt06-0120"],           // a maker's own question, with an answer of its own form
            "teltonika" => &["teltonika-0048"], // the other server answers packet id 0 to every datagram
            _ => &[],
        };
        assert!(judged >= 16 && other == known, "{}: {other:?}", spoken.name);
    }
}
