//! What hubs say, and what is said at a hub.

use std::collections::VecDeque;
use std::fs;
use std::sync::Mutex;

use ftx::base::fault::Fault;
use ftx::base::link_target::LinkTarget;
use ftx::base::manifest::{EntryKind, Stamp};
use ftx::base::path::{Name, RelPath};
use ftx::flow::ask::Told;
use ftx::link::key::Key;
use ftx::wire::hello::Hello;
use ftx::wire::hub::{Answer, Item, Rank, Secret, Standing, Verb, Version, VersionId};
use ftx::wire::message::{Opening, Receiving, Request};
use tokio::runtime::Runtime;

use super::{NASTY, ODD, SEEN, check_both, check_clean, greeting, nasty, odd};
use crate::house::fake_hub::FakeHub;
use crate::house::home::Home;
use crate::house::hostile::{Hostile, NONCE};
use crate::house::hub::Hub;
use crate::house::process::{Process, Stream};
use crate::house::until;

fn item(path: RelPath, kind: EntryKind) -> Item {
    let owner = Name::parse(ODD).ok();
    Item { path, kind, owner, sha256: Some([1; 32]), versions: 2, about: Some(NASTY.into()) }
}

/// What is told, as far as it fits what was asked for.
fn told(verb: &Verb) -> Told {
    let all = all();
    let none = Told { files: all.files, path: all.path.clone(), ..Told::default() };
    match verb {
        Verb::Standing => Told { standing: all.standing, ..none },
        Verb::Look { .. } | Verb::Find { .. } => Told { items: all.items, ..none },
        Verb::Versions(_) => Told { versions: all.versions, ..none },
        Verb::Receipts(_) => Told { receipts: all.receipts, ..none },
        _ => none,
    }
}

fn all() -> Told {
    let (size, modified) = (5, Stamp { seconds: 1_000_000_000, nanos: 0 });
    let name = || Name::parse(ODD).unwrap();
    let target = LinkTarget::parse(ODD).unwrap();
    Told {
        standing: Some(Standing {
            account: name(),
            rank: Rank::Member,
            used: 1,
            quota: None,
            largest: None,
            spaces: vec![name()],
        }),
        items: vec![
            item(odd(""), EntryKind::FOLDER),
            item(odd("/a"), EntryKind::File { size, modified, executable: false }),
            item(odd("/link"), EntryKind::Link { target }),
        ],
        versions: vec![Version {
            id: VersionId::new(),
            path: odd(""),
            size,
            modified,
            owner: Some(name()),
            kept: 1,
            by: Some(name()),
            replaced: true,
            digest: None,
        }],
        receipts: vec![NASTY.to_owned()],
        files: 2,
        path: Some(odd(" (1)")),
    }
}

#[test]
fn what_a_hub_tells_is_harmless() {
    let hub = FakeHub::named(Some(NASTY), |verb, _, _| Ok(told(&verb)));
    // Another name, or it would be taken for the first with another key.
    let refusing = FakeHub::named(Some(&format!("{NASTY}2")), |_, _, _| -> Result<Told, Fault> { Err(nasty()) });
    let home = Home::new("bob");
    home.write("a.txt", "abc");
    for args in [
        &["ls", "shared"][..],
        &["ls", "-l", "shared"],
        &["ls", "-R", "--sha256", "shared"],
        &["ls", ""],
        &["find", "x", "shared"],
        &["versions", "shared/a"],
        &["restore", "shared/a"],
        &["mkdir", "shared/a"],
        &["rm", "-r", "shared/a"],
        &["mv", "shared/a", "shared/b"],
        &["leave", "", "--yes"],
        &["push", "a.txt", ""],
    ] {
        for at in [&hub, &refusing] {
            // What stands behind the command and its flags, and is no file of ours, is a place at the hub.
            let typed = args.iter().enumerate().map(|(index, arg)| match *arg {
                "" if args[0] == "leave" || args[0] == "push" => at.at("").trim_end_matches(':').to_owned(),
                arg if index > 0 && (arg.is_empty() || arg.starts_with("shared")) => at.at(arg),
                arg => arg.to_owned(),
            });
            let typed: Vec<String> = typed.collect();
            let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
            check_both(&home, &typed);
        }
    }
}

