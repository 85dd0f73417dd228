//! What a credential at the private broker can do to others, and what it may say (S-16, S-17): nothing but the table in
//! docs/security.md.

use crate::harness::{PATIENCE, Up, topic, use_ring};
use rideguard::config::{Broker, read_secret};
use rideguard::domain::{Lane, Shard, credential};
use rideguard::ingest::broker_limits;
use rideguard::ingest::client_options::{client_id, options};
use rideguard::supervisor::Folder;
use rideguard::supervisor::broker::{API_USER, Credential, INGEST_USER, Mosquitto, PACKET_BYTES_MAX};
use rumqttc::v5;
use rumqttc::{AsyncClient, Event, EventLoop, Packet, QoS};
use std::collections::BTreeMap;
use std::time::Duration;

/// Attempts to take something, of which each must fail.
const ATTEMPTS: usize = 10;

/// A broker with two trackers and no RideGuard at it.
struct Place {
    home: tempfile::TempDir,
    broker: Mosquitto,
    _folder: Folder,
}

const TRACKERS: [&str; 2] = ["yy000101", "yy000103"];
const PASSWORD: &str = "of a test";

impl Place {
    fn start() -> Self {
        use_ring();
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(&home.path().join("data")).unwrap();
        let broker = Mosquitto::start(&folder, None, None).unwrap();
        std::fs::write(home.path().join("password"), PASSWORD).unwrap();
        let password_hash = credential::hash(PASSWORD, *b"twelve bytes", credential::ITERATIONS_OF_RANDOM);
        let credential = |ident: &str| Credential { ident: ident.into(), password_hash: password_hash.clone() };
        broker.admit(&folder, &TRACKERS.map(credential)).unwrap();
        Self { home, broker, _folder: folder }
    }

    /// How a user connects: one of ours to the services' port, a tracker to that of trackers.
    fn way(&self, user: &str) -> Broker {
        let settings = self.broker.settings();
        match user {
            INGEST_USER => settings.for_services(),
            API_USER => settings.for_api(),
            tracker => {
                let password_file = self.home.path().join("password");
                Broker { username: tracker.into(), password_file, ..settings }
            }
        }
    }

    /// Connects under a client id of one's choice; also whether there was a session. The broker may be reading its users.
    async fn connect(&self, user: &str, id: &str, clean: bool) -> (AsyncClient, EventLoop, bool) {
        let since = std::time::Instant::now();
        loop {
            let mut options = options(&self.way(user), id).unwrap();
            options.set_clean_session(clean);
            let (client, mut events) = AsyncClient::new(options, 64);
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(ack))) => return (client, events, ack.session_present),
                other => assert!(since.elapsed() < PATIENCE, "{user} is not admitted: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.broker.stop();
    }
}

/// Whether a connection still works: what it publishes is acknowledged.
async fn is_alive(client: &AsyncClient, events: &mut EventLoop, topic: &str) -> bool {
    client.try_publish(topic, QoS::AtLeastOnce, false, "x").unwrap();
    let acknowledged = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    };
    tokio::time::timeout(PATIENCE, acknowledged).await.expect("an answer or an end")
}

#[tokio::test]
async fn a_tracker_with_the_client_id_of_another_or_of_a_lane_takes_nothing() {
    let place = Place::start();
    let [thief, victim] = TRACKERS;
    let lane = Shard::of(thief).lane();
    let lane_id = client_id(lane, &read_secret(&place.broker.password_file).unwrap());
    let (client, mut events, _) = place.connect(INGEST_USER, &lane_id, false).await;
    client.try_subscribe(topic(thief), QoS::AtLeastOnce).unwrap();
    while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    client.try_disconnect().unwrap();
    while events.poll().await.is_ok() {}
    let (speaker, mut of_speaker, _) = place.connect(thief, "any", true).await;
    assert!(is_alive(&speaker, &mut of_speaker, &topic(thief)).await); // it waits for the lane
    drop((speaker, of_speaker));

    let (client, mut of_victim, _) = place.connect(victim, victim, true).await;
    for id in [victim, lane_id.as_str(), ""] {
        for _ in 0..ATTEMPTS {
            let (taker, mut of_taker, had_session) = place.connect(thief, id, true).await;
            assert!(!had_session && is_alive(&taker, &mut of_taker, "nowhere").await);
            assert!(is_alive(&client, &mut of_victim, &topic(victim)).await, "thrown off by the client id {id:?}");
        }
    }
    let (_client, mut events, has_session) = place.connect(INGEST_USER, &lane_id, false).await;
    assert!(has_session, "the lane's session was taken");
    let kept = async { while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::Publish(_))) {} };
    tokio::time::timeout(PATIENCE, kept).await.expect("what was acknowledged waits for the lane");
}

