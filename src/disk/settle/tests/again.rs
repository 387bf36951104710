//! Going on with what an earlier try left, and with nothing else.

use super::*;
#[cfg(target_os = "linux")]
use crate::disk::flush::Flush;

#[test]
fn a_second_try_goes_on_where_the_first_stopped() {
    let home = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3 * CHUNK + 7).map(|i| (i % 251) as u8).collect();
    let entry = file("big.iso", bytes.len());
    let first = open(home.path());
    assert_eq!(first.admit(vec![entry.clone()]).unwrap(), [Have::Nothing]);
    write(&first, 0, &bytes, 1..3).unwrap();
    first.leave();
    assert!(!home.path().join("big.iso").exists());
    drop(first);

    let again = open(home.path());
    let have = again.admit(vec![entry]).unwrap().remove(0);
    assert_eq!(have.bytes_of(bytes.len() as u64), 2 * CHUNK);
    write(&again, 0, &bytes, 0..1).unwrap();
    write(&again, 0, &bytes, 3..4).unwrap();
    end(&again, 0, &bytes).unwrap();
    let settled = settle(&again).unwrap();
    assert_eq!(settled[0].1, Outcome::Placed);
    assert_eq!(fs::read(home.path().join("big.iso")).unwrap(), bytes);
    let metadata = fs::metadata(home.path().join("big.iso")).unwrap();
    assert_eq!(Stamp::of(metadata.modified().unwrap()), WHEN);
    #[cfg(unix)]
    assert_ne!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100, 0);
}

#[test]
fn what_an_earlier_try_left_of_a_file_no_longer_offered_is_not_placed() {
    let home = tempfile::tempdir().unwrap();
    let first = open(home.path());
    first.admit(vec![file("t/gone", 3), file("t/stays", 3)]).unwrap();
    write(&first, 0, b"old", 0..1).unwrap();
    write(&first, 1, b"abc", 0..1).unwrap();
    first.leave();
    drop(first);
    let again = open(home.path());
    again.admit(vec![file("t/stays", 3)]).unwrap();
    end(&again, 0, b"abc").unwrap();
    assert_eq!(settle(&again).unwrap()[0].1, Outcome::Placed);
    assert_eq!(fs::read(home.path().join("t/stays")).unwrap(), b"abc");
    assert!(!home.path().join("t/gone").exists());
}

#[test]
fn what_came_of_a_pipe_is_not_kept() {
    let home = tempfile::tempdir().unwrap();
    let partial = open(home.path());
    let pipe = Entry { path: RelPath::parse("pipe").unwrap(), kind: EntryKind::Stream };
    partial.admit(vec![pipe]).unwrap();
    write(&partial, 0, &vec![1; CHUNK as usize], 0..1).unwrap();
    partial.leave();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn what_nobody_goes_on_with_for_a_week_is_cleared_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let root = Root::open(home.path()).unwrap();
    let begin = |set: u8| {
        let sender = PeerId::of_public_key(&[1; 32]);
        let partial = Arc::new(Partial::open(&root, sender, &[set; 32], TransferId::new()).unwrap());
        partial.admit(vec![file("big", 2 * CHUNK as usize)]).unwrap();
        write(&partial, 0, &vec![set; CHUNK as usize], 0..1).unwrap();
        partial
    };
    let staging = home.path().join(".ftx-partial");
    let areas = || {
        let mut names: Vec<_> = fs::read_dir(&staging).unwrap().map(|area| area.unwrap().path()).collect();
        names.sort();
        names
    };
    let age = |area: &Path| {
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(8 * 24 * 60 * 60);
        fs::File::options().write(true).open(area.join("journal")).unwrap().set_modified(old).unwrap();
    };
    begin(1).leave();
    let left = areas().remove(0);
    let used = begin(2);
    areas().iter().for_each(|area| age(area));
    fs::create_dir(staging.join("not ours")).unwrap();
    begin(3).leave();
    assert!(!left.exists(), "a week is over");
    assert_eq!(areas().len(), 3, "what is in use, what is new, what is not ours");
    used.leave();
}

