//! Reaching a peer: several addresses raced, the key checked before anything is said.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::tls::{Link, Tls, TlsFault};
use crate::base::fault::plain;
use crate::base::id::PeerId;

/// How long after one address the next is tried, too (as RFC 8305 does).
const STAGGER: Duration = Duration::from_millis(40);

/// How long one address may take to connect.
const CONNECT: Duration = Duration::from_secs(3);

/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Why a peer was not reached at one address.
#[derive(Debug, thiserror::Error)]
pub enum DialFault {
    /// The machine is there and nothing listens.
    #[error("nothing listens there")]
    Refused,
    /// Nothing came back in time: a firewall, or nobody.
    #[error("no answer: a firewall on its side, or it is gone")]
    TimedOut,
    /// The network has no way to it.
    #[error("the network has no way there")]
    Unreachable,
    /// It speaks something else.
    #[error("what listens there speaks another protocol, or another version of it")]
    Foreign,
    /// Another key than the one expected.
    #[error("another key answers there: {0}")]
    OtherKey(PeerId),
    /// It is this machine's own node with our own key.
    #[error("that is this node itself")]
    Myself,
    /// Something else.
    #[error("{}", plain(.0))]
    Other(#[source] io::Error),
}

impl DialFault {
    /// Which of several reasons says most: what answered says more than what did not.
    fn weight(&self) -> u8 {
        match self {
            Self::OtherKey(_) => 7,
            Self::Myself => 6,
            Self::Foreign => 5,
            Self::Refused => 4,
            Self::Other(_) => 3,
            Self::TimedOut => 2,
            Self::Unreachable => 1,
        }
    }
}

/// Connects to the first of `addresses` that proves to be `expected` (anyone but ourselves, if
/// not given). Later addresses start 40 ms apart, or at once when one fails.
///
/// # Errors
/// The most telling of the failures, with its address.
pub async fn dial(
    tls: &Tls,
    addresses: &[SocketAddr],
    expected: Option<PeerId>,
) -> Result<Link, (SocketAddr, DialFault)> {
    let mut waiting = addresses.iter().copied();
    let mut tries = JoinSet::new();
    let mut worst: Option<(SocketAddr, DialFault)> = None;
    loop {
        if let Some(address) = waiting.next() {
            let tls = tls.clone();
            tries.spawn(async move { (address, reach(&tls, address, expected).await) });
        }
        let more = waiting.len() > 0;
        let ended = tokio::select! {
            ended = tries.join_next() => ended,
            () = sleep(STAGGER), if more => continue,
        };
        match ended {
            Some(Ok((_, Ok(link)))) => return Ok(link),
            Some(Ok((address, Err(fault)))) => {
                if worst.as_ref().is_none_or(|(_, w)| fault.weight() > w.weight()) {
                    worst = Some((address, fault));
                }
            }
            Some(Err(_)) => {}
            None if more => {}
            None => {
                let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
                return Err(worst.unwrap_or((nowhere, DialFault::Unreachable)));
            }
        }
    }
}

async fn reach(tls: &Tls, address: SocketAddr, expected: Option<PeerId>) -> Result<Link, DialFault> {
    let tcp = timeout(CONNECT, TcpStream::connect(address)).await.map_err(|_| DialFault::TimedOut)?.map_err(connect)?;
    let link = tls.connect(tcp, HANDSHAKE).await.map_err(|fault| match fault {
        TlsFault::Foreign => DialFault::Foreign,
        TlsFault::Slow => DialFault::TimedOut,
        TlsFault::Failed(error) if error.kind() == io::ErrorKind::UnexpectedEof => DialFault::Foreign,
        TlsFault::Failed(error) => DialFault::Other(error),
    })?;
    let id = link.peer.id();
    if link.peer == tls.own() {
        return Err(DialFault::Myself);
    }
    match expected {
        Some(expected) if expected != id => Err(DialFault::OtherKey(id)),
        _ => Ok(link),
    }
}

fn connect(error: io::Error) -> DialFault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialFault::Refused,
        io::ErrorKind::TimedOut => DialFault::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => DialFault::Unreachable,
        _ => DialFault::Other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::key::Key;
    use crate::link::listen::{Listener, Scope};

    fn answering(key: Key) -> SocketAddr {
        let listener = Listener::bind(Scope::Loopback, 0..=0).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listener.port()));
        let tls = Tls::new(&key).unwrap();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let _ = tls.accept(tcp, HANDSHAKE).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn the_expected_key_wins_over_dead_and_wrong_addresses() {
        let (alice, mallory) = (Key::generate().unwrap(), Key::generate().unwrap());
        let id = alice.public().id();
        let dead = SocketAddr::from(([127, 0, 0, 1], 1));
        let (wrong, right) = (answering(mallory), answering(alice));
        let tls = Tls::new(&Key::generate().unwrap()).unwrap();
        let link = dial(&tls, &[dead, wrong, right], Some(id)).await.unwrap();
        assert_eq!(link.peer.id(), id);
        let (address, fault) = dial(&tls, &[dead, wrong], Some(id)).await.unwrap_err();
        assert_eq!(address, wrong);
        assert!(matches!(fault, DialFault::OtherKey(_)), "{fault}");
    }

    #[tokio::test]
    async fn a_closed_port_is_told_as_refused() {
        let tls = Tls::new(&Key::generate().unwrap()).unwrap();
        let (_, fault) = dial(&tls, &[SocketAddr::from(([127, 0, 0, 1], 1))], None).await.unwrap_err();
        assert!(matches!(fault, DialFault::Refused), "{fault}");
    }

    #[tokio::test]
    async fn a_node_does_not_talk_to_itself() {
        let key = Key::generate().unwrap();
        let tls = Tls::new(&key).unwrap();
        let address = answering(key);
        let (_, fault) = dial(&tls, &[address], None).await.unwrap_err();
        assert!(matches!(fault, DialFault::Myself), "{fault}");
    }
}
