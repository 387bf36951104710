//! What a person types and sees: one file per command, its arguments and what it does.

mod addresses;
pub mod at_hub;
pub mod completions;
pub mod config;
pub mod confined;
pub mod context;
pub mod deliver;
pub mod demo;
pub mod doctor;
pub mod find;
pub mod give;
pub mod handed_in;
pub mod here;
pub mod hub;
pub mod items;
pub mod join;
pub mod ls;
pub mod mkdir;
pub mod mv;
pub mod outcome;
pub mod peers;
pub mod plan;
mod process;
pub mod pull;
pub mod push;
pub mod rate;
pub mod reach;
pub mod receipt;
pub mod receivers;
pub mod redial;
pub mod report;
pub mod rm;
mod search;
mod seek;
pub mod service;
pub mod signal;
pub mod sources;
pub mod take;
pub mod trust;
pub mod ui;
mod unreached;
pub mod up;
pub mod versions;
mod visible;

use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use self::confined::Confined;
use self::context::Context;
use self::outcome::{Exit, Failure};
use self::ui::printer::{Format, Loudness, Printer};
use crate::base::text::deceives;

/// Share files with the machines around you: no addresses, no accounts, nothing to configure.
///
/// `ftx up` makes this machine visible and receives; `ftx peers` shows who is here; `ftx push` sends and
/// `ftx pull` fetches. Everything travels encrypted and verified, straight from machine to machine.
/// Without a command, ftx tells who you are, who is here and what to type next.
#[derive(Debug, Parser)]
#[command(name = "ftx", version, after_long_help = MORE)]
pub struct Cli {
    /// What is common to all commands.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const MORE: &str = "Exit codes:
  0    done
  1    something else failed
  2    what was typed makes no sense
  3    the peer was not found, or its name is ambiguous
  4    the peer was found and cannot be reached, or was lost
  5    declined
  6    an identity was refused: another key, or blocked
  7    bytes did not match
  8    some of it is done
  9    a disk is full, failing or not writable
  10   not permitted, or over quota
  11   timed out
  12   the protocol versions do not overlap
  130  interrupted

Files:
  ~/.config/ftx/config.toml  name, dir, share, accept, on_conflict, interfaces, limit, [groups];
                             each may be left out
  ~/.config/ftx/key          this node's private key, made at the first start
  ~/.config/ftx/peers.toml   the address book
  ~/.local/share/ftx/receipts/
                             what hubs signed for what was handed in
  DIR/.ftx-partial/          what is on its way into DIR; cleared when it is there

See also: ftx-files(5) for the files and the JSON, ftx-protocol(7) for what goes over the
wire, ftx-security(7) for what is promised";

/// What is common to all commands.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Print results as JSON, one object a line; errors as {code, error, cause, hint}
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no messages and no progress, only results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more: how peers are found and reached
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Look at, and be visible on, these network interfaces only (repeatable)
    #[arg(long, global = true, value_name = "NAME")]
    pub interface: Vec<String>,
    /// This node's name, as others see it; the host name if not given
    #[arg(long, global = true, value_name = "NAME")]
    pub name: Option<String>,
}

/// The commands; what each does stands at its own type, for people and for `--help`.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "a text here would replace the command's own in its help")]
pub enum Command {
    Up(up::Up),
    Hub(hub::Hub),
    Peers(peers::Peers),
    Push(push::Push),
    Pull(pull::Pull),
    Give(give::Give),
    Take(take::Take),
    Ls(ls::Ls),
    Find(find::Find),
    Mkdir(mkdir::Mkdir),
    Mv(mv::Mv),
    Rm(rm::Rm),
    Versions(versions::Versions),
    Restore(versions::Restore),
    Receipt(receipt::Receipt),
    Join(join::Join),
    Leave(join::Leave),
    Trust(trust::TrustPeer),
    Forget(trust::ForgetPeer),
    Block(trust::BlockPeer),
    Doctor(doctor::Doctor),
    Service(service::Service),
    Demo(demo::Demo),
    Completions(completions::Completions),
}

