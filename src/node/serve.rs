//! One conversation with a peer that dialled us.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Node;
use super::accept::Server;
use super::caps::{Caps, Met, network};
use super::event::{Event, Offered, PairingAsked, Reply, Side, Way};
use super::policy::{Decision, GONE, Person};
use super::promise::Promise;
use crate::base::book::Trust;
use crate::base::event::Progress;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, TransferId};
use crate::base::manifest::Entry;
use crate::base::path::RelPath;
use crate::disk::source::Source;
use crate::flow::consent::{Consent, Proposal, Verdict};
use crate::flow::fault::FlowFault;
use crate::flow::greet::{self, Peer, Proof};
use crate::flow::lanes::Further;
use crate::flow::outgoing::{Manner, Outgoing};
use crate::flow::pair::{self, Agreement, Compared};
use crate::flow::receive;
use crate::flow::refuse::refuse;
use crate::flow::stop::Stop;
use crate::flow::words::KeyWords;
use crate::flow::{list, preview, send};
use crate::link::tls::{Link, Stream, Tls};
use crate::wire::limits::{MAX_WANTED, PROMPT};
use crate::wire::message::Request;

/// A conversation with somebody who dialled us.
type Session = greet::Session<Stream>;

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether a peer that is trusted this far has been met.
fn met(trust: Trust) -> Met {
    match trust {
        Trust::Known | Trust::Trusted => Met::Known,
        Trust::Stranger | Trust::Blocked => Met::Stranger,
    }
}

impl Server for Node {
    fn tls(&self) -> &Tls {
        &self.tls
    }

    async fn hold(self: Arc<Self>, link: Link, caps: Caps, stop: Stop) {
        conversation(self, link, caps, stop).await;
    }

    fn met(&self, peer: &PeerId) -> Met {
        self.state.book().map_or(Met::Stranger, |book| met(book.trust(peer)))
    }

    async fn closed(&self, address: SocketAddr, reason: String) {
        let _ = self.events.send(Event::Closed { address, reason }).await;
    }
}

fn gone() -> Fault {
    Fault::new(FaultKind::Disk, GONE)
}

fn busy() -> Fault {
    Fault::new(FaultKind::Busy, "too much is fetched there already")
}

/// Hears what a peer wants and does it, or refuses it.
async fn conversation(node: Arc<Node>, link: Link, caps: Caps, stop: Stop) {
    let address = link.address;
    let proof = Proof { peer: link.peer, exporter: link.exporter };
    let (session, request) = match Session::answered(link.stream, proof, &node.me).await {
        Ok(greeted) => greeted,
        Err(fault) => {
            // Who hangs up before saying anything has reached us another way, or only looked.
            if fault.kind() != FaultKind::Lost && caps.first_nonsense(address.ip()) {
                let _ = node.events.send(Event::Closed { address, reason: fault.to_string() }).await;
            }
            return;
        }
    };
    let peer = session.peer.clone();
    let conversation = Conversation { node: node.clone(), peer: peer.clone(), address, caps, stop };
    if let Err(fault) = conversation.hold(session, request).await {
        let event = match fault {
            FlowFault::Declined { kind, reason } => Event::Refused { peer, told: Fault { kind, text: reason } },
            FlowFault::Theirs(fault) => Event::Failed { peer, fault, side: Side::There },
            // Whatever the disk says: what was there to be written to is not any more.
            fault if fault.kind() == FaultKind::Disk && node.inbox.is_gone() => {
                Event::Failed { peer, fault: gone(), side: Side::Here }
            }
            FlowFault::Ours(fault) => Event::Failed { peer, fault, side: Side::Here },
            lost => Event::Failed { peer, fault: Fault::new(lost.kind(), lost.to_string()), side: Side::Here },
        };
        let _ = node.events.send(event).await;
    }
}

struct Conversation {
    node: Arc<Node>,
    peer: Peer,
    address: SocketAddr,
    caps: Caps,
    stop: Stop,
}

