//! Sending to one receiver: reached, sent, dialled again where it is lost, told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;

use super::context::Context;
use super::handed_in;
use super::outcome::{Exit, Failure};
use super::plan::{self, Way};
use super::reach::{Reached, note_met, reach, tell_first_contact};
use super::receivers::{Receiver, Roll};
use super::redial::{Again, Connecting, Redial};
use super::report;
use super::ui::bars;
use crate::base::book::Trust;
use crate::base::event::{Progress, Stage};
use crate::base::fault::FaultKind;
use crate::base::id::{Role, TransferId};
use crate::flow;
use crate::flow::fault::FlowFault;
use crate::flow::greet::Peer;
use crate::flow::outgoing::Outgoing;
use crate::flow::preview::Preview;
use crate::flow::send::{Sent, send};
use crate::flow::words::KeyWords;
use crate::wire::message::Request;

/// What is sent, and how.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What.
    pub outgoing: Arc<Outgoing>,
    /// How the network is used.
    pub connecting: Connecting,
}

/// A receiver that has been reached.
#[derive(Debug)]
pub struct Dialled<'a> {
    context: &'a Context,
    receiver: &'a Receiver,
    reached: Reached,
    /// Who it is.
    pub peer: Peer,
    /// Its name, for messages.
    pub shown: String,
}

/// What came of sending to it.
#[derive(Debug)]
pub struct Delivered {
    /// What it has now.
    pub sent: Sent,
    /// How long it took, without the time that a person took to answer.
    pub took: Duration,
}

impl<'a> Dialled<'a> {
    /// Reaches a receiver; nothing where it turns out to be one that has been reached.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn reach(context: &'a Context, receiver: &'a Receiver, roll: &Roll) -> Result<Option<Self>, Failure> {
        let reached = reach_first(context, receiver).await?;
        let (peer, shown) = (reached.peer().clone(), reached.shown.clone());
        let _ = receiver.met.set(peer.id());
        if !roll.is_new(peer.id(), receiver.folder.as_ref()) {
            context.printer.note(&format!("{} is {shown} once more, and gets it once", receiver.shown));
            return Ok(None);
        }
        check_folder(receiver, &peer)?;
        Ok(Some(Self { context, receiver, reached, peer, shown }))
    }

    /// Sends to it, and dials it again where it is lost.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(
        self,
        delivery: &Delivery,
        transfer: TransferId,
        progress: &watch::Sender<Progress>,
    ) -> Result<Delivered, Failure> {
        let Self { context, receiver, mut reached, peer, shown } = self;
        let address = reached.address;
        let mut redial = Redial::new(context, Again::Named(&receiver.peer), peer.id(), delivery.connecting);
        let begun = Begun::now();
        let sent = loop {
            let fault = match attempt(context, (receiver, reached), delivery, (transfer, progress), &begun).await {
                Ok(sent) => break Ok(sent),
                Err(fault) => fault,
            };
            if !delivery.outgoing.is_repeatable() {
                break Err(Failure::flow(&shown, &fault).of_a_pipe());
            }
            match redial.again(&fault, &shown, progress).await {
                Ok(again) => reached = again,
                Err(failure) => break Err(failure),
            }
        };
        let mut sent = sent.map_err(|failure| at(&peer, &shown, failure))?;
        note_met(context, &peer, address);
        sent.summary.bytes_moved += redial.moved;
        Ok(Delivered { sent, took: begun.elapsed() })
    }
}

/// Sends to one receiver, and tells how it went; nothing where it is one that gets it already.
///
/// # Errors
/// See [`Failure`].
pub async fn deliver(
    context: &Context,
    receiver: &Receiver,
    delivery: Delivery,
    roll: &Roll,
) -> Result<Option<Exit>, Failure> {
    let printer = &context.printer;
    let Some(dialled) = Dialled::reach(context, receiver, roll).await? else { return Ok(None) };
    let (peer, shown) = (dialled.peer.clone(), dialled.shown.clone());
    let (progress, watched) = watch::channel(Progress::default());
    let transfer = TransferId::new();
    let bar = bars::draw(printer, format!("→ {shown}"), watched.clone());
    let delivered = dialled.send(&delivery, transfer, &progress).await;
    drop(progress);
    let _ = bar.await;
    let Delivered { sent, took } = delivered.map_err(|failure| {
        if !delivery.outgoing.is_repeatable() {
            return failure;
        }
        let kept = report::kept(&watched.borrow());
        if !kept.is_empty() {
            printer.note(&format!("{shown} {kept}"));
        }
        failure.keeping(&watched.borrow())
    })?;
    report::exceptions(printer, &sent.summary, &sent.passed);
    let verdict = report::verdict(&sent.summary, &sent.passed).as_str();
    let line = format!("{verdict} at {shown}: {}", report::line(&sent.summary, took));
    report::finished(printer, &line, ("pushed", &peer), (&sent.summary, &sent.passed), took);
    let exit = report::judged(printer, &sent.summary, &sent.passed);
    if peer.role == Role::Hub {
        match &receiver.folder {
            Some(_) => handed_in::keep(context, receiver, &peer, transfer).await,
            None => handed_in::tell_folder(context, receiver).await,
        }
    }
    Ok(Some(exit))
}

