//! Values and conditions in English. Every kind of expression has its words here; a new one does not compile without.

use std::collections::{BTreeMap, BTreeSet};

use super::reading::Line;
use crate::event::{FIELDS, FieldId, Kind};
use crate::hir::{
    Aggregate, Arithmetic, Ask, Compare, Const, Expr, ExprKind, Function, LinkValue, ListId, Program, Rule, SeriesId,
    Shape, TableId, TextTest, canonical_expr,
};
use crate::time::{DAY_NS, Duration, HOUR_NS, MINUTE_NS, SECOND_NS, Timestamp};
use crate::value::{Type, write_number};

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

    /// What an aggregate counts.
    pub(super) fn counted(&mut self, a: &Aggregate) -> String {
        let what = match &a.function {
            Function::Count => "the number of events".to_string(),
            Function::Sum(e) => format!("the sum of the {}", self.noun(e)),
            Function::Min(e) => format!("the least {}", self.noun(e)),
            Function::Max(e) => format!("the greatest {}", self.noun(e)),
            Function::Average(e) => format!("the average of the {}", self.noun(e)),
            Function::Distinct { of, one_per } => {
                let of: Vec<String> = of.iter().map(|e| self.noun(e)).collect();
                let of = format!("the number of different values of the {}", of.join(" together with the "));
                match one_per {
                    None => of,
                    Some((key, None)) => format!("{of}, where all of one {} count as one", self.noun(key)),
                    Some((key, Some(condition))) => {
                        let key = self.noun(key);
                        format!("{of}, where all of one {key} count as one if {}", self.condition(condition, true))
                    }
                }
            }
            Function::Share(e) => format!("the share of events for which it is true that {}", self.condition(e, true)),
            Function::Quantile(e, share) => {
                format!("the {} that {} of the events do not exceed", self.noun(e), percent(*share))
            }
            Function::Spread(e) => format!("the spread of the {} (standard deviation by mean)", self.noun(e)),
            Function::TopShare(e, 1) => format!("the share of the commonest {}", self.noun(e)),
            Function::TopShare(e, n) => format!("the share of the {n} commonest values of the {}", self.noun(e)),
            Function::Entropy(e) => format!("how mixed the values of the {} are, in bits", self.noun(e)),
            Function::First(e) => format!("the earliest {}", self.noun(e)),
            Function::Last(e) => format!("the latest {}", self.noun(e)),
            Function::Rate => "the number of events per minute".to_string(),
            Function::LongestIdle => "the longest time without an event".to_string(),
            Function::TopSpeed(e) => {
                format!("the greatest speed, in km/h, from one {} to the next", self.noun(e))
            }
            Function::Baseline(b) => {
                let of = self.value(&b.of);
                let which = if b.share == 500_000 {
                    "the median".to_string()
                } else {
                    format!("the value that {} do not exceed", percent(b.share))
                };
                let by: Vec<String> = b.by().iter().map(|e| self.value(e)).collect();
                let whose = match by.is_empty() {
                    true => format!("of the group itself over the {} windows before", b.windows),
                    false => {
                        format!("of groups alike (by {}) over the {} windows before", by.join(" and "), b.windows)
                    }
                };
                format!("{which} of {of} {whose}")
            }
        };
        match &a.filter {
            None => what,
            Some(f) => format!("{what}, counting only events for which {}", self.condition(f, true)),
        }
    }
}

fn joined(lead: &str, text: &str) -> String {
    if lead.is_empty() { text.to_string() } else { format!("{lead} {text}") }
}

fn compared(op: Compare, ty: &Type) -> &'static str {
    let time = *ty == Type::Timestamp;
    match op {
        Compare::Equal => "is",
        Compare::NotEqual => "is not",
        Compare::Less if time => "is before",
        Compare::Less => "is below",
        Compare::LessEqual if time => "is not after",
        Compare::LessEqual => "is at most",
        Compare::Greater if time => "is after",
        Compare::Greater => "is above",
        Compare::GreaterEqual if time => "is not before",
        Compare::GreaterEqual => "is at least",
    }
}

fn item_type(ty: &Type) -> &Type {
    match ty {
        Type::List(of) => of,
        ty => ty,
    }
}

/// A constant as people write it.
pub(super) fn said(ty: &Type, c: &Const) -> String {
    match c {
        Const::Bool(b) => b.to_string(),
        Const::Num(n) if *ty == Type::Duration => span(Duration(*n)),
        Const::Num(n) if *ty == Type::Timestamp && n % DAY_NS == 0 => crate::counsel::date(Timestamp(*n)),
        Const::Num(n) => {
            let mut out = String::new();
            let _ = write_number(&mut out, ty, *n);
            out
        }
        Const::Text(t) if *ty == Type::Country => t.clone(),
        Const::Text(t) => format!("{t:?}"),
        Const::Ip(ip) => ip.to_string(),
        Const::Net(net) => net.to_string(),
    }
}

/// A share in millionths: `25%`.
pub(super) fn percent(share: i64) -> String {
    said(&Type::Percentage, &Const::Num(share))
}

/// "24 hours", "1 minute": whole units, as authors choose them.
pub(super) fn span(d: Duration) -> String {
    let units = [(DAY_NS, "day"), (HOUR_NS, "hour"), (MINUTE_NS, "minute"), (SECOND_NS, "second")];
    let found = units.into_iter().find(|(ns, _)| d.0 != 0 && d.0 % ns == 0);
    match found {
        Some((DAY_NS, _)) if d.0 == DAY_NS => "24 hours".to_string(),
        Some((ns, unit)) if d.0 == ns => format!("1 {unit}"),
        Some((ns, unit)) => format!("{} {unit}s", d.0 / ns),
        None if d.0 % 1_000 == 0 => format!("{} seconds", said(&Type::Decimal, &Const::Num(d.0 / 1_000))),
        None => d.to_string(),
    }
}

/// As [`span`], behind "every" or "per": "hour", "15 minutes".
pub(super) fn each(d: Duration) -> String {
    let said = span(d);
    match said.strip_prefix("1 ") {
        Some(unit) => unit.to_string(),
        None => said,
    }
}

/// "a", "a or b", "a, b or c".
pub(super) fn alternatives(all: Vec<String>) -> String {
    listed(all, "or")
}

/// As [`alternatives`], with another word before the last.
pub(super) fn listed(mut all: Vec<String>, word: &str) -> String {
    match (all.pop(), all.is_empty()) {
        (None, _) => "nothing".to_string(),
        (Some(last), true) => last,
        (Some(last), false) => format!("{} {word} {last}", all.join(", ")),
    }
}

/// "calls of a model".
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Completion => "calls of a model (completion)",
        Kind::Request => "calls as they arrive, and of other endpoints (request)",
        Kind::Signup => "sign-ups (signup)",
        Kind::Account => "changes of accounts (account)",
        Kind::Action => "what the gateway does (action)",
    }
}

/// The kinds that are looked at; all of them are "events of any kind".
pub(super) fn kinds(all: &[Kind]) -> String {
    if Kind::ALL.iter().all(|k| all.contains(k)) {
        return "events of any kind".to_string();
    }
    listed(all.iter().map(|k| kind(*k).to_string()).collect(), "and")
}
