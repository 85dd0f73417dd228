//! Starting, stopping and wrong use: one clear sentence each, and nothing is left behind.

use crate::harness::{Up, free_port, program, use_ring};
use crate::support::role::{Differs, Role};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rideguard::config::Config;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// Status and the one sentence of a command that must not succeed.
fn refusal(args: &[&str], password: &str) -> String {
    let mut child = Command::new(program())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who refuses before reading has closed it.
    drop(writeln!(child.stdin.take().unwrap(), "{password}"));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{args:?}: {said}");
    assert!(said.starts_with("rideguard: ") && !said.contains("db error"), "{args:?}: {said}");
    said
}

/// A password that nobody guesses early.
const STRONG: &str = "seven herons over Zijiang";

#[tokio::test]
async fn wrong_use_is_answered_with_one_sentence_and_changes_nothing() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let data = up.folder.to_string_lossy().into_owned();
    let config = up.config().to_string_lossy().into_owned();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, free) = (taken.local_addr().unwrap().to_string(), || format!("127.0.0.1:{}", free_port()));
    let broker = Config::read(&up.config()).unwrap().broker.port.to_string();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let new = elsewhere.path().join("data").to_string_lossy().into_owned();
    let starts: &[(&[&str], &str)] = &[
        (&["--data", &data, "--http", &free(), "--metrics", &free()], "another rideguard is at work"),
        (&["--data", &new, "--http", &taken, "--metrics", &free()], "choose another with --http"),
        (&["--data", &new, "--http", &free(), "--metrics", &taken], "choose another with --metrics"),
        (&["--data", &new, "--http", "0.0.0.0:0"], "must be a loopback address"),
        (&["--data", &new, "--http", &free(), "--metrics", &free(), "--mqtt-port", &broker], "--mqtt-port"),
    ];
    for (flags, sentence) in starts {
        let said = refusal(&[&["up"], *flags].concat(), "");
        assert!(said.contains(sentence), "{flags:?}: {said}");
    }
    let count =
        "SELECT (SELECT count(*) FROM account) + (SELECT count(*) FROM vehicle) + (SELECT count(*) FROM access_grant)";
    let before = up.count(count).await;
    let enters: &[(&str, &str)] = &[
        ("account new --role owner --name New", "the password is too short"),
        ("account guessed-first --role owner --name New", "the password is too easy to guess"),
        (
            "account owner --role owner --name O --webhook-url http://example.org/ --webhook-secret s",
            "set notify.allow_http_webhooks",
        ),
        ("account owner --role police --name Sly", "is there with another role"),
        ("vehicle X1 --kind ebike --owner nobody", "no account has the login"),
        ("vehicle X1 --kind ebike --owner police", "it must be owner"),
        ("vehicle X1 --kind ebike --owner owner --tracker none", "no tracker has the identifier"),
        ("vehicle X1 --kind ebike --owner owner --tracker yy000001", "is in another vehicle"),
        ("vehicle 湘H·D0001 --kind ebike --owner city", "belongs to somebody else"),
        ("tracker a/b --protocol json", "identifier"),
        ("tracker ab --protocol klingon", "no protocol is called"),
        ("grant police --approver police --case-number 1 --purpose x", "of his own"),
        ("grant police --approver owner --case-number 1 --purpose x", "it must be police or admin"),
        ("grant owner --approver police --case-number 1 --purpose x", "it must be police"),
    ];
    // The demonstration's settings allow http; those of a deployment do not.
    let settings = std::fs::read_to_string(&config).unwrap().replace("allow_http_webhooks = true", "");
    let as_in_production = up.folder.join("production.toml").to_string_lossy().into_owned();
    std::fs::write(&as_in_production, settings).unwrap();
    for (thing, sentence) in enters {
        let password = match thing.split(' ').nth(1) {
            Some("new") => "short",
            Some("guessed-first") => "guessed-first",
            _ => STRONG,
        };
        let words: Vec<_> = ["admin", "--config", if thing.contains("http:") { &as_in_production } else { &config }]
            .into_iter()
            .chain(thing.split(' '))
            .collect();
        let said = refusal(&words, password);
        assert!(said.contains(sentence), "{thing}: {said}");
    }
    assert_eq!(up.count(count).await, before, "what was refused left nothing behind");
    // Somebody who is no tracker at all.
    let mut stranger = TcpStream::connect(format!("127.0.0.1:{broker}")).unwrap();
    drop(stranger.write_all(&[0xA5; 4096]));
    assert_eq!(up.text("/ready").await, "ready\n");
}

