//! Moving: what is kept stays with whoever could see it, what is on its way does not follow, and no path comes to
//! be that nobody can name.

use super::*;
use crate::base::text::PeerText;
use crate::disk::source::Go;
use crate::flow::ask::Told;
use crate::hub::rebuild::ByHand;
use crate::hub::verify::{Damage, Fix, Step, verify};
use crate::wire::hub::Version;

impl Lab {
    fn with_space(self, space: &str, kind: Kind) -> Self {
        let made =
            self.hub.register.change(|records| Ok(records.spaces.insert(name(space), Space { kind, quota: None })));
        made.unwrap();
        std::fs::create_dir_all(self.dir.join(space)).unwrap();
        self
    }

    fn moves(&self, account: &str, from: &str, to: &str) -> Result<Told, Fault> {
        self.asks(account, Verb::Move { from: path(from), to: path(to) })
    }

    fn makes(&self, account: &str, folder: &str) {
        self.asks(account, Verb::MakeFolder(path(folder))).unwrap();
    }

    fn removes(&self, account: &str, at: &str) {
        self.asks(account, Verb::Remove(vec![path(at)])).unwrap();
    }

    fn versions(&self, account: &str, at: &str) -> Vec<Version> {
        self.asks(account, Verb::Versions(path(at))).map(|told| told.versions).unwrap_or_default()
    }

    fn restores(&self, account: &str, at: &str) -> Result<Told, Fault> {
        self.asks(account, Verb::Restore { path: path(at), version: None })
    }

    /// Everything below a path that is told, by each way to ask.
    fn all_below(&self, account: &str, top: Option<&str>) -> Vec<String> {
        let look = Verb::Look { path: top.map(path), deep: true, sha256: false };
        let find = Verb::Find { text: "".into(), below: top.map(path) };
        let told = |verb| self.asks(account, verb).unwrap().items.into_iter().map(|item| item.path.as_str().to_owned());
        let seen: Vec<String> = told(look).collect();
        assert!(told(find).eq(seen.iter().cloned()));
        seen
    }
}

/// So many folders, one in another.
fn deep(name: &str, count: usize) -> String {
    vec![name; count].join("/")
}

#[test]
fn nothing_is_moved_to_where_something_in_it_could_not_be_named() {
    let lab = Lab::new().with_space("open", Kind::Open);
    let long = "n".repeat(250);
    for (from, to) in [(deep("a", 100), deep("b", 60)), (deep(&long, 8), deep(&long, 12))] {
        lab.makes("alice", &format!("shared/{from}"));
        lab.makes("alice", &format!("open/{to}"));
        let top = format!("shared/{}", path(&from).top());
        let refused = lab.moves("alice", &top, &format!("open/{to}")).unwrap_err();
        assert!(refused.text.as_raw().contains("too long or too deep"), "{refused}");
        assert!(from.len() > PeerText::MAX / 2 || refused.text.as_raw().ends_with(&from), "{refused}");
        assert!(lab.dir.join("shared").join(&from).is_dir());
        lab.all_below("bob", None);
        // Not so far it goes.
        lab.moves("alice", &top, "open/x").unwrap();
        lab.removes("alice", "open/x");
    }
}

#[test]
fn nothing_is_moved_to_where_what_is_kept_of_it_could_not_be_named() {
    let lab = Lab::new();
    let inner = deep("a", 100);
    lab.puts("alice", &format!("shared/k/{inner}"), "f", b"kept");
    lab.removes("alice", "shared/k/a");
    lab.makes("alice", &format!("shared/{}", deep("b", 60)));
    let to = format!("shared/{}/k", deep("b", 60));
    let refused = lab.moves("alice", "shared/k", &to).unwrap_err();
    assert!(refused.text.as_raw().contains("kept") && refused.text.as_raw().ends_with("/a/f"), "{refused}");
    assert_eq!(lab.versions("alice", "shared").len(), 1);
    lab.moves("alice", "shared/k", "shared/b/k").unwrap();
    lab.restores("alice", "shared/b/k").unwrap();
    assert_eq!(std::fs::read(lab.dir.join(format!("shared/b/k/{inner}/f"))).unwrap(), b"kept");
}

