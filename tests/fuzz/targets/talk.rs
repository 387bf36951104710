//! Whole conversations with a peer that says these bytes, and then nothing. It has greeted as it should.

use std::collections::HashSet;
use std::io::Cursor;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ftx::base::id::Role;
use ftx::base::text::is_deceptive;
use ftx::disk::root::Root;
use ftx::flow::consent::Consent;
use ftx::flow::fault::FlowFault;
use ftx::flow::greet::{Greeted, Session};
use ftx::flow::lanes::Further;
use ftx::flow::limit::Limit;
use ftx::flow::stop::Stopper;
use ftx::flow::{ask, list, preview, receive};
use ftx::wire::frame::{self, FrameReader};
use ftx::wire::hello::Hello;
use ftx::wire::hub::Verb;
use ftx::wire::limits::{MAX_ENTRIES, MAX_FRAME, MAX_LEFT_OUT};
use ftx::wire::message::{Opening, Receiving, Request, Sending};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, Chain, DuplexStream, Join, ReadBuf, Sink, duplex, join, sink};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Took;
use super::scratch::{at_once, block_on, folder, sides};

/// A peer that says what it says to nobody in particular.
type Deaf = Join<Chain<Cursor<Vec<u8>>, Silence>, Sink>;

/// A stream that says nothing and does not end.
struct Silence;

impl AsyncRead for Silence {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

/// How long a sender waits for an answer at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// It has been dialled, and greets before it says these bytes.
async fn dialled(bytes: &[u8]) -> Greeted<Deaf> {
    let (me, proof) = sides();
    let mut said = Vec::new();
    frame::encode(&Hello::ours("mallory", Role::Hub, [7; 32]), &mut said).expect("a greeting fits");
    said.extend_from_slice(bytes);
    Greeted::dialled(join(Cursor::new(said).chain(Silence), sink()), proof, &me).await.expect("it greets as it should")
}

async fn asked(bytes: &[u8], request: Request) -> Session<Deaf> {
    dialled(bytes).await.ask(request).await.expect("it hears everything")
}

/// What is told of a failure steers no terminal.
fn check<T>(result: Result<T, FlowFault>) -> Option<T> {
    result.inspect_err(|fault| assert!(!fault.to_string().contains(is_deceptive), "{fault:?}")).ok()
}

/// The manifest of an offer, page by page.
pub(super) fn manifest(bytes: &[u8]) -> Took {
    let pulled = async { preview::pull(asked(bytes, Request::Pull(Vec::new())).await, None).await };
    let Some(preview) = check(at_once(pulled)) else { return Took::No };
    let entries = &preview.entries;
    assert!(entries.len() <= MAX_ENTRIES && entries.len() <= bytes.len() && preview.left_out.len() <= MAX_LEFT_OUT);
    assert_eq!(preview.haves.len(), entries.len());
    assert!(entries.iter().all(|entry| entry.check().is_ok()));
    let paths: HashSet<_> = entries.iter().map(|entry| &entry.path).collect();
    assert_eq!(paths.len(), entries.len(), "a path is offered once");
    let sum = entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.size()));
    assert_eq!(sum, Some(entries.bytes()));
    Took::Yes
}

/// What a peer says that it shares.
pub(super) fn listed(bytes: &[u8]) -> Took {
    let heard = async { list::hear(asked(bytes, Request::List(None)).await).await };
    let Some(entries) = check(at_once(heard)) else { return Took::No };
    assert!(entries.len() <= MAX_ENTRIES && entries.len() <= bytes.len());
    Took::Yes
}

/// What a hub answers.
pub(super) fn told(bytes: &[u8]) -> Took {
    let Some(told) = check(at_once(async { ask::ask(dialled(bytes).await, Verb::Standing).await })) else {
        return Took::No;
    };
    let count = told.items.len() + told.versions.len() + told.receipts.len();
    assert!(count <= MAX_ENTRIES && count <= bytes.len());
    assert!(told.receipts.iter().all(|receipt| receipt.len() <= MAX_FRAME));
    Took::Yes
}