#[tokio::test]
async fn a_new_password_keeps_the_webhook_until_it_is_taken_away() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let config = up.config().to_string_lossy().into_owned();
    let webhooks = "SELECT count(*) FROM account_channel c JOIN account USING (account_id)
        WHERE login = 'keeper' AND channel = 'webhook' AND address = 'https://example.org/' AND secret = 'key'";
    let account = "account keeper --role owner --name Keeper";
    for (more, left) in
        [(" --webhook-url https://example.org/ --webhook-secret key", 1), ("", 1), (" --no-webhook", 0), ("", 0)]
    {
        let thing = format!("{account}{more}");
        let mut command = Command::new(program());
        let words = ["admin", "--config", &config].into_iter().chain(thing.split(' '));
        let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{STRONG}").unwrap();
        assert!(child.wait().unwrap().success(), "{thing}");
        assert_eq!(up.count(webhooks).await, left, "{thing}");
    }
}

#[tokio::test]
async fn what_is_kept_is_nobody_elses() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let open_to_others = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    for private in [
        "demo-logins",
        "trackers",
        "rideguard.toml",
        "mosquitto.log",
        "postgres.log",
        // What is in a closed folder is closed.
        "secrets",
        "spool",
        "services/mosquitto",
        "services/postgres",
    ] {
        assert_eq!(open_to_others(&up.folder.join(private)), 0, "{private}");
    }
    for secret in [
        "broker",
        "broker-api",
        "broker.key",
        "database",
        "database-superuser",
        "database-api",
        "database-ingest",
        "demo-webhook",
    ] {
        assert_eq!(open_to_others(&up.folder.join("secrets").join(secret)), 0, "{secret}");
    }
    let passwords = fs::read_to_string(up.folder.join("services/mosquitto/passwords")).unwrap();
    assert!(passwords.lines().all(|l| l.contains(":$7$")), "the broker keeps hashes only");
}

#[tokio::test]
async fn a_closed_terminal_stops_the_servants_too() {
    use_ring();
    let mut up = Up::start(3, &[]).await;
    // Nobody reads what it says, and then its terminal goes.
    assert!(up.interrupt());
    let mut child = Command::new(program())
        .args(&up.args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    up.child = child;
    up.wait_ready().await;
    kill(Pid::from_raw(up.child.id() as i32), Signal::SIGHUP).unwrap();
    assert!(up.child.wait().unwrap().success());
    for servant in ["services/postgres/data/postmaster.pid", "services/mosquitto/mosquitto.pid"] {
        assert!(!up.folder.join(servant).exists(), "{servant} is still there");
    }
}

/// F-08: what was acknowledged must survive a crash of the server, so it may not be allowed to forget.
#[tokio::test]
async fn a_database_that_could_forget_is_refused_by_the_name_of_its_setting() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let client = up.superuser().await;
    for name in ["fsync", "full_page_writes", "synchronous_commit"] {
        client.batch_execute(&format!("ALTER SYSTEM SET {name} = off")).await.unwrap();
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        up.wait_for(&format!("SELECT (current_setting('{name}') = 'off')::integer::bigint"), 1).await;
        let mut ingest = Role::start(&up.folder, "ingest", &Differs::default());
        assert_eq!(ingest.ended().await.code(), Some(1), "{name}");
        assert!(ingest.log().contains(&format!("PostgreSQL has {name} = off")), "{name}: {}", ingest.log());
        client.batch_execute(&format!("ALTER SYSTEM RESET {name}")).await.unwrap();
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        up.wait_for(&format!("SELECT (current_setting('{name}') = 'on')::integer::bigint"), 1).await;
    }
}

#[tokio::test]
async fn the_page_comes_compressed_and_is_not_sent_twice() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let page = up.text("/").await;
    let script = page.split('"').rfind(|t| t.ends_with(".js")).expect("the page is built: make web").to_owned();
    let client = reqwest::Client::new();
    let ask = |path: &str, name: &'static str, value: String| {
        client.get(format!("http://{}{path}", up.http)).header(name, value).send()
    };
    let header = |answer: &reqwest::Response, name: &str| {
        answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    };

    let mut sizes = Vec::new();
    for (accepted, coding) in [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("identity", "")] {
        let answer = ask(&script, "Accept-Encoding", accepted.into()).await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "content-encoding")), (200, coding.to_owned()));
        assert_eq!(header(&answer, "vary"), "Accept-Encoding");
        assert!(header(&answer, "cache-control").contains("immutable"));
        sizes.push(answer.bytes().await.unwrap().len());
    }
    assert!(sizes[0] < sizes[1] && sizes[1] * 2 < sizes[2], "{sizes:?}");

    let first = ask("/", "Accept", "text/html".into()).await.unwrap();
    let again = ask("/", "If-None-Match", header(&first, "etag")).await.unwrap();
    assert_eq!((header(&first, "cache-control").as_str(), again.status().as_u16()), ("no-cache", 304));
    assert!(again.bytes().await.unwrap().is_empty());
}
