use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::base::id::{PeerId, TransferId};
use crate::wire::hub::{Version, VersionId};

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn row(at: &str, size: u64, owner: Option<&str>) -> Row {
    Row {
        path: path(at),
        size,
        modified: Stamp { seconds: -3, nanos: 999_999_999 },
        inode: u64::MAX,
        digest: Some(EntryDigest([7; 32])),
        sha256: None,
        owner: owner.map(name),
        since: 5,
    }
}

fn version(at: &str, kept: u64) -> Version {
    Version {
        id: VersionId::new(),
        path: path(at),
        size: 10,
        modified: Stamp { seconds: 1, nanos: 2 },
        owner: Some(name("anna")),
        kept,
        by: None,
        replaced: true,
        digest: None,
    }
}

fn fresh() -> (TempDir, Catalogue) {
    let home = tempfile::tempdir().unwrap();
    let (catalogue, found) = Catalogue::open(home.path()).unwrap();
    assert_eq!(found, Found::Fresh);
    (home, catalogue)
}

fn file(home: &TempDir) -> PathBuf {
    home.path().join("catalogue.sqlite")
}

fn paths(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.path.as_str()).collect()
}

#[test]
fn rows_are_read_back_and_survive_the_end() {
    let (home, catalogue) = fresh();
    let rows = vec![row("shared/a", 3, Some("anna")), row("top", 0, None)];
    catalogue.record(rows.clone()).unwrap();
    assert_eq!(catalogue.row(&path("shared/a")).unwrap(), Some(rows[0].clone()));
    drop(catalogue);
    let (catalogue, found) = Catalogue::open(home.path()).unwrap();
    assert_eq!(found, Found::Continued);
    assert_eq!(catalogue.row(&path("top")).unwrap(), Some(rows[1].clone()));
    assert_eq!(catalogue.row(&path("shared")).unwrap(), None);
    catalogue.forget(vec![path("top")]).unwrap();
    assert_eq!(catalogue.row(&path("top")).unwrap(), None);
}

#[test]
fn a_folder_has_its_own_children_with_their_versions() {
    let (_home, catalogue) = fresh();
    let rows = ["a", "s/a", "s/b", "s/t/a", "s0/a", "s./a"].map(|at| row(at, 1, None));
    catalogue.record(rows.to_vec()).unwrap();
    catalogue.kept_all(vec![version("s/a", 1), version("s/a", 2), version("s/gone", 3), version("s/t/a", 4)]).unwrap();
    let children = catalogue.children(Some(&path("s"))).unwrap();
    let mut seen: Vec<_> = children.iter().map(|(name, (row, n))| (name.as_str(), row.path.as_str(), *n)).collect();
    seen.sort_unstable();
    assert_eq!(seen, [("a", "s/a", 2), ("b", "s/b", 0)]);
    assert_eq!(catalogue.children(None).unwrap().len(), 1);
    assert_eq!(catalogue.used_in(&name("s")).unwrap(), (3, 3));
    let page = |at: Option<&str>, after: Option<&str>, most| {
        catalogue.page(at.map(path).as_ref(), after.map(path).as_ref(), most).unwrap()
    };
    assert_eq!(paths(&page(None, None, 9)), ["a", "s/a", "s/b", "s./a", "s/t/a", "s0/a"]);
    assert_eq!(paths(&page(None, Some("s/b"), 2)), ["s./a", "s/t/a"]);
    assert_eq!(paths(&page(Some("s"), None, 9)), ["s/a", "s/b", "s/t/a"]);
    assert_eq!(paths(&page(Some("s/b"), None, 9)), ["s/b"]);
}

#[test]
fn what_an_account_keeps_is_counted() {
    let (_home, catalogue) = fresh();
    catalogue
        .record(vec![
            row("s/a", 3, Some("anna")),
            row("s/b", 4, Some("anna")),
            row("s/c", 5, Some("bob")),
            row("d", 6, None),
        ])
        .unwrap();
    assert_eq!(catalogue.used_by(&name("anna")).unwrap(), 7);
    assert_eq!(catalogue.used_by(&name("nobody")).unwrap(), 0);
    catalogue.record(vec![row("s/a", 1, Some("bob"))]).unwrap();
    assert_eq!(catalogue.used_by(&name("anna")).unwrap(), 4);
    assert_eq!(catalogue.used_by(&name("bob")).unwrap(), 6);
}

