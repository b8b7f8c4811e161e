//! Decisions as they are shown beside violations.

use serde_json::Value;

use super::decide::outcome;
use crate::cli::terminal::printable;
use crate::store::{Decision, Disposition};

/// A decision for machines.
pub(in crate::cli) fn decision_json(d: &Decision) -> Value {
    d.to_json()
}

/// The decision that counts, or `null`.
pub(in crate::cli) fn latest_json(d: Option<&Decision>) -> Value {
    d.map_or(Value::Null, decision_json)
}

/// A record with something beside it.
pub(super) fn with(mut record: Value, key: &str, value: Value) -> Value {
    if let Value::Object(parts) = &mut record {
        parts.insert(key.to_string(), value);
    }
    record
}

/// All decisions on a violation for people; nothing where there is none.
pub(super) fn decisions_text(decisions: &[Decision]) -> String {
    let Some((last, earlier)) = decisions.split_last() else { return String::new() };
    let mut out = format!("\nDecided: {}", one(last));
    if last.record_changed {
        out.push_str("  The record has changed since.\n");
    }
    for d in earlier.iter().rev() {
        out.push_str(&format!("Before: {}", one(d)));
    }
    out
}

fn one(d: &Decision) -> String {
    format!("{} by {} on {}.\n  {}\n", d.outcome.word(), printable(&d.by), d.at, printable(&d.reason))
}

/// As it is written on the command line.
pub(super) fn word(of: Disposition) -> &'static str {
    match of {
        Disposition::Undecided => "none",
        Disposition::Decided(outcome) => outcome.word(),
    }
}

/// `none`, or an outcome.
pub(super) fn disposition(text: &str) -> Result<Disposition, String> {
    match text {
        "none" => Ok(Disposition::Undecided),
        word => outcome(word).map(Disposition::Decided).map_err(|words| format!("{words}, none")),
    }
}
