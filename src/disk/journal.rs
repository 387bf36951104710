//! The journal of a transfer: which chunks of which files are already safe.
//!
//! Format, version 1: `ftxj`, a version byte, 16 bytes that name the system's boot; then records,
//! each a big-endian `u16` length, a postcard [`Record`], and the first 4 bytes of its SHA-256. A
//! record that is cut off or damaged ends the journal. After a reboot, and after a sync that failed,
//! only what stands before the last [`Record::Synced`] counts: what came later may never have
//! reached the disk.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fit::{self, Case};
use crate::base::coding;
use crate::base::digest::{ChunkHash, chunks_of};
use crate::base::manifest::{EntryKind, Stamp};
use crate::base::path::RelPath;

const MAGIC: [u8; 5] = *b"ftxj\x01";

/// Records are written together once they fill this many bytes.
const BUFFER: usize = 16 * 1024;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Record<'a> {
    /// What follows under `file` belongs to this file. A path that comes again starts over.
    File { file: u32, path: Cow<'a, RelPath>, size: u64, modified: Stamp },
    /// This chunk is in the staged file.
    Chunk { file: u32, index: u32, hash: ChunkHash },
    /// Everything before this is on the disk.
    Synced,
}

/// What an earlier try left of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its size when it was offered.
    pub(super) size: u64,
    /// Its time when it was offered.
    pub(super) modified: Stamp,
    /// The chunks that are there, by their number: a journal that names a late one takes no more memory
    /// than one that names the first.
    pub(super) chunks: BTreeMap<u32, ChunkHash>,
}

impl Kept {
    /// Whether this is of the file that is offered now; else that has changed since.
    pub(super) fn is_of(&self, kind: &EntryKind) -> bool {
        matches!(kind, EntryKind::File { size, modified, .. } if (self.size, self.modified) == (*size, *modified))
    }

    /// Whether some of the file that is offered now is here, as it was before it changed.
    pub(super) fn is_outdated(&self, kind: &EntryKind) -> bool {
        matches!(kind, EntryKind::File { .. }) && !self.is_of(kind) && !self.chunks.is_empty()
    }
}

/// A journal being written.
#[derive(Debug)]
pub(super) struct Journal {
    /// `None` once nothing is to be noted any more.
    file: Option<File>,
    buffer: Vec<u8>,
    next: u32,
    /// Bytes of the file up to the last [`Record::Synced`].
    sure: u64,
}

/// How much of a journal is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// All that was noted, since this boot of the system.
    Noted,
    /// What was on the disk when it was noted.
    Synced,
}

impl Journal {
    /// Begins a journal in an empty file, with what is kept from an earlier one: that has to be on
    /// the disk. So is the journal then, for it is to take the other's place.
    pub(super) fn begin(file: File, kept: &HashMap<RelPath, Kept>) -> io::Result<Self> {
        let mut journal = Self { file: Some(file), buffer: MAGIC.to_vec(), next: 0, sure: 0 };
        journal.buffer.extend(boot());
        for (path, kept) in kept {
            let file = journal.start(path, kept.size, kept.modified)?;
            for (index, hash) in &kept.chunks {
                journal.chunk(file, *index, *hash)?;
            }
        }
        if kept.is_empty() {
            journal.flush()?;
        } else {
            journal.synced()?;
        }
        Ok(journal)
    }

    /// Notes that a file begins; the number stands for it from now on.
    pub(super) fn start(&mut self, path: &RelPath, size: u64, modified: Stamp) -> io::Result<u32> {
        let file = self.next;
        self.next += 1;
        self.append(&Record::File { file, path: Cow::Borrowed(path), size, modified })?;
        Ok(file)
    }

    /// Notes that nothing of what was noted of a file holds any more.
    pub(super) fn forget(&mut self, path: &RelPath) -> io::Result<()> {
        self.start(path, 0, Stamp { seconds: 0, nanos: 0 }).map(drop)
    }

    /// Notes that a chunk has been written.
    pub(super) fn chunk(&mut self, file: u32, index: u32, hash: ChunkHash) -> io::Result<()> {
        self.append(&Record::Chunk { file, index, hash })
    }

    /// Notes that everything so far has been synced.
    pub(super) fn synced(&mut self) -> io::Result<()> {
        self.append(&Record::Synced)?;
        self.flush()?;
        let mut file = self.file()?;
        file.sync_data()?;
        self.sure = file.stream_position()?;
        Ok(())
    }

    /// Takes back everything noted since the last sync, as the next one failed.
    pub(super) fn take_back(&mut self) {
        // Best effort: on such a disk this may fail, too.
        let _ = self.file().and_then(|file| file.set_len(self.sure));
        self.close();
    }

    /// Nothing is noted any more.
    pub(super) fn close(&mut self) {
        self.buffer.clear();
        self.file = None;
    }