#[test]
fn what_is_moved_takes_everything_below_and_its_versions_along() {
    let (_home, catalogue) = fresh();
    catalogue.record(["s/f/a", "s/f/g/b", "s/fx", "s/new/a"].map(|at| row(at, 1, None)).to_vec()).unwrap();
    catalogue.kept_all(vec![version("s/f/g/b", 1), version("s/f", 2)]).unwrap();
    catalogue.moved(&path("s/f"), &path("s/new"), Kept::Along).unwrap();
    assert_eq!(paths(&catalogue.page(None, None, 9).unwrap()), ["s/fx", "s/new/a", "s/new/g/b"]);
    let versions: Vec<_> = catalogue.versions(&path("s/new")).unwrap();
    assert_eq!(versions.iter().map(|v| v.path.as_str()).collect::<Vec<_>>(), ["s/new", "s/new/g/b"]);
    assert!(catalogue.versions(&path("s/f")).unwrap().is_empty());
}

#[test]
fn what_is_kept_may_stay_and_nothing_moves_to_where_it_cannot_be_named() {
    let (_home, catalogue) = fresh();
    let deep = format!("s/f/{}", vec!["d"; 100].join("/"));
    catalogue.record(vec![row("s/f/a", 1, None)]).unwrap();
    catalogue.kept_all(vec![version(&deep, 1)]).unwrap();
    let (f, far) = (path("s/f"), path(&vec!["x"; 60].join("/")));
    assert!(catalogue.moved(&f, &far, Kept::Along).is_err());
    assert_eq!(paths(&catalogue.page(None, None, 9).unwrap()), ["s/f/a"]);
    catalogue.moved(&f, &far, Kept::Stays).unwrap();
    assert_eq!(catalogue.page(None, None, 9).unwrap()[0].path, far.join(&name("a")).unwrap());
    assert_eq!(catalogue.versions(&f).unwrap()[0].path, path(&deep));
}

#[test]
fn what_cannot_be_named_is_left_out_of_answers_and_let_go_of() {
    let (home, catalogue) = fresh();
    catalogue.record(vec![row("s/a", 1, Some("anna"))]).unwrap();
    catalogue.kept_all(vec![version("s/a", 5)]).unwrap();
    let folders = [vec!["d"; 128].join("/"), vec!["n".repeat(250); 17].join("/")];
    for folder in folders.clone() {
        let put = move |connection: &rusqlite::Connection| {
            let sql = "INSERT INTO file SELECT ?1, name, size, seconds, nanos, inode, digest, sha256, owner, since
                       FROM file WHERE folder = 's'";
            connection.execute(sql, [&folder])?;
            let sql = "INSERT INTO version SELECT randomblob(16), ?1, name, size, seconds, nanos, owner, 1, replacer,
                       replaced, digest FROM version WHERE folder = 's'";
            connection.execute(sql, [&folder]).map(drop)
        };
        catalogue.change(put).unwrap();
    }
    let answers = |catalogue: &Catalogue| {
        assert_eq!(paths(&catalogue.page(None, None, 9).unwrap()), ["s/a"]);
        assert_eq!(paths(&catalogue.unhashed(None, 9).unwrap()), ["s/a"]);
        assert_eq!(catalogue.of_inodes(vec![u64::MAX]).unwrap()[&u64::MAX].len(), 1);
        assert_eq!(catalogue.page_of_versions(None, 9).unwrap().len(), 1);
        assert_eq!(catalogue.oldest_versions(9, 9).unwrap().len(), 1);
    };
    answers(&catalogue);
    assert_eq!(catalogue.kept_bytes().unwrap(), 30);
    drop(catalogue);
    let (catalogue, found) = Catalogue::open(home.path()).unwrap();
    assert_eq!(found, Found::Continued);
    answers(&catalogue);
    assert_eq!((catalogue.kept_bytes().unwrap(), catalogue.used_by(&name("anna")).unwrap()), (10, 1));
}

#[test]
fn a_look_does_not_undo_what_came_after_it() {
    let (_home, catalogue) = fresh();
    let (old, new) = (row("s/a", 1, None), row("s/a", 2, Some("anna")));
    catalogue.record(vec![new.clone()]).unwrap();
    let stale = vec![
        Change::Gone(old.clone()),
        Change::Became { before: old.clone(), after: row("s/a", 3, None) },
        Change::Appeared(row("s/a", 4, None)),
    ];
    assert!(catalogue.reconcile(stale).unwrap().is_empty());
    assert_eq!(catalogue.row(&path("s/a")).unwrap(), Some(new.clone()));
    let renamed = Change::Moved { from: new.clone(), over: None, to: row("s/b", 2, Some("anna")) };
    assert_eq!(catalogue.reconcile(vec![renamed.clone()]).unwrap(), [renamed]);
    assert_eq!(catalogue.row(&path("s/b")).unwrap().unwrap().owner, Some(name("anna")));
    assert_eq!(catalogue.row(&path("s/a")).unwrap(), None);
}

