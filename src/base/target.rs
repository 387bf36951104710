//! What a person types for "there": `PEER[:PATH]`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::id::PeerId;
use super::path::RelPath;

/// A peer, and perhaps a path in what it shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Who is meant.
    pub peer: PeerRef,
    /// Which of its paths; `None` for all of it.
    pub path: Option<RelPath>,
}

/// How a peer is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerRef {
    /// By its name.
    Name(String),
    /// By its name (which may be empty) and the beginning of its id: `alice-laptop~k7f3q2mz`.
    Id {
        /// What stands before the `~`.
        name: String,
        /// What follows it, in lower case.
        prefix: String,
    },
    /// By an address; without a port all of ftx's ports are tried.
    Address {
        /// Where; IPv6 link-local ones carry their scope in `zone`.
        ip: IpAddr,
        /// `eth0` or `2` of `fe80::1%eth0`.
        zone: Option<String>,
        /// The port, if given.
        port: Option<u16>,
    },
    /// By a host name that the system resolves.
    Host {
        /// The host name.
        host: String,
        /// The port, if given.
        port: Option<u16>,
    },
}

/// Why a target makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// No peer at all.
    #[error("no peer is named")]
    Empty,
    /// A bracket without an end.
    #[error("[ has no ]")]
    Bracket,
    /// What follows `~` is no beginning of an id.
    #[error("after ~ the beginning of an id is expected: 4 to 52 characters of a-z and 2-7")]
    Id,
    /// The path is not a path below a shared folder.
    #[error("the path after the colon: {0}")]
    Path(#[source] super::path::PathFault),
}

impl FromStr for Target {
    type Err = TargetFault;

    fn from_str(text: &str) -> Result<Self, TargetFault> {
        let (peer, path) = split(text)?;
        let path = path.trim_matches('/');
        let path = if path.is_empty() { None } else { Some(RelPath::parse(path).map_err(TargetFault::Path)?) };
        Ok(Self { peer: peer.parse()?, path })
    }
}

/// Splits at the colon that ends the peer, which may hold colons itself only in brackets or as
/// a whole IPv6 address.
fn split(text: &str) -> Result<(&str, &str), TargetFault> {
    if text.starts_with('[') {
        let end = if text.starts_with("[[") { text.rfind("]") } else { text.find(']') };
        let end = end.ok_or(TargetFault::Bracket)?;
        let (peer, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(path) => Ok((peer, path)),
            None if rest.is_empty() => Ok((peer, "")),
            None => Err(TargetFault::Bracket),
        };
    }
    if ipv6(text).is_some() {
        return Ok((text, ""));
    }
    Ok(text.split_once(':').unwrap_or((text, "")))
}

impl FromStr for PeerRef {
    type Err = TargetFault;

    fn from_str(text: &str) -> Result<Self, TargetFault> {
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Some(inner) = inner {
            return bracketed(inner);
        }
        if text.is_empty() {
            return Err(TargetFault::Empty);
        }
        if let Some((ip, zone)) = address(text) {
            return Ok(Self::Address { ip, zone, port: None });
        }
        if let Some((name, prefix)) = text.rsplit_once('~') {
            return by_id(name, prefix);
        }
        if text == "localhost" || (text.contains('.') && !text.contains(' ')) {
            return Ok(Self::Host { host: text.to_owned(), port: None });
        }
        Ok(Self::Name(text.to_owned()))
    }
}

fn by_id(name: &str, prefix: &str) -> Result<PeerRef, TargetFault> {
    let prefix = prefix.to_ascii_lowercase();
    let good = (4..=PeerId::TEXT_LENGTH).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
    if good { Ok(PeerRef::Id { name: name.to_owned(), prefix }) } else { Err(TargetFault::Id) }
}