/// An earlier try left a long file, a pipe and a file where now is a folder.
#[test]
fn nothing_of_an_earlier_try_shows_through() {
    let home = tempfile::tempdir().unwrap();
    let pipe = || Entry { path: RelPath::parse("pipe").unwrap(), kind: EntryKind::Stream };
    let first = open(home.path());
    first.admit(vec![file("big", 2 * CHUNK as usize), pipe(), file("t", 3)]).unwrap();
    let long = vec![9; CHUNK as usize];
    for entry in [0, 1] {
        write(&first, entry, &long, 0..1).unwrap();
    }
    write(&first, 2, b"abc", 0..1).unwrap();
    first.leave();
    drop(first);

    let again = open(home.path());
    let folder = Entry { path: RelPath::parse("t").unwrap(), kind: EntryKind::FOLDER };
    again.admit(vec![file("big", 4), pipe(), folder, file("t/x", 1)]).unwrap();
    for (entry, bytes) in [(0, &b"tiny"[..]), (1, b"short"), (3, b"x")] {
        write(&again, entry, bytes, 0..1).unwrap();
        end(&again, entry, bytes).unwrap();
    }
    assert!(settle(&again).unwrap().iter().all(|(_, outcome, _)| *outcome == Outcome::Placed));
    assert_eq!(fs::read(home.path().join("big")).unwrap(), b"tiny");
    assert_eq!(fs::read(home.path().join("pipe")).unwrap(), b"short");
    assert_eq!(fs::read(home.path().join("t/x")).unwrap(), b"x");
}

/// As a power cut leaves it: after the next start only what was synced counts.
fn after_a_reboot(home: &Path) {
    let area = fs::read_dir(home.join(".ftx-partial")).unwrap().next().unwrap().unwrap().path();
    let mut journal = fs::read(area.join("journal")).unwrap();
    journal[5..21].fill(0);
    fs::write(area.join("journal"), journal).unwrap();
}

/// What the journal said of bytes that are gone must not be believed of those in their place.
#[test]
fn bytes_of_something_else_are_not_taken_for_those_of_an_earlier_try() {
    let pipe = Entry { path: RelPath::parse("big").unwrap(), kind: EntryKind::Stream };
    let size = 2 * CHUNK as usize;
    let other_time = EntryKind::File { size: size as u64, modified: Stamp { seconds: 1, nanos: 0 }, executable: true };
    let changed = Entry { path: RelPath::parse("big").unwrap(), kind: other_time };
    for (between, told) in [(pipe, Have::Nothing), (changed, Have::Outdated)] {
        for power_cut in [false, true] {
            let home = tempfile::tempdir().unwrap();
            let first = open(home.path());
            first.admit(vec![file("big", size)]).unwrap();
            write(&first, 0, &vec![1; size], 0..1).unwrap();
            first.leave();
            drop(first);
            let second = open(home.path());
            assert_eq!(second.admit(vec![between.clone()]).unwrap(), std::slice::from_ref(&told));
            write(&second, 0, &vec![2; size], 0..1).unwrap();
            // Killed: it does not leave in good order.
            drop(second);
            if power_cut {
                after_a_reboot(home.path());
            }
            let third = open(home.path());
            let have = third.admit(vec![file("big", size)]).unwrap();
            assert!(matches!(have[..], [Have::Nothing | Have::Outdated]), "{have:?}, power cut: {power_cut}");
        }
    }
}

#[test]
fn what_was_synced_is_gone_on_with_after_a_power_cut() {
    let home = tempfile::tempdir().unwrap();
    let size = 3 * CHUNK as usize;
    let bytes = vec![1; size];
    for (chunk, had) in [(0, 0), (1, 1), (2, 2)] {
        let partial = open(home.path());
        let have = partial.admit(vec![file("big", size)]).unwrap().remove(0);
        assert_eq!(have.bytes_of(size as u64), had * CHUNK);
        write(&partial, 0, &bytes, chunk..chunk + 1).unwrap();
        partial.leave();
        drop(partial);
        after_a_reboot(home.path());
    }
}

#[test]
fn transfers_that_begin_and_end_at_once_do_not_get_in_each_others_way() {
    let home = tempfile::tempdir().unwrap();
    let root = Root::open(home.path()).unwrap();
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let root = &root;
            scope.spawn(move || {
                for _ in 0..100 {
                    let id = PeerId::of_public_key(&[sender; 32]);
                    Partial::open(root, id, &[0; 32], TransferId::new()).unwrap().leave();
                }
            });
        }
    });
}

