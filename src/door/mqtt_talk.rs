//! What is said on a connection that speaks MQTT 3.1.1 or 5.
//!
//! The tracker is who its user name and password say (MQTT 3.1.1, 3.1.3.4), never its client id. It writes to its own topic
//! and hears its own; any other topic ends the connection. Acknowledgements are not made here: they come back as words when
//! the journal has what they are for.

use crate::domain::{Packet, Shard, Way, topic};
use crate::door::Shared;
use crate::door::end::End;
use crate::door::guest::{Guest, Turn};
use crate::door::guests::Admitted;
use crate::door::limits::{KEEP_ALIVE_S_MAX, LOG_IN_BYTES_MAX, SESSION_KEPT_S, UNACKNOWLEDGED_MAX};
use crate::door::mqtt::{self, Farewell, Fault, Hello, Refusal, Terms, Version};
use crate::ingest::Delivery;
use crate::ingest::receipt::{DoorReceipt, Owed, Place, Receipt};
use bytes::BytesMut;
use std::time::Duration;

/// What OwnTracks appends to the topic that it is given, by kinds of messages (booklet, "Topics"). It cannot be told not to.
const BELOW_OWN: [&str; 8] = ["/beacon", "/dump", "/event", "/info", "/status", "/step", "/waypoint", "/waypoints"];

/// One connection's conversation.
pub(super) struct MqttTalk {
    version: Version,
    pub guest: Option<Guest>,
    /// How long it may be silent once it is in.
    pub silence_max: Duration,
    is_subscribed: bool,
    /// How long its session outlives the connection, seconds.
    keeps_s: u32,
    /// Most bytes of a packet that it takes.
    takes_bytes_max: usize,
    /// Packets that wait for the journal.
    pub unacknowledged: u16,
    /// Their packet ids. One that is sent again before its acknowledgement stands there twice, and is acknowledged when the last
    /// is kept: two acknowledgements would be taken for the next packet's, which may have the same id.
    open_ids: Vec<u16>,
}

impl MqttTalk {
    pub fn new() -> Self {
        Self {
            version: Version::V311,
            guest: None,
            silence_max: Duration::ZERO,
            is_subscribed: false,
            keeps_s: 0,
            takes_bytes_max: usize::MAX,
            unacknowledged: 0,
            open_ids: Vec::new(),
        }
    }

    /// Takes the next packet out of the input; `false`: there is no whole one.
    pub fn hear(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
        place: Place,
        bytes_max: usize,
        turn: &Turn<'_>,
    ) -> Result<bool, End> {
        if self.guest.is_none() {
            return match mqtt::read_hello(input, LOG_IN_BYTES_MAX.min(bytes_max)) {
                Ok(None) => Ok(false),
                Ok(Some(hello)) => self.log_in(hello, out, place, bytes_max, turn).map(|()| true),
                Err(fault) => {
                    if fault == Fault::UnsupportedVersion {
                        mqtt::write_refusal(Version::V311, Refusal::UnsupportedVersion, out);
                    }
                    Err(fault.into())
                }
            };
        }
        let Some(word) = mqtt::read(self.version, input, bytes_max)? else { return Ok(false) };
        match word {
            mqtt::Word::Publish { topic, payload, qos, id, is_retained } => {
                let owed = match qos {
                    0 => Owed::Nothing,
                    1 => Owed::PubAck(id),
                    _ => Owed::PubRec(id),
                };
                // An empty one takes away what a broker would have retained; nothing was (docs/decisions/0021). It is
                // acknowledged in its turn.
                let way = if is_retained && payload.is_empty() { Way::Retained } else { Way::Door };
                self.publish(topic, payload.to_vec(), (owed, way), place, turn)?;
            }
            mqtt::Word::Release { id } => mqtt::write_complete(self.version, id, out),
            mqtt::Word::Ping => mqtt::write_pong(out),
            mqtt::Word::Subscribe { id, filters } => self.subscribe(id, &filters, out, turn),
            mqtt::Word::Unsubscribe { id, filters } => {
                if filters.iter().any(|filter| self.is_own_down(filter)) {
                    self.set_subscribed(false, turn.shared);
                }
                mqtt::write_unsubscribed(self.version, id, filters.len(), out);
            }
            mqtt::Word::Acked { .. } => {} // of an answer, which nobody waits for
            mqtt::Word::Received { .. } => return Err(Fault::Unexpected("PUBREC").into()),
            mqtt::Word::Goodbye { session_expiry_s } => {
                self.keeps_s = session_expiry_s.map_or(self.keeps_s, |asked_s| asked_s.min(SESSION_KEPT_S));
                return Err(End::Closed);
            }
        }
        Ok(true)
    }

