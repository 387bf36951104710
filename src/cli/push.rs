//! `ftx push`: send files, folders, standard input or a text.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use ignore::gitignore::Gitignore;
use serde_json::json;
use tokio::sync::watch;

use super::context::Context;
use super::outcome::{Exit, Failure, of_summary};
use super::reach::{Reached, note_met, reach};
use super::report;
use super::ui::bars;
use crate::base::event::{Progress, Stage};
use crate::base::fault::FaultKind;
use crate::base::path::Name;
use crate::base::target::Target;
use crate::disk::excludes::{Excludes, Ignored};
use crate::disk::source::{Item, Source};
use crate::flow::send;
use crate::wire::message::Request;

/// Send files and folders to a peer.
///
/// The receiver is asked, unless it trusts you and accepts trusted peers. What is there already
/// and equal is not sent again; what stopped half-way goes on where it stopped; nothing is ever
/// overwritten. "verified" is said only after the receiver has checked, synced and placed it all.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx push notes.pdf alice-laptop\n  ftx push photos/ report.pdf alice-laptop~k7f3q2mz\n  \
    pg_dump school | ftx push - --as school.sql lab-pc\n  ftx push my-project/ lab-pc --gitignore --exclude '*.log'\n  ftx push --text 'https://example.org/paper' alice-laptop"
)]
pub struct Push {
    /// What to send, and last, to whom
    #[arg(
        required = true,
        value_name = "PATH… TARGET",
        help = "What to send (- for standard input), then to whom: a name, name~id, an address or [host:port]"
    )]
    pub args: Vec<OsString>,
    /// The name for what comes from standard input, or for the text
    #[arg(long = "as", value_name = "NAME")]
    pub rename: Option<String>,
    /// Send this text, as a small file
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Leave out what this glob matches, written as in a .gitignore of each folder that is sent
    /// (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Leave out what git ignores, and .git: by .gitignore and .ignore files, .git/info/exclude
    /// and core.excludesFile
    #[arg(long)]
    pub gitignore: bool,
}

/// Sends.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Push) -> Result<Exit, Failure> {
    let (target, source) = understand(command, &context.state.key_file())?;
    let reached = tokio::select! {
        reached = reach(context, &target.peer) => reached?,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was sent")),
    };
    send_to(context, reached, source).await
}

/// What is to be sent, and to whom. Everything named is looked at before anybody is looked for.
fn understand(command: Push, private: &Path) -> Result<(Target, Source), Failure> {
    let mut paths = command.args;
    let target = paths.pop().unwrap_or_default();
    let target = target.to_str().map(str::parse::<Target>);
    let usage = |text: &str| Failure::new(Exit::Usage, text).hint("for example: ftx push notes.pdf alice-laptop");
    let target = match target {
        Some(Ok(target)) => target,
        Some(Err(fault)) => return Err(usage(&format!("the target makes no sense: {fault}"))),
        None => return Err(usage("the target is not readable text")),
    };
    if target.path.is_some() {
        return Err(usage("only a hub has paths to push to; a peer's owner decides where things go"));
    }
    if paths.is_empty() && command.text.is_none() {
        return Err(usage("one name alone: what is to be sent, or to whom, is missing"));
    }
    let name = |otherwise: &str| match &command.rename {
        Some(name) => Name::parse(name).map_err(|fault| usage(&format!("--as: {fault}"))),
        None => Ok(Name::from_local(otherwise).0),
    };
    let mut items = Vec::with_capacity(paths.len() + 1);
    let mut missing = Vec::new();
    for path in &paths {
        if path == "-" {
            items.push(Item::Stdin { name: name("stdin")? });
            continue;
        }
        match Item::named(Path::new(path)) {
            Ok(item) => items.push(item),
            Err(fault) => missing.push(fault),
        }
    }
    if let Some(first) = missing.first() {
        let exit = if first.kind == FaultKind::NotFound { Exit::Other } else { Exit::Disk };
        let all: Vec<String> = missing.iter().map(ToString::to_string).collect();
        return Err(Failure::new(exit, all.join("; ")).cause("nothing was sent").hint("check the names and try again"));
    }
    if let Some(text) = command.text {
        let bytes: Arc<[u8]> = Arc::from(text.into_bytes());
        items.push(Item::Text { name: name("text.txt")?, bytes });
    }
    if command.rename.is_some() && items.iter().all(|item| matches!(item, Item::Path { .. })) {
        return Err(usage("--as names what comes from standard input, or a text; files keep their names"));
    }
    if items.iter().filter(|item| matches!(item, Item::Stdin { .. })).count() > 1 {
        return Err(usage("standard input can be sent once only"));
    }
    let excludes = Excludes::new(&command.exclude, ignored(command.gitignore));
    let excludes = excludes.map_err(|fault| {
        Failure::new(Exit::Usage, format!("--exclude: {fault}")).hint("for example: --exclude '*.o' --exclude target/")
    })?;
    let source = Source::new(items).withholding(private).excluding(excludes);
    if source.names().next().is_none() {
        return Err(Failure::new(Exit::Other, "--exclude leaves out everything that is named; nothing was sent"));
    }
    Ok((target, source))
}

