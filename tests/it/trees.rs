//! Trees: what of them is left out, and that everything else is the same at the other end.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
#[cfg(unix)]
use std::time::{Duration, SystemTime};

#[cfg(target_os = "linux")]
use crate::disk_full::with_small_disk;
use crate::house::home::Home;
#[cfg(target_os = "linux")]
use crate::house::home::Node;
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
    let previewed = bob.run_plain(&[&args[..], &["--dry-run"]].concat()).done();
    assert!(previewed.err.contains("4 files and folders left out"), "{}", previewed.err);
    assert!(previewed.out.contains("would move to") && !previewed.out.contains(".o "), "{}", previewed.out);
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
fn what_has_a_name_of_ftx_itself_is_not_sent_and_named() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    for path in ["a", ".ftxrc", ".ftx/key", "sub/.FTX-notes", ".ftx-partial/00/journal"] {
        bob.write(&format!("tree/{path}"), path);
    }
    let pushed = bob.run(&["push", "tree", &node.at()]).done().last();
    assert_eq!(alice.tree("inbox"), ["tree/", "tree/.ftxrc", "tree/a", "tree/sub/"]);
    let kept = |path: &str| format!("tree/{path}: a name that ftx keeps for itself; not sent");
    assert_eq!(pushed["notes"], serde_json::json!([kept(".ftx"), kept("sub/.FTX-notes")]));
    let plain = bob.run_plain(&["push", "tree", &node.at()]).done();
    assert!(plain.err.contains(&kept(".ftx")), "{}", plain.err);
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

/// Everything that can be said of what is below a folder, but the times of folders and links,
/// which do not travel.
#[cfg(target_os = "linux")]
fn facts(home: &Home, below: &str) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let said = |path: String| {
        if path.contains(" -> ") {
            return path;
        }
        let metadata = fs::metadata(home.path(below).join(&path)).unwrap();
        let time = metadata.modified().unwrap();
        if metadata.is_dir() {
            return format!("{path}: {time:?}");
        }
        let executable = metadata.permissions().mode() & 0o100 != 0;
        format!("{path}: {time:?} {executable} {:?}", home.read(&format!("{below}/{path}")))
    };
    home.tree(below).into_iter().map(said).collect()
}

/// Forty levels, names as long as they may be, everything that is empty, links, times before 1970.
#[cfg(target_os = "linux")]
fn plant(home: &Home) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let deep: Vec<String> = (1..=40).map(|level| format!("level {level}")).collect();
    let long = ["x".repeat(255), format!("{}y", "ä".repeat(127)), "z".repeat(255)];
    home.write(&format!("tree/{}/bottom", deep.join("/")), "as deep as it gets");
    home.write(&format!("tree/{}/{}", long.join("/"), "e".repeat(255)), "long");
    home.write(&format!("tree/{}", "f".repeat(255)), "");
    home.folder("tree/empty/emptier");
    for (index, name) in ["-rf", " lead", "trail ", "dots...", "con", "a:b*?", "\u{1f980}", "\u{5d0}b", "Case", "case"]
        .iter()
        .enumerate()
    {
        let path = home.write(&format!("tree/odd/{name}"), noise(index as u32, index * 7));
        let when = SystemTime::UNIX_EPOCH - Duration::new(86_400 * index as u64, 123_456_700);
        fs::File::options().write(true).open(&path).unwrap().set_modified(when).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(if index % 2 == 0 { 0o755 } else { 0o600 })).unwrap();
    }
    symlink("../odd/case", home.path("tree/empty/link")).unwrap();
    symlink("level 1/level 2", home.path("tree/to-folder")).unwrap();
    symlink("nowhere", home.path("tree/broken")).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_tree_with_everything_in_it_is_the_same_after_a_push_and_after_a_pull() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    plant(&bob);
    let node = alice.up(&["--accept", "all", "--share", "inbox", "--share-with", "all"]);
    bob.run(&["push", "tree", &node.at()]).done();
    let there = facts(&bob, "tree");
    assert!(there.len() > 55, "{}", there.len());
    assert_eq!(facts(&alice, "inbox/tree"), there);
    bob.run(&["pull", &format!("{}:inbox/tree", node.at()), "--to", "back"]).done();
    assert_eq!(facts(&bob, "back/tree"), there);
    let again = bob.run(&["push", "tree", &node.at()]).done().last();
    assert_eq!(again["bytes_moved"], 0);
    assert_eq!(facts(&alice, "inbox/tree"), there, "and after nothing was sent");
}

