//! What trackers in the field say, from their bytes to the alert: three languages, one theft each.

use crate::harness::{Up, program, settled, topic, use_ring};
use rideguard::clock::now;
use rideguard::domain::Timestamp;
use serde_json::json;
use std::io::Write;
use std::time::{Duration, Instant};

const GT06: &str = "861234500000017";
const PHONE: &str = "bike7";
const PASSWORD: &str = "a-password";
const LAT: f64 = 28.55;
const LON: f64 = 112.35;
/// Longest from the first word of a cut supply to its alert: a minute, and a tick of the clock.
const TOLD_WITHIN: Duration = Duration::from_secs(64);

/// Year of the century to second of a time.
fn civil(at: Timestamp) -> [u8; 6] {
    let text = at.to_string();
    [2, 5, 8, 11, 14, 17].map(|from| text[from..from + 2].parse().unwrap())
}

/// A frame of GT06: number, content, serial.
fn gt06(number: u8, content: &[u8], serial: u16) -> Vec<u8> {
    let mut inner = vec![content.len() as u8 + 5, number];
    inner.extend(content);
    inner.extend(serial.to_be_bytes());
    let mut crc = 0xffffu16;
    for byte in &inner {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x8408 };
        }
    }
    [&[0x78, 0x78][..], &inner, &(!crc).to_be_bytes(), &[0x0d, 0x0a]].concat()
}

/// A place at home; the course says that it is located, north, east.
fn gt06_place(at: Timestamp) -> Vec<u8> {
    let mut place = civil(at).to_vec();
    place.push(0xc9);
    place.extend(((LAT * 1_800_000.0) as u32).to_be_bytes());
    place.extend(((LON * 1_800_000.0) as u32).to_be_bytes());
    place.extend([0, 0x14, 0]);
    place
}

/// 0x12: a place and the cell that serves.
fn gt06_location(at: Timestamp) -> Vec<u8> {
    [&gt06_place(at)[..], &[0x01, 0xcc, 0, 0x28, 0x7d, 0, 0x1f, 0x71]].concat()
}

/// A location of JT/T 808 at home with these alarm bits; its clock shows Beijing's time.
pub fn jt808(phone: &str, at: Timestamp, alarm_bits: u32, serial: u16) -> Vec<u8> {
    let mut body = [alarm_bits.to_be_bytes(), 3u32.to_be_bytes()].concat();
    body.extend(((LAT * 1e6) as u32).to_be_bytes());
    body.extend(((LON * 1e6) as u32).to_be_bytes());
    body.extend([0; 6]);
    body.extend(civil(at.plus_secs_f64(8.0 * 3600.0)).map(|n| ((n / 10) << 4) | (n % 10)));
    let mut plain = [0x0200u16.to_be_bytes(), (body.len() as u16).to_be_bytes()].concat();
    plain.extend(hex::decode(phone).unwrap());
    plain.extend(serial.to_be_bytes());
    plain.extend(body);
    plain.push(plain.iter().fold(0, |sum, byte| sum ^ byte));
    let mut wire = vec![0x7e];
    for byte in plain {
        match byte {
            0x7e => wire.extend([0x7d, 2]),
            0x7d => wire.extend([0x7d, 1]),
            byte => wire.push(byte),
        }
    }
    wire.push(0x7e);
    wire
}

/// A location of OwnTracks with its label, but without the topic that would name the device.
fn owntracks(at: Timestamp, letter: &str, supply_v: f64) -> Vec<u8> {
    let tst = at.micros() / 1_000_000;
    json!({ "_type": "location", "tid": "b7", "tst": tst, "lat": LAT, "lon": LON, "acc": 9, "batt": 63, "t": letter, "uext": supply_v })
        .to_string()
        .into_bytes()
}

