//! A hub that answers what a test wants it to, for what a device makes of it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ftx::base::fault::Fault;
use ftx::base::id::{PeerId, Role};
use ftx::disk::root::Root;
use ftx::flow::ask::{self, Told};
use ftx::flow::consent::Consent;
use ftx::flow::greet::{Me, Proof, Session};
use ftx::flow::lanes::Further;
use ftx::flow::limit::Limit;
use ftx::flow::refuse::refuse;
use ftx::flow::stop::Stopper;
use ftx::flow::{preview, receive};
use ftx::link::key::Key;
use ftx::link::tls::{Link, Tls};
use ftx::wire::hub::Verb;
use ftx::wire::message::Request;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::PATIENCE;

/// A hub whose answers are a test's; what is pushed into it, wherever to, goes into one folder.
pub(crate) struct FakeHub {
    port: u16,
    inner: Arc<Inner>,
    _runtime: Runtime,
}

struct Inner {
    me: Me,
    folder: TempDir,
    asked: Mutex<Vec<Request>>,
    #[expect(clippy::type_complexity, reason = "told once")]
    answers: Box<dyn Fn(Verb, PeerId, &Me) -> Result<Told, Fault> + Send + Sync>,
}

impl FakeHub {
    /// A hub that answers so to a verb, of this device, as itself.
    pub(crate) fn new(answers: impl Fn(Verb, PeerId, &Me) -> Result<Told, Fault> + Send + Sync + 'static) -> Self {
        Self::named(None, answers)
    }

    /// The same, of this name.
    pub(crate) fn named(
        name: Option<&str>,
        answers: impl Fn(Verb, PeerId, &Me) -> Result<Told, Fault> + Send + Sync + 'static,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let key = Arc::new(Key::generate().unwrap());
        let name = name.map_or_else(|| format!("hub-{}", key.public().id().short()), str::to_owned);
        let me = Me { name, key, role: Role::Hub };
        let folder = tempfile::tempdir().unwrap();
        let inner = Arc::new(Inner { me, folder, asked: Mutex::default(), answers: Box::new(answers) });
        let port = listener.local_addr().unwrap().port();
        let serving = inner.clone();
        runtime.spawn(async move {
            let tls = Tls::new(&serving.me.key).unwrap();
            while let Ok((tcp, _)) = listener.accept().await {
                let (tls, inner) = (tls.clone(), serving.clone());
                tokio::spawn(async move {
                    if let Ok(link) = tls.accept(tcp, PATIENCE).await {
                        inner.hold(link).await;
                    }
                });
            }
        });
        Self { port, inner, _runtime: runtime }
    }

    /// A target there.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("[127.0.0.1:{}]:{path}", self.port)
    }

    /// What it calls itself.
    pub(crate) fn me(&self) -> &Me {
        &self.inner.me
    }

    /// Where what is pushed into it goes.
    pub(crate) fn folder(&self) -> &Path {
        self.inner.folder.path()
    }

    /// What it was asked since it was last looked.
    pub(crate) fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut *self.inner.asked.lock().unwrap())
    }
}

impl Inner {
    async fn hold(&self, link: Link) {
        let proof = Proof { peer: link.peer, exporter: link.exporter };
        let device = link.peer.id();
        // Who hangs up before saying what it wants has another connection.
        let Ok((session, request)) = Session::answered(link.stream, proof, &self.me).await else { return };
        self.asked.lock().unwrap().push(request.clone());
        let root = || Root::open(self.folder.path()).unwrap();
        let held = match request {
            Request::Ask(verb) => ask::answer(session, async { (self.answers)(verb, device, &self.me) }).await,
            Request::Push | Request::PushTo(_) => {
                let consent = Consent::Given { root: root(), tops: None };
                let (progress, stop) = (watch::Sender::default(), Stopper::new().listen());
                receive::receive(session, consent, Further::None, Limit::none(), progress, stop).await.map(drop)
            }
            Request::Preview | Request::PreviewTo(_) => preview::answer(session, Some(&root())).await,
            other => refuse(session, &other, Fault::protocol("not tried with this hub")).await,
        };
        held.expect("the device holds the conversation to its end");
    }
}
