//! Where a peer is that is named by its address or its host name.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::timeout;

use super::outcome::{Exit, Failure};
use crate::base::target::PeerRef;

/// How long the system may take to resolve a host name.
const RESOLVE: Duration = Duration::from_secs(5);

/// Where somebody is who is named by an address or a host name: at its port, or at any of `ports`.
///
/// # Errors
/// Exit 3 where there is no such host; 2 where the name is of another sort.
pub(super) async fn addresses_at(peer: &PeerRef, ports: RangeInclusive<u16>) -> Result<Vec<SocketAddr>, Failure> {
    let at = |port: &Option<u16>| port.map_or(ports.clone(), |port| port..=port);
    match peer {
        PeerRef::Address { ip, zone, port } => Ok(at(port).map(|port| address(*ip, zone.as_deref(), port)).collect()),
        PeerRef::Host { host, port } => resolve(host, at(port)).await,
        PeerRef::Name(_) | PeerRef::Id { .. } => Err(Failure::new(Exit::Usage, format!("{peer} is no address"))),
    }
}

fn address(ip: IpAddr, zone: Option<&str>, port: u16) -> SocketAddr {
    match (ip, zone) {
        (IpAddr::V6(ip), Some(zone)) => {
            let scope = zone.parse().ok().or_else(|| scope_of(zone)).unwrap_or(0);
            SocketAddr::V6(std::net::SocketAddrV6::new(ip, port, 0, scope))
        }
        _ => SocketAddr::new(ip, port),
    }
}

/// The number of a network interface.
fn scope_of(name: &str) -> Option<u32> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    interfaces.into_iter().find(|interface| interface.name == name)?.index
}

async fn resolve(host: &str, ports: RangeInclusive<u16>) -> Result<Vec<SocketAddr>, Failure> {
    let first = *ports.start();
    let unknown = || {
        Failure::new(Exit::NotFound, format!("no machine has the host name {host}"))
            .hint("ftx peers shows who is here and under which name")
    };
    let found = timeout(RESOLVE, tokio::net::lookup_host((host, first))).await.map_err(|_| unknown())?;
    let found: Vec<SocketAddr> = found.map_err(|_| unknown())?.collect();
    let all = ports.flat_map(|port| found.iter().map(move |a| SocketAddr::new(a.ip(), port)));
    let all: Vec<_> = all.collect();
    if all.is_empty() { Err(unknown()) } else { Ok(all) }
}
