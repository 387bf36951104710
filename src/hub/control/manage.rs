//! What is changed and looked up at a hub: codes, accounts, spaces, limits.

use super::holdings::Holdings;
use super::message::{AccountChange, Answer, Invitation, Limit, Limits, Request};
use crate::base::book::fold;
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::Name;
use crate::hub::account::Account;
use crate::hub::code::{self, Code};
use crate::hub::register::{Records, Register};
use crate::hub::space::{self, Kind, Settings, Space};
use crate::hub::status::{AccountUse, DeviceOf, SpaceUse};
use crate::node::serve::now;

/// Most spaces of a hub.
const MAX_SPACES: usize = 256;

/// What came of a request.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// What is answered.
    pub(super) answers: Vec<Answer>,
    /// What is another now, for the log.
    pub(super) changed: Option<String>,
}

impl Done {
    fn told(answers: Vec<Answer>) -> Self {
        Self { answers, changed: None }
    }

    fn changed(what: String) -> Self {
        Self { answers: Vec::new(), changed: Some(what) }
    }
}

/// Does what is asked. It blocks.
pub(super) fn manage(request: Request, register: &Register, holdings: &dyn Holdings) -> Result<Done, Fault> {
    match request {
        Request::Invite { once, account, role, lasts } => {
            let wanted = code::Invitation { once, lasts, account, rank: role };
            let made = register.change(|records| records.invite(wanted, now()))?;
            let until = if once { "once" } else { "for days" };
            let what = format!("a code that works {until} is there, for a {}", role.as_str());
            Ok(Done { answers: vec![Answer::Code(invitation(&made))], changed: Some(what) })
        }
        Request::Codes => {
            let codes = register.read(|records| records.open_codes(now()).map(invitation).collect::<Vec<_>>());
            Ok(Done::told(codes.into_iter().map(Answer::Code).collect()))
        }
        Request::Revoke { code } => {
            register.change(|records| records.take_back(&code))?;
            Ok(Done::changed("a code was taken back".to_owned()))
        }
        Request::Accounts => {
            let accounts = accounts(register, holdings)?;
            Ok(Done::told(accounts.into_iter().map(Answer::Account).collect()))
        }
        Request::Account { account, change } => register.change(|records| change_account(records, &account, change)),
        Request::Spaces => Ok(Done::told(spaces(register, holdings)?.into_iter().map(Answer::Space).collect())),
        Request::AddSpace { space, kind, quota } => add_space(register, holdings, &space, Space { kind, quota }),
        Request::SetSpace { space, deadline, quota } => {
            register.change(|records| set_space(records, &space, deadline, quota))
        }
        Request::RemoveSpace { space } => register.change(|records| remove_space(records, &space)),
        Request::Settings => Ok(Done::told(vec![Answer::Settings(register.read(|records| records.settings.clone()))])),
        Request::Set(limits) => {
            register.change(|records| {
                set(&mut records.settings, &limits);
                Ok(())
            })?;
            Ok(Done::changed("the limits are others".to_owned()))
        }
        Request::About | Request::Status | Request::Watch | Request::Verify { .. } | Request::Send { .. } => {
            Err(Fault::new(FaultKind::Other, "that is done elsewhere"))
        }
    }
}

/// How many codes still work.
pub(super) fn open_codes(register: &Register) -> u64 {
    register.read(|records| records.open_codes(now()).count() as u64)
}

/// All spaces and what is in them, by name.
pub(super) fn spaces(register: &Register, holdings: &dyn Holdings) -> Result<Vec<SpaceUse>, Fault> {
    let spaces = register.read(|records| records.spaces.clone());
    let each = spaces.into_iter().map(|(name, space)| {
        let (bytes, files) = holdings.used_in(&name)?;
        Ok(SpaceUse { name, kind: space.kind, bytes, files, quota: space.quota })
    });
    each.collect()
}

/// All accounts and what they keep, by name.
pub(super) fn accounts(register: &Register, holdings: &dyn Holdings) -> Result<Vec<AccountUse>, Fault> {
    let (accounts, usual) = register.read(|records| {
        let accounts: Vec<_> = records.accounts.iter().map(|(name, account)| described(name, account)).collect();
        (accounts, records.settings.account_quota)
    });
    let each = accounts.into_iter().map(|account| {
        let bytes = holdings.used_by(&account.name)?;
        Ok(AccountUse { bytes, quota: account.quota.or(usual), ..account })
    });
    each.collect()
}

