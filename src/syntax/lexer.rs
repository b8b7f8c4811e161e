//! Stage one: text to tokens with their places, comments aside. Knows the shape of words, numbers and quoted texts, not
//! what may follow what.
//!
//! Every step consumes text and nothing is looked at twice, so the time is linear in the file. A mistake yields a token
//! all the same ([`Kind::Bad`], or the text as far as it went), so that the parser does not stumble over it again.

use nom::bytes::complete::{tag, take_while, take_while_m_n};
use nom::character::complete::satisfy;
use nom::combinator::recognize;
use nom::multi::many0_count;
use nom::{IResult, Parser};

use super::ast;
use super::number::{number, read_number};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceId, Span};
use crate::time::{Duration, Timestamp};

/// The largest rule file that is read.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest line that is read.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What a token is. Words and symbols are read from the text by their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a word of the language; which of the two depends on where it stands.
    Word,
    /// `1_000`
    Integer(i64),
    /// `0.7`, in millionths.
    Decimal(i64),
    /// `90%`, in millionths.
    Percentage(i64),
    /// `$500`, in millionths.
    Money(i64),
    /// `24h`
    Duration(Duration),
    /// `2026-01-31`
    Date(Timestamp),
    /// A quoted text, by its index in [`Lexed::texts`]; kept apart so that tokens stay small.
    Text(u32),
    /// A sign.
    Symbol(Symbol),
    /// A literal that was reported already; stands for any literal.
    Bad,
    /// The end of the file.
    End,
}

macro_rules! symbols {
    ($($name:ident $text:literal)*) => {
        /// The signs of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Symbol { $(#[doc = $text] $name),* }

        impl Symbol {
            /// As written.
            pub(super) fn text(self) -> &'static str {
                match self { $(Symbol::$name => $text),* }
            }
        }

        /// Longer signs stand before their beginnings.
        const SYMBOLS: &[Symbol] = &[$(Symbol::$name),*];
    };
}

symbols! {
    NotEqual "!=" LessEqual "<=" GreaterEqual ">=" Less "<" Greater ">" Equal "="
    OpenBrace "{" CloseBrace "}" OpenBracket "[" CloseBracket "]" OpenParen "(" CloseParen ")"
    Comma "," Colon ":" Dot "." Plus "+" Minus "-" Star "*" Slash "/"
}

/// A token with its place in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// First byte.
    pub(super) start: u32,
    /// One past the last byte.
    pub(super) end: u32,
    /// Whether it is the first of its line; sections and items begin there, which recovery relies on.
    pub(super) first: bool,
}

/// The outcome of stage one.
#[derive(Debug, Default)]
pub(super) struct Lexed {
    /// All tokens; the last is [`Kind::End`].
    pub(super) tokens: Vec<Token>,
    /// The values of quoted texts.
    pub(super) texts: Vec<String>,
    /// All comments, `#` included.
    pub(super) comments: Vec<ast::Text>,
    /// Where something was reported and left out, in order: what follows there is no news.
    pub(super) gaps: Vec<u32>,
    /// Mistakes.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Bytes of a rule file as text, without a byte-order mark. The place of a mistake counts in the bytes given, so a caller
/// that wants it drawn adds the lossy text of the file to its sources.
pub fn decode(source: SourceId, bytes: &[u8]) -> Result<String, Box<Diagnostic>> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Box::new(too_large(source, bytes.len())));
    }
    let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(body) {
        Ok(text) => Ok(text.to_string()),
        Err(error) => {
            let good = error.valid_up_to();
            let line = body.iter().take(good).filter(|b| **b == b'\n').count() + 1;
            let at = u32::try_from(good).unwrap_or(u32::MAX);
            let wide = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
            let help = if wide {
                "the file looks like UTF-16; save it as UTF-8"
            } else {
                "save the file as UTF-8 in your editor"
            };
            Err(Box::new(
                Diagnostic::new(
                    Code::NOT_UTF8,
                    Span::new(source, at, at.saturating_add(1)),
                    format!("the file is not UTF-8 text: line {line}, byte {good} of the file cannot be read"),
                )
                .label("from here on")
                .help(help),
            ))
        }
    }
}

fn too_large(source: SourceId, len_bytes: usize) -> Diagnostic {
    Diagnostic::new(
        Code::FILE_TOO_LARGE,
        Span::new(source, 0, 0),
        format!("the file has {len_bytes} bytes; a rule file may have {FILE_BYTES_MAX}"),
    )
    .help("move long lists into a file of their own: `list name : country from \"lists/name.csv\"`")
}

