//! Random trees such as a parser could have made: parentheses where the grammar needs them, names that are no words of
//! the language. Spans are empty.

use fineprint::source::Span;
use fineprint::syntax::ast::*;
use fineprint::time::{Duration, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn at<T>(value: T) -> At<T> {
    At { value, span: Span::default() }
}

fn span() -> Span {
    Span::default()
}

pub(super) fn name() -> BoxedStrategy<Name> {
    select(vec![
        "account", "prompt", "tls_fp", "fan-out", "x", "_y", "a-b-2", "org", "within", "test", "rule", "Z9", "from",
    ])
    .prop_map(|text| Name { text: text.to_string(), span: span() })
    .boxed()
}

fn path() -> BoxedStrategy<Path> {
    vec(name(), 1..4).prop_map(|parts| Path { parts, span: span() }).boxed()
}

fn text() -> BoxedStrategy<Text> {
    prop_oneof![any::<String>(), Just("plain {n}".to_string()), Just("\u{202e}\\\"\n".to_string())]
        .prop_map(|value| Text { value, span: span() })
        .boxed()
}

/// Patterns as the lexer leaves them: each backslash with what it escapes.
fn pattern() -> BoxedStrategy<Text> {
    vec(select(vec!["a", "\\d+", "\\.", "\"", "\\\\", "(x|y)", " ", "\u{e9}"]), 0..6)
        .prop_map(|parts| Text { value: parts.concat(), span: span() })
        .boxed()
}

fn duration() -> BoxedStrategy<At<Duration>> {
    prop_oneof![
        (0i64..5000, select(vec!["d", "h", "m", "s", "ms"])).prop_map(|(n, u)| Duration::from_unit(n, u).unwrap()),
        (0i64..i64::MAX).prop_map(Duration)
    ]
    .prop_map(at)
    .boxed()
}

fn timestamp() -> BoxedStrategy<Timestamp> {
    (1700i64..2250, 1u32..13, 1u32..29).prop_map(|(y, m, d)| Timestamp::from_date(y, m, d).unwrap()).boxed()
}

fn date() -> BoxedStrategy<Date> {
    timestamp().prop_map(|at| Date { at, span: span() }).boxed()
}

fn number() -> BoxedStrategy<At<u64>> {
    prop_oneof![0u64..100, 0..i64::MAX as u64].prop_map(at).boxed()
}

fn literal() -> BoxedStrategy<Literal> {
    prop_oneof![
        any::<bool>().prop_map(Literal::Bool),
        (0..i64::MAX).prop_map(Literal::Integer),
        (0i64..2_000_000).prop_map(Literal::Decimal),
        (0i64..2_000_000).prop_map(Literal::Percentage),
        (0i64..i64::MAX).prop_map(Literal::Money),
        duration().prop_map(|d| Literal::Duration(d.value)),
        timestamp().prop_map(Literal::Date),
        text().prop_map(|t| Literal::Text(t.value)),
    ]
    .boxed()
}

fn make(kind: ExprKind) -> Expr {
    Expr { kind, span: span() }
}

/// How tight an expression binds, as the reference says.
fn level(e: &Expr) -> u8 {
    match &e.kind {
        ExprKind::Call(Call { filter: Some(_), .. }) => 0,
        ExprKind::Or(_) => 1,
        ExprKind::And(_) => 2,
        ExprKind::Not(_) => 3,
        ExprKind::Compare(..)
        | ExprKind::In { .. }
        | ExprKind::TextTest { .. }
        | ExprKind::Exists { .. }
        | ExprKind::Memory { .. } => 4,
        ExprKind::OrDefault(..) => 7,
        ExprKind::Arithmetic(_, ArithmeticOp::Add | ArithmeticOp::Subtract, _) => 5,
        ExprKind::Arithmetic(..) => 6,
        ExprKind::Negate(_) => 8,
        _ => 9,
    }
}

/// The expression, in parentheses where only something tighter may stand.
fn fit(e: Expr, least: u8) -> Expr {
    if level(&e) < least { make(ExprKind::Paren(Box::new(e))) } else { e }
}

fn boxed(e: Expr, least: u8) -> Box<Expr> {
    Box::new(fit(e, least))
}

fn call(inner: BoxedStrategy<Expr>) -> BoxedStrategy<ExprKind> {
    let arg = prop_oneof![
        inner.clone().prop_map(Arg::Value),
        (name(), inner.clone()).prop_map(|(n, e)| Arg::Named(n, fit(e, 9))),
        (inner.clone(), option::of(inner.clone())).prop_map(|(key, c)| Arg::OnePer {
            key: fit(key, 5),
            condition: c.map(|c| fit(c, 1)),
            span: span()
        }),
        duration().prop_map(Arg::Over),
    ];
    (name(), vec(arg, 0..4), option::weighted(0.3, inner))
        .prop_map(|(name, args, filter)| ExprKind::Call(Call { name, args, filter: filter.map(|f| boxed(f, 1)) }))
        .boxed()
}

fn text_test(inner: BoxedStrategy<Expr>) -> BoxedStrategy<TextTest> {
    prop_oneof![
        text().prop_map(TextTest::Contains),
        text().prop_map(TextTest::StartsWith),
        text().prop_map(TextTest::EndsWith),
        inner.clone().prop_map(|e| TextTest::HasAnyOf(boxed(e, 9))),
        inner.prop_map(|e| TextTest::HasAllOf(boxed(e, 9))),
        pattern().prop_map(TextTest::MatchesRegex),
    ]
    .boxed()
}

fn memory(inner: BoxedStrategy<Expr>) -> BoxedStrategy<Memory> {
    prop_oneof![
        option::of(inner.clone()).prop_map(|e| Memory::SeenBefore(e.map(|e| boxed(e, 9)))),
        Just(Memory::FirstSeen),
        inner.prop_map(|e| Memory::NewFor(boxed(e, 9))),
    ]
    .boxed()
}

/// Any expression, the whole right side of a `let`.
pub(super) fn whole() -> BoxedStrategy<Expr> {
    let leaf = prop_oneof![
        literal().prop_map(ExprKind::Literal),
        path().prop_map(ExprKind::Path),
        name().prop_map(ExprKind::Outage),
    ]
    .prop_map(make);
    leaf.prop_recursive(5, 40, 4, |inner| {
        let inner = inner.boxed();
        let e = || inner.clone();
        let compare = select(vec![
            CompareOp::Equal,
            CompareOp::NotEqual,
            CompareOp::Less,
            CompareOp::LessEqual,
            CompareOp::Greater,
            CompareOp::GreaterEqual,
        ]);
        let arithmetic =
            select(vec![ArithmeticOp::Add, ArithmeticOp::Subtract, ArithmeticOp::Multiply, ArithmeticOp::Divide]);
        prop_oneof![
            vec(e(), 0..4).prop_map(|v| ExprKind::List(v.into_iter().map(|e| fit(e, 1)).collect())),
            e().prop_map(|e| ExprKind::Paren(Box::new(e))),
            e().prop_map(|e| ExprKind::Not(boxed(e, 3))),
            e().prop_map(|e| ExprKind::Negate(boxed(e, 8))),
            vec(e(), 2..4).prop_map(|v| ExprKind::And(v.into_iter().map(|e| fit(e, 3)).collect())),
            vec(e(), 2..4).prop_map(|v| ExprKind::Or(v.into_iter().map(|e| fit(e, 3)).collect())),
            (number(), vec(e(), 0..4))
                .prop_map(|(n, v)| ExprKind::AtLeast(n, v.into_iter().map(|e| fit(e, 1)).collect())),
            (e(), compare, e()).prop_map(|(a, op, b)| ExprKind::Compare(boxed(a, 5), op, boxed(b, 5))),
            (e(), arithmetic, e()).prop_map(|(a, op, b)| {
                let (l, r) = if matches!(op, ArithmeticOp::Add | ArithmeticOp::Subtract) { (5, 6) } else { (6, 7) };
                ExprKind::Arithmetic(boxed(a, l), op, boxed(b, r))
            }),
            (e(), any::<bool>(), e()).prop_map(|(a, negated, b)| ExprKind::In {
                operand: boxed(a, 5),
                negated,
                set: boxed(b, 9)
            }),
            (e(), text_test(e()), any::<bool>()).prop_map(|(a, test, ignoring_case)| ExprKind::TextTest {
                operand: boxed(a, 5),
                test,
                ignoring_case
            }),
            (e(), any::<bool>()).prop_map(|(a, negated)| ExprKind::Exists { operand: boxed(a, 5), negated }),
            (e(), e()).prop_map(|(a, b)| ExprKind::OrDefault(boxed(a, 7), boxed(b, 8))),
            call(e()),
            (e(), memory(e()), duration()).prop_map(|(a, ask, within)| ExprKind::Memory {
                operand: boxed(a, 5),
                ask,
                within
            }),
        ]
        .prop_map(make)
    })
    .boxed()
}

fn expr() -> BoxedStrategy<Expr> {
    whole().prop_map(|e| fit(e, 1)).boxed()
}

fn value() -> BoxedStrategy<Expr> {
    whole().prop_map(|e| fit(e, 5)).boxed()
}

fn column() -> BoxedStrategy<ColumnRef> {
    prop_oneof![any::<u32>().prop_map(|n| ColumnRef::Number(at(n))), text().prop_map(ColumnRef::Heading)].boxed()
}

fn on() -> BoxedStrategy<On> {
    let step = (
        any::<bool>(),
        option::of(name()),
        option::of(name()),
        option::of(expr()),
        option::of(duration()),
        option::of(number()),
    )
        .prop_map(|(absent, kind, label, filter, within, times)| Step {
            absent,
            kind,
            label,
            filter,
            within,
            times,
            span: span(),
        });
    let sequence = (vec(value(), 1..3), duration(), vec(step, 2..4)).prop_map(|(per, within, mut steps)| {
        steps[0].absent = false;
        OnWhat::Sequence { per, within, steps }
    });
    let events = (vec(name(), 0..3), option::of(expr())).prop_map(|(kinds, filter)| OnWhat::Events { kinds, filter });
    prop_oneof![3 => events, 1 => sequence].prop_map(|what| On { span: span(), what }).boxed()
}

fn over() -> BoxedStrategy<Over> {
    prop_oneof![
        (duration(), option::of(duration())).prop_map(|(length, every)| Window::Sliding { length, every }),
        duration().prop_map(|length| Window::Tumbling { length }),
        (duration(), option::of(duration())).prop_map(|(gap, most)| Window::Session { gap, most }),
    ]
    .prop_map(|window| Over { span: span(), window })
    .boxed()
}

fn action() -> BoxedStrategy<Action> {
    let scope = || option::of(select(vec![Scope::Account, Scope::Key, Scope::Org, Scope::Group]));
    let verb = prop_oneof![
        text().prop_map(ActionVerb::Alert),
        scope().prop_map(ActionVerb::Flag),
        (scope(), number(), duration()).prop_map(|(s, n, d)| ActionVerb::Throttle(s, n, d)),
        scope().prop_map(ActionVerb::Challenge),
        scope().prop_map(ActionVerb::Block),
    ];
    (any::<bool>(), option::of(duration()), verb, option::of(duration()))
        .prop_map(|(after_review, delayed, verb, duration)| Action {
            after_review,
            delayed,
            verb,
            duration,
            span: span(),
        })
        .boxed()
}

fn exception() -> BoxedStrategy<Exception> {
    (expr(), option::of(text()), option::of(text()), option::of(text()), option::of(date()), option::of(date()))
        .prop_map(|(filter, because, owner, evidence, from, until)| Exception {
            filter,
            because,
            owner,
            evidence,
            from,
            until,
            span: span(),
        })
        .boxed()
}

fn test() -> BoxedStrategy<Test> {
    // `list` and `row` begin other lines, and `each`, `every`, `at` go on with this one.
    let kind = select(vec!["completion", "signups", "x"]).prop_map(|t| Name { text: t.to_string(), span: span() });
    let fields = || vec((path(), expr()), 0..3);
    let events =
        (option::of(number()), number(), kind, option::of(duration()), option::of(duration()), fields()).prop_map(
            |(accounts, count, kind, every, at, fields)| GivenWhat::Events { accounts, count, kind, every, at, fields },
        );
    let given = prop_oneof![
        events,
        (name(), vec(expr(), 0..3)).prop_map(|(name, values)| GivenWhat::List { name, values }),
        (name(), text(), fields()).prop_map(|(table, key, fields)| GivenWhat::Row { table, key, fields }),
    ]
    .prop_map(|what| Given { span: span(), what });
    let expect = prop_oneof![
        Just(ExpectWhat::Nothing),
        Just(ExpectWhat::Exempted),
        (number(), option::of(expr())).prop_map(|(count, with)| ExpectWhat::Violations { count, with }),
    ]
    .prop_map(|what| Expect { span: span(), what });
    (text(), vec(given, 0..3), vec(expect, 0..3))
        .prop_map(|(name, given, expect)| Test { name, given, expect, span: span() })
        .boxed()
}

fn let_() -> BoxedStrategy<Let> {
    (name(), whole()).prop_map(|(name, value)| Let { name, value, span: span() }).boxed()
}

fn rule() -> BoxedStrategy<Rule> {
    let head =
        (name(), vec(path(), 0..3), option::of(name()), option::of(name()), option::of(name()), option::of(on()));
    let body = (
        vec(value(), 0..3),
        option::of(over()),
        vec(let_(), 0..3),
        option::of(expr()),
        vec(exception(), 0..2),
        vec(action(), 0..3),
    );
    let tail = (
        option::of(duration()),
        option::of(number()),
        option::of(0i64..1_000_000),
        option::of(name()),
        option::of(text()),
        vec(text(), 0..3),
        vec(test(), 0..3),
    );
    (head, body, tail)
        .prop_map(|(h, b, t)| Rule {
            name: h.0,
            enforces: h.1,
            severity: h.2,
            confidence: h.3,
            mode: h.4,
            on: h.5,
            per: b.0,
            over: b.1,
            lets: b.2,
            when: b.3,
            exceptions: b.4,
            actions: b.5,
            cooldown: t.0,
            budget: t.1,
            rollout: t.2.map(at),
            changed: t.3,
            because: t.4,
            mistaken_for: t.5,
            tests: t.6,
            span: span(),
        })
        .boxed()
}

fn policy() -> BoxedStrategy<Policy> {
    let clause = (any::<bool>(), name(), option::of(text()), option::of(date()), option::of(date()), text()).prop_map(
        |(permits, name, at, from, until, says)| Clause { permits, name, at, from, until, says, span: span() },
    );
    let clauses = vec(clause, 0..4);
    (path(), date(), option::of(text()), option::of(text()), option::of((date(), option::of(date()))), clauses)
        .prop_map(|(name, version, title, url, effective, clauses)| Policy {
            name,
            version,
            title,
            url,
            effective,
            clauses,
            span: span(),
        })
        .boxed()
}

pub(super) fn item() -> BoxedStrategy<Item> {
    let valid = || option::of((column(), column()));
    let values = prop_oneof![
        vec(expr(), 0..4).prop_map(ListValues::Inline),
        (text(), option::of(column()), valid()).prop_map(|(path, column, valid)| ListValues::File {
            path,
            column,
            valid
        }),
    ];
    let family = (value(), duration(), option::of(number()), vec(path(), 0..3), option::of(number()))
        .prop_map(|(by, within, used, ignoring, cap)| Family { by, within, used, ignoring, cap, span: span() });
    let limit = (rule(), on(), over(), option::of(value()), value(), value()).prop_map(
        |(sections, on, over, reserve, settle, most)| Limit {
            sections: Rule { on: Some(on), over: Some(over), lets: Vec::new(), when: None, ..sections },
            reserve,
            settle,
            most,
        },
    );
    prop_oneof![
        1 => policy().prop_map(Item::Policy),
        1 => (name(), name(), values).prop_map(|(name, ty, values)| Item::List(List { name, ty, values, span: span() })),
        1 => (name(), value(), text(), valid(), vec((name(), name()), 0..4))
            .prop_map(|(name, key, path, valid, columns)| Item::Table(Table { name, key, path, valid, columns, span: span() })),
        1 => let_().prop_map(Item::Let),
        4 => rule().prop_map(Item::Rule),
        1 => (name(), name(), vec(path(), 1..3), option::of(name()), option::of(name())).prop_map(
            |(name, definition, enforces, severity, mode)| Item::Apply(Apply { name, definition, enforces, severity, mode, span: span() })
        ),
        1 => (name(), path(), vec(family, 0..4), option::of(number()))
            .prop_map(|(name, of, families, needs)| Item::Link(Link { name, of, families, needs, span: span() })),
        1 => (name(), on(), vec(value(), 0..2), duration(), whole(), option::of(0i64..1_000_000)).prop_map(
            |(name, on, per, every, value, outage)| Item::Series(Series { name, on, per, every, value, outage: outage.map(at), span: span() })
        ),
        1 => limit.prop_map(Item::Limit),
    ]
    .boxed()
}

pub(super) fn file() -> BoxedStrategy<File> {
    vec(item(), 0..4).prop_map(|items| File { items, ..File::default() }).boxed()
}
