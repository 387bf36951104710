//! What a device that has joined can have done. All of it blocks: call it from threads that may.

mod change;
mod keep;
mod look;
mod stand;

use std::sync::{Arc, Weak};

use super::Hub;
use super::account::Member;
use super::event::Guest;
use crate::base::fault::Fault;
use crate::base::path::RelPath;
use crate::flow::ask::Told;
use crate::wire::hub::Verb;

/// Somebody at the hub who wants something done.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) hub: Arc<Hub>,
    pub(super) guest: Guest,
    pub(super) member: Member,
    /// Somebody still waits for what is only to be looked at, as long as this can be upgraded.
    pub(super) waiting: Weak<()>,
}

impl Asking {
    /// Does it.
    ///
    /// # Errors
    /// Why it is not done.
    pub(super) fn answer(&self, verb: Verb) -> Result<Told, Fault> {
        match verb {
            Verb::Standing => self.standing(),
            Verb::Look { path, deep, sha256 } => self.look(path.as_ref(), deep, sha256),
            Verb::Find { text, below } => self.find(&text, below.as_ref()),
            Verb::Remove(paths) => self.remove(&paths),
            Verb::Move { from, to } => self.rename(&from, &to),
            Verb::MakeFolder(path) => self.make_folder(&path),
            Verb::Versions(path) => self.versions(&path),
            Verb::Restore { path, version } => self.restore(&path, version),
            Verb::Receipts(transfer) => self.receipts(transfer),
            Verb::Leave => self.leave(),
            Verb::SetPassword { salt, stretched } => self.set_password(salt, stretched),
        }
    }
}

/// Whether it may take long, or much memory.
pub(super) fn is_heavy(verb: &Verb) -> bool {
    match verb {
        Verb::Look { deep, sha256, .. } => *deep || *sha256,
        Verb::Find { .. } | Verb::Remove(_) | Verb::Move { .. } | Verb::Versions(_) | Verb::Restore { .. } => true,
        _ => false,
    }
}

/// What a verb is called on the command line, and what it is about, for the log.
pub(super) fn shown(verb: &Verb) -> (&'static str, Option<RelPath>) {
    match verb {
        Verb::Standing => ("standing", None),
        Verb::Look { path, .. } => ("ls", path.clone()),
        Verb::Find { below, .. } => ("find", below.clone()),
        Verb::Remove(paths) => ("rm", paths.first().cloned()),
        Verb::Move { from, .. } => ("mv", Some(from.clone())),
        Verb::MakeFolder(path) => ("mkdir", Some(path.clone())),
        Verb::Versions(path) => ("versions", Some(path.clone())),
        Verb::Restore { path, .. } => ("restore", Some(path.clone())),
        Verb::Receipts(_) => ("receipts", None),
        Verb::Leave => ("leave", None),
        Verb::SetPassword { .. } => ("password", None),
    }
}
