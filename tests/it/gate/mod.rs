//! Decisions at arrival, against a plain recount of everything that was told.

mod plain;
mod told;

use std::sync::Arc;

use fineprint::compile::compile;
use fineprint::decision::{Decision, Verdict};
use fineprint::diagnostic::{has_errors, to_text};
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::gate::{Gate, GateOptions};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::source::SourceMap;
use fineprint::time::{DAY_NS, Duration, MINUTE_NS, Timestamp};
use fineprint::violation::Status;
use proptest::prelude::*;

use crate::eval::cases;
use plain::{Call, PlainGate, RuleSpec, calls, event, specs, text_of};

/// Rules of a text, with a policy that they may enforce.
pub fn rules(text: &str) -> Arc<RuleSet> {
    let mut sources = SourceMap::default();
    let policy = r#"policy acme.terms version 2026-01-01 {
  title  "Acme Terms"
  clause fair at "3.1" "Keys are not to be probed."
  clause rate at "4" "Use is limited."
}
"#;
    sources.add("gate.tos", format!("{policy}{text}"));
    let compiled = compile(&sources);
    assert!(!has_errors(&compiled.diagnostics), "{}\n{text}", to_text(&compiled.diagnostics, &sources, false));
    Arc::new(RuleSet::new(compiled.program, ReferenceData::default()).unwrap())
}

fn of_specs(specs: &[RuleSpec]) -> Arc<RuleSet> {
    rules(&specs.iter().enumerate().map(|(n, spec)| text_of(n, spec)).collect::<String>())
}

/// Copies come whenever they like in random cases, and the clocks of threads are apart.
fn options() -> GateOptions {
    GateOptions { remember: Duration(DAY_NS), idle: Duration(DAY_NS), ..GateOptions::default() }
}

fn shows(decision: &Decision) -> (Verdict, Verdict, Vec<String>, Vec<String>) {
    (decision.verdict, decision.would, decision.rules.clone(), decision.violations.clone())
}

fn run(gate: &Gate, calls: &[Call]) -> Vec<Option<Decision>> {
    calls
        .iter()
        .enumerate()
        .map(|(n, call)| {
            let event = event(n, call);
            if call.asks {
                return Some(gate.decide(&event));
            }
            gate.observe(&event);
            None
        })
        .collect()
}

macro_rules! same {
    ($specs:expr, $calls:expr, $expected:expr, $actual:expr) => {
        for (n, (expected, actual)) in $expected.iter().zip(&$actual).enumerate() {
            if expected.as_ref().map(shows) != actual.as_ref().map(shows) {
                let rules: String = $specs.iter().enumerate().map(|(n, spec)| text_of(n, spec)).collect();
                let told: String = $calls[..=n].iter().enumerate().map(|(n, c)| format!("{n} {c:?}\n")).collect();
                return Err(TestCaseError::fail(format!("{rules}{told}expected {expected:?}\n     got {actual:?}")));
            }
        }
    };
}

proptest! {
    #![proptest_config(cases(600))]

    /// Requests and completions of calls, copies, late ones, refusals: every answer is that of a recount.
    #[test]
    fn each_answer_is_that_of_a_recount(specs in specs(), calls in calls(60)) {
        let gate = Gate::with(of_specs(&specs), options());
        let (expected, actual) = (PlainGate::new(&specs).run(&calls), run(&gate, &calls));
        same!(specs, calls, expected, actual);
    }
}

