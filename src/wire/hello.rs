//! The first message of either side. Frozen for ever: later versions read and write it as it is.

use serde::{Deserialize, Serialize};

use crate::base::id::Role;
use crate::base::text::PeerText;

/// What either side says first; see `man/ftx-protocol.7`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Always [`MAGIC`].
    pub magic: [u8; 4],
    /// Oldest protocol version spoken.
    pub oldest: u16,
    /// Newest protocol version spoken.
    pub newest: u16,
    /// Name and version of the software, for messages to people.
    pub software: PeerText,
    /// The node's own name.
    pub name: PeerText,
    /// Peer or hub.
    pub role: Role,
    /// From the side that dialled: SHA-256 of its nonce, a commitment. From the other: its nonce,
    /// which it tells only after it has the commitment.
    pub words: [u8; 32],
}

/// The first bytes of a `Hello`.
pub const MAGIC: [u8; 4] = *b"ftx\0";

/// The protocol version of this software.
pub const VERSION: u16 = 1;

/// The oldest version it can still speak.
pub const OLDEST: u16 = 1;

/// What this software calls itself.
pub const SOFTWARE: &str = concat!("ftx ", env!("CARGO_PKG_VERSION"));

impl Hello {
    /// Our own.
    pub fn ours(name: &str, role: Role, words: [u8; 32]) -> Self {
        Self {
            magic: MAGIC,
            oldest: OLDEST,
            newest: VERSION,
            software: SOFTWARE.into(),
            name: name.into(),
            role,
            words,
        }
    }

    /// The newest version that both sides speak.
    pub fn agree(&self) -> Option<u16> {
        let newest = self.newest.min(VERSION);
        (newest >= self.oldest.max(OLDEST)).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes may never change: every later version must read them.
    #[test]
    fn hello_is_frozen() {
        let hello = Hello { software: "ftx 0.1.0".into(), ..Hello::ours("alice", Role::Hub, [9; 32]) };
        let mut golden = b"ftx\0\x01\x01\x09ftx 0.1.0\x05alice\x01".to_vec();
        golden.extend([9; 32]);
        assert_eq!(postcard::to_allocvec(&hello).unwrap(), golden);
        assert_eq!(postcard::from_bytes::<Hello>(&golden).unwrap(), hello);
    }

    #[test]
    fn versions_agree_on_the_newest_both_speak() {
        let other = |oldest, newest| Hello { oldest, newest, ..Hello::ours("x", Role::Peer, [0; 32]) };
        assert_eq!(other(1, 9).agree(), Some(1));
        assert_eq!(other(2, 9).agree(), None);
        assert_eq!(other(0, 0).agree(), None);
    }
}
