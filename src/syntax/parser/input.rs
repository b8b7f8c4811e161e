//! Tokens as input of nom, and the few parsers that everything else is built from. An error is the place reached furthest
//! and what was expected there.

use std::cell::{Cell, RefCell};

use nom::{IResult, Input, Needed};

use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::source::Span;
use crate::syntax::ast::{At, Name, Text};
use crate::syntax::token::{Tok, Token};
use crate::time::Duration;

/// Deepest nesting of expressions.
pub const NESTING_MAX: u32 = 32;
/// Most operators of arithmetic and `or default` in one expression: each of them deepens the tree by one.
pub const OPERATORS_MAX: u32 = 128;

/// What parsers share.
pub(super) struct Context {
    pub(super) diagnostics: RefCell<Vec<Diagnostic>>,
    pub(super) depth: Cell<u32>,
    pub(super) operators: Cell<u32>,
}

/// The tokens that are left.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'a> {
    pub(super) rest: &'a [Token],
    pub(super) last: Span,
    pub(super) cx: &'a Context,
}

/// Why a parser did not succeed.
#[derive(Debug)]
pub(super) struct Failure<'a> {
    pub(super) at: &'a [Token],
    pub(super) expected: String,
    /// A diagnostic that says it better than "expected …".
    pub(super) said: Option<Box<Diagnostic>>,
}

pub(super) type Parsed<'a, T> = IResult<Tokens<'a>, T, Failure<'a>>;

impl<'a> nom::error::ParseError<Tokens<'a>> for Failure<'a> {
    fn from_error_kind(input: Tokens<'a>, _: nom::error::ErrorKind) -> Self {
        Failure { at: input.rest, expected: String::new(), said: None }
    }

    fn append(_: Tokens<'a>, _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }

    /// Of two ways that failed, the one that came further tells more; as far, both were expected.
    fn or(self, other: Self) -> Self {
        match self.at.len().cmp(&other.at.len()) {
            std::cmp::Ordering::Less => self,
            std::cmp::Ordering::Greater => other,
            std::cmp::Ordering::Equal if self.said.is_some() || other.expected.is_empty() => self,
            std::cmp::Ordering::Equal if other.said.is_some() || self.expected.is_empty() => other,
            std::cmp::Ordering::Equal => {
                Failure { expected: format!("{} or {}", self.expected, other.expected), ..self }
            }
        }
    }
}

impl<'a> Input for Tokens<'a> {
    type Item = &'a Token;
    type Iter = std::slice::Iter<'a, Token>;
    type IterIndices = std::iter::Enumerate<Self::Iter>;

    fn input_len(&self) -> usize {
        self.rest.len()
    }

    fn take(&self, index: usize) -> Self {
        Tokens { rest: self.rest.get(..index).unwrap_or(self.rest), ..*self }
    }

    fn take_from(&self, index: usize) -> Self {
        let last = index.checked_sub(1).and_then(|i| self.rest.get(i)).map_or(self.last, |t| t.span);
        Tokens { rest: self.rest.get(index..).unwrap_or(&[]), last, cx: self.cx }
    }

    fn take_split(&self, index: usize) -> (Self, Self) {
        (self.take_from(index), self.take(index))
    }

    fn position<P: Fn(Self::Item) -> bool>(&self, predicate: P) -> Option<usize> {
        self.rest.iter().position(predicate)
    }

    fn iter_elements(&self) -> Self::Iter {
        self.rest.iter()
    }

    fn iter_indices(&self) -> Self::IterIndices {
        self.rest.iter().enumerate()
    }

    fn slice_index(&self, count: usize) -> Result<usize, Needed> {
        if count <= self.rest.len() { Ok(count) } else { Err(Needed::new(count - self.rest.len())) }
    }
}

impl<'a> Tokens<'a> {
    pub(super) fn first(&self) -> Option<&'a Token> {
        self.rest.first()
    }

    pub(super) fn tok(&self) -> &'a Tok {
        self.rest.first().map_or(&Tok::End, |t| &t.tok)
    }

    pub(super) fn nth(&self, n: usize) -> &'a Tok {
        self.rest.get(n).map_or(&Tok::End, |t| &t.tok)
    }

    /// Where the next token stands.
    pub(super) fn here(&self) -> Span {
        self.rest.first().map_or(self.last.after(), |t| t.span)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.tok(), Tok::Name(n) if n == word)
    }

    pub(super) fn are_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, w)| matches!(self.nth(i), Tok::Name(n) if n == w))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.tok(), Tok::Symbol(s) if *s == symbol)
    }

    pub(super) fn is_end(&self) -> bool {
        matches!(self.tok(), Tok::End)
    }

    pub(super) fn report(&self, d: Diagnostic) {
        self.cx.diagnostics.borrow_mut().push(d);
    }
}

