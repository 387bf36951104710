//! What a node lives through: nonsense on its port, and either side killed in the middle.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::house::dam::Dam;
use crate::house::home::Home;
use crate::house::{noise, until};

/// Size of what is sent in these tests.
const SIZE: usize = 24 << 20;

/// How much of it gets through.
const THROUGH: u64 = 10 << 20;

/// Bytes that wait in the staging of this home's inbox; `None` where there is none.
pub(crate) fn staged(home: &Home) -> Option<u64> {
    let data =
        home.tree("inbox").into_iter().filter(|path| path.starts_with(".ftx-partial/") && path.contains("/data/"));
    let sizes = data.filter_map(|path| std::fs::metadata(home.path("inbox").join(path)).ok());
    Some(sizes.filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()).filter(|sum| *sum > 0)
}

/// What starts a TLS handshake, without the rest of it.
fn half_a_client_hello() -> Vec<u8> {
    let mut bytes = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    bytes.extend(noise(9, 32));
    bytes
}

#[test]
fn nonsense_on_the_port_disturbs_no_transfer_and_is_told_once() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let dial = || TcpStream::connect((Ipv4Addr::LOCALHOST, node.port())).unwrap();
    let say = |bytes: &[u8]| {
        let mut stream = dial();
        stream.write_all(bytes).unwrap();
        stream
    };
    let garbage = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), noise(1, 5000), vec![0; 100], b"SSH-2.0-x\r\n".to_vec()];
    let silent: Vec<TcpStream> = (0..8).flat_map(|_| [dial(), say(&half_a_client_hello())]).collect();
    for bytes in &garbage {
        // Closed by the node, whatever it was; a reset is an end, too.
        let mut stream = say(bytes);
        stream.set_read_timeout(Some(crate::house::PATIENCE)).unwrap();
        let read = stream.read_to_end(&mut Vec::new());
        let timed_out = read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "the node keeps a connection that says {:?}", &bytes[..8]);
    }
    bob.write("a", noise(2, 3 << 20));
    bob.run(&["push", "a", &node.at()]).done();
    assert!(alice.read("inbox/a") == noise(2, 3 << 20));
    let closed = node.event("closed");
    assert!(closed["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{closed}");
    assert!(!closed["reason"].as_str().unwrap().is_empty());
    assert_eq!(node.events("closed").len(), 1, "told once for each address");
    drop(silent);
}

#[test]
fn a_killed_sender_leaves_nothing_under_the_final_name_and_goes_on_where_it_was() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let bytes = noise(3, SIZE);
    bob.write("big", &bytes);
    let dam = Dam::before(node.port(), THROUGH);
    let pushing = bob.start(&["push", "big", &dam.at()]);
    until("half of it is staged", || staged(&alice).filter(|bytes| *bytes > THROUGH / 2));
    pushing.kill();
    assert_eq!(node.event("failed")["kind"], "lost");
    assert!(!alice.path("inbox/big").exists());

    let pushed = bob.run(&["push", "big", &node.at()]).done().last();
    assert!(alice.read("inbox/big") == bytes);
    let moved = pushed["bytes_moved"].as_u64().unwrap();
    assert!(moved > 0 && moved < (SIZE as u64) - THROUGH / 4, "{moved} of {SIZE} were sent again");
    assert_eq!(alice.tree("inbox"), ["big"], "the staging is gone");
}

#[test]
fn a_killed_receiver_leaves_nothing_under_the_final_name_and_goes_on_where_it_was() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let bytes = noise(4, SIZE);
    bob.write("tree/big", &bytes);
    bob.write("tree/small", "s");
    let dam = Dam::before(node.port(), THROUGH);
    let pushing = bob.start(&["push", "tree", &dam.at(), "--retry", "0"]);
    until("half of it is staged", || staged(&alice).filter(|bytes| *bytes > THROUGH / 2));
    node.process().kill();
    let ran = pushing.end().exits(4);
    assert!(ran.failure().contains("type the same again"));
    assert!(ran.tells_no_result(), "{}", ran.out);
    assert!(!alice.path("inbox/tree").exists());

    let node = alice.up_for_all();
    let pushed = bob.run(&["push", "tree", &node.at()]).done().last();
    assert!(alice.read("inbox/tree/big") == bytes);
    assert_eq!(alice.read("inbox/tree/small"), b"s");
    let moved = pushed["bytes_moved"].as_u64().unwrap();
    assert!(moved > 0 && moved < (SIZE as u64) - THROUGH / 4, "{moved} of {SIZE} were sent again");
    assert_eq!(alice.tree("inbox"), ["tree/", "tree/big", "tree/small"], "the staging is gone");
}

#[test]
fn a_file_that_changed_since_is_not_mixed_with_what_was_kept() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("big", noise(5, SIZE));
    let dam = Dam::before(node.port(), THROUGH);
    let pushing = bob.start(&["push", "big", &dam.at()]);
    until("half of it is staged", || staged(&alice).filter(|bytes| *bytes > THROUGH / 2));
    pushing.kill();
    node.event("failed");
    let path = bob.write("big", noise(6, SIZE));
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(100);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
    let previewed = bob.run(&["push", "big", &node.at(), "--dry-run"]).done();
    assert_eq!(previewed.last()["bytes"], SIZE, "{previewed:?}");
    let pushed = bob.run(&["push", "big", &node.at()]).done().last();
    assert!(alice.read("inbox/big") == noise(6, SIZE));
    let told = serde_json::json!(["big has changed since the last try: all of it was sent again"]);
    assert_eq!((&pushed["notes"], &pushed["bytes_moved"]), (&told, &SIZE.into()), "{pushed}");
    assert_eq!(node.event("received")["notes"], told, "the receiver is told, too");
}

#[test]
fn somebody_else_cannot_go_on_with_what_was_kept() {
    let (bob, mallory, alice) = (Home::new("bob"), Home::new("mallory"), Home::new("alice"));
    let node = alice.up_for_all();
    let bytes = noise(7, SIZE);
    let time = std::time::SystemTime::now();
    for home in [&bob, &mallory] {
        let path = home.write("big", &bytes);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    let dam = Dam::before(node.port(), THROUGH);
    let pushing = bob.start(&["push", "big", &dam.at()]);
    until("half of it is staged", || staged(&alice).filter(|bytes| *bytes > THROUGH / 2));
    pushing.kill();
    node.event("failed");
    let pushed = mallory.run(&["push", "big", &node.at()]).done().last();
    assert_eq!(pushed["bytes_moved"], SIZE, "what bob left is not mallory's to learn about");
}
