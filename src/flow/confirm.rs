//! Checking what a receiver says became of everything: as it says it, not when it is through.

use std::iter::Peekable;

use super::fault::FlowFault;
use super::ledger::{Ledger, lock};
use super::outgoing::Outgoing;
use super::receipt::Statement;
use crate::base::digest::EntryDigest;
use crate::base::entries::Entries;
use crate::base::event::{Receipted, Summary};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::Outcome;
use crate::link::key::PublicKey;
use crate::wire::limits::MAX_PAGE;
use crate::wire::message::Receipt;

/// What the receiver has said so far of what was sent, all of which it has been told.
#[derive(Debug)]
pub(super) struct Confirming<'a> {
    transfer: TransferId,
    ledger: &'a Ledger,
    entries: Entries,
    /// Digests of what was sent; `None` for what could not be.
    sent: Peekable<std::vec::IntoIter<(u32, Option<EntryDigest>)>>,
    statement: Statement,
    outcomes: Vec<Outcome>,
    /// Whether it has claimed what cannot be.
    claimed: bool,
}

impl<'a> Confirming<'a> {
    /// Begins, once everything has been told and sent.
    pub(super) fn begin(transfer: TransferId, outgoing: &'a Outgoing, ledger: &'a Ledger) -> Self {
        Self {
            transfer,
            ledger,
            entries: outgoing.entries(),
            sent: std::mem::take(&mut *lock(&ledger.digests)).into_iter().peekable(),
            statement: Statement::of(transfer),
            outcomes: Vec::new(),
            claimed: false,
        }
    }

    /// Whether it has said anything yet.
    pub(super) fn is_new(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// Takes what became of the next entries.
    pub(super) fn add(&mut self, page: Vec<Outcome>) -> Result<(), FlowFault> {
        let more = || FlowFault::unexpected("more outcomes than entries");
        if page.is_empty() || page.len() > MAX_PAGE {
            return Err(more());
        }
        for outcome in page {
            let place = self.outcomes.len();
            let entry = self.entries.get(place).ok_or_else(more)?;
            let digest = self.sent.next_if(|(sent, _)| *sent as usize == place);
            let there = outcome == Outcome::Unchanged;
            let fits = digest.map_or(there, |(_, digest)| digest.is_some() && !there);
            // Nobody has in place what was never sent, unless it said at once that it was there.
            self.claimed |= entry.has_bytes() && outcome.is_good() && !fits;
            // A folder is never in another's place.
            self.claimed |= entry.kind.is_folder() && outcome == Outcome::Replaced;
            self.statement.add(entry, &outcome, digest.and_then(|(_, digest)| digest));
            self.outcomes.push(outcome);
        }
        Ok(())
    }

    /// Checks the receipt against all of it.
    pub(super) fn confirmed_by(self, receipt: &Receipt, key: PublicKey) -> Result<Summary, FlowFault> {
        let Self { transfer, ledger, entries, statement, outcomes, claimed, .. } = self;
        if claimed || outcomes.len() != entries.len() || !statement.confirmed_by(receipt, key) {
            let text = "the receiver's receipt does not fit what was sent";
            return Err(FlowFault::Ours(Fault::new(FaultKind::Integrity, text)));
        }
        let progress = ledger.progress();
        Ok(Summary {
            transfer,
            entries,
            outcomes,
            anew: std::mem::take(&mut *lock(&ledger.anew)),
            bytes_moved: progress.bytes_moved,
            bytes_total: progress.bytes.max(progress.bytes_moved + progress.bytes_kept),
            left_out: Vec::new(),
            receipt: Receipted::Checked,
        })
    }
}
