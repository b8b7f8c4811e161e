//! Cases and properties of the evaluator. What is right is what the plain evaluator says; the fast one must say the same.
//! `FINEPRINT_PROPTEST_CASES=5000 cargo nextest run --test it plain:: eval::` looks longer than the default.

mod aggregates;
mod baselines;
mod blind;
mod cases;
mod commitment;
mod frozen;
mod link_cases;
mod link_scale;
mod keyed;
mod links;
mod many;
mod merging;
mod properties;
mod room;
mod reach;
mod recalled;
mod remembered;
mod routed;
mod sequences;
mod sessions;
mod succession;
mod templates;
mod widening;
/// Wordings and several values counted, and samples of them.
mod wordings;

use std::collections::BTreeMap;
use std::sync::Arc;

use fineprint::eval::{Evaluator, Origin, Refused};
use fineprint::hir::canonical_rule;
use fineprint::plan::RuleSet;
use fineprint::violation::{Violation, to_json};
use serde_json::Value;

use crate::plain::generate::Setting;
use crate::plain::{Arrival, PlainEvaluator, PlainResult};

/// How many random cases a property tries: `FINEPRINT_PROPTEST_CASES`, or `default`.
pub fn cases(default: u32) -> proptest::test_runner::Config {
    let given = std::env::var_os("FINEPRINT_PROPTEST_CASES").and_then(|n| n.to_str()?.parse().ok());
    let cases = given.unwrap_or(default);
    proptest::test_runner::Config { cases, failure_persistence: None, max_shrink_iters: 3_000, ..Default::default() }
}

pub fn plain(setting: &Setting) -> PlainEvaluator {
    PlainEvaluator::new(setting.program.clone(), setting.rows.clone(), setting.options.clone())
}

pub fn rule_set(plain: &PlainEvaluator) -> Arc<RuleSet> {
    Arc::new(RuleSet::new(plain.program.clone(), plain.rows.data(&plain.program)).unwrap())
}

/// What the fast evaluator makes of the arrivals, told like the plain one. `between` is called after each arrival.
pub fn fast(
    plain: &PlainEvaluator,
    arrivals: &[Arrival],
    mut between: impl FnMut(usize, Evaluator, &mut Found) -> Evaluator,
) -> PlainResult {
    let rules = rule_set(plain);
    let mut evaluator = Evaluator::new(rules, plain.options.clone());
    let mut outcomes = Vec::new();
    let mut found = Found::default();
    for (moment, arrival) in arrivals.iter().enumerate() {
        match arrival {
            Arrival::Event(event) => {
                let line = outcomes.len() as u64 + 1;
                outcomes.push(evaluator.observe(event, Origin { input: 0, line }));
            }
            Arrival::Advance(to) => evaluator.advance(*to),
            Arrival::Finish => evaluator.finish(),
        }
        assert!(evaluator.books().balance(), "{:?}", evaluator.books());
        evaluator = between(moment, evaluator, &mut found);
    }
    found.take(&mut evaluator);
    let mut violations: Vec<Violation> = found.violations.into_values().collect();
    violations.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    let mut displaced: Vec<usize> = found.refused.iter().map(|r| r.origin.line as usize - 1).collect();
    displaced.sort_unstable();
    PlainResult { violations, books: evaluator.books().clone(), outcomes, displaced, watermark: evaluator.watermark() }
}

/// What was taken from the fast evaluator so far.
#[derive(Debug, Default)]
pub struct Found {
    violations: BTreeMap<String, Violation>,
    refused: Vec<Refused>,
}

impl Found {
    /// The last state of each violation, by id.
    pub fn into_violations(self) -> BTreeMap<String, Violation> {
        self.violations
    }

