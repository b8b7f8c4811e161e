//! What findings tell beside what was found: memory that was cut, and actions that are proposed or withheld.

use fineprint::eval::{EvalOptions, Evaluator, Origin, Secret};
use fineprint::event::{FieldId, Slot};
use fineprint::hir::{Action, Ask, Compare, Expr, ExprKind, Memory, Rule, Verb};
use fineprint::time::{DAY_NS, Duration};
use fineprint::value::Type;
use fineprint::violation::{Violation, Withheld};

use crate::eval::rule_set;
use crate::plain::PlainEvaluator;
use crate::plain::build::*;
use crate::plain::rows::Rows;

type Event = fineprint::event::UsageEvent<'static>;

const DAY: i64 = 86_400;

fn asked(of: FieldId, ask: Ask, within: i64) -> Expr {
    let memory = Memory { ask, of: field(of), within: Duration::from_secs(within) };
    expr(Type::Bool, ExprKind::Memory(Box::new(memory)))
}

/// What is found over the events of a file. After each of the events in `take_after` findings are taken, and the evaluator is
/// written down and read again.
fn found(rules: Vec<Rule>, options: EvalOptions, events: &[Event], take_after: &[usize]) -> Vec<Violation> {
    let mut program = program(rules, at(0), at(500));
    program.tables = vec![table("account", field(FieldId::ACCOUNT), &[])];
    let rows = Rows { tables: vec![Vec::new()], ..Rows::default() };
    let plain = PlainEvaluator::new(program, rows, options.clone());
    let rules = rule_set(&plain);
    let mut evaluator = Evaluator::new(rules.clone(), options.clone());
    let mut found = super::Found::default();
    for (n, event) in events.iter().enumerate() {
        evaluator.observe(event, Origin { input: 0, line: n as u64 + 1 });
        if take_after.contains(&n) {
            found.take(&mut evaluator);
            let snapshot = evaluator.snapshot().unwrap();
            evaluator = Evaluator::restore(rules.clone(), options.clone(), &snapshot).unwrap();
        }
    }
    evaluator.finish();
    found.take(&mut evaluator);
    let mut all: Vec<Violation> = found.violations.into_values().collect();
    all.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    all
}

fn ids(found: &[Violation]) -> Vec<String> {
    found.iter().map(|v| v.evidence.events[0].id.clone()).collect()
}

/// A completion by `account` at a second.
fn by(id: &str, seconds: i64, account: &str) -> Event {
    completion(id, seconds, vec![(FieldId::ACCOUNT, word(account))])
}

mod memory {
    use super::*;

    fn small(n: usize) -> EvalOptions {
        EvalOptions { memory_sightings: n, lateness: Duration(0), ..EvalOptions::default() }
    }

    #[test]
    fn what_was_longest_not_seen_is_forgotten_and_told() {
        let rule = rule("again", Some(asked(FieldId::ACCOUNT, Ask::SeenBefore, DAY)));
        let events: Vec<Event> = [("1", "a"), ("2", "b"), ("3", "a"), ("4", "c"), ("5", "a"), ("6", "b"), ("7", "a")]
            .iter()
            .zip(0..)
            .map(|((id, account), n)| by(id, n * 10, account))
            .collect();
        // `c` at 30 displaces `b`, which was not seen since 10; `b` at 50 then displaces `c`.
        let found = found(vec![rule], small(2), &events, &[]);
        assert_eq!(ids(&found), ["3", "5", "7"]);
        let cut: Vec<_> = found.iter().map(|v| v.evidence.memory_cut_since).collect();
        assert_eq!(cut, [None, Some(at(30)), Some(at(30))]);
    }

    #[test]
    fn a_cut_memory_does_not_call_the_known_new() {
        let rule = || rule("fresh", Some(asked(FieldId::ACCOUNT, Ask::FirstSeen, 60)));
        let events: Vec<Event> =
            (0..40).map(|n| by(&format!("{n:02}"), n * 10, ["a", "b", "c", "d"][n as usize % 4])).collect();
        let enough = found(vec![rule()], small(4), &events, &[]);
        assert_eq!(ids(&enough), ["06", "07"], "the third and the fourth were first seen less than a minute before");
        // With room for three, each is forgotten before it comes again.
        let cut = found(vec![rule()], small(3), &events, &[]);
        assert_eq!(ids(&cut), Vec::<String>::new());
        let mut later = events.clone();
        later.push(by("new", 1_000, "e"));
        assert_eq!(ids(&found(vec![rule()], small(3), &later, &[])), ["new"], "the cut lies before the minute");
    }

    #[test]
    fn after_a_long_silence_a_value_is_new() {
        let rule = rule("fresh", Some(asked(FieldId::ACCOUNT, Ask::FirstSeen, DAY)));
        let events = [
            by("1", 0, "a"),
            by("2", 50 * DAY, "b"),
            by("3", 89 * DAY, "a"),
            by("4", 140 * DAY, "b"),
            by("5", 231 * DAY, "b"),
        ];
        // `b` is new on day 50, known after 90 days of silence, and new after 91.
        assert_eq!(ids(&found(vec![rule], small(10), &events, &[])), ["2", "5"]);
    }
}

mod actions {
    use super::*;

    fn acting(rule: Rule) -> Rule {
        let alert =
            Action { after_review: false, delayed: None, verb: Verb::Alert("x".into()), scope: "", duration: None };
        let flag = Action { delayed: Some(Duration::from_secs(60)), verb: Verb::Flag, ..alert.clone() };
        Rule { actions: vec![alert, flag], ..rule }
    }

