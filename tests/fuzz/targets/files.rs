//! Our own files, damaged or made by others, and what is said at the local socket.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use ftx::base::book::Trust;
use ftx::base::id::PeerId;
use ftx::base::manifest::{Entry, EntryKind, Stamp};
use ftx::base::path::RelPath;
use ftx::cli::config::Folders;
use ftx::disk::peek::Peek;
use ftx::disk::root::Root;
use ftx::disk::state::State;
use ftx::flow::handed_in::Signed;
use ftx::hub::catalogue::Catalogue;
use ftx::hub::control::lines::{self, MAX_ANSWER, MAX_REQUEST};
use ftx::hub::control::message::{Answer, Ask};
use ftx::hub::register::Register;
use ftx::link::key::{Key, PublicKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::Took;
use super::scratch::{at_once, file, folder};

fn somebody() -> PeerId {
    PeerId::of_public_key(&[1; 32])
}

/// The address book: one that is read can be changed, and says the same afterwards; one that is none stays.
pub(super) fn book(bytes: &[u8]) -> Took {
    let home = folder();
    let path = file(home.path(), "peers.toml", bytes);
    let state = State::new(home.path().to_owned());
    let Ok(mut book) = state.book() else {
        assert!(state.change_book(|book| book.set_trust(somebody(), "x".into(), Trust::Known, 1)).is_err());
        assert_eq!(std::fs::read(path).expect("it is there"), bytes, "what cannot be read is not written over");
        return Took::No;
    };
    let change = |book: &mut ftx::base::book::Book| {
        book.meet(somebody(), "\u{1b}]0;\"\n[peers]".into(), None, 7);
        book.set_trust(somebody(), "x".into(), Trust::Blocked, 7);
    };
    change(&mut book);
    state.change_book(change).expect("it can be changed");
    assert_eq!(state.book().expect("what was written can be read"), book);
    Took::Yes
}

/// The configuration: read, or refused in words that say where.
pub(super) fn config(bytes: &[u8]) -> Took {
    let home = folder();
    file(home.path(), "config.toml", bytes);
    let path = || home.path().to_owned();
    let folders = Folders { config: path(), data: path(), home: path(), downloads: path(), sockets: Vec::new() };
    match folders.config() {
        Ok(_) => Took::Yes,
        Err(failure) => {
            assert!(failure.error.contains("config.toml"), "{failure:?}");
            Took::No
        }
    }
}

const MODIFIED: Stamp = Stamp { seconds: 1, nanos: 2 };

/// A journal that an earlier try left. Behind a first byte of 0 stands the whole file; behind another one
/// its records, without their checks: nobody guesses these.
pub(super) fn journal(bytes: &[u8]) -> Took {
    let Some((first, rest)) = bytes.split_first() else { return Took::No };
    let text = if *first == 0 { rest.to_vec() } else { sealed(rest) };
    let home = folder();
    let (root, set) = (Root::open(home.path()).expect("a folder"), [3; 32]);
    // As staging names its folders.
    let owner = Sha256::new_with_prefix(b"ftx staging owner v1\0").chain_update(somebody().as_bytes()).finalize();
    let key = Sha256::new_with_prefix(somebody().as_bytes()).chain_update(set).finalize();
    let area = HEXLOWER.encode(&[&owner[..6], &key[..10]].concat());
    let area = home.path().join(".ftx-partial").join(area);
    std::fs::create_dir_all(&area).expect("a folder");
    file(&area, "journal", &text);
    let peek = Peek::open(&root, somebody(), &set);
    let entries = ["a", "b/c"].into_iter().flat_map(|path| {
        [0, 1, (3 << 20) + 5, u64::from(u32::MAX) << 20].map(|size| Entry {
            path: RelPath::parse(path).expect("a path"),
            kind: EntryKind::File { size, modified: MODIFIED, executable: false },
        })
    });
    let entries: Vec<_> = entries.collect();
    let haves = peek.haves(&entries, false);
    assert_eq!(haves.len(), entries.len());
    for (entry, have) in entries.iter().zip(&haves) {
        assert!(have.fits(entry.size()), "{have:?} of {entry:?}");
    }
    Took::of(haves.iter().any(|have| have.contains(0) || have.contains(1) || have.contains(2)))
}

/// A journal of this boot with these records: each a length byte and so many bytes.
fn sealed(mut rest: &[u8]) -> Vec<u8> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut text = b"ftxj\x01".to_vec();
    text.extend(HEXLOWER.decode(boot.trim().replace('-', "").as_bytes()).unwrap_or(vec![0; 16]));
    while let Some((length, after)) = rest.split_first() {
        let (record, after) = after.split_at(usize::from(*length).min(after.len()));
        text.extend((record.len() as u16).to_be_bytes());
        text.extend(record);
        text.extend(&Sha256::digest(record)[..4]);
        rest = after;
    }
    text
}

