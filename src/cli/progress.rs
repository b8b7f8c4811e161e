//! The progress bar: on standard error, only on a terminal, only for what takes longer than a second.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal::grouped;

/// A bar that shows itself after a second, or never.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total_bytes: Option<u64>,
    since: std::time::Instant,
    shown: bool,
}

const BYTES: &str =
    "{bar:24} {percent:>3}%  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {msg}  ETA {eta}";
const STREAM: &str = "{spinner} {binary_bytes}  {binary_bytes_per_sec}  {msg}  {elapsed}";

impl Progress {
    /// A bar over so many bytes; over an unknown number it shows only the rate.
    #[expect(clippy::disallowed_methods, reason = "a progress bar shows how long it takes")]
    pub(super) fn new(total_bytes: Option<u64>) -> Self {
        Progress { bar: None, total_bytes, since: std::time::Instant::now(), shown: io::stderr().is_terminal() }
    }

    /// Bytes and events so far.
    pub(super) fn update(&mut self, bytes: u64, events: u64) {
        if !self.shown || (self.bar.is_none() && self.since.elapsed() < Duration::from_secs(1)) {
            return;
        }
        let elapsed = self.since.elapsed();
        let bar = self.bar.get_or_insert_with(|| {
            let target = ProgressDrawTarget::stderr_with_hz(8);
            let bar = ProgressBar::with_draw_target(self.total_bytes, target).with_elapsed(elapsed);
            let template = if self.total_bytes.is_some() { BYTES } else { STREAM };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        let rate = events as f64 / elapsed.as_secs_f64().max(0.001);
        bar.set_message(format!("{} events  {} events/s", grouped(events), grouped(rate as u64)));
        bar.set_position(bytes);
    }

    /// Takes the bar away.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
