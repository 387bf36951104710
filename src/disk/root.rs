//! One directory handle below which everything happens. No link is followed on the way down.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use super::keeper::Keeper;
use crate::base::fault::Fault;
use crate::base::path::RelPath;

/// Most bytes that are kept free on a disk that others fill.
#[cfg(unix)]
const RESERVE: u64 = 64 << 20;

/// A folder opened once; paths from elsewhere are resolved below it and nowhere else.
#[derive(Debug, Clone)]
pub struct Root {
    dir: Arc<Dir>,
    shown: PathBuf,
    conflict: Conflict,
    /// Where what comes is staged: in the same file system.
    staging: Arc<Dir>,
    keeper: Option<Arc<dyn Keeper>>,
    /// Most bytes of a path below it: those that the folder's own path leaves of what can be named.
    longest: usize,
}

/// What becomes of something that comes where something else has its name already: the choice of
/// whoever owns the folder, never of the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflict {
    /// It gets a number: `name (1)`.
    #[default]
    Rename,
    /// It is not taken; what is there stays.
    Skip,
    /// A file or link that is there gives way to it. A folder never does, nor to a folder.
    Replace,
}

impl Conflict {
    /// The word used on the command line and for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::Skip => "skip",
            Self::Replace => "replace",
        }
    }
}

impl Root {
    /// Opens a folder that exists.
    ///
    /// # Errors
    /// As the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::of(Arc::new(Dir::open_ambient_dir(path, ambient_authority())?), path.to_owned()))
    }

    /// A folder that is open already, shown as `shown`.
    pub fn of(dir: Arc<Dir>, shown: PathBuf) -> Self {
        Self { staging: dir.clone(), dir, shown, conflict: Conflict::default(), keeper: None, longest: RelPath::MAX }
    }

    /// The folder at `path` below this one, made where it is missing, no link being followed. What is
    /// made survives a power cut.
    ///
    /// # Errors
    /// As the file system says.
    pub fn below(&self, path: &RelPath) -> io::Result<Self> {
        let mut folders = Folders::new(self.dir.clone());
        let dir = match folders.folder(path, Missing::Fail) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let dir = folders.folder(path, Missing::Create)?;
                let mut at = path.parent();
                while let Some(above) = at {
                    sync_folder(&*folders.folder(&above, Missing::Fail)?)?;
                    at = above.parent();
                }
                sync_folder(&self.dir)?;
                dir
            }
            found => found?,
        };
        let longest = self.longest.saturating_sub(path.as_str().len() + 1);
        Ok(Self { dir, shown: self.shown.join(path.as_str()), longest, ..self.clone() })
    }

    /// The same folder; what comes is staged below another one of the same file system.
    #[must_use]
    pub fn staged_below(self, staging: Arc<Dir>) -> Self {
        Self { staging, ..self }
    }

    /// The same folder, looked after by somebody; that one has the say about names that are taken.
    #[must_use]
    pub fn kept_by(self, keeper: Arc<dyn Keeper>) -> Self {
        Self { keeper: Some(keeper), ..self }
    }

    /// Who looks after it.
    pub fn keeper(&self) -> Option<&Arc<dyn Keeper>> {
        self.keeper.as_ref()
    }

    /// Most bytes of a path below it that whoever looks from above can still name.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether this folder is that one, whatever path led to each; where the system does not tell, it is.
    ///
    /// # Errors
    /// As the file system says.
    pub fn is(&self, other: &Dir) -> io::Result<bool> {
        #[cfg(unix)]
        {
            use cap_std::fs::MetadataExt;
            let (one, other) = (self.dir.dir_metadata()?, other.dir_metadata()?);
            Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
        }
        #[cfg(not(unix))]
        {
            let _ = other;
            Ok(true)
        }
    }

    /// Where what comes is staged.
    pub(super) fn staging(&self) -> &Dir {
        &self.staging
    }

    /// What becomes of what comes to `path` where something else is.
    pub(super) fn conflict_at(&self, path: &RelPath) -> Conflict {
        self.keeper.as_ref().map_or(self.conflict, |keeper| keeper.conflict(path))
    }

    /// Whether what is at `path` may be given another time, where it is equal to what comes.
    pub(super) fn may_touch(&self, path: &RelPath) -> bool {
        self.keeper.as_ref().is_none_or(|keeper| keeper.conflict(path) == Conflict::Replace)
    }

    /// Opens a folder, making it first where it is not there. What is made survives a power cut.
    ///
    /// # Errors
    /// As the file system says.
    pub fn open_or_create(path: &Path) -> io::Result<Self> {
        let whole = std::path::absolute(path)?;
        let made = whole.ancestors().take_while(|folder| !folder.exists()).count();
        Dir::create_ambient_dir_all(path, ambient_authority())?;
        for above in whole.ancestors().skip(1).take(made) {
            // A folder above that may not be opened cannot be synced by us; what is in it is ours.
            if let Ok(above) = Dir::open_ambient_dir(above, ambient_authority()) {
                sync_folder(&above)?;
            }
        }
        Self::open(path)
    }

    /// The same folder, with this rule for names that are taken.
    #[must_use]
    pub fn on_conflict(self, conflict: Conflict) -> Self {
        Self { conflict, ..self }
    }

    /// The rule for names that are taken.
    pub fn conflict(&self) -> Conflict {
        self.conflict
    }

    /// The handle.
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// Where it is, for messages.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// Whether something can be created here: tries it.
    ///
    /// # Errors
    /// A disk fault that names the folder.
    pub fn check_writable(&self) -> Result<(), Fault> {
        let probe = format!(".ftx-probe-{}", uuid::Uuid::now_v7());
        let made = self.dir.create_dir(&probe).and_then(|()| self.dir.remove_dir(&probe));
        made.map_err(|error| Fault::disk(format!("writing to {}", self.shown.display()), &error))
    }

    /// Whether the folder has been removed since it was opened.
    pub fn is_gone(&self) -> bool {
        #[cfg(unix)]
        return rustix::fs::fstat(&*self.dir).is_ok_and(|stat| stat.st_nlink == 0);
        #[cfg(not(unix))]
        return false;
    }

    /// Bytes that may still be written here; `None` where the system does not tell us.
    pub fn free_space(&self) -> Option<u64> {
        #[cfg(unix)]
        {
            let stat = rustix::fs::fstatvfs(&*self.dir).ok()?;
            Some(stat.f_bavail.saturating_mul(stat.f_frsize))
        }
        #[cfg(not(unix))]
        None
    }

    /// Bytes that may be filled by what comes: a hundredth of the disk, at most 64 MiB, stays free for
    /// others. `None` where the system does not tell.
    pub fn spare_space(&self) -> Option<u64> {
        #[cfg(unix)]
        {
            let stat = rustix::fs::fstatvfs(&*self.dir).ok()?;
            let reserve = (stat.f_blocks.saturating_mul(stat.f_frsize) / 100).min(RESERVE);
            Some(stat.f_bavail.saturating_mul(stat.f_frsize).saturating_sub(reserve))
        }
        #[cfg(not(unix))]
        None
    }
}

