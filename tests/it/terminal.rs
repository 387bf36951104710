//! A person is asked: what is on the screen, and what each answer does.

use crate::house::dam::Dam;
use crate::house::home::Home;
use crate::house::noise;
use crate::house::process::{Process, Stream};
use crate::house::terminal::Terminal;
use rustix::process::Signal;

/// A node at a terminal, and where it is.
pub(crate) fn up_at_terminal(home: &Home, args: &[&str]) -> (Terminal, String) {
    let args: Vec<&str> = ["up", "--port", "0", "--dir", "inbox"].iter().chain(args).copied().collect();
    let terminal = Terminal::start(home.command(&args));
    let screen = terminal.shows("shares  ");
    let port: u16 = screen.split(", port ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    (terminal, format!("[127.0.0.1:{port}]"))
}

/// A push that a person will read about.
fn push(home: &Home, what: &[&str], to: &str) -> Process {
    let args: Vec<&str> = ["push"].iter().chain(what).chain([&to]).copied().collect();
    Process::start(home.command(&args))
}

/// The four words after `key words:` of some text.
#[track_caller]
fn key_words(text: &str) -> String {
    let after = text.split("key words: ").nth(1).unwrap_or_else(|| panic!("no key words: {text}"));
    let words = after.split("  ").next().unwrap().trim().to_owned();
    assert_eq!(words.split(' ').count(), 4, "{words}");
    words
}

pub(crate) const QUESTION: &str = "from now on: ";

#[test]
fn s6_croc_warpinator_the_question_shows_everything_and_the_same_words_as_the_senders_screen() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let (mut terminal, at) = up_at_terminal(&alice, &[]);
    bob.write("report.pdf", vec![7; 3 * 1024]);
    bob.write("photos/1.jpg", vec![1; 1024]);
    bob.write("photos/2.jpg", vec![2; 1024]);
    let pushing = push(&bob, &["report.pdf", "photos"], &at);
    let screen = terminal.shows(QUESTION);
    // Not somewhere above it.
    let question = &screen[screen.find(bob.name()).unwrap()..];
    for text in [
        bob.name(),
        "(stranger)",
        "3 files",
        "5.00 KiB",
        "report.pdf  (3.00 KiB)",
        "photos/  (2 files, 2.00 KiB)",
        &alice.path("inbox").display().to_string(),
    ] {
        assert!(question.contains(text), "{text:?} is not in:\n{question}");
    }
    assert!(alice.tree("inbox").is_empty(), "no byte before the consent");
    let words = pushing.wait_for(Stream::Err, "key words", |line| line.contains("key words").then(|| key_words(line)));
    assert_eq!(words, key_words(&screen));
    terminal.types("y");
    pushing.end().done();
    assert_eq!(alice.tree("inbox"), ["photos/", "photos/1.jpg", "photos/2.jpg", "report.pdf"]);
    terminal.shows("verified");
}

#[test]
fn no_declines_and_anything_else_asks_again() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let (mut terminal, at) = up_at_terminal(&alice, &[]);
    bob.write("a", "a");
    let pushing = push(&bob, &["a"], &at);
    terminal.shows(QUESTION);
    terminal.types("perhaps");
    terminal.shows_times(2, QUESTION);
    terminal.types("");
    terminal.shows_times(3, QUESTION);
    terminal.types("n");
    let ran = pushing.end().exits(5);
    assert!(ran.err.contains("declined"), "{}", ran.err);
    assert!(!ran.out.contains("verified"));
    assert!(alice.tree("inbox").is_empty());
}

#[test]
fn trust_is_for_good_and_spares_the_next_question() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let (mut terminal, at) = up_at_terminal(&alice, &[]);
    bob.write("a", "a");
    let pushing = push(&bob, &["a"], &at);
    terminal.shows(QUESTION);
    terminal.types("t");
    pushing.end().done();
    let peers = alice.run(&["peers"]).done().objects();
    let known = peers.iter().find(|peer| peer["name"] == *bob.name()).expect("bob is in the book");
    assert_eq!(known["trust"], "trusted");
    terminal.signal(Signal::INT);
    assert_eq!(terminal.end(), Some(0));

    let (terminal, at) = up_at_terminal(&alice, &["--accept", "trusted"]);
    bob.write("b", "b");
    push(&bob, &["b"], &at).end().done();
    assert_eq!(alice.tree("inbox"), ["a", "b"]);
    assert!(!terminal.screen().contains(QUESTION), "{}", terminal.screen());
}

