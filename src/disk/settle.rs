//! Putting what is staged into place: synced, then renamed; over something only where the owner of
//! the folder chose so.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, File, Metadata};

use super::partial::sync_all_below;
use super::root::{Conflict, Folders, Missing, Root, read_nofollow, sync_folder};
use crate::base::digest::{CHUNK, ChunkHash, EntryDigest};
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::{Entry, EntryKind, Outcome, Stamp};
use crate::base::path::{Name, RelPath};

/// Most numbered names tried: `name (1)` to `name (999)`.
const MOST_NUMBERS: u32 = 999;

/// Up to this many files are synced one by one; more, together with their file system.
const SYNC_SINGLY: usize = 16;

/// The folder that receives, asked for what is in place already.
pub(super) struct Place {
    folders: Folders,
    conflict: Conflict,
}

impl Place {
    pub(super) fn new(root: &Root) -> Self {
        Self { folders: Folders::new(root.dir().clone()), conflict: root.conflict() }
    }

    /// Whether a file of this name, or of its numbered names, has the size and time of `entry`.
    pub(super) fn has_equal(&mut self, entry: &Entry) -> bool {
        let EntryKind::File { size, modified, .. } = entry.kind else { return false };
        let Ok(dir) = self.folders.holding(&entry.path, Missing::Fail) else { return false };
        let name = entry.path.file_name();
        for n in 0..=MOST_NUMBERS {
            let candidate = if n == 0 { name.clone() } else { name.numbered(n) };
            let Ok(metadata) = dir.symlink_metadata(candidate.as_str()) else { return false };
            let time = metadata.modified().map(|time| Stamp::of(time.into_std()));
            if metadata.is_file() && metadata.len() == size && time.is_ok_and(|time| time.shows(modified)) {
                return true;
            }
            if self.conflict == Conflict::Replace && gives_way(&metadata) {
                // It is replaced, whatever stands beside it under a number.
                return false;
            }
        }
        false
    }

    /// Whether something has this name, or is a file where a folder on the way to it should be,
    /// and is to stay.
    pub(super) fn keeps_other(&mut self, path: &RelPath) -> bool {
        if self.conflict != Conflict::Skip {
            return false;
        }
        match self.folders.holding(path, Missing::Fail) {
            Ok(dir) => dir.symlink_metadata(path.file_name().as_str()).is_ok(),
            Err(error) => is_taken(&error),
        }
    }

    /// The digest of the file of this name, if it has the size of `entry`, or else of the first of its
    /// numbered names that has.
    pub(super) fn digest_of(&mut self, entry: &Entry) -> Option<EntryDigest> {
        let size = entry.size();
        let dir = self.folders.holding(&entry.path, Missing::Fail).ok()?;
        let name = entry.path.file_name();
        for n in 0..=MOST_NUMBERS {
            let candidate = if n == 0 { name.clone() } else { name.numbered(n) };
            let metadata = dir.symlink_metadata(candidate.as_str()).ok()?;
            if metadata.is_file() && metadata.len() == size {
                return digest(dir.open_with(candidate.as_str(), &read_nofollow()).ok()?, size);
            }
        }
        None
    }
}

/// The digest of a file, read from its beginning to its end; `None` where that fails.
fn digest(mut file: File, size: u64) -> Option<EntryDigest> {
    let (mut hashes, mut read, mut chunk) = (Vec::new(), 0, Vec::new());
    loop {
        chunk.clear();
        read += (&mut file).take(CHUNK).read_to_end(&mut chunk).ok()? as u64;
        if chunk.is_empty() {
            return (read == size).then(|| EntryDigest::over(size, hashes.iter()));
        }
        hashes.push(ChunkHash::of(&chunk));
    }
}

/// Entries with what became of them.
pub(super) type Settled = (Entry, Outcome, Option<EntryDigest>);

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
    conflict: Conflict,
    /// Whether new folders are still to be synced when they move into place.
    unsynced_folders: bool,
    /// What did not simply get its own name, by its path in the manifest.
    exceptions: BTreeMap<RelPath, Outcome>,
    shown: String,
}

