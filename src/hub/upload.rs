//! What a member sends into a space: permitted, given room, and noted before the sender is told.

mod note;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use self::note::{News, came, has_owner, placed_at};
use super::Hub;
use super::account::Member;
use super::catalogue::{Pending, Top};
use super::event::{Event, Guest, Moved, NAMED};
use super::quota::{Need, Reserved};
use super::space::Deed;
use super::status::Way;
use super::store::Keep;
use crate::base::entries::Entries;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::EntryKind;
use crate::base::path::{Name, RelPath};
use crate::disk::keeper::Keeper;
use crate::disk::outcomes::Settled;
use crate::disk::root::{Conflict, Root};
use crate::node::serve::now;
use crate::wire::hub::Version;

/// Most outermost names of an upload that are noted when it begins.
const MAX_TOPS: usize = 1000;

/// One upload.
#[derive(Debug)]
pub(super) struct Upload {
    hub: Arc<Hub>,
    guest: Guest,
    member: Member,
    to: RelPath,
    accepted: OnceLock<Accepted>,
    /// What gave way so far and is not in the catalogue yet.
    kept: Mutex<Vec<Version>>,
    stage: Mutex<Stage>,
    /// Files that came so far, and their bytes.
    came: (AtomicU64, AtomicU64),
}

/// What is known of it once it is accepted.
#[derive(Debug)]
struct Accepted {
    transfer: TransferId,
    /// In seconds since 1970.
    since: u64,
    /// Its outermost names.
    tops: Vec<Top>,
    need: Need,
    /// What was offered, until it is known what of it is missing.
    offered: Mutex<Entries>,
    aside: Mutex<Aside>,
    /// The folder that it was accepted into, opened.
    into: Root,
}

/// What is set aside for it.
#[derive(Debug)]
struct Aside {
    /// First what it needs, then what it grows by.
    reserved: Vec<Reserved>,
    /// Bytes of these that are for what has no known length, and have not come.
    ahead: u64,
}

/// Bytes that are set aside at once for what has no known length.
const STRIDE: u64 = 64 << 20;

/// Whether what has the same size and time may have other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unlike {
    Never,
    Perhaps,
}

/// How far it is with putting things into place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Coming,
    /// What is in place is not all noted.
    Placing,
    Ended,
}

/// Entries that are looked at together.
const TOGETHER: usize = 1024;

impl Upload {
    pub(super) fn new(hub: Arc<Hub>, guest: Guest, member: Member, to: RelPath) -> Arc<Self> {
        let (accepted, kept, stage, came) = (OnceLock::new(), Mutex::default(), Mutex::default(), Default::default());
        Arc::new(Self { hub, guest, member, to, accepted, kept, stage, came })
    }

    /// Whether anything may be sent there at all.
    pub(super) fn permitted(hub: &Hub, member: &Member, to: &RelPath) -> Result<(), Fault> {
        hub.with_access(member, |access| access.may(Deed::Add, to, None))
    }

    /// Decides on a whole offer: where it goes, if it may. Blocks.
    pub(super) fn accept(self: &Arc<Self>, transfer: TransferId, entries: &Entries) -> Result<Root, Fault> {
        self.still_member()?;
        Self::permitted(&self.hub, &self.member, &self.to)?;
        let need = self.need(entries, Unlike::Never)?;
        let reserved = vec![self.hub.reserve(Some(&self.member.account), &self.to, need)?];
        let aside = Mutex::new(Aside { reserved, ahead: 0 });
        let offered = Mutex::new(entries.clone());
        let into = self.open()?;
        let root = into.clone().kept_by(self.clone());
        let _ = self.accepted.set(Accepted { transfer, since: now(), tops: tops(entries), need, offered, aside, into });
        Ok(root)
    }

    /// Opens the folder it goes to, which is made where it is missing.
    fn open(&self) -> Result<Root, Fault> {
        // What is above one that is made is not moved away meanwhile.
        let _turn = self.hub.store.stat(&self.to)?.is_none().then(|| self.hub.turn());
        self.hub.store.incoming(&self.to)
    }

    /// That what came may still be put into place: by whoever sends, where it was to go.
    fn still_permitted(&self) -> Result<(), Fault> {
        self.still_member()?;
        Self::permitted(&self.hub, &self.member, &self.to)?;
        match self.accepted.get() {
            Some(accepted) if !self.hub.store.is_at(&accepted.into, &self.to)? => {
                let text =
                    "was moved or removed while this was on its way, and nothing of it is in place; send it again";
                Err(Fault::new(FaultKind::NotPermitted, format!("{} {text}", self.to)))
            }
            _ => Ok(()),
        }
    }

    /// Whether whoever sends still is who they were when they came.
    fn still_member(&self) -> Result<(), Fault> {
        let now = self.hub.register.read(|records| records.member(&self.guest.id));
        if now.as_ref() == Some(&self.member) {
            return Ok(());
        }
        let text = format!("the account {} is another, or disabled, by now", self.member.account);
        Err(Fault::new(FaultKind::NotPermitted, text))
    }

