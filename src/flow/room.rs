//! Room in memory for manifests: so much for all offers of a node together, and far less for those of
//! strangers that nobody has said yes to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pages::Weighed;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::PeerId;
use crate::base::manifest::Entry;
use crate::wire::limits::{MAX_HELD, MAX_HELD_EACH, MAX_STRANGE, MAX_STRANGE_EACH, SMALL_OFFER};

/// What an entry takes beside its path and its target, until its transfer has ended: itself, its place among the
/// paths, and what is known of it.
const ENTRY: usize = 120;

/// The room of one node. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Rooms(Arc<Mutex<Taken>>);

/// The memory that these entries take.
pub(super) fn held(page: &[Entry]) -> usize {
    page.iter().map(|entry| ENTRY + entry.weight()).sum()
}

/// What is taken of it, in bytes.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    peers: HashMap<PeerId, usize>,
    /// Of what is all: what strangers have offered and nobody has decided on.
    strange: usize,
    addresses: HashMap<IpAddr, usize>,
}

/// What one offer takes, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    rooms: Rooms,
    peer: PeerId,
    /// Where a stranger is, until its offer is accepted.
    stranger: Option<IpAddr>,
    bytes: usize,
}

impl Rooms {
    /// Room for an offer of this peer; `stranger` is its address, where it has never been met.
    pub(super) fn enter(&self, peer: PeerId, stranger: Option<IpAddr>) -> Room {
        Room { rooms: self.clone(), peer, stranger, bytes: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Takes room for so many bytes more.
    ///
    /// # Errors
    /// Not permitted, where a stranger offers more than strangers may; busy, where others have taken what
    /// there is.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        let mut taken = self.rooms.lock();
        // What of it counts among the strangers' offers.
        let strange = self.strange_with(bytes) - self.strange_with(0);
        let own = taken.peers.get(&self.peer).copied().unwrap_or(0) + bytes;
        if let Some(address) = self.stranger {
            let there = taken.addresses.get(&address).copied().unwrap_or(0) + strange;
            if self.bytes + bytes > MAX_STRANGE_EACH {
                let text = "an offer of so many files is taken from known peers only; \
                            pack them into one, or push a few of them first";
                return Err(Fault::new(FaultKind::NotPermitted, text));
            }
            if strange > 0 && (there > MAX_STRANGE_EACH || taken.strange + strange > MAX_STRANGE) {
                return Err(busy());
            }
            taken.strange += strange;
            taken.addresses.insert(address, there);
        }
        if own > MAX_HELD_EACH || taken.all + bytes > MAX_HELD {
            taken.leave_strangers(self.stranger, strange);
            let too_many = "an offer of so many files at once is more than is taken there; push some of them first";
            let alone = self.bytes + bytes > MAX_HELD_EACH;
            return Err(if alone { Fault::new(FaultKind::NotPermitted, too_many) } else { busy() });
        }
        taken.all += bytes;
        taken.peers.insert(self.peer, own);
        self.bytes += bytes;
        Ok(())
    }

    /// How much of it would count among the strangers' offers, with so many bytes more.
    fn strange_with(&self, bytes: usize) -> usize {
        (self.bytes + bytes).saturating_sub(SMALL_OFFER)
    }

    /// The offer is accepted: whoever made it is no stranger in this any more.
    pub(super) fn accepted(&mut self) {
        let stranger = self.stranger.take();
        self.rooms.lock().leave_strangers(stranger, self.strange_with(0));
    }
}

impl Taken {
    fn leave_strangers(&mut self, stranger: Option<IpAddr>, bytes: usize) {
        if let Some(address) = stranger {
            self.strange -= bytes;
            give_back(&mut self.addresses, address, bytes);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.rooms.lock();
        taken.leave_strangers(self.stranger, self.strange_with(0));
        taken.all -= self.bytes;
        give_back(&mut taken.peers, self.peer, self.bytes);
    }
}

fn give_back<K: Eq + std::hash::Hash>(each: &mut HashMap<K, usize>, key: K, bytes: usize) {
    if let Some(taken) = each.get_mut(&key) {
        *taken -= bytes.min(*taken);
        if *taken == 0 {
            each.remove(&key);
        }
    }
}

fn busy() -> Fault {
    Fault::new(FaultKind::Busy, "too many offers wait there already")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 48 * 1024;

    fn peer(n: u8) -> PeerId {
        PeerId::of_public_key(&[n; 32])
    }

    fn at(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, n]))
    }

    /// Fills a room until it is refused more.
    fn fill(room: &mut Room) -> Fault {
        loop {
            if let Err(fault) = room.take(PAGE) {
                return fault;
            }
        }
    }

    #[test]
    fn strangers_have_little_each_and_together_and_known_peers_have_what_they_need() {
        let rooms = Rooms::default();
        let mut first = rooms.enter(peer(1), at(1));
        assert_eq!(fill(&mut first).kind, FaultKind::NotPermitted);
        assert!(first.bytes <= MAX_STRANGE_EACH);
        // With another key from the same machine there is nothing left.
        assert_eq!(fill(&mut rooms.enter(peer(2), at(1))).kind, FaultKind::Busy);
        let mut others: Vec<_> = (2..50).map(|n| rooms.enter(peer(n), at(n))).collect();
        for other in &mut others {
            fill(other);
        }
        assert!(rooms.lock().strange <= MAX_STRANGE);
        // Few files still have room.
        rooms.enter(peer(77), at(77)).take(SMALL_OFFER).unwrap();
        rooms.enter(peer(78), at(1)).take(SMALL_OFFER).unwrap();
        let mut known = rooms.enter(peer(99), None);
        for _ in 0..MAX_HELD_EACH / PAGE {
            known.take(PAGE).unwrap();
        }
        assert_eq!(fill(&mut known).kind, FaultKind::NotPermitted);
        drop((known, others));
        // Accepted, it may go on.
        first.accepted();
        for _ in 0..100 {
            first.take(PAGE).unwrap();
        }
        assert_eq!(rooms.lock().strange, 0);
        drop(first);
        let taken = rooms.lock();
        assert!(taken.all == 0 && taken.peers.is_empty() && taken.addresses.is_empty());
    }
}
