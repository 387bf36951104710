//! `ftx service`: have a node or a hub run whenever this user is logged in.

mod elsewhere;
mod manager;
mod plan;
mod systemd;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use self::manager::Manager;
use self::plan::{Kind, Plan};
use super::Common;
use super::config::Folders;
use super::outcome::{Exit, Failure};
use super::ui::printer::Printer;
use super::up::AcceptFlag;
use crate::base::fault::Fault;
use crate::disk::private::{self, Existing};

/// What every file of ours has in its first line; one that has not is never touched.
const MARK: &str = "Written by ftx service install; ftx service remove removes it.";

/// Run a node or a hub in the background, from every login on.
///
/// On Linux it is a unit of your own systemd, hardened as far as such units can be. On macOS and Windows a
/// file for launchd, or a line for the task scheduler, is written; neither has been tried yet.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx service install\n  ftx service install --dir ~/inbox --share ~/notes -- --limit 20M\n  \
    ftx service install --hub /srv/class --name lab-hub\n  ftx service status\n  ftx service remove --hub"
)]
pub struct Service {
    /// What to do.
    #[command(subcommand)]
    pub command: Task,
}

/// What to do with a service.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "a text here would replace the command's own in its help")]
pub enum Task {
    Install(Install),
    Remove(Remove),
    Status(Status),
}

/// Write the service's file, and start it.
///
/// --name and --interface are passed on. Nobody can be asked where there is no terminal: without --accept
/// it takes what trusted peers send, and declines everything else.
#[derive(Debug, Args)]
pub struct Install {
    /// Run a hub with this folder instead of a node
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dir", "share", "accept"])]
    pub hub: Option<PathBuf>,
    /// Where received files go; your Downloads folder if not given
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Share this folder (repeatable)
    #[arg(long, value_name = "DIR")]
    pub share: Vec<PathBuf>,
    /// Whose files are accepted; trusted if not given
    #[arg(long, value_name = "WHOSE")]
    pub accept: Option<AcceptFlag>,
    /// Show the file and what would be typed; write and start nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// More options of ftx up, or of ftx hub, as they are
    #[arg(last = true, value_name = "OPTION")]
    pub rest: Vec<String>,
}

/// Stop the service, and remove its file if ftx wrote it.
#[derive(Debug, Args)]
pub struct Remove {
    /// The hub's, not the node's
    #[arg(long)]
    pub hub: bool,
}

/// Tell what is installed and whether it runs. Exit code 1 says that nothing is installed.
#[derive(Debug, Args)]
pub struct Status {}

/// Installs, removes or tells.
///
/// # Errors
/// See [`Failure`].
pub fn run(common: &Common, command: Service, printer: &Printer) -> Result<Exit, Failure> {
    let folders = Folders::find()?;
    match command.command {
        Task::Install(command) => install(common, &folders, &command, printer),
        Task::Remove(command) => {
            remove(&folders, if command.hub { Kind::Hub } else { Kind::Node }, &Manager::find(), printer)
        }
        Task::Status(_) => status(&folders, &Manager::find(), printer),
    }
}

fn install(common: &Common, folders: &Folders, command: &Install, printer: &Printer) -> Result<Exit, Failure> {
    let plan = Plan::of(common, folders, command)?;
    let file = manager::file(folders, plan.kind);
    if is_ours(&file)? == Some(false) {
        return Err(Failure::new(Exit::Other, format!("{} is there and not of ftx's making", file.display()))
            .hint("move it away, then type the same again"));
    }
    let text = manager::text(&plan)?;
    if command.dry_run {
        printer.result(&text, || json!({ "event": "service", "file": file.display().to_string(), "text": text }));
        return Ok(Exit::Done);
    }
    private::write(&file, text.as_bytes(), Existing::Replace).map_err(|error| disk("writing", &file, &error))?;
    let manager = Manager::find();
    let started = manager.start(plan.kind, printer)?;
    printer.result(&format!("installed: {}", file.display()), || {
        json!({
            "event": "installed",
            "service": plan.kind.as_str(),
            "file": file.display().to_string(),
            "runs": plan.arguments,
            "started": started,
        })
    });
    if plan.accepts_trusted_only {
        printer.note("it takes what trusted peers send, and declines the rest: ftx trust PEER, or --accept all");
    }
    if started {
        printer.note("it runs, and will at every login; ftx service status shows it");
        printer.note("to have it run also while you are not logged in, type: loginctl enable-linger");
    } else {
        printer.note("it does not run yet; type:");
        manager::to_start(plan.kind, &file).iter().for_each(|line| printer.note(&format!("  {line}")));
    }
    if is_root() {
        printer.warn("this is root's service: it reads and writes as root; better run it as a user of its own");
    }
    Ok(Exit::Done)
}

