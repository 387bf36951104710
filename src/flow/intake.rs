//! The intake: threads that check and write what arrives.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::base::digest::{CHUNK, ChunkHash, VerifiedChunk};
use crate::base::fault::{Fault, FaultKind};
use crate::disk::partial::{End, Partial};
use crate::disk::writer::Writer;
use crate::wire::limits::CHUNK_HASH;
use crate::wire::message::ChunkHead;

/// Writing threads of one transfer.
const THREADS: usize = 2;

/// Handfuls that may wait for one thread.
const WAITING: usize = 64;

/// Bytes that small pieces gather to before they are handed over together.
const HANDFUL: usize = 64 * 1024;

/// A chunk of fewer bytes than this is gathered with others.
pub(super) const SMALL: u32 = 16 * 1024;

/// Something for a thread to do.
#[derive(Debug)]
enum Piece {
    /// The chunk's bytes, then their hash.
    Chunk {
        head: ChunkHead,
        bytes: Vec<u8>,
    },
    /// The same of a small one: they stand among those of the handful, from here.
    Small {
        head: ChunkHead,
        at: usize,
    },
    End {
        entry: u32,
        end: End,
    },
    Gone {
        entry: u32,
        fault: Fault,
    },
    Drained(oneshot::Sender<()>),
}

/// Pieces handed over together: one by one, small ones would cost more than what is done with them.
#[derive(Debug, Default)]
struct Handful {
    pieces: Vec<Piece>,
    /// The small chunks, each with its hash behind it.
    small: Vec<u8>,
    /// Bytes in them for which there is no room yet.
    bytes: usize,
    room: Vec<OwnedSemaphorePermit>,
}

/// The writing threads of one transfer. Dropping it lets them end once they have written what
/// they were given.
#[derive(Debug)]
pub(super) struct Intake {
    threads: Vec<(mpsc::Sender<Handful>, JoinHandle<()>)>,
    room: Arc<Semaphore>,
    /// How much that is for the first connection, in KiB.
    kib: usize,
    /// Connections so far.
    hands: AtomicUsize,
    buffers: Buffers,
}

/// Buffers, used again, by all transfers of a node: fresh ones cost the system more than what is done in
/// them, and many threads that each have their own cost memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Spare>>);

/// Buffers that nobody uses now.
#[derive(Debug, Default)]
struct Spare {
    /// Of a whole chunk.
    whole: Vec<Vec<u8>>,
    /// Of a handful of small ones.
    small: Vec<Vec<u8>>,
}

/// Buffers kept for use again.
const SPARE: usize = 8;

impl Buffers {
    fn lock(&self) -> MutexGuard<'_, Spare> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, length: usize) -> Vec<u8> {
        let whole = CHUNK as usize + CHUNK_HASH;
        match length {
            _ if length >= whole / 4 => self.lock().whole.pop().unwrap_or_else(|| Vec::with_capacity(whole)),
            HANDFUL => self.lock().small.pop().unwrap_or_else(|| Vec::with_capacity(HANDFUL + SMALL as usize)),
            _ => Vec::with_capacity(length),
        }
    }

    fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = self.lock();
        let kept = if buffer.capacity() >= CHUNK as usize { &mut spare.whole } else { &mut spare.small };
        if buffer.capacity() >= HANDFUL && kept.len() < SPARE {
            kept.push(buffer);
        }
    }
}

/// A writing thread is gone: it failed, and said so before.
#[derive(Debug)]
pub(super) struct Stuck;

impl Intake {
    /// Starts the threads; the first failure of any goes to `failed`. So many MiB may wait to be written.
    pub(super) fn start(partial: &Arc<Partial>, failed: &mpsc::Sender<Fault>, mib: usize, buffers: Buffers) -> Self {
        let kib = mib * 1024;
        let threads = (0..THREADS).map(|_| {
            let (pieces, mut waiting) = mpsc::channel(WAITING);
            let (writer, failed, buffers) = (Writer::new(partial), failed.clone(), buffers.clone());
            let thread = std::thread::spawn(move || {
                if let Err(fault) = work(writer, &mut waiting, &buffers) {
                    let _ = failed.blocking_send(fault);
                }
            });
            (pieces, thread)
        });
        Self {
            threads: threads.collect(),
            room: Arc::new(Semaphore::new(kib)),
            kib,
            hands: AtomicUsize::new(0),
            buffers,
        }
    }

    /// What one connection hands over with. Each but the first brings room for the chunk that it reads: else
    /// a few that are slow would keep the others from reading what has come.
    pub(super) fn hand(&self) -> Hand<'_> {
        if self.hands.fetch_add(1, Ordering::Relaxed) > 0 {
            self.room.add_permits(CHUNK as usize / 1024);
        }
        Hand { intake: self, full: Default::default() }
    }

    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Stuck> {
        let kib = bytes.div_ceil(1024).clamp(1, self.kib) as u32;
        self.room.clone().acquire_many_owned(kib).await.map_err(|_| Stuck)
    }

    /// Waits until everything handed over so far is written.
    pub(super) async fn drain(&self) -> Result<(), Stuck> {
        for (thread, _) in &self.threads {
            let (done, drained) = oneshot::channel();
            let last = Handful { pieces: vec![Piece::Drained(done)], ..Handful::default() };
            thread.send(last).await.map_err(|_| Stuck)?;
            drained.await.map_err(|_| Stuck)?;
        }
        Ok(())
    }

    /// Waits until everything handed over is written and the threads have ended.
    pub(super) async fn finish(self) {
        let waited = tokio::task::spawn_blocking(move || {
            let (pieces, threads): (Vec<_>, Vec<_>) = self.threads.into_iter().unzip();
            drop(pieces);
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        let _ = waited.await;
    }
}

/// What one connection has heard and not handed over yet.
#[derive(Debug)]
pub(super) struct Hand<'a> {
    intake: &'a Intake,
    full: [Handful; THREADS],
}

