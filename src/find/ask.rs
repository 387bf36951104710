//! Asking by mDNS, on every interface at once.
//!
//! Two kinds of sockets ask the same, and neither may be dropped:
//! - **one-shot**: from an ephemeral port. Nodes answer it by unicast and at once, also a second
//!   time within a second, which multicast answers may not (RFC 6762 §6 and §6.7).
//! - **ear**: bound to port 5353, a member of the groups. It hears the multicast answers, and
//!   announcements and goodbyes. Firewalls that drop answers to one-shot questions (ufw,
//!   firewalld) let these pass.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::{self, Ask};
use super::{Interfaces, Kind, News, Sighting};

pub(super) const PORT: u16 = 5353;
pub(super) const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
pub(super) const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// When the question is asked, in ms: single packets get lost, on Wi-Fi often.
const TIMES: [u64; 6] = [0, 100, 250, 500, 1000, 2000];
/// Most instances that one socket asks for on its own because an answer was incomplete.
const MAX_FOLLOW_UPS: usize = 256;
/// Errors of receiving in a row after which a socket is given up.
const MAX_ERRORS: u32 = 64;
/// Most addresses of one interface that are asked from.
const MAX_PER_INTERFACE: usize = 4;

/// What to ask: `first` the first time, `then` from the second time on.
#[derive(Debug, Clone)]
pub(super) struct Questions {
    kind: Kind,
    first: Option<Vec<u8>>,
    then: Option<Vec<u8>>,
}

impl Questions {
    /// Asks for all of a kind; before that, for the one with this instance name alone.
    pub(super) fn new(kind: Kind, instance: Option<&str>) -> Self {
        let everyone = answer::question(kind, &[Ask::Everyone]);
        let Some(instance) = instance else {
            return Self { kind, first: everyone.clone(), then: everyone };
        };
        let one = Ask::Instance(instance.as_bytes().to_vec());
        // Who has a new name since it was met answers to the pointer only.
        let first = answer::question(kind, std::slice::from_ref(&one));
        Self { kind, first, then: answer::question(kind, &[one, Ask::Everyone]) }
    }
}

/// The sockets that ask, each with its task; dropping it ends them.
pub(super) struct Asking {
    _tasks: JoinSet<()>,
    one_shot: watch::Sender<()>,
    ear: watch::Sender<()>,
}

impl Asking {
    /// Opens what sockets can be opened and asks. An interface that cannot be used is passed over.
    pub(super) fn start(interfaces: &Arc<Interfaces>, questions: &Questions, news: &mpsc::Sender<News>) -> Self {
        let mut tasks = JoinSet::new();
        let (one_shot, one_shot_again) = watch::channel(());
        let (ear, ear_again) = watch::channel(());
        let voices = one_shots(interfaces).into_iter().map(|v| (v, &one_shot_again));
        for (voice, again) in voices.chain(ears(interfaces).into_iter().map(|v| (v, &ear_again))) {
            let (interfaces, questions) = (Arc::clone(interfaces), questions.clone());
            tasks.spawn(voice.run(interfaces, questions, again.clone(), news.clone()));
        }
        Self { _tasks: tasks, one_shot, ear }
    }

    /// Asks again by the one-shot sockets: unicast answers only.
    pub(super) fn again(&self) {
        self.one_shot.send_replace(());
    }

    /// Asks again by all sockets.
    pub(super) fn again_by_all(&self) {
        self.one_shot.send_replace(());
        self.ear.send_replace(());
    }
}

/// A way out of a socket.
#[derive(Debug, Clone, Copy)]
enum Way {
    V4(Ipv4Addr),
    V6(u32),
}

/// A socket and the interfaces that it speaks on.
struct Voice {
    socket: UdpSocket,
    ways: Vec<Way>,
    /// How what it hears is told.
    tell: fn(Sighting) -> News,
}

