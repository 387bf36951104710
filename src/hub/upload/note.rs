//! What is noted of an upload's entries once they are in place.

use std::collections::HashMap;

use super::{Upload, lock};
use crate::base::fault::Fault;
use crate::base::manifest::{EntryKind, Outcome};
use crate::base::path::RelPath;
use crate::disk::outcomes::Settled;
use crate::hub::catalogue::{Called, Row};
use crate::hub::space::{Kind, Whose};
use crate::hub::store::Stat;
use crate::node::serve::now;

/// What is in place, and what the catalogue says of it.
pub(super) struct Known {
    stats: HashMap<RelPath, Stat>,
    rows: HashMap<RelPath, Row>,
}

impl Known {
    /// Whether something is there and in no row.
    pub(super) fn lacks(&self, path: &RelPath) -> bool {
        self.stats.contains_key(path) && !self.rows.contains_key(path)
    }
}

/// What is new of an entry that is in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It came just now.
    Came,
    /// It was there, and something of it is known only now.
    Changed,
    /// Nothing.
    Nothing,
}

impl Upload {
    /// What is to be known of an entry that is in place, and whether that is news; `None` where it is not
    /// there any more, or is not theirs.
    pub(super) fn row(&self, settled: &Settled, known: &Known) -> Result<Option<(Row, News)>, Fault> {
        let Ok(path) = self.full(placed_at(settled)) else { return Ok(None) };
        let Some(stat) = known.stats.get(&path) else { return Ok(None) };
        let ours = match settled.entry.kind {
            EntryKind::File { size, modified, .. } => stat.size == size && stat.modified.shows(modified),
            EntryKind::Link { .. } => stat.kind == settled.entry.kind,
            _ => true,
        };
        if !ours {
            // Another came after it and took its place.
            return Ok(None);
        }
        let mut fresh = Row::of(path, stat, Some(self.member.account.clone()), now());
        fresh.digest = settled.digest;
        let known = known.rows.get(&fresh.path).cloned();
        let is_noted = |row: &Row| row.fits(stat) && (&row.owner, row.digest) == (&fresh.owner, fresh.digest);
        if came(settled) && !known.as_ref().is_some_and(is_noted) {
            return Ok(Some((fresh, News::Came)));
        }
        // Equal to what was there: it is whose it was, perhaps with another time.
        Ok(match known {
            Some(row) if row.fits(stat) => Some((row, News::Nothing)),
            Some(row) if row.size == stat.size && row.inode == stat.inode => {
                Some((Row { modified: stat.modified, ..row }, News::Changed))
            }
            _ => {
                let mine = self.hub.with_access(&self.member, |access| access.whose(&fresh.path, None));
                (mine == Whose::Mine).then_some((fresh, News::Changed))
            }
        })
    }

    /// What is where these entries are, and what the catalogue says of it.
    pub(super) fn known(&self, page: &[Settled]) -> Result<Known, Fault> {
        let paths = page.iter().filter(|settled| has_owner(settled));
        let paths: Vec<RelPath> = paths.filter_map(|settled| self.full(placed_at(settled)).ok()).collect();
        Ok(Known { stats: self.hub.store.stats(&paths)?, rows: self.hub.catalogue.rows(paths)? })
    }

    /// Waits until a page is recorded: its bytes count where they are now.
    pub(super) fn recorded(&self, (recorded, bytes): (Called<()>, u64)) -> Result<(), Fault> {
        recorded.wait()?;
        if let Some(accepted) = self.accepted.get() {
            lock(&accepted.aside).reserved.iter().fold(bytes, |left, reserved| reserved.taken(left));
        }
        Ok(())
    }

    /// What is handed in gets the hub's signed word.
    pub(super) fn hand_in(&self, page: &[Settled]) -> Result<(), Fault> {
        let kind = self.hub.with_access(&self.member, |access| access.kind(&self.to));
        let (Some(Kind::Drop { deadline }), Some(accepted)) = (kind, self.accepted.get()) else { return Ok(()) };
        let (known, mut rows) = (self.known(page)?, Vec::new());
        for settled in page.iter().filter(|settled| settled.outcome.is_good() && settled.entry.has_bytes()) {
            // What has changed since is not theirs to be signed for.
            rows.extend(self.row(settled, &known)?.filter(|(_, news)| *news == News::Nothing).map(|(row, _)| row));
        }
        self.hub.hand_in((&self.guest, &self.member), accepted.transfer, deadline, rows)
    }
}

/// Where an entry is now.
pub(super) fn placed_at(settled: &Settled) -> &RelPath {
    match &settled.outcome {
        Outcome::PlacedAs(path) => path,
        _ => &settled.entry.path,
    }
}

/// Whether an entry came just now, and did not only stay.
pub(super) fn came(settled: &Settled) -> bool {
    matches!(settled.outcome, Outcome::Placed | Outcome::PlacedAs(_) | Outcome::Replaced)
}

/// Whether an entry is something that is somebody's: a file or a link, and there.
pub(super) fn has_owner(settled: &Settled) -> bool {
    settled.outcome.is_good() && !settled.entry.kind.is_folder()
}
