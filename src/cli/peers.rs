//! `ftx peers`: who is here.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::context::Context;
use super::outcome::{Exit, Failure};
use super::ui::printer::Format;
use super::ui::units::{ago, count};
use crate::base::book::{Acquaintance, Book};
use crate::base::id::{PeerId, Role};
use crate::find::{Change, Sighting, Watch, survey};
use crate::node::serve::now;

/// Show who is here: everybody who runs `ftx up` on this network, and whom you know.
///
/// No node needs to run on this machine. What is shown is what the machines say of themselves; who
/// they are is proven when they are connected to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx peers\n  ftx peers --watch\n  ftx peers --json")]
pub struct Peers {
    /// Go on, and tell who comes and goes
    #[arg(short, long)]
    pub watch: bool,
}

/// Shows who is here.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Peers) -> Result<Exit, Failure> {
    if command.watch {
        return watch(context).await;
    }
    let me = context.me.key.public().id();
    let seen = tokio::select! {
        seen = survey(context.interfaces.clone(), Some(me)) => seen,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    let book = context.book()?;
    print(context, &seen, &book);
    Ok(Exit::Done)
}

/// Prints who was seen, then whom the book knows besides.
pub(super) fn print(context: &Context, seen: &[Sighting], book: &Book) {
    let printer = &context.printer;
    let absent: Vec<_> = book.peers().iter().filter(|(id, _)| !seen.iter().any(|peer| peer.id == **id)).collect();
    if printer.format() == Format::Json {
        seen.iter().for_each(|peer| printer.object(|| live_object(peer, book)));
        absent.iter().for_each(|(id, peer)| printer.object(|| absent_object(id, peer)));
        return;
    }
    let mut rows: Vec<[String; 5]> = seen.iter().map(|peer| live_row(peer, book)).collect();
    rows.extend(absent.iter().map(|(id, peer)| absent_row(id, peer)));
    if rows.is_empty() {
        printer.note("nobody else is here yet: have them type: ftx up");
        return;
    }
    let header = ["PEER", "ADDRESS", "TRUST", "STATE", "FOUND BY"].map(str::to_owned);
    table(&header, &rows).iter().for_each(|line| printer.line(line));
}

fn table(header: &[String; 5], rows: &[[String; 5]]) -> Vec<String> {
    let all = || std::iter::once(header).chain(rows);
    let widths: Vec<usize> =
        (0..5).map(|column| all().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    all()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

fn live_row(peer: &Sighting, book: &Book) -> [String; 5] {
    let impostor = book.impersonated(peer.name.as_raw(), &peer.id).is_some();
    let trust = if impostor { "OTHER KEY" } else { book.trust(&peer.id).as_str() };
    [
        shown(peer),
        peer.addresses.first().map(ToString::to_string).unwrap_or_default(),
        trust.to_owned(),
        "live".to_owned(),
        peer.how.as_str().to_owned(),
    ]
}

fn shown(peer: &Sighting) -> String {
    let hub = if peer.role == Role::Hub { " (hub)" } else { "" };
    format!("{}~{}{hub}", peer.name, peer.id.short())
}

fn absent_row(id: &PeerId, peer: &Acquaintance) -> [String; 5] {
    [
        format!("{}~{}", peer.name, id.short()),
        peer.addresses.first().map(ToString::to_string).unwrap_or_default(),
        peer.trust.as_str().to_owned(),
        format!("seen {}", ago(peer.last_seen, now())),
        "-".to_owned(),
    ]
}

fn live_object(peer: &Sighting, book: &Book) -> Value {
    json!({
        "name": peer.name.as_raw(),
        "id": peer.id.to_string(),
        "short": peer.id.short(),
        "role": peer.role.as_str(),
        "addresses": peer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "trust": book.trust(&peer.id).as_str(),
        "other_key": book.impersonated(peer.name.as_raw(), &peer.id).is_some(),
        "state": "live",
        "found_by": peer.how.as_str(),
        "accepts": peer.accept.as_raw(),
    })
}

fn absent_object(id: &PeerId, peer: &Acquaintance) -> Value {
    json!({
        "name": peer.name.as_raw(),
        "id": id.to_string(),
        "short": id.short(),
        "addresses": peer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "trust": peer.trust.as_str(),
        "state": "seen",
        "last_seen": peer.last_seen,
    })
}

/// Tells who comes and goes until it is interrupted, which is how it is meant to end.
async fn watch(context: &Context) -> Result<Exit, Failure> {
    let printer = &context.printer;
    let me = context.me.key.public().id();
    let book = context.book()?;
    let mut watch = Watch::start(context.interfaces.clone(), Some(me));
    let mut here: BTreeMap<PeerId, String> = BTreeMap::new();
    printer.note("watching who comes and goes; Ctrl-C ends it");
    loop {
        let change = tokio::select! {
            change = watch.next() => change,
            () = context.interrupted() => break,
        };
        match change {
            // Told again when it has another address: once is enough for a person.
            Change::Joined(peer) => {
                let row = live_row(&peer, &book);
                if here.insert(peer.id, shown(&peer)).is_none() {
                    printer.line(&format!("+ {}  {}  {}", row[0], row[1], row[2]));
                }
                printer.object(|| {
                    let mut object = live_object(&peer, &book);
                    object["event"] = json!("joined");
                    object
                });
            }
            Change::Left(id) => {
                let name = here.remove(&id).unwrap_or_else(|| id.short());
                printer.result(&format!("- {name}"), || json!({ "event": "left", "id": id.to_string() }));
            }
        }
    }
    printer.note(&format!("{} here at the end", count(here.len(), "peer", "peers")));
    Ok(Exit::Done)
}
