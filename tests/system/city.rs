//! A simulated city with dead cells and thefts, through the guard of one lane; and through everything.

use crate::harness::{PATIENCE, Up, program, simulator, use_ring};
use rideguard::config::Config;
use rideguard::domain::{
    Alarm, AlarmKind, AlertKind, Finding, Fix, FixSource, LatLon, Moment, PacketDigest, Status, Timestamp, VehicleId,
    Way,
};
use rideguard::guard::{Arrival, Guard, Params};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Eight in the evening in China, when people come home.
const EVENING: &str = "1779710400";
/// How often a lane looks at its clock, seconds.
const TICK_S: f64 = 10.0;
/// A theft counts as found until so long after it began, seconds: silence takes three quarters of an hour.
const FOUND_WITHIN_S: f64 = 7200.0;

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn vehicle(row: &Value) -> VehicleId {
    VehicleId(row["vehicle"].as_str().unwrap()[1..].parse().unwrap())
}

fn time(row: &Value, key: &str) -> Timestamp {
    Timestamp::from_secs_f64(row[key].as_f64().unwrap())
}

fn moment(row: &Value) -> Moment {
    let number = |key: &str| row[key].as_f64().map(|v| v as f32);
    let flag = |key: &str| row[key].as_i64().map(|v| v != 0);
    let vibration = Alarm { kind: AlarmKind::Vibration, raw: 0 };
    Moment {
        fix: Some(Fix {
            fixed_at: Some(time(row, "t")),
            valid: row["valid"] == true,
            position: LatLon::new(row["lat"].as_f64().unwrap(), row["lon"].as_f64().unwrap()),
            altitude_m: None,
            speed_kmh: number("speed_kmh"),
            course_deg: number("course"),
            satellites: row["sats"].as_u64().map(|s| s as u8),
            hdop: number("hdop"),
            accuracy_m: None,
            source: if row["source"] == "lbs" { FixSource::Cell } else { FixSource::Gnss },
        }),
        status: Status { external_power: row["ext"].as_bool(), moving: flag("motion"), ..Status::default() },
        alarms: (flag("vib") == Some(true)).then_some(vibration).into_iter().collect(),
        buffered: row["buffered"] == true,
        ..Moment::default()
    }
}

/// Runs everybody's rows through one guard, in the order of arrival, with the clock of a lane.
/// `has_neighbours`: else each vehicle's deadlines pass by themselves.
fn play(rows: &[Value], has_neighbours: bool) -> Vec<Finding> {
    let mut guard = Guard::new(Params::default());
    let mut findings = Vec::new();
    let mut ticked_at = time(&rows[0], "rx");
    for (n, row) in rows.iter().enumerate() {
        let (id, at) = (vehicle(row), time(row, "rx"));
        while has_neighbours && at.seconds_since(ticked_at) >= TICK_S {
            ticked_at = ticked_at.plus_secs_f64(TICK_S);
            findings.extend(guard.tick(ticked_at));
        }
        if !has_neighbours {
            findings.extend(guard.advance(id, at));
        }
        findings.extend(match row["type"].as_str().unwrap() {
            "arm" => guard.arm(id, time(row, "t"), at),
            "disarm" => guard.disarm(id, time(row, "t"), at),
            "pos" => guard.consider(
                id,
                &moment(row),
                &Arrival { received_at: at, digest: PacketDigest(n as u64), report_interval_s: None, way: Way::Broker },
            ),
            _ => {
                guard.remove(id);
                Vec::new()
            }
        });
    }
    findings
}

/// Vehicles woken for silence, each time.
fn silences(findings: &[Finding]) -> Vec<(VehicleId, Timestamp)> {
    let silent = |f: &Finding| match f {
        Finding::Alert(a) if a.kind == AlertKind::Silent => Some((a.vehicle, a.raised_at)),
        _ => None,
    };
    findings.iter().filter_map(silent).collect()
}

