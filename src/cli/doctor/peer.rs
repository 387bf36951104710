//! One peer: is it found, does it let us in, is it who it should be, does it speak our protocol.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout_at};

use super::cause::{self, Besides};
use super::discovery::nobody;
use super::finding::{Area, Finding};
use crate::base::book::{Acquaintance, Book, Trust};
use crate::base::id::PeerId;
use crate::base::target::PeerRef;
use crate::base::text::PeerText;
use crate::cli::addresses::addresses_at;
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::ui::units::ago;
use crate::find::surroundings::neighbourhood;
use crate::find::{How, PORTS, Search, Sighting, Wanted};
use crate::flow::greet::{Greeted, Proof};
use crate::link::knock::{Answer, Knock, knock};
use crate::link::tls::{Link, TlsFault};
use crate::node::serve::now;

/// How long others of the same name, or with the same key, may take to show up.
const TWINS: Duration = Duration::from_millis(600);

/// How long a search for everybody may take, where an address was given.
const LOOK: Duration = Duration::from_millis(1200);

/// How long a peer that answers by UDP may take to answer by TCP, and one that does not answer at all.
const PATIENCE: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(10)];

/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What the network says of the peer that is meant.
#[derive(Debug, Default)]
struct Seen {
    /// Those that may be meant.
    meant: BTreeMap<PeerId, Sighting>,
    /// Where each of them said that it is, by what it calls this start of it.
    starts: BTreeMap<PeerId, BTreeMap<PeerText, SocketAddr>>,
    /// How many others answered.
    others: usize,
}

/// Looks at everything that may be between us and a peer.
pub(super) async fn check(context: &Context, typed: &str, me: Option<PeerId>) -> Result<Vec<Finding>, Failure> {
    let peer: PeerRef = typed.parse().map_err(|fault| {
        Failure::new(Exit::Usage, format!("{typed} makes no sense: {fault}"))
            .hint("for example: ftx doctor alice-laptop")
    })?;
    let book = context.book()?;
    let addresses = match &peer {
        PeerRef::Name(_) | PeerRef::Id { .. } => Vec::new(),
        PeerRef::Address { .. } | PeerRef::Host { .. } => addresses_at(&peer, PORTS).await?,
    };
    let mut seen = look(context, &peer, &addresses, me).await;
    let known = known(&book, &peer);
    let mut findings = tell_seen(&peer, &seen, &book, &known);
    if seen.meant.len() > 1 && seen.meant.keys().filter(|id| is_in(&known, id)).count() == 1 {
        seen.meant.retain(|id, _| is_in(&known, id));
    }
    let at_address = matches!(peer, PeerRef::Address { .. } | PeerRef::Host { .. });
    let expected = match (seen.meant.len(), known.as_slice()) {
        // Whoever has the address is the one.
        _ if at_address => None,
        (2.., _) => return Ok(findings),
        (1, _) => seen.meant.keys().next().copied(),
        (_, [(id, _)]) => Some(*id),
        _ => None,
    };
    let mut to = addresses;
    if !at_address {
        to.extend(seen.meant.values().flat_map(|sighting| sighting.addresses.clone()));
    }
    to.extend(known.iter().flat_map(|(_, peer)| peer.addresses.clone()));
    let mut once = std::collections::BTreeSet::new();
    to.retain(|address| once.insert(*address));
    if to.is_empty() {
        findings.push(not_found(typed, &seen));
        return Ok(findings);
    }
    let last = known.first().map(|(_, peer)| peer.last_seen).filter(|&at| at > 0 && seen.meant.is_empty());
    let besides = Besides {
        answered: !seen.meant.is_empty(),
        seen: last.map(|at| format!("; last seen {}", ago(at, now()))).unwrap_or_default(),
        ..Besides::default()
    };
    findings.extend(reached(context, (typed, expected), to, besides, &book).await);
    Ok(findings)
}

