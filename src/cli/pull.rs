//! `ftx pull`: fetch from what a peer shares.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use tokio::sync::watch;

use super::config::ConflictFlag;
use super::context::Context;
use super::outcome::{Exit, Failure, has_unreadable, of_all};
use super::plan::{self, Way};
use super::rate::Rate;
use super::reach::{Reached, note_met, reach, tell_first_contact};
use super::redial::{Again, Connecting, Redial};
use super::report;
use super::ui::bars;
use crate::base::event::{Progress, Summary};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::Role;
use crate::base::path::RelPath;
use crate::base::target::{PeerRef, Target};
use crate::disk::root::Root;
use crate::flow::consent::Consent;
use crate::flow::fault::FlowFault;
use crate::flow::limit::Limit;
use crate::flow::preview;
use crate::flow::receive::receive;
use crate::wire::message::Request;

/// Fetch from what a peer shares, or a hub holds.
///
/// A file or folder that is there already and equal is not fetched again; one that stopped
/// half-way goes on where it stopped; nothing is ever overwritten, unless you say
/// --on-conflict replace.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx pull alice-laptop:notes/week1.pdf\n  ftx pull alice-laptop:notes alice-laptop:slides ./from-alice\n  \
    ftx pull alice-laptop --to .\n  ftx pull lab-hub:shared/week3 lab-hub:shared/plan.pdf"
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
    /// Fetch nothing; show what would be fetched
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Fetch no faster than this: bytes a second, as 500K or 20M
    #[arg(long, value_name = "RATE")]
    pub limit: Option<Rate>,
    /// How the network is used.
    #[command(flatten)]
    pub connecting: Connecting,
}

/// Fetches.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Pull) -> Result<Exit, Failure> {
    let conflict = context.config.conflict(command.on_conflict);
    let manner = Manner { connecting: command.connecting, limit: Rate::limit(command.limit) };
    let unclear = command.args.last().filter(|last| command.args.len() > 1 && command.to.is_none() && is_word(last));
    let unclear = unclear.cloned();
    // The last word may have been meant as a folder that is not there.
    let or_folder = |peer: &PeerRef, failure: Failure| match &unclear {
        Some(last) if failure.exit == Exit::NotFound && *last == peer.to_string() => {
            let hint = format!("{}; if a folder is meant: ./{last}", failure.hint);
            failure.hint(hint)
        }
        _ => failure,
    };
    let (wanted, folder) = understand(command.args, command.to)?;
    let opening = |error| Failure::local(&Fault::disk(format!("opening {}", folder.display()), &error));
    let purpose = if command.dry_run {
        match Root::open(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Purpose::Look(None),
            root => Purpose::Look(Some(root.map_err(opening)?.on_conflict(conflict))),
        }
    } else {
        let root = Root::open_or_create(&folder).map_err(opening)?.on_conflict(conflict);
        root.check_writable().map_err(|fault| Failure::local(&fault))?;
        Purpose::Fetch(root)
    };
    let (several, mut exits) = (wanted.len() > 1, Vec::new());
    for (peer, paths) in wanted {
        let ended = match &purpose {
            Purpose::Look(root) => look(context, &peer, paths, root.as_ref()).await,
            Purpose::Fetch(root) => from_one(context, &peer, paths, root.clone(), &manner).await,
        };
        exits.push(match ended.map_err(|failure| or_folder(&peer, failure)) {
            // What one of several does not give does not keep the others from giving.
            Err(failure) if several && failure.exit != Exit::Interrupted => context.printer.failure(&failure),
            ended => ended?,
        });
    }
    Ok(of_all(&exits))
}

/// What is wanted of each peer.
enum Purpose {
    /// Only to know what would be fetched, into this folder, if it is there.
    Look(Option<Root>),
    /// To fetch it into this folder.
    Fetch(Root),
}

/// How everything is fetched.
struct Manner {
    connecting: Connecting,
    limit: Limit,
}

/// Paths to fetch from each peer; all shares where none is named.
type Wanted = Vec<(PeerRef, Vec<RelPath>)>;