/// What `--gitignore` stands for. Where git has a list for this user is read here: it depends on
/// the home folder.
fn ignored(gitignore: bool) -> Ignored {
    if gitignore { Ignored::LeftOut(Gitignore::global().0) } else { Ignored::Sent }
}

/// Sends a source to a peer that has been reached, and tells how it went.
async fn send_to(context: &Context, reached: Reached, source: Source) -> Result<Exit, Failure> {
    let (peer, shown, address) = (reached.peer().clone(), reached.shown, reached.address);
    let printer = &context.printer;
    let begun = Cell::new(Instant::now());
    let session = reached.greeted.ask(Request::Push).await.map_err(|fault| Failure::flow(&shown, &fault))?;
    let words = session.words.to_string();
    let (progress, watched) = watch::channel(Progress::default());
    let bar = bars::draw(printer, format!("→ {shown}"), watched.clone());
    let told = tell_asking(context, watched.clone(), &shown, &words, &begun);
    let repeatable = source.is_repeatable();
    let sent = tokio::select! {
        sent = send::send(session, source, progress, context.stop.clone()) => sent.map_err(|fault| Failure::flow(&shown, &fault)),
        () = told => Err(Failure::new(Exit::Other, "the progress ended")),
    };
    let _ = bar.await;
    let sent = match sent {
        Ok(sent) => sent,
        Err(failure) => {
            let kept = report::kept(&watched.borrow());
            if !kept.is_empty() && repeatable {
                printer.note(&format!("{shown} {kept}"));
            }
            return Err(failure);
        }
    };
    note_met(context, &peer, address);
    report::exceptions(printer, &sent.summary, &sent.passed);
    let took = begun.get().elapsed();
    let exit = of_summary(&sent.summary, report::unreadable(&sent.passed));
    let verdict = report::verdict(&sent.summary, &sent.passed).as_str();
    printer.result(&format!("{verdict} at {shown}: {}", report::line(&sent.summary, took)), || {
        report::object("pushed", &peer, &sent.summary, &sent.passed, took)
    });
    Ok(exit)
}

/// Says that a person is being asked, and the key words to compare; the time taken counts from
/// the answer on. Never ends.
async fn tell_asking(
    context: &Context,
    mut progress: watch::Receiver<Progress>,
    shown: &str,
    words: &str,
    begun: &Cell<Instant>,
) {
    if progress.wait_for(|p| p.stage != Stage::Offering).await.is_ok_and(|p| p.stage == Stage::Asking) {
        context.printer.note(&format!("waiting for {shown} to accept"));
        // Whatever we think of it, it may be asked to compare them.
        context.printer.note(&format!("  key words: {words}   (if {shown} is shown any, they must be the same four)"));
        context.printer.object(|| json!({ "event": "asking", "peer": shown, "key_words": words }));
        if progress.wait_for(|p| p.stage > Stage::Asking).await.is_ok() {
            begun.set(Instant::now());
        }
    }
    std::future::pending().await
}
