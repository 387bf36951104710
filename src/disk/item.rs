//! One thing to send, before it is walked.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::open;
use super::root::Root;
use crate::base::fault::{Fault, FaultKind, plain};
use crate::base::path::{Name, RelPath, Rewritten};
use crate::base::text::PeerText;

/// One thing to send: what is named on the command line, or asked for from a share.
#[derive(Debug, Clone)]
pub enum Item {
    /// A file or folder with everything in it.
    Path {
        /// The folder it is in.
        within: Arc<Dir>,
        /// Where in it.
        local: PathBuf,
        /// Under which name it travels.
        name: Name,
        /// The path of the folder it is in, where somebody named it.
        above: Option<Arc<Path>>,
        /// Its own name where that cannot travel.
        own: Option<PeerText>,
    },
    /// The bytes of standard input.
    Stdin {
        /// Under which name they travel.
        name: Name,
    },
    /// A short text.
    Text {
        /// Under which name it travels.
        name: Name,
        /// Its bytes.
        bytes: Arc<[u8]>,
    },
}

impl Item {
    /// A path that the person at this machine named. A link is followed: it was meant.
    ///
    /// # Errors
    /// Why it cannot be sent: of the kind [`FaultKind::Disk`] where it is there and cannot be read.
    pub fn named(path: &Path) -> Result<Self, Fault> {
        let failed = |error: &io::Error| {
            let missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
            Fault::new(if missing { FaultKind::NotFound } else { FaultKind::Disk }, plain(error))
        };
        let path_of_it = std::fs::canonicalize(path).map_err(|e| failed(&e))?;
        let (Some(parent), Some(file)) = (path_of_it.parent(), path_of_it.file_name()) else {
            return Err(Fault::new(FaultKind::NotFound, "a whole file system has no name to send it under"));
        };
        // The name typed, not the one a link leads to; `.` and `..` have none of their own.
        let typed = path.file_name().unwrap_or(file);
        let (name, rewritten) = Name::from_local(&typed.to_string_lossy());
        let own = (rewritten == Rewritten::Yes || typed.to_str().is_none()).then(|| shown(typed));
        let within = Dir::open_ambient_dir(parent, ambient_authority()).map_err(|e| failed(&e))?;
        let metadata = within.symlink_metadata(file).map_err(|e| failed(&e))?;
        if metadata.is_dir() {
            within.read_dir(file).map_err(|e| failed(&e))?;
        } else if metadata.is_file() {
            open::to_read(&within, file).map_err(|e| failed(&e))?;
        } else {
            return Err(Fault::new(FaultKind::NotFound, "neither a file nor a folder"));
        }
        let (local, above) = (PathBuf::from(file), Some(Arc::from(parent)));
        Ok(Self::Path { within: Arc::new(within), local, name, own, above })
    }

    /// A path below a shared folder, `None` for the whole of it under the share's name. A link
    /// that is named is followed where it stays inside.
    ///
    /// # Errors
    /// Where it is missing, or leads outside.
    pub fn shared(root: &Root, share: &Name, path: Option<&RelPath>) -> io::Result<Self> {
        let (local, name) = match path {
            Some(path) => (followed(root.dir(), path.as_str())?, path.file_name()),
            None => (PathBuf::from("."), share.clone()),
        };
        Ok(Self::Path { within: root.dir().clone(), local, name, own: None, above: None })
    }

    pub(super) fn name(&self) -> &Name {
        match self {
            Self::Path { name, .. } | Self::Stdin { name } | Self::Text { name, .. } => name,
        }
    }

    /// What stands for a path that was typed, however it was spelt.
    pub(super) fn typed(&self) -> Option<(Arc<Path>, PathBuf, Name)> {
        match self {
            Self::Path { above: Some(above), local, name, .. } => Some((above.clone(), local.clone(), name.clone())),
            _ => None,
        }
    }

    pub(super) fn renamed(self, name: Name) -> Self {
        match self {
            Self::Path { within, local, own, above, name: before } => {
                let own = own.or_else(|| Some(shown(before.as_str().as_ref())));
                Self::Path { within, local, name, own, above }
            }
            Self::Stdin { .. } => Self::Stdin { name },
            Self::Text { bytes, .. } => Self::Text { name, bytes },
        }
    }
}

/// Most links that lead from one to the next; Linux follows as many.
const MOST_LINKS: usize = 40;

/// Where a path leads to a file or folder, below this folder. It is not opened: a pipe would be waited for.
fn followed(dir: &Dir, path: &str) -> io::Result<PathBuf> {
    let mut at = PathBuf::from(path);
    for _ in 0..MOST_LINKS {
        let metadata = dir.symlink_metadata(&at)?;
        if metadata.is_file() || metadata.is_dir() {
            return Ok(at);
        }
        if !metadata.is_symlink() {
            return Err(io::ErrorKind::NotFound.into());
        }
        at = at.parent().unwrap_or(Path::new("")).join(dir.read_link(&at)?);
    }
    Err(io::ErrorKind::NotFound.into())
}

/// A name of this system, for a screen.
pub(super) fn shown(own: &OsStr) -> PeerText {
    PeerText::new(own.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told() {
        let fault = Item::named(Path::new("/nowhere/at all")).unwrap_err();
        assert_eq!(fault.kind, FaultKind::NotFound);
    }
}
