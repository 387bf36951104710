//! Staging and settling together, on a real file system.

use std::fs;
use std::path::Path;

use super::*;
use crate::base::digest::{CHUNK, ChunkHash, VerifiedChunk};
use crate::base::id::{PeerId, TransferId};
use crate::base::manifest::Have;
use crate::disk::partial::{End, Partial};
use crate::disk::writer::Writer;

const WHEN: Stamp = Stamp { seconds: 1_700_000_000, nanos: 5 };

fn open(home: &Path) -> Arc<Partial> {
    open_with(home, Conflict::Rename)
}

fn open_with(home: &Path, conflict: Conflict) -> Arc<Partial> {
    let root = Root::open(home).unwrap().on_conflict(conflict);
    Arc::new(Partial::open(&root, PeerId::of_public_key(&[1; 32]), &[0; 32], TransferId::new()).unwrap())
}

fn file(path: &str, size: usize) -> Entry {
    let kind = EntryKind::File { size: size as u64, modified: WHEN, executable: true };
    Entry { path: RelPath::parse(path).unwrap(), kind }
}

fn write(partial: &Arc<Partial>, entry: u32, bytes: &[u8], which: std::ops::Range<usize>) -> Result<(), Fault> {
    let mut writer = Writer::new(partial);
    for (index, chunk) in bytes.chunks(CHUNK as usize).enumerate() {
        if which.contains(&index) {
            let chunk = VerifiedChunk::verify(index as u32, chunk, ChunkHash::of(chunk)).unwrap();
            writer.write(entry, &chunk)?;
        }
    }
    Ok(())
}

fn end(partial: &Arc<Partial>, entry: u32, bytes: &[u8]) -> Result<(), Fault> {
    let hashes: Vec<_> = bytes.chunks(CHUNK as usize).map(ChunkHash::of).collect();
    let size = bytes.len() as u64;
    Writer::new(partial).end(entry, End { size, digest: EntryDigest::over(size, hashes.iter()) })
}

fn send(home: &Path, path: &str, bytes: &[u8]) -> Outcome {
    send_with(home, Conflict::Rename, path, bytes)
}

fn send_with(home: &Path, conflict: Conflict, path: &str, bytes: &[u8]) -> Outcome {
    let partial = open_with(home, conflict);
    let have = partial.admit(vec![file(path, bytes.len())]).unwrap();
    if have[0] == Have::Nothing {
        write(&partial, 0, bytes, 0..usize::MAX).unwrap();
        end(&partial, 0, bytes).unwrap();
    }
    partial.settle().unwrap().remove(0).1
}

#[test]
fn nothing_is_ever_replaced_and_equal_files_are_skipped() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(send(home.path(), "a.txt", b"one"), Outcome::Placed);
    assert_eq!(send(home.path(), "a.txt", b"one"), Outcome::Unchanged);
    let other = send(home.path(), "a.txt", b"other");
    assert_eq!(other, Outcome::PlacedAs(RelPath::parse("a (1).txt").unwrap()));
    assert_eq!(send(home.path(), "a.txt", b"other"), Outcome::Unchanged);
    assert_eq!(fs::read(home.path().join("a.txt")).unwrap(), b"one");
    assert_eq!(fs::read(home.path().join("a (1).txt")).unwrap(), b"other");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2, "staging is cleared");
}

#[test]
fn a_taken_name_is_skipped_where_the_owner_chose_so() {
    let home = tempfile::tempdir().unwrap();
    let skip = |path: &str, bytes: &[u8]| send_with(home.path(), Conflict::Skip, path, bytes);
    assert_eq!(skip("a.txt", b"one"), Outcome::Placed);
    assert_eq!(skip("a.txt", b"one"), Outcome::Unchanged);
    assert_eq!(skip("a.txt", b"other"), Outcome::Skipped);
    fs::create_dir(home.path().join("folder")).unwrap();
    assert_eq!(skip("folder", b"a file"), Outcome::Skipped);
    assert_eq!(skip("folder/new", b"new"), Outcome::Placed, "folders are merged");
    assert_eq!(skip("a.txt/below", b"x"), Outcome::Skipped, "a file stands on the way");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("folder", home.path().join("link")).unwrap();
        assert_eq!(skip("link/below", b"x"), Outcome::Skipped, "a link stands on the way");
        assert_eq!(skip("link", b"x"), Outcome::Skipped);
    }
    assert_eq!(fs::read(home.path().join("a.txt")).unwrap(), b"one");
    assert!(!home.path().join("folder/below").exists());
    assert!(!home.path().join(".ftx-partial").exists(), "staging is cleared");
}