/// "expected …, found …" at the next token.
pub(super) fn expected<'a, T>(i: Tokens<'a>, what: impl Into<String>) -> Parsed<'a, T> {
    Err(nom::Err::Error(Failure { at: i.rest, expected: what.into(), said: None }))
}

/// A mistake with its own words.
pub(super) fn said<'a, T>(i: Tokens<'a>, d: Diagnostic) -> Parsed<'a, T> {
    Err(nom::Err::Failure(Failure { at: i.rest, expected: String::new(), said: Some(Box::new(d)) }))
}

/// The diagnostic of a failure; none where a broken token was reported already.
pub(super) fn explain(f: &Failure<'_>, last: Span, known: &[&str]) -> Option<Diagnostic> {
    if let Some(d) = &f.said {
        return Some((**d).clone());
    }
    let (tok, span) = f.at.first().map_or((&Tok::End, last.after()), |t| (&t.tok, t.span));
    if *tok == Tok::Broken {
        return None;
    }
    let what = if f.expected.is_empty() { "something else" } else { &f.expected };
    let mut d = Diagnostic::new(Code::UNEXPECTED_TOKEN, span, format!("expected {what}, found {tok}"))
        .label(format!("expected {what}"));
    if let Tok::Name(n) = tok {
        let quoted = f.expected.split('`').skip(1).step_by(2);
        if let Some(near) = nearest(n, quoted.chain(known.iter().copied())) {
            d = d.help(format!("did you mean `{near}`?")).fix(span, near);
        }
    }
    if let Tok::Symbol("==") = tok {
        d = d.help("equality is written with one `=`").fix(span, "=");
    }
    Some(d)
}

pub(super) fn word<'a>(w: &'static str) -> impl FnMut(Tokens<'a>) -> Parsed<'a, Span> {
    move |i| if i.is_word(w) { Ok((i.take_from(1), i.here())) } else { expected(i, format!("`{w}`")) }
}

/// Several words in a row.
pub(super) fn words<'a>(ws: &'static [&'static str]) -> impl FnMut(Tokens<'a>) -> Parsed<'a, Span> {
    move |mut i| {
        let start = i.here();
        for w in ws {
            (i, _) = word(w)(i)?;
        }
        Ok((i, start.to(i.last)))
    }
}

pub(super) fn symbol<'a>(s: &'static str) -> impl FnMut(Tokens<'a>) -> Parsed<'a, Span> {
    move |i| if i.is_symbol(s) { Ok((i.take_from(1), i.here())) } else { expected(i, format!("`{s}`")) }
}

pub(super) fn name<'a>(what: &'static str) -> impl FnMut(Tokens<'a>) -> Parsed<'a, Name> {
    move |i| match i.tok() {
        Tok::Name(n) => Ok((i.take_from(1), Name { text: n.clone(), span: i.here() })),
        _ => expected(i, what),
    }
}

pub(super) fn text<'a>(what: &'static str) -> impl FnMut(Tokens<'a>) -> Parsed<'a, Text> {
    move |i| match i.tok() {
        Tok::Text(t) => Ok((i.take_from(1), Text { value: t.clone(), span: i.here() })),
        _ => expected(i, what),
    }
}

pub(super) fn duration<'a>(what: &'static str) -> impl FnMut(Tokens<'a>) -> Parsed<'a, At<Duration>> {
    move |i| match i.tok() {
        Tok::Duration(d) => Ok((i.take_from(1), At { value: *d, span: i.here() })),
        Tok::Integer(_) => {
            let d = Diagnostic::new(
                Code::UNEXPECTED_TOKEN,
                i.here(),
                format!("expected {what}, found a number without a unit"),
            )
            .help("add the unit: `30s`, `15m`, `24h`, `7d`");
            said(i, d)
        }
        _ => expected(i, what),
    }
}

pub(super) fn count<'a>(what: &'static str) -> impl FnMut(Tokens<'a>) -> Parsed<'a, At<u64>> {
    move |i| match i.tok() {
        Tok::Integer(n) if *n >= 0 => Ok((i.take_from(1), At { value: n.unsigned_abs(), span: i.here() })),
        _ => expected(i, what),
    }
}

pub(super) fn date<'a>(i: Tokens<'a>) -> Parsed<'a, crate::syntax::ast::Date> {
    match i.tok() {
        Tok::Date(at) => Ok((i.take_from(1), crate::syntax::ast::Date { at: *at, span: i.here() })),
        _ => expected(i, "a date such as `2026-01-31`"),
    }
}

/// Runs a parser if the next words are these; the words are consumed.
pub(super) fn after<'a, T>(
    ws: &'static [&'static str],
    mut parser: impl FnMut(Tokens<'a>) -> Parsed<'a, T>,
) -> impl FnMut(Tokens<'a>) -> Parsed<'a, Option<T>> {
    move |i| {
        if !i.are_words(ws) {
            return Ok((i, None));
        }
        let (i, value) = parser(i.take_from(ws.len()))?;
        Ok((i, Some(value)))
    }
}
