//! Two devices that write the same path of a hub at once: one after the other, and both are kept.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::house::dice::{Dice, soaked};
use crate::house::home::Home;
use crate::house::hub::Hub;

/// How often they do.
const ROUNDS: usize = 12;

const PATH: &str = "shared/plan.txt";

/// What one of them wrote in some round.
fn text(account: &str, device: usize, round: usize, dice: &mut Dice) -> String {
    format!("{account} {device} {round} {}", ".".repeat(1 + dice.below(5000) as usize))
}

/// Both push, each the same name with other bytes, until all rounds are over; what was pushed.
fn race(hub: &Hub, devices: [(&Home, &str); 2]) -> BTreeSet<String> {
    let mut dice = Dice::numbered(0);
    let mut all = BTreeSet::new();
    for round in 0..soaked(ROUNDS) {
        let mut pushing = Vec::new();
        for (number, (home, account)) in devices.iter().enumerate() {
            let text = text(account, number, round, &mut dice);
            home.write("plan.txt", &text);
            pushing.push(home.start(&["push", "plan.txt", &hub.at("shared/")]));
            all.insert(text);
        }
        for pushed in pushing.into_iter().map(|pushing| pushing.end().done().last()) {
            let outcome = &pushed["entries"][0]["outcome"];
            assert!(outcome == "placed" || outcome == "replaced", "round {round}: {pushed}");
        }
    }
    all
}

/// That all of them are there, in one line of descent: each gave way to the next, by whoever wrote that.
fn check(hub: &Hub, home: &Home, all: &BTreeSet<String>) {
    let listed = hub.list(home, "shared");
    assert_eq!(listed.len(), 1, "no second name: {listed:?}");
    let in_place = &listed[PATH];
    assert_eq!(in_place["versions"], all.len() - 1);
    let now = fs::read_to_string(hub.path(PATH)).unwrap();
    let mut there = BTreeSet::from([now.clone()]);
    let owner = |text: &str| Value::from(text.split(' ').next().unwrap());
    assert_eq!(in_place["owner"], owner(&now));
    let mut next = owner(&now);
    for version in hub.versions(home, PATH) {
        let kept = hub.path(&format!(".ftx/versions/{PATH}/.ftx-{}", version["id"].as_str().unwrap()));
        let text = fs::read_to_string(kept).unwrap();
        assert_eq!((&version["owner"], &version["by"]), (&owner(&text), &next), "{version}");
        assert_eq!(version["size"], text.len());
        next = owner(&text);
        there.insert(text);
    }
    assert_eq!(there, *all);
    // Every digest is known and right.
    hub.verify();
}

#[test]
fn two_devices_of_one_account_write_one_path_at_once_and_nothing_is_lost() {
    let hub = Hub::start();
    let (laptop, phone) = (hub.member("anna"), hub.member("anna"));
    let all = race(&hub, [(&laptop, "anna"), (&phone, "anna")]);
    check(&hub, &laptop, &all);
}

#[test]
fn two_managers_write_one_path_at_once_and_each_is_told_whose_it_was() {
    let mut hub = Hub::start();
    let (boss, chief) = (hub.manager("boss"), hub.manager("chief"));
    let all = race(&hub, [(&boss, "boss"), (&chief, "chief")]);
    check(&hub, &boss, &all);
    hub.kill();
    hub.restart();
    check(&hub, &chief, &all);
}
