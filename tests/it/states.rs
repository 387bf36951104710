//! Every message in every state of every conversation, on both sides: what has no place ends the
//! conversation at once and leaves nothing.
//!
//! The tables are the functions `*_may`. Each is a `match` over all messages of its enum, so that a new
//! message does not compile without its row, and `house::vocabulary` does not pass without a sample of it.
//! What is said in each state is everything of every enum, by its bytes: whatever these bytes mean there.

use std::sync::Arc;

use ftx::base::id::TransferId;
use ftx::base::manifest::{Have, Outcome};
use ftx::base::path::RelPath;
use ftx::link::key::Key;
use ftx::wire::frame;
use ftx::wire::hello::{Hello, MAGIC};
use ftx::wire::message::{Opening, Receiving, Request, Sending};
use serde::de::DeserializeOwned;

use crate::house::home::{Home, Node};
use crate::house::hostile::{Hostile, NONCE, Script, commitment, file, folder};
use crate::house::vocabulary::{Word, everything};
use crate::house::{noise, until};

#[cfg(unix)]
mod at_a_hub;
mod dialled;
#[cfg(unix)]
mod giving;
#[cfg(target_os = "linux")]
mod pairing;

/// The states of a receiver, by what it has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Nothing.
    Nothing,
    /// The offer.
    Offer,
    /// A page.
    Page,
    /// The whole manifest, and it has said yes.
    Manifest,
    /// How many lanes there are.
    Lanes,
    /// The end.
    End,
    /// A lane was let in.
    Lane,
    /// A page, and nobody has said yes.
    #[cfg_attr(not(unix), expect(dead_code, reason = "said at a terminal"))]
    Undecided,
    /// A page of what is only looked at.
    Looked,
    /// The whole manifest of that.
    LookedAtAll,
}

/// What a sender may say.
fn sender_may(heard: Heard, message: &Sending) -> bool {
    let bytes = matches!(heard, Heard::Page | Heard::Manifest | Heard::Lane);
    let paging = matches!(heard, Heard::Page | Heard::Undecided | Heard::Looked);
    match message {
        Sending::Offer { .. } => heard == Heard::Nothing,
        Sending::ByContent => heard == Heard::Offer,
        Sending::Page(page) => (heard == Heard::Offer || paging) && !page.is_empty(),
        Sending::LeftOut(_) => heard == Heard::Offer || paging,
        // The manifest of the states here is one file of 5 bytes.
        Sending::PagesEnd { entries, bytes } => match heard {
            Heard::Offer => (*entries, *bytes) == (0, 0),
            _ => paging && (*entries, *bytes) == (1, 5),
        },
        // Passed over by a receiver that was dialled.
        Sending::Ticket(_) => {
            matches!(heard, Heard::Offer | Heard::Page | Heard::Undecided | Heard::Manifest)
        }
        // On a lane its page may still be on its way: it is judged once its bytes have come.
        Sending::Chunk(head) if heard == Heard::Lane => (1..=1 << 20).contains(&head.length),
        Sending::Chunk(head) => bytes && head.entry == 0 && head.index == 0 && head.length == 5,
        Sending::EntryEnd { entry, size, .. } => bytes && (*entry, *size) == (0, 5),
        Sending::EntryGone { entry, .. } => bytes && *entry == 0,
        Sending::Packed { length, packed } => bytes && packed < length,
        Sending::Lanes(count) => heard == Heard::Manifest && (1..=15).contains(count),
        Sending::End => matches!(heard, Heard::Manifest | Heard::Lanes | Heard::Lane),
        Sending::KeepAlive | Sending::Abort(_) => true,
    }
}

/// The states of a sender, by what it has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nothing: it has offered one file.
    Nothing,
    /// That somebody is asked.
    Asking,
    /// Yes.
    Accept,
    /// What there is of everything.
    Have,
    /// The same, and it has said everything.
    Ended,
    /// That everything came, after it had said everything.
    Settling,
    /// All outcomes.
    Outcomes,
}

