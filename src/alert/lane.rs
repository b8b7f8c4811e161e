//! The queue of one target, and how it is worked off: attempts with growing pauses, then the file of dead letters.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration as Span;

use tokio::sync::{mpsc, watch};

use super::dead::{DeadLetter, DeadLetters};
use super::known::Known;
use super::message::Alert;
use super::target::{self, Failure, Target};
use super::{Clock, Counts};
use crate::time::{Duration, SECOND_NS};

/// The most alerts that wait for one target.
pub const QUEUE_ALERTS_MAX: usize = 1_024;
/// The pause after the first failure, where the configuration does not say; each further one is twice as long.
pub const BACKOFF_FIRST: Duration = Duration(SECOND_NS);
/// The longest pause, also where the receiver asks for a longer one.
pub const BACKOFF_MAX: Duration = Duration(60 * SECOND_NS);

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    /// It was asked for, and may take so long.
    Within(Span),
    /// The time is over.
    Now,
}

/// What became of an alert whose sender keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The target has taken it.
    Delivered,
    /// Given up, and in the file of dead letters.
    Dead,
    /// Neither: the end came first, or the file of dead letters cannot be written. Its sender still has it.
    Kept,
}

/// What the sender of an alert is told, under the number that it gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The number.
    pub number: u64,
    /// The channel.
    pub channel: String,
    /// The target, by its name within its channel.
    pub target: String,
    /// What became of it.
    pub ended: Ended,
}

/// Where the sender of an alert is told what became of it.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// A number of its own.
    pub number: u64,
    /// Where it is told.
    pub to: Sender<Settled>,
}

/// An alert that waits; with a receipt where its sender keeps it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) alert: Arc<Alert>,
    pub(super) receipt: Option<Receipt>,
}

pub(super) struct Lane {
    pub(super) channel: String,
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) waiting: mpsc::Receiver<Job>,
    pub(super) closing: watch::Receiver<Closing>,
    pub(super) clock: Clock,
    pub(super) counts: Arc<Counts>,
    pub(super) known: Known,
    pub(super) dead: Arc<DeadLetters>,
}

/// Works off all lanes until the end.
pub(super) async fn run(lanes: Vec<Lane>, mut closing: watch::Receiver<Closing>) {
    let (over, _) = watch::channel(Closing::No);
    let mut tasks = tokio::task::JoinSet::new();
    for mut lane in lanes {
        lane.closing = over.subscribe();
        tasks.spawn(lane.work());
    }
    // The one who asks for the end may have gone without asking: then it is now.
    let within = match closing.wait_for(|c| *c != Closing::No).await.map(|c| *c) {
        Ok(Closing::Within(within)) => within,
        _ => Span::ZERO,
    };
    let _ = over.send(Closing::Within(within));
    let _ = tokio::time::timeout(within, async { while tasks.join_next().await.is_some() {} }).await;
    let _ = over.send(Closing::Now);
    while tasks.join_next().await.is_some() {}
}

/// What an attempt came to.
enum Attempt {
    Delivered,
    Failed(Failure),
    /// The time for the end was over first.
    Cut,
}

impl Lane {
    async fn work(mut self) {
        loop {
            tokio::select! {
                job = self.waiting.recv() => match job {
                    Some(job) => self.deliver(&job).await,
                    None => return,
                },
                () = wait(&mut self.closing, |c| c != Closing::No) => break,
            }
        }
        self.waiting.close();
        while let Some(job) = self.waiting.recv().await {
            self.deliver(&job).await;
        }
    }

    /// Delivers, or gives up; told or remembered either way.
    async fn deliver(&mut self, job: &Job) {
        let Job { alert, receipt } = job;
        match self.tried(alert).await {
            Ok(()) => {
                Counts::add(&self.counts.delivered);
                self.settle(alert, receipt.as_ref(), Ended::Delivered);
            }
            // It is not lost: whoever sent it has it, and comes again.
            Err(_) if receipt.is_some() && *self.closing.borrow() != Closing::No => {
                self.settle(alert, receipt.as_ref(), Ended::Kept);
            }
            Err((attempts, why)) => self.give_up(alert, receipt.as_ref(), attempts, why),
        }
    }

