//! The repository: accounts, spaces, what they hold, and who may do what with it.

pub mod account;
pub mod activity;
pub mod catalogue;
pub mod code;
pub mod control;
mod download;
pub mod event;
pub mod events;
mod hand_in;
pub mod hash;
pub mod join;
pub mod linking;
pub mod prune;
pub mod quota;
pub mod rebuild;
pub mod register;
pub mod serve;
pub mod space;
pub mod status;
pub mod store;
mod strangers;
pub mod tend;
pub mod tries;
pub mod turns;
mod upload;
mod verbs;
pub mod verify;
pub mod watch;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use self::account::Member;
use self::activity::Activity;
use self::catalogue::{Catalogue, Row};
use self::event::Event;
use self::events::Events;
use self::join::Gate;
use self::quota::Reservations;
use self::register::Register;
use self::space::{Access, Kind};
use self::store::{Keep, Stat, Store};
use self::strangers::Strangers;
use self::turns::Turns;
use crate::base::fault::Fault;
use crate::base::path::{Name, RelPath};
use crate::disk::fit::folded;
use crate::flow::greet::Me;
use crate::flow::limit::Limit;
use crate::flow::underway::Underway;
use crate::link::tls::{Stream, Tls};
use crate::node::serve::now;
use crate::wire::hub::{Version, VersionId};

/// A hub; shared by all its connections.
#[derive(Debug)]
pub struct Hub {
    /// Who it is.
    pub me: Me,
    /// How it proves that.
    pub tls: Tls,
    /// Accounts, devices, codes, spaces, limits.
    pub register: Register,
    /// What is known of each file.
    pub catalogue: Catalogue,
    /// The files.
    pub store: Arc<dyn Store>,
    /// What goes on.
    pub activity: Activity,
    /// Where devices join.
    pub gate: Gate,
    /// Transfers under way, to which further connections may attach.
    pub underway: Underway<Stream>,
    /// Bytes that uploads under way will take.
    pub reservations: Reservations,
    /// How fast bytes may move, in and out, all together.
    pub limit: Limit,
    /// Whoever keeps the log.
    pub events: Events,
    /// Those who come and have not joined.
    strangers: Strangers,
    /// At what takes long.
    turns: Turns,
    /// Since when it runs, in milliseconds since 1970.
    since: u64,
    /// Held while one file takes another's place, or goes.
    turn: Mutex<()>,
}

/// What a hub is made of.
#[derive(Debug)]
pub struct Parts {
    /// See [`Hub::me`].
    pub me: Me,
    /// See [`Hub::tls`].
    pub tls: Tls,
    /// See [`Hub::register`].
    pub register: Register,
    /// See [`Hub::catalogue`].
    pub catalogue: Catalogue,
    /// See [`Hub::store`].
    pub store: Arc<dyn Store>,
    /// See [`Hub::limit`].
    pub limit: Limit,
    /// See [`Hub::events`].
    pub events: Events,
}

impl Hub {
    /// Puts a hub together.
    pub fn new(parts: Parts) -> Self {
        let (store, catalogue, register) = (parts.store.clone(), parts.catalogue.clone(), parts.register.clone());
        let taken = Arc::new(move |account: &Name| is_taken(&*store, &catalogue, &register, account));
        Self {
            gate: Gate::new(parts.register.clone(), taken),
            me: parts.me,
            tls: parts.tls,
            register: parts.register,
            catalogue: parts.catalogue,
            store: parts.store,
            activity: Activity::default(),
            underway: Underway::default(),
            reservations: Reservations::default(),
            limit: parts.limit,
            events: parts.events,
            strangers: Strangers::default(),
            turns: Turns::default(),
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64),
            turn: Mutex::default(),
        }
    }

    /// Waits until nobody else changes which file has which name; nobody does while this is held.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the rules on behalf of an account.
    fn with_access<T>(&self, member: &Member, ask: impl FnOnce(&Access<'_>) -> T) -> T {
        self.register.read(|records| {
            let spaces = &records.spaces;
            ask(&Access { account: &member.account, rank: member.rank, spaces, now: now() })
        })
    }

    /// What the catalogue knows of a file, as long as it is the file that it knows.
    fn known(&self, path: &RelPath, stat: &Stat) -> Result<Option<Row>, Fault> {
        Ok(self.catalogue.row(path)?.filter(|row| row.fits(stat)))
    }

    /// Whose a file is that is there.
    fn owner(&self, path: &RelPath, stat: &Stat) -> Result<Option<Name>, Fault> {
        Ok(self.known(path, stat)?.and_then(|row| row.owner))
    }

    /// Keeps what is at a path as a version; `None` where nothing is there. To be called in one's turn.
    pub(super) fn keep(&self, path: &RelPath, by: Option<Name>, how: Keep) -> Result<Option<Version>, Fault> {
        let Some(stat) = self.store.stat(path)? else { return Ok(None) };
        let row = self.known(path, &stat)?;
        let id = VersionId::new();
        self.store.keep(path, id, how)?;
        let (size, modified) = (stat.size, stat.modified);
        let (owner, digest) = row.map_or((None, None), |row| (row.owner, row.digest));
        let replaced = how == Keep::Beside;
        Ok(Some(Version { id, path: path.clone(), size, modified, owner, kept: now(), by, replaced, digest }))
    }

    /// Tells whoever keeps the log, from a thread that may block.
    fn log(&self, event: Event) {
        self.events.tell_blocking(event);
    }
}

/// Whether something is, or was, this account's, in whatever spelling: files that nobody else is to find by
/// taking their name. What cannot be read counts as taken.
fn is_taken(store: &dyn Store, catalogue: &Catalogue, register: &Register, account: &Name) -> bool {
    let plain = folded(account.as_str());
    let own = |kind: &Kind| matches!(kind, Kind::People | Kind::Drop { .. });
    let spaces: Vec<RelPath> = register.read(|records| {
        let spaces = records.spaces.iter().filter(|(_, space)| own(&space.kind));
        spaces.map(|(name, _)| RelPath::from(name.clone())).collect()
    });
    let has_folder = |space: &RelPath| match store.stat(space) {
        Ok(None) => false,
        _ => store.list(Some(space)).map_or(true, |there| there.iter().any(|(name, _)| folded(name.as_str()) == plain)),
    };
    spaces.iter().any(has_folder)
        || catalogue.owners().map_or(true, |owners| owners.iter().any(|owner| folded(owner) == plain))
}
