//! Transfers under way at a node: whoever has the ticket may attach further connections, and a
//! sender that dials again takes the place of its own lost connection.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::greet::Session;
use super::intake::Buffers;
use super::room::{Room, Rooms};
use super::stop::{Stop, Stopper};
use crate::base::id::{PeerId, TransferId};
use crate::wire::limits::KEEP_ALIVE;
use crate::wire::message::Ticket;

/// How long a sender may be silent before it is taken to be gone, if it comes again.
const SILENT: Duration = KEEP_ALIVE.saturating_add(Duration::from_secs(1));

/// How long the lost connection may take to end: a slow disk syncs what it has until then.
const ENDING: Duration = Duration::from_secs(10 * 60);

/// MiB that may wait to be written or sent, all transfers of a node together; each has one at least.
const WAITING: usize = 24;

/// With more transfers than this at once none gets further connections: they would only take from the others.
const MANY: usize = 8;

/// MiB that may wait of one transfer.
pub(super) const WAITING_EACH: usize = 3;

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// The transfers under way. Clones share them.
#[derive(Debug)]
pub struct Underway<S>(Arc<Shared<S>>);

#[derive(Debug)]
struct Shared<S> {
    transfers: Mutex<Vec<Transfer<S>>>,
    ended: Notify,
    buffers: Buffers,
    rooms: Rooms,
}

#[derive(Debug)]
struct Transfer<S> {
    which: Which,
    ticket: Ticket,
    lanes: mpsc::Sender<Session<S>>,
    replaced: Stopper,
    pulse: Pulse,
    moves: Moves,
}

/// What tells transfers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Which {
    /// With whom.
    pub(super) peer: PeerId,
    /// Its id; the same when it is dialled again.
    pub(super) transfer: TransferId,
    /// What stands for its outermost names.
    pub(super) set: [u8; 32],
}

impl Which {
    /// A transfer in which this side sends: it writes nowhere, so none is in another's way.
    pub(super) fn served(peer: PeerId, transfer: TransferId) -> Self {
        let mut set = [0; 32];
        set[..16].copy_from_slice(transfer.as_bytes());
        Self { peer, transfer, set }
    }
}

