//! How much one machine, one peer, and all together, may ask of a node at once, and how fast.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::base::id::PeerId;

/// Connections at once whose key is proven, all together, where the system allows as many.
const CONNECTIONS: usize = 512;

/// Files and sockets that are set aside for each of them.
const DESCRIPTORS_EACH: usize = 8;

/// Connections at once that have not proven who they are.
const UNPROVEN: usize = 160;

/// How many of these from one address: a class whose machines share one comes all at once.
const UNPROVEN_EACH: usize = 96;

/// Connections that one address may open one right after another.
const BURST: f64 = 2048.0;

/// Connections a second that one address may open all the time.
const PER_SECOND: f64 = 128.0;

/// Questions to the person at once, all together.
const QUESTIONS: usize = 16;

/// How many of these may be about strangers.
const STRANGE_QUESTIONS: usize = 12;

/// Questions at once because of one address.
const QUESTIONS_EACH: usize = 4;

/// Questions a minute because of one peer, whatever is answered.
const ASKED_OF_PEER: usize = 6;

/// Questions a minute because of one address.
const ASKED_OF_ADDRESS: usize = 12;

/// Pulls and listings at once, all together: what is shared is walked, and kept in memory, for each.
const SERVED: usize = 64;

/// How many of these for strangers.
const STRANGERS_SERVED: usize = 16;

/// How many of these for one peer.
const SERVED_EACH: usize = 4;

/// How many of these to one address.
const SERVED_AT: usize = 6;

/// How long questions are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// Addresses, and questions, that are remembered.
const REMEMBERED: usize = 1024;

/// One address that connects.
#[derive(Debug)]
struct Visitor {
    open: usize,
    /// How many connections it may open just now, and since when that holds.
    may_open: f64,
    since: Instant,
}

/// A connection that has not proven whose it is.
#[derive(Debug)]
struct Unproven {
    number: u64,
    address: IpAddr,
    gives_way: Arc<Notify>,
}

/// A question that was put.
#[derive(Debug)]
struct Asked {
    at: Instant,
    peer: PeerId,
    address: IpAddr,
}

/// How many connections there may be at once whose key is proven.
#[derive(Debug, Clone, Copy, Default)]
struct Most {
    all: usize,
    /// The others are kept for those who are known.
    of_strangers: usize,
    from_address: usize,
    /// A few transfers with all their lanes.
    of_peer: usize,
}

impl Most {
    const fn of(all: usize) -> Self {
        Self { all, of_strangers: all / 4 * 3, from_address: all / 4, of_peer: all / 16 * 3 }
    }

    /// As many as there is room for in so many descriptors.
    fn within(descriptors: usize) -> Self {
        Self::of((descriptors / DESCRIPTORS_EACH).clamp(16, CONNECTIONS))
    }
}

#[derive(Debug, Default)]
struct Counts {
    most: Most,
    proven: usize,
    strangers: usize,
    next: u64,
    /// The oldest first.
    unproven: VecDeque<Unproven>,
    visitors: HashMap<IpAddr, Visitor>,
    peers: HashMap<PeerId, usize>,
    /// Questions that are open, and whether they are about strangers.
    asking: Vec<(PeerId, IpAddr, bool)>,
    asked: VecDeque<Asked>,
    served: Vec<(PeerId, IpAddr, Met)>,
    told: Vec<IpAddr>,
}

/// The counts of one node.
#[derive(Debug, Clone)]
pub struct Caps(Arc<Mutex<Counts>>);

/// Whether a peer has been met before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// Never.
    Stranger,
    /// It is known, trusted, or an account's device.
    Known,
}

/// A connection that is counted, until it is dropped.
#[derive(Debug)]
pub struct Counted {
    caps: Caps,
    number: u64,
    address: IpAddr,
    gives_way: Arc<Notify>,
    proven: Option<(PeerId, Met)>,
}

/// A pull or a listing that is counted, until it is dropped.
#[derive(Debug)]
pub struct Served {
    caps: Caps,
    who: (PeerId, IpAddr, Met),
}

