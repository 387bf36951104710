//! What the commands at a hub have in common: it is reached, it is a hub, one thing is done there.

use serde_json::{Value, json};

use super::context::Context;
use super::outcome::{Exit, Failure};
use super::reach::{Reached, note_met, reach};
use super::report;
use crate::base::fault::FaultKind;
use crate::base::id::Role;
use crate::base::path::RelPath;
use crate::base::target::{PeerRef, Target};
use crate::flow::ask::{Told, ask};
use crate::flow::fault::FlowFault;
use crate::flow::greet::Peer;
use crate::wire::hub::Verb;

/// What was done at a hub.
#[derive(Debug)]
pub struct Done {
    /// What came of it.
    pub told: Told,
    /// The hub.
    pub hub: Peer,
    /// Its name, for messages.
    pub shown: String,
}

impl Done {
    /// What is told to programs: an event, the hub, and more.
    pub fn object(&self, event: &str, more: Value) -> Value {
        let mut object = json!({ "event": event, "peer": report::peer(&self.hub) });
        if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        object
    }
}

/// A target, as it was typed.
///
/// # Errors
/// Where it makes no sense; the example is what to type instead.
pub fn target(text: &str, example: &str) -> Result<Target, Failure> {
    text.parse().map_err(|fault| {
        Failure::new(Exit::Usage, format!("{text} makes no sense: {fault}")).hint(format!("for example: {example}"))
    })
}

/// A target that must name something at a hub.
///
/// # Errors
/// As for [`target`], and where it has no path.
pub fn place(text: &str, example: &str) -> Result<(PeerRef, RelPath), Failure> {
    let Target { peer, path } = target(text, example)?;
    let path = path.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{text} names no path: HUB:PATH is expected"))
            .hint(format!("for example: {example}"))
    })?;
    Ok((peer, path))
}

/// Several targets, those at one hub together, in the order in which they were typed.
///
/// # Errors
/// As for [`place`].
pub fn places(texts: &[String], example: &str) -> Result<Vec<(PeerRef, Vec<RelPath>)>, Failure> {
    let mut all: Vec<(PeerRef, Vec<RelPath>)> = Vec::new();
    for text in texts {
        let (peer, path) = place(text, example)?;
        match all.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, paths)) if paths.contains(&path) => {}
            Some((_, paths)) => paths.push(path),
            None => all.push((peer, vec![path])),
        }
    }
    Ok(all)
}

/// Reaches a hub and has something done there.
///
/// # Errors
/// See [`Failure`]; exit 2 where it is no hub, 10 where this device has not joined it.
pub async fn done(context: &Context, peer: &PeerRef, verb: Verb) -> Result<Done, Failure> {
    let reached = tokio::select! {
        reached = reach(context, peer) => reached?,
        () = context.interrupted() => return Err(interrupted()),
    };
    done_at(context, reached, verb).await
}

/// Has something done at a hub that has been reached.
///
/// # Errors
/// As for [`done`].
pub async fn done_at(context: &Context, reached: Reached, verb: Verb) -> Result<Done, Failure> {
    require_hub(reached.peer(), &reached.shown)?;
    let Reached { greeted, address, shown, .. } = reached;
    let hub = greeted.peer().clone();
    let told = tokio::select! {
        told = ask(greeted, verb) => told.map_err(|fault| failed(&shown, &fault))?,
        () = context.interrupted() => return Err(interrupted()),
    };
    note_met(context, &hub, address);
    Ok(Done { told, hub, shown })
}

/// That a peer is a hub.
///
/// # Errors
/// Exit 2 where it is none.
pub fn require_hub(peer: &Peer, shown: &str) -> Result<(), Failure> {
    if peer.role == Role::Hub {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, format!("{shown} is no hub: this is done at hubs only"))
        .cause("what a person's machine shares can be listed and fetched, and nothing else")
        .hint("ftx peers shows which of them are hubs"))
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted")
        .cause("what the hub had begun by then it may have done")
        .hint("ftx ls shows what is there")
}

fn failed(shown: &str, fault: &FlowFault) -> Failure {
    let failure = Failure::flow(shown, fault).at_hub(shown);
    match fault.kind() {
        FaultKind::NotFound => failure.hint(format!("ftx ls {shown} shows what is there")),
        FaultKind::Lost | FaultKind::TimedOut => failure.hint("ftx ls shows whether it was done; type the same again"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_at_one_hub_go_together_and_each_once() {
        let texts = ["lab:a", "lab:a/", "other:b", "lab:c/d"].map(str::to_owned);
        let all = places(&texts, "x").unwrap();
        assert_eq!(all.len(), 2);
        let paths: Vec<&str> = all[0].1.iter().map(RelPath::as_str).collect();
        assert_eq!(paths, ["a", "c/d"]);
        for bad in ["lab", "lab:", "lab:/", ":a", "lab:../x"] {
            assert_eq!(place(bad, "ftx mkdir lab-hub:x").unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
