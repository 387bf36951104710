//! How much one machine, and all together, may ask of a node at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::id::PeerId;

/// Connections at once, all together.
const CONNECTIONS: usize = 512;

/// Connections at once from one address.
const PER_ADDRESS: usize = 128;

/// Connections at once that have not proven who they are.
const UNPROVEN: usize = 64;

/// Questions to the person at once, all together.
const QUESTIONS: usize = 16;

/// Addresses whose nonsense is remembered, so that it is told once.
const REMEMBERED: usize = 1024;

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    unproven: usize,
    addresses: HashMap<IpAddr, usize>,
    asking: Vec<PeerId>,
    told: Vec<IpAddr>,
}

/// The counts of one node.
#[derive(Debug, Clone, Default)]
pub struct Caps(Arc<Mutex<Counts>>);

/// A connection that is counted, until it is dropped.
#[derive(Debug)]
pub struct Counted {
    caps: Caps,
    address: IpAddr,
    proven: bool,
}

/// A question that is counted, until it is dropped.
#[derive(Debug)]
pub struct Asking {
    caps: Caps,
    peer: PeerId,
}

impl Caps {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection; `None` where there are too many.
    pub fn connection(&self, address: IpAddr) -> Option<Counted> {
        let mut counts = self.lock();
        let from_there = counts.addresses.get(&address).copied().unwrap_or(0);
        if counts.all >= CONNECTIONS || counts.unproven >= UNPROVEN || from_there >= PER_ADDRESS {
            return None;
        }
        counts.all += 1;
        counts.unproven += 1;
        counts.addresses.insert(address, from_there + 1);
        Some(Counted { caps: self.clone(), address, proven: false })
    }

    /// Counts a question about a peer; `None` where one is open already, or there are too many.
    pub fn question(&self, peer: PeerId) -> Option<Asking> {
        let mut counts = self.lock();
        if counts.asking.len() >= QUESTIONS || counts.asking.contains(&peer) {
            return None;
        }
        counts.asking.push(peer);
        Some(Asking { caps: self.clone(), peer })
    }

    /// Whether nonsense from this address is to be told: only the first time.
    pub fn first_nonsense(&self, address: IpAddr) -> bool {
        let mut counts = self.lock();
        if counts.told.contains(&address) {
            return false;
        }
        if counts.told.len() >= REMEMBERED {
            counts.told.clear();
        }
        counts.told.push(address);
        true
    }
}

impl Counted {
    /// The connection has proven whose it is.
    pub fn proven(&mut self) {
        if !std::mem::replace(&mut self.proven, true) {
            self.caps.lock().unproven -= 1;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.proven();
        let mut counts = self.caps.lock();
        counts.all -= 1;
        if let Some(count) = counts.addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.addresses.remove(&self.address);
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.caps.lock().asking.retain(|peer| *peer != self.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_place_and_places_come_back() {
        let caps = Caps::default();
        let (greedy, honest) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut held = Vec::new();
        while let Some(mut one) = caps.connection(greedy) {
            one.proven();
            held.push(one);
        }
        assert_eq!(held.len(), PER_ADDRESS);
        assert!(caps.connection(honest).is_some());
        held.pop();
        assert!(caps.connection(greedy).is_some());
    }

    #[test]
    fn connections_that_prove_nothing_are_few() {
        let caps = Caps::default();
        let held: Vec<_> = (0..200u8).filter_map(|n| caps.connection(IpAddr::from([10, 0, 0, n]))).collect();
        assert_eq!(held.len(), UNPROVEN);
    }

    #[test]
    fn a_peer_asks_one_question_at_a_time() {
        let caps = Caps::default();
        let peer = PeerId::of_public_key(&[1; 32]);
        let asking = caps.question(peer);
        assert!(asking.is_some() && caps.question(peer).is_none());
        drop(asking);
        assert!(caps.question(peer).is_some());
    }

    #[test]
    fn nonsense_is_told_once() {
        let caps = Caps::default();
        assert!(caps.first_nonsense([1, 2, 3, 4].into()));
        assert!(!caps.first_nonsense([1, 2, 3, 4].into()));
    }
}
