//! Questions about what was seen before an event. They are asked behind the watermark, where everything earlier is known.

use super::{Aggregate, Expr, Function, Piece, Rule, Series, Shape};
use crate::time::Duration;

/// Different questions of a rule: an event waits with every combination of their answers, three to a question.
pub const QUESTIONS_PER_RULE_MAX: usize = 3;
/// Different questions of all rules.
pub const QUESTIONS_MAX: usize = 256;

/// A question to memory. Missing operands make it unknown; see `docs/language.md` for what each says.
#[derive(Debug, Clone)]
pub struct Memory {
    /// What is asked.
    pub ask: Ask,
    /// The value that is looked for.
    pub of: Expr,
    /// How far back.
    pub within: Duration,
}

/// What memory is asked.
#[derive(Debug, Clone)]
pub enum Ask {
    /// `seen before within 30d`
    SeenBefore,
    /// `seen before within 30d by another account`
    SeenBeforeBy(Expr),
    /// `first seen within 7d`
    FirstSeen,
    /// `new for account within 90d`
    NewFor(Expr),
}

impl Ask {
    /// The second operand, if there is one.
    pub fn by(&self) -> Option<&Expr> {
        match self {
            Ask::SeenBefore | Ask::FirstSeen => None,
            Ask::SeenBeforeBy(by) | Ask::NewFor(by) => Some(by),
        }
    }

    /// The word of the canonical text.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Ask::SeenBefore => "seen-before",
            Ask::SeenBeforeBy(_) => "seen-before-by-another",
            Ask::FirstSeen => "first-seen",
            Ask::NewFor(_) => "new-for",
        }
    }
}

impl Expr {
    /// Whether memory or a series is asked anywhere in it: what is answered behind the watermark.
    pub fn asks_memory(&self) -> bool {
        let mut asks = false;
        self.walk(&mut |e| asks |= matches!(e.kind, super::ExprKind::Memory(_) | super::ExprKind::Outage(_)));
        asks
    }
}

impl Rule {
    /// Whether it asks memory or a series anywhere, of single events.
    pub fn asks_memory(&self) -> bool {
        let mut asks = false;
        each_expr(self, &mut |e| asks |= e.asks_memory());
        asks
    }
}

/// Calls `f` with every expression of a rule that looks at single events, and with those over its window: all that a rule
/// holds.
pub fn each_expr<'r>(rule: &'r Rule, f: &mut impl FnMut(&'r Expr)) {
    rule.filter.iter().for_each(&mut *f);
    rule.lets.iter().for_each(|(_, e)| f(e));
    rule.exceptions.iter().for_each(|e| f(&e.filter));
    for piece in &rule.because {
        if let Piece::Value(_, e) = piece {
            f(e);
        }
    }
    if let Shape::Sequence(s) = &rule.shape {
        s.per.iter().for_each(&mut *f);
        s.steps.iter().filter_map(|step| step.filter.as_ref()).for_each(&mut *f);
    }
    let Shape::Windowed(w) = &rule.shape else { return };
    w.per.iter().chain(&w.only).for_each(&mut *f);
    each_of_aggregates(&w.aggregates, f);
}

/// Calls `f` with every expression of a series that looks at single events.
pub fn each_expr_of_series<'s>(series: &'s Series, f: &mut impl FnMut(&'s Expr)) {
    series.filter.iter().chain(&series.per).for_each(&mut *f);
    each_of_aggregates(&series.aggregates, f);
}

fn each_of_aggregates<'a>(aggregates: &'a [Aggregate], f: &mut impl FnMut(&'a Expr)) {
    for a in aggregates {
        a.filter.iter().for_each(&mut *f);
        a.function.arguments().iter().for_each(&mut *f);
        if let Function::Distinct { one_per: Some((key, condition)), .. } = &a.function {
            f(key);
            condition.iter().for_each(&mut *f);
        }
    }
}
