//! A private PostgreSQL cluster with PostGIS.

use crate::config::Database;
use crate::supervisor::{Child, Folder, SOCKET_PATH_BYTES_MAX, free_port};
use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest a start may take; a cluster that was killed replays its log first.
const START_MAX: Duration = Duration::from_secs(60);

/// The cluster's first role, which PostgreSQL lets nobody take the rights from. `up` makes the others by it, and nobody else uses it.
pub const SUPERUSER: &str = "postgres";

/// A refused statement leaves one line: neither the statement, whose values may be positions, nor details of rows.
const QUIET_LOG: [&str; 4] = ["-c", "log_min_error_statement=panic", "-c", "log_error_verbosity=terse"];

/// A running cluster.
pub struct Postgres {
    child: Child,
    /// Its port on loopback.
    pub port: u16,
    /// Where our own connections go: the folder of its Unix socket, cheaper than TCP for every row; 127.0.0.1
    /// where the data folder's path is too long for a socket.
    pub host: String,
    /// File with the password of the role `rideguard`.
    pub password_file: PathBuf,
    /// File with the password of the superuser [`SUPERUSER`].
    pub superuser_password_file: PathBuf,
}

impl Postgres {
    /// Starts the cluster of a data folder, making it at the first start, or adopts a running one.
    /// After a crash it must come back on the port that everybody knows.
    ///
    /// # Errors
    /// A missing program, or why it does not start.
    pub fn start(folder: &Folder, port: Option<u16>) -> anyhow::Result<Self> {
        let bin = bin_folder()?;
        let (password_file, _) = folder.secret("database")?;
        let (superuser_password_file, _) = folder.secret("database-superuser")?;
        let home = folder.service("postgres")?;
        let data = home.join("data");
        if !data.join("PG_VERSION").exists() {
            init(folder, &bin, &home, &data)?;
        }
        let pid_file = data.join("postmaster.pid");
        if let Some(child) = Child::adopt("PostgreSQL", &pid_file, &data.to_string_lossy(), Signal::SIGINT)
            && let Some(port) = fs::read_to_string(&pid_file)?.lines().nth(3).and_then(|l| l.trim().parse().ok())
        {
            tracing::info!("Adopted PostgreSQL of an earlier run");
            let (ours, superusers) = (password_file.clone(), superuser_password_file.clone());
            let mut adopted =
                Self { child, port, host: loopback(), password_file: ours, superuser_password_file: superusers };
            // It may be on its way back from a crash.
            match adopted.wait(&pid_file, &folder.path("postgres.log")) {
                Ok(()) => {
                    if let Some(sockets) = socket_folder(&home, port).filter(|_| socket(&home, port).exists()) {
                        adopted.host = sockets;
                    }
                    return Ok(adopted);
                }
                Err(error) if adopted.is_alive() => return Err(error),
                Err(_) => {} // it was on its way out
            }
        }
        let port = port.map_or_else(free_port, Ok)?;
        let log = folder.path("postgres.log");
        super::put_log_aside(&log)?;
        let mut command = Command::new(bin.join("postgres"));
        // It is nobody's standby: on the way back to a point in time it is "ready" only where it can be written to.
        command.arg("-D").arg(&data).arg("-p").arg(port.to_string()).args(["-c", "hot_standby=off"]).args(QUIET_LOG);
        let host = socket_folder(&home, port);
        if let Some(sockets) = &host {
            command.arg("-c").arg(format!("unix_socket_directories=\"{sockets}\""));
        }
        let child = Child::start("PostgreSQL", &mut command, folder.service_user(), &log, Signal::SIGINT)?;
        let host = host.unwrap_or_else(loopback);
        let mut started = Self { child, port, host, password_file, superuser_password_file };
        started.wait(&pid_file, &log)?;
        Ok(started)
    }