/// One who has never joined says nasty things at a hub that runs for people, and one that runs for programs;
/// in its folder somebody has put files with nasty names by hand.
#[test]
fn a_hubs_log_and_its_status_are_harmless() {
    for form in ["-v", "--json"] {
        let home = Home::new("hub");
        let inside = home.folder("repository/shared");
        for name in [NASTY.to_owned(), ODD.to_owned(), format!("{ODD}\u{1b}[2J")] {
            fs::write(inside.join(name), "abc").unwrap();
        }
        let mut command = home.command(&["hub", "repository", "--port", "0"]);
        command.arg(form);
        let hub = Process::start(command);
        let port = |line: &str| {
            let after = line.split_once(", port ").or_else(|| line.split_once("\"port\":"))?.1;
            after.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok()
        };
        let port = hub.wait_for(Stream::Out, "the port", port);
        let runtime = Runtime::new().unwrap();
        let name = Name::parse(ODD).ok();
        for request in [
            Request::PushTo(odd("/a")),
            Request::Pull(vec![odd("")]),
            Request::Join { account: name, by: Secret::Code },
            Request::Ask(Verb::Remove(vec![odd("")])),
        ] {
            runtime.block_on(say(port, request));
        }
        let look = || [hub.lines(Stream::Out), hub.lines(Stream::Err)].concat().join("\n");
        let said = until("the hub tells of them", || Some(look()).filter(|said| said.matches(SEEN).count() >= 4));
        check_clean(&said);
        for args in
            [&["hub", "status"][..], &["hub", "verify"], &["hub", "spaces", "list"], &["hub", "accounts", "list"]]
        {
            for ran in [home.run_plain(&[args, &["-v"]].concat()), home.run(args)] {
                check_clean(&[ran.out, ran.err].concat());
            }
        }
        // What was put there by hand is seen by whoever looks.
        check_both(&home, &["hub", "send", &format!("shared/{ODD}"), NASTY]);
    }
}

/// Wants this under a nasty name, and hears the answer.
async fn say(port: u16, request: Request) {
    let key = std::sync::Arc::new(Key::generate().unwrap());
    let mut peer = Hostile::dial_with(key, port).await;
    let hello = greeting(&peer);
    peer.say(&hello).await;
    let _: Option<Hello> = peer.hear().await;
    let asks = matches!(request, Request::Ask(_));
    peer.say(&Opening { nonce: NONCE, request }).await;
    if asks {
        let _: Option<Answer> = peer.hear().await;
    } else {
        let _: Option<Receiving> = peer.hear().await;
    }
}

/// A member whose device has a nasty name, and who lists and fetches what was put there by hand.
#[test]
fn what_members_are_called_is_harmless_in_lists() {
    let hub = Hub::start();
    let alice = hub.member("alice");
    alice.write(&format!("up/{ODD}"), "abc");
    let pushed = alice.run(&["push", &format!("up/{ODD}"), &hub.at("shared")]).done();
    check_clean(&pushed.out);
    fs::write(hub.path(&format!("shared/{NASTY}")), "abc").unwrap();
    let seen: Mutex<VecDeque<String>> = Mutex::default();
    for args in [
        &["ls", "-R", &hub.at("shared")][..],
        &["ls", "-l", &hub.at("shared")],
        &["find", "evil", &hub.at("")],
        &["versions", &hub.at(&format!("shared/{ODD}"))],
        &["pull", &hub.at("shared"), "--to", "here"],
        &["rm", &hub.at(&format!("shared/{ODD}"))],
    ] {
        for ran in [alice.run_plain(&[args, &["-v"]].concat()), alice.run(args)] {
            let text = [ran.out, ran.err].concat();
            check_clean(&text);
            seen.lock().unwrap().push_back(text);
        }
    }
    assert!(seen.lock().unwrap().iter().filter(|text| text.contains(SEEN)).count() >= 8);
    for args in [&["status"][..], &["verify"], &["accounts", "list"]] {
        let ran = hub.manage(args);
        check_clean(&[ran.out, ran.err].concat());
    }
}