#[test]
fn what_takes_a_name_meanwhile_stays_where_names_are_skipped() {
    let home = tempfile::tempdir().unwrap();
    let partial = open_with(home.path(), Conflict::Skip);
    let folder = Entry { path: RelPath::parse("t").unwrap(), kind: EntryKind::Directory };
    partial.admit(vec![file("a", 3), file("b", 3), folder, file("t/x", 1)]).unwrap();
    for (entry, bytes) in [(0, &b"abc"[..]), (1, b"abc"), (3, b"x")] {
        write(&partial, entry, bytes, 0..1).unwrap();
        end(&partial, entry, bytes).unwrap();
    }
    fs::write(home.path().join("a"), "new").unwrap();
    fs::write(home.path().join("b"), "abc").unwrap();
    fs::write(home.path().join("t"), "no folder").unwrap();
    let outcomes: Vec<_> = partial.settle().unwrap().into_iter().map(|(_, outcome, _)| outcome).collect();
    assert_eq!(outcomes, [Outcome::Skipped, Outcome::Equal, Outcome::Skipped, Outcome::Skipped]);
    assert_eq!(fs::read(home.path().join("a")).unwrap(), b"new");
    assert_eq!(fs::read(home.path().join("t")).unwrap(), b"no folder");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3);
}

#[test]
fn a_file_is_replaced_where_the_owner_chose_so_and_a_folder_never() {
    let home = tempfile::tempdir().unwrap();
    let replace = |path: &str, bytes: &[u8]| send_with(home.path(), Conflict::Replace, path, bytes);
    assert_eq!(send(home.path(), "a.txt", b"one"), Outcome::Placed);
    assert_eq!(send(home.path(), "a.txt", b"other"), Outcome::PlacedAs(RelPath::parse("a (1).txt").unwrap()));
    assert_eq!(replace("a.txt", b"one"), Outcome::Unchanged);
    assert_eq!(replace("a.txt", b"other"), Outcome::Replaced, "whatever stands under a number");
    assert_eq!(fs::read(home.path().join("a.txt")).unwrap(), b"other");
    fs::create_dir(home.path().join("folder")).unwrap();
    let numbered = |path: &str| Outcome::PlacedAs(RelPath::parse(path).unwrap());
    assert_eq!(replace("folder", b"a file"), numbered("folder (1)"));
    assert_eq!(replace("folder", b"a file"), Outcome::Unchanged, "and is known again");
    assert_eq!(replace("a.txt/below", b"x"), numbered("a (2).txt/below"));
    assert_eq!(fs::read(home.path().join("a.txt")).unwrap(), b"other");
}

#[cfg(unix)]
#[test]
fn a_link_is_replaced_itself_and_not_what_it_leads_to() {
    let (home, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("theirs"), "precious").unwrap();
    std::os::unix::fs::symlink(outside.path().join("theirs"), home.path().join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path(), home.path().join("way")).unwrap();
    assert_eq!(send_with(home.path(), Conflict::Replace, "link", b"new"), Outcome::Replaced);
    assert_eq!(fs::read(home.path().join("link")).unwrap(), b"new");
    assert!(fs::symlink_metadata(home.path().join("link")).unwrap().is_file());
    let beside = RelPath::parse("way (1)/theirs").unwrap();
    assert_eq!(send_with(home.path(), Conflict::Replace, "way/theirs", b"new"), Outcome::PlacedAs(beside));
    assert_eq!(fs::read(outside.path().join("theirs")).unwrap(), b"precious");
}

