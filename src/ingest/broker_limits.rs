//! What the broker says of its limits, and where they are at odds with ours.
//!
//! Our sessions speak MQTT 3.1.1, in which a broker states none of its limits. So one connection is made
//! by MQTT 5 at the start, of which only the answer matters: a limit that is wrong costs throughput, or
//! shows only when the first large packet comes, and then as a connection that breaks.

use crate::config::{Broker, Ingest, read_secret};
use crate::ingest::client_options::{DELIVERIES_MAX, PACKET_BYTES_MAX, jittered, transport};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::time::Duration;

/// Longest one question may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Longest the broker's version is waited for, which not every broker tells.
const VERSION_MAX: Duration = Duration::from_secs(3);
/// Where Mosquitto tells its version, retained.
const VERSION_TOPIC: &str = "$SYS/broker/version";
/// Oldest Mosquitto without known faults that a tracker's password is enough for: in 2.0.21 a leak by SUBSCRIBE and the rest
/// of CVE-2023-28366 were mended, in 2.0.19 a crash by UNSUBSCRIBE, in 2.0.16 memory taken before CONNECT, in 2.0.12 the
/// count of `max_connections` (its ChangeLog).
const MOSQUITTO_FLOOR: Version = Version(2, 0, 21);
/// Within which a broker that replaces client ids has ended the first of two connections.
const TAKEOVER_MAX: Duration = Duration::from_secs(1);
/// Longest a broker may take to end the connection.
const GOODBYE_MAX: Duration = Duration::from_secs(2);
/// First and longest wait before a broker that is away is asked again.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// What "no limit" means where the broker names none (MQTT 5, 3.2.2.3).
const RECEIVE_MAXIMUM: u16 = u16::MAX;
const MAXIMUM_QOS: u8 = 2;

/// Limits of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest packet it takes, bytes; `None`: whatever the protocol allows.
    pub packet_bytes_max: Option<u32>,
    /// Most messages without acknowledgement. It is said of the way to the broker; the usual brokers
    /// have one setting for both ways.
    pub in_flight_max: u16,
    /// Highest quality of service.
    pub qos_max: u8,
    /// Whether a subscription may hold `+` and `#`.
    pub has_wildcards: bool,
    /// Whether messages may be retained.
    pub has_retain: bool,
}

/// Where a limit is at odds with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// It could send us what we do not take.
    #[error(
        "the broker takes packets of up to {0} bytes, ingest up to {PACKET_BYTES_MAX}: a larger one breaks a lane's connection twice before it is taken, cut and quarantined; set the broker's max_packet_size to {PACKET_BYTES_MAX} or less"
    )]
    LargePackets(u64),
    /// Batches cannot fill.
    #[error(
        "the broker has {broker} messages on their way at a time, fewer than a batch of {ours} (ingest.batch_packets_max): batches cannot fill; set its max_inflight_messages above that"
    )]
    NarrowWindow {
        /// Messages without acknowledgement.
        broker: u16,
        /// Packets of a batch.
        ours: usize,
    },
    /// While a batch is being written, more may come than has room.
    #[error(
        "the broker has up to {0} messages on their way at a time, more than the {DELIVERIES_MAX} for which a lane has room: while the database is slow, the rest waits unread in the connection; set its max_inflight_messages to {DELIVERIES_MAX} or less"
    )]
    WideWindow(u16),
    /// Nothing could be acknowledged.
    #[error(
        "the broker's highest quality of service is {0}; ingest needs 1, for without it nothing is acknowledged: our subscriptions will not be taken as made"
    )]
    NoAcknowledgement(u8),
    /// We could hear nobody.
    #[error("the broker refuses wildcards, and ingest subscribes to v1/SHARD/+/up: it will hear nobody")]
    NoWildcards,
    /// Our sessions would end each other.
    #[error(
        "the broker replaces client ids on this port (use_username_as_clientid), so that our sessions end each other; set broker.services_port to a listener without it"
    )]
    ReplacedIds,
    /// Applications that always retain could not stay connected.
    #[error(
        "the broker ends the connection of whoever retains a message, as phone applications do by default: their trackers are never heard; set its retain_available to true, RideGuard ignores the flag"
    )]
    NoRetain,
}

