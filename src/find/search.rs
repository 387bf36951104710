//! The ladder: every way of finding a peer, each a little after the one before if that found nothing.
//!
//! | t (ms) | step | covers |
//! | --- | --- | --- |
//! | 0 | mDNS, both kinds of questions | ordinary networks |
//! | 60 | a probe to the broadcast addresses | access points and switches that drop multicast |
//! | 150 | a probe to each address of the own /24 | no broadcast either, a strict firewall here |
//! | 3000 | the end | |

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::ask::{Asking, Questions};
use super::record::instance_of;
use super::{Interfaces, Kind, MAX_PEERS, News, Sighting, sweep};
use crate::base::book::fold;
use crate::base::id::PeerId;

/// Sightings that wait for the reader.
pub(super) const WAITING: usize = 256;

/// Who is looked for: when is it unnecessary to climb on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Anybody.
    Everyone,
    /// Whoever has this display name; case and Unicode's form do not count.
    Name(String),
    /// Whoever's id begins so.
    Id(String),
    /// The node of this name and short id (8 characters, as in `name~id`): it alone is asked
    /// first, so that a large class does not answer as well.
    Instance {
        /// Its display name.
        name: String,
        /// Its short id, or the whole.
        id: String,
    },
}

impl Wanted {
    /// Whether a sighting is what is wanted, by what it claims.
    pub fn is(&self, sighting: &Sighting) -> bool {
        match self {
            Self::Everyone => true,
            Self::Name(name) => fold(name) == fold(sighting.name.as_raw()),
            Self::Id(id) | Self::Instance { id, .. } => sighting.id.starts_with(id),
        }
    }

    fn instance(&self) -> Option<String> {
        let Self::Instance { name, id } = self else {
            return None;
        };
        let short = id.get(..PeerId::SHORT_LENGTH)?;
        Some(instance_of(name, &short.to_ascii_lowercase()))
    }
}

/// When the steps are taken, counted from the start.
#[derive(Debug, Clone, Copy)]
struct Ladder {
    broadcast: Duration,
    sweep: Duration,
    end: Duration,
}

const COMMAND: Ladder = Ladder { broadcast: ms(60), sweep: ms(150), end: ms(3000) };
const SURVEY: Ladder = Ladder { broadcast: ms(150), sweep: ms(150), end: ms(1000) };

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A search that is under way; dropping it ends it.
pub struct Search {
    start: Instant,
    ladder: Ladder,
    wanted: Wanted,
    me: Option<PeerId>,
    interfaces: Arc<Interfaces>,
    known: HashMap<PeerId, Sighting>,
    satisfied: bool,
    /// The next step: 0 broadcast, 1 sweep, 2 none.
    step: u8,
    news: mpsc::Receiver<News>,
    tell: mpsc::Sender<News>,
    probes: JoinSet<()>,
    _asking: Asking,
}

impl Search {
    /// Begins to look for `wanted`; `me` is not reported. To be called inside a tokio runtime.
    pub fn start(interfaces: Interfaces, wanted: Wanted, me: Option<PeerId>) -> Self {
        Self::climb(interfaces, wanted, me, COMMAND)
    }

    fn climb(interfaces: Interfaces, wanted: Wanted, me: Option<PeerId>, ladder: Ladder) -> Self {
        let interfaces = Arc::new(interfaces);
        let (tell, news) = mpsc::channel(WAITING);
        let questions = Questions::new(Kind::Node, wanted.instance().as_deref());
        let asking = Asking::start(&interfaces, &questions, &tell);
        Self {
            start: Instant::now(),
            ladder,
            wanted,
            me,
            interfaces,
            known: HashMap::new(),
            satisfied: false,
            step: 0,
            news,
            tell,
            probes: JoinSet::new(),
            _asking: asking,
        }
    }

    /// The next peer, wanted or not, or one already told that has a new address now, with all its
    /// addresses. `None` when the time is over. May be cancelled and called again.
    pub async fn next(&mut self) -> Option<Sighting> {
        let end = self.start + self.ladder.end;
        loop {
            let step = match self.step {
                _ if self.satisfied => None,
                0 => Some(self.start + self.ladder.broadcast),
                1 => Some(self.start + self.ladder.sweep),
                _ => None,
            };
            tokio::select! {
                // The clock first: a flood must not hold it up.
                biased;
                () = sleep_until(end) => return None,
                () = sleep_until(step.unwrap_or(end)), if step.is_some() => self.climb_on(),
                Some(news) = self.news.recv() => {
                    if let Some(sighting) = self.take(news) {
                        return Some(sighting);
                    }
                }
            }
        }
    }

    /// Everybody found so far, with all addresses known.
    pub fn found(&self) -> impl Iterator<Item = &Sighting> {
        self.known.values()
    }

    fn take(&mut self, news: News) -> Option<Sighting> {
        let (sighting, answered) = match news {
            News::Seen(sighting) => (sighting, true),
            News::Overheard(sighting) => (sighting, false),
            // Who says goodbye now may have been told already; connecting shows it.
            News::Gone(_) => return None,
        };
        if Some(sighting.id) == self.me {
            return None;
        }
        self.satisfied |= self.satisfies(&sighting, answered);
        if let Some(known) = self.known.get_mut(&sighting.id) {
            return known.merge(&sighting).then(|| known.clone());
        }
        if self.known.len() >= MAX_PEERS && !self.wanted.is(&sighting) {
            return None;
        }
        if self.known.len() < MAX_PEERS {
            self.known.insert(sighting.id, sighting.clone());
        }
        Some(sighting)
    }

