//! `ftx give`: hand something over to whoever types a code.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::context::Context;
use super::join::read;
use super::outcome::{Exit, Failure};
use super::rate::Rate;
use super::report;
use super::sources::What;
use super::ui::printer::Printer;
use super::ui::{bars, qr};
use super::visible::{self, Visible};
use crate::base::fault::{Fault, plain};
use crate::find::{GIVING_PORTS, givers};
use crate::flow::code::Code;
use crate::flow::outgoing::{Manner, Outgoing};
use crate::flow::stop::Stopper;
use crate::link::listen::{Listener, Scope};
use crate::node::accept;
use crate::node::giver::{Giver, Happened, TRIES};
use crate::wire::hello::VERSION;

/// How long a code lives, in seconds, and the longest that either side waits for the other.
pub const LIFE: u64 = 10 * 60;

/// Events that may wait to be shown.
const WAITING: usize = 64;

/// How long the last words may take when it ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// What it looks like.
const EXAMPLE: &str = "ftx give notes.pdf";

/// Hand files over to whoever types a code, on any machine of this network.
///
/// It prints a code: a number and three words. Whoever it is for types ftx take, and then the code; nobody
/// needs to know a machine's name, and neither side needs ftx up. Both sides prove that they have the code
/// without saying it. It works once, for ten minutes, and three wrong ones burn it. The first that has it
/// right may come again until everything has arrived; then both trust each other, and this ends.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx give notes.pdf\n  ftx give photos/ report.pdf --qr\n  ftx give --text 'https://example.org/paper'\n\n\
    Exit code 10 says that the code was burnt, 11 that nobody took it in time."
)]
pub struct Give {
    /// What to hand over; - for standard input
    #[arg(required_unless_present = "text", value_name = "PATH")]
    pub paths: Vec<OsString>,
    /// What is sent besides files.
    #[command(flatten)]
    pub what: What,
    /// Also draw the code for a phone's camera, which shows it as text to be carried to the other machine
    #[arg(long)]
    pub qr: bool,
    /// Hand over under the code in this file, one that ftx give made before, instead of a new one; - is
    /// standard input
    #[arg(long, value_name = "FILE")]
    pub code_file: Option<PathBuf>,
    /// Do not announce it; who knows the address still takes it, with ftx take --from
    #[arg(long)]
    pub hidden: bool,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = LIFE, value_parser = clap::value_parser!(u64).range(1..=LIFE))]
    pub wait: u64,
    /// Send no faster than this: bytes a second, as 500K or 20M
    #[arg(long, value_name = "RATE")]
    pub limit: Option<Rate>,
}

/// Hands over.
///
/// # Errors
/// See [`Failure`]; exit 10 where the code was burnt, 11 where nobody took it in time.
pub async fn run(context: &Arc<Context>, command: Give) -> Result<Exit, Failure> {
    if command.code_file.as_deref() == Some(Path::new("-")) && command.paths.iter().any(|path| path == "-") {
        return Err(Failure::new(Exit::Usage, "standard input can be one file only"));
    }
    let source = command.what.source(&command.paths, EXAMPLE)?.withholding(&context.state.key_file());
    let names: Vec<String> = source.names().take(4).map(ToString::to_string).collect();
    let more = if source.names().count() > 3 { " …" } else { "" };
    context.printer.note(&format!("giving {}{more}", names.get(..3).unwrap_or(&names).join(", ")));
    let code = tokio::select! {
        code = code(context, command.code_file.clone()) => code?,
        () = context.interrupted() => return Err(interrupted()),
    };
    let outgoing = Outgoing::start(source, Manner { limit: Rate::limit(command.limit), ..Manner::default() });
    let listener = listen(context)?;
    let port = listener.port();
    let (events, happened) = mpsc::channel(WAITING);
    let (own, state) = ((context.me.clone(), context.tls.clone()), context.state.clone());
    let giver = Arc::new(Giver::new(own, code.clone(), outgoing.clone(), state, events));
    let stopper = Stopper::new();
    let serving = tokio::spawn(accept::run(giver, listener, visible::reachable(context), stopper.listen()));
    let visible = Visible::start(context, givers::announcement(code.number, VERSION, port), command.hidden);
    tell_code(context, &code, &command, port);
    let wait = Duration::from_secs(command.wait);
    let given = tokio::select! {
        given = watch(&context.printer, happened, wait, &outgoing) => given,
        () = context.interrupted() => Err(interrupted()),
    };
    stopper.stop();
    // The goodbye, and what is still to be said to a taker that is not done.
    let _ = timeout(FAREWELL, async { tokio::join!(visible.end(), serving) }).await;
    given
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; whoever was taking it keeps what has arrived")
}

/// The code that was given, or a new one with a number that nobody here has.
async fn code(context: &Context, file: Option<PathBuf>) -> Result<Code, Failure> {
    let Some(file) = file else {
        let taken = givers::numbers(context.interfaces.clone()).await;
        return Code::new(&taken).map_err(|fault| Failure::local(&fault));
    };
    let typed = tokio::task::spawn_blocking(move || read(file)).await;
    let typed = typed.map_err(|_| Failure::new(Exit::Other, "reading failed"))??;
    typed.parse().map_err(|wrong: crate::flow::code::NoCode| Failure::new(Exit::Usage, wrong.to_string()))
}

