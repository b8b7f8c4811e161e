//! Limits: what a call may use, what it used, and how much a key may use in a window. A limit is checked as the windowed
//! rule that it is, a sum above a bound; beside it stands what a check at arrival needs. Such a check knows one call and
//! what was settled, so a limit asks nothing that is known only later.

use super::scope::{Place, Scope};
use super::{Checker, coerce, expr, growing, rule, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::hir::{self, Compare, Const, Expr, ExprKind, Rule, Shape};
use crate::source::Span;
use crate::syntax::ast::{self, Arg, Call, CompareOp, ExprKind as Written, Literal, OnWhat, Window};
use crate::value::Type;

/// The name of what was settled in a window, for texts and tests.
const SETTLED: &str = "settled";

/// Lowers a limit.
pub(super) fn lower(cx: &mut Checker<'_>, limit: &ast::Limit) -> Option<Rule> {
    let before = cx.out.len();
    let counts = countable(cx, &limit.sections);
    let settle = settle(cx, &limit.settle);
    let reserve = match (&limit.reserve, &settle) {
        (Some(written), settle) => reserve(cx, limit, written, settle.as_ref()).map(Some),
        // What every call settles alike is known before.
        (None, Some(settle)) => Some(expr::is_constant(settle).then(|| settle.clone())),
        (None, None) => Some(None),
    };
    if !counts {
        return None;
    }
    let lowered = rule::lower(cx, &as_rule(limit, settle.is_some()), "limit")?;
    let most = most(cx, limit, &lowered);
    at_arrival(cx, &lowered, settle.iter().chain(reserve.iter().flatten()));
    let told = hir::Limit { reserve: reserve?, settle: settle?, most: most? };
    let wrong = cx.out.get(before..).is_some_and(crate::diagnostic::has_errors);
    (!wrong).then_some(Rule { limit: Some(told), ..lowered })
}

/// Windows that follow one another, of single events.
fn countable(cx: &mut Checker<'_>, written: &ast::Rule) -> bool {
    let mut fine = true;
    if let Some(on) = written.on.as_ref().filter(|on| matches!(on.what, OnWhat::Sequence { .. })) {
        let message = "a limit counts calls, it has no steps in their order";
        cx.report(Diagnostic::new(Code::SECTION_CONFLICT, on.span, message).help("write `on completion`"));
        fine = false;
    }
    let Some(over) = &written.over else { return fine };
    let (message, length) = match &over.window {
        Window::Tumbling { .. } => return fine,
        Window::Sliding { length, .. } => ("the windows of a limit follow one another", length.value),
        Window::Session { gap, .. } => ("a limit is not kept over sessions", gap.value),
    };
    let help = format!("write `over each {}`", wording::duration(length));
    cx.report(
        Diagnostic::new(Code::BAD_WINDOW, over.span, message)
            .label("a call would wait for no moment at which it may come again")
            .help(help),
    );
    false
}

/// The rule that a limit is. Where what it settles is wrong, which is reported, the rest is checked all the same.
fn as_rule(limit: &ast::Limit, settles: bool) -> ast::Rule {
    let span = limit.settle.span;
    let name = ast::Name { text: SETTLED.to_string(), span };
    let word = |text: &str| ast::Name { text: text.to_string(), span };
    let single = matches!(limit.settle.kind, Written::Literal(Literal::Integer(1)));
    let call = if single || !settles {
        Call { name: word("count"), args: Vec::new(), filter: None }
    } else {
        Call { name: word("sum"), args: vec![Arg::Value(limit.settle.clone())], filter: None }
    };
    let settled = ast::Expr { kind: Written::Path(ast::Path { parts: vec![name.clone()], span }), span };
    let one = ast::Expr { kind: Written::Literal(Literal::Integer(1)), span: limit.most.span };
    let most = if settles { limit.most.clone() } else { one };
    let kind = Written::Compare(Box::new(settled), CompareOp::Greater, Box::new(most));
    let mut rule = limit.sections.clone();
    rule.lets = vec![ast::Let { name, value: ast::Expr { kind: Written::Call(call), span }, span }];
    rule.when = Some(ast::Expr { kind, span: limit.most.span });
    rule.because.get_or_insert_with(|| ast::Text {
        value: format!("{{{SETTLED}}} were used in one window, which is more than the limit allows"),
        span: limit.sections.name.span,
    });
    rule
}

fn bad(span: Span, message: String, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::BAD_LIMIT, span, message).help(help)
}