#[test]
fn a_sender_that_is_gone_withdraws_its_question_and_the_node_lives_on() {
    let (bob, carol, alice) = (Home::new("bob"), Home::new("carol"), Home::new("alice"));
    let (mut terminal, at) = up_at_terminal(&alice, &[]);
    bob.write("a", "a");
    let pushing = push(&bob, &["a"], &at);
    terminal.shows(QUESTION);
    pushing.kill();
    terminal.shows("does not wait any longer");
    carol.write("c", "c");
    let pushing = push(&carol, &["c"], &at);
    terminal.shows_times(2, QUESTION);
    terminal.types("yes");
    pushing.end().done();
    assert_eq!(alice.tree("inbox"), ["c"]);
}

#[test]
fn s5_croc_cve_2023_43620_scp_cve_2019_6109_a_name_is_shown_and_not_obeyed() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let (mut terminal, at) = up_at_terminal(&alice, &[]);
    bob.write("invoice\u{202e}fdp.exe", "x");
    let pushing = push(&bob, &["invoice\u{202e}fdp.exe"], &at);
    let screen = terminal.shows(QUESTION);
    assert!(screen.contains("invoice\\u{202e}fdp.exe") && !screen.contains('\u{202e}'), "{screen}");
    terminal.types("y");
    let ran = pushing.end().done();
    assert!(!ran.out.contains('\u{202e}') && !ran.err.contains('\u{202e}'));
}

#[test]
fn comparing_words_makes_both_sides_trust_each_other() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let (mut alices, at) = up_at_terminal(&alice, &[]);
    let mut bobs = Terminal::start(bob.command(&["trust", &at]));
    let there = bobs.shows("screen? [y] yes");
    let here = alices.shows("wants to compare key words:");
    let words = |text: &str, after: &str| {
        let line = text.split(after).nth(1).unwrap().lines().next().unwrap();
        line.split(":  ").last().unwrap().trim().to_owned()
    };
    assert_eq!(words(&there, "key words with"), words(&format!("{here}\n"), "wants to compare"));
    alices.shows("do you trust it?");
    alices.types("y");
    bobs.types("y");
    bobs.shows("you trust each other");
    assert_eq!(bobs.end(), Some(0), "{}", bobs.screen());
    for (home, other) in [(&alice, &bob), (&bob, &alice)] {
        let peers = home.run(&["peers"]).done().objects();
        let peer = peers.iter().find(|peer| peer["name"] == *other.name()).expect("in the book");
        assert_eq!(peer["trust"], "trusted");
    }
}

/// What a terminal shows of this, without the escape sequences.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts
        .fold(first, |shown, part| shown + part.trim_start_matches(|c: char| !c.is_alphabetic()).get(1..).unwrap_or(""))
}

#[test]
fn a_bar_fits_a_narrow_terminal_and_is_gone_after_an_interruption() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("big", noise(1, 30 << 20));
    let dam = Dam::before(node.port(), 8 << 20);
    let mut terminal = Terminal::start_in(bob.command(&["push", "big", &dam.at(), "--connections", "1"]), 40);
    terminal.shows("→ alice");
    terminal.signal(Signal::INT);
    assert_eq!(terminal.end(), Some(130), "{}", terminal.screen());
    let screen = terminal.shows("ftx: interrupted");
    for line in screen.split(['\r', '\n']).filter(|line| line.contains('→')) {
        assert!(plain(line).chars().count() < 40, "{:?} is too wide", plain(line));
    }
    let (_, after) = screen.rsplit_once("→").unwrap();
    assert!(after.split('\n').next().unwrap().contains("\u{1b}[2K"), "the bar stays: {after:?}");
}
