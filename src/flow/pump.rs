//! The pump: a thread that reads what one receiver lacks, hashes and packs it on the way and makes
//! frames of it.

use std::io;

use tokio::sync::mpsc;

use super::frames::{Framed, Frames, Gone};
use super::ledger::{Ledger, lock};
use super::outgoing::Outgoing;
use super::pack::Packer;
use crate::base::digest::{CHUNK, ChunkHash, EntryDigest, chunk_length, chunks_of};
use crate::base::fault::{Fault, FaultKind, plain};
use crate::base::manifest::{Entry, EntryKind, Have};
use crate::disk::reader::{Opener, Reader};
use crate::wire::frame;
use crate::wire::message::{ChunkHead, Sending};

/// A shared chunk of so many bytes travels from where it is; a smaller one is copied to others.
const ALONE: u64 = 64 * 1024;

/// Sends the entries whose `Have`s arrive, in their order, until all are through.
pub(super) fn run(
    outgoing: &Outgoing,
    ledger: &Ledger,
    mut haves: mpsc::UnboundedReceiver<Vec<Have>>,
    frames: Frames,
) -> Result<(), Gone> {
    let (opener, packer, counted) = (Opener::default(), Packer::new(), Counted::default());
    let mut pump = Pump { outgoing, ledger, frames, opener, packer, counted, entry: 0 };
    while !pump.is_through() {
        let page = haves.blocking_recv().ok_or(Gone)?;
        for have in page {
            let (first, block) = {
                let known = outgoing.walked().state();
                let (first, block) = known.entries.block_at(pump.entry as usize).ok_or(Gone)?;
                (first, block.clone())
            };
            pump.send(&block[pump.entry as usize - first], &have)?;
            pump.entry += 1;
        }
        pump.count();
        pump.frames.flush()?;
    }
    ledger.finish();
    Ok(())
}

/// What of an entry was sent.
type Sent = Result<(u64, EntryDigest), Fault>;

/// What has been done and not been told yet: telling it for each small file would cost more than
/// sending it.
#[derive(Debug, Default)]
struct Counted {
    kept: u64,
    moved: u64,
    done: u64,
}

struct Pump<'a> {
    outgoing: &'a Outgoing,
    ledger: &'a Ledger,
    frames: Frames,
    opener: Opener,
    packer: Packer,
    counted: Counted,
    /// The entry being sent, by its place.
    entry: u32,
}

