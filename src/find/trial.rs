//! Whether multicast works here at all: a question as `ftx peers` asks it, heard by an ear of our own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use socket2::{Domain, InterfaceIndexOrAddress, SockRef};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Ask};
use super::ask::{GROUP_V4, GROUP_V6, PORT, bind, open, shared};
use super::{Interface, Interfaces, Kind};

/// How long the own question is waited for. It does not even leave the machine to be heard.
const PATIENCE: Duration = Duration::from_millis(400);

/// What became of a question on one interface.
#[derive(Debug)]
pub enum Echo {
    /// Our own ear heard it.
    Heard,
    /// It was sent, and our own ear did not hear it.
    Unheard,
    /// It could not be sent.
    Unsent(io::Error),
    /// The port of mDNS could not be had, or its group not be joined.
    NoEar(io::Error),
}

/// A question that was tried.
#[derive(Debug)]
pub struct Tried {
    /// The interface's name.
    pub interface: String,
    /// The own address that it was sent from.
    pub from: IpAddr,
    /// What became of it.
    pub echo: Echo,
}

/// Asks once on each interface and for IPv4 and IPv6 each, and listens for it. Takes less than half a second.
pub async fn multicast(interfaces: &Interfaces) -> Vec<Tried> {
    let mut tasks = JoinSet::new();
    for interface in interfaces.iter().cloned() {
        if let Some(&(own, _)) = interface.v4.first() {
            tasks.spawn(tried(interface.clone(), IpAddr::V4(own)));
        }
        let link_local = interface.v6.iter().copied().find(Ipv6Addr::is_unicast_link_local);
        if let Some(own) = link_local {
            tasks.spawn(tried(interface, IpAddr::V6(own)));
        }
    }
    let mut all = tasks.join_all().await;
    all.sort_by(|a, b| (&a.interface, a.from).cmp(&(&b.interface, b.from)));
    all
}

async fn tried(interface: Interface, from: IpAddr) -> Tried {
    let echo = match ear(&interface, from) {
        Err(error) => Echo::NoEar(error),
        Ok(ear) => match ask(&interface, from).await {
            Err(error) => Echo::Unsent(error),
            Ok(port) => heard(&ear, port).await,
        },
    };
    Tried { interface: interface.name, from, echo }
}

/// A second socket at the port of mDNS, which hears this interface only.
fn ear(interface: &Interface, from: IpAddr) -> io::Result<UdpSocket> {
    if from.is_ipv4() {
        let socket = shared(Domain::IPV4)?;
        #[cfg(target_os = "linux")]
        socket.set_multicast_all_v4(false)?;
        socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(interface.index))?;
        bind(socket, (Ipv4Addr::UNSPECIFIED, PORT).into())
    } else {
        let socket = shared(Domain::IPV6)?;
        #[cfg(target_os = "linux")]
        socket.set_multicast_all_v6(false)?;
        socket.join_multicast_v6(&GROUP_V6, interface.index)?;
        bind(socket, (Ipv6Addr::UNSPECIFIED, PORT).into())
    }
}

/// Asks from a port of its own, and tells which.
async fn ask(interface: &Interface, from: IpAddr) -> io::Result<u16> {
    let question = answer::question(Kind::Node, &[Ask::Everyone]).ok_or_else(|| io::Error::other("no question"))?;
    let (socket, to) = match from {
        IpAddr::V4(own) => {
            let socket = bind(open(Domain::IPV4)?, (own, 0).into())?;
            SockRef::from(&socket).set_multicast_if_v4(&own)?;
            (socket, SocketAddr::from((GROUP_V4, PORT)))
        }
        IpAddr::V6(_) => {
            let socket = bind(open(Domain::IPV6)?, (Ipv6Addr::UNSPECIFIED, 0).into())?;
            SockRef::from(&socket).set_multicast_if_v6(interface.index)?;
            (socket, SocketAddrV6::new(GROUP_V6, PORT, 0, interface.index).into())
        }
    };
    let port = socket.local_addr()?.port();
    socket.send_to(&question, to).await?;
    Ok(port)
}

async fn heard(ear: &UdpSocket, port: u16) -> Echo {
    let until = Instant::now() + PATIENCE;
    let mut buffer = vec![0; answer::MAX_PACKET];
    loop {
        match timeout_at(until, ear.recv_from(&mut buffer)).await {
            Ok(Ok((_, source))) if source.port() == port => return Echo::Heard,
            // Somebody else's, or an error that an earlier packet brought.
            Ok(_) => tokio::task::yield_now().await,
            Err(_) => return Echo::Unheard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn on_loopback_a_question_is_heard() {
        let Ok(lo) = Interfaces::choose(&["lo".into()]) else {
            return;
        };
        let tried = multicast(&lo).await;
        assert!(tried.iter().any(|tried| matches!(tried.echo, Echo::Heard)), "{tried:?}");
    }
}