/// What a receiver may say.
fn receiver_may(told: Told, message: &Receiving) -> bool {
    let undecided = matches!(told, Told::Nothing | Told::Asking);
    match message {
        Receiving::Asking | Receiving::Accept | Receiving::Decline { .. } => undecided,
        Receiving::Ticket(_) => !undecided,
        Receiving::Have(page) => told == Told::Accept && page.len() == 1,
        Receiving::Progress { .. } => !undecided && told != Told::Outcomes,
        Receiving::Settling => told == Told::Ended,
        Receiving::Outcomes(page) => told == Told::Settling && page.len() == 1,
        // It is heard, and does not fit: that is a matter of what it says.
        Receiving::Receipt(_) => matches!(told, Told::Settling | Told::Outcomes),
        Receiving::KeepAlive | Receiving::Abort(_) => true,
    }
}

/// What a dialler may say of what it wants.
fn request_may(opening: &Opening) -> bool {
    match opening.request {
        // Each begins a conversation, or is refused; none is a fault. What leads into a conversation of
        // its own is tried from there on.
        Request::Push
        | Request::Pull(_)
        | Request::List(_)
        | Request::Pair
        | Request::Attach { .. }
        | Request::Preview
        | Request::PushTo(_)
        | Request::PreviewTo(_)
        | Request::Join { .. }
        | Request::Ask(_)
        | Request::Take => commitment(&opening.nonce) == commitment(&NONCE),
    }
}

/// Whether these bytes are a message that may come, by one of the tables.
fn may<T: DeserializeOwned>(bytes: &[u8], table: impl Fn(&T) -> bool) -> bool {
    matches!(postcard::take_from_bytes::<T>(bytes), Ok((message, [])) if table(&message))
}

/// A word as a frame.
fn framed(word: &Word) -> Vec<u8> {
    let length = u32::try_from(word.bytes.len()).unwrap();
    [&length.to_be_bytes()[..], &word.bytes].concat()
}

/// How often something other was said than may be said; a table that allows everything tries nothing.
fn said_in_vain(state: &str, tried: usize) {
    assert!(tried > 30, "{state}: only {tried} messages have no place");
}

/// A script up to a state, with the last of it said in one with what has no place.
fn script(heard: Heard, word: &Word) -> Script {
    let end = |before: &[Sending]| {
        let mut bytes = Vec::new();
        before.iter().for_each(|message| frame::encode(message, &mut bytes).unwrap());
        bytes.extend(framed(word));
        // A chunk is judged with its bytes, which are waited for.
        if let Ok((Sending::Chunk(head), [])) = postcard::take_from_bytes(&word.bytes) {
            bytes.resize(bytes.len() + head.length.min(1 << 20) as usize + 32, 0);
        }
        bytes
    };
    let manifest = || Script::offer(&[file("a", 5)]).ready();
    match heard {
        Heard::Nothing => Script::new().raw(&end(&[])),
        Heard::Offer => Script::opened().raw(&end(&[])),
        Heard::Undecided => Script::offer_of(&[file("a", 5)]).raw(&end(&[])),
        Heard::LookedAtAll => manifest().raw(&end(&[])),
        Heard::Page | Heard::Lane | Heard::Looked => Script::offer_of(&[file("a", 5)]).ready().raw(&end(&[])),
        Heard::Manifest => manifest().raw(&end(&[])),
        Heard::Lanes => manifest().raw(&end(&[Sending::Lanes(1)])),
        Heard::End => Script::offer(&[folder("a")]).ready().raw(&end(&[Sending::End])),
    }
}

/// What is in a home, staging included, that was not there when it began.
fn left(home: &Home) -> Vec<String> {
    let before = ["inbox/", "inbox/own", "notes/", "notes/a", "notes/endless"];
    let tree = home.tree("").into_iter();
    tree.filter(|path| !path.starts_with('.') && !before.contains(&path.as_str())).collect()
}

