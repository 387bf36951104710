//! Staging and settling together, on a real file system.

use std::fs;
use std::path::Path;

use super::*;
use crate::base::digest::{CHUNK, ChunkHash, EntryDigest, VerifiedChunk};
use crate::base::id::{PeerId, TransferId};
use crate::base::manifest::{Entry, Have, Stamp};
use crate::disk::partial::{End, Partial};
use crate::disk::writer::Writer;

mod again;
mod names;

const WHEN: Stamp = Stamp { seconds: 1_700_000_000, nanos: 500 };

/// What became of each entry, and its digest.
fn settle(partial: &Partial) -> Result<Vec<(Entry, Outcome, Option<EntryDigest>)>, Fault> {
    let pages = partial.settle()?;
    Ok(pages.flatten().map(|settled| (settled.entry, settled.outcome, settled.digest)).collect())
}

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
    settle(&partial).unwrap().remove(0).1
}

#[test]
fn what_could_not_be_named_with_a_number_is_told_to_have_failed() {
    let home = tempfile::tempdir().unwrap();
    let folder = vec!["n".repeat(250); 16].join("/");
    let last = |bytes: usize| format!("{folder}/{}", "c".repeat(bytes));
    let room = RelPath::MAX - folder.len() - 1;
    assert_eq!(send(home.path(), &last(room), b"one"), Outcome::Placed);
    let told = send(home.path(), &last(room), b"other");
    assert!(matches!(&told, Outcome::Failed(fault) if fault.text.as_raw().contains("too long")), "{told:?}");
    assert_eq!(fs::read_dir(home.path().join(&folder)).unwrap().count(), 1);
    assert_eq!(send(home.path(), &last(room - 4), b"one"), Outcome::Placed);
    let numbered = RelPath::parse(&format!("{} (1)", last(room - 4))).unwrap();
    assert_eq!(send(home.path(), &last(room - 4), b"other"), Outcome::PlacedAs(numbered.into()));
}

#[test]
fn nothing_is_ever_replaced_and_equal_files_are_skipped() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(send(home.path(), "a.txt", b"one"), Outcome::Placed);
    assert_eq!(send(home.path(), "a.txt", b"one"), Outcome::Unchanged);
    let other = send(home.path(), "a.txt", b"other");
    assert_eq!(other, Outcome::PlacedAs(RelPath::parse("a (1).txt").unwrap().into()));
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
    let folder = Entry { path: RelPath::parse("t").unwrap(), kind: EntryKind::FOLDER };
    partial.admit(vec![file("a", 3), file("b", 3), folder, file("t/x", 1)]).unwrap();
    for (entry, bytes) in [(0, &b"abc"[..]), (1, b"abc"), (3, b"x")] {
        write(&partial, entry, bytes, 0..1).unwrap();
        end(&partial, entry, bytes).unwrap();
    }
    fs::write(home.path().join("a"), "new").unwrap();
    fs::write(home.path().join("b"), "abc").unwrap();
    fs::write(home.path().join("t"), "no folder").unwrap();
    let outcomes: Vec<_> = settle(&partial).unwrap().into_iter().map(|(_, outcome, _)| outcome).collect();
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
    assert_eq!(send(home.path(), "a.txt", b"other"), Outcome::PlacedAs(RelPath::parse("a (1).txt").unwrap().into()));
    assert_eq!(replace("a.txt", b"one"), Outcome::Unchanged);
    assert_eq!(replace("a.txt", b"other"), Outcome::Replaced, "whatever stands under a number");
    assert_eq!(fs::read(home.path().join("a.txt")).unwrap(), b"other");
    fs::create_dir(home.path().join("folder")).unwrap();
    let numbered = |path: &str| Outcome::PlacedAs(RelPath::parse(path).unwrap().into());
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
    assert_eq!(send_with(home.path(), Conflict::Replace, "way/theirs", b"new"), Outcome::PlacedAs(beside.into()));
    assert_eq!(fs::read(outside.path().join("theirs")).unwrap(), b"precious");
}

