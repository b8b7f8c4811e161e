//! Random rules and events. A rule set and each event are read off a list of small numbers; where the list ends, zeros
//! follow, and zero is always the simplest choice, so that shorter and smaller numbers are simpler cases.

use std::net::IpAddr;

use fineprint::eval::{EvalOptions, Secret};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::hir::{
    Action, Aggregate, Arithmetic, Ask, Baseline, ClauseRef, Compare, Confidence, Const, Exception, Expr, ExprKind,
    Function, ListId, Memory, Mode, Piece, Program, Rule, Series, SeriesId, Severity, Shape, TableId, TextTest, Verb,
    Whose, WindowOutage, Windowed, key_type,
};
use fineprint::source::Span;
use fineprint::template::Strictness;
use fineprint::time::{DAY_NS, Duration, HOUR_NS, MINUTE_NS, SECOND_NS, Timestamp};
use fineprint::value::{MICROS, Type};
use proptest::prelude::*;

use super::build::*;
use super::expr::same;
use super::rows::{ListRow, Rows, TableRow};
use super::steps::sequence_of;
use super::template;
use super::window::Event;

/// Numbers that stand for choices.
pub struct Choices<'a> {
    numbers: &'a [u16],
    at: usize,
    /// How often memory may still be asked.
    asks: usize,
    /// The series that may be asked for outages.
    series: Option<Series>,
}

impl<'a> Choices<'a> {
    pub fn new(numbers: &'a [u16]) -> Self {
        Choices { numbers, at: 0, asks: 0, series: None }
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        let number = self.numbers.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(number) % n
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

const ACCOUNTS: [&str; 4] = ["ann", "bob", "Ann", "ſam"];
const ORGS: [&str; 3] = ["acme", "ann", "Größe"];
const MODELS: [&str; 2] = ["m1", "M1"];
const COUNTRIES: [&str; 3] = ["DE", "CN", "US"];
const HASHES: [&str; 3] = ["f0", "f1", "f2"];
const FLAGS: [&str; 3] = ["beta", "Beta", "k"];
/// `K` is the Kelvin sign: it folds to `k`, as `ſ` folds to `s`; `ß` folds to itself alone; `İ` lower-cases to two characters.
const TEXTS: [&str; 10] = [
    "",
    "step by step",
    "STEP BY STEP",
    "ſtep by ſtep",
    "10 K",
    "10 k",
    "straße",
    "STRASSE",
    "İstanbul ΑΣ",
    "日本 step",
];
/// Prompts of more words than a shingle; the last is that of the list of known templates, with a payload.
const WORDINGS: [&str; 4] = [
    "Rewrite the task below so that it is harder but keep its answer as it is",
    "rewrite the TASK below so that it is harder, but keep its answer as it is: what is seven times eight and why",
    "one two three four five six seven eight nine ten",
    "You are a helpful assistant who answers in rhymes and never in prose whatever you are asked: where is the sea",
];
const KNOWN_TEMPLATE: &str =
    "You are a helpful assistant who answers in rhymes and never in prose whatever you are asked";
const PHRASES: [&str; 9] = ["step", "Step", "k", "K", "ß", "s", "by", "日本", "ας"];
const PATTERNS: [&str; 7] = ["step", "^s", r"\bby\b", "[[:upper:]]{2}", "(?i)K", "(a|e)+p?$", r"\d+ .$"];
const ADDRESSES: [&str; 5] = ["10.0.0.1", "10.0.0.9", "10.0.1.1", "2001:db8::1", "2001:db8:0:1::1"];
const NETS: [&str; 4] = ["10.0.0.0/24", "10.0.0.0/8", "2001:db8::/48", "0.0.0.0/0"];
const SMALL: [i64; 7] = [0, 1, 2, 3, 7, -1, -2];
const HUGE: [i64; 3] = [i64::MAX, i64::MIN, i64::MAX / 2];

/// How far apart things are in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Events lie within `[start, start + span)`.
    pub start: i64,
    pub span: i64,
    /// Length and step of windows, in seconds.
    pub windows: &'static [(i64, i64)],
    /// Most that events come out of order, in seconds.
    pub lateness: &'static [i64],
}

const DAY: i64 = 86_400;
const SECONDS: &[(i64, i64)] = &[(10, 10), (60, 10), (10, 1), (60, 60), (10, 5), (60, 12), (60, 1), (86_400, 900)];
const DAYS: &[(i64, i64)] = &[(DAY, DAY), (DAY, 6 * 3600), (DAY, 2 * 3600), (3600, 3600), (3600, 900)];
/// 2026-01-01, the epoch itself, and across it.
const STARTS: [i64; 3] = [1_767_225_600 * SECOND_NS, 0, -40 * SECOND_NS];

impl Scale {
    fn choose(c: &mut Choices<'_>) -> Scale {
        let start = c.pick(&STARTS);
        match c.below(4) {
            3 => Scale { start, span: 2 * DAY_NS, windows: DAYS, lateness: &[300, 0, 7200] },
            2 => Scale { start, span: 10 * MINUTE_NS, windows: SECONDS, lateness: &[30, 300, 0] },
            _ => Scale { start, span: 90 * SECOND_NS, windows: SECONDS, lateness: &[5, 0, 30, 300] },
        }
    }

