//! A tracker on a socket of its own, without MQTT: it logs in, keeps each message until the server's answer, repeats what was
//! not answered, and connects again, each time later.

use crate::encode::{Answer, Language};
use crate::mqtt::{Credential, Manners, Message, Outbox, Promise};
use anyhow::{Context, bail};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Longest answer by UDP.
const DATAGRAM_BYTES_MAX: usize = 1500;
/// Longest a connection or a log-in is waited for.
const LOG_IN_MAX: Duration = Duration::from_secs(10);
/// Longest a connection may bring no answer although some are owed.
const DEAF_MAX: Duration = Duration::from_secs(20);
/// How often a tracker looks whether it has to repeat something.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The first wait before it connects again, and the longest.
const WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];

/// Where trackers of a language connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// What they speak.
    pub language: Language,
    address: String,
    by_udp: bool,
}

impl Door {
    /// Reads `LANGUAGE=HOST:PORT`.
    ///
    /// # Errors
    /// Names the flag and what it must be.
    pub fn parse(flag: &str, text: &str, by_udp: bool) -> anyhow::Result<Self> {
        let languages = if by_udp { "h02" } else { "gt06, h02, jt808 or teltonika" };
        let parts = text.split_once('=').filter(|(_, address)| {
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        });
        let (name, address) = parts.with_context(|| format!("{flag} is {text:?}; it must be LANGUAGE=HOST:PORT"))?;
        match Language::parse(name) {
            Some(language) if if by_udp { language == Language::H02 } else { language != Language::Json } => {
                Ok(Self { language, address: address.to_owned(), by_udp })
            }
            _ => bail!("{flag} is {text:?}; its language must be {languages}"),
        }
    }
}

/// A stream, or datagrams.
enum Line {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Line {
    async fn open(door: &Door) -> std::io::Result<Self> {
        if door.by_udp {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            socket.connect(&door.address).await?;
            return Ok(Self::Udp(socket));
        }
        let stream = tokio::time::timeout(LOG_IN_MAX, TcpStream::connect(&door.address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await,
            Self::Udp(socket) => socket.send(bytes).await.map(drop),
        }
    }

    /// Adds what came; an end of the stream is an error.
    async fn receive(&mut self, heard: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => match stream.read_buf(heard).await? {
                0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(()),
            },
            Self::Udp(socket) => {
                heard.reserve(DATAGRAM_BYTES_MAX); // of what has no room the rest is lost
                socket.recv_buf(heard).await.map(drop)
            }
        }
    }
}

/// A tracker and what it keeps.
struct Speaker<F> {
    door: Door,
    credential: Credential,
    outbox: Outbox,
    /// JT/T 808: the code that it got when it registered.
    code: Option<Vec<u8>>,
    log_ins: u16,
    wait: Duration,
    ending_since: Option<Instant>,
    manners: Manners,
    promised: F,
}

/// Sends what comes on `messages` and calls `promised` with each payload that the server has promised to keep. Ends when the
/// sender is dropped and nothing is left to send, or after its patience.
pub async fn speak(
    door: Door,
    credential: Credential,
    mut messages: mpsc::Receiver<Message>,
    promised: impl Fn(&[u8], Promise),
    manners: Manners,
) {
    let jitter = 0.5 + f64::from(crc32fast::hash(credential.ident.as_bytes()) % 100) / 200.0;
    let (outbox, code, ending_since) = (Outbox::default(), None, None);
    let (log_ins, wait) = (0, WAITS[0]);
    let mut speaker = Speaker { door, credential, outbox, code, log_ins, wait, ending_since, manners, promised };
    loop {
        let is_done = match Line::open(&speaker.door).await {
            Ok(line) => speaker.converse(line, &mut messages).await.is_ok(),
            Err(_) => false,
        };
        if is_done || speaker.is_over() {
            return;
        }
        tokio::time::sleep(speaker.wait.mul_f64(jitter)).await;
        speaker.wait = (speaker.wait * 2).min(WAITS[1]);
    }
}

impl<F: Fn(&[u8], Promise)> Speaker<F> {
    fn is_over(&self) -> bool {
        self.ending_since.is_some_and(|since| self.outbox.is_empty() || since.elapsed() > self.manners.patience)
    }

    /// Says and hears until everything is said; an error: the line is gone, or of no use.
    async fn converse(&mut self, mut line: Line, messages: &mut mpsc::Receiver<Message>) -> std::io::Result<()> {
        let (opened_at, mut heard) = (Instant::now(), Vec::new());
        let mut is_in = !self.log_in(&mut line).await?;
        let mut flight: std::collections::VecDeque<u64> = std::collections::VecDeque::new();
        let mut answered_at = Instant::now();
        self.outbox.begin_again();
        loop {
            while is_in && flight.len() < self.door.language.in_flight_max() {
                let Some((number, payload)) = self.outbox.next() else { break };
                line.send(&payload).await?;
                if flight.is_empty() {
                    answered_at = Instant::now();
                }
                flight.push_back(number);
            }
            if self.is_over() {
                return Ok(());
            }
            let is_late = if is_in { answered_at.elapsed() > DEAF_MAX } else { opened_at.elapsed() > LOG_IN_MAX };
            if is_late && !(is_in && flight.is_empty()) {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            tokio::select! {
                biased;
                came = line.receive(&mut heard) => came?,
                message = messages.recv(), if self.ending_since.is_none() => match message {
                    Some(message) => self.outbox.add(message),
                    None => self.ending_since = Some(Instant::now()),
                },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            while let Some(answer) = self.door.language.take_answer(&mut heard, is_in) {
                match answer {
                    Answer::In => (is_in, self.wait) = (true, WAITS[0]),
                    Answer::Code(code) => {
                        self.code = Some(code);
                        self.log_in(&mut line).await?;
                    }
                    Answer::NotIn => {
                        self.code = None;
                        return Err(std::io::ErrorKind::PermissionDenied.into());
                    }
                    Answer::Other => {}
                    Answer::Kept(sequence) => {
                        answered_at = Instant::now();
                        // Languages whose answers have no number get them in order.
                        let number = match sequence {
                            Some(sequence) => self.outbox.numbered(sequence),
                            None => flight.front().copied(),
                        };
                        let Some(number) = number else { continue };
                        flight.retain(|waiting| *waiting != number);
                        if let Some(message) = self.outbox.get(number) {
                            (self.promised)(&message.payload, Promise::Server);
                        }
                        self.outbox.settle(number);
                    }
                }
            }
            if self.outbox.is_stuck() && !flight.is_empty() {
                self.outbox.begin_again();
                flight.clear();
            }
        }
    }

    /// Says who it is, and whether an answer to that must come first.
    async fn log_in(&mut self, line: &mut Line) -> std::io::Result<bool> {
        self.log_ins = self.log_ins.wrapping_add(1);
        let code = self.code.as_deref();
        let Some(words) = self.door.language.log_in(&self.credential.ident, code, self.log_ins) else {
            return Ok(false);
        };
        (self.promised)(&words, Promise::Nobody);
        line.send(&words).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_a_language_and_an_address() {
        let door = Door::parse("--door-tcp", "jt808=127.0.0.1:6808", false).unwrap();
        assert_eq!((door.language, door.address.as_str()), (Language::Jt808, "127.0.0.1:6808"));
        for (text, by_udp) in [
            ("jt808", false),
            ("jt808=6808", false),
            ("json=a:1", false),
            ("xy=a:1", false),
            ("gt06=a:1", true),
            ("h02=a:x", true),
        ] {
            assert!(Door::parse("--door-tcp", text, by_udp).is_err(), "{text}");
        }
    }
}
