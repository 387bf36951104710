//! Staging and settling together, on a real file system.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::base::digest::{CHUNK, ChunkHash, VerifiedChunk};
use crate::base::id::{PeerId, TransferId};
use crate::base::manifest::Have;
use crate::disk::fit::{Case, FileSystem, Fit, Names};
use crate::disk::partial::{End, Partial};
use crate::disk::writer::Writer;

const WHEN: Stamp = Stamp { seconds: 1_700_000_000, nanos: 5 };

fn open(home: &Path) -> Arc<Partial> {
    let root = Root::open(home).unwrap();
    Arc::new(Partial::open(&root, PeerId::of_public_key(&[1; 32]), &[0; 32], TransferId::new()).unwrap())
}

/// As if the file system were another one.
fn open_on(home: &Path, case: Case, names: Names) -> Arc<Partial> {
    let mut partial = Arc::into_inner(open(home)).unwrap();
    partial.fit = Mutex::new(Fit::new(FileSystem { case, names }));
    Arc::new(partial)
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
    let partial = open(home);
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

fn outcomes(settled: &[(Entry, Outcome, Option<EntryDigest>)]) -> Vec<String> {
    let told = settled.iter().map(|(entry, outcome, _)| match outcome {
        Outcome::PlacedAs(path) => path.to_string(),
        Outcome::Placed => entry.path.to_string(),
        other => format!("{other:?}"),
    });
    told.collect()
}

/// Two files, and two folders, that are one where case is folded.
#[test]
fn what_a_folding_file_system_holds_as_one_arrives_as_two() {
    let home = tempfile::tempdir().unwrap();
    let folder = |p: &str| Entry { path: RelPath::parse(p).unwrap(), kind: EntryKind::Directory };
    let offer = || vec![folder("T"), file("T/A", 3), file("T/a", 3), folder("t"), file("t/A", 3), file("u/x", 3)];
    let there = ["T", "T/A", "T/a (1)", "t (1)", "t (1)/A", "u/x"];
    let partial = open_on(home.path(), Case::Folded, Names::All);
    assert_eq!(partial.admit(offer()).unwrap(), vec![Have::Nothing; 6]);
    for (entry, bytes) in [(1, b"T/A"), (2, b"T/a"), (4, b"t/A"), (5, b"u/x")] {
        write(&partial, entry, bytes, 0..1).unwrap();
        end(&partial, entry, bytes).unwrap();
    }
    assert_eq!(outcomes(&partial.settle().unwrap()), there);
    for (path, bytes) in [("T/A", "T/A"), ("T/a (1)", "T/a"), ("t (1)/A", "t/A")] {
        assert_eq!(fs::read_to_string(home.path().join(path)).unwrap(), bytes);
    }
    drop(partial);

    let again = open_on(home.path(), Case::Folded, Names::All);
    let have = again.admit(offer()).unwrap();
    assert_eq!(have.iter().filter(|have| **have == Have::Equal).count(), 4, "{have:?}");
    again.settle().unwrap();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3);
}

/// Where the names are given in another order than at the first try.
#[test]
fn what_was_staged_under_a_name_is_not_taken_for_another_of_it() {
    let home = tempfile::tempdir().unwrap();
    let first = open_on(home.path(), Case::Folded, Names::All);
    first.admit(vec![file("A", CHUNK as usize + 1), file("a", CHUNK as usize + 1)]).unwrap();
    for entry in [0, 1] {
        write(&first, entry, &vec![entry as u8; CHUNK as usize], 0..1).unwrap();
    }
    first.leave();
    drop(first);
    let again = open_on(home.path(), Case::Folded, Names::All);
    let have = again.admit(vec![file("a", CHUNK as usize + 1), file("A", CHUNK as usize + 1)]).unwrap();
    assert_eq!(have, [Have::Nothing, Have::Nothing]);
    for entry in [0, 1] {
        let bytes = vec![9 + entry as u8; CHUNK as usize + 1];
        write(&again, entry, &bytes, 0..2).unwrap();
        end(&again, entry, &bytes).unwrap();
    }
    assert_eq!(outcomes(&again.settle().unwrap()), ["a", "A (1)"]);
    assert_eq!(fs::read(home.path().join("a")).unwrap(), vec![9; CHUNK as usize + 1]);
    assert_eq!(fs::read(home.path().join("A (1)")).unwrap(), vec![10; CHUNK as usize + 1]);
}

#[test]
fn names_that_cannot_be_held_are_rewritten_and_told() {
    let home = tempfile::tempdir().unwrap();
    let link = |path: &str, target: &str| Entry {
        path: RelPath::parse(path).unwrap(),
        kind: EntryKind::Link { target: crate::base::path::LinkTarget::parse(target).unwrap() },
    };
    let partial = open_on(home.path(), Case::Folded, Names::OfWindows);
    fs::write(home.path().join("CON_"), "other").unwrap();
    partial.admit(vec![file("CON", 3), file("a:b/c?", 3), link("a:b/to.", "x"), file("fine", 0)]).unwrap();
    for (entry, bytes) in [(0, &b"one"[..]), (1, b"two"), (3, b"")] {
        write(&partial, entry, bytes, 0..1).unwrap();
        end(&partial, entry, bytes).unwrap();
    }
    let there = ["CON_ (1)", "a_b/c_", "a_b/to_", "fine"];
    assert_eq!(outcomes(&partial.settle().unwrap()), there);
    assert!(there.iter().all(|path| home.path().join(path).symlink_metadata().is_ok()));
}

/// HFS+ hands names back in another normal form than they were given in.
#[test]
fn what_we_staged_is_known_again_in_either_normal_form_and_nothing_is_passed_over() {
    assert_eq!(name_of(OsStr::new("re\u{301}sume\u{301}")), Some(Name::parse("r\u{e9}sum\u{e9}").unwrap()));
    let home = tempfile::tempdir().unwrap();
    let partial = open(home.path());
    partial.admit(vec![file("a", 3)]).unwrap();
    write(&partial, 0, b"abc", 0..1).unwrap();
    end(&partial, 0, b"abc").unwrap();
    // As if the file system had made something of a name that is no name.
    partial.data.write("x\\y", "kept").unwrap();
    assert!(partial.settle().is_err());
    assert_eq!(partial.data.read_to_string("x\\y").unwrap(), "kept");
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
    let mut staged = first.data.open_with("disk", cap_std::fs::OpenOptions::new().write(true)).unwrap();
    io::Seek::seek(&mut staged, io::SeekFrom::Start(2 * CHUNK)).unwrap();
    io::Write::write_all(&mut staged, &vec![9; CHUNK as usize + 5]).unwrap();
    first.leave();
    drop(first);

    let again = open(home.path());
    let have = again.admit(vec![file("disk", bytes.len())]).unwrap().remove(0);
    assert_eq!(have.bytes_of(bytes.len() as u64), 2 * CHUNK, "a hole counts as there");
    write(&again, 0, &bytes, 2..4).unwrap();
    end(&again, 0, &bytes).unwrap();
    assert_eq!(again.settle().unwrap()[0].1, Outcome::Placed);
    assert!(fs::read(home.path().join("disk")).unwrap() == bytes);
}