proptest! {
    #![proptest_config(cases(150))]

    /// A gate that was written down and read again goes on as if nothing had been.
    #[test]
    fn restarts_do_not_show(specs in specs(), calls in calls(40), stops in prop::collection::vec(0u8..4, 40)) {
        let rules = of_specs(&specs);
        let expected = PlainGate::new(&specs).run(&calls);
        let mut gate = Gate::with(Arc::clone(&rules), options());
        let mut actual = Vec::new();
        for (n, call) in calls.iter().enumerate() {
            if stops[n % stops.len()] == 0 {
                let bytes = gate.snapshot().unwrap();
                gate = Gate::restore(Arc::clone(&rules), options(), &bytes).unwrap();
            }
            let event = event(n, call);
            actual.push(call.asks.then(|| gate.decide(&event)));
            if !call.asks {
                gate.observe(&event);
            }
        }
        same!(specs, calls, expected, actual);
    }

    /// Other rules in between, and the same again: what the ones that stayed have counted stays. Names, modes and actions
    /// may change; the others begin with nothing.
    #[test]
    fn reloads_keep_what_finds_the_same(specs in specs(), calls in calls(40), at in 0usize..40, gone in 0usize..4) {
        let at = at.min(calls.len());
        let mut plain = PlainGate::new(&specs);
        let gate = Gate::with(of_specs(&specs), options());
        let mut expected = plain.run(&calls[..at]);
        let mut actual = run(&gate, &calls[..at]);
        // One rule is stricter from here on.
        let mut other = specs.clone();
        let changed = gone % other.len();
        other[changed].at_least += 1;
        gate.reload(of_specs(&other));
        plain.reload(&other, changed);
        let rest: Vec<Call> = calls[at..].to_vec();
        for (n, call) in rest.iter().enumerate() {
            let event = event(at + n, call);
            expected.push(plain.take(&event, call.asks));
            actual.push(call.asks.then(|| gate.decide(&event)));
            if !call.asks {
                gate.observe(&event);
            }
        }
        same!(other, calls, expected, actual);
    }

    /// Threads over accounts of their own decide as one thread does.
    #[test]
    fn threads_do_not_show(specs in specs(), lanes in prop::collection::vec(calls(30), 4)) {
        // Only rules whose groups threads do not share.
        let specs: Vec<RuleSpec> = specs.into_iter().map(|mut s| { s.per = vec!["account"]; s }).collect();
        let rules = of_specs(&specs);
        let own = |lane: usize, n: usize, call: &Call| {
            let mut event = event(n, call);
            event.set(FieldId::ID, Slot::Text(format!("{lane}-{}", event.id()).into()));
            for field in [FieldId::ACCOUNT, FieldId::KEY, FieldId::CALL] {
                if let fineprint::value::Value::Text(text) = event.get(field) {
                    let text = format!("{lane}-{text}");
                    event.set(field, Slot::Text(text.into()));
                }
            }
            event
        };
        let alone = |gate: &Gate, lane: usize, calls: &[Call]| -> Vec<Option<Decision>> {
            calls.iter().enumerate().map(|(n, call)| {
                let event = own(lane, n, call);
                if call.asks { Some(gate.decide(&event)) } else { gate.observe(&event); None }
            }).collect()
        };
        let one = Gate::with(Arc::clone(&rules), options());
        let expected: Vec<_> = lanes.iter().enumerate().map(|(lane, calls)| alone(&one, lane, calls)).collect();
        let many = Gate::with(Arc::clone(&rules), options());
        let actual: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = lanes.iter().enumerate().map(|(lane, calls)| {
                let many = &many;
                scope.spawn(move || alone(many, lane, calls))
            }).collect();
            // The same rules again and again, while the others decide.
            (0..20).for_each(|_| many.reload(Arc::clone(&rules)));
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        prop_assert_eq!(expected, actual);
    }

    /// In order and without anything late, what the last call of a step was told is what the evaluator finds when the step
    /// has closed.
    #[test]
    fn answers_agree_with_findings(specs in specs(), calls in calls(60)) {
        let specs: Vec<RuleSpec> = specs.into_iter().map(|s| RuleSpec { mode: "enforce", action: "block account", ..s }).collect();
        let rules = of_specs(&specs);
        let gate = Gate::with(Arc::clone(&rules), options());
        let mut evaluator = Evaluator::new(Arc::clone(&rules), EvalOptions::default());
        let mut events: Vec<UsageEvent<'static>> = calls.iter().enumerate().filter(|(_, c)| c.kind != Kind::Request).map(|(n, c)| {
            let mut event = event(n, c);
            event.set(FieldId::ID, Slot::Text(format!("e{n}").into()));
            event
        }).collect();
        events.sort_by(|a, b| (a.ts(), a.id()).cmp(&(b.ts(), b.id())));
        let mut last = std::collections::BTreeMap::new();
        for event in &events {
            let decision = gate.decide(event);
            evaluator.observe(event, Origin::default());
            for (n, spec) in specs.iter().enumerate().filter(|(_, s)| s.kinds.contains(&event.kind())) {
                let Some(group) = plain::group_of(spec, event) else { continue };
                let step = event.ts().0.div_euclid(spec.step) + 1;
                last.insert((n, group, step), decision.rules.contains(&format!("r{n}")));
            }
        }
        evaluator.advance(Timestamp(i64::MAX / 2));
        let found = evaluator.take_violations();
        for ((n, group, step), answered) in last {
            let end = Timestamp(step * specs[n].step);
            let holds = found.iter().any(|v| {
                v.rule == format!("r{n}")
                    && v.status != Status::Exempted
                    && v.opened_at <= end && end <= v.updated_at
                    && v.group.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>() == group
            });
            prop_assert_eq!(answered, holds, "r{} {:?} at {}\n{}{:?}", n, group, end, text_of(n, &specs[n]), found);
        }
    }
}

/// Random cases are worth nothing where nothing happens in them.
#[test]
fn random_cases_reach_everything() {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for _ in 0..150 {
        let (specs, calls) = (specs(), calls(60)).new_tree(&mut runner).unwrap().current();
        let gate = Gate::with(of_specs(&specs), options());
        let decisions = run(&gate, &calls);
        let mut note = |what, happened: bool| *seen.entry(what).or_default() += usize::from(happened);
        note("blocked", decisions.iter().flatten().any(|d| d.verdict == Verdict::Block));
        note("throttled", decisions.iter().flatten().any(|d| d.verdict == Verdict::Throttle));
        note("flagged", decisions.iter().flatten().any(|d| d.verdict == Verdict::Flag));
        note("passed", decisions.iter().flatten().any(|d| d.verdict == Verdict::Allow && d.would == Verdict::Allow));
        note("only would", decisions.iter().flatten().any(|d| d.would > d.verdict));
        let counts = gate.counts();
        note("copies", counts.duplicate > 0);
        note("late", counts.late > 0);
    }
    for (what, times) in seen {
        assert!(times >= 5, "{what} happened in {times} of 150 cases");
    }
}

