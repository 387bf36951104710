//! Bringing the catalogue together with the folder, which is the truth: at every start, after the
//! catalogue is lost, and where something was changed by hand. Everything here blocks.
//!
//! A row keeps its owner through a change by hand where the file is still the same one: under another
//! name (by inode, size and time), or another one of the same size and time, as out of a backup.

use std::collections::{HashMap, HashSet};

use super::catalogue::{Catalogue, Change, Pending, Row};
use super::space;
use super::store::{Held, Stat, Store};
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::{Name, PathFault, RelPath};
use crate::disk::source::Go;
use crate::wire::hub::{Version, VersionId};

/// Rows that are dealt with at once.
const PAGE: usize = 1000;

/// Something that was changed by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByHand {
    /// Something came.
    Appeared(RelPath),
    /// Something has other bytes now.
    Changed(RelPath),
    /// Something got another name.
    Renamed {
        /// Its name before.
        from: RelPath,
        /// Its name now.
        to: RelPath,
    },
    /// Something is gone.
    Vanished(RelPath),
    /// Something in this folder has a path that nobody can name: it is passed over.
    Unnameable(RelPath),
}

/// Brings catalogue and folder together.
pub struct Rebuild<'a> {
    /// What is brought up to date.
    pub catalogue: &'a Catalogue,
    /// What it is brought up to.
    pub store: &'a dyn Store,
    /// The spaces in which each has a folder of their own to hand in.
    pub drops: &'a [Name],
    /// Now, in seconds since 1970.
    pub now: u64,
    /// Since when the hub runs, in milliseconds since 1970: what is older is nobody's work under way.
    pub since: u64,
}

