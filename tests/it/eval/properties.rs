//! Random rules over random events.

use fineprint::eval::{EvalOptions, Evaluator, Outcome, Refusal};
use fineprint::hir::Shape;
use fineprint::time::Timestamp;
use fineprint::violation::{Observed, Scalar, Violation, Withheld};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::{cases, difference, fast, plain, rule_set, told, violations_differ};
use crate::plain::generate::{Coming, Numbers, Setting, arranged, comings, numbers, setting};
use crate::plain::{Arrival, PlainEvaluator};

/// Most events of a case.
const EVENTS: usize = 40;

fn file(comings: Vec<Coming>, options: &EvalOptions) -> Vec<Arrival> {
    arranged(comings, options.lateness).into_iter().map(Arrival::Event).chain([Arrival::Finish]).collect()
}

/// The arrivals of a case, and its judge.
fn course(numbers: &Numbers, within_lateness: bool) -> (PlainEvaluator, Vec<Arrival>) {
    let Setting { scale, options, .. } = &setting(&numbers.setting);
    let arrivals = file(comings(numbers, *scale, within_lateness), options);
    (plain(&setting(&numbers.setting)), arrivals)
}

/// The rules of the cases below ask memory and series in sequences too; else they would say nothing of them.
#[test]
fn random_sequences_ask_memory_and_series() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut memory, mut series) = (0, 0);
    for _ in 0..300 {
        let tree = numbers(EVENTS).new_tree(&mut runner).unwrap();
        for rule in setting(&tree.current().setting).program.rules {
            let mut asks = (false, false);
            fineprint::hir::each_expr(&rule, &mut |e| {
                e.walk(&mut |e| {
                    asks.0 |= matches!(e.kind, fineprint::hir::ExprKind::Memory(_));
                    asks.1 |= matches!(e.kind, fineprint::hir::ExprKind::Outage(_));
                });
            });
            if matches!(rule.shape, Shape::Sequence(_)) {
                memory += usize::from(asks.0);
                series += usize::from(asks.1);
            }
        }
    }
    assert!(memory >= 20 && series >= 3, "{memory} {series}");
}

/// The same events, each with another delay within the lateness.
fn shuffled(mut all: Vec<Coming>, delays: &[u16]) -> Vec<Coming> {
    for (coming, delay) in all.iter_mut().zip(delays.iter().cycle()) {
        coming.delay = i64::from(*delay) % 1_001;
    }
    all
}

macro_rules! agree {
    ($plain:expr, $arrivals:expr, $expected:expr, $actual:expr) => {
        if let Some(difference) = difference(&$expected, &$actual) {
            return Err(TestCaseError::fail(format!("{difference}{}", told(&$plain, &$arrivals))));
        }
    };
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// Late, doubled, conflicting and future events included: the same records, books and answers.
    #[test]
    fn fast_equals_plain(numbers in numbers(EVENTS)) {
        let (plain, arrivals) = course(&numbers, false);
        let actual = fast(&plain, &arrivals, |_, evaluator, _| evaluator);
        agree!(plain, arrivals, plain.run(&arrivals), actual);
    }
}

