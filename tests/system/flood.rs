//! One tracker's credential sends as much as the broker takes: nobody else notices, and it is counted.

use crate::field::jt808;
use crate::harness::{PATIENCE, Up, topic, use_ring};
use nix::sys::signal::Signal;
use rand::RngCore;
use rideguard::clock::now;
use rideguard::config::Config;
use rideguard::domain::Shard;
use rideguard::supervisor::broker::PACKET_BYTES_MAX;
use rumqttc::{AsyncClient, Event, EventLoop, Packet, QoS};
use std::time::{Duration, Instant};

/// How long the flood lasts. Its tracker is cut within the first second.
const FLOOD: Duration = Duration::from_secs(12);
/// How long an idle system is watched first.
const IDLE: Duration = Duration::from_secs(5);
/// Between two messages of one of the others.
const EVERY: Duration = Duration::from_millis(100);
/// What 99 of 100 answers to the others may take, in a debug build on a machine with much other work. Measured on two processors
/// with a load of 12: 1.4 to 3.0 s, half of the answers 0.3 to 0.6 s. Without reading on and quota it was longer than the flood.
const P99_MAX: Duration = Duration::from_secs(6);
/// What a flood may add to the database, beside what others send. It was 70 KB for each large message before there was a quota.
const GROWTH_BYTES_MAX: i64 = 16 << 20;

/// Whether their slice is open or closed.
const FIXES: &str = "SELECT tracker_id FROM fix UNION ALL SELECT tracker_id FROM fix_late";

/// A tracker at the broker.
struct Speaker {
    ident: String,
    client: AsyncClient,
    events: EventLoop,
}

