//! Who else on this machine may do what with our files, whatever the umask; and what a crash leaves behind.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::house::dam::Dam;
use crate::house::home::{Home, Node, PROGRAM};
use crate::house::hub::Hub;
use crate::house::noise;
use crate::house::process::Process;

/// A command of a home's owner under this umask.
fn under(home: &Home, umask: &str, args: &[&str]) -> Process {
    let typed = home.command(args);
    let mut command = Command::new("sh");
    home.dress(&mut command);
    command.args(["-c", "umask \"$0\"; exec \"$@\"", umask, PROGRAM]).args(typed.get_args()).arg("--json");
    Process::start(command)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Everything below a folder, with the folder, and its modes.
fn modes(folder: &Path) -> Vec<(PathBuf, u32, bool)> {
    let is_folder = fs::symlink_metadata(folder).unwrap().is_dir();
    let mut found = vec![(folder.to_owned(), mode(folder), is_folder)];
    if is_folder {
        for child in fs::read_dir(folder).unwrap() {
            found.extend(modes(&child.unwrap().path()));
        }
    }
    found
}

/// That nobody else gets to anything in a folder of ours, and that its owner does.
#[track_caller]
fn is_private(folder: &Path, but: &[&str]) {
    for (path, mode, is_folder) in modes(folder) {
        let shown = format!("{} {mode:o}", path.display());
        assert_eq!(mode & 0o600, 0o600, "{shown}");
        if is_folder {
            assert_eq!(mode & 0o100, 0o100, "{shown}");
        }
        // Bytes of others' files have the mode that they will have; their folder keeps everybody out.
        let below = path.strip_prefix(folder).unwrap();
        if !but.iter().any(|but| below.starts_with(but)) {
            assert_eq!(mode & 0o077, 0, "{shown}");
        }
    }
    assert_eq!(mode(folder) & 0o077, 0, "{}", folder.display());
}

#[test]
fn s10_whatever_the_umask_our_files_are_ours_alone_and_what_is_received_is_as_usual() {
    for (umask, usual) in [("000", 0o666), ("022", 0o644), ("027", 0o640), ("077", 0o600), ("777", 0o600)] {
        let (bob, alice) = (Home::new("bob"), Home::new("alice"));
        let up = ["up", "--port", "0", "--dir", "inbox", "--accept", "all"];
        let node = Node::new(under(&alice, umask, &up));
        bob.write("a", "a");
        bob.write("big", noise(1, 4 << 20));
        under(&bob, umask, &["push", "a", &node.at()]).end().done();
        assert_eq!(mode(&alice.path("inbox/a")), usual, "{umask}");
        // While something is on its way.
        let dam = Dam::with_gate(node.port(), 2 << 20);
        let pushing = under(&bob, umask, &["push", "big", &dam.at(), "--connections", "1"]);
        crate::house::until("half of it is staged", || {
            crate::survive::staged(&alice).filter(|bytes| *bytes >= 1 << 20)
        });
        let staging = alice.path("inbox/.ftx-partial");
        assert_eq!(mode(&staging), 0o700, "{umask}");
        for area in fs::read_dir(&staging).unwrap() {
            is_private(&area.unwrap().path(), &["data", "lock", "journal"]);
        }
        dam.open();
        pushing.end().done();
        assert_eq!(mode(&alice.path("inbox/big")), usual, "{umask}");
        is_private(&alice.path(".config/ftx"), &[]);
        is_private(&bob.path(".config/ftx"), &[]);
    }
}

#[test]
fn s10_whatever_the_umask_what_is_a_hubs_own_is_its_owners_alone() {
    for umask in ["000", "077", "777"] {
        let mut hub = Hub::at_rest(&[]);
        let typed: Vec<String> = hub.typed().iter().map(ToString::to_string).collect();
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        hub.runs(under(&hub.home, umask, &typed));
        let anna = hub.member("anna");
        anna.write("a", "a");
        anna.run(&["push", "a", &hub.at("shared")]).done();
        anna.write("a", "another");
        anna.run(&["push", "a", &hub.at("shared")]).done();
        let own = hub.path(".ftx");
        // Kept versions and what is on its way are people's files.
        is_private(&own, &["versions"]);
        let has = |name: &str| assert!(own.join(name).exists(), "{name}: {:?}", modes(&own));
        ["key", "register.toml", "catalogue.sqlite", "catalogue.sqlite-wal", "lock"].iter().for_each(|name| has(name));
        is_private(&hub.home.path(".config/ftx"), &[]);
    }
}

#[test]
fn s10_a_key_that_others_may_read_or_replace_is_refused_with_the_fix() {
    let bob = Home::new("bob");
    bob.run(&["peers"]).done();
    let (key, folder) = (bob.path(".config/ftx/key"), bob.path(".config/ftx"));
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (path, bad, good, fix) in [
        (&key, 0o640, 0o600, format!("chmod 600 {}", key.display())),
        (&key, 0o604, 0o600, format!("chmod 600 {}", key.display())),
        (&folder, 0o777, 0o700, format!("chmod go-w {}", folder.display())),
        (&folder, 0o730, 0o700, format!("chmod go-w {}", folder.display())),
    ] {
        set(path, bad);
        for args in [&["peers"][..], &["up", "--port", "0"], &["push", "x", "y"]] {
            let told = bob.run(args).exits(10).failure();
            assert!(told.contains(&fix), "{fix} is not told: {told}");
        }
        set(path, good);
        bob.run(&["peers"]).done();
    }
    // A link to it is its owner's choice; what it leads to counts.
    fs::rename(&key, bob.path("dotfile")).unwrap();
    std::os::unix::fs::symlink(bob.path("dotfile"), &key).unwrap();
    bob.run(&["peers"]).done();
    set(&bob.path("dotfile"), 0o644);
    bob.run(&["peers"]).exits(10);
    set(&bob.path("dotfile"), 0o600);
    // What others may write to is not believed, either.
    let (book, config) = (bob.path(".config/ftx/peers.toml"), bob.path(".config/ftx/config.toml"));
    bob.write(".config/ftx/peers.toml", "version = 1\n");
    bob.write(".config/ftx/config.toml", "accept = \"ask\"\n");
    set(&folder, 0o755);
    for path in [&book, &config] {
        set(path, 0o666);
        let told = bob.run(&["peers"]).exits(10).failure();
        assert!(told.contains(&format!("chmod go-w {}", path.display())), "{told}");
        set(path, 0o644);
    }
    bob.run(&["peers"]).done();
}

#[test]
fn s10_a_hubs_key_and_register_that_others_may_read_are_refused_with_the_fix() {
    let mut hub = Hub::start();
    hub.stop().done();
    for file in [".ftx/key", ".ftx/register.toml"] {
        let path = hub.path(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let told = hub.home.run(&hub.typed()).exits(10).failure();
        assert!(told.contains(&format!("chmod 600 {}", path.display())), "{told}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let own = hub.path(".ftx");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o770)).unwrap();
    let told = hub.home.run(&hub.typed()).exits(10).failure();
    assert!(told.contains(&format!("chmod go-w {}", own.display())), "{told}");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
    hub.restart();
}

/// Has a command crash that was allowed to leave an image of itself; whether it did.
fn leaves_a_core(mut command: Command, ready: impl FnOnce(&Path)) -> bool {
    let folder = tempfile::tempdir().unwrap();
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    ready(&PathBuf::from(format!("/proc/{}", child.id())));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::ABORT).unwrap();
    let ended = child.wait().unwrap();
    assert_eq!(ended.signal(), Some(6), "it crashed");
    ended.core_dumped() || fs::read_dir(folder.path()).unwrap().next().is_some()
}

#[test]
fn s10_a_crash_leaves_no_image_with_the_key_in_it() {
    let alice = Home::new("alice");
    let typed = alice.command(&["up", "--port", "0", "--dir", alice.path("inbox").to_str().unwrap()]);
    let mut command = Command::new("sh");
    alice.dress(&mut command);
    command.args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\"", PROGRAM]).args(typed.get_args());
    let core = leaves_a_core(command, |process| {
        crate::house::until("the node is guarded and up", || alice.path("inbox").exists().then_some(()));
        let limits = fs::read_to_string(process.join("limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
        // What is not to be looked into belongs to root there.
        if !rustix::process::geteuid().is_root() {
            assert_eq!(fs::metadata(process.join("maps")).unwrap().uid(), 0);
        }
    });
    assert!(!core, "the image of a crashed node was kept");
    // That the same would have been kept of others, or this shows nothing.
    let mut other = Command::new("sh");
    other.args(["-c", "ulimit -c unlimited 2>/dev/null; exec sleep 60"]);
    let shows = leaves_a_core(other, |process| {
        let is_sleep = || fs::read_to_string(process.join("comm")).ok().filter(|comm| comm == "sleep\n");
        crate::house::until("it sleeps", is_sleep);
    });
    if !shows {
        eprintln!("this machine keeps no image of any process: only the limits were looked at");
    }
}
