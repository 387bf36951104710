//! After a push into a hub: where it went, if nobody said; its signed receipts, if it gives some, are
//! fetched, checked and kept.

use std::path::PathBuf;

use serde_json::json;

use super::at_hub;
use super::context::Context;
use super::outcome::Failure;
use super::receivers::Receiver;
use super::ui::units::utc;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::path::Name;
use crate::base::text::{cut, is_deceptive};
use crate::flow::greet::Peer;
use crate::flow::handed_in::{HandedIn, Signed};
use crate::hub::space::people;
use crate::wire::hub::Verb;

/// Most receipts whose files are named.
const NAMED: usize = 5;

/// Tells into which folder of its own account something went that was pushed without one. What was sent
/// is there in any case: a failure here is told and changes nothing.
pub async fn tell_folder(context: &Context, receiver: &Receiver) {
    let done = match at_hub::done(context, &receiver.peer, Verb::Standing).await {
        Ok(done) => done,
        Err(failure) => return context.printer.detail(&failure.error),
    };
    if let Some(standing) = &done.told.standing {
        let folder = format!("{}/{}", people(), standing.account);
        context.printer.note(&format!("it is in your own folder there: {}:{folder}", receiver.peer));
        let own = format!("{}/{}", people().as_str(), standing.account.as_str());
        context.printer.object(|| done.object("folder", json!({ "path": own })));
    }
}

/// Fetches and keeps what a hub signed for a transfer; as before, a failure here is told and changes nothing.
pub async fn keep(context: &Context, receiver: &Receiver, hub: &Peer, transfer: TransferId) {
    let texts = match fetch(context, receiver, transfer).await {
        Ok(texts) => texts,
        Err(failure) => {
            let text = format!("the receipts of {} could not be fetched: {}", receiver.shown, failure.error);
            return context.printer.warn(&text);
        }
    };
    let mut kept = Vec::new();
    for text in texts {
        match keep_one(context, hub, transfer, &text) {
            Ok(one) => kept.push(one),
            Err(fault) => context.printer.alert(&format!("a receipt of {} was not kept: {fault}", receiver.shown)),
        }
    }
    for (file, what) in kept.iter().take(NAMED) {
        let late = if what.is_late() { ", too late" } else { "" };
        let name = what.path.file_name();
        context.printer.note(&format!("handed in{late}: {name}; signed receipt: {}", file.display()));
    }
    if kept.len() > NAMED {
        let folder = context.folders.receipts();
        context.printer.note(&format!("and {} more receipts in {}", kept.len() - NAMED, folder.folder().display()));
    }
    for (file, what) in &kept {
        context.printer.object(|| super::receipt::object("receipt", file, what, hub.id()));
    }
}

async fn fetch(context: &Context, receiver: &Receiver, transfer: TransferId) -> Result<Vec<String>, Failure> {
    let done = at_hub::done(context, &receiver.peer, Verb::Receipts(transfer)).await?;
    Ok(done.told.receipts)
}

/// Keeps a receipt that is the hub's, for this device and this transfer.
fn keep_one(context: &Context, hub: &Peer, transfer: TransferId, text: &str) -> Result<(PathBuf, HandedIn), Fault> {
    let Signed { what, by } = Signed::read(text)?;
    let ours = what.device == context.me.key.public().id() && what.transfer == transfer;
    if by != hub.key || !ours {
        return Err(Fault::new(FaultKind::Integrity, "it is for somebody else, or of somebody else"));
    }
    let file = context.folders.receipts().keep(&file_name(&what), text)?;
    Ok((file, what))
}

/// `20261121T140500Z-lab-hub-report.pdf.json`
fn file_name(what: &HandedIn) -> Name {
    let part = |text: &str, max: usize| {
        let mut text = text.replace(is_deceptive, "_");
        cut(&mut text, max);
        text
    };
    let (hub, name) = (part(what.hub.as_raw(), 64), part(what.path.last(), 150));
    Name::from_local(&format!("{}-{hub}-{name}.json", utc(what.handed_in))).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::EntryDigest;
    use crate::base::id::PeerId;
    use crate::base::path::RelPath;

    #[test]
    fn a_file_is_named_by_time_hub_and_name_whatever_they_are() {
        let what = |hub: &str, name: &str| HandedIn {
            hub: hub.into(),
            account: Name::parse("alice").unwrap(),
            device: PeerId::of_public_key(&[1; 32]),
            path: RelPath::parse(&format!("week3/alice/{name}")).unwrap(),
            size: 5,
            sha256: [2; 32],
            digest: EntryDigest([3; 32]),
            handed_in: 1_795_269_900,
            deadline: None,
            transfer: TransferId::new(),
        };
        let name = |hub: &str, name: &str| file_name(&what(hub, name)).as_str().to_owned();
        assert_eq!(name("lab-hub", "report.pdf"), "20261121T140500Z-lab-hub-report.pdf.json");
        assert_eq!(name("../\u{1b}x", "\u{202e}a"), "20261121T140500Z-..__x-_a.json");
        let long = name(&"h".repeat(500), &"n".repeat(255));
        assert!(long.ends_with("n.json") && long.len() <= Name::MAX, "{long}");
    }
}
