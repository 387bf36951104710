//! Reading an entry's bytes, chunk by chunk.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::{Dir, Metadata};

use super::item::Item;
use super::open;
use super::root::read_nofollow;
use super::source::{Place, Source, entry_kind};
use crate::base::digest::CHUNK;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::{Entry, EntryKind};

/// Appends `length` bytes of a file from `offset`, fewer at its end, in as few reads as it takes.
/// (`read_to_end` begins with small ones each time.)
#[cfg(unix)]
fn read_at(file: &File, offset: u64, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    use rustix::buffer::spare_capacity;
    let (before, length) = (into.len(), length as usize);
    into.reserve(length);
    while into.len() < before + length {
        let at = offset + (into.len() - before) as u64;
        match rustix::io::pread(file, spare_capacity(into), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // There may have been room for more than was asked for.
    into.truncate(before + length);
    Ok(())
}

#[cfg(not(unix))]
fn read_at(mut file: &File, offset: u64, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.take(length).read_to_end(into).map(drop)
}

/// An entry's bytes, in whole chunks.
pub enum Reader {
    /// A file, and what it was when it was offered.
    File {
        /// The open file.
        file: File,
        /// Size, time and mode as offered.
        kind: EntryKind,
    },
    /// A pipe, read once from its beginning to its end.
    Pipe(Box<dyn Read + Send>),
    /// A text.
    Text(Arc<[u8]>),
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// Appends chunk `index` to `into`: `length` bytes at the most. Fewer come at the end only.
    ///
    /// # Errors
    /// As the disk says. A pipe can only be read in order.
    pub fn read(&mut self, index: u32, length: u64, into: &mut Vec<u8>) -> io::Result<u64> {
        let offset = u64::from(index) * CHUNK;
        let before = into.len();
        match self {
            Self::File { file, .. } => {
                read_at(file, offset, length, into)?;
            }
            Self::Pipe(pipe) => {
                pipe.take(length).read_to_end(into)?;
            }
            Self::Text(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let end = start.saturating_add(length as usize).min(bytes.len());
                into.extend_from_slice(&bytes[start..end]);
            }
        }
        Ok((into.len() - before) as u64)
    }

    /// Whether the file still is what it was when it was offered.
    pub fn unchanged(&self) -> bool {
        match self {
            Self::File { file, kind } => file
                .metadata()
                .is_ok_and(|now| now.is_file() && entry_kind(&Metadata::from_just_metadata(now)) == *kind),
            _ => true,
        }
    }
}

/// Opens the bytes of one entry after another. The folder of the last one stays open: the next is
/// mostly beside it, and the way there is not gone again.
#[derive(Debug, Default)]
pub struct Opener {
    /// Of which item, where below it, and the folder.
    last: Option<(u32, Box<Path>, Dir)>,
}

impl Opener {
    /// Opens an entry's bytes. Whether they are what was offered [`Reader::unchanged`] says after
    /// they have been read.
    ///
    /// # Errors
    /// Where it vanished or cannot be read, or where it is large and has changed.
    pub fn open(&mut self, source: &Source, entry: &Entry, place: &Place) -> Result<Reader, Fault> {
        let path = &entry.path;
        let (within, local) = match source.item(place.item) {
            Item::Stdin { .. } => return Ok(Reader::Pipe(Box::new(io::stdin()))),
            Item::Text { bytes, .. } => return Ok(Reader::Text(bytes.clone())),
            Item::Path { within, local, .. } => (within, local),
        };
        let below = match &place.local {
            Some(local) => Some(&**local),
            None => path.as_str().split_once('/').map(|(_, below)| Path::new(below)),
        };
        let file = match below.map(|below| (below.parent(), below.file_name())) {
            Some((Some(above), Some(name))) => {
                self.folder(within, local, place.item, above).and_then(|folder| open::to_read(folder, name))
            }
            _ => within.open_with(local, &read_nofollow()).map(cap_std::fs::File::into_std),
        };
        let file = file.map_err(|error| Fault::disk(format!("reading {path}"), &error))?;
        let reader = Reader::File { file, kind: entry.kind.clone() };
        // Of a small one it is early enough to know once it has been read.
        if entry.size() > CHUNK && !reader.unchanged() {
            let text = format!("{path} changed while it was being sent; send it again");
            return Err(Fault::new(FaultKind::Other, text));
        }
        Ok(reader)
    }

    fn folder(&mut self, within: &Dir, local: &Path, item: u32, above: &Path) -> io::Result<&Dir> {
        let last = match self.last.take() {
            Some(last) if last.0 == item && *last.1 == *above => last,
            _ => (item, above.into(), within.open_dir(local.join(above))?),
        };
        Ok(&self.last.insert(last).2)
    }
}
