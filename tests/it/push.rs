//! Sending: what arrives, under which name, and what is said of it.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::house::home::Home;
use crate::house::noise;
use crate::house::process::Process;

/// Bytes of a whole chunk.
const CHUNK: usize = ftx::base::digest::CHUNK as usize;

fn bob_and_alice() -> (Home, Home) {
    (Home::new("bob"), Home::new("alice"))
}

#[test]
fn a_file_arrives_byte_for_byte_with_its_time_and_is_told_in_every_field() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    let bytes = noise(1, 3000);
    let path = bob.write("week 1/lecture ä.pdf", &bytes);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();

    let pushed = bob.run(&["push", "week 1/lecture ä.pdf", &node.at()]).done().last();
    assert_eq!(alice.read("inbox/lecture ä.pdf"), bytes);
    let arrived = fs::metadata(alice.path("inbox/lecture ä.pdf")).unwrap().modified().unwrap();
    assert_eq!(arrived, time);
    assert_eq!(alice.tree("inbox"), ["lecture ä.pdf"], "nothing else is left behind");

    assert_eq!(pushed["event"], "pushed");
    assert_eq!(pushed["verified"], true);
    assert_eq!((&pushed["files"], &pushed["bytes"], &pushed["bytes_moved"]), (&1.into(), &3000.into(), &3000.into()));
    assert_eq!(pushed["peer"]["name"], *alice.name());
    assert_eq!(pushed["peer"]["id"], node.up["id"]);
    let entry = &pushed["entries"][0];
    assert_eq!((&entry["path"], &entry["kind"]), (&"lecture ä.pdf".into(), &"file".into()));
    assert_eq!((&entry["size"], &entry["outcome"]), (&3000.into(), &"placed".into()));
    assert!(pushed["seconds"].as_f64().is_some());

    let received = node.event("received");
    assert_eq!(received["transfer"], pushed["transfer"]);
    assert_eq!(received["peer"]["name"], *bob.name());
    assert_eq!((&received["verified"], &received["bytes_moved"]), (&true.into(), &3000.into()));
}

#[test]
fn several_things_arrive_at_once_and_two_of_one_name_are_told_apart() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    bob.write("a/notes.txt", "a");
    bob.write("b/notes.txt", "b");
    bob.write("tree/x", "x");
    // What is named twice, however it is spelt, goes once.
    let named = ["push", "a/notes.txt", "tree/", "b/notes.txt", "./tree", "b/../a/notes.txt", &node.at()];
    let pushed = bob.run(&named).done().last();
    assert_eq!(alice.tree("inbox"), ["notes (1).txt", "notes.txt", "tree/", "tree/x"]);
    assert_eq!((alice.read("inbox/notes.txt"), alice.read("inbox/notes (1).txt")), (b"a".to_vec(), b"b".to_vec()));
    assert_eq!(pushed["files"], 3);
}

#[test]
fn a_folder_arrives_with_its_empty_folders() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    bob.folder("tree/empty/deeper");
    bob.write("tree/a/1", noise(2, 100));
    bob.write("tree/.hidden", "h");
    bob.run(&["push", "tree", &node.at()]).done();
    assert_eq!(alice.tree("inbox/tree"), bob.tree("tree"));
    assert_eq!(alice.read("inbox/tree/a/1"), noise(2, 100));
}

#[cfg(unix)]
#[test]
fn what_may_be_run_here_may_be_run_there_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt;
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    let script = bob.write("tools/run.sh", "#!/bin/sh\n");
    fs::set_permissions(script, PermissionsExt::from_mode(0o4755)).unwrap();
    bob.write("tools/data", "d");
    bob.run(&["push", "tools", &node.at()]).done();
    let mode = |path: &str| fs::metadata(alice.path(path)).unwrap().permissions().mode();
    assert_eq!(mode("inbox/tools/run.sh") & 0o7100, 0o100, "the owner may run it; set-user-id does not travel");
    assert_eq!(mode("inbox/tools/data") & 0o111, 0);
}

