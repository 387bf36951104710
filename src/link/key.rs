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

impl PublicKey {
    /// Takes a SubjectPublicKeyInfo, as TLS carries it.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        Some(Self(der.strip_prefix(&SPKI_PREFIX)?.try_into().ok()?))
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
    fn a_key_does_not_show_itself() {
        let key = Key::generate().unwrap();
        assert!(format!("{key:?}").starts_with("Key(of "));
    }
}
