//! Peers that answer and lie: a receiver that confirms what it has not got, a peer that hands out
//! what was not asked for.

use ftx::base::digest::EntryDigest;
use ftx::base::id::{Role, TransferId};
use ftx::base::manifest::{ChunkRun, Have, Outcome};
use ftx::link::key::Key;
use ftx::wire::hello::Hello;
use ftx::wire::message::{Listing, Receipt, Receiving, Request, Sending};

use crate::house::home::Home;
use crate::house::hostile::{Hostile, NONCE, Script, Taken, Trap, file, folder, raw_page};
use crate::house::noise;
use crate::house::process::{Process, Ran};

/// Pushes `a` to whoever waits in the trap.
fn push_to(trap: &Trap, bob: &Home) -> Process {
    bob.write("a", noise(1, 3 << 20));
    bob.start(&["push", "a", &trap.at(), "--retry", "0"])
}

/// Waits for the end of a process without keeping the trap from talking.
async fn ended(process: Process) -> Ran {
    tokio::task::spawn_blocking(|| process.end()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_does_not_fit_is_an_integrity_failure_and_never_verified() {
    for (what, outcome) in [("placed", Outcome::Placed), ("equal", Outcome::Equal)] {
        for signed in [true, false] {
            let (trap, bob) = (Trap::set().await, Home::new("bob"));
            let pushing = push_to(&trap, &bob);
            let (mut peer, request) = trap.greeted().await;
            assert_eq!(request, Request::Push);
            peer.take(|_| Have::Nothing).await;
            peer.say(&Receiving::Settling).await;
            peer.say(&Receiving::Outcomes(vec![outcome.clone()])).await;
            let statement = [3; 32];
            let message = [&b"ftx receipt signature v1\0"[..], &statement].concat();
            let signature = if signed { peer.key.sign(&message) } else { vec![0; 64] };
            peer.say(&Receiving::Receipt(Receipt { statement, signature })).await;
            let ran = ended(pushing).await.exits(7);
            assert!(!format!("{}{}", ran.out, ran.err).contains("verified"), "{what}: {ran:?}");
            assert!(ran.failure().contains("receipt"), "{what}: {ran:?}");
        }
    }
}

/// Has `a` pushed to a receiver that says it has of it what `have` says, and in the end these
/// outcomes and what `receipt` makes of them; how the push ended.
async fn confirmed(have: Have, outcomes: &[Outcome], receipt: impl Fn(&Taken, &Hostile) -> Receipt) -> Ran {
    let (trap, bob) = (Trap::set().await, Home::new("bob"));
    let pushing = push_to(&trap, &bob);
    let (mut peer, _) = trap.greeted().await;
    let taken = peer.take(|_| have.clone()).await;
    peer.say(&Receiving::Settling).await;
    if !outcomes.is_empty() {
        peer.say(&Receiving::Outcomes(outcomes.to_vec())).await;
    }
    peer.say(&Receiving::Receipt(receipt(&taken, &peer))).await;
    ended(pushing).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_believed_if_it_is_over_this_transfer_and_signed_by_this_peer() {
    let placed = [Outcome::Placed];
    let right = |taken: &Taken, peer: &Hostile| taken.receipt(&placed, &peer.key);
    let ran = confirmed(Have::Nothing, &placed, right).await.done();
    assert_eq!(ran.last()["verified"], true, "{ran:?}");

    let by_another = |taken: &Taken, _: &Hostile| taken.receipt(&placed, &Key::generate().unwrap());
    let of_another = |taken: &Taken, peer: &Hostile| {
        let other = Taken { transfer: TransferId::new(), entries: taken.entries.clone() };
        other.receipt(&placed, &peer.key)
    };
    let of_other_bytes = |taken: &Taken, peer: &Hostile| {
        let entries = taken.entries.iter().map(|(entry, _)| (entry.clone(), Some(EntryDigest([1; 32]))));
        Taken { transfer: taken.transfer, entries: entries.collect() }.receipt(&placed, &peer.key)
    };
    let cut = |taken: &Taken, peer: &Hostile| {
        let receipt = right(taken, peer);
        Receipt { signature: receipt.signature[..63].to_vec(), ..receipt }
    };
    for (what, ran) in [
        ("signed by another", confirmed(Have::Nothing, &placed, by_another).await),
        ("over another transfer", confirmed(Have::Nothing, &placed, of_another).await),
        ("over other bytes", confirmed(Have::Nothing, &placed, of_other_bytes).await),
        ("cut", confirmed(Have::Nothing, &placed, cut).await),
    ] {
        let ran = ran.exits(7);
        assert!(ran.tells_no_result() && ran.failure().contains("receipt"), "{what}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_that_do_not_fit_are_not_believed_whatever_the_receipt_says() {
    let all_there =
        |outcomes: &'static [Outcome]| move |taken: &Taken, peer: &Hostile| taken.receipt(outcomes, &peer.key);
    // Nothing was sent, so nothing was verified: the most that it may say is that it was there.
    let ran = confirmed(Have::Equal, &[Outcome::Unchanged], all_there(&[Outcome::Unchanged])).await.done();
    assert_eq!((&ran.last()["verified"], &ran.last()["bytes_moved"]), (&false.into(), &0.into()), "{ran:?}");
    for (what, have, outcomes) in [
        ("placed what was not sent", Have::Equal, &[Outcome::Placed][..]),
        ("compared what was not sent", Have::Equal, &[Outcome::Equal]),
        ("had what it asked for", Have::Nothing, &[Outcome::Unchanged]),
        ("said nothing of it", Have::Nothing, &[]),
    ] {
        let ran = confirmed(have, outcomes, all_there(outcomes)).await.exits(7);
        assert!(ran.tells_no_result() && ran.failure().contains("receipt"), "{what}: {ran:?}");
    }
    let twice = &[Outcome::Placed, Outcome::Placed];
    let ran = confirmed(Have::Nothing, twice, all_there(twice)).await.exits(1);
    assert!(ran.tells_no_result() && ran.failure().contains("more outcomes than entries"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_cannot_have_chunks_that_are_not_there() {
    let run = |first, count| ChunkRun { first, count };
    // The file has three.
    let cases = [
        ("behind the end", vec![run(2, 2)]),
        ("far behind the end", vec![run(u32::MAX, u32::MAX)]),
        ("none", vec![run(1, 0)]),
        ("twice", vec![run(0, 2), run(1, 1)]),
        ("out of order", vec![run(2, 1), run(0, 1)]),
        ("too many runs", vec![run(0, 1); 1025]),
    ];
    let cases = cases.into_iter().map(|(what, runs)| (what, vec![Have::Chunks(runs)]));
    let digest = ("a digest nobody asked for", vec![Have::Digest(EntryDigest([1; 32]))]);
    for (what, have) in cases.chain([("of nothing", vec![]), digest]) {
        let (trap, bob) = (Trap::set().await, Home::new("bob"));
        let pushing = push_to(&trap, &bob);
        let (mut peer, _) = trap.greeted().await;
        peer.say(&Receiving::Accept).await;
        while !matches!(peer.hear_sending().await, Some(Sending::PagesEnd { .. }) | None) {}
        peer.say(&Receiving::Have(have)).await;
        while peer.hear_sending().await.is_some() {}
        let ran = ended(pushing).await.exits(1);
        assert!(ran.tells_no_result() && ran.failure().contains("has no place here"), "{what}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_up_before_its_receipt_is_not_believed() {
    let (trap, bob) = (Trap::set().await, Home::new("bob"));
    let pushing = push_to(&trap, &bob);
    let (mut peer, _) = trap.greeted().await;
    peer.take(|_| Have::Nothing).await;
    peer.say(&Receiving::Settling).await;
    drop(peer);
    let ran = ended(pushing).await.exits(4);
    assert!(ran.tells_no_result(), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_breaks_the_protocol_is_left() {
    let receipt = || Receiving::Receipt(Receipt { statement: [0; 32], signature: vec![0; 64] });
    let cases: [(&str, Vec<Receiving>); 7] = [
        ("a receipt before the acceptance", vec![receipt()]),
        ("outcomes before the acceptance", vec![Receiving::Outcomes(vec![Outcome::Placed])]),
        ("what it has before the acceptance", vec![Receiving::Have(vec![Have::Nothing])]),
        ("the acceptance twice", vec![Receiving::Accept, Receiving::Accept]),
        ("no after yes", vec![Receiving::Accept, decline()]),
        ("more than was offered", vec![Receiving::Accept, Receiving::Have(vec![Have::Equal; 1000])]),
        ("a receipt in the middle", vec![Receiving::Accept, receipt()]),
    ];
    for (what, messages) in cases {
        let (trap, bob) = (Trap::set().await, Home::new("bob"));
        let pushing = push_to(&trap, &bob);
        let (mut peer, _) = trap.greeted().await;
        for message in &messages {
            peer.say(message).await;
        }
        // What the sender still has to say, until it leaves.
        while peer.hear_sending().await.is_some() {}
        let ran = ended(pushing).await.exits(1);
        assert!(ran.tells_no_result(), "{what}: {ran:?}");
        assert!(ran.failure().contains("has no place here"), "{what}: {ran:?}");
    }
}

fn decline() -> Receiving {
    Receiving::Decline { kind: ftx::base::fault::FaultKind::Declined, reason: "no".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_speaks_later_versions_only_is_told_with_both() {
    let (trap, bob) = (Trap::set().await, Home::new("bob"));
    let pushing = push_to(&trap, &bob);
    let mut peer = trap.caught().await;
    let _: Hello = peer.hear().await.expect("the sender greets");
    let hello = Hello::ours(&peer.name, Role::Peer, NONCE);
    peer.say(&Hello { oldest: 2, newest: 3, software: "ftx 7.7".into(), ..hello }).await;
    let told = ended(pushing).await.exits(12).failure();
    assert!(told.contains("1–1") && told.contains("2–3") && told.contains("ftx 7.7"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_syncthing_cve_2022_46165_a_reason_is_shown_and_not_obeyed() {
    let (trap, bob) = (Trap::set().await, Home::new("bob"));
    bob.write("a", "a");
    let pushing = Process::start(bob.command(&["push", "a", &trap.at()]));
    let (mut peer, _) = trap.greeted().await;
    let reason = "no\u{1b}[2J\u{202e}\u{7}\r\nverified".into();
    peer.say(&Receiving::Decline { kind: ftx::base::fault::FaultKind::Declined, reason }).await;
    while peer.hear_sending().await.is_some() {}
    let ran = ended(pushing).await.exits(5);
    assert!(ran.err.contains("\\u{1b}") && ran.err.contains("\\u{202e}"), "{ran:?}");
    assert!(!ran.err.chars().any(|c| c != '\n' && ftx::base::text::is_deceptive(c)), "{ran:?}");
}

/// Has `ftx pull PEER:notes/a` answered with a script; how it ended, and what is there now.
async fn pull_from(script: Script) -> (Ran, Vec<String>) {
    let (trap, bob) = (Trap::set().await, Home::new("bob"));
    bob.write("here/own", "bob's own");
    let pulling = bob.start(&["pull", &format!("{}:notes/a", trap.at()), "--to", "here"]);
    let (peer, request) = trap.greeted().await;
    assert!(matches!(request, Request::Pull(paths) if paths.len() == 1));
    peer.play(script).await;
    let ran = ended(pulling).await;
    let hidden = |path: &String| path.starts_with(".config") || path.contains(".ftx-partial");
    (ran, bob.tree("").into_iter().filter(|path| !hidden(path)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_answered_honestly_works() {
    let (ran, there) = pull_from(Script::offer(&[file("a", 5)]).ready().whole(0, b"hello").end()).await;
    ran.done();
    assert_eq!(there, ["here/", "here/a", "here/own"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_scp_cve_2019_6111_a_pull_is_not_answered_with_a_path_that_climbs() {
    for path in ["../a", "/tmp/ftx-a", "..", "a/../../b"] {
        let (ran, there) = pull_from(Script::opened().say(&raw_page(path, None))).await;
        assert_eq!(ran.code, Some(1), "{path}: {ran:?}");
        assert_eq!(there, ["here/", "here/own"], "{path}");
    }
}

/// As scp did before CVE-2019-6111: whoever is asked for one file must not place another.
#[tokio::test(flavor = "multi_thread")]
async fn s1_scp_cve_2019_6111_a_pull_takes_nothing_that_was_not_asked_for() {
    let offers = [
        vec![file(".bash_login", 5)],
        vec![file("a", 5), file(".bash_login", 5)],
        vec![folder(".config"), file(".config/autostart", 5)],
    ];
    for offer in offers {
        let last = offer.len() as u32 - 1;
        let mut script = Script::offer(&offer).ready_or_refused();
        for (entry, _) in (0..=last).zip(&offer).filter(|(_, entry)| entry.has_bytes()) {
            script = script.whole(entry, b"hello");
        }
        let (ran, there) = pull_from(script.end()).await;
        let unasked: Vec<_> = there.iter().filter(|path| path.starts_with("here/.")).collect();
        assert!(unasked.is_empty(), "{unasked:?}: {ran:?}");
        assert_ne!(ran.code, Some(0), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_replaces_nothing_whatever_the_receipt_says() {
    for (outcome, exit) in [(Outcome::Placed, 0), (Outcome::Replaced, 7)] {
        let (trap, bob) = (Trap::set().await, Home::new("bob"));
        std::fs::create_dir(bob.path("d")).unwrap();
        let pushing = bob.start(&["push", "d", &trap.at(), "--retry", "0"]);
        let (mut peer, _) = trap.greeted().await;
        let taken = peer.take(|_| Have::Nothing).await;
        let outcomes = vec![outcome];
        peer.say(&Receiving::Settling).await;
        peer.say(&Receiving::Outcomes(outcomes.clone())).await;
        peer.say(&Receiving::Receipt(taken.receipt(&outcomes, &peer.key))).await;
        assert_eq!(ended(pushing).await.code, Some(exit), "{outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_shows_nothing_that_is_further_below() {
    for (name, exit) in [("a", 0), ("a/b", 1)] {
        let (trap, bob) = (Trap::set().await, Home::new("bob"));
        let listing = bob.start(&["ls", &trap.at()]);
        let (mut peer, _) = trap.greeted().await;
        peer.say(&Listing::Page(vec![file("c", 1), file(name, 1)])).await;
        peer.say(&Listing::End).await;
        let ran = ended(listing).await;
        assert_eq!(ran.code, Some(exit), "{ran:?}");
    }
}
