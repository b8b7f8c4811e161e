//! Groups by a value of which an event has several: which parts of `per` can be one, which conditions of `on` speak of the
//! single value, and how many events such a rule must need.

use super::{Checker, call, limits, rule, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::hir::{Aggregate, Compare, Const, Expr, ExprKind, Function};
use crate::syntax::ast;
use crate::value::Type;

/// A part of `per` over a window: a field of several values or a template is a key for each of its values.
pub(super) fn part(cx: &mut Checker<'_>, e: Expr) -> Option<Expr> {
    match (&e.ty, &e.kind) {
        (Type::List(_), kind) if !matches!(kind, ExprKind::Template(..)) && call::holds_template(&e) => {
            let message = "a group by a template is of one template, and its prompts are put together by it";
            let help = "group by it alone, `per template(prompt)`; what the other says can be tested in `on … where`";
            cx.fail(Diagnostic::new(Code::SEVERAL_VALUES, e.span, message).label("made of a template").help(help))
        }
        _ => Some(e),
    }
}

/// Refuses two parts of several values each: an event would have every pair of them as a key.
pub(super) fn one_of_several(cx: &mut Checker<'_>, parts: &[Expr], written: &[ast::Expr]) -> bool {
    let mut several = parts.iter().zip(written).filter(|(part, _)| matches!(part.ty, Type::List(_)));
    let (Some((_, first)), Some((_, second))) = (several.next(), several.next()) else { return true };
    let message =
        format!("an event has several values of `{}` and of `{}`", wording::text(first), wording::text(second));
    cx.report(
        Diagnostic::new(Code::SECTION_CONFLICT, second.span, message)
            .label("every pair of them would be a group")
            .also(first.span, "several values")
            .help("group by one of the two, and test the other: `on completion where … in …`"),
    );
    false
}

/// Takes the conditions that speak of the single value out of a filter: those of just the part of several values against a
/// list or constants, alone or joined by `and`. `template(prompt) not in public_templates` leaves out the fingerprints that
/// are public, not every prompt that has one of them.
pub(super) fn tests(per: &[Expr], filter: Option<Expr>) -> (Option<Expr>, Vec<Expr>) {
    let Some(part) = per.iter().find(|part| matches!(part.ty, Type::List(_))) else { return (filter, Vec::new()) };
    let Some(filter) = filter else { return (None, Vec::new()) };
    match filter.kind {
        ExprKind::And(all) => {
            let (only, mut rest): (Vec<Expr>, Vec<Expr>) = all.into_iter().partition(|e| is_test(part, e));
            let filter = match rest.len() {
                0 => None,
                1 => rest.pop(),
                _ => Some(Expr { kind: ExprKind::And(rest), ..filter }),
            };
            (filter, only)
        }
        _ if is_test(part, &filter) => (None, vec![filter]),
        _ => (Some(filter), Vec::new()),
    }
}

fn is_test(part: &Expr, e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Not(inner) => is_test(part, inner),
        ExprKind::InList(of, _) | ExprKind::InSet(of, _) => match (&of.kind, &part.kind) {
            (ExprKind::Field(a), ExprKind::Field(b)) => a == b,
            (ExprKind::Template(a, how), ExprKind::Template(b, same)) => (a, how) == (b, same),
            _ => false,
        },
        _ => false,
    }
}

/// Refuses a rule by template that could fire on a handful of prompts: of most fingerprints there are one or two, and each
/// would be counted for itself.
pub(super) fn enough_events(cx: &mut Checker<'_>, written: &ast::Rule, when: &Expr, aggregates: &[Aggregate]) -> bool {
    let needed = least_events(when, aggregates);
    if needed >= limits::TEMPLATE_EVENTS_MIN {
        return true;
    }
    let span = written.when.as_ref().map_or(written.name.span, |w| w.span);
    let least = limits::TEMPLATE_EVENTS_MIN;
    let message = format!("`{}` groups by template, and may fire on fewer than {least} prompts", written.name.text);
    cx.report(Diagnostic::new(Code::RULE_TOO_COSTLY, span, message).label("does not say how many there must be").help(
        format!("say how many there must be: `count() >= {least} and …`, or `distinct(account) >= {least} and …`"),
    ));
    false
}

/// Refuses earlier windows in a rule by template. A campaign begins with its wording, and what is merged is named after another
/// fingerprint at every step; to know what each came to before, every fingerprint of every payload would have to be a group.
pub(super) fn no_baselines(cx: &mut Checker<'_>, aggregates: &[Aggregate]) -> bool {
    let looks_back = |a: &&Aggregate| a.function.baseline().is_some();
    for a in aggregates.iter().filter(looks_back) {
        let message =
            format!("`{}` looks back, and the groups of a template have nothing to look back to", a.function.word());
        cx.report(
            Diagnostic::new(Code::NOTHING_BEFORE, a.span, message).label("a wording has no earlier windows").help(
                "group by what stays, such as `per system_prompt_hash` or `per account`, or write the number here",
            ),
        );
    }
    !aggregates.iter().any(|a| looks_back(&a))
}

/// How many events a window must hold at least for a condition to be true.
fn least_events(when: &Expr, aggregates: &[Aggregate]) -> u64 {
    let counts = |e: &Expr| match e.kind {
        ExprKind::Aggregate(i) => aggregates.get(usize::from(i)).is_some_and(|a| match &a.function {
            Function::Count => true,
            // An event may have many items.
            Function::Distinct { of, .. } => of.iter().all(|e| e.is_template() || !matches!(e.ty, Type::List(_))),
            _ => false,
        }),
        _ => false,
    };
    let number = |e: &Expr| match e.kind {
        ExprKind::Const(Const::Num(n)) => u64::try_from(n).ok(),
        _ => None,
    };
    match &when.kind {
        ExprKind::And(all) => all.iter().map(|e| least_events(e, aggregates)).max().unwrap_or(0),
        ExprKind::Or(all) => all.iter().map(|e| least_events(e, aggregates)).min().unwrap_or(0),
        ExprKind::Compare(op, a, b) => {
            let (op, bound) = match (counts(a), counts(b)) {
                (true, false) => (*op, number(b)),
                (false, true) => (rule::mirrored(*op), number(a)),
                _ => return 0,
            };
            match (op, bound) {
                (Compare::GreaterEqual | Compare::Equal, Some(n)) => n,
                (Compare::Greater, Some(n)) => n.saturating_add(1),
                _ => 0,
            }
        }
        _ => 0,
    }
}