fn remove(folders: &Folders, kind: Kind, manager: &Manager, printer: &Printer) -> Result<Exit, Failure> {
    let file = manager::file(folders, kind);
    match is_ours(&file)? {
        None => {
            printer.note(&format!("nothing is installed: {} is not there", file.display()));
            return Ok(Exit::Done);
        }
        Some(false) => {
            return Err(Failure::new(Exit::Other, format!("{} is not of ftx's making, and stays", file.display()))
                .hint("remove it yourself, if you want it gone"));
        }
        Some(true) => {}
    }
    let stopped = manager.stop(kind, printer)?;
    fs::remove_file(&file).map_err(|error| disk("removing", &file, &error))?;
    manager.reload(printer)?;
    printer.result(
        &format!("removed: {}", file.display()),
        || json!({ "event": "removed", "service": kind.as_str(), "file": file.display().to_string(), "stopped": stopped }),
    );
    if !stopped {
        printer.note("if it runs, stop it:");
        manager::to_stop(kind).iter().for_each(|line| printer.note(&format!("  {line}")));
    }
    Ok(Exit::Done)
}

fn status(folders: &Folders, manager: &Manager, printer: &Printer) -> Result<Exit, Failure> {
    let mut installed = false;
    for kind in [Kind::Node, Kind::Hub] {
        let file = manager::file(folders, kind);
        let ours = is_ours(&file)?;
        installed |= ours == Some(true);
        let state = manager.state(kind);
        let shown = match (ours, &state) {
            (None, _) => "not installed".to_owned(),
            (Some(false), _) => format!("{} is not of ftx's making", file.display()),
            (Some(true), Some(state)) => format!("{}, {}; {}", state.active, state.enabled, file.display()),
            (Some(true), None) => format!("{}; whether it runs cannot be told here", file.display()),
        };
        printer.result(&format!("{:<5}  {shown}", kind.as_str()), || {
            json!({
                "event": "service",
                "service": kind.as_str(),
                "file": file.display().to_string(),
                "installed": ours == Some(true),
                "foreign": ours == Some(false),
                "active": state.as_ref().map(|state| &state.active),
                "enabled": state.as_ref().map(|state| &state.enabled),
            })
        });
    }
    Ok(if installed { Exit::Done } else { Exit::Other })
}

/// Whether a file is one that ftx wrote; `None` where there is none.
fn is_ours(file: &Path) -> Result<Option<bool>, Failure> {
    let mut head = Vec::new();
    match fs::File::open(file).and_then(|file| file.take(256).read_to_end(&mut head)) {
        Ok(_) => {
            let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
            Ok(Some(String::from_utf8_lossy(first).contains(MARK)))
        }
        // A link that leads nowhere is there, and somebody else's.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(file.is_symlink().then_some(false)),
        Err(error) => Err(disk("reading", file, &error)),
    }
}

fn disk(doing: &str, file: &Path, error: &io::Error) -> Failure {
    Failure::local(&Fault::disk(format!("{doing} {}", file.display()), error))
}

fn is_root() -> bool {
    #[cfg(unix)]
    {
        rustix::process::geteuid().is_root()
    }
    #[cfg(not(unix))]
    false
}
