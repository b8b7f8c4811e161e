//! What is behind the routes: the gate that answers, the rules in force, the log that is read.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::decision::Decision;
use crate::enforce::Caller;
use crate::event::{FieldId, Slot, UsageEvent};
use crate::gate::{Gate, GateOptions};
use crate::gateway::Unready;
use crate::pack::PackPins;
use crate::plan::RuleSet;
use crate::store::Store;
use crate::time::Timestamp;
use crate::value::Value;

/// The rules in force, and since when.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) pins: PackPins,
    pub(crate) since: Timestamp,
}

/// Answers calls and takes in records.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) gate: Gate,
    pub(crate) in_force: ArcSwap<InForce>,
    /// For reading.
    log: Store,
}

impl Engine {
    pub(crate) fn new(in_force: InForce, options: GateOptions, log: Store) -> Engine {
        let gate = Gate::with(Arc::clone(&in_force.rules), options);
        Engine { gate, in_force: ArcSwap::from_pointee(in_force), log }
    }

    /// The violation log, for reading.
    pub(crate) fn log(&self) -> &Store {
        &self.log
    }

    pub(crate) fn decide(&self, mut event: UsageEvent<'static>, now: Timestamp) -> Result<Decision, Unready> {
        arrived(&mut event, now);
        Ok(self.gate.decide(&event))
    }

    pub(crate) fn observe(&self, mut event: UsageEvent<'static>, now: Timestamp) -> Result<(), Unready> {
        arrived(&mut event, now);
        self.gate.observe(&event);
        Ok(())
    }

    /// What is in force for the caller of an event; nothing is counted.
    pub(crate) fn standing(&self, event: &UsageEvent<'_>, now: Timestamp) -> Decision {
        let text = |field| match event.get(field) {
            Value::Text(text) => Some(text),
            _ => None,
        };
        let caller = Caller { account: text(FieldId::ACCOUNT), key: text(FieldId::KEY), org: text(FieldId::ORG) };
        let standing = self.gate.enforce(|table| table.standing(caller, now));
        let mut decision = Decision::default();
        // A rate counts calls, and this is none.
        for s in standing.into_iter().filter(|s| s.rate.is_none()) {
            if decision.reason.is_empty() {
                decision.reason.clone_from(&s.reason);
            }
            decision.verdict = decision.verdict.max(s.verdict);
            decision.would = decision.would.max(s.verdict);
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

/// Notes when an event came, where it does not say so itself; the gate and the evaluator hold its time against that.
fn arrived(event: &mut UsageEvent<'static>, now: Timestamp) {
    if !event.has(FieldId::INGEST_TS) {
        event.set(FieldId::INGEST_TS, Slot::Num(now.0));
    }
}
