//! Questions to memory: `seen before`, `first seen`, `new for`.

use std::collections::BTreeSet;

use super::expr::{self, node};
use super::scope::{Place, Scope};
use super::{Checker, call, limits, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::hir::{Ask, Expr, ExprKind, Memory, QUESTIONS_PER_RULE_MAX, Rule, canonical_expr};
use crate::source::Span;
use crate::syntax::ast::{self, At};
use crate::time::Duration;
use crate::value::Type;

/// Lowers a question.
pub(super) fn lower(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    operand: &ast::Expr,
    ask: &ast::Memory,
    within: &At<Duration>,
    span: Span,
) -> Option<Expr> {
    let of = part(cx, scope, operand);
    let by = match ask {
        ast::Memory::SeenBefore(Some(by)) | ast::Memory::NewFor(by) => Some(part(cx, scope, by)),
        ast::Memory::SeenBefore(None) | ast::Memory::FirstSeen => None,
    };
    let problem = if within.value.0 <= 0 {
        Some("memory is asked about no time".to_string())
    } else if within.value > limits::MEMORY_WITHIN_MAX {
        Some(format!("memory reaches back {}, not {}", limits::MEMORY_WITHIN_MAX, wording::duration(within.value)))
    } else {
        None
    };
    if let Some(problem) = problem {
        let help = format!("write `within {}` or less", limits::MEMORY_WITHIN_MAX);
        return cx.fail(Diagnostic::new(Code::BAD_WINDOW, within.span, problem).help(help));
    }
    let of = of?;
    let ask = match (ask, by) {
        (ast::Memory::SeenBefore(None), _) => Ask::SeenBefore,
        (ast::Memory::SeenBefore(Some(_)), by) => Ask::SeenBeforeBy(by??),
        (ast::Memory::FirstSeen, _) => Ask::FirstSeen,
        (ast::Memory::NewFor(_), by) => Ask::NewFor(by??),
    };
    Some(node(Type::Bool, ExprKind::Memory(Box::new(Memory { ask, of, within: within.value })), span))
}

/// A value of an event, not of a window, and not itself a question.
fn part(cx: &mut Checker<'_>, scope: &mut Scope, written: &ast::Expr) -> Option<Expr> {
    let e = expr::value(cx, scope, written).and_then(|e| call::single(cx, e))?;
    let shown = wording::text(written);
    if e.is_of_step() {
        let message = format!("memory is asked about the event at hand, but `{shown}` is a value of another step");
        let help = "ask in the `where` of that step, of its own event";
        return cx.fail(Diagnostic::new(Code::EVENT_VALUE_HERE, e.span, message).help(help));
    }
    if scope.is_whole() || expr::is_constant(&e) {
        let message = format!("memory is asked about values of events, but `{shown}` is not one");
        let help = match scope.place {
            Place::Match => "ask in the `where` of a step: `then completion where … seen before within 1d`",
            _ => "ask in the filter: `on completion where … seen before within 1d`, or behind `where` of an aggregate",
        };
        return cx.fail(Diagnostic::new(Code::EVENT_VALUE_HERE, e.span, message).help(help));
    }
    if e.asks_memory() {
        let message = format!("`{shown}` asks memory itself");
        return cx.fail(
            Diagnostic::new(Code::WRONG_ARGUMENTS, e.span, message)
                .help("ask about a field, a column or a value made of them"),
        );
    }
    Some(e)
}

/// Holds a rule to the limit on its questions, and refuses a block at once: memory is asked behind the watermark, when the
/// call has long been answered.
pub(super) fn check_rule(cx: &mut Checker<'_>, written: &ast::Rule, rule: &Rule) {
    let mut questions: BTreeSet<String> = BTreeSet::new();
    let (mut first, mut beyond) = (None, None);
    each(rule, &mut |e| {
        first.get_or_insert((e.span, matches!(e.kind, ExprKind::Outage(_))));
        questions.insert(canonical_expr(&cx.program, e));
        if questions.len() > QUESTIONS_PER_RULE_MAX {
            beyond.get_or_insert(e.span);
        }
    });
    if let Some(span) = beyond {
        let message = format!(
            "the rule `{}` asks memory {} different questions, the limit is {}",
            rule.name,
            questions.len(),
            QUESTIONS_PER_RULE_MAX
        );
        cx.report(Diagnostic::new(Code::TOO_MANY, span, message).help("split the rule"));
    }
    let Some((asked, outage)) = first else { return };
    let (what, label) = match outage {
        true => ("asks for an outage, which is known", "asks for an outage"),
        false => ("asks memory, which answers", "asks memory"),
    };
    for a in written.actions.iter().filter(|a| !a.after_review && matches!(a.verb, ast::ActionVerb::Block(_))) {
        let message = format!("a block at once, but this rule {what} when the watermark has passed");
        cx.report(
            Diagnostic::new(Code::BLOCK_NEEDS_REVIEW, a.span, message)
                .label("nobody would look at it before")
                .help("write `action after review: block …`")
                .also(asked, label),
        );
    }
}

/// Calls `f` with every question of a rule, those to series included: they are answered like those to memory.
fn each<'r>(rule: &'r Rule, f: &mut impl FnMut(&'r Expr)) {
    crate::hir::each_expr(rule, &mut |e| {
        e.walk(&mut |e| {
            if matches!(e.kind, ExprKind::Memory(_) | ExprKind::Outage(_)) {
                f(e);
            }
        });
    });
}
