//! Names that the receiving file system holds as one, or not at all.

use std::sync::Mutex;

use std::ffi::OsStr;

use super::super::staged::name_of;
use super::*;
use crate::disk::fit::{FileSystem, Fit, Names};
use crate::disk::journal::{Left, Trust};

/// As if the file system were another one.
fn open_on(home: &Path, case: Case, names: Names) -> Arc<Partial> {
    let mut partial = Arc::into_inner(open(home)).unwrap();
    let system = FileSystem { case, names };
    partial.fit = Mutex::new(Fit::new(system, RelPath::MAX));
    let area = home.join(".ftx-partial").join(&partial.area.name);
    let journal = fs::File::open(area.join("journal")).unwrap();
    partial.area.left = Mutex::new(Left::of(journal, case, Trust::Noted).unwrap());
    Arc::new(partial)
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
    let folder = |p: &str| Entry { path: RelPath::parse(p).unwrap(), kind: EntryKind::FOLDER };
    let offer = || vec![folder("T"), file("T/A", 3), file("T/a", 3), folder("t"), file("t/A", 3), file("u/x", 3)];
    let there = ["T", "T/A", "T/a (1)", "t (1)", "t (1)/A", "u/x"];
    let partial = open_on(home.path(), Case::Folded, Names::All);
    assert_eq!(partial.admit(offer()).unwrap(), vec![Have::Nothing; 6]);
    for (entry, bytes) in [(1, b"T/A"), (2, b"T/a"), (4, b"t/A"), (5, b"u/x")] {
        write(&partial, entry, bytes, 0..1).unwrap();
        end(&partial, entry, bytes).unwrap();
    }
    assert_eq!(outcomes(&settle(&partial).unwrap()), there);
    for (path, bytes) in [("T/A", "T/A"), ("T/a (1)", "T/a"), ("t (1)/A", "t/A")] {
        assert_eq!(fs::read_to_string(home.path().join(path)).unwrap(), bytes);
    }
    drop(partial);

    let again = open_on(home.path(), Case::Folded, Names::All);
    let have = again.admit(offer()).unwrap();
    assert_eq!(have.iter().filter(|have| **have == Have::Equal).count(), 4, "{have:?}");
    settle(&again).unwrap();
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
    assert_eq!(outcomes(&settle(&again).unwrap()), ["a", "A (1)"]);
    assert_eq!(fs::read(home.path().join("a")).unwrap(), vec![9; CHUNK as usize + 1]);
    assert_eq!(fs::read(home.path().join("A (1)")).unwrap(), vec![10; CHUNK as usize + 1]);
}

#[test]
fn names_that_cannot_be_held_are_rewritten_and_told() {
    let home = tempfile::tempdir().unwrap();
    let link = |path: &str, target: &str| Entry {
        path: RelPath::parse(path).unwrap(),
        kind: EntryKind::Link { target: crate::base::link_target::LinkTarget::parse(target).unwrap() },
    };
    let partial = open_on(home.path(), Case::Folded, Names::OfWindows);
    fs::write(home.path().join("CON_"), "other").unwrap();
    partial.admit(vec![file("CON", 3), file("a:b/c?", 3), link("a:b/to.", "c_"), file("fine", 0)]).unwrap();
    for (entry, bytes) in [(0, &b"one"[..]), (1, b"two"), (3, b"")] {
        write(&partial, entry, bytes, 0..1).unwrap();
        end(&partial, entry, bytes).unwrap();
    }
    let there = ["CON_ (1)", "a_b/c_", "a_b/to_", "fine"];
    assert_eq!(outcomes(&settle(&partial).unwrap()), there);
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
    if cfg!(windows) {
        return;
    }
    // As if the file system had made something of a name that is no name.
    partial.area.data().unwrap().write("x\\y", "kept").unwrap();
    assert!(settle(&partial).is_err());
    assert_eq!(partial.area.data().unwrap().read_to_string("x\\y").unwrap(), "kept");
}

/// What began under the other spelling took the bytes with it, on the disk of the journal, too.
#[test]
fn what_is_begun_anew_under_another_spelling_is_not_taken_for_the_earlier() {
    let home = tempfile::tempdir().unwrap();
    let first = open_on(home.path(), Case::Folded, Names::All);
    first.admit(vec![file("A", 2 * CHUNK as usize)]).unwrap();
    write(&first, 0, &vec![1; CHUNK as usize], 0..1).unwrap();
    first.leave();
    drop(first);
    let kept = |case| {
        let area = fs::read_dir(home.path().join(".ftx-partial")).unwrap().next().unwrap().unwrap().path();
        let mut left = Left::of(fs::File::open(area.join("journal")).unwrap(), case, Trust::Noted).unwrap().unwrap();
        let each = ["A", "a"].map(|path| left.at(&RelPath::parse(path).unwrap()).unwrap());
        each.into_iter().flatten().flat_map(|kept| kept.chunks).count()
    };
    assert_eq!(kept(Case::Folded), 1);
    let again = open_on(home.path(), Case::Folded, Names::All);
    assert_eq!(again.admit(vec![file("a", 2 * CHUNK as usize)]).unwrap(), [Have::Nothing]);
    assert_eq!((kept(Case::Folded), kept(Case::Kept)), (0, 1));
}
