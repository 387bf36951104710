//! A relay that holds back what comes until it is opened: what happens meanwhile happens in the
//! middle of a transfer.

use std::io::Read;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;

use socket2::SockRef;

/// Bytes that the system takes for us while nothing is relayed; it may double them.
const BUFFERED: usize = 64 * 1024;

/// A relay for one connection.
pub(crate) struct Sluice {
    port: u16,
    filled: mpsc::Receiver<()>,
    open: mpsc::Sender<()>,
}

impl Sluice {
    /// Relays one connection to `port` on this machine: everything that comes back, and what goes
    /// there up to so many bytes, then nothing until it is opened.
    pub(crate) fn before(port: u16, bytes: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // Taken over by what is accepted: a sender is not to have sent all of it by then.
        SockRef::from(&listener).set_recv_buffer_size(BUFFERED).unwrap();
        let own = listener.local_addr().unwrap().port();
        let ((tell, filled), (open, opened)) = (mpsc::channel(), mpsc::channel());
        std::thread::spawn(move || {
            let (near, _) = listener.accept().unwrap();
            let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
            let (near_again, far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || relay(&far_again, &near_again));
            let _ = std::io::copy(&mut (&near).take(bytes), &mut &far);
            let _ = tell.send(());
            // Opened, or nobody is there any more to open it.
            let _ = opened.recv();
            relay(&near, &far);
        });
        Self { port: own, filled, open }
    }

    /// Waits until so many bytes have come.
    pub(crate) fn is_full(&self) {
        self.filled.recv_timeout(super::PATIENCE).expect("so much is sent");
    }

    /// Lets everything through from now on.
    pub(crate) fn open(self) {
        let _ = self.open.send(());
    }

    /// Where to dial, as it is typed.
    pub(crate) fn at(&self) -> String {
        format!("[127.0.0.1:{}]", self.port)
    }
}

fn relay(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
