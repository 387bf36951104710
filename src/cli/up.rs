//! `ftx up`: run this machine's node.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::config::{Config, ConflictFlag, Folders};
use super::confined::Confined;
use super::context::Context;
use super::outcome::{Exit, Failure};
use super::rate::Rate;
use super::ui::door::Door;
use super::ui::prompt::Keyboard;
use super::visible::{self, Visible};
use crate::base::fault::Fault;
use crate::disk::confine::{Bounds, Dials, Names};
use crate::disk::root::{Conflict, Root};
use crate::find::{Announcement, Kind, PORTS};
use crate::flow::stop::Stopper;
use crate::flow::underway::Underway;
use crate::node::policy::{Accept, Person, Policy};
use crate::node::promise::Promises;
use crate::node::share::{Audience, Shares};
use crate::node::{Node, accept};
use crate::wire::hello::VERSION;

/// Events that may wait to be shown.
const WAITING: usize = 64;

/// Run this machine's node: be visible, receive files, share folders.
///
/// Others find it with `ftx peers` and send with `ftx push`. Whoever sends is asked about here, unless
/// --accept says otherwise. Nothing is shared unless you share it. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx up\n  ftx up --dir ~/inbox --accept trusted\n  ftx up --share ~/notes --share-with all"
)]
pub struct Up {
    /// Where received files go; your Downloads folder if not given
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Share this folder (repeatable)
    #[arg(long, value_name = "DIR")]
    pub share: Vec<PathBuf>,
    /// With whom: trusted peers, or all that are not blocked
    #[arg(long, value_name = "WHOM", default_value = "trusted")]
    pub share_with: ShareWith,
    /// Whose files are accepted without asking
    #[arg(long, value_name = "WHOSE")]
    pub accept: Option<AcceptFlag>,
    /// What becomes of what comes where something else has its name; rename if not given
    #[arg(long, value_name = "WHAT")]
    pub on_conflict: Option<ConflictFlag>,
    /// Do not announce this node; who knows its address still reaches it
    #[arg(long)]
    pub hidden: bool,
    /// Send and receive no faster than this, all together: bytes a second, as 500K or 20M
    #[arg(long, value_name = "RATE")]
    pub limit: Option<Rate>,
    /// The port to listen on, 0 for any; the first free one of 23547 to 23554 if not given
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Do not confine the node to its folders; on Linux it is otherwise, where the kernel can
    #[arg(long)]
    pub no_confine: bool,
}

/// Whose files are accepted without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceptFlag {
    /// Nobody's: you are asked at this terminal
    Ask,
    /// Those of trusted peers; about others you are asked
    Trusted,
    /// Everybody's who is not blocked
    All,
    /// Nobody's, and you are not asked
    None,
}

/// With whom folders are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShareWith {
    /// Trusted peers
    Trusted,
    /// Everybody who is not blocked
    All,
}

impl From<AcceptFlag> for Accept {
    fn from(flag: AcceptFlag) -> Self {
        match flag {
            AcceptFlag::Ask => Self::Ask,
            AcceptFlag::Trusted => Self::Trusted,
            AcceptFlag::All => Self::All,
            AcceptFlag::None => Self::None,
        }
    }
}

/// Runs the node until it is told to end.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Up, confined: &Confined) -> Result<Exit, Failure> {
    let keyboard = Keyboard::open();
    let person = if keyboard.is_some() { Person::Present } else { Person::Absent };
    let accept = command.accept.or(context.config.accept).map_or(Accept::Ask, Accept::from);
    let inbox = inbox(&context.folders, &context.config, &command)?;
    let shares = shares(&context.config, &command)?;
    let listener = visible::listen(context, command.port)?;
    let (events, happened) = mpsc::channel(WAITING);
    let node = Arc::new(Node {
        me: context.me.clone(),
        tls: context.tls.clone(),
        inbox,
        shares,
        policy: Policy { accept, person },
        underway: Underway::default(),
        accepted: Promises::default(),
        limit: Rate::limit(command.limit.or(context.config.limit)),
        state: context.state.clone(),
        events,
    });
    let announcement = Announcement {
        kind: Kind::Node,
        id: context.me.key.public().id(),
        name: context.me.name.clone(),
        role: context.me.role,
        version: VERSION,
        port: listener.port(),
        accept: accept.as_str(),
    };
    let visible = Visible::start(context, announcement, command.hidden);
    confined.tell(&context.printer);
    introduce(context, &node, confined, (listener.port(), command.hidden));
    let stopper = Stopper::new();
    let serving = tokio::spawn(accept::run(node, listener, visible::reachable(context), stopper.listen()));
    let door = tokio::spawn(Door::new(context.printer.clone(), keyboard).run(happened));
    context.interrupted().await;
    stopper.stop();
    // The goodbye goes out while conversations end.
    let _ = tokio::join!(visible.end(), serving, door);
    context.printer.note("good-bye");
    Ok(Exit::Done)
}

