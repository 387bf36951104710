//! `ftx doctor`: what it says is so, by the cause that is there; and it changes nothing.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::house::home::{Home, Node};
use super::house::process::Ran;

/// The findings about something, each as its level, text and hint in one.
pub(crate) fn about(ran: &Ran, area: &str) -> Vec<String> {
    let findings = ran.objects().into_iter().filter(|object| object["event"] == "finding" && object["area"] == area);
    let text = |finding: &Value, part: &str| finding[part].as_str().expect("a text").to_owned();
    findings.map(|finding| ["level", "text", "hint"].map(|part| text(&finding, part)).join(" | ")).collect()
}

/// That one of the findings about something begins with this level and has all of these words.
#[track_caller]
pub(crate) fn found(ran: &Ran, area: &str, level: &str, words: &[&str]) {
    let all = about(ran, area);
    let is = |finding: &String| finding.starts_with(level) && words.iter().all(|word| finding.contains(word));
    assert!(all.iter().any(is), "no finding ({level}) about {area} with {words:?}: {all:#?}");
}

#[test]
fn a_fresh_machine_is_well_and_nothing_is_made_of_it() {
    let home = Home::new("anna");
    let ran = home.run(&["doctor"]).done();
    let end = ran.last();
    assert_eq!((&end["event"], &end["well"], &end["code"]), (&"doctor".into(), &true.into(), &0.into()));
    found(&ran, "node", "ok", &["protocol 1"]);
    found(&ran, "node", "note", &["no key"]);
    found(&ran, "files", "note", &["is made by ftx up"]);
    found(&ran, "network", "note", &["no network"]);
    assert_eq!(home.tree(""), Vec::<String>::new(), "the doctor changes nothing");
}

#[test]
fn what_others_may_read_is_told_with_what_to_type() {
    let home = Home::new("anna");
    home.up(&[]).process();
    let before = home.tree(".config");
    let ran = home.run(&["doctor"]).done();
    found(&ran, "files", "ok", &["nobody else reads"]);
    let key = home.path(".config/ftx/key");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
    fs::set_permissions(home.path(".config/ftx"), PermissionsExt::from_mode(0o755)).unwrap();
    let ran = home.run(&["doctor"]).exits(10);
    found(&ran, "files", "wrong", &["the private key", "mode 640", &format!("chmod 600 {}", key.display())]);
    found(&ran, "files", "note", &["mode 755", "chmod 700"]);
    assert_eq!(ran.last()["code"], 10);
    assert_eq!(home.tree(".config"), before);
}

#[test]
fn a_folder_that_receives_nothing_is_told() {
    let home = Home::new("anna");
    home.write("inbox", "a file");
    home.write(".config/ftx/config.toml", format!("dir = {:?}\n", home.path("inbox")));
    let ran = home.run(&["doctor"]).exits(9);
    found(&ran, "files", "wrong", &["cannot be opened", "ftx up --dir"]);
    home.write(".config/ftx/config.toml", "nmae = \"x\"\n");
    found(&home.run(&["doctor"]).exits(2), "files", "wrong", &["unknown field"]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_confinement_is_tried_and_told() {
    let home = Home::new("anna");
    let node = home.up(&[]);
    let ran = home.run(&["doctor"]).done();
    match node.up["confined"]["holds"].as_bool() {
        Some(true) => found(&ran, "confinement", "", &["tried, and it holds"]),
        _ => found(&ran, "confinement", "note", &["unconfined"]),
    }
}

#[test]
fn a_peer_that_is_well_is_told_with_its_trust() {
    let (anna, bob) = (Home::new("anna"), Home::new("bob"));
    let node = bob.up_for_all();
    let ran = anna.run(&["doctor", bob.name()]).done();
    found(&ran, "peer", "ok", &[bob.name(), "by mDNS"]);
    found(&ran, "peer", "ok", &["lets us in", "ftx 0."]);
    found(&ran, "peer", "ok", &["stranger", "ftx trust"]);
    found(&anna.run(&["doctor", &node.at()]).done(), "peer", "ok", &["lets us in"]);
    anna.run(&["block", &node.at()]).done();
    found(&anna.run(&["doctor", bob.name()]).exits(6), "peer", "wrong", &["you blocked it", "ftx forget"]);
    // It only looked: nothing was asked of anybody there.
    for kind in ["offered", "failed", "closed", "paired"] {
        assert_eq!(node.events(kind), Vec::<Value>::new());
    }
}

#[test]
fn a_peer_that_is_not_well_is_told_by_its_cause() {
    let (anna, bob) = (Home::new("anna"), Home::new("bob"));
    anna.write("letter", "x");
    let node = bob.up_for_all();
    anna.run(&["push", "letter", &node.at()]).done();
    let port = node.port();
    drop(node);
    // Known, and not there: the port refuses.
    let ran = anna.run(&["doctor", bob.name()]).exits(4);
    found(&ran, "peer", "wrong", &["ftx is not running there", "ftx up"]);
    // Somebody else has the address now.
    let other = Home::new("mallory");
    let taken = Node::new(other.start(&["up", "--port", &port.to_string(), "--dir", "inbox"]));
    let ran = anna.run(&["doctor", bob.name()]).exits(6);
    drop(taken);
    found(&ran, "peer", "wrong", &["another key"]);
    // Never heard of.
    let ran = anna.run(&["doctor", "nobody-of-this-name"]).exits(3);
    found(&ran, "peer", "wrong", &["is not here", "ftx peers"]);
    anna.run(&["doctor", "a~!"]).exits(2).failure();
}

#[test]
fn what_is_no_ftx_is_told_and_so_is_one_that_hangs() {
    let anna = Home::new("anna");
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("[{}]", foreign.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        for stream in foreign.incoming().take(1) {
            let _ = std::io::Write::write_all(&mut stream.unwrap(), b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    found(&anna.run(&["doctor", &at]).exits(12), "peer", "wrong", &["is no ftx"]);
    answering.join().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("[{}]", silent.local_addr().unwrap());
    found(&anna.run(&["doctor", &at]).exits(11), "peer", "wrong", &["then says nothing"]);
}

#[test]
fn two_of_one_name_are_told_apart() {
    let one = Home::new("twin");
    let two = Home::named(one.name());
    let (_one, _two) = (one.up_for_all(), two.up_for_all());
    let ran = Home::new("anna").run(&["doctor", one.name()]).exits(3);
    found(&ran, "peer", "wrong", &["2 machines answer to that name", &format!("ftx doctor {}~", one.name())]);
}

#[test]
fn it_is_told_to_people_in_lines() {
    let ran = Home::new("anna").run_plain(&["doctor"]).done();
    assert!(ran.out.lines().next().unwrap().starts_with("ok     node         ftx "), "{}", ran.out);
    assert!(ran.out.lines().last().unwrap().starts_with("all is well"), "{}", ran.out);
}
