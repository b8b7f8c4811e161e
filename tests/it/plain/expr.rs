//! Expressions, interpreted as written each time they are asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use fineprint::event::{FieldId, Kind, UsageEvent};
use fineprint::hir::{Arithmetic, Compare, Const, Expr, ExprKind, LinkValue, Program, SeriesId, TextTest};
use fineprint::template::Strictness;
use fineprint::time::Timestamp;
use fineprint::value::{MICROS, Truth, Type, Value, write_number};
use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::link::Facts;
use super::memory;
use super::rows::{Rows, holds};
use super::series;
use super::template;
use super::window::Event;

/// A value that owns what it holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Val {
    Unknown,
    Bool(bool),
    Num(i64),
    Text(String),
    Ip(IpAddr),
    Net(IpNet),
    Texts(Vec<String>),
}

impl From<&Const> for Val {
    fn from(constant: &Const) -> Val {
        match constant {
            Const::Bool(b) => Val::Bool(*b),
            Const::Num(n) => Val::Num(*n),
            Const::Text(t) => Val::Text(t.clone()),
            Const::Ip(ip) => Val::Ip(*ip),
            Const::Net(net) => Val::Net(*net),
        }
    }
}

impl From<Value<'_>> for Val {
    fn from(value: Value<'_>) -> Val {
        match value {
            Value::Unknown => Val::Unknown,
            Value::Bool(b) => Val::Bool(b),
            Value::Num(n) => Val::Num(n),
            Value::Text(t) => Val::Text(t.to_string()),
            Value::Ip(ip) => Val::Ip(ip),
            Value::Net(net) => Val::Net(net),
            Value::Texts(t) => Val::Texts(t.to_vec()),
        }
    }
}

impl From<Truth> for Val {
    fn from(truth: Truth) -> Val {
        match truth {
            Truth::False => Val::Bool(false),
            Truth::Unknown => Val::Unknown,
            Truth::True => Val::Bool(true),
        }
    }
}

impl Val {
    pub fn is_known(&self) -> bool {
        *self != Val::Unknown
    }

    fn truth(&self) -> Truth {
        match self {
            Val::Bool(b) => Truth::from(*b),
            _ => Truth::Unknown,
        }
    }

    /// As it stands in `because`, in a group and in an id.
    pub fn text(&self, ty: &Type) -> String {
        match self {
            Val::Unknown => "unknown".to_string(),
            Val::Bool(b) => b.to_string(),
            Val::Num(n) => {
                let mut text = String::new();
                write_number(&mut text, ty, *n).unwrap();
                text
            }
            Val::Text(t) => t.clone(),
            Val::Ip(ip) => ip.to_string(),
            Val::Net(net) => net.to_string(),
            Val::Texts(items) => items.join(", "),
        }
    }
}

/// What an expression looks at.
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    /// One event.
    Event(&'a UsageEvent<'static>),
    /// The window that ends at `end`. Lists are asked as of `end` there.
    Window { end: Timestamp, aggregates: &'a [Val], keys: &'a [Val], link: Option<&'a Facts> },
    /// One event, and those of the steps of a sequence before it.
    Step { event: &'a UsageEvent<'static>, taken: &'a [Vec<&'a UsageEvent<'static>>] },
    /// The match of a sequence that is whole at `at`.
    Match { at: Timestamp, taken: &'a [Vec<&'a UsageEvent<'static>>], keys: &'a [Val] },
}

impl Scope<'_> {
    fn at(self) -> Timestamp {
        match self {
            Scope::Event(event) | Scope::Step { event, .. } => event.ts(),
            Scope::Window { end, .. } => end,
            Scope::Match { at, .. } => at,
        }
    }
}

