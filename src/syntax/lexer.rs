//! Text to tokens: words, quoted texts, numbers with units, signs. Comments are kept aside for the formatter. Never fails:
//! what cannot be read is reported and skipped. Linear in the length of the text.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::combinator::{recognize, value};
use nom::sequence::preceded;
use nom::{IResult, Parser};

use super::ast::Text;
use super::token::{Tok, Token};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceId, Span};
use crate::time::{Duration, Timestamp};
use crate::value::parse_micros;

/// Longest line, bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Largest rule file, bytes.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the lexer makes of a file.
pub(crate) struct Lexed {
    pub(crate) tokens: Vec<Token>,
    pub(crate) comments: Vec<Text>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Bytes of a rule file as text.
///
/// # Errors
/// A diagnostic, where the bytes are no UTF-8 or too many; `source` is the file's id.
pub fn decode(source: SourceId, bytes: &[u8]) -> Result<String, Box<Diagnostic>> {
    let at = |offset: usize| Span::new(source, offset as u32, offset as u32);
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes, a rule file may have {FILE_BYTES_MAX}", bytes.len());
        return Err(Box::new(
            Diagnostic::new(Code::FILE_TOO_LARGE, at(0), message)
                .help("split the file: names are known across files of a folder"),
        ));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_string()),
        Err(e) => {
            let message = format!("byte {} of the file is not UTF-8 text", e.valid_up_to() + 1);
            Err(Box::new(Diagnostic::new(Code::NOT_UTF8, at(0), message).help("save the file as UTF-8")))
        }
    }
}

struct Lexer<'a> {
    source: SourceId,
    text: &'a str,
    at: usize,
    line_start: usize,
    line_is_empty: bool,
    out: Lexed,
}

/// Cuts a text into tokens; the last is [`Tok::End`].
pub(crate) fn lex(source: SourceId, text: &str) -> Lexed {
    let out = Lexed { tokens: Vec::new(), comments: Vec::new(), diagnostics: Vec::new() };
    let mut lexer = Lexer { source, text, at: 0, line_start: 0, line_is_empty: true, out };
    lexer.long_lines();
    while lexer.next() {}
    let end = lexer.span(text.len(), text.len());
    lexer.out.tokens.push(Token { tok: Tok::End, span: end, starts_line: true, at_margin: true });
    lexer.out
}

fn digits(i: &str) -> IResult<&str, &str> {
    recognize((take_while1(|c: char| c.is_ascii_digit()), take_while(|c: char| c.is_ascii_digit() || c == '_')))
        .parse(i)
}

fn decimal(i: &str) -> IResult<&str, &str> {
    recognize((digits, nom::combinator::opt(preceded(tag("."), take_while1(|c: char| c.is_ascii_digit()))))).parse(i)
}

fn date(i: &str) -> IResult<&str, &str> {
    let n = |count: usize| nom::bytes::complete::take_while_m_n(count, count, |c: char| c.is_ascii_digit());
    recognize((n(4), tag("-"), n(2), tag("-"), n(2))).parse(i)
}

/// `template-fan-out`: letters, digits, underscores, and hyphens between them.
fn name(i: &str) -> IResult<&str, &str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    recognize((
        nom::character::complete::satisfy(|c| c.is_ascii_alphabetic() || c == '_'),
        take_while(part),
        nom::multi::many0_count((tag("-"), take_while1(part))),
    ))
    .parse(i)
}

fn symbol(i: &str) -> IResult<&str, &'static str> {
    alt((
        alt((value("<=", tag("<=")), value(">=", tag(">=")), value("!=", tag("!=")), value("==", tag("==")))),
        alt((value("{", tag("{")), value("}", tag("}")), value("[", tag("[")), value("]", tag("]")))),
        alt((value("(", tag("(")), value(")", tag(")")), value(",", tag(",")), value(":", tag(":")))),
        alt((value(".", tag(".")), value("=", tag("=")), value("<", tag("<")), value(">", tag(">")))),
        alt((value("+", tag("+")), value("-", tag("-")), value("*", tag("*")), value("/", tag("/")))),
    ))
    .parse(i)
}

