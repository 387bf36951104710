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

use clap::Args;

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
