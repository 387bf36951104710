//! The receiver's side of a transfer: hear the offer, decide, write what comes, settle, confirm.
//!
//! One task hears what the sender says and hands bytes to the intake; another speaks: it asks
//! for consent, tells what is there already and how far things are, settles and signs.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::fault::FlowFault;
use super::greet::{Me, Session};
use super::intake::Intake;
use super::pages::pages;
use super::receipt::Statement;
use super::stop::Stop;
use crate::base::digest::{CHUNK, ChunkHash};
use crate::base::event::{Progress, Receipted, Stage, Summary};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, TransferId};
use crate::base::manifest::{Entry, Have};
use crate::base::text::PeerText;
use crate::disk::partial::{End, Partial};
use crate::disk::root::Root;
use crate::wire::frame::{self, FrameReader};
use crate::wire::limits::{GREETING, KEEP_ALIVE, MAX_ENTRIES, MAX_PAGE, PROGRESS};
use crate::wire::message::{Receiving, Sending};

/// The answer to an offer, when somebody has thought about it.
pub type Answer = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// Whether, and where to, an offer is accepted.
pub enum Consent {
    /// It was asked for: everything goes to this folder at once.
    Given(Root),
    /// Somebody, or some rule, decides once the whole manifest is there.
    Ask(Box<dyn FnOnce(Proposal) -> Answer + Send>),
}

/// A whole offer, to be decided on.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Everything offered; accepting binds exactly this list.
    pub entries: Arc<Vec<Entry>>,
    /// How many bytes it says.
    pub bytes: u64,
}

/// What was decided.
#[derive(Debug)]
pub enum Verdict {
    /// Yes, into this folder.
    Accept(Root),
    /// No.
    Decline {
        /// Of which kind.
        kind: FaultKind,
        /// Why, for the sender.
        reason: PeerText,
    },
}

/// What the hearing task tells the speaking one.
enum Heard {
    Offer { transfer: TransferId, set: [u8; 32] },
    Page(Vec<Entry>),
    PagesEnd,
    End,
}

/// Receives over a session in which this side is the receiver.
///
/// # Errors
/// See [`FlowFault`]. What is verified by then is kept for the next try.
pub async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    mut session: Session<S>,
    consent: Consent,
    progress: watch::Sender<Progress>,
    mut stop: Stop,
) -> Result<Summary, FlowFault> {
    let intake = OnceLock::new();
    let (failed, failures) = mpsc::channel(4);
    let (heard, hearing) = mpsc::channel(4);
    let mut speaker = Speaker {
        writer: &mut session.writer,
        me: &session.me,
        sender: session.peer.id(),
        intake: &intake,
        failed,
        failures,
        hearing,
        progress: &progress,
        partial: None,
        offer: None,
        last_said: Instant::now(),
    };
    let result = {
        let hear = hear(&mut session.reader, heard, &intake);
        let speak = speaker.run(consent);
        tokio::pin!(hear);
        tokio::select! {
            biased;
            result = speak => result,
            fault = &mut hear => Err(fault),
            () = stop.stopped() => Err(FlowFault::Ours(Fault::new(FaultKind::Interrupted, "the receiver stopped"))),
        }
    };
    // A writing thread's failure comes before its consequences.
    let result = result.map_err(|fault| speaker.failures.try_recv().map_or(fault, FlowFault::Ours));
    let partial = speaker.partial.take();
    drop(speaker);
    if let Err(fault) = &result
        && let Some(fault) = fault.to_tell()
    {
        let _ = timeout(GREETING, frame::write(&mut session.writer, &Receiving::Abort(fault))).await;
    }
    if let Some(intake) = intake.into_inner() {
        intake.finish().await;
    }
    if let Some(partial) = partial
        && result.is_err()
    {
        let _ = tokio::task::spawn_blocking(move || partial.leave()).await;
    }
    if result.is_ok() {
        session.close().await;
    }
    result
}

/// Hears the sender to its end. Returns only where something is wrong.
async fn hear<S>(
    reader: &mut FrameReader<ReadHalf<S>>,
    heard: mpsc::Sender<Heard>,
    intake: &OnceLock<Intake>,
) -> FlowFault
where
    ReadHalf<S>: AsyncRead + Unpin,
{
    match hear_all(reader, &heard, intake).await {
        Err(fault) => fault,
        // Everything came. That the sender hangs up now changes nothing any more.
        Ok(()) => std::future::pending().await,
    }
}

