//! What a device does at a hub, and how it is told; the hub's answers are the tests'.

use std::sync::atomic::{AtomicU32, Ordering};

use ftx::base::fault::{Fault, FaultKind};
use ftx::base::manifest::{EntryKind, Stamp};
use ftx::base::path::{Name, RelPath};
use ftx::flow::ask::Told;
use ftx::wire::hub::{Item, Rank, Standing, Verb, Version, VersionId};
use ftx::wire::message::Request;
use serde_json::{Value, json};

use crate::house::fake_hub::FakeHub;
use crate::house::home::Home;

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn folder(text: &str) -> Item {
    Item { path: path(text), kind: EntryKind::FOLDER, owner: None, sha256: None, versions: 0, about: None }
}

fn file(text: &str, size: u64) -> Item {
    let modified = Stamp { seconds: 1_000_000_000 + i64::try_from(size).unwrap(), nanos: 0 };
    Item {
        kind: EntryKind::File { size, modified, executable: false },
        owner: Some(name("alice")),
        sha256: Some([0xab; 32]),
        versions: 2,
        ..folder(text)
    }
}

fn items(items: Vec<Item>) -> Result<Told, Fault> {
    Ok(Told { items, ..Told::default() })
}

fn not_there() -> Result<Told, Fault> {
    Err(Fault::new(FaultKind::NotFound, "that is not there"))
}

/// A hub with a file and a folder in `shared`.
fn hub() -> FakeHub {
    FakeHub::new(|verb, _, _| match verb {
        Verb::Look { path: None, .. } => {
            items(vec![Item { about: Some("for all".into()), ..folder("shared") }, folder("people")])
        }
        Verb::Look { path: Some(path), deep, .. } => match (path.as_str(), deep) {
            ("shared", false) => items(vec![file("shared/b", 9), file("shared/a", 5), folder("shared/z")]),
            ("shared", true) => items(vec![file("shared/b", 9), folder("shared/z"), file("shared/z/c", 7)]),
            ("shared/a", _) => items(vec![file("shared/a", 5)]),
            ("shared/z", _) => items(vec![]),
            _ => not_there(),
        },
        Verb::Find { .. } => items(vec![file("shared/z/report.pdf", 5)]),
        Verb::Remove(paths) => Ok(Told { files: paths.len() as u64, ..Told::default() }),
        Verb::Move { to, .. } => Ok(Told { files: 1, path: Some(to), ..Told::default() }),
        Verb::MakeFolder(path) => Ok(Told { path: Some(path), ..Told::default() }),
        Verb::Standing => Ok(Told {
            standing: Some(Standing {
                account: name("alice"),
                rank: Rank::Member,
                used: 0,
                quota: None,
                largest: None,
                spaces: vec![],
            }),
            ..Told::default()
        }),
        _ => Ok(Told::default()),
    })
}

fn paths(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["path"].as_str().unwrap()).collect()
}

#[test]
fn ls_tells_all_that_is_known_in_the_order_that_was_asked_for() {
    let (home, hub) = (Home::new("alice"), hub());
    let listed = home.run(&["ls", &hub.at("shared")]).done().objects();
    assert_eq!(paths(&listed), ["shared/z", "shared/a", "shared/b"], "folders first, then by name");
    let known = json!({
        "path": "shared/a", "kind": "file", "size": 5, "modified": 1_000_000_005, "executable": false,
        "owner": "alice", "sha256": "ab".repeat(32), "versions": 2,
    });
    assert_eq!(listed[1], known);
    assert_eq!(paths(&home.run(&["ls", &hub.at("shared"), "--sort", "size"]).done().objects())[1], "shared/b");
    assert_eq!(paths(&home.run(&["ls", "-R", &hub.at("shared")]).done().objects())[1], "shared/z/c");
    hub.asked();
    home.run(&["ls", "--sha256", &hub.at("shared/a")]).done();
    let look = Verb::Look { path: Some(path("shared/a")), deep: false, sha256: true };
    assert_eq!(hub.asked(), [Request::Ask(look)]);
    let spaces = home.run_plain(&["ls", &hub.at("")]).done().out;
    assert!(spaces.contains("shared/   for all"), "{spaces}");
    let long = home.run_plain(&["ls", "-l", &hub.at("shared")]).done().out;
    let words: Vec<&str> = long.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!((words[0], words[1], words[words.len() - 1]), ("alice", "5", "a"), "{long}");
    assert!(words.contains(&"abababababab"), "{long}");
}

