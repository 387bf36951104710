//! The folder where one transfer is staged: found, opened, made durable, cleared.
//!
//! Below the receiver's folder, `.ftx-partial/<key>/` holds `lock`, `journal` and `data`, the tree
//! as it comes. The key is made of who sends and of the outermost names, so that the same command
//! again finds what it left. Only the sender it came from can go on with it.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, Metadata, OpenOptions};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::fit::{Case, FileSystem};
use super::flush::Flush;
use super::journal::{Journal, Kept, Left, Trust};
use super::open;
use super::partial::lock;
use super::root::{Root, sync_folder};
use super::tree::private_folder;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, TransferId};
use crate::base::path::RelPath;

/// The folder for staging, in every folder that receives.
pub(super) const STAGING: &str = ".ftx-partial";

/// How often staging is opened again where it was cleared just then.
const MOST_TRIES: u32 = 20;

/// How long another transfer of the same is waited for: mostly its connection is lost and it only
/// notes what it has, for the one that waits to go on with.
const ENDING: Duration = Duration::from_secs(10);

/// How often it is looked whether that has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How long what a transfer left is kept for somebody to go on with.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How much of one sender is kept to go on with; what was left the longest ago goes first.
const MOST_LEFT: usize = 32;

/// How many characters of its name in staging stand for the sender.
const OWNER: usize = 12;

/// The folder of one transfer in staging, in use by this process.
#[derive(Debug)]
pub(super) struct Area {
    root: Root,
    pub(super) name: String,
    /// What its file system makes of names.
    pub(super) system: FileSystem,
    /// The tree as it comes, until it is cleared.
    data: Mutex<Option<Arc<Dir>>>,
    /// Has all of that on the disk.
    pub(super) flush: Flush,
    /// Whether an earlier try left something.
    pub(super) goes_on: bool,
    /// That, as long as something may be offered again.
    pub(super) left: Mutex<Option<Left>>,
    pub(super) journal: Mutex<Journal>,
    /// Held while this is in use.
    lock: Mutex<Option<File>>,
}

