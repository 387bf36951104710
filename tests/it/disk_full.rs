//! A disk that takes nothing more.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::house::dam::Dam;
use crate::house::home::{Home, Node, loopback};
use crate::house::process::Process;
use crate::house::{noise, until};

/// A shell with a small file system of its own mounted at a folder, which vanishes with it; `None`
/// where this user may not have one. `size` is in the words of tmpfs(5).
pub(crate) fn with_small_disk(home: &Home, folder: &str, size: &str, then: &str) -> Option<Command> {
    let script = format!("mount -t tmpfs -o {size} ftx-test '{}' && {then}", home.folder(folder).display());
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

/// A node whose inbox holds no more than this.
fn up_with_small_disk(home: &Home, size: &str) -> Option<Node> {
    let then = format!(
        "exec '{}' up --port 0 --dir inbox --accept all --json --interface {} --name {}",
        crate::house::home::PROGRAM,
        loopback(),
        home.name()
    );
    let command = with_small_disk(home, "inbox", size, &then);
    if command.is_none() {
        eprintln!("skipped: this user may not mount a small file system");
    }
    Some(Node::new(Process::start(command?)))
}

#[test]
fn a_full_disk_is_told_on_both_sides_and_the_node_lives_on() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let Some(node) = up_with_small_disk(&alice, "size=4m") else { return };
    bob.write("big", noise(1, 12 << 20));
    bob.write("small", noise(2, 1000));
    let ran = bob.run(&["push", "big", &node.at()]).exits(9);
    let told = ran.failure();
    assert!(told.contains("the disk is full") || told.contains("not enough room"), "{told}");
    assert!(ran.tells_no_result(), "{}", ran.out);
    let failed = node.event("failed");
    assert_eq!(failed["kind"], "disk", "{failed}");
    assert!(node.events("received").is_empty());
    // Nothing stands under the final name: what came is fetched back to see.
    let pushed = bob.run(&["push", "small", &node.at()]);
    assert!(matches!(pushed.code, Some(0 | 9)), "{pushed:?}");
}

#[test]
fn what_is_only_compared_needs_no_room() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let Some(node) = up_with_small_disk(&alice, "size=16m") else { return };
    bob.write("big", noise(1, 9 << 20));
    bob.run(&["push", "big", &node.at()]).done();
    let pushed = bob.run(&["push", "big", "--checksum", &node.at()]).done().last();
    assert_eq!((&pushed["bytes_moved"], &pushed["verified"]), (&0.into(), &true.into()), "{pushed}");
}

#[test]
fn a_pipe_without_end_does_not_take_the_last_of_a_disk() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let Some(node) = up_with_small_disk(&alice, "size=128m") else { return };
    let inbox = node.sees(&alice.path("inbox"));
    let mut command = bob.command(&["push", "-", &node.at()]);
    command.arg("--json");
    let told = Process::start_with_input(command, &noise(1, 160 << 20)).end().exits(9).failure();
    assert!(told.contains("the disk is full"), "{told}");
    // Before the next thing comes and clears it.
    let failed = node.event("failed");
    assert_eq!(failed["kind"], "disk", "{failed}");
    assert!(failed.to_string().contains("kept free"), "{failed}");
    assert!(staged(&inbox) < 128 << 20);
}

/// Bytes staged in a folder.
fn staged(inbox: &Path) -> u64 {
    let areas = fs::read_dir(inbox.join(".ftx-partial")).into_iter().flatten();
    let files = areas.flat_map(|area| fs::read_dir(area.unwrap().path().join("data")).into_iter().flatten());
    files.map(|file| file.unwrap().metadata().map_or(0, |metadata| metadata.len())).sum()
}

#[test]
fn a_disk_that_fills_up_on_the_way_loses_nothing_and_the_same_again_goes_on() {
    const SIZE: usize = 12 << 20;
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let Some(node) = up_with_small_disk(&alice, "size=16m") else { return };
    let inbox = node.sees(&alice.path("inbox"));
    bob.write("big", noise(1, SIZE));
    let dam = Dam::with_gate(node.port(), 7 << 20);
    let pushing = bob.start(&["push", "big", &dam.at()]);
    until("half of it is staged", || (staged(&inbox) > 5 << 20).then_some(()));
    // Somebody else fills the disk to the last byte.
    let mut filler = fs::File::create(inbox.join("filler")).unwrap();
    for stride in [1 << 20, 4096, 1] {
        while filler.write_all(&vec![0; stride]).is_ok() {}
    }
    drop(filler);
    dam.open();
    let told = pushing.end().exits(9).failure();
    assert!(told.contains("the disk is full") && told.contains("type the same again"), "{told}");
    let failed = node.event("failed");
    assert_eq!(failed["kind"], "disk", "{failed}");
    assert!(failed["hint"].as_str().unwrap().contains("make room"), "{failed}");
    // As long as it is full, not even a new journal finds room: the old one stays.
    bob.run(&["push", "big", &node.at()]).exits(9).failure();
    assert!(!inbox.join("big").exists());
    fs::remove_file(inbox.join("filler")).unwrap();
    let pushed = bob.run(&["push", "big", &node.at()]).done().last();
    let moved = pushed["bytes_moved"].as_u64().unwrap();
    // Of what was staged some may have waited for its place in the journal.
    assert!(moved > 0 && moved <= (SIZE - (2 << 20)) as u64, "{moved} were sent again");
    assert!(fs::read(inbox.join("big")).unwrap() == noise(1, SIZE));
    assert!(!inbox.join(".ftx-partial").exists(), "staging is cleared");
}

/// Folders without anything in them are made at the very end.
#[test]
fn a_disk_that_is_full_when_everything_came_keeps_it_and_the_same_again_moves_nothing() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let Some(node) = up_with_small_disk(&alice, "size=16m,nr_inodes=60") else { return };
    let inbox = node.sees(&alice.path("inbox"));
    bob.write("tree/file", noise(1, 3 << 20));
    for n in 0..30 {
        bob.folder(&format!("tree/empty {n}"));
        fs::write(inbox.join(n.to_string()), "").unwrap();
    }
    let told = bob.run(&["push", "tree", &node.at()]).exits(9).failure();
    assert!(told.contains("the disk is full"), "{told}");
    assert_eq!(node.event("failed")["kind"], "disk");
    assert!(!inbox.join("tree").exists());
    for n in 0..30 {
        fs::remove_file(inbox.join(n.to_string())).unwrap();
    }
    let pushed = bob.run(&["push", "tree", &node.at()]).done().last();
    assert_eq!(pushed["bytes_moved"], 0, "{pushed}");
    assert!(fs::read(inbox.join("tree/file")).unwrap() == noise(1, 3 << 20));
    assert_eq!(fs::read_dir(inbox.join("tree")).unwrap().count(), 31);
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
    let Some(command) = with_small_disk(&bob, "inbox", "size=4m", &then) else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    let ran = Process::start(command).end().exits(9);
    let told = ran.failure();
    assert!(told.contains("the disk is full") || told.contains("not enough room"), "{told}");
    assert!(ran.tells_no_result(), "{}", ran.out);
    let failed = node.event("failed");
    assert_eq!((&failed["kind"], &failed["hint"]), (&"disk".into(), &"".into()), "nothing to do here: {failed}");
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
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o555)).unwrap();
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
