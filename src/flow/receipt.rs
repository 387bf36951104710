//! The receipt: what a receiver signs, and how a sender checks it.
//!
//! The statement is SHA-256 over `ftx receipt v1\0`, the transfer's 16 bytes, and for each entry
//! in order: its path and its outcome as a postcard message, each after its length (big-endian
//! `u32`), and a 1 with the entry's digest where its bytes were sent and it is good, else a 0.

use sha2::{Digest, Sha256};

use crate::base::digest::EntryDigest;
use crate::base::id::TransferId;
use crate::base::manifest::{Entry, Outcome};
use crate::link::key::{Key, PublicKey};
use crate::wire::frame;
use crate::wire::message::Receipt;

const DOMAIN: &[u8] = b"ftx receipt signature v1\0";

/// The statement, entry by entry.
#[derive(Debug)]
pub(super) struct Statement {
    hasher: Sha256,
    /// What is hashed next.
    bytes: Vec<u8>,
}

impl Statement {
    pub(super) fn of(transfer: TransferId) -> Self {
        let hasher = Sha256::new_with_prefix(b"ftx receipt v1\0").chain_update(transfer.as_bytes());
        Self { hasher, bytes: Vec::new() }
    }

    pub(super) fn add(&mut self, entry: &Entry, outcome: &Outcome, digest: Option<EntryDigest>) {
        let (path, bytes) = (entry.path.as_str(), &mut self.bytes);
        bytes.clear();
        bytes.extend((path.len() as u32).to_be_bytes());
        bytes.extend_from_slice(path.as_bytes());
        // A length and a message are a frame; one that is too long for one would not have come, either.
        let _ = frame::encode(outcome, bytes);
        match digest.filter(|_| outcome.is_good()) {
            Some(digest) => {
                bytes.push(1);
                bytes.extend_from_slice(&digest.0);
            }
            None => bytes.push(0),
        }
        self.hasher.update(bytes);
    }

    pub(super) fn sign(self, key: &Key) -> Receipt {
        let statement: [u8; 32] = self.hasher.finalize().into();
        Receipt { statement, signature: key.sign(&[DOMAIN, &statement].concat()) }
    }

    /// Whether `receipt` says the same and `key`'s owner signed it.
    pub(super) fn confirmed_by(self, receipt: &Receipt, key: PublicKey) -> bool {
        let statement: [u8; 32] = self.hasher.finalize().into();
        statement == receipt.statement && key.signed(&[DOMAIN, &statement].concat(), &receipt.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::manifest::EntryKind;
    use crate::base::path::RelPath;

    #[test]
    fn a_receipt_binds_names_outcomes_digests_and_the_signer() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        let transfer = TransferId::new();
        let statement = |path: &str, outcome: &Outcome, digest| {
            let entry = Entry { path: RelPath::parse(path).unwrap(), kind: EntryKind::Stream };
            let mut statement = Statement::of(transfer);
            statement.add(&entry, outcome, Some(EntryDigest([digest; 32])));
            statement
        };
        let receipt = statement("a", &Outcome::Placed, 1).sign(&key);
        assert!(statement("a", &Outcome::Placed, 1).confirmed_by(&receipt, key.public()));
        assert!(!statement("a", &Outcome::Placed, 2).confirmed_by(&receipt, key.public()));
        assert!(!statement("a", &Outcome::Equal, 1).confirmed_by(&receipt, key.public()));
        assert!(!statement("b", &Outcome::Placed, 1).confirmed_by(&receipt, key.public()));
        assert!(!statement("a", &Outcome::Placed, 1).confirmed_by(&receipt, other.public()));
    }
}
