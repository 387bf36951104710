//! What a sender writes: the offer, the manifest as it is walked, and batches of frames, these on
//! as many lanes as there are.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::fault::FlowFault;
use super::frames::{Batch, Queue};
use super::greet::Session;
use super::ledger::Ledger;
use super::limit::Limit;
use super::outgoing::{Equality, Outgoing};
use super::underway::Pulse;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::{Entry, Have};
use crate::wire::frame::{self, FrameFault};
use crate::wire::limits::{GREETING, IDLE, KEEP_ALIVE, STANDING};
use crate::wire::message::{Sending, Ticket};

/// Writes whole frames, one after another. What a dropped wait left half-way is finished first.
#[derive(Debug)]
pub(super) struct Mouth<W> {
    writer: W,
    limit: Limit,
    /// What is being written, and how much of it is.
    half: Option<(Batch, usize)>,
    /// Bytes that the limit has granted and that are not used yet.
    granted: usize,
    /// When the other side was last heard: who speaks is alive, and may take what it is sent slowly.
    pulse: Pulse,
    /// When the other side has heard nothing for too long.
    quiet: Instant,
}

impl<W: AsyncWrite + Unpin> Mouth<W> {
    pub(super) fn new(writer: W, limit: Limit, pulse: Pulse) -> Self {
        Self { writer, limit, half: None, granted: 0, pulse, quiet: Instant::now() + KEEP_ALIVE }
    }

    /// Writes a batch; flushes it where nothing follows at once.
    async fn batch(&mut self, batch: Batch, queue: &Queue) -> Result<(), FrameFault> {
        self.half = Some((batch, 0));
        self.finish().await?;
        if let Some((batch, _)) = self.half.take() {
            queue.written(batch);
        }
        if queue.is_idle() { self.flush().await } else { Ok(()) }
    }

    /// Writes a message and flushes it.
    pub(super) async fn say(&mut self, message: &Sending) -> Result<(), FrameFault> {
        let mut frames = Vec::new();
        frame::encode(message, &mut frames)?;
        self.frames(frames).await
    }

    /// Writes frames and flushes them.
    pub(super) async fn frames(&mut self, frames: Vec<u8>) -> Result<(), FrameFault> {
        self.finish().await?;
        self.half = Some((Batch::Own(frames), 0));
        self.finish().await?;
        self.half = None;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), FrameFault> {
        let since = Instant::now();
        loop {
            match timeout(IDLE, self.writer.flush()).await {
                Ok(flushed) => return Ok(flushed?),
                Err(_) => self.bear(since)?,
            }
        }
    }

    /// Whether to go on with a side that has taken nothing since then.
    fn bear(&self, since: Instant) -> Result<(), FrameFault> {
        if self.pulse.is_silent(IDLE) {
            return Err(FrameFault::Silent(IDLE));
        }
        if since.elapsed() >= STANDING { Err(FrameFault::Silent(STANDING)) } else { Ok(()) }
    }

    /// Says that nothing more comes; a failure here changes nothing any more.
    pub(super) async fn close(&mut self) {
        let _ = timeout(GREETING, self.writer.shutdown()).await;
    }

    /// Writes what is not written yet of a batch that was begun.
    async fn finish(&mut self) -> Result<(), FrameFault> {
        let mut since = Instant::now();
        while let Some((batch, at)) = &self.half
            && let Some(rest) = batch.bytes().get(*at..).filter(|rest| !rest.is_empty())
        {
            let mut stride = rest.len();
            if self.limit.is_set() {
                if self.granted == 0 {
                    let wanted = stride.min(self.limit.stride());
                    self.limit.take(wanted).await;
                    self.granted = wanted;
                    since = Instant::now();
                }
                stride = self.granted.min(stride);
            }
            let written = match timeout(IDLE, self.writer.write(&rest[..stride])).await {
                Ok(written) => written?,
                Err(_) => {
                    self.bear(since)?;
                    continue;
                }
            };
            if written == 0 {
                return Err(FrameFault::Ended);
            }
            since = Instant::now();
            self.granted = self.granted.saturating_sub(written);
            if let Some((_, at)) = &mut self.half {
                *at += written;
            }
        }
        self.quiet = Instant::now() + KEEP_ALIVE;
        Ok(())
    }
}

