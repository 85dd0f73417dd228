//! The audit is chained and sealed; what is changed afterwards is found and named.

use crate::harness::{Database, PATIENCE, Up, lines, use_ring};
use crate::support::role::{Differs, Role};
use crate::upgrade::old_database;
use rideguard::clock::now;
use rideguard::config::Audit;
use rideguard::failpoint::Point;
use rideguard::seal::Sealer;
use rideguard::seal::key::{PublicKeys, SigningKey};
use rideguard::seal::verify::{self, Report};
use rideguard::store::audit::check::Kind;
use rideguard::store::audit::head::Head;
use rideguard::store::{self, Role as DatabaseRole, audit, roles};
use rideguard::supervisor::Folder;
use rideguard::supervisor::postgres::{self, Postgres};
use rideguard::telemetry::Metrics;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// A key in a folder, with its public half beside it.
pub fn keys(folder: &Path, seed: u8) -> (SigningKey, PublicKeys) {
    let (file, public) = (folder.join(format!("key-{seed}")), folder.join(format!("key-{seed}.pub")));
    fs::write(&file, hex::encode([seed; 32])).unwrap();
    let key = SigningKey::read(&file).unwrap();
    key.publish(&public).unwrap();
    (key, PublicKeys::read(&public).unwrap())
}

pub async fn look(client: &Client, what: &str) {
    let question = json!({ "text": what, "number": 1.50, "地点": "株洲" });
    let sql = "SELECT write_audit($1, NULL, 'vehicles', $2, 3)";
    client.execute(sql, &[&7_i64, &question]).await.unwrap();
}

/// Seals everything that is there; the heads.
pub async fn seal_all(client: &mut Client, key: &SigningKey) -> Vec<Head> {
    let mut heads: Vec<Head> = Vec::new();
    loop {
        let sealed = audit::seal(client, now(), &|text| key.sign(text)).await.unwrap();
        match sealed.head {
            Some(head) if heads.last() != Some(&head) => heads.push(head),
            _ => {}
        }
        if sealed.waiting == 0 {
            return heads;
        }
    }
}

pub async fn check(client: &mut Client, keys: &PublicKeys, heads: &[PathBuf]) -> Report {
    verify::run(client, keys.clone(), heads, false).await.unwrap()
}

pub fn kinds(report: &Report) -> Vec<Kind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

