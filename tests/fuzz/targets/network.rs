//! What anybody on the network may send: packets of mDNS, records, probes.

use std::net::{IpAddr, SocketAddr};

use ftx::base::text::is_deceptive;
use ftx::find::answer::{Ask, MAX_PACKET, hear, question};
use ftx::find::record::{MAX_NAME, Record, instance};
use ftx::find::{Kind, MAX_ADDRESSES, probe};

use super::Took;

const SOURCES: [&str; 3] = ["192.168.7.9:5353", "[fe80::1%3]:5353", "127.0.0.1:5353"];

const KINDS: [Kind; 2] = [Kind::Node, Kind::Giver];

/// Most peers, and most open questions, that one packet may make.
const MOST: usize = 64;

/// An answer: every sighting is one that can be dialled, and what is asked next is a packet.
pub(super) fn mdns(bytes: &[u8]) -> Took {
    let mut took = false;
    for (source, kind) in SOURCES.into_iter().flat_map(|source| KINDS.map(|kind| (source, kind))) {
        let source: SocketAddr = source.parse().expect("an address");
        let heard = hear(kind, bytes, source);
        took |= !heard.sightings.is_empty() || !heard.gone.is_empty() || !heard.incomplete.is_empty();
        assert!(heard.sightings.len() <= MOST && heard.incomplete.len() <= MOST && heard.gone.len() <= bytes.len());
        assert!(heard.gone.iter().all(|short| short.len() == 8 && short.is_ascii()));
        for sighting in &heard.sightings {
            let addresses = &sighting.addresses;
            assert!((1..=MAX_ADDRESSES).contains(&addresses.len()) && addresses[0].ip() == source.ip());
            assert!(addresses.iter().all(|address| address.port() != 0));
            let lead_back = |ip: IpAddr| ip.is_loopback() && !source.ip().is_loopback();
            assert!(!addresses.iter().any(|address| lead_back(address.ip()) || address.ip().is_unspecified()));
            assert!(!sighting.name.is_empty() && sighting.name.as_raw().len() <= MAX_NAME);
            assert!(!format!("{sighting:?}").contains(is_deceptive));
        }
        for name in heard.incomplete {
            let asked =
                question(kind, &[Ask::Instance(name), Ask::Everyone]).expect("a name that was heard can be asked for");
            assert!(asked.len() <= MAX_PACKET);
            let said = hear(kind, &asked, source);
            assert!(said.sightings.is_empty() && said.incomplete.is_empty(), "a question is no answer");
        }
    }
    Took::of(took)
}

/// The fields of a TXT record, each behind its length: what is read is the same after it was written again.
pub(super) fn record(bytes: &[u8]) -> Took {
    let Some(record) = Record::parse(fields(bytes)) else { return Took::No };
    check_record(&record);
    Took::Yes
}

fn fields(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (&length, after) = rest.split_first()?;
        let (field, after) = after.split_at_checked(length.into())?;
        rest = after;
        let at = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
        Some((&field[..at], field.get(at + 1..).unwrap_or_default()))
    })
}

fn check_record(record: &Record) {
    let written = record.fields();
    let again = Record::parse(written.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())));
    assert_eq!(again.as_ref(), Some(record));
    let size: usize = written.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    assert!(size <= 200 && record.name.as_raw().len() <= MAX_NAME, "{size}");
    assert!(instance(record.name.as_raw(), &record.id).len() <= 63);
}

/// A packet at the UDP port: a question or an answer. No answer is longer than the question.
pub(super) fn probe(bytes: &[u8]) -> Took {
    Took::of(KINDS.map(|kind| probe_of(kind, bytes) == Took::Yes).contains(&true))
}

fn probe_of(kind: Kind, bytes: &[u8]) -> Took {
    if let Some(nonce) = probe::parse_request(kind, bytes) {
        assert_eq!(bytes.len(), probe::LENGTH);
        assert_eq!(probe::parse_request(kind, &probe::request(kind, nonce)), Some(nonce));
        return Took::Yes;
    }
    let Some(nonce) = bytes.get(8..16).and_then(|nonce| nonce.try_into().ok()) else { return Took::No };
    let mut other: probe::Nonce = nonce;
    other[0] ^= 1;
    assert!(probe::parse_answer(kind, bytes, other).is_none(), "an answer to somebody else");
    let Some((record, port)) = probe::parse_answer(kind, bytes, nonce) else { return Took::No };
    assert!(port != 0 && bytes.len() <= probe::LENGTH);
    check_record(&record);
    let mut again = probe::answer(kind, &record, port).expect("what could be read can be written");
    again[8..16].copy_from_slice(&nonce);
    assert!(again.len() <= probe::LENGTH);
    assert_eq!(probe::parse_answer(kind, &again, nonce), Some((record, port)));
    Took::Yes
}
