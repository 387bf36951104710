//! A peer that says what it likes. Its key and its TLS are honest: what it breaks is the protocol.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use ftx::base::digest::{ChunkHash, EntryDigest};
use ftx::base::id::{Role, TransferId};
use ftx::base::manifest::{Entry, EntryKind, Have, Outcome, Stamp};
use ftx::base::path::RelPath;
use ftx::link::key::{Key, PublicKey};
use ftx::link::tls::{Exporter, Link, Stream, Tls};
use ftx::wire::frame::{self, FrameFault, FrameReader};
use ftx::wire::hello::Hello;
use ftx::wire::message::{ChunkHead, Opening, Receipt, Receiving, Request, Sending};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::PATIENCE;

/// A peer that says what it likes, over one connection.
pub(crate) struct Hostile {
    reader: FrameReader<ReadHalf<Stream>>,
    writer: WriteHalf<Stream>,
    /// What it calls itself.
    pub(crate) name: String,
    /// Its key.
    pub(crate) key: Arc<Key>,
    /// The other side's key.
    pub(crate) other: PublicKey,
    /// The secret of the session.
    pub(crate) exporter: Exporter,
}

/// What has been taken from a sender.
pub(crate) struct Taken {
    /// The transfer.
    pub(crate) transfer: TransferId,
    /// Its entries, with the digests of those that were sent.
    pub(crate) entries: Vec<(Entry, Option<EntryDigest>)>,
}

impl Taken {
    /// A receipt that fits what was taken, as `man/ftx-protocol.7` has it, signed by anybody.
    pub(crate) fn receipt(&self, outcomes: &[Outcome], key: &Key) -> Receipt {
        let mut statement = Sha256::new_with_prefix(b"ftx receipt v1\0").chain_update(self.transfer.as_bytes());
        for ((entry, digest), outcome) in self.entries.iter().zip(outcomes) {
            for bytes in [entry.path.as_str().as_bytes(), &postcard::to_allocvec(outcome).unwrap()] {
                statement.update((bytes.len() as u32).to_be_bytes());
                statement.update(bytes);
            }
            match digest.filter(|_| outcome.is_good()) {
                Some(digest) => statement.update([&[1][..], &digest.0].concat()),
                None => statement.update([0]),
            }
        }
        let statement: [u8; 32] = statement.finalize().into();
        let signature = key.sign(&[&b"ftx receipt signature v1\0"[..], &statement].concat());
        Receipt { statement, signature }
    }
}

/// A place where a hostile peer waits to be dialled.
pub(crate) struct Trap {
    listener: TcpListener,
    port: u16,
    key: Arc<Key>,
}

/// The nonce of all hostile peers: it is a secret to nobody.
pub(crate) const NONCE: [u8; 32] = [7; 32];

/// What commits to a nonce in a `Hello`.
pub(crate) fn commitment(nonce: &[u8; 32]) -> [u8; 32] {
    Sha256::new_with_prefix(b"ftx key words commitment v1\0").chain_update(nonce).finalize().into()
}

impl Hostile {
    /// Connects under a new key; nothing is said yet.
    pub(crate) async fn dial(port: u16) -> Self {
        Self::dial_with(Arc::new(Key::generate().unwrap()), port).await
    }

