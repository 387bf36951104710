//! Spaces: the top folders of a hub, each with its rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::fault::{Fault, FaultKind};
use crate::base::link_target::LinkTarget;
use crate::base::path::{Name, RelPath, is_reserved};
use crate::disk::fit::folded;
use crate::wire::hub::Rank;

/// What kind of space it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Kind {
    /// Members see all of it, add to it and change what is theirs.
    Shared,
    /// A private folder for each account.
    People,
    /// Managers write, members read.
    Read,
    /// Members hand in, each into a folder of their own.
    Drop {
        /// Until when, in seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<u64>,
    },
    /// Members change everything.
    Open,
}

/// A space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// What kind.
    #[serde(flatten)]
    pub kind: Kind,
    /// Most bytes that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
}

/// The limits of a hub. `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Most bytes of an account that has no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_quota: Option<u64>,
    /// Most bytes of one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_file: Option<u64>,
    /// Bytes of the disk that uploads leave free.
    pub reserve: u64,
    /// How many days what was replaced or removed is kept.
    pub keep_days: u32,
    /// Most bytes of all that is kept; the oldest go first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_bytes: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { account_quota: None, largest_file: None, reserve: 256 << 20, keep_days: 30, keep_bytes: None }
    }
}

impl Kind {
    /// The word used on the command line and for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::People => "people",
            Self::Read => "read",
            Self::Drop { .. } => "drop",
            Self::Open => "open",
        }
    }
}

/// The space that every hub has for all.
pub fn shared() -> Name {
    Name::from_local("shared").0
}

/// The space that holds everybody's private folders.
pub fn people() -> Name {
    Name::from_local("people").0
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Know of it, and fetch it.
    See,
    /// Put something new there.
    Add,
    /// Replace, remove or move what is there.
    Change,
}

/// Whose something is, seen from whoever wants to do something with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Theirs.
    Mine,
    /// Somebody else's, or put there by hand.
    Others,
}

/// Whether a deadline, if there is one, is over.
fn is_late(deadline: Option<u64>, now: u64) -> bool {
    deadline.is_some_and(|deadline| now > deadline)
}

/// The rules: whether somebody of this rank may do this in a space of this kind, at this time (seconds
/// since 1970). `kind` is `None` for a top folder that is no space.
pub fn permits(kind: Option<Kind>, rank: Rank, whose: Whose, deed: Deed, now: u64) -> bool {
    use {Deed::See, Rank::Manager, Whose::Mine};
    match kind {
        // Private is private: the machine's owner has the folder itself.
        Some(Kind::People) => whose == Mine,
        Some(Kind::Open) => true,
        Some(Kind::Shared) => deed != Deed::Change || whose == Mine || rank == Manager,
        Some(Kind::Read) => deed == See || rank == Manager,
        Some(Kind::Drop { deadline }) => rank == Manager || (whose == Mine && (deed == See || !is_late(deadline, now))),
        None => rank == Manager && deed == See,
    }
}

/// What an account may do, where.
#[derive(Debug)]
pub struct Access<'a> {
    /// Which account.
    pub account: &'a Name,
    /// What it may do.
    pub rank: Rank,
    /// The spaces.
    pub spaces: &'a BTreeMap<Name, Space>,
    /// The time, in seconds since 1970.
    pub now: u64,
}