/// What a sender says on its first connection: everything but the bytes that other lanes take.
pub(super) struct Speaker<'a> {
    pub(super) outgoing: &'a Outgoing,
    pub(super) ledger: &'a Ledger,
    pub(super) queue: &'a Queue,
    /// The transfer and its set.
    pub(super) offer: (TransferId, [u8; 32]),
    pub(super) ticket: Option<Ticket>,
    /// Wakes the pump once the manifest is told.
    pub(super) told: mpsc::UnboundedSender<Vec<Have>>,
}

impl Speaker<'_> {
    /// Speaks to the end, then keeps the connection alive. Ends only where something fails.
    pub(super) async fn run<W: AsyncWrite + Unpin>(self, mouth: &mut Mouth<W>) -> FlowFault {
        match self.speak(mouth).await {
            Ok(never) => match never {},
            Err(fault) => fault,
        }
    }

    async fn speak<W: AsyncWrite + Unpin>(&self, mouth: &mut Mouth<W>) -> Result<Infallible, FlowFault> {
        open(mouth, self.outgoing, self.offer, self.ticket).await?;
        let mut telling = Telling::new(self.outgoing, |entries, block: &[Entry]| {
            self.ledger.tell(entries);
            self.ledger.count(|p| {
                p.entries += block.len() as u64;
                p.bytes += block.iter().map(Entry::size).sum::<u64>();
            });
        });
        let (mut more, mut ended) = (true, false);
        loop {
            let quiet = mouth.quiet;
            tokio::select! {
                frames = telling.next(), if !telling.over => {
                    mouth.frames(frames).await?;
                    if telling.over {
                        let _ = self.told.send(Vec::new());
                    }
                }
                batch = self.queue.next(), if more => match batch {
                    Some(batch) => mouth.batch(batch, self.queue).await?,
                    None => more = false,
                },
                () = sleep_until(quiet) => mouth.say(&Sending::KeepAlive).await?,
            }
            if !more && telling.over && !ended {
                ended = true;
                self.end(mouth).await?;
            }
        }
    }

    async fn end<W: AsyncWrite + Unpin>(&self, mouth: &mut Mouth<W>) -> Result<(), FlowFault> {
        if !self.ledger.is_finished() {
            return Err(FlowFault::Ours(Fault::new(FaultKind::Other, "a thread of this program ended unexpectedly")));
        }
        match self.ledger.close_lanes() {
            0 => {}
            lanes => mouth.say(&Sending::Lanes(lanes)).await?,
        }
        Ok(mouth.say(&Sending::End).await?)
    }
}

/// Opens a transfer: the offer, and how it is to be taken.
pub(super) async fn open<W: AsyncWrite + Unpin>(
    mouth: &mut Mouth<W>,
    outgoing: &Outgoing,
    (transfer, set): (TransferId, [u8; 32]),
    ticket: Option<Ticket>,
) -> Result<(), FrameFault> {
    mouth.say(&Sending::Offer { transfer, set }).await?;
    if outgoing.equality == Equality::Content {
        mouth.say(&Sending::ByContent).await?;
    }
    match ticket {
        Some(ticket) => mouth.say(&Sending::Ticket(ticket)).await,
        None => Ok(()),
    }
}

/// What has been told of the manifest, and what is to be told next.
pub(super) struct Telling<'a, F> {
    outgoing: &'a Outgoing,
    /// Hears how many entries are told, and the last of them, before the receiver does.
    note: F,
    news: watch::Receiver<()>,
    entries: usize,
    passed: usize,
    pub(super) over: bool,
}

impl<'a, F: FnMut(usize, &[Entry])> Telling<'a, F> {
    pub(super) fn new(outgoing: &'a Outgoing, note: F) -> Self {
        Self { outgoing, note, news: outgoing.walked().news(), entries: 0, passed: 0, over: false }
    }

