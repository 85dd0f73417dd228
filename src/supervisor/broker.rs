//! A private Mosquitto: TLS only, a password for everybody, an ACL that ties a tracker to its name.

use crate::config::Broker;
pub use crate::supervisor::broker_files::ACL;
use crate::supervisor::broker_files::{Listeners, ports_in, write_settings, write_users};
use crate::supervisor::broker_log::BrokerLog;
use crate::supervisor::{Child, Folder, SOCKET_PATH_BYTES_MAX, certificates, free_port};
use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Largest MQTT packet the broker takes, bytes; below what our clients take. Mosquitto has one limit for all listeners, so
/// it holds the largest of them all: a report of 500 fixes (docs/protocol-json.md), and 46 KB of lanes' news.
pub const PACKET_BYTES_MAX: usize = 65_536;
/// Most messages that wait for a session, and most bytes of them, whichever is reached first: beyond, Mosquitto drops. At 536
/// bytes a message both are the same; so bytes bind a flood of large packets only, to 1 GiB and not to 128.
pub const QUEUED_MESSAGES_MAX: usize = 2_000_000;
/// See [`QUEUED_MESSAGES_MAX`].
pub const QUEUED_BYTES_MAX: usize = 1 << 30;
/// The user of ingest at the broker.
pub const INGEST_USER: &str = "rideguard-ingest";
/// The user of the API at the broker, which only reads what lanes publish for live maps.
pub const API_USER: &str = "rideguard-api";

/// A tracker's credential.
pub struct Credential {
    /// Its identifier, and its user name.
    pub ident: String,
    /// Its password's hash, as the broker's password file has it.
    pub password_hash: String,
}

/// A running broker.
pub struct Mosquitto {
    child: Child,
    /// Its TLS port for trackers.
    pub port: u16,
    /// Its TLS port for our own services, on loopback; a broker of an earlier release that was adopted has none.
    pub services_port: Option<u16>,
    /// The authority to trust.
    pub ca_file: PathBuf,
    /// File with the password of [`INGEST_USER`].
    pub password_file: PathBuf,
    /// File with the password of [`API_USER`].
    pub api_password_file: PathBuf,
    /// Where our own sessions connect, by TLS as everywhere: cheaper than TCP for everything that is received. `None` where
    /// the data folder's path is too long for a socket.
    pub socket: Option<PathBuf>,
    /// What it says; a broker of an earlier release that was adopted writes it itself.
    log: Option<BrokerLog>,
}

impl Mosquitto {
    /// Starts the broker of a data folder, or adopts a running one. A fresh one lets nobody in but
    /// ourselves until [`Self::admit`]: a tracker's message must not be acknowledged before there is a
    /// session that keeps it. With a public name it listens to trackers on every address, otherwise on loopback.
    ///
    /// # Errors
    /// A missing program, or why it does not start.
    pub fn start(folder: &Folder, port: Option<u16>, public_name: Option<&str>) -> anyhow::Result<Self> {
        Self::start_on(folder, (port, None), public_name)
    }

