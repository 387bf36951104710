//! Progress bars: how far, how fast, how long still.

use std::collections::VecDeque;
use std::time::Duration;

use dialoguer::console::{measure_text_width, truncate_str};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::printer::Printer;
use super::screen;
use super::units::bytes;
use crate::base::event::{Progress, Stage};
use crate::base::text::escape;

/// What takes less than this needs no bar.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often a bar is brought up to date.
const REDRAW: Duration = Duration::from_millis(100);

/// After how long without news the rate is looked at again.
const STALE: Duration = Duration::from_millis(500);

/// The time that the rate is taken over, where there is news often enough.
const WINDOW: Duration = Duration::from_secs(4);

/// A rate over less than this is none.
const LEAST: Duration = Duration::from_millis(500);

/// How wide a bar is, and below which width there is none.
const BAR: (usize, usize) = (24, 8);

/// Draws a transfer's progress until it ends; `label` is shown before the bar.
pub fn draw(printer: &Printer, label: String, mut progress: watch::Receiver<Progress>) -> JoinHandle<()> {
    let bars = printer.bars().clone();
    tokio::spawn(async move {
        if timeout(PATIENCE, end(&mut progress)).await.is_ok() {
            return;
        }
        let line = Line::new(bars.add(ProgressBar::new_spinner()));
        let label = escape(&label).into_owned();
        let mut pace = Pace::default();
        loop {
            let (progressed, now) = (*progress.borrow_and_update(), Instant::now());
            pace.note(&progressed, now);
            line.say(|columns| told(&label, &progressed, pace.rate(now), columns));
            match timeout(STALE, progress.changed()).await {
                // Who waits for the end waits for nothing else.
                Ok(Ok(())) if timeout(REDRAW, end(&mut progress)).await.is_err() => {}
                Ok(_) => break,
                // Nothing moves: the rate is to say so.
                Err(_) => {}
            }
        }
    })
}

/// How fast it is, by what the other side has written: what is sent waits in queues at first, and is no
/// measure.
#[derive(Debug, Default)]
struct Pace(VecDeque<(Instant, u64)>);

impl Pace {
    fn note(&mut self, progress: &Progress, now: Instant) {
        if progress.stage != Stage::Moving {
            // Whoever has to wait moves nothing, and is not slow.
            return self.0.clear();
        }
        let safe = progress.bytes_safe;
        match self.0.back() {
            Some((_, before)) if *before == safe => return,
            // A further connection counts from its own beginning.
            Some((_, before)) if *before > safe => self.0.clear(),
            _ => {}
        }
        self.0.push_back((now, safe));
        while self.0.len() > 2 && self.0.get(1).is_some_and(|(at, _)| now - *at > WINDOW) {
            self.0.pop_front();
        }
    }

    /// Bytes a second; nothing while that cannot be said.
    fn rate(&self, now: Instant) -> Option<f64> {
        let ((first, before), (last, safe)) = (self.0.front()?, self.0.back()?);
        let (took, steps) = (*last - *first, self.0.len() as u32 - 1);
        // A slow link has news seldom; one that is much later than they were has stopped.
        if now - *last > (took.checked_div(steps)? * 3).max(STALE * 2) {
            return Some(0.0);
        }
        (took >= LEAST).then(|| (safe - before) as f64 / took.as_secs_f64())
    }
}

/// How far it is, in a line of so many columns.
fn told(label: &str, progress: &Progress, rate: Option<f64>, columns: usize) -> String {
    let done = progress.bytes_kept + progress.bytes_safe;
    // Of a pipe nobody knows how long it is.
    let all = Some(progress.bytes).filter(|all| *all >= progress.bytes_kept + progress.bytes_moved);
    let mut parts = vec![all.map_or_else(|| bytes(done), |all| format!("{} of {}", bytes(done), bytes(all)))];
    match progress.stage {
        Stage::Offering => return format!("{label} · telling what there is"),
        Stage::Asking => return format!("{label} · waiting for an answer"),
        Stage::Moving => {
            let left = all.zip(rate).filter(|(_, rate)| *rate >= 1.0);
            let left = left.map(|(all, rate)| Duration::from_secs_f64(all.saturating_sub(done) as f64 / rate));
            parts.extend(rate.map(|rate| format!("{}/s", bytes(rate as u64))));
            parts.extend(left.map(|left| format!("{:#} left", HumanDuration(left))));
        }
        Stage::Settling => parts.push("syncing".to_owned()),
        Stage::Reconnecting => parts.push("reconnecting".to_owned()),
    }
    let width = |parts: &[String]| measure_text_width(label) + " ".len() + measure_text_width(&parts.join(" · "));
    if let (Some(all), true) = (all, width(&parts) > columns) {
        // How fast and how long still is worth more than how much exactly.
        parts[0] = format!("{}%", (100 * u128::from(done)).checked_div(all.into()).unwrap_or(100).min(100));
    }
    let (text, room) = (parts.join(" · "), columns.saturating_sub(width(&parts) + "[] ".len()).min(BAR.0));
    match all {
        Some(all) if room >= BAR.1 => {
            let full = (room as u64 * done.min(all)).checked_div(all).unwrap_or(0) as usize;
            let tip = if full < room { ">" } else { "" };
            format!("{label} [{:room$}] {text}", format!("{}{tip}", "=".repeat(full)))
        }
        _ => format!("{label} {text}"),
    }
}

