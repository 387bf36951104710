//! A disk that takes nothing more.

use std::process::{Command, Stdio};

use crate::house::home::{Home, Node, loopback};
use crate::house::noise;
use crate::house::process::Process;

/// A shell with a small file system of its own mounted at `inbox`, which vanishes with it; `None`
/// where this user may not have one.
fn with_small_disk(home: &Home, then: &str) -> Option<Command> {
    let script = format!("mount -t tmpfs -o size=4m ftx-test '{}' && {then}", home.folder("inbox").display());
    let mut ways: Vec<&[&str]> = vec![&["--user", "--map-root-user", "--mount"]];
    if rustix::process::geteuid().is_root() {
        ways.insert(0, &["--mount"]);
    }
    let command = |way: &[&str], script: &str| {
        let mut command = Command::new("unshare");
        command.args(way).args(["sh", "-c", script]);
        home.dress(&mut command);
        command
    };
    ways.into_iter().find_map(|way| {
        let trial = script.replace(then, "exit 0");
        let tried = command(way, &trial).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success()).then(|| command(way, &script))
    })
}

/// A node whose inbox holds no more than 4 MiB.
fn up_with_small_disk(home: &Home) -> Option<Node> {
    let then = format!(
        "exec '{}' up --port 0 --dir inbox --accept all --json --interface {} --name {}",
        crate::house::home::PROGRAM,
        loopback(),
        home.name()
    );
    let command = with_small_disk(home, &then);
    if command.is_none() {
        eprintln!("skipped: this user may not mount a small file system");
    }
    Some(Node::new(Process::start(command?)))
}

#[test]
fn a_full_disk_is_told_on_both_sides_and_the_node_lives_on() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let Some(node) = up_with_small_disk(&alice) else { return };
    bob.write("big", noise(1, 12 << 20));
    bob.write("small", noise(2, 1000));
    let ran = bob.run(&["push", "big", &node.at()]).exits(9);
    let told = ran.failure();
    assert!(told.contains("the disk is full") || told.contains("not enough room"), "{told}");
    assert!(ran.out.is_empty(), "{}", ran.out);
    let failed = node.event("failed");
    assert_eq!(failed["kind"], "disk", "{failed}");
    assert!(node.events("received").is_empty());
    // Nothing stands under the final name: what came is fetched back to see.
    let pushed = bob.run(&["push", "small", &node.at()]);
    assert!(matches!(pushed.code, Some(0 | 9)), "{pushed:?}");
}

#[test]
fn a_full_disk_where_it_is_fetched_to_is_told() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    alice.write("notes/big", noise(1, 12 << 20));
    let node = alice.up(&["--share", "notes", "--share-with", "all"]);
    let then = format!(
        "exec '{}' pull '{}:notes/big' --to inbox --json --interface {} --name {}",
        crate::house::home::PROGRAM,
        node.at(),
        loopback(),
        bob.name()
    );
    let Some(command) = with_small_disk(&bob, &then) else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    let ran = Process::start(command).end().exits(9);
    let told = ran.failure();
    assert!(told.contains("the disk is full") || told.contains("not enough room"), "{told}");
    assert!(ran.out.is_empty(), "{}", ran.out);
    assert_eq!(node.event("failed")["kind"], "disk");
}

#[test]
fn a_folder_that_may_not_be_written_to_is_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may write anywhere");
        return;
    }
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let folder = alice.folder("inbox");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o555)).unwrap();
    let told = alice.run(&["up", "--port", "0", "--dir", "inbox"]).exits(9).failure();
    assert!(told.contains("inbox") && told.contains("permission denied"), "{told}");
    bob.write("notes/a", "a");
    let node = bob.up(&["--share", "notes", "--share-with", "all"]);
    alice.run(&["pull", &node.at(), "--to", "inbox"]).exits(9).failure();
}

#[test]
fn a_file_where_the_folder_should_be_is_told() {
    let alice = Home::new("alice");
    alice.write("inbox", "a file");
    let told = alice.run(&["up", "--port", "0", "--dir", "inbox"]).exits(9).failure();
    assert!(told.contains("inbox"), "{told}");
    assert_eq!(alice.read("inbox"), b"a file");
}
