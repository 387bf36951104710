//! `ftx hub [DIR]`: the hub itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::courier::Messenger;
use super::opened::{Opened, Opener, open_folder};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::Role;
use crate::cli::config::Folders;
use crate::cli::confined::Confined;
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::rate::Rate;
use crate::cli::ui::log::Log;
use crate::cli::ui::printer::Format;
use crate::cli::ui::units::bytes;
use crate::cli::visible::{self, Visible};
use crate::disk::confine::{Bounds, Dials, Names};
use crate::disk::private;
use crate::find::{Announcement, Kind, PORTS};
use crate::flow::stop::{Stop, Stopper};
use crate::hub::catalogue::Found;
use crate::hub::code::Invitation;
use crate::hub::control::desk::Desk;
use crate::hub::control::holdings::Repository;
use crate::hub::control::reread::Reread;
use crate::hub::control::socket::Socket;
use crate::hub::event::Event;
use crate::hub::events::{self, Files, Happened};
use crate::hub::register::Register;
use crate::hub::status::About;
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
    /// Do not confine the hub to its folders; on Linux it is otherwise, where the kernel can
    #[arg(long)]
    pub no_confine: bool,
}

impl Run {
    /// The folder that is the repository.
    fn folder(&self, folders: &Folders) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| folders.home.join("ftx-hub"))
    }

    /// What this hub may touch. Its folder is made if it is not there.
    ///
    /// # Errors
    /// Where that cannot be opened.
    pub(in crate::cli) fn bounds(&self, folders: &Folders) -> Result<Bounds, Failure> {
        let dir = open_folder(&self.folder(folders))?.shown().to_owned();
        // Of the folders for sockets one is used; what cannot be made is not.
        let sockets = folders.sockets.iter().filter(|folder| private::make_folder(folder).is_ok());
        let writable = std::iter::once(dir).chain(sockets.cloned()).collect();
        let listens = self.port.map_or_else(|| PORTS.collect(), |port| vec![port]);
        // What ftx hub send says is sent from here, to whomever that names.
        Ok(Bounds { writable, readable: vec![], listens, dials: Dials::Everybody, names: Names::LookedUp })
    }
}

/// Runs the hub until it is told to end.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Run, confined: &Confined) -> Result<Exit, Failure> {
    let opened = Opened::open(&command.folder(&context.folders), Opener::Hub)?;
    let me = opened.who(context)?;
    let tls =
        Tls::new(&me.key).map_err(|error| Failure::new(Exit::Other, format!("the key cannot be used: {error}")))?;
    let listener = visible::listen(context, command.port)?;
    let files = if context.printer.format() == Format::Json { Files::Each } else { Files::First };
    let (events, happened) = events::way(WAITING, files);
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
        kind: Kind::Node,
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
    confined.tell(&context.printer);
    introduce(context, &hub, &opened, (announced, confined))?;
    let log = keep_log(context, happened);
    listening(&hub, &opened.dir, announced).await;
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

/// Keeps the log, in a thread of its own: whoever does not read it holds up nobody. The answer comes when
/// it has ended.
fn keep_log(context: &Context, happened: Happened) -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    let log = Log::new(&context.printer);
    std::thread::spawn(move || {
        log.run(happened);
        let _ = ended.send(());
    });
    end
}

async fn listening(hub: &Hub, dir: &Path, port: u16) {
    let (name, id) = (hub.me.name.as_str().into(), hub.me.key.public().id());
    hub.events.tell(Event::Listening { name, id, dir: dir.to_owned(), port }).await;
}

/// Has the hub answer its owner's commands on this machine.
async fn answer(context: &Context, hub: &Arc<Hub>, opened: &Opened, port: u16, stop: Stop) {
    let id = hub.me.key.public().id();
    let about = About {
        name: hub.me.name.as_str().into(),
        id,
        dir: opened.dir.display().to_string().into(),
        port: Some(port),
        since: now(),
    };
    let repository = Repository { catalogue: opened.catalogue.clone(), store: opened.store.clone() };
    let for_hub = context.for_another(hub.me.clone(), hub.tls.clone(), stop.clone());
    let desk = Desk {
        about,
        register: opened.register.clone(),
        holdings: Arc::new(repository.clone()),
        activity: hub.activity.clone(),
        verifier: Some(Arc::new(Reread { repository, register: opened.register.clone() })),
        courier: Some(Arc::new(Messenger { hub: hub.clone(), context: for_hub })),
        events: Some(hub.events.clone()),
    };
    match Socket::listen(&context.folders.sockets, &id).await {
        Ok(socket) => drop(tokio::spawn(socket.serve(Arc::new(desk), stop))),
        Err(fault) => context.printer.warn(&format!("ftx hub status and its like do not reach this hub: {fault}")),
    }
}

fn introduce(context: &Context, hub: &Hub, opened: &Opened, (port, confined): (u16, &Confined)) -> Result<(), Failure> {
    let printer = &context.printer;
    let id = hub.me.key.public().id();
    let addresses = visible::addresses(context);
    let spaces: Vec<String> = hub.register.read(|records| records.spaces.keys().map(ToString::to_string).collect());
    opened.tell(context);
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
            "confined": confined.object(),
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
            return Ok(code.words.to_string());
        }
        let wanted = Invitation { once: false, lasts: None, account: None, rank: Rank::Member };
        match records.invite(wanted, now) {
            Ok(code) => Ok(code.words.to_string()),
            Err(fault) if fault.kind == FaultKind::Busy => Ok("(16 codes are open: ftx hub invite --list)".to_owned()),
            Err(fault) => Err(fault),
        }
    })
}
