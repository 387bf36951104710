//! Being found where multicast does not pass: UDP on the fixed port.
//!
//! All numbers are big-endian. A request is [`LENGTH`] bytes:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0–3 | `ftx?` |
//! | 4 | layout: 1 is for nodes, 2 for whoever hands something over by a code |
//! | 5–7 | 0 |
//! | 8–15 | nonce: random, returned in the answer |
//! | 16–383 | 0: the answer is never longer than the question, so nobody is flooded in another's name |
//!
//! An answer is at most [`LENGTH`] bytes:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0–3 | `ftx!` |
//! | 4 | the request's layout |
//! | 5 | 0 |
//! | 6–7 | TCP port |
//! | 8–15 | the request's nonce |
//! | 16–17 | length of what follows |
//! | 18– | the fields of the record as in DNS: a length byte, then `key=value`; again to the end |
//!
//! What is longer than told, or has another layout, is not answered and not believed.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};

use super::announce::Announcement;
use super::record::Record;
use super::{Interfaces, Kind};

/// Bytes of a request, and the most of an answer.
pub const LENGTH: usize = 384;
const HEAD: usize = 18;
/// Answers a second, to all and to one address. A broadcast asks eight ports, several nodes of one
/// machine ask from one address.
const MAX_ANSWERS: u32 = 50;
const MAX_ANSWERS_EACH: u32 = 16;

/// Tells one question from another: random, and returned in the answer.
pub type Nonce = [u8; 8];

/// The packet that asks.
pub fn request(kind: Kind, nonce: Nonce) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..4].copy_from_slice(b"ftx?");
    bytes[4] = kind.layout();
    bytes[8..16].copy_from_slice(&nonce);
    bytes
}

/// The nonce of a question; `None` where the packet is none.
pub fn parse_request(kind: Kind, bytes: &[u8]) -> Option<Nonce> {
    let rest = bytes.strip_prefix(b"ftx?")?;
    (bytes.len() == LENGTH && rest.first() == Some(&kind.layout())).then_some(())?;
    bytes.get(8..16)?.try_into().ok()
}

/// The answer without a nonce; `None` where the record is too long.
pub fn answer(kind: Kind, record: &Record, port: u16) -> Option<Vec<u8>> {
    let mut fields = Vec::new();
    for (key, value) in record.fields() {
        let field = format!("{key}={value}");
        fields.push(u8::try_from(field.len()).ok()?);
        fields.extend_from_slice(field.as_bytes());
    }
    let mut bytes = Vec::from(*b"ftx!");
    bytes.extend_from_slice(&[kind.layout(), 0]);
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&u16::try_from(fields.len()).ok()?.to_be_bytes());
    bytes.extend_from_slice(&fields);
    (bytes.len() <= LENGTH).then_some(bytes)
}

/// What an answer to the question with this nonce says: of whom, and the TCP port. `None` where it is none.
pub fn parse_answer(kind: Kind, bytes: &[u8], nonce: Nonce) -> Option<(Record, u16)> {
    let rest = bytes.strip_prefix(b"ftx!")?;
    let port = u16::from_be_bytes(bytes.get(6..8)?.try_into().ok()?);
    let length = u16::from_be_bytes(bytes.get(16..HEAD)?.try_into().ok()?);
    let fields = bytes.get(HEAD..)?;
    let layout = rest.first() == Some(&kind.layout());
    let good = layout && port != 0 && bytes.len() <= LENGTH && fields.len() == usize::from(length);
    (good && bytes.get(8..16)? == nonce).then_some(())?;
    Some((Record::parse(Fields(fields))?, port))
}

/// The fields of a record as in DNS; a field that is cut off ends them.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&length, rest) = self.0.split_first()?;
        let (field, rest) = rest.split_at_checked(length.into())?;
        self.0 = rest;
        let mut parts = field.splitn(2, |b| *b == b'=');
        Some((parts.next()?, parts.next().unwrap_or_default()))
    }
}

/// Answers probes for a running node.
#[derive(Debug)]
pub struct Responder {
    socket: UdpSocket,
    interfaces: Interfaces,
}

impl Responder {
    /// Binds the UDP port; on loopback alone if nothing else was chosen.
    ///
    /// # Errors
    /// The port is taken.
    pub fn bind(port: u16, interfaces: &Interfaces) -> io::Result<Self> {
        let own = if interfaces.is_loopback_only() { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let socket = std::net::UdpSocket::bind((own, port))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, interfaces: interfaces.clone() })
    }

    /// Answers neighbours with `announcement` until dropped.
    pub async fn run(self, announcement: &Announcement) {
        let Some(mut ready) = answer(announcement.kind, &announcement.record(), announcement.port) else {
            return;
        };
        let mut limit = Limit::new();
        let mut buffer = [0; LENGTH + 1];
        loop {
            let Ok((length, source)) = self.socket.recv_from(&mut buffer).await else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            let Some(nonce) = buffer.get(..length).and_then(|bytes| parse_request(announcement.kind, bytes)) else {
                continue;
            };
            if self.interfaces.on_link(source.ip()) && limit.allows(source.ip(), Instant::now()) {
                if let Some(place) = ready.get_mut(8..16) {
                    place.copy_from_slice(&nonce);
                }
                let _ = self.socket.send_to(&ready, source).await;
            }
        }
    }
}

