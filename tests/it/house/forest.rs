//! Trees of files: what is sent, and what is seen of it where it arrives.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::dice::Dice;
use super::home::Home;

/// Files by their paths below some folder, with all their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Forest(BTreeMap<String, Vec<u8>>);

impl Forest {
    /// A tree called `top`: small files in it and in folders of it, and one of `big` bytes.
    pub(crate) fn grown(dice: &mut Dice, top: &str, small: usize, big: usize) -> Self {
        let mut forest = Self::default();
        for n in 0..small {
            let folder = if n % 4 == 0 { format!("{top}/d{}", n % 5) } else { top.to_owned() };
            let length = dice.below(900) as usize;
            forest.add(&format!("{folder}/f{n}"), dice.bytes(length));
        }
        forest.add(&format!("{top}/big"), dice.bytes(big));
        forest
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, path: &str, bytes: Vec<u8>) {
        self.0.insert(path.to_owned(), bytes);
    }

    /// Has a file under another name.
    pub(crate) fn rename(&mut self, path: &str, new: &str) {
        let bytes = self.0.remove(path).expect("it is there");
        self.add(new, bytes);
    }

    /// Everything of another one besides.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes all of it below a folder.
    pub(crate) fn write(&self, home: &Home, below: &str) {
        for (path, bytes) in &self.0 {
            home.write(&format!("{below}/{path}"), bytes);
        }
    }

    /// Every file that is seen below a home's inbox: all but what waits in staging.
    pub(crate) fn seen(home: &Home) -> Self {
        Self::below(home, "inbox")
    }

    /// The same below any folder of a home.
    pub(crate) fn below(home: &Home, folder: &str) -> Self {
        let mut seen = Self::default();
        let root = home.path(folder);
        gather(&root, &root, &mut seen.0);
        seen
    }

    /// What is seen here and is not, byte for byte, in `whole`.
    pub(crate) fn wrong<'a>(&'a self, whole: &Self) -> Vec<&'a str> {
        let wrong = self.0.iter().filter(|(path, bytes)| whole.0.get(*path) != Some(*bytes));
        wrong.map(|(path, _)| path.as_str()).collect()
    }

    /// What of `whole` is not seen here.
    pub(crate) fn missing<'a>(&self, whole: &'a Self) -> Vec<&'a str> {
        whole.0.keys().filter(|path| !self.0.contains_key(*path)).map(String::as_str).collect()
    }
}

fn gather(root: &Path, folder: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(children) = fs::read_dir(folder) else { return };
    for child in children.map(Result::unwrap) {
        let path = child.path();
        if child.file_type().unwrap().is_dir() {
            if child.file_name() != ".ftx-partial" {
                gather(root, &path, into);
            }
        } else {
            let shown = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            into.insert(shown, fs::read(&path).unwrap());
        }
    }
}
