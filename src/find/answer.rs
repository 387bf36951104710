//! Packets of multicast DNS: writing our questions, reading everybody's answers.
//!
//! Pure: no sockets. What is read comes from anybody, so every count is bounded and whatever does
//! not make sense is passed over.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use simple_dns::rdata::RData;
use simple_dns::{
    CLASS, Label, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE, header_buffer,
};

use super::record::{self, Record};
use super::{How, Kind, Sighting, best_first};

/// Largest packet of mDNS (RFC 6762 §17).
pub const MAX_PACKET: usize = 9000;
/// Most records read of one packet. The parser reserves memory by what the header claims.
const MAX_RECORDS: u16 = 512;
/// Most peers taken out of one packet.
const MAX_SIGHTINGS: usize = 64;

/// What a question asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Every node: PTR of the service type.
    Everyone,
    /// The node with this instance name: SRV and TXT.
    Instance(Vec<u8>),
}

/// The packet that asks `what`.
pub fn question(kind: Kind, what: &[Ask]) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(0);
    for ask in what {
        let (labels, types): (Vec<Label<'_>>, &[TYPE]) = match ask {
            Ask::Everyone => (service_labels(kind).collect(), &[TYPE::PTR]),
            Ask::Instance(instance) => {
                let first = Label::new_unchecked(instance.as_slice());
                (std::iter::once(first).chain(service_labels(kind)).collect(), &[TYPE::SRV, TYPE::TXT])
            }
        };
        for &of in types {
            let name = Name::new_with_labels(&labels);
            packet.questions.push(Question::new(name, QTYPE::TYPE(of), QCLASS::CLASS(CLASS::IN), false));
        }
    }
    packet.build_bytes_vec_compressed().ok()
}

fn service_labels<'a>(kind: Kind) -> impl Iterator<Item = Label<'a>> {
    kind.service().trim_end_matches('.').split('.').map(|l| Label::new_unchecked(l.as_bytes()))
}

/// What a packet says.
#[derive(Debug, Default)]
pub struct Heard {
    /// Who is there.
    pub sightings: Vec<Sighting>,
    /// Short ids of those who said goodbye.
    pub gone: Vec<String>,
    /// Instance names that came without what belongs to them: to be asked for.
    pub incomplete: Vec<Vec<u8>>,
}

/// Reads a packet that came from `source`, for what it says of this kind. What is no answer, or no packet of
/// DNS, says nothing.
pub fn hear(kind: Kind, bytes: &[u8], source: SocketAddr) -> Heard {
    let mut heard = Heard::default();
    if !is_bounded(bytes) {
        return heard;
    }
    let Ok(packet) = Packet::parse(bytes) else {
        return heard;
    };
    if !packet.has_flags(PacketFlag::RESPONSE) {
        return heard;
    }
    let records = packet.answers.iter().chain(&packet.name_servers).chain(&packet.additional_records);
    let records = Records::collect(kind, records);
    for (key, instance) in &records.instances {
        if records.is_goodbye(key) {
            heard.gone.extend(record::short_id(instance).map(str::to_ascii_lowercase));
        } else if heard.sightings.len() >= MAX_SIGHTINGS {
            break;
        } else if let (Some(srv), Some(txt)) = (records.srv.get(key), records.txt.get(key)) {
            heard.sightings.extend(records.sighting(instance, srv, txt.as_ref(), source));
        } else if heard.incomplete.len() < MAX_SIGHTINGS {
            heard.incomplete.push(instance.clone());
        }
    }
    heard
}

fn is_bounded(bytes: &[u8]) -> bool {
    let counts = [
        header_buffer::questions,
        header_buffer::answers,
        header_buffer::name_servers,
        header_buffer::additional_records,
    ];
    bytes.len() <= MAX_PACKET && counts.iter().all(|count| count(bytes).is_ok_and(|n| n <= MAX_RECORDS))
}

/// A name as a key: lower case, because DNS compares so.
type Key = Vec<u8>;

fn key(name: &Name<'_>) -> Key {
    let labels = name.get_labels().iter();
    // The length before each label keeps a dot inside one apart from a dot between two.
    labels.flat_map(|l| std::iter::once(l.len() as u8).chain(l.as_ref().to_ascii_lowercase())).collect()
}

