//! A lane's session against a broker that misbehaves (F-04, F-05, F-06): no acknowledgement of a
//! message that was not released ever leaves, and nothing that arrived is forgotten.

use crate::fake_broker::{self, FakeBroker, Grant, Link, Message, malformed};
use crate::harness::{PATIENCE, seed};
use rand::{Rng, SeedableRng};
use rideguard::domain::{Entry, Lane};
use rideguard::ingest::client_options::{PACKET_BYTES_MAX, client_id};
use rideguard::ingest::session::{GAPS_MAX, Subscribed};
use rideguard::ingest::{BrokerReceipt, Delivery, Receipt, Session};
use std::collections::BTreeSet;

const TOPIC: &str = "v1/1/a/up";

async fn session() -> (FakeBroker, Session, Link) {
    let broker = FakeBroker::start().await;
    let session = Session::start(&broker.settings(), Lane(1), Subscribed::default(), false).unwrap();
    let link = broker.link(&client_id(Lane(1), fake_broker::PASSWORD)).await;
    (broker, session, link)
}

async fn next(session: &mut Session) -> Delivery {
    tokio::time::timeout(PATIENCE, session.deliveries.recv()).await.expect("no delivery").expect("the session ended")
}

fn receipt(delivery: Delivery) -> BrokerReceipt {
    let Receipt::Broker(receipt) = delivery.receipt else { panic!("it came by the session") };
    receipt
}

#[tokio::test]
async fn an_acknowledgement_of_an_older_connection_never_leaves() {
    let (broker, mut session, link) = session().await;
    (1..=3).for_each(|id| link.send(&Message::new(TOPIC, id, format!("old {id}"))));
    let mut old = Vec::new();
    for _ in 1..=3 {
        old.push(receipt(next(&mut session).await));
    }
    // The commit of these three is on its way when the broker loses the session; ids begin at 1 again.
    drop(link);
    let mut link = broker.link(&client_id(Lane(1), fake_broker::PASSWORD)).await;
    link.send(&Message::new(TOPIC, 1, "new 1"));
    link.send(&Message::new(TOPIC, 2, "new 2"));
    let (_, second) = (next(&mut session).await, next(&mut session).await);
    session.acks.release(&old);
    assert_eq!(session.acks.suppressed(), 3);
    // Acknowledgements leave in order: had one of the old ones left, it would be seen before this one.
    session.acks.release(&[receipt(second)]);
    assert_eq!(link.ack().await, 2);
}

