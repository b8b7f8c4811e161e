//! Blocks in braces: which section begins where, how to go on behind a mistake, and whether the sections stand in order.

use nom::Err;

use super::cursor::{Cursor, Mistake, Parsed};
use super::expr::OPERATORS;
use super::item::ITEMS;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::source::Span;
use crate::syntax::lexer::{Kind, Symbol, Token};

/// A section that a block may hold.
pub(super) struct Section {
    /// The word it begins with.
    pub(super) word: &'static str,
    /// Whether it may stand more than once.
    pub(super) repeats: bool,
    /// Whether it may stand between sections of the kind before it.
    pub(super) mixes: bool,
}

pub(super) const fn once(word: &'static str) -> Section {
    Section { word, repeats: false, mixes: false }
}

pub(super) const fn many(word: &'static str) -> Section {
    Section { word, repeats: true, mixes: false }
}

/// May stand more than once, and in any order with the section before it.
pub(super) const fn mixed(word: &'static str) -> Section {
    Section { word, repeats: true, mixes: true }
}

/// A kind of block.
pub(super) struct Block {
    /// What it is called, with its article.
    pub(super) what: &'static str,
    /// Its sections in their order.
    pub(super) sections: &'static [Section],
}

/// What became of a block.
pub(super) struct Outcome {
    /// Whether anything was reported inside.
    pub(super) broken: bool,
    /// Which sections stood there, readable or not.
    seen: Vec<(usize, Span)>,
}

impl Outcome {
    /// Whether a section stood there.
    pub(super) fn has(&self, block: &Block, word: &str) -> bool {
        self.seen.iter().any(|(n, _)| block.sections.get(*n).is_some_and(|s| s.word == word))
    }
}

impl Block {
    fn position(&self, word: &str) -> Option<usize> {
        self.sections.iter().position(|s| s.word == word)
    }