impl Rebuild<'_> {
    /// Looks at everything. Tells what it finds to have been changed by hand, and counts the files.
    ///
    /// # Errors
    /// Where the catalogue cannot be read or written; what cannot be read of the folder is left as it is.
    pub fn everything(&self, tell: &mut dyn FnMut(ByHand)) -> Result<u64, Fault> {
        let mut look = Look::new(self, tell);
        look.below(None)?;
        look.finish()
    }

    /// Looks at these paths, and at everything below them.
    ///
    /// # Errors
    /// As for [`Rebuild::everything`].
    pub fn paths(&self, paths: &[RelPath], tell: &mut dyn FnMut(ByHand)) -> Result<u64, Fault> {
        let mut look = Look::new(self, tell);
        let all: HashSet<&RelPath> = paths.iter().collect();
        let covered =
            |path: &RelPath| std::iter::successors(path.parent(), RelPath::parent).any(|above| all.contains(&above));
        for path in paths.iter().filter(|path| !covered(path)) {
            look.at(path)?;
        }
        look.finish()
    }

    /// Looks at everything once, as a hub starts: also at the kept versions. `left` are the uploads that
    /// were pending when the catalogue was opened; they end here.
    ///
    /// # Errors
    /// As for [`Rebuild::everything`].
    pub fn at_start(&self, left: &[Pending], tell: &mut dyn FnMut(ByHand)) -> Result<u64, Fault> {
        // The rows of what gave way still say whose it was.
        self.versions()?;
        let files = self.everything(tell)?;
        left.iter().try_for_each(|upload| self.catalogue.end(upload.transfer))?;
        Ok(files)
    }

    /// Registers the kept versions that are in no row, and forgets those that are not kept any more.
    ///
    /// # Errors
    /// As for [`Rebuild::everything`].
    pub fn versions(&self) -> Result<(), Fault> {
        let mut rows = HashMap::new();
        let mut last = None;
        loop {
            let page = self.catalogue.page_of_versions(last, PAGE as u32)?;
            let Some(version) = page.last() else { break };
            last = Some(version.id);
            rows.extend(page.into_iter().map(|version| (version.id, version)));
        }
        let (mut found, mut moved) = (Vec::new(), Vec::new());
        let mut noted = Ok(());
        self.store.versions(&mut |held| {
            let path = held.path.clone();
            match rows.remove(&held.id) {
                Some(row) if row.path == path => return Go::On,
                Some(row) => moved.push(Version { path, ..row }),
                None => match self.unregistered(&held) {
                    Ok(Some(version)) => found.push(version),
                    Ok(None) => noted = self.store.drop_version(&held.path, held.id),
                    Err(fault) => noted = Err(fault),
                },
            }
            if found.len() >= PAGE && noted.is_ok() {
                noted = self.catalogue.found_kept(std::mem::take(&mut found));
            }
            if noted.is_ok() { Go::On } else { Go::Stop }
        })?;
        noted?;
        self.catalogue.found_kept(found)?;
        self.catalogue.kept_all(moved)?;
        // Those that were moved meanwhile may have been passed over.
        let is_gone = |id: &VersionId| match self.catalogue.version(*id) {
            Ok(Some(now)) => matches!(self.store.stat_version(&now.path, *id), Ok(None)),
            _ => false,
        };
        self.catalogue.drop_versions(rows.into_keys().filter(is_gone).collect())
    }

    /// What is kept of a file that has another name now goes with it, if the same may see it there, unless
    /// something else has its name.
    fn follow(&self, from: &RelPath, to: &RelPath) -> Result<(), Fault> {
        if from.top() != to.top() || self.holder(from) != self.holder(to) {
            return Ok(());
        }
        let kept = self.catalogue.versions(from)?;
        if kept.is_empty() || self.store.stat(from)?.is_some() {
            return Ok(());
        }
        let moved = kept.into_iter().map(|version| Ok(Version { path: version.path.moved(from, to)?, ..version }));
        // Where one of them could not be named, all stay.
        let Ok(moved) = moved.collect::<Result<Vec<_>, PathFault>>() else { return Ok(()) };
        self.store.move_versions(from, to)?;
        self.catalogue.kept_all(moved)
    }

    /// What can be told of a version that is in no row. `None` where what it is of never gave way: the hub
    /// ended between keeping and replacing it.
    fn unregistered(&self, held: &Held) -> Result<Option<Version>, Fault> {
        let now = self.store.stat(&held.path).ok().flatten();
        let kept = made(held.id);
        if now.as_ref().is_some_and(|now| now.inode != 0 && now.inode == held.stat.inode) && kept < self.since {
            return Ok(None);
        }
        // Where it gave way just before the hub ended, there still is the row of what it was.
        let row = self.catalogue.row(&held.path)?.filter(|row| row.inode != 0 && row.fits(&held.stat));
        let (owner, digest) = row.map_or_else(|| (self.by_place(&held.path), None), |row| (row.owner, row.digest));
        let Held { id, path, stat: Stat { size, modified, .. } } = held.clone();
        let (kept, replaced) = (kept / 1000, now.is_some());
        Ok(Some(Version { id, path, size, modified, owner, kept, by: None, replaced, digest }))
    }

    /// Whose something is by where it is: what is in a person's own folder, or handed in.
    pub fn by_place(&self, path: &RelPath) -> Option<Name> {
        self.holder(path).filter(|_| path.depth() > 2).and_then(|folder| Name::parse(folder).ok())
    }

    /// Whose own folder a path is, or is in, in a space where everybody has one.
    fn holder<'p>(&self, path: &'p RelPath) -> Option<&'p str> {
        let top = path.top();
        let own = top == space::people().as_str() || self.drops.iter().any(|space| space.as_str() == top);
        path.components().nth(1).filter(|_| own)
    }
}

/// What is said of a folder with something in it that nobody can name.
pub(super) fn unnameable(folder: &RelPath) -> Fault {
    let text = "something put there by hand has a path that is too long or too deep: nobody sees it, or can fetch it";
    Fault::new(FaultKind::Disk, format!("{text}; its folder: {folder}"))
}

/// When a version was made, in milliseconds since 1970: its name says so.
fn made(id: VersionId) -> u64 {
    let time = id.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
    time.0 * 1000 + u64::from(time.1) / 1_000_000
}

