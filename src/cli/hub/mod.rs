//! `ftx hub`: the class's central repository, and what its manager does on the same machine.

pub mod accounts;
pub mod courier;
pub mod invite;
pub mod manage;
pub mod opened;
pub mod overview;
pub mod reach;
pub mod resting;
pub mod run;
pub mod send;
pub mod settings;
pub mod size;
pub mod spaces;
pub mod status;
pub mod verify;

use std::path::Path;

use clap::{Args, CommandFactory};

use super::Cli;
use super::confined::Confined;
use super::context::Context;
use super::outcome::{Exit, Failure};

/// Run this machine as a hub: a folder where everybody who has joined puts, finds and keeps files.
///
/// A hub needs nothing set up. It shows a code; whoever types it with `ftx join` has an account, and uses
/// the hub with ftx push, pull, ls, rm, mv. What is replaced or removed stays restorable. The folder
/// stays a plain folder: what is put into it by hand is there for all. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  ftx hub ~/repository\n  ftx hub /srv/class --name lab-hub\n  ftx hub status --watch\n  ftx hub invite --once"
)]
pub struct Hub {
    /// What to do with one that is there; run one, if nothing.
    #[command(subcommand)]
    pub command: Option<manage::Manage>,
    /// What to run.
    #[command(flatten)]
    pub run: run::Run,
}

/// Runs a hub, or does something with one that runs.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Hub, confined: &Confined) -> Result<Exit, Failure> {
    match command.command {
        Some(managed) => manage::run(context, managed).await,
        None => run::run(context, command.run, confined).await,
    }
}

/// How alike a folder's name and a command are where one is taken to be meant for the other, of 1.
const ALIKE: f64 = 0.85;

/// A folder that is not there, and is called almost like something to do with a hub, is a slip of the hand: no
/// hub is begun in it. To be asked before anything is made.
///
/// # Errors
/// Exit 2, with what was meant.
pub(super) fn refuse_slip(command: &Hub) -> Result<(), Failure> {
    let dir = command.run.dir.as_deref().filter(|dir| command.command.is_none() && !dir.exists());
    let Some(typed) = dir.and_then(Path::to_str).filter(|typed| !typed.contains(std::path::is_separator)) else {
        return Ok(());
    };
    let cli = Cli::command();
    let commands = cli.find_subcommand("hub").into_iter().flat_map(|hub| hub.get_subcommands());
    let alike = |name: &&str| strsim::jaro_winkler(&typed.to_lowercase(), name) >= ALIKE;
    let Some(meant) = commands.map(|command| command.get_name()).find(alike) else { return Ok(()) };
    Err(Failure::new(Exit::Usage, format!("there is no folder {typed} here, and no command of that name"))
        .cause(format!("did you mean: ftx hub {meant}"))
        .hint(format!("to run a hub in a new folder of that name, type: ftx hub ./{typed}")))
}
