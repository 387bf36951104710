//! Hearing a sender: the offer, the manifest, then bytes for the intake.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf};
use tokio::sync::mpsc;

use super::fault::FlowFault;
use super::greet::Session;
use super::intake::{Block, Hand, Intake, SMALL};
use super::limit::Limit;
use super::pack::Unpacker;
use super::pages::Weighed;
use super::underway::Pulse;
use crate::base::digest::CHUNK;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::Entry;
use crate::base::offered::Offered;
use crate::disk::partial::End;
use crate::wire::frame::{self, Came, FrameFault, FrameReader};
use crate::wire::limits::{CHUNK_HASH, MAX_ENTRIES, MAX_LANES, MAX_LEFT_OUT, MAX_MANIFEST, MAX_PACKED, MAX_PAGE};
use crate::wire::message::{ChunkHead, Sending, Ticket};

/// What the hearing task tells the speaking one.
pub(super) enum Heard {
    Offer {
        transfer: TransferId,
        set: [u8; 32],
    },
    ByContent,
    Ticket(Ticket),
    Page(Vec<Entry>),
    LeftOut(Fault),
    PagesEnd,
    /// Everything was sent, on this connection and so many lanes.
    End {
        lanes: u32,
    },
}

/// What every connection of a transfer hears with.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    /// Where bytes go, once the offer is accepted.
    pub(super) intake: Arc<OnceLock<Intake>>,
    pub(super) limit: Limit,
    pub(super) pulse: Pulse,
}

/// Hears the sender to its end. Returns only where something is wrong.
pub(super) async fn hear<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    heard: mpsc::Sender<Heard>,
    ear: &Ear,
) -> FlowFault {
    match hear_all(reader, &heard, ear).await {
        Err(fault) => fault,
        // Everything came. Nothing but keep-alives follows; it does not matter any more when the sender
        // gives up or hangs up.
        Ok(()) => loop {
            match reader.next().await {
                Ok(Sending::KeepAlive) => {}
                Err(fault @ (FrameFault::TooLong(_) | FrameFault::Malformed)) => return fault.into(),
                Ok(Sending::Abort(_)) | Err(_) => std::future::pending().await,
                Ok(_) => return FlowFault::unexpected("something after the end"),
            }
        },
    }
}

/// Whether the sender has said anything on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// It counts among those that the sender tells in the end.
    Used,
    /// It was opened too late to carry anything.
    Unused,
}

/// Hears a lane to its end: bytes, and ends of entries. One that ends before the first word was not used.
pub(super) async fn hear_lane<S: AsyncRead + AsyncWrite>(
    mut session: Session<S>,
    ear: Ear,
    mut lane: Lane,
) -> Result<Lane, FlowFault>
where
    ReadHalf<S>: AsyncRead + Unpin,
{
    let mut taking = Taking::default();
    loop {
        let message = match taking.next(&mut session.reader, &ear).await {
            Err(lost) if lane == Lane::Unused && lost.kind() == FaultKind::Lost => return Ok(lane),
            message => message?,
        };
        lane = Lane::Used;
        match message {
            Sending::KeepAlive => {}
            Sending::Abort(fault) => return Err(FlowFault::Theirs(fault)),
            Sending::End => return taking.over().await.map(|()| lane),
            message => taking.take(&mut session.reader, message, &ear).await?,
        }
    }
}

