//! What a running node shows, and the questions it asks.

use std::collections::VecDeque;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::bars;
use super::printer::Printer;
use super::prompt::Keyboard;
use super::units::count;
use crate::base::book::Trust;
use crate::base::fault::{Fault, FaultKind};
use crate::cli::report;
use crate::flow::greet::Peer;
use crate::flow::pair::Agreement;
use crate::node::event::{Event, Offered, PairingAsked, Reply, Side, Way};
use crate::node::policy::GONE;

/// Shows a node's events, and puts its questions to the person one after the other.
#[derive(Debug)]
pub struct Door {
    printer: Printer,
    keyboard: Option<Keyboard>,
}

/// A question, as it is put to a person.
struct Question {
    lines: Vec<String>,
    prompt: String,
    answers: &'static [(&'static str, Reply)],
    withdrawn: String,
    answer: oneshot::Sender<Reply>,
}

/// What to do about a disk that takes nothing more.
const MAKE_ROOM: &str = "make room; the same command there goes on from what came, only a pipe starts over";

/// What to do about a folder that is gone: the node has that one open, and no other.
const MAKE_AGAIN: &str = "make it again, or name another, and start ftx up again";

const OFFER: &[(&str, Reply)] = &[("yes", Reply::Accept), ("no", Reply::Decline), ("trust", Reply::AcceptAndTrust)];
const PAIR: &[(&str, Reply)] = &[("yes", Reply::AcceptAndTrust), ("no", Reply::Decline)];

impl Door {
    /// A door; without a keyboard nobody is asked.
    pub fn new(printer: Printer, keyboard: Option<Keyboard>) -> Self {
        Self { printer, keyboard }
    }

    /// Shows what happens until the node has ended.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let mut questions = VecDeque::new();
        loop {
            let Some(question) = questions.pop_front() else {
                match events.recv().await {
                    Some(event) => show(&self.printer, event, &mut questions),
                    None => return,
                }
                continue;
            };
            let asked = ask(&self.printer, &mut self.keyboard, question);
            tokio::pin!(asked);
            loop {
                tokio::select! {
                    () = &mut asked => break,
                    event = events.recv() => match event {
                        Some(event) => show(&self.printer, event, &mut questions),
                        None => return,
                    },
                }
            }
        }
    }
}

/// Puts one question. The sender may give up before it is answered.
async fn ask(printer: &Printer, keyboard: &mut Option<Keyboard>, mut question: Question) {
    let Some(keyboard) = keyboard else { return };
    if question.answer.is_closed() {
        return;
    }
    question.lines.iter().for_each(|line| printer.note(line));
    let reply = tokio::select! {
        reply = keyboard.ask(printer, &question.prompt, question.answers) => reply,
        () = question.answer.closed() => {
            printer.note("");
            printer.note(&question.withdrawn);
            return;
        }
    };
    // The terminal is gone: nobody said yes.
    let _ = question.answer.send(reply.unwrap_or(Reply::Decline));
}

