//! The further connections on which a transfer is heard.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::fault::{FlowFault, lost_thread};
use super::greet::Session;
use super::hear::{Ear, Lane, hear_lane};
use super::lanes::Admission;
use super::underway::{Place, Underway};
use crate::base::fault::{Fault, FaultKind};
use crate::wire::frame;
use crate::wire::limits::{IDLE, MAX_LANES};
use crate::wire::message::Receiving;

/// The further connections of a transfer.
pub(super) struct Lanes<S> {
    /// Where they attach, if this side was dialled.
    pub(super) underway: Option<(Underway<S>, mpsc::Sender<Session<S>>)>,
    pub(super) place: Option<Place<S>>,
    /// Where what lets them in goes, if this side dials.
    pub(super) admit: Option<oneshot::Sender<Admission>>,
    opened: mpsc::Receiver<Session<S>>,
    pub(super) hearing: JoinSet<Result<Lane, FlowFault>>,
    ended: u32,
    /// How many the sender has used, once it says so, and until when they may come.
    wanted: Option<(u32, Instant)>,
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

    /// Everything was sent, on so many lanes.
    pub(super) fn over(&mut self, lanes: u32) {
        self.wanted = Some((lanes, Instant::now() + IDLE));
    }

    /// Waits until everything the sender has sent was heard: on each lane it used.
    pub(super) async fn all_heard(&mut self, ear: &Ear) -> Result<(), FlowFault> {
        loop {
            if self.wanted.is_some_and(|(wanted, _)| self.ended >= wanted) {
                return Ok(());
            }
            let dialled = self.underway.is_none();
            // As long as any is heard, its own silence is what ends the waiting.
            let until = self.wanted.map(|(_, until)| until).filter(|_| self.hearing.is_empty());
            tokio::select! {
                Some(session) = self.opened.recv() => {
                    if self.hearing.len() + self.ended as usize >= MAX_LANES {
                        continue;
                    }
                    self.hearing.spawn(attached(session, ear.clone(), dialled));
                }
                Some(ended) = self.hearing.join_next() => {
                    let lane = ended.map_err(|_| FlowFault::Ours(lost_thread()))??;
                    self.ended += u32::from(lane == Lane::Used);
                }
                () = passed(until) => {
                    // Lost on its way, most likely: dialled again, it may come.
                    return Err(FlowFault::Ours(Fault::new(FaultKind::Lost, "a connection never came")));
                }
                () = replaced(&mut self.place) => {
                    return Err(FlowFault::Ours(Fault::new(FaultKind::Lost, "the sender lost the connection and dialled again")));
                }
            }
        }
    }
}

/// Hears a lane, after agreeing to it where this side was dialled.
async fn attached<S>(mut session: Session<S>, ear: Ear, dialled: bool) -> Result<Lane, FlowFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if dialled {
        // The sender has agreed to it.
        return hear_lane(session, ear, Lane::Used).await;
    }
    if frame::write(&mut session.writer, &Receiving::Accept).await.is_err() {
        return Ok(Lane::Unused);
    }
    hear_lane(session, ear, Lane::Unused).await
}

/// Waits until a moment has passed; for ever where there is none.
async fn passed(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits until the same transfer comes again; for ever where it cannot.
async fn replaced<S>(place: &mut Option<Place<S>>) {
    match place {
        Some(place) => place.replaced.stopped().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::flow::limit::Limit;
    use crate::flow::underway::Pulse;

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_was_told_of_and_never_comes_is_not_waited_for_without_an_end() {
        let (_open, opened) = mpsc::channel(MAX_LANES);
        let mut lanes = Lanes::<tokio::io::DuplexStream>::new(None, oneshot::channel().0, opened);
        let ear = Ear { intake: Arc::default(), limit: Limit::none(), pulse: Pulse::new() };
        lanes.over(1);
        let begun = Instant::now();
        // As it is waited for: asked again and again, between other things.
        let fault = loop {
            tokio::select! {
                heard = lanes.all_heard(&ear) => break heard.unwrap_err(),
                () = tokio::time::sleep(IDLE / 100) => {}
            }
        };
        assert_eq!(fault.kind(), FaultKind::Lost);
        assert!(begun.elapsed() <= IDLE * 2);
        lanes.over(0);
        lanes.all_heard(&ear).await.unwrap();
    }
}
