//! To whom something is sent: one peer, several, a group, or everybody who is here.

use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::json;

use super::context::Context;
use super::outcome::{Exit, Failure};
use crate::base::book::Trust;
use crate::base::id::PeerId;
use crate::base::path::RelPath;
use crate::base::target::{PeerRef, Target};
use crate::find::survey;

/// Who was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// These, or the groups among them.
    Named(Vec<Named>),
    /// Everybody who is here.
    All,
}

/// One of those who were named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A peer, or a folder of a hub.
    Peer(Target),
    /// A group of the configuration.
    Group(String),
}

/// Somebody to send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// How it is looked for.
    pub peer: PeerRef,
    /// Its name, as it was typed or seen.
    pub shown: String,
    /// Into which folder of it; only hubs have such.
    pub folder: Option<RelPath>,
    /// Who it has proven to be, once it has been reached.
    pub met: OnceLock<PeerId>,
}

impl Receiver {
    /// The receiver that a target names.
    fn of(Target { peer, path }: Target) -> Self {
        Self { shown: peer.to_string(), peer, folder: path, met: OnceLock::new() }
    }

    /// Who it is, where that is known.
    fn id(&self) -> Option<PeerId> {
        let named = || if let PeerRef::Id { prefix, .. } = &self.peer { prefix.parse().ok() } else { None };
        self.met.get().copied().or_else(named)
    }
}

impl To {
    /// What was typed: names with commas between them.
    ///
    /// # Errors
    /// Where one of them makes no sense.
    pub fn named(text: &str) -> Result<Self, Failure> {
        text.split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .map(one_named)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|named| match named.is_empty() {
                true => Err(usage("no receiver is named")),
                false => Ok(Self::Named(named)),
            })
    }
}

fn one_named(text: &str) -> Result<Named, Failure> {
    if let Some(group) = text.strip_prefix('@') {
        return Ok(Named::Group(group.to_owned()));
    }
    let target: Target = text.parse().map_err(|fault| usage(&format!("the target makes no sense: {fault}")))?;
    Ok(Named::Peer(target))
}

fn usage(text: &str) -> Failure {
    Failure::new(Exit::Usage, text).hint("for example: ftx push notes.pdf alice-laptop,bob-desktop")
}

/// Who has been reached: one machine can be named in more than one way, and gets it once.
#[derive(Debug, Default)]
pub struct Roll(Mutex<Vec<(PeerId, Option<RelPath>)>>);

impl Roll {
    /// Whether a receiver that turns out to be this peer is the first that does.
    pub fn is_new(&self, peer: PeerId, folder: Option<&RelPath>) -> bool {
        let mut reached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = (peer, folder.cloned());
        let new = !reached.contains(&one);
        if new {
            reached.push(one);
        }
        new
    }
}

/// Everybody who is meant, each once as far as names tell.
///
/// # Errors
/// A group that is not in the configuration, or that nobody is in; nobody here.
pub async fn find(context: &Context, to: To) -> Result<Vec<Receiver>, Failure> {
    let mut receivers = match to {
        To::All => all(context).await?,
        To::Named(named) => {
            let mut receivers = Vec::new();
            for one in named {
                match one {
                    Named::Peer(target) => receivers.push(Receiver::of(target)),
                    Named::Group(name) => receivers.extend(group(context, &name)?),
                }
            }
            receivers
        }
    };
    let mut met: Vec<(PeerRef, Option<RelPath>)> = Vec::new();
    receivers.retain(|Receiver { peer, folder, .. }| {
        let one = (peer.clone(), folder.clone());
        let new = !met.contains(&one);
        met.push(one);
        new
    });
    Ok(receivers)
}

fn group(context: &Context, name: &str) -> Result<Vec<Receiver>, Failure> {
    let hint = || format!("[groups] in config.toml: {name} = [\"alice-laptop\", \"bob-desktop\"]");
    let Some(members) = context.config.groups.get(name) else {
        let known: Vec<&str> = context.config.groups.keys().map(String::as_str).collect();
        let cause =
            if known.is_empty() { "no group is there".to_owned() } else { format!("there are: {}", known.join(", ")) };
        return Err(Failure::new(Exit::Usage, format!("no group is called {name}")).cause(cause).hint(hint()));
    };
    if members.is_empty() {
        let text = format!("nobody is in the group {name}; nothing was sent");
        return Err(Failure::new(Exit::Usage, text).hint(hint()));
    }
    let receiver = |member: &String| match one_named(member.trim())? {
        Named::Peer(target) => Ok(Receiver::of(target)),
        Named::Group(_) => Err(usage(&format!("@{name} has a group in it: {member}"))),
    };
    members.iter().map(receiver).collect()
}

async fn all(context: &Context) -> Result<Vec<Receiver>, Failure> {
    let book = context.book()?;
    let seen = survey(context.interfaces.clone(), Some(context.me.key.public().id())).await;
    let receivers: Vec<Receiver> = seen
        .iter()
        .filter(|peer| book.trust(&peer.id) != Trust::Blocked)
        .map(|peer| Receiver {
            // By its whole id: whoever else has the same name is somebody else.
            peer: PeerRef::Id { name: String::new(), prefix: peer.id.to_string() },
            shown: peer.name.to_string(),
            folder: None,
            met: OnceLock::new(),
        })
        .collect();
    if receivers.is_empty() {
        return Err(Failure::new(Exit::NotFound, "nobody is here")
            .cause("nobody answered: ftx is not running on the other machines, or this network keeps them apart")
            .hint("have them type: ftx up"));
    }
    let names: Vec<&str> = receivers.iter().map(|receiver| receiver.shown.as_str()).collect();
    context.printer.note(&format!("to {}: {}", names.len(), names.join(", ")));
    Ok(receivers)
}

/// Tells that one of several did not get it.
pub fn failed(context: &Context, receiver: &Receiver, failure: &Failure) {
    context.printer.failure(failure);
    context.printer.object(|| {
        let mut peer = json!({ "name": receiver.shown });
        // Perhaps it was never met: then there is nothing but what it was called.
        if let Some(id) = receiver.id() {
            peer["id"] = json!(id.to_string());
        }
        let mut object = json!({ "event": "failed", "peer": peer, "code": failure.exit as u8, "error": failure.error });
        if let Some(kept) = failure.kept {
            object["kept"] = json!(kept);
        }
        object
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_by_commas() {
        let To::Named(named) = To::named("alice, bob~k7f3q2mz , @lab,[fe80::1%eth0]:").unwrap() else { unreachable!() };
        assert_eq!(named.len(), 4);
        assert_eq!(named[2], Named::Group("lab".into()));
        assert_eq!(named[1], Named::Peer("bob~k7f3q2mz".parse().unwrap()));
        assert!(To::named(",").is_err());
        let To::Named(named) = To::named("alice,lab-hub:shared/week3/").unwrap() else { unreachable!() };
        let folders = named.into_iter().map(|one| match one {
            Named::Peer(target) => Receiver::of(target).folder,
            Named::Group(_) => unreachable!(),
        });
        assert_eq!(folders.collect::<Vec<_>>(), [None, Some(RelPath::parse("shared/week3").unwrap())]);
        assert!(To::named("lab-hub:../x").is_err());
    }
}
