//! A whole tree that is kept for others, below one handle: every folder is reached one component at a
//! time, no link is followed, and what is done is on the disk when it is said to be.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::sync::Arc;

use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, Metadata};
use unicode_normalization::UnicodeNormalization;

use super::mode::modified;
use super::place::is_taken;
use super::root::{Root, sync_folder};
use super::source::entry_kind;
use crate::base::link_target::LinkTarget;
use crate::base::manifest::{EntryKind, Stamp};
use crate::base::path::{Name, RelPath};

/// What something in a tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// What kind of thing.
    pub kind: EntryKind,
    /// A file's bytes; of a link, those of its target's text; 0 for a folder.
    pub size: u64,
    /// When it was last changed.
    pub modified: Stamp,
    /// When it last became what it is and where it is; as `modified` where the system does not tell.
    pub arrived: Stamp,
    /// Which one, whatever its name; 0 where the system does not tell.
    pub inode: u64,
}

impl Stat {
    /// Whether it holds something by itself: a file or a link.
    pub fn is_kept(&self) -> bool {
        !self.is_folder()
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind.is_folder()
    }
}

/// A folder and everything below it.
#[derive(Debug, Clone)]
pub struct Tree(Arc<Dir>);

impl Tree {
    /// The tree below this root.
    pub fn of(root: &Root) -> Self {
        Self(root.dir().clone())
    }

    /// The tree below a folder that is open already.
    pub fn below(dir: Dir) -> Self {
        Self(Arc::new(dir))
    }

    /// The folder at `path`, `None` for the top.
    ///
    /// # Errors
    /// As the file system says: also where one on the way is a link.
    pub fn folder(&self, path: Option<&RelPath>) -> io::Result<Arc<Dir>> {
        let mut dir = self.0.clone();
        for name in path.into_iter().flat_map(RelPath::components) {
            dir = Arc::new(dir.open_dir_nofollow(name)?);
        }
        Ok(dir)
    }

    /// The same, each folder on the way being made where it is missing.
    ///
    /// # Errors
    /// As for [`Tree::folder`].
    pub fn make(&self, path: Option<&RelPath>) -> io::Result<Arc<Dir>> {
        let mut dir = self.0.clone();
        for name in path.into_iter().flat_map(RelPath::components) {
            let next = match dir.open_dir_nofollow(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match dir.create_dir(name) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                        _ => sync_folder(&dir)?,
                    }
                    dir.open_dir_nofollow(name)?
                }
                opened => opened?,
            };
            dir = Arc::new(next);
        }
        Ok(dir)
    }

    /// The folder that holds `path`.
    ///
    /// # Errors
    /// As for [`Tree::folder`].
    pub fn holding(&self, path: &RelPath) -> io::Result<Arc<Dir>> {
        self.folder(path.parent().as_ref())
    }
}

/// What has this name in a folder; `None` where nothing has.
///
/// # Errors
/// As the file system says; where it is neither file, folder nor a link that can travel.
pub fn look(dir: &Dir, name: &str) -> io::Result<Option<Stat>> {
    match dir.symlink_metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(metadata) => match stat_of(dir, name.as_ref(), &metadata) {
            Some(stat) => Ok(Some(stat)),
            None => Err(io::Error::other("neither a file nor a folder nor a link that can travel")),
        },
    }
}

/// Everything in a folder under its own name as the file system has it, our own folders too; without
/// what is neither file, folder nor a link that can travel.
///
/// # Errors
/// As the file system says.
pub fn children(dir: &Dir) -> io::Result<Vec<(String, Stat)>> {
    let mut children = Vec::new();
    for child in dir.entries()? {
        let child = child?;
        let own = child.file_name();
        // Gone since, or not for us to see.
        let Ok(metadata) = child.metadata() else { continue };
        if let (Some(name), Some(stat)) = (own.to_str(), stat_of(dir, &own, &metadata)) {
            children.push((name.to_owned(), stat));
        }
    }
    Ok(children)
}

