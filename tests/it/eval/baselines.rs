//! Baselines by hand, and those that become estimates, with as many groups as that takes.

use fineprint::eval::EvalOptions;
use fineprint::event::{FieldId, Slot};
use fineprint::hir::{Aggregate, Baseline, Expr, ExprKind, Function, Rule, Shape, Whose, Windowed};
use fineprint::time::{Duration, SECOND_NS};
use fineprint::value::Type;
use fineprint::violation::{Bound, Estimate};

use super::cases::{Case, Event, by_account, calls, cases, count, excepting, file, later, of};
use super::{difference, fast};
use crate::plain::build::*;
use crate::plain::rows::Rows;
use crate::plain::{Arrival, PlainEvaluator};

/// `per account over each 10s`, with a baseline of the first aggregate; it shows what that is wherever it is known.
fn looking(counting: Aggregate, windows: u32, least: u32, whose: Whose) -> Rule {
    let of = result(std::slice::from_ref(&counting), 0);
    let baseline = Baseline { of, share: 500_000, windows, least, whose };
    let aggregates = vec![counting, aggregate(Function::Baseline(Box::new(baseline)), None)];
    let shown = result(&aggregates, 1);
    let when = exists(shown.clone());
    let ten = Duration::from_secs(10);
    let shape = Windowed {
        per: by_account(),
        length: ten,
        step: ten,
        gap: None,
        link: None,
        only: Vec::new(),
        aggregates,
        when,
    };
    Rule { lets: vec![("before".into(), shown)], shape: Shape::Windowed(shape), ..rule("back", None) }
}

fn exists(e: Expr) -> Expr {
    expr(Type::Bool, ExprKind::Exists(Box::new(e)))
}

fn usual(windows: u32, least: u32) -> Rule {
    looking(count(), windows, least, Whose::Own)
}

fn sum_of_tokens() -> Aggregate {
    aggregate(Function::Sum(field(FieldId::INPUT_TOKENS)), None)
}

cases! {
    /// 2, 0, 1 before; the median of three is 1.
    the_median_of_what_was_before:
        file(vec![usual(3, 3)], later(60, calls(&[1, 2, 21, 31, 32, 33])), &["back closed 40..40, 50 account:ann before=1/1/1 usual_values=3/3/3 #3"]);
    /// Of an even number the lower of the two in the middle: 2 and 1.
    of_two_the_lower:
        file(vec![usual(2, 2)], later(60, calls(&[1, 2, 11, 21])), &["back closed 30..30, 40 account:ann before=1/1/1 usual_values=2/2/2 #1"]);
    one_window_is_too_few_where_two_are_needed:
        file(vec![usual(2, 2)], later(60, calls(&[1, 2, 11])), &[]);
    /// The window of the first call counts, those before it do not.
    history_begins_with_the_first_event:
        file(vec![usual(5, 3)], later(90, calls(&[21, 51])), &["back closed 60..60, 70 account:ann before=0/0/0 usual_values=3/3/3 #1"]);
    /// At 70 the last five windows before the one at hand begin at 10.
    what_is_too_long_ago_is_forgotten:
        file(vec![usual(5, 1)], later(90, calls(&[1, 61])), &[]);
    the_last_moment_at_which_it_is_remembered:
        file(vec![usual(5, 1)], later(90, calls(&[1, 51])), &["back closed 60..60, 70 account:ann before=0/0/0 usual_values=5/5/5 #1"]);
    /// An episode goes on while its window slides, and what is usual changes under it.
    the_baseline_moves_under_an_episode: {
        let mut sliding = usual(2, 1);
        if let Shape::Windowed(w) = &mut sliding.shape {
            w.step = Duration::from_secs(5);
        }
        file(vec![sliding], later(90, calls(&[1, 2, 11, 21, 22, 23])), &["back closed 20..30, 35 account:ann before=2/2/1 usual_values=1/2/2 #4"])
    };
    /// With the excepted events two a window are usual, without them one.
    exceptions_have_a_history_of_their_own: {
        let limited = |seconds| of("ann", seconds, vec![(FieldId::STATUS, Slot::Num(429))]);
        let rule = excepting(usual(2, 1), except(is(FieldId::STATUS, fineprint::hir::Compare::Equal, 429)));
        let events = vec![limited(1), limited(2), limited(21)];
        file(vec![rule], later(90, events), &["back exempted 30..30, 40 account:ann before=0/0/0 usual_values=2/2/2 #1"])
    };

    /// Two others with 10 and 30 tokens, and its own 20: the median is 20.
    a_cohort_is_all_groups_alike_itself_included: {
        let rule = looking(sum_of_tokens(), 1, 3, Whose::Cohort(vec![field(FieldId::PLAN)]));
        let spent = |account, at, n, plan| {
            of(account, at, vec![(FieldId::INPUT_TOKENS, Slot::Num(n)), (FieldId::PLAN, word(plan))])
        };
        let before = vec![spent("ann", 1, 20, "seat"), spent("bob", 2, 10, "seat"), spent("eve", 3, 30, "seat"), spent("kim", 4, 900, "other")];
        let now = vec![spent("ann", 11, 5, "seat"), spent("kim", 12, 5, "other")];
        file(vec![rule], later(60, [before, now].concat()), &["back closed 20..20, 30 account:ann before=20/20/20 cohort_values=3/3/3 #1"])
    };
    /// Its plan at the end of a window counts.
    a_group_belongs_where_it_was_last: {
        let rule = looking(sum_of_tokens(), 1, 1, Whose::Cohort(vec![field(FieldId::PLAN)]));
        let spent = |account, at, n, plan| {
            of(account, at, vec![(FieldId::INPUT_TOKENS, Slot::Num(n)), (FieldId::PLAN, word(plan))])
        };
        let events = vec![spent("ann", 1, 20, "seat"), spent("ann", 2, 20, "team"), spent("bob", 11, 1, "seat"), spent("bob", 12, 1, "team")];
        file(vec![rule], later(60, events), &["back closed 20..20, 30 account:bob before=40/40/40 cohort_values=1/1/1 #2"])
    };
}

