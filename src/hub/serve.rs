//! One conversation with a device at a hub.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::Hub;
use super::account::Member;
use super::activity::Present;
use super::event::{Event, Guest, Moved};
use super::join::{Admitted, Asked};
use super::space::people;
use super::status::Way;
use super::upload::Upload;
use super::verbs::{self, Asking};
use crate::base::event::{Progress, Summary};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::EntryKind;
use crate::base::path::RelPath;
use crate::flow::consent::{Consent, Proposal, Verdict};
use crate::flow::fault::FlowFault;
use crate::flow::greet::{self, Proof};
use crate::flow::lanes::Further;
use crate::flow::outgoing::{Manner, Outgoing};
use crate::flow::refuse::refuse;
use crate::flow::stop::Stop;
use crate::flow::{ask, list, preview, receive, send};
use crate::link::tls::{Link, Stream, Tls};
use crate::node::accept::Server;
use crate::node::caps::Caps;
use crate::node::serve::now;
use crate::wire::hub::Verb;
use crate::wire::message::Request;

/// A conversation with somebody who dialled us.
type Session = greet::Session<Stream>;

impl Server for Hub {
    fn tls(&self) -> &Tls {
        &self.tls
    }

    async fn hold(self: Arc<Self>, link: Link, caps: Caps, stop: Stop) {
        let address = link.address;
        let proof = Proof { peer: link.peer, exporter: link.exporter };
        match Session::answered(link.stream, proof, &self.me).await {
            Ok((session, request)) => Conversation::hold(self, session, request, address, stop).await,
            Err(fault) if fault.kind() != FaultKind::Lost && caps.first_nonsense(address.ip()) => {
                self.closed(address, fault.to_string()).await;
            }
            // Who hangs up before saying anything has reached us another way, or only looked.
            Err(_) => {}
        }
    }

    async fn closed(&self, address: SocketAddr, reason: String) {
        let _ = self.events.send(Event::Closed { address, reason: reason.into() }).await;
    }
}

struct Conversation {
    hub: Arc<Hub>,
    guest: Guest,
    member: Member,
    stop: Stop,
}

/// Does what blocks in a thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    let ended = |_| Fault::new(FaultKind::Other, "a thread of the hub ended unexpectedly");
    spawn_blocking(work).await.map_err(ended)?
}

impl Conversation {
    /// Hears what a device wants and does it, or refuses it.
    async fn hold(hub: Arc<Hub>, session: Session, request: Request, address: SocketAddr, stop: Stop) {
        let id = session.peer.id();
        let member = hub.register.read(|records| records.member(&id));
        let guest = Guest::new(&session.peer, member.as_ref().map(|member| member.account.clone()));
        // A lane is part of a conversation that counts already.
        if let Request::Attach { transfer, ticket } = request {
            // Who has no ticket is let go without a word.
            return drop(hub.underway.attach(transfer, ticket, session));
        }
        let present = hub.activity.connected(guest.clone(), address);
        if present.is_only() {
            let _ = hub.events.send(Event::Connected { guest: guest.clone(), address }).await;
        }
        let held = match (request, member) {
            (Request::Join { account, by }, _) => Self::join(&hub, session, (account, by), &present, address).await,
            (request, Some(member)) => {
                let conversation = Self { hub: hub.clone(), guest: guest.clone(), member, stop };
                conversation.request(session, request).await
            }
            (request, None) => {
                hub.activity.refused();
                let text = format!("this device has not joined {}", hub.me.name);
                refuse(session, &request, Fault::new(FaultKind::NotJoined, text)).await
            }
        };
        if let Err(fault) = held {
            let event = match fault {
                // Already told as refused.
                FlowFault::Declined { .. } => None,
                FlowFault::Theirs(fault) | FlowFault::Ours(fault) => Some(fault),
                other => Some(Fault::new(other.kind(), other.to_string())),
            };
            if let Some(fault) = event {
                let _ = hub.events.send(Event::Failed { guest: guest.clone(), fault }).await;
            }
        }
        let last = present.is_only().then(|| present.lasted());
        drop(present);
        if let Some(after) = last {
            let _ = hub.events.send(Event::Disconnected { guest, after }).await;
        }
    }