/// How many answers went out in this second.
struct Limit {
    since: Instant,
    all: u32,
    each: HashMap<IpAddr, u32>,
}

impl Limit {
    fn new() -> Self {
        Self { since: Instant::now(), all: 0, each: HashMap::new() }
    }

    fn allows(&mut self, source: IpAddr, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            *self = Self { since: now, all: 0, each: HashMap::new() };
        }
        if self.all >= MAX_ANSWERS {
            return false;
        }
        let each = self.each.entry(source).or_default();
        *each += 1;
        let allowed = *each <= MAX_ANSWERS_EACH;
        self.all += u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::id::{PeerId, Role};

    const NONCE: Nonce = [7; 8];

    fn record() -> Record {
        let (id, name) = (PeerId::of_public_key(&[1; 32]), "alice".into());
        Record { version: 1, name, id, role: Role::Peer, accept: "ask".into(), boot: "b".into() }
    }

    fn answered() -> Vec<u8> {
        let mut bytes = answer(Kind::Node, &record(), 23549).unwrap();
        bytes[8..16].copy_from_slice(&NONCE);
        bytes
    }

    #[test]
    fn an_answer_reads_back_and_is_never_longer_than_the_question() {
        assert_eq!(parse_request(Kind::Node, &request(Kind::Node, NONCE)), Some(NONCE));
        assert_eq!(parse_answer(Kind::Node, &answered(), NONCE), Some((record(), 23549)));
        let mut long = record();
        long.name = "n".repeat(super::super::record::MAX_NAME).as_str().into();
        (long.accept, long.boot) = ("a".repeat(16).as_str().into(), "b".repeat(16).as_str().into());
        assert!(answer(Kind::Node, &long, 1).unwrap().len() <= LENGTH);
    }

    #[test]
    fn short_requests_are_not_answered() {
        let good = request(Kind::Node, NONCE);
        for bad in [&good[..LENGTH - 1], &good[..16], b"", &[&good[..], b"x"].concat(), &answered()] {
            assert_eq!(parse_request(Kind::Node, bad), None);
        }
        let mut other = good;
        other[4] = 3;
        assert_eq!(parse_request(Kind::Node, &other), None);
    }

    #[test]
    fn a_node_and_a_giver_do_not_answer_each_others_probes() {
        let (node, giver) = (request(Kind::Node, NONCE), request(Kind::Giver, NONCE));
        assert_eq!((parse_request(Kind::Node, &node), parse_request(Kind::Giver, &giver)), (Some(NONCE), Some(NONCE)));
        assert_eq!((parse_request(Kind::Node, &giver), parse_request(Kind::Giver, &node)), (None, None));
        assert_eq!(parse_answer(Kind::Giver, &answered(), NONCE), None);
    }

    #[test]
    fn answers_that_are_cut_longer_or_anothers_are_not_believed() {
        let good = answered();
        assert_eq!(parse_answer(Kind::Node, &good, [8; 8]), None);
        for end in 0..good.len() {
            assert_eq!(parse_answer(Kind::Node, &good[..end], NONCE), None);
        }
        assert_eq!(parse_answer(Kind::Node, &[&good[..], b"x"].concat(), NONCE), None);
        let mut no_port = good;
        no_port[6..8].fill(0);
        assert_eq!(parse_answer(Kind::Node, &no_port, NONCE), None);
    }

    #[test]
    fn one_source_cannot_use_up_all_answers_and_nobody_floods() {
        let mut limit = Limit::new();
        let now = Instant::now();
        let from = |i: u8| IpAddr::from([10, 0, 0, i]);
        assert_eq!((0..99).filter(|_| limit.allows(from(1), now)).count(), MAX_ANSWERS_EACH as usize);
        assert!(limit.allows(from(2), now));
        assert!((0..255).filter(|i| limit.allows(from(*i), now)).count() < MAX_ANSWERS as usize);
        assert!(limit.allows(from(1), now + Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let _ = (parse_request(Kind::Node, &bytes), parse_answer(Kind::Node, &bytes, NONCE));
            let _ = parse_answer(Kind::Node, &[&answered()[..HEAD], &bytes[..]].concat(), NONCE);
        }
    }
}
