//! Turns at what takes a hub long, and much memory: a few at once, of each account even fewer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::path::Name;

/// How many may be at it at once.
const AT_ONCE: usize = 8;

/// How many of them for one account: nobody takes every turn.
const EACH: usize = 2;

/// The turns of a hub.
#[derive(Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    accounts: Mutex<HashMap<Name, Weak<Semaphore>>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), accounts: Mutex::default() }
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _own: Option<OwnedSemaphorePermit>,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits for a turn: first for one of the account, so that who waits for that is in nobody's way.
    pub async fn take(&self, account: &Name) -> Turn {
        let own = self.of(account).acquire_owned().await.ok();
        Turn { _own: own, _of_all: self.all.clone().acquire_owned().await.ok() }
    }

    fn of(&self, account: &Name) -> Arc<Semaphore> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = accounts.get(account).and_then(Weak::upgrade) {
            return there;
        }
        // Those that nobody uses any more go.
        accounts.retain(|_, turns| turns.strong_count() > 0);
        let fresh = Arc::new(Semaphore::new(EACH));
        accounts.insert(account.clone(), Arc::downgrade(&fresh));
        fresh
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_account_does_not_take_every_turn_and_turns_come_back() {
        let turns = Turns::default();
        let name = |text: &str| Name::parse(text).unwrap();
        let (greedy, honest) = (name("greedy"), name("honest"));
        let mut held = vec![turns.take(&greedy).await, turns.take(&greedy).await];
        assert!(timeout(Duration::from_secs(9), turns.take(&greedy)).await.is_err());
        drop(turns.take(&honest).await);
        held.pop();
        held.push(turns.take(&greedy).await);
        for n in 0..3 {
            held.extend([turns.take(&name(&format!("a{n}"))).await, turns.take(&name(&format!("a{n}"))).await]);
        }
        assert!(timeout(Duration::from_secs(9), turns.take(&honest)).await.is_err(), "all are taken");
        held.clear();
        turns.take(&honest).await;
        assert_eq!(turns.accounts.lock().unwrap().len(), 1);
    }
}
