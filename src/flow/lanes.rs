//! Lanes: further connections of one transfer, opened by the side that dialled as long as they pay.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::greet::{Greeted, Session};
use super::limit::Limit;
use super::underway::Underway;
use crate::base::digest::CHUNK;
use crate::base::event::{Progress, Stage};
use crate::base::id::TransferId;
use crate::wire::limits::{GREETING, MAX_FRAME, MAX_LANES};
use crate::wire::message::{Receiving, Request, Sending, Ticket};

/// How many connections a transfer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Connections {
    /// More as long as the last ones made it faster.
    #[default]
    Auto,
    /// So many, if the other side lets us.
    Exactly(u32),
}

/// Makes another connection to the same peer; `None` where that fails.
pub type Dial<S> = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<Greeted<S>>> + Send>> + Send + Sync>;

/// Where further connections come from.
pub enum Further<S> {
    /// From nowhere.
    None,
    /// This side dialled, and dials again.
    Dial(Dial<S>, Connections),
    /// This side was dialled: they attach.
    Attach(Underway<S>),
}

impl<S> fmt::Debug for Further<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Dial(..) => "Dial",
            Self::Attach(_) => "Attach",
        })
    }
}

/// What a transfer begins with of its further connections.
pub(super) struct Opening<S> {
    /// How this side opens them, if it does.
    pub(super) growth: Option<Growth<S>>,
    /// Where they attach, if this side was dialled.
    pub(super) attach: Option<(Underway<S>, mpsc::Sender<Session<S>>)>,
    /// Where what lets them in goes once it is known.
    pub(super) admit: oneshot::Sender<Admission>,
    pub(super) admission: oneshot::Receiver<Admission>,
    /// Those that are open.
    pub(super) opened: mpsc::Receiver<Session<S>>,
}

impl<S> Further<S> {
    /// Begins, with this side as the opener if it dialled.
    pub(super) fn opening(self, opener: Opener, limit: &Limit, progress: watch::Receiver<Progress>) -> Opening<S> {
        let (open, opened) = mpsc::channel(MAX_LANES);
        let (admit, admission) = oneshot::channel();
        let (growth, attach) = match self {
            Self::None => (None, None),
            Self::Dial(dial, connections) => {
                let limit = limit.clone();
                (Some(Growth { dial, connections, opener, limit, progress, opened: open }), None)
            }
            Self::Attach(underway) => (None, Some((underway, open))),
        };
        Opening { growth, attach, admit, admission, opened }
    }
}

/// How long lanes take to reach their rate, and to show it.
const SETTLING: Duration = Duration::from_millis(250);

/// Over how long the rate is measured before and after lanes are opened.
const SPAN: Duration = Duration::from_millis(500);

/// Bytes that tell a rate: they are counted in whole chunks. Where they are slow to come it is measured over more
/// spans, up to so many.
const TELLING: u64 = 4 * CHUNK;
const SPANS: u32 = 3;

/// By how much more lanes must have made it faster for still more to be tried.
const GAIN: f64 = 1.15;

/// Bytes a second: where it is slower, further lanes cost no processor time to speak of.
const SLOW: f64 = 16e6;

/// After how long what did not pay is looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// The part of a limit that must be used up for it to be the limit that holds a transfer back.
const LIMITED: f64 = 0.75;

/// How fast bytes move.
#[derive(Debug, Clone, Copy)]
struct Speed {
    /// Bytes a second.
    rate: f64,
    /// Whether a limit allows no more.
    limited: bool,
}

/// Which side of the transfer opens lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    /// The sender.
    Sender,
    /// The receiver.
    Receiver,
}

/// What lets further connections in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admission {
    pub(super) transfer: TransferId,
    pub(super) ticket: Ticket,
}

/// Lets a transfer grow, where this side opens lanes. Never ends.
pub(super) async fn grow<S: AsyncRead + AsyncWrite + Unpin>(
    growth: Option<Growth<S>>,
    admission: oneshot::Receiver<Admission>,
) -> Infallible {
    if let Some(growth) = growth {
        growth.run(admission).await;
    }
    std::future::pending().await
}

