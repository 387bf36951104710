use std::fs::{self, File, FileTimes};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;
use crate::base::id::TransferId;
use crate::hub::catalogue::Found;
use crate::hub::hash;
use crate::hub::prune::{Pruned, prune};
use crate::hub::store::{Folder, Keep};
use crate::hub::verify::{Damage, Fix, Step, Verified, Wrong, verify};

struct Home {
    home: TempDir,
    store: Folder,
    catalogue: Catalogue,
}

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Folder::open(home.path()).unwrap();
        let (catalogue, _) = Catalogue::open(&home.path().join(".ftx")).unwrap();
        Self { home, store, catalogue }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    /// As an upload does it.
    fn upload(&self, at: &str, text: &str, owner: &str) {
        self.put(at, text);
        let stat = self.store.stat(&path(at)).unwrap().unwrap();
        self.catalogue.record(vec![Row::of(path(at), &stat, Some(name(owner)), 7)]).unwrap();
    }

    fn with<T>(&self, run: impl FnOnce(&Rebuild<'_>) -> T) -> T {
        let drops = [name("handin")];
        run(&Rebuild {
            catalogue: &self.catalogue,
            store: &self.store,
            drops: &drops,
            now: now() + 1,
            since: (now() + 1) * 1000,
        })
    }

    fn register(&self) {
        self.with(|hub| hub.versions()).unwrap();
    }

    fn look(&self) -> Vec<ByHand> {
        let mut told = Vec::new();
        self.with(|hub| hub.everything(&mut |by_hand| told.push(by_hand))).unwrap();
        told
    }

    fn look_at(&self, paths: &[&str]) -> Vec<ByHand> {
        let mut told = Vec::new();
        let paths: Vec<_> = paths.iter().map(|at| path(at)).collect();
        self.with(|hub| hub.paths(&paths, &mut |by_hand| told.push(by_hand))).unwrap();
        told
    }

    fn owner(&self, at: &str) -> Option<String> {
        let row = self.catalogue.row(&path(at)).unwrap().unwrap_or_else(|| panic!("no row of {at}"));
        row.owner.map(|owner| owner.as_str().to_owned())
    }

    fn keep(&self, at: &str, how: Keep) -> VersionId {
        let id = VersionId::new();
        self.store.keep(&path(at), id, how).unwrap();
        id
    }

    fn hash(&self) -> Vec<Row> {
        hash::fill(&self.catalogue, &self.store, &mut |_| {}, &mut || Go::On).unwrap()
    }

    fn verify(&self, fix: Fix) -> (Verified, Vec<(String, Wrong)>) {
        let mut damage = Vec::new();
        let done = self.with(|hub| {
            verify(hub, fix, &mut |step| {
                if let Step::Damaged(Damage { path, version, wrong }) = step {
                    let kept = if version.is_some() { " (kept)" } else { "" };
                    damage.push((format!("{path}{kept}"), wrong));
                }
                Go::On
            })
        });
        damage.sort_by(|a, b| a.0.cmp(&b.0));
        (done.unwrap(), damage)
    }

    /// Changes bytes, and nothing else that can be seen.
    fn rot(&self, at: PathBuf, bytes: &str) {
        let modified = fs::metadata(&at).unwrap().modified().unwrap();
        fs::write(&at, bytes).unwrap();
        File::options().write(true).open(at).unwrap().set_times(FileTimes::new().set_modified(modified)).unwrap();
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn what_is_put_there_by_hand_is_found_and_owned_by_its_place() {
    let home = Home::new();
    for at in ["top", "shared/a", "people/anna/x/y", "people/file", "handin/bob/essay"] {
        home.put(at, at);
    }
    assert_eq!(home.look().len(), 5);
    let owners = ["top", "shared/a", "people/anna/x/y", "people/file", "handin/bob/essay"].map(|at| home.owner(at));
    assert_eq!(owners, [None, None, Some("anna".to_owned()), None, Some("bob".to_owned())]);
    assert!(home.look().is_empty());
    home.put("shared/a", "longer than before");
    assert_eq!(home.look(), [ByHand::Changed(path("shared/a"))]);
    fs::remove_dir_all(home.at("people")).unwrap();
    let mut told = home.look();
    told.sort_by_key(|by_hand| format!("{by_hand:?}"));
    assert_eq!(told, [ByHand::Vanished(path("people/anna/x/y")), ByHand::Vanished(path("people/file"))]);
    assert!(home.catalogue.row(&path("people/file")).unwrap().is_none());
}

#[cfg(unix)]
#[test]
fn what_is_renamed_by_hand_keeps_its_owner() {
    let home = Home::new();
    home.upload("shared/a", "a", "anna");
    home.upload("shared/f/b", "bb", "bob");
    home.upload("shared/f/g/c", "ccc", "carl");
    home.upload("shared/x", "xxxx", "xenia");
    home.upload("shared/y", "yyyyy", "yan");
    fs::rename(home.at("shared/a"), home.at("renamed")).unwrap();
    fs::rename(home.at("shared/f"), home.at("shared/h")).unwrap();
    fs::rename(home.at("shared/x"), home.at("shared/t")).unwrap();
    fs::rename(home.at("shared/y"), home.at("shared/x")).unwrap();
    fs::rename(home.at("shared/t"), home.at("shared/y")).unwrap();
    let told = home.look();
    assert!(told.iter().all(|by_hand| matches!(by_hand, ByHand::Renamed { .. })), "{told:?}");
    assert_eq!(told.len(), 5);
    let at = ["renamed", "shared/h/b", "shared/h/g/c", "shared/y", "shared/x"];
    assert_eq!(at.map(|at| home.owner(at).unwrap()), ["anna", "bob", "carl", "xenia", "yan"]);
    assert_eq!(home.catalogue.page(None, None, 99).unwrap().len(), 5);
    // A copy is not the file itself.
    fs::hard_link(home.at("renamed"), home.at("link")).unwrap();
    assert_eq!(home.look(), [ByHand::Appeared(path("link"))]);
    assert_eq!(home.owner("renamed").unwrap(), "anna");
}

#[test]
fn a_file_out_of_a_backup_keeps_its_owner_and_is_hashed_again() {
    let home = Home::new();
    home.upload("shared/a", "a", "anna");
    home.hash();
    let modified = fs::metadata(home.at("shared/a")).unwrap().modified().unwrap();
    fs::write(home.at("shared/b"), "a").unwrap();
    File::options().write(true).open(home.at("shared/b")).unwrap().set_modified(modified).unwrap();
    fs::rename(home.at("shared/b"), home.at("shared/a")).unwrap();
    assert!(home.look().is_empty());
    assert_eq!(home.owner("shared/a").unwrap(), "anna");
    home.hash();
    assert!(home.verify(Fix::Nothing).1.is_empty());
}

#[test]
fn only_what_is_named_is_looked_at() {
    let home = Home::new();
    home.upload("s/f/a", "a", "anna");
    home.upload("s/f/b", "b", "anna");
    fs::remove_file(home.at("s/f/b")).unwrap();
    home.put("s/n/c", "c");
    home.put("s/other", "o");
    assert!(home.look_at(&["s/f/a", "s/nothing", "s/f/a/below"]).is_empty());
    let told = home.look_at(&["s/f", "s/f/b", "s/n"]);
    assert_eq!(told, [ByHand::Appeared(path("s/n/c")), ByHand::Vanished(path("s/f/b"))]);
    fs::remove_dir_all(home.at("s/f")).unwrap();
    home.put("s/f", "a file now");
    let told = home.look_at(&["s/f"]);
    assert_eq!(told, [ByHand::Appeared(path("s/f")), ByHand::Vanished(path("s/f/a"))]);
    assert_eq!(home.look(), [ByHand::Appeared(path("s/other"))]);
}

#[cfg(unix)]
#[test]
fn what_an_upload_brings_while_a_look_is_under_way_is_the_uploads() {
    let home = Home::new();
    home.with(|hub| {
        let mut by_hand = |one| panic!("{one:?}");
        let mut look = Look::new(hub, &mut by_hand);
        let (transfer, tops) = (TransferId::new(), vec![]);
        let upload = Pending { transfer, account: name("anna"), to: path("shared"), since: now() - 1, tops };
        home.catalogue.begin(upload).unwrap();
        home.put("shared/notes", "text");
        // As where the disk is full: its row is never noted.
        look.below(None).unwrap();
        look.finish().unwrap();
    });
    assert_eq!(home.owner("shared/notes"), Some("anna".to_owned()));
}

#[test]
fn what_a_crash_left_of_an_upload_is_its_senders() {
    let home = Home::new();
    home.put("shared/old", "old");
    home.look();
    let upload = |account: &str, to: &str| {
        let transfer = TransferId::new();
        let upload = Pending { transfer, account: name(account), to: path(to), since: now() - 1, tops: vec![] };
        home.catalogue.begin(upload).unwrap();
    };
    upload("anna", "shared/in");
    home.put("shared/in/x", "x");
    home.put("shared/inner", "not below");
    File::options().write(true).open(home.at("shared/in/x")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let left = home.catalogue.pending().unwrap();
    let mut told = Vec::new();
    home.with(|hub| hub.at_start(&left, &mut |by_hand| told.push(by_hand))).unwrap();
    assert_eq!(told, [ByHand::Appeared(path("shared/inner"))]);
    let owners = ["shared/in/x", "shared/inner", "shared/old"].map(|at| home.owner(at));
    assert_eq!(owners, [Some("anna".to_owned()), None, None]);
    assert!(home.catalogue.pending().unwrap().is_empty());
    // Of two who may have sent it, nobody gets it.
    upload("anna", "shared");
    upload("bob", "shared/in");
    home.put("shared/in/y", "y");
    home.put("shared/z", "z");
    home.look();
    assert_eq!(["shared/in/y", "shared/z"].map(|at| home.owner(at)), [None, Some("anna".to_owned())]);
}

#[test]
fn a_lost_catalogue_is_made_again_with_the_kept_versions() {
    for lose in [
        |file: PathBuf| fs::remove_file(file).unwrap(),
        |file: PathBuf| {
            File::options().write(true).open(file).unwrap().set_len(5000).unwrap();
        },
    ] {
        let mut home = Home::new();
        home.upload("people/anna/a", "new", "anna");
        home.upload("shared/b", "b", "bob");
        let old = home.keep("people/anna/a", Keep::Away);
        home.put("people/anna/a", "newer");
        let removed = home.keep("shared/b", Keep::Away);
        home.put("shared/c", "c");
        let folder = home.home.path().join(".ftx");
        // The only way to close it is to let go of it.
        home.catalogue = Catalogue::open(tempfile::tempdir().unwrap().path()).unwrap().0;
        lose(folder.join("catalogue.sqlite"));
        let (catalogue, found) = open_again(&folder);
        assert_ne!(found, Found::Continued);
        home.catalogue = catalogue;
        home.with(|hub| hub.at_start(&[], &mut |_| {})).unwrap();
        assert_eq!(home.owner("people/anna/a").unwrap(), "anna");
        assert_eq!(home.owner("shared/c"), None);
        let version = home.catalogue.version(old).unwrap().unwrap();
        assert_eq!((version.path.as_str(), version.size, version.replaced), ("people/anna/a", 3, true));
        assert_eq!(version.owner, Some(name("anna")));
        assert!(version.kept.abs_diff(now()) < 100);
        assert!(!home.catalogue.version(removed).unwrap().unwrap().replaced);
        let children = home.catalogue.children(Some(&path("people/anna"))).unwrap();
        assert_eq!(children[&name("a")].1, 1);
    }
}

fn open_again(folder: &std::path::Path) -> (Catalogue, Found) {
    Catalogue::open(folder).unwrap()
}

#[cfg(unix)]
#[test]
fn a_version_of_what_never_gave_way_is_dropped_and_a_row_without_one_forgotten() {
    let home = Home::new();
    home.put("s/a", "a");
    let beside = home.keep("s/a", Keep::Beside);
    home.put("s/b", "b");
    let away = home.keep("s/b", Keep::Away);
    home.register();
    assert!(home.catalogue.version(beside).unwrap().is_none());
    assert!(home.store.stat_version(&path("s/a"), beside).unwrap().is_none());
    assert!(home.catalogue.version(away).unwrap().is_some());
    home.store.drop_version(&path("s/b"), away).unwrap();
    home.register();
    assert!(home.catalogue.version(away).unwrap().is_none());
}

#[test]
fn the_missing_digests_are_found() {
    let home = Home::new();
    home.upload("s/abc", "abc", "anna");
    home.upload("s/empty", "", "anna");
    home.keep("s/abc", Keep::Beside);
    let away = home.keep("s/empty", Keep::Away);
    home.put("s/abc", "abcd");
    home.put("s/abc", "abc");
    home.look();
    home.register();
    assert!(hash::fill(&home.catalogue, &home.store, &mut |_| {}, &mut || Go::Stop).unwrap().is_empty());
    assert!(home.catalogue.row(&path("s/abc")).unwrap().unwrap().digest.is_none());
    assert!(home.hash().is_empty());
    let row = home.catalogue.row(&path("s/abc")).unwrap().unwrap();
    // The test vectors of the protocol page, and of FIPS 180.
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    assert_eq!(hex(&row.digest.unwrap().0), "6ebfb1ee93962d8458457ee9f8d91778e556cc468c4ce05799f8b57dbd68ec46");
    assert_eq!(hex(&row.sha256.unwrap()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(home.catalogue.version(away).unwrap().unwrap().digest.is_some());
    assert!(home.catalogue.unhashed(None, 9).unwrap().is_empty());
    assert!(home.catalogue.unhashed_versions(None, 9).unwrap().is_empty());
}

#[test]
fn what_has_rotted_is_named_and_may_be_taken_as_right() {
    let home = Home::new();
    for at in ["s/good", "s/rot", "s/gone", "s/changed", "s/kept", "s/lost"] {
        home.upload(at, "the bytes", "anna");
    }
    let (kept, lost) = (home.keep("s/kept", Keep::Away), home.keep("s/lost", Keep::Away));
    home.look();
    home.register();
    home.hash();
    let (done, damage) = home.verify(Fix::Nothing);
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!((done.files, done.versions, done.bytes, done.damaged), (4, 2, 54, 0));
    home.rot(home.at("s/rot"), "the butes");
    home.rot(home.at(&format!(".ftx/versions/s/kept/.ftx-{kept}")), "the butes");
    fs::remove_file(home.at(&format!(".ftx/versions/s/lost/.ftx-{lost}"))).unwrap();
    fs::remove_file(home.at("s/gone")).unwrap();
    home.put("s/changed", "other bytes");
    home.put("s/stranger", "who");
    home.put("s/stray", "stray");
    home.keep("s/stray", Keep::Away);
    let wrong = [
        ("s/changed", Wrong::Unknown),
        ("s/gone", Wrong::Missing),
        ("s/kept (kept)", Wrong::Rotted),
        ("s/lost (kept)", Wrong::Missing),
        ("s/rot", Wrong::Rotted),
        ("s/stranger", Wrong::Unknown),
        ("s/stray (kept)", Wrong::Unknown),
    ];
    let wrong = wrong.map(|(at, wrong)| (at.to_owned(), wrong));
    assert_eq!(home.verify(Fix::Nothing).1, wrong);
    assert_eq!(home.verify(Fix::Catalogue).1, wrong);
    assert_eq!(home.owner("s/rot").unwrap(), "anna");
    assert_eq!(home.verify(Fix::Catalogue).1, [("s/stray (kept)".to_owned(), Wrong::Unknown)]);
    assert!(home.verify(Fix::Nothing).1.is_empty());
}

#[test]
fn verifying_can_be_stopped() {
    let home = Home::new();
    home.upload("s/a", "a", "anna");
    home.upload("s/b", "b", "anna");
    let done = home.with(|hub| verify(hub, Fix::Nothing, &mut |_| Go::Stop)).unwrap();
    assert!(done.stopped);
    assert_eq!(done.bytes, 1);
}

#[test]
fn old_versions_go_and_then_the_oldest() {
    let home = Home::new();
    let today = now();
    let mut ids = Vec::new();
    for (n, days) in [40u64, 31, 20, 10, 1].into_iter().enumerate() {
        let at = format!("s/{n}");
        home.put(&at, "12345");
        let id = home.keep(&at, Keep::Away);
        home.register();
        let version = home.catalogue.version(id).unwrap().unwrap();
        let kept = today - Duration::from_hours(24 * days).as_secs();
        home.catalogue.kept(Version { kept, ..version }).unwrap();
        ids.push(id);
    }
    let pruned = |bytes| prune(&home.catalogue, &home.store, today, 30, bytes).unwrap();
    assert_eq!(pruned(None), Pruned { versions: 2, bytes: 10 });
    assert_eq!(pruned(Some(15)), Pruned::default());
    assert_eq!(pruned(Some(11)), Pruned { versions: 1, bytes: 5 });
    let left: Vec<_> = home.catalogue.versions(&path("s")).unwrap().into_iter().map(|version| version.id).collect();
    assert_eq!(left, [ids[4], ids[3]]);
    let mut held = 0;
    home.store
        .versions(&mut |_| {
            held += 1;
            Go::On
        })
        .unwrap();
    assert_eq!(held, 2);
    assert_eq!(pruned(Some(0)), Pruned { versions: 2, bytes: 10 });
}

/// The hub ended right behind the step that is done here by hand.
#[test]
fn what_gave_way_just_before_a_crash_is_whose_it_was() {
    let home = Home::new();
    for at in ["shared/gone", "shared/stays", "shared/over"] {
        home.upload(at, at, "anna");
    }
    let gone = home.keep("shared/gone", Keep::Away);
    home.keep("shared/stays", Keep::Beside);
    let over = home.keep("shared/over", Keep::Beside);
    home.put("shared/new", "new");
    fs::rename(home.at("shared/new"), home.at("shared/over")).unwrap();
    home.with(|hub| hub.at_start(&[], &mut |_| {})).unwrap();
    let owned = |at: &str, id: VersionId| {
        let kept = home.catalogue.versions(&path(at)).unwrap();
        assert_eq!(kept.iter().map(|version| version.id).collect::<Vec<_>>(), [id], "{at}");
        kept[0].owner.as_ref().map(|owner| owner.as_str().to_owned())
    };
    assert_eq!(owned("shared/gone", gone), Some("anna".to_owned()));
    assert_eq!(owned("shared/over", over), Some("anna".to_owned()));
    assert!(home.catalogue.versions(&path("shared/stays")).unwrap().is_empty(), "it never gave way");
}

#[test]
fn what_is_kept_goes_with_a_file_that_has_another_name() {
    let home = Home::new();
    home.upload("shared/a", "one", "anna");
    let id = home.keep("shared/a", Keep::Away);
    home.upload("shared/a", "two!", "anna");
    home.register();
    fs::rename(home.at("shared/a"), home.at("shared/b")).unwrap();
    assert_eq!(home.look(), [ByHand::Renamed { from: path("shared/a"), to: path("shared/b") }]);
    let kept = home.catalogue.versions(&path("shared")).unwrap();
    assert_eq!(kept.iter().map(|version| (version.id, version.path.as_str())).collect::<Vec<_>>(), [(id, "shared/b")]);
    assert!(home.store.stat_version(&path("shared/b"), id).unwrap().is_some());
    assert_eq!(home.owner("shared/b").as_deref(), Some("anna"));
}
