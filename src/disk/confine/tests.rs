use std::fs;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

/// Does something in a thread that is confined to these bounds; nothing where the kernel cannot do it.
fn confined(bounds: Bounds, done: impl FnOnce(Held) + Send + 'static) {
    let thread = std::thread::spawn(move || match confine(&bounds) {
        // What it says then, the trial below shows.
        Held::No(_) => {}
        held => done(held),
    });
    thread.join().unwrap();
}

#[track_caller]
fn denied<T: std::fmt::Debug>(tried: io::Result<T>) {
    assert_eq!(tried.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

fn within(folder: &Path) -> Bounds {
    Bounds { writable: vec![folder.to_owned()], ..Bounds::default() }
}

#[test]
fn what_is_inside_is_used_as_before_and_what_is_outside_is_not_even_read() {
    let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (inside, outside) = (home.path().to_owned(), elsewhere.path().to_owned());
    fs::write(outside.join("secret"), "s").unwrap();
    fs::create_dir(outside.join("folder")).unwrap();
    confined(within(&inside), move |held| {
        assert!(matches!(held, Held::Yes { missing, .. } if missing.is_empty()));
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::create_dir(inside.join("c")).unwrap();
        fs::write(inside.join("a/b/file"), "x").unwrap();
        // From folder to folder, as everything that was received.
        fs::rename(inside.join("a/b/file"), inside.join("c/file")).unwrap();
        fs::hard_link(inside.join("c/file"), inside.join("a/again")).unwrap();
        symlink("c/file", inside.join("link")).unwrap();
        let mut replacing = tempfile::NamedTempFile::new_in(&inside).unwrap();
        io::Write::write_all(&mut replacing, b"new").unwrap();
        replacing.persist(inside.join("c/file")).unwrap();
        assert_eq!(fs::read(inside.join("link")).unwrap(), b"new");
        fs::File::options().write(true).truncate(true).open(inside.join("a/again")).unwrap();
        fs::remove_dir_all(inside.join("a")).unwrap();

        denied(fs::read(outside.join("secret")));
        denied(fs::read_dir(&outside));
        denied(fs::write(outside.join("new"), "x"));
        denied(fs::OpenOptions::new().append(true).open(outside.join("secret")));
        denied(fs::create_dir(outside.join("new")));
        denied(fs::remove_file(outside.join("secret")));
        denied(fs::remove_dir(outside.join("folder")));
        denied(symlink("x", outside.join("new")));
        // Nothing leads out of the bounds, and nothing is carried out.
        symlink(outside.join("secret"), inside.join("out")).unwrap();
        denied(fs::read(inside.join("out")));
        assert!(fs::rename(inside.join("c/file"), outside.join("new")).is_err());
        assert!(fs::hard_link(outside.join("secret"), inside.join("stolen")).is_err());
    });
    assert_eq!(fs::read(elsewhere.path().join("secret")).unwrap(), b"s");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 2);
}

#[test]
fn other_processes_of_the_same_user_keep_what_is_theirs() {
    let parent = std::os::unix::process::parent_id();
    confined(Bounds::default(), move |_| {
        for of_ours in ["/proc/self/status", "/proc/net/route", "/proc/sys/kernel/random/boot_id"] {
            fs::read(of_ours).unwrap();
        }
        for of_theirs in ["environ", "cmdline", "status"] {
            denied(fs::read(format!("/proc/{parent}/{of_theirs}")));
        }
        denied(fs::read("/proc/cmdline"));
    });
}

#[test]
fn every_thread_that_comes_later_is_confined_also_those_that_wait_for_disks() {
    let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = elsewhere.path().join("secret");
    fs::write(&secret, "s").unwrap();
    confined(within(home.path()), move |_| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let (one, two, three) = (secret.clone(), secret.clone(), secret);
        runtime.block_on(async {
            denied(tokio::spawn(async move { fs::read(one) }).await.unwrap());
            denied(tokio::task::spawn_blocking(move || fs::read(two)).await.unwrap());
        });
        denied(std::thread::spawn(move || fs::read(three)).join().unwrap());
    });
}

#[test]
fn what_is_only_read_is_not_written_and_nothing_is_run() {
    let home = tempfile::tempdir().unwrap();
    let (shared, single) = (home.path().join("shared"), home.path().join("single"));
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "x").unwrap();
    fs::write(&single, "y").unwrap();
    fs::copy("/bin/true", shared.join("program")).unwrap();
    let bounds = Bounds { readable: vec![shared.clone(), single.clone()], ..Bounds::default() };
    confined(bounds, move |_| {
        assert_eq!(fs::read(shared.join("file")).unwrap(), b"x");
        assert_eq!(fs::read_dir(&shared).unwrap().count(), 2);
        assert_eq!(fs::read(&single).unwrap(), b"y");
        denied(fs::write(shared.join("file"), "z"));
        denied(fs::write(&single, "z"));
        denied(fs::write(shared.join("new"), "z"));
        for program in [shared.join("program").as_path(), Path::new("/bin/true")] {
            denied(std::process::Command::new(program).status());
        }
    });
}

#[test]
fn nobody_is_dialled_and_only_the_port_that_was_named_is_listened_on() {
    let there = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = there.local_addr().unwrap();
    let allowed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bounds = |dials| Bounds { listens: vec![allowed], dials, ..Bounds::default() };
    let knows_tcp = |held: Held| matches!(held, Held::Yes { version: 4.., .. });
    confined(bounds(Dials::Nobody), move |held| {
        if knows_tcp(held) {
            denied(TcpStream::connect(address));
            denied(TcpListener::bind("127.0.0.1:0"));
            // Somebody else may have it by now; what counts is that the kernel would let us.
            let bound = TcpListener::bind(("127.0.0.1", allowed));
            assert!(bound.map_or_else(|error| error.kind() == ErrorKind::AddrInUse, |_| true));
        }
    });
    confined(bounds(Dials::Everybody), move |held| {
        if knows_tcp(held) {
            TcpStream::connect(address).unwrap();
            denied(TcpListener::bind("127.0.0.1:0"));
        }
    });
}

#[test]
fn whoever_may_listen_on_any_port_does_so_on_the_same_for_both_protocols() {
    confined(Bounds { listens: vec![0], ..Bounds::default() }, |_| {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let v6 = TcpListener::bind(("::1", v4.local_addr().unwrap().port()));
        // There may be no IPv6, or somebody else may have that port.
        assert!(v6.map_or_else(|error| error.kind() != ErrorKind::PermissionDenied, |_| true));
    });
}

#[test]
fn what_is_not_there_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (here, gone) = (home.path().join("here"), home.path().join("gone"));
    fs::create_dir(&here).unwrap();
    let bounds = Bounds { writable: vec![here.clone(), gone.clone()], ..Bounds::default() };
    confined(bounds, move |held| {
        assert!(matches!(held, Held::Yes { missing, .. } if missing == [gone.clone()]));
        fs::write(here.join("x"), "x").unwrap();
        denied(fs::create_dir(&gone));
    });
}

#[test]
fn a_trial_shows_that_it_holds_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (inside, outside) = (home.path().join("inside"), home.path().join("outside"));
    fs::create_dir(&inside).unwrap();
    fs::write(&outside, "x").unwrap();
    let trial = trial(&inside, &outside).unwrap();
    if let Held::No(_) = &trial.held {
        assert!(!trial.escaped.is_empty(), "what is not confined must be seen not to be");
        return;
    }
    assert_eq!(trial.escaped, Vec::<String>::new());
    // Whoever tried it is as free as before.
    assert_eq!(fs::read(&outside).unwrap(), b"x");
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
}
