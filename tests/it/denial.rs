//! A node under attack by one machine after another: an honest transfer comes to its end, memory stays
//! bounded, and nothing of the attack is left.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ftx::base::manifest::{Entry, EntryKind, Have};
use ftx::base::path::RelPath;
use ftx::link::key::Key;
use ftx::wire::message::{Receiving, Request, Sending};
use socket2::{Domain, Socket, Type};

use crate::house::home::{Home, Node};
use crate::house::hostile::Hostile;
use crate::house::terminal::Terminal;
use crate::house::{noise, until};

/// The most memory that a node may take, in KiB.
const MEMORY: u64 = 64 << 10;

/// Where attackers are: not where the honest peer is.
fn attacker(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, n)
}

/// A connection from an address of this machine; `None` where it is refused.
fn connect(from: Ipv4Addr, port: u16) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).ok()?;
    Some(socket)
}

/// What attacks a node until it is dropped.
struct Attack {
    over: Arc<AtomicBool>,
    /// How often something was done.
    deeds: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Attack {
    /// Does something again and again; waits until it is under way.
    fn of(mut deed: impl FnMut(usize) + Send + 'static) -> Self {
        let (over, deeds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ends, done) = (over.clone(), deeds.clone());
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                deed(done.fetch_add(1, Ordering::Relaxed));
            }
        });
        let attack = Self { over, deeds, thread: Some(thread) };
        until("the attack is under way", || (attack.deeds.load(Ordering::Relaxed) > 700).then_some(()));
        attack
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || std::thread::panicking(), "the attacker panicked");
    }
}

/// A number in a file of a process.
fn status(node: &Node, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors(node: &Node) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", node.id())).unwrap().count()
}

/// Processor time that a node has used, in ticks.
fn ticks(node: &Node) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", node.id())).unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// An honest push comes to its end.
fn honest(home: &Home, node: &Node, name: &str, bytes: usize) {
    let bob = Home::new("bob");
    bob.write(name, noise(1, bytes));
    bob.run(&["push", name, &node.at()]).done();
    assert!(home.read(&format!("inbox/{name}")) == noise(1, bytes));
}

/// That a node is as it was before: idle, with as many descriptors, and there for others.
fn recovers(home: &Home, node: &Node, before: usize) {
    // The program's own file does not count: an unoptimised one has tens of MiB, and the system takes back
    // what it needs of it.
    let memory = status(node, "VmHWM").saturating_sub(status(node, "RssFile"));
    eprintln!("{memory} KiB at the most");
    assert!(memory < MEMORY, "{memory} KiB");
    // But for a few that its announcement opens and closes as it likes.
    until("its descriptors are back", || (descriptors(node) <= before + 4).then_some(()));
    until("it is idle", || {
        let used = ticks(node);
        std::thread::sleep(Duration::from_millis(500));
        (ticks(node) == used).then_some(())
    });
    honest(home, node, "after", 100_000);
}