/// Climbs the ladder, and goes on for a moment: a second one of that name may answer, too.
async fn look(context: &Context, peer: &PeerRef, typed: &[SocketAddr], me: Option<PeerId>) -> Seen {
    let (wanted, patience) = match peer {
        PeerRef::Name(name) => (Wanted::Name(name.clone()), None),
        PeerRef::Id { prefix, .. } => (Wanted::Id(prefix.clone()), None),
        PeerRef::Address { .. } | PeerRef::Host { .. } => (Wanted::Everyone, Some(LOOK)),
    };
    let at = |address: &SocketAddr| typed.iter().any(|one| (one.ip(), one.port()) == (address.ip(), address.port()));
    let is_meant = |sighting: &Sighting| match wanted {
        Wanted::Everyone => sighting.addresses.iter().any(at),
        _ => wanted.is(sighting),
    };
    let start = Instant::now();
    let mut end = start + patience.unwrap_or(Duration::from_secs(4));
    let mut search = Search::start(context.interfaces.clone(), wanted.clone(), me);
    let mut seen = Seen::default();
    while let Ok(Some(sighting)) = timeout_at(end, search.next()).await {
        if !is_meant(&sighting) {
            seen.others += 1;
            continue;
        }
        end = end.min(Instant::now() + TWINS);
        if let Some(&address) = sighting.addresses.first() {
            seen.starts.entry(sighting.id).or_default().insert(sighting.boot.clone(), address);
        }
        seen.meant.insert(sighting.id, sighting);
    }
    seen
}

/// Who in the book may be meant.
fn known(book: &Book, peer: &PeerRef) -> Vec<(PeerId, Acquaintance)> {
    let all = book.peers().iter();
    let named: Vec<PeerId> = book.named(&peer.to_string()).map(|(id, _)| *id).collect();
    let is = |id: &PeerId| match peer {
        PeerRef::Name(_) => named.contains(id),
        PeerRef::Id { prefix, .. } => id.starts_with(prefix),
        _ => false,
    };
    all.filter(|(id, _)| is(id)).map(|(id, peer)| (*id, peer.clone())).collect()
}

fn is_in(known: &[(PeerId, Acquaintance)], id: &PeerId) -> bool {
    known.iter().any(|(known, _)| known == id)
}

