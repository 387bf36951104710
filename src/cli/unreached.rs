//! What is said of a peer that is not reached, or not the one that was meant.

use std::net::SocketAddr;

use super::outcome::{Exit, Failure};
use crate::base::id::PeerId;
use crate::find::Sighting;
use crate::link::dial::DialFault;

/// Somebody whom this machine's owner blocked.
pub(super) fn blocked(shown: &str, id: &PeerId) -> Failure {
    Failure::new(Exit::Identity, format!("{shown}~{} is blocked", id.short()))
        .cause("you blocked it earlier")
        .hint(format!("to undo that, type: ftx forget {shown}~{}", id.short()))
}

/// Several that may be meant.
pub(super) fn ambiguous(shown: &str, several: &[Sighting]) -> Failure {
    let candidates: Vec<String> = several
        .iter()
        .map(|peer| {
            let at = peer.addresses.first().map(|a| format!(" at {}", a.ip())).unwrap_or_default();
            format!("{}~{}{at}", peer.name, peer.id.short())
        })
        .collect();
    let example = several.first().map(|peer| format!("{}~{}", peer.name, peer.id.short())).unwrap_or_default();
    Failure::new(Exit::NotFound, format!("{shown} is ambiguous: {}", candidates.join(", ")))
        .cause("several machines have this name; nothing was sent")
        .hint(format!("name one of them with its id, as {example}"))
}

/// Somebody of a known name, with a key that is not known.
pub(super) fn other_key(shown: &str, known: &PeerId, found: &PeerId) -> Failure {
    Failure::new(
        Exit::Identity,
        format!("{shown} answers with another key: you know {}, this is {}", known.short(), found.short()),
    )
    .cause("it was set up anew, or somebody else uses its name, or is in between; nothing was sent")
    .hint(format!("ask its owner; if it is theirs, type: ftx forget {shown}, and try again"))
}

/// It was found, and cannot be dialled.
pub(super) fn unreachable(shown: &str, at: SocketAddr, fault: &DialFault) -> Failure {
    let failure = |exit| Failure::new(exit, format!("{shown} was found at {at}, but: {fault}"));
    match fault {
        DialFault::Refused => failure(Exit::Unreachable)
            .cause("that machine is on, but ftx is not running there")
            .hint("have them type: ftx up"),
        DialFault::TimedOut => failure(Exit::Unreachable)
            .cause("a firewall on its side drops connections, or it is asleep or gone")
            .hint(format!("there, let TCP port {} in, for example: sudo ufw allow {}/tcp", at.port(), at.port())),
        DialFault::Unreachable => failure(Exit::Unreachable)
            .cause("it is on another network, or this one keeps its machines apart (guest Wi-Fi)")
            .hint("use the same network, a cable or a hotspot"),
        DialFault::Foreign => failure(Exit::Version)
            .cause("another program has that port, or a version of ftx that is too old or too new")
            .hint("update ftx on both machines"),
        DialFault::OtherKey(_) => {
            failure(Exit::Identity).cause("another machine has its address now").hint("ftx peers shows who is where")
        }
        DialFault::Myself => failure(Exit::Usage).hint("ftx peers shows the others"),
        DialFault::Other(_) => failure(Exit::Unreachable)
            .cause("it was stopped just then, or the network dropped")
            .hint("type the same again"),
    }
}
