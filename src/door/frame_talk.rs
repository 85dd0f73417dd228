//! What is said on a connection that speaks a language of trackers, without MQTT.
//!
//! The first frame says whose it is, and only trackers are let in whose profile says that they come so. JT/T 808 has a secret:
//! the code that a terminal got when it registered. The other languages have none, so whoever knows an identifier can pretend:
//! a newer connection takes the place, and if the older one still speaks, two devices use one name, which operators are told.

use crate::domain::{Packet, Way};
use crate::door::end::End;
use crate::door::guest::{Guest, Turn};
use crate::door::guests::{Known, SocketGuest};
use crate::door::limits::{DOUBLE_AFTER, DOUBT_MAX, LOG_IN_BYTES_MAX, LOG_INS_MAX, NOISE_BYTES_MAX, UNREADABLE_MAX};
use crate::door::registrar::{Registration, name_of};
use crate::ingest::Delivery;
use crate::ingest::receipt::{DoorReceipt, Owed, Place, Receipt};
use crate::protocol::connected::{Heard, Kind, Spoken};
use crate::protocol::{FrameStep, jt808};
use bytes::{Buf, BytesMut};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Instant;

/// Results of a registration and of an authentication (JT/T 808-2019, 8.6 and 8.9).
/// The same to an unknown number and to another terminal: nobody learns by it which numbers are ours.
const NO_SUCH_TERMINAL: u8 = 4;
const FAILED: u8 = 1;
const DONE: u8 = 0;

/// A registration that waits for the database.
struct Registering {
    frame: Vec<u8>,
    code: String,
}

/// One connection's conversation.
pub(super) struct FrameTalk {
    spoken: &'static Spoken,
    /// Whom its first frame named.
    named: Option<Arc<SocketGuest>>,
    /// The same once it is in.
    pub guest: Option<Guest>,
    /// Frames that wait for the journal.
    pub unacknowledged: u16,
    /// Authentications that failed, and registrations.
    failures: u8,
    registrations: u8,
    /// Frames that nobody can read.
    unreadable: u32,
    noise_bytes: usize,
    /// Whether the input begins with the last byte of the frame before.
    is_borrowed: bool,
    /// Digests of frames whose answer waits for the journal: one that is sent again is answered once, for a second answer would be
    /// taken for the next frame's.
    open: VecDeque<u64>,
    registering: Option<Box<Registering>>,
    /// Since when a newer connection has its place.
    replaced_at: Option<Instant>,
}

impl FrameTalk {
    pub fn new(spoken: &'static Spoken) -> Self {
        Self {
            spoken,
            named: None,
            guest: None,
            unacknowledged: 0,
            failures: 0,
            registrations: 0,
            unreadable: 0,
            noise_bytes: 0,
            is_borrowed: false,
            open: VecDeque::new(),
            registering: None,
            replaced_at: None,
        }
    }

    pub fn named(&self) -> Option<&crate::domain::TrackerIdent> {
        self.named.as_ref().map(|named| &named.ident)
    }

    /// Whether it waits for the database.
    pub fn is_registering(&self) -> bool {
        self.registering.is_some()
    }

