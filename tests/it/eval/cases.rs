//! Named cases by hand. Each is a rule set, what arrives, and what is found, one line a violation:
//! `rule status first..last true step[, closed] group values #events`, in seconds; a value is `name=crossing/peak/last`.
//! Every case is put to both evaluators.

use fineprint::eval::EvalOptions;
use fineprint::event::{FieldId, Kind, Slot};
use fineprint::hir::{
    Aggregate, Arithmetic, Compare, Const, Exception, Expr, ExprKind, Function, Piece, Rule, Shape, TableId, TextTest,
    Windowed,
};
use fineprint::time::{Duration, SECOND_NS};
use fineprint::value::Type;
use fineprint::violation::{Role, Scalar, Violation};

use crate::plain::build::*;
use crate::plain::rows::{ListRow, Rows, TableRow};
use crate::plain::{Arrival, PlainEvaluator, PlainResult};

pub(super) type Event = fineprint::event::UsageEvent<'static>;

/// What is given and what must come of it.
pub(super) struct Case {
    rules: Vec<Rule>,
    rows: Rows,
    /// The type of each list's values.
    list_types: Vec<Type>,
    options: EvalOptions,
    pub(super) arrivals: Vec<Arrival>,
    found: Vec<&'static str>,
    /// What the lines do not show.
    also: fn(&PlainResult),
}