impl Conversation {
    async fn hold(self, mut session: Session, request: Request) -> Result<(), FlowFault> {
        let trust = match self.identify() {
            Ok(trust) => trust,
            Err(fault) => return self.refused(session, &request, fault).await,
        };
        match request {
            Request::Push => {
                if met(trust) == Met::Stranger {
                    session.is_of_a_stranger(network(self.address.ip()));
                }
                self.receive(session, trust).await
            }
            Request::Pull(paths) => self.serve(session, trust, paths).await,
            Request::List(path) => {
                let served = self.caps.serving(self.peer.id(), self.address.ip(), met(trust));
                let listing = match &served {
                    Some(_) => self.listing(trust, path.clone()).await,
                    None => Err(busy()),
                };
                match listing {
                    Ok(entries) => {
                        self.first(trust, session.words.clone()).await;
                        list::tell(session, entries).await
                    }
                    Err(fault) => refuse(session, &Request::List(path), fault).await,
                }
            }
            Request::Pair => self.pair(session, trust).await,
            Request::Attach { transfer, ticket } => {
                // Who has no ticket is let go without a word.
                drop(self.node.underway.attach(transfer, ticket, session));
                Ok(())
            }
            Request::Preview => match self.node.policy.decide(trust) {
                Decision::Accept => preview::answer(session, Some(&self.node.inbox)).await,
                Decision::Ask => {
                    let fault = Fault::new(FaultKind::Declined, "a person is asked there");
                    refuse(session, &Request::Preview, fault).await
                }
                Decision::Decline(fault) => refuse(session, &Request::Preview, fault).await,
            },
            Request::PushTo(_) | Request::PreviewTo(_) | Request::Join { .. } | Request::Ask(_) => {
                let fault = Fault::new(FaultKind::NotPermitted, "that is no hub: it has no folders for others");
                refuse(session, &request, fault).await
            }
            Request::Take => {
                let fault = Fault::new(FaultKind::NotFound, "nothing is given by a code there");
                refuse(session, &request, fault).await
            }
        }
    }

    /// How far the peer is trusted. A blocked one, and a stranger under a known peer's name, get
    /// no further.
    fn identify(&self) -> Result<Trust, Fault> {
        let book = self.node.state.book()?;
        let id = self.peer.id();
        if let Some((known, _)) = book.impersonated(self.peer.name.as_raw(), &id) {
            let name = &self.peer.name;
            let text = format!(
                "another {name} is known there ({name}~{}), with another key; \
                 if yours is the right one, have them type: ftx forget {name}",
                known.short()
            );
            return Err(Fault::new(FaultKind::Identity, text));
        }
        match book.trust(&id) {
            Trust::Blocked => Err(Fault::new(FaultKind::Identity, "you are blocked there")),
            trust => Ok(trust),
        }
    }

    /// Refuses what the peer wants, and tells whoever watches.
    async fn refused(self, session: Session, request: &Request, fault: Fault) -> Result<(), FlowFault> {
        refuse(session, request, fault.clone()).await?;
        let _ = self.node.events.send(Event::Refused { peer: self.peer, told: fault }).await;
        Ok(())
    }

    async fn receive(self, session: Session, trust: Trust) -> Result<(), FlowFault> {
        let decision = match self.node.policy.decide(trust) {
            Decision::Accept | Decision::Ask if self.node.inbox.is_gone() => Decision::Decline(gone()),
            decision => decision,
        };
        let words = session.words.clone();
        let (progress, watched) = watch::channel(Progress::default());
        let (begun, promised) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let consent = match decision {
            Decision::Accept => {
                self.first(trust, words).await;
                self.met();
                self.moving(Way::In, &watched).await;
                Consent::Given { root: self.node.inbox.clone(), tops: None }
            }
            Decision::Decline(fault) => return self.refused(session, &Request::Push, fault).await,
            Decision::Ask => self.question(trust, words, watched, (begun.clone(), promised.clone())),
        };
        let from = Instant::now();
        let further = Further::Attach(self.node.underway.clone());
        let received =
            receive::receive(session, consent, further, self.node.limit.clone(), progress, self.stop.clone()).await;
        if let Some(promise) = promised.get() {
            match &received {
                Ok(_) => self.node.accepted.keep(*promise),
                Err(_) => self.node.accepted.make(*promise),
            }
        }
        let summary = received?;
        let took = begun.get().unwrap_or(&from).elapsed();
        let _ = self.node.events.send(Event::Received { peer: self.peer, summary, took }).await;
        Ok(())
    }

