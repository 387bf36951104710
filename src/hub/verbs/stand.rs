//! One's own account: how it stands, its password, its receipts, leaving it.

use super::Asking;
use crate::base::fault::Fault;
use crate::base::id::TransferId;
use crate::flow::ask::Told;
use crate::flow::secret::{Password, Stretched};
use crate::hub::event::Event;
use crate::wire::hub::Standing;

impl Asking {
    pub(super) fn standing(&self) -> Result<Told, Fault> {
        let member = &self.member;
        let (quota, largest, spaces) = self.hub.register.read(|records| {
            let quota = records.accounts.get(&member.account).and_then(|account| account.quota);
            let settings = &records.settings;
            (quota.or(settings.account_quota), settings.largest_file, records.spaces.keys().cloned().collect())
        });
        let used = self.hub.catalogue.used_by(&member.account)?;
        let standing = Standing { account: member.account.clone(), rank: member.rank, used, quota, largest, spaces };
        Ok(Told { standing: Some(standing), ..Told::default() })
    }

    pub(super) fn receipts(&self, transfer: TransferId) -> Result<Told, Fault> {
        let receipts = self.hub.catalogue.receipts(transfer, self.guest.id)?;
        Ok(Told { receipts, ..Told::default() })
    }

    pub(super) fn leave(&self) -> Result<Told, Fault> {
        self.hub.register.change(|records| records.unlink(&self.guest.id).map(drop))?;
        self.hub.log(Event::Left { guest: self.guest.clone() });
        Ok(Told::default())
    }

    pub(super) fn set_password(&self, salt: [u8; 16], stretched: [u8; 32]) -> Result<Told, Fault> {
        let password = Password { salt, stretched: Stretched::from_bytes(stretched) };
        self.hub.register.change(|records| records.set_password(&self.member.account, Some(password)))?;
        self.hub.log(Event::Managed { what: format!("the password of {} was set", self.member.account) });
        Ok(Told::default())
    }
}
