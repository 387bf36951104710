//! Writing verified chunks into staging.

use std::fs::{File, FileTimes};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cap_std::fs::Dir;

use super::mode::set_executable;
use super::open;
use super::partial::{Partial, lock};
use super::root::{Folders, Missing};
use super::slots::{End, State};
use super::sparse::{self, Ground};
use crate::base::digest::{CHUNK, EntryDigest, VerifiedChunk, chunk_length, chunks_of};
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::{EntryKind, Stamp};
use crate::base::path::RelPath;

/// How far chunks of a pipe may run ahead of the first one missing.
const STREAM_AHEAD: usize = 256;

/// Bytes written between two syncs, so that a power cut costs no more than this.
const SYNC_EVERY: u64 = 1 << 30;

/// Writes verified chunks into staging.
#[derive(Debug)]
pub struct Writer {
    partial: Arc<Partial>,
    /// Those in staging that are open.
    folders: Option<Folders>,
    open: Option<(u32, File)>,
}

impl Writer {
    /// A writer; each thread has its own.
    pub fn new(partial: &Arc<Partial>) -> Self {
        Self { partial: partial.clone(), folders: None, open: None }
    }

    /// Lets go of everything that is open: Windows neither moves nor removes a folder that is.
    pub fn let_go(&mut self) {
        (self.folders, self.open) = (None, None);
    }

    /// Writes a chunk of an entry.
    ///
    /// # Errors
    /// A protocol fault for what was not offered; a disk fault.
    pub fn write(&mut self, entry: u32, chunk: &VerifiedChunk<'_>) -> Result<(), Fault> {
        let Some((path, ground)) = self.expect(entry, chunk)? else { return Ok(()) };
        let length = chunk.bytes().len() as u64;
        let before = self.partial.bytes.load(Ordering::Relaxed);
        // What was announced has its room; others may have taken it, and a pipe announces nothing.
        if before / CHUNK != (before + length) / CHUNK
            && self.partial.root.spare_space().is_some_and(|spare| spare < length)
        {
            let text = format!("writing {path}: the disk is full, but for what is kept free");
            return Err(Fault::new(FaultKind::Disk, text));
        }
        let file = self.file(entry, &path)?;
        let written = sparse::write(file, ground, chunk.offset(), chunk.bytes());
        written.map_err(|error| Fault::disk(format!("writing {path}"), &error))?;
        self.note(entry, chunk)?;
        self.partial.bytes.fetch_add(length, Ordering::Relaxed);
        if self.partial.unsynced.fetch_add(length, Ordering::Relaxed) + length >= SYNC_EVERY {
            self.partial.unsynced.store(0, Ordering::Relaxed);
            self.partial.area.checkpoint().map_err(|error| Fault::disk(format!("syncing {path}"), &error))?;
        }
        Ok(())
    }

