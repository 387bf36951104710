//! In which order things reach the disk, as the system saw it.

use std::process::{Command, Stdio};

use crate::house::home::{Home, PROGRAM, loopback};
use crate::house::process::Process;

/// Pulls `notes` of a node into `to` while strace writes down what is synced and renamed, a line
/// each; `None` where there is no strace, or it may not trace.
fn traced_pull(bob: &Home, target: &str, to: &str) -> Option<Vec<String>> {
    let log = bob.path("trace");
    let calls = "trace=fsync,syncfs,renameat2";
    let strace = |program: &str| {
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-qq", "-e", calls, "-e", "signal=none", "-o"]).arg(&log).arg(program);
        bob.dress(&mut command);
        command
    };
    let tried = strace("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no strace here, or it may not trace");
        return None;
    }
    let mut command = strace(PROGRAM);
    command.args(["pull", target, "--to", to, "--json", "--interface", loopback(), "--name", bob.name()]);
    Process::start(command).end().done();
    let text = std::fs::read(&log).unwrap();
    Some(String::from_utf8_lossy(&text).lines().map(ToOwned::to_owned).collect())
}

/// Where in the trace the first call of this kind is that names this, in the order of the calls.
#[track_caller]
fn at(trace: &[String], call: &str, what: &str) -> usize {
    let found = trace.iter().position(|line| line.contains(&format!(" {call}(")) && line.contains(what));
    let told: Vec<&String> = trace.iter().filter(|line| line.contains("sync") || line.contains("rename")).collect();
    found.unwrap_or_else(|| panic!("no {call} of {what} in {told:#?}"))
}

#[test]
fn everything_is_synced_before_it_is_in_place_and_then_its_folder() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes/one", "1");
    alice.write("notes/sub/two", "2");
    let node = alice.up(&["--share", "notes", "--share-with", "all"]);
    let Some(trace) = traced_pull(&bob, &node.at(), "deep/here") else { return };
    let placed = at(&trace, "renameat2", "\"notes\"");
    for (call, what) in [
        ("fsync", "/data/notes/one>"),
        ("fsync", "/data/notes/sub/two>"),
        ("fsync", "/notes/sub>"),
        ("fsync", "/notes>"),
    ] {
        assert!(at(&trace, call, what) < placed, "{what} is synced before it is in place");
    }
    let rest = &trace[placed..];
    at(rest, "fsync", "/deep/here>");
    // The folders that were made for it, too.
    assert!(at(&trace, "fsync", "/deep>") < placed);
    let home = bob.path("").display().to_string();
    assert!(at(&trace, "fsync", &format!("<{}>", home.trim_end_matches('/'))) < placed);
}

#[test]
fn many_files_are_synced_at_once_and_before_they_are_in_place() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    for n in 0..40 {
        alice.write(&format!("notes/{n}"), "x");
    }
    let node = alice.up(&["--share", "notes", "--share-with", "all"]);
    let Some(trace) = traced_pull(&bob, &node.at(), "here") else { return };
    let placed = at(&trace, "renameat2", "\"notes\"");
    assert!(at(&trace, "syncfs", "/data>") < placed);
    at(&trace[placed..], "fsync", "/here>");
}