impl Area {
    /// Opens the folder for what `sender` sends under the names that `set` stands for. Where another
    /// transfer of the same is under way, and does not end soon, a fresh one, which nobody can go
    /// on with.
    pub(super) fn open(root: &Root, sender: PeerId, set: &[u8; 32], transfer: TransferId) -> Result<Self, Fault> {
        let key = area_of(sender, set);
        let doing = format!("preparing {}", root.shown().join(STAGING).display());
        let open = |name: &str| {
            // A transfer that ends just now may clear the folder under our hands.
            let mut tries = 0;
            loop {
                match Self::try_open(root, name) {
                    Err(error) if is_going(&error) && tries < MOST_TRIES => tries += 1,
                    opened => return opened,
                }
                if cfg!(windows) {
                    std::thread::sleep(LOOK);
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
            Ok(Some(area)) => Ok(area),
            Ok(None) => Err(Fault::new(FaultKind::Busy, "the same transfer is under way already")),
            Err(error) => Err(Fault::disk(doing, &error)),
        }
    }

    /// `None` where somebody else is using it.
    fn try_open(root: &Root, name: &str) -> io::Result<Option<Self>> {
        let staging = private_folder(root.staging(), STAGING)?;
        // What cannot be cleared now is left for another time.
        let _ = clear_old(&staging, name, SystemTime::now());
        let area = private_folder(&staging, name)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).follow(FollowSymlinks::No);
        let lock = area.open_with("lock", &options)?.into_std();
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if !is_named(&lock, &area.symlink_metadata("lock")?)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        let system = FileSystem::probe(&area);
        let mut left = left_in(&area, system.case)?;
        if left.is_none() && area.symlink_metadata("data").is_ok() {
            // Bytes that no journal speaks for are worth nothing.
            area.remove_dir_all("data")?;
        }
        let data = private_folder(&area, "data")?;
        let flush = Flush::of(&data)?;
        options.truncate(true);
        let fresh = area.open_with("journal.new", &options)?.into_std();
        let mut journal = Journal::begin(fresh)?;
        if let Some(old) = left.take() {
            left = Some(old.carry_over(&mut journal, open::to_read(&area, "journal.new")?)?);
            // All of it is on the disk, and so must the new journal be that takes the other's place.
            journal.synced()?;
        }
        area.rename("journal.new", &area, "journal")?;
        if left.is_some() {
            // The old one must not come back after a power cut: it does not say what begins anew.
            sync_folder(&area)?;
        }
        Ok(Some(Self {
            root: root.clone(),
            name: name.to_owned(),
            system,
            data: Mutex::new(Some(Arc::new(data))),
            flush,
            goes_on: left.is_some(),
            left: Mutex::new(left),
            journal: Mutex::new(journal),
            lock: Mutex::new(Some(lock)),
        }))
    }

    /// Whether it is one transfer's alone: no later one will look for it.
    pub(super) fn is_fresh(&self) -> bool {
        self.name.contains('-')
    }

    /// What an earlier try left of the file that is staged there.
    pub(super) fn kept(&self, local: &RelPath) -> io::Result<Option<Kept>> {
        lock(&self.left).as_mut().map_or(Ok(None), |left| left.at(local))
    }

    /// Whether an earlier try noted something of a path that is the same here, under whichever spelling.
    pub(super) fn is_noted(&self, local: &RelPath) -> bool {
        lock(&self.left).as_ref().is_some_and(|left| left.names(local))
    }

    /// Lets go of what an earlier try left: nothing is offered any more.
    pub(super) fn all_offered(&self) {
        drop(lock(&self.left).take());
    }

    /// The tree as it comes.
    pub(super) fn data(&self) -> io::Result<Arc<Dir>> {
        lock(&self.data).clone().ok_or_else(|| io::Error::other("its staging has been cleared"))
    }

    /// Makes everything staged, and the journal's word on it, survive a power cut.
    pub(super) fn checkpoint(&self) -> io::Result<()> {
        self.sure(|| self.flush.all(&*self.data()?))?.synced()
    }

    /// Has everything staged on the disk.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        self.sure(|| self.flush.all(&*self.data()?)).map(drop)
    }

    /// Has a staged file on the disk.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        self.sure(|| file.sync_all()).map(drop)
    }

    /// Syncs while nothing is noted. A failure is told by the system once, to whoever asks next it says that
    /// all is well: so after one nothing counts that was noted since the last success, and none follows.
    fn sure(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<MutexGuard<'_, Journal>> {
        let mut journal = lock(&self.journal);
        journal.file()?;
        sync().inspect_err(|_| journal.take_back())?;
        Ok(journal)
    }

    /// Removes it with everything in it.
    pub(super) fn clear(&self) -> io::Result<()> {
        // Windows removes no folder that is open; some file systems, as NFS, keep what is open in its folder.
        drop(lock(&self.data).take());
        self.all_offered();
        lock(&self.journal).close();
        let staging = self.root.staging().open_dir_nofollow(STAGING)?;
        remove(&staging, &self.name, lock(&self.lock).take())?;
        drop(staging);
        // Fails, as it should, while another transfer is using it.
        self.root.staging().remove_dir(STAGING)
    }
}

/// What an earlier try left, all of it on the disk.
fn left_in(area: &Dir, case: Case) -> io::Result<Option<Left>> {
    let journal = match open::to_read(area, "journal") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // What cannot be read now is not worthless.
        opened => opened?,
    };
    let Some(left) = Left::of(journal, case, Trust::Noted)? else { return Ok(None) };
    let data = private_folder(area, "data")?;
    match Flush::of(&data)?.all(&data) {
        Ok(()) => Ok(Some(left)),
        // Of what was noted since the last sync nobody knows any more what is there.
        Err(_) => Left::of(open::to_read(area, "journal")?, case, Trust::Synced),
    }
}