impl Settling {
    pub(super) fn new(root: &Root, data: Arc<Dir>) -> Self {
        Self {
            root: root.dir().clone(),
            data,
            conflict: root.conflict(),
            unsynced_folders: true,
            exceptions: BTreeMap::new(),
            shown: root.shown().display().to_string(),
        }
    }

    /// Settles everything; writes what became of it into `entries`.
    pub(super) fn run(&mut self, entries: &mut [Settled], leftovers: Leftovers) -> Result<(), Fault> {
        let disk = |shown: &str, error: &io::Error| Fault::disk(format!("putting files into {shown}"), error);
        if leftovers == Leftovers::Possible {
            let mut good: Vec<&RelPath> =
                entries.iter().filter(|(.., digest)| digest.is_some()).map(|(entry, ..)| &entry.path).collect();
            good.sort_unstable();
            prune(&self.data, None, &good).map_err(|e| disk(&self.shown, &e))?;
        }
        self.plain(entries).map_err(|e| disk(&self.shown, &e))?;
        self.sync(entries).map_err(|e| disk(&self.shown, &e))?;
        let (data, root) = (self.data.clone(), self.root.clone());
        self.merge(&data, &root, None).map_err(|e| disk(&self.shown, &e))?;
        for (entry, outcome, _) in entries {
            if *outcome == Outcome::Placed
                && let Some(other) = self.exception(&entry.path)
            {
                *outcome = other;
            }
        }
        Ok(())
    }

