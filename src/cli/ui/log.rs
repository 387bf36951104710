//! A hub's log: a line for each event, or an object for programs.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::printer::Printer;
use super::units::{bytes, moment};
use crate::base::fault::Fault;
use crate::base::path::{Name, RelPath};
use crate::base::text::escape;
use crate::hub::event::{Event, Guest, Moved, NAMED};
use crate::hub::events::Happened;
use crate::hub::status::Way;
use crate::node::serve::now;

/// One line of the log: a word for what happened, the rest of it for people, its fields for programs.
#[derive(Debug)]
struct Line {
    word: &'static str,
    text: String,
    fields: Value,
}

/// Keeps a hub's log.
#[derive(Debug)]
pub struct Log {
    printer: Printer,
}

impl Log {
    /// A log that is printed where this printer prints; a reader that stops it does not stop the printer.
    pub fn new(printer: &Printer) -> Self {
        Self { printer: printer.apart() }
    }

    /// Prints events until the hub has ended. Blocks, for as long as whoever reads it does.
    pub fn run(self, events: Happened) {
        for event in events {
            let at = now();
            let line = line(&event);
            self.printer.result(&human(&line, at), || object(&line, at));
        }
    }
}

/// What happened comes first, in a word of ours: nothing that a peer is called can look like it.
fn human(line: &Line, at: u64) -> String {
    escape(&format!("{}  {:<12}  {}", moment(at), line.word, line.text)).into_owned()
}

