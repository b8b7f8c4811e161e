//! Limits at arrival: a call reserves, and settles when it is over ([`crate::inline::quota`]).

use std::sync::MutexGuard;

use super::bear::{Bearing, reason};
use super::decide::{Course, Heard, caller, is_within};
use super::{Active, Gate, SHARDS, Worker, held};
use crate::event::{Kind, UsageEvent};
use crate::hir::Mode;
use crate::inline::limits::{Ask, Use, kept};
use crate::inline::quota::{Answer, Bounds, Quotas};

/// Quotas of a part of the keys, and the rules whose limits they know by number.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) epoch: u64,
    pub(super) all: Quotas,
}

/// What one part of the memory may hold.
pub(super) fn bounds() -> Bounds {
    let all = Bounds::default();
    let of = |n: usize| (n / SHARDS).max(1);
    Bounds {
        keys: of(all.keys),
        reservations: of(all.reservations),
        reservations_per_key: all.reservations_per_key,
        settled: of(all.settled),
    }
}

impl Gate {
    /// The quotas of a key, with its limit's number among the rules that they know. `None` where those have no such limit:
    /// rules have just changed.
    fn quota(
        &self,
        active: &Active,
        limit: u32,
        key: crate::inline::quota::Name,
    ) -> Option<(MutexGuard<'_, Quota>, u32)> {
        let mut quota = held(self.quotas.get(key.shard(SHARDS))?);
        if quota.epoch < active.epoch {
            let all = std::mem::replace(&mut quota.all, Quotas::new(Vec::new(), bounds()));
            quota.all = all.for_limits(kept(&active.rules));
            quota.epoch = active.epoch;
        }
        if quota.epoch == active.epoch {
            return Some((quota, limit));
        }
        let identity = active.rules.limits().nth(limit as usize)?.identity().to_string();
        let now = self.active();
        let place = now.rules.limits().position(|l| l.identity() == identity)?;
        (quota.epoch == now.epoch).then_some((quota, u32::try_from(place).ok()?))
    }

    /// Reserves for a call what the limits ask for.
    pub(super) fn reserve(
        &self,
        active: &Active,
        worker: &mut Worker,
        event: &UsageEvent<'_>,
        heard: Heard,
        course: &mut Course,
    ) {
        // A completion is over, and a call that passed before holds what it holds.
        if active.kept == 0 || event.kind() == Kind::Completion || heard.before == Some(true) {
            return;
        }
        worker.limits.arrival(&active.rules, event, &mut worker.asks);
        for ask in &worker.asks {
            let rule = active.rules.program().rules.get(ask.rule as usize);
            let mut group = || worker.asker.key_of(&active.rules, ask.rule, event);
            // Outside of its share it holds nothing back, and still counts what is settled.
            if rule.is_some_and(|rule| rule.rollout.is_some() && !is_within(rule, Some(group()), event, None)) {
                continue;
            }
            let Some((mut quota, limit)) = self.quota(active, ask.limit, ask.key) else { continue };
            let answer = quota.all.reserve(limit, ask.key, ask.call, ask.want, ask.most, event.ts());
            drop(quota);
            match answer {
                Answer::Reserved { .. } => course.reserved.push(*ask),
                Answer::Refused { retry_after, .. } => {
                    course.bearing.extend(self.refusal(active, event, ask, retry_after));
                }
            }
        }
    }

    /// What a limit says that has no room for a call.
    fn refusal(
        &self,
        active: &Active,
        event: &UsageEvent<'_>,
        ask: &Ask,
        retry_after: Option<crate::time::Duration>,
    ) -> Option<Bearing> {
        let rule = active.rules.program().rules.get(ask.rule as usize)?;
        let acts = active.plans.acts(ask.rule)?;
        if self.is_spared(&rule.name, caller(event)) {
            return None;
        }
        let verdict = acts.beyond;
        let effective = acts.effective(verdict);
        Some(Bearing {
            verdict: effective,
            would: if acts.mode == Mode::Shadow { verdict } else { effective },
            mode: acts.mode,
            retry_after,
            reason: reason(active.rules.program(), rule, event.ts()),
            rule: rule.name.clone(),
            violation: None,
            action: None,
        })
    }

    /// Gives back what a call reserved that is refused.
    pub(super) fn release(&self, active: &Active, reserved: &[Ask]) {
        for ask in reserved {
            if let Some((mut quota, limit)) = self.quota(active, ask.limit, ask.key) {
                quota.all.release(limit, ask.key, ask.call);
            }
        }
    }

    /// Settles what a call used that is over.
    pub(super) fn settle_limits(&self, active: &Active, worker: &mut Worker, event: &UsageEvent<'_>) {
        if active.kept == 0 {
            return;
        }
        worker.limits.over(&active.rules, event, &mut worker.uses);
        for Use { limit, key, call, counts, amount, .. } in worker.uses.drain(..) {
            let Some((mut quota, limit)) = self.quota(active, limit, key) else { continue };
            if counts {
                quota.all.settle(limit, key, call, amount, event.ts(), event.ts());
            } else {
                quota.all.release(limit, key, call);
            }
        }
    }
}
