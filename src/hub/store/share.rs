//! Equal files that have their bytes on the disk once, where the file system can do that (Btrfs, XFS,
//! bcachefs): they stay two files, and changing one does not change the other.

use std::fs::{File, FileTimes};
use std::io;

use cap_std::fs::{Dir, OpenOptions};
use uuid::Uuid;

use super::Shared;
use crate::disk::tree;

/// Puts a clone of `one` into the place of `other`, if they are equal. It is made in the folder `own`.
pub(super) fn share((from, one): (&Dir, &str), (with, other): (&Dir, &str), own: &Dir) -> io::Result<Shared> {
    let before = tree::look(with, other)?;
    let (source, old) = (tree::open(from, one)?, tree::open(with, other)?);
    let staged = format!(".ftx-clone-{}", Uuid::now_v7());
    let clone = own.open_with(&staged, OpenOptions::new().read(true).write(true).create_new(true))?.into_std();
    let place = || {
        clone_bytes(&clone, &source)?;
        if !tree::same_bytes(&clone, &old)? {
            return Ok(false);
        }
        let metadata = old.metadata()?;
        clone.set_permissions(metadata.permissions())?;
        clone.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
        clone.sync_all()?;
        // Whoever changed it meanwhile wins.
        if tree::look(with, other)? != before {
            return Ok(false);
        }
        own.rename(&staged, with, other)?;
        tree::sync(with).map(|()| true)
    };
    let placed = place();
    if !matches!(placed, Ok(true)) {
        let _ = own.remove_file(&staged);
        return Ok(Shared::No);
    }
    Ok(tree::look(with, other)?.map_or(Shared::No, Shared::Yes))
}

fn clone_bytes(clone: &File, source: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        Ok(rustix::fs::ioctl_ficlone(clone, source)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (clone, source);
        Err(io::ErrorKind::Unsupported.into())
    }
}