#[test]
fn a_flood_of_connections_and_of_half_open_handshakes_keeps_nobody_out() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    honest(&alice, &node, "first", 1000);
    let (before, port) = (descriptors(&node), node.port());
    let mut held = std::collections::VecDeque::new();
    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 100]].concat();
    let flood = Attack::of(move |n| {
        // Some look and go, some say nothing, some begin a handshake, some something else.
        if let Some(mut one) = connect(attacker(1 + (n % 3) as u8), port)
            && n % 4 > 0
        {
            let said: &[u8] = match n % 4 {
                1 => b"",
                2 => &hello,
                _ => b"GET / HTTP/1.1\r\n\r\n",
            };
            let _ = one.write_all(said);
            held.push_back(one);
        }
        if held.len() > 400 {
            held.pop_front();
        }
        std::thread::sleep(Duration::from_micros(700));
    });
    honest(&alice, &node, "during", 32 << 20);
    drop(flood);
    recovers(&alice, &node, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_and_writers_take_little_and_keep_nobody_out() {
    let alice = Home::new("alice");
    alice.write("notes/big", noise(2, 8 << 20));
    let node = alice.up(&["--accept", "all", "--share", "notes", "--share-with", "all"]);
    let (alice, node) = tokio::task::block_in_place(move || {
        honest(&alice, &node, "first", 1000);
        (alice, node)
    });
    let before = descriptors(&node);
    let pull = Request::Pull(vec![RelPath::parse("notes/big").unwrap()]);
    let mut slow = Vec::new();
    // They fetch, and do not read.
    for n in 0..60 {
        let from = attacker(1 + n % 12);
        let mut peer = Hostile::dial_from(from, Arc::new(Key::generate().unwrap()), node.port()).await.unwrap();
        peer.greet().await;
        peer.want(pull.clone()).await;
        peer.say(&Receiving::Accept).await;
        peer.say(&Receiving::Have(vec![Have::Nothing])).await;
        slow.push(peer);
    }
    // They offer, and send byte by byte.
    for n in 0..60 {
        let from = attacker(1 + n % 12);
        let mut peer = Hostile::dial_from(from, Arc::new(Key::generate().unwrap()), node.port()).await.unwrap();
        peer.greet().await;
        peer.want(Request::Push).await;
        peer.raw(&[0, 0, 1]).await;
        slow.push(peer);
    }
    let (alice, node) = tokio::task::spawn_blocking(move || {
        honest(&alice, &node, "during", 32 << 20);
        (alice, node)
    })
    .await
    .unwrap();
    drop(slow);
    tokio::task::spawn_blocking(move || recovers(&alice, &node, before)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_and_one_machine_have_so_many_connections_and_lanes_count() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let key = Arc::new(Key::generate().unwrap());
    let mut held = Vec::new();
    let lost = loop {
        let mut peer = match Hostile::dial_from(attacker(1), key.clone(), node.port()).await {
            Some(peer) => peer,
            None => break true,
        };
        peer.say(&peer.hello()).await;
        if peer.hear::<ftx::wire::hello::Hello>().await.is_none() {
            break false;
        }
        peer.want(Request::Push).await;
        peer.say(&Sending::Offer { transfer: ftx::base::id::TransferId::new(), set: [held.len() as u8; 32] }).await;
        held.push(peer);
    };
    assert!((64..=128).contains(&held.len()), "{} ({lost})", held.len());
    // Others are served all the same.
    tokio::task::spawn_blocking(move || honest(&alice, &node, "honest", 1000)).await.unwrap();
}

/// A page of an offer, with names as long as they may be.
fn page(n: usize) -> Sending {
    let entry = |m: usize| Entry {
        path: RelPath::parse(&format!("{}/{n}-{m}", "d".repeat(200))).unwrap(),
        kind: EntryKind::FOLDER,
    };
    Sending::Page((0..180).map(entry).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_of_strangers_that_wait_take_little_memory_and_small_ones_still_find_room() {
    let alice = Home::new("alice");
    let terminal = Terminal::start(alice.command(&["up", "--port", "0", "--dir", "inbox"]));
    let screen = tokio::task::block_in_place(|| terminal.shows("  receives  "));
    let port = screen.split("port ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let mut refused = 0;
    let mut held = Vec::new();
    for n in 1..=24 {
        let mut peer = Hostile::dial_from(attacker(n), Arc::new(Key::generate().unwrap()), port).await.unwrap();
        peer.greet().await;
        peer.want(Request::Push).await;
        peer.say(&Sending::Offer { transfer: ftx::base::id::TransferId::new(), set: [n; 32] }).await;
        // 16 MiB.
        for page in (0..360).map(page) {
            peer.say(&page).await;
        }
        refused += loop {
            match peer.hear().await {
                Some(Receiving::KeepAlive) => {}
                Some(Receiving::Decline { .. }) => break 1,
                _ => break 0,
            }
        };
        held.push(peer);
    }
    assert_eq!(refused, 24, "no stranger may offer as much");
    let memory = std::fs::read_to_string(format!("/proc/{}/status", terminal.id())).unwrap();
    let memory = memory.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let memory: u64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(memory < MEMORY, "{memory} KiB");
    // One stranger's few files are asked about.
    let bob = Home::new("bob");
    bob.write("handful", "f");
    let pushing = bob.start(&["push", "handful", &format!("[127.0.0.1:{port}]")]);
    let mut terminal = terminal;
    tokio::task::block_in_place(|| {
        terminal.shows("handful");
        terminal.types("y");
        pushing.end().done();
    });
    assert_eq!(alice.read("inbox/handful"), b"f");
}

#[test]
fn packets_without_number_at_the_port_of_the_probe_are_no_trouble() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    honest(&alice, &node, "first", 1000);
    let (before, port) = (descriptors(&node), node.port());
    let sockets: Vec<UdpSocket> = (1..9).map(|n| UdpSocket::bind((attacker(n), 0)).unwrap()).collect();
    let bytes = noise(3, 1 << 16);
    let mut probe = [0; 384];
    probe[..5].copy_from_slice(b"ftx?\x01");
    let flood = Attack::of(move |n| {
        for (m, socket) in sockets.iter().enumerate() {
            let at = (n * 7919 + m * 311) % (1 << 15);
            let packet = if m == 7 { &probe[..] } else { &bytes[at..at + at % 1400] };
            let _ = socket.send_to(packet, (Ipv4Addr::LOCALHOST, port));
        }
        std::thread::sleep(Duration::from_micros(200));
    });
    honest(&alice, &node, "during", 8 << 20);
    until("a hundred thousand packets were sent", || (flood.deeds.load(Ordering::Relaxed) > 12_500).then_some(()));
    drop(flood);
    recovers(&alice, &node, before);
    // It answers who asks.
    let asking = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    asking.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    until("a probe is answered", || {
        asking.send_to(&probe, (Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut answer = [0; 500];
        asking.recv(&mut answer).ok().filter(|_| answer.starts_with(b"ftx!"))
    });
}