#[tokio::test]
async fn connections_of_one_credential_do_not_stay_beside_each_other() {
    let place = Place::start();
    let [user, _] = TRACKERS;
    let mut connections = Vec::new();
    for n in 0..500 {
        let mut options = options(&place.way(user), &format!("connection-{n}")).unwrap();
        options.set_keep_alive(Duration::ZERO);
        let (client, mut events) = AsyncClient::new(options, 4);
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => connections.push((client, events)),
            other if connections.is_empty() => {
                println!("not yet admitted: {other:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => panic!("{other:?}"),
        }
    }
    let mut alive = 0;
    for (client, events) in &mut connections {
        alive += usize::from(is_alive(client, events, &topic(user)).await);
    }
    assert!(connections.len() > 400, "{}", connections.len());
    assert_eq!(alive, 1, "of {}", connections.len());
}

#[tokio::test]
async fn a_packet_above_the_limit_ends_the_connection_of_its_sender_only() {
    let place = Place::start();
    let [sender, other] = TRACKERS;
    let (bystander, mut of_bystander, _) = place.connect(other, "a", true).await;
    let (ours, mut of_ours, _) = place.connect(INGEST_USER, "b", true).await;
    let (client, mut events, _) = place.connect(sender, "c", true).await;
    let fits = PACKET_BYTES_MAX - 100;
    client.try_publish(topic(sender), QoS::AtLeastOnce, false, vec![b'x'; fits]).unwrap();
    while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {}
    client.try_publish(topic(sender), QoS::AtLeastOnce, false, vec![b'x'; PACKET_BYTES_MAX + 1]).unwrap();
    let ended = async { while events.poll().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("its connection ends");
    assert!(is_alive(&bystander, &mut of_bystander, &topic(other)).await);
    assert!(is_alive(&ours, &mut of_ours, "v1/1/any/down").await);
}

#[tokio::test]
async fn the_private_broker_tells_the_version_of_its_program() {
    let place = Place::start();
    let (_, version) = broker_limits::ask_with_version(&place.way(INGEST_USER)).await.unwrap();
    let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|p| std::path::Path::new(p).exists());
    let help = std::process::Command::new(program.unwrap()).arg("-h").output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert_eq!(version, broker_limits::Version::read(help.lines().next().unwrap()), "{help}");
    assert!(version.is_some(), "{help}");
}

type Client5 = (v5::AsyncClient, v5::EventLoop);

/// By MQTT 5, which says why something is refused.
async fn connect5(way: &Broker, id: &str) -> Client5 {
    let since = std::time::Instant::now();
    loop {
        let mut with = v5::MqttOptions::new(id, &way.host, way.port);
        with.set_transport(options(way, id).unwrap().transport());
        with.set_credentials(&way.username, read_secret(&way.password_file).unwrap());
        let (client, mut events) = v5::AsyncClient::new(with, 64);
        if let Ok(v5::Event::Incoming(v5::mqttbytes::v5::Packet::ConnAck(_))) = events.poll().await {
            return (client, events);
        }
        assert!(since.elapsed() < PATIENCE, "{} is not admitted", way.username);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether the broker takes what it publishes.
async fn may_write((client, events): &mut Client5, topic: &str, payload: &str) -> bool {
    use v5::mqttbytes::v5::{Packet, PubAckReason};
    client.try_publish(topic, v5::mqttbytes::QoS::AtLeastOnce, false, payload.to_owned()).unwrap();
    loop {
        if let v5::Event::Incoming(Packet::PubAck(ack)) = events.poll().await.unwrap() {
            assert!(matches!(
                ack.reason,
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers | PubAckReason::NotAuthorized
            ));
            return ack.reason != PubAckReason::NotAuthorized;
        }
    }
}

/// Whether something comes by a topic, of itself or from `ingest`. The broker sends it before it says that we unsubscribed.
async fn may_read((client, events): &mut Client5, topic: &str, ingest: &mut Client5) -> bool {
    use v5::mqttbytes::v5::Packet;
    client.try_subscribe(topic, v5::mqttbytes::QoS::AtLeastOnce).unwrap();
    while !matches!(events.poll().await.unwrap(), v5::Event::Incoming(Packet::SubAck(_))) {}
    if !topic.starts_with('$') {
        assert!(may_write(ingest, topic, "for a reader").await, "nobody writes to {topic}");
    }
    client.try_unsubscribe(topic).unwrap();
    let mut has_come = false;
    loop {
        match events.poll().await.unwrap() {
            v5::Event::Incoming(Packet::Publish(_)) => has_come = true,
            v5::Event::Incoming(Packet::UnsubAck(_)) => return has_come,
            _ => {}
        }
    }
}

/// The table of docs/security.md: topic, what each user may.
fn table() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).unwrap();
    let (_, rest) =
        text.split_once("\n| topic | tracker OWN | `rideguard-ingest` | `rideguard-api` |\n").expect("the table");
    let rows = rest.lines().skip(1).take_while(|l| l.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<String> = row.trim_matches('|').split('|').map(|c| c.trim().replace('`', "")).collect();
        (cells[0].clone(), cells[1..].to_vec())
    })
    .collect()
}

