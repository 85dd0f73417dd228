//! What a tracker may do at a broker of one's own: publish on its topic, and hear its own answers. Pure.

use crate::domain::credential::is_reserved;
use crate::domain::topic::up_topic;
use crate::domain::{Shard, TrackerIdent};

/// The exchange to which RabbitMQ's MQTT plugin publishes (its `mqtt.exchange`).
const EXCHANGE: &str = "amq.topic";
/// How that plugin names the queue of a client.
const QUEUE: &str = "mqtt-subscription-";

/// Whether a name can be a tracker's: the others are nobody of ours, or our own services.
pub(super) fn is_tracker(user: &str) -> bool {
    TrackerIdent::parse(user).is_ok() && !is_reserved(user)
}

/// Whether a tracker may call its connection so. A broker ends the connection that has the same client id: with the id of
/// another, a tracker would keep it out (MQTT 3.1.1, 3.1.4-2). A broker that does not say it takes care of it itself.
pub(super) fn is_own_client(ident: &str, client: &str) -> bool {
    client.is_empty() || client == ident
}

/// Whether a tracker may publish on this topic: on one only.
pub(super) fn may_publish(ident: &str, topic: &str) -> bool {
    is_tracker(ident) && topic == up_topic(ident)
}

/// Whether a tracker may subscribe to this filter, or be sent this topic.
pub(super) fn may_hear(ident: &str, filter: &str) -> bool {
    is_tracker(ident)
        && (filter == format!("v1/{}/{ident}/down", Shard::of(ident).0) || filter == format!("v1/+/{ident}/down"))
}

/// RabbitMQ's question about an exchange or a queue; `client` is what the connection calls itself.
pub(super) fn may_use(ident: &str, resource: &str, name: &str, permission: &str) -> bool {
    is_tracker(ident)
        && match resource {
            "exchange" => name == EXCHANGE && matches!(permission, "write" | "read"),
            // The client id is the identifier; a QoS ends the name.
            "queue" => name
                .strip_prefix(QUEUE)
                .and_then(|rest| rest.strip_prefix(ident))
                .is_some_and(|rest| matches!(rest, "qos0" | "qos1" | "qos2")),
            _ => false,
        }
}

/// RabbitMQ writes topics with dots, and `*` for `+`; no identifier has either.
pub(super) fn of_routing_key(key: &str) -> String {
    key.replace('.', "/").replace('*', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_speaks_on_its_topic_and_hears_its_answers_and_nothing_else() {
        let shard = Shard::of("yy1").0;
        let (up, down) = (format!("v1/{shard}/yy1/up"), format!("v1/{shard}/yy1/down"));
        assert!(may_publish("yy1", &up) && may_hear("yy1", &down) && may_hear("yy1", "v1/+/yy1/down"));
        for topic in [&down, "v1/+/yy1/up", "v1/#", "#", &format!("v1/{}/yy1/up", shard + 1), &up.replace("yy1", "yy2")]
        {
            assert!(!may_publish("yy1", topic), "{topic}");
        }
        for filter in ["#", "v1/#", "v1/+/+/down", "v1/+/yy2/down", &up, "$SYS/#"] {
            assert!(!may_hear("yy1", filter), "{filter}");
        }
        for user in ["rideguard-ingest", "", "a/b", "#", "+"] {
            assert!(!is_tracker(user) && !may_publish(user, &up_topic(user)), "{user}");
        }
    }

    #[test]
    fn rabbitmqs_questions_are_answered_for_the_one_exchange_and_the_own_queue() {
        assert!(
            may_use("yy1", "exchange", "amq.topic", "write")
                && may_use("yy1", "queue", "mqtt-subscription-yy1qos1", "configure")
        );
        for (resource, name, permission) in [
            ("exchange", "amq.direct", "write"),
            ("exchange", "amq.topic", "configure"),
            ("queue", "mqtt-subscription-yy2qos1", "read"),
            ("queue", "mqtt-subscription-yy1", "read"),
            ("vhost", "amq.topic", "read"),
        ] {
            assert!(!may_use("yy1", resource, name, permission), "{resource} {name} {permission}");
        }
        assert_eq!(of_routing_key("v1.*.yy1.down"), "v1/+/yy1/down");
    }
}
