//! Groups by the fingerprints of a template: random cases in which they meet, part and merge, and fixed ones.

use std::collections::BTreeMap;

use fineprint::eval::{EvalOptions, Evaluator};
use fineprint::event::{FieldId, Slot};
use fineprint::hir::{Compare, Const, Expr, ExprKind, Function, ListId, Piece, Rule, Shape, Windowed};
use fineprint::template::Strictness;
use fineprint::time::{Duration, SECOND_NS, Timestamp};
use fineprint::value::Type;
use fineprint::violation::{Scalar, Status, Violation};
use proptest::prelude::*;

use super::{cases, difference, fast, rule_set, told, violations_differ};
use crate::plain::build::*;
use crate::plain::generate::{Choices, Coming, arranged};
use crate::plain::rows::{ListRow, Rows};
use crate::plain::window::Event;
use crate::plain::{Arrival, PlainEvaluator};

/// Most events of a case.
const EVENTS: usize = 60;
/// Fingerprints of templates: the first two share one, of the third only one fires, the last two are of a payload.
const TEMPLATES: [&[u64]; 5] = [&[1, 2, 3], &[3, 4], &[5], &[7, 8, 9, 10], &[20, 21]];

fn template(strictness: Strictness) -> Expr {
    expr(Type::List(Box::new(Type::Fingerprint)), ExprKind::Template(FieldId::PROMPT, strictness))
}

fn rule_of(c: &mut Choices<'_>) -> Rule {
    let mut per = vec![template(Strictness::Strict)];
    if c.once_in(4) {
        per.insert(c.below(2), field(FieldId::ORG));
    }
    let part = per.iter().find(|part| matches!(part.ty, Type::List(_))).unwrap().clone();
    let only = match c.below(5) {
        4 => vec![not(expr(Type::Bool, ExprKind::InList(Box::new(part), ListId(0))))],
        _ => Vec::new(),
    };
    let filter = c.once_in(4).then(|| is(FieldId::STATUS, Compare::Equal, 200));
    let aggregates = vec![
        aggregate(Function::Count, filter),
        aggregate(distinct(vec![field(FieldId::ACCOUNT)]), None),
        aggregate(Function::Max(field(FieldId::OUTPUT_TOKENS)), None),
    ];
    let at_least = |i: usize, n: i64| compare(Compare::GreaterEqual, result(&aggregates, i), num(Type::Integer, n));
    let when = match c.below(4) {
        0 => at_least(0, c.pick(&[2, 3, 4])),
        1 => at_least(1, c.pick(&[2, 3])),
        2 => and(vec![at_least(0, 2), at_least(1, 2)]),
        _ => or(vec![at_least(0, 5), at_least(1, 1)]),
    };
    let (length, step) = c.pick(&[(60, 10), (30, 10), (60, 5), (20, 1), (40, 40)]);
    let gap = c.once_in(6).then(|| Duration::from_secs(2 * step));
    let lets = vec![("uses".to_string(), result(&aggregates, 0)), ("most".to_string(), result(&aggregates, 2))];
    let shape = Windowed {
        per,
        link: None,
        only,
        length: Duration::from_secs(length),
        step: Duration::from_secs(step),
        gap,
        aggregates,
        when,
    };
    let key = shape.many().unwrap();
    let because = vec![
        Piece::Value("key".into(), expr(Type::Fingerprint, ExprKind::Key(key as u16))),
        Piece::Text(" was used so often: ".into()),
        Piece::Value("uses".into(), lets[0].1.clone()),
    ];
    let exceptions = match c.below(3) {
        2 => vec![except(equals(FieldId::ACCOUNT, "a1")), except(is(FieldId::STATUS, Compare::Equal, 429))],
        _ => Vec::new(),
    };
    let cooldown = c.once_in(3).then(|| Duration(c.pick(&[15, 40, 90]) * SECOND_NS));
    Rule { shape: Shape::Windowed(shape), lets, because, exceptions, cooldown, ..rule("r", None) }
}