    async fn join(
        hub: &Arc<Hub>,
        session: Session,
        wanted: (Option<crate::base::path::Name>, crate::wire::hub::Secret),
        present: &Present,
        address: SocketAddr,
    ) -> Result<(), FlowFault> {
        let mut guest = Guest::new(&session.peer, None);
        let (account, by) = wanted;
        let fault = match hub.gate.admit(session, Asked { account, by, address: address.ip() }, now()).await? {
            Admitted::Joined { member: Member { account, rank }, .. } => {
                present.belongs_to(Some(account.clone()));
                guest.account = Some(account);
                let _ = hub.events.send(Event::Joined { guest, rank }).await;
                return Ok(());
            }
            Admitted::Refused(fault) => fault,
            Admitted::Wrong { burnt: 0 } => Fault::new(FaultKind::NotPermitted, "a wrong code or password"),
            Admitted::Wrong { burnt } => {
                let text = format!("a wrong code or password; codes that were tried too often and taken back: {burnt}");
                Fault::new(FaultKind::NotPermitted, text)
            }
            Admitted::TooMany(wait) => {
                let text = format!("too many wrong codes or passwords; it is to wait for {} s", wait.as_secs());
                Fault::new(FaultKind::Busy, text)
            }
        };
        hub.activity.refused();
        let _ = hub.events.send(Event::JoinRefused { guest, fault }).await;
        Ok(())
    }

    async fn request(self, session: Session, request: Request) -> Result<(), FlowFault> {
        match request {
            Request::Push => {
                let own = RelPath::from(people());
                self.receive(session, own).await
            }
            Request::PushTo(to) => self.receive(session, to).await,
            Request::Preview => {
                let own = RelPath::from(people());
                self.preview(session, Request::Preview, own).await
            }
            Request::PreviewTo(to) => self.preview(session, Request::PreviewTo(to.clone()), to).await,
            Request::Pull(paths) => self.serve(session, paths).await,
            Request::List(path) => self.list(session, path).await,
            Request::Ask(verb) => self.ask(session, verb).await,
            Request::Pair => {
                let fault = Fault::new(FaultKind::Declined, "a hub is trusted by joining it");
                refuse(session, &Request::Pair, fault).await
            }
            // Both are dealt with before anybody's account matters.
            Request::Attach { .. } | Request::Join { .. } => Ok(()),
        }
    }

    /// Notes that something was refused, for the log.
    async fn refused(&self, verb: &'static str, path: Option<RelPath>, fault: &Fault) {
        self.hub.activity.refused();
        let (guest, fault) = (self.guest.clone(), fault.clone());
        let _ = self.hub.events.send(Event::Refused { guest, verb, path, fault }).await;
    }

    fn destination(&self, to: &RelPath) -> Result<RelPath, Fault> {
        self.hub.with_access(&self.member, |access| access.destination(to))
    }

    fn upload(&self, to: RelPath) -> Arc<Upload> {
        Upload::new(self.hub.clone(), self.guest.clone(), self.member.clone(), to)
    }

    async fn receive(self, session: Session, to: RelPath) -> Result<(), FlowFault> {
        let to = match self.destination(&to).and_then(|to| Upload::permitted(&self.hub, &self.member, &to).map(|()| to))
        {
            Ok(to) => to,
            Err(fault) => {
                self.refused("push", Some(to), &fault).await;
                return refuse(session, &Request::Push, fault).await;
            }
        };
        let upload = self.upload(to.clone());
        let (progress, watched) = watch::channel(Progress::default());
        let moving = self.hub.activity.moving(self.guest.clone(), Way::In, Some(to.clone()), watched);
        let deciding = upload.clone();
        let consent = Consent::Ask(Box::new(move |proposal: Proposal| {
            Box::pin(async move {
                match blocking(move || deciding.accept(proposal.transfer, &proposal.entries)).await {
                    Ok(root) => Verdict::Accept(root),
                    Err(Fault { kind, text: reason }) => Verdict::Decline { kind, reason },
                }
            })
        }));
        let further = Further::Attach(self.hub.underway.clone());
        let limit = self.hub.limit.clone();
        let received = receive::receive(session, consent, further, limit, progress, self.stop.clone()).await;
        drop(moving);
        let ended = move || {
            upload.end();
            Ok(())
        };
        blocking(ended).await.map_err(FlowFault::Ours)?;
        if let Err(FlowFault::Declined { kind, reason }) = &received {
            self.refused("push", Some(to), &Fault { kind: *kind, text: reason.clone() }).await;
        }
        received.map(drop)
    }

