//! What a node tells whoever watches it, and what it asks.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::base::book::Trust;
use crate::base::entries::Entries;
use crate::base::event::{Progress, Summary};
use crate::base::fault::Fault;
use crate::disk::source::Passed;
use crate::flow::greet::Peer;
use crate::flow::pair::Compared;
use crate::flow::words::KeyWords;

/// Something that happened, or that a person is to decide.
#[derive(Debug)]
pub enum Event {
    /// A peer offers something; somebody must say yes or no.
    Offered(Offered),
    /// A peer wants key words compared.
    Pairing(PairingAsked),
    /// Key words were compared; where both sides agreed, the peer is trusted now.
    Paired {
        /// With whom.
        peer: Peer,
        /// What both answered.
        compared: Compared,
    },
    /// A stranger is let in, by a rule: nobody is asked.
    Met {
        /// Who.
        peer: Peer,
        /// The words that its screen shows, too.
        words: KeyWords,
    },
    /// Bytes begin to move.
    Moving {
        /// With whom.
        peer: Peer,
        /// Which way.
        way: Way,
        /// How far it is, as long as it lasts.
        progress: watch::Receiver<Progress>,
    },
    /// Something arrived: verified, synced, in place.
    Received {
        /// From whom.
        peer: Peer,
        /// What.
        summary: Summary,
        /// How long it took, without the thinking.
        took: Duration,
    },
    /// Something was fetched from here.
    Served {
        /// By whom.
        peer: Peer,
        /// What.
        summary: Summary,
        /// What was left out.
        passed: Vec<Passed>,
        /// How long it took.
        took: Duration,
    },
    /// A peer was let go no further.
    Refused {
        /// Who.
        peer: Peer,
        /// What it was told.
        told: Fault,
    },
    /// A conversation with a peer did not come to its end.
    Failed {
        /// With whom.
        peer: Peer,
        /// Why.
        fault: Fault,
        /// On which side.
        side: Side,
    },
    /// A connection was closed before it was known whose it is. Told once for each address.
    Closed {
        /// From where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
}

/// Which way bytes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To this node.
    In,
    /// From this node.
    Out,
}

/// One of the two sides of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This one, or the connection.
    Here,
    /// The peer's.
    There,
}

/// An offer to be decided on. When the sender gives up waiting, `answer` closes.
#[derive(Debug)]
pub struct Offered {
    /// Who offers it.
    pub peer: Peer,
    /// How far it is trusted.
    pub trust: Trust,
    /// The words that its screen shows, too.
    pub words: KeyWords,
    /// Everything it offers.
    pub entries: Entries,
    /// Where it would go.
    pub into: String,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Reply>,
}

/// A wish to compare key words. When the peer gives up waiting, `answer` closes.
#[derive(Debug)]
pub struct PairingAsked {
    /// Who wants it.
    pub peer: Peer,
    /// The words that its screen shows, too.
    pub words: KeyWords,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Reply>,
}

/// What a person answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Yes.
    Accept,
    /// Yes, and this peer is trusted from now on.
    AcceptAndTrust,
    /// No.
    Decline,
}