/// Computes expressions.
pub struct Interpreter<'a> {
    pub program: &'a Program,
    pub rows: &'a Rows,
    compiled: RefCell<BTreeMap<(String, bool), Regex>>,
    /// Applied events in the order in which they were; what memory is asked about.
    history: Vec<&'a Event>,
    /// What each series came to.
    told: RefCell<BTreeMap<SeriesId, Rc<series::Told>>>,
    /// Kinds of events that the rule looks at, and whose memory it asks.
    pub kinds: RefCell<Vec<Kind>>,
}

impl<'a> Interpreter<'a> {
    pub fn new(program: &'a Program, rows: &'a Rows, history: Vec<&'a Event>) -> Self {
        Interpreter {
            program,
            rows,
            compiled: RefCell::default(),
            history,
            told: RefCell::default(),
            kinds: RefCell::default(),
        }
    }

    /// What a series came to over all events.
    pub fn told(&self, id: SeriesId) -> Rc<series::Told> {
        if let Some(told) = self.told.borrow().get(&id) {
            return told.clone();
        }
        let told = Rc::new(series::told(self, &self.program.series[id.0 as usize], &self.history));
        self.told.borrow_mut().insert(id, told.clone());
        told
    }

    /// Whether a condition is true; unknown is not. An absent condition is true.
    pub fn is_true(&self, condition: Option<&Expr>, scope: Scope<'_>) -> bool {
        condition.is_none_or(|condition| self.truth(condition, scope).is_true())
    }

    pub fn truth(&self, condition: &Expr, scope: Scope<'_>) -> Truth {
        self.value(condition, scope).truth()
    }

