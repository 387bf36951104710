//! Changing: removing, moving, making folders. What goes is kept.

use super::Asking;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::EntryKind;
use crate::base::path::RelPath;
use crate::flow::ask::Told;
use crate::hub::catalogue::Kept;
use crate::hub::event::Event;
use crate::hub::quota::Need;
use crate::hub::space::{Deed, Kind};
use crate::hub::store::{Keep, Stat};
use crate::wire::limits::MAX_ENTRIES;

/// Everything at a path and below it: folders before what is in them.
type Tree = Vec<(RelPath, Stat)>;

impl Asking {
    pub(super) fn may(&self, deed: Deed, path: &RelPath, owner: Option<&crate::base::path::Name>) -> Result<(), Fault> {
        self.hub.with_access(&self.member, |access| access.may(deed, path, owner))
    }

    /// Everything at a path and below it, if all of it may be changed.
    fn changeable(&self, path: &RelPath, most: usize) -> Result<Tree, Fault> {
        let mut tree = vec![(path.clone(), self.stat(path)?)];
        let mut next = 0;
        while let Some((at, stat)) = tree.get(next).cloned() {
            if stat.kind.is_folder() {
                // A folder is nobody's: it may be changed by whoever may change what is in it.
                if at.depth() == 1 || self.hub.with_access(&self.member, |access| access.holder(&at)).is_some() {
                    self.may(Deed::Change, &at, None)?;
                } else {
                    self.may(Deed::Add, &at, None)?;
                }
                for (name, stat) in self.hub.store.list(Some(&at))? {
                    let below = at.join(&name).map_err(|_| {
                        let text = "something in it, put there by hand, has a path that is too long or too deep to be \
                                    named; whoever has the hub's machine moves it there";
                        Fault::new(FaultKind::NotPermitted, format!("{text}: {at}"))
                    })?;
                    tree.push((below, stat));
                }
            } else {
                let owner = self.hub.owner(&at, &stat)?;
                self.may(Deed::Change, &at, owner.as_ref())?;
            }
            next += 1;
            if tree.len() > most {
                return Err(Fault::new(FaultKind::Other, format!("{path} holds too much to be changed at once")));
            }
        }
        Ok(tree)
    }

    /// Removes; every file stays restorable.
    pub(super) fn remove(&self, paths: &[RelPath]) -> Result<Told, Fault> {
        let (mut trees, mut most) = (Vec::with_capacity(paths.len()), MAX_ENTRIES);
        for path in paths {
            let tree = self.changeable(path, most)?;
            most -= tree.len();
            trees.push(tree);
        }
        let mut all = 0;
        for (path, tree) in paths.iter().zip(trees) {
            let files = self.remove_tree(tree)?;
            all += files;
            self.hub.log(Event::Removed { guest: self.guest.clone(), path: path.clone(), files });
        }
        Ok(Told { files: all, ..Told::default() })
    }

    fn remove_tree(&self, tree: Tree) -> Result<u64, Fault> {
        let mut files = 0;
        // What is in a folder goes before it.
        for (path, stat) in tree.into_iter().rev() {
            let _turn = self.hub.turn();
            if stat.kind.is_folder() {
                self.hub.store.remove_folder(&path)?;
                continue;
            }
            // Another may have taken its place since it was looked at.
            if let Some(there) = self.hub.store.stat(&path)? {
                let owner = self.hub.owner(&path, &there)?;
                self.may(Deed::Change, &path, owner.as_ref())?;
                let version = self.hub.keep(&path, Some(self.member.account.clone()), Keep::Away)?;
                self.hub.catalogue.kept_all(version.into_iter().collect())?;
                self.hub.catalogue.forget(vec![path])?;
                files += 1;
            }
        }
        Ok(files)
    }

    /// What something is called when it is moved to `to`: where that is a folder, it goes into it.
    fn moved_to(&self, from: &RelPath, to: &RelPath) -> Result<RelPath, Fault> {
        let to = self.hub.with_access(&self.member, |access| access.destination(to))?;
        // Somebody's own folder is one, there or not: a file in its place would leave them without.
        let own = self.is_home(from, &to);
        let is_folder = |stat: Option<Stat>| stat.is_some_and(|stat| stat.kind.is_folder());
        if own || self.sees(&to) && is_folder(self.hub.store.stat(&to)?) {
            return to.join(&from.file_name()).map_err(|fault| Fault::new(FaultKind::Other, fault.to_string()));
        }
        if to.depth() == 1 {
            let text = format!("{to} would be a space, or beside the spaces; name a folder in one, as shared/{to}");
            return Err(Fault::new(FaultKind::NotPermitted, text));
        }
        Ok(to)
    }

    /// That a move makes no link that leads out.
    fn leads_nowhere(&self, tree: &Tree, from: &RelPath, to: &RelPath) -> Result<(), Fault> {
        for (path, stat) in tree {
            let EntryKind::Link { target } = &stat.kind else { continue };
            let keeps_in = |new: RelPath| self.hub.with_access(&self.member, |access| access.keeps_in(target, &new));
            if !path.moved(from, to).is_ok_and(keeps_in) {
                let text = format!("{path} is a link, and would lead out of where it is then");
                return Err(Fault::new(FaultKind::NotPermitted, text));
            }
        }
        Ok(())
    }

