//! The door under hostile clients: a tracker of the same lane gets its answers as before.

use crate::harness::{Up, topic};
use crate::own_door::{Tls, connect, end_reason, tls, with_door};
use rideguard::clock::now;
use rideguard::domain::Shard;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long each attack lasts.
const ATTACK: Duration = Duration::from_secs(8);
/// Longest that nineteen of twenty answers may take beside an attack, beyond what they take without one.
const ANSWER_MAX: Duration = Duration::from_millis(100);

/// A PUBLISH with QoS 1 of MQTT 3.1.1, or QoS 0 where `id` is 0.
fn publish(topic: &str, id: u16, payload: &str) -> Vec<u8> {
    let id = if id == 0 { Vec::new() } else { id.to_be_bytes().to_vec() };
    let first = if id.is_empty() { 0x30 } else { 0x32 };
    let body = [&(topic.len() as u16).to_be_bytes()[..], topic.as_bytes(), &id, payload.as_bytes()].concat();
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        packet.push((left & 0x7f) as u8 | if left > 0x7f { 0x80 } else { 0 });
        left >>= 7;
        if left == 0 {
            break;
        }
    }
    [packet, body].concat()
}

fn report(ident: &str, number: u32) -> String {
    let at_ms = now().micros() / 1000;
    let lat = 28.5 + f64::from(number % 1000) * 1e-5;
    format!(r#"{{"v":1,"id":"{ident}","fixes":[{{"t":{at_ms},"lat":{lat},"lon":112.35}}]}}"#)
}

fn logged_in(up: &Up, (ident, password): &(String, String)) -> Tls {
    let mut stream = tls(up, up.door_port().unwrap());
    stream.write_all(&connect(ident, password, true)).unwrap();
    let mut welcome = [0; 4];
    stream.read_exact(&mut welcome).unwrap();
    assert_eq!(welcome, [0x20, 2, 0, 0]);
    stream
}

/// A tracker that publishes, and how long each acknowledgement takes; and whether it ever had to connect again.
struct Witness<'a> {
    up: &'a Up,
    tracker: (String, String),
    stream: Tls,
    sent: u32,
}

impl<'a> Witness<'a> {
    fn new(up: &'a Up, tracker: (String, String)) -> Self {
        Self { up, stream: logged_in(up, &tracker), tracker, sent: 0 }
    }

    /// Publishes until `is_over`; median, the nineteenth of twenty, and the longest.
    fn watch(&mut self, is_over: impl Fn() -> bool) -> [Duration; 3] {
        let mut took = Vec::new();
        while !is_over() {
            self.sent += 1;
            let id = (self.sent % 60_000 + 1) as u16;
            let packet = publish(&topic(&self.tracker.0), id, &report(&self.tracker.0, self.sent));
            let at = Instant::now();
            self.stream.write_all(&packet).unwrap();
            let mut answer = [0; 4];
            self.stream.read_exact(&mut answer).unwrap_or_else(|e| panic!("{e}: {}", self.up.log()));
            assert_eq!(answer, [0x40, 2, (id >> 8) as u8, id as u8]);
            took.push(at.elapsed());
            std::thread::sleep(Duration::from_millis(40));
        }
        took.sort_unstable();
        [took[took.len() / 2], took[took.len() * 19 / 20], took[took.len() - 1]]
    }
}

/// Strangers that let others wait: some bytes of TLS, one more now and then; TLS and some bytes of CONNECT; lengths of 256 MiB;
/// and connections, as many as there can be.
fn strangers(up: &Up, is_over: &AtomicBool, tries: &AtomicU64) {
    let port = up.door_port().unwrap();
    let open = || TcpStream::connect(("127.0.0.1", port)).ok();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut slow: Vec<TcpStream> = (0..300).filter_map(|_| open()).collect();
            let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
            for byte in hello.iter().cycle() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                slow.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        scope.spawn(move || {
            let half = |bytes: &[u8]| {
                let mut stream = tls(up, port);
                stream.write_all(bytes).and_then(|()| stream.flush()).ok().map(|()| stream)
            };
            let _held: Vec<_> = (0..30).map(|_| half(&connect("somebody", "x", true)[..9])).collect();
            while !is_over.load(Ordering::Relaxed) {
                drop(half(&[0x10, 0xff, 0xff, 0xff, 0x7f]));
                drop(half(&[0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]));
            }
        });
        scope.spawn(move || {
            let mut held = std::collections::VecDeque::new();
            std::thread::sleep(ATTACK / 4); // the others come in first
            while !is_over.load(Ordering::Relaxed) {
                held.extend(open());
                tries.fetch_add(1, Ordering::Relaxed);
                if held.len() > 2000 {
                    held.pop_front();
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        });
    });
}

