//! What is known of each entry of a transfer that comes.

use super::place::Found;
use crate::base::digest::{CHUNK, ChunkHash, EntryDigest, chunk_length};
use crate::base::fault::Fault;
use crate::base::manifest::{ChunkRun, Entry, Have};
use crate::base::path::RelPath;

/// What is known of each entry, in pages: what is through with can be let go of bit by bit.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Each page with the place of its first entry.
    pages: Vec<(usize, Vec<Slot>)>,
    count: usize,
}

impl Slots {
    pub(super) fn push(&mut self, page: Vec<Slot>) {
        let first = self.count;
        self.count += page.len();
        if !page.is_empty() {
            self.pages.push((first, page));
        }
    }

    /// The pages, each with the place of its first entry.
    pub(super) fn into_pages(self) -> std::vec::IntoIter<(usize, Vec<Slot>)> {
        self.pages.into_iter()
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.pages.iter().flat_map(|(_, page)| page)
    }

    /// What is known of an entry.
    ///
    /// # Errors
    /// A protocol fault for what was not offered.
    pub(super) fn at(&mut self, entry: u32) -> Result<&mut Slot, Fault> {
        let place = entry as usize;
        let after = self.pages.partition_point(|(first, _)| *first <= place);
        let page = after.checked_sub(1).and_then(|at| self.pages.get_mut(at));
        let slot = page.and_then(|(first, page)| page.get_mut(place - *first));
        slot.ok_or_else(|| Fault::protocol("an entry that was not offered"))
    }
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) entry: Entry,
    /// Where it goes, if not to its own path: see [`super::fit::Fit`].
    pub(super) elsewhere: Option<Box<RelPath>>,
    pub(super) state: State,
}

impl Slot {
    /// Whether its bytes wait in staging.
    pub(super) fn is_staged(&self) -> bool {
        matches!(self.state, State::Staged(_))
    }

    /// Where it goes.
    pub(super) fn local(&self) -> &RelPath {
        self.elsewhere.as_deref().unwrap_or(&self.entry.path)
    }
}

#[derive(Debug)]
pub(super) enum State {
    /// A folder or a link: nothing to write before everything is settled.
    Plain,
    /// Nothing of it is there yet.
    Awaited,
    /// Its only chunk is there from an earlier try; its end is not.
    Whole(ChunkHash),
    /// Chunks are being collected.
    Open(Box<Work>),
    /// All there and verified.
    Staged(EntryDigest),
    /// An equal file is in place.
    Equal(Found),
    /// Something else is in place, and stays.
    Skipped,
    /// A file with the same bytes is in place.
    Same(Box<(EntryDigest, Found)>),
    /// It will not come.
    Failed(Fault),
}

impl State {
    /// Whether its end has still to come.
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self, Self::Awaited | Self::Whole(_) | Self::Open(_))
    }

    /// The work on a file that is not complete, announced with this size; `None` where there is none to be
    /// done.
    pub(super) fn work(&mut self, size: u64) -> Option<&mut Work> {
        match self {
            Self::Awaited => *self = Self::Open(Box::default()),
            Self::Whole(hash) => {
                let mut work = Box::<Work>::default();
                work.keep(0, *hash, size);
                *self = Self::Open(work);
            }
            _ => {}
        }
        match self {
            Self::Open(work) => Some(work),
            _ => None,
        }
    }
}

/// A file whose chunks are being collected.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) chunks: Vec<Option<ChunkHash>>,
    pub(super) got: usize,
    pub(super) bytes: u64,
    /// Whether an earlier try left some of it.
    pub(super) resumed: bool,
    /// A chunk of a pipe that is not a whole one: only the last may be.
    pub(super) short: Option<u32>,
    pub(super) number: Option<u32>,
    pub(super) end: Option<End>,
    /// A file in place that may be the same, and its digest.
    pub(super) candidate: Option<(EntryDigest, Found)>,
}

impl Work {
    /// Takes over a chunk that an earlier try left of a file of this size; they come in order.
    pub(super) fn keep(&mut self, index: u32, hash: ChunkHash, size: u64) {
        self.chunks.resize(index as usize, None);
        self.chunks.push(Some(hash));
        self.got += 1;
        self.bytes += chunk_length(size, index);
        self.resumed = true;
    }

    /// The runs that the sender is told of. It sends all others again, also those that are here: there
    /// may be more than can be told.
    pub(super) fn told(&mut self) -> Vec<ChunkRun> {
        let there = self.chunks.iter().zip(0..).filter_map(|(chunk, index)| chunk.map(|_| index));
        let runs = runs(there);
        if runs.len() == Have::MAX_RUNS
            && let Some(last) = runs.last()
        {
            let end = (last.first + last.count) as usize;
            let untold = self.chunks.drain(end..).flatten().count();
            if untold > 0 {
                self.got -= untold;
                // The last chunk, which may be short, is not among those that are told.
                self.bytes = self.got as u64 * CHUNK;
            }
        }
        runs
    }
}

/// What the sender says of an entry when it is through.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// Its length.
    pub size: u64,
    /// Its digest.
    pub digest: EntryDigest,
}

/// The runs of chunks with these numbers, which are in order; as many runs as may be told.
pub(super) fn runs(there: impl Iterator<Item = u32>) -> Vec<ChunkRun> {
    let mut runs: Vec<ChunkRun> = Vec::new();
    for index in there {
        let full = runs.len() == Have::MAX_RUNS;
        match runs.last_mut() {
            Some(run) if run.first + run.count == index => run.count += 1,
            _ if full => break,
            _ => runs.push(ChunkRun { first: index, count: 1 }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose chunks with even numbers are there, the last of which has one byte.
    fn every_other(count: u32) -> Work {
        let chunks: Vec<_> = (0..count).map(|index| (index % 2 == 0).then_some(ChunkHash([0; 32]))).collect();
        let got = chunks.iter().flatten().count();
        Work { chunks, got, bytes: (got as u64 - 1) * CHUNK + 1, ..Work::default() }
    }

    #[test]
    fn only_bytes_that_are_told_of_count_as_there() {
        let most = Have::MAX_RUNS as u32;
        let mut work = every_other(2 * most - 1);
        assert_eq!(work.told().len(), Have::MAX_RUNS);
        assert_eq!(work.bytes, u64::from(most - 1) * CHUNK + 1, "all is told, also the short one");
        let mut work = every_other(2 * most + 1);
        assert_eq!(work.told().len(), Have::MAX_RUNS);
        assert_eq!((work.got, work.bytes), (Have::MAX_RUNS, u64::from(most) * CHUNK));
    }
}
