//! `ftx find`: where something is at a hub, by its name.

use clap::Args;

use super::at_hub::{self, Done};
use super::context::Context;
use super::items::{self, Form, Sort};
use super::outcome::{Exit, Failure};
use crate::base::text::PeerText;
use crate::wire::hub::Verb;

/// Find files and folders at a hub by their names.
///
/// Found is whatever you may see there whose name has the text in it, in any case of letters. Exit
/// code 1 says that there is nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx find report lab-hub\n  ftx find .pdf lab-hub:shared/week3 -l")]
pub struct Find {
    /// Part of a name
    pub text: String,
    /// Where: HUB, or HUB:PATH for a folder and everything below it
    pub target: String,
    /// Also the owner, how many versions are kept, and the beginning of the SHA-256
    #[arg(short, long)]
    pub long: bool,
    /// What comes first; folders stand before files
    #[arg(long, value_name = "BY", default_value = "name")]
    pub sort: Sort,
}

/// Finds.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Find) -> Result<Exit, Failure> {
    let target = at_hub::target(&command.target, "ftx find report lab-hub:shared")?;
    if command.text.is_empty() || command.text.len() > PeerText::MAX {
        let text = format!("what is looked for has 1 to {} bytes", PeerText::MAX);
        return Err(Failure::new(Exit::Usage, text).hint("for example: ftx find report lab-hub"));
    }
    let verb = Verb::Find { text: PeerText::new(command.text.as_str()), below: target.path };
    let Done { told, shown, .. } = at_hub::done(context, &target.peer, verb).await?;
    let mut found = told.items;
    if found.is_empty() {
        context.printer.note(&format!("nothing at {shown} that you may see has that in its name"));
        return Ok(Exit::Other);
    }
    items::sort(&mut found, command.sort);
    items::print(&context.printer, &found, None, if command.long { Form::Long } else { Form::Short });
    Ok(Exit::Done)
}
