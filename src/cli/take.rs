//! `ftx take`: fetch what somebody hands over by a code.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::sync::watch;

use super::addresses::addresses_at;
use super::config::ConflictFlag;
use super::context::Context;
use super::give::{LIFE, minutes, not_noted};
use super::join::read;
use super::outcome::{Exit, Failure};
use super::rate::Rate;
use super::redial::{Again, Connecting, Redial};
use super::report;
use super::seek::{Proven, prove, seek};
use super::ui::printer::Printer;
use super::ui::units::count;
use super::ui::{bars, prompt};
use crate::base::event::{Progress, Summary};
use crate::base::fault::{Fault, FaultKind};
use crate::base::target::PeerRef;
use crate::disk::root::Root;
use crate::find::GIVING_PORTS;
use crate::flow::code::{Code, completed};
use crate::flow::consent::{Consent, Proposal, Verdict};
use crate::flow::fault::FlowFault;
use crate::flow::greet::Peer;
use crate::flow::limit::Limit;
use crate::flow::receive::receive;
use crate::node::giver::note_trusted;

/// Fetch what somebody on this network hands over with ftx give.
///
/// It asks for the code that ftx give shows there: a number and three words, in any case of letters, with
/// dashes or spaces; Tab completes words. Then it looks for whoever gives under that number, waits for them
/// where they are not there yet, and takes it once both sides have proven that they have the same code. Nothing
/// is ever overwritten, unless you say --on-conflict replace. What stopped half-way goes on where it stopped,
/// with the same code, as long as ftx give waits there.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx take\n  ftx take ~/Downloads\n  ftx take --code-file code.txt\n  ftx take --from 192.168.1.20\n\n\
    A code is typed when it is asked for, or comes by --code-file; never as an argument, which others on the\n\
    machine could see and the shell would remember. Exit code 6 says that somebody without the code answered\n\
    in the giver's place, 10 that the code is wrong, burnt or used, 11 that nobody gave under its number."
)]
pub struct Take {
    /// The folder it goes to; the current one if not given
    #[arg(value_name = "DIR")]
    pub folder: Vec<PathBuf>,
    /// Read the code from this file; - is standard input
    #[arg(long, value_name = "FILE")]
    pub code_file: Option<PathBuf>,
    /// Where the giver is, if it is not to be looked for.
    #[arg(
        long,
        value_name = "ADDRESS",
        help = "Do not look for the giver: it is at this address, or at one with a port as in \
                [192.168.1.20:40721], which ftx give shows"
    )]
    pub from: Option<String>,
    /// What becomes of what comes where something else has its name; rename if not given
    #[arg(long, value_name = "WHAT")]
    pub on_conflict: Option<ConflictFlag>,
    /// How long to wait for the giver, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = LIFE, value_parser = clap::value_parser!(u64).range(1..=LIFE))]
    pub wait: u64,
    /// Fetch no faster than this: bytes a second, as 500K or 20M
    #[arg(long, value_name = "RATE")]
    pub limit: Option<Rate>,
    /// How the network is used.
    #[command(flatten)]
    pub connecting: Connecting,
}

/// Takes.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Arc<Context>, command: Take) -> Result<Exit, Failure> {
    let folder = folder(&command.folder)?;
    let from = from(command.from.as_deref())?;
    let opening = |error| Failure::local(&Fault::disk(format!("opening {}", folder.display()), &error));
    let root = Root::open_or_create(&folder).map_err(opening)?;
    let root = root.on_conflict(context.config.conflict(command.on_conflict));
    root.check_writable().map_err(|fault| Failure::local(&fault))?;
    let taken = async {
        let code = code(command.code_file.clone()).await?;
        let from = match from {
            Some(from) => Some(addresses_at(&from, GIVING_PORTS).await?),
            None => None,
        };
        context.printer.note(&format!(
            "waiting for whoever gives under number {}, for {}; Ctrl-C ends it",
            code.number,
            minutes(command.wait)
        ));
        context.printer.object(|| json!({ "event": "waiting", "number": code.number, "seconds": command.wait }));
        let until = tokio::time::Instant::now() + Duration::from_secs(command.wait);
        let proven = seek(context, &code, from, command.connecting, until).await?;
        Ok((code, proven))
    };
    let (code, proven) = tokio::select! {
        found = taken => found?,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was taken")),
    };
    fetch(context, &code, proven, root, &command).await
}

