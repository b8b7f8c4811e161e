//! A place among the tokens, and the smallest parsers: signs, words, names, literals. A cursor is the input type of the
//! nom parsers of stage two; what they report beside their value goes into the shared [`Parsing`].

use std::cell::RefCell;

use nom::error::{ErrorKind, ParseError};
use nom::{Err, IResult};

use super::example;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::source::{SourceId, Span};
use crate::syntax::ast::{At, Date, Name, Path, Text};
use crate::syntax::lexer::{Kind, Lexed, Symbol, Token};
use crate::time::{Duration, Timestamp};

/// What all cursors of one file share.
pub(super) struct Parsing<'a> {
    pub(super) source: SourceId,
    pub(super) text: &'a str,
    pub(super) lexed: Lexed,
    pub(super) found: RefCell<Vec<Diagnostic>>,
    pub(super) broken: RefCell<Vec<Name>>,
}

/// A place among the tokens. Copied freely: going back is keeping the old one.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) parsing: &'a Parsing<'a>,
    /// Index of the next token.
    pub(super) at: usize,
    /// How many brackets, `not`s and minus signs are open around this place.
    pub(super) depth: u32,
    /// Height of the expression that ends here.
    pub(super) height: u32,
    /// The token at which an aggregate may begin that takes a `where` to itself.
    pub(super) whole_at: usize,
}

/// Why a parser gave up: what to tell, and where among the tokens.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) diagnostic: Option<Box<Diagnostic>>,
    pub(super) at: usize,
}

impl<'a> ParseError<Cursor<'a>> for Mistake {
    fn from_error_kind(input: Cursor<'a>, _: ErrorKind) -> Self {
        Mistake { diagnostic: None, at: input.at }
    }

    fn append(_: Cursor<'a>, _: ErrorKind, other: Self) -> Self {
        other
    }
}

pub(super) type Parsed<'a, T> = IResult<Cursor<'a>, T, Mistake>;

/// Words that an operand or a declared name cannot be, because they join or test operands.
pub(super) const RESERVED: &[&str] = &[
    "and", "or", "not", "in", "is", "has", "contains", "exists", "matches", "where", "ignoring", "true", "false", "if",
];

/// Words that begin a section or an item.
const SECTION_WORDS: &[&str] = &[
    "policy",
    "list",
    "table",
    "let",
    "rule",
    "link",
    "series",
    "limit",
    "enforces",
    "severity",
    "confidence",
    "mode",
    "on",
    "per",
    "over",
    "when",
    "except",
    "action",
    "cooldown",
    "budget",
    "rollout",
    "changed",
    "because",
    "mistaken",
    "test",
    "given",
    "expect",
    "first",
    "then",
    "tied",
    "needs",
    "title",
    "url",
    "effective",
    "clause",
    "permits",
    "reserve",
    "settle",
    "every",
    "value",
    "outage",
];

impl<'a> Cursor<'a> {
    pub(super) fn start(parsing: &'a Parsing<'a>) -> Self {
        Cursor { parsing, at: 0, depth: 0, height: 0, whole_at: usize::MAX }
    }

    pub(super) fn nth(self, n: usize) -> Token {
        let tokens = &self.parsing.lexed.tokens;
        let end = self.parsing.text.len() as u32;
        let last = Token { kind: Kind::End, start: end, end, first: true };
        tokens.get(self.at.saturating_add(n)).copied().unwrap_or(last)
    }

    pub(super) fn token(self) -> Token {
        self.nth(0)
    }

    pub(super) fn kind(self) -> Kind {
        self.token().kind
    }

    pub(super) fn ended(self) -> bool {
        self.kind() == Kind::End
    }

    pub(super) fn previous(self) -> Option<Token> {
        self.at.checked_sub(1).and_then(|at| self.parsing.lexed.tokens.get(at)).copied()
    }

    pub(super) fn skip(self, n: usize) -> Self {
        Cursor { at: self.at.saturating_add(n).min(self.parsing.lexed.tokens.len()), ..self }
    }

    pub(super) fn span_of(self, token: Token) -> Span {
        Span::new(self.parsing.source, token.start, token.end)
    }

    pub(super) fn span(self) -> Span {
        self.span_of(self.token())
    }

    /// From the token at `start` to the last token before this place.
    pub(super) fn since(self, start: Cursor<'a>) -> Span {
        let from = start.token().start;
        let to = self.previous().map_or(from, |t| t.end);
        Span::new(self.parsing.source, from, to.max(from))
    }

