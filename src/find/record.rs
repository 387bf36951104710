//! What a node says about itself: the fields of its TXT record and its names in mDNS.
//!
//! Campus privacy: no user name, no operating system, no file names.

use std::sync::OnceLock;

use crate::base::id::{PeerId, Role};
use crate::base::text::{PeerText, cut};

/// The service type.
pub const SERVICE: &str = "_ftx._tcp.local.";
/// The service type of whoever hands something over by a code.
pub const GIVING: &str = "_ftx-give._tcp.local.";
/// Longest display name in a record, in bytes.
pub const MAX_NAME: usize = 64;
/// Longest accept mode and boot nonce, in bytes.
const MAX_WORD: usize = 16;
/// Longest label of DNS, in bytes. The library accepts longer ones, and nobody ever sees them.
const MAX_LABEL: usize = 63;

/// The fields of the TXT record: `v` protocol version, `n` display name, `id` peer id, `r` role,
/// `a` accept mode, `b` boot nonce. Together at most 200 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `v`
    pub version: u16,
    /// `n`
    pub name: PeerText,
    /// `id`
    pub id: PeerId,
    /// `r`
    pub role: Role,
    /// `a`
    pub accept: PeerText,
    /// `b`
    pub boot: PeerText,
}

impl Record {
    /// Reads the fields, which may come from anybody: `None` where one is missing or senseless.
    /// Of a repeated key the first counts (RFC 6763 §6.4), unknown keys are for later versions.
    pub fn parse<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Self> {
        let mut values: [Option<&[u8]>; 6] = [None; 6];
        for (key, value) in fields.take(32) {
            let known = KEYS.iter().position(|k| key.eq_ignore_ascii_case(k.as_bytes()));
            if let Some(slot) = known.and_then(|i| values.get_mut(i)) {
                slot.get_or_insert(value);
            }
        }
        let [version, name, id, role, accept, boot] = values.map(|v| v.map(std::str::from_utf8));
        let name = word(name?.ok()?, MAX_NAME);
        Some(Self {
            version: version?.ok()?.parse().ok()?,
            name: (!name.is_empty()).then_some(name)?,
            id: id?.ok()?.parse().ok()?,
            // A role of a later version is at least a peer.
            role: if role?.ok()? == Role::Hub.as_str() { Role::Hub } else { Role::Peer },
            accept: word(accept.and_then(Result::ok).unwrap_or_default(), MAX_WORD),
            boot: word(boot.and_then(Result::ok).unwrap_or_default(), MAX_WORD),
        })
    }

    /// The fields as they are sent.
    pub fn fields(&self) -> [(&'static str, String); 6] {
        let [v, n, id, r, a, b] = KEYS;
        [
            (v, self.version.to_string()),
            (n, self.name.as_raw().to_owned()),
            (id, self.id.to_string()),
            (r, self.role.as_str().to_owned()),
            (a, self.accept.as_raw().to_owned()),
            (b, self.boot.as_raw().to_owned()),
        ]
    }
}

const KEYS: [&str; 6] = ["v", "n", "id", "r", "a", "b"];

/// `text` cut to what a record may hold.
pub(super) fn word(text: &str, max: usize) -> PeerText {
    let mut text = text.to_owned();
    cut(&mut text, max);
    PeerText::new(text)
}

/// The instance name, `alice-laptop~k7f3q2mz`: the display name cut so that the whole is one label,
/// and with `-` for what the library would escape and then not find when it is asked for it.
pub fn instance(name: &str, id: &PeerId) -> String {
    instance_of(name, &id.short())
}

/// The instance name of a display name and a short id.
pub(super) fn instance_of(name: &str, short: &str) -> String {
    let plain = |c: char| {
        if matches!(c, '.' | '\\') || c.is_control() { '-' } else { c }
    };
    // First as the TXT record has it, which is what others know and ask by.
    let mut name = name.to_owned();
    cut(&mut name, MAX_NAME);
    name = name.chars().map(plain).collect();
    cut(&mut name, MAX_LABEL - 1 - PeerId::SHORT_LENGTH);
    format!("{name}~{short}")
}

/// The short id in an instance name.
pub(super) fn short_id(instance: &[u8]) -> Option<&str> {
    let at = instance.len().checked_sub(PeerId::SHORT_LENGTH + 1)?;
    let (b'~', short) = instance.get(at..)?.split_first()? else {
        return None;
    };
    let good = |b: &u8| b.is_ascii_alphabetic() || (b'2'..=b'7').contains(b);
    std::str::from_utf8(short).ok().filter(|_| short.iter().all(good))
}

/// The target of the SRV record. Never the machine's host name: its own mDNS responder would
/// rename the machine.
pub fn host(id: &PeerId) -> String {
    format!("ftx-{}.local.", id.short())
}

/// A word that is another one after each start of this process.
pub(super) fn boot_nonce() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| data_encoding::HEXLOWER.encode(&random()[3..]))
}

