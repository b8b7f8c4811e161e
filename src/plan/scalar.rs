//! Lowered expressions and what they come to. One interpreter serves single events and judged windows; what a name stands
//! for is the environment's business.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::set::ValueSet;
use super::text::TextMatcher;
use crate::event::FieldId;
use crate::hir::{Arithmetic, Compare, Const, LinkValue};
use crate::reference::{ListData, TableData};
use crate::time::Timestamp;
use crate::value::{MICROS, Truth, Value};

/// A value that may own its text.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Val<'a> {
    #[default]
    Unknown,
    Bool(bool),
    Num(i64),
    Text(Cow<'a, str>),
    Ip(IpAddr),
    Net(IpNet),
    Texts(&'a [String]),
    /// Template fingerprints, ascending.
    Fingerprints(&'a [u64]),
}

impl<'a> From<Value<'a>> for Val<'a> {
    fn from(v: Value<'a>) -> Self {
        match v {
            Value::Unknown => Val::Unknown,
            Value::Bool(b) => Val::Bool(b),
            Value::Num(n) => Val::Num(n),
            Value::Text(t) => Val::Text(Cow::Borrowed(t)),
            Value::Ip(ip) => Val::Ip(ip),
            Value::Net(net) => Val::Net(net),
            Value::Texts(t) => Val::Texts(t),
        }
    }
}

impl<'a> From<&'a Const> for Val<'a> {
    fn from(c: &'a Const) -> Self {
        match c {
            Const::Bool(b) => Val::Bool(*b),
            Const::Num(n) => Val::Num(*n),
            Const::Text(t) => Val::Text(Cow::Borrowed(t)),
            Const::Ip(ip) => Val::Ip(*ip),
            Const::Net(net) => Val::Net(*net),
        }
    }
}

impl Val<'_> {
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Val::Unknown)
    }

    pub(crate) fn as_value(&self) -> Value<'_> {
        match self {
            Val::Unknown => Value::Unknown,
            Val::Bool(b) => Value::Bool(*b),
            Val::Num(n) => Value::Num(*n),
            Val::Text(t) => Value::Text(t),
            Val::Ip(ip) => Value::Ip(*ip),
            Val::Net(net) => Value::Net(*net),
            Val::Texts(t) => Value::Texts(t),
            // No value of an event or list has this form.
            Val::Fingerprints(_) => Value::Unknown,
        }
    }

    fn truth(&self) -> Truth {
        match self {
            Val::Bool(b) => Truth::from(*b),
            _ => Truth::Unknown,
        }
    }
}

/// What names stand for.
pub(crate) trait Env {
    fn field(&self, field: FieldId) -> Value<'_>;
    fn aggregate(&self, index: u16) -> Val<'_>;
    fn key(&self, index: u16) -> Val<'_>;
    /// Template fingerprints by the number of their wording.
    fn template(&self, _number: u16) -> Option<&[u64]> {
        None
    }
    fn at(&self) -> Timestamp;

    /// The length of a text that is there but kept back, in characters.
    fn kept_back(&self, _: FieldId) -> Option<i64> {
        None
    }

    /// The answer to a question to memory.
    fn memory(&self, _: u16) -> Truth {
        Truth::Unknown
    }

    /// How many values a baseline rests on, by its number.
    fn values_of_baseline(&self, _: u16) -> Val<'_> {
        Val::Unknown
    }

    /// Something of the link group.
    fn link(&self, _: LinkValue) -> Val<'_> {
        Val::Unknown
    }

    /// Whether there was an outage within the window.
    fn outage(&self, _: &OutagePlan) -> Truth {
        Truth::Unknown
    }

    /// A slot of a rule on sequences, of the event of a step.
    fn slot(&self, _step: u16, _slot: u16) -> Val<'_> {
        Val::Unknown
    }
}

/// A lowered value expression.
#[derive(Debug, Clone)]
pub(crate) enum Scalar {
    Const(Const),
    Field(FieldId),
    Column {
        table: Arc<TableData>,
        column: u16,
        key: Box<Scalar>,
    },
    OrDefault(Box<Scalar>, Box<Scalar>),
    Arithmetic(Arithmetic, Box<Scalar>, Box<Scalar>),
    ToMicros(Box<Scalar>),
    Network(Box<Scalar>, u8, u8),
    Lower(Box<Scalar>),
    Length(Box<Scalar>),
    Template(u16),
    Aggregate(u16),
    Key(u16),
    /// How many values a baseline rests on, by its number: for records.
    ValuesOfBaseline(u16),
    /// Of a rule by a link.
    Link(LinkValue),
    /// Of a rule on sequences: a value of the event of a step.
    Slot(u16, u16),
    Truth(Box<Cond>),
}

