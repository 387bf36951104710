//! What a hub signs for a file that was handed in, to be kept and shown later: a JSON object.
//!
//! Signed is `ftx handed in v1\0`, then its fields as one postcard message in this order: the hub's
//! name and its key's 32 bytes, account, device (32 bytes), path, size, SHA-256 (32 bytes), digest
//! (32 bytes), when it was handed in and perhaps the deadline, in seconds since 1970, and the
//! transfer (as bytes).

use std::fmt;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::digest::EntryDigest;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, TransferId};
use crate::base::path::{Name, RelPath};
use crate::base::text::PeerText;
use crate::link::key::{Key, PublicKey};

const DOMAIN: &[u8] = b"ftx handed in v1\0";

/// The version of the JSON object.
const VERSION: u32 = 1;

/// What was handed in, where, by whom and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedIn {
    /// What the hub calls itself.
    pub hub: PeerText,
    /// Who handed it in.
    pub account: Name,
    /// With which device.
    pub device: PeerId,
    /// Where it is at the hub.
    pub path: RelPath,
    /// Its length in bytes.
    pub size: u64,
    /// Its plain SHA-256.
    pub sha256: [u8; 32],
    /// Its digest.
    pub digest: EntryDigest,
    /// When it was durable at the hub, in seconds since 1970.
    pub handed_in: u64,
    /// Until when it was to be handed in, in seconds since 1970.
    pub deadline: Option<u64>,
    /// With which transfer.
    pub transfer: TransferId,
}

/// A receipt whose signature is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What it says.
    pub what: HandedIn,
    /// Whose signature it is; whether that is a hub one knows is for the reader to say.
    pub by: PublicKey,
}

impl HandedIn {
    /// Whether the deadline had passed.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.handed_in > deadline)
    }

    /// The receipt, signed with the hub's key: a JSON object of several lines.
    pub fn sign(&self, key: &Key) -> String {
        Signed { what: self.clone(), by: key.public() }.print(&key.sign(&self.statement(key.public())))
    }

    /// What is signed.
    fn statement(&self, by: PublicKey) -> Vec<u8> {
        let hub = (self.hub.as_raw(), by.as_bytes());
        let who = (self.account.as_str(), self.device.as_bytes());
        let what = (self.path.as_str(), self.size, self.sha256, self.digest.0);
        let when = (self.handed_in, self.deadline);
        // Tuples are their fields in order; this always has a postcard form: no maps, no floats.
        let fields = postcard::to_allocvec(&(hub, who, what, when, self.transfer.as_bytes())).unwrap_or_default();
        [DOMAIN, &fields].concat()
    }
}

impl Signed {
    /// Reads a receipt and checks its signature.
    ///
    /// # Errors
    /// [`FaultKind::Version`] for one of a later version; [`FaultKind::Integrity`] for what is no
    /// receipt, and for one whose fields do not fit together or are not what was signed.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let wrong = |text: &str| Fault::new(FaultKind::Integrity, text);
        let Ok(Numbered { version }) = serde_json::from_str(text) else {
            return Err(wrong("this is no receipt"));
        };
        if version != VERSION {
            return Err(Fault::new(FaultKind::Version, format!("a receipt of version {version}; {VERSION} is known")));
        }
        let paper: Paper =
            serde_json::from_str(text).map_err(|error| wrong(&format!("this is no receipt: {}", said(&error))))?;
        let (signed, signature) = paper.understand().ok_or_else(|| wrong("a field of the receipt makes no sense"))?;
        if !signed.by.signed(&signed.what.statement(signed.by), &signature) {
            return Err(wrong("the signature does not fit what the receipt says"));
        }
        Ok(signed)
    }

    fn print(&self, signature: &[u8]) -> String {
        let what = &self.what;
        let paper = Paper {
            version: VERSION,
            hub: PaperHub {
                name: what.hub.clone(),
                key: HEXLOWER.encode(self.by.as_bytes()),
                id: self.by.id().to_string(),
            },
            account: what.account.clone(),
            device: what.device.to_string(),
            path: what.path.clone(),
            size: what.size,
            sha256: HEXLOWER.encode(&what.sha256),
            digest: HEXLOWER.encode(&what.digest.0),
            handed_in: at(what.handed_in),
            deadline: what.deadline.map(at),
            late: what.deadline.map(|_| what.is_late()),
            transfer: what.transfer,
            signature: HEXLOWER.encode(signature),
        };
        // It has no maps whose keys are no text, the only thing that could fail.
        serde_json::to_string_pretty(&paper).unwrap_or_default()
    }
}

/// Only the version, whatever else there is.
#[derive(Deserialize)]
struct Numbered {
    version: u32,
}

/// A receipt as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Paper {
    version: u32,
    hub: PaperHub,
    account: Name,
    device: String,
    path: RelPath,
    size: u64,
    sha256: String,
    digest: String,
    handed_in: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    late: Option<bool>,
    transfer: TransferId,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperHub {
    name: PeerText,
    key: String,
    id: String,
}

