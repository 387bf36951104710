//! What is sent: walking trees below a root, and reading their files chunk by chunk.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirEntry, Metadata};

use super::root::{Root, read_nofollow};
use crate::base::digest::CHUNK;
use crate::base::fault::{Fault, FaultKind, plain};
use crate::base::manifest::{Entry, EntryKind, Stamp};
use crate::base::path::{LinkTarget, Name, RelPath, Rewritten};

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
    /// Where it is missing or unreadable, told with its path.
    pub fn named(path: &Path) -> Result<Self, Fault> {
        let failed = |error: &io::Error| {
            let kind = if error.kind() == io::ErrorKind::NotFound { FaultKind::NotFound } else { FaultKind::Disk };
            Fault::new(kind, format!("{}: {}", path.display(), plain(error)))
        };
        let path_of_it = std::fs::canonicalize(path).map_err(|e| failed(&e))?;
        let (Some(parent), Some(file)) = (path_of_it.parent(), path_of_it.file_name()) else {
            let text = format!("{}: a whole file system has no name to send it under", path.display());
            return Err(Fault::new(FaultKind::NotFound, text));
        };
        // The name typed, not the one a link leads to; `.` and `..` have none of their own.
        let typed = path.file_name().unwrap_or(file);
        let (name, _) = Name::from_local(&typed.to_string_lossy());
        let within = Dir::open_ambient_dir(parent, ambient_authority()).map_err(|e| failed(&e))?;
        let metadata = within.symlink_metadata(file).map_err(|e| failed(&e))?;
        if metadata.is_dir() {
            within.read_dir(file).map_err(|e| failed(&e))?;
        } else if metadata.is_file() {
            within.open_with(file, &read_nofollow()).map_err(|e| failed(&e))?;
        } else {
            let text = format!("{}: neither a file nor a folder", path.display());
            return Err(Fault::new(FaultKind::NotFound, text));
        }
        Ok(Self::Path { within: Arc::new(within), local: PathBuf::from(file), name })
    }

    /// A path below a shared folder, `None` for the whole of it under the share's name.
    pub fn shared(root: &Root, share: &Name, path: Option<&RelPath>) -> Self {
        match path {
            Some(path) => {
                Self::Path { within: root.dir().clone(), local: PathBuf::from(path.as_str()), name: path.file_name() }
            }
            None => Self::Path { within: root.dir().clone(), local: PathBuf::from("."), name: share.clone() },
        }
    }

    fn name(&self) -> &Name {
        match self {
            Self::Path { name, .. } | Self::Stdin { name } | Self::Text { name, .. } => name,
        }
    }

    fn renamed(self, name: Name) -> Self {
        match self {
            Self::Path { within, local, .. } => Self::Path { within, local, name },
            Self::Stdin { .. } => Self::Stdin { name },
            Self::Text { bytes, .. } => Self::Text { name, bytes },
        }
    }
}

/// Everything of one transfer, no two items under one name.
#[derive(Debug, Clone)]
pub struct Source {
    items: Vec<Item>,
}

/// An entry, and where to find its bytes.
#[derive(Debug)]
pub struct Found {
    /// The entry as it travels.
    pub entry: Entry,
    /// Where its bytes are.
    pub place: Place,
}

/// Where an entry's bytes are.
#[derive(Debug, Clone)]
pub struct Place {
    item: u32,
    /// Below the item; `None` where it is the entry's own path below its first component.
    local: Option<Box<Path>>,
}

/// Something in a tree that is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// It cannot be read.
    Unreadable {
        /// What, and why.
        fault: Fault,
    },
    /// A kind of thing that does not travel: a device, a socket, a link out of the tree.
    Special {
        /// What, and why.
        fault: Fault,
    },
    /// It travels under another name: its own has characters that cannot travel.
    Renamed {
        /// Its name here and its name there.
        fault: Fault,
    },
}

impl Source {
    /// These items; a name that is there already gets a number.
    pub fn new(items: Vec<Item>) -> Self {
        let mut taken = HashSet::new();
        let items = items
            .into_iter()
            .map(|item| {
                let own = item.name().clone();
                let name = unused(&own, &mut taken);
                if name == own { item } else { item.renamed(name) }
            })
            .collect();
        Self { items }
    }