    /// Notes that an entry is through; it is complete once its last chunk is written.
    ///
    /// # Errors
    /// A protocol fault for what was not offered; a disk fault.
    pub fn end(&mut self, entry: u32, end: End) -> Result<(), Fault> {
        let empty = {
            let mut slots = lock(&self.partial.slots);
            let slot = slots.at(entry)?;
            let announced = matches!(slot.entry.kind, EntryKind::File { .. }).then(|| slot.entry.size());
            let Some(work) = slot.state.work(slot.entry.size()) else {
                return Err(Fault::protocol("an entry ended twice"));
            };
            if work.end.is_some() || announced.is_some_and(|size| size != end.size) {
                return Err(Fault::protocol("an entry ended otherwise than announced"));
            }
            let untouched = work.got == 0;
            if let Some((_, found)) = work.candidate.take_if(|(digest, _)| untouched && *digest == end.digest) {
                slot.state = State::Same(Box::new((end.digest, found)));
                self.partial.entries.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            if chunks_of(end.size).is_none_or(|count| (count as usize) < work.chunks.len()) {
                return Err(Fault::protocol("an entry ended before its last chunk"));
            }
            work.end = Some(end);
            (end.size == 0).then(|| slot.local().clone())
        };
        if let Some(path) = empty {
            self.file(entry, &path)?;
        }
        self.finish_if_complete(entry)
    }

    /// Notes that the sender cannot send an entry after all.
    ///
    /// # Errors
    /// A protocol fault for what was not offered.
    pub fn give_up(&mut self, entry: u32, fault: Fault) -> Result<(), Fault> {
        let mut slots = lock(&self.partial.slots);
        let slot = slots.at(entry)?;
        if !slot.state.is_unfinished() {
            return Err(Fault::protocol("an entry ended twice"));
        }
        slot.state = State::Failed(fault);
        self.partial.entries.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Checks that a chunk belongs to what was accepted; says where it goes, if it still matters.
    fn expect(&self, entry: u32, chunk: &VerifiedChunk<'_>) -> Result<Option<(RelPath, Ground)>, Fault> {
        let mut slots = lock(&self.partial.slots);
        let slot = slots.at(entry)?;
        let path = slot.local().clone();
        // Given up, by another writer, while this chunk was waiting.
        if matches!(slot.state, State::Failed(_)) {
            return Ok(None);
        }
        let work =
            slot.state.work(slot.entry.size()).ok_or_else(|| Fault::protocol("bytes of an entry that needs none"))?;
        let index = chunk.index() as usize;
        let length = chunk.bytes().len() as u64;
        if slot.entry.kind == EntryKind::Stream
            && let Some(keeper) = self.partial.root.keeper()
        {
            keeper.grow(chunk.offset() + length, length)?;
        }
        let fits = match slot.entry.kind {
            EntryKind::File { size, .. } => length > 0 && length == chunk_length(size, chunk.index()),
            // Its end may have been heard, by another writer, before its last chunks are here.
            _ => match work.end {
                Some(end) => length > 0 && length == chunk_length(end.size, chunk.index()),
                None => length > 0 && index < work.got + STREAM_AHEAD,
            },
        };
        if !fits || work.chunks.get(index).is_some_and(Option::is_some) {
            return Err(Fault::protocol("a chunk that was not announced"));
        }
        if work.number.is_none()
            && let EntryKind::File { size, modified, .. } = slot.entry.kind
        {
            let mut journal = lock(&self.partial.area.journal);
            let number = journal.start(&path, size, modified).and_then(|number| {
                let earlier = work.chunks.iter().enumerate().filter_map(|(i, hash)| Some((i, (*hash)?)));
                earlier.into_iter().try_for_each(|(i, hash)| journal.chunk(number, i as u32, hash))?;
                if work.resumed {
                    // What was noted of it before must not outlive the bytes it was noted of.
                    journal.flush()?;
                }
                Ok(number)
            });
            work.number = Some(number.map_err(|error| Fault::disk("writing the journal", &error))?);
        }
        let size = matches!(slot.entry.kind, EntryKind::File { .. }).then(|| slot.entry.size());
        Ok(Some((path, Ground { used: work.resumed, size })))
    }

    /// Notes a chunk that has been written.
    fn note(&mut self, entry: u32, chunk: &VerifiedChunk<'_>) -> Result<(), Fault> {
        {
            let mut slots = lock(&self.partial.slots);
            let slot = slots.at(entry)?;
            let work = match &mut slot.state {
                State::Open(work) => work,
                State::Failed(_) => return Ok(()),
                _ => return Err(Fault::protocol("bytes of an entry that has ended")),
            };
            let index = chunk.index() as usize;
            // Its end may have been heard, by another writer, while this was being written.
            if work.end.is_some_and(|end| chunks_of(end.size).is_none_or(|count| index >= count as usize)) {
                return Err(Fault::protocol("a chunk behind the end of its entry"));
            }
            if work.chunks.len() <= index {
                work.chunks.resize(index + 1, None);
            }
            if (chunk.bytes().len() as u64) < CHUNK && work.short.replace(chunk.index()).is_some() {
                return Err(Fault::protocol("two chunks that are not whole"));
            }
            if work.chunks[index].replace(chunk.hash()).is_none() {
                work.got += 1;
                work.bytes += chunk.bytes().len() as u64;
            }
            if let Some(number) = work.number {
                let mut journal = lock(&self.partial.area.journal);
                let noted = journal.chunk(number, chunk.index(), chunk.hash());
                // Of large files every chunk is noted at once, so that a killed process loses none.
                let whole = chunk.bytes().len() as u64 == CHUNK;
                let noted = if whole { noted.and_then(|()| journal.flush()) } else { noted };
                noted.map_err(|error| Fault::disk("writing the journal", &error))?;
            }
        }
        self.finish_if_complete(entry)
    }

    /// Once everything of an entry is there: compares its digest, sets its time and mode.
    fn finish_if_complete(&mut self, entry: u32) -> Result<(), Fault> {
        let (path, modified, executable, good, exact) = {
            let mut slots = lock(&self.partial.slots);
            let slot = slots.at(entry)?;
            let State::Open(work) = &slot.state else { return Ok(()) };
            let Some(end) = work.end else { return Ok(()) };
            if work.got < chunks_of(end.size).unwrap_or(u32::MAX) as usize {
                return Ok(());
            }
            let digest = EntryDigest::over(end.size, work.chunks.iter().flatten());
            let whole = work.short.is_none_or(|index| u64::from(index) == end.size / CHUNK);
            let good = whole && work.bytes == end.size && digest == end.digest;
            let (modified, executable) = match slot.entry.kind {
                EntryKind::File { modified, executable, .. } => (Some(modified), executable),
                _ => (None, false),
            };
            // One chunk of a file that began empty has made it as long as it is.
            let exact = modified.is_some() && !work.resumed && (1..=CHUNK).contains(&end.size);
            slot.state = if good {
                State::Staged(digest)
            } else {
                let text = format!("{}: its bytes do not add up to its digest", slot.entry.path);
                State::Failed(Fault::new(FaultKind::Integrity, text))
            };
            (slot.local().clone(), modified, executable, good.then_some(end.size), exact)
        };
        self.partial.entries.fetch_add(1, Ordering::Relaxed);
        let file = self.file(entry, &path)?;
        let finished = match good {
            Some(_) if exact => finish(file, modified, executable),
            // Exactly as long as it should be, whatever stood there before.
            Some(size) => file.set_len(size).and_then(|()| finish(file, modified, executable)),
            None => file.set_len(0),
        };
        self.open = None;
        if good.is_none() {
            let dir = self.holding(&path, Missing::Fail);
            let _ = dir.and_then(|dir| dir.remove_file(path.last()));
        }
        finished.map_err(|error| Fault::disk(format!("finishing {path}"), &error))
    }

    /// The folder in staging that holds `path`.
    fn holding(&mut self, path: &RelPath, missing: Missing) -> io::Result<Arc<Dir>> {
        let folders = match self.folders.take() {
            Some(folders) => folders,
            None => Folders::new(self.partial.area.data()?),
        };
        self.folders.insert(folders).holding(path, missing)
    }

    /// The staged file of an entry, opened once for a run of its chunks.
    fn file(&mut self, entry: u32, path: &RelPath) -> Result<&mut File, Fault> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != entry) {
            let dir = self.holding(path, Missing::Create);
            // Chunks may come through several writers; whoever is first makes the file.
            let opened = dir.and_then(|dir| open::to_write(&dir, path.last()));
            let file = opened.map_err(|error| Fault::disk(format!("creating {path}"), &error))?;
            self.open = Some((entry, file));
        }
        match &mut self.open {
            Some((_, file)) => Ok(file),
            None => Err(Fault::new(FaultKind::Other, "no file is open")),
        }
    }
}

fn finish(file: &File, modified: Option<Stamp>, executable: bool) -> io::Result<()> {
    // A fresh file is not executable.
    if executable {
        set_executable(file, true)?;
    }
    match modified.and_then(Stamp::to_system) {
        Some(time) => file.set_times(FileTimes::new().set_modified(time)),
        None => Ok(()),
    }
}