    fn moment(self, c: &mut Choices<'_>) -> Timestamp {
        let unit = self.span / 90;
        // Half of all moments lie close together.
        let within = c.pick(&[90, 12]);
        let at = c.below(within) as i64 * unit;
        // On a boundary of steps, next to one, or anywhere.
        let fine = match c.below(6) {
            0..=2 => 0,
            3 => 1,
            4 => -1,
            _ => c.below(1_000) as i64 * (unit / 1_000),
        };
        Timestamp(self.start + at + fine)
    }
}

/// A rule set with its reference data and options.
#[derive(Debug, Clone)]
pub struct Setting {
    pub program: Program,
    pub rows: Rows,
    pub options: EvalOptions,
    pub scale: Scale,
}

/// The setting that these numbers stand for.
pub fn setting(numbers: &[u16]) -> Setting {
    let c = &mut Choices::new(numbers);
    let scale = Scale::choose(c);
    let options = EvalOptions {
        lateness: Duration::from_secs(c.pick(scale.lateness)),
        future: Duration::from_secs(c.pick(&[300, 0, 10])),
        as_of: c.once_in(5).then(|| scale.moment(c)),
        delay_secret: c.pick(&[None, Secret::new(b"sixteen bytes it")]),
        ..EvalOptions::default()
    };
    c.series = c.once_in(2).then(|| series_of(c, scale));
    let count = 1 + c.below(3);
    let rules = (0..count).map(|i| rule_of(c, scale, i)).collect();
    let mut program = program(rules, Timestamp(scale.start + scale.span / 9), Timestamp(scale.start + scale.span / 3));
    program.series = c.series.clone().into_iter().collect();
    program.tables = vec![
        table(
            "account",
            field(FieldId::ACCOUNT),
            &[("org_verified", Type::Bool), ("tier", Type::String), ("limit", Type::Integer)],
        ),
        table("models", field(FieldId::MODEL), &[("owner", Type::String)]),
        table("networks", field(FieldId::IP), &[("class", Type::String)]),
    ];
    program.lists = vec![
        list("licensed", Type::String),
        list("unsupported", Type::Country),
        list("clouds", Type::Cidr),
        list("phrases", Type::String),
        list("statuses", Type::Integer),
        list("templates", Type::Fingerprint),
    ];
    let rows = rows_of(c, scale);
    Setting { program, rows, options, scale }
}

pub(super) fn validity(c: &mut Choices<'_>, scale: Scale) -> (Option<Timestamp>, Option<Timestamp>) {
    match c.below(4) {
        0 | 1 => (None, None),
        2 => (Some(scale.moment(c)), None),
        _ => (None, Some(scale.moment(c))),
    }
}

fn rows_of(c: &mut Choices<'_>, scale: Scale) -> Rows {
    let rows = |values: Vec<Const>, c: &mut Choices<'_>| -> Vec<ListRow> {
        let mut kept = Vec::new();
        for value in values {
            let (from, until) = validity(c, scale);
            if !c.once_in(2) {
                kept.push(ListRow { value, from, until });
            }
        }
        kept
    };
    let texts = |all: &[&str]| all.iter().map(|t| Const::Text((*t).to_string())).collect::<Vec<_>>();
    let lists = vec![
        rows(texts(&["ann", "ſam", "beta"]), c),
        rows(texts(&COUNTRIES), c),
        rows(NETS[..3].iter().map(|n| Const::Net(n.parse().unwrap())).collect(), c),
        rows(texts(&["step by", "K", "ß"]), c),
        rows(vec![Const::Num(200), Const::Num(429)], c),
        rows(known_templates(), c),
    ];
    let mut accounts = Vec::new();
    for key in ACCOUNTS {
        // One row for good, one that is replaced by another, or none.
        let change = scale.moment(c);
        let ends = [(None, Some(change)), (Some(change), None)];
        let bounds: &[_] = match c.below(4) {
            0 | 1 => &[(None, None)],
            2 => &ends,
            _ => &[],
        };
        for (from, until) in bounds {
            let cells = vec![
                c.pick(&[Some(Const::Bool(true)), Some(Const::Bool(false)), None]),
                c.pick(&[Some(Const::Text("free".into())), Some(Const::Text("pro".into())), None]),
                c.pick(&[Some(Const::Num(1)), Some(Const::Num(3)), None]),
            ];
            accounts.push(TableRow { key: key.to_string(), cells, from: *from, until: *until });
        }
    }
    let models =
        vec![TableRow { key: "m1".into(), cells: vec![Some(Const::Text("acme".into()))], from: None, until: None }];
    let mut networks = Vec::new();
    for (net, class) in
        [("10.0.0.0/8", "free"), ("10.0.0.0/24", "pro"), ("10.0.0.9/32", "ann"), ("2001:db8::/32", "m1")]
    {
        let (from, until) = validity(c, scale);
        if !c.once_in(3) {
            networks.push(TableRow { key: net.into(), cells: vec![Some(Const::Text(class.into()))], from, until });
        }
    }
    Rows { lists, tables: vec![accounts, models, networks] }
}

/// One as a text, one as its fingerprints.
fn known_templates() -> Vec<Const> {
    let (made, _) = template::fingerprints(template::PUBLIC, Strictness::Strict, WORDINGS[0]);
    let made = made.into_iter().take(1).map(|f| Const::Text(template::hex(f)));
    made.chain([Const::Text(KNOWN_TEMPLATE.to_string())]).collect()
}

fn template_of(c: &mut Choices<'_>) -> Expr {
    let strictness = c.pick(&Strictness::ALL);
    let of = c.pick(&[FieldId::PROMPT, FieldId::PROMPT, FieldId::SYSTEM_PROMPT]);
    expr(Type::List(Box::new(Type::Fingerprint)), ExprKind::Template(of, strictness))
}

fn column(c: u16, ty: Type) -> Expr {
    expr(ty, ExprKind::Column(TableId::ACCOUNTS, c))
}

const KINDS: [&[Kind]; 4] = [&[Kind::Completion], &[Kind::Completion, Kind::Request], &[Kind::Signup], &Kind::ALL];

