//! Where the servers are, and as whom each process speaks to them.

use serde::Deserialize;
use std::path::PathBuf;

/// How to reach PostgreSQL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Host name or address; with a slash at its start the folder of a Unix socket on this machine, as libpq has it.
    pub host: String,
    /// Port; a part of the name of a Unix socket, too.
    #[serde(default = "port_5432")]
    pub port: u16,
    /// Database name.
    #[serde(default = "rideguard")]
    pub name: String,
    /// Role of migrations, commands and administration: a member of the schema's owner.
    #[serde(default = "rideguard")]
    pub user: String,
    /// File with its password.
    pub password_file: PathBuf,
    /// Role that makes the others at the start of `migrate`, and is used for nothing else.
    #[serde(default = "superuser")]
    pub superuser: String,
    /// File with its password; without one an administrator of the server makes the roles.
    #[serde(default)]
    pub superuser_password_file: Option<PathBuf>,
    /// Role of the API: cannot read tracks but through audited functions.
    #[serde(default = "api_role")]
    pub api_user: String,
    /// File with its password.
    pub api_password_file: PathBuf,
    /// Role of ingest; without its password file `user` is taken.
    #[serde(default = "ingest_role")]
    pub ingest_user: String,
    /// File with its password.
    #[serde(default)]
    pub ingest_password_file: Option<PathBuf>,
    /// Role of notifications; without its password file `user` is taken.
    #[serde(default = "notify_role")]
    pub notify_user: String,
    /// File with its password.
    #[serde(default)]
    pub notify_password_file: Option<PathBuf>,
    /// Role of the rollup; without its password file `user` is taken.
    #[serde(default = "rollup_role")]
    pub rollup_user: String,
    /// File with its password.
    #[serde(default)]
    pub rollup_password_file: Option<PathBuf>,
    /// Role of the seal of the audit; without its password file `user` is taken.
    #[serde(default = "seal_role")]
    pub seal_user: String,
    /// File with its password.
    #[serde(default)]
    pub seal_password_file: Option<PathBuf>,
    /// Role of a door that is a process of its own; without its password file `user` is taken.
    #[serde(default = "door_role")]
    pub door_user: String,
    /// File with its password.
    #[serde(default)]
    pub door_password_file: Option<PathBuf>,
}

impl Database {
    pub(super) fn optional_files(&mut self) -> [&mut Option<PathBuf>; 6] {
        [
            &mut self.superuser_password_file,
            &mut self.ingest_password_file,
            &mut self.notify_password_file,
            &mut self.rollup_password_file,
            &mut self.seal_password_file,
            &mut self.door_password_file,
        ]
    }
}

/// How to reach the broker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// Whether there is one; without it, all trackers come by the door.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Host name or address, as in its certificate; needed if there is one, as the two files are.
    #[serde(default)]
    pub host: String,
    /// TLS port where trackers connect.
    #[serde(default = "port_8883")]
    pub port: u16,
    /// TLS port for our own services, where client ids are kept; without it they use `port`.
    #[serde(default)]
    pub services_port: Option<u16>,
    /// The certificate authority to trust, PEM.
    #[serde(default)]
    pub ca_file: PathBuf,
    /// Our own user.
    #[serde(default = "ingest_user")]
    pub username: String,
    /// File with its password.
    #[serde(default)]
    pub password_file: PathBuf,
    /// The user of the API, which reads only what lanes publish for live maps; without it the API is `username`.
    #[serde(default)]
    pub api_username: Option<String>,
    /// File with its password.
    #[serde(default)]
    pub api_password_file: Option<PathBuf>,
    /// Unix socket of a broker on this machine, a listener with the certificate for `host`: our own sessions go there, by TLS
    /// as elsewhere, which is cheaper than TCP and lets many acknowledgements be read at once.
    #[serde(default)]
    pub socket: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

impl Broker {
    /// Says what is missing; before files are looked for.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let needed = [
            ("host", self.host.is_empty()),
            ("ca_file", self.ca_file.as_os_str().is_empty()),
            ("password_file", self.password_file.as_os_str().is_empty()),
        ];
        match needed.into_iter().find(|(_, is_missing)| self.enabled && *is_missing) {
            Some((name, _)) => anyhow::bail!("broker.{name} is missing; without a broker set broker.enabled = false"),
            None => Ok(()),
        }
    }

    /// As our own services connect: on the port that is theirs.
    #[must_use]
    pub fn for_services(&self) -> Self {
        Self { port: self.services_port.unwrap_or(self.port), ..self.clone() }
    }

    /// As the API connects: on the services' port, as its own user if it has one.
    #[must_use]
    pub fn for_api(&self) -> Self {
        let mut broker = self.for_services();
        if let (Some(username), Some(file)) = (&self.api_username, &self.api_password_file) {
            (broker.username, broker.password_file) = (username.clone(), file.clone());
        }
        broker
    }

    /// Whether the API has a user of its own.
    pub fn has_api_user(&self) -> bool {
        self.api_username.is_some() && self.api_password_file.is_some()
    }
}

/// How people log in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accounts {
    /// File of the key that secrets of second factors are sealed under; only the role api reads it.
    pub key_file: Option<PathBuf>,
}

fn port_5432() -> u16 {
    5432
}
fn port_8883() -> u16 {
    8883
}
fn rideguard() -> String {
    "rideguard".into()
}
fn superuser() -> String {
    "postgres".into()
}
fn api_role() -> String {
    "rideguard_api".into()
}
fn ingest_role() -> String {
    "rideguard_ingest".into()
}
fn notify_role() -> String {
    "rideguard_notify".into()
}
fn rollup_role() -> String {
    "rideguard_rollup".into()
}
fn seal_role() -> String {
    "rideguard_seal".into()
}

fn door_role() -> String {
    "rideguard_door".into()
}
fn ingest_user() -> String {
    "rideguard-ingest".into()
}
