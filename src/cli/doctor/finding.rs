//! What the doctor finds, and how it is told.

use serde_json::json;

use crate::base::text::escape;
use crate::cli::outcome::Exit;
use crate::cli::ui::printer::Printer;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    /// The program and who it is.
    Node,
    /// Our files and the folder that receives.
    Files,
    /// What a node is kept from by the kernel.
    Confinement,
    /// Interfaces, ports, the clock.
    Network,
    /// Finding others.
    Discovery,
    /// The peer that was asked about.
    Peer,
}

impl Area {
    fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Files => "files",
            Self::Confinement => "confinement",
            Self::Network => "network",
            Self::Discovery => "discovery",
            Self::Peer => "peer",
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// All is well.
    Ok,
    /// It works; this may be worth knowing.
    Note,
    /// It does not work; a command that needs it would end so.
    Wrong(Exit),
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Wrong(_) => "wrong",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) area: Area,
    pub(super) level: Level,
    /// What is so, in plain words.
    pub(super) text: String,
    /// What to type or do; empty where nothing is to be done.
    pub(super) hint: String,
}

impl Finding {
    /// All is well with it.
    pub(super) fn ok(area: Area, text: impl Into<String>) -> Self {
        Self { area, level: Level::Ok, text: text.into(), hint: String::new() }
    }

    /// It works, and is worth knowing.
    pub(super) fn note(area: Area, text: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::ok(area, text) }
    }

    /// It does not work.
    pub(super) fn wrong(area: Area, exit: Exit, text: impl Into<String>) -> Self {
        Self { level: Level::Wrong(exit), ..Self::ok(area, text) }
    }

    /// With what to type.
    #[must_use]
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// Tells it. What a peer or a file system named cannot steer the screen.
    pub(super) fn tell(&self, printer: &Printer) {
        let (level, area) = (self.level.as_str(), self.area.as_str());
        printer.line(&format!("{level:<5}  {area:<11}  {}", escape(&self.text)));
        if !self.hint.is_empty() {
            printer.line(&format!("{:<20}→ {}", "", escape(&self.hint)));
        }
        printer.object(
            || json!({ "event": "finding", "area": area, "level": level, "text": self.text, "hint": self.hint }),
        );
    }
}

/// Tells how many findings there are of each kind, and says how the command ends: as the first thing that is
/// wrong with the peer says, else the first that is wrong here.
pub(super) fn conclude(findings: &[Finding], printer: &Printer) -> Exit {
    let wrong = |area: Option<Area>| {
        findings.iter().find_map(|finding| match finding.level {
            Level::Wrong(exit) if area.is_none_or(|area| area == finding.area) => Some(exit),
            _ => None,
        })
    };
    let exit = wrong(Some(Area::Peer)).or_else(|| wrong(None)).unwrap_or(Exit::Done);
    let count = |level: fn(Level) -> bool| findings.iter().filter(|finding| level(finding.level)).count();
    let (bad, notes) = (count(|level| matches!(level, Level::Wrong(_))), count(|level| level == Level::Note));
    let told = match (bad, notes) {
        (0, 0) => "all is well".to_owned(),
        (0, _) => format!("all is well; worth knowing: {notes}"),
        _ => format!("wrong: {bad}; worth knowing: {notes}"),
    };
    printer.result(
        &told,
        || json!({ "event": "doctor", "well": bad == 0, "wrong": bad, "notes": notes, "code": exit as u8 }),
    );
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_peer_decides_how_it_ends() {
        let printer = Printer::silent();
        let here = Finding::wrong(Area::Files, Exit::NotPermitted, "");
        let there = Finding::wrong(Area::Peer, Exit::Unreachable, "");
        let note = Finding::note(Area::Network, "");
        assert_eq!(conclude(&[note.clone(), here.clone(), there], &printer), Exit::Unreachable);
        assert_eq!(conclude(&[note.clone(), here], &printer), Exit::NotPermitted);
        assert_eq!(conclude(&[note, Finding::ok(Area::Peer, "")], &printer), Exit::Done);
    }
}
