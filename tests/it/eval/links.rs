//! Rules that group by a link: random cases against the plain evaluator.

use fineprint::eval::Evaluator;
use fineprint::time::Timestamp;
use fineprint::violation::{Scalar, Status, Violation};
use proptest::prelude::*;

use super::{cases, difference, fast, plain, rule_set, told, violations_differ};
use crate::plain::generate::{Coming, arranged};
use crate::plain::linked::{LinkedNumbers, linked_comings, linked_numbers, linked_setting};
use crate::plain::{Arrival, PlainEvaluator};

/// Most events of a case.
const EVENTS: usize = 40;

fn course(numbers: &LinkedNumbers, within_lateness: bool) -> (PlainEvaluator, Vec<Arrival>) {
    let setting = linked_setting(numbers);
    let arrivals = file(linked_comings(numbers, &setting, within_lateness), &setting);
    (plain(&setting), arrivals)
}

fn file(comings: Vec<Coming>, setting: &crate::plain::generate::Setting) -> Vec<Arrival> {
    let events = arranged(comings, setting.options.lateness);
    events.into_iter().map(Arrival::Event).chain([Arrival::Finish]).collect()
}

fn links(plain: &PlainEvaluator) -> String {
    format!("edges {} pairs {}\n", plain.options.link_edges, plain.options.link_pairs)
}

proptest! {
    #![proptest_config(cases(600))]

    /// Late, doubled, conflicting and future events included.
    #[test]
    fn fast_equals_plain(numbers in linked_numbers(EVENTS)) {
        let (plain, arrivals) = course(&numbers, false);
        let actual = fast(&plain, &arrivals, |_, evaluator, _| evaluator);
        if let Some(difference) = difference(&plain.run(&arrivals), &actual) {
            return Err(TestCaseError::fail(format!("{difference}{}{}", links(&plain), told(&plain, &arrivals))));
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// A file that ends and goes on, and time that is declared from outside.
    #[test]
    fn fast_equals_plain_across_ends(numbers in linked_numbers(EVENTS), ends in prop::collection::vec((0usize..EVENTS, 0u16..100), 0..4)) {
        let (plain, mut arrivals) = course(&numbers, false);
        let scale = linked_setting(&numbers).scale;
        for (at, what) in ends {
            let at = at.min(arrivals.len());
            let to = Timestamp(scale.start + scale.span / 90 * i64::from(what));
            arrivals.insert(at, if what % 2 == 0 { Arrival::Finish } else { Arrival::Advance(to) });
        }
        let actual = fast(&plain, &arrivals, |_, evaluator, _| evaluator);
        if let Some(difference) = difference(&plain.run(&arrivals), &actual) {
            return Err(TestCaseError::fail(format!("{difference}{}{}", links(&plain), told(&plain, &arrivals))));
        }
    }

    /// Within the lateness, the order of arrival does not show.
    #[test]
    fn order_does_not_show(numbers in linked_numbers(EVENTS), delays in prop::collection::vec(0u16..2_000, 1..EVENTS * 2)) {
        let setting = linked_setting(&numbers);
        let (plain, arrivals) = course(&numbers, true);
        let mut others = linked_comings(&numbers, &setting, true);
        for (coming, delay) in others.iter_mut().zip(delays.iter().cycle()) {
            coming.delay = i64::from(*delay) % 1_001;
        }
        let others = file(others, &setting);
        let (one, other) = (fast(&plain, &arrivals, |_, e, _| e), fast(&plain, &others, |_, e, _| e));
        if let Some(difference) = violations_differ(&one.violations, &other.violations) {
            return Err(TestCaseError::fail(format!("{difference}{}", told(&plain, &arrivals))));
        }
    }

    /// Copies within the lateness change nothing.
    #[test]
    fn copies_change_nothing(numbers in linked_numbers(EVENTS), copies in prop::collection::vec((0usize..EVENTS, 0u16..1_001), 0..EVENTS)) {
        let setting = linked_setting(&numbers);
        let once = linked_comings(&numbers, &setting, true);
        let mut more = once.clone();
        for (of, delay) in copies {
            if let Some(coming) = once.get(of) {
                more.push(Coming { event: coming.event.clone(), delay: i64::from(delay) });
            }
        }
        let plain = plain(&setting);
        let (once, more) = (file(once, &setting), file(more, &setting));
        let (few, many) = (fast(&plain, &once, |_, e, _| e), fast(&plain, &more, |_, e, _| e));
        if let Some(difference) = violations_differ(&few.violations, &many.violations) {
            return Err(TestCaseError::fail(format!("{difference}{}", told(&plain, &more))));
        }
    }

    /// An evaluator that was written down and read again goes on as if nothing had been, and when violations are taken does
    /// not show.
    #[test]
    fn restarts_and_takes_do_not_show(numbers in linked_numbers(EVENTS), stops in prop::collection::vec(0u8..7, EVENTS * 2)) {
        let (plain, arrivals) = course(&numbers, false);
        let rules = rule_set(&plain);
        let expected = fast(&plain, &arrivals, |_, e, _| e);
        let actual = fast(&plain, &arrivals, |moment, mut evaluator, found| {
            let stop = stops[moment % stops.len()];
            if stop >= 5 {
                found.take(&mut evaluator);
            }
            if stop == 4 || stop == 5 {
                let snapshot = evaluator.snapshot().unwrap();
                evaluator = Evaluator::restore(rules.clone(), plain.options.clone(), &snapshot).unwrap();
            }
            evaluator
        });
        if let Some(difference) = difference(&expected, &actual) {
            return Err(TestCaseError::fail(format!("{difference}{}{}", links(&plain), told(&plain, &arrivals))));
        }
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
    for _ in 0..3_000 {
        let numbers = linked_numbers(EVENTS).new_tree(&mut runner).unwrap().current();
        let (plain, arrivals) = course(&numbers, false);
        let violations = plain.run(&arrivals).violations;
        let mut note = |what, n: usize| *seen.entry(what).or_default() += u32::from(n > 0);
        let count = |holds: &dyn Fn(&Violation) -> bool| violations.iter().filter(|v| holds(v)).count();
        for status in Status::ALL {
            note(status.word(), count(&|v| v.status == status));
        }
        let link = |v: &Violation| v.link.clone().unwrap();
        note("merged exempted", count(&|v| v.status == Status::Exempted && link(v).merged_into.is_some()));
        note("cut", count(&|v| link(v).cut_since.is_some()));
        note("three accounts", count(&|v| v.accounts.len() > 2));
        note("several true steps", count(&|v| v.updated_at > v.opened_at));
        note("several families", count(&|v| link(v).edges.iter().any(|e| e.family != link(v).edges[0].family)));
        note("several groups", count(&|v| v.group != violations[0].group));
        let of = |v: &Violation, name: &str| v.values.iter().find(|o| o.name == name).and_then(|o| o.last.clone());
        let rests = |v: &Violation| matches!(of(v, "usual_values"), Some(Scalar::Num(n)) if n > 1);
        note("looked back", count(&|v| rests(v)));
        note("usual", count(&|v| rests(v) && of(v, "usual").is_some()));
        note("usual of several", count(&|v| rests(v) && v.accounts.len() > 2));
        note("exceptions", count(&|v| v.exceptions.iter().any(|e| e.took_out > 0)));
    }
    let wanted = |what: &str| match what {
        "merged exempted" => 1,
        "usual" => 10,
        _ => 20,
    };
    let rare: Vec<_> = seen.iter().filter(|(what, n)| **n < wanted(what)).collect();
    assert!(rare.is_empty(), "in too few of 3,000 cases: {rare:?} of {seen:?}");
}