/// The folder that is named. A code is none, and must not be one.
fn folder(named: &[PathBuf]) -> Result<PathBuf, Failure> {
    let typed = named.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("-");
    if typed.parse::<Code>().is_ok() || (is_like_a_code(&typed) && !named.iter().any(|path| path.exists())) {
        return Err(Failure::new(Exit::Usage, "a code is never an argument: others on this machine can see those")
            .cause("the shell may also have kept it; it is as good as said aloud")
            .hint("type ftx take alone, and the code when it asks; or put it into a file: ftx take --code-file FILE"));
    }
    match named {
        [] => Ok(whole(Path::new("."))),
        [folder] => Ok(whole(folder)),
        _ => {
            Err(Failure::new(Exit::Usage, "one folder at most can be named").hint("for example: ftx take ~/Downloads"))
        }
    }
}

/// Whether it is a number and three words, also where one of them is misspelt.
fn is_like_a_code(typed: &str) -> bool {
    let mut parts = typed.split(|c: char| c == '-' || c.is_whitespace()).filter(|part| !part.is_empty());
    let number = parts.next().is_some_and(|first| first.len() <= 2 && first.bytes().all(|byte| byte.is_ascii_digit()));
    let words: Vec<&str> = parts.collect();
    number && words.len() == 3 && words.iter().all(|word| word.chars().all(char::is_alphabetic))
}

