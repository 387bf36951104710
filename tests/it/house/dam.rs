//! A relay that lets some bytes through and swallows the rest, or holds it back: a transfer stays in
//! its middle for as long as a test wants.

use std::io::Read;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;

/// A relay for one connection.
pub(crate) struct Dam {
    port: u16,
    dialled: mpsc::Receiver<()>,
    gate: mpsc::Sender<()>,
}

/// What becomes of bytes beyond those that are let through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Swallowed,
    /// They go on once the gate is opened.
    Held,
}

impl Dam {
    /// Relays one connection to `port` on this machine: everything that comes back, but only the
    /// first `bytes` that go there. The connection stays open until either side closes it.
    pub(crate) fn before(port: u16, bytes: u64) -> Self {
        Self::new(port, bytes, Rest::Swallowed)
    }

    /// The same, but the rest waits until the dam is opened.
    #[cfg(target_os = "linux")]
    pub(crate) fn with_gate(port: u16, bytes: u64) -> Self {
        Self::new(port, bytes, Rest::Held)
    }

    /// Lets everything through from now on.
    #[cfg(target_os = "linux")]
    pub(crate) fn open(&self) {
        self.gate.send(()).expect("the relay waits");
    }

    fn new(port: u16, bytes: u64, rest: Rest) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let (tell, dialled) = mpsc::channel();
        let (gate, opened) = mpsc::channel();
        std::thread::spawn(move || {
            let (near, _) = listener.accept().unwrap();
            let _ = tell.send(());
            let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
            let (near_again, far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || relay(far_again, near_again, u64::MAX, None));
            relay(near, far, bytes, (rest == Rest::Held).then_some(opened));
        });
        Self { port: own, dialled, gate }
    }

    /// Waits until somebody has dialled.
    #[cfg(unix)]
    pub(crate) fn is_dialled(&self) {
        self.dialled.recv_timeout(super::PATIENCE).expect("somebody dials");
    }

    /// Where to dial, as it is typed.
    pub(crate) fn at(&self) -> String {
        format!("[127.0.0.1:{}]", self.port)
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, limit: u64, gate: Option<mpsc::Receiver<()>>) {
    let _ = std::io::copy(&mut Read::by_ref(&mut from).take(limit), &mut to);
    if gate.is_some_and(|gate| gate.recv().is_ok()) {
        let _ = std::io::copy(&mut from, &mut to);
    }
    // What comes now is swallowed: only its end is passed on.
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
