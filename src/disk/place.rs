//! What is in place already, in the folder that receives.

use std::fs::{File, FileTimes};
use std::io::{self, Read};
use std::sync::Arc;

use cap_std::fs::{Dir, Metadata};

use super::MOST_NUMBERS;
use super::mode::{is_executable, set_executable};
use super::open;
use super::root::{Conflict, Folders, Missing, Root};
use super::tree::same_bytes;
use crate::base::digest::{CHUNK, ChunkHash, EntryDigest};
use crate::base::manifest::{EntryKind, Stamp};
use crate::base::path::{Name, RelPath};

/// The folder that receives, asked for what is in place already.
pub(super) struct Place {
    folders: Folders,
    root: Root,
}

impl Place {
    pub(super) fn new(root: &Root) -> Self {
        Self { folders: Folders::new(root.dir().clone()), root: root.clone() }
    }

    /// The file of this name, or of one of its numbered names, that has the size and time of `kind`.
    pub(super) fn equal(&mut self, kind: &EntryKind, path: &RelPath) -> Option<Found> {
        let EntryKind::File { modified, .. } = *kind else { return None };
        let shows = |there: &Metadata| there.modified().is_ok_and(|t| Stamp::of(t.into_std()).shows(modified));
        self.first(kind, path, shows).map(|(.., found)| found)
    }

    /// The file of this name, or of the first of its numbered names, that has the size of `kind`, and
    /// its digest.
    pub(super) fn digest_of(&mut self, kind: &EntryKind, path: &RelPath) -> Option<(EntryDigest, Found)> {
        let (dir, name, found) = self.first(kind, path, |_| true)?;
        let EntryKind::File { size, .. } = *kind else { return None };
        Some((digest(open::to_read(&dir, name.as_str()).ok()?, size)?, found))
    }

    /// The first file of the size of `kind` that is `alike`: of this name, or of its numbered names up
    /// to the first that is missing.
    fn first(
        &mut self,
        kind: &EntryKind,
        path: &RelPath,
        alike: impl Fn(&Metadata) -> bool,
    ) -> Option<(Arc<Dir>, Name, Found)> {
        let EntryKind::File { size, executable, modified } = *kind else { return None };
        let dir = self.folders.holding(path, Missing::Fail).ok()?;
        let name = path.file_name();
        for n in 0..=MOST_NUMBERS {
            let candidate = if n == 0 { name.clone() } else { name.numbered(n) };
            let metadata = dir.symlink_metadata(candidate.as_str()).ok()?;
            if metadata.is_file() && metadata.len() == size && alike(&metadata) {
                let later = metadata.modified().is_ok_and(|t| !Stamp::of(t.into_std()).shows(modified));
                let differs = later || is_executable(&metadata) != executable;
                let at = path.with_file_name(&candidate);
                let touched = differs && self.root.may_touch(&at);
                let found = Found(touched.then(|| Box::new((at, executable, modified))));
                return Some((dir, candidate, found));
            }
            if gives_way(&metadata) && self.root.conflict_at(path) == Conflict::Replace {
                // It is replaced, whatever stands beside it under a number.
                return None;
            }
        }
        None
    }

    /// Whether something that is no folder has this name, and what comes takes another one: it is not skipped.
    pub(super) fn keeps_out(&mut self, path: &RelPath) -> bool {
        match self.folders.folder(path, Missing::Fail) {
            Ok(_) => return false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(_) => {}
        }
        let there = self.folders.holding(path, Missing::Fail).and_then(|dir| dir.symlink_metadata(path.last()));
        there.is_ok_and(|there| !there.is_dir()) && self.root.conflict_at(path) != Conflict::Skip
    }

    /// Whether something has this name, or is a file where a folder on the way to it should be,
    /// and is to stay.
    pub(super) fn keeps_other(&mut self, path: &RelPath) -> bool {
        if self.root.conflict_at(path) != Conflict::Skip {
            return false;
        }
        match self.folders.holding(path, Missing::Fail) {
            Ok(dir) => dir.symlink_metadata(path.last()).is_ok(),
            Err(error) => is_taken(&error),
        }
    }
}

/// An equal file that is in place: where, whether it is to be executable and its time, if it is not
/// so yet.
#[derive(Debug, Default)]
pub(super) struct Found(Option<Box<(RelPath, bool, Stamp)>>);

impl Found {
    /// Gives it the time of the one offered, and makes it as executable; not where that is not for us
    /// to say.
    pub(super) fn correct(self, root: &Root) {
        let Some((path, executable, modified)) = self.0.map(|found| *found) else { return };
        // It may be another's by now.
        if !root.may_touch(&path) {
            return;
        }
        if let Ok(dir) = Folders::new(root.dir().clone()).holding(&path, Missing::Fail) {
            let _ = make_alike(&dir, &path.file_name(), executable, modified);
        }
    }
}

/// Gives a file that has the right bytes the right time, so that the next look at it sees that it is
/// equal, and makes it as executable as it should be.
pub(super) fn make_alike(dir: &Dir, name: &Name, executable: bool, modified: Stamp) -> io::Result<()> {
    let file = open::to_change(dir, name.as_str())?;
    set_executable(&file, executable)?;
    if let Some(time) = modified.to_system() {
        file.set_times(FileTimes::new().set_modified(time))?;
    }
    file.sync_all()
}

/// Whether what is in place may be replaced at all: a file, or a link, which is never followed.
pub(super) fn gives_way(there: &Metadata) -> bool {
    there.is_file() || there.is_symlink()
}

/// Whether a name could not be given because something else has it.
pub(super) fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
    )
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

/// Whether two names hold the same: regular files with the same bytes, or links to the same place.
pub(super) fn equal(from: &Dir, name: &Name, to: &Dir, other: &Name) -> io::Result<bool> {
    let ours = from.symlink_metadata(name.as_str())?;
    let Ok(theirs) = to.symlink_metadata(other.as_str()) else { return Ok(false) };
    if ours.is_symlink() && theirs.is_symlink() {
        return Ok(from.read_link_contents(name.as_str())? == to.read_link_contents(other.as_str())?);
    }
    if !ours.is_file() || !theirs.is_file() || ours.len() != theirs.len() {
        return Ok(false);
    }
    let Ok(theirs) = open::to_read(to, other.as_str()) else { return Ok(false) };
    let same = same_bytes(&open::to_read(from, name.as_str())?, &theirs)?;
    #[cfg(unix)]
    if same {
        // Whoever wrote it need not have synced it, and ours is dropped for it.
        theirs.sync_all()?;
    }
    Ok(same)
}