proptest! {
    #![proptest_config(cases(400))]

    /// A file that ends and goes on, and time that is declared from outside.
    #[test]
    fn fast_equals_plain_across_ends(numbers in numbers(EVENTS), ends in prop::collection::vec((0usize..EVENTS, 0u16..100), 0..4)) {
        let (plain, mut arrivals) = course(&numbers, false);
        let scale = setting(&numbers.setting).scale;
        for (at, what) in ends {
            let at = at.min(arrivals.len());
            let to = Timestamp(scale.start + scale.span / 90 * i64::from(what));
            arrivals.insert(at, if what % 2 == 0 { Arrival::Finish } else { Arrival::Advance(to) });
        }
        let actual = fast(&plain, &arrivals, |_, evaluator, _| evaluator);
        agree!(plain, arrivals, plain.run(&arrivals), actual);
    }

    /// Without an end, only what the watermark has passed is judged.
    #[test]
    fn fast_equals_plain_on_a_pipe(numbers in numbers(EVENTS)) {
        let (plain, mut arrivals) = course(&numbers, false);
        arrivals.pop();
        let actual = fast(&plain, &arrivals, |_, evaluator, _| evaluator);
        agree!(plain, arrivals, plain.run(&arrivals), actual);
    }

    /// Within the lateness, the order of arrival shows neither in violations nor in the books; which of two records of one
    /// id is the copy, and which the conflict, may.
    #[test]
    fn order_does_not_show(numbers in numbers(EVENTS), delays in prop::collection::vec(0u16..2_000, 1..EVENTS * 2)) {
        let (plain, arrivals) = course(&numbers, true);
        let Setting { scale, options, .. } = &setting(&numbers.setting);
        let others = file(shuffled(comings(&numbers, *scale, true), &delays), options);
        let (one, other) = (fast(&plain, &arrivals, |_, e, _| e), fast(&plain, &others, |_, e, _| e));
        if let Some(difference) = violations_differ(&one.violations, &other.violations) {
            return Err(TestCaseError::fail(format!("{difference}{}--- or\n{}", told(&plain, &arrivals), told(&plain, &others))));
        }
        let fixed = |b: &fineprint::eval::Books| (b.received, b.evaluated, b.late, b.rejected_future, b.duplicate + b.rejected_conflicting);
        prop_assert_eq!(fixed(&one.books), fixed(&other.books));
        prop_assert_eq!(one.books.late, 0);
    }

    /// Copies within the lateness change nothing but the count of copies.
    #[test]
    fn copies_change_nothing(numbers in numbers(EVENTS), copies in prop::collection::vec((0usize..EVENTS, 0u16..1_001), 0..EVENTS)) {
        let Setting { scale, options, .. } = &setting(&numbers.setting);
        let plain = plain(&setting(&numbers.setting));
        let once = comings(&numbers, *scale, true);
        let mut more = once.clone();
        for (of, delay) in copies {
            if let Some(coming) = once.get(of) {
                more.push(Coming { event: coming.event.clone(), delay: i64::from(delay) });
            }
        }
        let (once, more) = (file(once, options), file(more, options));
        let (few, many) = (fast(&plain, &once, |_, e, _| e), fast(&plain, &more, |_, e, _| e));
        if let Some(difference) = violations_differ(&few.violations, &many.violations) {
            return Err(TestCaseError::fail(format!("{difference}{}", told(&plain, &more))));
        }
        prop_assert_eq!(few.books.evaluated, many.books.evaluated);
    }

    /// When violations are taken does not show in their last state.
    #[test]
    fn takes_may_come_anywhere(numbers in numbers(EVENTS), takes in prop::collection::vec(any::<bool>(), EVENTS * 2)) {
        let (plain, arrivals) = course(&numbers, false);
        let expected = fast(&plain, &arrivals, |_, e, _| e);
        let actual = fast(&plain, &arrivals, |moment, mut evaluator, found| {
            if takes[moment % takes.len()] {
                found.take(&mut evaluator);
            }
            evaluator
        });
        agree!(plain, arrivals, expected, actual);
    }

    /// An evaluator that was written down and read again goes on as if nothing had been, whether what it had found was
    /// taken before or not.
    #[test]
    fn restarts_do_not_show(numbers in numbers(EVENTS), stops in prop::collection::vec(0u8..6, EVENTS * 2)) {
        let (plain, arrivals) = course(&numbers, false);
        let rules = rule_set(&plain);
        let expected = fast(&plain, &arrivals, |_, e, _| e);
        let actual = fast(&plain, &arrivals, |moment, mut evaluator, found| {
            let stop = stops[moment % stops.len()];
            if stop == 5 {
                found.take(&mut evaluator);
            }
            if stop >= 4 {
                let snapshot = evaluator.snapshot().unwrap();
                evaluator = Evaluator::restore(rules.clone(), plain.options.clone(), &snapshot).unwrap();
            }
            evaluator
        });
        agree!(plain, arrivals, expected, actual);
    }

    /// Outcomes and later refusals add up to the books.
    #[test]
    fn outcomes_agree_with_books(numbers in numbers(EVENTS)) {
        let (plain, arrivals) = course(&numbers, false);
        let result = fast(&plain, &arrivals, |_, e, _| e);
        let count = |outcome: Outcome| result.outcomes.iter().filter(|o| **o == outcome).count() as u64;
        let displaced = result.displaced.len() as u64;
        prop_assert!(result.books.balance());
        prop_assert_eq!(result.books.received, arrivals.len() as u64 - 1);
        prop_assert_eq!(result.books.evaluated + displaced, count(Outcome::Evaluated));
        prop_assert_eq!(result.books.late, count(Outcome::Late));
        prop_assert_eq!(result.books.duplicate, count(Outcome::Duplicate));
        prop_assert_eq!(result.books.rejected_future, count(Outcome::Rejected(Refusal::Future)));
        prop_assert_eq!(result.books.rejected_conflicting, count(Outcome::Rejected(Refusal::Conflicting)) + displaced);
    }
}

/// The judge is judged too: it must keep the laws that it is there to hold others to.
mod judge {
    use super::*;

    proptest! {
        #![proptest_config(cases(300))]

        #[test]
        fn books_of_the_plain_one_balance(numbers in numbers(EVENTS)) {
            let (plain, arrivals) = course(&numbers, false);
            let result = plain.run(&arrivals);
            prop_assert!(result.books.balance(), "{:?}", result.books);
            prop_assert_eq!(result.outcomes.len() + 1, arrivals.len());
        }

        #[test]
        fn order_does_not_show_in_the_plain_one(numbers in numbers(EVENTS), delays in prop::collection::vec(0u16..2_000, 1..EVENTS * 2)) {
            let (plain, arrivals) = course(&numbers, true);
            let Setting { scale, options, .. } = &setting(&numbers.setting);
            let others = file(shuffled(comings(&numbers, *scale, true), &delays), options);
            let (one, other) = (plain.run(&arrivals), plain.run(&others));
            if let Some(difference) = violations_differ(&one.violations, &other.violations) {
                return Err(TestCaseError::fail(format!("{difference}{}--- or\n{}", told(&plain, &arrivals), told(&plain, &others))));
            }
            prop_assert_eq!(one.books.late, 0);
        }
    }

