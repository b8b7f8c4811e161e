//! What an expression may come to where some things are never told: an upper bound of its values, from three-valued logic.
//! Parts are taken to be independent of each other, so the bound may be too wide, never too narrow: what it rules out
//! cannot be.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::FieldId;
use crate::hir::{
    Aggregate, Arithmetic, Baseline, Const, Expr, ExprKind, Function, Link, LinkValue, ListId, Program, Rule, Shape,
    TableId, TextTest,
};
use crate::template::Strictness;
use crate::value::{MICROS, Type};

/// What is never told. Empty: everything may be.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    /// Fields that no event has.
    pub(super) absent: BTreeSet<FieldId>,
    /// Fields that have one value in every event.
    pub(super) fixed: BTreeMap<FieldId, Const>,
    /// Columns without a value in any row.
    pub(super) empty_columns: BTreeSet<(TableId, u16)>,
    /// Lists without a value.
    pub(super) empty_lists: BTreeSet<ListId>,
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Could {
    /// It may be known.
    pub(super) known: bool,
    /// It may be unknown.
    pub(super) unknown: bool,
    /// If it is known, it is this.
    pub(super) only: Option<Const>,
}

impl Could {
    const ANY: Could = Could { known: true, unknown: true, only: None };
    const NEVER: Could = Could { known: false, unknown: true, only: None };

    fn just(c: Const) -> Could {
        Could { known: true, unknown: false, only: Some(c) }
    }
}

/// Which truths a condition may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truths {
    pub(super) yes: bool,
    pub(super) no: bool,
    pub(super) unknown: bool,
}

impl Truths {
    const DECIDED: Truths = Truths { yes: true, no: true, unknown: false };

    fn one(b: bool) -> Truths {
        Truths { yes: b, no: !b, unknown: false }
    }

    fn or_unknown(self, unknown: bool) -> Truths {
        Truths { unknown, ..self }
    }

    fn not(self) -> Truths {
        Truths { yes: self.no, no: self.yes, unknown: self.unknown }
    }

    /// Where nothing of the operand is known, nothing is decided.
    fn of(operand: &Could, decided: Truths) -> Truths {
        if operand.known { decided.or_unknown(operand.unknown) } else { UNKNOWN }
    }
}

const UNKNOWN: Truths = Truths { yes: false, no: false, unknown: true };

/// A place where expressions are judged: single events, or the window of a rule.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) program: &'a Program,
    pub(super) world: &'a World,
    pub(super) aggregates: &'a [Aggregate],
    pub(super) per: &'a [Expr],
    pub(super) link: Option<&'a Link>,
}

