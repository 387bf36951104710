//! The sender's side of a transfer: offer, stream what is missing, have it confirmed.
//!
//! Two threads make frames, one that walks and one that reads and hashes (`pump`); one task
//! writes them to the stream; another hears what the receiver says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::fault::FlowFault;
use super::greet::Session;
use super::pump::{self, Frames};
use super::receipt::Statement;
use super::stop::Stop;
use crate::base::digest::EntryDigest;
use crate::base::event::{Progress, Receipted, Stage, Summary};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::{Entry, Have, Outcome};
use crate::base::path::Name;
use crate::disk::source::{Found, Passed, Source};
use crate::link::key::PublicKey;
use crate::wire::frame::{self, FrameReader};
use crate::wire::limits::{KEEP_ALIVE, MAX_PAGE};
use crate::wire::message::{Receipt, Receiving, Sending};

/// Batches of frames, of about 1 MiB each, that may wait for the stream.
const QUEUE: usize = 6;

/// How long a receiver's last word is waited for when the stream takes nothing more.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What a sender knows of its transfer, shared by its threads and tasks.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The manifest so far.
    pub(super) found: Mutex<Vec<Arc<Found>>>,
    /// What is not sent, and why.
    pub(super) passed: Mutex<Vec<Passed>>,
    /// Digests of what was sent; `None` for what could not be sent after all.
    pub(super) digests: Mutex<Vec<(u32, Option<EntryDigest>)>>,
    /// How many entries there are, once the walk is over.
    pub(super) total: OnceLock<usize>,
    /// Whether the receiver has said yes.
    pub(super) accepted: AtomicBool,
    progress: watch::Sender<Progress>,
}

impl Ledger {
    /// Changes the progress.
    pub(super) fn count(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }
}

/// A transfer that the receiver confirmed.
#[derive(Debug)]
pub struct Sent {
    /// What became of each entry.
    pub summary: Summary,
    /// What was not offered at all, and why.
    pub passed: Vec<Passed>,
}

/// Sends a source over a session in which this side is the sender.
///
/// # Errors
/// See [`FlowFault`]. What the receiver had by then it keeps for the next try.
pub async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    mut session: Session<S>,
    source: Source,
    progress: watch::Sender<Progress>,
    mut stop: Stop,
) -> Result<Sent, FlowFault> {
    let transfer = TransferId::new();
    let ledger = Arc::new(Ledger {
        found: Mutex::default(),
        passed: Mutex::default(),
        digests: Mutex::default(),
        total: OnceLock::new(),
        accepted: AtomicBool::new(false),
        progress,
    });
    let (out, frames) = mpsc::channel(QUEUE);
    let (haves, wanted) = mpsc::unbounded_channel();
    let (used, spare) = mpsc::channel(QUEUE + 2);
    start(Arc::new(source), &ledger, (out, spare), (haves.clone(), wanted), transfer);

    let key = session.peer.key;
    let mut hearing = Hearing { ledger: &ledger, haves, outcomes: Vec::new(), told: 0 };
    let result = {
        let heard = hearing.run(&mut session.reader);
        let spoken = speak(&mut session.writer, frames, used);
        tokio::pin!(heard);
        tokio::select! {
            biased;
            result = &mut heard => result,
            lost = spoken => match timeout(LAST_WORD, heard).await {
                // What the receiver said says more than that it hung up.
                Ok(Ok(receipt)) => Ok(receipt),
                Ok(Err(FlowFault::Theirs(fault))) => Err(FlowFault::Theirs(fault)),
                Ok(Err(FlowFault::Declined { kind, reason })) => Err(FlowFault::Declined { kind, reason }),
                _ => Err(lost),
            },
            () = stop.stopped() => Err(FlowFault::Ours(Fault::new(FaultKind::Interrupted, "the sender stopped"))),
        }
    };
    let receipt = match result {
        Ok(receipt) => receipt,
        Err(fault) => {
            if let Some(fault) = fault.to_tell() {
                let _ = timeout(LAST_WORD, frame::write(&mut session.writer, &Sending::Abort(fault))).await;
            }
            return Err(fault);
        }
    };
    let outcomes = std::mem::take(&mut hearing.outcomes);
    session.close().await;
    confirm(&ledger, transfer, outcomes, &receipt, key)
}

