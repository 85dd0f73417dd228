//! rumqttc's traps, sprung on the bare client: why our sessions (`src/ingest/wire.rs`) have a loop of their own. If one of these
//! fails after an update of the library, the library has become better, and ours may become simpler.

use crate::fake_broker::{FakeBroker, Link, Message, malformed};
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, Packet, Publish, QoS, StateError};

/// A bare client with manual acknowledgements, subscribed, and the broker's end of it.
async fn bare(broker: &FakeBroker, packet_bytes_max: usize) -> (AsyncClient, EventLoop, Link) {
    let mut options = rideguard::ingest::client_options::options(&broker.settings(), "bare").unwrap();
    options.set_clean_session(false);
    options.set_manual_acks(true);
    options.set_max_packet_size(packet_bytes_max, packet_bytes_max);
    let (client, mut events) = AsyncClient::new(options, 100);
    let link = subscribe(broker, &client, &mut events).await;
    (client, events, link)
}

async fn subscribe(broker: &FakeBroker, client: &AsyncClient, events: &mut EventLoop) -> Link {
    while !matches!(events.poll().await, Ok(Event::Incoming(Packet::ConnAck(_)))) {}
    client.try_subscribe("v1/1/+/up", QoS::AtLeastOnce).unwrap();
    while !matches!(events.poll().await, Ok(Event::Incoming(Packet::SubAck(_)))) {}
    broker.link("bare").await
}

/// The next publish, or the error that came instead.
async fn next(events: &mut EventLoop) -> Result<Publish, ConnectionError> {
    loop {
        if let Event::Incoming(Packet::Publish(publish)) = events.poll().await? {
            return Ok(publish);
        }
    }
}

#[tokio::test]
async fn the_bare_client_acknowledges_another_message_under_a_reused_id() {
    let broker = FakeBroker::start().await;
    let (client, mut events, link) = bare(&broker, 10_000).await;
    link.send(&Message::new("v1/1/a/up", 1, "first"));
    let first = next(&mut events).await.unwrap();
    drop(link);
    next(&mut events).await.expect_err("the connection was cut");
    let mut link = subscribe(&broker, &client, &mut events).await;
    link.send(&Message::new("v1/1/a/up", 1, "second, which nobody has stored"));
    next(&mut events).await.unwrap();
    client.try_ack(&first).unwrap();
    let polling = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    assert_eq!(link.ack().await, 1, "confirmed: the second message is gone, though it was never acknowledged");
    polling.abort();
}

#[tokio::test]
async fn the_bare_client_yields_publishes_of_the_old_connection_after_the_new_connack() {
    let broker = FakeBroker::start().await;
    let (_client, mut events, link) = bare(&broker, 10_000).await;
    let mut together: Vec<u8> = (1..=5).flat_map(|id| Message::new("v1/1/a/up", id, "old").bytes()).collect();
    together.extend(malformed());
    link.raw(together);
    next(&mut events).await.expect_err("a malformed packet ends the connection, before what came ahead of it is seen");
    let connack = events.poll().await.unwrap();
    assert!(matches!(connack, Event::Incoming(Packet::ConnAck(_))), "{connack:?}");
    assert_eq!(next(&mut events).await.unwrap().payload, "old", "confirmed: an epoch that begins at CONNACK is wrong");
}

#[tokio::test]
async fn the_bare_client_meets_an_oversize_packet_for_ever() {
    let broker = FakeBroker::start().await;
    broker.keep_sessions(true);
    let (client, mut events, mut link) = bare(&broker, 10_000).await;
    for _ in 0..5 {
        link.send(&Message::new("v1/1/a/up", 1, vec![b'x'; 10_001]));
        let error = next(&mut events).await.unwrap_err();
        let too_large = matches!(error, ConnectionError::MqttState(StateError::Deserialization(_)));
        assert!(too_large, "confirmed: it never gets beyond this packet: {error}");
        link = subscribe(&broker, &client, &mut events).await;
    }
}
