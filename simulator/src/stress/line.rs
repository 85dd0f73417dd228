//! A tracker's connection that wakes nobody: MQTT 3.1.1 by hand, through TLS, on a socket that is read only when its
//! tracker is about to speak again.
//!
//! The trackers that we stand for are elsewhere. A registered socket wakes this process for every PUBACK, and the
//! broker, which shares our processors, pays for a part of it.

use crate::mqtt::{Broker, Credential, topic};
use anyhow::{Context, bail};
use rustls::ClientConnection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A broker that takes nothing of a connection for so long has ended it for us.
const DEAF_MAX: Duration = Duration::from_secs(30);

/// What came back so far, of all connections.
#[derive(Default)]
pub struct Heard {
    pub acks: u64,
    pub answers: u64,
    pub broken: u64,
}

/// One connection.
pub struct Line {
    tls: ClientConnection,
    tcp: TcpStream,
    kept: Vec<u8>,
    is_broken: bool,
}

impl Line {
    /// TLS, CONNECT, and the wish for answers.
    ///
    /// # Errors
    /// Nobody there, no trust, or a broker that refuses the tracker.
    pub fn connect(broker: &Broker, credential: &Credential, listen: bool) -> anyhow::Result<Self> {
        let mut tcp = TcpStream::connect((broker.host.as_str(), broker.port)).context("cannot reach the broker")?;
        tcp.set_nodelay(true)?;
        let name = rustls::pki_types::ServerName::try_from(broker.host.clone())?;
        let mut tls = ClientConnection::new(broker.tls.clone(), name)?;
        let mut bytes = Vec::new();
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0b1100_0010, 0, 240];
        for text in [&credential.ident, &credential.ident, &credential.password] {
            put_text(text, &mut body);
        }
        put_packet(0x10, &body, &mut bytes);
        if listen {
            let mut body = vec![0, 1];
            put_text(&topic(&credential.ident).replace("/up", "/down"), &mut body);
            body.push(0);
            put_packet(0x82, &body, &mut bytes);
        }
        let mut way = rustls::Stream::new(&mut tls, &mut tcp);
        way.write_all(&bytes).context("cannot reach the broker")?;
        let mut answer = [0; 4];
        way.read_exact(&mut answer).with_context(|| format!("the broker refuses {}", credential.ident))?;
        if answer != [0x20, 2, 0, 0] {
            bail!("the broker refuses {} with code {}", credential.ident, answer[3]);
        }
        tcp.set_nonblocking(true)?;
        Ok(Self { tls, tcp, kept: Vec::new(), is_broken: false })
    }

    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Sends, after counting what has come meanwhile. A connection that has ended is counted once, and says nothing more.
    pub fn say(&mut self, bytes: &[u8], heard: &mut Heard) {
        self.hear(heard);
        if !self.is_broken && self.send(bytes).is_err() {
            self.end(heard);
        }
    }

    /// Counts what has come.
    pub fn hear(&mut self, heard: &mut Heard) {
        if self.is_broken {
            return;
        }
        match self.receive() {
            Ok(()) => self.count(heard),
            Err(_) => self.end(heard),
        }
    }

    fn end(&mut self, heard: &mut Heard) {
        self.is_broken = true;
        heard.broken += 1;
    }

    fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.tls.writer().write_all(bytes)?;
        let since = Instant::now();
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && since.elapsed() < DEAF_MAX => {
                    std::thread::sleep(Duration::from_millis(1)); // who presses falls behind, and says so
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> anyhow::Result<()> {
        match self.tls.read_tls(&mut self.tcp) {
            Ok(0) => bail!("the broker ended the connection"),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.tls.process_new_packets()?;
        match self.tls.reader().read_to_end(&mut self.kept) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(io::Error::into(error)),
            _ => Ok(()),
        }
    }

    fn count(&mut self, heard: &mut Heard) {
        let mut at = 0;
        while let Some((kind, length)) = next_packet(&self.kept[at..]) {
            match kind >> 4 {
                4 => heard.acks += 1,
                3 => heard.answers += 1,
                _ => {}
            }
            at += length;
        }
        self.kept.drain(..at);
    }
}

/// The first byte and the whole length of the packet at the front, if it is all there.
fn next_packet(bytes: &[u8]) -> Option<(u8, usize)> {
    let (mut length, mut digits) = (0usize, 0);
    loop {
        let byte = *bytes.get(1 + digits)?;
        length |= usize::from(byte & 0x7f) << (7 * digits);
        digits += 1;
        if byte & 0x80 == 0 || digits == 4 {
            break;
        }
    }
    (bytes.len() >= 1 + digits + length).then_some((bytes[0], 1 + digits + length))
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// A packet: first byte, remaining length (MQTT 3.1.1, 2.2.3), body.
fn put_packet(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    put_length(body.len(), out);
    out.extend_from_slice(body);
}

fn put_length(mut length: usize, out: &mut Vec<u8>) {
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        out.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            return;
        }
    }
}

/// A PUBLISH of QoS 1.
pub fn publish(topic: &str, id: u16, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x32);
    put_length(2 + topic.len() + 2 + payload.len(), out);
    put_text(topic, out);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_that_is_put_is_found_again_and_a_cut_one_is_awaited() {
        let mut bytes = Vec::new();
        publish("v1/1/a/up", 7, &[9; 300], &mut bytes);
        let length = bytes.len();
        put_packet(0x40, &[0, 7], &mut bytes);
        assert_eq!(next_packet(&bytes), Some((0x32, length)));
        assert_eq!(next_packet(&bytes[length..]), Some((0x40, 4)));
        assert_eq!(next_packet(&bytes[..length - 1]), None);
    }
}
