//! How a finished transfer is told.

use std::time::Duration;

use serde_json::{Value, json};

use super::outcome::{Exit, has_unreadable, of_summary};
use super::ui::printer::{Format, Printer};
use super::ui::units::{bytes, count, moved};
use crate::base::entries::Entries;
use crate::base::event::{Progress, Receipted, Summary};
use crate::base::fault::FaultKind;
use crate::base::manifest::{Entry, EntryKind, Outcome};
use crate::disk::source::Passed;
use crate::flow::greet::Peer;
use crate::flow::words::KeyWords;

/// Entries told in one object; more are told one by one, so that a million need no room at once.
const TOGETHER: usize = 1000;

/// What to do where something failed that was to come.
const ONCE_MORE: &str = "see to what failed, then type the same again: what is in place does not move again";

/// Entries told by name before it becomes "and N more".
const NAMED: usize = 20;

/// A peer for programs.
pub fn peer(peer: &Peer) -> Value {
    json!({ "name": peer.name.as_raw(), "id": peer.id().to_string() })
}

/// A first contact for programs.
pub fn first_contact(with: &Peer, words: &KeyWords) -> Value {
    json!({ "event": "first_contact", "peer": peer(with), "key_words": words.to_string() })
}

/// The words of a session, to be compared. Whether they are on the other screen as well nobody knows here: it
/// may have met us before, or nobody sits at it.
pub fn key_words(words: &KeyWords, with: &Peer) -> String {
    format!("  key words: {words}   (if {} is shown any, they must be the same four)", with.name)
}

/// Bytes of all of them; nothing where a pipe is among them, whose size shows at its end.
pub fn size(entries: &Entries) -> Option<u64> {
    (!entries.iter().any(|entry| entry.kind == EntryKind::Stream)).then(|| entries.bytes())
}

/// So many bytes for people; with a pipe among them, as far as that can be said.
pub fn amount(known: u64, pipe: bool) -> String {
    match (pipe, known) {
        (false, known) => bytes(known),
        (true, 0) => "size not known yet".to_owned(),
        (true, known) => format!("{} and a pipe", bytes(known)),
    }
}

/// What is offered, a line each top entry, as a person wants to see it before saying yes.
pub fn offer(entries: &Entries) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tops: Vec<(&str, &Entry, usize, u64)> = Vec::new();
    for entry in entries.iter() {
        let top = entry.path.top();
        if tops.last().is_none_or(|(name, ..)| *name != top) {
            tops.push((top, entry, 0, 0));
        }
        if let Some((.., files, size)) = tops.last_mut() {
            *files += usize::from(entry.has_bytes());
            *size += entry.size();
        }
    }
    for (_, entry, files, size) in tops.iter().take(NAMED) {
        lines.push(match entry.kind {
            // Whether the folder itself is listed or only what is in it.
            _ if entry.path.depth() > 1 => {
                let top = crate::base::text::escape(entry.path.top());
                format!("{top}/  ({}, {})", count(*files, "file", "files"), bytes(*size))
            }
            EntryKind::Directory { .. } => {
                format!("{}/  ({}, {})", entry.path, count(*files, "file", "files"), bytes(*size))
            }
            _ => format!("{}  ({})", entry.path, amount(*size, entry.kind == EntryKind::Stream)),
        });
    }
    if tops.len() > NAMED {
        lines.push(format!("and {} more", tops.len() - NAMED));
    }
    lines
}

/// What can be said of a finished transfer as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is there, and its bytes were checked.
    Verified,
    /// Everything was there already, by its size and time; no bytes were compared.
    There,
    /// Nothing came, and the receiver chose to keep something else instead of some of it.
    Skipped,
    /// Something failed.
    Partly,
}

impl Verdict {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::There => "all there",
            Self::Skipped => "nothing new",
            Self::Partly => "partly verified",
        }
    }
}

/// What can be said of a finished transfer: "verified" only of bytes that were checked.
pub fn verdict(summary: &Summary, passed: &[Passed]) -> Verdict {
    let is = |wanted: fn(&Outcome) -> bool| summary.outcomes.iter().any(wanted);
    let left_out = has_unreadable(&summary.left_out) || unreadable(passed) > 0;
    if left_out || is(|outcome| matches!(outcome, Outcome::Failed(_))) {
        Verdict::Partly
    } else if is(|outcome| matches!(outcome, Outcome::Skipped)) && !moved_any(summary) {
        Verdict::Skipped
    } else if is(|outcome| matches!(outcome, Outcome::Unchanged)) && !moved_any(summary) {
        Verdict::There
    } else {
        Verdict::Verified
    }
}

/// Whether the bytes of anything were checked.
fn moved_any(summary: &Summary) -> bool {
    summary
        .each()
        .any(|(entry, outcome)| entry.has_bytes() && (is_placed(outcome) || matches!(outcome, Outcome::Equal)))
}

