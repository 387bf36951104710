//! From what was typed to a greeted peer: find it, dial it, make sure who it is.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::context::Context;
use super::outcome::{Exit, Failure};
use super::report::{self, first_contact};
use super::ui::units;
use crate::base::book::{Acquaintance, Book, Trust, fold};
use crate::base::id::{PeerId, Role};
use crate::base::target::PeerRef;
use crate::find::{PORTS, Search, Sighting, Wanted};
use crate::flow::greet::{Greeted, Peer, Proof};
use crate::flow::words::KeyWords;
use crate::link::dial::{DialFault, dial};
use crate::link::tls::{Link, Stream};
use crate::node::serve::now;

/// How long others of the same name may take to show up before a stranger is taken to be the
/// only one. On a LAN answers take 1 to 5 ms.
const NAMESAKES: Duration = Duration::from_millis(40);

/// How long a known peer may take to show up once somebody else has answered to its name.
const IMPOSTOR: Duration = Duration::from_millis(1000);

/// How long the system may take to resolve a host name.
const RESOLVE: Duration = Duration::from_secs(5);

/// How alike a name must be to be suggested, from 0 to 1.
const ALIKE: f64 = 0.8;

/// A peer that has been reached and has proven who it is.
#[derive(Debug)]
pub struct Reached {
    /// The conversation, greeted.
    pub greeted: Greeted<Stream>,
    /// Where it is.
    pub address: SocketAddr,
    /// How far it is trusted.
    pub trust: Trust,
    /// Its name, for messages.
    pub shown: String,
}

impl Reached {
    /// The peer.
    pub fn peer(&self) -> &Peer {
        self.greeted.peer()
    }
}

/// Dials and greets whoever is at one of these addresses: `expected`, or anybody but this node itself. By what
/// name is not looked at.
///
/// # Errors
/// As for [`reach`].
pub async fn reach_at(
    context: &Context,
    addresses: &[SocketAddr],
    expected: Option<PeerId>,
    shown: &str,
) -> Result<Reached, Failure> {
    let link = dial(&context.tls, addresses, expected).await;
    let link = link.map_err(|(at, fault)| unreachable(shown, at, &fault))?;
    let reached = greet(context, link, shown).await?;
    if reached.trust == Trust::Blocked { Err(blocked(&reached)) } else { Ok(reached) }
}

/// Finds, dials and greets a peer.
///
/// # Errors
/// Exit 3 where it is not found, 4 where it cannot be reached, 6 where it is not who it should be,
/// 12 where it speaks another protocol.
pub async fn reach(context: &Context, peer: &PeerRef) -> Result<Reached, Failure> {
    let book = context.book()?;
    let link = match peer {
        PeerRef::Name(_) | PeerRef::Id { .. } => Seek::new(context, &book, peer).run().await?,
        PeerRef::Address { .. } | PeerRef::Host { .. } => {
            dial_address(context, peer, &addresses_at(peer, PORTS).await?).await?
        }
    };
    let reached = greet(context, link, &peer.to_string()).await?;
    if reached.trust == Trust::Blocked {
        return Err(blocked(&reached));
    }
    let (name, id) = (&reached.peer().name, reached.peer().id());
    let known = match peer {
        // Whoever names an id says whom they mean. But another key can be made to begin like it.
        PeerRef::Id { .. } => {
            Some(known(&book, peer)).filter(|known| !known.contains(&id)).and_then(|k| k.first().copied())
        }
        _ => book.impersonated(name.as_raw(), &id).map(|(known, _)| known),
    };
    if let Some(known) = known {
        return Err(other_key(&reached.shown, &known, &id));
    }
    Ok(reached)
}

/// Greets whoever was dialled as `typed`.
async fn greet(context: &Context, link: Link, typed: &str) -> Result<Reached, Failure> {
    let (address, id) = (link.address, link.peer.id());
    context.printer.detail(&format!("reached {} at {address}", id.short()));
    let proof = Proof { peer: link.peer, exporter: link.exporter };
    let greeted = Greeted::dialled(link.stream, proof, &context.me).await;
    let greeted = greeted.map_err(|fault| Failure::flow(typed, &fault))?;
    let shown = greeted.peer().name.to_string();
    Ok(Reached { trust: context.book()?.trust(&id), greeted, address, shown })
}

fn blocked(reached: &Reached) -> Failure {
    let (name, id) = (&reached.shown, reached.peer().id());
    Failure::new(Exit::Identity, format!("{name}~{} is blocked", id.short()))
        .cause("you blocked it earlier")
        .hint(format!("to undo that, type: ftx forget {name}~{}", id.short()))
}