/// A version of Mosquitto.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// As Mosquitto tells it: `mosquitto version 2.0.21`. `None` if it is another broker.
    pub fn read(told: &str) -> Option<Self> {
        let mut numbers = told.strip_prefix("mosquitto version ")?.split('.').map(|word| {
            let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
            word[..digits].parse().ok()
        });
        let mut next = || numbers.next()?;
        Some(Self(next()?, next()?, next()?))
    }

    /// Whether faults are known that were mended later.
    pub fn is_below_floor(self) -> bool {
        self < MOSQUITTO_FLOOR
    }
}

impl Limits {
    fn of(said: Option<&ConnAckProperties>) -> Self {
        Self {
            packet_bytes_max: said.and_then(|s| s.max_packet_size),
            in_flight_max: said.and_then(|s| s.receive_max).unwrap_or(RECEIVE_MAXIMUM),
            qos_max: said.and_then(|s| s.max_qos).unwrap_or(MAXIMUM_QOS),
            has_wildcards: said.and_then(|s| s.wildcard_subscription_available) != Some(0),
            has_retain: said.and_then(|s| s.retain_available) != Some(0),
        }
    }

    /// Everything that is at odds with ours.
    pub fn conflicts(&self, ingest: &Ingest) -> Vec<Conflict> {
        let packet_bytes_max =
            self.packet_bytes_max.map_or(crate::ingest::client_options::PROTOCOL_BYTES_MAX as u64, u64::from);
        let (window, batch) = (self.in_flight_max, ingest.batch_packets_max);
        let checks = [
            (packet_bytes_max > PACKET_BYTES_MAX as u64, Conflict::LargePackets(packet_bytes_max)),
            (usize::from(window) < batch, Conflict::NarrowWindow { broker: window, ours: batch }),
            (usize::from(window) > DELIVERIES_MAX, Conflict::WideWindow(window)),
            (self.qos_max < 1, Conflict::NoAcknowledgement(self.qos_max)),
            (!self.has_wildcards, Conflict::NoWildcards),
            (!self.has_retain, Conflict::NoRetain),
        ];
        checks.into_iter().filter(|(is_at_odds, _)| *is_at_odds).map(|(_, conflict)| conflict).collect()
    }
}

/// Asks the broker for its limits, once.
///
/// # Errors
/// A file that cannot be read, or a broker that is away or does not speak MQTT 5.
pub async fn ask(broker: &Broker) -> anyhow::Result<Limits> {
    Ok(ask_with_version(broker).await?.0)
}

/// Connects by MQTT 5, and says what the broker told.
async fn connect(broker: &Broker) -> anyhow::Result<(Limits, (AsyncClient, EventLoop))> {
    let name = format!("rideguard-limits-{:08x}", rand::random::<u32>());
    let mut options = MqttOptions::new(name, &broker.host, broker.port);
    options.set_transport(transport(broker)?);
    options.set_credentials(&broker.username, read_secret(&broker.password_file)?);
    let (client, mut events) = AsyncClient::new(options, 1);
    loop {
        if let Event::Incoming(Packet::ConnAck(ack)) = events.poll().await? {
            return Ok((Limits::of(ack.properties.as_ref()), (client, events)));
        }
    }
}

/// The same, and its version if it is a Mosquitto that tells it.
///
/// # Errors
/// As [`ask`].
pub async fn ask_with_version(broker: &Broker) -> anyhow::Result<(Limits, Option<Version>)> {
    let (limits, (client, mut events)) = tokio::time::timeout(ANSWER_MAX, connect(broker)).await??;
    client.try_subscribe(VERSION_TOPIC, QoS::AtMostOnce)?;
    let told = async {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.ok()? {
                return Version::read(std::str::from_utf8(&publish.payload).ok()?);
            }
        }
    };
    let version = tokio::time::timeout(VERSION_MAX, told).await.ok().flatten();
    client.try_disconnect()?;
    let leaving = async { while events.poll().await.is_ok() {} };
    let _ = tokio::time::timeout(GOODBYE_MAX, leaving).await; // only a courtesy to the broker's log
    Ok((limits, version))
}

/// Whether two of our clients with different ids stay beside each other.
///
/// # Errors
/// As [`ask`].
pub async fn keeps_client_ids(broker: &Broker) -> anyhow::Result<bool> {
    let (_, (_first, mut of_first)) = tokio::time::timeout(ANSWER_MAX, connect(broker)).await??;
    let (_, _second) = tokio::time::timeout(ANSWER_MAX, connect(broker)).await??;
    let ended = async { while of_first.poll().await.is_ok() {} };
    Ok(tokio::time::timeout(TAKEOVER_MAX, ended).await.is_err())
}

