//! The ways in which the same bytes may travel: over one connection or many, packed or not, at
//! full speed or slowly, compared by time or by content, or only told of. They arrive equal.

use std::fs::File;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::house::dam::Dam;
use crate::house::dice::Dice;
use crate::house::forest::Forest;
use crate::house::home::{Home, Node};
use crate::house::process::{Process, Ran};
use crate::house::proxy::{Mishap, Proxy, Trouble, Way};
use crate::house::{noise, until};
use crate::survive::staged;
use crate::terminal::{QUESTION, up_at_terminal};

/// A tree of files of every size, small ones and some that are longer than a chunk.
fn mixed(number: u64) -> Forest {
    let mut dice = Dice::numbered(number);
    let mut whole = Forest::grown(&mut dice, "t", 300, 9 << 20);
    for n in 0..12 {
        let length = dice.below(3 << 20) as usize;
        whole.add(&format!("t/m/medium{n}"), dice.bytes(length));
    }
    whole.add("t/empty", Vec::new());
    whole.add("t/chunk", dice.bytes(1 << 20));
    whole.add("t/chunks", dice.bytes(4 << 20));
    whole
}

/// A node that shares `t` and accepts everything.
fn up(home: &Home) -> Node {
    home.folder("t");
    home.up(&["--accept", "all", "--share", "t", "--share-with", "all"])
}

#[track_caller]
fn nothing_was_lost(ran: &Ran) {
    assert!(!ran.out.contains("reconnecting"), "{ran:?}");
    assert_eq!(ran.last()["verified"], true, "{ran:?}");
}

#[test]
fn over_one_connection_or_many_everything_arrives_equal() {
    let whole = mixed(1);
    for count in ["1", "2", "4", "16"] {
        let (bob, alice) = (Home::new("bob"), Home::new("alice"));
        whole.write(&bob, ".");
        let node = up(&alice);
        nothing_was_lost(&bob.run(&["push", "t", &node.at(), "--connections", count]).done());
        assert!(Forest::seen(&alice) == whole, "pushed over {count}");
        whole.write(&alice, ".");
        nothing_was_lost(&bob.run(&["pull", &node.at(), "--to", "here", "--connections", count]).done());
        assert!(Forest::below(&bob, "here") == whole, "pulled over {count}");
    }
}

/// None takes much until so many are there that the rest would do: more may come until it is over.
#[test]
fn as_many_connections_as_were_named_carry_the_bytes() {
    let whole = mixed(2);
    for count in [1, 4, 16] {
        let (bob, alice) = (Home::new("bob"), Home::new("alice"));
        whole.write(&bob, ".");
        whole.write(&alice, ".");
        let node = up(&alice);
        for way in [Way::There, Way::Back] {
            let proxy = Proxy::to(node.port(), vec![Trouble { way, after: 100_000, what: Mishap::Held }; count]);
            let (at, connections) = (proxy.at(), count.to_string());
            let rest = ["--connections", &connections];
            let running = match way {
                Way::There => bob.start(&[&["push", "t", &at][..], &rest].concat()),
                Way::Back => bob.start(&[&["pull", &at, "--to", "here"][..], &rest].concat()),
            };
            until(&format!("{count} lines {way:?}"), || (proxy.lines() >= count.min(4) as u32).then_some(()));
            proxy.open();
            nothing_was_lost(&running.end().done());
            assert!(proxy.lines() <= count as u32, "{} of {count}", proxy.lines());
        }
        assert!(Forest::seen(&alice) == whole && Forest::below(&bob, "here") == whole, "{count}");
    }
}