/// Who in the book is meant.
fn known(book: &Book, peer: &PeerRef) -> Vec<PeerId> {
    match peer {
        PeerRef::Id { name, prefix } => {
            // The beginning of an id that is no short id tells nobody from others of another name.
            let named = |peer: &Acquaintance| {
                name.is_empty() || prefix.len() >= PeerId::SHORT_LENGTH || fold(name) == fold(peer.name.as_raw())
            };
            let all = book.peers().iter().filter(|(id, peer)| id.starts_with(prefix) && named(peer));
            all.map(|(id, _)| *id).collect()
        }
        other => {
            book.named(&other.to_string()).filter(|(_, peer)| peer.trust != Trust::Blocked).map(|(id, _)| *id).collect()
        }
    }
}

/// Tells the key words of a first contact, and notes the peer as met: by then the other side has met us, too,
/// whatever becomes of what is asked, and shows no words next time. A hub shows none: it is trusted by the
/// code that one joins with.
pub fn tell_first_contact(context: &Context, trust: Trust, (peer, address): (&Peer, SocketAddr), words: &KeyWords) {
    if trust != Trust::Stranger || peer.role == Role::Hub {
        return;
    }
    note_met(context, peer, address);
    context.printer.note(&format!("first contact with {}~{}", peer.name, peer.id().short()));
    context.printer.note(&report::key_words(words, peer));
    context.printer.object(|| first_contact(peer, words));
}

/// Notes in the book that a peer was met: its key, and where it is.
pub fn note_met(context: &Context, peer: &Peer, address: SocketAddr) {
    let noted = context.state.change_book(|book| book.meet(peer.id(), peer.name.clone(), Some(address), now()));
    if let Err(fault) = noted {
        context.printer.warn(&format!("the address book was not updated: {fault}"));
    }
}

/// Where somebody is who is named by an address or a host name: at its port, or at any of `ports`.
///
/// # Errors
/// Exit 3 where there is no such host; 2 where the name is of another sort.
pub async fn addresses_at(peer: &PeerRef, ports: RangeInclusive<u16>) -> Result<Vec<SocketAddr>, Failure> {
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

async fn dial_address(context: &Context, peer: &PeerRef, addresses: &[SocketAddr]) -> Result<Link, Failure> {
    dial(&context.tls, addresses, None).await.map_err(|(at, fault)| unreachable(&peer.to_string(), at, &fault))
}

/// A search for a peer by name or id.
struct Seek<'a> {
    context: &'a Context,
    book: &'a Book,
    wanted: Wanted,
    shown: String,
    /// Who in the book is meant.
    known: Vec<PeerId>,
    /// Who answered to it and may be meant.
    found: Vec<Sighting>,
    /// Strangers that answered to a known peer's name.
    impostors: Vec<Sighting>,
    /// Everybody else who was seen.
    others: Vec<Sighting>,
    /// Why the one that was found could not be reached.
    failed: Option<Failure>,
}

impl<'a> Seek<'a> {
    fn new(context: &'a Context, book: &'a Book, peer: &PeerRef) -> Self {
        let wanted = match peer {
            PeerRef::Id { name, prefix } if !name.is_empty() && prefix.len() >= PeerId::SHORT_LENGTH => {
                Wanted::Instance { name: name.clone(), id: prefix.clone() }
            }
            PeerRef::Id { prefix, .. } => Wanted::Id(prefix.clone()),
            other => Wanted::Name(other.to_string()),
        };
        let known = known(book, peer);
        Self {
            context,
            book,
            wanted,
            shown: peer.to_string(),
            known,
            found: Vec::new(),
            impostors: Vec::new(),
            others: Vec::new(),
            failed: None,
        }
    }

    async fn run(mut self) -> Result<Link, Failure> {
        let me = self.context.me.key.public().id();
        let mut search = Search::start(self.context.interfaces.clone(), self.wanted.clone(), Some(me));
        let remembered = self.remembered();
        let tls = &self.context.tls;
        let from_book = async move {
            match remembered {
                Some((id, addresses)) => dial(tls, &addresses, Some(id)).await.ok(),
                None => None,
            }
        };
        tokio::pin!(from_book);
        let mut book_tried = false;
        let mut decide_at: Option<Instant> = None;
        loop {
            let until = decide_at.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
            tokio::select! {
                biased;
                link = &mut from_book, if !book_tried => {
                    book_tried = true;
                    if let Some(link) = link {
                        return Ok(link);
                    }
                }
                seen = search.next() => match seen {
                    Some(sighting) => {
                        let wait = self.sort(sighting);
                        decide_at = match (decide_at, wait) {
                            (Some(at), Some(wait)) => Some(at.min(Instant::now() + wait)),
                            (at, wait) => at.or(wait.map(|wait| Instant::now() + wait)),
                        };
                    }
                    None => return self.decide().await.unwrap_or_else(|| Err(self.not_found())),
                },
                () = sleep_until(until), if decide_at.is_some() => {
                    decide_at = None;
                    if let Some(decided) = self.decide().await {
                        return decided;
                    }
                }
            }
        }
    }

