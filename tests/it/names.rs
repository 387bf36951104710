//! Who is meant, who answers, and what happens if that is not the same.

use crate::house::home::Home;
use crate::house::until;

/// Waits until `home` sees a node of this short id, and says what it sees of it.
fn sees(home: &Home, short: &str) -> serde_json::Value {
    until(&format!("{short} is seen"), || {
        let seen = home.run(&["peers"]).done().objects();
        seen.into_iter().find(|peer| peer["short"] == *short && peer["state"] == "live")
    })
}

#[test]
fn a_node_is_found_by_its_name_and_seen_with_what_it_says() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let seen = sees(&bob, node.short());
    assert_eq!((&seen["name"], &seen["trust"]), (&alice.name().into(), &"stranger".into()));
    assert_eq!((&seen["accepts"], &seen["id"]), (&"all".into(), &node.up["id"]));
    bob.write("a", "a");
    bob.run(&["push", "a", alice.name()]).done();
    assert_eq!(alice.read("inbox/a"), b"a");
    assert_eq!(sees(&bob, node.short())["trust"], "known");
}

#[test]
fn an_unknown_name_is_not_found_and_a_like_one_is_suggested() {
    let (bob, alice) = (Home::new("bob"), Home::new("zebrafinch"));
    let node = alice.up_for_all();
    sees(&bob, node.short());
    bob.write("a", "a");
    let told = bob.run(&["push", "a", &alice.name().replace("finch", "fnich")]).exits(3).failure();
    assert!(told.contains("seen instead") && told.contains(&format!("did you mean {}?", alice.name())), "{told}");
    assert!(alice.tree("inbox").is_empty());
}

#[test]
fn two_nodes_of_one_name_are_told_apart_by_id_and_nothing_is_sent_before() {
    let (bob, one) = (Home::new("bob"), Home::new("twin"));
    let two = Home::named(one.name());
    let nodes = [one.up_for_all(), two.up_for_all()];
    nodes.iter().for_each(|node| drop(sees(&bob, node.short())));
    bob.write("a", "a");
    let told = bob.run(&["push", "a", one.name()]).exits(3).failure();
    assert!(told.contains("nothing was sent"), "{told}");
    for node in &nodes {
        let shown = format!("{}~{}", one.name(), node.short());
        assert!(told.contains(&shown), "{shown} is not in: {told}");
    }
    assert!(one.tree("inbox").is_empty() && two.tree("inbox").is_empty());

    bob.run(&["push", "a", &format!("{}~{}", one.name(), nodes[1].short())]).done();
    assert!(one.tree("inbox").is_empty());
    assert_eq!(two.read("inbox/a"), b"a");
}

#[test]
fn a_node_that_was_killed_is_not_found_or_not_reached() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("a", "a");
    bob.run(&["push", "a", alice.name()]).done();
    let at = node.at();
    drop(node);
    let ran = bob.run(&["push", "a", alice.name()]);
    assert!(matches!(ran.code, Some(3 | 4)), "{ran:?}");
    assert!(ran.failure().contains(alice.name()));
    let told = bob.run(&["push", "a", &at]).exits(4).failure();
    assert!(told.contains("nothing listens there"), "{told}");
}

#[test]
fn s8_localsend_cve_2025_54792_a_known_name_with_another_key_is_refused_until_the_old_one_is_forgotten() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("a", "a");
    bob.run(&["push", "a", &node.at()]).done();
    let old = node.short().to_owned();
    drop(node);

    let other = Home::named(alice.name());
    let node = other.up_for_all();
    assert_eq!(sees(&bob, node.short())["other_key"], true);
    let shown = bob.run_plain(&["peers"]).done().out;
    assert!(shown.lines().any(|line| line.contains(node.short()) && line.contains("OTHER KEY")), "{shown}");
    for target in [alice.name(), &node.at()] {
        let told = bob.run(&["push", "a", target]).exits(6).failure();
        assert!(told.contains(&old) && told.contains(node.short()), "both keys are named: {told}");
        assert!(told.contains("nothing was sent") && told.contains("ftx forget"), "{told}");
    }
    assert!(other.tree("inbox").is_empty());

    bob.run(&["forget", alice.name()]).done();
    bob.run(&["push", "a", alice.name()]).done();
    assert_eq!(other.read("inbox/a"), b"a");
}

#[test]
fn s8_kde_connect_cve_2025_66270_a_stranger_under_a_known_senders_name_is_refused() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("a", "a");
    bob.run(&["push", "a", &node.at()]).done();
    let mallory = Home::named(bob.name());
    mallory.write("b", "b");
    let told = mallory.run(&["push", "b", &node.at()]).exits(6).failure();
    assert!(told.contains("another key"), "{told}");
    assert_eq!(alice.tree("inbox"), ["a"]);
    assert_eq!(node.event("failed")["kind"], "identity");
}

#[test]
fn a_blocked_peer_is_refused_both_ways() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    alice.write("notes/n", "n");
    bob.write("a", "a");
    alice.write("b", "b");
    let alices = alice.up(&["--accept", "all", "--share", "notes", "--share-with", "all"]);
    let bobs = bob.up_for_all();
    alice.run(&["block", &bobs.at()]).done();
    bob.run(&["push", "a", &alices.at()]).exits(6).failure();
    bob.run(&["ls", &alices.at()]).exits(6).failure();
    bob.run(&["pull", &alices.at()]).exits(6).failure();
    let told = alice.run(&["push", "b", &bobs.at()]).exits(6).failure();
    assert!(told.contains("blocked"), "{told}");
    assert!(alice.tree("inbox").is_empty() && bob.tree("inbox").is_empty());

    alice.run(&["forget", bob.name()]).done();
    bob.run(&["push", "a", &alices.at()]).done();
    assert_eq!(alice.read("inbox/a"), b"a");
}
