//! Accounts: the people of a hub, and the devices that are theirs.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::register::Records;
use crate::base::book::fold;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{NotAPeerId, PeerId};
use crate::base::naming;
use crate::base::path::Name;
use crate::base::text::PeerText;
use crate::disk::fit::folded;
use crate::flow::secret::{Password, Stretched};
use crate::wire::hub::Rank;

/// A person at a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// What they may do.
    pub rank: Rank,
    /// Whether they may do nothing for now.
    #[serde(default)]
    pub disabled: bool,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// Most bytes that they keep; the hub's own limit for everybody, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// What further devices join with; without it, only with a code.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_text")]
    pub password: Option<Password>,
    /// Their devices.
    #[serde(default, with = "by_text")]
    pub devices: BTreeMap<PeerId, Device>,
}

/// A machine of theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// What it called itself when it joined.
    pub name: PeerText,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// Who somebody is at a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Their account.
    pub account: Name,
    /// What they may do.
    pub rank: Rank,
}

/// Most accounts of a hub: its register is read and written as a whole.
pub const MAX_ACCOUNTS: usize = 5000;

/// Most devices of one account.
pub const MAX_DEVICES: usize = 64;

impl Account {
    /// A fresh account without a device.
    pub fn new(rank: Rank, now: u64) -> Self {
        Self { rank, disabled: false, since: now, quota: None, password: None, devices: BTreeMap::new() }
    }
}

impl Records {
    /// Whose device this is; nobody's also where the account is disabled.
    pub fn member(&self, device: &PeerId) -> Option<Member> {
        let (name, account) = self.owner(device)?;
        (!account.disabled).then(|| Member { account: name.clone(), rank: account.rank })
    }

    /// Whether this device belongs to an account that is disabled.
    pub fn is_disabled(&self, device: &PeerId) -> bool {
        self.owner(device).is_some_and(|(_, account)| account.disabled)
    }

    /// The account that a device is linked to, disabled or not.
    pub fn owner(&self, device: &PeerId) -> Option<(&Name, &Account)> {
        self.accounts.iter().find(|(_, account)| account.devices.contains_key(device))
    }

    /// The account of this name, in any case of letters, with the name as it is written.
    pub fn find(&self, name: &Name) -> Option<(&Name, &Account)> {
        if let Some(found) = self.accounts.get_key_value(name) {
            return Some(found);
        }
        // Two that a file system holds as one would have one private folder.
        let plain = folded(name.as_str());
        self.accounts.iter().find(|(one, _)| folded(one.as_str()) == plain)
    }

    /// Makes an account.
    ///
    /// # Errors
    /// Where the name is no name for one or is taken, or there are [`MAX_ACCOUNTS`].
    pub fn add_account(&mut self, name: Name, rank: Rank, now: u64) -> Result<&mut Account, Fault> {
        check_name(&name)?;
        if let Some((name, _)) = self.find(&name) {
            return Err(Fault::new(FaultKind::NotPermitted, format!("there is an account {name} already")));
        }
        if self.accounts.len() >= MAX_ACCOUNTS {
            return Err(Fault::new(FaultKind::Busy, format!("there are {MAX_ACCOUNTS} accounts, which is the most")));
        }
        Ok(self.accounts.entry(name).or_insert(Account::new(rank, now)))
    }

    /// Removes an account, its devices' links and the codes that are for it. What it keeps stays where it is.
    ///
    /// # Errors
    /// Where there is none.
    pub fn remove_account(&mut self, name: &Name) -> Result<Account, Fault> {
        let name = self.find(name).map(|(name, _)| name.clone()).ok_or_else(|| no_account(name))?;
        self.codes.retain(|code| code.account.as_ref() != Some(&name));
        self.accounts.remove(&name).ok_or_else(|| no_account(&name))
    }

    /// Disables an account, or enables it again.
    ///
    /// # Errors
    /// Where there is none.
    pub fn set_disabled(&mut self, name: &Name, disabled: bool) -> Result<(), Fault> {
        self.account(name).map(|account| account.disabled = disabled)
    }