    pub(super) fn text_of(self, token: Token) -> &'a str {
        self.parsing.text.get(token.start as usize..token.end as usize).unwrap_or("")
    }

    /// The `n`th token from here if it is a word, else nothing.
    pub(super) fn word_at(self, n: usize) -> &'a str {
        let token = self.nth(n);
        if token.kind == Kind::Word { self.text_of(token) } else { "" }
    }

    pub(super) fn word(self) -> &'a str {
        self.word_at(0)
    }

    pub(super) fn is(self, symbol: Symbol) -> bool {
        self.kind() == Kind::Symbol(symbol)
    }

    pub(super) fn is_at(self, n: usize, symbol: Symbol) -> bool {
        self.nth(n).kind == Kind::Symbol(symbol)
    }

    pub(super) fn is_phrase(self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.word_at(n) == *word)
    }

    /// Whether the next two tokens touch.
    pub(super) fn touches_next(self) -> bool {
        self.token().end == self.nth(1).start
    }

    /// Characters between the start of its line and a token that is the first of its line.
    pub(super) fn column(self, token: Token) -> usize {
        let before = self.parsing.text.get(..token.start as usize).unwrap_or("");
        before.len() - before.rfind('\n').map_or(0, |at| at + 1)
    }

    /// Characters of white space before the first word of a token's line.
    pub(super) fn margin(self, token: Token) -> usize {
        let before = self.parsing.text.get(..token.start as usize).unwrap_or("");
        let line = before.get(before.rfind('\n').map_or(0, |at| at + 1)..).unwrap_or("");
        line.len() - line.trim_start().len()
    }

    pub(super) fn report(self, diagnostic: Diagnostic) {
        let mut found = self.parsing.found.borrow_mut();
        // One more than is shown, so that the end of the list can say that there is more.
        if found.len() <= super::MISTAKES_REPORTED_MAX {
            found.push(diagnostic);
        }
    }

    /// How many mistakes were reported so far.
    pub(super) fn reported(self) -> usize {
        self.parsing.found.borrow().len()
    }

    /// Remembers that `name` was begun and has mistakes inside.
    pub(super) fn broken(self, name: &Name) {
        let mut broken = self.parsing.broken.borrow_mut();
        if broken.last() != Some(name) && !name.text.is_empty() {
            broken.push(name.clone());
        }
    }

    /// Reports why a parser gave up, unless something right before was left out and reported already.
    pub(super) fn report_mistake(self, mistake: Mistake) {
        let here = Cursor { at: mistake.at, ..self };
        let from = here.previous().map_or(0, |t| t.end);
        let to = here.token().start;
        let gaps = &self.parsing.lexed.gaps;
        let next = gaps.partition_point(|gap| *gap < from);
        if gaps.get(next).is_some_and(|gap| *gap <= to) {
            return;
        }
        if let Some(d) = mistake.diagnostic {
            self.report(*d);
        }
    }

    pub(super) fn describe(self) -> String {
        let token = self.token();
        match token.kind {
            Kind::End => "the end of the file".to_string(),
            Kind::Text(_) => {
                let text = self.text_of(token);
                if text.chars().count() <= 40 { format!("the text {text}") } else { "a text".to_string() }
            }
            _ => format!("`{}`", self.text_of(token).chars().take(60).collect::<String>()),
        }
    }

    /// Where to point when something is missing: behind the line before, if the next token begins a line.
    pub(super) fn missing_span(self) -> Span {
        match self.previous() {
            Some(previous) if self.token().first => self.span_of(previous).after(),
            _ => self.span(),
        }
    }

    /// Nothing fits here; `what` would.
    pub(super) fn expected(self, what: &str) -> Err<Mistake> {
        let d = Diagnostic::new(
            Code::UNEXPECTED_TOKEN,
            self.missing_span(),
            format!("expected {what}, found {}", self.describe()),
        )
        .label(format!("expected {what}"))
        .help(example::help(what));
        self.fail(self.hinted(d))
    }

    /// What comes before is complete, and `what` would go on; perhaps an operator is misspelt.
    pub(super) fn left_over(self, what: &str, operators: &[&'static str]) -> Err<Mistake> {
        let d =
            Diagnostic::new(Code::UNEXPECTED_TOKEN, self.span(), format!("expected {what}, found {}", self.describe()))
                .label("what comes before is complete");
        self.fail(match nearest(self.word(), operators.iter().copied()).filter(|_| !self.word().is_empty()) {
            Some(near) => d.help(format!("did you mean `{near}`?")).fix(self.span(), near),
            None => self.hinted(d.help(if what.contains("operator") {
                "join conditions with `and` or `or`, values with `+`, `-`, `*` or `/`"
            } else {
                "take it out, or begin a new line with the next section"
            })),
        })
    }

    fn hinted(self, d: Diagnostic) -> Diagnostic {
        let thousands = self.is(Symbol::Comma)
            && self.previous().is_some_and(|t| matches!(t.kind, Kind::Integer(_)) && t.end == self.token().start)
            && matches!(self.nth(1).kind, Kind::Integer(_))
            && self.touches_next();
        if thousands { d.help("thousands are separated with `_`: `1_000`").fix(self.span(), "_") } else { d }
    }

    /// Whether a line begins here that reads like the next section or item. Then whatever was expected is missing: its word
    /// is not taken for a name.
    pub(super) fn begins_section(self) -> bool {
        let next = self.skip(1);
        let content = match next.kind() {
            Kind::Word => !RESERVED.contains(&next.word()) && !super::expr::test_begins(next),
            Kind::Symbol(_) | Kind::End => false,
            _ => true,
        };
        self.token().first && content && !next.token().first && SECTION_WORDS.contains(&self.word())
    }

    /// One of a few words would fit here.
    pub(super) fn expected_word(self, words: &[&str]) -> Err<Mistake> {
        let quoted: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
        let what = match quoted.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => quoted.concat(),
        };
        let near = nearest(self.word(), words.iter().copied()).filter(|_| !self.word().is_empty());
        match (self.expected(&what), near) {
            (Err::Error(mut mistake), Some(near)) => {
                if let Some(d) = mistake.diagnostic.take() {
                    let span = self.span();
                    mistake.diagnostic = Some(Box::new(d.help(format!("did you mean `{near}`?")).fix(span, near)));
                }
                Err::Error(mistake)
            }
            (error, _) => error,
        }
    }

    pub(super) fn fail(self, diagnostic: Diagnostic) -> Err<Mistake> {
        Err::Error(Mistake { diagnostic: Some(Box::new(diagnostic)), at: self.at })
    }
}