    pub fn value(&self, e: &Expr, scope: Scope<'_>) -> Val {
        match &e.kind {
            ExprKind::Const(c) => Val::from(c),
            ExprKind::Field(field) => match scope {
                Scope::Event(event) | Scope::Step { event, .. } => Val::from(event.get(*field)),
                Scope::Window { .. } | Scope::Match { .. } => Val::Unknown,
            },
            ExprKind::Column(table, column) => {
                let key = self.value(&self.program.tables[table.0 as usize].key, scope);
                self.rows.column(*table, &key, *column, scope.at())
            }
            ExprKind::Not(a) => Val::from(self.truth(a, scope).not()),
            ExprKind::And(all) => Val::from(all.iter().map(|a| self.truth(a, scope)).fold(Truth::True, Truth::and)),
            ExprKind::Or(all) => Val::from(all.iter().map(|a| self.truth(a, scope)).fold(Truth::False, Truth::or)),
            ExprKind::AtLeast(enough, all) => {
                let truths: Vec<Truth> = all.iter().map(|a| self.truth(a, scope)).collect();
                let certain = truths.iter().filter(|t| **t == Truth::True).count();
                let possible = truths.iter().filter(|t| **t != Truth::False).count();
                match *enough as usize {
                    enough if certain >= enough => Val::Bool(true),
                    enough if possible < enough => Val::Bool(false),
                    _ => Val::Unknown,
                }
            }
            ExprKind::Compare(op, a, b) => match (self.value(a, scope), self.value(b, scope)) {
                (Val::Unknown, _) | (_, Val::Unknown) => Val::Unknown,
                (a, b) => Val::Bool(op.holds(a.cmp(&b))),
            },
            ExprKind::InSet(a, set) => match self.value(a, scope) {
                Val::Unknown => Val::Unknown,
                Val::Texts(items) => {
                    Val::Bool(items.iter().any(|i| set.iter().any(|c| holds(c, &Val::Text(i.clone())))))
                }
                one => Val::Bool(set.iter().any(|c| holds(c, &one))),
            },
            ExprKind::InList(a, list) => match self.value(a, scope) {
                Val::Unknown => Val::Unknown,
                value => Val::Bool(self.rows.contains(*list, &value, scope.at())),
            },
            ExprKind::Text { operand, test, ignoring_case } => match self.value(operand, scope) {
                Val::Text(text) => Val::Bool(self.text_test(&text, test, *ignoring_case, scope.at())),
                _ => Val::Unknown,
            },
            ExprKind::Exists(a) => Val::Bool(self.value(a, scope).is_known()),
            ExprKind::OrDefault(a, b) => match self.value(a, scope) {
                Val::Unknown => self.value(b, scope),
                known => known,
            },
            ExprKind::Arithmetic(op, a, b) => match (self.value(a, scope), self.value(b, scope)) {
                (Val::Num(a), Val::Num(b)) => arithmetic(*op, i128::from(a), i128::from(b)),
                _ => Val::Unknown,
            },
            ExprKind::ToMicros(a) => match self.value(a, scope) {
                Val::Num(n) => narrow(i128::from(n) * i128::from(MICROS)),
                _ => Val::Unknown,
            },
            ExprKind::Network(a, v4, v6) => match self.value(a, scope) {
                Val::Ip(ip) => IpNet::new(ip, if ip.is_ipv4() { *v4 } else { *v6 })
                    .map_or(Val::Unknown, |net| Val::Net(net.trunc())),
                _ => Val::Unknown,
            },
            ExprKind::Lower(a) => match self.value(a, scope) {
                Val::Text(text) => Val::Text(text.to_lowercase()),
                _ => Val::Unknown,
            },
            ExprKind::Length(a) => match self.value(a, scope) {
                Val::Text(text) => Val::Num(text.chars().count() as i64),
                Val::Texts(items) => Val::Num(items.len() as i64),
                _ => Val::Unknown,
            },
            ExprKind::Memory(m) => match scope {
                Scope::Event(event) | Scope::Step { event, .. } => {
                    let kinds = self.kinds.borrow().clone();
                    Val::from(memory::answer(self, m, event, &kinds, &self.history))
                }
                _ => Val::Unknown,
            },
            ExprKind::Outage(id) => match scope {
                Scope::Event(event) | Scope::Step { event, .. } => {
                    let s = &self.program.series[id.0 as usize];
                    let key: Vec<Val> = s.per.iter().map(|part| self.value(part, scope)).collect();
                    let step = event.ts().0.div_euclid(s.every.0);
                    Val::from(series::outage(self, *id, &key, step - 1..step))
                }
                _ => Val::Unknown,
            },
            ExprKind::WindowOutage(o) => match scope {
                Scope::Window { end, keys, .. } => {
                    let every = self.program.series[o.series.0 as usize].every.0;
                    let key: Vec<Val> = o.keys.iter().map(|at| keys[usize::from(*at)].clone()).collect();
                    let steps = (end.0 - o.length.0).div_euclid(every)..end.0.div_euclid(every);
                    Val::from(series::outage(self, o.series, &key, steps))
                }
                _ => Val::Unknown,
            },
            ExprKind::Template(text, strictness) => match scope {
                Scope::Event(event) | Scope::Step { event, .. } => fingerprints(event, *text, *strictness),
                _ => Val::Unknown,
            },
            ExprKind::Aggregate(i) => match scope {
                Scope::Window { aggregates, .. } => aggregates[usize::from(*i)].clone(),
                _ => Val::Unknown,
            },
            ExprKind::Key(i) => match scope {
                Scope::Window { keys, .. } | Scope::Match { keys, .. } => keys[usize::from(*i)].clone(),
                Scope::Event(_) | Scope::Step { .. } => Val::Unknown,
            },
            ExprKind::Link(value) => match (scope, value) {
                (Scope::Window { link: Some(facts), .. }, LinkValue::Members) => Val::Num(facts.members as i64),
                (Scope::Window { link: Some(facts), .. }, LinkValue::Families) => Val::Text(facts.families.join(", ")),
                (Scope::Window { link: Some(facts), .. }, LinkValue::TiedShare(f)) => {
                    let tied = facts.tied[usize::from(*f)] as i128;
                    quotient(tied * i128::from(MICROS), facts.members as i128)
                }
                _ => Val::Unknown,
            },
            ExprKind::OfStep(step, of) => match scope {
                Scope::Step { taken, .. } | Scope::Match { taken, .. } => {
                    let last = taken[usize::from(*step)].last().unwrap();
                    self.value(of, Scope::Event(last))
                }
                _ => Val::Unknown,
            },
        }
    }

