//! Putting what is staged into place: synced, renamed, never over anything.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::sync::Arc;

use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, File};
use unicode_normalization::UnicodeNormalization;

use super::MOST_NUMBERS;
use super::fit::{self, Case};
use super::mode::{is_executable, set_executable};
use super::partial::sync_all_below;
use super::root::{Folders, Missing, Root, read_nofollow, sync_folder};
use crate::base::digest::EntryDigest;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::{Entry, EntryKind, Outcome, Stamp};
use crate::base::path::{Name, RelPath};

/// Up to this many files are synced one by one; more, together with their file system.
const SYNC_SINGLY: usize = 16;

/// The folder that receives, asked for what is in place already.
pub(super) struct Place {
    folders: Folders,
}

impl Place {
    pub(super) fn new(root: &Root) -> Self {
        Self { folders: Folders::new(root.dir().clone()) }
    }

    /// The file of this name, or of one of its numbered names, that has the size and time of `kind`.
    pub(super) fn equal(&mut self, kind: &EntryKind, path: &RelPath) -> Option<Found> {
        let EntryKind::File { size, modified, executable } = *kind else { return None };
        let dir = self.folders.holding(path, Missing::Fail).ok()?;
        let name = path.file_name();
        for n in 0..=MOST_NUMBERS {
            let candidate = if n == 0 { name.clone() } else { name.numbered(n) };
            let metadata = dir.symlink_metadata(candidate.as_str()).ok()?;
            let time = metadata.modified().map(|time| Stamp::of(time.into_std()));
            if metadata.is_file() && metadata.len() == size && time.is_ok_and(|time| time.shows(modified)) {
                let differs = is_executable(&metadata) != executable;
                let path = path.with_file_name(&candidate);
                return Some(Found(differs.then(|| Box::new((path, executable)))));
            }
        }
        None
    }
}

/// An equal file that is in place: where, and whether it is to be executable, if it is not so yet.
#[derive(Debug)]
pub(super) struct Found(Option<Box<(RelPath, bool)>>);

impl Found {
    /// Makes it as executable as the one offered; not where that is not for us to say.
    pub(super) fn correct(self, root: &Root) {
        let Some((path, executable)) = self.0.map(|found| *found) else { return };
        if let Ok(dir) = Folders::new(root.dir().clone()).holding(&path, Missing::Fail) {
            let _ = set_mode(&dir, &path.file_name(), executable);
        }
    }
}

fn set_mode(dir: &Dir, name: &Name, executable: bool) -> io::Result<()> {
    let file = dir.open_with(name.as_str(), &read_nofollow())?.into_std();
    set_executable(&file, executable)?;
    file.sync_all()
}

/// An entry with what became of it.
pub(super) struct Settled {
    pub(super) entry: Entry,
    /// Where it is staged, if not under its own path.
    pub(super) elsewhere: Option<Box<RelPath>>,
    pub(super) outcome: Outcome,
    /// Of the bytes that came.
    pub(super) digest: Option<EntryDigest>,
}

impl Settled {
    fn local(&self) -> &RelPath {
        self.elsewhere.as_deref().unwrap_or(&self.entry.path)
    }
}

/// Whether staging may hold more than what is complete now: parts of what failed, or files of an
/// earlier try that are not offered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// It cannot.
    None,
    /// It may; they are removed first.
    Possible,
}

/// One settling.
pub(super) struct Settling {
    root: Arc<Dir>,
    data: Arc<Dir>,
    case: Case,
    /// What did not simply get its own name, by the key of its path in staging: the file system may
    /// spell it otherwise than we did.
    exceptions: BTreeMap<String, Outcome>,
    shown: String,
}

impl Settling {
    pub(super) fn new(root: &Root, data: Arc<Dir>, case: Case) -> Self {
        Self {
            root: root.dir().clone(),
            data,
            case,
            exceptions: BTreeMap::new(),
            shown: root.shown().display().to_string(),
        }
    }

