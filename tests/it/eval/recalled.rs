//! Events that come back from a journal: rules find in them what they found, whether read by the rules that wrote them or by
//! one of these alone.

use std::sync::Arc;

use fineprint::derive::not_derivable;
use fineprint::eval::{EvalOptions, Evaluator, Origin, Outcome, Recalled, Salt, TestNames};
use fineprint::plan::RuleSet;
use fineprint::violation::Violation;
use proptest::prelude::*;

use super::{cases, told, violations_differ};
use crate::plain::generate::{Setting, arranged, comings, numbers, setting};
use crate::plain::{Arrival, PlainEvaluator};

const EVENTS: usize = 40;

/// What rules find in events, without what is proposed: that depends on what other runs have spent.
fn found(evaluator: &mut Evaluator) -> Vec<Violation> {
    evaluator.finish();
    let mut found = evaluator.take_violations();
    found.iter_mut().for_each(|v| v.actions.clear());
    found
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn what_comes_back_is_found_again(numbers in numbers(EVENTS)) {
        let Setting { mut program, rows, options, scale } = setting(&numbers.setting);
        let whole = program.clone();
        program.rules.retain(|rule| not_derivable(&whole, rule).is_none());
        let data = rows.data(&program);
        let writer = Arc::new(RuleSet::new(program.clone(), data.clone()).unwrap());
        let mut first = Evaluator::new(writer.clone(), options.clone());
        let events = arranged(comings(&numbers, scale, false), options.lateness);
        let mut journal: Vec<Vec<u8>> = Vec::new();
        for (line, event) in (0..).zip(&events) {
            if let Outcome::Evaluated | Outcome::Late = first.observe(event, Origin { input: 0, line }) {
                let mut bytes = Vec::new();
                first.project(event, &Salt([7; 32]), &mut bytes);
                journal.push(bytes);
            }
        }
        let expected = found(&mut first);
        let recalled: Vec<Recalled> = journal.iter().map(|bytes| Recalled::read(bytes).unwrap()).collect();
        let again = |rules: Arc<RuleSet>| {
            let names = TestNames::between(&writer, &rules);
            let options = EvalOptions { as_of: None, ..options.clone() };
            let mut evaluator = Evaluator::new(rules, options);
            for (line, event) in (0..).zip(&recalled) {
                evaluator.observe_recalled(event, &names, Origin { input: 0, line });
            }
            found(&mut evaluator)
        };
        let mut alone = Vec::new();
        for rule in &program.rules {
            let mut one = program.clone();
            one.rules = vec![rule.clone()];
            alone.extend(again(Arc::new(RuleSet::new(one, data.clone()).unwrap())));
        }
        alone.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        for (what, actual) in [("all rules", again(writer.clone())), ("each rule alone", alone)] {
            if let Some(difference) = violations_differ(&expected, &actual) {
                let arrivals: Vec<Arrival> = events.iter().cloned().map(Arrival::Event).collect();
                let plain = PlainEvaluator::new(program.clone(), rows.clone(), options.clone());
                return Err(TestCaseError::fail(format!("{what}: {difference}{}", told(&plain, &arrivals))));
            }
        }
    }

    /// Bytes that are no projection are refused, and never more than that.
    #[test]
    fn damaged_projections_are_refused(numbers in numbers(4), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let Setting { program, rows, options, scale } = setting(&numbers.setting);
        let mut evaluator = Evaluator::new(Arc::new(RuleSet::new(program.clone(), rows.data(&program)).unwrap()), options.clone());
        for event in arranged(comings(&numbers, scale, false), options.lateness) {
            evaluator.observe(&event, Origin::default());
            let mut bytes = Vec::new();
            evaluator.project(&event, &Salt([7; 32]), &mut bytes);
            prop_assert!(Recalled::read(&bytes).is_ok());
            prop_assert!(Recalled::read(&bytes[..cut.index(bytes.len())]).is_err());
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Recalled::read(&bytes);
        }
    }
}

/// Nothing follows from a journal that needs the text itself.
#[test]
fn rules_that_need_the_text_say_so() {
    use crate::plain::build::*;
    use fineprint::event::FieldId;
    use fineprint::hir::{Compare, ExprKind, TextTest};
    use fineprint::time::Timestamp;
    use fineprint::value::Type;

    let prompt = || field(FieldId::PROMPT);
    let says = |phrase: &str| text_test(prompt(), TextTest::ContainsAny(vec![phrase.into()]), false);
    let length = expr(Type::Integer, ExprKind::Length(Box::new(prompt())));
    let lower = expr(Type::String, ExprKind::Lower(Box::new(prompt())));
    let exists = expr(Type::Bool, ExprKind::Exists(Box::new(prompt())));
    for (filter, needs) in [
        (and(vec![says("a"), not(says("b"))]), None),
        (compare(Compare::Greater, length.clone(), num(Type::Integer, 3)), None),
        (or(vec![exists, equals(FieldId::ACCOUNT, "a")]), None),
        (compare(Compare::Equal, prompt(), text("a")), Some("prompt")),
        (text_test(lower, TextTest::StartsWith("a".into()), false), Some("prompt")),
        (or_default(says("a"), says("b")), Some("prompt")),
    ] {
        assert_eq!(
            not_derivable(&program(Vec::new(), Timestamp(0), Timestamp(0)), &rule("r", Some(filter.clone()))),
            needs,
            "{filter:?}"
        );
    }
}
