//! Secrets that people type, codes and passwords: stretched, and proven without being said.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::hmac;
use zeroize::{Zeroize, Zeroizing};

use super::fault::FlowFault;
use super::greet::Session;
use crate::base::fault::{Fault, FaultKind};
use crate::link::key::PublicKey;
use crate::link::tls::Exporter;

/// Memory of argon2id in KiB. With [`PASSES`] the least that OWASP advises: a guess costs 20 ms, and a hub
/// that checks two at once needs no more than 38 MiB for it.
const MEMORY: u32 = 19 * 1024;

/// Passes of argon2id over its memory.
const PASSES: u32 = 2;

/// Lanes of argon2id: the side that guesses has more processors than a hub.
const LANES: u32 = 1;

/// Bytes of a salt.
pub type Salt = [u8; 16];

/// Something typed, stretched with a salt; whoever has it can prove what was typed. Wiped when it is
/// dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Stretched(Zeroizing<[u8; 32]>);

/// A password as its hub keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    /// Of its own.
    pub salt: Salt,
    /// The password, stretched with it.
    pub stretched: Stretched,
}

/// Memory to stretch in, kept for the next time: where a class joins, threads that each take and give back
/// 19 MiB of their own leave the program ten times as large.
static MEMORY_KEPT: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// How much memory is kept, in pieces of [`MEMORY`].
const SPARE: usize = 2;

fn spare() -> MutexGuard<'static, Vec<Vec<Block>>> {
    MEMORY_KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stretched {
    /// Stretches (argon2id, RFC 9106). Takes about 20 ms and blocks.
    ///
    /// # Errors
    /// Where memory is short.
    pub fn new(typed: &str, salt: &Salt) -> Result<Self, Fault> {
        let failed = |error| Fault::new(FaultKind::Other, format!("stretching a secret: {error}"));
        let mut stretched = Zeroizing::new([0; 32]);
        let params = Params::new(MEMORY, PASSES, LANES, Some(stretched.len())).map_err(failed)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut memory = spare().pop().unwrap_or_else(|| vec![Block::new(); MEMORY as usize]);
        let done = argon2.hash_password_into_with_memory(typed.as_bytes(), salt, &mut *stretched, &mut memory);
        memory.iter_mut().zeroize();
        let mut spare = spare();
        if spare.len() < SPARE {
            spare.push(memory);
        }
        done.map_err(failed)?;
        Ok(Self(stretched))
    }

    /// What was kept or sent.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// For keeping and for sending; never for showing.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Stretched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stretched(…)")
    }
}

impl Password {
    /// A password with a salt of its own. Takes about 20 ms and blocks.
    ///
    /// # Errors
    /// Where the system gives no randomness, or memory is short.
    pub fn new(typed: &str) -> Result<Self, Fault> {
        let mut salt = Salt::default();
        random(&mut salt)?;
        Ok(Self { salt, stretched: Stretched::new(typed, &salt)? })
    }
}

/// Fills with random bytes.
///
/// # Errors
/// Where the system gives none.
pub fn random(bytes: &mut [u8]) -> Result<(), Fault> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| Fault::new(FaultKind::Other, "the system gives no randomness"))
}

/// A salt that only who has `key` can tell from a random one, and always the same for the same text.
pub fn keyed_salt(key: &[u8; 32], text: &[u8]) -> Salt {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let mut salt = Salt::default();
    salt.iter_mut().zip(tag.as_ref()).for_each(|(salt, byte)| *salt = *byte);
    salt
}

/// What a secret is proven for: nothing that is said for one purpose serves for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A device joins a hub; the device proves first.
    Join,
    /// Files are handed over; whoever takes them proves first.
    Give,
}

impl Purpose {
    /// What stands before whatever the first, and the second, side proves: neither side's proof can be sent
    /// back to it.
    fn sides(self) -> [&'static [u8]; 2] {
        match self {
            Self::Join => [b"ftx join device v1\0", b"ftx join hub v1\0"],
            Self::Give => [b"ftx give taker v1\0", b"ftx give giver v1\0"],
        }
    }

    /// The salt of a session, in which a code is proven: nothing that was stretched for one session serves
    /// in another.
    pub fn salt(self, exporter: &[u8; 32]) -> Salt {
        keyed_salt(
            exporter,
            match self {
                Self::Join => b"ftx join salt v1\0",
                Self::Give => b"ftx give salt v1\0",
            },
        )
    }
}

/// Which side of a session this is: the one that proves first, or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    First,
    Second,
}

/// What both sides prove about: this purpose, this session, these two keys, and what else it is about.
#[derive(Clone)]
pub struct Terms {
    /// What for.
    pub purpose: Purpose,
    /// The secret that only the two ends of the session have.
    pub exporter: Exporter,
    /// The key of the side that proves first.
    pub first: PublicKey,
    /// The key of the other.
    pub second: PublicKey,
    /// Whatever else both sides must agree on.
    pub about: Vec<u8>,
}

impl Terms {
    /// The terms of a session.
    pub(super) fn of<S>(session: &Session<S>, side: Side, purpose: Purpose, about: Vec<u8>) -> Self {
        let (own, other) = (session.me.key.public(), session.peer.key);
        let (first, second) = if side == Side::First { (own, other) } else { (other, own) };
        Self { purpose, exporter: session.exporter.clone(), first, second, about }
    }

    /// A code, as it was typed, stretched for this session. Takes about 20 ms and blocks.
    ///
    /// # Errors
    /// Where memory is short.
    pub fn stretch(&self, code: &str) -> Result<Stretched, Fault> {
        Stretched::new(&plain_code(code), &self.purpose.salt(&self.exporter))
    }

    /// What the first side says to prove that it has the secret.
    pub fn first_proof(&self, secret: &Stretched) -> [u8; 32] {
        self.proof(Side::First, secret)
    }

    /// What the second side says to prove that it has the secret.
    pub fn second_proof(&self, secret: &Stretched) -> [u8; 32] {
        self.proof(Side::Second, secret)
    }

    /// Whether the first side has the secret. Takes the same time whatever is wrong.
    pub fn first_has(&self, secret: &Stretched, proof: &[u8; 32]) -> bool {
        hmac::verify(&key(secret), &self.said(Side::First), proof).is_ok()
    }

    /// Whether the second side has the secret.
    pub fn second_has(&self, secret: &Stretched, proof: &[u8; 32]) -> bool {
        hmac::verify(&key(secret), &self.said(Side::Second), proof).is_ok()
    }

    fn proof(&self, side: Side, secret: &Stretched) -> [u8; 32] {
        let tag = hmac::sign(&key(secret), &self.said(side));
        let mut proof = [0; 32];
        proof.iter_mut().zip(tag.as_ref()).for_each(|(proof, byte)| *proof = *byte);
        proof
    }

    /// The bytes that are proven about. Everything but the last has a fixed length.
    fn said(&self, side: Side) -> Vec<u8> {
        let [first, second] = self.purpose.sides();
        let side = if side == Side::First { first } else { second };
        [side, &*self.exporter, self.first.as_bytes(), self.second.as_bytes(), &self.about].concat()
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

/// Does what takes long on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, FlowFault> {
    let gone = |_| FlowFault::Ours(Fault::new(FaultKind::Interrupted, "the program ends"));
    tokio::task::spawn_blocking(work).await.map_err(gone)?.map_err(FlowFault::Ours)
}

fn key(secret: &Stretched) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &*secret.0)
}

/// A code as it is compared: its letters, in lower case. However it was typed or said, it is the same one.
pub fn plain_code(typed: &str) -> Zeroizing<String> {
    Zeroizing::new(typed.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect())
}