async fn hear_all<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    heard: &mpsc::Sender<Heard>,
    ear: &Ear,
) -> Result<(), FlowFault> {
    let (mut stage, mut taking) = (Hearing::Offer, Taking::default());
    let (mut entries, mut bytes, mut left_out, mut weight) = (0usize, 0u64, 0, 0usize);
    let (mut lanes, mut by_content, mut ticket, mut offered) = (0, false, false, Offered::default());
    loop {
        match (taking.next(reader, ear).await?, stage) {
            (Sending::KeepAlive, _) => {}
            (Sending::Abort(fault), _) => return Err(FlowFault::Theirs(fault)),
            (Sending::Offer { transfer, set }, Hearing::Offer) => {
                stage = Hearing::Pages;
                tell(heard, Heard::Offer { transfer, set }).await?;
            }
            (Sending::Page(page), Hearing::Pages) if !page.is_empty() => {
                entries += page.len();
                // From here on sums of sizes cannot overflow.
                let sum = page.iter().try_fold(bytes, |sum, entry| sum.checked_add(entry.size()));
                bytes = sum.ok_or_else(|| FlowFault::unexpected("a manifest of this many bytes"))?;
                weight += page.iter().map(Weighed::weight).sum::<usize>();
                if page.len() > MAX_PAGE || entries > MAX_ENTRIES || weight > MAX_MANIFEST {
                    return Err(FlowFault::unexpected("a manifest of this size"));
                }
                page.iter().try_for_each(Entry::check).and_then(|()| offered.add(&page)).map_err(FlowFault::Ours)?;
                tell(heard, Heard::Page(page)).await?;
            }
            (Sending::LeftOut(fault), Hearing::Pages) => {
                left_out += 1;
                // Enough is told after so many; it is only a note.
                if left_out <= MAX_LEFT_OUT {
                    tell(heard, Heard::LeftOut(fault)).await?;
                }
            }
            (Sending::PagesEnd { entries: e, bytes: b }, Hearing::Pages) if (e, b) == (entries as u64, bytes) => {
                (stage, offered) = (Hearing::Rest, Offered::default());
                tell(heard, Heard::PagesEnd).await?;
            }
            (Sending::ByContent, Hearing::Pages) if entries + left_out == 0 && !by_content => {
                by_content = true;
                tell(heard, Heard::ByContent).await?;
            }
            (Sending::Ticket(said), Hearing::Pages | Hearing::Rest) if !ticket => {
                ticket = true;
                tell(heard, Heard::Ticket(said)).await?;
            }
            (Sending::Lanes(count), Hearing::Rest)
                if (1..=MAX_LANES).contains(&(count as usize)) && ear.intake.get().is_some() =>
            {
                (stage, lanes) = (Hearing::Ending, count);
            }
            (Sending::End, Hearing::Rest | Hearing::Ending) if ear.intake.get().is_some() => {
                taking.over().await?;
                return tell(heard, Heard::End { lanes }).await;
            }
            // Before its bytes are waited for.
            (Sending::Chunk(head), _) if head.entry as usize >= entries => {
                return Err(FlowFault::unexpected("a chunk of what is not offered"));
            }
            (message, Hearing::Pages | Hearing::Rest) => taking.take(reader, message, ear).await?,
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
    /// Its lanes are told: nothing but the end follows.
    Ending,
}

/// What a connection hands over with, once the offer is accepted.
#[derive(Default)]
struct Taking<'a> {
    hand: Option<Hand<'a>>,
    unpacker: Unpacker,
    packed: Vec<u8>,
}

impl<'a> Taking<'a> {
    /// Takes one message that carries, or ends, bytes.
    async fn take<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut FrameReader<R>,
        message: Sending,
        ear: &'a Ear,
    ) -> Result<(), FlowFault> {
        if self.hand.is_none() {
            self.hand = ear.intake.get().map(Intake::hand);
        }
        // Nothing that carries bytes has a place before the offer is accepted.
        let hand = self.hand.as_mut().ok_or_else(|| FlowFault::unexpected("something before the acceptance"))?;
        match message {
            Sending::Chunk(head) if head.length < SMALL => {
                let length = length_of(head)?;
                let (at, small) = hand.small_buffer(head);
                read_raw(reader, length, small, ear).await?;
                hand.chunk(head, at).await.map_err(|_| stuck())?;
            }
            Sending::Chunk(head) => {
                if self.packed.capacity() > 0 {
                    // What does not shrink comes as it is from now on, and there may be many connections.
                    (self.packed, self.unpacker) = Default::default();
                }
                let length = length_of(head)?;
                let mut block = hand.buffer(length).await.map_err(|_| stuck())?;
                read_raw(reader, length, &mut block.bytes, ear).await?;
                hand.stand_in(block);
                hand.chunk(head, 0).await.map_err(|_| stuck())?;
                hand.leave().await.map_err(|_| stuck())?;
            }
            Sending::Packed { length, packed } if packed < length && length as usize <= MAX_PACKED => {
                self.packed.clear();
                read_raw(reader, packed as usize, &mut self.packed, ear).await?;
                let mut block = hand.buffer(length as usize).await.map_err(|_| stuck())?;
                self.unpacker.unpack(&self.packed, length as usize, &mut block.bytes).ok_or_else(|| {
                    FlowFault::Ours(Fault::new(FaultKind::Integrity, "what is packed does not unpack"))
                })?;
                take_unpacked(block, hand).await?;
            }
            Sending::EntryEnd { entry, size, digest } => {
                hand.end(entry, End { size, digest }).await.map_err(|_| stuck())?;
            }
            Sending::EntryGone { entry, fault } => hand.gone(entry, fault).await.map_err(|_| stuck())?,
            _ => return Err(FlowFault::unexpected("what the sender says")),
        }
        Ok(())
    }

    /// The next message. Whatever has come is handed over before more is waited for.
    async fn next<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut FrameReader<R>,
        ear: &Ear,
    ) -> Result<Sending, FlowFault> {
        if !reader.is_drained() {
            return Ok(reader.next().await?);
        }
        let mut next = pin!(reader.next());
        let at_once = poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
        let message = match at_once {
            Poll::Ready(message) => message?,
            Poll::Pending => {
                self.over().await?;
                next.await?
            }
        };
        ear.pulse.beat();
        Ok(message)
    }

    async fn over(&mut self) -> Result<(), FlowFault> {
        match &mut self.hand {
            Some(hand) => hand.leave().await.map_err(|_| stuck()),
            None => Ok(()),
        }
    }
}

