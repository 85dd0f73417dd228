//! What operators see of the door: its listeners and the connections of trackers.

use crate::domain::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio_postgres::{Client, Error};

/// A listener as operators see it.
#[derive(Debug)]
pub struct Listener {
    /// What is spoken there.
    pub language: &'static str,
    /// Address and port.
    pub address: String,
    /// Whether it takes datagrams.
    pub is_udp: bool,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// Trackers that are there.
    pub connected: u64,
    /// Connections that have not logged in.
    pub strangers: u64,
    /// Connections that ended, by why; datagrams, by what became of them.
    pub ended: BTreeMap<&'static str, u64>,
}

/// Connections as columns, in the order of a call.
#[derive(Debug, Default)]
pub struct Connections {
    /// Trackers.
    pub idents: Vec<String>,
    /// When they came.
    pub began_at: Vec<Timestamp>,
    /// When they went.
    pub ended_at: Vec<Option<Timestamp>>,
    /// Why.
    pub reasons: Vec<Option<&'static str>>,
    /// By which listener.
    pub listeners: Vec<i16>,
    /// Version of MQTT.
    pub mqtt: Vec<Option<&'static str>>,
    /// From which network.
    pub networks: Vec<String>,
}

/// Says that a worker is there, and how its listeners are; whether it has to tell of every connection again.
///
/// # Errors
/// The database's own word.
pub async fn beat(
    client: &Client,
    (worker, began_at): (&str, Timestamp),
    is_list_read: bool,
    listeners: &[Listener],
) -> Result<bool, Error> {
    let of = |l: &Listener| json!([l.language, l.address, l.is_udp, l.is_tls, l.connected, l.strangers, l.ended]);
    let listeners: Value = listeners.iter().map(of).collect();
    let sql = "SELECT door_beat($1, $2, $3, $4)";
    Ok(client.query_one(sql, &[&worker, &began_at, &is_list_read, &listeners]).await?.get(0))
}

/// Notes how trackers are connected, or were.
///
/// # Errors
/// The database's own word.
pub async fn note(client: &Client, worker: &str, connections: &Connections) -> Result<(), Error> {
    let Connections { idents, began_at, ended_at, reasons, listeners, mqtt, networks } = connections;
    let sql = "SELECT door_note($1, $2, $3, $4, $5, $6, $7, $8)";
    client.execute(sql, &[&worker, idents, began_at, ended_at, reasons, listeners, mqtt, networks]).await.map(drop)
}

/// Says that a worker stops.
///
/// # Errors
/// The database's own word.
pub async fn leave(client: &Client, worker: &str) -> Result<(), Error> {
    client.execute("SELECT door_leave($1)", &[&worker]).await.map(drop)
}
