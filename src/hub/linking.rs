//! Which account a device comes to belong to, once it has shown that it may join.

use zeroize::Zeroizing;

use super::account::{Account, Device, MAX_DEVICES, Member};
use super::register::Records;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::PeerId;
use crate::base::path::Name;
use crate::base::text::PeerText;
use crate::flow::secret::Password;
use crate::wire::hub::Rank;

/// A device that wants to join.
#[derive(Debug, Clone)]
pub struct Joiner {
    /// Who it is.
    pub id: PeerId,
    /// What it calls itself.
    pub name: PeerText,
    /// The account that it wants to belong to.
    pub account: Option<Name>,
}

/// What it has shown that it has.
#[derive(Clone)]
pub enum Shown {
    /// The code of these words.
    Code(Zeroizing<String>),
    /// The password of the account.
    Password,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Code(_) => "Code(…)",
            Self::Password => "Password",
        })
    }
}

/// Whether an account of this name, in any case of letters, would find files in place that are not its own.
pub type Taken<'a> = &'a dyn Fn(&Name) -> bool;

/// What is said to whoever has shown nothing, whatever was wrong with it.
pub fn wrong() -> Fault {
    Fault::new(FaultKind::NotPermitted, "that code or password is not right")
}

impl Records {
    /// Whose a device would become; nothing is changed.
    ///
    /// # Errors
    /// [`wrong`] where what was shown does not count any more; else in clear words why not.
    pub fn place(&self, joiner: &Joiner, shown: &Shown, taken: Taken<'_>, now: u64) -> Result<Member, Fault> {
        let member = match shown {
            Shown::Password => {
                let (name, account) = joiner.account.as_ref().and_then(|name| self.find(name)).ok_or_else(wrong)?;
                account.password.as_ref().ok_or_else(wrong)?;
                Member { account: name.clone(), rank: account.rank }
            }
            Shown::Code(words) => {
                let code = self.open_codes(now).find(|code| code.words == *words).ok_or_else(wrong)?;
                match &code.account {
                    Some(name) => {
                        let account = self.find(name);
                        // Whoever manages the hub already does not cease to.
                        let rank = account.map_or(code.rank, |(_, account)| account.rank.max(code.rank));
                        Member { account: account.map_or(name, |(written, _)| written).clone(), rank }
                    }
                    None => self.own_choice(joiner, code.rank, taken)?,
                }
            }
        };
        self.may_have(joiner, &member.account)?;
        Ok(member)
    }

    /// Makes a device somebody's; uses up a code that works once, and makes the account where it is missing.
    ///
    /// # Errors
    /// As for [`Records::place`].
    pub fn link(
        &mut self,
        joiner: &Joiner,
        shown: &Shown,
        password: Option<Password>,
        taken: Taken<'_>,
        now: u64,
    ) -> Result<Member, Fault> {
        let member = self.place(joiner, shown, taken, now)?;
        if let Shown::Code(words) = shown {
            self.codes.retain(|code| code.is_open(now) && !(code.once && code.words == *words));
        }
        if self.find(&member.account).is_none() {
            self.add_account(member.account.clone(), member.rank, now)?;
        }
        let account = self.account(&member.account)?;
        account.rank = member.rank;
        account.devices.entry(joiner.id).or_insert(Device { name: joiner.name.clone(), since: now });
        if password.is_some() {
            account.password = password;
        }
        Ok(member)
    }

    /// A new account of the name that the device chose; or the one that it belongs to already.
    fn own_choice(&self, joiner: &Joiner, rank: Rank, taken: Taken<'_>) -> Result<Member, Fault> {
        let no = |text: String| Err(Fault::new(FaultKind::NotPermitted, text));
        let Some(name) = &joiner.account else { return no("an account needs a name".to_owned()) };
        super::account::check_name(name)?;
        if let Some((written, account)) = self.find(name) {
            if account.devices.contains_key(&joiner.id) {
                return Ok(Member { account: written.clone(), rank: account.rank.max(rank) });
            }
            let by = if account.password.is_some() { "join it with its password, or " } else { "" };
            return no(format!(
                "there is an account {written} already; if it is yours, {by}have a manager make a code for it; \
                 if not, take another name"
            ));
        }
        if taken(name) {
            return no(format!("there are files under the name {name} already; take another name"));
        }
        Ok(Member { account: name.clone(), rank })
    }