/// What both evaluators make of it, and the estimates behind the first value of the violation of `account`.
fn both(rules: Vec<Rule>, events: Vec<Event>, account: &str) -> Vec<Estimate> {
    let program = program(rules, at(0), at(500));
    let rows = Rows { lists: vec![], tables: vec![vec![]] };
    let plain = PlainEvaluator::new(program, rows, EvalOptions::default());
    let arrivals: Vec<Arrival> = events.into_iter().map(Arrival::Event).chain([Arrival::Finish]).collect();
    let found = fast(&plain, &arrivals, |_, e, _| e);
    if let Some(difference) = difference(&plain.run(&arrivals), &found) {
        panic!("{difference}");
    }
    let v = found.violations.iter().find(|v| v.accounts == [account]).unwrap();
    v.values[0].estimates.clone()
}

/// 1,024 values are kept one by one; of one more the median is that of a bucket, and the record says so.
#[test]
fn a_cohort_of_many_is_an_estimate() {
    let rule = || looking(sum_of_tokens(), 1, 10, Whose::Cohort(vec![field(FieldId::STATUS)]));
    let spent = |account: &str, ns: i64, n: i64| {
        let fields = vec![
            (FieldId::ACCOUNT, word(account)),
            (FieldId::INPUT_TOKENS, Slot::Num(n)),
            (FieldId::STATUS, Slot::Num(200)),
        ];
        let mut event = completion(&format!("{account}-{ns}"), 0, fields);
        event.set(FieldId::TS, Slot::Num(ns));
        sealed(event)
    };
    let case = |many: i64| -> Vec<Event> {
        let before = (0..many).map(|i| spent(&format!("a{i:05}"), i * 1_000_000, 100_000 + i * 7));
        let now = [spent("zoe", 11 * SECOND_NS, 1), spent("later", 60 * SECOND_NS, 1)];
        before.chain(now).collect()
    };
    assert_eq!(both(vec![rule()], case(1_024), "zoe"), []);
    let told = Estimate { aggregate: "cohort".into(), bound: Bound::Within(7_813) };
    assert_eq!(both(vec![rule()], case(1_025), "zoe"), [told]);
}

/// What is usual of an estimate is one.
#[test]
fn what_is_usual_of_an_estimate_is_one() {
    let quantile = || aggregate(Function::Quantile(field(FieldId::LATENCY), 950_000), None);
    let rule = || looking(quantile(), 1, 1, Whose::Own);
    let slow = |ns: i64| {
        let mut event = completion(&format!("{ns}"), 0, vec![(FieldId::ACCOUNT, word("ann"))]);
        event.set(FieldId::TS, Slot::Num(ns));
        event.set(FieldId::LATENCY, Slot::Num(ns % 9_973 + 1_000));
        sealed(event)
    };
    let case = |many: i64| -> Vec<Event> {
        (0..many).map(|i| slow(i * 3_000_000)).chain([slow(11 * SECOND_NS), slow(60 * SECOND_NS)]).collect()
    };
    assert_eq!(both(vec![rule()], case(1_024), "ann"), []);
    let told = Estimate { aggregate: "quantile".into(), bound: Bound::Within(7_813) };
    assert_eq!(both(vec![rule()], case(1_025), "ann"), [told]);
}
