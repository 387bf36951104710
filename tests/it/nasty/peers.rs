//! What peers say: of themselves, of what they offer and of what became of it.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ftx::base::digest::EntryDigest;
use ftx::base::fault::FaultKind;
use ftx::base::id::{Role, TransferId};
use ftx::base::link_target::LinkTarget;
use ftx::base::manifest::{Entry, EntryKind, Have, Outcome};
use ftx::find::{Announcement, Announcer, Interfaces};
use ftx::link::key::Key;
use ftx::wire::hello::Hello;
use ftx::wire::hub::Joining;
use ftx::wire::message::{Listing, Opening, Pairing, Receiving, Request, Sending};
use tokio::runtime::Runtime;

use super::{NASTY, ODD, SEEN, check, check_clean, check_screen, forms, greeting, nasty, odd};
use crate::house::home::{Home, loopback};
use crate::house::hostile::{Hostile, NONCE, Script, Trap, file, folder};
use crate::house::process::{Process, Stream};
use crate::house::until;
use crate::terminal::{QUESTION, up_at_terminal};

/// A tree in which every name is odd, and where its link points, too.
fn tree() -> Vec<Entry> {
    let link = EntryKind::Link { target: LinkTarget::parse(ODD).unwrap() };
    vec![folder(ODD), file(&format!("{ODD}/{ODD}"), 3), Entry { path: odd("/link"), kind: link }]
}

fn whole_offer() -> Script {
    let pages_end = Sending::PagesEnd { entries: 3, bytes: 3 };
    Script::offer_of(&tree()).say(&Sending::LeftOut(nasty())).say(&pages_end)
}

/// Connects as somebody with a nasty name and software, and pushes by this script.
async fn push(key: Arc<Key>, port: u16, script: Script) -> Vec<Receiving> {
    let mut peer = Hostile::dial_with(key, port).await;
    let hello = greeting(&peer);
    peer.say(&hello).await;
    let _: Option<Hello> = peer.hear().await;
    peer.say(&Opening { nonce: NONCE, request: Request::Push }).await;
    peer.play(script).await
}

fn key() -> Arc<Key> {
    Arc::new(Key::generate().unwrap())
}