/// A home with something of its own in it, and its node: it takes everything, and shares with all.
fn victim() -> (Home, Node) {
    let alice = Home::new("alice");
    alice.write("inbox/own", "alice's own");
    alice.write("notes/a", "hello");
    let node = alice.up(&["--accept", "all", "--share", "notes", "--share-with", "all"]);
    (alice, node)
}

/// That nothing is left of all that was tried, and that an honest push and pull work.
fn unharmed(home: &Home, node: &Node) {
    until("what was staged is cleared", || left(home).is_empty().then_some(()));
    #[cfg(target_os = "linux")]
    until("every connection is gone", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", node.id())).unwrap().flatten();
        let sockets =
            open.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")));
        // Those that it listens with, of its runtime, and of its announcement.
        (sockets.count() < 16).then_some(())
    });
    let bob = Home::new("bob");
    bob.write("honest", "h");
    bob.run(&["push", "honest", &node.at()]).done();
    assert_eq!((home.read("inbox/honest"), home.read("inbox/own")), (b"h".to_vec(), b"alice's own".to_vec()));
    bob.run(&["pull", &format!("{}:notes", node.at())]).done();
    assert_eq!(bob.read("notes/a"), b"hello");
}

/// A connection under a new key that wants something.
async fn wanting(port: u16, request: &Request) -> Hostile {
    Hostile::wanting(Arc::new(Key::generate().unwrap()), port, request.clone()).await
}

/// Tries every message in one state of a push.
async fn tries_push(port: u16, key: Option<&Arc<Key>>, request: &Request, heard: Heard) {
    let mut tried = 0;
    for word in everything().iter().filter(|word| !may(&word.bytes, |message| sender_may(heard, message))) {
        let peer = match key {
            Some(key) => Hostile::wanting(key.clone(), port, request.clone()).await,
            None => wanting(port, request).await,
        };
        let said = peer.play(script(heard, word)).await;
        let done = said.iter().any(|message| matches!(message, Receiving::Receipt(_) | Receiving::Outcomes(_)));
        assert!(!done, "{heard:?}, {}: {said:?}", word.what);
        tried += 1;
    }
    said_in_vain(&format!("{heard:?}"), tried);
}

#[tokio::test]
async fn a_node_that_is_not_greeted_hears_nothing_else() {
    let (alice, node) = victim();
    let is_hello = |hello: &Hello| hello.magic == MAGIC;
    for word in everything().iter().filter(|word| !may(&word.bytes, is_hello)) {
        let mut peer = Hostile::dial(node.port()).await;
        peer.raw(&framed(word)).await;
        assert!(peer.rest().await.is_empty(), "{}", word.what);
    }
    for word in everything().iter().filter(|word| !may(&word.bytes, request_may)) {
        let mut peer = Hostile::dial(node.port()).await;
        peer.greet().await;
        peer.raw(&framed(word)).await;
        assert!(peer.rest().await.is_empty(), "{}", word.what);
    }
    unharmed(&alice, &node);
}

#[tokio::test]
async fn a_node_that_receives_hears_nothing_out_of_place() {
    let (alice, node) = victim();
    for heard in [Heard::Nothing, Heard::Offer, Heard::Page, Heard::Manifest, Heard::Lanes, Heard::End] {
        tries_push(node.port(), None, &Request::Push, heard).await;
        until("what was staged is cleared", || left(&alice).is_empty().then_some(()));
    }
    unharmed(&alice, &node);
}

#[tokio::test]
async fn a_node_that_only_looks_hears_nothing_out_of_place() {
    let (alice, node) = victim();
    for heard in [Heard::Nothing, Heard::Looked, Heard::LookedAtAll] {
        tries_push(node.port(), None, &Request::Preview, heard).await;
        assert!(left(&alice).is_empty());
    }
    unharmed(&alice, &node);
}

