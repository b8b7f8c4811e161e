//! Comparison and arithmetic: which units go together, and on which scale.

use super::coerce;
use super::expr::{self, node};
use super::scope::Scope;
use super::{Checker, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::hir::{Arithmetic, Compare, Const, Expr, ExprKind};
use crate::source::Span;
use crate::syntax::ast::{self, ArithmeticOp, CompareOp};
use crate::value::Type;

/// `-x`: a constant changes its sign, anything else is taken from zero.
pub(super) fn negate(cx: &mut Checker<'_>, scope: &mut Scope, a: &ast::Expr, span: Span) -> Option<Expr> {
    let e = expr::value(cx, scope, a)?;
    if !e.ty.is_number() || e.ty == Type::Timestamp {
        let message = format!("`-` before {}", e.ty);
        return cx.fail(Diagnostic::new(Code::TYPE_MISMATCH, span, message).help("write `-` before a number"));
    }
    Some(match e.kind {
        ExprKind::Const(Const::Num(n)) => node(e.ty, ExprKind::Const(Const::Num(n.saturating_neg())), span),
        kind => {
            let zero = node(e.ty.clone(), ExprKind::Const(Const::Num(0)), span);
            let e = Expr { kind, ..e };
            node(e.ty.clone(), ExprKind::Arithmetic(Arithmetic::Subtract, Box::new(zero), Box::new(e)), span)
        }
    })
}

/// `a >= b`.
pub(super) fn compare(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    a: &ast::Expr,
    op: CompareOp,
    b: &ast::Expr,
    span: Span,
) -> Option<Expr> {
    let (left, right) = (expr::value(cx, scope, a), expr::value(cx, scope, b));
    let (left, right) = (left?, right?);
    let (left, right) = match meet(left, right) {
        Ok(both) => both,
        Err(met) => {
            let diagnostic = unlike(a, &met.0, b, &met.1, met.2);
            return cx.fail(diagnostic);
        }
    };
    if let Type::List(_) = left.ty {
        let shown = wording::text(a);
        let message = format!("`{shown}` holds several values, it does not compare with `{}`", op.symbol());
        return cx.fail(
            Diagnostic::new(Code::TYPE_MISMATCH, span, message)
                .help(format!("write `{shown} contains \"…\"` or `{shown} in …`")),
        );
    }
    if !left.ty.is_number() && !matches!(op, CompareOp::Equal | CompareOp::NotEqual) {
        let message = format!("`{}` does not order {}", op.symbol(), left.ty);
        return cx.fail(
            Diagnostic::new(Code::TYPE_MISMATCH, span, message)
                .label(format!("{} is equal or not", left.ty))
                .help(format!("write `{} = {}`", wording::text(a), wording::text(b))),
        );
    }
    if left.ty == Type::Bool {
        return Some(truth(left, op == CompareOp::Equal, right, span));
    }
    Some(node(Type::Bool, ExprKind::Compare(op, Box::new(left), Box::new(right)), span))
}

/// `refused = true` is `refused`; two conditions are equal when both or neither hold.
fn truth(a: Expr, equal: bool, b: Expr, span: Span) -> Expr {
    let (a, b) = if matches!(a.kind, ExprKind::Const(_)) { (b, a) } else { (a, b) };
    if let ExprKind::Const(Const::Bool(wanted)) = b.kind {
        return if wanted == equal { Expr { span, ..a } } else { expr::negated(a, span) };
    }
    let op = if equal { Compare::Equal } else { Compare::NotEqual };
    node(Type::Bool, ExprKind::Compare(op, Box::new(a), Box::new(b)), span)
}

type Unmet = Box<(Expr, Expr, Option<Diagnostic>)>;

/// Both sides in one type, or both as they were with the reason.
fn meet(a: Expr, b: Expr) -> Result<(Expr, Expr), Unmet> {
    if a.ty == b.ty {
        return Ok((a, b));
    }
    let constant = |e: &Expr| matches!(e.kind, ExprKind::Const(_));
    // The constant gives way; of two numbers the whole one does.
    let to_right = constant(&a) && !constant(&b) || a.ty == Type::Integer;
    let (moved, stays) = if to_right { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) };
    match coerce::attempt(moved, &stays.ty) {
        Ok(moved) => Ok(if to_right { (moved, stays) } else { (stays, moved) }),
        Err(first) => {
            let (moved, stays) = if to_right { (b.clone(), a.clone()) } else { (a.clone(), b.clone()) };
            match coerce::attempt(moved, &stays.ty) {
                Ok(moved) if moved.ty.is_number() => Ok(if to_right { (stays, moved) } else { (moved, stays) }),
                _ => Err(Box::new((a, b, Some(*first)))),
            }
        }
    }
}

