//! Tests on texts: `contains`, `starts with`, `has any of`, `matches regex`. On a field of several values `contains` and
//! `has any of` ask for whole values.

use super::expr::{self, node};
use super::membership::{constants, list};
use super::scope::Scope;
use super::{Checker, regexes, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::hir::{Const, Expr, ExprKind, TextTest};
use crate::source::Span;
use crate::syntax::ast;
use crate::value::Type;

/// Lowers `operand test`.
pub(super) fn lower(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    operand: &ast::Expr,
    test: &ast::TextTest,
    ignoring_case: bool,
    span: Span,
) -> Option<Expr> {
    let shown = wording::text(operand);
    let lowered = expr::value(cx, scope, operand);
    if let Some(Type::List(_)) = lowered.as_ref().map(|e| &e.ty) {
        return several(cx, scope, lowered?, &shown, test, ignoring_case, span);
    }
    let test = match test {
        ast::TextTest::Contains(t) => phrase(cx, t).map(|t| TextTest::ContainsAny(vec![t])),
        ast::TextTest::StartsWith(t) => phrase(cx, t).map(TextTest::StartsWith),
        ast::TextTest::EndsWith(t) => phrase(cx, t).map(TextTest::EndsWith),
        ast::TextTest::HasAnyOf(set) => any_of(cx, scope, set),
        ast::TextTest::HasAllOf(set) => phrases(cx, scope, set).map(TextTest::ContainsAll),
        ast::TextTest::MatchesRegex(t) => regexes::check(cx, t, ignoring_case).map(TextTest::Matches),
    };
    let (operand, test) = (lowered?, test?);
    if operand.ty != Type::String {
        let message = format!("`{shown}` is {}, but this tests text", operand.ty);
        let help = match &operand.ty {
            Type::Country | Type::Fingerprint => format!("write `{shown} = \"…\"` or `{shown} in [\"…\"]`"),
            Type::Ip | Type::Cidr => format!("write `{shown} in \"10.0.0.0/8\"`"),
            ty => format!("compare it: `{shown} = {}`", super::coerce::example(ty)),
        };
        return cx.fail(
            Diagnostic::new(Code::TYPE_MISMATCH, operand.span, message).label(operand.ty.to_string()).help(help),
        );
    }
    Some(node(Type::Bool, ExprKind::Text { operand: Box::new(operand), test, ignoring_case }, span))
}

fn phrase(cx: &mut Checker<'_>, t: &ast::Text) -> Option<String> {
    if t.value.is_empty() {
        let message = "an empty text occurs in every text";
        return cx
            .fail(Diagnostic::new(Code::TYPE_MISMATCH, t.span, message).help("write the words that are looked for"));
    }
    Some(t.value.clone())
}

fn any_of(cx: &mut Checker<'_>, scope: &mut Scope, set: &ast::Expr) -> Option<TextTest> {
    let ast::ExprKind::Path(path) = &set.kind else { return phrases(cx, scope, set).map(TextTest::ContainsAny) };
    let id = list(cx, path)?;
    let found = cx.program.lists.get(id.0 as usize)?;
    if found.ty == Type::String {
        return Some(TextTest::ContainsAnyOf(id));
    }
    let message = format!("`{}` is not a list of texts: each value is {}", found.name, found.ty);
    let declared = found.span;
    cx.fail(
        Diagnostic::new(Code::TYPE_MISMATCH, set.span, message)
            .also(declared, "declared here")
            .help("name a list declared with `: string`"),
    )
}

fn phrases(cx: &mut Checker<'_>, scope: &mut Scope, set: &ast::Expr) -> Option<Vec<String>> {
    let items = match &set.kind {
        ast::ExprKind::Paren(inner) => return phrases(cx, scope, inner),
        ast::ExprKind::List(items) => items,
        ast::ExprKind::Path(path) => {
            let message = format!("`has all of` needs its texts written here, not the list `{}`", path.text());
            return cx.fail(
                Diagnostic::new(Code::TYPE_MISMATCH, set.span, message).help("write `has all of [\"…\", \"…\"]`"),
            );
        }
        _ => {
            let message = "a list of texts is needed here";
            return cx.fail(
                Diagnostic::new(Code::TYPE_MISMATCH, set.span, message).help("write `has any of [\"…\", \"…\"]`"),
            );
        }
    };
    if !expr::grow(cx, scope, items.len(), set.span) {
        return None;
    }
    let found = constants(cx, items, &Type::String)?;
    if found.is_empty() {
        let message = "a test on no texts never holds";
        return cx.fail(
            Diagnostic::new(Code::TYPE_MISMATCH, set.span, message)
                .label("an empty list")
                .help("name at least one text"),
        );
    }
    let mut out = Vec::with_capacity(found.len());
    for (constant, item) in found.into_iter().zip(items) {
        match constant {
            Const::Text(t) if !t.is_empty() => out.push(t),
            _ => {
                let message = "an empty text occurs in every text";
                return cx
                    .fail(Diagnostic::new(Code::TYPE_MISMATCH, item.span, message).help("remove it from the list"));
            }
        }
    }
    Some(out)
}

/// Tests on a field of several values.
fn several(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    operand: Expr,
    shown: &str,
    test: &ast::TextTest,
    ignoring_case: bool,
    span: Span,
) -> Option<Expr> {
    let item = super::membership::item_type(&operand.ty).clone();
    let in_set = |operand: Expr, set: Vec<Const>| node(Type::Bool, ExprKind::InSet(Box::new(operand), set), span);
    if ignoring_case {
        let message = format!("`{shown}` holds several values; they are compared as they are");
        return cx.fail(Diagnostic::new(Code::TYPE_MISMATCH, span, message).help("leave `ignoring case` out"));
    }
    let text =
        |t: &ast::Text| ast::Expr { kind: ast::ExprKind::Literal(ast::Literal::Text(t.value.clone())), span: t.span };
    match test {
        ast::TextTest::Contains(t) => {
            let set = constants(cx, &[text(t)], &item)?;
            Some(in_set(operand, set))
        }
        ast::TextTest::HasAnyOf(set) => match &set.kind {
            ast::ExprKind::Path(_) => super::membership::in_set(cx, scope, Some(operand), shown, set, span),
            ast::ExprKind::List(items) => {
                let set = constants(cx, items, &item)?;
                Some(in_set(operand, set))
            }
            _ => cx.fail(
                Diagnostic::new(Code::TYPE_MISMATCH, set.span, "a list is needed here")
                    .help("write `has any of [\"…\"]`"),
            ),
        },
        ast::TextTest::HasAllOf(set) => match &set.kind {
            ast::ExprKind::List(items) => {
                if !expr::grow(cx, scope, items.len(), set.span) {
                    return None;
                }
                let set = constants(cx, items, &item)?;
                let all = set.into_iter().map(|c| in_set(operand.clone(), vec![c])).collect();
                Some(node(Type::Bool, ExprKind::And(all), span))
            }
            _ => cx.fail(
                Diagnostic::new(Code::TYPE_MISMATCH, set.span, "a list is needed here")
                    .help("write `has all of [\"…\"]`"),
            ),
        },
        ast::TextTest::StartsWith(_) | ast::TextTest::EndsWith(_) | ast::TextTest::MatchesRegex(_) => {
            let message = format!("`{shown}` holds several values, this tests one text");
            cx.fail(
                Diagnostic::new(Code::TYPE_MISMATCH, span, message)
                    .help(format!("write `{shown} contains \"…\"`, which asks for a whole value")),
            )
        }
    }
}
