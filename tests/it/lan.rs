//! Hosts on a LAN of their own, without a flag: they find each other, and files arrive.

use super::give::Giving;
use super::house::home::Home;
use super::house::lan::{Addresses, Lan};
use super::house::noise;

/// On each of these LANs the same must work.
fn everything_works(lan: &Lan, found_by: &[&str]) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let shared = alice.folder("notes");
    alice.write("notes/week1.txt", "files");
    let _node = lan.up(1, &alice, &["--accept", "all", "--share", shared.to_str().unwrap(), "--share-with", "all"]);

    let peers = lan.run(2, &bob, &["peers"]).done();
    let peers = peers.objects();
    let peer = peers.iter().find(|peer| peer["name"] == alice.name()).expect("alice is seen");
    assert_eq!(peer["state"], "live");
    assert!(found_by.iter().any(|how| peer["found_by"] == *how), "{peer}");

    bob.write("lecture.bin", noise(1, 3_000_000));
    for number in 0..50 {
        bob.write(&format!("tree/{}/{number}", number % 7), noise(number, 100));
    }
    lan.run(2, &bob, &["push", "lecture.bin", "tree", alice.name()]).done();
    assert_eq!(alice.read("inbox/lecture.bin"), noise(1, 3_000_000));
    assert_eq!(alice.tree("inbox/tree"), bob.tree("tree"));

    let again = lan.run(2, &bob, &["push", "lecture.bin", "tree", alice.name()]).done();
    assert_eq!(again.last()["bytes_moved"], 0);

    let listed = lan.run(2, &bob, &["ls", &format!("{}:notes", alice.name())]).done();
    assert_eq!(listed.last()["path"], "week1.txt");
    lan.run(2, &bob, &["pull", &format!("{}:notes", alice.name())]).done();
    assert_eq!(bob.read("notes/week1.txt"), b"files");
}

#[test]
fn two_hosts_find_each_other_and_files_arrive() {
    let Some(lan) = Lan::of(2, Addresses::Both) else { return };
    everything_works(&lan, &["mdns"]);
}

#[test]
fn the_same_where_there_is_only_ipv6() {
    let Some(lan) = Lan::of(2, Addresses::V6) else { return };
    everything_works(&lan, &["mdns"]);
}

#[test]
fn the_same_beside_docker_and_an_interface_that_leads_nowhere() {
    let Some(lan) = Lan::of(2, Addresses::Both) else { return };
    for host in [1, 2] {
        // The same address on both, as docker has it everywhere.
        lan.dead_interface(host, "docker0", "172.17.0.1/16");
        lan.dead_interface(host, "eth9", "192.168.99.1/24");
    }
    everything_works(&lan, &["mdns"]);
}

#[test]
fn the_same_where_the_switch_drops_multicast() {
    let Some(lan) = Lan::of(2, Addresses::Both) else { return };
    if !lan.drop_multicast() {
        eprintln!("skipped: there is no nft to drop multicast with");
        return;
    }
    // Both are answered at the same port; which of the two answers is heard last is as it falls.
    everything_works(&lan, &["broadcast", "sweep"]);
}

/// By a code, between strangers; beside a node that has the fixed ports.
fn a_code_finds_its_giver(lan: &Lan) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes", noise(3, 1_000_000));
    let _node = lan.up(1, &alice, &[]);
    let giving = Giving::of(lan.start(1, &alice, &["give", "notes"]));
    bob.write("code", &giving.code);
    lan.run(2, &bob, &["take", "here", "--code-file", "code"]).done();
    giving.process.end().done();
    assert_eq!(bob.read("here/notes"), noise(3, 1_000_000));
}

#[test]
fn a_code_finds_its_giver_with_and_without_multicast() {
    let Some(lan) = Lan::of(2, Addresses::Both) else { return };
    a_code_finds_its_giver(&lan);
    if lan.drop_multicast() {
        a_code_finds_its_giver(&lan);
    }
}

#[test]
fn a_node_on_each_of_ten_hosts_is_seen() {
    let Some(lan) = Lan::of(11, Addresses::Both) else { return };
    let homes: Vec<Home> = (0..10).map(|_| Home::new("pc")).collect();
    let _nodes: Vec<_> = homes.iter().zip(1..).map(|(home, host)| lan.up(host, home, &[])).collect();
    let seen = lan.run(11, &Home::new("asker"), &["peers"]).done().objects();
    for home in &homes {
        assert!(seen.iter().any(|peer| peer["name"] == home.name() && peer["state"] == "live"), "{}", home.name());
    }
}