/// Whether it came and is in place now.
fn is_placed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Placed | Outcome::PlacedAs(_) | Outcome::Replaced)
}

/// Things that were not taken. A folder stands for what is in it, unless it is empty.
fn skipped(summary: &Summary) -> usize {
    let is = |folder: bool| {
        let folder = move |entry: &Entry| entry.kind.is_folder() == folder;
        summary.each().filter(|(entry, outcome)| folder(entry) && **outcome == Outcome::Skipped).count()
    };
    if is(false) > 0 { is(false) } else { is(true) }
}

/// One line on a finished transfer: `3 files (1.2 MiB in 0.1 s), 2 already there`.
pub fn line(summary: &Summary, took: Duration) -> String {
    let is = |wanted: fn(&Outcome) -> bool| {
        summary.each().filter(|(entry, outcome)| entry.has_bytes() && wanted(outcome)).count()
    };
    let equal = is(|outcome| matches!(outcome, Outcome::Equal));
    let unchanged = is(|outcome| matches!(outcome, Outcome::Unchanged));
    let failed = summary.failed().count();
    let placed = is(is_placed);
    let replaced = is(|outcome| matches!(outcome, Outcome::Replaced));
    let skipped = skipped(summary);
    let mut parts = Vec::new();
    if placed > 0 || (equal == 0 && unchanged == 0 && failed == 0 && skipped == 0) {
        let what = if placed > 0 {
            count(placed, "file", "files")
        } else {
            count(summary.outcomes.len(), "folder or link", "folders and links")
        };
        parts.push(format!("{what} ({})", moved(summary.bytes_moved, took)));
    }
    if replaced > 0 {
        parts.push(format!("{replaced} of them in place of another"));
    }
    if equal > 0 {
        parts.push(format!("{equal} already there (same bytes)"));
    }
    if unchanged > 0 {
        parts.push(format!("{unchanged} already there (same size and time)"));
    }
    if skipped > 0 {
        let why = match summary.receipt {
            Receipted::Checked => "the receiver chose to keep what it has under that name",
            Receipted::Given => "what is here under that name stays: --on-conflict skip",
        };
        parts.push(format!("{skipped} skipped ({why})"));
    }
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    parts.join(", ")
}

/// Whether something failed, or is only worth knowing.
#[derive(Clone, Copy)]
enum Grave {
    Yes,
    No,
}

/// How a transfer that came to its end is to be judged, and what to do where not all of it is good.
pub fn judged(printer: &Printer, summary: &Summary, passed: &[Passed]) -> Exit {
    let exit = of_summary(summary, unreadable(passed));
    if exit != Exit::Done {
        printer.note(ONCE_MORE);
    }
    exit
}

/// What did not simply go to its own place, by name. For programs the result has all of it.
pub fn exceptions(printer: &Printer, summary: &Summary, passed: &[Passed]) {
    if printer.format() == Format::Json {
        return;
    }
    let mut told = 0;
    let mut more = 0;
    let mut tell = |line: String, grave: Grave| {
        if told < NAMED {
            told += 1;
            match grave {
                Grave::Yes => printer.alert(&line),
                Grave::No => printer.warn(&line),
            }
        } else {
            more += 1;
        }
    };
    for entry in summary.anew() {
        tell(changed(entry), Grave::No);
    }
    for (entry, outcome) in summary.each() {
        match outcome {
            Outcome::PlacedAs(path) if !entry.kind.is_folder() || path.file_name() != entry.path.file_name() => {
                tell(format!("{} is there as {path}", entry.path), Grave::No);
            }
            Outcome::Skipped if !entry.kind.is_folder() => {
                tell(format!("{} skipped: another of that name stays", entry.path), Grave::No);
            }
            Outcome::Replaced => tell(format!("{} replaced the one that was there", entry.path), Grave::No),
            Outcome::Failed(fault) => tell(format!("{} failed: {fault}", entry.path), Grave::Yes),
            _ => {}
        }
    }
    for fault in &summary.left_out {
        let grave = if fault.kind == FaultKind::Disk { Grave::Yes } else { Grave::No };
        tell(format!("not sent: {fault}"), grave);
    }
    for passed in passed {
        match passed {
            Passed::Unreadable { fault } => tell(format!("not sent: {fault}"), Grave::Yes),
            Passed::Special { fault } | Passed::Renamed { fault } => tell(fault.to_string(), Grave::No),
            Passed::Excluded { .. } => {}
        }
    }
    if more > 0 {
        printer.warn(&format!("and {more} more; --json names all"));
    }
    left_out(printer, passed);
}

/// How much is not sent because somebody asked for it; in detail, what.
pub fn left_out(printer: &Printer, passed: &[Passed]) {
    let mut excluded = 0;
    for passed in passed {
        if let Passed::Excluded { fault } = passed {
            excluded += 1;
            printer.detail(&format!("left out: {fault}"));
        }
    }
    if excluded > 0 {
        let what = count(excluded, "file or folder", "files and folders");
        printer.note(&format!("{what} left out, as asked (-v names them)"));
    }
}

