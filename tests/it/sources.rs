//! What is sent changes while it is sent, or has times that no clock of today shows.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::house::dam::Dam;
use crate::house::home::{Home, Node};
use crate::house::noise;
use crate::house::process::Ran;
use crate::house::sluice::Sluice;
use crate::house::until;
use crate::survive::staged;

/// Bytes of what is changed: more than all buffers on the way hold.
const SIZE: usize = 24 << 20;

/// How much of it gets through before it is changed.
const THROUGH: u64 = 4 << 20;

/// Has a tree of three files pushed, and something done while the second is on its way: the third
/// has not been opened then. How it ended, and what is in the inbox.
fn push_while(change: impl FnOnce(&Home)) -> (Ran, Home, Home) {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("tree/1 before", "b");
    bob.write("tree/2 big", noise(1, SIZE));
    bob.write("tree/3 after", "a");
    let sluice = Sluice::before(node.port(), THROUGH);
    let pushing = bob.start(&["push", "tree", &sluice.at()]);
    sluice.is_full();
    change(&bob);
    sluice.open();
    let ran = pushing.end();
    let failed = node.events("failed");
    assert!(failed.is_empty(), "{failed:?}");
    node.event("received");
    (ran, bob, alice)
}

/// What a push tells of one entry.
fn outcome(ran: &Ran, path: &str) -> (String, String) {
    let last = ran.last();
    let entry = last["entries"].as_array().unwrap().iter().find(|entry| entry["path"] == path).unwrap().clone();
    (entry["outcome"].as_str().unwrap().to_owned(), entry["error"].as_str().unwrap_or_default().to_owned())
}

/// That one file of the tree failed for this reason, that all others are there, and that the same
/// again brings what is there now.
#[track_caller]
fn fails_alone(ran: Ran, (bob, alice): (&Home, &Home), file: &str, reason: &str) {
    let ran = ran.exits(8);
    let (outcome, error) = outcome(&ran, file);
    assert!(outcome == "failed" && error.contains(reason) && error.contains(file), "{outcome}: {error}");
    assert_eq!(ran.last()["verified"], false);
    assert!(ran.last()["hint"].as_str().unwrap().contains("type the same again"), "{ran:?}");
    assert!(ran.err.lines().all(|line| line.starts_with('{')), "for programs everything is an object: {}", ran.err);
    let others = ["tree/1 before", "tree/2 big", "tree/3 after"].into_iter().filter(|other| *other != file);
    let there: Vec<String> = ["tree/".to_owned()].into_iter().chain(others.map(str::to_owned)).collect();
    assert_eq!(alice.tree("inbox"), there, "nothing of it is placed, and nothing is left");

    let node = alice.up_for_all();
    bob.run(&["push", "tree", &node.at()]).done();
    for path in bob.tree("tree") {
        let path = format!("tree/{path}");
        assert!(alice.read(&format!("inbox/{path}")) == bob.read(&path), "{path}");
    }
}

