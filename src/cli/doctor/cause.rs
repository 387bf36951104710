//! From what came back to the cause and what to type.

use std::net::SocketAddr;

use super::finding::{Area, Finding};
use super::firewall;
use crate::base::fault::plain;
use crate::cli::outcome::Exit;
use crate::find::surroundings::Neighbourhood;
use crate::link::knock::{Answer, Knock};

/// What is known besides what came back from a port.
#[derive(Debug, Clone, Default)]
pub(super) struct Besides {
    /// Whether the peer answered by UDP just now.
    pub(super) answered: bool,
    /// When it was last seen, in words; empty if never.
    pub(super) seen: String,
    /// The neighbours that this machine sees.
    pub(super) around: Option<Neighbourhood>,
    /// Whether the address is of a network that this machine is in.
    pub(super) near: bool,
}

/// Which of several answers says most.
pub(super) fn weight(answer: &Answer) -> u8 {
    match answer {
        Answer::Open(_) => 5,
        Answer::Refused => 4,
        Answer::Forbidden => 3,
        Answer::Silence => 2,
        Answer::NoWay | Answer::Nobody => 1,
        Answer::Other(_) => 0,
    }
}

/// Why `peer` is not reached at this port.
pub(super) fn cause(peer: &str, knock: &Knock, besides: &Besides) -> Finding {
    let (at, port) = (knock.address, knock.address.port());
    let unreachable = |text: String| Finding::wrong(Area::Peer, Exit::Unreachable, text);
    match &knock.answer {
        Answer::Open(_) => Finding::ok(Area::Peer, format!("{peer} listens at {at}")),
        Answer::Refused => unreachable(format!("the machine at {at} is on, and ftx is not running there: it refuses"))
            .hint(format!("have {peer} type: ftx up")),
        Answer::Forbidden => {
            unreachable(format!("this machine does not let us out to {at}: its own firewall, or a VPN's kill switch"))
                .hint(format!("let TCP to port {port} out, or end the VPN"))
        }
        Answer::Silence if besides.answered => unreachable(format!(
            "{peer} answers by UDP, and to TCP at {at} nothing comes back: the firewall of that machine drops it"
        ))
        .hint(firewall::there(port)),
        Answer::Silence => unreachable(format!(
            "nothing comes back from {at}: a firewall drops it, there or on the way, or the machine is asleep{}",
            besides.seen
        ))
        .hint(firewall::there(port)),
        Answer::Nobody => gone(peer, at, besides),
        Answer::NoWay if cfg!(target_os = "macos") && besides.near => {
            unreachable(format!("macOS does not let ftx out to {at}"))
                .hint("in System Settings, Privacy & Security, Local Network, allow the terminal that runs ftx")
        }
        Answer::NoWay if besides.near => unreachable(format!(
            "{at} is refused at once, by a firewall: that machine's (firewalld does it so), or one in between"
        ))
        .hint(firewall::there(port)),
        Answer::NoWay => unreachable(format!("this machine has no way to {at}: it is on another network"))
            .hint("use the same network, a cable or a hotspot"),
        Answer::Other(error) => {
            unreachable(format!("{at} cannot be reached: {}", plain(error))).hint("type the same again")
        }
    }
}

/// Nobody has that address now, or nobody is let through.
fn gone(peer: &str, at: SocketAddr, besides: &Besides) -> Finding {
    let apart = matches!(besides.around, Some(Neighbourhood { gateway: Some(true), others: 0 }));
    if apart {
        let text = format!(
            "nobody answers to {at}, and of all machines only the gateway does: this network keeps its machines \
            apart (client isolation, as guest Wi-Fi does), or {peer} is off{}",
            besides.seen
        );
        return Finding::wrong(Area::Peer, Exit::Unreachable, text).hint("use a cable, a hotspot, or a wired hub");
    }
    let text = format!("no machine has the address {at} now: {peer} is off, asleep or elsewhere{}", besides.seen);
    Finding::wrong(Area::Peer, Exit::Unreachable, text)
        .hint(format!("wake it, and have them type: ftx up; ftx doctor {peer} looks again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knocked(answer: Answer) -> Knock {
        Knock { address: ([10, 0, 0, 2], 23547).into(), answer }
    }

    /// The table of `discovery.md`: what is observed, and a word of the cause that is named for it.
    #[test]
    fn each_signature_has_its_own_cause() {
        let near = Besides { near: true, ..Besides::default() };
        let udp = Besides { answered: true, ..near.clone() };
        let around = |others| Some(Neighbourhood { gateway: Some(true), others });
        let alone = Besides { around: around(0), ..near.clone() };
        let seen = Besides { around: around(3), seen: "; last seen 2 days ago".into(), ..near.clone() };
        let table = [
            (Answer::Refused, &near, "ftx is not running there"),
            (Answer::Silence, &udp, "the firewall of that machine"),
            (Answer::Silence, &near, "a firewall drops it"),
            (Answer::Nobody, &seen, "last seen 2 days ago"),
            (Answer::Nobody, &near, "no machine has the address"),
            (Answer::Nobody, &alone, "keeps its machines"),
            (Answer::NoWay, &near, "refused at once, by a firewall"),
            (Answer::NoWay, &Besides::default(), "on another network"),
            (Answer::Forbidden, &near, "own firewall"),
        ];
        for (answer, besides, word) in table {
            let finding = cause("bob", &knocked(answer), besides);
            assert!(finding.text.contains(word), "{word}: {finding:?}");
            assert!(!finding.hint.is_empty(), "{finding:?}");
        }
        let firewall = cause("bob", &knocked(Answer::Silence), &udp);
        assert!(firewall.hint.contains("ufw allow 23547/tcp") && firewall.hint.contains("PowerShell"));
    }
}