/// How many things could not be read and were not sent.
pub fn unreadable(passed: &[Passed]) -> usize {
    passed.iter().filter(|passed| matches!(passed, Passed::Unreadable { .. })).count()
}

/// What was left out because somebody asked for it.
fn excluded(passed: &[Passed]) -> impl Iterator<Item = &str> {
    passed.iter().filter_map(|passed| match passed {
        Passed::Excluded { fault } => Some(fault.text.as_raw()),
        _ => None,
    })
}

/// Tells of a finished transfer: `line` for people; for programs one object, and before it one for
/// each entry where there are very many.
pub fn finished(
    printer: &Printer,
    line: &str,
    (event, with): (&str, &Peer),
    (summary, passed): (&Summary, &[Passed]),
    took: Duration,
) {
    if summary.entries.len() > TOGETHER {
        let transfer = summary.transfer.to_string();
        printer.objects(summary.each().map(|(entry, outcome)| {
            let mut object = entry_object(summary, entry, outcome);
            object["event"] = json!("entry");
            object["transfer"] = json!(transfer);
            object
        }));
    }
    printer.result(line, || object(event, with, summary, passed, took));
}

/// A finished transfer for programs.
fn object(event: &str, with: &Peer, summary: &Summary, passed: &[Passed], took: Duration) -> Value {
    let together = summary.entries.len() <= TOGETHER;
    let entries = summary.each().filter(|_| together).map(|(entry, outcome)| entry_object(summary, entry, outcome));
    let entries: Vec<Value> = entries.collect();
    let unchecked = |outcome: &Outcome| matches!(outcome, Outcome::Unchanged | Outcome::Skipped);
    let all_checked = !summary.outcomes.iter().any(unchecked);
    let verified = verdict(summary, passed) == Verdict::Verified && all_checked;
    let failed = verdict(summary, passed) == Verdict::Partly;
    let excluded: Vec<&str> = excluded(passed).collect();
    let passed = passed.iter().filter_map(|passed| match passed {
        Passed::Unreadable { fault } | Passed::Special { fault } | Passed::Renamed { fault } => Some(fault),
        Passed::Excluded { .. } => None,
    });
    let notes = passed.chain(&summary.left_out).map(|fault| fault.text.as_raw().to_owned());
    let notes: Vec<String> = summary.anew().map(changed).chain(notes).collect();
    let mut object = json!({
        "event": event,
        "peer": peer(with),
        "transfer": summary.transfer.to_string(),
        "verified": verified,
        "files": summary.files(),
        "bytes": summary.bytes_total,
        "bytes_moved": summary.bytes_moved,
        "seconds": took.as_secs_f64(),
        "entries": entries,
        "notes": notes,
    });
    if !excluded.is_empty() {
        object["excluded"] = json!(excluded);
    }
    if failed && !matches!(event, "received" | "served") {
        object["hint"] = json!(ONCE_MORE);
    }
    object
}

/// That what an earlier try left of a file could not be used.
fn changed(entry: &Entry) -> String {
    format!("{} has changed since the last try: all of it was sent again", entry.path)
}

fn entry_object(summary: &Summary, entry: &Entry, outcome: &Outcome) -> Value {
    let kind = match entry.kind {
        EntryKind::Directory { .. } => "folder",
        EntryKind::File { .. } | EntryKind::Stream => "file",
        EntryKind::Link { .. } => "link",
    };
    let size = match entry.kind {
        // All that there is of bytes, where it came alone; else nobody has counted it apart.
        EntryKind::Stream => (outcome.is_good() && summary.entries.len() == 1).then_some(summary.bytes_total),
        _ => Some(entry.size()),
    };
    let mut object = json!({ "path": entry.path.as_str(), "kind": kind, "size": size });
    let (word, more) = match outcome {
        Outcome::Placed => ("placed", Value::Null),
        Outcome::PlacedAs(path) => ("placed_as", json!(path.as_str())),
        Outcome::Equal => ("equal", Value::Null),
        Outcome::Unchanged => ("unchanged", Value::Null),
        Outcome::Skipped => ("skipped", Value::Null),
        Outcome::Replaced => ("replaced", Value::Null),
        Outcome::Failed(fault) => ("failed", json!(fault.text.as_raw())),
    };
    object["outcome"] = json!(word);
    if !more.is_null() {
        object[if word == "failed" { "error" } else { "as" }] = more;
    }
    object
}

/// What is kept of a transfer that stopped half-way; empty where nothing is.
pub fn kept(progress: &Progress) -> String {
    match progress.bytes_kept + progress.bytes_safe {
        0 => String::new(),
        kept => format!(
            "kept so far: {} of {}; type the same again to go on from there",
            bytes(kept),
            bytes(progress.bytes.max(kept))
        ),
    }
}
