//! The door: trackers at RideGuard itself, by clients that nobody here wrote.

use crate::harness::{PATIENCE, Person, Up, free_port, topic, use_ring};
use rideguard::domain::Shard;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tungstenite::ClientRequestBuilder;

/// A system with a door, whose broker nobody needs.
pub async fn with_door(vehicles: usize) -> Up {
    use_ring();
    Up::start(vehicles, &["--door-port", &free_port().to_string()]).await
}

/// `mosquitto_pub` or `mosquitto_sub` at the door.
pub fn client(up: &Up, program: &str, user: &str, password: &str, more: &[&str]) -> Command {
    let mut command = Command::new(program);
    let port = up.door_port().unwrap().to_string();
    command.args(["-h", "localhost", "-p", &port, "--cafile"]).arg(up.folder.join("ca.pem"));
    command.args(["-u", user, "-P", password]).args(more).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

pub fn publish(up: &Up, user: &str, password: &str, more: &[&str]) -> Output {
    client(up, "mosquitto_pub", user, password, more).output().unwrap()
}

fn report(ident: &str, lat: f64) -> String {
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    format!(r#"{{"v":1,"id":"{ident}","fixes":[{{"t":{now_ms},"lat":{lat},"lon":112.35}}]}}"#)
}

pub fn end_reason(metrics: &str, reason: &str) -> u64 {
    let begin = format!("rideguard_door_ended_total{{reason=\"{reason}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&begin)).map_or(0, |n| n.parse().unwrap())
}

/// Waits until so many trackers are connected to the door.
async fn are_connected(up: &Up, trackers: usize) {
    let line = format!("rideguard_door_connections{{language=\"mqtt\",transport=\"tls\"}} {trackers}");
    let since = Instant::now();
    while !up.metrics().await.lines().any(|l| l == line) {
        assert!(since.elapsed() < PATIENCE, "not {trackers} are connected: {}", up.metrics().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquittos_clients_of_both_versions_publish_at_every_qos_and_what_is_acknowledged_is_stored() {
    let up = with_door(3).await;
    let (ident, password) = up.tracker(0);
    let mut lat = 28.700;
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            lat += 0.001;
            let told = publish(
                &up,
                &ident,
                &password,
                &["-V", version, "-q", qos, "-t", &topic(&ident), "-m", &report(&ident, lat)],
            );
            assert!(told.status.success(), "{version} QoS {qos}: {told:?}");
            if qos != "0" {
                let there =
                    format!("SELECT count(*) FROM fix_known WHERE round(ST_Y(position)::numeric, 3) = {lat:.3}");
                up.wait_for(&there, 1).await;
            }
        }
    }
    up.wait_for("SELECT count(*) FROM fix_known", 6).await;
    // A retained position is taken like any other, and an empty retained message takes nothing away.
    for message in [report(&ident, 28.720), String::new()] {
        let told = publish(&up, &ident, &password, &["-r", "-q", "1", "-t", &topic(&ident), "-m", &message]);
        assert!(told.status.success(), "{told:?}");
    }
    up.wait_for("SELECT count(*) FROM fix_known", 7).await;
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, 0);
    // Keep-alives of 5 s are answered, long enough that a silence would show.
    let script = format!("(echo '{}'; sleep 9; echo '{}')", report(&ident, 28.721), report(&ident, 28.722));
    let mut slow = client(&up, "mosquitto_pub", &ident, &password, &["-k", "5", "-q", "1", "-l", "-t", &topic(&ident)]);
    let mut words = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let told = slow.stdin(words.stdout.take().unwrap()).output().unwrap();
    words.wait().unwrap();
    assert!(told.status.success(), "{told:?}");
    up.wait_for("SELECT count(*) FROM fix_known", 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_with_a_wrong_password_speaks_for_another_or_hears_another() {
    let up = with_door(3).await;
    let ((ident, password), (other, _)) = (up.tracker(0), up.tracker(1));
    for (user, secret) in [(ident.as_str(), "wrong"), ("nobody", "x"), ("rideguard-ingest", "x"), ("", "")] {
        for version in ["mqttv311", "mqttv5"] {
            let told = publish(&up, user, secret, &["-V", version, "-t", &topic(&ident), "-m", "x", "-q", "1"]);
            assert!(!told.status.success(), "{user} by {version}");
        }
    }
    // Whoever is refused hears why, by TLS, too.
    let mut refused = tls(&up, up.door_port().unwrap());
    refused.write_all(&connect(&ident, "wrong", true)).unwrap();
    let mut heard = Vec::new();
    drop(refused.read_to_end(&mut heard));
    assert_eq!(heard, [0x20, 2, 0, 4]);
    let foreign = publish(
        &up,
        &ident,
        &password,
        &["-V", "mqttv5", "-q", "1", "-t", &topic(&other), "-m", &report(&other, 28.7)],
    );
    assert!(!foreign.status.success() || !foreign.stderr.is_empty(), "{foreign:?}");
    let since = Instant::now();
    while end_reason(&up.metrics().await, "foreign") == 0 {
        assert!(since.elapsed() < Duration::from_secs(10), "a foreign topic must end the connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(end_reason(&up.metrics().await, "refused") >= 8);
    assert_eq!(up.count("SELECT count(*) FROM fix_known").await, 0);
    let down = |ident: &str| format!("v1/{}/{ident}/down", Shard::of(ident).0);
    for (filter, is_granted) in
        [(down(&ident), true), (down(&other), false), ("#".to_owned(), false), ("v1/+/up".into(), false)]
    {
        let told = client(&up, "mosquitto_sub", &ident, &password, &["-t", &filter, "-W", "1", "-q", "1", "-d"])
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&told.stdout).into_owned();
        let granted = words.contains("Subscribed (mid: 1): 0") && !words.contains("128");
        assert_eq!(granted, is_granted, "{filter}: {words}");
    }
    assert!(up.log().contains("A tracker was thrown off the door: it named another tracker"), "{}", up.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_connection_ends_the_older_and_a_subscription_is_kept_only_for_who_asks_for_it() {
    let up = with_door(3).await;
    let (ident, password) = up.tracker(0);
    let down = format!("v1/{}/{ident}/down", Shard::of(&ident).0);
    let listening = |id: &str, more: &[&str]| {
        let args = [&["-t", &down, "-i", id, "-W", "3", "-d"], more].concat();
        client(&up, "mosquitto_sub", &ident, &password, &args).spawn().unwrap()
    };
    let mut older = tls(&up, up.door_port().unwrap());
    older.write_all(&connect_5(&ident, &password)).unwrap();
    are_connected(&up, 1).await;
    let newer = listening("two", &["-c"]);
    let mut heard = Vec::new();
    drop(older.read_to_end(&mut heard)); // how the connection ends is not asked
    assert_eq!(heard.first(), Some(&0x20), "it was in");
    assert!(heard.ends_with(&[0xe0, 2, 0x8e, 0]), "it is told that its session was taken over: {heard:02x?}");
    assert!(end_reason(&up.metrics().await, "replaced") >= 1);
    drop(newer.wait_with_output().unwrap());
    // A session is present for who keeps one, whatever its client id; who asks for a clean one ends it.
    let kept =
        client(&up, "mosquitto_sub", &ident, &password, &["-t", &down, "-i", "three", "-c", "-E"]).output().unwrap();
    assert!(kept.status.success(), "{kept:?}");
    for (is_clean, is_present) in [(false, 1), (true, 0), (false, 0), (false, 1)] {
        let mut probe = tls(&up, up.door_port().unwrap());
        probe.write_all(&connect(&ident, &password, is_clean)).unwrap();
        let mut answer = [0; 4];
        probe.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x20, 2, is_present, 0], "clean: {is_clean}");
    }
}

/// A CONNECT of MQTT 3.1.1 with user and password.
pub fn connect(user: &str, password: &str, is_clean: bool) -> Vec<u8> {
    let text = |s: &str| [&(s.len() as u16).to_be_bytes()[..], s.as_bytes()].concat();
    let flags = 0xc0 | u8::from(is_clean) << 1;
    let body = [text("MQTT"), vec![4, flags, 0, 60], text("probe"), text(user), text(password)].concat();
    [vec![0x10, body.len() as u8], body].concat()
}

/// The same of MQTT 5.
fn connect_5(user: &str, password: &str) -> Vec<u8> {
    let text = |s: &str| [&(s.len() as u16).to_be_bytes()[..], s.as_bytes()].concat();
    let body = [text("MQTT"), vec![5, 0xc2, 0, 60], vec![0], text("probe"), text(user), text(password)].concat();
    [vec![0x10, body.len() as u8], body].concat()
}

pub type Tls = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

pub fn tls(up: &Up, port: u16) -> Tls {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(up.folder.join("ca.pem")).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    rustls::StreamOwned::new(session, stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_half_a_thing_or_too_much_is_gone_in_time_and_others_do_not_notice() {
    let up = with_door(3).await;
    let (ident, password) = up.tracker(1);
    let port = up.door_port().unwrap();
    let silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut half_tls = TcpStream::connect(("127.0.0.1", port)).unwrap();
    half_tls.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    let mut noise = TcpStream::connect(("127.0.0.1", port)).unwrap();
    noise.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut half_connect = tls(&up, port);
    half_connect.write_all(&connect(&ident, &password, true)[..9]).unwrap();
    half_connect.flush().unwrap();
    let mut huge = tls(&up, port);
    huge.write_all(&[0x10, 0xff, 0xff, 0xff, 0x7f]).unwrap();
    let mut long_packet = tls(&up, port);
    long_packet.write_all(&[connect(&ident, &password, true), vec![0x32, 0xff, 0xff, 0xff, 0x7f]].concat()).unwrap();
    let began = Instant::now();
    let mut worst = Duration::ZERO;
    let (own, secret) = up.tracker(0); // it speaks JSON
    for n in 0..40 {
        let at = Instant::now();
        let lat = 28.6 + f64::from(n) * 0.001;
        let told = publish(&up, &own, &secret, &["-q", "1", "-t", &topic(&own), "-m", &report(&own, lat)]);
        assert!(told.status.success(), "{told:?}");
        worst = worst.max(at.elapsed());
    }
    println!("worst of 40 publications beside them: {worst:?}");
    let ended = |mut stream: Box<dyn Read>| {
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
        began.elapsed()
    };
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    half_tls.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for (name, took) in [
        ("noise", ended(Box::new(noise))),
        ("huge", ended(Box::new(huge))),
        ("long packet", ended(Box::new(long_packet))),
        ("silent", ended(Box::new(silent))),
        ("half TLS", ended(Box::new(half_tls))),
        ("half CONNECT", ended(Box::new(half_connect))),
    ] {
        assert!(took < Duration::from_secs(15), "{name} was still there after {took:?}");
    }
    let metrics = up.metrics().await;
    for (reason, least) in [("late_log_in", 3), ("malformed", 2), ("tls", 1)] {
        assert!(end_reason(&metrics, reason) >= least, "{reason}: {metrics}");
    }
    up.wait_for("SELECT count(*) FROM fix_known", 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_tracker_is_thrown_off_within_two_seconds_and_a_new_one_comes_in() {
    let up = with_door(3).await;
    let (ident, password) = up.tracker(0);
    let trackers = up.folder.join("trackers");
    let text = std::fs::read_to_string(&trackers).unwrap();
    let down = format!("v1/{}/{ident}/down", Shard::of(&ident).0);
    let listening = client(&up, "mosquitto_sub", &ident, &password, &["-t", &down, "-V", "mqttv5"]).spawn().unwrap();
    are_connected(&up, 1).await;
    let rest: Vec<&str> = text.lines().skip(1).collect();
    std::fs::write(&trackers, format!("{}\nnew1 secret json\n", rest.join("\n"))).unwrap();
    let at = Instant::now();
    while end_reason(&up.metrics().await, "removed") == 0 {
        assert!(at.elapsed() < Duration::from_secs(4), "it is still there: {}", up.metrics().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("removed after {:?}", at.elapsed());
    assert!(!publish(&up, &ident, &password, &["-q", "1", "-t", &topic(&ident), "-m", "x"]).status.success());
    assert!(publish(&up, "new1", "secret", &["-q", "1", "-t", &topic("new1"), "-m", "x"]).status.success());
    drop(listening); // it tries again and again
}

/// Waits until a live map of this person has heard of vehicles, and of nothing that is delayed.
pub async fn a_live_map_hears_of_it(up: &Up, operator: &Person) {
    let ticket = operator.ask("POST", "/live/ticket", Some(json!({}))).await.1;
    let url = format!("ws://{}/api/v1/live?ticket={}", up.http, ticket["ticket"].as_str().unwrap());
    let request = ClientRequestBuilder::new(url.parse().unwrap()).with_header("Origin", format!("http://{}", up.http));
    let heard = tokio::task::spawn_blocking(|| {
        let (mut map, _) = tungstenite::connect(request).unwrap();
        let mut heard = Vec::new();
        while heard.len() < 10 {
            let said = map.read().unwrap();
            let Ok(said) = serde_json::from_str::<Value>(said.to_text().unwrap_or_default()) else { continue }; // a ping
            let vehicles = said["vehicles"].as_array().map_or(0, Vec::len);
            heard.push((said["type"].as_str().unwrap().to_owned(), vehicles, said["delayed"] == true));
        }
        heard
    });
    let heard = tokio::time::timeout(PATIENCE, heard).await.expect("the map hears nothing").unwrap();
    assert!(heard.iter().any(|(kind, vehicles, _)| kind == "delta" && *vehicles > 0), "{heard:?}");
    assert!(!heard.iter().any(|(.., delayed)| *delayed), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_everything_works_and_a_folder_with_one_keeps_it() {
    use_ring();
    let port = free_port().to_string();
    let mut up = Up::start(20, &["--door-port", &port, "--without-broker"]).await;
    assert!(!up.folder.join("services/mosquitto").exists() && !up.log().contains("osquitto"), "{}", up.log());
    let operator = up.log_in("operator").await;
    let mut fleet = up.fleet(&["--duration-s=600"]);
    up.wait_for("SELECT count(*) FROM fix_known", 50).await;
    a_live_map_hears_of_it(&up, &operator).await; // though nothing carries it but this process
    // Everything is killed; what was acknowledged is there, and trackers come back.
    up.kill();
    up.start_again().await;
    let before = up.count("SELECT count(*) FROM fix_known").await;
    up.wait_for("SELECT count(*) FROM fix_known", before + 50).await;
    assert_eq!(up.count("SELECT count(*) FROM coverage_gap WHERE cause <> 'away'").await, 0);
    fleet.kill().unwrap();
    fleet.wait().unwrap();
    // A broker that was there may hold packets.
    std::fs::create_dir_all(up.folder.join("services/mosquitto")).unwrap();
    up.kill();
    let args: Vec<&str> = up.args.iter().map(String::as_str).collect();
    let told = Command::new(crate::harness::program()).args(&args).output().unwrap();
    assert!(!told.status.success() && String::from_utf8_lossy(&told.stderr).contains("start once without"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_data_folder_has_no_broker_and_one_that_has_a_broker_keeps_it() {
    use_ring();
    let mut up = Up::start_empty().await;
    let settings = |up: &Up| rideguard::config::Config::read(&up.config()).unwrap();
    let new = settings(&up);
    assert!(!new.broker.enabled && !up.folder.join("services/mosquitto").exists());
    let [listener] = &new.door.listener[..] else { panic!("{:?}", new.door) };
    assert!(listener.listen.ip().is_loopback() && listener.is_tls());
    let said = format!("to RideGuard itself, without a broker: MQTT with TLS at port {}.", listener.listen.port());
    let since = Instant::now();
    while !up.log().contains(&said) {
        assert!(since.elapsed() < PATIENCE, "{said}: {}", up.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The port of trackers is the door's; a busy one is named.
    let busy = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    assert!(up.interrupt());
    up.args.extend(["--mqtt-port".to_owned(), port.clone()]);
    let told = Command::new(crate::harness::program()).args(&up.args).output().unwrap();
    assert!(String::from_utf8_lossy(&told.stderr).contains("choose another with --mqtt-port"), "{told:?}");
    drop(busy);
    up.start_again().await;
    assert_eq!(settings(&up).door.listener[0].listen.port().to_string(), port);
    assert!(up.interrupt());
    up.args.push("--broker".to_owned());
    up.start_again().await;
    let with_broker = settings(&up);
    assert!(with_broker.broker.enabled && with_broker.door.listener.is_empty(), "the port is the broker's now");
    assert_eq!(with_broker.broker.port.to_string(), port);
    assert!(up.interrupt());
    up.args.pop();
    up.start_again().await;
    assert!(settings(&up).broker.enabled && up.log().contains("has a private broker and keeps it"), "{}", up.log());
}
