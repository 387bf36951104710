//! What is asked of a hub on its own machine, and what it answers; `man/ftx-files.5` has it for others.

use serde::{Deserialize, Serialize};

use crate::base::event::Stage;
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::{Name, RelPath};
use crate::base::text::PeerText;
use crate::hub::space::{Kind, Settings};
use crate::hub::status::{About, AccountUse, SpaceUse, Status};
use crate::wire::hub::Rank;

/// The version of what is said here. What is added is a new request or field; another version is told
/// so and gets no answer.
pub const VERSION: u32 = 1;

/// The one line that whoever asks says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// [`VERSION`].
    pub version: u32,
    /// What is wanted.
    #[serde(flatten)]
    pub request: Request,
}

/// Only the version of an [`Ask`]: read first, as nothing else of another version may be understood.
#[derive(Debug, Deserialize)]
pub(super) struct AskVersion {
    pub(super) version: u32,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Which hub is it?
    About,
    /// How does it stand?
    Status,
    /// How does it stand, each second, until whoever asks has gone?
    Watch,
    /// Make a code to join with.
    Invite {
        /// Whether it works once only; it is shorter then, and lives for minutes.
        once: bool,
        /// For this account, which may be there already; else whoever joins chooses its name.
        account: Option<Name>,
        /// What the account may do.
        role: Rank,
        /// For how many seconds it works; as the hub thinks right, if not given.
        lasts: Option<u64>,
    },
    /// Which codes work?
    Codes,
    /// This code is to work no longer.
    Revoke {
        /// The code.
        code: String,
    },
    /// Which accounts are there?
    Accounts,
    /// Change an account.
    Account {
        /// Which.
        account: Name,
        /// How.
        change: AccountChange,
    },
    /// Which spaces are there?
    Spaces,
    /// Make a top folder a space.
    AddSpace {
        /// Which.
        space: Name,
        /// What kind.
        #[serde(flatten)]
        kind: Kind,
        /// Most bytes that it may hold.
        quota: Option<u64>,
    },
    /// Change a space.
    SetSpace {
        /// Which.
        space: Name,
        /// Until when members hand in, seconds since 1970.
        deadline: Option<Limit>,
        /// Most bytes that it may hold.
        quota: Option<Limit>,
    },
    /// A top folder is to be no space any longer. What is in it stays.
    RemoveSpace {
        /// Which.
        space: Name,
    },
    /// What are the hub's limits?
    Settings,
    /// Change the hub's limits, as far as they are given.
    Set(Limits),
    /// Read everything again and tell what is not as it was.
    Verify {
        /// Whether the catalogue is to say what is there from now on.
        fix: bool,
    },
    /// Send something that it holds.
    Send {
        /// What.
        paths: Vec<RelPath>,
        /// To whom, as for `ftx push`; to everybody who is here, if nobody is named.
        receivers: Option<String>,
    },
}

/// A limit that is to be set or lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// There is to be none.
    None,
    /// It is to be this.
    Is(u64),
}

impl Limit {
    /// The limit, if there is to be one.
    pub fn value(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Is(value) => Some(value),
        }
    }
}

/// Limits of a hub that are to be others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Most bytes of an account that has no limit of its own.
    pub account_quota: Option<Limit>,
    /// Most bytes of one file.
    pub largest_file: Option<Limit>,
    /// Bytes of the disk that uploads leave free.
    pub reserve: Option<u64>,
    /// How many days what was replaced or removed is kept.
    pub keep_days: Option<u32>,
    /// Most bytes of all that is kept.
    pub keep_bytes: Option<Limit>,
}

/// What is to become of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountChange {
    /// Its devices are kept out.
    Disable,
    /// Its devices may come again.
    Enable,
    /// It is gone; its files stay.
    Remove,
    /// Its password is gone; its devices stay.
    Reset,
    /// It may do this.
    Role(Rank),
    /// It may keep so many bytes.
    Quota(Limit),
    /// A device, named by its name or the beginning of its id, is no longer one of its.
    Unlink(String),
}

/// What a hub answers: some of these, then [`Answer::Done`] or [`Answer::Failed`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Which hub it is.
    About(About),
    /// How it stands.
    Status(Box<Status>),
    /// A code that works.
    Code(Invitation),
    /// An account.
    Account(AccountUse),
    /// A space.
    Space(SpaceUse),
    /// The limits.
    Settings(Settings),
    /// How far everything has been read again.
    Checked {
        /// Files.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Something is not as it was.
    Finding {
        /// What.
        path: RelPath,
        /// How, in a word.
        what: PeerText,
        /// How, in a sentence.
        text: PeerText,
        /// Whether something is lost or wrong, and not only unknown.
        damage: bool,
    },
    /// How far the sending to one receiver is.
    Sending {
        /// To whom.
        receiver: PeerText,
        /// What is being done.
        stage: Stage,
        /// Bytes announced so far.
        bytes: u64,
        /// Bytes that moved.
        moved: u64,
        /// Bytes that need not move.
        kept: u64,
    },
    /// How the sending to one receiver ended.
    Sent {
        /// To whom.
        receiver: PeerText,
        /// The exit code of a push to it that ends like this; 0 where it has everything.
        code: u8,
        /// Why it has not everything.
        failed: Option<PeerText>,
        /// Files that it has.
        files: u64,
        /// Bytes that moved.
        bytes: u64,
    },
    /// It is still at it. Said every other second while there is nothing else to say.
    Working,
    /// It is done.
    Done,
    /// It is not done, or only in part.
    Failed {
        /// What kind of failure: a word of `ftx-protocol(7)`.
        kind: String,
        /// What happened.
        error: PeerText,
    },
}

/// A code to join with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The code.
    pub code: String,
    /// Until when it works, in seconds since 1970.
    pub until: u64,
    /// Whether it works once only.
    pub once: bool,
    /// For which account.
    pub account: Option<Name>,
    /// What the account may do.
    pub role: Rank,
}

impl Answer {
    /// How a failure is told.
    pub fn failed(fault: &Fault) -> Self {
        Self::Failed { kind: fault.kind.as_str().to_owned(), error: fault.text.clone() }
    }

    /// The failure that was told, if this is one.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Failed { kind, error } => Some(Fault { kind: FaultKind::of_word(kind), text: error.clone() }),
            _ => None,
        }
    }
}