#[tokio::test]
async fn acknowledgements_of_a_session_that_ended_are_dropped_and_not_waited_for() {
    let (_broker, mut session, link) = session().await;
    link.send(&Message::new(TOPIC, 1, "taken"));
    let taken = receipt(next(&mut session).await);
    session.deliveries.close();
    link.send(&Message::new(TOPIC, 2, "nobody is there to take it")); // by which the task ends
    let released = tokio::time::timeout(PATIENCE, async {
        while session.acks.suppressed() == 0 {
            session.acks.release(&[taken]);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    released.await.expect("waited for a connection that will never be");
}

/// A record of acknowledgements waits until the broker has read the one before, but not for a broker that does not say so.
#[tokio::test]
async fn acknowledgements_leave_in_order_although_no_ping_is_answered() {
    let (broker, mut session, mut link) = session().await;
    broker.ignore_pings();
    for id in 1..=4 {
        link.send(&Message::new(TOPIC, id, "here"));
        let delivery = next(&mut session).await;
        session.acks.release(&[receipt(delivery)]);
        assert_eq!(link.ack().await, id);
    }
}

/// Mosquitto's answer to a ping waits behind everything it has for us, which may be minutes' worth.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_broker_that_speaks_and_answers_no_ping_keeps_its_connection() {
    let (broker, mut session, link) = session().await;
    broker.ignore_pings();
    for id in 1..=10 {
        link.send(&Message::new(TOPIC, id, "alive"));
        next(&mut session).await;
        tokio::time::sleep(std::time::Duration::from_secs(7)).await; // more than twice the longest silence in all
    }
    assert!(session.is_connected());
}

#[tokio::test]
async fn more_than_a_read_holds_is_delivered_in_order() {
    let (_broker, mut session, mut link) = session().await;
    let all: Vec<u8> =
        (1..=2000).flat_map(|id| Message::new(TOPIC, id, format!("{id}:{}", "x".repeat(200))).bytes()).collect();
    for part in all.chunks(7001) {
        link.raw(part.to_vec());
    }
    let mut receipts = Vec::new();
    for id in 1..=2000 {
        let delivery = next(&mut session).await;
        assert!(delivery.packet.payload.starts_with(format!("{id}:").as_bytes()));
        receipts.push(receipt(delivery));
    }
    session.acks.release(&receipts);
    assert_eq!(link.acks_until(2000).await, (1..=2000).collect::<Vec<u16>>());
}

#[tokio::test]
async fn gaps_that_a_lane_had_no_room_for_are_told_as_one() {
    let (broker, mut session, mut link) = session().await;
    let mut ends = Vec::new();
    for _ in 0..GAPS_MAX + 2 {
        ends.push(rideguard::clock::now());
        drop(link);
        link = broker.link(&client_id(Lane(1), fake_broker::PASSWORD)).await;
        // It speaks when it is connected, so the gap has been told, or had no room.
        link.send(&Message::new(TOPIC, 1, "here"));
        next(&mut session).await;
    }
    let mut told = Vec::new();
    while let Ok(Entry::Gap { from, to, .. }) = session.gaps.try_recv() {
        told.push((from, to));
    }
    assert_eq!(told.len(), GAPS_MAX);
    drop(link);
    let _link = broker.link(&client_id(Lane(1), fake_broker::PASSWORD)).await;
    let last = tokio::time::timeout(PATIENCE, session.gaps.recv()).await.expect("no gap").expect("the session ended");
    // The first connection was a gap, too, so that the last three breaks are those without room.
    let Entry::Gap { from, to, .. } = last else { panic!("{last:?}") };
    assert!(from >= ends[GAPS_MAX - 1] && from < ends[GAPS_MAX] && to > from, "{from} to {to}, broken at {ends:?}");
}

#[tokio::test]
async fn whatever_the_broker_does_only_released_messages_are_acknowledged() {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed("session"));
    let (broker, mut session, mut link) = session().await;
    for _ in 0..30 {
        broker.keep_sessions(random.random());
        // Every connection begins its ids anew, in an order of its own, with repeats of old payloads.
        let first = random.random_range(1..5);
        let ids: Vec<u16> = (first..first + random.random_range(1..40)).collect();
        for id in &ids {
            link.send(&Message { dup: random.random(), ..Message::new(TOPIC, *id, format!("message {id}")) });
        }
        let mut receipts = Vec::new();
        for _ in &ids {
            receipts.push(receipt(next(&mut session).await));
        }
        let released = random.random_range(0..=ids.len());
        session.acks.release(&receipts[..released]);
        if random.random() {
            // The rest is released around the cut: before, within or after it.
            let (acks, rest) = (session.acks.clone(), receipts.split_off(released));
            let late = tokio::spawn(async move { acks.release(&rest) });
            drop(link);
            link = broker.link(&client_id(Lane(1), fake_broker::PASSWORD)).await;
            late.await.unwrap();
        } else {
            if released > 0 {
                assert_eq!(link.acks_until(ids[released - 1]).await, ids[..released]);
            }
            drop(link);
            link = broker.link(&client_id(Lane(1), fake_broker::PASSWORD)).await;
        }
        // On the new connection: one that is not released, one that is.
        link.send(&Message::new(TOPIC, 1, "not released"));
        link.send(&Message::new(TOPIC, 60_000, "released"));
        let (_, last) = (next(&mut session).await, next(&mut session).await);
        session.acks.release(&[receipt(last)]);
        assert_eq!(link.acks_until(60_000).await, [60_000], "only what was released on this connection");
    }
}

#[tokio::test]
async fn what_was_read_before_the_connection_broke_is_delivered_but_not_acknowledged() {
    let (broker, mut session, link) = session().await;
    let mut together: Vec<u8> = (1..=8).flat_map(|id| Message::new(TOPIC, id, format!("old {id}")).bytes()).collect();
    together.extend(malformed());
    link.raw(together);
    // The broker has lost the session, so it sends none of these again: they exist only here.
    let mut link = broker.link(&client_id(Lane(1), fake_broker::PASSWORD)).await;
    let mut receipts = Vec::new();
    for id in 1..=8 {
        let delivery = next(&mut session).await;
        assert_eq!(delivery.packet.payload, format!("old {id}").into_bytes());
        receipts.push(receipt(delivery));
    }
    link.send(&Message::new(TOPIC, 1, "new 1"));
    link.send(&Message::new(TOPIC, 2, "new 2"));
    let (_, second) = (next(&mut session).await, next(&mut session).await);
    session.acks.release(&receipts);
    session.acks.release(&[receipt(second)]);
    assert_eq!((link.ack().await, session.acks.suppressed()), (2, 8));
}

#[tokio::test]
async fn an_oversize_packet_is_taken_after_three_connections_and_blocks_nothing() {
    let (broker, mut session, mut link) = session().await;
    broker.keep_sessions(true);
    let queue = [
        Message::new(TOPIC, 1, "ahead"),
        Message::new(TOPIC, 2, vec![b'x'; PACKET_BYTES_MAX + 1000]),
        Message::new("v1/17/b/up", 3, "behind"),
    ];
    let send_all = |link: &Link| queue.iter().for_each(|message| link.send(message));
    let (mut connections, mut seen) = (1, BTreeSet::new());
    send_all(&link);
    while !seen.contains(&"behind".len()) {
        tokio::select! {
            delivery = next(&mut session) => {
                seen.insert(delivery.packet.payload.len());
                session.acks.release(&[receipt(delivery)]);
            }
            // A broker that keeps the session redelivers everything that is not acknowledged.
            () = link.ended() => {
                connections += 1;
                assert!(connections <= 4, "the packet has ended {connections} connections");
                link = broker.link(&client_id(Lane(1), fake_broker::PASSWORD)).await;
                send_all(&link);
            }
        }
    }
    assert_eq!(connections, 3, "two connections are enough to see a loop");
    assert!(seen.contains(&(PACKET_BYTES_MAX + 1)), "cut to one byte beyond the limit: {seen:?}");
    assert_eq!(link.acks_until(3).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_subscription_that_is_refused_or_without_acknowledgements_is_none() {
    for grant in [Grant::Nothing, Grant::Qos0] {
        let broker = FakeBroker::start().await;
        broker.grant(grant);
        let subscribed = Subscribed::default();
        let session = Session::start(&broker.settings(), Lane(1), subscribed.clone(), false).unwrap();
        let link = broker.link(&client_id(Lane(1), fake_broker::PASSWORD)).await;
        link.ended().await; // it tries again on another connection
        assert_eq!(subscribed.count(), 0, "{grant:?}");
        broker.grant(Grant::Qos1);
        let since = std::time::Instant::now();
        while subscribed.count() == 0 {
            assert!(since.elapsed() < PATIENCE, "it has not subscribed");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        drop(session);
    }
}
