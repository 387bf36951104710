//! Staging: where a transfer's verified chunks wait until everything is there.
//!
//! Below the receiver's folder, `.ftx-partial/<key>/` holds `lock`, `journal` and `data`, the tree
//! as it comes. The key is made of who sends and of the outermost names, so that the same command
//! again finds what it left. Only the sender it came from can go on with it.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::fs::{File, TryLockError};
use std::hash::BuildHasher;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, OpenOptions};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::journal::{self, Journal, Kept};
use super::root::{Folders, Missing, Root};
use super::settle;
use crate::base::digest::{CHUNK, ChunkHash, EntryDigest, chunk_length};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, TransferId};
use crate::base::manifest::{ChunkRun, Entry, EntryKind, Have, Outcome};
use crate::base::path::RelPath;

/// The folder for staging, in every folder that receives.
pub const STAGING: &str = ".ftx-partial";

/// How often staging is opened again where it was cleared just then.
const MOST_TRIES: u32 = 20;

/// How long another transfer of the same is waited for: mostly its connection is lost and it only
/// notes what it has, for the one that waits to go on with.
const ENDING: Duration = Duration::from_secs(10);

/// How often it is looked whether that has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How long what a transfer left is kept for somebody to go on with.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One transfer's staging.
#[derive(Debug)]
pub struct Partial {
    pub(super) root: Root,
    pub(super) area_name: String,
    pub(super) data: Arc<Dir>,
    pub(super) kept: HashMap<RelPath, Kept>,
    pub(super) journal: Mutex<Journal>,
    pub(super) slots: Mutex<Vec<Slot>>,
    pub(super) names: Mutex<HashSet<u64>>,
    pub(super) hasher: RandomState,
    pub(super) bytes: AtomicU64,
    pub(super) unsynced: AtomicU64,
    pub(super) entries: AtomicU64,
    /// Whether equal size and time are not enough.
    by_content: AtomicBool,
    /// Whether settling has begun and not come to its end: staging is then not to be cleared.
    settling: AtomicBool,
    /// Whether it has been left: the folder may be another transfer's by now.
    left: AtomicBool,
    _lock: File,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) entry: Entry,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// A folder or a link: nothing to write before everything is settled.
    Plain,
    /// Chunks are being collected.
    Open(Box<Work>),
    /// All there and verified.
    Staged(EntryDigest),
    /// An equal file is in place.
    Equal,
    /// Something else is in place, and stays.
    Skipped,
    /// A file with the same bytes is in place.
    Same(EntryDigest),
    /// It will not come.
    Failed(Fault),
}

/// A file whose chunks are being collected.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) chunks: Vec<Option<ChunkHash>>,
    pub(super) got: usize,
    pub(super) bytes: u64,
    /// A chunk of a pipe that is not a whole one: only the last may be.
    pub(super) short: Option<u32>,
    pub(super) number: Option<u32>,
    pub(super) end: Option<End>,
    /// The digest of a file in place that may be the same.
    pub(super) candidate: Option<EntryDigest>,
}

