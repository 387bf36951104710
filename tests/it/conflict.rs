//! What becomes of what comes where something else has its name: the receiver's choice.

use ftx::base::manifest::{Have, Outcome};
use ftx::wire::message::{Receipt, Receiving, Sending};
use sha2::{Digest, Sha256};

use crate::house::home::Home;
use crate::house::hostile::Trap;
use crate::house::noise;

/// Bob has a report and a tree; Alice has others under some of the same names.
fn bob_and_alice() -> (Home, Home) {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    bob.write("report.pdf", noise(1, 2 << 20));
    bob.write("tree/x", "bob's x");
    bob.write("tree/y", "bob's y");
    alice.write("inbox/report.pdf", "alice's own");
    alice.write("inbox/tree/x", "alice's x");
    (bob, alice)
}

fn outcomes(told: &serde_json::Value) -> Vec<String> {
    let entries = told["entries"].as_array().unwrap().iter();
    entries.map(|entry| format!("{} {}", entry["path"].as_str().unwrap(), entry["outcome"].as_str().unwrap())).collect()
}

#[test]
fn a_receiver_that_skips_keeps_its_own_and_no_byte_of_the_other_travels() {
    let (bob, alice) = bob_and_alice();
    let node = alice.up(&["--accept", "all", "--on-conflict", "skip"]);
    assert_eq!(node.up["on_conflict"], "skip");
    let pushed = bob.run(&["push", "report.pdf", "tree", &node.at()]).done().last();
    assert_eq!(outcomes(&pushed), ["report.pdf skipped", "tree placed", "tree/x skipped", "tree/y placed"]);
    assert_eq!((&pushed["bytes_moved"], &pushed["verified"]), (&7.into(), &false.into()));
    assert_eq!(alice.read("inbox/report.pdf"), b"alice's own");
    assert_eq!(alice.read("inbox/tree/x"), b"alice's x");
    assert_eq!(alice.read("inbox/tree/y"), b"bob's y");
    assert_eq!(alice.tree("inbox").len(), 4, "{:?}", alice.tree("inbox"));
    assert_eq!(outcomes(&node.event("received")), outcomes(&pushed));
    // A person is told how many, and whose choice it was.
    let told = bob.run_plain(&["push", "report.pdf", &node.at()]).done();
    assert!(told.out.starts_with("nothing new at ") && told.out.contains("1 skipped (the receiver chose"), "{told:?}");
    assert!(told.err.contains("report.pdf skipped"), "{told:?}");
    // A pipe has no size or time to be told by; its name is enough.
    let mut piped = bob.command(&["push", "-", "--as", "report.pdf", &node.at()]);
    piped.arg("--json");
    let ran = crate::house::process::Process::start_with_input(piped, b"piped").end().done();
    assert_eq!((outcomes(&ran.last()), &ran.last()["bytes_moved"]), (vec!["report.pdf skipped".into()], &0.into()));
}

#[test]
fn a_folder_whose_name_a_file_has_moves_once() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    for path in ["cf/a", "cf/sub/b", "cf/sub (1)/c"] {
        bob.write(path, path);
    }
    alice.write("inbox/cf", "alice's own");
    for moved in [4 + 8 + 12, 0, 0] {
        let pushed = bob.run(&["push", "cf", &node.at()]).done().last();
        assert_eq!(pushed["bytes_moved"], moved, "{pushed}");
        assert_eq!(pushed["entries"][0]["as"], "cf (1)", "{pushed}");
    }
    assert_eq!(alice.read("inbox/cf"), b"alice's own");
    assert_eq!(alice.tree("inbox/cf (1)"), bob.tree("cf"));
    assert_eq!(alice.tree("inbox").len(), 7, "{:?}", alice.tree("inbox"));
    let previewed = bob.run(&["push", "cf", &node.at(), "--dry-run"]).done().last();
    assert_eq!(previewed["bytes"], 0, "{previewed}");
}

