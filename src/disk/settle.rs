//! Putting what is staged into place: synced, then renamed; over something only where the owner of
//! the folder chose so.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, DirEntry};

mod staged;

use self::staged::{date_folders, longest_in, named, prune, sync_folders};
use super::MOST_NUMBERS;
use super::fit::{self, Case};
use super::mode::is_executable;
use super::place::{equal, gives_way, is_taken, make_alike};
use super::root::{Conflict, Folders, Missing, Root, read_nofollow, sync_folder};
use super::slots::{Slot, Slots};
use super::staging::Area;
use super::tree::rename_without_replacing;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::{EntryKind, Outcome, Stamp};
use crate::base::path::{Name, RelPath};

/// Why something gets no number.
const LONG: &str = "with a number its path would be too long";

/// Up to this many files are synced one by one; more, together with their file system.
const SYNC_SINGLY: usize = 16;

/// Whether staging may hold more than what is complete now: parts of what failed, or files of an
/// earlier try that are not offered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// It cannot.
    None,
    /// It may; they are removed first. Perhaps an earlier try has put something into place and not come as far
    /// as to sync the folder: each is, also those to which nothing is added.
    Possible,
}

/// What became of something that was to move.
enum Put {
    /// It moved, or was dealt with otherwise.
    Done,
    /// It and what has its name are folders.
    Meets(Dir, Dir),
}

/// One settling.
#[derive(Debug)]
pub(super) struct Settling {
    root: Root,
    case: Case,
    /// Whether new folders are still to be synced when they move into place.
    unsynced_folders: bool,
    leftovers: Leftovers,
    /// What did not simply get its own name, by the key of its path in staging: the file system may
    /// spell it otherwise than we did.
    exceptions: BTreeMap<String, Outcome>,
    refused: bool,
    shown: String,
}

impl Settling {
    pub(super) fn new(root: &Root, case: Case, leftovers: Leftovers) -> Self {
        Self {
            root: root.clone(),
            case,
            unsynced_folders: true,
            leftovers,
            exceptions: BTreeMap::new(),
            refused: false,
            shown: root.shown().display().to_string(),
        }
    }

    /// The folder that it goes into.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// Has everything complete and on the disk, in staging.
    pub(super) fn prepare(&mut self, slots: &Slots, area: &Area) -> Result<(), Fault> {
        let data = area.data().map_err(|e| self.fault(&e))?;
        if self.leftovers == Leftovers::Possible {
            let good = slots.iter().filter(|slot| slot.is_staged());
            let mut good: Vec<_> = good.map(|slot| fit::key(self.case, slot.local())).collect();
            good.sort_unstable();
            prune(&data, None, self.case, &good).map_err(|e| self.fault(&e))?;
        }
        self.plain(slots, &data).map_err(|e| self.fault(&e))?;
        date_folders(slots, &data);
        self.sync(slots, area, &data).map_err(|e| self.fault(&e))
    }

    /// Puts everything into place. What became of each entry is then known: [`Settling::outcome_of`].
    pub(super) fn place(&mut self, area: &Area) -> Result<(), Fault> {
        let (data, root) = (area.data().map_err(|e| self.fault(&e))?, self.root.dir().clone());
        self.merge(&data, &root, None)
    }