impl Access<'_> {
    /// The kind of space that a path is in.
    pub fn kind(&self, path: &RelPath) -> Option<Kind> {
        self.spaces.iter().find(|(name, _)| name.as_str() == path.top()).map(|(_, space)| space.kind)
    }

    /// The account whose folder a path is in, in a space where everybody has one.
    pub fn holder<'p>(&self, path: &'p RelPath) -> Option<&'p str> {
        match self.kind(path)? {
            Kind::People | Kind::Drop { .. } => path.components().nth(1),
            _ => None,
        }
    }

    /// Whether a path is somebody's own folder in such a space, there or not.
    pub fn is_holders(&self, path: &RelPath) -> bool {
        path.depth() == 2 && self.holder(path).is_some()
    }

    /// Whether everybody who may see one of two paths may see the other.
    pub fn is_same_ground(&self, one: &RelPath, other: &RelPath) -> bool {
        one.top() == other.top() && self.holder(one) == self.holder(other)
    }

    /// Whether a link at `path` leads nowhere but to what is on the same ground.
    pub fn keeps_in(&self, target: &LinkTarget, path: &RelPath) -> bool {
        match self.holder(path) {
            // Below the space, its outermost folder is the holder's.
            Some(_) => path
                .as_str()
                .split_once('/')
                .is_some_and(|(_, below)| RelPath::parse(below).is_ok_and(|below| target.stays_inside(&below))),
            None => target.stays_inside(path),
        }
    }

    /// Whose something at `path` is that belongs to `owner`.
    pub fn whose(&self, path: &RelPath, owner: Option<&Name>) -> Whose {
        let mine = match self.kind(path) {
            Some(Kind::People | Kind::Drop { .. }) => self.holder(path) == Some(self.account.as_str()),
            _ => owner == Some(self.account),
        };
        if mine { Whose::Mine } else { Whose::Others }
    }

    /// Whether this may be done to something at `path` that belongs to `owner`.
    ///
    /// # Errors
    /// Not there, where it may not even be seen; else why not.
    pub fn may(&self, deed: Deed, path: &RelPath, owner: Option<&Name>) -> Result<(), Fault> {
        let (kind, whose) = (self.kind(path), self.whose(path, owner));
        let top = path.depth() == 1;
        // The top of a space is there for everybody, and nobody's to change.
        let permitted = |deed| match deed {
            _ if kind.is_none() && self.is_twin(path) => false,
            Deed::See if top => kind.is_some() || self.rank == Rank::Manager,
            Deed::Change if top => false,
            _ => permits(kind, self.rank, whose, deed, self.now),
        };
        if !permitted(Deed::See) {
            return Err(not_there(path));
        }
        if permitted(deed) {
            return Ok(());
        }
        Err(Fault::new(FaultKind::NotPermitted, self.why_not(kind, deed, path, owner)))
    }

    /// Whether some file system would find a space, or what is the hub's own, by this name that is neither's.
    fn is_twin(&self, path: &RelPath) -> bool {
        let plain = |name: &str| folded(name.trim_end_matches(['.', ' '])).to_lowercase();
        // Windows has streams behind a colon, and short names with a tilde.
        let name = plain(path.top().split(':').next().unwrap_or_default());
        let short = cfg!(windows) && name.contains('~');
        short || is_reserved(&name) || self.spaces.keys().any(|space| plain(space.as_str()) == name)
    }

    fn why_not(&self, kind: Option<Kind>, deed: Deed, path: &RelPath, owner: Option<&Name>) -> String {
        let space = path.top();
        match kind {
            _ if path.depth() == 1 && deed == Deed::Change => format!("{space} is a space: only its files change"),
            Some(Kind::Read) => format!("{space} is for reading: only managers write there"),
            Some(Kind::Drop { deadline: Some(deadline) }) if is_late(Some(deadline), self.now) => {
                format!("{space} has been closed since {}", time(deadline))
            }
            Some(Kind::People | Kind::Drop { .. }) => {
                format!("in {space} only your own folder is yours: {space}/{}", self.account)
            }
            Some(_) => match owner {
                Some(owner) => format!("{path} is {owner}'s: only {owner} and managers change it"),
                None => format!("{path} was put there by hand: only managers change it"),
            },
            None => format!("{space} is no space; a manager makes it one: ftx hub spaces add {space}"),
        }
    }

    /// Whether all of a space is there for this account, and not its own folder only.
    pub fn sees_all(&self, path: &RelPath) -> bool {
        match self.kind(path) {
            Some(Kind::People) => false,
            Some(Kind::Drop { .. }) => self.rank == Rank::Manager,
            _ => true,
        }
    }

    /// Where something put at `to` goes: below the top of a space in which everybody has a folder, into
    /// one's own.
    pub fn destination(&self, to: &RelPath) -> Result<RelPath, Fault> {
        match self.kind(to) {
            Some(Kind::People | Kind::Drop { .. }) if to.depth() == 1 => {
                to.join(self.account).map_err(|fault| Fault::new(FaultKind::Other, fault.to_string()))
            }
            _ => Ok(to.clone()),
        }
    }
}

