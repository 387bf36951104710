//! What a hub tells whoever keeps its log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::status::Way;
use crate::base::digest::EntryDigest;
use crate::base::fault::Fault;
use crate::base::id::PeerId;
use crate::base::path::{Name, RelPath};
use crate::base::text::PeerText;
use crate::flow::greet::Peer;
use crate::wire::hub::{Rank, VersionId};

/// A device at a hub, and whose it is as far as it has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The device.
    pub id: PeerId,
    /// What it calls itself.
    pub name: PeerText,
    /// Its account.
    pub account: Option<Name>,
}

impl Guest {
    /// The device at the other end of a conversation.
    pub fn new(peer: &Peer, account: Option<Name>) -> Self {
        Self { id: peer.id(), name: peer.name.clone(), account }
    }
}

/// Something that happened at a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It takes connections from now on.
    Listening {
        /// What it is called.
        name: PeerText,
        /// Who it is.
        id: PeerId,
        /// Where its repository is.
        dir: PathBuf,
        /// At which port.
        port: u16,
    },
    /// A device has connected.
    Connected {
        /// Which.
        guest: Guest,
        /// From where.
        address: SocketAddr,
    },
    /// The last connection of a device has ended.
    Disconnected {
        /// Which.
        guest: Guest,
        /// How long it was here.
        after: Duration,
    },
    /// A device has joined an account.
    Joined {
        /// Which; the account is the new one.
        guest: Guest,
        /// What it may do.
        rank: Rank,
    },
    /// A device wanted to join and may not.
    JoinRefused {
        /// Which.
        guest: Guest,
        /// Why. What was wrong of a code or password is never told.
        fault: Fault,
    },
    /// A device has left its account.
    Left {
        /// Which; the account is the one that it left.
        guest: Guest,
    },
    /// A file came and is safe.
    Received(Moved),
    /// A file was fetched, or sent from the hub.
    Sent(Moved),
    /// A transfer of more than [`NAMED`] files has ended.
    Whole {
        /// From whom, or to whom.
        guest: Guest,
        /// Which way.
        way: Way,
        /// Where to, or what, as it was asked for.
        path: Option<RelPath>,
        /// How many files it was; of each there was an event.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Something was removed; it can be restored.
    Removed {
        /// By whom.
        guest: Guest,
        /// What.
        path: RelPath,
        /// How many files that were.
        files: u64,
    },
    /// Something has another name, or is elsewhere.
    Renamed {
        /// By whom.
        guest: Guest,
        /// What it was called.
        from: RelPath,
        /// What it is called.
        to: RelPath,
    },
    /// A folder was made.
    FolderMade {
        /// By whom.
        guest: Guest,
        /// Where.
        path: RelPath,
    },
    /// A kept version is back.
    Restored {
        /// By whom.
        guest: Guest,
        /// Where it is.
        path: RelPath,
        /// Which; the newest of each file, if none was named.
        version: Option<VersionId>,
    },
    /// A device asked for something that it may not have or do.
    Refused {
        /// Which.
        guest: Guest,
        /// What it wanted to do, in a word: `push`, `pull`, `rm`.
        verb: &'static str,
        /// With what.
        path: Option<RelPath>,
        /// Why it may not.
        fault: Fault,
    },
    /// A file is there, or is another, that nobody sent: somebody works in the folder itself.
    Appeared {
        /// Which.
        path: RelPath,
        /// Its length in bytes.
        size: u64,
    },
    /// Something is gone that nobody removed through the hub.
    Vanished {
        /// What.
        path: RelPath,
    },
    /// Something was changed on the hub's own machine: an account, a space, a code.
    Managed {
        /// What, in plain words. Never a code or a password.
        what: String,
    },
    /// A conversation did not come to its end.
    Failed {
        /// With whom.
        guest: Guest,
        /// Why.
        fault: Fault,
    },
    /// The hub cannot do something that it should.
    Trouble(Fault),
    /// So many events were not told: whoever reads the log is too slow.
    Missed {
        /// How many.
        events: u64,
    },
    /// A connection was closed before it was known whose it is. Told once for each address.
    Closed {
        /// From where.
        address: SocketAddr,
        /// Why.
        reason: PeerText,
    },
}

/// One file that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// From whom, or to whom.
    pub guest: Guest,
    /// Where it is here.
    pub path: RelPath,
    /// Its length in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Option<EntryDigest>,
}

/// How many files of a transfer a person wants to see named.
pub const NAMED: u64 = 100;
