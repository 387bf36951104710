//! The node's own key, and the public keys of others (Ed25519, RFC 8032).

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::base::id::PeerId;

/// A key that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a private Ed25519 key in PKCS #8")]
pub struct KeyFault;

/// The node's private key. Never shown, never logged.
pub struct Key {
    pair: Ed25519KeyPair,
    /// Wiped when it is dropped, as the library does with its own copy.
    pkcs8: Zeroizing<Vec<u8>>,
}

impl Key {
    /// A fresh key.
    ///
    /// # Errors
    /// Where the system gives no randomness.
    pub fn generate() -> Result<Self, KeyFault> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyFault)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyFault)?.as_ref().to_vec();
        Ok(Self { pair, pkcs8: Zeroizing::new(pkcs8) })
    }

    /// The key that [`Key::to_pkcs8`] wrote (RFC 5958).
    ///
    /// # Errors
    /// Where the bytes are no such key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyFault> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyFault)?;
        Ok(Self { pair, pkcs8: Zeroizing::new(pkcs8.to_vec()) })
    }

    /// The key for its file.
    pub fn to_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs a message, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(of {})", self.public().id().short())
    }
}

/// A peer's public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublicKey(pub(crate) [u8; 32]);

/// What stands before the 32 bytes in a SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The y coordinates of the eight points of small order. Everybody can sign for a key that is one of them.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];

impl PublicKey {
    /// Takes 32 bytes as somebody's key; `None` for one that is nobody's alone: a point of small order,
    /// however it is written, or a coordinate that is not reduced (RFC 8032, section 5.1.3).
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        let mut y = bytes;
        // The other bit says which of two points with this coordinate it is.
        y[31] &= 0x7f;
        let reduced = y.iter().rev().lt(SMALL_ORDER[4].iter().rev());
        (reduced && !SMALL_ORDER.contains(&y)).then_some(Self(bytes))
    }

    /// Takes a SubjectPublicKeyInfo, as TLS carries it; `None` as for [`PublicKey::from_bytes`].
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        Self::from_bytes(der.strip_prefix(&SPKI_PREFIX)?.try_into().ok()?)
    }

    /// The key as a SubjectPublicKeyInfo.
    pub fn to_spki(self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }

    /// Whose key it is.
    pub fn id(&self) -> PeerId {
        PeerId::of_public_key(&self.0)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this key's owner signed the message.
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_signs() {
        let key = Key::generate().unwrap();
        let again = Key::from_pkcs8(key.to_pkcs8()).unwrap();
        assert_eq!(again.public(), key.public());
        let signature = key.sign(b"receipt");
        assert!(again.public().signed(b"receipt", &signature));
        assert!(!again.public().signed(b"receipts", &signature));
        assert_eq!(PublicKey::from_spki(&key.public().to_spki()), Some(key.public()));
        assert!(Key::from_pkcs8(b"nonsense").is_err());
    }

    #[test]
    fn a_key_that_everybody_can_sign_for_is_none() {
        let sign = |mut bytes: [u8; 32]| {
            bytes[31] |= 0x80;
            bytes
        };
        // Also as coordinates that are not reduced: 2^255 - 19 + n.
        let unreduced = (0..19).map(|n| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed + n, 0x7f);
            bytes
        });
        let refused: Vec<_> = SMALL_ORDER.into_iter().chain(unreduced).flat_map(|y| [y, sign(y)]).collect();
        assert_eq!(refused.len(), 2 * (5 + 19));
        for bytes in refused {
            assert!(PublicKey::from_bytes(bytes).is_none(), "{bytes:x?}");
            assert!(PublicKey::from_spki(&PublicKey(bytes).to_spki()).is_none(), "{bytes:x?}");
        }
        // That is what it is about: nobody has such a key, and yet this fits.
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(PublicKey(SMALL_ORDER[1]).signed(b"anything", &signature));
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let key = Key::generate().unwrap();
        assert!(format!("{key:?}").starts_with("Key(of "));
    }
}
