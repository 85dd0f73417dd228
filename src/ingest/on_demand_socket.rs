//! A socket that wakes nobody who is not waiting for it.
//!
//! A registered socket wakes the process for each packet that arrives, whoever looks at it when. With thousands a second
//! that cost as much as all the rest of reading, and the broker, too. This one is registered while somebody waits.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whether a read that finds nothing is woken when something comes; at first it is.
#[derive(Clone)]
pub(super) struct Wakes(Arc<AtomicBool>);

impl Wakes {
    /// Says so from now on.
    pub fn set(&self, wakes: bool) {
        self.0.store(wakes, Ordering::Relaxed);
    }
}

/// A connected socket, TCP or Unix.
pub(super) struct QuietSocket {
    /// The standard library reads and writes both kinds the same way; a type for each would be all there is to it.
    socket: UnixStream,
    /// The same socket, where the runtime looks after it.
    registered: Option<tokio::net::UnixStream>,
    wakes: Wakes,
    a_write_waits: bool,
}

impl QuietSocket {
    /// Takes a socket that does not block, and says how to quiet it.
    pub fn new(socket: impl Into<OwnedFd>) -> (Self, Wakes) {
        let wakes = Wakes(Arc::new(AtomicBool::new(true)));
        let socket = UnixStream::from(socket.into());
        (Self { socket, registered: None, wakes: wakes.clone(), a_write_waits: false }, wakes)
    }

    fn registered(&mut self) -> io::Result<&tokio::net::UnixStream> {
        if self.registered.is_none() {
            self.registered = Some(tokio::net::UnixStream::from_std(self.socket.try_clone()?)?);
        }
        self.registered.as_ref().ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

fn is_not_now<T>(done: &io::Result<T>) -> bool {
    done.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

impl AsyncRead for QuietSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wakes = self.wakes.0.load(Ordering::Relaxed);
        if !wakes && !self.a_write_waits {
            self.registered = None;
        }
        let mut done = self.socket.read(buffer.initialize_unfilled());
        if is_not_now(&done) {
            if !wakes {
                return Poll::Pending;
            }
            let registered = self.registered()?;
            while is_not_now(&done) {
                ready!(registered.poll_read_ready(context))?;
                done = registered.try_read(buffer.initialize_unfilled());
            }
        }
        buffer.advance(done?);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for QuietSocket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut done = self.socket.write(bytes);
        if is_not_now(&done) {
            self.a_write_waits = true;
            let registered = self.registered()?;
            while is_not_now(&done) {
                ready!(registered.poll_write_ready(context))?;
                done = registered.try_write(bytes);
            }
        }
        self.a_write_waits = false;
        Poll::Ready(done)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (QuietSocket, Wakes, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (ours, wakes) = QuietSocket::new(ours);
        (ours, wakes, theirs)
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_who_does_not_reads_what_is_there() {
        let (mut ours, wakes, mut theirs) = pair();
        let mut read = [0; 8];
        let later = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(20));
            theirs.write_all(b"waited").unwrap();
            theirs
        });
        assert_eq!(ours.read(&mut read).await.unwrap(), 6);
        let mut theirs = later.await.unwrap();
        wakes.set(false);
        theirs.write_all(b"there").unwrap();
        assert_eq!(ours.read(&mut read).await.unwrap(), 5);
        assert!(ours.registered.is_none(), "nothing wakes us while we do not wait");
        let mut reading = std::pin::pin!(ours.read(&mut read));
        let nothing = std::future::poll_fn(|context| Poll::Ready(reading.as_mut().poll(context).is_pending()));
        assert!(nothing.await);
    }

    #[tokio::test]
    async fn a_write_that_waits_for_room_is_woken_although_reads_are_quiet() {
        let (mut ours, wakes, mut theirs) = pair();
        wakes.set(false);
        let bytes = vec![7; 4 << 20]; // beyond any socket's buffer
        let reader = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(20));
            let mut all = vec![0; 4 << 20];
            theirs.read_exact(&mut all).unwrap();
            all
        });
        ours.write_all(&bytes).await.unwrap();
        assert_eq!(reader.await.unwrap(), bytes);
    }

    #[tokio::test]
    async fn an_end_is_read_by_those_who_do_not_wait_too() {
        let (mut ours, wakes, theirs) = pair();
        drop(theirs);
        wakes.set(false);
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