impl Lexer<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start as u32, end as u32)
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn long_lines(&mut self) {
        let mut start = 0;
        for line in self.text.split('\n') {
            if line.len() > LINE_BYTES_MAX {
                let message = format!("this line has {} bytes, a line may have {LINE_BYTES_MAX}", line.len());
                let d = Diagnostic::new(Code::LINE_TOO_LONG, self.span(start, start + 1), message);
                self.out
                    .diagnostics
                    .push(d.help("put long lists into a file: `list names : string from \"names.txt\"`"));
            }
            start += line.len() + 1;
        }
    }

    fn push(&mut self, tok: Tok, len: usize) {
        let span = self.span(self.at, self.at + len);
        let (starts_line, at_margin) = (self.line_is_empty, self.line_is_empty && self.at == self.line_start);
        self.out.tokens.push(Token { tok, span, starts_line, at_margin });
        self.line_is_empty = false;
        self.at += len;
    }

    /// Whether the two words before are `matches regex`: backslashes of the text that follows belong to the pattern.
    fn in_regex(&self) -> bool {
        let mut last = self.out.tokens.iter().rev().map(|t| &t.tok);
        let word = |t: Option<&Tok>, w: &str| matches!(t, Some(Tok::Name(n)) if n == w);
        word(last.next(), "regex") && word(last.next(), "matches")
    }

    fn next(&mut self) -> bool {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return false };
        match first {
            '\n' => {
                self.at += 1;
                (self.line_start, self.line_is_empty) = (self.at, true);
            }
            ' ' | '\t' | '\r' | '\u{feff}' => self.at += first.len_utf8(),
            '#' => {
                let len = rest.find('\n').unwrap_or(rest.len());
                let value = rest.get(..len).unwrap_or("").trim_end().to_string();
                let span = self.span(self.at, self.at + value.len());
                self.out.comments.push(Text { value, span });
                self.at += len;
            }
            '"' => self.quoted(),
            '$' => self.money(),
            c if c.is_ascii_digit() => self.number(),
            c if c.is_ascii_alphabetic() || c == '_' => {
                let word = name(rest).map_or_else(|_| String::new(), |(_, w)| w.to_string());
                self.push(Tok::Name(word.clone()), word.len().max(1));
            }
            _ => match symbol(rest) {
                Ok((_, s)) => self.push(Tok::Symbol(s), s.len()),
                Err(_) => self.stray(first),
            },
        }
        true
    }

    fn stray(&mut self, first: char) {
        let rest = self.rest();
        let same = |c: &char| !c.is_ascii_graphic() && !c.is_whitespace() && *c != '\0';
        let run: usize = match first {
            '\0' => rest.chars().take_while(|c| *c == '\0').count(),
            _ => first.len_utf8() + rest.chars().skip(1).take_while(same).map(char::len_utf8).sum::<usize>(),
        };
        let span = self.span(self.at, self.at + run);
        let d = match first {
            '\0' => Diagnostic::new(Code::NUL_BYTE, span, "the file holds a NUL byte here")
                .help("rule files are plain text; save the file again as UTF-8"),
            '“' | '”' | '„' | '«' | '»' | '\'' => {
                Diagnostic::new(Code::STRAY_CHARACTER, span, format!("`{first}` does not begin a text"))
                    .help("texts stand between straight double quotes: \"like this\"")
            }
            c => Diagnostic::new(Code::STRAY_CHARACTER, span, format!("`{}` has no meaning here", c.escape_debug()))
                .help("remove it, or put it into a quoted text"),
        };
        self.out.diagnostics.push(d);
        self.push(Tok::Broken, run);
    }

    fn quoted(&mut self) {
        let raw = self.in_regex();
        let start = self.at;
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        let mut bad = Vec::new();
        let mut len = None;
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    len = Some(i + 1);
                    break;
                }
                '\n' => break,
                '\\' => match chars.peek().map(|(_, c)| *c) {
                    Some('"') => {
                        value.push('"');
                        chars.next();
                    }
                    Some(next) if raw && next != '\n' => {
                        value.push('\\');
                        value.push(next);
                        chars.next();
                    }
                    Some('\\') => {
                        value.push('\\');
                        chars.next();
                    }
                    Some('n') => {
                        value.push('\n');
                        chars.next();
                    }
                    Some('t') => {
                        value.push('\t');
                        chars.next();
                    }
                    Some('u') => {
                        chars.next();
                        let mut hex = String::new();
                        if chars.next_if(|(_, c)| *c == '{').is_some() {
                            while let Some((_, h)) = chars.next_if(|(_, c)| c.is_ascii_hexdigit()) {
                                hex.push(h);
                            }
                            chars.next_if(|(_, c)| *c == '}');
                        }
                        match u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32) {
                            Some(c) => value.push(c),
                            None => bad.push((i, 2, "\\u".to_string())),
                        }
                    }
                    Some(other) if other != '\n' => {
                        bad.push((i, 1 + other.len_utf8(), format!("\\{other}")));
                        chars.next();
                    }
                    _ => {}
                },
                c => value.push(c),
            }
        }
        for (i, n, what) in bad {
            let span = self.span(start + i, start + i + n);
            let d = Diagnostic::new(Code::BAD_ESCAPE, span, format!("`{what}` is no escape of a quoted text"))
                .help("known are `\\\"`, `\\\\`, `\\n`, `\\t` and `\\u{1F600}`; write `\\\\` for a backslash");
            self.out.diagnostics.push(d);
        }
        match len {
            Some(len) => self.push(Tok::Text(value), len),
            None => {
                let len = self.rest().find('\n').unwrap_or(self.rest().len());
                let span = self.span(start, start + len.min(1));
                let d = Diagnostic::new(Code::UNCLOSED_TEXT, span, "this text has no closing quote on its line")
                    .label("begins here")
                    .help("close it with `\"`; a line break within a text is written `\\n`");
                self.out.diagnostics.push(d);
                self.push(Tok::Text(value), len.max(1));
            }
        }
    }

    fn bad_number(&mut self, len: usize, message: String, help: &str) {
        let span = self.span(self.at, self.at + len);
        self.out.diagnostics.push(Diagnostic::new(Code::BAD_NUMBER, span, message).help(help));
        self.push(Tok::Broken, len);
    }

    fn money(&mut self) {
        let after = self.rest().get(1..).unwrap_or("");
        let text = decimal(after).map_or("", |(_, t)| t).to_string();
        match parse_micros(&text.replace('_', "")) {
            Some(n) => self.push(Tok::Money(n), 1 + text.len()),
            None => {
                self.bad_number(1 + text.len(), "`$` is not followed by an amount".into(), "write `$500` or `$0.25`")
            }
        }
    }

    fn number(&mut self) {
        let rest = self.rest();
        if let Ok((after, text)) = date(rest)
            && !after.starts_with(|c: char| c.is_ascii_digit())
        {
            let len = text.len();
            match Timestamp::parse_date(text) {
                Some(at) => self.push(Tok::Date(at), len),
                None => {
                    let d = Diagnostic::new(
                        Code::BAD_DATE,
                        self.span(self.at, self.at + len),
                        format!("there is no date `{text}`"),
                    )
                    .help("dates are written year-month-day: `2026-01-31`");
                    self.out.diagnostics.push(d);
                    self.push(Tok::Broken, len);
                }
            }
            return;
        }
        let number = decimal(rest).map_or("", |(_, t)| t).to_string();
        let after = rest.get(number.len()..).unwrap_or("");
        let clean = number.replace('_', "");
        if after.starts_with('%') {
            // A percentage is a share of one: two places more than its digits.
            let micros = parse_micros(&clean).filter(|n| n % 100 == 0).map(|n| n / 100);
            return match micros {
                Some(n) => self.push(Tok::Percentage(n), number.len() + 1),
                None => {
                    self.bad_number(number.len() + 1, "a percentage has at most four places".into(), "write `12.5%`")
                }
            };
        }
        let unit: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if unit.is_empty() {
            return match (clean.contains('.'), clean.parse::<i64>(), parse_micros(&clean)) {
                (false, Ok(n), _) => self.push(Tok::Integer(n), number.len()),
                (true, _, Some(n)) => self.push(Tok::Decimal(n), number.len()),
                (false, ..) => {
                    let most = format!("whole numbers reach to {}", i64::MAX);
                    self.bad_number(number.len(), format!("`{number}` is too large"), &most)
                }
                (true, ..) => self.bad_number(
                    number.len(),
                    format!("`{number}` has more than six places"),
                    "write at most six places",
                ),
            };
        }
        let len = number.len() + unit.len();
        let known = ["d", "h", "m", "s", "ms", "us", "ns"].contains(&unit.as_str());
        match clean.parse::<i64>().ok().and_then(|n| Duration::from_unit(n, &unit)) {
            Some(d) => self.push(Tok::Duration(d), len),
            None if known && clean.contains('.') => self.bad_number(
                len,
                format!("`{number}{unit}` is not a whole number of units"),
                "write it in a smaller unit: `90m` for one and a half hours",
            ),
            None if known => {
                self.bad_number(len, format!("`{number}{unit}` is too long a duration"), "durations reach to 106751d")
            }
            None => self.bad_number(
                len,
                format!("`{unit}` is no unit of time"),
                "units are `d` days, `h` hours, `m` minutes, `s` seconds, `ms`; thousands are written `10_000`",
            ),
        }
    }
}
