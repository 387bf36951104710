//! What is said over a connection: frames, and each kind of message.

use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll};

use ftx::base::link_target::LinkTarget;
use ftx::base::manifest::{Entry, EntryKind, Have};
use ftx::base::path::RelPath;
use ftx::base::text::{PeerText, is_deceptive};
use ftx::flow::pack::Unpacker;
use ftx::wire::frame::{self, FrameReader};
use ftx::wire::give::Giving;
use ftx::wire::hello::{Hello, OLDEST, VERSION};
use ftx::wire::hub::{Answer, Joining};
use ftx::wire::limits::{MAX_FRAME, MAX_PACKED};
use ftx::wire::message::{Listing, Opening, Pairing, Receiving, Sending};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, ReadBuf};

use super::Took;
use super::scratch::at_once;

/// Reads one message: what is read is the same after it was written and read again, is not longer than it
/// came, holds no text longer than any may be, and its `Debug` form steers no log.
fn message<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let framed = [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
    let Ok((message, rest)) = frame::split::<T>(&framed) else { return None };
    assert!(rest.is_empty() && bytes.len() <= MAX_FRAME);
    let mut again = Vec::new();
    frame::encode(&message, &mut again).expect("what could be read can be written");
    assert!(again.len() <= framed.len(), "{message:?}");
    assert_eq!(frame::split::<T>(&again).expect("what was written can be read").0, message);
    assert!(!format!("{message:?}").contains(is_deceptive), "{message:?}");
    check_texts(&serde_json::to_value(&message).expect("a message has a JSON form"));
    Some(message)
}

fn check_texts(value: &Value) {
    match value {
        Value::String(text) => assert!(text.len() <= RelPath::MAX.max(PeerText::MAX), "{} bytes", text.len()),
        Value::Array(values) => values.iter().for_each(check_texts),
        Value::Object(values) => values.values().for_each(check_texts),
        _ => {}
    }
}

fn check_entry(entry: &Entry) {
    assert_eq!(RelPath::parse(entry.path.as_str()).as_ref(), Ok(&entry.path));
    if let EntryKind::Link { target } = &entry.kind {
        assert_eq!(LinkTarget::parse(target.as_str()).as_ref(), Ok(target));
    }
    if entry.check().is_ok()
        && let EntryKind::Link { target } = &entry.kind
    {
        // As a file system would: never above the outermost folder, not even on the way.
        let mut depth = entry.path.depth() - 1;
        for part in target.as_str().split('/') {
            depth = if part == ".." { depth - 1 } else { depth + 1 };
            assert!(depth > 0, "{entry:?}");
        }
    }
}

/// A stream of frames is the same messages however it is cut.
pub(super) fn frames(bytes: &[u8]) -> Took {
    let whole = at_once(read_all(bytes));
    let dribbled = at_once(read_all(Dribble(bytes)));
    assert_eq!(whole, dribbled);
    let mut rest = bytes;
    for message in &whole {
        let (same, after) = frame::split::<Sending>(rest).expect("what a reader reads can be split off");
        assert_eq!(same, *message);
        rest = after;
    }
    Took::of(!whole.is_empty())
}

async fn read_all(stream: impl AsyncRead + Unpin) -> Vec<Sending> {
    let mut reader = FrameReader::new(stream);
    let mut messages = Vec::new();
    while let Ok(message) = reader.next().await {
        messages.push(message);
    }
    messages
}

/// A stream that gives a byte at a time.
struct Dribble<'a>(&'a [u8]);

impl AsyncRead for Dribble<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if let Some((first, rest)) = self.0.split_at_checked(1) {
            into.put_slice(first);
            self.0 = rest;
        }
        Poll::Ready(Ok(()))
    }
}

pub(super) fn hello(bytes: &[u8]) -> Took {
    let Some(hello) = message::<Hello>(bytes) else { return Took::No };
    if let Some(version) = hello.agree() {
        assert!((OLDEST..=VERSION).contains(&version) && (hello.oldest..=hello.newest).contains(&version));
    }
    Took::Yes
}

pub(super) fn opening(bytes: &[u8]) -> Took {
    Took::of(message::<Opening>(bytes).is_some())
}

pub(super) fn sending(bytes: &[u8]) -> Took {
    let message = message::<Sending>(bytes);
    if let Some(Sending::Page(page)) = &message {
        page.iter().for_each(check_entry);
    }
    Took::of(message.is_some())
}

pub(super) fn receiving(bytes: &[u8]) -> Took {
    let message = message::<Receiving>(bytes);
    if let Some(Receiving::Have(page)) = &message {
        page.iter().for_each(check_have);
    }
    Took::of(message.is_some())
}

/// Whatever a receiver says it has, no sum overflows, and what fits adds up.
fn check_have(have: &Have) {
    for size in [0, 1, 5 << 20, u64::from(u32::MAX) << 20, u64::MAX] {
        let bytes = have.bytes_of(size);
        if have.fits(size) {
            assert!(bytes <= size, "{have:?} of {size}");
        }
        let _ = (have.contains(0), have.contains(u32::MAX));
    }
}

pub(super) fn listing(bytes: &[u8]) -> Took {
    let message = message::<Listing>(bytes);
    if let Some(Listing::Page(page)) = &message {
        page.iter().for_each(check_entry);
    }
    Took::of(message.is_some())
}

pub(super) fn pairing(bytes: &[u8]) -> Took {
    Took::of(message::<Pairing>(bytes).is_some())
}

pub(super) fn joining(bytes: &[u8]) -> Took {
    Took::of(message::<Joining>(bytes).is_some())
}

pub(super) fn giving(bytes: &[u8]) -> Took {
    Took::of(message::<Giving>(bytes).is_some())
}

pub(super) fn answer(bytes: &[u8]) -> Took {
    // A receipt is a text of its own kind, checked where it is read.
    if bytes.first() == Some(&3) {
        return Took::of(frame_of::<Answer>(bytes));
    }
    Took::of(message::<Answer>(bytes).is_some())
}

fn frame_of<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    frame::split::<T>(&[&(bytes.len() as u32).to_be_bytes(), bytes].concat()).is_ok()
}

/// Packed frames, behind the length that is claimed for them.
pub(super) fn unpacked(bytes: &[u8]) -> Took {
    let Some((length, packed)) = bytes.split_first_chunk() else { return Took::No };
    // As whoever reads them has checked.
    let length = u32::from_be_bytes(*length) as usize % (MAX_PACKED + 1);
    let (mut unpacker, mut into) = (Unpacker::default(), b"from before".to_vec());
    let took = unpacker.unpack(packed, length, &mut into);
    if took.is_some() {
        assert_eq!(into.len(), length);
    }
    assert!(into.capacity() <= MAX_PACKED.max(64), "{}", into.capacity());
    // What was wrong leaves nothing behind that the next could trip over.
    let first = std::mem::take(&mut into);
    assert_eq!(unpacker.unpack(packed, length, &mut into), took);
    assert!(took.is_none() || into == first);
    Took::of(took.is_some())
}
