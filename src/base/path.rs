//! Names and paths that are safe to hand to a file system.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::text::escape;

/// Why a text is no name or path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// Nothing at all.
    #[error("a name is empty")]
    Empty,
    /// `.` or `..`.
    #[error("a name is . or ..")]
    Dots,
    /// A separator of any system, or a control character.
    #[error("a name has a separator or a control character")]
    Character,
    /// Longer than [`Name::MAX`] or [`RelPath::MAX`], or deeper than [`RelPath::MAX_DEPTH`].
    #[error("a name or path is too long or too deep")]
    Length,
    /// A name that ftx keeps for its own folders.
    #[error("a name that begins with .ftx is ftx's own")]
    Reserved,
    /// Not in Unicode's normal form C.
    #[error("a name is not in Unicode normal form C")]
    NotNormal,
}

/// One component of a path: not empty, not `.` or `..`, without separators and control
/// characters, NFC, at most [`Name::MAX`] bytes, none of ftx's own folders.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

impl Name {
    /// Longest name, in bytes: what Linux, macOS and Windows all hold.
    pub const MAX: usize = 255;

    /// Takes a text that must already be a good name. This is the gate for what a peer says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }

    /// Makes a good name of one of our own file names: NFC, with what cannot travel replaced by
    /// `_`. The flag says whether more than the normal form changed.
    pub fn from_local(text: &str) -> (Self, Rewritten) {
        let normal: String = text.nfc().collect();
        let mut name: String = normal.chars().map(|c| if is_forbidden(c) { '_' } else { c }).collect();
        super::text::cut(&mut name, Self::MAX);
        if check_name(&name).is_err() {
            name = "_".repeat(name.len().clamp(1, Self::MAX));
        }
        let rewritten = if name == normal { Rewritten::No } else { Rewritten::Yes };
        (Self(name), rewritten)
    }

    /// The name as text for the file system. For a screen use [`fmt::Display`], which escapes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `report.pdf` → `report (n).pdf`; the stem is cut where the result would be too long.
    pub fn numbered(&self, n: u32) -> Self {
        let dot = self.0.rfind('.').filter(|&i| i > 0 && self.0.len() - i <= 16);
        let (stem, extension) = self.0.split_at(dot.unwrap_or(self.0.len()));
        let tail = format!(" ({n}){extension}");
        let mut stem = stem.to_owned();
        super::text::cut(&mut stem, Self::MAX - tail.len());
        Self(stem + &tail)
    }

