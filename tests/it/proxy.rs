//! A push over a line that cuts, delays, loses, repeats, mixes up or changes bytes. It ends, either
//! with everything equal or with a failure that says what it is; nothing wrong is ever in place;
//! and the same again over a good line brings the rest.

use std::time::Duration;

use crate::house::dice::{Dice, soaked};
use crate::house::forest::Forest;
use crate::house::home::{Home, Node};
use crate::house::proxy::{Mishap, Proxy, Trouble, Way};
use crate::house::{noise, until};

/// Pushes over bad lines.
const RUNS: usize = 72;

/// Pairs of homes that share them.
const PAIRS: usize = 3;

/// Small files of a tree.
const SMALL: usize = 40;

/// Bytes of its large one: some chunks.
const BIG: usize = (5 << 20) / 2;

/// Bytes of a handshake and of all words before the first chunk, or a little more.
const BEGINNING: u64 = 6000;

/// Bytes that come back, or a little more.
const ANSWERS: u64 = 2500;

/// What may be said of it: the peer is lost (4), what came is not what was sent (7, or 1 for words
/// that make no sense), nothing came any more (11), or no TLS that we know at all (12).
const HONEST: [i32; 5] = [1, 4, 7, 11, 12];

#[test]
fn over_a_bad_line_a_push_arrives_or_fails_clearly_and_the_same_again_arrives() {
    std::thread::scope(|scope| {
        for number in 0..PAIRS {
            scope.spawn(move || {
                let (bob, alice) = (Home::new("bob"), Home::new("alice"));
                let node = alice.up_for_all();
                let mut dice = Dice::numbered(100 + number as u64);
                for run in 0..soaked(RUNS).div_ceil(PAIRS) {
                    push_badly(&bob, (&alice, &node), &mut dice, &format!("t{run}"));
                }
            });
        }
    });
}

fn push_badly(bob: &Home, (alice, node): (&Home, &Node), dice: &mut Dice, top: &str) {
    let whole = Forest::grown(dice, top, SMALL, BIG);
    whole.write(bob, ".");
    let troubles: Vec<_> = (0..1 + dice.below(2)).map(|_| trouble(dice)).collect();
    let proxy = Proxy::to(node.port(), troubles.clone());
    let ran = bob.run(&["push", top, &proxy.at()]);
    let what = format!("{top}: {troubles:?}: {ran:?}");
    let seen = Forest::seen(alice);
    assert!(seen.wrong(&whole).is_empty(), "{:?}: {what}", seen.wrong(&whole));
    match ran.code {
        Some(0) => assert!(seen.missing(&whole).is_empty(), "{:?}: {what}", seen.missing(&whole)),
        Some(code) if HONEST.contains(&code) => is_clear(&ran.failure()),
        _ => panic!("{what}"),
    }
    bob.run(&["push", top, &node.at()]).done();
    assert!(Forest::seen(alice) == whole, "{what}");
    let gone = || (!alice.path("inbox/.ftx-partial").exists()).then_some(());
    until(&format!("the staging is gone: {what}"), gone);
    bob.remove(top);
    alice.remove(&format!("inbox/{top}"));
}

/// That a failure says what it is, why, and nothing in the words of the system.
#[track_caller]
fn is_clear(failure: &str) {
    let said = failure.split(" | ").take(2).all(|part| !part.is_empty());
    assert!(said && !failure.contains("os error"), "{failure}");
}

/// As behind a cable that was pulled: both sides notice it by nothing but silence.
#[test]
fn a_line_that_goes_dead_is_given_up_and_the_same_again_goes_on() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let bytes = noise(1, 16 << 20);
    bob.write("big", &bytes);
    let dead = Trouble { way: Way::There, after: 10 << 20, what: Mishap::Dead };
    let ran = bob.run(&["push", "big", &Proxy::to(node.port(), vec![dead]).at()]);
    if ran.code == Some(0) {
        // It has dialled again by itself.
        assert!(alice.read("inbox/big") == bytes);
        return;
    }
    ran.exits(11);
    assert!(!alice.path("inbox/big").exists());
    // Alice may not have noticed yet.
    let pushed = bob.run(&["push", "big", &node.at()]).done().last();
    assert!(alice.read("inbox/big") == bytes);
    assert!(pushed["bytes_moved"].as_u64().unwrap() < bytes.len() as u64 / 2, "{pushed}");
    assert_eq!(alice.tree("inbox"), ["big"]);
}

/// Anything, anywhere: half of it at the beginning, where every byte means something else.
fn trouble(dice: &mut Dice) -> Trouble {
    let way = dice.one_of(&[Way::There, Way::There, Way::Back]);
    let end = match way {
        Way::There => dice.one_of(&[BEGINNING, BIG as u64]),
        Way::Back => ANSWERS,
    };
    let most = 1 + dice.below(4000) as usize;
    let what = match dice.below(8) {
        0 => Mishap::Cut,
        1 => Mishap::Reset,
        2 => Mishap::Truncated,
        3 => Mishap::Flipped { bit: dice.below(8) as u8 },
        4 => Mishap::Twice { most },
        5 => Mishap::Swapped { most },
        6 => Mishap::Lost { most },
        _ => Mishap::Late { by: Duration::from_millis(dice.below(200)) },
    };
    Trouble { way, after: dice.below(end), what }
}
