//! A hub as far as its own machine asks it: accounts, spaces, a socket; nobody can connect to it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ftx::base::fault::Fault;
use ftx::base::id::PeerId;
use ftx::base::path::{Name, RelPath};
use ftx::disk::state::State;
use ftx::flow::stop::Stopper;
use ftx::hub::activity::Activity;
use ftx::hub::control::desk::{Courier, Desk, Verifier};
use ftx::hub::control::holdings::Holdings;
use ftx::hub::control::message::Answer;
use ftx::hub::control::socket::Socket;
use ftx::hub::register::Register;
use ftx::hub::status::About;
use ftx::link::key::Key;
use ftx::wire::hub::Rank;
use tokio::sync::mpsc;

use super::home::Home;

/// A hub's desk that answers at its socket until it is dropped.
pub(crate) struct Counter {
    /// Who answers.
    pub(crate) desk: Desk,
    /// Its socket.
    pub(crate) socket: PathBuf,
    stopper: Stopper,
}

/// A hub that holds one good file and one that has rotted.
#[derive(Debug)]
struct Held;

impl Holdings for Held {
    fn used_by(&self, _: &Name) -> Result<u64, Fault> {
        Ok(7)
    }

    fn used_in(&self, _: &Name) -> Result<(u64, u64), Fault> {
        Ok((7, 2))
    }

    fn free(&self) -> Option<u64> {
        None
    }

    fn make_top(&self, _: &Name) -> Result<(), Fault> {
        Ok(())
    }
}

impl Verifier for Held {
    fn verify(&self, fix: bool, told: &mut dyn FnMut(Answer) -> ControlFlow<()>) -> Result<(), Fault> {
        let path = RelPath::parse("shared/rotten").unwrap();
        let finding = Answer::Finding { path, what: "damaged".into(), text: "other bytes".into(), damage: !fix };
        let _ = told(finding);
        let _ = told(Answer::Checked { files: 2, bytes: 7 });
        Ok(())
    }
}

impl Courier for Held {
    fn send(
        &self,
        paths: Vec<RelPath>,
        receivers: Option<String>,
        told: mpsc::Sender<Answer>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + '_>> {
        Box::pin(async move {
            let alice = receivers.unwrap().into();
            let _ = told.send(Answer::Sent { receiver: alice, code: 0, failed: None, files: 1, bytes: 7 }).await;
            let failed = Some(format!("{} is not there", paths[0]).into());
            let _ = told.send(Answer::Sent { receiver: "bob".into(), code: 1, failed, files: 0, bytes: 0 }).await;
            Ok(())
        })
    }
}

/// The folder where the hubs of this home's owner have their sockets.
pub(crate) fn sockets(home: &Home) -> PathBuf {
    home.path(".config/ftx/run")
}

/// Makes a folder of a home a hub's, with the account anna.
pub(crate) fn repository(dir: &Path) -> (Register, PeerId) {
    let own = dir.join(".ftx");
    let bytes = State::new(own.clone()).key(|| Key::generate().ok().map(|key| key.to_pkcs8().to_vec())).unwrap();
    let register = Register::open(&own).unwrap();
    register.change(|records| records.add_account(Name::parse("anna").unwrap(), Rank::Member, 5).map(|_| ())).unwrap();
    (register, Key::from_pkcs8(&bytes).unwrap().public().id())
}

impl Counter {
    /// Opens the hub `dir` of a home.
    pub(crate) async fn open(home: &Home, dir: &str) -> Self {
        let dir = home.folder(dir);
        let (register, id) = repository(&dir);
        let about =
            About { name: "lab-hub".into(), id, dir: dir.display().to_string().into(), port: Some(23547), since: 3 };
        let desk = Desk {
            about,
            register,
            holdings: Arc::new(Held),
            activity: Activity::default(),
            verifier: Some(Arc::new(Held)),
            courier: Some(Arc::new(Held)),
            events: None,
        };
        let socket = Socket::listen(&[sockets(home)], &id).await.unwrap();
        let (path, stopper) = (socket.path().to_owned(), Stopper::new());
        tokio::spawn(socket.serve(Arc::new(desk.clone()), stopper.listen()));
        Self { desk, socket: path, stopper }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}