fn rule_of(c: &mut Choices<'_>, scale: Scale, number: usize) -> Rule {
    let (windowed, sequence) = match c.below(6) {
        5 => (false, false),
        3 | 4 => (false, true),
        _ => (true, false),
    };
    c.asks = 3;
    let filter = (!sequence && (!windowed || c.once_in(3))).then(|| condition(c, 2));
    let mut made = rule(&format!("r{number}"), filter);
    if c.once_in(3) {
        made.kinds = c.pick(&KINDS).to_vec();
    }
    if windowed {
        let (shape, lets) = windowed_of(c, scale);
        made.because.extend(lets.iter().map(|(name, value)| Piece::Value(name.clone(), value.clone())));
        if let Some(part) = shape.per.first() {
            made.because.push(Piece::Text(" of ".into()));
            made.because.push(Piece::Value("key".into(), expr(key_type(part).clone(), ExprKind::Key(0))));
        }
        made.lets = lets;
        made.shape = Shape::Windowed(shape);
    } else if sequence {
        let (shape, lets) = sequence_of(c, scale);
        made.because.extend(lets.iter().map(|(name, value)| Piece::Value(name.clone(), value.clone())));
        made.kinds = shape.steps.iter().flat_map(|step| step.kinds.clone()).collect();
        made.kinds.sort();
        made.kinds.dedup();
        made.lets = lets;
        made.shape = Shape::Sequence(shape);
    } else if c.once_in(2) {
        made.lets.push(("tokens".into(), number_of(c, &Type::Tokens, 1)));
        made.lets.push(("model".into(), text_of(c, 1)));
        made.because.extend(made.lets.iter().map(|(name, value)| Piece::Value(name.clone(), value.clone())));
    }
    for _ in 0..c.pick(&[0, 1, 1, 2]) {
        let (from, until) = validity(c, scale);
        // Often of one account: an exception that takes out some of a group, or all, is the one that tells.
        let filter = match c.below(3) {
            0 => equals(FieldId::ACCOUNT, c.pick(&ACCOUNTS)),
            1 => is(FieldId::STATUS, Compare::Equal, c.pick(&[200, 429])),
            _ => condition(c, 1),
        };
        made.exceptions.push(Exception { from, until, ..except(filter) });
    }
    if c.once_in(3) {
        made.cooldown = Some(Duration(c.pick(&[10 * SECOND_NS, 25 * SECOND_NS, 1, MINUTE_NS, HOUR_NS])));
    }
    if c.once_in(2) {
        made.actions = vec![
            Action { after_review: false, delayed: None, verb: Verb::Alert("ops".into()), scope: "", duration: None },
            Action {
                after_review: true,
                delayed: c.pick(&[None, Some(Duration(HOUR_NS)), Some(Duration(SECOND_NS))]),
                verb: Verb::Block,
                scope: "group",
                duration: Some(Duration(7 * DAY_NS)),
            },
            Action {
                after_review: false,
                delayed: None,
                verb: Verb::Throttle(10, Duration(MINUTE_NS)),
                scope: c.pick(&["account", "key", "org"]),
                duration: None,
            },
        ];
        made.budget = c.pick(&[None, Some(1), Some(2), Some(0)]);
        made.rollout = c.pick(&[None, Some(MICROS / 2), Some(MICROS), Some(0)]);
        made.severity = Severity::High;
        made.confidence = Confidence::Low;
        made.mode = Mode::Flag;
        made.mistaken_for = vec!["a classroom".into()];
        let newer = ClauseRef { policy: "acme.usage".into(), clause: "fair-use".into(), versions: vec![(1, 0)] };
        made.enforces.push(newer);
    }
    made
}

fn series_of(c: &mut Choices<'_>, scale: Scale) -> Series {
    let every = if scale.windows[0].0 == DAY { c.pick(&[3_600, 900]) } else { c.pick(&[5, 1, 10]) };
    let counting = match c.below(4) {
        0 | 3 => aggregate(Function::Count, None),
        1 => aggregate(Function::Count, Some(condition(c, 0))),
        _ => aggregate(c.pick(&[Function::Max(field(FieldId::STATUS)), distinct(vec![field(FieldId::MODEL)])]), None),
    };
    let aggregates = vec![counting];
    Series {
        name: "fleet".into(),
        kinds: c.pick(&[KINDS[3], KINDS[0]]).to_vec(),
        filter: c.once_in(4).then(|| condition(c, 0)),
        per: c.pick(&[vec![], vec![field(FieldId::ACCOUNT)]]),
        every: Duration::from_secs(every),
        value: result(&aggregates, 0),
        aggregates,
        outage: Some(c.pick(&[999_999, 500_000, 200_000])),
        steps: c.pick(&[9, 4, 2]),
        least: c.pick(&[1, 2, 3]),
        span: Span::default(),
    }
}

/// An outage within a window, where the series' steps and its key allow it.
fn outage_within(c: &Choices<'_>, per: &[Expr], length: i64, step: i64) -> Option<Expr> {
    let s = c.series.as_ref().filter(|s| (step * SECOND_NS) % s.every.0 == 0)?;
    let place = |part: &Expr| per.iter().position(|p| same(p, part)).map(|at| at as u16);
    let keys = s.per.iter().map(place).collect::<Option<Vec<u16>>>()?;
    let outage = WindowOutage { series: SeriesId(0), keys, length: Duration::from_secs(length) };
    Some(expr(Type::Bool, ExprKind::WindowOutage(Box::new(outage))))
}

