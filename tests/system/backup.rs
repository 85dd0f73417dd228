//! A backup of a system at work, restored elsewhere, is that system.

use crate::harness::{Up, program, topic, use_ring};
use rideguard::clock::now;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn restore(from: &Path, to: &Path) -> Output {
    Command::new(program()).arg("restore").arg(from).arg("--data").arg(to).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every file below a folder that somebody else could read.
fn open_to_others(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if fs::metadata(&path).unwrap().permissions().mode() & 0o077 != 0 {
            found.push(path.display().to_string());
        }
        if path.is_dir() {
            open_to_others(&path, found);
        }
    }
}

const COUNTS: &[&str] = &[
    "SELECT count(*) FROM fix",
    "SELECT count(*) FROM vehicle",
    "SELECT count(*) FROM tracker_status",
    "SELECT count(*) FROM quarantine",
    "SELECT sum(received)::bigint FROM lane",
];

#[tokio::test]
async fn a_backup_restored_elsewhere_verifies_and_goes_on() {
    use_ring();
    let mut up = Up::start(5, &[]).await;
    let (ident, password) = up.tracker(0);
    let tell = |from: i64| {
        let ident = ident.clone();
        (from..from + 30).map(move |n| {
            let at_ms = now().micros() / 1000 + n;
            let text = format!(r#"{{"v":1,"id":"{ident}","fixes":[{{"t":{at_ms},"lat":28.55,"lon":112.35{n}}}]}}"#);
            (topic(&ident), text.into_bytes())
        })
    };
    up.publish(&ident, &password, tell(0).collect()).await;
    up.wait_for("SELECT count(*) FROM fix", 30).await;
    let mut before = Vec::new();
    for question in COUNTS {
        before.push(up.count(question).await);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let (backup, data) = (elsewhere.path().join("backup"), elsewhere.path().join("data"));
    let made = up.command(&["backup", &backup.to_string_lossy()]);
    assert!(made.status.success(), "{}", said(&made));
    let mut open = Vec::new();
    open_to_others(&backup, &mut open);
    assert!(open.is_empty(), "others can read {open:?}");
    let again = up.command(&["backup", &backup.to_string_lossy()]);
    assert!(!again.status.success() && said(&again).contains("needs an empty folder"), "{}", said(&again));
    // What comes after the backup is not in it.
    up.publish(&ident, &password, tell(100).collect()).await;
    up.wait_for("SELECT count(*) FROM fix", 60).await;
    assert!(up.interrupt());
    let over = restore(&backup, &up.folder);
    assert!(!over.status.success() && said(&over).contains("needs an empty folder"), "{}", said(&over));

    let restored = restore(&backup, &data);
    assert!(restored.status.success(), "{}", said(&restored));
    let old = std::mem::replace(&mut up.folder, data.clone());
    let given = old.to_string_lossy().into_owned();
    for arg in up.args.iter_mut().filter(|arg| **arg == given) {
        *arg = data.to_string_lossy().into_owned();
    }
    up.start_again().await;
    for (question, before) in COUNTS.iter().zip(before) {
        assert_eq!(up.count(question).await, before, "{question}");
    }
    for check in [up.command(&["verify"]), up.command(&["rebuild", "--check"])] {
        assert!(check.status.success(), "{}", said(&check));
    }
    // The same tracker, with the same password and the same authority, goes on.
    up.publish(&ident, &password, tell(200).collect()).await;
    up.wait_for("SELECT count(*) FROM fix", 60).await;
    fs::remove_dir_all(&old).unwrap();

    // A damaged backup is refused before anything is made of it.
    let torn = backup.join("postgres/base/1/PG_VERSION");
    fs::write(&torn, "99").unwrap();
    let third = elsewhere.path().join("third");
    let refused = restore(&backup, &third);
    assert!(!refused.status.success() && said(&refused).contains("pg_verifybackup failed"), "{}", said(&refused));
    assert!(!third.exists());
}
