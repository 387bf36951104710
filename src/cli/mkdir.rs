//! `ftx mkdir`: make folders at a hub.

use clap::Args;
use serde_json::json;

use super::at_hub;
use super::context::Context;
use super::outcome::{Exit, Failure};
use crate::wire::hub::Verb;

/// Make folders at a hub, and those above them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx mkdir lab-hub:shared/week3\n  ftx mkdir lab-hub:shared/week4/slides lab-hub:shared/week4/code"
)]
pub struct Mkdir {
    /// Which: HUB:PATH
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
}

/// Makes them.
///
/// # Errors
/// See [`Failure`]; those named before the one that failed are made.
pub async fn run(context: &Context, command: Mkdir) -> Result<Exit, Failure> {
    for (peer, paths) in at_hub::places(&command.targets, "ftx mkdir lab-hub:shared/week3")? {
        for path in paths {
            let done = at_hub::done(context, &peer, Verb::MakeFolder(path.clone())).await?;
            // Where everybody has a folder of their own, it is made in that.
            let path = done.told.path.as_ref().unwrap_or(&path);
            let line = format!("made at {}: {path}/", done.shown);
            context.printer.result(&line, || done.object("made_folder", json!({ "path": path.as_str() })));
        }
    }
    Ok(Exit::Done)
}
