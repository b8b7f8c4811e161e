//! What a window comes to, condition by condition, for whoever looks on.

use super::{Bench, Group, WindowEnv, recorded};
use crate::eval::back::Back;
use crate::eval::route::part_text;
use crate::eval::watch::{Look, Part, Watch};
use crate::plan::rule::WindowPlan;
use crate::plan::scalar::{self as plan, Cond};
use crate::time::Timestamp;

impl Group {
    /// Notes what its window comes to, if somebody looks on.
    pub(super) fn watched(&self, w: &WindowPlan, bench: &Bench<'_>, back: Back<'_>) {
        if let Some(watch) = bench.watch {
            look(watch, &self.net_env(w, bench, back));
        }
    }
}

/// Notes what a window comes to, condition by condition, if its group is looked on at.
pub(super) fn look(watch: &Watch, env: &WindowEnv<'_>) {
    let WindowEnv { lane, key, w, interner, span, .. } = *env;
    let group: Vec<String> = w.per.iter().zip(key).map(|(part, word)| part_text(*word, part, interner)).collect();
    if !watch.looks_at(&group) {
        return;
    }
    let parts = match &w.when {
        Cond::And(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let part = |cond: &Cond| {
        let value = match cond {
            Cond::Compare(_, value, plan::Scalar::Const(_)) | Cond::Compare(_, plan::Scalar::Const(_), value) => {
                recorded(&value.eval(env))
            }
            _ => None,
        };
        Part { truth: cond.eval(env), value }
    };
    watch.note(Look {
        group,
        start: Timestamp(span.start),
        end: Timestamp(span.end),
        events: lane.events(),
        holds: env.holds(),
        parts: parts.iter().map(part).collect(),
        values: w.values.iter().map(|v| recorded(&v.scalar.eval(env))).collect(),
    });
}