    /// See [`crate::door::talk::Talk::hear`].
    pub fn hear(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
        place: Place,
        bytes_max: usize,
        turn: &Turn<'_>,
    ) -> Result<bool, End> {
        let limit = if self.guest.is_some() { bytes_max } else { bytes_max.min(LOG_IN_BYTES_MAX) };
        match (self.spoken.step)(input) {
            FrameStep::More if input.len() >= limit => Err(End::Garbled("a frame is longer than its listener allows")),
            FrameStep::More => Ok(false),
            FrameStep::Frame(length) if length > limit => {
                Err(End::Garbled("a frame is longer than its listener allows"))
            }
            FrameStep::Frame(length) => {
                let frame = input[..length].to_vec();
                // What begins with the end of a frame before is one, or a modem's words up to the next frame.
                if std::mem::take(&mut self.is_borrowed) && !self.is_readable(&frame, turn) {
                    input.advance(length - 1);
                    return self.skip(length);
                }
                self.is_borrowed = shares_its_end(&frame, &input[length..]);
                input.advance(length - usize::from(self.is_borrowed));
                self.noise_bytes = 0;
                self.take(frame, out, place, turn)?;
                // What it said is kept, and then it goes: two speak under one name.
                if self.replaced_at.is_some_and(|at| at.elapsed() >= DOUBLE_AFTER) {
                    return Err(End::Doubled);
                }
                Ok(true)
            }
            FrameStep::Skip(length) => {
                let length = length.clamp(1, input.len());
                let noise = input[..length].iter().filter(|byte| !byte.is_ascii_whitespace()).count();
                input.advance(length);
                self.skip(noise)
            }
        }
    }

    fn is_readable(&self, frame: &[u8], turn: &Turn<'_>) -> bool {
        let named = self.named.as_ref();
        named.is_some_and(|named| (self.spoken.hear)(&named.profile, frame, turn.received_at).is_ok())
    }

    /// So many bytes are no frame.
    fn skip(&mut self, bytes: usize) -> Result<bool, End> {
        self.noise_bytes += bytes;
        if self.noise_bytes > NOISE_BYTES_MAX { Err(End::Garbled("noise between frames")) } else { Ok(true) }
    }

    fn take(&mut self, frame: Vec<u8>, out: &mut BytesMut, place: Place, turn: &Turn<'_>) -> Result<(), End> {
        let named = match &self.named {
            Some(named) => named.clone(),
            None => self.meet(&frame, out, turn)?,
        };
        let heard = match (self.spoken.hear)(&named.profile, &frame, turn.received_at) {
            Ok(heard) => heard,
            // Nobody can read it here; it is kept for whoever looks, and answered by nobody.
            Err(_) if self.guest.is_some() => return self.keep_unreadable(frame, place, turn),
            Err(_) => return Err(End::Garbled("its first frame cannot be read")),
        };
        if !heard.idents.is_empty() && !heard.idents.iter().any(|ident| named.ident.is_named_by(ident)) {
            return Err(End::Foreign);
        }
        match heard.kind {
            Kind::Register => return self.register(frame, &named, out, place, turn),
            Kind::Authenticate => return self.authenticate(&frame, out, place, turn),
            Kind::Data | Kind::Session if self.guest.is_none() => {
                if self.spoken.has_secret {
                    return Err(End::Refused);
                }
                self.enter(&named, place, turn)?;
            }
            Kind::Data | Kind::Session => {}
        }
        let Heard { kind, is_kept, answer, .. } = heard;
        if kind == Kind::Session {
            out.extend_from_slice(&answer);
        }
        if !is_kept {
            return Ok(());
        }
        let is_owed = kind == Kind::Data && named.profile.wants_replies && !answer.is_empty();
        self.publish(frame, if is_owed { Owed::Answer(answer[..].into()) } else { Owed::Nothing }, place, turn)
    }

    /// Keeps a frame that its profile cannot read: whoever mends the profile can read it again. One that may hold a code is not
    /// kept, and who has no secret may send few.
    fn keep_unreadable(&mut self, frame: Vec<u8>, place: Place, turn: &Turn<'_>) -> Result<(), End> {
        self.unreadable += 1;
        if !self.spoken.has_secret && self.unreadable > UNREADABLE_MAX {
            return Err(End::Garbled("too many frames that cannot be read"));
        }
        if self.spoken.name == "jt808" && jt808::may_hold_code(&frame) {
            return Err(End::Garbled("a registration or authentication that cannot be read"));
        }
        self.publish(frame, Owed::Nothing, place, turn)
    }