    /// Takes what there is; a later state of a violation replaces the earlier.
    pub fn take(&mut self, evaluator: &mut Evaluator) {
        let taken = evaluator.take_violations();
        let order: Vec<_> = taken.iter().map(|v| (v.opened_at, v.id.clone())).collect();
        assert!(order.is_sorted() && order.windows(2).all(|w| w[0] != w[1]), "not sorted, or one twice: {order:?}");
        self.violations.extend(taken.into_iter().map(|v| (v.id.clone(), v)));
        self.refused.extend(evaluator.take_refused());
    }
}

/// What differs between two results, for people; `None` when nothing does.
pub fn difference(expected: &PlainResult, actual: &PlainResult) -> Option<String> {
    if expected == actual {
        return None;
    }
    let mut out = String::new();
    let mut say = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    if expected.books != actual.books {
        say(format!("books: expected {:?}\n          got {:?}", expected.books, actual.books));
    }
    for (i, (a, b)) in expected.outcomes.iter().zip(&actual.outcomes).enumerate().filter(|(_, (a, b))| a != b) {
        say(format!("event {i}: expected {a:?}, got {b:?}"));
    }
    if expected.displaced != actual.displaced {
        say(format!("displaced: expected {:?}, got {:?}", expected.displaced, actual.displaced));
    }
    if expected.watermark != actual.watermark {
        say(format!("watermark: expected {:?}, got {:?}", expected.watermark, actual.watermark));
    }
    violations_differ(&expected.violations, &actual.violations).into_iter().for_each(say);
    Some(out)
}

/// What differs between two lists of violations; `None` when nothing does.
pub fn violations_differ(expected: &[Violation], actual: &[Violation]) -> Option<String> {
    if expected == actual {
        return None;
    }
    let by_id = |all: &[Violation]| all.iter().map(|v| (v.id.clone(), v.clone())).collect::<BTreeMap<_, _>>();
    let (expected_by_id, actual_by_id) = (by_id(expected), by_id(actual));
    let mut out = String::new();
    for (id, v) in &expected_by_id {
        match actual_by_id.get(id) {
            None => out.push_str(&format!("missing: {}\n", to_json(v))),
            Some(other) if other != v => {
                out.push_str(&format!("{id} of {}, opened {}:\n", v.rule, v.opened_at));
                parts_differ("", &to_json(v), &to_json(other), &mut out);
                if to_json(v) == to_json(other) {
                    out.push_str(&format!("(alike as JSON) {v:?}\n                {other:?}\n"));
                }
            }
            Some(_) => {}
        }
    }
    for (_, v) in actual_by_id.iter().filter(|(id, _)| !expected_by_id.contains_key(*id)) {
        out.push_str(&format!("not expected: {}\n", to_json(v)));
    }
    if out.is_empty() {
        out.push_str("the same violations in another order, or one of them twice\n");
    }
    Some(out)
}

/// Each part of two JSON values that differs.
fn parts_differ(path: &str, expected: &Value, actual: &Value, out: &mut String) {
    match (expected, actual) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().for_each(|(key, value)| parts_differ(&format!("{path}.{key}"), value, &b[key], out));
        }
        (a, b) if a == b => {}
        (a, b) => out.push_str(&format!("  {path}: expected {a}\n      got {b}\n")),
    }
}

/// The rules and arrivals of a failed case.
pub fn told(plain: &PlainEvaluator, arrivals: &[Arrival]) -> String {
    let mut out = format!("{:?}\n", plain.options);
    for rule in &plain.program.rules {
        out.push_str(&canonical_rule(&plain.program, rule));
    }
    out.push_str(&format!("{:?}\n", plain.rows));
    for arrival in arrivals {
        match arrival {
            Arrival::Event(e) => {
                let fields: Vec<String> = e
                    .fields()
                    .map(|(f, v)| format!("{}={v:?}", fineprint::event::FIELDS[usize::from(f.0)].name))
                    .collect();
                out.push_str(&format!("{} {:?} {} {:x}\n", e.ts(), e.kind(), fields.join(" "), e.content() >> 112));
            }
            other => out.push_str(&format!("{other:?}\n")),
        }
    }
    out
}
