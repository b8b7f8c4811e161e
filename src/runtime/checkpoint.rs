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

    /// Counts events; whether a commit is due now.
    pub(super) fn due(&mut self, events: u64) -> bool {
        self.events += events;
        let many = self.events >= self.options.events;
        if many && self.pause.is_zero() {
            return true;
        }
        let since = self.last.elapsed();
        let long = self.events > 0 && since >= Duration::from_millis(self.options.interval_ms);
        (many || long) && since >= self.pause
    }

    /// How many events a commit waits for.
    pub(super) fn events(&self) -> u64 {
        self.options.events
    }

    /// Notes that a commit has begun: it holds the events up to here.
    pub(super) fn begun(&mut self) {
        self.events = 0;
    }

    /// Whether the last commit that has begun holds everything.
    pub(super) fn hold_all(&self) -> bool {
        self.events == 0
    }

    /// Notes that a commit was made, and what it cost.
    pub(super) fn done(&mut self, cost: Duration) {
        let share = self.options.cost_percent_max.clamp(1, 99);
        self.pause = cost * (100 - share) / share;
        self.last = now();
    }
}

#[expect(clippy::disallowed_methods, reason = "when to commit depends on real time; what is found does not")]
pub(super) fn now() -> Instant {
    Instant::now()
}
