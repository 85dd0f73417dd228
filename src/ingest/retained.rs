//! Takes away from the broker what trackers let it retain.
//!
//! Applications for phones retain each position by default (MQTT 3.1.1, 3.3.1.3). Nobody needs the copies, and a position
//! of a person must not lie about (`docs/decisions/0021-the-retain-flag-is-ignored.md`). A client of MQTT 5 subscribes, which
//! brings every copy, unsubscribes at once, and clears the topics.

use crate::config::{Broker, read_secret};
use crate::ingest::client_options::{PROTOCOL_BYTES_MAX, jittered, transport};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::time::Duration;

/// Longest a copy lies at the broker, about, and how long after a start the first round is: a start has enough to do.
const EVERY: Duration = Duration::from_secs(3600);
const FIRST_AFTER: Duration = Duration::from_secs(300);
/// Longest one round may take; the next one finds what is left.
const ROUND_MAX: Duration = Duration::from_secs(300);
/// Longest a broker may take to end the connection.
const GOODBYE_MAX: Duration = Duration::from_secs(2);
/// Everything that trackers may write is below it.
const FILTER: &str = "v1/#";
/// Topics cleared in one round, and bytes of them: bounded, for a tracker can make some up. The next one takes the rest.
const TOPICS_MAX: usize = 200_000;
const TOPIC_BYTES_MAX: usize = 32 << 20;
/// Clearings that wait to be written.
const REQUESTS_MAX: usize = 512;

/// Clears every hour; a broker that is away is asked again then.
pub async fn keep_clear(broker: Broker) {
    let mut wait = FIRST_AFTER;
    loop {
        tokio::time::sleep(jittered(wait)).await;
        wait = EVERY;
        match clear(&broker).await {
            Ok(0) => {}
            Ok(cleared) => tracing::debug!(cleared, "Cleared retained messages of trackers from the broker"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::info!(%error, "Clearing retained messages failed; retrying in an hour");
            }
        }
    }
}

/// Clears every message that the broker has retained of trackers; how many there were.
///
/// # Errors
/// A file that cannot be read, or a broker that is away, slow, or does not speak MQTT 5.
pub async fn clear(broker: &Broker) -> anyhow::Result<usize> {
    let name = format!("rideguard-retained-{:08x}", rand::random::<u32>());
    let mut options = MqttOptions::new(name, &broker.host, broker.port);
    options.set_transport(transport(broker)?);
    options.set_credentials(&broker.username, read_secret(&broker.password_file)?);
    options.set_max_packet_size(Some(PROTOCOL_BYTES_MAX as u32));
    let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
    tokio::time::timeout(ROUND_MAX, async {
        let topics = retained(&client, &mut events).await?;
        let cleared = topics.len();
        for topic in topics {
            while client.try_publish(topic.as_str(), QoS::AtMostOnce, true, Vec::new()).is_err() {
                events.poll().await?; // the way out is full
            }
        }
        while client.try_disconnect().is_err() {
            events.poll().await?;
        }
        // Until everything has left. That the broker answers by an end is only a courtesy.
        let leaving = async { while events.poll().await.is_ok() {} };
        let _ = tokio::time::timeout(GOODBYE_MAX, leaving).await;
        Ok(cleared)
    })
    .await?
}

/// The topics that have a retained message. The broker sends all of them before it confirms that we have unsubscribed.
async fn retained(client: &AsyncClient, events: &mut EventLoop) -> anyhow::Result<Vec<String>> {
    client.try_subscribe(FILTER, QoS::AtMostOnce)?;
    client.try_unsubscribe(FILTER)?;
    let (mut topics, mut bytes) = (Vec::new(), 0);
    loop {
        match events.poll().await? {
            Event::Incoming(Packet::Publish(publish)) if publish.retain => {
                let has_room = topics.len() < TOPICS_MAX && bytes + publish.topic.len() <= TOPIC_BYTES_MAX;
                if let Ok(topic) = String::from_utf8(publish.topic.to_vec())
                    && has_room
                {
                    bytes += topic.len();
                    topics.push(topic);
                }
            }
            Event::Incoming(Packet::UnsubAck(_)) => return Ok(topics),
            _ => {}
        }
    }
}
