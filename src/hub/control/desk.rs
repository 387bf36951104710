//! Whoever answers for a hub: the same for one that runs and for one whose folder alone is there.

use std::fmt::Debug;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::holdings::Holdings;
use super::lines::{MAX_ANSWER, encode};
use super::message::{Answer, Request};
use super::{Handler, manage};
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::RelPath;
use crate::hub::activity::{Activity, Gauge};
use crate::hub::event::Event;
use crate::hub::events::Events;
use crate::hub::register::Register;
use crate::hub::status::{About, AccountUse, SpaceUse, Status};

/// How far apart the two looks are that tell a rate.
const LOOK: Duration = Duration::from_millis(250);

/// How often whoever watches is told.
const EACH: Duration = Duration::from_secs(1);

/// At every how many looks what is stored is summed up anew.
const SUMMED: u32 = 10;

/// Whoever reads everything again that a hub holds.
pub trait Verifier: Send + Sync + Debug {
    /// Reads everything again, blocking, and tells [`Answer::Checked`] now and then and at the end, and
    /// each [`Answer::Finding`]. With `fix` the catalogue says from then on what is there. Stops where
    /// whoever is told says so.
    ///
    /// # Errors
    /// Why not everything could be read.
    fn verify(&self, fix: bool, told: &mut dyn FnMut(Answer) -> ControlFlow<()>) -> Result<(), Fault>;
}

/// Whoever sends to peers what a hub holds.
pub trait Courier: Send + Sync + Debug {
    /// Sends `paths` to `receivers`, named as for `ftx push`, or to everybody who is here, and tells of
    /// each how far it is and how it ended. What is under way stops where the answer is dropped.
    fn send(
        &self,
        paths: Vec<RelPath>,
        receivers: Option<String>,
        told: mpsc::Sender<Answer>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + '_>>;
}

/// Whoever answers for a hub.
#[derive(Debug, Clone)]
pub struct Desk {
    /// Which hub.
    pub about: About,
    /// Its accounts, codes, spaces, settings.
    pub register: Register,
    /// What it holds.
    pub holdings: Arc<dyn Holdings>,
    /// What goes on there.
    pub activity: Activity,
    /// Who reads everything again.
    pub verifier: Option<Arc<dyn Verifier>>,
    /// Who sends for it; nobody, where it does not run.
    pub courier: Option<Arc<dyn Courier>>,
    /// Its log, where it runs.
    pub events: Option<Events>,
}

/// What there is, by space and by account.
type Use = (Vec<SpaceUse>, Vec<AccountUse>, Option<u64>);

impl Handler for Desk {
    async fn answer(&self, request: Request, answers: &mpsc::Sender<Answer>) -> Result<(), Fault> {
        match request {
            Request::About => tell(answers, Answer::About(self.about.clone())).await,
            Request::Status => self.status(answers).await,
            Request::Watch => self.watch(answers).await,
            Request::Verify { fix } => self.verify(fix, answers.clone()).await,
            Request::Send { paths, receivers } => match &self.courier {
                Some(courier) => courier.send(paths, receivers, answers.clone()).await,
                None => Err(Fault::new(FaultKind::Other, "the hub does not run; only one that runs sends")),
            },
            request => self.manage(request, answers).await,
        }
    }
}

impl Desk {
    async fn status(&self, answers: &mpsc::Sender<Answer>) -> Result<(), Fault> {
        let mut gauge = Gauge::default();
        let idle = gauge.look(&self.activity).moving.is_empty();
        if !idle {
            sleep(LOOK).await;
        }
        let used = self.used().await?;
        self.tell_status(&mut gauge, &used, answers).await
    }

    /// Tells each second how the hub stands, until whoever asked has gone.
    async fn watch(&self, answers: &mpsc::Sender<Answer>) -> Result<(), Fault> {
        let mut gauge = Gauge::default();
        loop {
            let used = self.used().await?;
            for _ in 0..SUMMED {
                self.tell_status(&mut gauge, &used, answers).await?;
                sleep(EACH).await;
            }
        }
    }

    async fn tell_status(
        &self,
        gauge: &mut Gauge,
        (spaces, accounts, free): &Use,
        answers: &mpsc::Sender<Answer>,
    ) -> Result<(), Fault> {
        let live = gauge.look(&self.activity);
        let codes = manage::open_codes(&self.register);
        let status = Status {
            hub: self.about.clone(),
            connected: live.connected,
            moving: live.moving,
            received: live.received,
            counters: live.counters,
            spaces: spaces.clone(),
            accounts: accounts.clone(),
            codes,
            free: *free,
            cut: false,
        };
        tell(answers, Answer::Status(Box::new(fit(status)?))).await
    }

    /// Sums up what is stored. Whoever keeps most comes first.
    async fn used(&self) -> Result<Use, Fault> {
        let (register, holdings) = (self.register.clone(), self.holdings.clone());
        on_a_thread(move || {
            let spaces = manage::spaces(&register, &*holdings)?;
            let mut accounts = manage::accounts(&register, &*holdings)?;
            accounts.sort_by_key(|account| std::cmp::Reverse(account.bytes));
            Ok((spaces, accounts, holdings.free()))
        })
        .await
    }

    async fn verify(&self, fix: bool, answers: mpsc::Sender<Answer>) -> Result<(), Fault> {
        let missing = || Fault::new(FaultKind::Other, "nobody reads everything again at this hub");
        let verifier = self.verifier.clone().ok_or_else(missing)?;
        on_a_thread(move || {
            verifier.verify(fix, &mut |answer| match answers.blocking_send(answer) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            })
        })
        .await
    }

    async fn manage(&self, request: Request, answers: &mpsc::Sender<Answer>) -> Result<(), Fault> {
        let (register, holdings) = (self.register.clone(), self.holdings.clone());
        let done = on_a_thread(move || manage::manage(request, &register, &*holdings)).await?;
        if let (Some(what), Some(events)) = (done.changed, &self.events) {
            events.tell(Event::Managed { what }).await;
        }
        for answer in done.answers {
            tell(answers, answer).await?;
        }
        Ok(())
    }
}

async fn tell(answers: &mpsc::Sender<Answer>, answer: Answer) -> Result<(), Fault> {
    answers.send(answer).await.map_err(|_| Fault::new(FaultKind::Lost, "whoever asked has gone"))
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Fault::new(FaultKind::Other, "the hub failed at it; its log may say why")))
}

/// Cuts the lists until all of it fits into one answer: names may be long, and there may be many.
fn fit(mut status: Status) -> Result<Status, Fault> {
    const AROUND: usize = 64;
    while encode(&status)?.len() + AROUND > MAX_ANSWER {
        status.cut = true;
        status.connected.truncate(status.connected.len() / 2);
        status.moving.truncate(status.moving.len() / 2);
        status.accounts.truncate(status.accounts.len() / 2);
        status.spaces.truncate(status.spaces.len() / 2);
    }
    Ok(status)
}
