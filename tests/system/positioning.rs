//! Positioning off by choice: nothing new of the vehicle is anywhere, nobody is alarmed, and on again works.

use crate::harness::{Up, lines, settled, tell, topic, use_ring};
use crate::live::Stream;
use rideguard::clock::now;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// From the owner's word until it holds, and until open streams know, at most.
const EFFECT_MAX: Duration = Duration::from_secs(5);

/// A message with one fix, so many seconds old.
fn message(ident: &str, ago_s: i64, lat: f64) -> (String, Vec<u8>) {
    let at_ms = now().micros() / 1000 - ago_s * 1000;
    let text = format!(
        r#"{{"v":1,"id":"{ident}","fixes":[{{"t":{at_ms},"lat":{lat},"lon":112.876543}}],"status":{{"battery":61}}}}"#
    );
    (topic(ident), text.into_bytes())
}

/// How many packets were acknowledged and not kept, by the counter.
async fn withheld(up: &Up) -> u64 {
    let metrics = up.metrics().await;
    let line = metrics.lines().find_map(|l| l.strip_prefix("rideguard_packets_total{outcome=\"withheld\"} "));
    line.map_or(0, |n| n.parse().unwrap())
}

async fn is_withheld(up: &Up, at_least: u64) {
    let since = Instant::now();
    while withheld(up).await < at_least {
        assert!(since.elapsed() < crate::harness::PATIENCE, "{} packets are withheld", withheld(up).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Tables and files in which one of these stands: in rows as text, in files as bytes. The broker's own files hold what is on
/// its way.
async fn found_in(up: &Up, marks: &[String]) -> Vec<String> {
    let (sql, mut found) = (up.superuser().await, Vec::new());
    sql.batch_execute("CHECKPOINT").await.unwrap();
    let tables = sql.query("SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')", &[]).await.unwrap();
    assert!(tables.len() > 60, "{} tables are searched", tables.len());
    for table in &tables {
        let table: String = table.get(0);
        for mark in marks {
            let sql_text = format!("SELECT count(*) FROM {table} t WHERE strpos(lower(t::text), lower($1)) > 0");
            if sql.query_one(&sql_text, &[mark]).await.unwrap().get::<_, i64>(0) > 0 {
                found.push(format!("{table}: {mark}"));
            }
        }
    }
    search_files(&up.folder, marks, &mut found);
    found
}

fn search_files(folder: &Path, marks: &[String], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() && entry.file_name() != "mosquitto" {
            search_files(&path, marks, found);
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes); // marks are ASCII: what is lost is none
            for mark in marks.iter().filter(|m| text.contains(m.as_str())) {
                found.push(format!("{}: {mark}", path.display()));
            }
        }
    }
}

/// A place in every form in which something keeps one.
fn forms(lat: f64) -> Vec<String> {
    vec![format!("{lat}"), hex::encode(lat.to_le_bytes()), hex::encode(format!("{lat}"))]
}

#[tokio::test]
async fn off_by_choice_nothing_new_is_kept_anywhere_nobody_is_alarmed_and_on_again_works() {
    use_ring();
    let mut up = Up::start(3, &[]).await;
    settled(&up).await;
    tell(&up, 0).await;
    let (ident, password) = up.tracker(0);
    let sql = up.sql().await;
    let question = "SELECT vehicle_id::text FROM installation JOIN tracker USING (tracker_id) WHERE ident = $1 AND valid_to IS NULL";
    let id: String = sql.query_one(question, &[&ident]).await.unwrap().get(0);
    sql.batch_execute(&format!("UPDATE ownership SET valid_from = now() - interval '10 days' WHERE vehicle_id = {id}"))
        .await
        .unwrap();
    let (owner, police, operator) = (up.log_in("owner").await, up.log_in("police").await, up.log_in("operator").await);
    let grant = police.grant().await;
    let (of, positioning) = (format!("/vehicles/{id}"), format!("/vehicles/{id}/positioning"));
    assert_eq!(owner.ask("POST", &format!("{of}/arm"), None).await.0, 200);
    assert_eq!(police.ask("POST", &positioning, Some(json!({ "on": false }))).await.0, 403);
    // A case about it forces nobody to go on.
    let [from, to, ends_at] = [-3600.0, 3600.0, 86_400.0].map(|s| now().plus_secs_f64(s).to_string());
    let plate = owner.get(&of).await["plate"].clone();
    let hold =
        json!({ "plate": plate, "from": from, "to": to, "ends_at": ends_at, "grant_id": grant, "reason": "a case" });
    assert_eq!(police.ask("POST", "/holds", Some(hold)).await.0, 201);
    let mut streams = [Stream::open(&up, &owner).await, Stream::open(&up, &operator).await];

    // Off: a measured time, then nothing new anywhere.
    let asked = Instant::now();
    let (status, off) = owner.ask("POST", &positioning, Some(json!({ "on": false }))).await;
    let in_force = asked.elapsed();
    assert!(
        status == 200 && off["positioning_off_since"].is_string() && in_force < EFFECT_MAX,
        "{off} after {in_force:?}"
    );
    for stream in &mut streams {
        stream.until(|said| said["type"] == "snapshot" && !said["vehicles"].to_string().contains("28.55")).await;
    }
    println!(
        "positioning_off.in_force: {} ms, gone from open streams: {} ms",
        in_force.as_millis(),
        asked.elapsed().as_millis()
    );
    assert!(asked.elapsed() < EFFECT_MAX, "open streams end after {:?}", asked.elapsed());
    // The demonstration guards it, and what it told before looked like a start.
    let alerts_before = up.count("SELECT count(*) FROM alert").await;
    let lat = 28.987654;
    up.publish(&ident, &password, vec![message(&ident, 0, lat), message(&ident, 60, lat)]).await;
    is_withheld(&up, 2).await;
    assert_eq!(found_in(&up, &forms(lat)).await, Vec::<String>::new());
    let journal = up.command(&["journal", "--tracker", &ident]);
    let lines_of_it = lines(&journal);
    assert!(lines_of_it.len() >= 20 && !lines_of_it.iter().any(|l| l.contains(&hex::encode("28.987654"))));
    assert!(
        String::from_utf8_lossy(&journal.stderr).contains("2 packets were acknowledged and not kept"),
        "{journal:?}"
    );
    // A mark that is there is found: the search can fail.
    assert!(!found_in(&up, &forms(28.55)).await.is_empty());

    // How it is shown: to its owner, to operators, to the police.
    let seen = owner.get(&of).await;
    assert_eq!(
        (&seen["contact"], &seen["last_fix"], &seen["armed"]),
        (&json!("off"), &Value::Null, &json!(false)),
        "{seen}"
    );
    let (_, refused) = owner.ask("POST", &format!("{of}/arm"), None).await;
    assert_eq!(refused["code"], "positioning_off");
    let health = operator.get("/trackers?state=off").await;
    assert_eq!((&health["counts"]["off"], &health["counts"]["silent"]), (&json!(1), &json!(0)), "{health}");
    assert_eq!(health["trackers"].as_array().map(Vec::len), Some(1), "{health}");
    let (from, to) = (now().plus_secs_f64(-3600.0).to_string(), now().plus_secs_f64(5.0).to_string());
    let track = police.get(&format!("{of}/track?from={from}&to={to}&grant_id={grant}")).await;
    let since = off["positioning_off_since"].as_str().unwrap();
    // The same moment, of UTC in either spelling.
    let plain = |time: &str| time.split(['Z', '+']).next().unwrap_or_default().to_owned();
    let from = track["off"][0]["from"].as_str().unwrap();
    assert_eq!(plain(from), plain(since), "{track}");
    assert!(
        !track["points"].as_array().unwrap().is_empty() && !track.to_string().contains("28.9876"),
        "what is held stays: {track}"
    );

    // A kill and a new start change nothing.
    up.kill();
    up.start_again().await;
    up.publish(&ident, &password, vec![message(&ident, 0, lat)]).await;
    is_withheld(&up, 1).await;

    // On again: what the tracker kept meanwhile is not taken, what it measures now is.
    let (status, on) = owner.ask("POST", &positioning, Some(json!({ "on": true }))).await;
    assert_eq!((status, &on["positioning_off_since"]), (200, &Value::Null), "{on}");
    let off_s = sql
        .query_one("SELECT extract(epoch FROM now() - off_at)::bigint / 2 FROM positioning_off", &[])
        .await
        .unwrap()
        .get(0);
    up.publish(&ident, &password, vec![message(&ident, off_s, lat)]).await;
    is_withheld(&up, 2).await;
    up.publish(&ident, &password, vec![message(&ident, 0, 28.612345)]).await;
    up.wait_for("SELECT count(*) FROM fix WHERE round(ST_Y(position)::numeric, 6) = 28.612345", 1).await;
    // Rows of status are written when they are due.
    let since = Instant::now();
    while owner.get(&of).await["last_fix"]["lat"] != 28.612345 {
        assert!(since.elapsed() < crate::harness::PATIENCE, "{}", owner.get(&of).await);
        up.publish(&ident, &password, vec![message(&ident, 0, 28.612345)]).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(found_in(&up, &forms(lat)).await, Vec::<String>::new());

    // The consent withdrawn: every vehicle of theirs, until it is given again.
    assert_eq!(owner.get("/me/consent").await["is_withdrawn"], false);
    let (status, gone) = owner.ask("DELETE", "/me/consent", None).await;
    assert_eq!((status, &gone["is_withdrawn"]), (200, &json!(true)), "{gone}");
    assert!(
        gone["consents"][0]["withdrawn_at"].is_string() && gone["consents"][0]["withdrawn_channel"] == "page",
        "{gone}"
    );
    let all = owner.get("/vehicles").await;
    assert!(all["vehicles"].as_array().unwrap().iter().all(|v| v["contact"] == "off"), "{all}");
    assert_eq!(owner.ask("POST", &positioning, Some(json!({ "on": true }))).await.1["code"], "consent_withdrawn");
    up.publish(&ident, &password, vec![message(&ident, 0, lat)]).await;
    is_withheld(&up, 3).await;
    for bad in ["", "a b"] {
        assert_eq!(owner.ask("POST", "/me/consent", Some(json!({ "version": bad }))).await.0, 400);
    }
    let (status, given) = owner.ask("POST", "/me/consent", Some(json!({ "version": "2026-11" }))).await;
    assert_eq!((status, &given["is_withdrawn"]), (200, &json!(false)), "{given}");
    up.publish(&ident, &password, vec![message(&ident, 0, 28.623456)]).await;
    up.wait_for("SELECT count(*) FROM fix WHERE round(ST_Y(position)::numeric, 6) = 28.623456", 1).await;
    assert_eq!(found_in(&up, &forms(lat)).await, Vec::<String>::new());

    // Nobody was alarmed; the sums are right, and the journal says the same again.
    assert_eq!(up.count("SELECT count(*) FROM alert").await, alerts_before);
    let audited = "SELECT count(DISTINCT action) FROM audit WHERE action IN ('positioning_off', 'positioning_on', 'consent_withdrawn', 'consent_given')";
    assert_eq!(up.count(audited).await, 4);
    for check in [up.command(&["verify"]), up.command(&["rebuild", "--check"])] {
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
}