/// The first try wrote a chunk of which its journal does not tell, as when the power fails.
#[test]
fn zeros_are_zeros_also_where_an_earlier_try_has_written() {
    let home = tempfile::tempdir().unwrap();
    let mut bytes = vec![0; 4 * CHUNK as usize];
    bytes[..CHUNK as usize].fill(1);
    let first = open(home.path());
    first.admit(vec![file("disk", bytes.len())]).unwrap();
    write(&first, 0, &bytes, 0..2).unwrap();
    let mut staged = first.area.data().unwrap().open_with("disk", cap_std::fs::OpenOptions::new().write(true)).unwrap();
    io::Seek::seek(&mut staged, io::SeekFrom::Start(2 * CHUNK)).unwrap();
    io::Write::write_all(&mut staged, &vec![9; CHUNK as usize + 5]).unwrap();
    first.leave();
    drop(first);

    let again = open(home.path());
    let have = again.admit(vec![file("disk", bytes.len())]).unwrap().remove(0);
    assert_eq!(have.bytes_of(bytes.len() as u64), 2 * CHUNK, "a hole counts as there");
    write(&again, 0, &bytes, 2..4).unwrap();
    end(&again, 0, &bytes).unwrap();
    assert_eq!(settle(&again).unwrap()[0].1, Outcome::Placed);
    assert!(fs::read(home.path().join("disk")).unwrap() == bytes);
}

/// Windows moves no folder that is open.
#[cfg(unix)]
#[test]
fn what_nobody_can_go_on_with_is_cleared_also_where_it_could_not_be_put_into_place() {
    let home = tempfile::tempdir().unwrap();
    let mut beside = open(home.path());
    // As if another of the same had been under way for long.
    let (staging, name) = (home.path().join(".ftx-partial"), format!("{}-x", beside.area.name));
    fs::rename(staging.join(&beside.area.name), staging.join(&name)).unwrap();
    Arc::get_mut(&mut beside).unwrap().area.name = name;
    beside.admit(vec![file("a", 3)]).unwrap();
    write(&beside, 0, b"abc", 0..1).unwrap();
    end(&beside, 0, b"abc").unwrap();
    beside.area.data().unwrap().remove_file("a").unwrap();
    assert!(settle(&beside).is_err());
    beside.leave();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

/// Whoever waits for a folder may find it while it is being cleared.
#[test]
fn what_is_made_in_a_folder_that_is_cleared_just_then_is_not_cleared_with_it() {
    let home = tempfile::tempdir().unwrap();
    let root = Root::open(home.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let root = &root;
            scope.spawn(move || {
                for _ in 0..50 {
                    let partial = Partial::open(root, PeerId::of_public_key(&[1; 32]), &[0; 32], TransferId::new());
                    let partial = Arc::new(partial.unwrap());
                    partial.admit((0..20).map(|n| file(&format!("t/{n}"), 3)).collect()).unwrap();
                    (0..20).for_each(|entry| write(&partial, entry, b"abc", 0..1).unwrap());
                    let fault = Fault::new(FaultKind::Other, "it changed");
                    (0..20).for_each(|entry| Writer::new(&partial).give_up(entry, fault.clone()).unwrap());
                    partial.leave();
                }
            });
        }
    });
}

/// A sender that lost its connection is back before the receiver has noticed that it was gone.
#[test]
fn a_transfer_goes_on_with_what_another_of_the_same_leaves_just_then() {
    let home = tempfile::tempdir().unwrap();
    let bytes = vec![7; 2 * CHUNK as usize];
    let first = open(home.path());
    first.admit(vec![file("big", bytes.len())]).unwrap();
    write(&first, 0, &bytes, 0..1).unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| open(home.path()).admit(vec![file("big", bytes.len())]).unwrap());
        first.leave();
        drop(first);
        assert_eq!(
            second.join().unwrap(),
            [Have::Chunks(vec![crate::base::manifest::ChunkRun { first: 0, count: 1 }])]
        );
    });
}

#[test]
fn what_was_kept_outlives_a_try_that_ends_before_it_is_offered_again() {
    let home = tempfile::tempdir().unwrap();
    let bytes = vec![7; 2 * CHUNK as usize];
    let first = open(home.path());
    first.admit(vec![file("big", bytes.len())]).unwrap();
    write(&first, 0, &bytes, 0..1).unwrap();
    first.leave();
    drop(first);
    open(home.path()).leave();
    drop(open(home.path()));
    let have = open(home.path()).admit(vec![file("big", bytes.len())]).unwrap();
    assert!(matches!(have[0], Have::Chunks(_)), "{have:?}");
}

