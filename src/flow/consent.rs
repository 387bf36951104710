//! Whether an offer is accepted: given beforehand, or asked for once all of it is known.

use std::future::Future;
use std::pin::Pin;

use crate::base::entries::Entries;
use crate::base::fault::FaultKind;
use crate::base::id::TransferId;
use crate::base::path::Name;
use crate::base::text::PeerText;
use crate::disk::root::Root;

/// The answer to an offer, when somebody has thought about it.
pub type Answer = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// Whether, and where to, an offer is accepted.
pub enum Consent {
    /// It was asked for: everything goes to this folder at once.
    Given {
        /// The folder.
        root: Root,
        /// The outermost names that may come; any, where everything was asked for.
        tops: Option<Vec<Name>>,
    },
    /// Somebody, or some rule, decides once the whole manifest is there.
    Ask(Box<dyn FnOnce(Proposal) -> Answer + Send>),
}

/// A whole offer, to be decided on.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Which transfer; the same when it is dialled again.
    pub transfer: TransferId,
    /// Everything offered; accepting binds exactly this list.
    pub entries: Entries,
}

/// What was decided.
#[derive(Debug)]
pub enum Verdict {
    /// Yes, into this folder.
    Accept(Root),
    /// No.
    Decline {
        /// Of which kind.
        kind: FaultKind,
        /// Why, for the sender.
        reason: PeerText,
    },
}

/// Whether an outermost name is one that was asked for, or one of them with a number: two that are
/// alike get one.
pub(super) fn is_among(tops: &[Name], top: &str) -> bool {
    let numbers = 1..=tops.len() as u32;
    tops.iter().any(|name| name.as_str() == top || numbers.clone().any(|n| name.numbered(n).as_str() == top))
}
