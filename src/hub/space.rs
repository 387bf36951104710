//! Spaces: the top folders of a hub, each with its rules.

use serde::{Deserialize, Serialize};

use crate::base::path::Name;

/// What kind of space it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Kind {
    /// Members see all of it, add to it and change what is theirs.
    Shared,
    /// A private folder for each account.
    People,
    /// Managers write, members read.
    Read,
    /// Members hand in, each into a folder of their own.
    Drop {
        /// Until when, in seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<u64>,
    },
    /// Members change everything.
    Open,
}

/// A space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// What kind.
    #[serde(flatten)]
    pub kind: Kind,
    /// Most bytes that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
}

/// The limits of a hub. `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Most bytes of an account that has no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_quota: Option<u64>,
    /// Most bytes of one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_file: Option<u64>,
    /// Bytes of the disk that uploads leave free.
    pub reserve: u64,
    /// How many days what was replaced or removed is kept.
    pub keep_days: u32,
    /// Most bytes of all that is kept; the oldest go first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_bytes: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { account_quota: None, largest_file: None, reserve: 256 << 20, keep_days: 30, keep_bytes: None }
    }
}

impl Kind {
    /// The word used on the command line and for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::People => "people",
            Self::Read => "read",
            Self::Drop { .. } => "drop",
            Self::Open => "open",
        }
    }
}

/// The space that every hub has for all.
pub fn shared() -> Name {
    Name::from_local("shared").0
}

/// The space that holds everybody's private folders.
pub fn people() -> Name {
    Name::from_local("people").0
}
