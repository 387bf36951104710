//! Whether others are found, and if not, what is in the way.

use super::finding::{Area, Finding};
use super::{firewall, network};
use crate::base::fault::plain;
use crate::base::id::PeerId;
use crate::cli::context::Context;
use crate::cli::outcome::Exit;
use crate::cli::ui::units::count;
use crate::find::surroundings::{Neighbourhood, Protocol, neighbourhood};
use crate::find::trial::{Echo, Tried, multicast};
use crate::find::{How, Interfaces, Sighting, survey};

/// The port of mDNS.
const MDNS: u16 = 5353;

/// Whether multicast leaves this machine and comes in again.
pub(super) async fn own_ears(interfaces: &Interfaces) -> Vec<Finding> {
    let tried = multicast(interfaces).await;
    let mut findings = Vec::new();
    for tried in &tried {
        let finding = echo(tried);
        // Of an exclusive holder of the port each interface tells the same.
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    // One line where all is well on all of them.
    if !findings.is_empty() && tried.iter().all(|tried| matches!(tried.echo, Echo::Heard)) {
        let mut names: Vec<&str> = tried.iter().map(|tried| tried.interface.as_str()).collect();
        names.dedup();
        let text = format!("multicast goes out and comes in: a question of our own is heard on {}", names.join(", "));
        return vec![Finding::ok(Area::Discovery, text)];
    }
    findings
}

fn echo(tried: &Tried) -> Finding {
    let at = format!("{} ({})", tried.interface, tried.from);
    let wrong = |text: String| Finding::wrong(Area::Discovery, Exit::Other, text);
    match &tried.echo {
        Echo::Heard => Finding::ok(Area::Discovery, format!("on {at} a multicast question of our own is heard")),
        Echo::Unheard => {
            let text = format!(
                "on {at} a multicast question of our own is not heard: this machine's firewall drops UDP port {MDNS}, \
                or the interface drops multicast. Peers are found all the same, a little later"
            );
            Finding::note(Area::Discovery, text).hint(firewall::here())
        }
        Echo::Unsent(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            wrong(format!("on {at} multicast is not let out: this machine's own firewall, or a VPN's kill switch"))
                .hint(format!("let UDP to 224.0.0.251 and ff02::fb, port {MDNS}, out; or end the VPN"))
        }
        Echo::Unsent(error) => {
            let text = format!("on {at} multicast cannot be sent: {}", plain(error));
            Finding::note(Area::Discovery, text)
        }
        Echo::NoEar(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let who = network::named(Protocol::Udp, MDNS);
            let text = format!(
                "UDP port {MDNS}, that of mDNS, is held by {who} for itself alone: others see a node here late"
            );
            Finding::note(Area::Discovery, text).hint("end it, or have it share the port; then start ftx up again")
        }
        Echo::NoEar(error) => {
            let text = format!("on {at} nothing can be heard by multicast: {}", plain(error));
            Finding::note(Area::Discovery, text)
        }
    }
}

/// Who is here, and how they were found.
pub(super) async fn others(context: &Context, me: Option<PeerId>) -> Vec<Finding> {
    let seen = survey(context.interfaces.clone(), me).await;
    let away: Vec<&Sighting> = seen.iter().filter(|peer| !is_here(&context.interfaces, peer)).collect();
    if away.is_empty() {
        let here = if seen.is_empty() { "" } else { " but on this machine itself" };
        return vec![nobody(here, neighbourhood())];
    }
    let mut findings = vec![found(&away)];
    for (index, peer) in away.iter().enumerate() {
        let name = crate::base::book::fold(peer.name.as_raw());
        let twin = away[..index].iter().find(|other| crate::base::book::fold(other.name.as_raw()) == name);
        if let Some(twin) = twin {
            let text = format!("two machines are called {}: ~{} and ~{}", peer.name, twin.id.short(), peer.id.short());
            findings
                .push(Finding::note(Area::Discovery, text).hint("name them by id, as name~id; or rename one: --name"));
        }
    }
    findings
}

fn is_here(interfaces: &Interfaces, peer: &Sighting) -> bool {
    peer.addresses.first().is_some_and(|address| interfaces.contains_ip(address.ip()))
}

fn found(away: &[&Sighting]) -> Finding {
    let heard = count(away.len(), "other machine answers", "other machines answer");
    if away.iter().any(|peer| peer.how == How::Mdns) {
        return Finding::ok(Area::Discovery, heard);
    }
    let text = format!(
        "{heard}, but not to multicast: this network filters it, or a firewall here drops the answers. \
        It works, a little slower"
    );
    Finding::note(Area::Discovery, text)
}

/// What it may mean that nobody answers.
pub(super) fn nobody(here: &str, around: Option<Neighbourhood>) -> Finding {
    match around {
        Some(Neighbourhood { gateway: Some(true), others: 0 }) => {
            let text = format!(
                "nobody answers{here}, and of all machines only the gateway does at all: nobody else is here, or this \
                network keeps its machines apart (client isolation, as guest Wi-Fi does)"
            );
            Finding::note(Area::Discovery, text)
                .hint("have somebody type: ftx up; if that does not help, use a cable, a hotspot or a wired hub")
        }
        _ => Finding::note(
            Area::Discovery,
            format!("nobody answers{here}: ftx runs on no other machine of this network"),
        )
        .hint("have somebody type: ftx up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    fn tried(echo: Echo) -> Tried {
        Tried { interface: "eth0".into(), from: [10, 0, 0, 1].into(), echo }
    }

    #[test]
    fn each_way_in_which_multicast_fails_has_its_own_cause() {
        let of = |kind: std::io::ErrorKind| std::io::Error::from(kind);
        let blocked = echo(&tried(Echo::Unsent(of(std::io::ErrorKind::PermissionDenied))));
        assert!(matches!(blocked.level, Level::Wrong(_)) && blocked.text.contains("own firewall"), "{blocked:?}");
        let held = echo(&tried(Echo::NoEar(of(std::io::ErrorKind::AddrInUse))));
        assert!(held.text.contains("held by"), "{held:?}");
        let unheard = echo(&tried(Echo::Unheard));
        assert!(unheard.text.contains("firewall drops UDP") && !unheard.hint.is_empty(), "{unheard:?}");
        assert_eq!(echo(&tried(Echo::Heard)).level, Level::Ok);
    }

    #[test]
    fn where_only_the_gateway_answers_the_network_may_keep_machines_apart() {
        let around = |gateway, others| Some(Neighbourhood { gateway, others });
        assert!(nobody("", around(Some(true), 0)).text.contains("keeps its machines apart"));
        for other in [around(Some(true), 1), around(Some(false), 0), around(None, 0), None] {
            assert!(!nobody("", other).text.contains("apart"));
        }
    }
}
