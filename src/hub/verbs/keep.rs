//! What is kept of files that gave way, and bringing it back.

use std::collections::BTreeSet;

use super::Asking;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::EntryKind;
use crate::base::path::RelPath;
use crate::flow::ask::Told;
use crate::hub::catalogue::Row;
use crate::hub::event::Event;
use crate::hub::quota::Need;
use crate::hub::space::{Deed, not_there};
use crate::hub::store::{Keep, Stat};
use crate::node::serve::now;
use crate::wire::hub::{Version, VersionId};

impl Asking {
    pub(super) fn versions(&self, path: &RelPath) -> Result<Told, Fault> {
        if !self.sees(path) {
            return Err(not_there(path));
        }
        let mut versions = self.hub.catalogue.versions(path)?;
        versions.retain(|version| self.sees(&version.path));
        if versions.is_empty() && self.hub.store.stat(path)?.is_none() {
            return Err(not_there(path));
        }
        Ok(Told { versions, ..Told::default() })
    }

    /// Brings back the version named; else the newest of the file, or of every file of the folder that
    /// is not there now.
    pub(super) fn restore(&self, path: &RelPath, version: Option<VersionId>) -> Result<Told, Fault> {
        let chosen = self.chosen(path, version)?;
        for version in &chosen {
            self.may_restore(version)?;
        }
        let need = Need { bytes: chosen.iter().map(|version| version.size).sum(), ..Need::default() };
        let (_reserved, _) = self.hub.reserve(Some(&self.member.account), path, need)?;
        let files = chosen.len() as u64;
        for version in chosen {
            self.bring_back(version)?;
        }
        self.hub.log(Event::Restored { guest: self.guest.clone(), path: path.clone(), version });
        Ok(Told { files, ..Told::default() })
    }

    fn chosen(&self, path: &RelPath, version: Option<VersionId>) -> Result<Vec<Version>, Fault> {
        // The newest comes first.
        let versions = self.versions(path)?.versions;
        let none = |what: &str| Fault::new(FaultKind::NotFound, format!("{what} of {path} is kept"));
        if let Some(id) = version {
            let named = versions.into_iter().find(|version| version.id == id);
            return named.map(|version| vec![version]).ok_or_else(|| none("no such version"));
        }
        if let Some(newest) = versions.iter().find(|version| version.path == *path) {
            return Ok(vec![newest.clone()]);
        }
        let mut seen = BTreeSet::new();
        let mut chosen = Vec::new();
        for version in versions {
            if seen.insert(version.path.clone()) && self.hub.store.stat(&version.path)?.is_none() {
                chosen.push(version);
            }
        }
        if chosen.is_empty() { Err(none("nothing that is missing")) } else { Ok(chosen) }
    }

    /// Whoever might change the file now, and might have then, may bring it back.
    fn may_restore(&self, version: &Version) -> Result<(), Fault> {
        self.may(Deed::Add, &version.path, None)?;
        self.may(Deed::Change, &version.path, version.owner.as_ref())?;
        if let Some(EntryKind::Link { target }) =
            self.hub.store.stat_version(&version.path, version.id)?.map(|stat| stat.kind)
            && !self.hub.with_access(&self.member, |access| access.keeps_in(&target, &version.path))
        {
            let text = format!("{} was a link, and would lead out of where it is then", version.path);
            return Err(Fault::new(FaultKind::NotPermitted, text));
        }
        match self.hub.store.stat(&version.path)? {
            Some(stat) => {
                let owner = self.hub.owner(&version.path, &stat)?;
                self.may(Deed::Change, &version.path, owner.as_ref())
            }
            None => Ok(()),
        }
    }

    fn bring_back(&self, version: Version) -> Result<(), Fault> {
        let path = version.path.clone();
        let _turn = self.hub.turn();
        self.may_restore(&version)?;
        let now_kept = self.hub.keep(&path, Some(self.member.account.clone()), Keep::Away)?;
        self.hub.catalogue.kept_all(now_kept.into_iter().collect())?;
        let (owner, digest) = (version.owner, version.digest);
        let row = |stat: &Stat| Row { digest, ..Row::of(path.clone(), stat, owner.clone(), now()) };
        // Noted first: should the hub end in between, it is known whose it is.
        let before = self.hub.store.stat_version(&path, version.id)?.ok_or_else(|| not_there(&path))?;
        self.hub.catalogue.record(vec![row(&before)])?;
        if let Err(fault) = self.hub.store.bring_back(&path, version.id, &path) {
            self.hub.catalogue.forget(vec![path.clone()])?;
            return Err(fault);
        }
        if let Some(stat) = self.hub.store.stat(&path)?.filter(|stat| !row(&before).fits(stat)) {
            self.hub.catalogue.record(vec![row(&stat)])?;
        }
        self.hub.catalogue.drop_versions(vec![version.id])
    }
}
