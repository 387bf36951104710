//! The hub's own hand: what it holds goes out to peers, in the hub's name.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::base::event::Progress;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::path::RelPath;
use crate::base::text::PeerText;
use crate::cli::context::Context;
use crate::cli::deliver::{Delivered, Delivery, Dialled};
use crate::cli::outcome::{Exit, Failure, of_summary};
use crate::cli::receivers::{self, Receiver, Roll, To};
use crate::cli::redial::Connecting;
use crate::cli::report;
use crate::flow::outgoing::{Audience, Manner, Outgoing};
use crate::flow::stop::Stopper;
use crate::hub::Hub;
use crate::hub::control::desk::Courier;
use crate::hub::control::message::Answer;
use crate::hub::event::Guest;
use crate::hub::status::Way;

/// How often is told how far it is.
const EACH: Duration = Duration::from_millis(250);

/// As `ftx push` does it where nothing else is said.
const CONNECTING: Connecting = Connecting { connections: None, retry: 20 };

/// Sends for a hub.
#[derive(Debug)]
pub struct Messenger {
    /// The hub.
    pub hub: Arc<Hub>,
    /// What it is run with.
    pub context: Context,
}

/// Has what is under way stop when it is dropped.
#[derive(Debug, Default)]
struct StopsWithIt(Stopper);

impl Drop for StopsWithIt {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What goes to each receiver.
#[derive(Debug, Clone)]
struct Parcel {
    hub: Arc<Hub>,
    context: Arc<Context>,
    paths: Arc<[RelPath]>,
    outgoing: Arc<Outgoing>,
    roll: Arc<Roll>,
    told: mpsc::Sender<Answer>,
}

impl Courier for Messenger {
    fn send(
        &self,
        paths: Vec<RelPath>,
        receivers: Option<String>,
        told: mpsc::Sender<Answer>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + '_>> {
        Box::pin(self.hand_out(paths, receivers, told))
    }
}

impl Messenger {
    async fn hand_out(
        &self,
        paths: Vec<RelPath>,
        receivers: Option<String>,
        told: mpsc::Sender<Answer>,
    ) -> Result<(), Fault> {
        let (hub, wanted) = (self.hub.clone(), paths.clone());
        let ended = |_| Fault::new(FaultKind::Other, "a thread of the hub ended unexpectedly");
        let source = spawn_blocking(move || hub.handed_out(&wanted)).await.map_err(ended)??;
        let stops = StopsWithIt::default();
        let context = self.context.for_another(self.hub.me.clone(), self.hub.tls.clone(), stops.0.listen());
        let typed = receivers.clone().unwrap_or_else(|| "everybody".to_owned());
        let to = receivers.map_or(Ok(To::All), |named| To::named(&named));
        let found = match to {
            Ok(to) => receivers::find(&context, to).await,
            Err(failure) => Err(failure),
        };
        let receivers = match found {
            Ok(receivers) => receivers,
            Err(failure) => {
                let _ = told.send(failed(typed, &failure)).await;
                return Ok(());
            }
        };
        let audience = if receivers.len() > 1 { Audience::Several } else { Audience::One };
        let manner = Manner { audience, limit: self.hub.limit.clone(), ..Manner::default() };
        let parcel = Parcel {
            hub: self.hub.clone(),
            context: Arc::new(context),
            paths: paths.into(),
            outgoing: Outgoing::start(source, manner),
            roll: Arc::default(),
            told,
        };
        // Tasks of their own: each receiver is told where the sending stops half-way.
        let deliveries: Vec<_> = receivers
            .into_iter()
            .map(|receiver| {
                let parcel = parcel.clone();
                tokio::spawn(async move { parcel.deliver(&receiver).await })
            })
            .collect();
        for delivery in deliveries {
            delivery.await.map_err(|_| Fault::new(FaultKind::Other, "a task of the hub ended unexpectedly"))?;
        }
        drop(stops);
        Ok(())
    }
}

impl Parcel {
    async fn deliver(&self, receiver: &Receiver) {
        let answer = match self.carry(receiver).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(failure) => failed(receiver.shown.clone(), &failure),
        };
        // Whoever asked may have gone.
        let _ = self.told.send(answer).await;
    }

    /// Nothing is told of a receiver that is one that gets it already.
    async fn carry(&self, receiver: &Receiver) -> Result<Option<Answer>, Failure> {
        let Some(dialled) = Dialled::reach(&self.context, receiver, &self.roll).await? else { return Ok(None) };
        let member = self.hub.register.read(|records| records.member(&dialled.peer.id()));
        let guest = Guest::new(&dialled.peer, member.map(|member| member.account));
        let (progress, watched) = watch::channel(Progress::default());
        let path = self.paths.first().cloned();
        let moving = self.hub.activity.moving(guest.clone(), Way::Out, path, watched.clone());
        let delivery = Delivery { outgoing: self.outgoing.clone(), connecting: CONNECTING };
        let delivered = tokio::select! {
            delivered = dialled.send(&delivery, TransferId::new(), &progress) => delivered,
            never = self.tell_progress(receiver, watched) => match never {},
        };
        drop(moving);
        let Delivered { sent, .. } = delivered?;
        self.hub.sent(&guest, &self.paths, &sent.summary).await;
        let exit = of_summary(&sent.summary, report::unreadable(&sent.passed));
        let verdict = report::verdict(&sent.summary, &sent.passed).as_str();
        let good = sent.summary.each().filter(|(entry, outcome)| entry.has_bytes() && outcome.is_good());
        Ok(Some(Answer::Sent {
            receiver: receiver.shown.clone().into(),
            code: exit as u8,
            failed: (exit != Exit::Done).then(|| verdict.into()),
            files: good.count() as u64,
            bytes: sent.summary.bytes_moved,
        }))
    }

    /// Tells how far it is. Never ends.
    async fn tell_progress(&self, receiver: &Receiver, mut progress: watch::Receiver<Progress>) -> Infallible {
        while progress.changed().await.is_ok() {
            let Progress { stage, bytes, bytes_moved: moved, bytes_kept: kept, .. } = *progress.borrow_and_update();
            let receiver = receiver.shown.clone().into();
            if self.told.send(Answer::Sending { receiver, stage, bytes, moved, kept }).await.is_err() {
                break;
            }
            sleep(EACH).await;
        }
        std::future::pending().await
    }
}

fn failed(receiver: String, failure: &Failure) -> Answer {
    let text = match failure.cause.as_str() {
        "" => failure.error.clone(),
        cause => format!("{} ({cause})", failure.error),
    };
    let failed = Some(PeerText::new(text));
    Answer::Sent { receiver: receiver.into(), code: failure.exit as u8, failed, files: 0, bytes: 0 }
}