/// Which outages are asked for.
#[derive(Debug, Clone)]
pub(crate) struct OutagePlan {
    pub(crate) series: usize,
    /// Parts of the group that are the key of the series.
    pub(crate) keys: Vec<u16>,
    /// Of the window, nanoseconds.
    pub(crate) length: i64,
    /// Length of a step of the series, nanoseconds.
    pub(crate) every: i64,
}

/// A lowered condition.
#[derive(Debug, Clone)]
pub(crate) enum Cond {
    Not(Box<Cond>),
    And(Vec<Cond>),
    Or(Vec<Cond>),
    AtLeast(u32, Vec<Cond>),
    Compare(Compare, Scalar, Scalar),
    InSet(Scalar, Arc<ValueSet>),
    InList(Scalar, Arc<ListData>),
    Text(Scalar, Arc<TextMatcher>),
    Exists(Scalar),
    /// A question to memory, by its number.
    Memory(u16),
    /// An outage within the window.
    Outage(OutagePlan),
    /// A value of truth type: a field, a column, a default.
    Value(Scalar),
}

impl Scalar {
    pub(crate) fn eval<'e, E: Env>(&'e self, env: &'e E) -> Val<'e> {
        match self {
            Scalar::Const(c) => Val::from(c),
            Scalar::Field(f) => env.field(*f).into(),
            Scalar::Column { table, column, key } => match key.eval(env) {
                Val::Text(key) => table.column(&key, *column, env.at()).into(),
                Val::Num(key) => table.column(&key.to_string(), *column, env.at()).into(),
                Val::Ip(ip) => in_network(table, IpNet::from(ip), *column, env.at()),
                Val::Net(net) => in_network(table, net, *column, env.at()),
                _ => Val::Unknown,
            },
            Scalar::OrDefault(a, b) => match a.eval(env) {
                Val::Unknown => b.eval(env),
                known => known,
            },
            Scalar::Arithmetic(op, a, b) => match (a.eval(env), b.eval(env)) {
                (Val::Num(a), Val::Num(b)) => arithmetic(*op, a, b).map_or(Val::Unknown, Val::Num),
                _ => Val::Unknown,
            },
            Scalar::ToMicros(a) => match a.eval(env) {
                Val::Num(n) => n.checked_mul(MICROS).map_or(Val::Unknown, Val::Num),
                _ => Val::Unknown,
            },
            Scalar::Network(a, v4, v6) => match a.eval(env) {
                Val::Ip(ip) => network(ip, *v4, *v6).map_or(Val::Unknown, Val::Net),
                _ => Val::Unknown,
            },
            Scalar::Lower(a) => match a.eval(env) {
                Val::Text(t) => Val::Text(Cow::Owned(t.to_lowercase())),
                _ => Val::Unknown,
            },
            Scalar::Length(a) => match a.eval(env) {
                Val::Unknown => a.kept_back(env).map_or(Val::Unknown, Val::Num),
                Val::Text(t) => Val::Num(i64::try_from(t.chars().count()).unwrap_or(i64::MAX)),
                Val::Texts(t) => Val::Num(i64::try_from(t.len()).unwrap_or(i64::MAX)),
                Val::Fingerprints(f) => Val::Num(i64::try_from(f.len()).unwrap_or(i64::MAX)),
                _ => Val::Unknown,
            },
            Scalar::Template(number) => env.template(*number).map_or(Val::Unknown, Val::Fingerprints),
            Scalar::Aggregate(i) => env.aggregate(*i),
            Scalar::Key(i) => env.key(*i),
            Scalar::ValuesOfBaseline(number) => env.values_of_baseline(*number),
            Scalar::Link(value) => env.link(*value),
            Scalar::Slot(step, slot) => env.slot(*step, *slot),
            Scalar::Truth(c) => match c.eval(env) {
                Truth::Unknown => Val::Unknown,
                known => Val::Bool(known.is_true()),
            },
        }
    }
}

impl Scalar {
    /// The length of the text of a field that is there but kept back.
    fn kept_back<E: Env>(&self, env: &E) -> Option<i64> {
        match self {
            Scalar::Field(field) => env.kept_back(*field),
            _ => None,
        }
    }
}

