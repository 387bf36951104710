//! Fitting names into the file system that receives. One that folds case holds two names as one;
//! others hold certain names not at all. What does not fit gets another name, as does a folder whose
//! name is a file's there, and the sender is told which.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;

use cap_std::fs::Dir;
use unicode_normalization::UnicodeNormalization;

use super::MOST_NUMBERS;
use super::place::Place;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::{Entry, EntryKind};
use crate::base::path::{Name, RelPath, is_reserved};

/// Whether names that differ only in case are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// They are two.
    Kept,
    /// They are one.
    Folded,
}

/// Which names can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// All that can travel.
    All,
    /// Those that Windows allows.
    OfWindows,
}

/// What a file system makes of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileSystem {
    pub(super) case: Case,
    pub(super) names: Names,
}

impl FileSystem {
    /// Finds out in a folder of our own that holds a file called `lock`.
    pub(super) fn probe(area: &Dir) -> Self {
        let case = case_in(area);
        // Not tried on Windows: there a colon means something else, and the answer is known.
        let names = if cfg!(windows) || refuses(area, "probe:") { Names::OfWindows } else { Names::All };
        Self { case, names }
    }

    /// As much as can be known without writing anything: from such a folder, if there is one, and
    /// from what is usual on this system.
    pub(super) fn guess(area: Option<&Dir>) -> Self {
        let usual = if cfg!(any(windows, target_vendor = "apple")) { Case::Folded } else { Case::Kept };
        Self { case: area.map_or(usual, case_in), names: if cfg!(windows) { Names::OfWindows } else { Names::All } }
    }

    /// Whether every name fits as it is.
    fn is_plain(self) -> bool {
        self == Self { case: Case::Kept, names: Names::All }
    }

    /// The name itself where it can be held here, else one like it.
    fn possible(self, name: &Name) -> Name {
        let mut text = name.as_str().to_owned();
        if self.names == Names::OfWindows {
            text = of_windows(&text);
        }
        if self.case == Case::Folded && is_reserved(&folded(&text).to_lowercase()) {
            // It would be one of our own folders.
            text.insert(0, '_');
        }
        if text == name.as_str() { name.clone() } else { Name::from_local(&text).0 }
    }
}

fn case_in(area: &Dir) -> Case {
    if area.symlink_metadata("LOCK").is_ok() { Case::Folded } else { Case::Kept }
}

fn refuses(area: &Dir, name: &str) -> bool {
    match area.create(name) {
        Ok(_) => {
            let _ = area.remove_file(name);
            false
        }
        Err(error) => matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename),
    }
}

/// What two names have in common that a folding file system holds as one. Systems fold by
/// different tables; this says "the same" of more than any of them.
pub fn folded(text: &str) -> String {
    let decomposed: String = text.nfd().filter(|c| !is_ignorable(*c)).collect();
    decomposed.to_lowercase().to_uppercase().nfd().collect()
}

/// What stands for a path among others of one file system: the same for all its spellings.
pub(super) fn key(case: Case, path: &RelPath) -> Cow<'_, str> {
    match case {
        Case::Kept => path.as_str().into(),
        Case::Folded => folded(path.as_str()).into(),
    }
}

/// Characters that show nothing and that HFS+ and ext4 pass over in names.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A text as near to `text` as Windows can hold.
fn of_windows(text: &str) -> String {
    let mut text = text.replace(['<', '>', ':', '"', '|', '?', '*'], "_");
    // Windows cuts dots and spaces off the end.
    let kept = text.trim_end_matches(['.', ' ']).len();
    text.replace_range(kept.., &"_".repeat(text.len() - kept));
    let stem = text.split('.').next().unwrap_or(&text).trim_end();
    if is_device(stem) {
        text.insert(stem.len(), '_');
    }
    if text.to_uppercase().starts_with("FT") {
        // It might be the short name of one of our own folders.
        text = text.replace('~', "_");
    }
    text
}

