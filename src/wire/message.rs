//! Everything said after the `Hello`s. New messages go to the end of their enum: a message's
//! place is its number on the wire.

use serde::{Deserialize, Serialize};

use super::hub::{Secret, Verb};
use crate::base::digest::EntryDigest;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::{Entry, Have, Outcome};
use crate::base::path::{Name, RelPath};

/// What the side that dialled wants, with the nonce it had committed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The nonce whose hash its `Hello` had.
    pub nonce: [u8; 32],
    /// What it wants.
    pub request: Request,
}

/// What can be wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// To send: [`Sending`] follows from this side, [`Receiving`] from the other.
    Push,
    /// To be sent these paths, all shares if there are none: [`Sending`] follows from the other.
    Pull(Vec<RelPath>),
    /// To be told what a folder holds: [`Listing`] follows from the other side.
    List(Option<RelPath>),
    /// To compare key words and trust one another: [`Pairing`] follows from both sides.
    Pair,
    /// To carry bytes of a transfer under way, beside its first connection: a *lane*. The other side
    /// agrees with [`Receiving::Accept`] where it receives, with [`Sending::KeepAlive`] where it sends;
    /// then chunks and ends of entries follow from the sender, and [`Sending::End`] after the last.
    Attach {
        /// Which transfer.
        transfer: TransferId,
        /// What the other side said that lets us in.
        ticket: Ticket,
    },
    /// To be told what a push would move: as [`Request::Push`] up to the last [`Receiving::Have`],
    /// after which the sender hangs up. Nothing is written, nobody is asked.
    Preview,
    /// To send into this folder of a hub: as [`Request::Push`].
    PushTo(RelPath),
    /// To be told what [`Request::PushTo`] would move: as [`Request::Preview`].
    PreviewTo(RelPath),
    /// To join a hub: [`Joining`](super::hub::Joining) follows from both sides.
    Join {
        /// The account to join; of a code that is for one account, that one.
        account: Option<Name>,
        /// By what.
        by: Secret,
    },
    /// To have something done at a hub: [`Answer`](super::hub::Answer) follows from the other side.
    Ask(Verb),
    /// To be given what is handed over by a code: [`Giving`](super::give::Giving) follows from both sides,
    /// this one first, then [`Sending`] from the other.
    Take,
}

/// What lets the peer of a transfer, and nobody else, attach further connections to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket(pub [u8; 16]);

/// What a sender says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sending {
    /// First: which transfer, and how the manifest will be known.
    Offer {
        /// Its id.
        transfer: TransferId,
        /// SHA-256 over its outermost names: tells what an earlier try of the same left behind.
        set: [u8; 32],
    },
    /// Some more of the manifest.
    Page(Vec<Entry>),
    /// The manifest is complete.
    PagesEnd {
        /// How many entries it had.
        entries: u64,
        /// How many bytes it announced.
        bytes: u64,
    },
    /// Some bytes. `length` raw bytes follow the frame, then the 32 bytes of their SHA-256.
    Chunk(ChunkHead),
    /// An entry is through.
    EntryEnd {
        /// Which, by its place in the manifest.
        entry: u32,
        /// Its length, which for a pipe is known only now.
        size: u64,
        /// Its digest.
        digest: EntryDigest,
    },
    /// An entry cannot be sent: it vanished, changed or cannot be read.
    EntryGone {
        /// Which.
        entry: u32,
        /// Why.
        fault: Fault,
    },
    /// Everything is through; a [`Receipt`] is expected.
    End,
    /// Nothing to say for now.
    KeepAlive,
    /// It ends here.
    Abort(Fault),
    /// Something in the tree is not sent: it cannot be read (a fault of the disk), or is nothing
    /// that travels. May stand wherever a page may.
    LeftOut(Fault),
    /// With this, the receiver may attach further connections.
    Ticket(Ticket),
    /// Whole frames, packed together: `packed` bytes of a Zstandard frame (RFC 8878) follow, which hold
    /// exactly `length` bytes: frames of [`Sending::Chunk`], each with its bytes and their hash, of
    /// [`Sending::EntryEnd`] and of [`Sending::EntryGone`], and nothing else.
    Packed {
        /// How many bytes they are unpacked.
        length: u32,
        /// How many bytes follow: fewer than that.
        packed: u32,
    },
    /// Just before the end: so many further connections carried bytes, and each has an end of its own.
    Lanes(u32),
    /// Right after the offer: what is in place is equal only if its bytes are, whatever its time.
    ByContent,
}

/// What stands before a chunk's raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkHead {
    /// Which entry, by its place in the manifest.
    pub entry: u32,
    /// Which chunk of it.
    pub index: u32,
    /// How many bytes follow, at most a whole chunk.
    pub length: u32,
}

