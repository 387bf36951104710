//! Why an interface is looked at, or is not: for people.

use std::io;

use super::{Found, Interface, default_route, gather, is_no_lan, select};

/// Why an interface is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Others were named.
    NotNamed,
    /// It is down, or has no cable.
    Down,
    /// It leads to one machine only, as a VPN's does.
    PointToPoint,
    /// It has neither an IPv4 address nor a link-local one.
    NoAddress,
    /// Its name is one that containers, virtual machines or VPNs have.
    NoLan,
}

/// An interface of this machine; `None` where it is looked at.
pub type Judged = (Interface, Option<Why>);

/// All interfaces of this machine that have an address, each with why it is left out, if it is.
///
/// # Errors
/// As for [`super::Interfaces::choose`].
pub fn judge(only: &[String]) -> io::Result<Vec<Judged>> {
    let found = gather(if_addrs::get_if_addrs()?);
    let routes = default_route();
    let chosen = select(found.clone(), only, &routes)?.names();
    let why = |found: &Found| (!chosen.contains(&found.interface.name)).then(|| why(found, only, &routes));
    Ok(found.into_iter().map(|found| (found.interface.clone(), why(&found))).collect())
}

fn why(found: &Found, only: &[String], default_route: &[String]) -> Why {
    let name = &found.interface.name;
    if !only.is_empty() {
        Why::NotNamed
    } else if !found.up {
        Why::Down
    } else if is_no_lan(name) && !default_route.contains(name) {
        Why::NoLan
    } else if found.point_to_point {
        Why::PointToPoint
    } else {
        Why::NoAddress
    }
}