async fn hear_all<S>(
    reader: &mut FrameReader<ReadHalf<S>>,
    heard: &mpsc::Sender<Heard>,
    intake: &OnceLock<Intake>,
) -> Result<(), FlowFault>
where
    ReadHalf<S>: AsyncRead + Unpin,
{
    let mut stage = Hearing::Offer;
    let mut entries = 0usize;
    loop {
        let message = reader.next().await?;
        match (message, stage) {
            (Sending::KeepAlive, _) => {}
            (Sending::Abort(fault), _) => return Err(FlowFault::Theirs(fault)),
            (Sending::Offer { transfer, set }, Hearing::Offer) => {
                stage = Hearing::Pages;
                tell(heard, Heard::Offer { transfer, set }).await?;
            }
            (Sending::Page(page), Hearing::Pages) => {
                entries += page.len();
                if page.len() > MAX_PAGE || entries > MAX_ENTRIES {
                    return Err(FlowFault::unexpected("a manifest of this size"));
                }
                page.iter().try_for_each(Entry::check).map_err(FlowFault::Ours)?;
                tell(heard, Heard::Page(page)).await?;
            }
            (Sending::PagesEnd { entries: said, .. }, Hearing::Pages) if said == entries as u64 => {
                stage = Hearing::Rest;
                tell(heard, Heard::PagesEnd).await?;
            }
            (message, Hearing::Pages | Hearing::Rest) => {
                // Nothing that carries bytes has a place before the offer is accepted.
                let intake = intake.get().ok_or_else(|| FlowFault::unexpected("something before the acceptance"))?;
                if take(reader, message, stage, intake).await? == Go::Over {
                    tell(heard, Heard::End).await?;
                    return Ok(());
                }
            }
            _ => return Err(FlowFault::unexpected("what the sender says")),
        }
    }
}

/// How far the sender's part has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    Offer,
    Pages,
    Rest,
}

#[derive(PartialEq, Eq)]
enum Go {
    On,
    Over,
}

/// Takes one message that carries, or ends, bytes.
async fn take<S>(
    reader: &mut FrameReader<ReadHalf<S>>,
    message: Sending,
    stage: Hearing,
    intake: &Intake,
) -> Result<Go, FlowFault>
where
    ReadHalf<S>: AsyncRead + Unpin,
{
    // A thread that is gone has said why; that is told instead of this.
    let stuck = |_| FlowFault::Ours(Fault::new(FaultKind::Disk, "writing failed"));
    match message {
        Sending::Chunk(head) => {
            if head.length == 0 || u64::from(head.length) > CHUNK {
                return Err(FlowFault::unexpected("a chunk of this length"));
            }
            let room = intake.room(head.length).await.map_err(stuck)?;
            let mut bytes = Vec::with_capacity(head.length as usize + 32);
            reader.raw(head.length as usize + 32, &mut bytes).await?;
            let hash = bytes.split_off(head.length as usize);
            let hash = ChunkHash(hash.try_into().map_err(|_| FlowFault::unexpected("a hash of this length"))?);
            intake.chunk(head, bytes, hash, room).await.map_err(stuck)?;
        }
        Sending::EntryEnd { entry, size, digest, modified } => {
            intake.end(entry, End { size, digest, modified }).await.map_err(stuck)?;
        }
        Sending::EntryGone { entry, fault } => intake.gone(entry, fault).await.map_err(stuck)?,
        Sending::End if stage == Hearing::Rest => return Ok(Go::Over),
        _ => return Err(FlowFault::unexpected("what the sender says")),
    }
    Ok(Go::On)
}

async fn tell(heard: &mpsc::Sender<Heard>, what: Heard) -> Result<(), FlowFault> {
    heard.send(what).await.map_err(|_| FlowFault::unexpected("anything more"))
}

/// The speaking side.
struct Speaker<'a, S> {
    writer: &'a mut WriteHalf<S>,
    me: &'a Me,
    sender: PeerId,
    intake: &'a OnceLock<Intake>,
    failed: mpsc::Sender<Fault>,
    failures: mpsc::Receiver<Fault>,
    hearing: mpsc::Receiver<Heard>,
    progress: &'a watch::Sender<Progress>,
    partial: Option<Arc<Partial>>,
    offer: Option<(TransferId, [u8; 32])>,
    last_said: Instant,
}

