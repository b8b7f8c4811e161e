//! The sealed findings of a log against what comes out of its journal.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::again::{Again, Cut, Recomputed, RecordHash};
use crate::derive::{Actions, Difference, Verdict, WHOLE, differences};
use crate::time::Timestamp;

/// A sealed finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedFinding {
    /// SHA-256 of its record, as its last entry says.
    pub hash: RecordHash,
    /// Place of that entry.
    pub entry: u64,
    /// Whether an erasure of the log says that it touched it: a record alone may claim that.
    pub is_touched: bool,
}

/// A finding of which something is to be said; the others are re-derived.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its id.
    pub id: String,
    /// Its rule, where known.
    pub rule: String,
    /// What is to be said.
    pub verdict: Verdict,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Held {
    /// Findings that come out as they were sealed.
    pub re_derived: u64,
    /// Of those the delays of actions, which are drawn from a secret, were not compared.
    pub but_for_delays: u64,
    /// Findings of which it is not known, by reason.
    pub consistent_only: BTreeMap<String, u64>,
    /// Findings that rest on what was erased.
    pub erased: u64,
    /// Findings that come out otherwise, or not at all.
    pub differ: Vec<Told>,
    /// Findings that come out and are not in the log: id and rule.
    pub dropped: Vec<(String, String)>,
    /// The verdict of each finding that is not re-derived, by id.
    pub told: BTreeMap<String, Verdict>,
}

/// Holds sealed findings against what comes out. `forgotten` is the entry before which what was read was forgotten, so that it
/// is not in the journal; `record` gives the record of a finding as the log has it.
pub fn hold(
    sealed: &BTreeMap<String, SealedFinding>,
    again: &Again,
    forgotten: Option<u64>,
    record: &mut dyn FnMut(&str) -> Option<String>,
) -> Held {
    let mut held = Held::default();
    for (id, finding) in sealed {
        let found = again.found.get(id);
        let is_same = found.is_some_and(|f| f.last == Some(finding.hash) || f.at_ends.contains(&finding.hash));
        if is_same {
            held.re_derived += 1;
            continue;
        }
        let record = record(id);
        let (verdict, rule) = verdict(finding, found, again, forgotten, record.as_deref());
        match &verdict {
            Verdict::ReDerived => {
                held.re_derived += 1;
                held.but_for_delays += 1;
                continue;
            }
            Verdict::ConsistentOnly(why) => *held.consistent_only.entry(why.clone()).or_default() += 1,
            Verdict::Erased => held.erased += 1,
            Verdict::Differs(_) => held.differ.push(Told { id: id.clone(), rule, verdict: verdict.clone() }),
        }
        held.told.insert(id.clone(), verdict);
    }
    for (id, found) in again.found.iter().filter(|(id, _)| !sealed.contains_key(*id)) {
        // What rests on an end of files, after which they went on, may not have held.
        let is_due = found.last.is_some() || (again.ended && found.at_last_end);
        let why_not = reason(&found.rule, found.opened_at, found.opened_at, again);
        if is_due && why_not.is_none() {
            held.dropped.push((id.clone(), found.rule.clone()));
        }
    }
    held
}

fn verdict(
    finding: &SealedFinding,
    found: Option<&Recomputed>,
    again: &Again,
    forgotten: Option<u64>,
    record: Option<&str>,
) -> (Verdict, String) {
    let sealed: Value = record.and_then(|r| serde_json::from_str(r).ok()).unwrap_or(Value::Null);
    let text = |key: &str| sealed.get(key).and_then(Value::as_str).unwrap_or_default();
    let rule = text("rule").to_string();
    if finding.is_touched && sealed.get("erased").is_some() {
        return (Verdict::Erased, rule);
    }
    if record.is_none_or(|record| finding.hash != <RecordHash>::from(Sha256::digest(record))) {
        return (Verdict::ConsistentOnly("its record is not there as it was sealed".to_string()), rule);
    }
    // Delays apart it may be the same.
    let compared = if again.has_secret { Actions::NotDelays } else { Actions::Whole };
    let comes_out = found.and_then(|f| f.record.as_deref()).and_then(|r| serde_json::from_str::<Value>(r).ok());
    let differ = comes_out.as_ref().map(|comes_out| differences(&sealed, comes_out, compared));
    if differ.as_ref().is_some_and(Vec::is_empty) {
        return (Verdict::ReDerived, rule);
    }
    if forgotten.is_some_and(|forgotten| finding.entry < forgotten) {
        let why = "sealed before the inputs were read again from their beginning, and not found since";
        return (Verdict::ConsistentOnly(why.to_string()), rule);
    }
    let at = |key: &str| Timestamp::parse_rfc3339(text(key));
    if let (Some(opened), Some(updated)) = (at("opened_at"), at("updated_at"))
        && let Some(verdict) = reason(&rule, opened, updated, again)
    {
        return (verdict, rule);
    }
    let differ = differ.unwrap_or_else(|| {
        let sealed = Some(Value::String(format!("a finding of `{rule}`")));
        // Of one that comes out otherwise and is not kept, too many differ.
        let comes_out = found.map(|_| Value::String("another record".to_string()));
        vec![Difference { field: WHOLE.to_string(), sealed, comes_out }]
    });
    (Verdict::Differs(differ), rule)
}

/// Why a finding may come out otherwise though nothing is wrong.
fn reason(rule: &str, opened: Timestamp, updated: Timestamp, again: &Again) -> Option<Verdict> {
    if let Some(field) = again.blind.get(rule) {
        let why = format!("its rule uses the text of `{field}` itself, which the journal does not keep");
        return Some(Verdict::ConsistentOnly(why));
    }
    if let Some(Cut { begins, settled }) = again.cut
        && (opened < settled || again.of_all_before.contains(rule))
    {
        let why = match opened < begins {
            true => "it is older than the journal, which begins later",
            false => "it may hang on events before the beginning of the journal",
        };
        return Some(Verdict::ConsistentOnly(why.to_string()));
    }
    let from = opened.saturating_sub(again.reach);
    let is_near = |at: &Timestamp| again.of_all_before.contains(rule) || (*at >= from && *at <= updated);
    again.erased.iter().any(is_near).then_some(Verdict::Erased)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who can seal can write "erased" into a record, but not have an erasure touch it unseen.
    #[test]
    fn a_record_is_erased_where_an_erasure_of_the_log_touched_it() {
        let record =
            r#"{"rule":"r","opened_at":"2026-03-02T08:00:00Z","updated_at":"2026-03-02T08:00:00Z","erased":[1]}"#;
        let verdict = |is_touched| {
            let finding = SealedFinding { hash: Sha256::digest(record).into(), entry: 3, is_touched };
            super::verdict(&finding, None, &Again::default(), None, Some(record)).0
        };
        assert_eq!(verdict(true), Verdict::Erased);
        assert!(matches!(verdict(false), Verdict::Differs(_)), "{:?}", verdict(false));
    }
}