    /// Has the person asked once the whole offer is there.
    fn question(
        &self,
        trust: Trust,
        words: KeyWords,
        watched: watch::Receiver<Progress>,
        (begun, promised): (Arc<OnceLock<Instant>>, Arc<OnceLock<Promise>>),
    ) -> Consent {
        let (node, peer, caps) = (self.node.clone(), self.peer.clone(), self.caps.clone());
        let (address, met) = (self.address.ip(), met(trust));
        Consent::Ask(Box::new(move |proposal: Proposal| {
            Box::pin(async move {
                let promise = Promise::of(peer.id(), proposal.transfer, &proposal.entries);
                if node.accepted.holds(promise) {
                    let _ = promised.set(promise);
                    let moving = Event::Moving { peer, way: Way::In, progress: watched };
                    let _ = node.events.send(moving).await;
                    return Verdict::Accept(node.inbox.clone());
                }
                // Only a whole offer takes a place among the questions.
                let Some(asking) = caps.question(peer.id(), address, met) else {
                    let reason = "too many questions are open there already, or were put in the last minute".into();
                    return Verdict::Decline { kind: FaultKind::Busy, reason };
                };
                let (answer, answered) = oneshot::channel();
                let offered = Offered {
                    peer: peer.clone(),
                    trust,
                    words,
                    entries: proposal.entries,
                    into: node.inbox.shown().display().to_string(),
                    answer,
                };
                let reply = ask(&node, Event::Offered(offered), answered).await;
                drop(asking);
                let decline = |kind, text: &str| Verdict::Decline { kind, reason: text.into() };
                match reply {
                    Some(Reply::Decline) => decline(FaultKind::Declined, "declined"),
                    None => decline(FaultKind::TimedOut, "nobody answered there"),
                    Some(reply) => {
                        let _ = begun.set(Instant::now());
                        let _ = promised.set(promise);
                        // At once: it may come again before the lost one has come to its end.
                        node.accepted.make(promise);
                        note_met(
                            &node,
                            &peer,
                            if reply == Reply::AcceptAndTrust { Some(Trust::Trusted) } else { None },
                        );
                        let moving = Event::Moving { peer, way: Way::In, progress: watched };
                        let _ = node.events.send(moving).await;
                        Verdict::Accept(node.inbox.clone())
                    }
                }
            })
        }))
    }

    async fn serve(self, session: Session, trust: Trust, paths: Vec<RelPath>) -> Result<(), FlowFault> {
        let served = self.caps.serving(self.peer.id(), self.address.ip(), met(trust));
        let source = match self.node.shares.admit(trust) {
            Ok(()) if served.is_none() => Err(busy()),
            Ok(()) => self.wanted(paths.clone()).await,
            Err(fault) => Err(fault),
        };
        let source = match source {
            Ok(source) => source,
            Err(fault) => return refuse(session, &Request::Pull(paths), fault).await,
        };
        self.first(trust, session.words.clone()).await;
        let (progress, watched) = watch::channel(Progress::default());
        self.moving(Way::Out, &watched).await;
        let begun = Instant::now();
        let outgoing = Outgoing::start(source, Manner { limit: self.node.limit.clone(), ..Manner::default() });
        let further = Further::Attach(self.node.underway.clone());
        let sent = send::send(session, outgoing, TransferId::new(), further, progress, self.stop.clone()).await;
        let sent = match sent {
            // Whoever pulls and then declines has only looked.
            Err(FlowFault::Declined { .. }) => return Ok(()),
            sent => sent?,
        };
        let took = begun.elapsed();
        let served = Event::Served { peer: self.peer, summary: sent.summary, passed: sent.passed, took };
        let _ = self.node.events.send(served).await;
        Ok(())
    }