fn event_of(c: &mut Choices<'_>, number: usize) -> Event {
    let second = c.pick(&[40, 200]);
    let mut fields = vec![(FieldId::ACCOUNT, word(&format!("a{}", c.below(6))))];
    if c.once_in(8) {
        fields.clear();
    }
    fields.push((FieldId::ORG, word(c.pick(&["o1", "o2"]))));
    fields.push((FieldId::STATUS, Slot::Num(c.pick(&[200, 200, 429]))));
    fields.push((FieldId::OUTPUT_TOKENS, Slot::Num(c.below(9) as i64)));
    let mut shown: Vec<String> = Vec::new();
    for _ in 0..c.pick(&[1, 1, 1, 2, 0]) {
        for f in c.pick(&TEMPLATES) {
            if !c.once_in(4) {
                shown.push(format!("{f:016x}"));
            }
        }
    }
    if !c.once_in(12) {
        fields.push((FieldId::PROMPT_FPS, Slot::Texts(shown)));
    }
    let second = c.below(second) as i64;
    completion(&format!("{:03}", number * 37 % 100), second, fields)
}

#[derive(Debug, Clone)]
pub struct Case {
    rule: Vec<u16>,
    events: Vec<(Vec<u16>, u16)>,
}

pub fn any_case() -> impl Strategy<Value = Case> {
    let event = (prop::collection::vec(0u16..1_000, 0..30), 0u16..1_001);
    let events = prop::collection::vec(event, 0..EVENTS);
    (prop::collection::vec(0u16..1_000, 0..30), events).prop_map(|(rule, events)| Case { rule, events })
}

impl Case {
    pub fn plain(&self) -> PlainEvaluator {
        let mut program = program(vec![rule_of(&mut Choices::new(&self.rule))], at(0), at(100));
        program.lists = vec![list("public", Type::Fingerprint)];
        let public = |f: &str| ListRow { value: Const::Text(f.into()), from: None, until: Some(at(100)) };
        let rows =
            Rows { lists: vec![vec![public("0000000000000002"), public("0000000000000007")]], tables: vec![vec![]] };
        let options = EvalOptions { lateness: Duration::from_secs(20), ..EvalOptions::default() };
        PlainEvaluator::new(program, rows, options)
    }