    /// Settles everything; writes what became of it into `entries`.
    pub(super) fn run(&mut self, entries: &mut [Settled], leftovers: Leftovers) -> Result<(), Fault> {
        let disk = |shown: &str, error: &io::Error| Fault::disk(format!("putting files into {shown}"), error);
        if leftovers == Leftovers::Possible {
            let good = entries.iter().filter(|settled| settled.digest.is_some()).map(Settled::local);
            let mut good: Vec<String> = good.map(|path| fit::key(self.case, path)).collect();
            good.sort_unstable();
            prune(&self.data, None, self.case, &good).map_err(|e| disk(&self.shown, &e))?;
        }
        self.plain(entries).map_err(|e| disk(&self.shown, &e))?;
        self.sync(entries).map_err(|e| disk(&self.shown, &e))?;
        let (data, root) = (self.data.clone(), self.root.clone());
        self.merge(&data, &root, None).map_err(|e| disk(&self.shown, &e))?;
        for settled in entries.iter_mut().filter(|settled| settled.outcome == Outcome::Placed) {
            if let Some(other) = self.exception(settled.local()) {
                settled.outcome = other;
            } else if let Some(elsewhere) = settled.elsewhere.take() {
                settled.outcome = Outcome::PlacedAs(*elsewhere);
            }
        }
        Ok(())
    }