    /// What is shared at these paths.
    async fn wanted(&self, paths: Vec<RelPath>) -> Result<Source, Fault> {
        if paths.len() > MAX_WANTED {
            return Err(Fault::protocol("too many paths at once"));
        }
        self.read(move |node| Ok(node.shares.source(&paths)?.withholding(&node.state.key_file()))).await
    }

    /// What a shared folder holds.
    async fn listing(&self, trust: Trust, path: Option<RelPath>) -> Result<Vec<Entry>, Fault> {
        self.node.shares.admit(trust)?;
        self.read(move |node| node.shares.list(path.as_ref())).await
    }

    /// Reads what is shared, on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Node) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let node = self.node.clone();
        let read = spawn_blocking(move || look(&node)).await;
        read.unwrap_or_else(|_| Err(Fault::new(FaultKind::Interrupted, "the node ends")))
    }

    async fn pair(self, session: Session, trust: Trust) -> Result<(), FlowFault> {
        let asking = self.caps.question(self.peer.id(), self.address.ip(), met(trust));
        if asking.is_none() || self.node.policy.person == Person::Absent {
            let fault = Fault::new(FaultKind::Declined, "nobody is at its terminal to compare the words");
            return refuse(session, &Request::Pair, fault).await;
        }
        let (answer, answered) = oneshot::channel();
        let words = session.words.clone();
        let event = Event::Pairing(PairingAsked { peer: self.peer.clone(), words, answer });
        let node = self.node.clone();
        let asked = async move {
            match ask(&node, event, answered).await {
                Some(Reply::Accept | Reply::AcceptAndTrust) => Agreement::Agreed,
                Some(Reply::Decline) => Agreement::Refused(Fault::new(FaultKind::Identity, "the words differ there")),
                None => Agreement::Refused(Fault::new(FaultKind::TimedOut, "nobody answered there")),
            }
        };
        let compared = pair::compare(session, asked).await?;
        if compared == (Compared { ours: Agreement::Agreed, theirs: Agreement::Agreed }) {
            note_met(&self.node, &self.peer, Some(Trust::Trusted));
        }
        let _ = self.node.events.send(Event::Paired { peer: self.peer, compared }).await;
        Ok(())
    }

    async fn moving(&self, way: Way, progress: &watch::Receiver<Progress>) {
        let moving = Event::Moving { peer: self.peer.clone(), way, progress: progress.clone() };
        let _ = self.node.events.send(moving).await;
    }

    /// Shows the key words where this is a first contact and no question shows them.
    async fn first(&self, trust: Trust, words: KeyWords) {
        if trust == Trust::Stranger {
            let _ = self.node.events.send(Event::Met { peer: self.peer.clone(), words }).await;
        }
    }

    fn met(&self) {
        note_met(&self.node, &self.peer, None);
    }
}

/// Puts a question to whoever watches the node; `None` where nobody answers.
async fn ask(node: &Node, question: Event, answered: oneshot::Receiver<Reply>) -> Option<Reply> {
    node.events.send(question).await.ok()?;
    timeout(PROMPT, answered).await.ok()?.ok()
}

/// Pins the peer's key to its name, and perhaps trusts it. The book failing does not fail what
/// was asked for; the next meeting is then another first one.
fn note_met(node: &Node, peer: &Peer, trust: Option<Trust>) {
    let _ = node.state.change_book(|book| {
        book.meet(peer.id(), peer.name.clone(), None, now());
        if let Some(trust) = trust {
            book.set_trust(peer.id(), peer.name.clone(), trust, now());
        }
    });
}