/// The name that something is asked for by, where it has one that can travel: file systems that keep
/// another normal form find it by this one, others must not be asked.
pub fn name_of(dir: &Dir, own: &str) -> Option<Name> {
    if let Ok(name) = Name::parse(own) {
        return Some(name);
    }
    let name = Name::parse(&own.nfc().collect::<String>()).ok()?;
    dir.symlink_metadata(name.as_str()).is_ok().then_some(name)
}

fn stat_of(dir: &Dir, own: &OsStr, metadata: &Metadata) -> Option<Stat> {
    let kind = if metadata.is_dir() {
        EntryKind::FOLDER
    } else if metadata.is_file() {
        entry_kind(metadata)
    } else if metadata.is_symlink() {
        let target = dir.read_link_contents(own).ok()?;
        EntryKind::Link { target: LinkTarget::from_local(target.to_str()?).ok()? }
    } else {
        return None;
    };
    let modified = modified(metadata);
    let size = if metadata.is_dir() { 0 } else { metadata.len() };
    #[cfg(unix)]
    let (inode, arrived) = {
        use cap_std::fs::MetadataExt;
        let nanos = u32::try_from(metadata.ctime_nsec()).unwrap_or(0);
        (metadata.ino(), Stamp { seconds: metadata.ctime(), nanos })
    };
    #[cfg(not(unix))]
    let (inode, arrived) = (0, modified);
    Some(Stat { kind, size, modified, arrived, inode })
}

/// Opens a file to read; never through a link, never waiting for a pipe.
///
/// # Errors
/// As the file system says.
pub fn open(dir: &Dir, name: &str) -> io::Result<std::fs::File> {
    let file = super::open::to_read(dir, name)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a file")) }
}

/// Renames and fails where the new name is taken, in one step of the file system where it has one. Both
/// folders are on the disk then.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] where it is taken; else as the file system says.
pub fn move_to(from: &Dir, name: &str, to: &Dir, new: &str) -> io::Result<()> {
    rename_without_replacing(from, name, to, new)?;
    sync_folder(to)?;
    sync_folder(from)
}

/// The same, without the sync.
pub(super) fn rename_without_replacing(from: &Dir, name: &str, to: &Dir, new: &str) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            done => return Ok(done?),
        }
    }
    // A link to the new name fails where that is taken, as atomically as the rename above.
    if from.symlink_metadata(name)?.is_file() {
        match from.hard_link(name, to, new) {
            Ok(()) => return from.remove_file(name),
            Err(error) if is_taken(&error) => return Err(error),
            Err(_) => {}
        }
    }
    if to.symlink_metadata(new).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    from.rename(name, to, new)
}

/// Opens a folder that only its owner may enter, which is made where it is missing; no link is followed.
///
/// # Errors
/// As the system says.
pub fn private_folder(dir: &Dir, name: &str) -> io::Result<Dir> {
    let mut builder = cap_std::fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use cap_std::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    #[cfg(not(unix))]
    let _ = &mut builder;
    match dir.create_dir_with(name, &builder) {
        Ok(()) => dir.open_dir_nofollow(name),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = dir.open_dir_nofollow(name)?;
            make_private(&found)?;
            Ok(found)
        }
        Err(error) => Err(error),
    }
}

/// That a folder that was there is nobody else's, as it may be where others may write, too; and that they
/// may not look into it.
fn make_private(dir: &Dir) -> io::Result<()> {
    #[cfg(unix)]
    {
        use cap_std::fs::{MetadataExt, Permissions, PermissionsExt};
        let found = dir.dir_metadata()?;
        if ![0, rustix::process::geteuid().as_raw()].contains(&found.uid()) {
            let text = "the folder for what is on its way belongs to another user";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        if found.mode() & 0o077 != 0 {
            // A file system without modes keeps its own.
            let _ = dir.set_permissions(".", Permissions::from_mode(0o700));
        }
    }
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// Makes what was renamed, created or removed in a folder survive a power cut.
///
/// # Errors
/// As the file system says.
pub fn sync(dir: &Dir) -> io::Result<()> {
    sync_folder(dir)
}

/// Whether the same bytes come from both.
///
/// # Errors
/// As they say.
pub fn same_bytes(mut one: impl Read, mut two: impl Read) -> io::Result<bool> {
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