/// Events in order of arrival, then the end of the file.
pub(super) fn file(rules: Vec<Rule>, events: Vec<Event>, found: &[&'static str]) -> Case {
    let arrivals = events.into_iter().map(Arrival::Event).chain([Arrival::Finish]).collect();
    Case {
        rules,
        rows: Rows::default(),
        list_types: Vec::new(),
        options: EvalOptions::default(),
        arrivals,
        found: found.to_vec(),
        also: |_| {},
    }
}

impl Case {
    pub(super) fn lateness(mut self, seconds: i64) -> Self {
        self.options.lateness = Duration::from_secs(seconds);
        self
    }

    fn known_until(mut self, seconds: i64) -> Self {
        self.options.as_of = Some(at(seconds));
        self
    }

    fn list(mut self, ty: Type, values: Vec<ListRow>) -> Self {
        self.list_types.push(ty);
        self.rows.lists.push(values);
        self
    }

    fn accounts(mut self, rows: Vec<TableRow>) -> Self {
        self.rows.tables.push(rows);
        self
    }

    pub(super) fn also(mut self, also: fn(&PlainResult)) -> Self {
        self.also = also;
        self
    }

    /// Lists and the registry get the types that the cases use; the clause has a version from 0 and one from 500.
    pub(super) fn judge(&self) -> PlainEvaluator {
        let mut program = program(self.rules.clone(), at(0), at(500));
        program.lists = self.list_types.iter().map(|ty| list("listed", ty.clone())).collect();
        program.tables = vec![table("account", field(FieldId::ACCOUNT), &[("org_verified", Type::Bool)])];
        let mut rows = self.rows.clone();
        rows.tables.resize(1, Vec::new());
        PlainEvaluator::new(program, rows, self.options.clone())
    }

    pub(super) fn check(&self, result: &PlainResult) {
        let mut lines: Vec<String> = result.violations.iter().map(line).collect();
        let mut found = self.found.clone();
        // Those of one moment are in order of their hashes.
        lines.sort_unstable();
        found.sort_unstable();
        assert_eq!(lines, found, "found, and what should have been");
        assert!(result.books.balance(), "{:?}", result.books);
        (self.also)(result);
    }
}

fn line(v: &Violation) -> String {
    let seconds = |t: fineprint::time::Timestamp| format!("{}", t.0 as f64 / SECOND_NS as f64);
    let mut out = format!("{} {} {}..{}", v.rule, v.status.word(), seconds(v.opened_at), seconds(v.updated_at));
    if let Some(closed) = v.closed_at {
        out += &format!(", {}", seconds(closed));
    }
    for (name, value) in &v.group {
        out += &format!(" {name}:{value}");
    }
    let scalar = |s: &Option<Scalar>| match s {
        None => "?".to_string(),
        Some(Scalar::Bool(b)) => b.to_string(),
        Some(Scalar::Num(n)) => n.to_string(),
        Some(Scalar::Text(t)) => t.clone(),
    };
    for o in &v.values {
        out += &format!(" {}={}/{}/{}", o.name, scalar(&o.crossing), scalar(&o.peak), scalar(&o.last));
    }
    out + &format!(" #{}", v.evidence.count)
}

macro_rules! cases {
    ($($(#[$doc:meta])* $name:ident: $case:expr;)*) => {
        $(
            $(#[$doc])*
            mod $name {
                use super::*;

                fn case() -> Case {
                    $case
                }

                #[test]
                fn plain() {
                    let case = case();
                    case.check(&case.judge().run(&case.arrivals));
                }

                #[test]
                fn fast() {
                    let case = case();
                    let plain = case.judge();
                    let result = crate::eval::fast(&plain, &case.arrivals, |_, e, _| e);
                    case.check(&result);
                    if let Some(difference) = crate::eval::difference(&plain.run(&case.arrivals), &result) {
                        panic!("{difference}");
                    }
                }
            }
        )*
    };
}

pub(super) use cases;

// ── rules ──

pub(super) fn by_account() -> Vec<Expr> {
    vec![field(FieldId::ACCOUNT)]
}

pub(super) fn count() -> Aggregate {
    aggregate(Function::Count, None)
}

/// `per account over … every … when count() >= n`
fn counting(length: i64, step: i64, n: i64) -> Rule {
    Rule { shape: threshold(by_account(), length, step, count(), n), ..rule("many", None) }
}

fn window(length: i64, step: i64, aggregates: Vec<Aggregate>, when: Expr) -> Shape {
    let (length, step) = (Duration::from_secs(length), Duration::from_secs(step));
    Shape::Windowed(Windowed {
        per: by_account(),
        link: None,
        only: Vec::new(),
        length,
        step,
        gap: None,
        aggregates,
        when,
    })
}

/// `per account over 60s every 60s when of >= n`
fn tumbling(of: Function, n: i64) -> Rule {
    Rule { shape: threshold(by_account(), 60, 60, aggregate(of, None), n), ..rule("many", None) }
}

pub(super) fn cooldown(seconds: i64, rule: Rule) -> Rule {
    Rule { cooldown: Some(Duration::from_secs(seconds)), ..rule }
}

pub(super) fn excepting(rule: Rule, exception: Exception) -> Rule {
    Rule { exceptions: vec![exception], ..rule }
}

fn column(column: u16) -> Expr {
    expr(Type::Bool, ExprKind::Column(TableId::ACCOUNTS, column))
}

// ── events ──

/// A completion of account `ann`, with an id by its time.
fn call(seconds: i64) -> Event {
    of("ann", seconds, vec![])
}

pub(super) fn of(account: &str, seconds: i64, mut fields: Vec<(FieldId, Slot<'static>)>) -> Event {
    fields.push((FieldId::ACCOUNT, word(account)));
    completion(&format!("{account}-{seconds:06}"), seconds, fields)
}

pub(super) fn calls(seconds: &[i64]) -> Vec<Event> {
    seconds.iter().map(|s| call(*s)).collect()
}

/// A completion of `ann` at 0, 1, 2, … with each of the values in a field; `None` leaves it out.
fn with(field: FieldId, values: &[Option<i64>]) -> Vec<Event> {
    let one = |(i, v): (usize, &Option<i64>)| of("ann", i as i64, v.iter().map(|v| (field, Slot::Num(*v))).collect());
    values.iter().enumerate().map(one).collect()
}

/// An event far enough on for all before it to be judged, in a group of its own.
pub(super) fn later(seconds: i64, mut events: Vec<Event>) -> Vec<Event> {
    events.push(of("zoe", seconds, vec![]));
    events
}

fn content(mut event: Event, hash: u128) -> Event {
    event.set_content(hash);
    event
}

fn ingested(mut event: Event, seconds: i64) -> Event {
    event.set(FieldId::INGEST_TS, Slot::Num(at(seconds).0));
    sealed(event)
}

cases! {
    // ── time ──

    /// Counted by event time, not by arrival: 1000, 0, 30 are never three within a minute …
    count_of_three_within_a_minute_by_event_time:
        file(vec![counting(60, 1, 3)], calls(&[1000, 0, 30]), &[]).lateness(2_000);
    /// … and 0, 20, 90, 40 are, though they arrive out of order.
    count_of_three_within_a_minute_out_of_order:
        file(vec![counting(60, 1, 3)], calls(&[0, 20, 90, 40]), &["many closed 41..60, 61 account:ann count=3/3/3 #3"]).lateness(2_000);
    /// An event at 60 is not in the window that ends at 60, one at 0 is.
    windows_are_half_open:
        file(vec![counting(60, 60, 2)], later(240, calls(&[0, 60, 119, 120, 180])), &["many closed 120..120, 180 account:ann count=2/2/2 #2"]);
    /// Ends are multiples of the step since the epoch, wherever the events begin; also before the epoch.
    steps_are_aligned_to_the_epoch:
        file(
            vec![counting(60, 20, 2)],
            later(100, calls(&[-31, -30, 7, 8])),
            &["many closed -20..60, 80 account:ann count=2/4/2 #4"],
        );
    tumbling_windows_do_not_overlap:
        file(vec![counting(60, 60, 2)], later(200, calls(&[59, 60, 130, 131])), &["many open 180..180 account:ann count=2/2/2 #2"]);
    /// The end of a file judges what ends at or before its last event, no more.
    a_file_ends_with_its_last_event:
        file(vec![counting(60, 10, 2)], calls(&[1, 2, 10]), &["many open 10..10 account:ann count=2/2/2 #2"]);
    nothing_is_judged_past_the_last_event:
        file(vec![counting(60, 10, 2)], calls(&[1, 2, 9]), &[]);
    /// A step is judged when the watermark reaches its end, not before.
    a_pipe_is_judged_up_to_the_watermark: {
        let mut case = file(vec![counting(60, 10, 2)], calls(&[1, 2, 40]), &["many open 10..30 account:ann count=2/2/2 #2"]).lateness(10);
        case.arrivals.pop();
        case
    };
    declared_time_closes_what_is_open: {
        let mut case = file(vec![counting(60, 10, 2)], calls(&[1, 2]), &["many closed 10..60, 70 account:ann count=2/2/2 #2"]);
        *case.arrivals.last_mut().unwrap() = Arrival::Advance(at(75));
        case
    };
    /// A long silence is a silence: the episode is over where it would have been.
    a_gap_of_a_year_closes_in_time:
        file(vec![counting(60, 60, 2)], later(31_536_000, calls(&[1, 2])), &["many closed 60..60, 120 account:ann count=2/2/2 #2"]);

    // ── episodes ──

    episode_closes_after_one_step:
        file(vec![counting(10, 10, 2)], later(60, calls(&[1, 2, 21, 22])), &[
            "many closed 10..10, 20 account:ann count=2/2/2 #2",
            "many closed 30..30, 40 account:ann count=2/2/2 #2",
        ]);
    /// A pause shorter than the cooldown is part of the episode, which is closed at the first step that makes it as long.
    episode_closes_after_cooldown:
        file(vec![cooldown(25, counting(10, 10, 2))], later(100, calls(&[1, 2, 21, 22])), &["many closed 10..30, 60 account:ann count=2/2/2 #4"]);
    /// The condition is true again at the very step at which the cooldown is over: it goes on.
    a_true_step_at_the_end_of_the_cooldown_goes_on:
        file(vec![cooldown(20, counting(10, 10, 2))], later(30, calls(&[1, 2, 21, 22])), &["many open 10..30 account:ann count=2/2/2 #4"]);
    peak_is_the_greatest_of_true_steps:
        file(vec![counting(20, 10, 2)], later(60, calls(&[1, 2, 3, 11, 12, 13, 14, 21])), &["many closed 10..30, 40 account:ann count=3/7/5 #8"]);
    peak_against_an_upper_bound_is_the_least: {
        let aggregates = vec![aggregate(Function::Min(field(FieldId::STATUS)), None)];
        let lowest = result(&aggregates, 0);
        let low = compare(Compare::Greater, num(Type::Integer, 10), lowest.clone());
        let low = Rule { shape: window(10, 10, aggregates, low), lets: vec![("lowest".into(), lowest)], ..rule("low", None) };
        let status = |t, n| of("ann", t, vec![(FieldId::STATUS, Slot::Num(n))]);
        file(vec![low], later(30, vec![status(1, 7), status(11, 3), status(21, 5)]), &["low open 10..30 account:ann lowest=7/3/5 #3"])
            .also(|r| assert_eq!(r.violations[0].values[0].threshold, Some(("<", Scalar::Num(10)))))
    };
    /// Accounts are those of the events that were counted while it was true.
    accounts_are_those_that_contributed: {
        let shape = threshold(vec![], 10, 10, aggregate(Function::Count, Some(is(FieldId::STATUS, Compare::Equal, 429))), 2);
        let limited = |account, t| of(account, t, vec![(FieldId::STATUS, Slot::Num(429))]);
        let events = vec![limited("bob", 1), limited("ann", 2), call(3), of("carl", 4, vec![]), limited("dora", 11)];
        file(vec![Rule { shape, ..rule("limited", None) }], later(20, events), &["limited closed 10..10, 20 count=2/2/2 #2"])
            .also(|r| assert_eq!(r.violations[0].accounts, ["ann", "bob"]))
    };

    // ── exceptions ──

    exempted_finding_is_recorded:
        file(
            vec![excepting(counting(10, 10, 2), except(equals(FieldId::PLAN, "lab")))],
            later(20, vec![call(1), of("ann", 2, vec![(FieldId::PLAN, word("lab"))])]),
            &["many exempted 10..10, 20 account:ann count=2/2/2 #2"],
        )
        .also(|r| assert_eq!(r.violations[0].exceptions[0].took_out, 1));
    /// One licensed event does not clear a group.
    an_exception_takes_out_events_not_groups:
        file(
            vec![excepting(counting(10, 10, 2), except(equals(FieldId::PLAN, "lab")))],
            later(20, vec![call(1), call(2), of("ann", 3, vec![(FieldId::PLAN, word("lab"))])]),
            &["many closed 10..10, 20 account:ann count=2/2/2 #2"],
        )
        .also(|r| assert_eq!(r.violations[0].exceptions[0].took_out, 1));
    /// It holds from `from` on, and at `until` no more.
    an_exception_holds_between_its_dates:
        file(
            vec![excepting(rule("any", None), Exception { from: Some(at(10)), until: Some(at(20)), ..except(equals(FieldId::ACCOUNT, "ann")) })],
            calls(&[9, 10, 19, 20]),
            &[
                "any closed 9..9, 9 account:ann #1",
                "any exempted 10..10, 10 account:ann #1",
                "any exempted 19..19, 19 account:ann #1",
                "any closed 20..20, 20 account:ann #1",
            ],
        );
    /// An exception that cannot be decided takes nothing out.
    an_unknown_exception_takes_nothing_out:
        file(vec![excepting(counting(10, 10, 2), except(not(equals(FieldId::PLAN, "lab"))))], later(20, calls(&[1, 2])), &[
            "many closed 10..10, 20 account:ann count=2/2/2 #2",
        ]);
    /// Over nothing but excepted events no condition is true, be it `count() < 5`.
    nothing_is_true_over_no_events: {
        let aggregates = vec![count()];
        let few = compare(Compare::Less, result(&aggregates, 0), num(Type::Integer, 5));
        let few = Rule { shape: window(10, 10, aggregates, few), ..rule("few", None) };
        file(
            vec![excepting(few, except(equals(FieldId::ACCOUNT, "ann")))],
            vec![call(1), of("bob", 12, vec![]), of("bob", 30, vec![])],
            &["few exempted 10..10, 20 account:ann count=1/1/1 #1", "few closed 20..20, 30 account:bob count=1/1/1 #1"],
        )
    };

    // ── unknown ──

    /// Neither a condition on what is missing nor its opposite is true.
    unknown_never_fires:
        file(
            vec![
                rule("is", Some(equals(FieldId::PLAN, "free"))),
                rule("is-not", Some(not(equals(FieldId::PLAN, "free")))),
                rule("none", Some(not(expr(Type::Bool, ExprKind::InSet(Box::new(field(FieldId::PLAN)), vec![Const::Text("free".into())]))))),
            ],
            calls(&[1]),
            &[],
        );
    unknown_groups_do_not_exist:
        file(vec![Rule { shape: threshold(vec![field(FieldId::ORG)], 10, 10, count(), 1), ..rule("org", None) }], later(20, calls(&[1, 2])), &[]);
    /// What is false whatever the missing part is, is false; what is true, is true.
    known_parts_decide: {
        let unknown = || equals(FieldId::PLAN, "free");
        let ann = || equals(FieldId::ACCOUNT, "ann");
        file(
            vec![
                rule("either", Some(or(vec![unknown(), ann()]))),
                rule("not-both", Some(not(and(vec![unknown(), not(ann())])))),
                rule("one-of", Some(expr(Type::Bool, ExprKind::AtLeast(1, vec![unknown(), ann()])))),
                rule("two-of", Some(expr(Type::Bool, ExprKind::AtLeast(2, vec![unknown(), ann()])))),
            ],
            calls(&[1]),
            &["either closed 1..1, 1 account:ann #1", "not-both closed 1..1, 1 account:ann #1", "one-of closed 1..1, 1 account:ann #1"],
        )
        .also(|r| assert_eq!(r.violations.len(), 3))
    };
    /// One of two known is true: a half, though four events were seen.
    share_leaves_unknown_out:
        file(
            vec![tumbling(Function::Share(is(FieldId::STATUS, Compare::Equal, 429)), 500_000)],
            later(60, with(FieldId::STATUS, &[Some(429), None, Some(200), None])),
            &["many open 60..60 account:ann share=500000/500000/500000 #4"],
        );
    share_of_nothing_known_is_unknown:
        file(
            vec![tumbling(Function::Share(is(FieldId::STATUS, Compare::Equal, 429)), 0)],
            later(60, with(FieldId::STATUS, &[None, None])),
            &[],
        );
    share_rounds_half_away_from_zero:
        file(
            vec![tumbling(Function::Share(is(FieldId::STATUS, Compare::Equal, 429)), 0)],
            later(60, with(FieldId::STATUS, &[Some(429), Some(429), Some(1)])),
            &["many open 60..60 account:ann share=666667/666667/666667 #3"],
        );

    // ── aggregates ──

    sum_leaves_unknown_out:
        file(vec![tumbling(Function::Sum(field(FieldId::INPUT_TOKENS)), 5)], later(60, with(FieldId::INPUT_TOKENS, &[Some(2), None, Some(3)])), &[
            "many open 60..60 account:ann sum=5/5/5 #3",
        ]);
    sum_beyond_the_range_is_unknown:
        file(vec![tumbling(Function::Sum(field(FieldId::N)), i64::MIN)], later(60, with(FieldId::N, &[Some(i64::MAX), Some(1)])), &[]);
    /// What is beyond the range only on the way is not beyond it.
    sum_may_pass_the_range_on_the_way:
        file(
            vec![tumbling(Function::Sum(field(FieldId::N)), 0)],
            later(60, with(FieldId::N, &[Some(i64::MAX), Some(i64::MAX), Some(i64::MIN)])),
            &["many open 60..60 account:ann sum=9223372036854775806/9223372036854775806/9223372036854775806 #3"],
        );
    sum_and_least_of_nothing: {
        let aggregates = vec![aggregate(Function::Sum(field(FieldId::N)), None), aggregate(Function::Min(field(FieldId::N)), None)];
        let zero = compare(Compare::Equal, result(&aggregates, 0), num(Type::Integer, 0));
        let unknown = not(expr(Type::Bool, ExprKind::Exists(Box::new(result(&aggregates, 1)))));
        let none = Rule { shape: window(10, 10, aggregates, and(vec![zero, unknown])), ..rule("none", None) };
        file(vec![none], later(10, calls(&[1])), &["none open 10..10 account:ann sum=0/0/0 min=?/?/? #1"])
    };
    average_of_whole_numbers_is_a_decimal:
        file(vec![tumbling(Function::Average(field(FieldId::N)), 0)], later(60, with(FieldId::N, &[Some(1), Some(2), None, Some(2)])), &[
            "many open 60..60 account:ann average=1666667/1666667/1666667 #4",
        ]);
    average_rounds_half_away_from_zero:
        file(
            vec![tumbling(Function::Average(field(FieldId::LATENCY)), -9)],
            later(60, with(FieldId::LATENCY, &[Some(-2), Some(-3)])),
            &["many open 60..60 account:ann average=-3/-3/-3 #2"],
        );
    distinct_counts_values_not_events:
        file(vec![tumbling(distinct(vec![field(FieldId::STATUS)]), 2)], later(60, with(FieldId::STATUS, &[Some(1), Some(2), Some(1), None])), &[
            "many open 60..60 account:ann distinct=2/2/2 #4",
        ]);
    /// Accounts `a` and `b` of a verified organisation are one, `c` and `d` of another are two; whose organisation is not
    /// known is itself; an organisation of the name of an account is not that account.
    distinct_one_per_organisation: {
        let function = Function::Distinct { of: by_account(), one_per: Some((field(FieldId::ORG), Some(column(0)))) };
        let shape = threshold(vec![], 60, 60, aggregate(function, None), 0);
        let row = |key: &str, verified| TableRow { key: key.into(), cells: vec![Some(Const::Bool(verified))], from: None, until: None };
        let org = |account, t, org| of(account, t, vec![(FieldId::ORG, word(org))]);
        let events = vec![
            org("a", 1, "c"), org("b", 2, "c"), org("c", 3, "y"), org("d", 4, "y"), of("e", 5, vec![]), org("f", 6, "y"), org("f", 7, "y"),
            call(60),
        ];
        file(vec![Rule { shape, ..rule("apart", None) }], events, &["apart open 60..60 distinct=5/5/5 #7"])
            .accounts(vec![row("a", true), row("b", true), row("c", false), row("d", false), row("e", true)])
    };
    aggregates_have_filters_of_their_own: {
        let limited = is(FieldId::STATUS, Compare::Equal, 429);
        let aggregates = vec![count(), aggregate(Function::Count, Some(limited))];
        let (all, bad) = (result(&aggregates, 0), result(&aggregates, 1));
        let share = arithmetic(Type::Decimal, Arithmetic::Ratio, bad.clone(), all.clone());
        let when = and(vec![
            compare(Compare::GreaterEqual, share.clone(), num(Type::Decimal, 300_000)),
            compare(Compare::GreaterEqual, all.clone(), num(Type::Integer, 3)),
        ]);
        let rule = Rule {
            shape: window(60, 60, aggregates, when),
            lets: vec![("share".into(), share.clone()), ("bad".into(), bad)],
            because: vec![Piece::Value("share".into(), share), Piece::Text(" of ".into()), Piece::Value("all".into(), all)],
            ..rule("limited", None)
        };
        file(vec![rule], later(60, with(FieldId::STATUS, &[Some(429), Some(200), Some(200)])), &[
            "limited open 60..60 account:ann share=333333/333333/333333 bad=1/1/1 count=3/3/3 #3",
        ])
        .also(|r| {
            let v = &r.violations[0];
            assert_eq!(v.because, "0.333333 of 3");
            let thresholds: Vec<_> = v.values.iter().map(|o| o.threshold.clone()).collect();
            assert_eq!(thresholds, [Some((">=", Scalar::Num(300_000))), None, Some((">=", Scalar::Num(3)))]);
        })
    };
    several_keys: {
        let per = vec![field(FieldId::ACCOUNT), network(field(FieldId::IP), 24, 48)];
        let from = |account, t, ip: &str| of(account, t, vec![(FieldId::IP, Slot::Ip(ip.parse().unwrap()))]);
        let events = vec![
            from("ann", 1, "10.0.0.1"), from("ann", 2, "10.0.0.200"), from("ann", 3, "10.0.1.1"), from("bob", 4, "10.0.0.1"),
            from("bob", 5, "2001:db8::1"), from("bob", 6, "2001:db8:0:9::1"), call(7),
        ];
        file(vec![Rule { shape: threshold(per, 10, 10, count(), 2), ..rule("net", None) }], later(20, events), &[
            "net closed 10..10, 20 account:ann network:10.0.0.0/24 count=2/2/2 #2",
            "net closed 10..10, 20 account:bob network:2001:db8::/48 count=2/2/2 #2",
        ])
    };
    no_key_is_one_group:
        file(vec![Rule { shape: threshold(vec![], 10, 10, count(), 2), ..rule("all", None) }], vec![call(1), of("bob", 2, vec![]), call(10)], &[
            "all open 10..10 count=2/2/2 #2",
        ])
        .also(|r| assert_eq!(r.violations[0].accounts, ["ann", "bob"]));
    rules_look_at_their_kinds: {
        let mut signup = call(2);
        signup = { let mut e = fineprint::event::UsageEvent::new(Kind::Signup, "s", signup.ts()); e.set(FieldId::ACCOUNT, word("ann")); sealed(e) };
        file(
            vec![rule("calls", None), Rule { kinds: vec![Kind::Signup, Kind::Account], ..rule("accounts", None) }],
            vec![call(1), signup],
            &["calls closed 1..1, 1 account:ann #1", "accounts closed 2..2, 2 account:ann #1"],
        )
    };

    // ── texts and lists ──

    /// Simple folding: the Kelvin sign is a k and ſ an s, but ß is not ss.
    case_is_ignored_by_simple_folding: {
        let test = |name: &str, phrase: &str, fold| {
            rule(name, Some(text_test(field(FieldId::PROMPT), TextTest::ContainsAny(vec![phrase.into()]), fold)))
        };
        let says = |t, prompt: &str| of("ann", t, vec![(FieldId::PROMPT, word(prompt))]);
        file(
            vec![test("k", "k", true), test("k-exact", "k", false), test("s", "STEP", true), test("ss", "ss", true)],
            vec![says(1, "300 \u{212a}"), says(2, "ſtep"), says(3, "straße")],
            &["k closed 1..1, 1 account:ann #1", "s closed 2..2, 2 account:ann #1"],
        )
    };
    lists_are_asked_at_event_time: {
        let listed = expr(Type::Bool, ExprKind::InList(Box::new(field(FieldId::COUNTRY)), fineprint::hir::ListId(0)));
        let from = |t| of("ann", t, vec![(FieldId::COUNTRY, word("CN"))]);
        file(vec![rule("listed", Some(listed))], vec![from(9), from(10), from(19), from(20), call(21)], &[
            "listed closed 10..10, 10 account:ann #1",
            "listed closed 19..19, 19 account:ann #1",
        ])
        .list(Type::Country, vec![ListRow { value: Const::Text("CN".into()), from: Some(at(10)), until: Some(at(20)) }])
    };
    phrases_of_a_list_count_while_their_row_is_valid: {
        let any_of = |name, fold| {
            rule(name, Some(text_test(field(FieldId::PROMPT), TextTest::ContainsAnyOf(fineprint::hir::ListId(0)), fold)))
        };
        let says = |t, prompt: &str| of("ann", t, vec![(FieldId::PROMPT, word(prompt))]);
        let row = |phrase: &str, from: Option<i64>, until: Option<i64>| {
            ListRow { value: Const::Text(phrase.into()), from: from.map(at), until: until.map(at) }
        };
        file(
            vec![any_of("exact", false), any_of("folded", true)],
            vec![says(9, "a leaked phrase"), says(10, "a leaked phrase"), says(19, "A LEAKED PHRASE"), says(20, "a leaked phrase"),
                 says(21, "of all times")],
            &["exact closed 10..10, 10 account:ann #1", "folded closed 10..10, 10 account:ann #1",
              "folded closed 19..19, 19 account:ann #1",
              "exact closed 21..21, 21 account:ann #1", "folded closed 21..21, 21 account:ann #1"],
        )
        .list(Type::String, vec![row("leaked phrase", Some(10), Some(20)), row("all times", None, None), row("all times", Some(1), Some(2))])
    };

    // ── clauses ──

    /// The second version binds from 500 on; what opened before names the first.
    clause_version_is_the_one_in_force_when_it_opened:
        file(vec![rule("any", None)], calls(&[499, 500]), &["any closed 499..499, 499 account:ann #1", "any closed 500..500, 500 account:ann #1"])
            .also(|r| {
                let versions: Vec<_> = r.violations.iter().map(|v| (v.clauses[0].version.as_str(), v.clauses[0].in_force)).collect();
                assert_eq!(versions, [("1970-01-01", true), ("1970-01-02", true)]);
            });
    /// A step that ends after the change names the new version, though its events came before.
    clause_version_of_a_window_is_that_of_its_end:
        file(vec![counting(60, 60, 2)], later(540, calls(&[490, 495])), &["many open 540..540 account:ann count=2/2/2 #2"])
            .also(|r| assert_eq!(r.violations[0].clauses[0].version, "1970-01-02"));
    a_rule_may_fire_before_its_clause_binds:
        file(vec![rule("any", None)], calls(&[-1]), &["any closed -1..-1, -1 account:ann #1"])
            .also(|r| assert_eq!((r.violations[0].clauses[0].version.as_str(), r.violations[0].clauses[0].in_force), ("1970-01-01", false)));

    // ── arrival ──

    /// Behind the watermark, an event counts for no window, but what it says by itself is said.
    late_events_are_seen_by_single_event_rules_only:
        file(
            vec![counting(60, 10, 2), rule("any", Some(is(FieldId::TS, Compare::Less, at(50).0)))],
            calls(&[1, 100, 2]),
            &["any closed 1..1, 1 account:ann #1", "any closed 2..2, 2 account:ann #1"],
        )
        .lateness(10)
        .also(|r| assert_eq!((r.books.late, r.books.evaluated), (1, 2)));
    /// At the watermark is not behind it.
    an_event_at_the_watermark_is_not_late:
        file(vec![counting(60, 10, 2)], calls(&[88, 100, 90]), &["many open 100..100 account:ann count=2/2/2 #2"]).lateness(10);
    copies_are_counted_and_dropped:
        file(vec![counting(60, 10, 2)], vec![call(1), call(1), call(11), call(1), call(20)], &[
            "many open 20..20 account:ann count=2/2/2 #2",
        ])
        .also(|r| assert_eq!((r.books.duplicate, r.books.evaluated), (2, 3)));
    /// Past the lateness an id is forgotten; its copy then is behind the watermark.
    a_copy_after_the_lateness_is_late:
        file(vec![counting(60, 10, 2)], calls(&[1, 12, 1]), &[]).lateness(10).also(|r| assert_eq!((r.books.duplicate, r.books.late), (0, 1)));
    conflicting_duplicates_smaller_first:
        file(vec![rule("any", None)], vec![content(call(1), 5), content(of("ann", 1, vec![(FieldId::N, Slot::Num(1))]), 9)], &[
            "any closed 1..1, 1 account:ann #1",
        ])
        .also(|r| {
            assert_eq!((r.books.rejected_conflicting, r.books.evaluated), (1, 1));
            assert_eq!(r.displaced, [0usize; 0]);
            same_root(r, &content(call(1), 5));
        });
    conflicting_duplicates_smaller_last:
        file(vec![rule("any", None)], vec![content(of("ann", 1, vec![(FieldId::N, Slot::Num(1))]), 9), content(call(1), 5)], &[
            "any closed 1..1, 1 account:ann #1",
        ])
        .also(|r| {
            assert_eq!((r.books.rejected_conflicting, r.books.evaluated), (1, 1));
            assert_eq!(r.displaced, [0]);
            same_root(r, &content(call(1), 5));
        });
    /// The record that won an id is the one that later copies are held against.
    a_displaced_record_stays_displaced:
        file(vec![rule("any", None)], [9, 5, 9, 5].map(|hash| content(call(1), hash)).to_vec(), &["any closed 1..1, 1 account:ann #1"])
            .also(|r| assert_eq!((r.books.rejected_conflicting, r.books.duplicate, r.books.evaluated), (2, 1, 1)));
    /// A record behind the watermark takes no other's place, however small its hash.
    a_late_record_displaces_nothing: {
        let mut early = call(1);
        early.set(FieldId::ID, word("x"));
        let mut known = call(95);
        known.set(FieldId::ID, word("x"));
        file(vec![rule("any", None)], vec![call(100), content(known, 9), content(early, 5)], &[
            "any closed 95..95, 95 account:ann #1",
            "any closed 100..100, 100 account:ann #1",
        ])
        .lateness(10)
        .also(|r| assert_eq!((r.books.rejected_conflicting, r.books.late), (1, 0)))
    };
    future_timestamps_never_move_the_watermark:
        file(vec![counting(60, 10, 2)], vec![call(1), ingested(call(5_000), 10), call(2), call(10)], &[
            "many open 10..10 account:ann count=2/2/2 #2",
        ])
        .lateness(20)
        .also(|r| {
            assert_eq!((r.books.rejected_future, r.books.evaluated, r.books.late), (1, 3, 0));
            assert_eq!(r.watermark, Some(at(10)));
        });
    /// Exactly five minutes ahead is allowed.
    the_future_begins_after_five_minutes:
        file(vec![], vec![ingested(call(310), 10), ingested(call(311), 10)], &[])
            .also(|r| assert_eq!((r.books.rejected_future, r.books.evaluated), (1, 1)));
    /// `as_of` guards records without an ingest time, and those alone.
    as_of_guards_what_has_no_ingest_time:
        file(vec![], vec![call(400), call(401), ingested(call(500), 450)], &[])
            .known_until(100)
            .also(|r| assert_eq!((r.books.rejected_future, r.books.evaluated), (1, 2)));
    /// A file that is read on after its end: what comes before its last event is late now.
    a_file_goes_on_after_its_end: {
        let mut case = file(vec![counting(60, 10, 3)], calls(&[1, 30, 2, 31]), &["many open 40..40 account:ann count=3/3/3 #3"]);
        case.arrivals.insert(2, Arrival::Finish);
        case.arrivals.insert(4, Arrival::Event(of("bob", 40, vec![])));
        case.also(|r| assert_eq!((r.books.late, r.books.evaluated), (1, 4)))
    };

    /// What ended with a file may come again with what follows, at the very moment of its last event: a copy is a copy,
    /// and what is new takes its place in the order of (time, id).
    a_file_goes_on_at_its_last_moment: {
        let mut case = file(vec![counting(60, 60, 2)], vec![call(10), call(10), completion("aaa", 10, vec![(FieldId::ACCOUNT, word("ann"))]), of("zoe", 60, vec![])], &[
            "many open 60..60 account:ann count=2/2/2 #2",
        ]);
        case.arrivals.insert(1, Arrival::Finish);
        case.also(|r| {
            assert_eq!((r.books.duplicate, r.books.evaluated), (1, 3));
            let ids: Vec<_> = r.violations[0].evidence.events.iter().map(|e| e.id.as_str()).collect();
            assert_eq!(ids, ["aaa", "ann-000010"]);
        })
    };
    /// Past the lateness an id is forgotten; a single-event rule finds its copy again, and hands it out once.
    a_late_copy_is_found_once:
        file(vec![rule("any", None)], calls(&[1, 12, 1]), &["any closed 1..1, 1 account:ann #1", "any closed 12..12, 12 account:ann #1"]).lateness(10);

    // ── the record ──

    /// What stands under `not` is no threshold: the value would look as if it had to exceed what it must stay below.
    under_not_is_no_threshold: {
        let aggregates = vec![count()];
        let when = not(compare(Compare::Less, result(&aggregates, 0), num(Type::Integer, 2)));
        file(vec![Rule { shape: window(10, 10, aggregates, when), ..rule("many", None) }], later(10, calls(&[1, 2])), &[
            "many open 10..10 account:ann count=2/2/2 #2",
        ])
        .also(|r| assert_eq!(r.violations[0].values[0].threshold, None))
    };
    /// An aggregate inside of what a `let` names has a name: the record shows what the rule speaks of.
    what_a_let_names_is_shown_under_its_name: {
        let aggregates = vec![count()];
        let twice = arithmetic(Type::Integer, Arithmetic::Add, result(&aggregates, 0), result(&aggregates, 0));
        let when = compare(Compare::GreaterEqual, twice.clone(), num(Type::Integer, 4));
        let rule = Rule { shape: window(10, 10, aggregates, when), lets: vec![("twice".into(), twice)], ..rule("many", None) };
        file(vec![rule], later(10, calls(&[1, 2])), &["many open 10..10 account:ann twice=4/4/4 #2"])
            .also(|r| assert_eq!(r.violations[0].values[0].threshold, Some((">=", Scalar::Num(4)))))
    };
    /// Past the bound: the first, those before the crossing, the last, a sample; each once, in order.
    evidence_beyond_the_bound_is_sampled: {
        let many: Vec<Event> = (0..1_200).map(|i| completion(&format!("{i:04}"), i, vec![(FieldId::ACCOUNT, word("ann"))])).collect();
        file(vec![counting(1_000, 500, 500)], later(1_500, many), &["many open 500..1500 account:ann count=500/1000/700 #1200"]).also(|r| {
            let evidence = &r.violations[0].evidence;
            assert!(!evidence.complete);
            assert!(evidence.events.is_sorted_by_key(|e| (e.ts, e.id.clone())));
            let of = |role| evidence.events.iter().filter(|e| e.role == role).map(|e| e.id.clone()).collect::<Vec<_>>();
            let ids = |range: std::ops::Range<i32>| range.map(|i| format!("{i:04}")).collect::<Vec<_>>();
            assert_eq!(of(Role::First), ids(0..20));
            assert_eq!(of(Role::Crossing), ids(480..500));
            assert_eq!(of(Role::Last), ids(1180..1200));
            assert!((50..=60).contains(&of(Role::Sample).len()));
        })
    };
}

/// The finding rests on this very record.
fn same_root(result: &PlainResult, event: &Event) {
    let expected = file(vec![rule("any", None)], vec![], &[]).judge().violations(std::slice::from_ref(event));
    assert_eq!(result.violations[0].evidence.root, expected.violations[0].evidence.root);
}
