//! Finding peers: who is on this network, right now, without being told an address.
//!
//! | file | does |
//! | --- | --- |
//! | [`interfaces`] | which of the machine's networks are looked at |
//! | [`record`] | what a node says about itself |
//! | [`announce`] | says it by mDNS, and says goodbye |
//! | [`answer`] | reads mDNS packets, writes mDNS questions |
//! | `ask` | asks by mDNS, on every interface at once |
//! | [`probe`] | answers where multicast does not pass |
//! | `sweep` | asks there |
//! | [`search`] | the ladder of all these for one command |
//! | [`watch`] | who comes and goes while a node runs |
//! | [`givers`] | who hands something over by a code just now |
//! | [`trial`] | whether multicast and broadcast work here at all, for `ftx doctor` |
//! | [`surroundings`] | what this machine knows of its neighbours and ports, for `ftx doctor` |
//!
//! Everything here is a hint. A [`Sighting`] says where somebody who claims an id may be reached;
//! who it is, only the TLS key says, after connecting and before anything is sent.

pub mod announce;
pub mod answer;
mod ask;
pub mod givers;
pub mod interfaces;
pub mod probe;
pub mod record;
pub mod search;
pub mod surroundings;
mod sweep;
pub mod trial;
pub mod watch;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::base::id::{PeerId, Role};
use crate::base::text::PeerText;

pub use announce::{AnnounceFault, Announcement, Announcer};
pub use givers::Givers;
pub use interfaces::{Interface, Interfaces};
pub use probe::Responder;
pub use search::{Search, Wanted, survey};
pub use watch::{Change, Watch};

/// The port a node listens on, TCP and UDP: unassigned by IANA and below every ephemeral range.
pub const PORT: u16 = 23547;
/// The ports a node tries in turn where [`PORT`] is taken.
pub const PORTS: RangeInclusive<u16> = PORT..=PORT + 7;
/// The ports of whoever hands something over by a code, TCP and UDP: beside those of nodes, so that neither
/// takes the other's.
pub const GIVING_PORTS: RangeInclusive<u16> = PORT + 8..=PORT + 15;
/// Most peers remembered at once; a flood of made-up ones must not fill the memory.
pub const MAX_PEERS: usize = 1024;
/// Most addresses remembered of one peer.
pub const MAX_ADDRESSES: usize = 8;

/// Who announces itself, and who is looked for: neither sort sees the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A node, as `ftx peers` shows it.
    Node,
    /// Whoever hands something over by a code, as long as that lasts. It has no name, only a number.
    Giver,
}

impl Kind {
    /// The service type of mDNS.
    fn service(self) -> &'static str {
        match self {
            Self::Node => record::SERVICE,
            Self::Giver => record::GIVING,
        }
    }

    /// The layout of its UDP probes.
    fn layout(self) -> u8 {
        match self {
            Self::Node => 1,
            Self::Giver => 2,
        }
    }

    /// Where it listens.
    fn ports(self) -> RangeInclusive<u16> {
        match self {
            Self::Node => PORTS,
            Self::Giver => GIVING_PORTS,
        }
    }
}

/// How a peer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// It answered or announced itself by multicast DNS.
    Mdns,
    /// It answered a probe to its subnet's broadcast address.
    Broadcast,
    /// It answered a probe to its own address.
    Sweep,
}

impl How {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mdns => "mdns",
            Self::Broadcast => "broadcast",
            Self::Sweep => "sweep",
        }
    }
}

/// A peer as it was seen on the network: a hint, not an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Who it claims to be.
    pub id: PeerId,
    /// What it calls itself.
    pub name: PeerText,
    /// Somebody's machine or a repository.
    pub role: Role,
    /// The newest protocol version it speaks.
    pub version: u16,
    /// Where it may be reached, with its TCP port, best first: the address that the answer came
    /// from, then IPv4, then global and unique local IPv6, then link-local IPv6 with its scope.
    /// At most [`MAX_ADDRESSES`].
    pub addresses: Vec<SocketAddr>,
    /// How it was found first.
    pub how: How,
    /// Whose offers it takes, in its own word.
    pub accept: PeerText,
    /// Changes when it restarts.
    pub boot: PeerText,
}