#[cfg(unix)]
#[test]
fn a_link_inside_the_tree_is_kept_and_one_out_of_it_is_skipped_and_named() {
    use std::os::unix::fs::symlink;
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    bob.write("secret", "s");
    bob.write("tree/data/x", "x");
    symlink("data/x", bob.path("tree/inside")).unwrap();
    fs::create_dir(bob.path("tree/sub")).unwrap();
    symlink("../data/x", bob.path("tree/sub/up")).unwrap();
    symlink("../secret", bob.path("tree/outside")).unwrap();
    symlink("/etc/hostname", bob.path("tree/absolute")).unwrap();
    let pushed = bob.run(&["push", "tree", &node.at()]).done().last();
    let there = ["data/", "data/x", "inside -> data/x", "sub/", "sub/up -> ../data/x"];
    assert_eq!(alice.tree("inbox/tree"), there);
    let notes = pushed["notes"].to_string();
    assert!(notes.contains("tree/outside") && notes.contains("tree/absolute"), "{notes}");
    assert!(!notes.contains("inside"), "{notes}");
}

#[test]
fn standard_input_arrives_under_the_name_given() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    let bytes = noise(3, 2 * CHUNK + 77);
    let mut command = bob.command(&["push", "-", "--as", "school.sql", &node.at()]);
    command.arg("--json");
    let pushed = Process::start_with_input(command, &bytes).end().done().last();
    assert!(alice.read("inbox/school.sql") == bytes);
    assert_eq!((&pushed["bytes_moved"], &pushed["entries"][0]["size"]), (&bytes.len().into(), &bytes.len().into()));
    assert_eq!(alice.tree("inbox"), ["school.sql"]);
}

#[test]
fn nobody_knows_how_long_a_pipe_is_before_its_end_nor_where_it_stopped() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    let ran = bob.run_plain(&["push", "-n", "-", &node.at()]).done();
    assert!(ran.out.starts_with("would send stdin (size not known yet)\n") && !ran.out.contains("0 B"), "{ran:?}");
    let told = bob.run(&["push", "-n", "-", &node.at()]).done().objects();
    assert!(told.iter().all(|object| object["bytes"].is_null() && object["size"].is_null()), "{told:?}");
    // With others nobody has counted it apart.
    bob.write("a", "a");
    let pushed = bob.run(&["push", "a", "-", &node.at()]).done().last();
    let sizes: Vec<_> = pushed["entries"].as_array().unwrap().iter().map(|entry| entry["size"].clone()).collect();
    assert_eq!(sizes, [1.into(), serde_json::Value::Null]);
}

#[cfg(unix)]
#[test]
fn a_pipe_that_is_cut_off_is_said_to_start_over() {
    use crate::house::proxy::{Mishap, Proxy, Trouble, Way};
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    let cut = Trouble { way: Way::There, after: 4 << 20, what: Mishap::Cut };
    let proxy = Proxy::to(node.port(), vec![cut]);
    let mut command = bob.command(&["push", "-", &proxy.at(), "--connections", "1"]);
    command.arg("--json");
    let told = Process::start_with_input(command, &noise(6, 20 << 20)).end().exits(4).failure();
    assert!(told.contains("starts over") && !told.contains("where it stopped"), "{told}");
}

#[test]
fn an_empty_standard_input_arrives_as_an_empty_file() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    bob.run(&["push", "-", "--as", "nothing", &node.at()]).done();
    assert_eq!(alice.read("inbox/nothing"), b"");
}

#[test]
fn a_text_arrives_as_a_small_file() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    bob.run(&["push", "--text", "https://example.org/ä", &node.at()]).done();
    bob.run(&["push", "--text", "named", "--as", "link.url", &node.at()]).done();
    assert_eq!(alice.read("inbox/text.txt"), "https://example.org/ä".as_bytes());
    assert_eq!(alice.read("inbox/link.url"), b"named");
}

