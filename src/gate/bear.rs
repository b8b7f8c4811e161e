//! What bears on a call, and what it comes to together.

use crate::decision::{Decision, Verdict};
use crate::enforce::public_reason;
use crate::eval::finding::clauses;
use crate::hir::{Mode, Program, Rule};
use crate::time::{Duration, Timestamp};

/// A rule or an action in force that bears on a call.
#[derive(Debug)]
pub(super) struct Bearing {
    /// In its mode.
    pub(super) verdict: Verdict,
    /// Were it not in mode `shadow`.
    pub(super) would: Verdict,
    pub(super) mode: Mode,
    pub(super) retry_after: Option<Duration>,
    pub(super) reason: String,
    pub(super) rule: String,
    /// As far as it is known.
    pub(super) violation: Option<String>,
    pub(super) action: Option<String>,
}

/// The strictest of all; of equally strict ones the first by rule says why.
pub(super) fn together(mut bearing: Vec<Bearing>) -> Decision {
    bearing.sort_by(|a, b| (&a.rule, &a.action).cmp(&(&b.rule, &b.action)));
    let verdict = bearing.iter().map(|b| b.verdict).max().unwrap_or_default();
    let would = bearing.iter().map(|b| b.would).max().unwrap_or_default();
    let deciding = || bearing.iter().filter(|b| b.verdict == verdict && verdict > Verdict::Allow);
    let retry_after = match verdict {
        // Where one of them has no end, there is no use in coming again.
        Verdict::Block if deciding().any(|b| b.retry_after.is_none()) => None,
        Verdict::Block | Verdict::Throttle => deciding().filter_map(|b| b.retry_after).max(),
        Verdict::Allow | Verdict::Flag | Verdict::Challenge => None,
    };
    let reason = deciding().map(|b| b.reason.clone()).find(|reason| !reason.is_empty());
    let each = |of: &dyn Fn(&Bearing) -> Option<String>| {
        let mut all: Vec<String> = bearing.iter().filter_map(of).filter(|text| !text.is_empty()).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    Decision {
        verdict,
        would: would.max(verdict),
        retry_after,
        reason: reason.unwrap_or_default(),
        rules: each(&|b| Some(b.rule.clone())),
        violations: each(&|b| b.violation.clone()),
        actions: each(&|b| b.action.clone()),
        mode: bearing.iter().map(|b| b.mode).max().unwrap_or(Mode::Shadow),
    }
}

/// What a caller is told: the passage of the document, in the words of its author.
pub(super) fn reason(program: &Program, rule: &Rule, at: Timestamp) -> String {
    clauses(program, &rule.enforces, at).first().map(public_reason).unwrap_or_default()
}
