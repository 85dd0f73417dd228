//! Datagrams of trackers: each names its tracker and is answered for itself.
//!
//! Nobody is connected, so nobody is replaced, and a datagram that is kept by nobody is not answered: the tracker sends it again.

use crate::domain::{Packet, Profile, Way};
use crate::door::guest::{Guest, Turn};
use crate::door::guests::Known;
use crate::ingest::Delivery;
use crate::ingest::receipt::{DoorReceipt, Owed, Place, Receipt};
use crate::protocol::connected::{Kind, Spoken, spoken};
use std::net::SocketAddr;

/// The row of all datagrams in letters: no connection has it. The generation is the listener.
pub(super) const SLOT: u32 = u32::MAX;

/// What became of a datagram; the names stand in metrics and docs/door.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It went to its lane, or was answered at once.
    Taken,
    /// Not the language, or nobody can read it.
    Malformed,
    /// No tracker that may come so.
    Refused,
    /// Its lane is not held here, or has too much to do.
    NotHeld,
}

impl Fate {
    pub fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::NotHeld => "not_held",
        }
    }
}

/// Takes a datagram; bytes that are to be sent back at once go into `out`.
pub(super) fn hear(
    language: &str,
    datagram: &[u8],
    (listener, from): (u32, SocketAddr),
    out: &mut Vec<u8>,
    turn: &Turn<'_>,
) -> Fate {
    let Some(spoken) = spoken(language) else { return Fate::Malformed };
    let Some(ident) = (spoken.name_of)(datagram) else { return Fate::Malformed };
    let guest = match turn.shared.guests.on_socket(language, &ident) {
        Known::As(guest) => guest,
        Known::No => return Fate::Refused,
        Known::NotYet => return Fate::NotHeld,
    };
    take(spoken, datagram, (listener, from), (&guest.profile, Guest::new(guest.ident.clone())), out, turn)
}

fn take(
    spoken: &Spoken,
    datagram: &[u8],
    (listener, to): (u32, SocketAddr),
    (profile, guest): (&Profile, Guest),
    out: &mut Vec<u8>,
    turn: &Turn<'_>,
) -> Fate {
    if !turn.shared.queues.is_held(guest.lane) || !turn.shared.queues.has_room(guest.lane) {
        return Fate::NotHeld;
    }
    // What its own profile cannot read is kept for whoever looks, and is not answered.
    let heard = (spoken.hear)(profile, datagram, turn.received_at).ok();
    let (mut owed, mut is_kept) = (Owed::Nothing, true);
    if let Some(heard) = heard {
        is_kept = heard.is_kept;
        match heard.kind {
            Kind::Data if profile.wants_replies && !heard.answer.is_empty() => {
                owed = Owed::Datagram { to, answer: heard.answer[..].into() };
            }
            Kind::Session => out.extend_from_slice(&heard.answer),
            _ => {}
        }
    }
    turn.shared.places.heard(&guest.ident, turn.visit(None));
    if is_kept {
        let (topic, payload) = (guest.up_topic.to_string(), datagram.to_vec());
        let packet = Packet { topic, received_at: turn.received_at, payload, way: Way::Socket };
        let place = Place { slot: SLOT, generation: listener };
        let receipt = Receipt::Door(DoorReceipt::new(turn.mailbox.clone(), place, owed));
        turn.shared.queues.put(guest.lane, Delivery { packet, receipt });
    }
    Fate::Taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Language;

    #[test]
    fn the_languages_that_may_come_by_datagrams_are_those_whose_datagrams_name_their_tracker() {
        for language in Language::ALL {
            let spoken = spoken(language.name());
            assert_eq!(spoken.is_some_and(|s| s.has_datagrams), language.has_datagrams(), "{language:?}");
            assert_eq!(spoken.is_none(), language == Language::Mqtt);
        }
    }
}
