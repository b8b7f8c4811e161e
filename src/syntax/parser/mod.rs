//! Tokens to syntax tree, with recovery: a mistake costs its section or entry, and the rest of the file is still read, so
//! that one run reports all mistakes.

mod expr;
mod input;
mod item;
mod rule;
mod test;

use std::cell::{Cell, RefCell};

use input::{Context, Failure, Tokens, explain};
pub use input::{NESTING_MAX, OPERATORS_MAX};
use nom::Input;

use super::ast::File;
use super::lexer::lex;
use super::token::Tok;
use crate::diagnostic::{Code, Diagnostic, sort};
use crate::source::{SourceId, Span};

/// Most mistakes reported of one file.
pub const MISTAKES_MAX: usize = 100;

/// Words that begin a block of a file.
const ITEMS: &[&str] = &["policy", "list", "table", "let", "rule", "link", "series", "limit"];

/// Reads a rule file. The tree holds what could be understood; the diagnostics say what could not, sorted by place.
pub fn parse(source: SourceId, text: &str) -> (File, Vec<Diagnostic>) {
    let lexed = lex(source, text);
    let cx = Context { diagnostics: RefCell::new(lexed.diagnostics), depth: Cell::new(0), operators: Cell::new(0) };
    let mut i = Tokens { rest: &lexed.tokens, last: Span::new(source, 0, 0), cx: &cx };
    let mut items = Vec::new();
    while !i.is_end() {
        match item::item(i) {
            Ok((rest, item)) => {
                items.extend(item);
                i = rest;
            }
            Err(nom::Err::Error(f) | nom::Err::Failure(f)) => {
                report(i, &f, ITEMS);
                i = next_item(i.take_from(reached(i, &f).max(1)));
            }
            Err(nom::Err::Incomplete(_)) => break,
        }
    }
    let mut diagnostics = cx.diagnostics.into_inner();
    sort(&mut diagnostics);
    if diagnostics.len() > MISTAKES_MAX {
        let left = diagnostics.len() - MISTAKES_MAX;
        diagnostics.truncate(MISTAKES_MAX);
        let at = diagnostics.last().map_or_else(Span::default, |d| d.primary.span);
        diagnostics.push(
            Diagnostic::new(Code::TOO_MANY_MISTAKES, at, format!("{left} more mistakes are not shown"))
                .help("mend these first"),
        );
    }
    (File { items, comments: lexed.comments }, diagnostics)
}

/// How many tokens lie before the place of a failure.
fn reached(i: Tokens<'_>, f: &Failure<'_>) -> usize {
    i.rest.len().saturating_sub(f.at.len())
}

fn report(i: Tokens<'_>, f: &Failure<'_>, known: &[&str]) {
    let last = i.take_from(reached(i, f)).last;
    if let Some(d) = explain(f, last, known) {
        i.report(d);
    }
}

/// Skips to the next word that begins a block at the margin.
fn next_item(i: Tokens<'_>) -> Tokens<'_> {
    let found = i.position(|t| {
        t.tok == Tok::End || (t.at_margin && matches!(&t.tok, Tok::Name(n) if ITEMS.contains(&n.as_str())))
    });
    i.take_from(found.unwrap_or(i.rest.len()))
}

/// Reads the entries of a block up to its closing brace; `i` stands behind the opening one. A wrong entry is reported and
/// skipped. Returns the place behind the block.
fn block<'a>(
    mut i: Tokens<'a>,
    open: Span,
    starts: &[&str],
    mut entry: impl FnMut(Tokens<'a>) -> input::Parsed<'a, ()>,
) -> Tokens<'a> {
    loop {
        if i.is_symbol("}") {
            return i.take_from(1);
        }
        let runs_out =
            i.first().is_none_or(|t| t.at_margin && matches!(&t.tok, Tok::Name(n) if ITEMS.contains(&n.as_str())));
        if i.is_end() || runs_out {
            let d = Diagnostic::new(Code::UNCLOSED_BLOCK, open, "this block has no closing `}`")
                .label("opened here")
                .also(i.here(), "expected `}` before this")
                .help("close the block with `}` on a line of its own");
            i.report(d);
            return i;
        }
        match entry(i) {
            Ok((rest, ())) if rest.rest.len() < i.rest.len() => i = rest,
            Ok(_) => i = skip(i.take_from(1), starts),
            Err(nom::Err::Error(f) | nom::Err::Failure(f)) => {
                report(i, &f, starts);
                // What the entry opened before it failed is still open.
                let consumed = i.rest.iter().take(reached(i, &f));
                let depth = consumed.fold(0i32, |d, t| match t.tok {
                    Tok::Symbol("{") => d + 1,
                    Tok::Symbol("}") => d - 1,
                    _ => d,
                });
                i = skip_from(i.take_from(reached(i, &f)), depth.max(0), starts, f.at.len() == i.rest.len());
            }
            Err(nom::Err::Incomplete(_)) => return i,
        }
    }
}

fn skip<'a>(i: Tokens<'a>, starts: &[&str]) -> Tokens<'a> {
    skip_from(i, 0, starts, false)
}

/// Skips to the next entry of a block: a known word that begins a line outside inner braces, or the closing brace.
fn skip_from<'a>(i: Tokens<'a>, mut depth: i32, starts: &[&str], at_entry: bool) -> Tokens<'a> {
    let mut n = 0;
    for (at, t) in i.rest.iter().enumerate() {
        n = at;
        match &t.tok {
            Tok::End => break,
            Tok::Symbol("{") => depth += 1,
            Tok::Symbol("}") if depth <= 0 => break,
            Tok::Symbol("}") => depth -= 1,
            Tok::Name(w) if t.at_margin && ITEMS.contains(&w.as_str()) => break,
            Tok::Name(w) if depth <= 0 && t.starts_line && !(at == 0 && at_entry) && starts.contains(&w.as_str()) => {
                break;
            }
            _ => {}
        }
    }
    i.take_from(n)
}
