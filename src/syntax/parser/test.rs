//! Tests within rules: what is given and what is expected.

use nom::Parser;
use nom::sequence::preceded;

use super::block::{Block, many};
use super::cursor::{Cursor, Parsed, after, count, duration, enclosed, name, named, path_to, symbol, text};
use super::expr::expr;
use crate::syntax::ast::{At, Expect, ExpectWhat, Expr, Given, GivenWhat, Path, Test};
use crate::syntax::lexer::{Kind, Symbol};

const TEST: Block = Block { what: "a test", sections: &[many("given"), many("expect")] };

pub(super) fn test(start: Cursor<'_>) -> Parsed<'_, Test> {
    let (i, title) = text("what the test shows, in quotes")(start.skip(1))?;
    let (i, open) = symbol(Symbol::OpenBrace)(i)?;
    let mut test = Test { name: title, given: Vec::new(), expect: Vec::new(), span: open };
    let (i, _) = TEST.read(i, start, open, |i, word| match word {
        "given" => given(i).map(|(i, g)| (i, test.given.push(g))),
        _ => expect(i).map(|(i, e)| (i, test.expect.push(e))),
    });
    test.span = i.since(start);
    Ok((i, test))
}

fn given(start: Cursor<'_>) -> Parsed<'_, Given> {
    let i = start.skip(1);
    let (i, what) = match i.word() {
        "list" => {
            let (i, list) = name(i.skip(1))?;
            let (i, _) = (symbol(Symbol::Equal), symbol(Symbol::OpenBracket)).parse(i)?;
            let (i, values) = enclosed(Symbol::CloseBracket, expr)(i)?;
            (i, GivenWhat::List { name: list, values })
        }
        "row" => {
            let (i, table) = named("a table")(i.skip(1))?;
            let (i, key) = text("the key in quotes")(i)?;
            let (i, fields) = fields(i)?;
            (i, GivenWhat::Row { table, key, fields })
        }
        _ => events(i)?,
    };
    Ok((i, Given { span: i.since(start), what }))
}

fn events(i: Cursor<'_>) -> Parsed<'_, GivenWhat> {
    let several = matches!(i.kind(), Kind::Integer(_) | Kind::Bad);
    let (i, accounts) = if several && matches!(i.word_at(1), "accounts" | "account") && i.word_at(2) == "sending" {
        count(i).map(|(i, n)| (i.skip(2), Some(n)))?
    } else {
        (i, None)
    };
    let one = At { value: 1, span: accounts.as_ref().map_or(i.span(), |n| n.span).after() };
    let (i, n) = if i.kind() == Kind::Word { (i, one) } else { count(i)? };
    let (i, kind) = named("a kind of event such as `completion`")(i)?;
    let i = if i.word() == "each" { i.skip(1) } else { i };
    let (i, every) = after("every", duration)(i)?;
    let (i, at) = after("at", duration)(i)?;
    let (i, fields) = if i.is(Symbol::OpenBrace) { fields(i)? } else { (i, Vec::new()) };
    Ok((i, GivenWhat::Events { accounts, count: n, kind, every, at, fields }))
}

/// `{ field: value, … }`
fn fields(i: Cursor<'_>) -> Parsed<'_, Vec<(Path, Expr)>> {
    let (i, _) = symbol(Symbol::OpenBrace)(i)?;
    enclosed(Symbol::CloseBrace, |i| {
        let (i, field) = path_to("a field")(i)?;
        let (i, value) = preceded(symbol(Symbol::Colon), expr).parse(i)?;
        Ok((i, (field, value)))
    })(i)
}

fn expect(start: Cursor<'_>) -> Parsed<'_, Expect> {
    let i = start.skip(1);
    let (i, what) = match i.word() {
        "nothing" => (i.skip(1), ExpectWhat::Nothing),
        "exempted" => (i.skip(1), ExpectWhat::Exempted),
        "violation" | "violations" => violations(i.skip(1), At { value: 1, span: start.span().after() })?,
        _ if i.kind() != Kind::Word => {
            let (i, n) = count(i).map_err(|_| i.expected("`nothing`, `violation`, `exempted` or a number"))?;
            if !matches!(i.word(), "violation" | "violations") {
                return Err(i.expected_word(&["violations"]));
            }
            violations(i.skip(1), n)?
        }
        _ => return Err(i.expected_word(&["nothing", "violation", "exempted"])),
    };
    Ok((i, Expect { span: i.since(start), what }))
}

fn violations(i: Cursor<'_>, count: At<u64>) -> Parsed<'_, ExpectWhat> {
    after("with", expr)(i).map(|(i, with)| (i, ExpectWhat::Violations { count, with }))
}
