//! Where results go, and what is said where they cannot go there or were never asked for.

use std::process::Command;

use crate::house::home::{Home, PROGRAM};
use crate::house::process::{Process, Ran};

/// Runs a command in a shell that does `around` with it: `"$@"` stands for it.
fn through_a_shell(home: &Home, around: &str, args: &[&str]) -> Ran {
    let mut command = Command::new("sh");
    home.dress(&mut command);
    command.args(["-c", around, "sh", PROGRAM]).args(args);
    Process::start(command).end()
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_do_not_fit_the_disk_are_told_and_are_no_success() {
    let home = Home::new("alice");
    for args in [&["--help"][..], &["--version"], &["completions", "bash"], &["--json", "completions", "bash"]] {
        let ran = through_a_shell(&home, "exec \"$@\" >/dev/full", args).exits(9);
        assert!(ran.err.contains("writing the results: the disk is full"), "{ran:?}");
        assert_eq!(args.contains(&"--json"), ran.err.starts_with('{'), "{ran:?}");
    }
    let bob = Home::new("bob");
    bob.write("a", "a");
    let node = home.up_for_all();
    let push = ["push", "a", &node.at(), "--json", "--interface", crate::house::home::loopback(), "--name", bob.name()];
    let told = through_a_shell(&bob, "exec \"$@\" >/dev/full", &push).exits(9).failure();
    assert!(told.contains("the disk is full"), "{told}");
    assert_eq!(home.read("inbox/a"), b"a", "it was sent all the same");
}

#[test]
fn a_reader_that_has_seen_enough_is_success() {
    let home = Home::new("alice");
    for args in [&["--help"][..], &["completions", "zsh"]] {
        let around = "{ \"$@\"; echo \"ended with $?\" >&2; } | head -c 1";
        let ran = through_a_shell(&home, around, args).done();
        assert_eq!(ran.err, "ended with 0");
    }
}

#[test]
fn what_makes_no_sense_is_an_object_for_programs() {
    let home = Home::new("alice");
    for (args, what) in [
        (&["push", "--nonsense", "x"][..], "--nonsense"),
        (&["nonsense"], "nonsense"),
        (&["up", "--accept", "perhaps"], "perhaps"),
        (&["up", "--on-conflict", "perhaps"], "rename, skip, replace"),
        (&["pull"], "TARGET"),
    ] {
        let ran = home.run(args).exits(2);
        assert_eq!(ran.err.lines().count(), 1, "one object: {}", ran.err);
        assert!(ran.failure().contains(what), "{ran:?}");
        assert!(ran.failure().contains("Usage: ftx") || ran.failure().contains("--help"), "{ran:?}");
        let ran = home.run_plain(args).exits(2);
        assert!(ran.err.starts_with("error: ") && ran.err.contains(what), "{ran:?}");
    }
}
