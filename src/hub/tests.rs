//! A hub's rules and books under hostile orders of events: what members do is done through the same calls
//! as by its conversations.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::account::{Device, Member};
use super::catalogue::{Catalogue, Row};
use super::event::Guest;
use super::events::{self, Happened};
use super::register::Register;
use super::space::{Kind, Space};
use super::store::Folder;
use super::upload::Upload;
use super::verbs::Asking;
use super::{Hub, Parts};
use crate::base::digest::{CHUNK, ChunkHash, EntryDigest, VerifiedChunk};
use crate::base::entries::Entries;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, Role, TransferId};
use crate::base::manifest::{Entry, EntryKind, Outcome, Stamp};
use crate::base::path::{Name, RelPath};
use crate::disk::keeper::Keeper;
use crate::disk::partial::{End, Partial};
use crate::disk::writer::Writer;
use crate::flow::greet::Me;
use crate::flow::limit::Limit;
use crate::link::key::Key;
use crate::link::tls::Tls;
use crate::wire::hub::{Rank, Verb};

mod changing;
mod moving;
mod sending;

const WHEN: Stamp = Stamp { seconds: 1_700_000_000, nanos: 5 };

/// A hub without a network, with the members alice, bob and the manager mia.
struct Lab {
    hub: Arc<Hub>,
    dir: PathBuf,
    _events: Happened,
    _home: TempDir,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn device(account: &str) -> PeerId {
    PeerId::of_public_key(&[account.as_bytes()[0]; 32])
}

fn file(at: &str, bytes: &[u8]) -> Entry {
    let kind = EntryKind::File { size: bytes.len() as u64, modified: WHEN, executable: false };
    Entry { path: path(at), kind }
}

fn digest_of(bytes: &[u8]) -> EntryDigest {
    let hashes: Vec<_> = bytes.chunks(CHUNK as usize).map(ChunkHash::of).collect();
    EntryDigest::over(bytes.len() as u64, hashes.iter())
}

/// An upload that has been accepted, and whose bytes come.
struct Coming {
    upload: Arc<Upload>,
    partial: Arc<Partial>,
}

impl Coming {
    fn bytes(&self, entry: u32, bytes: &[u8]) -> Result<(), Fault> {
        let mut writer = Writer::new(&self.partial);
        for (index, chunk) in bytes.chunks(CHUNK as usize).enumerate() {
            writer.write(entry, &VerifiedChunk::verify(index as u32, chunk, ChunkHash::of(chunk)).unwrap())?;
        }
        writer.end(entry, End { size: bytes.len() as u64, digest: digest_of(bytes) })
    }

    /// Puts it into place, and has it noted.
    fn settle(&self) -> Result<Vec<Outcome>, Fault> {
        let mut outcomes = Vec::new();
        for page in self.partial.settle()? {
            self.upload.settled(std::slice::from_ref(&page))?;
            outcomes.extend(page.into_iter().map(|settled| settled.outcome));
        }
        self.upload.end();
        Ok(outcomes)
    }
}

impl Lab {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().to_owned();
        let store = Arc::new(Folder::open(&dir).unwrap());
        let register = Register::open(&dir.join(".ftx")).unwrap();
        let (catalogue, _) = Catalogue::open(&dir.join(".ftx")).unwrap();
        let key = Key::generate().unwrap();
        let tls = Tls::new(&key).unwrap();
        let me = Me { key: Arc::new(key), name: "lab".into(), role: Role::Hub };
        register
            .change(|records| {
                records.settings.reserve = 0;
                records.spaces.insert(name("work"), Space { kind: Kind::Drop { deadline: None }, quota: None });
                for (account, rank) in [("alice", Rank::Member), ("bob", Rank::Member), ("mia", Rank::Manager)] {
                    let made = records.add_account(name(account), rank, 1)?;
                    made.devices.insert(device(account), Device { name: "laptop".into(), since: 1 });
                }
                Ok(())
            })
            .unwrap();
        for space in ["shared", "people", "work"] {
            std::fs::create_dir_all(dir.join(space)).unwrap();
        }
        let (events, happened) = events::way(10_000, events::Files::Each);
        let parts = Parts { me, tls, register, catalogue, store, limit: Limit::none(), events };
        Self { hub: Arc::new(Hub::new(parts)), dir, _events: happened, _home: home }
    }

    fn member(&self, account: &str) -> Member {
        self.hub.register.read(|records| records.member(&device(account))).unwrap()
    }

    fn guest(account: &str) -> Guest {
        Guest { id: device(account), name: "laptop".into(), account: Some(name(account)) }
    }

    fn asks(&self, account: &str, verb: Verb) -> Result<crate::flow::ask::Told, Fault> {
        let (guest, member) = (Self::guest(account), self.member(account));
        let here = Arc::new(());
        Asking { hub: self.hub.clone(), guest, member, waiting: Arc::downgrade(&here) }.answer(verb)
    }

    fn upload(&self, account: &str, to: &str) -> Arc<Upload> {
        Upload::new(self.hub.clone(), Self::guest(account), self.member(account), path(to))
    }

    /// Offers something as the `set`th of its sender.
    fn offers(&self, account: &str, to: &str, set: u8, entries: &[Entry]) -> Result<Coming, Fault> {
        let (upload, transfer) = (self.upload(account, to), TransferId::new());
        let mut all = Entries::default();
        all.push(entries.to_vec());
        let root = upload.accept(transfer, &all)?;
        let partial = Arc::new(Partial::open(&root, device(account), &[set; 32], transfer)?);
        partial.admit(entries.to_vec())?;
        Ok(Coming { upload, partial })
    }

    fn puts(&self, account: &str, to: &str, at: &str, bytes: &[u8]) -> Outcome {
        let coming = self.offers(account, to, 1, &[file(at, bytes)]).unwrap();
        coming.bytes(0, bytes).unwrap();
        coming.settle().unwrap().remove(0)
    }

    fn owner(&self, at: &str) -> Option<String> {
        let stat = self.hub.store.stat(&path(at)).unwrap().unwrap();
        self.hub.owner(&path(at), &stat).unwrap().map(|owner| owner.as_str().to_owned())
    }

    fn quota(&self, account: &str, bytes: u64) {
        self.hub.register.change(|records| records.set_quota(&name(account), Some(bytes))).unwrap();
    }
}
