//! What a sender knows of one receiver's transfer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::underway::Pulse;
use crate::base::digest::EntryDigest;
use crate::base::event::Progress;
use crate::wire::limits::MAX_LANES;

/// What a sender knows of one receiver's transfer, shared by its threads and tasks.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Digests of what was sent, in order; `None` for what could not be sent after all, or was not
    /// wanted.
    pub(super) digests: Mutex<Vec<(u32, Option<EntryDigest>)>>,
    /// Places of the entries of which the receiver has bytes that do not fit any more.
    pub(super) anew: Mutex<Vec<u32>>,
    /// Entries told so far.
    told: AtomicUsize,
    /// Whether the receiver has said yes.
    accepted: AtomicBool,
    /// Whether everything it lacks has been made into frames.
    finished: AtomicBool,
    /// Further lanes that carry bytes; nothing once no more may begin.
    lanes: Mutex<Option<u32>>,
    /// When the receiver was last heard.
    pub(super) pulse: Pulse,
    progress: watch::Sender<Progress>,
}

impl Ledger {
    pub(super) fn new(progress: watch::Sender<Progress>) -> Self {
        // What an earlier connection counted is over.
        progress.send_replace(Progress::default());
        Self {
            digests: Mutex::default(),
            anew: Mutex::default(),
            told: AtomicUsize::new(0),
            accepted: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            lanes: Mutex::new(Some(0)),
            pulse: Pulse::new(),
            progress,
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Changes the progress.
    pub(super) fn count(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Acquire)
    }

    pub(super) fn accept(&self) {
        self.accepted.store(true, Ordering::Release);
    }

    pub(super) fn told(&self) -> usize {
        self.told.load(Ordering::Acquire)
    }

    /// So many entries have been told, all together.
    pub(super) fn tell(&self, entries: usize) {
        self.told.store(entries, Ordering::Release);
    }

    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Counts a lane in, unless it comes too late or there are enough.
    pub(super) fn open_lane(&self) -> bool {
        lock(&self.lanes).as_mut().filter(|lanes| **lanes < MAX_LANES as u32).map(|lanes| *lanes += 1).is_some()
    }

    /// How many lanes carried bytes; none begins any more.
    pub(super) fn close_lanes(&self) -> u32 {
        lock(&self.lanes).take().unwrap_or(0)
    }
}

/// The guard, also after a thread that held it has panicked.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