#[tokio::test]
async fn users_may_at_the_broker_what_the_table_says_and_nothing_else() {
    let place = Place::start();
    let [own, other] = TRACKERS;
    let (shard, others_shard) = (Shard::of(own).0, Shard::of(other).0);
    let mut ingest = connect5(&place.way(INGEST_USER), "writer").await;
    let mut users = Vec::new();
    for user in [own, INGEST_USER, API_USER] {
        users.push((user, connect5(&place.way(user), "reader").await));
    }
    // One id for two users of the services' port: the latter would have thrown the former off.
    users[1].1 = connect5(&place.way(INGEST_USER), "reader of ingest").await;
    let table = table();
    assert!(table.len() >= 8, "{table:?}");
    for (words, rights) in &table {
        let topic = words
            .replace("OTHER_SHARD", &((shard + 1) % 64).to_string())
            .replace("SHARD_OF_OTHER", &others_shard.to_string())
            .replace("SHARD", &shard.to_string())
            .replace("OTHER", other)
            .replace("OWN", own)
            .replace("GATEWAY", "gw1")
            .replace("LANE", &Lane(3).0.to_string());
        for ((user, client), said) in users.iter_mut().zip(rights) {
            let found = match (may_read(client, &topic, &mut ingest).await, may_write(client, &topic, "probe").await) {
                (true, true) => "read, write",
                (true, false) => "read",
                (false, true) => "write",
                (false, false) => "–",
            };
            assert_eq!(found, said, "{user} on {words}");
        }
    }
    // Wildcards bring no more than the topics below them allow.
    let mut wide = connect5(&place.way(API_USER), "wide").await;
    for filter in ["v1/#", "#", "v1/+/+/down"] {
        wide.0.try_subscribe(filter, v5::mqttbytes::QoS::AtLeastOnce).unwrap();
    }
    for to in [topic(own), format!("v1/{shard}/{own}/down")] {
        assert!(may_write(&mut ingest, &to, "secret").await);
    }
    assert!(!may_read(&mut wide, &topic(other), &mut ingest).await);
}

/// A denied SUBSCRIBE is granted by Mosquitto; it is seen all the same.
#[tokio::test]
async fn a_tracker_that_subscribes_to_topics_of_others_is_counted_and_named_once() {
    use_ring();
    let mut up = Up::start(4, &[]).await;
    let (ident, password) = up.tracker(0);
    let secret = up.folder.join("test-secret");
    std::fs::write(&secret, &password).unwrap();
    let log = |up: &Up| std::fs::read_to_string(up.folder.join("mosquitto.log")).unwrap();
    let subscribe = async |up: &Up, filters: &[String]| {
        let broker = rideguard::config::Config::read(&up.config()).unwrap().broker;
        let way = Broker { username: ident.clone(), password_file: secret.clone(), ..broker };
        let since = std::time::Instant::now();
        let (client, mut events) = loop {
            let (client, mut events) = AsyncClient::new(options(&way, "x").unwrap(), 64);
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => break (client, events),
                other => assert!(since.elapsed() < PATIENCE, "not admitted: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        for filter in filters {
            client.try_subscribe(filter.as_str(), QoS::AtLeastOnce).unwrap();
            while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
        }
    };
    let counted = async |up: &Up, at_least: u64| {
        let since = std::time::Instant::now();
        loop {
            let page = up.metrics().await;
            let found =
                page.lines().find_map(|l| l.strip_prefix("rideguard_foreign_subscriptions_total ")?.parse().ok());
            if found >= Some(at_least) {
                return found.unwrap();
            }
            assert!(since.elapsed() < PATIENCE, "{found:?}, not {at_least}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let own = format!("v1/+/{ident}/down");
    subscribe(&up, &[own.clone(), "owntracks/+/+".into(), "v1/#".into(), "rideguard/live/+".into(), own]).await;
    assert_eq!(counted(&up, 2).await, 2);
    let named = |up: &Up| up.log().lines().filter(|l| l.contains("subscribes to topics of others")).count();
    assert_eq!(named(&up), 1, "{}", up.log());
    // Subscriptions stand nowhere, our sessions without the part that is secret; who connected is told.
    let said = log(&up);
    assert!(said.contains("as rideguard-lane-0-… (") && said.contains(&format!("as {ident} (")), "{said}");
    assert!(!said.contains(" v1/"), "{said}");
    let broker = rideguard::config::Config::read(&up.config()).unwrap().broker;
    let of_ingest = read_secret(&broker.password_file).unwrap();
    assert!(Lane::all().all(|lane| !said.contains(&client_id(lane, &of_ingest))), "{said}");
    // A broker that goes on without us is read again by whoever adopts it.
    up.kill();
    up.start_again().await;
    let before = log(&up).matches(&format!("as {ident} (")).count();
    subscribe(&up, &["#".into()]).await;
    counted(&up, 1).await;
    assert!(log(&up).matches(&format!("as {ident} (")).count() > before);
}
