//! One push to several: each gets it whatever becomes of the others, and each result is told.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::Value;

use crate::house::dam::Dam;
use crate::house::home::{Home, Node};
use crate::house::process::{Process, Ran};
use crate::house::proxy::{Mishap, Proxy, Trouble, Way};
use crate::house::sluice::Sluice;
use crate::house::{noise, until};
use crate::survive::staged;

/// So many homes with nodes that accept everything.
fn nodes(count: usize) -> Vec<(Home, Node)> {
    let home = |_| {
        let home = Home::new("alice");
        let node = home.up_for_all();
        (home, node)
    };
    (0..count).map(home).collect()
}

/// The target that means them all.
fn all_of(nodes: &[(Home, Node)]) -> String {
    nodes.iter().map(|(_, node)| node.at()).collect::<Vec<_>>().join(",")
}

/// An address at which nobody is.
fn nobody() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    format!("[{}]", listener.local_addr().unwrap())
}

/// What was told of one kind.
fn told(ran: &Ran, kind: &str) -> Vec<Value> {
    ran.objects().into_iter().filter(|object| object["event"] == kind).collect()
}

#[test]
fn everybody_who_is_named_gets_it() {
    for count in [2, 3] {
        let (bob, alices) = (Home::new("bob"), nodes(count));
        bob.write("tree/big", noise(1, 5 << 20));
        bob.write("tree/deep/small", "s");
        bob.folder("tree/empty");
        let to = all_of(&alices);
        let ran = bob.run(&["push", "tree", &to]).done();
        let mut names: Vec<_> = told(&ran, "pushed").iter().map(|object| object["peer"]["name"].to_string()).collect();
        names.sort();
        let mut expected: Vec<_> = alices.iter().map(|(home, _)| format!("{:?}", home.name())).collect();
        expected.sort();
        assert_eq!(names, expected);
        for (alice, _) in &alices {
            assert_eq!(alice.tree("inbox/tree"), bob.tree("tree"));
            assert!(alice.read("inbox/tree/big") == noise(1, 5 << 20));
        }
        // Once more: it is there. Who is named twice gets it once.
        let ran = bob.run(&["push", "tree", &format!("{to},{to}")]).done();
        let pushed = told(&ran, "pushed");
        assert!(pushed.len() == count && pushed.iter().all(|object| object["bytes_moved"] == 0), "{ran:?}");
    }
}

#[test]
fn who_cannot_be_reached_or_says_no_keeps_it_from_nobody_else() {
    let (bob, alices, carol) = (Home::new("bob"), nodes(2), Home::new("carol"));
    let no = carol.up(&["--accept", "none"]);
    bob.write("a", noise(2, 3 << 20));
    for (what, other, code) in [("unreachable", nobody(), 4), ("declines", no.at(), 5)] {
        let ran = bob.run(&["push", "a", &format!("{},{other},{}", alices[0].1.at(), alices[1].1.at())]).exits(8);
        assert_eq!(told(&ran, "pushed").len(), 2, "{what}: {ran:?}");
        let failed = told(&ran, "failed");
        assert_eq!(failed.len(), 1, "{what}: {ran:?}");
        let id = if code == 5 { no.up["id"].clone() } else { Value::Null };
        assert_eq!(failed[0]["peer"]["id"], id, "{what}: {ran:?}");
        assert_eq!((&failed[0]["peer"]["name"], &failed[0]["code"]), (&other.as_str().into(), &code.into()), "{what}");
        assert_eq!(ran.objects().len() - told(&ran, "first_contact").len(), 3, "{what}: {ran:?}");
    }
    for (alice, _) in &alices {
        assert!(alice.read("inbox/a") == noise(2, 3 << 20));
        assert_eq!(alice.tree("inbox"), ["a"]);
    }
    assert!(carol.tree("inbox").is_empty());
    // Nobody gets it: the end is what all have in common, or partly where they have nothing.
    let ran = bob.run(&["push", "a", &format!("{},{}", nobody(), nobody())]).exits(4);
    assert_eq!(told(&ran, "failed").len(), 2, "{ran:?}");
}

