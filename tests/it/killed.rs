//! A push whose sender or receiver is killed at any moment, and which is typed again until it is
//! done. Whatever is seen under a final name is right, at every moment, and in the end everything is there once.

use std::time::{Duration, Instant};

use crate::house::dice::{Dice, soaked};
use crate::house::forest::Forest;
use crate::house::home::{Home, Node};
use crate::house::process::Process;
use crate::house::until;
use crate::survive::staged;

/// Kills in all.
const KILLS: usize = 210;

/// Pairs of homes that share them.
const PAIRS: usize = 3;

/// Kills of one push after which it is left alone.
const MOST_IN_A_ROW: usize = 6;

/// Small files of a tree: enough that putting them into place takes its time.
const SMALL: usize = 300;

/// Files that the receiver has of its own in the folder where the tree comes to.
const OWN: usize = 3;

/// Bytes of its large one: some chunks.
const BIG: usize = (7 << 20) / 2;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Sender,
    Receiver,
}

/// When.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after the start. That is luck, and what has to hold does not depend on it.
    After(Duration),
    /// As soon as more than this many bytes are staged: in the middle of moving.
    Staged(u64),
    /// As soon as this many files are in place: in the middle of settling.
    Placed(usize),
}

/// One pair of homes and what happens between them.
struct Trial {
    bob: Home,
    alice: Home,
    /// Alice's; none only while it is dead.
    node: Option<Node>,
    dice: Dice,
    /// How long an undisturbed push takes here.
    usual: Duration,
    kills: usize,
    /// Of these, how many found nothing, something staged, something in place.
    found: [usize; 3],
}

#[test]
fn s17_croc_a_push_killed_at_any_moment_and_typed_again_arrives_whole_and_once() {
    std::thread::scope(|scope| {
        for number in 0..PAIRS {
            scope.spawn(move || Trial::new(number as u64).run(soaked(KILLS).div_ceil(PAIRS)));
        }
    });
}

impl Trial {
    fn new(number: u64) -> Self {
        let (bob, alice) = (Home::new("bob"), Home::new("alice"));
        let node = Some(alice.up_for_all());
        Self { bob, alice, node, dice: Dice::numbered(number), usual: Duration::ZERO, kills: 0, found: [0; 3] }
    }

    fn run(mut self, kills: usize) {
        self.round(0, 0);
        let mut round = 0;
        while self.kills < kills {
            round += 1;
            self.round(round, MOST_IN_A_ROW);
        }
        let [offering, moving, settling] = self.found;
        eprintln!("killed while offering {offering}, moving {moving}, settling {settling} times, in {round} pushes");
    }

    /// One tree, pushed until it is there; killed up to `most` times.
    fn round(&mut self, round: usize, most: usize) {
        let top = format!("t{round}");
        let whole = self.plant(&top);
        let mut kills = 0;
        while !self.push(&top, &whole, kills < most) {
            kills += 1;
        }
        let what = format!("{top}, after {kills} kills");
        let seen = Forest::seen(&self.alice);
        assert_eq!((seen.wrong(&whole), seen.missing(&whole)), (vec![], vec![]), "{what}");
        until(&format!("the staging is gone: {what}"), || {
            (!self.alice.path("inbox/.ftx-partial").exists()).then_some(())
        });
        self.bob.remove(&top);
        self.alice.remove(&format!("inbox/{top}"));
    }

    /// Puts a new tree at bob's, and a folder at alice's with which it will be merged; what alice
    /// should have in the end.
    fn plant(&mut self, top: &str) -> Forest {
        let mut whole = Forest::grown(&mut self.dice, top, SMALL, BIG);
        whole.write(&self.bob, ".");
        let mut own = Forest::default();
        own.add(&format!("{top}/own"), self.dice.bytes(100));
        // Something else has this name: bob's gets a number, and only once.
        own.add(&format!("{top}/f1"), self.dice.bytes(100));
        own.add(&format!("{top}/d0/f0"), self.dice.bytes(100));
        own.write(&self.alice, "inbox");
        whole.rename(&format!("{top}/f1"), &format!("{top}/f1 (1)"));
        whole.rename(&format!("{top}/d0/f0"), &format!("{top}/d0/f0 (1)"));
        whole.extend(own);
        whole
    }

    /// One push, perhaps killed; whether it came to its end.
    fn push(&mut self, top: &str, whole: &Forest, kill: bool) -> bool {
        let begun = Instant::now();
        let mut pushing = self.bob.start(&["push", top, &self.node().at()]);
        if !kill {
            pushing.end().done();
            self.usual = begun.elapsed();
            return true;
        }
        let victim = self.dice.one_of(&[Victim::Sender, Victim::Receiver]);
        let moment = self.moment();
        if !self.comes(moment, begun, top, &mut pushing) {
            pushing.end().done();
            return true;
        }
        self.kill(victim, pushing);
        let seen = Forest::seen(&self.alice);
        assert!(seen.wrong(whole).is_empty(), "{:?} after {victim:?} was killed at {moment:?}", seen.wrong(whole));
        self.note(&seen);
        self.node.get_or_insert_with(|| self.alice.up_for_all());
        false
    }

    fn moment(&mut self) -> Moment {
        match self.dice.below(4) {
            1 => Moment::Staged(self.dice.below(BIG as u64)),
            2 => Moment::Placed(1 + self.dice.below(SMALL as u64) as usize),
            _ => Moment::After(self.usual.mul_f64(self.dice.below(1000) as f64 / 1000.0)),
        }
    }

    /// Waits for the moment; whether the push was still under way when it came.
    fn comes(&self, moment: Moment, begun: Instant, top: &str, pushing: &mut Process) -> bool {
        let folder = self.alice.path("inbox").join(top);
        let placed = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
        let before = placed();
        while pushing.is_running() {
            let now = match moment {
                Moment::After(delay) => begun.elapsed() >= delay,
                Moment::Staged(bytes) => staged(&self.alice).is_some_and(|staged| staged > bytes),
                Moment::Placed(files) => placed() >= before + files,
            };
            if now {
                return true;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        false
    }

    fn kill(&mut self, victim: Victim, pushing: Process) {
        self.kills += 1;
        match victim {
            Victim::Sender => pushing.kill(),
            Victim::Receiver => {
                self.node.take().expect("it runs").process().kill();
                // Whether it would have dialled again is not the question here.
                pushing.kill();
            }
        }
    }

    fn note(&mut self, seen: &Forest) {
        let stage = if seen.len() > OWN { 2 } else { usize::from(staged(&self.alice).is_some()) };
        self.found[stage] += 1;
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("it runs")
    }
}
