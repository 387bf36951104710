//! Strangers in the log: whoever has not joined fills no disk by coming again and again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lines about strangers from one address, within [`WINDOW`].
const LINES: u32 = 20;

/// How long they are counted.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// Most addresses that are counted; nobody else is told of while there are so many.
const MOST: usize = 1024;

/// How often strangers were told of.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Strangers {
    /// Whether one more line about somebody at this address is written.
    pub(super) fn may_be_told(&self, address: IpAddr) -> bool {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, (since, _)| now < *since + WINDOW);
        if told.len() >= MOST && !told.contains_key(&address) {
            return false;
        }
        let (_, lines) = told.entry(address).or_insert((now, 0));
        *lines += 1;
        *lines <= LINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stranger_is_told_of_a_few_times_and_later_again() {
        let strangers = Strangers::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        let told = (0..1000).filter(|_| strangers.may_be_told(address)).count();
        assert_eq!(told, LINES as usize);
        assert!(strangers.may_be_told([10, 0, 0, 2].into()));
        tokio::time::sleep(WINDOW).await;
        assert!(strangers.may_be_told(address));
    }
}
