//! A hub's folder: one hub at a time, and the same one each time.

use crate::house::home::Home;
use crate::house::hub::Hub;
use crate::house::process::Process;

#[test]
fn a_hub_on_the_same_folder_is_the_same_hub_with_the_same_accounts() {
    let mut hub = Hub::start();
    let (anna, boss) = (hub.member("anna"), hub.manager("boss"));
    anna.write("notes.txt", "first");
    anna.run(&["push", "notes.txt", &hub.at("shared/")]).done();
    let id = hub.up()["id"].clone();
    hub.stop().done();
    hub.restart();
    assert_eq!(hub.up()["id"], id);
    assert_eq!(hub.list(&boss, "shared")["shared/notes.txt"]["owner"], "anna");
    anna.write("notes.txt", "second");
    anna.run(&["push", "notes.txt", &hub.at("shared/")]).done();
    assert_eq!(std::fs::read(hub.path("shared/notes.txt")).unwrap(), b"second");
    assert_eq!(hub.versions(&anna, "shared/notes.txt").len(), 1);
    assert_eq!(hub.event("received")["account"], "anna");
}

#[test]
fn a_second_hub_on_a_folder_is_refused_and_harms_nothing() {
    let hub = Hub::start();
    let anna = hub.member("anna");
    let other = Home::new("other");
    // Also somebody else's, and also under another name of the folder.
    std::os::unix::fs::symlink(hub.path(""), other.path("link")).unwrap();
    for ran in [hub.home.run(&hub.typed()), other.run(&["hub", "link", "--port", "0"])] {
        let told = ran.exits(1).failure();
        assert!(told.contains("a hub runs on") && told.contains("already"), "{told}");
    }
    anna.write("notes.txt", "text");
    anna.run(&["push", "notes.txt", &hub.at("shared/")]).done();
    let mut third = Process::start(other.command(&["hub", "other", "--port", "0", "--json"]));
    assert!(third.is_running() && hub.list(&anna, "shared").contains_key("shared/notes.txt"));
}

#[test]
fn a_slip_of_the_hand_makes_no_hub() {
    let home = Home::new("boss");
    for (typed, meant) in [("statsu", "status"), ("Acounts", "accounts"), ("verfy", "verify")] {
        let told = home.run(&["hub", typed, "--port", "0"]).exits(2).failure();
        assert!(told.contains(&format!("ftx hub {meant}")) && told.contains(&format!("ftx hub ./{typed}")), "{told}");
        assert!(!home.path(typed).exists());
    }
    // Said clearly, it is a folder.
    let mut hub = Process::start(home.command(&["hub", "./statsu", "--port", "0", "--json"]));
    crate::house::until("the hub is there", || home.path("statsu/.ftx").exists().then_some(()));
    assert!(hub.is_running());
}