fn show(printer: &Printer, event: Event, questions: &mut VecDeque<Question>) {
    match event {
        Event::Offered(offered) => {
            printer.object(|| offer_object(&offered));
            questions.push_back(offer_question(offered));
        }
        Event::Pairing(asked) => questions.push_back(pairing_question(asked)),
        Event::Paired { peer, compared } => {
            let trusted = compared.ours == Agreement::Agreed && compared.theirs == Agreement::Agreed;
            let line = match (&compared.theirs, trusted) {
                (_, true) => format!("{} is trusted now; you trust each other", shown(&peer)),
                (Agreement::Refused(fault), _) => format!("{} is not trusted: {fault}", shown(&peer)),
                _ => format!("{} is not trusted", shown(&peer)),
            };
            printer.result(&line, || json!({ "event": "paired", "peer": report::peer(&peer), "trusted": trusted }));
        }
        Event::Met { peer, words } => {
            printer.object(|| report::first_contact(&peer, &words));
            printer.line(&format!("first contact with {}", shown(&peer)));
            printer.line(&report::key_words(&words, &peer));
        }
        Event::Moving { peer, way, progress } => {
            let arrow = if way == Way::In { "←" } else { "→" };
            // It ends by itself with the transfer.
            drop(bars::draw(printer, format!("{arrow} {}", peer.name), progress));
        }
        Event::Received { peer, summary, took } => {
            report::exceptions(printer, &summary, &[]);
            let verdict = report::verdict(&summary, &[]).as_str();
            let line = format!("← {}: {verdict}: {}", shown(&peer), report::line(&summary, took));
            report::finished(printer, &line, ("received", &peer), (&summary, &[]), took);
        }
        Event::Served { peer, summary, passed, took } => {
            report::exceptions(printer, &summary, &passed);
            let line = format!("→ {}: {}", shown(&peer), report::line(&summary, took));
            report::finished(printer, &line, ("served", &peer), (&summary, &passed), took);
        }
        Event::Refused { peer, told } => {
            let line = format!("refused {}, which was told: {told}", shown(&peer));
            failed(printer, &line, (&peer, &told), hint(&told, Side::Here), true);
        }
        Event::Failed { peer, fault, side } => {
            let line = format!("{}: {fault}", shown(&peer));
            failed(printer, &line, (&peer, &fault), hint(&fault, side), false);
        }
        Event::Closed { address, reason } => {
            printer.result(
                &format!("closed a connection from {}: {reason}", address.ip()),
                || json!({ "event": "closed", "address": address.to_string(), "reason": reason }),
            );
        }
    }
}

/// What to do here about what failed.
fn hint(fault: &Fault, side: Side) -> &'static str {
    match (side, fault.kind) {
        (Side::Here, FaultKind::Disk) if fault.text.as_raw() == GONE => MAKE_AGAIN,
        (Side::Here, FaultKind::Disk) => MAKE_ROOM,
        _ => "",
    }
}

fn failed(printer: &Printer, line: &str, (peer, fault): (&Peer, &Fault), hint: &str, refused: bool) {
    printer.result(line, || {
        let (peer, kind, error) = (report::peer(peer), fault.kind.as_str(), fault.text.as_raw());
        json!({ "event": "failed", "peer": peer, "kind": kind, "error": error, "hint": hint, "refused": refused })
    });
    if !hint.is_empty() {
        printer.note(&format!("     {hint}"));
    }
}

fn shown(peer: &Peer) -> String {
    format!("{}~{}", peer.name, peer.id().short())
}

fn offer_question(offered: Offered) -> Question {
    let Offered { peer, trust, words, entries, into, answer } = offered;
    let files = entries.iter().filter(|entry| entry.has_bytes()).count();
    let who = shown(&peer);
    let mut lines = vec![
        String::new(),
        format!(
            "{who} ({}) offers {}, {}, into {into}:",
            trust.as_str(),
            count(files, "file", "files"),
            report::amount(entries.bytes(), report::size(&entries).is_none())
        ),
    ];
    lines.extend(report::offer(&entries).into_iter().map(|line| format!("    {line}")));
    if trust < Trust::Trusted {
        lines.push(format!("  key words: {words}   (the same four must be on {}'s screen)", peer.name));
    }
    Question {
        lines,
        prompt: match trust {
            Trust::Trusted => "  accept? [y] yes  [n] no: ".to_owned(),
            _ => format!("  accept? [y] yes  [n] no  [t] yes, and trust {} from now on: ", peer.name),
        },
        answers: if trust == Trust::Trusted { &OFFER[..2] } else { OFFER },
        withdrawn: format!("{who} does not wait any longer"),
        answer,
    }
}

fn pairing_question(asked: PairingAsked) -> Question {
    let PairingAsked { peer, words, answer } = asked;
    let who = shown(&peer);
    Question {
        lines: vec![String::new(), format!("{who} wants to compare key words:  {words}")],
        prompt: format!("  are the same four on {}'s screen, and do you trust it? [y] yes  [n] no: ", peer.name),
        answers: PAIR,
        withdrawn: format!("{who} does not wait any longer"),
        answer,
    }
}

fn offer_object(offered: &Offered) -> serde_json::Value {
    json!({
        "event": "offered",
        "peer": report::peer(&offered.peer),
        "trust": offered.trust.as_str(),
        "key_words": offered.words.to_string(),
        "bytes": report::size(&offered.entries),
        "files": offered.entries.iter().filter(|entry| entry.has_bytes()).count(),
    })
}
