//! The evaluator as keyed steps, driven by a host that keeps only bytes: the log of one evaluator, byte for byte.

mod bytes;
mod host;
mod shipped;

use fineprint::eval::keyed::{Keyed, Shards, Whole};
use fineprint::eval::{Evaluator, Origin};
use fineprint::time::Timestamp;
use proptest::prelude::*;

use self::host::{Habits, Host};
use super::{cases, difference, fast, merging, plain, rule_set, told};
use crate::plain::generate::{Coming, Numbers, Setting, arranged, comings, numbers, setting};
use crate::plain::linked::{LinkedNumbers, linked_comings, linked_numbers, linked_setting};
use crate::plain::{Arrival, PlainEvaluator, PlainResult};

/// Most events of a case.
const EVENTS: usize = 40;

/// Events as they come, and at the end a watermark behind everything that can follow from them.
fn stream(comings: Vec<Coming>, setting: &Setting) -> Vec<Arrival> {
    let end = Timestamp(setting.scale.start + 5 * setting.scale.span);
    let events = arranged(comings, setting.options.lateness);
    events.into_iter().map(Arrival::Event).chain([Arrival::Advance(end)]).collect()
}

fn course(numbers: &Numbers, within_lateness: bool) -> (PlainEvaluator, Vec<Arrival>) {
    let setting = setting(&numbers.setting);
    let arrivals = stream(comings(numbers, setting.scale, within_lateness), &setting);
    (plain(&setting), arrivals)
}

fn linked_course(numbers: &LinkedNumbers) -> (PlainEvaluator, Vec<Arrival>) {
    let setting = linked_setting(numbers);
    let arrivals = stream(linked_comings(numbers, &setting, false), &setting);
    (plain(&setting), arrivals)
}

fn hosted(plain: &PlainEvaluator, arrivals: &[Arrival], habits: Habits) -> PlainResult {
    Host::new(rule_set(plain), plain.options.clone(), habits).run(arrivals)
}

fn sharded(plain: &PlainEvaluator, arrivals: &[Arrival], n: usize, takes: &[bool]) -> PlainResult {
    let keyed = Keyed::new(rule_set(plain), plain.options.clone());
    let keyed = std::sync::Arc::new(keyed);
    let mut shards = Shards::new(std::sync::Arc::clone(&keyed), n);
    let (mut outcomes, mut log, mut refused) = (Vec::new(), std::collections::BTreeMap::new(), Vec::new());
    for (moment, arrival) in arrivals.iter().enumerate() {
        match arrival {
            Arrival::Event(event) => {
                let line = outcomes.len() as u64 + 1;
                outcomes.push(shards.observe(event, Origin { input: 0, line }));
            }
            Arrival::Advance(to) => shards.advance(*to),
            Arrival::Finish => panic!("shards have no end"),
        }
        assert!(shards.books().balance());
        if takes[(moment * 7 + 3) % takes.len()] {
            shards = Shards::restore(std::sync::Arc::clone(&keyed), &shards.snapshot().unwrap()).unwrap();
        }
        if moment + 1 == arrivals.len() || takes[moment % takes.len()] {
            log.extend(shards.take_violations().into_iter().map(|v| (v.id.clone(), v)));
            refused.extend(shards.take_refused());
        }
    }
    let mut violations: Vec<_> = log.into_values().collect();
    violations.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    let mut displaced: Vec<usize> = refused.iter().map(|r| r.origin.line as usize - 1).collect();
    displaced.sort_unstable();
    PlainResult { violations, books: shards.books().clone(), outcomes, displaced, watermark: shards.watermark() }
}

fn one(plain: &PlainEvaluator, arrivals: &[Arrival]) -> PlainResult {
    fast(plain, arrivals, |_, evaluator, _| evaluator)
}

fn agree(plain: &PlainEvaluator, arrivals: &[Arrival], actual: PlainResult) -> Result<(), TestCaseError> {
    match difference(&one(plain, arrivals), &actual) {
        None => Ok(()),
        Some(difference) => Err(TestCaseError::fail(format!("{difference}{}", told(plain, arrivals)))),
    }
}

fn habits() -> impl Strategy<Value = Habits> {
    let bits = prop::sample::select(vec![64, 0, 1, 4]);
    let restarts = prop_oneof![Just(Vec::new()), prop::collection::vec(any::<bool>(), EVENTS)];
    (bits, 1usize..4, restarts, 1usize..3, any::<bool>()).prop_map(|(bits, split, restarts, deliveries, wastes)| {
        Habits { bits, split, restarts, deliveries, trusts: false, wastes }
    })
}