/// The message about two sides that do not compare: what each is, and what to write.
fn unlike(a: &ast::Expr, left: &Expr, b: &ast::Expr, right: &Expr, reason: Option<Diagnostic>) -> Diagnostic {
    let constant = |e: &Expr| matches!(e.kind, ExprKind::Const(_));
    let (kept, kept_text, given, given_text) = if constant(left) && !constant(right) {
        (right, wording::text(b), left, wording::text(a))
    } else {
        (left, wording::text(a), right, wording::text(b))
    };
    // A text that cannot be read as what it meets has its own message.
    if let (Some(reason), ExprKind::Const(Const::Text(text))) = (reason, &given.kind)
        && coerce::from_text(text, &kept.ty, given.span).is_some()
    {
        return reason;
    }
    let numbers = kept.ty.is_number() && given.ty.is_number();
    let code = if numbers { Code::UNIT_MISMATCH } else { Code::TYPE_MISMATCH };
    let message = format!("`{kept_text}` is {}, but `{given_text}` is {}", kept.ty, given.ty);
    let help = match (&kept.ty, &given.ty) {
        (Type::Timestamp, Type::Duration) => format!("write `ts - {kept_text} < {given_text}` for how long ago it was"),
        (Type::List(_), _) => format!("write `{kept_text} contains {given_text}`"),
        (Type::Decimal, Type::Percentage) if !constant(given) => {
            format!("write `{kept_text} >= 0.9`, or aggregate with `share(…)`")
        }
        _ if constant(given) => format!("compare `{kept_text}` with `{}`", coerce::suggestion(given, &kept.ty)),
        _ if numbers => format!("compare `{kept_text}` with {}, such as `{}`", kept.ty, coerce::example(&kept.ty)),
        _ => format!("both sides must be {}", kept.ty),
    };
    let diagnostic = Diagnostic::new(code, given.span, message).label(given.ty.to_string()).help(help);
    if given.span.source == kept.span.source { diagnostic.also(kept.span, kept.ty.to_string()) } else { diagnostic }
}

