//! Growing conditions: those that stay true once they are true, whatever else comes within the window. Only they can be
//! acted on before a step closes.

use super::call::is_non_negative;
use super::expr::is_of_window;
use crate::event::FieldId;
use crate::hir::{Aggregate, Arithmetic, Compare, Const, Expr, ExprKind, Function};
use crate::value::Type;

/// Whether a condition over a window only ever turns from false to true as events come.
pub(crate) fn is_growing(e: &Expr, aggregates: &[Aggregate]) -> bool {
    match &e.kind {
        ExprKind::And(all) | ExprKind::Or(all) | ExprKind::AtLeast(_, all) => {
            all.iter().all(|e| is_growing(e, aggregates))
        }
        ExprKind::Compare(Compare::Greater | Compare::GreaterEqual, a, b) => rises(a, aggregates) && is_fixed(b),
        ExprKind::Compare(Compare::Less | Compare::LessEqual, a, b) => is_fixed(a) && rises(b, aggregates),
        ExprKind::Exists(a) => rises(a, aggregates) || is_fixed(a),
        _ => is_fixed(e),
    }
}

/// Whether no aggregate has a part in it.
fn is_fixed(e: &Expr) -> bool {
    let mut fixed = true;
    e.walk(&mut |x| fixed &= !matches!(x.kind, ExprKind::Aggregate(_) | ExprKind::WindowOutage(_)));
    fixed || !is_of_window(e)
}

/// Whether a value never falls as events come.
fn rises(e: &Expr, aggregates: &[Aggregate]) -> bool {
    match &e.kind {
        ExprKind::Aggregate(i) => match aggregates.get(usize::from(*i)).map(|a| &a.function) {
            Some(Function::Count | Function::Max(_)) => true,
            // Prompts that come may make one wording of two.
            Some(Function::Distinct { of, .. }) => !of.iter().any(|e| matches!(e.ty, Type::List(_))),
            Some(Function::Sum(of)) => is_never_negative(of),
            _ => false,
        },
        ExprKind::ToMicros(a) => rises(a, aggregates),
        ExprKind::Arithmetic(Arithmetic::Add, a, b) => {
            let part = |e: &Expr| rises(e, aggregates) || is_fixed(e);
            part(a) && part(b)
        }
        ExprKind::Arithmetic(Arithmetic::Subtract, a, b) => rises(a, aggregates) && is_fixed(b),
        ExprKind::Arithmetic(Arithmetic::Multiply | Arithmetic::MultiplyMicros, a, b) => {
            rises(a, aggregates) && is_non_negative(b) || rises(b, aggregates) && is_non_negative(a)
        }
        ExprKind::Arithmetic(Arithmetic::Divide | Arithmetic::Ratio, a, b) => {
            rises(a, aggregates) && is_non_negative(b)
        }
        _ => false,
    }
}

/// Whether a value of an event cannot lie below zero. `max_tokens` can: callers send -1 as a probe.
pub(super) fn is_never_negative(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Const(Const::Num(n)) => *n >= 0,
        ExprKind::Field(f) => match e.ty {
            Type::Tokens => *f != FieldId::MAX_TOKENS,
            Type::Money | Type::Duration => true,
            Type::Integer => [
                FieldId::N,
                FieldId::TURN,
                FieldId::TOOLS,
                FieldId::PROMPT_CHARS,
                FieldId::TOP_LOGPROBS,
                FieldId::LOGIT_BIAS_COUNT,
            ]
            .contains(f),
            _ => false,
        },
        ExprKind::Length(_) => true,
        ExprKind::ToMicros(a) => is_never_negative(a),
        ExprKind::OrDefault(a, b) => is_never_negative(a) && is_never_negative(b),
        ExprKind::Arithmetic(op, a, b) => *op != Arithmetic::Subtract && is_never_negative(a) && is_never_negative(b),
        _ => false,
    }
}
