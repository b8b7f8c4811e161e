//! A state that is written down while events come is the state before them, and what comes after does not show it.

use std::sync::Arc;

use fineprint::eval::{EvalOptions, Evaluator, Frozen, Origin, Outcome, Refusal};
use fineprint::event::{Kind, UsageEvent};
use fineprint::time::Timestamp;
use proptest::prelude::*;

use super::{Found, cases, difference, fast, merging, plain, rule_set, told};
use crate::plain::generate::{Coming, Setting, arranged, comings, numbers, setting};
use crate::plain::linked::{linked_comings, linked_numbers, linked_setting};
use crate::plain::{Arrival, PlainEvaluator, PlainResult};

/// Most events of a case.
const EVENTS: usize = 40;

/// What happens after an arrival, drawn.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// Whether a snapshot begins, over how many arrivals it goes, and whether violations are taken before.
    begins: bool,
    lasts: usize,
    takes: bool,
    /// Whether the evaluator is written down in one go and read again.
    restarts: bool,
    /// How many of the events that wait are applied at most.
    catches_up: usize,
}

fn moments() -> impl Strategy<Value = Vec<Moment>> {
    let moment = (0u8..4, 0usize..8, any::<bool>(), 0u8..4, 0usize..5);
    let moment = moment.prop_map(|(begins, lasts, takes, restarts, catches_up)| Moment {
        begins: begins == 0,
        lasts,
        takes,
        restarts: restarts == 0,
        catches_up: if catches_up == 4 { usize::MAX } else { catches_up },
    });
    prop::collection::vec(moment, 2 * EVENTS)
}

/// A snapshot under way, the bytes that it must come to, and after how many arrivals it is over.
struct UnderWay {
    frozen: Frozen,
    expected: Vec<u8>,
    left: usize,
}

fn written(frozen: &Frozen) -> Vec<u8> {
    let mut bytes = Vec::new();
    frozen.write(&mut |part| bytes.extend_from_slice(part)).unwrap();
    bytes
}

/// Plays arrivals with snapshots in between; panics where one comes to other bytes than in one go.
fn disturbed(plain: &PlainEvaluator, arrivals: &[Arrival], moments: &[Moment]) -> (PlainResult, usize) {
    let rules = rule_set(plain);
    let mut under_way: Option<UnderWay> = None;
    let mut across = 0;
    let between = |at: usize, mut evaluator: Evaluator, found: &mut Found| {
        let moment = moments[at % moments.len()];
        // The end of a file waits for a snapshot under way.
        let waits = !matches!(arrivals.get(at + 1), Some(Arrival::Event(_) | Arrival::Advance(_)));
        match under_way.take() {
            Some(u) if u.left > 0 && !waits => {
                across += 1;
                assert!(evaluator.freeze().is_err(), "one snapshot at a time");
                assert!(evaluator.take_violations().is_empty() && !evaluator.catch_up(usize::MAX));
                under_way = Some(UnderWay { left: u.left - 1, ..u });
            }
            Some(u) => {
                assert!(written(&u.frozen) == u.expected, "another state than the one in which the snapshot began");
                evaluator.thaw(u.frozen);
            }
            None if moment.begins && !waits => {
                if moment.takes {
                    found.take(&mut evaluator);
                }
                evaluator.catch_up(usize::MAX);
                let expected = evaluator.snapshot().unwrap();
                under_way = Some(UnderWay { frozen: evaluator.freeze().unwrap(), expected, left: moment.lasts });
            }
            // Events may wait for the snapshot before.
            None if evaluator.catch_up(moment.catches_up) => assert!(evaluator.snapshot().is_err()),
            None if moment.restarts => {
                let snapshot = evaluator.snapshot().unwrap();
                evaluator = Evaluator::restore(Arc::clone(&rules), plain.options.clone(), &snapshot).unwrap();
            }
            None => {}
        }
        if at + 1 == arrivals.len() {
            evaluator.catch_up(usize::MAX);
        }
        evaluator
    };
    let result = fast(plain, arrivals, between);
    assert!(under_way.is_none());
    (result, across)
}

fn agree(plain: &PlainEvaluator, arrivals: &[Arrival], moments: &[Moment]) -> Result<(), TestCaseError> {
    let expected = fast(plain, arrivals, |_, e, _| e);
    let (actual, _) = disturbed(plain, arrivals, moments);
    match difference(&expected, &actual) {
        Some(difference) => Err(TestCaseError::fail(format!("{difference}{}", told(plain, arrivals)))),
        None => Ok(()),
    }
}