    /// The folder it goes to, looked after.
    fn root(self: &Arc<Self>) -> Result<Root, Fault> {
        Ok(self.hub.store.incoming(&self.to)?.kept_by(self.clone()))
    }

    /// The same folder, for whoever only looks: nothing is made. `None` where it is not there yet.
    pub(super) fn looked_at(self: &Arc<Self>) -> Result<Option<Root>, Fault> {
        Self::permitted(&self.hub, &self.member, &self.to)?;
        self.hub.store.stat(&self.to)?.map(|_| self.root()).transpose()
    }

    /// Which transfer it is, once it is accepted.
    #[cfg(test)]
    pub(super) fn transfer(&self) -> Option<TransferId> {
        self.accepted.get().map(|accepted| accepted.transfer)
    }

    /// It has failed: what is in place of it nevertheless is found, and noted. Blocks.
    pub(super) fn give_up(&self) {
        if *lock(&self.stage) != Stage::Placing {
            return;
        }
        let _ = self.hub.catalogue.kept_all(std::mem::take(&mut *lock(&self.kept)));
        let hub = &self.hub;
        let found = hub.rebuild(|rebuild| rebuild.paths(std::slice::from_ref(&self.to), &mut |_| {}));
        if found.is_ok() {
            self.end();
        }
    }

    /// Sets more aside than it was known to need. `length` is that of the longest file.
    fn reserve(&self, accepted: &Accepted, bytes: u64, length: u64) -> Result<Reserved, Fault> {
        let need = Need { bytes, largest: length, ..accepted.need };
        self.hub.reserve(Some(&self.member.account), &self.to, need)
    }

    /// What is told of it as a whole when it ends; nothing, where each of its files was named.
    pub(super) fn whole(&self) -> Option<Event> {
        let (files, bytes) = (self.came.0.load(Ordering::Relaxed), self.came.1.load(Ordering::Relaxed));
        let (guest, path) = (self.guest.clone(), Some(self.to.clone()));
        (files > NAMED).then_some(Event::Whole { guest, way: Way::In, path, files, bytes })
    }

    /// What it needs, without what is there already.
    fn need(&self, entries: &Entries, unlike: Unlike) -> Result<Need, Fault> {
        let mut need = Need::default();
        let paths: Result<Vec<RelPath>, Fault> = entries.iter().map(|entry| self.full(&entry.path)).collect();
        let paths = paths?;
        let mut there = HashMap::new();
        for (place, (entry, path)) in entries.iter().zip(&paths).enumerate() {
            if place % TOGETHER == 0 {
                there = self.hub.store.stats(&paths[place..(place + TOGETHER).min(paths.len())])?;
            }
            let EntryKind::File { size, modified, .. } = entry.kind else { continue };
            need.largest = need.largest.max(size);
            match there.get(path).map(|stat| &stat.kind) {
                Some(EntryKind::File { size: there, modified: then, .. })
                    if unlike == Unlike::Never && *there == size && then.shows(modified) => {}
                Some(EntryKind::File { size: there, .. }) => {
                    need.bytes += size;
                    if self.conflict_at(path) == Conflict::Replace {
                        need.freed += *there;
                    }
                }
                _ => need.bytes += size,
            }
        }
        Ok(need)
    }

    /// The path from the hub's top.
    fn full(&self, path: &RelPath) -> Result<RelPath, Fault> {
        RelPath::parse(&format!("{}/{}", self.to.as_str(), path.as_str()))
            .map_err(|fault| Fault::new(FaultKind::NotPermitted, format!("{path}: {fault}")))
    }

    /// What may be changed gives way, and is kept; beside anything else the new one gets a number.
    fn conflict_at(&self, path: &RelPath) -> Conflict {
        let owner = || {
            let stat = self.hub.store.stat(path).ok()??;
            self.hub.owner(path, &stat).ok()?
        };
        let owner = owner();
        let may = self.hub.with_access(&self.member, |access| access.may(Deed::Change, path, owner.as_ref()));
        if may.is_ok() { Conflict::Replace } else { Conflict::Rename }
    }
}

impl Keeper for Upload {
    fn conflict(&self, path: &RelPath) -> Conflict {
        self.full(path).map_or(Conflict::Rename, |path| self.conflict_at(&path))
    }

    fn in_turn(&self, work: &mut dyn FnMut() -> Result<(), Fault>) -> Result<(), Fault> {
        let _turn = self.hub.turn();
        // What was right when it began need not be: the folder may be elsewhere now, under other rules.
        self.still_permitted().inspect_err(|_| self.end())?;
        work()
    }

    fn replace(&self, path: &RelPath, place: &mut dyn FnMut() -> io::Result<()>) -> Result<io::Result<()>, Fault> {
        let path = self.full(path)?;
        if self.conflict_at(&path) != Conflict::Replace {
            // Somebody else's has its place by now.
            return Ok(Err(io::ErrorKind::AlreadyExists.into()));
        }
        let by = self.member.account.clone();
        let version = self.hub.keep(&path, Some(by), Keep::Beside)?;
        let placed = place();
        match (&placed, version) {
            (Ok(()), Some(version)) => lock(&self.kept).push(version),
            (Err(_), Some(version)) => drop(self.hub.store.drop_version(&path, version.id)),
            (_, None) => {}
        }
        Ok(placed)
    }

