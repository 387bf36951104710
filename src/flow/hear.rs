//! Hearing a sender: the offer, the manifest, then bytes for the intake.

use std::sync::OnceLock;

use tokio::io::{AsyncRead, ReadHalf};
use tokio::sync::mpsc;

use super::fault::FlowFault;
use super::intake::Intake;
use super::pages::Weighed;
use crate::base::digest::CHUNK;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::Entry;
use crate::disk::partial::End;
use crate::wire::frame::FrameReader;
use crate::wire::limits::{CHUNK_HASH, MAX_ENTRIES, MAX_LEFT_OUT, MAX_MANIFEST, MAX_PAGE};
use crate::wire::message::Sending;

/// What the hearing task tells the speaking one.
pub(super) enum Heard {
    Offer { transfer: TransferId, set: [u8; 32] },
    Page(Vec<Entry>),
    LeftOut(Fault),
    PagesEnd,
    End,
}

/// Hears the sender to its end. Returns only where something is wrong.
pub(super) async fn hear<S>(
    reader: &mut FrameReader<ReadHalf<S>>,
    heard: mpsc::Sender<Heard>,
    intake: &OnceLock<Intake>,
) -> FlowFault
where
    ReadHalf<S>: AsyncRead + Unpin,
{
    match hear_all(reader, &heard, intake).await {
        Err(fault) => fault,
        // Everything came. What else is said is heard and means nothing, so that no unread byte
        // resets the connection under our last words; nor does it matter when the sender hangs up.
        Ok(()) => {
            while reader.next::<Sending>().await.is_ok() {}
            std::future::pending().await
        }
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
    let (mut entries, mut bytes, mut left_out, mut weight) = (0usize, 0u64, 0, 0usize);
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
                // From here on sums of sizes cannot overflow.
                let sum = page.iter().try_fold(bytes, |sum, entry| sum.checked_add(entry.size()));
                bytes = sum.ok_or_else(|| FlowFault::unexpected("a manifest of this many bytes"))?;
                weight += page.iter().map(Weighed::weight).sum::<usize>();
                if page.len() > MAX_PAGE || entries > MAX_ENTRIES || weight > MAX_MANIFEST {
                    return Err(FlowFault::unexpected("a manifest of this size"));
                }
                page.iter().try_for_each(Entry::check).map_err(FlowFault::Ours)?;
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
            let mut bytes = intake.buffer(head.length as usize + CHUNK_HASH);
            reader.raw(head.length as usize + CHUNK_HASH, &mut bytes).await?;
            intake.chunk(head, bytes, room).await.map_err(stuck)?;
        }
        Sending::EntryEnd { entry, size, digest } => {
            intake.end(entry, End { size, digest }).await.map_err(stuck)?;
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
