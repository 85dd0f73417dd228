//! PostgreSQL and PostGIS: the only SQL of the program, one file per noun.
//!
//! In: rows. Out: rows. Never: decisions about what they mean.

pub mod accounts;
pub mod archive;
pub mod audit;
pub mod belongings;
pub mod broker_users;
pub mod commit;
pub mod door_report;
pub mod door_sockets;
pub mod explain;
pub mod imports;
pub mod journal;
pub mod lane;
pub mod migrate;
pub mod outbox;
pub mod plates;
pub mod proof;
pub mod query_thread;
pub mod rebuild;
pub mod registry;
pub mod retention;
pub mod roles;
pub mod settings;
pub mod tracks;
mod types;
pub mod units;

use crate::config::{Database, read_secret};
use anyhow::Context;
use std::path::Path;
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

/// Longest a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest a statement of ingest may take; beyond that the database counts as away. Above what a slow
/// disk needs for a commit.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Gives up on a database that does not answer. No timeout of its own fires when it is stopped.
///
/// # Errors
/// Says for how long it has not answered, or what `asked` says.
pub async fn answered<T>(asked: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(ANSWER_MAX, asked)
        .await
        .with_context(|| format!("PostgreSQL has not answered for {} s", ANSWER_MAX.as_secs()))?
}

/// Which role a connection speaks as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Migrations and commands of people: a member of the schema's owner.
    Admin,
    /// Lanes.
    Ingest,
    /// The outbox.
    Notify,
    /// Tracks and retention.
    Rollup,
    /// The seal of the audit.
    Seal,
    /// The API: audited functions only.
    Api,
    /// A door that is a process of its own: who may come in.
    Door,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] =
        [Self::Admin, Self::Ingest, Self::Notify, Self::Rollup, Self::Seal, Self::Api, Self::Door];

    /// The group whose rights it has.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Admin => roles::OWNER,
            Self::Ingest => "rideguard_ingest_rights",
            Self::Notify => "rideguard_notify_rights",
            Self::Rollup => "rideguard_rollup_rights",
            Self::Seal => "rideguard_seal_rights",
            Self::Api => "rideguard_api_rights",
            Self::Door => "rideguard_door_rights",
        }
    }
}

impl Database {
    /// Name and password file of a role; `None`: the settings have none for it.
    pub fn login(&self, role: Role) -> Option<(&str, &Path)> {
        let (user, file) = match role {
            Role::Admin => (&self.user, Some(&self.password_file)),
            Role::Ingest => (&self.ingest_user, self.ingest_password_file.as_ref()),
            Role::Notify => (&self.notify_user, self.notify_password_file.as_ref()),
            Role::Rollup => (&self.rollup_user, self.rollup_password_file.as_ref()),
            Role::Seal => (&self.seal_user, self.seal_password_file.as_ref()),
            Role::Api => (&self.api_user, Some(&self.api_password_file)),
            Role::Door => (&self.door_user, self.door_password_file.as_ref()),
        };
        file.map(|file| (user.as_str(), file.as_path()))
    }
}

/// The connection settings of a role, password included; without one of its own those of the administration.
///
/// # Errors
/// Names the password file that cannot be read.
pub fn settings(database: &Database, role: Role) -> anyhow::Result<tokio_postgres::Config> {
    let (user, file) = database.login(role).unwrap_or((&database.user, &database.password_file));
    Ok(settings_as(database, user, &read_secret(file)?))
}

fn settings_as(database: &Database, user: &str, password: &str) -> tokio_postgres::Config {
    let mut settings = tokio_postgres::Config::new();
    settings
        .host(&database.host)
        .port(database.port)
        .dbname(&database.name)
        .user(user)
        .password(password)
        // Questions over many partitions look dear before they begin; compiling them costs more than answering.
        .options("-c jit=off")
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(Duration::from_secs(30))
        .tcp_user_timeout(Duration::from_secs(20));
    settings
}

/// Opens one connection; a task drives it until the client is dropped.
///
/// # Errors
/// Says where PostgreSQL was looked for and why it did not answer.
pub async fn connect(settings: &tokio_postgres::Config, purpose: &str) -> anyhow::Result<Client> {
    let mut settings = settings.clone();
    settings.application_name(format!("rideguard {purpose}"));
    // Its own timeout ends with the TCP connection; a server that is stopped takes that and says nothing.
    let (client, connection) = tokio::time::timeout(CONNECT_TIMEOUT, settings.connect(NoTls))
        .await
        .with_context(|| format!("PostgreSQL does not answer ({})", place(&settings)))?
        .with_context(|| format!("PostgreSQL refuses the connection ({})", place(&settings)))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "Database connection ended");
        }
    });
    Ok(client)
}

fn place(settings: &tokio_postgres::Config) -> String {
    let host = match settings.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
        Some(tokio_postgres::config::Host::Unix(folder)) => folder.display().to_string(),
        None => "no host".into(),
    };
    let port = settings.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}, database {}", settings.get_dbname().unwrap_or("?"))
}

/// The server's major version.
///
/// # Errors
/// The database's own word.
pub async fn server_major(client: &Client) -> anyhow::Result<u32> {
    let number: String = client.query_one("SHOW server_version_num", &[]).await?.get(0);
    Ok(number.parse::<u32>().context("PostgreSQL's version is not a number")? / 10_000)
}

/// Refuses a server whose tables lie on other servers, too: a copy of it would leave them out.
///
/// # Errors
/// Names the extension, or the database's own word.
pub async fn must_hold_everything(client: &Client) -> anyhow::Result<()> {
    let sql = "SELECT string_agg(name, ', ') FROM (
        SELECT 'the extension ' || extname AS name FROM pg_extension WHERE extname = 'citus'
        UNION ALL SELECT 'the foreign table ' || relname FROM pg_class WHERE relkind = 'f') elsewhere";
    match client.query_one(sql, &[]).await?.get::<_, Option<String>>(0) {
        Some(names) => anyhow::bail!(
            "the database has {names}, so data may lie on other servers; a backup of this one would not hold everything"
        ),
        None => Ok(()),
    }
}

/// Refuses a server that could forget what it has committed.
///
/// # Errors
/// Names the setting that is off, or PostGIS if it is missing.
pub async fn check_durability(client: &Client) -> anyhow::Result<()> {
    for name in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String = client.query_one("SELECT current_setting($1)", &[&name]).await?.get(0);
        if value == "off" {
            anyhow::bail!("PostgreSQL has {name} = off: it could forget what we acknowledged. Switch it on");
        }
    }
    Ok(())
}

/// The schema's own sentence, without "db error".
fn said(error: tokio_postgres::Error) -> anyhow::Error {
    match error.as_db_error() {
        Some(ours) if ours.code().code().starts_with("P0") => anyhow::anyhow!("{}", ours.message()),
        _ => error.into(),
    }
}