#[test]
fn what_only_hubs_do_is_refused_at_a_peer_before_anything_is_sent() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    bob.write("notes/a.txt", "a");
    let node = bob.up(&["--accept", "all", "--share", "notes", "--share-with", "all"]);
    let at = |path: &str| format!("{}:{path}", node.at());
    alice.write("x.txt", "x");
    for typed in [
        &["rm", &at("notes/a.txt")][..],
        &["mkdir", &at("notes/b")],
        &["mv", &at("notes/a.txt"), &at("notes/b.txt")],
        &["versions", &at("notes/a.txt")],
        &["restore", &at("notes/a.txt")],
        &["find", "a", &at("")],
        &["ls", "--sha256", &at("notes")],
        &["ls", "-R", &at("notes")],
        &["push", "x.txt", &at("notes")],
        &["push", "-n", "x.txt", &at("notes")],
    ] {
        let told = alice.run(typed).exits(2).failure();
        assert!(told.contains("is no hub"), "{typed:?}: {told}");
    }
    assert!(bob.tree("inbox").is_empty());
    assert_eq!(paths(&alice.run(&["ls", &at("notes"), "--sort", "time"]).done().objects()), ["a.txt"]);
}

#[test]
fn who_has_not_joined_is_told_what_to_type() {
    let no = || Err(Fault::new(FaultKind::NotJoined, "this device has not joined"));
    let (home, hub) = (Home::new("alice"), FakeHub::new(move |_, _, _| no()));
    for typed in [&["ls", &hub.at("shared")][..], &["rm", "-r", &hub.at("a")], &["find", "x", &hub.at("")]] {
        let told = home.run(typed).exits(10).failure();
        assert!(told.contains(&format!("ftx join {}", hub.me().name)), "{told}");
    }
}

#[test]
fn a_folder_is_removed_only_where_that_was_said() {
    let (home, hub) = (Home::new("alice"), hub());
    let (one, all) = (hub.at("shared/a"), hub.at("shared/z"));
    let told = home.run(&["rm", &one, &all]).exits(2).failure();
    assert!(told.contains("shared/z is a folder; nothing was removed") && told.contains("-r"), "{told}");
    let removes = |request: &Request| matches!(request, Request::Ask(Verb::Remove(_)));
    assert!(!hub.asked().iter().any(removes));
    assert_eq!(home.run(&["rm", &one]).done().last()["files"], 1);
    hub.asked();
    assert_eq!(home.run(&["rm", "-r", &one, &all, &one]).done().last()["files"], 2);
    assert_eq!(hub.asked(), [Request::Ask(Verb::Remove(vec![path("shared/a"), path("shared/z")]))]);
    let told = home.run(&["rm", &hub.at("shared/none")]).exits(1).failure();
    assert!(told.contains("ftx ls"), "{told}");
}

