//! Names, reasons and versions that would steer a terminal, turn a line around or hide what it says: none
//! reaches a screen, a log or an object as it is, whoever says it and whatever shows it.

mod files;
mod hubs;
mod peers;

use ftx::base::fault::{Fault, FaultKind};
use ftx::base::path::RelPath;
use ftx::base::text::is_deceptive;
use ftx::wire::hello::Hello;

use crate::house::home::Home;
use crate::house::hostile::Hostile;
use crate::house::process::{Process, Ran};

/// What somebody calls himself, or says. No longer than a name may be.
pub(crate) const NASTY: &str =
    "evil\u{1b}]0;x\u{7}\u{1b}[31m\u{9b}2J\u{202e}\u{200d}\u{feff}\u{e0041}\u{fe0f}\u{2028}\u{ad}\r\n\tx";

/// The same for a path or an account, which have no controls on the wire.
pub(crate) const ODD: &str = "evil\u{202e}\u{200d}\u{feff}\u{e0041}\u{fe0f}\u{2028}\u{ad}\u{2066}x";

/// What is to be seen of either: an escape comes next, for people and for programs.
const SEEN: &str = "evil\\";

fn nasty() -> Fault {
    Fault::new(FaultKind::Other, NASTY)
}

fn odd(more: &str) -> RelPath {
    RelPath::parse(&format!("{ODD}{more}")).unwrap()
}

/// A greeting in which everything is nasty.
fn greeting(peer: &Hostile) -> Hello {
    Hello { name: NASTY.into(), software: NASTY.into(), ..peer.hello() }
}

/// That nothing in a text deceives, beside the ends of its lines.
#[track_caller]
fn check_clean(text: &str) {
    let bad: Vec<char> = text.chars().filter(|c| is_deceptive(*c) && *c != '\n').collect();
    assert!(bad.is_empty(), "{bad:?} in:\n{}", text.escape_debug());
}

/// The same of a screen, on which ftx itself may move the cursor, clear and draw bars; never colours or titles.
#[track_caller]
fn check_screen(screen: &str) {
    let mut plain = String::new();
    let mut parts = screen.split('\u{1b}');
    plain.push_str(parts.next().unwrap());
    for part in parts {
        let rest = part.strip_prefix('[').unwrap_or_else(|| panic!("{}", screen.escape_debug()));
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ';' | '?'));
        assert!(rest.starts_with(['A', 'B', 'C', 'D', 'G', 'H', 'J', 'K', 'l', 'h']), "{}", screen.escape_debug());
        plain.push_str(&rest[1..]);
    }
    check_clean(&plain.replace('\r', ""));
}

/// That what a command said is clean, and that what is nasty can be seen in it.
#[track_caller]
fn check(ran: &Ran) {
    for text in [&ran.out, &ran.err] {
        check_clean(text);
    }
    assert!(ran.out.contains(SEEN) || ran.err.contains(SEEN), "nothing nasty was shown at all: {ran:?}");
}

/// Runs a command for people, quite talkative, and for programs, and checks both.
#[track_caller]
fn check_both(home: &Home, args: &[&str]) -> [Ran; 2] {
    let plain = home.run_plain(&[args, &["-v"]].concat());
    let object = home.run(args);
    check(&plain);
    check(&object);
    [plain, object]
}

/// Starts a command in both forms, one after the other: `-v` makes it talkative, `--json` is for programs.
fn forms<'a>(home: &'a Home, args: &'a [&'a str]) -> impl Iterator<Item = Process> + 'a {
    ["-v", "--json"].into_iter().map(|form| {
        let mut command = home.command(args);
        command.arg(form);
        Process::start(command)
    })
}
