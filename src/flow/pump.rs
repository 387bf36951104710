//! The pump: a thread that reads what is sent, hashes it on the way and makes frames of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::pages::Weighed;
use super::send::{Ledger, lock};
use crate::base::digest::{CHUNK, ChunkHash, EntryDigest, chunk_length, chunks_of};
use crate::base::fault::{Fault, FaultKind, plain};
use crate::base::manifest::{EntryKind, Have};
use crate::disk::reader::Reader;
use crate::disk::source::{Found, Go, Passed, Source};
use crate::wire::frame;
use crate::wire::limits::{MAX_ENTRIES, MAX_PAGE, PAGE_BYTES};
use crate::wire::message::{ChunkHead, Sending};

/// Frames are handed on once they fill this many bytes: a whole chunk with its header and hash.
const BATCH: usize = CHUNK as usize + 256;

/// Frames on their way to the stream.
#[derive(Debug)]
pub(super) struct Frames {
    out: mpsc::Sender<Vec<u8>>,
    spare: mpsc::Receiver<Vec<u8>>,
    batch: Vec<u8>,
}

/// The stream is gone; nobody waits for frames any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Frames {
    /// Frames that go to `out`; from `spare` come used buffers, to be used again: fresh ones cost
    /// the system more than what is done in them.
    pub(super) fn new(out: mpsc::Sender<Vec<u8>>, spare: mpsc::Receiver<Vec<u8>>) -> Self {
        Self { out, spare, batch: Vec::new() }
    }

    /// Adds a message.
    pub(super) fn say(&mut self, message: &Sending) -> Result<(), Gone> {
        frame::encode(message, &mut self.batch).map_err(|_| Gone)?;
        if self.batch.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Hands on what has gathered.
    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.out.blocking_send(batch).map_err(|_| Gone)
    }

    /// A buffer in which another chunk of `length` bytes has room.
    fn room_for(&mut self, length: u64) -> Result<&mut Vec<u8>, Gone> {
        let needed = length as usize + 128;
        if !self.batch.is_empty() && self.batch.len() + needed > BATCH {
            self.flush()?;
        }
        if self.batch.is_empty() && self.batch.capacity() < BATCH {
            if let Ok(spare) = self.spare.try_recv() {
                self.batch = spare;
            }
            self.batch.reserve_exact(BATCH.max(needed) - self.batch.len());
        }
        Ok(&mut self.batch)
    }
}

/// Sends the entries whose `Have`s arrive, in their order, then says that it was all.
pub(super) fn run(
    source: &Source,
    ledger: &Arc<Ledger>,
    mut haves: mpsc::UnboundedReceiver<Vec<Have>>,
    frames: &mut Frames,
) -> Result<(), Gone> {
    let mut entry = 0;
    let all_sent =
        |entry: u32| ledger.accepted.load(Ordering::Acquire) && ledger.total.get() == Some(&(entry as usize));
    while !all_sent(entry) {
        let page = haves.blocking_recv().ok_or(Gone)?;
        for have in page {
            let found = lock(&ledger.found).get(entry as usize).cloned().ok_or(Gone)?;
            Pump { source, ledger, frames, entry }.send(&found, &have)?;
            entry += 1;
        }
        frames.flush()?;
    }
    frames.say(&Sending::End)?;
    frames.flush()
}

/// One entry being sent.
struct Pump<'a> {
    source: &'a Source,
    ledger: &'a Ledger,
    frames: &'a mut Frames,
    entry: u32,
}