/// As where packets are lost: what one connection carries is not what the link can.
#[test]
fn more_connections_are_opened_by_themselves_as_long_as_each_is_slow() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let bytes = noise(7, 64 << 20);
    bob.write("big", &bytes);
    alice.write("t/big", &bytes);
    let node = up(&alice);
    let pulled = |at: &str| format!("{at}:t/big");
    for way in [Way::There, Way::Back] {
        let what = Mishap::Slow { kib: 1024 };
        let proxy = Proxy::to(node.port(), vec![Trouble { way, after: 100_000, what }; 16]);
        let running = match way {
            Way::There => bob.start(&["push", "big", &proxy.at()]),
            Way::Back => bob.start(&["pull", &pulled(&proxy.at()), "--to", "here"]),
        };
        until("16 lines", || (proxy.lines() == 16).then_some(()));
        proxy.open();
        nothing_was_lost(&running.end().done());
    }
    assert!(alice.read("inbox/big") == bytes && bob.read("here/big") == bytes);
}

/// As where somebody walks away from the access point.
#[test]
fn where_it_becomes_much_slower_than_its_limit_more_connections_are_opened() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let bytes = noise(8, 40 << 20);
    bob.write("big", &bytes);
    let node = up(&alice);
    // As long as it is the limit that holds it back there is one.
    let slow = Trouble { way: Way::There, after: 12 << 20, what: Mishap::Slow { kib: 512 } };
    let proxy = Proxy::to(node.port(), vec![slow; 16]);
    let running = bob.start(&["push", "big", &proxy.at(), "--limit", "4M"]);
    until("enough has gone", || (proxy.bytes(Way::There) > 11 << 20).then_some(()));
    assert_eq!(proxy.lines(), 1);
    until("more lines", || (proxy.lines() > 1).then_some(()));
    proxy.open();
    nothing_was_lost(&running.end().done());
    assert!(alice.read("inbox/big") == bytes);
}

/// The end comes while further connections are still being opened.
#[test]
fn what_is_over_before_all_connections_are_there_is_not_lost() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    alice.folder("t");
    let node = up(&alice);
    for n in 0..20 {
        let name = format!("f{n}");
        let bytes = noise(n, 1 << (14 + n % 8));
        bob.write(&name, &bytes);
        nothing_was_lost(&bob.run(&["push", &name, &node.at(), "--connections", "16"]).done());
        assert!(alice.read(&format!("inbox/{name}")) == bytes);
        alice.write(&format!("t/{name}"), &bytes);
        let target = format!("{}:t/{name}", node.at());
        nothing_was_lost(&bob.run(&["pull", &target, "--to", "here", "--connections", "16"]).done());
        assert!(bob.read(&format!("here/{name}")) == bytes);
    }
}

/// Several fetch the same from one node at once, one peer among them twice.
#[test]
fn pulls_at_the_same_time_are_in_nobodys_way() {
    let (bob, carol, alice) = (Home::new("bob"), Home::new("carol"), Home::new("alice"));
    let whole = mixed(3);
    whole.write(&alice, ".");
    let node = up(&alice);
    let pull = |home: &Home, to| home.start(&["pull", &node.at(), "--to", to]);
    let running = [pull(&bob, "one"), pull(&bob, "two"), pull(&carol, "one")];
    running.into_iter().for_each(|pulling| nothing_was_lost(&pulling.end().done()));
    for (home, folder) in [(&bob, "one"), (&bob, "two"), (&carol, "one")] {
        assert!(Forest::below(home, folder) == whole, "{} {folder}", home.name());
    }
}

/// Bytes of a text that repeats itself.
const TEXT: usize = 6 << 20;

/// Bytes that nothing makes shorter.
const NOISE: usize = 3 << 20;