/// Eight bytes, 62 bits of them random.
pub(super) fn random() -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&uuid::Uuid::now_v7().as_bytes()[8..]);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        Record {
            version: 1,
            name: "alice's laptop ä".into(),
            id: PeerId::of_public_key(&[1; 32]),
            role: Role::Hub,
            accept: "trusted".into(),
            boot: boot_nonce().into(),
        }
    }

    fn parse(fields: &[(&str, String)]) -> Option<Record> {
        Record::parse(fields.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())))
    }

    #[test]
    fn a_record_reads_back_and_is_short() {
        let mut long = record();
        assert_eq!(parse(&long.fields()), Some(record()));
        long.name = "n".repeat(MAX_NAME).as_str().into();
        let size: usize = long.fields().iter().map(|(k, v)| k.len() + v.len() + 2).sum();
        assert!(size <= 200, "{size}");
    }

    #[test]
    fn a_record_without_a_field_that_counts_is_none() {
        for missing in ["v", "n", "id", "r"] {
            let fields: Vec<_> = record().fields().into_iter().filter(|(k, _)| *k != missing).collect();
            assert_eq!(parse(&fields), None, "{missing}");
        }
    }

    #[test]
    fn senseless_values_are_refused() {
        for (key, value) in [("v", "x"), ("v", "65536"), ("n", ""), ("id", "abc"), ("id", &"1".repeat(52))] {
            let fields = record().fields().map(|(k, v)| if k == key { (k, value.to_owned()) } else { (k, v) });
            assert_eq!(parse(&fields), None, "{key}={value}");
        }
        let raw: [(&[u8], &[u8]); 2] = [(b"v", b"1"), (b"n", b"\xff\xfe")];
        assert_eq!(Record::parse(raw.into_iter()), None);
    }

    #[test]
    fn long_and_hostile_names_are_cut_and_escaped() {
        let name = format!("\u{1b}[2J{}", "ä".repeat(400));
        let fields = record().fields().map(|(k, v)| if k == "n" { (k, name.clone()) } else { (k, v) });
        let read = parse(&fields).unwrap();
        assert!(read.name.as_raw().len() <= MAX_NAME);
        assert!(!read.name.to_string().contains('\u{1b}'));
    }

    #[test]
    fn an_instance_is_one_label_and_ends_with_the_short_id() {
        let id = PeerId::of_public_key(&[1; 32]);
        for name in ["", "alice", "a.b\\c~d", &"ä".repeat(64), &"x".repeat(999)] {
            let label = instance(name, &id);
            assert!(label.len() <= MAX_LABEL && !label.contains(['.', '\\']));
            assert_eq!(short_id(label.as_bytes()), Some(id.short().as_str()));
        }
        for bad in ["", "alice", "alice~short", "alice-k7f3q2mz", "alice~k7f3q2m1", "~"] {
            assert_eq!(short_id(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_fields_are_read_without_harm(fields in proptest::collection::vec(("v|n|id|r|a|b|x", any::<Vec<u8>>()), 0..12)) {
            let _ = Record::parse(fields.iter().map(|(k, v)| (k.as_bytes(), v.as_slice())));
        }
    }
}