/// What a receiver says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receiving {
    /// A person is being asked.
    Asking,
    /// Yes. What it has already follows, page by page.
    Accept,
    /// No.
    Decline {
        /// Of which kind.
        kind: FaultKind,
        /// Why, for a person.
        reason: crate::base::text::PeerText,
    },
    /// What it has of the next entries, in the order of the manifest.
    Have(Vec<Have>),
    /// How far it is, all told.
    Progress {
        /// Bytes verified and written.
        bytes: u64,
        /// Entries complete.
        entries: u64,
    },
    /// Everything came; it is being synced and put into place.
    Settling,
    /// What became of the next entries, in the order of the manifest.
    Outcomes(Vec<Outcome>),
    /// Its word on all of it; the last message.
    Receipt(Receipt),
    /// Nothing to say for now.
    KeepAlive,
    /// It ends here.
    Abort(Fault),
    /// With this, the sender may attach further connections.
    Ticket(Ticket),
}

/// The receiver's signed word: these entries are verified, synced and in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// SHA-256 over the transfer's id and every entry's path, outcome and digest; see
    /// `man/ftx-protocol.7`.
    pub statement: [u8; 32],
    /// Ed25519 over a domain tag and the statement, 64 bytes.
    pub signature: Vec<u8>,
}

/// What the side that lists says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listing {
    /// Some more of the folder.
    Page(Vec<Entry>),
    /// That was all.
    End,
    /// It cannot be listed.
    Abort(Fault),
}

/// What either side says when key words are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pairing {
    /// A person is comparing the words.
    Asking,
    /// They are the same here.
    Agreed,
    /// They are not, or nobody can look.
    Refused(Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of messages on the wire: a change here is a new protocol.
    #[test]
    fn golden_bytes() {
        let bytes = |m: &Sending| postcard::to_allocvec(m).unwrap();
        assert_eq!(bytes(&Sending::Chunk(ChunkHead { entry: 300, index: 1, length: 5 })), [3, 0xac, 2, 1, 5]);
        assert_eq!(bytes(&Sending::End), [6]);
        assert_eq!(bytes(&Sending::KeepAlive), [7]);
        let path = RelPath::parse("a/b").unwrap();
        assert_eq!(postcard::to_allocvec(&Request::Pull(vec![path])).unwrap(), b"\x01\x01\x03a/b");
        assert_eq!(postcard::to_allocvec(&Receiving::Have(vec![Have::Equal, Have::Skipped])).unwrap(), [3, 2, 1, 3]);
        assert_eq!(postcard::to_allocvec(&Receiving::Have(vec![Have::Outdated])).unwrap(), [3, 1, 5]);
        let outcomes = vec![Outcome::Unchanged, Outcome::Skipped, Outcome::Replaced];
        assert_eq!(postcard::to_allocvec(&Receiving::Outcomes(outcomes)).unwrap(), [6, 3, 4, 5, 6]);
        let digest = Have::Digest(EntryDigest([7; 32]));
        assert_eq!(postcard::to_allocvec(&Receiving::Have(vec![digest])).unwrap(), [&[3, 1, 4][..], &[7; 32]].concat());
        let fault = Fault::new(FaultKind::Disk, "full");
        assert_eq!(postcard::to_allocvec(&Receiving::Abort(fault)).unwrap(), b"\x09\x05\x04full");
    }

    /// As the examples of `man/ftx-protocol.7`.
    #[test]
    fn golden_bytes_of_lanes_and_packed_chunks() {
        let ticket = Ticket([8; 16]);
        let said = [&[10][..], &[8; 16]].concat();
        assert_eq!(postcard::to_allocvec(&Sending::Ticket(ticket)).unwrap(), said);
        assert_eq!(postcard::to_allocvec(&Receiving::Ticket(ticket)).unwrap(), said);
        let packed = Sending::Packed { length: 300, packed: 10 };
        assert_eq!(postcard::to_allocvec(&packed).unwrap(), [11, 0xac, 2, 10]);
        assert_eq!(postcard::to_allocvec(&Sending::Lanes(3)).unwrap(), [12, 3]);
        assert_eq!(postcard::to_allocvec(&Sending::ByContent).unwrap(), [13]);
        let transfer = TransferId::new();
        let attach = [&[4, 16][..], transfer.as_bytes(), &[8; 16]].concat();
        assert_eq!(postcard::to_allocvec(&Request::Attach { transfer, ticket }).unwrap(), attach);
        assert_eq!(postcard::to_allocvec(&Request::Preview).unwrap(), [5]);
        assert_eq!(postcard::to_allocvec(&Request::PushTo(RelPath::parse("a").unwrap())).unwrap(), [6, 1, b'a']);
        let join = Request::Join { account: None, by: Secret::Password };
        assert_eq!(postcard::to_allocvec(&join).unwrap(), [8, 0, 1]);
        assert_eq!(postcard::to_allocvec(&Request::Ask(Verb::Leave)).unwrap(), [9, 9]);
        assert_eq!(postcard::to_allocvec(&Request::Take).unwrap(), [10]);
        let look = Verb::Look { path: Some(RelPath::parse("a").unwrap()), deep: false, sha256: true };
        assert_eq!(postcard::to_allocvec(&Request::Ask(look)).unwrap(), [9, 1, 1, 1, b'a', 0, 1]);
    }

    #[test]
    fn a_climbing_path_is_no_message() {
        let bytes = b"\x01\x01\x04../x";
        assert!(postcard::from_bytes::<Request>(bytes).is_err());
    }
}
