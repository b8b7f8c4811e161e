//! Values and conditions in English. Every kind of expression has its words here; a new one does not compile without.

use std::collections::{BTreeMap, BTreeSet};

use super::reading::Line;
use super::say::{alternatives, compared, item_type, listed, said, span};
use crate::event::{FIELDS, FieldId};
use crate::hir::{
    Aggregate, Arithmetic, Ask, Const, Expr, ExprKind, LinkValue, ListId, Program, Rule, SeriesId, Shape, TableId,
    TextTest, canonical_expr,
};
use crate::value::Type;

/// Says the expressions of one rule or series, and remembers which words need an explanation.
pub(super) struct Speech<'a> {
    pub(super) program: &'a Program,
    aggregates: &'a [Aggregate],
    per: &'a [Expr],
    families: Vec<String>,
    /// Canonical text of a named expression, with its name and its number among the definitions.
    names: BTreeMap<String, (String, Option<usize>)>,
    /// The name that is being explained: it does not explain itself.
    explaining: Option<String>,
    /// Top-level `let`s that were named, by their number.
    pub(super) definitions: BTreeSet<usize>,
    pub(super) fields: BTreeSet<FieldId>,
    pub(super) lists: BTreeSet<ListId>,
    pub(super) tables: BTreeSet<TableId>,
    pub(super) series: BTreeSet<SeriesId>,
}

