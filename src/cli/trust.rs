//! `ftx trust`, `ftx forget`, `ftx block`: the address book.

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::outcome::{Exit, Failure};
use super::reach::{Reached, note_met, reach};
use super::ui::prompt::Keyboard;
use crate::base::book::{Acquaintance, Trust};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::PeerId;
use crate::base::target::PeerRef;
use crate::flow::pair::{self, Agreement, Compared};
use crate::node::serve::now;
use crate::wire::message::Request;

/// Compare key words with a peer and trust it from now on.
///
/// Both screens show the same four words if nobody is in between; the person at the other machine
/// is asked there. Trusted peers may fetch from your shares, and are accepted without asking where
/// a node runs with --accept trusted.
#[derive(Debug, Args)]
pub struct TrustPeer {
    /// The peer: a name, name~id or an address
    pub peer: String,
    /// Trust it without asking here; the words were compared otherwise, or the id is known
    #[arg(short, long)]
    pub yes: bool,
}

/// Strike a peer out of the address book: it is a stranger again, and no longer blocked.
#[derive(Debug, Args)]
pub struct ForgetPeer {
    /// The peer: a name or name~id
    pub peer: String,
}

/// Refuse everything from a peer from now on.
#[derive(Debug, Args)]
pub struct BlockPeer {
    /// The peer: a name, name~id or an address
    pub peer: String,
}

fn parse(text: &str) -> Result<PeerRef, Failure> {
    text.parse().map_err(|fault| {
        Failure::new(Exit::Usage, format!("{text} makes no sense: {fault}")).hint("for example: alice-laptop~k7f3q2mz")
    })
}

/// Compares words and trusts.
///
/// # Errors
/// See [`Failure`].
pub async fn trust(context: &Context, command: TrustPeer) -> Result<Exit, Failure> {
    let peer = parse(&command.peer)?;
    tokio::select! {
        trusted = compare(context, &peer, command.yes) => trusted,
        () = context.interrupted() => Err(Failure::new(Exit::Interrupted, "interrupted; nothing has changed")),
    }
}

async fn compare(context: &Context, peer: &PeerRef, yes: bool) -> Result<Exit, Failure> {
    let printer = &context.printer;
    let Reached { greeted, address, shown, .. } = reach(context, peer).await?;
    let peer = greeted.peer().clone();
    let failed = |fault| Failure::flow(&shown, &fault);
    let session = greeted.ask(Request::Pair).await.map_err(failed)?;
    let words = session.words.clone();
    printer.note(&format!("key words with {shown}~{}:  {words}", peer.id().short()));
    printer.object(|| json!({ "event": "key_words", "words": words.to_string(), "id": peer.id().to_string() }));
    let keyboard = if yes { None } else { Some(terminal()?) };
    let question = format!("  are the same four on {shown}'s screen? [y] yes  [n] no: ");
    let asked = async {
        let same = match keyboard {
            Some(mut keyboard) => keyboard.ask(printer, &question, &[("yes", true), ("no", false)]).await == Some(true),
            None => true,
        };
        printer.note(&format!("waiting for the answer at {shown}"));
        let differ = || Agreement::Refused(Fault::new(FaultKind::Identity, "the words are said to differ there"));
        if same { Agreement::Agreed } else { differ() }
    };
    let Compared { ours, theirs } = pair::compare(session, asked).await.map_err(failed)?;
    match (&ours, &theirs) {
        (Agreement::Refused(fault), _) if fault.kind == FaultKind::Identity => {
            return Err(Failure::new(
                Exit::Identity,
                format!("{shown} is not trusted: the words were not confirmed here"),
            )
            .cause("if they differ, somebody is in between"));
        }
        (_, Agreement::Refused(fault)) if !yes => {
            let hint = format!(
                "have its owner run ftx up at a terminal; or, where the words need no comparing: ftx trust {shown} --yes"
            );
            if fault.kind == FaultKind::Identity {
                return Err(Failure::new(Exit::Identity, format!("{shown} did not confirm: {fault}")));
            }
            return Err(Failure::new(Exit::Declined, format!("{shown} did not confirm: {fault}")).hint(hint));
        }
        _ => {}
    }
    note_met(context, &peer, address);
    set(
        context,
        peer.id(),
        &Acquaintance { name: peer.name.clone(), trust: Trust::Trusted, addresses: vec![], last_seen: now() },
    )?;
    let mutual = theirs == Agreement::Agreed;
    let both = if mutual { "you trust each other" } else { "you trust it; it did not confirm" };
    printer.result(
        &format!("{shown}~{} is trusted: {both}", peer.id().short()),
        || json!({ "event": "trusted", "id": peer.id().to_string(), "mutual": mutual }),
    );
    Ok(Exit::Done)
}