impl Speaker {
    async fn connect(up: &Up, (ident, password): (String, String)) -> Self {
        let mut broker = Config::read(&up.config()).unwrap().broker;
        let secret = up.folder.join(format!("secret-{ident}"));
        std::fs::write(&secret, password).unwrap();
        (broker.username, broker.password_file, broker.socket) = (ident.clone(), secret, None);
        let since = Instant::now();
        loop {
            let options = rideguard::ingest::client_options::options(&broker, &ident).unwrap();
            let (client, mut events) = AsyncClient::new(options, 100);
            if let Ok(Event::Incoming(Packet::ConnAck(_))) = events.poll().await {
                return Self { ident, client, events };
            }
            assert!(since.elapsed() < PATIENCE, "{ident} is not admitted");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends what `next` gives until it gives nothing, as fast as the broker takes it; how many it acknowledged: all.
    async fn send_all(&mut self, mut next: impl FnMut() -> Option<Vec<u8>>) -> i64 {
        let (topic, mut sent, mut acked, mut waiting) = (topic(&self.ident), 0, 0, next());
        while waiting.is_some() || acked < sent {
            if let Some(payload) = waiting.take() {
                match self.client.try_publish(topic.clone(), QoS::AtLeastOnce, false, payload.clone()) {
                    Ok(()) => {
                        sent += 1;
                        waiting = next();
                        if sent % 50 != 0 && waiting.is_some() {
                            continue; // some at a time into one record
                        }
                    }
                    Err(_) => waiting = Some(payload), // no room before the broker has taken some
                }
            }
            if let Event::Incoming(Packet::PubAck(_)) = self.events.poll().await.expect("the broker keeps the sender") {
                acked += 1;
            }
        }
        sent
    }

    /// A location each [`EVERY`], answered by JT/T 808, until a time: how long each answer took.
    async fn ask_until(&mut self, until: Instant, serial: &mut u16) -> Vec<Duration> {
        let (mut took, start) = (Vec::new(), now().plus_secs_f64(-3600.0));
        self.client.subscribe(topic(&self.ident).replace("/up", "/down"), QoS::AtLeastOnce).await.unwrap();
        loop {
            if let Event::Incoming(Packet::SubAck(_)) = self.events.poll().await.unwrap() {
                break;
            }
        }
        while Instant::now() < until {
            // One fix a second of the past: each is a row of its own.
            let message = jt808(&self.ident, start.plus_secs_f64(f64::from(*serial)), 0, *serial);
            *serial += 1;
            let asked = Instant::now();
            self.client.publish(topic(&self.ident), QoS::AtLeastOnce, false, message).await.unwrap();
            let answer =
                async { while !matches!(self.events.poll().await.unwrap(), Event::Incoming(Packet::Publish(_))) {} };
            tokio::time::timeout(PATIENCE, answer).await.expect("an answer");
            took.push(asked.elapsed());
            tokio::time::sleep(EVERY).await;
        }
        took
    }
}

/// Random bytes, so many with the head of the MQTT packet.
fn garbage(ident: &str, packet_bytes: usize) -> Vec<u8> {
    let mut payload = vec![0; packet_bytes - topic(ident).len() - 16];
    rand::rng().fill_bytes(&mut payload);
    payload
}

fn percentile(took: &mut [Duration], percent: usize) -> Duration {
    took.sort_unstable();
    took[(took.len() * percent).div_ceil(100) - 1]
}

/// Everybody's books agree.
fn checked(up: &Up) {
    for check in [up.command(&["verify"]), up.command(&["rebuild", "--check"])] {
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_tracker_holds_up_nobody_and_is_counted_to_the_last_packet() {
    let took = flood_with(PACKET_BYTES_MAX).await;
    println!("security.answer_of_others_under_flood_p99: {:.0} ms", took.as_secs_f64() * 1000.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_small_packets_holds_up_nobody_either() {
    flood_with(300).await;
}

/// Floods with packets of a size, and says what 99 of 100 answers to others of the same lane took at most.
async fn flood_with(packet_bytes: usize) -> Duration {
    use_ring();
    let up = Up::start(96, &[]).await;
    let lane = |ident: &str| Shard::of(ident).lane();
    let trackers: Vec<_> = (0..96).map(|n| up.tracker(n)).collect();
    let speaks_jt808 = |ident: &str| ident.starts_with("0138");
    let asking = |is_beside: &dyn Fn(&str) -> bool| {
        let found = trackers.iter().filter(|(i, _)| speaks_jt808(i) && is_beside(i)).take(2);
        found.cloned().collect::<Vec<_>>()
    };
    let beside_of = |own: &str| asking(&|i| lane(i) == lane(own));
    let flooder = trackers.iter().find(|(i, _)| !speaks_jt808(i) && beside_of(i).len() == 2).expect("such a tracker");
    let (beside, elsewhere) = (beside_of(&flooder.0), asking(&|i| lane(i) != lane(&flooder.0)));
    let mut others = Vec::new();
    for (is_beside, tracker) in beside.into_iter().map(|t| (true, t)).chain(elsewhere.into_iter().map(|t| (false, t))) {
        others.push((is_beside, Speaker::connect(&up, tracker).await, 0));
    }
    let mut flood = Speaker::connect(&up, flooder.clone()).await;

    let (idle_until, idle_others) = (Instant::now() + IDLE, others);
    let asked = idle_others.into_iter().map(|(is_beside, mut other, mut serial)| {
        tokio::spawn(async move {
            let took = other.ask_until(idle_until, &mut serial).await;
            (is_beside, other, serial, took)
        })
    });
    let (mut others, mut idle) = (Vec::new(), Vec::new());
    for asked in asked.collect::<Vec<_>>() {
        let (is_beside, other, serial, took) = asked.await.unwrap();
        others.push((is_beside, other, serial));
        idle.extend(took);
    }
    let size = "SELECT pg_database_size(current_database())";
    let before = up.count(size).await;

    let until = Instant::now() + FLOOD;
    let payloads: Vec<_> = (0..16).map(|_| garbage(&flood.ident, packet_bytes)).collect();
    let flooding = tokio::spawn(async move {
        let mut n = 0;
        let sent = flood.send_all(|| {
            n += 1;
            let mut payload = payloads[n % payloads.len()].clone();
            payload[..8].copy_from_slice(&(n as u64).to_be_bytes()); // each is another
            (Instant::now() < until).then_some(payload)
        });
        (sent.await, flood.ident)
    });
    let asked = others.into_iter().map(|(is_beside, mut other, mut serial)| {
        tokio::spawn(async move {
            let took = other.ask_until(until, &mut serial).await;
            (is_beside, other.ident, serial, took)
        })
    });
    let (mut same_lane, mut other_lanes, mut sent_by_others) = (Vec::new(), Vec::new(), 0);
    for asked in asked.collect::<Vec<_>>() {
        let (is_beside, ident, serial, took) = asked.await.unwrap();
        let sql = format!("SELECT count(*) FROM ({FIXES}) f JOIN tracker USING (tracker_id) WHERE ident = '{ident}'");
        up.wait_for(&sql, i64::from(serial)).await; // nothing of theirs is lost
        sent_by_others += i64::from(serial);
        if is_beside { same_lane.extend(took) } else { other_lanes.extend(took) }
    }
    let (sent, ident) = flooding.await.unwrap();
    up.wait_for("SELECT sum(received)::bigint FROM lane", sent + sent_by_others).await;
    let grown = up.count(size).await - before;
    let of_it = |what: &str| format!("SELECT {what}::bigint FROM quarantine WHERE ident = '{ident}'");
    let kept = up.count(&of_it("count(*) FILTER (WHERE reason = 'decode')")).await;
    let cut = up.count(&of_it("sum(packets) FILTER (WHERE reason = 'flood')")).await;
    let rows = up.count(&of_it("count(*) FILTER (WHERE reason = 'flood')")).await;
    let asked = same_lane.len();
    let ms = |took: Duration| took.as_secs_f64() * 1000.0;
    println!(
        "flood: {sent} packets of {packet_bytes} bytes in {FLOOD:.0?}: {kept} kept, {cut} cut in {rows} rows, database {:+.1} MB",
        grown as f64 / 1e6
    );
    println!(
        "{asked} answers in the same lane: p50 {:.0} ms, p99 {:.0} ms; other lanes p99 {:.0} ms; idle p99 {:.0} ms",
        ms(percentile(&mut same_lane, 50)),
        ms(percentile(&mut same_lane, 99)),
        ms(percentile(&mut other_lanes, 99)),
        ms(percentile(&mut idle, 99))
    );
    let same_lane = percentile(&mut same_lane, 99);
    assert_eq!(kept + cut, sent, "what was sent is what was kept and what was cut");
    assert!((1..3_000).contains(&kept), "{kept} kept"); // some dozen large ones; a batch of small ones each turn
    assert_eq!(up.count("SELECT sum(received)::bigint FROM lane").await, sent + sent_by_others);
    let whole = "SELECT count(*) FROM quarantine WHERE length(payload) > 256 OR payload_bytes IS NULL";
    assert_eq!(up.count(whole).await, 0, "no payload is kept twice");
    let page = up.metrics().await;
    assert!(page.contains(&format!("rideguard_packets_over_quota_total {cut}")), "{page}");
    checked(&up);
    assert!(grown < GROWTH_BYTES_MAX, "the database grew by {grown} bytes");
    assert!(same_lane < P99_MAX, "{same_lane:?}");
    same_lane
}

/// Two days of a fix each ten seconds, sent in one go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_twenty_thousand_packets_of_one_tracker_is_stored_whole() {
    const PACKETS: i64 = 20_000;
    use_ring();
    let up = Up::start(4, &[]).await;
    let mut tracker = Speaker::connect(&up, up.tracker(0)).await;
    let (ident, start_ms, since) = (tracker.ident.clone(), now().micros() / 1000 - PACKETS * 10_000, Instant::now());
    let mut messages = (0..PACKETS).map(|n| {
        let t = start_ms + n * 10_000;
        format!(r#"{{"v":1,"id":"{ident}","seq":{n},"fixes":[{{"t":{t},"lat":28.55,"lon":112.35}}]}}"#).into_bytes()
    });
    let sent = tracker.send_all(|| messages.next()).await;
    up.wait_for("SELECT sum(received)::bigint FROM lane", PACKETS).await;
    let took_s = since.elapsed().as_secs_f64();
    println!("backlog: {sent} packets of one tracker stored in {took_s:.1} s");
    let stored = up.count("SELECT sum(stored)::bigint FROM lane").await;
    let aside = up.count("SELECT count(*) FROM quarantine").await;
    assert_eq!((sent, stored, aside), (PACKETS, PACKETS, 0));
    assert_eq!(up.count(&format!("SELECT count(*) FROM ({FIXES}) f")).await, PACKETS);
    assert!(up.command(&["verify"]).status.success());
}

/// PostgreSQL is away, and the spool is a file of this machine's disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_fill_the_spool_and_is_counted_when_the_database_is_back() {
    use_ring();
    let up = Up::start(4, &[]).await;
    let mut flood = Speaker::connect(&up, up.tracker(0)).await;
    let garbage = garbage(&flood.ident, PACKET_BYTES_MAX);
    let mut send = async |count: usize| {
        let mut left = std::iter::repeat_n(garbage.clone(), count);
        flood.send_all(|| left.next()).await
    };
    send(1).await;
    up.wait_for("SELECT sum(received)::bigint FROM lane", 1).await;
    up.signal("services/postgres/data/postmaster.pid", Signal::SIGSTOP);
    up.end_backends();
    let lane = Shard::of(&up.tracker(0).0).lane().0;
    let spool = up.folder.join(format!("spool/lane-{lane:02}"));
    let (mut sent, mut bytes_max, mut is_spooled, since) = (1, 0, false, Instant::now());
    while !is_spooled || sent < 1_000 {
        assert!(since.elapsed() < PATIENCE, "nothing goes to the spool:\n{}", up.log());
        sent += send(100).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let bytes: u64 = std::fs::read_dir(&spool).unwrap().filter_map(|f| Some(f.ok()?.metadata().ok()?.len())).sum();
        is_spooled |= bytes > 0;
        bytes_max = bytes_max.max(bytes);
    }
    up.signal("services/postgres/data/postmaster.pid", Signal::SIGCONT);
    up.wait_for("SELECT sum(received)::bigint FROM lane", sent).await;
    println!("flood: {sent} packets of {PACKET_BYTES_MAX} bytes, at most {bytes_max} bytes in the spool");
    assert_eq!(up.count("SELECT sum(packets)::bigint FROM quarantine").await, sent);
    assert!(up.count("SELECT count(*) FROM quarantine WHERE reason = 'flood'").await > 0);
    assert!(bytes_max < 8 << 20, "{bytes_max} bytes in the spool");
    checked(&up);
}
