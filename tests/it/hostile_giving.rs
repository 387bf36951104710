//! Takers that guess, givers that do not have the code, and whoever is in between: nobody gets in, and
//! nothing is left.

use std::sync::Arc;

use ftx::base::fault::{Fault, FaultKind};
use ftx::base::id::TransferId;
use ftx::flow::greet::Me;
use ftx::link::key::Key;
use ftx::wire::give::Giving as Said;
use ftx::wire::hub::{Secret, Verb};
use ftx::wire::message::{Receiving, Request, Sending, Ticket};

use crate::give::{Giving, event, take, taking};
use crate::house::home::Home;
use crate::house::hostile::{Hostile, Trap};

/// Somebody new who wants to take.
async fn wanting(port: u16) -> Hostile {
    Hostile::wanting(Arc::new(Key::generate().unwrap()), port, Request::Take).await
}

/// That a home has received nothing.
#[track_caller]
fn has_nothing(home: &Home) {
    let tree = home.tree("");
    assert!(tree.iter().all(|path| path.starts_with(".config/")), "{tree:?}");
}

/// That whoever has the code still gets it.
fn still_given(giving: Giving, bob: &Home) {
    take(bob, &giving.code, &["--from", &giving.at()]).done();
    let ran = giving.process.end().done();
    assert!(ran.objects().iter().all(|object| object["event"] != "wrong_code"), "{ran:?}");
}

#[tokio::test]
async fn s9_connecting_and_saying_nothing_or_nonsense_costs_no_try() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes", "n");
    let giving = Giving::hidden(&alice, &["notes"]);
    for _ in 0..20 {
        drop(Hostile::dial(giving.port).await);
        drop(wanting(giving.port).await);
    }
    let said: Vec<Vec<u8>> =
        [Said::Proven([1; 32]), Said::Wrong { left: 3 }, Said::Refused(Fault::new(FaultKind::Other, "x"))]
            .iter()
            .map(postcard)
            .chain([postcard(&Receiving::Accept), postcard(&Sending::End), vec![0, 0, 0, 1, 99], vec![255; 64]])
            .collect();
    for bytes in said {
        let mut peer = wanting(giving.port).await;
        peer.raw(&bytes).await;
        assert_eq!(peer.hear::<Said>().await, None, "{bytes:?}");
    }
    still_given(giving, &bob);
}

fn postcard(message: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ftx::wire::frame::encode(message, &mut bytes).unwrap();
    bytes
}

/// It is no node: nothing else is to be had there.
#[tokio::test]
async fn a_giver_does_nothing_but_give() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes", "n");
    let giving = Giving::hidden(&alice, &["notes"]);
    let ticket = Ticket([7; 16]);
    for request in [
        Request::Push,
        Request::Pull(Vec::new()),
        Request::List(None),
        Request::Pair,
        Request::Attach { transfer: TransferId::new(), ticket },
        Request::Preview,
        Request::Join { account: None, by: Secret::Code },
        Request::Ask(Verb::Standing),
    ] {
        let shown = format!("{request:?}");
        let mut peer = Hostile::wanting(Arc::new(Key::generate().unwrap()), giving.port, request).await;
        let mut heard = 0;
        // A word of refusal at most.
        while peer.hear_bytes().await {
            heard += 1;
        }
        assert!(heard <= 1, "{shown}");
    }
    still_given(giving, &bob);
}

#[tokio::test]
async fn s9_however_many_guess_at_once_three_are_looked_at() {
    let alice = Home::new("alice");
    alice.write("notes", "n");
    let giving = Giving::hidden(&alice, &["notes"]);
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..40 {
        let port = giving.port;
        guesses.spawn(async move {
            let mut peer = wanting(port).await;
            peer.say(&Said::Proof([n; 32])).await;
            peer.hear::<Said>().await
        });
    }
    let (mut left, mut others) = (Vec::new(), 0);
    while let Some(heard) = guesses.join_next().await {
        match heard.unwrap_or(None) {
            Some(Said::Wrong { left: more }) => left.push(more),
            Some(Said::Proven(_)) => panic!("a guess is taken for the code"),
            Some(Said::Refused(_)) | None => others += 1,
            Some(Said::Proof(_)) => panic!("a giver that proves first"),
        }
    }
    left.sort_unstable();
    assert_eq!((left, others), (vec![0, 1, 2], 37));
    giving.process.end().exits(10);
}

