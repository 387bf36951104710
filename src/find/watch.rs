//! Who comes and goes while a node runs, or while `ftx peers --watch` is on the screen.
//!
//! Announcements and goodbyes are heard; a question now and then, answered by unicast, finds what
//! went by unheard. A peer that has been silent is asked once more, also directly, and then gone:
//! after `kill -9` no goodbye comes, and the records of mDNS would live for two minutes.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::ask::{Asking, Questions};
use super::search::WAITING;
use super::{How, Interfaces, Kind, MAX_PEERS, News, Sighting, sweep};
use crate::base::id::PeerId;

const TICK: Duration = Duration::from_secs(1);
/// Between two questions to all.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// Silent for so long, a peer is asked once more …
const DOUBTED_AFTER: Duration = Duration::from_secs(72);
/// … and is gone when it has not answered by then.
const GONE_AFTER: Duration = Duration::from_secs(75);
/// The first of them, after the questions of the start.
const ASK_FIRST: Duration = Duration::from_secs(1);

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Somebody is there, or is there with a new address, name or start.
    Joined(Sighting),
    /// Somebody said goodbye, or is silent.
    Left(PeerId),
}

/// One watched peer.
struct Peer {
    sighting: Sighting,
    heard: Instant,
    doubted: bool,
}

/// Watches the chosen interfaces as they were; to be started anew when addresses change.
pub struct Watch {
    interfaces: Arc<Interfaces>,
    me: Option<PeerId>,
    peers: HashMap<PeerId, Peer>,
    changes: VecDeque<Change>,
    ask_at: Instant,
    tick: Interval,
    news: mpsc::Receiver<News>,
    tell: mpsc::Sender<News>,
    probes: JoinSet<()>,
    asking: Asking,
}