fn windowed_of(c: &mut Choices<'_>, scale: Scale) -> (Windowed, Vec<(String, Expr)>) {
    let mut per = Vec::new();
    for _ in 0..c.pick(&[1, 0, 1, 2]) {
        per.push(match c.below(10) {
            // At most one part of several values.
            8 | 9 if per.iter().all(|part: &Expr| !matches!(part.ty, Type::List(_))) => match c.below(4) {
                0 => field(FieldId::HEADER_FLAGS),
                _ => template_of(c),
            },
            0 | 1 => field(FieldId::ACCOUNT),
            2 => field(FieldId::ORG),
            3 => network(field(FieldId::IP), 24, 48),
            4 => column(1, Type::String),
            5 => field(FieldId::BATCH),
            6 => expr(Type::String, ExprKind::Lower(Box::new(field(FieldId::MODEL)))),
            _ => or_default(field(FieldId::MODEL), text("none")),
        });
    }
    let (mut length, mut step) = c.pick(scale.windows);
    // A session of that length at most, with a gap of a few steps.
    let gap = c.once_in(4).then(|| {
        length = length.max(step * 3);
        step = if step * 12 >= length { (step / 12).max(1) } else { step };
        Duration::from_secs(step * c.pick(&[12, 3, 1]).min(length / step))
    });
    let count = 1 + c.below(3);
    let mut aggregates: Vec<Aggregate> = (0..count).map(|_| aggregate_of(c)).collect();
    let looks_back = gap.is_none() && c.once_in(2);
    if looks_back {
        // Groups of many events, and windows short enough for several of them to lie in the case.
        let keys = [vec![FieldId::ACCOUNT], vec![], vec![FieldId::BATCH], vec![FieldId::HEADER_FLAGS]];
        per = c.pick(&keys).into_iter().map(field).collect();
        if c.once_in(2) {
            aggregates[0] = aggregate(Function::Count, None);
        }
        (length, step) = match scale.windows[0].0 {
            DAY => c.pick(&[(3_600, 3_600), (7_200, 3_600), (3_600, 900)]),
            _ => c.pick(&[(10, 10), (10, 5), (6, 2)]),
        };
        for _ in 0..1 + c.below(2) {
            aggregates.extend(baseline_of(c, &aggregates));
        }
    }

    let mut lets = Vec::new();
    for i in 0..c.below(3) {
        let value = match c.below(4) {
            0 | 1 => result(&aggregates, i % aggregates.len()),
            _ => over_window(c, &aggregates, 1),
        };
        // A value may be called like a function.
        let name = if i == 1 { "count".to_string() } else { format!("v{i}") };
        lets.push((name, value));
    }
    let outage = outage_within(c, &per, length, step).filter(|_| gap.is_none());
    let mut when = window_condition(c, &aggregates, &lets, (&per, outage.as_ref()), 1);
    if looks_back && !c.once_in(4) {
        when = looking_back(c, &aggregates, outage.as_ref());
    }
    if let Some(outage) = outage {
        lets.push(("outage".into(), outage));
    }
    let (length, step) = (Duration::from_secs(length), Duration::from_secs(step));
    let only = only_of(c, &per);
    (Windowed { per, link: None, only, length, step, gap, aggregates, when }, lets)
}

/// Which values of a part of several are keys.
fn only_of(c: &mut Choices<'_>, per: &[Expr]) -> Vec<Expr> {
    let boolean = |kind| expr(Type::Bool, kind);
    let Some(part) = per.iter().find(|part| matches!(part.ty, Type::List(_))) else { return Vec::new() };
    let of = Box::new(part.clone());
    let test = match (c.below(6), &part.kind) {
        (4, ExprKind::Template(..)) => boolean(ExprKind::InList(of, ListId(5))),
        (4, _) => boolean(ExprKind::InSet(of, vec![Const::Text(c.pick(&FLAGS).to_string())])),
        (5, ExprKind::Template(..)) => boolean(ExprKind::InSet(of, vec![Const::Text("00000000000000aa".into())])),
        (5, _) => boolean(ExprKind::InList(of, ListId(0))),
        _ => return Vec::new(),
    };
    vec![if c.once_in(3) { test } else { not(test) }]
}

pub(super) fn aggregate_of(c: &mut Choices<'_>) -> Aggregate {
    let function = match c.below(18) {
        0 | 1 => Function::Count,
        2 => Function::Sum(any_number(c)),
        3 => Function::Min(any_number(c)),
        4 => Function::Max(any_number(c)),
        5 => Function::Average(any_number(c)),
        6 => Function::Share(condition(c, 1)),
        7 => distinct(match c.below(6) {
            4 => vec![field(FieldId::HEADER_FLAGS)],
            5 => vec![template_of(c)],
            0 => vec![field(FieldId::ACCOUNT)],
            1 => vec![field(FieldId::ORG), field(FieldId::MODEL)],
            2 => vec![network(field(FieldId::IP), 24, 64)],
            _ => vec![field(FieldId::STATUS)],
        }),
        9 => Function::Quantile(any_number(c), c.pick(&[500_000, 950_000, 1, 333_333, 999_999])),
        10 => Function::Spread(any_number(c)),
        11 => Function::TopShare(told_apart(c), c.pick(&[1, 2, 3])),
        12 => Function::Entropy(told_apart(c)),
        13 => Function::First(any_value(c)),
        14 => Function::Last(any_value(c)),
        15 => Function::Rate,
        16 => Function::LongestIdle,
        17 => Function::TopSpeed(field(FieldId::COUNTRY)),
        _ => {
            let verified = c.pick(&[Some(column(0, Type::Bool)), None]);
            Function::Distinct { of: vec![field(FieldId::ACCOUNT)], one_per: Some((field(FieldId::ORG), verified)) }
        }
    };
    let filter = c.once_in(3).then(|| condition(c, 1));
    aggregate(function, filter)
}

