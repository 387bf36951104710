//! What a member sends into a space: permitted, given room, and noted before the sender is told.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Hub;
use super::account::Member;
use super::catalogue::{Pending, Row};
use super::event::{Event, Guest, Moved, NAMED};
use super::quota::{Need, Reserved};
use super::space::{Deed, Kind, Whose};
use super::status::Way;
use super::store::Keep;
use crate::base::entries::Entries;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::{EntryKind, Outcome};
use crate::base::path::{Name, RelPath};
use crate::disk::keeper::Keeper;
use crate::disk::partial::Settled;
use crate::disk::root::{Conflict, Root};
use crate::node::serve::now;
use crate::wire::hub::{Version, VersionId};

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
    /// Files that came so far, and their bytes.
    came: (AtomicU64, AtomicU64),
}

/// What is known of it once it is accepted.
#[derive(Debug)]
struct Accepted {
    transfer: TransferId,
    reserved: Reserved,
    room: Option<u64>,
}

/// What is new of an entry that is in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// It came just now.
    Came,
    /// It was there, and something of it is known only now.
    Changed,
    /// Nothing.
    Nothing,
}

impl Upload {
    pub(super) fn new(hub: Arc<Hub>, guest: Guest, member: Member, to: RelPath) -> Arc<Self> {
        let (accepted, kept, came) = (OnceLock::new(), Mutex::default(), Default::default());
        Arc::new(Self { hub, guest, member, to, accepted, kept, came })
    }

    /// Whether anything may be sent there at all.
    pub(super) fn permitted(hub: &Hub, member: &Member, to: &RelPath) -> Result<(), Fault> {
        hub.with_access(member, |access| access.may(Deed::Add, to, None))
    }

    /// Decides on a whole offer: where it goes, if it may. Blocks.
    pub(super) fn accept(self: &Arc<Self>, transfer: TransferId, entries: &Entries) -> Result<Root, Fault> {
        Self::permitted(&self.hub, &self.member, &self.to)?;
        let need = self.need(entries)?;
        let (reserved, room) = self.hub.reserve(Some(&self.member.account), &self.to, need)?;
        let (account, to) = (self.member.account.clone(), self.to.clone());
        self.hub.catalogue.begin(Pending { transfer, account, to, since: now() })?;
        let _ = self.accepted.set(Accepted { transfer, reserved, room });
        self.root()
    }

    /// The folder it goes to, looked after.
    pub(super) fn root(self: &Arc<Self>) -> Result<Root, Fault> {
        Ok(self.hub.store.incoming(&self.to)?.kept_by(self.clone()))
    }

    /// It has come to its end: nothing of it waits to be noted.
    pub(super) fn end(&self) {
        if let Some(accepted) = self.accepted.get() {
            // Else it is found to be over when the hub starts the next time.
            let _ = self.hub.catalogue.end(accepted.transfer);
        }
    }

    /// What is told of it as a whole when it ends; nothing, where each of its files was named.
    pub(super) fn whole(&self) -> Option<Event> {
        let (files, bytes) = (self.came.0.load(Ordering::Relaxed), self.came.1.load(Ordering::Relaxed));
        let (guest, path) = (self.guest.clone(), Some(self.to.clone()));
        (files > NAMED).then_some(Event::Whole { guest, way: Way::In, path, files, bytes })
    }

