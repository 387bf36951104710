//! What the hub knows of its folder beside what the folder says itself: digests, owners, kept
//! versions, uploads under way. All the SQL is here.
//!
//! The folder is the truth. A row speaks of a file only while that has the row's size, time and
//! inode; a catalogue that is lost is begun anew, and [`super::rebuild`] fills it from the folder.
//! One thread owns the database. Every call waits for it: call from threads that may block.

mod file;
mod open;
mod upload;
mod version;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::store::Stat;
use crate::base::digest::EntryDigest;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::Stamp;
use crate::base::path::{Name, RelPath};

pub use file::{Change, Kept};
pub use open::Found;
pub use upload::{Pending, Top};

/// What is known of a file, or of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it is, from the hub's top.
    pub path: RelPath,
    /// Its bytes; of a link, those of its target's text.
    pub size: u64,
    /// When it was last changed.
    pub modified: Stamp,
    /// Which file it is, whatever its name; 0 where the system does not tell.
    pub inode: u64,
    /// Its digest, once it is known.
    pub digest: Option<EntryDigest>,
    /// The plain SHA-256 of its bytes, once it is known.
    pub sha256: Option<[u8; 32]>,
    /// Whose it is; nobody's, if it was put there by hand.
    pub owner: Option<Name>,
    /// Since when it is there, in seconds since 1970.
    pub since: u64,
}

impl Row {
    /// What is known of something that has just been found.
    pub fn of(path: RelPath, stat: &Stat, owner: Option<Name>, since: u64) -> Self {
        let (size, modified, inode) = (stat.size, stat.modified, stat.inode);
        Self { path, size, modified, inode, digest: None, sha256: None, owner, since }
    }

    /// Whether this still speaks of what is there.
    pub fn fits(&self, stat: &Stat) -> bool {
        stat.is_kept() && self.size == stat.size && self.modified == stat.modified && self.inode == stat.inode
    }
}

/// Calls that wait for the database at once; who comes later waits to be let in.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The catalogue. Clones share it; it is closed when the last is gone.
#[derive(Debug, Clone)]
pub struct Catalogue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // Closing writes everything into the one file.
            let _ = thread.join();
        }
    }
}

impl Catalogue {
    /// Opens the catalogue in the hub's own folder, which must be there. One that is missing is begun;
    /// one that is broken is moved aside and begun anew: what is found says so.
    ///
    /// # Errors
    /// [`FaultKind::Version`] where a later ftx wrote it: it is not touched then. A disk fault.
    pub fn open(state_dir: &Path) -> Result<(Self, Found), Fault> {
        let (mut connection, found) = open::open(state_dir)?;
        let (queue, jobs) = mpsc::sync_channel::<Job>(QUEUE);
        let run = move || jobs.iter().for_each(|job| job(&mut connection));
        let thread = std::thread::Builder::new().name("catalogue".to_owned()).spawn(run);
        let thread = thread.map_err(|error| Fault::disk("starting the catalogue", &error))?;
        Ok((Self(Arc::new(Inner { queue: Some(queue), thread: Some(thread) })), found))
    }

    /// Notes that everything is noted: until something changes again, it counts as closed.
    ///
    /// # Errors
    /// As the disk says.
    pub fn rest(&self) -> Result<(), Fault> {
        self.call(|connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
    }

    /// Has the thread run this, after all that it was given before.
    fn begin_call<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Called<T>, Fault> {
        let (tell, told) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |connection| drop(tell.send(run(connection))));
        let queue = self.0.queue.as_ref().ok_or_else(stopped)?;
        queue.send(job).map_err(|_| stopped())?;
        Ok(Called(told))
    }

    /// Has the thread run this, and waits for what comes of it.
    fn call<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        self.begin_call(run)?.wait()
    }

    /// Has the thread run this in one transaction, which is on the disk when it returns.
    fn change<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        self.call(|connection| in_transaction(connection, run))
    }
}

/// Something that the thread does meanwhile.
#[derive(Debug)]
#[must_use = "whether it was done is known once it was waited for"]
pub struct Called<T>(mpsc::Receiver<rusqlite::Result<T>>);

impl<T> Called<T> {
    /// Waits until it is done; a change is on the disk then.
    ///
    /// # Errors
    /// As the disk says.
    pub fn wait(self) -> Result<T, Fault> {
        self.0.recv().map_err(|_| stopped())?.map_err(|error| fault(&error))
    }
}

fn stopped() -> Fault {
    Fault::new(FaultKind::Other, "the catalogue has stopped; start the hub again")
}

fn in_transaction<T>(
    connection: &mut Connection,
    run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction()?;
    let done = run(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

fn fault(error: &rusqlite::Error) -> Fault {
    Fault::new(FaultKind::Disk, format!("the catalogue: {error}"))
}

/// A path as it is kept: the folder it is in (empty at the top), and its name there.
fn split(path: &RelPath) -> (String, String) {
    (key(path.parent().as_ref()), path.last().to_owned())
}

/// A folder as it is kept; empty is the top.
fn key(folder: Option<&RelPath>) -> String {
    folder.map_or_else(String::new, |folder| folder.as_str().to_owned())
}

/// The folders below one, as a range of keys: from the first, up to and without the second.
fn below(folder: &str) -> (String, String) {
    // `0` is the character after `/`.
    (format!("{folder}/"), format!("{folder}0"))
}

/// Of these lines those that can be read: one that speaks of what nobody can name is left out, and not the whole
/// answer.
fn readable<T>(lines: impl Iterator<Item = rusqlite::Result<T>>) -> rusqlite::Result<Vec<T>> {
    lines.filter(|line| !matches!(line, Err(rusqlite::Error::FromSqlConversionFailure(..)))).collect()
}

/// The path kept in these columns. What is no path is no row of ours: reading fails.
fn joined(folder: &str, name: &str) -> rusqlite::Result<RelPath> {
    let whole = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    RelPath::parse(&whole).map_err(|error| unreadable(Box::new(error)))
}

fn owner_of(text: Option<String>) -> rusqlite::Result<Option<Name>> {
    text.map(|text| Name::parse(&text)).transpose().map_err(|error| unreadable(Box::new(error)))
}

fn unreadable(error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error)
}

/// A number as the database keeps it: its integers have a sign.
fn whole(number: u64) -> i64 {
    number.cast_signed()
}
