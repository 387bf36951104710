//! `ftx hub status`: who is connected, what moves, what came, what there is.

use clap::Args;
use serde_json::json;

use super::overview;
use super::reach::{Reached, Running, Which};
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::ui::board::Board;
use crate::cli::ui::keys::Keys;
use crate::cli::ui::printer::Format;
use crate::hub::control::message::{Answer, Request};
use crate::node::serve::now;

/// Show how the hub of this machine stands: who is connected, what moves and how fast, what came last,
/// what is stored.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx hub status\n  ftx hub status --watch\n  ftx hub status --json")]
pub struct Status {
    /// Go on, and show it anew each second; q or Ctrl-C ends it
    #[arg(short, long)]
    pub watch: bool,
    /// Which hub.
    #[command(flatten)]
    pub which: Which,
}

/// Shows how the hub stands.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Status) -> Result<Exit, Failure> {
    let hub = Reached::find(context, &command.which, Running::Needed).await?;
    let request = if command.watch { Request::Watch } else { Request::Status };
    let mut answers = hub.ask(request).await?;
    let mut board = Board::new(&context.printer);
    let drawn = command.watch && context.printer.is_seen();
    let mut keys = drawn.then(|| Keys::wait_for(b'q'));
    loop {
        let answer = tokio::select! {
            answer = answers.next() => answer.map_err(|fault| Failure::local(&fault))?,
            () = quit(keys.as_mut()) => return Ok(Exit::Done),
        };
        let Some(answer) = answer else { return Ok(Exit::Done) };
        let Answer::Status(status) = answer else { continue };
        match (context.printer.format(), command.watch) {
            (Format::Json, _) => context.printer.object(|| json!(status)),
            (Format::Human, true) => board.draw(&overview::lines(&status, now())),
            (Format::Human, false) => {
                overview::lines(&status, now()).iter().for_each(|line| context.printer.line(line));
            }
        }
    }
}

/// Ends when a person wants no more of it.
async fn quit(keys: Option<&mut Keys>) {
    match keys {
        Some(keys) => keys.pressed().await,
        None => std::future::pending().await,
    }
}
