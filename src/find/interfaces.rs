//! Which of the machine's networks are looked at.
//!
//! Never "the" interface of the default route: who has a VPN up would see the tunnel only. All that
//! are up and lead to a shared medium are used, without the bridges of containers and virtual
//! machines. Loopback always stays: two nodes on an offline machine must find each other.

mod judged;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use judged::{Judged, Why, judge};

/// Starts of names that belong to containers, virtual machines and VPNs, in lower case.
const NOT_A_LAN: [&str; 20] = [
    "docker",
    "br-",
    "veth",
    "virbr",
    "vnet",
    "lxc",
    "cni",
    "podman",
    "vboxnet",
    "vmnet",
    "tun",
    "tap",
    "wg",
    "tailscale",
    "zt",
    "awdl",
    "llw",
    "utun",
    "vethernet",
    "vmware",
];

/// One network interface that is up and has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, as the system calls it.
    pub name: String,
    /// Its number, which is also the scope of its link-local addresses.
    pub index: u32,
    /// Its IPv4 addresses, each with the length of its network prefix.
    pub v4: Vec<(Ipv4Addr, u8)>,
    /// Its IPv6 addresses.
    pub v6: Vec<Ipv6Addr>,
    /// Whether it leads to this machine only.
    pub loopback: bool,
}

impl Interface {
    fn on_link(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.iter().any(|&(own, prefix)| same_subnet(own, ip, prefix)),
            IpAddr::V6(ip) if ip.is_loopback() => self.loopback,
            IpAddr::V6(ip) if ip.is_unicast_link_local() => !self.loopback && !self.v6.is_empty(),
            // Every subnet of IPv6 that has hosts on it is a /64.
            IpAddr::V6(ip) => self.v6.iter().any(|own| own.octets()[..8] == ip.octets()[..8]),
        }
    }

    /// Whether it has a link-local IPv6 address to ask from.
    pub(super) fn has_link_local(&self) -> bool {
        self.v6.iter().any(Ipv6Addr::is_unicast_link_local)
    }
}

fn same_subnet(own: Ipv4Addr, other: Ipv4Addr, prefix: u8) -> bool {
    // A prefix of nothing would make the whole internet a neighbour.
    own == other || (prefix > 0 && subnet(own, prefix) == subnet(other, prefix))
}

/// The first address of the subnet that `ip` is in.
pub(super) fn subnet(ip: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    Ipv4Addr::from_bits(ip.to_bits() & !hosts)
}

/// Which names are taken, now and when interfaces come up later.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// Exactly these, because the user says so.
    Named(Vec<String>),
    /// What looks like a LAN, and these.
    Usual(Vec<String>),
    /// All: there is nothing better.
    All,
}

/// The interfaces that finding peers uses, as they were when chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interfaces {
    list: Vec<Interface>,
    rule: Rule,
}

impl Interfaces {
    /// Chooses among the machine's interfaces; names in `only` override every rule.
    ///
    /// # Errors
    /// The system does not tell its interfaces, or one of `only` does not exist (`NotFound`).
    pub fn choose(only: &[String]) -> io::Result<Self> {
        let found = gather(if_addrs::get_if_addrs()?);
        select(found, only, &default_route())
    }

    /// The chosen interfaces.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.list.iter()
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(|i| i.name.clone()).collect()
    }

    /// Whether nothing leads off this machine.
    pub fn is_loopback_only(&self) -> bool {
        self.list.iter().all(|i| i.loopback)
    }

    /// Whether `ip` is an own address on one of them.
    pub fn contains_ip(&self, ip: IpAddr) -> bool {
        self.list.iter().any(|i| match ip {
            IpAddr::V4(ip) => i.v4.iter().any(|&(own, _)| own == ip),
            IpAddr::V6(ip) => i.v6.contains(&ip),
        })
    }

    /// Whether `ip` is a neighbour: in a subnet of one of them, link-local, or this machine.
    pub fn on_link(&self, ip: IpAddr) -> bool {
        self.list.iter().any(|i| i.on_link(ip))
    }

    /// Whether an interface of this name is used, also one that comes up later.
    pub(super) fn accepts(&self, name: &str) -> bool {
        match &self.rule {
            Rule::Named(names) => names.iter().any(|n| n == name),
            Rule::Usual(kept) => !is_no_lan(name) || kept.iter().any(|n| n == name),
            Rule::All => true,
        }
    }
}