    /// A regular expression compares by simple case folding when told to ignore case, so it says what each test means.
    fn text_test(&self, text: &str, test: &TextTest, fold: bool, at: Timestamp) -> bool {
        let occurs = |phrase: &String| self.matches(&regex::escape(phrase), fold, text);
        match test {
            TextTest::ContainsAny(phrases) => phrases.iter().any(occurs),
            TextTest::ContainsAll(phrases) => phrases.iter().all(occurs),
            TextTest::ContainsAnyOf(list) => self.rows.phrases(*list, at).iter().any(occurs),
            TextTest::StartsWith(phrase) => self.matches(&format!(r"\A{}", regex::escape(phrase)), fold, text),
            TextTest::EndsWith(phrase) => self.matches(&format!(r"{}\z", regex::escape(phrase)), fold, text),
            TextTest::Matches(pattern) => self.matches(pattern, fold, text),
        }
    }

    fn matches(&self, pattern: &str, fold: bool, text: &str) -> bool {
        let mut compiled = self.compiled.borrow_mut();
        let key = (pattern.to_string(), fold);
        let regex =
            compiled.entry(key).or_insert_with(|| RegexBuilder::new(pattern).case_insensitive(fold).build().unwrap());
        regex.is_match(text)
    }
}

/// Under the public key. A gateway's own count where they are of its epoch, 0, and all of them are fingerprints of ours.
fn fingerprints(event: &UsageEvent<'_>, text: FieldId, strictness: Strictness) -> Val {
    let told = match (text, strictness) {
        (FieldId::PROMPT, Strictness::Strict) => event.get(FieldId::PROMPT_FPS),
        (FieldId::PROMPT, Strictness::Loose) => event.get(FieldId::LOOSE_FPS),
        _ => Value::Unknown,
    };
    let epoch_fits = matches!(event.get(FieldId::FINGERPRINT_EPOCH), Value::Unknown | Value::Num(0));
    match (told, event.get(text)) {
        (Value::Texts(told), _)
            if epoch_fits && told.iter().all(|t| t.len() == 16 && t.chars().all(|c| c.is_ascii_hexdigit())) =>
        {
            let mut told: Vec<String> = told.iter().map(|t| t.to_lowercase()).collect();
            told.sort();
            told.dedup();
            told.truncate(32);
            Val::Texts(told)
        }
        (_, Value::Text(text)) => {
            let (made, _) = template::fingerprints(template::PUBLIC, strictness, text);
            Val::Texts(made.into_iter().map(template::hex).collect())
        }
        _ => Val::Unknown,
    }
}

fn arithmetic(op: Arithmetic, a: i128, b: i128) -> Val {
    match op {
        Arithmetic::Add => narrow(a + b),
        Arithmetic::Subtract => narrow(a - b),
        Arithmetic::Multiply => narrow(a * b),
        Arithmetic::MultiplyMicros => quotient(a * b, i128::from(MICROS)),
        Arithmetic::Divide => quotient(a, b),
        Arithmetic::Ratio => quotient(a * i128::from(MICROS), b),
    }
}

/// The quotient, rounded half away from zero; unknown for a divisor of zero and past 64 bits.
pub fn quotient(n: i128, d: i128) -> Val {
    if d == 0 {
        return Val::Unknown;
    }
    let sign = n.signum() * d.signum();
    let (n, d) = (n.abs(), d.abs());
    let rounds_up = n % d >= d - n % d;
    narrow(sign * (n / d + i128::from(rounds_up)))
}

/// Unknown past 64 bits.
pub fn narrow(n: i128) -> Val {
    i64::try_from(n).map_or(Val::Unknown, Val::Num)
}