impl Voice {
    /// Asks at the [`TIMES`] and when told, hears, follows up; ends when nobody listens any more.
    async fn run(
        self,
        interfaces: Arc<Interfaces>,
        questions: Questions,
        mut again: watch::Receiver<()>,
        news: mpsc::Sender<News>,
    ) {
        let start = Instant::now();
        let mut times: VecDeque<Instant> = TIMES.iter().map(|t| start + Duration::from_millis(*t)).collect();
        let mut question = &questions.first;
        let mut followed = HashSet::new();
        let mut buffer = vec![0; answer::MAX_PACKET + 1];
        let mut errors = 0;
        loop {
            let due = times.front().copied();
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or(start)), if due.is_some() => {
                    times.pop_front();
                    self.say(question.as_deref()).await;
                    question = &questions.then;
                }
                told = again.changed() => {
                    if told.is_err() {
                        return;
                    }
                    self.say(questions.then.as_deref()).await;
                }
                got = self.socket.recv_from(&mut buffer) => match got {
                    Ok((length, source)) => {
                        errors = 0;
                        let packet = buffer.get(..length).unwrap_or_default();
                        if self.hear(packet, source, (questions.kind, &interfaces), &news, &mut followed).await.is_err() {
                            return;
                        }
                    }
                    // Windows reports here that an earlier packet reached a closed port.
                    Err(_) if errors < MAX_ERRORS => {
                        errors += 1;
                        sleep(Duration::from_millis(20)).await;
                    }
                    Err(_) => return,
                },
            }
        }
    }

    async fn hear(
        &self,
        packet: &[u8],
        source: SocketAddr,
        (kind, interfaces): (Kind, &Interfaces),
        news: &mpsc::Sender<News>,
        followed: &mut HashSet<Vec<u8>>,
    ) -> Result<(), mpsc::error::SendError<News>> {
        // RFC 6762 §11: nobody but a neighbour has anything to say here.
        if !interfaces.on_link(source.ip()) {
            return Ok(());
        }
        let heard = answer::hear(kind, packet, source);
        for sighting in heard.sightings {
            news.send((self.tell)(sighting)).await?;
        }
        for short in heard.gone {
            news.send(News::Gone(short)).await?;
        }
        let fresh =
            heard.incomplete.into_iter().filter(|i| followed.len() < MAX_FOLLOW_UPS && followed.insert(i.clone()));
        let fresh: Vec<Ask> = fresh.take(16).map(Ask::Instance).collect();
        if !fresh.is_empty() {
            self.say(answer::question(kind, &fresh).as_deref()).await;
        }
        Ok(())
    }

    /// Sends by every way. What cannot be sent is left: other ways and other times remain.
    async fn say(&self, packet: Option<&[u8]>) {
        let Some(packet) = packet else { return };
        for way in &self.ways {
            let socket = SockRef::from(&self.socket);
            let (ready, to) = match *way {
                Way::V4(own) => (socket.set_multicast_if_v4(&own), SocketAddr::from((GROUP_V4, PORT))),
                Way::V6(index) => {
                    (socket.set_multicast_if_v6(index), SocketAddrV6::new(GROUP_V6, PORT, 0, index).into())
                }
            };
            if ready.is_ok() {
                let _ = self.socket.send_to(packet, to).await;
            }
        }
    }
}

fn one_shots(interfaces: &Interfaces) -> Vec<Voice> {
    let mut voices = Vec::new();
    for interface in interfaces.iter() {
        for &(own, _) in interface.v4.iter().take(MAX_PER_INTERFACE) {
            let socket = open(Domain::IPV4).and_then(|s| bind(s, (own, 0).into()));
            voices.extend(socket.map(|socket| Voice { socket, ways: vec![Way::V4(own)], tell: News::Seen }));
        }
        if interface.has_link_local() {
            let socket = open(Domain::IPV6).and_then(|s| bind(s, (Ipv6Addr::UNSPECIFIED, 0).into()));
            voices.extend(socket.map(|socket| Voice {
                socket,
                ways: vec![Way::V6(interface.index)],
                tell: News::Seen,
            }));
        }
    }
    voices
}

fn ears(interfaces: &Interfaces) -> Vec<Voice> {
    [ear_v4(interfaces), ear_v6(interfaces)].into_iter().flatten().collect()
}

fn ear_v4(interfaces: &Interfaces) -> io::Result<Voice> {
    let socket = shared(Domain::IPV4)?;
    // Linux hands over what any program joined; only the chosen interfaces are ours.
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v4(false)?;
    let with_v4: Vec<_> = interfaces.iter().filter(|i| !i.v4.is_empty()).collect();
    for interface in &with_v4 {
        let _ = socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(interface.index));
    }
    let ways = with_v4.iter().filter_map(|i| i.v4.first()).map(|&(own, _)| Way::V4(own)).collect();
    Ok(Voice { socket: bind(socket, (Ipv4Addr::UNSPECIFIED, PORT).into())?, ways, tell: News::Overheard })
}

fn ear_v6(interfaces: &Interfaces) -> io::Result<Voice> {
    let socket = shared(Domain::IPV6)?;
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v6(false)?;
    let with_v6: Vec<_> = interfaces.iter().filter(|i| i.has_link_local()).collect();
    for interface in &with_v6 {
        let _ = socket.join_multicast_v6(&GROUP_V6, interface.index);
    }
    let ways = with_v6.iter().map(|i| Way::V6(i.index)).collect();
    Ok(Voice { socket: bind(socket, (Ipv6Addr::UNSPECIFIED, PORT).into())?, ways, tell: News::Overheard })
}

/// A socket whose port other programs may have too: every mDNS program of a machine is on 5353.
pub(super) fn shared(domain: Domain) -> io::Result<Socket> {
    let socket = open(domain)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    let _ = socket.set_reuse_port(true);
    Ok(socket)
}

pub(super) fn open(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // RFC 6762 §11: 255, so that a receiver sees that no router was between.
    if domain == Domain::IPV4 {
        socket.set_multicast_ttl_v4(255)?;
        socket.set_multicast_loop_v4(true)?;
    } else {
        socket.set_only_v6(true)?;
        socket.set_multicast_hops_v6(255)?;
        socket.set_multicast_loop_v6(true)?;
    }
    Ok(socket)
}

pub(super) fn bind(socket: Socket, to: SocketAddr) -> io::Result<UdpSocket> {
    socket.bind(&to.into())?;
    UdpSocket::from_std(socket.into())
}