fn file(comings: Vec<Coming>, setting: &Setting) -> Vec<Arrival> {
    let events = arranged(comings, setting.options.lateness).into_iter();
    events.map(Arrival::Event).chain([Arrival::Finish]).collect()
}

proptest! {
    #![proptest_config(cases(600))]

    /// Windows, sessions, sequences, memory, series; copies and conflicts, of which some fall into a snapshot.
    #[test]
    fn a_snapshot_over_several_events_does_not_show(numbers in numbers(EVENTS), moments in moments()) {
        let setting = setting(&numbers.setting);
        let arrivals = file(comings(&numbers, setting.scale, false), &setting);
        agree(&plain(&setting), &arrivals, &moments)?;
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// Time that is declared from outside, and no end.
    #[test]
    fn it_does_not_show_on_a_pipe(
        numbers in numbers(EVENTS),
        advances in prop::collection::vec((0usize..EVENTS, 0i64..100), 0..4),
        moments in moments()
    ) {
        let setting = setting(&numbers.setting);
        let mut arrivals = file(comings(&numbers, setting.scale, false), &setting);
        arrivals.pop();
        for (at, to) in advances {
            let to = Timestamp(setting.scale.start + setting.scale.span / 90 * to);
            arrivals.insert(at.min(arrivals.len()), Arrival::Advance(to));
        }
        agree(&plain(&setting), &arrivals, &moments)?;
    }

    #[test]
    fn it_does_not_show_in_links(numbers in linked_numbers(EVENTS), moments in moments()) {
        let setting = linked_setting(&numbers);
        let arrivals = file(linked_comings(&numbers, &setting, false), &setting);
        agree(&plain(&setting), &arrivals, &moments)?;
    }

    #[test]
    fn it_does_not_show_in_campaigns(case in merging::any_case(), moments in moments()) {
        agree(&case.plain(), &case.arrivals(|d| d), &moments)?;
    }
}

/// Random cases are worth nothing where nothing happens in them.
#[test]
fn random_snapshots_go_on_while_events_come() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (mut across, mut found) = (0, 0);
    for _ in 0..100 {
        let (numbers, moments) = (numbers(EVENTS), moments()).new_tree(&mut runner).unwrap().current();
        let setting = setting(&numbers.setting);
        let arrivals = file(comings(&numbers, setting.scale, false), &setting);
        let (result, n) = disturbed(&plain(&setting), &arrivals, &moments);
        across += n;
        found += usize::from(n > 0 && !result.violations.is_empty());
    }
    assert!(across > 500 && found > 30, "{across} events during snapshots, {found} cases of them found something");
}

/// An event that waits and is set aside is replaced once it is back, and told then; one that came since at once.
#[test]
fn a_record_that_is_replaced_during_a_snapshot_is_refused_afterwards() {
    let setting = setting(&Vec::new());
    let rules = rule_set(&plain(&setting));
    let mut evaluator = Evaluator::new(rules, EvalOptions::default());
    // The smallest content stays: each replaces the one before.
    let records = [3, 2, 1].map(|content| {
        let mut event = UsageEvent::new(Kind::Completion, "x".to_string(), Timestamp(1_000_000_000));
        event.set_content(content);
        event
    });
    let origin = |line| Origin { input: 0, line };
    let observe = |evaluator: &mut Evaluator, n: usize| {
        assert_eq!(evaluator.observe(&records[n], origin(n as u64)), Outcome::Evaluated);
        let refused = evaluator.take_refused().into_iter();
        refused.map(|r| (r.origin, r.id, r.refusal)).collect::<Vec<_>>()
    };
    assert_eq!(observe(&mut evaluator, 0), []);
    let frozen = evaluator.freeze().unwrap();
    assert_eq!(observe(&mut evaluator, 1), []);
    assert_eq!(observe(&mut evaluator, 2), [(origin(1), "x".to_string(), Refusal::Conflicting)]);
    evaluator.thaw(frozen);
    let refused: Vec<_> = evaluator.take_refused().into_iter().map(|r| r.origin).collect();
    assert_eq!(refused, [origin(0)]);
    let books = evaluator.books();
    assert_eq!((books.evaluated, books.rejected_conflicting, books.balance()), (1, 2, true));
}