impl Pump<'_> {
    fn send(mut self, found: &Arc<Found>, have: &Have) -> Result<(), Gone> {
        let size = found.entry.size();
        self.ledger.count(|p| p.bytes_kept += have.bytes_of(size));
        if *have == Have::Skipped {
            // Nothing of it is sent, so nobody can have it.
            lock(&self.ledger.digests).push((self.entry, None));
        } else if found.entry.has_bytes() && *have != Have::Equal {
            let sent = match self.source.open(found) {
                Ok(mut reader) => self.bytes(found, have, &mut reader)?,
                Err(fault) => Err(fault),
            };
            match sent {
                Ok((size, digest)) => {
                    lock(&self.ledger.digests).push((self.entry, Some(digest)));
                    self.frames.say(&Sending::EntryEnd { entry: self.entry, size, digest })?;
                }
                Err(fault) => {
                    lock(&self.ledger.digests).push((self.entry, None));
                    self.frames.say(&Sending::EntryGone { entry: self.entry, fault })?;
                }
            }
        }
        self.ledger.count(|p| p.entries_done += 1);
        Ok(())
    }

    /// Every chunk the receiver does not have, then, only to hash them, those it has: payload
    /// flows at once, and the digest is still one over bytes that were read here and now.
    fn bytes(
        &mut self,
        found: &Found,
        have: &Have,
        reader: &mut Reader,
    ) -> Result<Result<(u64, EntryDigest), Fault>, Gone> {
        if found.entry.kind == EntryKind::Stream {
            return self.stream(found, reader);
        }
        let size = found.entry.size();
        let count = chunks_of(size).unwrap_or(0);
        let mut hashes = vec![ChunkHash([0; 32]); count as usize];
        let wanted = (0..count).filter(|index| !have.contains(*index));
        for index in wanted {
            let length = chunk_length(size, index);
            match self.chunk(reader, index, length)? {
                Ok((read, hash)) if read == length => hashes[index as usize] = hash,
                Ok(_) => return Ok(Err(changed(found))),
                Err(error) => return Ok(Err(unreadable(found, &error))),
            }
        }
        let mut scratch = Vec::new();
        for index in (0..count).filter(|index| have.contains(*index)) {
            scratch.clear();
            match reader.read(index, chunk_length(size, index), &mut scratch) {
                Ok(read) if read == chunk_length(size, index) => hashes[index as usize] = ChunkHash::of(&scratch),
                Ok(_) => return Ok(Err(changed(found))),
                Err(error) => return Ok(Err(unreadable(found, &error))),
            }
        }
        if !reader.unchanged() {
            return Ok(Err(changed(found)));
        }
        Ok(Ok((size, EntryDigest::over(size, hashes.iter()))))
    }

    /// A pipe, until it ends.
    fn stream(&mut self, found: &Found, reader: &mut Reader) -> Result<Result<(u64, EntryDigest), Fault>, Gone> {
        let (mut size, mut hashes) = (0, Vec::new());
        loop {
            // Whatever was said before goes out while the pipe is waited for.
            self.frames.flush()?;
            match self.chunk(reader, hashes.len() as u32, CHUNK)? {
                Ok((0, _)) => break,
                Ok((read, hash)) => {
                    size += read;
                    hashes.push(hash);
                    if read < CHUNK {
                        break;
                    }
                }
                Err(error) => return Ok(Err(unreadable(found, &error))),
            }
        }
        Ok(Ok((size, EntryDigest::over(size, hashes.iter()))))
    }

    /// Reads one chunk straight into the frames: head, bytes, hash. Nothing stays of one that
    /// is shorter than `length`, unless it is the end of a pipe.
    fn chunk(
        &mut self,
        reader: &mut Reader,
        index: u32,
        length: u64,
    ) -> Result<std::io::Result<(u64, ChunkHash)>, Gone> {
        let entry = self.entry;
        let buffer = self.frames.room_for(length)?;
        let start = buffer.len();
        let head = |length| Sending::Chunk(ChunkHead { entry, index, length });
        frame::encode(&head(length as u32), buffer).map_err(|_| Gone)?;
        let body = buffer.len();
        let read = match reader.read(index, length, buffer) {
            Ok(read) => read,
            Err(error) => {
                buffer.truncate(start);
                return Ok(Err(error));
            }
        };
        if read < length {
            if read == 0 || !matches!(reader, Reader::Pipe(_)) {
                buffer.truncate(start);
                return Ok(Ok((read, ChunkHash([0; 32]))));
            }
            // The head stands before the bytes and may change its length with what it says.
            let bytes = buffer.split_off(body);
            buffer.truncate(start);
            frame::encode(&head(read as u32), buffer).map_err(|_| Gone)?;
            buffer.extend(bytes);
        }
        let hash = ChunkHash::of(&buffer[buffer.len() - read as usize..]);
        buffer.extend(hash.0);
        self.ledger.count(|p| p.bytes_moved += read);
        if self.frames.batch.len() >= BATCH - 256 {
            self.frames.flush()?;
        }
        Ok(Ok((read, hash)))
    }
}

fn changed(found: &Found) -> Fault {
    Fault::new(FaultKind::Other, format!("{} changed while it was being sent", found.entry.path))
}

fn unreadable(found: &Found, error: &std::io::Error) -> Fault {
    Fault::new(FaultKind::Other, format!("reading {}: {}", found.entry.path, plain(error)))
}

/// The walk: a thread that finds the entries and tells them page by page.
pub(super) fn walk(source: &Source, ledger: &Arc<Ledger>, frames: &mut Frames) -> Result<(), Gone> {
    let mut page = Vec::new();
    let mut page_bytes = 0;
    let (mut entries, mut bytes) = (0u64, 0u64);
    let mut gone = Ok(());
    source.walk(|found| {
        match found {
            Ok(_) if entries == MAX_ENTRIES as u64 => {
                let fault =
                    Fault::new(FaultKind::Other, format!("more than {MAX_ENTRIES} entries: the rest is not sent"));
                lock(&ledger.passed).push(Passed::Unreadable { fault });
                return Go::Stop;
            }
            Ok(found) => {
                entries += 1;
                bytes += found.entry.size();
                page_bytes += found.entry.weight();
                page.push(Arc::new(found));
            }
            Err(passed) => {
                if let Passed::Unreadable { fault } | Passed::Special { fault } = &passed {
                    gone = frames.say(&Sending::LeftOut(fault.clone()));
                }
                lock(&ledger.passed).push(passed);
            }
        }
        // An entry weighs at most two paths: the page stays far below a frame.
        if page.len() >= MAX_PAGE || page_bytes >= PAGE_BYTES {
            page_bytes = 0;
            let before = std::mem::replace(&mut gone, Ok(()));
            gone = before.and_then(|()| tell(&mut page, ledger, frames)).and_then(|()| frames.flush());
        }
        if gone.is_ok() { Go::On } else { Go::Stop }
    });
    gone?;
    tell(&mut page, ledger, frames)?;
    let _ = ledger.total.set(entries as usize);
    frames.say(&Sending::PagesEnd { entries, bytes })?;
    frames.flush()
}

fn tell(page: &mut Vec<Arc<Found>>, ledger: &Ledger, frames: &mut Frames) -> Result<(), Gone> {
    if page.is_empty() {
        return Ok(());
    }
    let entries: Vec<_> = page.iter().map(|found| found.entry.clone()).collect();
    ledger.count(|p| {
        p.entries += entries.len() as u64;
        p.bytes += entries.iter().map(crate::base::manifest::Entry::size).sum::<u64>();
    });
    lock(&ledger.found).append(page);
    frames.say(&Sending::Page(entries))
}
