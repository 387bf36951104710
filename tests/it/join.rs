//! Joining a hub and leaving it.

use std::fs;

use crate::house::home::Home;

/// What makes no sense is told before anything is sent, and which flag would make sense of it.
#[test]
fn off_a_terminal_what_is_missing_is_named() {
    let anna = Home::new("anna");
    fs::write(anna.path("code"), "apple-banana-cherry\n").unwrap();
    fs::write(anna.path("empty"), "\n").unwrap();
    for (args, told) in [
        (&["--password-file", "code"][..], "--account"),
        (&["--password"], "--account"),
        (&["--account", "anna", "--password"], "--password-file"),
        (&["--account", "anna", "--password", "--code-file", "code"], "--code-file"),
        (&["--code-file", "-", "--password-file", "-"], "standard input"),
        (&["--code-file", "nowhere"], "nowhere: no such file"),
        (&["--code-file", "empty"], "does not begin with"),
    ] {
        let typed = [&["join", "[127.0.0.1:1]"], args].concat();
        let failure = anna.run(&typed).exits(2).failure();
        assert!(failure.contains(told), "{args:?}: {failure}");
    }
    let failure = anna.run(&["leave", "[127.0.0.1:1]"]).exits(2).failure();
    assert!(failure.contains("--yes"), "{failure}");
}

#[test]
fn a_machine_that_is_no_hub_is_not_joined_and_hears_no_code() {
    let (anna, bob) = (Home::new("anna"), Home::new("bob"));
    fs::write(anna.path("code"), "apple-banana-cherry\n").unwrap();
    let node = bob.up_for_all();
    let failure = anna.run(&["join", &node.at(), "--code-file", "code"]).exits(2).failure();
    assert!(failure.contains("is no hub"), "{failure}");
    let failure = anna.run(&["leave", &node.at(), "--yes"]).exits(2).failure();
    assert!(failure.contains("is no hub"), "{failure}");
}

#[test]
fn a_hub_that_is_not_there_is_not_found() {
    let anna = Home::new("anna");
    let failure = anna.run(&["join", "no-such-hub"]).exits(3).failure();
    assert!(failure.contains("no-such-hub is not here"), "{failure}");
}
