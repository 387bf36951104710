//! Whoever hands something over by a code: it listens as a node does, and does this one thing.
//!
//! Who connects and shows nothing learns nothing, and costs no try. A proof is counted as wrong before it is
//! looked at, one after the other; [`TRIES`] wrong ones burn the code. The first that is right is the only
//! taker from then on: it may come again until it has everything, and nobody else gets in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::spawn_blocking;

use super::accept::Server;
use super::caps::Caps;
use super::serve::now;
use crate::base::book::Trust;
use crate::base::event::Progress;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, TransferId};
use crate::disk::state::State;
use crate::flow::code::Code;
use crate::flow::fault::FlowFault;
use crate::flow::give::{Candidate, Guess, hear};
use crate::flow::greet::{Me, Peer, Proof, Session};
use crate::flow::lanes::Further;
use crate::flow::outgoing::Outgoing;
use crate::flow::refuse::refuse;
use crate::flow::secret::Stretched;
use crate::flow::send::{Sent, send};
use crate::flow::stop::{Stop, Stopper};
use crate::flow::underway::Underway;
use crate::link::tls::{Link, Stream, Tls};
use crate::wire::message::Request;

/// How many wrong codes burn the right one.
pub const TRIES: u8 = 3;

/// What happens at a giver.
#[derive(Debug)]
pub enum Happened {
    /// Somebody has shown the code, perhaps again: it goes to this peer and to nobody else.
    Taking {
        /// Who.
        peer: Peer,
        /// How far it is.
        progress: watch::Receiver<Progress>,
    },
    /// Somebody has shown a wrong code.
    Wrong {
        /// From where.
        address: SocketAddr,
        /// How many more wrong ones the code stands; none, if it is burnt.
        left: u8,
    },
    /// The taker was lost, or stopped; it may come again.
    Stopped {
        /// Who.
        peer: Peer,
        /// Why.
        fault: FlowFault,
    },
    /// The taker has everything, and its receipt was checked.
    Given {
        /// Who.
        peer: Peer,
        /// What.
        sent: Sent,
        /// How long it took.
        took: Duration,
    },
    /// The address book does not say that the taker is trusted.
    NotNoted(Fault),
}

/// Whoever hands something over.
#[derive(Debug)]
pub struct Giver {
    me: Me,
    tls: Tls,
    code: Code,
    outgoing: Arc<Outgoing>,
    state: Arc<State>,
    events: mpsc::Sender<Happened>,
    underway: Underway<Stream>,
    /// One proof is checked at a time.
    turn: Arc<Semaphore>,
    standing: Mutex<Standing>,
}

/// How things stand with the code.
#[derive(Debug, Default)]
struct Standing {
    /// Wrong proofs, and the one that is being looked at.
    wrong: u8,
    /// Who has shown the code.
    taker: Option<PeerId>,
    /// What ends the taker's last connection when it comes again, and how many it has had.
    sending: Option<Stopper>,
    connections: u32,
    /// Whether the taker has everything.
    done: bool,
}

/// What a proof was.
enum Checked {
    Right(Stretched),
    Wrong { left: u8 },
    Refused(Fault),
}

impl Giver {
    /// A giver of what is outgoing, to whoever shows the code.
    pub fn new(
        (me, tls): (Me, Tls),
        code: Code,
        outgoing: Arc<Outgoing>,
        state: Arc<State>,
        events: mpsc::Sender<Happened>,
    ) -> Self {
        let (underway, turn) = (Underway::default(), Arc::new(Semaphore::new(1)));
        Self { me, tls, code, outgoing, state, events, underway, turn, standing: Mutex::default() }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, happened: Happened) {
        let _ = self.events.send(happened).await;
    }