/// What the sender says of an entry when it is through.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// Its length.
    pub size: u64,
    /// Its digest.
    pub digest: EntryDigest,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Partial {
    /// Opens the staging of what `sender` sends under the names that `set` stands for, with what
    /// an earlier try left. Where another transfer of the same is under way, and does not end
    /// soon, a fresh one, which nobody can go on with.
    ///
    /// # Errors
    /// A disk fault.
    pub fn open(root: &Root, sender: PeerId, set: &[u8; 32], transfer: TransferId) -> Result<Self, Fault> {
        let key = area_of(sender, set);
        let doing = format!("preparing {}", root.shown().join(STAGING).display());
        let open = |name: &str| {
            // A transfer that ends just now may clear the folder under our hands.
            let mut tries = 0;
            loop {
                match Self::open_area(root, name) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && tries < MOST_TRIES => tries += 1,
                    opened => return opened,
                }
            }
        };
        let end = Instant::now() + ENDING;
        let opened = loop {
            match open(&key) {
                Ok(None) if Instant::now() < end => std::thread::sleep(LOOK),
                Ok(None) => break open(&format!("{key}-{transfer}")),
                opened => break opened,
            }
        };
        match opened {
            Ok(Some(partial)) => Ok(partial),
            Ok(None) => Err(Fault::new(FaultKind::Busy, "the same transfer is under way already")),
            Err(error) => Err(Fault::disk(doing, &error)),
        }
    }

    /// `None` where somebody else is using it.
    fn open_area(root: &Root, name: &str) -> io::Result<Option<Self>> {
        let staging = private_folder(root.dir(), STAGING)?;
        // What cannot be cleared now is left for another time.
        let _ = clear_old(&staging, SystemTime::now());
        let area = private_folder(&staging, name)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).follow(FollowSymlinks::No);
        let lock = area.open_with("lock", &options)?.into_std();
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had it before may have cleared it: then this is a lock on nothing.
        area.symlink_metadata("lock")?;
        let kept = match area.open_with("journal", &super::root::read_nofollow()) {
            Ok(old) => journal::load(&old.into_std())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
            // What cannot be read now is not worthless.
            Err(error) => return Err(error),
        };
        if kept.is_empty() && area.symlink_metadata("data").is_ok() {
            // Bytes that no journal speaks for are worth nothing.
            area.remove_dir_all("data")?;
        }
        let data = private_folder(&area, "data")?;
        if !kept.is_empty() {
            // The new journal says that all of this is on the disk.
            sync_all_below(&data)?;
        }
        options.truncate(true);
        let fresh = area.open_with("journal.new", &options)?.into_std();
        let journal = Journal::begin(fresh, &kept)?;
        area.rename("journal.new", &area, "journal")?;
        Ok(Some(Self {
            root: root.clone(),
            area_name: name.to_owned(),
            data: Arc::new(data),
            kept,
            journal: Mutex::new(journal),
            slots: Mutex::default(),
            names: Mutex::default(),
            hasher: RandomState::new(),
            bytes: AtomicU64::new(0),
            unsynced: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            by_content: AtomicBool::new(false),
            settling: AtomicBool::new(false),
            left: AtomicBool::new(false),
            _lock: lock,
        }))
    }

    /// From now on, what is in place is equal only if its bytes are.
    pub fn compare_contents(&self) {
        self.by_content.store(true, Ordering::Relaxed);
    }

    /// Takes the next entries of the manifest and says what is there of each already.
    ///
    /// # Errors
    /// A disk fault.
    pub fn admit(&self, page: Vec<Entry>) -> Result<Vec<Have>, Fault> {
        let by_content = self.by_content.load(Ordering::Relaxed);
        let mut there = settle::Place::new(&self.root);
        let mut staged = Folders::new(self.data.clone());
        let mut haves = Vec::with_capacity(page.len());
        let mut slots = Vec::with_capacity(page.len());
        let mut begun_anew = false;
        for entry in page {
            // Only a keyed hash of each path is kept: a million paths would be too much.
            if !lock(&self.names).insert(self.hasher.hash_one(&entry.path)) {
                return Err(Fault::protocol(format!("{} is offered twice", entry.path)));
            }
            if !self.kept.is_empty() {
                self.clear_other_kind(&entry, &mut staged)?;
            }
            let is_file = matches!(entry.kind, EntryKind::File { .. });
            let candidate = if by_content && is_file { there.digest_of(&entry) } else { None };
            let state = match &entry.kind {
                EntryKind::Directory | EntryKind::Link { .. } => State::Plain,
                EntryKind::File { .. } if !by_content && there.has_equal(&entry) => State::Equal,
                _ if candidate.is_none() && there.keeps_other(&entry.path) => State::Skipped,
                EntryKind::File { .. } => {
                    let mut work = self.resume(&entry, &mut staged)?;
                    if work.got == 0 {
                        work.candidate = candidate;
                    }
                    State::Open(Box::new(work))
                }
                EntryKind::Stream => State::Open(Box::default()),
            };
            if matches!(&state, State::Open(work) if work.got == 0) && self.kept.contains_key(&entry.path) {
                begun_anew = true;
                let noted = lock(&self.journal).forget(&entry.path);
                noted.map_err(|error| Fault::disk("writing the journal", &error))?;
            }
            haves.push(match &state {
                State::Equal => Have::Equal,
                State::Skipped => Have::Skipped,
                State::Open(work) if work.got > 0 => Have::Chunks(runs(&work.chunks)),
                State::Open(work) => work.candidate.map_or(Have::Nothing, Have::Digest),
                _ => Have::Nothing,
            });
            if !matches!(state, State::Open(_)) {
                self.entries.fetch_add(1, Ordering::Relaxed);
            }
            slots.push(Slot { entry, state });
        }
        if begun_anew {
            // What the journal said of the old bytes must be gone before there are new ones, also
            // after a power cut.
            self.checkpoint().map_err(|error| Fault::disk("starting over", &error))?;
        }
        lock(&self.slots).extend(slots);
        Ok(haves)
    }

    /// Removes what an earlier try staged at an entry's path where that is of another kind, or where
    /// it begins anew anyway.
    fn clear_other_kind(&self, entry: &Entry, staged: &mut Folders) -> Result<(), Fault> {
        let name = entry.path.file_name();
        let Ok(dir) = staged.holding(&entry.path, Missing::Fail) else { return Ok(()) };
        let Ok(there) = dir.symlink_metadata(name.as_str()) else { return Ok(()) };
        let fits = match entry.kind {
            EntryKind::Directory => there.is_dir(),
            EntryKind::File { .. } => there.is_file() && self.kept.contains_key(&entry.path),
            EntryKind::Stream => false,
            EntryKind::Link { .. } => there.is_symlink(),
        };
        let cleared = match (fits, there.is_dir()) {
            (true, _) => Ok(()),
            (false, true) => dir.remove_dir_all(name.as_str()),
            (false, false) => dir.remove_file(name.as_str()),
        };
        cleared.map_err(|e| Fault::disk(format!("starting {} over", entry.path), &e))
    }

    /// What the journal has of a file, if it still is the same file and its bytes are still there.
    fn resume(&self, entry: &Entry, staged: &mut Folders) -> Result<Work, Fault> {
        let EntryKind::File { size, modified, .. } = entry.kind else { return Ok(Work::default()) };
        // Grows with what comes, not with what is announced.
        let mut work = Work::default();
        let Some(kept) = self.kept.get(&entry.path) else { return Ok(work) };
        let name = entry.path.file_name();
        let Ok(dir) = staged.holding(&entry.path, Missing::Fail) else { return Ok(work) };
        let length = dir.symlink_metadata(name.as_str()).ok().filter(|m| m.is_file()).map(|m| m.len());
        if kept.size == size && kept.modified == modified {
            work.chunks = vec![None; kept.chunks.len()];
            for (index, hash) in kept.chunks.iter().enumerate() {
                let end = index as u64 * CHUNK + chunk_length(size, index as u32);
                if hash.is_some() && length.is_some_and(|length| length >= end) {
                    work.chunks[index] = *hash;
                    work.got += 1;
                    work.bytes += chunk_length(size, index as u32);
                }
            }
        }
        if work.got == 0 && length.is_some() {
            dir.remove_file(name.as_str()).map_err(|e| Fault::disk(format!("starting {} over", entry.path), &e))?;
        }
        Ok(work)
    }

    /// Bytes that are written and verified, without what an earlier try left.
    pub fn bytes_written(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Entries that are complete.
    pub fn entries_complete(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Whether anything is staged that a later try can go on with.
    pub fn holds_something(&self) -> bool {
        if self.settling.load(Ordering::Acquire) {
            return true;
        }
        if is_fresh(&self.area_name) {
            return false;
        }
        // Also what has not been offered again yet.
        if !self.kept.is_empty() {
            return true;
        }
        // A pipe begins anew each time: what came of it is worth nothing.
        lock(&self.slots).iter().filter(|slot| slot.entry.kind != EntryKind::Stream).any(|slot| match &slot.state {
            State::Open(work) => work.got > 0,
            State::Staged(_) => true,
            _ => false,
        })
    }

    /// Syncs everything, puts it into place by the folder's rule for names that are taken, and
    /// clears the staging.
    /// Returns each entry's outcome and, where bytes came, its digest.
    ///
    /// # Errors
    /// A disk fault; what is staged then stays.
    pub fn settle(&self) -> Result<Vec<(Entry, Outcome, Option<EntryDigest>)>, Fault> {
        self.settling.store(true, Ordering::Release);
        let slots = std::mem::take(&mut *lock(&self.slots));
        let mut same = Vec::new();
        let mut entries = Vec::with_capacity(slots.len());
        for Slot { entry, state } in slots {
            let (outcome, digest) = match state {
                State::Plain => (Outcome::Placed, None),
                State::Staged(digest) => (Outcome::Placed, Some(digest)),
                State::Equal => (Outcome::Unchanged, None),
                State::Same(digest) => {
                    same.push((entries.len(), digest));
                    (Outcome::Equal, None)
                }
                State::Skipped => (Outcome::Skipped, None),
                State::Failed(fault) => (Outcome::Failed(fault), None),
                State::Open(_) => (Outcome::Failed(Fault::protocol("the sender did not finish it")), None),
            };
            entries.push((entry, outcome, digest));
        }
        let odd = !self.kept.is_empty() || entries.iter().any(|(_, outcome, _)| !outcome.is_good());
        let mut settling = settle::Settling::new(&self.root, self.data.clone());
        settling.run(&mut entries, if odd { settle::Leftovers::Possible } else { settle::Leftovers::None })?;
        // Of these nothing was staged.
        same.into_iter().for_each(|(place, digest)| entries[place].2 = Some(digest));
        // Losing the leftovers' removal loses nothing: what is there is in place.
        let _ = self.clear();
        Ok(entries)
    }

    fn clear(&self) -> io::Result<()> {
        let staging = self.root.dir().open_dir_nofollow(STAGING)?;
        staging.remove_dir_all(&self.area_name)?;
        // Fails, as it should, while another transfer is using it.
        self.root.dir().remove_dir(STAGING)
    }

    /// Gives up the staging if it holds nothing; else makes what it holds survive a power cut.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Release);
        if self.holds_something() {
            let _ = self.checkpoint();
        } else {
            let _ = self.clear();
        }
    }

    /// Makes everything staged, and the journal's word on it, survive a power cut.
    pub(super) fn checkpoint(&self) -> io::Result<()> {
        // Nothing is noted between the sync and the word that it has been.
        let mut journal = lock(&self.journal);
        sync_all_below(&self.data)?;
        journal.synced()
    }
}

