//! What a node says of itself to everybody on the network: six fields, or nothing at all.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use simple_dns::Packet;
use simple_dns::rdata::RData;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::house::home::{Home, loopback};
use crate::house::until;

/// The fields of a record.
const FIELDS: [&str; 6] = ["a", "b", "id", "n", "r", "v"];

/// Everything that is said by multicast DNS on the loopback interface, while it is there.
struct Ear {
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Ear {
    fn open() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.set_multicast_all_v4(false).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::new(224, 0, 0, 251), 5353)).into()).unwrap();
        let index = if_addrs::get_if_addrs().unwrap().into_iter().find(|found| found.name == loopback()).unwrap().index;
        let on = InterfaceIndexOrAddress::Index(index.unwrap());
        socket.join_multicast_v4_n(&Ipv4Addr::new(224, 0, 0, 251), &on).unwrap();
        let (socket, heard) = (UdpSocket::from(socket), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let kept = heard.clone();
        std::thread::spawn(move || {
            let mut packet = [0; 9000];
            while let Ok(read) = socket.recv(&mut packet) {
                kept.lock().unwrap().push(packet[..read].to_vec());
            }
        });
        Self { heard }
    }

    /// The packets so far that have this in them.
    fn naming(&self, text: &str) -> Vec<Vec<u8>> {
        let has = |packet: &&Vec<u8>| packet.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        self.heard.lock().unwrap().iter().filter(has).cloned().collect()
    }
}

/// What the UDP port answers to a probe, as `man/ftx-protocol.7` has it; asked again until it does.
fn probed(socket: &UdpSocket, port: u16) -> Vec<u8> {
    let mut request = [0; 384];
    request[..5].copy_from_slice(b"ftx?\x01");
    socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    until("the probe is answered", || {
        let _ = socket.send_to(&request, (Ipv4Addr::LOCALHOST, port));
        let mut answer = [0; 512];
        let (read, from) = socket.recv_from(&mut answer).ok()?;
        assert_eq!(from.port(), port, "nobody else answers");
        Some(answer[..read].to_vec())
    })
}

#[test]
fn s11_airdrop_croc_cve_2023_43618_a_hidden_node_says_nothing_and_a_visible_one_six_fields() {
    let ear = Ear::open();
    let (hidden, visible) = (Home::new("hiddenone"), Home::new("visibleone"));
    let quiet = hidden.up(&["--hidden", "--accept", "all"]);
    let loud = visible.up(&["--accept", "all"]);
    // Somebody looks for everybody, so that whoever answers has answered.
    let seen = until("the visible one is seen", || {
        let seen = Home::new("bob").run(&["peers"]).done().objects();
        seen.iter().any(|peer| peer["name"] == visible.name()).then_some(seen)
    });
    assert!(!seen.iter().any(|peer| peer["name"] == hidden.name()), "{seen:?}");
    let said = until("the visible one is heard", || Some(ear.naming(loud.short())).filter(|said| !said.is_empty()));

    // Both are asked by UDP, the hidden one first.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut request = [0; 384];
    request[..5].copy_from_slice(b"ftx?\x01");
    socket.send_to(&request, (Ipv4Addr::LOCALHOST, quiet.port())).unwrap();
    let answer = probed(&socket, loud.port());
    let mut keys = BTreeSet::new();
    let mut rest = &answer[18..];
    while let [length, more @ ..] = rest {
        let (field, more) = more.split_at(usize::from(*length));
        keys.insert(String::from_utf8(field.to_vec()).unwrap().split('=').next().unwrap().to_owned());
        rest = more;
    }
    assert!(keys.iter().eq(FIELDS), "{keys:?}");

    // Its good-bye would be one, too.
    let (short, process) = (quiet.short().to_owned(), quiet.process());
    process.signal(Signal::TERM);
    process.end().done();
    for text in [hidden.name(), &short] {
        assert!(ear.naming(text).is_empty(), "the hidden one is named");
    }

    let short = loud.short().to_owned();
    let mut fields = 0;
    for packet in said {
        let packet = Packet::parse(&packet).unwrap();
        for record in packet.answers.iter().chain(&packet.additional_records) {
            let name = record.name.to_string();
            if !name.contains(&short) && !name.starts_with("_ftx") {
                // Of another node that is being tested.
                continue;
            }
            match &record.rdata {
                RData::TXT(text) => {
                    let told: BTreeSet<String> = text.attributes().into_keys().collect();
                    assert!(told.iter().eq(FIELDS), "{told:?}");
                    fields += 1;
                }
                RData::SRV(to) if name.contains(&short) => {
                    assert_eq!(to.target.to_string(), format!("ftx-{short}.local"), "never the host's own name");
                }
                _ => {}
            }
            let own = name.ends_with("_ftx._tcp.local") || name == format!("ftx-{short}.local");
            assert!(own, "{name}");
        }
    }
    assert!(fields > 0);
}