    /// Connects under this key.
    pub(crate) async fn dial_with(key: Arc<Key>, port: u16) -> Self {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            tcp.set_nodelay(true).unwrap();
            match Tls::new(&key).unwrap().connect(tcp, PATIENCE).await {
                Ok(link) => return Self::over(link, key),
                // Who connects many hundred times a second is let in again a moment later.
                Err(fault) => assert!(tokio::time::Instant::now() < end, "{fault}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Connects from an address of this machine; `None` where it is not let in.
    #[cfg(target_os = "linux")]
    pub(crate) async fn dial_from(from: Ipv4Addr, key: Arc<Key>, port: u16) -> Option<Self> {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let tcp = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.ok()?;
        let link = Tls::new(&key).unwrap().connect(tcp, PATIENCE).await.ok()?;
        Some(Self::over(link, key))
    }

    /// Says what it wants, after the greeting.
    #[cfg(target_os = "linux")]
    pub(crate) async fn want(&mut self, request: Request) {
        self.say(&Opening { nonce: NONCE, request }).await;
    }

    /// Connects, greets as it should and says that it wants to push.
    pub(crate) async fn pushing(port: u16) -> Self {
        Self::pushing_with(Arc::new(Key::generate().unwrap()), port).await
    }

    /// The same, as a peer that has been there before.
    pub(crate) async fn pushing_with(key: Arc<Key>, port: u16) -> Self {
        Self::wanting(key, port, Request::Push).await
    }

    /// Connects, greets as it should and says what it wants.
    pub(crate) async fn wanting(key: Arc<Key>, port: u16, request: Request) -> Self {
        let mut peer = Self::dial_with(key, port).await;
        peer.greet().await;
        peer.say(&Opening { nonce: NONCE, request }).await;
        peer
    }

    fn over(link: Link, key: Arc<Key>) -> Self {
        let Link { stream, peer: other, exporter, .. } = link;
        let (read, writer) = tokio::io::split(stream);
        let name = format!("mallory-{}", key.public().id().short());
        Self { reader: FrameReader::new(read), writer, name, key, other, exporter }
    }

    /// Its `Hello`, an honest one, for the side that dials.
    pub(crate) fn hello(&self) -> Hello {
        Hello::ours(&self.name, Role::Peer, commitment(&NONCE))
    }

    /// Greets as it should; the other side's `Hello`.
    pub(crate) async fn greet(&mut self) -> Hello {
        self.say(&self.hello()).await;
        self.hear().await.expect("the other side greets")
    }

    /// Says a message. That nobody listens any more is no failure: what was heard tells.
    pub(crate) async fn say(&mut self, message: &impl Serialize) {
        let _ = frame::write(&mut self.writer, message).await;
    }

    /// Says bytes.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.writer.write_all(bytes).await;
        let _ = self.writer.flush().await;
    }

    /// Hears a message; `None` at the end.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> Option<T> {
        self.reader.next_within(PATIENCE, 1 << 20).await.ok()
    }

    /// Hears a frame, whatever is in it; `false` at the end.
    #[cfg(unix)]
    pub(crate) async fn hear_bytes(&mut self) -> bool {
        let (mut length, mut rest) = (Vec::new(), Vec::new());
        if self.reader.raw(4, &mut length).await.is_err() {
            return false;
        }
        let length = u32::from_be_bytes(length.try_into().unwrap());
        self.reader.raw(length as usize, &mut rest).await.is_ok()
    }

    /// Everything that still comes, as bytes, until the other side ends the connection; which it does.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match tokio::time::timeout_at(end, self.reader.raw(1, &mut bytes)).await {
                Ok(Ok(_)) => {}
                Ok(Err(FrameFault::Ended | FrameFault::Io(_))) => return bytes,
                Ok(Err(fault)) => panic!("the other side keeps the connection: {fault}"),
                Err(_) => panic!("the other side keeps the connection alive"),
            }
        }
    }

    /// Hears a sender's next message, with a chunk's bytes; `None` at the end.
    pub(crate) async fn hear_sending(&mut self) -> Option<Sending> {
        let message = self.hear().await?;
        if let Sending::Chunk(head) = &message {
            self.reader.raw(head.length as usize + 32, &mut Vec::new()).await.ok()?;
        }
        Some(message)
    }

    /// Takes everything a sender sends, as a receiver would that has of each entry what `have`
    /// says, up to the outcomes.
    pub(crate) async fn take(&mut self, have: impl Fn(&Entry) -> Have) -> Taken {
        let mut taken = Taken { transfer: TransferId::new(), entries: Vec::new() };
        loop {
            match self.hear_sending().await.expect("the sender goes on") {
                Sending::Offer { transfer, .. } => {
                    taken.transfer = transfer;
                    self.say(&Receiving::Accept).await;
                }
                Sending::Page(page) => {
                    self.say(&Receiving::Have(page.iter().map(&have).collect())).await;
                    taken.entries.extend(page.into_iter().map(|entry| (entry, None)));
                }
                Sending::EntryEnd { entry, digest, .. } => taken.entries[entry as usize].1 = Some(digest),
                Sending::End => return taken,
                _ => {}
            }
        }
    }

    /// Plays a script and is gone at once.
    pub(crate) async fn say_all(mut self, script: Script) {
        for step in script.0 {
            if let Step::Say(bytes) = step {
                self.raw(&bytes).await;
            } else {
                // What is said before the other side is ready is not what is to be tried.
                while !matches!(self.hear().await, Some(Receiving::Have(_)) | None) {}
            }
        }
    }

    /// Plays a script and hears everything until the other side ends the connection.
    pub(crate) async fn play(mut self, script: Script) -> Vec<Receiving> {
        let mut heard = Vec::new();
        for step in script.0 {
            match step {
                Step::Say(bytes) => self.raw(&bytes).await,
                Step::Until(enough, or_else) => {
                    while !heard.last().is_some_and(enough)
                        && let Some(message) = self.hear().await
                    {
                        heard.push(message);
                    }
                    let came = heard.last().is_some_and(enough) || or_else == OrElse::GoOn;
                    assert!(came, "the script stops short of its point: {heard:?}");
                }
            }
        }
        let rest = async {
            while let Some(message) = self.hear().await {
                heard.push(message);
            }
        };
        let ended = tokio::time::timeout(PATIENCE + Duration::from_secs(5), rest).await;
        assert!(ended.is_ok(), "the node keeps the connection");
        heard
    }
}

