//! The folders a node shares, and with whom.

use std::path::Path;

use crate::base::book::Trust;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::{Entry, EntryKind};
use crate::base::path::{Name, RelPath};
use crate::disk::folder;
use crate::disk::item::Item;
use crate::disk::root::Root;
use crate::disk::source::Source;

/// Who may fetch from a node's shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Trusted peers.
    Trusted,
    /// Everybody who is not blocked.
    All,
}

/// One shared folder.
#[derive(Debug, Clone)]
pub struct Share {
    /// Under which name others see it.
    pub name: Name,
    /// The folder.
    pub root: Root,
}

/// Everything a node shares.
#[derive(Debug, Clone)]
pub struct Shares {
    shares: Vec<Share>,
    audience: Audience,
}

impl Shares {
    /// Shares these folders, each under its own name; a name that is taken gets a number.
    ///
    /// # Errors
    /// A folder that is missing or unreadable, named.
    pub fn open(folders: &[impl AsRef<Path>], audience: Audience) -> Result<Self, Fault> {
        let mut shares: Vec<Share> = Vec::new();
        for folder in folders {
            let folder = folder.as_ref();
            let doing = || format!("sharing {}", folder.display());
            let whole = std::fs::canonicalize(folder).map_err(|e| Fault::disk(doing(), &e))?;
            let root = Root::open(&whole).map_err(|e| Fault::disk(doing(), &e))?;
            folder::list(&root, None).map_err(|fault| Fault::new(FaultKind::Disk, format!("{}: {fault}", doing())))?;
            let own = whole.file_name().map_or_else(|| "files".into(), |name| name.to_string_lossy());
            let (wanted, _) = Name::from_local(&own);
            let mut name = wanted.clone();
            let mut n = 0;
            while shares.iter().any(|share| share.name == name) {
                n += 1;
                name = wanted.numbered(n);
            }
            shares.push(Share { name, root });
        }
        Ok(Self { shares, audience })
    }

    /// The folders.
    pub fn folders(&self) -> &[Share] {
        &self.shares
    }

    /// With whom.
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// Whether a peer trusted this far may see them.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, trust: Trust) -> Result<(), Fault> {
        match (trust, self.audience) {
            (Trust::Blocked, _) => Err(Fault::new(FaultKind::Identity, "you are blocked there")),
            _ if self.shares.is_empty() => Err(Fault::new(FaultKind::NotFound, "nothing is shared there")),
            (Trust::Trusted, _) | (_, Audience::All) => Ok(()),
            _ => Err(Fault::new(FaultKind::NotPermitted, "what is shared there is for trusted peers")),
        }
    }

    /// What a peer gets to see at `path`: the shares themselves without one.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn list(&self, path: Option<&RelPath>) -> Result<Vec<Entry>, Fault> {
        let Some(path) = path else {
            let entry = |share: &Share| Entry { path: share.name.clone().into(), kind: EntryKind::FOLDER };
            return Ok(self.shares.iter().map(entry).collect());
        };
        let (share, rest) = self.find(path)?;
        folder::list(&share.root, rest.as_ref())
    }

    /// What a peer gets that asks for these paths: every share where it names none.
    ///
    /// # Errors
    /// Where one of them is not there.
    pub fn source(&self, paths: &[RelPath]) -> Result<Source, Fault> {
        if paths.is_empty() {
            let items = self.shares.iter().map(|share| Item::shared(&share.root, &share.name, None));
            let items: std::io::Result<Vec<Item>> = items.collect();
            return items.map(Source::new).map_err(|e| Fault::disk("reading what is shared", &e));
        }
        let mut items = Vec::with_capacity(paths.len());
        for path in paths {
            let (share, rest) = self.find(path)?;
            let item = Item::shared(&share.root, &share.name, rest.as_ref());
            items.push(item.map_err(|_| Fault::new(FaultKind::NotFound, format!("{path} is not there")))?);
        }
        Ok(Source::new(items))
    }

    /// The share that a path starts with, and the rest of it.
    fn find(&self, path: &RelPath) -> Result<(&Share, Option<RelPath>), Fault> {
        let share = self.shares.iter().find(|share| share.name.as_str() == path.top());
        let share = share.ok_or_else(|| {
            let names: Vec<_> = self.shares.iter().map(|share| share.name.to_string()).collect();
            let text = format!("{} is not shared there; shared are: {}", path.top(), names.join(", "));
            Fault::new(FaultKind::NotFound, text)
        })?;
        let rest = path.as_str().split_once('/').and_then(|(_, rest)| RelPath::parse(rest).ok());
        Ok((share, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shared_with_whom_it_is_not_meant_for() {
        let home = tempfile::tempdir().unwrap();
        let closed = Shares::open(&[home.path()], Audience::Trusted).unwrap();
        let open = Shares::open(&[home.path()], Audience::All).unwrap();
        for (trust, in_closed, in_open) in [
            (Trust::Blocked, false, false),
            (Trust::Stranger, false, true),
            (Trust::Known, false, true),
            (Trust::Trusted, true, true),
        ] {
            assert_eq!(closed.admit(trust).is_ok(), in_closed, "{trust:?}");
            assert_eq!(open.admit(trust).is_ok(), in_open, "{trust:?}");
        }
        let nothing: [&Path; 0] = [];
        assert!(Shares::open(&nothing, Audience::All).unwrap().admit(Trust::Trusted).is_err());
    }

    #[test]
    fn shares_are_named_by_their_folders_and_paths_stay_inside() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["1/notes", "2/notes"] {
            std::fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        std::fs::write(home.path().join("2/notes/a"), "a").unwrap();
        let shares = Shares::open(&[home.path().join("1/notes"), home.path().join("2/notes")], Audience::All).unwrap();
        let names: Vec<_> = shares.list(None).unwrap().iter().map(|e| e.path.to_string()).collect();
        assert_eq!(names, ["notes", "notes (1)"]);
        let at = |text: &str| RelPath::parse(text).unwrap();
        assert_eq!(shares.list(Some(&at("notes (1)"))).unwrap().len(), 1);
        assert!(shares.source(&[at("notes (1)/a")]).is_ok());
        assert!(shares.source(&[at("notes/a")]).is_err());
        assert!(shares.list(Some(&at("other"))).unwrap_err().to_string().contains("notes (1)"));
    }
}
