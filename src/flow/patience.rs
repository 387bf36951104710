//! How long one side bears with another that is alive and brings nothing.

use tokio::time::Instant;

use super::fault::FlowFault;
use crate::base::fault::{Fault, FaultKind};
use crate::wire::limits::{DECIDING, OFFERING, STALLED};

/// The patience with one peer.
#[derive(Debug)]
pub(super) struct Patience {
    /// Since when nothing new has come.
    since: Instant,
    /// What had come by then.
    came: u64,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), came: 0 }
    }

    /// While somebody waits for the whole offer, to decide on it: however much of it comes.
    ///
    /// # Errors
    /// Timed out.
    pub(super) fn offering(&self) -> Result<(), FlowFault> {
        self.within(OFFERING, "the offer was not complete after half an hour")
    }

    /// While the other side makes up its mind about an offer, once it has all of it.
    ///
    /// # Errors
    /// Timed out.
    pub(super) fn deciding(&self) -> Result<(), FlowFault> {
        self.within(DECIDING, "nobody there has answered for long")
    }

    /// `came` grows with whatever comes.
    ///
    /// # Errors
    /// Timed out, where it has not grown for very long.
    pub(super) fn moving(&mut self, came: u64) -> Result<(), FlowFault> {
        if came != self.came {
            *self = Self { since: Instant::now(), came };
        }
        self.within(STALLED, "nothing has come for a day")
    }

    fn within(&self, long: std::time::Duration, text: &str) -> Result<(), FlowFault> {
        if self.since.elapsed() < long {
            return Ok(());
        }
        Err(FlowFault::Ours(Fault::new(FaultKind::TimedOut, text)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_offer_without_an_end_and_a_transfer_that_stands_still_are_given_up() {
        let mut patience = Patience::new();
        tokio::time::advance(OFFERING - Duration::from_secs(1)).await;
        patience.offering().unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(patience.offering().unwrap_err().kind(), FaultKind::TimedOut);
        patience.deciding().unwrap();
        tokio::time::advance(DECIDING - OFFERING).await;
        assert_eq!(patience.deciding().unwrap_err().kind(), FaultKind::TimedOut);
        for came in 1..9 {
            tokio::time::advance(STALLED - Duration::from_secs(1)).await;
            patience.moving(came).unwrap();
        }
        tokio::time::advance(STALLED).await;
        assert_eq!(patience.moving(8).unwrap_err().kind(), FaultKind::TimedOut);
    }
}