    /// The file, as long as something may be noted.
    pub(super) fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::Error::other("an earlier sync has failed"))
    }

    /// Hands what is buffered to the system. Where that takes a part only, as on a full disk, the
    /// next time goes on from there: no record is ever cut off in the middle of the journal.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.buffer.is_empty() {
            match self.file()?.write(&self.buffer) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.buffer.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn append(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.file()?;
        let start = self.buffer.len();
        self.buffer.extend([0; 2]);
        let written = coding::append(record, &mut self.buffer).map_err(io::Error::other);
        let body = start + 2;
        let length = written.and_then(|()| u16::try_from(self.buffer.len() - body).map_err(io::Error::other));
        // Nothing stays of a record that cannot be one.
        let length = length.inspect_err(|_| self.buffer.truncate(start))?;
        self.buffer[start..body].copy_from_slice(&length.to_be_bytes());
        let check = Sha256::digest(&self.buffer[body..]);
        self.buffer.extend(&check[..4]);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Best effort: what is not noted is sent again.
        let _ = self.flush();
    }
}

/// Reads what a journal says; one that is none says nothing.
pub(super) fn load(mut file: &File, case: Case, trust: Trust) -> io::Result<HashMap<RelPath, Kept>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let boot = (trust == Trust::Noted).then(boot);
    Ok(parse(&bytes, boot, case))
}

/// What was noted in this boot is believed, of another one, as of none, only what was synced.
fn parse(bytes: &[u8], boot: Option<[u8; 16]>, case: Case) -> HashMap<RelPath, Kept> {
    let Some(rest) = bytes.strip_prefix(&MAGIC).filter(|rest| rest.len() >= 16) else {
        return HashMap::new();
    };
    let (written_in, rest) = rest.split_at(16);
    let mut records = records(rest);
    if boot.is_none_or(|boot| written_in != boot) {
        let synced = records.iter().rposition(|r| *r == Record::Synced).unwrap_or(0);
        records.truncate(synced);
    }
    replay(records, case)
}

fn records(mut rest: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        if after.len() < length + 4 {
            break;
        }
        let (bytes, after) = after.split_at(length);
        let (check, after) = after.split_at(4);
        match postcard::take_from_bytes(bytes) {
            Ok((record, [])) if Sha256::digest(bytes)[..4] == *check => records.push(record),
            _ => break,
        }
        rest = after;
    }
    records
}

fn replay(records: Vec<Record<'_>>, case: Case) -> HashMap<RelPath, Kept> {
    let mut paths = HashMap::new();
    let mut spelt: HashMap<String, RelPath> = HashMap::new();
    let mut kept: HashMap<RelPath, Kept> = HashMap::new();
    for record in records {
        match record {
            Record::File { file, path, size, modified } => {
                let path = path.into_owned();
                // Under whichever spelling: what was written last is what is there.
                if case == Case::Folded
                    && let Some(before) = spelt.insert(fit::key(case, &path), path.clone())
                {
                    kept.remove(&before);
                }
                kept.insert(path.clone(), Kept { size, modified, chunks: BTreeMap::new() });
                paths.insert(file, path);
            }
            Record::Chunk { file, index, hash } => {
                let Some(file) = paths.get(&file).and_then(|path| kept.get_mut(path)) else { continue };
                if chunks_of(file.size).is_some_and(|count| index < count) {
                    file.chunks.insert(index, hash);
                }
            }
            Record::Synced => {}
        }
    }
    kept
}

