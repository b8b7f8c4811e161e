//! What a finding hangs on beside the events of its group.

use crate::hir::{ExprKind, Rule, Shape, Whose, Windowed};

/// Whether events count that the rule does not look at: those that tie accounts, and those of series.
pub(super) fn is_fed_all(rule: &Rule) -> bool {
    is_linked(rule) || asks_series(rule)
}

/// Whether events of other groups have a part in what becomes of one.
pub(super) fn is_of_others(rule: &Rule) -> bool {
    let Shape::Windowed(w) = &rule.shape else { return rule.asks_memory() };
    let cohort = |a: &crate::hir::Aggregate| a.function.baseline().is_some_and(|b| matches!(b.whose, Whose::Cohort(_)));
    w.merges() || rule.asks_memory() || is_fed_all(rule) || w.aggregates.iter().any(cohort)
}

/// Whether a finding may hang on all events there ever were, so that one computed from a later beginning is another: groups of
/// a link are called by their first account, series and campaigns by how they began.
pub fn hangs_on_all_before(rule: &Rule) -> bool {
    let merges = matches!(&rule.shape, Shape::Windowed(w) if w.merges());
    is_fed_all(rule) || merges
}

/// Whether its groups are those of a link: accounts that are judged together.
pub(super) fn is_linked(rule: &Rule) -> bool {
    matches!(&rule.shape, Shape::Windowed(Windowed { link: Some(_), .. }))
}

/// Whether it asks a series for outages, of an event or of a window.
pub(super) fn asks_series(rule: &Rule) -> bool {
    let mut asks = false;
    crate::hir::each_expr(rule, &mut |e| {
        e.walk(&mut |e| asks |= matches!(e.kind, ExprKind::Outage(_) | ExprKind::WindowOutage(_)));
    });
    asks || matches!(&rule.shape, Shape::Windowed(w) if w.when.is_of_outages())
}