/// Opened for somebody who is gone: nobody else clears it.
impl Drop for Partial {
    fn drop(&mut self) {
        if !self.left.load(Ordering::Acquire) && !self.holds_something() {
            let _ = self.clear();
        }
    }
}

/// Makes everything written below a folder durable with one call where the system has it.
pub(super) fn sync_all_below(dir: &Dir) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags, openat, syncfs};
        let open = openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(syncfs(open)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        for entry in dir.entries()? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                sync_all_below(&entry.open_dir()?)?;
            } else if kind.is_file() {
                entry.open_with(OpenOptions::new().read(true).write(true))?.sync_all()?;
            }
        }
        Ok(())
    }
}

/// The folder in staging for what `sender` sends under the names that `set` stands for.
pub(super) fn area_of(sender: PeerId, set: &[u8; 32]) -> String {
    let key = Sha256::new_with_prefix(sender.as_bytes()).chain_update(set).finalize();
    HEXLOWER.encode(&key[..16])
}

/// Clears what transfers left that nobody has gone on with for [`KEPT_FOR`]; what is in use, and
/// what we did not make, stays.
fn clear_old(staging: &Dir, now: SystemTime) -> io::Result<()> {
    for area in staging.entries()? {
        let own = area?.file_name();
        let Some(name) = own.to_str().filter(|name| is_key(name)) else { continue };
        let Ok(area) = staging.open_dir_nofollow(name) else { continue };
        let written = area.symlink_metadata("journal").and_then(|metadata| metadata.modified());
        let idle = written.ok().and_then(|time| now.duration_since(time.into_std()).ok());
        let Ok(lock) = area.open_with("lock", &super::root::read_nofollow()).map(cap_std::fs::File::into_std) else {
            continue;
        };
        // Held until it is gone: nobody goes on with it meanwhile.
        if idle.is_some_and(|idle| idle > KEPT_FOR) && lock.try_lock().is_ok() {
            staging.remove_dir_all(name)?;
        }
    }
    Ok(())
}