/// Options that open a file to read and never through a link.
pub(super) fn read_nofollow() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;
        // A pipe that has taken a file's place is not waited for.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    options
}

/// What to do about a folder that is missing on the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make it.
    Create,
    /// Fail.
    Fail,
}

/// Folders below a root, opened once and kept while they are in use.
#[derive(Debug)]
pub(super) struct Folders {
    root: Arc<Dir>,
    open: HashMap<RelPath, Arc<Dir>>,
    /// The one asked for last: mostly it is asked for again.
    last: Option<(RelPath, Arc<Dir>)>,
    /// One that was missing when it was asked for last.
    missing: Option<RelPath>,
}

/// Most folders kept open at once.
const KEPT_OPEN: usize = 64;

impl Folders {
    pub(super) fn new(root: Arc<Dir>) -> Self {
        Self { root, open: HashMap::new(), last: None, missing: None }
    }

    /// The folder that holds `path`, reached one component at a time.
    pub(super) fn holding(&mut self, path: &RelPath, missing: Missing) -> io::Result<Arc<Dir>> {
        let Some((parent, _)) = path.as_str().rsplit_once('/') else { return Ok(self.root.clone()) };
        match &self.last {
            Some((last, dir)) if last.as_str() == parent => return Ok(dir.clone()),
            _ => {}
        }
        if missing == Missing::Fail && self.missing.as_ref().is_some_and(|missing| missing.as_str() == parent) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let Some(parent) = path.parent() else { return Ok(self.root.clone()) };
        let found = self.folder(&parent, missing);
        match &found {
            Ok(dir) => self.last = Some((parent, dir.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.missing = Some(parent),
            Err(_) => {}
        }
        found
    }

    /// The folder at `path`.
    pub(super) fn folder(&mut self, path: &RelPath, missing: Missing) -> io::Result<Arc<Dir>> {
        if let Some(dir) = self.open.get(path) {
            return Ok(dir.clone());
        }
        let above = self.holding(path, missing)?;
        let name = path.file_name();
        let dir = match above.open_dir_nofollow(name.as_str()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::Create => {
                match above.create_dir(name.as_str()) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => above.open_dir_nofollow(name.as_str())?,
                }
            }
            opened => opened?,
        };
        if self.open.len() >= KEPT_OPEN {
            self.open.clear();
        }
        let dir = Arc::new(dir);
        self.open.insert(path.clone(), dir.clone());
        Ok(dir)
    }
}

/// Makes what was renamed or created in a folder survive a power cut.
pub(super) fn sync_folder(dir: &Dir) -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::{Mode, OFlags, fsync, openat};
        let open = openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(fsync(open)?)
    }
    #[cfg(not(unix))]
    {
        // Windows writes its directory changes through the journal of the file system.
        let _ = dir;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text).unwrap()
    }

    #[test]
    fn folders_are_made_below_the_root() {
        let home = tempfile::tempdir().unwrap();
        let root = Root::open_or_create(&home.path().join("in/box")).unwrap();
        let mut folders = Folders::new(root.dir().clone());
        assert!(folders.holding(&path("a/b/c"), Missing::Fail).is_err());
        folders.holding(&path("a/b/c"), Missing::Create).unwrap();
        assert!(home.path().join("in/box/a/b").is_dir());
        assert!(root.free_space().is_none_or(|free| free > 0));
        root.check_writable().unwrap();
        sync_folder(root.dir()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_on_the_way_down_is_never_followed() {
        let home = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("inside")).unwrap();
        std::os::unix::fs::symlink(outside.path(), home.path().join("out")).unwrap();
        std::os::unix::fs::symlink("inside", home.path().join("in")).unwrap();
        let root = Root::open(home.path()).unwrap();
        let mut folders = Folders::new(root.dir().clone());
        assert!(folders.holding(&path("out/x"), Missing::Create).is_err());
        assert!(folders.holding(&path("in/x"), Missing::Create).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