/// The connection may be gone before its staging is open.
#[test]
fn staging_that_nobody_waits_for_any_more_is_cleared() {
    let home = tempfile::tempdir().unwrap();
    drop(open(home.path()));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn one_sender_leaves_so_much_behind_and_what_is_oldest_goes_first() {
    let home = tempfile::tempdir().unwrap();
    let root = Root::open(home.path()).unwrap();
    let (greedy, honest) = (PeerId::of_public_key(&[1; 32]), PeerId::of_public_key(&[2; 32]));
    let open = |peer: PeerId, set: u8| {
        let partial = Arc::new(Partial::open(&root, peer, &[set; 32], TransferId::new()).unwrap());
        let haves = partial.admit(vec![file("big", 2 * CHUNK as usize)]).unwrap();
        (partial, haves[0] == Have::Nothing)
    };
    let leave = |peer: PeerId, set: u8| {
        let (partial, fresh) = open(peer, set);
        assert!(fresh);
        write(&partial, 0, &vec![set; CHUNK as usize], 0..1).unwrap();
        partial.leave();
    };
    leave(honest, 1);
    (0..40).for_each(|set| leave(greedy, set));
    assert_eq!(fs::read_dir(home.path().join(".ftx-partial")).unwrap().count(), 1 + 32);
    let is_gone = |peer, set| {
        let (partial, fresh) = open(peer, set);
        partial.leave();
        fresh
    };
    assert!(!is_gone(honest, 1) && !is_gone(greedy, 39) && is_gone(greedy, 0));
}

/// A handle through which nothing can be synced.
#[cfg(target_os = "linux")]
fn broken(partial: &Partial) -> Flush {
    use rustix::fs::{Mode, OFlags, openat};
    Flush {
        open: openat(&*partial.area.data().unwrap(), ".", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap(),
    }
}

/// Linux tells once that something could not be written; asked again, it says that all is well.
#[cfg(target_os = "linux")]
#[test]
fn what_could_not_be_synced_is_not_believed_though_the_next_sync_succeeds() {
    let home = tempfile::tempdir().unwrap();
    let bytes = vec![1; 3 * CHUNK as usize];
    let first = open(home.path());
    first.admit(vec![file("big", bytes.len())]).unwrap();
    write(&first, 0, &bytes, 0..1).unwrap();
    first.leave();
    drop(first);
    let mut second = open(home.path());
    second.admit(vec![file("big", bytes.len())]).unwrap();
    write(&second, 0, &bytes, 1..3).unwrap();
    end(&second, 0, &bytes).unwrap();
    let broken = broken(&second);
    let good = std::mem::replace(&mut Arc::get_mut(&mut second).unwrap().area.flush, broken);
    assert!(second.area.checkpoint().is_err());
    Arc::get_mut(&mut second).unwrap().area.flush = good;
    assert!(settle(&second).is_err(), "once it has failed, it has failed");
    second.leave();
    drop(second);
    let have = open(home.path()).admit(vec![file("big", bytes.len())]).unwrap().remove(0);
    assert_eq!(have.bytes_of(bytes.len() as u64), CHUNK, "what was synced before is");
}

#[cfg(unix)]
#[test]
fn one_file_that_could_not_be_synced_makes_all_that_came_doubtful() {
    let home = tempfile::tempdir().unwrap();
    let partial = open(home.path());
    partial.admit(vec![file("a", 3), file("b", 3)]).unwrap();
    for entry in [0, 1] {
        write(&partial, entry, b"abc", 0..1).unwrap();
        end(&partial, entry, b"abc").unwrap();
    }
    // Which opens, and cannot be synced.
    let area = fs::read_dir(home.path().join(".ftx-partial")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(area.join("data/a")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(area.join("data/a")).status().unwrap().success());
    assert!(settle(&partial).is_err());
    partial.leave();
    drop(partial);
    let have = open(home.path()).admit(vec![file("a", 3), file("b", 3)]).unwrap();
    assert_eq!(have, [Have::Nothing, Have::Nothing]);
}
