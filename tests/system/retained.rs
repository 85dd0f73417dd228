//! Applications for phones publish with the retain flag: it changes nothing for them, for us, or for what lies at the broker.

use crate::harness::{PATIENCE, Up, topic, use_ring};
use rideguard::config::{Broker, Config};
use rideguard::ingest::client_options;
use rideguard::ingest::retained;
use rumqttc::{AsyncClient, Event, EventLoop, Packet, Publish, QoS};
use std::time::{Duration, Instant};

/// A user of the broker, connected by MQTT 3.1.1.
async fn connect(up: &Up, user: &str, password: &str) -> (AsyncClient, EventLoop) {
    let mut broker = Config::read(&up.config()).unwrap().broker;
    let secret = up.folder.join("retained-secret");
    std::fs::write(&secret, password).unwrap();
    (broker.username, broker.password_file, broker.socket) = (user.to_owned(), secret, None);
    let since = Instant::now();
    loop {
        let options = client_options::options(&broker, &format!("retained-{}", rand::random::<u32>())).unwrap();
        let (client, mut events) = AsyncClient::new(options, 100);
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => return (client, events),
            other => assert!(since.elapsed() < PATIENCE, "{user} is not admitted: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Publishes with QoS 1 and the retain flag; the connection must stay.
async fn retain(client: &AsyncClient, events: &mut EventLoop, topic: &str, payload: &str) {
    client.try_publish(topic, QoS::AtLeastOnce, true, payload).unwrap();
    let acknowledged = async {
        while !matches!(events.poll().await.expect("the connection stays"), Event::Incoming(Packet::PubAck(_))) {}
    };
    tokio::time::timeout(PATIENCE, acknowledged).await.expect("an acknowledgement");
}

/// What the broker sends somebody who subscribes to everything now, until it has answered a ping of ours.
async fn kept_for(up: &Up, user: &str, password: &str) -> Vec<Publish> {
    let (client, mut events) = connect(up, user, password).await;
    client.try_subscribe("v1/#", QoS::AtMostOnce).unwrap();
    client.try_unsubscribe("v1/#").unwrap();
    let mut kept = Vec::new();
    loop {
        match events.poll().await.unwrap() {
            Event::Incoming(Packet::Publish(publish)) if publish.retain => kept.push(publish),
            Event::Incoming(Packet::UnsubAck(_)) => return kept,
            _ => {}
        }
    }
}

async fn wait_for_metric(up: &Up, name: &str, at_least: u64) {
    let since = Instant::now();
    loop {
        let page = up.metrics().await;
        let value = page.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok());
        if value >= Some(at_least) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{name}: {value:?}, not {at_least}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_tracker_that_retains_is_heard_once_and_its_place_does_not_stay_at_the_broker() {
    use_ring();
    let mut up = Up::start(4, &[]).await;
    let ((ident, password), (other, others_password)) = (up.tracker(0), up.tracker(2));
    let now_ms = rideguard::clock::now().micros() / 1000;
    let fix = |n: i64| {
        let t = now_ms - 60_000 + n * 1000;
        format!(r#"{{"v":1,"id":"{ident}","fixes":[{{"t":{t},"lat":28.55,"lon":112.35}}]}}"#)
    };
    let (client, mut events) = connect(&up, &ident, &password).await;
    for n in 0..3 {
        retain(&client, &mut events, &topic(&ident), &fix(n)).await; // each on the same connection
    }
    up.wait_for("SELECT count(*) FROM fix", 3).await;
    retain(&client, &mut events, &topic(&ident), &fix(2)).await; // the same again
    up.wait_for("SELECT sum(duplicate)::bigint FROM lane", 1).await;

    // The broker keeps the last one, and shows it to nobody but us.
    let config = Config::read(&up.config()).unwrap();
    let own_password = rideguard::config::read_secret(&config.broker.password_file).unwrap();
    let kept = kept_for(&up, &config.broker.username, &own_password).await;
    assert_eq!(kept.iter().map(|p| p.topic.as_str()).collect::<Vec<_>>(), [topic(&ident)]);
    for (user, password) in [(&other, &others_password), (&ident, &password)] {
        assert_eq!(kept_for(&up, user, password).await, [], "{user}");
    }

    // A restart brings the copy again, and it is dropped; what the tracker says afterwards is not.
    up.kill();
    up.start_again().await;
    wait_for_metric(&up, "rideguard_retained_messages_total{kind=\"copy\"}", 1).await;
    let (client, mut events) = connect(&up, &ident, &password).await;
    retain(&client, &mut events, &topic(&ident), &fix(3)).await;
    up.wait_for("SELECT count(*) FROM fix", 4).await;
    assert_eq!(up.count("SELECT count(*) FROM fix").await, 4);
    assert_eq!(up.count("SELECT sum(duplicate)::bigint FROM lane").await, 1, "only the tracker's own repetition");
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, 0);
    assert_eq!(up.count("SELECT count(*) FROM alert").await, 0);

    // It is taken away, also where it has another shard than the tracker's, which nobody hears.
    let wrong_shard = topic(&ident).replace("v1/", "v1/9");
    let (own, mut of_own) = connect(&up, &config.broker.username, &own_password).await;
    retain(&own, &mut of_own, &wrong_shard, &fix(4)).await; // a broker of somebody's own may let a tracker do so
    let broker = Broker { socket: None, ..config.broker.for_services() };
    assert_eq!(retained::clear(&broker).await.unwrap(), 2);
    assert_eq!(retained::clear(&broker).await.unwrap(), 0);
    assert_eq!(kept_for(&up, &config.broker.username, &own_password).await, []);
    wait_for_metric(&up, "rideguard_retained_messages_total{kind=\"clearing\"}", 1).await;
    retain(&client, &mut events, &topic(&ident), &fix(5)).await;
    up.wait_for("SELECT count(*) FROM fix", 5).await;
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, 0, "a clearing is no packet");
    for check in [up.command(&["verify"]), up.command(&["rebuild", "--check"])] {
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
}
