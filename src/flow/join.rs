//! Joining a hub: a device shows that it has a code or a password, the hub shows that it has the same, and
//! neither says it.

use tokio::io::{AsyncRead, AsyncWrite};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::fault::FlowFault;
use super::greet::{Greeted, Session};
use super::secret::{Password, Purpose, Salt, Side, Stretched, Terms, blocking, plain_code};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::PeerId;
use crate::base::path::Name;
use crate::wire::frame;
use crate::wire::hub::{Joining, Rank, Secret};
use crate::wire::limits::{GREETING, MAX_HELLO};
use crate::wire::message::Request;

/// What a device joins with.
pub struct Typed {
    /// The account to join.
    pub account: Option<Name>,
    /// What the secret is.
    pub by: Secret,
    /// A code or a password, as it was typed.
    pub secret: Zeroizing<String>,
    /// The account's password from now on.
    pub password: Option<Zeroizing<String>>,
}

/// A password as it is stretched: the same however the keyboard composes its letters.
fn plain_password(typed: &str) -> Zeroizing<String> {
    Zeroizing::new(typed.nfc().collect())
}

/// The password that somebody chose. Takes about 20 ms and blocks.
///
/// # Errors
/// Where the system gives no randomness, or memory is short.
pub fn new_password(typed: &str) -> Result<Password, Fault> {
    Password::new(&plain_password(typed))
}

/// Joins, as the device. Gives the account that it belongs to now, and what it may do, once the hub has
/// proven itself, too, and said that it is done.
///
/// # Errors
/// The hub's refusal as [`FlowFault::Theirs`]; [`FaultKind::Identity`] where it does not have the secret.
pub async fn join<S: AsyncRead + AsyncWrite>(greeted: Greeted<S>, typed: Typed) -> Result<(Name, Rank), FlowFault> {
    let Typed { account, by, secret, password } = typed;
    let mut session = greeted.ask(Request::Join { account: account.clone(), by }).await?;
    let salt = match session.reader.next_within(GREETING, MAX_HELLO).await? {
        Joining::Challenge { salt } => salt,
        Joining::Refused(fault) => return Err(FlowFault::Theirs(fault)),
        _ => return Err(FlowFault::unexpected("what the hub says")),
    };
    if by == Secret::Code && salt != Purpose::Join.salt(&session.exporter) {
        let fault = Fault::new(FaultKind::Identity, "the hub's salt is not the one of this session");
        return Err(FlowFault::Ours(fault));
    }
    let (secret, password) = blocking(move || {
        let secret = if by == Secret::Code { plain_code(&secret) } else { plain_password(&secret) };
        let stretched = Stretched::new(&secret, &salt)?;
        Ok((stretched, password.map(|typed| new_password(&typed)).transpose()?))
    })
    .await?;
    let terms = Terms::of(&session, Side::First, Purpose::Join, about(account.as_ref()));
    frame::write(&mut session.writer, &Joining::Proof(terms.first_proof(&secret))).await?;
    // A hub takes its time where others try, too.
    let (account, rank) = match session.reader.next().await? {
        Joining::Welcome { account, rank, proof } if terms.second_has(&secret, &proof) => (account, rank),
        Joining::Welcome { .. } => {
            let text = "the hub does not have the same code or password: it may be another one";
            return Err(FlowFault::Ours(Fault::new(FaultKind::Identity, text)));
        }
        Joining::Refused(fault) => return Err(FlowFault::Theirs(fault)),
        _ => return Err(FlowFault::unexpected("what the hub says")),
    };
    let last = password.map_or(Joining::Done, |password| Joining::Password {
        salt: password.salt,
        stretched: *password.stretched.as_bytes(),
    });
    frame::write(&mut session.writer, &last).await?;
    match session.reader.next().await? {
        Joining::Done => session.close().await,
        Joining::Refused(fault) => return Err(FlowFault::Theirs(fault)),
        _ => return Err(FlowFault::unexpected("what the hub says")),
    }
    Ok((account, rank))
}

/// What a secret is proven about beside the session: the account that the device asked for.
pub fn about(account: Option<&Name>) -> Vec<u8> {
    account.map_or_else(|| vec![0], |name| [&[1], name.as_str().as_bytes()].concat())
}

/// What opens, as the hub has it.
pub enum Lock {
    /// Any of these codes.
    Codes(Vec<Zeroizing<String>>),
    /// The password of the account; none where there is no such account, or it has no password.
    Password {
        /// Of the account, or one that nobody can tell from it.
        salt: Salt,
        /// The password.
        stretched: Option<Stretched>,
    },
}

/// A device that wants to join, and has answered the hub's challenge.
#[derive(Debug)]
pub struct Candidate<S> {
    session: Session<S>,
    terms: Terms,
    proof: [u8; 32],
}

/// A device's answer, to be checked against a [`Lock`] on a thread of its own.
#[derive(Debug)]
pub struct Key {
    terms: Terms,
    proof: [u8; 32],
}

