//! `usual(count(), over 30d)` and `cohort(count(), by plan, over 7d)`: a value over the window, which of its earlier values,
//! whose, and how many windows back.

use super::{Signature, enter, single, wrong};
use crate::check::scope::{Place, Scope};
use crate::check::{Checker, because, expr, later, limits, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::hir::{Aggregate, Baseline, COHORT_GROUPS_MIN, Const, Expr, ExprKind, Function, USUAL_VALUES_MIN, Whose};
use crate::source::Span;
use crate::syntax::ast::{self, Arg, At, Call};
use crate::time::Duration;
use crate::value::{MICROS, Type};

/// The median, where no other share is named.
const MEDIAN: i64 = MICROS / 2;

pub(super) fn lower(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    c: &Call,
    signature: &Signature,
    span: Span,
) -> Option<Expr> {
    let text = wording::text(&ast::Expr { kind: ast::ExprKind::Call(c.clone()), span });
    if let Some(at) = scope.aggregates.iter().position(|(t, _)| *t == text) {
        let ty = scope.aggregates.get(at)?.1.ty.clone();
        return Some(Expr { ty, kind: ExprKind::Aggregate(at as u16), span });
    }
    if let Some(filter) = &c.filter {
        let message = format!("`{}` counts nothing itself, it has no `where`", c.name.text);
        let help = format!("write it within: `{}(count() where …, over 30d)`", c.name.text);
        return cx.fail(Diagnostic::new(Code::WRONG_ARGUMENTS, filter.span, message).help(help));
    }
    let of_all = signature.name == "cohort";
    if of_all && scope.link.is_some() {
        let help = "compare a group with itself, `usual(count(), over 30d)`, or group by `account`";
        return cx.fail(later::diagnostic(span, "`cohort(…)` over the groups of a link").help(help));
    }
    let (mut of, mut share, mut back, mut by) = (None, None, None, Vec::new());
    let mut complete = true;
    for arg in &c.args {
        match arg {
            Arg::Value(e) if of.is_none() => {
                of = Some(value(cx, scope, signature, e));
            }
            Arg::Value(e) if share.is_none() => share = Some(percentage(cx, scope, signature, e)),
            Arg::Named(name, e) if name.text == "by" && of_all => match part(cx, scope, signature, e) {
                Some(part) => by.push(part),
                None => complete = false,
            },
            Arg::Over(d) if back.is_none() => back = Some(d),
            Arg::Named(name, _) => {
                let message = format!("`{}` takes no `{}`", c.name.text, name.text);
                return cx.fail(wrong(signature, name.span, message));
            }
            Arg::Value(e) => return cx.fail(wrong(signature, e.span, "one value too many".to_string())),
            Arg::OnePer { span, .. } => {
                let message = format!("`{}` takes no `one per`", c.name.text);
                return cx.fail(wrong(signature, *span, message));
            }
            Arg::Over(d) => return cx.fail(wrong(signature, d.span, "a second `over`".to_string())),
        }
    }
    let Some(of) = of else {
        let message = format!("`{}` takes a value over the window", c.name.text);
        return cx.fail(wrong(signature, span, message));
    };
    let Some(back) = back else {
        let message = format!("`{}` does not say how far back it looks", c.name.text);
        return cx.fail(wrong(signature, span, message));
    };
    if of_all && by.is_empty() && complete {
        let message = "`cohort` does not say what its groups have in common".to_string();
        return cx.fail(wrong(signature, span, message));
    }
    if by.len() > limits::KEY_PARTS_MAX {
        let message = format!("more than {} values that the groups have in common", limits::KEY_PARTS_MAX);
        return cx.fail(Diagnostic::new(Code::TOO_MANY, span, message).help("name fewer"));
    }
    let windows = windows(cx, scope, back, if of_all { 1 } else { USUAL_VALUES_MIN });
    let share = share.unwrap_or(Some(MEDIAN));
    let (of, share, windows) = (of?, share?, windows?);
    if !complete {
        return None;
    }
    let (least, whose) = match of_all {
        true => (COHORT_GROUPS_MIN, Whose::Cohort(by)),
        false => (Baseline::least_of(windows), Whose::Own),
    };
    let ty = of.ty.clone();
    let function = Function::Baseline(Box::new(Baseline { of, share, windows, least, whose }));
    enter(cx, scope, text, Aggregate { function, filter: None, ty, span })
}

/// What is compared with earlier windows: a number that aggregates come to.
fn value(cx: &mut Checker<'_>, scope: &mut Scope, signature: &Signature, written: &ast::Expr) -> Option<Expr> {
    let e = expr::value(cx, scope, written)?;
    let shown = wording::text(written);
    let (mut counts, mut nested) = (false, false);
    e.walk(&mut |x| {
        if let ExprKind::Aggregate(i) = x.kind {
            let aggregate = scope.aggregates.get(usize::from(i)).map(|(_, a)| a);
            counts = true;
            nested |= aggregate.is_some_and(|a| a.function.baseline().is_some());
        }
    });
    let problem = if nested {
        format!("`{shown}` is itself made of earlier windows")
    } else if !counts {
        format!("`{shown}` counts nothing over the window")
    } else if !e.ty.is_number() || e.ty == Type::Timestamp {
        format!("`{}` takes a number, but `{shown}` is {}", signature.name, e.ty)
    } else {
        return Some(e);
    };
    cx.fail(wrong(signature, e.span, problem))
}

fn percentage(cx: &mut Checker<'_>, scope: &mut Scope, signature: &Signature, written: &ast::Expr) -> Option<i64> {
    let e = expr::value(cx, scope, written)?;
    match e {
        Expr { ty: Type::Percentage, kind: ExprKind::Const(Const::Num(n)), .. } if 0 < n && n < MICROS => Some(n),
        _ => {
            let message = format!("`{}` is not a percentage between 0% and 100%", wording::text(written));
            cx.fail(wrong(signature, e.span, message).label("which of the earlier values; without it, the median"))
        }
    }
}

/// What groups of a cohort have in common: a value of single events.
fn part(cx: &mut Checker<'_>, scope: &mut Scope, signature: &Signature, written: &ast::Expr) -> Option<Expr> {
    let e = scope.within(Place::Aggregate, |scope| expr::value(cx, scope, written)).and_then(|e| single(cx, e))?;
    if let Some(field) = because::content(&e, &[]) {
        let message = format!("a cohort by `{field}` would keep what was said");
        let help = format!("take its fingerprint, `by {field}_hash`, or test the text");
        return cx.fail(Diagnostic::new(Code::CONTENT_IN_TEXT, e.span, message).help(help));
    }
    if expr::is_constant(&e) {
        let message = format!("`{}` is the same for every group", wording::text(written));
        return cx.fail(wrong(signature, e.span, message));
    }
    Some(e)
}

/// How many windows of the rule lie in the time that is looked back.
fn windows(cx: &mut Checker<'_>, scope: &Scope, back: &At<Duration>, least: u32) -> Option<u32> {
    // Without a window the mistake is reported there.
    let cutting = scope.window?;
    let bad = |message: String, help: String| Diagnostic::new(Code::BAD_WINDOW, back.span, message).help(help);
    if cutting.gap.is_some() {
        let message = "sessions have no windows of one length to look back on".to_string();
        return cx.fail(bad(message, "write `over 24h` or `over each 24h` in this rule".to_string()));
    }
    let length = cutting.length.0.max(1);
    let (n, rest) = (back.value.0 / length, back.value.0 % length);
    let times = |n: i64| Duration(length.saturating_mul(n));
    if rest != 0 || n < i64::from(least) {
        let shown = wording::duration(cutting.length);
        let message = match rest {
            0 => format!("{} holds {n} windows of {shown}, at least {least} are needed", back.value),
            _ => format!("{} is no multiple of the window of {shown}", back.value),
        };
        let works = times((n + i64::from(rest != 0)).max(i64::from(least)));
        return cx.fail(bad(message, format!("write `over {works}`")).fix(back.span, works.to_string()));
    }
    if n > limits::BASELINE_WINDOWS_MAX || back.value > limits::WINDOW_MAX {
        let most = times((limits::WINDOW_MAX.0 / length).min(limits::BASELINE_WINDOWS_MAX));
        let message = match n > limits::BASELINE_WINDOWS_MAX {
            true => {
                format!(
                    "{} holds {n} windows of {}, more than {}",
                    back.value,
                    cutting.length,
                    limits::BASELINE_WINDOWS_MAX
                )
            }
            false => format!("{} is longer than {}", back.value, limits::WINDOW_MAX),
        };
        return cx.fail(bad(message, format!("write `over {most}` or less")));
    }
    u32::try_from(n).ok()
}
