//! The sender's side of a transfer: offer, stream what is missing, have it confirmed.
//!
//! One thread walks, whoever receives it (`outgoing`); for each receiver another reads, hashes and
//! packs (`pump`), one task writes to each of its lanes (`speak`), one hears what it says.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::confirm::Confirming;
use super::fault::{FlowFault, LAST_WORD};
use super::frames::{self, Queue};
use super::greet::Session;
use super::lanes::{Admission, Further, Opener, Opening, grow};
use super::ledger::{Ledger, lock};
use super::outgoing::{Equality, Outgoing};
use super::patience::Patience;
use super::pump;
use super::speak::{Mouth, Speaker, on_lanes};
use super::stop::Stop;
use super::underway::{Moves, Pulse, WAITING_EACH, Which};
use crate::base::event::{Progress, Stage, Summary};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::{EntryKind, Have};
use crate::disk::source::Passed;
use crate::wire::frame::FrameReader;
use crate::wire::limits::MAX_PAGE;
use crate::wire::message::{Receipt, Receiving, Sending};

/// A transfer that the receiver confirmed.
#[derive(Debug)]
pub struct Sent {
    /// What became of each entry.
    pub summary: Summary,
    /// What was not offered at all, and why.
    pub passed: Vec<Passed>,
}

/// Sends what is outgoing over a session in which this side is the sender. The same `transfer` is
/// given again where a lost connection is dialled again.
///
/// # Errors
/// See [`FlowFault`]. What the receiver had by then it keeps for the next try.
pub async fn send<S>(
    mut session: Session<S>,
    outgoing: Arc<Outgoing>,
    transfer: TransferId,
    further: Further<S>,
    progress: watch::Sender<Progress>,
    mut stop: Stop,
) -> Result<Sent, FlowFault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opening = further.opening(Opener::Sender, &outgoing.limit, progress.subscribe());
    let Opening { growth, attach, admit, admission, opened } = opening;
    let ledger = Arc::new(Ledger::new(progress));
    let waiting = attach.as_ref().map_or(WAITING_EACH, |(underway, _)| underway.waiting());
    let (haves, queue) = start_pump(&outgoing, &ledger, waiting);
    let key = session.peer.key;
    let place = match attach {
        Some((underway, open)) => underway.enter(Which::served(key.id(), transfer), Pulse::new(), open).await,
        None => None,
    };
    let mut mouth = Mouth::new(session.writer, outgoing.limit.clone(), ledger.pulse.clone());
    let speaker = Speaker {
        outgoing: &outgoing,
        ledger: &ledger,
        queue: &queue,
        offer: (transfer, outgoing.set(session.to.as_ref())),
        ticket: place.as_ref().map(|place| place.ticket),
        told: haves.clone(),
    };
    let mut hearing = Hearing {
        ledger: &ledger,
        outgoing: &outgoing,
        haves,
        transfer,
        admit: Some(admit),
        moves: place.as_ref().map(|place| place.moves.clone()).unwrap_or_default(),
        told: 0,
        ticket: false,
        settling: None,
        patience: Patience::new(),
        said: 0,
    };
    let result = {
        let heard = hearing.run(&mut session.reader);
        let lost = async {
            tokio::select! {
                fault = speaker.run(&mut mouth) => fault,
                fault = on_lanes(opened, &queue, &ledger, &outgoing.limit) => fault,
                never = grow(growth, admission) => match never {},
            }
        };
        tokio::pin!(heard);
        tokio::select! {
            biased;
            result = &mut heard => result,
            lost = lost => match timeout(LAST_WORD, heard).await {
                // What the receiver said says more than that it hung up.
                Ok(Ok(heard)) => Ok(heard),
                Ok(Err(FlowFault::Theirs(fault))) => Err(FlowFault::Theirs(fault)),
                Ok(Err(FlowFault::Declined { kind, reason })) => Err(FlowFault::Declined { kind, reason }),
                _ => Err(lost),
            },
            () = stop.stopped() => Err(FlowFault::Ours(Fault::new(FaultKind::Interrupted, "the sender stopped"))),
        }
    };
    let (confirming, receipt) = match result {
        Ok(heard) => heard,
        Err(fault) => {
            if let Some(fault) = fault.to_tell() {
                let _ = timeout(LAST_WORD, mouth.say(&Sending::Abort(fault))).await;
            }
            return Err(fault);
        }
    };
    mouth.close().await;
    let summary = confirming.confirmed_by(&receipt, key)?;
    Ok(Sent { summary, passed: outgoing.passed() })
}

/// Has a thread make frames of what the receiver says that it lacks; so many batches may wait to be written.
fn start_pump(
    outgoing: &Arc<Outgoing>,
    ledger: &Arc<Ledger>,
    waiting: usize,
) -> (mpsc::UnboundedSender<Vec<Have>>, Arc<Queue>) {
    let (haves, wanted) = mpsc::unbounded_channel();
    let (frames, queue) = frames::queue(outgoing.packing.clone(), waiting);
    let (outgoing, ledger) = (outgoing.clone(), ledger.clone());
    std::thread::spawn(move || drop(pump::run(&outgoing, &ledger, wanted, frames)));
    (haves, Arc::new(queue))
}

