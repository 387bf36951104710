//! Kept versions as files: those of `shared/notes.txt` are `versions/shared/notes.txt/.ftx-<id>`. No
//! peer can give anything such a name, so a lost catalogue can be made again from them.

use std::fs::FileTimes;
use std::io;
use std::path::Path;

use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, OpenOptions};
use uuid::Uuid;

use super::{Held, Keep};
use crate::base::path::{RelPath, is_reserved};
use crate::disk::source::Go;
use crate::disk::tree::{self, Tree};
use crate::wire::hub::VersionId;

const PREFIX: &str = ".ftx-";

/// How often a folder is made again that was tidied away just then.
const MOST_TRIES: u32 = 20;

/// The file name of a version.
pub(super) fn name(id: VersionId) -> String {
    format!("{PREFIX}{id}")
}

fn id_of(own: &str) -> Option<VersionId> {
    let id = VersionId(Uuid::try_parse(own.strip_prefix(PREFIX)?).ok()?);
    (name(id) == own).then_some(id)
}

/// Keeps what has this name in a folder.
pub(super) fn keep(
    versions: &Tree,
    path: &RelPath,
    id: VersionId,
    (dir, own): (&Dir, &str),
    how: Keep,
) -> io::Result<()> {
    let mut tries = 0;
    loop {
        let into = versions.make(Some(path))?;
        let kept = match how {
            Keep::Away => carry((dir, own), (&into, &name(id))),
            Keep::Beside => beside((dir, own), (&into, &name(id))),
        };
        match kept {
            // The folder was tidied away between the two.
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < MOST_TRIES => {
                dir.symlink_metadata(own)?;
                tries += 1;
            }
            kept => return kept,
        }
    }
}

/// Puts a version where something is to be.
pub(super) fn bring_back(versions: &Tree, path: &RelPath, id: VersionId, to: (&Dir, &str)) -> io::Result<()> {
    let from = versions.folder(Some(path))?;
    from.symlink_metadata(name(id))?;
    carry((&from, &name(id)), to)?;
    std::mem::drop(from);
    tidy(versions, path);
    Ok(())
}

/// Removes a version.
pub(super) fn drop(versions: &Tree, path: &RelPath, id: VersionId) -> io::Result<()> {
    let dir = versions.folder(Some(path))?;
    dir.remove_file(name(id))?;
    tree::sync(&dir)?;
    std::mem::drop(dir);
    tidy(versions, path);
    Ok(())
}

/// Moves what is kept of a path, and of everything below it.
pub(super) fn move_all(versions: &Tree, from: &RelPath, to: &RelPath) -> io::Result<()> {
    let Ok(dir) = versions.holding(from) else { return Ok(()) };
    if dir.symlink_metadata(from.last()).is_err() {
        return Ok(());
    }
    let into = versions.make(to.parent().as_ref())?;
    merge((&dir, from.last()), (&into, to.last()))?;
    std::mem::drop((dir, into));
    if let Some(above) = from.parent() {
        tidy(versions, &above);
    }
    Ok(())
}

/// Moves a folder; where there is one, into that.
fn merge((from, name): (&Dir, &str), (to, new): (&Dir, &str)) -> io::Result<()> {
    match tree::move_to(from, name, to, new) {
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {}
        moved => return moved,
    }
    let (inner, into) = (from.open_dir_nofollow(name)?, to.open_dir_nofollow(new)?);
    for (own, _) in tree::children(&inner)? {
        merge((&inner, &own), (&into, &own))?;
    }
    // Windows removes and moves no folder that is open.
    std::mem::drop(inner);
    from.remove_dir(name)?;
    tree::sync(from)
}

/// Goes through all versions.
pub(super) fn walk(versions: &Tree, each: &mut dyn FnMut(Held) -> Go) -> io::Result<()> {
    walk_below(&*versions.folder(None)?, None, each).map(std::mem::drop)
}

fn walk_below(dir: &Dir, at: Option<&RelPath>, each: &mut dyn FnMut(Held) -> Go) -> io::Result<Go> {
    for (own, stat) in tree::children(dir)? {
        if stat.is_folder() {
            let Some(name) = tree::name_of(dir, &own) else { continue };
            let path = at.map_or_else(|| Ok(name.clone().into()), |at| at.join(&name));
            // What nobody can name is in nobody's way.
            let Ok(path) = path else { continue };
            match dir.open_dir_nofollow(&own) {
                Ok(inner) if walk_below(&inner, Some(&path), each)? == Go::Stop => return Ok(Go::Stop),
                // Tidied away since.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        } else if let (Some(path), Some(id)) = (at, id_of(&own))
            && each(Held { path: path.clone(), id, stat }) == Go::Stop
        {
            return Ok(Go::Stop);
        }
    }
    Ok(Go::On)
}

/// Removes the folders that hold no version any more, from the innermost outwards. What is left of
/// them harms nobody. None may be open: Windows removes no such folder.
fn tidy(versions: &Tree, path: &RelPath) {
    let mut at = Some(path.clone());
    while let Some(path) = at {
        let removed = versions.holding(&path).and_then(|dir| dir.remove_dir(path.last()));
        if removed.is_err() {
            return;
        }
        at = path.parent();
    }
}

/// Gives a file a second name; where the file system has no such thing, copies it.
fn beside((from, name): (&Dir, &str), (to, new): (&Dir, &str)) -> io::Result<()> {
    match from.hard_link(name, to, new) {
        Ok(()) => tree::sync(to),
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Err(error),
        Err(_) => copy((from, name), (to, new)),
    }
}

/// Moves something; where its new place is in another file system, copies it there first.
fn carry((from, name): (&Dir, &str), (to, new): (&Dir, &str)) -> io::Result<()> {
    match tree::move_to(from, name, to, new) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        moved => return moved,
    }
    copy((from, name), (to, new))?;
    from.remove_file(name)?;
    tree::sync(from)
}

/// Copies a file or link: under a name of our own first, so that nobody sees half of it.
fn copy((from, name): (&Dir, &str), (to, new): (&Dir, &str)) -> io::Result<()> {
    let staged = format!("{PREFIX}copy-{}", Uuid::now_v7());
    let make = || {
        if from.symlink_metadata(name)?.is_symlink() {
            return make_link(from.read_link_contents(name)?.as_path(), to, &staged);
        }
        let mut source = tree::open(from, name)?;
        let mut copy = to.open_with(&staged, OpenOptions::new().write(true).create_new(true))?.into_std();
        io::copy(&mut source, &mut copy)?;
        let metadata = source.metadata()?;
        copy.set_permissions(metadata.permissions())?;
        copy.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
        copy.sync_all()
    };
    debug_assert!(is_reserved(&staged));
    let copied = make().and_then(|()| tree::move_to(to, &staged, to, new));
    if copied.is_err() {
        let _ = to.remove_file(&staged);
    }
    copied
}

fn make_link(target: &Path, dir: &Dir, name: &str) -> io::Result<()> {
    #[cfg(unix)]
    {
        dir.symlink_contents(target, name)
    }
    #[cfg(not(unix))]
    {
        let _ = (target, dir, name);
        Err(io::ErrorKind::Unsupported.into())
    }
}