    /// What is to be told next, once it is known. Cancel-safe.
    pub(super) async fn next(&mut self) -> Vec<u8> {
        loop {
            if let Some(message) = self.message() {
                let mut frames = Vec::new();
                // A block is closed long before its page outgrows a frame.
                let _ = frame::encode(&message, &mut frames);
                return frames;
            }
            if self.news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn message(&mut self) -> Option<Sending> {
        let known = self.outgoing.walked().state();
        while let Some(passed) = known.passed.get(self.passed) {
            self.passed += 1;
            // What travels under another name, or not because nobody wants it to, is passed over.
            if let Some(fault) = passed.left_out() {
                return Some(Sending::LeftOut(fault.clone()));
            }
        }
        if let Some((first, block)) = known.entries.block_at(self.entries) {
            let (block, end) = (Arc::clone(block), first + block.len());
            drop(known);
            self.entries = end;
            (self.note)(end, &block);
            return Some(Sending::Page(block.to_vec()));
        }
        if known.over {
            self.over = true;
            return Some(Sending::PagesEnd { entries: known.entries.len() as u64, bytes: known.entries.bytes() });
        }
        None
    }
}

/// Speaks on every lane that opens. Ends only where one of them fails.
pub(super) async fn on_lanes<S>(
    mut opened: mpsc::Receiver<Session<S>>,
    queue: &Arc<Queue>,
    ledger: &Arc<Ledger>,
    limit: &Limit,
) -> FlowFault
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut lanes = JoinSet::new();
    loop {
        tokio::select! {
            Some(session) = opened.recv() => {
                if ledger.open_lane() {
                    let mouth = (limit.clone(), ledger.pulse.clone());
                    lanes.spawn(on_lane(session, queue.clone(), mouth));
                }
            }
            Some(ended) = lanes.join_next() => {
                if let Ok(Err(fault)) = ended {
                    return fault;
                }
            }
            else => std::future::pending().await,
        }
    }
}

async fn on_lane<S>(session: Session<S>, queue: Arc<Queue>, (limit, pulse): (Limit, Pulse)) -> Result<(), FlowFault>
where
    S: AsyncRead + AsyncWrite,
    WriteHalf<S>: AsyncWrite + Unpin,
{
    let Session { writer, .. } = session;
    let mut mouth = Mouth::new(writer, limit, pulse);
    // Also what agrees to it, where the other side opened it.
    mouth.say(&Sending::KeepAlive).await?;
    loop {
        let quiet = mouth.quiet;
        tokio::select! {
            batch = queue.next() => match batch {
                Some(batch) => mouth.batch(batch, &queue).await?,
                None => break,
            },
            () = sleep_until(quiet) => mouth.say(&Sending::KeepAlive).await?,
        }
    }
    mouth.say(&Sending::End).await?;
    mouth.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;

    use super::*;

    /// Takes so many bytes each time, and is heard all the while.
    async fn written_to(take: usize, every: Duration) -> Result<(), FrameFault> {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let pulse = Pulse::new();
        let mut mouth = Mouth::new(ours, Limit::none(), pulse.clone());
        let alive = async {
            loop {
                tokio::time::sleep(KEEP_ALIVE).await;
                pulse.beat();
            }
        };
        let taken = async {
            let mut some = vec![0; take];
            loop {
                tokio::time::sleep(every).await;
                theirs.read_exact(&mut some).await.unwrap();
            }
        };
        tokio::select! {
            written = mouth.frames(vec![7; 200]) => written,
            never = alive => never,
            never = taken => never,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_little_is_borne_with_and_who_takes_nothing_is_not_for_ever() {
        written_to(1, STANDING - IDLE).await.unwrap();
        let fault = written_to(0, KEEP_ALIVE).await.unwrap_err();
        assert!(matches!(fault, FrameFault::Silent(STANDING)), "{fault}");
    }
}