#[test]
fn a_tree_merges_into_one_that_is_there() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("tree/sub")).unwrap();
    fs::write(home.path().join("tree/sub/mine"), "mine").unwrap();
    fs::write(home.path().join("tree/taken"), "a file").unwrap();
    let partial = open(home.path());
    let folder = |p: &str| Entry { path: RelPath::parse(p).unwrap(), kind: EntryKind::Directory };
    let entries = vec![
        folder("tree"),
        folder("tree/empty"),
        file("tree/sub/mine", 4),
        folder("tree/taken"),
        file("tree/taken/x", 1),
    ];
    partial.admit(entries).unwrap();
    for (entry, bytes) in [(2, &b"your"[..]), (4, b"x")] {
        write(&partial, entry, bytes, 0..1).unwrap();
        end(&partial, entry, bytes).unwrap();
    }
    let settled = partial.settle().unwrap();
    let outcomes: Vec<_> = settled.iter().map(|(_, outcome, _)| outcome.clone()).collect();
    let placed_as = |p: &str| Outcome::PlacedAs(RelPath::parse(p).unwrap());
    assert_eq!(outcomes[2], placed_as("tree/sub/mine (1)"));
    assert_eq!(outcomes[3], placed_as("tree/taken (1)"));
    assert_eq!(outcomes[4], placed_as("tree/taken (1)/x"));
    assert_eq!(fs::read(home.path().join("tree/sub/mine")).unwrap(), b"mine");
    assert_eq!(fs::read(home.path().join("tree/taken (1)/x")).unwrap(), b"x");
    assert!(home.path().join("tree/empty").is_dir());
}

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
    let settled = again.settle().unwrap();
    assert_eq!(settled[0].1, Outcome::Placed);
    assert_eq!(fs::read(home.path().join("big.iso")).unwrap(), bytes);
    let metadata = fs::metadata(home.path().join("big.iso")).unwrap();
    assert_eq!(Stamp::of(metadata.modified().unwrap()), WHEN);
    #[cfg(unix)]
    assert_ne!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100, 0);
}

#[test]
fn what_was_not_offered_is_not_written() {
    let home = tempfile::tempdir().unwrap();
    let partial = open(home.path());
    partial.admit(vec![file("a", 3), Entry { path: RelPath::parse("p").unwrap(), kind: EntryKind::Stream }]).unwrap();
    assert!(write(&partial, 0, b"four", 0..1).is_err(), "longer than offered");
    assert!(write(&partial, 7, b"abc", 0..1).is_err(), "no such entry");
    write(&partial, 0, b"abc", 0..1).unwrap();
    assert!(write(&partial, 0, b"abc", 0..1).is_err(), "twice");
    assert!(end(&partial, 0, b"ab").is_err(), "another size");
    let far = VerifiedChunk::verify(u32::MAX, b"x", ChunkHash::of(b"x")).unwrap();
    assert!(Writer::new(&partial).write(1, &far).is_err(), "far ahead in a pipe");
    let settled = partial.settle().unwrap();
    assert!(settled.iter().all(|(_, outcome, _)| !outcome.is_good()));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
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
    assert_eq!(again.settle().unwrap()[0].1, Outcome::Placed);
    assert_eq!(fs::read(home.path().join("t/stays")).unwrap(), b"abc");
    assert!(!home.path().join("t/gone").exists());
}

