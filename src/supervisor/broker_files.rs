//! What the private Mosquitto reads: its settings, who may come in, and what each may say.

use crate::supervisor::Folder;
use crate::supervisor::broker::{
    API_USER, Credential, INGEST_USER, PACKET_BYTES_MAX, QUEUED_BYTES_MAX, QUEUED_MESSAGES_MAX, find,
};
use crate::supervisor::certificates::Certificates;
use crate::supervisor::data_dir::write_private;
use anyhow::bail;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Messages on their way to a session without acknowledgement; above a lane's batch.
const IN_FLIGHT_MAX: usize = 4000;
/// Open files of the broker that trackers do not get: our own sessions, its log, its state.
const FILES_RESERVED: u64 = 256;
/// Fewest trackers' connections; where the limit of open files is lower than usual.
const CONNECTIONS_MIN: u64 = 256;

/// Where a broker listens.
pub(super) struct Listeners<'a> {
    /// For trackers: port, address.
    pub trackers: (u16, &'a str),
    /// For our own services, on loopback.
    pub services: u16,
    /// For our own sessions.
    pub socket: Option<&'a Path>,
}

/// The ports in an earlier run's settings: for trackers, and for our services, which that of an earlier release had not.
pub(super) fn ports_in(conf: &Path) -> (Option<u16>, Option<u16>) {
    let text = fs::read_to_string(conf).unwrap_or_default();
    let mut ports = text
        .lines()
        .filter_map(|l| l.strip_prefix("listener ")?.split(' ').next()?.parse().ok())
        .filter(|port: &u16| *port != 0);
    (ports.next(), ports.next())
}

/// Writes who may come in, and what each may say; a running broker reads both again at a signal.
pub(super) fn write_users(folder: &Folder, trackers: &[Credential]) -> anyhow::Result<()> {
    let home = folder.service("mosquitto")?;
    put(folder, &home, "acl", ACL)?;
    let mut text = own_users(folder, &home)?;
    text.reserve(trackers.len() * LINE_BYTES);
    for tracker in trackers {
        text.push_str(&format!("{}:{}\n", tracker.ident, tracker.password_hash));
    }
    put(folder, &home, "passwords", &text)
}

/// Bytes of a usual line of the password file.
const LINE_BYTES: usize = 132;

/// Puts a file in the place of the one that is there, whole at every moment.
fn put(folder: &Folder, home: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let (fresh, path) = (home.join(name).with_extension("new"), home.join(name));
    write_private(&fresh, text)?;
    folder.hand_over(&fresh)?;
    Ok(fs::rename(fresh, path)?)
}

/// The lines of our own users; `mosquitto_passwd -U` turns their passwords into PBKDF2 hashes.
fn own_users(folder: &Folder, home: &Path) -> anyhow::Result<String> {
    let (ingest, api) = (folder.secret("broker")?.1, folder.secret("broker-api")?.1);
    let plain = format!("{INGEST_USER}:{ingest}\n{API_USER}:{api}\n");
    let mut made = OWN_USERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, hashed)) = made.as_ref().filter(|(of, _)| *of == plain) {
        return Ok(hashed.clone());
    }
    let fresh = home.join("own-users.new");
    write_private(&fresh, &plain)?;
    let output = Command::new(find("mosquitto_passwd")?).arg("-U").arg(&fresh).output()?;
    let hashed = fs::read_to_string(&fresh);
    fs::remove_file(&fresh)?;
    if !output.status.success() {
        bail!("mosquitto_passwd failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let hashed = hashed?;
    *made = Some((plain, hashed.clone()));
    Ok(hashed)
}

/// The lines of our own users with the passwords that they are of: the same at each change, so that our own sessions are
/// never asked to come again.
static OWN_USERS: Mutex<Option<(String, String)>> = Mutex::new(None);

/// Writes the settings and the certificates that they name.
pub(super) fn write_settings(
    folder: &Folder,
    certificates: &Certificates,
    listeners: &Listeners<'_>,
) -> anyhow::Result<PathBuf> {
    let home = folder.service("mosquitto")?;
    for (from, to) in
        [(&certificates.ca, "ca.pem"), (&certificates.server, "server.pem"), (&certificates.server_key, "server.key")]
    {
        let to = home.join(to);
        write_private(&to, &fs::read_to_string(from)?)?;
        folder.hand_over(&to)?;
    }
    let conf = home.join("mosquitto.conf");
    write_private(&conf, &settings(&home, listeners, files_max()))?;
    folder.hand_over(&conf)?;
    Ok(conf)
}

/// The settings' text. Client ids are the trackers' own only where trackers cannot connect; all else Mosquitto has for
/// all listeners at once.
fn settings(home: &Path, listeners: &Listeners<'_>, files_max: u64) -> String {
    let ((port, address), connections_max) =
        (listeners.trackers, files_max.saturating_sub(FILES_RESERVED).max(CONNECTIONS_MIN));
    let trackers =
        (format!("{port} {address}"), format!("use_username_as_clientid true\nmax_connections {connections_max}\n"));
    let services = (format!("{} 127.0.0.1", listeners.services), String::new());
    let socket = listeners.socket.map(|socket| (format!("0 {}", socket.display()), String::new()));
    let home = home.display();
    let listeners: String = [trackers, services]
        .into_iter()
        .chain(socket)
        .map(|(listener, more)| {
            format!(
                "listener {listener}
cafile {home}/ca.pem
certfile {home}/server.pem
keyfile {home}/server.key
tls_version tlsv1.2
{more}"
            )
        })
        .collect();
    format!(
        "# Written by rideguard at every start.
{listeners}allow_anonymous false
password_file {home}/passwords
acl_file {home}/acl
pid_file {home}/mosquitto.pid
persistence true
persistence_location {home}/
autosave_interval 60
max_packet_size {PACKET_BYTES_MAX}
max_inflight_messages {IN_FLIGHT_MAX}
max_queued_messages {QUEUED_MESSAGES_MAX}
max_queued_bytes {QUEUED_BYTES_MAX}
retain_available true
set_tcp_nodelay true
persistent_client_expiration 30d
log_dest stderr
log_type error
log_type warning
log_type notice
log_type subscribe
"
    )
}

/// How many files the broker may open; it has our limit.
fn files_max() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|l| l.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    soft.unwrap_or(1024)
}