/// What the receiver has said so far.
struct Hearing<'a> {
    ledger: &'a Ledger,
    outgoing: &'a Outgoing,
    /// To the pump.
    haves: mpsc::UnboundedSender<Vec<Have>>,
    transfer: TransferId,
    /// Where what lets further connections in goes.
    admit: Option<oneshot::Sender<Admission>>,
    moves: Moves,
    told: usize,
    /// Whether a ticket was said.
    ticket: bool,
    /// What became of everything; nothing before it has everything, as it says.
    settling: Option<Confirming<'a>>,
    patience: Patience,
    /// How often it has said something that brings the transfer on.
    said: u64,
}

impl<'a> Hearing<'a> {
    /// Hears it to its end: what became of everything, and its word on that.
    async fn run<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut FrameReader<R>,
    ) -> Result<(Confirming<'a>, Receipt), FlowFault> {
        loop {
            let message = reader.next().await?;
            self.ledger.pulse.beat();
            self.said += u64::from(!matches!(message, Receiving::KeepAlive | Receiving::Progress { .. }));
            match message {
                Receiving::KeepAlive => self.wait()?,
                Receiving::Asking if !self.ledger.is_accepted() => {
                    self.wait()?;
                    self.stage(Stage::Asking);
                }
                Receiving::Accept if !self.ledger.is_accepted() => {
                    self.ledger.accept();
                    self.moves.begin();
                    self.stage(Stage::Moving);
                    let _ = self.haves.send(Vec::new());
                }
                Receiving::Decline { kind, reason } if !self.ledger.is_accepted() => {
                    return Err(FlowFault::Declined { kind, reason });
                }
                Receiving::Ticket(ticket) if self.ledger.is_accepted() && !self.ticket => {
                    self.ticket = true;
                    let admission = Admission { transfer: self.transfer, ticket };
                    // Who does not grow has no use for it.
                    let _ = self.admit.take().map(|admit| admit.send(admission));
                }
                Receiving::Have(page) if self.ledger.is_accepted() => self.have(page)?,
                Receiving::Progress { bytes, .. }
                    if self.ledger.is_accepted() && self.settling.as_ref().is_none_or(Confirming::is_new) =>
                {
                    self.wait()?;
                    // Nobody has more than was sent, whatever it says.
                    self.ledger.count(|p| p.bytes_safe = bytes.min(p.bytes_moved));
                }
                Receiving::Settling if self.all_told() && self.ledger.is_finished() && self.settling.is_none() => {
                    self.settling = Some(Confirming::begin(self.transfer, self.outgoing, self.ledger));
                    self.stage(Stage::Settling);
                }
                Receiving::Abort(fault) => return Err(FlowFault::Theirs(fault)),
                message => match (message, self.settling.take()) {
                    (Receiving::Outcomes(page), Some(mut settling)) => {
                        settling.add(page)?;
                        self.settling = Some(settling);
                    }
                    (Receiving::Receipt(receipt), Some(settling)) => return Ok((settling, receipt)),
                    _ => return Err(FlowFault::unexpected("what the receiver says")),
                },
            }
        }
    }

    /// It has nothing new to say for now.
    fn wait(&mut self) -> Result<(), FlowFault> {
        if !self.ledger.is_accepted() {
            return self.patience.deciding();
        }
        let moved = self.ledger.progress().bytes_moved;
        self.patience.moving(moved.wrapping_add(self.said))
    }

    fn stage(&self, stage: Stage) {
        self.ledger.count(|p| p.stage = stage);
    }

    fn have(&mut self, page: Vec<Have>) -> Result<(), FlowFault> {
        let end = self.told + page.len();
        if page.is_empty() || page.len() > MAX_PAGE || end > self.ledger.told() {
            return Err(FlowFault::unexpected("more than was offered"));
        }
        let by_content = self.outgoing.equality == Equality::Content;
        let fits = {
            let known = self.outgoing.walked().state();
            (self.told..end).zip(&page).all(|(place, have)| {
                known.entries.get(place).is_some_and(|entry| {
                    let asked_for = match have {
                        Have::Digest(_) => by_content && matches!(entry.kind, EntryKind::File { .. }),
                        Have::Outdated => matches!(entry.kind, EntryKind::File { .. }),
                        Have::Equal => !by_content && matches!(entry.kind, EntryKind::File { .. }),
                        _ => true,
                    };
                    asked_for && have.is_of(entry)
                })
            })
        };
        if !fits {
            return Err(FlowFault::unexpected("chunks that were not offered"));
        }
        let outdated = page.iter().zip(self.told as u32..).filter(|(have, _)| **have == Have::Outdated);
        lock(&self.ledger.anew).extend(outdated.map(|(_, place)| place));
        self.told = end;
        // A pump that is gone has failed on the stream, which is noticed there.
        let _ = self.haves.send(page);
        Ok(())
    }

    /// Whether the receiver has said of every entry what it has.
    fn all_told(&self) -> bool {
        let known = self.outgoing.walked().state();
        self.ledger.is_accepted() && known.over && known.entries.len() == self.told
    }
}
