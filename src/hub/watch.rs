//! Noticing what is changed by hand in the hub's folder while it runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use unicode_normalization::UnicodeNormalization;

use crate::base::fault::Fault;
use crate::base::path::{Name, RelPath, is_reserved};

/// How long nothing happens before it is told: what belongs together comes together.
const QUIET: Duration = Duration::from_secs(1);
/// How long it is held back at the most.
const LONGEST: Duration = Duration::from_secs(10);
/// How often everything is looked at where the system cannot watch everything.
const UNWATCHED: Duration = Duration::from_secs(300);
/// Changes that wait to be collected; more are a look at everything.
const WAITING: usize = 16_384;
/// Most paths that are told one by one.
const MOST_PATHS: usize = 4_096;

/// What may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticed {
    /// What is at these paths, and below them.
    Paths(BTreeSet<RelPath>),
    /// Anything.
    Everything,
}

/// A watch over the hub's folder. It ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    wake: SyncSender<PathBuf>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Where the queue is full, nobody sleeps.
        let _ = self.wake.try_send(PathBuf::new());
    }
}

impl Watch {
    /// Watches a folder, but for what is the hub's own in it. `tell` is called from a thread of its own,
    /// and may block: what happens meanwhile is told afterwards.
    ///
    /// # Errors
    /// A disk fault where the folder cannot be watched at all. Where only parts of it cannot, everything
    /// is told to have changed every 5 minutes.
    pub fn start(dir: &Path, tell: impl FnMut(Noticed) + Send + 'static) -> Result<Self, Fault> {
        let failed = |error: &dyn std::fmt::Display| {
            Fault::new(crate::base::fault::FaultKind::Disk, format!("watching {}: {error}", dir.display()))
        };
        // Some systems tell paths without the links that lead to them.
        let dir = dir.canonicalize().map_err(|error| failed(&error))?;
        let (wake, changes) = mpsc::sync_channel(WAITING);
        let (stop, lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let hear = hearing(wake.clone(), lost.clone());
        let config = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(hear, config).map_err(|error| failed(&error))?;
        let mut watching = Watching { dir, watcher, watched: BTreeSet::new(), whole: true, changes, lost, tell };
        watching.begin().map_err(|error| failed(&error))?;
        let ends = stop.clone();
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || watching.run(&ends));
        thread.map_err(|error| failed(&error))?;
        Ok(Self { stop, wake })
    }
}

/// Passes on what the system tells.
fn hearing(wake: SyncSender<PathBuf>, lost: Arc<AtomicBool>) -> impl FnMut(notify::Result<Event>) + Send + 'static {
    move |event| match event {
        Ok(event) if event.need_rescan() => {
            lost.store(true, Ordering::Relaxed);
            let _ = wake.try_send(PathBuf::new());
        }
        Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
        Ok(event) => {
            for path in event.paths {
                if wake.try_send(path).is_err() {
                    lost.store(true, Ordering::Relaxed);
                }
            }
        }
        Err(_) => {
            lost.store(true, Ordering::Relaxed);
            let _ = wake.try_send(PathBuf::new());
        }
    }
}

struct Watching<F> {
    dir: PathBuf,
    watcher: RecommendedWatcher,
    /// The top folders that are watched.
    watched: BTreeSet<Name>,
    /// Whether all of them could be.
    whole: bool,
    changes: Receiver<PathBuf>,
    /// Whether something happened that nobody could tell.
    lost: Arc<AtomicBool>,
    tell: F,
}

impl<F: FnMut(Noticed)> Watching<F> {
    /// Each top folder is watched by itself: so the hub's own is not.
    fn begin(&mut self) -> notify::Result<()> {
        self.watcher.watch(&self.dir, RecursiveMode::NonRecursive)?;
        for child in std::fs::read_dir(&self.dir)?.flatten() {
            if let Some(path) = self.path_of(&child.path()) {
                self.watch_top(&path);
            }
        }
        Ok(())
    }

