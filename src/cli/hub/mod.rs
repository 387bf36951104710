//! `ftx hub`: the class's central repository, and what its manager does on the same machine.

pub mod accounts;
pub mod invite;
pub mod manage;
pub mod overview;
pub mod reach;
pub mod resting;
pub mod send;
pub mod settings;
pub mod size;
pub mod spaces;
pub mod status;
pub mod verify;

use clap::Args;

use super::context::Context;
use super::outcome::{Exit, Failure};

/// Manage the hub of this machine.
#[derive(Debug, Args)]
pub struct Hub {
    /// What to do.
    #[command(subcommand)]
    pub command: manage::Manage,
}

/// Does something with a hub of this machine.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Hub) -> Result<Exit, Failure> {
    manage::run(context, command.command).await
}
