//! What a rule costs to keep: an upper bound of the state of one group, as far as it follows from the rule alone.

use crate::hir::{
    Aggregate, Expr, Function, LINK_EDGES_MAX, LINK_PAIRS_MAX, Link, PARTIALS_PER_KEY_MAX, PROMPTS_MAX, Rule, Sequence,
    Series, Shape, Whose,
};

/// The cost of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCost {
    /// Steps of the window that are kept at once.
    pub panes: u64,
    /// Panes times aggregates: what the budget is about.
    pub cells_per_key: u64,
    /// Bytes of one group at most, without what grows with different values.
    pub bytes_per_key: u64,
    /// Whether the state also grows with the number of different values (`distinct`, `top_share`, `entropy`, `quantile`), or of
    /// cohorts.
    pub grows_with_values: bool,
}

/// Bytes of a prompt whose wording is told from others.
const PROMPT_BYTES: u64 = 360;

/// Whether it looks at wordings.
fn of_templates(function: &Function) -> bool {
    function.arguments().iter().any(Expr::is_template)
}

/// Bytes of one cell, by what it counts.
fn cell_bytes(function: &Function) -> u64 {
    match function {
        _ if of_templates(function) => 0,
        Function::Count | Function::Rate => 8,
        Function::Min(_) | Function::Max(_) | Function::First(_) => 16,
        Function::Sum(_) | Function::Share(_) => 24,
        Function::Average(_) | Function::Distinct { .. } | Function::LongestIdle | Function::TopSpeed(_) => 32,
        Function::TopShare(..) | Function::Entropy(_) => 32,
        Function::Spread(_) => 64,
        Function::Quantile(..) => 32,
        Function::Last(_) | Function::Baseline(_) => 0,
    }
}

/// Bytes of an earlier window that a group keeps for `usual`, with its number and which of its aggregates were estimates.
const EARLIER_BYTES: u64 = 40;

/// Bytes of an earlier window that keeps what it counted, beside its aggregates.
const EARLIER_COUNTED_BYTES: u64 = 128;

/// Earlier windows that a group keeps for a baseline. Cohorts keep theirs once for all groups.
fn earlier(function: &Function) -> u64 {
    match function {
        Function::Baseline(b) if matches!(b.whose, Whose::Own) => u64::from(b.windows) + 2,
        _ => 0,
    }
}

/// Bytes that do not depend on the number of steps.
fn own_bytes(function: &Function) -> u64 {
    match function {
        // Prompts that are looked at one by one, with up to 32 fingerprints each.
        _ if of_templates(function) => PROMPT_BYTES * PROMPTS_MAX as u64,
        Function::Spread(_) => 48,
        Function::Last(_) => 16,
        // Values that are kept one by one.
        Function::Quantile(..) => 8 << 10,
        Function::Baseline(b) => earlier(function) * EARLIER_BYTES + 16 * b.by().len() as u64,
        _ => 0,
    }
}

/// Whether different values each take room.
fn grows_with_values(function: &Function) -> bool {
    // Above its bound, a quantile has buckets.
    let (distinct, buckets) =
        (matches!(function, Function::Distinct { .. }), matches!(function, Function::Quantile(..)));
    // What groups alike came to is kept once for all of them, for each different cohort.
    let cohorts = matches!(function, Function::Baseline(b) if !b.by().is_empty());
    distinct || buckets || cohorts || matches!(function, Function::TopShare(..) | Function::Entropy(_))
}

/// The cost of a rule. A rule on single events keeps nothing.
pub fn cost(rule: &Rule) -> RuleCost {
    let window = match &rule.shape {
        Shape::Single => return RuleCost { panes: 0, cells_per_key: 0, bytes_per_key: 0, grows_with_values: false },
        Shape::Sequence(sequence) => return of_sequence(sequence),
        Shape::Windowed(window) => window,
    };
    let panes = (window.length.0 / window.step.0.max(1)).unsigned_abs();
    let per_pane: u64 = window.aggregates.iter().map(|a| cell_bytes(&a.function)).sum();
    let own: u64 = window.aggregates.iter().map(|a| own_bytes(&a.function)).sum();
    let counting = window.aggregates.iter().filter(|a| a.function.baseline().is_none()).count() as u64;
    let earlier_of = |a: &Aggregate| earlier(&a.function);
    // An account of a link group keeps of its earlier windows what they counted, once for all baselines.
    let (earlier, of_accounts) = match window.link {
        None => (window.aggregates.iter().map(earlier_of).sum(), 0),
        Some(_) => {
            let windows: u64 = window.aggregates.iter().map(earlier_of).max().unwrap_or(0);
            (windows.saturating_mul(counting), windows.saturating_mul(EARLIER_COUNTED_BYTES.saturating_add(per_pane)))
        }
    };
    RuleCost {
        panes,
        cells_per_key: panes.saturating_mul(counting).saturating_add(earlier),
        bytes_per_key: panes.saturating_mul(per_pane).saturating_add(own).saturating_add(of_accounts),
        grows_with_values: window.aggregates.iter().any(|a| grows_with_values(&a.function)),
    }
}

/// The cost of a link: upper bounds, as far as they follow from it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkCost {
    /// Most edges (an account with a value), over all families.
    pub edges: u64,
    /// Bytes of all of them, each seen in one step; every further step takes 16.
    pub bytes: u64,
    /// Most pairs of accounts that are held against each other.
    pub pairs: u64,
}

/// Bytes of an edge that was seen in one step, with its part of value, account and tables of hashes: 159 where 100,000 accounts
/// have three values each (`eval::link_scale`).
const EDGE_BYTES: u64 = 160;

/// The cost of a link.
pub fn link_cost(link: &Link) -> LinkCost {
    let edges = (LINK_EDGES_MAX as u64).saturating_mul(link.families.len() as u64);
    LinkCost { edges, bytes: edges.saturating_mul(EDGE_BYTES), pairs: LINK_PAIRS_MAX }
}

/// Bytes of a step of a series that its median is over: its number and its value.
const SERIES_STEP_BYTES: u64 = 24;

/// The cost of a series: one step under way, and the steps of its median.
pub fn cost_of_series(series: &Series) -> RuleCost {
    let per_step: u64 = series.aggregates.iter().map(|a| cell_bytes(&a.function) + own_bytes(&a.function)).sum();
    let panes = u64::from(series.steps);
    RuleCost {
        panes,
        cells_per_key: panes,
        bytes_per_key: panes.saturating_mul(SERIES_STEP_BYTES).saturating_add(per_step),
        grows_with_values: series.aggregates.iter().any(|a| grows_with_values(&a.function)),
    }
}

/// Bytes of an event that a partial match has taken: 64 for time, content hash, account and exceptions, 48 for an id of 36
/// characters on the heap.
const TAKEN_BYTES: u64 = 112;
/// Bytes of a partial match besides: 72, and the values of its events that later steps need.
const PARTIAL_BYTES: u64 = 128;

/// Partial matches are bounded per key; one lacks at least one event of a whole match.
fn of_sequence(sequence: &Sequence) -> RuleCost {
    let events: u64 = sequence.steps.iter().filter(|s| !s.absent).map(|s| u64::from(s.times)).sum();
    let partial = PARTIAL_BYTES.saturating_add(TAKEN_BYTES.saturating_mul(events));
    let bytes_per_key = partial.saturating_mul(PARTIALS_PER_KEY_MAX as u64);
    RuleCost { panes: 0, cells_per_key: 0, bytes_per_key, grows_with_values: false }
}