/// Whether Windows takes this for a device, whatever the extension.
fn is_device(stem: &str) -> bool {
    let upper = stem.to_uppercase();
    if let Some(number) = upper.strip_prefix("COM").or_else(|| upper.strip_prefix("LPT")) {
        let mut number = number.chars();
        return number.next().is_some_and(|c| c.is_ascii_digit() || "¹²³".contains(c)) && number.next().is_none();
    }
    matches!(upper.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
}

/// The names of one transfer in the file system that receives it.
#[derive(Debug)]
pub(super) struct Fit {
    system: FileSystem,
    /// Hashes of the keys of the local paths given so far, with the last number tried for each: who
    /// offers a thousand of a kind does not make us try each a thousand times.
    taken: HashMap<u64, u32>,
    hasher: RandomState,
    /// Where each folder that was offered is; where every name fits, each that is elsewhere.
    folders: HashMap<RelPath, RelPath>,
    /// Most bytes of a path.
    longest: usize,
}

impl Fit {
    /// Nothing given yet, where paths have at most `longest` bytes.
    pub(super) fn new(system: FileSystem, longest: usize) -> Self {
        Self { system, taken: HashMap::new(), hasher: RandomState::new(), folders: HashMap::new(), longest }
    }

    /// What the file system makes of case.
    pub(super) fn case(&self) -> Case {
        self.system.case
    }

    /// Where an entry goes, where that is not the path it is offered under. Each is asked for once. A folder
    /// whose name something else has, which stays, goes to the first of its numbers that is free or a folder,
    /// with all that is in it: what is there already is found there again.
    ///
    /// # Errors
    /// A disk fault where every name is taken.
    pub(super) fn elsewhere(&mut self, entry: &Entry, there: &mut Place) -> Result<Option<Box<RelPath>>, Fault> {
        if self.system.is_plain() {
            return Ok(self.moved(&entry.path, &entry.kind, there)?.map(Box::new));
        }
        let local = match entry.kind {
            EntryKind::Directory { .. } => self.folder(&entry.path, there)?,
            _ => self.below(&entry.path, &entry.kind, there)?,
        };
        Ok((local != entry.path).then(|| Box::new(local)))
    }

    /// The same where every name fits: known are only the folders that are elsewhere, and what looks as if it
    /// had a number, which such a folder might get.
    fn moved(&mut self, path: &RelPath, kind: &EntryKind, there: &mut Place) -> Result<Option<RelPath>, Fault> {
        let with_folder = self.with_folder(path);
        let local = with_folder.as_ref().unwrap_or(path);
        let is_folder = kind.is_folder();
        let is_kept_out = is_folder && there.keeps_out(local);
        if !is_kept_out && !path.last().contains(" (") {
            return Ok(with_folder);
        }
        let first = self.first(local.clone(), kind, there)?;
        if is_folder && first != *local {
            self.folders.insert(path.clone(), first.clone());
        }
        Ok((first != *path).then_some(first))
    }

    /// The path in the nearest folder above that is elsewhere. Where it would be too long there it stays, and
    /// has failed when it is put into place.
    fn with_folder(&self, path: &RelPath) -> Option<RelPath> {
        if self.folders.is_empty() {
            return None;
        }
        let mut above = path.parent();
        while let Some(folder) = above {
            if let Some(local) = self.folders.get(&folder) {
                let moved = path.moved(&folder, local).ok();
                return moved.filter(|moved| self.within(moved).is_ok());
            }
            above = folder.parent();
        }
        None
    }

    fn folder(&mut self, path: &RelPath, there: &mut Place) -> Result<RelPath, Fault> {
        if let Some(local) = self.folders.get(path) {
            return Ok(local.clone());
        }
        let local = self.below(path, &EntryKind::FOLDER, there)?;
        self.folders.insert(path.clone(), local.clone());
        Ok(local)
    }

    /// The first path that is free for `path`, in the folder that stands for the one above it.
    fn below(&mut self, path: &RelPath, kind: &EntryKind, there: &mut Place) -> Result<RelPath, Fault> {
        let above = path.parent().map(|above| self.folder(&above, there)).transpose()?;
        let name = self.system.possible(&path.file_name());
        let local = above.map_or_else(|| Ok(name.clone().into()), |above| above.join(&name));
        let local = local.map_err(|_| too_long(path))?;
        self.first(local, kind, there)
    }

    /// The first of a path and its numbers that nothing else of this transfer has, nor something that keeps a
    /// folder out.
    fn first(&mut self, local: RelPath, kind: &EntryKind, there: &mut Place) -> Result<RelPath, Fault> {
        self.within(&local)?;
        let mut fits = |path: &RelPath| !kind.is_folder() || !there.keeps_out(path);
        let own = self.hash(&local);
        let Some(tried) = self.taken.get(&own).copied() else {
            self.taken.insert(own, 0);
            if fits(&local) {
                return Ok(local);
            }
            // Where it gets no number, it fails alone, when it is put into place.
            return Ok(self.number(&local, own, 0, fits).unwrap_or(local));
        };
        self.number(&local, own, tried, fits)
    }

    fn number(
        &mut self,
        local: &RelPath,
        own: u64,
        tried: u32,
        mut fits: impl FnMut(&RelPath) -> bool,
    ) -> Result<RelPath, Fault> {
        let name = local.file_name();
        for n in tried + 1..=MOST_NUMBERS {
            let numbered = local.with_file_name(&name.numbered(n));
            self.within(&numbered)?;
            let hash = self.hash(&numbered);
            if !self.taken.contains_key(&hash) && fits(&numbered) {
                self.taken.extend([(own, n), (hash, 0)]);
                return Ok(numbered);
            }
        }
        Err(Fault::new(FaultKind::Disk, format!("{local}: every name up to {} is taken", name.numbered(MOST_NUMBERS))))
    }

    fn within(&self, path: &RelPath) -> Result<(), Fault> {
        if path.as_str().len() <= self.longest { Ok(()) } else { Err(too_long(path)) }
    }

    fn hash(&self, local: &RelPath) -> u64 {
        self.hasher.hash_one(key(self.system.case, local))
    }
}

fn too_long(path: &RelPath) -> Fault {
    Fault::new(FaultKind::Disk, format!("{path}: a name or path is too long or too deep"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::root::Root;

    fn fitted(system: FileSystem, paths: &[&str]) -> Vec<String> {
        let home = tempfile::tempdir().unwrap();
        fitted_into(home.path(), system, paths)
    }

    fn fitted_into(home: &Path, system: FileSystem, paths: &[&str]) -> Vec<String> {
        let mut there = Place::new(&Root::open(home).unwrap());
        let mut fit = Fit::new(system, RelPath::MAX);
        let place = |path: &&str| {
            let folder = path.ends_with('/');
            let kind = if folder { EntryKind::FOLDER } else { EntryKind::Stream };
            let entry = Entry { path: RelPath::parse(path.trim_end_matches('/')).unwrap(), kind };
            let local = fit.elsewhere(&entry, &mut there).unwrap();
            local.map_or_else(|| entry.path.as_str().to_owned(), |local| local.as_str().to_owned())
        };
        paths.iter().map(place).collect()
    }

    const PLAIN: FileSystem = FileSystem { case: Case::Kept, names: Names::All };
    const FOLDS: FileSystem = FileSystem { case: Case::Folded, names: Names::All };
    const WINDOWS: FileSystem = FileSystem { case: Case::Folded, names: Names::OfWindows };

    #[test]
    fn where_everything_fits_nothing_is_changed() {
        let paths = ["A", "a", "con", "a:b", "x./y ", "n (1)", "n", "n (2)", "n (2)/m"];
        assert_eq!(fitted(PLAIN, &paths), paths);
    }

    #[test]
    fn a_folder_whose_name_a_file_has_goes_elsewhere_with_all_that_is_in_it() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("f (3)")).unwrap();
        for file in ["f", "f (2)", "f (3)/sub"] {
            std::fs::write(home.path().join(file), "").unwrap();
        }
        for system in [PLAIN, FOLDS] {
            let fitted = |paths: &[&str]| fitted_into(home.path(), system, paths);
            assert_eq!(fitted(&["f/", "f/x", "f/new/", "f/new/y"]), ["f (1)", "f (1)/x", "f (1)/new", "f (1)/new/y"]);
            // Where something else of the same transfer has the number, before or after.
            let there = ["f (1)", "f (3)", "f (3)/sub (1)", "f (3)/sub (1)/x"];
            assert_eq!(fitted(&["f (1)", "f/", "f/sub/", "f/sub/x"]), there);
            let there = ["f (1)", "f (1)/x", "f (1) (1)", "f (1) (1)/x", "f (1) (2)"];
            assert_eq!(fitted(&["f/", "f/x", "f (1)/", "f (1)/x", "f (1) (2)"]), there);
        }
    }

    #[test]
    fn what_differs_only_in_case_gets_a_number() {
        let paths = ["t/", "t/Makefile", "t/makefile", "t/MAKEFILE", "t/makefile (1)", "t/straße", "t/STRASSE"];
        let there =
            ["t", "t/Makefile", "t/makefile (1)", "t/MAKEFILE (2)", "t/makefile (1) (1)", "t/straße", "t/STRASSE (1)"];
        assert_eq!(fitted(FOLDS, &paths), there);
    }

    /// Tried one by one for each of them, this would be fifty million names.
    #[test]
    fn many_spellings_of_many_names_are_fitted_at_once() {
        let spelt = |n: u32| format!("{n:010b}").replace('0', "a").replace('1', "A");
        let paths: Vec<String> = (0..100).flat_map(|i| (0..1000).map(move |n| format!("{i}{}", spelt(n)))).collect();
        let mut fit = Fit::new(FOLDS, RelPath::MAX);
        let home = tempfile::tempdir().unwrap();
        let mut there = Place::new(&Root::open(home.path()).unwrap());
        for path in &paths {
            let entry = Entry { path: RelPath::parse(path).unwrap(), kind: EntryKind::Stream };
            fit.elsewhere(&entry, &mut there).unwrap();
        }
    }

    #[test]
    fn folders_that_differ_only_in_case_are_kept_apart_listed_or_not() {
        assert_eq!(fitted(FOLDS, &["T/", "T/x", "t/", "t/x"]), ["T", "T/x", "t (1)", "t (1)/x"]);
        assert_eq!(fitted(FOLDS, &["T/S/x", "t/s/x", "t/s/X"]), ["T/S/x", "t (1)/s/x", "t (1)/s/X (1)"]);
        assert_eq!(fitted(FOLDS, &["t", "T/x"]), ["t", "T (1)/x"]);
    }

    #[test]
    fn names_that_windows_does_not_hold_are_rewritten() {
        let paths = ["a:b", "what?", "what*", "con", "Com1.txt", "NUL .x", "end.", "end .. ", "common", "lpt10"];
        let there = ["a_b", "what_", "what_ (1)", "con_", "Com1_.txt", "NUL_ .x", "end_", "end____", "common", "lpt10"];
        assert_eq!(fitted(WINDOWS, &paths), there);
        assert_eq!(fitted(WINDOWS, &["aux./x:y"]), ["aux_/x_y"]);
    }

    #[test]
    fn nothing_fits_into_our_own_folders() {
        assert_eq!(fitted(FOLDS, &[".f\u{200b}tx-partial/x"]), ["_.f\u{200b}tx-partial/x"]);
        assert_eq!(fitted(WINDOWS, &["FTX-PA~1/x"]), ["FTX-PA_1/x"]);
    }

    #[test]
    fn a_file_system_of_this_machine_is_probed_without_a_trace() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("lock"), "").unwrap();
        let dir = Dir::open_ambient_dir(home.path(), cap_std::ambient_authority()).unwrap();
        let found = FileSystem::probe(&dir);
        assert_eq!(found.case == Case::Folded, home.path().join("Lock").exists());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
