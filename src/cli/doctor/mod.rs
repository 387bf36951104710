//! `ftx doctor [PEER]`: whether things are well, and what to do where they are not.
//!
//! | file | looks at |
//! | --- | --- |
//! | `own` | the program, our files, the folder that receives |
//! | `confinement` | whether the kernel keeps a node to its folders |
//! | `network` | interfaces, the port, BBR |
//! | `discovery` | whether multicast works, and who is found how |
//! | `peer`, `cause` | one peer: found, let in, who it should be; and the cause of what is not so |
//! | `firewall` | what to type |

mod cause;
mod confinement;
mod discovery;
mod finding;
mod firewall;
mod network;
mod own;
mod peer;

use std::sync::Arc;

use clap::Args;

use self::finding::{Area, Finding, conclude};
use super::config::{Config, Folders};
use super::context::{Context, load_key, node_name};
use super::outcome::{Exit, Failure};
use super::ui::printer::Printer;
use super::{Common, signal};
use crate::base::id::{PeerId, Role};
use crate::disk::state::State;
use crate::find::Interfaces;
use crate::flow::greet::Me;
use crate::link::key::Key;
use crate::link::tls::Tls;
use crate::node::serve::now;

/// Say in plain words whether all is well, and what to type where it is not.
///
/// Without a peer: this machine, its files and its network. With one, also why that peer is not found or not
/// reached. Nothing is changed, and the network is asked no more than by ftx peers. Exit code 0 says that
/// all is well or only worth knowing; else it is what a command would end with that needs what is wrong: 3 not
/// found, 4 not reached, 6 another key, 9 a folder, 10 files that others may read, 12 another version.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx doctor\n  ftx doctor alice-laptop\n  ftx doctor 10.77.0.5 --json")]
pub struct Doctor {
    /// The peer: a name, name~id or an address
    pub peer: Option<String>,
}

/// Looks, and tells.
///
/// # Errors
/// Where what was typed makes no sense, or it is interrupted.
pub async fn run(common: &Common, command: Doctor, printer: &Printer) -> Result<Exit, Failure> {
    let mut stop = signal::listen();
    let mut told = Told { printer, findings: Vec::new() };
    tokio::select! {
        looked = look(common, command, &mut told) => looked?,
        () = stop.stopped() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
    Ok(conclude(&told.findings, printer))
}

/// What was found so far; each is told at once.
struct Told<'a> {
    printer: &'a Printer,
    findings: Vec<Finding>,
}

impl Told<'_> {
    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            finding.tell(self.printer);
            self.findings.push(finding);
        }
    }
}

async fn look(common: &Common, command: Doctor, told: &mut Told<'_>) -> Result<(), Failure> {
    let folders = Folders::find()?;
    told.add(own::program(now()));
    let config = match folders.config() {
        Ok(config) => config,
        Err(failure) => {
            told.add([Finding::wrong(Area::Files, failure.exit, failure.error).hint(failure.hint)]);
            Config::default()
        }
    };
    let state = State::new(folders.config.clone());
    let me = who(common, &config, &state, told)?;
    told.add(own::files(&folders, &state));
    told.add([own::inbox(&folders, &config), confinement::check(&folders, &state)]);
    let only = if common.interface.is_empty() { config.interfaces.clone() } else { common.interface.clone() };
    told.add(network::interfaces(&only));
    let Ok(interfaces) = Interfaces::choose(&only) else { return Ok(()) };
    let id = me.id;
    let Some(context) = me.context(folders, config, (only, interfaces), told.printer) else { return Ok(()) };
    told.add([network::port(&context).await]);
    told.add(network::own_firewall());
    told.add(network::bbr());
    told.add(discovery::own_ears(&context.interfaces).await);
    match &command.peer {
        None => told.add(discovery::others(&context, id).await),
        Some(peer) => told.add(peer::check(&context, peer, id).await?),
    }
    Ok(())
}

/// Who this machine is.
struct Myself {
    /// Its id, if it has a key.
    id: Option<PeerId>,
    key: Option<Key>,
    name: String,
    state: State,
}

/// Reads the key, if there is one: none is made, for nothing is to be changed.
fn who(common: &Common, config: &Config, state: &State, told: &mut Told<'_>) -> Result<Myself, Failure> {
    let name = node_name(common.name.as_deref().or(config.name.as_deref()))?;
    let mut key = None;
    if state.key_file().exists() {
        match load_key(state) {
            Ok(own) => key = Some(own),
            // That others may read it is told with the other files.
            Err(fault) if fault.kind == crate::base::fault::FaultKind::NotPermitted => {}
            Err(fault) => {
                let failure = Failure::local(&fault);
                told.add([Finding::wrong(Area::Node, failure.exit, failure.error).hint(failure.hint)]);
            }
        }
    }
    let id = key.as_ref().map(|key| key.public().id());
    told.add([match &id {
        Some(id) => Finding::ok(Area::Node, format!("this machine is {name}~{}", id.short())),
        None => Finding::note(Area::Node, format!("this machine is {name}, and has no key that it can use yet")),
    }]);
    Ok(Myself { id, key, name, state: state.clone() })
}

impl Myself {
    /// What looking at the network needs; a key for this once where there is no other.
    fn context(
        self,
        folders: Folders,
        config: Config,
        (only, interfaces): (Vec<String>, Interfaces),
        printer: &Printer,
    ) -> Option<Context> {
        let key = self.key.or_else(|| Key::generate().ok())?;
        let tls = Tls::new(&key).ok()?;
        let me = Me { key: Arc::new(key), name: self.name, role: Role::Peer };
        let (state, printer, stop) =
            (Arc::new(self.state), printer.clone(), crate::flow::stop::Stopper::new().listen());
        Some(Context { me, tls, state, folders, config, interfaces, only, named: None, printer, stop })
    }
}
