//! Bounds that random cases do not reach, and what is kept of keys that do not fire.

use std::sync::Arc;

use crate::compile::compile;
use crate::eval::{EvalOptions, Evaluator, Origin};
use crate::event::{FieldId, Kind, Slot, UsageEvent};
use crate::plan::rule::ShapePlan;
use crate::plan::{ReferenceData, RuleSet};
use crate::source::SourceMap;
use crate::time::{Duration, SECOND_NS, Timestamp};

const RULE: &str = "policy p.q version 2026-01-01 { clause c \"Says something.\" }
    rule r { enforces p.q.c on completion per template(prompt) over 1m every 10s when count() >= 5 because \"x\" }";

/// An evaluator whose rule keeps so many values of keys that are too seldom to fire.
fn evaluator(values_max: usize) -> Evaluator {
    let mut sources = SourceMap::default();
    sources.add("r.tos", RULE);
    let mut rules = RuleSet::new(compile(&sources).program, ReferenceData::default()).unwrap();
    for rule in &mut rules.rules {
        if let ShapePlan::Windowed(w) = &mut rule.shape
            && let Some(many) = &mut w.many
        {
            many.values_max = values_max;
        }
    }
    Evaluator::new(Arc::new(rules), EvalOptions { lateness: Duration(0), ..EvalOptions::default() })
}

fn observe(e: &mut Evaluator, second: i64, number: i64, fingerprints: &[u64]) {
    let at = Timestamp(second * SECOND_NS);
    let mut event = UsageEvent::new(Kind::Completion, format!("{second}-{number}"), at);
    let shown = fingerprints.iter().map(|f| format!("{f:016x}")).collect();
    event.set(FieldId::PROMPT_FPS, Slot::Texts(shown));
    e.observe(&event, Origin::default());
}

/// Five prompts of one template in 50 seconds, each among others of payload.
fn play(values_max: usize) -> Evaluator {
    let mut e = evaluator(values_max);
    for i in 0..5 {
        observe(&mut e, i * 10, 0, &[7, 100 + i as u64]);
        observe(&mut e, i * 10, 1, &[200 + i as u64, 300 + i as u64]);
    }
    e.advance(Timestamp(60 * SECOND_NS));
    e
}

#[test]
fn values_above_the_bound_are_forgotten_and_told() {
    let mut all = play(20);
    let found = all.take_violations();
    assert_eq!((found.len(), all.memory_lost()), (1, Vec::new()));
    assert_eq!(found.first().unwrap().evidence.memory_cut_since, None);
    // Room for the values of two and a half events: of the first prompts nothing is left when the fifth comes.
    let mut few = play(10);
    assert_eq!(few.take_violations().len(), 0);
    assert_eq!(few.memory_lost(), [("r".to_string(), 10)]);
    // What is found afterwards says since when something is missing.
    for i in 0..5 {
        observe(&mut few, 70 + i, 0, &[7]);
    }
    few.advance(Timestamp(80 * SECOND_NS));
    let found = few.take_violations();
    let cut: Vec<_> = found.iter().map(|v| v.evidence.memory_cut_since).collect();
    assert_eq!(cut, [Some(Timestamp(20 * SECOND_NS))]);
}

/// A key has a group from its fifth event on; of a thousand others there is a mark each, and none when the window is over.
#[test]
fn seldom_keys_have_no_group() {
    let mut e = evaluator(1 << 20);
    for i in 0..1_000 {
        observe(&mut e, i / 50, i, &[7, 1_000 + i as u64]);
    }
    e.advance(Timestamp(20 * SECOND_NS));
    assert_eq!(e.live_groups(), 1);
    let bytes = |e: &Evaluator| e.footprint().into_iter().find(|f| f.part == "r").map_or(0, |f| f.bytes);
    assert!(bytes(&e) < 400_000, "{} bytes", bytes(&e));
    observe(&mut e, 100, 0, &[8]);
    e.advance(Timestamp(200 * SECOND_NS));
    assert_eq!(e.live_groups(), 0);
}
