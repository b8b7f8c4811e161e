//! What rules refer to: policies with their clauses, lists, tables.

use super::block::{Block, many, mixed, once};
use super::cursor::{
    Cursor, Parsed, count, date, dated, enclosed, keep, keyword, name, named, path, phrase, symbol, text,
};
use super::expr::{expr, value};
use crate::syntax::ast::{At, Clause, ColumnRef, List, ListValues, Name, Policy, Table};
use crate::syntax::lexer::{Kind, Symbol};
use nom::Parser;
use nom::sequence::preceded;

const POLICY: Block = Block {
    what: "a policy",
    sections: &[once("title"), once("url"), once("effective"), many("clause"), mixed("permits")],
};

pub(super) fn policy(start: Cursor<'_>) -> Parsed<'_, Policy> {
    let (i, policy_name) = path(start.skip(1))?;
    // Clauses are named behind their policy, so that its whole name stands for them.
    let whole_name = Name { text: policy_name.text(), span: policy_name.span };
    let head = (preceded(keyword("version"), date), symbol(Symbol::OpenBrace)).parse(i);
    let (i, (version, open)) = head.inspect_err(|_| i.broken(&whole_name))?;
    let mut policy =
        Policy { name: policy_name, version, title: None, url: None, effective: None, clauses: Vec::new(), span: open };
    let (i, outcome) = POLICY.read(i, start, open, |i, word| match word {
        "title" => text("a title in quotes")(i.skip(1)).map(|(i, t)| (i, keep(&mut policy.title, t))),
        "url" => text("an address in quotes")(i.skip(1)).map(|(i, t)| (i, keep(&mut policy.url, t))),
        "effective" => {
            let (i, from) = date(i.skip(1))?;
            let (i, until) = dated("until")(i)?;
            Ok((i, keep(&mut policy.effective, (from, until))))
        }
        _ => clause(i, word == "permits").map(|(i, c)| (i, policy.clauses.push(c))),
    });
    if outcome.broken {
        i.broken(&whole_name);
    }
    policy.span = i.since(start);
    Ok((i, policy))
}

fn clause(start: Cursor<'_>, permits: bool) -> Parsed<'_, Clause> {
    let (i, clause_name) = name(start.skip(1))?;
    let (i, at) = super::cursor::after("at", text("the section of the document in quotes"))(i)?;
    let (i, from) = dated("from")(i)?;
    let (i, until) = dated("until")(i)?;
    let (i, says) = text("what the passage says, in quotes")(i)?;
    Ok((i, Clause { permits, name: clause_name, at, from, until, says, span: i.since(start) }))
}

pub(super) fn list(start: Cursor<'_>) -> Parsed<'_, List> {
    let (i, list_name) = name(start.skip(1))?;
    let (i, ty) = preceded(symbol(Symbol::Colon), named("the type of its values, such as `country`")).parse(i)?;
    let (i, values) = if i.is(Symbol::Equal) {
        let (i, _) = symbol(Symbol::OpenBracket)(i.skip(1))?;
        let (i, items) = enclosed(Symbol::CloseBracket, expr)(i)?;
        (i, ListValues::Inline(items))
    } else if i.word() == "from" {
        let (i, path) = text("the path of a file in quotes")(i.skip(1))?;
        let (i, column) = if i.word() == "column" { column(i).map(|(i, c)| (i, Some(c)))? } else { (i, None) };
        let (i, valid) = valid(i)?;
        (i, ListValues::File { path, column, valid })
    } else {
        return Err(i.expected("`= [ … ]` or `from \"…\"`"));
    };
    Ok((i, List { name: list_name, ty, values, span: i.since(start) }))
}

fn column(i: Cursor<'_>) -> Parsed<'_, ColumnRef> {
    let (i, _) = keyword("column")(i)?;
    if let Kind::Text(_) = i.kind() {
        return text("a heading")(i).map(|(i, t)| (i, ColumnRef::Heading(t)));
    }
    let (rest, At { value, span }) = count(i)?;
    match u32::try_from(value) {
        Ok(value) => Ok((rest, ColumnRef::Number(At { value, span }))),
        Err(_) => Err(i.expected("the number of a column")),
    }
}

fn valid(i: Cursor<'_>) -> Parsed<'_, Option<(ColumnRef, ColumnRef)>> {
    if i.word() != "valid" {
        return Ok((i, None));
    }
    let (i, from) = preceded(phrase(&["valid", "from"]), column).parse(i)?;
    let (i, to) = preceded(keyword("to"), column).parse(i)?;
    Ok((i, Some((from, to))))
}

pub(super) fn table(start: Cursor<'_>) -> Parsed<'_, Table> {
    let (i, table_name) = name(start.skip(1))?;
    let (i, key) = preceded(phrase(&["keyed", "by"]), value).parse(i)?;
    let (i, file) = preceded(keyword("from"), text("the path of a file in quotes")).parse(i)?;
    let (i, valid) = valid(i)?;
    let (mut i, _) = symbol(Symbol::OpenBrace)(i)?;
    let mut columns: Vec<(Name, Name)> = Vec::new();
    while !i.is(Symbol::CloseBrace) {
        let (rest, column) = named("a column such as `tier : string`, or `}`")(i)?;
        let (rest, ty) = preceded(symbol(Symbol::Colon), named("the type of the column")).parse(rest)?;
        columns.push((column, ty));
        i = if rest.is(Symbol::Comma) { rest.skip(1) } else { rest };
    }
    let i = i.skip(1);
    Ok((i, Table { name: table_name, key, path: file, valid, columns, span: i.since(start) }))
}