    /// Watches a top folder, if it is one: anew, for it may be another one of that name.
    fn watch_top(&mut self, path: &RelPath) {
        if path.depth() > 1 {
            return;
        }
        let (name, place) = (path.file_name(), self.dir.join(path.as_str()));
        if self.watched.remove(&name) {
            // Of one that is gone the watch is gone, too.
            let _ = self.watcher.unwatch(&place);
        }
        if place.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            match self.watcher.watch(&place, RecursiveMode::Recursive) {
                Ok(()) => drop(self.watched.insert(name)),
                Err(_) => self.whole = false,
            }
        }
    }

    /// The path below the folder; `None` for what is the hub's own, and for what nobody can name.
    fn path_of(&self, path: &Path) -> Option<RelPath> {
        let below = path.strip_prefix(&self.dir).ok()?;
        let names = below.iter().map(|name| name.to_str().map(|name| name.nfc().collect::<String>()));
        let names = names.collect::<Option<Vec<_>>>()?;
        if names.iter().any(|name| is_reserved(name)) {
            return None;
        }
        RelPath::parse(&names.join("/")).ok()
    }

    fn run(mut self, ends: &AtomicBool) {
        let mut noticed = BTreeSet::new();
        let mut first = None;
        while !ends.load(Ordering::Relaxed) {
            let held = first.map(|first: Instant| first.elapsed());
            let wait = match held {
                Some(held) => QUIET.min(LONGEST.saturating_sub(held)),
                None if self.whole => Duration::MAX,
                None => UNWATCHED,
            };
            let due = held.is_some_and(|held| held >= LONGEST);
            match if due { Err(RecvTimeoutError::Timeout) } else { self.changes.recv_timeout(wait) } {
                Ok(path) => {
                    if let Some(path) = self.path_of(&path) {
                        self.watch_top(&path);
                        noticed.insert(path);
                    }
                    if !noticed.is_empty() || self.lost.load(Ordering::Relaxed) {
                        first.get_or_insert_with(Instant::now);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    first = None;
                    let lost = self.lost.swap(false, Ordering::Relaxed);
                    let paths = std::mem::take(&mut noticed);
                    if lost || paths.is_empty() || paths.len() > MOST_PATHS {
                        (self.tell)(Noticed::Everything);
                    } else {
                        (self.tell)(Noticed::Paths(paths));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_changed_by_hand_is_told_and_what_is_the_hubs_own_is_not() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".ftx/versions")).unwrap();
        fs::create_dir_all(home.path().join("shared/deep/er")).unwrap();
        let (tell, told) = mpsc::channel();
        let watch = Watch::start(home.path(), move |noticed| drop(tell.send(noticed))).unwrap();
        fs::write(home.path().join(".ftx/versions/x"), "x").unwrap();
        let expect = |write: &[&str], path: &str| {
            for path in write {
                fs::create_dir_all(home.path().join(path).parent().unwrap()).unwrap();
                fs::write(home.path().join(path), "x").unwrap();
            }
            let path = RelPath::parse(path).unwrap();
            // Another system may tell of more, or of the same in several pieces.
            loop {
                match told.recv_timeout(Duration::from_secs(60)).unwrap() {
                    Noticed::Everything => return,
                    Noticed::Paths(paths) => {
                        assert!(paths.iter().all(|path| !path.as_str().contains(".ftx")));
                        if paths.contains(&path) {
                            return;
                        }
                    }
                }
            }
        };
        expect(&["shared/deep/er/a"], "shared/deep/er/a");
        // A top folder that is new is watched, too; also one that comes in another's place.
        expect(&["new/a"], "new");
        expect(&["new/b"], "new/b");
        fs::rename(home.path().join("new"), home.path().join("gone")).unwrap();
        expect(&["new/c"], "new");
        expect(&["new/d"], "new/d");
        drop(watch);
        assert!(told.recv_timeout(Duration::from_secs(60)).is_err_and(|e| e == RecvTimeoutError::Disconnected));
    }
}