/// The sign; gives its place.
pub(super) fn symbol<'a>(symbol: Symbol) -> impl Fn(Cursor<'a>) -> Parsed<'a, Span> {
    move |i| {
        if i.is(symbol) {
            return Ok((i.skip(1), i.span()));
        }
        Err(i.expected(&format!("`{}`", symbol.text())))
    }
}

/// The word; gives its place.
pub(super) fn keyword<'a>(word: &'static str) -> impl Fn(Cursor<'a>) -> Parsed<'a, Span> {
    move |i| if i.word() == word { Ok((i.skip(1), i.span())) } else { Err(i.expected_word(&[word])) }
}

/// The words, one after the other; gives their place.
pub(super) fn phrase<'a>(words: &'static [&'static str]) -> impl Fn(Cursor<'a>) -> Parsed<'a, Span> {
    move |start| {
        let mut i = start;
        for word in words {
            (i, _) = keyword(word)(i)?;
        }
        Ok((i, i.since(start)))
    }
}

/// A name that the author chooses.
pub(super) fn name(i: Cursor<'_>) -> Parsed<'_, Name> {
    named("a name")(i)
}

/// A name; `what` says of what, with its article.
pub(super) fn named<'a>(what: &'static str) -> impl Fn(Cursor<'a>) -> Parsed<'a, Name> {
    move |i| match i.kind() {
        Kind::Word if RESERVED.contains(&i.word()) => {
            let d = Diagnostic::new(
                Code::UNEXPECTED_TOKEN,
                i.span(),
                format!("expected {what}, found `{}`, which is a word of the language", i.word()),
            );
            let own = what == "a name";
            let help = if own { format!("choose another, such as `my-{}`", i.word()) } else { example::help(what) };
            Err(i.fail(d.label(format!("expected {what}")).help(help)))
        }
        Kind::Word if i.begins_section() => Err(i.expected(what)),
        Kind::Word => Ok((i.skip(1), Name { text: i.word().to_string(), span: i.span() })),
        _ => Err(i.expected(what)),
    }
}

/// Names joined by dots.
pub(super) fn path(start: Cursor<'_>) -> Parsed<'_, Path> {
    path_to("a name")(start)
}

pub(super) fn path_to<'a>(what: &'static str) -> impl Fn(Cursor<'a>) -> Parsed<'a, Path> {
    move |start| {
        let (mut i, first) = named(what)(start)?;
        let mut parts = vec![first];
        while i.is(Symbol::Dot) {
            let after = i.skip(1);
            // Behind a dot every word is a name, even one of the language: no operator can stand there.
            if after.kind() != Kind::Word {
                return Err(after.expected("a name behind the dot"));
            }
            parts.push(Name { text: after.word().to_string(), span: after.span() });
            i = after.skip(1);
        }
        Ok((i, Path { parts, span: i.since(start) }))
    }
}

/// A quoted text.
pub(super) fn text<'a>(what: &'static str) -> impl Fn(Cursor<'a>) -> Parsed<'a, Text> {
    move |i| match i.kind() {
        Kind::Text(index) => {
            let value = i.parsing.lexed.texts.get(index as usize).cloned().unwrap_or_default();
            Ok((i.skip(1), Text { value, span: i.span() }))
        }
        Kind::Word if !i.token().first => match i.expected(what) {
            Err::Error(Mistake { diagnostic: Some(d), at }) => {
                let quoted = format!("\"{}\"", i.word());
                let d = d.help("put texts in double quotes").fix(i.span(), quoted);
                Err(Err::Error(Mistake { diagnostic: Some(Box::new(d)), at }))
            }
            other => Err(other),
        },
        _ => Err(i.expected(what)),
    }
}

/// A literal of one kind; one that was reported already stands for it.
fn literal<'a, T: Default>(
    what: &'static str,
    read: fn(Kind) -> Option<T>,
) -> impl Fn(Cursor<'a>) -> Parsed<'a, At<T>> {
    move |i| {
        let value = if i.kind() == Kind::Bad { Some(T::default()) } else { read(i.kind()) };
        value.map(|value| (i.skip(1), At { value, span: i.span() })).ok_or_else(|| i.expected(what))
    }
}

/// A duration such as `24h`.
pub(super) fn duration(i: Cursor<'_>) -> Parsed<'_, At<Duration>> {
    let number = matches!(i.kind(), Kind::Integer(_)) && i.nth(1).kind == Kind::Word && !i.nth(1).first;
    let (rest, found) =
        literal("a duration such as `24h`", |k| if let Kind::Duration(d) = k { Some(d) } else { None })(i).map_err(
            |error| match error {
                Err::Error(Mistake { diagnostic: Some(d), at }) if number => {
                    let help = "the unit stands right behind the number: `24h`, `15m`, `7d`";
                    Err::Error(Mistake { diagnostic: Some(Box::new(d.help(help))), at })
                }
                other => other,
            },
        )?;
    Ok((rest, found))
}

/// A whole number such as `20`.
pub(super) fn count(i: Cursor<'_>) -> Parsed<'_, At<u64>> {
    literal("a whole number such as `20`", |k| if let Kind::Integer(n) = k { u64::try_from(n).ok() } else { None })(i)
}

/// A percentage such as `10%`, in millionths.
pub(super) fn percentage(i: Cursor<'_>) -> Parsed<'_, At<i64>> {
    literal("a percentage such as `10%`", |k| if let Kind::Percentage(n) = k { Some(n) } else { None })(i)
}

/// A date such as `2026-01-31`.
pub(super) fn date(i: Cursor<'_>) -> Parsed<'_, Date> {
    let read = |k| if let Kind::Date(at) = k { Some(at.0) } else { None };
    let (i, At { value, span }) = literal::<i64>("a date such as `2026-01-31`", read)(i)?;
    Ok((i, Date { at: Timestamp(value), span }))
}

/// One or more, separated by commas.
pub(super) fn commas<'a, T>(item: impl Fn(Cursor<'a>) -> Parsed<'a, T>) -> impl Fn(Cursor<'a>) -> Parsed<'a, Vec<T>> {
    move |i| {
        let (mut i, first) = item(i)?;
        let mut items = vec![first];
        while i.is(Symbol::Comma) {
            let (rest, next) = item(i.skip(1))?;
            items.push(next);
            i = rest;
        }
        Ok((i, items))
    }
}

/// Items up to `close`, separated by commas, perhaps none, perhaps with a comma behind the last.
pub(super) fn enclosed<'a, T>(
    close: Symbol,
    item: impl Fn(Cursor<'a>) -> Parsed<'a, T>,
) -> impl Fn(Cursor<'a>) -> Parsed<'a, Vec<T>> {
    move |mut i| {
        let mut items = Vec::new();
        loop {
            if i.is(close) {
                return Ok((i.skip(1), items));
            }
            let (rest, next) = item(i)?;
            items.push(next);
            i = rest;
            if i.is(Symbol::Comma) {
                i = i.skip(1);
            } else if !i.is(close) {
                return Err(i.expected(&format!("`,` or `{}`", close.text())));
            }
        }
    }
}

/// What `parser` reads behind `word`, if the word stands here.
pub(super) fn after<'a, T>(
    word: &'static str,
    parser: impl Fn(Cursor<'a>) -> Parsed<'a, T>,
) -> impl Fn(Cursor<'a>) -> Parsed<'a, Option<T>> {
    move |i| {
        if i.word() != word {
            return Ok((i, None));
        }
        let (i, found) = parser(i.skip(1))?;
        Ok((i, Some(found)))
    }
}

/// `from 2026-01-01`, `until 2027-01-01` and the like.
pub(super) fn dated<'a>(word: &'static str) -> impl Fn(Cursor<'a>) -> Parsed<'a, Option<Date>> {
    after(word, date)
}

/// What is allowed only once: keeps the first.
pub(super) fn keep<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}
