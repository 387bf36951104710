//! Looking and changing while others do.

use super::*;

#[test]
fn asking_for_a_sha256_says_nothing_about_whose_a_file_is() {
    let lab = Lab::new();
    std::fs::create_dir_all(lab.dir.join("people/alice")).unwrap();
    std::fs::write(lab.dir.join("people/alice/new"), "just came").unwrap();
    let told = lab.asks("alice", Verb::Look { path: Some(path("people/alice")), deep: false, sha256: true }).unwrap();
    assert!(told.items[0].sha256.is_some());
    assert_eq!(lab.hub.catalogue.row(&path("people/alice/new")).unwrap(), None);
}

#[test]
fn a_sha256_that_took_long_does_not_undo_what_was_noted_meanwhile() {
    let lab = Lab::new();
    lab.puts("alice", "shared", "a", b"old");
    let old = lab.hub.catalogue.row(&path("shared/a")).unwrap().unwrap();
    lab.puts("alice", "shared", "a", b"newer");
    // Whoever looked before has the old row, and reads the new bytes.
    assert_eq!(lab.hub.sha256(&old, &|| Ok(())).unwrap(), None);
    let now = lab.hub.catalogue.row(&path("shared/a")).unwrap().unwrap();
    assert_eq!((now.digest, now.owner), (Some(digest_of(b"newer")), Some(name("alice"))));
    let gone = Row { path: path("shared/gone"), ..old };
    assert_eq!(lab.hub.sha256(&gone, &|| Ok(())).unwrap(), None);
}

#[test]
fn nothing_becomes_a_file_where_a_persons_own_folder_should_be() {
    let lab = Lab::new();
    lab.puts("alice", "shared", "a", b"a");
    lab.puts("alice", "shared", "b", b"b");
    let moves = |from: &str, to: &str| lab.asks("alice", Verb::Move { from: path(from), to: path(to) });
    assert_eq!(moves("shared/a", "people").unwrap().path, Some(path("people/alice/a")));
    assert_eq!(moves("shared/b", "work/alice").unwrap().path, Some(path("work/alice/b")));
    // A manager may still give a folder another name.
    lab.asks("mia", Verb::Move { from: path("work/alice"), to: path("work/anna") }).unwrap();
    assert!(lab.dir.join("work/anna/b").exists());
}

#[test]
fn what_is_for_all_is_not_moved_into_a_private_folder_by_others() {
    let lab = Lab::new();
    lab.hub
        .register
        .change(|records| Ok(records.spaces.insert(name("open"), Space { kind: Kind::Open, quota: None })))
        .unwrap();
    std::fs::create_dir(lab.dir.join("open")).unwrap();
    lab.puts("bob", "open", "d/bobs", b"bob's");
    for from in ["open/d", "open/d/bobs"] {
        let refused = lab.asks("alice", Verb::Move { from: path(from), to: path("people/alice/x") });
        assert_eq!(refused.unwrap_err().kind, FaultKind::NotPermitted);
    }
    lab.asks("bob", Verb::Move { from: path("open/d"), to: path("people/bob/x") }).unwrap();
}

#[test]
fn a_version_that_is_gone_costs_nothing_of_what_is_there() {
    let lab = Lab::new();
    lab.puts("alice", "shared", "a", b"old");
    lab.puts("alice", "shared", "a", b"newer");
    let version = lab.hub.catalogue.versions(&path("shared/a")).unwrap().remove(0);
    lab.hub.store.drop_version(&version.path, version.id).unwrap();
    let refused = lab.asks("alice", Verb::Restore { path: path("shared/a"), version: Some(version.id) });
    assert_eq!(refused.unwrap_err().kind, FaultKind::NotFound);
    assert_eq!(std::fs::read(lab.dir.join("shared/a")).unwrap(), b"newer");
}

#[test]
fn what_was_somebodys_is_not_had_by_taking_their_name() {
    let lab = Lab::new();
    lab.puts("alice", "shared", "a", b"alice's");
    std::fs::create_dir(lab.dir.join("work/Zoe")).unwrap();
    lab.hub.register.change(|records| records.remove_account(&name("alice"))).unwrap();
    let hub = &lab.hub;
    let taken = |account: &str| crate::hub::is_taken(&*hub.store, &hub.catalogue, &hub.register, &name(account));
    assert!(taken("Alice") && taken("zoe") && !taken("carol"));
    // Kept versions are somebody's, too.
    lab.asks("mia", Verb::Remove(vec![path("shared/a")])).unwrap();
    assert!(taken("alice"));
}

#[test]
fn what_gave_way_just_before_a_crash_is_still_its_owners() {
    let lab = Lab::new();
    lab.puts("alice", "shared", "a", b"a");
    // As far as removing came: it is kept, and not noted.
    lab.hub.store.keep(&path("shared/a"), crate::wire::hub::VersionId::new(), crate::hub::store::Keep::Away).unwrap();
    let now = crate::node::serve::now() + 5;
    let rebuild =
        crate::hub::rebuild::Rebuild { catalogue: &lab.hub.catalogue, store: &*lab.hub.store, drops: &[], now };
    rebuild.at_start(&[], &mut |_| {}).unwrap();
    let version = lab.hub.catalogue.versions(&path("shared/a")).unwrap().remove(0);
    assert_eq!((version.owner, version.digest), (Some(name("alice")), Some(digest_of(b"a"))));
}

#[cfg(unix)]
#[test]
fn a_space_that_the_hub_makes_is_closed_to_others_on_the_machine() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new();
    lab.hub.store.make_folder(&path("slides")).unwrap();
    let mode = std::fs::metadata(lab.dir.join("slides")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn nothing_is_read_for_somebody_who_has_gone() {
    let lab = Lab::new();
    lab.puts("alice", "shared", "a", b"a");
    let (guest, member) = (Lab::guest("alice"), lab.member("alice"));
    let asking = Asking { hub: lab.hub.clone(), guest, member, waiting: std::sync::Weak::new() };
    for sha256 in [false, true] {
        let look = Verb::Look { path: Some(path("shared")), deep: true, sha256 };
        assert_eq!(asking.answer(look).unwrap_err().kind, FaultKind::Lost);
    }
    // What changes something comes to its end.
    assert_eq!(asking.answer(Verb::Remove(vec![path("shared/a")])).unwrap().files, 1);
}

#[test]
fn what_is_named_again_and_again_is_not_held_again_and_again() {
    let lab = Lab::new();
    lab.puts("alice", "shared", "a", b"a");
    let found = lab.asks("alice", Verb::Find { text: "A".into(), below: Some(path("shared")) }).unwrap();
    assert_eq!(found.items.len(), 1);
    let told = lab.asks("alice", Verb::Remove(vec![path("shared/a"); 3])).unwrap();
    assert_eq!(told.files, 1);
}
