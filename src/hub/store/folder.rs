//! The store that is a plain folder: what a file manager shows of it is what the hub holds.

use std::collections::HashMap;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;

use super::{Held, Keep, Shared, Stat, Store, kept, share};
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::EntryKind;
use crate::base::path::{Name, RelPath, is_reserved};
use crate::disk::item::Item;
use crate::disk::root::Root;
use crate::disk::source::{Go, Source};
use crate::disk::tree::{self, Tree};
use crate::wire::hub::VersionId;

/// The hub's own folder in the one that it keeps.
const OWN: &str = ".ftx";
/// In it, the kept versions.
const VERSIONS: &str = "versions";

/// A folder that is a store.
#[derive(Debug)]
pub struct Folder {
    root: Root,
    tree: Tree,
    own: Arc<Dir>,
    versions: Tree,
}

impl Folder {
    /// Opens the folder, and the hub's own in it; both are made where they are missing.
    ///
    /// # Errors
    /// A disk fault that names it.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        let open = || {
            let root = Root::open_or_create(dir)?;
            let own = tree::private_folder(root.dir(), OWN)?;
            let versions = Tree::below(tree::private_folder(&own, VERSIONS)?);
            tree::sync(&own)?;
            tree::sync(root.dir())?;
            Ok(Self { tree: Tree::of(&root), root, own: Arc::new(own), versions })
        };
        open().map_err(|error: io::Error| Fault::disk(format!("opening {}", dir.display()), &error))
    }

    /// The folder that holds a path, and the path's name in it.
    fn at(&self, path: &RelPath) -> io::Result<(Arc<Dir>, Name)> {
        Ok((self.tree.holding(path)?, path.file_name()))
    }

    /// The same; the folder is made where it is missing.
    fn making(&self, path: &RelPath) -> io::Result<(Arc<Dir>, Name)> {
        Ok((self.tree.make(path.parent().as_ref())?, path.file_name()))
    }
}

impl Store for Folder {
    fn stat(&self, path: &RelPath) -> Result<Option<Stat>, Fault> {
        let look = self.at(path).and_then(|(dir, name)| tree::look(&dir, name.as_str()));
        found(look).map_err(|error| fault(path, &error))
    }

    fn stats(&self, paths: &[RelPath]) -> Result<HashMap<RelPath, Stat>, Fault> {
        let mut stats = HashMap::with_capacity(paths.len());
        let mut last: Option<(Option<RelPath>, Option<Arc<Dir>>)> = None;
        for path in paths {
            let parent = path.parent();
            if last.as_ref().is_none_or(|(folder, _)| *folder != parent) {
                // A folder that is not there is looked for once.
                let dir = found(self.tree.holding(path).map(Some)).map_err(|error| fault(path, &error))?;
                last = Some((parent, dir));
            }
            if let Some((_, Some(dir))) = &last {
                let look = tree::look(dir, path.last());
                let stat = found(look).map_err(|error| fault(path, &error))?;
                stats.extend(stat.map(|stat| (path.clone(), stat)));
            }
        }
        Ok(stats)
    }

    fn list(&self, folder: Option<&RelPath>) -> Result<Vec<(Name, Stat)>, Fault> {
        let list = || {
            let dir = self.tree.folder(folder)?;
            let children = tree::children(&dir)?.into_iter().filter(|(own, _)| !is_reserved(own));
            Ok(children.filter_map(|(own, stat)| Some((tree::name_of(&dir, &own)?, stat))).collect())
        };
        list().map_err(|error: io::Error| match folder {
            Some(folder) => fault(folder, &error),
            None => Fault::disk("reading the hub's folder", &error),
        })
    }

    fn read(&self, path: &RelPath) -> Result<Box<dyn Read + Send>, Fault> {
        let (dir, name) = self.at(path).map_err(|error| fault(path, &error))?;
        bytes(&dir, name.as_str(), Memory::Use).map_err(|error| fault(path, &error))
    }

    fn read_again(&self, path: &RelPath, version: Option<VersionId>) -> Result<Box<dyn Read + Send>, Fault> {
        let read = || match version {
            None => self.at(path).and_then(|(dir, name)| bytes(&dir, name.as_str(), Memory::Avoid)),
            Some(id) => bytes(&*self.versions.folder(Some(path))?, &kept::name(id), Memory::Avoid),
        };
        read().map_err(|error| fault(path, &error))
    }

    fn make_folder(&self, path: &RelPath) -> Result<(), Fault> {
        let made = match path.parent() {
            // A space is for whoever has joined; others on this machine come in once its owner lets them.
            None => tree::private_folder(self.root.dir(), path.last()).and_then(|_| tree::sync(self.root.dir())),
            Some(_) => self.tree.make(Some(path)).map(drop),
        };
        made.map_err(|error| fault(path, &error))
    }

    fn rename(&self, from: &RelPath, to: &RelPath) -> Result<(), Fault> {
        if to.as_str().strip_prefix(from.as_str()).is_some_and(|rest| rest.starts_with('/')) {
            return Err(Fault::new(FaultKind::NotPermitted, format!("{from} cannot be moved into itself")));
        }
        let (dir, name) = self.at(from).map_err(|error| fault(from, &error))?;
        tree::look(&dir, name.as_str()).and_then(there).map_err(|error| fault(from, &error))?;
        let (into, new) = self.making(to).map_err(|error| fault(to, &error))?;
        tree::move_to(&dir, name.as_str(), &into, new.as_str()).map_err(|error| fault(to, &error))
    }

