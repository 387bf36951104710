//! One conversation with a device at a hub.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::Hub;
use super::account::Member;
use super::activity::Present;
use super::event::{Event, Guest};
use super::join::{Admitted, Asked};
use super::space::people;
use super::status::Way;
use super::upload::Upload;
use super::verbs::{self, Asking};
use crate::base::event::Progress;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, TransferId};
use crate::base::path::RelPath;
use crate::flow::consent::{Consent, Proposal, Verdict};
use crate::flow::fault::FlowFault;
use crate::flow::greet::{self, Proof};
use crate::flow::lanes::Further;
use crate::flow::outgoing::{Manner, Outgoing};
use crate::flow::refuse::refuse;
use crate::flow::stop::{Stop, Stopper};
use crate::flow::{ask, list, preview, receive, send};
use crate::link::tls::{Link, Stream, Tls};
use crate::node::accept::Server;
use crate::node::caps::{Caps, Met};
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

    fn met(&self, peer: &PeerId) -> Met {
        if self.register.read(|records| records.member(peer)).is_some() { Met::Known } else { Met::Stranger }
    }

    async fn closed(&self, address: SocketAddr, reason: String) {
        self.events.tell(Event::Closed { address, reason: reason.into() }).await;
    }
}

/// What is wanted, in a word, and of what, for the log.
fn shown(request: &Request) -> (&'static str, Option<RelPath>) {
    match request {
        Request::Push => ("push", None),
        Request::PushTo(to) => ("push", Some(to.clone())),
        Request::Preview => ("preview", None),
        Request::PreviewTo(to) => ("preview", Some(to.clone())),
        Request::Pull(paths) => ("pull", paths.first().cloned()),
        Request::List(path) => ("ls", path.clone()),
        Request::Ask(verb) => verbs::shown(verb),
        Request::Pair => ("trust", None),
        Request::Join { .. } => ("join", None),
        Request::Attach { .. } => ("attach", None),
        Request::Take => ("take", None),
    }
}

impl Hub {
    /// Has a conversation stop where the hub does, or where the device is no longer this member's: its
    /// account was disabled or removed, or may do something else now.
    async fn end_with(&self, device: &PeerId, member: &Member, mut stop: Stop, stopper: &Stopper) -> Infallible {
        let mut changes = self.register.changes();
        let ousted = async {
            // What changed before this was listened for is seen here, too.
            while self.register.read(|records| records.member(device)).as_ref() == Some(member) {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = ousted => {}
            () = stop.stopped() => {}
        }
        stopper.stop();
        std::future::pending().await
    }
}

impl Hub {
    /// Why a device may do nothing here.
    fn why_not(&self, device: &PeerId) -> Fault {
        if self.register.read(|records| records.is_disabled(device)) {
            let text = format!("your account at {} is disabled; ask whoever runs it", self.me.name);
            return Fault::new(FaultKind::NotPermitted, text);
        }
        Fault::new(FaultKind::NotJoined, format!("this device has not joined {}", self.me.name))
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
        // Strangers do not fill the log, however often they come.
        let told = member.is_some() || hub.strangers.may_be_told(address.ip());
        if told && present.is_only() {
            hub.events.tell(Event::Connected { guest: guest.clone(), address }).await;
        }
        let held = match (request, member) {
            (Request::Join { account, by }, _) => Self::join(&hub, session, (account, by), &present, address).await,
            (request, Some(member)) => {
                let stopper = Stopper::new();
                let (guest, ends) = (guest.clone(), stopper.listen());
                let conversation = Self { hub: hub.clone(), guest, member: member.clone(), stop: ends };
                tokio::select! {
                    held = conversation.request(session, request) => held,
                    never = hub.end_with(&id, &member, stop, &stopper) => match never {},
                }
            }
            (request, None) => Self::keep_out(&hub, session, request, told.then_some(&guest)).await,
        };
        if let Err(fault) = held {
            let event = match fault {
                // Already told as refused.
                FlowFault::Declined { .. } => None,
                FlowFault::Theirs(fault) | FlowFault::Ours(fault) => Some(fault),
                other => Some(Fault::new(other.kind(), other.to_string())),
            };
            if let Some(fault) = event {
                hub.events.tell(Event::Failed { guest: guest.clone(), fault }).await;
            }
        }
        let last = (told && present.is_only()).then(|| present.lasted());
        drop(present);
        if let Some(after) = last {
            hub.events.tell(Event::Disconnected { guest, after }).await;
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
                hub.events.tell(Event::Joined { guest, rank }).await;
                return Ok(());
            }
            Admitted::Refused(fault) => fault,
            Admitted::Wrong { burnt: 0 } => Fault::new(FaultKind::NotPermitted, "a wrong code or password"),
            Admitted::Wrong { burnt } => {
                let text = format!("a wrong code or password; codes that were tried too often and taken back: {burnt}");
                Fault::new(FaultKind::NotPermitted, text)
            }
            Admitted::TooMany(_) if !hub.strangers.may_be_told(address.ip()) => {
                hub.activity.refused();
                return Ok(());
            }
            Admitted::TooMany(wait) => {
                let text = format!("too many wrong codes or passwords; it is to wait for {} s", wait.as_secs());
                Fault::new(FaultKind::Busy, text)
            }
        };
        hub.activity.refused();
        hub.events.tell(Event::JoinRefused { guest, fault }).await;
        Ok(())
    }