/// How it was found, and whether it is one.
fn tell_seen(peer: &PeerRef, seen: &Seen, book: &Book, known: &[(PeerId, Acquaintance)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for sighting in seen.meant.values() {
        let named = format!("{}~{}", sighting.name, sighting.id.short());
        let at = sighting.addresses.first().map(|address| format!(" at {}", address.ip())).unwrap_or_default();
        findings.push(match sighting.how {
            How::Mdns => Finding::ok(Area::Peer, format!("{named} answers{at}, by mDNS")),
            How::Broadcast | How::Sweep => {
                let how = if sighting.how == How::Broadcast { "to broadcast" } else { "when asked at its address" };
                let text =
                    "this network filters multicast, or a firewall on either side does: it works, a little slower";
                Finding::note(Area::Peer, format!("{named} answers{at}, but only {how}: {text}"))
            }
        });
        if let Some((other, _)) = book.impersonated(sighting.name.as_raw(), &sighting.id) {
            let text = format!("{named} has another key than the {} that you know, ~{}", sighting.name, other.short());
            let hint = format!("ask its owner; if it is theirs, type: ftx forget {}", sighting.name);
            findings.push(Finding::wrong(Area::Peer, Exit::Identity, text).hint(hint));
        }
        let starts = seen.starts.get(&sighting.id);
        let places: std::collections::BTreeSet<IpAddr> =
            starts.into_iter().flatten().map(|(_, address)| address.ip()).collect();
        if starts.is_some_and(|starts| starts.len() > 1) && places.len() > 1 {
            let places = places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            let text =
                format!("two machines answer with the one key of {named}: {places}; one was cloned from the other");
            let hint = "on one of them, move ~/.config/ftx/key away: it gets a key of its own at the next start";
            findings.push(Finding::wrong(Area::Peer, Exit::Identity, text).hint(hint));
        }
    }
    if seen.meant.len() > 1 && !matches!(peer, PeerRef::Address { .. } | PeerRef::Host { .. }) {
        // One in the book beats strangers.
        let meant = seen.meant.keys().filter(|id| is_in(known, id)).count();
        let example = seen.meant.values().next().map(|one| format!("{}~{}", one.name, one.id.short()));
        let hint = format!("name one of them by its id: ftx doctor {}", example.unwrap_or_default());
        let text = format!("{} machines answer to that name", seen.meant.len());
        let finding = match meant {
            1 => Finding::note(Area::Peer, format!("{text}; commands take the one that you know")),
            _ => Finding::wrong(Area::Peer, Exit::NotFound, format!("{text}: nothing is sent to any of them")),
        };
        findings.push(finding.hint(hint));
    }
    findings
}

/// Nobody answered, and no address is known.
fn not_found(typed: &str, seen: &Seen) -> Finding {
    let why = match seen.others {
        0 => nobody("", neighbourhood()).text,
        _ => "others answer, so the network lets them: ftx is not running there, or it has another name".to_owned(),
    };
    Finding::wrong(Area::Peer, Exit::NotFound, format!("{typed} is not here: {why}"))
        .hint("ftx peers shows who is here; have them type: ftx up; or name an address: ftx doctor 192.168.1.20")
}

/// Knocks at all addresses; where somebody listens, finds out who.
async fn reached(
    context: &Context,
    (typed, expected): (&str, Option<PeerId>),
    to: Vec<SocketAddr>,
    mut besides: Besides,
    book: &Book,
) -> Vec<Finding> {
    let patience = if besides.answered { PATIENCE[0] } else { PATIENCE[1] };
    let mut knocks = JoinSet::new();
    to.iter().for_each(|&address| drop(knocks.spawn(knock(address, patience))));
    let mut closed: Vec<Knock> = Vec::new();
    while let Some(knocked) = knocks.join_next().await {
        let Ok(Knock { address, answer }) = knocked else { continue };
        let Answer::Open(tcp) = answer else {
            closed.push(Knock { address, answer });
            continue;
        };
        // The others need not be waited for.
        let findings = met(context, expected, address, context.tls.connect(tcp, HANDSHAKE).await, book).await;
        if !findings.is_empty() {
            return findings;
        }
    }
    besides.around = neighbourhood();
    let most = closed.iter().max_by_key(|knock| cause::weight(&knock.answer));
    let Some(most) = most else { return Vec::new() };
    besides.near = context.interfaces.on_link(most.address.ip());
    vec![cause::cause(typed, most, &besides)]
}

/// Who listens there, whether it is who it should be, and what it speaks. Nothing where it is somebody else who
/// has the address now, and others remain to be tried.
async fn met(
    context: &Context,
    expected: Option<PeerId>,
    address: SocketAddr,
    link: Result<Link, TlsFault>,
    book: &Book,
) -> Vec<Finding> {
    let wrong = |exit, text: String| Finding::wrong(Area::Peer, exit, text);
    let link = match link {
        Ok(link) => link,
        Err(TlsFault::Slow) => {
            let text =
                format!("{address} takes the connection and then says nothing: that machine is overloaded or hangs");
            return vec![wrong(Exit::TimedOut, text).hint("have them end ftx there, and start it again")];
        }
        Err(TlsFault::Foreign | TlsFault::Failed(_)) => {
            let text = format!("what listens at {address} is no ftx, or another version of it");
            return vec![wrong(Exit::Version, text).hint("update ftx on both machines; ftx peers shows where it is")];
        }
    };
    let id = link.peer.id();
    if link.peer == context.tls.own() {
        return vec![Finding::note(Area::Peer, format!("{address} is this machine's own node"))];
    }
    if expected.is_some_and(|expected| expected != id) {
        let text = format!("another machine has the address {address} now, with another key (~{})", id.short());
        return vec![wrong(Exit::Identity, text).hint("ftx peers shows who is where")];
    }
    let proof = Proof { peer: link.peer, exporter: link.exporter };
    match Greeted::dialled(link.stream, proof, &context.me).await {
        Ok(greeted) => {
            let peer = greeted.peer();
            let text = format!("{}~{} lets us in at {address}, and runs {}", peer.name, id.short(), peer.software);
            vec![Finding::ok(Area::Peer, text), trust(&format!("{}~{}", peer.name, id.short()), book.trust(&id))]
        }
        Err(fault) => {
            let failure = Failure::flow(&format!("~{}", id.short()), &fault);
            vec![wrong(failure.exit, failure.error).hint(failure.hint)]
        }
    }
}

fn trust(named: &str, trust: Trust) -> Finding {
    match trust {
        Trust::Trusted => Finding::ok(Area::Peer, "you trust it"),
        Trust::Known => Finding::ok(Area::Peer, "you know its key, and do not trust it yet")
            .hint(format!("to compare key words and trust it, type: ftx trust {named}")),
        Trust::Stranger => Finding::ok(Area::Peer, "you have not met before: it is a stranger")
            .hint(format!("to compare key words and trust it, type: ftx trust {named}")),
        Trust::Blocked => Finding::wrong(Area::Peer, Exit::Identity, "you blocked it")
            .hint(format!("to undo that, type: ftx forget {named}")),
    }
}
