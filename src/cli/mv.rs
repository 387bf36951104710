//! `ftx mv`: move or rename at a hub.

use clap::Args;
use serde_json::json;

use super::at_hub;
use super::context::Context;
use super::outcome::{Exit, Failure};
use super::reach::reach;
use crate::base::path::RelPath;
use crate::base::target::PeerRef;
use crate::wire::hub::Verb;

/// What is typed instead of nonsense.
const EXAMPLE: &str = "ftx mv lab-hub:shared/a.pdf lab-hub:shared/week3/";

/// Move or rename a file or folder at a hub.
///
/// Into a folder, where the second target ends in / or is one that is there; else it gets that name.
///
/// What is kept of it (ftx versions) goes along where the same people may see it: within a space, and where each has
/// a folder of their own, within that. Else it stays as what is kept at the old path, and can be restored there.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx mv lab-hub:shared/a.pdf lab-hub:shared/b.pdf\n  \
    ftx mv lab-hub:shared/b.pdf lab-hub:shared/week3/")]
pub struct Mv {
    /// What: HUB:PATH
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Where to, at the same hub: HUB:PATH
    #[arg(value_name = "TO")]
    pub to: String,
}

/// Moves.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Mv) -> Result<Exit, Failure> {
    let (hub, from) = at_hub::place(&command.from, EXAMPLE)?;
    if !command.to.contains(':') {
        return Err(Failure::new(Exit::Usage, format!("{} names no path at a hub: HUB:PATH is expected", command.to))
            .hint(format!("perhaps: ftx mv {} {hub}:{}", command.from, command.to)));
    }
    let target = at_hub::target(&command.to, EXAMPLE)?;
    if target.peer != hub {
        same(context, &hub, &target.peer, &command).await?;
    }
    let to = destination(&from, target.path, command.to.ends_with('/'))?;
    let verb = Verb::Move { from: from.clone(), to: to.clone() };
    let done = at_hub::done(context, &hub, verb).await?;
    let to = done.told.path.as_ref().unwrap_or(&to);
    let line = format!("moved at {}: {from} is now {to}", done.shown);
    let files = done.told.files;
    let object = json!({ "from": from.as_str(), "to": to.as_str(), "files": files });
    context.printer.result(&line, || done.object("moved", object));
    Ok(Exit::Done)
}

/// That two names mean one hub.
async fn same(context: &Context, one: &PeerRef, other: &PeerRef, command: &Mv) -> Result<(), Failure> {
    let both = async { Ok((reach(context, one).await?, reach(context, other).await?)) };
    let (one, other) = tokio::select! {
        both = both => both?,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was moved")),
    };
    if one.peer().id() == other.peer().id() {
        return Ok(());
    }
    let text = format!("{} and {} are two machines; things are moved at one hub only", one.shown, other.shown);
    let (from, to) = (&command.from, &command.to);
    Err(Failure::new(Exit::Usage, text)
        .hint(format!("ftx pull {from} . then push it: ftx push NAME {to}; ftx rm {from}")))
}

/// The name that it gets; where that is a folder, the hub moves it into it.
fn destination(from: &RelPath, to: Option<RelPath>, into: bool) -> Result<RelPath, Failure> {
    let name = from.file_name();
    match to {
        None => Ok(name.into()),
        Some(to) if !into => Ok(to),
        Some(to) => to.join(&name).map_err(|fault| Failure::new(Exit::Usage, format!("{to}/{name}: {fault}"))),
    }
}
