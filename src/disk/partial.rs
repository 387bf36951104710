//! One transfer that comes: what is there of each of its entries, and what has come. Verified chunks
//! wait in staging until everything is there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fit::Fit;
use super::journal::Kept;
use super::keeper::Keeper;
use super::outcomes::Outcomes;
use super::place::Place;
use super::root::{Folders, Missing, Root};
use super::settle::{Leftovers, Settling};
pub use super::slots::End;
use super::slots::{Slot, Slots, State, Work, runs};
use super::staging::Area;
use crate::base::digest::{CHUNK, chunk_length};
use crate::base::fault::Fault;
use crate::base::id::{PeerId, TransferId};
use crate::base::manifest::{Entry, EntryKind, Have};
use crate::base::path::RelPath;

/// One transfer's staging.
#[derive(Debug)]
pub struct Partial {
    pub(super) root: Root,
    pub(super) area: Area,
    pub(super) fit: Mutex<Fit>,
    pub(super) slots: Mutex<Slots>,
    pub(super) bytes: AtomicU64,
    pub(super) unsynced: AtomicU64,
    pub(super) entries: AtomicU64,
    /// Whether equal size and time are not enough.
    by_content: AtomicBool,
    /// Whether settling has begun and not come to its end: staging is then not to be cleared.
    settling: AtomicBool,
    /// Whether it has been left: the folder may be another transfer's by now.
    left: AtomicBool,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Partial {
    /// Opens the staging of what `sender` sends under the names that `set` stands for, with what
    /// an earlier try left. Where another transfer of the same is under way, and does not end
    /// soon, a fresh one, which nobody can go on with.
    ///
    /// # Errors
    /// A disk fault.
    pub fn open(root: &Root, sender: PeerId, set: &[u8; 32], transfer: TransferId) -> Result<Self, Fault> {
        let area = Area::open(root, sender, set, transfer)?;
        Ok(Self {
            root: root.clone(),
            fit: Mutex::new(Fit::new(area.system, root.longest())),
            area,
            slots: Mutex::default(),
            bytes: AtomicU64::new(0),
            unsynced: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            by_content: AtomicBool::new(false),
            settling: AtomicBool::new(false),
            left: AtomicBool::new(false),
        })
    }

    /// From now on, what is in place is equal only if its bytes are.
    pub fn compare_contents(&self) {
        self.by_content.store(true, Ordering::Relaxed);
    }

    /// Takes the next entries of the manifest and says what is there of each already.
    ///
    /// # Errors
    /// A disk fault.
    pub fn admit(&self, page: Vec<Entry>) -> Result<Vec<Have>, Fault> {
        let mut there = Place::new(&self.root);
        let mut staged = Folders::new(self.area.data().map_err(|error| Fault::disk("reading staging", &error))?);
        let mut haves = Vec::with_capacity(page.len());
        let mut slots = Vec::with_capacity(page.len());
        let mut begun_anew = false;
        for entry in page {
            let elsewhere = lock(&self.fit).elsewhere(&entry, &mut there)?;
            let local = elsewhere.as_deref().unwrap_or(&entry.path);
            let kept = self.area.kept(local).map_err(|error| Fault::disk("reading the journal", &error))?;
            let outdated = kept.as_ref().is_some_and(|kept| kept.is_outdated(&entry.kind));
            let nothing = if outdated { Have::Outdated } else { Have::Nothing };
            if self.area.goes_on {
                clear_other_kind(&entry.kind, local, kept.as_ref(), &mut staged)?;
            }
            let mut state = self.look(&entry.kind, local, kept, &mut there, &mut staged)?;
            let begins = match &state {
                State::Awaited => true,
                State::Open(work) => work.got == 0,
                _ => false,
            };
            // It must not be taken for what was noted.
            if begins && self.area.is_noted(local) {
                begun_anew = true;
                let noted = lock(&self.area.journal).forget(local);
                noted.map_err(|error| Fault::disk("writing the journal", &error))?;
            }
            haves.push(match &mut state {
                State::Equal(_) => Have::Equal,
                State::Skipped => Have::Skipped,
                State::Whole(_) => Have::Chunks(runs(0..1)),
                State::Open(work) if work.got > 0 => Have::Chunks(work.told()),
                State::Open(work) => work.candidate.as_ref().map_or(nothing, |(digest, _)| Have::Digest(*digest)),
                State::Awaited => nothing,
                _ => Have::Nothing,
            });
            if !state.is_unfinished() {
                self.entries.fetch_add(1, Ordering::Relaxed);
            }
            slots.push(Slot { entry, elsewhere, state });
        }
        if begun_anew {
            // What the journal said of the old bytes must be gone before there are new ones, also
            // after a power cut.
            self.area.checkpoint().map_err(|error| Fault::disk("starting over", &error))?;
        }
        lock(&self.slots).push(slots);
        Ok(haves)
    }

    /// What is there of an entry that goes to `local`.
    fn look(
        &self,
        kind: &EntryKind,
        local: &RelPath,
        kept: Option<Kept>,
        there: &mut Place,
        staged: &mut Folders,
    ) -> Result<State, Fault> {
        if matches!(kind, EntryKind::Directory { .. } | EntryKind::Link { .. }) {
            return Ok(State::Plain);
        }
        let by_content = self.by_content.load(Ordering::Relaxed);
        if !by_content && let Some(found) = there.equal(kind, local) {
            return Ok(State::Equal(found));
        }
        let candidate = if by_content { there.digest_of(kind, local) } else { None };
        if candidate.is_none() && there.keeps_other(local) {
            return Ok(State::Skipped);
        }
        let mut work = resume(kind, local, kept, staged)?;
        if work.got == 0 {
            work.candidate = candidate;
        }
        // A million files that wait for their bytes, or their end, need no room for what is known of these.
        Ok(match (work.chunks.as_slice(), kind) {
            ([Some(hash)], EntryKind::File { size: 1..=CHUNK, .. }) => State::Whole(*hash),
            ([], _) if work.candidate.is_none() => State::Awaited,
            _ => State::Open(Box::new(work)),
        })
    }

    /// Who looks after the folder it goes to.
    pub fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        self.root.keeper().cloned()
    }

