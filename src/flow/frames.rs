//! Frames on their way from the pump to the lanes: a bounded queue of batches, its buffers used
//! again.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, mpsc};

use super::pack::{Packer, Packing};
use crate::base::digest::{CHUNK, ChunkHash};
use crate::wire::frame;
use crate::wire::message::Sending;

/// Frames are handed on once they fill this many bytes: a whole chunk with its header and hash.
pub(super) const BATCH: usize = CHUNK as usize + 256;

/// What a chunk's header and hash take, and some more.
const AROUND: usize = 128;

/// Threads that pack for one receiver.
const PACKERS: usize = 2;

/// A chunk as frames: head, bytes, hash.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) frames: Vec<u8>,
    pub(super) hash: ChunkHash,
}

/// Whole frames, to be written to one lane.
#[derive(Debug)]
pub(super) enum Batch {
    /// For one receiver only.
    Own(Vec<u8>),
    /// A chunk that several receivers take.
    Shared(Arc<Framed>),
}

impl Batch {
    /// What goes over the wire.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(frames) => frames,
            Self::Shared(framed) => &framed.frames,
        }
    }
}

/// Where the pump puts frames.
#[derive(Debug)]
pub(super) struct Frames {
    out: Out,
    spare: mpsc::Receiver<Vec<u8>>,
    used: mpsc::Sender<Vec<u8>>,
    /// Threads that pack what the pump has made, once that pays.
    packers: Option<SyncSender<Vec<u8>>>,
    batch: Vec<u8>,
}

/// The way to the lanes.
#[derive(Debug, Clone)]
struct Out {
    batches: mpsc::Sender<Batch>,
    packing: Arc<Packing>,
}

impl Out {
    fn hand(&self, batch: Batch) -> Result<(), Gone> {
        let bytes = batch.bytes().len();
        match self.batches.try_send(batch) {
            Ok(()) => self.packing.handed(bytes, false),
            Err(mpsc::error::TrySendError::Full(batch)) => {
                self.batches.blocking_send(batch).map_err(|_| Gone)?;
                self.packing.handed(bytes, true);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Gone),
        }
        Ok(())
    }
}

/// Packs what comes, and hands it on; what does not shrink goes as it is.
fn pack(waiting: &std::sync::Mutex<Receiver<Vec<u8>>>, out: &Out, used: &mpsc::Sender<Vec<u8>>) {
    let mut packer = Packer::new();
    loop {
        // Held while it is waited for: whoever is free is next.
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut frames) = next else { return };
        let handed = match packer.pack(&out.packing, &frames) {
            Some(packed) => {
                frames.clear();
                let _ = used.try_send(frames);
                out.hand(Batch::Own(packed))
            }
            None => out.hand(Batch::Own(frames)),
        };
        if handed.is_err() {
            return;
        }
    }
}

/// Where the lanes take them, whoever is free first.
#[derive(Debug)]
pub(super) struct Queue {
    batches: Mutex<mpsc::Receiver<Batch>>,
    used: mpsc::Sender<Vec<u8>>,
}

/// The stream is gone; nobody waits for frames any more.
#[derive(Debug)]
pub(super) struct Gone;

/// Both ends of a queue, in which so many batches, of about 1 MiB each, may wait for the lanes.
pub(super) fn queue(packing: Arc<Packing>, waiting: usize) -> (Frames, Queue) {
    let (out, batches) = mpsc::channel(waiting);
    let (used, spare) = mpsc::channel(waiting + 2);
    let out = Out { batches: out, packing };
    let frames = Frames { out, spare, used: used.clone(), packers: None, batch: Vec::new() };
    (frames, Queue { batches: Mutex::new(batches), used })
}

impl Queue {
    /// The next batch; `None` after the last. Cancel-safe.
    pub(super) async fn next(&self) -> Option<Batch> {
        self.batches.lock().await.recv().await
    }

    /// Whether nothing waits just now, so that what is written had better be flushed.
    pub(super) fn is_idle(&self) -> bool {
        // Somebody else holds it only to wait for more.
        self.batches.try_lock().map_or(true, |batches| batches.is_empty())
    }

    /// Gives a written batch's buffer back: fresh ones cost the system more than what is done in them.
    pub(super) fn written(&self, batch: Batch) {
        if let Batch::Own(mut frames) = batch {
            frames.clear();
            let _ = self.used.try_send(frames);
        }
    }
}

impl Frames {
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
        let frames = std::mem::take(&mut self.batch);
        if !self.out.packing.wanted() {
            return self.out.hand(Batch::Own(frames));
        }
        self.packers().send(frames).map_err(|_| Gone)
    }

    /// The threads that pack: several, for one packs more slowly than links of today take.
    fn packers(&mut self) -> &SyncSender<Vec<u8>> {
        self.packers.get_or_insert_with(|| {
            let (packers, waiting) = sync_channel(PACKERS);
            let waiting = Arc::new(std::sync::Mutex::new(waiting));
            for _ in 0..PACKERS {
                let (waiting, out, used) = (waiting.clone(), self.out.clone(), self.used.clone());
                std::thread::spawn(move || pack(&waiting, &out, &used));
            }
            packers
        })
    }

    /// Hands on what has gathered, if it is as good as full.
    pub(super) fn flush_if_full(&mut self) -> Result<(), Gone> {
        if self.batch.len() >= BATCH - 2 * AROUND { self.flush() } else { Ok(()) }
    }

    /// Hands on a shared chunk, after what has gathered.
    pub(super) fn share(&mut self, framed: Arc<Framed>) -> Result<(), Gone> {
        self.flush()?;
        self.out.hand(Batch::Shared(framed))
    }

    /// A buffer in which another chunk of `length` bytes has room.
    pub(super) fn room_for(&mut self, length: u64) -> Result<&mut Vec<u8>, Gone> {
        let needed = length as usize + AROUND;
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
