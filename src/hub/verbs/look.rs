//! Looking: what is in a folder, and where something is.

use std::collections::HashMap;
use std::io::Read;

use sha2::{Digest, Sha256};

use super::Asking;
use crate::base::book::fold;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::EntryKind;
use crate::base::path::{Name, RelPath};
use crate::base::text::PeerText;
use crate::flow::ask::Told;
use crate::flow::pages::Weighed;
use crate::hub::catalogue::{Change, Row};
use crate::hub::space::{Deed, Kind, not_there};
use crate::hub::store::Stat;
use crate::wire::hub::{Item, Rank};
use crate::wire::limits::{MAX_ENTRIES, MAX_MANIFEST};

/// What one look costs at most: a file that must be read for its SHA-256 is read in pieces of so many
/// bytes.
const STRIDE: usize = 1 << 18;

impl Asking {
    /// Whether something may be seen.
    pub(super) fn sees(&self, path: &RelPath) -> bool {
        self.hub.with_access(&self.member, |access| access.may(Deed::See, path, None)).is_ok()
    }

    /// What is at a path, if that may be known.
    pub(super) fn stat(&self, path: &RelPath) -> Result<Stat, Fault> {
        if !self.sees(path) {
            return Err(not_there(path));
        }
        self.hub.store.stat(path)?.ok_or_else(|| not_there(path))
    }

    /// That somebody still waits for what is looked at.
    fn go_on(&self) -> Result<(), Fault> {
        match self.waiting.strong_count() {
            0 => Err(Fault::new(FaultKind::Lost, "whoever asked has gone")),
            _ => Ok(()),
        }
    }

    pub(super) fn look(&self, path: Option<&RelPath>, deep: bool, sha256: bool) -> Result<Told, Fault> {
        self.look_for(path, deep, sha256, &|_| true)
    }

