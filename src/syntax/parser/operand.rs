//! Operands: literals, paths, lists, parentheses, calls with their arguments.

use nom::Parser;
use nom::sequence::preceded;

use super::cursor::{Cursor, Parsed, RESERVED, after, count, duration, enclosed, keyword, name, path, symbol, text};
use super::expr::{arithmetic_op, disjunction, done, sum, test_begins};
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{Arg, Call, Expr, ExprKind, Literal, Name};
use crate::syntax::lexer::{Kind, Symbol};

pub(super) fn primary(start: Cursor<'_>) -> Parsed<'_, Expr> {
    match start.kind() {
        Kind::Symbol(Symbol::OpenParen) => parenthesised(start),
        Kind::Symbol(Symbol::OpenBracket) => list(start),
        Kind::Word => word_operand(start),
        _ => literal(start),
    }
}

fn parenthesised(start: Cursor<'_>) -> Parsed<'_, Expr> {
    let (i, inner) = disjunction(start.skip(1).deeper()?.whole())?;
    let (rest, _) = symbol(Symbol::CloseParen)(i)?;
    done(rest.back_to(start), start, i.height + 1, ExprKind::Paren(Box::new(inner)))
}

fn list(start: Cursor<'_>) -> Parsed<'_, Expr> {
    let (i, items) = exprs(start.skip(1).deeper()?, Symbol::CloseBracket)?;
    done(i.back_to(start), start, i.height + 1, ExprKind::List(items))
}

fn literal(start: Cursor<'_>) -> Parsed<'_, Expr> {
    let literal = match start.kind() {
        Kind::Integer(n) => Literal::Integer(n),
        Kind::Decimal(n) => Literal::Decimal(n),
        Kind::Percentage(n) => Literal::Percentage(n),
        Kind::Money(n) => Literal::Money(n),
        Kind::Duration(d) => Literal::Duration(d),
        Kind::Date(at) => Literal::Date(at),
        Kind::Bad => Literal::Integer(0),
        Kind::Text(_) => {
            let (_, t) = text("a text")(start)?;
            Literal::Text(t.value)
        }
        Kind::Word | Kind::Symbol(_) | Kind::End => return Err(start.expected("a value")),
    };
    done(start.skip(1), start, 1, ExprKind::Literal(literal))
}

/// Expressions up to `close`; the height is that of the highest.
fn exprs(i: Cursor<'_>, close: Symbol) -> Parsed<'_, Vec<Expr>> {
    let highest = std::cell::Cell::new(0);
    let (i, items) = enclosed(close, |i| {
        let (i, e) = disjunction(i)?;
        highest.set(highest.get().max(i.height));
        Ok((i, e))
    })(i)?;
    Ok((Cursor { height: highest.get(), ..i }, items))
}

fn word_operand(start: Cursor<'_>) -> Parsed<'_, Expr> {
    match start.word() {
        "at" if start.word_at(1) == "least" => at_least(start),
        _ if start.begins_section() => Err(start.expected("a value")),
        word if start.is_at(1, Symbol::OpenParen) && !RESERVED.contains(&word) => call(start),
        _ => plain_word(start),
    }
}

fn at_least(start: Cursor<'_>) -> Parsed<'_, Expr> {
    let (i, least) = count(start.skip(2))?;
    let (i, _) = preceded(keyword("of"), symbol(Symbol::OpenBrace)).parse(i)?;
    let (i, items) = exprs(i.deeper()?, Symbol::CloseBrace)?;
    done(i.back_to(start), start, i.height + 1, ExprKind::AtLeast(least, items))
}

fn plain_word(start: Cursor<'_>) -> Parsed<'_, Expr> {
    match start.word() {
        "true" => done(start.skip(1), start, 1, ExprKind::Literal(Literal::Bool(true))),
        "false" => done(start.skip(1), start, 1, ExprKind::Literal(Literal::Bool(false))),
        "during" if start.is_phrase(&["during", "outage", "of"]) => {
            let (i, series) = name(start.skip(3))?;
            done(i, start, 1, ExprKind::Outage(series))
        }
        "not" => {
            let d = Diagnostic::new(Code::UNEXPECTED_TOKEN, start.span(), "expected a value, found `not`")
                .label("expected a value")
                .help("`not` applies to a whole test: `not x in y`, or in parentheses `(not x)`");
            Err(start.fail(d))
        }
        word if RESERVED.contains(&word) => Err(start.expected("a value")),
        _ => {
            let (i, path) = path(start)?;
            done(i, start, 1, ExprKind::Path(path))
        }
    }
}

fn call(start: Cursor<'_>) -> Parsed<'_, Expr> {
    let (i, args) = arguments(start.skip(2).deeper()?)?;
    let name = Name { text: start.word().to_string(), span: start.span() };
    let i = i.back_to(start);
    if i.word() == "where" {
        return filtered(i, start, Call { name, args, filter: None });
    }
    done(i, start, i.height + 1, ExprKind::Call(Call { name, args, filter: None }))
}

/// Arguments and the closing parenthesis; the height is that of the highest.
fn arguments(i: Cursor<'_>) -> Parsed<'_, Vec<Arg>> {
    let highest = std::cell::Cell::new(0);
    let (i, args) = enclosed(Symbol::CloseParen, |i| {
        let (i, arg) = argument(i)?;
        highest.set(highest.get().max(i.height));
        Ok((i, arg))
    })(i)?;
    Ok((Cursor { height: highest.get(), ..i }, args))
}

/// `where …` behind an aggregate.
fn filtered<'a>(i: Cursor<'a>, start: Cursor<'a>, call: Call) -> Parsed<'a, Expr> {
    if start.at != start.whole_at {
        let word = &call.name.text;
        let d = Diagnostic::new(
            Code::UNEXPECTED_TOKEN,
            i.span(),
            format!("`{word}(…) where …` cannot stand inside a larger expression"),
        )
        .label("where would this condition end?")
        .help(format!("name it with `let`: `let matching = {word}(…) where …`, then write `matching` here"));
        return Err(i.fail(d));
    }
    let height = i.height;
    let (i, filter) = disjunction(i.skip(1).deeper()?)?;
    // `count() where x exists + 1`: the condition has ended, and what follows would take the whole aggregate as its left side.
    if arithmetic_op(i).is_some() || test_begins(i) || i.word() == "not" || i.is_phrase(&["or", "default"]) {
        let word = &call.name.text;
        let d = Diagnostic::new(
            Code::UNEXPECTED_TOKEN,
            i.span(),
            format!("nothing follows the condition of `{word}(…) where …`"),
        )
        .label("not here")
        .help(format!("name it with `let`: `let matching = {word}(…) where …`, then write on with `matching`"));
        return Err(i.fail(d));
    }
    let height = height.max(i.height) + 1;
    done(i.back_to(start), start, height, ExprKind::Call(Call { filter: Some(Box::new(filter)), ..call }))
}

fn argument(start: Cursor<'_>) -> Parsed<'_, Arg> {
    if start.is_phrase(&["one", "per"]) {
        return one_per(start);
    }
    if start.word() == "over" && matches!(start.nth(1).kind, Kind::Duration(_)) {
        return duration(start.skip(1)).map(|(i, back)| (Cursor { height: 1, ..i }, Arg::Over(back)));
    }
    if !names_argument(start) {
        return disjunction(start.whole()).map(|(i, value)| (i, Arg::Value(value)));
    }
    let (i, value) = disjunction(start.skip(1).whole())?;
    Ok((i, Arg::Named(Name { text: start.word().to_string(), span: start.span() }, value)))
}

fn one_per(start: Cursor<'_>) -> Parsed<'_, Arg> {
    let (i, key) = sum(start.skip(2))?;
    let height = i.height;
    let (i, condition) = after("if", disjunction)(i)?;
    let i = Cursor { height: height.max(i.height), ..i };
    Ok((i, Arg::OnePer { key, condition, span: i.since(start) }))
}

/// Whether a word stands before a value without an operator between: `v4 24`, `of refused`.
fn names_argument(i: Cursor<'_>) -> bool {
    let word = i.word();
    if word.is_empty()
        || RESERVED.contains(&word)
        || i.is_phrase(&["at", "least"])
        || i.is_phrase(&["during", "outage"])
    {
        return false;
    }
    let next = i.skip(1);
    match next.kind() {
        Kind::Word => !test_begins(next) && matches!(next.word(), "true" | "false") | !RESERVED.contains(&next.word()),
        Kind::Symbol(Symbol::OpenParen) => !i.touches_next(),
        Kind::Symbol(Symbol::OpenBracket) => true,
        Kind::Symbol(_) | Kind::End => false,
        _ => true,
    }
}
