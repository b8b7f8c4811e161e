//! Why an event counted or did not: each condition of the rule asked of it by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::variant::{alone, parts, probe};
use super::{Case, DeriveError};
use crate::eval::{EvalOptions, Evaluator, Recalled, TestNames};
use crate::event::{FIELDS, FieldId};
use crate::hir::{Expr, ExprKind, Rule, Shape};
use crate::value::Value;

/// Events named for each reason.
pub const EXAMPLES_MAX: usize = 5;

/// Why an event counted or did not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It counted.
    Counted,
    /// The rule does not look at its kind.
    Kind(String),
    /// This condition of `on` is false.
    False(String),
    /// This condition of `on` is unknown, because these fields are missing.
    Unknown(String, Vec<String>),
    /// This condition of `on` asks memory, and it did not hold.
    Memory(String),
    /// A part of the group is unknown, because these fields are missing.
    NoGroup(Vec<String>),
    /// It has no value of the group's part of several: none there, or all left out.
    NoValue,
    /// It belongs to another group.
    OtherGroup,
    /// This exception took it out.
    Excepted(String),
    /// No aggregate counts it.
    NotCounted,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let missing = |fields: &[String]| match fields {
            [] => "a value is missing".to_string(),
            [one] => format!("`{one}` is missing"),
            all => format!("{} are missing", all.iter().map(|m| format!("`{m}`")).collect::<Vec<_>>().join(", ")),
        };
        match self {
            Reason::Counted => f.write_str("counted"),
            Reason::Kind(kind) => write!(f, "the rule does not look at events of kind `{kind}`"),
            Reason::False(text) => write!(f, "`{text}` is false"),
            Reason::Unknown(text, fields) => write!(f, "`{text}` is unknown: {}", missing(fields)),
            Reason::Memory(text) => write!(f, "`{text}` asks memory, and did not hold"),
            Reason::NoGroup(fields) => write!(f, "it belongs to no group: {}", missing(fields)),
            Reason::NoValue => f.write_str("it has no value to be grouped by"),
            Reason::OtherGroup => f.write_str("it belongs to another group"),
            Reason::Excepted(why) => write!(f, "taken out by the exception {why}"),
            Reason::NotCounted => f.write_str("nothing of the rule counts it"),
        }
    }
}

/// How many events there are of each reason, with the first ids.
pub type Reasons = BTreeMap<Reason, (u64, Vec<String>)>;

/// Notes a reason.
pub(super) fn note(reasons: &mut Reasons, reason: Reason, id: &str) {
    let (n, examples) = reasons.entry(reason).or_default();
    *n += 1;
    if examples.len() < EXAMPLES_MAX {
        examples.push(id.to_string());
    }
}

/// The conditions of a rule, each asked by itself.
pub(super) struct Conditions<'c, 'a> {
    case: &'c Case<'a>,
    filters: Vec<&'c Expr>,
    probes: Evaluator,
    names: TestNames,
    /// The rule without filter and exceptions, where it has groups over windows.
    groups: Option<(Evaluator, TestNames)>,
}

impl<'c, 'a> Conditions<'c, 'a> {
    pub(super) fn new(case: &'c Case<'a>) -> Result<Self, DeriveError> {
        let rule = case.rule;
        let filters: Vec<&Expr> = rule.filter.iter().flat_map(parts).collect();
        let mut probes: Vec<Rule> = filters.iter().enumerate().map(|(i, e)| probe(rule, format!("f{i}"), e)).collect();
        probes.extend(rule.exceptions.iter().enumerate().map(|(i, x)| probe(rule, format!("x{i}"), &x.filter)));
        let mut groups = None;
        if let Shape::Windowed(w) = &rule.shape {
            let counted = w.aggregates.iter().enumerate().filter_map(|(i, a)| Some((i, a.filter.as_ref()?)));
            probes.extend(counted.map(|(i, e)| probe(rule, format!("c{i}"), e)));
            let bare = Rule { filter: None, exceptions: Vec::new(), ..rule.clone() };
            let bare = alone(case.rules, vec![bare])?;
            let names = TestNames::among(case.writers.iter().copied(), &bare);
            groups = Some((Evaluator::new(Arc::new(bare), EvalOptions::default()), names));
        }
        let probes = alone(case.rules, probes)?;
        let names = TestNames::among(case.writers.iter().copied(), &probes);
        let probes = Evaluator::new(Arc::new(probes), EvalOptions::default());
        Ok(Conditions { case, filters, probes, names, groups })
    }

    /// The groups of an event, whether the rule looks at it or not; `None` where a part is unknown.
    pub(super) fn groups(&mut self, recalled: &Recalled) -> Option<Vec<Vec<String>>> {
        match &mut self.groups {
            Some((evaluator, names)) => evaluator.groups_of(recalled, names),
            None => Some(Vec::new()),
        }
    }

