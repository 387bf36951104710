//! What an earlier try left, read again where it is offered again.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io;

use super::records::Records;
use super::{Kept, Record};
use crate::base::path::RelPath;

/// What an earlier try left. Of a million files only where their records stand is in memory: they are read
/// again, mostly in their order, as the files are offered.
#[derive(Debug)]
pub(in crate::disk) struct Left {
    records: Records<File>,
    /// The hash of each path, with where its records begin; in the order of the hashes.
    places: Vec<(u64, u64)>,
    hasher: RandomState,
}

impl Left {
    /// All that is in a journal that has just begun: there each file is followed by its chunks.
    pub(in crate::disk) fn of(journal: File) -> io::Result<Self> {
        let (_, mut records) = Records::of(journal)?.ok_or(io::ErrorKind::InvalidData)?;
        let (mut places, hasher) = (Vec::new(), RandomState::new());
        loop {
            let at = records.at();
            match records.next().transpose()? {
                Some(Record::File { path, .. }) => places.push((hasher.hash_one(&*path), at)),
                Some(_) => {}
                None => break,
            }
        }
        places.sort_unstable();
        Ok(Self { records, places, hasher })
    }

    /// What is left of the file at this path.
    pub(in crate::disk) fn at(&mut self, path: &RelPath) -> io::Result<Option<Kept>> {
        let hash = self.hasher.hash_one(path);
        let mut place = self.places.partition_point(|(other, _)| *other < hash);
        while let Some((_, at)) = self.places.get(place).filter(|(other, _)| *other == hash).copied() {
            match self.read(at)? {
                Some((found, kept)) if found == *path => return Ok(Some(kept)),
                _ => place += 1,
            }
        }
        Ok(None)
    }

    fn read(&mut self, at: u64) -> io::Result<Option<(RelPath, Kept)>> {
        self.records.go_to(at)?;
        let Some(Record::File { file: number, path, size, modified }) = self.records.next().transpose()? else {
            return Ok(None);
        };
        let mut kept = Kept { size, modified, chunks: Vec::new() };
        while let Some(Record::Chunk { file, index, hash }) = self.records.next().transpose()?
            && file == number
        {
            kept.add(index, hash);
        }
        Ok(Some((path.into_owned(), kept)))
    }
}
