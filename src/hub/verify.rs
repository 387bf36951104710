//! Reading everything again, and naming what is not what it was.

use std::collections::HashSet;

use super::catalogue::{Catalogue, Row};
use super::hash::{Digests, digests};
use super::rebuild::{Rebuild, unnameable};
use super::store::{Stat, Store};
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::RelPath;
use crate::disk::source::Go;
use crate::wire::hub::{Version, VersionId};

/// Rows looked at together.
const PAGE: u32 = 200;

/// How often something is read again that is changed while it is read.
const MOST_TRIES: u32 = 3;

/// What is wrong with something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// Its bytes have changed, and nothing else of it: the disk lost them.
    Rotted,
    /// It is not there.
    Missing,
    /// It cannot be told: it was changed or put there by hand, or its digest is not known yet.
    Unknown,
    /// It cannot be read.
    Unreadable(Fault),
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub path: RelPath,
    /// Which of its versions, if not what is in place.
    pub version: Option<VersionId>,
    /// What is wrong.
    pub wrong: Wrong,
}

/// What happens on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// So many more bytes are read.
    Read(u64),
    /// One more file or version is read to its end.
    Whole,
    /// This is wrong.
    Damaged(Damage),
}

/// What becomes of what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// It is only named.
    Nothing,
    /// What is there is right from now on; what is not there is forgotten.
    Catalogue,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// Files in place.
    pub files: u64,
    /// Kept versions.
    pub versions: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// How many of them are not as they should be.
    pub damaged: u64,
    /// Whether it was stopped before the end.
    pub stopped: bool,
}

/// Reads everything and compares it with the catalogue; `each` hears what happens and says whether to go
/// on. Blocks, for hours where there is much.
///
/// # Errors
/// Where the catalogue cannot be read or written, or a folder cannot be listed.
pub fn verify(hub: &Rebuild<'_>, fix: Fix, each: &mut dyn FnMut(Step) -> Go) -> Result<Verified, Fault> {
    let mut run = Run { hub, catalogue: hub.catalogue, store: hub.store, fix, each, done: Verified::default() };
    run.rows()?;
    run.strangers()?;
    run.versions()?;
    Ok(run.done)
}

struct Run<'a> {
    hub: &'a Rebuild<'a>,
    catalogue: &'a Catalogue,
    store: &'a dyn Store,
    fix: Fix,
    each: &'a mut dyn FnMut(Step) -> Go,
    done: Verified,
}

