//! Fetching: what is shared, with whom, and that nothing else can be had.

use crate::house::home::{Home, Node};
use crate::house::noise;

/// Somebody who shares `notes` with everybody here, and somebody else.
fn alice_shares() -> (Home, Node, Home) {
    let alice = Home::new("alice");
    alice.write("notes/week1.txt", "files");
    alice.write("notes/big", noise(1, 3 << 20));
    alice.write("notes/sub/deep.txt", "deep");
    alice.folder("notes/empty");
    alice.write("private.txt", "nobody's business");
    let node = alice.up(&["--share", "notes", "--share-with", "all"]);
    (alice, node, Home::new("bob"))
}

#[test]
fn a_listing_shows_the_shares_then_what_is_in_them() {
    let (_alice, node, bob) = alice_shares();
    let listed = |target: &str| {
        let mut listed: Vec<_> = bob.run(&["ls", target]).done().objects();
        listed.sort_by_key(|entry| entry["path"].to_string());
        listed.iter().map(|entry| format!("{} {}", entry["kind"].as_str().unwrap(), entry["path"])).collect::<Vec<_>>()
    };
    assert_eq!(listed(&node.at()), ["folder \"notes\""]);
    let notes = listed(&format!("{}:notes", node.at()));
    assert_eq!(notes, ["file \"big\"", "folder \"empty\"", "folder \"sub\"", "file \"week1.txt\""]);
    let file = bob.run(&["ls", &format!("{}:notes/week1.txt", node.at())]).done().last();
    assert_eq!((&file["path"], &file["size"]), (&"week1.txt".into(), &5.into()));
}

#[test]
fn a_file_is_fetched_to_where_it_is_wanted_and_not_twice() {
    let (_alice, node, bob) = alice_shares();
    let target = format!("{}:notes/big", node.at());
    let pulled = bob.run(&["pull", &target, "--to", "here"]).done().last();
    assert_eq!((&pulled["event"], &pulled["verified"]), (&"pulled".into(), &true.into()));
    assert_eq!(pulled["bytes_moved"], 3 << 20);
    assert!(bob.read("here/big") == noise(1, 3 << 20));
    let again = bob.run(&["pull", &target, "./here"]).done().last();
    assert_eq!(again["bytes_moved"], 0);
    assert_eq!(bob.tree("here"), ["big"]);
    assert_eq!(node.event("served")["peer"]["name"], *bob.name());
}

#[test]
fn a_folder_and_everything_that_is_shared_are_fetched_whole() {
    let (alice, node, bob) = alice_shares();
    bob.run(&["pull", &format!("{}:notes/sub", node.at()), "--to", "one"]).done();
    assert_eq!(bob.tree("one"), ["sub/", "sub/deep.txt"]);
    bob.run(&["pull", &node.at(), "--to", "all"]).done();
    assert_eq!(bob.tree("all/notes"), alice.tree("notes"));
    assert_eq!(bob.tree("all").len(), 1 + alice.tree("notes").len(), "the share and nothing else");
}

#[test]
fn what_is_here_already_is_never_overwritten() {
    let (_alice, node, bob) = alice_shares();
    bob.write("here/week1.txt", "bob's own");
    let pulled = bob.run(&["pull", &format!("{}:notes/week1.txt", node.at()), "--to", "here"]).done().last();
    assert_eq!(bob.read("here/week1.txt"), b"bob's own");
    assert_eq!(bob.read("here/week1 (1).txt"), b"files");
    assert_eq!(pulled["entries"][0]["as"], "week1 (1).txt");
}

#[test]
fn a_last_word_that_nobody_is_called_may_have_been_meant_as_a_folder() {
    let (_alice, node, bob) = alice_shares();
    let target = format!("{}:notes/week1.txt", node.at());
    for flags in [&[][..], &["-n"]] {
        let ran = bob.run(&[&["pull", &target, "nowhere"], flags].concat());
        assert!(ran.code == Some(8) || ran.code == Some(3), "{ran:?}");
        assert!(ran.err.contains("if a folder is meant: ./nowhere"), "{ran:?}");
    }
    let previewed = bob.run_plain(&["pull", "-n", &node.at(), "--to", "other"]).done();
    assert!(previewed.out.contains("would fetch notes/week1.txt") && !previewed.out.contains("would send"));
}

#[test]
fn nothing_is_shared_unless_somebody_shares_it() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("inbox/received.txt", "r");
    let node = alice.up_for_all();
    for args in [&["ls", &node.at()][..], &["pull", &node.at()], &["pull", &format!("{}:inbox", node.at())]] {
        let told = bob.run(args).exits(1).failure();
        assert!(told.contains("nothing is shared"), "{told}");
    }
    assert!(!bob.tree("").iter().any(|path| path.ends_with("received.txt")));
}