/// What a growing transfer knows.
pub(super) struct Growth<S> {
    dial: Dial<S>,
    connections: Connections,
    opener: Opener,
    limit: Limit,
    progress: watch::Receiver<Progress>,
    /// Where opened lanes go.
    opened: mpsc::Sender<Session<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Growth<S> {
    /// Opens lanes, once they are let in and bytes move.
    async fn run(&self, admission: oneshot::Receiver<Admission>) {
        let Ok(admission) = admission.await else { return };
        if self.progress.clone().wait_for(|p| p.stage >= Stage::Moving).await.is_err() {
            return;
        }
        match self.connections {
            Connections::Exactly(count) => self.open_all(count, admission).await,
            Connections::Auto => self.climb(admission).await,
        }
        // Whoever takes what opens waits for it as long as there may be more.
        std::future::pending().await
    }

    async fn open_all(&self, count: u32, admission: Admission) {
        for _ in 1..count.min(MAX_LANES as u32 + 1) {
            if !self.open(admission).await {
                return;
            }
        }
    }

    /// Twice as many, or four times as many where it is slow, as long as that pays, and again once it has become
    /// much slower.
    async fn climb(&self, admission: Admission) {
        let (mut count, mut best) = (1, self.speed().await);
        while count <= MAX_LANES && !self.is_nearly_done(best.rate) {
            if best.limited {
                best = self.halved(best.rate).await;
                continue;
            }
            let more = if best.rate < SLOW { 3 * count } else { count };
            for _ in 0..more {
                if !self.open(admission).await {
                    return;
                }
            }
            count += more;
            let pays = best.rate * GAIN;
            let mut now = self.speed().await;
            // A loss at the wrong moment makes them look useless: they are given a second one.
            if now.rate < pays {
                let again = self.speed().await;
                now = if again.rate > now.rate { again } else { now };
            }
            best = if now.rate < pays { self.halved(best.rate.max(now.rate)).await } else { now };
        }
    }

    /// Waits until it is less than half as fast as it was; says how fast it is then.
    async fn halved(&self, best: f64) -> Speed {
        loop {
            sleep(AGAIN).await;
            let now = self.speed().await;
            if now.rate < best / 2.0 {
                return now;
            }
        }
    }

    /// What is nearly done needs no more hands.
    fn is_nearly_done(&self, rate: f64) -> bool {
        let now = self.progress.borrow();
        let left = now.bytes.saturating_sub(now.bytes_kept + now.bytes_moved);
        (left as f64) < rate * 2.0 * (SETTLING + SPAN).as_secs_f64()
    }

    /// How fast bytes move now. What does not move, as while files are compared, does not move faster on more
    /// connections.
    async fn speed(&self) -> Speed {
        loop {
            // What the system's buffers take at first has not moved yet.
            sleep(SETTLING).await;
            let (begun, before, granted) = (Instant::now(), self.progress.borrow().bytes_moved, self.limit.granted());
            let mut moved = 0;
            for _ in 0..SPANS {
                sleep(SPAN).await;
                moved = self.progress.borrow().bytes_moved.saturating_sub(before);
                if moved >= TELLING {
                    break;
                }
            }
            if moved > 0 {
                let took = begun.elapsed().as_secs_f64();
                let allowed = self.limit.granted().saturating_sub(granted).as_secs_f64();
                return Speed { rate: moved as f64 / took, limited: allowed >= took * LIMITED };
            }
        }
    }

    /// Opens one lane; `false` where there can be no more.
    async fn open(&self, Admission { transfer, ticket }: Admission) -> bool {
        let Some(greeted) = (self.dial)().await else { return false };
        let attach = Request::Attach { transfer, ticket };
        let Ok(mut session) = greeted.ask(attach).await else { return false };
        let agreed = match self.opener {
            Opener::Sender => {
                let said = session.reader.next_within::<Receiving>(GREETING, MAX_FRAME).await;
                matches!(said, Ok(Receiving::Accept))
            }
            Opener::Receiver => {
                let said = session.reader.next_within::<Sending>(GREETING, MAX_FRAME).await;
                matches!(said, Ok(Sending::KeepAlive))
            }
        };
        agreed && self.opened.send(session).await.is_ok()
    }
}
