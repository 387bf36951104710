//! How a hub is run from its own machine: requests and answers as JSON lines, over a socket that only
//! its owner can open, or straight to the repository where no hub runs.

pub mod desk;
pub mod holdings;
pub mod lines;
mod manage;
pub mod message;
pub mod reread;
pub mod socket;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::mpsc;

use self::message::{Answer, Request};
use crate::base::fault::Fault;

/// Whoever does what is asked.
pub trait Handler: Send + Sync + 'static {
    /// Does it, and tells what comes of it. Dropped where whoever asked has gone.
    ///
    /// # Errors
    /// Why it is not done, or only in part.
    fn answer(
        &self,
        request: Request,
        answers: &mpsc::Sender<Answer>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

impl<H: Handler> Handler for Arc<H> {
    fn answer(
        &self,
        request: Request,
        answers: &mpsc::Sender<Answer>,
    ) -> impl Future<Output = Result<(), Fault>> + Send {
        H::answer(self, request, answers)
    }
}