#[test]
fn a_receiver_that_replaces_says_so_and_equal_files_do_not_move_again() {
    let (bob, alice) = bob_and_alice();
    alice.write(".config/ftx/config.toml", "on_conflict = \"replace\"\n");
    let node = alice.up_for_all();
    assert_eq!(node.up["on_conflict"], "replace");
    let pushed = bob.run(&["push", "report.pdf", "tree", &node.at()]).done().last();
    assert_eq!(outcomes(&pushed), ["report.pdf replaced", "tree placed", "tree/x replaced", "tree/y placed"]);
    assert_eq!(pushed["verified"], true);
    assert!(alice.read("inbox/report.pdf") == noise(1, 2 << 20));
    assert_eq!(alice.read("inbox/tree/x"), b"bob's x");
    assert_eq!(alice.tree("inbox").len(), 4, "{:?}", alice.tree("inbox"));
    let again = bob.run(&["push", "report.pdf", "tree", &node.at()]).done().last();
    assert_eq!(again["bytes_moved"], 0);
    bob.write("report.pdf", "a second edition");
    let told = bob.run_plain(&["push", "report.pdf", &node.at()]).done();
    assert!(told.out.contains("1 of them in place of another"), "{told:?}");
    assert_eq!(alice.read("inbox/report.pdf"), b"a second edition");
}

#[test]
fn whoever_pulls_chooses_and_the_flag_beats_the_file() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes/a", "alice's");
    let node = alice.up(&["--share", "notes", "--share-with", "all"]);
    let target = format!("{}:notes/a", node.at());
    bob.write(".config/ftx/config.toml", "on_conflict = \"skip\"\n");
    bob.write("here/a", "bob's own");
    let pulled = bob.run(&["pull", &target, "--to", "here"]).done().last();
    assert_eq!((outcomes(&pulled), &pulled["bytes_moved"]), (vec!["a skipped".into()], &0.into()));
    assert_eq!(bob.read("here/a"), b"bob's own");
    let pulled = bob.run(&["pull", &target, "--to", "here", "--on-conflict", "replace"]).done().last();
    assert_eq!(outcomes(&pulled), ["a replaced"]);
    assert_eq!(bob.read("here/a"), b"alice's");
    assert_eq!(bob.tree("here"), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_did_not_want_it_cannot_claim_to_have() {
    for (number, outcome, exit) in [(5, Outcome::Skipped, 0), (6, Outcome::Replaced, 7)] {
        let (trap, bob) = (Trap::set().await, Home::new("bob"));
        bob.write("a", noise(1, 3 << 20));
        let pushing = bob.start(&["push", "a", &trap.at()]);
        let (mut peer, _) = trap.greeted().await;
        let mut statement = Sha256::new_with_prefix(b"ftx receipt v1\0");
        loop {
            match peer.hear_sending().await.expect("the sender goes on") {
                Sending::Offer { transfer, .. } => {
                    statement.update(transfer.as_bytes());
                    peer.say(&Receiving::Accept).await;
                }
                Sending::Page(page) => peer.say(&Receiving::Have(vec![Have::Skipped; page.len()])).await,
                Sending::Chunk(_) => panic!("bytes of what is not wanted"),
                Sending::End => break,
                _ => {}
            }
        }
        peer.say(&Receiving::Settling).await;
        peer.say(&Receiving::Outcomes(vec![outcome])).await;
        // One entry, `a`, its outcome, and no digest.
        statement.update([&b"\0\0\0\x01a\0\0\0\x01"[..], &[number, 0]].concat());
        let statement: [u8; 32] = statement.finalize().into();
        let signature = peer.key.sign(&[&b"ftx receipt signature v1\0"[..], &statement].concat());
        peer.say(&Receiving::Receipt(Receipt { statement, signature })).await;
        let ran = tokio::task::spawn_blocking(|| pushing.end()).await.unwrap().exits(exit);
        assert!(!ran.out.contains("\"verified\":true"), "{ran:?}");
    }
}