/// A condition that holds, or not, by what lies back.
fn looking_back(c: &mut Choices<'_>, aggregates: &[Aggregate], outage: Option<&Expr>) -> Expr {
    let baselines: Vec<usize> =
        (0..aggregates.len()).filter(|i| aggregates[*i].function.baseline().is_some()).collect();
    if baselines.is_empty() || outage.is_some() && c.once_in(2) {
        let any = compare(Compare::GreaterEqual, result(aggregates, 0), result(aggregates, 0));
        return match outage {
            Some(outage) if c.once_in(2) => and(vec![any, not(outage.clone())]),
            Some(outage) => and(vec![outage.clone(), any]),
            None => any,
        };
    }
    let baseline = result(aggregates, c.pick(&baselines));
    let of = match aggregates.iter().find_map(|a| a.function.baseline()) {
        Some(b) if b.of.ty == baseline.ty => b.of.clone(),
        _ => num(baseline.ty.clone(), c.pick(&[1, 2, 0])),
    };
    match c.below(3) {
        0 => expr(Type::Bool, ExprKind::Exists(Box::new(baseline))),
        1 => compare(c.pick(&[Compare::GreaterEqual, Compare::LessEqual, Compare::NotEqual]), of, baseline),
        _ => compare(c.pick(&[Compare::GreaterEqual, Compare::Less]), baseline, of),
    }
}

/// A baseline of one of the aggregates, where that is a number.
pub fn baseline_of(c: &mut Choices<'_>, aggregates: &[Aggregate]) -> Option<Aggregate> {
    let counting: Vec<usize> = (0..aggregates.len())
        .filter(|i| aggregates[*i].ty.is_number() && aggregates[*i].ty != Type::Timestamp)
        .filter(|i| aggregates[*i].function.baseline().is_none())
        .collect();
    let one = |c: &mut Choices<'_>| result(aggregates, c.pick(&counting));
    if counting.is_empty() {
        return None;
    }
    let first = one(c);
    let of = match c.below(4) {
        3 => {
            let other = one(c);
            arithmetic(Type::Decimal, Arithmetic::Ratio, first, other)
        }
        2 => or_default(first.clone(), num(first.ty, 0)),
        _ => first,
    };
    let whose = match c.below(2) {
        0 => Whose::Own,
        _ => Whose::Cohort(c.pick(&[
            vec![field(FieldId::MODEL)],
            vec![field(FieldId::COUNTRY), field(FieldId::REFUSED)],
            vec![is(FieldId::STATUS, Compare::Equal, 200)],
        ])),
    };
    let (share, windows, least) = (c.pick(&[500_000, 950_000, 1]), c.pick(&[5, 3, 9, 1]), c.pick(&[1, 1, 2, 3]));
    let baseline = Baseline { of, share, windows, least, whose };
    Some(aggregate(Function::Baseline(Box::new(baseline)), None))
}

fn any_number(c: &mut Choices<'_>) -> Expr {
    let ty = c.pick(&[Type::Integer, Type::Tokens, Type::Decimal, Type::Money, Type::Duration]);
    number_of(c, &ty, 1)
}

/// A value that can be told from others.
fn any_value(c: &mut Choices<'_>) -> Expr {
    match c.below(6) {
        0 => field(FieldId::ACCOUNT),
        1 => field(FieldId::STATUS),
        2 => network(field(FieldId::IP), 24, 64),
        3 => field(FieldId::REFUSED),
        4 => any_number(c),
        _ => text_of(c, 1),
    }
}

/// The same, or several at once.
fn told_apart(c: &mut Choices<'_>) -> Expr {
    match c.below(4) {
        2 => field(FieldId::HEADER_FLAGS),
        3 => template_of(c),
        _ => any_value(c),
    }
}

/// A number over the window.
pub(super) fn over_window(c: &mut Choices<'_>, aggregates: &[Aggregate], depth: usize) -> Expr {
    let one = result(aggregates, c.below(aggregates.len()));
    if depth == 0 || !one.ty.is_number() {
        return one;
    }
    let ty = one.ty.clone();
    match c.below(8) {
        0..=3 => one,
        4 => or_default(one, num(ty, c.pick(&SMALL))),
        5 => arithmetic(ty.clone(), c.pick(&[Arithmetic::Add, Arithmetic::Subtract]), one.clone(), one),
        6 => {
            let other = result(aggregates, c.below(aggregates.len()));
            if !other.ty.is_number() {
                return one;
            }
            // Scales differ only in their unit: the quotient is a number of millionths all the same.
            arithmetic(Type::Decimal, Arithmetic::Ratio, one, other)
        }
        _ => arithmetic(ty, Arithmetic::Divide, one, num(Type::Integer, c.pick(&SMALL))),
    }
}

