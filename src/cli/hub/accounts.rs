//! `ftx hub accounts`: who belongs to the hub.

use clap::{Args, Subcommand};
use serde_json::json;

use super::invite::{Role, good_name};
use super::overview;
use super::reach::{Reached, Running, Which, agreed};
use super::size::Most;
use crate::base::path::Name;
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::ui::table::table;
use crate::hub::control::message::{AccountChange, Answer, Request};
use crate::node::serve::now;

/// Show the hub's accounts, or change one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx hub accounts\n  ftx hub accounts disable anna\n  \
    ftx hub accounts quota anna 20G\n  ftx hub accounts unlink anna old-laptop")]
pub struct Accounts {
    /// What to do; list them, if nothing.
    #[command(subcommand)]
    pub command: Option<Change>,
    /// Which hub.
    #[command(flatten)]
    pub which: Which,
}

/// What is done with accounts.
#[derive(Debug, Subcommand)]
pub enum Change {
    /// Show all of them
    List,
    /// Keep its devices out until it is enabled again
    Disable(One),
    /// Let its devices in again
    Enable(One),
    /// Strike it out, with its devices and codes; its files stay
    Remove {
        /// The account
        #[arg(value_name = "NAME", value_parser = good_name)]
        account: Name,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Take its password away; its devices stay, and one of them can set another
    Reset(One),
    /// Say what it may do
    Rank {
        /// The account
        #[arg(value_name = "NAME", value_parser = good_name)]
        account: Name,
        /// What it may do
        role: Role,
    },
    /// Say how much it may keep
    Quota {
        /// The account
        #[arg(value_name = "NAME", value_parser = good_name)]
        account: Name,
        /// Bytes, as 500M or 20G; none for the hub's own limit
        size: Most,
    },
    /// Take a device away from it
    Unlink {
        /// The account
        #[arg(value_name = "NAME", value_parser = good_name)]
        account: Name,
        /// The device: its name, or the beginning of its id
        device: String,
    },
}

/// An account.
#[derive(Debug, Args)]
pub struct One {
    /// The account
    #[arg(value_name = "NAME", value_parser = good_name)]
    pub account: Name,
}

/// Shows or changes accounts.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Accounts) -> Result<Exit, Failure> {
    let find = Reached::find(context, &command.which, Running::Spared);
    let Some((account, change, told)) = command.command.and_then(wanted) else {
        list(context, &find.await?).await?;
        return Ok(Exit::Done);
    };
    if let Change::Remove { yes, .. } = told {
        let question = format!("remove the account {account}, with its devices and codes? its files stay");
        agreed(context, yes, &question).await?;
    }
    let hub = find.await?;
    hub.all(Request::Account { account: account.clone(), change }).await?;
    let word = done(&told);
    let line = format!("{account}: {word}");
    context.printer.result(&line, || json!({ "event": "account", "account": account, "done": word }));
    if matches!(told, Change::Reset(_)) {
        let hint = format!("a new device of {account} joins with: ftx hub invite --once --account {account}");
        context.printer.note(&hint);
    }
    Ok(Exit::Done)
}

/// The account that is to be changed, and how; none where they are to be listed.
fn wanted(command: Change) -> Option<(Name, AccountChange, Change)> {
    let (account, change) = match &command {
        Change::List => return None,
        Change::Disable(One { account }) => (account, AccountChange::Disable),
        Change::Enable(One { account }) => (account, AccountChange::Enable),
        Change::Reset(One { account }) => (account, AccountChange::Reset),
        Change::Remove { account, .. } => (account, AccountChange::Remove),
        Change::Rank { account, role } => (account, AccountChange::Role((*role).into())),
        Change::Quota { account, size: Most(limit) } => (account, AccountChange::Quota(*limit)),
        Change::Unlink { account, device } => (account, AccountChange::Unlink(device.clone())),
    };
    Some((account.clone(), change, command))
}

/// The word for what was done.
fn done(change: &Change) -> &'static str {
    match change {
        Change::List => "listed",
        Change::Disable(_) => "disabled",
        Change::Enable(_) => "enabled",
        Change::Remove { .. } => "removed",
        Change::Reset(_) => "password removed",
        Change::Rank { role: Role::Member, .. } => "member",
        Change::Rank { role: Role::Manager, .. } => "manager",
        Change::Quota { .. } => "quota set",
        Change::Unlink { .. } => "device unlinked",
    }
}

async fn list(context: &Context, hub: &Reached) -> Result<(), Failure> {
    let printer = &context.printer;
    let mut rows = vec![["ACCOUNT", "ROLE", "USED", "SINCE", "DEVICES"].map(str::to_owned).to_vec()];
    for answer in hub.all(Request::Accounts).await? {
        let Answer::Account(account) = answer else { continue };
        rows.push(overview::account(&account, now()));
        printer.object(|| json!(account));
    }
    if rows.len() == 1 {
        printer.note("there is no account yet; let somebody join: ftx hub invite");
        return Ok(());
    }
    table(&rows).iter().for_each(|line| printer.line(line));
    Ok(())
}
