//! Words of the language with their places.

use std::fmt;

use crate::source::Span;
use crate::time::{Duration, Timestamp};

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tok {
    Name(String),
    Text(String),
    Integer(i64),
    /// Millionths.
    Decimal(i64),
    Percentage(i64),
    Money(i64),
    Duration(Duration),
    Date(Timestamp),
    Symbol(&'static str),
    /// Something that was reported already.
    Broken,
    End,
}

/// A token with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) tok: Tok,
    pub(crate) span: Span,
    /// First on its line: where recovery looks for the next section.
    pub(crate) starts_line: bool,
    /// First on its line, without indentation: where recovery looks for the next block.
    pub(crate) at_margin: bool,
}

/// As named in "found …".
impl fmt::Display for Tok {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tok::Name(n) => write!(f, "`{n}`"),
            Tok::Text(_) => f.write_str("a quoted text"),
            Tok::Integer(_) | Tok::Decimal(_) => f.write_str("a number"),
            Tok::Percentage(_) => f.write_str("a percentage"),
            Tok::Money(_) => f.write_str("an amount of money"),
            Tok::Duration(_) => f.write_str("a duration"),
            Tok::Date(_) => f.write_str("a date"),
            Tok::Symbol(s) => write!(f, "`{s}`"),
            Tok::Broken => f.write_str("something unreadable"),
            Tok::End => f.write_str("the end of the file"),
        }
    }
}