#[test]
fn files_of_no_bytes_one_chunk_and_three_chunks_arrive() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    let sizes = [("empty", 0), ("whole", CHUNK), ("three", 2 * CHUNK + 5)];
    for (name, size) in sizes {
        bob.write(name, noise(4, size));
    }
    let pushed = bob.run(&["push", "empty", "whole", "three", &node.at()]).done().last();
    for (name, size) in sizes {
        assert!(alice.read(&format!("inbox/{name}")) == noise(4, size), "{name}");
    }
    assert_eq!(pushed["bytes_moved"], 3 * CHUNK + 5);
}

#[test]
fn the_same_again_moves_nothing() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    bob.write("tree/a", noise(5, 2 * CHUNK));
    bob.write("tree/b/c", "c");
    bob.folder("tree/empty");
    bob.run(&["push", "tree", &node.at()]).done();
    let before = alice.tree("inbox");
    let again = bob.run(&["push", "tree", &node.at()]).done().last();
    // Only size and time were compared: that is not called verified.
    assert_eq!((&again["bytes_moved"], &again["verified"]), (&0.into(), &false.into()));
    let outcome = |path: &str| {
        let entries = again["entries"].as_array().unwrap();
        entries.iter().find(|entry| entry["path"] == path).unwrap()["outcome"].clone()
    };
    assert_eq!((outcome("tree/a"), outcome("tree/b/c")), ("unchanged".into(), "unchanged".into()));
    assert_eq!(alice.tree("inbox"), before);
}

#[test]
fn another_file_of_the_same_name_gets_a_number_and_the_old_one_stays() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    alice.write("inbox/report.pdf", "alice's own");
    alice.write("inbox/tree/x", "alice's x");
    bob.write("report.pdf", "bob's");
    bob.write("tree/x", "bob's x");
    bob.write("tree/y", "bob's y");
    let pushed = bob.run(&["push", "report.pdf", "tree", &node.at()]).done().last();
    assert_eq!(alice.read("inbox/report.pdf"), b"alice's own");
    assert_eq!(alice.read("inbox/report (1).pdf"), b"bob's");
    assert_eq!(alice.read("inbox/tree/x"), b"alice's x");
    assert_eq!(alice.read("inbox/tree/x (1)"), b"bob's x");
    assert_eq!(alice.read("inbox/tree/y"), b"bob's y");
    assert_eq!(alice.tree("inbox").len(), 6, "{:?}", alice.tree("inbox"));
    let entry = &pushed["entries"][0];
    assert_eq!((&entry["outcome"], &entry["as"]), (&"placed_as".into(), &"report (1).pdf".into()));
    // A third try of the same finds its own under the number.
    let again = bob.run(&["push", "report.pdf", "tree", &node.at()]).done().last();
    assert_eq!(again["bytes_moved"], 0);
    assert_eq!(alice.tree("inbox").len(), 6, "{:?}", alice.tree("inbox"));
}

/// As builds that can be repeated make them: every file has the same time.
#[test]
fn another_file_of_the_same_name_size_and_time_is_not_taken_for_equal() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    for (home, path, text) in [(&alice, "inbox/tool", "version 1"), (&bob, "tool", "version 2")] {
        let path = home.write(path, text);
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        fs::File::options().write(true).open(path).unwrap().set_modified(epoch).unwrap();
    }
    let pushed = bob.run(&["push", "tool", &node.at()]).done().last();
    assert_eq!(alice.read("inbox/tool"), b"version 1");
    let there = alice.tree("inbox").iter().any(|path| alice.read(&format!("inbox/{path}")) == b"version 2");
    assert!(there || pushed["verified"] != true, "{pushed}");
}

#[test]
fn a_missing_source_is_named_and_nothing_at_all_is_sent() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    bob.write("there", "t");
    let ran = bob.run(&["push", "there", "missing one", "missing two", &node.at()]).exits(1);
    let told = ran.failure();
    assert!(told.contains("missing one") && told.contains("missing two"), "{told}");
    assert!(told.contains("nothing was sent"), "{told}");
    assert!(ran.out.is_empty(), "{}", ran.out);
    assert!(alice.tree("inbox").is_empty());
    assert!(node.events("received").is_empty() && node.events("failed").is_empty());
}