/// Something that is not what its row says, or has none.
struct New {
    path: RelPath,
    stat: Stat,
    row: Option<Row>,
}

/// One look at the folder.
struct Look<'a, 't> {
    hub: &'a Rebuild<'a>,
    tell: &'t mut dyn FnMut(ByHand),
    new: Vec<New>,
    /// Rows whose files were not where they should be.
    missing: Vec<Row>,
    files: u64,
}

impl<'a, 't> Look<'a, 't> {
    fn new(hub: &'a Rebuild<'a>, tell: &'t mut dyn FnMut(ByHand)) -> Self {
        Self { hub, tell, new: Vec::new(), missing: Vec::new(), files: 0 }
    }

    /// Whatever is at a path.
    fn at(&mut self, path: &RelPath) -> Result<(), Fault> {
        let row = self.hub.catalogue.row(path)?;
        match self.hub.store.stat(path) {
            Ok(Some(stat)) if stat.is_folder() => {
                self.missing.extend(row);
                self.below(Some(path))
            }
            Ok(stat) => {
                match (stat, row) {
                    (Some(stat), row) => self.file(path.clone(), stat, row)?,
                    (None, row) => self.missing.extend(row),
                }
                self.unvisited(Some(path), &HashSet::new())
            }
            // What cannot be looked at is not gone.
            Err(_) => Ok(()),
        }
    }

    /// Everything in a folder. Of each folder the rows are read first: who records something meanwhile is
    /// then never taken for wrong.
    fn below(&mut self, top: Option<&RelPath>) -> Result<(), Fault> {
        let mut visited = HashSet::new();
        let mut folders = vec![top.cloned()];
        while let Some(folder) = folders.pop() {
            let mut rows = self.hub.catalogue.children(folder.as_ref())?;
            let children = match self.hub.store.list(folder.as_ref()) {
                Ok(children) => children,
                // Its rows are dealt with among those that were not met.
                Err(fault) if fault.kind == FaultKind::NotFound => continue,
                Err(_) => {
                    visited.insert(folder);
                    continue;
                }
            };
            let mut passed_over = None;
            for (name, stat) in children {
                let path = folder.as_ref().map_or_else(|| Ok(name.clone().into()), |folder| folder.join(&name));
                let Ok(path) = path else {
                    passed_over.clone_from(&folder);
                    continue;
                };
                if stat.is_folder() {
                    folders.push(Some(path));
                } else {
                    let row = rows.remove(&name).map(|(row, _)| row);
                    self.file(path, stat, row)?;
                }
            }
            if let Some(folder) = passed_over {
                (self.tell)(ByHand::Unnameable(folder));
            }
            self.missing.extend(rows.into_values().map(|(row, _)| row));
            visited.insert(folder);
        }
        self.unvisited(top, &visited)
    }

    /// The rows of folders that are not there.
    fn unvisited(&mut self, top: Option<&RelPath>, visited: &HashSet<Option<RelPath>>) -> Result<(), Fault> {
        let mut last = None;
        loop {
            let page = self.hub.catalogue.page(top, last.as_ref(), PAGE as u32)?;
            let Some(row) = page.last() else { return Ok(()) };
            last = Some(row.path.clone());
            self.missing.extend(page.into_iter().filter(|row| !visited.contains(&row.path.parent())));
        }
    }

    fn file(&mut self, path: RelPath, stat: Stat, row: Option<Row>) -> Result<(), Fault> {
        self.files += 1;
        if row.as_ref().is_none_or(|row| !row.fits(&stat)) {
            self.new.push(New { path, stat, row });
        }
        if self.new.len() >= PAGE { self.note() } else { Ok(()) }
    }

