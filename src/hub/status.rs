//! How a hub stands, as values that programs read.

use serde::{Deserialize, Serialize};

use super::space::Kind;
use crate::base::id::PeerId;
use crate::base::path::{Name, RelPath};
use crate::base::text::PeerText;
use crate::wire::hub::Rank;

/// How a hub stands. Times are seconds since 1970, sizes are bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Which hub.
    pub hub: About,
    /// Who is connected, whoever came first first.
    pub connected: Vec<Connected>,
    /// What moves, whatever began first first.
    pub moving: Vec<Moving>,
    /// What came last, the newest first.
    pub received: Vec<Arrived>,
    /// What happened since the hub was started.
    pub counters: Counters,
    /// What there is, by space.
    pub spaces: Vec<SpaceUse>,
    /// What there is, by account.
    pub accounts: Vec<AccountUse>,
    /// Codes that still work.
    pub codes: u64,
    /// Bytes free on its disk.
    pub free: Option<u64>,
    /// Whether a list was too long for one answer and is cut.
    #[serde(default)]
    pub cut: bool,
}

/// Which hub this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What it is called.
    pub name: PeerText,
    /// Who it is.
    #[serde(with = "as_text")]
    pub id: PeerId,
    /// Where its repository is.
    pub dir: PeerText,
    /// At which port it listens; none, if it does not run.
    pub port: Option<u16>,
    /// Since when it runs.
    pub since: u64,
}

/// A device that is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// Which.
    #[serde(with = "as_text")]
    pub id: PeerId,
    /// What it calls itself.
    pub name: PeerText,
    /// Its account.
    pub account: Option<Name>,
    /// From where, the first of its connections.
    pub address: String,
    /// How many connections it has.
    pub connections: u64,
    /// Since when it is here.
    pub since: u64,
}

/// A transfer under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// With which device.
    #[serde(with = "as_text")]
    pub id: PeerId,
    /// What it calls itself.
    pub name: PeerText,
    /// Its account.
    pub account: Option<Name>,
    /// Which way.
    pub way: Way,
    /// What, or where to.
    pub path: Option<RelPath>,
    /// Bytes announced so far.
    pub bytes: u64,
    /// Bytes that moved.
    pub moved: u64,
    /// Bytes that need not move.
    pub kept: u64,
    /// Bytes a second, lately.
    pub rate: u64,
    /// Since when.
    pub since: u64,
}

/// Which way bytes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// To the hub.
    In,
    /// From the hub.
    Out,
}

/// A file that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// From the device of this name.
    pub name: PeerText,
    /// Whose it is.
    pub account: Option<Name>,
    /// Where it is.
    pub path: RelPath,
    /// Its length in bytes.
    pub size: u64,
    /// Its digest, in hexadecimal.
    pub digest: Option<String>,
    /// When.
    pub at: u64,
}

/// What happened since the hub was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Connections of devices.
    pub connections: u64,
    /// Files that came.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Files that were fetched.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Times that somebody was refused something.
    pub refused: u64,
}

/// A space, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceUse {
    /// Its name.
    pub name: Name,
    /// What kind of space it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// Bytes in it.
    pub bytes: u64,
    /// Files in it.
    pub files: u64,
    /// Most bytes that it holds.
    pub quota: Option<u64>,
}

/// An account, and what it keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountUse {
    /// Its name.
    pub name: Name,
    /// What it may do.
    #[serde(rename = "role")]
    pub rank: Rank,
    /// Whether its devices are kept out.
    pub disabled: bool,
    /// Whether it has a password.
    pub password: bool,
    /// Its devices.
    pub devices: Vec<DeviceOf>,
    /// Bytes of files in place that are its own.
    pub bytes: u64,
    /// Most bytes that it may keep; none where the hub's limit counts.
    pub quota: Option<u64>,
    /// Since when it is there.
    pub since: u64,
}

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceOf {
    /// Which.
    #[serde(with = "as_text")]
    pub id: PeerId,
    /// What it called itself when it joined.
    pub name: PeerText,
    /// Since when it belongs to the account.
    pub since: u64,
}

/// Ids as people know them.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::base::id::PeerId;

    pub(super) fn serialize<S: Serializer>(id: &PeerId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PeerId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
