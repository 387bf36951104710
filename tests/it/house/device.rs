//! A device at a hub within the test's own process: it says what the library says, and what it is
//! answered is known to the letter.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ftx::base::id::{Role, TransferId};
use ftx::base::manifest::Outcome;
use ftx::base::path::{Name, RelPath};
use ftx::disk::item::Item;
use ftx::disk::root::Root;
use ftx::disk::source::Source;
use ftx::flow::ask::{self, Told};
use ftx::flow::consent::Consent;
use ftx::flow::fault::FlowFault;
use ftx::flow::greet::{Greeted, Me, Proof};
use ftx::flow::join::{self, Typed};
use ftx::flow::lanes::Further;
use ftx::flow::limit::Limit;
use ftx::flow::outgoing::{Manner, Outgoing};
use ftx::flow::stop::Stopper;
use ftx::flow::{preview, receive, send};
use ftx::link::dial::dial;
use ftx::link::key::Key;
use ftx::link::tls::{Stream, Tls};
use ftx::wire::hub::{Secret, Verb};
use ftx::wire::message::Request;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::hub::Hub;

/// A device with a key of its own.
pub(crate) struct Device {
    me: Me,
    tls: Tls,
    at: SocketAddr,
}

/// What came of a push: the transfer, and what became of each file by its name.
pub(crate) struct Pushed {
    pub(crate) transfer: TransferId,
    pub(crate) outcomes: Vec<(RelPath, Outcome)>,
}

/// A path that is written well.
pub(crate) fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

impl Device {
    /// A device that has not joined.
    pub(crate) fn stranger(hub: &Hub, name: &str) -> Self {
        let key = Arc::new(Key::generate().unwrap());
        let port = u16::try_from(hub.up()["port"].as_u64().unwrap()).unwrap();
        Self {
            tls: Tls::new(&key).unwrap(),
            me: Me { key, name: name.to_owned(), role: Role::Peer },
            at: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        }
    }

    /// A device of an account, which is made unless it is there.
    pub(crate) async fn joined(hub: &Hub, account: &str, rank: &str) -> Self {
        let device = Self::stranger(hub, account);
        let code = hub.invite(&["--once", "--account", account, "--role", rank]);
        let typed = Typed { account: None, by: Secret::Code, secret: Zeroizing::new(code), password: None };
        let (joined, _) = join::join(device.greeted().await, typed).await.unwrap();
        assert_eq!(joined.as_str(), account);
        device
    }

    /// Its key.
    pub(crate) fn key(&self) -> Arc<Key> {
        self.me.key.clone()
    }

    /// A connection on which nothing has been asked.
    pub(crate) async fn greeted(&self) -> Greeted<Stream> {
        let link = dial(&self.tls, &[self.at], None).await.unwrap();
        let proof = Proof { peer: link.peer, exporter: link.exporter };
        Greeted::dialled(link.stream, proof, &self.me).await.unwrap()
    }

    /// Has something done.
    pub(crate) async fn ask(&self, verb: Verb) -> Result<Told, FlowFault> {
        ask::ask(self.greeted().await, verb).await
    }

    /// Sends texts under these names, into a folder or nowhere in particular.
    pub(crate) async fn push(&self, to: Option<&str>, texts: &[(String, String)]) -> Result<Pushed, FlowFault> {
        let request = to.map_or(Request::Push, |to| Request::PushTo(path(to)));
        let session = self.greeted().await.ask(request).await?;
        let (transfer, progress, stop) = (TransferId::new(), watch::Sender::default(), Stopper::new());
        let sent = send::send(session, outgoing(texts), transfer, Further::None, progress, stop.listen()).await?;
        let each = sent.summary.each().map(|(entry, outcome)| (entry.path.clone(), outcome.clone()));
        Ok(Pushed { transfer, outcomes: each.collect() })
    }

    /// Asks what a push would do.
    pub(crate) async fn preview(&self, to: &str, texts: &[(String, String)]) -> Result<(), FlowFault> {
        let session = self.greeted().await.ask(Request::PreviewTo(path(to))).await?;
        preview::ask(session, &outgoing(texts)).await.map(drop)
    }

    /// Fetches these, or everything; what came, each with its text.
    pub(crate) async fn pull(&self, paths: &[&str]) -> Result<Vec<(String, String)>, FlowFault> {
        let wanted = paths.iter().map(|text| path(text)).collect();
        let session = self.greeted().await.ask(Request::Pull(wanted)).await?;
        let folder = tempfile::tempdir().unwrap();
        let consent = Consent::Given { root: Root::open(folder.path()).unwrap(), tops: None };
        let (progress, stop) = (watch::Sender::default(), Stopper::new());
        let further = Further::None;
        let summary = receive::receive(session, consent, further, Limit::none(), progress, stop.listen()).await?;
        let files = summary.entries.iter().filter(|entry| entry.has_bytes()).map(|entry| entry.path.as_str());
        let text = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
        Ok(files.map(|file| (file.to_owned(), text(file))).collect())
    }
}

fn outgoing(texts: &[(String, String)]) -> Arc<Outgoing> {
    let item = |(name, text): &(String, String)| Item::Text {
        name: Name::parse(name).unwrap(),
        bytes: text.as_bytes().into(),
    };
    Outgoing::start(Source::new(texts.iter().map(item).collect()), Manner::default())
}
