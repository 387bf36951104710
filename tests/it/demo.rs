//! The demonstration shows what it says.

use crate::house::home::Home;
use crate::house::process::Process;

#[test]
fn the_demo_does_every_step_and_ends_well() {
    let home = Home::new("demo");
    let mut command = std::process::Command::new(crate::house::home::PROGRAM);
    home.dress(&mut command);
    command.args(["demo", "--json"]);
    let ran = Process::start(command).end().done();
    let objects = ran.objects();
    assert_eq!(objects.iter().filter(|object| object["event"] == "step").count(), 6, "{}", ran.out);
    assert_eq!(ran.last()["ok"], true);
    assert!(home.tree("").is_empty(), "it left something in this home: {:?}", home.tree(""));
}