/// Listens on a port of its own: one of those kept for this, or any where all are taken.
fn listen(context: &Context) -> Result<Listener, Failure> {
    let scope = if context.interfaces.is_loopback_only() { Scope::Loopback } else { Scope::Network };
    let listener = Listener::bind(scope, GIVING_PORTS).or_else(|_| Listener::bind(scope, 0..=0));
    listener.map_err(|error| Failure::new(Exit::Other, format!("no port to listen on: {}", plain(&error))))
}

fn tell_code(context: &Context, code: &Code, command: &Give, port: u16) {
    let (printer, shown, addresses) = (&context.printer, code.shown(), visible::addresses(context));
    printer.result(&shown, || {
        json!({
            "event": "code", "code": *shown, "number": code.number, "port": port, "addresses": addresses,
            "seconds": command.wait,
        })
    });
    if command.qr {
        // Codes are no arguments: this is to be read by a person, in two steps.
        qr::lines(&format!("ftx take\n{}", *shown)).iter().for_each(|line| printer.note(line));
    }
    printer.note("on the other machine type   ftx take   and, when it asks, the code above");
    // What leads here from another machine, if there is any such way.
    let here_only = |address: &str| address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    let usable = || addresses.iter().filter(|address| !address.contains('%'));
    if let Some(address) = usable().find(|address| !here_only(address)).or_else(|| usable().next()) {
        let address = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        printer.note(&format!("  (if nothing is found there:   ftx take --from {address})"));
    }
    printer.note(&format!("waiting for {}; Ctrl-C takes it back", minutes(command.wait)));
}

/// A time as people say it.
pub(super) fn minutes(seconds: u64) -> String {
    if seconds.is_multiple_of(60) { format!("{} min", seconds / 60) } else { format!("{seconds} s") }
}

/// Tells what happens until it is given, or will not be.
async fn watch(
    printer: &Printer,
    mut happened: mpsc::Receiver<Happened>,
    wait: Duration,
    outgoing: &Outgoing,
) -> Result<Exit, Failure> {
    let mut until = Some(Instant::now() + wait);
    loop {
        let happened = tokio::select! {
            Some(happened) = happened.recv() => happened,
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => return Err(nobody(wait)),
        };
        match happened {
            Happened::Taking { peer, progress } => {
                until = None;
                printer.note(&format!("{}~{} has the code", peer.name, peer.id().short()));
                printer.object(|| json!({ "event": "taking", "peer": report::peer(&peer) }));
                // It ends by itself with the transfer.
                drop(bars::draw(printer, format!("→ {}", peer.name), progress));
            }
            Happened::Wrong { address, left } => {
                let line = format!("somebody at {} typed a wrong code; {}", address.ip(), tries(left));
                printer
                    .result(&line, || json!({ "event": "wrong_code", "address": address.to_string(), "left": left }));
                if left == 0 {
                    return Err(burnt());
                }
            }
            Happened::Stopped { peer, fault } if outgoing.is_repeatable() => {
                until = Some(Instant::now() + wait);
                printer.note(&format!("{} has not got everything yet: {fault}", peer.name));
                printer.note(&format!("it may come again with the same code, for {}", minutes(wait.as_secs())));
                let (peer, error) = (report::peer(&peer), fault.to_string());
                printer.object(|| json!({ "event": "stopped", "peer": peer, "error": error }));
            }
            Happened::Stopped { peer, fault } => {
                let failure = Failure::flow(&peer.name.to_string(), &fault);
                return Err(failure.hint("what comes from standard input cannot be sent again: give it once more"));
            }
            Happened::Given { peer, sent, took } => {
                report::exceptions(printer, &sent.summary, &sent.passed);
                let verdict = report::verdict(&sent.summary, &sent.passed).as_str();
                let line = format!("{verdict} at {}: {}", peer.name, report::line(&sent.summary, took));
                report::finished(printer, &line, ("given", &peer), (&sent.summary, &sent.passed), took);
                return Ok(report::judged(printer, &sent.summary, &sent.passed));
            }
            Happened::NotNoted(fault) => not_noted(printer, &fault),
        }
    }
}

/// Tells that the other side is not trusted from now on.
pub(super) fn not_noted(printer: &Printer, fault: &Fault) {
    printer.warn(&fault.to_string());
}

/// How many wrong codes are left, for people.
pub(super) fn tries(left: u8) -> String {
    match left {
        0 => "the code is burnt".to_owned(),
        1 => "1 try left".to_owned(),
        left => format!("{left} tries left"),
    }
}

fn burnt() -> Failure {
    Failure::new(Exit::NotPermitted, format!("the code is burnt: it was wrong {TRIES} times; nothing was given"))
        .cause("somebody misheard it, or guessed")
        .hint("type the same again for a new code")
}

fn nobody(wait: Duration) -> Failure {
    let text = format!("nobody took it within {}; the code is void", minutes(wait.as_secs()));
    Failure::new(Exit::TimedOut, text).hint("type the same again for a new code")
}
