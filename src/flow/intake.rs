//! The intake: threads that check and write what arrives.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::frames::BATCH;
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

/// So many entries, one after the other, are written by one thread.
const NEIGHBOURS: u32 = 16;

/// A chunk of fewer bytes than this is gathered with others.
pub(super) const SMALL: u32 = 16 * 1024;

/// Something for a thread to do.
#[derive(Debug)]
enum Piece {
    /// A chunk, whose bytes, and behind them their hash, stand in the handful's block from here.
    Chunk {
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
#[derive(Debug)]
struct Handful {
    pieces: Vec<Piece>,
    block: Arc<Block>,
}

/// Bytes in which chunks stand: one of them, or many small ones. What was packed together is one block for all
/// threads. Its buffer is used again once the last of them is through with it.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    buffers: Buffers,
    _room: Option<OwnedSemaphorePermit>,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.buffers.give(std::mem::take(&mut self.bytes));
    }
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
        match length {
            _ if length > BATCH => Vec::with_capacity(length),
            _ if length >= BATCH / 4 => self.lock().whole.pop().unwrap_or_else(|| Vec::with_capacity(BATCH)),
            HANDFUL => self.lock().small.pop().unwrap_or_else(|| Vec::with_capacity(HANDFUL + SMALL as usize)),
            _ => Vec::with_capacity(length),
        }
    }

    fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = self.lock();
        let kept = if buffer.capacity() >= BATCH { &mut spare.whole } else { &mut spare.small };
        if (HANDFUL..=2 * BATCH).contains(&buffer.capacity()) && kept.len() < SPARE {
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
            let (writer, failed) = (Writer::new(partial), failed.clone());
            let thread = std::thread::spawn(move || {
                if let Err(fault) = work(writer, &mut waiting) {
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
        Hand { intake: self, block: None, gathered: Default::default() }
    }

    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Stuck> {
        let kib = bytes.div_ceil(1024).clamp(1, self.kib) as u32;
        self.room.clone().acquire_many_owned(kib).await.map_err(|_| Stuck)
    }

    /// Waits until everything handed over so far is written.
    pub(super) async fn drain(&self) -> Result<(), Stuck> {
        for (thread, _) in &self.threads {
            let (done, drained) = oneshot::channel();
            let last = Handful { pieces: vec![Piece::Drained(done)], block: Arc::default() };
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
    /// The block in which chunks stand; without one they gather, each thread's by themselves.
    block: Option<Arc<Block>>,
    gathered: [Gathered; THREADS],
}

/// What has gathered for one thread.
#[derive(Debug, Default)]
struct Gathered {
    pieces: Vec<Piece>,
    /// Small chunks, each with its hash behind it.
    small: Vec<u8>,
    /// Bytes in both.
    weight: usize,
}

impl Hand<'_> {
    /// Waits until there is room for so many bytes, and gives a buffer for them.
    pub(super) async fn buffer(&mut self, length: usize) -> Result<Block, Stuck> {
        // Nobody waits for room who holds some.
        self.leave().await?;
        let room = Some(self.intake.room(length).await?);
        let buffers = self.intake.buffers.clone();
        Ok(Block { bytes: buffers.take(length), buffers, _room: room })
    }

    /// From now on chunks stand in this block.
    pub(super) fn stand_in(&mut self, block: Block) -> Arc<Block> {
        self.block.insert(Arc::new(block)).clone()
    }

    /// Hands over what stands in the block, or has gathered.
    pub(super) async fn leave(&mut self) -> Result<(), Stuck> {
        self.over().await?;
        self.block = None;
        Ok(())
    }

    /// Where a small chunk's bytes go, and after them their hash: to the end of what has gathered.
    pub(super) fn small_buffer(&mut self, head: ChunkHead) -> (usize, &mut Vec<u8>) {
        let small = &mut self.gathered[thread_of(head.entry, head.index)].small;
        if small.capacity() == 0 {
            *small = self.intake.buffers.take(HANDFUL);
        }
        (small.len(), small)
    }

    /// Takes a chunk, whose bytes, and behind them their hash, begin there.
    pub(super) async fn chunk(&mut self, head: ChunkHead, at: usize) -> Result<(), Stuck> {
        let gathered = if self.block.is_some() { 0 } else { head.length as usize + CHUNK_HASH };
        self.piece(thread_of(head.entry, head.index), gathered, Piece::Chunk { head, at }).await
    }

    /// Takes that an entry is through.
    pub(super) async fn end(&mut self, entry: u32, end: End) -> Result<(), Stuck> {
        // The thread of its first chunk: for a small file the one that has it open.
        self.piece(thread_of(entry, 0), 0, Piece::End { entry, end }).await
    }

    /// Takes that an entry will not come.
    pub(super) async fn gone(&mut self, entry: u32, fault: Fault) -> Result<(), Stuck> {
        let weight = fault.text.as_raw().len();
        self.piece(thread_of(entry, 0), weight, Piece::Gone { entry, fault }).await
    }

    async fn piece(&mut self, thread: usize, weight: usize, piece: Piece) -> Result<(), Stuck> {
        let gathered = &mut self.gathered[thread];
        gathered.weight += size_of::<Piece>() + weight;
        gathered.pieces.push(piece);
        if gathered.weight >= HANDFUL { self.over().await } else { Ok(()) }
    }

    async fn over(&mut self) -> Result<(), Stuck> {
        for (gathered, (thread, _)) in self.gathered.iter_mut().zip(&self.intake.threads) {
            if gathered.pieces.is_empty() {
                continue;
            }
            let Gathered { pieces, small, weight } = std::mem::take(gathered);
            let block = match &self.block {
                // It has its room, and the pieces have theirs in the queue.
                Some(block) => block.clone(),
                None => {
                    let room = Some(self.intake.room(weight).await?);
                    Arc::new(Block { bytes: small, buffers: self.intake.buffers.clone(), _room: room })
                }
            };
            thread.send(Handful { pieces, block }).await.map_err(|_| Stuck)?;
        }
        Ok(())
    }
}

/// Which thread writes a chunk. Neighbours have the same one, which has their folder open; the chunks of a large
/// file take turns.
fn thread_of(entry: u32, index: u32) -> usize {
    (entry / NEIGHBOURS).wrapping_add(index) as usize % THREADS
}

fn work(mut writer: Writer, waiting: &mut mpsc::Receiver<Handful>) -> Result<(), Fault> {
    while let Some(Handful { pieces, block }) = waiting.blocking_recv() {
        for piece in pieces {
            match piece {
                Piece::Chunk { head, at } => {
                    let bytes = block.bytes.get(at..at + head.length as usize + CHUNK_HASH);
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
    }
    Ok(())
}

/// The chunk in a piece's bytes, if they are what they should be.
fn verified(head: ChunkHead, bytes: &[u8]) -> Result<VerifiedChunk<'_>, Fault> {
    let (chunk, hash) = bytes.split_last_chunk().ok_or_else(|| Fault::protocol("a chunk without its hash"))?;
    VerifiedChunk::verify(head.index, chunk, ChunkHash(*hash))
        .map_err(|mismatch| Fault::new(FaultKind::Integrity, mismatch.to_string()))
}
