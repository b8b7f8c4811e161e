//! Which missing values make a rule silent: unknown is not false, and never fires.

use std::collections::BTreeSet;

use super::possible::{Judge, World};
use crate::event::FieldId;
use crate::hir::{Expr, ExprKind, Function, Program, Rule, Shape, TableId};

/// Something that may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Missing {
    Field(FieldId),
    /// The prompt, and the fingerprints that a gateway may tell instead.
    Wording,
    Column(TableId, u16),
}

/// What a condition cannot hold without.
pub(super) fn needed_for(judge: &Judge<'_>, e: &Expr) -> Vec<Missing> {
    read_by(e).into_iter().filter(|m| !judge_without(judge, *m, |j| j.truth(e).yes)).collect()
}

/// What a value is unknown without.
pub(super) fn needed_to_know(judge: &Judge<'_>, e: &Expr) -> Vec<Missing> {
    read_by(e).into_iter().filter(|m| !judge_without(judge, *m, |j| j.value(e).known)).collect()
}

fn judge_without<T>(judge: &Judge<'_>, missing: Missing, ask: impl FnOnce(&Judge<'_>) -> T) -> T {
    let mut world = World::default();
    match missing {
        Missing::Field(f) => drop(world.absent.insert(f)),
        Missing::Wording => world.absent.extend([FieldId::PROMPT, FieldId::PROMPT_FPS, FieldId::LOOSE_FPS]),
        Missing::Column(t, c) => drop(world.empty_columns.insert((t, c))),
    }
    ask(&Judge { world: &world, ..*judge })
}

/// Fields and columns that an expression reads itself; aggregates apart.
fn read_by(e: &Expr) -> BTreeSet<Missing> {
    let mut found = BTreeSet::new();
    e.walk(&mut |e| match &e.kind {
        ExprKind::Template(FieldId::PROMPT, _) => drop(found.insert(Missing::Wording)),
        ExprKind::Field(f) | ExprKind::Template(f, _) => drop(found.insert(Missing::Field(*f))),
        ExprKind::Column(t, c) => drop(found.insert(Missing::Column(*t, *c))),
        _ => {}
    });
    found
}

/// What makes a rule silent, in a fixed order: what its events need, what its group needs.
pub(super) struct Silent {
    /// Without these no event counts.
    pub(super) events: Vec<Missing>,
    /// Without these an event belongs to no group.
    pub(super) group: Vec<Missing>,
    /// Values of the condition that are unknown over no known value, by the number of their aggregate.
    pub(super) values: Vec<u16>,
}

pub(super) fn silent(program: &Program, rule: &Rule) -> Silent {
    let world = World::default();
    let judge = Judge::of(program, &world, rule);
    let mut events: BTreeSet<Missing> = BTreeSet::new();
    let mut group = BTreeSet::new();
    let mut values = BTreeSet::new();
    if let Some(filter) = &rule.filter {
        events.extend(needed_for(&judge, filter));
    }
    match &rule.shape {
        Shape::Single => {}
        Shape::Sequence(s) => {
            s.per.iter().for_each(|part| group.extend(needed_to_know(&judge, part)));
        }
        Shape::Windowed(w) => {
            w.per.iter().for_each(|part| group.extend(needed_to_know(&judge, part)));
            w.when.walk(&mut |e| {
                if let ExprKind::Aggregate(i) = e.kind
                    && w.aggregates.get(usize::from(i)).is_some_and(|a| unknown_over_nothing(&a.function))
                {
                    values.insert(i);
                }
            });
        }
    }
    // Every event has an id and a time.
    // Who lacks the prompt itself lacks it whatever stands for it.
    if events.contains(&Missing::Field(FieldId::PROMPT)) {
        events.remove(&Missing::Wording);
    }
    events.retain(|m| !group.contains(m) && ![Missing::Field(FieldId::ID), Missing::Field(FieldId::TS)].contains(m));
    Silent {
        events: events.into_iter().collect(),
        group: group.into_iter().collect(),
        values: values.into_iter().collect(),
    }
}

/// Whether an aggregate is unknown over no known value.
fn unknown_over_nothing(function: &Function) -> bool {
    match function {
        Function::Count | Function::Sum(_) | Function::Distinct { .. } | Function::Rate | Function::LongestIdle => {
            false
        }
        Function::Min(_)
        | Function::Max(_)
        | Function::Average(_)
        | Function::Share(_)
        | Function::Quantile(..)
        | Function::Spread(_)
        | Function::TopShare(..)
        | Function::Entropy(_)
        | Function::First(_)
        | Function::Last(_)
        | Function::TopSpeed(_)
        | Function::Baseline(_) => true,
    }
}