/// The first label of a name of our service type.
fn instance_label(kind: Kind, name: &Name<'_>) -> Option<Vec<u8>> {
    let (first, rest) = name.get_labels().split_first()?;
    let same = rest.len() == service_labels(kind).count()
        && rest.iter().zip(service_labels(kind)).all(|(a, b)| a.as_ref().eq_ignore_ascii_case(b.as_ref()));
    (same && record::short_id(first.as_ref()).is_some()).then(|| first.as_ref().to_vec())
}

/// The target of an SRV record.
struct Target {
    host: Key,
    port: u16,
}

/// The records of one packet, of whatever section, joined by name.
#[derive(Default)]
struct Records {
    instances: Vec<(Key, Vec<u8>)>,
    goodbyes: Vec<Key>,
    srv: HashMap<Key, Target>,
    txt: HashMap<Key, Option<Record>>,
    hosts: HashMap<Key, Vec<IpAddr>>,
}

impl Records {
    fn collect<'a, 'b: 'a>(kind: Kind, list: impl Iterator<Item = &'a ResourceRecord<'b>>) -> Self {
        let mut all = Self::default();
        for one in list {
            all.take(kind, one);
        }
        all
    }

    fn take(&mut self, kind: Kind, one: &ResourceRecord<'_>) {
        let name = if let RData::PTR(target) = &one.rdata { &target.0 } else { &one.name };
        let address = match &one.rdata {
            RData::A(a) => Some(IpAddr::V4(Ipv4Addr::from_bits(a.address))),
            RData::AAAA(a) => Some(IpAddr::V6(Ipv6Addr::from_bits(a.address))),
            _ => None,
        };
        if let Some(address) = address {
            let list = self.hosts.entry(key(name)).or_default();
            if one.ttl > 0 && list.len() < 2 * super::MAX_ADDRESSES {
                list.push(address);
            }
            return;
        }
        let Some(instance) = instance_label(kind, name) else {
            return;
        };
        let key = key(name);
        match &one.rdata {
            RData::PTR(_) => {}
            RData::SRV(srv) => {
                let target = Target { host: self::key(&srv.target), port: srv.port };
                self.srv.entry(key.clone()).or_insert(target);
            }
            RData::TXT(txt) => {
                let fields = txt.iter_raw().map(|(k, v)| (k, v.unwrap_or_default()));
                self.txt.entry(key.clone()).or_insert_with(|| Record::parse(fields));
            }
            _ => return,
        }
        if one.ttl == 0 {
            self.goodbyes.push(key.clone());
        }
        if self.instances.iter().all(|(known, _)| *known != key) {
            self.instances.push((key, instance));
        }
    }

    fn is_goodbye(&self, key: &Key) -> bool {
        self.goodbyes.contains(key)
    }

    /// `None` where the record is senseless or belongs to another id than the instance name.
    fn sighting(&self, instance: &[u8], srv: &Target, txt: Option<&Record>, source: SocketAddr) -> Option<Sighting> {
        let record = txt?;
        if srv.port == 0 || !record.id.starts_with(record::short_id(instance)?) {
            return None;
        }
        let others = self.hosts.get(&srv.host).into_iter().flatten();
        let others = others.filter(|ip| is_useful(ip, &source.ip())).map(|&ip| SocketAddr::new(ip, srv.port));
        let mut from = source;
        from.set_port(srv.port);
        Some(sighted(record.clone(), best_first(std::iter::once(from).chain(others)), How::Mdns))
    }
}

/// A sighting of what a record says.
pub(super) fn sighted(record: Record, addresses: Vec<SocketAddr>, how: How) -> Sighting {
    let Record { version, name, id, role, accept, boot } = record;
    Sighting { id, name, role, version, addresses, how, accept, boot }
}

/// Whether an address that an answer lists can lead to its sender. Loopback can only where the
/// answer itself came that way. Link-local ones are those of all its interfaces (of four, one
/// worked); the right one is the source of the answers to what is asked by IPv6.
fn is_useful(ip: &IpAddr, source: &IpAddr) -> bool {
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let broadcast = *ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    let elsewhere = ip.is_loopback() && !source.is_loopback();
    !(link_local || broadcast || elsewhere || ip.is_unspecified() || ip.is_multicast())
}

#[cfg(test)]
mod tests;