    async fn preview(self, session: Session, request: Request, to: RelPath) -> Result<(), FlowFault> {
        let root = match self.destination(&to) {
            Ok(to) => {
                let upload = self.upload(to);
                blocking(move || upload.looked_at()).await
            }
            Err(fault) => Err(fault),
        };
        match root {
            Ok(root) => preview::answer(session, root.as_ref()).await,
            Err(fault) => {
                self.refused("push", Some(to), &fault).await;
                refuse(session, &request, fault).await
            }
        }
    }

    async fn serve(self, session: Session, paths: Vec<RelPath>) -> Result<(), FlowFault> {
        let (hub, member, wanted) = (self.hub.clone(), self.member.clone(), paths.clone());
        let source = match blocking(move || hub.outgoing(&member, &wanted)).await {
            Ok(source) => source,
            Err(fault) => {
                self.refused("pull", paths.first().cloned(), &fault).await;
                return refuse(session, &Request::Pull(paths), fault).await;
            }
        };
        let (progress, watched) = watch::channel(Progress::default());
        let moving = self.hub.activity.moving(self.guest.clone(), Way::Out, paths.first().cloned(), watched);
        let outgoing = Outgoing::start(source, Manner { limit: self.hub.limit.clone(), ..Manner::default() });
        let further = Further::Attach(self.hub.underway.clone());
        let sent = send::send(session, outgoing, TransferId::new(), further, progress, self.stop.clone()).await;
        drop(moving);
        match sent {
            // Whoever pulls and then declines has only looked.
            Err(FlowFault::Declined { .. }) => Ok(()),
            sent => {
                self.told(&paths, &sent?.summary).await;
                Ok(())
            }
        }
    }

    /// Tells the log what was fetched.
    async fn told(&self, paths: &[RelPath], summary: &Summary) {
        for (entry, outcome) in summary.each() {
            let EntryKind::File { size, .. } = entry.kind else { continue };
            if !outcome.is_good() {
                continue;
            }
            self.hub.activity.sent(size);
            // The names that travel begin with what was asked for, without the folders above it.
            let whole = paths.iter().find(|path| path.file_name().as_str() == entry.path.top());
            let above = whole.and_then(RelPath::parent);
            let path =
                above.and_then(|above| RelPath::parse(&format!("{}/{}", above.as_str(), entry.path.as_str())).ok());
            let path = path.unwrap_or_else(|| entry.path.clone());
            let file = Moved { guest: self.guest.clone(), path, size, digest: None };
            let _ = self.hub.events.send(Event::Sent(file)).await;
        }
    }

    /// A listing as a peer gives it: for devices that do not ask as one asks a hub.
    async fn list(self, session: Session, path: Option<RelPath>) -> Result<(), FlowFault> {
        let asking = Asking { hub: self.hub.clone(), guest: self.guest.clone(), member: self.member.clone() };
        let verb = Verb::Look { path: path.clone(), deep: false, sha256: false };
        let entry = |item: crate::wire::hub::Item| crate::base::manifest::Entry {
            path: item.path.file_name().into(),
            kind: item.kind,
        };
        match blocking(move || asking.answer(verb)).await {
            Ok(told) => list::tell(session, told.items.into_iter().map(entry).collect()).await,
            Err(fault) => refuse(session, &Request::List(path), fault).await,
        }
    }

    async fn ask(self, session: Session, verb: Verb) -> Result<(), FlowFault> {
        let (name, path) = verbs::shown(&verb);
        let asking = Asking { hub: self.hub.clone(), guest: self.guest.clone(), member: self.member.clone() };
        let work = async {
            let done = blocking(move || asking.answer(verb)).await;
            if let Err(fault) = &done {
                self.refused(name, path, fault).await;
            }
            done
        };
        ask::answer(session, work).await
    }
}