pub(super) fn window_condition(
    c: &mut Choices<'_>,
    aggregates: &[Aggregate],
    lets: &[(String, Expr)],
    (per, outage): (&[Expr], Option<&Expr>),
    depth: usize,
) -> Expr {
    let ops =
        [Compare::GreaterEqual, Compare::Greater, Compare::LessEqual, Compare::Less, Compare::Equal, Compare::NotEqual];
    if depth > 0 && c.once_in(2) {
        let count = 1 + c.below(3);
        let parts: Vec<Expr> =
            (0..count).map(|_| window_condition(c, aggregates, lets, (per, outage), depth - 1)).collect();
        return match c.below(5) {
            0 | 1 => and(parts),
            2 => or(parts),
            3 => not(and(parts)),
            _ => expr(Type::Bool, ExprKind::AtLeast(c.below(3) as u32, parts)),
        };
    }
    if let (true, Some(outage)) = (c.once_in(4), outage) {
        return if c.once_in(2) { not(outage.clone()) } else { outage.clone() };
    }
    if c.once_in(8) {
        return expr(Type::Bool, ExprKind::Exists(Box::new(over_window(c, aggregates, 0))));
    }
    if let (true, Some(part)) = (c.once_in(8), per.first().filter(|part| part.ty == Type::String)) {
        let key = expr(part.ty.clone(), ExprKind::Key(0));
        return compare(c.pick(&[Compare::Equal, Compare::NotEqual]), key, text(c.pick(&ACCOUNTS)));
    }
    let value = match lets.get(c.below(3)) {
        Some((_, value)) => value.clone(),
        None => over_window(c, aggregates, 1),
    };
    match value.ty {
        Type::Bool => return value,
        Type::String => return compare(c.pick(&ops[4..]), value, text(c.pick(&ACCOUNTS))),
        Type::Cidr => return expr(Type::Bool, ExprKind::Exists(Box::new(value))),
        _ => {}
    }
    let scale = match value.ty {
        Type::Decimal | Type::Percentage | Type::Money => c.pick(&[MICROS, MICROS / 2, MICROS / 3]),
        Type::Duration => c.pick(&[1, SECOND_NS, 5 * SECOND_NS]),
        _ => 1,
    };
    let bound = num(value.ty.clone(), c.pick(&[2, 1, 3, 0, 4, -1]) * scale);
    let op = c.pick(&ops);
    if c.once_in(6) { compare(op, bound, value) } else { compare(op, value, bound) }
}

/// A condition on one event.
pub fn condition(c: &mut Choices<'_>, depth: usize) -> Expr {
    let boolean = |kind| expr(Type::Bool, kind);
    if depth > 0 && c.once_in(2) {
        let count = 1 + c.below(3);
        let parts: Vec<Expr> = (0..count).map(|_| condition(c, depth - 1)).collect();
        return match c.below(5) {
            0 => and(parts),
            1 => or(parts),
            2 => not(or(parts)),
            3 => not(and(parts)),
            _ => boolean(ExprKind::AtLeast(c.below(4) as u32, parts)),
        };
    }
    let ops =
        [Compare::Equal, Compare::NotEqual, Compare::GreaterEqual, Compare::Greater, Compare::LessEqual, Compare::Less];
    match c.below(17) {
        12..=14 if c.asks > 0 => memory(c),
        15 | 16 => {
            let of = Box::new(template_of(c));
            match c.below(5) {
                0 => boolean(ExprKind::Exists(of)),
                1 => {
                    let items = known_templates().into_iter().take(1).collect();
                    boolean(ExprKind::InSet(of, items))
                }
                2 => {
                    compare(c.pick(&ops), expr(Type::Integer, ExprKind::Length(of)), num(Type::Integer, c.pick(&SMALL)))
                }
                _ => boolean(ExprKind::InList(of, ListId(5))),
            }
        }
        0 => {
            let op = c.pick(&ops);
            is(FieldId::STATUS, op, c.pick(&[200, 429, 403]))
        }
        1 => {
            let ty = c.pick(&[Type::Integer, Type::Tokens, Type::Decimal, Type::Money, Type::Duration]);
            compare(c.pick(&ops), number_of(c, &ty, 2), number_of(c, &ty, 1))
        }
        2 => compare(c.pick(&ops[..2]), text_of(c, 1), text(c.pick(&["ann", "m1", "free", "step by step"]))),
        3 | 4 => text_condition(c),
        5 => {
            let items = (0..1 + c.below(3)).map(|_| Const::Text(c.pick(&ACCOUNTS).to_string())).collect();
            boolean(ExprKind::InSet(Box::new(text_of(c, 1)), items))
        }
        6 => {
            let items =
                vec![Const::Net(c.pick(&NETS).parse().unwrap()), Const::Ip(c.pick(&ADDRESSES).parse().unwrap())];
            boolean(ExprKind::InSet(Box::new(field(FieldId::IP)), items))
        }
        7 => {
            let items = vec![Const::Text(c.pick(&FLAGS).to_string())];
            boolean(ExprKind::InSet(Box::new(field(FieldId::HEADER_FLAGS)), items))
        }
        8 => {
            let (of, list) = match c.below(5) {
                0 => (field(FieldId::ACCOUNT), 0),
                1 => (field(FieldId::COUNTRY), 1),
                2 => (field(FieldId::IP), 2),
                3 => (field(FieldId::HEADER_FLAGS), 0),
                _ => (field(FieldId::STATUS), 4),
            };
            boolean(ExprKind::InList(Box::new(of), ListId(list)))
        }
        9 => {
            let of =
                c.pick(&[field(FieldId::ORG), field(FieldId::IP), column(1, Type::String), field(FieldId::REFUSED)]);
            boolean(ExprKind::Exists(Box::new(of)))
        }
        10 => c.pick(&[
            field(FieldId::REFUSED),
            column(0, Type::Bool),
            or_default(field(FieldId::REFUSED), boolean(ExprKind::Const(Const::Bool(true)))),
        ]),
        _ => boolean(ExprKind::InSet(
            Box::new(field(FieldId::STATUS)),
            vec![Const::Num(200), Const::Num(c.pick(&[429, 403]))],
        )),
    }
}

