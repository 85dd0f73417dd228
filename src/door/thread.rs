//! A thread of the door: it takes turns over its connections, and nobody waits for anybody.
//!
//! A turn reads what came, hands it to the lanes, takes what the lanes have kept, and writes all answers of a connection at
//! once. A thread with much to do waits out its turn of 10 ms: the more comes together, the cheaper each packet is
//! (docs/decisions/0037-a-door-of-our-own.md).

use crate::clock::now as server_time;
use crate::door::Shared;
use crate::door::connection::Connection;
use crate::door::datagrams::{self, Fate};
use crate::door::ear::Ear;
use crate::door::end::End;
use crate::door::guest::Turn;
use crate::door::limits::{ACCEPTS_PER_S, DATAGRAMS_PER_TURN, LOOK_EVERY, READ_BYTES, STRANGERS_PER_ADDRESS_MAX, TURN};
use crate::door::pace::Pace;
use crate::door::socket::{Socket, address_of};
use crate::door::talk::Talk;
use crate::ingest::receipt::{Letter, Mailbox, Owed, Place, Word};
use mio::{Events, Interest, Poll, Token};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Events taken at once.
const EVENTS_MAX: usize = 1024;
/// Token of the mailbox.
pub(super) const MAIL: Token = Token(0);
/// Errors of accept that say that we lack something: ENFILE, EMFILE, ENOMEM, ENOBUFS.
const SHORTAGES: [i32; 4] = [
    nix::errno::Errno::ENFILE as i32,
    nix::errno::Errno::EMFILE as i32,
    nix::errno::Errno::ENOMEM as i32,
    nix::errno::Errno::ENOBUFS as i32,
];
/// Tokens before those of connections: the mailbox and listeners.
const FIRST: usize = 64;

/// A row for a connection.
#[derive(Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
    /// Whether it is in the list of those to hear.
    is_ready: bool,
    /// Whether it is in the list of those to write to.
    is_touched: bool,
}

/// See the module.
pub(super) struct Thread {
    pub shared: Arc<Shared>,
    pub poll: Poll,
    pub mailbox: Arc<Mailbox>,
    pub ears: Vec<Ear>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Connections to hear, and to write to, in this turn.
    ready: Vec<u32>,
    touched: Vec<u32>,
    stalled: Vec<u32>,
    /// Listeners that may have somebody waiting, as bits.
    calling: u64,
    /// Those that take datagrams.
    for_datagrams: u64,
    /// Which of them is asked first, and how many connections are taken until the next look.
    next_listener: u32,
    accepts_left: u32,
    looked_at: Instant,
    pace: Pace,
    scratch: Vec<u8>,
    letters: Vec<Letter>,
}

impl Thread {
    pub fn new(shared: Arc<Shared>, poll: Poll, mailbox: Arc<Mailbox>, mut ears: Vec<Ear>) -> anyhow::Result<Self> {
        for (n, ear) in ears.iter_mut().enumerate() {
            ear.register(poll.registry(), Token(1 + n))?;
        }
        let is_for_datagrams = |(_, ear): &(usize, &Ear)| matches!(ear, Ear::Udp(_));
        let for_datagrams = ears.iter().enumerate().filter(is_for_datagrams).fold(0, |bits, (n, _)| bits | 1 << n);
        Ok(Self {
            shared,
            poll,
            mailbox,
            ears,
            slots: Vec::new(),
            free: Vec::new(),
            ready: Vec::new(),
            touched: Vec::new(),
            stalled: Vec::new(),
            calling: 0,
            for_datagrams,
            next_listener: 0,
            accepts_left: ACCEPTS_PER_S,
            looked_at: Instant::now(),
            pace: Pace::new(),
            scratch: vec![0; READ_BYTES],
            letters: Vec::new(),
        })
    }

