//! A hub that is killed at any moment while several devices use it, and started again: whatever a
//! device was told is done is done, and nothing else is to be seen.

mod user;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use crate::house::dice::{Dice, soaked};
use crate::house::hub::Hub;
use user::User;

/// Kills in all.
const KILLS: usize = 50;

/// After so many of them everything is looked at, while nobody does anything.
const LOOK: usize = 10;

/// How long a moment is waited for.
const LONGEST: Duration = Duration::from_secs(1);

/// When the hub is killed, counted from its start.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after. That is luck, and what has to hold does not depend on it.
    After(Duration),
    /// As soon as something is staged.
    Staged,
    /// As soon as it has told of so many files that came.
    Received(usize),
}

/// What the users know of the hub.
struct Field {
    /// How often it was started again.
    starts: AtomicU64,
    /// Where it is; the same after each kill, unless somebody else took it.
    port: AtomicU64,
    over: AtomicBool,
    /// Read by whoever does something; written by whoever wants quiet.
    quiet: RwLock<()>,
    repository: PathBuf,
}

/// However this ends, nobody goes on for ever.
struct Ending<'a>(&'a Field);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

#[test]
fn what_a_killed_hub_has_acknowledged_is_there_when_it_runs_again() {
    let mut hub = Hub::start();
    let user = |(number, account)| Mutex::new(User::new(hub.member(account), account, Dice::numbered(number)));
    let users: Vec<_> = (1..).zip(["anna", "ben", "cleo"]).map(user).collect();
    let field = Field {
        starts: AtomicU64::new(0),
        port: AtomicU64::new(hub.port()),
        over: AtomicBool::new(false),
        quiet: RwLock::default(),
        repository: hub.path(""),
    };
    let mut dice = Dice::numbered(0);
    std::thread::scope(|scope| {
        let _ending = Ending(&field);
        for user in &users {
            scope.spawn(|| {
                let _ending = Ending(&field);
                while !field.over.load(Ordering::SeqCst) {
                    let _noise = field.quiet.read().unwrap();
                    user.lock().unwrap().step(&field);
                }
            });
        }
        for kills in 1..=soaked(KILLS) {
            wait(&hub, moment(&mut dice));
            assert!(!field.over.load(Ordering::SeqCst), "a user has failed");
            hub.kill();
            hub.restart_in_place();
            field.port.store(hub.port(), Ordering::SeqCst);
            field.starts.fetch_add(1, Ordering::SeqCst);
            if kills % LOOK == 0 || kills == soaked(KILLS) {
                let _quiet = field.quiet.write().unwrap();
                look(&hub, &users);
            }
        }
    });
    let told: Vec<_> = users.iter().map(|user| user.lock().unwrap().told()).collect();
    eprintln!("in {} kills: {}", soaked(KILLS), told.join("; "));
}

fn moment(dice: &mut Dice) -> Moment {
    match dice.below(3) {
        0 => Moment::Staged,
        1 => Moment::Received(1 + dice.below(6) as usize),
        _ => Moment::After(Duration::from_millis(dice.below(400))),
    }
}

fn wait(hub: &Hub, moment: Moment) {
    let begun = Instant::now();
    while begun.elapsed() < LONGEST {
        let now = match moment {
            Moment::After(delay) => begun.elapsed() >= delay,
            Moment::Staged => fs::read_dir(hub.path(".ftx/.ftx-partial")).is_ok_and(|mut areas| areas.next().is_some()),
            Moment::Received(files) => hub.events("received").len() >= files,
        };
        if now {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// That everything is there, and nothing else.
fn look(hub: &Hub, users: &[Mutex<User>]) {
    let mut expected = Vec::new();
    for user in users {
        let user = user.lock().unwrap();
        user.check(hub);
        expected.extend(user.in_place());
    }
    expected.sort();
    let there = hub.home.tree("repository");
    let files = there.into_iter().filter(|path| !path.starts_with(".ftx/") && !path.ends_with('/'));
    assert_eq!(files.collect::<Vec<_>>(), expected, "what the disk has");
    hub.verify();
}
