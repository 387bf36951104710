//! Ctrl-C and other signals: a node says good-bye, a sender says what is kept.

use crate::house::dam::Dam;
use crate::house::home::Home;
use crate::house::process::{Process, Stream};
use crate::house::{noise, until};
use rustix::process::Signal;

#[test]
fn every_signal_that_ends_a_node_ends_it_with_a_good_bye() {
    let watcher = Home::new("watcher");
    let live = |short: &str| {
        let seen = watcher.run(&["peers"]).done().objects();
        seen.iter().any(|peer| peer["short"] == *short && peer["state"] == "live")
    };
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let home = Home::new("alice");
        let node = home.up_for_all();
        let short = node.short().to_owned();
        until("it is seen", || live(&short).then_some(()));
        let process = node.process();
        process.signal(signal);
        process.end().done();
        assert!(!live(&short), "{signal:?}: it is gone and still seen");
    }
}

#[test]
fn a_watcher_is_told_who_comes_and_who_leaves() {
    let (watcher, alice) = (Home::new("watcher"), Home::new("alice"));
    let watching = watcher.start(&["peers", "--watch"]);
    let node = alice.up_for_all();
    let told = |event: &str| {
        let (event, id) = (format!("\"event\":\"{event}\""), node.up["id"].to_string());
        watching.wait_for(Stream::Out, &event, |line| (line.contains(&event) && line.contains(&id)).then_some(()));
    };
    told("joined");
    let id = node.up["id"].to_string();
    let process = node.process();
    process.signal(Signal::INT);
    process.end().done();
    let left = |line: &str| (line.contains("\"event\":\"left\"") && line.contains(&id)).then_some(());
    watching.wait_for(Stream::Out, "left", left);
    watching.signal(Signal::INT);
    watching.end().done();
}

#[test]
fn a_sender_that_is_interrupted_tells_what_is_kept_and_what_to_type() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("big", noise(1, 12 << 20));
    // The first try leaves something; the second knows of it as soon as it sends more.
    let dam = Dam::before(node.port(), 4 << 20);
    let pushing = bob.start(&["push", "big", &dam.at()]);
    until("something is staged", || super::survive::staged(&alice).filter(|bytes| *bytes > 1 << 20));
    pushing.kill();
    // Only then is all of a try written.
    let kept_of = |tries| {
        until("the node has ended it", || (node.events("failed").len() == tries).then_some(()));
        super::survive::staged(&alice).unwrap()
    };
    let first = kept_of(1);
    let dam = Dam::before(node.port(), 6 << 20);
    let pushing = Process::start(bob.command(&["push", "big", &dam.at()]));
    until("more is staged", || super::survive::staged(&alice).filter(|bytes| *bytes > first + (1 << 20)));
    pushing.signal(Signal::INT);
    let ran = pushing.end().exits(130);
    assert!(ran.err.contains("kept so far") && ran.err.contains("type the same again"), "{}", ran.err);
    assert!(!ran.out.contains("verified"));
    assert!(!alice.path("inbox/big").exists());
    // Programs are told, too.
    let kept = kept_of(2);
    let dam = Dam::before(node.port(), 2 << 20);
    let pushing = bob.start(&["push", "big", &dam.at()]);
    until("more is staged", || super::survive::staged(&alice).filter(|bytes| *bytes > kept));
    pushing.signal(Signal::INT);
    let ran = pushing.end().exits(130);
    let told: serde_json::Value = serde_json::from_str(ran.err.lines().next_back().unwrap()).unwrap();
    assert!(told["kept"].as_u64().unwrap() > 1 << 20, "{told}");
    let pushed = bob.run(&["push", "big", &node.at()]).done().last();
    assert!(pushed["bytes_moved"].as_u64().unwrap() < 12 << 20, "{pushed}");
    assert!(alice.read("inbox/big") == noise(1, 12 << 20));
}

#[test]
fn a_sender_that_is_interrupted_before_the_answer_sends_nothing() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("a", "a");
    // Not even the greeting gets through.
    let dam = Dam::before(node.port(), 0);
    let pushing = bob.start(&["push", "a", &dam.at()]);
    dam.is_dialled();
    pushing.signal(Signal::TERM);
    let told = pushing.end().exits(130).failure();
    assert!(told.contains("nothing was sent"), "{told}");
    assert!(alice.tree("inbox").is_empty());
}

#[test]
fn a_node_that_ends_in_the_middle_keeps_what_it_has() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("big", noise(2, 12 << 20));
    let dam = Dam::before(node.port(), 6 << 20);
    let pushing = bob.start(&["push", "big", &dam.at()]);
    until("something is staged", || super::survive::staged(&alice).filter(|bytes| *bytes > 1 << 20));
    let process = node.process();
    process.signal(Signal::INT);
    process.end().done();
    let told = pushing.end().exits(4).failure();
    assert!(told.contains("type the same again"), "{told}");
    let node = alice.up_for_all();
    let pushed = bob.run(&["push", "big", &node.at()]).done().last();
    assert!(pushed["bytes_moved"].as_u64().unwrap() < 12 << 20, "{pushed}");
    assert!(alice.read("inbox/big") == noise(2, 12 << 20));
}
