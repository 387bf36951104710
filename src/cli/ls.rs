//! `ftx ls`: what a peer shares, or a hub holds.

use clap::Args;
use serde_json::Value;

use super::at_hub::{self, Done};
use super::context::Context;
use super::items::{self, Form, Sort};
use super::outcome::{Exit, Failure};
use super::reach::{Reached, note_met, reach, tell_first_contact};
use super::ui::printer::Format;
use crate::base::id::Role;
use crate::base::manifest::Entry;
use crate::base::target::Target;
use crate::flow::list;
use crate::wire::hub::{Item, Verb};
use crate::wire::message::Request;

/// List what a peer shares, or what a hub holds.
///
/// At a hub without a path: its spaces, and what each is for. Of a file at a hub more is known: whose it
/// is, how many older versions are kept, its SHA-256.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx ls alice-laptop\n  ftx ls alice-laptop:notes/week1\n  \
    ftx ls -l lab-hub:shared --sort time\n  ftx ls -R --sha256 lab-hub:shared/week3")]
pub struct Ls {
    /// Whose, and which folder: PEER or PEER:PATH
    pub target: String,
    /// Also the owner, how many versions are kept, and the beginning of the SHA-256, where a hub knows
    /// them
    #[arg(short, long)]
    pub long: bool,
    /// Also what is in the folders in it (hubs)
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// What comes first; folders stand before files
    #[arg(long, value_name = "BY", default_value = "name")]
    pub sort: Sort,
    /// With the SHA-256 of each file, as sha256sum prints it; the hub reads what it does not know
    #[arg(long)]
    pub sha256: bool,
}

/// Lists.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Ls) -> Result<Exit, Failure> {
    let target = at_hub::target(&command.target, "ftx ls alice-laptop:notes")?;
    let reached = tokio::select! {
        reached = reach(context, &target.peer) => reached?,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    match reached.peer().role {
        Role::Hub => at_a_hub(context, reached, &target, &command).await,
        Role::Peer => at_a_peer(context, reached, &target, &command).await,
    }?;
    Ok(Exit::Done)
}

async fn at_a_hub(context: &Context, reached: Reached, target: &Target, command: &Ls) -> Result<(), Failure> {
    let verb = Verb::Look { path: target.path.clone(), deep: command.recursive, sha256: command.sha256 };
    let Done { told, .. } = at_hub::done_at(context, reached, verb).await?;
    let mut items = told.items;
    items::sort(&mut items, command.sort);
    items::print(&context.printer, &items, target.path.as_ref(), form(command));
    Ok(())
}

fn form(command: &Ls) -> Form {
    match (command.long, command.sha256) {
        (false, false) => Form::Short,
        (true, false) => Form::Long,
        (false, true) => Form::Sums,
        (true, true) => Form::LongSums,
    }
}

async fn at_a_peer(context: &Context, reached: Reached, target: &Target, command: &Ls) -> Result<(), Failure> {
    let Reached { greeted, address, shown, trust } = reached;
    let only_hubs = |what: &str, hint: String| {
        Err(Failure::new(Exit::Usage, format!("{shown} is no hub: only hubs {what}")).hint(hint))
    };
    if command.sha256 {
        return only_hubs("tell the SHA-256 of files", "leave --sha256 out; what you fetch is checked anyway".into());
    }
    if command.recursive {
        let hint = format!("ftx pull -n {} names everything below, and fetches nothing", command.target);
        return only_hubs("list what is in folders in folders", hint);
    }
    let peer = greeted.peer().clone();
    let listed = async {
        let session = greeted.ask(Request::List(target.path.clone())).await?;
        if context.printer.format() == Format::Human {
            tell_first_contact(context, trust, (&session.peer, address), &session.words);
        }
        list::hear(session).await
    };
    let entries = tokio::select! {
        listed = listed => listed.map_err(|fault| Failure::flow(&shown, &fault))?,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    note_met(context, &peer, address);
    let mut listed: Vec<Item> = entries.into_iter().map(item).collect();
    items::sort(&mut listed, command.sort);
    if context.printer.format() == Format::Json {
        listed.iter().for_each(|item| context.printer.object(|| object(item)));
    } else {
        items::print(&context.printer, &listed, None, form(command));
    }
    Ok(())
}

/// What a peer shares, of which nothing more is known.
fn item(Entry { path, kind }: Entry) -> Item {
    Item { path, kind, owner: None, sha256: None, versions: 0, about: None }
}

/// The fields that a peer tells.
fn object(item: &Item) -> Value {
    let mut object = items::kind(&item.kind);
    object["path"] = item.path.as_str().into();
    if let Some(object) = object.as_object_mut() {
        // A peer does not tell.
        object.remove("executable");
    }
    object
}