#[test]
fn a_citys_dead_cells_are_operator_alerts_and_its_thefts_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let (packets, truth) = (folder.path().join("packets.jsonl"), folder.path().join("truth.jsonl"));
    let made = Command::new(simulator())
        .args(["city", "--vehicles", "700", "--thefts", "12", "--outages", "3", "--seed", "11"])
        .args(["--from", EVENING, "--hours", "6"])
        .args(["--out".as_ref(), packets.as_os_str(), "--truth".as_ref(), truth.as_os_str()])
        .status()
        .unwrap();
    assert!(made.success());
    let mut rows = lines(&packets);
    rows.sort_by(|a, b| a["rx"].as_f64().unwrap().total_cmp(&b["rx"].as_f64().unwrap()));
    let truth = lines(&truth);
    let mut behind = BTreeMap::<VehicleId, (Timestamp, Timestamp)>::new();
    for row in truth.iter().filter(|r| r["tag"] == "outage") {
        behind.insert(vehicle(row), (time(row, "t0"), time(row, "t1")));
    }
    let findings = play(&rows, true);

    // Every outage that is told is a true one, and each is told once.
    let mut told = Vec::new();
    for finding in &findings {
        if let Finding::OutageBegan { outage, .. } = finding {
            let is_true = behind.values().any(|(from, to)| {
                outage.began_at.seconds_since(*from) > -600.0 && outage.began_at.seconds_since(*to) < 0.0
            });
            assert!(is_true, "{outage:?} is none");
            assert!(!told.contains(&outage.name), "{} is told again", outage.name);
            told.push(outage.name.clone());
        }
    }
    assert!(!told.is_empty(), "no outage was noticed");

    // Hardly an owner is woken by it; judged one by one, many would be.
    let by_outage = |findings: &[Finding]| {
        let woken = silences(findings).into_iter();
        woken
            .filter(|(v, at)| behind.get(v).is_some_and(|(from, to)| at >= from && at <= &to.plus_secs_f64(900.0)))
            .count()
    };
    let (with, without) = (by_outage(&findings), by_outage(&play(&rows, false)));
    println!("{} vehicles behind outages, {told:?} told; woken: {with}, one by one {without}", behind.len());
    assert!(without >= 10 && with * 5 <= without, "woken: {with}, one by one {without}");

    // Thefts are found all the same.
    let thefts: Vec<_> = truth.iter().filter(|r| r["kind"] == "incident").collect();
    let found = thefts.iter().filter(|theft| {
        findings.iter().any(|f| match f {
            Finding::Alert(a) if a.kind.wakes_owner() && a.vehicle == vehicle(theft) => {
                (0.0..FOUND_WITHIN_S).contains(&a.raised_at.seconds_since(time(theft, "t0")))
            }
            _ => false,
        })
    });
    let (found, all) = (found.count(), thefts.len());
    assert!(all >= 5 && found * 10 >= all * 8, "{found} of {all} thefts were found");
}

/// A password for the demonstration's other owners, who have none, and a file of both logins.
fn owners(up: &Up) -> PathBuf {
    let mut child = Command::new(program())
        .args(["admin", "--config", &up.config().to_string_lossy()])
        .args(["account", "city", "--role", "owner", "--name", "Other owners of the demo"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let password = format!("{:016x}", rand::random::<u64>());
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let logins = std::fs::read_to_string(up.folder.join("demo-logins")).unwrap();
    let owner = logins.lines().find(|l| l.starts_with("owner ")).unwrap();
    let file = up.folder.join("owners");
    std::fs::write(&file, format!("city {password}\n{owner}\n")).unwrap();
    file
}

/// Plays a city to the broker; its trackers tell its own time, so how fast the machine is makes no difference to what is true.
fn play_to_broker(up: &Up, truth: &Path, more: &[&str]) {
    let broker = Config::read(&up.config()).unwrap().broker;
    let address = format!("localhost:{}", broker.port);
    let played = Command::new(simulator())
        .args(["city", "--broker", &address, "--api", &format!("http://{}", up.http)])
        .args([
            "--ca".as_ref(),
            broker.ca_file.as_os_str(),
            "--credentials".as_ref(),
            up.folder.join("trackers").as_os_str(),
        ])
        .args(["--owners".as_ref(), owners(up).as_os_str(), "--truth".as_ref(), truth.as_os_str()])
        .args(more)
        .status()
        .unwrap();
    assert!(played.success(), "{}", up.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_city_is_played_through_the_broker_and_its_alerts_are_judged_by_the_truth() {
    use_ring();
    let up = Up::start(40, &[]).await;
    let truth = up.folder.join("city-truth.jsonl");
    play_to_broker(&up, &truth, &["--vehicles=40", "--thefts=12", "--outages=0", "--seed=5", "--speedup=3600"]);
    let thefts = lines(&truth).iter().filter(|r| r["kind"] == "incident").count();
    let told = up.folder.join("city-alerts.jsonl");
    let flags = ["score", "--list", "--truth", &truth.to_string_lossy(), "--alerts", &told.to_string_lossy()];
    // Everything is with the broker; lanes may still be at work.
    let since = Instant::now();
    let said = loop {
        let output = up.command(&flags);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let is_missing = said.lines().any(|l| l.contains(r#""delay_s":null"#));
        if !is_missing || since.elapsed() > PATIENCE {
            break said;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    println!("{said}");
    assert!(thefts >= 8, "only {thefts} thefts are judged");
    assert!(!said.contains("delay_s\":null"), "a theft was not noticed");
    assert!(!said.contains("false_alarm"), "somebody was woken for nothing");
    assert!(lines(&told).iter().any(|a| a["kind"] == "moved"));
    assert_eq!(String::from_utf8(up.command(&["verify"]).stdout).unwrap().matches("FAIL").count(), 0);
}
