//! The side that dialled: what the other side says out of place ends the command, or the conversation, and
//! leaves nothing.

use std::net::{Ipv4Addr, SocketAddr};

use ftx::base::fault::FaultKind;
use ftx::base::id::Role;
use ftx::flow::fault::FlowFault;
use ftx::flow::greet::{Greeted, Me, Proof};
use ftx::flow::join::{self, Typed};
use ftx::flow::secret::{Purpose, Terms};
use ftx::flow::{ask, list};
use ftx::link::dial::dial;
use ftx::link::tls::{Stream, Tls};
use ftx::wire::hub::{Answer, Joining, Rank, Secret, Verb};
use ftx::wire::message::Listing;
use zeroize::Zeroizing;

use super::*;
use crate::house::hostile::Trap;
use crate::house::process::{Process, Ran};
use crate::house::vocabulary::{answers, joining, listing, name, receiving, sending, verbs, words};

/// Waits for the end of a process without keeping the trap from talking.
async fn ended(process: Process) -> Ran {
    tokio::task::spawn_blocking(|| process.end()).await.unwrap()
}

/// What is no message.
pub(super) fn nonsense() -> Word {
    Word { what: "nonsense".to_owned(), bytes: vec![99] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_hears_nothing_out_of_place() {
    let bob = Home::new("bob");
    written(&bob, "");
    for told in TOLD {
        let all = words("", &receiving()).into_iter().chain([nonsense()]);
        for word in all.filter(|word| !may(&word.bytes, |message| receiver_may(told, message))) {
            let trap = Trap::set().await;
            let pushing = bob.start(&["push", sent(told), &trap.at(), "--retry", "0"]);
            let (mut peer, _) = trap.greeted().await;
            brought(&mut peer, told).await;
            peer.raw(&framed(&word)).await;
            peer.rest().await;
            let ran = ended(pushing).await.exits(1);
            let pushed =
                ran.objects().iter().any(|object| object["event"] != "asking" && object["event"] != "first_contact");
            assert!(!pushed, "{told:?}, {}: {ran:?}", word.what);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_hears_nothing_out_of_place() {
    let bob = Home::new("bob");
    bob.write("here/own", "bob's own");
    for heard in [Heard::Nothing, Heard::Offer, Heard::Page, Heard::Manifest, Heard::Lanes, Heard::End] {
        let all = words("", &sending()).into_iter().chain([nonsense()]);
        for word in all.filter(|word| !may(&word.bytes, |message| sender_may(heard, message))) {
            let trap = Trap::set().await;
            let at = format!("{}:notes/a", trap.at());
            let pulling = bob.start(&["pull", &at, "--to", "here", "--retry", "0"]);
            let (peer, _) = trap.greeted().await;
            peer.play(script(heard, &word)).await;
            let ran = ended(pulling).await.exits(1);
            assert!(ran.tells_no_result(), "{heard:?}, {}: {ran:?}", word.what);
            assert_eq!(bob.tree("here"), ["own"], "{heard:?}, {}", word.what);
        }
    }
}

/// A connection on which this side has greeted, and its other end.
pub(super) async fn greeted(trap: &Trap) -> Greeted<Stream> {
    let key = Arc::new(Key::generate().unwrap());
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, trap.port()));
    let link = dial(&Tls::new(&key).unwrap(), &[at], None).await.unwrap();
    let proof = Proof { peer: link.peer, exporter: link.exporter };
    let me = Me { key, name: "bob".to_owned(), role: Role::Peer };
    Greeted::dialled(link.stream, proof, &me).await.unwrap()
}

/// What a listing may have in it; there is one state.
fn listing_may(message: &Listing) -> bool {
    match message {
        Listing::Page(page) => !page.is_empty(),
        Listing::End | Listing::Abort(_) => true,
    }
}

#[tokio::test]
async fn a_listing_has_nothing_else_in_it() {
    let mut tried = 0;
    let all = words("", &listing()).into_iter().chain(everything());
    for word in all.filter(|word| !may(&word.bytes, listing_may)) {
        let trap = Trap::set().await;
        let asking = async { list::hear(greeted(&trap).await.ask(Request::List(None)).await.unwrap()).await };
        let answering = async {
            let (mut peer, _) = trap.greeted().await;
            peer.say(&Listing::Page(vec![file("a", 5)])).await;
            peer.raw(&framed(&word)).await;
            peer.rest().await;
        };
        let (listed, ()) = tokio::join!(asking, answering);
        assert_eq!(listed.unwrap_err().kind(), FaultKind::Protocol, "{}", word.what);
        tried += 1;
    }
    said_in_vain("a listing", tried);
}

/// What a hub may answer to a verb, which it has answered once already where it is `again`.
fn answer_may(verb: &Verb, again: bool, answer: &Answer) -> bool {
    match answer {
        Answer::Standing(_) => matches!(verb, Verb::Standing) && !again,
        Answer::Items(page) => !page.is_empty() && matches!(verb, Verb::Look { .. } | Verb::Find { .. }),
        Answer::Versions(page) => !page.is_empty() && matches!(verb, Verb::Versions(_)),
        Answer::Receipts(page) => !page.is_empty() && matches!(verb, Verb::Receipts(_)),
        Answer::Done { .. } | Answer::KeepAlive | Answer::Abort(_) => true,
    }
}

#[tokio::test]
async fn a_hub_answers_what_it_is_asked_and_nothing_else() {
    for verb in verbs() {
        for again in [false, true] {
            let all = words("", &answers()).into_iter().chain([nonsense()]);
            for word in all.filter(|word| !may(&word.bytes, |answer| answer_may(&verb, again, answer))) {
                let trap = Trap::set().await;
                let asking = async { ask::ask(greeted(&trap).await, verb.clone()).await };
                let answering = async {
                    let (mut peer, _) = trap.greeted().await;
                    let first = answers().into_iter().find(|answer| answer_may(&verb, false, answer)).unwrap();
                    if again && !matches!(first, Answer::Done { .. }) {
                        peer.say(&first).await;
                    }
                    peer.raw(&framed(&word)).await;
                    peer.rest().await;
                };
                let (answered, ()) = tokio::join!(asking, answering);
                assert_eq!(answered.unwrap_err().kind(), FaultKind::Protocol, "{verb:?}, {}", word.what);
            }
        }
    }
}

/// What a device that joins has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joins {
    Nothing,
    Challenge,
    Welcome,
}

/// What a hub may say to it.
fn hub_may(joins: Joins, message: &Joining) -> bool {
    match message {
        Joining::Challenge { .. } => joins == Joins::Nothing,
        Joining::Welcome { .. } => joins == Joins::Challenge,
        Joining::Done => joins == Joins::Welcome,
        Joining::Refused(_) => true,
        Joining::Proof(_) | Joining::Password { .. } => false,
    }
}

#[tokio::test]
async fn a_device_that_joins_hears_nothing_out_of_place() {
    const CODE: &str = "apple-banana-cherry";
    for joins in [Joins::Nothing, Joins::Challenge, Joins::Welcome] {
        let all = words("", &joining()).into_iter().chain([nonsense()]);
        for word in all.filter(|word| !may(&word.bytes, |message| hub_may(joins, message))) {
            let trap = Trap::set().await;
            let account = name("anna");
            let typed = Typed {
                account: Some(account.clone()),
                by: Secret::Code,
                secret: Zeroizing::new(CODE.to_owned()),
                password: None,
            };
            let joining = async { join::join(greeted(&trap).await, typed).await };
            let answering = async {
                let (mut peer, _) = trap.greeted().await;
                let salt = Purpose::Join.salt(&peer.exporter);
                if joins != Joins::Nothing {
                    peer.say(&Joining::Challenge { salt }).await;
                    let proof: Joining = peer.hear().await.expect("the device proves it");
                    assert!(matches!(proof, Joining::Proof(_)));
                }
                if joins == Joins::Welcome {
                    let (exporter, first, second) = (peer.exporter.clone(), peer.other, peer.key.public());
                    let about = join::about(Some(&account));
                    let terms = Terms { purpose: Purpose::Join, exporter, first, second, about };
                    let proof = terms.second_proof(&terms.stretch(CODE).unwrap());
                    peer.say(&Joining::Welcome { account: account.clone(), rank: Rank::Member, proof }).await;
                    assert_eq!(peer.hear().await, Some(Joining::Done));
                }
                peer.raw(&framed(&word)).await;
                peer.rest().await;
            };
            let (joined, ()) = tokio::join!(joining, answering);
            let kind = joined.map_err(|fault: FlowFault| fault.kind()).unwrap_err();
            assert_eq!(kind, FaultKind::Protocol, "{joins:?}, {}", word.what);
        }
    }
}
