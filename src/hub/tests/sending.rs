//! Uploads that overlap, grow, fail, and come from whoever may not send any more.

use super::*;
use crate::hub::rebuild::Rebuild;

fn stream(at: &str) -> Entry {
    Entry { path: path(at), kind: EntryKind::Stream }
}

#[test]
fn all_streams_of_an_account_together_stay_within_its_quota() {
    let lab = Lab::new();
    lab.quota("alice", 3 << 20);
    let chunk = vec![7; CHUNK as usize];
    let one = lab.offers("alice", "people/alice", 1, &[stream("a"), stream("b")]).unwrap();
    let other = lab.offers("alice", "people/alice", 2, &[stream("c")]).unwrap();
    let mut came = 0;
    for (coming, entry) in [(&one, 0), (&one, 1), (&other, 0), (&other, 0), (&one, 0)] {
        let chunk = VerifiedChunk::verify(0, &chunk, ChunkHash::of(&chunk)).unwrap();
        match Writer::new(&coming.partial).write(entry, &chunk) {
            Ok(()) => came += 1,
            Err(fault) => {
                assert!(fault.kind == FaultKind::NotPermitted || fault.kind == FaultKind::Protocol, "{fault}")
            }
        }
    }
    assert_eq!(came, 3, "all the quota has room for");
    let fresh = lab.offers("alice", "people/alice", 3, &[stream("d")]).unwrap();
    let refused =
        Writer::new(&fresh.partial).write(0, &VerifiedChunk::verify(0, &chunk, ChunkHash::of(&chunk)).unwrap());
    assert_eq!(refused.unwrap_err().kind, FaultKind::NotPermitted);
    // What is given up is free again.
    drop((one, other));
    fresh.bytes(0, &chunk).unwrap();
    assert_eq!(fresh.settle().unwrap(), [Outcome::Placed]);
}

#[test]
fn bytes_that_come_although_they_seemed_to_be_there_are_set_aside_too() {
    let lab = Lab::new();
    lab.puts("bob", "shared", "film", &[1; 5000]);
    lab.quota("alice", 4000);
    // It looks like bob's, so that nothing is to come; then the bytes are compared, and all of it is.
    let mut all = Entries::default();
    all.push(vec![file("film", &[2; 5000])]);
    let upload = lab.upload("alice", "shared");
    upload.accept(TransferId::new(), &all).unwrap();
    assert_eq!(upload.expect(5000).unwrap_err().kind, FaultKind::NotPermitted);
    upload.expect(4000).unwrap();
    assert!(lab.offers("alice", "shared", 2, &[file("more", &[3; 1])]).is_err(), "all of it is taken");
    // What is one's own takes no more room than it did.
    lab.quota("bob", 5000);
    let upload = lab.upload("bob", "shared");
    upload.accept(TransferId::new(), &all).unwrap();
    upload.expect(5000).unwrap();
}

#[test]
fn what_is_put_there_by_hand_is_not_given_to_whoever_gave_up_an_upload() {
    let lab = Lab::new();
    drop(lab.offers("alice", "shared", 1, &[file("never", b"comes")]).unwrap());
    std::fs::write(lab.dir.join("shared/by-hand"), "teacher").unwrap();
    let rebuild = Rebuild { catalogue: &lab.hub.catalogue, store: &*lab.hub.store, drops: &[], now: 9, since: 0 };
    rebuild.everything(&mut |_| {}).unwrap();
    assert_eq!(lab.owner("shared/by-hand"), None);

    // One that failed half-way has what is in place, and nothing that comes later.
    let coming = lab.offers("alice", "shared", 1, &[file("half", b"way")]).unwrap();
    coming.bytes(0, b"way").unwrap();
    drop(coming.partial.settle().unwrap());
    coming.upload.give_up();
    assert_eq!(lab.owner("shared/half").as_deref(), Some("alice"));
    std::fs::write(lab.dir.join("shared/later"), "teacher").unwrap();
    rebuild.everything(&mut |_| {}).unwrap();
    assert_eq!(lab.owner("shared/later"), None);
}

