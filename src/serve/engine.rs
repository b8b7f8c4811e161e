//! What is behind the routes: the gate that answers, and the rules in force.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::decision::Decision;
use crate::event::UsageEvent;
use crate::gate::Gate;
use crate::gateway::Unready;
use crate::pack::PackPins;
use crate::plan::RuleSet;
use crate::time::Timestamp;

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
}

impl Engine {
    pub(crate) fn new(in_force: InForce) -> Engine {
        Engine { gate: Gate::new(Arc::clone(&in_force.rules)), in_force: ArcSwap::from_pointee(in_force) }
    }

    pub(crate) fn decide(&self, event: UsageEvent<'static>, now: Timestamp) -> Result<Decision, Unready> {
        let _ = now;
        Ok(self.gate.decide(&event))
    }

    pub(crate) fn observe(&self, event: UsageEvent<'static>, now: Timestamp) -> Result<(), Unready> {
        let _ = (now, event);
        Ok(())
    }
}
