//! Looking after a hub in the background: what is changed by hand is taken in, digests are found, equal
//! files share their bytes, old versions go. All of it gives way to transfers.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::Hub;
use super::catalogue::{Pending, Row};
use super::event::Event;
use super::rebuild::{self, ByHand, Rebuild};
use super::store::Shared;
use super::watch::{Noticed, Watch};
use super::{hash, prune};
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::RelPath;
use crate::disk::source::Go;
use crate::node::serve::now;

/// How often old versions are let go of.
const PRUNE: Duration = Duration::from_secs(60 * 60);

/// How long to wait while transfers are under way.
const GIVE_WAY: Duration = Duration::from_millis(200);

/// How long changes by hand wait for transfers at the most.
const LATEST: Duration = Duration::from_secs(5);

/// How many changes by hand are told one by one at a time.
const TOLD: u64 = 100;

/// Whether what was changed before the hub started is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It went on from where it was: what is another now was changed by hand.
    Continued,
    /// The catalogue begins anew: everything is news to it.
    Anew,
}

/// The background work of a hub. It ends when this is dropped.
#[derive(Debug)]
pub struct Tended {
    _watch: Option<Watch>,
    // Dropped, it tells the worker to end.
    _wake: SyncSender<()>,
}

impl Hub {
    /// Begins to look after the hub in its folder. `left` are the uploads that were pending when the
    /// catalogue was opened.
    pub fn tend(self: &Arc<Self>, dir: &Path, start: Start, left: Vec<Pending>) -> Tended {
        let (wake, woken) = mpsc::sync_channel(1);
        let (hub, poke) = (self.clone(), wake.clone());
        let watch = Watch::start(dir, move |noticed| {
            hub.notice(noticed);
            let _ = poke.try_send(());
        });
        let watch = match watch {
            Ok(watch) => Some(watch),
            Err(fault) => {
                self.log(Event::Trouble(fault));
                None
            }
        };
        let hub = self.clone();
        thread::spawn(move || Worker { hub, woken, shares: true }.run(start, &left));
        Tended { _watch: watch, _wake: wake }
    }

    /// Brings catalogue and folder together after a hub was broken off, before anybody can change anything
    /// at this one: `left` is as for [`Hub::tend`]. Blocks for as long as it takes to look at everything.
    ///
    /// # Errors
    /// Where the catalogue cannot be read or written.
    pub fn recover(&self, left: &[Pending]) -> Result<(), Fault> {
        let mut told = Telling::new(self);
        let done = self.rebuild(|rebuild| rebuild.at_start(left, &mut |one| told.tell(one)));
        told.end();
        done.map(drop)
    }

    /// Has somebody bring catalogue and folder together.
    pub(super) fn rebuild<T>(&self, run: impl FnOnce(&Rebuild<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let drops = self.register.drops();
        run(&Rebuild { catalogue: &self.catalogue, store: &*self.store, drops: &drops, now: now(), since: self.since })
    }

    /// Takes in what was changed by hand, once no transfer moves, or after [`LATEST`] all the same: whoever
    /// asks for a folder is shown what is there in any case.
    fn notice(&self, noticed: Noticed) {
        let from = Instant::now();
        while self.activity.is_busy() && from.elapsed() < LATEST {
            thread::sleep(GIVE_WAY);
        }
        let done = match noticed {
            Noticed::Paths(paths) => self.look_at(&paths.into_iter().collect::<Vec<_>>()),
            Noticed::Everything => self.look(|rebuild, told| rebuild.everything(&mut |one| told.tell(one)).map(drop)),
        };
        if let Err(fault) = done {
            self.log(Event::Trouble(fault));
        }
    }

    /// Takes in what is at these paths, and below them, and is in no row.
    ///
    /// # Errors
    /// Where the catalogue cannot be read or written.
    pub(super) fn look_at(&self, paths: &[RelPath]) -> Result<(), Fault> {
        self.look(|rebuild, told| rebuild.paths(paths, &mut |one| told.tell(one)).map(drop))
    }

    fn look(&self, run: impl FnOnce(&Rebuild<'_>, &mut Telling<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut told = Telling::new(self);
        let done = self.rebuild(|rebuild| run(rebuild, &mut told));
        told.end();
        done
    }
}

/// Tells of changes by hand, and not of all where there are many.
struct Telling<'a> {
    hub: &'a Hub,
    uploads: Vec<Pending>,
    count: u64,
}

impl<'a> Telling<'a> {
    fn new(hub: &'a Hub) -> Self {
        Self { hub, uploads: hub.catalogue.pending().unwrap_or_default(), count: 0 }
    }

