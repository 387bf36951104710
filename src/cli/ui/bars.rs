//! Progress bars: how far, how fast, how long still.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::printer::Printer;
use crate::base::event::{Progress, Stage};
use crate::base::text::escape;

/// What takes less than this needs no bar.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often a bar is brought up to date.
const REDRAW: Duration = Duration::from_millis(100);

/// After how long without news the rate is looked at again.
const STALE: Duration = Duration::from_millis(500);

/// Draws a transfer's progress until it ends; `label` is shown before the bar.
pub fn draw(printer: &Printer, label: String, mut progress: watch::Receiver<Progress>) -> JoinHandle<()> {
    let bars = printer.bars().clone();
    tokio::spawn(async move {
        if timeout(PATIENCE, end(&mut progress)).await.is_ok() {
            return;
        }
        let bar = bars.add(ProgressBar::new(0));
        let style = ProgressStyle::with_template(
            "{prefix} [{bar:24}] {binary_bytes} of {binary_total_bytes} · {binary_bytes_per_sec} · {eta} left {msg}",
        );
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(escape(&label).into_owned());
        let mut begun = false;
        loop {
            let now = *progress.borrow_and_update();
            let kept = now.bytes_kept;
            if !begun && now.stage == Stage::Moving {
                // What was there already does not count for the rate.
                begun = true;
                bar.set_position(kept);
                bar.reset_eta();
            }
            bar.set_length(now.bytes.max(kept + now.bytes_moved));
            bar.set_position(kept + now.bytes_moved);
            bar.set_message(match now.stage {
                Stage::Offering => "· telling what there is",
                Stage::Asking => "· waiting for an answer",
                Stage::Moving => "",
                Stage::Settling => "· syncing",
                Stage::Reconnecting => "· reconnecting",
            });
            match timeout(STALE, progress.changed()).await {
                // Who waits for the end waits for nothing else.
                Ok(Ok(())) if timeout(REDRAW, end(&mut progress)).await.is_err() => {}
                Ok(_) => break,
                // Nothing moves: the rate is to say so.
                Err(_) => bar.tick(),
            }
        }
        bar.finish_and_clear();
    })
}

/// Waits until nothing more is told.
async fn end(progress: &mut watch::Receiver<Progress>) {
    while progress.changed().await.is_ok() {}
}

/// A line that tells how far something is whose end is not known; it goes when this is dropped.
#[derive(Debug)]
pub struct Ticker(ProgressBar);

impl Ticker {
    /// A line without a text.
    pub fn new(printer: &Printer) -> Self {
        Self(printer.bars().add(ProgressBar::new_spinner()))
    }

    /// Tells this from now on.
    pub fn say(&self, text: String) {
        self.0.set_message(escape(&text).into_owned());
        self.0.tick();
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_bar_waits_no_longer_than_for_the_transfer() {
        for lasts in [PATIENCE / 2, PATIENCE + REDRAW / 2, PATIENCE + STALE + REDRAW / 3] {
            let (progress, watched) = watch::channel(Progress::default());
            let bar = draw(&Printer::silent(), "→ bob".to_owned(), watched);
            let begun = Instant::now();
            while begun.elapsed() < lasts {
                sleep(Duration::from_millis(5)).await;
                progress.send_modify(|p| p.bytes_moved += 1);
            }
            let ended = Instant::now();
            drop(progress);
            bar.await.unwrap();
            assert_eq!(ended.elapsed(), Duration::ZERO, "after {lasts:?}");
        }
    }
}