    /// Bytes that are written and verified, without what an earlier try left.
    pub fn bytes_written(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Entries that are complete.
    pub fn entries_complete(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Whether anything is staged that a later try can go on with.
    pub fn holds_something(&self) -> bool {
        if self.settling.load(Ordering::Acquire) {
            return true;
        }
        if self.area.is_fresh() {
            return false;
        }
        // Also what has not been offered again yet.
        if self.area.goes_on {
            return true;
        }
        // A pipe begins anew each time: what came of it is worth nothing.
        lock(&self.slots).iter().filter(|slot| slot.entry.kind != EntryKind::Stream).any(|slot| match &slot.state {
            State::Open(work) => work.got > 0,
            State::Whole(_) | State::Staged(_) => true,
            _ => false,
        })
    }

    /// Syncs everything, puts it into place by the folder's rule for names that are taken, has it noted by
    /// whoever looks after the folder, and clears the staging.
    /// Returns each entry's outcome and, where bytes came, its digest, page by page.
    ///
    /// # Errors
    /// A disk fault; what is staged then stays, and what is in place already is in place.
    pub fn settle(&self) -> Result<Outcomes, Fault> {
        if let Some(keeper) = self.root.keeper() {
            keeper.begin()?;
        }
        self.settling.store(true, Ordering::Release);
        let settled = self.put_into_place();
        // Nobody can go on with a fresh one.
        self.settling.store(settled.is_ok() || !self.area.is_fresh(), Ordering::Release);
        settled
    }

    fn put_into_place(&self) -> Result<Outcomes, Fault> {
        // Nothing more is admitted.
        self.area.all_offered();
        let slots = std::mem::take(&mut *lock(&self.slots));
        let complete =
            |slot: &Slot| matches!(slot.state, State::Plain | State::Staged(_) | State::Equal(_) | State::Same(..));
        let odd = self.area.goes_on || !slots.iter().all(complete);
        let leftovers = if odd { Leftovers::Possible } else { Leftovers::None };
        let mut settling = Settling::new(&self.root, lock(&self.fit).case(), leftovers);
        settling.prepare(&slots, &self.area)?;
        let mut outcomes = Outcomes::new(slots, settling);
        match self.keeper() {
            None => outcomes.place(&self.area)?,
            Some(keeper) => {
                keeper.in_turn(&mut || {
                    outcomes.place(&self.area)?;
                    outcomes.note(&*keeper)
                })?;
                outcomes.noted().try_for_each(|page| keeper.noted(page))?;
                keeper.end();
            }
        }
        // Where this fails nothing is lost: what is there is in place, or is sent again.
        let _ = if outcomes.is_refused() && !self.area.is_fresh() { self.area.checkpoint() } else { self.area.clear() };
        Ok(outcomes)
    }

    /// Gives up the staging if it holds nothing; else makes what it holds survive a power cut.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Release);
        if self.holds_something() {
            let _ = self.area.checkpoint();
        } else {
            let _ = self.area.clear();
        }
    }
}

/// Opened for somebody who is gone: nobody else clears it.
impl Drop for Partial {
    fn drop(&mut self) {
        if !self.left.load(Ordering::Acquire) && !self.holds_something() {
            let _ = self.area.clear();
        }
    }
}

/// Removes what an earlier try staged at an entry's place where that is of another kind, or where
/// it begins anew anyway.
fn clear_other_kind(kind: &EntryKind, local: &RelPath, kept: Option<&Kept>, staged: &mut Folders) -> Result<(), Fault> {
    let name = local.file_name();
    let Ok(dir) = staged.holding(local, Missing::Fail) else { return Ok(()) };
    let Ok(there) = dir.symlink_metadata(name.as_str()) else { return Ok(()) };
    let fits = match kind {
        EntryKind::Directory { .. } => there.is_dir(),
        EntryKind::File { .. } => there.is_file() && kept.is_some(),
        EntryKind::Stream => false,
        EntryKind::Link { .. } => there.is_symlink(),
    };
    let cleared = match (fits, there.is_dir()) {
        (true, _) => Ok(()),
        (false, true) => dir.remove_dir_all(name.as_str()),
        (false, false) => dir.remove_file(name.as_str()),
    };
    cleared.map_err(|e| Fault::disk(format!("starting {local} over"), &e))
}

/// What the journal has of a file, if it still is the same file and its bytes are still there.
fn resume(kind: &EntryKind, local: &RelPath, kept: Option<Kept>, staged: &mut Folders) -> Result<Work, Fault> {
    let EntryKind::File { size, .. } = *kind else { return Ok(Work::default()) };
    // Grows with what comes, not with what is announced.
    let mut work = Work::default();
    let Some(kept) = kept else { return Ok(work) };
    let name = local.file_name();
    let Ok(dir) = staged.holding(local, Missing::Fail) else { return Ok(work) };
    let length = dir.symlink_metadata(name.as_str()).ok().filter(|m| m.is_file()).map(|m| m.len());
    if kept.is_of(kind) {
        for (index, hash) in kept.chunks {
            let end = u64::from(index) * CHUNK + chunk_length(size, index);
            if length.is_some_and(|length| length >= end) {
                work.keep(index, hash, size);
            }
        }
    }
    if work.got == 0 && length.is_some() {
        dir.remove_file(name.as_str()).map_err(|e| Fault::disk(format!("starting {local} over"), &e))?;
    }
    Ok(work)
}