    /// What it needs, without what is there already.
    fn need(&self, entries: &Entries) -> Result<Need, Fault> {
        let mut need = Need::default();
        for entry in entries.iter() {
            let EntryKind::File { size, modified, .. } = entry.kind else { continue };
            need.largest = need.largest.max(size);
            let path = self.full(&entry.path)?;
            match self.hub.store.stat(&path)?.map(|stat| stat.kind) {
                Some(EntryKind::File { size: there, modified: then, .. }) if there == size && then.shows(modified) => {}
                Some(EntryKind::File { size: there, .. }) => {
                    need.bytes += size;
                    if self.conflict_at(&path) == Conflict::Replace {
                        need.freed += there;
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

    /// What is to be known of an entry that is in place, and whether that is news; `None` where it is not
    /// there any more, or is not theirs.
    fn row(&self, settled: &Settled) -> Result<Option<(Row, News)>, Fault> {
        let placed = match &settled.outcome {
            Outcome::PlacedAs(path) => path,
            _ => &settled.entry.path,
        };
        let path = self.full(placed)?;
        let Some(stat) = self.hub.store.stat(&path)? else { return Ok(None) };
        let ours = match settled.entry.kind {
            EntryKind::File { size, modified, .. } => stat.size == size && stat.modified.shows(modified),
            _ => true,
        };
        if !ours {
            // Another came after it and took its place.
            return Ok(None);
        }
        let placed = matches!(settled.outcome, Outcome::Placed | Outcome::PlacedAs(_) | Outcome::Replaced);
        let mut fresh = Row::of(path, &stat, Some(self.member.account.clone()), now());
        fresh.digest = settled.digest;
        if placed {
            return Ok(Some((fresh, News::Came)));
        }
        // Equal to what was there: it is whose it was, perhaps with another time.
        Ok(match self.hub.catalogue.row(&fresh.path)? {
            Some(row) if row.fits(&stat) => Some((row, News::Nothing)),
            Some(row) if row.size == stat.size && row.inode == stat.inode => {
                Some((Row { modified: stat.modified, ..row }, News::Changed))
            }
            _ => {
                let mine = self.hub.with_access(&self.member, |access| access.whose(&fresh.path, None));
                (mine == Whose::Mine).then_some((fresh, News::Changed))
            }
        })
    }

    /// What is handed in gets the hub's signed word.
    fn hand_in(&self, rows: Vec<Row>) -> Result<(), Fault> {
        let kind = self.hub.with_access(&self.member, |access| access.kind(&self.to));
        let (Some(Kind::Drop { deadline }), Some(accepted)) = (kind, self.accepted.get()) else { return Ok(()) };
        self.hub.hand_in((&self.guest, &self.member), accepted.transfer, deadline, rows)
    }
}

impl Keeper for Upload {
    fn conflict(&self, path: &RelPath) -> Conflict {
        self.full(path).map_or(Conflict::Rename, |path| self.conflict_at(&path))
    }

    fn replace(&self, path: &RelPath, place: &mut dyn FnMut() -> io::Result<()>) -> Result<io::Result<()>, Fault> {
        let path = self.full(path)?;
        let _turn = self.hub.turn();
        let by = self.member.account.clone();
        let version = self.hub.keep(&path, Some(by), Keep::Beside)?;
        let placed = place();
        match (&placed, version) {
            (Ok(()), Some(version)) => self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(version),
            (Err(_), Some(version)) => drop(self.hub.store.drop_version(&path, version.id)),
            (_, None) => {}
        }
        Ok(placed)
    }

    fn room(&self) -> Option<u64> {
        self.accepted.get().and_then(|accepted| accepted.room)
    }

    fn settled(&self, page: &[Settled]) -> Result<(), Fault> {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rows = Vec::new();
        {
            let _turn = self.hub.turn();
            for settled in page.iter().filter(|settled| settled.outcome.is_good() && settled.entry.has_bytes()) {
                rows.extend(self.row(settled)?);
            }
            self.hub.catalogue.kept_all(kept)?;
            let news = rows.iter().filter(|(_, news)| *news != News::Nothing);
            self.hub.catalogue.record(news.map(|(row, _)| row.clone()).collect())?;
        }
        self.hand_in(rows.iter().map(|(row, _)| row.clone()).collect())?;
        rows.retain(|(_, news)| *news == News::Came);
        if let Some(accepted) = self.accepted.get() {
            accepted.reserved.taken(rows.iter().map(|(row, _)| row.size).sum());
        }
        for (Row { path, size, digest, .. }, _) in rows {
            let nth = self.came.0.fetch_add(1, Ordering::Relaxed) + 1;
            self.came.1.fetch_add(size, Ordering::Relaxed);
            let file = Moved { guest: self.guest.clone(), path, size, digest, nth };
            self.hub.activity.received(&file);
            self.hub.log(Event::Received(file));
        }
        Ok(())
    }
}

impl Hub {
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
}
