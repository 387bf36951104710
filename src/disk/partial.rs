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
use std::time::{Duration, SystemTime};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, OpenOptions};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::fit::{Case, FileSystem, Fit};
use super::journal::{self, Journal, Kept};
use super::root::{Folders, Missing, Root};
use super::settle::{self, Settled};
use crate::base::digest::{CHUNK, ChunkHash, EntryDigest, chunk_length};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, TransferId};
use crate::base::manifest::{ChunkRun, Entry, EntryKind, Have, Outcome};
use crate::base::path::RelPath;

/// The folder for staging, in every folder that receives.
pub const STAGING: &str = ".ftx-partial";

/// How often staging is opened again where it was cleared just then.
const MOST_TRIES: u32 = 20;

/// How long what a transfer left is kept for somebody to go on with.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One transfer's staging.
#[derive(Debug)]
pub struct Partial {
    pub(super) root: Root,
    pub(super) area_name: String,
    pub(super) data: Arc<Dir>,
    /// By the path that it is staged under.
    pub(super) kept: HashMap<RelPath, Kept>,
    pub(super) fit: Mutex<Fit>,
    pub(super) journal: Mutex<Journal>,
    pub(super) slots: Mutex<Vec<Slot>>,
    pub(super) names: Mutex<HashSet<u64>>,
    pub(super) hasher: RandomState,
    pub(super) bytes: AtomicU64,
    pub(super) unsynced: AtomicU64,
    pub(super) entries: AtomicU64,
    /// Whether settling has begun and not come to its end: staging is then not to be cleared.
    settling: AtomicBool,
    /// Held while this is in use.
    lock: Mutex<Option<File>>,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) entry: Entry,
    /// Where it goes, if not to its own path: see [`Fit`].
    pub(super) elsewhere: Option<Box<RelPath>>,
    pub(super) state: State,
}

impl Slot {
    /// Where it goes.
    pub(super) fn local(&self) -> &RelPath {
        self.elsewhere.as_deref().unwrap_or(&self.entry.path)
    }
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
    Equal(settle::Found),
    /// It will not come.
    Failed(Fault),
}

