//! A proxy between two nodes that does to their bytes what bad lines, and worse, do.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// How long a line on which something happened may be silent, both ways, before it is cut: what
/// was lost leaves both sides waiting, and their own patience is tried elsewhere.
const SILENCE: Duration = Duration::from_secs(2);

/// How long a second segment is waited for, to be put before the first.
const NEXT_SEGMENT: Duration = Duration::from_millis(200);

/// Bytes that the system takes for us on lines that are held; it may double them.
const BUFFERED: usize = 64 * 1024;

/// Which way bytes go: to the node that was dialled, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    There,
    Back,
}

/// What happens on a line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mishap {
    /// It ends, in good order, both ways.
    Cut,
    /// It is reset, both ways.
    Reset,
    /// It ends this way only.
    Truncated,
    /// Nothing is carried any more, either way, and nobody is told.
    Dead,
    /// One bit becomes another.
    Flipped { bit: u8 },
    /// A segment of at most so many bytes comes twice.
    Twice { most: usize },
    /// Two segments change places.
    Swapped { most: usize },
    /// A segment never comes.
    Lost { most: usize },
    /// Everything from here on comes later.
    Late { by: Duration },
    /// Nothing more is taken until the proxy is opened.
    Held,
    /// No more than this is carried a second, until the proxy is opened.
    Slow { kib: u32 },
    /// It ends for the side that dialled, and stays open and silent for the other.
    Deserted,
}

/// A mishap to one connection: which way, and after how many bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trouble {
    pub(crate) way: Way,
    pub(crate) after: u64,
    pub(crate) what: Mishap,
}

/// A proxy for as many connections as come.
pub(crate) struct Proxy {
    port: u16,
    tally: Arc<Tally>,
}

/// What all lines of a proxy count, and what those that are held wait for.
#[derive(Default)]
struct Tally {
    there: AtomicU64,
    back: AtomicU64,
    lines: AtomicU32,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Proxy {
    /// Relays to `port` on this machine. The first connections have these troubles, one each; all
    /// later ones have none.
    pub(crate) fn to(port: u16, troubles: Vec<Trouble>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let held = troubles.iter().any(|trouble| matches!(trouble.what, Mishap::Held | Mishap::Slow { .. }));
        let little = move |socket: SockRef<'_>| {
            if held {
                // A sender is not to be through with all of it because the system takes it for us.
                socket.set_recv_buffer_size(BUFFERED).unwrap();
            }
        };
        little(SockRef::from(&listener));
        let mut troubles = troubles.into_iter();
        let tally = Arc::<Tally>::default();
        let counted = tally.clone();
        std::thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                little(SockRef::from(&far));
                counted.lines.fetch_add(1, Ordering::AcqRel);
                Line::between(near, far, troubles.next(), &counted);
            }
        });
        Self { port: own, tally }
    }

    /// How many connections it has relayed.
    pub(crate) fn lines(&self) -> u32 {
        self.tally.lines.load(Ordering::Acquire)
    }

    /// How many bytes have come to be carried one way, over all connections.
    pub(crate) fn bytes(&self, way: Way) -> u64 {
        self.tally.of(way).load(Ordering::Acquire)
    }

    /// Lets what is held go on.
    pub(crate) fn open(&self) {
        *self.tally.open.lock().unwrap() = true;
        self.tally.opened.notify_all();
    }

    /// Where to dial, as it is typed.
    pub(crate) fn at(&self) -> String {
        format!("[127.0.0.1:{}]", self.port)
    }
}

impl Tally {
    fn of(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::There => &self.there,
            Way::Back => &self.back,
        }
    }

    /// Says whether the proxy was opened in that time.
    fn wait_until_open(&self, most: Duration) -> bool {
        let open = self.open.lock().unwrap();
        *self.opened.wait_timeout_while(open, most, |open| !*open).unwrap().0
    }
}

/// One way of one connection.
struct Line {
    way: Way,
    tally: Arc<Tally>,
    from: TcpStream,
    to: TcpStream,
    both: Arc<Both>,
}

/// What both ways of a connection share.
struct Both {
    /// When something last came, whichever way.
    heard: Mutex<Instant>,
    /// Whether it ends without a good-bye.
    reset: AtomicBool,
    /// Whether what comes is swallowed.
    dead: AtomicBool,
}