    pub fn arrivals(&self, delays: impl Fn(u16) -> u16) -> Vec<Arrival> {
        let comings = self.events.iter().enumerate().map(|(i, (numbers, delay))| Coming {
            event: event_of(&mut Choices::new(numbers), i),
            delay: delays(*delay).into(),
        });
        let events = arranged(comings.collect(), Duration::from_secs(20));
        // An event far behind judges what came before it.
        let last = completion("last", 400, vec![]);
        events.into_iter().chain([last]).map(Arrival::Event).collect()
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn fast_equals_plain(case in any_case()) {
        let (plain, arrivals) = (case.plain(), case.arrivals(|d| d));
        let actual = fast(&plain, &arrivals, |_, evaluator, _| evaluator);
        if let Some(difference) = difference(&plain.run(&arrivals), &actual) {
            return Err(TestCaseError::fail(format!("{difference}{}", told(&plain, &arrivals))));
        }
    }

    /// Neither the order of arrival nor restarts nor when violations are taken shows.
    #[test]
    fn order_and_restarts_do_not_show(case in any_case(), turn in 1u16..1_000, stops in prop::collection::vec(0u8..6, EVENTS + 1)) {
        let (plain, arrivals) = (case.plain(), case.arrivals(|d| d));
        let others = case.arrivals(|d| (d + turn) % 1_001);
        let rules = rule_set(&plain);
        let one = fast(&plain, &arrivals, |_, e, _| e);
        let other = fast(&plain, &others, |moment, mut evaluator, found| {
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
        if let Some(difference) = violations_differ(&one.violations, &other.violations) {
            return Err(TestCaseError::fail(format!("{difference}{}--- or\n{}", told(&plain, &arrivals), told(&plain, &others))));
        }
    }
}

/// Random cases are worth nothing where nothing happens in them.
#[test]
fn random_cases_merge() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let mut seen = BTreeMap::<&str, u32>::new();
    for _ in 0..300 {
        let case = any_case().new_tree(&mut runner).unwrap().current();
        let found = case.plain().run(&case.arrivals(|d| d)).violations;
        let groups = |v: &Violation| v.values.iter().find(|o| o.name == "fingerprints").unwrap().clone();
        let many = |v: &&Violation| groups(v).crossing > Some(Scalar::Num(1));
        let mut note = |what, n: usize| *seen.entry(what).or_default() += u32::from(n > 0);
        note("any", found.len());
        note("several violations", found.len() / 2);
        note("several groups", found.iter().filter(many).count());
        note("groups join", found.iter().filter(|v| groups(v).peak > groups(v).crossing).count());
        note("groups leave", found.iter().filter(|v| groups(v).last < groups(v).peak).count());
        note("violations merge", found.iter().filter(|v| v.status == Status::Merged).count());
        note("exempted", found.iter().filter(|v| v.status == Status::Exempted).filter(many).count());
        note("closed", found.iter().filter(|v| v.status == Status::Closed).count());
    }
    assert!(seen.values().all(|n| *n >= 20), "in too few of 300 cases: {seen:?}");
}

fn one_rule(aggregates: Vec<fineprint::hir::Aggregate>, when: Expr) -> PlainEvaluator {
    let shape = Windowed {
        per: vec![template(Strictness::Strict)],
        link: None,
        only: Vec::new(),
        length: Duration::from_secs(60),
        step: Duration::from_secs(10),
        gap: None,
        aggregates,
        when,
    };
    let made = Rule { shape: Shape::Windowed(shape), ..rule("r", None) };
    PlainEvaluator::new(
        program(vec![made], at(0), at(0)),
        Rows { lists: vec![], tables: vec![vec![]] },
        EvalOptions::default(),
    )
}

fn shows(id: &str, second: i64, account: &str, fingerprints: &[u64]) -> Event {
    let shown = fingerprints.iter().map(|f| format!("{f:016x}")).collect();
    completion(id, second, vec![(FieldId::ACCOUNT, word(account)), (FieldId::PROMPT_FPS, Slot::Texts(shown))])
}

fn found_by(plain: &PlainEvaluator, events: Vec<Event>) -> Vec<Violation> {
    let arrivals: Vec<Arrival> =
        events.into_iter().map(Arrival::Event).chain([Arrival::Advance(Timestamp(500 * SECOND_NS))]).collect();
    let (expected, actual) = (plain.run(&arrivals), fast(plain, &arrivals, |_, e, _| e));
    assert_eq!(difference(&expected, &actual), None);
    actual.violations
}

fn counts(n: i64) -> PlainEvaluator {
    let aggregates = vec![aggregate(Function::Count, None)];
    let when = compare(Compare::GreaterEqual, result(&aggregates, 0), num(Type::Integer, n));
    one_rule(aggregates, when)
}

/// Two templates that have nothing in common are two violations; once an event in two holds both, they are one: the earlier
/// goes on, the other says where it went.
#[test]
fn violations_that_meet_are_merged() {
    let mut events: Vec<Event> = (0..4).map(|i| shows(&format!("a{i}"), i, "ann", &[1, 2])).collect();
    events.extend((0..4).map(|i| shows(&format!("b{i}"), 12 + i, "bob", &[8, 9])));
    let apart = found_by(&counts(4), events.clone());
    assert_eq!(apart.iter().map(|v| v.status).collect::<Vec<_>>(), [Status::Closed, Status::Closed]);
    events.extend((0..8).map(|i| shows(&format!("c{i}"), 30 + i, "cid", &[1, 9])));
    let met = found_by(&counts(4), events);
    let [first, second] = &met[..] else { panic!("{met:?}") };
    assert_eq!((first.status, second.status), (Status::Closed, Status::Merged));
    assert_eq!((&second.merged_into, second.closed_at), (&Some(first.id.clone()), Some(at(40))));
    assert_eq!(first.accounts, ["ann", "bob", "cid"]);
    assert_eq!((second.accounts.clone(), second.evidence.count), (vec!["bob".to_string()], 4));
    assert_eq!(first.evidence.count, 16);
    assert_eq!(first.group, [("template".to_string(), "0000000000000001".to_string())]);
}

/// Accounts tie templates that no event holds together: two of them at least, and most of either.
#[test]
fn templates_of_the_same_accounts_are_one_campaign() {
    let by = |accounts: &[&str]| -> Vec<Event> {
        let each = accounts.iter().enumerate();
        each.flat_map(|(i, a)| [shows(&format!("a{i}"), i as i64, a, &[1]), shows(&format!("b{i}"), i as i64, a, &[9])])
            .collect()
    };
    assert_eq!(found_by(&counts(4), by(&["ann", "bob", "cid", "dan"])).len(), 1);
    assert_eq!(found_by(&counts(4), by(&["ann", "ann", "ann", "ann"])).len(), 2, "one account alone ties nothing");
}