    fn refused() -> Rule {
        acting(rule("refused", Some(is(FieldId::STATUS, Compare::Equal, 403))))
    }

    fn options() -> EvalOptions {
        EvalOptions { delay_secret: Secret::new(b"sixteen bytes it"), ..EvalOptions::default() }
    }

    fn refusal(id: &str, seconds: i64, account: &str) -> Event {
        completion(id, seconds, vec![(FieldId::ACCOUNT, word(account)), (FieldId::STATUS, Slot::Num(403))])
    }

    fn withheld(found: &[Violation]) -> Vec<Option<Withheld>> {
        found.iter().map(|v| v.actions[0].withheld).collect()
    }

    #[test]
    fn a_budget_goes_to_the_first_of_the_day_however_findings_are_asked_for() {
        let rule = || Rule { budget: Some(2), ..refused() };
        let events: Vec<Event> =
            [100, 200, 300, 400, DAY, DAY + 1, DAY + 2].map(|s| refusal(&s.to_string(), s, "a")).to_vec();
        let mut shuffled = events.clone();
        shuffled.swap(0, 2);
        let spent = Some(Withheld::Budget);
        for (events, takes) in
            [(&events, vec![]), (&events, (0..7).collect()), (&shuffled, vec![1, 3]), (&shuffled, vec![2, 5])]
        {
            let found = found(vec![rule()], options(), events, &takes);
            assert_eq!(withheld(&found), [None, None, spent, spent, None, None, spent], "taken after {takes:?}");
        }
    }

    #[test]
    fn an_open_finding_keeps_what_it_had() {
        let shape =
            threshold(vec![field(FieldId::ACCOUNT)], 60, 60, aggregate(fineprint::hir::Function::Count, None), 1);
        let rule = || acting(Rule { budget: Some(1), shape: shape.clone(), ..rule("many", None) });
        // Both open at the same step and stay open; one of them acts, the one with the lesser id.
        let events: Vec<Event> =
            (0..20).flat_map(|n| ["a", "b"].map(|account| by(&format!("{n}{account}"), n * 30, account))).collect();
        let expected = found(vec![rule()], options(), &events, &[]);
        assert_eq!(withheld(&expected), [None, Some(Withheld::Budget)]);
        for takes in [vec![30], vec![14, 20, 35], (0..40).collect()] {
            assert_eq!(found(vec![rule()], options(), &events, &takes), expected, "taken after {takes:?}");
        }
    }

    #[test]
    fn a_late_event_takes_nothing_from_the_budget() {
        let late = refusal("late", 10, "a");
        let events = [refusal("1", 10_000, "a"), late, refusal("2", 10_001, "a")];
        let one = found(vec![Rule { budget: Some(2), ..refused() }], options(), &events, &[]);
        assert_eq!(withheld(&one), [Some(Withheld::Late), None, None]);
        let free = found(vec![refused()], options(), &events, &[]);
        assert_eq!(withheld(&free), [None, None, None]);
    }

    #[test]
    fn a_rollout_only_grows() {
        let events: Vec<Event> = (0..400).map(|n| refusal(&n.to_string(), n, &format!("acct_{n}"))).collect();
        let acting = |share| {
            let found = found(vec![Rule { rollout: Some(share), ..refused() }], options(), &events, &[]);
            assert_eq!(found.len(), 400, "findings are recorded all the same");
            let acts = found.into_iter().filter(|v| v.actions[0].withheld.is_none()).map(|v| v.group[0].1.clone());
            acts.collect::<std::collections::BTreeSet<_>>()
        };
        let (none, tenth, half, all) = (acting(0), acting(100_000), acting(500_000), acting(1_000_000));
        assert_eq!((none.len(), all.len()), (0, 400));
        assert!(tenth.is_subset(&half) && (20..60).contains(&tenth.len()), "{}", tenth.len());
        assert!((150..250).contains(&half.len()), "{}", half.len());
    }

    #[test]
    fn delays_are_drawn_from_the_secret() {
        let secret = Secret::new(b"sixteen bytes it").unwrap();
        let id = "d7901d752d0b923ff10f7505293ad4c2";
        // Computed with another implementation of HMAC-SHA256.
        assert_eq!(secret.delay(id, Duration::from_secs(6 * 3600)), Duration::from_secs(4_344));
        assert_eq!(secret.delay(id, Duration::from_secs(60)), Duration::from_secs(24));
        assert!(Secret::new(b"too short").is_none());
        assert!(!format!("{secret:?}").contains("sixteen"));

        let events = [refusal("1", 0, "a")];
        let with = found(vec![refused()], options(), &events, &[]);
        assert_eq!(with[0].actions[1].delay, Some(secret.delay(&with[0].id, Duration::from_secs(60))));
        assert_eq!((with[0].actions[0].delay, with[0].actions[0].withheld), (None, None));
        let without = found(vec![refused()], EvalOptions::default(), &events, &[]);
        assert_eq!(without[0].actions[1].withheld, Some(Withheld::NoSecret));
        assert_eq!(without[0].actions[0].withheld, None);
    }

    #[test]
    fn what_is_exempted_does_not_act() {
        let exempted = Rule { exceptions: vec![except(equals(FieldId::ACCOUNT, "a"))], budget: Some(1), ..refused() };
        let events = [refusal("1", 0, "a"), refusal("2", 1, "b"), refusal("3", 2, "b")];
        let found = found(vec![exempted], options(), &events, &[]);
        assert_eq!(withheld(&found), [Some(Withheld::Exempted), None, Some(Withheld::Budget)]);
        assert_eq!(found[2].opened_at.0 / DAY_NS, 0);
    }
}
