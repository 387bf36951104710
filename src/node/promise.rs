//! What a person has said yes to: a transfer that is lost half-way and dialled again, with exactly the
//! same manifest, is not asked about again. One yes is for one transfer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::base::entries::Entries;
use crate::base::id::{PeerId, TransferId};

/// How long after it was lost a transfer may come again without a question.
const KEPT: Duration = Duration::from_secs(10 * 60);

/// Most promises that are remembered; the oldest are forgotten.
const MOST: usize = 256;

/// What stands for one offer of one transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    peer: PeerId,
    transfer: TransferId,
    manifest: [u8; 32],
}

impl Promise {
    /// What stands for these entries, offered by this peer in this transfer.
    pub fn of(peer: PeerId, transfer: TransferId, entries: &Entries) -> Self {
        let mut hasher = Sha256::new();
        for entry in entries.iter() {
            // An entry always has a postcard form: it has no maps and no floats.
            hasher.update(postcard::to_allocvec(entry).unwrap_or_default());
        }
        Self { peer, transfer, manifest: hasher.finalize().into() }
    }
}

/// The promises of one node.
#[derive(Debug, Clone, Default)]
pub struct Promises(Arc<Mutex<Vec<(Promise, Instant)>>>);

impl Promises {
    fn lock(&self) -> MutexGuard<'_, Vec<(Promise, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a person has said yes, or that what was accepted is lost only now.
    pub fn make(&self, promise: Promise) {
        self.keep(promise);
        let mut promises = self.lock();
        if promises.len() == MOST {
            promises.remove(0);
        }
        promises.push((promise, Instant::now()));
    }

    /// Whether a person has said yes to this already.
    pub fn holds(&self, promise: Promise) -> bool {
        self.lock().iter().any(|(made, at)| *made == promise && at.elapsed() < KEPT)
    }

    /// Forgets it: it has come to its end.
    pub fn keep(&self, promise: Promise) {
        self.lock().retain(|(made, _)| *made != promise);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::manifest::{Entry, EntryKind};
    use crate::base::path::RelPath;

    fn entries(names: &[&str]) -> Entries {
        let mut entries = Entries::default();
        let entry = |name: &&str| Entry { path: RelPath::parse(name).unwrap(), kind: EntryKind::FOLDER };
        entries.extend(names.iter().map(entry));
        entries
    }

    #[tokio::test(start_paused = true)]
    async fn a_yes_holds_for_the_same_offer_of_the_same_peer_and_not_for_ever() {
        let (alice, bob) = (PeerId::of_public_key(&[1; 32]), PeerId::of_public_key(&[2; 32]));
        let promises = Promises::default();
        let (this, other) = (TransferId::new(), TransferId::new());
        let promise = Promise::of(alice, this, &entries(&["a", "b"]));
        promises.make(promise);
        assert!(promises.holds(Promise::of(alice, this, &entries(&["a", "b"]))));
        assert!(!promises.holds(Promise::of(bob, this, &entries(&["a", "b"]))));
        assert!(!promises.holds(Promise::of(alice, this, &entries(&["a", "b", "c"]))));
        assert!(!promises.holds(Promise::of(alice, other, &entries(&["a", "b"]))));
        tokio::time::sleep(KEPT).await;
        assert!(!promises.holds(promise));
        promises.make(promise);
        promises.keep(promise);
        assert!(!promises.holds(promise));
    }
}
