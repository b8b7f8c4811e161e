//! `x in list`, `x in ["a", "b"]`, `ip in "10.0.0.0/8"`.

use super::expr::{self, node};
use super::names::{self, Meaning};
use super::scope::Scope;
use super::{Checker, coerce, limits, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::hir::{Const, Expr, ExprKind, ListId};
use crate::source::Span;
use crate::syntax::ast::{self, Literal};
use crate::value::Type;

/// Lowers `operand in set`.
pub(super) fn lower(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    operand: &ast::Expr,
    set: &ast::Expr,
    span: Span,
) -> Option<Expr> {
    let shown = wording::text(operand);
    let operand = expr::value(cx, scope, operand);
    match &set.kind {
        ast::ExprKind::Paren(inner) => {
            let inner = inner.as_ref().clone();
            in_set(cx, scope, operand, &shown, &inner, span)
        }
        _ => in_set(cx, scope, operand, &shown, set, span),
    }
}

pub(super) fn in_set(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    operand: Option<Expr>,
    shown: &str,
    set: &ast::Expr,
    span: Span,
) -> Option<Expr> {
    match &set.kind {
        ast::ExprKind::Path(path) => {
            let list = list(cx, path);
            let (operand, list) = (operand?, list?);
            in_list(cx, operand, shown, list, set.span, span)
        }
        ast::ExprKind::List(items) => {
            let operand = operand?;
            if !expr::grow(cx, scope, items.len(), set.span) {
                return None;
            }
            let constants = constants(cx, items, item_type(&operand.ty))?;
            if constants.is_empty() {
                let message = format!("`{shown} in []` never holds");
                cx.report(
                    Diagnostic::new(Code::NEVER_TRUE, set.span, message)
                        .label("an empty list")
                        .help("name at least one value"),
                );
            }
            Some(node(Type::Bool, ExprKind::InSet(Box::new(operand), constants), span))
        }
        ast::ExprKind::Literal(Literal::Text(text)) => {
            let operand = operand?;
            if !matches!(operand.ty, Type::Ip | Type::Cidr) {
                let message = format!("`{shown}` is {}, but only addresses lie in a network", operand.ty);
                return cx.fail(
                    Diagnostic::new(Code::TYPE_MISMATCH, set.span, message).help(format!(
                        "write `{shown} in [{text:?}]`, or `{shown} contains {text:?}` for a part of it"
                    )),
                );
            }
            match coerce::network(text, set.span) {
                Ok(net) => Some(node(Type::Bool, ExprKind::InSet(Box::new(operand), vec![Const::Net(net)]), span)),
                Err(diagnostic) => cx.fail(*diagnostic),
            }
        }
        _ => {
            operand?;
            let message = "`in` needs a list";
            cx.fail(
                Diagnostic::new(Code::TYPE_MISMATCH, set.span, message)
                    .label("not a list")
                    .help(format!("write `{shown} in [\"…\"]`, or name a declared list")),
            )
        }
    }
}

/// The type of one item: of the value itself, or of what a field of several values holds.
pub(super) fn item_type(ty: &Type) -> &Type {
    match ty {
        Type::List(of) => of,
        ty => ty,
    }
}

/// A list by its name.
pub(super) fn list(cx: &mut Checker<'_>, path: &ast::Path) -> Option<ListId> {
    let name = path.text();
    match cx.names.get(&name) {
        Some(Meaning::List(id)) => return cx.program.lists.get(id.0 as usize).map(|_| id),
        Some(Meaning::Wrong) => return None,
        _ if cx.is_broken_name(&name) => return None,
        _ => {}
    }
    let what = match cx.names.get(&name) {
        Some(Meaning::Let(_)) => "is a `let`, not a list",
        Some(Meaning::Table(_)) => "is a table, not a list",
        _ if names::field(&name).is_some() => "is a field, not a list",
        _ => "is not a declared list",
    };
    let diagnostic = Diagnostic::new(Code::UNKNOWN_LIST, path.span, format!("`{name}` {what}")).label("no list");
    let known: Vec<&str> = cx.names.list_names().collect();
    let diagnostic = match crate::diagnostic::nearest(&name, known.iter().copied()) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")).fix(path.span, meant),
        None if what == "is a field, not a list" => diagnostic.help(format!("compare with `=`: `… = {name}`")),
        None if what == "is not a declared list" => {
            diagnostic.help(format!("declare it: `list {name} : string from \"lists/{name}.csv\"`"))
        }
        None => diagnostic.help("name a list that is declared with `list`"),
    };
    cx.fail(diagnostic)
}

