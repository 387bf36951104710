use std::fs;
use std::io::Read;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::base::fault::FaultKind;

struct Home {
    home: TempDir,
    store: Folder,
}

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Folder::open(home.path()).unwrap();
        Self { home, store }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    fn read(&self, at: &str) -> Result<String, Fault> {
        let mut text = String::new();
        self.store.read(&path(at))?.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    fn list(&self, at: &str) -> Vec<String> {
        let mut names: Vec<_> =
            self.store.list(Some(&path(at))).unwrap().into_iter().map(|(name, _)| name.as_str().to_owned()).collect();
        names.sort();
        names
    }

    fn versions(&self) -> Vec<Held> {
        let mut all = Vec::new();
        self.store
            .versions(&mut |held| {
                all.push(held);
                Go::On
            })
            .unwrap();
        all
    }
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

#[test]
fn what_is_in_the_folder_is_listed_and_read() {
    let home = Home::new();
    home.put("shared/b/x", "xx");
    home.put("shared/a", "aaa");
    home.put("shared/.ftx-partial/secret", "s");
    home.put("shared/.FTX/secret", "s");
    assert_eq!(home.list("shared"), ["a", "b"]);
    assert_eq!(home.store.list(None).unwrap().len(), 1);
    let stat = home.store.stat(&path("shared/a")).unwrap().unwrap();
    assert!(stat.size == 3 && stat.is_kept());
    assert!(home.store.stat(&path("shared/b")).unwrap().unwrap().is_folder());
    assert_eq!(home.store.stat(&path("shared/a/b")).unwrap(), None);
    assert_eq!(home.store.stat(&path("none/a")).unwrap(), None);
    assert_eq!(home.read("shared/a").unwrap(), "aaa");
    assert_eq!(home.read("shared/c").unwrap_err().kind, FaultKind::NotFound);
    assert_eq!(home.store.list(Some(&path("shared/a"))).unwrap_err().kind, FaultKind::NotFound);
    assert!(home.store.free().is_none_or(|free| free > 0));
}

#[cfg(unix)]
#[test]
fn no_link_leads_out_or_into_what_is_the_hubs_own() {
    use std::os::unix::fs::symlink;
    let home = Home::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("f"), "outside").unwrap();
    home.put("people/anna/f", "anna's");
    home.put("shared/x", "x");
    symlink(outside.path(), home.at("shared/out")).unwrap();
    symlink("../people/anna", home.at("shared/anna")).unwrap();
    symlink("../.ftx", home.at("shared/own")).unwrap();
    symlink("x", home.at("shared/file")).unwrap();
    for at in ["shared/out", "shared/anna", "shared/own"] {
        let inner = path(at).join(&crate::base::path::Name::parse("f").unwrap()).unwrap();
        assert_eq!(home.store.stat(&inner).unwrap(), None);
        assert!(home.store.list(Some(&path(at))).is_err());
        assert!(home.store.read(&inner).is_err());
        assert!(home.store.make_folder(&inner).is_err());
        assert!(home.store.rename(&path("shared/x"), &inner).is_err());
        assert!(home.store.rename(&inner, &path("shared/y")).is_err());
        assert!(home.store.keep(&inner, VersionId::new(), Keep::Away).is_err());
        assert!(home.store.incoming(&path(at)).is_err());
        assert!(home.store.outgoing(&[inner]).is_err());
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    // A link is what it says, not what it leads to.
    let stat = home.store.stat(&path("shared/file")).unwrap().unwrap();
    assert!(matches!(stat.kind, crate::base::manifest::EntryKind::Link { .. }));
    assert_eq!(home.read("shared/file").unwrap(), "x");
    // One that leads away, or to what is the hub's own, cannot travel.
    assert_eq!(home.list("shared"), ["anna", "file", "x"]);
    let mut sent = Vec::new();
    home.store.outgoing(&[path("shared/anna"), path("shared/x")]).unwrap().walk(|found| {
        sent.extend(found.map(|found| found.entry.path));
        Go::On
    });
    assert_eq!(sent, [path("x")]);
}

#[cfg(unix)]
#[test]
fn names_that_cannot_travel_are_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    home.put("s/good", "");
    home.put("s/a\nb", "");
    home.put("s/a\u{308}", "not composed");
    fs::write(home.at("s").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let status = std::process::Command::new("mkfifo").arg(home.at("s/pipe")).status();
    assert_eq!(home.list("s"), ["good"]);
    if status.is_ok_and(|status| status.success()) {
        assert!(home.store.stat(&path("s/pipe")).is_err());
        assert!(home.store.read(&path("s/pipe")).is_err());
    }
}

#[test]
fn nothing_is_ever_replaced() {
    let home = Home::new();
    home.put("s/a", "a");
    home.put("s/b", "b");
    home.put("s/f/c", "c");
    let taken = |result: Result<(), Fault>| assert_eq!(result.unwrap_err().kind, FaultKind::NotPermitted);
    taken(home.store.rename(&path("s/a"), &path("s/b")));
    taken(home.store.rename(&path("s/f"), &path("s/f/g")));
    taken(home.store.remove_folder(&path("s/f")));
    taken(home.store.keep(&path("s/f"), VersionId::new(), Keep::Away));
    let id = VersionId::new();
    home.store.keep(&path("s/a"), id, Keep::Away).unwrap();
    taken(home.store.bring_back(&path("s/a"), id, &path("s/b")));
    assert_eq!(home.store.bring_back(&path("s/b"), id, &path("s/x")).unwrap_err().kind, FaultKind::NotFound);
    home.store.bring_back(&path("s/a"), id, &path("new/deep/a")).unwrap();
    assert_eq!(home.read("new/deep/a").unwrap(), "a");
    assert_eq!(home.read("s/b").unwrap(), "b");
    assert!(home.versions().is_empty());
}

#[test]
fn a_version_beside_its_file_keeps_what_it_was() {
    let home = Home::new();
    home.put("s/a", "old");
    let id = VersionId::new();
    home.store.keep(&path("s/a"), id, Keep::Beside).unwrap();
    assert_eq!(home.read("s/a").unwrap(), "old");
    home.put("s/new", "new");
    fs::rename(home.at("s/new"), home.at("s/a")).unwrap();
    let mut kept = String::new();
    home.store.read_again(&path("s/a"), Some(id)).unwrap().read_to_string(&mut kept).unwrap();
    assert_eq!((home.read("s/a").unwrap().as_str(), kept.as_str()), ("new", "old"));
    assert_eq!(home.store.stat_version(&path("s/a"), id).unwrap().unwrap().size, 3);
    home.store.drop_version(&path("s/a"), id).unwrap();
    home.store.drop_version(&path("s/a"), id).unwrap();
    // Nothing is left of it, not even folders.
    assert_eq!(fs::read_dir(home.at(".ftx/versions")).unwrap().count(), 0);
}

#[test]
fn what_is_kept_moves_with_what_it_is_of() {
    let home = Home::new();
    let ids: Vec<_> = (0..4).map(|_| VersionId::new()).collect();
    for (at, id) in ["s/f/a", "s/f", "s/new/a", "s/other"].into_iter().zip(&ids) {
        home.put(at, "v");
        home.store.keep(&path(at), *id, Keep::Away).unwrap();
        let _ = fs::remove_dir_all(home.at("s"));
    }
    home.put("s/f/a", "now");
    home.store.rename(&path("s/f"), &path("s/new")).unwrap();
    home.store.move_versions(&path("s/f"), &path("s/new")).unwrap();
    let mut kept: Vec<_> = home.versions().into_iter().map(|held| (held.id, held.path)).collect();
    kept.sort();
    let paths = ["s/new/a", "s/new", "s/new/a", "s/other"].map(path);
    assert_eq!(kept, ids.into_iter().zip(paths).collect::<Vec<_>>());
    assert!(!home.at(".ftx/versions/s/f").exists());
}

#[test]
fn uploads_are_received_below_and_staged_apart() {
    let home = Home::new();
    let root = home.store.incoming(&path("shared/new/folder")).unwrap();
    assert_eq!(root.shown(), home.at("shared/new/folder"));
    root.check_writable().unwrap();
    assert!(home.list("shared/new/folder").is_empty());
}

#[test]
fn equal_files_are_shared_or_left_alone() {
    let home = Home::new();
    home.put("s/a", "the same");
    home.put("s/b", "the same");
    home.put("s/c", "the seme");
    let before = home.store.stat(&path("s/c")).unwrap();
    assert_eq!(home.store.share(&path("s/a"), &path("s/c")), Shared::No);
    assert_eq!(home.store.stat(&path("s/c")).unwrap(), before);
    let was = home.store.stat(&path("s/b")).unwrap().unwrap();
    if let Shared::Yes(now) = home.store.share(&path("s/a"), &path("s/b")) {
        assert_eq!((now.size, now.modified), (was.size, was.modified));
        assert_eq!(home.store.stat(&path("s/b")).unwrap(), Some(now));
    }
    assert_eq!(home.read("s/b").unwrap(), "the same");
    assert!(fs::read_dir(home.at(".ftx")).unwrap().all(|child| child.unwrap().file_name() == "versions"));
}

/// Something that is done with files, each of which says what it is.
#[derive(Debug, Clone, Copy)]
enum Act {
    Write(usize),
    Keep(usize, Keep),
    BringBack(usize, usize),
    Rename(usize, usize),
    Make(usize),
    Remove(usize),
}

const PLACES: [&str; 7] = ["s/a", "s/b", "s/f", "s/f/a", "s/f/g/b", "t/f", "t/f/a"];

fn any_act() -> impl Strategy<Value = Act> {
    let at = 0..PLACES.len();
    let how = prop_oneof![Just(Keep::Away), Just(Keep::Beside)];
    prop_oneof![
        3 => at.clone().prop_map(Act::Write),
        3 => (at.clone(), how).prop_map(|(at, how)| Act::Keep(at, how)),
        3 => (0..20usize, at.clone()).prop_map(|(n, at)| Act::BringBack(n, at)),
        2 => (at.clone(), at.clone()).prop_map(|(from, to)| Act::Rename(from, to)),
        1 => at.clone().prop_map(Act::Make),
        1 => at.prop_map(Act::Remove),
    ]
}

/// The texts of all files at and below a folder.
fn texts(folder: PathBuf, into: &mut Vec<String>) {
    for child in fs::read_dir(folder).unwrap() {
        let path = child.unwrap().path();
        if path.is_dir() { texts(path, into) } else { into.push(fs::read_to_string(path).unwrap()) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_done_nothing_is_lost(acts in proptest::collection::vec(any_act(), 1..40)) {
        let home = Home::new();
        let mut written = 0;
        for act in acts {
            let at = |n: usize| path(PLACES[n]);
            match act {
                Act::Write(n) => {
                    if home.store.stat(&at(n)).unwrap().is_none() && home.store.make_folder(&at(n).parent().unwrap()).is_ok() {
                        fs::write(home.at(PLACES[n]), written.to_string()).unwrap();
                        written += 1;
                    }
                }
                Act::Keep(n, how) => drop(home.store.keep(&at(n), VersionId::new(), how)),
                Act::BringBack(n, to) => {
                    let versions = home.versions();
                    if let Some(held) = versions.get(n % versions.len().max(1)) {
                        let _ = home.store.bring_back(&held.path, held.id, &at(to));
                    }
                }
                Act::Rename(from, to) => drop(home.store.rename(&at(from), &at(to))),
                Act::Make(n) => drop(home.store.make_folder(&at(n))),
                Act::Remove(n) => drop(home.store.remove_folder(&at(n))),
            }
            let mut there = Vec::new();
            texts(home.home.path().to_owned(), &mut there);
            for n in 0..written {
                prop_assert!(there.contains(&n.to_string()), "{} is lost after {:?}", n, act);
            }
        }
    }
}