    /// Whom the first frame names, if they may come.
    fn meet(&mut self, frame: &[u8], out: &mut BytesMut, turn: &Turn<'_>) -> Result<Arc<SocketGuest>, End> {
        let ident = (self.spoken.name_of)(frame).ok_or(End::Garbled("its first frame names nobody"))?;
        let named = match turn.shared.guests.on_socket(self.spoken.name, &ident) {
            Known::As(named) => named,
            Known::NotYet => return Err(End::NotHeld),
            Known::No => {
                if self.spoken.name == "jt808" {
                    tell(jt808::registration_answer(frame, Err(NO_SUCH_TERMINAL)), out);
                }
                return Err(End::Refused);
            }
        };
        self.named = Some(named.clone());
        Ok(named)
    }

    /// JT/T 808: gives the terminal a code, when it is kept that it has it. Another terminal than the one that registered first
    /// gets none.
    fn register(
        &mut self,
        frame: Vec<u8>,
        named: &SocketGuest,
        out: &mut BytesMut,
        place: Place,
        turn: &Turn<'_>,
    ) -> Result<(), End> {
        self.registrations += 1;
        if self.registrations > LOG_INS_MAX {
            return Err(End::Refused);
        }
        let said =
            jt808::registering_terminal(&frame).map_err(|_| End::Garbled("a registration without a terminal"))?;
        let terminal = Sha256::digest(said).into();
        let code = format!("{:016x}", rand::random::<u64>());
        let now = match turn.shared.guests.on_socket(self.spoken.name, named.ident.as_str()) {
            Known::As(now) if now.registered.is_none_or(|registered| registered.terminal == terminal) => now,
            Known::As(_) => {
                tell(jt808::registration_answer(&frame, Err(NO_SUCH_TERMINAL)), out);
                return Err(End::Refused);
            }
            Known::No | Known::NotYet => return Err(End::Removed),
        };
        let asked = Registration {
            tracker: now.tracker,
            name: name_of(self.spoken.name, now.ident.as_str()),
            asked_at: Instant::now(),
            digests: (Sha256::digest(&code).into(), terminal),
            mailbox: turn.mailbox.clone(),
            place,
        };
        turn.shared.registrations.try_send(asked).map_err(|_| End::NotHeld)?;
        self.registering = Some(Box::new(Registering { frame, code }));
        Ok(())
    }

    /// The database has answered.
    pub fn registered(&mut self, is_taken: Option<bool>, out: &mut BytesMut) -> Result<(), End> {
        let Some(registering) = self.registering.take() else { return Ok(()) };
        let Registering { frame, code } = *registering;
        match is_taken {
            Some(true) => tell(jt808::registration_answer(&frame, Ok(&code)), out),
            Some(false) => {
                tell(jt808::registration_answer(&frame, Err(NO_SUCH_TERMINAL)), out);
                return Err(End::Refused);
            }
            None => return Err(End::NotHeld),
        }
        Ok(())
    }

    /// JT/T 808: lets the terminal in if it shows its code. One that shows another may register anew, and a few times only.
    fn authenticate(&mut self, frame: &[u8], out: &mut BytesMut, place: Place, turn: &Turn<'_>) -> Result<(), End> {
        let codes = jt808::shown_codes(frame).map_err(|_| End::Garbled("an authentication that cannot be read"))?;
        let Some(ident) = self.named() else { return Err(End::Refused) };
        let Known::As(now) = turn.shared.guests.on_socket(self.spoken.name, ident.as_str()) else {
            return Err(End::Removed);
        };
        let shown = codes.map(|code| <[u8; 32]>::from(Sha256::digest(code)));
        if !now.registered.is_some_and(|registered| shown.iter().any(|code| registered.has(code))) {
            tell(jt808::general_answer(frame, FAILED), out);
            self.failures += 1;
            return if self.guest.is_some() || self.failures >= LOG_INS_MAX { Err(End::Refused) } else { Ok(()) };
        }
        if self.guest.is_none() {
            self.enter(&now, place, turn)?;
        }
        tell(jt808::general_answer(frame, DONE), out);
        Ok(())
    }