    /// What is below where an upload goes is that upload's, until it is over.
    fn is_coming(&self, path: &RelPath) -> bool {
        let below = |to: &RelPath| path.as_str().strip_prefix(to.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.uploads.iter().any(|upload| below(&upload.to))
    }

    fn tell(&mut self, one: ByHand) {
        match one {
            ByHand::Appeared(path) | ByHand::Changed(path) => self.appeared(path),
            ByHand::Unnameable(path) => self.say(Event::Trouble(rebuild::unnameable(&path))),
            ByHand::Vanished(path) => self.say(Event::Vanished { path }),
            ByHand::Renamed { from, to } => {
                self.say(Event::Vanished { path: from });
                self.appeared(to);
            }
        }
    }

    fn appeared(&mut self, path: RelPath) {
        if !self.is_coming(&path) {
            let size = self.hub.store.stat(&path).ok().flatten().map_or(0, |stat| stat.size);
            self.say(Event::Appeared { path, size });
        }
    }

    fn say(&mut self, event: Event) {
        self.count += 1;
        if self.count <= TOLD {
            self.hub.log(event);
        }
    }

    fn end(self) {
        if self.count > TOLD {
            let what = format!("{} more changes were made by hand in the folder", self.count - TOLD);
            self.hub.log(Event::Managed { what });
        }
    }
}

struct Worker {
    hub: Arc<Hub>,
    woken: Receiver<()>,
    /// Whether the file system can share bytes, as far as is known.
    shares: bool,
}

impl Worker {
    fn run(mut self, start: Start, left: &[Pending]) {
        let mut told = Telling::new(&self.hub);
        let begun = self.hub.rebuild(|rebuild| {
            rebuild.at_start(left, &mut |one| {
                if start == Start::Continued {
                    told.tell(one);
                }
            })
        });
        told.end();
        self.report(begun.map(drop));
        let mut pruned: Option<Instant> = None;
        loop {
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE) {
                pruned = Some(Instant::now());
                let done = self.prune();
                self.report(done);
            }
            let hashed = self.hash();
            self.report(hashed);
            match self.woken.recv_timeout(PRUNE) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn report(&self, done: Result<(), Fault>) {
        if let Err(fault) = done {
            self.hub.log(Event::Trouble(fault));
        }
    }

    fn prune(&self) -> Result<(), Fault> {
        let hub = &self.hub;
        let (days, bytes) = hub.register.read(|records| (records.settings.keep_days, records.settings.keep_bytes));
        let _turn = hub.turn();
        prune::prune(&hub.catalogue, &*hub.store, now(), days, bytes).map(drop)
    }

    /// Finds the digests that are not known, while nothing moves.
    fn hash(&mut self) -> Result<(), Fault> {
        let (hub, woken) = (self.hub.clone(), &self.woken);
        let mut found = Vec::new();
        let rotted = hash::fill(&hub.catalogue, &*hub.store, &mut |row| found.push(row), &mut || loop {
            // Told to end, it does not wait for transfers, or for the end of a long file.
            if let Err(mpsc::TryRecvError::Disconnected) = woken.try_recv() {
                break Go::Stop;
            }
            if !hub.activity.is_busy() {
                break Go::On;
            }
            thread::sleep(GIVE_WAY);
        })?;
        for row in rotted {
            let text = format!("{} is not what it was: its bytes changed on the disk", row.path);
            hub.log(Event::Trouble(Fault::new(FaultKind::Integrity, text)));
        }
        for row in found {
            self.share(&row)?;
        }
        Ok(())
    }

    /// Has a file share its bytes with an equal one of its space, where the file system can.
    fn share(&mut self, row: &Row) -> Result<(), Fault> {
        if !self.shares || row.size == 0 {
            return Ok(());
        }
        let Some(twin) = self.hub.catalogue.twin(row)? else { return Ok(()) };
        let _turn = self.hub.turn();
        // What is another by now is not shared, and no reason to give up sharing.
        for one in [row, &twin] {
            let is_there = self.hub.store.stat(&one.path)?.is_some_and(|stat| one.fits(&stat));
            if !is_there || self.hub.catalogue.row(&one.path)?.as_ref() != Some(one) {
                return Ok(());
            }
        }
        match self.hub.store.share(&twin.path, &row.path) {
            Shared::Yes(stat) => {
                let shared = Row { inode: stat.inode, modified: stat.modified, ..row.clone() };
                self.hub.catalogue.record(vec![shared])
            }
            Shared::No => {
                self.shares = false;
                let what = "equal files are stored each by itself: this file system cannot share their bytes";
                self.hub.log(Event::Managed { what: what.to_owned() });
                Ok(())
            }
        }
    }
}
