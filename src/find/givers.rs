//! Who hands something over by a code just now: looked for by the same ladder as nodes, for as long as
//! somebody waits for one.
//!
//! A giver says a number and nothing else: no name, and an id that is another one each time. The number finds
//! it among others and is drawn apart from the words of its code.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::announce::Announcement;
use super::ask::{Asking, Questions};
use super::record::random;
use super::search::WAITING;
use super::{Interfaces, Kind, MAX_PEERS, News, Sighting, sweep};
use crate::base::id::{PeerId, Role};

/// When the broadcast addresses are asked first …
const BROADCAST: Duration = Duration::from_millis(60);
/// … and when each address of the own subnet.
const SWEEP: Duration = Duration::from_millis(150);
/// Between two questions to all, while nobody with the number is found.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Between two sweeps meanwhile: somebody sits there and waits.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long it takes to hear which numbers others have.
const SURVEY: Duration = Duration::from_millis(150);

/// A giver as it was seen: a hint, as everything here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Giver {
    /// Its number.
    pub number: u8,
    /// What tells it from others with the same number.
    pub id: PeerId,
    /// Where it may be reached, best first; see [`Sighting::addresses`].
    pub addresses: Vec<SocketAddr>,
}

/// What a giver says of itself, to be announced.
pub fn announcement(number: u8, version: u16, port: u16) -> Announcement {
    let mut bytes = [0; 32];
    bytes.chunks_exact_mut(8).for_each(|some| some.copy_from_slice(&random()));
    let (id, role) = (PeerId::of_public_key(&bytes), Role::Peer);
    Announcement { kind: Kind::Giver, id, name: number.to_string(), role, version, port, accept: "" }
}

/// Looks for givers with a number; dropping it ends that.
pub struct Givers {
    wanted: Option<u8>,
    interfaces: Arc<Interfaces>,
    known: HashMap<PeerId, Sighting>,
    satisfied: bool,
    ask_at: Instant,
    broadcast_at: Instant,
    sweep_at: Instant,
    news: mpsc::Receiver<News>,
    tell: mpsc::Sender<News>,
    probes: JoinSet<()>,
    asking: Asking,
}

impl Givers {
    /// Begins to look for whoever has this number, or for all. To be called inside a tokio runtime.
    pub fn start(interfaces: Interfaces, wanted: Option<u8>) -> Self {
        let (interfaces, now) = (Arc::new(interfaces), Instant::now());
        let (tell, news) = mpsc::channel(WAITING);
        let asking = Asking::start(&interfaces, &Questions::new(Kind::Giver, None), &tell);
        Self {
            wanted,
            interfaces,
            known: HashMap::new(),
            satisfied: false,
            ask_at: now + ASK_EVERY,
            broadcast_at: now + BROADCAST,
            sweep_at: now + SWEEP,
            news,
            tell,
            probes: JoinSet::new(),
            asking,
        }
    }

    /// The next giver that has the number, or one already told that has a new address now. Waits for it as
    /// long as it takes; may be cancelled and called again.
    pub async fn next(&mut self) -> Giver {
        loop {
            let due = self.ask_at.min(self.broadcast_at).min(self.sweep_at);
            tokio::select! {
                // The clock first: a flood must not hold it up.
                biased;
                () = sleep_until(due) => self.look(Instant::now()),
                Some(news) = self.news.recv() => {
                    if let Some(giver) = self.take(news) {
                        return giver;
                    }
                }
            }
        }
    }

    fn take(&mut self, news: News) -> Option<Giver> {
        let sighting = match news {
            News::Seen(sighting) | News::Overheard(sighting) => sighting,
            News::Gone(short) => {
                self.known.retain(|id, _| !id.starts_with(&short));
                return None;
            }
        };
        let number = sighting.name.as_raw().parse().ok()?;
        if self.wanted.is_some_and(|wanted| wanted != number) {
            return None;
        }
        self.satisfied |= self.wanted.is_some();
        let id = sighting.id;
        let addresses = match self.known.get_mut(&id) {
            Some(known) => known.merge(&sighting).then(|| known.addresses.clone())?,
            None => {
                if self.known.len() >= MAX_PEERS {
                    return None;
                }
                let addresses = sighting.addresses.clone();
                self.known.insert(id, sighting);
                addresses
            }
        };
        Some(Giver { number, id, addresses })
    }

