//! The order in which `let`s are put in place: each after those it uses. A circle is reported once, by its names.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Meaning;
use super::scope::{Inlined, Place, Scope, depth};
use super::{Checker, call, expr, limits};
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{self, Arg, ExprKind};

/// Lowers all top-level `let`s; those in a circle stay unknown.
pub(super) fn lower_lets(cx: &mut Checker<'_>) {
    let lets = cx.names.lets.clone();
    cx.names.lowered = vec![None; lets.len()];
    let order = sorted(cx, &lets);
    for i in order {
        let Some(item) = lets.get(i) else { continue };
        let mut scope = Scope::new(Place::Event);
        let first = matches!(cx.names.get(&item.name.text), Some(Meaning::Let(j)) if j == i);
        let lowered = match call::first_aggregate(&item.value) {
            Some(aggregate) => {
                let message = format!(
                    "`{}` counts over a window, but a `let` outside a rule looks at single events",
                    aggregate.text
                );
                let help = format!("move `let {} = …` into the rule that uses it", item.name.text);
                cx.fail(Diagnostic::new(Code::AGGREGATE_HERE, aggregate.span, message).label("an aggregate").help(help))
            }
            None => expr::value(cx, &mut scope, &item.value),
        };
        let lowered = lowered.and_then(|e| bounded(cx, e, &item.name));
        if let Some(slot) = cx.names.lowered.get_mut(i).filter(|_| first) {
            *slot = lowered;
        }
    }
}

/// A `let` that is not nested too deeply.
pub(super) fn bounded(cx: &mut Checker<'_>, e: crate::hir::Expr, name: &ast::Name) -> Option<Inlined> {
    if depth(&e) > limits::LET_DEPTH_MAX {
        let message = format!(
            "`{}` is nested deeper than {} levels, once every `let` is put in place",
            name.text,
            limits::LET_DEPTH_MAX
        );
        return cx.fail(Diagnostic::new(Code::TOO_MANY, name.span, message).help("shorten the chain of `let`s"));
    }
    Some(Inlined::new(e))
}

/// The numbers of the `let`s, each after those it uses. Members of circles are left out and reported.
pub(super) fn sorted(cx: &mut Checker<'_>, lets: &[&ast::Let]) -> Vec<usize> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, item) in lets.iter().enumerate() {
        numbers.entry(item.name.text.as_str()).or_insert(i);
    }
    let uses: Vec<Vec<usize>> = lets
        .iter()
        .map(|item| {
            let mut words = BTreeSet::new();
            gather(&item.value, &mut words);
            words.iter().filter_map(|w| numbers.get(w).copied()).collect()
        })
        .collect();
    // Depth first, with a stack of our own: a chain of ten thousand `let`s must not be one of ten thousand calls.
    let mut state = vec![State::New; lets.len()];
    let mut order = Vec::new();
    for root in 0..lets.len() {
        let mut path: Vec<(usize, usize)> = vec![(root, 0)];
        if state.get(root) != Some(&State::New) {
            continue;
        }
        set(&mut state, root, State::Open);
        while let Some((at, next)) = path.last_mut() {
            let at = *at;
            match uses.get(at).and_then(|u| u.get(*next)).copied() {
                Some(used) => {
                    *next += 1;
                    match state.get(used) {
                        Some(State::New) => {
                            set(&mut state, used, State::Open);
                            path.push((used, 0));
                        }
                        Some(State::Open) => {
                            let from = path.iter().position(|(i, _)| *i == used).unwrap_or(0);
                            let circle: Vec<usize> = path.iter().skip(from).map(|(i, _)| *i).collect();
                            report_circle(cx, lets, &circle);
                            circle.iter().for_each(|i| set(&mut state, *i, State::Circular));
                        }
                        _ => {}
                    }
                }
                None => {
                    if state.get(at) == Some(&State::Open) {
                        set(&mut state, at, State::Done);
                        order.push(at);
                    }
                    path.pop();
                }
            }
        }
    }
    order
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Circular,
    Done,
}

fn set(state: &mut [State], at: usize, to: State) {
    if let Some(slot) = state.get_mut(at) {
        *slot = to;
    }
}

fn report_circle(cx: &mut Checker<'_>, lets: &[&ast::Let], circle: &[usize]) {
    // Told from its first name in the files, whichever was met first.
    let start = circle.iter().enumerate().min_by_key(|(_, i)| **i).map_or(0, |(at, _)| at);
    let members: Vec<&ast::Name> =
        circle.iter().cycle().skip(start).take(circle.len()).filter_map(|i| lets.get(*i)).map(|l| &l.name).collect();
    let Some(first) = members.first() else { return };
    let mut told: Vec<String> = members.iter().take(8).map(|n| format!("`{}`", n.text)).collect();
    if members.len() > 8 {
        told.push("…".to_string());
    }
    told.push(format!("`{}`", first.text));
    let message = match members.len() {
        1 => format!("`{}` refers to itself", first.text),
        _ => format!("`let`s refer to each other in a circle: {}", told.join(" uses ")),
    };
    let mut diagnostic =
        Diagnostic::new(Code::LET_CYCLE, first.span, message).help("define one of them by fields of the event alone");
    for other in members.iter().skip(1).take(7) {
        diagnostic = diagnostic.also(other.span, "part of the circle");
    }
    cx.report(diagnostic);
}

/// All single words of an expression.
pub(super) fn gather<'e>(e: &'e ast::Expr, words: &mut BTreeSet<&'e str>) {
    match &e.kind {
        ExprKind::Path(p) => {
            if let [one] = p.parts.as_slice() {
                words.insert(&one.text);
            }
        }
        ExprKind::Literal(_) | ExprKind::Outage(_) => {}
        ExprKind::List(all) | ExprKind::And(all) | ExprKind::Or(all) | ExprKind::AtLeast(_, all) => {
            all.iter().for_each(|e| gather(e, words));
        }
        ExprKind::Paren(a) | ExprKind::Not(a) | ExprKind::Negate(a) => gather(a, words),
        ExprKind::Exists { operand, .. } | ExprKind::TextTest { operand, .. } => gather(operand, words),
        ExprKind::In { operand, set, .. } => {
            gather(operand, words);
            gather(set, words);
        }
        ExprKind::Memory { operand, ask, .. } => {
            gather(operand, words);
            if let ast::Memory::SeenBefore(Some(by)) | ast::Memory::NewFor(by) = ask {
                gather(by, words);
            }
        }
        ExprKind::Compare(a, _, b) | ExprKind::Arithmetic(a, _, b) | ExprKind::OrDefault(a, b) => {
            gather(a, words);
            gather(b, words);
        }
        ExprKind::Call(c) => {
            for arg in &c.args {
                match arg {
                    Arg::Value(e) | Arg::Named(_, e) => gather(e, words),
                    Arg::OnePer { key, condition, .. } => {
                        gather(key, words);
                        if let Some(condition) = condition {
                            gather(condition, words);
                        }
                    }
                    Arg::Over(_) => {}
                }
            }
            if let Some(filter) = &c.filter {
                gather(filter, words);
            }
        }
    }
}
