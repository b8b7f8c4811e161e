//! Series, ready to run: each is routed and counted like a rule over windows of one step.

use sha2::{Digest, Sha256};

use super::lower::Lower;
use super::rule::{RulePlan, ShapePlan, WindowPlan};
use super::scalar::Scalar;
use crate::hir::{self, Confidence, Const, Expr, ExprKind, Mode, Rule, Severity, Shape, Windowed, canonical_series};
use crate::time::Duration;
use crate::value::Type;

#[derive(Debug)]
pub(crate) struct SeriesPlan {
    /// Its events, and what is counted of them in a step.
    pub(crate) w: WindowPlan,
    pub(crate) value: Scalar,
    /// In millionths of the median.
    pub(crate) outage: i64,
    /// Steps of the median.
    pub(crate) steps: i64,
    pub(crate) least: usize,
    /// How many judged steps are remembered: those of the longest window that asks.
    pub(crate) kept: i64,
    pub(crate) keys_max: usize,
}

/// The plan of a series, in the form of a rule that finds nothing.
pub(crate) fn plan(cx: &mut Lower<'_>, number: usize, s: &hir::Series) -> RulePlan {
    let when = Expr { ty: Type::Bool, kind: ExprKind::Const(Const::Bool(false)), span: s.span };
    let (length, aggregates) = (s.every, s.aggregates.clone());
    let shape = Windowed {
        per: s.per.clone(),
        link: None,
        only: Vec::new(),
        length,
        step: length,
        gap: None,
        aggregates,
        when,
    };
    let rule = Rule {
        name: s.name.clone(),
        enforces: Vec::new(),
        severity: Severity::Info,
        confidence: Confidence::Low,
        mode: Mode::Shadow,
        kinds: s.kinds.clone(),
        filter: s.filter.clone(),
        shape: Shape::Windowed(shape),
        lets: Vec::new(),
        exceptions: Vec::new(),
        actions: Vec::new(),
        cooldown: None,
        budget: None,
        rollout: None,
        changed: None,
        because: Vec::new(),
        mistaken_for: Vec::new(),
        limit: None,
        span: s.span,
        definition: s.span,
    };
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let text = canonical_series(cx.program, hir::SeriesId(number));
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    let plan = RulePlan::new(cx, &rule, number);
    let ShapePlan::Windowed(w) = plan.shape else { return plan };
    let shape = ShapePlan::Series(Box::new(SeriesPlan {
        w: *w,
        value: cx.scalar(&s.value),
        outage: s.outage.unwrap_or(0),
        steps: i64::from(s.steps),
        least: s.least as usize,
        kept: kept(cx.program, number, s.every),
        keys_max: hir::SERIES_KEYS_MAX,
    }));
    RulePlan { hash, shape, ..plan }
}

/// Steps of the longest window that asks for outages of a series; one for those that ask of single events.
fn kept(program: &hir::Program, number: u32, every: Duration) -> i64 {
    let mut longest = every.0;
    let mut see = |e: &Expr| {
        e.walk(&mut |e| {
            if let ExprKind::WindowOutage(o) = &e.kind
                && o.series.0 == number
            {
                longest = longest.max(o.length.0);
            }
        });
    };
    for rule in &program.rules {
        rule.lets.iter().for_each(|(_, e)| see(e));
        rule.because.iter().for_each(|p| {
            if let hir::Piece::Value(_, e) = p {
                see(e);
            }
        });
        if let Shape::Windowed(w) = &rule.shape {
            see(&w.when);
        }
    }
    longest / every.0.max(1) + 1
}
