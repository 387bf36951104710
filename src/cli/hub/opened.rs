//! A hub's folder, open for one process alone: the hub that runs there, or a command while none does.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::base::id::Role;
use crate::base::naming;
use crate::base::path::RelPath;
use crate::cli::context::{Context, load_key};
use crate::cli::outcome::{Exit, Failure};
use crate::disk::private;
use crate::disk::root::Root;
use crate::disk::state::State;
use crate::flow::greet::Me;
use crate::hub::catalogue::{Catalogue, Found, Pending};
use crate::hub::rebuild::Rebuild;
use crate::hub::register::Register;
use crate::hub::store::{Folder, Store};
use crate::node::serve::now;

/// Most bytes read of what stands in the lock.
const MAX_LOCK: u64 = 64;

/// Who opens a hub's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// The hub.
    Hub,
    /// A command, where no hub runs.
    Command,
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
    pub fn open(dir: &Path, opener: Opener) -> Result<Self, Failure> {
        let dir = open_folder(dir)?.shown().to_owned();
        let disk = |error: std::io::Error| local(&Fault::disk(format!("opening {}", dir.display()), &error));
        let own = own_folder(&dir);
        private::make_folder(&own).map_err(disk)?;
        private::check_folder(&own, "the hub's own folder").map_err(|fault| Failure::local(&fault))?;
        let lock = lock(&dir, &own.join("lock"), opener).map_err(|taken| taken.unwrap_or_else(disk))?;
        let failed = |fault: Fault| Failure::local(&fault);
        let store = Arc::new(Folder::open(&dir).map_err(failed)?);
        let register = Register::open(&own).map_err(failed)?;
        let (catalogue, found) = Catalogue::open(&own).map_err(failed)?;
        for space in register.read(|records| records.spaces.keys().cloned().collect::<Vec<_>>()) {
            store.make_folder(&RelPath::from(space)).map_err(failed)?;
        }
        let left = catalogue.pending().map_err(failed)?;
        if opener == Opener::Command && found != Found::Continued {
            // Else the hub would take it for whole when it starts.
            let drops = register.drops();
            let (now, since) = (now(), now() * 1000);
            let together = Rebuild { catalogue: &catalogue, store: &*store, drops: &drops, now, since };
            together.at_start(&left, &mut |_| {}).map_err(failed)?;
        }
        Ok(Self { state: State::new(own), left, dir, store, register, catalogue, found, _lock: lock })
    }

    /// The hub. It has a key of its own: whoever uses this machine uses the hub with theirs.
    ///
    /// # Errors
    /// Where its key cannot be read.
    pub fn who(&self, context: &Context) -> Result<Me, Failure> {
        let key = load_key(&self.state).map_err(|fault| Failure::local(&fault))?;
        let name = match &context.named {
            Some(name) => name.clone(),
            None if context.me.name.ends_with("hub") => context.me.name.clone(),
            None => naming::cleaned(&format!("{}-hub", context.me.name)).unwrap_or_else(|| "hub".to_owned()),
        };
        Ok(Me { key: Arc::new(key), name, role: Role::Hub })
    }

    /// Says so where the catalogue was lost.
    pub fn tell(&self, context: &Context) {
        let reason = match &self.found {
            Found::Rebuild(reason) => reason,
            Found::Fresh if self.register.read(|records| !records.accounts.is_empty()) => "it is not there",
            Found::Fresh | Found::Continued | Found::BrokenOff => return,
        };
        let what = "the catalogue is built anew from the folder, which does not say whose the files are";
        context.printer.warn(&format!("{what}: {reason}"));
    }
}

/// Opens the folder of a repository; one that is not there yet is made.
///
/// # Errors
/// Where it cannot be opened or written to.
pub(super) fn open_folder(dir: &Path) -> Result<Root, Failure> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let disk = |error: std::io::Error| local(&Fault::disk(format!("opening {}", dir.display()), &error));
    let root = Root::open_or_create(&dir).map_err(disk)?;
    root.check_writable().map_err(|fault| local(&fault))?;
    Ok(root)
}

fn local(fault: &Fault) -> Failure {
    Failure::local(fault).hint("name a folder you may write to: ftx hub DIR")
}

/// Locks the folder and notes for others who has it.
fn lock(dir: &Path, path: &Path, opener: Opener) -> Result<File, Result<Failure, std::io::Error>> {
    let mut lock = private::lock_file(path).map_err(Err)?;
    match lock.try_lock() {
        Ok(()) => {
            let who = match opener {
                Opener::Hub => "hub",
                Opener::Command => "command",
            };
            // Without it others know less, and that is all.
            let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{who} {}", std::process::id()));
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Not every system lets others read what is locked.
            let _ = lock.take(MAX_LOCK).read_to_string(&mut text);
            Err(Ok(taken(&dir.display().to_string(), &text, opener)))
        }
        Err(TryLockError::Error(error)) => Err(Err(error)),
    }
}

/// What is told where another process has the folder; `text` is what it wrote into the lock.
fn taken(dir: &str, text: &str, opener: Opener) -> Failure {
    let (who, process) = text.trim().split_once(' ').unwrap_or_default();
    let process = process.parse::<u32>().map(|process| format!(" (process {process})")).unwrap_or_default();
    let exit = match opener {
        Opener::Hub => Exit::Other,
        Opener::Command => Exit::Unreachable,
    };
    match (who, opener) {
        ("command", _) => Failure::new(exit, format!("a command is at work on {dir}{process}"))
            .cause("it was started while no hub ran there, as ftx hub verify --dir DIR")
            .hint("type the same again when it has ended"),
        ("hub", Opener::Hub) => {
            Failure::new(exit, format!("a hub runs on {dir} already{process}")).hint("ftx hub status shows it")
        }
        ("hub", Opener::Command) => Failure::new(exit, format!("the hub of {dir} runs and does not answer{process}"))
            .cause("it is just starting, or another user runs it")
            .hint("try again in a moment, as the user who runs it"),
        _ => Failure::new(exit, format!("another process uses {dir}")).hint("type the same again when it has ended"),
    }
}
