//! What is sent: walked once and compressed by one judgement, however many receivers there are and
//! however often one of them has to be dialled.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::limit::Limit;
use super::pack::{Compress, Packing};
use super::pages::Weighed;
use super::window::Window;
use crate::base::entries::Entries;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::Entry;
use crate::base::path::{Name, RelPath};
use crate::disk::reader::{Opener, Reader};
use crate::disk::source::{Found, Go, Passed, Place, Source};
use crate::wire::limits::{MAX_ENTRIES, PAGE_BYTES};

/// Most entries of a block: the first are told, and sent, after so many.
const BLOCK: usize = 512;

/// When what is in place at the receiver is equal to what is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Equality {
    /// With the same size and time.
    #[default]
    SizeAndTime,
    /// With the same bytes only.
    Content,
}

/// How many will receive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// One.
    #[default]
    One,
    /// Several, side by side: each chunk is read and hashed for all of them together.
    Several,
}

/// How something is to be sent.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// What is equal.
    pub equality: Equality,
    /// How many receive it.
    pub audience: Audience,
    /// Whether it is packed on the way.
    pub compress: Compress,
    /// How fast it may go, to all receivers together.
    pub limit: Limit,
}

/// What is sent.
#[derive(Debug)]
pub struct Outgoing {
    source: Source,
    walked: Arc<Walked>,
    pub(super) equality: Equality,
    pub(super) packing: Arc<Packing>,
    pub(super) limit: Limit,
    pub(super) window: Option<Window>,
}

impl Outgoing {
    /// Begins to walk the source, in a thread of its own.
    pub fn start(source: Source, manner: Manner) -> Arc<Self> {
        let outgoing = Arc::new(Self {
            source,
            walked: Arc::default(),
            equality: manner.equality,
            packing: Arc::new(Packing::new(manner.compress)),
            limit: manner.limit,
            window: (manner.audience == Audience::Several).then(Window::default),
        });
        let walking = Arc::downgrade(&outgoing);
        let (source, walked) = (outgoing.source.clone(), outgoing.walked.clone());
        // It ends early where nobody is interested any more.
        std::thread::spawn(move || {
            // Over, also where the walk itself fails.
            let over = Over(walked);
            over.0.walk(&source, || walking.strong_count() > 0);
        });
        outgoing
    }

    /// Whether everything can be read again: a pipe cannot.
    pub fn is_repeatable(&self) -> bool {
        self.source.is_repeatable()
    }

    /// What stands for the set of outermost names, in whatever order they were named, and for the folder
    /// of a hub that they go into: the same names into two folders are two transfers.
    pub(super) fn set(&self, to: Option<&RelPath>) -> [u8; 32] {
        let mut names: Vec<_> = self.source.names().map(Name::as_str).collect();
        names.sort_unstable();
        let mut hasher = Sha256::new_with_prefix(b"ftx set v1\0");
        for name in names {
            hasher.update((name.len() as u32).to_be_bytes());
            hasher.update(name);
        }
        if let Some(folder) = to {
            // No name is empty.
            hasher.update([0; 4]);
            hasher.update(folder.as_str());
        }
        hasher.finalize().into()
    }

    /// Opens the bytes of the entry at a place.
    pub(super) fn open(&self, opener: &mut Opener, entry: &Entry, place: u32) -> Result<Reader, Fault> {
        let place = self.walked.state().place(place);
        opener.open(&self.source, entry, &place)
    }

    /// The entries found so far.
    pub(super) fn entries(&self) -> Entries {
        self.walked.state().entries.clone()
    }

    /// All the entries, once the walk is over.
    pub async fn all(&self) -> Entries {
        let mut news = self.walked.news();
        while !self.walked.state().over && news.changed().await.is_ok() {}
        self.entries()
    }

    pub(super) fn walked(&self) -> &Walked {
        &self.walked
    }

    /// What is not sent, and why; all of it once the walk is over.
    pub fn passed(&self) -> Vec<Passed> {
        self.walked.state().passed.clone()
    }
}

/// What the walk has found so far.
#[derive(Debug, Default)]
pub(super) struct Walked {
    state: Mutex<Known>,
    news: watch::Sender<()>,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) entries: Entries,
    pub(super) passed: Vec<Passed>,
    /// Whether that was all.
    pub(super) over: bool,
    /// Where each item's entries begin.
    items: Vec<(u32, u32)>,
    /// Where an entry's bytes are, if its own path does not say it.
    locals: HashMap<u32, Box<Path>>,
}

impl Known {
    fn place(&self, place: u32) -> Place {
        let after = self.items.partition_point(|(first, _)| *first <= place);
        let item = after.checked_sub(1).map_or(0, |at| self.items[at].1);
        Place { item, local: self.locals.get(&place).cloned() }
    }
}

/// Says that a walk is over, when it is dropped.
struct Over(Arc<Walked>);

impl Drop for Over {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let fault = Fault::new(FaultKind::Disk, "the walk ended unexpectedly: the rest is not sent");
            self.0.state().passed.push(Passed::Unreadable { fault });
        }
        self.0.state().over = true;
        self.0.news.send_replace(());
    }
}

impl Walked {
    pub(super) fn state(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of changes from now on.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    fn walk(&self, source: &Source, wanted: impl Fn() -> bool) {
        let (mut block, mut weight, mut count) = (Vec::new(), 0, 0);
        source.walk(|found| {
            match found {
                Ok(_) if count == MAX_ENTRIES => {
                    let text = format!("more than {MAX_ENTRIES} entries: the rest is not sent");
                    let fault = Fault::new(FaultKind::Disk, text);
                    self.state().passed.push(Passed::Unreadable { fault });
                    return Go::Stop;
                }
                Ok(Found { entry, place }) => {
                    self.note(count as u32, place);
                    count += 1;
                    weight += entry.weight();
                    block.push(entry);
                }
                Err(passed) => self.state().passed.push(passed),
            }
            if block.len() >= BLOCK || weight >= PAGE_BYTES {
                weight = 0;
                self.add(std::mem::take(&mut block));
            }
            if wanted() { Go::On } else { Go::Stop }
        });
        self.add(block);
    }

    fn note(&self, entry: u32, Place { item, local }: Place) {
        let mut state = self.state();
        if state.items.last().is_none_or(|(_, last)| *last != item) {
            state.items.push((entry, item));
        }
        if let Some(local) = local {
            state.locals.insert(entry, local);
        }
    }

    fn add(&self, block: Vec<Entry>) {
        self.state().entries.push(block);
        self.news.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::disk::item::Item;

    /// As the test vectors of `man/ftx-protocol.7`.
    #[test]
    fn the_same_names_into_two_folders_are_two_sets() {
        let item = |name: &str| Item::Text { name: Name::parse(name).unwrap(), bytes: Arc::from(&b""[..]) };
        let outgoing = Outgoing::start(Source::new(vec![item("b.txt"), item("a")]), Manner::default());
        let set = |to: Option<&str>| HEXLOWER.encode(&outgoing.set(to.map(|to| RelPath::parse(to).unwrap()).as_ref()));
        assert_eq!(set(None), "d9bb57653d452f4dee3684fa032e5a9021444f9906a52b5b8ccb22c1788c3a9f");
        assert_eq!(set(Some("shared/week3")), "2db628e1f3c0175fb807143f30e33e8a4688e47c70da5f5be35bdffa73cb47e3");
        assert_ne!(set(Some("shared")), set(Some("shared/week3")));
    }
}
