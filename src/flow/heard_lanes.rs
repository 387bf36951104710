//! The further connections on which a transfer is heard.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::fault::FlowFault;
use super::greet::Session;
use super::hear::{Ear, hear_lane};
use super::lanes::Admission;
use super::receive::lost_thread;
use super::underway::{Place, Underway};
use crate::base::fault::{Fault, FaultKind};
use crate::wire::frame;
use crate::wire::message::Receiving;

/// The further connections of a transfer.
pub(super) struct Lanes<S> {
    /// Where they attach, if this side was dialled.
    pub(super) underway: Option<(Underway<S>, mpsc::Sender<Session<S>>)>,
    pub(super) place: Option<Place<S>>,
    /// Where what lets them in goes, if this side dials.
    pub(super) admit: Option<oneshot::Sender<Admission>>,
    opened: mpsc::Receiver<Session<S>>,
    pub(super) hearing: JoinSet<Result<(), FlowFault>>,
    ended: u32,
    /// How many the sender has used, once it says so.
    pub(super) wanted: Option<u32>,
}

impl<S> Lanes<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(super) fn new(
        underway: Option<(Underway<S>, mpsc::Sender<Session<S>>)>,
        admit: oneshot::Sender<Admission>,
        opened: mpsc::Receiver<Session<S>>,
    ) -> Self {
        Self { underway, place: None, admit: Some(admit), opened, hearing: JoinSet::new(), ended: 0, wanted: None }
    }

    /// Waits until everything the sender has sent was heard: on each lane it used.
    pub(super) async fn all_heard(&mut self, ear: &Ear) -> Result<(), FlowFault> {
        loop {
            if self.wanted.is_some_and(|wanted| self.ended >= wanted) {
                return Ok(());
            }
            let dialled = self.underway.is_none();
            tokio::select! {
                Some(session) = self.opened.recv() => {
                    self.hearing.spawn(attached(session, ear.clone(), dialled));
                }
                Some(ended) = self.hearing.join_next() => {
                    ended.map_err(|_| FlowFault::Ours(lost_thread()))??;
                    self.ended += 1;
                }
                () = replaced(&mut self.place) => {
                    return Err(FlowFault::Ours(Fault::new(FaultKind::Lost, "the sender lost the connection and dialled again")));
                }
            }
        }
    }
}

/// Hears a lane, after agreeing to it where this side was dialled.
async fn attached<S>(mut session: Session<S>, ear: Ear, dialled: bool) -> Result<(), FlowFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !dialled {
        frame::write(&mut session.writer, &Receiving::Accept).await?;
    }
    hear_lane(session, ear).await
}

/// Waits until the same transfer comes again; for ever where it cannot.
async fn replaced<S>(place: &mut Option<Place<S>>) {
    match place {
        Some(place) => place.replaced.stopped().await,
        None => std::future::pending().await,
    }
}
