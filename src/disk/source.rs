//! What is sent: the items of one transfer, and what is found in them.

use std::collections::HashSet;
use std::path::Path;

use cap_std::fs::{Dir, Metadata};

use super::excludes::{Excludes, Rules};
use super::item::Item;
use super::mode::{is_executable, modified};
use super::walk::walk_path;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::{Entry, EntryKind, Stamp};
use crate::base::path::{Name, RelPath};

/// Everything of one transfer, no two items under one name.
#[derive(Debug, Clone)]
pub struct Source {
    items: Vec<Item>,
    /// What is not sent, and why, before anything is walked.
    unreadable: Vec<Fault>,
    private: Option<FileId>,
    excludes: Excludes,
    /// Items that are left out themselves.
    excluded: Vec<Name>,
}

/// Which file, whatever its name: device and inode. Systems without them have none.
pub(super) type FileId = (u64, u64);

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
    /// Which item it belongs to.
    pub item: u32,
    /// Below the item; `None` where it is the entry's own path below its first component.
    pub local: Option<Box<Path>>,
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
    /// It is left out because somebody asked for it.
    Excluded {
        /// What.
        fault: Fault,
    },
}

impl Passed {
    /// What is not sent, and why; nothing, where it is sent under another name, or where nobody
    /// wants it sent.
    pub fn left_out(&self) -> Option<&Fault> {
        match self {
            Self::Unreadable { fault } | Self::Special { fault } => Some(fault),
            Self::Renamed { .. } | Self::Excluded { .. } => None,
        }
    }
}

impl Source {
    /// These items; what is named twice goes once, another of a name that is there already gets a number.
    pub fn new(items: Vec<Item>) -> Self {
        let (mut taken, mut named) = (HashSet::new(), HashSet::new());
        let items = items
            .into_iter()
            .filter(|item| item.typed().is_none_or(|typed| named.insert(typed)))
            .map(|item| {
                let own = item.name().clone();
                let name = unused(&own, &mut taken);
                if name == own { item } else { item.renamed(name) }
            })
            .collect();
        let excludes = Excludes::default();
        Self { items, unreadable: Vec::new(), private: None, excludes, excluded: Vec::new() }
    }

    /// Tells, as of something in a tree, that these were to be sent and cannot be read.
    #[must_use]
    pub fn without(self, unreadable: Vec<Fault>) -> Self {
        Self { unreadable, ..self }
    }

    /// Never sends this file, under whatever name it is met: the node's private key.
    #[must_use]
    pub fn withholding(self, private: &Path) -> Self {
        #[cfg(unix)]
        let private = {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(private).ok().map(|metadata| (metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let private = {
            let _ = private;
            None
        };
        Self { private, ..self }
    }

    /// Leaves out what `excludes` says.
    #[must_use]
    pub fn excluding(mut self, excludes: Excludes) -> Self {
        for item in std::mem::take(&mut self.items) {
            match &item {
                Item::Path { within, local, name, .. } if is_excluded(within, local, &excludes) => {
                    self.excluded.push(name.clone());
                }
                _ => self.items.push(item),
            }
        }
        Self { excludes, ..self }
    }

    /// The names of the items.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.items.iter().map(Item::name)
    }

    /// Whether everything can be read again: a pipe cannot.
    pub fn is_repeatable(&self) -> bool {
        !self.items.iter().any(|item| matches!(item, Item::Stdin { .. }))
    }

    /// Goes through everything, folders before what is in them, names in order. `each` says
    /// whether to go on.
    pub fn walk(&self, mut each: impl FnMut(Result<Found, Passed>) -> Go) {
        let unreadable = self.unreadable.iter().map(|fault| Passed::Unreadable { fault: fault.clone() });
        let excluded = self.excluded.iter();
        let excluded = excluded.map(|name| Passed::Excluded { fault: Fault::new(FaultKind::Other, name.to_string()) });
        for passed in unreadable.chain(excluded) {
            if each(Err(passed)) == Go::Stop {
                return;
            }
        }
        for (index, item) in self.items.iter().enumerate() {
            if let Item::Path { own: Some(own), name, .. } = item {
                let fault = Fault::new(FaultKind::Other, format!("{own} is sent as {name}"));
                if each(Err(Passed::Renamed { fault })) == Go::Stop {
                    return;
                }
            }
            let place = Place { item: index as u32, local: None };
            let path = RelPath::from(item.name().clone());
            let go = match item {
                Item::Stdin { .. } => each(Ok(Found { entry: Entry { path, kind: EntryKind::Stream }, place })),
                Item::Text { bytes, .. } => {
                    let now = Stamp::of(std::time::SystemTime::now());
                    let kind = EntryKind::File { size: bytes.len() as u64, modified: now, executable: false };
                    each(Ok(Found { entry: Entry { path, kind }, place }))
                }
                Item::Path { within, local, above, .. } => {
                    let rules = Rules::above(&self.excludes, above.as_deref());
                    walk_path(within, local, path, (index as u32, self.private), rules, &mut each)
                }
            };
            if go == Go::Stop {
                return;
            }
        }
    }

    /// The thing to send of this number.
    pub(super) fn item(&self, number: u32) -> &Item {
        &self.items[number as usize]
    }
}

fn is_excluded(within: &Dir, local: &Path, excludes: &Excludes) -> bool {
    let is_folder = within.symlink_metadata(local).is_ok_and(|metadata| metadata.is_dir());
    local.file_name().is_some_and(|name| excludes.name_out(name, is_folder))
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
pub(super) fn unused(name: &Name, taken: &mut HashSet<Name>) -> Name {
    let mut candidate = name.clone();
    let mut n = 0;
    while !taken.insert(candidate.clone()) {
        n += 1;
        candidate = name.numbered(n);
    }
    candidate
}

/// What a folder is, as it is offered.
pub(super) fn folder_kind(dir: &Dir) -> EntryKind {
    let modified = dir.dir_metadata().and_then(|metadata| metadata.modified());
    EntryKind::Directory { modified: modified.ok().map(|time| Stamp::of(time.into_std())) }
}

/// What a file is, as it is offered.
pub(super) fn entry_kind(metadata: &Metadata) -> EntryKind {
    EntryKind::File { size: metadata.len(), modified: modified(metadata), executable: is_executable(metadata) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::reader::Opener;

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
        let open = |found: &Found| Opener::default().open(&source, &found.entry, &found.place).unwrap();
        let mut reader = open(&found[4]);
        assert_eq!(reader.read(0, 10, &mut bytes).unwrap(), 2);
        assert!(reader.unchanged());
        std::fs::write(tree.join("b/x"), "longer").unwrap();
        assert!(!reader.unchanged());
        assert!(!open(&found[4]).unchanged());
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
        let told = walk(&source).1;
        assert!(matches!(&told[..], [Passed::Renamed { fault }] if fault.to_string() == "a.txt is sent as a (1).txt"));
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
        let mut opener = Opener::default();
        for odd in [&found[1], &found[4]] {
            let mut bytes = Vec::new();
            let mut reader = opener.open(&source, &odd.entry, &odd.place).unwrap();
            reader.read(0, 10, &mut bytes).unwrap();
            assert_eq!(bytes.len(), 3);
        }
    }
}
