//! A peer of a name or an id: the one in the book, or the only one that answers to it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::context::Context;
use super::outcome::{Exit, Failure};
use super::ui::units;
use super::unreached::{ambiguous, other_key, unreachable};
use crate::base::book::{Acquaintance, Book, Trust, fold};
use crate::base::id::PeerId;
use crate::base::target::PeerRef;
use crate::find::{Search, Sighting, Wanted};
use crate::link::dial::dial;
use crate::link::tls::Link;
use crate::node::serve::now;

/// How long others of the same name may take to show up before a stranger is taken to be the
/// only one. On a LAN answers take 1 to 5 ms.
const NAMESAKES: Duration = Duration::from_millis(40);

/// How long a known peer may take to show up once somebody else has answered to its name.
const IMPOSTOR: Duration = Duration::from_millis(1000);

/// How alike a name must be to be suggested, from 0 to 1.
const ALIKE: f64 = 0.8;

/// Who in the book is meant.
pub(super) fn known(book: &Book, peer: &PeerRef) -> Vec<PeerId> {
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

/// Finds and dials a peer by its name or id, where the book says that it was last or where the search finds it.
///
/// # Errors
/// As for [`reach`](super::reach::reach).
pub(super) async fn search(context: &Context, book: &Book, peer: &PeerRef) -> Result<Link, Failure> {
    Seek::new(context, book, peer).run().await
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
