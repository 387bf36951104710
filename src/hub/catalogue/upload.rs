//! Of each upload: that it is under way, and the receipts given for it.

use std::collections::HashSet;

use rusqlite::params;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Catalogue, owner_of, readable, unreadable, whole};
use crate::base::fault::Fault;
use crate::base::id::{PeerId, TransferId};
use crate::base::manifest::Stamp;
use crate::base::path::{Name, RelPath};

/// An upload under way. Should the hub end before it does, what has appeared below `to` since then,
/// and is in no row, came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Which.
    pub transfer: TransferId,
    /// Whose.
    pub account: Name,
    /// Where it goes.
    pub to: RelPath,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// What comes directly into `to`; empty where that is too much to be noted.
    pub tops: Vec<Top>,
}

/// One of the outermost things of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    /// Its name.
    pub name: Name,
    /// Size and time; `None` of what is no file, or has no known size.
    pub file: Option<(u64, Stamp)>,
}

impl Pending {
    /// Whether this may be what came to a path with this size and time: perhaps under a number, where the name was
    /// taken.
    pub fn brings(&self, path: &RelPath, size: u64, modified: Stamp) -> bool {
        let Some(rest) = path.as_str().strip_prefix(self.to.as_str()) else { return false };
        let Some(rest) = rest.strip_prefix('/') else { return rest.is_empty() };
        let (first, deeper) = rest.split_once('/').map_or((rest, false), |(first, _)| (first, true));
        let fits = |file: Option<(u64, Stamp)>| match file {
            Some((was, then)) => !deeper && was == size && modified.shows(then),
            None => true,
        };
        self.tops.is_empty()
            || self
                .tops
                .iter()
                .any(|top| fits(top.file) && (top.name.as_str() == first || top.name.number_in(first).is_some()))
    }
}

impl Catalogue {
    /// Notes that an upload begins; on the disk when it returns.
    ///
    /// # Errors
    /// As the disk says.
    pub fn begin(&self, upload: Pending) -> Result<(), Fault> {
        self.change(move |connection| {
            let sql = "INSERT OR REPLACE INTO pending (transfer, account, path, since, tops)
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            let Pending { transfer, account, to, since, tops } = &upload;
            let tops = serde_json::to_string(tops).map_err(|error| unreadable(Box::new(error)))?;
            let values = params![transfer.as_bytes(), account.as_str(), to.as_str(), whole(*since), tops];
            connection.prepare_cached(sql)?.execute(values).map(drop)
        })
    }

    /// Notes that an upload has ended, and that everything that came with it is recorded.
    ///
    /// # Errors
    /// As the disk says.
    pub fn end(&self, transfer: TransferId) -> Result<(), Fault> {
        self.change(move |connection| {
            let sql = "DELETE FROM pending WHERE transfer = ?1";
            connection.prepare_cached(sql)?.execute([transfer.as_bytes()]).map(drop)
        })
    }

    /// The uploads that have begun and not ended.
    ///
    /// # Errors
    /// As the disk says.
    pub fn pending(&self) -> Result<Vec<Pending>, Fault> {
        self.call(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT transfer, account, path, since, tops FROM pending")?;
            let uploads = statement.query_map([], |line| {
                let account = owner_of(Some(line.get(1)?))?;
                let to = RelPath::parse(line.get_ref(2)?.as_str()?).map_err(|error| unreadable(Box::new(error)))?;
                let transfer = TransferId::from_bytes(*Uuid::from_bytes(line.get(0)?).as_bytes());
                let since = line.get::<_, i64>(3)?.cast_unsigned();
                let tops = line.get_ref(4)?.as_str()?;
                let tops = serde_json::from_str(tops).map_err(|error| unreadable(Box::new(error)))?;
                Ok(account.map(|account| Pending { transfer, account, to, since, tops }))
            })?;
            readable(uploads.filter_map(Result::transpose))
        })
    }

    /// Keeps further receipts that a device was given for an upload; on the disk when it returns. One that is
    /// kept already is not kept twice.
    ///
    /// # Errors
    /// As the disk says; then none is kept.
    pub fn note_receipts(&self, transfer: TransferId, device: PeerId, receipts: Vec<String>) -> Result<(), Fault> {
        self.change(move |connection| {
            let sql = "SELECT text FROM receipt WHERE transfer = ?1 AND device = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let kept = statement.query_map(params![transfer.as_bytes(), device.as_bytes()], |line| line.get(0))?;
            let mut kept: HashSet<String> = kept.collect::<Result<_, _>>()?;
            let sql = "INSERT INTO receipt (transfer, device, place, text) VALUES (?1, ?2, ?3, ?4)";
            let mut statement = connection.prepare_cached(sql)?;
            for text in receipts {
                let place = whole(kept.len() as u64);
                if kept.insert(text.clone()) {
                    statement.execute(params![transfer.as_bytes(), device.as_bytes(), place, text])?;
                }
            }
            Ok(())
        })
    }

    /// The receipts that this device was given for an upload.
    ///
    /// # Errors
    /// As the disk says.
    pub fn receipts(&self, transfer: TransferId, device: PeerId) -> Result<Vec<String>, Fault> {
        self.call(move |connection| {
            let sql = "SELECT text FROM receipt WHERE transfer = ?1 AND device = ?2 ORDER BY place";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map(params![transfer.as_bytes(), device.as_bytes()], |line| line.get(0))?.collect()
        })
    }
}
