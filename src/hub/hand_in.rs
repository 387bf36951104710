//! The hub's signed word on what was handed in.

use super::Hub;
use super::account::Member;
use super::catalogue::{Change, Row};
use super::event::Guest;
use crate::base::fault::Fault;
use crate::base::id::TransferId;
use crate::flow::handed_in::HandedIn;

impl Hub {
    /// Signs for each file, which is in place since the time that its row has, and notes its plain SHA-256.
    /// Blocks: it reads them.
    pub(super) fn hand_in(
        &self,
        (guest, member): (&Guest, &Member),
        transfer: TransferId,
        deadline: Option<u64>,
        rows: Vec<Row>,
    ) -> Result<(), Fault> {
        let mut receipts = Vec::with_capacity(rows.len());
        let mut changes = Vec::new();
        for row in rows {
            // What another has replaced or removed by now is not signed for.
            let Some(sha256) = row.sha256.map_or_else(|| self.sha256(&row, &|| Ok(())), |known| Ok(Some(known)))?
            else {
                continue;
            };
            if row.sha256.is_none() {
                let after = Row { sha256: Some(sha256), ..row.clone() };
                changes.push(Change::Became { before: row.clone(), after });
            }
            let Some(digest) = row.digest else { continue };
            let what = HandedIn {
                hub: self.me.name.as_str().into(),
                account: member.account.clone(),
                device: guest.id,
                path: row.path.clone(),
                size: row.size,
                sha256,
                digest,
                handed_in: row.since,
                deadline,
                transfer,
            };
            receipts.push(what.sign(&self.me.key));
        }
        self.catalogue.reconcile(changes)?;
        self.catalogue.note_receipts(transfer, guest.id, receipts)
    }
}
