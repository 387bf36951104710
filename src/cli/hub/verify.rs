//! `ftx hub verify`: read everything again.

use clap::Args;
use serde_json::json;

use super::reach::{Reached, Running, Which};
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::ui::bars::Ticker;
use crate::cli::ui::units::{bytes, count};
use crate::hub::control::message::{Answer, Request};

/// Read everything that the hub holds again, and name what is not as it was.
///
/// Ends with 7 where bytes have changed that nobody changed. What was put there by hand, or is gone by
/// hand, is named and is no damage.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx hub verify\n  ftx hub verify --dir ~/repository --fix-catalogue")]
pub struct Verify {
    /// The catalogue says from now on what is there
    #[arg(long)]
    pub fix_catalogue: bool,
    /// Which hub.
    #[command(flatten)]
    pub which: Which,
}

/// Has everything read again.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Verify) -> Result<Exit, Failure> {
    let hub = Reached::find(context, &command.which, Running::Spared).await?;
    let printer = &context.printer;
    let mut answers = hub.ask(Request::Verify { fix: command.fix_catalogue }).await?;
    let (mut read, mut damaged, mut odd) = ((0, 0), 0, 0);
    let ticker = Ticker::new(printer);
    while let Some(answer) = answers.next().await.map_err(|fault| Failure::local(&fault))? {
        match answer {
            Answer::Checked { files, bytes: size } => {
                read = (files, size);
                ticker.say(format!("{files} files read, {}", bytes(size)));
                printer.object(|| json!({ "event": "checked", "files": files, "bytes": size }));
            }
            Answer::Finding { path, what, text, damage } => {
                *(if damage { &mut damaged } else { &mut odd }) += 1;
                let line = format!("{} {path}: {text}", if damage { "DAMAGED" } else { "note:  " });
                printer.result(&line, || {
                    json!({
                        "event": "finding",
                        "path": path,
                        "what": what.as_raw(),
                        "text": text.as_raw(),
                        "damage": damage,
                    })
                });
            }
            _ => {}
        }
    }
    drop(ticker);
    let (files, size) = read;
    let line = format!("{files} files read, {}; {} damaged, {odd} noted", bytes(size), count(damaged, "file", "files"));
    printer.result(
        &line,
        || json!({ "event": "verified", "files": files, "bytes": size, "damaged": damaged, "noted": odd }),
    );
    Ok(if damaged > 0 { Exit::Integrity } else { Exit::Done })
}