    /// Makes the folders, then the links, in staging.
    fn plain(&self, entries: &mut [Settled]) -> io::Result<()> {
        let mut staged = Folders::new(self.data.clone());
        for (entry, ..) in entries.iter() {
            if entry.kind == EntryKind::Directory {
                staged.folder(&entry.path, Missing::Create)?;
            }
        }
        for (entry, outcome, _) in entries.iter_mut() {
            let EntryKind::Link { target } = &entry.kind else { continue };
            let dir = staged.holding(&entry.path, Missing::Create)?;
            match dir.symlink(target.as_str(), entry.path.file_name().as_str()) {
                // Left by an earlier try, or not what it should be.
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && dir
                            .read_link_contents(entry.path.file_name().as_str())
                            .is_ok_and(|t| t.as_os_str() == target.as_str()) => {}
                Err(error) => {
                    *outcome = Outcome::Failed(Fault::disk(format!("making the link {}", entry.path), &error))
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Has every file on the disk before any is in place.
    fn sync(&mut self, entries: &[Settled]) -> io::Result<()> {
        let staged = entries.iter().filter(|(.., digest)| digest.is_some()).count();
        if staged > SYNC_SINGLY {
            // There it takes everything, elsewhere only the files.
            self.unsynced_folders = !cfg!(target_os = "linux");
            return sync_all_below(&self.data);
        }
        let mut staged = Folders::new(self.data.clone());
        for (entry, _, digest) in entries {
            if digest.is_some() {
                let dir = staged.holding(&entry.path, Missing::Fail)?;
                let mut options = read_nofollow();
                options.write(true);
                dir.open_with(entry.path.file_name().as_str(), &options)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Moves everything in `from` to `to`. A folder that is not there moves whole; one that is
    /// there is merged; a file whose name is taken is dealt with by the folder's rule, or dropped
    /// if it is equal.
    fn merge(&mut self, from: &Dir, to: &Dir, at: Option<&RelPath>) -> io::Result<()> {
        // All of them first: what is renamed while a folder is read may be passed over.
        let children = from.entries()?.collect::<io::Result<Vec<_>>>()?;
        for child in children {
            let own = child.file_name();
            // Staging holds only what we made ourselves; anything else is not ours to move.
            let Some(Ok(name)) = own.to_str().map(Name::parse) else { continue };
            let path = match at {
                Some(at) => at.join(&name).map_err(io::Error::other)?,
                None => RelPath::from(name.clone()),
            };
            if self.unsynced_folders && child.file_type()?.is_dir() && to.open_dir_nofollow(name.as_str()).is_err() {
                sync_folders(&from.open_dir_nofollow(name.as_str())?)?;
            }
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
                from.remove_file(name.as_str())?;
                self.exceptions.insert(path.clone(), Outcome::Equal);
                return Ok(());
            }
            if n == 0 && self.resolved(from, to, name, path)? {
                return Ok(());
            }
            match rename_without_replacing(from, name, to, &candidate) {
                Ok(()) => {
                    let placed = path.with_file_name(&candidate);
                    self.exceptions.insert(path.clone(), Outcome::PlacedAs(placed));
                    return Ok(());
                }
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let text = format!("{path}: every name up to {} is taken", name.numbered(MOST_NUMBERS));
        self.exceptions.insert(path.clone(), Outcome::Failed(Fault::new(FaultKind::Disk, text)));
        Ok(())
    }

    /// Deals with a taken name where the owner of the folder wants no numbers. `false` where what
    /// is there neither stays alone nor gives way.
    fn resolved(&mut self, from: &Dir, to: &Dir, name: &Name, path: &RelPath) -> io::Result<bool> {
        let ours = from.symlink_metadata(name.as_str())?;
        match self.conflict {
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
                self.exceptions.insert(path.clone(), Outcome::Skipped);
                Ok(true)
            }
            Conflict::Replace => {
                if ours.is_dir() || !to.symlink_metadata(name.as_str()).is_ok_and(|there| gives_way(&there)) {
                    return Ok(false);
                }
                // One step: whoever looks finds the old one or the new one.
                match from.rename(name.as_str(), to, name.as_str()) {
                    Ok(()) => {
                        self.exceptions.insert(path.clone(), Outcome::Replaced);
                        Ok(true)
                    }
                    // A folder by now.
                    Err(error) if is_taken(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// What became of `path`, if it is an exception or stands below a folder that is one.
    fn exception(&self, path: &RelPath) -> Option<Outcome> {
        if self.exceptions.is_empty() {
            return None;
        }
        if let Some(outcome) = self.exceptions.get(path) {
            return Some(outcome.clone());
        }
        let mut above = path.parent();
        while let Some(folder) = above {
            match self.exceptions.get(&folder) {
                Some(Outcome::PlacedAs(placed)) => {
                    let rest = &path.as_str()[folder.as_str().len()..];
                    return RelPath::parse(&format!("{}{rest}", placed.as_str())).ok().map(Outcome::PlacedAs);
                }
                Some(outcome @ (Outcome::Failed(_) | Outcome::Skipped)) => return Some(outcome.clone()),
                _ => above = folder.parent(),
            }
        }
        None
    }
}

/// Syncs a folder that is to move into place whole, and the folders in it.
fn sync_folders(dir: &Dir) -> io::Result<()> {
    for child in dir.entries()? {
        let child = child?;
        if child.file_type()?.is_dir() {
            sync_folders(&child.open_dir()?)?;
        }
    }
    sync_folder(dir)
}

/// Whether what is in place may be replaced at all: a file, or a link, which is never followed.
fn gives_way(there: &Metadata) -> bool {
    there.is_file() || there.is_symlink()
}

/// Removes from staging every file that is not among `good` (sorted), and folders left empty.
fn prune(dir: &Dir, at: Option<&RelPath>, good: &[&RelPath]) -> io::Result<()> {
    for child in dir.entries()? {
        let child = child?;
        let own = child.file_name();
        let path = own.to_str().and_then(|name| Name::parse(name).ok()).and_then(|name| match at {
            Some(at) => at.join(&name).ok(),
            None => Some(RelPath::from(name)),
        });
        let is_folder = child.file_type()?.is_dir();
        match path {
            Some(path) if is_folder => {
                prune(&child.open_dir()?, Some(&path), good)?;
                // Fails, as it should, where something good is in it.
                let _ = child.remove_dir();
            }
            Some(path) if good.binary_search(&&path).is_ok() => {}
            _ if is_folder => dir.remove_dir_all(&own)?,
            _ => dir.remove_file(&own)?,
        }
    }
    Ok(())
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
    let same = same_bytes(&from.open_with(name.as_str(), &options)?, &theirs)?;
    #[cfg(unix)]
    if same {
        // Whoever wrote it need not have synced it, and ours is dropped for it.
        theirs.sync_all()?;
    }
    Ok(same)
}

fn same_bytes(mut one: &File, mut two: &File) -> io::Result<bool> {
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