/// Checks the limits that make a file not worth reading further; an empty answer means that it may be lexed.
pub(super) fn limits(source: SourceId, text: &str) -> Vec<Diagnostic> {
    if text.len() > FILE_BYTES_MAX {
        return vec![too_large(source, text.len())];
    }
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.len() > LINE_BYTES_MAX {
            let at = start as u32;
            found.push(
                Diagnostic::new(
                    Code::LINE_TOO_LONG,
                    Span::new(source, at, at),
                    format!("this line has {} bytes; a line may have {LINE_BYTES_MAX}", line.len()),
                )
                .label("this line")
                .help("break the line, or move a long list into a file: `list name : country from \"lists/name.csv\"`"),
            );
        }
        start += line.len();
    }
    found
}

/// Cuts `text` into tokens. Expects a text within the [`limits`].
pub(super) fn lex(source: SourceId, text: &str) -> Lexed {
    let mut lexer = Lexer { source, text, rest: text, out: Lexed::default(), first: true };
    lexer.rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    lexer.run();
    lexer.out
}

struct Lexer<'a> {
    source: SourceId,
    text: &'a str,
    rest: &'a str,
    out: Lexed,
    first: bool,
}

type Piece<'a> = IResult<&'a str, &'a str, ()>;

fn blank(i: &str) -> Piece<'_> {
    take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).parse(i)
}

fn comment(i: &str) -> Piece<'_> {
    take_while(|c| c != '\n' && c != '\r').parse(i)
}

fn word(i: &str) -> Piece<'_> {
    let head = |c: char| c.is_ascii_alphabetic() || c == '_';
    let tail = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let hyphened = (tag("-"), satisfy(|c| c.is_ascii_alphanumeric()), take_while(tail));
    recognize((satisfy(head), take_while(tail), many0_count(hyphened))).parse(i)
}

/// `2026-01-31`, also with too few digits, which are reported rather than read as a subtraction.
fn date(i: &str) -> Piece<'_> {
    let digit = |c: char| c.is_ascii_digit();
    let clock = take_while(|c: char| c.is_ascii_alphanumeric() || c == ':' || c == '_');
    recognize((
        take_while_m_n(4, 4, digit),
        tag("-"),
        take_while_m_n(1, 2, digit),
        tag("-"),
        take_while_m_n(1, 2, digit),
        clock,
    ))
    .parse(i)
}

impl<'a> Lexer<'a> {
    fn here(&self) -> u32 {
        (self.text.len() - self.rest.len()) as u32
    }

    fn span(&self, start: u32, end: u32) -> Span {
        Span::new(self.source, start, end)
    }

    fn report(&mut self, d: Diagnostic) {
        // More are never shown; a file of noise would otherwise fill the memory with messages.
        if self.out.diagnostics.len() <= super::parser::MISTAKES_REPORTED_MAX {
            self.out.diagnostics.push(d);
        }
    }

    fn push(&mut self, kind: Kind, start: u32, end: u32) {
        self.out.tokens.push(Token { kind, start, end, first: self.first });
        self.first = false;
    }

