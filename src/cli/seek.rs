//! From a code to a giver that has proven it: whoever has its number is tried, until one has the words.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::context::Context;
use super::give::tries;
use super::outcome::{Exit, Failure};
use super::reach::{Reached, reach_at};
use super::redial::Connecting;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::PeerId;
use crate::find::Givers;
use crate::find::givers::Giver;
use crate::flow::code::Code;
use crate::flow::fault::FlowFault;
use crate::flow::give::{Answered, take};
use crate::flow::greet::{Peer, Session};
use crate::flow::lanes::Further;
use crate::link::tls::Stream;

/// How long others of the same number may take to show up, once one has said no.
const NAMESAKES: Duration = Duration::from_millis(500);

/// When one that was seen and not reached is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// How many are tried at once.
const AT_ONCE: usize = 8;

/// A giver that has the code, and was shown it; what is given follows.
pub(super) struct Proven {
    pub(super) session: Session<Stream>,
    pub(super) further: Further<Stream>,
    pub(super) peer: Peer,
    pub(super) address: SocketAddr,
}

/// Shows the code to whoever was reached.
///
/// # Errors
/// See [`take`]; a wrong code is a fault of kind [`FaultKind::NotPermitted`].
pub(super) async fn prove(
    context: &Context,
    reached: Reached,
    code: &Code,
    connecting: Connecting,
) -> Result<Proven, FlowFault> {
    let further = connecting.further(context, &reached);
    let (peer, address) = (reached.peer().clone(), reached.address);
    match take(reached.greeted, code).await? {
        Answered::Proven(session) => Ok(Proven { session: *session, further, peer, address }),
        Answered::Wrong { left } => {
            let text = format!("that is not the code there; {}", tries(left));
            Err(FlowFault::Theirs(Fault::new(FaultKind::NotPermitted, text)))
        }
    }
}

/// What came of trying one.
enum Tried {
    Proven(Box<Proven>),
    /// It said no, or is not to be dealt with; another may have the same number.
    No(Failure),
    /// It says that it has the code, and has not.
    Impostor(Failure),
    /// It was not reached, this time.
    Unreached(Failure),
}

async fn try_one(context: &Context, addresses: &[SocketAddr], code: &Code, connecting: Connecting) -> Tried {
    let shown = format!("the giver of number {}", code.number);
    let reached = match reach_at(context, addresses, None, &shown).await {
        Ok(reached) => reached,
        Err(failure) if matches!(failure.exit, Exit::Unreachable | Exit::TimedOut) => return Tried::Unreached(failure),
        // Our own key: who types both.
        Err(failure) if failure.exit == Exit::Usage => {
            return Tried::No(failure.hint("type ftx take on the other machine, or as another user of this one"));
        }
        Err(failure) => return Tried::No(failure),
    };
    let shown = reached.shown.clone();
    match prove(context, reached, code, connecting).await {
        Ok(proven) => Tried::Proven(Box::new(proven)),
        Err(fault @ FlowFault::Ours(_)) if fault.kind() == FaultKind::Identity => {
            let failure = Failure::new(Exit::Identity, fault.to_string());
            Tried::Impostor(
                failure
                    .cause("somebody on this network tries to get in between; nothing was taken")
                    .hint("tell whoever gives, and have them make a new code"),
            )
        }
        Err(FlowFault::Theirs(fault)) if fault.kind == FaultKind::NotPermitted => {
            let failure = Failure::new(Exit::NotPermitted, format!("{shown}: {fault}"));
            Tried::No(failure.hint("ask whoever gives for the code again, then type: ftx take"))
        }
        Err(fault) if matches!(fault.kind(), FaultKind::Lost | FaultKind::TimedOut) => {
            Tried::Unreached(Failure::flow(&shown, &fault))
        }
        Err(fault) => Tried::No(Failure::flow(&shown, &fault)),
    }
}