/// What a device's answer has opened.
#[derive(Debug)]
pub struct Opened {
    /// Which of the codes, by its place.
    pub which: usize,
    stretched: Stretched,
}

/// A device that was welcomed, and has said everything.
#[derive(Debug)]
pub struct Welcomed<S> {
    session: Session<S>,
    /// What its account's password is to be.
    pub password: Option<Password>,
}

/// Challenges a device, as the hub, and hears what it answers.
///
/// # Errors
/// Where the device says nothing in time, or what has no place.
pub async fn challenge<S: AsyncRead + AsyncWrite>(
    mut session: Session<S>,
    account: Option<Name>,
    lock: &Lock,
) -> Result<Candidate<S>, FlowFault> {
    let salt = match lock {
        Lock::Codes(_) => Purpose::Join.salt(&session.exporter),
        Lock::Password { salt, .. } => *salt,
    };
    frame::write(&mut session.writer, &Joining::Challenge { salt }).await?;
    match session.reader.next_within(GREETING, MAX_HELLO).await? {
        Joining::Proof(proof) => {
            let terms = Terms::of(&session, Side::Second, Purpose::Join, about(account.as_ref()));
            Ok(Candidate { session, terms, proof })
        }
        _ => Err(FlowFault::unexpected("what the device says")),
    }
}

impl Key {
    /// What it opens; nothing, where it is wrong. Takes 20 ms for each code, and as long for those that come
    /// after the right one.
    ///
    /// # Errors
    /// Where memory is short.
    pub fn open(&self, lock: &Lock) -> Result<Option<Opened>, Fault> {
        let terms = &self.terms;
        match lock {
            Lock::Codes(codes) => {
                let mut opened = None;
                for (which, code) in codes.iter().enumerate() {
                    let stretched = terms.stretch(code)?;
                    if terms.first_has(&stretched, &self.proof) {
                        opened = Some(Opened { which, stretched });
                    }
                }
                Ok(opened)
            }
            Lock::Password { stretched, .. } => {
                let nobodys = Stretched::from_bytes([0; 32]);
                let right = terms.first_has(stretched.as_ref().unwrap_or(&nobodys), &self.proof);
                Ok(stretched.clone().filter(|_| right).map(|stretched| Opened { which: 0, stretched }))
            }
        }
    }
}

impl<S> Candidate<S> {
    /// What it answered.
    pub fn key(&self) -> Key {
        Key { terms: self.terms.clone(), proof: self.proof }
    }

    /// Who it is.
    pub fn device(&self) -> PeerId {
        self.terms.first.id()
    }
}

impl<S: AsyncRead + AsyncWrite> Candidate<S> {
    /// Tells it that it does not join.
    ///
    /// # Errors
    /// Where not even that reaches it.
    pub async fn refuse(self, fault: Fault) -> Result<(), FlowFault> {
        refuse(self.session, fault).await
    }

    /// Tells it which account it will belong to, with the hub's own proof, and hears its last word. Whatever
    /// happens until then, it has not joined.
    ///
    /// # Errors
    /// Where the device says nothing in time, or what has no place.
    pub async fn welcome(self, opened: &Opened, account: Name, rank: Rank) -> Result<Welcomed<S>, FlowFault> {
        let mut session = self.session;
        let proof = self.terms.second_proof(&opened.stretched);
        frame::write(&mut session.writer, &Joining::Welcome { account, rank, proof }).await?;
        let password = match session.reader.next_within(GREETING, MAX_HELLO).await? {
            Joining::Done => None,
            Joining::Password { salt, stretched } => {
                Some(Password { salt, stretched: Stretched::from_bytes(stretched) })
            }
            _ => return Err(FlowFault::unexpected("what the device says")),
        };
        Ok(Welcomed { session, password })
    }
}

impl<S: AsyncRead + AsyncWrite> Welcomed<S> {
    /// Tells it that it has joined.
    ///
    /// # Errors
    /// Where that does not reach it; it has joined nevertheless.
    pub async fn done(mut self) -> Result<(), FlowFault> {
        frame::write(&mut self.session.writer, &Joining::Done).await?;
        self.session.close().await;
        Ok(())
    }

    /// Tells it that it has not joined after all.
    ///
    /// # Errors
    /// Where not even that reaches it.
    pub async fn refuse(self, fault: Fault) -> Result<(), FlowFault> {
        refuse(self.session, fault).await
    }
}

/// Tells a device that wants to join that it does not.
///
/// # Errors
/// Where not even that reaches it.
pub async fn refuse<S: AsyncRead + AsyncWrite>(mut session: Session<S>, fault: Fault) -> Result<(), FlowFault> {
    frame::write(&mut session.writer, &Joining::Refused(fault)).await?;
    session.close().await;
    Ok(())
}

#[cfg(test)]
mod tests;