fn bracketed(inner: &str) -> Result<PeerRef, TargetFault> {
    if inner.is_empty() {
        return Err(TargetFault::Empty);
    }
    if let Some((ip, zone)) = address(inner) {
        return Ok(PeerRef::Address { ip, zone, port: None });
    }
    if let Ok(address) = inner.parse::<SocketAddr>() {
        return Ok(PeerRef::Address { ip: address.ip(), zone: None, port: Some(address.port()) });
    }
    let host_and_port = inner.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    if let Some((host, port)) = host_and_port {
        if let Some((ip, zone)) = address(host.trim_start_matches('[').trim_end_matches(']')) {
            return Ok(PeerRef::Address { ip, zone, port: Some(port) });
        }
        return Ok(PeerRef::Host { host: host.to_owned(), port: Some(port) });
    }
    Ok(PeerRef::Host { host: inner.to_owned(), port: None })
}

fn address(text: &str) -> Option<(IpAddr, Option<String>)> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some((ip, None)),
        Err(_) => ipv6(text).map(|(ip, zone)| (IpAddr::V6(ip), zone)),
    }
}

fn ipv6(text: &str) -> Option<(Ipv6Addr, Option<String>)> {
    match text.split_once('%') {
        Some((ip, zone)) if !zone.is_empty() => Some((ip.parse().ok()?, Some(zone.to_owned()))),
        Some(_) => None,
        None => Some((text.parse().ok()?, None)),
    }
}

impl fmt::Display for PeerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id { name, prefix } => write!(f, "{name}~{prefix}"),
            Self::Address { ip, zone, port } => {
                let zone = zone.as_ref().map(|z| format!("%{z}")).unwrap_or_default();
                match (ip, port) {
                    (_, None) => write!(f, "{ip}{zone}"),
                    (IpAddr::V4(_), Some(port)) => write!(f, "[{ip}:{port}]"),
                    (IpAddr::V6(_), Some(port)) => write!(f, "[[{ip}{zone}]:{port}]"),
                }
            }
            Self::Host { host, port: None } => f.write_str(host),
            Self::Host { host, port: Some(port) } => write!(f, "[{host}:{port}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> PeerRef {
        text.parse::<Target>().unwrap().peer
    }

    #[test]
    fn names_ids_addresses_and_hosts_are_told_apart() {
        assert_eq!(peer("alice-laptop"), PeerRef::Name("alice-laptop".into()));
        let id = PeerRef::Id { name: "alice-laptop".into(), prefix: "k7f3q2mz".into() };
        assert_eq!(peer("alice-laptop~K7F3Q2MZ"), id);
        assert_eq!(peer("10.77.0.5"), PeerRef::Address { ip: [10, 77, 0, 5].into(), zone: None, port: None });
        assert_eq!(peer("fd77::5"), PeerRef::Address { ip: "fd77::5".parse().unwrap(), zone: None, port: None });
        let local = PeerRef::Address { ip: "fe80::1".parse().unwrap(), zone: Some("eth0".into()), port: None };
        assert_eq!(peer("[fe80::1%eth0]"), local);
        assert_eq!(peer("[10.0.0.1:99]"), PeerRef::Address { ip: [10, 0, 0, 1].into(), zone: None, port: Some(99) });
        assert_eq!(peer("[[::1]:99]"), PeerRef::Address { ip: "::1".parse().unwrap(), zone: None, port: Some(99) });
        assert_eq!(peer("[lab.local:99]"), PeerRef::Host { host: "lab.local".into(), port: Some(99) });
        assert_eq!(peer("lab.local"), PeerRef::Host { host: "lab.local".into(), port: None });
    }

    #[test]
    fn the_path_follows_the_first_colon_after_the_peer() {
        let target: Target = "alice:notes/week 1/a:b.pdf".parse().unwrap();
        assert_eq!(target.path.unwrap().as_str(), "notes/week 1/a:b.pdf");
        let target: Target = "[[fe80::1%eth0]:99]:notes/".parse().unwrap();
        assert_eq!(target.path.unwrap().as_str(), "notes");
        assert_eq!("alice:/".parse::<Target>().unwrap().path, None);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", ":x", "[", "[]", "[a]b", "alice~", "alice~1", "alice:../x", "alice:a//b"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
