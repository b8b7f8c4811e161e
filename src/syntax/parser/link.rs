//! What spans accounts: links, reference series.

use nom::Parser;
use nom::sequence::preceded;

use super::block::{Block, Outcome, many, once};
use super::cursor::{
    Cursor, Parsed, commas, count, duration, keep, keyword, name, path, path_to, percentage, phrase, symbol,
};
use super::expr::{value, whole};
use super::rule::{on, times_word};
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{Family, Link, Name, Series};
use crate::syntax::lexer::Symbol;

const LINK: Block = Block { what: "a link", sections: &[many("tied"), once("needs")] };

pub(super) fn link(start: Cursor<'_>) -> Parsed<'_, Link> {
    let (i, link_name) = name(start.skip(1))?;
    let (i, of) = preceded(keyword("of"), path).parse(i)?;
    let (i, open) = symbol(Symbol::OpenBrace)(i)?;
    let mut link = Link { name: link_name, of, families: Vec::new(), needs: None, span: open };
    let (i, outcome) = LINK.read(i, start, open, |i, word| match word {
        "tied" => family(i).map(|(i, f)| (i, link.families.push(f))),
        _ => {
            let (i, n) = preceded(phrase(&["at", "least"]), count).parse(i.skip(1))?;
            let (i, _) = phrase(&["of", "these"])(i)?;
            Ok((i, keep(&mut link.needs, n)))
        }
    });
    if outcome.broken {
        i.broken(&link.name);
    }
    link.span = i.since(start);
    Ok((i, link))
}

fn family(start: Cursor<'_>) -> Parsed<'_, Family> {
    let (i, by) = preceded(keyword("by"), value).parse(start.skip(1))?;
    let (mut i, within) = preceded(keyword("within"), duration).parse(i)?;
    let mut family = Family { by, within, used: None, ignoring: Vec::new(), cap: None, span: start.span() };
    loop {
        let comma = i.is(Symbol::Comma);
        let inside = if comma { i.skip(1) } else { i };
        i = match inside.word() {
            "used" if family.used.is_none() => {
                let (rest, n) = preceded(phrase(&["used", "at", "least"]), count).parse(inside)?;
                keep(&mut family.used, n);
                times_word(rest)?.0
            }
            "ignoring" => {
                let (mut rest, _) = phrase(&["ignoring", "values"])(inside)?;
                rest = ignored(rest, &mut family)?.0;
                while rest.word() == "or" {
                    rest = ignored(rest.skip(1), &mut family)?.0;
                }
                rest
            }
            _ if comma => return Err(inside.expected_word(&["used", "ignoring"])),
            _ => break,
        };
    }
    family.span = i.since(start);
    Ok((i, family))
}

fn ignored<'a>(i: Cursor<'a>, family: &mut Family) -> Parsed<'a, ()> {
    match i.word() {
        "in" => path_to("a list")(i.skip(1)).map(|(i, list)| (i, family.ignoring.push(list))),
        "shared" => {
            let (i, n) = preceded(phrase(&["shared", "by", "more", "than"]), count).parse(i)?;
            let (i, _) = keyword("accounts")(i)?;
            Ok((i, keep(&mut family.cap, n)))
        }
        _ => Err(i.expected_word(&["in", "shared"])),
    }
}

/// Reports what a block lacks, unless the section stood there and could not be read.
pub(super) fn lacks(i: Cursor<'_>, block: &Block, outcome: &Outcome, name: &Name, needed: &[&str]) {
    i.broken(name);
    let missing: Vec<&str> = needed.iter().filter(|word| !outcome.has(block, word)).copied().collect();
    if missing.is_empty() {
        return;
    }
    let shown = missing
        .iter()
        .map(|word| format!("`{}`", if *word == "at" { "at most" } else { word }))
        .collect::<Vec<_>>()
        .join(", ");
    let noun = if missing.len() == 1 { "section" } else { "sections" };
    let d = Diagnostic::new(Code::MISSING_SECTION, name.span, format!("{} needs the {noun} {shown}", block.what));
    i.report(d.label("missing here").help(format!("add {shown}; its sections are {}", block.listed())));
}

const SERIES: Block =
    Block { what: "a series", sections: &[once("on"), once("per"), once("every"), once("value"), once("outage")] };

/// A series; nothing where it lacks a section.
pub(super) fn series(start: Cursor<'_>) -> Parsed<'_, Option<Series>> {
    let (i, series_name) = name(start.skip(1))?;
    let (i, open) = symbol(Symbol::OpenBrace)(i)?;
    let (mut watched, mut per, mut every, mut counted, mut outage) = (None, None, None, None, None);
    let (i, outcome) = SERIES.read(i, start, open, |i, word| match word {
        "on" => on(i).map(|(i, v)| (i, keep(&mut watched, v))),
        "per" => commas(value)(i.skip(1)).map(|(i, v)| (i, keep(&mut per, v))),
        "every" => duration(i.skip(1)).map(|(i, v)| (i, keep(&mut every, v))),
        "value" => whole(i.skip(1)).map(|(i, v)| (i, keep(&mut counted, v))),
        _ => {
            let (i, v) = preceded(keyword("below"), percentage).parse(i.skip(1))?;
            let (i, _) = phrase(&["of", "its", "median"])(i)?;
            Ok((i, keep(&mut outage, v)))
        }
    });
    if outcome.broken {
        i.broken(&series_name);
    }
    let (Some(on), Some(every), Some(value)) = (watched, every, counted) else {
        lacks(i, &SERIES, &outcome, &series_name, &["on", "every", "value"]);
        return Ok((i, None));
    };
    let per = per.unwrap_or_default();
    Ok((i, Some(Series { name: series_name, on, per, every, value, outage, span: i.since(start) })))
}
