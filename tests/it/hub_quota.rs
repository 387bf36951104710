//! How much may be kept at a hub: told with the numbers before the first byte moves.

use std::fs;

use crate::house::home::Home;
use crate::house::hub::Hub;
use crate::house::noise;
use crate::house::process::Process;

const MIB: usize = 1 << 20;

/// A push that is refused before anything moves; what is told.
#[track_caller]
fn refused(hub: &Hub, home: &Home, name: &str, to: &str) -> String {
    let ran = home.run(&["push", name, &hub.at(to)]).exits(10);
    assert!(ran.objects().iter().all(|object| object["bytes_moved"].as_u64().unwrap_or(0) == 0), "{ran:?}");
    assert!(!hub.path(".ftx/.ftx-partial").exists(), "nothing is staged");
    let told = ran.failure();
    let is = |event: &serde_json::Value| event["verb"] == "push" && told.contains(event["error"].as_str().unwrap());
    let logged = hub.event_where("refused", is);
    assert_eq!(logged["account"], "anna", "{logged}");
    told
}

/// A push of standard input that comes to more than is left.
#[track_caller]
fn cut_off(hub: &Hub, home: &Home, name: &str, to: &str) {
    let mut command = home.command(&["push", "-", "--as", name, &hub.at(to)]);
    command.arg("--json");
    let told = Process::start_with_input(command, &noise(7, 4 * MIB)).end().exits(10).failure();
    assert!(told.contains("MiB") || told.contains("room") || told.contains("more"), "{told}");
    assert!(!hub.path(to).join(name).exists());
}

#[test]
fn an_accounts_limit_holds_for_all_that_is_its_own() {
    let hub = Hub::start();
    let anna = hub.member("anna");
    for (name, size) in [("two", 2), ("three", 3)] {
        anna.write(name, noise(1, size * MIB));
    }
    hub.manage(&["accounts", "quota", "anna", "4M"]).done();
    anna.run(&["push", "two", &hub.at("shared/")]).done();
    let told = refused(&hub, &anna, "three", "people/anna/");
    assert!(told.contains("3 MiB more are needed, 2 MiB of 4 MiB are left to the account anna"), "{told}");
    cut_off(&hub, &anna, "stream", "shared");
    // What gives way counts no more.
    let bytes = noise(2, 4 * MIB);
    anna.write("two", &bytes);
    anna.run(&["push", "two", &hub.at("shared/")]).done();
    assert!(fs::read(hub.path("shared/two")).unwrap() == bytes);
    // The same again needs nothing.
    anna.run(&["push", "two", &hub.at("shared/")]).done();
    anna.run(&["rm", &hub.at("shared/two")]).done();
    anna.run(&["push", "three", &hub.at("people/anna/")]).done();
    let told = anna.run(&["restore", &hub.at("shared/two")]).exits(10).failure();
    assert!(told.contains("1 MiB of 4 MiB are left"), "{told}");
    // A limit of its own goes before the limit of all.
    hub.manage(&["settings", "--account-quota", "1M"]).done();
    anna.write("half", noise(3, MIB / 2));
    anna.run(&["push", "half", &hub.at("shared/")]).done();
}

#[test]
fn a_spaces_limit_the_longest_file_and_what_the_disk_keeps_free_hold_for_all() {
    let hub = Hub::start();
    let anna = hub.member("anna");
    anna.write("two", noise(1, 2 * MIB));
    anna.write("tree/one", noise(2, MIB));
    anna.write("tree/two", noise(3, 2 * MIB));
    hub.manage(&["spaces", "add", "essays", "--kind", "drop", "--quota", "3M"]).done();
    anna.run(&["push", "two", &hub.at("essays/")]).done();
    let told = refused(&hub, &anna, "tree", "essays/");
    assert!(told.contains("3 MiB more are needed, and fewer of 3 MiB are left to the space essays"), "{told}");
    cut_off(&hub, &anna, "stream", "essays/anna");
    // A move takes room, too.
    anna.run(&["push", "tree", &hub.at("shared/")]).done();
    let told = anna.run(&["mv", &hub.at("shared/tree"), &hub.at("essays/anna/tree")]).exits(10).failure();
    assert!(told.contains("fewer of 3 MiB are left to the space essays"), "{told}");
    assert!(hub.path("shared/tree/two").exists());

    hub.manage(&["settings", "--largest-file", "1M"]).done();
    let told = refused(&hub, &anna, "two", "shared/");
    assert!(told.contains("a file of 2 MiB is too long: 1 MiB is the most"), "{told}");
    cut_off(&hub, &anna, "stream", "shared");
    hub.manage(&["settings", "--largest-file", "none", "--reserve", "1000T"]).done();
    let told = refused(&hub, &anna, "two", "shared/");
    assert!(told.contains("2 MiB more are needed, 0 B are left on the disk there"), "{told}");
}
