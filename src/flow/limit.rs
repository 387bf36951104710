//! Politeness: so many bytes a second and no more, for all that share a [`Limit`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How far a pause lets the bytes after it run ahead of the rate.
const AHEAD: Duration = Duration::from_millis(100);

/// Most bytes taken at once.
const STRIDE: usize = 32 * 1024;

/// How many times a second bytes are taken at a slow rate, at least: it is to flow evenly.
const EVENLY: f64 = 8.0;

/// A limit on bytes a second, or none. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Limit(Option<Arc<Schedule>>);

#[derive(Debug)]
struct Schedule {
    /// Bytes a second.
    rate: f64,
    granted: Mutex<Granted>,
}

/// What has been granted so far.
#[derive(Debug)]
struct Granted {
    /// When all of it has flowed.
    through: Instant,
    /// How long all of it flows.
    time: Duration,
}

impl Limit {
    /// No limit.
    pub fn none() -> Self {
        Self(None)
    }

    /// So many bytes a second, at least 1.
    pub fn rate(bytes_per_second: u64) -> Self {
        let rate = bytes_per_second.max(1) as f64;
        let granted = Granted { through: Instant::now(), time: Duration::ZERO };
        Self(Some(Arc::new(Schedule { rate, granted: Mutex::new(granted) })))
    }

    /// Whether there is one.
    pub(super) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// How many bytes to take at once.
    pub(super) fn stride(&self) -> usize {
        let stride = self.0.as_ref().map_or(f64::INFINITY, |schedule| schedule.rate / EVENLY);
        (stride as usize).clamp(64, STRIDE)
    }

    /// Waits until so many bytes may flow. What was granted to a wait that is dropped is lost.
    pub(super) async fn take(&self, bytes: usize) {
        let Some(schedule) = &self.0 else { return };
        let through = {
            let mut granted = schedule.granted();
            let now = Instant::now();
            let earliest = now.checked_sub(AHEAD).unwrap_or(now);
            let time = Duration::from_secs_f64(bytes as f64 / schedule.rate);
            granted.time += time;
            granted.through = granted.through.max(earliest) + time;
            granted.through
        };
        sleep_until(through).await;
    }

    /// How long everything granted so far, to all that share it, flows at its rate: where that grows as fast as
    /// time passes, nothing but the limit holds them back. Nothing without a limit.
    pub(super) fn granted(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |schedule| schedule.granted().time)
    }
}

impl Schedule {
    fn granted(&self) -> MutexGuard<'_, Granted> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn two_who_share_a_limit_keep_it_together_and_pauses_do_not_add_up() {
        let limit = Limit::rate(1_000_000);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = Instant::now();
        let take = |limit: Limit| async move {
            for _ in 0..100 {
                limit.take(50_000).await;
            }
        };
        tokio::join!(take(limit.clone()), take(limit));
        let took = begun.elapsed().as_secs_f64();
        assert!((9.5..10.5).contains(&took), "10 MB at 1 MB/s took {took} s");
    }
}
