use proptest::prelude::*;
use simple_dns::rdata::{A, AAAA, PTR, SRV, TXT};

use super::*;
use crate::base::id::{PeerId, Role};

const SOURCE: &str = "10.0.0.9:5353";

fn record(n: u8, name: &str) -> Record {
    let id = PeerId::of_public_key(&[n; 32]);
    Record { version: 1, name: name.into(), id, role: Role::Peer, accept: "ask".into(), boot: "b".into() }
}

/// Which records a made-up answer has.
#[derive(Clone, Copy)]
struct With {
    ptr: bool,
    rest: bool,
    ttl: u32,
}

const ALL: With = With { ptr: true, rest: true, ttl: 120 };

fn packet(record: &Record, instance: &str, port: u16, with: With) -> Vec<u8> {
    let labels: Vec<_> =
        std::iter::once(Label::new_unchecked(instance.as_bytes())).chain(service_labels(Kind::Node)).collect();
    let full = Name::new_with_labels(&labels);
    let service = Name::new("_ftx._tcp.local").unwrap();
    let host = Name::new("FTX-host.local").unwrap();
    let mut packet = Packet::new_reply(0);
    let row = |name: &Name<'static>, data| ResourceRecord::new(name.clone(), CLASS::IN, with.ttl, data);
    let full = full.into_owned();
    if with.ptr {
        packet.answers.push(row(&service, RData::PTR(PTR(full.clone()))));
    }
    if with.rest {
        let srv = SRV { priority: 0, weight: 0, port, target: Name::new("ftx-host.local").unwrap() };
        packet.additional_records.push(row(&full, RData::SRV(srv)));
        let mut txt = TXT::new();
        for (k, v) in record.fields() {
            txt.add_attribute(k, Some(v.as_bytes())).unwrap();
        }
        packet.name_servers.push(row(&full, RData::TXT(txt)));
        for ip in ["10.0.0.8", "127.0.0.1", "0.0.0.0", "224.0.0.1"] {
            let ip: Ipv4Addr = ip.parse().unwrap();
            packet.additional_records.push(row(&host, RData::A(A { address: ip.to_bits() })));
        }
        for ip in ["fe80::8", "fd00::8"] {
            let ip: Ipv6Addr = ip.parse().unwrap();
            packet.additional_records.push(row(&host, RData::AAAA(AAAA { address: ip.to_bits() })));
        }
    }
    packet.build_bytes_vec_compressed().unwrap()
}

fn heard(bytes: &[u8]) -> Heard {
    hear(Kind::Node, bytes, SOURCE.parse().unwrap())
}

#[test]
fn records_of_all_sections_are_joined_to_one_sighting() {
    let alice = record(1, "alice.laptop \\ ä");
    let label = record::instance("alice.laptop \\ ä", &alice.id);
    let heard = heard(&packet(&alice, &label, 23549, ALL));
    let [one] = heard.sightings.as_slice() else { panic!("{heard:?}") };
    assert_eq!((one.id, one.name.as_raw(), one.how), (alice.id, "alice.laptop \\ ä", How::Mdns));
    let expected = ["10.0.0.9:23549", "10.0.0.8:23549", "[fd00::8]:23549"];
    assert_eq!(one.addresses, expected.map(|a| a.parse::<SocketAddr>().unwrap()));
}

#[test]
fn a_pointer_without_the_rest_is_asked_for() {
    let alice = record(1, "alice");
    let label = record::instance("alice", &alice.id);
    let heard = heard(&packet(&alice, &label, 1, With { rest: false, ..ALL }));
    assert!(heard.sightings.is_empty());
    assert_eq!(heard.incomplete, [label.as_bytes()]);
    let asked = question(Kind::Node, &[Ask::Instance(heard.incomplete[0].clone())]).unwrap();
    let asked = Packet::parse(&asked).unwrap();
    assert_eq!(asked.questions.len(), 2);
    assert_eq!(asked.questions[0].qname.get_labels()[0].as_ref(), label.as_bytes());
}

#[test]
fn an_answer_without_a_pointer_is_enough() {
    let alice = record(1, "alice");
    let label = record::instance("alice", &alice.id);
    assert_eq!(heard(&packet(&alice, &label, 1, With { ptr: false, ..ALL })).sightings.len(), 1);
}

#[test]
fn a_goodbye_names_the_short_id() {
    let alice = record(1, "alice");
    let label = record::instance("alice", &alice.id);
    for rest in [false, true] {
        let heard = heard(&packet(&alice, &label, 1, With { ptr: true, rest, ttl: 0 }));
        assert!(heard.sightings.is_empty() && heard.incomplete.is_empty());
        assert_eq!(heard.gone, [alice.id.short()]);
    }
}

#[test]
fn an_id_that_is_not_the_instance_s_is_refused() {
    let alice = record(1, "alice");
    let other = PeerId::of_public_key(&[2; 32]);
    let label = record::instance("alice", &other);
    assert!(heard(&packet(&alice, &label, 1, ALL)).sightings.is_empty());
    let label = record::instance("alice", &alice.id);
    assert!(heard(&packet(&alice, &label, 0, ALL)).sightings.is_empty(), "port 0");
    assert!(heard(&packet(&alice, "alice", 1, ALL)).sightings.is_empty(), "no id in the name");
}

#[test]
fn questions_are_no_answers() {
    assert!(heard(&question(Kind::Node, &[Ask::Everyone]).unwrap()).incomplete.is_empty());
}

#[test]
fn a_header_that_claims_too_much_is_not_believed() {
    let alice = record(1, "alice");
    let mut bytes = packet(&alice, &record::instance("alice", &alice.id), 1, ALL);
    bytes[6] = 0xff;
    assert!(!is_bounded(&bytes));
    assert!(!is_bounded(&[0; MAX_PACKET + 1]));
    assert!(!is_bounded(&[0; 3]));
}

#[test]
fn a_truncated_packet_says_nothing_and_does_no_harm() {
    let alice = record(1, "alice");
    let bytes = packet(&alice, &record::instance("alice", &alice.id), 1, ALL);
    for end in 0..bytes.len() {
        assert!(heard(&bytes[..end]).sightings.is_empty());
    }
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        heard(&bytes);
    }

    #[test]
    fn a_spoiled_packet_does_no_harm(spoil in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let alice = record(1, "alice");
        let mut bytes = packet(&alice, &record::instance("alice", &alice.id), 1, ALL);
        for (at, byte) in spoil {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for one in heard(&bytes).sightings {
            prop_assert!(one.addresses.len() <= super::super::MAX_ADDRESSES);
            prop_assert!(!one.name.to_string().chars().any(char::is_control));
        }
    }
}