/// Finds whoever gives under this code, or at these addresses, and proves it; waits for them until then.
///
/// # Errors
/// Exit 6 where somebody pretends to have the code; 10 where whoever has the number says no; 4 where it was
/// seen and not reached, 11 where nobody was seen until then.
pub(super) async fn seek(
    context: &Arc<Context>,
    code: &Code,
    from: Option<Vec<SocketAddr>>,
    connecting: Connecting,
    until: Instant,
) -> Result<Proven, Failure> {
    let mut seeking = Seeking::new(context, code, connecting);
    let mut givers = match from {
        Some(addresses) => {
            // Whoever is there is the one: there are no others to tell it from.
            let id = context.me.key.public().id();
            seeking.seen(Giver { number: code.number, id, addresses });
            None
        }
        None => Some(Givers::start(context.interfaces.clone(), Some(code.number))),
    };
    loop {
        seeking.begin();
        let decide_at = seeking.decide_at.unwrap_or(until);
        let again_at = seeking.again.front().map(|(at, _)| *at);
        tokio::select! {
            biased;
            () = sleep_until(until) => return Err(seeking.nobody()),
            Some(tried) = seeking.trying.join_next() => {
                if let Some(ended) = tried.ok().and_then(|(id, tried)| seeking.tried(id, tried)) {
                    return ended;
                }
            }
            () = sleep_until(decide_at), if seeking.decide_at.is_some() && seeking.trying.is_empty() => {
                return Err(seeking.refused.take().unwrap_or_else(|| seeking.nobody()));
            }
            () = sleep_until(again_at.unwrap_or(until)), if again_at.is_some() => seeking.retry(),
            giver = next(&mut givers) => seeking.seen(giver),
        }
    }
}

async fn next(givers: &mut Option<Givers>) -> Giver {
    match givers {
        Some(givers) => givers.next().await,
        None => std::future::pending().await,
    }
}

/// Who was seen, and what came of it.
struct Seeking<'a> {
    context: &'a Arc<Context>,
    code: &'a Code,
    connecting: Connecting,
    /// Where each was seen.
    known: HashMap<PeerId, Vec<SocketAddr>>,
    /// Those that said no: not to be asked twice, as each wrong code is counted.
    over: HashSet<PeerId>,
    waiting: VecDeque<PeerId>,
    trying: JoinSet<(PeerId, Tried)>,
    /// Those under way.
    busy: HashSet<PeerId>,
    again: VecDeque<(Instant, PeerId)>,
    /// What is to be told where no other has the code.
    refused: Option<Failure>,
    decide_at: Option<Instant>,
    unreached: Option<Failure>,
}

impl<'a> Seeking<'a> {
    fn new(context: &'a Arc<Context>, code: &'a Code, connecting: Connecting) -> Self {
        Self {
            context,
            code,
            connecting,
            known: HashMap::new(),
            over: HashSet::new(),
            waiting: VecDeque::new(),
            trying: JoinSet::new(),
            busy: HashSet::new(),
            again: VecDeque::new(),
            refused: None,
            decide_at: None,
            unreached: None,
        }
    }

    fn seen(&mut self, giver: Giver) {
        let line = format!("number {} is given at {:?}", giver.number, giver.addresses);
        self.context.printer.detail(&line);
        self.known.insert(giver.id, giver.addresses);
        self.queue(giver.id);
    }

    fn queue(&mut self, id: PeerId) {
        if !self.over.contains(&id) && !self.busy.contains(&id) && !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
    }

    /// Tries those that wait, a few at once.
    fn begin(&mut self) {
        while self.trying.len() < AT_ONCE
            && let Some(id) = self.waiting.pop_front()
        {
            let addresses = self.known.get(&id).cloned().unwrap_or_default();
            self.busy.insert(id);
            let (context, code, connecting) = (self.context.clone(), self.code.clone(), self.connecting);
            self.trying.spawn(async move { (id, try_one(&context, &addresses, &code, connecting).await) });
        }
    }

    /// What to end with, if that was enough.
    fn tried(&mut self, id: PeerId, tried: Tried) -> Option<Result<Proven, Failure>> {
        self.busy.remove(&id);
        match tried {
            Tried::Proven(proven) => return Some(Ok(*proven)),
            Tried::Impostor(failure) => return Some(Err(failure)),
            Tried::No(failure) => {
                self.over.insert(id);
                self.refused.get_or_insert(failure);
                self.decide_at = Some(Instant::now() + NAMESAKES);
            }
            Tried::Unreached(failure) => {
                if self.unreached.is_none() {
                    self.context.printer.note(&format!("{}; trying on", failure.error));
                    self.context.printer.detail(&failure.hint);
                }
                self.unreached = Some(failure);
                self.again.push_back((Instant::now() + AGAIN, id));
            }
        }
        None
    }

    fn retry(&mut self) {
        if let Some((_, id)) = self.again.pop_front() {
            self.queue(id);
        }
    }

    fn nobody(&mut self) -> Failure {
        if let Some(failure) = self.refused.take().or(self.unreached.take()) {
            return failure;
        }
        let number = self.code.number;
        Failure::new(Exit::TimedOut, format!("nobody gave anything under number {number}"))
            .cause("ftx give has ended there, the number was misheard, or this network keeps its machines apart")
            .hint("ask for the code again; ftx give also shows an address for: ftx take --from ADDRESS")
    }
}