impl Paper {
    /// What it says, and its signature; `None` where a field makes no sense, or is not what follows
    /// from the others.
    fn understand(self) -> Option<(Signed, Vec<u8>)> {
        let by = PublicKey::from_bytes(bytes(&self.hub.key)?)?;
        let what = HandedIn {
            hub: self.hub.name,
            account: self.account,
            device: self.device.parse().ok()?,
            path: self.path,
            size: self.size,
            sha256: bytes(&self.sha256)?,
            digest: EntryDigest(bytes(&self.digest)?),
            handed_in: seconds(&self.handed_in)?,
            deadline: match self.deadline {
                Some(deadline) => Some(seconds(&deadline)?),
                None => None,
            },
            transfer: self.transfer,
        };
        let fits = self.hub.id == by.id().to_string() && self.late == what.deadline.map(|_| what.is_late());
        fits.then_some((Signed { what, by }, HEXLOWER.decode(self.signature.as_bytes()).ok()?))
    }
}

fn bytes(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// `2026-11-21T14:05:00Z` (RFC 3339).
fn at(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.unwrap_or(Timestamp::MAX).to_string()
}

fn seconds(text: &str) -> Option<u64> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_second()).ok().filter(|seconds| at(*seconds) == text)
}

/// What is wrong with JSON, without the text that is.
fn said(error: &impl fmt::Display) -> PeerText {
    PeerText::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::limits::MAX_RECEIPT;

    fn handed_in() -> HandedIn {
        HandedIn {
            hub: "lab-hub".into(),
            account: Name::parse("alice").unwrap(),
            device: PeerId::of_public_key(&[1; 32]),
            path: RelPath::parse("week3/alice/report.pdf").unwrap(),
            size: 5,
            sha256: [2; 32],
            digest: EntryDigest([3; 32]),
            handed_in: 1_795_269_900,
            deadline: Some(1_795_270_000),
            transfer: TransferId::new(),
        }
    }

    #[test]
    fn a_receipt_says_what_was_signed_and_by_whom() {
        let key = Key::generate().unwrap();
        for deadline in [None, Some(5), Some(u64::from(u32::MAX))] {
            let what = HandedIn { deadline, ..handed_in() };
            let text = what.sign(&key);
            assert_eq!(Signed::read(&text).unwrap(), Signed { what, by: key.public() });
            let object: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(object["handed_in"], "2026-11-21T14:05:00Z");
            assert_eq!(object.get("late"), deadline.map(|deadline| json!(deadline == 5)).as_ref());
        }
    }

    #[test]
    fn whatever_is_changed_in_it_is_noticed() {
        let text = handed_in().sign(&Key::generate().unwrap());
        let other: Value = serde_json::from_str(&handed_in().sign(&Key::generate().unwrap())).unwrap();
        let object: Value = serde_json::from_str(&text).unwrap();
        let changes = [
            ("hub", other["hub"].clone()),
            ("account", json!("bob")),
            ("device", json!(PeerId::of_public_key(&[9; 32]).to_string())),
            ("path", json!("week4/alice/report.pdf")),
            ("size", json!(6)),
            ("sha256", json!("00".repeat(32))),
            ("digest", json!("00".repeat(32))),
            ("handed_in", json!("2026-11-20T14:05:00Z")),
            ("handed_in", json!("2026-11-21T14:05:00.5Z")),
            ("deadline", json!("2026-11-29T14:05:00Z")),
            ("late", json!(true)),
            ("transfer", other["transfer"].clone()),
            ("signature", other["signature"].clone()),
            ("signature", json!("")),
            ("more", json!(1)),
        ];
        for (field, value) in changes {
            let mut changed = object.clone();
            changed[field] = value;
            let fault = Signed::read(&changed.to_string()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Integrity, "{field}: {fault}");
        }
        for nonsense in ["", "[]", "{}", "{\"version\":1}"] {
            assert_eq!(Signed::read(nonsense).unwrap_err().kind, FaultKind::Integrity);
        }
        assert_eq!(Signed::read("{\"version\":2,\"x\":0}").unwrap_err().kind, FaultKind::Version);
    }

    /// As `man/ftx-protocol.7` has it: these bytes are signed, or old receipts are worth nothing.
    #[test]
    fn golden_bytes() {
        let what = HandedIn {
            transfer: serde_json::from_value(json!("00000000-0000-7000-8000-000000000001")).unwrap(),
            ..handed_in()
        };
        let by = PublicKey([8; 32]);
        let transfer = [0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1];
        let golden = [
            b"ftx handed in v1\0\x07lab-hub",
            &[8; 32][..],
            b"\x05alice",
            what.device.as_bytes(),
            b"\x16week3/alice/report.pdf\x05",
            &[2; 32],
            &[3; 32],
            &[0x8c, 0xca, 0x86, 0xd8, 0x06, 1, 0xf0, 0xca, 0x86, 0xd8, 0x06],
            &transfer,
        ];
        assert_eq!(what.statement(by), golden.concat());
    }

    #[test]
    fn the_longest_receipt_fits_its_bound() {
        let what = HandedIn {
            hub: "\u{1}".repeat(512).into(),
            account: Name::parse(&"\"".repeat(255)).unwrap(),
            path: RelPath::parse(&vec!["\"".repeat(255); 16].join("/")).unwrap(),
            size: u64::MAX,
            handed_in: u64::MAX,
            deadline: Some(u64::MAX),
            ..handed_in()
        };
        assert!(what.sign(&Key::generate().unwrap()).len() <= MAX_RECEIPT);
    }
}