/// What names this boot of the system; where it has no name, another one each time, so that
/// nothing unsynced is trusted.
fn boot() -> [u8; 16] {
    let named = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let named = named.and_then(|text| uuid::Uuid::parse_str(text.trim()).ok());
    *named.unwrap_or_else(uuid::Uuid::now_v7).as_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHEN: Stamp = Stamp { seconds: 1, nanos: 2 };

    fn written(with_sync: bool) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        let mut journal = Journal::begin(file.try_clone().unwrap(), &HashMap::new()).unwrap();
        let path = RelPath::parse("tree/a.iso").unwrap();
        let number = journal.start(&path, 3 << 20, WHEN).unwrap();
        journal.chunk(number, 2, ChunkHash([2; 32])).unwrap();
        if with_sync {
            journal.synced().unwrap();
        }
        journal.chunk(number, 0, ChunkHash([0; 32])).unwrap();
        journal.flush().unwrap();
        file.rewind().unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Which of the chunks up to the last are there.
    fn chunks(kept: &HashMap<RelPath, Kept>) -> Vec<bool> {
        let there = |kept: &Kept| {
            let last = kept.chunks.last_key_value().map_or(0, |(index, _)| index + 1);
            (0..last).map(|index| kept.chunks.contains_key(&index)).collect::<Vec<_>>()
        };
        kept.values().flat_map(there).collect()
    }

    #[test]
    fn what_was_written_is_read_back() {
        assert_eq!(chunks(&parse(&written(false), Some(boot()), Case::Kept)), [true, false, true]);
    }

    #[test]
    fn after_a_reboot_only_what_was_synced_counts() {
        assert_eq!(chunks(&parse(&written(true), Some([0; 16]), Case::Kept)), [false, false, true]);
        assert!(parse(&written(false), Some([0; 16]), Case::Kept).is_empty());
    }

    #[test]
    fn what_is_taken_back_is_what_was_noted_since_the_last_sync() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&written(true)).unwrap();
        assert_eq!(chunks(&load(&file, Case::Kept, Trust::Noted).unwrap()), [true, false, true]);
        let synced = load(&file, Case::Kept, Trust::Synced).unwrap();
        assert_eq!(chunks(&synced), [false, false, true]);

        file.set_len(0).unwrap();
        file.rewind().unwrap();
        let mut journal = Journal::begin(file.try_clone().unwrap(), &synced).unwrap();
        let number = journal.start(&RelPath::parse("b").unwrap(), 3 << 20, WHEN).unwrap();
        journal.chunk(number, 0, ChunkHash([0; 32])).unwrap();
        journal.flush().unwrap();
        journal.take_back();
        assert!(journal.chunk(number, 1, ChunkHash([1; 32])).is_err());
        drop(journal);
        assert_eq!(load(&file, Case::Kept, Trust::Noted).unwrap(), synced);
    }

    #[test]
    fn a_journal_begun_from_another_says_the_same() {
        let kept = parse(&written(false), Some(boot()), Case::Kept);
        let mut file = tempfile::tempfile().unwrap();
        Journal::begin(file.try_clone().unwrap(), &kept).unwrap();
        file.rewind().unwrap();
        assert_eq!(load(&file, Case::Kept, Trust::Noted).unwrap(), kept);
    }

    #[test]
    fn of_two_spellings_of_one_file_only_the_later_is_believed() {
        let mut file = tempfile::tempfile().unwrap();
        let mut journal = Journal::begin(file.try_clone().unwrap(), &HashMap::new()).unwrap();
        for path in ["t/a", "t/A"] {
            let number = journal.start(&RelPath::parse(path).unwrap(), 3 << 20, WHEN).unwrap();
            journal.chunk(number, 0, ChunkHash([0; 32])).unwrap();
        }
        drop(journal);
        let mut paths = |case| {
            file.rewind().unwrap();
            let mut paths: Vec<_> =
                load(&file, case, Trust::Noted).unwrap().into_keys().map(|path| path.to_string()).collect();
            paths.sort();
            paths
        };
        assert_eq!(paths(Case::Kept), ["t/A", "t/a"]);
        assert_eq!(paths(Case::Folded), ["t/A"]);
    }

    #[test]
    fn what_is_forgotten_is_no_longer_said() {
        let mut file = tempfile::tempfile().unwrap();
        let mut journal =
            Journal::begin(file.try_clone().unwrap(), &parse(&written(false), Some(boot()), Case::Kept)).unwrap();
        journal.forget(&RelPath::parse("tree/a.iso").unwrap()).unwrap();
        journal.flush().unwrap();
        file.rewind().unwrap();
        assert!(chunks(&load(&file, Case::Kept, Trust::Noted).unwrap()).is_empty());
    }

    /// A pipe that nobody reads takes some bytes and then no more, as a full disk does.
    #[cfg(unix)]
    #[test]
    fn a_journal_that_is_taken_in_parts_is_whole_in_the_end() {
        use rustix::fs::{OFlags, fcntl_setfl};
        let (mut reader, writer) = io::pipe().unwrap();
        let writer = File::from(std::os::fd::OwnedFd::from(writer));
        fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        let mut journal = Journal::begin(writer, &HashMap::new()).unwrap();
        let number = journal.start(&RelPath::parse("a").unwrap(), 20_000 << 20, WHEN).unwrap();
        let noted = (0..20_000).map(|index| journal.chunk(number, index, ChunkHash([7; 32])));
        assert!(noted.filter(Result::is_err).count() > 1, "the pipe is full");
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        while journal.flush().is_err() {
            std::thread::yield_now();
        }
        drop(journal);
        let kept = parse(&reading.join().unwrap().unwrap(), Some(boot()), Case::Kept);
        assert_eq!(chunks(&kept), [true; 20_000]);
    }

    proptest! {
        #[test]
        fn a_cut_journal_never_says_more_than_the_whole(cut in 0usize..400) {
            let whole = written(true);
            let cut = cut.min(whole.len());
            let kept = parse(&whole[..cut], Some(boot()), Case::Kept);
            prop_assert!(chunks(&kept).iter().filter(|c| **c).count() <= 2);
        }

        #[test]
        fn damage_is_not_believed(at in 21usize..200, flip in 1u8..) {
            let mut bytes = written(false);
            let at = at.min(bytes.len() - 1);
            bytes[at] ^= flip;
            for kept in parse(&bytes, Some(boot()), Case::Kept).values() {
                for (index, hash) in &kept.chunks {
                    prop_assert_eq!(*hash, ChunkHash([*index as u8; 32]));
                }
            }
        }
    }
}
