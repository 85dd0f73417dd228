//! A private PostgreSQL with the schema, for tests that need no program at work.

use crate::harness::TURN;
use std::fs;
use std::path::{Path, PathBuf};
use tokio_postgres::Client;

/// A private PostgreSQL with the schema, without anything at work on it.
pub struct Database {
    pub folder: PathBuf,
    postgres: rideguard::supervisor::postgres::Postgres,
    pub config: rideguard::config::Database,
    pub settings: tokio_postgres::Config,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Database {
    pub async fn start() -> Self {
        let turn = TURN.lock().await;
        let path = std::env::temp_dir().join(format!("rideguard-test-{:016x}", rand::random::<u64>()));
        let folder = rideguard::supervisor::Folder::open(&path).unwrap();
        let postgres = rideguard::supervisor::postgres::Postgres::start(&folder, None).unwrap();
        let config = postgres.settings(&folder).unwrap();
        rideguard::store::roles::prepare(&config).await.unwrap();
        let settings = rideguard::store::settings(&config, rideguard::store::Role::Admin).unwrap();
        let database = Self { folder: path, postgres, config, settings, _turn: turn };
        let mut client = database.connect().await;
        rideguard::store::migrate::migrate(&mut client).await.unwrap();
        rideguard::store::tracks::partitions::make(&client, 3).await.unwrap();
        database
    }

    /// How the process of the rollup connects.
    pub fn rollup_settings(&self) -> tokio_postgres::Config {
        rideguard::store::settings(&self.config, rideguard::store::Role::Rollup).unwrap()
    }

    /// A connection as the process of the rollup, which does the nightly work, too.
    pub async fn rollup(&self) -> Client {
        rideguard::store::connect(&self.rollup_settings(), "test").await.unwrap()
    }

    /// A connection as the superuser.
    pub async fn superuser(&self) -> Client {
        superuser(self.settings.clone(), self.superuser_password_file()).await
    }

    /// Where the superuser's password is.
    pub fn superuser_password_file(&self) -> &Path {
        self.config.superuser_password_file.as_ref().unwrap()
    }

    /// A connection as the administration.
    pub async fn connect(&self) -> Client {
        rideguard::store::connect(&self.settings, "test").await.unwrap()
    }
}

/// A connection as the superuser of a private cluster.
pub async fn superuser(mut settings: tokio_postgres::Config, password_file: &Path) -> Client {
    settings.user("postgres").password(rideguard::config::read_secret(password_file).unwrap());
    rideguard::store::connect(&settings, "superuser").await.unwrap()
}

impl Drop for Database {
    fn drop(&mut self) {
        self.postgres.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
