//! `ftx doctor` on LANs on which something is wrong: each cause is named by its signature.

use std::fs;
use std::net::UdpSocket;

use super::doctor::found;
use super::house::home::Home;
use super::house::lan::{Addresses, Lan};
use super::house::until;

/// A LAN of so many hosts, with a node of somebody on the second; the first is where the doctor is asked.
macro_rules! lan_with_a_node {
    ($hosts:expr, $lan:ident, $bob:ident, $node:ident) => {
        let Some($lan) = Lan::of($hosts, Addresses::Both) else { return };
        let $bob = Home::new("bob");
        let $node = $lan.up(2, &$bob, &["--accept", "all"]);
    };
}

fn no_nft() {
    eprintln!("skipped: there is no nft to build a firewall with");
}

#[test]
fn on_an_open_lan_all_is_well_and_docker_is_left_out() {
    lan_with_a_node!(2, lan, bob, _node);
    lan.dead_interface(1, "docker0", "172.17.0.1/16");
    let anna = Home::new("anna");
    let ran = lan.run(1, &anna, &["doctor"]).done();
    found(&ran, "network", "ok", &["looks at eth0 (10.77.0.1/24"]);
    found(&ran, "network", "note", &["leaves out docker0", "--interface docker0"]);
    found(&ran, "network", "ok", &["port 23547 is free"]);
    found(&ran, "discovery", "ok", &["heard on eth0"]);
    found(&ran, "discovery", "ok", &["1 other machine answers"]);
    found(&lan.run(1, &anna, &["doctor", bob.name()]).done(), "peer", "ok", &["lets us in at ", ":23547"]);
    // On the machine of the node itself.
    found(&lan.run(2, &bob, &["doctor"]).done(), "network", "ok", &["this machine's node runs"]);
}

#[test]
fn without_a_cable_there_is_no_network() {
    let Some(lan) = Lan::of(1, Addresses::Both) else { return };
    lan.unplug(1);
    let ran = lan.run(1, &Home::new("anna"), &["doctor"]).exits(3);
    found(&ran, "network", "wrong", &["no network", "connect a cable"]);
}

#[test]
fn a_network_that_drops_multicast_is_told_and_works() {
    lan_with_a_node!(2, lan, bob, _node);
    if !lan.drop_multicast() {
        return no_nft();
    }
    let anna = Home::new("anna");
    let ran = lan.run(1, &anna, &["doctor"]).done();
    // Its own question never got as far as the switch.
    found(&ran, "discovery", "ok", &["heard on eth0"]);
    found(&ran, "discovery", "note", &["not to multicast", "a little slower"]);
    let ran = lan.run(1, &anna, &["doctor", bob.name()]).done();
    found(&ran, "peer", "note", &["only to broadcast", "filters multicast"]);
    found(&ran, "peer", "ok", &["lets us in"]);
}

#[test]
fn an_own_firewall_is_told_by_what_does_not_go_out_or_come_in() {
    let Some(lan) = Lan::of(2, Addresses::Both) else { return };
    if !lan.firewall(1, "", "udp dport 5353 drop") {
        return no_nft();
    }
    let ran = lan.run(1, &Home::new("anna"), &["doctor"]).exits(1);
    found(&ran, "discovery", "wrong", &["not let out", "own firewall", "224.0.0.251"]);
    lan.firewall(2, "udp dport 5353 drop", "");
    let ran = lan.run(2, &Home::new("bob"), &["doctor"]).done();
    found(&ran, "discovery", "note", &["is not heard", "firewall drops UDP port 5353", "ufw allow"]);
}

#[test]
fn whoever_holds_the_port_of_mdns_alone_is_named() {
    let Some(lan) = Lan::of(1, Addresses::Both) else { return };
    let _held = lan.within(1, || UdpSocket::bind("0.0.0.0:5353").unwrap());
    let ran = lan.run(1, &Home::new("anna"), &["doctor"]).done();
    let own = format!("(process {})", std::process::id());
    found(&ran, "discovery", "note", &["UDP port 5353", "for itself alone", &own]);
}