/// The register of a hub: one that is read can be changed and read again; of one that is none no word is
/// told that may be secret, and it stays.
pub(super) fn register(bytes: &[u8]) -> Took {
    let home = folder();
    let path = file(home.path(), "register.toml", bytes);
    match Register::open(home.path()) {
        Ok(register) => {
            let change = register.change(|records| {
                records.settings.keep_days ^= 1;
                Ok(())
            });
            change.expect("it can be changed");
            let again = Register::open(home.path()).expect("what was written can be read");
            register.read(|records| again.read(|same| assert_eq!(records, same)));
            Took::Yes
        }
        Err(fault) => {
            assert_eq!(std::fs::read(path).expect("it is there"), bytes, "it is not written over");
            assert!(!fault.to_string().contains(&"02".repeat(32)), "{fault}");
            Took::No
        }
    }
}

/// A hub's catalogue: gone on with, or moved aside for a new one; what it holds is read without harm.
pub(super) fn catalogue(bytes: &[u8]) -> Took {
    let home = folder();
    file(home.path(), "catalogue.sqlite", bytes);
    let Ok((catalogue, found)) = Catalogue::open(home.path()) else { return Took::No };
    let path = RelPath::parse("shared/a").expect("a path");
    // Damage may show only now; it is told, and no more.
    let _ = catalogue.page(None, None, 100);
    let _ = catalogue.row(&path);
    let _ = catalogue.children(None);
    let _ = catalogue.versions(&path);
    let _ = catalogue.page_of_versions(None, 100);
    let _ = catalogue.pending();
    let _ = catalogue.owners();
    drop(catalogue);
    let took = !matches!(found, ftx::hub::catalogue::Found::Rebuild(_));
    let aside = |path: PathBuf| path.to_string_lossy().contains(".broken-");
    assert_eq!(children(home.path()).into_iter().any(aside), !took, "what is broken is moved aside, not removed");
    Took::of(took)
}

fn children(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).expect("a folder").map(|child| child.expect("a child").path()).collect()
}

/// The statements that the seeds of [`handed_in`] carry, signed with keys that nobody has any more.
const SIGNED: [&[u8]; 2] =
    [include_bytes!("../seeds/handed_in/with-deadline"), include_bytes!("../seeds/handed_in/without")];

/// A receipt of a hub: whatever is done to one that is signed, it says the same or is refused.
pub(super) fn handed_in(bytes: &[u8]) -> Took {
    let Ok(text) = std::str::from_utf8(bytes) else { return Took::No };
    let Ok(signed) = Signed::read(text) else { return Took::No };
    let original = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| Signed::read(text).ok());
    assert!(SIGNED.into_iter().filter_map(original).any(|known| known == signed), "nobody signed {signed:?}");
    Took::Yes
}

/// Keys: of a peer, as TLS carries them, and our own.
pub(super) fn keys(bytes: &[u8]) -> Took {
    if let Some(key) = PublicKey::from_spki(bytes) {
        assert_eq!(key.to_spki(), bytes);
        assert!(!key.signed(b"message", &[0; 64]));
        return Took::Yes;
    }
    let Ok(key) = Key::from_pkcs8(bytes) else { return Took::No };
    let again = Key::from_pkcs8(key.to_pkcs8()).expect("what was written can be read");
    assert_eq!(key.public(), again.public());
    assert!(key.public().signed(b"message", &again.sign(b"message")));
    Took::Yes
}

/// A line at the local socket, and what it asks.
pub(super) fn asked(bytes: &[u8]) -> Took {
    line::<Ask>(bytes, MAX_REQUEST)
}

/// What a hub answers there.
pub(super) fn answered(bytes: &[u8]) -> Took {
    line::<Answer>(bytes, MAX_ANSWER)
}

fn line<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8], most: usize) -> Took {
    let mut reader = tokio::io::BufReader::with_capacity(7, bytes);
    let read = at_once(lines::read(&mut reader, most, Duration::from_secs(5)));
    let Ok(Some(line)) = read else { return Took::No };
    assert!(line.len() <= most && !line.contains(&b'\n') && bytes.starts_with(&line));
    let Ok(value) = serde_json::from_slice::<T>(&line) else { return Took::No };
    let again = lines::encode(&value).expect("what could be read can be written");
    assert_eq!(serde_json::from_slice::<T>(&again).expect("what was written can be read"), value);
    Took::Yes
}