#[test]
fn two_files_change_places() {
    let (_home, catalogue) = fresh();
    let (a, b) = (row("s/a", 1, Some("anna")), row("s/b", 2, Some("bob")));
    catalogue.record(vec![a.clone(), b.clone()]).unwrap();
    let moved = |from: &Row, over: &Row| {
        let to = Row { path: over.path.clone(), ..from.clone() };
        Change::Moved { from: from.clone(), over: Some(over.clone()), to }
    };
    catalogue.reconcile(vec![moved(&a, &b), moved(&b, &a)]).unwrap();
    assert_eq!(catalogue.row(&path("s/a")).unwrap().unwrap().owner, Some(name("bob")));
    assert_eq!(catalogue.row(&path("s/b")).unwrap().unwrap().owner, Some(name("anna")));
}

#[test]
fn versions_go_oldest_first_and_are_listed_newest_first() {
    let (_home, catalogue) = fresh();
    let versions = [version("a", 30), version("b", 10), version("a", 20)];
    catalogue.kept_all(versions.to_vec()).unwrap();
    assert_eq!(catalogue.versions(&path("a")).unwrap(), [versions[2].clone(), versions[0].clone()]);
    assert_eq!(catalogue.oldest_versions(30, 9).unwrap(), [versions[1].clone(), versions[2].clone()]);
    assert_eq!(catalogue.page_of_versions(Some(versions[0].id), 1).unwrap(), [versions[1].clone()]);
    assert_eq!(catalogue.kept_bytes().unwrap(), 30);
    catalogue.drop_versions(vec![versions[1].id]).unwrap();
    assert_eq!(catalogue.version(versions[1].id).unwrap(), None);
    assert_eq!(catalogue.version(versions[0].id).unwrap(), Some(versions[0].clone()));
}

#[test]
fn uploads_are_pending_until_they_end_and_receipts_are_their_devices_own() {
    let (_home, catalogue) = fresh();
    let transfer = TransferId::new();
    let time = Stamp { seconds: 7, nanos: 5 };
    let tops = vec![Top { name: name("a.b"), file: Some((3, time)) }, Top { name: name("d"), file: None }];
    let upload = Pending { transfer, account: name("anna"), to: path("shared"), since: 9, tops };
    catalogue.begin(upload.clone()).unwrap();
    assert_eq!(catalogue.pending().unwrap(), std::slice::from_ref(&upload));
    let brings = |at: &str, size| upload.brings(&path(at), size, time);
    assert!(brings("shared/a.b", 3) && brings("shared/a (2).b", 3) && brings("shared/d/deep/x", 9));
    assert!(!brings("shared/a.b", 4) && !brings("shared/a (2)", 3) && !brings("shared/c", 3));
    assert!(!brings("sharedd/a.b", 3) && !brings("shared/a.b/c", 3));
    assert!(!upload.brings(&path("shared/a.b"), 3, Stamp { seconds: 8, nanos: 5 }));
    assert!(Pending { tops: vec![], ..upload }.brings(&path("shared/c"), 3, time));
    catalogue.end(transfer).unwrap();
    assert!(catalogue.pending().unwrap().is_empty());
    let (one, two) = (PeerId::of_public_key(&[1; 32]), PeerId::of_public_key(&[2; 32]));
    catalogue.note_receipts(transfer, one, vec!["{1}".to_owned(), "{2}".to_owned()]).unwrap();
    assert_eq!(catalogue.receipts(transfer, one).unwrap(), ["{1}", "{2}"]);
    // Those of the next page, and some that were given before, when the same is dialled again.
    catalogue.note_receipts(transfer, one, vec!["{1}".to_owned(), "{3}".to_owned()]).unwrap();
    assert_eq!(catalogue.receipts(transfer, one).unwrap(), ["{1}", "{2}", "{3}"]);
    assert!(catalogue.receipts(transfer, two).unwrap().is_empty());
}

/// Opens what is there now: it must be found broken, moved aside as it is, and begun anew.
fn is_rebuilt(home: &TempDir) {
    let before = fs::read(file(home)).unwrap();
    let (catalogue, found) = Catalogue::open(home.path()).unwrap();
    assert!(matches!(found, Found::Rebuild(_)), "{found:?}");
    assert!(catalogue.page(None, None, 9).unwrap().is_empty());
    let aside = fs::read_dir(home.path()).unwrap().map(|child| child.unwrap().path());
    let aside = aside.filter(|path| path.to_string_lossy().contains(".broken-"));
    assert!(aside.into_iter().any(|path| fs::read(path).unwrap() == before));
    drop(catalogue);
    assert_eq!(Catalogue::open(home.path()).unwrap().1, Found::Continued);
}