impl<'a> Speech<'a> {
    /// For the expressions of a rule.
    pub(super) fn of(program: &'a Program, rule: &'a Rule) -> Speech<'a> {
        let (aggregates, per, link): (&[Aggregate], &[Expr], _) = match &rule.shape {
            Shape::Single => (&[], &[], None),
            Shape::Windowed(w) => (&w.aggregates, &w.per, w.link),
            Shape::Sequence(s) => (&[], &s.per, None),
        };
        let mut speech = Speech::new(program, aggregates, per);
        if let Some(link) = link.and_then(|id| program.links.get(id.0 as usize)) {
            speech.families = link.families.iter().map(|f| f.name.clone()).collect();
        }
        for (name, value) in &rule.lets {
            speech.names.entry(canonical_expr(program, value)).or_insert_with(|| (name.clone(), None));
        }
        speech
    }

    /// For expressions over these aggregates and parts of a group.
    pub(super) fn new(program: &'a Program, aggregates: &'a [Aggregate], per: &'a [Expr]) -> Speech<'a> {
        let mut names = BTreeMap::new();
        for (number, (name, e)) in program.definitions.iter().enumerate() {
            if !matches!(e.kind, ExprKind::Const(_) | ExprKind::Field(_)) {
                names.entry(canonical_expr(program, e)).or_insert_with(|| (name.clone(), Some(number)));
            }
        }
        Speech {
            program,
            aggregates,
            per,
            families: Vec::new(),
            names,
            explaining: None,
            definitions: BTreeSet::new(),
            fields: BTreeSet::new(),
            lists: BTreeSet::new(),
            tables: BTreeSet::new(),
            series: BTreeSet::new(),
        }
    }

    /// Says what a name stands for: by its parts, not by itself.
    pub(super) fn explain<T>(&mut self, name: &str, say: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.explaining.replace(name.to_string());
        let said = say(self);
        self.explaining = before;
        said
    }

    /// The name of an expression, where its author gave it one.
    fn name(&mut self, e: &Expr) -> Option<String> {
        if matches!(e.kind, ExprKind::Const(_) | ExprKind::Field(_)) {
            return None;
        }
        let (name, number) = self.names.get(&canonical_expr(self.program, e))?.clone();
        if self.explaining.as_ref() == Some(&name) {
            return None;
        }
        self.definitions.extend(number);
        Some(name)
    }

    /// Several conditions, each on its line; a single one on the line that leads to it.
    pub(super) fn outline(&mut self, lead: &str, e: &Expr, yes: bool, depth: usize, out: &mut Vec<Line>) {
        let named = self.name(e);
        let (how, all): (String, &[Expr]) = match (&e.kind, named) {
            (ExprKind::Not(a), None) => return self.outline(lead, a, !yes, depth, out),
            (ExprKind::And(all), None) if yes => ("all of this holds:".into(), all),
            (ExprKind::And(all), None) => ("at least one of this holds:".into(), all),
            (ExprKind::Or(all), None) if yes => ("at least one of this holds:".into(), all),
            (ExprKind::Or(all), None) => ("all of this holds:".into(), all),
            (ExprKind::AtLeast(n, all), None) if yes => (format!("at least {n} of this hold:"), all),
            (ExprKind::AtLeast(n, all), None) => {
                out.push(Line { depth, text: joined(lead, &format!("fewer than {n} of this hold:")) });
                all.iter().for_each(|e| self.outline("", e, true, depth + 1, out));
                return;
            }
            _ => {
                let stop = if depth == 0 { "." } else { "" };
                let text = joined(lead, &self.condition(e, yes)) + stop;
                return out.push(Line { depth, text });
            }
        };
        out.push(Line { depth, text: joined(lead, &how) });
        all.iter().for_each(|e| self.outline("", e, yes, depth + 1, out));
    }

    /// A condition that holds, or for `yes` false certainly does not.
    pub(super) fn condition(&mut self, e: &Expr, yes: bool) -> String {
        if let Some(name) = self.name(e) {
            return format!("\u{201c}{name}\u{201d} {}", if yes { "holds" } else { "does not hold" });
        }
        match &e.kind {
            ExprKind::Not(a) => self.condition(a, !yes),
            ExprKind::And(all) => self.many(all, yes, if yes { " and " } else { " or " }),
            ExprKind::Or(all) => self.many(all, yes, if yes { " or " } else { " and " }),
            ExprKind::AtLeast(n, all) => {
                let all: Vec<String> = all.iter().map(|e| self.condition(e, true)).collect();
                let how = if yes { "at least" } else { "fewer than" };
                format!("{how} {n} of this hold: {}", all.join("; "))
            }
            ExprKind::Compare(op, a, b) => {
                let op = if yes { *op } else { op.negated() };
                format!("{} {} {}", self.value(a), compared(op, &a.ty), self.value(b))
            }
            ExprKind::InSet(a, set) => {
                let items = alternatives(set.iter().map(|c| said(item_type(&a.ty), c)).collect());
                let several = matches!(a.ty, Type::List(_));
                let networks = set.iter().any(|c| matches!(c, Const::Net(_)));
                let verb = match (several, networks, set.len(), yes) {
                    (true, _, _, true) => "hold",
                    (true, _, _, false) => "do not hold",
                    (_, true, _, true) => "lies in",
                    (_, true, _, false) => "does not lie in",
                    (_, _, 1, true) => "is",
                    (_, _, 1, false) => "is not",
                    (_, _, _, true) => "is one of",
                    (_, _, _, false) => "is none of",
                };
                format!("{} {verb} {items}", self.value(a))
            }
            ExprKind::InList(a, list) => {
                let verb = match (matches!(a.ty, Type::List(_)), yes) {
                    (true, true) => "has one in",
                    (true, false) => "has none in",
                    (false, true) => "is in",
                    (false, false) => "is not in",
                };
                format!("{} {verb} {}", self.value(a), self.list(*list))
            }
            ExprKind::Text { operand, test, ignoring_case } => {
                let test = self.tested(test, yes);
                let case = if *ignoring_case { ", in capital or small letters" } else { "" };
                format!("{} {test}{case}", self.value(operand))
            }
            ExprKind::Exists(a) => format!("{} is {}", self.value(a), if yes { "known" } else { "missing" }),
            ExprKind::Memory(m) => {
                let (of, within) = (self.value(&m.of), span(m.within));
                match (&m.ask, yes) {
                    (Ask::SeenBefore, true) => format!("{of} was seen before, within {within}"),
                    (Ask::SeenBefore, false) => format!("{of} was not seen before, within {within}"),
                    (Ask::SeenBeforeBy(by), true) => {
                        format!("{of} was seen before, within {within}, with another value than {}", self.value(by))
                    }
                    (Ask::SeenBeforeBy(by), false) => {
                        format!("{of} was not seen before, within {within}, with another value than {}", self.value(by))
                    }
                    (Ask::FirstSeen, true) => format!("{of} was seen for the first time within the last {within}"),
                    (Ask::FirstSeen, false) => format!("{of} was seen earlier than within the last {within}"),
                    (Ask::NewFor(by), true) => {
                        format!("{of} is new for {}, which was seen within the last {within}", self.value(by))
                    }
                    (Ask::NewFor(by), false) => format!("{of} is known for {} from the last {within}", self.value(by)),
                }
            }
            ExprKind::Outage(series) => {
                let was = if yes { "was" } else { "was not" };
                format!("{} {was} in an outage when it happened", self.series(*series))
            }
            ExprKind::WindowOutage(o) => {
                let had = if yes { "had an" } else { "had no" };
                format!("{} {had} outage within the time", self.series(o.series))
            }
            ExprKind::Const(Const::Bool(b)) => if *b == yes { "always" } else { "never" }.to_string(),
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
            | ExprKind::OfStep(..) => format!("{} is {}", self.value(e), if yes { "true" } else { "false" }),
        }
    }

    fn many(&mut self, all: &[Expr], yes: bool, with: &str) -> String {
        let all: Vec<String> = all.iter().map(|e| self.condition(e, yes)).collect();
        format!("({})", all.join(with))
    }

    fn tested(&mut self, test: &TextTest, yes: bool) -> String {
        let phrases = |all: &[String]| alternatives(all.iter().map(|p| format!("{p:?}")).collect());
        let each = |all: &[String]| listed(all.iter().map(|p| format!("{p:?}")).collect(), "and");
        match (test, yes) {
            (TextTest::ContainsAny(p), true) => format!("holds {}", phrases(p)),
            (TextTest::ContainsAny(p), false) => format!("does not hold {}", phrases(p)),
            (TextTest::ContainsAll(p), true) => format!("holds each of {}", each(p)),
            (TextTest::ContainsAll(p), false) => format!("does not hold each of {}", each(p)),
            (TextTest::ContainsAnyOf(list), true) => format!("holds a phrase of {}", self.list(*list)),
            (TextTest::ContainsAnyOf(list), false) => format!("holds no phrase of {}", self.list(*list)),
            (TextTest::StartsWith(p), true) => format!("begins with {p:?}"),
            (TextTest::StartsWith(p), false) => format!("does not begin with {p:?}"),
            (TextTest::EndsWith(p), true) => format!("ends with {p:?}"),
            (TextTest::EndsWith(p), false) => format!("does not end with {p:?}"),
            (TextTest::Matches(p), true) => format!("matches the pattern {p:?}"),
            (TextTest::Matches(p), false) => format!("does not match the pattern {p:?}"),
        }
    }

    /// A value: of the event as "its account", of a group as "the account".
    pub(super) fn value(&mut self, e: &Expr) -> String {
        if let Some(name) = self.name(e) {
            return if e.ty == Type::Bool { format!("whether \u{201c}{name}\u{201d} holds") } else { name };
        }
        match &e.kind {
            ExprKind::Const(c) => said(&e.ty, c),
            ExprKind::Field(f) => format!("its {}", self.field(*f)),
            ExprKind::Column(t, c) => self.column(*t, *c),
            ExprKind::OrDefault(a, b) => format!("{} (where it is missing, {})", self.value(a), self.value(b)),
            ExprKind::Arithmetic(op, a, b) => {
                let word = match op {
                    Arithmetic::Add => "plus",
                    Arithmetic::Subtract => "minus",
                    Arithmetic::Multiply | Arithmetic::MultiplyMicros => "times",
                    Arithmetic::Divide | Arithmetic::Ratio => "divided by",
                };
                format!("({} {word} {})", self.value(a), self.value(b))
            }
            ExprKind::ToMicros(a) => self.value(a),
            ExprKind::Network(a, v4, v6) => format!("the network of {} (/{v4}, of IPv6 /{v6})", self.value(a)),
            ExprKind::Lower(a) => format!("{} in small letters", self.value(a)),
            ExprKind::Length(a) if matches!(a.ty, Type::List(_)) => format!("the number of {}", self.noun(a)),
            ExprKind::Length(a) => format!("the length of {}", self.value(a)),
            ExprKind::Template(f, strictness) => {
                format!("the template of its {} (runs of {} words)", self.field(*f), strictness.words())
            }
            ExprKind::Aggregate(i) => match self.aggregates.get(usize::from(*i)) {
                Some(a) => self.counted(a),
                None => "a count".to_string(),
            },
            ExprKind::Key(i) => match self.per.get(usize::from(*i)) {
                Some(part) => format!("the {}", self.noun(part)),
                None => "the group".to_string(),
            },
            ExprKind::Link(LinkValue::Members) => "the number of accounts in the group".to_string(),
            ExprKind::Link(LinkValue::Families) => "what ties the accounts of the group".to_string(),
            ExprKind::Link(LinkValue::TiedShare(family)) => {
                let family = self.families.get(usize::from(*family)).cloned().unwrap_or_default();
                format!("the share of the group's accounts that have the {family} in common with another of them")
            }
            ExprKind::OfStep(step, a) => format!("the {} of step {}", self.noun(a), step + 1),
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
            | ExprKind::WindowOutage(_) => format!("whether {}", self.condition(e, true)),
        }
    }

    /// A value without whose it is: "account", "network of the ip (/24, of IPv6 /48)".
    pub(super) fn noun(&mut self, e: &Expr) -> String {
        match &e.kind {
            ExprKind::Field(f) => self.field(*f),
            ExprKind::OrDefault(a, b) => format!("{} (where it is missing, {})", self.noun(a), self.value(b)),
            ExprKind::Network(a, v4, v6) => format!("network of the {} (/{v4}, of IPv6 /{v6})", self.noun(a)),
            ExprKind::Lower(a) => format!("{} in small letters", self.noun(a)),
            ExprKind::Template(f, strictness) => {
                format!("template of the {} (runs of {} words)", self.field(*f), strictness.words())
            }
            _ => {
                let value = self.value(e);
                let bare = value.strip_prefix("its ").or_else(|| value.strip_prefix("the "));
                bare.unwrap_or(&value).to_string()
            }
        }
    }

    fn field(&mut self, f: FieldId) -> String {
        self.fields.insert(f);
        FIELDS.get(usize::from(f.0)).map_or("value", |f| f.name).to_string()
    }

    fn column(&mut self, t: TableId, c: u16) -> String {
        let table = self.program.tables.get(t.0 as usize);
        let column = table.and_then(|t| t.columns.get(usize::from(c))).map_or("value", |c| c.0.as_str());
        if t == TableId::ACCOUNTS {
            return format!("the {column} of the account in the registry");
        }
        self.tables.insert(t);
        format!("the {column} in the table {}", table.map_or("", |t| t.name.as_str()))
    }

    fn list(&mut self, list: ListId) -> String {
        self.lists.insert(list);
        format!("the list {}", self.program.lists.get(list.0 as usize).map_or("", |l| l.name.as_str()))
    }

    fn series(&mut self, id: SeriesId) -> String {
        self.series.insert(id);
        format!("the series {}", self.program.series.get(id.0 as usize).map_or("", |s| s.name.as_str()))
    }
}

fn joined(lead: &str, text: &str) -> String {
    if lead.is_empty() { text.to_string() } else { format!("{lead} {text}") }
}