    fn expect(&self, bytes: u64) -> Result<(), Fault> {
        let Some(accepted) = self.accepted.get() else { return Ok(()) };
        let offered = std::mem::take(&mut *lock(&accepted.offered));
        if bytes > accepted.need.bytes {
            // Bytes are compared, or something that was there is not there any more.
            let Need { freed, .. } = self.need(&offered, Unlike::Perhaps)?;
            let need = Need { bytes: bytes - accepted.need.bytes, freed, largest: 0 };
            let more = self.hub.reserve(Some(&self.member.account), &self.to, need)?;
            lock(&accepted.aside).reserved.push(more);
        }
        Ok(())
    }

    fn grow(&self, length: u64, more: u64) -> Result<(), Fault> {
        let Some(accepted) = self.accepted.get() else { return Ok(()) };
        self.hub.check_length(length)?;
        let mut aside = lock(&accepted.aside);
        if aside.ahead < more {
            let some = self.reserve(accepted, STRIDE, length).map(|reserved| (STRIDE, reserved));
            let (bytes, reserved) = match some {
                Ok(some) => some,
                Err(_) => (more, self.reserve(accepted, more, length)?),
            };
            aside.reserved.push(reserved);
            aside.ahead += bytes;
        }
        aside.ahead -= more;
        Ok(())
    }

    fn begin(&self) -> Result<(), Fault> {
        // Also what was begun in time is handed in too late after the deadline.
        self.still_permitted()?;
        if let Some(Accepted { transfer, since, tops, .. }) = self.accepted.get() {
            let (account, to) = (self.member.account.clone(), self.to.clone());
            self.hub.catalogue.begin(Pending {
                transfer: *transfer,
                account,
                to,
                since: *since,
                tops: tops.clone(),
            })?;
        }
        *lock(&self.stage) = Stage::Placing;
        Ok(())
    }

    fn settled(&self, pages: &[Vec<Settled>]) -> Result<(), Fault> {
        self.hub.catalogue.kept_all(std::mem::take(&mut *lock(&self.kept)))?;
        // While a page is being recorded, the files of the next are looked at.
        let (mut recording, mut unknown) = (None, Vec::new());
        for page in pages {
            let known = self.known(page)?;
            if let Some(recorded) = recording.take() {
                self.recorded(recorded)?;
            }
            let (mut came, mut news) = (0, Vec::new());
            for settled in page.iter().filter(|settled| has_owner(settled)) {
                let Some((row, what)) = self.row(settled, &known)? else {
                    unknown.extend(self.full(placed_at(settled)).ok().filter(|path| known.lacks(path)));
                    continue;
                };
                came += if what == News::Came { row.size } else { 0 };
                news.extend((what != News::Nothing).then_some(row));
            }
            recording = Some((self.hub.catalogue.begin_record(news)?, came));
        }
        recording.map_or(Ok(()), |recorded| self.recorded(recorded))?;
        // Put there by hand, or by an earlier try that could not be noted: then it is that one's.
        if unknown.is_empty() { Ok(()) } else { self.hub.look_at(&unknown) }
    }

    fn noted(&self, page: &[Settled]) -> Result<(), Fault> {
        self.hand_in(page)?;
        for settled in page.iter().filter(|settled| came(settled) && settled.entry.has_bytes()) {
            let Ok(path) = self.full(placed_at(settled)) else { continue };
            let (size, digest) = (settled.entry.size(), settled.digest);
            let nth = self.came.0.fetch_add(1, Ordering::Relaxed) + 1;
            self.came.1.fetch_add(size, Ordering::Relaxed);
            let file = Moved { guest: self.guest.clone(), path, size, digest };
            self.hub.activity.received(&file);
            if self.hub.events.names(nth) {
                self.hub.log(Event::Received(file));
            }
        }
        Ok(())
    }

    fn end(&self) {
        *lock(&self.stage) = Stage::Ended;
        if let Some(accepted) = self.accepted.get() {
            // Else it is found to be over when the hub starts the next time.
            let _ = self.hub.catalogue.end(accepted.transfer);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The outermost names of an offer; none where they are too many.
fn tops(entries: &Entries) -> Vec<Top> {
    let mut tops = BTreeMap::new();
    for entry in entries.iter() {
        let Some(name) = entry.path.components().next().and_then(|name| Name::parse(name).ok()) else { continue };
        let file = match entry.kind {
            EntryKind::File { size, modified, .. } if entry.path.depth() == 1 => Some((size, modified)),
            _ => None,
        };
        tops.insert(name, file);
        if tops.len() > MAX_TOPS {
            return Vec::new();
        }
    }
    tops.into_iter().map(|(name, file)| Top { name, file }).collect()
}