    /// Notes what is new.
    fn note(&mut self) -> Result<(), Fault> {
        if self.new.is_empty() {
            return Ok(());
        }
        let inodes = self.new.iter().map(|new| new.stat.inode).filter(|inode| *inode != 0).collect();
        let known = self.hub.catalogue.of_inodes(inodes)?;
        // Those of now: an upload is noted before anything of it is in place, so what was met just now, and came
        // with one, is found to be its own, also where the upload began after this look.
        let uploads = self.hub.catalogue.pending()?;
        let mut uploaded = HashSet::new();
        let mut changes = Vec::with_capacity(self.new.len());
        for new in std::mem::take(&mut self.new) {
            let upload = upload_of(&new, &uploads);
            if upload.is_some() {
                uploaded.insert(new.path.clone());
            }
            let before = known.get(&new.stat.inode).and_then(|rows| rows.iter().find(|row| self.has_left(row, &new)));
            changes.push(self.change(new, upload, before.cloned()));
        }
        self.reconcile(changes, &uploaded)
    }

    fn change(&self, new: New, upload: Option<Name>, before: Option<Row>) -> Change {
        let New { path, stat, row } = new;
        if let Some(from) = before {
            let to = Row { path, ..from.clone() };
            return Change::Moved { from, over: row, to };
        }
        let owner = self.hub.by_place(&path).or(upload);
        match row {
            // The same again: out of a backup, or sharing its bytes with another now.
            Some(row) if row.size == stat.size && row.modified == stat.modified => {
                let after = Row { inode: stat.inode, digest: None, sha256: None, ..row.clone() };
                Change::Became { before: row, after }
            }
            Some(row) => Change::Became { before: row, after: Row::of(path, &stat, owner, self.hub.now) },
            None => Change::Appeared(Row::of(path, &stat, owner, self.hub.now)),
        }
    }

    /// Whether this row speaks of the new file, which has left the row's place.
    fn has_left(&self, row: &Row, new: &New) -> bool {
        row.fits(&new.stat)
            && row.path != new.path
            && self.hub.store.stat(&row.path).is_ok_and(|now| now.is_none_or(|now| now.inode != row.inode))
    }

    fn reconcile(&mut self, changes: Vec<Change>, uploaded: &HashSet<RelPath>) -> Result<(), Fault> {
        for change in self.hub.catalogue.reconcile(changes)? {
            match change {
                Change::Appeared(row) if !uploaded.contains(&row.path) => (self.tell)(ByHand::Appeared(row.path)),
                Change::Became { before, after }
                    if (before.size, before.modified) != (after.size, after.modified)
                        && !uploaded.contains(&after.path) =>
                {
                    (self.tell)(ByHand::Changed(after.path));
                }
                Change::Appeared(_) | Change::Became { .. } => {}
                Change::Moved { from, to, .. } => {
                    self.hub.follow(&from.path, &to.path)?;
                    (self.tell)(ByHand::Renamed { from: from.path, to: to.path });
                }
                Change::Gone(row) => (self.tell)(ByHand::Vanished(row.path)),
            }
        }
        Ok(())
    }

    /// Forgets what is gone, once it is known what only has another name.
    fn finish(mut self) -> Result<u64, Fault> {
        self.note()?;
        let mut missing = std::mem::take(&mut self.missing).into_iter();
        loop {
            let page: Vec<Row> = missing.by_ref().take(PAGE).collect();
            if page.is_empty() {
                return Ok(self.files);
            }
            let gone = |row: &Row| matches!(self.hub.store.stat(&row.path), Ok(now) if now.as_ref().is_none_or(Stat::is_folder));
            let gone = page.into_iter().filter(gone).map(Change::Gone).collect();
            self.reconcile(gone, &HashSet::new())?;
        }
    }
}

/// Whose upload it came with; nobody's, where that cannot be told.
fn upload_of(new: &New, uploads: &[Pending]) -> Option<Name> {
    let arrived = u64::try_from(new.stat.arrived.seconds).unwrap_or(0);
    let brings = |upload: &&Pending| upload.brings(&new.path, new.stat.size, new.stat.modified);
    let mut may_be = uploads.iter().filter(|upload| arrived >= upload.since).filter(brings);
    let account = &may_be.next()?.account;
    may_be.all(|other| other.account == *account).then(|| account.clone())
}

#[cfg(test)]
mod tests;