    /// Looks, and keeps those that are wanted.
    fn look_for(
        &self,
        path: Option<&RelPath>,
        deep: bool,
        sha256: bool,
        wanted: &dyn Fn(&Item) -> bool,
    ) -> Result<Told, Fault> {
        let mut weight = 0;
        let mut items = Vec::new();
        if let Some(path) = path {
            let stat = self.stat(path)?;
            if !stat.kind.is_folder() {
                let row = self.hub.known(path, &stat)?;
                let kept = u32::try_from(self.hub.catalogue.versions(path)?.len()).unwrap_or(u32::MAX);
                let item = self.item(path.clone(), stat, row.map(|row| (row, kept)), sha256)?;
                items.extend(Some(item).filter(|item| wanted(item)));
                return Ok(Told { items, ..Told::default() });
            }
        }
        let mut folders = vec![path.cloned()];
        while let Some(folder) = folders.pop() {
            for item in self.folder(folder.as_ref(), sha256)? {
                if deep && item.kind.is_folder() {
                    folders.push(Some(item.path.clone()));
                }
                if wanted(&item) {
                    weight += item.weight();
                    items.push(item);
                }
            }
            if items.len() > MAX_ENTRIES || weight > MAX_MANIFEST {
                return Err(Fault::new(FaultKind::Other, "that is too much to tell at once: name a folder in it"));
            }
        }
        if deep {
            items.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok(Told { items, ..Told::default() })
    }

    /// What may be seen of one folder, by name.
    fn folder(&self, folder: Option<&RelPath>, sha256: bool) -> Result<Vec<Item>, Fault> {
        let there = self.hub.store.list(folder)?;
        let mut known: HashMap<Name, (Row, u32)> = self.hub.catalogue.children(folder)?;
        let mut items = Vec::with_capacity(there.len());
        for (name, stat) in there {
            self.go_on()?;
            let path = folder.map_or_else(|| Ok(name.clone().into()), |folder| folder.join(&name));
            // Put there by hand, further down than anybody can name.
            let Ok(path) = path else { continue };
            if self.sees(&path) {
                items.push(self.item(path, stat, known.remove(&name), sha256)?);
            }
        }
        items.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(items)
    }

    fn item(&self, path: RelPath, stat: Stat, known: Option<(Row, u32)>, sha256: bool) -> Result<Item, Fault> {
        let (row, versions) = known.map_or((None, 0), |(row, versions)| (Some(row), versions));
        let row = row.filter(|row| row.fits(&stat));
        let mut hash = row.as_ref().and_then(|row| row.sha256);
        if sha256 && hash.is_none() && matches!(stat.kind, EntryKind::File { .. }) {
            hash = self.hash(&path, &stat, row.as_ref())?;
        }
        let about = if path.depth() == 1 { self.about(&path) } else { None };
        Ok(Item { path, kind: stat.kind, owner: row.and_then(|row| row.owner), sha256: hash, versions, about })
    }

    /// Reads a file for its SHA-256, and notes that where it is known whose the file is: noting one that
    /// has only just come would say that it is nobody's.
    fn hash(&self, path: &RelPath, stat: &Stat, row: Option<&Row>) -> Result<Option<[u8; 32]>, Fault> {
        let Some(before) = row.cloned() else {
            return self.hub.sha256(&Row::of(path.clone(), stat, None, 0), &|| self.go_on());
        };
        let hash = self.hub.sha256(&before, &|| self.go_on())?;
        if hash.is_some() {
            let after = Row { sha256: hash, ..before.clone() };
            self.hub.catalogue.reconcile(vec![Change::Became { before, after }])?;
        }
        Ok(hash)
    }

    /// What a space is for, in a word or two.
    fn about(&self, path: &RelPath) -> Option<PeerText> {
        let (kind, rank) = self.hub.with_access(&self.member, |access| (access.kind(path), access.rank));
        let text = match kind {
            Some(Kind::Shared) => "for all: add, and change what is yours".to_owned(),
            Some(Kind::People) => format!("private: yours is {path}/{}", self.member.account),
            Some(Kind::Read) => "to read".to_owned(),
            Some(Kind::Drop { deadline: None }) => "to hand in".to_owned(),
            Some(Kind::Drop { deadline: Some(until) }) => {
                format!("to hand in until {}", super::super::space::time(until))
            }
            Some(Kind::Open) => "for all: change everything".to_owned(),
            None if rank == Rank::Manager => "no space: only managers see it".to_owned(),
            None => return None,
        };
        Some(PeerText::new(text))
    }

    /// Where something is whose name has `text` in it, in any case of letters.
    pub(super) fn find(&self, text: &PeerText, below: Option<&RelPath>) -> Result<Told, Fault> {
        let text = fold(text.as_raw());
        self.look_for(below, true, false, &|item| fold(item.path.last()).contains(&text))
    }
}

impl super::Hub {
    /// The plain SHA-256 of the file that this row speaks of, which is read for it; `None` where another
    /// has its place by then. `go_on` is asked now and then, and its fault ends it.
    pub(in crate::hub) fn sha256(
        &self,
        row: &Row,
        go_on: &dyn Fn() -> Result<(), Fault>,
    ) -> Result<Option<[u8; 32]>, Fault> {
        let path = &row.path;
        let mut file = match self.store.read(path) {
            Err(fault) if fault.kind == FaultKind::NotFound => return Ok(None),
            file => file?,
        };
        let (mut hasher, mut bytes) = (Sha256::new(), vec![0; STRIDE]);
        loop {
            let read = file.read(&mut bytes).map_err(|error| Fault::disk(format!("reading {path}"), &error))?;
            if read == 0 {
                break;
            }
            hasher.update(&bytes[..read]);
            go_on()?;
        }
        let is_it = self.store.stat(path)?.is_some_and(|stat| row.fits(&stat));
        Ok(is_it.then(|| hasher.finalize().into()))
    }
}
