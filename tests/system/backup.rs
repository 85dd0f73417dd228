//! A backup of a system at work, restored elsewhere, is that system.

use crate::harness::{Database, Up, lines, program, settled, topic, use_ring};
use rideguard::clock::now;
use rideguard::config::Journal;
use rideguard::store::archive::keys::KeyStore;
use rideguard::store::archive::write;
use rideguard::store::archive::write::Sealed;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
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
    "SELECT count(*) FROM journal_block",
];

/// Thirty messages of a tracker, from number `from` on.
fn thirty(ident: &str, from: i64) -> Vec<(String, Vec<u8>)> {
    let message = |n: i64| {
        let at_ms = now().micros() / 1000 + n;
        let text = format!(r#"{{"v":1,"id":"{ident}","fixes":[{{"t":{at_ms},"lat":28.55,"lon":112.35{n}}}]}}"#);
        (topic(ident), text.into_bytes())
    };
    (from..from + 30).map(message).collect()
}

/// Starts what was restored instead of what it is a copy of; says where that is.
async fn go_on_in(up: &mut Up, data: &Path) -> std::path::PathBuf {
    let old = std::mem::replace(&mut up.folder, data.to_owned());
    let given = old.to_string_lossy().into_owned();
    for arg in up.args.iter_mut().filter(|arg| **arg == given) {
        *arg = data.to_string_lossy().into_owned();
    }
    up.start_again().await;
    old
}

/// A folder that the database's servant can reach into, and others cannot list.
fn elsewhere() -> tempfile::TempDir {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o711)).unwrap();
    elsewhere
}

#[tokio::test]
async fn a_backup_restored_elsewhere_verifies_and_goes_on() {
    use_ring();
    let mut up = Up::start(5, &[]).await;
    let (ident, password) = up.tracker(0);
    up.publish(&ident, &password, thirty(&ident, 0)).await;
    up.wait_for("SELECT count(*) FROM fix", 30).await;
    // A clean end leaves a checkpoint of every lane; what lies before its row can be sealed.
    let is_behind = "SELECT count(*) FROM lane l WHERE stored > 0 AND applied > (SELECT max(n) FROM journal_outcome o
        WHERE o.lane = l.lane AND position('\\x01'::bytea IN o.outcomes) > 0)";
    up.wait_for(is_behind, 1).await;
    assert!(up.interrupt());
    up.start_again().await;
    settled(&up).await;
    let sealing = Journal { key_file: Some(up.folder.join("secrets/journal-key")), ..Journal::default() };
    let mut sealed = Sealed::default();
    write::run(&mut up.sql().await, &KeyStore::of(&sealing), now(), &mut sealed).await.unwrap();
    assert!(sealed.entries >= 30, "{sealed:?}");
    let journal = lines(&up.command(&["journal", "--tracker", &ident]));
    assert_eq!(journal.len(), 30);
    let mut before = Vec::new();
    for question in COUNTS {
        before.push(up.count(question).await);
    }
    let elsewhere = elsewhere();
    let (backup, data) = (elsewhere.path().join("backup"), elsewhere.path().join("data"));
    let made = up.command(&["backup", &backup.to_string_lossy()]);
    assert!(made.status.success(), "{}", said(&made));
    let mut open = Vec::new();
    open_to_others(&backup, &mut open);
    assert!(open.is_empty(), "others can read {open:?}");
    let again = up.command(&["backup", &backup.to_string_lossy()]);
    assert!(!again.status.success() && said(&again).contains("needs an empty folder"), "{}", said(&again));
    // What comes after the backup is not in it.
    up.publish(&ident, &password, thirty(&ident, 100)).await;
    up.wait_for("SELECT count(*) FROM fix", 60).await;
    assert!(up.interrupt());
    let over = restore(&backup, &up.folder);
    assert!(!over.status.success() && said(&over).contains("needs an empty folder"), "{}", said(&over));

    let restored = restore(&backup, &data);
    assert!(restored.status.success(), "{}", said(&restored));
    let old = go_on_in(&mut up, &data).await;
    for (question, before) in COUNTS.iter().zip(before) {
        assert_eq!(up.count(question).await, before, "{question}");
    }
    for check in [&["verify"] as &[&str], &["rebuild", "--check"], &["audit", "verify"]].map(|args| up.command(args)) {
        assert!(check.status.success(), "{}", said(&check));
    }
    // The sealed journal reads the same with its key, and without it one sentence says what is missing.
    assert_eq!(lines(&up.command(&["journal", "--tracker", &ident])), journal);
    let (key, kept_apart) = (data.join("secrets/journal-key"), elsewhere.path().join("key"));
    fs::rename(&key, &kept_apart).unwrap();
    let refused = up.command(&["journal", "--tracker", &ident]);
    let sentence = said(&refused);
    assert!(!refused.status.success() && sentence.contains("journal-key: No such file"), "{sentence}");
    assert_eq!(sentence.trim().lines().count(), 1, "{sentence}");
    fs::rename(&kept_apart, &key).unwrap();
    // The same tracker, with the same password and the same authority, goes on.
    up.publish(&ident, &password, thirty(&ident, 200)).await;
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

