//! `ftx hub invite`: codes to join with.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::reach::{Reached, Running, Which};
use super::size::Lasts;
use crate::base::path::Name;
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::ui::table::table;
use crate::cli::ui::units::moment;
use crate::hub::control::message::{Answer, Invitation, Request};
use crate::wire::hub::Rank;

/// Make a code with which devices join the hub, and show what is typed there.
///
/// Without --once it works for a week and for many, each with an account of their own.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx hub invite\n  ftx hub invite --once --account anna\n  ftx hub invite --list")]
pub struct Invite {
    /// It works for one device, within a quarter of an hour, and is shorter
    #[arg(long)]
    pub once: bool,
    /// Whoever joins gets this account, which may be there already
    #[arg(long, value_name = "NAME", value_parser = good_name)]
    pub account: Option<Name>,
    /// What the account may do
    #[arg(long, value_name = "ROLE", default_value = "member")]
    pub role: Role,
    /// For how long it works: as 30m, 12h or 7d
    #[arg(long, value_name = "TIME")]
    pub lasts: Option<Lasts>,
    /// Show the codes that work, and make none
    #[arg(long, conflicts_with_all = ["once", "account", "role", "lasts", "revoke"])]
    pub list: bool,
    /// The code that begins with this word is to work no longer
    #[arg(long, value_name = "WORD", conflicts_with_all = ["once", "account", "role", "lasts"])]
    pub revoke: Option<String>,
    /// Which hub.
    #[command(flatten)]
    pub which: Which,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Use the hub
    Member,
    /// Also run it: other people's files in common spaces
    Manager,
}

impl From<Role> for Rank {
    fn from(role: Role) -> Self {
        match role {
            Role::Member => Self::Member,
            Role::Manager => Self::Manager,
        }
    }
}

/// A name as it is typed.
pub(super) fn good_name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|fault| fault.to_string())
}

/// Makes, shows or takes back codes.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Invite) -> Result<Exit, Failure> {
    let hub = Reached::find(context, &command.which, Running::Spared).await?;
    let printer = &context.printer;
    if let Some(code) = command.revoke {
        hub.all(Request::Revoke { code }).await?;
        printer.result("that code works no longer", || json!({ "event": "revoked" }));
        return Ok(Exit::Done);
    }
    if command.list {
        list(context, &hub).await?;
        return Ok(Exit::Done);
    }
    let Invite { once, account, role, lasts, .. } = command;
    let wanted = Request::Invite { once, account, role: role.into(), lasts: lasts.map(|Lasts(seconds)| seconds) };
    let join = format!("ftx join {}", hub.about().name);
    for answer in hub.all(wanted).await? {
        let Answer::Code(made) = answer else { continue };
        printer.line(&format!("code        {}", made.code));
        printer.line(&format!("works       {}, until {}", how_often(&made), moment(made.until)));
        printer.line(&format!("they type   {join}"));
        printer.object(|| {
            let mut object = object(&made);
            object["join"] = json!(join);
            object
        });
    }
    if matches!(hub, Reached::Rests(_)) {
        printer.note("the hub does not run; start it with: ftx hub DIR");
    }
    Ok(Exit::Done)
}

async fn list(context: &Context, hub: &Reached) -> Result<(), Failure> {
    let printer = &context.printer;
    let mut rows = vec![["CODE", "WORKS", "UNTIL", "FOR", "ROLE"].map(str::to_owned).to_vec()];
    for answer in hub.all(Request::Codes).await? {
        let Answer::Code(code) = answer else { continue };
        printer.object(|| object(&code));
        rows.push(vec![
            code.code.clone(),
            how_often(&code).to_owned(),
            moment(code.until),
            code.account.map_or_else(|| "anybody".to_owned(), |account| account.to_string()),
            code.role.as_str().to_owned(),
        ]);
    }
    if rows.len() == 1 {
        printer.note("no code works; make one with: ftx hub invite");
        return Ok(());
    }
    table(&rows).iter().for_each(|line| printer.line(line));
    Ok(())
}

fn how_often(code: &Invitation) -> &'static str {
    if code.once { "once" } else { "for many" }
}

fn object(code: &Invitation) -> Value {
    json!({
        "code": code.code,
        "until": code.until,
        "once": code.once,
        "account": code.account,
        "role": code.role.as_str(),
    })
}
