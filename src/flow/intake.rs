//! The intake: threads that check and write what arrives.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::pack::Unpacker;
use crate::base::digest::{CHUNK, ChunkHash, VerifiedChunk};
use crate::base::fault::{Fault, FaultKind};
use crate::disk::partial::{End, Partial};
use crate::disk::writer::Writer;
use crate::wire::limits::CHUNK_HASH;
use crate::wire::message::ChunkHead;

/// Writing threads of one transfer.
const THREADS: usize = 2;

/// Bytes that may wait to be written, in KiB: the unit of [`Intake::room`].
const WAITING_KIB: usize = 8 * 1024;

/// Pieces that may wait for one thread.
const WAITING_PIECES: usize = 512;

/// Pieces that a thread takes at once.
const TAKEN: usize = 64;

/// How a chunk's bytes came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Plain,
    /// Packed.
    Packed,
}

/// Something for a thread to do.
#[derive(Debug)]
enum Piece {
    /// The chunk's bytes, then their hash.
    Chunk {
        head: ChunkHead,
        form: Form,
        bytes: Vec<u8>,
        _room: OwnedSemaphorePermit,
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

/// The writing threads of one transfer. Dropping it lets them end once they have written what
/// they were given.
#[derive(Debug)]
pub(super) struct Intake {
    threads: Vec<(mpsc::Sender<Piece>, JoinHandle<()>)>,
    room: Arc<Semaphore>,
    buffers: Buffers,
}

/// Buffers of whole chunks, used again: fresh ones cost the system more than what is done in them.
#[derive(Debug, Clone, Default)]
struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// Buffers kept for use again.
const SPARE: usize = 12;

impl Buffers {
    fn take(&self, length: usize) -> Vec<u8> {
        let whole = CHUNK as usize + CHUNK_HASH;
        if length < whole / 4 {
            return Vec::with_capacity(length);
        }
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(whole))
    }

    fn give(&self, mut buffer: Vec<u8>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.capacity() >= CHUNK as usize && spare.len() < SPARE {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

/// The writing threads are gone: one of them failed and said so.
#[derive(Debug)]
pub(super) struct Stuck;

impl Intake {
    /// Starts the threads; the first failure of any goes to `failed`.
    pub(super) fn start(partial: &Arc<Partial>, failed: &mpsc::Sender<Fault>) -> Self {
        let buffers = Buffers::default();
        let threads = (0..THREADS).map(|_| {
            let (pieces, mut waiting) = mpsc::channel(WAITING_PIECES);
            let (writer, failed, buffers) = (Writer::new(partial), failed.clone(), buffers.clone());
            let thread = std::thread::spawn(move || {
                if let Err(fault) = work(writer, &mut waiting, &buffers) {
                    let _ = failed.blocking_send(fault);
                }
            });
            (pieces, thread)
        });
        Self { threads: threads.collect(), room: Arc::new(Semaphore::new(WAITING_KIB)), buffers }
    }

    /// Waits until `length` more bytes may wait.
    pub(super) async fn room(&self, length: u32) -> Result<OwnedSemaphorePermit, Stuck> {
        let kib = length.div_ceil(1024).max(1);
        self.room.clone().acquire_many_owned(kib).await.map_err(|_| Stuck)
    }

    /// An empty buffer for `length` bytes.
    pub(super) fn buffer(&self, length: usize) -> Vec<u8> {
        self.buffers.take(length)
    }

    /// Hands over a chunk: its bytes, and after them their hash.
    pub(super) async fn chunk(
        &self,
        head: ChunkHead,
        form: Form,
        bytes: Vec<u8>,
        room: OwnedSemaphorePermit,
    ) -> Result<(), Stuck> {
        let which = head.entry.wrapping_add(head.index) as usize;
        self.hand(which, Piece::Chunk { head, form, bytes, _room: room }).await
    }

    /// Hands over that an entry is through.
    pub(super) async fn end(&self, entry: u32, end: End) -> Result<(), Stuck> {
        // The thread of its first chunk: for a small file the one that has it open.
        self.hand(entry as usize, Piece::End { entry, end }).await
    }

    /// Hands over that an entry will not come.
    pub(super) async fn gone(&self, entry: u32, fault: Fault) -> Result<(), Stuck> {
        self.hand(entry as usize, Piece::Gone { entry, fault }).await
    }

    async fn hand(&self, which: usize, piece: Piece) -> Result<(), Stuck> {
        let (thread, _) = &self.threads[which % THREADS];
        thread.send(piece).await.map_err(|_| Stuck)
    }

    /// Waits until everything handed over so far is written; for ever where a thread failed,
    /// which it says itself.
    pub(super) async fn drain(&self) {
        for (thread, _) in &self.threads {
            let (done, drained) = oneshot::channel();
            if thread.send(Piece::Drained(done)).await.is_err() || drained.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
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

fn work(mut writer: Writer, waiting: &mut mpsc::Receiver<Piece>, buffers: &Buffers) -> Result<(), Fault> {
    let mut pieces = Vec::with_capacity(TAKEN);
    let (mut unpacker, mut unpacked) = (Unpacker::default(), Vec::new());
    while waiting.blocking_recv_many(&mut pieces, TAKEN) > 0 {
        for piece in pieces.drain(..) {
            match piece {
                Piece::Chunk { head, form, bytes, _room } => {
                    let (mut chunk, hash) =
                        bytes.split_last_chunk().ok_or_else(|| Fault::protocol("a chunk without its hash"))?;
                    if form == Form::Packed {
                        unpacker
                            .unpack(chunk, head.length as usize, &mut unpacked)
                            .ok_or_else(|| Fault::new(FaultKind::Integrity, "a chunk cannot be unpacked"))?;
                        chunk = &unpacked;
                    }
                    let chunk = VerifiedChunk::verify(head.index, chunk, ChunkHash(*hash))
                        .map_err(|mismatch| Fault::new(FaultKind::Integrity, mismatch.to_string()))?;
                    writer.write(head.entry, &chunk)?;
                    buffers.give(bytes);
                }
                Piece::End { entry, end } => writer.end(entry, end)?,
                Piece::Gone { entry, fault } => writer.give_up(entry, fault)?,
                Piece::Drained(done) => drop(done.send(())),
            }
        }
    }
    Ok(())
}