    /// The number with which `other` is this name, if it is.
    pub fn number_in(&self, other: &str) -> Option<u32> {
        let mut numbers = other.match_indices(" (").filter_map(|(at, open)| {
            let (number, _) = other[at + open.len()..].split_once(')')?;
            number.parse().ok()
        });
        numbers.find(|number| self.numbered(*number).as_str() == other)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Whether a name had to be changed to travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewritten {
    /// It travels as it is.
    No,
    /// It had characters that cannot travel.
    Yes,
}

fn is_forbidden(c: char) -> bool {
    c == '/' || c == '\\' || c.is_control()
}

/// Whether a name is one of ftx's own folders (`.ftx`, `.ftx-partial`, …), in any case: nobody may
/// reach into them by a path.
pub fn is_reserved(text: &str) -> bool {
    if !text.starts_with('.') {
        return false;
    }
    let lower = text.to_lowercase();
    lower == ".ftx" || lower.starts_with(".ftx-")
}

pub(super) fn check_name(text: &str) -> Result<(), PathFault> {
    match text {
        "" => Err(PathFault::Empty),
        "." | ".." => Err(PathFault::Dots),
        _ if text.len() > Name::MAX => Err(PathFault::Length),
        _ if text.chars().any(is_forbidden) => Err(PathFault::Character),
        _ if !is_nfc(text) => Err(PathFault::NotNormal),
        _ if is_reserved(text) => Err(PathFault::Reserved),
        _ => Ok(()),
    }
}

impl TryFrom<String> for Name {
    type Error = PathFault;

    fn try_from(text: String) -> Result<Self, PathFault> {
        check_name(&text).map(|()| Self(text))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", escape(&self.0))
    }
}

/// A path below some root: one or more [`Name`]s, `/` between them on every system.
/// It cannot be absolute and cannot climb.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RelPath(Box<str>);

impl RelPath {
    /// Longest path, in bytes: `PATH_MAX` of Linux.
    pub const MAX: usize = 4096;
    /// Most components.
    pub const MAX_DEPTH: usize = 128;

    /// Takes a text that must already be a good path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        check_path(text)?;
        Ok(Self(text.into()))
    }

    /// The path below this one.
    ///
    /// # Errors
    /// [`PathFault::Length`] where it would be too long or too deep.
    pub fn join(&self, name: &Name) -> Result<Self, PathFault> {
        let joined = [self.as_str(), name.as_str()].join("/");
        if joined.len() > Self::MAX || self.depth() >= Self::MAX_DEPTH {
            return Err(PathFault::Length);
        }
        Ok(Self(joined.into()))
    }

    /// The components, outermost first; there is at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// How many components.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// The outermost component.
    pub fn top(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The last component.
    pub fn file_name(&self) -> Name {
        Name(self.last().to_owned())
    }

    /// The last component, as text for the file system.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path without its last component; `None` for a single one.
    pub fn parent(&self) -> Option<Self> {
        self.0.rfind('/').map(|i| Self(self.0[..i].into()))
    }

    /// The same folder, another name.
    pub fn with_file_name(&self, name: &Name) -> Self {
        match self.0.rfind('/') {
            Some(i) => Self(format!("{}/{}", &self.0[..i], name.0).into()),
            None => Self(name.0.as_str().into()),
        }
    }

    /// What this path becomes where `from`, which is it or above it, becomes `to`.
    ///
    /// # Errors
    /// [`PathFault::Length`] where it would be too long or too deep; [`PathFault::Empty`] where `from` is neither.
    pub fn moved(&self, from: &Self, to: &Self) -> Result<Self, PathFault> {
        match self.0.strip_prefix(from.as_str()) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::parse(&format!("{}{rest}", to.0)),
            _ => Err(PathFault::Empty),
        }
    }

    /// The path as text, for comparing and serialising. For a screen use [`fmt::Display`].
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_path(text: &str) -> Result<(), PathFault> {
    if text.len() > RelPath::MAX || text.split('/').count() > RelPath::MAX_DEPTH {
        return Err(PathFault::Length);
    }
    text.split('/').try_for_each(check_name)
}

impl TryFrom<String> for RelPath {
    type Error = PathFault;

    fn try_from(text: String) -> Result<Self, PathFault> {
        check_path(&text).map(|()| Self(text.into()))
    }
}

impl From<Name> for RelPath {
    fn from(name: Name) -> Self {
        Self(name.0.into())
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", escape(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_peers_path_never_climbs_or_starts_at_a_root() {
        for bad in [
            "",
            ".",
            "..",
            "/",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "/a",
            "a/./b",
            "..\\x",
            "C:\\x",
            ".ftx-partial/x",
            "a/.FTX-Partial",
            ".ftx",
            "\\\\?\\x",
            "a\0b",
            "a\nb",
            "a\u{1b}b",
            "e\u{301}",
        ] {
            assert!(RelPath::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(RelPath::parse(&"x".repeat(256)), Err(PathFault::Length));
        assert_eq!(RelPath::parse(&vec!["d"; 129].join("/")), Err(PathFault::Length));
        assert!(RelPath::parse("notes/week 1/ä.pdf").is_ok());
    }

    #[test]
    fn what_is_below_something_moves_along_and_not_too_far() {
        let path = |text: &str| RelPath::parse(text).unwrap();
        let moved = |at: &str, from: &str, to: &str| path(at).moved(&path(from), &path(to));
        assert_eq!(moved("a/b", "a/b", "c"), Ok(path("c")));
        assert_eq!(moved("a/b/c", "a", "d/e"), Ok(path("d/e/b/c")));
        assert_eq!(moved("ab/c", "a", "d"), Err(PathFault::Empty));
        let deep = vec!["d"; 100].join("/");
        assert_eq!(moved(&deep, "d", &vec!["x"; 29].join("/")).map(|path| path.depth()), Ok(128));
        assert_eq!(moved(&deep, "d", &vec!["x"; 30].join("/")), Err(PathFault::Length));
        let long = vec!["n".repeat(250); 16].join("/");
        assert_eq!(moved(&format!("a/{long}"), "a", &"n".repeat(81)), Err(PathFault::Length));
    }

    #[test]
    fn numbering_keeps_the_extension_and_the_length() {
        let name = |s: &str| Name::parse(s).unwrap();
        assert_eq!(name("report.pdf").numbered(1).as_str(), "report (1).pdf");
        assert_eq!(name(".bashrc").numbered(2).as_str(), ".bashrc (2)");
        assert_eq!(name("Makefile").numbered(3).as_str(), "Makefile (3)");
        assert!(name(&"ä".repeat(127)).numbered(10).as_str().len() <= Name::MAX);
    }

    proptest! {
        #[test]
        fn what_is_made_of_a_local_name_is_always_a_name(text in any::<String>()) {
            let (name, _) = Name::from_local(&text);
            prop_assert!(Name::parse(name.as_str()).is_ok());
            prop_assert!(Name::parse(name.numbered(7).as_str()).is_ok());
        }

        #[test]
        fn a_parsed_path_has_only_normal_components(text in "[a./\\\\ä]{0,12}") {
            if let Ok(path) = RelPath::parse(&text) {
                let parts: Vec<_> = std::path::Path::new(path.as_str()).components().collect();
                prop_assert!(parts.iter().all(|p| matches!(p, std::path::Component::Normal(_))));
                prop_assert_eq!(parts.len(), path.depth());
            }
        }
    }
}