    /// Why an event counts or not in one of `groups`; `None` for any group.
    pub(super) fn reason(&mut self, at: usize, groups: Option<&BTreeSet<Vec<String>>>) -> Reason {
        let rule = self.case.rule;
        let Some(recalled) = self.case.events.get(at) else { return Reason::NotCounted };
        if !rule.kinds.contains(&recalled.event.kind()) {
            return Reason::Kind(recalled.event.kind().word().to_string());
        }
        let before: BTreeMap<String, u64> = self.probes.undecided().into_iter().collect();
        let held: BTreeSet<String> = self.probes.matching_recalled(recalled, &self.names).into_iter().collect();
        let after: BTreeMap<String, u64> = self.probes.undecided().into_iter().collect();
        let asks = self.filters.iter().copied().find(|e| e.asks_memory());
        for (i, e) in self.filters.iter().enumerate().filter(|(_, e)| !e.asks_memory()) {
            let name = format!("f{i}");
            if held.contains(&name) {
                continue;
            }
            let text = self.case.written(e.span);
            return match before.get(&name) == after.get(&name) {
                true => Reason::False(text),
                false => Reason::Unknown(text, missing(self.case, e, recalled)),
            };
        }
        if let Shape::Windowed(w) = &rule.shape {
            let Some(own) = self.groups(recalled) else {
                let all = w.per.iter().flat_map(|part| missing(self.case, part, recalled));
                return Reason::NoGroup(all.collect::<BTreeSet<_>>().into_iter().collect());
            };
            if own.is_empty() {
                return Reason::NoValue;
            }
            if groups.is_some_and(|groups| own.iter().all(|group| !groups.contains(group))) {
                return Reason::OtherGroup;
            }
        }
        for (i, x) in rule.exceptions.iter().enumerate().filter(|(i, _)| held.contains(&format!("x{i}"))) {
            let ts = recalled.event.ts();
            if x.from.is_none_or(|from| from <= ts) && x.until.is_none_or(|until| ts < until) {
                let why = if x.because.is_empty() { self.case.written(x.filter.span) } else { x.because.clone() };
                return Reason::Excepted(format!("{} ({why})", i + 1));
            }
        }
        if let Shape::Windowed(w) = &rule.shape {
            let counts =
                |(i, a): (usize, &crate::hir::Aggregate)| a.filter.is_none() || held.contains(&format!("c{i}"));
            if !w.aggregates.iter().enumerate().any(counts) {
                return Reason::NotCounted;
            }
        }
        match asks {
            Some(e) => Reason::Memory(self.case.written(e.span)),
            None => Reason::Counted,
        }
    }

    /// Which parts of the filter hold for an event, as (text, truth; missing fields where it is unknown).
    pub(super) fn filter(&mut self, recalled: &Recalled) -> Vec<(String, Option<bool>, Vec<String>)> {
        let before: BTreeMap<String, u64> = self.probes.undecided().into_iter().collect();
        let held: BTreeSet<String> = self.probes.matching_recalled(recalled, &self.names).into_iter().collect();
        let after: BTreeMap<String, u64> = self.probes.undecided().into_iter().collect();
        let each = self.filters.iter().enumerate().map(|(i, e)| {
            let name = format!("f{i}");
            let decided = before.get(&name) == after.get(&name) && !e.asks_memory();
            let truth = if held.contains(&name) { Some(true) } else { decided.then_some(false) };
            let missing = if truth.is_none() { missing(self.case, e, recalled) } else { Vec::new() };
            (self.case.written(e.span), truth, missing)
        });
        each.collect()
    }
}

/// Names of what an expression reads and an event does not have: fields, and columns of its row.
pub(super) fn missing(case: &Case<'_>, e: &Expr, recalled: &Recalled) -> Vec<String> {
    let mut found = BTreeSet::new();
    let name = |f: FieldId| FIELDS.get(usize::from(f.0)).map_or("?", |f| f.name).to_string();
    e.walk(&mut |e| match &e.kind {
        ExprKind::Field(f) | ExprKind::Template(f, _) if !recalled.has(*f) => {
            found.insert(name(*f));
        }
        ExprKind::Column(t, column) => {
            let (program, data) = (case.rules.program(), case.rules.data());
            let (table, rows) = (program.tables.get(t.0 as usize), data.tables.get(t.0 as usize));
            if let (Some(table), Some(rows)) = (table, rows) {
                let key = match &table.key.kind {
                    ExprKind::Field(f) => recalled.event.get(*f),
                    _ => Value::Unknown,
                };
                let known = match key {
                    Value::Text(key) => rows.column(key, *column, recalled.event.ts()) != Value::Unknown,
                    _ => false,
                };
                if !known {
                    let column = table.columns.get(usize::from(*column)).map_or("?", |c| c.0.as_str());
                    found.insert(format!("{}.{column}", table.name));
                }
            }
        }
        _ => {}
    });
    found.into_iter().collect()
}
