//! One of each message that can be said: every enum of the wire, complete or it does not pass.

use ftx::base::digest::EntryDigest;
use ftx::base::fault::{Fault, FaultKind};
use ftx::base::id::{Role, TransferId};
use ftx::base::manifest::{Have, Outcome};
use ftx::base::path::{Name, RelPath};
use ftx::wire::give::Giving;
use ftx::wire::hello::Hello;
use ftx::wire::hub::{Answer, Joining, Rank, Secret, Standing, Verb};
use ftx::wire::message::{ChunkHead, Listing, Opening, Pairing, Receipt, Receiving, Request, Sending, Ticket};
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor, value};
use serde::{Serialize, forward_to_deserialize_any};

use super::hostile::{NONCE, commitment, file};

/// A message as bytes, and what it is called in a failure.
pub(crate) struct Word {
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
}

/// A name.
pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn path() -> RelPath {
    RelPath::parse("shared/a").unwrap()
}

fn fault() -> Fault {
    Fault::new(FaultKind::Other, "x")
}

pub(crate) fn sending() -> Vec<Sending> {
    let digest = EntryDigest([1; 32]);
    complete(vec![
        Sending::Offer { transfer: TransferId::new(), set: [2; 32] },
        Sending::Page(vec![file("other", 5)]),
        Sending::PagesEnd { entries: 1, bytes: 5 },
        Sending::Chunk(ChunkHead { entry: 0, index: 0, length: 5 }),
        Sending::EntryEnd { entry: 0, size: 5, digest },
        Sending::EntryGone { entry: 0, fault: fault() },
        Sending::End,
        Sending::KeepAlive,
        Sending::Abort(fault()),
        Sending::LeftOut(fault()),
        Sending::Ticket(Ticket([3; 16])),
        Sending::Packed { length: 300, packed: 10 },
        Sending::Lanes(1),
        Sending::ByContent,
    ])
}

pub(crate) fn receiving() -> Vec<Receiving> {
    complete(vec![
        Receiving::Asking,
        Receiving::Accept,
        Receiving::Decline { kind: FaultKind::Declined, reason: "x".into() },
        Receiving::Have(vec![Have::Nothing]),
        Receiving::Progress { bytes: 1, entries: 0 },
        Receiving::Settling,
        Receiving::Outcomes(vec![Outcome::Placed]),
        Receiving::Receipt(Receipt { statement: [0; 32], signature: vec![0; 64] }),
        Receiving::KeepAlive,
        Receiving::Abort(fault()),
        Receiving::Ticket(Ticket([3; 16])),
    ])
}

pub(crate) fn listing() -> Vec<Listing> {
    complete(vec![Listing::Page(vec![file("a", 5)]), Listing::End, Listing::Abort(fault())])
}

pub(crate) fn pairing() -> Vec<Pairing> {
    complete(vec![Pairing::Asking, Pairing::Agreed, Pairing::Refused(fault())])
}

pub(crate) fn joining() -> Vec<Joining> {
    complete(vec![
        Joining::Challenge { salt: [4; 16] },
        Joining::Proof([5; 32]),
        Joining::Welcome { account: name("anna"), rank: Rank::Manager, proof: [6; 32] },
        Joining::Password { salt: [7; 16], stretched: [8; 32] },
        Joining::Done,
        Joining::Refused(fault()),
    ])
}

pub(crate) fn giving() -> Vec<Giving> {
    complete(vec![Giving::Proof([5; 32]), Giving::Proven([6; 32]), Giving::Wrong { left: 2 }, Giving::Refused(fault())])
}

pub(crate) fn verbs() -> Vec<Verb> {
    complete(vec![
        Verb::Standing,
        Verb::Look { path: None, deep: false, sha256: false },
        Verb::Find { text: "a".into(), below: None },
        Verb::Remove(vec![path()]),
        Verb::Move { from: path(), to: path() },
        Verb::MakeFolder(path()),
        Verb::Versions(path()),
        Verb::Restore { path: path(), version: None },
        Verb::Receipts(TransferId::new()),
        Verb::Leave,
        Verb::SetPassword { salt: [9; 16], stretched: [9; 32] },
    ])
}

pub(crate) fn answers() -> Vec<Answer> {
    let standing = Standing {
        account: name("anna"),
        rank: Rank::Member,
        used: 1,
        quota: None,
        largest: None,
        spaces: vec![name("shared")],
    };
    complete(vec![
        Answer::Standing(standing),
        Answer::Items(Vec::new()),
        Answer::Versions(Vec::new()),
        Answer::Receipts(vec!["{}".to_owned()]),
        Answer::Done { files: 1, path: None },
        Answer::KeepAlive,
        Answer::Abort(fault()),
    ])
}

pub(crate) fn requests() -> Vec<Request> {
    complete(vec![
        Request::Push,
        Request::Pull(Vec::new()),
        Request::List(None),
        Request::Pair,
        Request::Attach { transfer: TransferId::new(), ticket: Ticket([3; 16]) },
        Request::Preview,
        Request::PushTo(path()),
        Request::PreviewTo(path()),
        Request::Join { account: None, by: Secret::Code },
        Request::Ask(Verb::Standing),
        Request::Take,
    ])
}

/// Everything that can be said, of whatever conversation, and what is no message of any.
pub(crate) fn everything() -> Vec<Word> {
    let mut all = words("", &[Hello::ours("mallory", Role::Peer, commitment(&NONCE))]);
    let opening = |request| Opening { nonce: NONCE, request };
    all.extend(words("Opening ", &requests().into_iter().map(opening).collect::<Vec<_>>()));
    let asked = verbs().into_iter().map(|verb| opening(Request::Ask(verb))).collect::<Vec<_>>();
    all.extend(words("Opening ", &asked));
    all.extend(words("Sending::", &sending()));
    all.extend(words("Receiving::", &receiving()));
    all.extend(words("Listing::", &listing()));
    all.extend(words("Pairing::", &pairing()));
    all.extend(words("Joining::", &joining()));
    all.extend(words("Giving::", &giving()));
    all.extend(words("Answer::", &answers()));
    for bytes in [&[][..], &[99], &[7, 0], &[0xff; 9], &[0; 300]] {
        all.push(Word { what: format!("the bytes {bytes:?}"), bytes: bytes.to_vec() });
    }
    all
}

/// Messages as bytes.
pub(crate) fn words<T: Serialize + std::fmt::Debug>(of: &str, messages: &[T]) -> Vec<Word> {
    let word = |message: &T| Word { what: format!("{of}{message:?}"), bytes: postcard::to_allocvec(message).unwrap() };
    messages.iter().map(word).collect()
}

/// The samples, if there is one of each variant, in the order of their numbers.
fn complete<T: Serialize + DeserializeOwned + std::fmt::Debug>(samples: Vec<T>) -> Vec<T> {
    let mut variants: &[&str] = &[];
    let _ = T::deserialize(Variants(&mut variants));
    let of = |sample: &T| {
        let number = usize::from(postcard::to_allocvec(sample).unwrap()[0]);
        variants.get(number).copied().unwrap_or("?")
    };
    let sampled: Vec<&str> = samples.iter().map(of).collect();
    assert_eq!(sampled, variants, "a message has no sample: add one here, and its rows in states.rs");
    samples
}

/// Reads nothing, and learns which variants an enum has.
struct Variants<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Variants<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(value::Error::custom("no enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = variants;
        Err(value::Error::custom("only looked"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
