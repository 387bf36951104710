//! The signals that end a command.

use crate::flow::stop::{Stop, Stopper};

/// Listens, from now on, for Ctrl-C, a termination or a hang-up; each turns the switch on. To be
/// called inside a tokio runtime, before anything is done that should be ended in good order.
pub fn listen() -> Stop {
    let stopper = Stopper::new();
    let stop = stopper.listen();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            // Where the system refuses, the signal ends the program as it always did.
            let Ok(mut signal) = signal(kind) else { continue };
            let stopper = stopper.clone();
            tokio::spawn(async move {
                signal.recv().await;
                stopper.stop();
            });
        }
    }
    #[cfg(windows)]
    {
        use tokio::signal::windows;
        if let (Ok(mut c), Ok(mut close), Ok(mut shutdown)) =
            (windows::ctrl_c(), windows::ctrl_close(), windows::ctrl_shutdown())
        {
            tokio::spawn(async move {
                tokio::select! {
                    _ = c.recv() => {}
                    _ = close.recv() => {}
                    _ = shutdown.recv() => {}
                }
                stopper.stop();
            });
        }
    }
    stop
}
