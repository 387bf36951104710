//! What an earlier try left, read again where it is offered again.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Read, Seek};

use super::records::Records;
use super::{Journal, Kept, Record, boot};
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
    /// `None` where the records of a file's chunks follow its own.
    chunks: Option<Vec<(u32, u32, u64)>>,
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
        keep_last(&mut files, |(hash, _)| *hash);
        keep_last(&mut chunks, |(file, index, _)| (*file, *index));
        Ok(Some(Self { records, files, chunks: Some(chunks), case, hasher }))
    }

    /// What is left of the file at this path.
    pub(in crate::disk) fn at(&mut self, path: &RelPath) -> io::Result<Option<Kept>> {
        let Some(at) = self.place(path) else { return Ok(None) };
        let (found, kept) = self.kept(at)?;
        Ok((found == *path).then_some(kept))
    }

    /// Whether something was noted of a path that is the same here, under whichever spelling.
    pub(in crate::disk) fn names(&self, path: &RelPath) -> bool {
        self.place(path).is_some()
    }

    /// Writes all of it, in the order in which the files began, into a journal that begins: from then on it is
    /// read `from` there.
    pub(in crate::disk) fn carry_over<N: Read + Seek>(mut self, to: &mut Journal, from: N) -> io::Result<Left<N>> {
        self.files.sort_unstable_by_key(|(_, at)| *at);
        for place in 0..self.files.len() {
            let (path, kept) = self.kept(self.files[place].1)?;
            self.files[place].1 = to.length();
            let file = to.start(&path, kept.size, kept.modified)?;
            kept.chunks.iter().try_for_each(|(index, hash)| to.chunk(file, *index, *hash))?;
        }
        to.flush()?;
        self.files.sort_unstable();
        let (_, records) = Records::of(from)?.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Left { records, files: self.files, chunks: None, case: self.case, hasher: self.hasher })
    }

    /// Where the record of the file at this path stands, if there is one.
    fn place(&self, path: &RelPath) -> Option<u64> {
        let hash = self.hasher.hash_one(fit::key(self.case, path));
        let place = self.files.binary_search_by_key(&hash, |(hash, _)| *hash).ok()?;
        Some(self.files[place].1)
    }

    /// The file whose record stands there.
    fn kept(&mut self, at: u64) -> io::Result<(RelPath, Kept)> {
        let changed = || io::Error::new(io::ErrorKind::InvalidData, "the journal has been changed");
        self.records.go_to(at)?;
        let Some(Record::File { file, path, size, modified }) = self.records.next().transpose()? else {
            return Err(changed());
        };
        let count = chunks_of(size).unwrap_or_default();
        // Nearly all files have just one.
        let mut chunks = Vec::with_capacity(1);
        match &self.chunks {
            Some(all) => {
                let first = all.partition_point(|(other, ..)| *other < file);
                for (_, _, at) in all[first..].iter().take_while(|(other, index, _)| *other == file && *index < count) {
                    self.records.go_to(*at)?;
                    let Some(Record::Chunk { index, hash, .. }) = self.records.next().transpose()? else {
                        return Err(changed());
                    };
                    chunks.push((index, hash));
                }
            }
            None => {
                while let Some(Record::Chunk { file: other, index, hash }) = self.records.next().transpose()?
                    && other == file
                {
                    chunks.push((index, hash));
                }
            }
        }
        Ok((path.into_owned(), Kept { size, modified, chunks }))
    }
}

/// Leaves the last of those that have the same key; they are in order.
fn keep_last<T: Copy, K: PartialEq>(sorted: &mut Vec<T>, key: impl Fn(&T) -> K) {
    sorted.dedup_by(|later, earlier| {
        let same = key(later) == key(earlier);
        if same {
            *earlier = *later;
        }
        same
    });
}
