//! What was there before a transfer is there after it, byte for byte, however that ended; and nothing that
//! came is unpacked, opened or run.

use std::collections::BTreeMap;
use std::sync::Arc;

use ftx::base::fault::{Fault, FaultKind};
use ftx::base::manifest::Entry;
use ftx::link::key::Key;
use ftx::wire::message::Sending;

use crate::house::dice::{Dice, soaked};
use crate::house::home::Home;
use crate::house::hostile::{Hostile, Script, file, folder};

/// How many transfers are tried.
const TRIES: usize = 120;

/// Names that both sides use, so that they meet.
const NAMES: [&str; 8] = ["a", "b", "c.txt", "d", "d/a", "d/b", "d/e/f", "G"];

/// How a transfer ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// In good order.
    Whole,
    /// The sender gives it up.
    Aborted,
    /// The sender is gone.
    Cut,
    /// What the sender says last makes no sense.
    Broken,
}

/// An offer of some of the names.
fn offer(dice: &mut Dice) -> Vec<(Entry, Vec<u8>)> {
    let mut offered: Vec<(Entry, Vec<u8>)> = Vec::new();
    for name in NAMES {
        let above = |entry: &Entry| name.starts_with(&format!("{}/", entry.path));
        let is_below_a_file = offered.iter().any(|(entry, _)| entry.has_bytes() && above(entry));
        if dice.below(2) == 0 || is_below_a_file {
            continue;
        }
        if dice.below(4) == 0 {
            offered.push((folder(name), Vec::new()));
        } else {
            let length = 1 + dice.below(3000) as usize;
            let bytes = dice.bytes(length);
            offered.push((file(name, bytes.len() as u64), bytes));
        }
    }
    offered
}

fn script(dice: &mut Dice, offered: &[(Entry, Vec<u8>)], end: End) -> Script {
    let entries: Vec<Entry> = offered.iter().map(|(entry, _)| entry.clone()).collect();
    let mut script = Script::offer(&entries).ready_or_refused();
    let most = match end {
        End::Whole => offered.len(),
        _ => dice.below(offered.len() as u64 + 1) as usize,
    };
    for (number, (entry, bytes)) in (0..).zip(offered).take(most) {
        if entry.has_bytes() {
            script = script.whole(number, bytes);
        }
    }
    match end {
        End::Whole => script.end(),
        End::Aborted => script.say(&Sending::Abort(Fault::new(FaultKind::Interrupted, "no more"))),
        End::Cut => script,
        End::Broken => script.raw(&[0, 0, 0, 1, 0xff]),
    }
}

/// Everything in the inbox, with its bytes.
fn held(home: &Home) -> BTreeMap<String, Vec<u8>> {
    let files = home.tree("inbox").into_iter().filter(|path| !path.ends_with('/') && !path.starts_with(".ftx-partial"));
    files.map(|path| (path.clone(), home.read(&format!("inbox/{path}")))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_warpinator_cve_2023_29380_205_240_whatever_comes_nothing_that_was_there_is_lost() {
    let mut dice = Dice::numbered(3);
    let alice = Home::new("alice");
    for name in ["a", "d/a", "d/own", "G/own", "other"] {
        alice.write(&format!("inbox/{name}"), format!("alice's {name}"));
    }
    let node = alice.up_for_all();
    let keys: Vec<_> = (0..3).map(|_| Arc::new(Key::generate().unwrap())).collect();
    let mut last: Option<Vec<(Entry, Vec<u8>)>> = None;
    let mut before = held(&alice);
    for number in 0..soaked(TRIES) {
        let end = dice.one_of(&[End::Whole, End::Whole, End::Aborted, End::Cut, End::Broken]);
        // The same again, sometimes.
        let offered = last.take().filter(|_| dice.below(3) == 0).unwrap_or_else(|| offer(&mut dice));
        if offered.is_empty() {
            continue;
        }
        let peer = Hostile::pushing_with(dice.one_of(&[&keys[0], &keys[1], &keys[2]]).clone(), node.port()).await;
        let script = script(&mut dice, &offered, end);
        match end {
            // Not heard to its end: nobody is there any more.
            End::Cut => peer.say_all(script).await,
            _ => drop(peer.play(script).await),
        }
        let now = held(&alice);
        for (path, bytes) in &before {
            assert!(now.get(path) == Some(bytes), "{path} is not what it was after try {number}, {end:?}");
        }
        before = now;
        last = Some(offered);
    }
    assert!(before.len() > 20, "hardly anything came: {:?}", before.keys());
}

#[test]
fn s4_croc_cve_2023_43616_nothing_is_unpacked_run_or_overwritten() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    // A tar of one file, `evil`; what a desktop or a shell would act on.
    let mut tar = vec![0; 1536];
    tar[..4].copy_from_slice(b"evil");
    tar[100..107].copy_from_slice(b"0000644");
    tar[124..135].copy_from_slice(b"00000000004");
    tar[257..262].copy_from_slice(b"ustar");
    tar[512..516].copy_from_slice(b"evil");
    let script = format!("#!/bin/sh\ntouch {}\n", alice.path("ran").display());
    let sent = [
        ("a.tar", tar.clone()),
        ("croc-stdin-1.zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        (".bashrc", script.clone().into_bytes()),
        ("run.desktop", format!("[Desktop Entry]\nExec=touch {}\n", alice.path("ran").display()).into_bytes()),
        ("setup.sh", script.into_bytes()),
        ("notes.txt", b"bob's".to_vec()),
    ];
    for (name, bytes) in &sent {
        bob.write(name, bytes);
    }
    alice.write("inbox/notes.txt", "alice's");
    let node = alice.up_for_all();
    let names: Vec<&str> = sent.iter().map(|(name, _)| *name).collect();
    bob.run(&[&["push"], names.as_slice(), &[&node.at()]].concat()).done();
    let mut there: Vec<&str> = names.iter().copied().chain(["notes (1).txt"]).collect();
    there.sort_unstable();
    assert_eq!(alice.tree("inbox"), there);
    assert_eq!(alice.read("inbox/notes.txt"), b"alice's");
    for (name, bytes) in &sent {
        let name = if *name == "notes.txt" { "notes (1).txt" } else { name };
        assert!(alice.read(&format!("inbox/{name}")) == *bytes, "{name}");
    }
    assert!(!alice.path("ran").exists() && !alice.path(".bashrc").exists());
}