/// A question to memory.
fn memory(c: &mut Choices<'_>) -> Expr {
    c.asks -= 1;
    if c.series.is_some() && c.once_in(2) {
        let asked = expr(Type::Bool, ExprKind::Outage(SeriesId(0)));
        return if c.once_in(3) { not(asked) } else { asked };
    }
    let of = c.pick(&[
        field(FieldId::PROMPT_HASH),
        field(FieldId::COUNTRY),
        field(FieldId::ACCOUNT),
        network(field(FieldId::IP), 24, 48),
        field(FieldId::STATUS),
        expr(Type::String, ExprKind::Lower(Box::new(field(FieldId::MODEL)))),
    ]);
    let by = c.pick(&[field(FieldId::ACCOUNT), field(FieldId::ORG), field(FieldId::STATUS)]);
    let ask = match c.below(4) {
        0 => Ask::SeenBefore,
        1 => Ask::SeenBeforeBy(by),
        2 => Ask::FirstSeen,
        _ => Ask::NewFor(by),
    };
    let within = Duration(c.pick(&[30 * SECOND_NS, 5 * SECOND_NS, 1, MINUTE_NS, 12 * HOUR_NS]));
    let asked = expr(Type::Bool, ExprKind::Memory(Box::new(Memory { ask, of, within })));
    match c.below(4) {
        3 => or_default(asked, expr(Type::Bool, ExprKind::Const(Const::Bool(true)))),
        _ => asked,
    }
}

fn text_condition(c: &mut Choices<'_>) -> Expr {
    let phrases =
        |c: &mut Choices<'_>| (0..1 + c.below(3)).map(|_| c.pick(&PHRASES).to_string()).collect::<Vec<String>>();
    let test = match c.below(7) {
        0 => TextTest::ContainsAny(phrases(c)),
        1 => TextTest::ContainsAll(phrases(c)),
        2 => TextTest::StartsWith(c.pick(&PHRASES).to_string()),
        3 => TextTest::EndsWith(c.pick(&PHRASES).to_string()),
        4 => TextTest::ContainsAnyOf(ListId(3)),
        _ => TextTest::Matches(c.pick(&PATTERNS).to_string()),
    };
    let operand = match c.below(6) {
        0..=3 => field(FieldId::PROMPT),
        _ => text_of(c, 1),
    };
    text_test(operand, test, c.once_in(2))
}

fn text_of(c: &mut Choices<'_>, depth: usize) -> Expr {
    if depth > 0 && c.once_in(3) {
        let below = text_of(c, depth - 1);
        return match c.below(2) {
            0 => expr(Type::String, ExprKind::Lower(Box::new(below))),
            _ => or_default(below, text_of(c, 0)),
        };
    }
    match c.below(6) {
        0 | 1 => field(FieldId::ACCOUNT),
        2 => field(FieldId::MODEL),
        3 => field(FieldId::PROMPT),
        4 => column(1, Type::String),
        _ => expr(Type::String, ExprKind::Column(c.pick(&[TableId(1), TableId(2)]), 0)),
    }
}

/// A number of a type over one event.
fn number_of(c: &mut Choices<'_>, ty: &Type, depth: usize) -> Expr {
    let below = |c: &mut Choices<'_>, ty: &Type| Box::new(number_of(c, ty, depth.saturating_sub(1)));
    let make = |kind| expr(ty.clone(), kind);
    if depth > 0 && c.once_in(2) {
        return match c.below(6) {
            0 => {
                let op = c.pick(&[Arithmetic::Add, Arithmetic::Subtract]);
                make(ExprKind::Arithmetic(op, below(c, ty), below(c, ty)))
            }
            1 => make(ExprKind::OrDefault(below(c, ty), Box::new(num(ty.clone(), c.pick(&SMALL))))),
            2 => make(ExprKind::Arithmetic(Arithmetic::Multiply, below(c, ty), below(c, &Type::Integer))),
            3 => make(ExprKind::Arithmetic(Arithmetic::MultiplyMicros, below(c, ty), below(c, &Type::Decimal))),
            4 => make(ExprKind::Arithmetic(Arithmetic::Divide, below(c, ty), below(c, &Type::Integer))),
            _ => match ty {
                Type::Integer => {
                    make(ExprKind::Length(Box::new(c.pick(&[field(FieldId::PROMPT), field(FieldId::HEADER_FLAGS)]))))
                }
                Type::Decimal => match c.below(2) {
                    0 => make(ExprKind::ToMicros(below(c, &Type::Integer))),
                    _ => make(ExprKind::Arithmetic(
                        Arithmetic::Ratio,
                        below(c, &Type::Integer),
                        below(c, &Type::Integer),
                    )),
                },
                Type::Duration => {
                    let (ts, created) = (field(FieldId::TS), field(FieldId::ACCOUNT_CREATED));
                    make(ExprKind::Arithmetic(Arithmetic::Subtract, Box::new(ts), Box::new(created)))
                }
                _ => *below(c, ty),
            },
        };
    }
    if c.once_in(4) {
        return num(ty.clone(), if c.once_in(12) { c.pick(&HUGE) } else { c.pick(&SMALL) });
    }
    match ty {
        Type::Tokens => field(c.pick(&[FieldId::INPUT_TOKENS, FieldId::OUTPUT_TOKENS])),
        Type::Decimal => field(FieldId::TEMPERATURE),
        Type::Money => field(FieldId::COST),
        Type::Duration => field(FieldId::LATENCY),
        _ => c.pick(&[field(FieldId::N), field(FieldId::STATUS), column(2, Type::Integer)]),
    }
}

/// An event and when it comes: `ts` plus a delay orders the arrivals.
#[derive(Debug, Clone)]
pub struct Coming {
    pub event: Event,
    /// As a share of the lateness, in thousandths: up to 1,000 it never comes late.
    pub delay: i64,
}

