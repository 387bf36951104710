//! What became of each entry of a transfer, page by page: a million are let go of as they are told.

use std::collections::VecDeque;

use super::keeper::Keeper;
use super::settle::Settling;
use super::slots::{Slot, Slots, State};
use super::staging::Area;
use crate::base::digest::EntryDigest;
use crate::base::fault::Fault;
use crate::base::manifest::{Entry, Outcome};

/// Most entries that are told together of what became of them.
const PAGE: usize = 1024;

/// An entry with what became of it.
#[derive(Debug)]
pub struct Settled {
    /// The entry.
    pub entry: Entry,
    /// What became of it.
    pub outcome: Outcome,
    /// Of the bytes that came.
    pub digest: Option<EntryDigest>,
}

/// What became of everything, page by page: a million entries are let go of as they are told.
#[derive(Debug)]
pub struct Outcomes {
    pages: std::vec::IntoIter<(usize, Vec<Slot>)>,
    page: std::vec::IntoIter<Slot>,
    settling: Settling,
    /// What whoever looks after the folder knows of already; it comes before the other pages.
    noted: VecDeque<Vec<Settled>>,
}

impl Iterator for Outcomes {
    type Item = Vec<Settled>;

    fn next(&mut self) -> Option<Vec<Settled>> {
        self.noted.pop_front().or_else(|| self.page())
    }
}

impl Outcomes {
    pub(super) fn new(slots: Slots, settling: Settling) -> Self {
        Self { pages: slots.into_pages(), page: Vec::new().into_iter(), settling, noted: VecDeque::new() }
    }

    /// Puts everything into place, and gives what is there already its time.
    pub(super) fn place(&mut self, area: &Area) -> Result<(), Fault> {
        for slot in self.pages.as_mut_slice().iter_mut().flat_map(|(_, page)| page) {
            let found = match &mut slot.state {
                State::Equal(found) => found,
                State::Same(same) => &mut same.1,
                _ => continue,
            };
            std::mem::take(found).correct(self.settling.root());
        }
        self.settling.place(area)
    }

    /// Whether something is not where it should go and waits in staging.
    pub(super) fn is_refused(&self) -> bool {
        self.settling.is_refused()
    }

    /// What has been noted.
    pub(super) fn noted(&self) -> impl Iterator<Item = &Vec<Settled>> {
        self.noted.iter()
    }

    fn page(&mut self) -> Option<Vec<Settled>> {
        loop {
            let slots: Vec<Slot> = self.page.by_ref().take(PAGE).collect();
            if !slots.is_empty() {
                return Some(slots.into_iter().map(|slot| self.settled(slot)).collect());
            }
            // A whole offer may have been admitted at once.
            self.page = self.pages.next()?.1.into_iter();
        }
    }

    /// Has all of it noted.
    pub(super) fn note(&mut self, keeper: &dyn Keeper) -> Result<(), Fault> {
        while let Some(page) = self.page() {
            self.noted.push_back(page);
        }
        keeper.settled(self.noted.make_contiguous())
    }

    fn settled(&self, slot: Slot) -> Settled {
        let (outcome, digest) = match &slot.state {
            State::Plain => (self.settling.outcome_of(&slot), None),
            State::Staged(digest) => (self.settling.outcome_of(&slot), Some(*digest)),
            State::Equal(_) => (Outcome::Unchanged, None),
            State::Same(same) => (Outcome::Equal, Some(same.0)),
            State::Skipped => (Outcome::Skipped, None),
            State::Failed(fault) => (Outcome::Failed(fault.clone().into()), None),
            State::Awaited | State::Whole(_) | State::Open(_) => {
                (Outcome::Failed(Fault::protocol("the sender did not finish it").into()), None)
            }
        };
        Settled { entry: slot.entry, outcome, digest }
    }
}
