//! What goes on at a hub, for whoever wants to look.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::event::{Guest, Moved};
use super::status::{Arrived, Connected, Counters, Moving, Way};
use crate::base::event::Progress;
use crate::base::path::{Name, RelPath};
use crate::node::serve::now;

/// How many of the files that came last are remembered.
const LAST: usize = 20;

/// After how long without a byte a transfer is taken to stand still.
const STILL: Duration = Duration::from_secs(3);

/// What goes on at a hub; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    connections: BTreeMap<u64, Link>,
    transfers: BTreeMap<u64, Transfer>,
    received: VecDeque<Arrived>,
    counters: Counters,
}

#[derive(Debug)]
struct Link {
    guest: Guest,
    address: SocketAddr,
    since: u64,
    begun: Instant,
}

#[derive(Debug)]
struct Transfer {
    guest: Guest,
    way: Way,
    path: Option<RelPath>,
    progress: watch::Receiver<Progress>,
    since: u64,
    begun: Instant,
    /// The bytes that had moved when it was last asked whether they do, and when that was other than before.
    seen: (u64, Instant),
}

/// A connection, as long as it is held.
#[derive(Debug)]
pub struct Present {
    activity: Activity,
    number: u64,
}

/// A transfer, as long as it is held.
#[derive(Debug)]
pub struct Underway {
    activity: Activity,
    number: u64,
}

/// What went on when somebody looked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Live {
    /// Who was connected.
    pub connected: Vec<Connected>,
    /// What moved.
    pub moving: Vec<Moving>,
    /// What came last, the newest first.
    pub received: Vec<Arrived>,
    /// What happened so far.
    pub counters: Counters,
}

/// Remembers what somebody saw, to tell rates: at the first look those since each transfer began, then
/// those since the look before.
#[derive(Debug, Default)]
pub struct Gauge(HashMap<u64, (Instant, u64)>);

impl Activity {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device has connected. It counts as here while the answer is held.
    pub fn connected(&self, guest: Guest, address: SocketAddr) -> Present {
        let mut inner = self.lock();
        inner.counters.connections += 1;
        let number = inner.number();
        inner.connections.insert(number, Link { guest, address, since: now(), begun: Instant::now() });
        Present { activity: self.clone(), number }
    }

    /// Bytes begin to move. They count as moving while the answer is held.
    pub fn moving(
        &self,
        guest: Guest,
        way: Way,
        path: Option<RelPath>,
        progress: watch::Receiver<Progress>,
    ) -> Underway {
        let mut inner = self.lock();
        let number = inner.number();
        let begun = Instant::now();
        let transfer = Transfer { guest, way, path, progress, since: now(), begun, seen: (0, begun) };
        inner.transfers.insert(number, transfer);
        Underway { activity: self.clone(), number }
    }

    /// Whether bytes move, or did of late: nobody keeps the hub from its own work who holds a transfer and
    /// sends nothing.
    pub fn is_busy(&self) -> bool {
        let mut inner = self.lock();
        // Each of them is looked at: a look is remembered.
        inner.transfers.values_mut().map(Transfer::moves).filter(|moves| *moves).count() > 0
    }

    /// A file came.
    pub fn received(&self, file: &Moved) {
        let mut inner = self.lock();
        inner.counters.received += 1;
        inner.counters.received_bytes += file.size;
        inner.received.truncate(LAST - 1);
        inner.received.push_front(Arrived {
            name: file.guest.name.clone(),
            account: file.guest.account.clone(),
            path: file.path.clone(),
            size: file.size,
            digest: file.digest.map(|digest| digest.to_string()),
            at: now(),
        });
    }

    /// A file of so many bytes was fetched.
    pub fn sent(&self, bytes: u64) {
        let mut inner = self.lock();
        inner.counters.sent += 1;
        inner.counters.sent_bytes += bytes;
    }

    /// Somebody was refused something.
    pub fn refused(&self) {
        self.lock().counters.refused += 1;
    }
}

impl Transfer {
    fn moves(&mut self) -> bool {
        let moved = self.progress.borrow().bytes_moved;
        if moved != self.seen.0 {
            self.seen = (moved, Instant::now());
        }
        self.seen.1.elapsed() < STILL
    }
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn devices(&self) -> Vec<Connected> {
        let mut devices: Vec<Connected> = Vec::new();
        let mut places = HashMap::new();
        for link in self.connections.values() {
            let guest = &link.guest;
            let place = *places.entry(guest.id).or_insert(devices.len());
            match devices.get_mut(place) {
                Some(device) => {
                    device.connections += 1;
                    device.account = guest.account.clone().or(device.account.take());
                }
                None => devices.push(Connected {
                    id: guest.id,
                    name: guest.name.clone(),
                    account: guest.account.clone(),
                    address: link.address.to_string(),
                    connections: 1,
                    since: link.since,
                }),
            }
        }
        devices
    }
}

