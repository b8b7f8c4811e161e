//! Where alerts go: log, webhook, chat, mail; with retries, and a file for what could not be delivered. Knows violations, no
//! evaluator and no store.
//!
//! [`Alerts`] has a thread of its own. [`AlertHandle::send`] puts an alert into a bounded queue for each target of the
//! channel and returns at once: a target that hangs holds up neither the caller nor other targets. A violation is told to a
//! target once; what a restart forgets, the file named `remember` keeps. Whoever keeps what waits itself, as the server does in
//! its log, hands it in with [`AlertHandle::deliver`], one alert and target at a time, and is told what became of each.

mod config;
mod dead;
pub(crate) mod http;
mod known;
mod lane;
mod message;
mod sign;
mod target;

pub use config::{ALERT_ATTEMPTS_MAX, Channels, ChannelsError, Secret, Unrouted};
pub use dead::{DeadLetter, ResendError, Resent, read_dead_letters, resend};
pub use known::REMEMBERED_MAX;
pub use lane::{BACKOFF_FIRST, BACKOFF_MAX, Ended, QUEUE_ALERTS_MAX, Receipt, Settled};
pub use message::{Alert, BECAUSE_CHARS_MAX, due, is_told};
pub use sign::{SIGNATURE_AGE_MAX, SignatureError, sign, verify};
pub use target::TIMEOUT;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use serde::Serialize;
use tokio::sync::{mpsc, watch};

use self::dead::DeadLetters;
use self::known::Known;
use self::lane::{Closing, Job, Lane};
use crate::time::{Duration, Timestamp};
use crate::violation::Violation;

/// What time it is, for signatures, mails and dead letters.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What became of an alert at the moment it was sent, for each target of its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Taken into the queue.
    pub queued: u32,
    /// Told before.
    pub repeated: u32,
    /// Not taken in, because the queue was full; a later update of the violation tries again.
    pub lost: u32,
    /// No such channel is configured.
    pub unrouted: bool,
}

/// How many alerts went which way, over all targets, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AlertCounts {
    /// Taken into a queue.
    pub queued: u64,
    /// Delivered.
    pub delivered: u64,
    /// Attempts that failed and were made again.
    pub retried: u64,
    /// Given up, and written to the file of dead letters.
    pub dead: u64,
    /// Lost: the queue was full, or the file of dead letters could not be written.
    pub lost: u64,
    /// Not sent, because they were told before.
    pub repeated: u64,
    /// Not sent, because no such channel is configured.
    pub unrouted: u64,
}

#[derive(Debug, Default)]
struct Counts {
    queued: AtomicU64,
    delivered: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
    lost: AtomicU64,
    repeated: AtomicU64,
    unrouted: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> AlertCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AlertCounts {
            queued: read(&self.queued),
            delivered: read(&self.delivered),
            retried: read(&self.retried),
            dead: read(&self.dead),
            lost: read(&self.lost),
            repeated: read(&self.repeated),
            unrouted: read(&self.unrouted),
        }
    }
}

/// A way into the queue of one target.
#[derive(Debug)]
struct Inlet {
    /// Such as `webhook` or `mail 2`.
    target: String,
    queue: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Shared {
    inlets: BTreeMap<String, Vec<Inlet>>,
    public_url: Option<String>,
    known: Known,
    counts: Arc<Counts>,
}

/// Sends alerts; cheap to clone, and usable from any thread.
#[derive(Debug, Clone)]
pub struct AlertHandle {
    shared: Arc<Shared>,
}

impl AlertHandle {
    /// Tells a channel of a violation, once. Never waits.
    pub fn send(&self, violation: &Violation, channel: &str) -> Sent {
        let shared = &*self.shared;
        let mut sent = Sent::default();
        let Some(inlets) = shared.inlets.get(channel) else {
            Counts::add(&shared.counts.unrouted);
            sent.unrouted = true;
            return sent;
        };
        let alert = Arc::new(Alert::new(violation, channel, shared.public_url.as_deref(), None));
        for inlet in inlets {
            let key = Known::key(&violation.id, channel, &inlet.target);
            if !shared.known.begin(key) {
                Counts::add(&shared.counts.repeated);
                sent.repeated += 1;
            } else if inlet.queue.try_send(Job { alert: Arc::clone(&alert), receipt: None }).is_ok() {
                Counts::add(&shared.counts.queued);
                sent.queued += 1;
            } else {
                shared.known.forget(key);
                Counts::add(&shared.counts.lost);
                sent.lost += 1;
                // A flood is told at its first, second, fourth, … alert.
                let lost = shared.counts.lost.load(Ordering::Relaxed);
                if lost.is_power_of_two() {
                    tracing::warn!(channel, target_name = %inlet.target, violation = %violation.id, lost, "an alert was lost: its queue is full");
                }
            }
        }
        sent
    }