/// Takes the frames that were packed together, from where they are.
async fn take_unpacked(block: Block, hand: &mut Hand<'_>) -> Result<(), FlowFault> {
    let block = hand.stand_in(block);
    let mut frames = &*block.bytes;
    while !frames.is_empty() {
        let (message, rest) = frame::split(frames)?;
        frames = rest;
        match message {
            Sending::Chunk(head) => {
                let at = block.bytes.len() - frames.len();
                let behind = frames.get(length_of(head)?..);
                frames = behind.ok_or_else(|| FlowFault::unexpected("a chunk that is cut off"))?;
                hand.chunk(head, at).await.map_err(|_| stuck())?;
            }
            Sending::EntryEnd { entry, size, digest } => {
                hand.end(entry, End { size, digest }).await.map_err(|_| stuck())?;
            }
            Sending::EntryGone { entry, fault } => hand.gone(entry, fault).await.map_err(|_| stuck())?,
            _ => return Err(FlowFault::unexpected("what is packed")),
        }
    }
    hand.leave().await.map_err(|_| stuck())
}

/// How many bytes a chunk and its hash have.
fn length_of(head: ChunkHead) -> Result<usize, FlowFault> {
    if head.length == 0 || u64::from(head.length) > CHUNK {
        return Err(FlowFault::unexpected("a chunk of this length"));
    }
    Ok(head.length as usize + CHUNK_HASH)
}

/// Reads raw bytes, as fast as they may come.
async fn read_raw<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    length: usize,
    into: &mut Vec<u8>,
    ear: &Ear,
) -> Result<(), FlowFault> {
    let end = into.len() + length;
    while into.len() < end {
        let left = end - into.len();
        let some = if ear.limit.is_set() { left.min(ear.limit.stride()) } else { left };
        if reader.raw(some, into).await? == Came::Now {
            ear.pulse.beat();
        }
        // What is read late is sent late.
        ear.limit.take(some).await;
    }
    Ok(())
}

/// A thread that is gone has said why; that is told instead of this.
fn stuck() -> FlowFault {
    FlowFault::Ours(Fault::new(FaultKind::Disk, "writing failed"))
}

async fn tell(heard: &mpsc::Sender<Heard>, what: Heard) -> Result<(), FlowFault> {
    heard.send(what).await.map_err(|_| FlowFault::unexpected("anything more"))
}