    fn log_in(
        &mut self,
        hello: Hello,
        out: &mut BytesMut,
        place: Place,
        bytes_max: usize,
        turn: &Turn<'_>,
    ) -> Result<(), End> {
        let Hello { version, client_id, user, password, keep_alive_s, is_clean, .. } = hello;
        self.version = version;
        if client_id.is_empty() && version == Version::V311 && !is_clean {
            mqtt::write_refusal(version, Refusal::IdentifierRejected, out); // 3.1.3-8
            return Err(End::Refused);
        }
        let (ident, hash) = match turn.shared.guests.admit(&user, &password) {
            Admitted::As(ident, hash) => (ident, hash),
            Admitted::No => {
                mqtt::write_refusal(version, Refusal::BadCredentials, out);
                return Err(End::Refused);
            }
            Admitted::NotYet => {
                mqtt::write_refusal(version, Refusal::ServerBusy, out);
                return Err(End::NotHeld);
            }
        };
        let guest = Guest::new(ident.clone());
        if !turn.shared.queues.is_held(guest.lane) {
            mqtt::write_refusal(version, Refusal::ServerBusy, out);
            return Err(End::NotHeld);
        }
        let keeps_s = match version {
            Version::V311 => {
                if is_clean {
                    0
                } else {
                    SESSION_KEPT_S
                }
            }
            Version::V5 => hello.session_expiry_s.unwrap_or(0).min(SESSION_KEPT_S),
        };
        let session = turn.shared.kept.take(&ident).filter(|_| !is_clean);
        self.is_subscribed = session == Some(true);
        self.keeps_s = keeps_s;
        self.takes_bytes_max = hello.packet_bytes_max.map_or(usize::MAX, |bytes| bytes as usize);
        let asked_s = if keep_alive_s == 0 { KEEP_ALIVE_S_MAX } else { keep_alive_s.min(KEEP_ALIVE_S_MAX) };
        self.silence_max = Duration::from_millis(u64::from(asked_s) * 1500); // 3.1.2-24
        let terms = Terms {
            session_present: session.is_some(),
            keep_alive_s: (asked_s != keep_alive_s).then_some(asked_s),
            receive_max: UNACKNOWLEDGED_MAX,
            packet_bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
            assigned_client_id: client_id.is_empty().then(|| ident.as_str().to_owned()),
            session_expiry_s: hello.session_expiry_s.filter(|asked| *asked != keeps_s).map(|_| keeps_s),
        };
        mqtt::write_welcome(version, &terms, out);
        let entered = turn.shared.places.enter(
            ident.clone(),
            (turn.mailbox.clone(), place),
            self.is_subscribed,
            turn.visit(Some(version.name())),
        );
        turn.shared.metrics.door_takeovers.inc_by(entered.into());
        // Whoever removes it from the list tells the connection that has its place; until now this one had none.
        let is_still = turn.shared.guests.is_still(&ident, &hash);
        if keeps_s > 0 {
            turn.shared.kept.set(&ident, self.is_subscribed);
        }
        self.guest = Some(guest);
        if is_still { Ok(()) } else { Err(End::Removed) }
    }

    fn set_subscribed(&mut self, is_subscribed: bool, shared: &Shared) {
        self.is_subscribed = is_subscribed;
        let Some(guest) = &self.guest else { return };
        shared.places.subscribe(&guest.ident, is_subscribed);
        if self.keeps_s > 0 {
            shared.kept.set(&guest.ident, is_subscribed);
        }
    }

    /// The connection ended, and no newer one has its place.
    pub fn leave(&self, shared: &Shared) {
        if let Some(guest) = &self.guest {
            shared.kept.leave(&guest.ident, self.keeps_s);
        }
    }

    /// The topic under which a message is kept, if the tracker may speak on the one that it names.
    fn kept_topic(&self, topic: String) -> Result<String, End> {
        let Some(guest) = &self.guest else { return Err(End::Foreign) };
        match topic.strip_prefix(&*guest.up_topic) {
            Some("") => Ok(topic),
            Some(below) if BELOW_OWN.contains(&below) => Ok(guest.up_topic.to_string()),
            _ => Err(End::Foreign),
        }
    }

    fn publish(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        (owed, way): (Owed, Way),
        place: Place,
        turn: &Turn<'_>,
    ) -> Result<(), End> {
        let topic = self.kept_topic(topic)?;
        let Some(guest) = &self.guest else { return Err(End::Foreign) };
        if !turn.shared.queues.is_held(guest.lane) {
            return Err(End::NotHeld);
        }
        let packet = Packet { topic, received_at: turn.received_at, payload, way };
        self.unacknowledged += 1;
        if let Owed::PubAck(id) | Owed::PubRec(id) = owed {
            self.open_ids.push(id);
        }
        let receipt = Receipt::Door(DoorReceipt::new(turn.mailbox.clone(), place, owed));
        turn.shared.queues.put(guest.lane, Delivery { packet, receipt });
        Ok(())
    }