#[test]
fn what_is_no_catalogue_is_moved_aside() {
    for bytes in [&b""[..], b"x", &[0; 200], b"SQLite format 3\0", &[b'y'; 9000]] {
        let home = tempfile::tempdir().unwrap();
        fs::write(file(&home), bytes).unwrap();
        is_rebuilt(&home);
    }
}

#[test]
fn a_catalogue_that_is_cut_short_or_overwritten_is_moved_aside() {
    for cut in [50, 100, 4096, 20_000] {
        let (home, catalogue) = fresh();
        catalogue.record((0..500).map(|n| row(&format!("s/{n}"), n, None)).collect()).unwrap();
        drop(catalogue);
        fs::OpenOptions::new().write(true).open(file(&home)).unwrap().set_len(cut).unwrap();
        is_rebuilt(&home);
    }
    let (home, catalogue) = fresh();
    catalogue.record((0..500).map(|n| row(&format!("s/{n}"), n, None)).collect()).unwrap();
    drop(catalogue);
    let mut bytes = fs::read(file(&home)).unwrap();
    bytes[4096..].fill(0xAA);
    fs::write(file(&home), bytes).unwrap();
    is_rebuilt(&home);
}

#[test]
fn a_later_catalogue_is_refused_and_not_touched() {
    let (home, catalogue) = fresh();
    drop(catalogue);
    let mut bytes = fs::read(file(&home)).unwrap();
    bytes[63] = 2;
    fs::write(file(&home), &bytes).unwrap();
    assert_eq!(Catalogue::open(home.path()).unwrap_err().kind, FaultKind::Version);
    assert_eq!(fs::read(file(&home)).unwrap(), bytes);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn what_a_crash_left_unwritten_is_not_lost() {
    let (home, catalogue) = fresh();
    catalogue.record(vec![row("s/a", 1, None)]).unwrap();
    // As after a power cut: the log is there, and nobody closed the database.
    let copy = tempfile::tempdir().unwrap();
    for end in ["", "-wal"] {
        let name = format!("catalogue.sqlite{end}");
        fs::copy(home.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let (catalogue, found) = Catalogue::open(copy.path()).unwrap();
    assert_eq!(found, Found::BrokenOff);
    assert_eq!(catalogue.row(&path("s/a")).unwrap(), Some(row("s/a", 1, None)));
}

/// Something done to the catalogue, and to a plain map.
#[derive(Debug, Clone)]
enum Act {
    Record(RelPath, u64),
    Forget(RelPath),
    Move(RelPath, RelPath),
}

fn any_path() -> impl Strategy<Value = RelPath> {
    let name = prop_oneof![Just("a"), Just("b"), Just("a0"), Just("a b"), Just("ä%_"), Just("z'\"")];
    proptest::collection::vec(name, 1..4).prop_map(|names| path(&names.join("/")))
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (any_path(), any::<u64>()).prop_map(|(path, size)| Act::Record(path, size)),
        any_path().prop_map(Act::Forget),
        (any_path(), any_path()).prop_map(|(from, to)| Act::Move(from, to)),
    ]
}

/// The part of a path behind `folder`, with the `/`; nothing for the path itself.
fn rest<'p>(path: &'p RelPath, folder: &RelPath) -> Option<&'p str> {
    path.as_str().strip_prefix(folder.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_catalogue_is_a_map_of_paths(acts in proptest::collection::vec(any_act(), 1..24)) {
        let (_home, catalogue) = fresh();
        let mut model: BTreeMap<RelPath, u64> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Record(at, size) => {
                    catalogue.record(vec![row(at.as_str(), size, None)]).unwrap();
                    model.insert(at, size);
                }
                Act::Forget(at) => {
                    catalogue.forget(vec![at.clone()]).unwrap();
                    model.remove(&at);
                }
                // Nothing moves into itself: the store refuses it before.
                Act::Move(from, to) if rest(&to, &from).is_some() || rest(&from, &to).is_some() => {}
                Act::Move(from, to) => {
                    catalogue.moved(&from, &to, Kept::Along).unwrap();
                    let below: Vec<_> = model.keys().filter(|at| rest(at, &from).is_some()).cloned().collect();
                    for at in below {
                        let size = model.remove(&at).unwrap();
                        model.insert(path(&format!("{}{}", to.as_str(), rest(&at, &from).unwrap())), size);
                    }
                }
            }
        }
        let mut rows: Vec<_> =
            catalogue.page(None, None, 999).unwrap().into_iter().map(|row| (row.path, row.size)).collect();
        rows.sort();
        prop_assert_eq!(rows, model.into_iter().collect::<Vec<_>>());
    }
}
