//! Trackers come on board and leave while others report: nobody else's connection ends, nothing of theirs is lost.

use crate::harness::{PATIENCE, Person, Up, lines, seed, topic, use_ring};
use crate::support::oracle::{Oracle, judge_packets};
use crate::support::world::note;
use rideguard::clock::now;
use rideguard::config::Config;
use rideguard::domain::credential::{ITERATIONS_OF_RANDOM, SALT_BYTES, hash};
use rideguard::ingest::client_options;
use rumqttc::{AsyncClient, Event, EventLoop, Packet, QoS};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Trackers that are registered, replaced and revoked.
const CHANGED: usize = 100;
/// So many at once, as an office and its installers would at most.
const AT_ONCE: usize = 25;
/// Within which a tracker that was registered must be in, and one that was revoked be out.
const WITHIN: Duration = Duration::from_secs(2);
/// On a machine that also compiles and runs the other tests.
const WITHIN_MAX: Duration = Duration::from_secs(60);
/// Vehicles that report twice a second while others change: 800 fixes a second, which a build for debugging keeps up with.
const CITY: usize = 400;
/// Another number of them: 1000 for the figure of 2,000 fixes a second.
const CITY_SETTING: &str = "RIDEGUARD_TEST_CITY";
/// Trackers that the broker is to know besides, none of which reports.
const REGISTERED_SETTING: &str = "RIDEGUARD_TEST_REGISTERED";

/// One attempt to come in.
async fn try_connect(up: &Up, ident: &str, password: &str) -> Option<(AsyncClient, EventLoop)> {
    let broker = Config::read(&up.config()).unwrap().broker;
    let mut options = client_options::options(&broker, ident).unwrap();
    options.set_credentials(ident, password);
    let (client, mut events) = AsyncClient::new(options, 64);
    match tokio::time::timeout(PATIENCE, events.poll()).await.expect("an answer of the broker") {
        Ok(Event::Incoming(Packet::ConnAck(_))) => Some((client, events)),
        _ => None,
    }
}