fn is_no_lan(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NOT_A_LAN.iter().any(|start| name.starts_with(start))
}

/// An interface and what decides about it.
#[derive(Debug, Clone)]
struct Found {
    interface: Interface,
    up: bool,
    point_to_point: bool,
}

/// One entry an interface, from one entry an address.
fn gather(addresses: Vec<if_addrs::Interface>) -> Vec<Found> {
    let mut list: Vec<Found> = Vec::new();
    for address in addresses {
        let at = list.iter().position(|f| f.interface.name == address.name).unwrap_or_else(|| {
            list.push(Found {
                interface: Interface {
                    name: address.name.clone(),
                    index: address.index.unwrap_or(0),
                    v4: Vec::new(),
                    v6: Vec::new(),
                    loopback: address.is_loopback(),
                },
                up: address.is_oper_up(),
                point_to_point: address.is_p2p(),
            });
            list.len() - 1
        });
        let Some(found) = list.get_mut(at) else {
            continue;
        };
        match address.addr {
            if_addrs::IfAddr::V4(v4) => found.interface.v4.push((v4.ip, v4.prefixlen)),
            if_addrs::IfAddr::V6(v6) => found.interface.v6.push(v6.ip),
        }
    }
    list
}

/// The rules, without a network.
fn select(found: Vec<Found>, only: &[String], default_route: &[String]) -> io::Result<Interfaces> {
    if !only.is_empty() {
        if let Some(missing) = only.iter().find(|n| found.iter().all(|f| f.interface.name != **n)) {
            let names: Vec<_> = found.iter().map(|f| f.interface.name.as_str()).collect();
            let text = format!("no interface {missing} with an address; there are: {}", names.join(", "));
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let list = found.into_iter().map(|f| f.interface).filter(|i| only.contains(&i.name)).collect();
        return Ok(Interfaces { list, rule: Rule::Named(only.to_vec()) });
    }
    let usual = |f: &Found| {
        let name = &f.interface.name;
        let lan = f.up
            && !f.point_to_point
            && (!f.interface.v4.is_empty() || f.interface.has_link_local())
            && (!is_no_lan(name) || default_route.contains(name));
        lan || f.interface.loopback
    };
    let (list, rule) = if found.iter().any(|f| usual(f) && !f.interface.loopback) {
        (found.into_iter().filter(usual).collect::<Vec<_>>(), Rule::Usual(default_route.to_vec()))
    } else if found.iter().any(|f| f.up && !f.interface.loopback) {
        (found.into_iter().filter(|f| f.up || f.interface.loopback).collect(), Rule::All)
    } else {
        // Offline: what comes up later is judged as usual.
        (found.into_iter().filter(|f| f.interface.loopback).collect(), Rule::Usual(default_route.to_vec()))
    };
    Ok(Interfaces { list: list.into_iter().map(|f| f.interface).collect(), rule })
}

/// The devices of the default route. A machine whose only cable is a port of a bridge has the
/// bridge here, and that one is a LAN whatever it is called.
fn default_route() -> Vec<String> {
    let table = if cfg!(target_os = "linux") { std::fs::read_to_string("/proc/net/route") } else { Ok(String::new()) };
    devices_of_default_route(&table.unwrap_or_default())
}

fn devices_of_default_route(table: &str) -> Vec<String> {
    let default = |line: &str| {
        let mut columns = line.split_whitespace();
        let (device, destination, mask) = (columns.next()?, columns.next()?, columns.nth(5)?);
        (destination == "00000000" && mask == "00000000").then(|| device.to_owned())
    };
    table.lines().skip(1).filter_map(default).collect()
}

#[cfg(test)]
mod tests;
