//! What is said on one connection: MQTT, or the frames of a language.

use crate::config::Listener;
use crate::domain::TrackerIdent;
use crate::door::Shared;
use crate::door::end::End;
use crate::door::frame_talk::FrameTalk;
use crate::door::guest::{Guest, Turn};
use crate::door::limits::UNACKNOWLEDGED_MAX;
use crate::door::mqtt_talk::MqttTalk;
use crate::ingest::receipt::{Owed, Place};
use crate::protocol::connected::spoken;
use bytes::BytesMut;
use std::time::{Duration, Instant};

/// One connection's conversation.
pub(super) enum Talk {
    Mqtt(MqttTalk),
    Frames(FrameTalk),
}

impl Talk {
    /// Of a connection that has not spoken yet.
    pub fn new(listener: &Listener) -> Self {
        match spoken(listener.language.name()) {
            None => Self::Mqtt(MqttTalk::new()),
            Some(spoken) => Self::Frames(FrameTalk::new(spoken)),
        }
    }

    /// Whose it is, once it has logged in.
    pub fn guest(&self) -> Option<&Guest> {
        match self {
            Self::Mqtt(talk) => talk.guest.as_ref(),
            Self::Frames(talk) => talk.guest.as_ref(),
        }
    }

    /// Whom it names, logged in or not.
    pub fn named(&self) -> Option<&TrackerIdent> {
        match self {
            Self::Mqtt(talk) => talk.guest.as_ref().map(|guest| &guest.ident),
            Self::Frames(talk) => talk.named(),
        }
    }

    /// How long it may be silent once it is in.
    pub fn silence_max(&self) -> Duration {
        match self {
            Self::Mqtt(talk) => talk.silence_max,
            Self::Frames(_) => crate::door::limits::SILENCE_MAX,
        }
    }

    /// Whether more of it may be taken in.
    pub fn has_room(&self, shared: &Shared) -> bool {
        let (unacknowledged, is_waiting) = match self {
            Self::Mqtt(talk) => (talk.unacknowledged, false),
            Self::Frames(talk) => (talk.unacknowledged, talk.is_registering()),
        };
        !is_waiting
            && unacknowledged < UNACKNOWLEDGED_MAX
            && self.guest().is_none_or(|g| shared.queues.has_room(g.lane))
    }

    /// Takes the next packet or frame out of the input; `false`: there is no whole one.
    pub fn hear(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
        place: Place,
        bytes_max: usize,
        turn: &Turn<'_>,
    ) -> Result<bool, End> {
        match self {
            Self::Mqtt(talk) => talk.hear(input, out, place, bytes_max, turn),
            Self::Frames(talk) => talk.hear(input, out, place, bytes_max, turn),
        }
    }

    /// A packet is in the journal.
    pub fn kept(&mut self, owed: Owed, out: &mut BytesMut) {
        match self {
            Self::Mqtt(talk) => talk.kept(owed, out),
            Self::Frames(talk) => talk.kept(owed, out),
        }
    }

    /// An answer or a command; says whether it was one for this connection.
    pub fn message(&self, payload: &[u8], out: &mut BytesMut) -> bool {
        match self {
            Self::Mqtt(talk) => talk.message(payload, out),
            Self::Frames(talk) => talk.message(payload, out),
        }
    }

    /// What a terminal registered with is kept, or not.
    pub fn registered(&mut self, is_taken: Option<bool>, out: &mut BytesMut) -> Result<(), End> {
        match self {
            Self::Mqtt(_) => Ok(()),
            Self::Frames(talk) => talk.registered(is_taken, out),
        }
    }

    /// A newer connection of the same tracker is there.
    pub fn replaced(&mut self) -> Result<(), End> {
        match self {
            Self::Mqtt(_) => Err(End::Replaced),
            Self::Frames(talk) => talk.replaced(),
        }
    }

    /// The newer connection is gone.
    pub fn restored(&mut self) {
        if let Self::Frames(talk) = self {
            talk.restored();
        }
    }

    /// Whether one of its own deadlines has passed.
    pub fn check(&self, now: Instant) -> Result<(), End> {
        match self {
            Self::Mqtt(_) => Ok(()),
            Self::Frames(talk) => talk.check(now),
        }
    }

    /// The connection ended, and no newer one has its place.
    pub fn leave(&self, shared: &Shared) {
        if let Self::Mqtt(talk) = self {
            talk.leave(shared);
        }
    }

    /// What it is told at the end.
    pub fn farewell(&self, end: &End, out: &mut BytesMut) {
        if let Self::Mqtt(talk) = self {
            talk.farewell(end, out);
        }
    }
}