    /// The names of the items.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.items.iter().map(Item::name)
    }

    /// Goes through everything, folders before what is in them, names in order. `each` says
    /// whether to go on.
    pub fn walk(&self, mut each: impl FnMut(Result<Found, Passed>) -> Go) {
        for (index, item) in self.items.iter().enumerate() {
            let place = Place { item: index as u32, local: None };
            let path = RelPath::from(item.name().clone());
            let go = match item {
                Item::Stdin { .. } => each(Ok(Found { entry: Entry { path, kind: EntryKind::Stream }, place })),
                Item::Text { bytes, .. } => {
                    let now = Stamp::of(std::time::SystemTime::now());
                    let kind = EntryKind::File { size: bytes.len() as u64, modified: now, executable: false };
                    each(Ok(Found { entry: Entry { path, kind }, place }))
                }
                Item::Path { within, local, .. } => walk_path(within, local, path, index as u32, &mut each),
            };
            if go == Go::Stop {
                return;
            }
        }
    }

    /// Opens an entry's bytes.
    ///
    /// # Errors
    /// Where it vanished, changed or cannot be read.
    pub fn open(&self, found: &Found) -> Result<Reader, Fault> {
        let path = &found.entry.path;
        match &self.items[found.place.item as usize] {
            Item::Stdin { .. } => Ok(Reader::Pipe(Box::new(io::stdin()))),
            Item::Text { bytes, .. } => Ok(Reader::Text(bytes.clone())),
            Item::Path { within, local, .. } => {
                let below = match &found.place.local {
                    Some(local) => local.to_path_buf(),
                    None => path.components().skip(1).collect(),
                };
                let whole = if below.as_os_str().is_empty() { local.clone() } else { local.join(below) };
                let doing = format!("reading {path}");
                let file = within.open_with(&whole, &read_nofollow()).map_err(|e| Fault::disk(&doing, &e))?;
                let metadata = file.metadata().map_err(|e| Fault::disk(&doing, &e))?;
                if entry_kind(&metadata) != found.entry.kind {
                    return Err(changed(path));
                }
                Ok(Reader::File { file: file.into_std(), at: 0, kind: found.entry.kind.clone() })
            }
        }
    }
}

/// Whether a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// It does.
    On,
    /// It ends here.
    Stop,
}

/// The first of `name`, `name (1)`, … that is not taken; takes it.
fn unused(name: &Name, taken: &mut HashSet<Name>) -> Name {
    let mut candidate = name.clone();
    let mut n = 0;
    while !taken.insert(candidate.clone()) {
        n += 1;
        candidate = name.numbered(n);
    }
    candidate
}

fn changed(path: &RelPath) -> Fault {
    Fault::new(FaultKind::Other, format!("{path} changed while it was being sent; send it again"))
}

fn entry_kind(metadata: &Metadata) -> EntryKind {
    EntryKind::File {
        size: metadata.len(),
        modified: metadata.modified().map_or(Stamp { seconds: 0, nanos: 0 }, |time| Stamp::of(time.into_std())),
        executable: executable(metadata),
    }
}

#[cfg(unix)]
fn executable(metadata: &Metadata) -> bool {
    use cap_std::fs::MetadataExt;
    metadata.mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn executable(_: &Metadata) -> bool {
    false
}

fn walk_path(
    within: &Dir,
    local: &Path,
    path: RelPath,
    item: u32,
    each: &mut impl FnMut(Result<Found, Passed>) -> Go,
) -> Go {
    let unreadable = |error: &io::Error| Passed::Unreadable { fault: Fault::disk(&path, error) };
    let metadata = match within.symlink_metadata(local) {
        Ok(metadata) => metadata,
        Err(error) => return each(Err(unreadable(&error))),
    };
    if metadata.is_symlink() {
        let fault = Fault::new(FaultKind::Other, format!("{path}: a link; name what it leads to"));
        return each(Err(Passed::Special { fault }));
    }
    if !metadata.is_dir() {
        let kind = entry_kind(&metadata);
        return each(Ok(Found { entry: Entry { path, kind }, place: Place { item, local: None } }));
    }
    match within.open_dir(local) {
        Ok(dir) => Walk { item, each }.folder(&dir, path, None),
        Err(error) => each(Err(unreadable(&error))),
    }
}

/// A walk through one item's tree.
struct Walk<'a, F> {
    item: u32,
    each: &'a mut F,
}