    /// Whether the device may belong to this account, which need not be there.
    fn may_have(&self, joiner: &Joiner, name: &Name) -> Result<(), Fault> {
        let no = |text: String| Err(Fault::new(FaultKind::NotPermitted, text));
        if let Some((owner, _)) = self.owner(&joiner.id).filter(|(owner, _)| *owner != name) {
            return no(format!("this device belongs to the account {owner}; leave that one first"));
        }
        match self.accounts.get(name) {
            Some(Account { disabled: true, .. }) => no(format!("the account {name} is disabled; ask a manager")),
            Some(account) if account.devices.len() >= MAX_DEVICES && !account.devices.contains_key(&joiner.id) => {
                no(format!("the account {name} has {MAX_DEVICES} devices, which is the most; unlink one first"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::secret::Stretched;
    use crate::hub::code::{Code, Invitation};

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn joiner(n: u8, account: &str) -> Joiner {
        Joiner { id: PeerId::of_public_key(&[n; 32]), name: "laptop".into(), account: Name::parse(account).ok() }
    }

    fn code(records: &mut Records, once: bool, account: Option<&str>, rank: Rank) -> (Code, Shown) {
        let wanted = Invitation { once, lasts: None, account: account.map(name), rank };
        let code = records.invite(wanted, 1).unwrap();
        (code.clone(), Shown::Code(code.words))
    }

    fn password() -> Option<Password> {
        Some(Password { salt: [1; 16], stretched: Stretched::from_bytes([2; 32]) })
    }

    const FREE: Taken<'static> = &|_| false;

    #[test]
    fn a_code_for_anybody_makes_accounts_and_takes_none() {
        let mut records = Records::default();
        let (_, shown) = code(&mut records, false, None, Rank::Member);
        let anna = records.link(&joiner(1, "Anna"), &shown, None, FREE, 2).unwrap();
        assert_eq!(anna, Member { account: name("Anna"), rank: Rank::Member });
        assert_eq!(records.link(&joiner(1, "anna"), &shown, None, FREE, 2), Ok(anna), "again is no fault");
        records.link(&joiner(2, "Bob"), &shown, None, FREE, 2).unwrap();

        let before = records.clone();
        let mut no = |joiner: &Joiner, taken: Taken<'_>| {
            let refused = records.link(joiner, &shown, password(), taken, 2).unwrap_err();
            assert_eq!((refused.kind, &records), (FaultKind::NotPermitted, &before), "{refused}");
            refused.to_string()
        };
        assert!(no(&joiner(3, "ANNA"), FREE).contains("already"));
        assert!(no(&joiner(3, "Carol"), &|name| name.as_str() == "Carol").contains("files"));
        assert!(no(&joiner(2, "Carol"), FREE).contains("belongs to the account Bob"));
        assert!(no(&joiner(3, ""), FREE).contains("needs a name"));
        assert!(no(&joiner(3, "a:b"), FREE).contains("no name"));
    }

    #[test]
    fn a_code_for_one_account_links_to_it_and_makes_it_where_it_is_missing() {
        let mut records = Records::default();
        let (_, managers) = code(&mut records, false, Some("Anna"), Rank::Manager);
        let made = records.link(&joiner(1, "somebody"), &managers, password(), &|_| true, 2).unwrap();
        assert_eq!(made, Member { account: name("Anna"), rank: Rank::Manager });
        let (_, members) = code(&mut records, false, Some("ANNA"), Rank::Member);
        assert_eq!(records.link(&joiner(2, ""), &members, None, FREE, 2), Ok(made));
        assert_eq!((records.accounts.len(), records.accounts[&name("Anna")].devices.len()), (1, 2));
        assert!(records.accounts[&name("Anna")].password == password(), "it stays where no other is set");
    }

    #[test]
    fn a_code_counts_until_its_time_is_over_and_one_that_works_once_counts_once() {
        let mut records = Records::default();
        let (once, shown) = code(&mut records, true, None, Rank::Member);
        assert_eq!(records.place(&joiner(1, "Anna"), &shown, FREE, once.until), Err(wrong()));
        records.link(&joiner(1, "Anna"), &shown, None, FREE, once.until - 1).unwrap();
        assert_eq!(records.link(&joiner(2, "Bob"), &shown, None, FREE, once.until - 1), Err(wrong()));
        assert_eq!(records.codes, []);
    }

    #[test]
    fn a_password_counts_for_its_account_only() {
        let mut records = Records::default();
        let (_, shown) = code(&mut records, false, None, Rank::Member);
        records.link(&joiner(1, "Anna"), &shown, None, FREE, 2).unwrap();
        assert_eq!(records.place(&joiner(2, "Anna"), &Shown::Password, FREE, 2), Err(wrong()));
        records.set_password(&name("Anna"), password()).unwrap();
        for nobody in ["Bob", ""] {
            assert_eq!(records.place(&joiner(2, nobody), &Shown::Password, FREE, 2), Err(wrong()));
        }
        records.link(&joiner(2, "anna"), &Shown::Password, None, FREE, 2).unwrap();
        records.set_disabled(&name("Anna"), true).unwrap();
        assert!(
            records.place(&joiner(3, "Anna"), &Shown::Password, FREE, 2).unwrap_err().to_string().contains("disabled")
        );
    }

    #[test]
    fn an_account_has_only_so_many_devices() {
        let mut records = Records::default();
        let (_, shown) = code(&mut records, false, Some("Anna"), Rank::Member);
        for n in 1..=MAX_DEVICES as u8 {
            records.link(&joiner(n, ""), &shown, None, FREE, 2).unwrap();
        }
        assert!(records.link(&joiner(200, ""), &shown, None, FREE, 2).unwrap_err().to_string().contains("the most"));
        records.link(&joiner(1, ""), &shown, None, FREE, 2).unwrap();
    }
}