#[test]
fn a_pipe_may_end_before_its_last_chunk_is_written_and_has_no_holes() {
    let home = tempfile::tempdir().unwrap();
    let partial = open(home.path());
    let pipe = |path: &str| Entry { path: RelPath::parse(path).unwrap(), kind: EntryKind::Stream };
    partial.admit(vec![pipe("whole"), pipe("holed")]).unwrap();
    let bytes = vec![1; CHUNK as usize + 5];
    write(&partial, 0, &bytes, 0..1).unwrap();
    end(&partial, 0, &bytes).unwrap();
    write(&partial, 0, &bytes, 1..2).unwrap();
    let mut writer = Writer::new(&partial);
    let (full, short) = (vec![2; CHUNK as usize], vec![3; 5]);
    for (index, chunk) in [(0, &short), (1, &full)] {
        let chunk = VerifiedChunk::verify(index, chunk, ChunkHash::of(chunk)).unwrap();
        writer.write(1, &chunk).unwrap();
    }
    let hashes = [ChunkHash::of(&short), ChunkHash::of(&full)];
    let size = CHUNK + 5;
    writer.end(1, End { size, digest: EntryDigest::over(size, hashes.iter()) }).unwrap();
    let settled = partial.settle().unwrap();
    assert_eq!(settled[0].1, Outcome::Placed);
    assert_eq!(fs::read(home.path().join("whole")).unwrap(), bytes);
    assert!(!settled[1].1.is_good());
    assert!(!home.path().join("holed").exists());
}

#[test]
fn a_digest_that_does_not_fit_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let partial = open(home.path());
    partial.admit(vec![file("a", 3)]).unwrap();
    write(&partial, 0, b"abc", 0..1).unwrap();
    end(&partial, 0, b"abd").unwrap();
    let settled = partial.settle().unwrap();
    assert!(matches!(&settled[0].1, Outcome::Failed(fault) if fault.kind == FaultKind::Integrity));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
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
    let folder = Entry { path: RelPath::parse("t").unwrap(), kind: EntryKind::Directory };
    again.admit(vec![file("big", 4), pipe(), folder, file("t/x", 1)]).unwrap();
    for (entry, bytes) in [(0, &b"tiny"[..]), (1, b"short"), (3, b"x")] {
        write(&again, entry, bytes, 0..1).unwrap();
        end(&again, entry, bytes).unwrap();
    }
    assert!(again.settle().unwrap().iter().all(|(_, outcome, _)| *outcome == Outcome::Placed));
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
    for between in [pipe, changed] {
        for power_cut in [false, true] {
            let home = tempfile::tempdir().unwrap();
            let first = open(home.path());
            first.admit(vec![file("big", size)]).unwrap();
            write(&first, 0, &vec![1; size], 0..1).unwrap();
            first.leave();
            drop(first);
            let second = open(home.path());
            assert_eq!(second.admit(vec![between.clone()]).unwrap(), [Have::Nothing]);
            write(&second, 0, &vec![2; size], 0..1).unwrap();
            // Killed: it does not leave in good order.
            drop(second);
            if power_cut {
                after_a_reboot(home.path());
            }
            let third = open(home.path());
            let have = third.admit(vec![file("big", size)]).unwrap();
            assert_eq!(have, [Have::Nothing], "{:?}, power cut: {power_cut}", between.kind);
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
fn a_settling_that_fails_keeps_what_is_staged() {
    let home = tempfile::tempdir().unwrap();
    let inbox = home.path().join("inbox");
    fs::create_dir(&inbox).unwrap();
    let partial = open(&inbox);
    partial.admit(vec![file("a", 3)]).unwrap();
    write(&partial, 0, b"abc", 0..1).unwrap();
    end(&partial, 0, b"abc").unwrap();
    let staging = inbox.join(".ftx-partial");
    let area = fs::read_dir(&staging).unwrap().next().unwrap().unwrap().path();
    // What is to be synced is not where it was.
    fs::rename(area.join("data/a"), area.join("hidden")).unwrap();
    assert!(partial.settle().is_err());
    partial.leave();
    assert!(area.join("hidden").exists());
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

/// Which another writer may have had in its queue.
#[test]
fn chunks_of_an_entry_that_was_given_up_are_passed_over() {
    let home = tempfile::tempdir().unwrap();
    let bytes = vec![7; 2 * CHUNK as usize];
    let partial = open(home.path());
    partial.admit(vec![file("big", bytes.len())]).unwrap();
    write(&partial, 0, &bytes, 0..1).unwrap();
    Writer::new(&partial).give_up(0, Fault::new(FaultKind::Other, "it changed")).unwrap();
    write(&partial, 0, &bytes, 1..2).unwrap();
    assert!(matches!(partial.settle().unwrap().remove(0).1, Outcome::Failed(_)));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}