impl<F: FnMut(Result<Found, Passed>) -> Go> Walk<'_, F> {
    /// A folder and everything in it. `local` is its path below the item where that differs from
    /// the path it travels under.
    fn folder(&mut self, dir: &Dir, path: RelPath, local: Option<&Path>) -> Go {
        let entry = Entry { path: path.clone(), kind: EntryKind::Directory };
        let place = Place { item: self.item, local: local.map(Box::from) };
        if (self.each)(Ok(Found { entry, place })) == Go::Stop {
            return Go::Stop;
        }
        let mut children = Vec::new();
        match dir.entries() {
            Ok(entries) => {
                for child in entries {
                    match child {
                        Ok(child) => children.push(child),
                        Err(error) => {
                            if (self.each)(Err(Passed::Unreadable { fault: Fault::disk(&path, &error) })) == Go::Stop {
                                return Go::Stop;
                            }
                        }
                    }
                }
            }
            Err(error) => return (self.each)(Err(Passed::Unreadable { fault: Fault::disk(&path, &error) })),
        }
        children.sort_by_key(DirEntry::file_name);
        let mut taken = HashSet::new();
        for child in children {
            if child.file_name() == super::partial::STAGING {
                continue;
            }
            if self.child(dir, &path, local, &child, &mut taken) == Go::Stop {
                return Go::Stop;
            }
        }
        Go::On
    }

    fn child(
        &mut self,
        dir: &Dir,
        above: &RelPath,
        local_above: Option<&Path>,
        child: &DirEntry,
        taken: &mut HashSet<Name>,
    ) -> Go {
        let own = child.file_name();
        let typed = own.to_string_lossy();
        let (wanted, rewritten) = Name::from_local(&typed);
        let name = unused(&wanted, taken);
        let path = match above.join(&name) {
            Ok(path) => path,
            Err(error) => {
                let fault = Fault::new(FaultKind::Other, format!("{above}/{name}: {error}"));
                return (self.each)(Err(Passed::Unreadable { fault }));
            }
        };
        if rewritten == Rewritten::Yes || name != wanted || own.to_str().is_none() {
            let from = crate::base::text::PeerText::new(&*typed);
            let fault = Fault::new(FaultKind::Other, format!("{above}/{from} is sent as {name}"));
            if (self.each)(Err(Passed::Renamed { fault })) == Go::Stop {
                return Go::Stop;
            }
        }
        // Remembered only where it cannot be told from the path.
        let differs = local_above.is_some() || own.to_str() != Some(name.as_str());
        let local: Option<PathBuf> = differs.then(|| match local_above {
            Some(above) => above.join(&own),
            None => above.components().skip(1).map(std::ffi::OsStr::new).chain([own.as_os_str()]).collect(),
        });
        let metadata = match child.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return (self.each)(Err(Passed::Unreadable { fault: Fault::disk(&path, &error) })),
        };
        if metadata.is_dir() {
            return match child.open_dir() {
                Ok(dir) => self.folder(&dir, path, local.as_deref()),
                Err(error) => (self.each)(Err(Passed::Unreadable { fault: Fault::disk(&path, &error) })),
            };
        }
        let found = kind_of(dir, &own, &path, &metadata).map(|kind| Found {
            entry: Entry { path, kind },
            place: Place { item: self.item, local: local.map(PathBuf::into_boxed_path) },
        });
        (self.each)(found)
    }
}

fn kind_of(dir: &Dir, own: &std::ffi::OsStr, path: &RelPath, metadata: &Metadata) -> Result<EntryKind, Passed> {
    if metadata.is_file() {
        return Ok(entry_kind(metadata));
    }
    let special = |text: &str| Passed::Special { fault: Fault::new(FaultKind::Other, format!("{path}: {text}")) };
    if !metadata.is_symlink() {
        return Err(special("not a file, folder or link; not sent"));
    }
    let target = dir.read_link_contents(own).map_err(|e| Passed::Unreadable { fault: Fault::disk(path, &e) })?;
    let target = target.to_str().and_then(|text| LinkTarget::parse(text).ok());
    match target {
        Some(target) if target.stays_inside(path) => Ok(EntryKind::Link { target }),
        _ => Err(special("a link that leaves its tree; not sent")),
    }
}

/// An entry's bytes, in whole chunks.
pub enum Reader {
    /// A file, and what it was when it was offered.
    File {
        /// The open file.
        file: File,
        /// Where the next read starts by itself.
        at: u64,
        /// Size, time and mode as offered.
        kind: EntryKind,
    },
    /// A pipe, read once from its beginning to its end.
    Pipe(Box<dyn Read + Send>),
    /// A text.
    Text(Arc<[u8]>),
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// Appends chunk `index` to `into`: `length` bytes at the most. Fewer come at the end only.
    ///
    /// # Errors
    /// As the disk says. A pipe can only be read in order.
    pub fn read(&mut self, index: u32, length: u64, into: &mut Vec<u8>) -> io::Result<u64> {
        let offset = u64::from(index) * CHUNK;
        let before = into.len();
        match self {
            Self::File { file, at, .. } => {
                if *at != offset {
                    file.seek(SeekFrom::Start(offset))?;
                }
                let read = file.take(length).read_to_end(into)? as u64;
                *at = offset + read;
            }
            Self::Pipe(pipe) => {
                pipe.take(length).read_to_end(into)?;
            }
            Self::Text(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let end = start.saturating_add(length as usize).min(bytes.len());
                into.extend_from_slice(&bytes[start..end]);
            }
        }
        Ok((into.len() - before) as u64)
    }