    /// How often it was tried, and what the last attempt came to, where it was not delivered.
    async fn tried(&mut self, alert: &Alert) -> Result<(), (u32, String)> {
        let mut attempts = 0;
        let mut pause = self.target.backoff();
        let why = loop {
            attempts += 1;
            let (why, after) = match self.attempt(alert).await {
                Attempt::Delivered => return Ok(()),
                Attempt::Cut => break "the program ended before there was an answer".to_owned(),
                Attempt::Failed(Failure::Always(why)) => break why,
                Attempt::Failed(Failure::Now(why, after)) => (why, after),
            };
            if attempts >= self.target.attempts() || *self.closing.borrow() != Closing::No {
                break why;
            }
            Counts::add(&self.counts.retried);
            tracing::info!(channel = %self.channel, target_name = %self.name, violation = %alert.violation, attempts, why = %why, "an alert was not delivered, and is tried again");
            let wanted = after.map_or(pause, |after| Duration(after.0.max(pause.0)));
            let span = Span::from_nanos(wanted.0.min(BACKOFF_MAX.0).unsigned_abs());
            // At the end nothing waits: one more attempt, at once.
            let _ = tokio::time::timeout(span, wait(&mut self.closing, |c| c != Closing::No)).await;
            pause = Duration(pause.0.saturating_mul(2).min(BACKOFF_MAX.0));
        };
        Err((attempts, why))
    }

    async fn attempt(&mut self, alert: &Alert) -> Attempt {
        let Lane { target, closing, clock, .. } = self;
        let attempt = target::within(target, alert, clock());
        tokio::select! {
            biased;
            ended = attempt => match ended {
                Ok(()) => Attempt::Delivered,
                Err(failure) => Attempt::Failed(failure),
            },
            () = wait(closing, |c| c == Closing::Now) => Attempt::Cut,
        }
    }

    fn give_up(&self, alert: &Alert, receipt: Option<&Receipt>, attempts: u32, why: String) {
        let target = self.name.clone();
        let letter = DeadLetter { at: (self.clock)().to_string(), target, attempts, why, alert: alert.clone() };
        match self.dead.write(&letter) {
            Ok(()) => {
                Counts::add(&self.counts.dead);
                tracing::error!(channel = %self.channel, target_name = %self.name, violation = %alert.violation, attempts, why = %letter.why, "an alert was given up; it is in the file of dead letters");
                self.settle(alert, receipt, Ended::Dead);
            }
            Err(error) if receipt.is_some() => {
                tracing::error!(channel = %self.channel, target_name = %self.name, violation = %alert.violation, attempts, why = %letter.why, %error, "an alert waits: it cannot be delivered, and the file of dead letters cannot be written");
                self.settle(alert, receipt, Ended::Kept);
            }
            Err(error) => {
                Counts::add(&self.counts.lost);
                tracing::error!(channel = %self.channel, target_name = %self.name, violation = %alert.violation, attempts, why = %letter.why, %error, "an alert was lost: the file of dead letters cannot be written");
                self.known.forget(Known::key(&alert.violation, &alert.channel, &self.name));
            }
        }
    }

    /// Tells the sender, or remembers that it was told.
    fn settle(&self, alert: &Alert, receipt: Option<&Receipt>, ended: Ended) {
        if let Some(Receipt { number, to }) = receipt {
            let (channel, target) = (self.channel.clone(), self.name.clone());
            // Who does not listen any more has it all the same.
            let _ = to.send(Settled { number: *number, channel, target, ended });
            return;
        }
        if let Err(error) = self.known.keep(Known::key(&alert.violation, &alert.channel, &self.name)) {
            tracing::warn!(channel = %self.channel, violation = %alert.violation, %error, "an alert that was told cannot be noted; after a restart it may be told again");
        }
    }
}

/// Until the end has come so far, or nobody is left to say so.
async fn wait(closing: &mut watch::Receiver<Closing>, far: impl Fn(Closing) -> bool) {
    let _ = closing.wait_for(|c| far(*c)).await;
}
