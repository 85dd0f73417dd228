//! The broker's limits are asked for at the start (F-06), of a real Mosquitto and of one that tells lies.

use crate::fake_broker::FakeBroker;
use crate::harness::{PATIENCE, use_ring};
use rideguard::config::{Broker, Ingest};
use rideguard::ingest::broker_limits;
use rideguard::ingest::broker_limits::{Conflict, Limits};
use rideguard::supervisor::broker::{INGEST_USER, Mosquitto};
use rideguard::supervisor::{Folder, free_port};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A Mosquitto with settings of one's own; ended when dropped.
struct Bare(Child);

impl Bare {
    async fn start(folder: &Path, settings: &str) -> (Self, Broker) {
        use_ring();
        let (conf, ca_file, key_file) = (folder.join("conf"), folder.join("ca.pem"), folder.join("key.pem"));
        let (password_file, port) = (folder.join("password"), free_port().unwrap());
        std::fs::write(&password_file, "any").unwrap();
        let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        std::fs::write(&ca_file, key.cert.pem()).unwrap();
        std::fs::write(&key_file, key.signing_key.serialize_pem()).unwrap();
        let (certificate, key) = (ca_file.display(), key_file.display());
        // "user root": it would otherwise give up the right to its own folder.
        let text = format!(
            "user root\nlistener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\nallow_anonymous true\n{settings}\n"
        );
        std::fs::write(&conf, text).unwrap();
        let program =
            ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|p| Path::new(p).exists()).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&conf).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let bare = Self(command.spawn().unwrap());
        let since = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(since.elapsed() < PATIENCE, "Mosquitto did not start with {settings:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let username = INGEST_USER.into();
        let (host, services_port, socket) = ("localhost".into(), None, None);
        let (api_username, api_password_file) = (None, None);
        let broker = Broker {
            enabled: true,
            host,
            port,
            services_port,
            ca_file,
            username,
            password_file,
            api_username,
            api_password_file,
            socket,
        };
        (bare, broker)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_private_broker_tells_limits_that_fit_ours() {
    use_ring();
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::open(&home.path().join("data")).unwrap();
    let mut broker = Mosquitto::start(&folder, None, None).unwrap();
    let limits = broker_limits::ask(&broker.settings().for_services()).await;
    broker.stop();
    let limits = limits.unwrap();
    assert_eq!((limits.packet_bytes_max, limits.in_flight_max), (Some(65_536), 4000));
    assert_eq!(limits.conflicts(&Ingest::default()), []);
}

#[tokio::test]
async fn a_mosquitto_whose_limits_are_at_odds_with_ours_is_told_of() {
    let cases = [
        ("", vec![Conflict::LargePackets(268_435_455), Conflict::NarrowWindow { broker: 20, ours: 1000 }]),
        ("max_packet_size 200000\nmax_inflight_messages 4000", vec![Conflict::LargePackets(200_000)]),
        ("max_packet_size 65536\nmax_inflight_messages 0", vec![Conflict::WideWindow(65_535)]),
        ("max_packet_size 65536\nmax_inflight_messages 4000\nmax_qos 0", vec![Conflict::NoAcknowledgement(0)]),
        ("max_packet_size 65536\nmax_inflight_messages 4000\nretain_available false", vec![Conflict::NoRetain]),
    ];
    for (settings, conflicts) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (_bare, broker) = Bare::start(folder.path(), settings).await;
        assert_eq!(broker_limits::ask(&broker).await.unwrap().conflicts(&Ingest::default()), conflicts, "{settings}");
        assert_eq!(broker_limits::check(broker, Ingest::default()).await, conflicts.len());
    }
}

#[tokio::test]
async fn a_broker_that_replaces_our_client_ids_is_told_of() {
    let fits = "max_packet_size 65536\nmax_inflight_messages 4000";
    for (setting, keeps) in [("false", true), ("true", false)] {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!("use_username_as_clientid {setting}\n{fits}");
        let (_bare, broker) = Bare::start(folder.path(), &settings).await;
        assert_eq!(broker_limits::keeps_client_ids(&broker).await.unwrap(), keeps, "{setting}");
        assert_eq!(broker_limits::check(broker, Ingest::default()).await, usize::from(!keeps), "{setting}");
    }
}

#[tokio::test]
async fn a_broker_that_is_away_is_asked_again_and_one_that_names_no_limits_has_the_protocols() {
    let broker = FakeBroker::start().await;
    broker_limits::ask(&broker.settings()).await.expect_err("it does not speak MQTT 5");
    let asking = tokio::spawn(broker_limits::check(broker.settings(), Ingest::default()));
    broker.tell_limits(&[]);
    let found = tokio::time::timeout(PATIENCE, asking).await.expect("it has stopped asking").unwrap();
    assert_eq!(found, 2, "any packet, any window");
    // Properties 0x27, 0x21, 0x24 and 0x28 (MQTT 5, 2.2.2.2).
    broker.tell_limits(&[0x27, 0, 0, 0x10, 0, 0x21, 0x07, 0xd0, 0x24, 1, 0x28, 0]);
    let limits = broker_limits::ask(&broker.settings()).await.unwrap();
    let told = Limits {
        packet_bytes_max: Some(4096),
        in_flight_max: 2000,
        qos_max: 1,
        has_wildcards: false,
        has_retain: true,
    };
    assert_eq!(limits, told);
    assert_eq!(limits.conflicts(&Ingest::default()), [Conflict::NoWildcards]);
}
