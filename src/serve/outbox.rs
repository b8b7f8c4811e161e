//! From the log to the targets of alerts. What waits stands in the log alone: here are only the alerts that are under way, of
//! each target as many as its queue holds. Settled ones are noted in the log; a kill between delivery and note sends the same
//! alert once more, under the same delivery id.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::clock;
use super::metrics::{Kind, Metrics};
use super::recover;
use crate::alert::{AlertHandle, Alerts, Ended, QUEUE_ALERTS_MAX, Receipt, Settled, is_told};
use crate::store::{AlertOutcome, AlertRoutes, DueAlert, SettledAlert, Store, StoreError};
use crate::time::{Duration as Span, Timestamp};

/// How often is looked for alerts that have become due while nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a target is left alone whose alerts can neither be delivered nor given up.
const PAUSE: Duration = Duration::from_secs(60);
/// Alerts that are handed to one target at once, so that no target keeps the others waiting.
const TURN_ALERTS: usize = 64;

/// What is under way to one target.
#[derive(Debug)]
struct Lane {
    channel: String,
    target: String,
    under_way: HashSet<u64>,
    paused_until: Duration,
}

/// What is under way to all of them.
#[derive(Debug)]
pub(super) struct Outbox {
    alerts: Alerts,
    handle: AlertHandle,
    routes: AlertRoutes,
    lanes: Vec<Lane>,
    tell: Sender<Settled>,
    told: Receiver<Settled>,
    /// What is settled and not noted yet.
    settled: Vec<SettledAlert>,
    /// When is looked next.
    look_at: Duration,
}

impl Outbox {
    pub(super) fn new(alerts: Alerts) -> Outbox {
        let (handle, (tell, told)) = (alerts.handle(), channel());
        let routes = handle.routes();
        let each = routes.iter().flat_map(|(channel, targets)| targets.iter().map(move |target| (channel, target)));
        let lanes = each.map(|(channel, target)| Lane {
            channel: channel.clone(),
            target: target.clone(),
            under_way: HashSet::new(),
            paused_until: Duration::ZERO,
        });
        let lanes = lanes.collect();
        Outbox { alerts, handle, routes, lanes, tell, told, settled: Vec::new(), look_at: Duration::ZERO }
    }

    /// Names of targets by channel.
    pub(super) fn routes(&self) -> &AlertRoutes {
        &self.routes
    }

    /// An alert was written: it is looked at once. Counted where nobody is to be told.
    pub(super) fn written(&mut self, channel: &str) {
        self.look_at = Duration::ZERO;
        if self.routes.get(channel).is_none_or(Vec::is_empty) {
            self.handle.unrouted(1);
        }
    }

    /// At the start: what waits for targets that are no more is told, and waits no longer.
    pub(super) fn begin(&self, runtime: &Runtime, log: &mut Store) -> Result<(), StoreError> {
        for (channel, target, n) in runtime.block_on(log.alerts_waiting())? {
            if self.routes.get(&channel).is_none_or(|targets| !targets.contains(&target)) {
                runtime.block_on(log.unroute_alerts(&channel, &target, clock::now()))?;
                self.handle.unrouted(n);
                tracing::error!(
                    channel,
                    target_name = target,
                    n,
                    "alerts are not delivered: there is no such target any more"
                );
            }
        }
        Ok(())
    }

    /// Notes what is settled, and hands out what is due. Nothing here waits for a target.
    pub(super) fn turn(&mut self, runtime: &Runtime, log: &mut Store, metrics: &Metrics) -> Result<(), StoreError> {
        self.note(runtime, log)?;
        if clock::elapsed() < self.look_at {
            return Ok(());
        }
        self.look_at = clock::elapsed() + LOOK_EVERY;
        let now = clock::now();
        for number in 0..self.lanes.len() {
            self.hand_out(number, runtime, log, now)?;
        }
        let waiting = runtime.block_on(log.alerts_waiting())?.iter().map(|(.., n)| n).sum::<u64>();
        metrics.alerts.get_or_create(&Kind { kind: "waiting" }).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.note(runtime, log)
    }

