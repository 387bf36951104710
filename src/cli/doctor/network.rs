//! Interfaces, the port, and how fast bytes may leave.

use super::finding::{Area, Finding};
use super::firewall;
use crate::base::fault::plain;
use crate::cli::context::Context;
use crate::cli::outcome::Exit;
use crate::find::interfaces::{Judged, Why, judge};
use crate::find::surroundings::{Protocol, holders};
use crate::find::{PORT, PORTS};
use crate::link::dial::{DialFault, dial};
use crate::link::listen::{Listener, Scope};

/// Which interfaces are looked at, and which not.
pub(super) fn interfaces(only: &[String]) -> Vec<Finding> {
    let judged = match judge(only) {
        Ok(judged) => judged,
        Err(error) => {
            let text = format!("the network interfaces cannot be told: {}", plain(&error));
            return vec![
                Finding::wrong(Area::Network, Exit::Other, text).hint("name others, or leave --interface out"),
            ];
        }
    };
    let mut findings = Vec::new();
    if !judged.iter().any(|(interface, why)| why.is_none() && !interface.loopback) {
        let text = "no network: only nodes on this machine can be found";
        let finding = match only.is_empty() {
            true => Finding::wrong(Area::Network, Exit::NotFound, text).hint("connect a cable, or join a Wi-Fi"),
            // Somebody wants it so.
            false => Finding::note(Area::Network, text),
        };
        findings.push(finding);
    }
    let used = judged.iter().filter(|(interface, why)| why.is_none() && !interface.loopback);
    findings.extend(used.map(|judged| Finding::ok(Area::Network, format!("looks at {}", shown(judged)))));
    let left_out = judged.iter().filter(|(interface, _)| !interface.loopback);
    findings.extend(left_out.filter_map(|judged| {
        let (interface, why) = judged;
        let name = &interface.name;
        let why = because((*why)?);
        let finding = Finding::note(Area::Network, format!("leaves out {}: {why}", shown(judged)));
        Some(if only.is_empty() {
            finding.hint(format!("to use it all the same: --interface {name}"))
        } else {
            finding
        })
    }));
    findings
}

fn shown((interface, _): &Judged) -> String {
    let v4 = interface.v4.iter().map(|(ip, prefix)| format!("{ip}/{prefix}"));
    let v6 = interface.v6.iter().map(ToString::to_string);
    format!("{} ({})", interface.name, v4.chain(v6).collect::<Vec<_>>().join(", "))
}

fn because(why: Why) -> &'static str {
    match why {
        Why::NotNamed => "others were named",
        Why::Down => "it is down, or has no cable",
        Why::PointToPoint => "it leads to one machine only, as a VPN does",
        Why::NoAddress => "it has no IPv4 address and no link-local one",
        Why::NoLan => "containers, virtual machines and VPNs have such names",
    }
}

/// Who has the port.
pub(super) async fn port(context: &Context) -> Finding {
    let scope = if context.interfaces.is_loopback_only() { Scope::Loopback } else { Scope::Network };
    // Nobody is waited for: it is given back at once.
    let Err(error) = Listener::bind(scope, PORT..=PORT) else {
        return Finding::ok(
            Area::Network,
            format!("port {PORT} is free; no node runs on this machine at its usual port"),
        );
    };
    if error.kind() != std::io::ErrorKind::AddrInUse {
        let text = format!("port {PORT} cannot be listened on: {}", plain(&error));
        return Finding::wrong(Area::Network, Exit::Other, text).hint("choose another: ftx up --port 0");
    }
    let at = format!("at port {PORT}");
    match dial(&context.tls, &[([127, 0, 0, 1], PORT).into()], None).await {
        Err((_, DialFault::Myself)) => Finding::ok(Area::Network, format!("this machine's node runs, {at}")),
        Ok(link) => {
            let id = link.peer.id().short();
            Finding::ok(Area::Network, format!("another node runs on this machine, {at}: its id begins with {id}"))
        }
        Err(_) => {
            let who = named(Protocol::Tcp, PORT);
            let text = format!("port {PORT} is taken by {who}; a node takes the next one up to {}", PORTS.end());
            Finding::note(Area::Network, text)
                .hint("others find it all the same, but where multicast is dropped: then end that program")
        }
    }
}

/// Those who have a port, in words.
pub(super) fn named(protocol: Protocol, port: u16) -> String {
    match holders(protocol, port).as_slice() {
        [] => "another program (run this with sudo to see which)".to_owned(),
        some => some.join(", "),
    }
}

/// This machine's own firewall, where it can be recognised: it is not in the way of anything tried here, but
/// of what comes from others.
pub(super) fn own_firewall() -> Option<Finding> {
    let firewall = firewall::active()?;
    let text = format!("{} is on: others reach a node here only if it lets them", firewall.as_str());
    Some(Finding::note(Area::Network, text).hint(firewall::here()))
}

/// Whether connections may use BBR.
pub(super) fn bbr() -> Option<Finding> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let words = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_{name}_congestion_control"));
        text.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let has = |name| words(name).iter().any(|word| word == "bbr");
    if has("allowed") || (has("available") && is_root()) {
        return Some(Finding::ok(Area::Network, "BBR is there: bytes go fast also on Wi-Fi that loses packets"));
    }
    let text = "BBR is not to be had: on Wi-Fi that loses packets it is several times as fast";
    let hint =
        "type: sudo modprobe tcp_bbr && sudo sysctl -w net.ipv4.tcp_allowed_congestion_control=\"reno cubic bbr\"";
    Some(Finding::note(Area::Network, text).hint(hint))
}

fn is_root() -> bool {
    #[cfg(unix)]
    {
        rustix::process::geteuid().is_root()
    }
    #[cfg(not(unix))]
    false
}
