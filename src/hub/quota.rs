//! How much may be kept: asked before the first byte of an upload.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Hub;
use super::space::Kind;
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::{Name, RelPath};

/// Bytes that uploads under way will take. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Reservations(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    number: u64,
    account: Option<Name>,
    space: String,
    bytes: u64,
}

/// Bytes that are set aside, until this is dropped.
#[derive(Debug)]
pub struct Reserved {
    reservations: Reservations,
    number: u64,
}

impl Reservations {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// So many of them are taken now and counted where they are; those that were not set aside here are
    /// given back.
    pub fn taken(&self, bytes: u64) -> u64 {
        let mut inner = self.reservations.lock();
        let Some(held) = inner.held.iter_mut().find(|held| held.number == self.number) else { return bytes };
        let here = held.bytes.min(bytes);
        held.bytes -= here;
        bytes - here
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.reservations.lock().held.retain(|held| held.number != self.number);
    }
}

/// What something that comes needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// Bytes more than now.
    pub bytes: u64,
    /// Bytes that the account, and the space, have less than before when it is there.
    pub freed: u64,
    /// The longest file, in bytes.
    pub largest: u64,
}

impl Hub {
    /// Whether a file may have so many bytes.
    pub(super) fn check_length(&self, length: u64) -> Result<(), Fault> {
        match self.register.read(|records| records.settings.largest_file).filter(|largest| length > *largest) {
            Some(largest) => {
                Err(refused(format!("a file of {} is too long: {} is the most", mib(length), mib(largest))))
            }
            None => Ok(()),
        }
    }

    /// Sets bytes aside for what comes to `to` and will be this account's, if it is not counted already. Blocks.
    ///
    /// # Errors
    /// Not permitted, with the numbers, where there is no room for it.
    pub(super) fn reserve(&self, account: Option<&Name>, to: &RelPath, need: Need) -> Result<Reserved, Fault> {
        self.check_length(need.largest)?;
        let (settings, quota, space, private) = self.register.read(|records| {
            let quota = account.map(|name| records.accounts.get(name).and_then(|account| account.quota));
            let space = records.spaces.iter().find(|(name, _)| name.as_str() == to.top());
            let settings = records.settings.clone();
            let quota = quota.and_then(|quota| quota.or(settings.account_quota));
            // Where nobody sees what others have, nobody learns how much that is.
            let private = space.is_some_and(|(_, space)| matches!(space.kind, Kind::People | Kind::Drop { .. }));
            (settings, quota, space.and_then(|(name, space)| Some((name.clone(), space.quota?))), private)
        });
        let used = match (account, quota) {
            (Some(account), Some(quota)) => Some((quota, self.catalogue.used_by(account)?)),
            _ => None,
        };
        let held = space.map(|(name, quota)| Ok((quota, self.catalogue.used_in(&name)?.0))).transpose()?;
        let free = self.store.free();
        let mut inner = self.reservations.lock();
        let pending =
            |ours: &dyn Fn(&Held) -> bool| inner.held.iter().filter(|h| ours(h)).map(|h| h.bytes).sum::<u64>();
        let whose = [
            (
                used,
                account.map_or_else(String::new, |account| format!("the account {account}")),
                pending(&|held| held.account.as_ref() == account),
                false,
            ),
            (held, format!("the space {}", to.top()), pending(&|held| held.space == to.top()), private),
        ];
        for (limit, whose, pending, private) in whose {
            let Some((quota, used)) = limit else { continue };
            let left = quota.saturating_sub((used + pending).saturating_sub(need.freed));
            if need.bytes > left {
                let needed = format!("{} more are needed", mib(need.bytes));
                return Err(refused(match private {
                    true => format!("{needed}, and fewer of {} are left to {whose}", mib(quota)),
                    false => format!("{needed}, {} of {} are left to {whose}", mib(left), mib(quota)),
                }));
            }
        }
        // What is there already only has another place.
        if let Some(free) = free.filter(|_| account.is_some()) {
            let left = free.saturating_sub(settings.reserve).saturating_sub(pending(&|_| true));
            if need.bytes > left {
                let text = format!(
                    "{} more are needed, {} are left on the disk there (of {} free, {} are never used)",
                    mib(need.bytes),
                    mib(left),
                    mib(free),
                    mib(settings.reserve)
                );
                return Err(refused(text));
            }
        }
        inner.next += 1;
        let number = inner.next;
        let (account, space) = (account.cloned(), to.top().to_owned());
        inner.held.push(Held { number, account, space, bytes: need.bytes });
        Ok(Reserved { reservations: self.reservations.clone(), number })
    }
}

fn refused(text: String) -> Fault {
    Fault::new(FaultKind::NotPermitted, text)
}

/// Bytes for people, rounded up.
fn mib(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}
