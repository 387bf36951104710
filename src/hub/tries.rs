//! Wrong tries to join: how often somebody may be wrong, and how long to wait then.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::base::id::PeerId;
use crate::base::path::Name;
use crate::disk::fit::folded;
use crate::node::caps::network;

/// How many tries may be wrong within [`WINDOW`]: from one address, from one device, for one account.
pub const MAX_WRONG: u32 = 5;

/// From the first wrong try on, how long wrong tries are counted.
pub const WINDOW: Duration = Duration::from_secs(10 * 60);

/// How many tries with a wrong code a code stands that works once.
pub const MAX_WRONG_ONCE: u32 = 3;

/// Most sources that are counted; nobody else is let in while there are so many. As each address has five
/// tries, that takes many hundred machines.
const MAX_SOURCES: usize = 8192;

/// Whose tries are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    Address(IpAddr),
    Device(PeerId),
    Account(String),
}

#[derive(Debug)]
struct Count {
    wrong: u32,
    since: Instant,
}

#[derive(Debug, Default)]
struct Counts {
    sources: HashMap<Source, Count>,
    once: Vec<(Zeroizing<String>, u32)>,
}

/// The wrong tries of late. Clones are the same ones. Forgotten when the hub ends.
#[derive(Debug, Clone, Default)]
pub struct Tries(Arc<Mutex<Counts>>);

/// A try under way. It is counted as wrong until it is forgiven.
#[derive(Debug)]
pub struct Try {
    sources: Vec<Source>,
}

impl Tries {
    /// How long somebody has to wait before the next try; none if not at all.
    pub fn wait(&self, address: IpAddr, device: PeerId, account: Option<&Name>) -> Option<Duration> {
        let now = Instant::now();
        self.lock().wait(&sources(address, device, account), now)
    }

    /// Begins a try.
    ///
    /// # Errors
    /// How long to wait.
    pub fn begin(&self, address: IpAddr, device: PeerId, account: Option<&Name>) -> Result<Try, Duration> {
        let (now, sources) = (Instant::now(), sources(address, device, account));
        let mut counts = self.lock();
        if let Some(wait) = counts.wait(&sources, now) {
            return Err(wait);
        }
        for source in &sources {
            counts.sources.entry(source.clone()).or_insert(Count { wrong: 0, since: now }).wrong += 1;
        }
        Ok(Try { sources })
    }

    /// The try was right.
    pub fn forgive(&self, done: Try) {
        let mut counts = self.lock();
        for source in done.sources {
            if let Some(count) = counts.sources.get_mut(&source) {
                count.wrong = count.wrong.saturating_sub(1);
            }
        }
        counts.sources.retain(|_, count| count.wrong > 0);
    }

    /// Notes that a code was tried that none of the open ones is, and tells which of those that work once
    /// must not count any more.
    pub fn wrong_code(&self, once: &[Zeroizing<String>]) -> Vec<Zeroizing<String>> {
        let mut counts = self.lock();
        counts.once.retain(|(words, _)| once.contains(words));
        for words in once {
            match counts.once.iter_mut().find(|(known, _)| known == words) {
                Some((_, wrong)) => *wrong += 1,
                None => counts.once.push((words.clone(), 1)),
            }
        }
        let burnt = counts.once.iter().filter(|(_, wrong)| *wrong >= MAX_WRONG_ONCE);
        burnt.map(|(words, _)| words.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn wait(&mut self, sources: &[Source], now: Instant) -> Option<Duration> {
        self.sources.retain(|_, count| now < count.since + WINDOW);
        let left = |count: &Count| (count.since + WINDOW).saturating_duration_since(now);
        let counts = sources.iter().filter_map(|source| self.sources.get(source));
        let over = counts.filter(|count| count.wrong >= MAX_WRONG).map(left).max();
        let full = self.sources.len() + sources.len() > MAX_SOURCES;
        over.or_else(|| full.then(|| self.sources.values().map(left).min()).flatten())
    }
}

fn sources(address: IpAddr, device: PeerId, account: Option<&Name>) -> Vec<Source> {
    let account = account.map(|name| Source::Account(folded(name.as_str())));
    [Source::Address(network(address)), Source::Device(device)].into_iter().chain(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(n: u16) -> PeerId {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        PeerId::of_public_key(&key)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn after_five_wrong_tries_the_address_the_device_and_the_account_wait_for_the_rest_of_ten_minutes() {
        let tries = Tries::default();
        let anna = Name::parse("Anna").unwrap();
        for _ in 0..MAX_WRONG {
            tries.begin(ip("10.0.0.1"), device(1), Some(&anna)).unwrap();
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        let left = WINDOW - Duration::from_secs(60) * MAX_WRONG;
        let other = Name::parse("anna").unwrap();
        assert_eq!(tries.begin(ip("10.0.0.1"), device(9), None).unwrap_err(), left);
        assert_eq!(tries.wait(ip("::ffff:10.0.0.1"), device(9), None), Some(left));
        assert_eq!(tries.wait(ip("10.0.0.9"), device(1), None), Some(left));
        assert_eq!(tries.wait(ip("10.0.0.9"), device(9), Some(&other)), Some(left));
        assert_eq!(tries.wait(ip("10.0.0.9"), device(9), None), None);
        tokio::time::advance(left).await;
        assert_eq!(tries.wait(ip("10.0.0.1"), device(1), Some(&anna)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_right_is_not_counted_however_often_and_tries_under_way_are() {
        let tries = Tries::default();
        for _ in 0..3 * MAX_WRONG {
            let done = tries.begin(ip("fd00::1"), device(1), None).unwrap();
            tries.forgive(done);
        }
        assert!(tries.lock().sources.is_empty());
        let under_way: Vec<_> =
            (0..MAX_WRONG).map(|n| tries.begin(ip(&format!("fd00::{n}")), device(n as u16), None).unwrap()).collect();
        assert!(tries.begin(ip("fd00::99"), device(99), None).is_err(), "a network counts as one");
        under_way.into_iter().for_each(|one| tries.forgive(one));
        assert!(tries.begin(ip("fd00::99"), device(99), None).is_ok());
        assert!(tries.begin(ip("fe80::1"), device(98), None).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_whoever_comes_when_it_is_full_waits() {
        let tries = Tries::default();
        let mut begun = 0u16;
        while tries.begin(IpAddr::from(std::net::Ipv4Addr::from(u32::from(begun))), device(begun), None).is_ok() {
            begun += 1;
        }
        assert_eq!(tries.lock().sources.len(), MAX_SOURCES);
        assert_eq!(usize::from(begun), MAX_SOURCES / 2);
        tokio::time::advance(WINDOW).await;
        assert!(tries.begin(ip("10.0.0.1"), device(1), None).is_ok());
        assert_eq!(tries.lock().sources.len(), 2);
    }

    #[test]
    fn a_code_that_works_once_stands_three_wrong_ones() {
        let tries = Tries::default();
        let (a, b) = (Zeroizing::new("a".to_owned()), Zeroizing::new("b".to_owned()));
        assert!(tries.wrong_code(std::slice::from_ref(&a)).is_empty());
        assert!(tries.wrong_code(&[a.clone(), b.clone()]).is_empty());
        assert_eq!(tries.wrong_code(&[a.clone(), b.clone()]), [a]);
        assert_eq!(tries.wrong_code(std::slice::from_ref(&b)), [b]);
        assert!(tries.wrong_code(&[]).is_empty());
        assert!(tries.lock().once.is_empty());
    }
}
