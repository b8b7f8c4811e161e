//! Signed checkpoints on their way to where the writer of a log cannot reach them: a file, a command, a webhook. Each place has a
//! thread and a bounded queue of its own, so that none holds up the log or another place. What cannot be brought there is tried
//! again, then counted and told: a later checkpoint covers all that an earlier one did.

mod place;
mod queue;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

pub use place::{Place, PlaceError, SecretFrom, Webhook};
pub use queue::QUEUE_CHECKPOINTS_MAX;

use self::place::Target;
use self::queue::Queue;
use crate::alert::Clock;
use crate::store::OnCheckpoint;

/// How often a checkpoint is tried at a place at most.
pub const ATTEMPTS_MAX: u32 = 6;
/// The pause after the first failure; each further one is twice as long.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// How long an attempt may take.
pub const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long is tried at the end.
pub const END_TIME_MAX: Duration = Duration::from_secs(5);

/// What became of checkpoints, over all places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PublishCounts {
    /// Taken in, once for each place.
    pub made: u64,
    /// Brought there.
    pub sent: u64,
    /// Attempts that failed and were made again.
    pub retried: u64,
    /// Given up, or gone from a queue that was full.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Counts {
    made: AtomicU64,
    sent: AtomicU64,
    retried: AtomicU64,
    lost: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// Brings checkpoints to their places.
#[derive(Debug)]
pub struct Publisher {
    queues: Vec<Arc<Queue>>,
    counts: Arc<Counts>,
}

impl Publisher {
    /// Starts a thread for each place.
    ///
    /// # Errors
    /// A place that cannot be used, or no thread to be had.
    pub fn start(
        places: &[Place],
        env: &dyn Fn(&str) -> Option<String>,
        clock: &Clock,
    ) -> Result<Publisher, PlaceError> {
        let targets = places.iter().map(|place| Target::open(place, env)).collect::<Result<Vec<_>, _>>()?;
        let counts = Arc::new(Counts::default());
        let mut queues = Vec::new();
        for target in targets {
            let queue = Arc::new(Queue::default());
            let lane = Lane { queue: Arc::clone(&queue), counts: Arc::clone(&counts), clock: Arc::clone(clock) };
            let thread = std::thread::Builder::new().name("checkpoints".to_owned());
            thread.spawn(move || lane.work(target)).map_err(PlaceError::Thread)?;
            queues.push(queue);
        }
        Ok(Publisher { queues, counts })
    }

    /// What a log tells its checkpoints to. Never waits.
    pub fn hears(&self) -> OnCheckpoint {
        let (queues, counts) = (self.queues.clone(), Arc::clone(&self.counts));
        Arc::new(move |note| {
            let note: Arc<str> = note.into();
            for queue in &queues {
                Counts::add(&counts.made, 1);
                let lost = queue.push(Arc::clone(&note));
                Counts::add(&counts.lost, lost);
                let total = counts.lost.load(Ordering::Relaxed);
                // A flood is told at its first, second, fourth, … checkpoint.
                if lost > 0 && total.is_power_of_two() {
                    tracing::warn!(lost = total, "a checkpoint was not brought to its place: its queue is full");
                }
            }
        })
    }

    /// What became of them so far.
    pub fn counts(&self) -> PublishCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { made, sent, retried, lost } = &*self.counts;
        PublishCounts { made: read(made), sent: read(sent), retried: read(retried), lost: read(lost) }
    }

    /// Tries once more what waits, for at most [`END_TIME_MAX`] a place; the rest is lost. Blocks until then.
    pub fn end(&self) -> PublishCounts {
        self.queues.iter().for_each(|queue| queue.close());
        for queue in &self.queues {
            Counts::add(&self.counts.lost, queue.wait(END_TIME_MAX));
        }
        self.counts()
    }
}

/// The queue of a place, and who works it off.
struct Lane {
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    clock: Clock,
}

impl Lane {
    fn work(self, mut target: Target) {
        while let Some(note) = self.queue.next() {
            self.bring(&mut target, &note);
            self.queue.done();
        }
    }

    fn bring(&self, target: &mut Target, note: &str) {
        let mut pause = BACKOFF_FIRST;
        for attempt in 1.. {
            let Err(why) = target.bring(note, (self.clock)()) else {
                Counts::add(&self.counts.sent, 1);
                return;
            };
            if attempt >= ATTEMPTS_MAX || !why.may_pass || self.queue.is_closed() {
                Counts::add(&self.counts.lost, 1);
                tracing::error!(place = %target, why = %why.what, attempt, "a checkpoint was not brought to its place");
                return;
            }
            Counts::add(&self.counts.retried, 1);
            tracing::warn!(place = %target, why = %why.what, attempt, "a checkpoint is not at its place yet; it is tried again");
            self.queue.pause(pause);
            pause *= 2;
        }
    }
}

/// Why an attempt failed.
struct Failure {
    what: String,
    /// Whether it may go well later.
    may_pass: bool,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure { what: error.to_string(), may_pass: true }
    }
}
