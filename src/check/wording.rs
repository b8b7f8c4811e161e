//! An expression as an author would write it, without its comments and spacing: by it two places are the same, and messages
//! name things.

use crate::syntax::ast::{Arg, Call, Expr, ExprKind, Literal, Memory, TextTest};
use crate::time::{DAY_NS, Duration, Timestamp};
use crate::value::{Type, write_number};

/// The one spelling of an expression.
pub(super) fn text(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Literal(l) => literal(l),
        ExprKind::Path(p) => p.text(),
        ExprKind::List(items) => format!("[{}]", list(items)),
        ExprKind::Paren(inner) => text(inner),
        ExprKind::Not(a) => format!("not {}", inner(a)),
        ExprKind::Negate(a) => format!("-{}", inner(a)),
        ExprKind::And(all) => all.iter().map(inner).collect::<Vec<_>>().join(" and "),
        ExprKind::Or(all) => all.iter().map(inner).collect::<Vec<_>>().join(" or "),
        ExprKind::AtLeast(n, all) => format!("at least {} of {{ {} }}", n.value, list(all)),
        ExprKind::Compare(a, op, b) => format!("{} {} {}", inner(a), op.symbol(), inner(b)),
        ExprKind::Arithmetic(a, op, b) => format!("{} {} {}", inner(a), op.symbol(), inner(b)),
        ExprKind::In { operand, negated, set } => {
            format!("{} {}in {}", inner(operand), if *negated { "not " } else { "" }, text(set))
        }
        ExprKind::TextTest { operand, test, ignoring_case } => {
            format!("{} {}{}", inner(operand), text_test(test), if *ignoring_case { " ignoring case" } else { "" })
        }
        ExprKind::Exists { operand, negated } => {
            format!("{} {}", inner(operand), if *negated { "is missing" } else { "exists" })
        }
        ExprKind::OrDefault(a, b) => format!("{} or default {}", inner(a), inner(b)),
        ExprKind::Call(c) => call(c),
        ExprKind::Memory { operand, ask, within } => {
            let ask = match ask {
                Memory::SeenBefore(None) => "seen before".to_string(),
                Memory::SeenBefore(Some(by)) => format!("seen before by another {}", inner(by)),
                Memory::FirstSeen => "first seen".to_string(),
                Memory::NewFor(key) => format!("new for {}", inner(key)),
            };
            format!("{} {ask} within {}", inner(operand), within.value)
        }
        ExprKind::Outage(series) => format!("during outage of {}", series.text),
    }
}

/// In parentheses where it holds an operator.
fn inner(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Negate(a) if matches!(a.kind, ExprKind::Literal(_)) => text(e),
        ExprKind::Paren(a) => inner(a),
        ExprKind::Literal(_) | ExprKind::Path(_) | ExprKind::List(_) | ExprKind::Call(_) => text(e),
        _ => format!("({})", text(e)),
    }
}

fn list(items: &[Expr]) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn call(c: &Call) -> String {
    let args: Vec<String> = c
        .args
        .iter()
        .map(|arg| match arg {
            Arg::Value(e) => text(e),
            Arg::Named(name, e) => format!("{} {}", name.text, text(e)),
            Arg::OnePer { key, condition: None, .. } => format!("one per {}", text(key)),
            Arg::OnePer { key, condition: Some(c), .. } => format!("one per {} if {}", text(key), text(c)),
            Arg::Over(d) => format!("over {}", d.value),
        })
        .collect();
    let filter = c.filter.as_ref().map(|f| format!(" where {}", text(f))).unwrap_or_default();
    format!("{}({}){filter}", c.name.text, args.join(", "))
}

fn text_test(test: &TextTest) -> String {
    match test {
        TextTest::Contains(t) => format!("contains {:?}", t.value),
        TextTest::StartsWith(t) => format!("starts with {:?}", t.value),
        TextTest::EndsWith(t) => format!("ends with {:?}", t.value),
        TextTest::HasAnyOf(e) => format!("has any of {}", text(e)),
        TextTest::HasAllOf(e) => format!("has all of {}", text(e)),
        TextTest::MatchesRegex(t) => format!("matches regex {:?}", t.value),
    }
}

fn literal(l: &Literal) -> String {
    match l {
        Literal::Bool(b) => b.to_string(),
        Literal::Integer(n) => n.to_string(),
        Literal::Decimal(n) => {
            let text = number(&Type::Decimal, *n);
            if text.contains('.') { text } else { format!("{text}.0") }
        }
        Literal::Percentage(n) => number(&Type::Percentage, *n),
        Literal::Money(n) => number(&Type::Money, *n),
        Literal::Duration(d) => duration(*d),
        Literal::Date(t) => date(*t),
        Literal::Text(t) => format!("{t:?}"),
    }
}

/// A number of a type as an author writes it.
pub(super) fn number(ty: &Type, n: i64) -> String {
    let mut out = String::new();
    let _ = write_number(&mut out, ty, n);
    out
}

/// `24h`, not `1d`: as mostly written.
pub(super) fn duration(d: Duration) -> String {
    if d.0 == DAY_NS { "24h".to_string() } else { d.to_string() }
}

/// `2026-01-31`.
pub(super) fn date(at: Timestamp) -> String {
    let (y, m, d) = at.date();
    format!("{y:04}-{m:02}-{d:02}")
}

/// The name behind parentheses, if it is one word.
pub(super) fn word(e: &Expr) -> Option<&crate::syntax::ast::Name> {
    match &e.kind {
        ExprKind::Paren(inner) => word(inner),
        ExprKind::Path(p) => match p.parts.as_slice() {
            [one] => Some(one),
            _ => None,
        },
        _ => None,
    }
}