/// A file whose chunks are being collected.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) chunks: Vec<Option<ChunkHash>>,
    pub(super) got: usize,
    pub(super) bytes: u64,
    /// Whether an earlier try left some of it.
    pub(super) resumed: bool,
    /// A chunk of a pipe that is not a whole one: only the last may be.
    pub(super) short: Option<u32>,
    pub(super) number: Option<u32>,
    pub(super) end: Option<End>,
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
    /// an earlier try left. Where another transfer of the same is under way, a fresh one.
    ///
    /// # Errors
    /// A disk fault.
    pub fn open(root: &Root, sender: PeerId, set: &[u8; 32], transfer: TransferId) -> Result<Self, Fault> {
        let key = Sha256::new_with_prefix(sender.as_bytes()).chain_update(set).finalize();
        let key = HEXLOWER.encode(&key[..16]);
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
        let opened = open(&key).and_then(|opened| match opened {
            Some(partial) => Ok(Some(partial)),
            None => open(&format!("{key}-{transfer}")),
        });
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
        let system = FileSystem::probe(&area);
        let kept = match area.open_with("journal", &super::root::read_nofollow()) {
            Ok(old) => journal::load(&old.into_std(), system.case),
            Err(_) => HashMap::new(),
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
            fit: Mutex::new(Fit::new(system)),
            journal: Mutex::new(journal),
            slots: Mutex::default(),
            names: Mutex::default(),
            hasher: RandomState::new(),
            bytes: AtomicU64::new(0),
            unsynced: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            settling: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        }))
    }

    /// Takes the next entries of the manifest and says what is there of each already.
    ///
    /// # Errors
    /// A disk fault.
    pub fn admit(&self, page: Vec<Entry>) -> Result<Vec<Have>, Fault> {
        let mut there = settle::Place::new(&self.root);
        let mut staged = Folders::new(self.data.clone());
        let mut haves = Vec::with_capacity(page.len());
        let mut slots = Vec::with_capacity(page.len());
        for entry in page {
            // Only a keyed hash of each path is kept: a million paths would be too much.
            if !lock(&self.names).insert(self.hasher.hash_one(&entry.path)) {
                return Err(Fault::protocol(format!("{} is offered twice", entry.path)));
            }
            let elsewhere = lock(&self.fit).elsewhere(&entry)?;
            let local = elsewhere.as_deref().unwrap_or(&entry.path);
            if !self.kept.is_empty() {
                self.clear_other_kind(&entry.kind, local, &mut staged)?;
            }
            let state = match &entry.kind {
                EntryKind::Directory | EntryKind::Link { .. } => State::Plain,
                EntryKind::File { .. } => match there.equal(&entry.kind, local) {
                    Some(found) => State::Equal(found),
                    None => State::Open(Box::new(self.resume(&entry.kind, local, &mut staged)?)),
                },
                EntryKind::Stream => State::Open(Box::default()),
            };
            haves.push(match &state {
                State::Equal(_) => Have::Equal,
                State::Open(work) if work.got > 0 => Have::Chunks(runs(&work.chunks)),
                _ => Have::Nothing,
            });
            if !matches!(state, State::Open(_)) {
                self.entries.fetch_add(1, Ordering::Relaxed);
            }
            slots.push(Slot { entry, elsewhere, state });
        }
        lock(&self.slots).extend(slots);
        Ok(haves)
    }

    /// Removes what an earlier try staged at an entry's place where that is of another kind, or where
    /// it begins anew anyway.
    fn clear_other_kind(&self, kind: &EntryKind, local: &RelPath, staged: &mut Folders) -> Result<(), Fault> {
        let name = local.file_name();
        let Ok(dir) = staged.holding(local, Missing::Fail) else { return Ok(()) };
        let Ok(there) = dir.symlink_metadata(name.as_str()) else { return Ok(()) };
        let fits = match kind {
            EntryKind::Directory => there.is_dir(),
            EntryKind::File { .. } => there.is_file() && self.kept.contains_key(local),
            EntryKind::Stream => false,
            EntryKind::Link { .. } => there.is_symlink(),
        };
        let cleared = match (fits, there.is_dir()) {
            (true, _) => Ok(()),
            (false, true) => dir.remove_dir_all(name.as_str()),
            (false, false) => dir.remove_file(name.as_str()),
        };
        cleared.map_err(|e| Fault::disk(format!("starting {local} over"), &e))
    }

    /// What the journal has of a file, if it still is the same file and its bytes are still there.
    fn resume(&self, kind: &EntryKind, local: &RelPath, staged: &mut Folders) -> Result<Work, Fault> {
        let EntryKind::File { size, modified, .. } = *kind else { return Ok(Work::default()) };
        // Grows with what comes, not with what is announced.
        let mut work = Work::default();
        let Some(kept) = self.kept.get(local) else { return Ok(work) };
        let name = local.file_name();
        let Ok(dir) = staged.holding(local, Missing::Fail) else { return Ok(work) };
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
        work.resumed = work.got > 0;
        if work.got == 0 && length.is_some() {
            dir.remove_file(name.as_str()).map_err(|e| Fault::disk(format!("starting {local} over"), &e))?;
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
        // A pipe begins anew each time: what came of it is worth nothing.
        lock(&self.slots).iter().filter(|slot| slot.entry.kind != EntryKind::Stream).any(|slot| match &slot.state {
            State::Open(work) => work.got > 0,
            State::Staged(_) => true,
            _ => false,
        })
    }

    /// Syncs everything, puts it into place without replacing anything, and clears the staging.
    /// Returns each entry's outcome and, where bytes came, its digest.
    ///
    /// # Errors
    /// A disk fault; what is staged then stays.
    pub fn settle(&self) -> Result<Vec<(Entry, Outcome, Option<EntryDigest>)>, Fault> {
        self.settling.store(true, Ordering::Release);
        let slots = std::mem::take(&mut *lock(&self.slots));
        let mut entries = Vec::with_capacity(slots.len());
        for Slot { entry, elsewhere, state } in slots {
            let (outcome, digest) = match state {
                State::Plain => (Outcome::Placed, None),
                State::Staged(digest) => (Outcome::Placed, Some(digest)),
                State::Equal(found) => {
                    found.correct(&self.root);
                    (Outcome::Unchanged, None)
                }
                State::Failed(fault) => (Outcome::Failed(fault), None),
                State::Open(_) => (Outcome::Failed(Fault::protocol("the sender did not finish it")), None),
            };
            entries.push(Settled { entry, elsewhere, outcome, digest });
        }
        let odd = !self.kept.is_empty() || entries.iter().any(|settled| !settled.outcome.is_good());
        let mut settling = settle::Settling::new(&self.root, self.data.clone(), lock(&self.fit).case());
        settling.run(&mut entries, if odd { settle::Leftovers::Possible } else { settle::Leftovers::None })?;
        // Losing the leftovers' removal loses nothing: what is there is in place.
        let _ = self.clear();
        Ok(entries.into_iter().map(|settled| (settled.entry, settled.outcome, settled.digest)).collect())
    }

    /// Whether what is noted of one path might speak of bytes that now are another's.
    pub(super) fn may_be_anothers(&self, local: &RelPath) -> bool {
        self.kept.contains_key(local) || (!self.kept.is_empty() && lock(&self.fit).case() == Case::Folded)
    }

    fn clear(&self) -> io::Result<()> {
        let staging = self.root.dir().open_dir_nofollow(STAGING)?;
        if staging.remove_dir_all(&self.area_name).is_err() {
            // Some file systems, as NFS, keep what is open in its folder until it is closed.
            drop(lock(&self.lock).take());
            staging.remove_dir(&self.area_name)?;
        }
        // Fails, as it should, while another transfer is using it.
        self.root.dir().remove_dir(STAGING)
    }

    /// Gives up the staging if it holds nothing; else makes what it holds survive a power cut.
    pub fn leave(&self) {
        if self.holds_something() {
            let _ = self.checkpoint();
        } else {
            let _ = self.clear();
        }
    }

    pub(super) fn checkpoint(&self) -> io::Result<()> {
        // Nothing is noted between the sync and the word that it has been.
        let mut journal = lock(&self.journal);
        sync_all_below(&self.data)?;
        journal.synced()
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

fn runs(chunks: &[Option<ChunkHash>]) -> Vec<ChunkRun> {
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
