//! Handing over by a code: what is said out of place ends the connection, costs no try, and gives nothing.

use ftx::base::fault::FaultKind;
use ftx::flow::code::Code;
use ftx::flow::give;
use ftx::wire::give::Giving as Said;

use super::dialled::{greeted, nonsense};
use super::*;
use crate::give::{Giving, take};
use crate::house::hostile::Trap;
use crate::house::vocabulary::{giving, words};

/// What a taker may say first.
fn taker_may(message: &Said) -> bool {
    match message {
        Said::Proof(_) => true,
        Said::Proven(_) | Said::Wrong { .. } | Said::Refused(_) => false,
    }
}

/// What a giver may answer to the taker's proof.
fn giver_may(message: &Said) -> bool {
    match message {
        Said::Proven(_) | Said::Wrong { .. } | Said::Refused(_) => true,
        Said::Proof(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_giver_hears_nothing_out_of_place() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes", "n");
    let giving = Giving::hidden(&alice, &["notes"]);
    let mut tried = 0;
    for word in everything().iter().filter(|word| !may(&word.bytes, taker_may)) {
        let mut peer = wanting(giving.port, &Request::Take).await;
        peer.raw(&framed(word)).await;
        assert!(peer.rest().await.is_empty(), "{}", word.what);
        tried += 1;
    }
    said_in_vain("a giver", tried);
    take(&bob, &giving.code, &["--from", &giving.at()]).done();
    let ran = giving.process.end().done();
    assert!(ran.objects().iter().all(|object| object["event"] != "wrong_code"), "{ran:?}");
}

#[tokio::test]
async fn a_taker_hears_nothing_out_of_place() {
    let code: Code = "17-outpost-sermon-muscular".parse().unwrap();
    let all = words("", &giving()).into_iter().chain([nonsense()]);
    for word in all.filter(|word| !may(&word.bytes, giver_may)) {
        let trap = Trap::set().await;
        let taking = async { give::take(greeted(&trap).await, &code).await.map(drop) };
        let answering = async {
            let (mut peer, _) = trap.greeted().await;
            assert!(matches!(peer.hear().await, Some(Said::Proof(_))));
            peer.raw(&framed(&word)).await;
            assert!(peer.rest().await.is_empty(), "{}", word.what);
        };
        let (taken, ()) = tokio::join!(taking, answering);
        assert_eq!(taken.unwrap_err().kind(), FaultKind::Protocol, "{}", word.what);
    }
}
