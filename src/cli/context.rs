//! What every command needs: who we are, where our files are, how we print.

use std::sync::Arc;

use super::Common;
use super::config::{Config, Folders};
use super::outcome::{Exit, Failure};
use super::signal;
use super::ui::printer::Printer;
use crate::base::book::Book;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::Role;
use crate::base::naming;
use crate::disk::state::State;
use crate::find::Interfaces;
use crate::flow::greet::Me;
use crate::flow::stop::Stop;
use crate::link::key::Key;
use crate::link::tls::Tls;

/// What every command needs.
#[derive(Debug)]
pub struct Context {
    /// Who we are.
    pub me: Me,
    /// How we prove it.
    pub tls: Tls,
    /// Our files.
    pub state: Arc<State>,
    /// The folders of this user.
    pub folders: Folders,
    /// The configuration file.
    pub config: Config,
    /// The networks we look at.
    pub interfaces: Interfaces,
    /// Their names, if somebody named them.
    pub only: Vec<String>,
    /// What somebody wants this machine to be called, if they said so.
    pub named: Option<String>,
    /// Where everything is printed.
    pub printer: Printer,
    /// Turned on by the signals that end a command.
    pub stop: Stop,
}

impl Context {
    /// Reads the configuration, and reads or makes the key.
    ///
    /// # Errors
    /// Whatever cannot be read, named.
    pub fn open(common: &Common, printer: Printer) -> Result<Self, Failure> {
        let stop = signal::listen();
        let folders = Folders::find()?;
        let config = folders.config()?;
        let only = if common.interface.is_empty() { config.interfaces.clone() } else { common.interface.clone() };
        let interfaces = Interfaces::choose(&only).map_err(|error| {
            Failure::new(Exit::Usage, format!("no such network interface: {error}"))
                .hint("name one of those, or leave --interface out")
        })?;
        let state = Arc::new(State::new(folders.config.clone()));
        let key = load_key(&state).map_err(|fault| Failure::local(&fault))?;
        let tls =
            Tls::new(&key).map_err(|error| Failure::new(Exit::Other, format!("the key cannot be used: {error}")))?;
        let named = common.name.clone().or_else(|| config.name.clone());
        let name = node_name(named.as_deref())?;
        let me = Me { key: Arc::new(key), name, role: Role::Peer };
        let named = named.is_some().then(|| me.name.clone());
        Ok(Self { me, tls, state, folders, only, interfaces, config, named, printer, stop })
    }

    /// The same for another node of this user, that prints nothing: for its hub.
    #[must_use]
    pub fn for_another(&self, me: Me, tls: Tls, stop: Stop) -> Self {
        Self {
            me,
            tls,
            stop,
            printer: Printer::silent(),
            state: self.state.clone(),
            folders: self.folders.clone(),
            config: self.config.clone(),
            interfaces: self.interfaces.clone(),
            only: self.only.clone(),
            named: None,
        }
    }

    /// The address book as it is now.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn book(&self) -> Result<Book, Failure> {
        self.state.book().map_err(|fault| Failure::local(&fault))
    }

    /// Waits until a signal wants the command to end.
    pub async fn interrupted(&self) {
        self.stop.clone().stopped().await;
    }

    /// Our name and short id.
    pub fn shown(&self) -> String {
        format!("{}~{}", self.me.name, self.me.key.public().id().short())
    }
}

/// The key kept with these files, made if there is none yet.
///
/// # Errors
/// Where it cannot be read or used.
pub(super) fn load_key(state: &State) -> Result<Key, Fault> {
    let bytes = state.key(|| Key::generate().ok().map(|key| key.to_pkcs8().to_vec()))?;
    Key::from_pkcs8(&bytes).map_err(|fault| {
        Fault::new(
            FaultKind::Disk,
            format!("{}: {fault}; move it away to get a new identity", state.key_file().display()),
        )
    })
}

/// The name given, or the host name up to its first dot.
pub(super) fn node_name(given: Option<&str>) -> Result<String, Failure> {
    let Some(given) = given else {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let name = host.split('.').next().and_then(naming::cleaned);
        return Ok(name.unwrap_or_else(|| "ftx".to_owned()));
    };
    let name = given.trim();
    if naming::is_good(name) {
        return Ok(name.to_owned());
    }
    Err(Failure::new(Exit::Usage, "that is no name for a node").cause(naming::RULE))
}