    /// Whether something was not taken where it should go, and still waits in staging.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    fn fault(&self, error: &io::Error) -> Fault {
        self.fault_at(None, error)
    }

    fn fault_at(&self, path: Option<&RelPath>, error: &io::Error) -> Fault {
        match path {
            Some(path) => Fault::disk(format!("putting {path} into place"), error),
            None => Fault::disk(format!("putting files into {}", self.shown), error),
        }
    }

    /// What became of an entry that was put into place.
    pub(super) fn outcome_of(&self, slot: &Slot) -> Outcome {
        let elsewhere = slot.elsewhere.as_deref().map(|path| Outcome::PlacedAs(path.clone().into()));
        self.exception(slot.local()).or(elsewhere).unwrap_or(Outcome::Placed)
    }

    /// Makes the folders, then the links, in staging.
    fn plain(&mut self, slots: &Slots, data: &Arc<Dir>) -> io::Result<()> {
        let mut staged = Folders::new(data.clone());
        let mut there = Folders::new(self.root.dir().clone());
        for slot in slots.iter().filter(|slot| slot.entry.kind.is_folder()) {
            // With one that is there nothing would be merged but what is in it; at most it is to be synced.
            if self.leftovers == Leftovers::Possible || there.folder(slot.local(), Missing::Fail).is_err() {
                staged.folder(slot.local(), Missing::Create)?;
            }
        }
        for slot in slots.iter() {
            let EntryKind::Link { target } = &slot.entry.kind else { continue };
            let dir = staged.holding(slot.local(), Missing::Create)?;
            let name = slot.local().file_name();
            match dir.symlink(target.as_str(), name.as_str()) {
                // Left by an earlier try, or not what it should be.
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && dir.read_link_contents(name.as_str()).is_ok_and(|t| t.as_os_str() == target.as_str()) => {}
                Err(error) => {
                    let fault = Fault::disk(format!("making the link {}", slot.entry.path), &error);
                    self.except(slot.local(), Outcome::Failed(fault.into()));
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Has every file on the disk before any is in place.
    fn sync(&mut self, slots: &Slots, area: &Area, data: &Arc<Dir>) -> io::Result<()> {
        let came = || slots.iter().filter(|slot| slot.is_staged()).map(Slot::local);
        if came().count() > SYNC_SINGLY {
            // There it takes everything, elsewhere only the files.
            self.unsynced_folders = !cfg!(target_os = "linux");
            return area.sync_all();
        }
        let mut staged = Folders::new(data.clone());
        for path in came() {
            let dir = staged.holding(path, Missing::Fail)?;
            let mut options = read_nofollow();
            options.write(true);
            area.sync(&dir.open_with(path.last(), &options)?.into_std())?;
        }
        Ok(())
    }

    /// Moves everything in `from` to `to`. A folder that is not there moves whole; one that is
    /// there is merged; a file whose name is taken is dealt with by the folder's rule, or dropped
    /// if it is equal. What a folder does not take fails, the rest goes on.
    fn merge(&mut self, from: &Dir, to: &Dir, at: Option<&RelPath>) -> Result<(), Fault> {
        // All of them first: what is renamed while a folder is read may be passed over.
        let children = from.entries().and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut changed = false;
        for child in children.map_err(|e| self.fault_at(at, &e))? {
            let (name, path) = named(&child, at).map_err(|e| self.fault_at(at, &e))?;
            match self.put(from, to, &child, &name, &path) {
                Ok(Put::Done) => changed = true,
                Ok(Put::Meets(ours, theirs)) => self.merge(&ours, &theirs, Some(&path))?,
                Err(error) if is_refused(&error) => self.refuse(&path, &error),
                Err(error) => return Err(self.fault_at(Some(&path), &error)),
            }
        }
        // Of a large tree that is there already, every folder would take longer than all the rest.
        if !changed && self.leftovers == Leftovers::None {
            return Ok(());
        }
        match (sync_folder(to), at) {
            (Err(error), Some(at)) if is_refused(&error) => self.refuse(at, &error),
            (synced, _) => synced.map_err(|e| self.fault_at(at, &e))?,
        }
        Ok(())
    }

    /// Moves one thing from its folder to another.
    fn put(&mut self, from: &Dir, to: &Dir, child: &DirEntry, name: &Name, path: &RelPath) -> io::Result<Put> {
        let is_folder = child.file_type()?.is_dir();
        let theirs = || to.open_dir_nofollow(name.as_str());
        if self.unsynced_folders && is_folder && theirs().is_err() {
            sync_folders(&child.open_dir()?)?;
        }
        match rename_without_replacing(from, name.as_str(), to, name.as_str()) {
            Ok(()) => Ok(Put::Done),
            Err(error) if is_taken(&error) || is_refused(&error) => match theirs() {
                Ok(theirs) if is_folder => Ok(Put::Meets(child.open_dir()?, theirs)),
                _ => self.taken(from, to, name, path).map(|()| Put::Done),
            },
            Err(error) => Err(error),
        }
    }

    /// Notes that something is not taken where it should go: it waits in staging for another try.
    fn refuse(&mut self, path: &RelPath, error: &io::Error) {
        let doing = format!("putting {path} into place");
        let fault = match error.kind() {
            io::ErrorKind::CrossesDevices => {
                Fault::new(FaultKind::Disk, format!("{doing}: its folder is in another file system"))
            }
            _ => Fault::disk(doing, error),
        };
        self.refused = true;
        self.except(path, Outcome::Failed(fault.into()));
    }

    /// Finds another name for what cannot have its own, or drops it.
    fn taken(&mut self, from: &Dir, to: &Dir, name: &Name, path: &RelPath) -> io::Result<()> {
        let ours = from.symlink_metadata(name.as_str())?;
        let below = if ours.is_dir() { longest_in(&from.open_dir_nofollow(name.as_str())?)? } else { 0 };
        // Most bytes of another name, so that it and everything in it can still be named.
        let room = (self.root.longest() + name.as_str().len()).saturating_sub(path.as_str().len() + below);
        for n in 0..=MOST_NUMBERS {
            let candidate = if n == 0 { name.clone() } else { name.numbered(n) };
            if n > 0 && candidate.as_str().len() > room {
                let fault = Fault::new(FaultKind::NotPermitted, format!("its name is taken, and {LONG}: {path}"));
                self.except(path, Outcome::Failed(fault.into()));
                return Ok(());
            }
            if !ours.is_dir() && equal(from, name, to, &candidate)? {
                if ours.is_file()
                    && self.root.may_touch(&path.with_file_name(&candidate))
                    && let Ok(modified) = ours.modified()
                {
                    // Best effort: it may be somebody else's.
                    let _ = make_alike(to, &candidate, is_executable(&ours), Stamp::of(modified.into_std()));
                }
                from.remove_file(name.as_str())?;
                self.except(path, Outcome::Equal);
                return Ok(());
            }
            if n == 0 && self.resolved(from, to, name, path)? {
                return Ok(());
            }
            match rename_without_replacing(from, name.as_str(), to, candidate.as_str()) {
                Ok(()) => {
                    let placed = path.with_file_name(&candidate);
                    self.except(path, Outcome::PlacedAs(placed.into()));
                    return Ok(());
                }
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let text = format!("{path}: every name up to {} is taken", name.numbered(MOST_NUMBERS));
        self.except(path, Outcome::Failed(Fault::new(FaultKind::Disk, text).into()));
        Ok(())
    }

    /// Deals with a taken name where the owner of the folder wants no numbers. `false` where what
    /// is there neither stays alone nor gives way.
    fn resolved(&mut self, from: &Dir, to: &Dir, name: &Name, path: &RelPath) -> io::Result<bool> {
        let ours = from.symlink_metadata(name.as_str())?;
        match self.root.conflict_at(path) {
            Conflict::Rename => Ok(false),
            Conflict::Skip => {
                if to.symlink_metadata(name.as_str()).is_err() {
                    return Ok(false);
                }
                if ours.is_dir() {
                    from.remove_dir_all(name.as_str())?;
                } else {
                    from.remove_file(name.as_str())?;
                }
                self.except(path, Outcome::Skipped);
                Ok(true)
            }
            Conflict::Replace => {
                if ours.is_dir() || !to.symlink_metadata(name.as_str()).is_ok_and(|there| gives_way(&there)) {
                    return Ok(false);
                }
                // One step: whoever looks finds the old one or the new one.
                let mut place = || from.rename(name.as_str(), to, name.as_str());
                let placed = match self.root.keeper() {
                    Some(keeper) => keeper.replace(path, &mut place),
                    None => Ok(place()),
                };
                let placed = match placed {
                    Ok(placed) => placed,
                    Err(fault) => {
                        from.remove_file(name.as_str())?;
                        self.except(path, Outcome::Failed(fault.into()));
                        return Ok(true);
                    }
                };
                match placed {
                    Ok(()) => {
                        self.except(path, Outcome::Replaced);
                        Ok(true)
                    }
                    // A folder by now.
                    Err(error) if is_taken(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            }
        }
    }

    fn except(&mut self, path: &RelPath, outcome: Outcome) {
        self.exceptions.insert(fit::key(self.case, path).into_owned(), outcome);
    }

    /// What became of `path`, if it is an exception or stands below a folder that is one.
    fn exception(&self, path: &RelPath) -> Option<Outcome> {
        if self.exceptions.is_empty() {
            return None;
        }
        if let Some(outcome) = self.exceptions.get(&*fit::key(self.case, path)) {
            return Some(outcome.clone());
        }
        let mut above = path.parent();
        while let Some(folder) = above {
            match self.exceptions.get(&*fit::key(self.case, &folder)) {
                Some(Outcome::PlacedAs(placed)) => {
                    return path.moved(&folder, placed).ok().map(|path| Outcome::PlacedAs(path.into()));
                }
                Some(outcome @ (Outcome::Failed(_) | Outcome::Skipped)) => return Some(outcome.clone()),
                _ => above = folder.parent(),
            }
        }
        None
    }
}

/// Whether a place does not take something, whoever has the name: what goes elsewhere is not touched by it.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), CrossesDevices | PermissionDenied | ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests;