/// A line that is drawn again and again, never wider than the terminal; it goes when this is dropped.
#[derive(Debug)]
struct Line(ProgressBar);

impl Line {
    fn new(bar: ProgressBar) -> Self {
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn say(&self, text: impl FnOnce(usize) -> String) {
        let columns = screen::columns();
        self.0.set_message(truncate_str(&text(columns), columns, "…").into_owned());
        self.0.tick();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Waits until nothing more is told.
async fn end(progress: &mut watch::Receiver<Progress>) {
    while progress.changed().await.is_ok() {}
}

/// A line that tells how far something is whose end is not known; it goes when this is dropped.
#[derive(Debug)]
pub struct Ticker(Line);

impl Ticker {
    /// A line without a text.
    pub fn new(printer: &Printer) -> Self {
        Self(Line::new(printer.bars().add(ProgressBar::new_spinner())))
    }

    /// Tells this from now on.
    pub fn say(&self, text: String) {
        self.0.say(|_| escape(&text).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

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

    const MIB: u64 = 1 << 20;

    /// 150 MiB of which so much is sent and so much is there.
    fn of_150(moved: u64, safe: u64) -> Progress {
        let bytes = 150 * MIB;
        Progress { stage: Stage::Moving, bytes, bytes_moved: moved, bytes_safe: safe, ..Progress::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_that_of_what_has_arrived_whatever_waits_in_queues() {
        let mut pace = Pace::default();
        for quarter in 0..20 {
            let safe = quarter * 10 * MIB / 4;
            pace.note(&of_150((safe + 46 * MIB).min(150 * MIB), safe), Instant::now());
            match pace.rate(Instant::now()) {
                None => assert!(quarter < 2, "after {quarter} quarters"),
                Some(rate) => assert!((rate / MIB as f64 - 10.0).abs() < 0.1, "after {quarter} quarters: {rate}"),
            }
            sleep(Duration::from_millis(250)).await;
        }
        let progress = of_150(96 * MIB, 50 * MIB);
        let line = told("→ bob", &progress, pace.rate(Instant::now()), 90);
        assert_eq!(line, "→ bob [========>               ] 50.00 MiB of 150.00 MiB · 10.00 MiB/s · 10s left");
        sleep(STALE * 3).await;
        assert_eq!(pace.rate(Instant::now()), Some(0.0), "nothing comes any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_link_has_a_rate_between_its_news_too() {
        let mut pace = Pace::default();
        for second in 0..60 {
            pace.note(&of_150(46 * MIB, second / 10 * MIB), Instant::now());
            let rate = pace.rate(Instant::now()).map(|rate| rate as u64 / 1000);
            assert_eq!(rate, (second >= 10).then_some(104), "after {second} s");
            sleep(Duration::from_secs(1)).await;
        }
        // Dialled again, it counts from the beginning.
        pace.note(&of_150(MIB, 0), Instant::now());
        assert_eq!(pace.rate(Instant::now()), None);
    }

    #[test]
    fn a_line_fits_and_says_nothing_of_what_it_cannot_know() {
        let label = "→ a-laptop-with-a-name";
        for stage in [Stage::Offering, Stage::Asking, Stage::Moving, Stage::Settling, Stage::Reconnecting] {
            let progress = Progress { stage, ..of_150(150 * MIB, 70 * MIB) };
            for columns in 60..120 {
                let line = told(label, &progress, Some(1e6), columns);
                assert!(measure_text_width(&line) <= columns.max(75), "{columns}: {line}");
                assert!(columns < 90 || stage < Stage::Moving || line.contains('['), "{columns}: {line}");
            }
        }
        let asking = told(label, &Progress { stage: Stage::Asking, ..Progress::default() }, None, 80);
        assert_eq!(asking, "→ a-laptop-with-a-name · waiting for an answer");
        let narrow = told("→ bob", &of_150(150 * MIB, 75 * MIB), Some(1e7), 40);
        assert_eq!(narrow, "→ bob 50% · 9.54 MiB/s · 8s left");
        let pipe = Progress { bytes: 0, ..of_150(3 * MIB, 2 * MIB) };
        assert_eq!(told("→ bob", &pipe, Some(2048.0), 80), "→ bob 2.00 MiB · 2.00 KiB/s");
    }
}