#[test]
#[cfg(unix)]
fn a_person_is_asked_once_before_folders_go() {
    use crate::house::terminal::Terminal;
    let (home, hub) = (Home::new("alice"), hub());
    let (one, all) = (hub.at("shared/a"), hub.at("shared/z"));
    for (typed, code, removed) in [("n", 5, 0), ("y", 0, 1)] {
        hub.asked();
        let mut terminal = Terminal::start(home.command(&["rm", "-r", &one, &all]));
        let screen = terminal.shows("[y] yes");
        assert!(screen.contains("shared/z") && !screen.contains("shared/a with"), "{screen}");
        terminal.types(typed);
        assert_eq!(terminal.end(), Some(code));
        let removes = hub.asked().into_iter().filter(|asked| matches!(asked, Request::Ask(Verb::Remove(_))));
        assert_eq!(removes.count(), removed);
    }
    let mut terminal = Terminal::start(home.command(&["rm", "-r", "-y", &all]));
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn mv_goes_into_what_ends_with_a_stroke_and_never_to_another_machine() {
    let (home, hub, other) = (Home::new("alice"), hub(), hub());
    let moved = |to: &str| home.run(&["mv", &hub.at("shared/a"), to]).done().last()["to"].clone();
    assert_eq!(moved(&hub.at("shared/b")), "shared/b");
    assert_eq!(moved(&hub.at("shared/week 3/")), "shared/week 3/a");
    assert_eq!(moved(&hub.at("")), "a");
    hub.asked();
    let told = home.run(&["mv", &hub.at("shared/a"), &other.at("shared/a")]).exits(2).failure();
    assert!(told.contains("two machines") && told.contains("ftx pull"), "{told}");
    let told = home.run(&["mv", &hub.at("shared/a"), "shared/b"]).exits(2).failure();
    assert!(told.contains(&hub.at("shared/b")), "{told}");
    assert!(!hub.asked().iter().any(|asked| matches!(asked, Request::Ask(_))));
}

#[test]
fn mkdir_and_find_say_what_was_typed() {
    let (home, hub) = (Home::new("alice"), hub());
    let made = home.run(&["mkdir", &hub.at("shared/x"), &hub.at("shared/y/")]).done().objects();
    assert_eq!(paths(&made), ["shared/x", "shared/y"]);
    hub.asked();
    let found = home.run(&["find", "Report", &hub.at("shared")]).done();
    assert_eq!(paths(&found.objects()), ["shared/z/report.pdf"]);
    let find = Verb::Find { text: "Report".into(), below: Some(path("shared")) };
    assert_eq!(hub.asked(), [Request::Ask(find)]);
    home.run(&["find", "", &hub.at("")]).exits(2);
}

#[test]
fn a_version_is_named_by_the_beginning_of_its_id() {
    let ids: Vec<VersionId> = (0..2).map(|_| VersionId::new()).collect();
    let version = |id: &VersionId| Version {
        id: *id,
        path: path("shared/week1/a"),
        size: 5,
        modified: Stamp { seconds: 5, nanos: 0 },
        owner: Some(name("alice")),
        kept: 6,
        by: Some(name("bob")),
        replaced: false,
        digest: None,
    };
    let kept: Vec<Version> = ids.iter().map(version).collect();
    let hub = FakeHub::new(move |verb, _, _| match verb {
        Verb::Versions(_) => Ok(Told { versions: kept.clone(), ..Told::default() }),
        _ => Ok(Told { files: 1, ..Told::default() }),
    });
    let (home, target) = (Home::new("alice"), hub.at("shared/week1"));
    let listed = home.run(&["versions", &target]).done().objects();
    assert_eq!((&listed[1]["id"], &listed[1]["by"]), (&json!(ids[1].to_string()), &json!("bob")));
    let lines = home.run_plain(&["versions", &target]).done().out;
    assert!(lines.contains("removed") && lines.contains("by bob"), "{lines}");
    let shown: Vec<&str> = lines.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_ne!(shown[0], shown[1], "those of one moment are told apart");
    hub.asked();
    home.run(&["restore", &target, "--version", shown[1]]).done();
    let restore = Verb::Restore { path: path("shared/week1/a"), version: Some(ids[1]) };
    assert_eq!(hub.asked().pop(), Some(Request::Ask(restore)));
    let told = home.run(&["restore", &target, "--version", "0"]).exits(2).failure();
    assert!(told.contains("ambiguous"), "{told}");
    home.run(&["restore", &target, "--version", "ffff"]).exits(1);
    home.run(&["restore", &target, "--version", "zz"]).exits(2);
    home.run(&["restore", &target]).done();
    let restore = Verb::Restore { path: path("shared/week1"), version: None };
    assert_eq!(hub.asked().pop(), Some(Request::Ask(restore)));
}

#[test]
fn a_push_without_a_folder_says_whose_it_went_into() {
    let (home, hub) = (Home::new("alice"), hub());
    home.write("a.txt", "a");
    let told = home.run_plain(&["push", "a.txt", &hub.at("")]).done().err;
    assert!(told.contains("people/alice"), "{told}");
    assert_eq!(hub.asked(), [Request::Push, Request::Ask(Verb::Standing)]);
    home.run(&["push", "a.txt", &hub.at("shared/week3/")]).done();
    let asked = hub.asked();
    assert_eq!(asked[0], Request::PushTo(path("shared/week3")));
    assert!(matches!(asked[1], Request::Ask(Verb::Receipts(_))));
    assert_eq!(std::fs::read(hub.folder().join("a.txt")).unwrap(), b"a");
    home.run(&["push", "-n", "a.txt", &hub.at("shared/week3")]).done();
    assert_eq!(hub.asked(), [Request::PreviewTo(path("shared/week3"))]);
}

#[test]
fn a_request_longer_than_a_frame_is_cut() {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let hub = FakeHub::new(|verb, _, _| {
        let Verb::Remove(paths) = verb else { panic!("{verb:?}") };
        FILES.fetch_add(paths.len() as u32, Ordering::Relaxed);
        Ok(Told { files: paths.len() as u64, ..Told::default() })
    });
    let home = Home::new("alice");
    let many: Vec<String> = (0..600).map(|n| hub.at(&format!("{}/{n}", "d".repeat(200)))).collect();
    let mut typed = vec!["rm", "-r"];
    typed.extend(many.iter().map(String::as_str));
    let told = home.run(&typed).done().objects();
    assert!(told.len() > 1);
    assert_eq!(FILES.load(Ordering::Relaxed), 600);
}
