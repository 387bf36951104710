//! The wish to stop: one switch, many listeners.

use tokio::sync::watch;

/// Held by whoever may stop things.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

/// Held by whatever can be stopped.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// A switch that is off.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Turns it on, for good.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// A listener.
    pub fn listen(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

impl Default for Stopper {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// Waits until the switch is on; for ever where nobody can turn it on any more.
    pub async fn stopped(&mut self) {
        if self.0.wait_for(|on| *on).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it is on.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }
}
