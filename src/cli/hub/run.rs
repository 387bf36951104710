//! `ftx hub [DIR]`: the hub itself.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::base::fault::{Fault, FaultKind};
use crate::base::id::Role;
use crate::base::naming;
use crate::base::path::RelPath;
use crate::cli::context::{Context, load_key};
use crate::cli::outcome::{Exit, Failure};
use crate::cli::rate::Rate;
use crate::cli::ui::log::Log;
use crate::cli::ui::units::bytes;
use crate::cli::visible::{self, Visible};
use crate::disk::root::Root;
use crate::disk::state::State;
use crate::find::Announcement;
use crate::flow::greet::Me;
use crate::flow::stop::{Stop, Stopper};
use crate::hub::catalogue::{Catalogue, Found, Pending};
use crate::hub::code::Invitation;
use crate::hub::control::desk::Desk;
use crate::hub::control::holdings::Repository;
use crate::hub::control::socket::Socket;
use crate::hub::register::Register;
use crate::hub::status::About;
use crate::hub::store::{Folder, Store};
use crate::hub::tend::Start;
use crate::hub::{Hub, Parts};
use crate::link::tls::Tls;
use crate::node::accept;
use crate::node::serve::now;
use crate::wire::hello::VERSION;
use crate::wire::hub::Rank;

/// Events that may wait to be written to the log.
const WAITING: usize = 1024;

/// How long the log may take for its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How to run a hub.
#[derive(Debug, Args)]
pub struct Run {
    /// The folder that is the repository, made if it is not there; ftx-hub in your home if not given
    pub dir: Option<PathBuf>,
    /// Do not announce this hub; who knows its address still reaches it
    #[arg(long)]
    pub hidden: bool,
    /// Send and receive no faster than this, all together: bytes a second, as 500K or 20M
    #[arg(long, value_name = "RATE")]
    pub limit: Option<Rate>,
    /// The port to listen on, 0 for any; the first free one of 23547 to 23554 if not given
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// A hub's folder, opened by this process alone.
#[derive(Debug)]
pub struct Opened {
    /// Where it is.
    pub dir: PathBuf,
    /// Its files.
    pub store: Arc<Folder>,
    /// Accounts and spaces.
    pub register: Register,
    /// What is known of the files.
    pub catalogue: Catalogue,
    /// How the catalogue was found.
    pub found: Found,
    /// Uploads that had not come to their end when it was opened.
    pub left: Vec<Pending>,
    /// The hub's own key.
    pub state: State,
    /// Held as long as it is open.
    _lock: File,
}

/// The folder in a repository that is the hub's own.
pub fn own_folder(dir: &Path) -> PathBuf {
    dir.join(".ftx")
}

impl Opened {
    /// Opens a repository; one that is not there yet is made.
    ///
    /// # Errors
    /// Where another process has it, or something in it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let local = |fault: &Fault| Failure::local(fault).hint("name a folder you may write to: ftx hub DIR");
        let disk = |error: std::io::Error| local(&Fault::disk(format!("opening {}", dir.display()), &error));
        let root = Root::open_or_create(&dir).map_err(disk)?;
        root.check_writable().map_err(|fault| local(&fault))?;
        let own = own_folder(&dir);
        private_folder(&own).map_err(disk)?;
        let lock = File::options().create(true).truncate(false).write(true).open(own.join("lock")).map_err(disk)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Failure::new(Exit::Other, format!("a hub runs on {} already", dir.display()))
                    .hint("ftx hub status shows it"));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(disk(error)),
        }
        let failed = |fault: Fault| Failure::local(&fault);
        let store = Arc::new(Folder::open(&dir).map_err(failed)?);
        let register = Register::open(&own).map_err(failed)?;
        let (catalogue, found) = Catalogue::open(&own).map_err(failed)?;
        for space in register.read(|records| records.spaces.keys().cloned().collect::<Vec<_>>()) {
            store.make_folder(&RelPath::from(space)).map_err(failed)?;
        }
        let left = catalogue.pending().map_err(failed)?;
        Ok(Self { state: State::new(own), left, dir, store, register, catalogue, found, _lock: lock })
    }
}

fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Runs the hub until it is told to end.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Run) -> Result<Exit, Failure> {
    let dir = match &command.dir {
        Some(dir) => dir.clone(),
        None => context.folders.home.join("ftx-hub"),
    };
    let opened = Opened::open(&dir)?;
    let me = who(context, &opened)?;
    let tls =
        Tls::new(&me.key).map_err(|error| Failure::new(Exit::Other, format!("the key cannot be used: {error}")))?;
    let listener = visible::listen(context, command.port)?;
    let (events, happened) = mpsc::channel(WAITING);
    let hub = Arc::new(Hub::new(Parts {
        me,
        tls,
        register: opened.register.clone(),
        catalogue: opened.catalogue.clone(),
        store: opened.store.clone(),
        limit: Rate::limit(command.limit.or(context.config.limit)),
        events,
    }));
    let announcement = Announcement {
        id: hub.me.key.public().id(),
        name: hub.me.name.clone(),
        role: Role::Hub,
        version: VERSION,
        port: listener.port(),
        accept: "joined",
    };
    let announced = announcement.port;
    if opened.found == Found::BrokenOff {
        let (hub, left) = (hub.clone(), opened.left.clone());
        let done = spawn_blocking(move || hub.recover(&left)).await;
        done.map_or_else(|_| Ok(()), |done| done.map_err(|fault| Failure::local(&fault)))?;
    }
    let visible = Visible::start(context, announcement, command.hidden);
    let start = match opened.found {
        Found::Continued | Found::BrokenOff => Start::Continued,
        Found::Fresh | Found::Rebuild(_) => Start::Anew,
    };
    let tended = hub.tend(&opened.dir, start, opened.left.clone());
    let stopper = Stopper::new();
    answer(context, &hub, &opened, announced, stopper.listen()).await;
    // Whoever reads that it runs may use it at once.
    introduce(context, &hub, &opened, announced)?;
    let log = tokio::spawn(Log::new(context.printer.clone()).run(happened));
    let serving = tokio::spawn(accept::run(hub, listener, visible::reachable(context), stopper.listen()));
    context.interrupted().await;
    stopper.stop();
    drop(tended);
    // The goodbye goes out while conversations end.
    let _ = tokio::join!(visible.end(), serving);
    // Something in the background may still be at it; it can be broken off anywhere.
    let _ = timeout(LAST_LINES, log).await;
    // If it does not come to rest, the next one only looks at everything first.
    let _ = spawn_blocking(move || opened.catalogue.rest()).await;
    context.printer.note("good-bye");
    Ok(Exit::Done)
}