    /// Makes somebody a manager, or a member.
    ///
    /// # Errors
    /// Where there is no such account.
    pub fn set_rank(&mut self, name: &Name, rank: Rank) -> Result<(), Fault> {
        self.account(name).map(|account| account.rank = rank)
    }

    /// Sets the most bytes that an account keeps; `None` for what the hub gives everybody.
    ///
    /// # Errors
    /// Where there is no such account.
    pub fn set_quota(&mut self, name: &Name, quota: Option<u64>) -> Result<(), Fault> {
        self.account(name).map(|account| account.quota = quota)
    }

    /// Sets an account's password, or takes it away.
    ///
    /// # Errors
    /// Where there is no such account.
    pub fn set_password(&mut self, name: &Name, password: Option<Password>) -> Result<(), Fault> {
        self.account(name).map(|account| account.password = password)
    }

    /// Unlinks a device from its account, whose name and the device's are given back.
    ///
    /// # Errors
    /// Where no account has it.
    pub fn unlink(&mut self, device: &PeerId) -> Result<(Name, Device), Fault> {
        let unlinked =
            self.accounts.iter_mut().find_map(|(name, account)| Some((name.clone(), account.devices.remove(device)?)));
        unlinked.ok_or_else(|| Fault::new(FaultKind::NotFound, format!("no account has the device {}", device.short())))
    }

    /// The devices of an account whose id begins so, or that have this name.
    ///
    /// # Errors
    /// Where there is no such account, or not exactly one such device in it.
    pub fn device(&self, name: &Name, meant: &str) -> Result<PeerId, Fault> {
        let (name, account) = self.find(name).ok_or_else(|| no_account(name))?;
        let folded = fold(meant);
        let is = |id: &PeerId, device: &Device| id.starts_with(meant) || fold(device.name.as_raw()) == folded;
        let mut matching = account.devices.iter().filter(|(id, device)| is(id, device));
        match (matching.next(), matching.next()) {
            (Some((id, _)), None) => Ok(*id),
            (None, _) => Err(Fault::new(FaultKind::NotFound, format!("{name} has no such device"))),
            _ => Err(Fault::new(FaultKind::NotFound, format!("{name} has several such devices; name one by its id"))),
        }
    }

    /// The account of this name, in any case of letters.
    pub(super) fn account(&mut self, name: &Name) -> Result<&mut Account, Fault> {
        let written = self.find(name).map(|(name, _)| name.clone());
        written.and_then(|written| self.accounts.get_mut(&written)).ok_or_else(|| no_account(name))
    }
}

/// That an account can have this name.
///
/// # Errors
/// What a name must be.
pub fn check_name(name: &Name) -> Result<(), Fault> {
    if naming::is_good(name.as_str()) {
        return Ok(());
    }
    Err(Fault::new(FaultKind::NotPermitted, format!("{name} is no name for an account: {}", naming::RULE)))
}

fn no_account(name: &Name) -> Fault {
    Fault::new(FaultKind::NotFound, format!("there is no account {name}"))
}

/// Bytes as the file has them.
pub(super) fn text(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Bytes that the file has.
pub(super) fn bytes<const N: usize>(text: &str) -> Result<[u8; N], &'static str> {
    let decoded = HEXLOWER.decode(text.as_bytes()).map(zeroize::Zeroizing::new);
    decoded.ok().and_then(|bytes| bytes.as_slice().try_into().ok()).ok_or("hexadecimal digits are expected")
}