/// The expressions directly below one.
pub fn children(e: &Expr) -> Vec<&Expr> {
    match &e.kind {
        ExprKind::Const(_)
        | ExprKind::Field(_)
        | ExprKind::Column(..)
        | ExprKind::Outage(_)
        | ExprKind::WindowOutage(_)
        | ExprKind::Template(..)
        | ExprKind::Aggregate(_)
        | ExprKind::Link(_)
        | ExprKind::Key(_) => vec![],
        ExprKind::Not(a)
        | ExprKind::InSet(a, _)
        | ExprKind::InList(a, _)
        | ExprKind::Text { operand: a, .. }
        | ExprKind::Exists(a)
        | ExprKind::ToMicros(a)
        | ExprKind::Network(a, ..)
        | ExprKind::Lower(a)
        | ExprKind::Length(a)
        | ExprKind::OfStep(_, a) => vec![a],
        ExprKind::And(all) | ExprKind::Or(all) | ExprKind::AtLeast(_, all) => all.iter().collect(),
        ExprKind::Memory(m) => std::iter::once(&m.of).chain(m.ask.by()).collect(),
        ExprKind::Compare(_, a, b) | ExprKind::OrDefault(a, b) | ExprKind::Arithmetic(_, a, b) => vec![a, b],
    }
}

/// Whether two expressions are the same but for their places.
pub fn same(a: &Expr, b: &Expr) -> bool {
    let node = match (&a.kind, &b.kind) {
        (ExprKind::Const(a), ExprKind::Const(b)) => a == b,
        (ExprKind::Field(a), ExprKind::Field(b)) => a == b,
        (ExprKind::Column(a, i), ExprKind::Column(b, j)) => (a, i) == (b, j),
        (ExprKind::AtLeast(a, _), ExprKind::AtLeast(b, _)) => a == b,
        (ExprKind::Compare(a, ..), ExprKind::Compare(b, ..)) => a == b,
        (ExprKind::Arithmetic(a, ..), ExprKind::Arithmetic(b, ..)) => a == b,
        (ExprKind::InSet(_, a), ExprKind::InSet(_, b)) => a == b,
        (ExprKind::InList(_, a), ExprKind::InList(_, b)) => a == b,
        (ExprKind::Text { test: a, ignoring_case: i, .. }, ExprKind::Text { test: b, ignoring_case: j, .. }) => {
            (a, i) == (b, j)
        }
        (ExprKind::Network(_, a, i), ExprKind::Network(_, b, j)) => (a, i) == (b, j),
        (ExprKind::Memory(a), ExprKind::Memory(b)) => {
            a.within == b.within && std::mem::discriminant(&a.ask) == std::mem::discriminant(&b.ask)
        }
        (ExprKind::OfStep(a, _), ExprKind::OfStep(b, _)) => a == b,
        (ExprKind::Template(a, i), ExprKind::Template(b, j)) => (a, i) == (b, j),
        (ExprKind::Link(a), ExprKind::Link(b)) => a == b,
        (ExprKind::Outage(a), ExprKind::Outage(b)) => a == b,
        (ExprKind::WindowOutage(a), ExprKind::WindowOutage(b)) => a.series == b.series,
        (ExprKind::Aggregate(a), ExprKind::Aggregate(b)) | (ExprKind::Key(a), ExprKind::Key(b)) => a == b,
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
    };
    let (below_a, below_b) = (children(a), children(b));
    node && a.ty == b.ty && below_a.len() == below_b.len() && below_a.iter().zip(&below_b).all(|(a, b)| same(a, b))
}

/// The comparison with its sides changed over.
pub fn mirrored(op: Compare) -> Compare {
    match op {
        Compare::Equal => Compare::Equal,
        Compare::NotEqual => Compare::NotEqual,
        Compare::Less => Compare::Greater,
        Compare::LessEqual => Compare::GreaterEqual,
        Compare::Greater => Compare::Less,
        Compare::GreaterEqual => Compare::LessEqual,
    }
}