impl Watch {
    /// Begins to listen and asks; `me` is not reported. To be called inside a tokio runtime.
    pub fn start(interfaces: Interfaces, me: Option<PeerId>) -> Self {
        let interfaces = Arc::new(interfaces);
        let (tell, news) = mpsc::channel(WAITING);
        let asking = Asking::start(&interfaces, &Questions::new(Kind::Node, None), &tell);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            interfaces,
            me,
            peers: HashMap::new(),
            changes: VecDeque::new(),
            ask_at: Instant::now() + ASK_FIRST,
            tick,
            news,
            tell,
            probes: JoinSet::new(),
            asking,
        }
    }

    /// The next change; waits for it as long as it takes. May be cancelled and called again.
    pub async fn next(&mut self) -> Change {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return change;
            }
            tokio::select! {
                Some(news) = self.news.recv() => self.take(news, Instant::now()),
                _ = self.tick.tick() => self.look(Instant::now()),
            }
        }
    }

    /// Everybody who is there, each with the time since it was last heard.
    pub fn peers(&self) -> impl Iterator<Item = (&Sighting, Duration)> {
        self.peers.values().map(|p| (&p.sighting, p.heard.elapsed()))
    }

    fn take(&mut self, news: News, now: Instant) {
        match news {
            News::Seen(s) | News::Overheard(s) if Some(s.id) == self.me => {}
            News::Seen(s) | News::Overheard(s) => self.seen(s, now),
            News::Gone(short) => {
                let left: Vec<_> = self.peers.keys().copied().filter(|id| id.starts_with(&short)).collect();
                self.leave(left);
            }
        }
    }

    fn seen(&mut self, sighting: Sighting, now: Instant) {
        let Some(peer) = self.peers.get_mut(&sighting.id) else {
            if self.peers.len() < MAX_PEERS {
                self.changes.push_back(Change::Joined(sighting.clone()));
                self.peers.insert(sighting.id, Peer { sighting, heard: now, doubted: false });
            }
            return;
        };
        (peer.heard, peer.doubted) = (now, false);
        let before = peer.sighting.clone();
        let grew = peer.sighting.merge(&sighting);
        if grew || before.boot != sighting.boot || before.name != sighting.name {
            self.changes.push_back(Change::Joined(peer.sighting.clone()));
        }
    }

    fn leave(&mut self, ids: Vec<PeerId>) {
        for id in ids {
            self.peers.remove(&id);
            self.changes.push_back(Change::Left(id));
        }
    }

    /// Once a second: asks what is to be asked and gives up who is silent.
    fn look(&mut self, now: Instant) {
        let silent = |peer: &Peer, after| now.duration_since(peer.heard) >= after;
        let left = self.peers.iter().filter(|(_, p)| p.doubted && silent(p, GONE_AFTER)).map(|(id, _)| *id).collect();
        self.leave(left);
        let mut doubted: Vec<IpAddr> = Vec::new();
        for peer in self.peers.values_mut().filter(|p| !p.doubted && silent(p, DOUBTED_AFTER)) {
            peer.doubted = true;
            // One that was asleep, as we may have been, is given the time to answer.
            peer.heard = peer.heard.max(now.checked_sub(DOUBTED_AFTER).unwrap_or(peer.heard));
            doubted.extend(peer.sighting.addresses.iter().map(std::net::SocketAddr::ip));
        }
        if !doubted.is_empty() {
            self.asking.again_by_all();
            self.probes.spawn(sweep::recheck(Arc::clone(&self.interfaces), doubted, self.tell.clone()));
        }
        if now >= self.ask_at {
            self.ask_at = now + ASK_EVERY;
            self.asking.again();
            // Where multicast does not pass, nobody is known by it.
            if self.peers.values().all(|p| p.sighting.how != How::Mdns) {
                let (interfaces, tell) = (Arc::clone(&self.interfaces), self.tell.clone());
                self.probes.spawn(sweep::broadcast(Kind::Node, interfaces, tell));
            }
        }
        while self.probes.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Role;
    use crate::find::Interfaces;

    fn sighting(n: u32, boot: &str) -> Sighting {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        Sighting {
            id: PeerId::of_public_key(&key),
            name: "x".into(),
            role: Role::Peer,
            version: 1,
            addresses: vec![([127, 0, 0, 1], 9).into()],
            how: How::Mdns,
            accept: "".into(),
            boot: boot.into(),
        }
    }

    fn watch() -> Option<Watch> {
        Some(Watch::start(Interfaces::choose(&["lo".into()]).ok()?, None))
    }

    #[tokio::test]
    async fn a_goodbye_counts_at_once_and_once() {
        let Some(mut watch) = watch() else { return };
        let (one, now) = (sighting(1, "a"), Instant::now());
        for _ in 0..2 {
            watch.take(News::Seen(one.clone()), now);
        }
        watch.take(News::Seen(sighting(1, "b")), now);
        for _ in 0..2 {
            watch.take(News::Gone(one.id.short()), now);
        }
        let expected = [Change::Joined(one.clone()), Change::Joined(sighting(1, "b")), Change::Left(one.id)];
        assert_eq!(watch.changes, expected);
    }

    #[tokio::test]
    async fn who_is_silent_is_asked_once_more_and_then_gone() {
        let Some(mut watch) = watch() else { return };
        let (start, one) = (Instant::now(), sighting(1, "a"));
        watch.take(News::Seen(one.clone()), start);
        watch.changes.clear();
        watch.look(start + DOUBTED_AFTER);
        assert!(watch.peers[&one.id].doubted && watch.changes.is_empty());
        watch.look(start + GONE_AFTER);
        assert_eq!(watch.changes, [Change::Left(one.id)]);
    }

    #[tokio::test]
    async fn after_a_sleep_everybody_has_time_to_answer() {
        let Some(mut watch) = watch() else { return };
        let (start, one) = (Instant::now(), sighting(1, "a"));
        watch.take(News::Seen(one.clone()), start);
        watch.changes.clear();
        let later = start + Duration::from_secs(3600);
        watch.look(later);
        watch.look(later + TICK);
        assert!(watch.changes.is_empty());
        watch.take(News::Seen(one.clone()), later + TICK);
        watch.look(later + GONE_AFTER - DOUBTED_AFTER);
        assert!(watch.changes.is_empty());
    }

    #[tokio::test]
    async fn a_flood_is_bounded() {
        let Some(mut watch) = watch() else { return };
        for n in 0..3000 {
            watch.take(News::Seen(sighting(n, "a")), Instant::now());
        }
        assert_eq!((watch.peers.len(), watch.changes.len()), (MAX_PEERS, MAX_PEERS));
    }
}
