//! The simulator's trackers on sockets of their own, in each language (H02 by UDP), through a kill.

use crate::backlog::arm_all;
use crate::harness::{free_port, settled, simulator};
use crate::socket_door::{register, with_sockets};
use crate::support::oracle::{judge, read_notes};
use std::process::Command;
use std::time::Duration;

/// The vehicle that is stolen; the demonstration's owner has it.
const STOLEN: &str = "013800000002";

#[tokio::test(flavor = "multi_thread")]
async fn a_theft_that_is_played_on_sockets_is_told_and_what_was_answered_is_kept() {
    let by_udp = free_port();
    let (mut up, [gt06, _, jt808, teltonika]) = with_sockets(&[&format!("--door-udp=h02={by_udp}")]).await;
    // Whom it plays: jt808 registers and shows its code, gt06 and teltonika log in, h02 names itself.
    let trackers = [
        (STOLEN, "jt808"),
        ("860000000000021", "gt06"),
        ("8600000022", "h02"),
        ("860000000000023", "teltonika"),
        ("13800000024", "jt808"),
    ];
    let mut lines = String::new();
    for (ident, language) in trackers {
        register(&up, ident, language, "socket");
        lines.push_str(&format!("{ident} - {language}\n"));
    }
    arm_all(&up).await;
    let credentials = up.folder.join("by-tcp");
    std::fs::write(&credentials, lines).unwrap();
    let notes = up.folder.join("notes.jsonl");
    let doors = [("gt06", gt06), ("jt808", jt808), ("teltonika", teltonika)];
    let mut fleet = Command::new(simulator())
        .arg("fleet")
        .arg(format!("--door-udp=h02=127.0.0.1:{by_udp}"))
        .args(doors.map(|(language, port)| format!("--door-tcp={language}=localhost:{port}")))
        .arg("--credentials")
        .arg(&credentials)
        .arg("--acknowledged")
        .arg(&notes)
        .args(["--theft-vehicle", STOLEN, "--theft-after-s=14", "--duration-s=40", "--patience-s=30"])
        .args(["--parked-interval-s=0.5", "--moving-interval-s=0.5"])
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_secs(25)).await;
    up.kill();
    up.start_again().await;
    let told = tokio::task::spawn_blocking(move || fleet.wait().unwrap()).await.unwrap();
    assert!(told.success());
    settled(&up).await;
    let notes = read_notes(&notes);
    for (ident, language) in trackers {
        let fixes = format!("SELECT count(*) FROM fix_known JOIN tracker USING (tracker_id) WHERE ident = '{ident}'");
        // The stolen one reports each five seconds.
        let least = if ident == STOLEN { 6 } else { 40 };
        assert!(up.count(&fixes).await >= least, "{ident} {language}");
    }
    assert!(notes.answered.len() > 150, "{} were answered", notes.answered.len());
    judge(&up, &notes, 0, None).await.must_be_clean();
}