/// One tracker that connects again and again, 200 times a second, each time instead of itself.
fn takeovers(up: &Up, tracker: &(String, String), is_over: &AtomicBool, tries: &AtomicU64) {
    const THREADS: u32 = 4;
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(move || {
                let began = Instant::now();
                let mut before = None;
                for n in 1.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut stream = tls(up, up.door_port().unwrap());
                    if stream.write_all(&connect(&tracker.0, &tracker.1, true)).is_ok() {
                        tries.fetch_add(1, Ordering::Relaxed);
                    }
                    before.replace(stream);
                    std::thread::sleep((Duration::from_millis(5) * THREADS * n).saturating_sub(began.elapsed()));
                }
            });
        }
    });
}

/// One tracker that says as much as its connection takes: by turns short messages without acknowledgement, and long ones with.
fn flood(up: &Up, tracker: &(String, String), is_over: &AtomicBool, tries: &AtomicU64) {
    let topic = topic(&tracker.0);
    let filler = "x".repeat(60_000);
    for turn in 0.. {
        let mut stream = logged_in(up, tracker);
        stream.sock.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let since = Instant::now();
        for n in 1..60_000_u16 {
            let packet = match turn % 2 {
                0 => publish(&topic, 0, &report(&tracker.0, n.into())),
                _ => publish(&topic, n, &filler),
            };
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            if since.elapsed() > ATTACK / 4 || stream.write_all(&packet).is_err() {
                break;
            }
            tries.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The attackers hold more sockets than a shell's usual 1,024.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard >= 4096, "the hard limit of file descriptors is {hard}; this test needs 4,096 (ulimit -Hn)");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_hostile_clients_do_others_of_the_lane_are_answered_as_before() {
    raise_descriptors();
    let up = with_door(40).await;
    // Of the twenty that speak JSON two share one of the sixteen lanes.
    let trackers: Vec<_> = (0..40).step_by(2).map(|n| up.tracker(n)).collect();
    let lane_of = |n: usize| Shard::of(&trackers[n].0).0 % 16;
    let pairs = (0..20).flat_map(|a| (a + 1..20).map(move |b| (a, b)));
    let (a, b) = pairs.into_iter().find(|(a, b)| lane_of(*a) == lane_of(*b)).unwrap();
    let (own, hostile) = (trackers[a].clone(), trackers[b].clone());
    let figures = tokio::task::block_in_place(|| {
        let mut witness = Witness::new(&up, own.clone());
        let since = Instant::now();
        let calm = witness.watch(|| since.elapsed() > Duration::from_secs(5));
        type Attack = fn(&Up, &(String, String), &AtomicBool, &AtomicU64);
        let attacks: [(&str, Attack); 3] = [
            ("strangers", |up, _, is_over, tries| strangers(up, is_over, tries)),
            ("takeovers", takeovers),
            ("flood", flood),
        ];
        let mut figures = vec![("calm", calm, 0)];
        for (name, attack) in attacks {
            let (is_over, tries) = (AtomicBool::new(false), AtomicU64::new(0));
            let watched = std::thread::scope(|scope| {
                scope.spawn(|| attack(&up, &hostile, &is_over, &tries));
                let since = Instant::now();
                let watched = witness.watch(|| since.elapsed() > ATTACK);
                is_over.store(true, Ordering::Relaxed);
                watched
            });
            figures.push((name, watched, tries.into_inner()));
        }
        figures
    });
    for (name, [median, most, longest], tries) in &figures {
        println!("door.answer_beside_{name}: median {median:?}, 95 % {most:?}, longest {longest:?}; {tries} tries");
    }
    let calm = figures[0].1;
    for (name, [_, most, _], tries) in &figures[1..] {
        assert!(*tries as f64 >= 50.0 * ATTACK.as_secs_f64(), "{name}: {tries} tries are no attack");
        assert!(*most <= ANSWER_MAX + calm[1], "{name}: {most:?}, and {:?} without", calm[1]);
    }
    let metrics = up.metrics().await;
    for (reason, least) in [("malformed", 20), ("crowded", 1)] {
        assert!(end_reason(&metrics, reason) >= least, "{reason}: {metrics}");
    }
    let takeovers = metrics.lines().find_map(|line| line.strip_prefix("rideguard_door_takeovers_total "));
    assert!(takeovers.is_some_and(|n| n.parse::<u64>().unwrap() >= 400), "{metrics}");
}
