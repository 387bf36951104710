//! Key words: four words that are the same on both screens if, and only if, nobody is in between.
//!
//! Both sides mix their nonces, their keys and a secret of the session. The side that dialled
//! commits to its nonce before it sees the other's, so that a man in the middle cannot try nonces
//! until both his sessions show the same words.

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use diceware_wordlists::EFF_LONG_WORDLIST;
use sha2::{Digest, Sha256};

use crate::link::key::PublicKey;

/// Four words of the EFF's long list: 51 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWords([&'static str; 4]);

impl fmt::Display for KeyWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// A number used once.
pub(super) type Nonce = [u8; 32];

/// A fresh nonce; `None` where the system gives no randomness.
pub(super) fn nonce() -> Option<Nonce> {
    let mut nonce = [0; 32];
    aws_lc_rs::rand::fill(&mut nonce).ok()?;
    Some(nonce)
}

/// What the side that dialled tells of its nonce at first.
pub(super) fn commitment(nonce: &Nonce) -> [u8; 32] {
    Sha256::new_with_prefix(b"ftx key words commitment v1\0").chain_update(nonce).finalize().into()
}

/// Both sides of a session, as the key words see them.
pub(super) struct Session<'a> {
    pub(super) exporter: &'a [u8; 32],
    pub(super) dialled: (PublicKey, &'a Nonce),
    pub(super) answered: (PublicKey, &'a Nonce),
}

impl Session<'_> {
    /// The words of this session (HKDF, RFC 5869, over the TLS exporter).
    pub(super) fn words(&self) -> Option<KeyWords> {
        let salt = [&self.dialled.1[..], &self.answered.1[..]].concat();
        let secret = Salt::new(HKDF_SHA256, &salt).extract(self.exporter);
        let info: [&[u8]; 3] = [b"ftx key words v1\0", self.dialled.0.as_bytes(), self.answered.0.as_bytes()];
        let mut bytes = [0; 32];
        secret.expand(&info, HKDF_SHA256).ok()?.fill(&mut bytes).ok()?;
        let mut number = u128::from_be_bytes(bytes[..16].try_into().ok()?);
        let count = EFF_LONG_WORDLIST.len() as u128;
        Some(KeyWords([(); 4].map(|()| {
            let word = EFF_LONG_WORDLIST[(number % count) as usize];
            number /= count;
            word
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::key::Key;

    #[test]
    fn the_words_depend_on_everything() {
        let (a, b) = (Key::generate().unwrap().public(), Key::generate().unwrap().public());
        let words = |exporter, a, n: [u8; 32], b, m: [u8; 32]| {
            Session { exporter: &exporter, dialled: (a, &n), answered: (b, &m) }.words().unwrap()
        };
        let base = words([0; 32], a, [1; 32], b, [2; 32]);
        assert_eq!(base, words([0; 32], a, [1; 32], b, [2; 32]));
        for other in [
            words([9; 32], a, [1; 32], b, [2; 32]),
            words([0; 32], b, [1; 32], a, [2; 32]),
            words([0; 32], a, [9; 32], b, [2; 32]),
            words([0; 32], a, [1; 32], b, [9; 32]),
        ] {
            assert_ne!(base, other);
        }
        assert_eq!(base.to_string().split(' ').count(), 4);
    }
}