/// Asks until the broker has answered, and says what is at odds and whether it is old; how many things are at odds. Ingest works
/// meanwhile: a broker that is away must not hold up a start, and what does not fit is met while running,
/// only worse than if it had been put right.
pub async fn check(broker: Broker, ingest: Ingest) -> usize {
    let mut wait = BACKOFF.0;
    loop {
        match ask_with_version(&broker).await {
            Ok((limits, version)) => {
                if let Some(version) = version.filter(|v| v.is_below_floor()) {
                    tracing::warn!(
                        %version, floor = %MOSQUITTO_FLOOR,
                        "Mosquitto is older than the oldest release without known faults; update it, unless your distribution has backported the fixes (docs/security.md)"
                    );
                }
                let mut conflicts = limits.conflicts(&ingest);
                if matches!(keeps_client_ids(&broker).await, Ok(false)) {
                    conflicts.push(Conflict::ReplacedIds);
                }
                for conflict in &conflicts {
                    tracing::error!("{conflict}");
                }
                return conflicts.len();
            }
            Err(error) if wait == BACKOFF.0 => {
                tracing::info!(error = %format!("{error:#}"), "Broker limits unknown; asking again by MQTT 5");
            }
            Err(_) => {}
        }
        tokio::time::sleep(jittered(wait)).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FITTING: Limits = Limits {
        packet_bytes_max: Some(65_536),
        in_flight_max: 4000,
        qos_max: 2,
        has_wildcards: true,
        has_retain: true,
    };

    #[test]
    fn the_limits_we_ship_are_not_at_odds_with_ours() {
        assert_eq!(FITTING.conflicts(&Ingest::default()), []);
        let at_the_edge = Limits { packet_bytes_max: Some(PACKET_BYTES_MAX as u32), in_flight_max: 1000, ..FITTING };
        assert_eq!(at_the_edge.conflicts(&Ingest::default()), []);
    }

    #[test]
    fn each_limit_that_does_not_fit_is_named_with_its_value_and_ours() {
        let cases = [
            (Limits { packet_bytes_max: Some(131_073), ..FITTING }, vec!["131073", "131072", "max_packet_size"]),
            (Limits { packet_bytes_max: None, ..FITTING }, vec!["268435455", "max_packet_size"]),
            (Limits { in_flight_max: 20, ..FITTING }, vec!["20", "1000", "ingest.batch_packets_max"]),
            (Limits { in_flight_max: 8193, ..FITTING }, vec!["8193", "8192", "max_inflight_messages"]),
            (Limits { qos_max: 0, ..FITTING }, vec!["0", "1"]),
            (Limits { has_wildcards: false, ..FITTING }, vec!["wildcards"]),
            (Limits { has_retain: false, ..FITTING }, vec!["retain_available"]),
        ];
        for (limits, words) in cases {
            let conflicts = limits.conflicts(&Ingest::default());
            assert_eq!(conflicts.len(), 1, "{limits:?}: {conflicts:?}");
            let text = conflicts[0].to_string();
            assert!(words.iter().all(|w| text.contains(w)), "{text}");
        }
    }

    #[test]
    fn a_mosquitto_below_the_floor_is_known_by_its_own_word() {
        let is_old = |told: &str| Version::read(told).map(Version::is_below_floor);
        for old in ["2.0.11", "2.0.20", "1.6.15", "2.0.3"] {
            assert_eq!(is_old(&format!("mosquitto version {old}")), Some(true), "{old}");
        }
        for new in ["2.0.21", "2.0.100", "2.1.0", "2.1.0rc2", "3.0.0"] {
            assert_eq!(is_old(&format!("mosquitto version {new}")), Some(false), "{new}");
        }
        for other in ["", "2.0.11", "mosquitto version", "mosquitto version x.y.z", "emqx 5.8.0"] {
            assert_eq!(is_old(other), None, "{other}");
        }
    }

    #[test]
    fn a_broker_that_names_no_limit_has_those_of_the_protocol() {
        let silent = Limits::of(None);
        assert_eq!(silent, Limits { packet_bytes_max: None, in_flight_max: 65_535, ..FITTING });
    }
}
