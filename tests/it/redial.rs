//! A connection that is lost in the middle: the same run dials again and goes on from what is
//! there, nobody is asked twice, and a peer that does not come back is given up.

use serde_json::Value;

use crate::house::dam::Dam;
use crate::house::home::Home;
use crate::house::process::{Process, Ran, Stream};
use crate::house::proxy::{Mishap, Proxy, Trouble, Way};
use crate::house::{noise, until};
use crate::survive::staged;
use crate::terminal::{QUESTION, up_at_terminal};

/// Size of what moves in these tests.
const SIZE: usize = 40 << 20;

/// How much of it gets through the first time.
const THROUGH: u64 = 26 << 20;

/// Bytes on their way when a line ends, in all buffers of the system and ours, or more.
const UNDER_WAY: u64 = 16 << 20;

/// How often a run said that it dials again.
fn reconnected(ran: &Ran) -> usize {
    ran.objects().iter().filter(|object| object["event"] == "reconnecting").count()
}

/// That what was lost was all that moved twice.
#[track_caller]
fn moved_once(object: &Value) {
    let moved = object["bytes_moved"].as_u64().unwrap();
    assert!((SIZE as u64..SIZE as u64 + UNDER_WAY).contains(&moved), "{moved} of {SIZE} moved");
    assert_eq!(object["verified"], true, "{object}");
}

#[test]
fn a_push_that_is_cut_goes_on_by_itself_and_sends_only_what_is_missing() {
    for what in [Mishap::Cut, Mishap::Reset] {
        let (bob, alice) = (Home::new("bob"), Home::new("alice"));
        let node = alice.up_for_all();
        let bytes = noise(1, SIZE);
        bob.write("tree/big", &bytes);
        bob.write("tree/small", "s");
        let proxy = Proxy::to(node.port(), vec![Trouble { way: Way::There, after: THROUGH, what }]);
        let ran = bob.run(&["push", "tree", &proxy.at(), "--connections", "1"]).done();
        assert_eq!((reconnected(&ran), proxy.lines()), (1, 2), "{ran:?}");
        assert!(alice.read("inbox/tree/big") == bytes);
        assert_eq!(alice.tree("inbox"), ["tree/", "tree/big", "tree/small"]);
        assert_eq!(ran.last()["entries"].as_array().unwrap().len(), 3);
        if matches!(what, Mishap::Cut) {
            let moved = ran.last()["bytes_moved"].as_u64().unwrap();
            assert!((SIZE as u64..SIZE as u64 + UNDER_WAY).contains(&moved), "{moved} of {SIZE} moved");
        }
    }
}

#[test]
fn a_push_that_is_cut_again_and_again_arrives_as_long_as_something_moves() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let bytes = noise(2, 12 << 20);
    bob.write("big", &bytes);
    let cut = |after| Trouble { way: Way::There, after, what: Mishap::Cut };
    let proxy = Proxy::to(node.port(), vec![cut(4 << 20), cut(3 << 20), cut(2 << 20), cut(500)]);
    let ran = bob.run(&["push", "big", &proxy.at(), "--connections", "1"]).done();
    assert!(reconnected(&ran) >= 3, "{ran:?}");
    assert!(alice.read("inbox/big") == bytes);
    assert_eq!(alice.tree("inbox"), ["big"]);
}

#[test]
fn a_pull_that_is_cut_goes_on_by_itself_and_fetches_only_what_is_missing() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let bytes = noise(3, SIZE);
    alice.write("notes/big", &bytes);
    alice.write("notes/small", "s");
    let node = alice.up(&["--share", "notes", "--share-with", "all"]);
    let proxy = Proxy::to(node.port(), vec![Trouble { way: Way::Back, after: THROUGH, what: Mishap::Cut }]);
    let target = format!("{}:notes", proxy.at());
    let ran = bob.run(&["pull", &target, "--to", "here", "--connections", "1"]).done();
    assert_eq!((reconnected(&ran), proxy.lines()), (1, 2), "{ran:?}");
    assert!(bob.read("here/notes/big") == bytes);
    assert_eq!(bob.tree("here"), ["notes/", "notes/big", "notes/small"]);
    let moved = ran.last()["bytes_moved"].as_u64().unwrap();
    assert!((SIZE as u64..SIZE as u64 + UNDER_WAY).contains(&moved), "{moved} of {SIZE} moved");
}