#[test]
fn packed_or_not_everything_arrives_equal_and_what_shrinks_is_less_on_the_wire() {
    let mut whole = Forest::default();
    let line = b"let the quick brown fox jump over the lazy dog\n";
    whole.add("t/text", line.iter().copied().cycle().take(TEXT).collect());
    whole.add("t/noise", noise(1, NOISE));
    whole.add("t/half", [noise(2, 700_000), vec![b'x'; 700_000]].concat());
    whole.add("t/zeros", vec![0; 1 << 20]);
    for n in 0..200 {
        let length = (n * 37) as usize % 3000;
        let bytes = if n % 2 == 0 { line.iter().copied().cycle().take(length).collect() } else { noise(n, length) };
        whole.add(&format!("t/small/{n}"), bytes);
    }
    for compress in ["on", "off", "auto"] {
        let (bob, alice) = (Home::new("bob"), Home::new("alice"));
        whole.write(&bob, ".");
        let node = up(&alice);
        let proxy = Proxy::to(node.port(), vec![]);
        let ran = bob.run(&["push", "t", &proxy.at(), "--compress", compress]).done();
        nothing_was_lost(&ran);
        assert!(Forest::seen(&alice) == whole, "{compress}");
        let (wire, moved) = (proxy.bytes(Way::There), ran.last()["bytes_moved"].as_u64().unwrap());
        // What moved is what arrived, however it travelled.
        assert!(moved > (TEXT + NOISE) as u64, "{moved}");
        match compress {
            "on" => assert!(wire < (NOISE + TEXT / 2) as u64, "{wire} bytes for {moved}"),
            "off" => assert!(wire > moved, "{wire} bytes for {moved}"),
            _ => {}
        }
        // Again over two connections, and to two receivers: packed once for both.
        let (carol, dave) = (Home::new("carol"), Home::new("dave"));
        let both = [carol.up_for_all(), dave.up_for_all()];
        let to = format!("{},{}", both[0].at(), both[1].at());
        bob.run(&["push", "t", &to, "--compress", compress, "--connections", "2"]).done();
        assert!(Forest::seen(&carol) == whole && Forest::seen(&dave) == whole, "{compress}");
    }
}

#[test]
fn under_a_limit_everything_arrives_equal() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let whole = mixed(4);
    whole.write(&bob, ".");
    whole.write(&alice, ".");
    let limit = ["--limit", "60M"];
    let node = up(&alice);
    nothing_was_lost(&bob.run(&["push", "t", &node.at(), "--connections", "3", "--limit", "60M"]).done());
    nothing_was_lost(&bob.run(&[&["pull", &node.at(), "--to", "here"][..], &limit].concat()).done());
    assert!(Forest::seen(&alice) == whole && Forest::below(&bob, "here") == whole);
    // A node's own, in and out.
    alice.remove("inbox");
    drop(node);
    let node = alice.up(&["--accept", "all", "--share", "t", "--share-with", "all", "--limit", "60M"]);
    nothing_was_lost(&bob.run(&["push", "t", &node.at()]).done());
    nothing_was_lost(&bob.run(&["pull", &node.at(), "--to", "there"]).done());
    assert!(Forest::seen(&alice) == whole && Forest::below(&bob, "there") == whole);
    for nonsense in ["0", "x", "-5", "5Q", ""] {
        bob.run(&["push", "t", &node.at(), "--limit", nonsense]).exits(2);
    }
}

/// Gives a file this time.
fn set_time(home: &Home, path: &str, time: SystemTime) {
    File::options().write(true).open(home.path(path)).unwrap().set_modified(time).unwrap();
}

#[test]
fn other_bytes_of_the_same_size_and_time_are_noticed_only_where_bytes_are_compared() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = up(&alice);
    let (time, at) = (SystemTime::now() - Duration::from_secs(1000), node.at());
    let mut bytes = noise(1, (5 << 20) / 2);
    bob.write("a", &bytes);
    set_time(&bob, "a", time);
    let push = |more: &[&str]| bob.run(&[&["push", "a", &at], more].concat()).done().last();
    assert_eq!(push(&["--checksum"])["bytes_moved"], bytes.len());
    let before = bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    bob.write("a", &bytes);
    set_time(&bob, "a", time);
    // Size and time decide.
    let pushed = push(&[]);
    assert_eq!((&pushed["bytes_moved"], &pushed["entries"][0]["outcome"]), (&0.into(), &"unchanged".into()));
    // The bytes do.
    let pushed = push(&["--checksum"]);
    assert_eq!((&pushed["bytes_moved"], &pushed["entries"][0]["as"]), (&bytes.len().into(), &"a (1)".into()));
    assert!(alice.read("inbox/a") == before && alice.read("inbox/a (1)") == bytes);
    // What is kept beside is not kept twice.
    let pushed = push(&["--checksum"]);
    assert_eq!(alice.tree("inbox"), ["a", "a (1)"], "{pushed}");
}