fn terminal() -> Result<Keyboard, Failure> {
    Keyboard::open().ok_or_else(|| {
        Failure::new(Exit::Usage, "there is no terminal to ask at")
            .hint("where the words have been compared otherwise, add --yes")
    })
}

fn set(context: &Context, id: PeerId, peer: &Acquaintance) -> Result<(), Failure> {
    let changed = context.state.change_book(|book| book.set_trust(id, peer.name.clone(), peer.trust, now()));
    changed.map_err(|fault| Failure::local(&fault))
}

/// Who in the book is meant: exactly one, or a failure that says why not.
fn in_book(context: &Context, peer: &PeerRef) -> Result<Option<(PeerId, Acquaintance)>, Failure> {
    let book = context.book()?;
    let mut matching: Vec<_> = match peer {
        PeerRef::Id { prefix, .. } => book.peers().iter().filter(|(id, _)| id.starts_with(prefix)).collect(),
        other => book.named(&other.to_string()).collect(),
    };
    if matching.len() > 1 {
        let names: Vec<_> = matching.iter().map(|(id, peer)| format!("{}~{}", peer.name, id.short())).collect();
        return Err(Failure::new(Exit::Usage, format!("{peer} is ambiguous: {}", names.join(", ")))
            .hint("name one with its id"));
    }
    Ok(matching.pop().map(|(id, peer)| (*id, peer.clone())))
}

/// Strikes out.
///
/// # Errors
/// See [`Failure`].
pub fn forget(context: &Context, command: &ForgetPeer) -> Result<Exit, Failure> {
    let peer = parse(&command.peer)?;
    let Some((id, known)) = in_book(context, &peer)? else {
        return Err(
            Failure::new(Exit::NotFound, format!("{peer} is not in the address book")).hint("ftx peers shows who is")
        );
    };
    context.state.change_book(|book| drop(book.forget(&id))).map_err(|fault| Failure::local(&fault))?;
    context.printer.result(
        &format!("{}~{} is forgotten", known.name, id.short()),
        || json!({ "event": "forgotten", "id": id.to_string() }),
    );
    Ok(Exit::Done)
}

/// Blocks.
///
/// # Errors
/// See [`Failure`].
pub async fn block(context: &Context, command: BlockPeer) -> Result<Exit, Failure> {
    let peer = parse(&command.peer)?;
    let (id, known) = match in_book(context, &peer)? {
        Some(known) => known,
        None => {
            // Not met yet: its key is proven by connecting.
            let reached = tokio::select! {
                reached = reach(context, &peer) => reached?,
                () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
            };
            let peer = reached.peer();
            (
                peer.id(),
                Acquaintance { name: peer.name.clone(), trust: Trust::Blocked, addresses: vec![], last_seen: now() },
            )
        }
    };
    set(context, id, &Acquaintance { trust: Trust::Blocked, ..known.clone() })?;
    context.printer.result(
        &format!("{}~{} is blocked", known.name, id.short()),
        || json!({ "event": "blocked", "id": id.to_string() }),
    );
    Ok(Exit::Done)
}