/// Parses what was typed, does it, and says how it ended.
pub fn run() -> Exit {
    process::guard();
    process::make_room();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_a_command(&error),
    };
    let format = if cli.common.json { Format::Json } else { Format::Human };
    let loudness = match (cli.common.quiet, cli.common.verbose) {
        (true, _) => Loudness::Quiet,
        (false, true) => Loudness::Verbose,
        (false, false) => Loudness::Normal,
    };
    let printer = Printer::new(format, loudness);
    // What confines a thread confines those that it starts, and none that runs already.
    let confined = match confined::before_threads(&cli) {
        Ok(confined) => confined,
        Err(failure) => return printer.failure(&failure),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(Exit::Other, format!("the program cannot start: {error}"));
            return printer.failure(&failure);
        }
    };
    let done = runtime.block_on(dispatch(cli, &confined, &printer));
    // Threads that wait for standard input would keep the program from ending.
    runtime.shutdown_background();
    printer.clear();
    match done {
        Ok(exit) => printer.end(exit),
        Err(failure) => printer.failure(&failure),
    }
}

/// Help and version are results; everything else is a failure, told in the form that was asked for.
fn not_a_command(error: &clap::Error) -> Exit {
    let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    let printer = Printer::new(if json { Format::Json } else { Format::Human }, Loudness::Normal);
    if !error.use_stderr() {
        printer.written(error.print());
        return printer.end(Exit::Done);
    }
    if json {
        return printer.failure(&Failure::usage(error));
    }
    // It repeats what was typed, and a shell may have put names of files there that others made.
    if std::env::args_os().any(|arg| deceives(&arg.to_string_lossy())) {
        error.render().to_string().lines().for_each(|line| printer.plain(line));
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

async fn dispatch(cli: Cli, confined: &Confined, printer: &Printer) -> Result<Exit, Failure> {
    match cli.command {
        Some(Command::Completions(command)) => return completions::run(&command, printer),
        Some(Command::Demo(command)) => return demo::run(command, printer).await,
        // Both look at what may be missing or wrong, and make nothing of it.
        Some(Command::Doctor(command)) => return doctor::run(&cli.common, command, printer).await,
        Some(Command::Service(command)) => return service::run(&cli.common, command, printer),
        _ => {}
    }
    let context = Arc::new(Context::open(&cli.common, printer.clone())?);
    match cli.command {
        None => here::run(&context).await,
        Some(Command::Up(command)) => up::run(&context, command, confined).await,
        Some(Command::Hub(command)) => hub::run(&context, command, confined).await,
        Some(Command::Peers(command)) => peers::run(&context, command).await,
        Some(Command::Push(command)) => push::run(&context, command).await,
        Some(Command::Pull(command)) => pull::run(&context, command).await,
        Some(Command::Give(command)) => give::run(&context, command).await,
        Some(Command::Take(command)) => take::run(&context, command).await,
        Some(Command::Ls(command)) => ls::run(&context, command).await,
        Some(Command::Find(command)) => find::run(&context, command).await,
        Some(Command::Mkdir(command)) => mkdir::run(&context, command).await,
        Some(Command::Mv(command)) => mv::run(&context, command).await,
        Some(Command::Rm(command)) => rm::run(&context, command).await,
        Some(Command::Versions(command)) => versions::versions(&context, command).await,
        Some(Command::Restore(command)) => versions::restore(&context, command).await,
        Some(Command::Receipt(command)) => receipt::run(&context, command).await,
        Some(Command::Join(command)) => join::join(&context, command).await,
        Some(Command::Leave(command)) => join::leave(&context, command).await,
        Some(Command::Trust(command)) => trust::trust(&context, command).await,
        Some(Command::Forget(command)) => trust::forget(&context, &command),
        Some(Command::Block(command)) => trust::block(&context, command).await,
        Some(Command::Demo(_) | Command::Completions(_) | Command::Doctor(_) | Command::Service(_)) => Ok(Exit::Done),
    }
}
