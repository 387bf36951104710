//! What is said at a hub, beside the transfers: joining it, and everything done to what it holds.
//! New messages go to the end of their enum: a message's place is its number on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::digest::EntryDigest;
use crate::base::fault::Fault;
use crate::base::id::TransferId;
use crate::base::manifest::{EntryKind, Stamp};
use crate::base::path::{Name, RelPath};
use crate::base::text::PeerText;

/// What a person may do at a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// Use it.
    Member,
    /// Also run it: spaces, accounts, other people's files in common spaces.
    Manager,
}

impl Rank {
    /// The word used on the command line and for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Manager => "manager",
        }
    }
}

/// By what a device shows that it may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Secret {
    /// A code that the hub made.
    Code,
    /// The password of an account.
    Password,
}

/// What either side says while a device joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Joining {
    /// The hub: with this salt the secret is to be stretched (argon2id, version 1.3).
    Challenge {
        /// 16 bytes. For a code, of this session; for a password, of the account, and as constant for
        /// an account that there is not.
        salt: [u8; 16],
    },
    /// The device: HMAC-SHA-256 under the stretched secret; see `man/ftx-protocol.7`.
    Proof([u8; 32]),
    /// The hub: welcome.
    Welcome {
        /// The account that the device belongs to now.
        account: Name,
        /// What it may do.
        rank: Rank,
        /// The hub's own proof of the same secret.
        proof: [u8; 32],
    },
    /// The device, when it is welcome: the account's password from now on, stretched.
    Password {
        /// Of its own.
        salt: [u8; 16],
        /// The password, stretched with it.
        stretched: [u8; 32],
    },
    /// The device has nothing more to say; the hub: it is done.
    Done,
    /// The hub: no.
    Refused(Fault),
}

/// What a device that has joined wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// Who am I here, and what may I use?
    Standing,
    /// What is in this folder, or what is this file?
    Look {
        /// Where; the spaces, if nowhere.
        path: Option<RelPath>,
        /// Also what is in the folders in it.
        deep: bool,
        /// With the plain SHA-256 of each file, also where it must be read for that.
        sha256: bool,
    },
    /// Where is something whose name has this in it, in any case of letters?
    Find {
        /// Part of a name.
        text: PeerText,
        /// Where to look; everywhere, if nowhere.
        below: Option<RelPath>,
    },
    /// Remove these; what they held stays restorable.
    Remove(Vec<RelPath>),
    /// Move or rename.
    Move {
        /// What.
        from: RelPath,
        /// What it is to be called.
        to: RelPath,
    },
    /// Make a folder, and those above it.
    MakeFolder(RelPath),
    /// What is kept of this file, or of what was in this folder.
    Versions(RelPath),
    /// Bring a kept version back; the newest, if none is named. What is there now is kept.
    Restore {
        /// Of which file or folder.
        path: RelPath,
        /// Which.
        version: Option<VersionId>,
    },
    /// The hub's signed word on what this device handed in with this transfer.
    Receipts(TransferId),
    /// Unlink this device from its account.
    Leave,
    /// Set the account's password, stretched as in [`Joining::Password`].
    SetPassword {
        /// Of its own.
        salt: [u8; 16],
        /// The password, stretched with it.
        stretched: [u8; 32],
    },
}

/// What a hub answers: pages, then [`Answer::Done`], or [`Answer::Abort`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Verb::Standing`].
    Standing(Standing),
    /// To [`Verb::Look`] and [`Verb::Find`].
    Items(Vec<Item>),
    /// To [`Verb::Versions`].
    Versions(Vec<Version>),
    /// To [`Verb::Receipts`]: each a JSON object with its signature, as it is to be kept.
    Receipts(Vec<String>),
    /// It is done: with so many files, or with this path for [`Verb::Restore`].
    Done {
        /// How many files it concerned.
        files: u64,
        /// What came of it, where that is not what was named.
        path: Option<RelPath>,
    },
    /// Nothing to say for now.
    KeepAlive,
    /// It is not done, or only in part, as it says.
    Abort(Fault),
}

/// An account as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its name.
    pub account: Name,
    /// What it may do.
    pub rank: Rank,
    /// Bytes it keeps there.
    pub used: u64,
    /// Bytes it may keep there.
    pub quota: Option<u64>,
    /// The longest file it may keep there, in bytes.
    pub largest: Option<u64>,
    /// The spaces it sees.
    pub spaces: Vec<Name>,
}

/// Something that a hub holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Where, from the hub's top.
    pub path: RelPath,
    /// What.
    pub kind: EntryKind,
    /// Whose it is; nobody's, if it was put there by hand.
    pub owner: Option<Name>,
    /// Its plain SHA-256, where it is known or was asked for.
    pub sha256: Option<[u8; 32]>,
    /// How many older versions are kept.
    pub versions: u32,
    /// Of a space: what kind of space, and what it is for, in a word or two.
    pub about: Option<PeerText>,
}

/// What names a kept version, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VersionId(pub Uuid);

impl VersionId {
    /// A new one; those made later sort behind it (UUIDv7, RFC 9562).
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// A version that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its name.
    pub id: VersionId,
    /// What it was.
    pub path: RelPath,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: Stamp,
    /// Whose it was.
    pub owner: Option<Name>,
    /// When it gave way, in seconds since 1970.
    pub kept: u64,
    /// Who replaced or removed it.
    pub by: Option<Name>,
    /// Whether something took its place then, or it was removed.
    pub replaced: bool,
    /// Its digest, where it is known.
    pub digest: Option<EntryDigest>,
}
