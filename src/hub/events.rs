//! The way of events to whoever keeps the hub's log. Nobody is served later because the log is not read:
//! what it cannot take is left out, counted, and told as missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::event::{Event, NAMED};

/// How long a log that is only slow is waited for. One that takes nothing for so long is not waited for
/// again until it has come half-way.
const PATIENCE: Duration = Duration::from_millis(100);

/// How often a thread looks whether there is room.
const LOOK: Duration = Duration::from_millis(1);

/// Which files of a transfer are told one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Each, for programs.
    Each,
    /// The first [`NAMED`], for people: beyond these, how many there were says more.
    First,
}

/// Where a hub tells what happens; all clones are the same.
#[derive(Debug, Clone)]
pub struct Events {
    sender: Sender<Event>,
    files: Files,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Events left out that the log has not been told of.
    missed: AtomicU64,
    /// Whether the log takes nothing.
    stuck: AtomicBool,
}

/// What happened, for whoever keeps the log. Waiting for more of it blocks; it ends with the hub.
#[derive(Debug)]
pub struct Happened {
    receiver: Receiver<Event>,
    state: Arc<State>,
    /// What comes after the missed ones.
    next: Option<Event>,
}

/// A way on which so many events may wait.
pub fn way(waiting: usize, files: Files) -> (Events, Happened) {
    let (sender, receiver) = channel(waiting);
    let state = Arc::new(State::default());
    (Events { sender, files, state: state.clone() }, Happened { receiver, state, next: None })
}

impl Events {
    /// Whether a file is to be told of, by which one of its transfer it is, from 1.
    pub fn names(&self, nth: u64) -> bool {
        self.files == Files::Each || nth <= NAMED
    }

    /// Tells an event.
    pub async fn tell(&self, event: Event) {
        let Some(event) = self.offer(event) else { return };
        match timeout(PATIENCE, self.sender.reserve()).await {
            Ok(Ok(place)) => place.send(event),
            // Nobody keeps a log.
            Ok(Err(_)) => {}
            Err(_) => self.give_up(),
        }
    }

    /// Tells an event, from a thread that may block.
    pub fn tell_blocking(&self, mut event: Event) {
        let mut waited = Duration::ZERO;
        while let Some(again) = self.offer(event) {
            if waited >= PATIENCE {
                return self.give_up();
            }
            event = again;
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
    }

    /// Tells it if there is room; gives it back where that is worth waiting for.
    fn offer(&self, event: Event) -> Option<Event> {
        let event = match self.sender.try_send(event) {
            Ok(()) | Err(TrySendError::Closed(_)) => return None,
            Err(TrySendError::Full(event)) => event,
        };
        if self.state.stuck.load(Ordering::Relaxed) {
            self.state.missed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(event)
    }

    fn give_up(&self) {
        self.state.stuck.store(true, Ordering::Relaxed);
        self.state.missed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Iterator for Happened {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.next.take() {
            return Some(event);
        }
        let event = self.receiver.blocking_recv();
        if self.receiver.len() <= self.receiver.max_capacity() / 2 {
            self.state.stuck.store(false, Ordering::Relaxed);
        }
        match self.state.missed.swap(0, Ordering::Relaxed) {
            0 => event,
            events => {
                self.next = event;
                Some(Event::Missed { events })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64) -> Event {
        Event::Managed { what: number.to_string() }
    }

    #[test]
    fn programs_are_told_of_each_file_and_people_of_the_first_hundred() {
        let names = |files| [1, 100, 101].map(|nth| way(1, files).0.names(nth));
        assert_eq!(names(Files::Each), [true, true, true]);
        assert_eq!(names(Files::First), [true, true, false]);
    }

    #[tokio::test]
    async fn a_log_that_nobody_reads_holds_up_nobody_for_long_and_is_told_what_it_missed() {
        let (events, happened) = way(4, Files::Each);
        // As long as it would take if each were waited for, no test would end.
        let told = async {
            for number in 0..100_000 {
                events.tell(event(number)).await;
            }
        };
        told.await;
        let events_of_a_thread = events.clone();
        std::thread::spawn(move || events_of_a_thread.tell_blocking(event(100_000))).join().unwrap();
        drop(events);
        let heard = std::thread::spawn(move || happened.collect::<Vec<_>>());
        let heard = heard.join().unwrap();
        assert_eq!(heard[0], Event::Missed { events: 99_997 });
        assert_eq!(heard[1..], [event(0), event(1), event(2), event(3)]);
    }

    #[tokio::test]
    async fn a_log_that_is_read_misses_nothing_of_a_flood() {
        let (events, happened) = way(4, Files::Each);
        let reading = std::thread::spawn(move || happened.collect::<Vec<_>>());
        let blocking = events.clone();
        let flood = std::thread::spawn(move || (0..500).for_each(|number| blocking.tell_blocking(event(number))));
        for number in 500..1000 {
            events.tell(event(number)).await;
        }
        drop(events);
        flood.join().unwrap();
        let heard = reading.join().unwrap();
        assert_eq!(heard.len(), 1000);
        assert!(!heard.iter().any(|event| matches!(event, Event::Missed { .. })));
    }
}
