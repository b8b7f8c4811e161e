//! What may be named at a place: single events or a window, the parts of the group, the `let`s of the rule.

use std::collections::{BTreeMap, BTreeSet};

use super::window::Cutting;
use crate::hir;
use crate::time::Duration;
use crate::value::Type;

/// What an expression is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// One event: fields, columns, top-level `let`s.
    Event,
    /// One event, within the arguments of an aggregate.
    Aggregate,
    /// The window of a group: aggregates, parts of the group.
    Window,
    /// One event, as the step of a sequence with this number: fields, columns, and the events of earlier steps.
    Step(u16),
    /// A match of a sequence: the events of its steps, parts of the key.
    Match,
}

/// A name by which later steps of a sequence refer to one.
#[derive(Debug, Clone)]
pub(super) struct StepName {
    pub(super) name: String,
    pub(super) number: u16,
    /// It must not happen.
    pub(super) absent: bool,
}

/// An expression ready to be put in place.
#[derive(Debug, Clone)]
pub(super) struct Inlined {
    pub(super) expr: hir::Expr,
    pub(super) nodes: usize,
}

impl Inlined {
    pub(super) fn new(expr: hir::Expr) -> Self {
        let mut nodes = 0;
        expr.walk(&mut |e| nodes += 1 + constants(e));
        Inlined { expr, nodes }
    }
}

/// Values and phrases that an expression holds beside its operands.
fn constants(e: &hir::Expr) -> usize {
    match &e.kind {
        hir::ExprKind::InSet(_, set) => set.len(),
        hir::ExprKind::Text { test: hir::TextTest::ContainsAny(p) | hir::TextTest::ContainsAll(p), .. } => p.len(),
        _ => 0,
    }
}

/// How deep an expression is nested.
pub(super) fn depth(e: &hir::Expr) -> usize {
    use hir::ExprKind as K;
    1 + match &e.kind {
        K::Const(_)
        | K::Field(_)
        | K::Column(..)
        | K::Outage(_)
        | K::WindowOutage(_)
        | K::Template(..)
        | K::Aggregate(_)
        | K::Link(_)
        | K::Key(_) => 0,
        K::Not(a)
        | K::InSet(a, _)
        | K::InList(a, _)
        | K::Text { operand: a, .. }
        | K::Exists(a)
        | K::ToMicros(a)
        | K::Network(a, ..)
        | K::Lower(a)
        | K::Length(a)
        | K::OfStep(_, a) => depth(a),
        K::Memory(m) => depth(&m.of).max(m.ask.by().map_or(0, depth)),
        K::And(all) | K::Or(all) | K::AtLeast(_, all) => all.iter().map(depth).max().unwrap_or(0),
        K::Compare(_, a, b) | K::OrDefault(a, b) | K::Arithmetic(_, a, b) => depth(a).max(depth(b)),
    }
}

/// The link by whose groups a rule counts.
#[derive(Debug, Clone)]
pub(super) struct LinkScope {
    pub(super) name: String,
    /// Its families as written, and how long each ties; `None` where the link is wrong.
    pub(super) families: Option<Vec<(String, Duration)>>,
}

/// Names and results of one rule, `let` or other place where expressions stand.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) place: Place,
    /// Parts of the group: their text and their type.
    pub(super) keys: Vec<(String, Type)>,
    /// The link in `per`.
    pub(super) link: Option<LinkScope>,
    /// How time is cut, in a rule over windows that was read.
    pub(super) window: Option<Cutting>,
    /// The steps of a sequence by their names.
    pub(super) steps: Vec<StepName>,
    /// The rule's own `let`s; `None` where it is wrong.
    pub(super) lets: BTreeMap<String, Option<Inlined>>,
    /// Aggregates met so far, with their text: the same text is the same aggregate.
    pub(super) aggregates: Vec<(String, hir::Aggregate)>,
    /// The rule's `let`s that something uses.
    pub(super) used: BTreeSet<String>,
    /// Nodes put in place so far.
    pub(super) nodes: usize,
    /// Whether the bound on nodes was reported.
    pub(super) overfull: bool,
    /// Present nesting.
    pub(super) depth: usize,
}

impl Scope {
    pub(super) fn new(place: Place) -> Self {
        Scope {
            place,
            keys: Vec::new(),
            link: None,
            window: None,
            steps: Vec::new(),
            lets: BTreeMap::new(),
            aggregates: Vec::new(),
            used: BTreeSet::new(),
            nodes: 0,
            overfull: false,
            depth: 0,
        }
    }

    /// Whether several events are judged together.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.place, Place::Window | Place::Match)
    }

    /// Runs `f` at another place.
    pub(super) fn within<T>(&mut self, place: Place, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.place, place);
        let result = f(self);
        self.place = before;
        result
    }
}
