//! The items of a file: which block begins where, and how to go on behind one that cannot be read.

use nom::Err;

use super::block::mistake;
use super::cursor::{Cursor, Mistake, Parsed, commas, name, path, symbol};
use super::expr::{OPERATORS, whole};
use super::{limit, link, policy, rule};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::syntax::ast::{Apply, Item, Let, Name};
use crate::syntax::lexer::{Kind, Symbol};

/// The words that items begin with.
pub(super) const ITEMS: &[&str] = &["policy", "list", "table", "let", "rule", "link", "series", "limit"];

/// All items of the file that can be read.
pub(super) fn items(mut i: Cursor<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    while !i.ended() {
        match item(i) {
            Ok((rest, item)) => {
                items.extend(item);
                i = rest;
            }
            Err(error) => i = recover(i, error),
        }
    }
    items
}

/// One item; nothing where it was read but lacks what the tree needs.
fn item(i: Cursor<'_>) -> Parsed<'_, Option<Item>> {
    let word = known_word(i)?;
    match word {
        "policy" => policy::policy(i).map(|(i, x)| (i, Some(Item::Policy(x)))),
        "list" => policy::list(i).map(|(i, x)| (i, Some(Item::List(x)))),
        "table" => policy::table(i).map(|(i, x)| (i, Some(Item::Table(x)))),
        "let" => named_expression(i).map(|(i, x)| (i, Some(Item::Let(x)))),
        "link" => link::link(i).map(|(i, x)| (i, Some(Item::Link(x)))),
        "series" => link::series(i).map(|(i, x)| (i, x.map(Item::Series))),
        "limit" => limit::limit(i).map(|(i, x)| (i, x.map(Item::Limit))),
        _ if i.word_at(2) == "applies" => apply(i).map(|(i, x)| (i, Some(Item::Apply(x)))),
        _ => rule::rule(i).map(|(i, x)| (i, Some(Item::Rule(x)))),
    }
}

/// The word the item begins with; a misspelt one is reported and taken for what it resembles.
fn known_word(i: Cursor<'_>) -> Result<&'static str, Err<Mistake>> {
    let word = i.word();
    if let Some(known) = ITEMS.iter().find(|w| **w == word) {
        return Ok(known);
    }
    let all = ITEMS.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
    if i.is(Symbol::CloseBrace) {
        let d =
            Diagnostic::new(Code::UNEXPECTED_TOKEN, i.span(), "this `}` closes nothing").label("no block is open here");
        return Err(i.fail(d.help("remove it")));
    }
    let operator = nearest(word, OPERATORS.iter().copied()).filter(|_| !word.is_empty());
    if i.at > 0 && !i.token().first {
        return Err(i.left_over("the end of the line or an operator", OPERATORS));
    }
    let d = Diagnostic::new(Code::UNKNOWN_ITEM, i.span(), format!("no block begins with {}", i.describe()))
        .label("expected the start of a block");
    match nearest(word, ITEMS.iter().copied()).filter(|_| i.nth(1).kind == Kind::Word) {
        Some(near) => {
            i.report(d.help(format!("did you mean `{near}`?")).fix(i.span(), near));
            Ok(ITEMS.iter().find(|w| **w == near).copied().unwrap_or("rule"))
        }
        None => Err(i.fail(match operator {
            Some(near) => d.help(format!("did you mean `{near}`?")).fix(i.span(), near),
            None => d.help(format!("blocks begin with {all}")),
        })),
    }
}

/// Reports why the item at `from` could not be read, and finds the next one: outside of braces or at the left margin.
fn recover<'a>(from: Cursor<'a>, error: Err<Mistake>) -> Cursor<'a> {
    let Some(mistake) = mistake(error) else { return from.skip(1) };
    if from.nth(1).kind == Kind::Word && ITEMS.contains(&from.word()) {
        from.broken(&Name { text: from.word_at(1).to_string(), span: from.span_of(from.nth(1)) });
    }
    let reached = mistake.at;
    from.report_mistake(mistake);
    let mut depth = 0usize;
    let mut i = from;
    while !i.ended() {
        let token = i.token();
        let word = i.word();
        if i.at > from.at && i.at >= reached && token.first && ITEMS.contains(&word) {
            // `let` is a section as well, so that inside braces it says nothing about where the next item begins.
            if depth == 0 || (word != "let" && i.nth(1).kind == Kind::Word && i.column(token) == 0) {
                return i;
            }
        }
        match token.kind {
            Kind::Symbol(Symbol::OpenBrace) => depth += 1,
            Kind::Symbol(Symbol::CloseBrace) => depth = depth.saturating_sub(1),
            _ => {}
        }
        i = i.skip(1);
    }
    i
}

/// `let name = …`, at the top or within a rule.
pub(super) fn named_expression(start: Cursor<'_>) -> Parsed<'_, Let> {
    let (i, name) = name(start.skip(1))?;
    let read = symbol(Symbol::Equal)(i).and_then(|(i, _)| whole(i));
    match read {
        Ok((i, value)) => Ok((i, Let { name, value, span: i.since(start) })),
        Err(error) => {
            i.broken(&name);
            Err(error)
        }
    }
}

fn apply(start: Cursor<'_>) -> Parsed<'_, Apply> {
    let (i, new) = name(start.skip(1))?;
    let (i, definition) = name(i.skip(1))?;
    if i.word() != "enforces" {
        return Err(i.expected_word(&["enforces"]));
    }
    let (mut i, enforces) = commas(path)(i.skip(1))?;
    let (mut severity, mut mode) = (None, None);
    if i.word() == "severity" {
        let (rest, word) = name(i.skip(1))?;
        (i, severity) = (rest, Some(word));
    }
    if i.word() == "mode" {
        let (rest, word) = name(i.skip(1))?;
        (i, mode) = (rest, Some(word));
    }
    Ok((i, Apply { name: new, definition, enforces, severity, mode, span: i.since(start) }))
}