/// A tracker publishes under its own name only, and listens to its own answers; ingest hears all, the API what lanes say.
/// The same file is shipped for a broker of one's own as deploy/mosquitto/acl. A line for each tracker's shard would take
/// Mosquitto hours to read of 100,000: it walks through all users for each. Ingest sees to the shard.
pub const ACL: &str = include_str!("../../deploy/mosquitto/acl");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_may_write_under_its_own_name_only() {
        let writes: Vec<&str> = ACL.lines().filter(|l| l.starts_with("pattern")).collect();
        assert_eq!(writes, ["pattern write v1/+/%u/up", "pattern read v1/+/%u/down"], "{ACL}");
        assert!(!ACL.lines().any(|l| l.starts_with("topic") && l.len() < 10), "{ACL}");
    }

    #[test]
    fn the_broker_finds_a_whole_file_at_every_moment() {
        let folder = tempfile::tempdir().unwrap();
        let data = Folder::open(&folder.path().join("data")).unwrap();
        let credential = |n: usize| Credential { ident: format!("yy{n}"), password_hash: "$7$1$x$y".into() };
        write_users(&data, &[credential(1)]).unwrap();
        let home = data.service("mosquitto").unwrap();
        let first = fs::read_to_string(home.join("passwords")).unwrap();
        write_users(&data, &[credential(1), credential(2)]).unwrap();
        let second = fs::read_to_string(home.join("passwords")).unwrap();
        assert_eq!(second, format!("{first}yy2:$7$1$x$y\n"), "our own users keep their lines");
        assert!(first.starts_with(&format!("{INGEST_USER}:$7$")) && !home.join("passwords.new").exists());
    }

    #[test]
    fn only_where_trackers_connect_is_the_user_the_client_id() {
        let socket = Path::new("/s/ingest-tls.sock");
        let listeners = Listeners { trackers: (8883, "0.0.0.0"), services: 8884, socket: Some(socket) };
        let text = settings(Path::new("/s"), &listeners, 1024);
        let parts: Vec<&str> = text.split("listener ").skip(1).collect();
        assert_eq!(parts.len(), 3, "{text}");
        assert!(
            parts[0].starts_with("8883 0.0.0.0\n")
                && parts[0].contains("use_username_as_clientid true\nmax_connections 768\n")
        );
        assert!(parts[1].starts_with("8884 127.0.0.1\n") && parts[2].starts_with("0 /s/ingest-tls.sock\n"));
        assert!(
            parts[1..].iter().all(|part| !part.contains("clientid") && !part.contains("max_connections")),
            "{text}"
        );
        assert!(parts.iter().all(|part| part.contains("tls_version tlsv1.2")), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("conf");
        fs::write(&conf, &text).unwrap();
        assert_eq!(ports_in(&conf), (Some(8883), Some(8884)));
        fs::write(&conf, "listener 8883 127.0.0.1\nlistener 0 /s/ingest-tls.sock\n").unwrap();
        assert_eq!(ports_in(&conf), (Some(8883), None), "as an earlier release wrote it");
    }
}