#[test]
fn the_same_bytes_of_another_time_do_not_move_where_bytes_are_compared() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let (node, whole) = (up(&alice), mixed(5));
    whole.write(&bob, ".");
    bob.run(&["push", "t", &node.at()]).done();
    // Written again, every file has another time.
    let later = SystemTime::now() + Duration::from_secs(100);
    for path in bob.tree("t").iter().filter(|path| !path.ends_with('/')) {
        set_time(&bob, &format!("t/{path}"), later);
    }
    let compared = bob.run(&["push", "t", &node.at(), "--checksum"]).done().last();
    assert_eq!((&compared["bytes_moved"], &compared["verified"]), (&0.into(), &true.into()));
    assert!(Forest::seen(&alice) == whole);
    let moved = bob.run(&["push", "t", &node.at()]).done().last();
    assert_eq!(moved["bytes_moved"], 0, "what was found equal has the same time from then on");
    assert!(Forest::seen(&alice) == whole, "nothing is there twice");
}

/// The last word of a dry run: files and bytes that would move, and files that are there.
fn plan(ran: &Ran) -> (u64, u64, u64) {
    let last = ran.last();
    assert_eq!(last["event"], "would_move", "{ran:?}");
    let said = ran.objects().iter().filter_map(|object| object["bytes"].as_u64()).sum::<u64>();
    let number = |of: &Value| of.as_u64().unwrap();
    assert_eq!(said, 2 * number(&last["bytes"]), "the sum is that of its files: {ran:?}");
    (number(&last["files"]), number(&last["bytes"]), number(&last["unchanged"]))
}

#[test]
fn a_push_that_is_only_tried_tells_what_the_real_one_does_and_writes_nothing() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let (node, whole) = (up(&alice), mixed(6));
    whole.write(&bob, ".");
    let at = node.at();
    let dry = |before: &[String]| {
        let plan = plan(&bob.run(&["push", "-n", "t", &at]).done());
        assert_eq!(alice.tree(""), before, "nothing is written");
        plan
    };
    let bytes = |ran: Ran| ran.last()["bytes_moved"].as_u64().unwrap();

    let (files, would, there) = dry(&alice.tree(""));
    assert_eq!((files, there), (whole.len() as u64, 0));
    // A try that ends half-way.
    let dam = Dam::before(node.port(), 12 << 20);
    let pushing = bob.start(&["push", "t", &dam.at(), "--connections", "1"]);
    until("some of it is staged", || staged(&alice).filter(|bytes| *bytes > 6 << 20));
    pushing.kill();
    node.event("failed");
    let (_, rest, _) = dry(&alice.tree(""));
    assert!(rest < would - (4 << 20), "{rest} of {would}");
    assert_eq!(bytes(bob.run(&["push", "t", &at]).done()), rest);
    assert!(Forest::seen(&alice) == whole);
    // Nothing is missing.
    assert_eq!(dry(&alice.tree("")), (0, 0, whole.len() as u64));
    assert_eq!(bytes(bob.run(&["push", "t", &at]).done()), 0);
    // One is, and one is another.
    std::fs::remove_file(alice.path("inbox/t/chunk")).unwrap();
    bob.write("t/empty", "no more");
    assert_eq!(dry(&alice.tree("")), (2, (1 << 20) + 7, whole.len() as u64 - 2));
    assert_eq!(bytes(bob.run(&["push", "t", &at]).done()), (1 << 20) + 7);
    // Without a word on bytes: to be compared.
    let before = alice.tree("");
    let compared = bob.run(&["push", "-n", "--checksum", "t/chunks", &at]).done().last();
    assert_eq!((&compared["bytes"], &compared["compared"]), (&(4 << 20).into(), &0.into()), "it is at another place");
    let compared = bob.run(&["push", "-n", "--checksum", "t", &at]).done().last();
    assert_eq!((&compared["compared"], &compared["bytes"]), (&whole.len().into(), &0.into()));
    assert_eq!(alice.tree(""), before);
}