/// As it is shown: a person is to see where things go.
fn whole(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn from(typed: Option<&str>) -> Result<Option<PeerRef>, Failure> {
    let wrong = |text: String| Failure::new(Exit::Usage, text).hint("for example: ftx take --from 192.168.1.20");
    let Some(typed) = typed else { return Ok(None) };
    // With a port as ftx give shows it, or in brackets as elsewhere.
    let socket =
        typed.parse::<SocketAddr>().map(|at| PeerRef::Address { ip: at.ip(), zone: None, port: Some(at.port()) });
    let peer = socket.or_else(|_| typed.parse()).map_err(|fault| wrong(format!("--from makes no sense: {fault}")))?;
    match peer {
        PeerRef::Address { .. } | PeerRef::Host { .. } => Ok(Some(peer)),
        PeerRef::Name(_) | PeerRef::Id { .. } => Err(wrong(format!("--from takes an address, and {typed} is none"))),
    }
}

/// The code, from a file or from the person at the terminal.
async fn code(file: Option<PathBuf>) -> Result<Code, Failure> {
    let wrong = |text: String| Failure::new(Exit::Usage, text).hint("ask for the code again; nothing was tried");
    let typed = match file {
        Some(file) => {
            let read = tokio::task::spawn_blocking(move || read(file)).await;
            read.map_err(|_| Failure::new(Exit::Other, "reading failed"))??
        }
        None if !prompt::is_there() => {
            return Err(Failure::new(Exit::Usage, "there is no terminal to ask for the code at")
                .hint("give it with --code-file FILE; - is standard input"));
        }
        None => {
            let wrong = |typed: &str| typed.parse::<Code>().err().map(|wrong| wrong.to_string());
            let typed = prompt::completing("the code (Tab completes words)", completed, wrong).await;
            typed.ok_or_else(|| Failure::new(Exit::Usage, "nothing was typed; nothing was taken"))?
        }
    };
    typed.parse().map_err(|why: crate::flow::code::NoCode| wrong(why.to_string()))
}

/// Fetches it all, over as many connections one after the other as it takes.
async fn fetch(context: &Context, code: &Code, proven: Proven, root: Root, command: &Take) -> Result<Exit, Failure> {
    let (printer, peer, address) = (&context.printer, proven.peer.clone(), proven.address);
    let shown = peer.name.to_string();
    if let Err(fault) = note_trusted(&context.state, &peer, None) {
        not_noted(printer, &fault);
    }
    printer.note(&format!("{shown}~{} has the same code", peer.id().short()));
    printer.object(|| json!({ "event": "giver", "peer": report::peer(&peer) }));
    let begun = Instant::now();
    let (progress, watched) = watch::channel(Progress::default());
    let mut redial = Redial::new(context, Again::At(address), peer.id(), command.connecting);
    let bar = bars::draw(printer, format!("← {shown}"), watched.clone());
    let limit = Rate::limit(command.limit);
    let told = Arc::new(AtomicBool::new(false));
    let mut next = Ok(proven);
    let received = loop {
        let came = match next {
            Ok(proven) => {
                let consent = shown_first(printer, &peer, &root, &told);
                one(context, proven, consent, &limit, &progress).await
            }
            Err(fault) => Err(fault),
        };
        match came {
            Ok(summary) => break Ok(summary),
            Err(fault) => match redial.again(&fault, &shown, &progress).await {
                Ok(reached) => next = prove(context, reached, code, command.connecting).await,
                Err(failure) => break Err((fault.kind(), failure)),
            },
        }
    };
    drop(progress);
    let _ = bar.await;
    let mut summary = received.map_err(|(kind, failure)| {
        let kept = report::kept(&watched.borrow());
        if !kept.is_empty() {
            printer.note(&kept);
        }
        let failure = failure.keeping(&watched.borrow());
        match kind {
            FaultKind::NotPermitted => failure.hint("ask for a new code"),
            _ => failure,
        }
    })?;
    summary.bytes_moved += redial.moved;
    report::exceptions(printer, &summary, &[]);
    let took = begun.elapsed();
    let verdict = report::verdict(&summary, &[]).as_str();
    let line = format!("{verdict} in {}: {}", root.shown().display(), report::line(&summary, took));
    report::finished(printer, &line, ("taken", &peer), (&summary, &[]), took);
    Ok(report::judged(printer, &summary, &[]))
}

/// One connection's try.
async fn one(
    context: &Context,
    proven: Proven,
    consent: Consent,
    limit: &Limit,
    progress: &watch::Sender<Progress>,
) -> Result<Summary, FlowFault> {
    receive(proven.session, consent, proven.further, limit.clone(), progress.clone(), context.stop.clone()).await
}

/// Accepts what is given once all of it has been shown; it is shown once. Whoever typed the code has asked for
/// it, and can still end it.
fn shown_first(printer: &Printer, peer: &Peer, root: &Root, told: &Arc<AtomicBool>) -> Consent {
    let (printer, peer, root, told) = (printer.clone(), peer.clone(), root.clone(), told.clone());
    Consent::Ask(Box::new(move |proposal: Proposal| {
        if !told.swap(true, Ordering::Relaxed) {
            let (entries, into) = (&proposal.entries, root.shown().display().to_string());
            let files = entries.iter().filter(|entry| entry.has_bytes()).count();
            let size = report::size(entries);
            let amount = report::amount(entries.bytes(), size.is_none());
            let what = format!("{}, {amount}", count(files, "file", "files"));
            printer.note(&format!("{} gives {what}, into {into}:", peer.name));
            report::offer(entries).iter().for_each(|line| printer.note(&format!("    {line}")));
            printer.object(|| {
                let peer = report::peer(&peer);
                json!({ "event": "offered", "peer": peer, "files": files, "bytes": size, "into": into })
            });
        }
        Box::pin(async move { Verdict::Accept(root) })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_no_folder_however_it_is_typed() {
        let of = |typed: &[&str]| folder(&typed.iter().map(PathBuf::from).collect::<Vec<_>>());
        for typed in [
            &["17-outpost-sermon-muscular"][..],
            &["17", "outpost", "sermon", "muscular"],
            &["17 Outpost Sermon Muscular"],
            &["17-outpost", "sermon-muscular"],
            &["17-outpsot-sermon-muscular"],
        ] {
            let failure = of(typed).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.hint.contains("--code-file"), "{typed:?}");
        }
        assert_eq!(of(&[]).unwrap(), std::env::current_dir().unwrap());
        assert!(of(&["17-photos"]).unwrap().ends_with("17-photos"));
        assert_eq!(of(&["a", "b"]).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn the_giver_is_at_an_address() {
        assert!(from(None).unwrap().is_none());
        for good in ["192.168.1.20", "192.168.1.20:23556", "[fd77::1]:23555", "[lab-pc:23555]", "[192.168.1.20:9]"] {
            assert!(from(Some(good)).unwrap().is_some(), "{good}");
        }
        for bad in ["alice", "alice~k7f3q2mz", ""] {
            assert!(from(Some(bad)).is_err(), "{bad}");
        }
    }
}
