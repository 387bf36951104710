//! What a transfer would find in place, without taking it up.

use std::sync::Mutex;

use cap_fs_ext::DirExt;

use super::fit::{FileSystem, Fit};
use super::journal::{Kept, Left, Trust};
use super::open;
use super::partial::lock;
use super::place::Place;
use super::root::Root;
use super::slots::runs;
use super::staging::{STAGING, area_of};
use crate::base::id::PeerId;
use crate::base::manifest::{Entry, EntryKind, Have};
use crate::base::path::RelPath;

/// A look at the receiving folder and at what an earlier try has left.
#[derive(Debug)]
pub struct Peek {
    root: Root,
    left: Mutex<Option<Left>>,
    fit: Mutex<Fit>,
}

impl Peek {
    /// A look at what `sender` would find who sends the names that `set` stands for.
    pub fn open(root: &Root, sender: PeerId, set: &[u8; 32]) -> Self {
        let staging = root.staging().open_dir_nofollow(STAGING);
        let area = staging.and_then(|staging| staging.open_dir_nofollow(area_of(sender, set))).ok();
        // To probe it properly something would have to be written: where this is wrong about names
        // that do not fit, the preview is wrong about these.
        let system = FileSystem::guess(area.as_ref());
        let journal = area.and_then(|area| open::to_read(&area, "journal").ok());
        let left = journal.and_then(|journal| Left::of(journal, system.case, Trust::Noted).ok()).flatten();
        Self { root: root.clone(), left: Mutex::new(left), fit: Mutex::new(Fit::new(system, root.longest())) }
    }

    /// What is there of each entry of the next page; `by_content`, only the same bytes are equal.
    pub fn haves(&self, page: &[Entry], by_content: bool) -> Vec<Have> {
        let mut there = Place::new(&self.root);
        let have = |entry: &Entry| {
            let Ok(elsewhere) = lock(&self.fit).elsewhere(entry, &mut there) else { return Have::Nothing };
            self.have(entry, elsewhere.as_deref().unwrap_or(&entry.path), by_content, &mut there)
        };
        page.iter().map(have).collect()
    }

    fn have(&self, entry: &Entry, local: &RelPath, by_content: bool, there: &mut Place) -> Have {
        match entry.kind {
            EntryKind::File { .. } if !by_content && there.equal(&entry.kind, local).is_some() => Have::Equal,
            EntryKind::File { .. } => match self.kept(local) {
                Some(kept) if kept.is_of(&entry.kind) => {
                    Have::Chunks(runs(kept.chunks.iter().map(|(index, _)| *index)))
                }
                _ => match by_content.then(|| there.digest_of(&entry.kind, local)).flatten() {
                    Some((digest, _)) => Have::Digest(digest),
                    None if there.keeps_other(local) => Have::Skipped,
                    None => Have::Nothing,
                },
            },
            EntryKind::Stream if there.keeps_other(local) => Have::Skipped,
            _ => Have::Nothing,
        }
    }

    /// What an earlier try left of a file; where it cannot be read, the preview goes without.
    fn kept(&self, local: &RelPath) -> Option<Kept> {
        lock(&self.left).as_mut()?.at(local).ok().flatten()
    }
}
