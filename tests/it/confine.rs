//! S16: a node and a hub that run cannot touch what is not theirs, whatever they are talked into.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use super::house::home::{Home, Node};
use super::house::hub::Hub;
use super::house::noise;
use super::house::process::{Process, Stream};

/// Whether this kernel can do it; says so where it cannot.
fn holds(confined: &Value) -> bool {
    if confined["holds"] == false {
        eprintln!("skipped: {}", confined["why"]);
    }
    confined["holds"] == true
}

/// Every thread of a process, by its name, and whether it can still gain rights.
fn threads(process: u32) -> Vec<(String, bool)> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let status = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
    let field =
        |status: &str, name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    status.map(|status| (field(&status, "Name:"), field(&status, "NoNewPrivs:") == "0")).collect()
}

#[track_caller]
fn all_are_confined(process: u32) {
    let threads = threads(process);
    assert!(threads.len() > 2, "{threads:?}");
    let free: Vec<_> = threads.iter().filter(|(_, free)| *free).collect();
    assert!(free.is_empty(), "not confined: {free:?} of {threads:?}");
}

/// Puts a link in the place of the address book, which a node reads anew for each conversation: a book
/// that is as good, but elsewhere.
fn lead_the_book_elsewhere(home: &Home) {
    let book = home.path(".config/ftx/peers.toml");
    let elsewhere = home.write("elsewhere/peers.toml", "version = 1\n");
    let _ = fs::remove_file(&book);
    symlink(elsewhere, book).unwrap();
}

#[test]
fn a_node_that_runs_cannot_read_what_is_elsewhere() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    bob.write("letter", "dear alice");
    let free = alice.up(&["--accept", "all", "--no-confine"]);
    assert_eq!(free.up["confined"]["holds"], false);
    lead_the_book_elsewhere(&alice);
    // Without the confinement the link is followed: it is the kernel that refuses below, and nothing else.
    bob.run(&["push", "letter", &free.at()]).done();
    drop(free);

    let _ = fs::remove_file(alice.path(".config/ftx/peers.toml"));
    let node = alice.up(&["--accept", "all"]);
    if !holds(&node.up["confined"]) {
        return;
    }
    lead_the_book_elsewhere(&alice);
    let refused = bob.run(&["push", "letter", &node.at(), "--retry", "0"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(node.event("failed")["error"].as_str().unwrap().contains("permission denied"));
    // With its own book it goes on.
    fs::remove_file(alice.path(".config/ftx/peers.toml")).unwrap();
    bob.run(&["push", "letter", &node.at()]).done();
}

#[test]
fn every_thread_of_a_node_is_confined_also_those_that_hash_and_write() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (one, two) = (alice.folder("one"), alice.folder("two"));
    alice.write("one/a", "a");
    alice.write("two/b", noise(1, 3 << 20));
    let shares = [one.to_str().unwrap(), two.to_str().unwrap()];
    let node = alice.up(&["--accept", "all", "--share", shares[0], "--share", shares[1], "--share-with", "all"]);
    if !holds(&node.up["confined"]) {
        return;
    }
    bob.write("big", noise(2, 9 << 20));
    bob.write("tree/x/y", "y");
    bob.run(&["push", "big", "tree", &node.at()]).done();
    bob.run(&["pull", &format!("{}:two", node.at())]).done();
    assert_eq!(bob.read("two/b"), noise(1, 3 << 20));
    assert_eq!(alice.read("inbox/big"), noise(2, 9 << 20));
    let writes: Vec<&str> =
        node.up["confined"]["writes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(writes.len(), 2, "the inbox, and where our own files are: {writes:?}");
    all_are_confined(node.process().id());
}

#[test]
fn every_thread_of_a_hub_is_confined_and_it_does_all_that_it_does() {
    let hub = Hub::start();
    if !holds(&hub.up()["confined"]) {
        return;
    }
    let anna = hub.member("anna");
    anna.write("report", noise(3, 5 << 20));
    anna.run(&["push", "report", &hub.at("shared/week1")]).done();
    anna.write("report", noise(4, 5 << 20));
    anna.run(&["push", "report", &hub.at("shared/week1")]).done();
    assert_eq!(hub.versions(&anna, "shared/week1/report").len(), 1, "what was replaced is kept");
    anna.run(&["mv", &hub.at("shared/week1/report"), &hub.at("shared/report")]).done();
    // By hand, seen by the one that watches.
    fs::write(hub.path("shared/by-hand"), "x").unwrap();
    hub.event_where("appeared", |event| event["path"] == "shared/by-hand");
    // It sends, too: that is the one thing for which it may dial.
    let bob = Home::new("bob");
    let node = bob.up_for_all();
    hub.manage(&["send", "shared/report", &node.at()]).done();
    assert_eq!(bob.read("inbox/report"), noise(4, 5 << 20));
    hub.verify();
    all_are_confined(hub.process().id());
}

#[test]
fn the_folder_that_receives_is_made_and_settings_may_be_links_to_elsewhere() {
    let alice = Home::new("alice");
    let dotfiles = alice.write("dotfiles/config.toml", "accept = \"all\"\ndir = \"a/deep/inbox\"\n");
    alice.folder(".config/ftx");
    symlink(dotfiles, alice.path(".config/ftx/config.toml")).unwrap();
    let node = Node::new(alice.start(&["up", "--port", "0"]));
    assert_eq!(node.up["accept"], "all");
    let bob = Home::new("bob");
    bob.write("letter", "dear alice");
    bob.run(&["push", "letter", &node.at()]).done();
    assert_eq!(alice.read("a/deep/inbox/letter"), b"dear alice");
}

#[test]
fn it_is_told_and_loudly_where_somebody_wants_none() {
    let alice = Home::new("alice");
    let say = |flag: &str| {
        let process = Process::start(alice.command(&["up", "--port", "0", "--dir", "inbox", flag]));
        process.wait_for(Stream::Err, "it says how it is confined", |line| {
            line.contains("confined").then(|| line.to_owned())
        })
    };
    assert!(say("--no-confine").starts_with("note: not confined, as --no-confine says"));
    let told = say("-v");
    let inbox = alice.path("inbox");
    // With a kernel that cannot do it, that is told.
    let good = told.starts_with("confined: writes only below") && told.contains(inbox.to_str().unwrap());
    assert!(good || told.starts_with("note: not confined: "), "{told}");
}