impl Sighting {
    /// Takes over what a later sighting of the same peer says. Tells whether that brought an
    /// address that was not known.
    pub(crate) fn merge(&mut self, later: &Self) -> bool {
        let restarted = self.boot != later.boot;
        let had = std::mem::take(&mut self.addresses);
        let is_new = |address: &SocketAddr| !had.contains(address);
        let source = later.addresses.first().filter(|a| is_new(a));
        // Of a list that is full already, only the address that answered just now is news.
        let grew = if had.len() < MAX_ADDRESSES { later.addresses.iter().any(is_new) } else { source.is_some() };
        // After a restart the old port may belong to somebody else.
        let old = if restarted { &[] } else { had.as_slice() };
        // Who answers from a new address has been renumbered, or is reached better now.
        let ahead = source.filter(|a| old.first().is_none_or(|first| rank(a) <= rank(first)));
        let all = ahead.into_iter().chain(old.first()).chain(&later.addresses).chain(old);
        self.addresses = best_first(all.copied());
        self.name.clone_from(&later.name);
        self.accept.clone_from(&later.accept);
        self.boot.clone_from(&later.boot);
        (self.role, self.version) = (later.role, later.version);
        grew
    }
}

/// The addresses in the order of [`Sighting::addresses`], each once; the first one stays first.
fn best_first(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut list: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if !list.contains(&address) {
            list.push(address);
        }
    }
    if let Some(rest) = list.get_mut(1..) {
        rest.sort_by_key(rank);
    }
    list.truncate(MAX_ADDRESSES);
    list
}

fn rank(address: &SocketAddr) -> u8 {
    match address.ip() {
        IpAddr::V4(_) => 0,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => 2,
        IpAddr::V6(_) => 1,
    }
}

/// What listening tells.
#[derive(Debug, Clone)]
enum News {
    /// Somebody is there and answered us.
    Seen(Sighting),
    /// Somebody is there and told all. It may be that others may not say it again just now: a
    /// record is multicast once a second only (RFC 6762 §6).
    Overheard(Sighting),
    /// Whoever has this short id said goodbye.
    Gone(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn sighting(boot: &str, addresses: &[&str]) -> Sighting {
        Sighting {
            id: PeerId::of_public_key(&[1; 32]),
            name: "alice".into(),
            role: Role::Peer,
            version: 1,
            addresses: addresses.iter().map(|a| at(a)).collect(),
            how: How::Mdns,
            accept: "ask".into(),
            boot: boot.into(),
        }
    }

    #[test]
    fn the_answers_source_comes_first_then_ipv4_then_ipv6() {
        let list = ["[fe80::1%3]:1", "[fd00::1]:1", "10.0.0.2:1", "[fe80::1%3]:1", "[fe80::2%3]:1"];
        let list = best_first(list.iter().map(|a| at(a)));
        assert_eq!(list, ["[fe80::1%3]:1", "10.0.0.2:1", "[fd00::1]:1", "[fe80::2%3]:1"].map(at));
    }

    #[test]
    fn merging_tells_only_of_new_addresses() {
        let mut known = sighting("a", &["10.0.0.2:1"]);
        assert!(!known.merge(&sighting("a", &["10.0.0.2:1"])));
        assert!(known.merge(&sighting("a", &["[fd00::1]:1"])));
        assert_eq!(known.addresses, ["10.0.0.2:1", "[fd00::1]:1"].map(at));
        assert!(known.merge(&sighting("a", &["10.0.0.3:1"])));
        assert_eq!(known.addresses, ["10.0.0.3:1", "10.0.0.2:1", "[fd00::1]:1"].map(at), "renumbered");
        assert!(known.merge(&sighting("b", &["10.0.0.2:2"])));
        assert_eq!(known.addresses, [at("10.0.0.2:2")]);
    }

    #[test]
    fn a_flood_of_addresses_is_cut() {
        let many: Vec<String> = (0..99).map(|i| format!("10.0.0.{i}:1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut known = sighting("a", &["10.0.1.1:1"]);
        known.merge(&sighting("a", &many));
        assert_eq!(known.addresses.len(), MAX_ADDRESSES);
        assert!(!known.merge(&sighting("a", &["10.0.1.1:1", "10.0.0.98:1"])), "no news without end");
        assert_eq!(known.addresses.len(), MAX_ADDRESSES);
    }
}
