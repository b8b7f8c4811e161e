//! TOS0905: a comparison that no value can meet: a count below zero, a share above 100 %.

use crate::check::scope::Scope;
use crate::check::{Checker, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{self, CompareOp, ExprKind, Literal};

/// What an operand can be: from zero, perhaps up to one.
enum Range {
    FromZero,
    Share,
}

pub(super) fn run(cx: &mut Checker<'_>, rule: &ast::Rule, _scope: &Scope) {
    for e in rule.when.iter().chain(rule.lets.iter().map(|l| &l.value)) {
        visit(cx, rule, e);
    }
}

fn visit(cx: &mut Checker<'_>, rule: &ast::Rule, e: &ast::Expr) {
    match &e.kind {
        ExprKind::And(all) | ExprKind::Or(all) | ExprKind::AtLeast(_, all) => {
            all.iter().for_each(|e| visit(cx, rule, e))
        }
        ExprKind::Paren(a) | ExprKind::Not(a) => visit(cx, rule, a),
        ExprKind::Compare(a, op, b) => {
            if let (Some(range), Some(bound)) = (range(rule, a, 0), number(b)) {
                let never = match (range, op) {
                    (_, CompareOp::Less) => bound <= 0,
                    (_, CompareOp::LessEqual | CompareOp::Equal) if bound < 0 => true,
                    (Range::Share, CompareOp::Greater) => bound >= crate::value::MICROS,
                    (Range::Share, CompareOp::GreaterEqual | CompareOp::Equal) => bound > crate::value::MICROS,
                    _ => false,
                };
                if never {
                    let message = format!("`{}` can never hold", wording::text(e));
                    cx.report(
                        Diagnostic::new(Code::NEVER_TRUE, e.span, message)
                            .label("never true")
                            .help("a count is at least 0, a share lies between `0%` and `100%`"),
                    );
                }
            }
        }
        _ => {}
    }
}

/// What an operand can be, also through `let`s of the rule.
fn range(rule: &ast::Rule, e: &ast::Expr, depth: usize) -> Option<Range> {
    match &e.kind {
        ExprKind::Paren(a) => range(rule, a, depth),
        ExprKind::Call(c) => match c.name.text.as_str() {
            "count" | "distinct" => Some(Range::FromZero),
            "share" => Some(Range::Share),
            _ => None,
        },
        ExprKind::Path(_) if depth < 16 => {
            let word = wording::word(e)?;
            let item = rule.lets.iter().find(|l| l.name.text == word.text)?;
            range(rule, &item.value, depth + 1)
        }
        _ => None,
    }
}

fn number(e: &ast::Expr) -> Option<i64> {
    match &e.kind {
        ExprKind::Paren(a) => number(a),
        ExprKind::Negate(a) => number(a).and_then(i64::checked_neg),
        ExprKind::Literal(Literal::Integer(n) | Literal::Percentage(n)) => Some(*n),
        _ => None,
    }
}
