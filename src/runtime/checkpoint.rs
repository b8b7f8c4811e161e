//! When to commit: often enough that little is done twice after a crash, seldom enough that it costs little.

use std::time::{Duration, Instant};

/// When to commit.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointOptions {
    /// After so many events.
    pub events: u64,
    /// After so much time, in milliseconds.
    pub interval_ms: u64,
    /// The greatest share of the run that commits may take, in percent.
    pub cost_percent_max: u32,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        CheckpointOptions { events: 200_000, interval_ms: 5_000, cost_percent_max: 10 }
    }
}

/// How often the clock is read, in events. A power of two.
const CLOCK_EVERY: u64 = 1_024;

/// Decides when a commit is due.
#[derive(Debug)]
pub(super) struct Checkpoints {
    options: CheckpointOptions,
    events: u64,
    last: Instant,
    /// Not before: what the last commit cost, times what keeps its share.
    pause: Duration,
}

impl Checkpoints {
    pub(super) fn new(options: CheckpointOptions) -> Self {
        Checkpoints { options, events: 0, last: now(), pause: Duration::ZERO }
    }

    /// Counts an event; whether a commit is due now.
    pub(super) fn due(&mut self) -> bool {
        self.events += 1;
        let many = self.events >= self.options.events;
        if !many && !self.events.is_multiple_of(CLOCK_EVERY) {
            return false;
        }
        if many && self.pause.is_zero() {
            return true;
        }
        if many && !self.events.is_multiple_of(CLOCK_EVERY) {
            return false;
        }
        let since = self.last.elapsed();
        (many || since >= Duration::from_millis(self.options.interval_ms)) && since >= self.pause
    }

    /// Notes that a commit was made, and what it cost.
    pub(super) fn done(&mut self, cost: Duration) {
        let share = self.options.cost_percent_max.clamp(1, 99);
        self.pause = cost * (100 - share) / share;
        self.last = now();
        self.events = 0;
    }
}

#[expect(clippy::disallowed_methods, reason = "when to commit depends on real time; what is found does not")]
pub(super) fn now() -> Instant {
    Instant::now()
}