#[test]
fn a_number_makes_no_path_that_could_not_be_named() {
    let lab = Lab::new();
    // With its number this one's path would have 4100 bytes from the hub's top, and fewer below its folder.
    let folder = format!("shared/{}/{}", deep(&"n".repeat(250), 15), "m".repeat(80));
    let last = "c".repeat(RelPath::MAX - folder.len() - 1);
    assert_eq!(lab.puts("alice", &folder, &last, b"alice's"), Outcome::Placed);
    let outcome = lab.puts("bob", &folder, &last, b"bob's");
    assert!(matches!(&outcome, Outcome::Failed(fault) if fault.text.as_raw().contains("too long")), "{outcome:?}");
    assert_eq!(std::fs::read_dir(lab.dir.join(&folder)).unwrap().count(), 1);
    assert_eq!(lab.all_below("bob", Some("shared")).last().unwrap(), &format!("{folder}/{last}"));
    // A folder that is to get a number has longer paths in it than its own.
    let above = path(&folder).parent().unwrap();
    let room = RelPath::MAX - above.as_str().len() - 3;
    let (bytes, inner) = (b"in a folder", format!("{}/{}", "e".repeat(100), "d".repeat(room - 101)));
    assert_eq!(lab.puts("alice", above.as_str(), "d", b"a file"), Outcome::Placed);
    let coming = lab.offers("bob", above.as_str(), 1, &[file(&format!("d/{inner}"), bytes)]).unwrap();
    coming.bytes(0, bytes).unwrap();
    assert!(matches!(coming.settle().unwrap()[..], [Outcome::Failed(_)]));
    assert!(!lab.dir.join(format!("{above}/d (1)")).exists());
}

#[test]
fn what_is_put_there_by_hand_and_cannot_be_named_is_left_out_and_told() {
    let lab = Lab::new();
    lab.puts("alice", "shared", "a", b"a");
    // Further down than a path may reach.
    let mut at = cap_std::fs::Dir::open_ambient_dir(lab.dir.join("shared"), cap_std::ambient_authority()).unwrap();
    for _ in 0..140 {
        at.create_dir("d").unwrap();
        at = at.open_dir("d").unwrap();
    }
    at.write("f", "f").unwrap();
    let told = lab.all_below("alice", None);
    assert_eq!(told.iter().map(|at| path(at).depth()).max(), Some(RelPath::MAX_DEPTH));
    assert!(told.contains(&"shared/a".to_owned()));
    let (mut by_hand, mut damage) = (Vec::new(), Vec::new());
    let folder = path(&format!("shared/{}", deep("d", 127)));
    lab.hub.rebuild(|rebuild| rebuild.at_start(&[], &mut |one| by_hand.push(one))).unwrap();
    assert_eq!(by_hand, [ByHand::Unnameable(folder.clone())]);
    let mut each = |step| {
        damage.extend(if let Step::Damaged(Damage { path, .. }) = step { Some(path) } else { None });
        Go::On
    };
    let read = lab.hub.rebuild(|rebuild| verify(rebuild, Fix::Nothing, &mut each)).unwrap();
    assert_eq!((read.files, damage), (1, vec![folder]));
    lab.removes("alice", "shared/a");
    let refused = lab.asks("mia", Verb::Remove(vec![path("shared/d")])).unwrap_err();
    assert!(refused.text.as_raw().contains("too long or too deep"), "{refused}");
}

#[test]
fn what_was_kept_in_private_is_nobody_elses_to_see_or_restore_after_a_move() {
    let lab = Lab::new().with_space("open", Kind::Open);
    for bytes in ["secret", "for all"] {
        lab.puts("alice", "people/alice", "f", bytes.as_bytes());
    }
    lab.puts("alice", "people/alice/d", "gone", b"secret, too");
    lab.puts("alice", "people/alice/d", "stays", b"for all");
    lab.removes("alice", "people/alice/d/gone");
    lab.moves("alice", "people/alice/f", "open/f").unwrap();
    lab.moves("alice", "people/alice/d", "open/d").unwrap();
    for at in ["open", "open/f", "open/d", "open/d/gone"] {
        assert_eq!(lab.versions("bob", at), [], "{at}");
        assert!(lab.restores("bob", at).is_err(), "{at}");
    }
    assert_eq!(std::fs::read(lab.dir.join("open/f")).unwrap(), b"for all");
    // It is where it was, and hers.
    lab.restores("alice", "people/alice/f").unwrap();
    lab.restores("alice", "people/alice/d").unwrap();
    assert_eq!(std::fs::read(lab.dir.join("people/alice/f")).unwrap(), b"secret");
    assert_eq!(std::fs::read(lab.dir.join("people/alice/d/gone")).unwrap(), b"secret, too");
}

