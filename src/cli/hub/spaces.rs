//! `ftx hub spaces`: the top folders of the hub, and their rules.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::invite::good_name;
use super::overview;
use super::reach::{Reached, Running, Which, agreed};
use super::size::{Deadline, Most, Size};
use crate::base::path::Name;
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::ui::table::table;
use crate::hub::control::message::{Answer, Request};
use crate::hub::space::Kind;

/// Show the hub's spaces, make one, or change its rules.
///
/// A space is a top folder with rules. Every hub has shared, where members see everything and change
/// what is theirs, and people, with a private folder for each.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx hub spaces\n  ftx hub spaces add slides --kind read\n  \
    ftx hub spaces add essays --kind drop --deadline \"2026-12-01 18:00\" --quota 20G\n  \
    ftx hub spaces set essays --deadline none")]
pub struct Spaces {
    /// What to do; list them, if nothing.
    #[command(subcommand)]
    pub command: Option<Change>,
    /// Which hub.
    #[command(flatten)]
    pub which: Which,
}

/// What is done with spaces.
#[derive(Debug, Subcommand)]
pub enum Change {
    /// Show all of them
    List,
    /// Make a top folder a space; the folder is made if it is missing
    Add {
        /// The folder
        #[arg(value_name = "NAME", value_parser = good_name)]
        space: Name,
        /// What kind of space
        #[arg(long)]
        kind: KindFlag,
        /// Until when members hand in (drop): as 2026-12-01 or "2026-12-01 18:00"
        #[arg(long, value_name = "WHEN")]
        deadline: Option<Deadline>,
        /// Most bytes that it holds, as 20G
        #[arg(long, value_name = "SIZE")]
        quota: Option<Size>,
    },
    /// Change its rules
    #[command(group = clap::ArgGroup::new("rules").args(["deadline", "quota"]).required(true).multiple(true))]
    Set {
        /// The space
        #[arg(value_name = "NAME", value_parser = good_name)]
        space: Name,
        /// Until when members hand in (drop); or none
        #[arg(long, value_name = "WHEN")]
        deadline: Option<Deadline>,
        /// Most bytes that it holds, as 20G; or none
        #[arg(long, value_name = "SIZE")]
        quota: Option<Most>,
    },
    /// It is a space no longer, and only managers see it; its files stay
    Remove {
        /// The space
        #[arg(value_name = "NAME", value_parser = good_name)]
        space: Name,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// What kind of space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindFlag {
    /// Managers write, members read
    Read,
    /// Members hand in, each into a folder of their own, and see nothing of the others
    Drop,
    /// Members change everything
    Open,
}

/// Shows or changes spaces.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Spaces) -> Result<Exit, Failure> {
    let find = Reached::find(context, &command.which, Running::Spared);
    let (name, request, done) = match command.command.unwrap_or(Change::List) {
        Change::List => {
            list(context, &find.await?).await?;
            return Ok(Exit::Done);
        }
        Change::Add { space, kind, deadline, quota } => {
            let (kind, quota) = (kind_of(kind, deadline)?, quota.map(|Size(bytes)| bytes));
            (space.clone(), Request::AddSpace { space, kind, quota }, "added")
        }
        Change::Set { space, deadline, quota } => {
            let (deadline, quota) = (deadline.map(|Deadline(limit)| limit), quota.map(|Most(limit)| limit));
            (space.clone(), Request::SetSpace { space, deadline, quota }, "set")
        }
        Change::Remove { space, yes } => {
            agreed(context, yes, &format!("make {space} a folder without rules? its files stay")).await?;
            (space.clone(), Request::RemoveSpace { space }, "removed")
        }
    };
    find.await?.all(request).await?;
    let line = format!("{name}: {done}");
    context.printer.result(&line, || json!({ "event": "space", "space": name, "done": done }));
    Ok(Exit::Done)
}

fn kind_of(kind: KindFlag, deadline: Option<Deadline>) -> Result<Kind, Failure> {
    match (kind, deadline) {
        (KindFlag::Drop, deadline) => Ok(Kind::Drop { deadline: deadline.and_then(|Deadline(limit)| limit.value()) }),
        (_, Some(_)) => Err(Failure::new(Exit::Usage, "only where members hand in is there a deadline")
            .hint("for example: ftx hub spaces add essays --kind drop --deadline 2026-12-01")),
        (KindFlag::Read, None) => Ok(Kind::Read),
        (KindFlag::Open, None) => Ok(Kind::Open),
    }
}

async fn list(context: &Context, hub: &Reached) -> Result<(), Failure> {
    let printer = &context.printer;
    let mut rows = vec![["SPACE", "KIND", "FILES", "USED", "DEADLINE"].map(str::to_owned).to_vec()];
    for answer in hub.all(Request::Spaces).await? {
        let Answer::Space(space) = answer else { continue };
        rows.push(overview::space(&space));
        printer.object(|| json!(space));
    }
    table(&rows).iter().for_each(|line| printer.line(line));
    Ok(())
}