/// What a call used: an amount that cannot fall below zero, so that what is used up stays used up until the window ends.
fn settle(cx: &mut Checker<'_>, written: &ast::Expr) -> Option<Expr> {
    let e = expr::value(cx, &mut Scope::new(Place::Event), written)?;
    let shown = wording::text(written);
    if !e.ty.is_number() || e.ty == Type::Timestamp {
        let message = format!("`{shown}` is {}, but a limit is used up by amounts", e.ty);
        let help = "settle tokens, money, a duration or a number: `settle output_tokens`, or `settle 1` for calls";
        return cx.fail(Diagnostic::new(Code::TYPE_MISMATCH, e.span, message).label(e.ty.to_string()).help(help));
    }
    if !growing::is_never_negative(&e) {
        let message = format!("`{shown}` may fall below zero, and give back what was used");
        let help = "settle sums and products of what cannot: tokens, costs, times, counts and numbers from 0";
        return cx.fail(bad(e.span, message, help).label("may be negative"));
    }
    Some(e)
}

/// What is held for a call, in the unit of what it settles.
fn reserve(cx: &mut Checker<'_>, limit: &ast::Limit, written: &ast::Expr, settle: Option<&Expr>) -> Option<Expr> {
    let e = expr::value(cx, &mut Scope::new(Place::Event), written)?;
    let settle = settle?;
    coerce::attempt(e, &settle.ty)
        .map_err(|mismatch| {
            let shown = wording::text(&limit.settle);
            let message = format!("this limit settles {} (`{shown}`), and would reserve something else", settle.ty);
            let help = format!("reserve {} too, or leave `reserve` out", settle.ty);
            let diagnostic = Diagnostic::new(mismatch.code, written.span, message).label("of another unit");
            cx.report(diagnostic.also(limit.settle.span, settle.ty.to_string()).help(help));
        })
        .ok()
}

/// What may be settled in a window: fixed by the key, from zero, in the unit of what is settled.
fn most(cx: &mut Checker<'_>, limit: &ast::Limit, lowered: &Rule) -> Option<Expr> {
    let Shape::Windowed(w) = &lowered.shape else { return None };
    let shown = wording::text(&limit.most);
    let ExprKind::Compare(Compare::Greater, settled, most) = &w.when.kind else { return None };
    if !matches!(settled.kind, ExprKind::Aggregate(_)) {
        let message = format!("this limit settles {}, and `{shown}` is a part of one", w.aggregates.first()?.ty);
        return cx.fail(Diagnostic::new(Code::UNIT_MISMATCH, limit.most.span, message).help("write a whole number"));
    }
    match &most.kind {
        ExprKind::Const(Const::Num(n)) if *n < 0 => {
            let help = "write what may be used in a window, from 0, which allows nothing";
            cx.fail(bad(limit.most.span, "nobody can use less than nothing".to_string(), help).label("below zero"))
        }
        _ => match of_key(most, &w.per) {
            Some(most) => Some(most),
            None => {
                let message = format!("`{shown}` is known only when the window is over");
                let help = "write a number, or a value that `per` names: `per account, plans.tokens`, \
                            `at most plans.tokens`";
                cx.fail(bad(limit.most.span, message, help))
            }
        },
    }
}

/// The same over single events, where nothing but the key and constants have a part in it.
fn of_key(e: &Expr, per: &[Expr]) -> Option<Expr> {
    let boxed = |e: &Expr| of_key(e, per).map(Box::new);
    let kind = match &e.kind {
        ExprKind::Const(_) => e.kind.clone(),
        ExprKind::Key(i) => return per.get(usize::from(*i)).cloned(),
        ExprKind::OrDefault(a, b) => ExprKind::OrDefault(boxed(a)?, boxed(b)?),
        ExprKind::ToMicros(a) => ExprKind::ToMicros(boxed(a)?),
        ExprKind::Arithmetic(op, a, b) => ExprKind::Arithmetic(*op, boxed(a)?, boxed(b)?),
        _ => return None,
    };
    Some(Expr { ty: e.ty.clone(), kind, span: e.span })
}

/// Refuses what nobody knows when a call arrives: answers of memory, the group of a link, and a key of which a call has
/// several.
fn at_arrival<'e>(cx: &mut Checker<'_>, lowered: &'e Rule, amounts: impl Iterator<Item = &'e Expr>) {
    let Shape::Windowed(w) = &lowered.shape else { return };
    let written = lowered.filter.iter().chain(&w.per).chain(lowered.exceptions.iter().map(|e| &e.filter));
    for e in written.chain(amounts).filter(|e| e.asks_memory()) {
        let message = "a limit is asked when a call arrives, and memory answers later".to_string();
        cx.report(bad(e.span, message, "ask by what the call says itself, or write a rule"));
    }
    if w.link.is_some() {
        let message = format!("the limit `{}` is kept per group of a link", lowered.name);
        let help = "write `per account`, or a rule: groups are told at the end of a step, not when a call arrives";
        cx.report(bad(lowered.span, message, help));
    }
    if let Some(part) = w.per.iter().find(|part| matches!(part.ty, Type::List(_))) {
        let message = "a call has several values of this, and would use up a limit of each".to_string();
        cx.report(bad(part.span, message, "write `per account`, or a rule"));
    }
}