    /// Asks what is to be asked, as long as the one that is wanted is not found.
    fn look(&mut self, now: Instant) {
        while self.probes.try_join_next().is_some() {}
        let (interfaces, tell) = (&self.interfaces, &self.tell);
        if now >= self.ask_at {
            self.ask_at = now + ASK_EVERY;
            if !self.satisfied {
                self.asking.again_by_all();
            }
        }
        if now >= self.broadcast_at {
            self.broadcast_at = now + ASK_EVERY;
            if !self.satisfied {
                self.probes.spawn(sweep::broadcast(Kind::Giver, interfaces.clone(), tell.clone()));
            }
        }
        // Who asks for everybody only wants to know what is heard easily.
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP_EVERY;
            if !self.satisfied && self.wanted.is_some() {
                self.probes.spawn(sweep::sweep(Kind::Giver, interfaces.clone(), tell.clone()));
            }
        }
    }
}

/// Which numbers others have just now, as far as they are heard within 150 ms.
pub async fn numbers(interfaces: Interfaces) -> Vec<u8> {
    let end = Instant::now() + SURVEY;
    let mut givers = Givers::start(interfaces, None);
    let mut numbers = Vec::new();
    while let Ok(giver) = timeout_at(end, givers.next()).await {
        numbers.push(giver.number);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::{Announcer, How, Search, Wanted};

    fn sighting(n: u8, name: &str) -> Sighting {
        Sighting {
            id: PeerId::of_public_key(&[n; 32]),
            name: name.into(),
            role: Role::Peer,
            version: 1,
            addresses: vec![([127, 0, 0, 1], 9).into()],
            how: How::Mdns,
            accept: "".into(),
            boot: "".into(),
        }
    }

    fn loopback() -> Option<Interfaces> {
        Interfaces::choose(&["lo".into()]).ok()
    }

    #[tokio::test]
    async fn only_the_number_that_is_wanted_counts_and_each_giver_once() {
        let Some(lo) = loopback() else { return };
        let mut givers = Givers::start(lo, Some(17));
        for other in ["16", "x", "", "-17", "0x11", "alice"] {
            assert_eq!(givers.take(News::Seen(sighting(1, other))), None, "{other}");
        }
        assert!(!givers.satisfied);
        assert_eq!(givers.take(News::Seen(sighting(1, "17"))).unwrap().number, 17);
        assert_eq!(givers.take(News::Overheard(sighting(1, "17"))), None);
        assert!(givers.take(News::Seen(sighting(2, "17"))).is_some(), "another with the same number");
        givers.take(News::Gone(sighting(1, "17").id.short()));
        assert!(givers.take(News::Seen(sighting(1, "17"))).is_some(), "it has come again");
        for n in 0..=255 {
            let mut one = sighting(n, "17");
            for m in 0..8 {
                one.id = PeerId::of_public_key(&[[n; 16], [m; 16]].concat().try_into().unwrap());
                givers.take(News::Seen(one.clone()));
            }
        }
        assert_eq!(givers.known.len(), MAX_PEERS);
    }

    #[tokio::test]
    async fn what_is_announced_says_a_number_and_nothing_about_anybody() {
        let (one, other) = (announcement(17, 1, 23555), announcement(17, 1, 23555));
        assert_ne!(one.id, other.id);
        let fields = one.record().fields();
        let said: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).map(|(key, _)| *key).collect();
        assert_eq!(said, ["v", "n", "id", "r", "b"]);
        assert_eq!(fields[1].1, "17");
    }

    /// A giver is found as such, and as nothing else.
    #[tokio::test]
    async fn a_giver_is_found_by_its_number_and_is_no_peer() {
        let Some(lo) = loopback() else { return };
        // As no other test has it.
        let number = 201;
        let mine = announcement(number, 1, 9);
        let _announcer = Announcer::start(&mine, &lo).unwrap();
        let giver = Givers::start(lo.clone(), Some(number)).next().await;
        assert_eq!((giver.id, giver.addresses[0].port()), (mine.id, 9));
        let mut search = Search::start(lo, Wanted::Id(mine.id.to_string()), None);
        while let Some(found) = search.next().await {
            assert_ne!(found.id, mine.id);
        }
    }
}