    fn words(&self) -> impl Iterator<Item = &'static str> {
        self.sections.iter().map(|s| s.word)
    }

    /// Its sections, for messages.
    pub(super) fn listed(&self) -> String {
        quoted(self.words())
    }

    /// Reads from behind the opening brace at `open` to behind the closing one. `head` is the first token of the whole
    /// block; `section` reads one section, given its word (as it should be spelt) and a cursor on it.
    pub(super) fn read<'a>(
        &self,
        start: Cursor<'a>,
        head: Cursor<'a>,
        open: Span,
        mut section: impl FnMut(Cursor<'a>, &'static str) -> Parsed<'a, ()>,
    ) -> (Cursor<'a>, Outcome) {
        let margin = head.margin(head.token());
        let mut i = start;
        let mut out = Outcome { broken: false, seen: Vec::new() };
        loop {
            // A brace further out than the block closes the block around it.
            let outer = i.token().first && i.column(i.token()) < margin;
            if i.is(Symbol::CloseBrace) && !outer {
                i = i.skip(1);
                break;
            }
            if i.ended() || i.is(Symbol::CloseBrace) || self.next_item(i, margin) {
                self.unclosed(i, head, open);
                out.broken = true;
                break;
            }
            let begins = i.token().first
                || i.at == start.at
                || i.previous().is_some_and(|t| t.kind == Kind::Symbol(Symbol::CloseBrace));
            match self.section_at(i, begins) {
                Ok((position, word)) => {
                    if self.position(i.word()).is_none() {
                        out.broken = true;
                    }
                    let result = section(i, word);
                    let end = result.as_ref().map_or(i.skip(1), |(rest, ())| *rest);
                    out.seen.push((position, end.since(i)));
                    match result {
                        Ok((rest, ())) => i = rest,
                        Err(error) => {
                            out.broken = true;
                            i = self.recover(i, error, margin);
                        }
                    }
                }
                Err(error) => {
                    out.broken = true;
                    i = self.recover(i, error, margin);
                }
            }
        }
        self.check_order(i, &mut out);
        (i, out)
    }

    /// A block of the file that begins although this one is not closed.
    fn next_item(&self, i: Cursor<'_>, margin: usize) -> bool {
        let token = i.token();
        let item = token.first && ITEMS.contains(&i.word()) && self.position(i.word()).is_none();
        item && i.nth(1).kind == Kind::Word && i.column(token) <= margin
    }

    fn unclosed(&self, i: Cursor<'_>, head: Cursor<'_>, open: Span) {
        let d = Diagnostic::new(Code::UNCLOSED_BLOCK, open, format!("{} is not closed", this(self.what)))
            .label("opened here");
        let d = match i.kind() {
            Kind::End => d,
            Kind::Symbol(_) => d.also(i.span(), "this closes the block around it"),
            _ => d.also(i.span(), "the next block begins here"),
        };
        let before = i.previous().map_or(open, |t| i.span_of(t)).after();
        let margin = " ".repeat(head.margin(head.token()));
        i.report(d.help("add `}` at its end").fix(before, format!("\n{margin}}}")));
    }

    /// The section that begins at `i`, a misspelt one included, which is reported here.
    fn section_at(&self, i: Cursor<'_>, begins: bool) -> Result<(usize, &'static str), Err<Mistake>> {
        let word = i.word();
        if let Some(known) = self.position(word).and_then(|n| self.sections.get(n).map(|s| (n, s.word))) {
            return Ok(known);
        }
        if word.is_empty() && !begins {
            return Err(i.left_over(&format!("the next section of {}", self.what), OPERATORS));
        }
        if word.is_empty() {
            return Err(i.expected(&format!("a section of {} or `}}`", self.what)));
        }
        if !begins {
            return Err(i.left_over("the next section", OPERATORS));
        }
        let near = nearest(word, self.words().chain(["and", "or"]));
        let d = Diagnostic::new(Code::UNKNOWN_SECTION, i.span(), format!("{} has no section `{word}`", self.what))
            .label("unknown here");
        let d = match near {
            Some(near) => d.help(format!("did you mean `{near}`?")).fix(i.span(), near),
            None if ITEMS.contains(&word) => d.help(format!("`{word}` stands on its own, outside of other blocks")),
            None => d.help(format!("its sections are {}", quoted(self.words()))),
        };
        match near.and_then(|near| self.position(near)).and_then(|n| self.sections.get(n).map(|s| (n, s.word))) {
            Some(known) => {
                i.report(d);
                Ok(known)
            }
            None => Err(i.fail(d)),
        }
    }

    /// Reports why the section at `from` could not be read and finds the place to go on: the next line that begins with a
    /// section, or the end of the block. Braces of the section are skipped as a whole, unless a line no further in than
    /// the section shows that one of them is not closed.
    fn recover<'a>(&self, from: Cursor<'a>, error: Err<Mistake>, margin: usize) -> Cursor<'a> {
        let Some(mistake) = mistake(error) else { return from.skip(1) };
        let reached = mistake.at;
        from.report_mistake(mistake);
        let first = from.token();
        let indent = if first.first { from.column(first) } else { usize::MAX };
        let mut depth = 0usize;
        let mut i = from;
        loop {
            let token = i.token();
            if i.ended() {
                return i;
            }
            let passed = i.at >= reached && i.at > from.at;
            if passed && (self.next_item(i, margin) || self.resumes(i, token, depth, indent)) {
                return i;
            }
            match token.kind {
                Kind::Symbol(Symbol::OpenBrace) => depth += 1,
                Kind::Symbol(Symbol::CloseBrace) if depth == 0 && passed => return i,
                Kind::Symbol(Symbol::CloseBrace) => depth = depth.saturating_sub(1),
                _ => {}
            }
            i = i.skip(1);
        }
    }

    fn resumes(&self, i: Cursor<'_>, token: Token, depth: usize, indent: usize) -> bool {
        let (word, column) = (i.word(), i.column(token));
        let known = self.position(word).is_some() && (depth == 0 || column <= indent);
        // A word in the same column is a section too, if an unknown one.
        let unknown = depth == 0 && column == indent && !word.is_empty() && !OPERATORS.contains(&word);
        token.first && (known || unknown)
    }

    /// Reports repeated sections and those out of order. The largest number of sections that are in order counts as the
    /// order meant, so that one section at the wrong place is one mistake.
    fn check_order(&self, i: Cursor<'_>, out: &mut Outcome) {
        let mut first: Vec<Option<Span>> = vec![None; self.sections.len()];
        let mut kept: Vec<(usize, Span)> = Vec::new();
        for (n, span) in &out.seen {
            let repeats = self.sections.get(*n).is_some_and(|s| s.repeats);
            match first.get(*n).copied().flatten() {
                Some(earlier) if !repeats => {
                    out.broken = true;
                    let word = self.sections.get(*n).map_or("", |s| s.word);
                    let d = Diagnostic::new(
                        Code::REPEATED_SECTION,
                        *span,
                        format!("`{word}` stands twice in {}", this(self.what)),
                    )
                    .label("again here")
                    .also(earlier, "first here")
                    .help("keep one of them");
                    i.report(d);
                }
                _ => {
                    if let Some(slot) = first.get_mut(*n) {
                        slot.get_or_insert(*span);
                    }
                    let mixes = self.sections.get(*n).is_some_and(|s| s.mixes);
                    kept.push((if mixes { n.saturating_sub(1) } else { *n }, *span));
                }
            }
        }
        let in_order = longest_in_order(&kept);
        for (index, (n, span)) in kept.iter().enumerate() {
            if in_order.get(index).copied().unwrap_or(true) {
                continue;
            }
            out.broken = true;
            let word = self.sections.get(*n).map_or("", |s| s.word);
            let next = kept.iter().zip(&in_order).find(|((m, _), ok)| **ok && m > n).map(|(section, _)| *section);
            let last = kept.iter().zip(&in_order).rev().find(|((m, _), ok)| **ok && m < n).map(|(section, _)| *section);
            let name = |n: usize| self.sections.get(n).map_or("", |s| s.word);
            let d =
                Diagnostic::new(Code::SECTION_ORDER, *span, format!("`{word}` stands out of order")).label("not here");
            let d = match (next, last) {
                (Some((m, at)), _) if at.start < span.start => d.also(at, format!("it belongs before `{}`", name(m))),
                (_, Some((m, at))) => d.also(at, format!("it belongs behind `{}`", name(m))),
                _ => d,
            };
            i.report(d.help(format!("the order is {}", quoted(self.words()))));
        }
    }
}

