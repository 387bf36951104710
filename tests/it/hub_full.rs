//! A hub whose disk takes nothing more while many send to it.

use std::fs;
use std::io::Write;

use crate::disk_full::with_small_disk;
use crate::house::home::{Home, PROGRAM, loopback};
use crate::house::hub::Hub;
use crate::house::process::Process;
use crate::house::{noise, until};

/// Uploads at once.
const UPLOADS: u32 = 20;

/// Bytes of each.
const EACH: usize = 1 << 20;

/// A hub whose folder is a file system of this size; `None` where this user may not have one.
fn start(size: &str) -> Option<Hub> {
    let mut hub = Hub::at_rest(&[]);
    let name = hub.home.name();
    let then = format!("exec '{PROGRAM}' {} --json --interface {} --name {name}", hub.typed().join(" "), loopback());
    let command = with_small_disk(&hub.home, "repository", size, &then)?;
    hub.runs(Process::start(command));
    Some(hub)
}

#[test]
fn a_disk_that_is_full_is_told_to_each_of_twenty_and_later_all_of_it_is_there() {
    let Some(hub) = start("size=64m") else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    // The file system is there for the hub's process only.
    let seen = hub.sees("");
    hub.manage(&["settings", "--reserve", "0"]).done();
    let (anna, ben) = (hub.member("anna"), hub.member("ben"));
    anna.write("before", noise(99, EACH));
    anna.run(&["push", "before", &hub.at("shared/")]).done();
    let homes: Vec<(&Home, String)> =
        (0..UPLOADS).map(|n| (if n % 2 == 0 { &anna } else { &ben }, format!("file-{n}"))).collect();
    for ((home, name), n) in homes.iter().zip(0..) {
        home.write(name, noise(n, EACH));
    }
    // Somebody else fills it, all but a little.
    let mut filler = fs::File::create(seen.join("filler")).unwrap();
    let free = || rustix::fs::statvfs(&seen).map(|disk| disk.f_bavail * disk.f_frsize).unwrap();
    while free() > 6 << 20 {
        filler.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let push = |(home, name): &(&Home, String)| home.start(&["push", name, &hub.at("shared/"), "--retry", "0"]);
    let pushing: Vec<Process> = homes.iter().map(push).collect();
    // What is let in by the space that is left now has none when it comes.
    while filler.write_all(&[0; 4096]).is_ok() {}
    let ran: Vec<_> = pushing.into_iter().map(Process::end).collect();
    let mut there = 0;
    for ((_, name), ran) in homes.iter().zip(&ran) {
        let placed = fs::read(seen.join("shared").join(name));
        match ran.code {
            Some(0) => assert!(placed.is_ok(), "{name}: {ran:?}"),
            Some(9 | 10) => {
                let told = ran.failure();
                assert!(["full", "enough room", "more are needed"].iter().any(|word| told.contains(word)), "{told}");
            }
            _ => panic!("{name}: {ran:?}"),
        }
        // Whatever was told: whole, or not there.
        if let Ok(bytes) = placed {
            let n = name["file-".len()..].parse().unwrap();
            assert!(bytes == noise(n, EACH), "{name}");
            there += 1;
        }
    }
    let codes: Vec<_> = ran.iter().filter_map(|ran| ran.code).collect();
    let of = |code| codes.iter().filter(|one| **one == code).count();
    eprintln!("done {}, full on the way {}, refused {}", of(0), of(9), of(10));
    assert!(there < UPLOADS, "it was never full");
    // It serves what it has, and who asks.
    let listed = hub.list(&anna, "shared");
    assert_eq!(listed["shared/before"]["owner"], "anna");
    anna.run(&["pull", &hub.at("shared/before"), "--to", "back"]).done();
    assert!(anna.read("back/before") == noise(99, EACH));

    drop(filler);
    fs::remove_file(seen.join("filler")).unwrap();
    until("it is noticed that there is room", || (free() > 40 << 20).then_some(()));
    let pushing: Vec<Process> = homes.iter().map(push).collect();
    pushing.into_iter().for_each(|pushing| drop(pushing.end().done()));
    let listed = hub.list(&anna, "shared");
    assert_eq!(listed.len(), UPLOADS as usize + 1, "{:?}", listed.keys());
    for ((home, name), n) in homes.iter().zip(0..) {
        let owner = if std::ptr::eq(*home, &anna) { "anna" } else { "ben" };
        assert_eq!(listed[&format!("shared/{name}")]["owner"], owner, "{name}");
        assert!(fs::read(seen.join("shared").join(name)).unwrap() == noise(n, EACH), "{name}");
    }
    // What was in place and could not be noted then has no digest, until the hub has time to read it: whoever only
    // verifies names it and notes nothing.
    hub.manage(&["verify", "--fix-catalogue"]).done();
    hub.verify();
}
