//! What is done at a hub on its own machine.

use clap::Subcommand;

use super::{accounts, invite, send, settings, spaces, status, verify};
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure};

/// What is done at a hub; each stands at its own type.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "a text here would replace the command's own in its help")]
pub enum Manage {
    Status(status::Status),
    Invite(invite::Invite),
    Accounts(accounts::Accounts),
    Spaces(spaces::Spaces),
    Settings(settings::Settings),
    Verify(verify::Verify),
    Send(send::Send),
}

/// Manages a hub; Ctrl-C ends it at once.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Manage) -> Result<Exit, Failure> {
    let watches = matches!(&command, Manage::Status(status) if status.watch);
    let done = async {
        match command {
            Manage::Status(command) => status::run(context, command).await,
            Manage::Invite(command) => invite::run(context, command).await,
            Manage::Accounts(command) => accounts::run(context, command).await,
            Manage::Spaces(command) => spaces::run(context, command).await,
            Manage::Settings(command) => settings::run(context, command).await,
            Manage::Verify(command) => verify::run(context, command).await,
            Manage::Send(command) => send::run(context, command).await,
        }
    };
    tokio::select! {
        done = done => done,
        // So a watch is meant to end.
        () = context.interrupted(), if watches => Ok(Exit::Done),
        () = context.interrupted(), if !watches => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}
