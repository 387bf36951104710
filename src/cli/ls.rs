//! `ftx ls`: what a peer shares.

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::outcome::{Exit, Failure};
use super::reach::{note_met, reach};
use super::ui::printer::Format;
use super::ui::units::{bytes, when};
use crate::base::manifest::{Entry, EntryKind};
use crate::base::target::Target;
use crate::flow::list;
use crate::wire::message::Request;

/// List what a peer shares.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx ls alice-laptop\n  ftx ls alice-laptop:notes/week1")]
pub struct Ls {
    /// Whose, and which folder: PEER or PEER:PATH
    pub target: String,
}

/// Lists.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Ls) -> Result<Exit, Failure> {
    let target: Target = command.target.parse().map_err(|fault| {
        Failure::new(Exit::Usage, format!("{} makes no sense: {fault}", command.target))
            .hint("for example: ftx ls alice-laptop:notes")
    })?;
    let listed = tokio::select! {
        listed = list(context, &target) => listed?,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    print(context, &listed);
    Ok(Exit::Done)
}

async fn list(context: &Context, target: &Target) -> Result<Vec<Entry>, Failure> {
    let reached = reach(context, &target.peer).await?;
    let (peer, shown, address) = (reached.peer().clone(), reached.shown, reached.address);
    let failed = |fault| Failure::flow(&shown, &fault);
    let session = reached.greeted.ask(Request::List(target.path.clone())).await.map_err(failed)?;
    let entries = list::hear(session).await.map_err(failed)?;
    note_met(context, &peer, address);
    Ok(entries)
}

fn print(context: &Context, entries: &[Entry]) {
    let printer = &context.printer;
    if printer.format() == Format::Json {
        for entry in entries {
            printer.object(|| object(entry));
        }
        return;
    }
    let sizes: Vec<String> = entries
        .iter()
        .map(|entry| match entry.kind {
            EntryKind::File { size, .. } => bytes(size),
            _ => "-".to_owned(),
        })
        .collect();
    let width = sizes.iter().map(String::len).max().unwrap_or(0);
    for (entry, size) in entries.iter().zip(sizes) {
        let line = match &entry.kind {
            EntryKind::Directory => format!("{size:>width$}  {:16}  {}/", "-", entry.path),
            EntryKind::File { modified, .. } => format!("{size:>width$}  {:16}  {}", when(*modified), entry.path),
            EntryKind::Stream => format!("{size:>width$}  {:16}  {}", "-", entry.path),
            EntryKind::Link { target } => {
                let target = crate::base::text::escape(target.as_str());
                format!("{size:>width$}  {:16}  {} -> {target}", "-", entry.path)
            }
        };
        printer.line(&line);
    }
    if entries.is_empty() {
        printer.note("nothing in it");
    }
}

fn object(entry: &Entry) -> serde_json::Value {
    let path = entry.path.as_str();
    match &entry.kind {
        EntryKind::Directory => json!({ "path": path, "kind": "folder" }),
        EntryKind::File { size, modified, .. } => {
            json!({ "path": path, "kind": "file", "size": size, "modified": modified.seconds })
        }
        EntryKind::Stream => json!({ "path": path, "kind": "file" }),
        EntryKind::Link { target } => json!({ "path": path, "kind": "link", "target": target.as_str() }),
    }
}
