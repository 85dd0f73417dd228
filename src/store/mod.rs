//! PostgreSQL and PostGIS: the only SQL of the program, one file per noun.
//!
//! In: rows. Out: rows. Never: decisions about what they mean.

pub mod archive;
pub mod audit;
pub mod commit;
pub mod explain;
pub mod journal;
pub mod lane;
pub mod migrate;
pub mod outbox;
pub mod plates;
pub mod query_thread;
pub mod rebuild;
pub mod registry;
pub mod retention;
pub mod settings;
pub mod tracks;
mod types;

use crate::config::{Database, read_secret};
use anyhow::Context;
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
    /// Owns the schema; ingest, notify, administration.
    Owner,
    /// The API: audited functions only.
    Api,
}

/// The connection settings of a role, password included.
///
/// # Errors
/// Names the password file that cannot be read.
pub fn settings(database: &Database, role: Role) -> anyhow::Result<tokio_postgres::Config> {
    let (user, file) = match role {
        Role::Owner => (&database.user, &database.password_file),
        Role::Api => (&database.api_user, &database.api_password_file),
    };
    let mut settings = tokio_postgres::Config::new();
    settings
        .host(&database.host)
        .port(database.port)
        .dbname(&database.name)
        .user(user)
        .password(read_secret(file)?)
        // Questions over many partitions look dear before they begin; compiling them costs more than answering.
        .options("-c jit=off")
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(Duration::from_secs(30))
        .tcp_user_timeout(Duration::from_secs(20));
    Ok(settings)
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