/// The event that these numbers stand for; `number` makes its id, which sorts unlike its time.
pub fn event(numbers: &[u16], scale: Scale, number: usize) -> Event {
    let c = &mut Choices::new(numbers);
    let ts = scale.moment(c);
    let kind = c.pick(&[Kind::Completion, Kind::Completion, Kind::Completion, Kind::Request, Kind::Signup]);
    let mut event = UsageEvent::new(kind, format!("{:02}-é", number * 37 % 100), ts);
    let words: [(FieldId, &[&str]); 7] = [
        (FieldId::ACCOUNT, &ACCOUNTS),
        (FieldId::KEY, &["key_1", "key_2"]),
        (FieldId::ORG, &ORGS),
        (FieldId::MODEL, &MODELS),
        (FieldId::PROMPT, &TEXTS),
        (FieldId::COUNTRY, &COUNTRIES),
        (FieldId::PROMPT_HASH, &HASHES),
    ];
    for (field, from) in words {
        if !c.once_in(5) {
            event.set(field, word(c.pick(from)));
        }
    }
    let numbers: [(FieldId, &[i64]); 7] = [
        (FieldId::STATUS, &[200, 429, 403]),
        (FieldId::N, &[1, 2, 3, 0, -1]),
        (FieldId::INPUT_TOKENS, &[10, 0, 1, 3]),
        (FieldId::OUTPUT_TOKENS, &[1, 2, 0]),
        (FieldId::TEMPERATURE, &[MICROS, 0, 333_333, 1_500_000]),
        (FieldId::COST, &[MICROS, 1, 2_500_000]),
        (FieldId::LATENCY, &[SECOND_NS, 1, 3]),
    ];
    for (field, from) in numbers {
        match c.below(6) {
            4 => {}
            5 if c.once_in(8) => event.set(field, Slot::Num(c.pick(&HUGE))),
            _ => event.set(field, Slot::Num(c.pick(from))),
        }
    }
    if c.once_in(3) {
        event.set(FieldId::PROMPT, word(c.pick(&WORDINGS)));
    }
    if c.once_in(4) {
        event.set(FieldId::SYSTEM_PROMPT, word(c.pick(&WORDINGS)));
    }
    if c.once_in(4) {
        let told = ["00000000000000aa", "00000000000000AB", "not ours", "ffffffffffffffff"];
        let told = (0..c.below(4)).map(|_| c.pick(&told).to_string()).collect();
        event.set(c.pick(&[FieldId::PROMPT_FPS, FieldId::LOOSE_FPS]), Slot::Texts(told));
        if c.once_in(2) {
            event.set(FieldId::FINGERPRINT_EPOCH, Slot::Num(c.pick(&[0, 1])));
        }
    }
    for field in [FieldId::REFUSED, FieldId::BATCH] {
        match c.below(3) {
            0 => event.set(field, Slot::Bool(false)),
            1 => event.set(field, Slot::Bool(true)),
            _ => {}
        }
    }
    if !c.once_in(3) {
        event.set(FieldId::IP, Slot::Ip(c.pick(&ADDRESSES).parse::<IpAddr>().unwrap()));
    }
    if c.once_in(2) {
        let flags = (0..c.below(3)).map(|_| c.pick(&FLAGS).to_string()).collect();
        event.set(FieldId::HEADER_FLAGS, Slot::Texts(flags));
    }
    if c.once_in(2) {
        event.set(FieldId::ACCOUNT_CREATED, Slot::Num(ts.0 - c.below(5) as i64 * SECOND_NS));
    }
    // Usually in time; sometimes from the future, on the bound of what is allowed too.
    if c.once_in(4) {
        let ahead = c.pick(&[0, -5, 10, 300, 301, 4_000]);
        event.set(FieldId::INGEST_TS, Slot::Num(ts.0 - ahead * SECOND_NS));
    }
    sealed(event)
}

/// A case: numbers for the setting and for each event, and for each event what else comes of it.
#[derive(Debug, Clone)]
pub struct Numbers {
    pub setting: Vec<u16>,
    pub events: Vec<(Vec<u16>, u8, u16)>,
}

/// Numbers for a case of up to `most` events.
pub fn numbers(most: usize) -> impl Strategy<Value = Numbers> {
    let event = (prop::collection::vec(0u16..1_000, 0..48), any::<u8>(), 0u16..3_000);
    (prop::collection::vec(0u16..1_000, 0..400), prop::collection::vec(event, 0..most))
        .prop_map(|(setting, events)| Numbers { setting, events })
}

/// The events of a case, in the order in which they are made. Some come twice, some with other content.
/// Within the lateness nothing comes late and records of one id have one time: there the order of arrival must not show.
pub fn comings(numbers: &Numbers, scale: Scale, within_lateness: bool) -> Vec<Coming> {
    let mut all = Vec::new();
    for (number, (choices, what, delay)) in numbers.events.iter().enumerate() {
        let event = event(choices, scale, number);
        let delay = i64::from(*delay);
        let delay = if within_lateness {
            delay % 1_001
        } else if delay < 2_000 {
            delay / 2
        } else {
            delay
        };
        let again = (delay * 7) % if within_lateness { 1_001 } else { 1_800 };
        match what % 12 {
            11 => all.push(Coming { event: event.clone(), delay: again }),
            10 => {
                let mut other = event.clone();
                other.set(FieldId::N, Slot::Num(17));
                if !within_lateness && what % 2 == 0 {
                    let apart = (what / 12 % 4) as i64 * (scale.span / 90);
                    other.set(FieldId::TS, Slot::Num(event.ts().0 + apart));
                }
                all.push(Coming { event: sealed(other), delay: again });
            }
            _ => {}
        }
        all.push(Coming { event, delay });
    }
    all
}

/// Events as they arrive: by time plus delay, ties as they come.
pub fn arranged(mut comings: Vec<Coming>, lateness: Duration) -> Vec<Event> {
    comings.sort_by_key(|c| i128::from(c.event.ts().0) * 1_000 + i128::from(lateness.0) * i128::from(c.delay));
    comings.into_iter().map(|c| c.event).collect()
}
