//! The whole pipeline behind a broker that misbehaves (F-04, F-05, F-10): it loses sessions, begins packet
//! ids at 1 again, redelivers under other ids, marks repetitions or does not, breaks off in the middle, and
//! never stops sending one message. What it was told to forget is in the journal, and all counts once.

use crate::fake_broker::{FakeBroker, Link, Message, malformed};
use crate::faults::{arm, theft};
use crate::harness::{seed, topic};
use crate::support::oracle::{Notes, judge};
use crate::support::role::Differs;
use crate::support::world::{World, note};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rideguard::domain::{Lane, Shard};
use rideguard::ingest::client_options::client_id;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;

/// Every second one speaks our JSON, as the messages here.
const VEHICLES: usize = 32;
/// Connections of each lane that has trackers.
const ROUNDS: u64 = 12;
/// Messages of each tracker but the stolen one, which has its own.
const MESSAGES: i64 = 20;

/// A topic and a payload.
type Text = (String, Vec<u8>);

/// What the broker keeps for the session of one lane.
struct Queue {
    client: String,
    /// Not sent yet, in order.
    fresh: VecDeque<Text>,
    /// Sent and not acknowledged, in order.
    owed: Vec<Text>,
    /// Acknowledged: the broker must forget it, and does not always.
    done: Vec<Text>,
}

#[tokio::test]
async fn behind_a_broker_that_misbehaves_nothing_acknowledged_is_lost_and_nothing_counts_twice() {
    let seed = seed("behind_a_broker_that_misbehaves");
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::without_a_door(VEHICLES, seed).await;
    let broker = FakeBroker::start().await;
    let differs = Differs { broker_port: Some(broker.port), ca_file: Some(broker.ca_file()), ..Differs::default() };
    let (mut ingest, _notify) = (world.ingest(&differs), world.notify());
    world.is_served_by(&ingest).await;
    arm(&world, &world.up.tracker(0).0).await;

    let mut queues = queues(&world);
    for round in 0..ROUNDS {
        if round % 5 == 4 {
            ingest.start_again(None); // kill -9
            world.end_leases().await;
        }
        for queue in &mut queues {
            broker.keep_sessions(random.random());
            let link = broker.link(&queue.client).await;
            queue.misbehave(link, &mut random).await;
        }
    }
    for queue in &mut queues {
        while !(queue.owed.is_empty() && queue.fresh.is_empty()) {
            let link = broker.link(&queue.client).await;
            queue.behave(link).await;
        }
    }
    let mut notes = Notes::default();
    for (_, payload) in queues.iter().flat_map(|q| &q.done) {
        let payload = hex::encode(Sha256::digest(payload));
        notes.sent.insert(payload.clone());
        notes.acknowledged.insert(payload, rideguard::clock::now().micros() / 1000);
    }
    let verdict = judge(&world.up, &notes, 0, Some(&world.sink)).await;
    note("F-04, F-10 a broker that misbehaves (connections)", ROUNDS * queues.len() as u64, seed, &verdict);
    verdict.must_be_clean();
}

/// By lane: the messages of its trackers, those of one tracker in their order.
fn queues(world: &World) -> Vec<Queue> {
    let password = rideguard::config::read_secret(&world.config().broker.password_file).unwrap();
    let start_ms = rideguard::clock::now().micros() / 1000 - 600_000;
    let mut queues: Vec<(Lane, Queue)> = Vec::new();
    for n in (0..VEHICLES).step_by(2) {
        let ident = world.up.tracker(n).0;
        let parked = (0..MESSAGES).map(|i| {
            let (t, lat) = (start_ms + i * 20_000, 28.5 + n as f64 * 0.01);
            let text = format!(r#"{{"v":1,"id":"{ident}","seq":{i},"fixes":[{{"t":{t},"lat":{lat},"lon":112.3}}]}}"#);
            (topic(&ident), text.into_bytes())
        });
        let messages: Vec<Text> = if n == 0 { theft(&ident) } else { parked.collect() };
        let lane = Shard::of(&ident).lane();
        match queues.iter_mut().find(|(l, _)| *l == lane) {
            Some((_, queue)) => queue.fresh.extend(messages),
            None => {
                let client = client_id(lane, &password);
                queues.push((lane, Queue { client, fresh: messages.into(), owed: Vec::new(), done: Vec::new() }));
            }
        }
    }
    queues.into_iter().map(|(_, queue)| queue).collect()
}

impl Queue {
    /// One connection, to its bitter end.
    async fn misbehave(&mut self, link: Link, random: &mut StdRng) {
        let fresh = random.random_range(0..=self.fresh.len().min(15));
        self.owed.extend(self.fresh.drain(..fresh));
        let mut sent = self.owed.clone();
        // The first that it was ever told to forget comes again for ever, others now and then.
        sent.extend(self.done.first().cloned());
        sent.extend(self.done.choose_multiple(random, 3).cloned());
        let first = random.random_range(1..=3);
        let mut together = Vec::new();
        for (id, (topic, payload)) in (first..).zip(&sent) {
            together.extend(Message { dup: random.random(), ..Message::new(topic, id, payload.clone()) }.bytes());
        }
        let is_broken_off = random.random_ratio(1, 4);
        if is_broken_off {
            together.extend(malformed());
        }
        link.raw(together);
        let awaited = if is_broken_off { sent.len() } else { random.random_range(0..=sent.len()) };
        self.take_acks(link, first, &sent, awaited).await;
    }

    /// One connection as it should be.
    async fn behave(&mut self, link: Link) {
        self.owed.extend(self.fresh.drain(..));
        let sent = self.owed.clone();
        for (id, (topic, payload)) in (1..).zip(&sent) {
            link.send(&Message::new(topic, id, payload.clone()));
        }
        self.take_acks(link, 1, &sent, sent.len()).await;
    }

    /// Waits for so many acknowledgements or the end of the connection, then cuts it.
    async fn take_acks(&mut self, mut link: Link, first: u16, sent: &[Text], awaited: usize) {
        for _ in 0..awaited {
            let Some(id) = link.ack_or_end().await else { break };
            let text = &sent[usize::from(id - first)];
            if let Some(place) = self.owed.iter().position(|owed| owed == text) {
                self.done.push(self.owed.remove(place));
            }
        }
    }
}