    /// Lets a taker have it, if it shows the code.
    async fn take(&self, session: Session<Stream>, address: SocketAddr, mut stop: Stop) -> Result<(), FlowFault> {
        let peer = session.peer.clone();
        let shown = async {
            if self.state.book().is_ok_and(|book| book.trust(&peer.id()) == Trust::Blocked) {
                let fault = Fault::new(FaultKind::Identity, "you are blocked there");
                refuse(session, &Request::Take, fault).await?;
                return Ok(None);
            }
            let candidate = hear(session).await?;
            match self.check(peer.id(), candidate.guess()).await {
                Checked::Right(stretched) => Ok(Some((candidate, stretched))),
                Checked::Refused(fault) => candidate.refuse(fault).await.map(|()| None),
                Checked::Wrong { left } => {
                    let told = candidate.wrong(left).await;
                    self.tell(Happened::Wrong { address, left }).await;
                    told.map(|()| None)
                }
            }
        };
        let shown = tokio::select! {
            shown = shown => shown?,
            () = stop.stopped() => return Ok(()),
        };
        match shown {
            Some((candidate, stretched)) => self.give(candidate, &stretched, peer, stop).await,
            None => Ok(()),
        }
    }

    /// Looks at a proof, when it is its turn.
    async fn check(&self, from: PeerId, guess: Guess) -> Checked {
        let Ok(turn) = self.turn.clone().acquire_owned().await else {
            return Checked::Refused(Fault::new(FaultKind::Busy, "too many try just now"));
        };
        if let Err(fault) = self.standing().begin(from) {
            return Checked::Refused(fault);
        }
        let code = self.code.clone();
        // The turn goes with it: who hangs up meanwhile makes no room for a second one.
        let looked = spawn_blocking(move || (guess.check(&code), turn)).await;
        let (checked, turn): (_, OwnedSemaphorePermit) = match looked {
            Ok(looked) => looked,
            Err(_) => return Checked::Refused(Fault::new(FaultKind::Other, "the program ends")),
        };
        let mut standing = self.standing();
        let checked = match checked {
            Ok(Some(stretched)) => {
                standing.right(from);
                Checked::Right(stretched)
            }
            Ok(None) => Checked::Wrong { left: standing.left() },
            Err(fault) => {
                standing.wrong -= 1;
                Checked::Refused(fault)
            }
        };
        drop((standing, turn));
        checked
    }

    /// Proves the code in return, and sends everything.
    async fn give(
        &self,
        candidate: Candidate<Stream>,
        stretched: &Stretched,
        peer: Peer,
        mut stop: Stop,
    ) -> Result<(), FlowFault> {
        let session = candidate.prove(stretched).await?;
        if let Err(fault) = note_trusted(&self.state, &peer, None) {
            self.tell(Happened::NotNoted(fault)).await;
        }
        let own = Stopper::new();
        let which = self.standing().again(&own);
        let (progress, watched) = watch::channel(Progress::default());
        self.tell(Happened::Taking { peer: peer.clone(), progress: watched }).await;
        let begun = Instant::now();
        let further = Further::Attach(self.underway.clone());
        let sending = send(session, self.outgoing.clone(), TransferId::new(), further, progress, own.listen());
        tokio::pin!(sending);
        let sent = tokio::select! {
            sent = &mut sending => sent,
            () = stop.stopped() => {
                own.stop();
                sending.await
            }
        };
        match sent {
            Ok(sent) => {
                self.standing().done = true;
                self.tell(Happened::Given { peer, sent, took: begun.elapsed() }).await;
            }
            // It has come again, and what became of this connection is nobody's business any more.
            Err(_) if self.standing().connections != which => {}
            Err(fault) => self.tell(Happened::Stopped { peer, fault }).await,
        }
        Ok(())
    }
}

impl Standing {
    /// How many more wrong codes the right one stands.
    fn left(&self) -> u8 {
        TRIES.saturating_sub(self.wrong)
    }

    /// Counts a proof, as a wrong one until it is known to be right.
    fn begin(&mut self, from: PeerId) -> Result<(), Fault> {
        let no = |text: &str| Err(Fault::new(FaultKind::NotPermitted, text));
        if self.left() == 0 {
            return no("that code is burnt: it was wrong too often");
        }
        if self.done || self.taker.is_some_and(|taker| taker != from) {
            return no("somebody else has that code, and it works once");
        }
        self.wrong += 1;
        Ok(())
    }

