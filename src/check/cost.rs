//! What a rule costs to keep: an upper bound of the state of one group, as far as it follows from the rule alone.

use crate::hir::{Function, Rule, Shape};

/// The cost of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCost {
    /// Steps of the window that are kept at once.
    pub panes: u64,
    /// Panes times aggregates: what the budget is about.
    pub cells_per_key: u64,
    /// Bytes of one group at most, without what grows with different values.
    pub bytes_per_key: u64,
    /// Whether the state also grows with the number of different values (`distinct`, `top_share`, `entropy`, `quantile`).
    pub grows_with_values: bool,
}

/// Bytes of one cell, by what it counts.
fn cell_bytes(function: &Function) -> u64 {
    match function {
        Function::Count | Function::Rate => 8,
        Function::Min(_) | Function::Max(_) | Function::First(_) => 16,
        Function::Sum(_) | Function::Share(_) => 24,
        Function::Average(_) | Function::Distinct { .. } | Function::LongestIdle | Function::TopSpeed(_) => 32,
        Function::TopShare(_) | Function::Entropy(_) => 32,
        Function::Spread(_) => 64,
        Function::Quantile(..) => 32,
        Function::Last(_) => 0,
    }
}

/// Bytes that do not depend on the number of steps.
fn own_bytes(function: &Function) -> u64 {
    match function {
        Function::Spread(_) => 48,
        Function::Last(_) => 16,
        // Values that are kept one by one.
        Function::Quantile(..) => 8 << 10,
        _ => 0,
    }
}

/// Whether different values each take room.
fn grows_with_values(function: &Function) -> bool {
    // Above its bound, a quantile has buckets.
    let (distinct, buckets) =
        (matches!(function, Function::Distinct { .. }), matches!(function, Function::Quantile(..)));
    distinct || buckets || matches!(function, Function::TopShare(_) | Function::Entropy(_))
}

/// The cost of a rule. A rule on single events keeps nothing.
pub fn cost(rule: &Rule) -> RuleCost {
    let Shape::Windowed(window) = &rule.shape else {
        return RuleCost { panes: 0, cells_per_key: 0, bytes_per_key: 0, grows_with_values: false };
    };
    let panes = (window.length.0 / window.step.0.max(1)).unsigned_abs();
    let per_pane: u64 = window.aggregates.iter().map(|a| cell_bytes(&a.function)).sum();
    let own: u64 = window.aggregates.iter().map(|a| own_bytes(&a.function)).sum();
    RuleCost {
        panes,
        cells_per_key: panes.saturating_mul(window.aggregates.len() as u64),
        bytes_per_key: panes.saturating_mul(per_pane).saturating_add(own),
        grows_with_values: window.aggregates.iter().any(|a| grows_with_values(&a.function)),
    }
}