impl Gauge {
    /// What goes on now.
    pub fn look(&mut self, activity: &Activity) -> Live {
        let inner = activity.lock();
        let at = Instant::now();
        let mut seen = HashMap::new();
        let moving = inner.transfers.iter().map(|(number, transfer)| {
            let progress = *transfer.progress.borrow();
            let (before, then) = self.0.get(number).copied().unwrap_or((transfer.begun, 0));
            seen.insert(*number, (at, progress.bytes_moved));
            Moving {
                id: transfer.guest.id,
                name: transfer.guest.name.clone(),
                account: transfer.guest.account.clone(),
                way: transfer.way,
                path: transfer.path.clone(),
                bytes: progress.bytes,
                moved: progress.bytes_moved,
                kept: progress.bytes_kept,
                rate: rate(progress.bytes_moved.saturating_sub(then), at.saturating_duration_since(before)),
                since: transfer.since,
            }
        });
        let moving = moving.collect();
        self.0 = seen;
        Live {
            connected: inner.devices(),
            moving,
            received: inner.received.iter().cloned().collect(),
            counters: inner.counters,
        }
    }
}

/// Bytes a second; of less than a millisecond nothing is said.
fn rate(bytes: u64, took: Duration) -> u64 {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    bytes.saturating_mul(1000).checked_div(millis).unwrap_or(0)
}

impl Present {
    /// The device has joined this account, or left its own.
    pub fn belongs_to(&self, account: Option<Name>) {
        if let Some(link) = self.activity.lock().connections.get_mut(&self.number) {
            link.guest.account = account;
        }
    }

    /// Whether the device has no other connection.
    pub fn is_only(&self) -> bool {
        let inner = self.activity.lock();
        let mine = inner.connections.get(&self.number).map(|link| link.guest.id);
        inner.connections.values().filter(|link| Some(link.guest.id) == mine).count() <= 1
    }

    /// How long it has been connected.
    pub fn lasted(&self) -> Duration {
        self.activity.lock().connections.get(&self.number).map_or(Duration::ZERO, |link| link.begun.elapsed())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.activity.lock().connections.remove(&self.number);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.activity.lock().transfers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::PeerId;

    fn guest(number: u8, account: Option<&str>) -> Guest {
        let account = account.map(|name| Name::parse(name).unwrap());
        Guest { id: PeerId::of_public_key(&[number; 32]), name: "laptop".into(), account }
    }

    fn look(activity: &Activity) -> Live {
        Gauge::default().look(activity)
    }

    #[test]
    fn a_device_is_here_once_until_its_last_connection_ends() {
        let activity = Activity::default();
        let address = "10.0.0.1:5".parse().unwrap();
        let first = activity.connected(guest(1, None), address);
        let second = activity.connected(guest(1, None), "10.0.0.1:6".parse().unwrap());
        let other = activity.connected(guest(2, Some("bob")), address);
        first.belongs_to(Some(Name::parse("alice").unwrap()));
        let live = look(&activity);
        let seen: Vec<_> = live.connected.iter().map(|device| (device.connections, device.account.clone())).collect();
        assert_eq!(seen, [(2, Name::parse("alice").ok()), (1, Name::parse("bob").ok())]);
        assert_eq!(live.connected[0].address, "10.0.0.1:5");
        drop(first);
        assert_eq!(look(&activity).connected[0].connections, 1);
        drop((second, other));
        assert!(look(&activity).connected.is_empty());
        assert_eq!(look(&activity).counters.connections, 3);
    }

    #[test]
    fn a_transfer_is_told_while_it_lasts_and_one_that_stalls_has_no_rate() {
        let activity = Activity::default();
        let (tell, progress) = watch::channel(Progress::default());
        let held = activity.moving(guest(1, None), Way::In, RelPath::parse("shared/a").ok(), progress);
        tell.send_replace(Progress { bytes: 100, bytes_moved: 40, ..Progress::default() });
        let mut gauge = Gauge::default();
        let live = gauge.look(&activity);
        assert_eq!((live.moving[0].bytes, live.moving[0].moved), (100, 40));
        assert_eq!(gauge.look(&activity).moving[0].rate, 0, "nothing moved between the two looks");
        drop(held);
        assert!(gauge.look(&activity).moving.is_empty());
    }

    #[test]
    fn a_rate_is_bytes_in_a_second() {
        assert_eq!(rate(500, Duration::from_millis(250)), 2000);
        assert_eq!(rate(500, Duration::ZERO), 0);
        assert_eq!(rate(u64::MAX, Duration::from_secs(1)), u64::MAX / 1000);
    }

    #[test]
    fn only_the_last_files_are_remembered_and_all_are_counted() {
        let activity = Activity::default();
        for number in 0..50u64 {
            let path = RelPath::parse(&format!("shared/{number}")).unwrap();
            activity.received(&Moved { guest: guest(1, Some("a")), path, size: 2, digest: None });
        }
        let live = look(&activity);
        assert_eq!(live.received.len(), LAST);
        assert_eq!(live.received[0].path.as_str(), "shared/49");
        assert_eq!((live.counters.received, live.counters.received_bytes), (50, 100));
    }
}
