//! A private Mosquitto: TLS only, a password for everybody, an ACL that ties a tracker to its topic.

use crate::config::Broker;
use crate::supervisor::certificates::Certificates;
use crate::supervisor::data_dir::write_private;
use crate::supervisor::{Child, Folder, SOCKET_PATH_BYTES_MAX, certificates, free_port};
use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Largest MQTT packet the broker takes, bytes; below what our clients take.
pub const PACKET_BYTES_MAX: usize = 65_536;
/// Messages on their way to a session without acknowledgement; above a lane's batch.
const IN_FLIGHT_MAX: usize = 4000;
/// Our own user at the broker.
pub const INGEST_USER: &str = "rideguard-ingest";

/// A tracker's credential.
pub struct Credential {
    /// Its identifier, and its user name.
    pub ident: String,
    /// Its password.
    pub password: String,
    /// The topic to which it may publish.
    pub topic: String,
}

/// A running broker.
pub struct Mosquitto {
    child: Child,
    /// Its TLS port on loopback.
    pub port: u16,
    /// The authority to trust.
    pub ca_file: PathBuf,
    /// File with the password of [`INGEST_USER`].
    pub password_file: PathBuf,
    /// Where our own sessions connect, by TLS as everywhere: cheaper than TCP for everything that is received. `None` where
    /// the data folder's path is too long for a socket.
    pub socket: Option<PathBuf>,
}

impl Mosquitto {
    /// Starts the broker of a data folder, or adopts a running one. A fresh one lets nobody in but
    /// ourselves until [`Self::admit`]: a tracker's message must not be acknowledged before there is a
    /// session that keeps it. With a public name it listens on every address, otherwise on loopback.
    ///
    /// # Errors
    /// A missing program, or why it does not start.
    pub fn start(folder: &Folder, port: Option<u16>, public_name: Option<&str>) -> anyhow::Result<Self> {
        let program = find("mosquitto")?;
        let (password_file, password) = folder.secret("broker")?;
        let certificates = certificates::make(folder, public_name)?;
        let ca_file = certificates.ca.clone();
        let home = folder.service("mosquitto")?;
        let socket = Some(home.join("ingest-tls.sock")).filter(|s| s.as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        let (conf, pid_file) = (home.join("mosquitto.conf"), home.join("mosquitto.pid"));
        if let Some(child) = Child::adopt("Mosquitto", &pid_file, &conf.to_string_lossy(), Signal::SIGTERM)
            && let Some(port) = port_in(&conf)
        {
            tracing::info!("Adopted Mosquitto of an earlier run");
            let socket = socket.filter(|s| s.exists()); // that of an earlier release had none
            return Ok(Self { child, port, ca_file, password_file, socket });
        }
        let port = match port {
            Some(port) => port,
            None => free_port()?,
        };
        let address = if public_name.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        // Another program there would be taken for the broker below.
        drop(
            TcpListener::bind((address, port))
                .with_context(|| format!("the broker cannot listen on {address}:{port} (--mqtt-port)"))?,
        );
        write_users(folder, &home, &password, &[])?;
        let mut listeners = vec![format!("{port} {address}")];
        listeners.extend(socket.as_ref().map(|s| format!("0 {}", s.display())));
        write_settings(folder, &home, &conf, &certificates, &listeners)?;
        if let Some(socket) = &socket {
            let _ = fs::remove_file(socket); // of a broker that was killed
        }
        let mut command = Command::new(program);
        command.arg("-c").arg(&conf);
        let log = folder.path("mosquitto.log");
        super::put_log_aside(&log)?;
        let child = Child::start("Mosquitto", &mut command, folder.service_user(), &log, Signal::SIGTERM)?;
        let mut started = Self { child, port, ca_file, password_file, socket };
        let since = Instant::now();
        let is_open = |socket: &Option<PathBuf>| socket.as_ref().is_none_or(|s| s.exists());
        while TcpStream::connect(("127.0.0.1", port)).is_err() || !is_open(&started.socket) {
            if !started.child.is_alive() || since.elapsed() > Duration::from_secs(20) {
                bail!("Mosquitto did not start; its log is {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(socket) = &started.socket {
            fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
        }
        Ok(started)
    }

    /// How our own sessions reach it.
    pub fn settings(&self) -> Broker {
        Broker {
            host: "localhost".into(),
            port: self.port,
            ca_file: self.ca_file.clone(),
            username: INGEST_USER.into(),
            password_file: self.password_file.clone(),
            socket: self.socket.clone(),
        }
    }

    /// Lets these trackers in, and nobody else.
    ///
    /// # Errors
    /// The password file cannot be written.
    pub fn admit(&self, folder: &Folder, trackers: &[Credential]) -> anyhow::Result<()> {
        write_users(folder, &folder.service("mosquitto")?, &folder.secret("broker")?.1, trackers)?;
        Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.pid()), Signal::SIGHUP)?) // reads them again
    }