    /// Tells one target of a channel of a violation, and says by the receipt what became of it: the one who hands it in keeps it
    /// until then. `told_at` is how many accounts the violation named when it was decided to tell. Never waits; `false` where
    /// there is no such target, or no room for now.
    pub fn deliver(&self, violation: &Violation, channel: &str, target: &str, told_at: u64, receipt: Receipt) -> bool {
        let shared = &*self.shared;
        let inlets = shared.inlets.get(channel).into_iter().flatten();
        let Some(inlet) = inlets.into_iter().find(|inlet| inlet.target == target) else { return false };
        let alert = Arc::new(Alert::new(violation, channel, shared.public_url.as_deref(), Some(told_at)));
        let taken = inlet.queue.try_send(Job { alert, receipt: Some(receipt) }).is_ok();
        if taken {
            Counts::add(&shared.counts.queued);
        }
        taken
    }

    /// Counts alerts for which no target is configured.
    pub fn unrouted(&self, alerts: u64) {
        self.shared.counts.unrouted.fetch_add(alerts, Ordering::Relaxed);
    }

    /// Names of the targets of each channel.
    pub fn routes(&self) -> BTreeMap<String, Vec<String>> {
        let names = |inlets: &Vec<Inlet>| inlets.iter().map(|inlet| inlet.target.clone()).collect();
        self.shared.inlets.iter().map(|(channel, inlets)| (channel.clone(), names(inlets))).collect()
    }

    /// How many alerts went which way.
    pub fn counts(&self) -> AlertCounts {
        self.shared.counts.read()
    }
}

/// The thread that delivers.
#[derive(Debug)]
pub struct Alerts {
    handle: AlertHandle,
    closing: watch::Sender<Closing>,
    thread: Option<JoinHandle<()>>,
}

impl Alerts {
    /// Starts delivering.
    ///
    /// # Errors
    /// Where a target cannot be set up, the file of dead letters cannot be opened, or there is no thread to be had.
    pub fn start(channels: Channels, clock: Clock) -> io::Result<Alerts> {
        let counts = Arc::new(Counts::default());
        let known = Known::open(channels.remember.as_deref())?;
        let dead = Arc::new(DeadLetters::open(channels.dead_letters)?);
        let (closing, closed) = watch::channel(Closing::No);
        let mut inlets: BTreeMap<String, Vec<Inlet>> = BTreeMap::new();
        let mut lanes = Vec::new();
        for (channel, targets) in channels.channels {
            let inlets = inlets.entry(channel.clone()).or_default();
            for (target, set) in target::named(targets) {
                let (queue, waiting) = mpsc::channel(QUEUE_ALERTS_MAX);
                lanes.push(Lane {
                    channel: channel.clone(),
                    name: target.clone(),
                    target: target::Target::new(set)?,
                    waiting,
                    closing: closed.clone(),
                    clock: Arc::clone(&clock),
                    counts: Arc::clone(&counts),
                    known: known.clone(),
                    dead: Arc::clone(&dead),
                });
                inlets.push(Inlet { target, queue });
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("alerts".to_owned()).spawn(move || {
            runtime.block_on(lane::run(lanes, closed));
        })?;
        let shared = Shared { inlets, public_url: channels.public_url, known, counts };
        Ok(Alerts { handle: AlertHandle { shared: Arc::new(shared) }, closing, thread: Some(thread) })
    }

    /// A way to send; it may outlive this, and then everything it sends is counted as lost.
    pub fn handle(&self) -> AlertHandle {
        self.handle.clone()
    }

    /// See [`AlertHandle::send`].
    pub fn send(&self, violation: &Violation, channel: &str) -> Sent {
        self.handle.send(violation, channel)
    }

    /// Takes no more in, tries once more what waits, for at most `within`, and writes the rest to the file of dead letters.
    /// Blocks until then.
    pub fn shutdown(mut self, within: Duration) -> AlertCounts {
        let within = std::time::Duration::from_nanos(u64::try_from(within.0).unwrap_or(0));
        let _ = self.closing.send(Closing::Within(within));
        if let Some(thread) = self.thread.take() {
            // A panic there is a bug that the thread has printed; what is known is still told.
            let _ = thread.join();
        }
        self.handle.counts()
    }
}

impl Drop for Alerts {
    /// Without [`Alerts::shutdown`] what waits goes to the file of dead letters, unless it is delivered first.
    fn drop(&mut self) {
        let _ = self.closing.send(Closing::Within(std::time::Duration::ZERO));
    }
}
