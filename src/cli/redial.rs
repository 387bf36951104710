//! A peer that was lost in the middle is dialled again, as long as it answers somewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::context::Context;
use super::outcome::{Exit, Failure};
use super::reach::{Reached, reach, reach_at};
use crate::base::event::{Progress, Stage};
use crate::base::fault::FaultKind;
use crate::base::id::PeerId;
use crate::base::target::PeerRef;
use crate::flow::fault::FlowFault;
use crate::flow::greet::{Greeted, Proof};
use crate::flow::lanes::{Connections, Dial, Further};
use crate::link::dial::dial;
use crate::link::tls::Stream;

/// How long the first pause is; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How a transfer uses the network.
#[derive(Debug, Clone, Copy, Args)]
pub struct Connecting {
    /// Use so many connections at once; if not given, as many as make it faster
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub connections: Option<u32>,
    /// How long a peer that was lost in the middle is dialled again, in seconds; 0 for not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub retry: u64,
}

impl Connecting {
    /// Where further connections to a peer that has been reached come from.
    pub fn further(self, context: &Context, reached: &Reached) -> Further<Stream> {
        let (tls, me, address, id) = (context.tls.clone(), context.me.clone(), reached.address, reached.peer().id());
        let dial: Dial<Stream> = Arc::new(move || {
            let (tls, me) = (tls.clone(), me.clone());
            Box::pin(async move {
                let link = dial(&tls, &[address], Some(id)).await.ok()?;
                let proof = Proof { peer: link.peer, exporter: link.exporter };
                Greeted::dialled(link.stream, proof, &me).await.ok()
            })
        });
        Further::Dial(dial, self.connections.map_or(Connections::Auto, Connections::Exactly))
    }
}

/// Where a peer is looked for when it is dialled again.
#[derive(Debug)]
pub enum Again<'a> {
    /// Wherever it is found under its name.
    Named(&'a PeerRef),
    /// Where it was: it has no name that others find it by.
    At(SocketAddr),
}

/// The patience with one peer.
#[derive(Debug)]
pub struct Redial<'a> {
    context: &'a Context,
    again: Again<'a>,
    id: PeerId,
    retry: Duration,
    /// When it is given up, if nothing moves before.
    until: Option<Instant>,
    /// Bytes that the receiver had when a connection was lost, at the most so far.
    safe: u64,
    /// Bytes that moved over connections that are lost.
    pub moved: u64,
}

impl<'a> Redial<'a> {
    /// Patience with a peer that has been reached.
    pub fn new(context: &'a Context, again: Again<'a>, id: PeerId, connecting: Connecting) -> Self {
        let retry = Duration::from_secs(connecting.retry);
        Self { context, again, id, retry, until: None, safe: 0, moved: 0 }
    }

    /// Reaches the peer again, after the conversation with it ended with `fault`.
    ///
    /// # Errors
    /// What is to be told, where that was no loss of the connection, or the peer does not come back.
    pub async fn again(
        &mut self,
        fault: &FlowFault,
        shown: &str,
        progress: &watch::Sender<Progress>,
    ) -> Result<Reached, Failure> {
        let failure = Failure::flow(shown, fault);
        let (moved, safe) = {
            let now = progress.borrow();
            (now.bytes_moved, now.bytes_kept + now.bytes_safe)
        };
        self.moved += moved;
        if !is_loss(fault) || self.retry.is_zero() {
            return Err(failure);
        }
        let now = Instant::now();
        // Whoever lets nothing through is not given more time for it.
        let until = self.until.filter(|_| safe <= self.safe).unwrap_or(now + self.retry);
        self.until = Some(until);
        self.safe = self.safe.max(safe);
        // What moved is counted once, also where the next connection is lost before anything moves on it.
        progress.send_modify(|p| {
            (p.stage, p.bytes_kept) = (Stage::Reconnecting, p.bytes_kept + p.bytes_safe);
            (p.bytes_moved, p.bytes_safe) = (0, 0);
        });
        let printer = &self.context.printer;
        printer.note(&format!("the connection to {shown} was lost; reconnecting"));
        let peer = json!({ "name": shown, "id": self.id.to_string() });
        printer.object(|| json!({ "event": "reconnecting", "peer": peer, "error": fault.to_string() }));
        let mut pause = FIRST_PAUSE;
        while Instant::now() < until {
            tokio::select! {
                () = sleep(pause.min(until - Instant::now())) => {}
                () = self.context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            let reached = tokio::select! {
                reached = self.reach(shown) => reached,
                () = self.context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
            };
            match reached {
                Ok(reached) if reached.peer().id() == self.id => return Ok(reached),
                Ok(_) => {
                    return Err(Failure::new(
                        Exit::Identity,
                        format!("another machine answers in the place of {shown}"),
                    )
                    .cause("its address was given to somebody else, or somebody uses it")
                    .hint("type the same again, with its name"));
                }
                // Another version: something that stands before it answers, and it does not yet.
                Err(Failure { exit: Exit::NotFound | Exit::Unreachable | Exit::TimedOut | Exit::Version, .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(failure)
    }

    async fn reach(&self, shown: &str) -> Result<Reached, Failure> {
        match &self.again {
            Again::Named(peer @ (PeerRef::Address { .. } | PeerRef::Host { .. })) => {
                match reach(self.context, peer).await {
                    // Nobody is there any more: the same machine may have another address by now.
                    Err(Failure { exit: Exit::NotFound | Exit::Unreachable | Exit::TimedOut, .. }) => {
                        let itself = PeerRef::Id { name: String::new(), prefix: self.id.to_string() };
                        reach(self.context, &itself).await
                    }
                    reached => reached,
                }
            }
            Again::Named(peer) => reach(self.context, peer).await,
            Again::At(address) => reach_at(self.context, &[*address], None, shown).await,
        }
    }
}

/// Whether the connection was lost, and nobody ended it.
fn is_loss(fault: &FlowFault) -> bool {
    match fault {
        FlowFault::Lost(_) | FlowFault::Ours(_) => matches!(fault.kind(), FaultKind::Lost | FaultKind::TimedOut),
        // Busy: its other connection, that is lost, has not come to its end there.
        FlowFault::Theirs(fault) => matches!(fault.kind, FaultKind::Lost | FaultKind::Busy),
        _ => false,
    }
}