#[test]
fn a_peer_whose_firewall_drops_or_refuses_is_told_with_the_command_for_its_side() {
    lan_with_a_node!(2, lan, bob, _node);
    if !lan.firewall(2, "tcp dport 23547 drop", "") {
        return no_nft();
    }
    let anna = Home::new("anna");
    let ran = lan.run(1, &anna, &["doctor", bob.name()]).exits(4);
    found(&ran, "peer", "wrong", &["answers by UDP", "the firewall of that machine", "ufw allow 23547/tcp"]);

    lan_with_a_node!(2, lan, bob, _node);
    lan.firewall(2, "tcp dport 23547 reject with icmpx type admin-prohibited", "");
    let ran = lan.run(1, &anna, &["doctor", bob.name()]).exits(4);
    found(&ran, "peer", "wrong", &["refused at once, by a firewall", "firewall-cmd"]);
}

#[test]
fn an_own_firewall_that_lets_no_connection_out_is_told() {
    lan_with_a_node!(2, lan, bob, _node);
    if !lan.firewall(1, "", "tcp dport 23547 drop") {
        return no_nft();
    }
    // What is dropped on its way out is not told by Linux; what is refused there is.
    let ran = lan.run(1, &Home::new("anna"), &["doctor", bob.name()]).exits(4);
    found(&ran, "peer", "wrong", &["10.77.0.2:23547"]);
}

#[test]
fn a_peer_that_is_off_is_told_with_when_it_was_seen() {
    lan_with_a_node!(3, lan, bob, node);
    // Somebody else answers, so the network lets machines see one another.
    let _carol = lan.up(3, &Home::new("carol"), &[]);
    let anna = Home::new("anna");
    anna.write("letter", "x");
    lan.run(1, &anna, &["push", "letter", bob.name()]).done();
    lan.unplug(2);
    lan.forget_neighbours(1);
    drop(node);
    // On a busy network the system remembers for no moment for whom it has asked in vain.
    let forgetful = lan.forget_the_lost(1);
    let ran = lan.run(1, &anna, &["doctor", bob.name()]).exits(4);
    drop(forgetful);
    found(&ran, "peer", "wrong", &["no machine has the address", "last seen"]);
    found(&lan.run(1, &anna, &["doctor", "dave"]).exits(3), "peer", "wrong", &["others answer"]);
}

#[test]
fn a_network_that_keeps_its_machines_apart_is_told() {
    lan_with_a_node!(2, lan, bob, _node);
    let anna = Home::new("anna");
    anna.write("letter", "x");
    lan.run(1, &anna, &["push", "letter", bob.name()]).done();
    lan.keep_apart();
    lan.forget_neighbours(1);
    let ran = lan.run(1, &anna, &["doctor"]).done();
    found(&ran, "discovery", "note", &["only the gateway", "client isolation"]);
    let ran = lan.run(1, &anna, &["doctor", bob.name()]).exits(4);
    found(&ran, "peer", "wrong", &["keeps its machines apart"]);
}

#[test]
fn a_key_that_was_cloned_is_told() {
    lan_with_a_node!(3, lan, bob, _node);
    let twin = Home::new("twin");
    fs::create_dir_all(twin.path(".config/ftx")).unwrap();
    fs::copy(bob.path(".config/ftx/key"), twin.path(".config/ftx/key")).unwrap();
    let node = lan.up(3, &twin, &["--accept", "all"]);
    let anna = Home::new("anna");
    let typed = format!("~{}", node.short());
    // Both have just begun to announce themselves, under the one host name that goes with the key.
    let ran = until("both of them answer", || {
        let ran = lan.run(1, &anna, &["doctor", &typed]);
        (ran.code == Some(6)).then_some(ran)
    });
    found(&ran, "peer", "wrong", &["two machines answer with the one key", " and "]);
}