/// Enters a tracker and a vehicle of the owner's.
fn register(up: &Up, ident: &str, protocol: &str, plate: &str) {
    let mut admitted = std::fs::OpenOptions::new().append(true).open(up.folder.join("trackers")).unwrap();
    writeln!(admitted, "{ident} {PASSWORD} {protocol}").unwrap();
    for thing in [
        &["tracker", ident, "--protocol", protocol][..],
        &["vehicle", plate, "--kind", "ebike", "--owner", "owner", "--tracker", ident],
    ] {
        let mut command = std::process::Command::new(program());
        let done = command.args(["admin", "--config"]).arg(up.config()).args(thing).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[tokio::test]
async fn a_cut_supply_wakes_its_owner_in_three_languages_and_a_second_frame_is_heard() {
    use_ring();
    let mut up = Up::start(6, &[]).await;
    register(&up, GT06, "gt06", "湘H·F0001");
    register(&up, PHONE, "owntracks", "湘H·F0002");
    assert!(up.interrupt());
    up.start_again().await; // by which the broker admits them
    let (phone, jt808_password) = up.tracker(1);
    let owner = up.log_in("owner").await;
    let database = up.sql().await;
    let carrier =
        "SELECT vehicle_id FROM tracker JOIN installation USING (tracker_id) WHERE ident = $1 AND valid_to IS NULL";
    let mut vehicles = Vec::new();
    for ident in [GT06, PHONE, &phone] {
        let vehicle: i64 = database.query_one(carrier, &[&ident]).await.unwrap().get(0);
        assert_eq!(owner.ask("POST", &format!("/vehicles/{vehicle}/arm"), None).await.0, 200);
        vehicles.push(vehicle);
    }
    settled(&up).await;

    // All is well: the supply is there, and said to be so.
    let mut serial = 1;
    for _ in 0..3 {
        let at = now();
        let charging = gt06(0x13, &[0x45, 6, 4, 0, 2], serial + 1);
        let own = |payload| (topic(GT06), payload);
        up.publish(GT06, PASSWORD, vec![own(gt06(0x12, &gt06_location(at), serial)), own(charging)]).await;
        up.publish(PHONE, PASSWORD, vec![(topic(PHONE), owntracks(at, "u", 12.4))]).await;
        up.publish(&phone, &jt808_password, vec![(topic(&phone), jt808(&phone, at, 0, serial))]).await;
        serial += 2;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    up.wait_for("SELECT count(*) FROM fix", 9).await;
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, 0, "a label of the map is no identity");

    // The wire is cut; each says so again and again.
    let cut_at = Instant::now();
    let told = |vehicle: i64| {
        format!("SELECT count(*) FROM alert WHERE vehicle_id = {vehicle} AND kind = 'power_cut' AND wakes_owner")
    };
    let mut waiting = vehicles.clone();
    while !waiting.is_empty() {
        assert!(cut_at.elapsed() < TOLD_WITHIN, "nobody was woken for {waiting:?} of {vehicles:?}");
        let at = now();
        // Terminal information 0x51: alarm "power cut", no charging; the alarm byte says so, too.
        let alarm = [&gt06_place(at)[..], &[9, 0x01, 0xcc, 0, 0x28, 0x7d, 0, 0x1f, 0x71], &[0x51, 4, 4, 2, 2]].concat();
        up.publish(GT06, PASSWORD, vec![(topic(GT06), gt06(0x16, &alarm, serial))]).await;
        up.publish(PHONE, PASSWORD, vec![(topic(PHONE), owntracks(at, "e", 0.0))]).await;
        up.publish(&phone, &jt808_password, vec![(topic(&phone), jt808(&phone, at, 1 << 8, serial))]).await;
        serial += 1;
        tokio::time::sleep(Duration::from_secs(6)).await;
        let mut left = Vec::new();
        for vehicle in waiting {
            if up.count(&told(vehicle)).await == 0 {
                left.push(vehicle);
            }
        }
        waiting = left;
    }
    for vehicle in &vehicles {
        assert_eq!(up.count(&told(*vehicle)).await, 1, "each cut is told once");
    }

    // Two frames in one payload, of which the second calls for help.
    let fixes = up.count("SELECT count(*) FROM fix").await;
    let at = now();
    let two = [jt808(&phone, at, 0, serial), jt808(&phone, at.plus_secs_f64(2.0), 1, serial + 1)].concat();
    up.publish(&phone, &jt808_password, vec![(topic(&phone), two)]).await;
    up.wait_for(&format!("SELECT count(*) FROM alert WHERE vehicle_id = {} AND kind = 'sos'", vehicles[2]), 1).await;
    assert_eq!(up.count("SELECT count(*) FROM fix").await, fixes + 2);
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, 0);
}
