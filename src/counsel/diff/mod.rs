//! What a change from one set of rule files to another means: documents and clauses, lists, rules. Compared is what the
//! files mean, so a change of spelling, layout, comments or tests is none.

mod condition;
mod documents;
mod link;
mod rule;

use std::collections::{BTreeMap, BTreeSet};

use crate::hir::{ExprKind, ListId, Shape, TextTest};
use crate::hir::{Program, Rule, canonical_definition, canonical_rule, each_expr};
use crate::plan::ReferenceData;

/// One of the two sets that are compared.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// What it means.
    pub program: &'a Program,
    /// What its lists hold.
    pub data: &'a ReferenceData,
}

/// What follows from a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Whatever was found still is, and perhaps more.
    Wider,
    /// Whatever is found was found before, and perhaps more was.
    Narrower,
    /// More follows for who is found.
    Stricter,
    /// Less follows for who is found.
    Milder,
    /// It cannot be told from the text.
    Unclear,
    /// The same is found, and the same follows.
    Same,
}

impl Effect {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Effect::Wider => "wider",
            Effect::Narrower => "narrower",
            Effect::Stricter => "stricter",
            Effect::Milder => "milder",
            Effect::Unclear => "unclear",
            Effect::Same => "same",
        }
    }

    /// As the end of a sentence.
    pub fn means(self) -> &'static str {
        match self {
            Effect::Wider => "more is reached",
            Effect::Narrower => "less is reached",
            Effect::Stricter => "more follows for who is found",
            Effect::Milder => "less follows for who is found",
            Effect::Unclear => "whether more or less is reached cannot be told from the text",
            Effect::Same => "what is found, and what follows, stays as it is",
        }
    }

    /// Of a change under a `not`, or in what is taken out.
    fn flipped(self, positive: bool) -> Effect {
        match self {
            Effect::Wider if !positive => Effect::Narrower,
            Effect::Narrower if !positive => Effect::Wider,
            effect => effect,
        }
    }
}

/// One change, as a sentence without its stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What changed.
    pub what: String,
    /// What follows.
    pub effect: Effect,
}

impl Change {
    fn new(effect: Effect, what: impl Into<String>) -> Change {
        Change { what: what.into(), effect }
    }
}

/// The changes of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Its name.
    pub name: String,
    /// At least one.
    pub changes: Vec<Change>,
}

/// All changes, each kind in the order of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// By `provider.document`.
    pub documents: Vec<Changes>,
    /// By the name of the list or table.
    pub lists: Vec<Changes>,
    /// By the name of the rule.
    pub rules: Vec<Changes>,
}

impl Diff {
    /// Whether both mean the same.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty() && self.lists.is_empty() && self.rules.is_empty()
    }
}

/// What changed from `old` to `new`.
pub fn diff(old: Side<'_>, new: Side<'_>) -> Diff {
    Diff { documents: documents::diff(old.program, new.program), lists: lists(old, new), rules: rules(old, new) }
}

fn rules(old: Side<'_>, new: Side<'_>) -> Vec<Changes> {
    let by_name = |side: Side<'_>| -> BTreeMap<String, Rule> {
        side.program.rules.iter().map(|r| (r.name.clone(), r.clone())).collect()
    };
    let (before, after) = (by_name(old), by_name(new));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    // A rule that went and one that came and mean the same are one rule with another name.
    let gone: BTreeMap<String, &String> = before
        .iter()
        .filter(|(name, _)| !after.contains_key(*name))
        .map(|(name, rule)| (canonical_definition(old.program, rule), name))
        .collect();
    let mut renamed: BTreeMap<&String, &String> = BTreeMap::new();
    for (name, rule) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
        if let Some(from) = gone.get(&canonical_definition(new.program, rule))
            && !renamed.values().any(|taken| taken == from)
        {
            renamed.insert(name, from);
        }
    }
    let mut out = Vec::new();
    for name in names {
        let from = renamed.get(name).copied();
        let changes = match (before.get(from.unwrap_or(name)), after.get(name)) {
            (Some(a), Some(b)) => {
                let mut changes = Vec::new();
                if let Some(from) = from {
                    changes.push(Change::new(Effect::Same, format!("It has a new name; before it was {from}")));
                }
                if canonical_rule(old.program, a) != canonical_rule(new.program, b) || a.mistaken_for != b.mistaken_for
                {
                    changes.extend(rule::diff(old.program, a, new.program, b, from.is_some()));
                }
                changes
            }
            (None, Some(_)) => vec![Change::new(Effect::Wider, "The rule was added")],
            (Some(_), None) if renamed.values().any(|from| *from == name) => Vec::new(),
            (Some(_), None) => vec![Change::new(Effect::Narrower, "The rule was removed")],
            (None, None) => Vec::new(),
        };
        if !changes.is_empty() {
            out.push(Changes { name: name.clone(), changes });
        }
    }
    out
}

/// Lists and tables by what they hold; those of files too.
fn lists(old: Side<'_>, new: Side<'_>) -> Vec<Changes> {
    let mut out = Vec::new();
    let held = |side: Side<'_>| -> BTreeMap<String, ([u8; 32], usize, Option<ListId>)> {
        let lists = side.program.lists.iter().zip(&side.data.lists).enumerate();
        let lists = lists.map(|(i, (l, data))| (l.name.clone(), (data.hash(), data.len(), Some(ListId(i as u32)))));
        // The registry, table 0, is given to a run, not to a pack.
        let tables = side.program.tables.iter().zip(&side.data.tables).skip(1);
        let tables = tables.map(|(t, data)| (t.name.clone(), (data.hash(), data.len(), None)));
        lists.chain(tables).collect()
    };
    let (before, after) = (held(old), held(new));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let what = match (before.get(name), after.get(name)) {
            (Some((a, n, _)), Some((b, m, list))) if a != b => {
                let readers = list.map_or_else(Vec::new, |id| readers(new.program, id));
                let read = if readers.is_empty() { String::new() } else { format!("; read by {}", readers.join(", ")) };
                Change::new(Effect::Unclear, format!("It holds other values: {n} before, {m} now{read}"))
            }
            (Some(_), Some(_)) | (None, None) => continue,
            (None, Some((_, n, _))) => Change::new(Effect::Same, format!("It was added, with {n} values")),
            (Some((_, n, _)), None) => Change::new(Effect::Same, format!("It was removed; it held {n} values")),
        };
        out.push(Changes { name: name.clone(), changes: vec![what] });
    }
    out
}

/// Names of the rules that read a list.
fn readers(program: &Program, list: ListId) -> Vec<String> {
    let mut out = Vec::new();
    for rule in &program.rules {
        let mut reads = false;
        let mut look = |e: &crate::hir::Expr| {
            e.walk(&mut |e| {
                reads |= match &e.kind {
                    ExprKind::InList(_, id) | ExprKind::Text { test: TextTest::ContainsAnyOf(id), .. } => *id == list,
                    _ => false,
                };
            });
        };
        each_expr(rule, &mut look);
        if let Shape::Windowed(w) = &rule.shape
            && let Some(link) = w.link.and_then(|id| program.links.get(id.0 as usize))
        {
            reads |= link.families.iter().any(|f| f.ignoring.contains(&list));
        }
        if reads {
            out.push(rule.name.clone());
        }
    }
    out
}
