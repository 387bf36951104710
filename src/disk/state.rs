//! Our own small files: the key and the address book.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::private::{self, Existing, Others};
use crate::base::book::{Acquaintance, Book};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::PeerId;

/// Longest file that is read as a key, in bytes; one has 85.
const MAX_KEY: u64 = 4096;

/// Longest file that is read as an address book, in bytes.
const MAX_BOOK: u64 = 64 << 20;

/// Where our files are.
#[derive(Debug, Clone)]
pub struct State {
    folder: PathBuf,
    /// The book as it was read last, and what of its file tells whether it is still that.
    read: Arc<Mutex<Option<(Seen, Book)>>>,
}

/// What tells one state of a file from another: its length, its time, and its number where it has one.
type Seen = (u64, Option<SystemTime>, u64);

fn seen(path: &Path) -> Option<Seen> {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    Some((metadata.len(), metadata.modified().ok(), number))
}

/// The address book as its file has it; `version` is 1.
#[derive(Debug, Serialize, Deserialize)]
struct BookFile {
    version: u32,
    #[serde(default)]
    peers: BTreeMap<String, Acquaintance>,
}

impl State {
    /// Our files in this folder, which is made when it is first needed.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, read: Arc::default() }
    }

    /// The file of the private key.
    pub fn key_file(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// The file of the address book.
    pub fn book_file(&self) -> PathBuf {
        self.folder.join("peers.toml")
    }

    /// The private key's bytes; at the first start those that `make` gives, kept from then on.
    ///
    /// # Errors
    /// A disk fault; [`FaultKind::NotPermitted`] where others may read the key or put another in its place.
    pub fn key(&self, make: impl FnOnce() -> Option<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let path = self.key_file();
        let kept = || private::read(&path, "the private key", Others::Nothing, MAX_KEY);
        if let Some(bytes) = kept()? {
            return Ok(bytes);
        }
        let bytes = make().map(Zeroizing::new);
        let bytes = bytes.ok_or_else(|| Fault::new(FaultKind::Other, "the system gives no randomness"))?;
        match private::write(&path, &bytes, Existing::Keep) {
            // Another process may have been first: its key is the node's key. So it is looked at in any case.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(Fault::disk(format!("writing {}", path.display()), &error))
            }
            _ => kept()?.ok_or_else(|| Fault::new(FaultKind::Disk, format!("{} is gone again", path.display()))),
        }
    }

    /// The address book; an empty one where there is none yet.
    ///
    /// # Errors
    /// A disk fault, or a file that is no book of this version, or that others may write to: it is never
    /// overwritten then.
    pub fn book(&self) -> Result<Book, Fault> {
        let path = self.book_file();
        // Asked for at each connection, however many there are.
        let now = seen(&path);
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (Some(now), Some((then, book))) = (now, known)
            && now == then
        {
            return Ok(book);
        }
        let Some(bytes) = private::read(&path, "the address book", Others::Read, MAX_BOOK)? else {
            return Ok(Book::default());
        };
        let book = std::str::from_utf8(&bytes).ok().and_then(parse_book).ok_or_else(|| {
            let text = format!("{} is not an address book of this version; mend or remove it", path.display());
            Fault::new(FaultKind::Disk, text)
        })?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = now.map(|now| (now, book.clone()));
        Ok(book)
    }

    /// Changes the address book, one process at a time; the file is replaced as a whole.
    ///
    /// # Errors
    /// As for [`State::book`].
    pub fn change_book<T>(&self, change: impl FnOnce(&mut Book) -> T) -> Result<T, Fault> {
        let path = self.book_file();
        let failed = |error: io::Error| Fault::disk(format!("writing {}", path.display()), &error);
        private::make_folder(&self.folder).map_err(failed)?;
        let lock = private::lock_file(&self.folder.join("peers.lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let before = self.book()?;
        let mut book = before.clone();
        let result = change(&mut book);
        if book != before {
            let text = print_book(&book)?;
            *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
            private::write(&path, text.as_bytes(), Existing::Replace).map_err(failed)?;
        }
        Ok(result)
    }
}

fn parse_book(text: &str) -> Option<Book> {
    let file: BookFile = toml::from_str(text).ok()?;
    let peers: Option<BTreeMap<PeerId, Acquaintance>> =
        file.peers.into_iter().map(|(id, peer)| Some((id.parse().ok()?, peer))).collect();
    (file.version == 1).then_some(Book::new(peers?))
}

fn print_book(book: &Book) -> Result<String, Fault> {
    let peers = book.peers().iter().map(|(id, peer)| (id.to_string(), peer.clone())).collect();
    toml::to_string(&BookFile { version: 1, peers })
        .map_err(|error| Fault::new(FaultKind::Other, format!("writing the address book: {error}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::book::Trust;

    fn id() -> PeerId {
        PeerId::of_public_key(&[1; 32])
    }

    #[test]
    fn the_key_is_made_once_and_private() {
        let home = tempfile::tempdir().unwrap();
        let state = State::new(home.path().join("ftx"));
        assert_eq!(state.key(|| Some(vec![1])).unwrap().as_slice(), [1]);
        assert_eq!(state.key(|| Some(vec![2])).unwrap().as_slice(), [1]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(state.key_file()), 0o600);
            fs::set_permissions(state.key_file(), PermissionsExt::from_mode(0o640)).unwrap();
            assert_eq!(state.key(|| None).unwrap_err().kind, FaultKind::NotPermitted);
        }
    }

    #[test]
    fn the_book_is_read_back_with_hostile_names() {
        let home = tempfile::tempdir().unwrap();
        let state = State::new(home.path().join("ftx"));
        let name = "a\u{1b}]0;x\u{7}\"\n[peers]";
        state
            .change_book(|book| {
                book.set_trust(id(), name.into(), Trust::Trusted, 5);
                book.meet(id(), name.into(), "[fe80::1%3]:9".parse().ok(), 6);
            })
            .unwrap();
        let book = state.book().unwrap();
        assert_eq!(book.find(&id()).unwrap().name.as_raw(), name);
        assert_eq!(book.find(&id()).unwrap().addresses[0].to_string(), "[fe80::1%3]:9");
        assert_eq!(book.trust(&id()), Trust::Trusted);
    }

    #[test]
    fn a_book_of_another_version_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let state = State::new(home.path().to_owned());
        fs::write(state.book_file(), "version = 2\n").unwrap();
        assert!(state.change_book(|book| book.set_trust(id(), "x".into(), Trust::Known, 1)).is_err());
        assert_eq!(fs::read_to_string(state.book_file()).unwrap(), "version = 2\n");
    }
}
