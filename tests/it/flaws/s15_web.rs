//! There is no web page: a browser gets nothing from any port of ftx.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::house::PATIENCE;
use crate::house::home::Home;

/// Everything that a port answers to a request of a browser.
fn asked(port: u16, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A reset is as good an end as any.
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the connection is kept"),
        _ => answer,
    }
}

fn gives_nothing(port: u16) {
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /secret HTTP/1.0\r\n\r\n",
        "POST /api/localsend/v2/prepare-upload HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = asked(port, request);
        // At most an alert of TLS: type 21, version 3.x, two bytes.
        let is_alert = matches!(answer.as_slice(), [] | [21, 3, _, 0, 2, _, _]);
        assert!(is_alert, "{request:?}: {}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn s15_localsend_a_browser_gets_nothing_from_a_node() {
    let alice = Home::new("alice");
    alice.write("notes/secret", "s");
    let node = alice.up(&["--accept", "all", "--share", "notes", "--share-with", "all"]);
    gives_nothing(node.port());
}

#[cfg(unix)]
#[test]
fn s15_localsend_a_browser_gets_nothing_from_a_hub() {
    let hub = crate::house::hub::Hub::start();
    gives_nothing(u16::try_from(hub.port()).unwrap());
}
