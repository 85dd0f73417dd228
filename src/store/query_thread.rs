//! Large questions, asked on a thread of their own together with the connections that they go over.
//!
//! An answer has thousands of rows. Where one thread looks after the connection and another after the question, they wake
//! each other for every few rows (a quarter of the time of a large answer), and whoever opens a hundred
//! thousand fixes holds up everybody else whom its thread serves.

use anyhow::Context;
use deadpool_postgres::{Object, Pool};
use std::sync::Arc;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Connections and their thread, which ends when nobody has it any more.
#[derive(Clone)]
pub struct QueryThread {
    pool: Pool,
    thread: Handle,
    _in_use: Arc<oneshot::Sender<()>>,
}

impl QueryThread {
    /// Opens it; `name` is the thread's (15 bytes at most).
    ///
    /// # Errors
    /// No thread can be had.
    pub fn open(name: &str, pool: Pool) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (in_use, deserted) = oneshot::channel::<()>();
        let thread = runtime.handle().clone();
        std::thread::Builder::new().name(name.into()).spawn(move || drop(runtime.block_on(deserted)))?;
        Ok(Self { pool, thread, _in_use: Arc::new(in_use) })
    }

    /// Asks over one of the connections; who stops waiting ends the question.
    ///
    /// # Errors
    /// No connection can be had in time; the question's own; it panicked.
    pub async fn run<T, F>(&self, question: impl FnOnce(Object) -> F + Send + 'static) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>> + Send,
    {
        let pool = self.pool.clone();
        let mut asked = JoinSet::new();
        asked.spawn_on(async move { question(pool.get().await?).await }, &self.thread);
        asked.join_next().await.context("one was asked")??
    }
}