impl Trap {
    /// Waits at a port of its own.
    pub(crate) async fn set() -> Self {
        Self::set_with(Arc::new(Key::generate().unwrap())).await
    }

    /// The same, under this key.
    pub(crate) async fn set_with(key: Arc<Key>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port, key }
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, as it is typed.
    pub(crate) fn at(&self) -> String {
        format!("[127.0.0.1:{}]", self.port)
    }

    /// The next connection, past the TLS handshake; nothing is said yet.
    pub(crate) async fn caught(&self) -> Hostile {
        let (tcp, _) = self.listener.accept().await.unwrap();
        let link = Tls::new(&self.key).unwrap().accept(tcp, PATIENCE).await.unwrap();
        Hostile::over(link, self.key.clone())
    }

    /// The next connection, greeted as it should be, and what it wants.
    pub(crate) async fn greeted(&self) -> (Hostile, Request) {
        let mut peer = self.caught().await;
        let _: Hello = peer.hear().await.expect("the side that dialled greets first");
        peer.say(&Hello::ours(&peer.name, Role::Peer, NONCE)).await;
        let opening: Opening = peer.hear().await.expect("it says what it wants");
        (peer, opening.request)
    }
}

/// What a hostile sender does, step by step.
#[derive(Clone)]
pub(crate) struct Script(Vec<Step>);

#[derive(Clone)]
enum Step {
    Say(Vec<u8>),
    Until(fn(&Receiving) -> bool, OrElse),
}

/// What to do where a node ends the conversation instead of saying what was waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OrElse {
    GoOn,
    Fail,
}

impl Script {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// An offer with these entries, all told.
    pub(crate) fn offer(entries: &[Entry]) -> Self {
        let bytes = entries.iter().map(Entry::size).sum();
        Self::offer_of(entries).say(&Sending::PagesEnd { entries: entries.len() as u64, bytes })
    }

    /// An offer with these entries, to which more may be added.
    pub(crate) fn offer_of(entries: &[Entry]) -> Self {
        Self::opened().say(&Sending::Page(entries.to_vec()))
    }

    /// An offer of nothing so far.
    pub(crate) fn opened() -> Self {
        Self::new().say(&Sending::Offer { transfer: TransferId::new(), set: [1; 32] })
    }

    /// Then a message.
    pub(crate) fn say(self, message: &impl Serialize) -> Self {
        let mut bytes = Vec::new();
        frame::encode(message, &mut bytes).unwrap();
        self.raw(&bytes)
    }