/// The folder in staging for what `sender` sends under the names that `set` stands for. All of one sender
/// begin with the same [`OWNER`] characters.
pub(super) fn area_of(sender: PeerId, set: &[u8; 32]) -> String {
    let owner = Sha256::new_with_prefix(b"ftx staging owner v1\0").chain_update(sender.as_bytes()).finalize();
    let key = Sha256::new_with_prefix(sender.as_bytes()).chain_update(set).finalize();
    HEXLOWER.encode(&[&owner[..OWNER / 2], &key[..16 - OWNER / 2]].concat())
}

/// Clears what transfers left that nobody has gone on with for [`KEPT_FOR`], and the oldest of what the
/// sender of `name` left where that is more than [`MOST_LEFT`]; what is in use, and what we did not make,
/// stays.
fn clear_old(staging: &Dir, name: &str, now: SystemTime) -> io::Result<()> {
    let mut left = Vec::new();
    for area in staging.entries()? {
        let own = area?.file_name();
        let Some(other) = own.to_str().filter(|name| is_key(name)) else { continue };
        let Ok(area) = staging.open_dir_nofollow(other) else { continue };
        let written = area.symlink_metadata("journal").and_then(|metadata| metadata.modified());
        let idle = written.ok().and_then(|time| now.duration_since(time.into_std()).ok());
        let Ok(lock) = open::to_read(&area, "lock") else { continue };
        drop(area);
        // Held until it is gone: nobody goes on with it meanwhile.
        if idle.is_some_and(|idle| idle > KEPT_FOR) {
            if lock.try_lock().is_ok() {
                remove(staging, other, Some(lock))?;
            }
        } else if other != name && name.get(..OWNER).is_some_and(|owner| other.starts_with(owner)) {
            left.push((idle.unwrap_or_default(), other.to_owned(), lock));
        }
    }
    left.sort_by_key(|(idle, ..)| *idle);
    for (_, other, lock) in left.into_iter().skip(MOST_LEFT - 1) {
        if lock.try_lock().is_ok() {
            remove(staging, &other, Some(lock))?;
        }
    }
    Ok(())
}

/// Removes the folder of a transfer, whose lock is held. The lock goes last: with a new one the folder is
/// somebody else's from then on.
fn remove(staging: &Dir, name: &str, held: Option<File>) -> io::Result<()> {
    let area = staging.open_dir_nofollow(name)?;
    for entry in area.entries()? {
        let entry = entry?;
        match entry.file_name() {
            own if own == "lock" => {}
            own if entry.file_type()?.is_dir() => area.remove_dir_all(own)?,
            own => area.remove_file(own)?,
        }
    }
    area.remove_file("lock")?;
    drop(area);
    staging.remove_dir(name).or_else(|_| {
        // Windows removes no folder in which something is open; NFS keeps that in its folder.
        drop(held);
        staging.remove_dir(name)
    })
}

/// Whether a folder is being removed just then. Windows says so in three further ways, and takes its time.
fn is_going(error: &io::Error) -> bool {
    /// Access denied, sharing violation, delete pending.
    const GOING: [i32; 3] = [5, 32, 303];
    let is_going = error.raw_os_error().is_some_and(|code| GOING.contains(&code));
    error.kind() == io::ErrorKind::NotFound || (cfg!(windows) && is_going)
}

/// Whether a lock is still the one of this name: whoever had it before may have cleared it, and somebody
/// else have made another.
fn is_named(lock: &File, there: &Metadata) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let there = (cap_std::fs::MetadataExt::dev(there), cap_std::fs::MetadataExt::ino(there));
        let ours = lock.metadata()?;
        Ok((ours.dev(), ours.ino()) == there)
    }
    #[cfg(not(unix))]
    {
        let _ = (lock, there);
        Ok(true)
    }
}

/// Whether a folder in staging is named as we name them: 32 hexadecimal digits, perhaps with a
/// transfer's id behind them.
fn is_key(name: &str) -> bool {
    let key = name.split('-').next().unwrap_or(name);
    key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit())
}