    /// Random cases are worth nothing where nothing happens in them.
    #[test]
    fn random_cases_reach_everything() {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut seen = std::collections::BTreeMap::<&str, u32>::new();
        let mut functions = std::collections::BTreeSet::new();
        for _ in 0..1_200 {
            let numbers = numbers(EVENTS).new_tree(&mut runner).unwrap().current();
            let (plain, arrivals) = course(&numbers, false);
            let scale = setting(&numbers.setting).scale;
            let result = plain.run(&arrivals);
            let violations = &result.violations;
            let sequence = |v: &&fineprint::violation::Violation| v.values.iter().any(|o| o.name == "matches");
            let sequences = violations.iter().filter(sequence).count();
            let single = violations.iter().filter(|v| v.window.is_none() && !sequence(v)).count();
            let mut note = |what, n: usize| *seen.entry(what).or_default() += u32::from(n > 0);
            note("any violation", violations.len());
            note("single event", single);
            note("window", violations.len() - single - sequences);
            note("sequence", sequences);
            let several = |v: &&fineprint::violation::Violation| v.values[0].peak > Some(Scalar::Num(1));
            note("several matches", violations.iter().filter(sequence).filter(several).count());
            let exempted = |v: &&fineprint::violation::Violation| v.status == fineprint::violation::Status::Exempted;
            note("exempted sequence", violations.iter().filter(sequence).filter(exempted).count());
            for status in fineprint::violation::Status::ALL {
                note(status.word(), violations.iter().filter(|v| v.window.is_some() && v.status == status).count());
            }
            note("several true steps", violations.iter().filter(|v| v.updated_at > v.opened_at).count());
            note("several groups", violations.iter().filter(|v| v.group != violations[0].group).count());
            note("a threshold", violations.iter().flat_map(|v| &v.values).filter(|v| v.threshold.is_some()).count());
            note("an unknown value", violations.iter().flat_map(|v| &v.values).filter(|v| v.last.is_none()).count());
            note(
                "a value that moved",
                violations.iter().flat_map(|v| &v.values).filter(|v| v.peak != v.crossing).count(),
            );
            let asks = |v: &&fineprint::violation::Violation| {
                plain.program.rules.iter().any(|rule| rule.name == v.rule && rule.asks_memory())
            };
            note("memory", violations.iter().filter(asks).count());
            let known = |o: &&Observed| o.last.is_some();
            let named =
                |word: &'static str| move |o: &&Observed| o.name.starts_with(word) && !o.name.contains("_values");
            let values = || violations.iter().flat_map(|v| &v.values);
            note("a known `usual`", values().filter(named("usual")).filter(known).count());
            note("a known `cohort`", values().filter(named("cohort")).filter(known).count());
            let truths = |b| values().filter(named("outage")).filter(move |o| o.last == Some(Scalar::Bool(b))).count();
            note("an outage", truths(true));
            note("no outage", truths(false));
            let actions = || violations.iter().flat_map(|v| &v.actions);
            note("a delay", actions().filter(|p| p.delay.is_some()).count());
            for withheld in [None, Some(Withheld::Rollout), Some(Withheld::Budget), Some(Withheld::Exempted)] {
                let word =
                    withheld.map_or("proposed", |w| if w == Withheld::Exempted { "not proposed" } else { w.word() });
                note(word, actions().filter(|p| p.withheld == withheld).count());
            }
            for rule in &plain.program.rules {
                let found = violations.iter().filter(|v| v.rule == rule.name).count();
                if let Shape::Windowed(w) = &rule.shape {
                    for a in &w.aggregates {
                        functions.insert(a.function.word());
                        note(a.function.word(), found);
                    }
                    note("a session", if w.gap.is_some() { found } else { 0 });
                    let another = |v: &&Violation| v.rule == rule.name && v.opened_at.0 > scale.start + scale.span / 3;
                    note(
                        "a later session",
                        if w.gap.is_some() { violations.iter().filter(another).count() } else { 0 },
                    );
                }
            }
            note("late", result.books.late as usize);
            note("duplicate", result.books.duplicate as usize);
            note("future", result.books.rejected_future as usize);
            note("conflicting", result.books.rejected_conflicting as usize);
            note("displaced", result.displaced.len());
        }
        seen.remove("merged");
        let back = ["a known `usual`", "a known `cohort`", "an outage", "no outage"];
        let rare: Vec<_> = seen
            .iter()
            .filter(|(what, n)| **n < if functions.contains(*what) || back.contains(what) { 8 } else { 20 })
            .collect();
        assert!(rare.is_empty(), "in too few of 1,200 cases: {rare:?} of {seen:?}");
        assert_eq!(functions.len(), 18);
    }
}