#[test]
fn a_pull_that_is_only_tried_tells_what_the_real_one_does_and_writes_nothing() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let (whole, ways) = (mixed(7), ["--to", "deep/here", "--connections", "1"]);
    whole.write(&alice, ".");
    let node = up(&alice);
    // Whom we have met is noted; nothing else is.
    bob.run(&["ls", &node.at()]).done();
    let dry = || {
        let before = bob.tree("");
        let plan = plan(&bob.run(&[&["pull", "-n", &node.at()], &ways[..]].concat()).done());
        assert_eq!(bob.tree(""), before, "nothing is written");
        plan
    };
    let (files, would, there) = dry();
    assert_eq!((files, there), (whole.len() as u64, 0));
    let cut = Trouble { way: Way::Back, after: 12 << 20, what: Mishap::Cut };
    let proxy = Proxy::to(node.port(), vec![cut]);
    bob.run(&[&["pull", &proxy.at(), "--retry", "0"], &ways[..]].concat()).exits(4);
    let (_, rest, _) = dry();
    assert!(rest < would - (4 << 20), "{rest} of {would}");
    let pulled = bob.run(&[&["pull", &node.at()], &ways[..]].concat()).done().last();
    assert_eq!(pulled["bytes_moved"], rest);
    assert!(Forest::below(&bob, "deep/here") == whole);
    assert_eq!(dry(), (0, 0, whole.len() as u64));
    let pulled = bob.run(&[&["pull", &node.at()], &ways[..]].concat()).done().last();
    assert_eq!(pulled["bytes_moved"], 0);
}

#[test]
fn a_pull_of_several_that_is_only_tried_ends_as_the_real_one_does() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    alice.write("notes/a", "a");
    let node = alice.up(&["--share", "notes", "--share-with", "all"]);
    for (flags, last) in [(&["-n"][..], "would_move"), (&[], "pulled")] {
        let ran = bob.run(&[&["pull", "[127.0.0.1:1]:a", &node.at(), "--to", "here"], flags].concat()).exits(8);
        assert_eq!(ran.last()["event"], last, "{ran:?}");
    }
}

/// So many that they are told while they are still being found.
#[test]
fn a_try_of_very_many_files_counts_them_all() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = up(&alice);
    for n in 0..6000 {
        bob.write(&format!("many/d{}/d{}/f{n}", n % 7, n % 40), b"x");
    }
    for _ in 0..5 {
        assert_eq!(plan(&bob.run(&["push", "-n", "many", &node.at()]).done()), (6000, 6000, 0));
    }
    assert!(alice.tree("inbox").is_empty());
    drop(bob.run(&["push", "many", &node.at()]).done());
    assert_eq!(plan(&bob.run(&["push", "-n", "many", &node.at()]).done()), (0, 0, 6000));
}

#[test]
fn a_node_that_would_ask_a_person_says_so_and_asks_nobody() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let (terminal, at) = up_at_terminal(&alice, &[]);
    bob.write("a", noise(1, 5000));
    let ran = Process::start(bob.command(&["push", "-n", "a", &at])).end().done();
    assert!(ran.err.contains("a person is asked there"), "{ran:?}");
    // It refuses before it has heard everything, which may find its connection closed.
    for _ in 0..20 {
        assert_eq!(plan(&bob.run(&["push", "-n", "a", &at]).done()), (1, 5000, 0));
    }
    assert!(!terminal.screen().contains(QUESTION), "{}", terminal.screen());
    assert!(alice.tree("inbox").is_empty());
}
