//! The port a node listens on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Waiting connections the system keeps before we take them.
const BACKLOG: i32 = 256;

/// Who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every machine that reaches us.
    Network,
    /// Programs of this machine only.
    Loopback,
}

/// One port, for IPv4 and IPv6 as far as the system has them.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<TcpListener>,
    port: u16,
}

impl Listener {
    /// Listens on the first free port of `ports`.
    ///
    /// # Errors
    /// The last one met, where none is free.
    pub fn bind(scope: Scope, ports: RangeInclusive<u16>) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in ports {
            match Self::bind_port(scope, port) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn bind_port(scope: Scope, port: u16) -> io::Result<Self> {
        let (v4, v6) = match scope {
            Scope::Network => (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
            Scope::Loopback => (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
        };
        let first = bind_one(SocketAddr::new(IpAddr::V4(v4), port));
        if let Err(error) = &first
            && error.kind() == io::ErrorKind::AddrInUse
        {
            return Err(io::Error::from(io::ErrorKind::AddrInUse));
        }
        let port = first.as_ref().ok().and_then(|s| s.local_addr().ok()).map_or(port, |a| a.port());
        let second = bind_one(SocketAddr::new(IpAddr::V6(v6), port));
        match (first, second) {
            // Another node has the IPv6 half: a port that is only half ours would confuse.
            (_, Err(error)) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            (Err(error), Err(_)) => Err(error),
            (first, second) => Ok(Self { sockets: first.into_iter().chain(second).collect(), port }),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next connection.
    ///
    /// # Errors
    /// As the system says; the caller waits a little and goes on.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.sockets.as_slice() {
            [one] => one.accept().await,
            [one, two] => tokio::select! {
                accepted = one.accept() => accepted,
                accepted = two.accept() => accepted,
            },
            _ => std::future::pending().await,
        }
    }
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Unix this lets a node come back at once; on Windows it would let two share a port.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_passed_over() {
        let first = Listener::bind(Scope::Loopback, 0..=0).unwrap();
        let port = first.port();
        let error = Listener::bind(Scope::Loopback, port..=port).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (accepted, from) = first.accept().await.unwrap();
        assert_eq!(from, client.local_addr().unwrap());
        assert_eq!(accepted.local_addr().unwrap().port(), port);
    }
}