    /// Takes what `piece` reads; returns it with its place.
    fn take(&mut self, piece: impl Fn(&'a str) -> Piece<'a>) -> (&'a str, u32, u32) {
        let start = self.here();
        let (rest, taken) = piece(self.rest).unwrap_or((self.rest, ""));
        self.rest = rest;
        (taken, start, self.here())
    }

    fn run(&mut self) {
        loop {
            let (space, ..) = self.take(blank);
            self.first |= space.contains('\n');
            let Some(c) = self.rest.chars().next() else { break };
            match c {
                '#' => {
                    let (value, start, end) = self.take(comment);
                    let value = value.trim_end();
                    let end = end.min(start + value.len() as u32);
                    let span = self.span(start, end);
                    self.out.comments.push(ast::Text { value: value.to_string(), span });
                }
                '"' => self.quoted(),
                '0'..='9' => self.number(),
                '$' if self.rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => self.number(),
                c if c.is_ascii_alphabetic() || c == '_' => {
                    let (_, start, end) = self.take(word);
                    self.push(Kind::Word, start, end);
                }
                _ => self.symbol(),
            }
        }
        let end = self.text.len() as u32;
        self.first = true;
        self.push(Kind::End, end, end);
    }

    fn symbol(&mut self) {
        let start = self.here();
        if let Some(rest) = self.rest.strip_prefix("==") {
            self.rest = rest;
            self.push(Kind::Symbol(Symbol::Equal), start, start + 2);
            let span = self.span(start, start + 2);
            self.report(
                Diagnostic::new(Code::UNEXPECTED_TOKEN, span, "equality is written with one `=`")
                    .label("one `=` is enough")
                    .help("write one `=`")
                    .fix(span, "="),
            );
            return;
        }
        for symbol in SYMBOLS {
            if let Some(rest) = self.rest.strip_prefix(symbol.text()) {
                self.rest = rest;
                self.push(Kind::Symbol(*symbol), start, start + symbol.text().len() as u32);
                return;
            }
        }
        self.stray(start);
    }

    /// A text in typographic quotes, as word processors write them: one mistake, and a text all the same.
    fn curly(&mut self, start: u32) -> bool {
        let line = self.rest.split('\n').next().unwrap_or("");
        let Some((inner, _)) = line
            .strip_prefix(['\u{201c}', '\u{201e}', '\u{201d}'])
            .and_then(|l| l.split_once(['\u{201d}', '\u{201c}']))
        else {
            return false;
        };
        // Both quotes take three bytes.
        self.rest = self.rest.get(inner.len() + 6..).unwrap_or("");
        let span = self.span(start, self.here());
        let index = self.out.texts.len() as u32;
        self.out.texts.push(inner.to_string());
        self.push(Kind::Text(index), span.start, span.end);
        self.report(
            Diagnostic::new(Code::STRAY_CHARACTER, span, "typographic quotes do not enclose a text")
                .label("needs straight quotes")
                .help("use straight quotes")
                .fix(span, format!("\"{}\"", inner.replace('"', "\\\""))),
        );
        true
    }

    /// A run of characters of no use is one mistake.
    fn stray(&mut self, start: u32) {
        if self.curly(start) {
            return;
        }
        let known = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, ' ' | '\t' | '\r' | '\n' | '_' | '#' | '"') || {
                let mut at = [0; 4];
                SYMBOLS.iter().any(|s| s.text() == &*c.encode_utf8(&mut at))
            }
        };
        let mut seen = false;
        let end = self
            .rest
            .char_indices()
            .find(|(_, c)| std::mem::replace(&mut seen, true) && known(*c))
            .map_or(self.rest.len(), |(at, _)| at);
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        let span = self.span(start, self.here());
        self.out.gaps.push(start);
        let shown: String = taken.chars().take(20).collect();
        if taken.contains('\0') {
            self.report(
                Diagnostic::new(Code::NUL_BYTE, span, "the file holds a NUL byte")
                    .label("here")
                    .help("remove it; a text file has none"),
            );
            return;
        }
        let (help, fix) = match taken {
            "&&" | "&" => ("write `and`", Some("and")),
            "||" | "|" => ("write `or`", Some("or")),
            "!" => ("write `not`", Some("not ")),
            "\u{2265}" => ("write `>=`", Some(">=")),
            "\u{2264}" => ("write `<=`", Some("<=")),
            "\u{2260}" => ("write `!=`", Some("!=")),
            ";" => ("leave it out: a section ends where the next begins", Some("")),
            "'" => ("texts stand in double quotes: \"text\"", None),
            "\u{a0}" => ("this is a non-breaking space; write a plain space", Some(" ")),
            _ if taken.contains(['\u{201c}', '\u{201d}', '\u{201e}']) => ("use straight quotes: \"text\"", None),
            _ => ("remove it, or put it in quotes if it belongs to a text", None),
        };
        let d = Diagnostic::new(Code::STRAY_CHARACTER, span, format!("`{shown}` means nothing here"))
            .label("not part of the language")
            .help(help);
        self.report(match fix {
            Some(fix) => d.fix(span, fix),
            None => d,
        });
    }

    fn number(&mut self) {
        if date(self.rest).is_ok() {
            return self.date();
        }
        let (taken, start, end) = self.take(number);
        let span = self.span(start, end);
        match read_number(taken) {
            Ok(kind) => self.push(kind, start, end),
            Err((message, help)) => {
                self.push(Kind::Bad, start, end);
                self.report(Diagnostic::new(Code::BAD_NUMBER, span, message).label("cannot be read").help(help));
            }
        }
    }

    fn date(&mut self) {
        let (taken, start, end) = self.take(date);
        let span = self.span(start, end);
        if let Some(at) = Timestamp::parse_date(taken) {
            return self.push(Kind::Date(at), start, end);
        }
        self.push(Kind::Bad, start, end);
        let digits = |c: char| c.is_ascii_digit() || c == '-';
        let d = if taken.len() == 10 && taken.chars().all(digits) {
            Diagnostic::new(Code::BAD_DATE, span, format!("there is no date `{taken}`")).label("not in the calendar")
        } else {
            Diagnostic::new(Code::BAD_DATE, span, format!("`{taken}` is not a date")).label("cannot be read as a date")
        };
        self.report(d.help("write year, month and day, each with all its digits: `2026-01-31`"));
    }

    /// A text in quotes, up to the end of its line. Right behind `matches regex` backslashes are the pattern's own.
    fn quoted(&mut self) {
        let start = self.here();
        let raw = self.behind_regex();
        let mut value = String::new();
        let mut bad: Vec<(u32, u32)> = Vec::new();
        let mut chars = self.rest.char_indices();
        chars.next();
        let (mut closed, mut len) = (false, None);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    (closed, len) = (true, Some(at + 1));
                    break;
                }
                '\n' => {
                    len = Some(at);
                    break;
                }
                '\\' => {
                    let Some((_, escaped)) = chars.clone().next() else { continue };
                    match escaped {
                        '\n' | '\r' => value.push('\\'),
                        '"' => {
                            chars.next();
                            value.push('"');
                        }
                        other if raw => {
                            chars.next();
                            value.push('\\');
                            value.push(other);
                        }
                        _ => match escape(chars.as_str()) {
                            Some((c, n)) => {
                                for _ in 0..n {
                                    chars.next();
                                }
                                value.push(c);
                            }
                            None => {
                                chars.next();
                                value.push('\\');
                                value.push(escaped);
                                bad.push((at as u32, (at + 1 + escaped.len_utf8()) as u32));
                            }
                        },
                    }
                }
                c => value.push(c),
            }
        }
        let len = len.unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        let taken = if closed { taken } else { taken.trim_end() };
        let end = start + taken.len() as u32;
        self.rest = rest;
        for (from, to) in bad {
            let span = self.span(start + from, start + to);
            let escape = self.text.get(span.start as usize..span.end as usize).unwrap_or("").to_string();
            let d = Diagnostic::new(Code::BAD_ESCAPE, span, format!("`{escape}` is no escape"))
                .label("unknown")
                .help("a backslash itself is written `\\\\`; known are `\\\"`, `\\\\`, `\\n`, `\\t` and `\\u{1F600}`");
            let fix = format!("\\{escape}");
            self.report(if escape.starts_with("\\u") { d } else { d.fix(span, fix) });
        }
        if !closed {
            let span = self.span(start, end);
            self.out.gaps.push(end);
            self.report(
                Diagnostic::new(Code::UNCLOSED_TEXT, span, "this text has no closing quote")
                    .label("begins here and must end on the same line")
                    .help("close it with `\"`; a line break inside a text is written `\\n`"),
            );
            value.truncate(value.trim_end().len());
        }
        let index = self.out.texts.len() as u32;
        self.out.texts.push(value);
        self.push(Kind::Text(index), start, end);
    }

    fn behind_regex(&self) -> bool {
        let last = self.out.tokens.last();
        let is = |word: &str| {
            last.is_some_and(|t| {
                t.kind == Kind::Word && self.text.get(t.start as usize..t.end as usize).is_some_and(|w| w == word)
            })
        };
        // One of the two words is enough: where the other was forgotten, the pattern needs no second message.
        is("regex") || is("matches")
    }
}

/// What the escape behind a backslash stands for, and how many characters it takes.
fn escape(behind: &str) -> Option<(char, usize)> {
    match behind.chars().next()? {
        '\\' => Some(('\\', 1)),
        'n' => Some(('\n', 1)),
        't' => Some(('\t', 1)),
        'u' => {
            let inner = behind.strip_prefix("u{")?;
            let digits: String = inner.chars().take(7).take_while(char::is_ascii_hexdigit).collect();
            if digits.is_empty() || inner.chars().nth(digits.len()) != Some('}') {
                return None;
            }
            let c = char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?;
            Some((c, digits.len() + 3))
        }
        _ => None,
    }
}
