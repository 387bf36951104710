//! The address book: who was met, under which name and key, and how far they are trusted.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::id::PeerId;
use super::text::PeerText;

/// How far a peer is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Refused always.
    Blocked,
    /// Never met.
    Stranger,
    /// Met once; its key is pinned to its name.
    Known,
    /// Its key words were compared; may be accepted without asking.
    Trusted,
}

impl Trust {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Stranger => "stranger",
            Self::Known => "known",
            Self::Trusted => "trusted",
        }
    }
}

/// What the book holds of one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquaintance {
    /// The name it had last.
    pub name: PeerText,
    /// How far it is trusted.
    pub trust: Trust,
    /// Where it was last, best first, at most [`Acquaintance::MAX_ADDRESSES`].
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
    /// When it was last seen, seconds since 1970.
    #[serde(default)]
    pub last_seen: u64,
}

impl Acquaintance {
    /// Most addresses kept of one peer.
    pub const MAX_ADDRESSES: usize = 8;
}

/// Everybody met so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    peers: BTreeMap<PeerId, Acquaintance>,
}

impl Book {
    /// Most peers that are noted because they were met; a person may add more.
    pub const MOST: usize = 2048;

    /// A book of these entries.
    pub fn new(peers: BTreeMap<PeerId, Acquaintance>) -> Self {
        Self { peers }
    }

    /// All entries.
    pub fn peers(&self) -> &BTreeMap<PeerId, Acquaintance> {
        &self.peers
    }

    /// The entry of a peer.
    pub fn find(&self, id: &PeerId) -> Option<&Acquaintance> {
        self.peers.get(id)
    }

    /// How far a peer is trusted.
    pub fn trust(&self, id: &PeerId) -> Trust {
        self.peers.get(id).map_or(Trust::Stranger, |peer| peer.trust)
    }

    /// Everybody in the book under this name.
    pub fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a PeerId, &'a Acquaintance)> {
        let name = fold(name);
        self.peers.iter().filter(move |(_, peer)| fold(peer.name.as_raw()) == name)
    }

    /// Somebody else whom the book knows under `name`, where it does not know `id` under that name: a
    /// stranger with a known peer's name, or a known peer that has taken on another's.
    pub fn impersonated(&self, name: &str, id: &PeerId) -> Option<(PeerId, &Acquaintance)> {
        // Two of one name are in the book where somebody has told them apart by their ids.
        if self.peers.get(id).is_some_and(|peer| fold(peer.name.as_raw()) == fold(name)) {
            return None;
        }
        self.named(name).find(|(_, peer)| peer.trust >= Trust::Known).map(|(id, peer)| (*id, peer))
    }

    /// Notes that a peer was met: its name, where if it can be reached there again, and when. A
    /// stranger becomes known, unless there are [`Book::MOST`] peers already: those who come with a new key
    /// each time push nobody out.
    pub fn meet(&mut self, id: PeerId, name: PeerText, address: Option<SocketAddr>, now: u64) {
        if self.peers.len() >= Self::MOST && !self.peers.contains_key(&id) {
            return;
        }
        let peer = self.peers.entry(id).or_insert_with(|| Acquaintance {
            name: name.clone(),
            trust: Trust::Known,
            addresses: Vec::new(),
            last_seen: now,
        });
        peer.name = name;
        peer.last_seen = now;
        if let Some(address) = address {
            peer.addresses.retain(|known| *known != address);
            peer.addresses.insert(0, address);
            peer.addresses.truncate(Acquaintance::MAX_ADDRESSES);
        }
    }

    /// Sets how far a peer is trusted; one not in the book yet is added under `name`.
    pub fn set_trust(&mut self, id: PeerId, name: PeerText, trust: Trust, now: u64) {
        self.peers.entry(id).and_modify(|peer| peer.trust = trust).or_insert(Acquaintance {
            name,
            trust,
            addresses: Vec::new(),
            last_seen: now,
        });
    }

    /// Strikes a peer out.
    pub fn forget(&mut self, id: &PeerId) -> Option<Acquaintance> {
        self.peers.remove(id)
    }
}

/// A name as it is compared: NFC, lower case.
pub fn fold(name: &str) -> String {
    name.nfc().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> PeerId {
        PeerId::of_public_key(&[n; 32])
    }

    fn book_with(name: &str, n: u8, trust: Trust) -> Book {
        let mut book = Book::default();
        book.set_trust(id(n), PeerText::from(name), trust, 1);
        book
    }

    #[test]
    fn a_stranger_with_a_known_peers_name_is_noticed() {
        let book = book_with("Alice-Laptop", 1, Trust::Known);
        assert_eq!(book.impersonated("alice-laptop", &id(2)).map(|(id, _)| id), Some(id(1)));
        assert!(book.impersonated("alice-laptop", &id(1)).is_none());
        assert!(book.impersonated("bob", &id(2)).is_none());
    }

    #[test]
    fn a_known_peer_that_takes_on_anothers_name_is_noticed_and_namesakes_told_apart_are_not() {
        let mut book = book_with("alice", 1, Trust::Known);
        book.meet(id(2), "mallory".into(), None, 2);
        assert_eq!(book.impersonated("ALICE", &id(2)).map(|(id, _)| id), Some(id(1)));
        assert!(book.impersonated("mallory-2", &id(2)).is_none(), "a new name is anybody's");
        book.meet(id(3), "alice".into(), None, 2);
        assert!(book.impersonated("alice", &id(3)).is_none() && book.impersonated("alice", &id(1)).is_none());
    }

    #[test]
    fn a_blocked_name_pins_nothing() {
        let book = book_with("alice", 1, Trust::Blocked);
        assert!(book.impersonated("alice", &id(2)).is_none());
    }

    #[test]
    fn meeting_again_keeps_the_trust_and_moves_the_address_to_the_front() {
        let mut book = book_with("alice", 1, Trust::Trusted);
        for port in 1..=20 {
            book.meet(id(1), "alice".into(), Some(SocketAddr::from(([10, 0, 0, 1], port))), u64::from(port));
        }
        let peer = book.find(&id(1)).unwrap();
        assert_eq!(peer.trust, Trust::Trusted);
        assert_eq!(peer.addresses.len(), Acquaintance::MAX_ADDRESSES);
        assert_eq!(peer.addresses[0].port(), 20);
    }

    #[test]
    fn strangers_without_number_do_not_fill_the_book_and_push_nobody_out() {
        let mut book = Book::default();
        let id = |n: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            PeerId::of_public_key(&key)
        };
        for n in 0..3000 {
            book.meet(id(n), "x".into(), None, u64::from(n));
        }
        assert_eq!(book.peers().len(), Book::MOST);
        assert_eq!((book.trust(&id(0)), book.trust(&id(2999))), (Trust::Known, Trust::Stranger));
        book.meet(id(0), "y".into(), None, 9999);
        assert_eq!(book.find(&id(0)).unwrap().last_seen, 9999);
        book.set_trust(id(2999), "x".into(), Trust::Trusted, 1);
        assert_eq!(book.trust(&id(2999)), Trust::Trusted);
    }
}