    fn wait(&mut self, pid_file: &Path, log: &Path) -> anyhow::Result<()> {
        let since = Instant::now();
        // Going back to a point in time takes as long as there is log to replay; it says by itself when it cannot.
        let is_going_back = pid_file.with_file_name("recovery.signal").exists();
        if is_going_back {
            tracing::info!("PostgreSQL recovers to a point in time; waiting for it");
        }
        // The eighth line of postmaster.pid says "ready" (PostgreSQL, miscadmin.h, PM_STATUS_READY).
        while !fs::read_to_string(pid_file).is_ok_and(|t| t.lines().nth(7).is_some_and(|l| l.trim() == "ready")) {
            if !self.child.is_alive() || !is_going_back && since.elapsed() > START_MAX {
                bail!("PostgreSQL did not start; its log is {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Stops it: running statements are ended, everything committed stays.
    pub fn stop(&mut self) {
        self.child.stop(Duration::from_secs(30));
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.is_alive()
    }

    /// How to reach it: each role with its own password, and the superuser.
    ///
    /// # Errors
    /// A secret cannot be written or read.
    pub fn settings(&self, folder: &Folder) -> anyhow::Result<Database> {
        let password_file = |role: &str| Ok::<_, anyhow::Error>(folder.secret(&format!("database-{role}"))?.0);
        Ok(Database {
            host: self.host.clone(),
            port: self.port,
            name: "postgres".into(),
            user: "rideguard".into(),
            password_file: self.password_file.clone(),
            superuser: SUPERUSER.into(),
            superuser_password_file: Some(self.superuser_password_file.clone()),
            api_user: "rideguard_api".into(),
            api_password_file: password_file("api")?,
            ingest_user: "rideguard_ingest".into(),
            ingest_password_file: Some(password_file("ingest")?),
            notify_user: "rideguard_notify".into(),
            notify_password_file: Some(password_file("notify")?),
            rollup_user: "rideguard_rollup".into(),
            rollup_password_file: Some(password_file("rollup")?),
            seal_user: "rideguard_seal".into(),
            seal_password_file: Some(password_file("seal")?),
            door_user: "rideguard_door".into(),
            door_password_file: Some(password_file("door")?),
        })
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }
}

fn loopback() -> String {
    "127.0.0.1".into()
}

/// PostgreSQL's name for its socket (libpq, "host").
fn socket(home: &Path, port: u16) -> PathBuf {
    home.join(format!(".s.PGSQL.{port}"))
}

/// The managed service's own folder, where nobody else may enter, if a socket in it has a name that the kernel takes
/// and PostgreSQL's list of folders can say.
fn socket_folder(home: &Path, port: u16) -> Option<String> {
    let name = home.to_str().filter(|n| !n.contains('"'))?;
    (socket(home, port).as_os_str().len() <= SOCKET_PATH_BYTES_MAX).then(|| name.to_owned())
}

/// Where Debian keeps PostgreSQL's server programs; the newest version that has PostGIS.
///
/// # Errors
/// Says which package is missing.
pub fn bin_folder() -> anyhow::Result<PathBuf> {
    let mut versions: Vec<u32> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_default();
    versions.sort_unstable();
    versions.retain(|v| Path::new(&format!("/usr/lib/postgresql/{v}/bin/postgres")).exists());
    if versions.is_empty() {
        bail!(
            "PostgreSQL was not found below /usr/lib/postgresql: install the packages postgresql and postgresql-VERSION-postgis-3 (make demo does)"
        );
    }
    versions.retain(|v| Path::new(&format!("/usr/share/postgresql/{v}/extension/postgis.control")).exists());
    let newest = versions.last().context(
        "PostgreSQL is there but PostGIS is not: install the package postgresql-VERSION-postgis-3 (make demo does)",
    )?;
    Ok(PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin")))
}

/// A program of PostgreSQL's of this major version.
///
/// # Errors
/// Says which package is missing.
pub fn program(major: u32, name: &str) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin/{name}"));
    if !path.exists() {
        bail!(
            "{name} of PostgreSQL {major}, the server's version, was not found: install the package postgresql-client-{major}"
        );
    }
    Ok(path)
}

fn init(folder: &Folder, bin: &Path, home: &Path, data: &Path) -> anyhow::Result<()> {
    let password_copy = home.join("password");
    fs::copy(folder.secret("database-superuser")?.0, &password_copy)?;
    folder.hand_over(&password_copy)?;
    if data.exists() {
        fs::remove_dir_all(data)?; // half made: a first start was killed
    }
    let mut command = Command::new(bin.join("initdb"));
    command
        .args([
            "--username",
            SUPERUSER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--data-checksums",
        ])
        .arg(format!("--pwfile={}", password_copy.display()))
        .arg("-D")
        .arg(data)
        .current_dir("/");
    if let Some(service_user) = folder.service_user() {
        use std::os::unix::process::CommandExt;
        command.uid(service_user.uid).gid(service_user.gid);
    }
    let output = command.output().context("cannot start initdb")?;
    fs::remove_file(&password_copy)?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let conf = data.join("postgresql.conf");
    let text = fs::read_to_string(&conf)?;
    fs::write(&conf, text + SETTINGS)?;
    Ok(())
}

/// Why each differs from the default: loopback only; a socket only where [`Postgres::start`] finds that its
/// path is short enough; room for 16 lanes and the API; less write-ahead churn on a small machine.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 80
shared_buffers = 256MB
max_wal_size = 2GB
min_wal_size = 256MB
checkpoint_timeout = 15min
wal_compression = lz4
jit = off
logging_collector = off
log_min_messages = warning
";
