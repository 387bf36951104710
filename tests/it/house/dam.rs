//! A relay that lets some bytes through and swallows the rest: a transfer stays in its middle for
//! as long as a test wants.

use std::io::Read;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;

/// A relay for one connection.
pub(crate) struct Dam {
    port: u16,
    dialled: mpsc::Receiver<()>,
}

impl Dam {
    /// Relays one connection to `port` on this machine: everything that comes back, but only the
    /// first `bytes` that go there. The connection stays open until either side closes it.
    pub(crate) fn before(port: u16, bytes: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let (tell, dialled) = mpsc::channel();
        std::thread::spawn(move || {
            let (near, _) = listener.accept().unwrap();
            let _ = tell.send(());
            let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
            let (near_again, far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || relay(far_again, near_again, u64::MAX));
            relay(near, far, bytes);
        });
        Self { port: own, dialled }
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

fn relay(mut from: TcpStream, mut to: TcpStream, limit: u64) {
    let _ = std::io::copy(&mut Read::by_ref(&mut from).take(limit), &mut to);
    // What comes now is swallowed: only its end is passed on.
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