impl Run<'_> {
    /// Everything that the catalogue knows.
    fn rows(&mut self) -> Result<(), Fault> {
        let mut last = None;
        loop {
            let page = self.catalogue.page(None, last.as_ref(), PAGE)?;
            let Some(row) = page.last() else { return Ok(()) };
            last = Some(row.path.clone());
            for row in page {
                self.file(&row.path)?;
                if self.done.stopped {
                    return Ok(());
                }
            }
        }
    }

    /// What is there and in no row.
    fn strangers(&mut self) -> Result<(), Fault> {
        let mut folders = vec![None];
        while let Some(folder) = folders.pop() {
            let known = self.catalogue.children(folder.as_ref())?;
            let children = match self.store.list(folder.as_ref()) {
                Err(fault) if fault.kind == FaultKind::NotFound => continue,
                listed => listed?,
            };
            let mut passed_over = None;
            for (name, stat) in children {
                if self.done.stopped {
                    return Ok(());
                }
                let path = folder.as_ref().map_or_else(|| Ok(RelPath::from(name.clone())), |f: &RelPath| f.join(&name));
                let Ok(path) = path else {
                    passed_over.clone_from(&folder);
                    continue;
                };
                if stat.is_folder() {
                    folders.push(Some(path));
                } else if !known.contains_key(&name) {
                    self.file(&path)?;
                }
            }
            if let Some(folder) = passed_over {
                self.unreadable(&folder, None, unnameable(&folder))?;
            }
        }
        Ok(())
    }

    /// One file, as the catalogue knows it now.
    fn file(&mut self, path: &RelPath) -> Result<(), Fault> {
        for _ in 0..MOST_TRIES {
            let row = self.catalogue.row(path)?;
            let stat = match self.store.stat(path) {
                Ok(stat) => stat.filter(Stat::is_kept),
                Err(fault) => return self.unreadable(path, None, fault),
            };
            let Some(stat) = stat else {
                if row.is_some() {
                    self.damaged(path, None, Wrong::Missing);
                    if self.fix == Fix::Catalogue {
                        self.catalogue.forget(vec![path.clone()])?;
                    }
                }
                return Ok(());
            };
            let found = match self.read(path, None) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(()),
                Err(fault) if matches!(self.store.stat(path), Ok(None)) && fault.kind == FaultKind::NotFound => {
                    continue;
                }
                Err(fault) => return self.unreadable(path, None, fault),
            };
            // Changed meanwhile, by somebody who may: read again.
            let now = self.store.stat(path).ok().flatten();
            if now.as_ref() != Some(&stat) || self.catalogue.row(path)? != row {
                continue;
            }
            self.done.files += 1;
            self.whole();
            return self.judge(path, &stat, row, found);
        }
        self.damaged(path, None, Wrong::Unknown);
        Ok(())
    }

    fn judge(&mut self, path: &RelPath, stat: &Stat, row: Option<Row>, found: Digests) -> Result<(), Fault> {
        let wrong = match &row {
            Some(row) if row.fits(stat) => {
                let digest = row.digest.map(|digest| digest == found.digest);
                let sha256 = row.sha256.map(|sha256| sha256 == found.sha256);
                match (digest, sha256) {
                    (Some(false), _) | (_, Some(false)) => Some(Wrong::Rotted),
                    (None, None) => Some(Wrong::Unknown),
                    _ => None,
                }
            }
            _ => Some(Wrong::Unknown),
        };
        let Some(wrong) = wrong else { return Ok(()) };
        self.damaged(path, None, wrong);
        if self.fix == Fix::Nothing {
            return Ok(());
        }
        let (digest, sha256) = (Some(found.digest), Some(found.sha256));
        let row = match row {
            Some(row) if row.fits(stat) => Row { digest, sha256, ..row },
            _ => {
                let fresh = Row::of(path.clone(), stat, self.hub.by_place(path), self.hub.now);
                Row { digest, sha256, ..fresh }
            }
        };
        self.catalogue.record(vec![row])
    }

    /// Everything that is kept.
    fn versions(&mut self) -> Result<(), Fault> {
        let mut known = HashSet::new();
        let mut last = None;
        while !self.done.stopped {
            let page = self.catalogue.page_of_versions(last, PAGE)?;
            let Some(version) = page.last() else { break };
            last = Some(version.id);
            for version in page {
                known.insert(version.id);
                self.version(&version)?;
                if self.done.stopped {
                    return Ok(());
                }
            }
        }
        let mut strangers = Vec::new();
        self.store.versions(&mut |held| {
            if !known.contains(&held.id) {
                strangers.push(held);
            }
            Go::On
        })?;
        // Those kept since are in a row by now.
        strangers.retain(|held| matches!(self.catalogue.version(held.id), Ok(None)));
        for held in &strangers {
            self.damaged(&held.path, Some(held.id), Wrong::Unknown);
        }
        if self.fix == Fix::Catalogue && !strangers.is_empty() {
            self.hub.versions()?;
        }
        Ok(())
    }

    fn version(&mut self, version: &Version) -> Result<(), Fault> {
        let (path, id) = (&version.path, version.id);
        let Some(stat) = self.store.stat_version(path, id)? else {
            // Let go of, or brought back, since the page was read.
            if self.catalogue.version(id)?.is_some_and(|now| now.path == *path) {
                self.damaged(path, Some(id), Wrong::Missing);
                if self.fix == Fix::Catalogue {
                    self.catalogue.drop_versions(vec![id])?;
                }
            }
            return Ok(());
        };
        let found = match self.read(path, Some(id)) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(fault) if fault.kind == FaultKind::NotFound => return Ok(()),
            Err(fault) => return self.unreadable(path, Some(id), fault),
        };
        self.done.versions += 1;
        self.whole();
        let wrong = match version.digest {
            None => Wrong::Unknown,
            Some(digest) if digest != found.digest || stat.size != version.size => Wrong::Rotted,
            Some(_) => return Ok(()),
        };
        self.damaged(path, Some(id), wrong);
        match self.fix {
            Fix::Nothing => Ok(()),
            Fix::Catalogue => self.catalogue.describe_version(id, &stat, found.digest),
        }
    }

    /// The digests of what the disk has; `None` where it is to stop.
    fn read(&mut self, path: &RelPath, version: Option<VersionId>) -> Result<Option<Digests>, Fault> {
        let bytes = self.store.read_again(path, version)?;
        let found = digests(bytes, &mut |read| {
            self.done.bytes += read;
            (self.each)(Step::Read(read))
        });
        let found = found.map_err(|error| Fault::disk(format!("reading {path}"), &error))?;
        self.done.stopped |= found.is_none();
        Ok(found)
    }

    fn whole(&mut self) {
        self.done.stopped |= (self.each)(Step::Whole) == Go::Stop;
    }

    fn unreadable(&mut self, path: &RelPath, version: Option<VersionId>, fault: Fault) -> Result<(), Fault> {
        self.damaged(path, version, Wrong::Unreadable(fault));
        Ok(())
    }

    fn damaged(&mut self, path: &RelPath, version: Option<VersionId>, wrong: Wrong) {
        self.done.damaged += 1;
        let damage = Damage { path: path.clone(), version, wrong };
        self.done.stopped |= (self.each)(Step::Damaged(damage)) == Go::Stop;
    }
}
