//! One connection: its socket, what was read of it, its conversation, its deadlines.

use crate::door::Shared;
use crate::door::end::End;
use crate::door::guest::Turn;
use crate::door::limits::{FRAMES_PER_TURN, LOG_IN_BYTES_MAX, LOG_IN_MAX, READ_BYTES, TURN_BYTES_MAX, WRITE_MAX};
use crate::door::socket::{ReadEnd, Socket};
use crate::door::talk::Talk;
use crate::ingest::receipt::{Place, Word};
use bytes::BytesMut;
use std::net::IpAddr;
use std::time::Instant;

/// A connection of a tracker, or of somebody who has not said who they are.
pub(super) struct Connection {
    pub socket: Socket,
    input: BytesMut,
    pub talk: Talk,
    /// Which listener it came by.
    pub listener: usize,
    pub address: IpAddr,
    packet_bytes_max: usize,
    opened_at: Instant,
    heard_at: Instant,
    /// Since when something waits that the socket does not take.
    blocked_since: Option<Instant>,
    /// Whether the socket may have more to read.
    pub is_readable: bool,
    /// Whether the other side has said its last word.
    pub is_closing: bool,
    /// Whether all of it was read.
    is_closed: bool,
    /// Whether it waits for room in its lane or for acknowledgements.
    pub is_stalled: bool,
}

impl Connection {
    pub fn new(
        (socket, talk): (Socket, Talk),
        listener: usize,
        address: IpAddr,
        packet_bytes_max: usize,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            input: BytesMut::new(),
            talk,
            listener,
            address,
            packet_bytes_max,
            opened_at: now,
            heard_at: now,
            blocked_since: None,
            is_readable: true,
            is_closing: false,
            is_closed: false,
            is_stalled: false,
        }
    }

    /// Reads and answers as far as one turn goes; says whether there may be more at once.
    pub fn hear(&mut self, place: Place, scratch: &mut [u8], now: Instant, turn: &Turn<'_>) -> Result<bool, End> {
        let (mut read_bytes, mut heard) = (0, 0);
        if std::mem::take(&mut self.is_stalled) {
            self.heard_at = now; // whoever waited for us was not silent
        }
        loop {
            loop {
                if !self.talk.has_room(turn.shared) {
                    self.is_stalled = true;
                    return Ok(false);
                }
                if heard >= FRAMES_PER_TURN {
                    return Ok(true);
                }
                heard += 1;
                let out = self.socket.outgoing();
                if !self.talk.hear(&mut self.input, out, place, self.packet_bytes_max, turn)? {
                    break;
                }
            }
            if self.is_closed {
                return Err(End::Closed);
            }
            if !self.is_readable || read_bytes >= TURN_BYTES_MAX {
                break;
            }
            let before = self.input.len();
            let until = before + if self.talk.guest().is_some() { READ_BYTES } else { LOG_IN_BYTES_MAX };
            let mut is_turn_over = false;
            match self.socket.read(&mut self.input, until, scratch, self.is_closing)? {
                ReadEnd::Drained => self.is_readable = false,
                ReadEnd::Limit => is_turn_over = self.input.len() < until, // of the wire: little of it was said
                ReadEnd::Closed => self.is_closed = true,
            }
            if self.input.len() > before {
                self.heard_at = now;
            }
            read_bytes += if is_turn_over { TURN_BYTES_MAX } else { self.input.len() - before };
        }
        if self.input.is_empty() {
            self.input = BytesMut::new(); // idle connections hold nothing
        }
        Ok(self.is_readable)
    }

    /// Takes a word from elsewhere.
    pub fn take(&mut self, word: Word) -> Result<(), End> {
        match word {
            Word::Kept(owed) => self.talk.kept(owed, self.socket.outgoing()),
            Word::Message(payload) => drop(self.talk.message(&payload, self.socket.outgoing())),
            Word::GivenUp => return Err(End::GivenUp),
            Word::Registered(is_taken) => self.talk.registered(is_taken, self.socket.outgoing())?,
            Word::Replaced => self.talk.replaced()?,
            Word::Restored => self.talk.restored(),
            Word::Outlived => return Err(End::Replaced),
            Word::NotAdmitted => return Err(End::Removed),
        }
        Ok(())
    }

    /// Writes what waits.
    pub fn flush(&mut self, now: Instant) -> Result<(), End> {
        let (was_bytes, is_done) = (self.socket.written_bytes(), self.socket.flush()?);
        let is_slow = !is_done && self.socket.written_bytes() == was_bytes;
        self.blocked_since = match (is_done, is_slow) {
            (true, _) => None,
            (false, true) => self.blocked_since.or(Some(now)),
            (false, false) => Some(now),
        };
        Ok(())
    }

    /// Whether one of its deadlines has passed.
    pub fn check(&self, now: Instant, shared: &Shared) -> Result<(), End> {
        if self.blocked_since.is_some_and(|since| now.duration_since(since) > WRITE_MAX) {
            return Err(End::Deaf);
        }
        let Some(guest) = self.talk.guest() else {
            return if now.duration_since(self.opened_at) > LOG_IN_MAX { Err(End::LateLogIn) } else { Ok(()) };
        };
        if !shared.queues.is_held(guest.lane) {
            return Err(End::NotHeld); // its answers would be somebody else's
        }
        // Whoever waits for us is not heard, for we do not read.
        let is_silent = !self.is_stalled && now.duration_since(self.heard_at) > self.talk.silence_max();
        if is_silent { Err(End::Silent) } else { self.talk.check(now) }
    }

    /// Says goodbye and closes.
    pub fn close(&mut self, end: &End) {
        self.talk.farewell(end, self.socket.outgoing());
        self.socket.close();
    }
}
