//! From what was typed to a greeted peer: find it, dial it, make sure who it is.

use std::net::SocketAddr;

use super::addresses::addresses_at;
use super::context::Context;
use super::outcome::Failure;
use super::report::{self, first_contact};
use super::search::{known, search};
use super::unreached::{blocked, other_key, unreachable};
use crate::base::book::Trust;
use crate::base::id::{PeerId, Role};
use crate::base::target::PeerRef;
use crate::find::PORTS;
use crate::flow::greet::{Greeted, Peer, Proof};
use crate::flow::words::KeyWords;
use crate::link::dial::dial;
use crate::link::tls::{Link, Stream};
use crate::node::serve::now;

/// A peer that has been reached and has proven who it is.
#[derive(Debug)]
pub struct Reached {
    /// The conversation, greeted.
    pub greeted: Greeted<Stream>,
    /// Where it is.
    pub address: SocketAddr,
    /// How far it is trusted.
    pub trust: Trust,
    /// Its name, for messages.
    pub shown: String,
}

impl Reached {
    /// The peer.
    pub fn peer(&self) -> &Peer {
        self.greeted.peer()
    }
}

/// Dials and greets whoever is at one of these addresses: `expected`, or anybody but this node itself. By what
/// name is not looked at.
///
/// # Errors
/// As for [`reach`].
pub async fn reach_at(
    context: &Context,
    addresses: &[SocketAddr],
    expected: Option<PeerId>,
    shown: &str,
) -> Result<Reached, Failure> {
    let link = dial(&context.tls, addresses, expected).await;
    let link = link.map_err(|(at, fault)| unreachable(shown, at, &fault))?;
    let reached = greet(context, link, shown).await?;
    if reached.trust == Trust::Blocked { Err(blocked(&reached.shown, &reached.peer().id())) } else { Ok(reached) }
}

/// Finds, dials and greets a peer.
///
/// # Errors
/// Exit 3 where it is not found, 4 where it cannot be reached, 6 where it is not who it should be,
/// 12 where it speaks another protocol.
pub async fn reach(context: &Context, peer: &PeerRef) -> Result<Reached, Failure> {
    let book = context.book()?;
    let link = match peer {
        PeerRef::Name(_) | PeerRef::Id { .. } => search(context, &book, peer).await?,
        PeerRef::Address { .. } | PeerRef::Host { .. } => {
            dial_address(context, peer, &addresses_at(peer, PORTS).await?).await?
        }
    };
    let reached = greet(context, link, &peer.to_string()).await?;
    if reached.trust == Trust::Blocked {
        return Err(blocked(&reached.shown, &reached.peer().id()));
    }
    let (name, id) = (&reached.peer().name, reached.peer().id());
    let known = match peer {
        // Whoever names an id says whom they mean. But another key can be made to begin like it.
        PeerRef::Id { .. } => {
            Some(known(&book, peer)).filter(|known| !known.contains(&id)).and_then(|k| k.first().copied())
        }
        _ => book.impersonated(name.as_raw(), &id).map(|(known, _)| known),
    };
    if let Some(known) = known {
        return Err(other_key(&reached.shown, &known, &id));
    }
    Ok(reached)
}

/// Greets whoever was dialled as `typed`.
async fn greet(context: &Context, link: Link, typed: &str) -> Result<Reached, Failure> {
    let (address, id) = (link.address, link.peer.id());
    context.printer.detail(&format!("reached {} at {address}", id.short()));
    let proof = Proof { peer: link.peer, exporter: link.exporter };
    let greeted = Greeted::dialled(link.stream, proof, &context.me).await;
    let greeted = greeted.map_err(|fault| Failure::flow(typed, &fault))?;
    let shown = greeted.peer().name.to_string();
    Ok(Reached { trust: context.book()?.trust(&id), greeted, address, shown })
}

/// Tells the key words of a first contact, and notes the peer as met: by then the other side has met us, too,
/// whatever becomes of what is asked, and shows no words next time. A hub shows none: it is trusted by the
/// code that one joins with.
pub fn tell_first_contact(context: &Context, trust: Trust, (peer, address): (&Peer, SocketAddr), words: &KeyWords) {
    if trust != Trust::Stranger || peer.role == Role::Hub {
        return;
    }
    note_met(context, peer, address);
    context.printer.note(&format!("first contact with {}~{}", peer.name, peer.id().short()));
    context.printer.note(&report::key_words(words, peer));
    context.printer.object(|| first_contact(peer, words));
}

/// Notes in the book that a peer was met: its key, and where it is.
pub fn note_met(context: &Context, peer: &Peer, address: SocketAddr) {
    let noted = context.state.change_book(|book| book.meet(peer.id(), peer.name.clone(), Some(address), now()));
    if let Err(fault) = noted {
        context.printer.warn(&format!("the address book was not updated: {fault}"));
    }
}

async fn dial_address(context: &Context, peer: &PeerRef, addresses: &[SocketAddr]) -> Result<Link, Failure> {
    dial(&context.tls, addresses, None).await.map_err(|(at, fault)| unreachable(&peer.to_string(), at, &fault))
}