    /// Then bytes.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.push(Step::Say(bytes.to_vec()));
        self
    }

    /// Then nothing until the offer is accepted.
    pub(crate) fn accepted(mut self) -> Self {
        self.0.push(Step::Until(|message| *message == Receiving::Accept, OrElse::Fail));
        self
    }

    /// Then nothing until the offer is accepted and it is told what is there already.
    pub(crate) fn ready(mut self) -> Self {
        self.0.push(Step::Until(|message| matches!(message, Receiving::Have(_)), OrElse::Fail));
        self
    }

    /// The same, or until it is refused.
    pub(crate) fn ready_or_refused(mut self) -> Self {
        self.0.push(Step::Until(|message| matches!(message, Receiving::Have(_)), OrElse::GoOn));
        self
    }

    /// Then a chunk with its right hash.
    pub(crate) fn chunk(self, entry: u32, index: u32, bytes: &[u8]) -> Self {
        let head = ChunkHead { entry, index, length: bytes.len() as u32 };
        self.say(&Sending::Chunk(head)).raw(bytes).raw(&ChunkHash::of(bytes).0)
    }

    /// Then the end of an entry of one chunk.
    pub(crate) fn entry_end(self, entry: u32, bytes: &[u8]) -> Self {
        self.say(&entry_end(entry, bytes))
    }

    /// Then everything that makes one small file complete.
    pub(crate) fn whole(self, entry: u32, bytes: &[u8]) -> Self {
        self.chunk(entry, 0, bytes).entry_end(entry, bytes)
    }

    /// Then the end of it all.
    pub(crate) fn end(self) -> Self {
        self.say(&Sending::End)
    }
}

/// The end of an entry of one chunk.
pub(crate) fn entry_end(entry: u32, bytes: &[u8]) -> Sending {
    let size = bytes.len() as u64;
    let digest = EntryDigest::over(size, [ChunkHash::of(bytes)].iter());
    Sending::EntryEnd { entry, size, digest }
}

/// The time of all hostile files.
pub(crate) fn stamp() -> Stamp {
    Stamp { seconds: 1_000_000_000, nanos: 0 }
}

/// A file to offer.
pub(crate) fn file(path: &str, size: u64) -> Entry {
    let kind = EntryKind::File { size, modified: stamp(), executable: true };
    Entry { path: RelPath::parse(path).unwrap(), kind }
}

/// A pipe to offer.
pub(crate) fn pipe(path: &str) -> Entry {
    Entry { path: RelPath::parse(path).unwrap(), kind: EntryKind::Stream }
}

/// A folder to offer.
pub(crate) fn folder(path: &str) -> Entry {
    Entry { path: RelPath::parse(path).unwrap(), kind: EntryKind::FOLDER }
}

/// A link to offer.
pub(crate) fn link(path: &str, target: &str) -> Entry {
    let target = ftx::base::link_target::LinkTarget::parse(target).unwrap();
    Entry { path: RelPath::parse(path).unwrap(), kind: EntryKind::Link { target } }
}

/// An offer's page as bytes, with a path, and perhaps a link's target, that no honest program
/// can say.
pub(crate) fn raw_page(path: &str, target: Option<&str>) -> impl Serialize + use<> {
    raw_page_of(path, target, 3)
}

/// The same, for a file of this size.
pub(crate) fn raw_page_of(path: &str, target: Option<&str>, size: u64) -> impl Serialize + use<> {
    RawSending::Page(vec![RawEntry {
        path: path.to_owned(),
        kind: match target {
            None => RawKind::File { size, modified: stamp(), executable: true },
            Some(target) => RawKind::Link { target: target.to_owned() },
        },
    }])
}

/// [`Sending`] up to what is needed, without its checks.
#[derive(Serialize)]
#[expect(dead_code, reason = "a variant's place is its number on the wire")]
enum RawSending {
    Offer,
    Page(Vec<RawEntry>),
}

#[derive(Serialize)]
struct RawEntry {
    path: String,
    kind: RawKind,
}

#[derive(Serialize)]
#[expect(dead_code, reason = "a variant's place is its number on the wire")]
enum RawKind {
    Directory,
    File { size: u64, modified: Stamp, executable: bool },
    Stream,
    Link { target: String },
}
