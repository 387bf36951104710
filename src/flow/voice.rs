//! What a receiver says: message by message, and often enough that it is not taken for gone.

use std::future::Future;
use std::pin::pin;

use tokio::io::AsyncWrite;
use tokio::time::{Instant, sleep, timeout};

use super::fault::FlowFault;
use crate::base::fault::Fault;
use crate::wire::frame;
use crate::wire::limits::{GREETING, KEEP_ALIVE};
use crate::wire::message::Receiving;

/// The receiver's voice on the first connection of a transfer.
#[derive(Debug)]
pub(super) struct Voice<W> {
    writer: W,
    last: Instant,
    /// Whether a message was broken off: whatever followed would be taken for the rest of it.
    broken_off: bool,
}

impl<W: AsyncWrite + Unpin> Voice<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer, last: Instant::now(), broken_off: false }
    }

    pub(super) async fn say(&mut self, message: &Receiving) -> Result<(), FlowFault> {
        (self.last, self.broken_off) = (Instant::now(), true);
        frame::write(&mut self.writer, message).await?;
        self.broken_off = false;
        Ok(())
    }

    /// Says that this side is alive, where it has said nothing for a while.
    pub(super) async fn keep_alive(&mut self) -> Result<(), FlowFault> {
        if self.last.elapsed() < KEEP_ALIVE { Ok(()) } else { self.say(&Receiving::KeepAlive).await }
    }

    /// Waits for something, and says meanwhile that this side is alive.
    pub(super) async fn alive_until<T>(&mut self, done: impl Future<Output = T>) -> Result<T, FlowFault> {
        let mut done = pin!(done);
        loop {
            tokio::select! {
                biased;
                done = &mut done => return Ok(done),
                () = sleep(KEEP_ALIVE) => self.say(&Receiving::KeepAlive).await?,
            }
        }
    }

    /// Says why the transfer ends, if it still can; a failure here changes nothing any more.
    pub(super) async fn abort(&mut self, fault: Fault) {
        if !self.broken_off {
            let _ = timeout(GREETING, self.say(&Receiving::Abort(fault))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::base::fault::FaultKind;

    /// Else the other side would take this for software that speaks something else.
    #[tokio::test(start_paused = true)]
    async fn nothing_follows_a_message_that_was_broken_off() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut voice = Voice::new(ours);
        let long = Receiving::Decline { kind: FaultKind::Other, reason: "x".repeat(100).into() };
        timeout(KEEP_ALIVE, voice.say(&long)).await.unwrap_err();
        voice.abort(Fault::new(FaultKind::Disk, "the disk is full")).await;
        drop(voice);
        let mut said = Vec::new();
        theirs.read_to_end(&mut said).await.unwrap();
        assert_eq!(said.len(), 8);
    }
}