    /// Starts one in the place of this one, which has ended: on the ports that everybody knows.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_again(&self, folder: &Folder, public_name: Option<&str>) -> anyhow::Result<Self> {
        Self::start_on(folder, (Some(self.port), self.services_port), public_name)
    }

    fn start_on(
        folder: &Folder,
        (port, services_port): (Option<u16>, Option<u16>),
        public_name: Option<&str>,
    ) -> anyhow::Result<Self> {
        let program = find("mosquitto")?;
        let (password_file, api_password_file) = (folder.secret("broker")?.0, folder.secret("broker-api")?.0);
        let certificates = certificates::make(folder, public_name)?;
        let ca_file = certificates.ca.clone();
        let home = folder.service("mosquitto")?;
        let socket = Some(home.join("ingest-tls.sock")).filter(|s| s.as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        let (conf, pid_file) = (home.join("mosquitto.conf"), home.join("mosquitto.pid"));
        if let Some(child) = Child::adopt("Mosquitto", &pid_file, &conf.to_string_lossy(), Signal::SIGTERM)
            && let (Some(port), services_port) = ports_in(&conf)
        {
            tracing::info!("Adopted Mosquitto of an earlier run");
            let socket = socket.filter(|s| s.exists()); // that of an earlier release had none
            let log = BrokerLog::follow(folder, &home)?;
            return Ok(Self { child, port, services_port, ca_file, password_file, api_password_file, socket, log });
        }
        let or_free = |port: Option<u16>| port.map_or_else(free_port, Ok);
        let (port, services) = (or_free(port)?, or_free(services_port)?);
        let address = if public_name.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        // Another program there would be taken for the broker below.
        drop(
            TcpListener::bind((address, port))
                .with_context(|| format!("the broker cannot listen on {address}:{port} (--mqtt-port)"))?,
        );
        write_users(folder, &[])?;
        let listeners = Listeners { trackers: (port, address), services, socket: socket.as_deref() };
        write_settings(folder, &certificates, &listeners)?;
        if let Some(socket) = &socket {
            let _ = fs::remove_file(socket); // of a broker that was killed
        }
        let mut command = Command::new(program);
        command.arg("-c").arg(&conf);
        let (log, output) = BrokerLog::start(folder, &home)?;
        let child = Child::start_into("Mosquitto", &mut command, folder.service_user(), output, Signal::SIGTERM)?;
        let (services_port, log) = (Some(services), Some(log));
        let mut started = Self { child, port, services_port, ca_file, password_file, api_password_file, socket, log };
        let since = Instant::now();
        let is_open = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
        while !(is_open(port) && is_open(services) && started.socket.as_ref().is_none_or(|s| s.exists())) {
            if !started.child.is_alive() || since.elapsed() > Duration::from_secs(20) {
                bail!("Mosquitto did not start; its log is {}", folder.path("mosquitto.log").display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(socket) = &started.socket {
            fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
        }
        Ok(started)
    }

    /// How it is reached: by trackers at `port`, by our own services at theirs ([`Broker::for_services`]).
    pub fn settings(&self) -> Broker {
        Broker {
            enabled: true,
            host: "localhost".into(),
            port: self.port,
            services_port: self.services_port,
            ca_file: self.ca_file.clone(),
            username: INGEST_USER.into(),
            password_file: self.password_file.clone(),
            api_username: Some(API_USER.into()),
            api_password_file: Some(self.api_password_file.clone()),
            socket: self.socket.clone(),
        }
    }

    /// Lets these trackers in, and nobody else. Who is not among them, or has another password now, is thrown off: at
    /// the signal Mosquitto 2.0 asks for the password of each connection again. Nobody else notices.
    ///
    /// # Errors
    /// The password file cannot be written.
    pub fn admit(&self, folder: &Folder, trackers: &[Credential]) -> anyhow::Result<()> {
        write_users(folder, trackers)?;
        if let Some(log) = &self.log {
            log.watch(trackers.iter().map(|tracker| tracker.ident.as_str()));
        }
        Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.pid()), Signal::SIGHUP)?) // reads them again
    }

    /// Stops it; it saves its queues first.
    pub fn stop(&mut self) {
        self.child.stop(Duration::from_secs(30));
    }

    /// Filters that reach topics of others, to which trackers have subscribed since it was started or adopted.
    pub fn foreign_subscriptions(&self) -> u64 {
        self.log.as_ref().map_or(0, BrokerLog::foreign_subscriptions)
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

/// The settings of a data folder without a broker.
pub fn none(folder: &Folder) -> Broker {
    Broker {
        enabled: false,
        host: String::new(),
        port: 0,
        services_port: None,
        ca_file: folder.path("ca.pem"),
        username: INGEST_USER.into(),
        password_file: PathBuf::new(),
        api_username: None,
        api_password_file: None,
        socket: None,
    }
}

/// Where a broker of an earlier start keeps what it has acknowledged and nobody has fetched, if there was one.
pub fn home_of_earlier(folder: &Folder) -> Option<PathBuf> {
    Some(folder.path("services/mosquitto")).filter(|home| home.exists())
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

pub(super) fn find(program: &str) -> anyhow::Result<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
        .with_context(|| {
            format!("{program} was not found in /usr/sbin or /usr/bin: install the package mosquitto (make demo does)")
        })
}
