//! One target each: how an alert is put to it, and what its answer means.

mod chat;
mod mail;
mod webhook;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration as Span;

use self::chat::Chat;
use self::mail::Mail;
use self::webhook::Webhook;
use super::config::{TargetConfig, Tries};
pub(super) use super::http::{answered, client, unanswered};
use super::lane::BACKOFF_FIRST;
use super::message::Alert;
use crate::hir::Severity;
use crate::time::{Duration, SECOND_NS, Timestamp};

/// How long an attempt may take, where the configuration does not say.
pub const TIMEOUT: Duration = Duration(10 * SECOND_NS);

/// Why an attempt failed.
#[derive(Debug)]
pub(in crate::alert) enum Failure {
    /// It may go well later; after so long at the earliest, where the receiver says.
    Now(String, Option<Duration>),
    /// It never will.
    Always(String),
}

/// A target, ready.
#[derive(Debug)]
pub(super) enum Target {
    Log,
    Webhook(Webhook),
    Chat(Chat),
    Mail(Mail),
}

/// Targets of a channel by name: the kind, with a number from the second of the kind on.
pub(super) fn named(targets: Vec<TargetConfig>) -> Vec<(String, TargetConfig)> {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let named = targets.into_iter().map(|target| {
        let n = seen.entry(target.kind()).or_default();
        *n += 1;
        let name = if *n == 1 { target.kind().to_owned() } else { format!("{} {n}", target.kind()) };
        (name, target)
    });
    named.collect()
}

impl Target {
    pub(super) fn new(config: TargetConfig) -> io::Result<Target> {
        Ok(match config {
            TargetConfig::Log => Target::Log,
            TargetConfig::Webhook(config) => Target::Webhook(Webhook::new(config)?),
            TargetConfig::Slack(config) => Target::Chat(Chat::new(config)?),
            TargetConfig::Mail(config) => Target::Mail(Mail::new(*config)?),
        })
    }

    fn tries(&self) -> Tries {
        match self {
            Target::Log => Tries { attempts: 1, timeout: TIMEOUT, backoff: BACKOFF_FIRST },
            Target::Webhook(webhook) => webhook.tries,
            Target::Chat(chat) => chat.tries,
            Target::Mail(mail) => mail.tries,
        }
    }

    /// How often an alert is tried.
    pub(super) fn attempts(&self) -> u32 {
        self.tries().attempts
    }

    /// The pause after the first failure.
    pub(super) fn backoff(&self) -> Duration {
        self.tries().backoff
    }

    async fn attempt(&self, alert: &Alert, now: Timestamp) -> Result<(), Failure> {
        match self {
            Target::Log => {
                log(alert);
                Ok(())
            }
            Target::Webhook(webhook) => webhook.attempt(alert, now).await,
            Target::Chat(chat) => chat.attempt(alert).await,
            Target::Mail(mail) => mail.attempt(alert, now).await,
        }
    }
}

/// One attempt, for as long as it may take.
pub(super) async fn within(target: &Target, alert: &Alert, now: Timestamp) -> Result<(), Failure> {
    let limit = target.tries().timeout;
    match tokio::time::timeout(Span::from_nanos(limit.0.unsigned_abs()), target.attempt(alert, now)).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::Now(format!("no answer within {limit}"), None)),
    }
}

/// Texts of events are shown with escapes, so that they stay in their line.
fn log(alert: &Alert) {
    let Alert { channel, violation, rule, severity, mode, accounts, .. } = alert;
    let (because, group) = (&alert.because, &alert.group);
    let opened_at = &alert.opened_at;
    match Severity::from_word(severity) {
        Some(Severity::Info | Severity::Low) => {
            tracing::info!(target: "fineprint::alert", channel, violation, rule, severity, mode, accounts, opened_at, ?because, ?group, "alert");
        }
        _ => {
            tracing::warn!(target: "fineprint::alert", channel, violation, rule, severity, mode, accounts, opened_at, ?because, ?group, "alert");
        }
    }
}