impl<'a> Judge<'a> {
    /// For the expressions of a rule.
    pub(super) fn of(program: &'a Program, world: &'a World, rule: &'a Rule) -> Judge<'a> {
        match &rule.shape {
            Shape::Single => Judge { program, world, aggregates: &[], per: &[], link: None },
            Shape::Sequence(s) => Judge { program, world, aggregates: &[], per: &s.per, link: None },
            Shape::Windowed(w) => {
                let link = w.link.and_then(|id| program.links.get(id.0 as usize));
                Judge { program, world, aggregates: &w.aggregates, per: &w.per, link }
            }
        }
    }

    /// Which truths a condition may have.
    pub(super) fn truth(&self, e: &Expr) -> Truths {
        match &e.kind {
            ExprKind::Not(a) => self.truth(a).not(),
            ExprKind::And(all) => self.every(all, false),
            ExprKind::Or(all) => self.every(all, true),
            ExprKind::AtLeast(n, all) => self.at_least(*n as usize, all),
            ExprKind::Compare(op, a, b) => {
                let (a, b) = (self.value(a), self.value(b));
                if !a.known || !b.known {
                    return UNKNOWN;
                }
                let decided = match (&a.only, &b.only) {
                    (Some(Const::Num(a)), Some(Const::Num(b))) => Truths::one(op.holds(a.cmp(b))),
                    (Some(a), Some(b)) if a == b => Truths::one(op.holds(std::cmp::Ordering::Equal)),
                    (Some(Const::Text(a)), Some(Const::Text(b))) => Truths::one(op.holds(a.cmp(b))),
                    _ => Truths::DECIDED,
                };
                decided.or_unknown(a.unknown || b.unknown)
            }
            ExprKind::InSet(a, set) => {
                let a = self.value(a);
                let decided = match &a.only {
                    _ if set.is_empty() => Truths::one(false),
                    Some(only) => Truths::one(set.iter().any(|c| holds(c, only))),
                    None => Truths::DECIDED,
                };
                Truths::of(&a, decided)
            }
            ExprKind::InList(a, list) => {
                let empty = self.world.empty_lists.contains(list);
                Truths::of(&self.value(a), if empty { Truths::one(false) } else { Truths::DECIDED })
            }
            ExprKind::Text { operand, test, ignoring_case } => {
                let operand = self.value(operand);
                let decided = match (&operand.only, test) {
                    (_, TextTest::ContainsAnyOf(list)) if self.world.empty_lists.contains(list) => Truths::one(false),
                    (Some(Const::Text(text)), test) => tested(text, test, *ignoring_case),
                    _ => Truths::DECIDED,
                };
                Truths::of(&operand, decided)
            }
            ExprKind::Exists(a) => {
                let a = self.value(a);
                Truths { yes: a.known, no: a.unknown, unknown: false }
            }
            ExprKind::Memory(m) => {
                let by = m.ask.by().map(|by| self.value(by).known);
                if self.value(&m.of).known && by.unwrap_or(true) { Truths::DECIDED.or_unknown(true) } else { UNKNOWN }
            }
            ExprKind::Outage(_) | ExprKind::WindowOutage(_) => Truths::DECIDED.or_unknown(true),
            ExprKind::Const(_)
            | ExprKind::Field(_)
            | ExprKind::Column(..)
            | ExprKind::OrDefault(..)
            | ExprKind::Arithmetic(..)
            | ExprKind::ToMicros(_)
            | ExprKind::Network(..)
            | ExprKind::Lower(_)
            | ExprKind::Length(_)
            | ExprKind::Template(..)
            | ExprKind::Aggregate(_)
            | ExprKind::Key(_)
            | ExprKind::Link(_)
            | ExprKind::OfStep(..) => {
                let value = self.value(e);
                let decided = match value.only {
                    Some(Const::Bool(b)) => Truths::one(b),
                    _ => Truths::DECIDED,
                };
                Truths::of(&value, decided)
            }
        }
    }

    /// Of all conditions together: `and`, or `or` where `any`.
    fn every(&self, all: &[Expr], any: bool) -> Truths {
        let all: Vec<Truths> = all.iter().map(|e| self.truth(e)).map(|t| if any { t.not() } else { t }).collect();
        let and = Truths {
            yes: all.iter().all(|t| t.yes),
            no: all.iter().any(|t| t.no),
            unknown: all.iter().any(|t| t.unknown) && all.iter().all(|t| t.yes || t.unknown),
        };
        if any { and.not() } else { and }
    }

    fn at_least(&self, n: usize, all: &[Expr]) -> Truths {
        let all: Vec<Truths> = all.iter().map(|e| self.truth(e)).collect();
        let many = |f: &dyn Fn(&Truths) -> bool| all.iter().filter(|t| f(t)).count();
        Truths {
            yes: many(&|t| t.yes) >= n,
            no: many(&|t| t.no) + n > all.len(),
            unknown: all.iter().any(|t| t.unknown),
        }
    }

    /// What a value may be.
    pub(super) fn value(&self, e: &Expr) -> Could {
        match &e.kind {
            ExprKind::Const(c) => Could::just(c.clone()),
            ExprKind::Field(f) => self.field(*f),
            ExprKind::Column(table, column) => {
                let empty = self.world.empty_columns.contains(&(*table, *column));
                let key = self.program.tables.get(table.0 as usize).map(|t| self.value(&t.key).known);
                if empty || key == Some(false) { Could::NEVER } else { Could::ANY }
            }
            ExprKind::OrDefault(a, b) => {
                let (a, b) = (self.value(a), self.value(b));
                let only = match (a.known, a.unknown) {
                    (false, _) => b.only.clone(),
                    (true, false) => a.only.clone(),
                    (true, true) if a.only == b.only => a.only.clone(),
                    _ => None,
                };
                Could { known: a.known || b.known, unknown: a.unknown && b.unknown, only }
            }
            ExprKind::Arithmetic(op, a, b) => arithmetic(*op, &self.value(a), &self.value(b)),
            ExprKind::ToMicros(a) => {
                let a = self.value(a);
                let only = match &a.only {
                    Some(Const::Num(n)) => n.checked_mul(MICROS).map(Const::Num),
                    _ => None,
                };
                Could { only, ..a }
            }
            ExprKind::Network(a, ..) | ExprKind::Lower(a) | ExprKind::Length(a) => {
                Could { only: None, ..self.value(a) }
            }
            ExprKind::Template(field, strictness) => {
                let told = match (*field, strictness) {
                    (FieldId::PROMPT, Strictness::Strict) => Some(FieldId::PROMPT_FPS),
                    (FieldId::PROMPT, Strictness::Loose) => Some(FieldId::LOOSE_FPS),
                    _ => None,
                };
                let known = self.field(*field).known || told.is_some_and(|f| self.field(f).known);
                if known { Could::ANY } else { Could::NEVER }
            }
            ExprKind::Aggregate(i) => self.aggregates.get(usize::from(*i)).map_or(Could::ANY, |a| self.counted(a)),
            ExprKind::Key(i) => {
                let part = self.per.get(usize::from(*i)).map_or(Could::ANY, |part| self.value(part));
                Could { unknown: !part.known, ..part }
            }
            ExprKind::Link(LinkValue::Members | LinkValue::Families) => Could { unknown: false, ..Could::ANY },
            ExprKind::Link(LinkValue::TiedShare(family)) => {
                let family = self.link.and_then(|l| l.families.get(usize::from(*family)));
                match family.map(|f| self.value(&f.of).known) {
                    Some(false) => Could::just(Const::Num(0)),
                    _ => Could { unknown: false, ..Could::ANY },
                }
            }
            ExprKind::OfStep(_, a) => self.value(a),
            ExprKind::Not(_)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::AtLeast(..)
            | ExprKind::Compare(..)
            | ExprKind::InSet(..)
            | ExprKind::InList(..)
            | ExprKind::Text { .. }
            | ExprKind::Exists(_)
            | ExprKind::Memory(_)
            | ExprKind::Outage(_)
            | ExprKind::WindowOutage(_) => {
                let t = self.truth(e);
                let only = match (t.yes, t.no) {
                    (true, false) => Some(Const::Bool(true)),
                    (false, true) => Some(Const::Bool(false)),
                    _ => None,
                };
                Could { known: t.yes || t.no, unknown: t.unknown, only }
            }
        }
    }

    fn field(&self, field: FieldId) -> Could {
        if self.world.absent.contains(&field) {
            return Could::NEVER;
        }
        match self.world.fixed.get(&field) {
            Some(only) => Could::just(only.clone()),
            None => Could::ANY,
        }
    }

    /// What an aggregate may come to.
    fn counted(&self, a: &Aggregate) -> Could {
        // Its arguments look at single events.
        let events = Judge { aggregates: &[], per: &[], link: None, ..*self };
        let none = a.filter.as_ref().is_some_and(|f| !events.truth(f).yes);
        let nothing = Could::just(Const::Num(0));
        let known = |e: &Expr| events.value(e).known && !none;
        let value = |known: bool| if known { Could::ANY } else { Could::NEVER };
        match &a.function {
            Function::Count | Function::Rate => {
                if none {
                    nothing
                } else {
                    Could { unknown: false, ..Could::ANY }
                }
            }
            Function::LongestIdle => Could { unknown: false, ..Could::ANY },
            Function::Sum(e) => {
                if known(e) {
                    Could::ANY
                } else {
                    nothing
                }
            }
            Function::Distinct { of, one_per } => {
                let counted = of.iter().all(known);
                let instead = one_per.as_ref().is_some_and(|(key, _)| known(key));
                if counted || instead { Could { unknown: false, ..Could::ANY } } else { nothing }
            }
            Function::Share(e) => {
                let t = events.truth(e);
                match (t.yes, t.no) {
                    _ if none => Could::NEVER,
                    (false, false) => Could::NEVER,
                    (false, true) => Could { only: Some(Const::Num(0)), ..Could::ANY },
                    (true, false) => Could { only: Some(Const::Num(MICROS)), ..Could::ANY },
                    (true, true) => Could::ANY,
                }
            }
            Function::Min(e)
            | Function::Max(e)
            | Function::Average(e)
            | Function::Quantile(e, _)
            | Function::Spread(e)
            | Function::TopShare(e, _)
            | Function::Entropy(e)
            | Function::First(e)
            | Function::Last(e)
            | Function::TopSpeed(e) => value(known(e)),
            Function::Baseline(b) => self.baseline(b),
        }
    }

    fn baseline(&self, b: &Baseline) -> Could {
        let events = Judge { aggregates: &[], per: &[], link: None, ..*self };
        let alike = b.by().iter().all(|e| events.value(e).known);
        if self.value(&b.of).known && alike { Could::ANY } else { Could::NEVER }
    }
}

/// Whether a constant of a set is, or contains, a value.
fn holds(of_set: &Const, value: &Const) -> bool {
    match (of_set, value) {
        (Const::Net(net), Const::Ip(ip)) => net.contains(ip),
        (Const::Net(net), Const::Net(inner)) => net.contains(inner),
        _ => of_set == value,
    }
}

/// A test on a text that is always the same.
fn tested(text: &str, test: &TextTest, ignoring_case: bool) -> Truths {
    let fold = |t: &str| if ignoring_case { t.to_lowercase() } else { t.to_string() };
    let text = fold(text);
    match test {
        TextTest::ContainsAny(phrases) => Truths::one(phrases.iter().any(|p| text.contains(&fold(p)))),
        TextTest::ContainsAll(phrases) => Truths::one(phrases.iter().all(|p| text.contains(&fold(p)))),
        TextTest::StartsWith(p) => Truths::one(text.starts_with(&fold(p))),
        TextTest::EndsWith(p) => Truths::one(text.ends_with(&fold(p))),
        TextTest::ContainsAnyOf(_) | TextTest::Matches(_) => Truths::DECIDED,
    }
}

fn arithmetic(op: Arithmetic, a: &Could, b: &Could) -> Could {
    let zero = b.only == Some(Const::Num(0)) && !b.unknown;
    let divides = matches!(op, Arithmetic::Divide | Arithmetic::Ratio);
    if !a.known || !b.known || divides && zero {
        return Could::NEVER;
    }
    let only = match (op, &a.only, &b.only) {
        (Arithmetic::Add, Some(Const::Num(a)), Some(Const::Num(b))) => a.checked_add(*b),
        (Arithmetic::Subtract, Some(Const::Num(a)), Some(Const::Num(b))) => a.checked_sub(*b),
        (Arithmetic::Multiply, Some(Const::Num(a)), Some(Const::Num(b))) => a.checked_mul(*b),
        (Arithmetic::MultiplyMicros, Some(Const::Num(0)), _) | (Arithmetic::MultiplyMicros, _, Some(Const::Num(0))) => {
            Some(0)
        }
        _ => None,
    };
    // Overflow and division by zero are unknown.
    let safe = only.is_some();
    Could { known: true, unknown: a.unknown || b.unknown || !safe, only: only.map(Const::Num) }
}

/// A constant of a type from a text, for a field that always holds it; `None` where the type has other forms.
pub(super) fn constant(ty: &Type, text: &str) -> Option<Const> {
    match ty {
        Type::Bool => text.parse().ok().map(Const::Bool),
        Type::Integer | Type::Tokens => text.parse().ok().map(Const::Num),
        Type::String | Type::Country | Type::Fingerprint => Some(Const::Text(text.to_string())),
        Type::Ip => text.parse().ok().map(Const::Ip),
        Type::Decimal
        | Type::Duration
        | Type::Timestamp
        | Type::Percentage
        | Type::Money
        | Type::Cidr
        | Type::List(_) => None,
    }
}