pub(super) fn in_list(
    cx: &mut Checker<'_>,
    operand: Expr,
    shown: &str,
    id: ListId,
    place: Span,
    span: Span,
) -> Option<Expr> {
    let list = cx.program.lists.get(id.0 as usize)?;
    let whole = |t: &Type| matches!(t, Type::Integer | Type::Tokens);
    let one = item_type(&operand.ty);
    let fits = *one == list.ty || (whole(one) && whole(&list.ty)) || (*one == Type::Ip && list.ty == Type::Cidr);
    if !fits {
        // A constant takes the type of the list.
        if matches!(operand.kind, ExprKind::Const(Const::Text(_))) {
            let ty = list.ty.clone();
            let operand = coerce::to(cx, operand, &ty)?;
            return Some(node(Type::Bool, ExprKind::InList(Box::new(operand), id), span));
        }
        let message = format!(
            "`{shown}` is {}, but `{}` is a list of another type: each value is {}",
            operand.ty, list.name, list.ty
        );
        let help = format!("test {} here, or declare `list {} : {}`", list.ty, list.name, one.keyword());
        let declared = list.span;
        return cx.fail(
            Diagnostic::new(Code::TYPE_MISMATCH, place, message)
                .label(format!("each value is {}", list.ty))
                .also(declared, "declared here")
                .help(help),
        );
    }
    Some(node(Type::Bool, ExprKind::InList(Box::new(operand), id), span))
}

/// The items of a written list as constants of a type. Addresses may stand among networks and the other way round.
pub(super) fn constants(cx: &mut Checker<'_>, items: &[ast::Expr], ty: &Type) -> Option<Vec<Const>> {
    if items.len() > limits::INLINE_VALUES_MAX {
        let span = items.get(limits::INLINE_VALUES_MAX)?.span;
        let message = format!("more than {} values in one written list", limits::INLINE_VALUES_MAX);
        return cx.fail(
            Diagnostic::new(Code::TOO_MANY, span, message).help("move them into a file: `list … from \"lists/….csv\"`"),
        );
    }
    let mut out = Vec::with_capacity(items.len());
    let mut complete = true;
    for item in items {
        match constant(cx, item, ty) {
            Some(c) => out.push(c),
            None => complete = false,
        }
    }
    complete.then_some(out)
}

/// One literal as a constant of a type.
pub(super) fn constant(cx: &mut Checker<'_>, item: &ast::Expr, ty: &Type) -> Option<Const> {
    let mut scope = Scope::new(super::scope::Place::Event);
    let lowered = match &item.kind {
        ast::ExprKind::Literal(_) => expr::value(cx, &mut scope, item)?,
        ast::ExprKind::Negate(_) => expr::value(cx, &mut scope, item)?,
        ast::ExprKind::Paren(inner) => return constant(cx, inner, ty),
        _ => {
            let message = format!("`{}` is not a plain value; a written list holds values only", wording::text(item));
            return cx.fail(
                Diagnostic::new(Code::TYPE_MISMATCH, item.span, message)
                    .help(format!("write a value such as `{}`", coerce::example(ty))),
            );
        }
    };
    if let (Type::Ip, ExprKind::Const(Const::Text(text))) = (ty, &lowered.kind) {
        return match coerce::network(text, item.span) {
            Ok(net) if net.prefix_len() == net.max_prefix_len() => Some(Const::Ip(net.addr())),
            Ok(net) => Some(Const::Net(net)),
            Err(diagnostic) => cx.fail(*diagnostic),
        };
    }
    match coerce::to(cx, lowered, ty)?.kind {
        ExprKind::Const(c) => Some(c),
        _ => None,
    }
}