/// Has the hub answer its owner's commands on this machine.
async fn answer(context: &Context, hub: &Hub, opened: &Opened, port: u16, stop: Stop) {
    let id = hub.me.key.public().id();
    let about = About {
        name: hub.me.name.as_str().into(),
        id,
        dir: opened.dir.display().to_string().into(),
        port: Some(port),
        since: now(),
    };
    let desk = Desk {
        about,
        register: opened.register.clone(),
        holdings: Arc::new(Repository { catalogue: opened.catalogue.clone(), store: opened.store.clone() }),
        activity: hub.activity.clone(),
        verifier: None,
        courier: None,
        events: Some(hub.events.clone()),
    };
    match Socket::listen(&context.folders.sockets, &id).await {
        Ok(socket) => drop(tokio::spawn(socket.serve(Arc::new(desk), stop))),
        Err(fault) => context.printer.warn(&format!("ftx hub status and its like do not reach this hub: {fault}")),
    }
}

/// The hub has a key of its own: whoever uses this machine uses the hub with theirs.
fn who(context: &Context, opened: &Opened) -> Result<Me, Failure> {
    let key = load_key(&opened.state).map_err(|fault| Failure::local(&fault))?;
    let name = match &context.named {
        Some(name) => name.clone(),
        None if context.me.name.ends_with("hub") => context.me.name.clone(),
        None => naming::cleaned(&format!("{}-hub", context.me.name)).unwrap_or_else(|| "hub".to_owned()),
    };
    Ok(Me { key: Arc::new(key), name, role: Role::Hub })
}

/// What is to be told of a catalogue that was lost.
pub(super) fn built_anew(found: &Found, register: &Register) -> Option<String> {
    let reason = match found {
        Found::Rebuild(reason) => reason,
        Found::Fresh if register.read(|records| !records.accounts.is_empty()) => "it is not there",
        Found::Fresh | Found::Continued | Found::BrokenOff => return None,
    };
    Some(format!("the catalogue is built anew from the folder, which does not say whose the files are: {reason}"))
}

fn introduce(context: &Context, hub: &Hub, opened: &Opened, port: u16) -> Result<(), Failure> {
    let printer = &context.printer;
    let id = hub.me.key.public().id();
    let addresses = visible::addresses(context);
    let spaces: Vec<String> = hub.register.read(|records| records.spaces.keys().map(ToString::to_string).collect());
    if let Some(text) = built_anew(&opened.found, &opened.register) {
        printer.warn(&text);
    }
    printer.line(&format!("{}~{}  (hub)", hub.me.name, id.short()));
    printer.line(&format!("  address     {}, port {port}", addresses.join(", ")));
    let free = hub.store.free().map(|free| format!("; {} free", bytes(free))).unwrap_or_default();
    printer.line(&format!("  repository  {}{free}", opened.dir.display()));
    printer.line(&format!("  spaces      {}", spaces.join(", ")));
    if printer.is_seen() {
        let code = open_code(&hub.register).map_err(|fault| Failure::local(&fault))?;
        printer.line(&format!("  join code   {code}"));
        printer.line(&format!("              classmates type: ftx join {}", hub.me.name));
    } else {
        // A code is a secret, and this may be a log.
        printer.line("  join code   ftx hub invite shows one");
    }
    printer.object(|| {
        json!({
            "event": "hub",
            "name": hub.me.name,
            "id": id.to_string(),
            "short": id.short(),
            "port": port,
            "addresses": addresses,
            "dir": opened.dir.display().to_string(),
            "spaces": spaces,
        })
    });
    Ok(())
}

/// A code for any member that is open for an hour at least; a new one, if there is none.
fn open_code(register: &Register) -> Result<String, Fault> {
    let now = now();
    register.change(|records| {
        let good = |code: &&crate::hub::code::Code| {
            !code.once && code.account.is_none() && code.rank == Rank::Member && code.is_open(now + 3600)
        };
        if let Some(code) = records.codes.iter().find(good) {
            return Ok(code.words.clone());
        }
        let wanted = Invitation { once: false, lasts: None, account: None, rank: Rank::Member };
        match records.invite(wanted, now) {
            Ok(code) => Ok(code.words),
            Err(fault) if fault.kind == FaultKind::Busy => Ok("(16 codes are open: ftx hub invite --list)".to_owned()),
            Err(fault) => Err(fault),
        }
    })
}