/// Starts the threads that make frames.
fn start(
    source: Arc<Source>,
    ledger: &Arc<Ledger>,
    (out, spare): (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>),
    (haves, wanted): (mpsc::UnboundedSender<Vec<Have>>, mpsc::UnboundedReceiver<Vec<Have>>),
    transfer: TransferId,
) {
    let (walked, mut frames) = (source.clone(), Frames::new(out.clone(), mpsc::channel(1).1));
    let shared = ledger.clone();
    std::thread::spawn(move || {
        let set = set_of(walked.names());
        let told =
            frames.say(&Sending::Offer { transfer, set }).and_then(|()| pump::walk(&walked, &shared, &mut frames));
        // A stream that is gone is noticed by whoever reads from it.
        drop(told);
        // The pump may have been waiting for no more than the end of the walk.
        let _ = haves.send(Vec::new());
    });
    let (shared, mut frames) = (ledger.clone(), Frames::new(out, spare));
    std::thread::spawn(move || drop(pump::run(&source, &shared, wanted, &mut frames)));
}

/// What stands for a set of outermost names, in whatever order they were named.
fn set_of<'a>(names: impl Iterator<Item = &'a Name>) -> [u8; 32] {
    let mut names: Vec<_> = names.map(Name::as_str).collect();
    names.sort_unstable();
    let mut hasher = Sha256::new_with_prefix(b"ftx set v1\0");
    for name in names {
        hasher.update((name.len() as u32).to_be_bytes());
        hasher.update(name);
    }
    hasher.finalize().into()
}

/// Writes frames as they come, and keeps the connection alive while none do. Ends only when the
/// stream fails.
async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    writer: &mut WriteHalf<S>,
    mut frames: mpsc::Receiver<Vec<u8>>,
    used: mpsc::Sender<Vec<u8>>,
) -> FlowFault {
    let mut quiet = Instant::now() + KEEP_ALIVE;
    let mut open = true;
    loop {
        let written = tokio::select! {
            batch = frames.recv(), if open => match batch {
                Some(mut batch) => {
                    let written = match frame::write_raw(writer, &batch).await {
                        Ok(()) if frames.is_empty() => frame::flush(writer).await,
                        written => written,
                    };
                    batch.clear();
                    let _ = used.try_send(batch);
                    written
                }
                None => {
                    open = false;
                    continue;
                }
            },
            () = tokio::time::sleep_until(quiet) => frame::write(writer, &Sending::KeepAlive).await,
        };
        quiet = Instant::now() + KEEP_ALIVE;
        if let Err(fault) = written {
            return fault.into();
        }
    }
}

/// What the receiver has said so far.
struct Hearing<'a> {
    ledger: &'a Ledger,
    /// To the pump.
    haves: mpsc::UnboundedSender<Vec<Have>>,
    outcomes: Vec<Outcome>,
    told: usize,
}