#[test]
fn one_of_several_connections_that_is_cut_costs_no_more_than_what_was_on_its_way() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let bytes = noise(4, SIZE);
    bob.write("big", &bytes);
    // The second line is a lane.
    let troubles = [u64::MAX, 2 << 20].map(|after| Trouble { way: Way::There, after, what: Mishap::Cut });
    let proxy = Proxy::to(node.port(), troubles.to_vec());
    let ran = bob.run(&["push", "big", &proxy.at(), "--connections", "3"]).done();
    assert!(alice.read("inbox/big") == bytes, "{ran:?}");
    assert_eq!(alice.tree("inbox"), ["big"]);
    moved_once(&ran.last());
}

#[test]
fn a_peer_that_does_not_come_back_is_given_up() {
    for (retry, dialled_again) in [("0", false), ("1", true)] {
        let (bob, alice) = (Home::new("bob"), Home::new("alice"));
        let node = alice.up_for_all();
        bob.write("big", noise(5, SIZE));
        let dam = Dam::before(node.port(), THROUGH);
        let pushing = bob.start(&["push", "big", &dam.at(), "--retry", retry]);
        until("half of it is staged", || staged(&alice).filter(|bytes| *bytes > THROUGH / 2));
        node.process().kill();
        let ran = pushing.end().exits(4);
        assert_eq!(reconnected(&ran) > 0, dialled_again, "--retry {retry}: {ran:?}");
        assert!(ran.failure().contains("type the same again"), "{ran:?}");
        assert!(!alice.path("inbox/big").exists());
    }
}

#[test]
fn a_pull_whose_peer_does_not_come_back_is_given_up_and_goes_on_later() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let bytes = noise(6, SIZE);
    alice.write("notes/big", &bytes);
    let node = alice.up(&["--share", "notes", "--share-with", "all"]);
    // Its first line is cut, and later ones carry not even a handshake.
    let cut = |after| Trouble { way: Way::Back, after, what: Mishap::Cut };
    let troubles = [vec![cut(THROUGH)], vec![cut(0); 100]].concat();
    let proxy = Proxy::to(node.port(), troubles);
    let (target, ways) = (format!("{}:notes/big", proxy.at()), ["--connections", "1", "--retry"]);
    let pull = |target: &str, retry| bob.run(&[&["pull", target, "--to", "here"], &ways[..], &[retry]].concat());
    let ran = pull(&target, "1").exits(4);
    assert!(reconnected(&ran) > 0, "{ran:?}");
    assert!(!bob.path("here/big").exists());
    let ran = pull(&format!("{}:notes/big", node.at()), "0").done();
    assert!(bob.read("here/big") == bytes);
    assert!(ran.last()["bytes_moved"].as_u64().unwrap() < SIZE as u64 - THROUGH / 4, "{ran:?}");
    assert_eq!(bob.tree("here"), ["big"]);
}

/// Found by its name: at another port, in another process, the same peer.
#[test]
fn a_receiver_that_is_started_anew_elsewhere_is_found_again() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let mut node = alice.up_for_all();
    // Also by its address, although it has another one afterwards.
    for (seed, name, by_address) in [(7, "by name", false), (17, "by address", true)] {
        let bytes = noise(seed, SIZE);
        bob.write(name, &bytes);
        let at = if by_address { node.at() } else { alice.name().to_owned() };
        let pushing = bob.start(&["push", name, &at, "--limit", "20M", "--connections", "1"]);
        until("some of it is staged", || staged(&alice).filter(|bytes| *bytes > 4 << 20));
        node.process().kill();
        node = alice.up_for_all();
        let ran = pushing.end().done();
        assert_eq!(reconnected(&ran), 1, "{ran:?}");
        assert!(alice.read(&format!("inbox/{name}")) == bytes);
    }
    assert_eq!(alice.tree("inbox"), ["by address", "by name"]);
}

#[test]
fn who_has_said_yes_is_not_asked_again_about_what_was_cut_but_about_anything_else() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let (mut terminal, at) = up_at_terminal(&alice, &[]);
    let port = at.trim_end_matches(']').rsplit(':').next().unwrap().parse().unwrap();
    let bytes = noise(8, 12 << 20);
    bob.write("big", &bytes);
    bob.write("small", "s");
    let cut = |after| Trouble { way: Way::There, after, what: Mishap::Cut };
    let proxy = Proxy::to(port, vec![cut(6 << 20), cut(3 << 20)]);
    let pushing = bob.start(&["push", "big", &proxy.at(), "--connections", "1"]);
    terminal.shows(QUESTION);
    terminal.types("y");
    let ran = pushing.end().done();
    assert_eq!(reconnected(&ran), 2, "{ran:?}");
    assert!(alice.read("inbox/big") == bytes);
    assert_eq!(terminal.screen().matches(QUESTION).count(), 1, "{}", terminal.screen());
    // Something else of the same sender, and the same again once it has come to its end.
    for (what, times) in [("small", 2), ("big", 3)] {
        let pushing = Process::start(bob.command(&["push", what, &at]));
        terminal.shows_times(times, QUESTION);
        terminal.types("n");
        pushing.end().exits(5);
    }
}