/// Devices in the file, under their ids as text.
mod by_text {
    use super::{BTreeMap, Deserialize, Deserializer, Device, NotAPeerId, PeerId, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(devices: &BTreeMap<PeerId, Device>, to: S) -> Result<S::Ok, S::Error> {
        devices.iter().map(|(id, device)| (id.to_string(), device)).collect::<BTreeMap<_, _>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<PeerId, Device>, D::Error> {
        let devices = BTreeMap::<String, Device>::deserialize(from)?;
        let read = devices.into_iter().map(|(id, device)| Ok((id.parse()?, device)));
        read.collect::<Result<_, NotAPeerId>>().map_err(serde::de::Error::custom)
    }
}

/// A password in the file, as hexadecimal digits.
mod as_text {
    use super::{Deserialize, Deserializer, Password, Serialize, Serializer, Stretched, bytes, text};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Kept {
        salt: String,
        stretched: zeroize::Zeroizing<String>,
    }

    pub(super) fn serialize<S: Serializer>(password: &Option<Password>, to: S) -> Result<S::Ok, S::Error> {
        let kept = password
            .as_ref()
            .map(|password| Kept { salt: text(&password.salt), stretched: text(password.stretched.as_bytes()).into() });
        kept.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Password>, D::Error> {
        let Some(kept) = Option::<Kept>::deserialize(from)? else { return Ok(None) };
        let salt = bytes(&kept.salt).map_err(serde::de::Error::custom)?;
        let stretched = Stretched::from_bytes(bytes(&kept.stretched).map_err(serde::de::Error::custom)?);
        Ok(Some(Password { salt, stretched }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn id(n: u8) -> PeerId {
        PeerId::of_public_key(&[n; 32])
    }

    fn device(called: &str) -> Device {
        Device { name: called.into(), since: 1 }
    }

    fn anna() -> Records {
        let mut records = Records::default();
        let anna = records.add_account(name("Anna"), Rank::Member, 5).unwrap();
        anna.devices = [(id(1), device("laptop")), (id(2), device("phone"))].into();
        records
    }

    #[test]
    fn a_name_is_taken_in_any_case_and_some_are_no_names() {
        let mut records = anna();
        assert_eq!(records.find(&name("ANNA")).unwrap().0, &name("Anna"));
        for bad in ["anna", "a~b", "@a", &"x".repeat(65)] {
            let refused = records.add_account(name(bad), Rank::Member, 5).unwrap_err();
            assert_eq!(refused.kind, FaultKind::NotPermitted, "{bad}");
        }
        assert_eq!(records.accounts.len(), 1);
        // Some file systems hold these as one folder.
        records.add_account(name("sam"), Rank::Member, 5).unwrap();
        assert!(records.add_account(name("\u{17f}am"), Rank::Member, 5).is_err());
    }

    #[test]
    fn a_device_is_somebodys_until_it_is_unlinked_or_its_account_is_disabled_or_removed() {
        let mut records = anna();
        records.set_rank(&name("anna"), Rank::Manager).unwrap();
        let member = Member { account: name("Anna"), rank: Rank::Manager };
        assert_eq!(records.member(&id(1)), Some(member.clone()));
        assert_eq!(records.member(&id(9)), None);

        records.set_disabled(&name("anna"), true).unwrap();
        assert_eq!(records.member(&id(1)), None);
        assert!(records.is_disabled(&id(1)) && !records.is_disabled(&id(9)));
        records.set_disabled(&name("anna"), false).unwrap();
        assert_eq!(records.member(&id(1)), Some(member));

        assert_eq!(records.unlink(&id(1)).unwrap(), (name("Anna"), device("laptop")));
        assert_eq!(records.unlink(&id(1)).unwrap_err().kind, FaultKind::NotFound);
        assert_eq!(records.member(&id(1)), None);

        records.remove_account(&name("anna")).unwrap();
        assert_eq!(records.member(&id(2)), None);
        assert_eq!(records.remove_account(&name("anna")).unwrap_err().kind, FaultKind::NotFound);
    }

    #[test]
    fn a_device_is_meant_by_its_name_or_its_id() {
        let mut records = anna();
        assert_eq!(records.device(&name("anna"), "Laptop"), Ok(id(1)));
        assert_eq!(records.device(&name("anna"), &id(2).short()), Ok(id(2)));
        assert!(records.device(&name("anna"), "").is_err());
        records.account(&name("anna")).unwrap().devices.insert(id(3), device("phone"));
        assert!(records.device(&name("anna"), "phone").is_err());
    }

    #[test]
    fn removing_an_account_takes_its_codes_back() {
        let mut records = anna();
        let wanted =
            super::super::code::Invitation { once: true, lasts: None, account: Some(name("ANNA")), rank: Rank::Member };
        assert_eq!(records.invite(wanted, 1).unwrap().account, Some(name("Anna")));
        records.remove_account(&name("Anna")).unwrap();
        assert_eq!(records.codes, []);
    }
}