    /// Stops it; it saves its queues first.
    pub fn stop(&mut self) {
        self.child.stop(Duration::from_secs(30));
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.is_alive()
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }
}

/// Looks for the programs that a broker needs.
///
/// # Errors
/// Says which package is missing.
pub fn programs() -> anyhow::Result<()> {
    find("mosquitto")?;
    find("mosquitto_passwd")?;
    Ok(())
}

fn find(program: &str) -> anyhow::Result<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
        .with_context(|| {
            format!("{program} was not found in /usr/sbin or /usr/bin: install the package mosquitto (make demo does)")
        })
}

fn port_in(conf: &Path) -> Option<u16> {
    let text = fs::read_to_string(conf).ok()?;
    let ports = text.lines().filter_map(|l| l.strip_prefix("listener ")?.split(' ').next()?.parse().ok());
    ports.into_iter().find(|port| *port != 0)
}

/// Writes who may come in, and what each may say; a running broker reads both again at a signal.
fn write_users(folder: &Folder, home: &Path, ingest: &str, trackers: &[Credential]) -> anyhow::Result<()> {
    let acl = home.join("acl");
    write_private(&acl, &acl_of(trackers))?;
    folder.hand_over(&acl)?;
    write_passwords(folder, home, ingest, trackers)
}

/// The rules of access: each tracker publishes to the topic of its own shard, so that none reaches another lane.
fn acl_of(trackers: &[Credential]) -> String {
    let mut text = ACL.lines().filter(|l| !l.starts_with("pattern write ")).collect::<Vec<_>>().join("\n") + "\n";
    for tracker in trackers {
        text.push_str(&format!("\nuser {}\ntopic write {}\n", tracker.ident, tracker.topic));
    }
    text
}

/// Writes the password file; `mosquitto_passwd -U` turns the passwords into PBKDF2 hashes.
fn write_passwords(folder: &Folder, home: &Path, ingest: &str, trackers: &[Credential]) -> anyhow::Result<()> {
    let mut text = format!("{INGEST_USER}:{ingest}\n");
    for tracker in trackers {
        text.push_str(&format!("{}:{}\n", tracker.ident, tracker.password));
    }
    let (fresh, path) = (home.join("passwords.new"), home.join("passwords"));
    write_private(&fresh, &text)?;
    let output = Command::new(find("mosquitto_passwd")?).arg("-U").arg(&fresh).output()?;
    if !output.status.success() {
        bail!("mosquitto_passwd failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    folder.hand_over(&fresh)?;
    Ok(fs::rename(fresh, path)?)
}

fn write_settings(
    folder: &Folder,
    home: &Path,
    conf: &Path,
    certificates: &Certificates,
    listeners: &[String],
) -> anyhow::Result<()> {
    for (from, to) in
        [(&certificates.ca, "ca.pem"), (&certificates.server, "server.pem"), (&certificates.server_key, "server.key")]
    {
        let to = home.join(to);
        write_private(&to, &fs::read_to_string(from)?)?;
        folder.hand_over(&to)?;
    }
    let home = home.display();
    let listeners = listeners.iter().map(|listener| {
        format!(
            "listener {listener}
cafile {home}/ca.pem
certfile {home}/server.pem
keyfile {home}/server.key
tls_version tlsv1.2
"
        )
    });
    let listeners: String = listeners.collect();
    let text = format!(
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
max_queued_messages 2000000
retain_available true
set_tcp_nodelay true
persistent_client_expiration 30d
log_dest stderr
log_type error
log_type warning
log_type notice
"
    );
    write_private(conf, &text)?;
    folder.hand_over(conf)
}

/// A tracker publishes under its own name only, and listens to its own answers; ingest hears all.
/// The same file is shipped for a broker of one's own as deploy/mosquitto/acl, where the shard is left open.
const ACL: &str = include_str!("../../deploy/mosquitto/acl");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_may_write_to_its_own_topic_and_no_other() {
        let tracker = Credential { ident: "yy1".into(), password: "x".into(), topic: "v1/9/yy1/up".into() };
        let text = acl_of(&[tracker]);
        assert!(text.ends_with("\nuser yy1\ntopic write v1/9/yy1/up\n"), "{text}");
        assert!(!text.contains("pattern write"), "{text}");
        assert!(text.contains("pattern read v1/+/%u/down"), "{text}");
    }
}
