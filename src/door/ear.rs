//! What a thread of the door listens with: a port of connections, or one of datagrams.

use crate::door::limits::BACKLOG;
use anyhow::anyhow;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// A port that is bound, for all threads.
pub(super) enum Bound {
    Tcp(std::net::TcpListener),
    Udp(std::net::UdpSocket),
}

/// A thread's own end of it.
pub(super) enum Ear {
    Tcp(mio::net::TcpListener),
    Udp(mio::net::UdpSocket),
}

impl Bound {
    /// Binds a port of a language.
    ///
    /// # Errors
    /// Names the listener whose port is busy.
    pub fn at(address: SocketAddr, language: &str, is_udp: bool) -> anyhow::Result<Self> {
        let bound = || -> io::Result<Self> {
            let domain = socket2::Domain::for_address(address);
            let (kind, protocol) = match is_udp {
                true => (socket2::Type::DGRAM, socket2::Protocol::UDP),
                false => (socket2::Type::STREAM, socket2::Protocol::TCP),
            };
            let socket = socket2::Socket::new(domain, kind, Some(protocol))?;
            socket.set_nonblocking(true)?;
            if is_udp {
                socket.bind(&address.into())?;
                return Ok(Self::Udp(socket.into()));
            }
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(Self::Tcp(socket.into()))
        };
        bound().map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => {
                anyhow!(
                    "port {} on {} is in use; door.listener of {language} needs another",
                    address.port(),
                    address.ip()
                )
            }
            _ => anyhow!("cannot listen on {address} (door.listener of {language}): {error}"),
        })
    }

    /// One more end of it.
    pub fn ear(&self) -> io::Result<Ear> {
        Ok(match self {
            Self::Tcp(listener) => Ear::Tcp(mio::net::TcpListener::from_std(listener.try_clone()?)),
            Self::Udp(socket) => Ear::Udp(mio::net::UdpSocket::from_std(socket.try_clone()?)),
        })
    }
}

impl Ear {
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.register(registry, token, Interest::READABLE),
            Self::Udp(socket) => socket.register(registry, token, Interest::READABLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_its_language() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = Bound::at(address, "mqtt", false).err().unwrap().to_string();
        assert!(error.contains(&address.port().to_string()) && error.contains("door.listener of mqtt"), "{error}");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = Bound::at(socket.local_addr().unwrap(), "h02", true).err().unwrap().to_string();
        assert!(error.contains("door.listener of h02"), "{error}");
    }
}
