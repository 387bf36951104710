//! The receiver's side of a transfer: hear the offer, decide, write what comes, settle, confirm.
//!
//! One task for each connection hears what the sender says and hands bytes to the intake; another
//! speaks: it asks for consent, tells what is there already and how far things are, settles and signs.

mod answer;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::consent::{Consent, Tops};
use super::fault::{FlowFault, LAST_WORD, lost_thread};
use super::greet::{Me, Session};
use super::hear::{Ear, Heard, hear};
use super::heard_lanes::Lanes;
use super::lanes::{Admission, Further, Opener, Opening, grow};
use super::limit::Limit;
use super::pages::pages;
use super::patience::Patience;
use super::receipt::Statement;
use super::room::{Room, held};
use super::stop::Stop;
use super::underway::{Place, Pulse, Which};
use super::voice::Voice;
use crate::base::entries::Entries;
use crate::base::event::{Progress, Receipted, Stage, Summary};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, TransferId};
use crate::base::manifest::Entry;
use crate::disk::outcomes::Settled;
use crate::disk::partial::Partial;
use crate::wire::limits::{GREETING, PROGRESS};
use crate::wire::message::Receiving;

/// Receives over a session in which this side is the receiver.
///
/// # Errors
/// See [`FlowFault`]. What is verified by then is kept for the next try.
pub async fn receive<S>(
    mut session: Session<S>,
    consent: Consent,
    further: Further<S>,
    limit: Limit,
    progress: watch::Sender<Progress>,
    mut stop: Stop,
) -> Result<Summary, FlowFault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // What an earlier connection counted is over.
    progress.send_replace(Progress::default());
    let ear = Ear { intake: Arc::default(), limit, pulse: Pulse::new() };
    let ((failed, failures), (heard, hearing)) = (mpsc::channel(4), mpsc::channel(4));
    let opening = further.opening(Opener::Receiver, &ear.limit, progress.subscribe());
    let Opening { growth, attach, admit, admission, opened } = opening;
    let room = attach.as_ref().map(|(underway, _)| underway.room(session.peer.id(), session.stranger));
    let mut speaker = Speaker {
        voice: Voice::new(&mut session.writer),
        me: &session.me,
        sender: session.peer.id(),
        ear: &ear,
        failed: Some(failed),
        failures,
        hearing,
        progress: &progress,
        partial: None,
        offer: None,
        by_content: false,
        left_out: Vec::new(),
        admitted: 0,
        anew: Vec::new(),
        free: None,
        room,
        busy: None,
        patience: Patience::new(),
        lanes: Lanes::new(attach, admit, opened),
    };
    let result = {
        let hear = hear(&mut session.reader, heard, &ear);
        let speak = speaker.run(consent);
        tokio::pin!(hear);
        tokio::select! {
            biased;
            result = speak => match result {
                // What the sender said says more than that it hung up.
                Err(lost @ FlowFault::Lost(_)) if lost.kind() != FaultKind::Protocol => match timeout(LAST_WORD, &mut hear).await {
                    Ok(said @ FlowFault::Theirs(_)) => Err(said),
                    _ => Err(lost),
                },
                result => result,
            },
            fault = &mut hear => Err(fault),
            never = grow(growth, admission) => match never {},
            () = stop.stopped() => Err(FlowFault::Ours(Fault::new(FaultKind::Interrupted, "the receiver stopped"))),
        }
    };
    let (result, partial, place) = speaker.end(result, stop.is_stopped()).await;
    if let Some(intake) = Arc::into_inner(ear.intake).and_then(std::sync::OnceLock::into_inner) {
        intake.finish().await;
    }
    if let (Some(partial), Err(_)) = (partial, &result) {
        // Also what came after the last report.
        let written = partial.bytes_written();
        progress.send_modify(|p| (p.bytes_moved, p.bytes_safe) = (written, written));
        let _ = tokio::task::spawn_blocking(move || partial.leave()).await;
    }
    // Whoever comes again for the same finds its staging free.
    drop(place);
    if matches!(result, Ok(_) | Err(FlowFault::Declined { .. })) {
        session.close().await;
    }
    result
}