/// Which entries belong to a longest run whose numbers do not fall.
fn longest_in_order(entries: &[(usize, Span)]) -> Vec<bool> {
    // `tails` holds, for each length, the entry that ends such a run with the smallest number; it is sorted by number.
    let mut tails: Vec<(usize, usize)> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(entries.len());
    for (index, (n, _)) in entries.iter().enumerate() {
        let length = tails.partition_point(|(m, _)| m <= n);
        before.push(length.checked_sub(1).and_then(|l| tails.get(l)).map(|(_, index)| *index));
        match tails.get_mut(length) {
            Some(tail) => *tail = (*n, index),
            None => tails.push((*n, index)),
        }
    }
    let mut in_order = vec![false; entries.len()];
    let mut next = tails.last().map(|(_, index)| *index);
    while let Some(index) = next {
        if let Some(slot) = in_order.get_mut(index) {
            *slot = true;
        }
        next = before.get(index).copied().flatten();
    }
    in_order
}

pub(super) fn mistake(error: Err<Mistake>) -> Option<Mistake> {
    match error {
        Err::Error(mistake) | Err::Failure(mistake) => Some(mistake),
        Err::Incomplete(_) => None,
    }
}

fn quoted(words: impl Iterator<Item = &'static str>) -> String {
    words
        .map(|w| {
            format!(
                "`{}`",
                match w {
                    "mistaken" => "mistaken for",
                    "at" => "at most",
                    w => w,
                }
            )
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn this(what: &str) -> String {
    what.split_once(' ').map_or_else(|| what.to_string(), |(_, noun)| format!("this {noun}"))
}