    /// Where the one known peer that is meant was last, if there is just one.
    fn remembered(&self) -> Option<(PeerId, Vec<SocketAddr>)> {
        let [id] = self.known.as_slice() else { return None };
        let peer = self.book.find(id)?;
        (!peer.addresses.is_empty()).then(|| (*id, peer.addresses.clone()))
    }

    /// Notes a sighting; says how long to wait for others before deciding, if there is something
    /// to decide.
    fn sort(&mut self, sighting: Sighting) -> Option<Duration> {
        let line = format!("seen {}~{} by {}", sighting.name, sighting.id.short(), sighting.how.as_str());
        self.context.printer.detail(&line);
        let (list, wait) = if !self.wanted.is(&sighting) {
            (&mut self.others, None)
        } else if self.known.contains(&sighting.id) {
            // One in the book beats strangers; two in the book are told apart like strangers.
            (&mut self.found, Some(if self.known.len() == 1 { Duration::ZERO } else { NAMESAKES }))
        } else if !self.known.is_empty() {
            (&mut self.impostors, Some(IMPOSTOR))
        } else if matches!(self.wanted, Wanted::Instance { .. }) {
            (&mut self.found, Some(Duration::ZERO))
        } else {
            (&mut self.found, Some(NAMESAKES))
        };
        match list.iter_mut().find(|known| known.id == sighting.id) {
            Some(known) => *known = sighting,
            None => list.push(sighting),
        }
        wait
    }

    /// What can be said now; `None` to look on.
    async fn decide(&mut self) -> Option<Result<Link, Failure>> {
        match self.found.as_slice() {
            [] => match self.impostors.first() {
                Some(impostor) => {
                    let known = self.known.first().copied().unwrap_or(impostor.id);
                    Some(Err(other_key(&self.shown, &known, &impostor.id)))
                }
                None => self.failed.take().map(Err),
            },
            [one] => {
                let (id, addresses) = (one.id, one.addresses.clone());
                match dial(&self.context.tls, &addresses, Some(id)).await {
                    Ok(link) => Some(Ok(link)),
                    Err((at, fault)) => {
                        // Perhaps it has moved; another answer may still come.
                        self.failed = Some(unreachable(&self.shown, at, &fault));
                        self.found.clear();
                        None
                    }
                }
            }
            several => Some(Err(ambiguous(&self.shown, several))),
        }
    }

    fn not_found(&mut self) -> Failure {
        if let Some(failed) = self.failed.take() {
            return failed;
        }
        let failure = Failure::new(Exit::NotFound, format!("{} is not here", self.shown));
        if let Some(peer) = self.known.first().and_then(|id| self.book.find(id))
            && peer.last_seen > 0
        {
            let seen = units::ago(peer.last_seen, now());
            return failure.cause(format!("ftx is not running there; last seen {seen}")).hint("have them type: ftx up");
        }
        if self.others.is_empty() {
            return failure
                .cause(
                    "nobody answered: ftx is not running there, or this network keeps its machines apart (guest Wi-Fi)",
                )
                .hint("have them type: ftx up; or name its address: ftx push FILE 192.168.1.20");
        }
        let mut names: Vec<String> =
            self.others.iter().take(12).map(|peer| format!("{}~{}", peer.name, peer.id.short())).collect();
        names.sort();
        let failure = failure.cause(format!("seen instead: {}", names.join(", ")));
        match self.alike() {
            Some(name) => failure.hint(format!("did you mean {name}?")),
            None => failure.hint("have them type: ftx up"),
        }
    }

    /// The name seen that is most like the one typed.
    fn alike(&self) -> Option<String> {
        let typed = self.shown.split('~').next().unwrap_or(&self.shown).to_lowercase();
        let score = |name: &str| strsim::jaro_winkler(&typed, &name.to_lowercase());
        let scored = self.others.iter().map(|peer| (score(peer.name.as_raw()), peer));
        let best = scored.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score >= ALIKE);
        best.map(|(_, peer)| peer.name.to_string())
    }
}

fn ambiguous(shown: &str, several: &[Sighting]) -> Failure {
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

fn other_key(shown: &str, known: &PeerId, found: &PeerId) -> Failure {
    Failure::new(
        Exit::Identity,
        format!("{shown} answers with another key: you know {}, this is {}", known.short(), found.short()),
    )
    .cause("it was set up anew, or somebody else uses its name, or is in between; nothing was sent")
    .hint(format!("ask its owner; if it is theirs, type: ftx forget {shown}, and try again"))
}

fn unreachable(shown: &str, at: SocketAddr, fault: &DialFault) -> Failure {
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