fn object(line: &Line, at: u64) -> Value {
    let mut object = json!({ "event": line.word, "at": at });
    if let (Some(object), Some(fields)) = (object.as_object_mut(), line.fields.as_object()) {
        object.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    object
}

fn line(event: &Event) -> Line {
    match event {
        Event::Listening { name, id, dir, port } => listening((name.to_string(), name.as_raw()), id, dir, *port),
        Event::Connected { guest, address } => of("connected", guest, "", from(address), address_of(address)),
        Event::Disconnected { guest, after } => {
            let seconds = after.as_secs_f64();
            of("disconnected", guest, "", format!(" after {seconds:.1} s"), json!({ "seconds": seconds }))
        }
        Event::Joined { guest, rank } => {
            of("joined", guest, "", format!(" as {}", rank.as_str()), json!({ "role": rank.as_str() }))
        }
        Event::JoinRefused { guest, fault } => of("join_refused", guest, "", because(fault), why(fault)),
        Event::Left { guest } => of("left", guest, "", String::new(), json!({})),
        Event::Received(file) => moved("received", "from", file),
        Event::Sent(file) => moved("sent", "to", file),
        Event::Removed { guest, path, files } => {
            let what = format!("{path} ({files} files) by ");
            of("removed", guest, &what, String::new(), json!({ "path": path, "files": files }))
        }
        Event::Renamed { guest, from, to } => {
            let what = format!("{from} to {to} by ");
            of("moved", guest, &what, String::new(), json!({ "from": from, "to": to }))
        }
        Event::FolderMade { guest, path } => {
            of("folder_made", guest, &format!("{path} by "), String::new(), json!({ "path": path }))
        }
        Event::Restored { guest, path, version } => {
            let version = version.map(|version| version.to_string());
            let fields = json!({ "path": path, "version": version });
            of("restored", guest, &format!("{path} by "), String::new(), fields)
        }
        Event::Refused { guest, verb, path, fault } => refused(guest, verb, path.as_ref(), fault),
        Event::Appeared { path, size } => Line {
            word: "appeared",
            text: format!("{path} ({}), by hand", bytes(*size)),
            fields: json!({ "path": path, "size": size }),
        },
        Event::Vanished { path } => {
            Line { word: "vanished", text: format!("{path}, by hand"), fields: json!({ "path": path }) }
        }
        Event::Managed { what } => Line { word: "managed", text: what.clone(), fields: json!({ "what": what }) },
        Event::Failed { guest, fault } => of("failed", guest, "", because(fault), why(fault)),
        Event::Whole { guest, way, path, files, bytes } => whole(guest, *way, path.as_ref(), (*files, *bytes)),
        Event::Missed { events } => Line {
            word: "missed",
            text: format!("{events} events, as this log was not read fast enough"),
            fields: json!({ "events": events }),
        },
        Event::Trouble(fault) => Line { word: "trouble", text: fault.to_string(), fields: why(fault) },
        Event::Closed { address, reason } => Line {
            word: "closed",
            text: format!("a connection from {}: {reason}", address.ip()),
            fields: json!({ "address": address.to_string(), "reason": reason.as_raw() }),
        },
    }
}

fn listening((shown, name): (String, &str), id: &crate::base::id::PeerId, dir: &Path, port: u16) -> Line {
    let dir = dir.display().to_string();
    Line {
        word: "listening",
        text: format!("{shown}~{} at port {port}, {dir}", id.short()),
        fields: json!({ "name": name, "id": id.to_string(), "short": id.short(), "port": port, "dir": dir }),
    }
}

/// Something that a device did; its fields and those given.
fn of(word: &'static str, guest: &Guest, before: &str, after: String, fields: Value) -> Line {
    let mut all = json!({
        "peer": { "name": guest.name.as_raw(), "id": guest.id.to_string() },
        "account": guest.account,
    });
    if let (Some(all), Value::Object(fields)) = (all.as_object_mut(), fields) {
        all.extend(fields);
    }
    Line { word, text: format!("{before}{}{after}", shown(guest)), fields: all }
}

fn moved(word: &'static str, way: &str, file: &Moved) -> Line {
    let digest = file.digest.map(|digest| digest.to_string());
    let short = digest.as_deref().and_then(|digest| digest.get(..16)).unwrap_or("-");
    let what = format!("{} ({}) {way} ", file.path, bytes(file.size));
    let fields = json!({ "path": file.path, "size": file.size, "digest": digest });
    of(word, &file.guest, &what, format!(", digest {short}"), fields)
}

fn whole(guest: &Guest, way: Way, path: Option<&RelPath>, (files, size): (u64, u64)) -> Line {
    let (word, preposition) = match way {
        Way::In => ("received_all", "from"),
        Way::Out => ("sent_all", "to"),
    };
    let path_shown = path.map(|path| format!(" of {path}")).unwrap_or_default();
    let what = format!("{files} files{path_shown} ({}) {preposition} ", bytes(size));
    let fields = json!({ "path": path, "files": files, "bytes": size });
    of(word, guest, &what, format!("; the first {NAMED} are named above"), fields)
}

fn refused(guest: &Guest, verb: &str, path: Option<&RelPath>, fault: &Fault) -> Line {
    let mut fields = why(fault);
    fields["verb"] = json!(verb);
    fields["path"] = json!(path);
    let what = path.map_or_else(|| format!("{verb} for "), |path| format!("{verb} {path} for "));
    of("refused", guest, &what, because(fault), fields)
}

fn shown(guest: &Guest) -> String {
    let account = guest.account.as_ref().map_or_else(|| "a stranger".to_owned(), Name::to_string);
    format!("{account} at {}~{}", guest.name, guest.id.short())
}

fn because(fault: &Fault) -> String {
    format!(": {fault}")
}

fn why(fault: &Fault) -> Value {
    json!({ "kind": fault.kind.as_str(), "error": fault.text.as_raw() })
}

fn from(address: &SocketAddr) -> String {
    format!(" from {}", address.ip())
}

fn address_of(address: &SocketAddr) -> Value {
    json!({ "address": address.to_string() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::base::digest::EntryDigest;
    use crate::base::fault::FaultKind;
    use crate::base::id::PeerId;
    use crate::base::text::{PeerText, is_deceptive};
    use crate::wire::hub::{Rank, VersionId};

    /// Every kind of event, all of its texts being `text`, or what can be made a path of it.
    fn events(text: &str) -> Vec<Event> {
        let name = Name::from_local(text).0;
        let path = RelPath::parse(&format!("shared/{}", name.as_str())).unwrap();
        let id = PeerId::of_public_key(&[1; 32]);
        let guest = Guest { id, name: PeerText::new(text), account: Some(name) };
        let address = "[fe80::1%3]:9".parse().unwrap();
        let fault = Fault::new(FaultKind::NotPermitted, text);
        let digest = Some(EntryDigest([7; 32]));
        let file = Moved { guest: guest.clone(), path: path.clone(), size: 5, digest };
        let whole = |way| Event::Whole { guest: guest.clone(), way, path: Some(path.clone()), files: 101, bytes: 5 };
        vec![
            Event::Listening { name: text.into(), id, dir: text.into(), port: 1 },
            Event::Connected { guest: guest.clone(), address },
            Event::Disconnected { guest: guest.clone(), after: Duration::from_secs(1) },
            Event::Joined { guest: guest.clone(), rank: Rank::Member },
            Event::JoinRefused { guest: guest.clone(), fault: fault.clone() },
            Event::Left { guest: guest.clone() },
            Event::Received(file.clone()),
            Event::Sent(file),
            Event::Removed { guest: guest.clone(), path: path.clone(), files: 2 },
            Event::Renamed { guest: guest.clone(), from: path.clone(), to: path.clone() },
            Event::FolderMade { guest: guest.clone(), path: path.clone() },
            Event::Restored { guest: guest.clone(), path: path.clone(), version: Some(VersionId::new()) },
            Event::Refused { guest: guest.clone(), verb: "push", path: Some(path.clone()), fault: fault.clone() },
            Event::Appeared { path: path.clone(), size: 5 },
            Event::Vanished { path: path.clone() },
            Event::Managed { what: text.to_owned() },
            whole(Way::In),
            whole(Way::Out),
            Event::Missed { events: 3 },
            Event::Failed { guest: guest.clone(), fault: fault.clone() },
            Event::Trouble(fault),
            Event::Closed { address, reason: text.into() },
        ]
    }

    proptest! {
        #[test]
        fn no_line_of_the_log_deceives(text in any::<String>()) {
            for event in events(&text) {
                let shown = human(&line(&event), 0);
                prop_assert!(!shown.chars().any(is_deceptive), "{shown:?}");
            }
        }
    }

    #[test]
    fn programs_get_the_text_as_it_came_and_every_event_has_its_word() {
        let text = "a\u{1b}[2J\n\u{202e}b";
        let mut words: Vec<String> = Vec::new();
        for event in events(text) {
            let object = object(&line(&event), 7);
            assert_eq!(object["at"], 7, "{object}");
            if let Some(name) = object["peer"]["name"].as_str() {
                assert_eq!(name, text);
                assert!(object["account"].is_string(), "{object}");
            }
            words.push(object["event"].as_str().unwrap().to_owned());
        }
        let count = words.len();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), count, "{words:?}");
    }

    #[test]
    fn what_came_is_told_with_account_device_path_size_and_digest() {
        let event = &events("notes")[6];
        let line = line(event);
        let id = PeerId::of_public_key(&[1; 32]).short();
        let told = format!("shared/notes (5 B) from notes at notes~{id}, digest 0707070707070707");
        assert_eq!(line.text, told);
        assert_eq!(line.fields["digest"], "07".repeat(32));
        assert_eq!((&line.fields["path"], &line.fields["size"]), (&json!("shared/notes"), &json!(5)));
    }
}
