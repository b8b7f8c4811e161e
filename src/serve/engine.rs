//! What is behind the routes: the gate that answers, the session that finds, the rules in force, the log that is read.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::gaps::{Gaps, Half};
use super::inbox::Inbox;
use super::scribe::given;
use crate::alert::AlertHandle;
use crate::decision::Decision;
use crate::enforce::Caller;
use crate::eval::{Carries, EvalOptions};
use crate::event::decode::Reject;
use crate::event::{FieldId, Kind, Slot, UsageEvent};
use crate::gate::{self, Gate};
use crate::gateway::Unready;
use crate::plan::RuleSet;
use crate::publish::Publisher;
use crate::runtime::live::{Activated, Busy, KeptPacks, Live, Receipt};
use crate::store::{Pins, Store};
use crate::time::{Duration, SECOND_NS, Timestamp};
use crate::value::Value;

/// The source of events that were asked about, as books name it.
pub(crate) const DECIDE: &str = "decide";

/// The rules in force, and since when.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) pins: Pins,
    pub(crate) since: Timestamp,
}

/// Answers calls and takes in records.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) gate: Gate,
    pub(crate) live: Live,
    pub(crate) in_force: ArcSwap<InForce>,
    pub(crate) inbox: Arc<Inbox>,
    /// For reading.
    pub(crate) log: Store,
    pub(crate) db: PathBuf,
    /// Rules that the log was written under.
    pub(crate) kept: KeptPacks,
    pub(crate) eval: EvalOptions,
    pub(crate) alerts: AlertHandle,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) gaps: Gaps,
}

/// An answer, and whether it was also written down.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    /// It was to be written down, and there was no room.
    pub(crate) is_lost: bool,
}

impl Engine {
    /// Other rules, lists or accounts from now on.
    /// The session takes them first: what it refuses does not decide either.
    pub(crate) fn activate(&self, next: InForce, carries: Carries) -> Result<Activated, String> {
        let activation = self.live.activate(Arc::clone(&next.rules), Some(next.pins.clone()), carries);
        let activated = activation.map_err(|e| e.to_string())?.wait().map_err(|e| e.to_string())?;
        self.gate.reload(Arc::clone(&next.rules));
        self.in_force.store(Arc::new(next));
        Ok(activated)
    }

    /// The violation log, for reading.
    pub(crate) fn log(&self) -> &Store {
        &self.log
    }

    /// Answers calls in their order. They are asked of the gate first: a call that is turned away for want of room and comes
    /// again is known there by its id, and gets the same answer.
    pub(crate) fn decide(&self, mut events: Vec<UsageEvent<'static>>, now: Timestamp) -> Result<Vec<Decided>, Unready> {
        let mut decisions = Vec::with_capacity(events.len());
        let mut said = Vec::new();
        for (at, event) in events.iter_mut().enumerate() {
            arrived(event, now);
            let gate::Decided { decision, strikes } = self.gate.decide_and_act(event);
            if !strikes.is_empty() {
                self.inbox.strike(strikes);
            }
            if let Some(given) = given(event, &decision, now, self.in_force.load().rules.bundle_hash()) {
                said.push((at, given));
            }
            if let (Some(call), Kind::Request) = (text(event, FieldId::CALL), event.kind()) {
                let half = if decision.verdict.passes() { Half::Passed } else { Half::Refused };
                self.gaps.note(call, half, text(event, FieldId::SOURCE).unwrap_or(DECIDE), now);
            }
            decisions.push(Decided { decision, is_lost: false });
        }
        self.live.submit_unwaited(events, DECIDE, now).map_err(unready)?;
        for (at, given) in said {
            if self.inbox.give(given).is_err()
                && let Some(decided) = decisions.get_mut(at)
            {
                decided.is_lost = true;
            }
        }
        Ok(decisions)
    }

    /// Takes in the records of a body, those that could not be read too.
    pub(crate) fn observe(
        &self,
        mut records: Vec<Result<UsageEvent<'static>, Reject>>,
        source: &str,
        now: Timestamp,
    ) -> Result<Receipt, Unready> {
        for event in records.iter_mut().flatten() {
            arrived(event, now);
            self.gate.observe(event);
            if let (Some(call), Kind::Completion) = (text(event, FieldId::CALL), event.kind()) {
                let failed = matches!(event.get(FieldId::STATUS), Value::Num(status) if status >= 400);
                let half = if failed { Half::FailedRecord } else { Half::Record };
                self.gaps.note(call, half, text(event, FieldId::SOURCE).unwrap_or(source), now);
            }
        }
        self.live.submit_records(records, source, now).map_err(unready)
    }

    /// What is in force for the caller of an event; nothing is counted.
    pub(crate) fn standing(&self, event: &UsageEvent<'_>, now: Timestamp) -> Decision {
        let text = |field| text(event, field);
        let caller = Caller { account: text(FieldId::ACCOUNT), key: text(FieldId::KEY), org: text(FieldId::ORG) };
        let standing = self.gate.table(|table| table.standing(caller, now));
        let mut decision = Decision::default();
        // A rate counts calls, and this is none.
        for s in standing.into_iter().filter(|s| s.rate.is_none()) {
            if decision.reason.is_empty() {
                decision.reason.clone_from(&s.reason);
            }
            decision.verdict = decision.verdict.max(s.verdict);
            decision.would = decision.would.max(s.would);
            decision.mode = decision.mode.max(s.mode);
            decision.rules.push(s.rule);
            decision.violations.push(s.violation);
            decision.actions.push(s.action);
        }
        for names in [&mut decision.rules, &mut decision.violations, &mut decision.actions] {
            names.sort_unstable();
            names.dedup();
        }
        decision
    }
}

pub(crate) fn text<'e>(event: &'e UsageEvent<'_>, field: FieldId) -> Option<&'e str> {
    match event.get(field) {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn unready(busy: Busy) -> Unready {
    match busy {
        Busy::Full { .. } | Busy::TooLarge { .. } => Unready::Overloaded { retry_after: Duration(SECOND_NS) },
        Busy::Ended => Unready::Draining,
    }
}

/// Notes when an event came, where it does not say so itself; the gate and the evaluator hold its time against that.
fn arrived(event: &mut UsageEvent<'static>, now: Timestamp) {
    if !event.has(FieldId::INGEST_TS) {
        event.set(FieldId::INGEST_TS, Slot::Num(now.0));
    }
}
