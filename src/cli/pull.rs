//! `ftx pull`: fetch from what a peer shares.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use tokio::sync::watch;

use super::config::ConflictFlag;
use super::context::Context;
use super::outcome::{Exit, Failure, of_summary};
use super::reach::{note_met, reach};
use super::report;
use super::ui::bars;
use crate::base::event::Progress;
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::RelPath;
use crate::base::target::{PeerRef, Target};
use crate::disk::root::Root;
use crate::flow::receive::{Consent, receive};
use crate::wire::message::Request;

/// Fetch from what a peer shares.
///
/// A file or folder that is there already and equal is not fetched again; one that stopped
/// half-way goes on where it stopped; nothing is ever overwritten, unless you say
/// --on-conflict replace.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx pull alice-laptop:notes/week1.pdf\n  ftx pull alice-laptop:notes alice-laptop:slides ./from-alice\n  \
    ftx pull alice-laptop --to ."
)]
pub struct Pull {
    /// What to fetch, PEER or PEER:PATH, and last, if you like, the folder it goes to (one that
    /// exists, or starts with . or /)
    #[arg(required = true, value_name = "TARGET… [DIR]")]
    pub args: Vec<String>,
    /// The folder it goes to; the current one if not given
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// What becomes of what comes where something else has its name; rename if not given
    #[arg(long, value_name = "WHAT")]
    pub on_conflict: Option<ConflictFlag>,
}

/// Fetches.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Pull) -> Result<Exit, Failure> {
    let conflict = context.config.conflict(command.on_conflict);
    let (wanted, folder) = understand(command)?;
    let root = Root::open_or_create(&folder)
        .map_err(|error| Failure::local(&Fault::disk(format!("opening {}", folder.display()), &error)))?
        .on_conflict(conflict);
    root.check_writable().map_err(|fault| Failure::local(&fault))?;
    let mut exit = Exit::Done;
    for (peer, paths) in wanted {
        let ended = from_one(context, &peer, paths, root.clone()).await?;
        if ended != Exit::Done {
            exit = ended;
        }
    }
    Ok(exit)
}

/// Paths to fetch from each peer; all shares where none is named.
type Wanted = Vec<(PeerRef, Vec<RelPath>)>;

fn understand(command: Pull) -> Result<(Wanted, PathBuf), Failure> {
    let mut targets = command.args;
    let last_is_folder = targets.len() > 1 && targets.last().is_some_and(|last| is_folder(last));
    let folder = match (command.to, last_is_folder) {
        (Some(folder), _) => folder,
        (None, true) => targets.pop().map(PathBuf::from).unwrap_or_default(),
        (None, false) => PathBuf::from("."),
    };
    let mut wanted: Wanted = Vec::new();
    for text in &targets {
        let target: Target = text.parse().map_err(|fault| {
            Failure::new(Exit::Usage, format!("{text} makes no sense: {fault}"))
                .hint("for example: ftx pull alice-laptop:notes/week1.pdf")
        })?;
        match wanted.iter_mut().find(|(peer, _)| *peer == target.peer) {
            Some((_, paths)) => paths.extend(target.path),
            None => wanted.push((target.peer, target.path.into_iter().collect())),
        }
    }
    Ok((wanted, folder))
}

fn is_folder(text: &str) -> bool {
    let looks = text.starts_with(['.', '/', '~']) || Path::new(text).is_absolute();
    looks || (!text.contains(':') && Path::new(text).is_dir())
}

async fn from_one(context: &Context, peer: &PeerRef, paths: Vec<RelPath>, root: Root) -> Result<Exit, Failure> {
    let printer = &context.printer;
    let reached = tokio::select! {
        reached = reach(context, peer) => reached?,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was fetched")),
    };
    let (peer, shown, address) = (reached.peer().clone(), reached.shown, reached.address);
    let begun = Instant::now();
    // Nothing else may come than what was asked for.
    let tops = (!paths.is_empty()).then(|| paths.iter().map(RelPath::file_name).collect());
    let session = reached.greeted.ask(Request::Pull(paths)).await.map_err(|fault| Failure::flow(&shown, &fault))?;
    let (progress, watched) = watch::channel(Progress::default());
    let bar = bars::draw(printer, format!("← {shown}"), watched.clone());
    let consent = Consent::Given { root: root.clone(), tops };
    let received = receive(session, consent, progress, context.stop.clone()).await;
    let _ = bar.await;
    let summary = received.map_err(|fault| {
        let kept = report::kept(&watched.borrow());
        if !kept.is_empty() {
            printer.note(&kept);
        }
        let failure = Failure::flow(&shown, &fault);
        match fault.kind() {
            FaultKind::NotFound => failure.hint(format!("ftx ls {shown} shows what is there")),
            _ => failure,
        }
    })?;
    note_met(context, &peer, address);
    report::exceptions(printer, &summary, &[]);
    let took = begun.elapsed();
    let verdict = report::verdict(&summary, &[]).as_str();
    printer.result(&format!("{verdict} in {}: {}", root.shown().display(), report::line(&summary, took)), || {
        report::object("pulled", &peer, &summary, &[], took)
    });
    Ok(of_summary(&summary, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> (Wanted, PathBuf) {
        let args = args.iter().map(ToString::to_string).collect();
        understand(Pull { args, to: None, on_conflict: None }).unwrap()
    }

    #[test]
    fn the_last_word_is_a_folder_where_it_looks_like_one() {
        let (wanted, folder) = parse(&["alice:notes", "alice:slides/1", "bob", "./here"]);
        assert_eq!(folder, PathBuf::from("./here"));
        assert_eq!(wanted.len(), 2);
        assert_eq!(wanted[0].1.len(), 2);
        assert!(wanted[1].1.is_empty());
        let (wanted, folder) = parse(&["alice:notes", "bob"]);
        assert_eq!((wanted.len(), folder), (2, PathBuf::from(".")));
        let (wanted, _) = parse(&["src"]);
        assert_eq!(wanted.len(), 1, "a target alone is never a folder");
    }
}