/// The speaking side.
struct Speaker<'a, S> {
    voice: Voice<&'a mut WriteHalf<S>>,
    me: &'a Me,
    sender: PeerId,
    ear: &'a Ear,
    /// For the threads that write, until there are some.
    failed: Option<mpsc::Sender<Fault>>,
    failures: mpsc::Receiver<Fault>,
    hearing: mpsc::Receiver<Heard>,
    progress: &'a watch::Sender<Progress>,
    partial: Option<Arc<Partial>>,
    offer: Option<(TransferId, [u8; 32])>,
    /// Whether only the same bytes are equal.
    by_content: bool,
    /// What the sender has and does not send.
    left_out: Vec<Fault>,
    /// Entries of which is known what is there, and the places of those that changed since an earlier try.
    admitted: u32,
    anew: Vec<u32>,
    /// Bytes that the disk still has room for, less what has been accepted.
    free: Option<u64>,
    /// What the manifest takes of the node's room for these.
    room: Option<Room>,
    /// What a thread does for this on the disk, or has done last.
    busy: Option<JoinHandle<()>>,
    patience: Patience,
    lanes: Lanes<S>,
}

impl<S> Speaker<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Ends the conversation, however it went, and says so to the sender. Gives back what has been staged, and
    /// the place that it keeps as long as that is not left.
    async fn end(
        mut self,
        result: Result<Summary, FlowFault>,
        stopped: bool,
    ) -> (Result<Summary, FlowFault>, Option<Arc<Partial>>, Option<Place<S>>) {
        // A writing thread's failure comes before its consequences.
        let result = result.map_err(|fault| self.failures.try_recv().map_or(fault, FlowFault::Ours));
        if let (Some(busy), Err(_), false) = (self.busy.take(), &result, stopped) {
            // What has begun on the disk comes to its end, and is cleared, before this does.
            let _ = timeout(GREETING, busy).await;
        }
        self.lanes.hearing.shutdown().await;
        if let Some(fault) = result.as_ref().err().and_then(FlowFault::to_tell) {
            self.voice.abort(fault).await;
        }
        (result, self.partial.take(), self.lanes.place.take())
    }

    async fn run(&mut self, consent: Consent) -> Result<Summary, FlowFault> {
        let (mut ask, mut root, mut tops) = (None, None, None);
        match consent {
            Consent::Given { root: given, tops: named } => (root, tops) = (Some(given), named.map(Tops::new)),
            Consent::Ask(question) => ask = Some(question),
        }
        let mut unanswered = Entries::default();
        let mut tick = interval(PROGRESS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let heard = tokio::select! {
                heard = self.hearing.recv() => heard,
                fault = self.failures.recv() => return Err(FlowFault::Ours(fault.unwrap_or_else(lost_thread))),
                heard = self.lanes.all_heard(self.ear) => {
                    heard?;
                    return self.settle().await;
                }
                _ = tick.tick() => {
                    if ask.is_some() || self.offer.is_none() { self.patience.offering()? }
                    self.report().await?;
                    continue;
                }
            };
            match heard {
                Some(Heard::Offer { transfer, set }) => {
                    self.offer = Some((transfer, set));
                    self.take_place(transfer, set).await?;
                    if let Some(root) = root.take() {
                        self.accept(root).await?;
                    }
                }
                Some(Heard::ByContent) => self.by_content = true,
                Some(Heard::Ticket(ticket)) => {
                    if let Some((transfer, _)) = self.offer {
                        // Who does not grow has no use for it.
                        let _ = self.lanes.admit.take().map(|admit| admit.send(Admission { transfer, ticket }));
                    }
                }
                Some(Heard::Page(page)) => {
                    if let Some(tops) = &mut tops
                        && !page.iter().all(|entry| tops.has(entry.path.top()))
                    {
                        return Err(FlowFault::unexpected("something that was not asked for"));
                    }
                    self.progress.send_modify(|p| {
                        p.entries += page.len() as u64;
                        p.bytes += page.iter().map(Entry::size).sum::<u64>();
                    });
                    self.make_room(held(&page)).await?;
                    match &self.partial {
                        Some(_) => self.answer_page(page).await?,
                        None => unanswered.push(page),
                    }
                }
                Some(Heard::LeftOut(fault)) => {
                    self.make_room(size_of::<Fault>() + fault.text.as_raw().len()).await?;
                    self.left_out.push(fault);
                }
                Some(Heard::PagesEnd) => {
                    if let Some(ask) = ask.take() {
                        self.ask(ask, std::mem::take(&mut unanswered)).await?;
                    }
                }
                Some(Heard::End { lanes }) => self.lanes.over(lanes),
                // The hearing side has failed; it says how.
                None => std::future::pending().await,
            }
        }
    }

    /// Takes a place among the transfers of this node. The sender's own lost connection ends first.
    async fn take_place(&mut self, transfer: TransferId, set: [u8; 32]) -> Result<(), FlowFault> {
        let Some((underway, open)) = &self.lanes.underway else { return Ok(()) };
        let which = Which { peer: self.sender, transfer, set };
        let entered = underway.enter(which, self.ear.pulse.clone(), open.clone());
        self.lanes.place = self.voice.alive_until(entered).await?;
        Ok(())
    }

    /// Tells the sender, and whoever watches here, how far it is.
    async fn report(&mut self) -> Result<(), FlowFault> {
        let Some(partial) = &self.partial else { return self.keep_alive().await };
        let (bytes, entries) = (partial.bytes_written(), partial.entries_complete());
        let told = self.progress.borrow().entries;
        self.patience.moving(bytes.wrapping_add(entries).wrapping_add(told))?;
        let moved = self.progress.borrow().bytes_moved != bytes;
        self.progress.send_modify(|p| {
            (p.bytes_moved, p.bytes_safe, p.entries_done) = (bytes, bytes, entries);
        });
        if moved { self.voice.say(&Receiving::Progress { bytes, entries }).await } else { self.keep_alive().await }
    }

    async fn keep_alive(&mut self) -> Result<(), FlowFault> {
        // Before the offer it is the sender's turn.
        if self.offer.is_none() { Ok(()) } else { self.voice.keep_alive().await }
    }

    /// Everything came: has it written, synced, put into place, and gives its word on it.
    async fn settle(&mut self) -> Result<Summary, FlowFault> {
        let (transfer, _) = self.offer.ok_or_else(|| FlowFault::unexpected("an end before the offer"))?;
        let partial = self.partial.clone().ok_or_else(|| FlowFault::unexpected("an end before the acceptance"))?;
        self.progress.send_modify(|p| p.stage = Stage::Settling);
        self.voice.say(&Receiving::Settling).await?;
        self.drain().await?;
        self.report().await?;
        let settled = self.patiently(move || partial.settle()).await?;
        let mut statement = Statement::of(transfer);
        let (mut entries, mut outcomes) =
            (Entries::default(), Vec::with_capacity(self.progress.borrow().entries as usize));
        for page in settled {
            // Page by page, so that a million entries are not kept twice, and that the sender checks what has
            // been said of them while the next are looked at.
            let (mut block, mut said) = (Vec::with_capacity(page.len()), Vec::with_capacity(page.len()));
            for Settled { entry, outcome, digest } in page {
                statement.add(&entry, &outcome, digest);
                said.push(outcome);
                block.push(entry);
            }
            entries.push(block);
            outcomes.extend_from_slice(&said);
            for page in pages(said) {
                self.voice.say(&Receiving::Outcomes(page)).await?;
            }
        }
        // The last word: nothing follows it.
        let receipt = statement.sign(&self.me.key);
        self.voice.say(&Receiving::Receipt(receipt)).await?;
        let progress = *self.progress.borrow();
        Ok(Summary {
            transfer,
            entries,
            outcomes,
            anew: std::mem::take(&mut self.anew),
            bytes_moved: progress.bytes_moved,
            bytes_total: progress.bytes.max(progress.bytes_moved + progress.bytes_kept),
            left_out: std::mem::take(&mut self.left_out),
            receipt: Receipted::Given,
        })
    }

    /// Does what blocks in a thread, and keeps the connection alive meanwhile.
    async fn patiently<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, FlowFault> {
        let (tell, mut done) = oneshot::channel();
        self.busy = Some(tokio::task::spawn_blocking(move || drop(tell.send(work()))));
        let done = match self.voice.alive_until(&mut done).await {
            Ok(done) => done,
            Err(lost) => {
                // What has begun on the disk comes to its end first.
                let _ = done.await;
                return Err(lost);
            }
        };
        done.map_err(|_| FlowFault::Ours(lost_thread()))?.map_err(FlowFault::Ours)
    }

    /// Waits until the intake has written everything it was given.
    async fn drain(&mut self) -> Result<(), FlowFault> {
        let Some(intake) = self.ear.intake.get() else { return Ok(()) };
        let drained = self.voice.alive_until(intake.drain()).await?;
        drained.map_err(|_| FlowFault::Ours(self.failures.try_recv().unwrap_or_else(|_| lost_thread())))
    }
}