impl Up {
    /// What this node may touch. The folder that receives is made if it is not there.
    ///
    /// # Errors
    /// Where that folder, or one that is shared, cannot be opened.
    pub(super) fn bounds(&self, folders: &Folders, config: &Config) -> Result<Bounds, Failure> {
        let inbox = inbox(folders, config, self)?;
        let shares = shares(config, self)?;
        let listens = self.port.map_or_else(|| PORTS.collect(), |port| vec![port]);
        Ok(Bounds {
            writable: vec![inbox.shown().to_owned()],
            readable: shares.folders().iter().map(|share| share.root.shown().to_owned()).collect(),
            listens,
            // Who wants something of it comes to it.
            dials: Dials::Nobody,
            names: Names::Never,
        })
    }
}

fn inbox(folders: &Folders, config: &Config, command: &Up) -> Result<Root, Failure> {
    let folder = command.dir.as_ref().or(config.dir.as_ref()).unwrap_or(&folders.downloads);
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    let opened =
        Root::open_or_create(&whole).map_err(|error| Fault::disk(format!("opening {}", whole.display()), &error));
    let root = opened.and_then(|root| root.check_writable().map(|()| root));
    let root = root.map_err(|fault| Failure::local(&fault).hint("name a folder you may write to: ftx up --dir DIR"))?;
    Ok(root.on_conflict(config.conflict(command.on_conflict)))
}

fn shares(config: &Config, command: &Up) -> Result<Shares, Failure> {
    let folders = if command.share.is_empty() { &config.share } else { &command.share };
    let audience = match command.share_with {
        ShareWith::Trusted => Audience::Trusted,
        ShareWith::All => Audience::All,
    };
    Shares::open(folders, audience)
        .map_err(|fault| Failure::local(&fault).hint("name a folder that exists and that you may read"))
}

fn introduce(context: &Context, node: &Node, confined: &Confined, (port, hidden): (u16, bool)) {
    let printer = &context.printer;
    let addresses = visible::addresses(context);
    let shares: Vec<String> = node.shares.folders().iter().map(|share| share.name.to_string()).collect();
    let whom = match node.shares.audience() {
        Audience::Trusted => "trusted peers",
        Audience::All => "everybody here",
    };
    let asks = match (node.policy.accept, node.policy.person) {
        (Accept::Ask, Person::Present) => "asks here before it accepts",
        (Accept::Ask, Person::Absent) => "declines everything: there is no terminal to ask at (--accept trusted|all)",
        (Accept::Trusted, Person::Present) => "accepts trusted peers, asks about others",
        (Accept::Trusted, Person::Absent) => "accepts trusted peers only",
        (Accept::All, _) => "accepts everything",
        (Accept::None, _) => "accepts nothing",
    };
    printer.line(&format!("{}{}", context.shown(), if hidden { "  (hidden)" } else { "" }));
    printer.line(&format!("  address   {}, port {port}", addresses.join(", ")));
    let taken = match node.inbox.conflict() {
        Conflict::Rename => "",
        Conflict::Skip => "; skips what has a name that is taken",
        Conflict::Replace => "; replaces files of the same name",
    };
    printer.line(&format!("  receives  into {}; {asks}{taken}", node.inbox.shown().display()));
    match shares.as_slice() {
        [] => printer.line("  shares    nothing (--share DIR shares a folder)"),
        _ => printer.line(&format!("  shares    {} with {whom}", shares.join(", "))),
    }
    printer.object(|| {
        let id = context.me.key.public().id();
        json!({
            "event": "up",
            "name": context.me.name,
            "id": id.to_string(),
            "short": id.short(),
            "port": port,
            "addresses": addresses,
            "dir": node.inbox.shown().display().to_string(),
            "shares": shares,
            "accept": node.policy.accept.as_str(),
            "on_conflict": node.inbox.conflict().as_str(),
            "confined": confined.object(),
        })
    });
}