    /// That everything that moves can be named where it is then, also what is kept of it, if that goes along.
    fn can_be_named(&self, tree: &Tree, from: &RelPath, to: &RelPath, kept: Kept) -> Result<(), Fault> {
        let is_long = |path: &&RelPath| path.moved(from, to).is_err();
        let worst = |path: &&RelPath| (path.as_str().len(), path.depth());
        let fault = |what: &str, path: &RelPath| {
            let text = format!(
                "it would be too long or too deep there ({} bytes and {} names are the most)",
                RelPath::MAX,
                RelPath::MAX_DEPTH
            );
            Err(Fault::new(FaultKind::NotPermitted, format!("{text}{what}: {path}")))
        };
        if let Some(path) = tree.iter().map(|(path, _)| path).filter(is_long).max_by_key(worst) {
            return fault("", path);
        }
        let versions = if kept == Kept::Along { self.hub.catalogue.versions(from)? } else { Vec::new() };
        match versions.iter().map(|version| &version.path).filter(is_long).max_by_key(worst) {
            Some(path) => fault(", with what is kept of it", path),
            None => Ok(()),
        }
    }

    /// Moves or renames; into `to`, where that is a folder.
    pub(super) fn rename(&self, from: &RelPath, to: &RelPath) -> Result<Told, Fault> {
        let (tree, to) = {
            // Nobody puts anything there between the look and the move.
            let _turn = self.hub.turn();
            self.move_tree(from, to)?
        };
        self.hub.log(Event::Renamed { guest: self.guest.clone(), from: from.clone(), to: to.clone() });
        let files = tree.iter().filter(|(_, stat)| !stat.kind.is_folder()).count() as u64;
        Ok(Told { files, path: Some(to), ..Told::default() })
    }

    fn move_tree(&self, from: &RelPath, to: &RelPath) -> Result<(Tree, RelPath), Fault> {
        let tree = self.changeable(from, MAX_ENTRIES)?;
        let to = self.moved_to(from, to)?;
        self.may(Deed::Add, &to, None)?;
        if to.as_str().starts_with(&format!("{}/", from.as_str())) {
            return Err(Fault::new(FaultKind::Other, format!("{from} cannot be moved into itself")));
        }
        self.may_hide(&tree, &to)?;
        self.leads_nowhere(&tree, from, &to)?;
        // What is kept, others may see and restore who could before, and nobody else.
        let same = self.hub.with_access(&self.member, |access| access.is_same_ground(from, &to));
        let kept = if same { Kept::Along } else { Kept::Stays };
        self.can_be_named(&tree, from, &to, kept)?;
        let need = Need { bytes: tree.iter().map(|(_, stat)| stat.size).sum(), ..Need::default() };
        // Within a space nothing grows.
        let _reserved = if to.top() == from.top() { None } else { Some(self.hub.reserve(None, &to, need)?) };
        self.hub.store.rename(from, &to)?;
        if kept == Kept::Along {
            self.hub.store.move_versions(from, &to)?;
        }
        self.hub.catalogue.moved(from, &to, kept)?;
        Ok((tree, to))
    }

    /// Whether somebody's own folder is meant, there or not: nothing else takes its name, but another such
    /// folder that is to be called so.
    fn is_home(&self, from: &RelPath, to: &RelPath) -> bool {
        self.hub.with_access(&self.member, |access| {
            access.is_holders(to) && !(access.is_holders(from) && from.top() == to.top())
        })
    }

    /// What others put for all does not go where nobody else finds it again: removed, it could be restored.
    fn may_hide(&self, tree: &Tree, to: &RelPath) -> Result<(), Fault> {
        let private =
            |path: &RelPath| self.hub.with_access(&self.member, |access| access.kind(path)) == Some(Kind::People);
        if !private(to) {
            return Ok(());
        }
        for (path, stat) in tree.iter().filter(|(path, stat)| stat.is_kept() && !private(path)) {
            if self.hub.owner(path, stat)?.as_ref() != Some(&self.member.account) {
                let text = format!("{path} is not yours: it does not go into a private folder; copy it, pull and push");
                return Err(Fault::new(FaultKind::NotPermitted, text));
            }
        }
        Ok(())
    }

    pub(super) fn make_folder(&self, path: &RelPath) -> Result<Told, Fault> {
        if path.depth() == 1 {
            self.may(Deed::See, path, None)?;
        }
        let path = self.hub.with_access(&self.member, |access| access.destination(path))?;
        {
            // What is above it is not moved away meanwhile.
            let _turn = self.hub.turn();
            self.may(Deed::Add, &path, None)?;
            self.hub.store.make_folder(&path)?;
        }
        self.hub.log(Event::FolderMade { guest: self.guest.clone(), path: path.clone() });
        Ok(Told { path: Some(path), ..Told::default() })
    }
}