    fn is_own_down(&self, filter: &str) -> bool {
        let Some(guest) = &self.guest else { return false };
        let mut parts = filter.split('/');
        let shard = Shard::of(guest.ident.as_str()).0;
        parts.next() == Some("v1")
            && parts.next().is_some_and(|part| part == "+" || part.parse() == Ok(shard))
            && parts.next() == Some(guest.ident.as_str())
            && parts.next() == Some("down")
            && parts.next().is_none()
    }

    /// Answers have QoS 0: what is lost is asked for again.
    fn subscribe(&mut self, id: u16, filters: &[(String, u8)], out: &mut BytesMut, turn: &Turn<'_>) {
        let granted = |(filter, _): &(String, u8)| if self.is_own_down(filter) { Ok(0) } else { Err(()) };
        let codes: Vec<Result<u8, ()>> = filters.iter().map(granted).collect();
        let refused = codes.iter().filter(|code| code.is_err()).count() as u64;
        turn.shared.metrics.foreign_subscriptions.inc_by(refused);
        if (refused as usize) < codes.len() {
            self.set_subscribed(true, turn.shared);
        }
        mqtt::write_subscribed(self.version, id, &codes, out);
    }

    /// A packet is in the journal.
    pub fn kept(&mut self, owed: Owed, out: &mut BytesMut) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        if let Owed::PubAck(id) | Owed::PubRec(id) = owed {
            if let Some(at) = self.open_ids.iter().position(|open| *open == id) {
                self.open_ids.swap_remove(at);
            }
            if self.open_ids.contains(&id) {
                return;
            }
        }
        match owed {
            Owed::Nothing | Owed::Answer(_) | Owed::Datagram { .. } => {}
            Owed::PubAck(id) => mqtt::write_ack(self.version, id, out),
            Owed::PubRec(id) => mqtt::write_received(self.version, id, out),
        }
    }

    /// An answer or a command; says whether it was one for this connection.
    pub fn message(&self, payload: &[u8], out: &mut BytesMut) -> bool {
        let Some(guest) = self.guest.as_ref().filter(|_| self.is_subscribed) else { return false };
        let topic = topic::down_topic(&guest.ident);
        let fits = topic.len() + payload.len() + MESSAGE_OVERHEAD_BYTES <= self.takes_bytes_max;
        if fits {
            mqtt::write_message(self.version, &topic, payload, 0, 0, out);
        }
        fits
    }

    /// What a client of MQTT 5 is told at the end.
    pub fn farewell(&self, end: &End, out: &mut BytesMut) {
        let word = match end {
            End::Closed | End::Io(_) | End::Tls(_) | End::LateLogIn | End::Deaf | End::Overfull | End::Garbled(_) => {
                return;
            }
            End::Silent => Farewell::KeepAliveTimeout,
            End::Malformed(fault) => fault.farewell(),
            End::Refused | End::Foreign => Farewell::NotAuthorized,
            End::Replaced | End::Doubled => Farewell::TakenOver,
            End::Removed => Farewell::AdministrativeAction,
            End::GivenUp | End::NotHeld => Farewell::UseAgain,
            End::Stopped => Farewell::ServerShuttingDown,
        };
        if self.guest.is_some() {
            mqtt::write_farewell(self.version, word, out);
        }
    }
}

/// Header, lengths and properties of a message, at most.
const MESSAGE_OVERHEAD_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_speaks_on_its_own_topic_and_on_those_that_owntracks_appends() {
        let mut talk = MqttTalk::new();
        talk.guest = Some(Guest::new(crate::domain::TrackerIdent::parse("yy1").unwrap()));
        let own = topic::up_topic("yy1");
        for name in [own.clone(), format!("{own}/event"), format!("{own}/waypoints")] {
            assert_eq!(talk.kept_topic(name).ok().as_ref(), Some(&own));
        }
        for name in [
            format!("{own}/"),
            format!("{own}/cmd"),
            format!("{own}s"),
            format!("{own}/event/x"),
            "owntracks/a/b".into(),
        ] {
            assert!(matches!(talk.kept_topic(name), Err(End::Foreign)));
        }
    }

    #[test]
    fn a_packet_that_was_sent_again_is_acknowledged_once_when_the_last_of_it_is_kept() {
        let (mut talk, mut out) = (MqttTalk::new(), BytesMut::new());
        (talk.open_ids, talk.unacknowledged) = (vec![1, 2, 1], 3);
        talk.kept(Owed::PubAck(1), &mut out);
        assert!(out.is_empty(), "the tracker may not use the id again yet");
        talk.kept(Owed::PubRec(2), &mut out);
        talk.kept(Owed::PubAck(1), &mut out);
        assert_eq!(out[..], [0x50, 2, 0, 2, 0x40, 2, 0, 1]);
        assert_eq!((talk.unacknowledged, talk.open_ids.len()), (0, 0));
    }
}
