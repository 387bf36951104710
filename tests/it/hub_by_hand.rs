//! A hub's folder is a plain folder: what is done in it by hand is taken in, and told.

use std::fs;

use serde_json::Value;

use crate::house::hub::Hub;
use crate::house::until;

#[test]
fn what_is_changed_by_hand_is_there_for_all_and_keeps_its_owner_where_it_is_the_same_file() {
    let hub = Hub::start();
    let (anna, ben) = (hub.member("anna"), hub.member("ben"));
    for text in ["the first notes", "my notes"] {
        anna.write("notes.txt", text);
        anna.run(&["push", "notes.txt", &hub.at("shared/")]).done();
    }
    // It is there at once, and later it is told.
    fs::create_dir_all(hub.path("shared/by hand")).unwrap();
    fs::write(hub.path("shared/by hand/dropped.txt"), "dropped in").unwrap();
    let item = hub.list(&ben, "shared")["shared/by hand/dropped.txt"].clone();
    assert_eq!((&item["size"], &item["owner"]), (&10.into(), &Value::Null));
    hub.event_where("appeared", |event| event["path"] == "shared/by hand/dropped.txt");
    let told = anna.run(&["rm", &hub.at("shared/by hand/dropped.txt")]).exits(10).failure();
    assert!(told.contains("by hand") || told.contains("managers"), "{told}");
    // What was told of already is not told again: what anna sent is not by hand.
    assert!(hub.events("appeared").iter().all(|event| event["path"] != "shared/notes.txt"));

    // Another name, in another folder: still anna's, with its version.
    fs::rename(hub.path("shared/notes.txt"), hub.path("shared/by hand/renamed.txt")).unwrap();
    hub.event_where("appeared", |event| event["path"] == "shared/by hand/renamed.txt");
    hub.event_where("vanished", |event| event["path"] == "shared/notes.txt");
    let listed = hub.list(&ben, "shared");
    assert!(!listed.contains_key("shared/notes.txt"));
    assert_eq!(listed["shared/by hand/renamed.txt"]["owner"], "anna");
    assert_eq!(hub.versions(&anna, "shared/by hand/renamed.txt").len(), 1);
    anna.write("renamed.txt", "my notes, once more");
    let pushed = anna.run(&["push", "renamed.txt", &hub.at("shared/by hand/")]).done().last();
    assert_eq!(pushed["entries"][0]["outcome"], "replaced", "{pushed}");

    // Other bytes: nobody knows whose they are.
    fs::write(hub.path("shared/by hand/renamed.txt"), "something else altogether").unwrap();
    let item = hub.list(&anna, "shared")["shared/by hand/renamed.txt"].clone();
    assert_eq!((&item["size"], &item["owner"]), (&25.into(), &Value::Null));

    fs::remove_file(hub.path("shared/by hand/dropped.txt")).unwrap();
    assert!(!hub.list(&ben, "shared").contains_key("shared/by hand/dropped.txt"));
    hub.event_where("vanished", |event| event["path"] == "shared/by hand/dropped.txt");
    until("its digest is found", || {
        let item = hub.list(&anna, "shared")["shared/by hand/renamed.txt"].clone();
        item["sha256"].is_string().then_some(())
    });
    hub.verify();
}

#[test]
fn what_was_changed_by_hand_while_the_hub_was_down_is_taken_in_when_it_starts() {
    let mut hub = Hub::start();
    let anna = hub.member("anna");
    for name in ["a", "b", "c"] {
        anna.write(name, name.repeat(10));
        anna.run(&["push", name, &hub.at("shared/")]).done();
    }
    hub.stop().done();
    fs::rename(hub.path("shared/a"), hub.path("shared/a2")).unwrap();
    fs::remove_file(hub.path("shared/b")).unwrap();
    fs::write(hub.path("shared/new"), "new").unwrap();
    fs::create_dir_all(hub.path("beside")).unwrap();
    fs::write(hub.path("beside/not for members"), "x").unwrap();
    hub.restart();
    hub.event_where("appeared", |event| event["path"] == "shared/new");
    hub.event_where("vanished", |event| event["path"] == "shared/b");
    let listed = hub.list(&anna, "shared");
    assert_eq!(listed.keys().collect::<Vec<_>>(), ["shared/a2", "shared/c", "shared/new"]);
    let owners = listed.values().map(|item| item["owner"].clone()).collect::<Vec<_>>();
    assert_eq!(owners, ["anna".into(), "anna".into(), Value::Null]);
    anna.run(&["ls", &hub.at("beside")]).exits(1);
    hub.verify();
}