/// A question that is counted, until it is dropped.
#[derive(Debug)]
pub struct Asking {
    caps: Caps,
    peer: PeerId,
}

impl Caps {
    /// Counts of this process, with as many connections as the system lets it have.
    pub fn of_this_process() -> Self {
        #[cfg(unix)]
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        #[cfg(not(unix))]
        let descriptors: Option<u64> = None;
        Self::within(descriptors.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX))
    }

    /// Counts of a process that may have so many files and sockets open.
    fn within(descriptors: usize) -> Self {
        Self(Arc::new(Mutex::new(Counts { most: Most::within(descriptors), ..Counts::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection; `None` where the address has, or opens, too many. Where too many have not
    /// proven who they are, the oldest of whoever has most of them gives way: nobody keeps others out by
    /// beginning and not going on.
    pub fn connection(&self, address: IpAddr) -> Option<Counted> {
        let address = network(address);
        let mut counts = self.lock();
        if !counts.visit(address, Instant::now()) {
            return None;
        }
        if counts.unproven_of(address) >= UNPROVEN_EACH {
            counts.give_way(address);
        } else if counts.unproven.len() >= UNPROVEN {
            let greediest = counts.greediest();
            counts.give_way(greediest.unwrap_or(address));
        }
        counts.next += 1;
        let (number, gives_way) = (counts.next, Arc::new(Notify::new()));
        counts.unproven.push_back(Unproven { number, address, gives_way: gives_way.clone() });
        Some(Counted { caps: self.clone(), number, address, gives_way, proven: None })
    }

    /// Counts a question about a peer at this address; `None` where one is open already, there are too
    /// many, or too many were put of late.
    pub fn question(&self, peer: PeerId, address: IpAddr, met: Met) -> Option<Asking> {
        let (address, now, stranger) = (network(address), Instant::now(), met == Met::Stranger);
        let mut counts = self.lock();
        while counts.asked.pop_front_if(|asked| now.duration_since(asked.at) >= MINUTE).is_some() {}
        let open =
            |is: &dyn Fn(&(PeerId, IpAddr, bool)) -> bool| counts.asking.iter().filter(|asking| is(asking)).count();
        let asked = |is: &dyn Fn(&Asked) -> bool| counts.asked.iter().filter(|asked| is(asked)).count();
        let too_many = open(&|_| true) >= QUESTIONS
            || open(&|asking| asking.0 == peer) > 0
            || open(&|asking| asking.1 == address) >= QUESTIONS_EACH
            || (stranger && open(&|asking| asking.2) >= STRANGE_QUESTIONS)
            || asked(&|_| true) >= REMEMBERED
            || asked(&|asked| asked.peer == peer) >= ASKED_OF_PEER
            || asked(&|asked| asked.address == address) >= ASKED_OF_ADDRESS;
        if too_many {
            return None;
        }
        counts.asking.push((peer, address, stranger));
        counts.asked.push_back(Asked { at: now, peer, address });
        Some(Asking { caps: self.clone(), peer })
    }

    /// Counts something that is served to a peer at this address; `None` where there is too much of it.
    pub fn serving(&self, peer: PeerId, address: IpAddr, met: Met) -> Option<Served> {
        let who = (peer, network(address), met);
        let mut counts = self.lock();
        let of = |is: &dyn Fn(&(PeerId, IpAddr, Met)) -> bool| counts.served.iter().filter(|one| is(one)).count();
        let too_many = counts.served.len() >= SERVED
            || of(&|one| one.0 == who.0) >= SERVED_EACH
            || of(&|one| one.1 == who.1) >= SERVED_AT
            || (met == Met::Stranger && of(&|one| one.2 == Met::Stranger) >= STRANGERS_SERVED);
        if too_many {
            return None;
        }
        counts.served.push(who);
        Some(Served { caps: self.clone(), who })
    }

    /// Whether nonsense from this address is to be told: only the first time.
    pub fn first_nonsense(&self, address: IpAddr) -> bool {
        let mut counts = self.lock();
        if counts.told.contains(&address) {
            return false;
        }
        if counts.told.len() >= REMEMBERED {
            counts.told.clear();
        }
        counts.told.push(address);
        true
    }
}

impl Counts {
    /// Whether an address may open one more connection; counts it, if so.
    fn visit(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.visitors.len() >= REMEMBERED && !self.visitors.contains_key(&address) {
            // Those that are through and could open as many as anybody need not be remembered.
            self.visitors.retain(|_, visitor| visitor.open > 0 || visitor.at(now) < BURST);
            // Those that are through: whoever has so many addresses is not held up by this any more.
            if self.visitors.len() >= REMEMBERED {
                self.visitors.retain(|_, visitor| visitor.open > 0);
            }
        }
        let visitor = self.visitors.entry(address).or_insert(Visitor { open: 0, may_open: BURST, since: now });
        (visitor.may_open, visitor.since) = (visitor.at(now), now);
        if visitor.open >= self.most.from_address || visitor.may_open < 1.0 {
            return false;
        }
        visitor.may_open -= 1.0;
        visitor.open += 1;
        true
    }

    fn left(&mut self, address: IpAddr) {
        if let Some(visitor) = self.visitors.get_mut(&address) {
            visitor.open = visitor.open.saturating_sub(1);
        }
    }

    fn unproven_of(&self, address: IpAddr) -> usize {
        self.unproven.iter().filter(|one| one.address == address).count()
    }

    /// Who has most connections that have not proven who they are; of several the one with the oldest.
    fn greediest(&self) -> Option<IpAddr> {
        let each = self.unproven.iter().rev();
        each.max_by_key(|one| self.unproven_of(one.address)).map(|one| one.address)
    }

    /// The oldest unproven connection of an address ends.
    fn give_way(&mut self, address: IpAddr) {
        let oldest = self.unproven.iter().position(|one| one.address == address);
        if let Some(one) = oldest.and_then(|at| self.unproven.remove(at)) {
            one.gives_way.notify_one();
        }
    }

    fn no_longer_unproven(&mut self, number: u64) {
        self.unproven.retain(|one| one.number != number);
    }
}

impl Visitor {
    /// How many connections it may open at a moment.
    fn at(&self, now: Instant) -> f64 {
        let more = now.duration_since(self.since).as_secs_f64() * PER_SECOND;
        BURST.min(self.may_open + more)
    }
}

impl Counted {
    /// The connection has proven whose it is. Tells whether it may stay.
    pub fn proven(&mut self, peer: PeerId, met: Met) -> bool {
        let mut counts = self.caps.lock();
        counts.no_longer_unproven(self.number);
        let own = counts.peers.get(&peer).copied().unwrap_or(0);
        let strangers = counts.strangers + usize::from(met == Met::Stranger);
        let most = counts.most;
        let too_many = counts.proven >= most.all || own >= most.of_peer || strangers > most.of_strangers;
        if self.proven.is_some() || too_many {
            return self.proven.is_some();
        }
        counts.proven += 1;
        counts.strangers = strangers;
        counts.peers.insert(peer, own + 1);
        self.proven = Some((peer, met));
        true
    }

    /// Waits until it is to give way to another: it has not proven whose it is, and there are too many.
    pub async fn gives_way(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.caps.lock();
        counts.no_longer_unproven(self.number);
        counts.left(self.address);
        let Some((peer, met)) = self.proven else { return };
        counts.proven -= 1;
        counts.strangers -= usize::from(met == Met::Stranger);
        if let Some(count) = counts.peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                counts.peers.remove(&peer);
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let mut counts = self.caps.lock();
        if let Some(at) = counts.served.iter().position(|who| *who == self.who) {
            counts.served.swap_remove(at);
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.caps.lock().asking.retain(|(peer, ..)| *peer != self.peer);
    }
}

/// An address as it is counted: a machine has all of an IPv6 network of 64 bits to choose from, but for
/// those of the link, where it shares one with everybody.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_unicast_link_local() && !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests;
