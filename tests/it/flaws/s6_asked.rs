//! What a person said yes to is all that comes, and before the yes nothing does.

use ftx::base::fault::FaultKind;
use ftx::base::id::TransferId;
use ftx::wire::message::{Receiving, Request, Sending};
use std::sync::Arc;

use ftx::link::key::Key;

use crate::house::home::Home;
use crate::house::hostile::{Hostile, Script, file};
use crate::house::terminal::Terminal;
use crate::terminal::{QUESTION, up_at_terminal};

/// A node at a terminal, and its port.
fn asking() -> (Home, Terminal, u16) {
    let alice = Home::new("alice");
    alice.write("inbox/own", "alice's own");
    let (terminal, at) = up_at_terminal(&alice, &[]);
    let port = at.trim_end_matches(']').rsplit(':').next().unwrap().parse().unwrap();
    (alice, terminal, port)
}

/// An offer of `report.pdf`, of five bytes, all told.
async fn offered(port: u16) -> Hostile {
    let mut peer = Hostile::wanting(Arc::new(Key::generate().unwrap()), port, Request::Push).await;
    peer.say(&Sending::Offer { transfer: TransferId::new(), set: [1; 32] }).await;
    peer.say(&Sending::Page(vec![file("report.pdf", 5)])).await;
    peer.say(&Sending::PagesEnd { entries: 1, bytes: 5 }).await;
    peer
}

/// What is said once the yes is there.
fn yes() -> Script {
    Script::new().ready()
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_croc_a_byte_beyond_what_was_accepted_ends_it_and_leaves_nothing() {
    let (alice, mut terminal, port) = asking();
    let beyond = [
        ("a further page", yes().say(&Sending::Page(vec![file("more", 5)]))),
        ("a chunk of what was not offered", yes().chunk(1, 0, b"hello")),
        ("a longer chunk", yes().chunk(0, 0, b"hello!")),
        ("a second chunk", yes().chunk(0, 0, b"hello").chunk(0, 1, b"!")),
        ("the same chunk again", yes().chunk(0, 0, b"hello").chunk(0, 0, b"hello")),
        ("another offer", yes().say(&Sending::Offer { transfer: TransferId::new(), set: [1; 32] })),
    ];
    for (number, (what, script)) in (1..).zip(beyond) {
        let peer = offered(port).await;
        let screen = terminal.shows_times(number, QUESTION);
        assert!(screen.contains("report.pdf  (5 B"), "{screen}");
        terminal.types("y");
        let last = peer.play(script).await.pop();
        assert!(
            matches!(&last, Some(Receiving::Abort(fault)) if fault.kind == FaultKind::Protocol),
            "{what}: {last:?}"
        );
        assert!(!alice.tree("inbox").iter().any(|path| path == "more" || path.starts_with("report")), "{what}");
    }
    assert_eq!(alice.read("inbox/own"), b"alice's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn s7_quick_share_cve_2024_38272_no_byte_is_taken_before_the_yes() {
    let (alice, terminal, port) = asking();
    let before = alice.tree("inbox");
    let peer = offered(port).await;
    terminal.shows(QUESTION);
    assert_eq!(alice.tree("inbox"), before, "nothing is prepared before the yes");
    let last = peer.play(Script::new().whole(0, b"hello").end()).await.pop();
    assert!(matches!(&last, Some(Receiving::Abort(fault)) if fault.kind == FaultKind::Protocol), "{last:?}");
    terminal.shows("does not wait any longer");
    assert_eq!(alice.tree("inbox"), before);
}
