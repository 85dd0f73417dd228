//! Acknowledgements: each of one publish on one connection, or none at all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Acknowledgements that wait to be written; beyond that nothing more is read. As many as there are packet ids.
const WAITING_MAX: usize = u16::MAX as usize;

/// Names one publish on one connection to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerReceipt {
    pub(super) epoch: u64,
    /// Its packet id; 0: QoS 0, which nobody acknowledges.
    pub(super) id: u16,
}

/// Sends acknowledgements of one session.
#[derive(Clone, Default)]
pub struct Acks {
    queue: Arc<AckQueue>,
    suppressed: Arc<AtomicU64>,
}

/// Between those who acknowledge and the connection.
#[derive(Default)]
pub(super) struct AckQueue {
    connection: Mutex<Connection>,
    /// Something waits.
    came: Notify,
    /// What waited was taken.
    taken: Notify,
}

/// What belongs to one connection to the broker.
struct Connection {
    epoch: u64,
    /// In order of release.
    waiting: Vec<u16>,
}

impl Default for Connection {
    /// No other connection of this process has its epoch, not even of another session: a receipt may
    /// outlive the session it came by.
    fn default() -> Self {
        static EPOCHS: AtomicU64 = AtomicU64::new(1);
        Self { epoch: EPOCHS.fetch_add(1, Ordering::Relaxed), waiting: Vec::new() }
    }
}

impl Acks {
    /// The connection's end of it.
    pub(super) fn queue(&self) -> Arc<AckQueue> {
        self.queue.clone()
    }

    /// Acknowledges, in order of receipt. Receipts of an older connection are dropped: the broker
    /// delivers those again, and the duplicate filter knows them.
    pub fn release(&self, receipts: &[BrokerReceipt]) {
        let mut connection = self.queue.lock();
        let (current, late): (Vec<&BrokerReceipt>, Vec<_>) =
            receipts.iter().filter(|r| r.id != 0).partition(|r| r.epoch == connection.epoch);
        self.suppressed.fetch_add(late.len() as u64, Ordering::Relaxed);
        if !current.is_empty() {
            connection.waiting.extend(current.iter().map(|r| r.id));
            self.queue.came.notify_one();
        }
    }

    /// Acknowledgements that came too late for their connection.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }
}

impl AckQueue {
    /// The connection that is, or is to come.
    pub(super) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Nothing of the connection that was may be acknowledged from here on, also what was released already.
    pub(super) fn end_epoch(&self) {
        *self.lock() = Connection::default();
    }

    /// Waits for what is to be acknowledged; keeps its order.
    pub(super) async fn take(&self) -> Vec<u16> {
        loop {
            let waiting = std::mem::take(&mut self.lock().waiting);
            if !waiting.is_empty() {
                self.taken.notify_one();
                return waiting;
            }
            self.came.notified().await;
        }
    }

    /// Waits until it is no longer full of what the broker does not take.
    pub(super) async fn room(&self) {
        while self.lock().waiting.len() >= WAITING_MAX {
            self.taken.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
