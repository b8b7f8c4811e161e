//! Expressions, loosest first: `or`, `and`, `not`, tests and comparisons, `or default`, sums, products, single values.
//! `and` mixed with `or` needs parentheses.

use nom::multi::separated_list0;
use nom::{Input, Parser};

use super::input::{
    NESTING_MAX, OPERATORS_MAX, Parsed, Tokens, after, count, duration, expected, name, said, symbol, text, word,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{Arg, ArithmeticOp, Call, CompareOp, Expr, ExprKind, Literal, Memory, Path, TextTest};
use crate::syntax::token::Tok;

/// An expression.
pub(super) fn expr(i: Tokens<'_>) -> Parsed<'_, Expr> {
    nested(i, disjunction)
}

/// Counts the depth, so that hostile nesting ends in a message.
fn nested<'a, T>(i: Tokens<'a>, mut parser: impl FnMut(Tokens<'a>) -> Parsed<'a, T>) -> Parsed<'a, T> {
    let depth = i.cx.depth.get();
    if depth == 0 {
        i.cx.operators.set(0);
    }
    if depth >= NESTING_MAX {
        let d = Diagnostic::new(
            Code::NESTED_TOO_DEEPLY,
            i.here(),
            format!("expressions are nested deeper than {NESTING_MAX} levels"),
        )
        .help("name a part with `let` and use the name");
        return said(i, d);
    }
    i.cx.depth.set(depth + 1);
    let result = parser(i);
    i.cx.depth.set(depth);
    result
}

/// Counts an operator that deepens the tree.
fn operator(i: Tokens<'_>) -> Parsed<'_, ()> {
    let n = i.cx.operators.get() + 1;
    i.cx.operators.set(n);
    if n > OPERATORS_MAX {
        let message = format!("more than {OPERATORS_MAX} operators in one expression");
        let d = Diagnostic::new(Code::NESTED_TOO_DEEPLY, i.here(), message);
        return said(i, d.help("name a part with `let` and use the name"));
    }
    Ok((i, ()))
}

fn disjunction(i: Tokens<'_>) -> Parsed<'_, Expr> {
    let (mut i, first) = conjunction(i)?;
    let mut parts = vec![first];
    while i.is_word("or") && !i.are_words(&["or", "default"]) {
        let or = i.here();
        let (next, part) = conjunction(i.take_from(1))?;
        i = next;
        for side in parts.last().into_iter().chain([&part]) {
            if let ExprKind::And(_) = side.kind {
                let d = Diagnostic::new(Code::MIXED_AND_OR, or, "`and` is mixed with `or`")
                    .also(side.span, "put this into parentheses")
                    .help("write `(a and b) or c`, or `a and (b or c)`");
                i.report(d);
            }
        }
        parts.push(part);
    }
    Ok((i, join(parts, ExprKind::Or)))
}

fn conjunction(i: Tokens<'_>) -> Parsed<'_, Expr> {
    let (mut i, first) = negation(i)?;
    let mut parts = vec![first];
    while i.is_word("and") {
        let (next, part) = negation(i.take_from(1))?;
        i = next;
        parts.push(part);
    }
    Ok((i, join(parts, ExprKind::And)))
}

fn join(mut parts: Vec<Expr>, make: fn(Vec<Expr>) -> ExprKind) -> Expr {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            let span = parts.first().map_or(last.span, |f| f.span.to(last.span));
            parts.push(last);
            Expr { kind: make(parts), span }
        }
        (_, None) => Expr { kind: make(parts), span: Default::default() },
    }
}

fn negation(i: Tokens<'_>) -> Parsed<'_, Expr> {
    if !i.is_word("not") {
        return test(i);
    }
    let start = i.here();
    let (i, inner) = nested(i.take_from(1), negation)?;
    let span = start.to(inner.span);
    Ok((i, Expr { kind: ExprKind::Not(Box::new(inner)), span }))
}

fn comparison_op(tok: &Tok) -> Option<CompareOp> {
    Some(match tok {
        Tok::Symbol("=") => CompareOp::Equal,
        Tok::Symbol("!=") => CompareOp::NotEqual,
        Tok::Symbol("<") => CompareOp::Less,
        Tok::Symbol("<=") => CompareOp::LessEqual,
        Tok::Symbol(">") => CompareOp::Greater,
        Tok::Symbol(">=") => CompareOp::GreaterEqual,
        _ => return None,
    })
}

fn test(i: Tokens<'_>) -> Parsed<'_, Expr> {
    let (i, left) = sum(i)?;
    let start = left.span;
    let operand = Box::new(left);
    if let Some(op) = comparison_op(i.tok()) {
        let (i, right) = sum(i.take_from(1))?;
        if comparison_op(i.tok()).is_some() {
            let d = Diagnostic::new(Code::COMPARISON_CHAIN, i.here(), "a comparison cannot be compared again")
                .help("write `a < b and b < c`; an aggregate with `where` needs a name: `let n = count() where …`");
            return said(i, d);
        }
        let span = start.to(right.span);
        return Ok((i, Expr { kind: ExprKind::Compare(operand, op, Box::new(right)), span }));
    }
    let finish = |i: Tokens<'_>, kind| Expr { kind, span: start.to(i.last) };
    let negated = i.are_words(&["not", "in"]);
    if negated || i.is_word("in") {
        let (i, set) = sum(i.take_from(if negated { 2 } else { 1 }))?;
        return Ok((i, finish(i, ExprKind::In { operand, negated, set: Box::new(set) })));
    }
    if i.is_word("exists") {
        let i = i.take_from(1);
        return Ok((i, finish(i, ExprKind::Exists { operand, negated: false })));
    }
    if i.are_words(&["is", "missing"]) {
        let i = i.take_from(2);
        return Ok((i, finish(i, ExprKind::Exists { operand, negated: true })));
    }
    for (words, ask) in [(&["seen", "before"], 0u8), (&["first", "seen"], 1), (&["new", "for"], 2)] {
        if !i.are_words(words) {
            continue;
        }
        let i = i.take_from(2);
        let (i, key) = match ask {
            2 => sum(i).map(|(i, key)| (i, Some(Box::new(key))))?,
            _ => (i, None),
        };
        let (i, _) = word("within")(i)?;
        let (i, within) = duration("how far back to look, such as `30d`")(i)?;
        let (i, ask) = match (ask, key) {
            (0, _) => {
                let (i, by) = after(&["by", "another"], sum)(i)?;
                (i, Memory::SeenBefore(by.map(Box::new)))
            }
            (_, Some(key)) => (i, Memory::NewFor(key)),
            (_, None) => (i, Memory::FirstSeen),
        };
        return Ok((i, finish(i, ExprKind::Memory { operand, ask, within })));
    }
    if let Some((i, test)) = text_test(i)? {
        let (i, case) = after(&["ignoring", "case"], |i| Ok((i, ())))(i)?;
        return Ok((i, finish(i, ExprKind::TextTest { operand, test, ignoring_case: case.is_some() })));
    }
    Ok((i, *operand))
}

type MaybeTest<'a> = Result<Option<(Tokens<'a>, TextTest)>, nom::Err<super::input::Failure<'a>>>;

fn text_test(i: Tokens<'_>) -> MaybeTest<'_> {
    let phrase = text("a quoted text");
    let found = |(i, t)| Ok(Some((i, t)));
    if i.is_word("contains") {
        return phrase.map(TextTest::Contains).parse(i.take_from(1)).and_then(found);
    }
    if i.are_words(&["starts", "with"]) {
        return phrase.map(TextTest::StartsWith).parse(i.take_from(2)).and_then(found);
    }
    if i.are_words(&["ends", "with"]) {
        return phrase.map(TextTest::EndsWith).parse(i.take_from(2)).and_then(found);
    }
    if i.are_words(&["matches", "regex"]) {
        return text("a regular expression in quotes")
            .map(TextTest::MatchesRegex)
            .parse(i.take_from(2))
            .and_then(found);
    }
    if i.are_words(&["has", "any", "of"]) {
        return sum.map(|e| TextTest::HasAnyOf(Box::new(e))).parse(i.take_from(3)).and_then(found);
    }
    if i.are_words(&["has", "all", "of"]) {
        return sum.map(|e| TextTest::HasAllOf(Box::new(e))).parse(i.take_from(3)).and_then(found);
    }
    for (w, next) in [("matches", "`regex`"), ("has", "`any of` or `all of`"), ("starts", "`with`"), ("ends", "`with`")]
    {
        if i.is_word(w) {
            return expected(i.take_from(1), next).map(Some);
        }
    }
    Ok(None)
}

/// Sums and differences.
pub(super) fn sum(i: Tokens<'_>) -> Parsed<'_, Expr> {
    if i.cx.depth.get() == 0 {
        i.cx.operators.set(0);
    }
    let (mut i, mut left) = product(i)?;
    loop {
        let op = match i.tok() {
            Tok::Symbol("+") => ArithmeticOp::Add,
            Tok::Symbol("-") => ArithmeticOp::Subtract,
            _ => return Ok((i, left)),
        };
        operator(i)?;
        if op == ArithmeticOp::Subtract {
            let (minus, next) = (i.here(), i.take_from(1).here());
            if left.span.end == minus.start || minus.end == next.start {
                let d = Diagnostic::new(
                    Code::SUBTRACTION_WITHOUT_SPACES,
                    minus,
                    "a subtraction needs a space on both sides",
                )
                .help("names may hold hyphens, so write `a - b`")
                .fix(minus, " - ");
                i.report(d);
            }
        }
        let (next, right) = product(i.take_from(1))?;
        i = next;
        let span = left.span.to(right.span);
        left = Expr { kind: ExprKind::Arithmetic(Box::new(left), op, Box::new(right)), span };
    }
}

fn product(i: Tokens<'_>) -> Parsed<'_, Expr> {
    let (mut i, mut left) = defaulted(i)?;
    loop {
        let op = match i.tok() {
            Tok::Symbol("*") => ArithmeticOp::Multiply,
            Tok::Symbol("/") => ArithmeticOp::Divide,
            _ => return Ok((i, left)),
        };
        operator(i)?;
        let (next, right) = defaulted(i.take_from(1))?;
        i = next;
        let span = left.span.to(right.span);
        left = Expr { kind: ExprKind::Arithmetic(Box::new(left), op, Box::new(right)), span };
    }
}

fn defaulted(i: Tokens<'_>) -> Parsed<'_, Expr> {
    let (mut i, mut value) = primary(i)?;
    while i.are_words(&["or", "default"]) {
        operator(i)?;
        let (next, default) = primary(i.take_from(2))?;
        i = next;
        let span = value.span.to(default.span);
        value = Expr { kind: ExprKind::OrDefault(Box::new(value), Box::new(default)), span };
    }
    Ok((i, value))
}

/// Words that can begin no value: a sentence that runs on is told from a value that is missing.
const NO_VALUES: &[&str] = &[
    "and", "or", "in", "is", "has", "where", "within", "contains", "matches", "starts", "ends", "exists", "when",
    "per", "over", "because", "action", "except", "let", "on", "test", "rule", "list", "policy", "link", "every",
    "then", "expect", "given",
];

fn primary(i: Tokens<'_>) -> Parsed<'_, Expr> {
    let Some(token) = i.first() else { return expected(i, "a value") };
    let span = token.span;
    let literal = |l| Ok((i.take_from(1), Expr { kind: ExprKind::Literal(l), span }));
    match &token.tok {
        Tok::Text(t) => literal(Literal::Text(t.clone())),
        Tok::Integer(n) => literal(Literal::Integer(*n)),
        Tok::Decimal(n) => literal(Literal::Decimal(*n)),
        Tok::Percentage(n) => literal(Literal::Percentage(*n)),
        Tok::Money(n) => literal(Literal::Money(*n)),
        Tok::Duration(d) => literal(Literal::Duration(*d)),
        Tok::Date(at) => literal(Literal::Date(*at)),
        Tok::Symbol("-") => {
            let (i, inner) = nested(i.take_from(1), primary)?;
            let span = span.to(inner.span);
            Ok((i, Expr { kind: ExprKind::Negate(Box::new(inner)), span }))
        }
        Tok::Symbol("(") => {
            let (i, inner) = expr(i.take_from(1))?;
            let (i, _) = symbol(")")(i)?;
            Ok((i, Expr { kind: ExprKind::Paren(Box::new(inner)), span: span.to(i.last) }))
        }
        Tok::Symbol("[") => list(i),
        Tok::Name(n) => match n.as_str() {
            "true" => literal(Literal::Bool(true)),
            "false" => literal(Literal::Bool(false)),
            "at" if i.are_words(&["at", "least"]) => at_least(i),
            "during" if i.are_words(&["during", "outage", "of"]) => {
                let (i, series) = name("the name of a series")(i.take_from(3))?;
                let span = span.to(series.span);
                Ok((i, Expr { kind: ExprKind::Outage(series), span }))
            }
            w if NO_VALUES.contains(&w) && !matches!(i.nth(1), Tok::Symbol("(" | ".")) => expected(i, "a value"),
            _ if matches!(i.nth(1), Tok::Symbol("(")) => call(i),
            _ => {
                let (i, path) = path(i)?;
                let span = path.span;
                Ok((i, Expr { kind: ExprKind::Path(path), span }))
            }
        },
        _ => expected(i, "a value"),
    }
}

/// Words joined by dots.
pub(super) fn path(i: Tokens<'_>) -> Parsed<'_, Path> {
    let (mut i, first) = name("a name")(i)?;
    let start = first.span;
    let mut parts = vec![first];
    while i.is_symbol(".") {
        let (next, part) = name("a name behind the dot")(i.take_from(1))?;
        i = next;
        parts.push(part);
    }
    Ok((i, Path { span: start.to(i.last), parts }))
}

/// `["a", "b"]`, a comma may follow the last.
pub(super) fn list(i: Tokens<'_>) -> Parsed<'_, Expr> {
    let (i, open) = symbol("[")(i)?;
    let (i, items) = items(i, "]")?;
    let (i, close) = symbol("]")(i)?;
    Ok((i, Expr { kind: ExprKind::List(items), span: open.to(close) }))
}

fn items<'a>(i: Tokens<'a>, close: &'static str) -> Parsed<'a, Vec<Expr>> {
    if i.is_symbol(close) {
        return Ok((i, Vec::new()));
    }
    let (i, items) = separated_list0(symbol(","), expr).parse(i)?;
    let i = if i.is_symbol(",") { i.take_from(1) } else { i };
    if !i.is_symbol(close) {
        return if items.is_empty() {
            expr(i).map(|(i, e)| (i, vec![e]))
        } else {
            expected(i, format!("`,` or `{close}`"))
        };
    }
    Ok((i, items))
}

fn at_least(i: Tokens<'_>) -> Parsed<'_, Expr> {
    let start = i.here();
    let (i, n) = count("how many, such as `2`")(i.take_from(2))?;
    let (i, _) = word("of")(i)?;
    let (i, _) = symbol("{")(i)?;
    let (i, parts) = items(i, "}")?;
    let (i, close) = symbol("}")(i)?;
    Ok((i, Expr { kind: ExprKind::AtLeast(n, parts), span: start.to(close) }))
}

fn call(i: Tokens<'_>) -> Parsed<'_, Expr> {
    let (i, function) = name("a function")(i)?;
    let start = function.span;
    let (mut i, _) = symbol("(")(i)?;
    let mut args = Vec::new();
    while !i.is_symbol(")") {
        let (next, arg) = argument(i)?;
        args.push(arg);
        i = next;
        if i.is_symbol(",") {
            i = i.take_from(1);
        } else if !i.is_symbol(")") {
            return expected(i, "`,` or `)`");
        }
    }
    let (i, _) = symbol(")")(i)?;
    let (i, filter) = after(&["where"], expr)(i)?;
    let call = Call { name: function, args, filter: filter.map(Box::new) };
    Ok((i, Expr { kind: ExprKind::Call(call), span: start.to(i.last) }))
}

fn argument(i: Tokens<'_>) -> Parsed<'_, Arg> {
    let start = i.here();
    if i.are_words(&["one", "per"]) {
        let (i, key) = sum(i.take_from(2))?;
        let (i, condition) = after(&["if"], expr)(i)?;
        return Ok((i, Arg::OnePer { key, condition, span: start.to(i.last) }));
    }
    if i.is_word("over") && matches!(i.nth(1), Tok::Duration(_)) {
        let (i, d) = duration("a duration")(i.take_from(1))?;
        return Ok((i, Arg::Over(d)));
    }
    if let (Tok::Name(_), Tok::Integer(_) | Tok::Text(_) | Tok::Percentage(_) | Tok::Duration(_)) = (i.tok(), i.nth(1))
    {
        let (i, n) = name("a name")(i)?;
        let (i, value) = primary(i)?;
        return Ok((i, Arg::Named(n, value)));
    }
    expr.map(Arg::Value).parse(i)
}
