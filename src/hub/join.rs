//! A device that wants to join: challenged, counted, linked to its account, or told no.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use zeroize::Zeroizing;

use super::account::Member;
use super::linking::{Joiner, Shown, wrong};
use super::register::{Records, Register};
use super::tries::Tries;
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::Name;
use crate::flow::fault::FlowFault;
use crate::flow::greet::Session;
use crate::flow::join::{self, Candidate, Lock, Opened};
use crate::flow::secret::Password;
use crate::wire::hub::Secret;
use crate::wire::limits::IDLE;

/// How many devices' answers are checked at once: each takes a processor and 19 MiB for as many times 20 ms as
/// codes are open.
const AT_ONCE: usize = 2;

/// How long a wrong try waits for its answer at least, so that nobody learns from the time it takes what was
/// wrong with it.
const WRONG: Duration = Duration::from_secs(1);

/// Whether an account of this name, in any case of letters, would find files in place that are not its own.
pub type Taken = Arc<dyn Fn(&Name) -> bool + Send + Sync>;

/// Where devices join a hub. Clones are the same one.
#[derive(Clone)]
pub struct Gate {
    register: Register,
    tries: Tries,
    checking: Arc<Semaphore>,
    taken: Taken,
}

/// What a device asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The account.
    pub account: Option<Name>,
    /// By what it will show that it may.
    pub by: Secret,
    /// Where it is.
    pub address: IpAddr,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// The device belongs to an account.
    Joined {
        /// Which.
        member: Member,
        /// Whether it set the account's password.
        password: bool,
    },
    /// What it had was wrong.
    Wrong {
        /// How many codes were taken back, as too many have been wrong about them.
        burnt: usize,
    },
    /// It was wrong too often, and is to wait for so long.
    TooMany(Duration),
    /// What it had was right, and yet it does not join.
    Refused(Fault),
}

