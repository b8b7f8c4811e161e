//! Events that are routed apart from any state, batch by batch, as the pipeline of `fineprint run` does: what is found is what
//! one evaluator finds by itself, whose symbols have other numbers.

use std::sync::Arc;

use fineprint::eval::{EvalOptions, Evaluator, EventRouter, Origin, Outcome, RoutedEvents, Salt};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::hir::{Compare, ExprKind, Function, Program, Rule, Shape, Windowed};
use fineprint::plan::{ReferenceData, RuleSet};

use fineprint::template::Strictness;
use fineprint::time::{Duration, SECOND_NS, Timestamp};
use fineprint::value::Type;
use fineprint::violation::Violation;
use proptest::prelude::*;

use super::{cases, plain, rule_set, told, violations_differ};
use crate::plain::Arrival;
use crate::plain::build::*;
use crate::plain::generate::{Setting, arranged, comings, numbers, setting};

const EVENTS: usize = 40;

/// What is found, with the outcomes and the projections of those that are evaluated, and how many events each rule left undecided.
type Told = (Vec<Violation>, Vec<Outcome>, Vec<Vec<u8>>, Vec<(String, u64)>);

/// Of a late event the evaluator looks at fewer conditions, whose text tests are then not among those that held.
fn is_compared(outcome: &Outcome) -> bool {
    *outcome == Outcome::Evaluated
}

fn by_itself(rules: &Arc<RuleSet>, options: &EvalOptions, events: &[UsageEvent<'static>]) -> Told {
    let mut evaluator = Evaluator::new(Arc::clone(rules), options.clone());
    let (mut outcomes, mut projections) = (Vec::new(), Vec::new());
    for (line, event) in (0..).zip(events) {
        let outcome = evaluator.observe(event, Origin { input: 0, line });
        if is_compared(&outcome) {
            let mut bytes = Vec::new();
            evaluator.project(event, &Salt([7; 32]), &mut bytes);
            projections.push(bytes);
        }
        outcomes.push(outcome);
    }
    evaluator.finish();
    (evaluator.take_violations(), outcomes, projections, evaluator.undecided())
}

/// The same in batches, by two routers in turns. Texts that come first in a batch have low numbers there and others in the
/// state.
fn in_batches(rules: &Arc<RuleSet>, options: &EvalOptions, events: &[UsageEvent<'static>], size: usize) -> Told {
    let mut evaluator = Evaluator::new(Arc::clone(rules), options.clone());
    let mut routers = [(); 2].map(|()| (EventRouter::new(Arc::clone(rules)), RoutedEvents::default()));
    let (mut outcomes, mut projections) = (Vec::new(), Vec::new());
    for (number, batch) in events.chunks(size).enumerate() {
        let (router, routed) = &mut routers[number % 2];
        routed.clear();
        batch.iter().for_each(|event| router.route(event, Some(&Salt([7; 32])), routed));
        for at in 0..batch.len() {
            let line = outcomes.len() as u64;
            let outcome = evaluator.observe_routed(routed, at, Origin { input: 0, line });
            if is_compared(&outcome) {
                projections.push(routed.projection(at).to_vec());
            }
            outcomes.push(outcome);
        }
    }
    evaluator.finish();
    (evaluator.take_violations(), outcomes, projections, evaluator.undecided())
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn batches_find_what_one_evaluator_finds(numbers in numbers(EVENTS), size in 1usize..12) {
        let Setting { scale, options, .. } = &setting(&numbers.setting);
        let plain = plain(&setting(&numbers.setting));
        let rules = rule_set(&plain);
        let events = arranged(comings(&numbers, *scale, false), options.lateness);
        let (expected, actual) = (by_itself(&rules, options, &events), in_batches(&rules, options, &events, size));
        if let Some(difference) = violations_differ(&expected.0, &actual.0) {
            let arrivals: Vec<Arrival> = events.iter().cloned().map(Arrival::Event).collect();
            return Err(TestCaseError::fail(format!("{difference}{}", told(&plain, &arrivals))));
        }
        prop_assert_eq!(expected.1, actual.1);
        prop_assert!(expected.2 == actual.2, "projections differ");
        prop_assert_eq!(expected.3, actual.3);
    }
}

/// By template, by each item of a list, and by each beside a text: no event has the keys of another batch under the same
/// numbers, and something is found by each.
#[test]
fn each_value_of_a_key_is_numbered_anew() {
    let template =
        expr(Type::List(Box::new(Type::Fingerprint)), ExprKind::Template(FieldId::PROMPT, Strictness::Strict));
    let flags = || field(FieldId::HEADER_FLAGS);
    let by = |name: &str, per| {
        let aggregates =
            vec![aggregate(Function::Count, None), aggregate(distinct(vec![field(FieldId::ACCOUNT)]), None)];
        let value = result(&aggregates, 0);
        let when = compare(Compare::GreaterEqual, value.clone(), num(value.ty, 2));
        let (length, step) = (Duration(60 * SECOND_NS), Duration(20 * SECOND_NS));
        let shape = Windowed { per, link: None, only: Vec::new(), length, step, gap: None, aggregates, when };
        Rule { shape: Shape::Windowed(shape), ..rule(name, None) }
    };
    let names = ["template", "flags", "flags and account"];
    let pers = [vec![template], vec![flags()], vec![field(FieldId::ACCOUNT), flags()]];
    let rules = names.into_iter().zip(pers).map(|(name, per)| by(name, per)).collect();
    let program = Program { lists: Vec::new(), tables: Vec::new(), ..program(rules, Timestamp(0), Timestamp(0)) };
    let rules = Arc::new(RuleSet::new(program, ReferenceData::default()).unwrap());
    let wording = "rewrite the task below so that it is harder but keeps its answer its form and the language it is in";
    let events: Vec<UsageEvent<'static>> = (0..60i64)
        .map(|i| {
            let mut event = UsageEvent::new(Kind::Completion, format!("e{i:02}"), Timestamp(i * 2 * SECOND_NS));
            event.set(FieldId::ACCOUNT, Slot::Text(format!("a{}", i * 7 % 5).into()));
            event.set(FieldId::MODEL, Slot::Text(format!("m{}", i * 11 % 17).into()));
            event.set(FieldId::PROMPT, Slot::Text(format!("{wording} {i}").into()));
            let flags = (0..3).map(|f| format!("f{}", (i * 5 + f * f) % 7)).collect();
            event.set(FieldId::HEADER_FLAGS, Slot::Texts(flags));
            event.set_content(i as u128);
            event
        })
        .collect();
    let options = EvalOptions::default();
    let expected = by_itself(&rules, &options, &events);
    for name in names {
        assert!(expected.0.iter().any(|v| v.rule == name), "{name} finds nothing");
    }
    let flags = expected.0.iter().filter(|v| v.rule == "flags").map(|v| v.group[0].1.clone());
    assert_eq!(flags.collect::<std::collections::BTreeSet<_>>().len(), 7);
    for size in [1, 4, 13, 60] {
        let actual = in_batches(&rules, &options, &events, size);
        assert!(
            violations_differ(&expected.0, &actual.0).is_none(),
            "{size}: {:?}",
            violations_differ(&expected.0, &actual.0)
        );
        assert!(expected.2 == actual.2, "{size}: projections differ");
    }
}