fn port_of(at: &str) -> u16 {
    at.trim_end_matches(']').rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn the_question_at_a_terminal_and_what_follows_it_are_harmless() {
    let alice = Home::new("alice");
    let (mut terminal, at) = up_at_terminal(&alice, &["-v"]);
    let runtime = Runtime::new().unwrap();
    let pushing = runtime.spawn(push(key(), port_of(&at), whole_offer().accepted().say(&Sending::Abort(nasty()))));
    let screen = terminal.shows(QUESTION);
    let offered = screen.find("offers").unwrap();
    assert!(screen[..offered].contains(SEEN) && screen[offered..].contains("\\u{202e}"), "{screen}");
    terminal.types("t");
    runtime.block_on(pushing).unwrap();
    terminal.shows_times(4, SEEN);
    check_screen(&terminal.screen());
}

#[test]
fn a_nodes_log_is_harmless_whatever_comes_and_however_it_ends() {
    for form in ["-v", "--json"] {
        let alice = Home::new("alice");
        let mut command = alice.command(&["up", "--port", "0", "--dir", "inbox", "--accept", "all"]);
        command.arg(form);
        let node = Process::start(command);
        let port = |line: &str| {
            let after = line.split_once(", port ").or_else(|| line.split_once("\"port\":"))?.1;
            after.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok()
        };
        let port = node.wait_for(Stream::Out, "the port", port);
        let gone = Sending::EntryGone { entry: 1, fault: nasty() };
        let scripts = [
            whole_offer().ready().whole(1, b"abc").end(),
            whole_offer().ready().say(&gone).end(),
            whole_offer().ready().say(&Sending::Abort(nasty())),
            whole_offer().ready().chunk(9, 9, b"x"),
        ];
        let (runtime, key) = (Runtime::new().unwrap(), key());
        for script in scripts {
            runtime.block_on(push(key.clone(), port, script));
        }
        // The last is told last.
        let said = || [node.lines(Stream::Out), node.lines(Stream::Err)].concat();
        until("all of it is told", || {
            let told = said().iter().filter(|line| line.contains("evil") && line.contains("not offered")).count();
            (told > 0).then_some(())
        });
        let said = said().join("\n");
        check_clean(&said);
        assert!(said.matches(SEEN).count() >= 6, "{said}");
    }
}

/// Runs a command against somebody who is dialled, greets nastily and then does this; checks what it said.
#[track_caller]
fn against<F: Future<Output = ()>>(role: Role, args: &[&str], then: impl Fn(Hostile, Request) -> F) {
    let runtime = Runtime::new().unwrap();
    let trap = runtime.block_on(Trap::set());
    let at = trap.at();
    let home = Home::new("bob");
    home.write("a.txt", "abc");
    let args: Vec<&str> = args.iter().map(|arg| if *arg == "AT" { &at } else { *arg }).collect();
    for process in forms(&home, &args) {
        let playing = async {
            let mut peer = trap.caught().await;
            let _: Option<Hello> = peer.hear().await;
            let hello = Hello { role, words: NONCE, ..greeting(&peer) };
            peer.say(&hello).await;
            // Some only want to know who it is.
            if let Some(Opening { request, .. }) = peer.hear().await {
                then(peer, request).await;
            }
        };
        runtime.block_on(playing);
        // It may come again: then nobody greets it.
        let ran = process.end();
        check(&ran);
    }
}

#[test]
fn what_a_receiver_says_is_harmless() {
    against(Role::Peer, &["push", "a.txt", "AT"], async |mut peer, _| {
        let reason = NASTY.into();
        peer.say(&Receiving::Decline { kind: FaultKind::Declined, reason }).await;
        while peer.hear_sending().await.is_some() {}
    });
    against(Role::Peer, &["push", "a.txt", "AT"], async |mut peer, _| {
        peer.say(&Receiving::Abort(nasty())).await;
        while peer.hear_sending().await.is_some() {}
    });
    for outcome in [Outcome::PlacedAs(odd("").into()), Outcome::Failed(nasty().into())] {
        against(Role::Peer, &["push", "a.txt", "AT"], async |mut peer, _| {
            let taken = peer.take(|_| Have::Nothing).await;
            let outcomes = vec![outcome.clone()];
            let receipt = taken.receipt(&outcomes, &peer.key);
            peer.say(&Receiving::Settling).await;
            peer.say(&Receiving::Outcomes(outcomes)).await;
            peer.say(&Receiving::Receipt(receipt)).await;
            while peer.hear_sending().await.is_some() {}
        });
    }
}

#[test]
fn what_a_peer_says_that_does_not_trust_is_harmless() {
    let runtime = Runtime::new().unwrap();
    let trap = runtime.block_on(Trap::set());
    let (home, at) = (Home::new("bob"), trap.at());
    let process = Process::start(home.command(&["trust", &at, "--yes", "-v"]));
    runtime.block_on(async {
        let mut peer = trap.caught().await;
        let _: Option<Hello> = peer.hear().await;
        let hello = Hello { words: NONCE, ..greeting(&peer) };
        peer.say(&hello).await;
        let _: Option<Opening> = peer.hear().await;
        peer.say(&Pairing::Refused(nasty())).await;
        let _: Option<Pairing> = peer.hear().await;
    });
    check(&process.end());
    check(&home.run_plain(&["peers"]).done());
}

/// Says a whole offer, and how it ends; then listens to the end.
async fn offer(mut peer: Hostile, last: Sending) {
    peer.say(&Sending::Offer { transfer: TransferId::new(), set: [1; 32] }).await;
    peer.say(&Sending::Page(tree())).await;
    peer.say(&Sending::LeftOut(nasty())).await;
    peer.say(&Sending::PagesEnd { entries: 3, bytes: 3 }).await;
    while !matches!(peer.hear::<Receiving>().await, None | Some(Receiving::Have(_) | Receiving::Decline { .. })) {}
    peer.say(&last).await;
    peer.say(&Sending::End).await;
    while peer.hear::<Receiving>().await.is_some() {}
}

#[test]
fn what_a_sender_says_is_harmless() {
    let gone = || Sending::EntryGone { entry: 1, fault: nasty() };
    against(Role::Peer, &["pull", "AT", "--to", "here"], async |peer, _| offer(peer, gone()).await);
    against(Role::Peer, &["pull", "AT", "--to", "here", "-n"], async |peer, _| offer(peer, gone()).await);
    let abort = || Sending::Abort(nasty());
    against(Role::Peer, &["pull", "AT", "--to", "here"], async |peer, _| offer(peer, abort()).await);
    let wrong = || Sending::EntryEnd { entry: 1, size: 3, digest: EntryDigest([1; 32]) };
    against(Role::Peer, &["pull", "AT", "--to", "here"], async |peer, _| offer(peer, wrong()).await);
    for args in [&["ls", "AT"][..], &["ls", "-l", "AT"], &["ls", "-R", "AT"]] {
        against(Role::Peer, args, async |mut peer, _| {
            let tops = tree().into_iter().filter(|entry| entry.path.depth() == 1);
            peer.say(&Listing::Page(tops.chain([file(ODD, 3)]).collect())).await;
            peer.say(&Listing::End).await;
            let _: Option<Listing> = peer.hear().await;
        });
    }
    against(Role::Peer, &["ls", "AT"], async |mut peer, _| {
        peer.say(&Listing::Abort(nasty())).await;
        let _: Option<Listing> = peer.hear().await;
    });
    against(Role::Hub, &["join", "AT", "--account", "bob", "--code-file", "a.txt"], async |mut peer, _| {
        peer.say(&Joining::Refused(nasty())).await;
        let _: Option<Joining> = peer.hear().await;
    });
}

#[test]
fn the_name_of_somebodys_software_is_harmless() {
    let runtime = Runtime::new().unwrap();
    let trap = runtime.block_on(Trap::set());
    let (home, at) = (Home::new("bob"), trap.at());
    for process in forms(&home, &["ls", &at]) {
        runtime.block_on(async {
            let mut peer = trap.caught().await;
            let _: Option<Hello> = peer.hear().await;
            let hello = Hello { oldest: 900, newest: 900, ..greeting(&peer) };
            peer.say(&hello).await;
            let _: Option<Opening> = peer.hear().await;
        });
        check(&process.end().exits(12));
    }
}

#[test]
fn who_is_announced_under_a_nasty_name_is_shown_harmlessly() {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let id = Key::generate().unwrap().public().id();
    let name = NASTY.to_owned();
    let announcement =
        Announcement { kind: ftx::find::Kind::Node, id, name, role: Role::Peer, version: 1, port: 9, accept: "ask" };
    let interfaces = Interfaces::choose(&[loopback().to_owned()]).unwrap();
    let _announcer = Announcer::start(&announcement, &interfaces).unwrap();
    let bob = Home::new("bob");
    let seen = until("it is seen", || Some(bob.run(&["peers"]).done()).filter(|ran| ran.out.contains(&id.to_string())));
    check(&seen);
    let object = seen.objects().into_iter().find(|object| object["id"] == id.to_string()).unwrap();
    assert_eq!(object["name"], NASTY, "programs are told what it is called");
    check(&bob.run_plain(&["peers", "-v"]).done());
    // Whoever is meant, and is not the one: others that are here are named.
    let ran = bob.run_plain(&["ls", &format!("{}~{}", Ipv4Addr::LOCALHOST.to_bits(), "aaaaaaaa"), "-v"]);
    check_clean(&[ran.out, ran.err].concat());
}
