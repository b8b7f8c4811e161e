//! Limits, ready for checks at arrival: what to reserve for a call, what it settles, and how much its key may use. What a
//! limit finds is planned as its windowed rule.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::RuleSet;
use super::lower::Lower;
use super::rule::{RulePlan, WindowPlan};
use super::scalar::{Env, Scalar, Val};
use crate::hir::{self, Mode, Rule, Shape, canonical_expr};
use crate::time::Duration;

/// Of a rule that was written as a limit.
#[derive(Debug)]
pub(crate) struct LimitPlan {
    reserve: Option<Scalar>,
    settle: Scalar,
    most: Scalar,
    identity: String,
}

/// A limit of a set of rules.
///
/// At arrival it bears on a call whose kind is among [`Rule::kinds`], or that is the request of one that may be, where
/// its filter is not false (what is unknown at arrival may turn out true), no exception is true, and all parts of its key
/// are known. Over a completion it settles as its rule counts: where the filter is true, no exception is, and the key is
/// known; else what was reserved is released.
#[derive(Debug, Clone, Copy)]
pub struct Limit<'r> {
    /// Number of its rule in the program.
    pub number: u32,
    /// Its rule: name, kinds, mode, actions, text.
    pub rule: &'r Rule,
    /// Filter and exceptions.
    pub(crate) plan: &'r RulePlan,
    /// The parts of its key.
    pub(crate) window: &'r WindowPlan,
    limit: &'r LimitPlan,
}

impl LimitPlan {
    pub(crate) fn new(cx: &mut Lower<'_>, rule: &Rule, limit: &hir::Limit) -> LimitPlan {
        LimitPlan {
            reserve: limit.reserve.as_ref().map(|e| cx.scalar(e)),
            settle: cx.scalar(&limit.settle),
            most: cx.scalar(&limit.most),
            identity: identity(cx, rule, limit),
        }
    }
}

/// What its state belongs to: its name, and what the amounts in it mean. How much is allowed may change under it.
fn identity(cx: &Lower<'_>, rule: &Rule, limit: &hir::Limit) -> String {
    let Shape::Windowed(w) = &rule.shape else { return String::new() };
    let mut text = format!("{:?} {} {:?}", rule.name, w.length.0, limit.settle.ty);
    for e in w.per.iter().chain([&limit.settle]) {
        let _ = write!(text, " {}", canonical_expr(cx.program, e));
    }
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn amount<E: Env>(scalar: &Scalar, env: &E) -> Option<i64> {
    match scalar.eval(env) {
        Val::Num(n) => Some(n),
        _ => None,
    }
}

impl Limit<'_> {
    /// Length of its windows; they end on multiples of it since 1970.
    pub fn window(&self) -> Duration {
        self.window.length
    }

    /// What it may do.
    pub fn mode(&self) -> Mode {
        self.rule.mode
    }

    /// What its state belongs to: 64 letters that stay the same while its amounts mean the same.
    pub fn identity(&self) -> &str {
        &self.limit.identity
    }

    /// Whether it reserves anything.
    pub fn reserves(&self) -> bool {
        self.limit.reserve.is_some()
    }

    /// What a call is to be held at, over the call as it arrives; `None` where it does not say, or says less than nothing.
    pub(crate) fn reserve<E: Env>(&self, env: &E) -> Option<i64> {
        self.limit.reserve.as_ref().and_then(|e| amount(e, env)).filter(|n| *n >= 0)
    }

    /// What a call used, over its completion.
    pub(crate) fn settle<E: Env>(&self, env: &E) -> Option<i64> {
        amount(&self.limit.settle, env)
    }

    /// What its key may settle in a window. Unknown is no limit, as the rule finds nothing then.
    pub(crate) fn most<E: Env>(&self, env: &E) -> Option<i64> {
        amount(&self.limit.most, env)
    }
}

impl RuleSet {
    /// The limits, in the order of their rules.
    pub fn limits(&self) -> impl Iterator<Item = Limit<'_>> {
        self.limits.iter().filter_map(|&number| {
            let (plan, rule) = self.rules.get(number as usize).zip(self.program().rules.get(number as usize))?;
            let (limit, window) = plan.limit.as_ref().zip(plan.window())?;
            Some(Limit { number, rule, plan, window, limit })
        })
    }
}
