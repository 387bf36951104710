//! `ftx hub`: the class's central repository, and what its manager does on the same machine.

pub mod run;

use clap::Args;

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
    after_help = "Examples:\n  ftx hub ~/repository\n  ftx hub /srv/class --name lab-hub"
)]
pub struct Hub {
    /// What to run.
    #[command(flatten)]
    pub run: run::Run,
}

/// Runs a hub, or does something with one that runs.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Hub) -> Result<Exit, Failure> {
    run::run(context, command.run).await
}