impl Cond {
    pub(crate) fn eval<E: Env>(&self, env: &E) -> Truth {
        match self {
            Cond::Not(c) => c.eval(env).not(),
            Cond::And(all) => {
                let mut result = Truth::True;
                for c in all {
                    result = result.and(c.eval(env));
                    if result == Truth::False {
                        break;
                    }
                }
                result
            }
            Cond::Or(all) => {
                let mut result = Truth::False;
                for c in all {
                    result = result.or(c.eval(env));
                    if result == Truth::True {
                        break;
                    }
                }
                result
            }
            Cond::AtLeast(n, all) => at_least(*n, all.iter().map(|c| c.eval(env))),
            Cond::Compare(op, a, b) => compare(*op, &a.eval(env), &b.eval(env)),
            Cond::InSet(a, set) => set.contains(&a.eval(env)),
            Cond::InList(a, list) => in_list(&a.eval(env), list, env.at()),
            Cond::Text(a, matcher) => match a.eval(env) {
                Val::Text(t) => Truth::from(matcher.matches(&t, env.at())),
                _ => Truth::Unknown,
            },
            Cond::Exists(a) => Truth::from(!a.eval(env).is_unknown() || a.kept_back(env).is_some()),
            Cond::Memory(question) => env.memory(*question),
            Cond::Outage(o) => env.outage(o),
            Cond::Value(a) => a.eval(env).truth(),
        }
    }
}

/// True when enough are, false when not enough can be, unknown between.
pub(crate) fn at_least(n: u32, truths: impl Iterator<Item = Truth>) -> Truth {
    let (mut yes, mut maybe) = (0u32, 0u32);
    for t in truths {
        yes += u32::from(t == Truth::True);
        maybe += u32::from(t == Truth::Unknown);
    }
    if yes >= n {
        Truth::True
    } else if yes + maybe < n {
        Truth::False
    } else {
        Truth::Unknown
    }
}

/// Membership in a list at event time; a list of texts is in it when any item is.
pub(crate) fn in_list(v: &Val<'_>, list: &ListData, at: Timestamp) -> Truth {
    match v {
        Val::Unknown => Truth::Unknown,
        Val::Texts(items) => Truth::from(items.iter().any(|t| list.contains(&Value::Text(t), at))),
        Val::Fingerprints(all) => Truth::from(all.iter().any(|f| list.contains_fingerprint(*f, at))),
        other => Truth::from(list.contains(&other.as_value(), at)),
    }
}

/// A column for an address or a network.
fn in_network(table: &TableData, net: IpNet, column: u16, at: Timestamp) -> Val<'_> {
    table.find_network(net, at).map_or(Val::Unknown, |row| table.cell(row, column).into())
}

/// Comparison; unknown where either side is.
pub(crate) fn compare(op: Compare, a: &Val<'_>, b: &Val<'_>) -> Truth {
    let ordering = match (a, b) {
        (Val::Num(a), Val::Num(b)) => a.cmp(b),
        (Val::Text(a), Val::Text(b)) => a.as_ref().cmp(b.as_ref()),
        (Val::Bool(a), Val::Bool(b)) => a.cmp(b),
        (Val::Ip(a), Val::Ip(b)) => a.cmp(b),
        (Val::Net(a), Val::Net(b)) => a.cmp(b),
        (Val::Net(net), Val::Ip(ip)) | (Val::Ip(ip), Val::Net(net)) => {
            if net.contains(ip) {
                Ordering::Equal
            } else {
                Ordering::Less
            }
        }
        _ => return Truth::Unknown,
    };
    Truth::from(op.holds(ordering))
}

/// Half away from zero, the rounding of every division here.
pub(crate) fn divide_rounded(n: i128, by: i128) -> Option<i128> {
    if by == 0 {
        return None;
    }
    let (q, r) = (n / by, n % by);
    let up = r.unsigned_abs().saturating_mul(2) >= by.unsigned_abs();
    Some(if up { q + if (n < 0) == (by < 0) { 1 } else { -1 } } else { q })
}

fn arithmetic(op: Arithmetic, a: i64, b: i64) -> Option<i64> {
    let (wide_a, wide_b) = (i128::from(a), i128::from(b));
    let wide = match op {
        Arithmetic::Add => wide_a + wide_b,
        Arithmetic::Subtract => wide_a - wide_b,
        Arithmetic::Multiply => wide_a * wide_b,
        Arithmetic::MultiplyMicros => divide_rounded(wide_a * wide_b, i128::from(MICROS))?,
        Arithmetic::Divide => divide_rounded(wide_a, wide_b)?,
        Arithmetic::Ratio => divide_rounded(wide_a * i128::from(MICROS), wide_b)?,
    };
    i64::try_from(wide).ok()
}

/// The network of an address. An IPv4 address written as IPv6 counts as IPv4.
fn network(ip: IpAddr, v4: u8, v6: u8) -> Option<IpNet> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Ipv4Net::new(ip, v4).ok().map(|n| IpNet::V4(n.trunc())),
        IpAddr::V6(ip) => Ipv6Net::new(ip, v6).ok().map(|n| IpNet::V6(n.trunc())),
    }
}