impl Hand<'_> {
    /// Waits until there is room for a chunk, and gives a buffer for it and its hash.
    pub(super) async fn buffer(&mut self, head: ChunkHead) -> Result<Vec<u8>, Stuck> {
        // Nobody waits for room who holds some.
        self.over().await?;
        let room = self.intake.room(head.length as usize).await?;
        self.full[thread_of(head)].room.push(room);
        Ok(self.intake.buffers.take(head.length as usize + CHUNK_HASH))
    }

    /// Takes a chunk: its bytes, and after them their hash.
    pub(super) async fn chunk(&mut self, head: ChunkHead, bytes: Vec<u8>) -> Result<(), Stuck> {
        self.full[thread_of(head)].pieces.push(Piece::Chunk { head, bytes });
        self.over().await
    }

    /// Where a small chunk's bytes go, and after them their hash: to the end of what is here.
    pub(super) fn small_buffer(&mut self, head: ChunkHead) -> (usize, &mut Vec<u8>) {
        let full = &mut self.full[thread_of(head)];
        if full.small.capacity() == 0 {
            full.small = self.intake.buffers.take(HANDFUL);
        }
        (full.small.len(), &mut full.small)
    }

    /// Takes a small chunk, whose bytes begin there.
    pub(super) async fn small_chunk(&mut self, head: ChunkHead, at: usize) -> Result<(), Stuck> {
        let weight = size_of::<Piece>() + head.length as usize + CHUNK_HASH;
        self.small(thread_of(head), weight, Piece::Small { head, at }).await
    }

    /// Takes that an entry is through.
    pub(super) async fn end(&mut self, entry: u32, end: End) -> Result<(), Stuck> {
        // The thread of its first chunk: for a small file the one that has it open.
        self.small(entry as usize % THREADS, size_of::<Piece>(), Piece::End { entry, end }).await
    }

    /// Takes that an entry will not come.
    pub(super) async fn gone(&mut self, entry: u32, fault: Fault) -> Result<(), Stuck> {
        let weight = size_of::<Piece>() + fault.text.as_raw().len();
        self.small(entry as usize % THREADS, weight, Piece::Gone { entry, fault }).await
    }

    async fn small(&mut self, thread: usize, weight: usize, piece: Piece) -> Result<(), Stuck> {
        let full = &mut self.full[thread];
        full.bytes += weight;
        full.pieces.push(piece);
        if full.bytes >= HANDFUL { self.over().await } else { Ok(()) }
    }

    /// Hands over what has gathered.
    pub(super) async fn over(&mut self) -> Result<(), Stuck> {
        for (full, (thread, _)) in self.full.iter_mut().zip(&self.intake.threads) {
            if full.pieces.is_empty() {
                continue;
            }
            let mut handful = std::mem::take(full);
            if handful.bytes > 0 {
                handful.room.push(self.intake.room(handful.bytes).await?);
            }
            thread.send(handful).await.map_err(|_| Stuck)?;
        }
        Ok(())
    }
}

fn thread_of(head: ChunkHead) -> usize {
    head.entry.wrapping_add(head.index) as usize % THREADS
}

fn work(mut writer: Writer, waiting: &mut mpsc::Receiver<Handful>, buffers: &Buffers) -> Result<(), Fault> {
    while let Some(handful) = waiting.blocking_recv() {
        for piece in handful.pieces {
            match piece {
                Piece::Chunk { head, bytes } => {
                    let chunk = verified(head, &bytes)?;
                    writer.write(head.entry, &chunk)?;
                    buffers.give(bytes);
                }
                Piece::Small { head, at } => {
                    let bytes = handful.small.get(at..at + head.length as usize + CHUNK_HASH);
                    let chunk = verified(head, bytes.unwrap_or_default())?;
                    writer.write(head.entry, &chunk)?;
                }
                Piece::End { entry, end } => writer.end(entry, end)?,
                Piece::Gone { entry, fault } => writer.give_up(entry, fault)?,
                Piece::Drained(done) => {
                    writer.let_go();
                    let _ = done.send(());
                }
            }
        }
        buffers.give(handful.small);
    }
    Ok(())
}

/// The chunk in a piece's bytes, if they are what they should be.
fn verified(head: ChunkHead, bytes: &[u8]) -> Result<VerifiedChunk<'_>, Fault> {
    let (chunk, hash) = bytes.split_last_chunk().ok_or_else(|| Fault::protocol("a chunk without its hash"))?;
    VerifiedChunk::verify(head.index, chunk, ChunkHash(*hash))
        .map_err(|mismatch| Fault::new(FaultKind::Integrity, mismatch.to_string()))
}