/// A time in seconds since 1970, as people and programs read it (RFC 3339, UTC).
pub fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| seconds.to_string(), |time| time.to_string())
}

/// Something that is not there, or that whoever asks may not know of.
pub fn not_there(path: &RelPath) -> Fault {
    Fault::new(FaultKind::NotFound, format!("{path} is not there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn what_may_not_be_seen_is_not_there_and_what_may_not_be_done_is_told() {
        let space = |kind| Space { kind, quota: None };
        let spaces = BTreeMap::from([
            (shared(), space(Kind::Shared)),
            (people(), space(Kind::People)),
            (name("homework"), space(Kind::Drop { deadline: Some(100) })),
            (name("slides"), space(Kind::Read)),
        ]);
        let (alice, bob) = (name("alice"), name("bob"));
        let may = |rank, now, deed, path: &str, owner: Option<&Name>| {
            let access = Access { account: &alice, rank, spaces: &spaces, now };
            access.may(deed, &RelPath::parse(path).unwrap(), owner).map_err(|fault| fault.kind)
        };
        let member = |deed, path, owner| may(Rank::Member, 50, deed, path, owner);
        let manager = |deed, path, owner| may(Rank::Manager, 50, deed, path, owner);
        let (gone, no) = (Err(FaultKind::NotFound), Err(FaultKind::NotPermitted));
        assert_eq!(member(Deed::Change, "shared/a", Some(&alice)), Ok(()));
        assert_eq!(member(Deed::Change, "shared/a", Some(&bob)), no);
        assert_eq!(member(Deed::Change, "shared/a", None), no);
        assert_eq!(manager(Deed::Change, "shared/a", Some(&bob)), Ok(()));
        assert_eq!(manager(Deed::Change, "shared", None), no);
        for rank in [Rank::Member, Rank::Manager] {
            assert_eq!(may(rank, 50, Deed::See, "people/bob/a", None), gone, "private");
            assert_eq!(may(rank, 50, Deed::See, "people", None), Ok(()));
            assert_eq!(may(rank, 50, Deed::Change, "people/alice/a", None), Ok(()));
        }
        assert_eq!(member(Deed::See, "homework/bob/a", None), gone);
        assert_eq!(member(Deed::Add, "homework/alice/a", None), Ok(()));
        assert_eq!(may(Rank::Member, 101, Deed::Add, "homework/alice/a", None), no, "too late");
        assert_eq!(may(Rank::Member, 101, Deed::See, "homework/alice/a", None), Ok(()));
        assert_eq!(manager(Deed::See, "homework/bob/a", None), Ok(()));
        assert_eq!(member(Deed::Add, "slides/a", None), no);
        assert_eq!(member(Deed::See, "other/a", None), gone, "no space");
        assert_eq!(manager(Deed::See, "other/a", None), Ok(()));
        assert_eq!(manager(Deed::Add, "other/a", None), no);
        // Where the file system takes these for the private folders, or for the hub's key, they are not there.
        for twin in ["People/bob/a", "PEOPLE", "people./bob", "people /bob", "\u{200b}people/bob", ".\u{200c}ftx/key"] {
            assert_eq!(manager(Deed::See, twin, None), gone, "{twin:?}");
        }
        for twin in [".ftx./key", ".ftx::$INDEX_ALLOCATION/key", "people::$DATA/bob"] {
            assert_eq!(manager(Deed::See, twin, None), gone, "{twin:?}");
        }
        assert_eq!(manager(Deed::See, "12:30/a~b", None), Ok(()));
    }
}