/// A sealer at work.
struct AtWork {
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl AtWork {
    fn start(database: &Database, settings: &Audit) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let sealer = Sealer::open(settings, metrics.clone()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let as_sealer = store::settings(&database.config, DatabaseRole::Seal).unwrap();
        Self { metrics, stop, task: tokio::spawn(sealer.run(as_sealer, stopped)) }
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

fn settings(folder: &Path) -> Audit {
    keys(folder, 1);
    Audit {
        key_file: Some(folder.join("key-1")),
        public_key_file: Some(folder.join("audit-key.pub")),
        heads_file: Some(folder.join("heads.jsonl")),
        ..Audit::default()
    }
}

pub async fn wait_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const UNSEALED: &str =
    "SELECT count(*) FROM audit WHERE NOT (SELECT coalesce(range_agg(ids), '{}') FROM audit_seal) @> audit_id";

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn every_look_is_sealed_in_time_also_one_that_commits_late_and_by_two_sealers() {
    use_ring();
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let sealers = [AtWork::start(&database, &settings), AtWork::start(&database, &settings)];
    // One transaction has looked first and stays open all the time.
    let mut late = database.connect().await;
    let late = late.transaction().await.unwrap();
    late.execute("SELECT write_audit(7, NULL, 'late', '{}', 0)", &[]).await.unwrap();
    let writers = (0..4_u64).map(|n| {
        let settings = database.settings.clone();
        async move {
            let mut client = store::connect(&settings, "test").await.unwrap();
            for round in 0..60_u64 {
                let transaction = client.transaction().await.unwrap();
                let sql = "SELECT write_audit(7, NULL, 'look', '{}', 0)";
                transaction.execute(sql, &[]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(7 * (n + round) % 90)).await;
                if (n + round) % 7 == 0 { transaction.rollback().await } else { transaction.commit().await }.unwrap();
            }
        }
    });
    futures_util::future::join_all(writers).await;
    let mut client = database.connect().await;
    wait_until("all are sealed while one is open", async || count(&client, UNSEALED).await == 0).await;
    // The time of a row is that of its writing; its transaction went on for up to 90 ms.
    let sql = "SELECT max(extract(epoch FROM s.sealed_at - a.at))::float8 FROM audit a JOIN audit_seal s ON s.ids @> a.audit_id";
    let longest_s: f64 = client.query_one(sql, &[]).await.unwrap().get(0);
    println!("the longest of a row to its seal: {longest_s:.2} s");
    assert!(longest_s < 3.0, "{longest_s} s");
    let before = count(&client, "SELECT max(number) FROM audit_seal").await;
    late.commit().await.unwrap();
    wait_until("the late one is sealed", async || count(&client, UNSEALED).await == 0).await;
    let sql = "SELECT s.number FROM audit a JOIN audit_seal s ON s.ids @> a.audit_id WHERE a.action = 'late'";
    assert!(count(&client, sql).await > before, "it is behind what was sealed before");
    let file = settings.heads_file.clone().unwrap();
    for sealer in sealers {
        sealer.end().await;
    }
    let report = check(&mut client, &keys(folder.path(), 1).1, &[file]).await;
    assert!(report.ok && report.unsealed_rows == 0, "{report:#?}");
    assert_eq!(report.rows as i64, count(&client, "SELECT count(*) FROM audit").await);
    assert!(report.heads[0].heads > 1, "{report:#?}");
}

/// The chain as `docs/audit.md` gives it to auditors, in SQL alone.
fn sql_of_the_page() -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit.md")).unwrap();
    page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[tokio::test]
async fn the_chain_is_computed_alike_by_the_sql_of_the_page() {
    use_ring();
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = keys(folder.path(), 1);
    let mut client = database.connect().await;
    for n in 0..9 {
        look(&client, &format!("look {n} \u{1f6f5} \"\\")).await;
        if n % 4 == 0 {
            seal_all(&mut client, &key).await;
        }
    }
    client
        .batch_execute("SELECT write_audit(NULL, 4, '', 'null', NULL), write_audit(1, 2, 'x', '[1e3, \"é\"]', -1)")
        .await
        .unwrap();
    seal_all(&mut client, &key).await;
    let rows = client.query(&sql_of_the_page(), &[]).await.unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert!(row.get::<_, bool>("is_right"), "seal {}", row.get::<_, i64>("number"));
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_holds_up_nothing_and_gets_the_newest_head_later() {
    use_ring();
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (away, mounted) = (folder.path().join("elsewhere/copy.jsonl"), folder.path().join("elsewhere"));
    let settings = Audit { copy_heads_to: vec![away.clone()], ..settings(folder.path()) };
    let sealer = AtWork::start(&database, &settings);
    let client = database.connect().await;
    look(&client, "one").await;
    wait_until("it is sealed", async || count(&client, UNSEALED).await == 0).await;
    wait_until("the failure is counted", async || sealer.metrics.audit_copy_failures.get() > 0).await;
    let heads = settings.heads_file.clone().unwrap();
    wait_until("the other file has it", async || heads.exists()).await;
    look(&client, "two").await;
    wait_until("it is sealed", async || count(&client, UNSEALED).await == 0).await;
    fs::create_dir(&mounted).unwrap();
    wait_until("the copy has it", async || away.exists()).await;
    let copied = fs::read_to_string(&away).unwrap();
    assert_eq!(Head::parse(copied.trim_end()).unwrap().number, 2, "one line says all");

    // The table is put back to a state before: who saw the newer one says so and goes on.
    assert_eq!(sealer.metrics.audit_conflicts.get(), 0);
    let put_back = "SET session_replication_role = replica; DELETE FROM audit_seal WHERE number = 2; DELETE FROM audit WHERE audit_id = 2";
    database.superuser().await.batch_execute(put_back).await.unwrap();
    look(&client, "three").await;
    wait_until("it is noticed", async || sealer.metrics.audit_conflicts.get() > 0).await;
    wait_until("it is sealed", async || count(&client, UNSEALED).await == 0).await;
    sealer.end().await;
    let mut client = database.connect().await;
    let public = PublicKeys::read(&folder.path().join("audit-key.pub")).unwrap();
    assert!(check(&mut client, &public, &[]).await.ok);
    let report = check(&mut client, &public, &[heads]).await;
    assert_eq!(kinds(&report), [Kind::HeadNotInTable], "{report:#?}");
}

#[tokio::test]
async fn a_head_that_a_killed_sealer_did_not_write_is_written_by_the_next() {
    use_ring();
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, database.settings.get_password().unwrap()).unwrap();
    keys(folder.path(), 1);
    let text = format!(
        "[database]\nhost = \"127.0.0.1\"\nport = {}\nname = \"postgres\"\nuser = \"rideguard\"\npassword_file = \"password\"\napi_password_file = \"password\"
[broker]\nhost = \"localhost\"\nca_file = \"none\"\npassword_file = \"none\"
[audit]\nkey_file = \"key-1\"\npublic_key_file = \"audit-key.pub\"\nheads_file = \"heads.jsonl\"\n",
        database.settings.get_ports()[0]
    );
    fs::write(folder.path().join("rideguard.toml"), text).unwrap();
    let heads = folder.path().join("heads.jsonl");
    let mut sealer = Role::start(folder.path(), "seal", &Differs::default());
    let mut client = database.connect().await;
    look(&client, "one").await;
    wait_until("the first head is written", async || heads.exists()).await;
    sealer.kill();
    look(&client, "two").await;
    sealer.start_again(Some((Point::Sealed, 1)));
    sealer.ended().await;
    assert_eq!(count(&client, "SELECT max(number) FROM audit_seal").await, 2);
    assert_eq!(fs::read_to_string(&heads).unwrap().lines().count(), 1, "the file is behind the table");
    sealer.start_again(None);
    wait_until("it catches up", async || fs::read_to_string(&heads).unwrap().lines().count() == 2).await;
    look(&client, "three").await;
    wait_until("it goes on", async || fs::read_to_string(&heads).unwrap().lines().count() == 3).await;
    let public = PublicKeys::read(&folder.path().join("audit-key.pub")).unwrap();
    let report = check(&mut client, &public, &[heads]).await;
    assert!(report.ok && report.heads[0].heads == 3, "{report:#?}");
}

#[tokio::test]
async fn rows_from_before_the_chain_are_sealed_in_parts_and_a_role_of_its_own_can_do_it() {
    use_ring();
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (key, public) = keys(folder.path(), 1);
    let mut client = old_database(&database, "0040").await;
    let sql =
        "INSERT INTO audit (account_id, action, question) SELECT n % 50, 'live', '{}' FROM generate_series(1, 25000) n";
    client.batch_execute(sql).await.unwrap();
    store::migrate::migrate(&mut client).await.unwrap();
    let config = rideguard::config::Database { name: "as_of_0040".into(), ..database.config.clone() };
    let as_sealer = store::settings(&config, DatabaseRole::Seal).unwrap();
    let mut sealer = store::connect(&as_sealer, "test").await.unwrap();
    let heads = seal_all(&mut sealer, &key).await;
    assert_eq!(heads.iter().map(|head| head.rows).collect::<Vec<_>>(), [10_000, 20_000, 25_000]);
    look(&client, "after").await;
    assert_eq!(seal_all(&mut sealer, &key).await[0].rows, 25_001);
    let report = check(&mut client, &public, &[]).await;
    assert!(report.ok && report.seals == 4, "{report:#?}");
    for forbidden in [
        "INSERT INTO audit (account_id, action, question) VALUES (1, 'x', '{}')",
        "UPDATE audit SET action = 'x'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "UPDATE audit_seal SET rows = 1",
        "DELETE FROM audit_seal",
        "SELECT * FROM account",
        "SELECT * FROM session",
        "SELECT write_audit(1, NULL, 'x', '{}', 0)",
        "SELECT api_live_positions('{}')",
    ] {
        let refused = sealer.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501", "{forbidden}: {refused:?}");
    }
}

#[tokio::test]
async fn a_dump_in_another_server_whose_transactions_begin_again_is_sealed_on() {
    use_ring();
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (key, public) = keys(folder.path(), 1);
    let mut client = database.connect().await;
    // Far ahead of a new server's transactions.
    client
        .batch_execute("DO $$ BEGIN FOR n IN 1..9000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
        .await
        .unwrap();
    for n in 0..5 {
        look(&client, &format!("before {n}")).await;
    }
    let outside = folder.path().join("outside.jsonl");
    fs::write(&outside, seal_all(&mut client, &key).await[0].line().unwrap()).unwrap();
    look(&client, "dumped but not sealed").await;
    let major = store::server_major(&client).await.unwrap();
    let password = rideguard::config::read_secret(database.superuser_password_file()).unwrap();
    let run = |program: &str, port: u16, password: &str| {
        let mut command = Command::new(postgres::program(major, program).unwrap());
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-p", &port.to_string()]);
        command.env("PGPASSWORD", password).stdin(Stdio::piped());
        command
    };
    let dump = run("pg_dump", database.settings.get_ports()[0], &password).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let file = folder.path().join("dump.sql");
    fs::write(&file, dump.stdout).unwrap();

    let home = std::env::temp_dir().join(format!("rideguard-test-{:016x}", rand::random::<u64>()));
    let new = Folder::open(&home).unwrap();
    let mut server = Postgres::start(&new, None).unwrap();
    let config = server.settings(&new).unwrap();
    roles::prepare(&config).await.unwrap();
    let password = rideguard::config::read_secret(config.superuser_password_file.as_ref().unwrap()).unwrap();
    let made = run("psql", server.port, &password).args(["-q", "-f"]).arg(&file).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let admin = store::settings(&config, DatabaseRole::Admin).unwrap();
    let mut client = store::connect(&admin, "test").await.unwrap();
    let newest = count(&client, "SELECT pg_current_xact_id()::text::bigint").await;
    let sealed_to = count(&client, "SELECT decided::text::bigint FROM audit_seal").await;
    assert!(newest < sealed_to, "the test is about lower transactions: {newest}, {sealed_to}");
    look(&client, "after").await;
    seal_all(&mut client, &key).await;
    look(&client, "and on").await;
    seal_all(&mut client, &key).await;
    let report = check(&mut client, &public, &[outside]).await;
    server.stop();
    fs::remove_dir_all(&home).unwrap();
    assert!(report.ok, "{report:#?}");
    assert_eq!((report.rows, report.seals, report.unsealed_rows), (8, 3, 0));
}

#[tokio::test]
async fn the_program_seals_and_its_command_says_so_in_words_and_json() {
    use_ring();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy.jsonl");
    let mut up = Up::start(3, &["--copy-audit-heads-to", &copy.to_string_lossy()]).await;
    let officer = up.log_in("police").await;
    let grant = officer.get("/grants").await["grants"][0]["id"].as_str().unwrap().to_owned();
    officer.get(&format!("/vehicles?q=12345&grant_id={grant}")).await;
    up.wait_for(&format!("SELECT count(*) FROM audit WHERE action = 'vehicles' AND ({UNSEALED}) = 0"), 1).await;
    wait_until("the copy has a head", async || copy.exists()).await;
    let said = |args: &[&str]| {
        let output = up.command(&[&["audit", "verify"], args].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), text)
    };
    let (status, text) = said(&[]);
    assert!(status == 0 && text.contains("\nok audit: ") && text.contains("copy.jsonl\n"), "{text}");
    assert!(text.contains("audit-heads.jsonl\n") && text.contains("not sealed yet: 0 rows\n"), "{text}");
    let key = up.folder.join("audit-key.pub");
    let (status, text) = said(&["--json", "--heads", &copy.to_string_lossy(), "--public-key", &key.to_string_lossy()]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert!(status == 0 && report["ok"] == true && report["findings"] == json!([]), "{text}");

    // Who looked at what, and who looked at that.
    let listed = lines(&up.command(&["audit", "list", "--account", "police"]));
    let newest: Value = serde_json::from_str(&listed[0]).unwrap();
    assert_eq!((&newest["action"], &newest["question"]["text"]), (&json!("vehicles"), &json!("12345")), "{newest}");
    assert!(lines(&up.command(&["audit", "list", "--vehicle", "1", "--since", "2100-01-01T00:00:00Z"])).is_empty());
    let newest: Value = serde_json::from_str(&lines(&up.command(&["audit", "list"]))[0]).unwrap();
    assert_eq!((&newest["action"], &newest["account"]), (&json!("audit list"), &Value::Null), "{newest}");
    let unknown = up.command(&["audit", "list", "--account", "nobody"]);
    let sentence = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && sentence.contains("no account has the login \"nobody\""), "{sentence}");
    up.wait_for(&format!("SELECT count(*) WHERE ({UNSEALED}) = 0"), 1).await;

    // One clear sentence for what is wrong with the question.
    let no_heads = elsewhere.path().join("empty");
    fs::write(&no_heads, "nothing\n").unwrap();
    for (args, words) in [
        (["--heads", "/nowhere/heads"], "cannot read the heads in /nowhere/heads"),
        (["--heads", &no_heads.to_string_lossy()], "holds no head of the audit"),
        (["--public-key", "/nowhere/key"], "cannot read the public key /nowhere/key"),
        (["--public-key", &no_heads.to_string_lossy()], "is no public key of Ed25519"),
    ] {
        let (status, text) = said(&args);
        assert!(status == 1 && text.contains(words) && text.trim().lines().count() == 1, "{args:?}: {text}");
    }
    assert_eq!(said(&["--head"]).0, 2);
    let (_, other) = (keys(elsewhere.path(), 9), elsewhere.path().join("key-9.pub"));
    let (status, text) = said(&["--public-key", &other.to_string_lossy()]);
    assert!(status == 1 && text.starts_with("FAIL head 1 of ") && text.contains("is not signed by a key"), "{text}");

    // Nobody but the program's own user reads the key; a row that was changed is found.
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(up.folder.join("secrets/audit-key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0);
    let change = "SET session_replication_role = replica; UPDATE audit SET question = '{}' WHERE action = 'vehicles'";
    up.superuser().await.batch_execute(change).await.unwrap();
    let (status, text) = said(&[]);
    assert!(status == 1 && text.starts_with("FAIL a row of seal ") && text.contains("\nFAIL audit: "), "{text}");
    assert!(up.metrics().await.contains("rideguard_audit_unsealed_rows 0"));
    assert!(up.interrupt());
}