impl<S: AsyncRead + AsyncWrite> Speaker<'_, S> {
    async fn run(&mut self, consent: Consent) -> Result<Summary, FlowFault> {
        let mut ask = None;
        let mut root = None;
        match consent {
            Consent::Given(given) => root = Some(given),
            Consent::Ask(question) => ask = Some(question),
        }
        let mut unanswered = Vec::new();
        let mut tick = interval(PROGRESS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let heard = tokio::select! {
                heard = self.hearing.recv() => heard,
                fault = self.failures.recv() => return Err(FlowFault::Ours(fault.unwrap_or_else(lost_thread))),
                _ = tick.tick() => {
                    self.report().await?;
                    continue;
                }
            };
            match heard {
                Some(Heard::Offer { transfer, set }) => {
                    self.offer = Some((transfer, set));
                    if let Some(root) = root.take() {
                        self.accept(root).await?;
                    }
                }
                Some(Heard::Page(page)) => {
                    self.progress.send_modify(|p| {
                        p.entries += page.len() as u64;
                        p.bytes += page.iter().map(Entry::size).sum::<u64>();
                    });
                    match &self.partial {
                        Some(_) => self.answer_page(page).await?,
                        None => unanswered.extend(page),
                    }
                }
                Some(Heard::PagesEnd) => {
                    if let Some(ask) = ask.take() {
                        self.ask(ask, std::mem::take(&mut unanswered)).await?;
                    }
                }
                Some(Heard::End) => return self.settle().await,
                // The hearing side has failed; it says how.
                None => std::future::pending().await,
            }
        }
    }

    async fn say(&mut self, message: &Receiving) -> Result<(), FlowFault> {
        self.last_said = Instant::now();
        Ok(frame::write(self.writer, message).await?)
    }

    /// Has the offer decided on, while the sender is kept waiting in good order.
    async fn ask(
        &mut self,
        question: Box<dyn FnOnce(Proposal) -> Answer + Send>,
        entries: Vec<Entry>,
    ) -> Result<(), FlowFault> {
        let entries = Arc::new(entries);
        let bytes = entries.iter().map(Entry::size).sum();
        let mut answer = question(Proposal { entries: entries.clone(), bytes });
        self.progress.send_modify(|p| p.stage = Stage::Asking);
        let mut asked = false;
        let verdict = loop {
            tokio::select! {
                biased;
                verdict = &mut answer => break verdict,
                () = tokio::time::sleep(PROGRESS), if !asked => {
                    asked = true;
                    self.say(&Receiving::Asking).await?;
                }
                () = tokio::time::sleep(KEEP_ALIVE) => self.say(&Receiving::KeepAlive).await?,
            }
        };
        match verdict {
            Verdict::Accept(root) => {
                let entries = Arc::try_unwrap(entries).unwrap_or_else(|shared| (*shared).clone());
                self.accept_all(root, entries).await
            }
            Verdict::Decline { kind, reason } => {
                self.say(&Receiving::Decline { kind, reason: reason.clone() }).await?;
                Err(FlowFault::Declined { kind, reason })
            }
        }
    }

    /// Opens the staging and says yes.
    async fn accept(&mut self, root: Root) -> Result<(), FlowFault> {
        self.open(root).await?;
        self.say(&Receiving::Accept).await?;
        self.begin();
        Ok(())
    }

    /// Says yes to a whole manifest, if there is room for what is missing of it.
    async fn accept_all(&mut self, root: Root, entries: Vec<Entry>) -> Result<(), FlowFault> {
        let free = root.free_space();
        self.open(root).await?;
        let sizes: Vec<u64> = entries.iter().map(Entry::size).collect();
        let haves = self.admit(entries).await?;
        let missing: u64 = sizes.iter().zip(&haves).map(|(size, have)| size - have.bytes_of(*size)).sum();
        if let Some(free) = free.filter(|free| *free < missing) {
            let text = format!("not enough room at the receiver: {missing} bytes are needed, {free} are free");
            let (kind, reason) = (FaultKind::Disk, PeerText::new(text));
            self.say(&Receiving::Decline { kind, reason: reason.clone() }).await?;
            return Err(FlowFault::Declined { kind, reason });
        }
        self.say(&Receiving::Accept).await?;
        self.begin();
        self.tell_haves(haves).await
    }

    async fn open(&mut self, root: Root) -> Result<(), FlowFault> {
        let (transfer, set) = self.offer.ok_or_else(|| FlowFault::unexpected("an answer before the offer"))?;
        let sender = self.sender;
        let opened = blocking(move || Partial::open(&root, sender, &set, transfer)).await?;
        self.partial = Some(Arc::new(opened));
        Ok(())
    }

    /// From now on bytes may come.
    fn begin(&mut self) {
        self.progress.send_modify(|p| p.stage = Stage::Moving);
        if let Some(partial) = &self.partial {
            let _ = self.intake.set(Intake::start(partial, &self.failed));
        }
    }

    async fn admit(&mut self, page: Vec<Entry>) -> Result<Vec<Have>, FlowFault> {
        let partial = self.partial.clone().ok_or_else(|| FlowFault::unexpected("a page before the offer"))?;
        let sizes: Vec<u64> = page.iter().map(Entry::size).collect();
        let haves = blocking(move || partial.admit(page)).await?;
        let kept: u64 = sizes.iter().zip(&haves).map(|(size, have)| have.bytes_of(*size)).sum();
        self.progress.send_modify(|p| p.bytes_kept += kept);
        Ok(haves)
    }

    async fn answer_page(&mut self, page: Vec<Entry>) -> Result<(), FlowFault> {
        let haves = self.admit(page).await?;
        self.tell_haves(haves).await
    }

    async fn tell_haves(&mut self, haves: Vec<Have>) -> Result<(), FlowFault> {
        for page in pages(haves) {
            self.say(&Receiving::Have(page)).await?;
        }
        Ok(())
    }

    /// Tells the sender, and whoever watches here, how far it is.
    async fn report(&mut self) -> Result<(), FlowFault> {
        let Some(partial) = &self.partial else { return self.keep_alive().await };
        let (bytes, entries) = (partial.bytes_written(), partial.entries_complete());
        let moved = self.progress.borrow().bytes_moved != bytes;
        self.progress.send_modify(|p| {
            (p.bytes_moved, p.bytes_safe, p.entries_done) = (bytes, bytes, entries);
        });
        if moved { self.say(&Receiving::Progress { bytes, entries }).await } else { self.keep_alive().await }
    }

    async fn keep_alive(&mut self) -> Result<(), FlowFault> {
        if self.last_said.elapsed() < KEEP_ALIVE || self.offer.is_none() {
            return Ok(());
        }
        self.say(&Receiving::KeepAlive).await
    }

    /// Everything came: has it written, synced, put into place, and gives its word on it.
    async fn settle(&mut self) -> Result<Summary, FlowFault> {
        let (transfer, _) = self.offer.ok_or_else(|| FlowFault::unexpected("an end before the offer"))?;
        let partial = self.partial.clone().ok_or_else(|| FlowFault::unexpected("an end before the acceptance"))?;
        self.report().await?;
        self.progress.send_modify(|p| p.stage = Stage::Settling);
        self.say(&Receiving::Settling).await?;
        self.drain().await?;
        let settling = partial.clone();
        let mut settled = tokio::task::spawn_blocking(move || settling.settle());
        let settled = loop {
            tokio::select! {
                settled = &mut settled => break settled,
                () = tokio::time::sleep(KEEP_ALIVE) => self.say(&Receiving::KeepAlive).await?,
            }
        };
        let settled = settled.map_err(|_| FlowFault::Ours(lost_thread()))?.map_err(FlowFault::Ours)?;
        let mut statement = Statement::of(transfer);
        let mut outcomes = Vec::with_capacity(settled.len());
        for (_, outcome, digest) in &settled {
            statement.add(outcome, *digest);
            outcomes.push(outcome.clone());
        }
        for page in pages(outcomes) {
            self.say(&Receiving::Outcomes(page)).await?;
        }
        let receipt = statement.sign(&self.me.key);
        self.say(&Receiving::Receipt(receipt)).await?;
        self.report().await?;
        let progress = *self.progress.borrow();
        Ok(Summary {
            transfer,
            outcomes: settled.into_iter().map(|(entry, outcome, _)| (entry, outcome)).collect(),
            bytes_moved: progress.bytes_moved,
            bytes_total: progress.bytes.max(progress.bytes_moved + progress.bytes_kept),
            receipt: Receipted::Given,
        })
    }

    /// Waits until the intake has written everything it was given.
    async fn drain(&mut self) -> Result<(), FlowFault> {
        let Some(intake) = self.intake.get() else { return Ok(()) };
        let mut drained = std::pin::pin!(intake.drain());
        loop {
            tokio::select! {
                biased;
                fault = self.failures.recv() => return Err(FlowFault::Ours(fault.unwrap_or_else(lost_thread))),
                () = &mut drained => return Ok(()),
                () = tokio::time::sleep(KEEP_ALIVE) => {
                    self.last_said = Instant::now();
                    frame::write(self.writer, &Receiving::KeepAlive).await?;
                }
            }
        }
    }
}

fn lost_thread() -> Fault {
    Fault::new(FaultKind::Other, "a thread of this program ended unexpectedly")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, FlowFault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| FlowFault::Ours(lost_thread()))?.map_err(FlowFault::Ours)
}