proptest! {
    #![proptest_config(cases(300))]

    /// Late, doubled, conflicting and future events included: the same records, books and answers.
    #[test]
    fn bytes_per_key_give_the_log_of_one_evaluator(numbers in numbers(EVENTS)) {
        let (plain, arrivals) = course(&numbers, false);
        agree(&plain, &arrivals, hosted(&plain, &arrivals, Habits::default()))?;
    }

    /// Coarse partitions, split keys, restarts and deliveries doubled between arrival and watermark.
    #[test]
    fn habits_of_the_host_do_not_show(numbers in numbers(EVENTS), habits in habits()) {
        let (plain, arrivals) = course(&numbers, false);
        agree(&plain, &arrivals, hosted(&plain, &arrivals, habits))?;
    }

    #[test]
    fn links_step_as_one(numbers in linked_numbers(EVENTS), habits in habits()) {
        let (plain, arrivals) = linked_course(&numbers);
        agree(&plain, &arrivals, hosted(&plain, &arrivals, habits))?;
    }

    #[test]
    fn campaigns_step_as_one(case in merging::any_case(), habits in habits()) {
        let (plain, arrivals) = (case.plain(), case.arrivals(|d| d));
        agree(&plain, &arrivals, hosted(&plain, &arrivals, habits))?;
    }

    /// Within the lateness the order of arrival shows at no partition.
    #[test]
    fn order_does_not_show(numbers in numbers(EVENTS), delays in prop::collection::vec(0i64..1_001, 1..EVENTS)) {
        let (plain, arrivals) = course(&numbers, true);
        let setting = setting(&numbers.setting);
        let mut others = comings(&numbers, setting.scale, true);
        others.iter_mut().zip(delays.iter().cycle()).for_each(|(coming, delay)| coming.delay = *delay);
        let others = stream(others, &setting);
        let (one, other) = (one(&plain, &arrivals), hosted(&plain, &others, Habits::default()));
        if let Some(difference) = super::violations_differ(&one.violations, &other.violations) {
            return Err(TestCaseError::fail(format!("{difference}{}", told(&plain, &others))));
        }
    }

    /// A source that gives every id once needs no partitions of ids.
    #[test]
    fn a_source_that_is_trusted_needs_no_ids(numbers in numbers(EVENTS)) {
        let (plain, arrivals) = course(&numbers, true);
        let (mut seen, mut arrivals) = (std::collections::BTreeSet::new(), arrivals);
        arrivals.retain(|arrival| match arrival {
            Arrival::Event(event) => seen.insert(event.id().to_string()),
            _ => true,
        });
        let habits = Habits { trusts: true, ..Habits::default() };
        agree(&plain, &arrivals, hosted(&plain, &arrivals, habits))?;
    }

    /// At every watermark, not only at the end, and with what each rule could not decide.
    #[test]
    fn each_moment_is_told_alike(numbers in numbers(EVENTS)) {
        let (plain, arrivals) = course(&numbers, false);
        let rules = rule_set(&plain);
        let mut evaluator = Evaluator::new(rules.clone(), plain.options.clone());
        let mut host = Host::new(rules, plain.options.clone(), Habits::default());
        for (line, arrival) in (1..).zip(&arrivals) {
            match arrival {
                Arrival::Event(event) => {
                    let origin = Origin { input: 0, line };
                    prop_assert_eq!(evaluator.observe(event, origin), host.observe(event, origin));
                }
                Arrival::Advance(to) => {
                    evaluator.advance(*to);
                    host.advance(*to);
                }
                Arrival::Finish => {}
            }
            prop_assert_eq!(host::undecided(&evaluator), host.undecided.clone());
            let (expected, actual) = (evaluator.take_violations(), host.take());
            let difference = super::violations_differ(&expected, &actual);
            prop_assert!(difference.is_none(), "{}{}", difference.unwrap(), told(&plain, &arrivals));
        }
    }

    /// One, two and seven evaluators, whose symbols have other numbers, whenever findings are taken and the state is written
    /// down and read again.
    #[test]
    fn shards_do_not_show(numbers in numbers(EVENTS), takes in prop::collection::vec(any::<bool>(), EVENTS)) {
        let (plain, arrivals) = course(&numbers, false);
        for n in [1, 2, 7] {
            agree(&plain, &arrivals, sharded(&plain, &arrivals, n, &takes))?;
        }
    }

    #[test]
    fn shards_do_not_show_in_links(numbers in linked_numbers(EVENTS), takes in prop::collection::vec(any::<bool>(), EVENTS)) {
        let (plain, arrivals) = linked_course(&numbers);
        for n in [1, 2, 7] {
            agree(&plain, &arrivals, sharded(&plain, &arrivals, n, &takes))?;
        }
    }
}

/// Random cases are worth nothing where all rules are of one kind.
#[test]
fn random_cases_reach_every_kind_of_partition() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..300 {
        let numbers = numbers(EVENTS).new_tree(&mut runner).unwrap().current();
        let (plain, arrivals) = course(&numbers, false);
        let result = hosted(&plain, &arrivals, Habits::default());
        let keyed = Keyed::new(rule_set(&plain), plain.options.clone());
        for v in &result.violations {
            let unit = keyed.units().into_iter().find(|unit| unit.rules.contains(&v.rule));
            let kind = unit.map_or("events".to_string(), |unit| format!("{:?}", unit.whole));
            *seen.entry(kind).or_default() += 1;
        }
    }
    for kind in [
        "events".to_string(),
        format!("{:?}", None::<Whole>),
        "Some(Memory)".to_string(),
        "Some(Series)".to_string(),
        "Some(Cohort)".to_string(),
    ] {
        assert!(seen.get(&kind).is_some_and(|n| *n >= 20), "{kind} in {seen:?}");
    }
}
