//! Where a link inside a tree points.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::path::{PathFault, RelPath, check_name};
use super::text::escape;

/// Where a link inside a tree points: some `..`, then names. Climbing comes first only, so that
/// it climbs real folders and never what another link stands for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct LinkTarget(String);

impl LinkTarget {
    /// Takes the text of a link.
    ///
    /// # Errors
    /// What makes it absolute, odd or too long.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        if text.len() > RelPath::MAX || text.split('/').count() > RelPath::MAX_DEPTH {
            return Err(PathFault::Length);
        }
        text.split('/').skip_while(|part| *part == "..").try_for_each(check_name)?;
        Ok(Self(text.to_owned()))
    }

    /// Takes the text of one of our own links: NFC, without the parts that mean nothing, as in
    /// `./x/`.
    ///
    /// # Errors
    /// What makes it absolute, odd or too long.
    pub fn from_local(text: &str) -> Result<Self, PathFault> {
        if text.starts_with('/') {
            return Err(PathFault::Character);
        }
        let normal: String = text.nfc().collect();
        let parts: Vec<&str> = normal.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        Self::parse(&parts.join("/"))
    }

    /// Whether a link at `place` still points inside `place`'s outermost folder.
    pub fn stays_inside(&self, place: &RelPath) -> bool {
        let climbs = self.0.split('/').take_while(|part| *part == "..").count();
        climbs + 1 < place.depth()
    }

    /// The target as text, for the file system. For a screen use [`fmt::Display`], which escapes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(&self.0))
    }
}

impl fmt::Debug for LinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", escape(&self.0))
    }
}

impl TryFrom<String> for LinkTarget {
    type Error = PathFault;

    fn try_from(text: String) -> Result<Self, PathFault> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_may_climb_only_inside_its_tree() {
        let at = RelPath::parse("tree/a/link").unwrap();
        let inside = |t: &str| LinkTarget::parse(t).is_ok_and(|t| t.stays_inside(&at));
        assert!(inside("b"));
        assert!(inside("../b/c"));
        assert!(!inside("../../b"));
        assert!(!inside("../../../etc"));
        assert!(!inside("/etc/passwd"));
        assert!(!inside("b/../../../x"));
        assert!(!LinkTarget::parse("b").unwrap().stays_inside(&RelPath::parse("top").unwrap()));
    }

    #[test]
    fn our_own_links_lose_what_means_nothing() {
        let own = |text| LinkTarget::from_local(text).map(|target| target.as_str().to_owned());
        assert_eq!(own("./a//b/./c/").unwrap(), "a/b/c");
        assert_eq!(own("../e\u{301}").unwrap(), "../\u{e9}");
        for bad in ["", ".", "/", "/etc/passwd", "a/../b"] {
            assert!(own(bad).is_err(), "{bad:?}");
        }
    }
}
