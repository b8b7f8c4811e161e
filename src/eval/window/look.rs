//! What a window comes to, condition by condition, for whoever looks on.

use super::{Bench, Group, WindowEnv, holds, recorded};
use crate::eval::accumulate::Span;
use crate::eval::intern::Interner;
use crate::eval::lane::Lane;
use crate::eval::route::part_text;
use crate::eval::watch::{Look, Part, Watch};
use crate::plan::rule::{Key, WindowPlan};
use crate::plan::scalar::{self as plan, Cond};
use crate::time::Timestamp;

impl Group {
    /// Notes what its window comes to, if somebody looks on.
    pub(super) fn watched(&self, step: i64, w: &WindowPlan, bench: &Bench<'_>) {
        if let Some(watch) = bench.watch {
            look(watch, &self.net, &self.key, w, bench.interner, self.span(step, w));
        }
    }
}

/// Notes what a window comes to, condition by condition, if its group is looked on at.
pub(super) fn look(watch: &Watch, lane: &Lane, key: &Key, w: &WindowPlan, interner: &Interner, span: Span) {
    let group: Vec<String> = w.per.iter().zip(key).map(|(part, word)| part_text(*word, part, interner)).collect();
    if !watch.looks_at(&group) {
        return;
    }
    let env = WindowEnv { lane, key, w, interner, span };
    let parts = match &w.when {
        Cond::And(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let part = |cond: &Cond| {
        let value = match cond {
            Cond::Compare(_, value, plan::Scalar::Const(_)) | Cond::Compare(_, plan::Scalar::Const(_), value) => {
                recorded(&value.eval(&env))
            }
            _ => None,
        };
        Part { truth: cond.eval(&env), value }
    };
    watch.note(Look {
        group,
        start: Timestamp(span.start),
        end: Timestamp(span.end),
        events: lane.events(),
        holds: holds(lane, key, w, interner, span),
        parts: parts.iter().map(part).collect(),
        values: w.values.iter().map(|v| recorded(&v.scalar.eval(&env))).collect(),
    });
}