    /// Makes the folders, then the links, in staging.
    fn plain(&self, entries: &mut [Settled]) -> io::Result<()> {
        let mut staged = Folders::new(self.data.clone());
        for settled in entries.iter().filter(|settled| settled.entry.kind == EntryKind::Directory) {
            staged.folder(settled.local(), Missing::Create)?;
        }
        for settled in entries.iter_mut() {
            let EntryKind::Link { target } = &settled.entry.kind else { continue };
            let dir = staged.holding(settled.local(), Missing::Create)?;
            let name = settled.local().file_name();
            match dir.symlink(target.as_str(), name.as_str()) {
                // Left by an earlier try, or not what it should be.
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && dir.read_link_contents(name.as_str()).is_ok_and(|t| t.as_os_str() == target.as_str()) => {}
                Err(error) => {
                    let fault = Fault::disk(format!("making the link {}", settled.entry.path), &error);
                    settled.outcome = Outcome::Failed(fault);
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn sync(&self, entries: &[Settled]) -> io::Result<()> {
        let came = || entries.iter().filter(|settled| settled.digest.is_some()).map(Settled::local);
        if came().count() > SYNC_SINGLY {
            return sync_all_below(&self.data);
        }
        let mut staged = Folders::new(self.data.clone());
        for path in came() {
            let dir = staged.holding(path, Missing::Fail)?;
            let mut options = read_nofollow();
            options.write(true);
            dir.open_with(path.file_name().as_str(), &options)?.sync_all()?;
        }
        Ok(())
    }

    /// Moves everything in `from` to `to`. A folder that is not there moves whole; one that is
    /// there is merged; a file whose name is taken gets a number, or nothing if it is equal.
    fn merge(&mut self, from: &Dir, to: &Dir, at: Option<&RelPath>) -> io::Result<()> {
        // All of them first: what is renamed while a folder is read may be passed over.
        let children = from.entries()?.collect::<io::Result<Vec<_>>>()?;
        for child in children {
            let own = child.file_name();
            // Staging holds only what we made ourselves. A name that is none of ours is better told
            // than passed over: what stays in staging is removed.
            let name = name_of(&own).ok_or_else(|| io::Error::other("staging holds a name that is none"))?;
            let path = match at {
                Some(at) => at.join(&name).map_err(io::Error::other)?,
                None => RelPath::from(name.clone()),
            };
            match rename_without_replacing(from, &name, to, &name) {
                Ok(()) => {}
                Err(error) if is_taken(&error) => self.taken(from, to, &name, &path)?,
                Err(error) => return Err(error),
            }
        }
        sync_folder(to)
    }

    fn taken(&mut self, from: &Dir, to: &Dir, name: &Name, path: &RelPath) -> io::Result<()> {
        let ours = from.symlink_metadata(name.as_str())?;
        if ours.is_dir()
            && let Ok(there) = to.open_dir_nofollow(name.as_str())
        {
            return self.merge(&from.open_dir_nofollow(name.as_str())?, &there, Some(path));
        }
        for n in 0..=MOST_NUMBERS {
            let candidate = if n == 0 { name.clone() } else { name.numbered(n) };
            if !ours.is_dir() && equal(from, name, to, &candidate)? {
                if ours.is_file() && is_executable(&ours) != is_executable(&to.symlink_metadata(candidate.as_str())?) {
                    let _ = set_mode(to, &candidate, is_executable(&ours));
                }
                from.remove_file(name.as_str())?;
                self.except(path, Outcome::Equal);
                return Ok(());
            }
            match rename_without_replacing(from, name, to, &candidate) {
                Ok(()) => {
                    let placed = path.with_file_name(&candidate);
                    self.except(path, Outcome::PlacedAs(placed));
                    return Ok(());
                }
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let text = format!("{path}: every name up to {} is taken", name.numbered(MOST_NUMBERS));
        self.except(path, Outcome::Failed(Fault::new(FaultKind::Disk, text)));
        Ok(())
    }

    fn except(&mut self, path: &RelPath, outcome: Outcome) {
        self.exceptions.insert(fit::key(self.case, path), outcome);
    }

    /// What became of `path`, if it is an exception or stands below a folder that is one.
    fn exception(&self, path: &RelPath) -> Option<Outcome> {
        if self.exceptions.is_empty() {
            return None;
        }
        if let Some(outcome) = self.exceptions.get(&fit::key(self.case, path)) {
            return Some(outcome.clone());
        }
        let mut above = path.parent();
        while let Some(folder) = above {
            match self.exceptions.get(&fit::key(self.case, &folder)) {
                Some(Outcome::PlacedAs(placed)) => {
                    let rest = &path.as_str()[folder.as_str().len()..];
                    return RelPath::parse(&format!("{}{rest}", placed.as_str())).ok().map(Outcome::PlacedAs);
                }
                Some(Outcome::Failed(fault)) => return Some(Outcome::Failed(fault.clone())),
                _ => above = folder.parent(),
            }
        }
        None
    }
}

/// Removes from staging every file whose key is not among `good` (sorted), and folders left empty.
fn prune(dir: &Dir, at: Option<&RelPath>, case: Case, good: &[String]) -> io::Result<()> {
    for child in dir.entries()? {
        let child = child?;
        let own = child.file_name();
        let path = name_of(&own).and_then(|name| match at {
            Some(at) => at.join(&name).ok(),
            None => Some(RelPath::from(name)),
        });
        let is_folder = child.file_type()?.is_dir();
        match path {
            Some(path) if is_folder => {
                prune(&child.open_dir()?, Some(&path), case, good)?;
                // Fails, as it should, where something good is in it.
                let _ = child.remove_dir();
            }
            Some(path) if good.binary_search(&fit::key(case, &path)).is_ok() => {}
            _ if is_folder => dir.remove_dir_all(&own)?,
            _ => dir.remove_file(&own)?,
        }
    }
    Ok(())
}

/// The name that we gave, whichever normal form the file system keeps it in.
fn name_of(own: &OsStr) -> Option<Name> {
    let normal: String = own.to_str()?.nfc().collect();
    Name::parse(&normal).ok()
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
    )
}

/// Renames and fails where the new name is taken, in one step of the file system where it has one.
fn rename_without_replacing(from: &Dir, name: &Name, to: &Dir, new: &Name) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(from, name.as_str(), to, new.as_str(), RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            done => return Ok(done?),
        }
    }
    // A link to the new name fails where that is taken, as atomically as the rename above.
    if from.symlink_metadata(name.as_str())?.is_file() {
        match from.hard_link(name.as_str(), to, new.as_str()) {
            Ok(()) => return from.remove_file(name.as_str()),
            Err(error) if is_taken(&error) => return Err(error),
            Err(_) => {}
        }
    }
    if to.symlink_metadata(new.as_str()).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    from.rename(name.as_str(), to, new.as_str())
}

/// Whether two names hold the same: regular files with the same bytes, or links to the same place.
fn equal(from: &Dir, name: &Name, to: &Dir, other: &Name) -> io::Result<bool> {
    let ours = from.symlink_metadata(name.as_str())?;
    let Ok(theirs) = to.symlink_metadata(other.as_str()) else { return Ok(false) };
    if ours.is_symlink() && theirs.is_symlink() {
        return Ok(from.read_link_contents(name.as_str())? == to.read_link_contents(other.as_str())?);
    }
    if !ours.is_file() || !theirs.is_file() || ours.len() != theirs.len() {
        return Ok(false);
    }
    let options = read_nofollow();
    let Ok(theirs) = to.open_with(other.as_str(), &options) else { return Ok(false) };
    same_bytes(from.open_with(name.as_str(), &options)?, theirs)
}

fn same_bytes(mut one: File, mut two: File) -> io::Result<bool> {
    const STRIDE: u64 = 1 << 18;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    loop {
        a.clear();
        b.clear();
        (&mut one).take(STRIDE).read_to_end(&mut a)?;
        (&mut two).take(STRIDE).read_to_end(&mut b)?;
        if a != b {
            return Ok(false);
        }
        if a.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests;
