//! The journal of a transfer: which chunks of which files are already safe.
//!
//! Format, version 1: `ftxj`, a version byte, 16 bytes that name the system's boot; then records,
//! each a big-endian `u16` length, a postcard [`Record`], and the first 4 bytes of its SHA-256. A
//! record that is cut off or damaged ends the journal. After a reboot, and after a sync that failed,
//! only what stands before the last [`Record::Synced`] counts: what came later may never have
//! reached the disk.

mod left;
mod records;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(super) use self::left::{Left, Trust};
use crate::base::coding;
use crate::base::digest::ChunkHash;
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
    /// The chunks that are there, in the order of their numbers: to name a late one takes no more memory than
    /// to name the first.
    pub(super) chunks: Vec<(u32, ChunkHash)>,
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
    /// Bytes of it, with those that are buffered.
    length: u64,
    next: u32,
    /// Bytes of the file up to the last [`Record::Synced`].
    sure: u64,
}

impl Journal {
    /// Begins a journal in an empty file.
    pub(super) fn begin(file: File) -> io::Result<Self> {
        let buffer = [MAGIC.as_slice(), &boot()].concat();
        let mut journal = Self { file: Some(file), length: buffer.len() as u64, buffer, next: 0, sure: 0 };
        journal.flush()?;
        Ok(journal)
    }

    /// Its bytes, with those that are still buffered: where the next record will stand.
    pub(super) fn length(&self) -> u64 {
        self.length
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
        self.file()?.sync_data()?;
        self.sure = self.length;
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
        self.length += (self.buffer.len() - start) as u64;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Best effort: what is not noted is sent again.
        let _ = self.flush();
    }
}

/// What names this boot of the system; where it has no name, another one each time, so that
/// nothing unsynced is trusted.
fn boot() -> [u8; 16] {
    let named = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let named = named.and_then(|text| uuid::Uuid::parse_str(text.trim()).ok());
    *named.unwrap_or_else(uuid::Uuid::now_v7).as_bytes()
}

#[cfg(test)]
mod tests;
