//! Sequences: steps in their order, tied by a key.

use super::{Expr, ExprKind};
use crate::event::Kind;
use crate::time::Duration;

/// Most partial matches of one key: above it the oldest is dropped, counted and disclosed.
pub const PARTIALS_PER_KEY_MAX: usize = 64;
/// Most partial matches of one rule: above it no new one is begun, which is counted and disclosed.
pub const PARTIALS_PER_RULE_MAX: usize = 1_000_000;

/// A rule on sequences.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// What ties the events together. An event with an unknown part belongs to no key.
    pub per: Vec<Expr>,
    /// From the first event to the last: `first.ts + within` is still in time.
    pub within: Duration,
    /// At least two; the first is present.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Must not happen: between the step before and the next one, or until its time is over where none follows.
    pub absent: bool,
    /// Kinds of events it looks at; at least one.
    pub kinds: Vec<Kind>,
    /// Which of them: over the event, and by [`ExprKind::OfStep`] over the events of earlier steps.
    pub filter: Option<Expr>,
    /// At most so long after the (last) event of the step before.
    pub within: Option<Duration>,
    /// How many events it takes; 1 for the first and for absent ones.
    pub times: u32,
}

impl Sequence {
    /// How many steps at the end must not happen.
    pub fn trailing(&self) -> usize {
        self.steps.iter().rev().take_while(|s| s.absent).count()
    }

    /// From the first event until at the latest the sequence has happened or not. What must not happen at the end has a
    /// time of its own.
    pub fn life(&self) -> Duration {
        let own = self.steps.iter().rev().take(self.trailing()).filter_map(|s| s.within);
        Duration(self.within.0.saturating_add(own.map(|d| d.0).max().unwrap_or(0)))
    }

    /// How long after a match another still belongs to the same violation.
    pub fn silence(&self, cooldown: Option<Duration>) -> Duration {
        self.within.max(cooldown.unwrap_or_default())
    }
}

impl Expr {
    /// Whether it looks at the event of a step.
    pub fn is_of_step(&self) -> bool {
        let mut found = false;
        self.walk(&mut |e| found |= matches!(e.kind, ExprKind::OfStep(..)));
        found
    }

    /// Whether it looks at a single event and at nothing else.
    pub fn is_of_event(&self) -> bool {
        let (mut event, mut other) = (false, false);
        self.walk(&mut |e| match e.kind {
            ExprKind::Field(_) | ExprKind::Column(..) | ExprKind::Template(..) | ExprKind::Outage(_) => event = true,
            ExprKind::OfStep(..)
            | ExprKind::Aggregate(_)
            | ExprKind::Key(_)
            | ExprKind::Link(_)
            | ExprKind::WindowOutage(_) => other = true,
            _ => {}
        });
        event && !other
    }
}
