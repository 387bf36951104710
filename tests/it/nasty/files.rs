//! What others have put on our disk, or somebody has written into our files by hand.

use std::fs;

use ftx::base::book::Trust;
use ftx::base::id::PeerId;
use ftx::disk::state::State;

use super::{NASTY, ODD, SEEN, check, check_both, check_clean};
use crate::house::home::Home;

#[test]
fn an_address_book_is_shown_harmlessly() {
    let home = Home::new("bob");
    let state = State::new(home.path(".config/ftx"));
    let id = |n: u8| PeerId::of_public_key(&[n; 32]);
    state
        .change_book(|book| {
            book.set_trust(id(1), NASTY.into(), Trust::Trusted, 5);
            book.set_trust(id(2), NASTY.into(), Trust::Blocked, 5);
            book.meet(id(3), "evilx".into(), None, 6);
        })
        .unwrap();
    home.write("a.txt", "abc");
    check_both(&home, &["peers"]);
    for args in [&["trust", NASTY, "--yes"][..], &["ls", NASTY], &["push", "a.txt", NASTY]] {
        check_both(&home, args);
    }
    for (verb, of) in [("block", id(1)), ("forget", id(2))] {
        check(&home.run_plain(&[verb, &format!("{NASTY}~{}", of.short())]).done());
    }
}

#[test]
fn a_configuration_is_refused_harmlessly() {
    let home = Home::new("bob");
    let quoted = toml::Value::String(NASTY.to_owned()).to_string();
    for text in [
        format!("{quoted} = 1\n"),
        format!("on_conflict = {quoted}\n"),
        format!("limit = {quoted}\n"),
        format!("name = {quoted}\n[groups]\n{quoted} = [{quoted}]\n"),
    ] {
        home.write(".config/ftx/config.toml", &text);
        for ran in [home.run_plain(&["push", "/dev/null", &format!("@{NASTY}")]), home.run(&["peers"])] {
            check_clean(&[ran.out, ran.err].concat());
        }
    }
}

#[test]
fn what_is_typed_or_put_there_by_a_shell_is_told_harmlessly() {
    let home = Home::new("bob");
    for args in [
        &["ls", &format!("--{NASTY}")][..],
        &[NASTY],
        &["up", "--accept", NASTY],
        &["push", NASTY, "[127.0.0.1:1]"],
        &["receipt", "verify", NASTY],
        &["hub", "status", "--dir", NASTY],
        &["pull", &format!("x:{NASTY}")],
        &["up", "--port", "0", "--share", NASTY],
    ] {
        check_both(&home, args);
    }
}

#[test]
fn files_that_others_made_are_told_harmlessly() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.up_for_all();
    bob.write(&format!("t/{NASTY}"), "abc");
    bob.write(&format!("t/{ODD}"), "abc");
    std::os::unix::fs::symlink(format!("/{NASTY}"), bob.path("t/link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bob.path(&format!("t/{NASTY}pipe")),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let ran = check_both(&bob, &["push", "t", &node.at()]);
    assert!(ran.iter().all(|ran| ran.code == Some(0)), "{ran:?}");
    check_both(&bob, &["push", "t", &node.at(), "--exclude", "evil*"]);
    let log = node.process().end_with_term();
    check(&log);
    // A folder that is shared, and listed at its owner and elsewhere.
    let node = bob.up(&["--share", "t", "--share-with", "all"]);
    for args in [&["ls", &format!("{}:t", node.at())][..], &["pull", &node.at(), "--to", "here", "-n"]] {
        check_both(&alice, args);
    }
    check_clean(&node.process().end_with_term().out);
}

#[test]
fn receipts_that_somebody_put_there_are_told_harmlessly() {
    let home = Home::new("bob");
    let folder = home.folder(".local/share/ftx/receipts");
    fs::write(folder.join(format!("{NASTY}.json")), "{\"version\": 1}").unwrap();
    fs::write(folder.join(format!("{ODD}.json")), format!("{{\"version\": 1, \"{ODD}\": \"{ODD}\"}}")).unwrap();
    for ran in [home.run_plain(&["receipt", "list"]), home.run(&["receipt", "list"])] {
        check(&ran);
        assert!(ran.err.matches(SEEN).count() >= 2, "{ran:?}");
    }
    let path = folder.join(format!("{ODD}.json"));
    check_both(&home, &["receipt", "verify", path.to_str().unwrap()]);
}
