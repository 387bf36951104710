//! A node takes as many descriptors as it may need, whatever is usual for whoever starts it.

use std::process::Command;

use crate::house::home::{Home, Node, PROGRAM};
use crate::house::process::Process;

#[test]
fn a_node_is_not_held_to_the_few_descriptors_that_are_usual() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let typed = alice.command(&["up", "--port", "0", "--dir", "inbox", "--accept", "all", "--json"]);
    let mut command = Command::new("/bin/sh");
    // Fewer than it has open when nobody asks anything of it.
    command.args(["-c", "ulimit -S -n 20 && exec \"$0\" \"$@\"", PROGRAM]).args(typed.get_args());
    alice.dress(&mut command);
    let node = Node::new(Process::start(command));
    bob.write("a", "a");
    bob.run(&["push", "a", &node.at()]).done();
    assert_eq!(alice.tree("inbox"), ["a"]);
}
