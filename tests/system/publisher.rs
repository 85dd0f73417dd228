//! Answers and live positions on their way through a real Mosquitto.

use crate::harness::{PATIENCE, use_ring};
use rideguard::ingest::client_options;
use rideguard::ingest::publisher::Publisher;
use rideguard::supervisor::Folder;
use rideguard::supervisor::broker::Mosquitto;
use rumqttc::{AsyncClient, Event, EventLoop, Packet, QoS};
use std::collections::BTreeMap;
use std::time::Duration;

/// Trackers that are answered, and how often each.
const TOPICS: u32 = 40;
const ANSWERS: u32 = 50;

fn topic(n: u32) -> String {
    format!("v1/{n}/yy{n}/down")
}

/// Reads until something has come, by topic.
async fn hear(
    client: &AsyncClient,
    events: &mut EventLoop,
    is_enough: impl Fn(&BTreeMap<String, Vec<u32>>) -> bool,
) -> BTreeMap<String, Vec<u32>> {
    let mut heard: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let listening = async {
        while !is_enough(&heard) {
            match events.poll().await {
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let number = std::str::from_utf8(&publish.payload).unwrap().parse().unwrap();
                    heard.entry(publish.topic).or_default().push(number);
                }
                // A broker that came back knows of nobody.
                Ok(Event::Incoming(Packet::ConnAck(_))) => client.try_subscribe("v1/#", QoS::AtLeastOnce).unwrap(),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await, // the broker is away
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, listening).await.is_ok(), "heard {heard:?}");
    heard
}

#[tokio::test]
async fn answers_of_a_topic_arrive_in_order_and_go_on_after_the_broker_was_away() {
    use_ring();
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::open(&home.path().join("data")).unwrap();
    let mut broker = Mosquitto::start(&folder, None, None).unwrap();
    let settings = broker.settings().for_services();
    let (client, mut events) = AsyncClient::new(client_options::options(&settings, "listener").unwrap(), 16);
    client.subscribe("v1/#", QoS::AtLeastOnce).await.unwrap();
    while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}

    let dropped = prometheus::IntCounter::new("dropped", "of this test").unwrap();
    let publisher = Publisher::start(&settings, "test", dropped.clone()).unwrap();
    // Before there is a connection, too: they wait.
    for answer in 0..ANSWERS {
        (0..TOPICS).for_each(|n| publisher.send(topic(n), answer.to_string().into_bytes()));
        tokio::task::yield_now().await;
    }
    let all =
        |heard: &BTreeMap<String, Vec<u32>>| heard.values().map(Vec::len).sum::<usize>() == (TOPICS * ANSWERS) as usize;
    let heard = hear(&client, &mut events, all).await;
    let in_order: Vec<u32> = (0..ANSWERS).collect();
    assert_eq!((heard.len(), dropped.get()), (TOPICS as usize, 0));
    assert!(heard.values().all(|numbers| *numbers == in_order), "{heard:?}");

    broker.stop();
    publisher.send(topic(1), b"1000".to_vec()); // may be lost with the connection
    let mut broker = broker.start_again(&folder, None).unwrap();
    let talking = async {
        for answer in 1001.. {
            (0..TOPICS).for_each(|n| publisher.send(topic(n), format!("{answer}").into_bytes()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // On every topic, so that every connection has come back.
    tokio::select! {
        heard = hear(&client, &mut events, |heard| heard.len() == TOPICS as usize) => {
            assert!(heard.values().all(|numbers| numbers.is_sorted()), "{heard:?}");
        }
        () = talking => {}
    }
    broker.stop();
}

#[tokio::test]
async fn what_waits_for_a_broker_is_bounded_in_bytes_too() {
    use_ring();
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::open(&home.path().join("data")).unwrap();
    let mut broker = Mosquitto::start(&folder, None, None).unwrap();
    let settings = broker.settings().for_services();
    broker.stop(); // nobody takes anything
    let dropped = prometheus::IntCounter::new("dropped", "of this test").unwrap();
    let publisher = Publisher::start(&settings, "test", dropped.clone()).unwrap();
    // The first is on its way; a connection keeps 4 MiB behind it.
    (0..6).for_each(|_| publisher.send(topic(1), vec![b'x'; 1 << 20]));
    assert_eq!(dropped.get(), 1);
}
