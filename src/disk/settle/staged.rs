//! What is in staging, walked before and while it is put into place.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use cap_std::fs::{Dir, DirEntry};
use unicode_normalization::UnicodeNormalization;

use crate::base::manifest::{EntryKind, Stamp};
use crate::base::path::{Name, RelPath};
use crate::disk::fit::{self, Case};
use crate::disk::root::{Folders, Missing, sync_folder};
use crate::disk::slots::Slots;

/// Bytes that the longest path below a folder has, with the `/` before it; 0 where nothing is in it.
pub(super) fn longest_in(dir: &Dir) -> io::Result<usize> {
    let mut longest = 0;
    for child in dir.entries()? {
        let child = child?;
        let below = if child.file_type()?.is_dir() { longest_in(&child.open_dir()?)? } else { 0 };
        longest = longest.max(1 + child.file_name().len() + below);
    }
    Ok(longest)
}

/// Gives folders their times, once everything is in them. Those that are not there, as what goes into them is
/// merged with what is in place, get none; nor do those of systems that refuse it: a time is no reason to fail.
pub(super) fn date_folders(slots: &Slots, data: &Arc<Dir>) {
    let mut staged = Folders::new(data.clone());
    for slot in slots.iter() {
        if let EntryKind::Directory { modified: Some(modified) } = slot.entry.kind
            && let Ok(dir) = staged.folder(slot.local(), Missing::Fail)
        {
            date(&dir, modified);
        }
    }
}

#[cfg(unix)]
fn date(dir: &Dir, modified: Stamp) {
    use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT, utimensat};
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanos.into() },
    };
    let _ = utimensat(dir, ".", &times, AtFlags::empty());
}

/// Windows lets nobody do this through a folder that is open to be read.
#[cfg(not(unix))]
fn date(_dir: &Dir, _modified: Stamp) {}

/// Syncs a folder that is to move into place whole, and the folders in it.
pub(super) fn sync_folders(dir: &Dir) -> io::Result<()> {
    for child in dir.entries()? {
        let child = child?;
        if child.file_type()?.is_dir() {
            sync_folders(&child.open_dir()?)?;
        }
    }
    sync_folder(dir)
}

/// Removes from staging every file whose key is not among `good` (sorted), and folders left empty.
pub(super) fn prune(dir: &Dir, at: Option<&RelPath>, case: Case, good: &[Cow<'_, str>]) -> io::Result<()> {
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

/// The name and the path of something in staging, which holds only what we made ourselves. A name that is
/// none of ours is better told than passed over: what stays in staging is removed.
pub(super) fn named(child: &DirEntry, at: Option<&RelPath>) -> io::Result<(Name, RelPath)> {
    let name = name_of(&child.file_name()).ok_or_else(|| io::Error::other("staging holds a name that is none"))?;
    let path = match at {
        Some(at) => at.join(&name).map_err(io::Error::other)?,
        None => RelPath::from(name.clone()),
    };
    Ok((name, path))
}

/// The name that we gave, whichever normal form the file system keeps it in.
pub(super) fn name_of(own: &OsStr) -> Option<Name> {
    let normal: String = own.to_str()?.nfc().collect();
    Name::parse(&normal).ok()
}
