//! Expressions: on one line where they fit, else broken at `and`, `or` and the items of lists.

use super::{LINE_WIDTH, Printer, quoted};
use crate::source::Span;
use crate::syntax::ast::{Arg, At, Expr, ExprKind, Literal, Memory, Text, TextTest};
use crate::value::{MICROS, Type, write_number};

impl Printer<'_> {
    /// A literal as the author spelt it, where it was parsed.
    fn spelt(&self, span: Span) -> Option<&str> {
        Some(self.between(span.start, span.end)).filter(|t| !t.is_empty())
    }

    pub(super) fn text_literal(&self, t: &Text) -> String {
        self.spelt(t.span).map_or_else(|| quoted(&t.value, false), str::to_string)
    }

    pub(super) fn pattern(&self, t: &Text) -> String {
        self.spelt(t.span).map_or_else(|| quoted(&t.value, true), str::to_string)
    }

    pub(super) fn at<T>(&self, at: &At<T>, canonical: impl FnOnce(&T) -> String) -> String {
        self.spelt(at.span)
            .filter(|t| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'%' || b == b'.'))
            .map_or_else(|| canonical(&at.value), str::to_string)
    }

    fn literal(&self, l: &Literal, span: Span) -> String {
        if let Some(text) = self.spelt(span) {
            return text.to_string();
        }
        let number = |ty: Type, n: i64| {
            let mut out = String::new();
            let _ = write_number(&mut out, &ty, n);
            out
        };
        match l {
            Literal::Bool(b) => b.to_string(),
            Literal::Integer(n) => n.to_string(),
            Literal::Decimal(n) if n % MICROS == 0 => format!("{}.0", n / MICROS),
            Literal::Decimal(n) => number(Type::Decimal, *n),
            Literal::Percentage(n) => number(Type::Percentage, *n),
            Literal::Money(n) => number(Type::Money, *n),
            Literal::Duration(d) => d.to_string(),
            Literal::Date(at) => {
                let (y, m, d) = at.date();
                format!("{y:04}-{m:02}-{d:02}")
            }
            Literal::Text(t) => quoted(t, false),
        }
    }

    /// An expression whose first line starts at `column` and whose further lines are indented by `indent`.
    pub(super) fn expr(&self, e: &Expr, column: usize, indent: usize) -> String {
        let flat = self.flat(e);
        if column + flat.chars().count() <= LINE_WIDTH {
            return flat;
        }
        let pad = " ".repeat(indent);
        match &e.kind {
            ExprKind::And(parts) | ExprKind::Or(parts) => {
                let op = if matches!(e.kind, ExprKind::And(_)) { "and" } else { "or" };
                let lead = " ".repeat(indent.saturating_sub(op.len() + 1));
                let lines: Vec<String> = parts.iter().map(|p| self.expr(p, indent, indent)).collect();
                lines.join(&format!("\n{lead}{op} "))
            }
            ExprKind::Paren(inner) => format!("({})", self.expr(inner, column + 1, indent + 5)),
            ExprKind::Not(inner) => format!("not {}", self.expr(inner, column + 4, indent + 4)),
            ExprKind::List(items) => {
                let inner = indent + 2;
                let mut out = String::from("[");
                let mut width = usize::MAX;
                for item in items {
                    let text = format!("{},", self.flat(item));
                    let length = text.chars().count() + 1;
                    if width.saturating_add(length) > LINE_WIDTH {
                        out.push('\n');
                        out.push_str(&" ".repeat(inner));
                        width = inner + length;
                    } else {
                        out.push(' ');
                        width += length;
                    }
                    out.push_str(&text);
                }
                out.push('\n');
                out.push_str(&pad);
                out.push(']');
                out
            }
            ExprKind::AtLeast(n, parts) => {
                let inner = " ".repeat(indent + 2);
                let lines: Vec<String> =
                    parts.iter().map(|p| format!("\n{inner}{},", self.expr(p, indent + 2, indent + 6))).collect();
                format!("at least {} of {{{}\n{pad}}}", self.at(n, u64::to_string), lines.concat())
            }
            ExprKind::In { operand, negated, set } => {
                let head = format!("{} {}", self.flat(operand), if *negated { "not in " } else { "in " });
                let set = self.expr(set, column + head.chars().count(), indent);
                head + &set
            }
            ExprKind::TextTest { operand, test, ignoring_case } => {
                let (head, list) = match test {
                    TextTest::HasAnyOf(list) => ("has any of ", list),
                    TextTest::HasAllOf(list) => ("has all of ", list),
                    _ => return flat,
                };
                let head = format!("{} {head}", self.flat(operand));
                let list = self.expr(list, column + head.chars().count(), indent);
                let tail = if *ignoring_case { " ignoring case" } else { "" };
                format!("{head}{list}{tail}")
            }
            ExprKind::Call(call) => match &call.filter {
                Some(filter) => {
                    let head = self.call_head(call);
                    format!("{head} where {}", self.expr(filter, column + head.chars().count() + 7, indent + 4))
                }
                None => flat,
            },
            _ => flat,
        }
    }

    fn call_head(&self, call: &crate::syntax::ast::Call) -> String {
        let args: Vec<String> = call
            .args
            .iter()
            .map(|a| match a {
                Arg::Value(e) => self.flat(e),
                Arg::Named(n, e) => format!("{} {}", n.text, self.flat(e)),
                Arg::OnePer { key, condition, .. } => match condition {
                    Some(c) => format!("one per {} if {}", self.flat(key), self.flat(c)),
                    None => format!("one per {}", self.flat(key)),
                },
                Arg::Over(d) => format!("over {}", self.at(d, |d| d.to_string())),
            })
            .collect();
        format!("{}({})", call.name.text, args.join(", "))
    }

    /// An expression on one line.
    pub(super) fn flat(&self, e: &Expr) -> String {
        let join = |parts: &[Expr], by: &str| parts.iter().map(|p| self.flat(p)).collect::<Vec<_>>().join(by);
        match &e.kind {
            ExprKind::Literal(l) => self.literal(l, e.span),
            ExprKind::Path(p) => p.text(),
            ExprKind::List(items) => format!("[{}]", join(items, ", ")),
            ExprKind::Paren(inner) => format!("({})", self.flat(inner)),
            ExprKind::Not(inner) => format!("not {}", self.flat(inner)),
            ExprKind::Negate(inner) => format!("-{}", self.flat(inner)),
            ExprKind::And(parts) => join(parts, " and "),
            ExprKind::Or(parts) => join(parts, " or "),
            ExprKind::AtLeast(n, parts) => {
                format!("at least {} of {{ {} }}", self.at(n, u64::to_string), join(parts, ", "))
            }
            ExprKind::Compare(a, op, b) => format!("{} {} {}", self.flat(a), op.symbol(), self.flat(b)),
            ExprKind::Arithmetic(a, op, b) => format!("{} {} {}", self.flat(a), op.symbol(), self.flat(b)),
            ExprKind::In { operand, negated, set } => {
                format!("{} {} {}", self.flat(operand), if *negated { "not in" } else { "in" }, self.flat(set))
            }
            ExprKind::TextTest { operand, test, ignoring_case } => {
                let test = match test {
                    TextTest::Contains(t) => format!("contains {}", self.text_literal(t)),
                    TextTest::StartsWith(t) => format!("starts with {}", self.text_literal(t)),
                    TextTest::EndsWith(t) => format!("ends with {}", self.text_literal(t)),
                    TextTest::HasAnyOf(list) => format!("has any of {}", self.flat(list)),
                    TextTest::HasAllOf(list) => format!("has all of {}", self.flat(list)),
                    TextTest::MatchesRegex(t) => format!("matches regex {}", self.pattern(t)),
                };
                format!("{} {test}{}", self.flat(operand), if *ignoring_case { " ignoring case" } else { "" })
            }
            ExprKind::Exists { operand, negated } => {
                format!("{} {}", self.flat(operand), if *negated { "is missing" } else { "exists" })
            }
            ExprKind::OrDefault(a, b) => format!("{} or default {}", self.flat(a), self.flat(b)),
            ExprKind::Call(call) => match &call.filter {
                Some(filter) => format!("{} where {}", self.call_head(call), self.flat(filter)),
                None => self.call_head(call),
            },
            ExprKind::Memory { operand, ask, within } => {
                let within = self.at(within, |d| d.to_string());
                let operand = self.flat(operand);
                match ask {
                    Memory::SeenBefore(None) => format!("{operand} seen before within {within}"),
                    Memory::SeenBefore(Some(by)) => {
                        format!("{operand} seen before within {within} by another {}", self.flat(by))
                    }
                    Memory::FirstSeen => format!("{operand} first seen within {within}"),
                    Memory::NewFor(key) => format!("{operand} new for {} within {within}", self.flat(key)),
                }
            }
            ExprKind::Outage(series) => format!("during outage of {}", series.text),
        }
    }
}
