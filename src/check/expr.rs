//! Lowers expressions: what each word stands for at its place, and the type of the whole. `None` means that the mistake has
//! been reported.

use super::names::{self, Meaning};
use super::scope::{Place, Scope};
use super::{Checker, call, coerce, limits, link, membership, memory, operators, sequence, series, text, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::event::FIELDS;
use crate::hir::{Const, Expr, ExprKind, TableId};
use crate::source::Span;
use crate::syntax::ast::{self, Literal};
use crate::value::Type;

/// A new expression.
pub(super) fn node(ty: Type, kind: ExprKind, span: Span) -> Expr {
    Expr { ty, kind, span }
}

/// Lowers an expression whose value may be of any type.
pub(super) fn value(cx: &mut Checker<'_>, scope: &mut Scope, e: &ast::Expr) -> Option<Expr> {
    scope.depth += 1;
    let result = if scope.depth > limits::DEPTH_MAX {
        let message = format!("an expression nested deeper than {} levels", limits::DEPTH_MAX);
        cx.fail(Diagnostic::new(Code::TOO_MANY, e.span, message).help("give parts of it names with `let`"))
    } else if grow(cx, scope, 1, e.span) {
        key(scope, e).or_else(|| kind(cx, scope, e))
    } else {
        None
    };
    scope.depth -= 1;
    result
}

/// Lowers an expression that must be true or false.
pub(super) fn condition(cx: &mut Checker<'_>, scope: &mut Scope, e: &ast::Expr) -> Option<Expr> {
    let lowered = value(cx, scope, e)?;
    if lowered.ty == Type::Bool {
        return Some(lowered);
    }
    let shown = wording::text(e);
    let help = match &lowered.ty {
        Type::List(of) if **of == Type::String => format!("write `{shown} contains \"…\"`"),
        ty if ty.is_number() => format!("compare it: `{shown} >= {}`", coerce::example(ty)),
        ty => format!("compare it: `{shown} = {}`, or write `{shown} exists`", coerce::example(ty)),
    };
    cx.fail(
        Diagnostic::new(
            Code::NOT_A_CONDITION,
            e.span,
            format!("`{shown}` is {}, but a condition is needed here", lowered.ty),
        )
        .label(format!("{}, neither true nor false", lowered.ty))
        .help(help),
    )
}

/// Counts nodes against the bounds; says whether there is room.
pub(super) fn grow(cx: &mut Checker<'_>, scope: &mut Scope, nodes: usize, span: Span) -> bool {
    scope.nodes += nodes;
    cx.nodes_total += nodes;
    let full = if scope.nodes > limits::NODES_PER_RULE_MAX {
        Some(format!(
            "more than {} parts in one rule or `let`, once every `let` is put in place",
            limits::NODES_PER_RULE_MAX
        ))
    } else if cx.nodes_total > limits::NODES_TOTAL_MAX {
        Some(format!("more than {} parts in all rules and `let`s", limits::NODES_TOTAL_MAX))
    } else {
        None
    };
    match full {
        None => true,
        Some(message) => {
            if !scope.overfull {
                scope.overfull = true;
                cx.report(
                    Diagnostic::new(Code::TOO_MANY, span, message)
                        .help("use a `list` for many values; a `let` that uses another twice doubles it"),
                );
            }
            false
        }
    }
}

/// A part of the group, where the text is that of one.
fn key(scope: &Scope, e: &ast::Expr) -> Option<Expr> {
    if !scope.is_whole() || scope.keys.is_empty() {
        return None;
    }
    if !matches!(e.kind, ast::ExprKind::Path(_) | ast::ExprKind::Call(_)) {
        return None;
    }
    let shown = wording::text(e);
    let at = scope.keys.iter().position(|(text, _)| *text == shown)?;
    let (_, ty) = scope.keys.get(at)?;
    Some(node(ty.clone(), ExprKind::Key(at as u16), e.span))
}

fn kind(cx: &mut Checker<'_>, scope: &mut Scope, e: &ast::Expr) -> Option<Expr> {
    use ast::ExprKind as K;
    match &e.kind {
        K::Literal(l) => Some(literal(l, e.span)),
        K::Path(p) => path(cx, scope, p),
        K::List(_) => {
            let message = "a list of values stands where one value is needed";
            cx.fail(
                Diagnostic::new(Code::TYPE_MISMATCH, e.span, message).help("lists stand behind `in` and `has any of`"),
            )
        }
        K::Paren(inner) => value(cx, scope, inner),
        K::Not(a) => {
            let a = condition(cx, scope, a)?;
            Some(negated(a, e.span))
        }
        K::Negate(a) => operators::negate(cx, scope, a, e.span),
        K::And(all) => {
            let all = conditions(cx, scope, all)?;
            Some(node(Type::Bool, ExprKind::And(flat(all, true)), e.span))
        }
        K::Or(all) => {
            let all = conditions(cx, scope, all)?;
            Some(node(Type::Bool, ExprKind::Or(flat(all, false)), e.span))
        }
        K::AtLeast(n, all) => at_least(cx, scope, n, all, e.span),
        K::Compare(a, op, b) => operators::compare(cx, scope, a, *op, b, e.span),
        K::Arithmetic(a, op, b) => operators::arithmetic(cx, scope, a, *op, b, e.span),
        K::In { operand, negated, set } => {
            let found = membership::lower(cx, scope, operand, set, e.span)?;
            Some(if *negated { self::negated(found, e.span) } else { found })
        }
        K::TextTest { operand, test, ignoring_case } => text::lower(cx, scope, operand, test, *ignoring_case, e.span),
        K::Exists { operand, negated } => {
            let operand = value(cx, scope, operand)?;
            let exists = node(Type::Bool, ExprKind::Exists(Box::new(operand)), e.span);
            Some(if *negated { self::negated(exists, e.span) } else { exists })
        }
        K::OrDefault(a, b) => {
            let (a, b) = (value(cx, scope, a), value(cx, scope, b));
            let (a, b) = (a?, b?);
            let b = coerce::to(cx, b, &a.ty)?;
            Some(node(a.ty.clone(), ExprKind::OrDefault(Box::new(a), Box::new(b)), e.span))
        }
        K::Call(c) => call::lower(cx, scope, c, e.span),
        K::Memory { operand, ask, within } => memory::lower(cx, scope, operand, ask, within, e.span),
        K::Outage(name) => series::outage(cx, scope, name, e.span),
    }
}

/// Kleene not; two of them fall away.
pub(super) fn negated(a: Expr, span: Span) -> Expr {
    match a.kind {
        ExprKind::Not(inner) => Expr { span, ..*inner },
        _ => node(Type::Bool, ExprKind::Not(Box::new(a)), span),
    }
}

/// Lowers all, so that all mistakes are reported.
fn conditions(cx: &mut Checker<'_>, scope: &mut Scope, all: &[ast::Expr]) -> Option<Vec<Expr>> {
    let lowered: Vec<Option<Expr>> = all.iter().map(|e| condition(cx, scope, e)).collect();
    lowered.into_iter().collect()
}

/// `a and (b and c)` means `a and b and c`.
fn flat(all: Vec<Expr>, conjunction: bool) -> Vec<Expr> {
    let mut out = Vec::with_capacity(all.len());
    for e in all {
        match e.kind {
            ExprKind::And(inner) if conjunction => out.extend(inner),
            ExprKind::Or(inner) if !conjunction => out.extend(inner),
            _ => out.push(e),
        }
    }
    out
}

fn at_least(cx: &mut Checker<'_>, scope: &mut Scope, n: &ast::At<u64>, all: &[ast::Expr], span: Span) -> Option<Expr> {
    let lowered = conditions(cx, scope, all);
    let of = all.len() as u64;
    if n.value == 0 || n.value > of {
        let message = format!("at least {} of {of} conditions", n.value);
        return cx.fail(
            Diagnostic::new(Code::WRONG_ARGUMENTS, n.span, message)
                .label(if n.value == 0 { "always true" } else { "never true" })
                .help(format!("write a number from 1 to {of}")),
        );
    }
    let n = u32::try_from(n.value).unwrap_or(u32::MAX);
    Some(node(Type::Bool, ExprKind::AtLeast(n, lowered?), span))
}

/// A literal with the type that it has by itself.
fn literal(l: &Literal, span: Span) -> Expr {
    let (ty, constant) = match l {
        Literal::Bool(b) => (Type::Bool, Const::Bool(*b)),
        Literal::Integer(n) => (Type::Integer, Const::Num(*n)),
        Literal::Decimal(n) => (Type::Decimal, Const::Num(*n)),
        Literal::Percentage(n) => (Type::Percentage, Const::Num(*n)),
        Literal::Money(n) => (Type::Money, Const::Num(*n)),
        Literal::Duration(d) => (Type::Duration, Const::Num(d.0)),
        Literal::Date(t) => (Type::Timestamp, Const::Num(t.0)),
        Literal::Text(t) => (Type::String, Const::Text(t.clone())),
    };
    node(ty, ExprKind::Const(constant), span)
}

fn path(cx: &mut Checker<'_>, scope: &mut Scope, p: &ast::Path) -> Option<Expr> {
    match p.parts.as_slice() {
        [name] => word(cx, scope, name),
        [step, ..] if scope.steps.iter().any(|s| s.name == step.text) => {
            sequence::of_step(cx, scope, &p.parts.iter().collect::<Vec<_>>(), p.span)
        }
        [word, what] if word.text == "link" => link::value_of(cx, scope, &what.text, p.span),
        [table, column] => self::column(cx, scope, table, column, p.span),
        _ => {
            let unknown = names::unknown(cx, Code::UNKNOWN_NAME, p.span, &p.text(), &[]);
            cx.fail(unknown)
        }
    }
}

fn word(cx: &mut Checker<'_>, scope: &mut Scope, name: &ast::Name) -> Option<Expr> {
    if let Some(own) = scope.lets.get(&name.text) {
        scope.used.insert(name.text.clone());
        let own = own.clone()?;
        if !scope.is_whole() && is_of_window(&own.expr) {
            let whole = if scope.steps.is_empty() { "window" } else { "match" };
            let message =
                format!("`{}` is a value of the whole {whole}, but single events are looked at here", name.text);
            let help = match scope.steps.is_empty() {
                true => {
                    format!(
                        "test it in `when`; or move `let {} = …` out of the rule and let it test one event",
                        name.text
                    )
                }
                false => "write out here what it stands for".to_string(),
            };
            return cx.fail(Diagnostic::new(Code::AGGREGATE_HERE, name.span, message).help(help));
        }
        return grow(cx, scope, own.nodes, name.span).then_some(Expr { span: name.span, ..own.expr });
    }
    if let Some(field) = names::field(&name.text) {
        let ty = FIELDS.get(usize::from(field.0))?.ty.clone();
        if scope.is_whole() {
            return cx.fail(event_value(scope, &name.text, &ty, name.span));
        }
        return Some(node(ty, ExprKind::Field(field), name.span));
    }
    match cx.names.get(&name.text) {
        Some(Meaning::Let(i)) => {
            let inlined = cx.names.lowered.get(i).cloned().flatten()?;
            if scope.is_whole() && !is_constant(&inlined.expr) {
                return cx.fail(event_value(scope, &name.text, &inlined.expr.ty, name.span));
            }
            grow(cx, scope, inlined.nodes, name.span).then_some(Expr { span: name.span, ..inlined.expr })
        }
        Some(Meaning::List(_)) => cx.fail(
            Diagnostic::new(Code::TYPE_MISMATCH, name.span, format!("`{}` is a list, not a value", name.text))
                .label("a list")
                .help(format!("test membership: `account in {}`", name.text)),
        ),
        Some(Meaning::Table(_)) => cx.fail(
            Diagnostic::new(Code::TYPE_MISMATCH, name.span, format!("`{}` is a table, not a value", name.text))
                .label("a table")
                .help(format!("name one of its columns: `{}.…`", name.text)),
        ),
        Some(Meaning::Link(_)) => cx.fail(link::no_value(name)),
        Some(Meaning::Series(_)) => cx.fail(
            Diagnostic::new(Code::TYPE_MISMATCH, name.span, format!("`{}` is a series, not a value", name.text))
                .label("a series")
                .help(format!("ask for its outages: `during outage of {}`", name.text)),
        ),
        Some(Meaning::Wrong) => None,
        None if cx.is_broken_name(&name.text) => None,
        None => {
            let local: Vec<&str> = scope.lets.keys().map(String::as_str).collect();
            let unknown = names::unknown(cx, Code::UNKNOWN_NAME, name.span, &name.text, &local);
            cx.fail(unknown)
        }
    }
}

/// Whether an expression looks at no event.
pub(super) fn is_constant(e: &Expr) -> bool {
    let mut constant = true;
    e.walk(&mut |x| {
        constant &= !matches!(
            x.kind,
            ExprKind::Field(_)
                | ExprKind::Column(..)
                | ExprKind::Outage(_)
                | ExprKind::WindowOutage(_)
                | ExprKind::Template(..)
                | ExprKind::Aggregate(_)
                | ExprKind::Link(_)
                | ExprKind::Key(_)
        );
    });
    constant
}

/// Whether an expression needs a window, or the match of a sequence.
pub(super) fn is_of_window(e: &Expr) -> bool {
    let mut window = false;
    e.walk(&mut |x| {
        window |= matches!(
            x.kind,
            ExprKind::Aggregate(_)
                | ExprKind::Link(_)
                | ExprKind::Key(_)
                | ExprKind::OfStep(..)
                | ExprKind::WindowOutage(_)
        );
    });
    window
}

/// The message about a value of single events where the window is judged.
fn event_value(scope: &Scope, shown: &str, ty: &Type, span: Span) -> Diagnostic {
    if scope.place == Place::Match {
        let message = format!("`{shown}` is a value of single events, but a match of several is described here");
        return Diagnostic::new(Code::EVENT_VALUE_HERE, span, message)
            .label("differs from step to step")
            .help(format!("say of which step: `first.{shown}`"));
    }
    let keys: Vec<&str> = scope.keys.iter().map(|(k, _)| k.as_str()).collect();
    let message = format!("`{shown}` is a value of single events, but a window of many events is judged here");
    let help = match ty {
        Type::Bool => format!("count the events where it holds: `count() where {shown}`, or `share({shown})`"),
        ty if ty.is_number() => {
            format!("aggregate it: `max({shown})`, `distinct({shown})`; or group by it: `per {shown}`")
        }
        _ => format!("aggregate it: `distinct({shown})`; or group by it: `per {shown}`"),
    };
    let label = match keys.as_slice() {
        [] => "differs from event to event".to_string(),
        keys => format!("differs from event to event; the groups are {}", names::quoted(keys)),
    };
    Diagnostic::new(Code::EVENT_VALUE_HERE, span, message).label(label).help(help)
}

pub(super) fn column(
    cx: &mut Checker<'_>,
    scope: &Scope,
    table: &ast::Name,
    column: &ast::Name,
    span: Span,
) -> Option<Expr> {
    let id = if table.text == "account" {
        TableId::ACCOUNTS
    } else {
        match cx.names.get(&table.text) {
            Some(Meaning::Table(id)) => id,
            Some(Meaning::Wrong) => return None,
            Some(_) => {
                let message = format!("`{}` is no table, it has no columns", table.text);
                return cx.fail(
                    Diagnostic::new(Code::UNKNOWN_COLUMN, span, message).help(format!("write `{}`", table.text)),
                );
            }
            None if cx.is_broken_name(&table.text) => return None,
            None => {
                let in_sequence = matches!(scope.place, Place::Step(_) | Place::Match);
                let steps = scope.steps.iter().filter(|_| in_sequence).map(|s| s.name.as_str());
                let tables: Vec<&str> = cx.names.table_names().chain(steps).collect();
                let (message, label) = match in_sequence {
                    true => (format!("`{}` is neither a step nor a table", table.text), "unknown step or table"),
                    false => (format!("`{}` is not a table", table.text), "unknown table"),
                };
                let unknown = Diagnostic::new(Code::UNKNOWN_NAME, table.span, message).label(label);
                let unknown = names::suggest(unknown, table, &tables);
                return cx.fail(unknown);
            }
        }
    };
    let columns = cx.program.tables.get(id.0 as usize).map_or(&[][..], |t| &t.columns);
    let Some(at) = columns.iter().position(|(name, _)| *name == column.text) else {
        let known: Vec<&str> = columns.iter().map(|(n, _)| n.as_str()).collect();
        let message = format!("the table `{}` has no column `{}`", table.text, column.text);
        let unknown = Diagnostic::new(Code::UNKNOWN_COLUMN, column.span, message).label("unknown column");
        let unknown = names::suggest(unknown, column, &known);
        return cx.fail(unknown);
    };
    let ty = columns.get(at)?.1.clone();
    if scope.is_whole() {
        return cx.fail(event_value(scope, &format!("{}.{}", table.text, column.text), &ty, span));
    }
    Some(node(ty, ExprKind::Column(id, u16::try_from(at).unwrap_or(u16::MAX)), span))
}