impl Line {
    /// Relays both ways until both have ended.
    fn between(near: TcpStream, far: TcpStream, trouble: Option<Trouble>, tally: &Arc<Tally>) {
        let both = Arc::new(Both {
            heard: Mutex::new(Instant::now()),
            reset: AtomicBool::new(false),
            dead: AtomicBool::new(false),
        });
        for way in [Way::There, Way::Back] {
            let (near, far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let (from, to) = if way == Way::There { (near, far) } else { (far, near) };
            let line = Self { way, tally: tally.clone(), from, to, both: both.clone() };
            let trouble = trouble.filter(|trouble| trouble.way == way);
            // A line that fails is one that ends.
            std::thread::spawn(move || line.carry(trouble).or_else(|_| line.close(Shutdown::Both)));
        }
    }

    fn carry(&self, trouble: Option<Trouble>) -> io::Result<()> {
        let Some(Trouble { after, what, .. }) = trouble else { return self.carry_bytes(u64::MAX) };
        self.carry_bytes(after)?;
        match what {
            Mishap::Cut => return self.close(Shutdown::Both),
            Mishap::Reset => return self.reset(),
            Mishap::Truncated => {
                self.to.shutdown(Shutdown::Write)?;
                return io::copy(&mut &self.from, &mut io::sink()).map(drop);
            }
            Mishap::Dead => {
                self.both.dead.store(true, Ordering::Release);
                return io::copy(&mut &self.from, &mut io::sink()).map(drop);
            }
            Mishap::Flipped { bit } => {
                let mut byte = self.segment(1)?;
                byte.iter_mut().for_each(|byte| *byte ^= 1 << bit);
                self.pass(&byte)?;
            }
            Mishap::Twice { most } => {
                let segment = self.segment(most)?;
                self.pass(&segment)?;
                self.pass(&segment)?;
            }
            Mishap::Swapped { most } => {
                let first = self.segment(most)?;
                self.from.set_read_timeout(Some(NEXT_SEGMENT))?;
                let second = self.segment(most).unwrap_or_default();
                self.pass(&second)?;
                self.pass(&first)?;
            }
            Mishap::Lost { most } => drop(self.segment(most)?),
            Mishap::Late { by } => std::thread::sleep(by),
            Mishap::Deserted => {
                self.both.dead.store(true, Ordering::Release);
                let near = if self.way == Way::There { &self.from } else { &self.to };
                return near.shutdown(Shutdown::Both);
            }
            Mishap::Held => {
                self.tally.wait_until_open(super::PATIENCE);
                return self.carry_bytes(u64::MAX);
            }
            Mishap::Slow { kib } => {
                while !self.tally.wait_until_open(Duration::from_secs(1) * 16 / kib) {
                    self.carry_bytes(16 * 1024)?;
                }
                return self.carry_bytes(u64::MAX);
            }
        }
        self.carry_while_alive()
    }

    /// Carries so many bytes, or all until the end.
    fn carry_bytes(&self, most: u64) -> io::Result<()> {
        let mut left = most;
        while left > 0 {
            let segment = self.segment(left.min(64 * 1024) as usize)?;
            if segment.is_empty() {
                return self.close(Shutdown::Write);
            }
            left -= segment.len() as u64;
            self.pass(&segment)?;
        }
        Ok(())
    }

    /// Carries what is left until the end, or until nothing has come for too long.
    fn carry_while_alive(&self) -> io::Result<()> {
        self.from.set_read_timeout(Some(SILENCE))?;
        loop {
            match self.segment(64 * 1024) {
                Ok(segment) if segment.is_empty() => return self.close(Shutdown::Write),
                Ok(segment) => self.pass(&segment)?,
                Err(_) if self.both.heard.lock().unwrap().elapsed() < SILENCE => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What comes next, at most so many bytes; nothing at the end.
    fn segment(&self, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let read = (&self.from).read(&mut bytes)?;
        bytes.truncate(read);
        self.tally.of(self.way).fetch_add(read as u64, Ordering::AcqRel);
        *self.both.heard.lock().unwrap() = Instant::now();
        Ok(bytes)
    }

    fn pass(&self, bytes: &[u8]) -> io::Result<()> {
        if self.both.dead.load(Ordering::Acquire) {
            return Ok(());
        }
        (&self.to).write_all(bytes)
    }

    /// Has both sockets reset as soon as both ways have let go of them.
    fn reset(&self) -> io::Result<()> {
        self.both.reset.store(true, Ordering::Release);
        for end in [&self.from, &self.to] {
            SockRef::from(end).set_linger(Some(Duration::ZERO))?;
            end.shutdown(Shutdown::Read)?;
        }
        Ok(())
    }

    /// Ends what goes on from here, or both ways at once.
    fn close(&self, how: Shutdown) -> io::Result<()> {
        if self.both.reset.load(Ordering::Acquire) || self.both.dead.load(Ordering::Acquire) {
            return Ok(());
        }
        if how == Shutdown::Both {
            let _ = self.from.shutdown(how);
        }
        self.to.shutdown(how)
    }
}