    /// Works until the door closes.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.shared.is_stopped.load(Ordering::Relaxed) {
            let began = Instant::now();
            if let Err(error) = self.poll.poll(&mut events, Some(self.patience()))
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "A thread of the door cannot wait for its sockets; it goes on");
                std::thread::sleep(TURN);
            }
            for event in &events {
                match event.token() {
                    MAIL => {}
                    Token(n) if n < FIRST => self.calling |= 1 << (n - 1),
                    Token(n) => self.notice((n - FIRST) as u32, event.is_readable(), event.is_read_closed()),
                }
            }
            self.turn();
            if self.pace.is_busy(began) {
                std::thread::sleep(TURN.saturating_sub(began.elapsed()));
            }
        }
    }

    /// How long the next wait may take.
    fn patience(&self) -> Duration {
        if !self.ready.is_empty() {
            Duration::ZERO
        } else if !self.stalled.is_empty() || self.calling != 0 {
            TURN
        } else {
            LOOK_EVERY
        }
    }

    /// The socket of a row has something to read, or takes more.
    fn notice(&mut self, n: u32, is_readable: bool, is_closing: bool) {
        let is_readable = is_readable || is_closing;
        let Some(Slot { connection: Some(connection), is_ready, is_touched, .. }) = self.slots.get_mut(n as usize)
        else {
            return;
        };
        connection.is_readable |= is_readable;
        connection.is_closing |= is_closing;
        if is_readable && !connection.is_stalled && !std::mem::replace(is_ready, true) {
            self.ready.push(n);
        }
        if !std::mem::replace(is_touched, true) {
            self.touched.push(n);
        }
    }

    /// One turn.
    fn turn(&mut self) {
        let now = Instant::now();
        self.accept(now);
        for n in std::mem::take(&mut self.stalled) {
            self.mark_ready(n);
        }
        let ready = std::mem::take(&mut self.ready);
        for n in ready {
            self.hear(n, now);
        }
        self.read_mail();
        for n in std::mem::take(&mut self.touched) {
            self.write(n, now);
        }
        if now.duration_since(self.looked_at) >= LOOK_EVERY {
            self.looked_at = now;
            self.accepts_left = ACCEPTS_PER_S;
            self.look(now);
        }
    }

    fn mark_ready(&mut self, n: u32) {
        if let Some(slot) = self.slots.get_mut(n as usize)
            && slot.connection.is_some()
            && !std::mem::replace(&mut slot.is_ready, true)
        {
            self.ready.push(n);
        }
    }

    fn mark_touched(&mut self, n: u32) {
        if let Some(slot) = self.slots.get_mut(n as usize)
            && !std::mem::replace(&mut slot.is_touched, true)
        {
            self.touched.push(n);
        }
    }

    fn hear(&mut self, n: u32, now: Instant) {
        let Some(slot) = self.slots.get_mut(n as usize) else { return };
        slot.is_ready = false;
        let place = Place { slot: n, generation: slot.generation };
        let Some(connection) = &mut slot.connection else { return };
        let was_stranger = connection.talk.guest().is_none();
        self.pace.heard += u32::from(!was_stranger);
        let came_by = (connection.listener, connection.address);
        let turn = Turn { shared: &self.shared, mailbox: &self.mailbox, received_at: server_time(), came_by };
        let heard = connection.hear(place, &mut self.scratch, now, &turn);
        if was_stranger && connection.talk.guest().is_some() {
            self.shared.strangers.leave(connection.address);
            self.shared.count_in(connection.listener, connection.socket.is_tls());
        }
        let is_stalled = connection.is_stalled;
        match heard {
            Err(end) => return self.end(n, &end),
            Ok(true) => self.mark_ready(n),
            Ok(false) if is_stalled => self.stalled.push(n),
            Ok(false) => {}
        }
        self.mark_touched(n);
    }

    /// What lanes and others have to say.
    fn read_mail(&mut self) {
        let mut letters = self.mailbox.take(std::mem::take(&mut self.letters));
        for (place, word) in letters.drain(..) {
            if place.slot == datagrams::SLOT {
                self.answer_datagram(place, word);
                continue;
            }
            let Some(slot) = self.slots.get_mut(place.slot as usize) else { continue };
            if slot.generation != place.generation {
                continue; // of a connection that is gone
            }
            let Some(connection) = &mut slot.connection else { continue };
            match connection.take(word) {
                Ok(()) => self.mark_touched(place.slot),
                Err(end) => self.end(place.slot, &end),
            }
        }
        self.letters = letters;
    }

    /// The answer to a datagram that is kept; one that is lost is asked for again.
    fn answer_datagram(&self, place: Place, word: Word) {
        if let (Some(Ear::Udp(ear)), Word::Kept(Owed::Datagram { to, answer })) =
            (self.ears.get(place.generation as usize), word)
            && !answer.is_empty()
        {
            drop(ear.send_to(&answer, to));
        }
    }

    fn write(&mut self, n: u32, now: Instant) {
        let Some(slot) = self.slots.get_mut(n as usize) else { return };
        slot.is_touched = false;
        let Some(connection) = &mut slot.connection else { return };
        if let Err(end) = connection.flush(now) {
            self.end(n, &end);
        }
    }

    /// Ends whatever has passed a deadline.
    fn look(&mut self, now: Instant) {
        for n in 0..self.slots.len() {
            let checked = self.slots[n].connection.as_ref().map(|connection| connection.check(now, &self.shared));
            if let Some(Err(end)) = checked {
                self.end(n as u32, &end);
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        for n in 0..self.ears.len() as u32 {
            if self.calling & self.for_datagrams & (1 << n) != 0 && !self.take_datagrams(n) {
                self.calling &= !(1 << n);
            }
        }
        loop {
            let calling = self.calling & !self.for_datagrams;
            if calling == 0 || self.accepts_left == 0 {
                return;
            }
            // One after another: a flood at one listener keeps nobody out of the others.
            let n = (calling.rotate_right(self.next_listener).trailing_zeros() + self.next_listener) % u64::BITS;
            self.next_listener = (n + 1) % u64::BITS;
            let Some(Ear::Tcp(ear)) = self.ears.get(n as usize) else { return };
            match ear.accept() {
                Ok((stream, _)) => {
                    self.accepts_left -= 1;
                    self.let_in(n as usize, stream, now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.calling &= !(1 << n),
                Err(error) => {
                    // Without file descriptors or memory, whoever waits is asked for again at the next look; anything else
                    // is the end of the new connection alone (accept(2)).
                    let is_ours = error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&code));
                    self.accepts_left = if is_ours { 0 } else { self.accepts_left - 1 };
                    if is_ours {
                        self.shared.complain_of_accept(&error);
                    }
                }
            }
        }
    }

    /// Takes the datagrams of a port; says whether there may be more.
    fn take_datagrams(&mut self, n: u32) -> bool {
        let Some(Ear::Udp(ear)) = self.ears.get(n as usize) else { return false };
        let settings = &self.shared.listeners[n as usize];
        let (language, most) = (settings.language.name(), settings.packet_bytes_max().min(self.scratch.len() - 1));
        let (received_at, mut out) = (server_time(), Vec::new());
        for _ in 0..DATAGRAMS_PER_TURN {
            // A longer one is cut there.
            let (length, from) = match ear.recv_from(&mut self.scratch[..=most]) {
                Ok(datagram) => datagram,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => continue, // of an answer before, that reached nobody
            };
            out.clear();
            let came_by = (n as usize, from.ip());
            let turn = Turn { shared: &self.shared, mailbox: &self.mailbox, received_at, came_by };
            let fate = match &self.scratch[..length] {
                cut if cut.len() > most => Fate::Malformed,
                datagram => datagrams::hear(language, datagram, (n, from), &mut out, &turn),
            };
            self.shared.metrics.door_datagrams.with_label_values(&[language, fate.name()]).inc();
            self.shared.tallies[n as usize].count(fate.name());
            self.pace.heard += 1;
            if !out.is_empty() {
                drop(ear.send_to(&out, from));
            }
        }
        true
    }

    fn let_in(&mut self, listener: usize, stream: mio::net::TcpStream, now: Instant) {
        let Ok(address) = address_of(&stream) else { return };
        if !self.shared.has_room_for_one() || !self.shared.strangers.enter(address, STRANGERS_PER_ADDRESS_MAX) {
            return self.shared.count_end(listener, "crowded");
        }
        drop(stream.set_nodelay(true));
        let settings = &self.shared.listeners[listener];
        let tls = if settings.is_tls() { self.shared.tls.clone().map(rustls::ServerConnection::new) } else { None };
        let tls = match tls.transpose() {
            Ok(tls) => tls,
            Err(_) => return self.shared.strangers.leave(address),
        };
        let bytes_max = settings.packet_bytes_max();
        let parts = (Socket::new(stream, tls), Talk::new(settings));
        let mut connection = Box::new(Connection::new(parts, listener, address, bytes_max, now));
        let n = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered =
            self.poll.registry().register(&mut connection.socket.stream, Token(FIRST + n as usize), interest);
        if registered.is_err() {
            self.free.push(n);
            return self.shared.strangers.leave(address);
        }
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        self.shared.tallies[listener].opened();
        if let Some(slot) = self.slots.get_mut(n as usize) {
            slot.connection = Some(connection);
        }
        self.mark_ready(n);
    }

    fn end(&mut self, n: u32, end: &End) {
        let Some(slot) = self.slots.get_mut(n as usize) else { return };
        let Some(mut connection) = slot.connection.take() else { return };
        let place = Place { slot: n, generation: slot.generation };
        slot.generation = slot.generation.wrapping_add(1);
        (slot.is_ready, slot.is_touched) = (false, false);
        self.free.push(n);
        connection.close(end);
        drop(self.poll.registry().deregister(&mut connection.socket.stream));
        match connection.talk.guest() {
            Some(guest) => {
                let why = (server_time(), end.name());
                if self.shared.places.leave(&guest.ident, (&self.mailbox, place), why) {
                    connection.talk.leave(&self.shared);
                }
                self.shared.count_out(connection.listener, connection.socket.is_tls());
            }
            None => {
                self.shared.tallies[connection.listener].closed(false);
                self.shared.strangers.leave(connection.address);
            }
        }
        if let Some(named) = connection.talk.named().filter(|_| end.is_suspicious()) {
            self.shared.complain_of_guest(named, end);
        }
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        self.shared.count_end(connection.listener, end.name());
    }
}

/// However the thread ends: nobody believes that its trackers are there.
impl Drop for Thread {
    fn drop(&mut self) {
        for n in 0..self.slots.len() {
            self.end(n as u32, &End::Stopped);
        }
    }
}
