//! Trees: what of them is left out, and that everything else is the same at the other end.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use crate::house::home::Home;
use crate::house::noise;
use crate::house::process::Process;

#[test]
fn what_is_excluded_is_not_sent_and_no_failure() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    for path in ["tree/a.c", "tree/a.o", "tree/target/deep/x", "tree/sub/b.o", "tree/sub/b.c", "loose.o"] {
        bob.write(path, path);
    }
    let args = ["push", "tree", "loose.o", &node.at(), "--exclude", "*.o", "--exclude", "target/"];
    let pushed = bob.run(&args).done().last();
    assert_eq!(alice.tree("inbox"), ["tree/", "tree/a.c", "tree/sub/", "tree/sub/b.c"]);
    assert_eq!(pushed["verified"], true);
    assert_eq!(pushed["excluded"], serde_json::json!(["loose.o", "tree/a.o", "tree/sub/b.o", "tree/target/"]));

    let plain = bob.run_plain(&args).done();
    assert!(plain.err.contains("4 files and folders left out"), "{}", plain.err);
    assert!(!plain.err.contains("target"), "{}", plain.err);
    let verbose = bob.run_plain(&[&args[..], &["-v"]].concat()).done();
    assert!(verbose.err.contains("left out: tree/target/"), "{}", verbose.err);
}

#[test]
fn what_git_ignores_is_left_out_on_request() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write(".config/git/ignore", "*.swp\n");
    bob.write("project/.git/info/exclude", "my-notes\n");
    bob.write("project/.gitignore", "/target\n*.log\n");
    bob.write("project/docs/.gitignore", "!kept.log\n");
    for path in ["src/main.rs", "src/.main.rs.swp", "target/debug/x", "a.log", "docs/kept.log", "my-notes"] {
        bob.write(&format!("project/{path}"), path);
    }
    bob.run(&["push", "project", &node.at(), "--gitignore"]).done();
    let sent = [".gitignore", "docs/", "docs/.gitignore", "docs/kept.log", "src/", "src/main.rs"];
    assert_eq!(alice.tree("inbox/project"), sent);
    bob.run(&["push", "project", &node.at()]).done();
    assert_eq!(alice.tree("inbox/project"), bob.tree("project"), "without being asked, everything is sent");
}

#[test]
fn a_glob_that_is_none_is_told_before_anybody_is_looked_for() {
    let bob = Home::new("bob");
    bob.write("a", "a");
    for glob in ["[", ""] {
        let told = bob.run(&["push", "a", "peer", "--exclude", glob]).exits(2).failure();
        assert!(told.contains("--exclude"), "{told}");
    }
    let told = bob.run(&["push", "a", "peer", "--exclude", "a"]).exits(1).failure();
    assert!(told.contains("nothing was sent"), "{told}");
}

#[test]
fn holes_stay_holes() {
    const SIZE: u64 = 64 << 20;
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let path = bob.write("disk.img", "boot sector");
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(SIZE / 2)).unwrap();
    file.write_all(&noise(1, 100_000)).unwrap();
    file.set_len(SIZE).unwrap();
    drop(file);
    bob.run(&["push", "disk.img", &node.at()]).done();
    assert!(alice.read("inbox/disk.img") == bob.read("disk.img"));
    #[cfg(target_os = "linux")]
    {
        let room = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(alice.path("inbox/disk.img")).unwrap()) * 512;
        assert!(room < SIZE / 16, "{room} bytes are allocated");
    }
    let mut command = bob.command(&["push", "-", "--as", "piped", &node.at()]);
    command.arg("--json");
    Process::start_with_input(command, &bob.read("disk.img")).end().done();
    assert!(alice.read("inbox/piped") == bob.read("disk.img"), "also where the length is not known");
}