#[test]
fn what_a_first_try_put_into_place_and_could_not_note_is_its_senders_after_the_next() {
    let lab = Lab::new();
    let first = lab.offers("alice", "shared", 1, &[file("a", b"abc")]).unwrap();
    first.upload.begin().unwrap();
    // The disk is full: it is in place, and there is no room for its row.
    std::fs::write(lab.dir.join("shared/a"), b"abc").unwrap();
    let placed = std::fs::File::options().write(true).open(lab.dir.join("shared/a")).unwrap();
    placed
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(WHEN.seconds.cast_unsigned(), WHEN.nanos))
        .unwrap();
    drop((first, placed));
    let again = lab.offers("alice", "shared", 2, &[file("a", b"abc")]).unwrap();
    assert_eq!(again.settle().unwrap(), [Outcome::Unchanged]);
    assert_eq!(lab.owner("shared/a").as_deref(), Some("alice"));
}

#[test]
fn who_is_disabled_while_something_comes_puts_nothing_into_place() {
    let lab = Lab::new();
    let coming = lab.offers("alice", "shared", 1, &[file("a", b"abc")]).unwrap();
    coming.bytes(0, b"abc").unwrap();
    let waiting = lab.upload("alice", "shared");
    lab.hub.register.change(|records| records.set_disabled(&name("alice"), true)).unwrap();
    assert_eq!(coming.settle().unwrap_err().kind, FaultKind::NotPermitted);
    assert_eq!(waiting.accept(TransferId::new(), &Entries::default()).unwrap_err().kind, FaultKind::NotPermitted);
    assert!(!lab.dir.join("shared/a").exists());
}

#[test]
fn what_became_somebody_elses_meanwhile_is_not_replaced() {
    let lab = Lab::new();
    lab.puts("alice", "shared", "a", b"old");
    let upload = lab.upload("alice", "shared");
    assert_eq!(upload.conflict(&path("a")), crate::disk::root::Conflict::Replace);
    lab.asks("alice", Verb::Remove(vec![path("shared/a")])).unwrap();
    lab.puts("bob", "shared", "a", b"bob's");
    let mut placed = false;
    let refused = upload.replace(&path("a"), &mut || {
        placed = true;
        Ok(())
    });
    assert_eq!(refused.unwrap().unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert!(!placed && lab.owner("shared/a").as_deref() == Some("bob"));
}

#[test]
fn every_file_of_a_large_hand_in_has_its_receipt() {
    let lab = Lab::new();
    let entries: Vec<Entry> = (0..1500).map(|n| file(&format!("d/{n}"), b"x")).collect();
    let coming = lab.offers("alice", "work/alice", 1, &entries).unwrap();
    (0..1500).for_each(|n| coming.bytes(n, b"x").unwrap());
    let mut pages = 0;
    let mut transfer = None;
    for page in coming.partial.settle().unwrap() {
        assert!(page.len() <= 1024);
        coming.upload.settled(std::slice::from_ref(&page)).unwrap();
        transfer = coming.upload.transfer();
        pages += 1;
    }
    assert_eq!(pages, 2);
    let receipts = lab.hub.catalogue.receipts(transfer.unwrap(), device("alice")).unwrap();
    assert_eq!(receipts.len(), 1500);
}

#[test]
fn what_was_begun_before_the_deadline_and_comes_after_it_is_not_handed_in() {
    let lab = Lab::new();
    let coming = lab.offers("alice", "work/alice", 1, &[file("late", b"abc")]).unwrap();
    coming.bytes(0, b"abc").unwrap();
    let set = |deadline| {
        let kind = Kind::Drop { deadline: Some(deadline) };
        lab.hub
            .register
            .change(|records| Ok(records.spaces.insert(name("work"), Space { kind, quota: None })))
            .unwrap();
    };
    set(crate::node::serve::now() - 1);
    assert_eq!(coming.settle().unwrap_err().kind, FaultKind::NotPermitted);
    assert!(!lab.dir.join("work/alice/late").exists());
    // It waits, should there be more time after all.
    set(crate::node::serve::now() + 3600);
    assert_eq!(coming.settle().unwrap(), [Outcome::Placed]);
}
