//! What people who do not run rules read of them: a rule in plain English, what a change of rules or documents means, which
//! clauses have a rule, and which rules can never fire on a feed. All of it follows from what rules mean ([`crate::hir`]),
//! so spelling, comments and order of files never show. Knows no file and no clock; dates are arguments.

mod counted;
mod coverage;
mod diff;
mod feed;
mod possible;
mod print;
mod reading;
mod say;
mod speech;
mod unknown;
mod words;

pub use coverage::{ClauseRow, Coverage, ThemeRow, coverage};
pub use diff::{Change, Changes, Diff, Effect, Side, diff};
pub use feed::{Blind, Cause, Feed, blind};
pub use print::{to_markdown, to_text};
pub use reading::{Line, Paragraph, Reading, read};

/// `anthropic.usage` is a document of `anthropic`.
pub(crate) fn provider(policy: &str) -> &str {
    policy.split('.').next().unwrap_or(policy)
}

/// `2026-01-31`.
pub(crate) fn date(at: crate::time::Timestamp) -> String {
    let (y, m, d) = at.date();
    format!("{y:04}-{m:02}-{d:02}")
}
