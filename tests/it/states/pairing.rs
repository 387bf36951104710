//! Comparing key words, with a person at the node's terminal.

use std::net::Ipv4Addr;

use ftx::wire::message::Pairing;

use super::*;
use crate::house::terminal::Terminal;

/// What either side may say; there is one state, which an answer ends.
fn pairing_may(message: &Pairing) -> bool {
    match message {
        Pairing::Asking | Pairing::Agreed | Pairing::Refused(_) => true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pairing_hears_nothing_out_of_place_and_trusts_nobody() {
    let alice = Home::new("alice");
    let terminal = Terminal::start(alice.command(&["up", "--port", "0", "--dir", "inbox"]));
    let screen = tokio::task::block_in_place(|| terminal.shows("  receives  "));
    let port = screen.split("port ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let mut tried = 0;
    for word in everything().iter().filter(|word| !may(&word.bytes, pairing_may)) {
        tried += 1;
        // One machine may ask a few times a minute only.
        let from = Ipv4Addr::new(127, 0, 2, tried);
        let mut peer = Hostile::dial_from(from, Arc::new(Key::generate().unwrap()), port).await.unwrap();
        peer.greet().await;
        peer.want(Request::Pair).await;
        peer.raw(&framed(word)).await;
        assert!(peer.rest().await.is_empty(), "{}", word.what);
    }
    said_in_vain("a pairing", usize::from(tried));
    let known = alice.run(&["peers"]).done().objects();
    assert!(known.iter().all(|peer| peer["trust"] != "trusted"), "{known:?}");
}
