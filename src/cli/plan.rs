//! What a transfer would move, told without moving it.

use serde_json::{Value, json};

use super::context::Context;
use super::report;
use super::ui::units::{bytes, count};
use crate::base::manifest::{Entry, EntryKind, Have};
use crate::disk::source::Passed;
use crate::flow::greet::Peer;
use crate::flow::preview::Preview;

/// Which way it would move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To a peer.
    To,
    /// From a peer.
    From,
}

impl Way {
    fn verb(self) -> &'static str {
        if self == Self::To { "send" } else { "fetch" }
    }
}

/// Tells it, a line each file that would move.
pub fn tell(context: &Context, way: Way, (shown, peer): (&str, &Peer), preview: &Preview, passed: &[Passed]) {
    let (printer, verb, pipe) = (&context.printer, way.verb(), report::size(&preview.entries).is_none());
    let (mut files, mut moving, mut there, mut compared, mut skipped) = (0, 0, 0, 0, 0);
    for (place, entry) in preview.entries.iter().enumerate().filter(|(_, entry)| entry.has_bytes()) {
        let plan = Plan::of(entry, preview.haves.get(place));
        match plan {
            Plan::There => there += 1,
            Plan::Skipped => skipped += 1,
            Plan::Compared => compared += 1,
            Plan::Moves(missing) => {
                files += 1;
                moving += missing;
            }
        }
        let line = match plan {
            Plan::There | Plan::Skipped => continue,
            Plan::Compared => format!("would compare {}", entry.path),
            Plan::Moves(missing) if missing < entry.size() => {
                format!("would {verb} the rest of {} ({} of {})", entry.path, bytes(missing), bytes(entry.size()))
            }
            Plan::Moves(missing) => {
                format!("would {verb} {} ({})", entry.path, report::amount(missing, entry.kind == EntryKind::Stream))
            }
        };
        printer.result(&line, || plan.object(verb, entry));
    }
    for left_out in passed.iter().filter_map(Passed::left_out).chain(&preview.left_out) {
        printer.note(&format!("  would not {verb} {left_out}"));
    }
    report::left_out(printer, passed);
    let mut parts = vec![format!("{} ({})", count(files, "file", "files"), report::amount(moving, pipe))];
    if there > 0 {
        parts.push(format!("{there} already there (same size and time)"));
    }
    if compared > 0 {
        parts.push(format!("{compared} to be compared by content"));
    }
    if skipped > 0 {
        parts.push(format!("{skipped} skipped (something else has their name, and stays)"));
    }
    let where_to = if way == Way::To { "to" } else { "from" };
    printer.result(&format!("would move {where_to} {shown}: {}", parts.join(", ")), || {
        json!({
            "event": "would_move",
            "peer": report::peer(peer),
            "files": files,
            "bytes": (!pipe).then_some(moving),
            "unchanged": there,
            "compared": compared,
            "skipped": skipped,
        })
    });
}

/// What would become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    There,
    Skipped,
    Compared,
    /// So many of its bytes are missing.
    Moves(u64),
}

impl Plan {
    fn of(entry: &Entry, have: Option<&Have>) -> Self {
        match have {
            Some(Have::Equal) => Self::There,
            Some(Have::Skipped) => Self::Skipped,
            Some(Have::Digest(_)) => Self::Compared,
            have => Self::Moves(entry.size() - have.map_or(0, |have| have.bytes_of(entry.size()))),
        }
    }

    fn object(self, verb: &str, entry: &Entry) -> Value {
        let known = |bytes: u64| (entry.kind != EntryKind::Stream).then_some(bytes);
        let (path, size) = (entry.path.as_str(), known(entry.size()));
        match self {
            Self::Moves(missing) => {
                json!({ "event": format!("would_{verb}"), "path": path, "size": size, "bytes": known(missing) })
            }
            _ => json!({ "event": "would_compare", "path": path, "size": size }),
        }
    }
}
