//! A part of a group of which an event has several values, each of which is a key: which values those are, and which of them
//! the rule leaves out.

use std::sync::Arc;

use super::lower::Lower;
use super::scalar::{Env, Scalar, Val, in_list};
use super::set::ValueSet;
use crate::hir::{self, ExprKind};
use crate::reference::ListData;
use crate::time::Timestamp;
use crate::value::Truth;

/// Values of events of one window that are kept in a rule before their groups can fire, 16 bytes each: above it the oldest
/// are forgotten, and findings say so.
pub(crate) const KEY_VALUES_MAX: usize = 1 << 25;

/// The part of which an event has several values.
#[derive(Debug)]
pub(crate) struct ManyPlan {
    /// Which part of the group.
    pub(crate) at: usize,
    /// All values of an event.
    pub(crate) of: Scalar,
    only: Vec<Test>,
    /// Whether groups of one template or of the same accounts are one finding.
    pub(crate) merges: bool,
    /// [`KEY_VALUES_MAX`].
    pub(crate) values_max: usize,
}

/// What a value must be in, or must not be in, to be a key.
#[derive(Debug)]
struct Test {
    set: Set,
    negated: bool,
}

#[derive(Debug)]
enum Set {
    List(Arc<ListData>),
    Written(ValueSet),
}

impl ManyPlan {
    pub(super) fn new(cx: &mut Lower<'_>, w: &hir::Windowed) -> Option<ManyPlan> {
        let at = w.many()?;
        let of = cx.scalar(w.per.get(at)?);
        let only = w.only.iter().filter_map(|e| Test::new(cx, e)).collect();
        Some(ManyPlan { at, of, only, merges: w.merges(), values_max: KEY_VALUES_MAX })
    }

    /// Whether a value is a key.
    pub(crate) fn takes<E: Env>(&self, value: &Val<'_>, env: &E) -> bool {
        self.only.iter().all(|test| test.holds(value, env.at()))
    }
}

impl Test {
    fn new(cx: &mut Lower<'_>, e: &hir::Expr) -> Option<Test> {
        match &e.kind {
            ExprKind::Not(inner) => Test::new(cx, inner).map(|test| Test { negated: !test.negated, ..test }),
            ExprKind::InList(_, list) => Some(Test { set: Set::List(cx.list(*list)), negated: false }),
            ExprKind::InSet(_, set) => Some(Test { set: Set::Written(ValueSet::new(set)), negated: false }),
            _ => None,
        }
    }

    fn holds(&self, value: &Val<'_>, at: Timestamp) -> bool {
        let found = match &self.set {
            Set::List(list) => in_list(value, list, at),
            Set::Written(set) => set.contains(value),
        };
        (found == Truth::True) != self.negated
    }
}
