//! Acknowledgements: each of one publish on one connection, or none at all.

use rumqttc::{AsyncClient, Publish, QoS};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Names one publish on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(super) epoch: u64,
    /// Its packet id; 0: QoS 0, which nobody acknowledges.
    pub(super) id: u16,
}

/// Sends acknowledgements of one session.
///
/// rumqttc flushes after each request, which would make every acknowledgement a TLS record and two
/// system calls on each side. So only the first of a batch goes as a request, which wakes the poll
/// task; the task writes the others behind it and flushes once.
#[derive(Clone)]
pub struct Acks {
    client: AsyncClient,
    connection: Arc<Mutex<Connection>>,
    suppressed: Arc<AtomicU64>,
}

/// What belongs to one connection to the broker.
pub(super) struct Connection {
    pub(super) epoch: u64,
    /// Behind each first acknowledgement that is on its way: the rest of its batch.
    pub(super) rests: VecDeque<(u16, Vec<u16>)>,
}

impl Default for Connection {
    /// No other connection of this process has its epoch, not even of another session: a receipt may
    /// outlive the session it came by.
    fn default() -> Self {
        static EPOCHS: AtomicU64 = AtomicU64::new(1);
        Self { epoch: EPOCHS.fetch_add(1, Ordering::Relaxed), rests: VecDeque::new() }
    }
}

impl Acks {
    pub(super) fn new(client: AsyncClient, connection: Arc<Mutex<Connection>>) -> Self {
        Self { client, connection, suppressed: Arc::default() }
    }

    /// Acknowledges, in order of receipt. Receipts of an older connection are dropped: the broker
    /// delivers those again, and the duplicate filter knows them.
    pub async fn release(&self, receipts: &[Receipt]) {
        // A full queue means that the connection stalls; waiting here is what holds the
        // broker back, and the poll task is another one.
        while !self.try_release(receipts) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Acknowledgements that came too late for their connection.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    fn try_release(&self, receipts: &[Receipt]) -> bool {
        // The lock is held over the call: the poll task raises the epoch under it.
        let mut connection = lock(&self.connection);
        let current = |r: &&Receipt| r.id != 0 && r.epoch == connection.epoch;
        let late = receipts.iter().filter(|r| r.id != 0 && r.epoch != connection.epoch).count();
        let mut ids = receipts.iter().filter(current).map(|r| r.id);
        if let Some(first) = ids.next() {
            let rest = ids.collect();
            let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new());
            publish.pkid = first;
            if self.client.try_ack(&publish).is_err() {
                return false;
            }
            connection.rests.push_back((first, rest));
        }
        self.suppressed.fetch_add(late as u64, Ordering::Relaxed);
        true
    }
}

pub(super) fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