    /// Refuses whoever may do nothing here.
    async fn keep_out(hub: &Hub, session: Session, request: Request, guest: Option<&Guest>) -> Result<(), FlowFault> {
        let fault = hub.why_not(&session.peer.id());
        // With this question a device looks whether it has joined.
        if !matches!(request, Request::Ask(Verb::Standing)) {
            hub.activity.refused();
            if let Some(guest) = guest {
                let (verb, path) = shown(&request);
                hub.events.tell(Event::Refused { guest: guest.clone(), verb, path, fault: fault.clone() }).await;
            }
        }
        refuse(session, &request, fault).await
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
            Request::Take => {
                let fault = Fault::new(FaultKind::NotFound, "nothing is given by a code there");
                refuse(session, &Request::Take, fault).await
            }
            // Both are dealt with before anybody's account matters.
            Request::Attach { .. } | Request::Join { .. } => Ok(()),
        }
    }

    /// Notes that something was refused, for the log.
    async fn refused(&self, verb: &'static str, path: Option<RelPath>, fault: &Fault) {
        self.hub.activity.refused();
        let (guest, fault) = (self.guest.clone(), fault.clone());
        self.hub.events.tell(Event::Refused { guest, verb, path, fault }).await;
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
        if let Some(whole) = upload.whole() {
            self.hub.events.tell(whole).await;
        }
        match &received {
            Ok(_) => {}
            Err(FlowFault::Declined { kind, reason }) => {
                self.refused("push", Some(to), &Fault { kind: *kind, text: reason.clone() }).await;
            }
            // Where the hub ends, it is found when that starts the next time.
            Err(_) if self.stop.is_stopped() => {}
            Err(_) => {
                let given_up = move || {
                    upload.give_up();
                    Ok(())
                };
                blocking(given_up).await.map_err(FlowFault::Ours)?;
            }
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
                self.hub.sent(&self.guest, &paths, &sent?.summary).await;
                Ok(())
            }
        }
    }

    /// A listing as a peer gives it: for devices that do not ask as one asks a hub.
    async fn list(self, session: Session, path: Option<RelPath>) -> Result<(), FlowFault> {
        let here = Arc::new(());
        let asking = self.asking(&here);
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

    fn asking(&self, here: &Arc<()>) -> Asking {
        let (hub, guest, member) = (self.hub.clone(), self.guest.clone(), self.member.clone());
        Asking { hub, guest, member, waiting: Arc::downgrade(here) }
    }

    async fn ask(self, session: Session, verb: Verb) -> Result<(), FlowFault> {
        let (name, path) = verbs::shown(&verb);
        // Dropped where the device hangs up.
        let here = Arc::new(());
        let asking = self.asking(&here);
        // Held until it is told: it is in memory until then.
        let mut turn = None;
        let work = async {
            if verbs::is_heavy(&verb) {
                turn = Some(self.hub.turns.take(&self.member.account).await);
            }
            let done = blocking(move || asking.answer(verb)).await;
            if let Err(fault) = &done {
                self.refused(name, path, fault).await;
            }
            done
        };
        let answered = ask::answer(session, work).await;
        drop((turn, here));
        answered
    }
}
