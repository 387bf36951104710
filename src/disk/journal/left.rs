//! What an earlier try left, read again where it is offered again.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Read, Seek};

use super::records::Records;
use super::{Kept, Record, boot};
use crate::base::digest::chunks_of;
use crate::base::path::RelPath;
use crate::disk::fit::{self, Case};

/// How much of a journal is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) enum Trust {
    /// All that was noted, since this boot of the system.
    Noted,
    /// What was on the disk when it was noted.
    Synced,
}

/// What an earlier try left. Of a million files only where their records stand is in memory: they are read
/// again, mostly in their order, as the files are offered.
#[derive(Debug)]
pub(in crate::disk) struct Left<R = File> {
    records: Records<R>,
    /// The hash of what stands for each path, with where the file's record stands; in the order of the hashes.
    files: Vec<(u64, u64)>,
    /// The number of the file and that of the chunk, with where the chunk's record stands; in that order.
    chunks: Vec<(u32, u32, u64)>,
    case: Case,
    hasher: RandomState,
}

impl Left {
    /// What a journal says, as far as it is believed; `None` where that is nothing.
    pub(in crate::disk) fn of(journal: File, case: Case, trust: Trust) -> io::Result<Option<Self>> {
        Self::read(journal, (trust == Trust::Noted).then(boot), case)
    }
}

impl<R: Read + Seek> Left<R> {
    /// What was noted in this boot is believed, of another one, as of none, only what was synced.
    pub(super) fn read(journal: R, this_boot: Option<[u8; 16]>, case: Case) -> io::Result<Option<Self>> {
        let Some((written_in, mut records)) = Records::of(journal)? else { return Ok(None) };
        let (mut files, mut chunks, hasher) = (Vec::new(), Vec::new(), RandomState::new());
        let mut synced = (0, 0);
        loop {
            let at = records.at();
            match records.next().transpose()? {
                Some(Record::File { path, .. }) => files.push((hasher.hash_one(fit::key(case, &path)), at)),
                Some(Record::Chunk { file, index, .. }) => chunks.push((file, index, at)),
                Some(Record::Synced) => synced = (files.len(), chunks.len()),
                None => break,
            }
        }
        if this_boot != Some(written_in) {
            files.truncate(synced.0);
            chunks.truncate(synced.1);
        }
        if files.is_empty() {
            return Ok(None);
        }
        files.sort_unstable();
        chunks.sort_unstable();
        // Of a path, under whichever spelling, and of a chunk: what was written last is what is there.
        files.dedup_by(|later, file| {
            later.0 == file.0 && {
                *file = *later;
                true
            }
        });
        chunks.dedup_by(|later, chunk| {
            (later.0, later.1) == (chunk.0, chunk.1) && {
                *chunk = *later;
                true
            }
        });
        Ok(Some(Self { records, files, chunks, case, hasher }))
    }

    /// What is left of the file at this path.
    pub(in crate::disk) fn at(&mut self, path: &RelPath) -> io::Result<Option<Kept>> {
        let Some(at) = self.place(path) else { return Ok(None) };
        Ok(self.kept(at)?.filter(|(found, _)| found == path).map(|(_, kept)| kept))
    }

    /// Whether something was noted of a path that is the same here, under whichever spelling.
    pub(in crate::disk) fn names(&self, path: &RelPath) -> bool {
        self.place(path).is_some()
    }

    /// All of it, in the order in which the files began.
    pub(super) fn each(&mut self, mut take: impl FnMut(&RelPath, &Kept) -> io::Result<()>) -> io::Result<()> {
        let mut places: Vec<u64> = self.files.iter().map(|(_, at)| *at).collect();
        places.sort_unstable();
        for at in places {
            if let Some((path, kept)) = self.kept(at)? {
                take(&path, &kept)?;
            }
        }
        Ok(())
    }

    /// Where the record of the file at this path stands, if there is one.
    fn place(&self, path: &RelPath) -> Option<u64> {
        let hash = self.hasher.hash_one(fit::key(self.case, path));
        let place = self.files.binary_search_by_key(&hash, |(hash, _)| *hash).ok()?;
        Some(self.files[place].1)
    }

    /// The file whose record stands there.
    fn kept(&mut self, at: u64) -> io::Result<Option<(RelPath, Kept)>> {
        self.records.go_to(at)?;
        let Some(Record::File { file, path, size, modified }) = self.records.next().transpose()? else {
            return Ok(None);
        };
        let count = chunks_of(size).unwrap_or_default();
        let first = self.chunks.partition_point(|(other, ..)| *other < file);
        let own = self.chunks[first..].iter().take_while(|(other, index, _)| *other == file && *index < count);
        // Nearly all files have just one.
        let mut chunks = Vec::with_capacity(1);
        for (_, index, at) in own {
            self.records.go_to(*at)?;
            if let Some(Record::Chunk { hash, .. }) = self.records.next().transpose()? {
                chunks.push((*index, hash));
            }
        }
        Ok(Some((path.into_owned(), Kept { size, modified, chunks })))
    }
}