/// Tries until it is in; how long that took.
async fn connect(up: &Up, ident: &str, password: &str) -> (AsyncClient, EventLoop, Duration) {
    let since = Instant::now();
    loop {
        if let Some((client, events)) = try_connect(up, ident, password).await {
            return (client, events, since.elapsed());
        }
        assert!(since.elapsed() < WITHIN_MAX, "{ident} is not admitted:\n{}", up.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a connection ends; how long that took.
async fn end_of(events: &mut EventLoop) -> Duration {
    let since = Instant::now();
    let ended = async { while events.poll().await.is_ok() {} };
    tokio::time::timeout(WITHIN_MAX, ended).await.expect("the connection ends");
    since.elapsed()
}

fn fix(ident: &str, at_ms: i64) -> String {
    format!(r#"{{"v":1,"id":"{ident}","fixes":[{{"t":{at_ms},"lat":28.5,"lon":112.3}}]}}"#)
}

/// Reports every `every` until told to stop; how many of its packets were acknowledged: all of them, on one connection.
async fn report(up: Arc<Up>, n: usize, every: Duration, is_over: Arc<AtomicBool>, longest_ms: Arc<AtomicU64>) -> u64 {
    let (ident, password) = up.tracker(n);
    let (client, mut events, _) = connect(&up, &ident, &password).await;
    let (mut sent, mut acked) = (0_u64, 0_u64);
    let mut at_ms = 0;
    let mut due = tokio::time::interval(every);
    let mut sent_at = std::collections::VecDeque::new();
    while !is_over.load(Ordering::SeqCst) || acked < sent {
        tokio::select! {
            _ = due.tick(), if !is_over.load(Ordering::SeqCst) && sent - acked < 60 => {
                at_ms = (now().micros() / 1000).max(at_ms + 1); // each fix is another
                client.try_publish(topic(&ident), QoS::AtLeastOnce, false, fix(&ident, at_ms)).unwrap();
                (sent, sent_at) = (sent + 1, { sent_at.push_back(Instant::now()); sent_at });
            }
            event = events.poll() => match event {
                Ok(Event::Incoming(Packet::PubAck(_))) => {
                    acked += 1;
                    let waited = sent_at.pop_front().map_or(Duration::ZERO, |at| at.elapsed());
                    longest_ms.fetch_max(waited.as_millis() as u64, Ordering::SeqCst);
                }
                Ok(_) => {}
                Err(error) => panic!("the connection of {ident} ended: {error}"),
            },
        }
    }
    acked
}

async fn ask(person: &Person, method: &str, path: &str, body: Option<Value>, expected: u16) -> Value {
    let (status, answer) = person.ask(method, path, body).await;
    assert_eq!(status, expected, "{method} {path}: {answer}");
    answer
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap().to_owned()
}

/// The broker's file of users, as it is seen from outside.
struct Users {
    seen: watch::Receiver<BTreeSet<String>>,
    looking: tokio::task::JoinHandle<()>,
}

impl Users {
    /// Looks at the file every 5 ms.
    fn of(up: &Up) -> Self {
        let path = up.folder.join("services/mosquitto/passwords");
        let (see, seen) = watch::channel(BTreeSet::new());
        let looking = tokio::spawn(async move {
            let mut of = None;
            loop {
                let at = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
                if at != of {
                    let text = std::fs::read_to_string(&path).unwrap_or_default();
                    let idents = text.lines().filter_map(|line| line.split(':').next());
                    let new = idents.filter(|ident| ident.starts_with("new")).map(str::to_owned).collect();
                    (of, _) = (at, see.send(new));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { seen, looking }
    }

    /// Until a tracker stands in it.
    async fn wait_for(&self, ident: &str) -> Duration {
        let (since, mut seen) = (Instant::now(), self.seen.clone());
        let there = tokio::time::timeout(WITHIN_MAX, seen.wait_for(|users| users.contains(ident)));
        there.await.expect("it is written").expect("somebody looks");
        since.elapsed()
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

/// One tracker's life: registered, written into the broker's file, in; replaced, thrown off and in with the new password;
/// revoked, out. Returns how long each took, and what it sent.
async fn live(up: &Up, operator: &Person, users: &Users, n: usize) -> ([Duration; 5], String) {
    let ident = format!("new{n:05}");
    let made = json!({ "idents": [ident], "protocol": "json", "batch": "test" });
    let made = ask(operator, "POST", "/tracker-batches", Some(made), 201).await["credentials"][0].clone();
    assert_eq!((text(&made, "ident"), text(&made, "topic")), (ident.clone(), topic(&ident)));
    let (id, password) = (text(&made, "id"), text(&made, "password"));
    let written = users.wait_for(&ident).await;
    let (client, mut events, more) = connect(up, &ident, &password).await;
    let admitted = written + more;
    // It works, and it is on its own topic only.
    let sent = fix(&ident, now().micros() / 1000);
    client.try_publish(topic(&ident), QoS::AtLeastOnce, false, sent.clone()).unwrap();
    let acknowledged = async { while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {} };
    tokio::time::timeout(PATIENCE, acknowledged).await.expect("an acknowledgement");
    let path = format!("/trackers/{id}/credential");
    let refused = ask(operator, "POST", &path, Some(json!({})), 409).await;
    assert_eq!(refused["code"], "credential_exists");
    let replaced = ask(operator, "POST", &path, Some(json!({ "reason": "a test replaces it" })), 201).await;
    let thrown_off = end_of(&mut events).await;
    let renewed = text(&replaced, "password");
    let (_client, mut events, again) = connect(up, &ident, &renewed).await;
    assert!(try_connect(up, &ident, &password).await.is_none(), "the old password of {ident} is dead");
    ask(operator, "DELETE", &format!("{path}?reason=a%20test%20ends"), None, 204).await;
    let out = end_of(&mut events).await;
    assert!(try_connect(up, &ident, &renewed).await.is_none(), "{ident} is revoked");
    ([written, admitted, thrown_off, thrown_off + again, out], sent)
}

/// Registers, replaces and revokes them all, and prints how long each step took. Returns what they sent.
async fn change_all(up: &Arc<Up>, operator: &Arc<Person>) -> Vec<String> {
    let (mut took, mut sent): ([Vec<Duration>; 5], Vec<String>) = Default::default();
    let users = Arc::new(Users::of(up));
    for group in 0..CHANGED / AT_ONCE {
        let mut living = JoinSet::new();
        for n in 0..AT_ONCE {
            let (up, operator, users) = (up.clone(), operator.clone(), users.clone());
            living.spawn(async move { live(&up, &operator, &users, group * AT_ONCE + n).await });
        }
        while let Some(lived) = living.join_next().await {
            let (each, payload) = lived.unwrap();
            took.iter_mut().zip(each).for_each(|(all, one)| all.push(one));
            sent.push(payload);
        }
    }
    for (what, all) in ["written", "admitted", "thrown_off", "admitted_again", "revoked"].iter().zip(&mut took) {
        all.sort_unstable();
        let (p50, p99) = (all[all.len() / 2], all[all.len() * 99 / 100]);
        println!("enrol.tracker_{what}_p50: {} ms", p50.as_millis());
        println!("enrol.tracker_{what}_p99: {} ms", p99.as_millis());
        if p99 > WITHIN {
            println!("a busy machine: the goal is {} ms", WITHIN.as_millis());
        }
    }
    sent
}

#[tokio::test]
async fn a_tracker_that_is_registered_gets_in_without_a_restart_and_nobody_is_dropped() {
    use_ring();
    let (others, every) = (60, Duration::from_millis(200));
    let up = Arc::new(Up::start(2 * others, &[]).await); // every other one speaks JSON
    let operator = Arc::new(up.log_in("operator").await);
    let (is_over, longest_ms) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut reporting = JoinSet::new();
    for n in 0..others {
        reporting.spawn(report(up.clone(), 2 * n, every, is_over.clone(), longest_ms.clone()));
    }
    change_all(&up, &operator).await;
    is_over.store(true, Ordering::SeqCst);
    let mut acked = 0;
    while let Some(reported) = reporting.join_next().await {
        acked += reported.unwrap();
    }
    println!("enrol.others_acknowledged_max: {} ms", longest_ms.load(Ordering::SeqCst));
    assert!(acked > others as u64, "{acked} packets of others");
    let of_others = "SELECT count(*) FROM fix JOIN tracker USING (tracker_id) WHERE ident NOT LIKE 'new%'";
    up.wait_for(of_others, i64::try_from(acked).unwrap()).await;
    assert_eq!(up.count(of_others).await, i64::try_from(acked).unwrap(), "each packet once");
    // A reason that is none is refused; a foreign number looks like none; the audit says who and why, and no secret.
    let refused = ask(&operator, "DELETE", "/trackers/1/credential?reason=x", None, 400).await;
    assert_eq!(refused["code"], "text_length");
    ask(&operator, "GET", "/trackers/9007199254740991/credential", None, 404).await;
    let issued = up.count("SELECT count(*) FROM audit WHERE action IN ('trackers_registered', 'credential_replaced', 'credential_revoked') AND account_id IS NOT NULL").await;
    assert_eq!(issued, 3 * CHANGED as i64);
    let kept = "SELECT count(*) FROM tracker_credential WHERE password_hash IS NULL AND claim_sha256 IS NULL";
    assert_eq!(up.count(kept).await, CHANGED as i64);
}

/// A number of the environment, or the usual one.
fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |n| n.parse().expect(name))
}

/// Gives the trackers of the file credentials of the registry, as a city's have, and enters some that are silent.
async fn register_the_city(up: &Up, city: usize) {
    let trackers: Vec<_> = (0..city).map(|n| up.tracker(n)).collect();
    let (idents, hashes): (Vec<_>, Vec<_>) = trackers
        .into_iter()
        .map(|(ident, password)| (ident, hash(&password, rand::random::<[u8; SALT_BYTES]>(), ITERATIONS_OF_RANDOM)))
        .unzip();
    let sql = up.sql().await;
    let silent = i64::try_from(setting(REGISTERED_SETTING, 0)).unwrap();
    sql.execute("INSERT INTO tracker (ident, profile) SELECT 'silent' || n, '{\"protocol\": \"json\"}' FROM generate_series(1, $1::bigint) n", &[&silent]).await.unwrap();
    let enter = "INSERT INTO tracker_credential (tracker_id, password_hash)
         SELECT tracker_id, g.hash FROM unnest($1::text[], $2::text[]) g (ident, hash) JOIN tracker USING (ident)
         UNION ALL SELECT tracker_id, $2[1] FROM tracker WHERE ident LIKE 'silent%'";
    sql.execute(enter, &[&idents, &hashes]).await.unwrap();
    let file = up.folder.join("services/mosquitto/passwords");
    let since = Instant::now();
    while !std::fs::read_to_string(&file).unwrap().contains(&hashes[city - 1]) {
        assert!(since.elapsed() < PATIENCE, "the city is not written");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Comings and ends of the city's connections, as the broker's log has them; each with its tracker.
fn connections(up: &Up, city: &BTreeSet<String>) -> Vec<(String, String)> {
    let log = std::fs::read_to_string(up.folder.join("mosquitto.log")).unwrap();
    let of_city = |line: &str| {
        let (_, rest) = line.split_once(COMES).or_else(|| line.split_once(ENDS))?;
        let ident = rest.split(' ').next().filter(|ident| city.contains(*ident))?;
        Some((ident.to_owned(), line.to_owned()))
    };
    log.lines().filter_map(of_city).collect()
}

/// How Mosquitto's log says that somebody has come, and what became of a client.
const COMES: &str = " as ";
const ENDS: &str = ": Client ";

/// Waits until each of the city has a connection; how many lines of it the log has by then.
async fn all_are_there(up: &Up, city: &BTreeSet<String>) -> usize {
    let since = Instant::now();
    loop {
        let said = connections(up, city);
        let mut open: BTreeMap<&str, i64> = BTreeMap::new();
        for (ident, line) in &said {
            *open.entry(ident).or_default() += if line.contains(ENDS) { -1 } else { 1 };
        }
        if open.len() == city.len() && open.values().all(|n| *n == 1) {
            return said.len();
        }
        let here = open.values().filter(|n| **n == 1).count();
        assert!(since.elapsed() < PATIENCE, "{here} of {} trackers are there: take fewer ({CITY_SETTING})", city.len());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn registering_replacing_and_revoking_100_trackers_under_a_city_that_reports_loses_nothing() {
    use_ring();
    let seed = seed("registering_replacing_and_revoking");
    let city = setting(CITY_SETTING, CITY);
    let up = Arc::new(Up::start(city, &[]).await);
    register_the_city(&up, city).await;
    let operator = Arc::new(up.log_in("operator").await);
    let oracle = Oracle::start(&up, seed, city, &["--patience-s=60"]);
    let received = "SELECT sum(received)::bigint FROM lane";
    let idents: BTreeSet<String> = (0..city).map(|n| up.tracker(n).0).collect();
    let came = all_are_there(&up, &idents).await;
    let (before, began_ms, since) = (up.count(received).await, now().micros() / 1000, Instant::now());
    let sent = change_all(&up, &operator).await;
    let (ended_ms, took_s) = (now().micros() / 1000, since.elapsed().as_secs_f64());
    let per_s = (up.count(received).await - before) as f64 / took_s;
    println!("enrol.others_received: {per_s:.0} /s during {took_s:.0} s");
    let more: Vec<String> = connections(&up, &idents).split_off(came).into_iter().map(|(_, line)| line).collect();
    let by_broker = |line: &&String| line.contains("not authorised"); // as at a reload
    assert_eq!(
        more.iter().filter(by_broker).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "the broker ended connections"
    );
    // A fleet that gets no processor gives up by itself; where it kept its pace, nobody came or went.
    if per_s > 1.8 * city as f64 {
        assert_eq!(more, Vec::<String>::new(), "connections ended or came again");
    } else {
        println!("a busy machine: the goal is {} /s; {} connections came or ended by themselves", 2 * city, more.len());
    }
    let mut notes = oracle.end().await;
    notes.sent.extend(sent.iter().map(|payload| hex::encode(Sha256::digest(payload))));
    let mut waited: Vec<i64> =
        notes.answers_ms.iter().filter(|(at, _)| (began_ms..ended_ms).contains(at)).map(|(_, ms)| *ms).collect();
    waited.sort_unstable();
    assert!(!waited.is_empty(), "nobody was answered");
    for (name, of) in [("p50", 50), ("p99", 99), ("max", 100)] {
        println!("enrol.others_answered_{name}: {} ms", waited[(waited.len() * of / 100).min(waited.len() - 1)]);
    }
    let verdict = judge_packets(&up, &notes, 0).await;
    note("A-05 100 trackers registered, replaced, revoked under a city that reports", CHANGED as u64, seed, &verdict);
    verdict.must_be_clean();
}

/// A POST that may be sent again.
async fn send(up: &Up, person: &Person, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let url = format!("http://{}/api/v1{path}", up.http);
    let request = reqwest::Client::new().post(url).header("Authorization", format!("Bearer {}", person.token));
    let request = request.header("Content-Type", "application/json").header("Idempotency-Key", key);
    let answer = request.body(body.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

/// An answer may be lost: the same call again makes nothing, and shows the same; where that is dead by now, it says so.
async fn a_retry_makes_nothing_twice(up: &Up, operator: &Person) {
    let range = json!({ "prefix": "r", "first": 1, "count": 3, "digits": 3 });
    let batch = json!({ "batch": "R", "protocol": "json", "range": range });
    let (status, first) = send(up, operator, "/tracker-batches", "a-key", &batch).await;
    assert_eq!((status, first["credentials"].as_array().unwrap().len()), (201, 3), "{first}");
    assert_eq!(send(up, operator, "/tracker-batches", "a-key", &batch).await, (201, first.clone()));
    let (_c, _e, _) = connect(up, "r001", &text(&first["credentials"][0], "password")).await;
    let other = json!({ "protocol": "json", "idents": ["r9"] });
    let (status, refused) = send(up, operator, "/tracker-batches", "a-key", &other).await;
    assert_eq!((status, &refused["code"]), (409, &json!("key_used")));
    let (status, refused) = send(up, operator, "/tracker-batches", "another", &batch).await;
    assert_eq!((status, &refused["code"]), (409, &json!("tracker_exists")), "another call");
    let (status, refused) = send(up, operator, "/tracker-batches", &"x".repeat(65), &batch).await;
    assert_eq!((status, &refused["code"]), (400, &json!("text_length")));
    // The same of credentials for a batch that was imported.
    let sql = up.sql().await;
    let without = "INSERT INTO tracker (ident, profile, batch, unit_id) SELECT 'v' || n, '{\"protocol\": \"json\"}', 'V', (SELECT unit_id FROM account WHERE login = 'operator') FROM generate_series(1, 3) n";
    sql.execute(without, &[]).await.unwrap();
    let (path, batch_v) = ("/tracker-batches/credentials", json!({ "batch": "V" }));
    let (status, given) = send(up, operator, path, "v-key", &batch_v).await;
    assert_eq!((status, given["credentials"].as_array().unwrap().len()), (201, 3), "{given}");
    assert_eq!(send(up, operator, path, "v-key", &batch_v).await, (201, given));
    // Neither the password nor the caller's key stands in the database.
    let kept = "SELECT count(*) FROM idempotent_call WHERE key ~ '^[0-9a-f]{64}$'";
    assert_eq!(up.count(kept).await, 2);
    let shown = up.count("SELECT count(*) FROM audit WHERE action = 'credentials_shown_again'").await;
    assert_eq!(shown, 2, "each look leaves a row");
    // A credential that is dead by now helps nobody.
    let revoked = format!("/trackers/{}/credential?reason=it%20was%20lost", text(&first["credentials"][1], "id"));
    ask(operator, "DELETE", &revoked, None, 204).await;
    let (status, refused) = send(up, operator, "/tracker-batches", "a-key", &batch).await;
    assert_eq!(
        (status, &refused["code"], &refused["values"]["ident"]),
        (409, &json!("credential_changed"), &json!("r002"))
    );
}

#[tokio::test]
async fn batches_and_the_file_of_an_earlier_release_are_admitted_and_a_revoked_line_is_dead() {
    use_ring();
    let up = Up::start(4, &[]).await;
    let operator = up.log_in("operator").await;
    // A batch of many; what is refused leaves nothing behind.
    let range = json!({ "prefix": "b", "first": 1, "count": 300, "digits": 6 });
    let batch = json!({ "batch": "B1", "protocol": "jt808", "range": range });
    let made = ask(&operator, "POST", "/tracker-batches", Some(batch.clone()), 201).await;
    let made = made["credentials"].as_array().unwrap().clone();
    assert_eq!((made.len(), text(&made[299], "ident").as_str()), (300, "b000300"));
    let (_c, _e, _) = connect(&up, "b000300", &text(&made[299], "password")).await;
    assert_eq!(ask(&operator, "POST", "/tracker-batches", Some(batch), 409).await["code"], "tracker_exists");
    let half_new = json!({ "protocol": "json", "idents": ["fresh1", "b000001"] });
    let refused = ask(&operator, "POST", "/tracker-batches", Some(half_new), 409).await;
    assert_eq!(refused["values"]["ident"], "b000001");
    assert_eq!(up.count("SELECT count(*) FROM tracker WHERE ident = 'fresh1'").await, 0, "all or none");
    for (wrong, code) in [
        (json!({ "protocol": "json", "idents": ["rideguard-api"] }), "tracker_ident"),
        (json!({ "protocol": "telepathy", "idents": ["x1"] }), "unknown_word"),
        (json!({ "protocol": "json" }), "one_of"),
    ] {
        assert_eq!(ask(&operator, "POST", "/tracker-batches", Some(wrong), 400).await["code"], code);
    }
    // Trackers that were registered without a credential get one, once.
    let sql = up.sql().await;
    let without = "INSERT INTO tracker (ident, profile, batch, unit_id) SELECT 'w' || n, '{\"protocol\": \"json\"}', 'W', (SELECT unit_id FROM account WHERE login = 'operator') FROM generate_series(1, 3) n";
    sql.execute(without, &[]).await.unwrap();
    let given = ask(&operator, "POST", "/tracker-batches/credentials", Some(json!({ "batch": "W" })), 201).await;
    assert_eq!(given["credentials"].as_array().unwrap().len(), 3);
    let (_c, _e, _) = connect(&up, "w1", &text(&given["credentials"][0], "password")).await;
    let again = ask(&operator, "POST", "/tracker-batches/credentials", Some(json!({ "batch": "W" })), 201).await;
    assert_eq!(again, json!({ "credentials": [], "has_more": false }));
    a_retry_makes_nothing_twice(&up, &operator).await;
    // A new line of the file is noticed; a tracker that the database revokes is out, whatever the file says.
    let mut file = std::fs::read_to_string(up.folder.join("trackers")).unwrap();
    file.push_str("byhand of-a-person json\n");
    std::fs::write(up.folder.join("trackers"), file).unwrap();
    let (_c, _e, _) = connect(&up, "byhand", "of-a-person").await;
    let (ident, password) = up.tracker(0);
    let (_client, mut events, _) = connect(&up, &ident, &password).await;
    let ours =
        "UPDATE tracker SET unit_id = (SELECT unit_id FROM account WHERE login = 'operator') WHERE unit_id IS NULL";
    sql.execute(ours, &[]).await.unwrap();
    let listed = operator.get(&format!("/trackers?q={ident}")).await["trackers"][0].clone();
    let path = format!("/trackers/{}/credential", text(&listed, "id"));
    let sight = json!({ "ident": ident, "made_at": null, "revoked_at": null });
    assert_eq!(operator.get(&path).await, sight);
    ask(&operator, "DELETE", &format!("{path}?reason=it%20was%20stolen"), None, 204).await;
    end_of(&mut events).await;
    assert!(try_connect(&up, &ident, &password).await.is_none());
    assert!(operator.get(&path).await["revoked_at"].is_string());
    // No other role, and no other organisation.
    let owner = up.log_in("owner").await;
    ask(&owner, "GET", &path, None, 403).await;
    sql.batch_execute(
        "INSERT INTO organisation (name, kind) VALUES ('Other', 'operator');
         INSERT INTO unit (organisation_id, name) SELECT organisation_id, 'U' FROM organisation WHERE name = 'Other';
         UPDATE tracker SET unit_id = (SELECT unit_id FROM unit WHERE name = 'U') WHERE ident = 'b000001';",
    )
    .await
    .unwrap();
    let foreign = format!("/trackers/{}/credential", text(&made[0], "id"));
    ask(&operator, "GET", &foreign, None, 404).await;
    ask(&operator, "POST", &foreign, Some(json!({ "reason": "not ours" })), 404).await;
    ask(&operator, "DELETE", &format!("{foreign}?reason=not%20ours"), None, 404).await;
    // For a broker of one's own: the same users in files, and none of our own.
    let out = up.folder.join("for-broker");
    lines(&up.command(&["admin", "broker-files", "--out", &out.to_string_lossy()]));
    let users = std::fs::read_to_string(out.join("passwords")).unwrap();
    assert!(users.lines().any(|l| l.starts_with("b000300:$7$1$")) && !users.contains("rideguard"), "{users}");
    assert_eq!(users.lines().count(), 303 + 5);
    assert!(std::fs::read_to_string(out.join("acl")).unwrap().contains("pattern write v1/+/%u/up"));
}