/// A giver that does not have the code says something, or what the taker said.
#[tokio::test]
async fn s9_a_giver_without_the_code_is_found_out_and_nothing_is_left() {
    for reflect in [false, true] {
        let (bob, trap) = (Home::new("bob"), Trap::set().await);
        let taker = taking(&bob, "17-outpost-sermon-muscular", &["--from", &trap.at()]);
        let (mut giver, request) = trap.greeted().await;
        assert_eq!(request, Request::Take);
        let Some(Said::Proof(proof)) = giver.hear().await else { panic!("the taker proves first") };
        giver.say(&Said::Proven(if reflect { proof } else { [1; 32] })).await;
        giver.say(&Sending::Offer { transfer: TransferId::new(), set: [1; 32] }).await;
        assert!(!giver.hear_bytes().await, "the taker says nothing more");
        let failure = taker.end().exits(6).failure();
        assert!(failure.contains("does not know the code"), "{failure}");
        has_nothing(&bob);
        assert!(!bob.path(".config/ftx/peers.toml").exists(), "nobody is trusted");
    }
}

/// Somebody in between passes on what both sides say: a proof is of one session.
#[tokio::test]
async fn s9_a_proof_of_another_session_is_none() {
    let (alice, bob, trap) = (Home::new("alice"), Home::new("bob"), Trap::set().await);
    alice.write("notes", "n");
    let giving = Giving::hidden(&alice, &["notes"]);
    let taker = taking(&bob, &giving.code, &["--from", &trap.at()]);
    let (mut to_taker, _) = trap.greeted().await;
    let Some(proof @ Said::Proof(_)) = to_taker.hear().await else { panic!("the taker proves first") };
    let mut to_giver = wanting(giving.port).await;
    to_giver.say(&proof).await;
    let told = to_giver.hear::<Said>().await;
    assert_eq!(told, Some(Said::Wrong { left: 2 }));
    assert_eq!(event(&giving.process, "wrong_code")["left"], 2);
    to_taker.say(&told.unwrap()).await;
    taker.end().exits(10);
    has_nothing(&bob);
}

/// Whatever a giver says in place of an answer, the taker ends it and has nothing.
#[tokio::test]
async fn nonsense_from_a_giver_ends_it() {
    for (bytes, code) in [
        (postcard(&Said::Proof([1; 32])), 1),
        (postcard(&Sending::Offer { transfer: TransferId::new(), set: [1; 32] }), 1),
        (vec![255; 64], 1),
        (postcard(&Said::Wrong { left: 0 }), 10),
        (postcard(&Said::Refused(Fault::new(FaultKind::Other, "no\u{1b}[2J"))), 1),
    ] {
        let (bob, trap) = (Home::new("bob"), Trap::set().await);
        let taker = taking(&bob, "17-outpost-sermon-muscular", &["--from", &trap.at(), "--wait", "20"]);
        let (mut giver, _) = trap.greeted().await;
        let _: Option<Said> = giver.hear().await;
        giver.raw(&bytes).await;
        let ran = taker.end();
        assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
        ran.exits(code);
        has_nothing(&bob);
    }
}

/// What is announced is the number: no word of the code, no name.
#[test]
fn s11_nothing_of_the_code_or_the_person_is_announced() {
    let said = ftx::find::givers::announcement(17, 1, 23555).record().fields();
    let values: Vec<&str> = said.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!((values[1], said.len()), ("17", 6));
    let me = Me { key: Arc::new(Key::generate().unwrap()), name: "alice".into(), role: ftx::base::id::Role::Peer };
    assert_ne!(values[2], me.key.public().id().to_string());
}
