//! Trackers whose clock is off, through broker, lanes and database: what was learnt live puts right what comes late.

use crate::harness::{Up, program, settled, topic, use_ring};
use rideguard::domain::Timestamp;
use std::io::Write;
use std::process::Command;

const HOUR_S: i64 = 3600;
/// The flags of a repaired and of a doubted time.
const REPAIRED: i16 = 32;
const DOUBTED: i16 = 64;

/// A message of GT06 with its CRC (ITU, X.25).
fn gt06(number: u8, content: &[u8]) -> Vec<u8> {
    let mut covered = vec![content.len() as u8 + 5, number];
    covered.extend(content);
    covered.extend([0, 9]);
    let crc = covered.iter().fold(0xffff_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 })
    });
    [&[0x78, 0x78], &covered[..], &(!crc).to_be_bytes(), &[0x0d, 0x0a]].concat()
}

/// A login 0x01 that announces a zone by this word.
fn login(digits: u8, zone: u16) -> Vec<u8> {
    gt06(0x01, &[&[0x08, 0x60, 0, 0, 0, 0, 0, digits, 0x20, 0x01], &zone.to_be_bytes()[..]].concat())
}

/// A location 0x22, measured at `at_s`, by a clock that is off; its latitude says which it is.
fn location(at_s: i64, off_s: i64, which: usize, is_kept: bool) -> Vec<u8> {
    let shown = Timestamp::from_secs(at_s + off_s).to_string();
    let mut content: Vec<u8> = [2, 5, 8, 11, 14, 17].map(|at| shown[at..at + 2].parse().unwrap()).to_vec();
    content.push(0xca);
    content.extend((51_390_000 + which as u32 * 90).to_be_bytes()); // 28.55° and 5.5 m each
    content.extend(202_230_000_u32.to_be_bytes());
    content.extend([0, 0x14, 0, 0x01, 0xcc, 0, 0x29, 0x11, 0, 0x20, 0x07, 0, 0, u8::from(is_kept)]);
    gt06(0x22, &content)
}

/// What is stored: how far from its true time, seconds, and the flags of its clock; in the order of the list.
async fn stored(up: &Up, ident: &str, true_s: &[i64]) -> Vec<Option<(i64, i16)>> {
    let sql = "SELECT round((ST_Y(position) - 28.55) * 1800000 / 90)::bigint, extract(epoch FROM fixed_at)::bigint, flags
        FROM (SELECT tracker_id, fixed_at, flags, position FROM fix UNION ALL SELECT tracker_id, fixed_at, flags, position FROM fix_late) f
        JOIN tracker USING (tracker_id) WHERE ident = $1";
    let rows = up.sql().await.query(sql, &[&ident]).await.unwrap();
    let of = |which: usize| {
        let row = rows.iter().find(|r| r.get::<_, i64>(0) == which as i64)?;
        Some((row.get::<_, i64>(1) - true_s[which], row.get::<_, i16>(2) & (REPAIRED | DOUBTED)))
    };
    (0..true_s.len()).map(of).collect()
}

fn now_s() -> i64 {
    rideguard::clock::now().micros() / 1_000_000
}

#[tokio::test]
async fn what_a_clock_that_is_off_has_kept_is_stored_at_its_true_time_also_after_a_restart() {
    use_ring();
    let mut up = Up::start(4, &[]).await;
    // Who it is, its login's last digits, the zone that it announces, and by how much it is ahead.
    let trackers = [
        ("860000000000033", 0x33, 0, 8 * HOUR_S),
        ("860000000000041", 0x41, 0x2122, 19_800),
        ("860000000000058", 0x58, 0x190a, -4 * HOUR_S),
    ];
    assert!(up.interrupt());
    let mut admitted = std::fs::OpenOptions::new().append(true).open(up.folder.join("trackers")).unwrap();
    trackers.iter().for_each(|(ident, ..)| writeln!(admitted, "{ident} a-password gt06").unwrap());
    up.start_again().await;
    for (ident, ..) in trackers {
        let made = Command::new(program())
            .args(["admin", "--config"])
            .arg(up.config())
            .args(["tracker", ident, "--protocol", "gt06"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    settled(&up).await;

    let begin_s = now_s();
    let true_s = [2, 5 * 60, 30 * 60, HOUR_S, 5 * HOUR_S, 9 * HOUR_S].map(|age_s| begin_s - age_s);
    let message = |ident, off_s, which: usize| (topic(ident), location(true_s[which], off_s, which, which > 0));
    for (ident, digits, zone, off_s) in trackers {
        up.publish(ident, "a-password", vec![(topic(ident), login(digits, zone)), message(ident, off_s, 0)]).await;
    }
    up.wait_for("SELECT count(*) FROM fix", 3).await;
    up.kill();
    up.start_again().await;
    for (ident, _, _, off_s) in trackers {
        let kept = (1..true_s.len()).map(|which| message(ident, off_s, which));
        up.publish(ident, "a-password", kept.collect()).await;
    }
    up.wait_for("SELECT sum(stored + quarantined + duplicate)::bigint FROM lane", 3 * 7).await;
    for (ident, _, _, off_s) in trackers {
        assert_eq!(stored(&up, ident, &true_s).await, [Some((0, REPAIRED)); 6], "{off_s} s ahead");
    }
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, 0);
    assert!(up.command(&["verify"]).status.success());
}