#[test]
fn a_tree_merges_into_one_that_is_there() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("tree/sub")).unwrap();
    fs::write(home.path().join("tree/sub/mine"), "mine").unwrap();
    fs::write(home.path().join("tree/taken"), "a file").unwrap();
    let partial = open(home.path());
    let folder = |p: &str| Entry { path: RelPath::parse(p).unwrap(), kind: EntryKind::FOLDER };
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
    let settled = settle(&partial).unwrap();
    let outcomes: Vec<_> = settled.iter().map(|(_, outcome, _)| outcome.clone()).collect();
    let placed_as = |p: &str| Outcome::PlacedAs(RelPath::parse(p).unwrap().into());
    assert_eq!(outcomes[2], placed_as("tree/sub/mine (1)"));
    assert_eq!(outcomes[3], placed_as("tree/taken (1)"));
    assert_eq!(outcomes[4], placed_as("tree/taken (1)/x"));
    assert_eq!(fs::read(home.path().join("tree/sub/mine")).unwrap(), b"mine");
    assert_eq!(fs::read(home.path().join("tree/taken (1)/x")).unwrap(), b"x");
    assert!(home.path().join("tree/empty").is_dir());
}

/// What takes a name once it has been decided on is not replaced, either.
#[test]
fn a_folder_whose_name_something_else_has_is_known_again_under_its_number() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("t"), "a file").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/", home.path().join("t (1)")).unwrap();
    #[cfg(not(unix))]
    fs::write(home.path().join("t (1)"), "a file").unwrap();
    let folder = |path: &str| Entry { path: RelPath::parse(path).unwrap(), kind: EntryKind::FOLDER };
    let offer = || vec![folder("t"), folder("t/sub"), file("t/sub/x", 1)];
    let mut expected = Outcome::PlacedAs(RelPath::parse("t (2)/sub/x").unwrap().into());
    for have in [Have::Nothing, Have::Equal] {
        let partial = open(home.path());
        assert_eq!(partial.admit(offer()).unwrap()[2], have);
        if have == Have::Nothing {
            write(&partial, 2, b"x", 0..1).unwrap();
            end(&partial, 2, b"x").unwrap();
        }
        let settled = settle(&partial).unwrap();
        assert_eq!(settled[0].1, Outcome::PlacedAs(RelPath::parse("t (2)").unwrap().into()));
        assert_eq!(settled[2].1, expected);
        expected = Outcome::Unchanged;
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3);
    fs::remove_dir_all(home.path().join("t (2)")).unwrap();
    let partial = open(home.path());
    partial.admit(offer()).unwrap();
    write(&partial, 2, b"x", 0..1).unwrap();
    end(&partial, 2, b"x").unwrap();
    fs::write(home.path().join("t (2)"), "another").unwrap();
    let placed = Outcome::PlacedAs(RelPath::parse("t (2) (1)/sub/x").unwrap().into());
    assert_eq!(settle(&partial).unwrap()[2].1, placed);
    assert_eq!(fs::read(home.path().join("t (2)")).unwrap(), b"another");
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
    let settled = settle(&partial).unwrap();
    assert!(settled.iter().all(|(_, outcome, _)| !outcome.is_good()));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
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
    let settled = settle(&partial).unwrap();
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
    let settled = settle(&partial).unwrap();
    assert!(matches!(&settled[0].1, Outcome::Failed(fault) if fault.kind == FaultKind::Integrity));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
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
    assert!(settle(&partial).is_err());
    partial.leave();
    assert!(area.join("hidden").exists());
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
    assert!(matches!(settle(&partial).unwrap().remove(0).1, Outcome::Failed(_)));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

/// Whoever compares by content gets the same as whoever compares size and time.
#[test]
fn a_file_with_the_same_bytes_stays_and_becomes_as_executable_as_the_one_offered() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("a"), "same").unwrap();
    let partial = open(home.path());
    partial.compare_contents();
    let hash = [ChunkHash::of(b"same")];
    let digest = EntryDigest::over(4, hash.iter());
    assert_eq!(partial.admit(vec![file("a", 4)]).unwrap(), [Have::Digest(digest)]);
    end(&partial, 0, b"same").unwrap();
    let settled = settle(&partial).unwrap().remove(0);
    assert_eq!((settled.1, settled.2), (Outcome::Equal, Some(digest)));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_ne!(fs::metadata(home.path().join("a")).unwrap().permissions().mode() & 0o100, 0);
    }
}

#[test]
fn a_number_that_has_the_same_bytes_does_not_keep_a_file_from_being_replaced() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("a"), "old").unwrap();
    fs::write(home.path().join("a (1)"), "newer").unwrap();
    let partial = open_with(home.path(), Conflict::Replace);
    partial.compare_contents();
    assert_eq!(partial.admit(vec![file("a", 5)]).unwrap(), [Have::Nothing]);
    write(&partial, 0, b"newer", 0..1).unwrap();
    end(&partial, 0, b"newer").unwrap();
    assert_eq!(settle(&partial).unwrap().remove(0).1, Outcome::Replaced);
    assert_eq!(fs::read(home.path().join("a")).unwrap(), b"newer");
}