fn open(home: &Home, path: &str) -> File {
    File::options().write(true).open(home.path(path)).unwrap()
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_is_told_and_not_placed() {
    let (ran, bob, alice) = push_while(|bob| open(bob, "tree/2 big").set_len(SIZE as u64 / 2).unwrap());
    fails_alone(ran, (&bob, &alice), "tree/2 big", "changed while it was being sent");
}

#[test]
fn a_file_that_grows_while_it_is_sent_is_told_and_not_placed() {
    let (ran, bob, alice) = push_while(|bob| {
        let mut file = File::options().append(true).open(bob.path("tree/2 big")).unwrap();
        file.write_all(b"more").unwrap();
    });
    fails_alone(ran, (&bob, &alice), "tree/2 big", "changed while it was being sent");
}

#[test]
fn a_file_that_is_written_over_while_it_is_sent_is_told_and_not_placed() {
    let (ran, bob, alice) = push_while(|bob| {
        let mut file = open(bob, "tree/2 big");
        file.seek(SeekFrom::Start(SIZE as u64 / 2)).unwrap();
        file.write_all(&noise(2, SIZE / 2)).unwrap();
    });
    fails_alone(ran, (&bob, &alice), "tree/2 big", "changed while it was being sent");
}

/// What is open stays what it was, whatever gets its name.
#[test]
fn a_file_that_is_replaced_or_deleted_while_it_is_sent_arrives_as_it_was() {
    let replace = |bob: &Home| {
        let other = bob.write("other", noise(3, 1000));
        fs::rename(other, bob.path("tree/2 big")).unwrap();
    };
    let delete = |bob: &Home| fs::remove_file(bob.path("tree/2 big")).unwrap();
    for change in [&replace as &dyn Fn(&Home), &delete] {
        let (ran, _, alice) = push_while(change);
        ran.done();
        assert!(alice.read("inbox/tree/2 big") == noise(1, SIZE));
        assert_eq!(alice.tree("inbox"), ["tree/", "tree/1 before", "tree/2 big", "tree/3 after"]);
    }
}

#[test]
fn a_file_that_is_gone_before_its_turn_is_told_and_the_rest_arrives() {
    let (ran, bob, alice) = push_while(|bob| fs::remove_file(bob.path("tree/3 after")).unwrap());
    fails_alone(ran, (&bob, &alice), "tree/3 after", "no such file");
}

#[test]
fn a_file_that_is_another_by_its_turn_is_told_and_the_rest_arrives() {
    let (ran, bob, alice) = push_while(|bob| drop(bob.write("tree/3 after", "another")));
    fails_alone(ran, (&bob, &alice), "tree/3 after", "changed while it was being sent");
}

/// Nor is anything fetched through what has taken its place.
#[test]
fn a_file_that_is_a_link_by_its_turn_is_not_followed() {
    let (ran, bob, alice) = push_while(|bob| {
        bob.write("secret", "s");
        fs::remove_file(bob.path("tree/3 after")).unwrap();
        std::os::unix::fs::symlink("../secret", bob.path("tree/3 after")).unwrap();
    });
    let ran = ran.exits(8);
    assert_eq!(outcome(&ran, "tree/3 after").0, "failed");
    assert_eq!(alice.tree("inbox"), ["tree/", "tree/1 before", "tree/2 big"]);
    drop(bob);
}

/// Neither size nor time tell that what was kept of it is of another one: its digest does.
#[test]
fn a_change_that_hides_between_two_tries_is_an_integrity_failure_and_the_third_try_is_good() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let path = bob.write("big", noise(4, SIZE));
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let dam = Dam::before(node.port(), 3 * THROUGH);
    let pushing = bob.start(&["push", "big", &dam.at()]);
    until("half of it is staged", || staged(&alice).filter(|bytes| *bytes > THROUGH));
    drop(pushing);
    node.event("failed");
    bob.write("big", noise(5, SIZE));
    set_modified(&path, time);
    let ran = bob.run(&["push", "big", &node.at()]).exits(7);
    assert_eq!(outcome(&ran, "big").0, "failed");
    assert_eq!(alice.tree("inbox"), [""; 0], "nothing of either is left");
    bob.run(&["push", "big", &node.at()]).done();
    assert!(alice.read("inbox/big") == noise(5, SIZE));
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Files from machines whose clocks are decades ahead or behind, as far as a file system can hold
/// their times: they keep them, and are known again by them.
#[test]
fn files_of_any_time_keep_it_and_the_same_again_moves_nothing() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node: Node = alice.up_for_all();
    let day = Duration::from_secs(24 * 60 * 60);
    let epoch = SystemTime::UNIX_EPOCH;
    let times = [
        ("1901", epoch - 24_850 * day + Duration::new(1, 1)),
        ("before 1970", epoch - Duration::from_nanos(1)),
        ("1970", epoch),
        ("soon", SystemTime::now() + day),
        ("2038", epoch + Duration::new((1 << 31) - 1, 999_999_999)),
        ("after 2038", epoch + Duration::new(1 << 31, 1)),
        ("2100", epoch + 47_482 * day + Duration::from_millis(1)),
        ("2200", epoch + 84_006 * day),
    ];
    for (name, time) in times {
        set_modified(&bob.write(&format!("tree/{name}"), name), time);
    }
    bob.run(&["push", "tree", &node.at()]).done();
    for (name, _) in times {
        // What this file system made of it is what counts.
        let time = |home: &Home, path: String| fs::metadata(home.path(&path)).unwrap().modified().unwrap();
        assert_eq!(time(&alice, format!("inbox/tree/{name}")), time(&bob, format!("tree/{name}")), "{name}");
    }
    let again = bob.run(&["push", "tree", &node.at()]).done().last();
    assert_eq!(again["bytes_moved"], 0);
    for (name, _) in times {
        let entry = again["entries"].as_array().unwrap().iter().find(|e| e["path"] == format!("tree/{name}")).cloned();
        assert_eq!(entry.unwrap()["outcome"], "unchanged", "{name}");
    }
    assert_eq!(alice.tree("inbox").len(), 1 + times.len());
}
