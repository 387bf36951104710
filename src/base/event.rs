//! What happens in a transfer, as values; the command line draws them.

use serde::{Deserialize, Serialize};

use super::entries::Entries;
use super::fault::Fault;
use super::id::TransferId;
use super::manifest::{Entry, Outcome};

/// How far a transfer has come. Totals, not steps, so that a missed report does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Entries announced so far.
    pub entries: u64,
    /// Bytes announced so far; less than what moves where a pipe is sent.
    pub bytes: u64,
    /// Entries through with.
    pub entries_done: u64,
    /// Bytes that have moved in this run.
    pub bytes_moved: u64,
    /// Bytes that need not move: the receiver has them, or does not want them.
    pub bytes_kept: u64,
    /// Bytes that the other side has confirmed as written, as far as it told.
    pub bytes_safe: u64,
}

/// What a transfer is doing, in the order in which it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Telling what there is.
    #[default]
    Offering,
    /// A person is being asked.
    Asking,
    /// Bytes are moving.
    Moving,
    /// Everything moved; the receiver syncs and puts things into place.
    Settling,
    /// The connection is lost; the peer is dialled again.
    Reconnecting,
}

/// A finished transfer: what became of each entry, in the order of the manifest.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Which transfer.
    pub transfer: TransferId,
    /// The entries.
    pub entries: Entries,
    /// What became of each.
    pub outcomes: Vec<Outcome>,
    /// Places of the entries that changed at the sender since an earlier try: all of them came again.
    pub anew: Vec<u32>,
    /// Bytes that moved.
    pub bytes_moved: u64,
    /// Sizes of everything, moved or not.
    pub bytes_total: u64,
    /// What the other side has and did not send; empty where this side is the sender.
    pub left_out: Vec<Fault>,
    /// Whether the receiver's signature on all of it was checked.
    pub receipt: Receipted,
}

/// Whether the receiver's signed word is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipted {
    /// The sender checked the receiver's signature.
    Checked,
    /// This side is the receiver: it gave its word.
    Given,
}

impl Summary {
    /// The entries, each with what became of it.
    pub fn each(&self) -> impl Iterator<Item = (&Entry, &Outcome)> {
        self.entries.iter().zip(&self.outcomes)
    }

    /// The entries that should have arrived and did not.
    pub fn failed(&self) -> impl Iterator<Item = (&Entry, &Outcome)> {
        self.each().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
    }

    /// The entries that changed since an earlier try.
    pub fn anew(&self) -> impl Iterator<Item = &Entry> {
        self.anew.iter().filter_map(|place| self.entries.get(*place as usize))
    }

    /// How many files there are, folders and links not counted.
    pub fn files(&self) -> usize {
        self.entries.iter().filter(|entry| entry.has_bytes()).count()
    }
}