impl Hearing<'_> {
    async fn run<S: AsyncRead>(&mut self, reader: &mut FrameReader<ReadHalf<S>>) -> Result<Receipt, FlowFault>
    where
        ReadHalf<S>: AsyncRead + Unpin,
    {
        loop {
            match reader.next().await? {
                Receiving::KeepAlive => {}
                Receiving::Asking => self.stage(Stage::Asking),
                Receiving::Accept if !self.accepted() => {
                    self.ledger.accepted.store(true, Ordering::Release);
                    self.stage(Stage::Moving);
                    let _ = self.haves.send(Vec::new());
                }
                Receiving::Decline { kind, reason } if !self.accepted() => {
                    return Err(FlowFault::Declined { kind, reason });
                }
                Receiving::Have(page) if self.accepted() => self.have(page)?,
                Receiving::Progress { bytes, .. } if self.accepted() => self.ledger.count(|p| p.bytes_safe = bytes),
                Receiving::Settling if self.accepted() => self.stage(Stage::Settling),
                Receiving::Outcomes(page) if self.all_told() => {
                    if page.len() > MAX_PAGE || self.outcomes.len() + page.len() > self.told {
                        return Err(FlowFault::unexpected("more outcomes than entries"));
                    }
                    self.outcomes.extend(page);
                }
                Receiving::Receipt(receipt) if self.all_told() => return Ok(receipt),
                Receiving::Abort(fault) => return Err(FlowFault::Theirs(fault)),
                _ => return Err(FlowFault::unexpected("what the receiver says")),
            }
        }
    }

    fn stage(&self, stage: Stage) {
        self.ledger.count(|p| p.stage = stage);
    }

    fn have(&mut self, page: Vec<Have>) -> Result<(), FlowFault> {
        let known = lock(&self.ledger.found).len();
        if page.is_empty() || page.len() > MAX_PAGE || self.told + page.len() > known {
            return Err(FlowFault::unexpected("more than was offered"));
        }
        let found = lock(&self.ledger.found);
        if !page.iter().zip(&found[self.told..]).all(|(have, found)| have.fits(found.entry.size())) {
            return Err(FlowFault::unexpected("chunks that were not offered"));
        }
        drop(found);
        self.told += page.len();
        // A pump that is gone has failed on the stream, which is noticed there.
        let _ = self.haves.send(page);
        Ok(())
    }

    fn accepted(&self) -> bool {
        self.ledger.accepted.load(Ordering::Acquire)
    }

    /// Whether the receiver has said of every entry what it has.
    fn all_told(&self) -> bool {
        self.accepted() && self.ledger.total.get() == Some(&self.told)
    }
}

/// The guard, also after a thread that held it has panicked.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks the receipt against what was sent.
fn confirm(
    ledger: &Ledger,
    transfer: TransferId,
    outcomes: Vec<Outcome>,
    receipt: &Receipt,
    key: PublicKey,
) -> Result<Sent, FlowFault> {
    let entries: Vec<Entry> = lock(&ledger.found).iter().map(|found| found.entry.clone()).collect();
    let mut digests = vec![None; entries.len()];
    let mut asked_for = vec![false; entries.len()];
    for (entry, digest) in lock(&ledger.digests).iter() {
        digests[*entry as usize] = *digest;
        asked_for[*entry as usize] = true;
    }
    // Nobody has in place what was never sent, unless it said at once that it was there.
    let claimed = (0..entries.len()).zip(&outcomes).any(|(at, outcome)| {
        let there = *outcome == Outcome::Unchanged;
        let fits = if asked_for[at] { digests[at].is_some() && !there } else { there };
        entries[at].has_bytes() && outcome.is_good() && !fits
    });
    let mut statement = Statement::of(transfer);
    for ((entry, outcome), digest) in entries.iter().zip(&outcomes).zip(&digests) {
        statement.add(entry, outcome, *digest);
    }
    if claimed || outcomes.len() != entries.len() || !statement.confirmed_by(receipt, key) {
        let text = "the receiver's receipt does not fit what was sent";
        return Err(FlowFault::Ours(Fault::new(FaultKind::Integrity, text)));
    }
    let progress = *ledger.progress.borrow();
    let summary = Summary {
        transfer,
        outcomes: entries.into_iter().zip(outcomes).collect(),
        bytes_moved: progress.bytes_moved,
        bytes_total: progress.bytes.max(progress.bytes_moved + progress.bytes_kept),
        left_out: Vec::new(),
        receipt: Receipted::Checked,
    };
    Ok(Sent { summary, passed: std::mem::take(&mut *lock(&ledger.passed)) })
}