/// Whether a folder in staging is one transfer's alone: no later one will look for it.
fn is_fresh(name: &str) -> bool {
    name.contains('-')
}

/// Whether a folder in staging is named as we name them: 32 hexadecimal digits, perhaps with a
/// transfer's id behind them.
fn is_key(name: &str) -> bool {
    let key = name.split('-').next().unwrap_or(name);
    key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit())
}

fn private_folder(dir: &Dir, name: &str) -> io::Result<Dir> {
    let mut builder = cap_std::fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use cap_std::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    #[cfg(not(unix))]
    let _ = &mut builder;
    match dir.create_dir_with(name, &builder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    dir.open_dir_nofollow(name)
}

pub(super) fn slot(slots: &mut [Slot], entry: u32) -> Result<&mut Slot, Fault> {
    slots.get_mut(entry as usize).ok_or_else(|| Fault::protocol("an entry that was not offered"))
}

pub(super) fn runs(chunks: &[Option<ChunkHash>]) -> Vec<ChunkRun> {
    let mut runs: Vec<ChunkRun> = Vec::new();
    for (index, _) in chunks.iter().enumerate().filter(|(_, chunk)| chunk.is_some()) {
        let index = index as u32;
        let full = runs.len() == Have::MAX_RUNS;
        match runs.last_mut() {
            Some(run) if run.first + run.count == index => run.count += 1,
            _ if full => break,
            _ => runs.push(ChunkRun { first: index, count: 1 }),
        }
    }
    runs
}