/// `a + b`.
pub(super) fn arithmetic(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    a: &ast::Expr,
    op: ArithmeticOp,
    b: &ast::Expr,
    span: Span,
) -> Option<Expr> {
    let (left, right) = (expr::value(cx, scope, a), expr::value(cx, scope, b));
    let (left, right) = (left?, right?);
    for (e, written) in [(&left, a), (&right, b)] {
        if !e.ty.is_number() {
            let message =
                format!("`{}` is {}, but `{}` computes with numbers", wording::text(written), e.ty, op.symbol());
            let help = match &e.ty {
                Type::Bool => format!("count events where it holds: `count() where {}`", wording::text(written)),
                _ => format!("name a number here, such as `{}`", coerce::example(&Type::Integer)),
            };
            return cx.fail(Diagnostic::new(Code::TYPE_MISMATCH, e.span, message).label(e.ty.to_string()).help(help));
        }
    }
    let (left_ty, right_ty) = (left.ty.clone(), right.ty.clone());
    let result = match op {
        ArithmeticOp::Add | ArithmeticOp::Subtract => sum(left, op, right),
        ArithmeticOp::Multiply => product(left, right),
        ArithmeticOp::Divide => quotient(left, right),
    };
    let Some((ty, op, left, right)) = result else {
        let verb = match op {
            ArithmeticOp::Add => "added to",
            ArithmeticOp::Subtract => "taken from",
            ArithmeticOp::Multiply => "multiplied by",
            ArithmeticOp::Divide => "divided by",
        };
        let (first, second) = if op == ArithmeticOp::Subtract || op == ArithmeticOp::Add {
            (&right_ty, &left_ty)
        } else {
            (&left_ty, &right_ty)
        };
        let help = match op {
            ArithmeticOp::Add | ArithmeticOp::Subtract => {
                format!("both sides must be of one unit: write `{}`", coerce::example(&left_ty))
            }
            ArithmeticOp::Multiply => "multiply by a number, a share or a percentage: `2`, `0.5`, `50%`".to_string(),
            ArithmeticOp::Divide => "divide by a whole number, or by a value of the same unit".to_string(),
        };
        return cx
            .fail(Diagnostic::new(Code::UNIT_MISMATCH, span, format!("{first} cannot be {verb} {second}")).help(help));
    };
    Some(node(ty, ExprKind::Arithmetic(op, Box::new(left), Box::new(right)), span))
}

type Typed = Option<(Type, Arithmetic, Expr, Expr)>;

fn whole(ty: &Type) -> bool {
    matches!(ty, Type::Integer | Type::Tokens)
}

fn sum(a: Expr, op: ArithmeticOp, b: Expr) -> Typed {
    let add = op == ArithmeticOp::Add;
    let op = if add { Arithmetic::Add } else { Arithmetic::Subtract };
    match (&a.ty, &b.ty) {
        (Type::Timestamp, Type::Timestamp) if !add => Some((Type::Duration, op, a, b)),
        (Type::Timestamp, Type::Timestamp) => None,
        (Type::Timestamp, Type::Duration) => Some((Type::Timestamp, op, a, b)),
        (Type::Duration, Type::Timestamp) if add => Some((Type::Timestamp, op, b, a)),
        _ => {
            let (a, b) = meet(a, b).ok()?;
            Some((a.ty.clone(), op, a, b))
        }
    }
}

fn product(a: Expr, b: Expr) -> Typed {
    let share = |ty: &Type| matches!(ty, Type::Decimal | Type::Percentage);
    match (a.ty.clone(), b.ty.clone()) {
        (Type::Timestamp, _) | (_, Type::Timestamp) => None,
        (ty, Type::Integer) => Some((ty, Arithmetic::Multiply, a, b)),
        (Type::Integer, ty) if !share(&ty) => Some((ty, Arithmetic::Multiply, b, a)),
        // A whole number of shares: in millionths, so that nothing is lost.
        (Type::Integer, Type::Decimal) => Some((Type::Decimal, Arithmetic::Multiply, b, a)),
        (Type::Integer, _) => Some((Type::Decimal, Arithmetic::Multiply, Expr { ty: Type::Decimal, ..b }, a)),
        (Type::Percentage, Type::Decimal) => Some((Type::Decimal, Arithmetic::MultiplyMicros, b, a)),
        (ty, right) if share(&right) => Some((ty, Arithmetic::MultiplyMicros, a, b)),
        (left, ty) if share(&left) => Some((ty, Arithmetic::MultiplyMicros, b, a)),
        _ => None,
    }
}

fn quotient(a: Expr, b: Expr) -> Typed {
    let (left, right) = (a.ty.clone(), b.ty.clone());
    if left == Type::Timestamp || right == Type::Timestamp {
        return None;
    }
    if left == right || (whole(&left) && whole(&right)) {
        return Some((Type::Decimal, Arithmetic::Ratio, a, b));
    }
    if whole(&right) {
        return Some((left, Arithmetic::Divide, a, b));
    }
    if whole(&left) && right == Type::Decimal {
        return Some((Type::Decimal, Arithmetic::Ratio, coerce::micros(a).ok()?, b));
    }
    None
}
