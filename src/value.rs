//! What rule expressions compute with: types, their units, and values. Everything is an integer, a text or a network
//! address, so that results never depend on the order of additions.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Decimals carry six places: a decimal is an integer of millionths. Percentages and dollars are decimals too.
pub const MICROS: i64 = 1_000_000;

/// The type of an expression, a field or a column. Unlike units do not compare.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// true or false
    Bool,
    /// a whole number, 64 bits
    Integer,
    /// a number with six decimal places, held in millionths
    Decimal,
    /// a count of tokens; compares with plain whole numbers
    Tokens,
    /// a span of time, held in nanoseconds
    Duration,
    /// a point in time, held in nanoseconds since 1970 UTC
    Timestamp,
    /// a share of one, held in millionths: `90%` is 900,000
    Percentage,
    /// US dollars, held in millionths
    Money,
    /// text
    String,
    /// an IPv4 or IPv6 address
    Ip,
    /// a network in CIDR notation
    Cidr,
    /// a country: ISO 3166-1 alpha-2, upper case
    Country,
    /// a keyed hash of a text or a shape
    Fingerprint,
    /// several values of one type
    List(Box<Type>),
}

impl Type {
    /// How values of the type are held at run time.
    pub fn is_number(&self) -> bool {
        matches!(
            self,
            Type::Integer
                | Type::Decimal
                | Type::Tokens
                | Type::Duration
                | Type::Timestamp
                | Type::Percentage
                | Type::Money
        )
    }

    /// Whether values are held as text.
    pub fn is_text(&self) -> bool {
        matches!(self, Type::String | Type::Country | Type::Fingerprint)
    }

    /// The word of the language for the type, as used after `:` in a `list`.
    pub fn keyword(&self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Integer => "integer",
            Type::Decimal => "decimal",
            Type::Tokens => "tokens",
            Type::Duration => "duration",
            Type::Timestamp => "timestamp",
            Type::Percentage => "percentage",
            Type::Money => "money",
            Type::String => "string",
            Type::Ip => "ip",
            Type::Cidr => "cidr",
            Type::Country => "country",
            Type::Fingerprint => "fingerprint",
            Type::List(_) => "list",
        }
    }

    /// The type named by a word of the language.
    pub fn from_keyword(word: &str) -> Option<Type> {
        Some(match word {
            "bool" => Type::Bool,
            "integer" => Type::Integer,
            "decimal" => Type::Decimal,
            "tokens" => Type::Tokens,
            "duration" => Type::Duration,
            "timestamp" => Type::Timestamp,
            "percentage" => Type::Percentage,
            "money" => Type::Money,
            "string" => Type::String,
            "ip" => Type::Ip,
            "cidr" => Type::Cidr,
            "country" => Type::Country,
            "fingerprint" => Type::Fingerprint,
            _ => return None,
        })
    }
}

/// With its article, for messages: "a duration", "an integer".
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Bool => f.write_str("a truth value"),
            Type::Integer => f.write_str("a whole number"),
            Type::Decimal => f.write_str("a decimal number"),
            Type::Tokens => f.write_str("a count of tokens"),
            Type::Duration => f.write_str("a duration"),
            Type::Timestamp => f.write_str("a point in time"),
            Type::Percentage => f.write_str("a percentage"),
            Type::Money => f.write_str("an amount of money"),
            Type::String => f.write_str("text"),
            Type::Ip => f.write_str("an IP address"),
            Type::Cidr => f.write_str("a network"),
            Type::Country => f.write_str("a country"),
            Type::Fingerprint => f.write_str("a fingerprint"),
            Type::List(of) => write!(f, "a list, each item {of}"),
        }
    }
}

/// A value at run time. Its [`Type`] is known from the plan, so all numbers share one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Value<'a> {
    /// Missing: makes conditions unknown, never false.
    #[default]
    Unknown,
    /// A truth value.
    Bool(bool),
    /// Any number, in the unit of its type.
    Num(i64),
    /// String, country or fingerprint.
    Text(&'a str),
    /// An address.
    Ip(IpAddr),
    /// A network.
    Net(IpNet),
    /// Several texts.
    Texts(&'a [String]),
}

/// Kleene's three truth values; ordered `False < Unknown < True`, so that *and* is the minimum and *or* the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Truth {
    /// Certainly not.
    False = 0,
    /// Not decidable from what is known.
    Unknown = 1,
    /// Certainly so.
    True = 2,
}

impl Truth {
    /// Both.
    pub fn and(self, other: Truth) -> Truth {
        self.min(other)
    }

    /// Either.
    pub fn or(self, other: Truth) -> Truth {
        self.max(other)
    }

    /// Unknown stays unknown.
    #[expect(clippy::should_implement_trait, reason = "`!truth` would read as two-valued")]
    pub fn not(self) -> Truth {
        match self {
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
            Truth::True => Truth::False,
        }
    }

    /// Whether certainly so.
    pub fn is_true(self) -> bool {
        self == Truth::True
    }
}

impl From<bool> for Truth {
    fn from(b: bool) -> Self {
        if b { Truth::True } else { Truth::False }
    }
}

/// Writes a number of a type as an author would: `24h`, `90%`, `$12.5`, `0.7`, `2026-01-01T00:00:00.000Z`.
pub fn write_number(f: &mut impl fmt::Write, ty: &Type, n: i64) -> fmt::Result {
    match ty {
        Type::Duration => write!(f, "{}", crate::time::Duration(n)),
        Type::Timestamp => write!(f, "{}", crate::time::Timestamp(n)),
        Type::Decimal => write_micros(f, i128::from(n)),
        Type::Percentage => {
            write_micros(f, i128::from(n) * 100)?;
            f.write_str("%")
        }
        Type::Money => {
            f.write_str(if n < 0 { "-$" } else { "$" })?;
            write_micros(f, i128::from(n).abs())
        }
        _ => write!(f, "{n}"),
    }
}

fn write_micros(f: &mut impl fmt::Write, n: i128) -> fmt::Result {
    let sign = if n < 0 { "-" } else { "" };
    let (whole, part) = (n.abs() / i128::from(MICROS), n.abs() % i128::from(MICROS));
    if part == 0 {
        return write!(f, "{sign}{whole}");
    }
    let digits = format!("{part:06}");
    write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// Reads a decimal number exactly into millionths; `None` when it is no number, has more than six places that matter,
/// or lies outside the range.
pub fn parse_micros(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let clean = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !clean(whole) || !clean(part) {
        return None;
    }
    let part = part.trim_end_matches('0');
    if part.len() > 6 {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(MICROS)?;
    let part = if part.is_empty() { 0 } else { part.parse::<i64>().ok()? * 10i64.pow(6 - part.len() as u32) };
    let n = whole.checked_add(part)?;
    Some(if negative { -n } else { n })
}
