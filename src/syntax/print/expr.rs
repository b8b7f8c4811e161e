//! Expressions as text. Parentheses are those of the tree; where a tree that no parser made needs more, they are added.

use super::Printer;
use super::doc::Doc;
use crate::source::Span;
use crate::syntax::ast::{Arg, ArithmeticOp, At, Call, Date, Expr, ExprKind, Literal, Memory, Path, Text, TextTest};
use crate::syntax::lexer::Kind;
use crate::syntax::number::reads_as;
use crate::time::Duration;
use crate::value::{Type, write_number};

/// How tight an expression binds; higher is tighter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// An aggregate with its `where`, which takes all that follows.
    Whole,
    Or,
    And,
    Not,
    Test,
    Sum,
    Product,
    Default,
    Minus,
    Primary,
}

fn level(expr: &Expr) -> Level {
    match &expr.kind {
        ExprKind::Call(Call { filter: Some(_), .. }) => Level::Whole,
        ExprKind::Or(_) => Level::Or,
        ExprKind::And(_) => Level::And,
        ExprKind::Not(_) => Level::Not,
        ExprKind::Compare(..)
        | ExprKind::In { .. }
        | ExprKind::TextTest { .. }
        | ExprKind::Exists { .. }
        | ExprKind::Memory { .. } => Level::Test,
        ExprKind::OrDefault(..) => Level::Default,
        ExprKind::Arithmetic(_, ArithmeticOp::Add | ArithmeticOp::Subtract, _) => Level::Sum,
        ExprKind::Arithmetic(..) => Level::Product,
        ExprKind::Negate(_) => Level::Minus,
        _ => Level::Primary,
    }
}

/// Where the operands of a long `and` or `or` go.
#[derive(Clone, Copy)]
enum Chain {
    /// Below each other, the words standing out to the left.
    Outdented,
    /// Below each other, the words at the left margin and the first operand moved in.
    Padded,
    /// Like `Padded`, on lines of their own.
    Hanging,
}

