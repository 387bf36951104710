//! What a transfer would find in place, without taking it up.

use std::collections::HashMap;

use cap_fs_ext::DirExt;

use super::journal::{self, Kept};
use super::partial::{STAGING, area_of, runs};
use super::root::{Root, read_nofollow};
use super::settle::Place;
use crate::base::id::PeerId;
use crate::base::manifest::{Entry, EntryKind, Have};
use crate::base::path::RelPath;

/// A look at the receiving folder and at what an earlier try has left.
#[derive(Debug)]
pub struct Peek {
    root: Root,
    kept: HashMap<RelPath, Kept>,
}

impl Peek {
    /// A look at what `sender` would find who sends the names that `set` stands for.
    pub fn open(root: &Root, sender: PeerId, set: &[u8; 32]) -> Self {
        let staging = root.dir().open_dir_nofollow(STAGING);
        let area = staging.and_then(|staging| staging.open_dir_nofollow(area_of(sender, set)));
        let journal = area.and_then(|area| area.open_with("journal", &read_nofollow()));
        let kept = journal.and_then(|journal| journal::load(&journal.into_std())).unwrap_or_default();
        Self { root: root.clone(), kept }
    }

    /// What is there of each entry; `by_content`, only the same bytes are equal.
    pub fn haves(&self, page: &[Entry], by_content: bool) -> Vec<Have> {
        let mut there = Place::new(&self.root);
        let have = |entry: &Entry| match entry.kind {
            EntryKind::File { .. } if !by_content && there.has_equal(entry) => Have::Equal,
            EntryKind::File { size, modified, .. } => match self.kept.get(&entry.path) {
                Some(kept) if kept.size == size && kept.modified == modified => Have::Chunks(runs(&kept.chunks)),
                _ => match by_content.then(|| there.digest_of(entry)).flatten() {
                    Some(digest) => Have::Digest(digest),
                    None if there.keeps_other(&entry.path) => Have::Skipped,
                    None => Have::Nothing,
                },
            },
            EntryKind::Stream if there.keeps_other(&entry.path) => Have::Skipped,
            _ => Have::Nothing,
        };
        page.iter().map(have).collect()
    }
}