#[test]
fn a_machine_that_is_named_in_two_ways_gets_it_once() {
    let (bob, alices) = (Home::new("bob"), nodes(2));
    bob.write("a", "a");
    let (alice, node) = &alices[0];
    let by_name = format!("{},{}~{}", alice.name(), alice.name().to_uppercase(), node.short());
    let names = format!("{by_name},{},[localhost:{}]", node.at(), node.port());
    for to in [names.clone(), format!("{names},{}", alices[1].1.at())] {
        for flags in [&["-n"][..], &[]] {
            let ran = bob.run(&[&["push", "a", &to], flags].concat()).done();
            let mut ids: Vec<_> = ran.objects().into_iter().filter(|object| !object["peer"].is_null()).collect();
            ids.retain(|object| object["event"] == "pushed" || object["event"] == "would_move");
            let times = ids.iter().filter(|object| object["peer"]["id"] == node.up["id"]).count();
            assert_eq!((times, ids.len()), (1, 1 + usize::from(to != names)), "{to}: {ran:?}");
        }
        let ran = bob.run_plain(&["push", "a", &to]).done();
        assert_eq!(ran.out.matches(&format!(" at {}:", alice.name())).count(), 1, "{to}: {ran:?}");
    }
    assert_eq!(alice.tree("inbox"), ["a"]);
    // It cannot be reached under one of them: that is somebody else, as far as anybody knows.
    let ran = bob.run(&["push", "a", &format!("{},{}", node.at(), nobody())]).exits(8);
    assert_eq!((told(&ran, "pushed").len(), told(&ran, "failed").len()), (1, 1), "{ran:?}");
}

#[test]
fn a_group_of_the_configuration_is_everybody_in_it() {
    let (bob, alices) = (Home::new("bob"), nodes(3));
    bob.write("a", "a");
    let config = format!(
        "[groups]\nlab = [{:?}, {:?}]\nnested = [\"@lab\"]\nempty = []\n",
        alices[0].0.name(),
        alices[1].1.at()
    );
    bob.write(".config/ftx/config.toml", config);
    let ran = bob.run(&["push", "a", "@lab"]).done();
    assert_eq!(told(&ran, "pushed").len(), 2, "{ran:?}");
    let got = |n: usize| alices[n].0.tree("inbox");
    assert_eq!((got(0), got(1), got(2)), (vec!["a".to_owned()], vec!["a".to_owned()], vec![]));
    let ran = bob.run(&["push", "a", &format!("@lab,{}", alices[2].1.at())]).done();
    assert_eq!((told(&ran, "pushed").len(), got(2)), (3, vec!["a".to_owned()]), "{ran:?}");
    let unknown = bob.run(&["push", "a", "@class"]).exits(2).failure();
    assert!(unknown.contains("no group is called class") && unknown.contains("lab"), "{unknown}");
    bob.run(&["push", "a", "@nested"]).exits(2).failure();
    let nobody = bob.run(&["push", "a", "@empty"]).exits(2).failure();
    assert!(nobody.contains("nobody is in the group empty") && nobody.contains("empty = ["), "{nobody}");
}

#[test]
fn standard_input_goes_to_one_only_and_a_text_to_all() {
    let (bob, alices) = (Home::new("bob"), nodes(2));
    let to = all_of(&alices);
    let mut command = bob.command(&["push", "-", &to, "--as", "dump"]);
    command.arg("--json");
    let refused = Process::start_with_input(command, b"x").end().exits(2);
    assert!(refused.failure().contains("one receiver only") && refused.out.is_empty(), "{refused:?}");
    assert!(alices.iter().all(|(alice, _)| alice.tree("inbox").is_empty()));
    bob.run(&["push", "--text", "hello", &to]).done();
    assert!(alices.iter().all(|(alice, _)| alice.read("inbox/text.txt") == b"hello"));
}

/// Longer than what is kept in memory for those who are behind.
const LONG: usize = 60 << 20;

#[test]
fn a_receiver_that_is_killed_in_the_middle_does_not_stop_the_others() {
    let (bob, mut alices) = (Home::new("bob"), nodes(3));
    let bytes = noise(3, LONG);
    bob.write("big", &bytes);
    let (victim, victims) = alices.pop().unwrap();
    let dam = Dam::before(victims.port(), 8 << 20);
    let to = format!("{},{}", dam.at(), all_of(&alices));
    let pushing = bob.start(&["push", "big", &to, "--retry", "0"]);
    until("some of it is staged", || staged(&victim).filter(|bytes| *bytes > 4 << 20));
    victims.process().kill();
    let ran = pushing.end().exits(8);
    assert_eq!((told(&ran, "pushed").len(), told(&ran, "failed").len()), (2, 1), "{ran:?}");
    assert!(alices.iter().all(|(alice, _)| alice.read("inbox/big") == bytes));
    assert!(!victim.path("inbox/big").exists());
}