    fn enter(&mut self, named: &Arc<SocketGuest>, place: Place, turn: &Turn<'_>) -> Result<(), End> {
        let guest = Guest::new(named.ident.clone());
        if !turn.shared.queues.is_held(guest.lane) {
            return Err(End::NotHeld);
        }
        // Nobody without a secret is sent a command.
        let hears = self.spoken.has_secret;
        let entered =
            turn.shared.places.enter(guest.ident.clone(), (turn.mailbox.clone(), place), hears, turn.visit(None));
        turn.shared.metrics.door_takeovers.inc_by(entered.into());
        self.named = Some(named.clone());
        self.guest = Some(guest);
        // Whoever removes it from the list tells the connection that has its place; until now this one had none.
        match turn.shared.guests.on_socket(self.spoken.name, named.ident.as_str()) {
            Known::As(now) if now.profile == named.profile && now.registered == named.registered => Ok(()),
            _ => Err(End::Removed),
        }
    }

    fn publish(&mut self, payload: Vec<u8>, owed: Owed, place: Place, turn: &Turn<'_>) -> Result<(), End> {
        let Some(guest) = &self.guest else { return Err(End::Refused) };
        if !turn.shared.queues.is_held(guest.lane) {
            return Err(End::NotHeld);
        }
        let mut owed = owed;
        if let Owed::Answer(_) = owed {
            let digest = digest(&payload);
            if self.open.contains(&digest) {
                owed = Owed::Nothing;
            } else {
                self.open.push_back(digest);
            }
        }
        let topic = guest.up_topic.to_string();
        let packet = Packet { topic, received_at: turn.received_at, payload, way: Way::Socket };
        let receipt = Receipt::Door(DoorReceipt::new(turn.mailbox.clone(), place, owed));
        self.unacknowledged += 1;
        turn.shared.queues.put(guest.lane, Delivery { packet, receipt });
        Ok(())
    }

    /// A frame is in the journal.
    pub fn kept(&mut self, owed: Owed, out: &mut BytesMut) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        if let Owed::Answer(answer) = owed {
            self.open.pop_front(); // those of a connection are kept in order
            if self.open.is_empty() {
                self.open = VecDeque::new(); // idle connections hold nothing
            }
            out.extend_from_slice(&answer);
        }
    }

    /// A command as it goes onto the wire.
    pub fn message(&self, payload: &[u8], out: &mut BytesMut) -> bool {
        let takes = self.guest.is_some() && self.spoken.has_secret;
        if takes {
            out.extend_from_slice(payload);
        }
        takes
    }

    /// A newer connection of the same tracker is there. This one stays for a while, silently: if it speaks, both live.
    pub fn replaced(&mut self) -> Result<(), End> {
        self.replaced_at.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// The newer connection is gone.
    pub fn restored(&mut self) {
        self.replaced_at = None;
    }

    pub fn check(&self, now: Instant) -> Result<(), End> {
        let is_over = self.replaced_at.is_some_and(|at| now.duration_since(at) > DOUBT_MAX);
        if is_over { Err(End::Replaced) } else { Ok(()) }
    }
}

fn digest(frame: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(frame);
    hasher.finish()
}

/// Whether the last byte of a frame is also the first of the next, as some terminals of JT/T 808 send them in a row.
fn shares_its_end(frame: &[u8], behind: &[u8]) -> bool {
    let (Some(first), Some(last), Some(next)) = (frame.first(), frame.last(), behind.first()) else { return false };
    matches!(first, 0x7e | 0xe7) && first == last && next != first && *next != b'(' && !next.is_ascii_whitespace()
}

/// Writes an answer that could be made.
fn tell<E>(answer: Result<Vec<u8>, E>, out: &mut BytesMut) {
    if let Ok(answer) = answer {
        out.extend_from_slice(&answer);
    }
}