/// A whole transfer: nothing outside the folder changes, nor what was in it before, and no link leads out.
/// The first two bytes say how long the part is that is said before the receiver has told what it has.
pub(super) fn received(bytes: &[u8]) -> Took {
    let Some((length, said)) = bytes.split_first_chunk() else { return Took::No };
    let (offer, rest) = said.split_at(usize::from(u16::from_be_bytes(*length)).min(said.len()));
    let home = folder();
    let inbox = home.path().join("inbox");
    std::fs::create_dir(&inbox).expect("a folder");
    std::fs::write(inbox.join("mine"), "mine").expect("a file");
    let root = Root::open(&inbox).expect("the folder is there");
    let (near, far) = duplex(1 << 16);
    let receiving = async {
        let (me, proof) = sides();
        let session = Greeted::dialled(near, proof, &me).await?.ask(Request::Pull(Vec::new())).await?;
        let consent = Consent::Given { root, tops: None };
        let (progress, stop) = (watch::Sender::default(), Stopper::new());
        receive::receive(session, consent, Further::None, Limit::none(), progress, stop.listen()).await
    };
    let (done, ()) = block_on(async { tokio::join!(receiving, send(far, offer, rest)) });
    let took = check(done).is_some();
    let outside: Vec<_> = names(home.path());
    assert_eq!(outside, ["inbox"]);
    assert_eq!(std::fs::read(inbox.join("mine")).expect("it is still there"), b"mine");
    check_below(&inbox, &inbox);
    Took::of(took)
}

/// Whether an offer comes to its end: only then the receiver says what it has of it, or breaks off.
async fn is_whole(offer: &[u8]) -> bool {
    let mut reader = FrameReader::new(offer);
    loop {
        match reader.next().await {
            Ok(Sending::PagesEnd { .. }) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Says the offer, waits for what the receiver has of it, says the rest and hangs up.
async fn send(stream: DuplexStream, offer: &[u8], rest: &[u8]) {
    let (read, mut write) = tokio::io::split(stream);
    let mut reader = FrameReader::new(read);
    let mut greeting = Vec::new();
    frame::encode(&Hello::ours("mallory", Role::Peer, [7; 32]), &mut greeting).expect("a greeting fits");
    let _ = write.write_all(&[&greeting, offer].concat()).await;
    if is_whole(offer).await {
        let told = async {
            let (_, _): (Hello, Opening) = (reader.next().await.ok()?, reader.next().await.ok()?);
            while !matches!(reader.next::<Receiving>().await.ok()?, Receiving::Have(_)) {}
            Some(())
        };
        let _ = timeout(PATIENCE, told).await;
    }
    let _ = write.write_all(rest).await;
    let _ = write.shutdown().await;
    while reader.next::<Receiving>().await.is_ok() {}
}

/// What a thread that is not through yet clears away meanwhile leads nowhere.
fn check_below(root: &Path, folder: &Path) {
    for name in names(folder) {
        let path = folder.join(&name);
        let Ok(there) = std::fs::symlink_metadata(&path) else { continue };
        if there.is_dir() {
            check_below(root, &path);
        }
        let Ok(target) = std::fs::read_link(&path) else { continue };
        assert!(target.is_relative(), "{}", target.display());
        let depth = path.strip_prefix(root).map_or(0, |below| below.components().count());
        let climbs = target.components().take_while(|part| part.as_os_str() == "..").count();
        assert!(climbs + 1 < depth, "{} -> {}", path.display(), target.display());
    }
}

fn names(folder: &Path) -> Vec<String> {
    let children = std::fs::read_dir(folder).into_iter().flatten().flatten();
    children.map(|child| child.file_name().into_string().expect("every name is text")).collect()
}