    /// What is settled is let go of once it is noted.
    fn note(&mut self, runtime: &Runtime, log: &mut Store) -> Result<(), StoreError> {
        while let Ok(Settled { number, channel, target, ended }) = self.told.try_recv() {
            let lane = self.lanes.iter_mut().find(|lane| lane.channel == channel && lane.target == target);
            let Some(lane) = lane else { continue };
            let outcome = match ended {
                Ended::Delivered => AlertOutcome::Delivered,
                Ended::Dead => AlertOutcome::Dead,
                Ended::Kept => {
                    lane.under_way.remove(&number);
                    lane.paused_until = clock::elapsed() + PAUSE;
                    continue;
                }
            };
            self.settled.push(SettledAlert { seq: number, target, outcome });
        }
        if self.settled.is_empty() {
            return Ok(());
        }
        runtime.block_on(log.settle_alerts(&self.settled, clock::now()))?;
        for settled in self.settled.drain(..) {
            // Entries have numbers of their own, and a channel names a target once.
            let of = |lane: &&mut Lane| lane.target == settled.target && lane.under_way.contains(&settled.seq);
            if let Some(lane) = self.lanes.iter_mut().find(of) {
                lane.under_way.remove(&settled.seq);
            }
        }
        // There may be room for what waits.
        self.look_at = Duration::ZERO;
        Ok(())
    }

    fn hand_out(&mut self, number: usize, runtime: &Runtime, log: &Store, now: Timestamp) -> Result<(), StoreError> {
        let Some(lane) = self.lanes.get_mut(number) else { return Ok(()) };
        let room = QUEUE_ALERTS_MAX.saturating_sub(lane.under_way.len()).min(TURN_ALERTS);
        if room == 0 || clock::elapsed() < lane.paused_until {
            return Ok(());
        }
        let most = (lane.under_way.len() + room) as u64;
        let due = runtime.block_on(log.alerts_due(&lane.channel, &lane.target, now, most))?;
        let new: Vec<DueAlert> = due.into_iter().filter(|due| !lane.under_way.contains(&due.seq)).take(room).collect();
        if new.len() == room {
            self.look_at = Duration::ZERO;
        }
        for DueAlert { seq, violation, n_accounts } in new {
            let row = runtime.block_on(log.get(&violation))?;
            let Some(finding) = row.as_ref().and_then(recover::finding).filter(is_told) else {
                let outcome = AlertOutcome::Withdrawn;
                self.settled.push(SettledAlert { seq, target: lane.target.clone(), outcome });
                lane.under_way.insert(seq);
                continue;
            };
            let receipt = Receipt { number: seq, to: self.tell.clone() };
            if !self.handle.deliver(&finding, &lane.channel, &lane.target, n_accounts, receipt) {
                return Ok(());
            }
            lane.under_way.insert(seq);
        }
        Ok(())
    }

    /// Tries what is under way once more, for at most so long, and notes what came of it; the rest waits in the log.
    pub(super) fn end(self, runtime: &Runtime, log: &mut Store, within: Span) -> Result<(), StoreError> {
        let Outbox { alerts, lanes, told, tell, mut settled, .. } = self;
        alerts.shutdown(within);
        drop(tell);
        let outcome = |ended| match ended {
            Ended::Delivered => Some(AlertOutcome::Delivered),
            Ended::Dead => Some(AlertOutcome::Dead),
            Ended::Kept => None,
        };
        let ended = told.try_iter().filter_map(|Settled { number, target, ended, .. }| {
            Some(SettledAlert { seq: number, target, outcome: outcome(ended)? })
        });
        settled.extend(ended);
        let kept = lanes.iter().map(|lane| lane.under_way.len()).sum::<usize>().saturating_sub(settled.len());
        if kept > 0 {
            tracing::warn!(
                kept,
                "alerts could not be delivered before the end; they wait in the log for the next start"
            );
        }
        if settled.is_empty() { Ok(()) } else { runtime.block_on(log.settle_alerts(&settled, clock::now())) }
    }
}
