//! Bounds that random cases do not reach.

use std::sync::Arc;

use crate::compile::compile;
use crate::eval::{EvalOptions, Evaluator, Origin};
use crate::event::{FieldId, Kind, Slot, UsageEvent};
use crate::plan::rule::ShapePlan;
use crate::plan::{ReferenceData, RuleSet};
use crate::source::SourceMap;
use crate::time::{SECOND_NS, Timestamp};

const RULE: &str = "policy p.q version 2026-01-01 { clause c \"Says something.\" }
    rule r { enforces p.q.c on sequence per account within 60s {
        first completion where status = 403 then completion where status = 200 } because \"x\" }";

/// An evaluator whose rule may have so many partial matches.
fn evaluator(per_rule_max: usize) -> Evaluator {
    let mut sources = SourceMap::default();
    sources.add("r.tos", RULE);
    let mut rules = RuleSet::new(compile(&sources).program, ReferenceData::default()).unwrap();
    for rule in &mut rules.rules {
        if let ShapePlan::Sequence(s) = &mut rule.shape {
            s.per_rule_max = per_rule_max;
        }
    }
    Evaluator::new(Arc::new(rules), EvalOptions::default())
}

fn observe(evaluator: &mut Evaluator, account: &'static str, seconds: i64, status: i64) {
    let mut event = UsageEvent::new(Kind::Completion, format!("{account}-{seconds}"), Timestamp(seconds * SECOND_NS));
    event.set(FieldId::ACCOUNT, Slot::Text(account.into()));
    event.set(FieldId::STATUS, Slot::Num(status));
    evaluator.observe(&event, Origin::default());
}

#[test]
fn a_rule_begins_no_more_matches_than_its_bound() {
    let mut e = evaluator(2);
    for (second, account) in ["a", "b", "c"].into_iter().enumerate() {
        observe(&mut e, account, second as i64, 403);
    }
    for (second, account) in ["a", "b", "c"].into_iter().enumerate() {
        observe(&mut e, account, 10 + second as i64, 200);
    }
    e.finish();
    let found: Vec<String> = e.take_violations().into_iter().flat_map(|v| v.accounts).collect();
    assert_eq!(found, ["a", "b"]);
    assert_eq!(e.dropped(), [("r".to_string(), 1)]);
}

#[test]
fn matches_that_are_whole_or_over_make_room() {
    let mut e = evaluator(1);
    for (account, second, status) in [("a", 0, 403), ("a", 1, 200), ("b", 2, 403), ("c", 100, 403), ("c", 101, 200)] {
        observe(&mut e, account, second, status);
    }
    e.finish();
    let found: Vec<String> = e.take_violations().into_iter().flat_map(|v| v.accounts).collect();
    assert_eq!((found, e.dropped()), (vec!["a".to_string(), "c".to_string()], Vec::new()));
}

/// Nothing is kept of a key that has neither a partial match nor a violation.
#[test]
fn keys_are_forgotten() {
    let mut e = evaluator(10);
    observe(&mut e, "a", 0, 403);
    observe(&mut e, "b", 0, 200);
    observe(&mut e, "a", 1, 200);
    e.advance(Timestamp(30 * SECOND_NS));
    assert_eq!(e.live_groups(), 1);
    let held = e.footprint().into_iter().find(|f| f.part == "r").unwrap();
    assert!(held.groups == 1 && held.bytes > 0, "{held:?}");
    e.advance(Timestamp(62 * SECOND_NS));
    assert_eq!(e.live_groups(), 0);
    assert_eq!(e.take_violations().len(), 1);
}

/// An event that may be a step and lacks a field is counted, whether it would be the first step or a later one.
#[test]
fn missing_fields_are_counted() {
    let mut e = evaluator(10);
    let mut event = UsageEvent::new(Kind::Completion, "x", Timestamp(0));
    event.set(FieldId::ACCOUNT, Slot::Text("a".into()));
    e.observe(&event, Origin::default());
    observe(&mut e, "a", 1, 403);
    e.finish();
    assert_eq!(e.undecided(), [("r".to_string(), 1)]);
    // Without the key it belongs nowhere.
    let mut event = UsageEvent::new(Kind::Completion, "y", Timestamp(2 * SECOND_NS));
    event.set(FieldId::STATUS, Slot::Num(403));
    e.observe(&event, Origin::default());
    assert_eq!(e.undecided(), [("r".to_string(), 2)]);
}

/// What `fineprint check --cost` says of a partial match is no less than what it takes.
#[test]
fn the_stated_size_holds() {
    assert!(size_of::<super::partial::Taken>() <= 64 && size_of::<super::Partial>() <= 72);
}
