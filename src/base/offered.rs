//! The paths of one offer: each comes once, and none is below what is no folder.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::fault::Fault;
use super::manifest::Entry;

/// What is known of a path, in the lowest bits of its hash.
const FOLDER: u64 = 0;
const NO_FOLDER: u64 = 1;
/// Something below it was offered, and it itself not, or not before.
const HOLDS: u64 = 2;
const MARKS: u64 = 3;

/// The paths so far. Only a keyed hash of each is kept: a million paths would be too much.
#[derive(Debug, Default)]
pub struct Offered {
    paths: HashSet<u64>,
    hasher: RandomState,
    holding: usize,
    /// The folder, offered as such, that the last one was in: mostly the next one is, too.
    within: String,
}

impl Offered {
    /// Most folders of an offer that are not offered themselves before what is in them. Whoever walks a
    /// folder has none; each of the many that a single path may have would be kept here.
    pub const MOST_HOLDING: usize = 4096;

    /// Takes the next entries of an offer.
    ///
    /// # Errors
    /// A protocol fault that names what has no place after what came before.
    pub fn add(&mut self, page: &[Entry]) -> Result<(), Fault> {
        page.iter().try_for_each(|entry| self.add_one(entry))
    }

    fn add_one(&mut self, entry: &Entry) -> Result<(), Fault> {
        let path = entry.path.as_str();
        let key = self.key(path);
        let mark = if entry.kind.is_folder() { FOLDER } else { NO_FOLDER };
        if self.paths.contains(&(key | FOLDER)) || self.paths.contains(&(key | NO_FOLDER)) {
            return Err(Fault::protocol(format!("{path} is offered twice")));
        }
        if mark == NO_FOLDER && self.paths.contains(&(key | HOLDS)) {
            return Err(Fault::protocol(format!("{path} is no folder, and something below it is offered")));
        }
        let mut below = path;
        while let Some((above, _)) = below.rsplit_once('/') {
            if above == self.within {
                break;
            }
            let key = self.key(above);
            if self.paths.contains(&(key | NO_FOLDER)) {
                return Err(Fault::protocol(format!("{path} is below {above}, which is no folder")));
            }
            // What is above that was looked at when it came.
            if self.paths.contains(&(key | FOLDER)) {
                above.clone_into(&mut self.within);
                break;
            }
            if !self.paths.insert(key | HOLDS) {
                break;
            }
            self.holding += 1;
            if self.holding > Self::MOST_HOLDING {
                return Err(Fault::protocol("too many folders are not offered before what is in them"));
            }
            below = above;
        }
        self.paths.insert(key | mark);
        Ok(())
    }

    fn key(&self, path: &str) -> u64 {
        self.hasher.hash_one(path) & !MARKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::link_target::LinkTarget;
    use crate::base::manifest::EntryKind;
    use crate::base::path::RelPath;

    fn of(path: &str, kind: EntryKind) -> Entry {
        Entry { path: RelPath::parse(path).unwrap(), kind }
    }

    fn offered(entries: &[(&str, EntryKind)]) -> Result<(), String> {
        let mut offered = Offered::default();
        let mut each = entries.iter().map(|(path, kind)| offered.add(&[of(path, kind.clone())]));
        each.try_for_each(|added| added.map_err(|fault| fault.to_string()))
    }

    #[test]
    fn nothing_is_offered_twice_or_below_what_is_no_folder() {
        let link = || EntryKind::Link { target: LinkTarget::parse("x").unwrap() };
        let folder = || EntryKind::FOLDER;
        for leaf in [EntryKind::Stream, link()] {
            offered(&[("a", folder()), ("a/b", leaf.clone()), ("a/c", folder()), ("a/c/d", leaf.clone())]).unwrap();
            // Also where a folder comes late, or not at all.
            offered(&[("a/b/c", leaf.clone()), ("a/b", folder()), ("a", folder()), ("x/y/z", leaf.clone())]).unwrap();
            offered(&[("a/b", leaf.clone()), ("a/b/c/d", leaf.clone())]).unwrap_err();
            offered(&[("a/b/c/d", leaf.clone()), ("a/b", leaf.clone())]).unwrap_err();
            offered(&[("a", folder()), ("a/b", leaf.clone()), ("a/b/c", folder())]).unwrap_err();
            offered(&[("a", leaf.clone()), ("a", leaf)]).unwrap_err();
        }
        offered(&[("a", folder()), ("a", folder())]).unwrap_err();
        offered(&[("a/b", folder()), ("a", folder()), ("a", folder())]).unwrap_err();
    }

    #[test]
    fn long_paths_do_not_grow_into_many() {
        let mut offered = Offered::default();
        let path = |n: usize| format!("{n}/{}", vec!["a"; 100].join("/"));
        let fault = (0..).find_map(|n| offered.add(&[of(&path(n), EntryKind::Stream)]).err()).unwrap();
        assert!(offered.paths.len() <= Offered::MOST_HOLDING + 100, "{fault}");
    }
}
