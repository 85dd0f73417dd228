//! The door as operators see it: its listeners, and how trackers are connected to them.

use super::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The doors, those that are there first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackerDoors {
    /// One for each process that runs a door, and the last four that are gone, for a day.
    pub doors: Vec<TrackerDoor>,
}

/// The door of a process.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackerDoor {
    /// When the process began.
    pub began_at: Time,
    /// When it last said that it is there; it does so every 2 s.
    pub seen_at: Time,
    /// When it stopped, or was there last; none: it is there.
    pub ended_at: Option<Time>,
    /// Whether it knows whom to let in. Before, it lets nobody in.
    pub is_list_read: bool,
    /// In the order of its settings.
    pub listeners: Vec<DoorListener>,
}

/// A port on which trackers come.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorListener {
    /// What is spoken there: `mqtt`, `gt06`, `h02`, `jt808`, `teltonika`.
    pub language: String,
    /// Address and port.
    pub address: String,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Whether by TLS.
    pub is_tls: bool,
    /// Trackers of mine that are there; by UDP those that were heard within half an hour.
    pub connected: i32,
    /// Trackers of everybody; none: for who sees every tracker only.
    pub connected_in_all: Option<i32>,
    /// Connections that have not logged in; none as above.
    pub strangers: Option<i32>,
    /// Since the process began: connections by why they ended, datagrams by what became of them (docs/door.md); none as above.
    pub ended: Option<BTreeMap<String, i64>>,
}

/// How a tracker is connected to the door, or was last.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackerConnection {
    /// When it logged in, or sent its first datagram.
    pub began_at: Time,
    /// When it ended; none: it is there.
    pub ended_at: Option<Time>,
    /// Why it ended: a reason of docs/door.md, or `lost`: the process that had it is gone.
    pub reason: Option<String>,
    /// What it speaks there.
    pub language: String,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Whether by TLS.
    pub is_tls: bool,
    /// `3.1.1` or `5`, if it speaks MQTT.
    pub mqtt_version: Option<String>,
}