#[tokio::test]
async fn a_lane_carries_bytes_and_nothing_else() {
    let (alice, node) = victim();
    for word in everything().iter().filter(|word| !may(&word.bytes, |message| sender_may(Heard::Lane, message))) {
        let transfer = TransferId::new();
        let mut peer = wanting(node.port(), &Request::Push).await;
        peer.say(&Sending::Offer { transfer, set: [1; 32] }).await;
        peer.say(&Sending::Page(vec![file("a", 5)])).await;
        peer.say(&Sending::PagesEnd { entries: 1, bytes: 5 }).await;
        let ticket = loop {
            if let Receiving::Ticket(ticket) = peer.hear().await.expect("the node goes on") {
                break ticket;
            }
        };
        let attach = Request::Attach { transfer, ticket };
        let mut lane = Hostile::wanting(peer.key.clone(), node.port(), attach).await;
        assert_eq!(lane.hear().await, Some(Receiving::Accept));
        lane.raw(&framed(word)).await;
        lane.rest().await;
        let heard = receivings(&peer.rest().await);
        assert!(matches!(heard.last(), Some(Receiving::Abort(_))), "{}: {heard:?}", word.what);
    }
    unharmed(&alice, &node);
}

/// Bytes as what a receiver says.
fn receivings(mut bytes: &[u8]) -> Vec<Receiving> {
    let mut heard = Vec::new();
    while !bytes.is_empty() {
        let (message, rest) = frame::split(bytes).unwrap();
        heard.push(message);
        bytes = rest;
    }
    heard
}

/// What a sender sends that is brought into a state.
fn sent(told: Told) -> &'static str {
    // Who has sent everything by the time it hears a word takes that for what may be said at the end.
    if told == Told::Have { "endless" } else { "a" }
}

/// Writes what is sent: a few bytes, and more than any buffer takes.
fn written(home: &Home, folder: &str) {
    home.write(&format!("{folder}a"), "hello");
    home.write(&format!("{folder}endless"), noise(1, 32 << 20));
}

/// Brings a sender into a state.
async fn brought(peer: &mut Hostile, told: Told) {
    let say: &[Receiving] = match told {
        Told::Nothing => &[],
        Told::Asking => &[Receiving::Asking],
        Told::Accept => &[Receiving::Accept],
        Told::Have | Told::Ended | Told::Settling | Told::Outcomes => {
            &[Receiving::Accept, Receiving::Have(vec![Have::Nothing])]
        }
    };
    while !matches!(peer.hear_sending().await.expect("the sender goes on"), Sending::PagesEnd { .. }) {}
    for message in say {
        peer.say(message).await;
    }
    if matches!(told, Told::Ended | Told::Settling | Told::Outcomes) {
        while peer.hear_sending().await.expect("the sender goes on") != Sending::End {}
    }
    if matches!(told, Told::Settling | Told::Outcomes) {
        peer.say(&Receiving::Settling).await;
    }
    if told == Told::Outcomes {
        peer.say(&Receiving::Outcomes(vec![Outcome::Placed])).await;
    }
}

const TOLD: [Told; 7] =
    [Told::Nothing, Told::Asking, Told::Accept, Told::Have, Told::Ended, Told::Settling, Told::Outcomes];

#[tokio::test]
async fn a_node_that_sends_hears_nothing_out_of_place() {
    let (alice, node) = victim();
    written(&alice, "notes/");
    for told in TOLD {
        let mut tried = 0;
        let pull = Request::Pull(vec![RelPath::parse(&format!("notes/{}", sent(told))).unwrap()]);
        for word in everything().iter().filter(|word| !may(&word.bytes, |message| receiver_may(told, message))) {
            let mut peer = wanting(node.port(), &pull).await;
            brought(&mut peer, told).await;
            peer.raw(&framed(word)).await;
            peer.rest().await;
            tried += 1;
        }
        said_in_vain(&format!("{told:?}"), tried);
    }
    assert!(node.events("served").is_empty());
    unharmed(&alice, &node);
}
