//! Replays the anti-theft benchmark's dev set through the guard. The set may not be copied into the
//! repository (its licences), so the test needs `RIDEGUARD_CORPUS`.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::cli::backtest::scoring;
use rideguard::cli::recording::{self, Event};
use rideguard::cli::replay::{replay, run};
use rideguard::domain::{Finding, Timestamp, VehicleId};
use rideguard::guard::{Arrival, Guard, Params};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Of the alerts on the dev set.
const DIGEST: &str = "46ec1dbea50493ae7de002e9a78622b67186712e485b04dcac3b997da1eb442d";
const COUNTS: [(&str, usize); 7] = [
    ("moved", 170),
    ("moved_by_cell", 9),
    ("power_cut", 82),
    ("pre_armed_without_contact", 21),
    ("pre_lost_contact", 190),
    ("pre_suspicion", 142),
    ("silent", 30),
];

fn corpus(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RIDEGUARD_CORPUS").map(|c| PathBuf::from(c).join("alerts/dev"));
    if folder.is_none() {
        println!("skipped: {test}: RIDEGUARD_CORPUS is not set");
    }
    folder
}

/// Loose floors: the set is small (184 thefts). `docs/guard.md` measures on larger ones.
#[test]
fn the_dev_set_is_guarded_well() {
    let Some(folder) = corpus("the_dev_set_is_guarded_well") else { return };
    let mut woken = BTreeMap::<String, Vec<f64>>::new();
    replay(&folder, Params::default(), |vehicle, finding| {
        if let Finding::Alert(alert) = finding
            && alert.kind.wakes_owner()
        {
            woken.entry(vehicle.to_owned()).or_default().push(alert.raised_at.secs_f64());
        }
    })
    .expect("the recording is readable");
    let (truths, _) = scoring::truths(&folder.join("truth.jsonl.gz")).expect("the corpus holds the truth");
    let none = Vec::new();
    let scores: Vec<_> = truths.iter().map(|(name, truth)| truth.score(woken.get(name).unwrap_or(&none))).collect();
    let pooled = scoring::Pooled::of(&scores);
    println!("{:.1} false alarms per 1,000 armed days, {pooled:?}", pooled.per_1000_days());
    assert!(pooled.per_1000_days() <= 3.0);
    assert!(pooled.share_of_oracle() >= 0.88);
    assert!(pooled.recall() >= 0.97);
    assert_eq!(pooled.power_cuts.1.len(), pooled.power_cuts.0);
    assert_eq!(pooled.silences.1.len(), pooled.silences.0);
    assert_eq!(pooled.unguarded, 0);
}

/// Any change of what the guard says on the dev set shows here: the digest of its alerts, and how many
/// of each kind. If it was meant, `docs/guard.md` is measured anew with it.
#[test]
fn the_alerts_on_the_dev_set_are_those_that_were_measured() {
    let Some(folder) = corpus("the_alerts_on_the_dev_set_are_those_that_were_measured") else { return };
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let alerts = scratch.path().join("alerts");
    run(&folder, &alerts).expect("replayed");
    let text = std::fs::read_to_string(alerts).expect("alerts");
    let mut kinds = BTreeMap::<String, usize>::new();
    for line in text.lines() {
        let alert: serde_json::Value = serde_json::from_str(line).expect("JSON");
        *kinds.entry(alert["kind"].as_str().expect("a kind").to_owned()).or_default() += 1;
    }
    assert_eq!(
        (hex::encode(Sha256::digest(text.as_bytes())).as_str(), kinds),
        (DIGEST, COUNTS.map(|(k, n)| (k.to_owned(), n)).into())
    );
}

#[test]
fn an_alert_rests_on_nothing_that_came_after_it() {
    let Some(folder) = corpus("an_alert_rests_on_nothing_that_came_after_it") else { return };
    let rows = some_rows(&folder);
    let whole = played(&rows, f64::INFINITY);
    assert!(!whole.is_empty());
    // Vehicles have clocks of their own, so each is cut at its own alerts.
    for (vehicle, t) in &whole {
        let own: Vec<_> = rows.iter().filter(|(name, ..)| name == vehicle).cloned().collect();
        let until: Vec<_> = whole.iter().filter(|(v, at)| v == vehicle && at <= t).cloned().collect();
        assert_eq!(played(&own, *t), until, "{vehicle} cut at {t}");
    }
}

type Row = (String, VehicleId, Event);

/// Twenty vehicles of the set.
fn some_rows(folder: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    recording::read(folder, |name, id, event| {
        if name.starts_with("d0000") || name.starts_with("d0001") {
            rows.push((name.to_owned(), id, event));
        }
    })
    .expect("the recording is readable");
    rows
}

