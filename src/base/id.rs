//! Who somebody is and which transfer is meant.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, Specification};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Who a peer is: SHA-256 of its Ed25519 public key, written in lower-case base32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// Characters of the whole id as text.
    pub const TEXT_LENGTH: usize = 52;
    /// Characters of the short id: 40 bits.
    pub const SHORT_LENGTH: usize = 8;

    /// The id that belongs to a public key (its 32 raw bytes).
    pub fn of_public_key(key: &[u8; 32]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The id as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first characters of the id, as shown in `alice-laptop~k7f3q2mz`.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(Self::SHORT_LENGTH);
        text
    }

    /// Whether the id starts with `prefix`, in either case.
    pub fn starts_with(&self, prefix: &str) -> bool {
        !prefix.is_empty() && self.to_string().starts_with(&prefix.to_ascii_lowercase())
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

/// A text that is no peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a peer id: 52 characters of a-z and 2-7 are expected")]
pub struct NotAPeerId;

impl FromStr for PeerId {
    type Err = NotAPeerId;

    fn from_str(text: &str) -> Result<Self, NotAPeerId> {
        let bytes = base32().decode(text.as_bytes()).map_err(|_| NotAPeerId)?;
        Ok(Self(bytes.try_into().map_err(|_| NotAPeerId)?))
    }
}

fn base32() -> data_encoding::Encoding {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.translate.from.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    spec.translate.to.push_str("abcdefghijklmnopqrstuvwxyz");
    spec.encoding().unwrap_or(BASE32_NOPAD)
}

/// What a node is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum Role {
    /// Somebody's machine.
    Peer,
    /// The class's repository.
    Hub,
}

/// A role that only later versions know is a peer to this one: `Hello` is frozen, roles are not.
impl From<u8> for Role {
    fn from(number: u8) -> Self {
        if number == 1 { Self::Hub } else { Self::Peer }
    }
}

impl From<Role> for u8 {
    fn from(role: Role) -> Self {
        role as Self
    }
}

impl Role {
    /// The word used in announcements and in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Hub => "hub",
        }
    }
}

/// Which transfer: a UUIDv7, made by whoever sends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TransferId(Uuid);

impl TransferId {
    /// A new id, ordered by time.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id that these bytes are.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id as bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl Default for TransferId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text_in_either_case() {
        let id = PeerId::of_public_key(&[7; 32]);
        let text = id.to_string();
        assert_eq!(text.len(), PeerId::TEXT_LENGTH);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_ascii_uppercase().parse(), Ok(id));
        assert_eq!(id.short().len(), PeerId::SHORT_LENGTH);
        assert!(id.starts_with(&id.short()));
        assert!(!id.starts_with(""));
    }

    #[test]
    fn other_text_is_no_id() {
        for text in ["", "alice", &"a".repeat(51), &"1".repeat(52)] {
            assert_eq!(text.parse::<PeerId>(), Err(NotAPeerId));
        }
    }
}