/// A link that leads to itself is there and cannot be read, also not by root.
#[cfg(unix)]
#[test]
fn an_unreadable_source_among_others_is_named_on_both_sides_and_the_rest_arrives() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    bob.write("there", "t");
    bob.folder("private place");
    std::os::unix::fs::symlink("loop", bob.path("private place/loop")).unwrap();
    let ran = bob.run(&["push", "private place/loop", "there", &node.at()]).exits(8);
    let notes = ran.last()["notes"].to_string();
    assert!(notes.contains("loop: "), "{notes}");
    assert_eq!(alice.tree("inbox"), ["there"]);
    let received = node.event("received");
    let notes = received["notes"].to_string();
    assert!(notes.contains("loop: ") && !notes.contains("private place"), "{notes}");
    assert_eq!(received["verified"], false);
    let told = bob.run(&["push", "private place/loop", &node.at()]).exits(9).failure();
    assert!(told.contains("private place/loop: ") && told.contains("nothing was sent"), "{told}");
    // What is missing still keeps everything from being sent.
    bob.write("more", "m");
    bob.run(&["push", "private place/loop", "more", "missing", &node.at()]).exits(1).failure();
    assert_eq!(alice.tree("inbox"), ["there"]);
}

#[cfg(unix)]
#[test]
fn a_file_that_is_named_and_cannot_keep_its_name_is_told() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    bob.write("a\\b", "odd");
    bob.write("1/same", "1");
    bob.write("2/same", "2");
    let pushed = bob.run(&["push", "a\\b", "1/same", "2/same", &node.at()]).done().last();
    assert_eq!(pushed["notes"], serde_json::json!(["a\\b is sent as a_b", "same is sent as same (1)"]));
    assert_eq!(alice.tree("inbox"), ["a_b", "same", "same (1)"]);
}

#[test]
fn a_person_reads_verified_at_the_end_and_where_it_is_now() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    alice.write("inbox/a.txt", "an old one");
    bob.write("a.txt", "new");
    let ran = bob.run_plain(&["push", "a.txt", &node.at()]).done();
    assert!(ran.out.starts_with(&format!("verified at {}: 1 file", alice.name())), "{}", ran.out);
    assert!(ran.err.contains("a (1).txt"), "{}", ran.err);
}

#[test]
fn what_makes_no_sense_is_told_before_anybody_is_looked_for() {
    let bob = Home::new("bob");
    bob.write("a", "a");
    for args in [
        &["push", "a"][..],
        &["push", "a", "peer:../path"],
        &["push", "-", "-", "peer"],
        &["push", "-", "--as", "../x", "peer"],
    ] {
        bob.run(args).exits(2).failure();
    }
}

#[cfg(unix)]
#[test]
fn the_private_key_is_never_sent_whatever_folder_is_pushed() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up_for_all();
    bob.write("there", "t");
    bob.run(&["push", "there", &node.at()]).done();
    assert!(bob.path(".config/ftx/key").exists());
    std::fs::hard_link(bob.path(".config/ftx/key"), bob.path("innocent")).unwrap();
    let pushed = bob.run(&["push", ".", &node.at()]).done().last();
    let notes = pushed["notes"].to_string();
    assert!(notes.contains("private key"), "{notes}");
    let arrived = alice.tree("inbox");
    assert!(arrived.iter().any(|path| path.ends_with("/there")), "{arrived:?}");
    assert!(!arrived.iter().any(|path| path.ends_with("/key") || path.ends_with("/innocent")), "{arrived:?}");
}

#[test]
fn what_has_the_same_bytes_and_another_time_is_sent_once_and_then_known() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("a", "the same");
    let there = alice.write("inbox/a", "the same");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(there).unwrap().set_modified(long_ago).unwrap();
    let first = bob.run(&["push", "a", &node.at()]).done().last();
    assert_eq!(first["entries"][0]["outcome"], "equal");
    let again = bob.run(&["push", "a", &node.at()]).done().last();
    assert_eq!(again["bytes_moved"], 0);
    assert_eq!(alice.tree("inbox"), ["a"]);
}