/// Who was woken when by the rows that came until `t`; timers run until then.
fn played(rows: &[Row], t: f64) -> Vec<(String, f64)> {
    let mut guard = Guard::new(Params::default());
    let mut woken = Vec::new();
    for (name, id, event) in rows.iter().filter(|(.., event)| event.at().secs_f64() <= t) {
        woken.extend(alarms(name, event.play(&mut guard, *id)));
    }
    if let (true, Some((name, id, _))) = (t.is_finite(), rows.first()) {
        woken.extend(alarms(name, guard.advance(*id, Timestamp::from_secs_f64(t))));
    }
    woken
}

/// Of what the guard said: who was woken when.
fn alarms(name: &str, findings: Vec<Finding>) -> impl Iterator<Item = (String, f64)> {
    findings.into_iter().filter_map(move |finding| match finding {
        Finding::Alert(alert) if alert.kind.wakes_owner() => Some((name.to_owned(), alert.raised_at.secs_f64())),
        _ => None,
    })
}

/// Restarts from a checkpoint, and packets delivered again by a broker, at random.
#[test]
fn checkpoints_and_repetitions_at_random_packets_change_no_alert() {
    let Some(folder) = corpus("checkpoints_and_repetitions_at_random_packets_change_no_alert") else { return };
    let rows = some_rows(&folder);
    let whole = played(&rows, f64::INFINITY);
    for seed in [1, 2] {
        let mut random = StdRng::seed_from_u64(seed);
        let mut guard = Guard::new(Params::default());
        let (mut woken, mut recent, mut restarts, mut repetitions) = (Vec::new(), Vec::new(), 0, 0);
        for (name, id, event) in &rows {
            let mut findings = event.play(&mut guard, *id);
            if let Event::Report(moment, seen) = event {
                recent.push((*id, moment.clone(), *seen));
            }
            if random.random_bool(0.2) && !recent.is_empty() {
                // One of the last five; those of another vehicle arrived by its own clock.
                let of_late = recent.len().saturating_sub(5)..recent.len();
                let (again, moment, seen) = &recent[random.random_range(of_late)];
                let received_at = if again == id { event.at().max(seen.received_at) } else { seen.received_at };
                findings.extend(guard.consider(*again, moment, &Arrival { received_at, ..*seen }));
                repetitions += 1;
            }
            if random.random_bool(0.005) {
                let checkpoint = rmp_serde::to_vec_named(&guard).expect("a checkpoint");
                guard = rmp_serde::from_slice(&checkpoint).expect("the same guard");
                restarts += 1;
            }
            woken.extend(alarms(name, findings));
        }
        assert!(restarts > 20 && repetitions > 500, "{restarts} restarts, {repetitions} repetitions");
        assert_eq!(woken, whole, "seed {seed}");
    }
}

#[test]
fn file_order_and_merged_order_give_the_same_alerts() {
    let Some(folder) = corpus("file_order_and_merged_order_give_the_same_alerts") else { return };
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let file = std::fs::File::open(folder.join("packets.jsonl.gz")).expect("the corpus holds packets");
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("readable");
    // Forty vehicles are enough to mix; sorting by arrival keeps each vehicle's own order.
    let mut rows: Vec<(f64, &str)> = text
        .lines()
        .filter(|line| line.contains("\"vehicle\":\"d0000") || line.contains("\"vehicle\":\"d0001"))
        .map(|line| (serde_json::from_str::<serde_json::Value>(line).expect("a row")["rx"].as_f64().expect("rx"), line))
        .collect();
    let alerts_of = |rows: &[(f64, &str)], name: &str| {
        let (packets, alerts) = (scratch.path().join(format!("{name}.jsonl")), scratch.path().join(name));
        let text: Vec<&str> = rows.iter().map(|(_, line)| *line).collect();
        std::fs::write(&packets, text.join("\n")).expect("written");
        run(&packets, &alerts).expect("replayed");
        std::fs::read_to_string(alerts).expect("alerts")
    };
    let grouped = alerts_of(&rows, "grouped");
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(!grouped.is_empty());
    assert_eq!(grouped, alerts_of(&rows, "merged"));
}

#[test]
fn a_row_that_cannot_be_read_is_left_out_and_counted() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let packets = scratch.path().join("packets.jsonl");
    std::fs::write(&packets, "{\"type\":\"arm\",\"vehicle\":\"a\",\"t\":1,\"rx\":1}\n{\"type\":\"pos\"}\n")
        .expect("written");
    let left_out = run(scratch.path(), &scratch.path().join("out")).expect("the rest is played");
    assert_eq!(left_out, recording::LeftOut { lines: 1, values: 0 });
}
