//! Walking one item's tree, folders before what is in them, names in order.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, DirEntry, Metadata};

use super::excludes::Rules;
use super::item::shown;
use super::source::{FileId, Found, Go, Passed, Place, entry_kind, folder_kind, unused};
use super::staging::STAGING;
use crate::base::fault::{Fault, FaultKind};
use crate::base::link_target::LinkTarget;
use crate::base::manifest::{Entry, EntryKind};
use crate::base::path::{Name, RelPath, Rewritten, is_reserved};

/// Walks what is at `local` in the folder `within`, which travels as `path`.
pub(super) fn walk_path(
    within: &Dir,
    local: &Path,
    path: RelPath,
    (item, private): (u32, Option<FileId>),
    mut rules: Rules,
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
    if is_private(&metadata, private) {
        return each(Err(withheld(&path)));
    }
    if !metadata.is_dir() {
        let kind = entry_kind(&metadata);
        return each(Ok(Found { entry: Entry { path, kind }, place: Place { item, local: None } }));
    }
    match within.open_dir(local) {
        Ok(dir) => {
            rules.begin(&dir, local.as_os_str());
            Walk { item, private, rules, each }.folder(&dir, path, None)
        }
        Err(error) => each(Err(unreadable(&error))),
    }
}

/// A walk through one item's tree.
struct Walk<'a, F> {
    item: u32,
    private: Option<FileId>,
    rules: Rules,
    each: &'a mut F,
}

impl<F: FnMut(Result<Found, Passed>) -> Go> Walk<'_, F> {
    /// A folder and everything in it. `local` is its path below the item where that differs from
    /// the path it travels under.
    fn folder(&mut self, dir: &Dir, path: RelPath, local: Option<&Path>) -> Go {
        let entry = Entry { path: path.clone(), kind: folder_kind(dir) };
        let place = Place { item: self.item, local: local.map(Box::from) };
        if (self.each)(Ok(Found { entry, place })) == Go::Stop {
            return Go::Stop;
        }
        let mut children = Vec::new();
        match dir.entries() {
            Ok(entries) => {
                for child in entries {
                    match child {
                        Ok(child) => children.push(Child::of(child)),
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
        children.sort_unstable_by(|one, other| one.own.cmp(&other.own));
        let mut taken = HashSet::new();
        if children.iter().any(|child| child.name.is_none()) {
            // Whoever has a name that travels keeps it, whatever others have to be called.
            taken.extend(children.iter().filter_map(|child| child.name.clone()));
        }
        for child in children {
            if self.child(dir, &path, local, child, &mut taken) == Go::Stop {
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
        Child { own, name, entry: child }: Child,
        taken: &mut HashSet<Name>,
    ) -> Go {
        let is_folder = child.file_type().is_ok_and(|kind| kind.is_dir());
        if self.rules.leave_out(&own, is_folder) {
            let text = format!("{above}/{}{}", shown(&own), if is_folder { "/" } else { "" });
            return (self.each)(Err(Passed::Excluded { fault: Fault::new(FaultKind::Other, text) }));
        }
        if own == STAGING {
            // What nodes have of unfinished transfers is nobody's to send.
            return Go::On;
        }
        if own.to_str().is_some_and(is_reserved) {
            let text = format!("{above}/{}: a name that ftx keeps for itself; not sent", shown(&own));
            return (self.each)(Err(Passed::Special { fault: Fault::new(FaultKind::Other, text) }));
        }
        let (name, rewritten) = name.map_or_else(|| name_for(&own, taken), |name| (name, Rewritten::No));
        let path = match above.join(&name) {
            Ok(path) => path,
            Err(error) => {
                let fault = Fault::new(FaultKind::Disk, format!("{above}/{name}: {error}"));
                return (self.each)(Err(Passed::Unreadable { fault }));
            }
        };
        if rewritten == Rewritten::Yes {
            let fault = Fault::new(FaultKind::Other, format!("{above}/{} is sent as {name}", shown(&own)));
            if (self.each)(Err(Passed::Renamed { fault })) == Go::Stop {
                return Go::Stop;
            }
        }
        // Remembered only where it cannot be told from the path.
        let differs = local_above.is_some() || own.to_str() != Some(name.as_str());
        let local: Option<PathBuf> = differs.then(|| match local_above {
            Some(above) => above.join(&own),
            None => above.components().skip(1).map(OsStr::new).chain([own.as_os_str()]).collect(),
        });
        let metadata = match child.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return (self.each)(Err(Passed::Unreadable { fault: Fault::disk(&path, &error) })),
        };
        if is_private(&metadata, self.private) {
            return (self.each)(Err(withheld(&path)));
        }
        if metadata.is_dir() {
            return match child.open_dir() {
                Ok(dir) => {
                    self.rules.enter(&dir, &own);
                    let go = self.folder(&dir, path, local.as_deref());
                    self.rules.leave();
                    go
                }
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

/// Something in a folder that is walked.
struct Child {
    /// What it is called here.
    own: OsString,
    /// The same, if it can travel under it.
    name: Option<Name>,
    entry: DirEntry,
}

impl Child {
    fn of(entry: DirEntry) -> Self {
        let own = entry.file_name();
        let name = own.to_str().and_then(|own| Name::parse(own).ok());
        Self { own, name, entry }
    }
}

/// The name under which something travels that cannot under its own, and whether that is worth telling:
/// another normal form alone is not.
fn name_for(own: &OsStr, taken: &mut HashSet<Name>) -> (Name, Rewritten) {
    let (wanted, rewritten) = Name::from_local(&own.to_string_lossy());
    let name = unused(&wanted, taken);
    let told = rewritten == Rewritten::Yes || name != wanted || own.to_str().is_none();
    (name, if told { Rewritten::Yes } else { Rewritten::No })
}

#[cfg(unix)]
fn is_private(metadata: &Metadata, private: Option<FileId>) -> bool {
    use cap_std::fs::MetadataExt;
    private == Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn is_private(_: &Metadata, _: Option<FileId>) -> bool {
    false
}

fn withheld(path: &RelPath) -> Passed {
    Passed::Special { fault: Fault::new(FaultKind::Other, format!("{path}: this node's private key; never sent")) }
}

fn kind_of(dir: &Dir, own: &OsStr, path: &RelPath, metadata: &Metadata) -> Result<EntryKind, Passed> {
    if metadata.is_file() {
        return Ok(entry_kind(metadata));
    }
    let special = |text: &str| Passed::Special { fault: Fault::new(FaultKind::Other, format!("{path}: {text}")) };
    if !metadata.is_symlink() {
        return Err(special("not a file, folder or link; not sent"));
    }
    let target = dir.read_link_contents(own).map_err(|e| Passed::Unreadable { fault: Fault::disk(path, &e) })?;
    let target = target.to_str().and_then(|text| LinkTarget::from_local(text).ok());
    match target {
        Some(target) if target.stays_inside(path) => Ok(EntryKind::Link { target }),
        _ => Err(special("a link that leaves its tree; not sent")),
    }
}