/// What a gate remembers is bounded, and what goes is counted.
#[test]
fn bounds_hold() {
    let rules = rules(
        r#"rule many {
  enforces acme.terms.fair
  mode     enforce
  on       completion
  per      account
  over     1h
  when     distinct(model) >= 3
  action   throttle account to 1 per 1m
  because  "many"
}
"#,
    );
    let options =
        GateOptions { groups_max: 640, ids_max: 128, calls_max: 64, targets_max: 64, ..GateOptions::default() };
    let gate = Gate::with(rules, options);
    for n in 0..2_000i64 {
        for model in 0..3 {
            let id = format!("{n}-{model}");
            let mut event = UsageEvent::new(Kind::Completion, id, Timestamp(n * 1_000_000));
            event.set(FieldId::ACCOUNT, Slot::Text(format!("a{n}").into()));
            event.set(FieldId::MODEL, Slot::Text(format!("m{model}").into()));
            gate.decide(&event);
            let mut asked = UsageEvent::new(Kind::Request, format!("q{n}-{model}"), Timestamp(n * 1_000_000));
            asked.set(FieldId::ACCOUNT, Slot::Text("busy".into()));
            asked.set(FieldId::CALL, Slot::Text(format!("c{n}-{model}").into()));
            gate.decide(&asked);
        }
    }
    let counts = gate.counts();
    assert!(counts.groups <= 640, "{counts:?}");
    assert!(counts.groups_lost > 1_000, "{counts:?}");
    assert!(counts.ids_lost > 10_000 && counts.calls_lost > 1_000, "{counts:?}");
    assert_eq!(counts.ahead_lost, 6_000 - fineprint::inline::AHEAD_MAX as u64, "{counts:?}");
    assert!(counts.targets_lost > 0, "{counts:?}");

    // Of most groups nothing counts any more: they go with the groups that come, uncounted.
    let lost = gate.counts().groups_lost;
    for n in 0..640i64 {
        let mut event = UsageEvent::new(Kind::Completion, format!("late{n}"), Timestamp(3 * DAY_NS));
        event.set(FieldId::ACCOUNT, Slot::Text(format!("later{}", n % 320).into()));
        gate.observe(&event);
    }
    let counts = gate.counts();
    assert!(counts.groups < 500 && counts.groups_lost == lost, "{counts:?}");
}

/// What is kept of different values does not grow beyond what the threshold needs.
#[test]
fn a_threshold_bounds_what_is_kept() {
    let rule = |at_least: usize| {
        rules(&format!(
            "rule many {{\n  enforces acme.terms.fair\n  mode enforce\n  on completion\n  per account\n  over 1h\n  when \
             distinct(model) >= {at_least}\n  action after review: block account\n  because \"many\"\n}}\n"
        ))
    };
    let bytes = |at_least: usize| {
        let gate = Gate::new(rule(at_least));
        for n in 0..20_000i64 {
            let mut event = UsageEvent::new(Kind::Completion, format!("{n}"), Timestamp(n * MINUTE_NS / 400));
            event.set(FieldId::ACCOUNT, Slot::Text("a".into()));
            event.set(FieldId::MODEL, Slot::Text(format!("m{n}").into()));
            gate.observe(&event);
        }
        gate.group_bytes()
    };
    let (few, many) = (bytes(10), bytes(1_000_000 / 20));
    assert!(few < 20_000, "{few}");
    assert!(many > 20 * few, "{few} {many}");
}

/// Bytes of something else, of another version, cut off or altered are refused.
#[test]
fn only_whole_bytes_are_read() {
    use fineprint::gate::GateError;
    let rules = of_specs(&[RuleSpec::default()]);
    let gate = Gate::with(Arc::clone(&rules), options());
    run(&gate, &[Call::default(), Call::default()]);
    let bytes = gate.snapshot().unwrap();
    let read = |bytes: &[u8]| Gate::restore(Arc::clone(&rules), GateOptions::default(), bytes).map(|_| ());
    assert_eq!(read(&bytes), Ok(()));
    assert_eq!(read(b"FPGATEX"), Err(GateError::Damaged));
    assert_eq!(read(b""), Err(GateError::Foreign));
    let mut other = bytes.clone();
    other[7] = 99;
    assert_eq!(read(&other), Err(GateError::Version { found: 99 }));
    for at in 8..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert_eq!(read(&altered), Err(GateError::Damaged), "byte {at}");
        assert!(read(&bytes[..at]).is_err());
    }
}