#[tokio::test]
#[ignore = "three starts of everything"]
async fn a_point_in_time_is_reached_as_the_document_says() {
    use_ring();
    let mut up = Up::start(3, &[]).await;
    let (ident, password) = up.tracker(0);
    let elsewhere = elsewhere();
    let (wal, backup, data) =
        (elsewhere.path().join("wal"), elsewhere.path().join("backup"), elsewhere.path().join("data"));
    fs::create_dir(&wal).unwrap();
    fs::set_permissions(&wal, fs::Permissions::from_mode(0o700)).unwrap();
    let cluster = |folder: &Path| folder.join("services/postgres/data");
    let servant = fs::metadata(cluster(&up.folder)).unwrap();
    let hand_over = |path: &Path| chown(path, Some(servant.uid()), Some(servant.gid())).unwrap();
    hand_over(&wal);
    let configure = |folder: &Path, lines: &str| {
        let file = cluster(folder).join("postgresql.conf");
        let text = fs::read_to_string(&file).unwrap() + lines;
        fs::write(&file, text).unwrap();
    };
    let archive = wal.display();
    configure(
        &up.folder,
        &format!(
            "archive_mode = on\narchive_timeout = 60\narchive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'\n"
        ),
    );
    assert!(up.interrupt());
    up.start_again().await;
    up.publish(&ident, &password, thirty(&ident, 0)).await;
    up.wait_for("SELECT count(*) FROM fix", 30).await;
    let made = up.command(&["backup", &backup.to_string_lossy()]);
    assert!(made.status.success(), "{}", said(&made));

    up.publish(&ident, &password, thirty(&ident, 100)).await;
    up.wait_for("SELECT count(*) FROM fix", 60).await;
    settled(&up).await;
    let client = up.sql().await;
    let moment: String = client.query_one("SELECT clock_timestamp()::text", &[]).await.unwrap().get(0);
    up.publish(&ident, &password, thirty(&ident, 200)).await;
    up.wait_for("SELECT count(*) FROM fix", 90).await;
    let switch = "SELECT pg_walfile_name(pg_switch_wal())";
    let segment: String = up.superuser().await.query_one(switch, &[]).await.unwrap().get(0);
    up.wait_for(&format!("SELECT count(*) FROM pg_stat_archiver WHERE last_archived_wal >= '{segment}'"), 1).await;
    drop(client);
    assert!(up.interrupt());

    let restored = restore(&backup, &data);
    assert!(restored.status.success(), "{}", said(&restored));
    configure(
        &data,
        &format!(
            "restore_command = 'cp {archive}/%f %p'\nrecovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n"
        ),
    );
    let signal = cluster(&data).join("recovery.signal");
    fs::write(&signal, "").unwrap();
    hand_over(&signal);
    let old = go_on_in(&mut up, &data).await;
    assert_eq!(up.count("SELECT count(*) FROM fix").await, 60, "what came before the moment, and nothing after it");
    assert!(!signal.exists(), "the recovery is over");
    for check in [up.command(&["verify"]), up.command(&["rebuild", "--check"])] {
        assert!(check.status.success(), "{}", said(&check));
    }
    up.publish(&ident, &password, thirty(&ident, 300)).await;
    up.wait_for("SELECT count(*) FROM fix", 90).await;
    fs::remove_dir_all(&old).unwrap();
}

#[tokio::test]
async fn a_backup_refuses_a_database_whose_rows_lie_elsewhere() {
    let database = Database::start().await;
    let client = database.connect().await;
    rideguard::store::must_hold_everything(&client).await.unwrap();
    // Made without a handler: it is never read.
    database
        .superuser()
        .await
        .batch_execute(
            "CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER far FOREIGN DATA WRAPPER elsewhere;
             CREATE FOREIGN TABLE far_fix (n bigint) SERVER far",
        )
        .await
        .unwrap();
    let refused = rideguard::store::must_hold_everything(&client).await.unwrap_err().to_string();
    assert!(
        refused.contains("the foreign table far_fix") && refused.contains("would not hold everything"),
        "{refused}"
    );
}