    fn move_versions(&self, from: &RelPath, to: &RelPath) -> Result<(), Fault> {
        kept::move_all(&self.versions, from, to).map_err(|error| fault(from, &error))
    }

    fn remove_folder(&self, path: &RelPath) -> Result<(), Fault> {
        let remove = || {
            let (dir, name) = self.at(path)?;
            dir.remove_dir(name.as_str())?;
            tree::sync(&dir)
        };
        remove().map_err(|error| fault(path, &error))
    }

    fn keep(&self, path: &RelPath, id: VersionId, how: Keep) -> Result<(), Fault> {
        let keep = || {
            let (dir, name) = self.at(path)?;
            if !there(tree::look(&dir, name.as_str())?)?.is_kept() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            kept::keep(&self.versions, path, id, (&dir, name.as_str()), how)
        };
        keep().map_err(|error| fault(path, &error))
    }

    fn bring_back(&self, path: &RelPath, id: VersionId, to: &RelPath) -> Result<(), Fault> {
        let (dir, name) = self.making(to).map_err(|error| fault(to, &error))?;
        kept::bring_back(&self.versions, path, id, (&dir, name.as_str())).map_err(|error| {
            let at = if error.kind() == io::ErrorKind::NotFound { path } else { to };
            fault(at, &error)
        })
    }

    fn drop_version(&self, path: &RelPath, id: VersionId) -> Result<(), Fault> {
        match kept::drop(&self.versions, path, id) {
            Err(error) if is_missing(&error) => Ok(()),
            dropped => dropped.map_err(|error| fault(path, &error)),
        }
    }

    fn stat_version(&self, path: &RelPath, id: VersionId) -> Result<Option<Stat>, Fault> {
        let look = self.versions.folder(Some(path)).and_then(|dir| tree::look(&dir, &kept::name(id)));
        found(look).map_err(|error| fault(path, &error))
    }

    fn versions(&self, each: &mut dyn FnMut(Held) -> Go) -> Result<(), Fault> {
        kept::walk(&self.versions, each).map_err(|error| Fault::disk("reading the kept versions", &error))
    }

    fn incoming(&self, to: &RelPath) -> Result<Root, Fault> {
        let below = self.root.below(to).map_err(|error| fault(to, &error))?;
        Ok(below.staged_below(self.own.clone()))
    }

    fn is_at(&self, root: &Root, to: &RelPath) -> Result<bool, Fault> {
        let look =
            found(self.tree.folder(Some(to)).map(Some)).and_then(|dir| dir.map_or(Ok(false), |dir| root.is(&dir)));
        look.map_err(|error| fault(to, &error))
    }

    fn outgoing(&self, paths: &[RelPath]) -> Result<Source, Fault> {
        let item = |path: &RelPath| {
            let (within, name) = self.at(path)?;
            there(tree::look(&within, name.as_str())?)?;
            Ok(Item::Path { within, local: PathBuf::from(name.as_str()), name, above: None, own: None })
        };
        let items = paths.iter().map(|path| item(path).map_err(|error: io::Error| fault(path, &error)));
        Ok(Source::new(items.collect::<Result<_, _>>()?))
    }

    fn free(&self) -> Option<u64> {
        self.root.free_space()
    }

    fn share(&self, from: &RelPath, with: &RelPath) -> Shared {
        let share = || {
            let ((from, one), (with, other)) = (self.at(from)?, self.at(with)?);
            share::share((&from, one.as_str()), (&with, other.as_str()), &self.own)
        };
        // A disk where it does not work, for whatever reason, only has less room.
        share().unwrap_or(Shared::No)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Use,
    Avoid,
}

fn bytes(dir: &Dir, name: &str, memory: Memory) -> io::Result<Box<dyn Read + Send>> {
    if let EntryKind::Link { .. } = there(tree::look(dir, name)?)?.kind {
        let target = dir.read_link_contents(name)?;
        return Ok(Box::new(Cursor::new(target.as_os_str().as_encoded_bytes().to_vec())));
    }
    let file = tree::open(dir, name)?;
    #[cfg(target_os = "linux")]
    if memory == Memory::Avoid {
        // What is not on the disk yet stays; it is not what has rotted.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
    Ok(Box::new(file))
}

fn there(look: Option<Stat>) -> io::Result<Stat> {
    look.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn found<T>(look: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match look {
        Err(error) if is_missing(&error) => Ok(None),
        look => look,
    }
}

/// Whether a path leads nowhere: something on its way is missing, or is no folder.
fn is_missing(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return true;
    }
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn fault(path: &RelPath, error: &io::Error) -> Fault {
    let not_permitted = |text: &str| Fault::new(FaultKind::NotPermitted, format!("{path} {text}"));
    match error.kind() {
        _ if is_missing(error) => Fault::new(FaultKind::NotFound, format!("{path} is not there")),
        io::ErrorKind::AlreadyExists => not_permitted("is there already"),
        io::ErrorKind::DirectoryNotEmpty => not_permitted("is not empty"),
        io::ErrorKind::IsADirectory => not_permitted("is a folder"),
        _ => Fault::disk(path, error),
    }
}