fn understand(mut targets: Vec<String>, to: Option<PathBuf>) -> Result<(Wanted, PathBuf), Failure> {
    let last_is_folder = targets.len() > 1 && targets.last().is_some_and(|last| is_folder(last));
    let folder = match (to, last_is_folder) {
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

/// Whether it is a name and nothing else: of a peer, or of a folder.
fn is_word(text: &str) -> bool {
    !text.contains([':', '~', '/'])
}

/// Fetches from one peer, and tells how it went.
async fn from_one(
    context: &Context,
    from: &PeerRef,
    paths: Vec<RelPath>,
    root: Root,
    manner: &Manner,
) -> Result<Exit, Failure> {
    let printer = &context.printer;
    let mut reached = reach_first(context, from).await?;
    let (peer, shown, address) = (reached.peer().clone(), reached.shown.clone(), reached.address);
    let begun = Instant::now();
    let (progress, watched) = watch::channel(Progress::default());
    let mut redial = Redial::new(context, Again::Named(from), peer.id(), manner.connecting);
    let bar = bars::draw(printer, format!("← {shown}"), watched.clone());
    let received = loop {
        match attempt(context, reached, &paths, &root, (manner, &progress)).await {
            Ok(summary) => break Ok(summary),
            Err(fault) => match redial.again(&fault, &shown, &progress).await {
                Ok(again) => reached = again,
                Err(failure) => break Err((fault.kind(), failure)),
            },
        }
    };
    drop(progress);
    let _ = bar.await;
    let mut summary = received.map_err(|(kind, failure)| {
        let failure = if peer.role == Role::Hub { failure.at_hub(&shown) } else { failure };
        let kept = report::kept(&watched.borrow());
        if !kept.is_empty() {
            printer.note(&kept);
        }
        let failure = failure.keeping(&watched.borrow());
        match kind {
            FaultKind::NotFound => failure.hint(format!("ftx ls {shown} shows what is there")),
            _ => failure,
        }
    })?;
    note_met(context, &peer, address);
    summary.bytes_moved += redial.moved;
    report::exceptions(printer, &summary, &[]);
    let took = begun.elapsed();
    let verdict = report::verdict(&summary, &[]).as_str();
    let line = format!("{verdict} in {}: {}", root.shown().display(), report::line(&summary, took));
    report::finished(printer, &line, ("pulled", &peer), (&summary, &[]), took);
    Ok(report::judged(printer, &summary, &[]))
}

async fn reach_first(context: &Context, from: &PeerRef) -> Result<Reached, Failure> {
    tokio::select! {
        reached = reach(context, from) => reached,
        () = context.interrupted() => Err(Failure::new(Exit::Interrupted, "interrupted; nothing was fetched")),
    }
}

/// One connection's try.
async fn attempt(
    context: &Context,
    reached: Reached,
    paths: &[RelPath],
    root: &Root,
    (manner, progress): (&Manner, &watch::Sender<Progress>),
) -> Result<Summary, FlowFault> {
    let further = manner.connecting.further(context, &reached);
    // Nothing else may come than what was asked for.
    let tops = (!paths.is_empty()).then(|| paths.iter().map(RelPath::file_name).collect());
    let session = reached.greeted.ask(Request::Pull(paths.to_vec())).await?;
    tell_first_contact(context, reached.trust, (&session.peer, reached.address), &session.words);
    let consent = Consent::Given { root: root.clone(), tops };
    receive(session, consent, further, manner.limit.clone(), progress.clone(), context.stop.clone()).await
}

/// Tells what would be fetched; nothing is there yet without a `root`.
async fn look(context: &Context, from: &PeerRef, paths: Vec<RelPath>, root: Option<&Root>) -> Result<Exit, Failure> {
    let reached = reach_first(context, from).await?;
    let (peer, shown) = (reached.peer().clone(), reached.shown);
    let failed = |fault: FlowFault| {
        let failure = Failure::flow(&shown, &fault);
        if peer.role == Role::Hub { failure.at_hub(&shown) } else { failure }
    };
    let session = reached.greeted.ask(Request::Pull(paths)).await.map_err(failed)?;
    let looked = tokio::select! {
        looked = preview::pull(session, root) => looked.map_err(failed)?,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    plan::tell(context, Way::From, (&shown, &peer), &looked, &[]);
    Ok(if has_unreadable(&looked.left_out) { Exit::Partly } else { Exit::Done })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> (Wanted, PathBuf) {
        let args = args.iter().map(ToString::to_string).collect();
        understand(args, None).unwrap()
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
