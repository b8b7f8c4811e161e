//! Tests within rules: what is given, what is expected.

use nom::multi::separated_list0;
use nom::{Input, Parser};

use super::block;
use super::expr::{expr, path};
use super::input::{Parsed, Tokens, after, count, duration, expected, name, symbol, text, word};
use super::item::unknown_entry;
use crate::syntax::ast::{At, Expect, ExpectWhat, Expr, Given, GivenWhat, Path, Test};
use crate::syntax::token::Tok;

/// `test "…" { given … expect … }`
pub(super) fn test(i: Tokens<'_>) -> Parsed<'_, Test> {
    let (i, start) = word("test")(i)?;
    let (i, test_name) = text("what the test shows, in quotes")(i)?;
    let (i, open) = symbol("{")(i)?;
    let (mut givens, mut expects) = (Vec::new(), Vec::new());
    let starts = ["given", "expect"];
    let i = block(i, open, &starts, |i| {
        if i.is_word("given") {
            let (rest, g) = given(i)?;
            givens.push(g);
            return Ok((rest, ()));
        }
        if i.is_word("expect") {
            let (rest, e) = expect(i)?;
            expects.push(e);
            return Ok((rest, ()));
        }
        unknown_entry(i, "test", &starts)
    });
    Ok((i, Test { name: test_name, given: givens, expect: expects, span: start.to(i.last) }))
}

fn fields(i: Tokens<'_>) -> Parsed<'_, Vec<(Path, Expr)>> {
    if !i.is_symbol("{") {
        return Ok((i, Vec::new()));
    }
    let mut i = i.take_from(1);
    let mut all = Vec::new();
    while !i.is_symbol("}") {
        let (rest, field) = path(i)?;
        let (rest, _) = symbol(":")(rest)?;
        let (rest, value) = super::expr::sum(rest)?;
        all.push((field, value));
        i = rest;
        if i.is_symbol(",") {
            i = i.take_from(1);
        } else if !i.is_symbol("}") {
            return expected(i, "`,` or `}`");
        }
    }
    Ok((i.take_from(1), all))
}

fn given(i: Tokens<'_>) -> Parsed<'_, Given> {
    let (i, start) = word("given")(i)?;
    let (i, what) = if i.is_word("list") {
        let (i, list) = name("the name of a list")(i.take_from(1))?;
        let (i, _) = symbol("=")(i)?;
        let (i, _) = symbol("[")(i)?;
        let (i, values) = separated_list0(symbol(","), super::expr::sum).parse(i)?;
        let (i, _) = symbol("]")(i)?;
        (i, GivenWhat::List { name: list, values })
    } else if i.is_word("row") {
        let (i, table) = name("the name of a table, or `account`")(i.take_from(1))?;
        let (i, key) = text("the key in quotes, or \"*\" for every key")(i)?;
        let (i, fields) = fields(i)?;
        (i, GivenWhat::Row { table, key, fields })
    } else {
        events(i)?
    };
    Ok((i, Given { what, span: start.to(i.last) }))
}

fn events(i: Tokens<'_>) -> Parsed<'_, GivenWhat> {
    let one = At { value: 1, span: i.here() };
    let number = |i: Tokens<'_>| matches!(i.tok(), Tok::Integer(n) if *n >= 0);
    let (i, accounts) = if number(i) && matches!(i.nth(1), Tok::Name(w) if w == "accounts" || w == "account") {
        let (i, n) = count("how many accounts")(i)?;
        let (i, _) = word("sending")(i.take_from(1))?;
        (i, Some(n))
    } else {
        (i, None)
    };
    let (i, n) = if number(i) { count("how many events")(i)? } else { (i, one) };
    let (i, mut kind) = name("a kind of event, such as `completions`")(i)?;
    // Plural where there are several: `50 completions`.
    if let Some(singular) = kind.text.strip_suffix('s') {
        kind.text = singular.to_string();
    }
    let (i, _) = after(&["each"], |i| Ok((i, ())))(i)?;
    let (i, every) = after(&["every"], duration("the distance of two events, such as `60s`"))(i)?;
    let (i, at) = after(&["at"], duration("when the first happens, such as `10m`"))(i)?;
    let (i, fields) = fields(i)?;
    Ok((i, GivenWhat::Events { accounts, count: n, kind, every, at, fields }))
}

fn expect(i: Tokens<'_>) -> Parsed<'_, Expect> {
    let (i, start) = word("expect")(i)?;
    let (i, what) = if i.is_word("nothing") {
        (i.take_from(1), ExpectWhat::Nothing)
    } else if i.is_word("exempted") {
        (i.take_from(1), ExpectWhat::Exempted)
    } else if i.is_word("violation") {
        let one = At { value: 1, span: i.here() };
        with(i.take_from(1), one)?
    } else if matches!(i.tok(), Tok::Integer(_)) {
        let (i, n) = count("how many violations")(i)?;
        let (i, _) = word("violations")(i)?;
        with(i, n)?
    } else {
        return expected(i, "`nothing`, `exempted`, `violation` or `2 violations`");
    };
    Ok((i, Expect { what, span: start.to(i.last) }))
}

fn with(i: Tokens<'_>, n: At<u64>) -> Parsed<'_, ExpectWhat> {
    let (i, with) = after(&["with"], expr)(i)?;
    Ok((i, ExpectWhat::Violations { count: n, with }))
}
