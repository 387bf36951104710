//! What members do with what is theirs at a hub, and what they are told of what is not.

use crate::house::hub::Hub;

#[test]
fn whoever_sends_a_tree_with_links_may_remove_it() {
    let hub = Hub::start();
    let (anna, bob) = (hub.member("anna"), hub.member("bob"));
    anna.write("tree/d/file", "text");
    std::os::unix::fs::symlink("d/file", anna.path("tree/link")).unwrap();
    anna.run(&["push", "tree", &hub.at("shared/")]).done();
    assert!(hub.path("shared/tree/link").is_symlink());
    assert_eq!(hub.list(&bob, "shared")["shared/tree/link"]["owner"], "anna");
    bob.run(&["rm", &hub.at("shared/tree/link")]).exits(10);
    anna.run(&["rm", "-r", &hub.at("shared/tree")]).done();
    assert!(!hub.path("shared/tree").exists());
    anna.run(&["restore", &hub.at("shared/tree")]).done();
    assert_eq!(std::fs::read(hub.path("shared/tree/link")).unwrap(), b"text");
}

#[test]
fn a_full_space_does_not_tell_how_much_others_have_in_it_where_that_is_private() {
    let hub = Hub::start();
    let (anna, bob) = (hub.member("anna"), hub.member("bob"));
    for (space, kind) in [("essays", "drop"), ("open", "open")] {
        hub.manage(&["spaces", "add", space, "--kind", kind, "--quota", "100K"]).done();
        anna.write("mine", vec![1; 33 * 1024]);
        anna.run(&["push", "mine", &hub.at(space)]).done();
        bob.write("large", vec![2; 90 * 1024]);
        let told = bob.run(&["push", "large", &hub.at(space)]).exits(10).failure();
        assert!(told.contains("90 KiB") && told.contains("100 KiB"), "{told}");
        // What is left says what there is.
        assert_eq!(told.contains("67 KiB"), space == "open", "{told}");
    }
}