impl Admitted {
    /// Why a device has not joined, for a log.
    pub fn refused(&self) -> Option<Fault> {
        match self {
            Self::Joined { .. } => None,
            Self::Wrong { burnt: 0 } => Some(Fault::new(FaultKind::NotPermitted, "a wrong code or password")),
            Self::Wrong { burnt } => {
                let text =
                    format!("a wrong code; taken back, as it was the third about them: {burnt} that worked once");
                Some(Fault::new(FaultKind::NotPermitted, text))
            }
            Self::TooMany(wait) => Some(too_many(*wait)),
            Self::Refused(fault) => Some(fault.clone()),
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("tries", &self.tries).finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate to the accounts of this register.
    pub fn new(register: Register, taken: Taken) -> Self {
        Self { register, tries: Tries::default(), checking: Arc::new(Semaphore::new(AT_ONCE)), taken }
    }

    /// Lets a device join, or does not; it has been told when this returns. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Where the conversation broke off. If the last word did not reach the device it may have joined.
    pub async fn admit<S>(&self, session: Session<S>, asked: Asked, now: u64) -> Result<Admitted, FlowFault>
    where
        S: AsyncRead + AsyncWrite,
    {
        let joiner = Joiner { id: session.peer.id(), name: session.peer.name.clone(), account: asked.account.clone() };
        if let Some(wait) = self.tries.wait(asked.address, joiner.id, asked.account.as_ref()) {
            join::refuse(session, too_many(wait)).await?;
            return Ok(Admitted::TooMany(wait));
        }
        let (codes, lock) = self.register.read(|records| match asked.by {
            Secret::Code => codes(records, now),
            Secret::Password => (Vec::new(), self.password(records, asked.account.as_ref())),
        });
        let lock = Arc::new(lock);
        let candidate = join::challenge(session, asked.account.clone(), &lock).await?;
        let heard = Instant::now();
        match self.check(&candidate, &asked, &joiner, lock).await {
            Checked::Right(opened) => {
                let shown = match asked.by {
                    Secret::Code => Shown::Code(codes.get(opened.which).cloned().unwrap_or_default()),
                    Secret::Password => Shown::Password,
                };
                self.link(candidate, opened, joiner, shown, now).await
            }
            Checked::Wrong => {
                let burnt = if asked.by == Secret::Code { self.burn(now).await } else { 0 };
                sleep_until(heard + WRONG).await;
                candidate.refuse(wrong()).await?;
                Ok(Admitted::Wrong { burnt })
            }
            Checked::TooMany(wait) => {
                candidate.refuse(too_many(wait)).await?;
                Ok(Admitted::TooMany(wait))
            }
            Checked::Not(fault) => {
                candidate.refuse(fault.clone()).await?;
                Ok(Admitted::Refused(fault))
            }
        }
    }

    fn password(&self, records: &Records, account: Option<&Name>) -> Lock {
        let Some(name) = account else { return Lock::Password { salt: [0; 16], stretched: None } };
        match records.find(name).and_then(|(_, account)| account.password.as_ref()) {
            Some(Password { salt, stretched }) => Lock::Password { salt: *salt, stretched: Some(stretched.clone()) },
            None => Lock::Password { salt: self.register.salt_of_nobody(name), stretched: None },
        }
    }

    /// Checks what a device answered, when it is its turn. As the try is counted within that, no two can slip
    /// in where one more is allowed.
    async fn check<S>(&self, candidate: &Candidate<S>, asked: &Asked, joiner: &Joiner, lock: Arc<Lock>) -> Checked {
        // A device waits as long for its answer.
        let Ok(Ok(turn)) = timeout(IDLE / 2, self.checking.clone().acquire_owned()).await else {
            let text = "too many want to join just now; try again in a moment";
            return Checked::Not(Fault::new(FaultKind::Busy, text));
        };
        let begun = match self.tries.begin(asked.address, joiner.id, asked.account.as_ref()) {
            Ok(begun) => begun,
            Err(wait) => return Checked::TooMany(wait),
        };
        let key = candidate.key();
        let opened = on_a_thread(turn, move || key.open(&lock)).await;
        if !matches!(opened, Ok(None)) {
            self.tries.forgive(begun);
        }
        match opened {
            Ok(Some(opened)) => Checked::Right(opened),
            Ok(None) => Checked::Wrong,
            Err(fault) => Checked::Not(fault),
        }
    }

    /// Welcomes a device and links it, or tells it why not.
    async fn link<S: AsyncRead + AsyncWrite>(
        &self,
        candidate: Candidate<S>,
        opened: Opened,
        joiner: Joiner,
        shown: Shown,
        now: u64,
    ) -> Result<Admitted, FlowFault> {
        let (register, taken) = (self.register.clone(), self.taken.clone());
        let (who, what) = (joiner.clone(), shown.clone());
        let placed = blocking(move || register.read(|records| records.place(&who, &what, &*taken, now))).await;
        let member = match placed {
            Ok(member) => member,
            Err(fault) => {
                candidate.refuse(fault.clone()).await?;
                return Ok(Admitted::Refused(fault));
            }
        };
        let mut welcomed = candidate.welcome(&opened, member.account, member.rank).await?;
        let password = welcomed.password.take();
        let set = password.is_some();
        let (register, taken) = (self.register.clone(), self.taken.clone());
        let linked = blocking(move || register.change(|records| records.link(&joiner, &shown, password, &*taken, now)));
        match linked.await {
            Ok(member) => {
                // It has joined, whether it hears so or not.
                let _ = welcomed.done().await;
                Ok(Admitted::Joined { member, password: set })
            }
            Err(fault) => {
                welcomed.refuse(fault.clone()).await?;
                Ok(Admitted::Refused(fault))
            }
        }
    }

    /// Counts a wrong code, and takes those back that were meant too often; tells how many.
    async fn burn(&self, now: u64) -> usize {
        let once = self.register.read(|records| {
            records.open_codes(now).filter(|code| code.once).map(|code| code.words.clone()).collect::<Vec<_>>()
        });
        let burnt = self.tries.wrong_code(&once);
        if burnt.is_empty() {
            return 0;
        }
        let register = self.register.clone();
        let taken_back = blocking(move || {
            register.change(|records| {
                let before = records.codes.len();
                records.codes.retain(|code| !burnt.contains(&code.words));
                Ok(before - records.codes.len())
            })
        });
        // What the disk does not take is taken back with the next wrong try.
        taken_back.await.unwrap_or(0)
    }
}

/// What is to be said to a device's answer.
enum Checked {
    Right(Opened),
    Wrong,
    TooMany(Duration),
    Not(Fault),
}

/// The codes that are open, and a lock that any of them opens.
fn codes(records: &Records, now: u64) -> (Vec<Zeroizing<String>>, Lock) {
    let words: Vec<Zeroizing<String>> = records.open_codes(now).map(|code| code.words.clone()).collect();
    let lock = Lock::Codes(words.clone());
    (words, lock)
}

fn too_many(wait: Duration) -> Fault {
    let minutes = wait.as_secs().div_ceil(60).max(1);
    let (number, unit) = if minutes == 1 { ("a".to_owned(), "minute") } else { (minutes.to_string(), "minutes") };
    Fault::new(FaultKind::Busy, format!("too many wrong codes or passwords; try again in {number} {unit}"))
}

async fn on_a_thread<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    // The turn is over when the work is, whether anybody still waits for it or not.
    blocking(move || {
        let done = work();
        drop(turn);
        done
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    let gone = |_| Err(Fault::new(FaultKind::Interrupted, "the hub ends"));
    spawn_blocking(work).await.unwrap_or_else(gone)
}

#[cfg(test)]
mod tests;
