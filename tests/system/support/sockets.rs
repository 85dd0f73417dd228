//! Trackers on sockets of their own at the door: they keep each frame until its answer, repeat it on a new connection, and note
//! what they sent and what was answered. Whatever happens to the door, each answer is an obligation.

use super::oracle::Notes;
use crate::harness::Up;
use crate::socket_door::{code_of, gt06_login, jt808, jt808_register, teltonika_login};
use encode::{Language, Said, Source};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::clock::now;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::io::{BufReader, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[allow(dead_code)] // languages that no socket speaks
#[path = "../../../simulator/src/encode/mod.rs"]
mod encode;

/// Trackers of each language.
const EACH: usize = 2;
/// Longest an answer is waited for: a lane whose database hangs answers from the spool after 2 s.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long they go on after their last frame.
const PATIENCE: Duration = Duration::from_secs(60);
/// Frames that a tracker keeps; then it measures no more.
const KEPT_MAX: usize = 200;

/// Trackers at work.
pub struct Sockets {
    trackers: Vec<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
    notes: Arc<Mutex<Notes>>,
}

impl Sockets {
    /// Registers some trackers for each port of the door without MQTT, and lets them go; none without such a port.
    pub fn start(up: &Up, seed: u64) -> Self {
        let (is_over, notes) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Notes>>::default());
        let mut trackers = Vec::new();
        for (name, port) in up.door_tcp() {
            let language = Language::parse(&name).unwrap();
            for n in 0..EACH {
                let ident = match language {
                    Language::Jt808 => format!("1380000010{n}"),
                    Language::H02 => format!("860000020{n}"),
                    Language::Gt06 => format!("86000000000030{n}"),
                    _ => format!("86000000000040{n}"),
                };
                let told = up.command(&["admin", "tracker", &ident, "--protocol", &name, "--transport", "socket"]);
                assert!(told.status.success(), "{told:?}");
                let random = StdRng::seed_from_u64(seed.wrapping_add(trackers.len() as u64));
                let notes = notes.clone();
                let address = ([127, 0, 0, 1], up.way_to(port)).into();
                let (number, kept) = (trackers.len() as u16, VecDeque::new());
                let mut tracker = Tracker {
                    language,
                    number,
                    ident,
                    address,
                    random,
                    notes,
                    sequence: 0,
                    kept,
                    answered: 0,
                    code: None,
                };
                let is_over = is_over.clone();
                trackers.push(std::thread::spawn(move || tracker.live(&is_over)));
            }
        }
        Self { trackers, is_over, notes }
    }

    /// Adds what they noted so far.
    pub fn read_into(&self, notes: &mut Notes) {
        let own = self.notes.lock().unwrap();
        notes.sent.extend(own.sent.iter().cloned());
        notes.at_once.extend(own.at_once.iter().cloned());
        notes.answered.extend(own.answered.iter().cloned());
    }

    /// Lets them finish what they have begun.
    pub fn end(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for tracker in self.trackers.drain(..) {
            tracker.join().unwrap();
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Longest that one which is not in yet goes on trying at the end.
const IN_AFTER: Duration = Duration::from_secs(20);

/// A frame and the number that its answer shows.
type Frame = (u16, Vec<u8>);
type Answers = BufReader<TcpStream>;

struct Tracker {
    language: Language,
    number: u16,
    ident: String,
    address: SocketAddr,
    random: StdRng,
    notes: Arc<Mutex<Notes>>,
    sequence: u16,
    /// Frames without an answer, the oldest first.
    kept: VecDeque<Frame>,
    /// How many were answered.
    answered: u32,
    /// What JT/T 808 lets it in by.
    code: Option<Vec<u8>>,
}

impl Tracker {
    fn live(&mut self, is_over: &AtomicBool) {
        let mut over_since = None;
        loop {
            drop(self.talk(is_over)); // whatever broke, it comes again
            if is_over.load(Ordering::Relaxed) {
                let since = *over_since.get_or_insert_with(Instant::now);
                // One that never got in, as beside a worker that stood still, has nothing to wait for.
                if self.kept.is_empty() && (self.answered > 0 || since.elapsed() > IN_AFTER) {
                    return;
                }
                let (ident, waiting) = (&self.ident, self.kept.len());
                assert!(since.elapsed() < PATIENCE, "{ident} has {} answers and waits for {waiting}", self.answered);
            }
            std::thread::sleep(Duration::from_millis(self.random.random_range(100..500)));
        }
    }

    /// One connection: logs in, repeats what has no answer, and goes on with what is measured.
    fn talk(&mut self, is_over: &AtomicBool) -> Result<(), Error> {
        let mut stream = TcpStream::connect_timeout(&self.address, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        let mut answers = BufReader::new(stream.try_clone()?);
        self.log_in(&mut stream, &mut answers)?;
        if self.answered == 0 && self.kept.is_empty() {
            self.measure(); // so that one which comes in at the very end shows that it is served
        }
        let again = self.kept.len();
        self.send(&mut stream, &mut answers, again)?;
        while !is_over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(self.random.random_range(200..600)));
            let count = self.random.random_range(1..=3);
            (0..count).for_each(|_| self.measure());
            let count = self.kept.len();
            self.send(&mut stream, &mut answers, count)?;
        }
        Ok(())
    }

    fn log_in(&mut self, stream: &mut TcpStream, answers: &mut Answers) -> Result<(), Error> {
        match self.language {
            Language::Gt06 => {
                let login = gt06_login(&self.ident);
                self.notes.lock().unwrap().at_once.insert(digest(&login)); // the journal has those of GT06
                stream.write_all(&login)?;
                self.hear(answers)?;
            }
            Language::Teltonika => {
                stream.write_all(&teltonika_login(&self.ident))?;
                let mut answer = [0];
                answers.read_exact(&mut answer)?;
                must(answer == [1])?;
            }
            Language::Jt808 => {
                if self.code.is_none() {
                    stream.write_all(&jt808_register(&self.ident, &self.ident[4..]))?;
                    self.code = Some(code_of(&self.hear(answers)?).ok_or(ErrorKind::PermissionDenied)?);
                }
                stream.write_all(&jt808(0x0102, &self.ident, 2, self.code.as_ref().unwrap()))?;
                let answer = self.hear(answers)?;
                if self.language.answered(&answer).is_none() {
                    self.code = None;
                    return Err(ErrorKind::PermissionDenied.into());
                }
            }
            Language::H02 | Language::Json => {}
        }
        Ok(())
    }

    /// Measures where it is: no two places are alike.
    fn measure(&mut self) {
        if self.kept.len() >= KEPT_MAX {
            return;
        }
        self.sequence += 1;
        let said = Said {
            at_ms: now().micros() / 1000,
            lat: 28.6 + f64::from(self.sequence) * 2e-5,
            lon: 112.35 + f64::from(self.number) * 1e-3, // nor those of two trackers, whose frames may name nobody
            speed_kmh: 9.0,
            course_deg: 0.0,
            satellites: 9,
            accuracy_m: 5.0,
            battery_percent: 80,
            external_power: true,
            ignition: true,
            moving: Some(true),
            vibration: false,
            source: Source::Gnss,
        };
        let frame = self.language.message(&self.ident, self.sequence.into(), &said);
        self.kept.push_back((self.sequence, frame));
    }

    /// Sends the oldest of what it keeps in one go, and hears their answers, which come in order.
    fn send(&mut self, stream: &mut TcpStream, answers: &mut Answers, count: usize) -> Result<(), Error> {
        let frames: Vec<u8> = self.kept.iter().take(count).flat_map(|(_, frame)| frame.clone()).collect();
        let sent = self.kept.iter().take(count).map(|(_, frame)| digest(frame));
        self.notes.lock().unwrap().sent.extend(sent);
        stream.write_all(&frames)?;
        for _ in 0..count {
            let answer = self.hear(answers)?;
            let (number, frame) = self.kept.front().unwrap();
            assert!(self.is_for(&answer, *number), "{} of {:?}: {answer:02x?}", self.ident, self.language);
            self.notes.lock().unwrap().answered.insert(digest(frame));
            self.kept.pop_front();
            self.answered += 1;
        }
        Ok(())
    }

    /// The next answer, whole.
    fn hear(&self, answers: &mut Answers) -> Result<Vec<u8>, Error> {
        let (bytes, end) = match self.language {
            Language::Gt06 => (10, None),
            Language::Teltonika => (4, None),
            Language::H02 => (100, Some(b'#')),
            Language::Jt808 | Language::Json => (100, Some(0x7e)),
        };
        let mut answer = Vec::new();
        while answer.len() < bytes && (answer.len() < 2 || answer.last() != end.as_ref()) {
            let mut byte = [0];
            answers.read_exact(&mut byte)?;
            answer.extend(byte);
        }
        Ok(answer)
    }

    fn is_for(&self, answer: &[u8], number: u16) -> bool {
        match self.language {
            Language::Gt06 => answer == rideguard::protocol::gt06::build(false, 0x22, &[], number).as_slice(),
            Language::Teltonika => answer == [0, 0, 0, 1],
            Language::H02 => answer.starts_with(format!("*HQ,{},V4,V1,", self.ident).as_bytes()),
            Language::Jt808 | Language::Json => self.language.answered(answer) == Some(number.into()..=number.into()),
        }
    }
}

fn digest(frame: &[u8]) -> String {
    hex::encode(Sha256::digest(frame))
}

fn must(is_so: bool) -> Result<(), Error> {
    if is_so { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) }
}
