//! Bytes of one connection, plain or by TLS, without ever waiting.

use crate::door::end::End;
use crate::door::limits::OUTGOING_BYTES_MAX;
use bytes::{Buf, BytesMut};
use mio::net::TcpStream;
use rustls::ServerConnection;
use std::io::{self, ErrorKind, Read, Write};

/// Less than rustls has room for at any call: of 18,437 bytes one unfinished record of 16 KiB takes the most.
const TLS_READ_BYTES: usize = 1024;

/// Bytes of the wire that one call reads: a record may hold padding for the most part (RFC 8446, 5.4).
const WIRE_BYTES_MAX: usize = 64 * 1024;

/// A socket and what waits on its way out.
pub(super) struct Socket {
    pub stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// Plain bytes that nobody has taken yet.
    outgoing: BytesMut,
    written_bytes: u64,
}

/// What reading came to.
#[derive(PartialEq, Eq)]
pub(super) enum ReadEnd {
    /// Nothing more is there.
    Drained,
    /// The limit was reached; more may be there.
    Limit,
    /// The other side closed.
    Closed,
}

impl Socket {
    pub fn new(stream: TcpStream, tls: Option<ServerConnection>) -> Self {
        let tls = tls.map(|mut tls| {
            tls.set_buffer_limit(Some(OUTGOING_BYTES_MAX));
            Box::new(tls)
        });
        Self { stream, tls, outgoing: BytesMut::new(), written_bytes: 0 }
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads into `input` until it has `bytes_max`, or nothing more is there; `scratch` is where plain bytes land. A short read
    /// says that nothing more is there (epoll(7), question 9), unless the other side is known to have closed: then its end follows.
    pub fn read(
        &mut self,
        input: &mut BytesMut,
        bytes_max: usize,
        scratch: &mut [u8],
        is_closing: bool,
    ) -> Result<ReadEnd, End> {
        let (before, mut wire_bytes) = (input.len(), 0);
        loop {
            if input.len() >= bytes_max || wire_bytes >= WIRE_BYTES_MAX {
                return Ok(ReadEnd::Limit);
            }
            let got = match &mut self.tls {
                None => self.stream.read(scratch),
                Some(tls) => match tls.read_tls(&mut self.stream) {
                    Ok(got) => {
                        wire_bytes += got;
                        let state = match tls.process_new_packets() {
                            Ok(state) => state,
                            Err(error) => {
                                drop(tls.write_tls(&mut self.stream)); // the alert that says why
                                return Err(error.into());
                            }
                        };
                        let mut left = state.plaintext_bytes_to_read();
                        while left > 0 {
                            let part = tls.reader().read(scratch)?;
                            input.extend_from_slice(&scratch[..part]);
                            left -= part.min(left);
                            if part == 0 {
                                break;
                            }
                        }
                        if state.peer_has_closed() {
                            return Ok(ReadEnd::Closed);
                        }
                        if got == 0 {
                            return Ok(ReadEnd::Closed);
                        }
                        if got < TLS_READ_BYTES && !is_closing {
                            return Ok(ReadEnd::Drained);
                        }
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match got {
                Ok(0) => return Ok(ReadEnd::Closed),
                Ok(got) => {
                    input.extend_from_slice(&scratch[..got]);
                    if got < scratch.len() && !is_closing {
                        return Ok(ReadEnd::Drained);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(ReadEnd::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if input.len() > before => return Ok(ReadEnd::Closed), // what came before it counts
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What the socket has taken, bytes.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Where answers are put.
    pub fn outgoing(&mut self) -> &mut BytesMut {
        &mut self.outgoing
    }

    /// Writes what the socket takes; says whether everything left.
    pub fn flush(&mut self) -> Result<bool, End> {
        let Some(tls) = &mut self.tls else { return self.flush_plain() };
        loop {
            if !self.outgoing.is_empty() {
                let taken = tls.writer().write(&self.outgoing)?;
                self.outgoing.advance(taken);
            }
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(written) => self.written_bytes += written as u64,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return self.waits(false),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if self.outgoing.is_empty() {
                return self.waits(true);
            }
        }
    }

    fn flush_plain(&mut self) -> Result<bool, End> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(taken) => {
                    self.written_bytes += taken as u64;
                    self.outgoing.advance(taken);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.waits(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.waits(true)
    }

    fn waits(&mut self, is_done: bool) -> Result<bool, End> {
        if self.outgoing.is_empty() {
            self.outgoing = BytesMut::new(); // idle connections hold nothing
        }
        if self.outgoing.len() > OUTGOING_BYTES_MAX { Err(End::Overfull) } else { Ok(is_done) }
    }

    /// Says goodbye as far as it goes at once.
    pub fn close(&mut self) {
        // Whoever gets the notice reads nothing behind it (RFC 8446, 6.1), so words of farewell go first.
        if let Ok(true) = self.flush()
            && let Some(tls) = &mut self.tls
        {
            tls.send_close_notify();
            drop(tls.write_tls(&mut self.stream));
        }
        drop(self.stream.shutdown(std::net::Shutdown::Both));
    }
}

/// The address without its port, for counting.
pub(super) fn address_of(stream: &TcpStream) -> io::Result<std::net::IpAddr> {
    Ok(stream.peer_addr()?.ip().to_canonical())
}