#[test]
fn one_that_is_lost_and_dialled_again_gets_it_like_the_others() {
    let (bob, alices) = (Home::new("bob"), nodes(3));
    let bytes = noise(7, LONG);
    bob.write("big", &bytes);
    let cut = Trouble { way: Way::There, after: 20 << 20, what: Mishap::Cut };
    let proxy = Proxy::to(alices[0].1.port(), vec![cut]);
    let to = format!("{},{}", proxy.at(), all_of(&alices[1..]));
    let ran = bob.run(&["push", "big", &to, "--connections", "1"]).done();
    let again = told(&ran, "reconnecting");
    assert_eq!((again.len(), told(&ran, "pushed").len()), (1, 3), "{ran:?}");
    assert_eq!(again[0]["peer"]["id"], alices[0].1.up["id"], "{ran:?}");
    assert!(alices.iter().all(|(alice, _)| alice.read("inbox/big") == bytes));
    assert_eq!(alices[0].0.tree("inbox"), ["big"]);
}

#[test]
fn a_slow_receiver_holds_up_nobody_and_gets_it_in_the_end() {
    let (bob, alices) = (Home::new("bob"), nodes(3));
    let bytes = noise(4, LONG);
    bob.write("big", &bytes);
    let sluice = Sluice::before(alices[2].1.port(), 2 << 20);
    let to = format!("{},{}", all_of(&alices[..2]), sluice.at());
    let pushing = bob.start(&["push", "big", &to, "--connections", "1"]);
    sluice.is_full();
    // The others are through while it waits.
    alices[..2].iter().for_each(|(_, node)| drop(node.event("received")));
    assert!(alices[2].1.events("received").is_empty());
    sluice.open();
    let ran = pushing.end().done();
    assert_eq!(told(&ran, "pushed").len(), 3, "{ran:?}");
    assert!(alices.iter().all(|(alice, _)| alice.read("inbox/big") == bytes));
}

#[test]
fn what_would_be_sent_is_told_of_each() {
    let (bob, alices, carol) = (Home::new("bob"), nodes(2), Home::new("carol"));
    bob.write("a", noise(5, 100_000));
    bob.write("b", "b");
    bob.run(&["push", "a", &alices[0].1.at()]).done();
    let ran = bob.run(&["push", "-n", "a", "b", &all_of(&alices)]).done();
    let bytes: Vec<_> = told(&ran, "would_move").iter().map(|object| object["bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes, [1, 100_001], "{ran:?}");
    assert_eq!((alices[0].0.tree("inbox"), alices[1].0.tree("inbox")), (vec!["a".to_owned()], vec![]));
    // One who cannot be reached is told, too.
    drop(carol);
    let ran = bob.run(&["push", "-n", "a", &format!("{},{}", alices[1].1.at(), nobody())]).exits(8);
    assert_eq!((told(&ran, "would_move").len(), told(&ran, "failed").len()), (1, 1), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn everybody_who_is_here_gets_it_but_who_is_blocked() {
    use crate::house::lan::{Addresses, Lan};
    let Some(lan) = Lan::of(5, Addresses::Both) else { return };
    let (bob, homes) = (Home::new("bob"), [0; 4].map(|_| Home::new("alice")));
    bob.write("slides.pdf", noise(6, 300_000));
    let nodes: Vec<_> = homes.iter().zip(1..).map(|(home, host)| lan.up(host, home, &["--accept", "all"])).collect();
    lan.run(5, &bob, &["block", homes[3].name()]).done();
    let ran = lan.run(5, &bob, &["push", "slides.pdf", "--all"]).done();
    assert_eq!(told(&ran, "pushed").len(), 3, "{ran:?}");
    assert!(homes[..3].iter().all(|home| home.read("inbox/slides.pdf") == noise(6, 300_000)));
    assert!(homes[3].tree("inbox").is_empty());
    drop(nodes);
    let ran = lan.run(5, &bob, &["push", "slides.pdf", "--all"]).exits(3);
    assert!(ran.failure().contains("nobody is here"), "{ran:?}");
}