/// When the other side was last heard.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// It is heard now.
    pub(super) fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether it has not been heard for so long.
    pub(super) fn is_silent(&self, long: Duration) -> bool {
        self.last().elapsed() >= long
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a transfer has been accepted: others share memory and link with those only.
#[derive(Debug, Clone, Default)]
pub(super) struct Moves(Arc<AtomicBool>);

impl Moves {
    /// From now on it is.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A transfer's place among those under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<S> {
    shared: Arc<Shared<S>>,
    which: Which,
    pub(super) ticket: Ticket,
    pub(super) moves: Moves,
    /// Turned on when the same transfer comes again.
    pub(super) replaced: Stop,
}

impl<S> Clone for Underway<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Default for Underway<S> {
    fn default() -> Self {
        let (buffers, rooms) = (Buffers::default(), Rooms::default());
        Self(Arc::new(Shared { transfers: Mutex::default(), ended: Notify::new(), buffers, rooms }))
    }
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Vec<Transfer<S>>> {
        self.transfers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Underway<S> {
    /// Takes a place. A transfer of the same names from the same peer ends first, where this is the
    /// same one dialled again, or where nothing has been heard of it for [`SILENT`]; one that is alive
    /// goes on beside this one. Connections that attach go to `lanes`. `None` where the system gives no
    /// randomness.
    pub(super) async fn enter(&self, which: Which, pulse: Pulse, lanes: mpsc::Sender<Session<S>>) -> Option<Place<S>> {
        let begun = Instant::now();
        let mut ticket = Ticket([0; 16]);
        aws_lc_rs::rand::fill(&mut ticket.0).ok()?;
        let stopper = Stopper::new();
        let replaced = stopper.listen();
        let moves = Moves::default();
        let mut transfer = Some(Transfer { which, ticket, lanes, replaced: stopper, pulse, moves: moves.clone() });
        loop {
            {
                // Looked at and taken in one: two that wait do not both get in.
                let mut transfers = self.0.lock();
                if begun.elapsed() >= ENDING || !is_in_the_way(&transfers, which, begun) {
                    transfers.extend(transfer.take());
                    break;
                }
            }
            let _ = timeout(LOOK, self.0.ended.notified()).await;
        }
        Some(Place { shared: self.0.clone(), which, ticket, moves, replaced })
    }

    /// How many MiB one of the transfers may have waiting: few where there are many, so that all together
    /// take no more memory than [`WAITING`].
    pub(super) fn waiting(&self) -> usize {
        (WAITING / moving(&self.0.lock()).max(1)).clamp(1, WAITING_EACH)
    }

    /// Room for the manifest of one more offer; `stranger` is the address of a peer never met.
    pub(super) fn room(&self, peer: PeerId, stranger: Option<IpAddr>) -> Room {
        self.0.rooms.enter(peer, stranger)
    }

    /// Buffers that all of them use.
    pub(super) fn buffers(&self) -> Buffers {
        self.0.buffers.clone()
    }

    /// Attaches a connection to a transfer with this peer; gives it back where there is no such
    /// transfer, the ticket is another's, there are enough, or many transfers share the link.
    ///
    /// # Errors
    /// The connection.
    pub fn attach(&self, transfer: TransferId, ticket: Ticket, session: Session<S>) -> Result<(), Box<Session<S>>> {
        let transfers = self.0.lock();
        let peer = session.peer.id();
        let found = transfers.iter().find(|other| {
            let fits = aws_lc_rs::constant_time::verify_slices_are_equal(&other.ticket.0, &ticket.0).is_ok();
            other.which.peer == peer && other.which.transfer == transfer && fits
        });
        match found {
            Some(found) if moving(&transfers) <= MANY => {
                found.lanes.try_send(session).map_err(|refused| Box::new(refused.into_inner()))
            }
            _ => Err(Box::new(session)),
        }
    }
}

/// How many of the transfers have been accepted.
fn moving<S>(transfers: &[Transfer<S>]) -> usize {
    transfers.iter().filter(|transfer| transfer.moves.0.load(Ordering::Relaxed)).count()
}

/// Whether an earlier connection of this transfer has yet to end; tells it to.
fn is_in_the_way<S>(transfers: &[Transfer<S>], which: Which, begun: Instant) -> bool {
    let of_set = || transfers.iter().filter(|other| (other.which.peer, other.which.set) == (which.peer, which.set));
    // Its own first: another may be alive beside it.
    let own = of_set().find(|other| other.which == which);
    let Some(other) = own.or_else(|| of_set().next()) else { return false };
    let heard = other.pulse.last();
    if other.which.transfer == which.transfer || heard.elapsed() > SILENT {
        other.replaced.stop();
        return true;
    }
    heard <= begun
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        self.shared.lock().retain(|other| other.ticket != self.ticket || other.which != self.which);
        self.shared.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(transfer: TransferId) -> Which {
        Which { peer: PeerId::of_public_key(&[1; 32]), transfer, set: [7; 32] }
    }

    async fn enter(underway: Underway<()>, transfer: TransferId, pulse: Pulse) -> Place<()> {
        underway.enter(which(transfer), pulse, mpsc::channel(1).0).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_transfer_takes_the_place_of_its_lost_connection() {
        let (underway, transfer) = (Underway::default(), TransferId::new());
        let mut lost = enter(underway.clone(), transfer, Pulse::new()).await;
        let again = tokio::spawn(enter(underway, transfer, Pulse::new()));
        lost.replaced.stopped().await;
        assert!(!again.is_finished());
        drop(lost);
        again.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_ends_also_beside_another_transfer_that_is_alive() {
        let (underway, alive, transfer) = (Underway::default(), Pulse::new(), TransferId::new());
        let living = enter(underway.clone(), TransferId::new(), alive.clone()).await;
        let beside = tokio::spawn(enter(underway.clone(), transfer, Pulse::new()));
        tokio::time::sleep(LOOK).await;
        alive.beat();
        let mut lost = beside.await.unwrap();
        let again = tokio::spawn(enter(underway, transfer, Pulse::new()));
        lost.replaced.stopped().await;
        assert!(!living.replaced.is_stopped() && !again.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_served_waits_for_nothing_else_that_is_served() {
        let (underway, peer, begun) = (Underway::<()>::default(), PeerId::of_public_key(&[1; 32]), Instant::now());
        let mut places = Vec::new();
        for _ in 0..3 {
            let which = Which::served(peer, TransferId::new());
            places.push(underway.enter(which, Pulse::new(), mpsc::channel(1).0).await.unwrap());
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn offers_that_nobody_has_accepted_take_nothing_from_the_others() {
        let (underway, mut places) = (Underway::<()>::default(), Vec::new());
        for n in 0..2 * MANY {
            let which = Which::served(PeerId::of_public_key(&[1; 32]), TransferId::new());
            places.push(underway.enter(which, Pulse::new(), mpsc::channel(1).0).await.unwrap());
            assert_eq!((underway.waiting(), n < 2 * MANY), (WAITING_EACH, true));
        }
        places.iter().for_each(|place| place.moves.begin());
        assert!(underway.waiting() < WAITING_EACH);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_one_gives_way_and_a_living_one_does_not() {
        let underway = Underway::default();
        let mut silent = enter(underway.clone(), TransferId::new(), Pulse::new()).await;
        let pulse = Pulse::new();
        let again = tokio::spawn(enter(underway.clone(), TransferId::new(), pulse.clone()));
        silent.replaced.stopped().await;
        drop(silent);
        let living = again.await.unwrap();
        pulse.beat();
        let beside = tokio::spawn(enter(underway, TransferId::new(), Pulse::new()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        pulse.beat();
        beside.await.unwrap();
        assert!(!living.replaced.is_stopped());
    }
}