/// The node has not noticed anything when the same transfer is there again.
#[test]
fn a_cut_that_only_one_side_notices_is_no_hindrance() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let bytes = noise(13, SIZE);
    bob.write("big", &bytes);
    alice.write("notes/fetched", &bytes);
    let node = alice.up(&["--accept", "all", "--share", "notes", "--share-with", "all"]);
    let deserted = |way| Proxy::to(node.port(), vec![Trouble { way, after: THROUGH, what: Mishap::Deserted }]);
    let ran = bob.run(&["push", "big", &deserted(Way::There).at(), "--connections", "1"]).done();
    assert_eq!(reconnected(&ran), 1, "{ran:?}");
    assert!(alice.read("inbox/big") == bytes);
    assert_eq!(alice.tree("inbox"), ["big"]);
    moved_once(&ran.last());
    let failed = node.event("failed");
    assert!(failed.to_string().contains("dialled again"), "{failed}");
    let target = format!("{}:notes/fetched", deserted(Way::Back).at());
    let ran = bob.run(&["pull", &target, "--to", "here", "--connections", "1"]).done();
    assert_eq!(reconnected(&ran), 1, "{ran:?}");
    assert!(bob.read("here/fetched") == bytes);
}

/// As where a laptop was closed: its last connection still looks alive to the receiver.
#[test]
fn a_sender_that_comes_again_goes_on_although_its_old_connection_still_stands() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let bytes = noise(9, SIZE);
    bob.write("big", &bytes);
    let dead = Trouble { way: Way::There, after: THROUGH, what: Mishap::Dead };
    let proxy = Proxy::to(node.port(), vec![dead]);
    let pushing = bob.start(&["push", "big", &proxy.at(), "--connections", "1"]);
    until("half of it is staged", || staged(&alice).filter(|bytes| *bytes > THROUGH / 2));
    pushing.kill();
    let ran = bob.run(&["push", "big", &node.at()]).done();
    assert!(alice.read("inbox/big") == bytes);
    assert!(ran.last()["bytes_moved"].as_u64().unwrap() < SIZE as u64 - THROUGH / 4, "{ran:?}");
    assert_eq!(alice.tree("inbox"), ["big"]);
}

/// Nobody can read a pipe twice.
#[test]
fn what_comes_from_a_pipe_is_not_begun_again() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let cut = Trouble { way: Way::There, after: 2 << 20, what: Mishap::Cut };
    let proxy = Proxy::to(node.port(), vec![cut]);
    let mut command = bob.command(&["push", "-", &proxy.at(), "--as", "dump"]);
    command.arg("--json");
    let ran = Process::start_with_input(command, &noise(10, 8 << 20)).end().exits(4);
    assert_eq!((reconnected(&ran), proxy.lines()), (0, 1), "{ran:?}");
    assert!(!alice.path("inbox/dump").exists());
}

#[test]
fn packed_bytes_that_are_cut_go_on_like_others() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let mut bytes = noise(11, 8 << 20);
    // Every other 100 bytes shrink to nothing.
    bytes.chunks_mut(100).step_by(2).for_each(|piece| piece.fill(b'x'));
    bob.write("big", &bytes);
    let cut = Trouble { way: Way::There, after: 3 << 20, what: Mishap::Cut };
    let proxy = Proxy::to(node.port(), vec![cut]);
    let ran = bob.run(&["push", "big", &proxy.at(), "--compress", "on", "--connections", "1"]).done();
    assert_eq!(reconnected(&ran), 1, "{ran:?}");
    assert!(alice.read("inbox/big") == bytes);
    assert!(proxy.bytes(Way::There) < bytes.len() as u64 * 9 / 10, "it was packed");
}

#[test]
fn whoever_waits_for_a_peer_to_come_back_can_be_stopped() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("big", noise(12, SIZE));
    let dam = Dam::before(node.port(), THROUGH);
    let pushing = bob.start(&["push", "big", &dam.at(), "--retry", "600"]);
    until("half of it is staged", || staged(&alice).filter(|bytes| *bytes > THROUGH / 2));
    node.process().kill();
    pushing.wait_for(Stream::Out, "reconnecting", |line| line.contains("reconnecting").then_some(()));
    pushing.signal(rustix::process::Signal::INT);
    pushing.end().exits(130);
}
