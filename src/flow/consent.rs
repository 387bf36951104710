//! Whether an offer is accepted: given beforehand, or asked for once all of it is known.

use std::collections::HashSet;
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

/// The outermost names that were asked for: two that are alike come with a number.
pub(super) struct Tops {
    names: HashSet<Name>,
    /// How many were asked for, and so the highest number.
    count: usize,
    /// Those with a number that came so far.
    numbered: HashSet<String>,
}

impl Tops {
    pub(super) fn new(names: Vec<Name>) -> Self {
        Self { count: names.len(), names: names.into_iter().collect(), numbered: HashSet::new() }
    }

    /// Whether this is one of them. What was found once costs nothing again: many entries have it.
    pub(super) fn has(&mut self, top: &str) -> bool {
        if self.names.contains(top) || self.numbered.contains(top) {
            return true;
        }
        let found =
            self.names.iter().filter_map(|name| name.number_in(top)).any(|number| number as usize <= self.count);
        if found {
            self.numbered.insert(top.to_owned());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_may_come_also_with_a_number() {
        let mut tops = Tops::new(["a.txt", "b (1).c (x)", "a.txt"].map(|name| Name::parse(name).unwrap()).to_vec());
        for top in ["a.txt", "a (1).txt", "a (3).txt", "a (3).txt", "b (1).c (x)", "b (1) (2).c (x)"] {
            assert!(tops.has(top), "{top}");
        }
        for top in ["a", "a (4).txt", "a (x).txt", "a (1) (2).txt", "b", "a.txt (1)", "c (1).txt"] {
            assert!(!tops.has(top), "{top}");
        }
    }
}