impl Printer<'_> {
    /// An expression behind the word of a section: long conditions line up under their first operand.
    pub(super) fn section_expr(&mut self, expr: &Expr) -> Doc {
        self.chain(expr, Chain::Outdented)
    }

    /// An expression behind `=` or `where`, the space between included: long conditions begin on the next line.
    pub(super) fn hanging(&mut self, expr: &Expr) -> Doc {
        match &expr.kind {
            ExprKind::And(_) | ExprKind::Or(_) => self.chain(expr, Chain::Hanging),
            _ => Doc::Many(vec![Doc::text(" "), self.expr(expr, Level::Whole)]),
        }
    }

    fn chain(&mut self, expr: &Expr, style: Chain) -> Doc {
        let (word, pad, operands) = match &expr.kind {
            ExprKind::And(operands) => ("and ", "    ", operands),
            ExprKind::Or(operands) => ("or ", "   ", operands),
            _ => return self.expr(expr, Level::Whole),
        };
        let mut docs = Vec::new();
        if let Chain::Hanging = style {
            docs.push(Doc::Line);
        }
        if !matches!(style, Chain::Outdented) {
            docs.push(Doc::Broken(pad));
        }
        let mut behind: Option<Span> = None;
        for operand in operands {
            let mut line = Vec::new();
            if let Some(before) = behind {
                let (trailing, own) = self.between(before, operand.span.start);
                docs.extend(trailing);
                for comment in own {
                    line.extend([Doc::Line, comment, Doc::Force]);
                }
                line.extend([Doc::Line, Doc::text(word)]);
            }
            line.push(self.expr(operand, Level::Not));
            let out = if matches!(style, Chain::Outdented) { -(word.len() as isize) } else { 0 };
            docs.push(Doc::nest(out, line));
            behind = Some(operand.span);
        }
        Doc::group(docs)
    }

    /// An expression where nothing looser than `least` may stand.
    pub(super) fn expr(&mut self, expr: &Expr, least: Level) -> Doc {
        if level(expr) < least {
            return self.parenthesised(expr, expr.span);
        }
        match &expr.kind {
            ExprKind::Literal(literal) => text(self.literal(literal, expr.span)),
            ExprKind::Path(path) => text(path.text()),
            ExprKind::List(items) => {
                let docs = items.iter().map(|e| (e.span, self.expr(e, Level::Or))).collect();
                self.filled("[", docs, "]", expr.span)
            }
            ExprKind::Paren(inner) => self.parenthesised(inner, expr.span),
            ExprKind::Not(inner) => Doc::Many(vec![text("not "), self.expr(inner, Level::Not)]),
            ExprKind::Negate(inner) => Doc::Many(vec![text("-"), self.expr(inner, Level::Minus)]),
            ExprKind::And(_) | ExprKind::Or(_) => self.chain(expr, Chain::Padded),
            ExprKind::AtLeast(n, items) => {
                let n = self.count(n);
                let docs = items.iter().map(|e| (e.span, self.expr(e, Level::Or))).collect();
                Doc::Many(vec![text(format!("at least {n} of ")), self.braced(docs, expr.span)])
            }
            ExprKind::Compare(left, op, right) => {
                self.infix(left, Level::Sum, format!(" {} ", op.symbol()), right, Level::Sum)
            }
            ExprKind::Arithmetic(left, op, right) => {
                let (l, r) = match op {
                    ArithmeticOp::Add | ArithmeticOp::Subtract => (Level::Sum, Level::Product),
                    ArithmeticOp::Multiply | ArithmeticOp::Divide => (Level::Product, Level::Default),
                };
                self.infix(left, l, format!(" {} ", op.symbol()), right, r)
            }
            ExprKind::In { operand, negated, set } => {
                let word = if *negated { " not in " } else { " in " };
                self.infix(operand, Level::Sum, word.to_string(), set, Level::Primary)
            }
            ExprKind::OrDefault(left, right) => {
                self.infix(left, Level::Default, " or default ".to_string(), right, Level::Minus)
            }
            ExprKind::TextTest { operand, test, ignoring_case } => {
                let operand = self.expr(operand, Level::Sum);
                let test = self.text_test(test);
                let case = text(if *ignoring_case { " ignoring case" } else { "" });
                Doc::Many(vec![operand, test, case])
            }
            ExprKind::Exists { operand, negated } => {
                let operand = self.expr(operand, Level::Sum);
                Doc::Many(vec![operand, text(if *negated { " is missing" } else { " exists" })])
            }
            ExprKind::Call(call) => self.call(call, expr.span),
            ExprKind::Memory { operand, ask, within } => {
                let operand = self.expr(operand, Level::Sum);
                let within = format!(" within {}", self.duration(within));
                let rest = match ask {
                    Memory::SeenBefore(None) => vec![text(format!(" seen before{within}"))],
                    Memory::SeenBefore(Some(by)) => {
                        vec![text(format!(" seen before{within} by another ")), self.expr(by, Level::Primary)]
                    }
                    Memory::FirstSeen => vec![text(format!(" first seen{within}"))],
                    Memory::NewFor(key) => vec![text(" new for "), self.expr(key, Level::Primary), text(within)],
                };
                Doc::Many(vec![operand, Doc::Many(rest)])
            }
            ExprKind::Outage(series) => text(format!("during outage of {}", series.text)),
        }
    }

    fn infix(&mut self, left: &Expr, least_left: Level, word: String, right: &Expr, least_right: Level) -> Doc {
        let left = self.expr(left, least_left);
        Doc::Many(vec![left, Doc::text(word), self.expr(right, least_right)])
    }

    fn parenthesised(&mut self, inner: &Expr, whole: Span) -> Doc {
        let body = self.chain(inner, Chain::Padded);
        let (trailing, own) = self.between(inner.span, whole.end);
        let mut docs = vec![Doc::text("("), Doc::align(body)];
        let commented = !trailing.is_empty() || !own.is_empty();
        docs.extend(trailing);
        for comment in own {
            docs.extend([Doc::Hard, comment]);
        }
        if commented {
            docs.push(Doc::Hard);
        }
        docs.push(Doc::text(")"));
        Doc::Many(docs)
    }

    fn text_test(&mut self, test: &TextTest) -> Doc {
        let one = |word: &str, t: &Text| text(format!(" {word} {}", quoted(&t.value)));
        match test {
            TextTest::Contains(t) => one("contains", t),
            TextTest::StartsWith(t) => one("starts with", t),
            TextTest::EndsWith(t) => one("ends with", t),
            TextTest::MatchesRegex(t) => Doc::text(format!(" matches regex \"{}\"", t.value.replace('"', "\\\""))),
            TextTest::HasAnyOf(set) => Doc::Many(vec![Doc::text(" has any of "), self.expr(set, Level::Primary)]),
            TextTest::HasAllOf(set) => Doc::Many(vec![Doc::text(" has all of "), self.expr(set, Level::Primary)]),
        }
    }

    fn call(&mut self, call: &Call, span: Span) -> Doc {
        let mut args = Vec::new();
        for arg in &call.args {
            args.push(match arg {
                Arg::Value(value) => (value.span, self.expr(value, Level::Whole)),
                Arg::Named(name, value) => {
                    // Behind a name, `not` and `-` would read as operators.
                    let value_doc = if leads_with_sign(value) {
                        self.parenthesised(value, value.span)
                    } else {
                        self.expr(value, Level::Whole)
                    };
                    (name.span.to(value.span), Doc::Many(vec![Doc::text(format!("{} ", name.text)), value_doc]))
                }
                Arg::OnePer { key, condition, span } => {
                    let mut docs = vec![Doc::text("one per "), self.expr(key, Level::Sum)];
                    if let Some(condition) = condition {
                        docs.extend([Doc::text(" if "), self.expr(condition, Level::Or)]);
                    }
                    (*span, Doc::Many(docs))
                }
                Arg::Over(back) => (back.span, Doc::text(format!("over {}", self.duration(back)))),
            });
        }
        let end = args.last().map_or(span, |(span, _)| *span);
        let mut docs = vec![Doc::text(&call.name.text), self.filled("(", args, ")", end)];
        if let Some(filter) = &call.filter {
            docs.extend([Doc::text(" where"), Doc::nest(2, vec![self.hanging(filter)])]);
        }
        Doc::Many(docs)
    }

    /// Items between brackets, as many to a line as fit.
    pub(super) fn filled(
        &mut self,
        open: &'static str,
        items: Vec<(Span, Doc)>,
        close: &'static str,
        whole: Span,
    ) -> Doc {
        let mut docs = Vec::new();
        let mut behind: Option<Span> = None;
        let count = items.len();
        for (n, (span, item)) in items.into_iter().enumerate() {
            let comma = Doc::text(if n + 1 < count { "," } else { "" });
            let Some(before) = behind.replace(span) else {
                docs.extend([item, comma]);
                continue;
            };
            let (trailing, own) = self.between(before, span.start);
            let commented = !trailing.is_empty() || !own.is_empty();
            docs.extend(trailing);
            for comment in own {
                docs.extend([Doc::Hard, comment]);
            }
            if commented {
                docs.extend([Doc::Hard, item, comma]);
            } else {
                docs.push(Doc::group(vec![Doc::Line, item, comma]));
            }
        }
        let (trailing, own) = behind.map_or_else(Default::default, |last| self.between(last, whole.end));
        let commented = !trailing.is_empty() || !own.is_empty();
        docs.extend(trailing);
        for comment in own {
            docs.extend([Doc::Hard, comment]);
        }
        if commented {
            docs.push(Doc::Hard);
        }
        Doc::Many(vec![Doc::text(open), Doc::align(Doc::Many(docs)), Doc::text(close)])
    }

    /// Items between braces, all on one line or each on its own.
    pub(super) fn braced(&mut self, items: Vec<(Span, Doc)>, whole: Span) -> Doc {
        if items.is_empty() {
            return Doc::text("{}");
        }
        let mut docs = Vec::new();
        let mut behind: Option<Span> = None;
        let count = items.len();
        for (n, (span, item)) in items.into_iter().enumerate() {
            if let Some(before) = behind.replace(span) {
                let (trailing, own) = self.between(before, span.start);
                docs.extend(trailing);
                for comment in own {
                    docs.extend([Doc::Line, comment, Doc::Force]);
                }
            }
            docs.extend([Doc::Line, item, Doc::text(if n + 1 < count { "," } else { "" })]);
        }
        let (trailing, own) = behind.map_or_else(Default::default, |last| self.between(last, whole.end));
        docs.extend(trailing);
        for comment in own {
            docs.extend([Doc::Line, comment, Doc::Force]);
        }
        Doc::group(vec![Doc::text("{"), Doc::nest(2, docs), Doc::Line, Doc::text("}")])
    }

    fn literal(&self, literal: &Literal, span: Span) -> String {
        let number = |kind: Kind, ty: &Type, n: i64| {
            self.as_written(span, kind).unwrap_or_else(|| {
                let mut out = String::new();
                // Writing to a string does not fail.
                let _ = write_number(&mut out, ty, n);
                if *ty == Type::Decimal && !out.contains('.') {
                    out.push_str(".0");
                }
                out
            })
        };
        match literal {
            Literal::Bool(b) => b.to_string(),
            Literal::Integer(n) => number(Kind::Integer(*n), &Type::Integer, *n),
            Literal::Decimal(n) => number(Kind::Decimal(*n), &Type::Decimal, *n),
            Literal::Percentage(n) => self.percentage(&At { value: *n, span }),
            Literal::Money(n) => number(Kind::Money(*n), &Type::Money, *n),
            Literal::Duration(d) => self.duration(&At { value: *d, span }),
            Literal::Date(at) => self.date(&Date { at: *at, span }),
            Literal::Text(value) => quoted(value),
        }
    }

    /// A number as its author wrote it: `60m` is not turned into `1h`, nor `64512` into `64_512`.
    fn as_written(&self, span: Span, kind: Kind) -> Option<String> {
        let written = self.text.get(span.start as usize..span.end as usize)?;
        (reads_as(written) == Some(kind)).then(|| written.to_string())
    }

    pub(super) fn count(&self, n: &At<u64>) -> String {
        let kind = Kind::Integer(i64::try_from(n.value).unwrap_or(i64::MAX));
        self.as_written(n.span, kind).unwrap_or_else(|| n.value.to_string())
    }

    pub(super) fn duration(&self, d: &At<Duration>) -> String {
        self.as_written(d.span, Kind::Duration(d.value)).unwrap_or_else(|| d.value.to_string())
    }

    pub(super) fn percentage(&self, n: &At<i64>) -> String {
        self.as_written(n.span, Kind::Percentage(n.value)).unwrap_or_else(|| {
            let mut out = String::new();
            let _ = write_number(&mut out, &Type::Percentage, n.value);
            out
        })
    }

    pub(super) fn date(&self, date: &Date) -> String {
        let (year, month, day) = date.at.date();
        format!("{year:04}-{month:02}-{day:02}")
    }

    pub(super) fn paths(&self, paths: &[Path]) -> Doc {
        Doc::text(paths.iter().map(Path::text).collect::<Vec<_>>().join(", "))
    }
}

/// Whether the first token is `not` or `-`.
fn leads_with_sign(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Not(_) | ExprKind::Negate(_) => true,
        ExprKind::And(operands) | ExprKind::Or(operands) => operands.first().is_some_and(leads_with_sign),
        ExprKind::Compare(left, ..) | ExprKind::Arithmetic(left, ..) | ExprKind::OrDefault(left, _) => {
            leads_with_sign(left)
        }
        ExprKind::In { operand, .. }
        | ExprKind::TextTest { operand, .. }
        | ExprKind::Exists { operand, .. }
        | ExprKind::Memory { operand, .. } => leads_with_sign(operand),
        _ => false,
    }
}

fn text(text: impl Into<String>) -> Doc {
    Doc::text(text)
}

/// A text in quotes. What an eye cannot see is written as an escape.
pub(super) fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_invisible(c) => out.push_str(&c.escape_unicode().to_string()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Characters without a glyph, and those that turn the direction of what follows.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
