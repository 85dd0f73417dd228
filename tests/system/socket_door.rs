//! The door for trackers that speak their language without MQTT: real frames on real sockets.

use crate::harness::{PATIENCE, Up, free_port, use_ring};
use rideguard::protocol::jt808::escape_frame;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const LANGUAGES: [&str; 4] = ["gt06", "h02", "jt808", "teltonika"];

/// A system with a port for each language, and the ports, in their order.
pub async fn with_sockets(more: &[&str]) -> (Up, [u16; 4]) {
    use_ring();
    let ports = [(); 4].map(|()| free_port());
    let flags: Vec<String> = LANGUAGES.iter().zip(ports).map(|(l, port)| format!("--door-tcp={l}={port}")).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    (Up::start(3, &flags).await, ports)
}

/// Registers a tracker as an operator does, by the program.
pub fn register(up: &Up, ident: &str, language: &str, transport: &str) {
    let told = up.command(&["admin", "tracker", ident, "--protocol", language, "--transport", transport]);
    assert!(told.status.success(), "{told:?}");
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Says something, and hears so many bytes, or what came before the end.
pub fn ask(stream: &mut TcpStream, words: &[u8], bytes: usize) -> Vec<u8> {
    stream.write_all(words).unwrap();
    let mut heard = Vec::new();
    drop(stream.take(bytes as u64).read_to_end(&mut heard));
    heard
}

/// Whether the other side has ended the connection, after what it still said.
pub fn is_ended(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    !matches!(stream.read_to_end(&mut rest), Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
}

/// Logs in until it is let in: a tracker that was registered a moment ago is known within a second.
pub fn enter(port: u16, login: &[u8], answer: &[u8]) -> TcpStream {
    let since = Instant::now();
    loop {
        let mut stream = connect(port);
        if ask(&mut stream, login, answer.len()) == answer {
            return stream;
        }
        assert!(since.elapsed() < PATIENCE, "it is not let in");
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn gt06(number: u8, content: &[u8], serial: u16) -> Vec<u8> {
    rideguard::protocol::gt06::build(false, number, content, serial).to_vec()
}

/// Log-in of GT06: the IMEI in BCD, behind a leading zero.
pub fn gt06_login(imei: &str) -> Vec<u8> {
    gt06(1, &hex::decode(format!("0{imei}")).unwrap(), 1)
}

/// The clock of a packet with this number: a second later than that of the one before, as trackers' clocks count.
fn at(number: u16) -> rideguard::domain::Timestamp {
    rideguard::clock::now().plus_secs_f64(f64::from(number) - 300.0)
}

/// A place of GT06 (0x12): 28.6° N, 112.35° E.
fn gt06_place(serial: u16) -> Vec<u8> {
    let (year, rest) = at(serial).civil_utc().unwrap();
    let mut content = vec![(year - 2000) as u8];
    content.extend(rest);
    content.push(0xc9);
    content.extend((28.6_f64 * 1_800_000.0).round().to_string().parse::<u32>().unwrap().to_be_bytes());
    content.extend((112.35_f64 * 1_800_000.0).round().to_string().parse::<u32>().unwrap().to_be_bytes());
    content.extend([0, 0x14, 0, 1, 0xcc, 0, 0x28, 0x7d, 0, 0x1f, 0xb8]);
    gt06(0x12, &content, serial)
}

/// A message of JT/T 808 (2013).
pub fn jt808(message: u16, phone: &str, sequence: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x7e];
    frame.extend(message.to_be_bytes());
    frame.extend((body.len() as u16).to_be_bytes());
    frame.extend(hex::decode(format!("{phone:0>12}")).unwrap());
    frame.extend(sequence.to_be_bytes());
    frame.extend(body);
    frame.push(frame[1..].iter().fold(0, |sum, byte| sum ^ byte));
    frame.push(0x7e);
    escape_frame(&frame)
}

pub fn jt808_register(phone: &str, terminal: &str) -> Vec<u8> {
    let said = format!("MAKER{:0<20}{terminal:0<7}", "MODEL");
    jt808(0x0100, phone, 1, &[&[0, 43, 0, 100][..], said.as_bytes(), &[1]].concat())
}

/// A place of JT/T 808 (0x0200), its clock in GMT+8.
pub fn jt808_place(phone: &str, sequence: u16) -> Vec<u8> {
    let (year, rest) = at(sequence).plus_secs_f64(8.0 * 3600.0).civil_utc().unwrap();
    let bcd = |n: u8| ((n / 10) << 4) | (n % 10);
    let mut body = [0, 0, 0, 0, 0, 0, 0, 3].to_vec();
    body.extend(28_600_000_u32.to_be_bytes());
    body.extend(112_350_000_u32.to_be_bytes());
    body.extend([0, 50, 0, 0, 0, 0, bcd((year - 2000) as u8)]);
    body.extend(rest.map(bcd));
    jt808(0x0200, phone, sequence, &body)
}

/// The code in an answer to a registration.
pub fn code_of(answer: &[u8]) -> Option<Vec<u8>> {
    let is_given = answer.get(1..3) == Some(&[0x81, 0]) && answer.get(15) == Some(&0);
    is_given.then(|| answer[16..answer.len() - 2].to_vec())
}

/// Registers until it gets a code, and shows it.
pub fn jt808_enter(port: u16, phone: &str, terminal: &str) -> (TcpStream, Vec<u8>) {
    let since = Instant::now();
    loop {
        let mut stream = connect(port);
        let answer = ask(&mut stream, &jt808_register(phone, terminal), 34);
        if let Some(code) = code_of(&answer) {
            let told = ask(&mut stream, &jt808(0x0102, phone, 2, &code), 20);
            assert_eq!(told[13..18], [0, 2, 1, 2, 0], "it showed the code that it got: {told:02x?}");
            return (stream, code);
        }
        assert!(since.elapsed() < PATIENCE, "it gets no code: {answer:02x?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Teltonika's log-in and a packet of codec 8 with records of now.
pub fn teltonika_login(imei: &str) -> Vec<u8> {
    [&[0, imei.len() as u8][..], imei.as_bytes()].concat()
}

fn teltonika_records(count: u8) -> Vec<u8> {
    let mut data = vec![8, count];
    for n in 0..count {
        data.extend((rideguard::clock::now().micros() as u64 / 1000 - u64::from(count - n) * 1000).to_be_bytes());
        data.push(0);
        data.extend(1_123_500_000_u32.to_be_bytes());
        data.extend(286_000_000_u32.to_be_bytes());
        data.extend([0, 50, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    data.push(count);
    data
}

fn teltonika_packet(count: u8) -> Vec<u8> {
    let data = teltonika_records(count);
    let crc = data.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    });
    [&[0; 4][..], &(data.len() as u32).to_be_bytes(), &data, &u32::from(crc).to_be_bytes()].concat()
}

async fn ended(up: &Up, reason: &str) -> u64 {
    let begin = format!("rideguard_door_ended_total{{reason=\"{reason}\"}} ");
    up.metrics().await.lines().find_map(|line| line.strip_prefix(&begin)).map_or(0, |n| n.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_language_is_answered_and_what_is_answered_is_in_the_journal() {
    let (up, [gt06_port, h02_port, jt808_port, teltonika_port]) = with_sockets(&[]).await;
    for (ident, language) in
        [("860000000000011", "gt06"), ("8600000012", "h02"), ("13800000013", "jt808"), ("860000000000014", "teltonika")]
    {
        register(&up, ident, language, "socket");
    }
    let packets = "SELECT count(*) FROM fix_known";

    let mut stream = enter(gt06_port, &gt06_login("860000000000011"), &gt06(1, &[], 1));
    assert_eq!(ask(&mut stream, &gt06(0x13, &[0x40, 4, 4, 0, 1], 2), 10), gt06(0x13, &[], 2), "a heartbeat");
    assert_eq!(ask(&mut stream, &gt06_place(3), 10), gt06(0x12, &[], 3));
    up.wait_for(packets, 1).await;
    // Cut anywhere, and two in one segment.
    let (two, mut heard) = ([gt06_place(4), gt06_place(5)].concat(), Vec::new());
    for part in two.chunks(7) {
        stream.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    drop((&mut stream).take(20).read_to_end(&mut heard));
    assert_eq!(heard, [gt06(0x12, &[], 4), gt06(0x12, &[], 5)].concat());

    let (_, [month, day, hour, minute, second]) = rideguard::clock::now().civil_utc().unwrap();
    let place = format!(
        "*HQ,8600000012,V1,{hour:02}{minute:02}{second:02},A,2836.0000,N,11221.0000,E,000.00,000,{day:02}{month:02}26,FFFFFBFF#\r\n"
    );
    let stream = enter(h02_port, place.as_bytes(), b"*HQ,8600000012,V4,V1,");
    drop(stream);
    up.wait_for(packets, 4).await;

    let (mut stream, _) = jt808_enter(jt808_port, "13800000013", "TERM13");
    for n in 3..6 {
        let told = ask(&mut stream, &jt808_place("13800000013", n), 20);
        assert_eq!(told[13..18], [0, n as u8, 2, 0, 0], "{told:02x?}");
    }
    up.wait_for(packets, 7).await;
    // In a row with one delimiter between them, as some send what they have kept.
    let (first, second) = (jt808_place("13800000013", 7), jt808(0x0002, "13800000013", 8, &[]));
    let told = ask(&mut stream, &[&first[..], &second[1..]].concat(), 40);
    let answered: Vec<u8> = told.chunks(20).map(|answer| answer[14]).collect();
    assert!(answered.contains(&7) && answered.contains(&8), "{told:02x?}");

    // A modem's words behind a frame are none, and the next frame is heard.
    let words = [&jt808(0x0002, "13800000013", 9, &[])[..], b"AT+CSQ\r\n\0", &jt808_place("13800000013", 10)].concat();
    let told = ask(&mut stream, &words, 40);
    assert_eq!(told.chunks(20).map(|answer| answer[14]).collect::<Vec<_>>(), [9, 10], "{told:02x?}");
    up.wait_for(packets, 9).await;

    let mut stream = enter(teltonika_port, &teltonika_login("860000000000014"), &[1]);
    assert_eq!(ask(&mut stream, &teltonika_packet(5), 4), [0, 0, 0, 5]);
    up.wait_for(packets, 14).await;
    // Sent again before its answer, it is answered once: a second answer would be taken for the next packet's.
    let packet = teltonika_packet(3);
    let mut more = ask(&mut stream, &[&packet[..], &packet].concat(), 4);
    more.extend(ask(&mut stream, &teltonika_packet(2), 4));
    assert_eq!(more, [0, 0, 0, 3, 0, 0, 0, 2]);
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, 0);
    let metrics = up.metrics().await;
    assert!(metrics.contains("rideguard_door_connections{language=\"jt808\",transport=\"plain\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_is_registered_for_a_language_and_a_socket_comes_in() {
    let (up, [gt06_port, h02_port, _, teltonika_port]) = with_sockets(&[]).await;
    register(&up, "860000000000021", "gt06", "socket");
    register(&up, "860000000000022", "gt06", "mqtt");
    register(&up, "860000000000023", "teltonika", "socket");
    let mut stream = enter(gt06_port, &gt06_login("860000000000021"), &gt06(1, &[], 1));
    for (name, port, words) in [
        ("by MQTT only", gt06_port, gt06_login("860000000000022")),
        ("another language", gt06_port, gt06_login("860000000000023")),
        ("unknown", gt06_port, gt06_login("860000000000029")),
        ("no log-in first", gt06_port, gt06_place(1)),
        ("another language's words", teltonika_port, gt06_login("860000000000021")),
        ("a web client", h02_port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(60)),
        ("too long a frame", h02_port, [&b"*HQ,1,V1,"[..], &[b'1'; 2000]].concat()),
    ] {
        let mut refused = connect(port);
        drop(refused.write_all(&words));
        let mut heard = Vec::new();
        drop(refused.read_to_end(&mut heard));
        assert!(heard.is_empty() && is_ended(&mut refused), "{name}: {heard:02x?}");
    }
    // Whoever is in names nobody else.
    drop(stream.write_all(&gt06_login("860000000000022")));
    assert!(is_ended(&mut stream));
    assert!(ended(&up, "foreign").await >= 1 && ended(&up, "refused").await >= 3 && ended(&up, "malformed").await >= 3);
    assert_eq!(up.count("SELECT count(*) FROM fix_known").await, 0);
    // One that is revoked goes, and does not come back.
    let mut stream = enter(gt06_port, &gt06_login("860000000000021"), &gt06(1, &[], 1));
    let admin = up.administrator().await;
    let id = up.sql().await.query_one("SELECT tracker_id FROM tracker WHERE ident = '860000000000021'", &[]).await;
    let path = format!("/trackers/{}/credential", id.unwrap().get::<_, i64>(0));
    let (status, _) = admin.ask("DELETE", &format!("{path}?reason=stolen"), None).await;
    assert_eq!(status, 204);
    assert!(is_ended(&mut stream), "it was revoked");
    assert!(ask(&mut connect(gt06_port), &gt06_login("860000000000021"), 10).is_empty());
    let (status, _) = admin.ask("POST", &path, Some(json!({"reason": "found again"}))).await;
    assert_eq!(status, 201);
    drop(enter(gt06_port, &gt06_login("860000000000021"), &gt06(1, &[], 1)));
    // As the page of operators registers them.
    let batch = |protocol: &str, transport: &str| json!({"idents": ["860000000000025"], "protocol": protocol, "transport": transport});
    for (protocol, transport) in [("gt06", "pigeon"), ("json", "socket")] {
        let (status, said) = admin.ask("POST", "/tracker-batches", Some(batch(protocol, transport))).await;
        assert_eq!((status, &said["code"]), (400, &json!("unknown_word")), "{said}");
    }
    let (status, said) = admin.ask("POST", "/tracker-batches", Some(batch("gt06", "socket"))).await;
    assert_eq!(status, 201, "{said}");
    drop(enter(gt06_port, &gt06_login("860000000000025"), &gt06(1, &[], 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_the_code_it_got_and_no_other_terminal_gets_one() {
    let (up, [_, _, port, _]) = with_sockets(&[]).await;
    let phone = "13800000031";
    register(&up, phone, "jt808", "socket");
    let (mut stream, code) = jt808_enter(port, phone, "TERM31");
    let digests = "SELECT count(*) FROM tracker_socket WHERE code_sha256 = sha256($1::bytea)";
    let kept: i64 = up.sql().await.query_one(digests, &[&code]).await.unwrap().get(0);
    assert_eq!(kept, 1, "its digest is kept, and not the code");
    // Without the code nobody speaks for it, whatever they say first.
    for first in [jt808_place(phone, 1), jt808(0x0002, phone, 1, &[])] {
        assert!(ask(&mut connect(port), &first, 20).is_empty());
    }
    let mut guessing = connect(port);
    let told = ask(&mut guessing, &jt808(0x0102, phone, 2, b"0000000000000000"), 20);
    assert_eq!(told[17], 1, "another code fails: {told:02x?}");
    for _ in 0..2 {
        drop(guessing.write_all(&jt808(0x0102, phone, 3, b"1111111111111111")));
    }
    assert!(is_ended(&mut guessing), "after three it is over");
    let told = ask(&mut connect(port), &jt808_register(phone, "OTHER"), 100);
    assert_eq!((told[1..3].to_vec(), told[15]), (vec![0x81, 0], 4), "another terminal registers: {told:02x?}");
    let told = ask(&mut connect(port), &jt808_register("13800000039", "OTHER"), 100);
    assert_eq!(told[15], 4, "nobody knows it: {told:02x?}");
    assert!(up.log().contains("A tracker was thrown off the door: it is not admitted"), "{}", up.log());
    // It is still there; after a restart of RideGuard its code is good, and the same terminal gets a new one.
    assert_eq!(ask(&mut stream, &jt808_place(phone, 9), 20)[14], 9);
    let mut up = up;
    up.kill();
    up.start_again().await;
    let told = ask(&mut connect(port), &jt808(0x0102, phone, 2, &code), 20);
    assert_eq!(told[17], 0, "{told:02x?}");
    let (_stream, second) = jt808_enter(port, phone, "TERM31");
    let told = ask(&mut connect(port), &jt808(0x0102, phone, 2, &code), 20);
    assert_eq!(told[17], 0, "the terminal may not have heard the second: {told:02x?}");
    let (_stream, third) = jt808_enter(port, phone, "TERM31");
    assert!(code != second && second != third);
    let told = ask(&mut connect(port), &jt808(0x0102, phone, 2, &code), 20);
    assert_eq!(told[17], 1, "two before is dead: {told:02x?}");
    // It may register three times on a connection, and no more.
    let mut greedy = connect(port);
    for _ in 0..3 {
        assert!(code_of(&ask(&mut greedy, &jt808_register(phone, "TERM31"), 34)).is_some());
    }
    assert!(ask(&mut greedy, &jt808_register(phone, "TERM31"), 34).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_under_one_name_are_told_apart_from_one_that_lost_its_line() {
    let (up, [port, ..]) = with_sockets(&[]).await;
    register(&up, "860000000000041", "gt06", "socket");
    let login = gt06_login("860000000000041");
    let mut silent = enter(port, &login, &gt06(1, &[], 1));
    let mut real = enter(port, &login, &gt06(1, &[], 1));
    let mut other = enter(port, &login, &gt06(1, &[], 1));
    std::thread::sleep(Duration::from_millis(2200));
    assert_eq!(ask(&mut other, &gt06_place(3), 10), gt06(0x12, &[], 3));
    assert_eq!(ended(&up, "doubled").await, 0, "an older connection that is silent says nothing");
    drop(real.write_all(&gt06_place(4)));
    assert!(is_ended(&mut real), "both speak");
    assert_eq!(ended(&up, "doubled").await, 1);
    up.wait_for("SELECT count(*) FROM fix_known", 2).await; // what it said is kept all the same
    assert!(up.log().contains("two connections speak for the tracker at once"), "{}", up.log());
    assert!(is_ended(&mut silent), "one older connection stays, and not two");
    assert_eq!(ended(&up, "replaced").await, 1);
    // A newer connection that has gone leaves its place to the older.
    drop(enter(port, &login, &gt06(1, &[], 1)));
    std::thread::sleep(Duration::from_millis(2200));
    assert_eq!(ask(&mut other, &gt06_place(5), 10), gt06(0x12, &[], 5));
    assert_eq!(ask(&mut other, &gt06_place(6), 10), gt06(0x12, &[], 6));
    // Frames that nobody can read cost the tracker's quota: few are taken.
    let mut broken = gt06_place(7);
    broken[10] ^= 1;
    for _ in 0..21 {
        drop(other.write_all(&broken));
    }
    assert!(is_ended(&mut other));
    up.wait_for("SELECT count(*) FROM quarantine", 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_answered_when_they_are_kept() {
    let port = free_port();
    let h02_port = free_port();
    let (up, _) = with_sockets(&[&format!("--door-udp=teltonika={port}"), &format!("--door-udp=h02={h02_port}")]).await;
    register(&up, "860000000000051", "teltonika", "socket");
    register(&up, "8600000052", "h02", "socket");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let send = |port: u16, datagram: &[u8]| {
        let since = Instant::now();
        let mut answer = [0; 100];
        loop {
            socket.send_to(datagram, ("127.0.0.1", port)).unwrap();
            if let Ok(length) = socket.recv(&mut answer) {
                return answer[..length].to_vec();
            }
            assert!(since.elapsed() < PATIENCE, "no answer");
        }
    };
    let imei = b"860000000000051";
    let rest = [&[0xca, 0xfe, 1, 7, 0, 15][..], imei, &teltonika_records(2)].concat();
    let datagram = [&(rest.len() as u16).to_be_bytes()[..], &rest].concat();
    assert_eq!(send(port, &datagram), [0, 5, 0xca, 0xfe, 1, 7, 2]);
    up.wait_for("SELECT count(*) FROM fix_known", 2).await;
    assert_eq!(send(h02_port, b"*HQ,8600000052,HTBT,80#"), b"*HQ,8600000052,HTBT,80#");
    for noise in [&b""[..], b"x", &[0; 1400], b"*HQ,8600000059,HTBT,80#"] {
        socket.send_to(noise, ("127.0.0.1", h02_port)).unwrap();
    }
    assert!(socket.recv(&mut [0; 100]).is_err(), "nobody is answered who is not known");
    let metrics = up.metrics().await;
    for (fate, least) in [("taken", 1), ("malformed", 3), ("refused", 1)] {
        let begin = format!("rideguard_door_datagrams_total{{fate=\"{fate}\",language=\"h02\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&begin)).map_or(0, |n| n.parse().unwrap());
        assert!(count >= least, "{fate} {count}: {metrics}");
    }
}