    /// Whether the ladder need not be climbed on. Of everyone, only an answer from another machine
    /// shows that the questions reach the others and that their answers reach us.
    fn satisfies(&self, sighting: &Sighting, answered: bool) -> bool {
        let here = |a: &SocketAddr| self.interfaces.contains_ip(a.ip());
        match self.wanted {
            Wanted::Everyone => answered && !sighting.addresses.first().is_some_and(here),
            _ => self.wanted.is(sighting),
        }
    }

    fn climb_on(&mut self) {
        let (interfaces, tell) = (Arc::clone(&self.interfaces), self.tell.clone());
        if self.step == 0 {
            self.probes.spawn(sweep::broadcast(Kind::Node, interfaces, tell));
        } else {
            self.probes.spawn(sweep::sweep(Kind::Node, interfaces, tell));
        }
        self.step += 1;
    }
}

/// Who is here: ends 100 ms after the last new peer, not before 150 ms, not after 500. If no other
/// machine has answered at 150 ms, probes are sent too, and it ends at 1 s at the latest.
pub async fn survey(interfaces: Interfaces, me: Option<PeerId>) -> Vec<Sighting> {
    let mut search = Search::climb(interfaces, Wanted::Everyone, me, SURVEY);
    let start = search.start;
    let mut latest = start;
    let mut count = 0;
    loop {
        // Those who are asked at 150 ms are given the time that the others had.
        let (least, longest) = match search.satisfied && search.step == 0 {
            true => (ms(150), ms(500)),
            false => (SURVEY.sweep + ms(100), SURVEY.end),
        };
        let end = match count {
            0 => start + SURVEY.end,
            _ => (latest + ms(100)).max(start + least).min(start + longest),
        };
        match timeout_at(end, search.next()).await {
            Ok(Some(_)) if search.known.len() > count => {
                (latest, count) = (Instant::now(), search.known.len());
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    let mut list: Vec<_> = std::mem::take(&mut search.known).into_values().collect();
    list.sort_by(|a, b| (a.name.as_raw(), a.id).cmp(&(b.name.as_raw(), b.id)));
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Role;
    use crate::find::{Announcement, Announcer, How};

    fn sighting(name: &str) -> Sighting {
        Sighting {
            id: PeerId::of_public_key(&[1; 32]),
            name: name.into(),
            role: Role::Peer,
            version: 1,
            addresses: vec![],
            how: How::Mdns,
            accept: "".into(),
            boot: "".into(),
        }
    }

    #[test]
    fn names_are_compared_without_case_and_form() {
        assert!(Wanted::Name("ALICE-Laptop".into()).is(&sighting("alice-laptop")));
        assert!(Wanted::Name("e\u{301}".into()).is(&sighting("É")));
        assert!(!Wanted::Name("alice".into()).is(&sighting("alice2")));
    }

    #[test]
    fn an_id_is_wanted_by_its_beginning() {
        let short = sighting("x").id.short();
        assert!(Wanted::Id(short.to_ascii_uppercase()).is(&sighting("x")));
        assert!(!Wanted::Id(String::new()).is(&sighting("x")));
        let instance = |id: &str| Wanted::Instance { name: "x".into(), id: id.into() }.instance();
        assert_eq!(instance(&short), Some(format!("x~{short}")));
        assert_eq!(instance("abc"), None);
    }

    #[tokio::test]
    async fn everyone_is_not_found_by_what_was_overheard_or_is_here() {
        let Ok(lo) = Interfaces::choose(&["lo".into()]) else {
            return;
        };
        let mut search = Search::start(lo, Wanted::Everyone, None);
        let mut seen = sighting("x");
        seen.addresses = vec![([127, 0, 0, 1], 9).into()];
        search.take(News::Seen(seen.clone()));
        seen.addresses = vec![([10, 0, 0, 9], 9).into()];
        search.take(News::Overheard(seen.clone()));
        assert!(!search.satisfied);
        search.take(News::Seen(seen));
        assert!(search.satisfied);
    }

    /// Over loopback only: the machine's own network does not notice.
    #[tokio::test]
    async fn two_nodes_of_an_offline_machine_find_each_other() {
        let Ok(lo) = Interfaces::choose(&["lo".into()]) else {
            return;
        };
        let id = PeerId::of_public_key(&uuid_key());
        let name = "find.test \\ ä".to_owned();
        let (kind, role) = (Kind::Node, Role::Hub);
        let announcement = Announcement { kind, id, name: name.clone(), role, version: 7, port: 9, accept: "ask" };
        let announcer = Announcer::start(&announcement, &lo).unwrap();
        for wanted in [Wanted::Name(name.clone()), Wanted::Instance { name, id: id.short() }] {
            let mut search = Search::start(lo.clone(), wanted.clone(), None);
            let seen = loop {
                let seen = search.next().await.expect("the announcer is found");
                if wanted.is(&seen) {
                    break seen;
                }
            };
            assert_eq!((seen.id, seen.role, seen.version), (id, Role::Hub, 7));
            assert_eq!(seen.addresses.first(), Some(&([127, 0, 0, 1], 9).into()));
        }
        announcer.stop().await;
    }

    fn uuid_key() -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&crate::find::record::random());
        key
    }
}