/// Times of folders that are made; those of folders that are there already are the receiver's.
#[cfg(unix)]
#[test]
fn a_folder_that_is_there_already_keeps_its_time() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("tree/sub/old", "old");
    let set = |path, seconds| {
        let when = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        fs::File::open(path).unwrap().set_modified(when).unwrap();
    };
    let seconds = |home: &Home, path: &str| {
        let modified = fs::metadata(home.path(path)).unwrap().modified().unwrap();
        modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    };
    set(bob.path("tree"), 1_000_000_000);
    bob.run(&["push", "tree", &node.at()]).done();
    assert_eq!(seconds(&alice, "inbox/tree"), 1_000_000_000);
    set(alice.path("inbox/tree"), 1_500_000_000);
    bob.write("tree/sub/new", "new");
    bob.run(&["push", "tree", &node.at()]).done();
    assert_eq!(alice.tree("inbox/tree"), ["sub/", "sub/new", "sub/old"]);
    assert_eq!(seconds(&alice, "inbox/tree"), 1_500_000_000);
}

/// Names travel in one normal form: of two that are one in it, the other is numbered, and told.
#[cfg(target_os = "linux")]
#[test]
fn names_that_differ_in_their_normal_form_only_both_arrive() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("tree/\u{e9}", "one form");
    bob.write("tree/e\u{301}", "the other");
    std::os::unix::fs::symlink("./e\u{301}x", bob.path("tree/link")).unwrap();
    let pushed = bob.run(&["push", "tree", &node.at()]).done().last();
    assert_eq!(alice.tree("inbox/tree"), ["link -> \u{e9}x", "\u{e9}", "\u{e9} (1)"]);
    assert_eq!(alice.read("inbox/tree/\u{e9}"), b"one form", "whose name can travel keeps it");
    assert_eq!(alice.read("inbox/tree/\u{e9} (1)"), b"the other");
    assert!(pushed["notes"].to_string().contains("(1)"), "{pushed}");
}

/// A file that is there already, equal but for its mode.
#[cfg(unix)]
#[test]
fn what_is_there_already_becomes_as_executable_as_what_is_sent() {
    use std::os::unix::fs::PermissionsExt;
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("run.sh", "#!/bin/sh\n");
    let may_run = || fs::metadata(alice.path("inbox/run.sh")).unwrap().permissions().mode() & 0o111 != 0;
    let set = |mode| fs::set_permissions(bob.path("run.sh"), PermissionsExt::from_mode(mode)).unwrap();
    for (mode, time) in [(0o600, 1), (0o700, 1), (0o600, 1), (0o700, 2)] {
        // Where the time is another one, the bytes are sent and compared.
        let when = SystemTime::UNIX_EPOCH + Duration::from_secs(time);
        fs::File::options().write(true).open(bob.path("run.sh")).unwrap().set_modified(when).unwrap();
        set(mode);
        bob.run(&["push", "run.sh", &node.at()]).done();
        set(0o600);
        assert_eq!(may_run(), mode == 0o700);
    }
    assert_eq!(alice.tree("inbox"), ["run.sh"]);
}

/// Something is mounted below the folder that receives: nothing can be renamed to there.
#[cfg(target_os = "linux")]
#[test]
fn what_one_folder_does_not_take_fails_by_its_name_and_everything_else_arrives() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let then = format!(
        "exec '{}' up --port 0 --dir inbox --accept all --json --interface {} --name {}",
        crate::house::home::PROGRAM,
        crate::house::home::loopback(),
        alice.name()
    );
    alice.folder("inbox/tree/sub");
    let Some(command) = with_small_disk(&alice, "inbox/tree/sub", "size=4m", &then) else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    let node = Node::new(Process::start(command));
    for path in ["tree/a", "tree/sub/b", "tree/sub/new/c", "tree/z/d"] {
        bob.write(path, path);
    }
    for sent in [true, false] {
        let pushed = bob.run(&["push", "tree", &node.at()]).exits(8).last();
        let failed = |path: &str| {
            let entries = pushed["entries"].as_array().unwrap();
            let entry = entries.iter().find(|entry| entry["path"] == path).unwrap();
            entry["outcome"] == "failed" && entry["error"].to_string().contains("in another file system")
        };
        assert!(["tree/sub/b", "tree/sub/new/c"].into_iter().all(failed), "{pushed}");
        assert!(!failed("tree/a") && !failed("tree/z/d") && !failed("tree/sub"), "{pushed}");
        assert_eq!(alice.read("inbox/tree/z/d"), b"tree/z/d");
        assert_eq!(pushed["bytes_moved"] != 0, sent, "what waits is not sent again: {pushed}");
    }
}