#[test]
fn shares_are_for_trusted_peers_unless_they_are_for_all() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes/a", "a");
    let node = alice.up(&["--share", "notes"]);
    let target = format!("{}:notes", node.at());
    bob.run(&["ls", &target]).exits(10).failure();
    bob.run(&["pull", &target]).exits(10).failure();
    assert!(!bob.path("notes").exists());
    // Known is not trusted; trusted is.
    let other = bob.up_for_all();
    alice.run(&["trust", "--yes", &other.at()]).done();
    bob.run(&["pull", &target]).done();
    assert_eq!(bob.read("notes/a"), b"a");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_a_share_holds_nobody_up_and_links_are_followed_as_far_as_they_stay_inside() {
    use std::os::unix::fs::symlink;
    let (alice, node, bob) = alice_shares();
    let made = std::process::Command::new("mkfifo").arg(alice.path("notes/pipe")).status();
    assert!(made.unwrap().success());
    for (to, link) in [
        ("sub/deep.txt", "inside"),
        ("inside", "twice"),
        ("../private.txt", "outside"),
        ("round", "round"),
        ("pipe", "piped"),
    ] {
        symlink(to, alice.path(&format!("notes/{link}"))).unwrap();
    }
    symlink("../week1.txt", alice.path("notes/sub/above")).unwrap();
    symlink("sub", alice.path("notes/way")).unwrap();
    for path in ["notes/pipe", "notes/piped", "notes/outside", "notes/round", "notes/pipe/x"] {
        let target = format!("{}:{path}", node.at());
        bob.run(&["pull", &target, "--to", "here"]).exits(1).failure();
        bob.run(&["ls", &target]);
    }
    for path in ["notes/inside", "notes/twice", "notes/sub/above", "notes/way/above", "notes/way/deep.txt"] {
        bob.run(&["pull", &format!("{}:{path}", node.at()), "--to", "here"]).done();
    }
    assert_eq!(bob.tree("here"), ["above", "deep.txt", "inside", "twice"]);
    assert_eq!(bob.read("here/above"), b"files");
    // What is in the folder beside them is fetched with it.
    bob.run(&["pull", &format!("{}:notes", node.at()), "--to", "all"]);
    assert!(bob.path("all/notes/week1.txt").exists());
}

#[test]
fn paths_that_are_not_there_or_lead_out_are_refused() {
    let (_alice, node, bob) = alice_shares();
    for path in ["notes/nothing", "private.txt", "other/week1.txt", "notes/week1.txt/x"] {
        let target = format!("{}:{path}", node.at());
        bob.run(&["pull", &target, "--to", "here"]).exits(1).failure();
        bob.run(&["ls", &target]).exits(1).failure();
    }
    for path in ["notes/../private.txt", "../private.txt", "..", "notes/..", "notes//week1.txt", "notes\\..\\x"] {
        let target = format!("{}:{path}", node.at());
        bob.run(&["pull", &target, "--to", "here"]).exits(2).failure();
        bob.run(&["ls", &target]).exits(2).failure();
    }
    assert!(bob.tree("here").is_empty(), "{:?}", bob.tree("here"));
}

#[cfg(unix)]
#[test]
fn s2_onionshare_cve_2026_54706_a_link_out_of_the_share_is_not_followed() {
    use std::os::unix::fs::symlink;
    let (alice, node, bob) = alice_shares();
    alice.write("outside/secret.txt", "secret");
    symlink(alice.path("outside"), alice.path("notes/folder")).unwrap();
    symlink("../outside/secret.txt", alice.path("notes/file")).unwrap();
    for path in ["notes/folder/secret.txt", "notes/folder", "notes/file"] {
        let ran = bob.run(&["pull", &format!("{}:{path}", node.at()), "--to", "here"]);
        let found = bob.tree("here");
        assert!(found.is_empty(), "{path}: {found:?}");
        assert_ne!(ran.code, Some(0), "{path} is not there, and that is told: {}{}", ran.out, ran.err);
    }
    assert_ne!(bob.run(&["ls", &format!("{}:notes/folder", node.at())]).code, Some(0));
    // The whole share comes without them, and says so where it is served.
    bob.run(&["pull", &format!("{}:notes", node.at()), "--to", "all"]).done();
    assert!(!bob.tree("all").iter().any(|path| path.contains("secret") || path.contains("->")));
    let notes = node.event("served")["notes"].to_string();
    assert!(notes.contains("notes/folder") && notes.contains("notes/file"), "{notes}");
}

#[cfg(unix)]
#[test]
fn a_pull_that_fetches_nothing_of_what_was_asked_for_is_not_verified() {
    let (alice, node, bob) = alice_shares();
    std::os::unix::fs::symlink("week1.txt", alice.path("notes/link")).unwrap();
    let ran = bob.run(&["pull", &format!("{}:notes/link", node.at()), "--to", "here"]);
    let fetched = !bob.tree("here").is_empty();
    assert!(fetched || ran.code != Some(0), "nothing came, and all is well: {}", ran.out);
}
