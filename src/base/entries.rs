//! A manifest's entries in their order, in shared blocks: a million of them are kept once, however
//! many conversations and reports look at them.

use std::sync::Arc;

use super::manifest::Entry;

/// The entries of a manifest. A clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// Each block with the place of its first entry.
    blocks: Vec<(usize, Arc<[Entry]>)>,
    count: usize,
    bytes: u64,
}

impl Entries {
    /// Adds some to the end.
    pub fn push(&mut self, block: Vec<Entry>) {
        if block.is_empty() {
            return;
        }
        let first = self.count;
        self.count += block.len();
        self.bytes = block.iter().fold(self.bytes, |sum, entry| sum.saturating_add(entry.size()));
        self.blocks.push((first, block.into()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes announced, all together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The block that begins with this entry, or holds it.
    pub fn block_at(&self, place: usize) -> Option<(usize, &Arc<[Entry]>)> {
        let after = self.blocks.partition_point(|(first, _)| *first <= place);
        let (first, block) = self.blocks.get(after.checked_sub(1)?)?;
        (place - first < block.len()).then_some((*first, block))
    }

    /// The entry at a place.
    pub fn get(&self, place: usize) -> Option<&Entry> {
        let (first, block) = self.block_at(place)?;
        block.get(place - first)
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.blocks.iter().flat_map(|(_, block)| block.iter())
    }
}

/// Entries of a block that is made of single ones.
const BLOCK: usize = 1024;

impl Extend<Entry> for Entries {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        let mut block = Vec::new();
        for entry in entries {
            block.push(entry);
            if block.len() == BLOCK {
                self.push(std::mem::take(&mut block));
            }
        }
        self.push(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::manifest::EntryKind;
    use crate::base::path::RelPath;

    #[test]
    fn entries_are_found_by_their_place_whatever_the_blocks() {
        let entry = |n: usize| Entry { path: RelPath::parse(&n.to_string()).unwrap(), kind: EntryKind::FOLDER };
        let mut entries = Entries::default();
        let mut next = 0;
        for size in [3, 0, 1, 700] {
            entries.push((next..next + size).map(entry).collect());
            next += size;
        }
        assert_eq!(entries.len(), 704);
        for place in [0, 2, 3, 4, 703] {
            assert_eq!(entries.get(place).unwrap().path.as_str(), place.to_string());
        }
        assert!(entries.get(704).is_none());
        assert_eq!(entries.iter().count(), 704);
        assert_eq!(entries.block_at(500).unwrap().0, 4);
    }
}
