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
    assert_eq!(lab.hub.sha256(&old).unwrap(), None);
    let now = lab.hub.catalogue.row(&path("shared/a")).unwrap().unwrap();
    assert_eq!((now.digest, now.owner), (Some(digest_of(b"newer")), Some(name("alice"))));
    let gone = Row { path: path("shared/gone"), ..old };
    assert_eq!(lab.hub.sha256(&gone).unwrap(), None);
}
