//! Who is accepted where nobody can be asked.

use crate::house::home::Home;
#[cfg(target_os = "linux")]
use crate::house::{process::Stream, terminal::Terminal};

/// Pushes to a node that runs with `args`, which declines; what was told.
#[track_caller]
fn declined(args: &[&str]) -> String {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up(args);
    bob.write("a", "a");
    let ran = bob.run(&["push", "a", &node.at()]).exits(5);
    assert!(ran.out.is_empty(), "{}", ran.out);
    assert!(alice.tree("inbox").is_empty(), "{:?}", alice.tree("inbox"));
    let failed = node.event("failed");
    assert_eq!((&failed["kind"], &failed["peer"]["name"]), (&"declined".into(), &bob.name().into()));
    assert_eq!((&failed["refused"], &failed["hint"]), (&true.into(), &"".into()), "{failed}");
    ran.failure()
}

#[test]
fn without_a_terminal_nobody_is_asked_and_everything_is_declined() {
    let told = declined(&[]);
    assert!(told.contains("nobody is at its terminal"), "{told}");
    let told = declined(&["--accept", "ask"]);
    assert!(told.contains("--accept"), "the way out is named: {told}");
}

#[cfg(target_os = "linux")]
#[test]
fn at_a_terminal_a_person_is_asked_and_the_sender_hears_who() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    bob.write("a", "a");
    let mut terminal = Terminal::start(alice.command(&["up", "--port", "0", "--dir", "inbox"]));
    let screen = terminal.shows("  receives  ");
    let port = screen.split("port ").nth(1).unwrap().split_whitespace().next().unwrap();
    let pushing = bob.start(&["push", "a", &format!("[127.0.0.1:{port}]")]);
    pushing.wait_for(Stream::Out, "asking", |line| line.contains("asking").then_some(()));
    assert!(alice.tree("inbox").is_empty(), "{:?}", alice.tree("inbox"));
    terminal.shows("accept?");
    terminal.types("y");
    let told = pushing.end().done().objects();
    let events: Vec<_> = told.iter().map(|object| object["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["asking", "pushed"], "{told:?}");
    assert_eq!((&told[0]["peer"], &told[0]["peer"]["name"]), (&told[1]["peer"], &alice.name().into()));
    assert!(terminal.screen().contains(told[0]["key_words"].as_str().unwrap()), "{told:?}");
    assert_eq!(alice.read("inbox/a"), b"a");
}

#[test]
fn a_node_that_accepts_nothing_declines() {
    let told = declined(&["--accept", "none"]);
    assert!(told.contains("nothing is accepted"), "{told}");
    assert!(!told.contains("ftx trust"), "that would help nothing: {told}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_peer_was_told_is_not_said_to_ones_own_screen_as_if_it_were_meant_for_it() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    bob.write("a", "a");
    let (mut terminal, at) = crate::terminal::up_at_terminal(&alice, &[]);
    let pushing = bob.start(&["push", "a", &at]);
    terminal.shows("accept?");
    terminal.types("n");
    let told = pushing.end().exits(5).failure();
    assert!(told.contains("declined") && !told.contains("say yes") && !told.contains("ftx trust"), "{told}");
    terminal.shows(&format!("refused {}~", bob.name()));
}

/// A node has its folder open: one that is made again in its place is another.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_was_removed_while_the_node_runs_is_named_as_the_cause() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("a", "a");
    alice.remove("inbox");
    let told = bob.run(&["push", "a", &node.at()]).exits(9).failure();
    assert!(told.contains("the folder that receives is gone there") && !told.contains("room"), "{told}");
    let failed = node.event("failed").to_string();
    assert!(failed.contains("is gone") && failed.contains("start ftx up again"), "{failed}");
}

#[test]
fn strangers_and_known_peers_are_not_trusted_ones() {
    let told = declined(&["--accept", "trusted"]);
    assert!(told.contains("only trusted peers"), "{told}");

    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    bob.write("a", "a");
    // Met once, and so known; that is not enough.
    let node = alice.up_for_all();
    bob.run(&["push", "a", &node.at()]).done();
    drop(node);
    let node = alice.up(&["--accept", "trusted"]);
    bob.write("b", "b");
    bob.run(&["push", "b", &node.at()]).exits(5).failure();

    let bobs = bob.up(&["--accept", "none"]);
    alice.run(&["trust", "--yes", &bobs.at()]).done();
    bob.run(&["push", "b", &node.at()]).done();
    assert_eq!(alice.tree("inbox"), ["a", "b"]);
}

#[test]
fn trusting_without_a_terminal_needs_yes_and_makes_no_friend_of_the_other_side() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.run(&["trust", &node.at()]).exits(2).failure();
    let trusted = bob.run(&["trust", "--yes", &node.at()]).done().last();
    assert_eq!((&trusted["event"], &trusted["mutual"]), (&"trusted".into(), &false.into()));
    let trust = |home: &Home, name: &str| {
        let seen = home.run(&["peers"]).done().objects();
        seen.into_iter().find(|peer| peer["name"] == *name).map(|peer| peer["trust"].as_str().unwrap().to_owned())
    };
    assert_eq!(trust(&bob, alice.name()).as_deref(), Some("trusted"));
    assert_ne!(trust(&alice, bob.name()).as_deref(), Some("trusted"));
}
