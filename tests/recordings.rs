//! `replay` and `backtest` with recordings that have odd values and broken lines, by the real program.

use serde_json::{Value, json};
use std::process::{Command, Output};

fn rideguard(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rideguard")).args(args).output().expect("it runs")
}

/// A vehicle that stands guarded for an hour and is then ridden off; `odd` changes each report.
fn theft(odd: impl Fn(&mut Value)) -> Vec<String> {
    let t0 = 1_770_000_000.0;
    let mut rows = vec![json!({ "type": "arm", "vehicle": "a", "t": t0, "rx": t0 }).to_string()];
    let parked = (1..=12).map(|n| (t0 + 300.0 * f64::from(n), 0.0, 0.0));
    let ridden = (1..=12).map(|n| (t0 + 3600.0 + 10.0 * f64::from(n), 50.0 * f64::from(n), 18.0));
    for (seq, (t, metres, kmh)) in parked.chain(ridden).enumerate() {
        let mut row = json!({
            "type": "pos", "vehicle": "a", "seq": seq, "t": t, "rx": t + 1.0, "lat": 28.55,
            "lon": 112.35 + metres / 97_670.0, "speed_kmh": kmh, "sats": 9, "valid": true, "source": "gnss", "batt": 80,
            "ext": true, "motion": u8::from(metres > 0.0), "vib": 0,
        });
        odd(&mut row);
        rows.push(row.to_string());
    }
    rows
}

/// A vehicle that stands guarded, is told some metres off so often within seconds, and stands there as before.
fn parked_with_outliers(count: u32, metres: f64, every_s: f64, kmh: f64) -> Vec<String> {
    let t0 = 1_770_000_000.0;
    let mut rows = vec![json!({ "type": "arm", "vehicle": "a", "t": t0, "rx": t0 }).to_string()];
    let parked = |from_s: f64| (1..=12).map(move |n| (from_s + 300.0 * f64::from(n), f64::from(n % 3), 0.0));
    let off = (1..=count).map(|n| (3660.0 + every_s * f64::from(n), metres, kmh));
    for (seq, (after_s, metres, kmh)) in parked(0.0).chain(off).chain(parked(3660.0)).enumerate() {
        let t = t0 + after_s;
        let row = json!({
            "type": "pos", "vehicle": "a", "seq": seq, "t": t, "rx": t + 0.5, "lat": 28.55,
            "lon": 112.35 + metres / 97_670.0, "speed_kmh": kmh, "sats": 9, "acc": 12, "valid": true, "source": "gnss",
            "batt": 80, "ext": true,
        });
        rows.push(row.to_string());
    }
    rows
}

/// Exit status, alerts, stderr.
fn replayed(rows: &[String]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let (packets, alerts) = (folder.path().join("packets.jsonl"), folder.path().join("alerts.jsonl"));
    std::fs::write(&packets, rows.join("\n")).expect("written");
    let output = rideguard(&[
        "replay",
        "--scenario",
        packets.to_str().expect("text"),
        "--alerts",
        alerts.to_str().expect("text"),
    ]);
    let told = std::fs::read_to_string(alerts).unwrap_or_default();
    (output.status.code(), told, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_value_that_cannot_be_is_left_out_and_the_theft_is_told_all_the_same() {
    let (status, whole, said) = replayed(&theft(|_| ()));
    assert_eq!((status, said.as_str()), (Some(0), ""));
    assert!(whole.contains(r#""kind":"moved""#), "{whole}");
    let (status, told, said) = replayed(&theft(|row| {
        (row["sats"], row["hdop"], row["acc"]) = (9999.into(), 99_999.into(), (-1).into());
        (row["batt"], row["course"], row["vib"]) = (255.into(), "NaN".into(), (-1).into());
    }));
    assert_eq!((status, told), (Some(0), whole), "{said}");
    assert!(said.contains("0 lines, 144 values"), "{said}");
}

#[test]
fn a_line_that_cannot_be_read_is_named_and_the_rest_is_played() {
    let (_, whole, _) = replayed(&theft(|_| ()));
    let mut rows = theft(|_| ());
    rows.insert(1, "{\"type\":\"pos\",".to_owned());
    rows.insert(5, r#"{"type":"pos","vehicle":"a","rx":1,"lat":NaN}"#.to_owned());
    rows.push("no JSON".to_owned());
    let (status, told, said) = replayed(&rows);
    assert_eq!((status, told), (Some(1), whole), "{said}");
    for line in ["line 2:", "line 6:", "line 28:", "3 lines, 0 values"] {
        assert!(said.contains(line), "{line} in {said}");
    }
}

#[test]
fn a_backtest_plays_the_rest_and_its_exit_status_says_so() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let packets = folder.path().join("packets.jsonl");
    let mut rows = theft(|row| row["sats"] = 9999.into());
    std::fs::write(&packets, rows.join("\n")).expect("written");
    let backtest = || rideguard(&["backtest", "--scenario", packets.to_str().expect("text")]);
    let whole = backtest();
    assert_eq!(whole.status.code(), Some(0), "{}", String::from_utf8_lossy(&whole.stderr));
    rows.push("no JSON".to_owned());
    std::fs::write(&packets, rows.join("\n")).expect("written");
    let torn = backtest();
    assert_eq!((torn.status.code(), torn.stdout), (Some(1), whole.stdout));
    assert!(String::from_utf8_lossy(&torn.stderr).contains("line 26:"));
}

#[test]
fn some_fixes_elsewhere_within_seconds_wake_nobody() {
    for count in [1, 2, 3, 5] {
        for metres in [220.0, 560.0, 2200.0] {
            for (every_s, kmh) in [(1.0, 0.0), (3.0, 0.0), (0.2, 0.0), (3.0, 12.0)] {
                let (status, told, said) = replayed(&parked_with_outliers(count, metres, every_s, kmh));
                assert_eq!(status, Some(0), "{said}");
                let woken: Vec<_> = told.lines().filter(|l| !l.contains(r#""kind":"pre_"#)).collect();
                assert!(woken.is_empty(), "{count} fixes {metres} m off, every {every_s} s at {kmh} km/h: {woken:?}");
            }
        }
    }
    // The same vehicle, ridden away, is told: the recording has all that an alert needs.
    let (_, told, _) = replayed(&theft(|_| ()));
    assert!(told.contains(r#""kind":"moved""#), "{told}");
}