/// Only a hub has folders to push to.
fn check_folder(receiver: &Receiver, peer: &Peer) -> Result<(), Failure> {
    match &receiver.folder {
        Some(folder) if peer.role == Role::Peer => {
            let text = format!("{} is no hub, and has no {folder} to push to; nothing was sent", receiver.shown);
            Err(Failure::new(Exit::Usage, text)
                .cause("at a person's machine its owner decides where things go")
                .hint(format!("without the path: ftx push … {}", receiver.peer)))
        }
        _ => Ok(()),
    }
}

/// How a failure at this receiver is told.
fn at(peer: &Peer, shown: &str, failure: Failure) -> Failure {
    if peer.role == Role::Hub { failure.at_hub(shown) } else { failure }
}

async fn reach_first(context: &Context, receiver: &Receiver) -> Result<Reached, Failure> {
    tokio::select! {
        reached = reach(context, &receiver.peer) => reached,
        () = context.interrupted() => Err(Failure::new(Exit::Interrupted, "interrupted; nothing was sent")),
    }
}

/// When bytes began to move: the time that a person takes to answer does not count.
#[derive(Debug, Clone)]
struct Begun(Arc<Mutex<Instant>>);

impl Begun {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn again(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// One connection's try.
async fn attempt(
    context: &Context,
    (receiver, reached): (&Receiver, Reached),
    delivery: &Delivery,
    (transfer, progress): (TransferId, &watch::Sender<Progress>),
    begun: &Begun,
) -> Result<Sent, FlowFault> {
    let further = delivery.connecting.further(context, &reached);
    let (shown, trust, address) = (reached.shown, reached.trust, reached.address);
    let session = reached.greeted.ask(receiver.folder.clone().map_or(Request::Push, Request::PushTo)).await?;
    let met = (trust, (session.peer.clone(), address), session.words.clone());
    let told = tell_asking(context, progress.subscribe(), &shown, met, begun);
    let outgoing = delivery.outgoing.clone();
    tokio::select! {
        sent = send(session, outgoing, transfer, further, progress.clone(), context.stop.clone()) => sent,
        never = told => match never {},
    }
}

/// Says that a person is being asked, and the key words to compare, also where nobody is asked and the peer is
/// a stranger. Both sides have met once it is accepted, and the time taken counts from then on. Never ends.
async fn tell_asking(
    context: &Context,
    mut progress: watch::Receiver<Progress>,
    shown: &str,
    (trust, (peer, address), words): (Trust, (Peer, SocketAddr), KeyWords),
    begun: &Begun,
) -> Infallible {
    let asking = |p: &Progress| matches!(p.stage, Stage::Asking | Stage::Moving | Stage::Settling);
    let Ok(stage) = progress.wait_for(asking).await.map(|p| p.stage) else { return std::future::pending().await };
    if stage != Stage::Asking {
        tell_first_contact(context, trust, (&peer, address), &words);
    } else {
        context.printer.note(&format!("waiting for {shown} to accept"));
        // Whatever we think of it, it may be asked to compare them.
        context.printer.note(&report::key_words(&words, &peer));
        let who = report::peer(&peer);
        context.printer.object(|| json!({ "event": "asking", "peer": who, "key_words": words.to_string() }));
        if progress.wait_for(|p| p.stage > Stage::Asking).await.is_ok() {
            begun.again();
            note_met(context, &peer, address);
        }
    }
    std::future::pending().await
}

/// Tells what would be sent to one receiver; nothing where it has been told.
///
/// # Errors
/// See [`Failure`].
pub async fn preview(
    context: &Context,
    receiver: &Receiver,
    outgoing: &Arc<Outgoing>,
    roll: &Roll,
) -> Result<Option<Exit>, Failure> {
    let Some(dialled) = Dialled::reach(context, receiver, roll).await? else { return Ok(None) };
    let Dialled { reached, peer, shown, .. } = dialled;
    let failed = |fault: &FlowFault| at(&peer, &shown, Failure::flow(&shown, fault));
    let wanted = receiver.folder.clone().map_or(Request::Preview, Request::PreviewTo);
    let session = reached.greeted.ask(wanted).await.map_err(|fault| failed(&fault))?;
    let asked = tokio::select! {
        asked = flow::preview::ask(session, outgoing) => asked,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    let preview = match asked {
        // It says no more before a person there has said yes.
        Err(FlowFault::Declined { kind: FaultKind::Declined, reason }) => {
            context.printer.note(&format!("{shown} does not tell what it has: {reason}"));
            Preview { entries: outgoing.all().await, ..Preview::default() }
        }
        asked => asked.map_err(|fault| failed(&fault))?,
    };
    let passed = outgoing.passed();
    plan::tell(context, Way::To, (&shown, &peer), &preview, &passed);
    // As it would end if it were done.
    Ok(Some(if report::unreadable(&passed) > 0 { Exit::Partly } else { Exit::Done }))
}