    /// The proof that was counted last is right, and from the only taker there will be.
    fn right(&mut self, from: PeerId) {
        self.wrong -= 1;
        self.taker = Some(from);
    }

    /// The taker begins, or has come again: its last connection ends. Gives the number of this one.
    fn again(&mut self, own: &Stopper) -> u32 {
        if let Some(last) = self.sending.replace(own.clone()) {
            last.stop();
        }
        self.connections += 1;
        self.connections
    }
}

/// Notes in the book that a peer has shown the code, and is trusted. Where the book knows another one of its
/// name, it stays out: the name would mean two from then on, and files for the one might go to the other.
///
/// # Errors
/// That, or the book failing; what is handed over does not depend on it.
pub fn note_trusted(state: &State, peer: &Peer, address: Option<SocketAddr>) -> Result<(), Fault> {
    let (id, name) = (peer.id(), peer.name.clone());
    let other = state.change_book(|book| {
        if let Some((other, _)) = book.impersonated(name.as_raw(), &id) {
            return Some(other);
        }
        book.meet(id, name.clone(), address, now());
        book.set_trust(id, name, Trust::Trusted, now());
        None
    })?;
    match other {
        None => Ok(()),
        Some(other) => {
            let (name, other, id) = (&peer.name, other.short(), id.short());
            let text =
                format!("another {name} is in your address book ({name}~{other}); {name}~{id} is not noted there");
            Err(Fault::new(FaultKind::Identity, text))
        }
    }
}

impl Server for Giver {
    fn tls(&self) -> &Tls {
        &self.tls
    }

    async fn hold(self: Arc<Self>, link: Link, _: Caps, mut stop: Stop) {
        let address = link.address;
        let proof = Proof { peer: link.peer, exporter: link.exporter };
        let greeted = tokio::select! {
            greeted = Session::answered(link.stream, proof, &self.me) => greeted,
            () = stop.stopped() => return,
        };
        // What goes wrong before the code is shown is told to nobody: it costs nothing and means nothing.
        let Ok((session, request)) = greeted else { return };
        match request {
            Request::Take => drop(self.take(session, address, stop).await),
            Request::Attach { transfer, ticket } => drop(self.underway.attach(transfer, ticket, session)),
            other => {
                let text = "that is no node: it only hands something over, and that by a code (ftx take)";
                drop(refuse(session, &other, Fault::new(FaultKind::NotPermitted, text)).await);
            }
        }
    }

    async fn closed(&self, _: SocketAddr, _: String) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::of_public_key(&[n; 32])
    }

    #[test]
    fn three_wrong_ones_burn_a_code_also_for_whoever_has_it() {
        let mut standing = Standing::default();
        for left in [2, 1, 0] {
            standing.begin(peer(left)).unwrap();
            assert_eq!(standing.left(), left);
        }
        assert_eq!(standing.begin(peer(9)).unwrap_err().kind, FaultKind::NotPermitted);
    }

    #[test]
    fn the_first_that_is_right_is_the_only_one_and_may_come_again() {
        let mut standing = Standing::default();
        standing.begin(peer(1)).unwrap();
        for _ in 0..9 {
            standing.begin(peer(2)).unwrap();
            standing.right(peer(2));
        }
        assert_eq!(standing.left(), 2, "what is right is not counted");
        assert!(standing.begin(peer(1)).is_err());
        standing.begin(peer(2)).unwrap();
        assert_eq!(standing.left(), 1, "its taker may be wrong, too");
        standing.done = true;
        assert!(standing.begin(peer(2)).is_err());
    }

    #[test]
    fn a_taker_that_comes_again_ends_its_last_connection() {
        let mut standing = Standing::default();
        let (one, two) = (Stopper::new(), Stopper::new());
        assert_eq!((standing.again(&one), standing.again(&two)), (1, 2));
        assert!(one.listen().is_stopped() && !two.listen().is_stopped());
    }
}