impl Pump<'_> {
    fn is_through(&self) -> bool {
        let known = self.outgoing.walked().state();
        self.ledger.is_accepted() && known.over && known.entries.len() == self.entry as usize
    }

    fn moved(&mut self, bytes: u64) {
        self.counted.moved += bytes;
        if self.counted.moved >= CHUNK / 2 {
            self.count();
        }
    }

    /// Tells what has been done.
    fn count(&mut self) {
        let Counted { kept, moved, done } = std::mem::take(&mut self.counted);
        self.ledger.count(|p| {
            p.bytes_kept += kept;
            p.bytes_moved += moved;
            p.entries_done += done;
        });
    }

    fn send(&mut self, entry: &Entry, have: &Have) -> Result<(), Gone> {
        let size = entry.size();
        self.counted.kept += have.bytes_of(size);
        if *have == Have::Skipped {
            // Nothing of it is sent, so nobody can have it.
            lock(&self.ledger.digests).push((self.entry, None));
        } else if entry.has_bytes() && *have != Have::Equal {
            let sent = match self.outgoing.open(&mut self.opener, entry, self.entry) {
                Ok(mut reader) => self.bytes(entry, have, &mut reader)?,
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
        self.counted.done += 1;
        if self.counted.done >= 64 {
            self.count();
        }
        Ok(())
    }

    /// Every chunk the receiver does not have, then, only to hash them, those it has: payload
    /// flows at once, and the digest is still one over bytes that were read here and now.
    fn bytes(&mut self, entry: &Entry, have: &Have, reader: &mut Reader) -> Result<Sent, Gone> {
        if entry.kind == EntryKind::Stream {
            return self.stream(entry, reader);
        }
        let size = entry.size();
        let count = chunks_of(size).unwrap_or(0);
        let mut hashes = vec![ChunkHash([0; 32]); count as usize];
        if let Have::Digest(theirs) = have {
            let read = hash_only(entry, 0..count, reader, &mut hashes);
            match read.map(|()| EntryDigest::over(size, hashes.iter())) {
                Ok(digest) if digest == *theirs && reader.unchanged() => {
                    self.counted.kept += size;
                    return Ok(Ok((size, digest)));
                }
                Ok(_) => {}
                Err(fault) => return Ok(Err(fault)),
            }
        }
        for index in (0..count).filter(|index| !have.contains(*index)) {
            let length = chunk_length(size, index);
            match self.chunk(reader, index, length)? {
                Ok((read, hash)) if read == length => hashes[index as usize] = hash,
                Ok(_) => return Ok(Err(changed(entry))),
                Err(error) => return Ok(Err(unreadable(entry, &error))),
            }
        }
        let kept = (0..count).filter(|index| have.contains(*index));
        if let Err(fault) = hash_only(entry, kept, reader, &mut hashes) {
            return Ok(Err(fault));
        }
        if !reader.unchanged() {
            return Ok(Err(changed(entry)));
        }
        Ok(Ok((size, EntryDigest::over(size, hashes.iter()))))
    }

    /// A pipe, until it ends.
    fn stream(&mut self, entry: &Entry, reader: &mut Reader) -> Result<Sent, Gone> {
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
                Err(error) => return Ok(Err(unreadable(entry, &error))),
            }
        }
        Ok(Ok((size, EntryDigest::over(size, hashes.iter()))))
    }

    /// Sends one chunk; says how long it was, and its hash.
    fn chunk(&mut self, reader: &mut Reader, index: u32, length: u64) -> Result<io::Result<(u64, ChunkHash)>, Gone> {
        let which = (self.entry, index);
        let (outgoing, packing) = (self.outgoing, &*self.outgoing.packing);
        if let Some(window) = outgoing.window.as_ref().filter(|_| !matches!(reader, Reader::Pipe(_))) {
            let packer = &mut self.packer;
            let framed = window.get(which, length as usize, || {
                let mut frames = Vec::new();
                let framed = frame_chunk(reader, which, length, &mut frames);
                let (_, hash) = framed.ok().filter(|(read, _)| *read == length)?;
                // Small ones are packed with others, later.
                if length >= ALONE
                    && packing.wanted()
                    && let Some(packed) = packer.pack(packing, &frames)
                {
                    frames = packed;
                }
                Some(Framed { frames, hash })
            });
            // Where nobody could read it, this one's own reading says why.
            if let Some(framed) = framed {
                let hash = framed.hash;
                // What is packed already is not packed again with others.
                if length >= ALONE {
                    self.frames.share(framed)?;
                } else {
                    self.frames.room_for(framed.frames.len() as u64)?.extend_from_slice(&framed.frames);
                    self.frames.flush_if_full()?;
                }
                self.moved(length);
                return Ok(Ok((length, hash)));
            }
        }
        let buffer = self.frames.room_for(length)?;
        let sent = frame_chunk(reader, which, length, buffer);
        if let Ok((read, _)) = sent {
            self.moved(read);
        }
        self.frames.flush_if_full()?;
        Ok(sent)
    }
}

/// Reads a chunk straight into `into`, between its head and its hash. Nothing stays of one that is
/// shorter than `length`, unless it is the end of a pipe.
fn frame_chunk(
    reader: &mut Reader,
    (entry, index): (u32, u32),
    length: u64,
    into: &mut Vec<u8>,
) -> io::Result<(u64, ChunkHash)> {
    let start = into.len();
    let head = |length: u64| ChunkHead { entry, index, length: length as u32 };
    let say = |message: &Sending, into: &mut Vec<u8>| frame::encode(message, into).map_err(io::Error::other);
    say(&Sending::Chunk(head(length)), into)?;
    let body = into.len();
    let read = reader.read(index, length, into).inspect_err(|_| into.truncate(start))?;
    if read < length && (read == 0 || !matches!(reader, Reader::Pipe(_))) {
        into.truncate(start);
        return Ok((read, ChunkHash([0; 32])));
    }
    let hash = ChunkHash::of(&into[body..]);
    if read < length {
        // The head stands before the bytes and may change its length with what it says.
        let bytes = into.split_off(body);
        into.truncate(start);
        say(&Sending::Chunk(head(read)), into)?;
        into.extend(bytes);
    }
    into.extend(hash.0);
    Ok((read, hash))
}

/// Reads chunks for their hashes alone.
fn hash_only(
    entry: &Entry,
    chunks: impl Iterator<Item = u32>,
    reader: &mut Reader,
    hashes: &mut [ChunkHash],
) -> Result<(), Fault> {
    let mut scratch = Vec::new();
    for index in chunks {
        scratch.clear();
        let length = chunk_length(entry.size(), index);
        match reader.read(index, length, &mut scratch) {
            Ok(read) if read == length => hashes[index as usize] = ChunkHash::of(&scratch),
            Ok(_) => return Err(changed(entry)),
            Err(error) => return Err(unreadable(entry, &error)),
        }
    }
    Ok(())
}

fn changed(entry: &Entry) -> Fault {
    Fault::new(FaultKind::Other, format!("{} changed while it was being sent", entry.path))
}

fn unreadable(entry: &Entry, error: &io::Error) -> Fault {
    Fault::new(FaultKind::Other, format!("reading {}: {}", entry.path, plain(error)))
}