#[cfg(unix)]
#[test]
fn what_was_kept_in_private_stays_there_also_where_a_move_is_by_hand() {
    let lab = Lab::new();
    for (from, to, of_private) in [("shared/a", "shared/b", 0), ("people/alice/a", "shared/c", 1)] {
        for bytes in ["1", "22"] {
            lab.puts("alice", path(from).parent().unwrap().as_str(), "a", bytes.as_bytes());
        }
        std::fs::rename(lab.dir.join(from), lab.dir.join(to)).unwrap();
        lab.hub.rebuild(|rebuild| rebuild.everything(&mut |_| {})).unwrap();
        assert_eq!((lab.versions("alice", from).len(), lab.versions("bob", to).len()), (of_private, 1 - of_private));
    }
    lab.restores("alice", "people/alice/a").unwrap();
    lab.restores("alice", "shared/b").unwrap();
}

#[test]
fn what_is_kept_goes_along_where_the_same_may_see_it() {
    let lab = Lab::new();
    for (top, other) in [("shared", "shared/x"), ("people/alice", "people/alice/x"), ("work/alice", "work/alice/x")] {
        for bytes in ["1", "22"] {
            lab.puts("alice", &format!("{top}/d"), "f", bytes.as_bytes());
        }
        lab.moves("alice", &format!("{top}/d"), other).unwrap();
        assert_eq!(lab.versions("alice", &format!("{top}/d")), []);
        assert_eq!(lab.versions("alice", other).len(), 1);
        lab.restores("alice", &format!("{other}/f")).unwrap();
        assert_eq!(std::fs::read(lab.dir.join(other).join("f")).unwrap(), b"1");
    }
}

#[test]
fn what_comes_into_a_folder_that_is_moved_meanwhile_is_not_put_there() {
    let late = Kind::Drop { deadline: Some(1) };
    let lab = Lab::new().with_space("open", Kind::Open);
    for (account, from, to) in [
        ("alice", "people/alice/d", "work/alice/d"),
        ("alice", "open/d", "people/alice/d"),
        ("alice", "work/alice/d", "work/alice/e"),
        ("alice", "shared/d", "shared/e"),
    ] {
        let coming = lab.offers("alice", from, 1, &[file("f", b"abc")]).unwrap();
        coming.bytes(0, b"abc").unwrap();
        lab.moves(account, from, to).unwrap();
        lab.hub
            .register
            .change(|records| Ok(records.spaces.insert(name("work"), Space { kind: late, quota: None })))
            .unwrap();
        assert_eq!(coming.settle().unwrap_err().kind, FaultKind::NotPermitted, "{from}");
        coming.upload.give_up();
        assert!(!lab.dir.join(to).join("f").exists() && !lab.dir.join(from).join("f").exists());
        // Also where another folder has that name by now.
        let open = Kind::Drop { deadline: None };
        lab.hub
            .register
            .change(|records| Ok(records.spaces.insert(name("work"), Space { kind: open, quota: None })))
            .unwrap();
        lab.makes("alice", from);
        assert_eq!(coming.settle().unwrap_err().kind, FaultKind::NotPermitted, "{from}");
        assert_eq!(lab.hub.catalogue.pending().unwrap(), []);
        coming.partial.leave();
        drop(coming);
        // What came is not lost: it is put where it was to go.
        let again = lab.offers("alice", from, 1, &[file("f", b"abc")]).unwrap();
        Writer::new(&again.partial).end(0, End { size: 3, digest: digest_of(b"abc") }).unwrap();
        assert_eq!(again.settle().unwrap(), [Outcome::Placed]);
        assert_eq!(lab.owner(&format!("{from}/f")).as_deref(), Some("alice"));
        lab.removes("alice", to);
        lab.removes("alice", from);
    }
}
