//! Limits: the sections of a rule, with what a call reserves and settles in the place of a condition.

use nom::Parser;
use nom::sequence::preceded;

use super::block::{Block, many, once};
use super::cursor::{Cursor, Parsed, keep, keyword, name, symbol};
use super::expr::value;
use super::link::lacks;
use super::rule::{blank, section};
use crate::syntax::ast::Limit;
use crate::syntax::lexer::Symbol;

const LIMIT: Block = Block {
    what: "a limit",
    sections: &[
        once("enforces"),
        once("severity"),
        once("confidence"),
        once("mode"),
        once("on"),
        once("per"),
        once("over"),
        once("reserve"),
        once("settle"),
        once("at"),
        many("except"),
        many("action"),
        once("cooldown"),
        once("budget"),
        once("rollout"),
        once("changed"),
        once("because"),
        once("mistaken"),
        many("test"),
    ],
};

/// A limit; nothing where it lacks a section.
pub(super) fn limit(start: Cursor<'_>) -> Parsed<'_, Option<Limit>> {
    let (i, limit_name) = name(start.skip(1))?;
    let (i, open) = symbol(Symbol::OpenBrace)(i)?;
    let mut sections = blank(limit_name, open);
    let (mut reserve, mut settle, mut most) = (None, None, None);
    let before = i.reported();
    let (i, outcome) = LIMIT.read(i, start, open, |i, word| {
        let inside = i.skip(1);
        match word {
            "reserve" => value(inside).map(|(i, v)| (i, keep(&mut reserve, v))),
            "settle" => value(inside).map(|(i, v)| (i, keep(&mut settle, v))),
            "at" => preceded(keyword("most"), value).parse(inside).map(|(i, v)| (i, keep(&mut most, v))),
            _ => section(i, word, &mut sections),
        }
    });
    if outcome.broken || i.reported() > before {
        i.broken(&sections.name);
    }
    let (Some(_), Some(_), Some(settle), Some(most)) = (&sections.on, &sections.over, settle, most) else {
        lacks(i, &LIMIT, &outcome, &sections.name, &["on", "over", "settle", "at"]);
        return Ok((i, None));
    };
    sections.span = i.since(start);
    Ok((i, Some(Limit { sections, reserve, settle, most })))
}