fn described(name: &Name, account: &Account) -> AccountUse {
    let devices = account.devices.iter();
    AccountUse {
        name: name.clone(),
        rank: account.rank,
        disabled: account.disabled,
        password: account.password.is_some(),
        devices: devices
            .map(|(id, device)| DeviceOf { id: *id, name: device.name.clone(), since: device.since })
            .collect(),
        bytes: 0,
        quota: account.quota,
        since: account.since,
    }
}

fn invitation(code: &Code) -> Invitation {
    Invitation {
        code: code.words.to_string(),
        until: code.until,
        once: code.once,
        account: code.account.clone(),
        role: code.rank,
    }
}

fn change_account(records: &mut Records, name: &Name, change: AccountChange) -> Result<Done, Fault> {
    let what = match change {
        AccountChange::Disable => records.set_disabled(name, true).map(|()| "is disabled".to_owned()),
        AccountChange::Enable => records.set_disabled(name, false).map(|()| "is enabled".to_owned()),
        AccountChange::Remove => records.remove_account(name).map(|_| "is removed".to_owned()),
        AccountChange::Reset => records.set_password(name, None).map(|()| "has no password any more".to_owned()),
        AccountChange::Role(rank) => records.set_rank(name, rank).map(|()| format!("is a {}", rank.as_str())),
        AccountChange::Quota(limit) => records.set_quota(name, limit.value()).map(|()| "has another limit".to_owned()),
        AccountChange::Unlink(device) => {
            let device = records.device(name, &device)?;
            records.unlink(&device).map(|(_, device)| format!("has no device {} any more", device.name))
        }
    }?;
    Ok(Done::changed(format!("the account {name} {what}")))
}

fn add_space(register: &Register, holdings: &dyn Holdings, name: &Name, space: Space) -> Result<Done, Fault> {
    if matches!(space.kind, Kind::Shared | Kind::People) {
        let text = format!("every hub has its one {} space; the others are read, drop or open", space.kind.as_str());
        return Err(Fault::new(FaultKind::NotPermitted, text));
    }
    let may_be = |records: &Records| {
        let folded = fold(name.as_str());
        if let Some(taken) = records.spaces.keys().find(|taken| fold(taken.as_str()) == folded) {
            return Err(Fault::new(FaultKind::NotPermitted, format!("there is a space {taken} already")));
        }
        match records.spaces.len() {
            MAX_SPACES.. => Err(Fault::new(FaultKind::Busy, format!("{MAX_SPACES} spaces are the most"))),
            _ => Ok(()),
        }
    };
    register.read(may_be)?;
    holdings.make_top(name)?;
    register.change(|records| {
        may_be(records)?;
        records.spaces.insert(name.clone(), space);
        Ok(())
    })?;
    Ok(Done::changed(format!("{name} is a space now: {}", space.kind.as_str())))
}

fn set_space(records: &mut Records, name: &Name, deadline: Option<Limit>, quota: Option<Limit>) -> Result<Done, Fault> {
    let space = records.spaces.get_mut(name).ok_or_else(|| no_space(name))?;
    if let Some(quota) = quota {
        space.quota = quota.value();
    }
    match (&mut space.kind, deadline) {
        (_, None) => {}
        (Kind::Drop { deadline }, Some(limit)) => *deadline = limit.value(),
        (kind, Some(_)) => {
            let text = format!("{name} is a {} space; only where members hand in is there a deadline", kind.as_str());
            return Err(Fault::new(FaultKind::NotPermitted, text));
        }
    }
    Ok(Done::changed(format!("the space {name} has other rules")))
}

fn remove_space(records: &mut Records, name: &Name) -> Result<Done, Fault> {
    if *name == space::shared() || *name == space::people() {
        return Err(Fault::new(FaultKind::NotPermitted, format!("every hub has {name}")));
    }
    records.spaces.remove(name).ok_or_else(|| no_space(name))?;
    Ok(Done::changed(format!("{name} is no space any more; its files are where they were")))
}

fn no_space(name: &Name) -> Fault {
    Fault::new(FaultKind::NotFound, format!("there is no space {name}"))
}

fn set(settings: &mut Settings, wanted: &Limits) {
    let limits = [
        (&mut settings.account_quota, wanted.account_quota),
        (&mut settings.largest_file, wanted.largest_file),
        (&mut settings.keep_bytes, wanted.keep_bytes),
    ];
    for (limit, wanted) in limits {
        if let Some(wanted) = wanted {
            *limit = wanted.value();
        }
    }
    settings.reserve = wanted.reserve.unwrap_or(settings.reserve);
    settings.keep_days = wanted.keep_days.unwrap_or(settings.keep_days);
}