    /// Whether the file still is what it was when it was offered.
    pub fn unchanged(&self) -> bool {
        match self {
            Self::File { file, kind: EntryKind::File { size, modified, .. }, .. } => file
                .metadata()
                .is_ok_and(|now| now.len() == *size && now.modified().is_ok_and(|t| Stamp::of(t) == *modified)),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(source: &Source) -> (Vec<Found>, Vec<Passed>) {
        let (mut found, mut passed) = (Vec::new(), Vec::new());
        source.walk(|one| {
            match one {
                Ok(one) => found.push(one),
                Err(one) => passed.push(one),
            }
            Go::On
        });
        (found, passed)
    }

    #[test]
    fn a_tree_is_walked_in_order_and_read_back() {
        let home = tempfile::tempdir().unwrap();
        let tree = home.path().join("tree");
        std::fs::create_dir_all(tree.join("b/empty")).unwrap();
        std::fs::write(tree.join("b/x"), "xx").unwrap();
        std::fs::write(tree.join("a"), "aaa").unwrap();
        let source = Source::new(vec![Item::named(&tree).unwrap()]);
        let (found, passed) = walk(&source);
        let paths: Vec<_> = found.iter().map(|f| f.entry.path.as_str()).collect();
        assert_eq!(paths, ["tree", "tree/a", "tree/b", "tree/b/empty", "tree/b/x"]);
        assert!(passed.is_empty());
        let mut bytes = Vec::new();
        let mut reader = source.open(&found[4]).unwrap();
        assert_eq!(reader.read(0, 10, &mut bytes).unwrap(), 2);
        assert!(reader.unchanged());
        std::fs::write(tree.join("b/x"), "longer").unwrap();
        assert!(!reader.unchanged());
        assert!(source.open(&found[4]).is_err());
    }

    #[test]
    fn two_items_of_one_name_get_numbers() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["1", "2"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
            std::fs::write(home.path().join(folder).join("a.txt"), folder).unwrap();
        }
        let items = ["1/a.txt", "2/a.txt"].map(|p| Item::named(&home.path().join(p)).unwrap());
        let source = Source::new(items.to_vec());
        let names: Vec<_> = source.names().map(Name::as_str).collect();
        assert_eq!(names, ["a.txt", "a (1).txt"]);
    }

    #[test]
    fn a_missing_source_is_named() {
        let fault = Item::named(Path::new("/nowhere/at all")).unwrap_err();
        assert_eq!(fault.kind, FaultKind::NotFound);
        assert!(fault.to_string().contains("/nowhere/at all"), "{fault}");
    }

    #[cfg(unix)]
    #[test]
    fn links_inside_travel_and_links_out_and_odd_names_are_told() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;
        let home = tempfile::tempdir().unwrap();
        let tree = home.path().join("t");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("f"), "f").unwrap();
        symlink("f", tree.join("in")).unwrap();
        symlink("/etc/passwd", tree.join("out")).unwrap();
        symlink("../..", tree.join("up")).unwrap();
        std::fs::write(tree.join("a\nb"), "odd").unwrap();
        std::fs::write(tree.join(std::ffi::OsStr::from_bytes(b"\xff")), "raw").unwrap();
        let source = Source::new(vec![Item::named(&tree).unwrap()]);
        let (found, passed) = walk(&source);
        let paths: Vec<_> = found.iter().map(|f| f.entry.path.as_str()).collect();
        assert_eq!(paths, ["t", "t/a_b", "t/f", "t/in", "t/\u{fffd}"]);
        assert_eq!(passed.iter().filter(|p| matches!(p, Passed::Special { .. })).count(), 2);
        for odd in [&found[1], &found[4]] {
            let mut bytes = Vec::new();
            source.open(odd).unwrap().read(0, 10, &mut bytes).unwrap();
            assert_eq!(bytes.len(), 3);
        }
    }
}
